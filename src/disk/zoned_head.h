/* A host-managed zoned disk with a head that can be written anywhere (docs/FORMAT.md, section 9).
 *
 * The wrapped disk has info.head_bytes: the bytes [0, head_bytes) are read and written like those of
 * any disk; from info.data_offset on it is the zoned disk itself, same offsets, same rules; between them
 * there is nothing (INVAL). The head is kept as a log of frames in two sets of zones before data_offset.
 *
 * Promises: durability is disk.h's. A cut at any moment leaves a log that opens, with every block of the
 * head as it was last flushed or later. Requests to the head are carried out one after another by a task
 * of the wrapped disk; those to the data area go straight to the zoned disk. Memory: 4 bytes for each
 * 4 KiB of the head, and 2 MiB.
 */
#ifndef SFS_DISK_ZONED_HEAD_H
#define SFS_DISK_ZONED_HEAD_H

#include "disk/disk.h"

struct sfs_zoned_geometry {
    uint64_t head_bytes;
    uint64_t data_offset; /* the first zone behind both sets */
    uint32_t set_zones;   /* of each set */
    uint32_t data_zones;  /* whole ones, from data_offset on */
};
/* TOO_SMALL; NOTSUP for zones that ScaleFS cannot use (not a multiple of 4 KiB). */
int sfs_zoned_geometry_of(const struct sfs_disk_info *info, struct sfs_zoned_geometry *g);

/* Makes an empty head (all zeros), durably. What the disk's first zones held is gone. */
int sfs_zoned_head_format(struct sfs_env *env, struct sfs_disk *zoned);
/* Reads the log; writes nothing. The wrapped disk owns `zoned` from then on. NOT_A_POOL: there is no log;
 * CORRUPT: there is what is left of one. */
int sfs_zoned_head_open(struct sfs_env *env, struct sfs_disk *zoned, struct sfs_disk **wrapped);
/* How often the log went from one set to the other since the opening; for tests. */
uint64_t sfs_zoned_head_switches(struct sfs_disk *wrapped);
/* The zoned disk behind it; for tests. */
struct sfs_disk *sfs_zoned_head_inner(struct sfs_disk *wrapped);

#endif
