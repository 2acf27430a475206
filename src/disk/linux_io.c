/* One request by blocking system calls, and what the errors of Linux mean for a disk.
 *
 * A disk that was pulled reports almost anything: ENOSPC on writes, reads that end early, EIO. So
 * after a suspicious result the device itself is asked: one that has disappeared has size 0. On a
 * regular file ENOSPC means that the file system below is full; a file cut down to nothing has
 * disappeared.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/linux.h"

/* For a result that a vanished device and a living one can both give: GONE, or `otherwise`. A
 * device that has only become smaller is not gone: what lies beyond its end is lost, the rest is
 * good. */
static int ask_device(struct sfs_linux_disk *disk, int otherwise)
{
    uint64_t bytes;
    if (disk->disk.info.kind == SFS_DISK_BLOCK) {
        if (ioctl(disk->fd, BLKGETSIZE64, &bytes))
            return SCALEFS_E_GONE;
    } else {
        struct stat st;
        if (fstat(disk->fd, &st))
            return SCALEFS_E_GONE;
        bytes = (uint64_t)st.st_size;
    }
    return bytes ? otherwise : SCALEFS_E_GONE;
}

int sfs_linux_short(struct sfs_linux_disk *disk, const struct sfs_io *io)
{
    uint64_t bytes;
    if (disk->disk.info.kind == SFS_DISK_BLOCK &&
        (ioctl(disk->fd, BLKGETSIZE64, &bytes) || bytes >= io->offset + io->len))
        return SCALEFS_E_GONE; /* it claims to have these bytes and does not give them */
    return ask_device(disk, SCALEFS_E_IO);
}

int sfs_linux_failed(struct sfs_linux_disk *disk, const struct sfs_io *io, int error)
{
    bool block = disk->disk.info.kind == SFS_DISK_BLOCK;
    switch (error) {
    case ENODEV:
    case ENXIO:
    case ENOMEDIUM:
    case ESHUTDOWN:
    case ESTALE:
    case ENOTCONN:
        return SCALEFS_E_GONE;
    case ENOSPC:
        return block ? sfs_linux_short(disk, io) : SCALEFS_E_BACKING_FULL;
    case EDQUOT:
        return SCALEFS_E_BACKING_FULL;
    case EFBIG: /* the file system below cannot hold a file of this size */
        return block ? SCALEFS_E_IO : SCALEFS_E_BACKING_FULL;
    case EINVAL:
    case EBADF: /* a write to a disk opened for reading only */
    case EPERM:
        return SCALEFS_E_INVAL;
    default:
        return ask_device(disk, SCALEFS_E_IO);
    }
}

static int discard(struct sfs_linux_disk *disk, const struct sfs_io *io)
{
    int r;
    if (disk->read_only)
        return SCALEFS_E_INVAL;
    if (!__atomic_load_n(&disk->disk.info.discard, __ATOMIC_RELAXED))
        return SCALEFS_OK;
    if (disk->disk.info.kind == SFS_DISK_BLOCK) {
        uint64_t range[2] = {io->offset, io->len};
        r = ioctl(disk->fd, BLKDISCARD, range);
    } else {
        r = fallocate(disk->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)io->offset,
                      (off_t)io->len);
    }
    if (!r || errno == EINTR)
        return SCALEFS_OK;
    if (errno == EOPNOTSUPP || errno == ENOTTY || errno == ENOSYS) {
        __atomic_store_n(&disk->disk.info.discard, false, __ATOMIC_RELAXED);
        return SCALEFS_OK;
    }
    /* It is only a hint: nothing but the disk's disappearance is worth a failure. */
    return sfs_linux_failed(disk, io, errno) == SCALEFS_E_GONE ? SCALEFS_E_GONE : SCALEFS_OK;
}

static int transfer(struct sfs_linux_disk *disk, const struct sfs_io *io, uint64_t done)
{
    while (done < io->len) {
        uint8_t *at = (uint8_t *)io->buf + done;
        size_t part = io->len - done < SFS_IO_CHUNK ? (size_t)(io->len - done) : SFS_IO_CHUNK;
        off_t offset = (off_t)(io->offset + done);
        ssize_t got = io->op == SFS_IO_WRITE ? pwrite(disk->fd, at, part, offset)
                                             : pread(disk->fd, at, part, offset);
        if (got < 0 && errno != EINTR && errno != EAGAIN)
            return sfs_linux_failed(disk, io, errno);
        /* An end off the sector grid is the end of a file that was cut. */
        if (got == 0 || (got > 0 && got % 512))
            return sfs_linux_short(disk, io);
        if (got > 0)
            done += (uint64_t)got;
    }
    return SCALEFS_OK;
}

int sfs_linux_run_from(struct sfs_linux_disk *disk, const struct sfs_io *io, uint64_t done)
{
    switch (io->op) {
    case SFS_IO_READ:
    case SFS_IO_WRITE:
        return transfer(disk, io, done);
    case SFS_IO_FLUSH:
        while (fdatasync(disk->fd))
            if (errno != EINTR)
                return sfs_linux_failed(disk, io, errno);
        return SCALEFS_OK;
    case SFS_IO_DISCARD:
        return discard(disk, io);
    default:
        return SCALEFS_E_INVAL;
    }
}

int sfs_linux_run(struct sfs_disk *disk, struct sfs_io *io)
{
    return sfs_linux_run_from((struct sfs_linux_disk *)disk, io, 0);
}
