/* What it would mean if disks went now: one, or all of a station. Memory only. */
#include "store/care_internal.h"

static bool has_bit(const uint64_t *set, unsigned slot)
{
    return set[slot / 64] >> slot % 64 & 1;
}

/* Would too few columns of the group be left? Several columns on one disk go together, and count once. */
static bool group_lost(struct sfs_pool *pool, const struct sfs_group *g, const uint64_t *set)
{
    unsigned good = 0, hit = 0;
    for (unsigned c = 0; c < (unsigned)g->record.k + g->record.m; c++) {
        uint16_t disk = g->record.columns[c].disk;
        const struct sfs_member *m = sfs_member_of(pool, disk);
        bool first = true;
        for (unsigned b = 0; b < c; b++)
            first = first && g->record.columns[b].disk != disk;
        if (!m || !m->disk || !first || (!m->complete && g->count.last_txn > m->record.flushed_txn))
            continue;
        bool goes = has_bit(set, (unsigned)(m - pool->members));
        hit += goes;
        good += !goes;
    }
    return hit && good < g->record.k;
}

enum scalefs_loss sfs_care_loss_of(struct sfs_pool *pool, const uint64_t set[SFS_DISKS_MAX / 64], uint64_t *bytes)
{
    unsigned goes = 0, online = 0;
    *bytes = 0;
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct sfs_member *m = &pool->members[i];
        online += m->used && m->disk;
        goes += m->used && m->disk && has_bit(set, i);
    }
    if (!goes)
        return SCALEFS_LOSS_NONE;
    bool waits = goes == online || goes + sfs_members_absent(pool) > pool->config.quorum;
    for (uint32_t i = 0; i < pool->group_cap; i++) {
        const struct sfs_group *g = pool->groups[i];
        if (g && (g->count.live || g->in_flight) && group_lost(pool, g, set)) {
            *bytes += g->count.live;
            waits = true;
        }
    }
    return waits ? SCALEFS_LOSS_SUSPENDED : SCALEFS_LOSS_DEGRADED;
}

enum scalefs_loss sfs_care_loss(struct sfs_store *s, uint16_t index, const char *station, uint64_t *bytes)
{
    uint64_t set[SFS_DISKS_MAX / 64] = {0};
    sfs_store_lock(s);
    for (unsigned i = 0; i < s->pool->member_count; i++) {
        const struct sfs_member *m = &s->pool->members[i];
        if (m->used && (station ? !strcmp(m->record.station, station) : m->record.index == index))
            set[i / 64] |= 1ull << i % 64;
    }
    enum scalefs_loss loss = sfs_care_loss_of(s->pool, set, bytes);
    sfs_store_unlock(s);
    return loss;
}
