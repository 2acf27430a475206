/* Groups with fewer parity columns than is wanted, or with two columns on one disk: what lives in them is written anew
 * into better ones, and they are freed.
 *
 * Such groups are made while disks are absent; with one disk left, both copies of metadata are on it. They take nothing
 * new from then on (EVACUATING), so the work ends. Data moves as in compaction; logs are packed; nodes become dirty, so
 * that the next checkpoint writes them elsewhere.
 */
#include "store/care_internal.h"

/* --- what is wanted --- */

/* Parity columns that a new group of this class would get. */
static unsigned wanted(const struct sfs_pool *pool, uint8_t class)
{
    unsigned usable = 0;
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct sfs_member *m = &pool->members[i];
        usable += sfs_member_usable(m);
    }
    if (usable < 2)
        return 0;
    unsigned m = pool->config.failover < usable - 1 ? pool->config.failover : usable - 1;
    return m == 0 && (class == SFS_CLASS_SYSTEM || class == SFS_CLASS_METADATA) ? 1 : m;
}

static bool is_stuck(const struct sfs_care *care, const struct sfs_group *g)
{
    for (size_t i = 0; i < care->stuck_count; i++)
        if (care->stuck[i] == g->record.generation)
            return true;
    return false;
}

/* Without failover both copies may be on one disk again, because the others are full: that would have no end. */
static bool is_doubled(const struct sfs_pool *pool, const struct sfs_group_record *g)
{
    for (unsigned c = 1; c < (unsigned)g->k + g->m; c++)
        for (unsigned b = 0; b < c; b++)
            if (g->columns[b].disk == g->columns[c].disk)
                return pool->config.failover > 0;
    return false;
}

bool sfs_care_converts(const struct sfs_care *care, const struct sfs_group *g)
{
    unsigned m = wanted(care->s->pool, g->record.class);
    return (g->record.m < m || (m && is_doubled(care->s->pool, &g->record)) ||
            (g->record.state == SFS_GROUP_EVACUATING && g->count.live > 0)) &&
           !is_stuck(care, g);
}

/* What could not be read stays where it is: not again in this opening. locked */
static void give_up(struct sfs_care *care, uint64_t generation)
{
    if (!sfs_vec_reserve(care->s->env, &care->stuck, &care->stuck_cap, care->stuck_count + 1, sizeof *care->stuck))
        care->stuck[care->stuck_count++] = generation;
}

/* The next one; it takes nothing any more. locked */
static struct sfs_group *choose(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    struct sfs_group *found = NULL;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (!g || g->moving || !sfs_care_converts(care, g))
            continue;
        if (g->record.state == SFS_GROUP_OPEN)
            sfs_group_evacuate(s, g);
        if (g->in_flight > g->pins) /* rows are still being written */
            care->retry_soon = true;
        else if (g->count.live > 0 && !found)
            found = g;
    }
    return found;
}

/* --- steps --- */

static int evacuate(struct sfs_care *care, const struct sfs_group_record *g)
{
    uint64_t bytes;
    bool last;
    int err = sfs_empty_some(care->s, g, SFS_EMPTY_ROWS, &bytes, &last);
    sfs_care_moved(care, bytes);
    if (!err && (g->class != SFS_CLASS_DATA || last))
        err = sfs_checkpoint(care->s, false, false, true);
    return err;
}

bool sfs_care_convert_step(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    sfs_store_lock(s);
    struct sfs_group *g = sfs_care_blocked(care, 0) ? NULL : choose(care);
    if (!g) {
        sfs_store_unlock(s);
        return false;
    }
    struct sfs_group_record r = g->record;
    uint64_t live = g->count.live;
    sfs_store_unlock(s);
    int err = evacuate(care, &r);
    sfs_store_lock(s);
    g = sfs_group_of(s->pool, r.group);
    bool same = g && g->record.generation == r.generation;
    if (!err && same && g->record.state == SFS_GROUP_OPEN)
        err = SCALEFS_E_NOSPC; /* nodes had to go into it again: see space.c */
    else if (!err && same && g->count.live >= live)
        give_up(care, r.generation);
    if (err && err != SCALEFS_E_CHANGED && err != SCALEFS_E_NOENT)
        sfs_care_block(care, 0, err == SCALEFS_E_NOSPC ? "There is no room to write it anew." : scalefs_error_text(err));
    sfs_store_unlock(s);
    return true;
}
