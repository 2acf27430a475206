/* Inside src/disk: what disk.c asks of the operating system's backend (linux*.c, windows*.c), and
 * what that backend may use of disk.c. Nothing here is seen by other rooms.
 */
#ifndef SFS_DISK_NATIVE_H
#define SFS_DISK_NATIVE_H

#include "base/refuse.h"
#include "disk/disk.h"

#define SFS_IO_CHUNK (1ull << 30) /* the most that one system call is asked to move */

/* As the calls of disk.h without `native`; disk.c has checked the arguments. */
int sfs_native_open(struct sfs_env *env, const char *path, unsigned flags, struct sfs_disk **disk,
                    struct scalefs_error_info *info);
int sfs_native_create_file(struct sfs_env *env, const char *path, uint64_t size,
                           struct scalefs_error_info *info);
int sfs_native_probe(struct sfs_env *env, const char *path, char what[128]);
/* One folder of sfs_disk_scan's list. */
int sfs_native_scan_folder(struct sfs_env *env, const char *folder,
                           void (*found)(void *arg, const char *path), void *arg);
/* The devices of the system. */
int sfs_native_scan_devices(struct sfs_env *env, void (*found)(void *arg, const char *path),
                            void *arg);
/* What stands between the folders of a list. */
extern const char sfs_native_list_separator;

/* Requests in the order in which they came, linked through backend[1]; backend[0] counts bytes done. */
struct sfs_io_list {
    struct sfs_io *first, *last;
};

static inline void sfs_io_push(struct sfs_io_list *list, struct sfs_io *io)
{
    io->backend[1] = 0;
    if (list->first)
        list->last->backend[1] = (uintptr_t)io;
    else
        list->first = io;
    list->last = io;
}

/* NULL when there is none. */
static inline struct sfs_io *sfs_io_pop(struct sfs_io_list *list)
{
    struct sfs_io *io = list->first;
    if (io)
        list->first = (struct sfs_io *)(uintptr_t)io->backend[1];
    return io;
}

bool sfs_disk_is_gone(const struct sfs_disk *disk);
/* Marks the disk as gone, for good, and says so once. */
void sfs_disk_set_gone(struct sfs_disk *disk);
uint64_t sfs_disk_size(const struct sfs_disk *disk);


#endif
