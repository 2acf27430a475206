/* Single columns: their place, their header, their bytes. For moving a column and for putting one in order.
 *
 * A column that moves has two places for a while: the one in the group's record, which is the truth, and the new one,
 * which nothing refers to before sfs_group_set_column. The old place is free again when no record that may be opened
 * refers to it.
 */
#include "pool/internal.h"

/* --- places --- */

static struct sfs_target place_of(struct sfs_pool *pool, const struct sfs_column *at)
{
    struct sfs_target t = {.index = at->disk};
    const struct sfs_member *m = sfs_member_of(pool, at->disk);
    if (m) {
        t.disk = m->disk;
        t.base = m->record.data_offset + (uint64_t)at->atom * m->record.atom_bytes;
    }
    return t;
}

int sfs_column_take(struct sfs_pool *pool, const struct sfs_group_record *g, unsigned c, uint16_t disk, struct sfs_column *to)
{
    struct sfs_member *m = sfs_member_of(pool, disk);
    if (!m || !m->disk)
        return SCALEFS_E_GONE;
    if (g->sequential || m->record.layout == SFS_LAYOUT_ZONED)
        return SCALEFS_E_NOTSUP; /* such groups are emptied, their columns are not moved */
    uint32_t atoms = sfs_column_atoms_on(m, g), atom = g->columns[c].atom;
    /* At the same place the layout of the old disk stays as it is, so that all of it fits. */
    bool same = (uint64_t)atom + atoms <= m->limit && sfs_atoms_claim(m, atom, atoms);
    if (!same && !sfs_atoms_take(m, atoms, &atom))
        return SCALEFS_E_NOSPC;
    *to = (struct sfs_column){disk, atom};
    return SCALEFS_OK;
}

void sfs_column_give_back(struct sfs_pool *pool, const struct sfs_group_record *g, const struct sfs_column *to)
{
    struct sfs_member *m = sfs_member_of(pool, to->disk);
    if (m)
        sfs_atoms_release(m, to->atom, sfs_column_atoms_on(m, g));
}

void sfs_group_set_column(struct sfs_pool *pool, struct sfs_group *group, unsigned c, const struct sfs_column *to)
{
    struct sfs_column old = group->record.columns[c];
    group->record.columns[c] = *to;
    sfs_table_mark_group(pool, group);
    sfs_column_free_later(pool, &old, &group->record);
    sfs_pool_judge(pool);
}

void sfs_group_drop_column(struct sfs_pool *pool, struct sfs_group *group)
{
    struct sfs_group_record *g = &group->record;
    SFS_ASSERT(g->m > 0);
    g->m--;
    struct sfs_column *last = &g->columns[g->k + g->m], old = *last;
    *last = (struct sfs_column){SFS_NONE16, 0};
    sfs_table_mark_group(pool, group);
    sfs_column_free_later(pool, &old, g);
    sfs_pool_judge(pool);
}

void sfs_group_add_column(struct sfs_pool *pool, struct sfs_group *group, const struct sfs_column *at)
{
    struct sfs_group_record *g = &group->record;
    SFS_ASSERT(g->k + g->m < SFS_COLUMNS_MAX);
    g->columns[g->k + g->m] = *at;
    g->m++;
    sfs_table_mark_group(pool, group);
    sfs_pool_judge(pool);
}

/* --- bytes --- */

int sfs_units_run(struct sfs_pool *pool, const struct sfs_group_record *g, struct sfs_unit_io *units, size_t count)
{
    struct sfs_io *ios = sfs_zalloc(pool->env, (count + 1) * sizeof *ios);
    if (!ios)
        return SCALEFS_E_NOMEM;
    sfs_mutex_lock(&pool->lock);
    for (size_t i = 0; i < count; i++) {
        struct sfs_unit_io *u = &units[i];
        struct sfs_target t = place_of(pool, &u->at);
        ios[i] = (struct sfs_io){.disk = t.disk, .op = u->write ? SFS_IO_WRITE : SFS_IO_READ, .buf = u->buf, .len = u->len,
                                 .offset = sfs_unit_offset(g, &t, u->row) + u->skip};
    }
    unsigned epoch = sfs_pool_io_begin(pool);
    sfs_mutex_unlock(&pool->lock);
    int err = sfs_io_run(pool->env, ios, count);
    for (size_t i = 0; i < count; i++) {
        units[i].result = ios[i].disk ? ios[i].result : SCALEFS_E_GONE;
        if (ios[i].result && ios[i].disk)
            sfs_member_error(pool, ios[i].disk, ios[i].op, ios[i].result);
    }
    sfs_pool_io_end(pool, epoch);
    sfs_free(pool->env, ios);
    return err;
}

static int run_one(struct sfs_pool *pool, const struct sfs_column *at, enum sfs_io_op op, uint64_t skip, void *buf, uint32_t len)
{
    sfs_mutex_lock(&pool->lock);
    struct sfs_target t = place_of(pool, at);
    unsigned epoch = sfs_pool_io_begin(pool);
    sfs_mutex_unlock(&pool->lock);
    struct sfs_io io = {.disk = t.disk, .op = op, .offset = t.base + skip, .buf = buf, .len = len};
    if (op == SFS_IO_FLUSH)
        io.offset = 0;
    int err = t.disk ? sfs_io_run(pool->env, &io, 1) : SCALEFS_E_GONE;
    if (err && t.disk)
        sfs_member_error(pool, t.disk, op, err);
    sfs_pool_io_end(pool, epoch);
    return err;
}

int sfs_column_flush(struct sfs_pool *pool, uint16_t disk)
{
    struct sfs_column at = {disk, 0};
    return run_one(pool, &at, SFS_IO_FLUSH, 0, NULL, 0);
}

/* --- headers --- */

static struct sfs_column_header header_of(struct sfs_pool *pool, const struct sfs_group_record *g, unsigned c,
                                          const struct sfs_column *at)
{
    const struct sfs_member *m = sfs_member_of(pool, at->disk);
    struct sfs_column_header h = {
        .pool = pool->uuid, .group = g->group, .unit_bytes = sfs_group_unit(g), .rows = g->rows, .column = (uint8_t)c,
        .k = g->k, .m = g->m, .class = g->class, .generation = g->generation, .column_bytes = 1ull << g->column_log2,
        .txn = g->birth, .code = 1, .disk_index = at->disk};
    if (m)
        h.disk = m->record.uuid;
    return h;
}

int sfs_column_write_header(struct sfs_pool *pool, const struct sfs_group_record *g, unsigned c, const struct sfs_column *at)
{
    uint8_t *block = sfs_alloc_io(pool->env, SFS_BLOCK);
    if (!block)
        return SCALEFS_E_NOMEM;
    sfs_mutex_lock(&pool->lock);
    struct sfs_column_header h = header_of(pool, g, c, at);
    uint64_t base = place_of(pool, at).base;
    sfs_mutex_unlock(&pool->lock);
    sfs_column_encode(&h, base, block);
    int err = run_one(pool, at, SFS_IO_WRITE, 0, block, SFS_BLOCK);
    sfs_free(pool->env, block);
    return err;
}

int sfs_column_check_header(struct sfs_pool *pool, const struct sfs_group_record *g, unsigned c)
{
    uint8_t *block = sfs_alloc_io(pool->env, SFS_BLOCK);
    if (!block)
        return SCALEFS_E_NOMEM;
    const struct sfs_column *at = &g->columns[c];
    sfs_mutex_lock(&pool->lock);
    struct sfs_column_header want = header_of(pool, g, c, at), h;
    uint64_t base = place_of(pool, at).base;
    sfs_mutex_unlock(&pool->lock);
    int err = run_one(pool, at, SFS_IO_READ, 0, block, SFS_BLOCK);
    if (!err)
        err = sfs_column_decode(block, base, &h);
    if (!err && (!sfs_uuid_equal(&h.pool, &want.pool) || !sfs_uuid_equal(&h.disk, &want.disk) || h.group != want.group ||
                 h.unit_bytes != want.unit_bytes || h.rows != want.rows || h.column != c || h.k != want.k ||
                 h.class != want.class || h.generation != want.generation || h.column_bytes != want.column_bytes ||
                 h.disk_index != want.disk_index))
        err = SCALEFS_E_CORRUPT;
    sfs_free(pool->env, block);
    return err;
}

/* --- members --- */

void sfs_member_replaced_by(struct sfs_pool *pool, uint16_t old, uint16_t new_index)
{
    struct sfs_member *m = sfs_member_of(pool, old);
    SFS_ASSERT(m != NULL);
    m->record.replaced_by = new_index;
    m->record.wish = m->disk ? SFS_WISH_LEAVE : SFS_WISH_FAILED;
    m->dirty = true;
    sfs_pool_judge(pool);
}

void sfs_member_wish(struct sfs_pool *pool, struct sfs_member *m, enum sfs_wish wish)
{
    m->record.wish = wish;
    m->dirty = true;
    sfs_pool_judge(pool);
}

void sfs_member_set_role(struct sfs_member *m, uint8_t role)
{
    m->record.role = role;
    m->stale_label = m->dirty = true;
}

void sfs_member_joined(struct sfs_pool *pool, uint16_t index)
{
    struct sfs_member *m = sfs_member_of(pool, index);
    if (m && m->record.wish == SFS_WISH_JOIN) {
        m->record.wish = SFS_WISH_STAY;
        m->dirty = true;
    }
}
