/* What the pool will be like when all is as it is wished: what becomes of each group, where columns go, what is free then.
 *
 * ONE RULE FOR FREE SPACE. While something changes, no more is free than will be after it: what a column that moves or is added takes
 * is taken now, and what is written anew is counted as what its new groups will hold. Whoever writes (room.c) and whoever asks for
 * a change (care_wish.c) are told by the same count, made by the functions that care itself goes by: a change that is begun finds its room.
 *
 * Columns stand here where care puts them: where most is free of the members that may take them, and where that is full others move on.
 */
#include "store/care_sketch.h"

#define LEVEL_MOST 20000u

struct future {
    struct sfs_care *care;
    struct sfs_sketch k;
    struct sfs_after *after;
    int64_t low[SFS_DISKS_MAX]; /* so much less than the reserve is free now: columns need not move on for that */
    const struct sfs_group *last; /* the largest of those that are written anew */
    uint32_t node_rows[SFS_CLASSES], node_room[SFS_CLASSES]; /* that are written anew; that hold nothing in those that stay */
};

static unsigned slot_of(const struct sfs_pool *pool, const struct sfs_member *m)
{
    return (unsigned)(m - pool->members);
}

static bool must_go(struct sfs_pool *pool, const struct sfs_group *g, unsigned c)
{
    return c < (unsigned)g->record.k + g->record.m && sfs_care_must_go(pool, &g->record, c);
}

/* Column c comes free, where that is room for others; or (`taken`) it does not after all. */
static void give_back(struct future *f, const struct sfs_group *g, unsigned c, bool taken)
{
    struct sfs_pool *pool = f->k.pool;
    const struct sfs_member *m = sfs_member_of(pool, g->record.columns[c].disk);
    int64_t bytes = (int64_t)1 << g->record.column_log2;
    if (m && sfs_member_usable(m) && !must_go(pool, g, c))
        f->k.free[slot_of(pool, m)] += taken ? -bytes : bytes;
}

static uint64_t bytes_of(const struct sfs_group *g)
{
    return (uint64_t)(g->record.k + g->record.m) << g->record.column_log2;
}

/* What lives in it is written anew. */
static void write_anew(struct future *f, struct sfs_group *g)
{
    bool data = g->record.class == SFS_CLASS_DATA;
    g->anew = true;
    if (data && (!f->last || bytes_of(g) > bytes_of(f->last)))
        f->last = g;
    f->after->anew += data ? g->count.live : 0;
    f->node_rows[g->record.class] += data ? 0 : g->count.used_rows;
}

static bool push(struct future *f, const struct sfs_sketch_piece *p)
{
    struct sfs_sketch *k = &f->k;
    if (sfs_vec_reserve(k->pool->env, &k->pieces, &k->piece_cap, k->piece_count + 1, sizeof *k->pieces))
        return false;
    k->pieces[k->piece_count++] = *p;
    return true;
}

/* The member that column c goes to; SFS_DISKS_MAX: none may take it. */
static unsigned place(const struct future *f, const struct sfs_group *g, unsigned c, const uint64_t *on, int64_t bytes)
{
    uint16_t to[SFS_DISKS_MAX];
    size_t count = sfs_sketch_targets(&f->k, on, g, c, to, SFS_DISKS_MAX);
    unsigned first = SFS_DISKS_MAX;
    for (size_t i = 0; i < count; i++) {
        const struct sfs_member *m = sfs_member_of(f->k.pool, to[i]);
        unsigned slot = slot_of(f->k.pool, m);
        if (!i && !sfs_sketch_takes_part(m))
            return SFS_DISKS_MAX; /* columns do not move to zoned disks */
        if (!i)
            first = slot;
        if (sfs_sketch_takes_part(m) && f->k.free[slot] >= bytes)
            return slot;
    }
    return first;
}

/* Its columns, each where it will stand. False: one of them nowhere. */
static bool place_all(struct future *f, const struct sfs_group *g, unsigned columns)
{
    struct sfs_pool *pool = f->k.pool;
    size_t before = f->k.piece_count;
    struct sfs_sketch_piece p = {.group = g->record.group, .m = g->record.m, .class = g->record.class,
                                 .bytes = 1ull << g->record.column_log2, .live = sfs_care_column_live(g)};
    for (unsigned c = 0; c < columns && c < (unsigned)g->record.k + g->record.m; c++) {
        const struct sfs_member *m = sfs_member_of(pool, g->record.columns[c].disk);
        if (m)
            p.on[slot_of(pool, m) / 64] |= 1ull << slot_of(pool, m) % 64;
    }
    for (unsigned c = 0; c < columns; c++) {
        const struct sfs_member *m =
            c < (unsigned)g->record.k + g->record.m ? sfs_member_of(pool, g->record.columns[c].disk) : NULL;
        p.homeless = c >= (unsigned)g->record.k + g->record.m || must_go(pool, g, c);
        if (!p.homeless && (!m || !sfs_sketch_takes_part(m)))
            continue;
        unsigned slot = p.homeless ? place(f, g, c, p.on, (int64_t)p.bytes) : slot_of(pool, m);
        p.column = (uint8_t)c;
        p.slot = (uint16_t)slot;
        if (slot < SFS_DISKS_MAX && push(f, &p)) {
            f->k.free[slot] -= p.homeless ? (int64_t)p.bytes : 0;
            p.on[slot / 64] |= 1ull << slot % 64;
            continue;
        }
        for (size_t i = before; i < f->k.piece_count; i++)
            f->k.free[f->k.pieces[i].slot] += f->k.pieces[i].homeless ? (int64_t)p.bytes : 0;
        f->k.piece_count = before;
        return false;
    }
    for (size_t i = before; i < f->k.piece_count; i++)
        memcpy(f->k.pieces[i].on, p.on, sizeof p.on);
    return true;
}

static void foretell_group(struct future *f, struct sfs_group *g)
{
    struct sfs_pool *pool = f->k.pool;
    struct sfs_care_fate fate = sfs_care_fate_of(f->care, g);
    unsigned n = (unsigned)g->record.k + g->record.m, columns = (unsigned)((int)n + fate.parity);
    bool goes = sfs_care_moves_for(pool, g) != 0;
    if (g->moving && f->care->column_to && (goes || fate.parity > 0)) { /* where it goes is taken already */
        const struct sfs_member *to = sfs_member_of(pool, f->care->column_to);
        f->k.free[to ? slot_of(pool, to) : 0] += to ? (int64_t)1 << g->record.column_log2 : 0;
    }
    for (unsigned c = columns; c < n; c++)
        give_back(f, g, c, false);
    bool stays = !fate.anew && !(goes && g->record.sequential);
    if (stays && (g->record.sequential || place_all(f, g, columns))) {
        if (g->record.class != SFS_CLASS_DATA)
            f->node_room[g->record.class] += g->record.state == SFS_GROUP_OPEN ? sfs_group_room(g) : 0;
        return;
    }
    write_anew(f, g);
    for (unsigned c = 0; c < columns && c < n; c++)
        give_back(f, g, c, false);
}

/* Nodes that find no row in the groups that stay want groups. */
static void place_nodes(struct future *f, enum sfs_class class)
{
    struct sfs_pool *pool = f->k.pool;
    uint32_t rows = f->node_rows[class] > f->node_room[class] ? f->node_rows[class] - f->node_room[class] : 0;
    uint32_t column = sfs_pool_zone_bytes(pool) ? sfs_pool_zone_bytes(pool) : SFS_ATOM_BYTES;
    uint32_t each = column / SFS_NODE_BYTES - 1;
    for (unsigned groups = (rows + each - 1) / each; groups > 0; groups--) {
        bool taken[SFS_DISKS_MAX] = {false};
        for (unsigned copies = sfs_care_parity(pool, (uint8_t)class) + 1; copies > 0; copies--) {
            unsigned best = SFS_DISKS_MAX;
            for (unsigned i = 0; i < pool->member_count; i++)
                if (sfs_member_usable(&pool->members[i]) && !taken[i] && (best == SFS_DISKS_MAX || f->k.free[i] > f->k.free[best]))
                    best = i;
            if (best == SFS_DISKS_MAX)
                break;
            taken[best] = true;
            f->k.free[best] -= (int64_t)column;
        }
    }
}

/* A group of which a column was put where there is no room is written anew instead. False: there is none. */
static bool give_up_one(struct future *f, unsigned slot)
{
    struct sfs_sketch *k = &f->k;
    size_t n = 0, from, to;
    while (n < k->piece_count && !(k->pieces[n].homeless && k->pieces[n].slot == slot))
        n++;
    if (n == k->piece_count)
        return false;
    for (from = n; from > 0 && k->pieces[from - 1].group == k->pieces[n].group; from--)
        continue;
    for (to = n; to < k->piece_count && k->pieces[to].group == k->pieces[n].group; to++)
        continue;
    for (size_t i = from; i < to; i++)
        k->free[k->pieces[i].slot] += (int64_t)k->pieces[i].bytes;
    write_anew(f, sfs_group_of(k->pool, k->pieces[n].group));
    memmove(&k->pieces[from], &k->pieces[to], (k->piece_count - to) * sizeof *k->pieces);
    k->piece_count -= to - from;
    return true;
}

/* Where columns were put that find no room others move on. */
static void level(struct future *f)
{
    struct sfs_sketch *k = &f->k;
    unsigned moves = 0;
    for (unsigned i = 0; i < k->count; i++)
        for (unsigned slot = k->order[i], to; k->free[slot] < f->low[slot];) {
            struct sfs_sketch_piece *p = moves++ < LEVEL_MOST ? sfs_sketch_way(k, slot, 0, &to) : NULL;
            if (p) {
                sfs_sketch_move(k, p, to);
            } else if (!give_up_one(f, slot)) {
                f->after->lacks += (uint64_t)(f->low[slot] - k->free[slot]);
                k->free[slot] = f->low[slot];
            }
        }
}

/* Is there a group that is not as it is wished? */
static bool something_changes(struct sfs_care *care)
{
    struct sfs_pool *pool = care->s->pool;
    for (uint32_t i = 0; i < pool->group_cap; i++) {
        struct sfs_group *g = pool->groups[i];
        if (g && g->record.class != SFS_CLASS_LANDING && (sfs_care_moves_for(pool, g) || sfs_care_converts(care, g)))
            return true;
    }
    return false;
}

static void foretell(struct future *f)
{
    struct sfs_pool *pool = f->care->s->pool;
    sfs_sketch_members(&f->k, pool, 0, true);
    sfs_groups_less_reserve(pool, f->k.free); /* columns that move do not take it for good */
    for (unsigned i = 0; i < pool->member_count; i++)
        f->low[i] = f->k.free[i] < 0 ? f->k.free[i] : 0;
    for (uint32_t i = 0; i < pool->group_cap; i++) {
        struct sfs_group *g = pool->groups[i];
        if (!g)
            continue;
        g->anew = false;
        if (g->record.class != SFS_CLASS_LANDING) /* they are packed */
            foretell_group(f, g);
    }
    level(f);
    /* What lives in the last group finds room before the group is empty. */
    for (unsigned c = 0; f->last && c < (unsigned)f->last->record.k + f->last->record.m; c++)
        give_back(f, f->last, c, true);
    place_nodes(f, SFS_CLASS_SYSTEM);
    place_nodes(f, SFS_CLASS_METADATA);
    f->after->room = sfs_groups_room_in(pool, f->k.free);
    memcpy(f->after->free, f->k.free, sizeof f->after->free);
    sfs_sketch_done(&f->k);
}

void sfs_care_after(struct sfs_care *care, struct sfs_after *after)
{
    struct sfs_pool *pool = care->s->pool;
    struct future f = {.care = care, .after = after};
    struct sfs_care_pass pass;
    *after = (struct sfs_after){0};
    if (sfs_pool_zone_bytes(pool)) /* there room comes free with whole groups, and nodes need some of it first: not foretold yet */
        return;
    sfs_care_pass_begin(care, &pass);
    after->changes = something_changes(care);
    if (after->changes)
        foretell(&f);
    sfs_care_pass_end(care, &pass);
}

const struct sfs_after *sfs_care_after_known(struct sfs_care *care)
{
    struct sfs_pool *pool = care->s->pool;
    uint64_t key = ((pool->committed * 31 + pool->config.next_generation) * 31 + care->wakes) * 31 + pool->pending_count + 1;
    if (care->after_key != key) {
        sfs_care_after(care, &care->after);
        care->after_key = key;
        sfs_groups_foretold(pool, care->after.changes ? care->after.free : NULL);
    }
    return &care->after;
}
