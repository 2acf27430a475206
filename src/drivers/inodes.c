/* Requests on inodes: attributes, extended attributes, and the calls on files that are not reading and
 * writing (those stand in raw.c). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include "drivers/driver.h"

#define XATTR_ACL_ACCESS "system.posix_acl_access"
#define XATTR_ACL_DEFAULT "system.posix_acl_default"
#define XATTR_CAPABILITY "security.capability"
#define XATTR_MAX 65536u

static struct driver *driver_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static void reply_code(fuse_req_t req, int code)
{
    fuse_reply_err(req, sfs_drivers_errno(code));
}

static bool asks_full(fuse_req_t req, uint64_t ino, enum full_question question)
{
    return sfs_drivers_full_ask(driver_of(req), ino, fuse_req_ctx(req)->pid, question);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct scalefs_attr attr;
    int code = scalefs_getattr(driver_of(req)->fs, ino, &attr);
    if (code) {
        reply_code(req, code);
        return;
    }
    struct stat st;
    sfs_drivers_stat(&attr, &st);
    /* Asked for an open file it may be a writer that is to be told of the full pool: it shall ask each time. */
    fuse_reply_attr(req, &st, fi && asks_full(req, ino, FULL_ATTRIBUTES) ? 0.0 : DRIVER_VALID_SECONDS);
}

static int remove_if_there(struct driver *d, uint64_t ino, const char *name)
{
    int code = scalefs_removexattr(d->fs, ino, name);
    return code == SCALEFS_E_NODATA ? SCALEFS_OK : code;
}

int sfs_drivers_new_mode(struct driver *d, uint64_t dir, uint32_t umask, uint32_t *mode)
{
    size_t len;
    int code = scalefs_getxattr(d->fs, dir, XATTR_ACL_DEFAULT, NULL, 0, &len);
    if (code == SCALEFS_E_NODATA || code == SCALEFS_E_NOTSUP) {
        *mode &= ~umask;
        return SCALEFS_OK;
    }
    return code;
}

int sfs_drivers_drop_privileges(struct driver *d, uint64_t ino)
{
    struct scalefs_attr attr;
    int code = scalefs_getattr(d->fs, ino, &attr);
    if (!code && (attr.mode & (S_ISUID | S_ISGID)))
        code = scalefs_setattr(d->fs, ino, &attr, SCALEFS_SET_KILL_SUID, &attr);
    if (!code)
        code = remove_if_there(d, ino, XATTR_CAPABILITY);
    return code;
}

int sfs_drivers_setattr(struct driver *d, uint64_t ino, const struct scalefs_attr *values, unsigned mask,
                        struct scalefs_attr *attr)
{
    bool drops = mask & SCALEFS_SET_KILL_SUID;
    int code;
    if (mask & (SCALEFS_SET_UID | SCALEFS_SET_GID)) {
        /* A new owner does not inherit what the file was trusted with; directories keep theirs. (The
         * library drops the set-id bits.) */
        code = scalefs_getattr(d->fs, ino, attr);
        if (code)
            return code;
        drops |= (attr->mode & S_IFMT) != S_IFDIR;
    }
    code = scalefs_setattr(d->fs, ino, values, mask, attr);
    if (!code && drops)
        code = remove_if_there(d, ino, XATTR_CAPABILITY);
    return code;
}

int sfs_drivers_setxattr(struct driver *d, uint64_t ino, const char *name, const void *value, size_t len,
                         unsigned flags, bool kill_sgid)
{
    unsigned known = 0;
    if (flags & XATTR_CREATE)
        known |= SCALEFS_XATTR_CREATE;
    if (flags & XATTR_REPLACE)
        known |= SCALEFS_XATTR_REPLACE;
    int code = scalefs_setxattr(d->fs, ino, name, value, len, known);
    struct scalefs_attr attr;
    if (code || !kill_sgid)
        return code;
    /* An access list, set by someone outside the file's group. */
    code = scalefs_getattr(d->fs, ino, &attr);
    if (code || !(attr.mode & S_ISGID))
        return code;
    attr.mode &= ~(uint32_t)S_ISGID;
    return scalefs_setattr(d->fs, ino, &attr, SCALEFS_SET_MODE, &attr);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct driver *d = driver_of(req);
    size_t len;
    if (size == 0) {
        if (!strcmp(name, XATTR_CAPABILITY) && asks_full(req, ino, FULL_CAPABILITIES)) {
            fuse_reply_xattr(req, 1);
            return;
        }
        int code = scalefs_getxattr(d->fs, ino, name, NULL, 0, &len);
        if (code)
            reply_code(req, code);
        else
            fuse_reply_xattr(req, len);
        return;
    }
    char *value = malloc(size);
    int code = value ? scalefs_getxattr(d->fs, ino, name, value, size, &len) : SCALEFS_E_NOMEM;
    if (code)
        reply_code(req, code);
    else
        fuse_reply_buf(req, value, len);
    free(value);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct driver *d = driver_of(req);
    size_t len;
    if (size == 0) {
        int code = scalefs_listxattr(d->fs, ino, NULL, 0, &len);
        if (!code && len > XATTR_MAX)
            code = SCALEFS_E_TOOBIG;
        if (code)
            reply_code(req, code);
        else
            fuse_reply_xattr(req, len);
        return;
    }
    char *names = malloc(size);
    int code = names ? scalefs_listxattr(d->fs, ino, names, size, &len) : SCALEFS_E_NOMEM;
    if (code)
        reply_code(req, code);
    else
        fuse_reply_buf(req, names, len);
    free(names);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    if (!strcmp(name, XATTR_CAPABILITY) && asks_full(req, ino, FULL_TELLING)) {
        fuse_reply_err(req, ENOSPC);
        return;
    }
    int code = scalefs_removexattr(driver_of(req)->fs, ino, name);
    /* "No list" is the same as the list that says what the mode says, so it can always be removed. */
    if (code == SCALEFS_E_NODATA && (!strcmp(name, XATTR_ACL_ACCESS) || !strcmp(name, XATTR_ACL_DEFAULT)))
        code = SCALEFS_OK;
    reply_code(req, code);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)datasync;
    (void)fi;
    reply_code(req, scalefs_fsync(driver_of(req)->fs, ino));
}

/* sync(2) does not come as far as this; fsync of the root folder stands for it: `sync MOUNTPOINT` makes everything durable
 * that the kernel has handed over. */
static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    if (ino == FUSE_ROOT_ID)
        reply_code(req, scalefs_pool_sync(driver_of(req)->pool));
    else
        op_fsync(req, ino, datasync, fi);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    (void)ino;
    struct scalefs_statfs s;
    int code = scalefs_statfs(driver_of(req)->fs, &s);
    if (code) {
        reply_code(req, code);
        return;
    }
    const unsigned block = 4096;
    struct statvfs st = {
        .f_bsize = block,
        .f_frsize = block,
        .f_blocks = s.total / block,
        .f_bfree = s.free / block,
        .f_bavail = s.free / block,
        /* Inodes have no limit of their own; an empty file takes less than a block. */
        .f_files = s.files + s.free / block,
        .f_ffree = s.free / block,
        .f_favail = s.free / block,
        .f_namemax = SCALEFS_NAME_MAX,
    };
    fuse_reply_statfs(req, &st);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                         struct fuse_file_info *fi)
{
    (void)fi;
    struct driver *d = driver_of(req);
    unsigned flags = 0;
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) {
        fuse_reply_err(req, EOPNOTSUPP);
        return;
    }
    if (mode & FALLOC_FL_KEEP_SIZE)
        flags |= SCALEFS_FALLOC_KEEP_SIZE;
    if (mode & FALLOC_FL_PUNCH_HOLE)
        flags |= SCALEFS_FALLOC_PUNCH_HOLE;
    if (mode & FALLOC_FL_ZERO_RANGE)
        flags |= SCALEFS_FALLOC_ZERO_RANGE;
    int code = scalefs_fallocate(d->fs, ino, flags, (uint64_t)offset, (uint64_t)length);
    if (!code && fuse_req_ctx(req)->uid != 0)
        code = sfs_drivers_drop_privileges(d, ino);
    reply_code(req, code);
}

static void op_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_offset,
                               struct fuse_file_info *from_fi, fuse_ino_t to, off_t to_offset,
                               struct fuse_file_info *to_fi, size_t len, int flags)
{
    (void)from_fi;
    (void)to_fi;
    struct driver *d = driver_of(req);
    if (flags) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    if (len > 1u << 30) /* the answer has 32 bits; the caller goes on from there */
        len = 1u << 30;
    uint64_t done = 0;
    int code = scalefs_copy_range(d->fs, from, (uint64_t)from_offset, to, (uint64_t)to_offset, len, &done);
    if (!code && fuse_req_ctx(req)->uid != 0)
        code = sfs_drivers_drop_privileges(d, to);
    if (code)
        reply_code(req, code);
    else
        fuse_reply_write(req, done);
}

void sfs_drivers_inode_ops(struct fuse_lowlevel_ops *ops)
{
    ops->getattr = op_getattr;
    ops->getxattr = op_getxattr;
    ops->listxattr = op_listxattr;
    ops->removexattr = op_removexattr;
    ops->fsync = op_fsync;
    ops->fsyncdir = op_fsyncdir;
    ops->statfs = op_statfs;
    ops->fallocate = op_fallocate;
    ops->copy_file_range = op_copy_file_range;
}
