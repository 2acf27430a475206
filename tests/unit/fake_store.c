/* A store and its trees in memory. One lock; trees are arrays of sorted leaves; an undo log since the last
 * sync. See fake_store.h. */
#include "fake_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/vec.h"

#define LEAF_ITEMS 64u
#define TREES 4u

struct item {
    struct sfs_key key;
    uint8_t *value;
    uint32_t len;
};
struct leaf {
    size_t count;
    struct item items[LEAF_ITEMS];
};
struct tree {
    bool used;
    uint32_t number;
    struct leaf **leaves;
    size_t count, room;
};
struct extent {
    uint64_t id, ref_bytes;
    uint32_t raw, refs;
    uint8_t *data;
};
struct undo {
    bool is_extent, had;
    uint32_t tree;
    struct item item;     /* what was there */
    struct extent extent; /* what it was; !had: it was not there */
};
struct fault {
    uint64_t nth, times;
    int error;
};

struct sfs_store {
    struct sfs_env *env;
    struct fake_options options;
    struct sfs_mutex lock;
    struct tree trees[TREES];
    struct sfs_map extents; /* id -> struct extent */
    struct undo *undos;
    size_t undo_count, undo_room;
    uint64_t next_id;
    struct fake_stats stats;
    struct fault tx_fault, batch_fault;
    int (*flush)(void *);
    void *flush_context;
    void (*name_lost)(void *context, const uint64_t *ids, size_t count);
    void *name_lost_context;
    void (*on_batch)(void *);
    void *on_batch_context;
};

static void problem(struct sfs_store *s, const char *what, uint64_t number)
{
    s->stats.problems++;
    if (s->stats.problems < 20)
        printf("# fake store: %s (%" PRIu64 ")\n", what, number);
}

/* --- trees ------------------------------------------------------------------------------------------------- */

static int compare(struct sfs_key a, struct sfs_key b)
{
    if (a.a != b.a)
        return a.a < b.a ? -1 : 1;
    if (a.type != b.type)
        return a.type < b.type ? -1 : 1;
    return a.b < b.b ? -1 : a.b > b.b;
}

static struct tree *tree_of(struct sfs_store *s, uint32_t number)
{
    for (unsigned i = 0; i < TREES; i++)
        if (s->trees[i].used && s->trees[i].number == number)
            return &s->trees[i];
    return NULL;
}

/* The first place whose key is >= key, and whether it is that key. */
static bool seek(const struct tree *t, struct sfs_key key, size_t *leaf, size_t *at)
{
    size_t low = 0, high = t->count;
    while (low < high) { /* the first leaf whose last key is >= key */
        size_t mid = low + (high - low) / 2;
        const struct leaf *l = t->leaves[mid];
        if (compare(l->items[l->count - 1].key, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *leaf = low;
    *at = 0;
    if (low == t->count)
        return false;
    const struct leaf *l = t->leaves[low];
    while (*at < l->count && compare(l->items[*at].key, key) < 0)
        ++*at;
    return compare(l->items[*at].key, key) == 0;
}

static void split(struct sfs_store *s, struct tree *t, size_t i)
{
    struct leaf *right = sfs_alloc(s->env, sizeof *right), *left = t->leaves[i];
    SFS_ASSERT(right && !sfs_vec_reserve(s->env, &t->leaves, &t->room, t->count + 1, sizeof *t->leaves));
    memmove(&t->leaves[i + 2], &t->leaves[i + 1], (t->count - i - 1) * sizeof *t->leaves);
    t->leaves[i + 1] = right;
    t->count++;
    right->count = left->count / 2;
    left->count -= right->count;
    memcpy(right->items, left->items + left->count, right->count * sizeof *right->items);
}

/* Takes the value over; gives the old one back. */
static bool raw_put(struct sfs_store *s, struct tree *t, struct item item, struct item *old)
{
    size_t leaf, at;
    if (seek(t, item.key, &leaf, &at)) {
        *old = t->leaves[leaf]->items[at];
        t->leaves[leaf]->items[at] = item;
        return true;
    }
    if (!t->count) {
        SFS_ASSERT(!sfs_vec_reserve(s->env, &t->leaves, &t->room, 1, sizeof *t->leaves));
        t->leaves[t->count++] = sfs_alloc(s->env, sizeof **t->leaves);
        SFS_ASSERT(t->leaves[0]);
        t->leaves[0]->count = 0;
    } else if (leaf == t->count) {
        leaf--;
        at = t->leaves[leaf]->count;
    }
    if (t->leaves[leaf]->count == LEAF_ITEMS) {
        split(s, t, leaf);
        if (at > t->leaves[leaf]->count) {
            at -= t->leaves[leaf]->count;
            leaf++;
        }
    }
    struct leaf *l = t->leaves[leaf];
    memmove(&l->items[at + 1], &l->items[at], (l->count - at) * sizeof *l->items);
    l->items[at] = item;
    l->count++;
    return false;
}

static bool raw_delete(struct sfs_store *s, struct tree *t, struct sfs_key key, struct item *old)
{
    size_t leaf, at;
    if (!seek(t, key, &leaf, &at))
        return false;
    struct leaf *l = t->leaves[leaf];
    *old = l->items[at];
    memmove(&l->items[at], &l->items[at + 1], (l->count - at - 1) * sizeof *l->items);
    if (!--l->count) {
        sfs_free(s->env, l);
        memmove(&t->leaves[leaf], &t->leaves[leaf + 1], (t->count - leaf - 1) * sizeof *t->leaves);
        t->count--;
    }
    return true;
}

static struct item copy_item(struct sfs_store *s, struct sfs_key key, const void *value, uint32_t len)
{
    struct item item = {.key = key, .value = sfs_alloc(s->env, len), .len = len};
    SFS_ASSERT(item.value);
    memcpy(item.value, value, len);
    return item;
}

/* --- undo --------------------------------------------------------------------------------------------------- */

static struct undo *remember(struct sfs_store *s)
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

static void count_extent(struct sfs_store *s, const struct extent *e, int sign)
{
    s->stats.live_extents += (uint64_t)(int64_t)sign;
    s->stats.live_bytes += (uint64_t)(sign * (int64_t)e->ref_bytes);
    s->stats.used += (uint64_t)(sign * (int64_t)e->raw);
}

static void undo_extent(struct sfs_store *s, const struct undo *u)
{
    struct extent *now = sfs_map_get(&s->extents, u->extent.id);
    if (now)
        count_extent(s, now, -1);
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
    count_extent(s, now, 1);
}

void fake_store_crash(struct sfs_store *s)
{
    if (s->stats.reserved)
        problem(s, "space is still reserved at a crash", s->stats.reserved);
    while (s->undo_count) {
        struct undo *u = &s->undos[--s->undo_count];
        struct item old;
        if (u->is_extent) {
            undo_extent(s, u);
        } else if (u->had ? raw_put(s, tree_of(s, u->tree), u->item, &old)
                          : raw_delete(s, tree_of(s, u->tree), u->item.key, &old)) {
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

static int struck(struct fault *f)
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
        problem(s, "a read beyond an extent", r->id);
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
        problem(s, "more space is given back than was reserved", bytes - s->stats.reserved);
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
        problem(s, "more is added to a batch than was said", n - b->expected);
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
    int err = struck(&s->batch_fault);
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

/* --- the trees' interface ---------------------------------------------------------------------------------------------- */

int sfs_tree_volume_make(struct sfs_store *s, uint32_t volume, const char *name)
{
    (void)name;
    for (unsigned i = 0; i < TREES; i++) {
        if (s->trees[i].used)
            continue;
        s->trees[i].used = true;
        s->trees[i].number = volume;
        return SCALEFS_OK;
    }
    return SCALEFS_E_NOMEM;
}

int sfs_tree_volume_salt(struct sfs_store *s, uint32_t volume, uint64_t salt[2])
{
    salt[0] = salt[1] = volume;
    return tree_of(s, volume) ? SCALEFS_OK : SCALEFS_E_NOENT;
}

bool sfs_tree_exists(struct sfs_store *s, uint32_t tree)
{
    return tree_of(s, tree) != NULL;
}

static int give(const struct item *item, void *value, uint32_t cap, uint32_t *len)
{
    *len = item->len;
    if (item->len > cap)
        return SCALEFS_E_RANGE;
    memcpy(value, item->value, item->len);
    return SCALEFS_OK;
}

int sfs_tree_get(struct sfs_store *s, uint32_t tree, struct sfs_key key, void *value, uint32_t cap,
                 uint32_t *len)
{
    size_t leaf, at;
    int err = SCALEFS_E_NOENT;
    sfs_mutex_lock(&s->lock);
    const struct tree *t = tree_of(s, tree);
    if (t && seek(t, key, &leaf, &at))
        err = give(&t->leaves[leaf]->items[at], value, cap, len);
    sfs_mutex_unlock(&s->lock);
    return err;
}

int sfs_tree_floor(struct sfs_store *s, uint32_t tree, struct sfs_key low, struct sfs_key high,
                   struct sfs_key *found, void *value, uint32_t cap, uint32_t *len)
{
    size_t leaf, at;
    int err = SCALEFS_E_NOENT;
    sfs_mutex_lock(&s->lock);
    const struct tree *t = tree_of(s, tree);
    const struct item *item = NULL;
    if (t && seek(t, high, &leaf, &at))
        item = &t->leaves[leaf]->items[at];
    else if (t && leaf < t->count && at)
        item = &t->leaves[leaf]->items[at - 1];
    else if (t && leaf)
        item = &t->leaves[leaf - 1]->items[t->leaves[leaf - 1]->count - 1];
    if (item && compare(item->key, low) >= 0) {
        *found = item->key;
        err = give(item, value, cap, len);
    }
    sfs_mutex_unlock(&s->lock);
    return err;
}

int sfs_tree_scan(struct sfs_store *s, uint32_t tree, struct sfs_key from, struct sfs_key to,
                  bool (*fn)(void *context, struct sfs_key key, const uint8_t *value, uint32_t len),
                  void *context)
{
    size_t leaf = 0, at = 0;
    sfs_mutex_lock(&s->lock);
    const struct tree *t = tree_of(s, tree);
    if (t)
        seek(t, from, &leaf, &at);
    bool go = t != NULL;
    for (; go && leaf < t->count; leaf++, at = 0)
        for (; go && at < t->leaves[leaf]->count; at++) {
            const struct item *i = &t->leaves[leaf]->items[at];
            go = compare(i->key, to) <= 0 && fn(context, i->key, i->value, i->len);
        }
    sfs_mutex_unlock(&s->lock);
    return t ? SCALEFS_OK : SCALEFS_E_NOENT;
}

int sfs_tree_extent(struct sfs_store *s, uint64_t id, struct sfs_extent *extent)
{
    sfs_mutex_lock(&s->lock);
    const struct extent *e = sfs_map_get(&s->extents, id);
    memset(extent, 0, sizeof *extent);
    if (e) {
        extent->raw = extent->stored = e->raw;
        extent->refs = e->refs;
        extent->ref_bytes = e->ref_bytes;
    }
    sfs_mutex_unlock(&s->lock);
    return e ? SCALEFS_OK : SCALEFS_E_NOENT;
}

/* --- transactions ------------------------------------------------------------------------------------------------------ */

enum kind { PUT, DELETE, ADD, REF, COUNT };
struct sfs_tx_op {
    enum kind kind;
    uint32_t tree, len;
    struct sfs_key key;
    size_t at;
    uint64_t id;
    int64_t refs, ref_bytes;
};

void sfs_tx_init(struct sfs_tx *tx, struct sfs_store *store)
{
    *tx = (struct sfs_tx){.store = store};
}

void sfs_tx_deinit(struct sfs_tx *tx)
{
    sfs_free(tx->store->env, tx->ops);
    sfs_free(tx->store->env, tx->bytes);
    sfs_tx_init(tx, tx->store);
}

static struct sfs_tx_op *add_op(struct sfs_tx *tx, enum kind kind)
{
    tx->error = tx->error ? tx->error
                          : sfs_vec_reserve(tx->store->env, &tx->ops, &tx->cap, tx->count + 1,
                                            sizeof *tx->ops);
    if (tx->error)
        return NULL;
    struct sfs_tx_op *op = &tx->ops[tx->count++];
    *op = (struct sfs_tx_op){.kind = kind};
    return op;
}

void sfs_tx_put(struct sfs_tx *tx, uint32_t tree, struct sfs_key key, const void *value, uint32_t len)
{
    SFS_ASSERT(len <= SFS_VALUE_MAX);
    struct sfs_tx_op *op = add_op(tx, PUT);
    if (!op)
        return;
    tx->error = sfs_vec_reserve(tx->store->env, &tx->bytes, &tx->byte_cap, tx->byte_count + len + 1, 1);
    if (tx->error)
        return;
    op->tree = tree;
    op->key = key;
    op->len = len;
    op->at = tx->byte_count;
    memcpy(tx->bytes + tx->byte_count, value, len);
    tx->byte_count += len;
}

void sfs_tx_delete(struct sfs_tx *tx, uint32_t tree, struct sfs_key key)
{
    struct sfs_tx_op *op = add_op(tx, DELETE);
    if (op) {
        op->tree = tree;
        op->key = key;
    }
}

void sfs_tx_count(struct sfs_tx *tx, uint32_t tree, struct sfs_key key, int64_t delta)
{
    struct sfs_tx_op *op = add_op(tx, COUNT);
    if (op) {
        op->tree = tree;
        op->key = key;
        op->ref_bytes = delta;
    }
}

void sfs_tx_extent_add(struct sfs_tx *tx, const struct sfs_piece *piece, uint32_t refs, uint64_t ref_bytes)
{
    struct sfs_tx_op *op = add_op(tx, ADD);
    if (op) {
        op->id = piece->id;
        op->refs = refs;
        op->ref_bytes = (int64_t)ref_bytes;
    }
}

void sfs_tx_extent_ref(struct sfs_tx *tx, uint64_t id, int32_t refs, int64_t ref_bytes)
{
    struct sfs_tx_op *op = add_op(tx, REF);
    if (op) {
        op->id = id;
        op->refs = refs;
        op->ref_bytes = ref_bytes;
    }
}

static void apply_key(struct sfs_store *s, const struct sfs_tx *tx, const struct sfs_tx_op *op)
{
    struct tree *t = tree_of(s, op->tree);
    struct item old;
    bool had;
    uint8_t count[8];
    if (!t) {
        problem(s, "a key for a tree that does not exist", op->tree);
        return;
    }
    if (op->kind == COUNT) {
        size_t leaf, at;
        uint64_t before = seek(t, op->key, &leaf, &at) ? sfs_get64(t->leaves[leaf]->items[at].value) : 0;
        if (op->ref_bytes < 0 && before < (uint64_t)-op->ref_bytes)
            problem(s, "a count becomes negative", op->key.type);
        sfs_put64(count, before + (uint64_t)op->ref_bytes);
    }
    if (op->kind == PUT)
        had = raw_put(s, t, copy_item(s, op->key, tx->bytes + op->at, op->len), &old);
    else if (op->kind == COUNT)
        had = raw_put(s, t, copy_item(s, op->key, count, sizeof count), &old);
    else if (!(had = raw_delete(s, t, op->key, &old)))
        return;
    struct undo *u = remember(s);
    u->tree = op->tree;
    u->had = had;
    u->item.key = op->key;
    if (had)
        u->item = old;
}

static void apply_add(struct sfs_store *s, const struct sfs_tx_op *op)
{
    struct extent *e = sfs_map_remove(&s->extents, op->id | 1ull << 63);
    if (!e || op->refs < 1 || op->ref_bytes < 1 || op->ref_bytes > op->refs * (int64_t)e->raw) {
        problem(s, "an extent is added that no batch made, or with wrong counts", op->id);
        return;
    }
    e->refs = (uint32_t)op->refs;
    e->ref_bytes = (uint64_t)op->ref_bytes;
    SFS_ASSERT(!sfs_map_put(&s->extents, e->id, e));
    count_extent(s, e, 1);
    s->stats.extents++;
    struct undo *u = remember(s);
    u->is_extent = true;
    u->extent.id = e->id;
}

static void apply_ref(struct sfs_store *s, const struct sfs_tx_op *op)
{
    struct extent *e = sfs_map_get(&s->extents, op->id);
    if (!e) {
        problem(s, "references of an extent that does not exist", op->id);
        return;
    }
    struct undo *u = remember(s);
    u->is_extent = u->had = true;
    u->extent = *e;
    count_extent(s, e, -1);
    int64_t refs = (int64_t)e->refs + op->refs, bytes = (int64_t)e->ref_bytes + op->ref_bytes;
    if (refs < 0 || bytes < 0 || (!refs != !bytes) || bytes > refs * (int64_t)e->raw)
        problem(s, "references of an extent become wrong", op->id);
    if (refs <= 0) {
        sfs_map_remove(&s->extents, e->id);
        sfs_free(s->env, e);
        return;
    }
    e->refs = (uint32_t)refs;
    e->ref_bytes = (uint64_t)bytes;
    count_extent(s, e, 1);
}

int sfs_tx_commit(struct sfs_tx *tx)
{
    struct sfs_store *s = tx->store;
    sfs_mutex_lock(&s->lock);
    int err = tx->error ? tx->error : struck(&s->tx_fault);
    for (size_t i = 0; i < tx->count && !err; i++) {
        if (tx->ops[i].kind == ADD)
            apply_add(s, &tx->ops[i]);
        else if (tx->ops[i].kind == REF)
            apply_ref(s, &tx->ops[i]);
        else
            apply_key(s, tx, &tx->ops[i]);
    }
    s->stats.transactions += tx->count && !err;
    if (tx->count > s->stats.largest)
        s->stats.largest = tx->count;
    sfs_mutex_unlock(&s->lock);
    tx->count = tx->byte_count = 0;
    tx->error = SCALEFS_OK;
    return err;
}

/* --- check ------------------------------------------------------------------------------------------------------------------ */

struct count {
    uint32_t refs;
    uint64_t bytes;
};

static void count_ref(struct sfs_store *s, struct sfs_map *counts, uint64_t id, uint64_t bytes)
{
    struct count *c = sfs_map_get(counts, id);
    if (!c) {
        c = sfs_zalloc(s->env, sizeof *c);
        SFS_ASSERT(c && !sfs_map_put(counts, id, c));
    }
    c->refs++;
    c->bytes += bytes;
}

static void count_item(struct sfs_store *s, struct sfs_map *counts, const struct item *i)
{
    struct sfs_fileext_value v;
    struct sfs_xattr_value x;
    if (i->key.type == SFS_KEY_EXTENT) {
        if (sfs_fileext_decode(i->value, i->len, &v))
            problem(s, "a file extent does not decode", i->key.a);
        else
            count_ref(s, counts, v.id, v.length);
    } else if (i->key.type == SFS_KEY_XATTR) {
        if (sfs_xattr_decode(i->value, i->len, &x))
            problem(s, "an attribute does not decode", i->key.a);
        else if (x.kind)
            count_ref(s, counts, x.extent, x.value_len);
    }
}

unsigned fake_store_check(struct sfs_store *s, uint32_t volume)
{
    struct sfs_map counts;
    sfs_map_init(&counts, s->env);
    sfs_mutex_lock(&s->lock);
    const struct tree *t = tree_of(s, volume);
    for (size_t i = 0; t && i < t->count; i++)
        for (size_t j = 0; j < t->leaves[i]->count; j++)
            count_item(s, &counts, &t->leaves[i]->items[j]);
    size_t cursor = 0, known = 0;
    uint64_t id;
    void *value;
    while (sfs_map_next(&counts, &cursor, &id, &value)) {
        const struct count *c = value;
        const struct extent *e = sfs_map_get(&s->extents, id);
        known++;
        if (!e)
            problem(s, "a reference to an extent that does not exist", id);
        else if (e->refs != c->refs || e->ref_bytes != c->bytes)
            problem(s, "an extent is not referenced as often as it says", id);
        sfs_free(s->env, value);
    }
    if (known != s->stats.live_extents)
        problem(s, "extents that nothing refers to", s->stats.live_extents - known);
    unsigned problems = s->stats.problems;
    sfs_mutex_unlock(&s->lock);
    sfs_map_deinit(&counts);
    return problems;
}
