/* Requests on Windows: overlapped I/O on files and, minimally, volumes and raw disks.
 *
 * A batch has one event, set whenever one of its transfers ends; the waiting task looks which, so
 * there is no completion thread and no limit of 64 handles. The event and the OVERLAPPED structures
 * come from a pool that all disks of an environment share (env->disk_context). What Windows only
 * does blocking (flushing, discarding) goes to the workers, so that several disks are flushed at
 * once.
 *
 * Windows takes back the requests of a task that ends before they are complete: the waiting task
 * then gives them again.
 *
 * Exclusive: others may open for reading only, and a lock on a byte far beyond every file's end
 * tells exclusive readers from each other.
 */
#include "disk/windows.h"

#include <winioctl.h>

#include "base/assert.h"
#include "disk/workers.h"

#define LOCK_OFFSET_HIGH 0x40000000u
#define QUOTA_EXCEEDED 1295 /* ERROR_DISK_QUOTA_EXCEEDED, which mingw's headers lack */

struct transfer {
    OVERLAPPED overlapped;
    struct sfs_io *io;
    uint64_t done; /* bytes */
    bool started;  /* it belongs to Windows until it is complete */
};

struct set {
    HANDLE event;
    struct transfer *transfers;
    size_t count, room;
    void *run; /* the workers' part of the batch */
    struct set *next;
};

struct shared {
    struct sfs_env *env;
    struct sfs_mutex mutex;
    struct set *free;
    struct sfs_workers *workers;
};

struct windows_disk {
    struct sfs_disk disk; /* first: a sfs_disk * is a windows_disk * */
    struct shared *shared;
    HANDLE handle;
    bool read_only;
};

static struct windows_disk *of(struct sfs_disk *disk)
{
    return (struct windows_disk *)disk;
}

/* ---- the pool of sets */

static void free_set(struct sfs_env *env, struct set *set)
{
    if (set->event)
        CloseHandle(set->event);
    sfs_free(env, set->transfers);
    sfs_free(env, set);
}

static struct set *take_set(struct shared *shared)
{
    sfs_mutex_lock(&shared->mutex);
    struct set *set = shared->free;
    if (set)
        shared->free = set->next;
    sfs_mutex_unlock(&shared->mutex);
    if (set)
        return set;
    set = sfs_zalloc(shared->env, sizeof *set);
    if (set && !(set->event = CreateEventW(NULL, FALSE, FALSE, NULL))) {
        free_set(shared->env, set);
        set = NULL;
    }
    return set;
}

static void give_set(struct shared *shared, struct set *set)
{
    set->count = 0;
    sfs_mutex_lock(&shared->mutex);
    set->next = shared->free;
    shared->free = set;
    sfs_mutex_unlock(&shared->mutex);
}

/* Room for `count` transfers; they may not move once started, so it is made before the first. */
static bool reserve(struct sfs_env *env, struct set *set, size_t count)
{
    if (count <= set->room)
        return true;
    struct transfer *more = sfs_alloc(env, count * sizeof *more);
    if (!more)
        return false;
    SFS_ASSERT(set->count == 0);
    sfs_free(env, set->transfers);
    set->transfers = more;
    set->room = count;
    return true;
}

/* ---- what errors mean */

static int64_t size_now(struct windows_disk *disk, bool *known);

static int failed(struct windows_disk *disk, DWORD error)
{
    bool file = disk->disk.info.kind == SFS_DISK_FILE, known;
    switch (error) {
    case ERROR_DISK_FULL:
    case ERROR_HANDLE_DISK_FULL:
    case QUOTA_EXCEEDED:
    case ERROR_FILE_TOO_LARGE:
        return file ? SCALEFS_E_BACKING_FULL : SCALEFS_E_IO;
    case ERROR_NOT_READY:
    case ERROR_DEVICE_NOT_CONNECTED:
    case ERROR_DEVICE_REMOVED:
    case ERROR_FILE_NOT_FOUND: /* on an open handle: no such device */
    case ERROR_DEV_NOT_EXIST:
    case ERROR_BAD_UNIT:
    case ERROR_BAD_NETPATH:
    case ERROR_NETNAME_DELETED:
    case ERROR_UNEXP_NET_ERR:
    case ERROR_FILE_INVALID: /* the volume was altered from outside: another medium */
    case ERROR_NO_MEDIA_IN_DRIVE:
    case ERROR_MEDIA_CHANGED:
    case ERROR_WRONG_DISK:
    case ERROR_UNRECOGNIZED_VOLUME:
        return SCALEFS_E_GONE;
    case ERROR_INVALID_PARAMETER:
    case ERROR_ACCESS_DENIED: /* a write to a disk opened for reading only */
    case ERROR_WRITE_PROTECT:
        return SCALEFS_E_INVAL;
    default: /* ERROR_HANDLE_EOF and a short read among them; a file cut to nothing has disappeared
              */
        return size_now(disk, &known) == 0 && known ? SCALEFS_E_GONE : SCALEFS_E_IO;
    }
}

/* ---- blocking calls */

/* DeviceIoControl on a handle for overlapped I/O, waited for. */
static bool control(struct windows_disk *disk, DWORD code, void *in, DWORD in_bytes, void *out,
                    DWORD out_bytes)
{
    struct set *set = take_set(disk->shared);
    DWORD got;
    if (!set)
        return false;
    OVERLAPPED overlapped = {.hEvent = set->event};
    bool good =
        DeviceIoControl(disk->handle, code, in, in_bytes, out, out_bytes, &got, &overlapped);
    if (!good && GetLastError() == ERROR_IO_PENDING)
        good = GetOverlappedResult(disk->handle, &overlapped, &got, TRUE);
    DWORD error = GetLastError();
    give_set(disk->shared, set);
    SetLastError(error);
    return good;
}

static int64_t size_now(struct windows_disk *disk, bool *known)
{
    LARGE_INTEGER size = {.QuadPart = 0};
    GET_LENGTH_INFORMATION length = {.Length.QuadPart = 0};
    if (disk->disk.info.kind == SFS_DISK_FILE) {
        *known = GetFileSizeEx(disk->handle, &size);
        return size.QuadPart;
    }
    *known = control(disk, IOCTL_DISK_GET_LENGTH_INFO, NULL, 0, &length, sizeof length);
    if (*known)
        return length.Length.QuadPart;
    *known = GetFileSizeEx(disk->handle, &size); /* an image behind a drive letter, under Wine */
    return size.QuadPart;
}

/* What a hint fails with matters to nobody; NTFS makes a hole, other file systems nothing. */
static int discard(struct windows_disk *disk, const struct sfs_io *io)
{
    FILE_ZERO_DATA_INFORMATION zero;
    if (disk->read_only)
        return SCALEFS_E_INVAL;
    if (!__atomic_load_n(&disk->disk.info.discard, __ATOMIC_RELAXED))
        return SCALEFS_OK;
    zero.FileOffset.QuadPart = (LONGLONG)io->offset;
    zero.BeyondFinalZero.QuadPart = (LONGLONG)(io->offset + io->len);
    if (!control(disk, FSCTL_SET_ZERO_DATA, &zero, sizeof zero, NULL, 0))
        __atomic_store_n(&disk->disk.info.discard, false, __ATOMIC_RELAXED);
    return SCALEFS_OK;
}

static int carry_out(struct sfs_disk *d, struct sfs_io *io)
{
    struct windows_disk *disk = of(d);
    if (io->op == SFS_IO_DISCARD)
        return discard(disk, io);
    if (io->op != SFS_IO_FLUSH)
        return SCALEFS_E_INVAL;
    if (disk->read_only || FlushFileBuffers(disk->handle))
        return SCALEFS_OK;
    return failed(disk, GetLastError());
}

/* ---- transfers */

/* Gives Windows the rest of a transfer. Its end, also a failure at once, is found by `check_one`.
 */
static void start(struct set *set, struct transfer *t)
{
    const struct sfs_io *io = t->io;
    uint64_t offset = io->offset + t->done, rest = io->len - t->done;
    DWORD part = (DWORD)(rest < SFS_IO_CHUNK ? rest : SFS_IO_CHUNK);
    uint8_t *at = (uint8_t *)io->buf + t->done;
    HANDLE handle = of(io->disk)->handle;
    memset(&t->overlapped, 0, sizeof t->overlapped);
    t->overlapped.Offset = (DWORD)offset;
    t->overlapped.OffsetHigh = (DWORD)(offset >> 32);
    t->overlapped.hEvent = set->event;
    t->started = io->op == SFS_IO_WRITE ? WriteFile(handle, at, part, NULL, &t->overlapped)
                                        : ReadFile(handle, at, part, NULL, &t->overlapped);
    if (!t->started && GetLastError() == ERROR_IO_PENDING)
        t->started = true;
    if (!t->started)
        t->overlapped.InternalHigh = GetLastError(); /* nothing else uses it now */
}

/* What became of a transfer: true with its result, or false while it is under way. */
static bool check_one(struct set *set, struct transfer *t, int *result)
{
    struct windows_disk *disk = of(t->io->disk);
    for (;;) {
        DWORD moved = 0, error = 0;
        if (!t->started)
            error = (DWORD)t->overlapped.InternalHigh;
        else if (!HasOverlappedIoCompleted(&t->overlapped))
            return false;
        else if (!GetOverlappedResult(disk->handle, &t->overlapped, &moved, FALSE))
            error = GetLastError();
        if (error != ERROR_OPERATION_ABORTED) {
            if (error || !moved || moved % 512) {
                *result = failed(disk, error ? error : ERROR_HANDLE_EOF);
                return true;
            }
            t->done += moved;
            if (t->done == t->io->len) {
                *result = SCALEFS_OK;
                return true;
            }
        }
        start(set, t);
    }
}

static void add(struct set *set, struct sfs_io *io)
{
    struct transfer *t = &set->transfers[set->count++];
    t->io = io;
    t->done = 0;
    start(set, t);
}

/* Looks through all transfers before each wait. No signal that matters is lost: beginning a
 * transfer takes back the event's earlier signals, but then either that one is still under way and
 * will signal, or it has ended and all are looked through again. */
static void finish(struct set *set, void (*ended)(struct sfs_io *io, int result))
{
    while (set->count) {
        bool any = false;
        for (size_t i = 0; i < set->count; i++) {
            struct transfer *t = &set->transfers[i];
            int result;
            if (!t->io || !check_one(set, t, &result))
                continue;
            ended(t->io, result);
            t->io = NULL;
            any = true;
        }
        while (set->count && !set->transfers[set->count - 1].io)
            set->count--;
        if (set->count && !any)
            WaitForSingleObject(set->event, INFINITE);
    }
}

static void windows_submit(struct sfs_disk *d, struct sfs_io *io)
{
    struct shared *shared = of(d)->shared;
    void **slot = sfs_io_backend(io->batch, d);
    struct set *set = *slot ? *slot : take_set(shared);
    *slot = set;
    if (!set || !reserve(shared->env, set, io->batch->count))
        sfs_io_complete(io, SCALEFS_E_NOMEM);
    else if (io->op == SFS_IO_READ || io->op == SFS_IO_WRITE)
        add(set, io);
    else
        sfs_workers_queue(shared->workers, &set->run, io);
}

static void windows_kick(struct sfs_disk *disk, struct sfs_io_batch *batch)
{
    struct set *set = *sfs_io_backend(batch, disk);
    if (set)
        sfs_workers_kick(of(disk)->shared->workers, &set->run);
}

static void windows_wait(struct sfs_disk *disk, struct sfs_io_batch *batch)
{
    struct shared *shared = of(disk)->shared;
    void **slot = sfs_io_backend(batch, disk);
    struct set *set = *slot;
    if (!set)
        return;
    sfs_workers_wait(shared->workers, &set->run);
    finish(set, sfs_io_complete);
    give_set(shared, set);
    *slot = NULL;
}

static void keep_result(struct sfs_io *io, int result)
{
    io->result = result;
}

static int windows_run(struct sfs_disk *disk, struct sfs_io *io)
{
    struct shared *shared = of(disk)->shared;
    if (io->op != SFS_IO_READ && io->op != SFS_IO_WRITE)
        return carry_out(disk, io);
    struct set *set = take_set(shared);
    if (!set)
        return SCALEFS_E_NOMEM;
    int r = SCALEFS_E_NOMEM;
    if (reserve(shared->env, set, 1)) {
        add(set, io);
        finish(set, keep_result);
        r = io->result;
    }
    give_set(shared, set);
    return r;
}

/* ---- opening */

static int windows_info(struct sfs_disk *d, struct sfs_disk_info *info)
{
    bool known;
    int64_t bytes = size_now(of(d), &known);
    if (!known || bytes <= 0)
        return SCALEFS_E_GONE;
    info->size_bytes = (uint64_t)bytes - (uint64_t)bytes % SFS_IO_ALIGN;
    return SCALEFS_OK;
}

static int windows_write_pointer(struct sfs_disk *disk, uint64_t offset, uint64_t *pointer)
{
    (void)disk;
    (void)offset;
    (void)pointer;
    return SCALEFS_E_NOTSUP;
}

static void windows_close(struct sfs_disk *d)
{
    struct windows_disk *disk = of(d);
    if (disk->handle != INVALID_HANDLE_VALUE)
        CloseHandle(disk->handle);
    sfs_free(d->env, disk);
}

static const struct sfs_disk_ops windows_ops = {
    .submit = windows_submit,
    .kick = windows_kick,
    .wait = windows_wait,
    .run = windows_run,
    .info = windows_info,
    .write_pointer = windows_write_pointer,
    .close = windows_close,
};

static void free_shared(struct sfs_env *env, struct shared *shared)
{
    if (!shared)
        return;
    sfs_workers_destroy(shared->workers);
    while (shared->free) {
        struct set *set = shared->free;
        shared->free = set->next;
        free_set(env, set);
    }
    sfs_mutex_deinit(&shared->mutex);
    sfs_free(env, shared);
}

static void destroy_shared(struct sfs_env *env)
{
    free_shared(env, env->disk_context);
    env->disk_context = NULL;
}

/* Several tasks may open the first disk at once: the first to put its object in place wins. */
static struct shared *get_shared(struct sfs_env *env)
{
    void *there = __atomic_load_n(&env->disk_context, __ATOMIC_ACQUIRE);
    if (there)
        return there;
    struct shared *mine = sfs_zalloc(env, sizeof *mine);
    if (!mine)
        return NULL;
    mine->env = env;
    sfs_mutex_init(&mine->mutex, env);
    if (sfs_workers_create(env, carry_out, &mine->workers)) {
        free_shared(env, mine);
        return NULL;
    }
    if (__atomic_compare_exchange_n(&env->disk_context, &there, mine, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&env->disk_context_destroy, destroy_shared, __ATOMIC_RELEASE);
        return mine;
    }
    free_shared(env, mine);
    return there;
}

/* False when somebody else has it. */
static bool lock(struct windows_disk *disk)
{
    struct set *set = take_set(disk->shared);
    DWORD got;
    if (!set)
        return false;
    OVERLAPPED at = {.OffsetHigh = LOCK_OFFSET_HIGH, .hEvent = set->event};
    bool good =
        LockFileEx(disk->handle, LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at);
    if (!good && GetLastError() == ERROR_IO_PENDING)
        good = GetOverlappedResult(disk->handle, &at, &got, TRUE);
    give_set(disk->shared, set);
    return good;
}

static int describe(struct windows_disk *disk, bool device, struct scalefs_error_info *info)
{
    struct sfs_disk_info *d = &disk->disk.info;
    d->kind = device ? SFS_DISK_WINDOWS_VOLUME : SFS_DISK_FILE;
    d->sector_bytes = 512;
    d->discard = !device;
    DISK_GEOMETRY geometry;
    if (device &&
        control(disk, IOCTL_DISK_GET_DRIVE_GEOMETRY, NULL, 0, &geometry, sizeof geometry) &&
        geometry.BytesPerSector == SFS_IO_ALIGN)
        d->sector_bytes = SFS_IO_ALIGN;
    int r = windows_info(&disk->disk, d);
    if (r && device)
        return sfs_refuse(info, r, "%s has no size: there is no medium in it, or it is gone.",
                          d->path);
    if (r || d->size_bytes < SFS_IO_ALIGN)
        return sfs_refuse(info, SCALEFS_E_TOO_SMALL,
                          "%s is too small for a disk: it has less than 4096 bytes.", d->path);
    return SCALEFS_OK;
}

static int open_checked(struct windows_disk *disk, const char *path, unsigned flags,
                        struct scalefs_error_info *info)
{
    wchar_t wide[SFS_WIDE_PATH];
    bool device = sfs_windows_is_device(path);
    int r = sfs_windows_path(path, wide, disk->disk.info.path, sizeof disk->disk.info.path);
    if (r)
        return sfs_refuse(info, r, "%s cannot be opened: it is not a usable path.", path);
    DWORD kind = GetFileAttributesW(wide);
    if (!device && kind != INVALID_FILE_ATTRIBUTES && (kind & FILE_ATTRIBUTE_DIRECTORY))
        return sfs_refuse(info, SCALEFS_E_NOTSUP,
                          "%s is a folder; a disk is a file or a device.", path);
    bool exclusive = flags & SFS_DISK_EXCLUSIVE;
    disk->handle =
        CreateFileW(wide, disk->read_only ? GENERIC_READ : GENERIC_READ | GENERIC_WRITE,
                    exclusive && !device ? FILE_SHARE_READ : FILE_SHARE_READ | FILE_SHARE_WRITE,
                    NULL, OPEN_EXISTING, FILE_FLAG_OVERLAPPED | FILE_FLAG_NO_BUFFERING, NULL);
    if (disk->handle == INVALID_HANDLE_VALUE)
        return sfs_windows_refuse(info, path, "opened", GetLastError());
    if (exclusive && !(device ? control(disk, FSCTL_LOCK_VOLUME, NULL, 0, NULL, 0) : lock(disk)))
        return sfs_windows_refuse(info, path, "opened", ERROR_SHARING_VIOLATION);
    return describe(disk, device, info);
}

int sfs_native_open(struct sfs_env *env, const char *path, unsigned flags, struct sfs_disk **out,
                    struct scalefs_error_info *info)
{
    struct shared *shared = get_shared(env);
    struct windows_disk *disk = shared ? sfs_zalloc(env, sizeof *disk) : NULL;
    if (!disk)
        return sfs_refuse(info, SCALEFS_E_NOMEM, "%s cannot be opened: not enough memory.",
                          path);
    disk->disk.env = env;
    disk->disk.ops = &windows_ops;
    disk->shared = shared;
    disk->handle = INVALID_HANDLE_VALUE;
    disk->read_only = flags & SFS_DISK_READ_ONLY;
    int r = open_checked(disk, path, flags, info);
    if (r)
        windows_close(&disk->disk);
    else
        *out = &disk->disk;
    return r;
}
