/* The last name of an inode goes: deletion now, at the last release, or after a crash.
 *
 * A small inode that nobody holds is deleted in the transaction that takes its last name. Any other
 * gets an orphan key there; the key goes with the inode, in the last of the bounded transactions
 * that delete it. Very large ones are left to a task (the reaper). What a crash leaves is found by
 * its keys at the next opening.
 */
#include "fs/internal.h"

#include <string.h>

#define DIRECT_KEYS 96u /* deleted along with the name */
#define STEP_KEYS (SFS_FS_TX_OPS / 2)
#define PATIENCE 16u /* transactions that the caller waits for; then it is the reaper's */

struct key_batch {
    struct sfs_fs *fs;
    struct sfs_tx *tx;
    size_t count, max;
    bool more, bad;
};

/* Only gathers into the transaction's memory, as a scan's function must. */
static bool delete_key(void *context, struct sfs_key key, const uint8_t *value, uint32_t len)
{
    struct key_batch *b = context;
    if (b->count == b->max) {
        b->more = true;
        return false;
    }
    if (key.type == SFS_KEY_EXTENT) {
        struct sfs_fileext_value v;
        if (sfs_fileext_decode(value, len, &v))
            b->bad = true;
        else
            sfs_tx_extent_ref(b->tx, v.id, -1, -(int64_t)v.length);
    } else if (key.type == SFS_KEY_XATTR) {
        struct sfs_xattr_value v;
        if (sfs_xattr_decode(value, len, &v))
            b->bad = true;
        else if (v.kind == 1)
            sfs_tx_extent_ref(b->tx, v.extent, -1, -(int64_t)v.value_len);
    }
    /* A value that makes no sense is dropped all the same: its extent stays, and `check` finds it.
     */
    sfs_tx_delete(b->tx, b->fs->volume, key);
    b->count++;
    return true;
}

/* Puts the deletion of up to `max` keys of the inode, all but its own, into tx. */
static int delete_some(struct sfs_fs *fs, struct sfs_tx *tx, uint64_t ino, size_t max, bool *more)
{
    struct key_batch b = {.fs = fs, .tx = tx, .max = max};
    int err = sfs_tree_scan(fs->store, fs->volume, sfs_fs_key(ino, SFS_KEY_INODE + 1, 0),
                            sfs_fs_key(ino, 0xff, UINT64_MAX), delete_key, &b);
    *more = b.more;
    if (b.bad)
        sfs_log(fs->env, SFS_LOG_ERROR, "fs", SCALEFS_E_CORRUPT,
                "inode %llu had damaged keys when it was deleted", (unsigned long long)ino);
    return err == SCALEFS_E_NOENT ? SCALEFS_OK : err;
}

static void delete_last(struct sfs_fs *fs, struct sfs_tx *tx, uint64_t ino)
{
    sfs_tx_delete(tx, fs->volume, sfs_fs_key(ino, SFS_KEY_INODE, 0));
    sfs_fs_count_inode(fs, tx, -1);
    sfs_tx_delete(tx, fs->volume, sfs_fs_key(0, SFS_KEY_ORPHAN, ino));
}

static int delete_steps(struct sfs_fs *fs, uint64_t ino, unsigned steps, bool *more)
{
    int err = SCALEFS_OK;
    *more = true;
    for (; !err && *more && steps; steps--) {
        struct sfs_tx tx;
        sfs_tx_init(&tx, fs->store);
        tx.claim = SFS_CLAIM_FREES;
        err = delete_some(fs, &tx, ino, STEP_KEYS, more);
        if (!err && !*more)
            delete_last(fs, &tx, ino);
        if (!err)
            err = sfs_tx_commit(&tx);
        sfs_tx_deinit(&tx);
    }
    if (err)
        sfs_log(fs->env, SFS_LOG_WARN, "fs", err,
                "inode %llu could not be deleted now; the next opening tries again",
                (unsigned long long)ino);
    return err;
}

int sfs_fs_drop_links(struct sfs_fs *fs, struct sfs_tx *tx, struct sfs_inode *inode, uint32_t links,
                      struct sfs_time now, struct sfs_inode_value *value, bool *deleted)
{
    *value = inode->value;
    value->links = value->links > links ? value->links - links : 0;
    value->ctime = now;
    *deleted = false;
    if (!value->links) {
        tx->claim = SFS_CLAIM_FREES;
        if (!sfs_fs_holds(fs, inode->ino) && !inode->flushing.count) {
            struct sfs_tx probe; /* whether it is small shows only when all is gathered */
            bool more;
            sfs_tx_init(&probe, fs->store);
            int err = delete_some(fs, &probe, inode->ino, DIRECT_KEYS, &more);
            sfs_tx_deinit(&probe);
            if (err)
                return err;
            if (!more) {
                *deleted = true;
                delete_last(fs, tx, inode->ino);
                return delete_some(fs, tx, inode->ino, DIRECT_KEYS, &more);
            }
        }
        uint8_t bytes[8];
        sfs_put64(bytes, UINT64_MAX);
        sfs_tx_put(tx, fs->volume, sfs_fs_key(0, SFS_KEY_ORPHAN, inode->ino), bytes, sizeof bytes);
    }
    sfs_fs_put_value(fs, tx, inode->ino, value,
                     SFS_FS_ISREG(value->mode) ? inode->disk_size : value->size);
    return SCALEFS_OK;
}

void sfs_fs_links_dropped(struct sfs_fs *fs, struct sfs_inode *inode,
                          const struct sfs_inode_value *value, bool deleted)
{
    inode->value = *value;
    if (deleted) {
        inode->gone = true;
        sfs_fs_drop_dirty(fs, inode);
        return;
    }
    inode->attr_dirty = SFS_FS_ISREG(value->mode) && inode->disk_size != value->size;
    if (!value->links) {
        sfs_mutex_lock(&fs->mutex);
        /* Without memory for this it is deleted at the next opening. */
        (void)sfs_map_put(&fs->unlinked, inode->ino, inode);
        sfs_mutex_unlock(&fs->mutex);
    }
    sfs_fs_account(fs, inode, 0);
}

/* --- the reaper
 * -------------------------------------------------------------------------------------------- */

static void enqueue(struct sfs_fs *fs, uint64_t ino, uint64_t size)
{
    sfs_mutex_lock(&fs->mutex);
    if (fs->orphan_count == fs->orphan_room) {
        size_t room = fs->orphan_room ? fs->orphan_room * 2 : 16;
        struct sfs_orphan *more =
            sfs_realloc(fs->env, fs->orphans, fs->orphan_count * sizeof *more, room * sizeof *more);
        if (more) {
            fs->orphans = more;
            fs->orphan_room = room;
        }
    }
    if (fs->orphan_count < fs->orphan_room)
        fs->orphans[fs->orphan_count++] = (struct sfs_orphan){.ino = ino, .size = size};
    sfs_cond_broadcast(&fs->work);
    sfs_mutex_unlock(&fs->mutex);
}

static void reap_locked(struct sfs_fs *fs, struct sfs_inode *inode)
{
    if (inode->gone || inode->value.links || sfs_fs_holds(fs, inode->ino))
        return;
    inode->gone = true;
    sfs_fs_drop_dirty(fs, inode);
    sfs_mutex_lock(&fs->mutex);
    sfs_map_remove(&fs->unlinked, inode->ino);
    sfs_mutex_unlock(&fs->mutex);
    bool more;
    unsigned steps = fs->reaper ? PATIENCE : UINT32_MAX;
    if (!delete_steps(fs, inode->ino, steps, &more) && more)
        enqueue(fs, inode->ino, UINT64_MAX);
}

void sfs_fs_reap(struct sfs_fs *fs, struct sfs_inode *inode)
{
    sfs_mutex_lock(&inode->flush);
    sfs_rwlock_write(&inode->lock);
    reap_locked(fs, inode);
    sfs_rwlock_write_done(&inode->lock);
    sfs_mutex_unlock(&inode->flush);
}

int sfs_fs_hold(struct sfs_fs *fs, uint64_t ino)
{
    struct sfs_inode *inode;
    int err = sfs_fs_inode_get(fs, ino, &inode);
    if (err)
        return err;
    sfs_rwlock_read(&inode->lock);
    err = inode->gone ? SCALEFS_E_STALE : sfs_fs_hold_add(fs, ino);
    sfs_rwlock_read_done(&inode->lock);
    sfs_fs_inode_put(fs, inode);
    return err;
}

void sfs_fs_release_hold(struct sfs_fs *fs, uint64_t ino, uint64_t count)
{
    sfs_mutex_lock(&fs->mutex);
    uintptr_t holds = (uintptr_t)sfs_map_get(&fs->holds, ino);
    holds = holds > count ? holds - (uintptr_t)count : 0;
    struct sfs_inode *inode = NULL;
    bool dead = false;
    if (holds) {
        (void)sfs_map_put(&fs->holds, ino, (void *)holds); /* replacing never fails */
    } else {
        sfs_map_remove(&fs->holds, ino);
        dead = sfs_map_get(&fs->unlinked, ino) != NULL;
        if (dead)
            inode = sfs_map_get(&fs->inodes, ino);
    }
    sfs_mutex_unlock(&fs->mutex);
    if (!dead)
        return;
    /* Whether its object is in memory or not: as nobody holds it any more, it is not loaded again.
     */
    if (inode && !sfs_fs_inode_get(fs, ino, &inode)) {
        sfs_fs_reap(fs, inode);
        sfs_fs_inode_put(fs, inode);
        return;
    }
    sfs_mutex_lock(&fs->mutex);
    dead = sfs_map_remove(&fs->unlinked, ino) != NULL;
    sfs_mutex_unlock(&fs->mutex);
    if (!dead)
        return;
    enqueue(fs, ino, UINT64_MAX);
    if (!fs->reaper)
        sfs_fs_orphans_finish(fs);
}

static bool load_orphan(void *context, struct sfs_key key, const uint8_t *value, uint32_t len)
{
    struct sfs_fs *fs = context;
    if (len == 8 && key.b)
        enqueue(fs, key.b, sfs_get64(value));
    return true;
}

int sfs_fs_orphans_load(struct sfs_fs *fs)
{
    int err = sfs_tree_scan(fs->store, fs->volume, sfs_fs_key(0, SFS_KEY_ORPHAN, 0),
                            sfs_fs_key(0, SFS_KEY_ORPHAN, UINT64_MAX), load_orphan, fs);
    if (err == SCALEFS_E_NOENT)
        err = SCALEFS_OK;
    for (size_t i = 0; !err && i < fs->orphan_count; i++)
        if (fs->orphans[i].size != UINT64_MAX)
            err = sfs_map_put(&fs->cut_first, fs->orphans[i].ino, fs);
    return err;
}

/* The truncation that a crash interrupted is finished by whoever loads the inode. */
static void finish_truncation(struct sfs_fs *fs, uint64_t ino)
{
    struct sfs_inode *inode;
    if (!sfs_fs_inode_get(fs, ino, &inode))
        sfs_fs_inode_put(fs, inode);
}

bool sfs_fs_reap_one(struct sfs_fs *fs)
{
    struct sfs_orphan orphan = {.ino = 0};
    sfs_mutex_lock(&fs->mutex);
    bool any = fs->orphan_count > 0;
    if (any)
        orphan = fs->orphans[--fs->orphan_count];
    fs->reaping += any;
    sfs_mutex_unlock(&fs->mutex);
    if (!any)
        return false;
    bool more = true;
    int err = SCALEFS_OK;
    if (orphan.size != UINT64_MAX)
        finish_truncation(fs, orphan.ino);
    while (orphan.size == UINT64_MAX && more && !err) {
        sfs_mutex_lock(&fs->mutex);
        bool stop = fs->stop;
        sfs_mutex_unlock(&fs->mutex);
        if (stop)
            break; /* its key is there: the next opening goes on */
        err = delete_steps(fs, orphan.ino, PATIENCE, &more);
    }
    sfs_mutex_lock(&fs->mutex);
    fs->reaping--;
    if (!fs->reaping && !fs->orphan_count)
        sfs_cond_broadcast(&fs->settled);
    sfs_mutex_unlock(&fs->mutex);
    return true;
}

void sfs_fs_orphans_finish(struct sfs_fs *fs)
{
    while (sfs_fs_reap_one(fs)) {
    }
}

void sfs_fs_reaper(void *arg)
{
    struct sfs_fs *fs = arg;
    sfs_mutex_lock(&fs->mutex);
    while (!fs->stop) {
        if (!fs->orphan_count) {
            sfs_cond_wait(&fs->work, &fs->mutex);
            continue;
        }
        sfs_mutex_unlock(&fs->mutex);
        sfs_fs_reap_one(fs);
        sfs_mutex_lock(&fs->mutex);
    }
    sfs_mutex_unlock(&fs->mutex);
}
