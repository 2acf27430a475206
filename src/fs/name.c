/* Names given and taken: make, link, unlink, rmdir. Each is one transaction over the directory, its
 * entry and the inode.
 */
#include "fs/internal.h"

#include <string.h>

#define TARGET_MAX 4095u

struct making {
    uint64_t dir;     /* where, or whose defaults it inherits */
    const char *name; /* NULL: no name */
    size_t name_len;
    const char *target; /* symbolic links */
    size_t target_len;
    struct sfs_inode_value value;
};

static int prepare_value(struct sfs_fs *fs, struct sfs_tx *tx, const struct sfs_inode *dir,
                         uint64_t ino, struct making *m)
{
    struct sfs_inode_value *v = &m->value;
    bool is_dir = SFS_FS_ISDIR(v->mode);
    if (dir->value.mode & 02000) {
        v->gid = dir->value.gid;
        if (is_dir)
            v->mode |= 02000;
    }
    v->links = m->name ? 1 + is_dir : 0;
    v->flags = m->name ? 0 : SFS_FS_NAMELESS;
    v->parent = dir->ino;
    v->size = m->target_len;
    v->atime = v->mtime = v->ctime = v->btime = sfs_fs_now(fs);
    return m->target ? SCALEFS_OK : sfs_fs_acl_inherit(fs, tx, dir, ino, v);
}

static int make_locked(struct sfs_fs *fs, struct sfs_tx *tx, struct sfs_inode *dir, uint64_t ino,
                       struct making *m)
{
    struct sfs_entry_found found = {.found = false};
    int err = sfs_fs_dir_check(dir);
    if (!err && m->name)
        err = sfs_fs_entry_find(fs, dir->ino, m->name, m->name_len, &found);
    if (!err && found.found)
        err = SCALEFS_E_EXIST;
    if (!err && m->name && SFS_FS_ISDIR(m->value.mode) && dir->value.links >= SFS_FS_LINKS_MAX)
        err = SCALEFS_E_MLINK;
    if (!err)
        err = prepare_value(fs, tx, dir, ino, m);
    if (err)
        return err;
    sfs_fs_put_value(fs, tx, ino, &m->value, m->value.size);
    sfs_fs_count_inode(fs, tx, 1);
    if (m->target)
        sfs_tx_put(tx, fs->volume, sfs_fs_key(ino, SFS_KEY_SYMLINK, 0), m->target,
                   (uint32_t)m->target_len);
    if (!m->name) {
        uint8_t bytes[8];
        sfs_put64(bytes, UINT64_MAX);
        sfs_tx_put(tx, fs->volume, sfs_fs_key(0, SFS_KEY_ORPHAN, ino), bytes, sizeof bytes);
        return sfs_tx_commit(tx);
    }
    sfs_fs_entry_put(fs, tx, dir->ino, found.free_cookie, ino, m->value.mode, m->name, m->name_len);
    struct sfs_inode_value changed =
        sfs_fs_dir_changed(dir, m->value.ctime, 1, SFS_FS_ISDIR(m->value.mode) ? 1 : 0);
    return sfs_fs_commit_value(fs, tx, dir, &changed);
}

static int make(struct sfs_fs *fs, struct making *m, struct scalefs_attr *attr)
{
    struct sfs_inode *dir;
    if (fs->options.read_only)
        return SCALEFS_E_ROFS;
    int err = m->name ? sfs_fs_name_check(m->name, m->name_len) : SCALEFS_OK;
    if (!err && m->name && m->name[0] == '.' &&
        (m->name_len == 1 || (m->name_len == 2 && m->name[1] == '.')))
        err = SCALEFS_E_EXIST;
    if (!err)
        err = sfs_fs_inode_get(fs, m->dir, &dir);
    if (err)
        return err;
    uint64_t ino = sfs_store_new_id(fs->store);
    struct sfs_tx tx;
    sfs_tx_init(&tx, fs->store);
    sfs_rwlock_write(&dir->lock);
    err = make_locked(fs, &tx, dir, ino, m);
    /* While nobody can find it by its name: later it might have been loaded, changed and forgotten
     * already. */
    if (!err && m->name)
        sfs_fs_inode_adopt(fs, ino, &m->value);
    sfs_rwlock_write_done(&dir->lock);
    sfs_tx_deinit(&tx);
    sfs_fs_inode_put(fs, dir);
    if (err)
        return err;
    sfs_fs_attr_of(ino, &m->value, attr);
    return SCALEFS_OK;
}

static bool type_known(uint32_t mode)
{
    switch (mode & SCALEFS_S_IFMT) {
    case SCALEFS_S_IFREG:
    case SCALEFS_S_IFDIR:
    case SCALEFS_S_IFIFO:
    case SCALEFS_S_IFSOCK:
    case SCALEFS_S_IFCHR:
    case SCALEFS_S_IFBLK:
        return true;
    default:
        return false;
    }
}

int sfs_fs_mknod(struct sfs_fs *fs, uint64_t dir, const char *name, size_t name_len, uint32_t mode,
                 uint32_t rdev_major, uint32_t rdev_minor, struct scalefs_owner owner,
                 struct scalefs_attr *attr)
{
    struct making m = {.dir = dir, .name = name, .name_len = name_len};
    if (!type_known(mode))
        return SCALEFS_E_INVAL;
    uint32_t type = mode & SCALEFS_S_IFMT;
    m.value.mode = mode & (SCALEFS_S_IFMT | 07777u);
    m.value.uid = owner.uid;
    m.value.gid = owner.gid;
    if (type == SCALEFS_S_IFCHR || type == SCALEFS_S_IFBLK)
        m.value.rdev = (uint64_t)rdev_major << 32 | rdev_minor;
    return make(fs, &m, attr);
}

int sfs_fs_symlink(struct sfs_fs *fs, uint64_t dir, const char *name, size_t name_len,
                   const char *target, size_t target_len, struct scalefs_owner owner,
                   struct scalefs_attr *attr)
{
    struct making m = {
        .dir = dir, .name = name, .name_len = name_len, .target = target, .target_len = target_len};
    if (!target_len || memchr(target, 0, target_len))
        return SCALEFS_E_INVAL;
    if (target_len > TARGET_MAX)
        return SCALEFS_E_NAMETOOLONG;
    m.value.mode = SCALEFS_S_IFLNK | 0777u;
    m.value.uid = owner.uid;
    m.value.gid = owner.gid;
    return make(fs, &m, attr);
}

int sfs_fs_tmpfile(struct sfs_fs *fs, uint64_t dir, uint32_t mode, struct scalefs_owner owner,
                   struct scalefs_attr *attr)
{
    struct making m = {.dir = dir};
    struct scalefs_attr made;
    m.value.mode = SCALEFS_S_IFREG | (mode & 07777u);
    m.value.uid = owner.uid;
    m.value.gid = owner.gid;
    int err = make(fs, &m, &made);
    if (err)
        return err;
    /* Nobody else knows the number yet. */
    sfs_mutex_lock(&fs->mutex);
    err = sfs_map_put(&fs->unlinked, made.ino, fs);
    sfs_mutex_unlock(&fs->mutex);
    if (!err)
        err = sfs_fs_hold_add(fs, made.ino);
    if (!err)
        sfs_fs_inode_adopt(fs, made.ino, &m.value);
    if (attr)
        *attr = made;
    return err;
}

int sfs_fs_readlink(struct sfs_fs *fs, uint64_t ino, char *buf, size_t size, size_t *len)
{
    struct sfs_inode *inode;
    uint8_t target[SFS_VALUE_MAX];
    uint32_t n = 0;
    *len = 0;
    int err = sfs_fs_inode_get(fs, ino, &inode);
    if (err)
        return err;
    sfs_rwlock_read(&inode->lock);
    if (inode->gone)
        err = SCALEFS_E_STALE;
    else if ((inode->value.mode & SCALEFS_S_IFMT) != SCALEFS_S_IFLNK)
        err = SCALEFS_E_INVAL;
    else
        err = sfs_tree_get(fs->store, fs->volume, sfs_fs_key(ino, SFS_KEY_SYMLINK, 0), target,
                           sizeof target, &n);
    sfs_rwlock_read_done(&inode->lock);
    sfs_fs_inode_put(fs, inode);
    if (err == SCALEFS_E_NOENT)
        return SCALEFS_E_CORRUPT;
    if (err)
        return err;
    *len = n < size ? n : size; /* cut, as readlink(2) does */
    memcpy(buf, target, *len);
    return SCALEFS_OK;
}

/* --- link
 * ------------------------------------------------------------------------------------------------------
 */

static int link_locked(struct sfs_fs *fs, struct sfs_tx *tx, struct sfs_inode *dir,
                       struct sfs_inode *inode, const char *name, size_t len)
{
    struct sfs_entry_found found;
    int err = sfs_fs_dir_check(dir);
    if (!err && inode->gone)
        err = SCALEFS_E_STALE;
    if (!err && SFS_FS_ISDIR(inode->value.mode))
        err = SCALEFS_E_PERM;
    if (!err && !inode->value.links && !(inode->value.flags & SFS_FS_NAMELESS))
        err = SCALEFS_E_NOENT;
    if (!err && inode->value.links >= SFS_FS_LINKS_MAX)
        err = SCALEFS_E_MLINK;
    if (!err)
        err = sfs_fs_entry_find(fs, dir->ino, name, len, &found);
    if (err)
        return err;
    if (found.found)
        return SCALEFS_E_EXIST;
    struct sfs_inode_value value = inode->value;
    bool first = !value.links;
    if (first) {
        sfs_tx_delete(tx, fs->volume, sfs_fs_key(0, SFS_KEY_ORPHAN, inode->ino));
        value.parent = dir->ino;
    }
    value.flags &= ~SFS_FS_NAMELESS;
    value.links++;
    value.ctime = sfs_fs_now(fs);
    struct sfs_inode_value changed = sfs_fs_dir_changed(dir, value.ctime, 1, 0);
    sfs_fs_entry_put(fs, tx, dir->ino, found.free_cookie, inode->ino, value.mode, name, len);
    sfs_fs_put_value(fs, tx, dir->ino, &changed, changed.size);
    err = sfs_fs_commit_value(fs, tx, inode, &value);
    if (err)
        return err;
    dir->value = changed;
    dir->disk_size = changed.size;
    if (first) {
        sfs_mutex_lock(&fs->mutex);
        sfs_map_remove(&fs->unlinked, inode->ino);
        sfs_mutex_unlock(&fs->mutex);
    }
    sfs_fs_account(fs, inode, 0);
    return SCALEFS_OK;
}

int sfs_fs_link(struct sfs_fs *fs, uint64_t ino, uint64_t dir_ino, const char *name,
                size_t name_len, struct scalefs_attr *attr)
{
    struct sfs_lockset set = {.count = 0};
    struct sfs_inode *dir, *inode;
    if (fs->options.read_only)
        return SCALEFS_E_ROFS;
    int err = sfs_fs_name_check(name, name_len);
    if (!err)
        err = sfs_fs_set_get(fs, &set, dir_ino, &dir);
    if (!err)
        err = sfs_fs_set_get(fs, &set, ino, &inode);
    if (!err && dir == inode)
        err = SCALEFS_E_PERM;
    if (!err) {
        struct sfs_tx tx;
        sfs_tx_init(&tx, fs->store);
        sfs_fs_set_lock(&set);
        err = link_locked(fs, &tx, dir, inode, name, name_len);
        if (!err)
            sfs_fs_attr(inode, attr);
        sfs_fs_set_unlock(&set);
        sfs_tx_deinit(&tx);
    }
    sfs_fs_set_put(fs, &set);
    return err;
}

/* --- unlink, rmdir
 * ------------------------------------------------------------------------------------------------
 */

struct removing {
    struct sfs_inode *dir, *child;
    const char *name;
    size_t len;
    bool want_dir;
    uint64_t ino; /* of the child, as it was found */
};

static int find_for_removal(struct sfs_fs *fs, struct removing *r, struct sfs_lockset *set,
                            uint64_t dir)
{
    struct sfs_entry_found found;
    int err = sfs_fs_set_get(fs, set, dir, &r->dir);
    if (err)
        return err;
    sfs_rwlock_read(&r->dir->lock);
    err = sfs_fs_dir_check(r->dir);
    if (!err)
        err = sfs_fs_entry_find(fs, dir, r->name, r->len, &found);
    sfs_rwlock_read_done(&r->dir->lock);
    if (!err && !found.found)
        err = SCALEFS_E_NOENT;
    if (err)
        return err;
    r->ino = found.ino;
    err = sfs_fs_set_get(fs, set, found.ino, &r->child);
    return err == SCALEFS_E_STALE ? SCALEFS_E_CHANGED : err;
}

/* CHANGED: the name means something else by now. */
static int remove_locked(struct sfs_fs *fs, struct sfs_tx *tx, struct removing *r)
{
    struct sfs_entry_found found;
    int err = sfs_fs_dir_check(r->dir);
    if (!err)
        err = sfs_fs_entry_find(fs, r->dir->ino, r->name, r->len, &found);
    if (err)
        return err;
    if (!found.found)
        return SCALEFS_E_NOENT;
    if (found.ino != r->ino || r->child->gone)
        return SCALEFS_E_CHANGED;
    bool is_dir = SFS_FS_ISDIR(r->child->value.mode);
    if (is_dir != r->want_dir)
        return is_dir ? SCALEFS_E_ISDIR : SCALEFS_E_NOTDIR;
    if (is_dir && r->child->value.entries)
        return SCALEFS_E_NOTEMPTY;
    struct sfs_inode_value value;
    bool deleted;
    struct sfs_inode_value changed =
        sfs_fs_dir_changed(r->dir, sfs_fs_now(fs), -1, is_dir ? -1 : 0);
    sfs_fs_entry_delete(fs, tx, r->dir->ino, found.cookie);
    err = sfs_fs_drop_links(fs, tx, r->child, is_dir ? 2 : 1, changed.ctime, &value, &deleted);
    if (!err)
        err = sfs_fs_commit_value(fs, tx, r->dir, &changed);
    if (!err)
        sfs_fs_links_dropped(fs, r->child, &value, deleted);
    return err;
}

static int remove_name(struct sfs_fs *fs, uint64_t dir, const char *name, size_t len, bool want_dir)
{
    if (fs->options.read_only)
        return SCALEFS_E_ROFS;
    int err = sfs_fs_name_check(name, len);
    if (err)
        return err;
    if (name[0] == '.' && len == 1)
        return SCALEFS_E_INVAL;
    if (name[0] == '.' && len == 2 && name[1] == '.')
        return SCALEFS_E_NOTEMPTY;
    unsigned tries = 0;
    do {
        struct removing r = {.name = name, .len = len, .want_dir = want_dir};
        struct sfs_lockset set = {.count = 0};
        struct sfs_tx tx;
        bool reap = false;
        err = find_for_removal(fs, &r, &set, dir);
        if (!err) {
            sfs_tx_init(&tx, fs->store);
            sfs_fs_set_lock(&set);
            err = remove_locked(fs, &tx, &r);
            reap = !err && !r.child->value.links && !r.child->gone;
            sfs_fs_set_unlock(&set);
            sfs_tx_deinit(&tx);
        }
        if (reap)
            sfs_fs_reap(fs, r.child);
        sfs_fs_set_put(fs, &set);
    } while (err == SCALEFS_E_CHANGED && ++tries < 1000);
    /* A name that leads to no inode, however often one looks. */
    return err == SCALEFS_E_CHANGED ? SCALEFS_E_CORRUPT : err;
}

int sfs_fs_unlink(struct sfs_fs *fs, uint64_t dir, const char *name, size_t name_len)
{
    return remove_name(fs, dir, name, name_len, false);
}

int sfs_fs_rmdir(struct sfs_fs *fs, uint64_t dir, const char *name, size_t name_len)
{
    return remove_name(fs, dir, name, name_len, true);
}
