/* How large columns are, what is kept in reserve, and how much room there is.
 *
 * SIZES. A column is about 1/64 of the smallest member that takes its class, a power of two, or more where the table could not
 * describe so many groups; those of other classes than data are at most 64 MiB. THE RESERVE is room on m + 1 of the largest members
 * that take data (nodes go there, too, when metadata disks are full) for one system, one metadata and one data column each; only metadata and those who clean up may use it. With zoned disks rows come free with whole groups only, so
 * more is kept: SFS_SPARE_NODE_GROUPS for nodes, of which even cleaners leave one half, and a column on every member, so that what
 * lives in one group of data fits a new one, however wide. Locked; memory only.
 */
#include "pool/internal.h"

#define ATOM_LOG2 22u
#define SMALL_LOG2_MAX 26u
#define DATA_LOG2_MAX 30u
#define COLUMNS_PER_DISK 64u
#define RESERVE_SHARE 8u /* room for a cleaner takes at most this part of a disk */

bool sfs_member_usable(const struct sfs_member *m)
{
    return m->used && m->disk && !m->unnamed &&
           (m->record.wish == SFS_WISH_STAY || m->record.wish == SFS_WISH_JOIN || m->staying) && m->record.role <= SFS_ROLE_METADATA;
}

bool sfs_member_takes(const struct sfs_member *m, enum sfs_class class)
{
    return sfs_member_usable(m) && sfs_placement_may(class, m->record.role);
}

uint32_t sfs_pool_zone_bytes(const struct sfs_pool *pool)
{
    for (unsigned i = 0; i < pool->member_count; i++)
        if (pool->members[i].used && pool->members[i].record.layout == SFS_LAYOUT_ZONED)
            return pool->members[i].record.atom_bytes;
    return 0;
}

static uint8_t log2_of(uint32_t bytes)
{
    uint8_t log2 = 0;
    while (bytes >>= 1)
        log2++;
    return log2;
}

static uint64_t room_of(const struct sfs_member *m)
{
    return (uint64_t)m->limit * m->record.atom_bytes;
}

/* Atoms of 4 MiB as atoms of that member. */
static uint32_t in_atoms_of(const struct sfs_member *m, uint32_t atoms)
{
    uint32_t each = m->record.atom_bytes / SFS_ATOM_BYTES;
    return (atoms + each - 1) / each;
}

/* Could groups with columns of this size fill half the table? The narrowest take the most of it for what they hold. Counted in columns:
 * disks of very different sizes have many of the smallest one's size. */
static bool too_many(const struct sfs_pool *pool, uint8_t log2)
{
    uint64_t bytes = 0;
    unsigned columns = pool->config.failover + 1u;
    for (unsigned i = 0; i < pool->member_count; i++)
        bytes += sfs_member_takes(&pool->members[i], SFS_CLASS_DATA) ? room_of(&pool->members[i]) : 0;
    return (bytes >> log2) / columns > sfs_table_groups(pool, columns) / 2;
}

uint8_t sfs_column_log2_for(const struct sfs_pool *pool, enum sfs_class class)
{
    uint32_t zone = sfs_pool_zone_bytes(pool);
    if (zone)
        return log2_of(zone);
    uint32_t smallest = UINT32_MAX;
    for (unsigned i = 0; i < pool->member_count; i++)
        if (sfs_member_takes(&pool->members[i], class) && pool->members[i].limit < smallest)
            smallest = pool->members[i].limit;
    uint8_t log2 = ATOM_LOG2, max = class == SFS_CLASS_DATA ? DATA_LOG2_MAX : SMALL_LOG2_MAX;
    uint64_t columns = smallest == UINT32_MAX ? 0 : smallest / COLUMNS_PER_DISK;
    while (log2 < max && columns >= 2) {
        columns /= 2;
        log2++;
    }
    while (class == SFS_CLASS_DATA && log2 < max && too_many(pool, log2))
        log2++;
    return log2;
}

static uint32_t atoms_for(const struct sfs_pool *pool, enum sfs_class class)
{
    return 1u << (sfs_column_log2_for(pool, class) - ATOM_LOG2);
}

/* Atoms on each of its disks that a group of nodes would need; 0 while the groups that there are have dead rows enough for
 * several commits: then the reserve is in them. */
static uint32_t node_atoms(const struct sfs_pool *pool, enum sfs_class class, bool empty)
{
    uint32_t atoms = atoms_for(pool, class), rows = atoms * (SFS_ATOM_BYTES / SFS_NODE_BYTES), dead = 0;
    for (uint32_t i = 0; i < pool->group_cap && !empty; i++) {
        const struct sfs_group *g = pool->groups[i];
        if (g && g->record.class == class)
            dead += sfs_group_room(g);
    }
    return dead >= rows / 8 * 5 ? 0 : atoms;
}

/* A cleaner's column; a tiny disk spares little for it. In atoms of 4 MiB. */
static uint32_t cleaner_atoms(const struct sfs_pool *pool, const struct sfs_member *m)
{
    uint64_t share = room_of(m) / SFS_ATOM_BYTES / RESERVE_SHARE;
    uint32_t clean = atoms_for(pool, SFS_CLASS_DATA);
    return clean < share ? clean : (uint32_t)share;
}

void sfs_reserve_atoms(const struct sfs_pool *pool, bool empty, bool nodes_only, uint32_t reserve[SFS_DISKS_MAX])
{
    bool zoned = sfs_pool_zone_bytes(pool) != 0, all = empty;
    unsigned usable = 0, need = pool->config.failover + 1u > 2 ? pool->config.failover + 1u : 2;
    memset(reserve, 0, SFS_DISKS_MAX * sizeof *reserve);
    for (unsigned i = 0; i < pool->member_count; i++)
        usable += sfs_member_takes(&pool->members[i], SFS_CLASS_DATA);
    /* What stands on metadata disks takes no room here; so that they may become full, or go, the whole reserve is kept. */
    for (unsigned i = 0; i < pool->member_count; i++)
        all = all || (sfs_member_usable(&pool->members[i]) && pool->members[i].record.role == SFS_ROLE_METADATA);
    uint32_t spare = nodes_only ? SFS_SPARE_NODE_GROUPS / 2 : SFS_SPARE_NODE_GROUPS;
    uint32_t nodes = zoned ? spare * atoms_for(pool, SFS_CLASS_SYSTEM)
                           : node_atoms(pool, SFS_CLASS_SYSTEM, all) + node_atoms(pool, SFS_CLASS_METADATA, all);
    if (usable == 1)
        nodes *= 2; /* both copies stand on it */
    for (unsigned n = 0; n < need && n < usable; n++) {
        unsigned best = SFS_DISKS_MAX;
        for (unsigned i = 0; i < pool->member_count; i++) {
            const struct sfs_member *m = &pool->members[i];
            if (sfs_member_takes(m, SFS_CLASS_DATA) && !reserve[i] &&
                (best == SFS_DISKS_MAX || room_of(m) > room_of(&pool->members[best])))
                best = i;
        }
        if (best == SFS_DISKS_MAX)
            return;
        /* Without room for nodes nothing works. */
        reserve[best] = nodes + (nodes_only ? 0 : cleaner_atoms(pool, &pool->members[best]));
        reserve[best] = in_atoms_of(&pool->members[best], reserve[best]);
        if (!reserve[best])
            return;
    }
    for (unsigned i = 0; i < pool->member_count && zoned && !nodes_only; i++)
        if (sfs_member_takes(&pool->members[i], SFS_CLASS_DATA) && !reserve[i])
            reserve[i] = in_atoms_of(&pool->members[i], cleaner_atoms(pool, &pool->members[i]));
}

/* Atoms of the member that were freed and are not yet free, or are of groups that hold nothing (any more, or soon: `empty`). */
static uint64_t coming_atoms(const struct sfs_pool *pool, const struct sfs_member *m, const uint64_t *empty, size_t count)
{
    uint64_t atoms = 0;
    for (size_t p = 0; p < pool->pending_count; p++)
        atoms += pool->pending[p].disk == m->record.index ? pool->pending[p].atoms : 0;
    for (uint32_t i = 0; i < pool->group_cap; i++) {
        const struct sfs_group *g = pool->groups[i];
        bool counts = g && !g->count.live && !g->in_flight && !g->allocating && !sfs_group_unused(g);
        for (size_t e = 0; g && e < count; e++)
            counts = counts || empty[e] == g->record.generation;
        for (unsigned c = 0; counts && c < (unsigned)g->record.k + g->record.m; c++)
            atoms += g->record.columns[c].disk == m->record.index ? sfs_column_atoms_on(m, &g->record) : 0;
    }
    return atoms;
}

bool sfs_reserve_short(const struct sfs_pool *pool, const uint64_t *empty, size_t count)
{
    uint32_t reserve[SFS_DISKS_MAX];
    sfs_reserve_atoms(pool, false, false, reserve);
    for (unsigned i = 0; i < pool->member_count; i++)
        if (reserve[i] > pool->members[i].free_atoms &&
            reserve[i] > pool->members[i].free_atoms + coming_atoms(pool, &pool->members[i], empty, count))
            return true;
    return false;
}

/* Columns for nodes that the member has room for. */
static uint64_t node_columns(const struct sfs_pool *pool, const struct sfs_member *m, bool soon)
{
    uint32_t atoms = (1u << sfs_column_log2_for(pool, SFS_CLASS_SYSTEM)) / m->record.atom_bytes;
    return sfs_atoms_areas(m, atoms) + (soon ? coming_atoms(pool, m, NULL, 0) / atoms : 0);
}

uint32_t sfs_groups_for_nodes(const struct sfs_pool *pool, bool soon, unsigned gone)
{
    uint64_t columns[SFS_DISKS_MAX], all = 0;
    unsigned usable = 0, copies = pool->config.failover + 1u > 2 ? pool->config.failover + 1u : 2;
    for (unsigned i = 0; i < pool->member_count; i++) {
        columns[i] = sfs_member_usable(&pool->members[i]) ? node_columns(pool, &pool->members[i], soon) : 0;
        usable += sfs_member_usable(&pool->members[i]);
        all += columns[i];
    }
    for (; gone && usable > 1; gone--, usable--) {
        unsigned most = 0;
        for (unsigned i = 1; i < pool->member_count; i++)
            most = columns[i] > columns[most] ? i : most;
        all -= columns[most];
        columns[most] = 0;
    }
    if (usable == 1)
        return (uint32_t)(all / 2);
    copies = copies < usable ? copies : usable;
    if (!copies)
        return 0;
    /* As many groups as there are copies on different disks. */
    uint64_t groups = all / copies;
    for (; groups > 0; groups--) {
        uint64_t fit = 0;
        for (unsigned i = 0; i < pool->member_count; i++)
            fit += columns[i] < groups ? columns[i] : groups;
        if (fit >= groups * copies)
            break;
    }
    return (uint32_t)groups;
}

void sfs_reserve_for_heirs(const struct sfs_pool *pool, uint32_t reserve[SFS_DISKS_MAX])
{
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct sfs_member *old = &pool->members[i];
        for (unsigned h = 0; old->used && old->record.replaced_by != SFS_NONE16 && h < pool->member_count; h++)
            if (pool->members[h].used && pool->members[h].record.index == old->record.replaced_by)
                reserve[h] += (uint32_t)((uint64_t)(old->limit - old->free_atoms) * old->record.atom_bytes /
                                         pool->members[h].record.atom_bytes);
    }
}

static int16_t station_of(const struct sfs_pool *pool, unsigned slot)
{
    const char *name = pool->members[slot].record.station;
    if (!name[0])
        return -1;
    for (unsigned i = 0; i < slot; i++)
        if (pool->members[i].used && !strcmp(pool->members[i].record.station, name))
            return (int16_t)i;
    return (int16_t)slot;
}

void sfs_placement_disks(const struct sfs_pool *pool, struct sfs_placement_disk *disks)
{
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct sfs_member *m = &pool->members[i];
        disks[i] = (struct sfs_placement_disk){.index = m->used ? m->record.index : SFS_NONE16,
                                               .station = m->used ? station_of(pool, i) : -1,
                                               .role = m->record.role,
                                               .usable = sfs_member_usable(m)};
    }
}

/* Payload of `room`, which was counted in columns of 4 MiB but will mostly be in larger ones: less the headers, the
 * rounding to whole rows, and one summary block a row. */
static uint64_t payload(const struct sfs_pool *pool, const struct sfs_placement_room *room)
{
    if (!room->groups)
        return 0;
    unsigned k = (unsigned)(room->data_columns / room->groups);
    uint8_t column = sfs_column_log2_for(pool, SFS_CLASS_DATA);
    uint32_t unit = 1u << sfs_unit_log2_for(SFS_CLASS_DATA, k ? k : 1, column);
    uint64_t rows = ((1ull << column) - SFS_BLOCK) / unit;
    uint64_t data = (room->data_columns * rows * unit) >> (column - ATOM_LOG2);
    uint64_t summaries = (room->groups * rows * SFS_BLOCK) >> (column - ATOM_LOG2);
    return data - summaries;
}

/* What was counted last for one question. Counting takes hundreds of microseconds, and is asked for at every commit, while the
 * answer changes only when groups come and go. */
struct sfs_room_memo {
    bool known;
    struct sfs_placement_wish wish;
    unsigned count;
    struct sfs_placement_disk disks[SFS_DISKS_MAX];
    struct sfs_placement_room room;
};

static bool same_question(const struct sfs_room_memo *memo, const struct sfs_placement_wish *wish,
                          const struct sfs_placement_disk *disks, unsigned count)
{
    bool same = memo->known && memo->count == count && memo->wish.failover == wish->failover &&
                memo->wish.optimize == wish->optimize && memo->wish.width_cap == wish->width_cap;
    for (unsigned i = 0; i < count && same; i++)
        same = memo->disks[i].station == disks[i].station && memo->disks[i].role == disks[i].role &&
               memo->disks[i].usable == disks[i].usable && memo->disks[i].free_columns == disks[i].free_columns;
    return same;
}

/* What is asked: of the pool as it is, for those who clean or those who write; as it will be; with nothing in it. */
enum question { ROOM_CLEANERS, ROOM_NOW, ROOM_THEN, ROOM_EMPTY, QUESTIONS };

static void count_room(struct sfs_pool *pool, enum question question, const struct sfs_placement_wish *wish,
                       const struct sfs_placement_disk *disks, struct sfs_placement_room *room)
{
    if (!pool->room_memos)
        pool->room_memos = sfs_zalloc(pool->env, QUESTIONS * sizeof *pool->room_memos);
    struct sfs_room_memo *memo = pool->room_memos ? &pool->room_memos[question] : NULL;
    if (memo && same_question(memo, wish, disks, pool->member_count)) {
        *room = memo->room;
        return;
    }
    sfs_placement_capacity(wish, disks, pool->member_count, room);
    if (!memo)
        return;
    memo->known = true;
    memo->wish = *wish;
    memo->count = pool->member_count;
    memcpy(memo->disks, disks, pool->member_count * sizeof *disks);
    memo->room = *room;
}

/* Atoms of the member that are free, and that some commits make free. */
static uint32_t soon_free(const struct sfs_pool *pool, const struct sfs_member *m)
{
    uint32_t atoms = m->free_atoms;
    for (size_t p = 0; p < pool->pending_count; p++)
        atoms += pool->pending[p].disk == m->record.index ? pool->pending[p].atoms : 0;
    return atoms;
}

/* Of so many atoms of each member. */
static uint64_t room_for_data(struct sfs_pool *pool, enum question question, const uint32_t atoms[SFS_DISKS_MAX])
{
    struct sfs_placement_disk disks[SFS_DISKS_MAX];
    uint32_t reserve[SFS_DISKS_MAX];
    bool keep = question != ROOM_CLEANERS;
    struct sfs_placement_room room = {0, 0, 0};
    struct sfs_placement_wish wish = {SFS_CLASS_DATA, pool->config.failover, pool->config.optimize,
                                      pool->config.width_cap, 0};
    sfs_placement_disks(pool, disks);
    /* With zoned disks cleaners leave alone what nodes need. */
    memset(reserve, 0, sizeof reserve);
    if (question != ROOM_THEN && (keep || sfs_pool_zone_bytes(pool))) /* then it is gone from what is free already */
        sfs_reserve_atoms(pool, question == ROOM_EMPTY, !keep, reserve);
    if (question == ROOM_CLEANERS || question == ROOM_NOW)
        sfs_reserve_for_heirs(pool, reserve);
    for (unsigned i = 0; i < pool->member_count; i++) {
        disks[i].free_columns = disks[i].usable && atoms[i] > reserve[i] ? atoms[i] - reserve[i] : 0;
        if (disks[i].usable) /* columns of 4 MiB are counted */
            disks[i].free_columns *= pool->members[i].record.atom_bytes / SFS_ATOM_BYTES;
    }
    count_room(pool, question, &wish, disks, &room);
    return payload(pool, &room);
}

static uint64_t room_now(struct sfs_pool *pool, enum question question)
{
    uint32_t atoms[SFS_DISKS_MAX];
    for (unsigned i = 0; i < pool->member_count; i++)
        atoms[i] = question == ROOM_EMPTY ? pool->members[i].limit : soon_free(pool, &pool->members[i]);
    return room_for_data(pool, question, atoms);
}

uint64_t sfs_groups_unallocated(struct sfs_pool *pool)
{
    return room_now(pool, ROOM_NOW);
}

void sfs_groups_less_reserve(const struct sfs_pool *pool, int64_t free[SFS_DISKS_MAX])
{
    uint32_t reserve[SFS_DISKS_MAX];
    sfs_reserve_atoms(pool, false, false, reserve);
    for (unsigned i = 0; i < pool->member_count; i++) {
        int64_t bytes = (int64_t)((uint64_t)reserve[i] * pool->members[i].record.atom_bytes);
        free[i] -= bytes;
    }
}

uint64_t sfs_groups_room_in(struct sfs_pool *pool, const int64_t free[SFS_DISKS_MAX])
{
    uint32_t atoms[SFS_DISKS_MAX];
    for (unsigned i = 0; i < pool->member_count; i++)
        atoms[i] = free[i] > 0 && pool->members[i].used ? (uint32_t)((uint64_t)free[i] / pool->members[i].record.atom_bytes) : 0;
    return room_for_data(pool, ROOM_THEN, atoms);
}

void sfs_groups_foretold(struct sfs_pool *pool, const int64_t free[SFS_DISKS_MAX])
{
    pool->foretold = free != NULL;
    for (unsigned i = 0; i < pool->member_count && free; i++)
        pool->members[i].left = free[i];
}

uint64_t sfs_groups_capacity(struct sfs_pool *pool)
{
    return room_now(pool, ROOM_EMPTY);
}

bool sfs_groups_cleanable(struct sfs_pool *pool)
{
    return room_now(pool, ROOM_CLEANERS) > 0;
}
