/* See workers.h. One mutex guards everything; it is not held while a request is carried out.
 *
 * A request is in one of three places: its run's `waiting` list, in somebody's hands (`in_hand`
 * counts them), or its run's `finished` list. Runs with waiting requests stand in a queue, served
 * in turn.
 */
#include "disk/workers.h"

#include "base/assert.h"
#include "disk/native.h"

#define MOST_TASKS 16

struct run {
    struct sfs_io_list waiting, finished;
    size_t waiting_count, in_hand;
    struct sfs_cond done; /* in_hand became 0 */
    bool queued;
    struct run *next; /* in the queue, or among the free */
};

struct sfs_workers {
    struct sfs_env *env;
    int (*carry_out)(struct sfs_disk *disk, struct sfs_io *io);
    struct sfs_mutex mutex;
    struct sfs_cond work; /* something was queued, or `stopping` */
    struct run *queue_first, *queue_last, *free;
    size_t idle, woken;
    size_t task_count;
    bool stopping;
    struct sfs_task *tasks[MOST_TASKS];
};

int sfs_workers_create(struct sfs_env *env,
                       int (*carry_out)(struct sfs_disk *disk, struct sfs_io *io),
                       struct sfs_workers **workers)
{
    struct sfs_workers *w = *workers = sfs_zalloc(env, sizeof *w);
    if (!w)
        return SCALEFS_E_NOMEM;
    w->env = env;
    w->carry_out = carry_out;
    sfs_mutex_init(&w->mutex, env);
    sfs_cond_init(&w->work, env);
    return SCALEFS_OK;
}

void sfs_workers_destroy(struct sfs_workers *w)
{
    if (!w)
        return;
    sfs_mutex_lock(&w->mutex);
    SFS_ASSERT(!w->queue_first);
    w->stopping = true;
    sfs_cond_broadcast(&w->work);
    sfs_mutex_unlock(&w->mutex);
    for (size_t i = 0; i < w->task_count; i++)
        sfs_task_join(w->env, w->tasks[i]);
    while (w->free) {
        struct run *run = w->free;
        w->free = run->next;
        sfs_cond_deinit(&run->done);
        sfs_free(w->env, run);
    }
    sfs_cond_deinit(&w->work);
    sfs_mutex_deinit(&w->mutex);
    sfs_free(w->env, w);
}

/* Takes a request of `run` and carries it out. Called, and returns, with the mutex held. */
static void do_one(struct sfs_workers *w, struct run *run)
{
    struct sfs_io *io = sfs_io_pop(&run->waiting);
    run->waiting_count--;
    run->in_hand++;
    sfs_mutex_unlock(&w->mutex);
    int result = w->carry_out(io->disk, io);
    sfs_mutex_lock(&w->mutex);
    io->result = result;
    sfs_io_push(&run->finished, io);
    if (--run->in_hand == 0)
        sfs_cond_signal(&run->done);
}

static void enqueue(struct sfs_workers *w, struct run *run)
{
    run->queued = true;
    run->next = NULL;
    if (w->queue_first)
        w->queue_last->next = run;
    else
        w->queue_first = run;
    w->queue_last = run;
}

/* The first run with something to do, out of the queue (and at its end again if there is more). */
static struct run *next_run(struct sfs_workers *w)
{
    struct run *run = w->queue_first;
    if (!run)
        return NULL;
    w->queue_first = run->next;
    run->queued = false;
    if (run->waiting_count > 1)
        enqueue(w, run);
    return run;
}

static void work(void *arg)
{
    struct sfs_workers *w = arg;
    sfs_mutex_lock(&w->mutex);
    for (;;) {
        struct run *run = next_run(w);
        if (run) {
            do_one(w, run);
            continue;
        }
        if (w->stopping)
            break;
        w->idle++;
        sfs_cond_wait(&w->work, &w->mutex);
        w->idle--;
        if (w->woken)
            w->woken--;
    }
    sfs_mutex_unlock(&w->mutex);
}

static struct run *take_run(struct sfs_workers *w)
{
    struct run *run = w->free;
    if (run) {
        w->free = run->next;
        return run;
    }
    run = sfs_zalloc(w->env, sizeof *run);
    if (run)
        sfs_cond_init(&run->done, w->env);
    return run;
}

void sfs_workers_queue(struct sfs_workers *w, void **slot, struct sfs_io *io)
{
    sfs_mutex_lock(&w->mutex);
    struct run *run = *slot ? *slot : take_run(w);
    *slot = run;
    if (run) {
        sfs_io_push(&run->waiting, io);
        run->waiting_count++;
    }
    sfs_mutex_unlock(&w->mutex);
    if (!run)
        sfs_io_complete(io, w->carry_out(io->disk, io));
}

void sfs_workers_kick(struct sfs_workers *w, void **slot)
{
    struct run *run = *slot;
    if (!run)
        return;
    sfs_mutex_lock(&w->mutex);
    if (run->waiting_count && !run->queued)
        enqueue(w, run);
    /* One request is left for the task that waits. A lone one is begun all the same: whoever wanted
     * it done while waiting has sfs_io_run. */
    size_t want = run->waiting_count > 1 ? run->waiting_count - 1 : run->waiting_count;
    while (want && w->idle > w->woken) {
        w->woken++;
        want--;
        sfs_cond_signal(&w->work);
    }
    while (want-- && w->task_count < MOST_TASKS && !w->stopping) {
        if (sfs_task_start(w->env, "disk", work, w, &w->tasks[w->task_count]))
            break;
        w->task_count++;
    }
    sfs_mutex_unlock(&w->mutex);
}

static void unqueue(struct sfs_workers *w, struct run *run)
{
    struct run **at = &w->queue_first, *before = NULL;
    while (*at != run) {
        before = *at;
        at = &before->next;
    }
    *at = run->next;
    if (w->queue_last == run)
        w->queue_last = before;
    run->queued = false;
}

void sfs_workers_wait(struct sfs_workers *w, void **slot)
{
    struct run *run = *slot;
    if (!run)
        return;
    sfs_mutex_lock(&w->mutex);
    while (run->waiting_count) {
        if (run->queued && run->waiting_count == 1)
            unqueue(w, run);
        do_one(w, run);
    }
    while (run->in_hand)
        sfs_cond_wait(&run->done, &w->mutex);
    struct sfs_io_list finished = run->finished;
    run->waiting = run->finished = (struct sfs_io_list){NULL, NULL};
    run->next = w->free;
    w->free = run;
    sfs_mutex_unlock(&w->mutex);
    *slot = NULL;
    for (struct sfs_io *io; (io = sfs_io_pop(&finished));)
        sfs_io_complete(io, io->result);
}
