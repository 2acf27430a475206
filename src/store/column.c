/* Moving one column of a group to another member.
 *
 * The group takes no rows meanwhile; what was being written is waited for. Then each live row's unit is copied: from the old
 * column where that can be read and verified, else rebuilt from the others. The new column is flushed, and only then the
 * group's record changes, with the next checkpoint. Until that is durable the old column is the truth, so a cut at any
 * moment leaves the group whole; the atoms of the old one are free when no record that may be opened refers to them.
 *
 * NODES. A full pool may have no other group to write nodes to, and without commits nothing comes free. So checkpoints go on
 * in such a group while its durable rows are copied; only for what they wrote meanwhile, which is copied last, they wait.
 */
#include "store/care_internal.h"

#include "parity/parity.h"

#define CHUNK_ROWS 128u
#define CHUNK_ROWS_SHARED 32u
#define RUN_BYTES (512u * 1024)  /* as much goes to the new column at once, */
#define RUN_READ (4096u * 1024)  /* when no more than this has to be read for it */
#define WAIT_NS 2000000u
#define WAITS_MAX 500u

struct mover {
    struct sfs_care *care;
    struct sfs_store *s;
    struct sfs_group_record g;
    uint64_t generation; /* of the group that is meant: another one may have its number by now */
    unsigned c;
    bool adds; /* c is a parity column that the group does not have yet */
    bool later; /* a record of it comes with some later checkpoint */
    struct sfs_column to;
    unsigned comings; /* of its member: one that went may have lost what was written to it */
    struct sfs_row_state *states; /* NULL: a log */
    uint32_t *rows;
    size_t row_count;
    uint32_t write_row;
    bool old_there; /* the old column's disk */
    /* Nodes. */
    bool alone;      /* no checkpoint runs before we have ended */
    uint8_t *copied; /* the rows that stand in the new column as they were in `upto` */
    uint64_t upto;
};

static bool has_nodes(const struct mover *m)
{
    return m->g.class == SFS_CLASS_SYSTEM || m->g.class == SFS_CLASS_METADATA;
}

static uint64_t row_start(const struct mover *m, uint32_t row)
{
    return row * sfs_group_row_bytes(&m->g);
}

/* --- beginning and ending --- */

/* The group is ours: marked as moving, nothing in flight. locked; gives up the lock. */
static int quiesce(struct mover *m, struct sfs_group *g)
{
    struct sfs_store *s = m->s;
    uint64_t generation = m->g.generation;
    uint32_t number = m->g.group;
    g->moving = true;
    for (unsigned waits = 0; g->in_flight > (has_nodes(m) ? 1u : 0u); waits++) { /* our own pin */
        if (waits == WAITS_MAX || m->care->stopping) {
            g->moving = false;
            return m->care->stopping ? SCALEFS_E_CANCELED : SCALEFS_E_BUSY;
        }
        sfs_store_unlock(s);
        sfs_task_sleep(s->env, WAIT_NS);
        sfs_store_lock(s);
        g = sfs_group_of(s->pool, number);
        SFS_ASSERT(g && g->record.generation == generation); /* a moving group is not freed */
    }
    return SCALEFS_OK;
}

/* locked; gives up the lock */
static void exclude_checkpoints(struct mover *m)
{
    struct sfs_store *s = m->s;
    while (s->checkpointing)
        sfs_cond_wait(&s->checkpoint_done, s->lock);
    s->checkpointing = m->alone = true;
}

/* locked */
static void admit_checkpoints(struct mover *m)
{
    if (!m->alone)
        return;
    m->s->checkpointing = m->alone = false;
    sfs_cond_broadcast(&m->s->checkpoint_done);
}

/* Its headers do not stand there yet: when they cannot be written it is freed again. */
static bool is_begun(const struct sfs_group *g)
{
    return g->fresh;
}

static int begin(struct mover *m, uint32_t group, uint16_t to)
{
    struct sfs_store *s = m->s;
    sfs_store_lock(s);
    struct sfs_group *g = sfs_group_of(s->pool, group);
    if (!g || g->record.generation != m->generation || g->moving || (m->adds && m->c != (unsigned)g->record.k + g->record.m)) {
        sfs_store_unlock(s);
        return SCALEFS_E_CHANGED;
    }
    m->g = g->record;
    int err = is_begun(g) ? SCALEFS_E_BUSY : sfs_column_take(s->pool, &m->g, m->c, to, &m->to);
    if (!err) {
        err = has_nodes(m) ? sfs_row_pin(s, group, 0) : quiesce(m, g); /* a pinned group is not freed */
        if (err)
            sfs_column_give_back(s->pool, &m->g, &m->to);
    }
    if (!err) {
        g = sfs_group_of(s->pool, group);
        const struct sfs_member *old = sfs_member_of(s->pool, m->g.columns[m->c].disk);
        m->write_row = g->count.write_row;
        m->old_there = old && old->disk;
        m->comings = sfs_member_of(s->pool, to)->comings;
        sfs_care_column_begin(m->care, sfs_care_column_live(g), to);
    }
    sfs_store_unlock(s);
    return err;
}

static void end_moving(struct mover *m, struct sfs_group *g, bool arrived)
{
    sfs_care_column_end(m->care, arrived);
    if (has_nodes(m))
        sfs_row_unpin(m->s, m->g.group, 0);
    admit_checkpoints(m);
    g->moving = false;
    if (g->count.live == 0)
        m->s->emptied = true; /* it may have become empty meanwhile */
}

/* The new column is whole and durable: it takes the old one's place. */
static int change_over(struct mover *m)
{
    struct sfs_store *s = m->s;
    int err = sfs_column_flush(s->pool, m->to.disk);
    sfs_store_lock(s);
    struct sfs_group *g = sfs_group_of(s->pool, m->g.group);
    const struct sfs_member *to = sfs_member_of(s->pool, m->to.disk);
    if (!err && (!to || !to->disk))
        err = SCALEFS_E_GONE;
    if (!err && to->comings != m->comings)
        err = SCALEFS_E_CHANGED;
    if (!err && m->adds)
        sfs_group_add_column(s->pool, g, &m->to);
    else if (!err)
        sfs_group_set_column(s->pool, g, m->c, &m->to);
    else
        sfs_column_give_back(s->pool, &m->g, &m->to);
    end_moving(m, g, !err);
    if (!err && m->later) {
        s->applied++;
        sfs_checkpoint_due(s);
    }
    sfs_store_unlock(s);
    return err || m->later ? err : sfs_checkpoint(s, false, false, true);
}

static void abandon(struct mover *m)
{
    sfs_store_lock(m->s);
    sfs_column_give_back(m->s->pool, &m->g, &m->to);
    end_moving(m, sfs_group_of(m->s->pool, m->g.group), false);
    sfs_store_unlock(m->s);
}

static int write_unit(struct mover *m, uint32_t row, uint32_t units, void *buf)
{
    struct sfs_unit_io io = {.at = m->to, .row = row, .len = units * sfs_group_unit(&m->g), .write = true, .buf = buf};
    return sfs_units_run(m->s->pool, &m->g, &io, 1);
}

/* --- data rows --- */

/* The summary at the end of `unit`. */
static const uint8_t *own_summary(struct mover *m, uint32_t row, const uint8_t *unit, struct sfs_summary *sum)
{
    uint32_t size = sfs_group_unit(&m->g);
    for (uint32_t len = SFS_BLOCK; len <= size && len <= SFS_SUMMARY_BLOCKS_MAX * SFS_BLOCK; len += SFS_BLOCK) {
        const uint8_t *at = unit + size - len;
        if (sfs_summary_decode(at, len, m->g.group, row_start(m, row), m->g.generation, sum) == SCALEFS_OK &&
            sum->blocks * SFS_BLOCK == len)
            return at;
    }
    return NULL;
}

static bool sum_right(struct mover *m, uint32_t row, const uint8_t *unit, const struct sfs_summary *sum)
{
    uint32_t len = sfs_group_unit(&m->g);
    if (m->c + 1u >= m->g.k)
        len -= sum->blocks * SFS_BLOCK;
    return sum->kind == 0 && sum->unit_sums > m->c &&
           sfs_unit_sum(unit, len, m->g.group, row, m->c) == sum->sums[m->c];
}

/* The end of a parity unit is in no sum: it is computed from the ends of the data. */
static bool end_right(struct mover *m, const uint8_t *unit, uint8_t *ends)
{
    const uint8_t *in[SFS_COLUMNS_MAX];
    uint8_t *out[SFS_COLUMNS_MAX];
    for (unsigned i = 0; i < m->g.k; i++)
        in[i] = ends + (size_t)i * SFS_BLOCK;
    for (unsigned i = 0; i < m->g.m; i++)
        out[i] = ends + (size_t)(m->g.k + i) * SFS_BLOCK;
    sfs_parity_encode(m->g.k, m->g.m, SFS_BLOCK, in, out);
    return !memcmp(out[m->c - m->g.k], unit + sfs_group_unit(&m->g) - SFS_BLOCK, SFS_BLOCK);
}

/* Reads the old unit and what is needed to verify it: the row's summary, and for parity the ends of all data. False: that it is right is
 * not known. */
static bool read_old(struct mover *m, uint32_t row, uint8_t *unit)
{
    const struct sfs_group_record *g = &m->g;
    uint32_t size = sfs_group_unit(g);
    bool own = g->k == 1 || m->c + 1u == g->k;
    struct sfs_unit_io ios[SFS_COLUMNS_MAX + 1];
    size_t count = 0;
    uint8_t *ends = NULL;
    ios[count++] = (struct sfs_unit_io){.at = g->columns[m->c], .row = row, .len = size, .buf = unit};
    if (!own && !(ends = sfs_alloc_io(m->s->env, (size_t)(g->k + g->m) * SFS_BLOCK)))
        return false;
    for (unsigned c = m->c < g->k ? g->k - 1u : 0; !own && c < g->k; c++)
        ios[count++] = (struct sfs_unit_io){.at = g->columns[c], .row = row, .skip = size - SFS_BLOCK, .len = SFS_BLOCK,
                                            .buf = ends + (size_t)c * SFS_BLOCK};
    struct sfs_summary sum;
    bool right = sfs_units_run(m->s->pool, g, ios, count) == SCALEFS_OK;
    if (right && own) {
        const uint8_t *at = own_summary(m, row, unit, &sum);
        /* It verifies by itself, also when it is what stood here before. A live row has something that lives here. */
        right = at && sum_right(m, row, unit, &sum) && sfs_care_lives(m->s, &sum, at) == SCALEFS_OK;
    } else if (right) {
        right = sfs_summary_decode(ends + (size_t)(g->k - 1u) * SFS_BLOCK, SFS_BLOCK, g->group, row_start(m, row), g->generation,
                                   &sum) == SCALEFS_OK &&
                sum.blocks == 1 && sum_right(m, row, unit, &sum) && (m->c < g->k || end_right(m, unit, ends));
    }
    sfs_free(m->s->env, ends);
    return right;
}

/* The old column's disk is not there, and may come back: what it has of a unit that cannot be rebuilt must not be given up. */
static bool old_waits(struct mover *m)
{
    sfs_store_lock(m->s);
    const struct sfs_member *old = m->adds ? NULL : sfs_member_of(m->s->pool, m->g.columns[m->c].disk);
    bool waits = old && !sfs_member_failed(old) && !(m->old_there && old->disk); /* also when it is back just now */
    sfs_store_unlock(m->s);
    return waits;
}

/* What can be read of a unit that cannot be verified or rebuilt goes along: some extent in it may still be whole. */
static int salvage(struct mover *m, uint32_t row, uint8_t *unit)
{
    uint32_t size = sfs_group_unit(&m->g);
    memset(unit, 0, size);
    for (uint32_t at = 0; at < size && m->old_there; at += SFS_BLOCK) {
        struct sfs_unit_io io = {.at = m->g.columns[m->c], .row = row, .skip = at, .len = SFS_BLOCK, .buf = unit + at};
        int err = sfs_units_run(m->s->pool, &m->g, &io, 1);
        if (err == SCALEFS_E_NOMEM)
            return err;
        if (err)
            memset(unit + at, 0, SFS_BLOCK);
        if (io.result == SCALEFS_E_GONE)
            return SCALEFS_E_SUSPENDED;
    }
    return old_waits(m) ? SCALEFS_E_SUSPENDED : SCALEFS_OK;
}

/* The unit of the moving column in a right image. */
static void unit_of(struct mover *m, const struct sfs_row_image *im, uint8_t *unit)
{
    uint32_t size = sfs_group_unit(&m->g);
    if (!m->adds) {
        if (unit != im->units[m->c])
            memcpy(unit, im->units[m->c], size);
        return;
    }
    uint8_t *units[SFS_COLUMNS_MAX];
    memcpy(units, im->units, sizeof units);
    units[m->c] = unit;
    bool done = sfs_parity_rebuild(m->g.k, m->g.m + 1u, size, units, 1ull << m->c, 0);
    SFS_ASSERT(done);
    (void)done;
}

static int make_unit(struct mover *m, uint32_t row, uint8_t *unit)
{
    struct sfs_store *s = m->s;
    if (m->old_there && read_old(m, row, unit)) /* else what it is owed does not verify */
        return SCALEFS_OK;
    struct sfs_row_image im;
    int err = sfs_row_read(s->pool, m->g.group, row, 1, &im);
    if (err == SCALEFS_OK)
        err = sfs_care_row_genuine(s, &im);
    if (err == SCALEFS_OK) {
        unit_of(m, &im, unit);
    } else if (err == SCALEFS_E_CORRUPT) {
        err = salvage(m, row, unit);
        sfs_care_note_lost(m->care, m->g.group, row_start(m, row), sfs_group_row_bytes(&m->g));
    }
    if (im.memory)
        sfs_row_image_free(s->pool, &im);
    return err;
}

struct filling {
    struct mover *m;
    uint32_t first;
    uint8_t *units;
};

static int fill(void *context, uint32_t row, const struct sfs_row_image *im)
{
    struct filling *f = context;
    uint8_t *unit = f->units + (size_t)(row - f->first) * sfs_group_unit(&f->m->g);
    if (!im)
        return make_unit(f->m, row, unit);
    unit_of(f->m, im, unit);
    return SCALEFS_OK;
}

static int make_units(struct mover *m, uint32_t row, uint32_t count, uint8_t *units)
{
    if (m->adds || !m->old_there) {
        struct filling f = {m, row, units};
        struct sfs_row_run run = {.group = m->g.group, .row = row, .rows = count, .column = m->c, .units = units, .each = fill, .context = &f};
        return sfs_rows_read_few(m->s->pool, &run);
    }
    int err = SCALEFS_OK;
    for (uint32_t i = 0; i < count && !err; i++)
        err = make_unit(m, row + i, units + (size_t)i * sfs_group_unit(&m->g));
    return err;
}

/* Rows that follow each other are read and written at once: a column's units do so on its disk. */
static int move_rows(void *context, uint32_t row, uint32_t count)
{
    struct mover *m = context;
    uint32_t size = sfs_group_unit(&m->g);
    uint8_t *units = sfs_buffer_get(m->s, count * size);
    int err = units ? make_units(m, row, count, units) : SCALEFS_E_NOMEM;
    if (!err)
        err = write_unit(m, row, count, units);
    sfs_buffer_put(m->s, units, count * size);
    return err;
}

/* --- nodes and logs --- */

static int move_node(void *context, uint32_t row, uint32_t count)
{
    SFS_ASSERT(count == 1);
    struct mover *m = context;
    struct sfs_store *s = m->s;
    struct sfs_row_image im;
    bool live;
    int err = sfs_care_pin_live(s, &m->g, row, &live);
    if (err || !live)
        return err;
    err = sfs_row_read(s->pool, m->g.group, row, 1, &im);
    int best = -1;
    if (!err)
        err = sfs_care_best_node(s, &im, &best);
    struct sfs_place place = {m->g.group, (uint64_t)row * SFS_NODE_BYTES};
    if (best >= 0) {
        err = write_unit(m, row, 1, im.units[best]);
        m->copied[row] = !err;
    } else if (!m->alone && err != SCALEFS_E_NOMEM) {
        err = SCALEFS_OK; /* perhaps it was written anew just now: looked at again when nobody writes */
    } else if (im.waits) {
        err = SCALEFS_E_SUSPENDED; /* an absent disk may have it */
    } else if (err == SCALEFS_OK || err == SCALEFS_E_CORRUPT) {
        bool saved;
        err = sfs_care_node_gone(m->care, place, m->g.class, &saved);
        if (!err && !saved && im.memory && !m->adds && !(im.missing >> m->c & 1))
            err = write_unit(m, row, 1, im.units[m->c]); /* of no use perhaps, but nothing is made worse */
    }
    if (im.memory)
        sfs_row_image_free(s->pool, &im);
    sfs_care_unpin(s, &m->g, row);
    return err;
}

/* One batch of a log, or a block that begins none. */
static int move_batch(struct mover *m, uint64_t *at)
{
    struct sfs_store *s = m->s;
    struct sfs_row_image im;
    int best;
    uint32_t length = SFS_BLOCK, unit = sfs_group_unit(&m->g), row = (uint32_t)(*at / unit);
    int err = sfs_care_read_batch(s, &m->g, *at, &im, &best, &length);
    if (best >= 0) {
        err = write_unit(m, row, length / unit, im.units[best]);
    } else if (err == SCALEFS_OK || err == SCALEFS_E_CORRUPT || err == SCALEFS_E_NODATA) {
        uint8_t *block = sfs_buffer_get(s, SFS_BLOCK);
        sfs_care_note_lost(m->care, m->g.group, *at, length);
        err = block ? SCALEFS_OK : SCALEFS_E_NOMEM;
        for (uint32_t done = 0; !err && done < length; done += unit) {
            err = salvage(m, row + done / unit, block);
            if (!err)
                err = write_unit(m, row + done / unit, 1, block);
        }
        sfs_buffer_put(s, block, SFS_BLOCK);
    }
    *at += length;
    if (im.memory)
        sfs_row_image_free(s->pool, &im);
    return err;
}

static void copied(struct mover *m, uint64_t bytes)
{
    sfs_care_moved(m->care, bytes, bytes);
    sfs_store_lock(m->s);
    m->care->column_done += bytes;
    sfs_store_unlock(m->s);
}

static int move_log(struct mover *m)
{
    int err = SCALEFS_OK;
    uint64_t end = (uint64_t)m->write_row * sfs_group_unit(&m->g);
    for (uint64_t at = 0; at < end && !err;) {
        uint64_t before = at, began = sfs_now_ns(m->s->env);
        err = move_batch(m, &at);
        copied(m, at - before);
        sfs_care_pace(m->care, at - before, began);
        if (!err && sfs_care_halts(m->care))
            err = SCALEFS_E_CANCELED;
    }
    return err;
}

/* --- the whole --- */

/* No more at a time than others can wait for, or than the rate allows in half a second. */
static size_t chunk_rows(struct mover *m)
{
    size_t rows = sfs_care_others(m->care) ? CHUNK_ROWS_SHARED : CHUNK_ROWS;
    sfs_store_lock(m->s);
    uint64_t most = m->s->pool->config.rate / 2 / sfs_group_unit(&m->g);
    bool limited = m->s->pool->config.rate > 0;
    sfs_store_unlock(m->s);
    if (limited && most < rows)
        rows = most ? (size_t)most : 1;
    return rows;
}

static int copy_rows(struct mover *m)
{
    int err = SCALEFS_OK;
    struct sfs_care_sweep sweep = {.care = m->care, .group = &m->g, .rows = m->rows, .context = m, .each = move_node};
    if (!has_nodes(m)) {
        sweep.each = move_rows;
        uint32_t most = RUN_READ / m->g.k;
        sweep.run = (most < RUN_BYTES ? most : RUN_BYTES) / sfs_group_unit(&m->g);
    }
    for (size_t from = 0, to; from < m->row_count && !err; from = to) {
        uint64_t unit = sfs_group_unit(&m->g), bytes, began = sfs_now_ns(m->s->env);
        size_t chunk = chunk_rows(m);
        to = m->row_count - from < chunk ? m->row_count : from + chunk;
        err = sfs_care_sweep(&sweep, from, to);
        bytes = (to - from) * unit;
        copied(m, bytes);
        if (m->alone) /* others wait for us; and packing may need a checkpoint */
            continue;
        sfs_care_pace(m->care, bytes, began);
        if (!err)
            err = sfs_care_breathe(m->care);
    }
    return err;
}

/* The live rows that are not in the new column as they are now. */
static int rows_left(struct mover *m)
{
    sfs_free(m->s->env, m->states);
    m->states = NULL;
    m->row_count = 0;
    int err = sfs_care_states(m->s, &m->g, &m->states);
    for (uint32_t row = 0; !err && row < m->g.rows; row++)
        if (m->states[row].live && (!m->copied[row] || m->states[row].txn > m->upto))
            m->rows[m->row_count++] = row;
    return err;
}

/* While checkpoints go on: what is durable. The rows that they write meanwhile have a newer txn. */
static int move_durable(struct mover *m)
{
    sfs_store_lock(m->s);
    m->upto = m->s->pool->committed;
    sfs_store_unlock(m->s);
    int err = rows_left(m);
    size_t count = 0;
    for (size_t i = 0; i < m->row_count; i++)
        if (m->states[m->rows[i]].txn <= m->upto)
            m->rows[count++] = m->rows[i];
    m->row_count = count;
    return err ? err : copy_rows(m);
}

static int move_nodes(struct mover *m)
{
    struct sfs_store *s = m->s;
    int err = move_durable(m);
    if (err)
        return err;
    sfs_store_lock(s);
    exclude_checkpoints(m);
    err = quiesce(m, sfs_group_of(s->pool, m->g.group));
    sfs_store_unlock(s);
    if (!err)
        err = rows_left(m);
    return err ? err : copy_rows(m);
}

static int move(struct mover *m, uint32_t group, uint16_t to)
{
    int err = begin(m, group, to);
    if (err)
        return err;
    struct sfs_group_record becomes = m->g;
    becomes.m = (uint8_t)(m->g.m + m->adds);
    m->rows = sfs_alloc(m->s->env, (size_t)m->g.rows * sizeof *m->rows);
    m->copied = sfs_zalloc(m->s->env, m->g.rows);
    err = m->rows && m->copied ? sfs_column_write_header(m->s->pool, &becomes, m->c, &m->to) : SCALEFS_E_NOMEM;
    if (!err && m->g.class == SFS_CLASS_LANDING)
        err = move_log(m);
    else if (!err && has_nodes(m))
        err = move_nodes(m);
    else if (!err && !(err = rows_left(m)))
        err = copy_rows(m);
    if (err)
        abandon(m);
    else
        err = change_over(m);
    sfs_free(m->s->env, m->rows);
    sfs_free(m->s->env, m->copied);
    sfs_free(m->s->env, m->states);
    return err;
}

int sfs_column_move(struct sfs_care *care, const struct sfs_group_record *g, unsigned c, uint16_t to, bool later)
{
    struct mover m = {.care = care, .s = care->s, .generation = g->generation, .c = c, .later = later};
    return move(&m, g->group, to);
}

int sfs_column_add(struct sfs_care *care, const struct sfs_group_record *g, uint16_t to)
{
    struct mover m = {.care = care, .s = care->s, .generation = g->generation, .c = (unsigned)g->k + g->m, .adds = true, .later = true};
    return move(&m, g->group, to);
}

int sfs_column_drop(struct sfs_care *care, const struct sfs_group_record *g)
{
    struct mover m = {.care = care, .s = care->s};
    struct sfs_store *s = care->s;
    sfs_store_lock(s);
    struct sfs_group *there = sfs_group_of(s->pool, g->group);
    int err = there && !there->moving && there->record.generation == g->generation && there->record.m == g->m
                  ? SCALEFS_OK
                  : SCALEFS_E_CHANGED;
    if (!err && is_begun(there))
        err = SCALEFS_E_BUSY;
    if (!err) {
        m.g = there->record;
        err = has_nodes(&m) ? sfs_row_pin(s, g->group, 0) : SCALEFS_OK;
    }
    if (!err) {
        if (has_nodes(&m))
            exclude_checkpoints(&m);
        there = sfs_group_of(s->pool, g->group);
        err = quiesce(&m, there); /* whoever writes a row writes the columns that it had when he began */
        there = sfs_group_of(s->pool, g->group);
        if (!err)
            sfs_group_drop_column(s->pool, there);
        end_moving(&m, there, false);
    }
    if (!err) {
        s->applied++;
        sfs_checkpoint_due(s);
    }
    sfs_store_unlock(s);
    return err;
}
