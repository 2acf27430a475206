/* Inside src/disk, on Linux: what the files linux*.c share.
 *
 * All disks of an environment share one `struct sfs_linux_shared` (env->disk_context): the pool of
 * rings, and the workers for disks that are not driven by a ring. It is made when the first disk is
 * opened and ends with the environment; nothing else is shared, and nothing is global.
 */
#ifndef SFS_DISK_LINUX_H
#define SFS_DISK_LINUX_H

#include <sys/types.h>

#include "disk/native.h"
#include "disk/workers.h"

struct sfs_linux_rings;

struct sfs_linux_shared {
    struct sfs_linux_rings *rings; /* NULL: io_uring is refused here, or not wanted */
    struct sfs_workers *workers;
};

struct sfs_linux_disk {
    struct sfs_disk disk; /* first: a sfs_disk * is a sfs_linux_disk * */
    struct sfs_linux_shared *shared;
    int fd;
    bool read_only;
    bool in_memory;    /* on tmpfs: every call is a copy, nothing to overlap */
    uint64_t flush_ns; /* how long flushes take here, a moving mean (relaxed) */
    uint64_t read_ns;  /* the same of small reads that are made one by one */
};

extern const struct sfs_disk_ops sfs_linux_ring_ops, sfs_linux_thread_ops;

/* linux.c */
int sfs_linux_info(struct sfs_disk *disk, struct sfs_disk_info *info);
int sfs_linux_write_pointer(struct sfs_disk *disk, uint64_t offset, uint64_t *pointer);
void sfs_linux_close(struct sfs_disk *disk);
/* An attribute of a block device's queue ("queue/zoned"), for a partition its disk's; "" when
 * absent. */
void sfs_linux_queue_attribute(dev_t device, const char *name, char *value, size_t value_bytes);

/* linux_io.c: a request by blocking calls, from byte `done` of it on. Nothing but the disk, and
 * what the caller asked for, is read from `io`. */
int sfs_linux_run_from(struct sfs_linux_disk *disk, const struct sfs_io *io, uint64_t done);
int sfs_linux_run(struct sfs_disk *disk, struct sfs_io *io);
/* The result of a request that the system ended with errno `error`. */
int sfs_linux_failed(struct sfs_linux_disk *disk, const struct sfs_io *io, int error);
/* The result of a request that ended before its time without an error. */
int sfs_linux_short(struct sfs_linux_disk *disk, const struct sfs_io *io);

/* linux_uring.c: NULL when io_uring is refused. */
struct sfs_linux_rings *sfs_linux_rings_create(struct sfs_env *env);
void sfs_linux_rings_destroy(struct sfs_env *env, struct sfs_linux_rings *rings);

/* linux_scan.c: the loop device whose backing file is `path` (canonical), in `name`; false: none.
 */
bool sfs_linux_loop_of(const char *path, char *name, size_t name_bytes);

#endif
