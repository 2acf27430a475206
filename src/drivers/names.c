/* Requests on names and directories. Each answer that hands out an inode takes one hold for the
 * kernel, which gives it back with FORGET; when the answer does not arrive, it is given back here. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "drivers/driver.h"

static struct driver *driver_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static void reply_code(fuse_req_t req, int code)
{
    fuse_reply_err(req, sfs_drivers_errno(code));
}

void sfs_drivers_stat(const struct scalefs_attr *attr, struct stat *st)
{
    *st = (struct stat){
        .st_ino = attr->ino,
        .st_mode = attr->mode,
        .st_nlink = attr->links,
        .st_uid = attr->uid,
        .st_gid = attr->gid,
        .st_rdev = makedev(attr->rdev_major, attr->rdev_minor),
        .st_size = (off_t)attr->size,
        .st_blksize = 128 << 10,
        .st_blocks = (blkcnt_t)((attr->allocated + 511) / 512),
        .st_atim = {.tv_sec = attr->atime.s, .tv_nsec = attr->atime.ns},
        .st_mtim = {.tv_sec = attr->mtime.s, .tv_nsec = attr->mtime.ns},
        .st_ctim = {.tv_sec = attr->ctime.s, .tv_nsec = attr->ctime.ns},
    };
}

void sfs_drivers_entry(const struct scalefs_attr *attr, struct fuse_entry_param *entry)
{
    /* The generation may stay 0: inode numbers are never used twice. */
    *entry = (struct fuse_entry_param){
        .ino = attr->ino,
        .attr_timeout = DRIVER_VALID_SECONDS,
        .entry_timeout = DRIVER_VALID_SECONDS,
    };
    sfs_drivers_stat(attr, &entry->attr);
}

/* Answers with an inode that a call has just found or made. */
static void reply_entry(fuse_req_t req, int code, const struct scalefs_attr *attr)
{
    struct driver *d = driver_of(req);
    struct fuse_entry_param entry;
    if (code == SCALEFS_OK)
        code = scalefs_hold(d->fs, attr->ino);
    if (code) {
        reply_code(req, code);
        return;
    }
    sfs_drivers_entry(attr, &entry);
    if (fuse_reply_entry(req, &entry))
        scalefs_release_hold(d->fs, attr->ino, 1);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct driver *d = driver_of(req);
    struct scalefs_attr attr;
    int code;
    if (!strcmp(name, ".")) { /* file handles (export_support): any inode by its number */
        code = scalefs_getattr(d->fs, parent, &attr);
    } else if (!strcmp(name, "..")) {
        uint64_t up;
        code = scalefs_parent(d->fs, parent, &up);
        if (!code)
            code = scalefs_getattr(d->fs, up, &attr);
    } else {
        code = scalefs_lookup(d->fs, parent, name, strlen(name), &attr);
        if (code == SCALEFS_E_NOENT) {
            /* The kernel may remember that, too. */
            struct fuse_entry_param none = {.entry_timeout = DRIVER_VALID_SECONDS};
            fuse_reply_entry(req, &none);
            return;
        }
    }
    reply_entry(req, code, &attr);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
    if (ino != FUSE_ROOT_ID) {
        scalefs_release_hold(driver_of(req)->fs, ino, count);
        sfs_drivers_full_forgotten(driver_of(req), ino);
    }
    fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    struct driver *d = driver_of(req);
    for (size_t i = 0; i < count; i++)
        if (forgets[i].ino != FUSE_ROOT_ID) {
            scalefs_release_hold(d->fs, forgets[i].ino, forgets[i].nlookup);
            sfs_drivers_full_forgotten(d, forgets[i].ino);
        }
    fuse_reply_none(req);
}

static struct scalefs_owner owner_of(fuse_req_t req)
{
    const struct fuse_ctx *context = fuse_req_ctx(req);
    return (struct scalefs_owner){.uid = context->uid, .gid = context->gid};
}

/* A new inode of any type but a symbolic link. */
static int make(fuse_req_t req, uint64_t dir, const char *name, uint32_t mode, dev_t rdev,
                struct scalefs_attr *attr)
{
    struct driver *d = driver_of(req);
    int code = sfs_drivers_new_mode(d, dir, fuse_req_ctx(req)->umask, &mode);
    if (code)
        return code;
    return scalefs_mknod(d->fs, dir, name, strlen(name), mode, major(rdev), minor(rdev), owner_of(req),
                         attr);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    struct scalefs_attr attr;
    int code = make(req, parent, name, mode, rdev, &attr);
    reply_entry(req, code, &attr);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct scalefs_attr attr;
    int code = make(req, parent, name, (mode & ~(mode_t)S_IFMT) | S_IFDIR, 0, &attr);
    reply_entry(req, code, &attr);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    struct scalefs_attr attr;
    int code = scalefs_symlink(driver_of(req)->fs, parent, name, strlen(name), target, strlen(target),
                               owner_of(req), &attr);
    reply_entry(req, code, &attr);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    struct scalefs_attr attr;
    int code = scalefs_link(driver_of(req)->fs, ino, parent, name, strlen(name), &attr);
    reply_entry(req, code, &attr);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    char target[4096];
    size_t len;
    int code = scalefs_readlink(driver_of(req)->fs, ino, target, sizeof target - 1, &len);
    if (code) {
        reply_code(req, code);
        return;
    }
    if (len > sizeof target - 1)
        len = sizeof target - 1;
    target[len] = '\0';
    fuse_reply_readlink(req, target);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    reply_code(req, scalefs_unlink(driver_of(req)->fs, parent, name, strlen(name)));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    reply_code(req, scalefs_rmdir(driver_of(req)->fs, parent, name, strlen(name)));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                      const char *new_name, unsigned int flags)
{
    unsigned known = 0;
    if (flags & RENAME_NOREPLACE)
        known |= SCALEFS_RENAME_NOREPLACE;
    if (flags & RENAME_EXCHANGE)
        known |= SCALEFS_RENAME_EXCHANGE;
    if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    reply_code(req, scalefs_rename(driver_of(req)->fs, parent, name, strlen(name), new_parent, new_name,
                                   strlen(new_name), known));
}

/* One answer to READDIR or READDIRPLUS while it is being filled. */
struct listing {
    fuse_req_t req;
    bool plus;
    char *buf;
    size_t size, used;
    /* plus: which entries need a hold, and where their inode number stands in buf */
    struct {
        uint64_t ino;
        size_t at;
    } * taken;
    size_t taken_count, taken_room;
};

static bool add_entry(struct listing *l, const char *name, const struct fuse_entry_param *entry,
                      uint64_t next)
{
    size_t room = l->size - l->used;
    size_t need = l->plus ? fuse_add_direntry_plus(l->req, l->buf + l->used, room, name, entry, (off_t)next)
                          : fuse_add_direntry(l->req, l->buf + l->used, room, name, &entry->attr,
                                              (off_t)next);
    if (need > room)
        return false;
    l->used += need;
    return true;
}

static bool list_one(void *context, const struct scalefs_dirent *e)
{
    struct listing *l = context;
    struct fuse_entry_param entry;
    char name[1025]; /* the kernel's limit */
    if (e->name_len >= sizeof name)
        return true;
    if (l->plus && l->taken_count == l->taken_room)
        return false;
    memcpy(name, e->name, e->name_len);
    name[e->name_len] = '\0';
    if (e->attr)
        sfs_drivers_entry(e->attr, &entry);
    else
        entry = (struct fuse_entry_param){.attr = {.st_ino = e->ino, .st_mode = e->type}};
    size_t at = l->used;
    if (!add_entry(l, name, &entry, e->cookie))
        return false;
    if (l->plus && e->attr) {
        l->taken[l->taken_count].ino = e->ino;
        l->taken[l->taken_count++].at = at;
    }
    return true;
}

/* "." and ".." stand before the library's entries, at offsets 1 and 2. */
static int list_dots(struct listing *l, uint64_t dir, uint64_t *offset)
{
    static const char *const names[] = {".", ".."};
    for (; *offset < 2; ++*offset) {
        uint64_t ino = dir;
        if (*offset == 1) {
            int code = scalefs_parent(driver_of(l->req)->fs, dir, &ino);
            if (code)
                return code;
        }
        struct fuse_entry_param entry = {.attr = {.st_ino = ino, .st_mode = S_IFDIR}};
        if (!add_entry(l, names[*offset], &entry, *offset + 1))
            break;
    }
    return SCALEFS_OK;
}

/* Takes the holds, after the library has let go of the directory. An inode that is gone meanwhile
 * stays in the listing without being handed out: its number in front of the entry becomes 0. */
static void hold_listed(struct listing *l)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->taken_count; i++) {
        if (scalefs_hold(driver_of(l->req)->fs, l->taken[i].ino) == SCALEFS_OK)
            l->taken[kept++] = l->taken[i];
        else
            memset(l->buf + l->taken[i].at, 0, sizeof(uint64_t));
    }
    l->taken_count = kept;
}

static void list(fuse_req_t req, uint64_t dir, size_t size, off_t off, bool plus)
{
    struct driver *d = driver_of(req);
    /* An entry takes more than 128 bytes with, more than 24 without attributes. */
    struct listing l = {.req = req, .plus = plus, .size = size, .taken_room = size / 128 + 1};
    uint64_t offset = (uint64_t)off;
    l.buf = malloc(size ? size : 1);
    l.taken = plus ? malloc(l.taken_room * sizeof *l.taken) : NULL;
    int code = SCALEFS_OK;
    if (!l.buf || (plus && !l.taken))
        code = SCALEFS_E_NOMEM;
    if (!code)
        code = list_dots(&l, dir, &offset);
    if (!code && offset >= 2)
        code = scalefs_readdir(d->fs, dir, offset == 2 ? 0 : offset, plus, list_one, &l);
    if (code) {
        reply_code(req, code);
    } else {
        hold_listed(&l);
        if (fuse_reply_buf(req, l.buf, l.used))
            for (size_t i = 0; i < l.taken_count; i++)
                scalefs_release_hold(d->fs, l.taken[i].ino, 1);
    }
    free(l.taken);
    free(l.buf);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    (void)fi;
    list(req, ino, size, off, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                           struct fuse_file_info *fi)
{
    (void)fi;
    list(req, ino, size, off, true);
}

void sfs_drivers_name_ops(struct fuse_lowlevel_ops *ops)
{
    ops->lookup = op_lookup;
    ops->forget = op_forget;
    ops->forget_multi = op_forget_multi;
    ops->mknod = op_mknod;
    ops->mkdir = op_mkdir;
    /* No create: the kernel then makes files with MKNOD, and as it need not open them, it need not tell when they are
     * closed. Names are made under the directory's lock there, so nobody comes between its LOOKUP and that. */
    ops->symlink = op_symlink;
    ops->link = op_link;
    ops->readlink = op_readlink;
    ops->unlink = op_unlink;
    ops->rmdir = op_rmdir;
    ops->rename = op_rename;
    ops->readdir = op_readdir;
    ops->readdirplus = op_readdirplus;
}
