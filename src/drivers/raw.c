/* Requests answered without libfuse: reading and writing, because there every copy and allocation
 * counts, and those that this libfuse does not know or tells only in part:
 *
 *   SETATTR, SETXATTR  with the kernel's wish to drop set-id bits (HANDLE_KILLPRIV_V2, SETXATTR_EXT)
 *   TMPFILE            O_TMPFILE
 *   STATX              for the time of birth
 *   OPEN, OPENDIR      nothing is kept for open files: told once, the kernel no longer asks, and keeps its caches (this
 *                      libfuse would say "opened", and be asked before each first read and after each last one)
 *   INTERRUPT          nothing here can be interrupted; told once, the kernel stops asking
 *   INIT               remembered on its way, so that the answer can be completed
 *
 * HANDLE_KILLPRIV_V2 matters for speed, not only for set-id bits: without it the kernel asks for
 * security.capability before every single write.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "drivers/driver.h"

#define REPLY_DATA 4096u /* where the data of a reply begin; the header stands just before */

/* From protocol 7.39 on; the headers of the distribution stop before. */
enum { OPCODE_STATX = 52 };
struct statx_in {
    uint32_t getattr_flags, reserved;
    uint64_t fh;
    uint32_t sx_flags, sx_mask;
};
struct statx_time {
    int64_t s;
    uint32_t ns;
    int32_t reserved;
};
struct statx_out {
    uint64_t attr_valid;
    uint32_t attr_valid_nsec, flags;
    uint64_t spare[2];
    uint32_t mask, blksize;
    uint64_t attributes;
    uint32_t nlink, uid, gid;
    uint16_t mode, spare0;
    uint64_t ino, size, blocks, attributes_mask;
    struct statx_time atime, btime, ctime, mtime;
    uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
    uint64_t spare2[14];
};
enum { STATX_BASIC_AND_BTIME = 0xfff };

/* The whole answer stands in memory: header and payload. An error here means that the kernel no
 * longer wants it (ENOENT) or is gone (ENODEV): nobody to tell. */
static bool send_bytes(struct driver *d, void *bytes, size_t len)
{
    return write(d->fuse_fd, bytes, len) == (ssize_t)len;
}

static void send_error(struct driver *d, const struct fuse_in_header *in, int error)
{
    struct fuse_out_header out = {.len = sizeof out, .error = -error, .unique = in->unique};
    send_bytes(d, &out, sizeof out);
}

static void send_code(struct driver *d, const struct fuse_in_header *in, int code)
{
    send_error(d, in, sfs_drivers_errno(code));
}

static void fill_attr(const struct scalefs_attr *a, struct fuse_attr *out)
{
    struct stat st;
    sfs_drivers_stat(a, &st);
    *out = (struct fuse_attr){
        .ino = st.st_ino,
        .size = (uint64_t)st.st_size,
        .blocks = (uint64_t)st.st_blocks,
        .atime = (uint64_t)st.st_atim.tv_sec,
        .mtime = (uint64_t)st.st_mtim.tv_sec,
        .ctime = (uint64_t)st.st_ctim.tv_sec,
        .atimensec = (uint32_t)st.st_atim.tv_nsec,
        .mtimensec = (uint32_t)st.st_mtim.tv_nsec,
        .ctimensec = (uint32_t)st.st_ctim.tv_nsec,
        .mode = st.st_mode,
        .nlink = (uint32_t)st.st_nlink,
        .uid = st.st_uid,
        .gid = st.st_gid,
        .rdev = (uint32_t)st.st_rdev,
        .blksize = (uint32_t)st.st_blksize,
    };
}

static void do_read(struct worker *w, const struct fuse_in_header *in, const struct fuse_read_in *arg)
{
    struct driver *d = w->driver;
    uint8_t *data = w->reply + REPLY_DATA;
    size_t size = arg->size < DRIVER_MAX_TRANSFER ? arg->size : DRIVER_MAX_TRANSFER;
    size_t done = 0;
    int code = scalefs_read(d->fs, in->nodeid, arg->offset, data, size, &done);
    if (code) {
        send_code(d, in, code);
        return;
    }
    struct fuse_out_header out = {.len = (uint32_t)(sizeof out + done), .unique = in->unique};
    memcpy(data - sizeof out, &out, sizeof out);
    send_bytes(d, data - sizeof out, sizeof out + done);
}

static void do_write(struct worker *w, const struct fuse_write_in *arg, uint8_t *data)
{
    struct driver *d = w->driver;
    const struct fuse_in_header *in = &w->last; /* the request's memory may be kept */
    uint32_t size = arg->size;
    int code = SCALEFS_OK;
    /* First, so that no cut leaves what an ordinary user wrote with somebody else's rights. */
    if (arg->write_flags & FUSE_WRITE_KILL_SUIDGID)
        code = sfs_drivers_drop_privileges(d, in->nodeid);
    if (!code)
        code = w->given ? scalefs_write_keep(d->fs, in->nodeid, arg->offset, &w->given, data, size)
                        : scalefs_write(d->fs, in->nodeid, arg->offset, data, size);
    if (code) {
        send_code(d, in, code);
        if (code == SCALEFS_E_NOSPC)
            sfs_drivers_full_note(d, in->nodeid);
        return;
    }
    struct {
        struct fuse_out_header out;
        struct fuse_write_out arg;
    } reply = {.out = {.len = sizeof reply, .unique = in->unique}, .arg = {.size = size}};
    send_bytes(d, &reply, sizeof reply);
}

static void do_setattr(struct driver *d, const struct fuse_in_header *in,
                       const struct fuse_setattr_in *arg)
{
    struct scalefs_attr values = {
        .mode = arg->mode,
        .uid = arg->uid,
        .gid = arg->gid,
        .size = arg->size,
        .atime = {.s = (int64_t)arg->atime, .ns = arg->atimensec},
        .mtime = {.s = (int64_t)arg->mtime, .ns = arg->mtimensec},
        .ctime = {.s = (int64_t)arg->ctime, .ns = arg->ctimensec},
    };
    static const struct {
        unsigned theirs, ours;
    } bits[] = {
        {FATTR_MODE, SCALEFS_SET_MODE},   {FATTR_UID, SCALEFS_SET_UID},
        {FATTR_GID, SCALEFS_SET_GID},     {FATTR_SIZE, SCALEFS_SET_SIZE},
        {FATTR_ATIME, SCALEFS_SET_ATIME}, {FATTR_MTIME, SCALEFS_SET_MTIME},
        {FATTR_CTIME, SCALEFS_SET_CTIME}, {FATTR_KILL_SUIDGID, SCALEFS_SET_KILL_SUID},
    };
    unsigned mask = 0;
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++)
        if (arg->valid & bits[i].theirs)
            mask |= bits[i].ours;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct scalefs_timespec t = {.s = now.tv_sec, .ns = (uint32_t)now.tv_nsec};
    if (arg->valid & FATTR_ATIME_NOW)
        values.atime = t;
    if (arg->valid & FATTR_MTIME_NOW)
        values.mtime = t;

    struct scalefs_attr attr;
    int code = sfs_drivers_setattr(d, in->nodeid, &values, mask, &attr);
    if (code) {
        send_code(d, in, code);
        return;
    }
    struct {
        struct fuse_out_header out;
        struct fuse_attr_out arg;
    } reply = {.out = {.len = sizeof reply, .unique = in->unique},
               .arg = {.attr_valid = (uint64_t)DRIVER_VALID_SECONDS}};
    fill_attr(&attr, &reply.arg.attr);
    send_bytes(d, &reply, sizeof reply);
}

/* name and value follow the argument. */
static void do_setxattr(struct driver *d, const struct fuse_in_header *in, const uint8_t *arg, size_t len)
{
    bool extended = d->kernel_flags & FUSE_SETXATTR_EXT;
    size_t fixed = extended ? sizeof(struct fuse_setxattr_in) : FUSE_COMPAT_SETXATTR_IN_SIZE;
    struct fuse_setxattr_in a = {0};
    const char *name = (const char *)arg + fixed;
    size_t name_len = len > fixed ? strnlen(name, len - fixed) : 0;
    if (len > fixed)
        memcpy(&a, arg, fixed);
    if (len <= fixed || name_len == len - fixed || a.size > len - fixed - name_len - 1) {
        send_error(d, in, EINVAL);
        return;
    }
    bool kill_sgid = a.setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID;
    send_code(d, in,
              sfs_drivers_setxattr(d, in->nodeid, name, name + name_len + 1, a.size, a.flags, kill_sgid));
}

static void do_tmpfile(struct driver *d, const struct fuse_in_header *in,
                       const struct fuse_create_in *arg)
{
    struct scalefs_owner owner = {.uid = in->uid, .gid = in->gid};
    struct scalefs_attr attr;
    uint32_t mode = (arg->mode & ~SCALEFS_S_IFMT) | SCALEFS_S_IFREG;
    int code = sfs_drivers_new_mode(d, in->nodeid, arg->umask, &mode);
    if (!code)
        code = scalefs_tmpfile(d->fs, in->nodeid, mode, owner, &attr);
    if (code) {
        send_code(d, in, code);
        return;
    }
    struct {
        struct fuse_out_header out;
        struct fuse_entry_out entry;
        struct fuse_open_out open;
    } reply = {.out = {.len = sizeof reply, .unique = in->unique},
               .entry = {.nodeid = attr.ino,
                         .entry_valid = (uint64_t)DRIVER_VALID_SECONDS,
                         .attr_valid = (uint64_t)DRIVER_VALID_SECONDS},
               .open = {.open_flags = FOPEN_KEEP_CACHE}};
    fill_attr(&attr, &reply.entry.attr);
    if (!send_bytes(d, &reply, sizeof reply)) /* it was born held */
        scalefs_release_hold(d->fs, attr.ino, 1);
}

static struct statx_time statx_time(struct scalefs_timespec t)
{
    return (struct statx_time){.s = t.s, .ns = t.ns};
}

static void do_statx(struct driver *d, const struct fuse_in_header *in)
{
    struct scalefs_attr a;
    int code = scalefs_getattr(d->fs, in->nodeid, &a);
    if (code) {
        send_code(d, in, code);
        return;
    }
    struct stat st;
    sfs_drivers_stat(&a, &st);
    struct {
        struct fuse_out_header out;
        struct statx_out arg;
    } reply = {
        .out = {.len = sizeof reply, .unique = in->unique},
        .arg = {.attr_valid = (uint64_t)DRIVER_VALID_SECONDS,
                .mask = STATX_BASIC_AND_BTIME,
                .blksize = (uint32_t)st.st_blksize,
                .nlink = a.links,
                .uid = a.uid,
                .gid = a.gid,
                .mode = (uint16_t)a.mode,
                .ino = a.ino,
                .size = a.size,
                .blocks = (uint64_t)st.st_blocks,
                .atime = statx_time(a.atime),
                .btime = statx_time(a.btime),
                .ctime = statx_time(a.ctime),
                .mtime = statx_time(a.mtime),
                .rdev_major = a.rdev_major,
                .rdev_minor = a.rdev_minor},
    };
    send_bytes(d, &reply, sizeof reply);
}

bool sfs_drivers_raw(struct worker *w)
{
    struct driver *d = w->driver;
    uint8_t *bytes = w->request.mem;
    const struct fuse_in_header *in = (const void *)bytes;
    const void *arg = bytes + sizeof *in;
    size_t len = w->request.size - sizeof *in;

    switch (in->opcode) {
    case FUSE_INIT:
        if (len >= offsetof(struct fuse_init_in, flags) + sizeof(uint32_t))
            d->kernel_flags = ((const struct fuse_init_in *)arg)->flags;
        return false;
    case FUSE_READ:
        if (len < sizeof(struct fuse_read_in))
            break;
        do_read(w, in, arg);
        return true;
    case FUSE_WRITE: {
        const struct fuse_write_in *a = arg;
        if (len < sizeof *a || a->size > len - sizeof *a)
            break;
        do_write(w, a, bytes + sizeof *in + sizeof *a);
        return true;
    }
    case FUSE_SETATTR:
        if (len < sizeof(struct fuse_setattr_in))
            break;
        do_setattr(d, in, arg);
        return true;
    case FUSE_SETXATTR:
        do_setxattr(d, in, arg, len);
        return true;
    case FUSE_TMPFILE:
        if (len < sizeof(struct fuse_create_in))
            break;
        do_tmpfile(d, in, arg);
        return true;
    case OPCODE_STATX:
        if (len < sizeof(struct statx_in))
            break;
        do_statx(d, in);
        return true;
    case FUSE_OPEN:
    case FUSE_OPENDIR:
    case FUSE_INTERRUPT:
        send_error(d, in, ENOSYS);
        return true;
    default:
        return false;
    }
    send_error(d, in, EINVAL);
    return true;
}

ssize_t sfs_drivers_read(int fd, void *buf, size_t len, void *userdata)
{
    (void)userdata;
    return read(fd, buf, len);
}

ssize_t sfs_drivers_writev(int fd, struct iovec *iov, int count, void *userdata)
{
    struct driver *d = userdata;
    if (d->init_answered)
        return writev(fd, iov, count);

    /* Only the answer to INIT can come first: other requests wait for it. */
    struct fuse_out_header *out = iov[0].iov_base;
    if (count == 2 && out->error == 0 && iov[1].iov_len >= offsetof(struct fuse_init_out, flags) + 4) {
        struct fuse_init_out *init = iov[1].iov_base;
        init->flags |= d->kernel_flags & (FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT);
    }
    ssize_t n = writev(fd, iov, count);
    if (n >= 0) {
        d->init_answered = true;
        uint64_t one = 1;
        (void)!write(d->ready_fd, &one, sizeof one);
    }
    return n;
}
