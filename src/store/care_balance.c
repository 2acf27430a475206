/* Columns of nodes move to metadata disks, as long as these have room. After a change of the wish columns also move from full
 * members to empty ones of the same role until what is free is even, as far as that can be had with no two columns of a group on one
 * member. Then the wish is settled, and members that joined are as the others.
 *
 * Only after all groups have the width that is wished (care_convert.c), so nothing is moved twice. The moves are found on a
 * sketch of the pool: the first of them is made, the sum of all is what there is to do.
 */
#include "store/care_sketch.h"

#include "pool/placement.h"

#define UNEVEN_SHARE 64u /* of a disk: less than that is even enough */
#define MOVES_MAX 20000u /* that are foreseen */

static void sort(struct sfs_sketch *k)
{
    for (unsigned i = 1; i < k->count; i++)
        for (unsigned j = i; j > 0 && k->free[k->order[j - 1]] > k->free[k->order[j]]; j--) {
            uint16_t swap = k->order[j];
            k->order[j] = k->order[j - 1];
            k->order[j - 1] = swap;
        }
}

static unsigned role_of(const struct sfs_sketch *k, unsigned slot)
{
    return k->pool->members[slot].record.role;
}

/* A column that stands on a disk that is not the best for its class while one that is has room; NULL: none. */
static struct sfs_sketch_piece *misplaced(struct sfs_sketch *k, unsigned *to)
{
    for (size_t n = 0; n < k->piece_count; n++) {
        struct sfs_sketch_piece *p = &k->pieces[n];
        enum sfs_class class = (enum sfs_class)p->class;
        bool found = false;
        if (sfs_placement_prefers(class, role_of(k, p->slot)))
            continue;
        for (unsigned i = 0; i < k->count; i++) {
            unsigned slot = k->order[i];
            if (!sfs_placement_prefers(class, role_of(k, slot)) || k->free[slot] < (int64_t)p->bytes || !sfs_sketch_may_go(k, p, slot) ||
                (found && k->free[slot] <= k->free[*to]))
                continue;
            *to = slot;
            found = true;
        }
        if (found)
            return p;
    }
    return NULL;
}

/* The column that evens most for the least that has to be copied; NULL: it is even. */
static struct sfs_sketch_piece *uneven(struct sfs_sketch *k, unsigned *to)
{
    struct sfs_sketch_piece *best = NULL;
    uint64_t best_gap = 0;
    sort(k);
    for (unsigned i = 0; i < k->count; i++)
        for (unsigned j = k->count; j-- > i + 1;) {
            unsigned from = k->order[i], target = k->order[j];
            const struct sfs_disk_record *r = &k->pool->members[target].record;
            if (role_of(k, from) != role_of(k, target))
                continue;
            uint64_t gap = (uint64_t)(k->free[target] - k->free[from]), least = (uint64_t)r->atoms * r->atom_bytes / UNEVEN_SHARE;
            if (gap < best_gap || gap < least)
                break; /* those before it have less */
            for (size_t n = 0; n < k->piece_count; n++) {
                struct sfs_sketch_piece *p = &k->pieces[n];
                if (p->slot == from && gap >= 2 * p->bytes + least && sfs_sketch_may_go(k, p, target) &&
                    (!best || gap > best_gap || p->live < best->live)) {
                    best = p;
                    best_gap = gap;
                    *to = target;
                }
            }
        }
    return best;
}

/* The next move; NULL: all is where it should be. */
static struct sfs_sketch_piece *choose(struct sfs_sketch *k, unsigned *to)
{
    struct sfs_sketch_piece *p = misplaced(k, to);
    return p || !k->even ? p : uneven(k, to);
}

bool sfs_care_has_roles(const struct sfs_pool *pool)
{
    for (unsigned i = 0; i < pool->member_count; i++)
        if (sfs_sketch_takes_part(&pool->members[i]) && pool->members[i].record.role != SFS_ROLE_DATA)
            return true;
    return false;
}

/* Nothing, where nothing is to move for that. */
static bool draw(struct sfs_sketch *k, const struct sfs_care *care)
{
    struct sfs_pool *pool = care->s->pool;
    sfs_sketch_members(k, pool, 0, false);
    k->even = pool->config.settle;
    return (!k->even && !sfs_care_has_roles(pool)) || sfs_sketch_groups(k, care);
}

uint64_t sfs_care_balance_bytes(struct sfs_care *care)
{
    struct sfs_sketch k;
    uint64_t bytes = 0;
    unsigned to, moves = 0;
    struct sfs_sketch_piece *p;
    struct sfs_care_pass pass;
    sfs_care_pass_begin(care, &pass);
    bool drawn = draw(&k, care);
    sfs_care_pass_end(care, &pass);
    if (drawn)
        while (moves++ < MOVES_MAX && (p = choose(&k, &to)) != NULL) {
            bytes += p->live;
            sfs_sketch_move(&k, p, to);
        }
    sfs_sketch_done(&k);
    return bytes;
}

/* The first move. locked */
static int first(struct sfs_care *care, struct sfs_care_move *move)
{
    struct sfs_store *s = care->s;
    struct sfs_sketch k;
    unsigned to;
    struct sfs_care_pass pass;
    sfs_care_pass_begin(care, &pass);
    int err = draw(&k, care) ? SCALEFS_OK : SCALEFS_E_NOMEM;
    sfs_care_pass_end(care, &pass);
    struct sfs_sketch_piece *p = err ? NULL : choose(&k, &to);
    if (p)
        *move = (struct sfs_care_move){p->group, p->column, s->pool->members[to].record.index,
                                       sfs_group_of(s->pool, p->group)->record.generation};
    else if (!err)
        err = SCALEFS_E_NOENT;
    sfs_sketch_done(&k);
    return err;
}

/* Nothing is left to move: members that joined are as the others, and the wish is what a later one can be taken back to. */
static bool settled(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    bool drains = false, news = false;
    sfs_store_lock(s);
    struct sfs_pool *pool = s->pool;
    struct sfs_config_record *c = &pool->config;
    struct sfs_care_pass pass;
    bool converts = false;
    sfs_care_pass_begin(care, &pass);
    for (uint32_t i = 0; i < pool->group_cap && !converts; i++)
        converts = pool->groups[i] && sfs_care_converts(care, pool->groups[i]);
    sfs_care_pass_end(care, &pass);
    if (converts) {
        sfs_store_unlock(s);
        return false;
    }
    for (unsigned i = 0; i < pool->member_count; i++)
        drains = drains || sfs_care_drains(&pool->members[i]);
    care->fixed_count = 0;
    if (c->settle) {
        c->settle = 0;
        news = true;
        for (unsigned i = 0; i < pool->member_count; i++)
            if (pool->members[i].used && pool->members[i].disk)
                sfs_member_joined(pool, pool->members[i].record.index);
    }
    if (!drains && (c->was_failover != c->failover || c->was_optimize != c->optimize)) {
        c->was_failover = c->failover;
        c->was_optimize = c->optimize;
        news = true;
    }
    pool->config_dirty = pool->config_dirty || news;
    sfs_store_unlock(s);
    return news && sfs_checkpoint(s, false, false, true) == SCALEFS_OK;
}

bool sfs_care_balance_step(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    struct sfs_care_move m;
    sfs_store_lock(s);
    const struct sfs_config_record *c = &s->pool->config;
    bool changed = c->settle || c->was_failover != c->failover || c->was_optimize != c->optimize;
    if (!(changed || sfs_care_has_roles(s->pool)) || care->retry_soon || sfs_care_blocked(care, 0) || sfs_care_paused(s->pool, SFS_CARE_CONVERT) ||
        sfs_care_paused(s->pool, SFS_CARE_REBALANCE)) {
        sfs_store_unlock(s);
        return false;
    }
    int err = first(care, &m);
    if (err != SCALEFS_E_NOENT || changed)
        sfs_care_begin(care, SFS_CARE_REBALANCE);
    sfs_store_unlock(s);
    if (err == SCALEFS_E_NOENT)
        return changed && settled(care);
    if (!err)
        err = sfs_column_move(care, &(struct sfs_group_record){.group = m.group, .generation = m.generation}, m.column, m.to, false);
    sfs_store_lock(s);
    if (err == SCALEFS_E_BUSY)
        care->retry_soon = true;
    if (err == SCALEFS_E_NOSPC)
        care->balance_known = false;
    if (err == SCALEFS_E_NOSPC && !sfs_vec_reserve(s->env, &care->fixed, &care->fixed_cap, care->fixed_count + 1,
                                                        sizeof *care->fixed)) /* what is free there is in smaller pieces */
        care->fixed[care->fixed_count++] = m.generation;
    else if (err && err != SCALEFS_E_CHANGED && err != SCALEFS_E_CANCELED && err != SCALEFS_E_BUSY)
        care->retry = true;
    sfs_store_unlock(s);
    return err == SCALEFS_OK || err == SCALEFS_E_CHANGED || err == SCALEFS_E_NOSPC;
}
