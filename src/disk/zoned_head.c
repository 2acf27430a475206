/* The wrapped disk: requests to the head wait in a queue for the task that keeps the log; all others go on to the
 * zoned disk within the same batch. See zoned_head.h.
 */
#include "disk/zoned_log.h"

#include <string.h>

#include "base/assert.h"
#include "disk/native.h"

struct zoned_head {
    struct sfs_disk disk; /* the first member */
    struct sfs_zoned_log log;
    struct sfs_disk *inner;
    struct sfs_task *task;
    struct sfs_mutex mutex;
    struct sfs_cond changed;
    struct sfs_io *first, *last; /* linked through backend[0] */
    bool stopping;
};

static struct zoned_head *head_of(struct sfs_disk *disk)
{
    return (struct zoned_head *)disk;
}

static struct sfs_io *next_of(const struct sfs_io *io)
{
    return (struct sfs_io *)(uintptr_t)io->backend[0];
}

static int carry_out(struct zoned_head *h, struct sfs_io *io)
{
    if (io->op == SFS_IO_READ)
        return sfs_zoned_log_read(&h->log, io->offset, io->buf, io->len);
    return sfs_zoned_log_write(&h->log, io->offset, io->buf, io->len);
}

static void serve(void *arg)
{
    struct zoned_head *h = arg;
    sfs_mutex_lock(&h->mutex);
    while (h->first || !h->stopping) {
        struct sfs_io *io = h->first;
        if (!io) {
            sfs_cond_wait(&h->changed, &h->mutex);
            continue;
        }
        h->first = next_of(io);
        if (!h->first)
            h->last = NULL;
        sfs_mutex_unlock(&h->mutex);
        sfs_io_complete(io, carry_out(h, io));
        sfs_mutex_lock(&h->mutex);
    }
    sfs_mutex_unlock(&h->mutex);
}

static void enqueue(struct zoned_head *h, struct sfs_io *io)
{
    io->backend[0] = 0;
    sfs_mutex_lock(&h->mutex);
    if (h->last)
        h->last->backend[0] = (uintptr_t)io;
    else
        h->first = io;
    h->last = io;
    sfs_cond_signal(&h->changed);
    sfs_mutex_unlock(&h->mutex);
}

static void submit(struct sfs_disk *disk, struct sfs_io *io)
{
    struct zoned_head *h = head_of(disk);
    const struct sfs_zoned_geometry *g = &h->log.g;
    if (io->op == SFS_IO_FLUSH || (io->op != SFS_IO_DISCARD && io->offset >= g->data_offset))
        sfs_io_forward(h->inner, io);
    else if (io->op == SFS_IO_DISCARD)
        sfs_io_complete(io, SCALEFS_OK);
    else if (io->op == SFS_IO_ZONE_RESET || io->len > g->head_bytes || io->offset > g->head_bytes - io->len)
        sfs_io_complete(io, SCALEFS_E_INVAL);
    else
        enqueue(h, io);
}

static void describe(const struct zoned_head *h, struct sfs_disk_info *info)
{
    info->head_bytes = h->log.g.head_bytes;
    info->data_offset = h->log.g.data_offset;
    info->discard = false;
}

static int info(struct sfs_disk *disk, struct sfs_disk_info *to)
{
    struct zoned_head *h = head_of(disk);
    int err = h->inner->ops->info(h->inner, to);
    describe(h, to);
    return err;
}

static int write_pointer(struct sfs_disk *disk, uint64_t offset, uint64_t *pointer)
{
    struct zoned_head *h = head_of(disk);
    if (offset < h->log.g.data_offset)
        return SCALEFS_E_INVAL;
    return h->inner->ops->write_pointer(h->inner, offset, pointer);
}

static void close_head(struct sfs_disk *disk)
{
    struct zoned_head *h = head_of(disk);
    struct sfs_env *env = disk->env;
    sfs_mutex_lock(&h->mutex);
    h->stopping = true;
    sfs_cond_signal(&h->changed);
    sfs_mutex_unlock(&h->mutex);
    sfs_task_join(env, h->task);
    sfs_cond_deinit(&h->changed);
    sfs_mutex_deinit(&h->mutex);
    sfs_zoned_log_deinit(&h->log);
    sfs_disk_close(h->inner);
    sfs_free(env, h);
}

static const struct sfs_disk_ops ops = {.submit = submit, .info = info, .write_pointer = write_pointer,
                                        .close = close_head};

int sfs_zoned_head_format(struct sfs_env *env, struct sfs_disk *zoned)
{
    struct sfs_zoned_log log;
    int err = sfs_zoned_log_init(&log, env, zoned);
    if (err)
        return err;
    err = sfs_zoned_log_format(&log);
    sfs_zoned_log_deinit(&log);
    return err;
}

int sfs_zoned_head_open(struct sfs_env *env, struct sfs_disk *zoned, struct sfs_disk **wrapped)
{
    *wrapped = NULL;
    struct zoned_head *h = sfs_zalloc(env, sizeof *h);
    if (!h)
        return SCALEFS_E_NOMEM;
    int err = sfs_zoned_log_init(&h->log, env, zoned);
    if (err) {
        sfs_free(env, h);
        return err;
    }
    err = sfs_zoned_log_open(&h->log);
    h->inner = zoned;
    h->disk.ops = &ops;
    h->disk.env = env;
    h->disk.info = zoned->info;
    describe(h, &h->disk.info);
    sfs_mutex_init(&h->mutex, env);
    sfs_cond_init(&h->changed, env);
    if (!err)
        err = sfs_task_start(env, "zoned head", serve, h, &h->task);
    if (err) {
        sfs_cond_deinit(&h->changed);
        sfs_mutex_deinit(&h->mutex);
        sfs_zoned_log_deinit(&h->log);
        sfs_free(env, h);
        return err;
    }
    *wrapped = &h->disk;
    return SCALEFS_OK;
}

struct sfs_disk *sfs_zoned_head_inner(struct sfs_disk *wrapped)
{
    SFS_ASSERT(wrapped->ops == &ops);
    return head_of(wrapped)->inner;
}

uint64_t sfs_zoned_head_switches(struct sfs_disk *wrapped)
{
    SFS_ASSERT(wrapped->ops == &ops);
    return head_of(wrapped)->log.switches;
}
