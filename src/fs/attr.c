/* Attributes: getattr, setattr (with truncation). */
#include "fs/internal.h"

int sfs_fs_getattr(struct sfs_fs *fs, uint64_t ino, struct scalefs_attr *attr)
{
    struct sfs_inode *inode;
    int err = sfs_fs_inode_get(fs, ino, &inode);
    if (err)
        return err;
    sfs_rwlock_read(&inode->lock);
    if (inode->gone)
        err = SCALEFS_E_STALE;
    else
        sfs_fs_attr(inode, attr);
    sfs_rwlock_read_done(&inode->lock);
    sfs_fs_inode_put(fs, inode);
    return err;
}

static struct sfs_time time_of(struct scalefs_timespec t)
{
    return (struct sfs_time){.s = t.s, .ns = t.ns};
}

static int check(const struct sfs_inode *inode, const struct scalefs_attr *values, unsigned mask)
{
    if (inode->gone)
        return SCALEFS_E_STALE;
    if (mask & SCALEFS_SET_SIZE && !SFS_FS_ISREG(inode->value.mode))
        return SFS_FS_ISDIR(inode->value.mode) ? SCALEFS_E_ISDIR : SCALEFS_E_INVAL;
    if (mask & SCALEFS_SET_SIZE && values->size > SCALEFS_FILE_MAX)
        return SCALEFS_E_FBIG;
    const struct scalefs_timespec *times[] = {&values->atime, &values->mtime, &values->ctime,
                                              &values->btime};
    const unsigned bits[] = {SCALEFS_SET_ATIME, SCALEFS_SET_MTIME, SCALEFS_SET_CTIME,
                             SCALEFS_SET_BTIME};
    for (unsigned i = 0; i < 4; i++)
        if (mask & bits[i] && times[i]->ns > 999999999)
            return SCALEFS_E_INVAL;
    return SCALEFS_OK;
}

static void change(struct sfs_inode_value *v, const struct scalefs_attr *values, unsigned mask,
                   struct sfs_time now)
{
    bool is_dir = SFS_FS_ISDIR(v->mode);
    if (!is_dir && mask & (SCALEFS_SET_UID | SCALEFS_SET_GID | SCALEFS_SET_KILL_SUID))
        v->mode = sfs_fs_killed(v->mode);
    if (mask & SCALEFS_SET_MODE)
        v->mode = (v->mode & SCALEFS_S_IFMT) | (values->mode & 07777u);
    if (mask & SCALEFS_SET_UID)
        v->uid = values->uid;
    if (mask & SCALEFS_SET_GID)
        v->gid = values->gid;
    if (mask & SCALEFS_SET_SIZE)
        v->mtime = now;
    v->ctime = now;
    if (mask & SCALEFS_SET_ATIME)
        v->atime = time_of(values->atime);
    if (mask & SCALEFS_SET_MTIME)
        v->mtime = time_of(values->mtime);
    if (mask & SCALEFS_SET_CTIME)
        v->ctime = time_of(values->ctime);
    if (mask & SCALEFS_SET_BTIME)
        v->btime = time_of(values->btime);
}

/* chmod on an inode with an access ACL changes that too. */
static int change_acl(struct sfs_fs *fs, struct sfs_tx *tx, const struct sfs_inode *inode,
                      uint32_t mode)
{
    uint8_t acl[SFS_ACL_MAX];
    size_t len;
    if (!(inode->value.flags & SFS_FS_HAS_XATTRS))
        return SCALEFS_OK;
    int err = sfs_fs_xattr_read(fs, inode, SFS_ACL_ACCESS, acl, sizeof acl, &len);
    if (err)
        return err == SCALEFS_E_NODATA ? SCALEFS_OK : err;
    sfs_fs_acl_chmod(acl, len, mode);
    return sfs_fs_xattr_put_small(fs, tx, inode->ino, SFS_ACL_ACCESS, acl, len);
}

#define ONLY_TIMES (SCALEFS_SET_ATIME | SCALEFS_SET_MTIME | SCALEFS_SET_CTIME)

/* Times of a file alone, as a kernel with a cache of its own sends them after every write and unlink: they are
 * written with the file's next flush, like the times of the writes themselves. */
static void keep_times(struct sfs_fs *fs, struct sfs_inode *inode, const struct sfs_inode_value *v)
{
    inode->value = *v;
    inode->attr_dirty = true;
    sfs_fs_account(fs, inode, 0);
}

static int setattr_locked(struct sfs_fs *fs, struct sfs_inode *inode,
                          const struct scalefs_attr *values, unsigned mask)
{
    int err = check(inode, values, mask);
    if (err)
        return err;
    struct sfs_inode_value v = inode->value;
    change(&v, values, mask, sfs_fs_now(fs));
    if (!(mask & ~(unsigned)ONLY_TIMES) && SFS_FS_ISREG(v.mode)) {
        keep_times(fs, inode, &v);
        return SCALEFS_OK;
    }
    if (mask & SCALEFS_SET_SIZE) {
        err = sfs_fs_resize(fs, inode, &v, values->size);
        if (err || !(mask & SCALEFS_SET_MODE))
            return err;
        v = inode->value; /* once more, for the ACL */
    }
    struct sfs_tx tx;
    sfs_tx_init(&tx, fs->store);
    if (mask & SCALEFS_SET_MODE)
        err = change_acl(fs, &tx, inode, v.mode);
    if (!err)
        err = sfs_fs_commit_value(fs, &tx, inode, &v);
    sfs_tx_deinit(&tx);
    sfs_fs_account(fs, inode, 0);
    return err;
}

int sfs_fs_setattr(struct sfs_fs *fs, uint64_t ino, const struct scalefs_attr *values,
                   unsigned mask, struct scalefs_attr *attr)
{
    struct sfs_inode *inode;
    if (fs->options.read_only)
        return SCALEFS_E_ROFS;
    int err = sfs_fs_inode_get(fs, ino, &inode);
    if (err)
        return err;
    bool size = mask & SCALEFS_SET_SIZE;
    if (!(mask & ~(unsigned)ONLY_TIMES))
        (void)sfs_store_reserve(fs->store, 0); /* so that a checkpoint comes for them */
    if (size)
        sfs_mutex_lock(&inode->flush);
    sfs_rwlock_write(&inode->lock);
    err = setattr_locked(fs, inode, values, mask);
    if (!err && attr)
        sfs_fs_attr(inode, attr);
    sfs_rwlock_write_done(&inode->lock);
    if (size)
        sfs_mutex_unlock(&inode->flush);
    sfs_fs_inode_put(fs, inode);
    return err;
}
