/* Requests on inodes: attributes, extended attributes with what POSIX ACLs make of them, and the
 * calls on files that are not reading and writing (those stand in raw.c). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "drivers/acl.h"
#include "drivers/driver.h"

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

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    struct scalefs_attr attr;
    int code = scalefs_getattr(driver_of(req)->fs, ino, &attr);
    if (code) {
        reply_code(req, code);
        return;
    }
    struct stat st;
    sfs_drivers_stat(&attr, &st);
    fuse_reply_attr(req, &st, DRIVER_VALID_SECONDS);
}

/* An extended attribute, allocated; *value is NULL when there is none. */
static int read_xattr(struct driver *d, uint64_t ino, const char *name, uint8_t **value, size_t *len)
{
    *value = NULL;
    *len = 0;
    for (;;) {
        size_t need;
        int code = scalefs_getxattr(d->fs, ino, name, NULL, 0, &need);
        if (code == SCALEFS_E_NODATA || code == SCALEFS_E_NOTSUP)
            return SCALEFS_OK;
        if (code)
            return code;
        *value = malloc(need ? need : 1);
        if (!*value)
            return SCALEFS_E_NOMEM;
        code = scalefs_getxattr(d->fs, ino, name, *value, need ? need : 1, len);
        if (code == SCALEFS_OK)
            return SCALEFS_OK;
        free(*value);
        *value = NULL;
        if (code == SCALEFS_E_NODATA)
            return SCALEFS_OK;
        if (code != SCALEFS_E_RANGE) /* it grew meanwhile: again */
            return code;
    }
}

/* A list that another program wrote without the kernel's check is treated as not there. */
static int read_acl(struct driver *d, uint64_t ino, const char *name, uint8_t **acl, size_t *len)
{
    int code = read_xattr(d, ino, name, acl, len);
    if (!code && *acl && !sfs_drivers_acl_valid(*acl, *len)) {
        free(*acl);
        *acl = NULL;
    }
    return code;
}

static int remove_if_there(struct driver *d, uint64_t ino, const char *name)
{
    int code = scalefs_removexattr(d->fs, ino, name);
    return code == SCALEFS_E_NODATA ? SCALEFS_OK : code;
}

int sfs_drivers_inherit(struct driver *d, uint64_t dir, uint32_t umask, uint32_t *mode,
                        struct inherited_acl *acl)
{
    *acl = (struct inherited_acl){0};
    int code = read_acl(d, dir, SFS_ACL_DEFAULT, &acl->access, &acl->access_len);
    if (code)
        return code;
    if (!acl->access) {
        *mode &= ~umask;
        return SCALEFS_OK;
    }
    if ((*mode & S_IFMT) == S_IFDIR) {
        acl->dflt = malloc(acl->access_len);
        if (!acl->dflt) {
            sfs_drivers_inherit_free(acl);
            return SCALEFS_E_NOMEM;
        }
        memcpy(acl->dflt, acl->access, acl->access_len);
        acl->dflt_len = acl->access_len;
    }
    sfs_drivers_acl_create(acl->access, acl->access_len, mode);
    if (sfs_drivers_acl_is_mode(acl->access, acl->access_len)) {
        free(acl->access);
        acl->access = NULL;
    }
    return SCALEFS_OK;
}

int sfs_drivers_inherit_apply(struct driver *d, uint64_t ino, struct inherited_acl *acl)
{
    int code = SCALEFS_OK;
    if (acl->access)
        code = scalefs_setxattr(d->fs, ino, SFS_ACL_ACCESS, acl->access, acl->access_len, 0);
    if (!code && acl->dflt)
        code = scalefs_setxattr(d->fs, ino, SFS_ACL_DEFAULT, acl->dflt, acl->dflt_len, 0);
    return code;
}

void sfs_drivers_inherit_free(struct inherited_acl *acl)
{
    free(acl->access);
    free(acl->dflt);
    *acl = (struct inherited_acl){0};
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
        /* A new owner does not inherit what the file was trusted with; directories keep theirs. */
        code = scalefs_getattr(d->fs, ino, attr);
        if (code)
            return code;
        if ((attr->mode & S_IFMT) != S_IFDIR) {
            drops = true;
            if (attr->mode & (S_ISUID | S_ISGID))
                mask |= SCALEFS_SET_KILL_SUID;
        }
    }
    code = scalefs_setattr(d->fs, ino, values, mask, attr);
    if (!code && drops)
        code = remove_if_there(d, ino, XATTR_CAPABILITY);
    if (!code && (mask & SCALEFS_SET_MODE)) {
        uint8_t *acl;
        size_t len;
        code = read_acl(d, ino, SFS_ACL_ACCESS, &acl, &len);
        if (!code && acl) {
            sfs_drivers_acl_chmod(acl, len, attr->mode);
            code = scalefs_setxattr(d->fs, ino, SFS_ACL_ACCESS, acl, len, 0);
        }
        free(acl);
    }
    return code;
}

/* An access list also sets the mode, and where it says no more than a mode can, only the mode. */
static int set_access_acl(struct driver *d, uint64_t ino, const uint8_t *acl, size_t len, unsigned flags,
                          bool kill_sgid)
{
    if (!sfs_drivers_acl_valid(acl, len))
        return SCALEFS_E_INVAL;
    struct scalefs_attr attr;
    int code = scalefs_getattr(d->fs, ino, &attr);
    if (code)
        return code;
    attr.mode = (attr.mode & ~0777u) | sfs_drivers_acl_mode(acl, len);
    if (kill_sgid)
        attr.mode &= ~(uint32_t)S_ISGID;
    if (sfs_drivers_acl_is_mode(acl, len))
        code = remove_if_there(d, ino, SFS_ACL_ACCESS);
    else
        code = scalefs_setxattr(d->fs, ino, SFS_ACL_ACCESS, acl, len, flags);
    if (!code)
        code = scalefs_setattr(d->fs, ino, &attr, SCALEFS_SET_MODE, &attr);
    return code;
}

int sfs_drivers_setxattr(struct driver *d, uint64_t ino, const char *name, const void *value, size_t len,
                         unsigned flags, bool kill_sgid)
{
    unsigned known = 0;
    if (flags & 1) /* XATTR_CREATE */
        known |= SCALEFS_XATTR_CREATE;
    if (flags & 2) /* XATTR_REPLACE */
        known |= SCALEFS_XATTR_REPLACE;
    if (!strcmp(name, SFS_ACL_ACCESS))
        return set_access_acl(d, ino, value, len, known, kill_sgid);
    if (!strcmp(name, SFS_ACL_DEFAULT) && !sfs_drivers_acl_valid(value, len))
        return SCALEFS_E_INVAL;
    return scalefs_setxattr(d->fs, ino, name, value, len, known);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct driver *d = driver_of(req);
    size_t len;
    if (size == 0) {
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
    int code = scalefs_removexattr(driver_of(req)->fs, ino, name);
    /* "No list" is the same as the list that says what the mode says, so it can always be removed. */
    if (code == SCALEFS_E_NODATA && (!strcmp(name, SFS_ACL_ACCESS) || !strcmp(name, SFS_ACL_DEFAULT)))
        code = SCALEFS_OK;
    reply_code(req, code);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)datasync;
    (void)fi;
    reply_code(req, scalefs_fsync(driver_of(req)->fs, ino));
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
    ops->fsyncdir = op_fsync;
    ops->statfs = op_statfs;
    ops->fallocate = op_fallocate;
    ops->copy_file_range = op_copy_file_range;
}
