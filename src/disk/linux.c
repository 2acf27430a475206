/* Opening, describing and creating disks on Linux: regular files and block devices.
 *
 * O_DIRECT, or through the page cache where the file system refuses that. The size is asked once
 * here and again by sfs_disk_refresh; a device without a size has no medium, or has been pulled.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "disk/linux.h"

const char sfs_native_list_separator = ':';

static void destroy_shared(struct sfs_env *env)
{
    struct sfs_linux_shared *shared = env->disk_context;
    env->disk_context = NULL;
    if (!shared)
        return;
    sfs_linux_rings_destroy(env, shared->rings);
    sfs_workers_destroy(shared->workers);
    sfs_free(env, shared);
}

/* Several tasks may open the first disk at once: the first to put its object in place wins. */
static int get_shared(struct sfs_env *env, struct sfs_linux_shared **shared)
{
    *shared = __atomic_load_n(&env->disk_context, __ATOMIC_ACQUIRE);
    if (*shared)
        return SCALEFS_OK;
    struct sfs_linux_shared *mine = sfs_zalloc(env, sizeof *mine);
    if (!mine)
        return SCALEFS_E_NOMEM;
    int r = sfs_workers_create(env, sfs_linux_run, &mine->workers);
    if (r) {
        sfs_free(env, mine);
        return r;
    }
    const char *wish = getenv("SCALEFS_IO");
    if (!wish || strcmp(wish, "threads"))
        mine->rings = sfs_linux_rings_create(env);
    void *nobody = NULL;
    if (__atomic_compare_exchange_n(&env->disk_context, &nobody, mine, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&env->disk_context_destroy, destroy_shared, __ATOMIC_RELEASE);
        *shared = mine;
        return SCALEFS_OK;
    }
    sfs_linux_rings_destroy(env, mine->rings);
    sfs_workers_destroy(mine->workers);
    sfs_free(env, mine);
    *shared = nobody; /* the winner's */
    return SCALEFS_OK;
}

static int open_error(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return SCALEFS_E_NOENT;
    case EEXIST:
        return SCALEFS_E_EXIST;
    case EACCES:
        return SCALEFS_E_ACCESS;
    case EPERM:
        return SCALEFS_E_PERM;
    case EROFS:
        return SCALEFS_E_ROFS;
    case EBUSY:
    case ETXTBSY:
    case EWOULDBLOCK:
        return SCALEFS_E_BUSY;
    case ENXIO:
    case ENODEV:
    case ENOMEDIUM:
        return SCALEFS_E_GONE;
    case ENOMEM:
    case EMFILE:
    case ENFILE:
        return SCALEFS_E_NOMEM;
    case ENAMETOOLONG:
        return SCALEFS_E_NAMETOOLONG;
    case ENOSPC:
    case EDQUOT:
        return SCALEFS_E_BACKING_FULL;
    case EFBIG:
        return SCALEFS_E_FBIG;
    case ELOOP:
    case EINVAL:
        return SCALEFS_E_INVAL;
    case EOPNOTSUPP:
    case ENOSYS:
    case ENOLCK:
        return SCALEFS_E_NOTSUP;
    default:
        return SCALEFS_E_IO;
    }
}

/* errno in words; the thread-safe strerror. */
static const char *words(int error, char text[128])
{
    return strerror_r(error, text, 128);
}

static int refuse_errno(struct scalefs_error_info *info, const char *path, const char *what,
                        int error)
{
    char text[128];
    return sfs_refuse(info, open_error(error), "%s cannot be %s: %s.", path, what,
                      words(error, text));
}

void sfs_linux_queue_attribute(dev_t device, const char *name, char *value, size_t value_bytes)
{
    static const char *const places[] = {"queue", "../queue"};
    value[0] = 0;
    for (int i = 0; i < 2; i++) {
        char path[128];
        snprintf(path, sizeof path, "/sys/dev/block/%u:%u/%s/%s", major(device), minor(device),
                 places[i], name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        ssize_t got = read(fd, value, value_bytes - 1);
        close(fd);
        value[got > 0 ? got : 0] = 0;
        value[strcspn(value, "\n")] = 0;
        return;
    }
}

static int block_info(int fd, dev_t device, struct sfs_disk_info *info)
{
    char text[64];
    uint64_t bytes = 0;
    int sector = 512;
    if (ioctl(fd, BLKGETSIZE64, &bytes) || bytes == 0)
        return SCALEFS_E_GONE;
    ioctl(fd, BLKSSZGET, &sector);
    info->kind = SFS_DISK_BLOCK;
    info->size_bytes = bytes - bytes % SFS_IO_ALIGN;
    info->sector_bytes = (uint32_t)sector;
    sfs_linux_queue_attribute(device, "discard_max_bytes", text, sizeof text);
    info->discard = strtoull(text, NULL, 10) > 0;
    sfs_linux_queue_attribute(device, "zoned", text, sizeof text);
    info->zoned = !strcmp(text, "host-managed");
    info->zone_bytes = 0;
    if (info->zoned) {
        sfs_linux_queue_attribute(device, "chunk_sectors", text, sizeof text);
        info->zone_bytes = strtoull(text, NULL, 10) * 512;
    }
    return SCALEFS_OK;
}

static int file_info(const struct stat *st, struct sfs_disk_info *info)
{
    if (st->st_size == 0)
        return SCALEFS_E_GONE;
    info->kind = SFS_DISK_FILE;
    info->size_bytes = (uint64_t)st->st_size - (uint64_t)st->st_size % SFS_IO_ALIGN;
    info->sector_bytes = 512;
    info->zoned = false;
    info->zone_bytes = 0;
    return SCALEFS_OK;
}

int sfs_linux_info(struct sfs_disk *disk, struct sfs_disk_info *info)
{
    int fd = ((struct sfs_linux_disk *)disk)->fd;
    struct stat st;
    if (fstat(fd, &st))
        return SCALEFS_E_GONE;
    return S_ISBLK(st.st_mode) ? block_info(fd, st.st_rdev, info) : file_info(&st, info);
}

int sfs_linux_write_pointer(struct sfs_disk *disk, uint64_t offset, uint64_t *pointer)
{
    (void)disk;
    (void)offset;
    (void)pointer;
    return SCALEFS_E_NOTSUP; /* only host-managed zoned disks have one, and those are not opened yet
                              */
}

void sfs_linux_close(struct sfs_disk *d)
{
    struct sfs_linux_disk *disk = (struct sfs_linux_disk *)d;
    if (disk->fd >= 0)
        close(disk->fd);
    sfs_free(d->env, disk);
}

/* Some file systems take O_DIRECT and then refuse every transfer: try one. */
static bool direct_works(struct sfs_env *env, int fd)
{
    void *buf = sfs_alloc_io(env, SFS_IO_ALIGN);
    bool works = buf && !(pread(fd, buf, SFS_IO_ALIGN, 0) < 0 && errno == EINVAL);
    sfs_free(env, buf);
    return works;
}

/* Opens `path`, found to be of mode `mode`, into disk->fd; errno on failure. */
static int open_fd(struct sfs_env *env, struct sfs_linux_disk *disk, const char *path, mode_t mode,
                   unsigned flags)
{
    int how = (flags & SFS_DISK_READ_ONLY ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY;
    if (S_ISBLK(mode) && (flags & SFS_DISK_EXCLUSIVE))
        how |= O_EXCL;
    disk->fd = open(path, how | O_DIRECT);
    if (disk->fd >= 0 && !direct_works(env, disk->fd)) {
        close(disk->fd);
        disk->fd = -1;
        errno = EINVAL;
    }
    if (disk->fd < 0 && errno == EINVAL)
        disk->fd = open(path, how);
    if (disk->fd < 0)
        return errno;
    if (S_ISREG(mode) && (flags & SFS_DISK_EXCLUSIVE) && flock(disk->fd, LOCK_EX | LOCK_NB))
        return errno;
    return 0;
}

/* Fills what is to be known about the open file; says why it cannot be a disk. */
static int describe(struct sfs_linux_disk *disk, struct scalefs_error_info *info)
{
    struct sfs_disk_info *d = &disk->disk.info;
    int r = sfs_linux_info(&disk->disk, d);
    if (r)
        return sfs_refuse(info, r, "%s has no size: there is no medium in it, or it is gone.",
                          d->path);
    if (d->size_bytes < SFS_IO_ALIGN)
        return sfs_refuse(info, SCALEFS_E_TOO_SMALL,
                          "%s is too small for a disk: it has less than 4096 bytes.", d->path);
    if (d->zoned)
        return sfs_refuse(
            info, SCALEFS_E_NOTSUP,
            "%s is a host-managed zoned (SMR) disk, which this version cannot use "
            "yet. Conventional and host-aware disks work.",
            d->path);
    if (d->sector_bytes > SFS_IO_ALIGN)
        return sfs_refuse(info, SCALEFS_E_NOTSUP,
                          "%s has sectors of %u bytes; at most 4096 can be used.", d->path,
                          d->sector_bytes);
    if (d->kind == SFS_DISK_FILE) {
        struct statfs fs;
        disk->in_memory = !fstatfs(disk->fd, &fs) && fs.f_type == TMPFS_MAGIC;
        d->discard = true; /* until the file system says otherwise */
    }
    return SCALEFS_OK;
}

static int resolve(const char *path, char *resolved, size_t resolved_bytes)
{
    char *real = realpath(path, NULL);
    if (!real)
        return errno;
    size_t len = strlen(real);
    if (len < resolved_bytes)
        memcpy(resolved, real, len + 1);
    free(real);
    return len < resolved_bytes ? 0 : ENAMETOOLONG;
}

static int open_checked(struct sfs_linux_disk *disk, const char *path, unsigned flags,
                        struct scalefs_error_info *info)
{
    struct stat st, opened;
    int error = resolve(path, disk->disk.info.path, sizeof disk->disk.info.path);
    if (!error && stat(disk->disk.info.path, &st))
        error = errno;
    if (error)
        return refuse_errno(info, path, "opened", error);
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return sfs_refuse(info, SCALEFS_E_NOTSUP,
                          "%s is neither a block device nor a regular file.", path);
    if (S_ISREG(st.st_mode) && st.st_size < SFS_IO_ALIGN)
        return sfs_refuse(info, SCALEFS_E_TOO_SMALL,
                          "%s is too small for a disk: it has less than 4096 bytes.", path);
    error = open_fd(disk->disk.env, disk, disk->disk.info.path, st.st_mode, flags);
    if (error == EBUSY || error == EWOULDBLOCK)
        return sfs_refuse(
            info, SCALEFS_E_BUSY,
            "%s is in use: it is mounted, part of something that is active, or open "
            "in another ScaleFS.",
            path);
    if (error)
        return refuse_errno(info, path, "opened", error);
    if (fstat(disk->fd, &opened) || (opened.st_mode & S_IFMT) != (st.st_mode & S_IFMT))
        return sfs_refuse(info, SCALEFS_E_CHANGED, "%s was exchanged while it was opened.",
                          path);
    return describe(disk, info);
}

int sfs_native_open(struct sfs_env *env, const char *path, unsigned flags, struct sfs_disk **out,
                    struct scalefs_error_info *info)
{
    struct sfs_linux_shared *shared;
    struct sfs_linux_disk *disk = NULL;
    int r = get_shared(env, &shared);
    if (!r && !(disk = sfs_zalloc(env, sizeof *disk)))
        r = SCALEFS_E_NOMEM;
    if (r)
        return sfs_refuse(info, r, "%s cannot be opened: not enough memory.", path);
    disk->disk.env = env;
    disk->disk.ops =
        shared->rings && !(flags & SFS_DISK_THREADS) ? &sfs_linux_ring_ops : &sfs_linux_thread_ops;
    disk->shared = shared;
    disk->fd = -1;
    disk->read_only = flags & SFS_DISK_READ_ONLY;
    r = open_checked(disk, path, flags, info);
    if (r)
        sfs_linux_close(&disk->disk);
    else
        *out = &disk->disk;
    return r;
}

/* A new name is durable when its folder is. */
static int sync_folder(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    if (len >= sizeof folder)
        return ENAMETOOLONG;
    memcpy(folder, path, len);
    folder[len] = 0;
    int fd = open(!slash ? "." : len ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = fsync(fd) && errno != EINVAL ? errno : 0; /* EINVAL: it has no such notion */
    close(fd);
    return error;
}

int sfs_native_create_file(struct sfs_env *env, const char *path, uint64_t size,
                           struct scalefs_error_info *info)
{
    (void)env;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return refuse_errno(info, path, "created", errno);
    int error = size > INT64_MAX ? EFBIG : 0;
    if (!error && (ftruncate(fd, (off_t)size) || fsync(fd)))
        error = errno;
    close(fd);
    if (!error)
        error = sync_folder(path);
    if (error) {
        unlink(path);
        return refuse_errno(info, path, "created", error);
    }
    return SCALEFS_OK;
}
