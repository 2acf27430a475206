/* Inside src/disk: the log that carries the head of a zoned disk. One task at a time; all calls do I/O.
 *
 * Invariants:
 *  L1  The current set is the one with the highest frame of kind DATA or COMPLETE.
 *  L2  Nothing of a set is reset before the other one has a COMPLETE frame that was flushed, and that one was
 *      sent after a flush of all copies.
 *  L3  The same flush makes the resets of the new set's zones durable: old frames, which a cut before it can bring
 *      back among the copies, are gone before the set counts.
 *  L4  Frame numbers rise along a set, and from set to set.
 */
#ifndef SFS_DISK_ZONED_LOG_H
#define SFS_DISK_ZONED_LOG_H

#include "disk/zoned_frame.h"
#include "disk/zoned_head.h"

#define SFS_LOG_NOWHERE UINT32_MAX

struct sfs_zoned_cursor {
    unsigned set;
    uint32_t zone; /* of the set */
    uint64_t at;   /* where the next frame goes; UINT64_MAX: this zone takes no more */
};

struct sfs_zoned_log {
    struct sfs_env *env;
    struct sfs_disk *disk;
    struct sfs_zoned_geometry g;
    uint64_t zone_bytes, capacity;
    uint8_t id[16];
    uint32_t *map;   /* for each block of the head: the block of the disk that holds it, or SFS_LOG_NOWHERE */
    size_t blocks;
    struct sfs_zoned_cursor cursor;
    uint64_t number; /* of the next frame */
    uint64_t switches;
    uint8_t *frame;  /* room for a whole frame */
};

int sfs_zoned_log_init(struct sfs_zoned_log *l, struct sfs_env *env, struct sfs_disk *zoned);
void sfs_zoned_log_deinit(struct sfs_zoned_log *l);
int sfs_zoned_log_format(struct sfs_zoned_log *l);
int sfs_zoned_log_open(struct sfs_zoned_log *l); /* zoned_scan.c */
/* Within the head, multiples of 4 KiB. */
int sfs_zoned_log_read(struct sfs_zoned_log *l, uint64_t offset, uint8_t *buf, uint64_t len);
int sfs_zoned_log_write(struct sfs_zoned_log *l, uint64_t offset, const uint8_t *buf, uint64_t len);

uint64_t sfs_zoned_log_zone(const struct sfs_zoned_log *l, unsigned set, uint32_t zone); /* its first byte */
int sfs_zoned_log_io(struct sfs_zoned_log *l, enum sfs_io_op op, uint64_t offset, void *buf, uint64_t len);

#endif
