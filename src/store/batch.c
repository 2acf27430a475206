/* Write batches: extents are packed into full rows; what is left over goes to the landing log, or is dropped.
 *
 * A batch fills a row of its own, so that many tasks write at once without a lock between them. Nothing of it is in
 * any tree before the caller's transaction, so a batch that is given up leaves nothing behind: its rows were taken, and
 * are free again when the batch is freed.
 *
 * Where rows are written in order (sequential groups), a row has its number only when it is full. Should its group have been
 * closed by then (a disk of it failed), what was gathered goes to a row of another group, which may be of another length.
 */
#include "store/internal.h"
#include "store/move.h"

#define SHORT_BYTES (124u << 10)    /* of extents: with the summary, and with others, they fill rows of all lengths */
#define SHORTENED_LEAST (32u << 10)
#define LEAST_PART (2u * SFS_BLOCK) /* for less, an extent is not cut: a row is as good as full */
#define IN_FLIGHT 3 /* rows being written while the next is filled */

struct taken {
    uint32_t group, row;
    bool written;
};

struct sfs_batch {
    struct sfs_store *s;
    unsigned temperature;
    bool use_reserve, pad, whole;
    int error;
    uint8_t compression;
    int level;
    uint32_t record, skip_compress;
    uint64_t expected; /* raw bytes still to come; 0: unknown */
    unsigned records;  /* extents of full length so far */

    struct sfs_piece *pieces;
    size_t count, cap;
    struct taken *rows;
    size_t row_count, row_cap;
    uint32_t *logs; /* landing groups with in_flight raised */
    size_t log_count, log_cap;

    /* the row being filled */
    bool open;
    struct sfs_group_record group;
    uint32_t row, fill;
    uint8_t *data;
    struct sfs_entry *entries;
    size_t entry_count, entry_cap;
    size_t first; /* piece number of its first extent */

    struct {
        struct sfs_row_job *job;
        uint8_t *data;
        size_t bytes, taken;
    } jobs[IN_FLIGHT];
    unsigned job_count;
    uint8_t *scratch; /* compressed bytes */
};

int sfs_batch_begin(struct sfs_store *s, unsigned temperature, struct sfs_batch **batch)
{
    struct sfs_batch *b = sfs_zalloc(s->env, sizeof *b);
    if (!b)
        return SCALEFS_E_NOMEM;
    b->s = s;
    b->temperature = temperature;
    sfs_store_lock(s);
    if (temperature == 0)
        s->asked_ns = sfs_now_ns(s->env);
    b->compression = s->pool->config.compression;
    b->level = s->pool->config.zstd_level;
    b->record = s->pool->config.record_bytes;
    sfs_store_unlock(s);
    *batch = b;
    return SCALEFS_OK;
}

void sfs_batch_use_reserve(struct sfs_batch *b)
{
    b->use_reserve = true;
}

void sfs_batch_expect(struct sfs_batch *b, uint64_t bytes)
{
    b->expected = bytes;
}

void sfs_batch_whole(struct sfs_batch *b, uint32_t bytes)
{
    SFS_ASSERT(bytes <= SFS_EXTENT_MOVABLE); /* any row has room for it */
    if (b->record < bytes)
        b->record = bytes;
    b->whole = true;
}

void sfs_batch_pad(struct sfs_batch *b)
{
    b->pad = true;
}

static size_t row_bytes(const struct sfs_batch *b)
{
    return (size_t)sfs_group_row_bytes(&b->group);
}

static unsigned columns(const struct sfs_batch *b)
{
    return (unsigned)b->group.k + b->group.m;
}

/* Bytes left for extents in the open row when it gets one entry more. */
static uint32_t room(const struct sfs_batch *b)
{
    if (b->entry_count >= SFS_SUMMARY_ENTRIES_MAX)
        return 0;
    uint32_t blocks = sfs_summary_blocks(columns(b), (uint32_t)b->entry_count + 1);
    uint64_t tail = (uint64_t)blocks * SFS_BLOCK;
    if (tail > sfs_group_unit(&b->group) || b->fill + tail >= row_bytes(b))
        return 0;
    return (uint32_t)(row_bytes(b) - b->fill - tail);
}

static int take_row(struct sfs_batch *b)
{
    struct sfs_store *s = b->s;
    int err = sfs_vec_reserve(s->env, &b->rows, &b->row_cap, b->row_count + 1, sizeof *b->rows);
    for (unsigned tries = 0; !err; tries++) {
        err = sfs_space_take(s, SFS_CLASS_DATA, b->temperature, b->use_reserve, &b->group, &b->row);
        if (err != SCALEFS_E_NOSPC || b->use_reserve || tries == 32)
            break;
        err = sfs_make_room(s, tries > 0);
    }
    /* It was promised room: where a disk went since then, or is being replaced, the reserve must serve, and what was freed. */
    for (unsigned tries = 0; err == SCALEFS_E_NOSPC && !b->use_reserve && tries < 2; tries++)
        if (!tries || (err = sfs_ripen(s)) == SCALEFS_OK)
            err = sfs_space_take(s, SFS_CLASS_DATA, b->temperature, true, &b->group, &b->row);
    if (!err)
        b->rows[b->row_count++] = (struct taken){b->group.group, b->row, false};
    return err;
}

static int open_row(struct sfs_batch *b)
{
    int err = take_row(b);
    if (err)
        return err;
    b->data = sfs_buffer_get(b->s, row_bytes(b));
    if (!b->data)
        return SCALEFS_E_NOMEM;
    b->open = true;
    b->fill = 0;
    b->entry_count = 0;
    b->first = b->count;
    return SCALEFS_OK;
}

static int finish_job(struct sfs_batch *b)
{
    SFS_ASSERT(b->job_count > 0);
    int err = sfs_row_write_finish(b->jobs[0].job);
    sfs_buffer_put(b->s, b->jobs[0].data, b->jobs[0].bytes);
    memmove(b->jobs, b->jobs + 1, (IN_FLIGHT - 1) * sizeof *b->jobs);
    b->job_count--;
    return err;
}

/* The open row gets its number and is sent. CHANGED: its group takes no rows any more; nothing was sent. */
static int send_row(struct sfs_batch *b)
{
    struct sfs_store *s = b->s;
    struct taken *taken = &b->rows[b->row_count - 1];
    int err = sfs_space_number(s, b->group.group, &b->row);
    if (err)
        return err;
    taken->row = b->row;
    for (size_t i = 0; i < b->entry_count; i++)
        b->pieces[b->first + i].extent.place =
            (struct sfs_place){b->group.group, (uint64_t)b->row * row_bytes(b) + b->entries[i].offset};
    uint32_t blocks = sfs_summary_blocks(columns(b), (uint32_t)b->entry_count);
    memset(b->data + b->fill, 0, row_bytes(b) - b->fill);
    struct sfs_summary sum = {.blocks = (uint8_t)blocks, .entries = (uint32_t)b->entry_count};
    sfs_store_lock(s);
    sum.txn = s->pool->txn;
    sfs_store_unlock(s);
    struct sfs_row_job *job = NULL;
    err = sfs_row_write_start(s->pool, b->group.group, b->row, b->data, &sum, b->entries, &job);
    if (err)
        return err;
    taken->written = true;
    b->jobs[b->job_count].job = job;
    b->jobs[b->job_count].data = b->data;
    b->jobs[b->job_count++].bytes = row_bytes(b);
    b->data = NULL;
    b->open = false;
    return SCALEFS_OK;
}

static void drop_open(struct sfs_batch *b)
{
    if (b->data)
        sfs_buffer_put(b->s, b->data, row_bytes(b));
    b->data = NULL;
    b->open = false;
}

static int gather_again(struct sfs_batch *b);

/* Writes the open row. */
static int seal_row(struct sfs_batch *b)
{
    int err;
    do {
        err = b->job_count == IN_FLIGHT ? finish_job(b) : SCALEFS_OK;
        if (!err)
            err = send_row(b);
    } while (err == SCALEFS_E_CHANGED && (err = gather_again(b)) == SCALEFS_OK && b->open);
    if (err)
        drop_open(b);
    return err;
}

/* --- adding --- */

static int add_piece(struct sfs_batch *b, const struct sfs_piece *piece, const struct sfs_entry *owner, const void *stored)
{
    struct sfs_env *env = b->s->env;
    int err = sfs_vec_reserve(env, &b->pieces, &b->cap, b->count + 1, sizeof *b->pieces);
    if (!err)
        err = sfs_vec_reserve(env, &b->entries, &b->entry_cap, b->entry_count + 1, sizeof *b->entries);
    if (err)
        return err;
    uint32_t len = piece->extent.stored;
    memcpy(b->data + b->fill, stored, len);
    struct sfs_piece *p = &b->pieces[b->count++];
    *p = *piece;
    struct sfs_entry *e = &b->entries[b->entry_count++];
    *e = *owner;
    e->id = p->id;
    e->birth = p->extent.birth;
    e->offset = b->fill;
    e->stored = len;
    e->raw = p->extent.raw;
    e->compression = p->extent.compression;
    e->sums = p->extent.sum_count;
    e->sums_hash = sfs_sums_hash(p->extent.sums, p->extent.sum_count);
    uint32_t padded = (len + 15) & ~15u;
    if (padded > len && b->fill + padded <= row_bytes(b))
        memset(b->data + b->fill + len, 0, padded - len);
    b->fill += padded;
    return SCALEFS_OK;
}

/* A quick look at a few KiB of it: what does not shrink there is not worth the time. */
static bool worth_compressing(struct sfs_batch *b, const uint8_t *data, uint32_t len)
{
    if (!b->compression || len < 2 * SFS_BLOCK)
        return false;
    if (b->skip_compress > 0) {
        b->skip_compress--;
        return false;
    }
    uint8_t out[SFS_BLOCK];
    if (sfs_compress(b->s, 1, data + (len / 2 & ~15u), SFS_BLOCK, out, SFS_BLOCK - SFS_BLOCK / 8) > 0)
        return true;
    b->skip_compress = 3;
    return false;
}

/* Compresses a first part of the data so that it fits into the row. 0: better stored as it is. */
static uint32_t compress_part(struct sfs_batch *b, const uint8_t *data, uint32_t *len)
{
    struct sfs_store *s = b->s;
    if (!worth_compressing(b, data, *len))
        return 0;
    if (!b->scratch && !(b->scratch = sfs_buffer_get(s, SFS_EXTENT_MAX)))
        return 0;
    uint32_t left = room(b), n = sfs_compress(s, b->level, data, *len, b->scratch, *len - *len / 8);
    if (n == 0 || n <= left)
        return n;
    /* Too long for this row: a shorter part at the same ratio, with a little to spare. */
    uint32_t part = (uint32_t)((uint64_t)*len * left / n * 15 / 16) & ~(SFS_BLOCK - 1);
    if (part < 4 * SFS_BLOCK)
        return 0;
    n = sfs_compress(s, b->level, data, part, b->scratch, left);
    if (n == 0 || n > part - part / 8)
        return 0;
    *len = part;
    return n;
}

static void seal_extent(struct sfs_extent *e, uint64_t id, const uint8_t *stored)
{
    if (e->compression) {
        e->sum_count = 1;
        e->sums[0] = sfs_extent_sum(stored, e->stored, id, e->birth, 0);
        return;
    }
    e->sum_count = 0;
    for (uint32_t at = 0; at < e->stored; at += SFS_SUM_BYTES) {
        uint32_t n = e->stored - at < SFS_SUM_BYTES ? e->stored - at : SFS_SUM_BYTES;
        e->sums[e->sum_count] = sfs_extent_sum(stored + at, n, id, e->birth, e->sum_count);
        e->sum_count++;
    }
}

/* An open row with room for `want` bytes, or for a useful part of them. */
static int have_room(struct sfs_batch *b, uint32_t want, uint32_t least)
{
    if (b->open && room(b) < want && room(b) < least) {
        int err = seal_row(b);
        if (err)
            return err;
    }
    return b->open ? SCALEFS_OK : open_row(b);
}

/* Extents are never cut any more once they are made: one that does not fit begins the next row. */
static int add_whole(struct sfs_batch *b, const struct sfs_piece *p, const struct sfs_entry *owner, const void *stored)
{
    int err = have_room(b, p->extent.stored, 0);
    if (!err && room(b) < p->extent.stored) {
        err = seal_row(b);
        if (!err)
            err = open_row(b);
    }
    if (!err && room(b) < p->extent.stored)
        err = SCALEFS_E_NOTSUP; /* rows became shorter than extents: it must be cut, which a move may not */
    return err ? err : add_piece(b, p, owner, stored);
}

/* The group of the open row is closed: all that it holds goes to one of another group. */
static int gather_again(struct sfs_batch *b)
{
    struct sfs_store *s = b->s;
    size_t count = b->entry_count, bytes = row_bytes(b);
    struct taken old = b->rows[--b->row_count];
    struct sfs_entry *entries = sfs_alloc(s->env, (count + 1) * sizeof *entries);
    struct sfs_piece *pieces = sfs_alloc(s->env, (count + 1) * sizeof *pieces);
    uint8_t *data = b->data;
    int err = entries && pieces ? SCALEFS_OK : SCALEFS_E_NOMEM;
    if (!err) {
        memcpy(entries, b->entries, count * sizeof *entries);
        memcpy(pieces, b->pieces + b->first, count * sizeof *pieces);
    }
    sfs_space_row_done(s, old.group, old.row, true);
    b->count = b->first;
    b->data = NULL;
    b->open = false;
    for (size_t i = 0; i < count && !err; i++)
        err = add_whole(b, &pieces[i], &entries[i], data + entries[i].offset);
    sfs_buffer_put(s, data, bytes);
    sfs_free(s->env, pieces);
    sfs_free(s->env, entries);
    return err;
}

/* Extents are not cut when they move, into rows of whatever length less a summary. Rows that held records alone would make others with
 * large gaps: copies, one record each, and nothing in the third of the row that is left. With as many extents that are a summary
 * shorter all rows can be filled. A tail lands, and moves later. */
static uint32_t cut(struct sfs_batch *b, uint32_t len)
{
    uint32_t most = b->record < SFS_EXTENT_MOVABLE ? b->record : SFS_EXTENT_MOVABLE;
    if (len < most || b->whole)
        return len < most ? len : most;
    bool shorter = (b->expected > 0 && b->expected < room(b)) || b->records++ % 2;
    return !shorter || most < SHORTENED_LEAST ? most : most > 2 * SHORT_BYTES ? SHORT_BYTES : most - SFS_BLOCK;
}

static int add_data(struct sfs_batch *b, const uint8_t *data, uint32_t len, const struct sfs_entry *owner, uint32_t *raw)
{
    struct sfs_store *s = b->s;
    int err = have_room(b, len < b->record ? len : b->record, LEAST_PART);
    if (err)
        return err;
    len = cut(b, len);
    uint32_t n = compress_part(b, data, &len);
    if (n == 0 && len > room(b)) {
        len = room(b) & ~(SFS_BLOCK - 1);
        SFS_ASSERT(len > 0);
    }
    struct sfs_piece p = {.raw = len};
    sfs_store_lock(s);
    p.id = s->pool->next_id++;
    p.extent.birth = s->pool->txn;
    sfs_store_unlock(s);
    p.extent.raw = len;
    p.extent.stored = n ? n : len;
    p.extent.compression = n ? 1 : 0;
    const uint8_t *stored = n ? b->scratch : data;
    seal_extent(&p.extent, p.id, stored);
    *raw = len;
    b->expected -= b->expected < len ? b->expected : len;
    return add_piece(b, &p, owner, stored);
}

int sfs_batch_add(struct sfs_batch *b, const void *data, uint32_t len, uint32_t volume, uint64_t inode,
                  uint64_t file_offset, uint32_t *raw)
{
    SFS_ASSERT(len > 0);
    struct sfs_entry owner = {.volume = volume, .inode = inode, .file_offset = file_offset};
    if (!b->error)
        b->error = add_data(b, data, len, &owner, raw);
    return b->error;
}

uint32_t sfs_batch_room(const struct sfs_batch *b)
{
    return b->open ? room(b) : 0;
}

int sfs_batch_add_moved(struct sfs_batch *b, uint64_t id, const struct sfs_extent *e, const uint8_t *stored,
                        const struct sfs_entry *owner)
{
    struct sfs_piece p = {.id = id, .raw = e->raw, .extent = *e};
    if (!b->error)
        b->error = add_whole(b, &p, owner, stored);
    return b->error;
}

/* --- the end --- */

/* One try: CHANGED when the log was closed before this was sent. */
static int land_in(struct sfs_batch *b, uint8_t *buf, uint32_t head, uint32_t total)
{
    struct sfs_store *s = b->s;
    int err = sfs_vec_reserve(s->env, &b->logs, &b->log_cap, b->log_count + 1, sizeof *b->logs);
    if (err)
        return err;
    struct sfs_group_record g;
    uint64_t offset;
    err = sfs_space_take_log(s, b->use_reserve, total, &g, &offset);
    if (err == SCALEFS_E_NOSPC && !b->use_reserve && sfs_settle(s) == SCALEFS_OK) /* logs are packed, and there is room for one */
        err = sfs_space_take_log(s, false, total, &g, &offset);
    for (unsigned tries = 0; err == SCALEFS_E_NOSPC && !b->use_reserve && tries < 2; tries++) /* as in take_row */
        if (!tries || (err = sfs_ripen(s)) == SCALEFS_OK)
            err = sfs_space_take_log(s, true, total, &g, &offset);
    if (err)
        return err;
    b->logs[b->log_count++] = g.group;
    struct sfs_summary sum = {.pool = s->pool->uuid, .kind = 1, .group = g.group, .entries = (uint32_t)b->entry_count,
                              .length = total, .offset = offset, .generation = g.generation};
    sum.blocks = (uint8_t)sfs_summary_blocks(0, sum.entries);
    sfs_store_lock(s);
    sum.txn = s->pool->txn;
    sfs_store_unlock(s);
    memset(buf, 0, head);
    sfs_summary_encode(&sum, b->entries, buf);
    struct sfs_put put = {.place = {g.group, offset}, .buf = buf, .len = total};
    err = sfs_put_many(s->pool, &put, 1);
    for (size_t i = 0; i < b->entry_count && !err; i++)
        b->pieces[b->first + i].extent.place = (struct sfs_place){g.group, offset + b->entries[i].offset};
    return err;
}

/* The extents of the open row go to the landing log as one batch. */
static int land(struct sfs_batch *b)
{
    struct sfs_store *s = b->s;
    uint32_t head = (sfs_summary_head_bytes(0, (uint32_t)b->entry_count) + 15) & ~15u;
    uint32_t total = (head + b->fill + SFS_BLOCK - 1) & ~(SFS_BLOCK - 1);
    uint8_t *buf = sfs_buffer_get(s, total);
    if (!buf)
        return SCALEFS_E_NOMEM;
    memcpy(buf + head, b->data, b->fill);
    memset(buf + head + b->fill, 0, total - head - b->fill);
    for (size_t i = 0; i < b->entry_count; i++)
        b->entries[i].offset += head;
    int err;
    while ((err = land_in(b, buf, head, total)) == SCALEFS_E_CHANGED) {
    }
    for (size_t i = 0; i < b->entry_count && err; i++) /* they may go into a row after all */
        b->entries[i].offset -= head;
    sfs_buffer_put(s, buf, total);
    return err;
}

int sfs_batch_end(struct sfs_batch *b, bool tail, size_t *kept, const struct sfs_piece **pieces)
{
    *kept = 0;
    *pieces = NULL;
    size_t count = b->count;
    if (b->open && b->entry_count > 0 && !b->error) {
        if (room(b) < SFS_BLOCK || (!tail && b->pad))
            b->error = seal_row(b); /* as good as full */
        else if (!tail)
            count = b->first;
        else if (land(b) != SCALEFS_OK)
            b->error = seal_row(b); /* no room for a log: a row with a gap is better than none */
    }
    while (b->job_count > 0) {
        int err = finish_job(b);
        b->error = b->error ? b->error : err;
    }
    drop_open(b);
    if (b->error)
        return b->error;
    *kept = count;
    *pieces = b->pieces;
    return SCALEFS_OK;
}

void sfs_batch_free(struct sfs_batch *b)
{
    if (!b)
        return;
    struct sfs_store *s = b->s;
    while (b->job_count > 0)
        (void)finish_job(b); /* given up, or there was none left */
    drop_open(b);
    for (size_t i = 0; i < b->row_count; i++)
        sfs_space_row_done(s, b->rows[i].group, b->rows[i].row, b->rows[i].written);
    for (size_t i = 0; i < b->log_count; i++)
        sfs_space_log_done(s, b->logs[i]);
    if (b->scratch)
        sfs_buffer_put(s, b->scratch, SFS_EXTENT_MAX);
    sfs_free(s->env, b->pieces);
    sfs_free(s->env, b->rows);
    sfs_free(s->env, b->logs);
    sfs_free(s->env, b->entries);
    sfs_free(s->env, b);
}
