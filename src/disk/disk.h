/* One asynchronous interface for every kind of disk.
 *
 * A batch is an array of requests, on any number of disks, that are all in flight at once. It is
 * submitted by one task and waited for once; any task may wait. Buffers, offsets and lengths are
 * multiples of 4096 and buffers are 4096-aligned (sfs_alloc_io), whatever the sector size (512 or
 * 4096). A request's result is its own: a failed request fails no other.
 *
 * Results: OK; IO (medium error: retry elsewhere, the disk may be fine); GONE (the disk has
 * disappeared: all later requests fail with GONE at once); BACKING_FULL (a regular file's file
 * system is full; nothing of the request is promised to be written); INVAL (outside the disk, or on
 * a zoned disk a write that is not at the write pointer).
 *
 * Durability: a write is durable when a FLUSH submitted after it completed has completed with OK.
 * Until then any subset of it, in units of 512 bytes, may be on the medium. DISCARD is a hint: after
 * it the range reads as anything.
 */
#ifndef SFS_DISK_DISK_H
#define SFS_DISK_DISK_H

#include "base/env.h"
#include "scalefs/error.h"

#define SFS_IO_ALIGN 4096u
#define SFS_IO_KINDS 8 /* kinds of disk in one batch, at most */

enum sfs_io_op { SFS_IO_READ, SFS_IO_WRITE, SFS_IO_FLUSH, SFS_IO_DISCARD, SFS_IO_ZONE_RESET };

struct sfs_disk;

struct sfs_io {
    struct sfs_disk *disk; /* NULL: the request completes at once with GONE (an absent disk) */
    enum sfs_io_op op;
    uint64_t offset; /* bytes */
    void *buf;
    uint64_t len; /* bytes */
    int result;   /* set on completion */
    /* for the backend */
    struct sfs_io_batch *batch;
    uint64_t backend[2];
};

struct sfs_io_batch {
    struct sfs_env *env;
    struct sfs_io *ios;
    size_t count;
    /* One entry for each kind of disk (table of operations) that the batch has requests for. */
    struct sfs_io_kind {
        struct sfs_disk *disk; /* the first of that kind */
        void *backend;         /* for the backend; NULL at first */
    } kinds[SFS_IO_KINDS];
    size_t kind_count;
    struct sfs_mutex mutex;
    struct sfs_cond done;
    size_t pending;
};

/* Starts all requests. `batch` and `ios` stay in place until sfs_io_wait has returned. */
void sfs_io_submit(struct sfs_env *env, struct sfs_io_batch *batch, struct sfs_io *ios, size_t count);
/* Waits until all are complete. Call exactly once per submit. */
void sfs_io_wait(struct sfs_io_batch *batch);
/* Both; returns the first result that is not OK, or OK. */
int sfs_io_run(struct sfs_env *env, struct sfs_io *ios, size_t count);

enum sfs_disk_kind { SFS_DISK_FILE, SFS_DISK_BLOCK, SFS_DISK_SIMULATED, SFS_DISK_WINDOWS_VOLUME };

struct sfs_disk_info {
    enum sfs_disk_kind kind;
    uint64_t size_bytes;   /* rounded down to 4096 */
    uint32_t sector_bytes; /* 512 or 4096: what a torn write can tear at */
    bool discard;
    bool zoned;            /* host-managed: writes at the write pointer of a zone only */
    uint64_t zone_bytes;   /* 0 when not zoned */
    uint64_t zone_capacity; /* bytes of a zone that can be written, from its start */
    uint64_t head_bytes;   /* zoned, with a head that can be written anywhere (zoned_head.h): its length; else 0 */
    uint64_t data_offset;  /* then: where the zones behind the head's begin */
    char path[1024];
};

/* The table a backend fills. It gets only the requests of its own kind of disk, and only good ones:
 * disk.c has checked alignment and bounds and that the disk is not gone. */
struct sfs_disk_ops {
    /* Starts one request; on completion calls sfs_io_complete(io, result), from any task. */
    void (*submit)(struct sfs_disk *disk, struct sfs_io *io);
    /* Optional: called once after all submits of a batch, with the first disk of this kind
     * (io_uring's doorbell). */
    void (*kick)(struct sfs_disk *disk, struct sfs_io_batch *batch);
    /* Optional: waits for the batch's requests of this kind (io_uring: reap in the waiting task). */
    void (*wait)(struct sfs_disk *disk, struct sfs_io_batch *batch);
    /* Optional: carries out one request in the calling task and returns its result, without
     * sfs_io_complete; sfs_io_run uses it for a batch of one. */
    int (*run)(struct sfs_disk *disk, struct sfs_io *io);
    /* Current size and state; GONE when it has disappeared. */
    int (*info)(struct sfs_disk *disk, struct sfs_disk_info *info);
    /* Zoned: the write pointer of the zone that holds `offset`, as a byte offset on the disk. */
    int (*write_pointer)(struct sfs_disk *disk, uint64_t offset, uint64_t *pointer);
    void (*close)(struct sfs_disk *disk);
};

struct sfs_disk {
    const struct sfs_disk_ops *ops;
    struct sfs_env *env;
    struct sfs_disk_info info;
    bool gone; /* set once by the backend, read without a lock (C11 relaxed atomics inside) */
};

/* For backends: ends a request. The batch may be gone when it returns. */
void sfs_io_complete(struct sfs_io *io, int result);
/* For backends built upon others: hands a request on, within its batch; `disk` completes it. */
void sfs_io_forward(struct sfs_disk *disk, struct sfs_io *io);
/* For backends: where the backend of `disk` keeps what it needs for this batch. */
void **sfs_io_backend(struct sfs_io_batch *batch, const struct sfs_disk *disk);

/* Opens a file or block device; info.path is then its path from the root, links resolved.
 * SFS_DISK_EXCLUSIVE: nobody else (not even another ScaleFS) can open it exclusively: O_EXCL on block
 * devices, a lock on files; BUSY when somebody has. SFS_DISK_THREADS: by a pool of threads even where
 * io_uring works (SCALEFS_IO=threads in the environment does the same for all disks; elsewhere than
 * on Linux neither means anything). SFS_DISK_PATIENT: BUSY only after two seconds: a process that was
 * killed lets go of its files a moment after it is gone, when the kernel has ended its transfers; the
 * caller must have the time. TOO_SMALL: a file of less than 4096 bytes; GONE: a device without
 * a medium; NOTSUP: a host-managed zoned disk, or neither file nor block device. */
enum sfs_disk_open_flags {
    SFS_DISK_READ_ONLY = 1,
    SFS_DISK_EXCLUSIVE = 2,
    SFS_DISK_THREADS = 4,
    SFS_DISK_PATIENT = 8,
};
int sfs_disk_open(struct sfs_env *env, const char *path, unsigned flags, struct sfs_disk **disk,
                  struct scalefs_error_info *info);
void sfs_disk_close(struct sfs_disk *disk);
/* Size and presence anew; GONE when it has disappeared. */
int sfs_disk_refresh(struct sfs_disk *disk);

/* Creates a sparse regular file of `size` bytes (a multiple of 4096), durably; EXIST when it exists. */
int sfs_disk_create_file(struct sfs_env *env, const char *path, uint64_t size,
                         struct scalefs_error_info *info);

/* What a device carries, for the refusals of create and add. `what` becomes "" when it looks empty,
 * else words such as "an ext4 file system", "a GPT partition table", "mounted on /home",
 * "used as swap". ScaleFS's own label is not looked for here; so that no film or archive is taken for an
 * empty disk, a regular file whose first 4096 bytes are not all zero "holds data of an unknown kind". */
int sfs_disk_probe(struct sfs_env *env, const char *path, char what[128]);

/* Every disk that could carry a pool: block devices of the system (partitions included), and the
 * regular files in each folder of `folders` (colon-separated, `;` on Windows; NULL: none). Left out: memory
 * disks, devices without a medium, and what something else is built upon (a RAID or LVM member, the
 * file behind a loop device). On Windows: folders only. */
int sfs_disk_scan(struct sfs_env *env, const char *folders, void (*found)(void *arg, const char *path),
                  void *arg);

#endif
