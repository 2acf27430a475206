/* Files: the volume of an open pool, by inode number. Part of the public C library of ScaleFS.
 *
 * Shaped for drivers: names are bytes, calls are on inode numbers, permission checks are the caller's
 * (the kernel's, with default_permissions). A new owner or group clears set-id bits here; whether a
 * write or a truncation does depends on who makes it, so the caller says (SCALEFS_SET_KILL_SUID). Inode
 * numbers are never used twice. Threading: any call from any thread at any time; calls on different inodes do
 * not wait for each other's I/O. Atomicity: each call that changes metadata takes effect whole or not
 * at all, also over a crash. Durability: scalefs_fsync, scalefs_pool_sync, or by itself within the
 * commit time. Order: what is durable of one file system is always a state that it had (file data not
 * yet synced may be missing, never wrong).
 *
 * Lookup counts and open files: an inode with links 0 lives on while it is held (scalefs_hold), and
 * is deleted at the last scalefs_release_hold or at the next opening of the pool.
 */
#ifndef SCALEFS_FS_H
#define SCALEFS_FS_H

#include "scalefs/pool.h"

#ifdef __cplusplus
extern "C" {
#endif

struct scalefs_fs;

#define SCALEFS_ROOT 1u
#define SCALEFS_NAME_MAX 255u
#define SCALEFS_FILE_MAX 9223372036854775807ull

/* The pool's default volume. Valid until the pool is closed; nothing to free. */
int scalefs_fs_get(struct scalefs_pool *pool, struct scalefs_fs **fs);

struct scalefs_timespec {
    int64_t s;
    uint32_t ns;
};
/* File types and permission bits have the values of Linux's st_mode on every system. */
#define SCALEFS_S_IFMT 0170000u
#define SCALEFS_S_IFSOCK 0140000u
#define SCALEFS_S_IFLNK 0120000u
#define SCALEFS_S_IFREG 0100000u
#define SCALEFS_S_IFBLK 0060000u
#define SCALEFS_S_IFDIR 0040000u
#define SCALEFS_S_IFCHR 0020000u
#define SCALEFS_S_IFIFO 0010000u

struct scalefs_attr {
    uint64_t ino;
    uint32_t mode, links, uid, gid;
    uint64_t size;
    uint64_t allocated; /* bytes */
    uint32_t rdev_major, rdev_minor;
    struct scalefs_timespec atime, mtime, ctime, btime;
};
enum scalefs_set_mask {
    SCALEFS_SET_MODE = 1,
    SCALEFS_SET_UID = 2,
    SCALEFS_SET_GID = 4,
    SCALEFS_SET_SIZE = 8,
    SCALEFS_SET_ATIME = 16,
    SCALEFS_SET_MTIME = 32,
    SCALEFS_SET_CTIME = 64,      /* otherwise the change time is now */
    SCALEFS_SET_BTIME = 128,
    SCALEFS_SET_KILL_SUID = 256, /* clear set-id bits as a write by an ordinary user does */
};

/* Who makes a new inode. When the directory has the set-gid bit, gid is the directory's and a new
 * directory inherits the bit. */
struct scalefs_owner {
    uint32_t uid, gid;
};

int scalefs_lookup(struct scalefs_fs *fs, uint64_t dir, const char *name, size_t name_len,
                   struct scalefs_attr *attr);
int scalefs_getattr(struct scalefs_fs *fs, uint64_t ino, struct scalefs_attr *attr);
int scalefs_setattr(struct scalefs_fs *fs, uint64_t ino, const struct scalefs_attr *values,
                    unsigned mask, struct scalefs_attr *attr);

/* mode carries the type: regular, directory, FIFO, socket, character or block device. */
int scalefs_mknod(struct scalefs_fs *fs, uint64_t dir, const char *name, size_t name_len, uint32_t mode,
                  uint32_t rdev_major, uint32_t rdev_minor, struct scalefs_owner owner,
                  struct scalefs_attr *attr);
int scalefs_symlink(struct scalefs_fs *fs, uint64_t dir, const char *name, size_t name_len,
                    const char *target, size_t target_len, struct scalefs_owner owner,
                    struct scalefs_attr *attr);
/* A regular file without a name (O_TMPFILE), held once; scalefs_link may give it a name. */
int scalefs_tmpfile(struct scalefs_fs *fs, uint64_t dir, uint32_t mode, struct scalefs_owner owner,
                    struct scalefs_attr *attr);
int scalefs_readlink(struct scalefs_fs *fs, uint64_t ino, char *buf, size_t size, size_t *len);
int scalefs_link(struct scalefs_fs *fs, uint64_t ino, uint64_t dir, const char *name, size_t name_len,
                 struct scalefs_attr *attr);
int scalefs_unlink(struct scalefs_fs *fs, uint64_t dir, const char *name, size_t name_len);
int scalefs_rmdir(struct scalefs_fs *fs, uint64_t dir, const char *name, size_t name_len);
enum scalefs_rename_flags { SCALEFS_RENAME_NOREPLACE = 1, SCALEFS_RENAME_EXCHANGE = 2 };
int scalefs_rename(struct scalefs_fs *fs, uint64_t dir, const char *name, size_t name_len,
                   uint64_t new_dir, const char *new_name, size_t new_name_len, unsigned flags);

/* Keeps the inode alive (a lookup count or an open file). */
int scalefs_hold(struct scalefs_fs *fs, uint64_t ino);
void scalefs_release_hold(struct scalefs_fs *fs, uint64_t ino, uint64_t count);

/* Directory entries from `cookie` on (0: the start; then the cookie of the last entry seen). `each`
 * returns false to stop; that entry is then not taken. "." and ".." are not reported. Entries that
 * are added or removed meanwhile are reported or not; others exactly once. With `with_attr`, `attr` is filled. */
struct scalefs_dirent {
    uint64_t ino, cookie; /* cookie: 3 … 2^63 − 1 */
    uint32_t type;        /* mode bits of the type */
    const char *name;
    size_t name_len;
    const struct scalefs_attr *attr; /* NULL unless asked for */
};
int scalefs_readdir(struct scalefs_fs *fs, uint64_t dir, uint64_t cookie, bool with_attr,
                    bool (*each)(void *context, const struct scalefs_dirent *entry), void *context);
int scalefs_parent(struct scalefs_fs *fs, uint64_t dir, uint64_t *parent);

/* Data. Reads beyond the end give fewer bytes. Errors of reads: CORRUPT (that range alone is lost), SUSPENDED.
 * Writes are accepted when space for them is reserved: NOSPC comes here, not later. */
int scalefs_read(struct scalefs_fs *fs, uint64_t ino, uint64_t offset, void *buf, size_t len,
                 size_t *done);
int scalefs_write(struct scalefs_fs *fs, uint64_t ino, uint64_t offset, const void *buf, size_t len);
/* As scalefs_write, of bytes that lie in `*memory`, which is of scalefs_memory_get of the same fs; INVAL when they do not lie there. Where
 * they are many it is kept as a part of the file's cache instead of being copied: then *memory is NULL, and it is the caller's no more. */
int scalefs_write_keep(struct scalefs_fs *fs, uint64_t ino, uint64_t offset, void **memory, void *buf, size_t len);
#define SCALEFS_KEEP_MEMORY ((1u << 20) + 8192u) /* bytes of such memory; aligned to 4096 */
void *scalefs_memory_get(struct scalefs_fs *fs); /* NULL: there is none now; put it back before the volume is closed */
void scalefs_memory_put(struct scalefs_fs *fs, void *memory);
/* At the end of the file, atomically with respect to other appends. */
int scalefs_append(struct scalefs_fs *fs, uint64_t ino, const void *buf, size_t len, uint64_t *offset);
int scalefs_fsync(struct scalefs_fs *fs, uint64_t ino);
enum scalefs_fallocate_flags {
    SCALEFS_FALLOC_KEEP_SIZE = 1,
    SCALEFS_FALLOC_PUNCH_HOLE = 2, /* with KEEP_SIZE */
    SCALEFS_FALLOC_ZERO_RANGE = 16
};
int scalefs_fallocate(struct scalefs_fs *fs, uint64_t ino, unsigned flags, uint64_t offset,
                      uint64_t len);
/* The first data (or hole) at or after offset; NXIO beyond the end. */
int scalefs_seek(struct scalefs_fs *fs, uint64_t ino, uint64_t offset, bool hole, uint64_t *found);
/* Shares whole extents where it can (a clone), copies the rest. Stops at the source's end. */
int scalefs_copy_range(struct scalefs_fs *fs, uint64_t from, uint64_t from_offset, uint64_t to,
                       uint64_t to_offset, uint64_t len, uint64_t *done);

enum scalefs_xattr_flags { SCALEFS_XATTR_CREATE = 1, SCALEFS_XATTR_REPLACE = 2 };
int scalefs_setxattr(struct scalefs_fs *fs, uint64_t ino, const char *name, const void *value,
                     size_t len, unsigned flags);
/* size 0: only *len. RANGE when it does not fit. */
int scalefs_getxattr(struct scalefs_fs *fs, uint64_t ino, const char *name, void *value, size_t size,
                     size_t *len);
/* Names, each ended by a NUL, one after another. */
int scalefs_listxattr(struct scalefs_fs *fs, uint64_t ino, char *list, size_t size, size_t *len);
int scalefs_removexattr(struct scalefs_fs *fs, uint64_t ino, const char *name);

struct scalefs_statfs {
    uint64_t total, free; /* bytes */
    uint64_t files;       /* in use; there is no limit */
};
int scalefs_statfs(struct scalefs_fs *fs, struct scalefs_statfs *st);

/* A path of the inode below the root of the volume, for messages ("?" when it has none). */
int scalefs_path_of(struct scalefs_fs *fs, uint64_t ino, char *buf, size_t size);

#ifdef __cplusplus
}
#endif
#endif
