/* A sketch of the pool: its columns and what is free on each member, to try moves on. Memory only; under the lock.
 *
 * Used by who makes free space even (care_balance.c), who finds a way for a column whose targets are full (care_drain.c) and who
 * foretells what will be free (care_after.c), so that what is foretold is what is done.
 */
#ifndef SFS_STORE_CARE_SKETCH_H
#define SFS_STORE_CARE_SKETCH_H

#include "store/care_internal.h"

/* A column that may move. */
struct sfs_sketch_piece {
    uint32_t group;
    uint8_t column;
    uint8_t m, class;
    uint16_t slot; /* of the member that it is on; SFS_NONE16: not there (any more) */
    bool homeless; /* it has to go elsewhere, and stands there only here */
    uint64_t bytes, live;
    uint64_t on[SFS_DISKS_MAX / 64]; /* slots of all columns of its group */
};

struct sfs_sketch {
    struct sfs_pool *pool;
    bool even; /* what is free is to become even (care_balance.c) */
    int64_t free[SFS_DISKS_MAX];   /* by slot; of members that take part. Below zero: more than there is */
    uint16_t order[SFS_DISKS_MAX]; /* those */
    unsigned count;
    struct sfs_sketch_piece *pieces; /* those of one group follow each other */
    size_t piece_count, piece_cap;
};

/* May columns come to the member, or go elsewhere for the sake of others? */
bool sfs_sketch_takes_part(const struct sfs_member *m);
/* The members, with what is free on them in whole areas of that many bytes (0: all of it); `soon`: and what some commits make free. */
void sfs_sketch_members(struct sfs_sketch *k, struct sfs_pool *pool, uint64_t area, bool soon);
/* The columns of a group that stand on members that take part. False: no memory. */
bool sfs_sketch_add(struct sfs_sketch *k, const struct sfs_group *g);
/* All columns that may move for the sake of others. False: no memory. */
bool sfs_sketch_groups(struct sfs_sketch *k, const struct sfs_care *care);
void sfs_sketch_done(struct sfs_sketch *k);

/* sfs_care_targets on the sketch, where the group's columns are on the slots `on` (care_drain.c). */
size_t sfs_sketch_targets(const struct sfs_sketch *k, const uint64_t on[SFS_DISKS_MAX / 64], const struct sfs_group *g, unsigned c,
                          uint16_t *out, size_t cap);

/* Only where its class may stand, no two columns of a group on one member, and no more in one station than may be lost, where that is so
 * now. */
bool sfs_sketch_may_go(const struct sfs_sketch *k, const struct sfs_sketch_piece *p, unsigned to);
void sfs_sketch_move(struct sfs_sketch *k, struct sfs_sketch_piece *p, unsigned to);
/* So that `bytes` come free on a member, columns move on from there, each to where another one left, the last to a member that has room.
 * The move that is to be made first; NULL: there is no such way, or there is room already. */
struct sfs_sketch_piece *sfs_sketch_way(struct sfs_sketch *k, unsigned slot, uint64_t bytes, unsigned *to);

#endif
