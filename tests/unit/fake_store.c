/* The store in memory: extents, batches, faults, going back to the last sync. See fake_store.h, fake_internal.h. */
#include "fake_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void fake_problem(struct sfs_store *s, const char *what, uint64_t number)
{
    s->stats.problems++;
    if (s->stats.problems < 20)
        printf("# fake store: %s (%" PRIu64 ")\n", what, number);
}

/* --- undo --------------------------------------------------------------------------------------------------- */

struct undo *fake_remember(struct sfs_store *s)
{
    SFS_ASSERT(!sfs_vec_reserve(s->env, &s->undos, &s->undo_room, s->undo_count + 1, sizeof *s->undos));
    struct undo *u = &s->undos[s->undo_count++];
    memset(u, 0, sizeof *u);
    return u;
}

static void forget_undo(struct sfs_store *s)
{
    for (size_t i = 0; i < s->undo_count; i++) {
        struct undo *u = &s->undos[i];
        if (!u->is_extent && u->had)
            sfs_free(s->env, u->item.value);
        /* The data of an extent that is gone for good. */
        if (u->is_extent && u->had && !sfs_map_get(&s->extents, u->extent.id)) {
            bool later = false;
            for (size_t j = i + 1; j < s->undo_count && !later; j++)
                later = s->undos[j].is_extent && s->undos[j].had && s->undos[j].extent.id == u->extent.id;
            if (!later)
                sfs_free(s->env, u->extent.data);
        }
    }
    s->undo_count = 0;
}

void fake_count_extent(struct sfs_store *s, const struct extent *e, int sign)
{
    s->stats.live_extents += (uint64_t)(int64_t)sign;
    s->stats.live_bytes += (uint64_t)(sign * (int64_t)e->ref_bytes);
    s->stats.used += (uint64_t)(sign * (int64_t)e->raw);
}

static void undo_extent(struct sfs_store *s, const struct undo *u)
{
    struct extent *now = sfs_map_get(&s->extents, u->extent.id);
    if (now)
        fake_count_extent(s, now, -1);
    if (!u->had) {
        SFS_ASSERT(now);
        sfs_map_remove(&s->extents, now->id);
        sfs_free(s->env, now->data);
        sfs_free(s->env, now);
        return;
    }
    if (!now) {
        now = sfs_alloc(s->env, sizeof *now);
        SFS_ASSERT(now && !sfs_map_put(&s->extents, u->extent.id, now));
    }
    *now = u->extent;
    fake_count_extent(s, now, 1);
}

void fake_store_crash(struct sfs_store *s)
{
    if (s->stats.reserved)
        fake_problem(s, "space is still reserved at a crash", s->stats.reserved);
    while (s->undo_count) {
        struct undo *u = &s->undos[--s->undo_count];
        struct item old;
        if (u->is_extent) {
            undo_extent(s, u);
        } else if (u->had ? fake_put(s, fake_tree_of(s, u->tree), u->item, &old)
                          : fake_delete(s, fake_tree_of(s, u->tree), u->item.key, &old)) {
            sfs_free(s->env, old.value);
        }
    }
}

/* --- the store's interface -------------------------------------------------------------------------------------- */

struct sfs_store *fake_store_make(struct sfs_env *env, const struct fake_options *options)
{
    struct sfs_store *s = sfs_zalloc(env, sizeof *s);
    SFS_ASSERT(s);
    s->env = env;
    if (options)
        s->options = *options;
    if (!s->options.record)
        s->options.record = 128u << 10;
    if (!s->options.row)
        s->options.row = 512u << 10;
    s->next_id = 100;
    sfs_mutex_init(&s->lock, env);
    sfs_map_init(&s->extents, env);
    return s;
}

void fake_store_free(struct sfs_store *s)
{
    forget_undo(s);
    sfs_free(s->env, s->undos);
    for (unsigned i = 0; i < TREES; i++) {
        for (size_t j = 0; j < s->trees[i].count; j++) {
            for (size_t k = 0; k < s->trees[i].leaves[j]->count; k++)
                sfs_free(s->env, s->trees[i].leaves[j]->items[k].value);
            sfs_free(s->env, s->trees[i].leaves[j]);
        }
        sfs_free(s->env, s->trees[i].leaves);
    }
    size_t cursor = 0;
    uint64_t id;
    void *value;
    while (sfs_map_next(&s->extents, &cursor, &id, &value)) {
        sfs_free(s->env, ((struct extent *)value)->data);
        sfs_free(s->env, value);
    }
    sfs_map_deinit(&s->extents);
    sfs_mutex_deinit(&s->lock);
    sfs_free(s->env, s);
}

void fake_store_stats(struct sfs_store *s, struct fake_stats *stats)
{
    sfs_mutex_lock(&s->lock);
    *stats = s->stats;
    sfs_mutex_unlock(&s->lock);
}

void fake_store_fail_tx(struct sfs_store *s, uint64_t nth, uint64_t times, int error)
{
    s->tx_fault = (struct fault){nth, times, error};
}

void fake_store_fail_batch(struct sfs_store *s, uint64_t nth, uint64_t times, int error)
{
    s->batch_fault = (struct fault){nth, times, error};
}

void fake_store_on_batch(struct sfs_store *s, void (*fn)(void *context), void *context)
{
    s->on_batch = fn;
    s->on_batch_context = context;
}

void fake_store_set_capacity(struct sfs_store *s, uint64_t bytes)
{
    s->options.capacity = bytes;
}

int fake_struck(struct fault *f)
{
    if (!f->nth)
        return SCALEFS_OK;
    if (f->nth > 1) {
        f->nth--;
        return SCALEFS_OK;
    }
    int error = f->error;
    if (!--f->times)
        f->nth = 0;
    return error;
}

int fake_store_checkpoint(struct sfs_store *s)
{
    int err = s->flush ? s->flush(s->flush_context) : SCALEFS_OK;
    int sync_err = sfs_store_sync(s);
    return err ? err : sync_err;
}

struct sfs_env *sfs_store_env(struct sfs_store *s)
{
    return s->env;
}

uint64_t sfs_store_new_id(struct sfs_store *s)
{
    sfs_mutex_lock(&s->lock);
    uint64_t id = s->next_id++;
    sfs_mutex_unlock(&s->lock);
    return id;
}

void sfs_store_set_flusher(struct sfs_store *s, int (*flush)(void *context), void *context)
{
    s->flush = flush;
    s->flush_context = context;
}

void sfs_store_set_namer(struct sfs_store *s, void (*name)(void *context, const uint64_t *ids, size_t count), void *context)
{
    s->name_lost = name;
    s->name_lost_context = context;
}

void fake_store_lose(struct sfs_store *s, const uint64_t *ids, size_t count)
{
    s->name_lost(s->name_lost_context, ids, count);
}

int sfs_store_sync(struct sfs_store *s)
{
    sfs_mutex_lock(&s->lock);
    forget_undo(s);
    s->stats.syncs++;
    sfs_mutex_unlock(&s->lock);
    return SCALEFS_OK;
}

static int read_one(struct sfs_store *s, const struct sfs_read *r)
{
    const struct extent *e = sfs_map_get(&s->extents, r->id);
    if (!e)
        return SCALEFS_E_NOENT;
    if (r->offset > e->raw || r->len > e->raw - r->offset) {
        fake_problem(s, "a read beyond an extent", r->id);
        return SCALEFS_E_INVAL;
    }
    memcpy(r->buf, e->data + r->offset, r->len);
    return SCALEFS_OK;
}

int sfs_store_read(struct sfs_store *s, struct sfs_read *reads, size_t count)
{
    int err = SCALEFS_OK;
    sfs_mutex_lock(&s->lock);
    for (size_t i = 0; i < count; i++) {
        reads[i].result = read_one(s, &reads[i]);
        err = err ? err : reads[i].result;
    }
    sfs_mutex_unlock(&s->lock);
    return err;
}

uint32_t sfs_store_row_bytes(struct sfs_store *s)
{
    return s->options.row;
}

int sfs_store_reserve(struct sfs_store *s, uint64_t bytes)
{
    int err = SCALEFS_OK;
    sfs_mutex_lock(&s->lock);
    if (s->options.capacity && s->stats.used + s->stats.reserved + bytes > s->options.capacity)
        err = SCALEFS_E_NOSPC;
    else
        s->stats.reserved += bytes;
    sfs_mutex_unlock(&s->lock);
    return err;
}

void sfs_store_unreserve(struct sfs_store *s, uint64_t bytes)
{
    sfs_mutex_lock(&s->lock);
    if (bytes > s->stats.reserved) {
        fake_problem(s, "more space is given back than was reserved", bytes - s->stats.reserved);
        bytes = s->stats.reserved;
    }
    s->stats.reserved -= bytes;
    sfs_mutex_unlock(&s->lock);
}

void sfs_store_space(struct sfs_store *s, struct sfs_space *space)
{
    sfs_mutex_lock(&s->lock);
    uint64_t all = s->options.capacity ? s->options.capacity : 1ull << 40;
    uint64_t taken = s->stats.used + s->stats.reserved;
    *space = (struct sfs_space){.raw = all, .usable = all, .used = s->stats.used,
                                .free = all > taken ? all - taken : 0};
    sfs_mutex_unlock(&s->lock);
}

/* --- batches ------------------------------------------------------------------------------------------------------- */

struct sfs_batch {
    struct sfs_store *store;
    struct sfs_piece *pieces;
    uint8_t **data; /* NULL once a transaction has it */
    size_t count, piece_room, data_room, full; /* full: of the first ones, in full rows */
    uint64_t expected; /* still to come; UINT64_MAX: not said */
    uint32_t row_used, whole;
    bool ended;
};

int sfs_batch_begin(struct sfs_store *s, unsigned temperature, struct sfs_batch **batch)
{
    (void)temperature;
    *batch = sfs_zalloc(s->env, sizeof **batch);
    if (!*batch)
        return SCALEFS_E_NOMEM;
    (*batch)->store = s;
    (*batch)->expected = UINT64_MAX;
    sfs_mutex_lock(&s->lock);
    s->stats.batches++;
    sfs_mutex_unlock(&s->lock);
    return SCALEFS_OK;
}

void sfs_batch_expect(struct sfs_batch *b, uint64_t bytes)
{
    b->expected = bytes;
}

void sfs_batch_whole(struct sfs_batch *b, uint32_t bytes)
{
    b->whole = bytes;
}

int sfs_batch_add(struct sfs_batch *b, const void *data, uint32_t len, uint32_t volume, uint64_t inode,
                  uint64_t file_offset, uint32_t *raw)
{
    struct sfs_store *s = b->store;
    (void)volume, (void)inode, (void)file_offset;
    SFS_ASSERT(len && !b->ended);
    uint32_t n = len;
    uint32_t record = b->whole > s->options.record ? b->whole : s->options.record;
    if (n > record)
        n = record;
    if (n > s->options.row - b->row_used)
        n = s->options.row - b->row_used;
    uint8_t *copy = sfs_alloc(s->env, n);
    SFS_ASSERT(copy);
    memcpy(copy, data, n);
    SFS_ASSERT(!sfs_vec_reserve(s->env, &b->pieces, &b->piece_room, b->count + 1, sizeof *b->pieces));
    SFS_ASSERT(!sfs_vec_reserve(s->env, &b->data, &b->data_room, b->count + 1, sizeof *b->data));
    struct sfs_piece *p = &b->pieces[b->count];
    memset(p, 0, sizeof *p);
    p->id = sfs_store_new_id(s);
    p->raw = p->extent.raw = p->extent.stored = n;
    b->data[b->count++] = copy;
    if (b->expected < n)
        fake_problem(s, "more is added to a batch than was said", n - b->expected);
    b->expected -= b->expected == UINT64_MAX ? 0 : n;
    b->row_used += n;
    if (b->row_used == s->options.row) {
        b->row_used = 0;
        b->full = b->count;
    }
    *raw = n;
    return SCALEFS_OK;
}

int sfs_batch_end(struct sfs_batch *b, bool tail, size_t *kept, const struct sfs_piece **pieces)
{
    struct sfs_store *s = b->store;
    sfs_mutex_lock(&s->lock);
    void (*fn)(void *) = s->on_batch;
    s->on_batch = NULL;
    sfs_mutex_unlock(&s->lock);
    if (fn)
        fn(s->on_batch_context);
    sfs_mutex_lock(&s->lock);
    int err = fake_struck(&s->batch_fault);
    s->stats.batches_with_tail += tail;
    b->ended = true;
    *kept = err ? 0 : tail ? b->count : b->full;
    *pieces = b->pieces;
    /* Until a transaction adds them, the extents wait where nobody can read them. */
    for (size_t i = 0; i < *kept; i++) {
        struct extent *e = sfs_zalloc(s->env, sizeof *e);
        SFS_ASSERT(e && !sfs_map_put(&s->extents, b->pieces[i].id | 1ull << 63, e));
        e->id = b->pieces[i].id;
        e->raw = b->pieces[i].raw;
        e->data = b->data[i];
        b->data[i] = NULL;
    }
    sfs_mutex_unlock(&s->lock);
    return err;
}

void sfs_batch_free(struct sfs_batch *b)
{
    struct sfs_store *s = b->store;
    sfs_mutex_lock(&s->lock);
    for (size_t i = 0; i < b->count; i++) {
        struct extent *e = sfs_map_remove(&s->extents, b->pieces[i].id | 1ull << 63);
        if (e) {
            sfs_free(s->env, e->data);
            sfs_free(s->env, e);
        }
        sfs_free(s->env, b->data[i]);
    }
    sfs_mutex_unlock(&s->lock);
    sfs_free(s->env, b->pieces);
    sfs_free(s->env, b->data);
    sfs_free(s->env, b);
}
