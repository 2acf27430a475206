/* Its transactions, and whether all references agree. See fake_internal.h. */
#include "fake_internal.h"

#include <string.h>

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
    struct tree *t = fake_tree_of(s, op->tree);
    struct item old;
    bool had;
    uint8_t count[8];
    if (!t) {
        fake_problem(s, "a key for a tree that does not exist", op->tree);
        return;
    }
    if (op->kind == COUNT) {
        size_t leaf, at;
        uint64_t before = fake_seek(t, op->key, &leaf, &at) ? sfs_get64(t->leaves[leaf]->items[at].value) : 0;
        if (op->ref_bytes < 0 && before < (uint64_t)-op->ref_bytes)
            fake_problem(s, "a count becomes negative", op->key.type);
        sfs_put64(count, before + (uint64_t)op->ref_bytes);
    }
    if (op->kind == PUT)
        had = fake_put(s, t, fake_copy_item(s, op->key, tx->bytes + op->at, op->len), &old);
    else if (op->kind == COUNT)
        had = fake_put(s, t, fake_copy_item(s, op->key, count, sizeof count), &old);
    else if (!(had = fake_delete(s, t, op->key, &old)))
        return;
    struct undo *u = fake_remember(s);
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
        fake_problem(s, "an extent is added that no batch made, or with wrong counts", op->id);
        return;
    }
    e->refs = (uint32_t)op->refs;
    e->ref_bytes = (uint64_t)op->ref_bytes;
    SFS_ASSERT(!sfs_map_put(&s->extents, e->id, e));
    fake_count_extent(s, e, 1);
    s->stats.extents++;
    struct undo *u = fake_remember(s);
    u->is_extent = true;
    u->extent.id = e->id;
}

static void apply_ref(struct sfs_store *s, const struct sfs_tx_op *op)
{
    struct extent *e = sfs_map_get(&s->extents, op->id);
    if (!e) {
        fake_problem(s, "references of an extent that does not exist", op->id);
        return;
    }
    struct undo *u = fake_remember(s);
    u->is_extent = u->had = true;
    u->extent = *e;
    fake_count_extent(s, e, -1);
    int64_t refs = (int64_t)e->refs + op->refs, bytes = (int64_t)e->ref_bytes + op->ref_bytes;
    if (refs < 0 || bytes < 0 || (!refs != !bytes) || bytes > refs * (int64_t)e->raw)
        fake_problem(s, "references of an extent become wrong", op->id);
    if (refs <= 0) {
        sfs_map_remove(&s->extents, e->id);
        sfs_free(s->env, e);
        return;
    }
    e->refs = (uint32_t)refs;
    e->ref_bytes = (uint64_t)bytes;
    fake_count_extent(s, e, 1);
}

int sfs_tx_commit(struct sfs_tx *tx)
{
    struct sfs_store *s = tx->store;
    sfs_mutex_lock(&s->lock);
    int err = tx->error ? tx->error : fake_struck(&s->tx_fault);
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
            fake_problem(s, "a file extent does not decode", i->key.a);
        else
            count_ref(s, counts, v.id, v.length);
    } else if (i->key.type == SFS_KEY_XATTR) {
        if (sfs_xattr_decode(i->value, i->len, &x))
            fake_problem(s, "an attribute does not decode", i->key.a);
        else if (x.kind)
            count_ref(s, counts, x.extent, x.value_len);
    }
}

unsigned fake_store_check(struct sfs_store *s, uint32_t volume)
{
    struct sfs_map counts;
    sfs_map_init(&counts, s->env);
    sfs_mutex_lock(&s->lock);
    const struct tree *t = fake_tree_of(s, volume);
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
            fake_problem(s, "a reference to an extent that does not exist", id);
        else if (e->refs != c->refs || e->ref_bytes != c->bytes)
            fake_problem(s, "an extent is not referenced as often as it says", id);
        sfs_free(s->env, value);
    }
    if (known != s->stats.live_extents)
        fake_problem(s, "extents that nothing refers to", s->stats.live_extents - known);
    unsigned problems = s->stats.problems;
    sfs_mutex_unlock(&s->lock);
    sfs_map_deinit(&counts);
    return problems;
}
