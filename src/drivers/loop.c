/* The threads that take requests from the kernel and answer them.
 *
 * Few, because a request that is answered on the processor that asked is several times as fast as one
 * handed over, and idle readers draw requests away from it; but never none, because a request may wait
 * for the disks (fsync). So: a thread that leaves no other waiting starts one, and a thread that finds
 * enough waiting ends, but only when they have been enough for a while: starting one costs more than
 * many requests.
 */
#include <errno.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "drivers/driver.h"

enum { MAX_IDLE = 3, SURPLUS_SECONDS = 10, STOP_RETRY_MS = 10 };

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

static void *work(void *argument)
{
    struct worker *w = argument;
    struct driver *d = w->driver;
    while (!atomic_load(&d->stopping)) {
        atomic_fetch_add(&d->idle, 1);
        int got = fuse_session_receive_buf(d->session, &w->request);
        bool none_waits = atomic_fetch_sub(&d->idle, 1) == 1;
        if (got == -EINTR || got == -EAGAIN)
            continue;
        if (got <= 0)
            break;
        if (none_waits && !is_quick(&w->request)) {
            atomic_store(&d->all_busy, now_seconds());
            (void)start_worker(d); /* when it can't be, this one does it all */
        }
        if (!sfs_drivers_raw(w))
            fuse_session_process_buf(d->session, &w->request);
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
