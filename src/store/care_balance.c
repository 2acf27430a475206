/* After a change of the wish: columns move from full members to empty ones until what is free is even, as far as that can be had
 * with no two columns of a group on one member. Then the wish is settled, and members that joined are as the others.
 *
 * Only after all groups have the width that is wished (care_convert.c), so nothing is moved twice.
 */
#include "store/care_internal.h"

#define UNEVEN_SHARE 64u /* of a disk: less than that is even enough */

struct move {
    uint32_t group;
    uint8_t column;
    uint16_t to;
};

static uint64_t free_of(const struct sfs_member *m)
{
    return (uint64_t)m->free_atoms * m->record.atom_bytes;
}

/* The column that evens most for the least that has to be copied. locked */
static bool choose(struct sfs_care *care, struct move *best)
{
    struct sfs_pool *pool = care->s->pool;
    uint64_t best_gap = 0, best_live = 0;
    for (uint32_t i = 0; i < pool->group_cap; i++) {
        struct sfs_group *g = pool->groups[i];
        if (!g || g->moving || !g->count.live || g->record.sequential || g->record.state != SFS_GROUP_OPEN ||
            g->record.class == SFS_CLASS_LANDING)
            continue;
        uint64_t bytes = 1ull << g->record.column_log2, live = sfs_care_column_live(g);
        for (unsigned c = 0; c < (unsigned)g->record.k + g->record.m; c++) {
            const struct sfs_member *from = sfs_member_of(pool, g->record.columns[c].disk), *to;
            uint16_t index;
            if (!from || !sfs_member_usable(from) || !sfs_care_targets(pool, g, c, &index, 1) ||
                !(to = sfs_member_of(pool, index)) || to->record.layout == SFS_LAYOUT_ZONED)
                continue;
            uint64_t least = (uint64_t)to->record.atoms * to->record.atom_bytes / UNEVEN_SHARE;
            if (free_of(to) < free_of(from) + 2 * bytes || free_of(to) - free_of(from) - 2 * bytes < least)
                continue;
            uint64_t gap = free_of(to) - free_of(from);
            if (best_gap > gap || (best_gap == gap && best_live <= live))
                continue;
            best_gap = gap;
            best_live = live;
            *best = (struct move){i, (uint8_t)c, index};
        }
    }
    return best_gap > 0;
}

/* Nothing is left to move. */
static bool settled(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    sfs_store_lock(s);
    struct sfs_pool *pool = s->pool;
    for (uint32_t i = 0; i < pool->group_cap; i++)
        if (pool->groups[i] && sfs_care_converts(care, pool->groups[i])) {
            sfs_store_unlock(s);
            return false;
        }
    pool->config.settle = 0;
    pool->config_dirty = true;
    for (unsigned i = 0; i < pool->member_count; i++)
        if (pool->members[i].used && pool->members[i].disk)
            sfs_member_joined(pool, pool->members[i].record.index);
    sfs_store_unlock(s);
    return sfs_checkpoint(s, false, false, true) == SCALEFS_OK;
}

bool sfs_care_balance_step(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    struct move m;
    sfs_store_lock(s);
    if (!s->pool->config.settle || care->retry_soon || sfs_care_blocked(care, 0)) {
        sfs_store_unlock(s);
        return false;
    }
    bool some = choose(care, &m);
    sfs_store_unlock(s);
    if (!some)
        return settled(care);
    int err = sfs_column_move(care, m.group, m.column, m.to);
    sfs_store_lock(s);
    if (err == SCALEFS_E_BUSY)
        care->retry_soon = true;
    else if (err && err != SCALEFS_E_CHANGED && err != SCALEFS_E_CANCELED)
        care->retry = true;
    sfs_store_unlock(s);
    return err == SCALEFS_OK || err == SCALEFS_E_CHANGED;
}
