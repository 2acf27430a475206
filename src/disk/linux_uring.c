/* Requests through io_uring, from a pool of rings.
 *
 * A batch takes a ring from the free list with its first request and gives it back when it has been
 * waited for, so a ring never serves two batches at once: whoever waits reaps its own completions,
 * and no completion task and no hand-off is needed (a wake-up on another CPU costs more than a
 * small read). All requests of the batch, on any number of disks, go in with one system call.
 *
 * A ring is touched by the submitting task until the kick, and by the waiting one afterwards; what
 * orders the two is the caller's (a batch is handed from task to task). Only the free list is
 * locked.
 *
 * At most DEPTH requests are in flight; the rest of a larger batch, and what remains of requests
 * cut short, stands in the ring's `queue` until the waiting task finds room. Requests that would
 * not gain from the ring (`direct`) are carried out by the waiting task while the others are in
 * flight.
 *
 * A disk that answers within microseconds has done so before a processor that went to sleep is awake
 * again. So whoever reads a little from such a disk, and nothing else, stays awake for the answer
 * (`read_awake`): one reader at a time, not where there is one processor alone, and not for a while
 * after it noticed that others want this one.
 *
 * Where no ring can be had (too many open files, no memory) the requests are carried out at once,
 * by blocking calls: slower, and as correct.
 */
#include <errno.h>
#include <liburing.h>
#include <unistd.h>

#include "base/assert.h"
#include "disk/linux.h"

#define DEPTH 128 /* a power of two; completions have twice as many places */
#define KEPT 32   /* free rings beyond this many are closed */
#define FAST_FLUSH                                                                                 \
    60000 /* ns: a flush faster than this is not worth the wake-up of a kernel worker */

/* Of reads that are waited for awake: bytes at most, how fast they were of late, for how long, what is no longer the
 * disk's time but another's on this processor, and for how long that is left alone, at first and at last. */
enum { SMALL_READ = 64 * 1024, FAST_READ = 80000, AWAKE_NS = 100000, INTERRUPTED_NS = 40000 };
enum { CALM_NS = 1000000, LONG_CALM_NS = 100000000 };

struct ring {
    struct io_uring uring;
    struct sfs_io_list queue, direct;
    unsigned in_flight; /* given to the ring and not reaped */
    struct ring *next;
};

struct sfs_linux_rings {
    struct sfs_env *env;
    struct sfs_mutex mutex;
    struct ring *free;
    unsigned free_count;
    bool may_stay_awake, awake; /* more than one processor; a reader does at the moment (atomic) */
    uint64_t calm_until, calm_ns; /* no reader does before; and the next time so long (relaxed) */
};

static struct ring *open_ring(struct sfs_env *env)
{
    struct ring *ring = sfs_zalloc(env, sizeof *ring);
    if (ring && io_uring_queue_init(DEPTH, &ring->uring, 0)) {
        sfs_free(env, ring);
        ring = NULL;
    }
    return ring;
}

static void close_ring(struct sfs_env *env, struct ring *ring)
{
    io_uring_queue_exit(&ring->uring);
    sfs_free(env, ring);
}

static struct ring *take_ring(struct sfs_linux_rings *rings)
{
    sfs_mutex_lock(&rings->mutex);
    struct ring *ring = rings->free;
    if (ring) {
        rings->free = ring->next;
        rings->free_count--;
    }
    sfs_mutex_unlock(&rings->mutex);
    return ring ? ring : open_ring(rings->env);
}

static void give_ring(struct sfs_linux_rings *rings, struct ring *ring)
{
    SFS_ASSERT(!ring->in_flight && !ring->queue.first && !ring->direct.first);
    sfs_mutex_lock(&rings->mutex);
    bool keep = rings->free_count < KEPT;
    if (keep) {
        ring->next = rings->free;
        rings->free = ring;
        rings->free_count++;
    }
    sfs_mutex_unlock(&rings->mutex);
    if (!keep)
        close_ring(rings->env, ring);
}

/* Kernels before 5.6 have rings that cannot do what is needed here. */
static bool able(struct ring *ring)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(&ring->uring);
    bool good = probe && io_uring_opcode_supported(probe, IORING_OP_READ) &&
                io_uring_opcode_supported(probe, IORING_OP_WRITE) &&
                io_uring_opcode_supported(probe, IORING_OP_FSYNC);
    if (probe)
        io_uring_free_probe(probe);
    return good && (ring->uring.features & IORING_FEAT_NODROP);
}

struct sfs_linux_rings *sfs_linux_rings_create(struct sfs_env *env)
{
    struct ring *first = open_ring(env);
    if (!first)
        return NULL;
    struct sfs_linux_rings *rings = able(first) ? sfs_zalloc(env, sizeof *rings) : NULL;
    if (!rings) {
        close_ring(env, first);
        return NULL;
    }
    rings->env = env;
    rings->may_stay_awake = sysconf(_SC_NPROCESSORS_ONLN) > 1;
    sfs_mutex_init(&rings->mutex, env);
    give_ring(rings, first);
    return rings;
}

void sfs_linux_rings_destroy(struct sfs_env *env, struct sfs_linux_rings *rings)
{
    if (!rings)
        return;
    while (rings->free) {
        struct ring *ring = rings->free;
        rings->free = ring->next;
        close_ring(env, ring);
    }
    sfs_mutex_deinit(&rings->mutex);
    sfs_free(env, rings);
}

/* A flush is always a kernel worker's work, never asynchronous in itself: where flushes were fast
 * of late the waiting task does better. The mean fades, so that a disk which was slow once gets
 * another trial. */
static bool wants_ring(struct sfs_linux_disk *disk, const struct sfs_io *io)
{
    if (disk->in_memory || io->op == SFS_IO_DISCARD)
        return false;
    if (io->op != SFS_IO_FLUSH)
        return true;
    uint64_t mean = __atomic_load_n(&disk->flush_ns, __ATOMIC_RELAXED);
    if (mean < FAST_FLUSH)
        return false;
    __atomic_store_n(&disk->flush_ns, mean - mean / 16, __ATOMIC_RELAXED);
    return true;
}

static void ring_submit(struct sfs_disk *d, struct sfs_io *io)
{
    struct sfs_linux_disk *disk = (struct sfs_linux_disk *)d;
    void **slot = sfs_io_backend(io->batch, d);
    if (!*slot)
        *slot = take_ring(disk->shared->rings);
    struct ring *ring = *slot;
    if (!ring)
        sfs_io_complete(io, sfs_linux_run(d, io));
    else
        sfs_io_push(wants_ring(disk, io) ? &ring->queue : &ring->direct, io);
}

static void prepare(struct io_uring_sqe *sqe, struct sfs_io *io)
{
    int fd = ((struct sfs_linux_disk *)io->disk)->fd;
    uint64_t done = io->backend[0], rest = io->len - done;
    unsigned part = (unsigned)(rest < SFS_IO_CHUNK ? rest : SFS_IO_CHUNK);
    if (io->op == SFS_IO_FLUSH)
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
    else if (io->op == SFS_IO_WRITE)
        io_uring_prep_write(sqe, fd, (uint8_t *)io->buf + done, part, io->offset + done);
    else
        io_uring_prep_read(sqe, fd, (uint8_t *)io->buf + done, part, io->offset + done);
    io_uring_sqe_set_data(sqe, io);
}

/* Gives the ring as much as it may have; the next system call on it takes it to the kernel. */
static void fill(struct ring *ring)
{
    while (ring->queue.first && ring->in_flight < DEPTH) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
        if (!sqe)
            break;
        prepare(sqe, sfs_io_pop(&ring->queue));
        ring->in_flight++;
    }
}

static void run_one(struct sfs_env *env, struct sfs_io *io)
{
    struct sfs_linux_disk *disk = (struct sfs_linux_disk *)io->disk;
    uint64_t start = sfs_now_ns(env);
    int result = sfs_linux_run(io->disk, io);
    if (io->op == SFS_IO_FLUSH) {
        uint64_t took = sfs_now_ns(env) - start;
        uint64_t mean = __atomic_load_n(&disk->flush_ns, __ATOMIC_RELAXED);
        __atomic_store_n(&disk->flush_ns, mean - mean / 4 + took / 4, __ATOMIC_RELAXED);
    }
    sfs_io_complete(io, result);
}

static void run_direct(struct sfs_env *env, struct ring *ring)
{
    for (struct sfs_io *io; (io = sfs_io_pop(&ring->direct));)
        run_one(env, io);
}

static void ring_kick(struct sfs_disk *disk, struct sfs_io_batch *batch)
{
    struct ring *ring = *sfs_io_backend(batch, disk);
    if (!ring)
        return;
    fill(ring);
    if (ring->in_flight)
        io_uring_submit(&ring->uring); /* what it does not take now, the wait gives again */
    else
        run_direct(batch->env, ring); /* nothing to wait for; what is to be written is in the processor's cache now */
}

static void reap_one(struct ring *ring, struct sfs_io *io, int res)
{
    struct sfs_linux_disk *disk = (struct sfs_linux_disk *)io->disk;
    if (res == -EINTR || res == -EAGAIN || res == -ECANCELED) {
        /* ECANCELED: the task that submitted it has ended meanwhile. */
        sfs_io_complete(io, sfs_linux_run_from(disk, io, io->backend[0]));
    } else if (res < 0) {
        sfs_io_complete(io, sfs_linux_failed(disk, io, -res));
    } else if (io->op == SFS_IO_FLUSH) {
        sfs_io_complete(io, SCALEFS_OK);
    } else if (res == 0 || res % 512) {
        sfs_io_complete(io, sfs_linux_short(disk, io));
    } else if ((io->backend[0] += (uint64_t)res) == io->len) {
        sfs_io_complete(io, SCALEFS_OK);
    } else {
        sfs_io_push(&ring->queue, io);
    }
}

/* Reaps what is there; false when nothing was. */
static bool reap(struct ring *ring)
{
    struct io_uring_cqe *cqes[DEPTH];
    unsigned got = io_uring_peek_batch_cqe(&ring->uring, cqes, DEPTH);
    for (unsigned i = 0; i < got; i++) {
        struct sfs_io *io = io_uring_cqe_get_data(cqes[i]);
        int res = cqes[i]->res;
        ring->in_flight--;
        reap_one(ring, io, res);
    }
    io_uring_cq_advance(&ring->uring, got);
    return got > 0;
}

static void ring_wait(struct sfs_disk *d, struct sfs_io_batch *batch)
{
    void **slot = sfs_io_backend(batch, d);
    struct ring *ring = *slot;
    if (!ring)
        return;
    run_direct(batch->env, ring);
    while (ring->queue.first || ring->in_flight) {
        fill(ring);
        if (reap(ring))
            continue;
        /* With more to send, the first completion makes room; else one wake-up for all. */
        int r = io_uring_submit_and_wait(&ring->uring, ring->queue.first ? 1 : ring->in_flight);
        if (r < 0 && r != -EINTR)
            sfs_task_sleep(batch->env, 1000000); /* the kernel is short of memory: it passes */
    }
    give_ring(((struct sfs_linux_disk *)d)->shared->rings, ring);
    *slot = NULL;
}

/* --- one small read --- */

static bool fast(struct sfs_linux_disk *disk, const struct sfs_linux_rings *rings, uint64_t now)
{
    return rings->may_stay_awake && __atomic_load_n(&disk->read_ns, __ATOMIC_RELAXED) < FAST_READ &&
           now >= __atomic_load_n(&rings->calm_until, __ATOMIC_RELAXED);
}

/* The disk was not done, or another had the processor: that one is let alone twice as long as the last time. */
static void calm_down(struct sfs_linux_rings *rings, uint64_t now)
{
    uint64_t calm = __atomic_load_n(&rings->calm_ns, __ATOMIC_RELAXED);
    calm = calm ? calm * 2 < LONG_CALM_NS ? calm * 2 : LONG_CALM_NS : CALM_NS;
    __atomic_store_n(&rings->calm_ns, calm, __ATOMIC_RELAXED);
    __atomic_store_n(&rings->calm_until, now + calm, __ATOMIC_RELAXED);
}

/* The one completion that is under way in the ring; the number of bytes, or the negative errno. */
static int await_one(struct sfs_linux_rings *rings, struct ring *ring)
{
    struct io_uring_cqe *cqe;
    uint64_t now = sfs_now_ns(rings->env), until = now + AWAKE_NS;
    bool found = false, alone = true;
    int r = io_uring_submit(&ring->uring);
    while (r == 1 && alone && now < until && !(found = !io_uring_peek_cqe(&ring->uring, &cqe))) {
        uint64_t before = now;
        now = sfs_now_ns(rings->env);
        alone = now - before < INTERRUPTED_NS;
    }
    if (found)
        __atomic_store_n(&rings->calm_ns, 0, __ATOMIC_RELAXED);
    else
        calm_down(rings, now);
    while (!found) {
        r = io_uring_submit_and_wait(&ring->uring, 1);
        found = !io_uring_peek_cqe(&ring->uring, &cqe);
        if (!found && r < 0 && r != -EINTR)
            sfs_task_sleep(rings->env, 1000000); /* the kernel is short of memory: it passes */
    }
    r = cqe->res;
    io_uring_cqe_seen(&ring->uring, cqe);
    return r;
}

static int read_awake(struct sfs_linux_rings *rings, struct sfs_linux_disk *disk, struct sfs_io *io)
{
    struct ring *ring = take_ring(rings);
    int got = 0;
    if (ring) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
        SFS_ASSERT(sqe); /* nothing is under way in a free ring */
        io->backend[0] = 0;
        prepare(sqe, io);
        got = await_one(rings, ring);
        give_ring(rings, ring);
    }
    if (got > 0 && (uint64_t)got == io->len)
        return SCALEFS_OK;
    return sfs_linux_run_from(disk, io, 0); /* what it makes of an error counts */
}

static int ring_run(struct sfs_disk *d, struct sfs_io *io)
{
    struct sfs_linux_disk *disk = (struct sfs_linux_disk *)d;
    struct sfs_linux_rings *rings = disk->shared->rings;
    if (io->op != SFS_IO_READ || io->len > SMALL_READ || disk->in_memory)
        return sfs_linux_run(d, io);
    uint64_t start = sfs_now_ns(d->env), mean = __atomic_load_n(&disk->read_ns, __ATOMIC_RELAXED);
    bool awake = fast(disk, rings, start) && !__atomic_exchange_n(&rings->awake, true, __ATOMIC_ACQUIRE);
    int r = awake ? read_awake(rings, disk, io) : sfs_linux_run(d, io);
    if (awake)
        __atomic_store_n(&rings->awake, false, __ATOMIC_RELEASE);
    uint64_t took = sfs_now_ns(d->env) - start;
    __atomic_store_n(&disk->read_ns, mean - mean / 8 + took / 8, __ATOMIC_RELAXED);
    return r;
}

const struct sfs_disk_ops sfs_linux_ring_ops = {
    .submit = ring_submit,
    .kick = ring_kick,
    .wait = ring_wait,
    .run = ring_run,
    .info = sfs_linux_info,
    .write_pointer = sfs_linux_write_pointer,
    .close = sfs_linux_close,
};
