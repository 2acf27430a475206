/* Inode objects: found, loaded, kept for a while, locked several at a time.
 *
 * An object exists while somebody uses it (refs) or it has data that is not written (listed);
 * others stay in a bounded list, least recently used last. Holds (lookup counts, open files) are
 * counted apart from the objects, so that a million held inodes cost 16 bytes each.
 */
#include "fs/internal.h"

#include <string.h>

static void lru_remove(struct sfs_fs *fs, struct sfs_inode *inode)
{
    if (inode->lru_prev)
        inode->lru_prev->lru_next = inode->lru_next;
    else
        fs->lru_first = inode->lru_next;
    if (inode->lru_next)
        inode->lru_next->lru_prev = inode->lru_prev;
    else
        fs->lru_last = inode->lru_prev;
    inode->lru_prev = inode->lru_next = NULL;
    fs->lru_count--;
}

static void lru_push(struct sfs_fs *fs, struct sfs_inode *inode)
{
    inode->lru_prev = NULL;
    inode->lru_next = fs->lru_first;
    if (fs->lru_first)
        fs->lru_first->lru_prev = inode;
    else
        fs->lru_last = inode;
    fs->lru_first = inode;
    fs->lru_count++;
}

static struct sfs_inode *make(struct sfs_fs *fs, uint64_t ino)
{
    struct sfs_inode *inode = sfs_zalloc(fs->env, sizeof *inode);
    if (!inode)
        return NULL;
    inode->ino = ino;
    sfs_mutex_init(&inode->flush, fs->env);
    sfs_rwlock_init(&inode->lock, fs->env);
    return inode;
}

static void destroy(struct sfs_fs *fs, struct sfs_inode *inode)
{
    sfs_fs_segs_clear(fs->env, &inode->dirty);
    sfs_fs_segs_clear(fs->env, &inode->flushing);
    sfs_rwlock_deinit(&inode->lock);
    sfs_mutex_deinit(&inode->flush);
    sfs_free(fs->env, inode);
}

uint64_t sfs_fs_holds(struct sfs_fs *fs, uint64_t ino)
{
    sfs_mutex_lock(&fs->mutex);
    uint64_t holds = (uint64_t)(uintptr_t)sfs_map_get(&fs->holds, ino);
    sfs_mutex_unlock(&fs->mutex);
    return holds;
}

int sfs_fs_hold_add(struct sfs_fs *fs, uint64_t ino)
{
    sfs_mutex_lock(&fs->mutex);
    uintptr_t holds = (uintptr_t)sfs_map_get(&fs->holds, ino);
    int err = sfs_map_put(&fs->holds, ino, (void *)(holds + 1));
    sfs_mutex_unlock(&fs->mutex);
    return err;
}

/* Locked for writing. */
static int load(struct sfs_fs *fs, struct sfs_inode *inode)
{
    uint8_t bytes[SFS_INODE_BYTES];
    uint32_t len;
    int err = sfs_tree_get(fs->store, fs->volume, sfs_fs_key(inode->ino, SFS_KEY_INODE, 0), bytes,
                           sizeof bytes, &len);
    if (err == SCALEFS_E_NOENT && inode->ino == SCALEFS_ROOT && fs->options.read_only) {
        /* A pool that was never opened for writing. */
        inode->value = (struct sfs_inode_value){.mode = SCALEFS_S_IFDIR | 0755u,
                                                .links = 2,
                                                .uid = fs->options.root_uid,
                                                .gid = fs->options.root_gid,
                                                .parent = SCALEFS_ROOT};
        err = SCALEFS_OK;
    } else if (!err) {
        err = sfs_inode_decode(bytes, len, &inode->value);
    }
    if (err == SCALEFS_E_NOENT)
        return SCALEFS_E_STALE;
    if (err == SCALEFS_E_RANGE)
        return SCALEFS_E_CORRUPT;
    if (err)
        return err;
    /* Deleted, and only not yet cleared away. */
    if (!inode->value.links && !sfs_fs_holds(fs, inode->ino))
        return SCALEFS_E_STALE;
    inode->disk_size = inode->value.size;
    sfs_mutex_lock(&fs->mutex);
    bool cut = !fs->options.read_only && sfs_map_get(&fs->cut_first, inode->ino);
    sfs_mutex_unlock(&fs->mutex);
    if (cut) {
        err = sfs_fs_cut_tail(fs, inode->ino, &inode->value, inode->value.size);
        if (err)
            return err;
        sfs_mutex_lock(&fs->mutex);
        sfs_map_remove(&fs->cut_first, inode->ino);
        sfs_mutex_unlock(&fs->mutex);
    }
    inode->loaded = true;
    sfs_mutex_lock(&fs->mutex);
    inode->ready = true;
    sfs_mutex_unlock(&fs->mutex);
    return SCALEFS_OK;
}

int sfs_fs_inode_get(struct sfs_fs *fs, uint64_t ino, struct sfs_inode **out)
{
    *out = NULL;
    sfs_mutex_lock(&fs->mutex);
    struct sfs_inode *inode = sfs_map_get(&fs->inodes, ino);
    if (inode) {
        if (!inode->refs && !inode->listed)
            lru_remove(fs, inode);
    } else {
        inode = make(fs, ino);
        if (inode && sfs_map_put(&fs->inodes, ino, inode)) {
            destroy(fs, inode);
            inode = NULL;
        }
        if (!inode) {
            sfs_mutex_unlock(&fs->mutex);
            return SCALEFS_E_NOMEM;
        }
    }
    inode->refs++;
    bool ready = inode->ready;
    sfs_mutex_unlock(&fs->mutex);
    if (!ready) {
        sfs_rwlock_write(&inode->lock);
        int err = inode->loaded ? SCALEFS_OK : load(fs, inode);
        sfs_rwlock_write_done(&inode->lock);
        if (err) {
            sfs_fs_inode_put(fs, inode);
            return err;
        }
    }
    *out = inode;
    return SCALEFS_OK;
}

/* Takes the least recently used one too many out of the map; the caller destroys it, unlocked. */
static struct sfs_inode *evict(struct sfs_fs *fs)
{
    if (fs->lru_count <= fs->options.inode_cache)
        return NULL;
    struct sfs_inode *old = fs->lru_last;
    lru_remove(fs, old);
    sfs_map_remove(&fs->inodes, old->ino);
    return old;
}

void sfs_fs_inode_put(struct sfs_fs *fs, struct sfs_inode *inode)
{
    if (!inode)
        return;
    struct sfs_inode *dead = NULL;
    sfs_mutex_lock(&fs->mutex);
    SFS_ASSERT(inode->refs > 0);
    if (!--inode->refs && !inode->listed) {
        /* Whoever changed `gone` has given back its reference before: it is safe to read. */
        if (inode->gone || !inode->ready) {
            sfs_map_remove(&fs->inodes, inode->ino);
            dead = inode;
        } else {
            lru_push(fs, inode);
            dead = evict(fs);
        }
    }
    sfs_mutex_unlock(&fs->mutex);
    if (dead)
        destroy(fs, dead);
}

void sfs_fs_inode_adopt(struct sfs_fs *fs, uint64_t ino, const struct sfs_inode_value *value)
{
    struct sfs_inode *inode = make(fs, ino), *dead = NULL;
    if (!inode)
        return; /* it will be loaded */
    inode->value = *value;
    inode->disk_size = value->size;
    inode->loaded = inode->ready = true;
    sfs_mutex_lock(&fs->mutex);
    if (sfs_map_get(&fs->inodes, ino) || sfs_map_put(&fs->inodes, ino, inode)) {
        dead = inode;
    } else {
        lru_push(fs, inode);
        dead = evict(fs);
    }
    sfs_mutex_unlock(&fs->mutex);
    if (dead)
        destroy(fs, dead);
}

struct sfs_time sfs_fs_now(struct sfs_fs *fs)
{
    int64_t ns = sfs_wall_ns(fs->env), s = ns / 1000000000;
    if (ns % 1000000000 < 0)
        s--;
    return (struct sfs_time){.s = s, .ns = (uint32_t)(ns - s * 1000000000)};
}

static struct scalefs_timespec public_time(struct sfs_time t)
{
    return (struct scalefs_timespec){.s = t.s, .ns = t.ns};
}

void sfs_fs_attr_of(uint64_t ino, const struct sfs_inode_value *v, struct scalefs_attr *attr)
{
    if (!attr)
        return;
    *attr = (struct scalefs_attr){
        .ino = ino,
        .mode = v->mode,
        .links = v->links,
        .uid = v->uid,
        .gid = v->gid,
        .size = v->size,
        .allocated = v->allocated,
        .rdev_major = (uint32_t)(v->rdev >> 32),
        .rdev_minor = (uint32_t)v->rdev,
        .atime = public_time(v->atime),
        .mtime = public_time(v->mtime),
        .ctime = public_time(v->ctime),
        .btime = public_time(v->btime),
    };
}

void sfs_fs_attr(const struct sfs_inode *inode, struct scalefs_attr *attr)
{
    sfs_fs_attr_of(inode->ino, &inode->value, attr);
    uint64_t waiting = inode->dirty.bytes + inode->flushing.bytes;
    if (attr && waiting) { /* an estimate: what it will take if nothing of it overwrites anything */
        uint64_t most = attr->allocated > attr->size ? attr->allocated : attr->size;
        attr->allocated = attr->allocated + waiting < most ? attr->allocated + waiting : most;
    }
}

void sfs_fs_put_value(struct sfs_fs *fs, struct sfs_tx *tx, uint64_t ino,
                      const struct sfs_inode_value *value, uint64_t size)
{
    struct sfs_inode_value v = *value;
    uint8_t bytes[SFS_INODE_BYTES];
    v.size = size;
    sfs_inode_encode(&v, bytes);
    sfs_tx_put(tx, fs->volume, sfs_fs_key(ino, SFS_KEY_INODE, 0), bytes, sizeof bytes);
}

int sfs_fs_commit_value(struct sfs_fs *fs, struct sfs_tx *tx, struct sfs_inode *inode,
                        const struct sfs_inode_value *value)
{
    bool file = SFS_FS_ISREG(value->mode);
    if (tx->claim == SFS_CLAIM_NEW && !tx->count) /* attributes alone */
        tx->claim = SFS_CLAIM_NAMES;
    sfs_fs_put_value(fs, tx, inode->ino, value, file ? inode->disk_size : value->size);
    int err = sfs_tx_commit(tx);
    if (err)
        return err;
    inode->value = *value;
    if (!file)
        inode->disk_size = value->size;
    inode->attr_dirty = inode->disk_size != value->size;
    return SCALEFS_OK;
}

uint32_t sfs_fs_killed(uint32_t mode)
{
    if (SFS_FS_ISDIR(mode))
        return mode;
    mode &= ~04000u;
    if (mode & 010)
        mode &= ~02000u;
    return mode;
}

static void unlist(struct sfs_fs *fs, struct sfs_inode *inode)
{
    if (inode->dirty_prev)
        inode->dirty_prev->dirty_next = inode->dirty_next;
    else
        fs->dirty_first = inode->dirty_next;
    if (inode->dirty_next)
        inode->dirty_next->dirty_prev = inode->dirty_prev;
    else
        fs->dirty_last = inode->dirty_prev;
    inode->dirty_prev = inode->dirty_next = NULL;
    inode->listed = false;
}

static void list(struct sfs_fs *fs, struct sfs_inode *inode)
{
    inode->dirty_seq = ++fs->dirty_seq;
    inode->dirty_prev = fs->dirty_last;
    if (fs->dirty_last)
        fs->dirty_last->dirty_next = inode;
    else
        fs->dirty_first = inode;
    fs->dirty_last = inode;
    inode->listed = true;
}

/* While it is being flushed an inode stays in the list, so that whoever wants all data written
 * finds it and waits; when the flush is over it goes to the end of the list or out of it. */
static void account(struct sfs_fs *fs, struct sfs_inode *inode, uint64_t charged, bool relist)
{
    uint64_t wanted = inode->dirty.bytes + inode->flushing.bytes;
    if (inode->reserved > wanted) {
        sfs_store_unreserve(fs->store, inode->reserved - wanted);
        inode->reserved = wanted;
    }
    uint64_t memory = inode->dirty.memory + inode->flushing.memory;
    bool any = inode->dirty.count || inode->flushing.count || inode->attr_dirty;
    sfs_mutex_lock(&fs->mutex);
    SFS_ASSERT(inode->refs > 0 && fs->dirty_memory + memory >= inode->memory + charged);
    fs->dirty_memory = fs->dirty_memory + memory - inode->memory - charged;
    bool less = memory < inode->memory + charged;
    inode->memory = memory;
    if (inode->listed && (!any || relist))
        unlist(fs, inode);
    if (!inode->listed && any) {
        list(fs, inode);
        less = true;
    }
    if (less)
        sfs_cond_broadcast(&fs->dirty_less);
    if (fs->writer_idle && fs->dirty_memory > fs->options.dirty_bytes / 4) {
        fs->writer_idle = false;
        sfs_cond_broadcast(&fs->work);
    }
    sfs_mutex_unlock(&fs->mutex);
}

void sfs_fs_account(struct sfs_fs *fs, struct sfs_inode *inode, uint64_t charged)
{
    account(fs, inode, charged, false);
}

void sfs_fs_relist(struct sfs_fs *fs, struct sfs_inode *inode)
{
    account(fs, inode, 0, true);
}

void sfs_fs_drop_dirty(struct sfs_fs *fs, struct sfs_inode *inode)
{
    sfs_fs_segs_clear(fs->env, &inode->dirty);
    sfs_fs_segs_clear(fs->env, &inode->flushing);
    inode->attr_dirty = false;
    sfs_fs_account(fs, inode, 0);
}

/* Nobody uses the file system any more. */
void sfs_fs_inodes_free(struct sfs_fs *fs)
{
    size_t cursor = 0;
    uint64_t ino;
    void *value;
    while (sfs_map_next(&fs->inodes, &cursor, &ino, &value)) {
        struct sfs_inode *inode = value;
        if (inode->reserved)
            sfs_store_unreserve(fs->store, inode->reserved);
        destroy(fs, inode);
    }
    sfs_map_clear(&fs->inodes);
}

int sfs_fs_set_get(struct sfs_fs *fs, struct sfs_lockset *set, uint64_t ino,
                   struct sfs_inode **inode)
{
    for (unsigned i = 0; i < set->count; i++) {
        if (set->inodes[i]->ino == ino) {
            *inode = set->inodes[i];
            return SCALEFS_OK;
        }
    }
    SFS_ASSERT(set->count < 4);
    int err = sfs_fs_inode_get(fs, ino, inode);
    if (!err)
        set->inodes[set->count++] = *inode;
    return err;
}

void sfs_fs_set_sort(struct sfs_lockset *set)
{
    for (unsigned i = 1; i < set->count; i++)
        for (unsigned j = i; j && set->inodes[j - 1]->ino > set->inodes[j]->ino; j--) {
            struct sfs_inode *swap = set->inodes[j];
            set->inodes[j] = set->inodes[j - 1];
            set->inodes[j - 1] = swap;
        }
}

void sfs_fs_set_lock(struct sfs_lockset *set)
{
    sfs_fs_set_sort(set);
    for (unsigned i = 0; i < set->count; i++)
        sfs_rwlock_write(&set->inodes[i]->lock);
}

void sfs_fs_set_unlock(struct sfs_lockset *set)
{
    for (unsigned i = set->count; i-- > 0;)
        sfs_rwlock_write_done(&set->inodes[i]->lock);
}

void sfs_fs_set_put(struct sfs_fs *fs, struct sfs_lockset *set)
{
    for (unsigned i = 0; i < set->count; i++)
        sfs_fs_inode_put(fs, set->inodes[i]);
    set->count = 0;
}
