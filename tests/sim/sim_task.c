/* Tasks, the choice of who runs next, virtual time, and locks of the simulated environment.
 *
 * Invariants:
 * 1. Exactly one fiber runs. `current` is the task whose fiber that is (or the host's, NULL), also
 *    while it chooses a successor in schedule().
 * 2. A task is in `ready` exactly when its state is SIM_READY, in the list of waiters of a mutex or
 *    cond exactly when its state says so, and its timer is in the heap only while it sleeps or waits
 *    with a deadline.
 * 3. A free mutex that tasks wait for has a task among `ready` that waited for it and will look
 *    again: each unlock wakes one. Newcomers may overtake it.
 */
#include "sim/sim_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Slots of a mutex and of a cond. */
enum { ID, OWNER, WAITERS, WAITER_COUNT, INITIALISED };
#define MUTEX_MAGIC 0x6d75746578u
#define COND_MAGIC 0x636f6e64u
#define HOST_OWNS 1u /* no address of a task */

/* Events: a heap by (time, order of adding) -------------------------------------------------- */

static bool earlier(const struct sim_event *a, const struct sim_event *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void put_event(struct sim_env *sim, size_t place, struct sim_event *e)
{
    sim->heap[place] = e;
    e->place = place;
}

static void rise(struct sim_env *sim, size_t i, struct sim_event *e)
{
    for (; i > 1 && earlier(e, sim->heap[i / 2]); i /= 2)
        put_event(sim, i, sim->heap[i / 2]);
    put_event(sim, i, e);
}

static void sink(struct sim_env *sim, size_t i, struct sim_event *e)
{
    for (size_t child; (child = 2 * i) <= sim->event_count; i = child) {
        if (child < sim->event_count && earlier(sim->heap[child + 1], sim->heap[child]))
            child++;
        if (!earlier(sim->heap[child], e))
            break;
        put_event(sim, i, sim->heap[child]);
    }
    put_event(sim, i, e);
}

void sim_event_add(struct sim_env *sim, struct sim_event *e, uint64_t at,
                   void (*fn)(struct sim_env *, struct sim_event *))
{
    if (sim->event_count + 2 > sim->event_room) {
        sim->event_room = sim->event_room * 2 + 16;
        sim->heap = sim_must(realloc(sim->heap, sim->event_room * sizeof *sim->heap));
    }
    e->at = at;
    e->seq = sim->next_event++;
    e->fn = fn;
    rise(sim, ++sim->event_count, e);
}

void sim_event_cancel(struct sim_env *sim, struct sim_event *e)
{
    if (!e->place)
        return;
    size_t hole = e->place;
    struct sim_event *last = sim->heap[sim->event_count--];
    e->place = 0;
    if (last == e)
        return;
    if (hole > 1 && earlier(last, sim->heap[hole / 2]))
        rise(sim, hole, last);
    else
        sink(sim, hole, last);
}

static void fire_due(struct sim_env *sim)
{
    while (sim->event_count && sim->heap[1]->at <= sim->now) {
        struct sim_event *e = sim->heap[1];
        sim_event_cancel(sim, e);
        e->fn(sim, e);
    }
}

/* Choosing ------------------------------------------------------------------------------------ */

void sim_env_note(struct sim_env *sim, uint64_t what)
{
    sim->digest = prng_rotate(sim->digest ^ what, 29) * 0x9fb21c651e98df25u;
}

_Noreturn void sim_stop(struct sim_env *sim, enum sim_end end)
{
    sim->end = end;
    if (end != SIM_FINISHED && end != SIM_CUT)
        sim_print_report(sim, end);
    struct sim_task *t = sim->current;
    sim->current = NULL;
    fiber_switch(t->fiber, sim->host);
    abort(); /* nobody switches to a stopped world */
}

static void make_ready(struct sim_env *sim, struct sim_task *t)
{
    if (sim->ready_count == sim->ready_room) {
        sim->ready_room = sim->ready_room * 2 + 16;
        sim->ready = sim_must(realloc(sim->ready, sim->ready_room * sizeof *sim->ready));
    }
    t->state = SIM_READY;
    sim->ready[sim->ready_count++] = t;
}

static struct sim_task *take_next(struct sim_env *sim)
{
    size_t n = sim->ready_count, i = (size_t)prng_below(&sim->choice, n);
    if (sim->starves) {
        if (prng_chance(&sim->choice, 1, 1000))
            sim->starved = 1 + (unsigned)prng_below(&sim->choice, sim->next_id);
        if (sim->ready[i]->id == sim->starved && n > 1 && prng_chance(&sim->choice, 31, 32))
            i = (i + 1) % n;
    }
    struct sim_task *t = sim->ready[i];
    sim->ready[i] = sim->ready[--sim->ready_count];
    return t;
}

static void jump_to_next_event(struct sim_env *sim)
{
    if (sim->now < sim->heap[1]->at)
        sim->now = sim->heap[1]->at;
    if (sim->now - sim->options.start_ns > sim->options.max_ns)
        sim_stop(sim, SIM_LIVELOCK);
    if (sim->options.cut_after_ns && sim->now - sim->options.start_ns >= sim->options.cut_after_ns)
        sim_stop(sim, SIM_CUT);
    fire_due(sim);
}

static bool services_idle(const struct sim_env *sim)
{
    for (struct sim_task *t = sim->first; t; t = t->next)
        if (t->service && t->state != SIM_IDLE)
            return false;
    return !sim->work_first;
}

/* Gives the baton away; returns when `current` has it again. The caller has said what it waits for,
 * or is ready. */
static void schedule(struct sim_env *sim)
{
    if (sim->jump_of && sim->event_count && prng_chance(&sim->choice, 1, sim->jump_of))
        jump_to_next_event(sim);
    while (!sim->ready_count) {
        if (sim->main_done && services_idle(sim))
            sim_stop(sim, SIM_FINISHED);
        if (sim->main_done || !sim->event_count)
            sim_stop(sim, SIM_DEADLOCK);
        jump_to_next_event(sim);
    }
    struct sim_task *from = sim->current, *to = take_next(sim);
    to->state = SIM_RUNNING;
    sim_env_note(sim, to->id);
    if (sim->options.verbose > 1)
        fprintf(stderr, "%" PRIu64 " %" PRIu64 " -> %s\n", sim->now, sim->steps, to->name);
    if (to == from)
        return;
    sim->switches++;
    sim->current = to;
    fiber_switch(from->fiber, to->fiber);
}

/* Time passes; a world ends here when its time has come. */
static void step(struct sim_env *sim)
{
    sim->steps++;
    sim->now += prng_below(&sim->choice, sim->tick_ns);
    if (sim->steps >= sim->options.max_steps)
        sim_stop(sim, SIM_LIVELOCK);
    if (sim->steps == sim->options.cut_at_step)
        sim_stop(sim, SIM_CUT);
    if (sim->options.cut_after_ns && sim->now - sim->options.start_ns >= sim->options.cut_after_ns)
        sim_stop(sim, SIM_CUT);
    fire_due(sim);
}

static void give_way(struct sim_env *sim)
{
    make_ready(sim, sim->current);
    schedule(sim);
}

/* A point where another task may run. Nothing happens outside of tasks. */
static void point(struct sim_env *sim)
{
    if (!sim->current)
        return;
    step(sim);
    if (sim->ready_count && prng_chance(&sim->choice, 1, sim->switch_of))
        give_way(sim);
}

static void block(struct sim_env *sim, enum sim_state state)
{
    if (!sim->current)
        sim_fail(sim, "something that blocks was called outside of tasks");
    sim->current->state = state;
    schedule(sim);
}

void sim_yield(struct sim_env *sim)
{
    fiber_quiet();
    if (sim->current) {
        step(sim);
        give_way(sim);
    }
    fiber_loud();
}

_Noreturn void sim_env_cut(struct sim_env *sim)
{
    fiber_quiet();
    if (!sim->current)
        sim_fail(sim, "a cut outside of tasks");
    sim_stop(sim, SIM_CUT);
}

void sim_env_cut_in(struct sim_env *sim, uint64_t ios)
{
    sim->options.cut_at_io = sim->ios + ios;
}

void sim_env_count_io(struct sim_env *sim)
{
    if (++sim->ios == sim->options.cut_at_io && sim->current)
        sim_stop(sim, SIM_CUT);
    point(sim);
}

/* Tasks --------------------------------------------------------------------------------------- */

static void exit_task(struct sim_env *sim, struct sim_task *self)
{
    self->state = SIM_DONE;
    for (struct sim_task *t = sim->first; t; t = t->next) {
        if (t->state == SIM_JOINS && t->joined == self)
            make_ready(sim, t);
        if (self == sim->first && t != self && !t->service)
            sim_fail(sim, "the first task has returned, but task %s was %s", t->name,
                     t->state == SIM_DONE ? "not joined" : "still there");
    }
    if (self == sim->first)
        sim->main_done = true;
    schedule(sim);
    abort();
}

static void task_body(void *arg)
{
    struct sim_task *t = arg;
    fiber_acquire(t);
    t->fn(t->arg);
    fiber_release(t);
    fiber_quiet();
    exit_task(t->sim, t);
}

static struct sim_task *task_create(struct sim_env *sim, const char *name, void (*fn)(void *),
                                    void *arg)
{
    struct sim_task *t = sim_must(calloc(1, sizeof *t));
    t->sim = sim;
    t->id = sim->next_id++;
    snprintf(t->name, sizeof t->name, "%s", name);
    t->fn = fn;
    t->arg = arg;
    t->fiber = fiber_create(task_body, t, SIM_STACK);
    t->prev = sim->last;
    *(sim->last ? &sim->last->next : &sim->first) = t;
    sim->last = t;
    fiber_release(t);
    return t;
}

void sim_task_destroy(struct sim_env *sim, struct sim_task *t)
{
    *(t->prev ? &t->prev->next : &sim->first) = t->next;
    *(t->next ? &t->next->prev : &sim->last) = t->prev;
    fiber_destroy(t->fiber);
    free(t);
}

enum sim_end sim_env_run(struct sim_env *sim, void (*fn)(void *), void *arg)
{
    if (sim->end != SIM_FINISHED || sim->current || (sim->first && !sim->first->service))
        sim_fail(sim, "a world that has ended otherwise than by finishing cannot go on");
    sim_clear_report(sim);
    sim->main_done = false;
    struct sim_task *main = task_create(sim, "main", fn, arg);
    if (main != sim->first) { /* service tasks of an earlier run: the first task comes first */
        sim->last = main->prev;
        sim->last->next = NULL;
        main->prev = NULL;
        main->next = sim->first;
        sim->first->prev = main;
        sim->first = main;
    }
    main->state = SIM_RUNNING;
    sim->current = main;
    fiber_switch(sim->host, main->fiber);
    for (struct sim_task *t = sim->first; t; t = t->next)
        fiber_settle(t->fiber);
    if (sim->end == SIM_FINISHED)
        sim_task_destroy(sim, main);
    return sim->end;
}

static int start_task(struct sfs_env *env, const char *name, void (*fn)(void *), void *arg,
                      struct sfs_task **task)
{
    struct sim_env *sim = env->context;
    fiber_quiet();
    if (!sim->current)
        sim_fail(sim, "task %s was started outside of tasks", name);
    struct sim_task *t = task_create(sim, name, fn, arg);
    *task = (struct sfs_task *)t;
    make_ready(sim, t);
    point(sim);
    fiber_loud();
    return 0;
}

static void join_task(struct sfs_env *env, struct sfs_task *task)
{
    struct sim_env *sim = env->context;
    struct sim_task *t = (struct sim_task *)task;
    fiber_quiet();
    point(sim);
    while (t->state != SIM_DONE) {
        sim->current->joined = t;
        block(sim, SIM_JOINS);
    }
    fiber_acquire(t);
    sim_task_destroy(sim, t);
    fiber_loud();
}

static void wake_sleeper(struct sim_env *sim, struct sim_event *e)
{
    struct sim_task *t = (struct sim_task *)((char *)e - offsetof(struct sim_task, timer));
    make_ready(sim, t);
}

static void sleep_task(struct sfs_env *env, uint64_t ns)
{
    struct sim_env *sim = env->context;
    fiber_quiet();
    step(sim);
    if (ns) {
        sim_event_add(sim, &sim->current->timer, sim->now + ns, wake_sleeper);
        block(sim, SIM_SLEEPS);
    } else {
        give_way(sim);
    }
    fiber_loud();
}

/* Service tasks: what a disk completes is told by them. */
static void serve(void *arg)
{
    struct sim_env *sim = arg;
    for (;;) {
        fiber_quiet();
        while (!sim->work_first)
            block(sim, SIM_IDLE);
        struct sim_work *w = sim->work_first;
        sim->work_first = w->next;
        if (!sim->work_first)
            sim->work_last = NULL;
        fiber_loud();
        w->fn(w);
    }
}

void sim_env_interrupt(struct sim_env *sim, struct sim_work *w, void (*fn)(struct sim_work *))
{
    w->fn = fn;
    w->next = NULL;
    *(sim->work_last ? &sim->work_last->next : &sim->work_first) = w;
    sim->work_last = w;
    for (struct sim_task *t = sim->first; t; t = t->next)
        if (t->state == SIM_IDLE) {
            make_ready(sim, t);
            return;
        }
    if (sim->services < sim->services_max) {
        char name[SIM_NAME];
        snprintf(name, sizeof name, "completion-%u", ++sim->services);
        struct sim_task *t = task_create(sim, name, serve, sim);
        t->service = true;
        make_ready(sim, t);
    }
}

/* Locks --------------------------------------------------------------------------------------- */

static struct sim_task *task_at(uint64_t slot)
{
    return (struct sim_task *)(uintptr_t)slot;
}

static void add_waiter(uint64_t *slots, struct sim_task *t)
{
    t->next_waiter = task_at(slots[WAITERS]);
    slots[WAITERS] = (uintptr_t)t;
    slots[WAITER_COUNT]++;
}

static void remove_waiter(uint64_t *slots, struct sim_task *t)
{
    struct sim_task *w = task_at(slots[WAITERS]);
    if (w == t) {
        slots[WAITERS] = (uintptr_t)t->next_waiter;
    } else {
        while (w->next_waiter != t)
            w = w->next_waiter;
        w->next_waiter = t->next_waiter;
    }
    slots[WAITER_COUNT]--;
}

/* Any one of them: no order is promised. */
static struct sim_task *choose_waiter(struct sim_env *sim, uint64_t *slots)
{
    struct sim_task *t = task_at(slots[WAITERS]);
    for (uint64_t n = prng_below(&sim->choice, slots[WAITER_COUNT]); n; n--)
        t = t->next_waiter;
    remove_waiter(slots, t);
    return t;
}

static void init_mutex(struct sfs_mutex *m)
{
    fiber_quiet();
    struct sim_env *sim = m->env->context;
    memset(m->opaque, 0, sizeof m->opaque);
    m->opaque[ID] = sim->next_lock++;
    m->opaque[INITIALISED] = MUTEX_MAGIC;
    fiber_loud();
}

static void check_mutex(struct sim_env *sim, struct sfs_mutex *m)
{
    if (m->opaque[INITIALISED] != MUTEX_MAGIC)
        sim_fail(sim, "a mutex is used that is not initialised");
}

static void deinit_mutex(struct sfs_mutex *m)
{
    fiber_quiet();
    struct sim_env *sim = m->env->context;
    check_mutex(sim, m);
    if (m->opaque[OWNER] || m->opaque[WAITER_COUNT])
        sim_fail(sim, "mutex %" PRIu64 " is deinitialised while locked", m->opaque[ID]);
    m->opaque[INITIALISED] = 0;
    fiber_loud();
}

static uint64_t self_as_owner(const struct sim_env *sim)
{
    return sim->current ? (uint64_t)(uintptr_t)sim->current : HOST_OWNS;
}

static void acquire(struct sim_env *sim, struct sfs_mutex *m)
{
    while (m->opaque[OWNER]) {
        if (m->opaque[OWNER] == self_as_owner(sim))
            sim_fail(sim, "mutex %" PRIu64 " is locked twice by the same task", m->opaque[ID]);
        if (sim->current) {
            sim->current->mutex = m;
            add_waiter(m->opaque, sim->current);
        }
        block(sim, SIM_WAITS_MUTEX);
    }
    m->opaque[OWNER] = self_as_owner(sim);
    fiber_acquire(m);
}

static void release(struct sim_env *sim, struct sfs_mutex *m)
{
    check_mutex(sim, m);
    if (m->opaque[OWNER] != self_as_owner(sim))
        sim_fail(sim, "mutex %" PRIu64 " is unlocked by a task that does not hold it",
                 m->opaque[ID]);
    fiber_release(m);
    m->opaque[OWNER] = 0;
    if (m->opaque[WAITER_COUNT])
        make_ready(sim, choose_waiter(sim, m->opaque));
}

static void lock_mutex(struct sfs_mutex *m)
{
    fiber_quiet();
    struct sim_env *sim = m->env->context;
    check_mutex(sim, m);
    point(sim);
    acquire(sim, m);
    fiber_loud();
}

static void unlock_mutex(struct sfs_mutex *m)
{
    fiber_quiet();
    struct sim_env *sim = m->env->context;
    release(sim, m);
    point(sim); /* from here on `m` may be gone */
    fiber_loud();
}

static void init_cond(struct sfs_cond *c)
{
    fiber_quiet();
    struct sim_env *sim = c->env->context;
    memset(c->opaque, 0, sizeof c->opaque);
    c->opaque[ID] = sim->next_lock++;
    c->opaque[INITIALISED] = COND_MAGIC;
    fiber_loud();
}

static void check_cond(struct sim_env *sim, struct sfs_cond *c)
{
    if (c->opaque[INITIALISED] != COND_MAGIC)
        sim_fail(sim, "a cond is used that is not initialised");
}

static void deinit_cond(struct sfs_cond *c)
{
    fiber_quiet();
    struct sim_env *sim = c->env->context;
    check_cond(sim, c);
    if (c->opaque[WAITER_COUNT])
        sim_fail(sim, "cond %" PRIu64 " is deinitialised while waited for", c->opaque[ID]);
    c->opaque[INITIALISED] = 0;
    fiber_loud();
}

static void time_out(struct sim_env *sim, struct sim_event *e)
{
    struct sim_task *t = (struct sim_task *)((char *)e - offsetof(struct sim_task, timer));
    t->timed_out = true;
    remove_waiter(t->cond->opaque, t);
    make_ready(sim, t);
}

/* deadline_ns 0: none. False when the time ran out. */
static bool wait_cond(struct sfs_cond *c, struct sfs_mutex *m, const uint64_t *deadline_ns)
{
    fiber_quiet();
    struct sim_env *sim = c->env->context;
    struct sim_task *self = sim->current;
    check_cond(sim, c);
    check_mutex(sim, m);
    if (!self)
        sim_fail(sim, "a wait outside of tasks");
    step(sim);
    bool spurious = sim->spurious_of && prng_chance(&sim->choice, 1, sim->spurious_of);
    self->timed_out = deadline_ns && *deadline_ns <= sim->now;
    release(sim, m);
    if (spurious || self->timed_out) {
        give_way(sim);
    } else {
        self->cond = c;
        add_waiter(c->opaque, self);
        if (deadline_ns)
            sim_event_add(sim, &self->timer, *deadline_ns, time_out);
        block(sim, SIM_WAITS_COND);
    }
    bool in_time = !self->timed_out;
    acquire(sim, m);
    fiber_loud();
    return in_time;
}

static void wait_for_ever(struct sfs_cond *c, struct sfs_mutex *m)
{
    wait_cond(c, m, NULL);
}

static bool wait_until(struct sfs_cond *c, struct sfs_mutex *m, uint64_t deadline_ns)
{
    return wait_cond(c, m, &deadline_ns);
}

static void wake_one(struct sim_env *sim, struct sfs_cond *c)
{
    struct sim_task *t = choose_waiter(sim, c->opaque);
    sim_event_cancel(sim, &t->timer);
    make_ready(sim, t);
}

static void signal_cond(struct sfs_cond *c)
{
    fiber_quiet();
    struct sim_env *sim = c->env->context;
    check_cond(sim, c);
    if (c->opaque[WAITER_COUNT])
        wake_one(sim, c);
    point(sim);
    fiber_loud();
}

static void broadcast_cond(struct sfs_cond *c)
{
    fiber_quiet();
    struct sim_env *sim = c->env->context;
    check_cond(sim, c);
    while (c->opaque[WAITER_COUNT])
        wake_one(sim, c);
    point(sim);
    fiber_loud();
}

/* The report ---------------------------------------------------------------------------------- */

void sim_describe_tasks(struct sim_env *sim)
{
    for (struct sim_task *t = sim->first; t; t = t->next) {
        char what[96] = "";
        switch (t->state) {
        case SIM_READY:
            snprintf(what, sizeof what, "could run");
            break;
        case SIM_RUNNING:
            snprintf(what, sizeof what, "runs");
            break;
        case SIM_WAITS_MUTEX: {
            uint64_t owner = t->mutex->opaque[OWNER];
            snprintf(what, sizeof what, "waits for mutex %" PRIu64 ", held by %s",
                     t->mutex->opaque[ID],
                     !owner               ? "nobody"
                     : owner == HOST_OWNS ? "the host"
                                          : task_at(owner)->name);
            break;
        }
        case SIM_WAITS_COND:
            snprintf(what, sizeof what, "waits for cond %" PRIu64 "%s", t->cond->opaque[ID],
                     t->timer.place ? ", with a deadline" : "");
            break;
        case SIM_SLEEPS:
            snprintf(what, sizeof what, "sleeps");
            break;
        case SIM_JOINS:
            snprintf(what, sizeof what, "waits for the end of %s", t->joined->name);
            break;
        case SIM_IDLE:
            snprintf(what, sizeof what, "is idle");
            break;
        case SIM_DONE:
            snprintf(what, sizeof what, "has returned");
            break;
        }
        sim_report_line(sim, "  task %u %s %s", t->id, t->name, what);
    }
}

/* Clock and random ---------------------------------------------------------------------------- */

static uint64_t now_ns(struct sfs_env *env)
{
    struct sim_env *sim = env->context;
    return sim->now;
}

static int64_t wall_ns(struct sfs_env *env)
{
    struct sim_env *sim = env->context;
    return (int64_t)sim->now + 1700000000 * (int64_t)1000000000;
}

static void random_bytes(struct sfs_env *env, void *buf, size_t len)
{
    struct sim_env *sim = env->context;
    fiber_quiet();
    prng_fill(&sim->random, buf, len);
    fiber_loud();
}

const struct sfs_env_ops sim_env_ops = {
    .now_ns = now_ns,
    .wall_ns = wall_ns,
    .random = random_bytes,
    .task_start = start_task,
    .task_join = join_task,
    .task_sleep = sleep_task,
    .mutex_init = init_mutex,
    .mutex_deinit = deinit_mutex,
    .mutex_lock = lock_mutex,
    .mutex_unlock = unlock_mutex,
    .cond_init = init_cond,
    .cond_deinit = deinit_cond,
    .cond_wait = wait_for_ever,
    .cond_wait_until = wait_until,
    .cond_signal = signal_cond,
    .cond_broadcast = broadcast_cond,
    .alloc = sim_memory_alloc,
    .free_mem = sim_memory_free,
    .log = sim_log_line,
};
