/* Inside src/disk: requests carried out by blocking calls, on a few tasks, for backends whose
 * system has no asynchronous call for them.
 *
 * Every request belongs to a batch, and every batch with such requests has a `run`, taken from the
 * pool when the first is queued. The task that waits for the batch works too: it takes requests of
 * its own batch that nobody has begun, so that a batch is carried out even where no task can be
 * started. All sfs_io_complete calls are made by the waiting task: what the workers touch at the
 * end (the run, its condition, the pool's mutex) outlives the batch.
 */
#ifndef SFS_DISK_WORKERS_H
#define SFS_DISK_WORKERS_H

#include "disk/disk.h"

struct sfs_workers;

/* `carry_out` performs one request and returns its result. */
int sfs_workers_create(struct sfs_env *env,
                       int (*carry_out)(struct sfs_disk *disk, struct sfs_io *io),
                       struct sfs_workers **workers);
void sfs_workers_destroy(struct sfs_workers *workers); /* no batch may be under way; NULL is fine */

/* `*run` is NULL before a batch's first request, and again after the wait. */
void sfs_workers_queue(struct sfs_workers *workers, void **run, struct sfs_io *io);
void sfs_workers_kick(struct sfs_workers *workers, void **run);
void sfs_workers_wait(struct sfs_workers *workers, void **run);

#endif
