/* How the pool is, in words. Memory only: never waits for a disk. */
#include "store/care_internal.h"

#include "pool/placement.h"

#include <stdio.h>

bool sfs_care_drains(const struct sfs_member *m)
{
    return m->used && (m->record.replaced_by != SFS_NONE16 || m->record.wish == SFS_WISH_LEAVE ||
                       sfs_member_failed(m));
}

/* A disk of a role that is not known keeps what it has. */
static bool keeps_off(const struct sfs_member *m, uint8_t class)
{
    return m->record.role <= SFS_ROLE_METADATA && !sfs_placement_may((enum sfs_class)class, m->record.role);
}

bool sfs_care_must_go(struct sfs_pool *pool, const struct sfs_group_record *g, unsigned c)
{
    const struct sfs_member *m = sfs_member_of(pool, g->columns[c].disk);
    return m && (sfs_care_drains(m) || sfs_column_beyond(pool, g, c) || keeps_off(m, g->class));
}

bool sfs_care_sheds(struct sfs_pool *pool, const struct sfs_member *m)
{
    if (!m->used || sfs_care_drains(m))
        return false;
    if (sfs_member_shrinks(m))
        return true;
    for (uint32_t i = 0; i < pool->group_cap && m->record.role != SFS_ROLE_DATA; i++) {
        const struct sfs_group *g = pool->groups[i];
        if (g && keeps_off(m, g->record.class) && sfs_care_has_column(&g->record, m->record.index))
            return true;
    }
    return false;
}

unsigned sfs_care_task_of(const struct sfs_member *m)
{
    return (sfs_care_drains(m) ? SFS_CARE_DRAIN : sfs_member_shrinks(m) ? SFS_CARE_RESIZE : SFS_CARE_ROLE) + m->record.index;
}

/* About how many live bytes a column of the group holds. */
uint64_t sfs_care_column_live(const struct sfs_group *g)
{
    if (g->record.class == SFS_CLASS_LANDING)
        return g->count.live ? (uint64_t)g->count.write_row * sfs_group_unit(&g->record) : 0;
    return (uint64_t)g->count.used_rows * sfs_group_unit(&g->record);
}

bool sfs_care_has_column(const struct sfs_group_record *g, uint16_t member)
{
    for (unsigned c = 0; c < (unsigned)g->k + g->m; c++)
        if (g->columns[c].disk == member)
            return true;
    return false;
}

bool sfs_care_lacks(struct sfs_pool *pool, const struct sfs_group_record *g)
{
    for (unsigned c = 0; c < (unsigned)g->k + g->m; c++) {
        const struct sfs_member *m = sfs_member_of(pool, g->columns[c].disk);
        if (m && !m->disk && sfs_care_drains(m))
            return true;
    }
    return false;
}

/* --- state --- */

/* Columns that can be used beyond what is needed. Several columns on one disk go together. */
unsigned sfs_care_spare(struct sfs_pool *pool, const struct sfs_group *g)
{
    unsigned good = 0, n = (unsigned)g->record.k + g->record.m;
    for (unsigned c = 0; c < n; c++) {
        uint16_t disk = g->record.columns[c].disk;
        const struct sfs_member *m = sfs_member_of(pool, disk);
        bool first = true;
        for (unsigned b = 0; b < c; b++)
            first = first && g->record.columns[b].disk != disk;
        good += m && m->disk && first && (m->complete || g->count.last_txn <= m->record.flushed_txn);
    }
    return good > g->record.k ? good - g->record.k : 0;
}

static unsigned failures_left(struct sfs_pool *pool)
{
    unsigned left = pool->config.failover, absent = sfs_members_absent(pool), online = sfs_members_online(pool);
    if (left > pool->config.quorum) /* more at once would stop it */
        left = pool->config.quorum;
    left = left > absent ? left - absent : 0;
    if (left + 1 > online)
        left = online ? online - 1 : 0;
    for (uint32_t i = 0; i < pool->group_cap && left; i++) {
        const struct sfs_group *g = pool->groups[i];
        if (!g || (g->count.live == 0 && g->in_flight == 0))
            continue;
        unsigned spare = sfs_care_spare(pool, g);
        if (spare < left)
            left = spare;
    }
    return left;
}

unsigned sfs_care_failures_left(struct sfs_store *s)
{
    unsigned left = failures_left(s->pool);
    /* What was moved to a better place counts there when it is durable. */
    if (s->care && s->durable < s->care->applied && left > s->care->failures_left)
        left = s->care->failures_left;
    return left;
}

static void name_members(struct sfs_pool *pool, bool (*which)(const struct sfs_member *), char *text, size_t size,
                         unsigned *count, uint16_t *first)
{
    size_t len = 0;
    *count = 0;
    text[0] = 0;
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct sfs_member *m = &pool->members[i];
        if (!m->used || !which(m))
            continue;
        if ((*count)++ == 0)
            *first = m->record.index;
        if (len + 8 < size)
            len += (size_t)snprintf(text + len, size - len, "%s%u", len ? ", " : "", m->record.index);
    }
}

static bool is_absent(const struct sfs_member *m)
{
    return !m->disk && !sfs_care_drains(m);
}

static bool is_behind(const struct sfs_member *m)
{
    return m->disk && !m->complete && !sfs_care_drains(m);
}

static bool is_draining(const struct sfs_member *m)
{
    return sfs_care_drains(m);
}

static void advise(struct sfs_store *s, unsigned left, char *action, size_t size)
{
    struct sfs_pool *pool = s->pool;
    const char *name = pool->config.name;
    char text[160];
    unsigned count;
    uint16_t first = 0;
    name_members(pool, is_absent, text, sizeof text, &count, &first);
    if (pool->suspended) {
        snprintf(action, size, "%s Connect them again; the pool goes on by itself, or after `scalefs online %s DISK`.",
                 pool->suspended_why, name);
        return;
    }
    if (count == 1) {
        snprintf(action, size, "Disk %s is absent: connect it again, or replace it with `scalefs replace %s %u NEW`.", text,
                 name, first);
        return;
    }
    if (count > 1) {
        snprintf(action, size, "Disks %s are absent: connect them again, or replace each with `scalefs replace %s DISK NEW`.",
                 text, name);
        return;
    }
    if (pool->config.extents_lost) {
        if (s->care && s->care->lost_ids.count)
            snprintf(action, size, "%llu pieces of files could not be read or rebuilt. Restore the files named from a backup, or "
                                   "delete them, then run `scalefs scrub %s`.",
                     (unsigned long long)pool->config.extents_lost, name);
        else
            snprintf(action, size, "%llu pieces of files could not be read or rebuilt: `scalefs scrub %s --wait` names them. Restore "
                                   "those files from a backup, or delete them, then scrub once more.",
                     (unsigned long long)pool->config.extents_lost, name);
        return;
    }
    name_members(pool, is_draining, text, sizeof text, &count, &first);
    const char *why = count ? sfs_care_why_blocked(s, first) : NULL;
    if (why) {
        snprintf(action, size, "Disk %u cannot be emptied: %s", first, why);
        return;
    }
    if (left >= pool->config.failover)
        return;
    if (pool->config.paused) {
        snprintf(action, size, "Changes are paused, and fewer disks may fail than is wished: `scalefs resume %s` lets them go on.",
                 name);
        return;
    }
    name_members(pool, is_behind, text, sizeof text, &count, &first);
    if (count)
        snprintf(action, size, "Wait while disk%s %s catch%s up.", count > 1 ? "s" : "", text, count > 1 ? "" : "es");
    else if (pool->members[0].used)
        name_members(pool, is_draining, text, sizeof text, &count, &first);
    if (!action[0] && count)
        snprintf(action, size, "Wait while disk%s %s %s replaced.", count > 1 ? "s" : "", text, count > 1 ? "are" : "is");
}

void sfs_care_state(struct sfs_store *s, enum scalefs_pool_state *state, unsigned *left, char *action, size_t action_size)
{
    action[0] = 0;
    sfs_store_lock(s);
    struct sfs_pool *pool = s->pool;
    *left = sfs_care_failures_left(s);
    if (pool->suspended) {
        *state = SCALEFS_SUSPENDED;
        *left = 0;
    } else if (pool->config.extents_lost) {
        *state = SCALEFS_DAMAGED;
    } else {
        *state = *left < pool->config.failover ? SCALEFS_DEGRADED : SCALEFS_HEALTHY;
        for (unsigned i = 0; i < pool->member_count; i++)
            if (pool->members[i].used && is_absent(&pool->members[i]))
                *state = SCALEFS_DEGRADED;
    }
    advise(s, *left, action, action_size);
    sfs_store_unlock(s);
}
