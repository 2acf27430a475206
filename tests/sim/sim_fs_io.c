/* Random operations on the bytes of a client's files, and what a sync promises. See sim_fs.h. */
#include "sim/sim_fs.h"

#include <stdlib.h>
#include <string.h>

struct file *node_file(struct client *c, int node)
{
    return c->files[c->now.node[node].file];
}

uint32_t client_add_file(struct client *c)
{
    if (c->file_count == c->file_room) {
        c->file_room = c->file_room ? 2 * c->file_room : 64;
        c->files = realloc(c->files, c->file_room * sizeof *c->files);
        if (!c->files)
            abort();
    }
    c->files[c->file_count] = file_new();
    return c->file_count++;
}

static int any_file(struct client *c)
{
    for (int tries = 0; tries < 60; tries++) {
        int n = (int)prng_below(&c->prng, NODES);
        if (is_file(&c->now.node[n]))
            return n;
    }
    return -1;
}

void *scratch(struct model *m, size_t bytes)
{
    void *p = sfs_alloc(m->w->env, bytes + 1);
    if (!p)
        abort();
    return p;
}

void scratch_free(struct model *m, void *p)
{
    sfs_free(m->w->env, p);
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

void io_read_check(struct model *m, struct client *c, int node)
{
    struct prng *p = &c->prng;
    struct file *f = node_file(c, node);
    uint64_t offset = prng_chance(p, 1, 3) ? 0 : prng_below(p, f->now.size + 5000);
    size_t len = prng_chance(p, 1, 3) ? f->now.size + 100 : prng_skewed(p, 150000), done;
    uint8_t *buf = scratch(m, len);
    int err = sfs_fs_read(m->fs, c->now.node[node].ino, offset, buf, len, &done);
    if (err)
        wrong(m, "client %u: reading node %d at %llu: %s", c->number, node, N(offset), scalefs_error_text(err));
    size_t want = offset >= f->now.size ? 0 : f->now.size - offset < len ? f->now.size - offset : len;
    if (done != want)
        wrong(m, "client %u: reading node %d gave %zu bytes, not %zu", c->number, node, done, want);
    for (size_t i = 0; i < done; i++)
        if (buf[i] != f->now.bytes[offset + i])
            wrong(m, "client %u: node %d, byte %llu is wrong (%02x, not %02x)", c->number, node, N(offset + i), buf[i],
                  f->now.bytes[offset + i]);
    scratch_free(m, buf);
}

static void step_seek(struct model *m, struct client *c, int node)
{
    struct prng *p = &c->prng;
    struct file *f = node_file(c, node);
    bool hole = prng_chance(p, 1, 2);
    uint64_t offset = prng_below(p, f->now.size + 1000), found;
    int err = sfs_fs_seek(m->fs, c->now.node[node].ino, offset, hole, &found);
    uint64_t size = f->now.size;
    bool good = err == SCALEFS_OK ? offset < size && found >= offset && found <= size
                                  : err == SCALEFS_E_NXIO && (offset >= size || !hole);
    if (good && !err && hole && found < size)
        good = f->now.bytes[found] == 0;
    for (uint64_t i = offset; good && !hole && i < size && (err || i < found); i++)
        good = f->now.bytes[i] == 0;
    if (!good)
        wrong(m, "client %u: node %d of %llu bytes: the next %s from %llu is at %llu (%s)", c->number, node, N(size),
              hole ? "hole" : "data", N(offset), N(found), scalefs_error_name(err));
}

/* --- writing: a weak change, no transaction --------------------------------------------------------------------------- */

static void begin_write(struct model *m, struct client *c, struct file *f, struct change *ch)
{
    (void)m;
    ch->seq = ++c->seq;
    ch->kind = CHANGE_WRITE;
    file_change(f, ch);
}

static void end_write(struct model *m, struct client *c, struct file *f, const struct change *ch, int err)
{
    c->done_seq = ch->seq;
    if (err == SCALEFS_E_NOSPC) {
        m->counts.full++;
        file_cancel(f);
        return;
    }
    if (err)
        wrong(m, "client %u: a write of %llu bytes at %llu got: %s", c->number, N(ch->len), N(ch->offset),
              scalefs_error_text(err));
    file_done(f);
    m->counts.operations++;
}

/* Where, and how much; false: nothing fits. */
static bool any_range(struct model *m, struct client *c, const struct file *f, struct change *ch)
{
    struct prng *p = &c->prng;
    uint64_t reach = f->now.size + 1 + prng_below(p, 20000);
    ch->offset = prng_below(p, reach < m->file_max ? reach : m->file_max);
    ch->len = m->tiny && prng_chance(p, 1, 2) ? prng_below(p, m->file_max)
                                              : prng_skewed(p, prng_chance(p, 1, 8) ? m->file_max : 40000);
    if (prng_chance(p, 1, 3)) {
        ch->offset &= ~(uint64_t)(BLOCK - 1);
        ch->len = (ch->len + BLOCK - 1) & ~(uint64_t)(BLOCK - 1);
    }
    if (ch->len > 900000)
        ch->len = 900000; /* one piece, so that it is taken or refused as a whole */
    if (ch->offset + ch->len > m->file_max)
        ch->len = m->file_max - ch->offset;
    return ch->len > 0;
}

/* As the driver does: where there is memory that may be given away, every other time, it is written in that. */
static int write_or_keep(struct model *m, uint64_t ino, const struct change *ch, const uint8_t *buf)
{
    void *memory = ch->stamp % 2 && ch->len <= SCALEFS_KEEP_MEMORY ? sfs_fs_memory_get(m->fs) : NULL;
    if (!memory)
        return sfs_fs_write(m->fs, ino, ch->offset, buf, ch->len);
    memcpy(memory, buf, ch->len);
    int err = sfs_fs_write_keep(m->fs, ino, ch->offset, &memory, memory, ch->len);
    if (memory)
        sfs_fs_memory_put(memory);
    return err;
}

static void step_write(struct model *m, struct client *c, int node)
{
    struct file *f = node_file(c, node);
    struct change ch = {.stamp = m->next_stamp++};
    if (!any_range(m, c, f, &ch))
        return;
    uint8_t *buf = scratch(m, ch.len);
    stamp_fill(ch.stamp, ch.offset, buf, ch.len);
    begin_write(m, c, f, &ch);
    trace(m, "client %u: %llu write node %d at %llu, %llu bytes, stamp %llu", c->number, N(ch.seq), node, N(ch.offset),
          N(ch.len), N(ch.stamp));
    int err = write_or_keep(m, c->now.node[node].ino, &ch, buf);
    scratch_free(m, buf);
    end_write(m, c, f, &ch, err);
}

static void step_append(struct model *m, struct client *c, int node)
{
    struct file *f = node_file(c, node);
    struct change ch = {.stamp = m->next_stamp++, .offset = f->now.size, .len = prng_skewed(&c->prng, 9000)};
    uint64_t offset = 0;
    if (ch.offset + ch.len > m->file_max)
        return;
    uint8_t *buf = scratch(m, ch.len);
    stamp_fill(ch.stamp, ch.offset, buf, ch.len);
    begin_write(m, c, f, &ch);
    trace(m, "client %u: %llu append to node %d, %llu bytes", c->number, N(ch.seq), node, N(ch.len));
    int err = sfs_fs_append(m->fs, c->now.node[node].ino, buf, ch.len, &offset);
    scratch_free(m, buf);
    if (!err && offset != ch.offset)
        wrong(m, "client %u: appended at %llu, not %llu", c->number, N(offset), N(ch.offset));
    end_write(m, c, f, &ch, err);
}

/* --- changes in transactions --------------------------------------------------------------------------------------------- */

static struct op data_op(int node)
{
    return (struct op){.kind = OP_DATA, .node = node, .dir = -1, .name = -1};
}

static void end_data(struct model *m, struct client *c, struct file *f, int err)
{
    if (op_end(m, c, err))
        file_done(f);
    else
        file_cancel(f);
}

static void step_truncate(struct model *m, struct client *c, int node)
{
    struct prng *p = &c->prng;
    struct file *f = node_file(c, node);
    struct op op = data_op(node);
    struct change ch = {.kind = CHANGE_SIZE};
    ch.offset = prng_chance(p, 1, 5) ? 0 : prng_below(p, f->now.size + prng_skewed(p, 30000));
    if (ch.offset > m->file_max)
        return;
    struct scalefs_attr values = {.size = ch.offset};
    op_begin(m, c, &op);
    ch.seq = op.seq;
    file_change(f, &ch);
    trace(m, "client %u: %llu truncate node %d to %llu", c->number, N(op.seq), node, N(ch.offset));
    end_data(m, c, f, sfs_fs_setattr(m->fs, c->now.node[node].ino, &values, SCALEFS_SET_SIZE, NULL));
}

/* Punch, zero, allocate. */
static void step_allocate(struct model *m, struct client *c, int node)
{
    static const unsigned hows[] = {SCALEFS_FALLOC_PUNCH_HOLE | SCALEFS_FALLOC_KEEP_SIZE, SCALEFS_FALLOC_ZERO_RANGE,
                                    SCALEFS_FALLOC_ZERO_RANGE | SCALEFS_FALLOC_KEEP_SIZE, 0,
                                    SCALEFS_FALLOC_KEEP_SIZE};
    struct file *f = node_file(c, node);
    struct op op = data_op(node);
    struct change ch = {.stamp = 0};
    unsigned how = hows[prng_below(&c->prng, 5)];
    if (!any_range(m, c, f, &ch))
        return;
    uint64_t end = ch.offset + ch.len, size = f->now.size;
    op_begin(m, c, &op);
    if (how & ~(unsigned)SCALEFS_FALLOC_KEEP_SIZE && ch.offset < size)
        file_change(f, &(struct change){.seq = op.seq, .kind = CHANGE_SET, .offset = ch.offset,
                                        .len = (end < size ? end : size) - ch.offset});
    if (!(how & SCALEFS_FALLOC_KEEP_SIZE) && end > size)
        file_change(f, &(struct change){.seq = op.seq, .kind = CHANGE_SIZE, .offset = end});
    trace(m, "client %u: %llu allocate node %d, flags %u at %llu, %llu bytes", c->number, N(op.seq), node, how, N(ch.offset),
          N(ch.len));
    end_data(m, c, f, sfs_fs_fallocate(m->fs, c->now.node[node].ino, how, ch.offset, ch.len));
}

static void step_clone(struct model *m, struct client *c, int to)
{
    struct prng *p = &c->prng;
    int from = any_file(c);
    if (from < 0)
        return;
    struct file *source = node_file(c, from), *target = node_file(c, to);
    struct change ch = {.kind = CHANGE_SET, .exact_size = true};
    uint64_t at = prng_chance(p, 1, 3) ? 0 : prng_below(p, source->now.size + 100), len = prng_skewed(p, m->file_max), done;
    ch.offset = prng_chance(p, 1, 3) ? 0 : prng_below(p, target->now.size + 10000);
    ch.len = at >= source->now.size ? 0 : source->now.size - at < len ? source->now.size - at : len;
    if (ch.offset + ch.len > m->file_max)
        return;
    bool overlap = from == to && at < ch.offset + ch.len && ch.offset < at + ch.len;
    uint64_t from_ino = c->now.node[from].ino, to_ino = c->now.node[to].ino;
    trace(m, "client %u: %llu clone node %d at %llu to node %d at %llu, %llu of %llu bytes", c->number, N(c->seq + 1), from,
          N(at), to, N(ch.offset), N(ch.len), N(len));
    if (overlap) {
        int err = sfs_fs_copy_range(m->fs, from_ino, at, to_ino, ch.offset, len, &done);
        if (err != SCALEFS_E_INVAL)
            wrong(m, "client %u: a clone onto itself got %s", c->number, scalefs_error_name(err));
        m->counts.refused++;
        return;
    }
    struct op op = data_op(to);
    op_begin(m, c, &op);
    ch.seq = op.seq;
    ch.bytes = malloc(ch.len + 1); /* the file's, which outlives this world */
    if (!ch.bytes)
        abort();
    if (ch.len)
        memcpy(ch.bytes, source->now.bytes + at, ch.len);
    file_change(target, &ch);
    int err = sfs_fs_copy_range(m->fs, from_ino, at, to_ino, ch.offset, len, &done);
    if (!err && done != ch.len) {
        struct change *last = &target->changes[target->count - 1];
        if (done > ch.len)
            wrong(m, "client %u: a clone of %llu bytes copied %llu", c->number, N(ch.len), N(done));
        last->len = done;
        m->counts.full++;
    }
    end_data(m, c, target, err);
}

/* --- syncs -------------------------------------------------------------------------------------------------------------------- */

void promise_take(struct model *m, struct promise *p)
{
    for (unsigned i = 0; i < m->clients; i++)
        p->seq[i] = m->client[i].done_seq;
    for (int s = 0; s < SHARED; s++)
        for (int b = 0; b < BLOCKS; b++)
            p->done[s][b] = m->shared.block[s][b].done;
    p->log = shared_log_end(&m->shared);
}

void promise_names(struct model *m, const struct promise *p)
{
    ballast_promised(m, p->seq);
    for (unsigned i = 0; i < m->clients; i++) {
        struct client *c = &m->client[i];
        size_t n = 0;
        for (; n < c->op_count && c->ops[n].seq <= p->seq[i]; n++)
            tree_apply(&c->base, &c->ops[n]);
        c->op_count -= n;
        if (c->op_count)
            memmove(c->ops, c->ops + n, c->op_count * sizeof *c->ops);
    }
}

void promise_data(struct model *m, const struct promise *p)
{
    for (unsigned i = 0; i < m->clients; i++)
        for (uint32_t f = 0; f < m->client[i].file_count; f++)
            file_acked(m->client[i].files[f], p->seq[i]);
    for (int s = 0; s < SHARED; s++)
        for (int b = 0; b < BLOCKS; b++)
            if (m->shared.block[s][b].base < p->done[s][b])
                m->shared.block[s][b].base = p->done[s][b];
    if (m->shared.log_synced < p->log)
        m->shared.log_synced = p->log;
}

void io_fsync(struct model *m, struct client *c, int node)
{
    struct promise p;
    struct file *f = node_file(c, node);
    promise_take(m, &p);
    trace(m, "client %u: fsync node %d", c->number, node);
    int err = sfs_fs_fsync(m->fs, c->now.node[node].ino);
    MUST(m, err); /* for lack of room the write is refused, or nothing is */
    promise_names(m, &p);
    file_acked(f, p.seq[c->number]);
}

void io_sync(struct model *m, struct client *c)
{
    struct promise p;
    int node = any_file(c);
    if (node >= 0 && prng_chance(&c->prng, 1, 2)) {
        io_fsync(m, c, node);
        return;
    }
    promise_take(m, &p);
    trace(m, "client %u: sync", c->number);
    int err = sfs_fs_sync(m->fs);
    MUST(m, err);
    promise_names(m, &p);
    promise_data(m, &p);
}

void io_step(struct model *m, struct client *c)
{
    int node = any_file(c);
    if (node < 0)
        return;
    uint64_t r = prng_below(&c->prng, 100);
    if (r < 52)
        step_write(m, c, node);
    else if (r < 64)
        step_append(m, c, node);
    else if (r < 74)
        step_truncate(m, c, node);
    else if (r < 85)
        step_allocate(m, c, node);
    else if (r < 94)
        step_clone(m, c, node);
    else
        step_seek(m, c, node);
}
