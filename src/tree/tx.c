/* Transactions: gathering updates, and handing them to the store to be applied as one. */
#include "tree/tree.h"

#include "base/vec.h"
#include "store/apply.h"

/* Values and entries are copied into one growing buffer and addressed by offset until commit. */
struct sfs_tx_op {
    struct sfs_op op;
    size_t bytes; /* offset of the value or entry */
};

void sfs_tx_init(struct sfs_tx *tx, struct sfs_store *store)
{
    *tx = (struct sfs_tx){.store = store};
}

void sfs_tx_deinit(struct sfs_tx *tx)
{
    struct sfs_env *env = sfs_store_env(tx->store);
    sfs_free(env, tx->ops);
    sfs_free(env, tx->bytes);
    sfs_tx_init(tx, tx->store);
}

static struct sfs_op *add(struct sfs_tx *tx, enum sfs_op_kind kind, const void *bytes, size_t len)
{
    static const size_t align = 16;
    if (tx->error)
        return NULL;
    struct sfs_env *env = sfs_store_env(tx->store);
    size_t at = (tx->byte_count + align - 1) & ~(align - 1);
    tx->error = sfs_vec_reserve(env, &tx->ops, &tx->cap, tx->count + 1, sizeof *tx->ops);
    if (!tx->error && len > 0)
        tx->error = sfs_vec_reserve(env, &tx->bytes, &tx->byte_cap, at + len, 1);
    if (tx->error)
        return NULL;
    if (len > 0) {
        memcpy(tx->bytes + at, bytes, len);
        tx->byte_count = at + len;
    }
    struct sfs_tx_op *op = &tx->ops[tx->count++];
    *op = (struct sfs_tx_op){.op = {.kind = kind, .len = (uint32_t)len}, .bytes = at};
    return &op->op;
}

void sfs_tx_put(struct sfs_tx *tx, uint32_t tree, struct sfs_key key, const void *value, uint32_t len)
{
    if (len > SFS_VALUE_MAX) {
        tx->error = SCALEFS_E_TOOBIG;
        return;
    }
    struct sfs_op *op = add(tx, SFS_OP_PUT, value, len);
    if (op) {
        op->tree = tree;
        op->key = key;
    }
}

void sfs_tx_delete(struct sfs_tx *tx, uint32_t tree, struct sfs_key key)
{
    struct sfs_op *op = add(tx, SFS_OP_DELETE, NULL, 0);
    if (op) {
        op->tree = tree;
        op->key = key;
    }
}

void sfs_tx_count(struct sfs_tx *tx, uint32_t tree, struct sfs_key key, int64_t delta)
{
    struct sfs_op *op = add(tx, SFS_OP_COUNT, NULL, 0);
    if (op) {
        op->tree = tree;
        op->key = key;
        op->ref_bytes = delta;
    }
}

void sfs_tx_extent_add(struct sfs_tx *tx, const struct sfs_piece *piece, uint32_t refs, uint64_t ref_bytes)
{
    struct sfs_extent e = piece->extent;
    e.refs = refs;
    e.ref_bytes = ref_bytes;
    struct sfs_op *op = add(tx, SFS_OP_ADD, &e, sizeof e);
    if (op)
        op->id = piece->id;
}

void sfs_tx_extent_ref(struct sfs_tx *tx, uint64_t id, int32_t refs, int64_t ref_bytes)
{
    struct sfs_op *op = add(tx, SFS_OP_REF, NULL, 0);
    if (op) {
        op->id = id;
        op->refs = refs;
        op->ref_bytes = ref_bytes;
    }
}

void sfs_tx_extent_move(struct sfs_tx *tx, uint64_t id, uint64_t birth, struct sfs_place old_place,
                        const struct sfs_piece *piece)
{
    struct sfs_op *op = add(tx, SFS_OP_MOVE, &piece->extent, sizeof piece->extent);
    if (op) {
        op->id = id;
        op->birth = birth;
        op->old_place = old_place;
    }
}

int sfs_tx_commit(struct sfs_tx *tx)
{
    int err = tx->error;
    if (!err && tx->count > 0) {
        struct sfs_env *env = sfs_store_env(tx->store);
        struct sfs_op *ops = sfs_alloc(env, tx->count * sizeof *ops);
        if (!ops)
            err = SCALEFS_E_NOMEM;
        for (size_t i = 0; !err && i < tx->count; i++) {
            ops[i] = tx->ops[i].op;
            if (ops[i].kind == SFS_OP_PUT) /* others have no bytes, and when none has there are none */
                ops[i].value = tx->bytes + tx->ops[i].bytes;
            else if (ops[i].kind == SFS_OP_ADD || ops[i].kind == SFS_OP_MOVE)
                ops[i].extent = (const struct sfs_extent *)(const void *)(tx->bytes + tx->ops[i].bytes);
        }
        if (!err)
            err = sfs_store_apply(tx->store, ops, tx->count, tx->claim);
        sfs_free(env, ops);
    }
    tx->count = tx->byte_count = 0;
    tx->error = SCALEFS_OK;
    tx->claim = SFS_CLAIM_NEW;
    return err;
}
