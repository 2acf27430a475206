/* One volume's file system: inodes, directories, file data, extended attributes, links.
 *
 * Semantics, shapes and errors are those of scalefs/fs.h; scalefs_X of the public library is
 * sfs_fs_X here, with arguments validated. All metadata are keys of one tree (docs/FORMAT.md,
 * section 8). Calls may be made from any task.
 *
 * What is in memory only: file data not yet written (bounded by dirty_bytes), and with it the size
 * and the times of a file that is being written. Everything else changes in
 * transactions.
 */
#ifndef SFS_FS_FS_H
#define SFS_FS_FS_H

#include "scalefs/fs.h"
#include "tree/tree.h"

struct sfs_fs;

struct sfs_fs_options {
    uint64_t dirty_bytes; /* 0: 64 MiB */
    uint32_t inode_cache; /* inode objects kept for nothing but speed; 0: 8192 */
    bool read_only;
    bool
        no_background; /* no tasks: writers write out themselves, big deletions are done in place */
    uint32_t root_uid, root_gid; /* owner of the root directory when the volume is still empty */
};

/* Makes the root directory when the volume is empty; finishes what a crash left half deleted (in
 * the background). Registers itself as the store's flusher. The store outlives the file system. */
int sfs_fs_open(struct sfs_store *store, uint32_t volume, const struct sfs_fs_options *options,
                struct sfs_fs **fs);
/* Writes out all data (an error says that some could not be), stops the tasks, frees. */
int sfs_fs_close(struct sfs_fs *fs);
/* Forgets all data that is not written, as a crash does; for tests and for pools that cannot be
 * saved. */
void sfs_fs_abandon(struct sfs_fs *fs);
/* Everything that was completed before is durable after it. */
int sfs_fs_sync(struct sfs_fs *fs);
/* Hands all data that is in memory to the store, with its keys (durable with the next checkpoint).
 */
int sfs_fs_flush(struct sfs_fs *fs);
/* Bytes of memory that hold data not yet written; for tests. */
uint64_t sfs_fs_dirty_bytes(struct sfs_fs *fs);
/* Waits until no deletion is going on in the background. */
void sfs_fs_settle(struct sfs_fs *fs);

int sfs_fs_lookup(struct sfs_fs *fs, uint64_t dir, const char *name, size_t name_len,
                  struct scalefs_attr *attr);
int sfs_fs_getattr(struct sfs_fs *fs, uint64_t ino, struct scalefs_attr *attr);
int sfs_fs_setattr(struct sfs_fs *fs, uint64_t ino, const struct scalefs_attr *values,
                   unsigned mask, struct scalefs_attr *attr);
int sfs_fs_mknod(struct sfs_fs *fs, uint64_t dir, const char *name, size_t name_len, uint32_t mode,
                 uint32_t rdev_major, uint32_t rdev_minor, struct scalefs_owner owner,
                 struct scalefs_attr *attr);
int sfs_fs_symlink(struct sfs_fs *fs, uint64_t dir, const char *name, size_t name_len,
                   const char *target, size_t target_len, struct scalefs_owner owner,
                   struct scalefs_attr *attr);
int sfs_fs_tmpfile(struct sfs_fs *fs, uint64_t dir, uint32_t mode, struct scalefs_owner owner,
                   struct scalefs_attr *attr);
int sfs_fs_readlink(struct sfs_fs *fs, uint64_t ino, char *buf, size_t size, size_t *len);
int sfs_fs_link(struct sfs_fs *fs, uint64_t ino, uint64_t dir, const char *name, size_t name_len,
                struct scalefs_attr *attr);
int sfs_fs_unlink(struct sfs_fs *fs, uint64_t dir, const char *name, size_t name_len);
int sfs_fs_rmdir(struct sfs_fs *fs, uint64_t dir, const char *name, size_t name_len);
int sfs_fs_rename(struct sfs_fs *fs, uint64_t dir, const char *name, size_t name_len,
                  uint64_t new_dir, const char *new_name, size_t new_name_len, unsigned flags);
int sfs_fs_hold(struct sfs_fs *fs, uint64_t ino);
void sfs_fs_release_hold(struct sfs_fs *fs, uint64_t ino, uint64_t count);
int sfs_fs_readdir(struct sfs_fs *fs, uint64_t dir, uint64_t cookie, bool with_attr,
                   bool (*each)(void *context, const struct scalefs_dirent *entry), void *context);
int sfs_fs_parent(struct sfs_fs *fs, uint64_t dir, uint64_t *parent);
int sfs_fs_path_of(struct sfs_fs *fs, uint64_t ino, char *buf, size_t size);
int sfs_fs_read(struct sfs_fs *fs, uint64_t ino, uint64_t offset, void *buf, size_t len,
                size_t *done);
int sfs_fs_write(struct sfs_fs *fs, uint64_t ino, uint64_t offset, const void *buf, size_t len);
/* `buf` lies in *memory, of sfs_fs_memory_get; NULL afterwards: it was kept. */
int sfs_fs_write_keep(struct sfs_fs *fs, uint64_t ino, uint64_t offset, void **memory, void *buf, size_t len);
void *sfs_fs_memory_get(struct sfs_fs *fs); /* all were put back before the volume is closed */
void sfs_fs_memory_put(void *memory);
int sfs_fs_append(struct sfs_fs *fs, uint64_t ino, const void *buf, size_t len, uint64_t *offset);
int sfs_fs_fsync(struct sfs_fs *fs, uint64_t ino);
int sfs_fs_fallocate(struct sfs_fs *fs, uint64_t ino, unsigned flags, uint64_t offset,
                     uint64_t len);
int sfs_fs_seek(struct sfs_fs *fs, uint64_t ino, uint64_t offset, bool hole, uint64_t *found);
int sfs_fs_copy_range(struct sfs_fs *fs, uint64_t from, uint64_t from_offset, uint64_t to,
                      uint64_t to_offset, uint64_t len, uint64_t *done);
int sfs_fs_setxattr(struct sfs_fs *fs, uint64_t ino, const char *name, const void *value,
                    size_t len, unsigned flags);
int sfs_fs_getxattr(struct sfs_fs *fs, uint64_t ino, const char *name, void *value, size_t size,
                    size_t *len);
int sfs_fs_listxattr(struct sfs_fs *fs, uint64_t ino, char *list, size_t size, size_t *len);
int sfs_fs_removexattr(struct sfs_fs *fs, uint64_t ino, const char *name);
int sfs_fs_statfs(struct sfs_fs *fs, struct scalefs_statfs *st);

/* Are all keys of the volume consistent with each other? For a volume that nobody changes. Adds to
 * `files`, `directories` and `problems` of the report; `problem` (may be NULL) is given a sentence
 * for each. */
int sfs_fs_check(struct sfs_fs *fs, void (*problem)(void *context, const char *text), void *context,
                 struct scalefs_check_report *report);
/* The files that have lost data, as they were named last; how many there are in all, of which the first are given. */
uint64_t sfs_fs_lost_files(struct sfs_fs *fs, struct scalefs_lost_file *files, size_t cap, size_t *count);

#endif
