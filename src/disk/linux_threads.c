/* Requests by blocking calls on a pool of tasks: for machines and containers that refuse io_uring,
 * and for tests.
 */
#include "disk/linux.h"

static struct sfs_workers *workers_of(struct sfs_disk *disk)
{
    return ((struct sfs_linux_disk *)disk)->shared->workers;
}

static void thread_submit(struct sfs_disk *disk, struct sfs_io *io)
{
    sfs_workers_queue(workers_of(disk), sfs_io_backend(io->batch, disk), io);
}

static void thread_kick(struct sfs_disk *disk, struct sfs_io_batch *batch)
{
    sfs_workers_kick(workers_of(disk), sfs_io_backend(batch, disk));
}

static void thread_wait(struct sfs_disk *disk, struct sfs_io_batch *batch)
{
    sfs_workers_wait(workers_of(disk), sfs_io_backend(batch, disk));
}

const struct sfs_disk_ops sfs_linux_thread_ops = {
    .submit = thread_submit,
    .kick = thread_kick,
    .wait = thread_wait,
    .run = sfs_linux_run,
    .info = sfs_linux_info,
    .write_pointer = sfs_linux_write_pointer,
    .close = sfs_linux_close,
};
