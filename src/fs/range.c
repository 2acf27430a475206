/* Whole ranges of a file: truncation, holes, allocation, clones.
 *
 * All of them hold inode->flush, so that no flush is under way, and change the items in
 * transactions of at most SFS_FS_TX_OPS or so. A truncation that needs several says in the first
 * one, by an orphan key, where the file ends, and takes it away in the last.
 */
#include "fs/internal.h"

#include <string.h>

/* --- truncation
 * ---------------------------------------------------------------------------------------- */

static void orphan_put(struct sfs_fs *fs, struct sfs_tx *tx, uint64_t ino, uint64_t size)
{
    uint8_t bytes[8];
    sfs_put64(bytes, size);
    sfs_tx_put(tx, fs->volume, sfs_fs_key(0, SFS_KEY_ORPHAN, ino), bytes, sizeof bytes);
}

/* One transaction's worth of items behind `size` goes; *upto: UINT64_MAX when these were all. */
static int cut_step(struct sfs_fs *fs, struct sfs_tx *tx, uint64_t ino,
                    struct sfs_inode_value *value, uint64_t size, uint64_t *upto)
{
    struct sfs_cutter cut;
    tx->claim = SFS_CLAIM_FREES;
    sfs_fs_cut_begin(&cut, fs, tx, ino);
    int err = sfs_fs_cut_some(&cut, size, UINT64_MAX, SFS_FS_TX_OPS / 2, upto);
    sfs_fs_cut_end(&cut);
    value->allocated -= cut.bytes < value->allocated ? cut.bytes : value->allocated;
    return err;
}

int sfs_fs_cut_tail(struct sfs_fs *fs, uint64_t ino, struct sfs_inode_value *value, uint64_t size)
{
    uint64_t upto = 0;
    int err = SCALEFS_OK;
    while (!err && upto != UINT64_MAX) {
        struct sfs_tx tx;
        struct sfs_inode_value next = *value;
        sfs_tx_init(&tx, fs->store);
        err = cut_step(fs, &tx, ino, &next, size, &upto);
        if (upto == UINT64_MAX)
            sfs_tx_delete(&tx, fs->volume, sfs_fs_key(0, SFS_KEY_ORPHAN, ino));
        sfs_fs_put_value(fs, &tx, ino, &next, size);
        if (!err)
            err = sfs_tx_commit(&tx);
        if (!err)
            *value = next;
        sfs_tx_deinit(&tx);
    }
    return err;
}

static int shrink(struct sfs_fs *fs, struct sfs_inode *inode, struct sfs_inode_value *value,
                  uint64_t size)
{
    struct sfs_tx tx;
    uint64_t upto = UINT64_MAX;
    int err = SCALEFS_OK;
    sfs_tx_init(&tx, fs->store);
    value->size = size;
    if (size < inode->disk_size)
        err = cut_step(fs, &tx, inode->ino, value, size, &upto);
    if (upto != UINT64_MAX)
        orphan_put(fs, &tx, inode->ino, size);
    uint64_t disk_size = inode->disk_size;
    if (!err && size < disk_size)
        inode->disk_size = size;
    if (!err)
        err = sfs_fs_commit_value(fs, &tx, inode, value);
    if (err)
        inode->disk_size = disk_size;
    sfs_tx_deinit(&tx);
    if (err)
        return err;
    sfs_fs_segs_cut(fs->env, &inode->dirty, size, UINT64_MAX);
    sfs_fs_segs_cut(fs->env, &inode->flushing, size, UINT64_MAX);
    if (upto != UINT64_MAX) {
        err = sfs_fs_cut_tail(fs, inode->ino, &inode->value, size);
        inode->cut_pending = err != SCALEFS_OK;
    }
    return err;
}

static int finish_cut(struct sfs_fs *fs, struct sfs_inode *inode)
{
    if (!inode->cut_pending)
        return SCALEFS_OK;
    int err = sfs_fs_cut_tail(fs, inode->ino, &inode->value, inode->value.size);
    inode->cut_pending = err != SCALEFS_OK;
    return err;
}

int sfs_fs_resize(struct sfs_fs *fs, struct sfs_inode *inode, struct sfs_inode_value *value,
                  uint64_t size)
{
    if (size > SCALEFS_FILE_MAX)
        return SCALEFS_E_FBIG;
    int err = finish_cut(fs, inode);
    if (err)
        return err;
    value->allocated = inode->value.allocated;
    if (size < value->size) {
        err = shrink(fs, inode, value, size);
    } else {
        struct sfs_tx tx;
        uint64_t disk_size = inode->disk_size;
        sfs_tx_init(&tx, fs->store);
        value->size = size;
        /* Data in memory that lies behind the size on disk must come with it or before it (invariant 1). */
        if (sfs_fs_segs_end(&inode->dirty) <= disk_size && sfs_fs_segs_end(&inode->flushing) <= disk_size)
            inode->disk_size = size;
        err = sfs_fs_commit_value(fs, &tx, inode, value);
        if (err)
            inode->disk_size = disk_size;
        sfs_tx_deinit(&tx);
    }
    sfs_fs_account(fs, inode, 0);
    return err;
}

/* --- fallocate
 * -------------------------------------------------------------------------------------------- */

static void touch(struct sfs_fs *fs, struct sfs_inode_value *value)
{
    value->mtime = value->ctime = sfs_fs_now(fs);
}

static int file_check(const struct sfs_inode *inode)
{
    if (inode->gone)
        return SCALEFS_E_STALE;
    if (!SFS_FS_ISREG(inode->value.mode))
        return SFS_FS_ISDIR(inode->value.mode) ? SCALEFS_E_ISDIR : SCALEFS_E_INVAL;
    return SCALEFS_OK;
}

/* Is there data in memory, below `to`, behind the size on disk? It must come with that or before it (invariant 1). */
static bool is_ahead(const struct sfs_inode *inode, uint64_t to)
{
    size_t i = sfs_fs_segs_find(&inode->dirty, inode->disk_size);
    return inode->disk_size < to && i < inode->dirty.count && inode->dirty.list[i].offset < to;
}

/* [from, to) becomes a hole, and the file at least `size` long with the last of it; flush and lock held, nothing is being flushed. What
 * memory has goes after what the tree has: when a transaction is refused, nothing older shows. */
static int punch(struct sfs_fs *fs, struct sfs_inode *inode, uint64_t from, uint64_t to, uint64_t size)
{
    const uint64_t begin = from;
    int err = SCALEFS_OK;
    while (!err && from < to) {
        struct sfs_tx tx;
        struct sfs_cutter cut;
        uint64_t upto;
        sfs_tx_init(&tx, fs->store);
        tx.claim = SFS_CLAIM_FREES;
        sfs_fs_cut_begin(&cut, fs, &tx, inode->ino);
        err = sfs_fs_cut_some(&cut, from, to, SFS_FS_TX_OPS / 2, &upto);
        sfs_fs_cut_end(&cut);
        struct sfs_inode_value value = inode->value;
        value.allocated -= cut.bytes < value.allocated ? cut.bytes : value.allocated;
        touch(fs, &value);
        uint64_t disk_size = inode->disk_size;
        if (upto >= to && value.size < size) {
            value.size = size;
            if (!is_ahead(inode, begin))
                inode->disk_size = size;
        }
        if (!err)
            err = sfs_fs_commit_value(fs, &tx, inode, &value);
        if (err)
            inode->disk_size = disk_size;
        sfs_tx_deinit(&tx);
        if (!err) {
            sfs_fs_halves_note(fs, inode->ino, &cut);
            err = sfs_fs_segs_cut(fs->env, &inode->dirty, from, upto);
        }
        from = upto;
    }
    sfs_fs_account(fs, inode, 0);
    return err;
}

static int fallocate_locked(struct sfs_fs *fs, struct sfs_inode *inode, unsigned flags,
                            uint64_t offset, uint64_t len)
{
    int err = file_check(inode);
    if (!err && inode->flushing.count) /* an earlier flush had no memory to give its data back */
        err = SCALEFS_E_NOMEM;
    if (!err)
        err = finish_cut(fs, inode);
    if (!err && flags & (SCALEFS_FALLOC_PUNCH_HOLE | SCALEFS_FALLOC_ZERO_RANGE))
        err = punch(fs, inode, offset, offset + len, flags & SCALEFS_FALLOC_KEEP_SIZE ? 0 : offset + len);
    if (err || flags & SCALEFS_FALLOC_KEEP_SIZE || offset + len <= inode->value.size)
        return err;
    struct sfs_inode_value value = inode->value;
    touch(fs, &value);
    return sfs_fs_resize(fs, inode, &value, offset + len);
}

int sfs_fs_fallocate(struct sfs_fs *fs, uint64_t ino, unsigned flags, uint64_t offset, uint64_t len)
{
    const unsigned punch_keep = SCALEFS_FALLOC_PUNCH_HOLE | SCALEFS_FALLOC_KEEP_SIZE;
    unsigned how = flags & ~(unsigned)SCALEFS_FALLOC_KEEP_SIZE;
    if (fs->options.read_only)
        return SCALEFS_E_ROFS;
    if (how && how != SCALEFS_FALLOC_ZERO_RANGE && flags != punch_keep)
        return SCALEFS_E_NOTSUP;
    if (!len)
        return SCALEFS_E_INVAL;
    if (offset > SCALEFS_FILE_MAX || len > SCALEFS_FILE_MAX - offset)
        return SCALEFS_E_FBIG;
    struct sfs_inode *inode;
    int err = sfs_fs_inode_get(fs, ino, &inode);
    if (err)
        return err;
    if (!how) { /* nothing can be set aside in a pool that never overwrites: say whether it is there
                   now */
        err = sfs_fs_reserve(fs, len);
        if (!err)
            sfs_store_unreserve(fs->store, len);
    }
    if (!err) {
        sfs_mutex_lock(&inode->flush);
        sfs_rwlock_write(&inode->lock);
        err = fallocate_locked(fs, inode, flags, offset, len);
        sfs_rwlock_write_done(&inode->lock);
        sfs_mutex_unlock(&inode->flush);
    }
    sfs_fs_inode_put(fs, inode);
    return err;
}

/* --- clones
 * -------------------------------------------------------------------------------------------------
 */

#define CLONE_ITEMS 64u

struct clone {
    struct sfs_fs *fs;
    struct sfs_inode *from, *to;
    uint64_t from_offset, to_offset, len;
};

/* One transaction: as much as CLONE_ITEMS items of the source say, and over no more items of the
 * target (a hole of the source can cover any number of them). Both locked, nothing of either in
 * memory. */
static int clone_step(struct clone *c, uint64_t *done)
{
    struct sfs_item items[CLONE_ITEMS];
    size_t count;
    uint64_t next, start = c->from_offset + *done, to = c->to_offset + *done;
    int err = sfs_fs_items(c->fs, c->to->ino, to, c->to_offset + c->len, items, CLONE_ITEMS, &count,
                           &next);
    if (!err)
        err = sfs_fs_items(c->fs, c->from->ino, start, start + (next - to), items, CLONE_ITEMS,
                           &count, &next);
    if (err)
        return err;
    struct sfs_tx tx;
    struct sfs_cutter cut;
    uint64_t to_end = to + (next - start);
    sfs_tx_init(&tx, c->fs->store);
    /* First the new references, so that an extent which only the target uses does not pass through
     * 0. */
    uint64_t added = 0;
    for (size_t i = 0; i < count; i++) {
        struct sfs_item *it = &items[i];
        uint64_t item_end = it->offset + it->len;
        uint64_t low = it->offset > start ? it->offset : start,
                 high = item_end < next ? item_end : next;
        *it = (struct sfs_item){.offset = to + (low - start),
                                .id = it->id,
                                .at = it->at + (uint32_t)(low - it->offset),
                                .len = (uint32_t)(high - low)};
        sfs_tx_extent_ref(&tx, it->id, 1, it->len);
        added += it->len;
    }
    sfs_fs_cut_begin(&cut, c->fs, &tx, c->to->ino);
    err = sfs_fs_cut(&cut, to, to_end);
    sfs_fs_cut_end(&cut);
    for (size_t i = 0; i < count; i++)
        sfs_fs_put_item(c->fs, &tx, c->to->ino, &items[i]);
    struct sfs_inode_value value = c->to->value;
    touch(c->fs, &value);
    value.allocated = value.allocated + added - cut.bytes;
    uint64_t old = c->to->disk_size;
    if (to_end > value.size)
        value.size = to_end;
    c->to->disk_size = value.size;
    if (!err)
        err = sfs_fs_commit_value(c->fs, &tx, c->to, &value);
    if (err)
        c->to->disk_size = old;
    else
        *done += next - start;
    sfs_tx_deinit(&tx);
    return err;
}

/* Both `flush` are held. */
static int clone_flushed(struct clone *c, struct sfs_lockset *set, uint64_t *done)
{
    int err = SCALEFS_OK;
    /* A writer may slip in between the flush and the lock; not for ever. */
    for (unsigned tries = 0; tries < 100; tries++) {
        err = sfs_fs_flush_held(c->fs, set->inodes, set->count, true, NULL);
        if (err)
            return err;
        sfs_fs_set_lock(set);
        if (!c->to->dirty.count && c->to->disk_size == c->to->value.size)
            break;
        sfs_fs_set_unlock(set);
        err = SCALEFS_E_BUSY;
    }
    if (err)
        return err;
    err = file_check(c->from);
    if (!err)
        err = file_check(c->to);
    if (!err)
        err = finish_cut(c->fs, c->from);
    if (!err)
        err = finish_cut(c->fs, c->to);
    uint64_t size = c->from->disk_size;
    if (c->from_offset >= size)
        c->len = 0;
    else if (c->len > size - c->from_offset)
        c->len = size - c->from_offset;
    if (!err && c->from == c->to && c->from_offset < c->to_offset + c->len &&
        c->to_offset < c->from_offset + c->len)
        err = SCALEFS_E_INVAL;
    while (!err && *done < c->len)
        err = clone_step(c, done);
    sfs_fs_account(c->fs, c->to, 0);
    sfs_fs_set_unlock(set);
    return err;
}

int sfs_fs_copy_range(struct sfs_fs *fs, uint64_t from, uint64_t from_offset, uint64_t to,
                      uint64_t to_offset, uint64_t len, uint64_t *done)
{
    *done = 0;
    if (fs->options.read_only)
        return SCALEFS_E_ROFS;
    if (from_offset > SCALEFS_FILE_MAX || to_offset > SCALEFS_FILE_MAX)
        return SCALEFS_E_FBIG;
    if (len > SCALEFS_FILE_MAX - from_offset)
        len = SCALEFS_FILE_MAX - from_offset;
    if (len > SCALEFS_FILE_MAX - to_offset)
        len = SCALEFS_FILE_MAX - to_offset;
    struct sfs_lockset set = {.count = 0};
    struct clone c = {.fs = fs, .from_offset = from_offset, .to_offset = to_offset, .len = len};
    int err = sfs_fs_set_get(fs, &set, from, &c.from);
    if (!err)
        err = sfs_fs_set_get(fs, &set, to, &c.to);
    if (!err) {
        sfs_fs_set_sort(&set);
        for (unsigned i = 0; i < set.count; i++)
            sfs_mutex_lock(&set.inodes[i]->flush);
        err = clone_flushed(&c, &set, done);
        for (unsigned i = set.count; i-- > 0;)
            sfs_mutex_unlock(&set.inodes[i]->flush);
    }
    sfs_fs_set_put(fs, &set);
    return err == SCALEFS_OK || !*done ? err : SCALEFS_OK;
}
