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
 */
#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "drivers/driver.h"

enum { MAX_IDLE = 3, SURPLUS_SECONDS = 10, STOP_RETRY_MS = 10 };
enum { LINGER_NS = 200000, INTERRUPTED_NS = 40000, CALM_NS = 100000000, SLICE_NS = 100000 };

static int start_worker(struct driver *d);

static void worker_free(struct worker *w)
{
    free(w->request.mem);
    free(w->reply);
    free(w);
}

static void tell_idle(struct driver *d)
{
    uint64_t one = 1;
    (void)!write(d->idle_fd, &one, sizeof one);
}

/* Gives up the worker's slot; under d->lock. */
static void drop_slot(struct driver *d, struct worker *w)
{
    d->slots[w->slot].used = false;
    d->workers--;
}

static bool is_quick(const struct fuse_buf *request)
{
    const struct fuse_in_header *in = request->mem;
    return in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET;
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
    bool go = d->workers > MAX_IDLE;
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

/* Looks for the next request without sleeping. Nobody waits for the answer to a WRITE: the kernel writes from its cache. */
static void linger(struct driver *d, const struct fuse_in_header *last)
{
    uint64_t now = now_ns(), until = now + LINGER_NS;
    if (last->opcode == FUSE_WRITE || !atomic_load(&d->lively) || now < atomic_load(&d->calm_until) ||
        atomic_exchange(&d->lingers, true))
        return;
    struct pollfd fd = {.fd = d->fuse_fd, .events = POLLIN};
    bool found = false;
    while (now < until && !(found = poll(&fd, 1, 0) != 0)) {
        uint64_t before = now;
        now = now_ns();
        if (now - before > INTERRUPTED_NS) { /* another had the processor meanwhile */
            atomic_store(&d->calm_until, now + CALM_NS);
            break;
        }
    }
    if (!found)
        atomic_store(&d->lively, false);
    atomic_store(&d->lingers, false);
}

/* A request has come, the last answer went at `answered`: is it worth lingering after this one? */
static void note_pace(struct driver *d, uint64_t answered)
{
    atomic_store(&d->lively, now_ns() - answered < LINGER_NS);
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

static void *work(void *argument)
{
    struct worker *w = argument;
    struct driver *d = w->driver;
    uint64_t answered = 0;
    take_short_turns();
    while (!atomic_load(&d->stopping)) {
        if (d->may_linger && answered)
            linger(d, w->request.mem);
        atomic_fetch_add(&d->idle, 1);
        int got = fuse_session_receive_buf(d->session, &w->request);
        bool none_waits = atomic_fetch_sub(&d->idle, 1) == 1;
        if (got == -EINTR || got == -EAGAIN)
            continue;
        if (got <= 0)
            break;
        if (d->may_linger && answered)
            note_pace(d, answered);
        if (none_waits && !is_quick(&w->request)) {
            atomic_store(&d->all_busy, now_seconds());
            (void)start_worker(d); /* when it can't be, this one does it all */
        }
        if (!sfs_drivers_raw(w))
            fuse_session_process_buf(d->session, &w->request);
        answered = now_ns();
        if (superfluous(d, w)) {
            worker_free(w);
            return NULL;
        }
    }
    pthread_mutex_lock(&d->lock);
    drop_slot(d, w);
    bool last = d->workers == 0;
    pthread_mutex_unlock(&d->lock);
    worker_free(w);
    if (last)
        tell_idle(d);
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
    /* Page-aligned data, and a header that ends where they begin. */
    w->reply = aligned_alloc(4096, 4096 + DRIVER_MAX_TRANSFER);
    if (!w->reply || pthread_attr_init(&attr)) {
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
        for (unsigned i = 0; i < DRIVER_MAX_WORKERS; i++)
            if (d->slots[i].used)
                pthread_kill(d->slots[i].thread, SIGUSR1);
        pthread_mutex_unlock(&d->lock);
        if (!left)
            return;
        nanosleep(&(struct timespec){.tv_nsec = STOP_RETRY_MS * 1000000L}, NULL);
    }
}
