/* A sketch of the pool: see care_sketch.h. */
#include "store/care_sketch.h"

#include "pool/placement.h"

bool sfs_sketch_takes_part(const struct sfs_member *m)
{
    return sfs_member_usable(m) && m->record.layout != SFS_LAYOUT_ZONED;
}

static unsigned slot_of(const struct sfs_pool *pool, const struct sfs_member *m)
{
    return (unsigned)(m - pool->members);
}

static uint64_t atoms_coming(const struct sfs_pool *pool, const struct sfs_member *m)
{
    uint64_t atoms = 0;
    for (size_t p = 0; p < pool->pending_count; p++)
        if (pool->pending[p].disk == m->record.index && pool->pending[p].atom < m->limit)
            atoms += pool->pending[p].atoms;
    return atoms;
}

void sfs_sketch_members(struct sfs_sketch *k, struct sfs_pool *pool, uint64_t area, bool soon)
{
    memset(k, 0, sizeof *k);
    k->pool = pool;
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct sfs_member *m = &pool->members[i];
        if (!sfs_member_usable(m))
            continue;
        uint64_t free = area ? sfs_atoms_areas(m, (uint32_t)(area / m->record.atom_bytes)) * area
                             : (uint64_t)m->free_atoms * m->record.atom_bytes;
        k->free[i] = (int64_t)(free + (soon ? atoms_coming(pool, m) * m->record.atom_bytes : 0));
        if (sfs_sketch_takes_part(m))
            k->order[k->count++] = (uint16_t)i;
    }
}

bool sfs_sketch_add(struct sfs_sketch *k, const struct sfs_group *g)
{
    struct sfs_sketch_piece p = {.group = g->record.group, .m = g->record.m, .class = g->record.class,
                                 .bytes = 1ull << g->record.column_log2, .live = sfs_care_column_live(g)};
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
        if (!m || !sfs_sketch_takes_part(m))
            continue;
        p.column = (uint8_t)c;
        p.slot = (uint16_t)slot_of(k->pool, m);
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

bool sfs_sketch_groups(struct sfs_sketch *k, const struct sfs_care *care)
{
    struct sfs_pool *pool = k->pool;
    for (uint32_t i = 0; i < pool->group_cap; i++) {
        const struct sfs_group *g = pool->groups[i];
        if (g && (g->count.live || g->spare) && !g->record.sequential && g->record.state == SFS_GROUP_OPEN &&
            g->record.class != SFS_CLASS_LANDING && !is_fixed(care, g) && sfs_group_whole(pool, g) && !sfs_care_converts(care, g) &&
            !sfs_care_moves_for(pool, g) && !sfs_sketch_add(k, g))
            return false;
    }
    return true;
}

void sfs_sketch_done(struct sfs_sketch *k)
{
    sfs_free(k->pool->env, k->pieces);
}

static bool same_station(const struct sfs_sketch *k, unsigned a, unsigned b)
{
    const char *of_a = k->pool->members[a].record.station, *of_b = k->pool->members[b].record.station;
    return of_a[0] && !strcmp(of_a, of_b);
}

bool sfs_sketch_may_go(const struct sfs_sketch *k, const struct sfs_sketch_piece *p, unsigned to)
{
    if (p->on[to / 64] >> to % 64 & 1 || !sfs_placement_may((enum sfs_class)p->class, k->pool->members[to].record.role))
        return false;
    unsigned there = 0;
    for (unsigned i = 0; i < k->count && k->pool->members[to].record.station[0]; i++) {
        unsigned slot = k->order[i];
        there += slot != p->slot && (p->on[slot / 64] >> slot % 64 & 1) && same_station(k, slot, to);
    }
    return !p->m || there < p->m || same_station(k, p->slot, to);
}

void sfs_sketch_move(struct sfs_sketch *k, struct sfs_sketch_piece *p, unsigned to)
{
    unsigned from = p->slot;
    k->free[from] += (int64_t)p->bytes;
    k->free[to] -= (int64_t)p->bytes;
    p->slot = (uint16_t)to;
    struct sfs_sketch_piece *of_group = p;
    while (of_group > k->pieces && of_group[-1].group == p->group)
        of_group--;
    for (; of_group < k->pieces + k->piece_count && of_group->group == p->group; of_group++) {
        of_group->on[from / 64] &= ~(1ull << from % 64);
        of_group->on[to / 64] |= 1ull << to % 64;
    }
}

/* Which column comes to a member, on the way that is looked for, and how much room is wanted there. */
struct step {
    struct sfs_sketch_piece *piece; /* NULL: not reached */
    int64_t bytes;
};

/* For each member that is not reached yet: the column of this one that may go there for the least that has to be copied. */
static void look_around(struct sfs_sketch *k, unsigned slot, int64_t bytes, struct step steps[SFS_DISKS_MAX])
{
    for (size_t n = 0; n < k->piece_count; n++) {
        struct sfs_sketch_piece *p = &k->pieces[n];
        if (p->slot != slot || (int64_t)p->bytes < bytes)
            continue;
        for (unsigned i = 0; i < k->count; i++) {
            struct step *s = &steps[k->order[i]];
            bool reached = s->bytes != 0 && (!s->piece || s->piece->slot != slot);
            if (!reached && (!s->piece || p->live < s->piece->live) && sfs_sketch_may_go(k, p, k->order[i]))
                *s = (struct step){p, (int64_t)p->bytes};
        }
    }
}

struct sfs_sketch_piece *sfs_sketch_way(struct sfs_sketch *k, unsigned slot, uint64_t bytes, unsigned *to)
{
    struct step steps[SFS_DISKS_MAX] = {{NULL, 0}};
    unsigned queue[SFS_DISKS_MAX], end = 0;
    bool queued[SFS_DISKS_MAX] = {false};
    if (k->free[slot] >= (int64_t)bytes)
        return NULL;
    queue[end++] = slot;
    queued[slot] = true;
    steps[slot].bytes = bytes ? (int64_t)bytes : 1;
    for (unsigned at = 0; at < end; at++) {
        unsigned from = queue[at], best = SFS_DISKS_MAX;
        look_around(k, from, steps[from].bytes, steps);
        for (unsigned i = 0; i < k->count; i++) {
            unsigned next = k->order[i];
            if (queued[next] || !steps[next].piece)
                continue;
            queue[end++] = next;
            queued[next] = true;
            if (k->free[next] >= steps[next].bytes && (best == SFS_DISKS_MAX || k->free[next] > k->free[best]))
                best = next;
        }
        if (best < SFS_DISKS_MAX) {
            *to = best;
            return steps[best].piece;
        }
    }
    return NULL;
}
