/* The threads that take requests from the kernel and answer them.
 *
 * Few, because a request that is answered on the processor that asked is several times as fast as one
 * handed over, and idle readers draw requests away from it; but never none, because a request may wait
 * for the disks (fsync). So: a thread that leaves no other waiting starts one, and a thread that finds
 * enough waiting ends, but only when they have been enough for a while: starting one costs more than
 * many requests.
 *
 * Whoever makes one call after the other sends the next request soon after the answer. To sleep until then costs more than
 * all of the request when a processor must be woken for it, so one thread looks for it a little while (`linger`). It
 * does so only after requests that came so, and not for a while after it noticed that others want the processor.
 *
 * The kernel wakes a sleeping reader for each request all the same, which finds nothing left, or takes it to another processor.
 * So after some requests that one caller made strictly one after the other, the thread that answered the last has them
 * *alone*: the others are parked, out of the kernel's sight. As soon as another calls, a request is there already when an
 * answer goes, one waits longer than WATCH_NS for the answer to another, or none comes for a while, all take requests again.
 */
#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "drivers/driver.h"

enum { MAX_IDLE = 3, SURPLUS_SECONDS = 10, STOP_RETRY_MS = 10 };
enum { LINGER_NS = 200000, INTERRUPTED_NS = 40000, CALM_NS = 1000000, LONG_CALM_NS = 100000000, SLICE_NS = 100000 };
enum { IN_TURN = 16, WATCH_NS = 1000000, WATCHES = 20, PARKED_NS = 100000000 };

static int start_worker(struct driver *d);

static void worker_free(struct worker *w)
{
    free(w->memory);
    free(w->reply);
    free(w);
}

static void tell_idle(struct driver *d)
{
    uint64_t one = 1;
    (void)!write(d->idle_fd, &one, sizeof one);
}

/* Gives up the worker's slot, and before it what the worker has of the file system, which may be closed as soon as nobody has a
 * slot; under d->lock. */
static void drop_slot(struct driver *d, struct worker *w)
{
    scalefs_memory_put(d->fs, w->given);
    w->given = NULL;
    d->slots[w->slot].used = false;
    d->workers--;
}

static bool is_quick(const struct fuse_buf *request)
{
    const struct fuse_in_header *in = request->mem;
    return in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET;
}

static bool request_waits(const struct driver *d)
{
    struct pollfd fd = {.fd = d->fuse_fd, .events = POLLIN};
    return poll(&fd, 1, 0) != 0;
}

static long now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return t.tv_sec;
}

/* More than enough are waiting, and were all the time: this one may go, and has then given up its slot. */
static bool superfluous(struct driver *d, struct worker *w)
{
    if (atomic_load(&d->idle) < MAX_IDLE || now_seconds() - atomic_load(&d->all_busy) < SURPLUS_SECONDS)
        return false;
    pthread_mutex_lock(&d->lock);
    bool go = d->workers > MAX_IDLE && atomic_load(&d->alone) != w;
    if (go)
        drop_slot(d, w);
    pthread_mutex_unlock(&d->lock);
    return go;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Others want the processor: they are let alone, twice as long as the last time. */
static void calm_down(struct driver *d, uint64_t now)
{
    uint64_t calm = atomic_load(&d->calm_ns);
    calm = calm ? calm * 2 < LONG_CALM_NS ? calm * 2 : LONG_CALM_NS : CALM_NS;
    atomic_store(&d->calm_ns, calm);
    atomic_store(&d->calm_until, now + calm);
}

/* Looks for the next request without sleeping. Nobody waits for the answer to a WRITE: the kernel writes from its cache. */
static void linger(struct driver *d, const struct fuse_in_header *last)
{
    uint64_t now = now_ns(), until = now + LINGER_NS;
    if (last->opcode == FUSE_WRITE || !atomic_load(&d->lively) || now < atomic_load(&d->calm_until) ||
        atomic_exchange(&d->lingers, true))
        return;
    bool found = false;
    while (now < until && !(found = request_waits(d))) {
        uint64_t before = now;
        now = now_ns();
        if (now - before > INTERRUPTED_NS) { /* another had the processor meanwhile */
            calm_down(d, now);
            break;
        }
    }
    if (found)
        atomic_store(&d->calm_ns, 0);
    else
        atomic_store(&d->lively, false);
    atomic_store(&d->lingers, false);
}

/* A request has come: is it worth lingering after this one? */
static void note_pace(struct driver *d)
{
    atomic_store(&d->lively, now_ns() - atomic_load(&d->answered) < LINGER_NS);
}

/* --- one after the other --- */

/* The others come out of the kernel, and park. */
static void take_all(struct driver *d, struct worker *w)
{
    pthread_mutex_lock(&d->lock);
    if (!atomic_load(&d->alone) && !atomic_load(&d->stopping)) {
        atomic_store(&d->alone, w);
        for (unsigned i = 0; i < DRIVER_MAX_WORKERS; i++)
            if (d->slots[i].used && i != w->slot)
                pthread_kill(d->slots[i].thread, SIGUSR1);
    }
    pthread_mutex_unlock(&d->lock);
}

/* Under d->lock. */
static void let_in(struct driver *d)
{
    atomic_store(&d->in_turn, 0);
    atomic_store(&d->alone, NULL);
    pthread_cond_broadcast(&d->let_in);
}

static void share(struct driver *d, const struct worker *w)
{
    pthread_mutex_lock(&d->lock);
    if (atomic_load(&d->alone) == w)
        let_in(d);
    pthread_mutex_unlock(&d->lock);
}

/* An answer has gone. */
static void note_turn(struct driver *d, struct worker *w)
{
    bool alone = atomic_load(&d->alone) == w;
    uint32_t caller = w->last.pid;
    if (atomic_exchange(&d->caller, caller) != caller || atomic_load(&d->busy) > 0 || request_waits(d)) {
        atomic_store(&d->in_turn, 0);
        if (alone)
            share(d, w);
    } else if (!alone && atomic_fetch_add(&d->in_turn, 1) >= IN_TURN) {
        take_all(d, w);
    }
}

/* Until all take requests again. One of the parked sees to it when the one who is alone is long at a request and another
 * waits, or when nothing comes. */
static void park(struct driver *d, const struct worker *w)
{
    atomic_fetch_add(&d->idle, 1);
    pthread_mutex_lock(&d->lock);
    bool watches = !d->watched;
    d->watched = true;
    unsigned taken = atomic_load(&d->taken), idle = 0;
    for (struct worker *alone; (alone = atomic_load(&d->alone)) && alone != w && !atomic_load(&d->stopping);) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += watches ? WATCH_NS : PARKED_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&d->let_in, &d->lock, &until);
        unsigned now = atomic_load(&d->taken);
        idle = now == taken ? idle + 1 : 0;
        taken = now;
        if (watches && idle && atomic_load(&d->alone) && (idle == WATCHES || request_waits(d)))
            let_in(d);
    }
    if (watches)
        d->watched = false;
    pthread_mutex_unlock(&d->lock);
    atomic_fetch_sub(&d->idle, 1);
}

/* Somebody waits for each request, which takes microseconds: a worker wants its turn soon, and little of it. When
 * others keep the processors busy, the usual turn (milliseconds) of one of them would come before every request. Its
 * share of the time stays what it was. Kernels before 6.12 take no notice. */
static void take_short_turns(void)
{
#ifdef SYS_sched_setattr
    struct { /* sched_setattr(2): struct sched_attr in its first version */
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } a = {.size = sizeof a, .policy = SCHED_OTHER, .nice = getpriority(PRIO_PROCESS, 0), .runtime = SLICE_NS};
    if (sched_getscheduler(0) == SCHED_OTHER)
        (void)syscall(SYS_sched_setattr, 0, &a, 0);
#endif
}

/* Where the next request is read into: the data of a WRITE page-aligned, since the kernel copies whole pages then, and where
 * possible into memory that the file system may keep. */
static void choose_memory(struct worker *w)
{
    _Static_assert(SCALEFS_KEEP_MEMORY >= DRIVER_MAX_TRANSFER + 2 * 4096, "a request and its header");
    if (!w->given)
        w->given = scalefs_memory_get(w->driver->fs);
    uint8_t *memory = w->given ? w->given : w->memory;
    w->request.mem = memory + 4096 - sizeof(struct fuse_in_header) - sizeof(struct fuse_write_in);
}

static void *work(void *argument)
{
    struct worker *w = argument;
    struct driver *d = w->driver;
    bool answered = false;
    take_short_turns();
    while (!atomic_load(&d->stopping)) {
        struct worker *alone = atomic_load(&d->alone);
        if (alone && alone != w) {
            park(d, w);
            answered = false; /* long ago */
            continue;
        }
        if (d->may_linger && answered) {
            note_turn(d, w);
            linger(d, &w->last);
        }
        choose_memory(w);
        atomic_fetch_add(&d->idle, 1);
        int got = fuse_session_receive_buf(d->session, &w->request);
        bool none_waits = atomic_fetch_sub(&d->idle, 1) == 1;
        if (got == -EINTR || got == -EAGAIN)
            continue;
        if (got <= 0)
            break;
        memcpy(&w->last, w->request.mem, sizeof w->last);
        atomic_fetch_add(&d->busy, 1);
        atomic_fetch_add(&d->taken, 1);
        if (d->may_linger)
            note_pace(d);
        if (none_waits && !is_quick(&w->request)) {
            atomic_store(&d->all_busy, now_seconds());
            (void)start_worker(d); /* when it can't be, this one does it all */
        }
        if (!sfs_drivers_raw(w))
            fuse_session_process_buf(d->session, &w->request);
        atomic_fetch_sub(&d->busy, 1);
        atomic_store(&d->answered, now_ns());
        answered = true;
        if (superfluous(d, w)) {
            worker_free(w);
            return NULL;
        }
    }
    share(d, w);
    pthread_mutex_lock(&d->lock);
    drop_slot(d, w);
    if (d->workers == 0)
        tell_idle(d);
    pthread_mutex_unlock(&d->lock); /* from here on there may be no driver any more */
    worker_free(w);
    return NULL;
}

/* Takes a slot and starts a thread in it; under d->lock. */
static bool launch(struct driver *d, struct worker *w, const pthread_attr_t *attr)
{
    if (atomic_load(&d->stopping))
        return false;
    for (unsigned i = 0; i < DRIVER_MAX_WORKERS; i++) {
        if (d->slots[i].used)
            continue;
        w->slot = i;
        if (pthread_create(&d->slots[i].thread, attr, work, w))
            return false;
        d->slots[i].used = true;
        d->workers++;
        return true;
    }
    return false;
}

static int start_worker(struct driver *d)
{
    pthread_attr_t attr;
    struct worker *w = calloc(1, sizeof *w);
    if (!w)
        return SCALEFS_E_NOMEM;
    w->driver = d;
    w->reply = aligned_alloc(4096, 4096 + DRIVER_MAX_TRANSFER);
    w->memory = aligned_alloc(4096, SCALEFS_KEEP_MEMORY);
    if (!w->reply || !w->memory || pthread_attr_init(&attr)) {
        worker_free(w);
        return SCALEFS_E_NOMEM;
    }
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_mutex_lock(&d->lock);
    bool started = launch(d, w, &attr);
    pthread_mutex_unlock(&d->lock);
    pthread_attr_destroy(&attr);
    if (!started)
        worker_free(w);
    return started ? SCALEFS_OK : SCALEFS_E_NOMEM;
}

int sfs_drivers_loop_start(struct driver *d)
{
    d->may_linger = sysconf(_SC_NPROCESSORS_ONLN) > 1;
    return start_worker(d);
}

/* A reader in the kernel is woken by a signal; as the signal can come just before it goes there, it is
 * repeated until nobody is left. */
void sfs_drivers_loop_stop(struct driver *d)
{
    atomic_store(&d->stopping, true);
    for (;;) {
        pthread_mutex_lock(&d->lock);
        unsigned left = d->workers;
        pthread_cond_broadcast(&d->let_in);
        for (unsigned i = 0; i < DRIVER_MAX_WORKERS; i++)
            if (d->slots[i].used)
                pthread_kill(d->slots[i].thread, SIGUSR1);
        pthread_mutex_unlock(&d->lock);
        if (!left)
            return;
        nanosleep(&(struct timespec){.tv_nsec = STOP_RETRY_MS * 1000000L}, NULL);
    }
}
