/* Placement: which disks carry the columns of the next group, and how much fits on a set of disks.
 *
 * Pure functions of their arguments: the allocator, the capacity shown and the planner ask the same
 * ones. No clock, no randomness, no memory; the same question has the same answer everywhere.
 *
 * Rules:
 *  R1  No two columns of a group on one disk. The one exception: system and metadata groups when only a
 *      single disk has room and no redundancy over disks is owed; both copies stand on it (`one_disk`).
 *  R2  Redundancy is min(failover, usable disks − 1), of those that may carry the class. It is never lowered because disks are full: then
 *      the answer is NOSPC.
 *  R3  Data: at optimize 0 as wide as the disks with room allow, at most width_cap columns; towards 100
 *      geometrically fewer data columns, down to one (copies). Narrower when fewer disks have room.
 *  R4  System and metadata: max(failover + 1, 2) copies where there are disks for it. Landing:
 *      failover + 1 copies.
 *  R5  At most `redundancy` columns in one station where that can be had (then a whole station may
 *      fail). A disk without a station is one of its own. Where it cannot be had (one station holds
 *      everything, say), stations are not looked at.
 *  R6  Data goes to disks of role data only. System and metadata prefer those of role metadata, landing
 *      those of role data; both take others where these are too few.
 *  R7  Disks (and stations) with the most room first, so that all fill up together.
 */
#ifndef SFS_POOL_PLACEMENT_H
#define SFS_POOL_PLACEMENT_H

#include "format/format.h"

#define SFS_WIDTH_CAP_DEFAULT 16u

/* R6. May a disk of that role carry columns of that class at all; and are they better there than on one of another role? */
bool sfs_placement_may(enum sfs_class class, unsigned role);
bool sfs_placement_prefers(enum sfs_class class, unsigned role);

struct sfs_placement_disk {
    uint16_t index;        /* given back; not looked at */
    int16_t station;       /* -1: none; else below SFS_DISKS_MAX */
    uint8_t role;          /* 0 data, 1 metadata */
    bool usable;           /* online and staying: may carry new columns */
    uint32_t free_columns; /* columns of the wanted size that it has room for */
};

struct sfs_placement_wish {
    enum sfs_class class;
    unsigned failover;  /* 0 … 31 */
    unsigned optimize;  /* 0 … 100 */
    unsigned width_cap; /* 0: the default; raised to failover + 1 where it is less */
    unsigned rotation;  /* a number that rises from group to group: turns the columns' roles round */
};

struct sfs_placement {
    unsigned k, m;
    uint16_t disks[SFS_COLUMNS_MAX]; /* k + m of them, by column: the `index` of the disk */
    bool one_disk;                   /* both copies stand on disks[0] */
    bool station_safe;               /* no station holds more than m of the columns */
};

/* At most SFS_DISKS_MAX disks. TOO_FEW: no usable disk of a fitting role. NOSPC: the disks with room are
 * too few for the redundancy. */
int sfs_placement_choose(const struct sfs_placement_wish *wish, const struct sfs_placement_disk *disks,
                         unsigned count, struct sfs_placement *placement);

/* The number of data columns at this setting when `width` disks can be used: k of a full-width group. */
unsigned sfs_placement_data_columns(unsigned width, unsigned redundancy, unsigned optimize);

struct sfs_placement_room {
    uint64_t groups;       /* that can still be made */
    uint64_t columns;      /* that they take */
    uint64_t data_columns; /* of these, for data: times the column size is the usable capacity */
};
/* How much data-class room there is, by the same rules: counted group by group where few columns are
 * concerned, in closed form where there are many (then a little less than could be had, never more than
 * rounding). 0 when nothing fits. wish->class is taken as data. */
void sfs_placement_capacity(const struct sfs_placement_wish *wish,
                            const struct sfs_placement_disk *disks, unsigned count,
                            struct sfs_placement_room *room);

#endif
