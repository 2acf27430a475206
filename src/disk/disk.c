/* The part of the disk room that is the same for all kinds of disk: batches, and the checks that no
 * backend has to make again.
 *
 * A batch counts the requests that are not complete (`pending`) under its own mutex. Requests that
 * are refused here (misaligned, outside the disk, on an absent or vanished disk) never reach a
 * backend. A batch may hold requests for several kinds of disk; each kind is kicked once after all
 * requests are submitted, and waited for once before the batch's own wait.
 *
 * `gone` is set once and never cleared: a disk that comes back is opened anew. It and the size are
 * read by any task without a lock (relaxed: a request that just misses the change learns it from
 * the device).
 */
#include <string.h>

#include "base/assert.h"
#include "disk/native.h"

enum { PATIENCE_NS = 2000000000, PATIENCE_PAUSE_NS = 10000000 };

bool sfs_disk_is_gone(const struct sfs_disk *disk)
{
    return __atomic_load_n(&disk->gone, __ATOMIC_RELAXED);
}

void sfs_disk_set_gone(struct sfs_disk *disk)
{
    if (!__atomic_exchange_n(&disk->gone, true, __ATOMIC_RELAXED))
        sfs_log(disk->env, SFS_LOG_WARN, "disk", SCALEFS_E_GONE, "%s has disappeared",
                disk->info.path);
}

uint64_t sfs_disk_size(const struct sfs_disk *disk)
{
    return __atomic_load_n(&disk->info.size_bytes, __ATOMIC_RELAXED);
}

/* OK when the request may go to its backend, else its result. */
static int check(const struct sfs_io *io)
{
    const struct sfs_disk *disk = io->disk;
    if (!disk || sfs_disk_is_gone(disk))
        return SCALEFS_E_GONE;
    if (io->op == SFS_IO_FLUSH)
        return SCALEFS_OK;
    if (io->offset % SFS_IO_ALIGN || io->len % SFS_IO_ALIGN)
        return SCALEFS_E_INVAL;
    uint64_t size = sfs_disk_size(disk);
    if (io->offset > size || io->len > size - io->offset)
        return SCALEFS_E_INVAL;
    if (io->op == SFS_IO_READ || io->op == SFS_IO_WRITE)
        return io->len && (!io->buf || (uintptr_t)io->buf % SFS_IO_ALIGN) ? SCALEFS_E_INVAL
                                                                          : SCALEFS_OK;
    if (io->op == SFS_IO_ZONE_RESET)
        return disk->info.zoned ? SCALEFS_OK : SCALEFS_E_INVAL;
    return io->op == SFS_IO_DISCARD ? SCALEFS_OK : SCALEFS_E_INVAL;
}

static void set_result(struct sfs_io *io, int result)
{
    io->result = result;
    if (result == SCALEFS_E_GONE && io->disk)
        sfs_disk_set_gone(io->disk);
}

void sfs_io_complete(struct sfs_io *io, int result)
{
    struct sfs_io_batch *batch = io->batch;
    set_result(io, result);
    sfs_mutex_lock(&batch->mutex);
    SFS_ASSERT(batch->pending > 0);
    if (--batch->pending == 0)
        sfs_cond_broadcast(&batch->done);
    sfs_mutex_unlock(&batch->mutex);
}

void **sfs_io_backend(struct sfs_io_batch *batch, const struct sfs_disk *disk)
{
    size_t i = 0;
    while (batch->kinds[i].disk->ops != disk->ops) {
        i++;
        SFS_ASSERT(i < batch->kind_count);
    }
    return &batch->kinds[i].backend;
}

static void enter_kind(struct sfs_io_batch *batch, struct sfs_disk *disk)
{
    for (size_t i = 0; i < batch->kind_count; i++)
        if (batch->kinds[i].disk->ops == disk->ops)
            return;
    SFS_ASSERT(batch->kind_count < SFS_IO_KINDS);
    batch->kinds[batch->kind_count++] = (struct sfs_io_kind){disk, NULL};
}

void sfs_io_forward(struct sfs_disk *disk, struct sfs_io *io)
{
    if (sfs_disk_is_gone(disk)) {
        sfs_io_complete(io, SCALEFS_E_GONE);
        return;
    }
    enter_kind(io->batch, disk);
    disk->ops->submit(disk, io);
}

void sfs_io_submit(struct sfs_env *env, struct sfs_io_batch *batch, struct sfs_io *ios,
                   size_t count)
{
    batch->env = env;
    batch->ios = ios;
    batch->count = count;
    batch->kind_count = 0;
    batch->pending = count;
    sfs_mutex_init(&batch->mutex, env);
    sfs_cond_init(&batch->done, env);
    for (size_t i = 0; i < count; i++) {
        struct sfs_io *io = &ios[i];
        io->batch = batch;
        io->backend[0] = io->backend[1] = 0;
        int refused = check(io);
        if (refused || (!io->len && io->op != SFS_IO_FLUSH)) {
            sfs_io_complete(io, refused);
            continue;
        }
        enter_kind(batch, io->disk);
        io->disk->ops->submit(io->disk, io);
    }
    for (size_t i = 0; i < batch->kind_count; i++) {
        struct sfs_disk *disk = batch->kinds[i].disk;
        if (disk->ops->kick)
            disk->ops->kick(disk, batch);
    }
}

void sfs_io_wait(struct sfs_io_batch *batch)
{
    for (size_t i = 0; i < batch->kind_count; i++) {
        struct sfs_disk *disk = batch->kinds[i].disk;
        if (disk->ops->wait)
            disk->ops->wait(disk, batch);
    }
    sfs_mutex_lock(&batch->mutex);
    while (batch->pending)
        sfs_cond_wait(&batch->done, &batch->mutex);
    sfs_mutex_unlock(&batch->mutex);
    sfs_cond_deinit(&batch->done);
    sfs_mutex_deinit(&batch->mutex);
}

int sfs_io_run(struct sfs_env *env, struct sfs_io *ios, size_t count)
{
    if (count == 1 && ios->disk && ios->disk->ops->run) {
        int refused = check(ios);
        if (!refused && (ios->len || ios->op == SFS_IO_FLUSH))
            refused = ios->disk->ops->run(ios->disk, ios);
        set_result(ios, refused);
        return ios->result;
    }
    struct sfs_io_batch batch;
    sfs_io_submit(env, &batch, ios, count);
    sfs_io_wait(&batch);
    for (size_t i = 0; i < count; i++)
        if (ios[i].result)
            return ios[i].result;
    return SCALEFS_OK;
}

int sfs_disk_open(struct sfs_env *env, const char *path, unsigned flags, struct sfs_disk **disk,
                  struct scalefs_error_info *info)
{
    *disk = NULL;
    if (!path[0])
        return sfs_refuse(info, SCALEFS_E_INVAL, "A disk without a name cannot be opened.");
    uint64_t until = sfs_now_ns(env) + PATIENCE_NS;
    for (;;) {
        struct scalefs_error_info why = {0};
        int r = sfs_native_open(env, path, flags, disk, &why);
        if (r != SCALEFS_E_BUSY || !(flags & SFS_DISK_PATIENT) || sfs_now_ns(env) >= until) {
            if (r && info)
                *info = why;
            return r;
        }
        sfs_task_sleep(env, PATIENCE_PAUSE_NS);
    }
}

void sfs_disk_close(struct sfs_disk *disk)
{
    if (disk)
        disk->ops->close(disk);
}

int sfs_disk_refresh(struct sfs_disk *disk)
{
    if (sfs_disk_is_gone(disk))
        return SCALEFS_E_GONE;
    struct sfs_disk_info now = disk->info;
    int r = disk->ops->info(disk, &now);
    if (r == SCALEFS_E_GONE)
        sfs_disk_set_gone(disk);
    if (!r)
        __atomic_store_n(&disk->info.size_bytes, now.size_bytes, __ATOMIC_RELAXED);
    return r;
}

int sfs_disk_create_file(struct sfs_env *env, const char *path, uint64_t size,
                         struct scalefs_error_info *info)
{
    if (!size || size % SFS_IO_ALIGN)
        return sfs_refuse(info, SCALEFS_E_INVAL,
                          "%s cannot be created with %llu bytes: the size of a disk is a "
                          "multiple of 4096 bytes.",
                          path, (unsigned long long)size);
    return sfs_native_create_file(env, path, size, info);
}

int sfs_disk_probe(struct sfs_env *env, const char *path, char what[128])
{
    what[0] = 0;
    return sfs_native_probe(env, path, what);
}

int sfs_disk_scan(struct sfs_env *env, const char *folders,
                  void (*found)(void *arg, const char *path), void *arg)
{
    int r = sfs_native_scan_devices(env, found, arg);
    while (!r && folders && *folders) {
        const char *end = strchr(folders, sfs_native_list_separator);
        size_t len = end ? (size_t)(end - folders) : strlen(folders);
        if (len) {
            char *folder = sfs_alloc(env, len + 1);
            if (!folder)
                return SCALEFS_E_NOMEM;
            memcpy(folder, folders, len);
            folder[len] = 0;
            r = sfs_native_scan_folder(env, folder, found, arg);
            sfs_free(env, folder);
        }
        folders = end ? end + 1 : NULL;
    }
    return r;
}
