/* Writing rows and copies, and plain reading.
 *
 * Where the columns stand is looked up under the lock; all I/O of a call is in flight at once, without it.
 * Columns whose disk is absent are left out: the row's txn makes them owed. A write that fails otherwise
 * takes its member offline, which makes the row owed there, too; so a row that counts as written is on every
 * member that is online. BACKING_FULL takes nobody offline, and therefore fails the row.
 */
#include "pool/internal.h"
#include "parity/parity.h"

static enum sfs_standing standing(const struct sfs_group *g, const struct sfs_member *m, uint32_t row,
                                  uint32_t rows)
{
    if (!m || !m->disk)
        return SFS_ABSENT;
    if (m->complete || g->count.last_txn <= m->record.flushed_txn)
        return SFS_CURRENT;
    if (!g->rows)
        return SFS_UNSURE;
    for (uint32_t r = row; r < row + rows && r < g->record.rows; r++)
        if (g->rows[r].txn > m->record.flushed_txn)
            return SFS_OWED;
    /* Which rows of a system group were written when is not known after an opening. */
    return g->bitmap ? SFS_UNSURE : SFS_CURRENT;
}

bool sfs_group_resolve(struct sfs_pool *pool, uint32_t group, uint32_t row, uint32_t rows,
                       struct sfs_group_record *r, struct sfs_target targets[SFS_COLUMNS_MAX])
{
    const struct sfs_group *g = sfs_group_of(pool, group);
    if (!g)
        return false;
    *r = g->record;
    for (unsigned c = 0; c < (unsigned)r->k + r->m; c++) {
        const struct sfs_member *m = sfs_member_of(pool, r->columns[c].disk);
        targets[c].index = r->columns[c].disk;
        targets[c].disk = m ? m->disk : NULL;
        targets[c].base = m ? sfs_column_offset(m, r, c) : 0;
        targets[c].standing = standing(g, m, row, rows);
        targets[c].waits = m && !m->disk && !sfs_member_failed(m);
    }
    return true;
}

/* --- whole rows --- */

struct sfs_row_job {
    struct sfs_pool *pool;
    struct sfs_group_record group;
    struct sfs_target targets[SFS_COLUMNS_MAX];
    struct sfs_io ios[SFS_COLUMNS_MAX];
    struct sfs_io_batch batch;
    unsigned columns, epoch;
    uint64_t suspensions;
    uint8_t *parity;
    size_t parity_len;
};

static uint32_t entries_end(const struct sfs_entry *entries, uint32_t count)
{
    uint32_t end = 0;
    for (uint32_t i = 0; i < count; i++)
        if (entries[i].offset + entries[i].stored > end)
            end = entries[i].offset + entries[i].stored;
    return end;
}

static void encode_range(const struct sfs_group_record *g, uint8_t *data, uint8_t *parity, uint32_t from,
                         uint32_t to)
{
    const uint8_t *in[SFS_COLUMNS_MAX];
    uint8_t *out[SFS_COLUMNS_MAX];
    uint32_t unit = sfs_group_unit(g);
    if (!g->m || from == to)
        return;
    for (unsigned c = 0; c < g->k; c++)
        in[c] = data + (size_t)c * unit + from;
    for (unsigned c = 0; c < g->m; c++)
        out[c] = parity + (size_t)c * unit + from;
#ifdef SFS_BREAK_NO_PARITY /* tests break it on purpose: see docs/TESTING.md */
    for (unsigned c = 0; c < g->m; c++)
        memset(out[c], 0, to - from);
    (void)in;
#else
    sfs_parity_encode(g->k, g->m, to - from, in, out);
#endif
}

/* Parity of all but the summary, the unit sums, the summary, the rest of the parity. */
static void complete_row(struct sfs_pool *pool, struct sfs_row_job *job, uint32_t row, uint8_t *data,
                         struct sfs_summary *s, const struct sfs_entry *entries)
{
    const struct sfs_group_record *g = &job->group;
    uint32_t unit = sfs_group_unit(g), tail = s->blocks * SFS_BLOCK;
    SFS_ASSERT(s->blocks >= 1 && tail <= unit);
    s->pool = pool->uuid;
    s->kind = 0;
    s->group = g->group;
    s->offset = row * sfs_group_row_bytes(g);
    s->generation = g->generation;
    s->unit_sums = (uint16_t)job->columns;
    s->length = entries_end(entries, s->entries);
    SFS_ASSERT(s->length + tail <= sfs_group_row_bytes(g));
    encode_range(g, data, job->parity, 0, unit - tail);
    for (unsigned c = 0; c < job->columns; c++) {
        const uint8_t *at = c < g->k ? data + (size_t)c * unit : job->parity + (size_t)(c - g->k) * unit;
        s->sums[c] = sfs_unit_sum(at, c + 1 < g->k ? unit : unit - tail, g->group, row, c);
    }
    sfs_summary_encode(s, entries, data + (size_t)g->k * unit - tail);
    encode_range(g, data, job->parity, unit - tail, unit);
}

/* Fresh memory costs a fault per page, so that of a row serves the next. */
static uint8_t *parity_get(struct sfs_pool *pool, size_t len)
{
    uint8_t *bytes = NULL;
    sfs_mutex_lock(&pool->lock);
    for (unsigned i = pool->parity_count; i-- > 0 && !bytes;)
        if (pool->parity[i].len == len) {
            bytes = pool->parity[i].bytes;
            pool->parity[i] = pool->parity[--pool->parity_count];
        }
    sfs_mutex_unlock(&pool->lock);
    return bytes ? bytes : sfs_alloc_io(pool->env, len);
}

static void parity_put(struct sfs_pool *pool, uint8_t *bytes, size_t len)
{
    uint8_t *unused = NULL;
    if (!bytes)
        return;
    sfs_mutex_lock(&pool->lock);
    if (pool->parity_count == SFS_SPARE_PARITY) { /* the one that was of no use for longest may be of another length */
        unused = pool->parity[0].bytes;
        memmove(pool->parity, pool->parity + 1, (SFS_SPARE_PARITY - 1) * sizeof *pool->parity);
        pool->parity_count--;
    }
    pool->parity[pool->parity_count].bytes = bytes;
    pool->parity[pool->parity_count++].len = len;
    sfs_mutex_unlock(&pool->lock);
    sfs_free(pool->env, unused);
}

int sfs_row_write_start(struct sfs_pool *pool, uint32_t group, uint32_t row, uint8_t *data,
                        struct sfs_summary *s, const struct sfs_entry *entries, struct sfs_row_job **out)
{
    struct sfs_row_job *job = sfs_zalloc(pool->env, sizeof *job);
    *out = NULL;
    if (!job)
        return SCALEFS_E_NOMEM;
    job->pool = pool;
    if (!sfs_group_copy(pool, group, &job->group)) {
        sfs_free(pool->env, job);
        return SCALEFS_E_NOENT;
    }
    uint32_t unit = sfs_group_unit(&job->group);
    unsigned k = job->group.k, m = job->group.m;
    job->columns = k + m;
    job->parity_len = (size_t)m * unit;
    job->parity = m ? parity_get(pool, job->parity_len) : NULL;
    if (m && !job->parity) {
        sfs_free(pool->env, job);
        return SCALEFS_E_NOMEM;
    }
    complete_row(pool, job, row, data, s, entries);
    sfs_mutex_lock(&pool->lock);
    int err = sfs_turn_take(pool, group, row, 1, job);
    if (err) {
        sfs_mutex_unlock(&pool->lock);
        parity_put(pool, job->parity, job->parity_len);
        sfs_free(pool->env, job);
        return err;
    }
    bool there = sfs_group_resolve(pool, group, row, 1, &job->group, job->targets);
    SFS_ASSERT(there); /* a group with a row in flight is not freed */
    job->epoch = sfs_pool_io_begin(pool);
    job->suspensions = pool->suspensions;
    sfs_mutex_unlock(&pool->lock);
    for (unsigned c = 0; c < job->columns; c++)
        job->ios[c] = (struct sfs_io){.disk = job->targets[c].disk, .op = SFS_IO_WRITE, .len = unit,
                                      .offset = sfs_unit_offset(&job->group, &job->targets[c], row),
                                      .buf = c < k ? data + (size_t)c * unit
                                                   : job->parity + (size_t)(c - k) * unit};
    sfs_io_submit(pool->env, &job->batch, job->ios, job->columns);
    if (job->group.sequential) {
        sfs_mutex_lock(&pool->lock);
        sfs_turns_pass(pool, job);
        sfs_mutex_unlock(&pool->lock);
    }
    *out = job;
    return SCALEFS_OK;
}

/* A column was left out because its disk was absent. If the member came back meanwhile and is already thought
 * to be complete, it is not: this row is owed. */
static void note_left_out(struct sfs_pool *pool, const struct sfs_target *t)
{
    sfs_mutex_lock(&pool->lock);
    struct sfs_member *m = sfs_member_of(pool, t->index);
    if (m && m->disk && m->complete) {
        m->complete = false;
        m->record.flushed_txn = pool->committed;
        m->dirty = true;
    }
    if (m && m->disk)
        sfs_member_missed(pool, m);
    sfs_mutex_unlock(&pool->lock);
}

/* What was left out of a sequential group cannot be made up for there. */
static void close_group(struct sfs_pool *pool, uint32_t group)
{
    sfs_mutex_lock(&pool->lock);
    struct sfs_group *g = sfs_group_of(pool, group);
    if (g)
        sfs_group_close(pool, g);
    sfs_mutex_unlock(&pool->lock);
}

static void run_in_turn(struct sfs_pool *pool, struct sfs_io *ios, size_t count, const void *who)
{
    struct sfs_io_batch batch;
    sfs_io_submit(pool->env, &batch, ios, count);
    sfs_mutex_lock(&pool->lock);
    sfs_turns_pass(pool, who);
    sfs_mutex_unlock(&pool->lock);
    sfs_io_wait(&batch);
}

/* After the I/O: how many columns were written; *full: some backing file could not grow. */
static unsigned count_written(struct sfs_pool *pool, const struct sfs_io *ios, const struct sfs_target *targets,
                              unsigned columns, bool *full)
{
    unsigned written = 0;
    for (unsigned c = 0; c < columns; c++) {
        if (!ios[c].result) {
            written++;
        } else if (!ios[c].disk) {
            note_left_out(pool, &targets[c]);
        } else {
            *full = *full || ios[c].result == SCALEFS_E_BACKING_FULL;
            sfs_member_error(pool, ios[c].disk, SFS_IO_WRITE, ios[c].result);
        }
    }
    return written;
}

static int write_result(struct sfs_pool *pool, unsigned written, unsigned needed, bool full)
{
    if (full)
        return SCALEFS_E_BACKING_FULL;
    if (written >= needed)
        return SCALEFS_OK;
    sfs_mutex_lock(&pool->lock);
    bool suspended = pool->suspended;
    sfs_mutex_unlock(&pool->lock);
    return suspended ? SCALEFS_E_SUSPENDED : SCALEFS_E_IO;
}

int sfs_row_write_finish(struct sfs_row_job *job)
{
    struct sfs_pool *pool = job->pool;
    bool full = false;
    sfs_io_wait(&job->batch);
    unsigned written = count_written(pool, job->ios, job->targets, job->columns, &full);
    if (written < job->columns && job->group.sequential)
        close_group(pool, job->group.group);
    int err = write_result(pool, written, job->group.k, full);
    if (!err)
        sfs_pool_wrote(pool, job->suspensions);
    sfs_pool_io_end(pool, job->epoch);
    parity_put(pool, job->parity, job->parity_len);
    sfs_free(pool->env, job);
    return err;
}

int sfs_row_write(struct sfs_pool *pool, uint32_t group, uint32_t row, uint8_t *data, struct sfs_summary *s,
                  const struct sfs_entry *entries)
{
    struct sfs_row_job *job;
    int err = sfs_row_write_start(pool, group, row, data, s, entries, &job);
    return err ? err : sfs_row_write_finish(job);
}

/* --- copies --- */

struct put_columns {
    unsigned first, count;
};

static void copies_of(const struct sfs_put *put, const struct sfs_group_record *g,
                      const struct sfs_target *targets, struct sfs_io *ios)
{
    SFS_ASSERT(g->k == 1 && !(put->place.offset % SFS_BLOCK) && !(put->len % SFS_BLOCK));
    SFS_ASSERT(put->place.offset + put->len <= (uint64_t)g->rows << g->unit_log2);
    for (unsigned c = 0; c < 1u + g->m; c++) {
        /* The backend only reads what it writes. */
        union {
            const void *from;
            void *to;
        } buf = {put->buf};
        ios[c] = (struct sfs_io){.disk = targets[c].disk, .op = SFS_IO_WRITE, .len = put->len, .buf = buf.to,
                                 .offset = targets[c].base + SFS_BLOCK + put->place.offset};
    }
}

int sfs_put_many(struct sfs_pool *pool, struct sfs_put *puts, size_t count)
{
    struct sfs_group_record g;
    size_t total = 0, at = 0;
    if (!count)
        return SCALEFS_OK;
    sfs_mutex_lock(&pool->lock);
    for (size_t i = 0; i < count; i++) {
        const struct sfs_group *group = sfs_group_of(pool, puts[i].place.group);
        SFS_ASSERT(group);
        total += 1u + group->record.m;
    }
    sfs_mutex_unlock(&pool->lock);
    struct sfs_io *ios = sfs_alloc(pool->env, total * sizeof *ios);
    struct sfs_target *targets = sfs_alloc(pool->env, (total + SFS_COLUMNS_MAX) * sizeof *targets);
    struct put_columns *columns = sfs_alloc(pool->env, count * sizeof *columns);
    if (!ios || !targets || !columns) {
        sfs_free(pool->env, ios);
        sfs_free(pool->env, targets);
        sfs_free(pool->env, columns);
        return SCALEFS_E_NOMEM;
    }
    sfs_mutex_lock(&pool->lock);
    bool ordered = false;
    for (size_t i = 0; i < count; i++) {
        const struct sfs_group *group = sfs_group_of(pool, puts[i].place.group);
        uint32_t row = (uint32_t)(puts[i].place.offset >> group->record.unit_log2);
        ordered = ordered || group->record.sequential;
        puts[i].result = sfs_turn_take(pool, puts[i].place.group, row, puts[i].len >> group->record.unit_log2, puts);
    }
    for (size_t i = 0; i < count; i++) {
        const struct sfs_group *group = sfs_group_of(pool, puts[i].place.group);
        if (group->record.sequential && group->closed) /* while the turn of another was waited for */
            puts[i].result = SCALEFS_E_CHANGED;
        bool there = sfs_group_resolve(pool, puts[i].place.group, 0, 0, &g, targets + at);
        SFS_ASSERT(there && at + 1u + g.m <= total);
        copies_of(&puts[i], &g, targets + at, ios + at);
        for (unsigned c = 0; puts[i].result && c < 1u + g.m; c++)
            ios[at + c].disk = NULL;
        columns[i] = (struct put_columns){(unsigned)at, 1u + g.m};
        at += 1u + g.m;
    }
    unsigned epoch = sfs_pool_io_begin(pool);
    uint64_t suspensions = pool->suspensions;
    sfs_mutex_unlock(&pool->lock);
    if (ordered)
        run_in_turn(pool, ios, at, puts);
    else
        sfs_io_run(pool->env, ios, at);
    int err = SCALEFS_OK;
    bool good = false;
    for (size_t i = 0; i < count; i++) {
        bool full = false;
        unsigned first = columns[i].first;
        if (puts[i].result) { /* its group was closed before */
            err = err ? err : puts[i].result;
            continue;
        }
        unsigned written = count_written(pool, ios + first, targets + first, columns[i].count, &full);
        if (full && ordered) /* otherwise what was left out is what went */
            close_group(pool, puts[i].place.group);
        puts[i].result = write_result(pool, written, 1, full);
        if (puts[i].result && !err)
            err = puts[i].result;
        good = good || !puts[i].result;
    }
    if (good)
        sfs_pool_wrote(pool, suspensions);
    sfs_pool_io_end(pool, epoch);
    sfs_free(pool->env, columns);
    sfs_free(pool->env, targets);
    sfs_free(pool->env, ios);
    return err;
}

/* --- plain reading --- */

/* For k = 1: the best column to read; the choice turns round with the place, so that all copies work. */
static uint8_t choose_copy(const struct sfs_get *get, const struct sfs_group_record *g,
                           const struct sfs_target *targets)
{
    unsigned n = 1u + g->m, start = (unsigned)((get->place.offset >> 16) + get->place.group) % n;
    uint8_t best = 0;
    enum sfs_standing found = SFS_ABSENT;
    for (unsigned i = 0; i < n; i++) {
        unsigned c = (start + i) % n;
        if (i == 0 || targets[c].standing < found) {
            best = (uint8_t)c;
            found = targets[c].standing;
        }
    }
    return best;
}

/* A piece of a data unit whose disk is not there: the same bytes of k other units of its row give it. */
struct hole {
    size_t io;
    uint32_t group, row, in_unit, len;
    uint8_t k, column;
    size_t first; /* of its requests */
    uint8_t sources[SFS_COLUMNS_MAX];
    bool found;
};

/* The requests of one get; returns how many. `at`: how many there are before them. */
static size_t pieces_of(struct sfs_get *get, const struct sfs_group_record *g, const struct sfs_target *targets,
                        struct sfs_io *ios, size_t at, struct hole *holes, size_t *hole_count)
{
    uint64_t offset = get->place.offset & ~(uint64_t)(SFS_BLOCK - 1);
    uint64_t end = (get->place.offset + get->len + SFS_BLOCK - 1) & ~(uint64_t)(SFS_BLOCK - 1);
    uint32_t unit = sfs_group_unit(g);
    uint8_t *buf = get->buf;
    size_t n = 0;
    if (g->k == 1) {
        uint8_t c = get->copy == 0xff ? choose_copy(get, g, targets) : get->copy;
        if (c > g->m)
            return 0;
        get->used_copy = c;
        ios[0] = (struct sfs_io){.disk = targets[c].disk, .op = SFS_IO_READ, .len = end - offset, .buf = buf,
                                 .offset = targets[c].base + SFS_BLOCK + offset};
        return 1;
    }
    while (offset < end) {
        uint64_t row = offset / sfs_group_row_bytes(g), in_row = offset % sfs_group_row_bytes(g);
        const struct sfs_target *t = &targets[in_row / unit];
        uint64_t in_unit = in_row % unit, len = unit - in_unit < end - offset ? unit - in_unit : end - offset;
        /* What is certainly owed is not worth reading where it can be rebuilt. */
        bool skip = t->standing == SFS_OWED && g->m;
        if (g->m && (skip || !t->disk))
            holes[(*hole_count)++] = (struct hole){.io = at + n, .group = g->group, .row = (uint32_t)row,
                                                   .in_unit = (uint32_t)in_unit, .len = (uint32_t)len, .k = g->k,
                                                   .column = (uint8_t)(in_row / unit)};
        ios[n++] = (struct sfs_io){.disk = skip ? NULL : t->disk, .op = SFS_IO_READ, .len = len, .buf = buf,
                                   .offset = sfs_unit_offset(g, t, (uint32_t)row) + in_unit};
        buf += len;
        offset += len;
    }
    return n;
}

static size_t pieces_bound(const struct sfs_get *get)
{
    return (size_t)get->len / (32u << 10) + 3; /* units have at least 32 KiB where k > 1 */
}

/* --- around what is absent --- */

/* The k columns that a hole is computed from, and their requests into `memory`. locked */
static bool plan_hole(struct sfs_pool *pool, struct hole *h, struct sfs_io *ios, uint8_t *memory)
{
    struct sfs_group_record g;
    struct sfs_target targets[SFS_COLUMNS_MAX];
    if (!sfs_group_resolve(pool, h->group, h->row, 1, &g, targets) || g.k != h->k)
        return false;
    unsigned n = 0;
    for (unsigned c = 0; c < (unsigned)g.k + g.m && n < g.k; c++) {
        if (c == h->column || !targets[c].disk || targets[c].standing == SFS_OWED)
            continue;
        ios[n] = (struct sfs_io){.disk = targets[c].disk, .op = SFS_IO_READ, .len = h->len,
                                 .buf = memory + (size_t)n * h->len,
                                 .offset = sfs_unit_offset(&g, &targets[c], h->row) + h->in_unit};
        h->sources[n++] = (uint8_t)c;
    }
    return n == g.k;
}

/* The bytes of the hole, if all that they need was read. Nothing is verified here, as in plain reading. */
static bool fill_hole(struct sfs_pool *pool, const struct hole *h, const struct sfs_io *ios, uint8_t *out)
{
    uint8_t *units[SFS_COLUMNS_MAX] = {NULL};
    unsigned last = h->sources[h->k - 1], columns = last < h->k ? h->k : last + 1u;
    uint64_t unknown = 0;
    for (unsigned n = 0; n < h->k; n++) {
        if (ios[n].result) {
            sfs_member_error(pool, ios[n].disk, SFS_IO_READ, ios[n].result);
            return false;
        }
        units[h->sources[n]] = ios[n].buf;
    }
    units[h->column] = out;
    for (unsigned c = 0; c < columns; c++)
        unknown |= units[c] ? 0 : 1ull << c;
    return sfs_parity_rebuild(h->k, columns - h->k, h->len, units, 1ull << h->column, unknown);
}

/* What could not be asked for is computed, all of it at once; the request then counts as done. */
static void fill_holes(struct sfs_pool *pool, struct sfs_io *pieces, struct hole *holes, size_t count)
{
    size_t total = 0, bytes = 0;
    for (size_t i = 0; i < count; i++) {
        total += holes[i].k;
        bytes += (size_t)holes[i].k * holes[i].len;
    }
    struct sfs_io *ios = sfs_zalloc(pool->env, total * sizeof *ios);
    uint8_t *memory = sfs_alloc_io(pool->env, bytes);
    if (ios && memory) {
        size_t at = 0;
        uint8_t *room = memory;
        sfs_mutex_lock(&pool->lock);
        for (size_t i = 0; i < count; i++) {
            holes[i].first = at;
            holes[i].found = plan_hole(pool, &holes[i], ios + at, room);
            at += holes[i].found ? holes[i].k : 0;
            room += (size_t)holes[i].k * holes[i].len;
        }
        unsigned epoch = sfs_pool_io_begin(pool);
        sfs_mutex_unlock(&pool->lock);
        if (at)
            sfs_io_run(pool->env, ios, at);
        for (size_t i = 0; i < count; i++)
            if (holes[i].found && fill_hole(pool, &holes[i], ios + holes[i].first, pieces[holes[i].io].buf))
                pieces[holes[i].io].result = SCALEFS_OK;
        sfs_pool_io_end(pool, epoch);
    }
    sfs_free(pool->env, memory);
    sfs_free(pool->env, ios);
}

void sfs_get_many(struct sfs_pool *pool, struct sfs_get *gets, size_t count)
{
    struct sfs_group_record g;
    struct sfs_target targets[SFS_COLUMNS_MAX];
    size_t bound = 0, at = 0;
    for (size_t i = 0; i < count; i++)
        bound += pieces_bound(&gets[i]);
    struct sfs_io *ios = sfs_alloc(pool->env, (bound + 1) * sizeof *ios);
    size_t *first = sfs_alloc(pool->env, (count + 1) * sizeof *first), hole_count = 0;
    struct hole *holes = sfs_alloc(pool->env, (bound + 1) * sizeof *holes);
    if (!ios || !first || !holes) {
        for (size_t i = 0; i < count; i++)
            gets[i].result = SCALEFS_E_NOMEM;
        sfs_free(pool->env, ios);
        sfs_free(pool->env, first);
        sfs_free(pool->env, holes);
        return;
    }
    sfs_mutex_lock(&pool->lock);
    for (size_t i = 0; i < count; i++) {
        const struct sfs_group *group = sfs_group_of(pool, gets[i].place.group);
        first[i] = at;
        gets[i].result = SCALEFS_E_IO;
        uint64_t size = group ? sfs_group_row_bytes(&group->record) * group->record.rows : 0;
        if (!gets[i].len || gets[i].place.offset >= size || gets[i].len > size - gets[i].place.offset)
            continue; /* a place that comes from bytes on a disk may be anything */
        uint32_t row = sfs_group_row_of(&group->record, gets[i].place.offset);
        uint32_t last = sfs_group_row_of(&group->record, gets[i].place.offset + gets[i].len - 1);
        sfs_group_resolve(pool, gets[i].place.group, row, last - row + 1, &g, targets);
        at += pieces_of(&gets[i], &g, targets, ios + at, at, holes, &hole_count);
        SFS_ASSERT(at <= bound);
    }
    first[count] = at;
    unsigned epoch = sfs_pool_io_begin(pool);
    sfs_mutex_unlock(&pool->lock);
    if (at)
        sfs_io_run(pool->env, ios, at);
    if (hole_count)
        fill_holes(pool, ios, holes, hole_count);
    for (size_t i = 0; i < count; i++) {
        if (first[i] < first[i + 1])
            gets[i].result = SCALEFS_OK;
        for (size_t p = first[i]; p < first[i + 1]; p++) {
            if (!ios[p].result)
                continue;
            if (ios[p].disk)
                sfs_member_error(pool, ios[p].disk, SFS_IO_READ, ios[p].result);
            if (gets[i].result != SCALEFS_E_IO)
                gets[i].result = ios[p].result == SCALEFS_E_GONE ? SCALEFS_E_GONE : SCALEFS_E_IO;
        }
    }
    sfs_pool_io_end(pool, epoch);
    sfs_free(pool->env, holes);
    sfs_free(pool->env, first);
    sfs_free(pool->env, ios);
}
