/* How fast care's work goes: bytes in a recent stretch of working time. Pure: the time is handed in, and whoever calls holds a lock.
 *
 * A figure is given only when it can be known: not before some time was watched, not from next to nothing, not from before a rest, a
 * change of the task or of the rate. What was moved is not always what is done of a task (a disk that returns is given a few rows of
 * the many that are gone over), so the time that is left is told from the latter.
 */
#ifndef SFS_STORE_CARE_METER_H
#define SFS_STORE_CARE_METER_H

#include <stdint.h>

enum { SFS_METER_SLOTS = 20 };

struct sfs_meter {
    unsigned task;     /* what was worked on last */
    uint64_t since_ns; /* when it began, or went on */
    uint64_t last_ns;
    struct {
        uint64_t number; /* of the slot, counted from the beginning of time */
        uint64_t moved, done;
    } slots[SFS_METER_SLOTS];
};

/* The work begins, goes on after a rest, or goes on in another way: what was before says nothing. */
void sfs_meter_begin(struct sfs_meter *m, uint64_t now_ns);
/* So many bytes were moved or verified, and the task is so much nearer to its end. */
void sfs_meter_add(struct sfs_meter *m, unsigned task, uint64_t moved, uint64_t done, uint64_t now_ns);
/* Bytes a second; 0: not known. */
uint64_t sfs_meter_rate(const struct sfs_meter *m, uint64_t now_ns);
/* Until so much more is done; 0: not known. */
uint64_t sfs_meter_seconds(const struct sfs_meter *m, uint64_t left, uint64_t now_ns);

#endif
