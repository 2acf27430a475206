/* Columns of nodes move to metadata disks, as long as these have room. After a change of the wish columns also move from full
 * members to empty ones of the same role until what is free is even, as far as that can be had with no two columns of a group on one
 * member. Then the wish is settled, and members that joined are as the others.
 *
 * Only after all groups have the width that is wished (care_convert.c), so nothing is moved twice. The moves are found on a
 * sketch of the pool: the first of them is made, the sum of all is what there is to do.
 */
#include "store/care_internal.h"

#include "pool/placement.h"

#define UNEVEN_SHARE 64u /* of a disk: less than that is even enough */
#define MOVES_MAX 20000u /* that are foreseen */

/* A column that may move. */
struct piece {
    uint32_t group;
    uint8_t column;
    uint8_t slot;   /* of the member that it is on */
    uint8_t m, class;
    uint64_t bytes, live;
    uint64_t on[SFS_DISKS_MAX / 64]; /* slots of all columns of its group */
};

struct sketch {
    struct sfs_pool *pool;
    bool even; /* what is free is to become even, too */
    uint64_t free[SFS_DISKS_MAX]; /* by slot; of members that take part */
    uint8_t order[SFS_DISKS_MAX]; /* those, the least free first */
    unsigned count;
    struct piece *pieces;
    size_t piece_count, piece_cap;
};

static bool takes_part(const struct sfs_member *m)
{
    return sfs_member_usable(m) && m->record.layout != SFS_LAYOUT_ZONED;
}

static unsigned slot_of(const struct sfs_pool *pool, const struct sfs_member *m)
{
    return (unsigned)(m - pool->members);
}

static bool add_group(struct sketch *k, const struct sfs_group *g)
{
    struct piece p = {.group = g->record.group, .m = g->record.m, .class = g->record.class, .bytes = 1ull << g->record.column_log2,
                      .live = sfs_care_column_live(g)};
    unsigned n = (unsigned)g->record.k + g->record.m;
    if (sfs_vec_reserve(k->pool->env, &k->pieces, &k->piece_cap, k->piece_count + n, sizeof *k->pieces))
        return false;
    for (unsigned c = 0; c < n; c++) {
        const struct sfs_member *m = sfs_member_of(k->pool, g->record.columns[c].disk);
        if (m)
            p.on[slot_of(k->pool, m) / 64] |= 1ull << slot_of(k->pool, m) % 64;
    }
    for (unsigned c = 0; c < n; c++) {
        const struct sfs_member *m = sfs_member_of(k->pool, g->record.columns[c].disk);
        if (!m || !takes_part(m))
            continue;
        p.column = (uint8_t)c;
        p.slot = (uint8_t)slot_of(k->pool, m);
        k->pieces[k->piece_count++] = p;
    }
    return true;
}

static bool is_fixed(const struct sfs_care *care, const struct sfs_group *g)
{
    for (size_t i = 0; i < care->fixed_count; i++)
        if (care->fixed[i] == g->record.generation)
            return true;
    return false;
}

/* locked */
static bool draw(struct sketch *k, const struct sfs_care *care)
{
    struct sfs_pool *pool = care->s->pool;
    *k = (struct sketch){.pool = pool, .even = pool->config.settle};
    if (!k->even && !sfs_care_has_roles(pool))
        return true;
    for (unsigned i = 0; i < pool->member_count; i++)
        if (takes_part(&pool->members[i])) {
            k->free[i] = (uint64_t)pool->members[i].free_atoms * pool->members[i].record.atom_bytes;
            k->order[k->count++] = (uint8_t)i;
        }
    for (uint32_t i = 0; i < pool->group_cap; i++) {
        const struct sfs_group *g = pool->groups[i];
        if (g && g->count.live && !g->record.sequential && g->record.state == SFS_GROUP_OPEN &&
            g->record.class != SFS_CLASS_LANDING && !is_fixed(care, g) && !sfs_care_converts(care, g) &&
            !sfs_care_moves_for(pool, g) && !add_group(k, g))
            return false;
    }
    return true;
}

static void sort(struct sketch *k)
{
    for (unsigned i = 1; i < k->count; i++)
        for (unsigned j = i; j > 0 && k->free[k->order[j - 1]] > k->free[k->order[j]]; j--) {
            uint8_t swap = k->order[j];
            k->order[j] = k->order[j - 1];
            k->order[j - 1] = swap;
        }
}

static bool same_station(const struct sketch *k, unsigned a, unsigned b)
{
    const char *of_a = k->pool->members[a].record.station, *of_b = k->pool->members[b].record.station;
    return of_a[0] && !strcmp(of_a, of_b);
}

/* No two columns on one member, and no more in one station than may be lost, where that is so now. */
static bool may_go(const struct sketch *k, const struct piece *p, unsigned to)
{
    if (p->on[to / 64] >> to % 64 & 1)
        return false;
    unsigned there = 0;
    for (unsigned i = 0; i < k->count && k->pool->members[to].record.station[0]; i++) {
        unsigned slot = k->order[i];
        there += slot != p->slot && (p->on[slot / 64] >> slot % 64 & 1) && same_station(k, slot, to);
    }
    return !p->m || there < p->m || same_station(k, p->slot, to);
}

static unsigned role_of(const struct sketch *k, unsigned slot)
{
    return k->pool->members[slot].record.role;
}

/* A column that stands on a disk that is not the best for its class while one that is has room; NULL: none. */
static struct piece *misplaced(struct sketch *k, unsigned *to)
{
    for (size_t n = 0; n < k->piece_count; n++) {
        struct piece *p = &k->pieces[n];
        enum sfs_class class = (enum sfs_class)p->class;
        bool found = false;
        if (sfs_placement_prefers(class, role_of(k, p->slot)))
            continue;
        for (unsigned i = 0; i < k->count; i++) {
            unsigned slot = k->order[i];
            if (!sfs_placement_prefers(class, role_of(k, slot)) || k->free[slot] < p->bytes || !may_go(k, p, slot) ||
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
static struct piece *uneven(struct sketch *k, unsigned *to)
{
    struct piece *best = NULL;
    uint64_t best_gap = 0;
    sort(k);
    for (unsigned i = 0; i < k->count; i++)
        for (unsigned j = k->count; j-- > i + 1;) {
            unsigned from = k->order[i], target = k->order[j];
            const struct sfs_disk_record *r = &k->pool->members[target].record;
            if (role_of(k, from) != role_of(k, target))
                continue;
            uint64_t gap = k->free[target] - k->free[from], least = (uint64_t)r->atoms * r->atom_bytes / UNEVEN_SHARE;
            if (gap < best_gap || gap < least)
                break; /* those before it have less */
            for (size_t n = 0; n < k->piece_count; n++) {
                struct piece *p = &k->pieces[n];
                if (p->slot == from && gap >= 2 * p->bytes + least && may_go(k, p, target) &&
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
static struct piece *choose(struct sketch *k, unsigned *to)
{
    struct piece *p = misplaced(k, to);
    return p || !k->even ? p : uneven(k, to);
}

/* The column stands there now. */
static void apply(struct sketch *k, struct piece *p, unsigned to)
{
    unsigned from = p->slot;
    k->free[from] += p->bytes;
    k->free[to] -= p->bytes;
    p->slot = (uint8_t)to;
    struct piece *of_group = p;
    while (of_group > k->pieces && of_group[-1].group == p->group)
        of_group--;
    for (; of_group < k->pieces + k->piece_count && of_group->group == p->group; of_group++) {
        of_group->on[from / 64] &= ~(1ull << from % 64);
        of_group->on[to / 64] |= 1ull << to % 64;
    }
}

bool sfs_care_has_roles(const struct sfs_pool *pool)
{
    for (unsigned i = 0; i < pool->member_count; i++)
        if (takes_part(&pool->members[i]) && pool->members[i].record.role != SFS_ROLE_DATA)
            return true;
    return false;
}

uint64_t sfs_care_balance_bytes(struct sfs_care *care)
{
    struct sketch k;
    uint64_t bytes = 0;
    unsigned to, moves = 0;
    struct piece *p;
    if (draw(&k, care))
        while (moves++ < MOVES_MAX && (p = choose(&k, &to)) != NULL) {
            bytes += p->live;
            apply(&k, p, to);
        }
    sfs_free(care->s->env, k.pieces);
    return bytes;
}

/* The first move. locked */
static int first(struct sfs_care *care, struct sfs_care_move *move)
{
    struct sfs_store *s = care->s;
    struct sketch k;
    unsigned to;
    int err = draw(&k, care) ? SCALEFS_OK : SCALEFS_E_NOMEM;
    struct piece *p = err ? NULL : choose(&k, &to);
    if (p)
        *move = (struct sfs_care_move){p->group, p->column, s->pool->members[to].record.index,
                                       sfs_group_of(s->pool, p->group)->record.generation};
    else if (!err)
        err = SCALEFS_E_NOENT;
    sfs_free(s->env, k.pieces);
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
    for (uint32_t i = 0; i < pool->group_cap; i++)
        if (pool->groups[i] && sfs_care_converts(care, pool->groups[i])) {
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
        err = sfs_column_move(care, m.group, m.column, m.to, false);
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
