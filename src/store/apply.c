/* One writer at a time: under the core lock, first every node that the updates touch is made sure of, then
 * all updates are made; nothing can fail in the second step. */
#include "store/apply.h"

#include "store/internal.h"

/* Counters come from the disks: they may be wrong. */
static bool refs_right(const struct sfs_extent *e, const struct sfs_op *op)
{
    int64_t refs = (int64_t)e->refs + (op->kind == SFS_OP_REF ? op->refs : 0);
    return refs >= 0 && refs <= UINT32_MAX;
}

static int ready(struct sfs_store *s, struct sfs_need *need, const struct sfs_op *op)
{
    struct sfs_extent e;
    int err;
    switch (op->kind) {
    case SFS_OP_PUT:
    case SFS_OP_DELETE:
    case SFS_OP_COUNT:
        if (!sfs_btree_root(s, op->tree))
            return SCALEFS_E_NOENT;
        return sfs_btree_ready(s, need, op->tree, op->key);
    case SFS_OP_ADD:
        err = sfs_space_ready(s, need, op->extent->place);
        break;
    case SFS_OP_REF:
    case SFS_OP_MOVE:
        err = sfs_extents_get(s, need, op->id, &e);
        if (err == SCALEFS_E_NOENT)
            return SCALEFS_OK;
        if (!err)
            err = sfs_space_ready(s, need, e.place);
        if (!err && (!sfs_space_holds(s, e.place, e.stored) || !refs_right(&e, op)))
            err = SCALEFS_E_CORRUPT;
        if (!err && op->kind == SFS_OP_MOVE)
            err = sfs_space_ready(s, need, op->extent->place);
        break;
    default:
        return SCALEFS_E_INVAL;
    }
    return err ? err : sfs_btree_ready(s, need, SFS_TREE_EXTENT_MAP, (struct sfs_key){op->id, 0, 0});
}

static void change_refs(struct sfs_store *s, const struct sfs_op *op)
{
    struct sfs_need none = {0};
    struct sfs_extent e;
    if (sfs_extents_get(s, &none, op->id, &e) != SCALEFS_OK)
        return;
    int64_t refs = (int64_t)e.refs + op->refs;
    int64_t bytes = (int64_t)e.ref_bytes + op->ref_bytes;
    if (!refs_right(&e, op)) { /* several updates of one transaction were too much together: what is kept costs space only */
        sfs_log(s->env, SFS_LOG_ERROR, "store", SCALEFS_E_CORRUPT, "extent %llu is referenced more often than it says",
                (unsigned long long)op->id);
        return;
    }
    if (refs == 0) {
        sfs_space_live(s, e.place, -(int64_t)e.stored);
        sfs_extents_delete(s, op->id);
        return;
    }
    e.refs = (uint32_t)refs;
    e.ref_bytes = bytes < 0 ? 0 : (uint64_t)bytes;
    sfs_extents_put(s, op->id, &e);
}

static void move_extent(struct sfs_store *s, const struct sfs_op *op)
{
    struct sfs_need none = {0};
    struct sfs_extent e;
    if (sfs_extents_get(s, &none, op->id, &e) != SCALEFS_OK || e.birth != op->birth ||
        e.place.group != op->old_place.group || e.place.offset != op->old_place.offset)
        return;
    sfs_space_live(s, e.place, -(int64_t)e.stored);
    e.place = op->extent->place;
    sfs_space_live(s, e.place, e.stored);
    sfs_extents_put(s, op->id, &e);
}

/* A key that is not there counts as 0. */
static void change_count(struct sfs_store *s, const struct sfs_op *op)
{
    uint32_t len = 0;
    uint8_t *v = sfs_btree_edit(s, op->tree, op->key, &len);
    uint64_t before = v && len >= 8 ? sfs_get64(v) : 0;
    uint64_t less = op->ref_bytes < 0 ? (uint64_t)-op->ref_bytes : 0;
    uint64_t after = less > before ? 0 : before + (uint64_t)op->ref_bytes; /* below 0 only after damage */
    uint8_t fresh[8];
    sfs_put64(v && len >= 8 ? v : fresh, after);
    if (!v || len < 8)
        sfs_btree_put(s, op->tree, op->key, fresh, sizeof fresh);
}

static void apply(struct sfs_store *s, const struct sfs_op *op)
{
    switch (op->kind) {
    case SFS_OP_PUT:
        sfs_btree_put(s, op->tree, op->key, op->value, op->len);
        break;
    case SFS_OP_DELETE:
        sfs_btree_delete(s, op->tree, op->key);
        break;
    case SFS_OP_ADD:
        sfs_space_live(s, op->extent->place, op->extent->stored);
        sfs_extents_put(s, op->id, op->extent);
        break;
    case SFS_OP_REF:
        change_refs(s, op);
        break;
    case SFS_OP_MOVE:
        move_extent(s, op);
        break;
    case SFS_OP_COUNT:
        change_count(s, op);
        break;
    }
}

/* How many of the updates may make a tree longer. */
static size_t growing(const struct sfs_op *ops, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += ops[i].kind != SFS_OP_DELETE && ops[i].kind != SFS_OP_REF;
    return n;
}

int sfs_store_apply(struct sfs_store *s, const struct sfs_op *ops, size_t count, enum sfs_claim claim)
{
    if (s->pool->read_only)
        return SCALEFS_E_ROFS;
    struct sfs_need need;
    sfs_need_init(&need);
    sfs_store_lock(s);
    if (s->dirty.count >= s->dirty_limit) {
        /* Too much is dirty for the cache or for the room there is: it is written before more comes. Before, not after:
         * a transaction that was applied must not be answered with an error. */
        sfs_store_unlock(s);
        int full = sfs_store_sync(s);
        if (full && claim != SFS_CLAIM_FREES)
            return full;
        sfs_store_lock(s);
    }
    int err = sfs_space_have_nodes(s, claim);
    /* After a read, on from the same update; but what was looked at before may have changed while the lock was given up,
     * so only a whole round without a read counts. */
    bool read = false;
    for (size_t i = 0; !err && i < count;) {
        err = ready(s, &need, &ops[i]);
        if (err == SCALEFS_E_NEED_NODE) {
            err = sfs_need_load(s, &need);
            read = true;
            continue;
        }
        if (++i == count && read) {
            i = 0;
            read = false;
        }
    }
    if (!err)
        err = sfs_cache_spare(s, growing(ops, count) + 16);
    if (!err)
        err = sfs_dead_reserve(s, count);
    if (!err) {
        for (size_t i = 0; i < count; i++)
            apply(s, &ops[i]);
        s->applied++;
        sfs_checkpoint_due(s);
    }
    sfs_need_done(s, &need);
    sfs_store_unlock(s);
    return err;
}
