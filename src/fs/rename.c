/* Rename: up to four inodes and two entries in one transaction.
 *
 * Directories are moved to other parents only under fs->rename, so that the chain of parents stands
 * still while it is searched for loops. A file that replaces another has its data handed to the
 * store first: whoever writes a new version and renames it over the old one finds, after a crash,
 * one of the two.
 */
#include "fs/internal.h"

#include <string.h>

#define DEPTH_MAX 1000000u

struct end { /* one of the two names */
    struct sfs_inode *dir, *inode;
    const char *name;
    size_t len;
    uint64_t dir_ino;
    struct sfs_entry_found found;
    struct sfs_inode_value dir_value, value;
};
struct renaming {
    struct end from, to;
    struct sfs_lockset set;
    unsigned flags;
    bool exchange;
    bool deleted; /* the replaced inode goes with this transaction */
};

static int look(struct sfs_fs *fs, struct end *e)
{
    struct sfs_inode *dir;
    int err = sfs_fs_inode_get(fs, e->dir_ino, &dir);
    if (err)
        return err;
    sfs_rwlock_read(&dir->lock);
    err = sfs_fs_dir_check(dir);
    if (!err)
        err = sfs_fs_entry_find(fs, e->dir_ino, e->name, e->len, &e->found);
    sfs_rwlock_read_done(&dir->lock);
    sfs_fs_inode_put(fs, dir);
    return err;
}

/* Is `dir` the directory `ino`, or somewhere below it? */
static int is_below(struct sfs_fs *fs, uint64_t dir, uint64_t ino, bool *below)
{
    for (unsigned depth = 0; dir != ino && dir != SCALEFS_ROOT; depth++) {
        if (depth == DEPTH_MAX)
            return SCALEFS_E_CORRUPT; /* the parents go round in a circle */
        int err = sfs_fs_parent(fs, dir, &dir);
        if (err)
            return err == SCALEFS_E_STALE ? SCALEFS_E_CHANGED : err;
    }
    *below = dir == ino;
    return SCALEFS_OK;
}

static bool found_dir(const struct end *e)
{
    return e->found.found && e->found.type == SCALEFS_S_IFDIR >> 12;
}

static int check_loops(struct sfs_fs *fs, const struct renaming *r)
{
    bool below = false;
    int err = SCALEFS_OK;
    if (r->from.dir_ino == r->to.dir_ino)
        return SCALEFS_OK;
    if (found_dir(&r->from))
        err = is_below(fs, r->to.dir_ino, r->from.found.ino, &below);
    if (!err && below)
        return SCALEFS_E_INVAL;
    if (!err && r->exchange && found_dir(&r->to))
        err = is_below(fs, r->from.dir_ino, r->to.found.ino, &below);
    return !err && below ? SCALEFS_E_INVAL : err;
}

/* The names as they are now, the four inodes locked. CHANGED: begin again. */
static int look_and_lock(struct sfs_fs *fs, struct renaming *r)
{
    int err = look(fs, &r->from);
    if (!err)
        err = look(fs, &r->to);
    if (err)
        return err;
    if (!r->from.found.found)
        return SCALEFS_E_NOENT;
    if (r->to.found.found && r->flags & SCALEFS_RENAME_NOREPLACE)
        return SCALEFS_E_EXIST;
    if (!r->to.found.found && r->exchange)
        return SCALEFS_E_NOENT;
    err = check_loops(fs, r);
    if (!err)
        err = sfs_fs_set_get(fs, &r->set, r->from.dir_ino, &r->from.dir);
    if (!err)
        err = sfs_fs_set_get(fs, &r->set, r->to.dir_ino, &r->to.dir);
    if (!err)
        err = sfs_fs_set_get(fs, &r->set, r->from.found.ino, &r->from.inode);
    if (!err && r->to.found.found)
        err = sfs_fs_set_get(fs, &r->set, r->to.found.ino, &r->to.inode);
    if (err)
        return err == SCALEFS_E_STALE ? SCALEFS_E_CHANGED : err;
    if (r->to.inode && !r->exchange && r->to.inode != r->from.inode)
        err = sfs_fs_flush_inode(fs, r->from.inode, true);
    if (err)
        return err;
    sfs_fs_set_lock(&r->set);
    return SCALEFS_OK;
}

/* Locked: does the name still mean what it did? */
static int same_still(struct sfs_fs *fs, struct end *e)
{
    struct sfs_entry_found now;
    int err = sfs_fs_dir_check(e->dir);
    if (!err)
        err = sfs_fs_entry_find(fs, e->dir_ino, e->name, e->len, &now);
    if (err)
        return err;
    bool same = now.found == e->found.found && now.ino == e->found.ino;
    e->found = now;
    return same && (!e->inode || !e->inode->gone) ? SCALEFS_OK : SCALEFS_E_CHANGED;
}

static int check_kinds(const struct renaming *r)
{
    const struct sfs_inode *old = r->to.inode;
    if (!old || r->exchange)
        return SCALEFS_OK;
    bool from_dir = SFS_FS_ISDIR(r->from.inode->value.mode), to_dir = SFS_FS_ISDIR(old->value.mode);
    if (from_dir && !to_dir)
        return SCALEFS_E_NOTDIR;
    if (!from_dir && to_dir)
        return SCALEFS_E_ISDIR;
    return to_dir && old->value.entries ? SCALEFS_E_NOTEMPTY : SCALEFS_OK;
}

static void count_dirs(struct renaming *r, struct sfs_time now)
{
    int from_dir = SFS_FS_ISDIR(r->from.inode->value.mode);
    int to_dir = r->to.inode && SFS_FS_ISDIR(r->to.inode->value.mode);
    int lost = r->exchange ? to_dir - from_dir : -from_dir; /* subdirectories of the old parent */
    int won = r->exchange ? from_dir - to_dir : from_dir - to_dir;
    int fewer = r->exchange ? 0 : -1, more = r->exchange || r->to.inode ? 0 : 1;
    if (r->from.dir == r->to.dir) {
        r->from.dir_value = sfs_fs_dir_changed(r->from.dir, now, fewer + more, lost + won);
        r->to.dir_value = r->from.dir_value;
    } else {
        r->from.dir_value = sfs_fs_dir_changed(r->from.dir, now, fewer, lost);
        r->to.dir_value = sfs_fs_dir_changed(r->to.dir, now, more, won);
    }
}

/* The tree's size of an inode of which only other things change. */
static uint64_t disk_size(const struct sfs_inode *inode)
{
    return SFS_FS_ISREG(inode->value.mode) ? inode->disk_size : inode->value.size;
}

static int build(struct sfs_fs *fs, struct sfs_tx *tx, struct renaming *r)
{
    struct end *from = &r->from, *to = &r->to;
    struct sfs_time now = sfs_fs_now(fs);
    count_dirs(r, now);
    from->value = from->inode->value;
    from->value.ctime = now;
    from->value.parent = to->dir_ino;
    int err = SCALEFS_OK;
    if (r->exchange) {
        to->value = to->inode->value;
        to->value.ctime = now;
        to->value.parent = from->dir_ino;
        sfs_fs_entry_put(fs, tx, from->dir_ino, from->found.cookie, to->inode->ino, to->value.mode,
                         from->name, from->len);
        sfs_fs_put_value(fs, tx, to->inode->ino, &to->value, disk_size(to->inode));
    } else {
        sfs_fs_entry_delete(fs, tx, from->dir_ino, from->found.cookie);
        if (to->inode)
            err = sfs_fs_drop_links(fs, tx, to->inode, SFS_FS_ISDIR(to->inode->value.mode) ? 2 : 1,
                                    now, &to->value, &r->deleted);
    }
    uint64_t cookie = to->found.found ? to->found.cookie : to->found.free_cookie;
    sfs_fs_entry_put(fs, tx, to->dir_ino, cookie, from->inode->ino, from->value.mode, to->name,
                     to->len);
    sfs_fs_put_value(fs, tx, from->inode->ino, &from->value, disk_size(from->inode));
    sfs_fs_put_value(fs, tx, from->dir_ino, &from->dir_value, from->dir_value.size);
    if (to->dir != from->dir)
        sfs_fs_put_value(fs, tx, to->dir_ino, &to->dir_value, to->dir_value.size);
    return err;
}

static void take_over(struct sfs_inode *inode, const struct sfs_inode_value *value)
{
    inode->value = *value;
    inode->attr_dirty = SFS_FS_ISREG(value->mode) && inode->disk_size != value->size;
    if (!SFS_FS_ISREG(value->mode))
        inode->disk_size = value->size;
}

static int rename_locked(struct sfs_fs *fs, struct renaming *r)
{
    int err = same_still(fs, &r->from);
    if (!err)
        err = same_still(fs, &r->to);
    if (err)
        return err;
    if (r->to.inode == r->from.inode)
        return SCALEFS_OK; /* two names of one file: nothing is done, as POSIX says */
    err = check_kinds(r);
    if (err)
        return err;
    struct sfs_tx tx;
    sfs_tx_init(&tx, fs->store);
    tx.claim = SFS_CLAIM_NAMES;
    err = build(fs, &tx, r);
    if (!err)
        err = sfs_tx_commit(&tx);
    sfs_tx_deinit(&tx);
    if (err)
        return err;
    take_over(r->from.dir, &r->from.dir_value);
    take_over(r->to.dir, &r->to.dir_value);
    take_over(r->from.inode, &r->from.value);
    sfs_fs_account(fs, r->from.inode, 0);
    if (r->exchange) {
        take_over(r->to.inode, &r->to.value);
        sfs_fs_account(fs, r->to.inode, 0);
    } else if (r->to.inode) {
        sfs_fs_links_dropped(fs, r->to.inode, &r->to.value, r->deleted);
    }
    return SCALEFS_OK;
}

static int rename_once(struct sfs_fs *fs, struct renaming *r)
{
    bool reap = false;
    int err = look_and_lock(fs, r);
    if (!err) {
        err = rename_locked(fs, r);
        reap =
            !err && !r->exchange && r->to.inode && !r->to.inode->gone && !r->to.inode->value.links;
        sfs_fs_set_unlock(&r->set);
    }
    if (reap)
        sfs_fs_reap(fs, r->to.inode);
    sfs_fs_set_put(fs, &r->set);
    return err;
}

static bool dots(const char *name, size_t len)
{
    return (len == 1 || len == 2) && name[0] == '.' && name[len - 1] == '.';
}

int sfs_fs_rename(struct sfs_fs *fs, uint64_t dir, const char *name, size_t name_len,
                  uint64_t new_dir, const char *new_name, size_t new_name_len, unsigned flags)
{
    const unsigned known = SCALEFS_RENAME_NOREPLACE | SCALEFS_RENAME_EXCHANGE;
    if (fs->options.read_only)
        return SCALEFS_E_ROFS;
    if (flags & ~known || flags == known)
        return SCALEFS_E_INVAL;
    int err = sfs_fs_name_check(name, name_len);
    if (!err)
        err = sfs_fs_name_check(new_name, new_name_len);
    if (err)
        return err;
    if (dots(name, name_len) || dots(new_name, new_name_len))
        return SCALEFS_E_BUSY;
    bool across = dir != new_dir;
    if (across)
        sfs_mutex_lock(&fs->rename);
    for (unsigned tries = 0; tries < 1000; tries++) {
        struct renaming r = {.flags = flags, .exchange = flags & SCALEFS_RENAME_EXCHANGE};
        r.from = (struct end){.name = name, .len = name_len, .dir_ino = dir};
        r.to = (struct end){.name = new_name, .len = new_name_len, .dir_ino = new_dir};
        err = rename_once(fs, &r);
        if (err != SCALEFS_E_CHANGED)
            break;
    }
    if (across)
        sfs_mutex_unlock(&fs->rename);
    return err == SCALEFS_E_CHANGED ? SCALEFS_E_CORRUPT : err;
}
