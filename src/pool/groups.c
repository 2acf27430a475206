/* Groups: made of free atoms by the placement function, their rows handed out, their live bytes counted, freed.
 *
 * What is freed in txn T, a row or a column, is handed out again when committed >= T + SFS_REUSE_AFTER: no record
 * that may still be opened refers to it then. Locked except where it says otherwise.
 */
#include "pool/internal.h"

#define ATOM_LOG2 22u
#define NODE_LOG2 14u
#define BLOCK_LOG2 12u

uint32_t sfs_group_unit(const struct sfs_group_record *g)
{
    return 1u << g->unit_log2;
}

uint64_t sfs_group_row_bytes(const struct sfs_group_record *g)
{
    return (uint64_t)g->k << g->unit_log2;
}

uint32_t sfs_group_row_of(const struct sfs_group_record *g, uint64_t offset)
{
    return (uint32_t)(offset / sfs_group_row_bytes(g));
}

uint32_t sfs_column_atoms(const struct sfs_group_record *g)
{
    return 1u << (g->column_log2 - ATOM_LOG2);
}

uint32_t sfs_column_atoms_on(const struct sfs_member *m, const struct sfs_group_record *g)
{
    return (1u << g->column_log2) / m->record.atom_bytes;
}

uint64_t sfs_column_offset(const struct sfs_member *m, const struct sfs_group_record *g, unsigned c)
{
    return m->record.data_offset + (uint64_t)g->columns[c].atom * m->record.atom_bytes;
}

struct sfs_group *sfs_group_of(struct sfs_pool *pool, uint32_t group)
{
    return group < pool->group_cap ? pool->groups[group] : NULL;
}

bool sfs_group_copy(struct sfs_pool *pool, uint32_t group, struct sfs_group_record *copy)
{
    sfs_mutex_lock(&pool->lock);
    const struct sfs_group *g = sfs_group_of(pool, group);
    if (g)
        *copy = g->record;
    sfs_mutex_unlock(&pool->lock);
    return g != NULL;
}

bool sfs_group_whole(struct sfs_pool *pool, const struct sfs_group *group)
{
    for (unsigned c = 0; c < (unsigned)group->record.k + group->record.m; c++) {
        const struct sfs_member *m = sfs_member_of(pool, group->record.columns[c].disk);
        if (!m || !m->disk)
            return false;
    }
    return true;
}

/* --- making --- */

/* Rows of about SFS_ROW_TARGET_BYTES; at least 32 of them in a column. */
uint8_t sfs_unit_log2_for(enum sfs_class class, unsigned k, uint8_t column_log2)
{
    if (class == SFS_CLASS_LANDING)
        return BLOCK_LOG2;
    if (class != SFS_CLASS_DATA)
        return NODE_LOG2;
    /* Every row, in whatever group, holds any extent (SFS_EXTENT_MOVABLE): so extents can move without being cut. */
    uint8_t log2 = 18; /* 256 KiB */
    while (log2 > 15 && ((uint64_t)k << log2 > SFS_ROW_TARGET_BYTES || log2 + 5 > column_log2) &&
           (uint64_t)k << (log2 - 1) >= SFS_ROW_LEAST_BYTES)
        log2--;
    return log2;
}

unsigned sfs_groups_failover(const struct sfs_pool *pool)
{
    return pool->config.failover > pool->failover_told ? pool->config.failover : pool->failover_told;
}

/* Where nodes and accepted data go when there is no room elsewhere: without a commit nothing comes free. They will move on with all else
 * there. */
static bool serves_till_it_leaves(const struct sfs_member *m)
{
    return m->used && m->disk && !m->unnamed && m->record.wish == SFS_WISH_LEAVE;
}

/* What is free on it and is not meant for what is going to change. */
static uint64_t left_to_writers(const struct sfs_pool *pool, const struct sfs_member *m)
{
    return !pool->foretold ? UINT64_MAX : m->left > 0 ? (uint64_t)m->left : 0;
}

static int choose(struct sfs_pool *pool, enum sfs_class class, enum sfs_group_for whom, bool leaving, uint8_t log2,
                  struct sfs_placement *placement)
{
    struct sfs_placement_disk disks[SFS_DISKS_MAX];
    uint32_t reserve[SFS_DISKS_MAX];
    struct sfs_placement_wish wish = {class, sfs_groups_failover(pool), pool->config.optimize,
                                      pool->config.width_cap, (unsigned)pool->config.next_generation};
    bool modest = whom != SFS_FOR_CLEANERS && (class == SFS_CLASS_DATA || class == SFS_CLASS_LANDING);
    sfs_placement_disks(pool, disks);
    /* On zoned disks even those who clean leave alone what nodes need: without commits nothing comes free. */
    bool clean = !modest && sfs_pool_zone_bytes(pool) && (class == SFS_CLASS_DATA || class == SFS_CLASS_LANDING);
    sfs_reserve_atoms(pool, false, clean, reserve);
    if (modest)
        sfs_reserve_for_heirs(pool, reserve);
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct sfs_member *m = &pool->members[i];
        uint32_t keep = modest || clean ? reserve[i] : 0;
        disks[i].free_columns = 0;
        disks[i].usable = disks[i].usable || (leaving && serves_till_it_leaves(m));
        if (!disks[i].usable || m->free_atoms <= keep)
            continue;
        uint32_t atoms = (1u << log2) / m->record.atom_bytes;
        uint32_t areas = sfs_atoms_areas(m, atoms), allowed = (m->free_atoms - keep) / atoms;
        if (whom == SFS_FOR_WRITERS && class == SFS_CLASS_DATA && left_to_writers(pool, m) >> log2 < allowed)
            allowed = (uint32_t)(left_to_writers(pool, m) >> log2);
        disks[i].free_columns = areas < allowed ? areas : allowed;
    }
    int err = sfs_placement_choose(&wish, disks, pool->member_count, placement);
    return err == SCALEFS_E_TOO_FEW ? SCALEFS_E_NOSPC : err;
}

int sfs_group_would_be(struct sfs_pool *pool, unsigned *k, unsigned *m)
{
    struct sfs_placement p;
    int err = choose(pool, SFS_CLASS_DATA, SFS_FOR_ACCEPTED, false, sfs_pool_zone_bytes(pool) ? sfs_column_log2_for(pool, SFS_CLASS_DATA) : ATOM_LOG2, &p);
    if (!err) {
        *k = p.k;
        *m = p.m;
    }
    return err;
}

static void give_back(struct sfs_pool *pool, const struct sfs_group_record *r, unsigned columns)
{
    for (unsigned c = 0; c < columns; c++) {
        struct sfs_member *m = sfs_member_of(pool, r->columns[c].disk);
        sfs_atoms_release(m, r->columns[c].atom, sfs_column_atoms_on(m, r));
    }
}

static bool take_columns(struct sfs_pool *pool, const struct sfs_placement *p, struct sfs_group_record *r)
{
    for (unsigned c = 0; c < SFS_COLUMNS_MAX; c++)
        r->columns[c] = (struct sfs_column){SFS_NONE16, 0};
    for (unsigned c = 0; c < p->k + p->m; c++) {
        uint16_t disk = p->one_disk ? p->disks[0] : p->disks[c];
        struct sfs_member *m = sfs_member_of(pool, disk);
        uint32_t atom;
        if (!sfs_atoms_take(m, sfs_column_atoms_on(m, r), &atom)) {
            give_back(pool, r, c);
            return false;
        }
        r->columns[c] = (struct sfs_column){disk, atom};
        r->sequential = r->sequential || m->record.layout == SFS_LAYOUT_ZONED;
    }
    return true;
}

static uint32_t free_number(const struct sfs_pool *pool)
{
    uint32_t n = 0;
    while (n < pool->group_cap && pool->groups[n])
        n++;
    return n;
}

static int enter(struct sfs_pool *pool, struct sfs_group_record *r, struct sfs_group **group)
{
    int err = sfs_group_enter(pool, r, group);
    if (err)
        return err;
    err = sfs_table_add(pool, SFS_OBJECT_GROUP | r->group);
    if (!err) {
        err = sfs_table_add(pool, SFS_OBJECT_COUNT | r->group);
        if (err)
            sfs_table_remove(pool, SFS_OBJECT_GROUP | r->group);
    }
    if (err)
        sfs_group_forget(pool, *group);
    return err;
}

int sfs_group_make(struct sfs_pool *pool, enum sfs_class class, enum sfs_group_for whom, struct sfs_group **group)
{
    struct sfs_placement widest, p;
    struct sfs_group_record r;
    *group = NULL;
    uint8_t largest = sfs_column_log2_for(pool, class), least = sfs_pool_zone_bytes(pool) ? largest : ATOM_LOG2;
    bool must = class == SFS_CLASS_SYSTEM || class == SFS_CLASS_METADATA || whom == SFS_FOR_ACCEPTED, leaving = false;
    int err = choose(pool, class, whom, false, least, &widest);
    if (err == SCALEFS_E_NOSPC && must) {
        leaving = true;
        err = choose(pool, class, whom, true, least, &widest);
    }
    if (err)
        return err;
    memset(&r, 0, sizeof r);
    bool taken = false;
    /* The largest columns at which the group is as wide as it can be. */
    for (uint8_t log2 = largest; log2 >= least && !taken; log2--) {
        err = choose(pool, class, whom, leaving, log2, &p);
        if (err || p.k < widest.k || p.m < widest.m)
            continue;
        r.column_log2 = log2;
        taken = take_columns(pool, &p, &r);
    }
    if (!taken)
        return SCALEFS_E_NOSPC;
    r.group = free_number(pool);
    r.class = class;
    r.k = (uint8_t)p.k;
    r.m = (uint8_t)p.m;
    r.unit_log2 = sfs_unit_log2_for(class, p.k, r.column_log2);
    r.rows = sfs_group_rows_for(pool, &r);
    r.generation = pool->config.next_generation;
    r.birth = pool->txn;
    err = sfs_table_has_room(pool, p.k + p.m) ? enter(pool, &r, group) : SCALEFS_E_NOSPC;
    if (err) {
        give_back(pool, &r, p.k + p.m);
        return err;
    }
    for (unsigned c = 0; c < p.k + p.m; c++)
        sfs_member_of(pool, r.columns[c].disk)->left -= (int64_t)1 << r.column_log2;
    (*group)->fresh = true;
    pool->config.next_generation++;
    pool->config_dirty = true;
    return SCALEFS_OK;
}

int sfs_group_write_headers(struct sfs_pool *pool, uint32_t group)
{
    struct sfs_io *ios = sfs_zalloc(pool->env, SFS_COLUMNS_MAX * sizeof *ios);
    uint8_t *blocks = sfs_alloc_io(pool->env, SFS_COLUMNS_MAX * SFS_BLOCK);
    if (!ios || !blocks) {
        sfs_free(pool->env, ios);
        sfs_free(pool->env, blocks);
        return SCALEFS_E_NOMEM;
    }
    sfs_mutex_lock(&pool->lock);
    const struct sfs_group *g = sfs_group_of(pool, group);
    SFS_ASSERT(g);
    const struct sfs_group_record *r = &g->record;
    unsigned columns = (unsigned)r->k + r->m, k = r->k, written = 0;
    for (unsigned c = 0; c < columns; c++) {
        const struct sfs_member *m = sfs_member_of(pool, r->columns[c].disk);
        ios[c] = (struct sfs_io){.disk = m ? m->disk : NULL, .op = SFS_IO_WRITE, .buf = blocks + c * SFS_BLOCK,
                                 .len = SFS_BLOCK};
        if (!ios[c].disk)
            continue;
        ios[c].offset = sfs_column_offset(m, r, c);
        struct sfs_column_header h = {
            .pool = pool->uuid, .disk = m->record.uuid, .group = group, .unit_bytes = sfs_group_unit(r),
            .rows = r->rows, .column = (uint8_t)c, .k = r->k, .m = r->m, .class = r->class,
            .generation = r->generation, .column_bytes = 1ull << r->column_log2, .txn = pool->txn, .code = 1,
            .disk_index = r->columns[c].disk};
        sfs_column_encode(&h, ios[c].offset, ios[c].buf);
    }
    uint64_t zone_bytes = r->sequential ? 1ull << r->column_log2 : 0;
    unsigned epoch = sfs_pool_io_begin(pool);
    sfs_mutex_unlock(&pool->lock);
    if (zone_bytes)
        sfs_zones_reset(pool, ios, columns, zone_bytes);
    sfs_io_run(pool->env, ios, columns);
    int err = SCALEFS_OK;
    for (unsigned c = 0; c < columns; c++) {
        if (!ios[c].result)
            written++;
        else if (ios[c].disk)
            sfs_member_error(pool, ios[c].disk, SFS_IO_WRITE, ios[c].result);
        if (ios[c].result == SCALEFS_E_BACKING_FULL)
            err = SCALEFS_E_BACKING_FULL;
    }
    if (!err && written < k)
        err = pool->suspended ? SCALEFS_E_SUSPENDED : SCALEFS_E_IO;
    sfs_mutex_lock(&pool->lock);
    sfs_group_of(pool, group)->fresh = err != SCALEFS_OK;
    sfs_mutex_unlock(&pool->lock);
    sfs_pool_io_end(pool, epoch);
    sfs_free(pool->env, ios);
    sfs_free(pool->env, blocks);
    return err;
}

/* --- freeing --- */

void sfs_column_free_later(struct sfs_pool *pool, const struct sfs_column *c, const struct sfs_group_record *g)
{
    const struct sfs_member *m = c->disk == SFS_NONE16 ? NULL : sfs_member_of(pool, c->disk);
    if (!m)
        return;
    /* Without memory the atoms stay taken until the pool is opened again. */
    if (sfs_vec_reserve(pool->env, &pool->pending, &pool->pending_cap, pool->pending_count + 1,
                        sizeof *pool->pending))
        return;
    pool->pending[pool->pending_count++] = (struct sfs_pending_free){c->disk, c->atom, sfs_column_atoms_on(m, g),
                                                                           pool->txn};
}

void sfs_group_free(struct sfs_pool *pool, struct sfs_group *group)
{
    SFS_ASSERT(!group->count.live && !group->in_flight);
    const struct sfs_group_record *r = &group->record;
    for (unsigned c = 0; c < (unsigned)r->k + r->m; c++)
        sfs_column_free_later(pool, &r->columns[c], r);
    sfs_table_remove(pool, SFS_OBJECT_GROUP | r->group);
    sfs_table_remove(pool, SFS_OBJECT_COUNT | r->group);
    sfs_group_forget(pool, group);
}

static bool old_enough(const struct sfs_pool *pool, uint64_t txn)
{
#ifdef SFS_BREAK_REUSE_AT_ONCE /* tests break it on purpose: see docs/TESTING.md */
    return txn <= pool->txn;
#else
    return pool->committed >= SFS_REUSE_AFTER && txn <= pool->committed - SFS_REUSE_AFTER;
#endif
}

void sfs_groups_reclaim(struct sfs_pool *pool)
{
    for (size_t i = 0; i < pool->pending_count;) {
        const struct sfs_pending_free *p = &pool->pending[i];
        if (!old_enough(pool, p->txn)) {
            i++;
            continue;
        }
        struct sfs_member *m = sfs_member_of(pool, p->disk);
        if (m)
            sfs_atoms_release(m, p->atom, p->atoms);
        pool->pending[i] = pool->pending[--pool->pending_count];
    }
}

/* --- rows --- */

static void count_changed(struct sfs_pool *pool, struct sfs_group *g)
{
    sfs_table_mark_count(pool, g);
}

static void hand_out(struct sfs_pool *pool, struct sfs_group *g, uint32_t row)
{
    g->in_flight++;
    if (g->count.write_row <= row) {
        g->count.write_row = row + 1;
        count_changed(pool, g);
    }
}

int sfs_group_take_row(struct sfs_pool *pool, struct sfs_group *group, uint32_t *row)
{
    uint32_t rows = group->record.rows;
    SFS_ASSERT(group->rows);
    if (group->moving || group->closed || group->record.state != SFS_GROUP_OPEN)
        return SCALEFS_E_NOSPC;
    if (group->record.sequential) {
        if (!sfs_group_room(group))
            return SCALEFS_E_NOSPC;
        *row = group->count.write_row;
        group->rows[*row].txn = pool->txn;
        hand_out(pool, group, *row);
        return SCALEFS_OK;
    }
    for (uint32_t tried = 0; tried < rows; tried++) {
        uint32_t at = group->cursor < rows ? group->cursor : 0;
        group->cursor = at + 1;
        struct sfs_row_state *s = &group->rows[at];
        if (s->live || (s->txn && !old_enough(pool, s->txn)))
            continue;
        pool->rows_reused += s->txn != 0;
        s->txn = pool->txn;
        *row = at;
        hand_out(pool, group, at);
        return SCALEFS_OK;
    }
    return SCALEFS_E_NOSPC;
}

uint32_t sfs_group_room(const struct sfs_group *g)
{
    if (!g->record.sequential)
        return g->record.rows - g->count.used_rows;
    return g->closed ? 0 : g->record.rows - g->count.write_row - g->promised;
}

bool sfs_group_unused(const struct sfs_group *g)
{
    bool nodes = g->record.class == SFS_CLASS_SYSTEM || g->record.class == SFS_CLASS_METADATA;
    return g->record.sequential && nodes && g->record.state == SFS_GROUP_OPEN && sfs_group_room(g) == g->record.rows;
}

int sfs_group_promise_row(struct sfs_pool *pool, struct sfs_group *group, uint32_t *row)
{
    if (!group->record.sequential)
        return sfs_group_take_row(pool, group, row);
    *row = SFS_NONE32;
    if (group->record.state != SFS_GROUP_OPEN || !sfs_group_room(group))
        return SCALEFS_E_NOSPC;
    group->promised++;
    group->in_flight++;
    return SCALEFS_OK;
}

int sfs_group_number_row(struct sfs_pool *pool, struct sfs_group *group, uint32_t *row)
{
    if (*row != SFS_NONE32)
        return SCALEFS_OK;
    SFS_ASSERT(group->promised);
    if (group->moving || group->closed || group->record.state != SFS_GROUP_OPEN)
        return SCALEFS_E_CHANGED;
    sfs_group_unpromise_row(pool, group);
    return sfs_group_take_row(pool, group, row);
}

void sfs_group_unpromise_row(struct sfs_pool *pool, struct sfs_group *group)
{
    SFS_ASSERT(group->promised);
    group->promised--;
    sfs_group_row_done(pool, group);
}

int sfs_group_take_log(struct sfs_pool *pool, struct sfs_group *group, uint32_t rows, uint64_t *offset)
{
    uint32_t at = group->count.write_row;
    if (group->moving || group->closed || group->record.state != SFS_GROUP_OPEN || !rows || rows > group->record.rows - at)
        return SCALEFS_E_NOSPC;
    *offset = (uint64_t)at << group->record.unit_log2;
    group->count.write_row = at + rows;
    group->count.used_rows = at + rows;
    group->in_flight++;
    count_changed(pool, group);
    return SCALEFS_OK;
}

void sfs_group_row_done(struct sfs_pool *pool, struct sfs_group *group)
{
    (void)pool;
    SFS_ASSERT(group->in_flight > 0);
    group->in_flight--;
}

static void row_live(struct sfs_pool *pool, struct sfs_group *g, uint32_t row, int64_t delta)
{
    struct sfs_row_state *s = &g->rows[row];
    bool was = s->live > 0;
    SFS_ASSERT(delta >= 0 || (uint64_t)-delta <= s->live);
    s->live = (uint32_t)(s->live + delta);
    bool is = s->live > 0;
    if (was == is)
        return;
    s->txn = pool->txn;
    if (is)
        g->count.used_rows++;
    else if (g->count.used_rows)
        g->count.used_rows--;
    if (g->bitmap && is)
        g->bitmap[row / 8] |= (uint8_t)(1u << (row % 8));
    else if (g->bitmap)
        g->bitmap[row / 8] &= (uint8_t)~(1u << (row % 8));
}

void sfs_group_live(struct sfs_pool *pool, struct sfs_group *group, uint32_t row, int64_t delta)
{
    SFS_ASSERT(row < group->record.rows);
    SFS_ASSERT(delta >= 0 || (uint64_t)-delta <= group->count.live);
    group->count.live = (uint64_t)((int64_t)group->count.live + delta);
    if (delta > 0)
        group->count.last_txn = pool->txn;
    if (group->rows)
        row_live(pool, group, row, delta);
    count_changed(pool, group);
}
