/* The production environment: tasks are threads (POSIX threads; winpthreads on Windows), time and
 * randomness are the operating system's, memory is the C library's.
 *
 * Errors of the thread calls other than "out of resources" at a start are programmers' errors
 * (an object not initialised, a lock not held) and end the process.
 */
#ifdef _WIN32
#define _CRT_RAND_S /* stdlib.h: rand_s, the system's generator */
#endif
#include "base/assert.h"
#include "base/env.h"
#include "scalefs/error.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifndef _WIN32
#include <signal.h>
#include <sys/random.h>
#endif

#define NS_PER_S 1000000000u

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(((struct sfs_mutex *)0)->opaque), "mutex storage");
_Static_assert(sizeof(pthread_cond_t) <= sizeof(((struct sfs_cond *)0)->opaque), "cond storage");

struct os_env {
    struct sfs_env env;
    void (*log)(void *context, enum sfs_log_level level, const char *room, int code,
                const char *text);
    void *log_context;
    atomic_size_t tasks; /* started and not yet joined */
};

struct sfs_task {
    pthread_t thread;
    void (*fn)(void *);
    void *arg;
    char name[16];
};

static pthread_mutex_t *mutex_of(struct sfs_mutex *m)
{
    return (pthread_mutex_t *)(void *)m->opaque;
}

static pthread_cond_t *cond_of(struct sfs_cond *c)
{
    return (pthread_cond_t *)(void *)c->opaque;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    SFS_ASSERT(clock_gettime(clock, &t) == 0);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static struct timespec timespec_of(uint64_t ns)
{
    struct timespec t;
    t.tv_sec = (time_t)(ns / NS_PER_S);
    t.tv_nsec = (long)(ns % NS_PER_S);
    return t;
}

static uint64_t os_now_ns(struct sfs_env *env)
{
    (void)env;
    return clock_ns(CLOCK_MONOTONIC);
}

static int64_t os_wall_ns(struct sfs_env *env)
{
    (void)env;
    return (int64_t)clock_ns(CLOCK_REALTIME);
}

static void os_random(struct sfs_env *env, void *buf, size_t len)
{
    uint8_t *at = buf;
    (void)env;
    while (len) {
#ifdef _WIN32
        unsigned v;
        SFS_ASSERT(rand_s(&v) == 0);
        size_t n = len < sizeof v ? len : sizeof v;
        memcpy(at, &v, n);
#else
        ssize_t got = getrandom(at, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        SFS_ASSERT(got > 0);
        size_t n = (size_t)got;
#endif
        at += n;
        len -= n;
    }
}

static void *task_main(void *arg)
{
    struct sfs_task *task = arg;
#ifdef __linux__
    pthread_setname_np(pthread_self(), task->name);
#endif
    task->fn(task->arg);
    return NULL;
}

/* Signals are the application's business: its own threads take them, ours never do. */
static int create_thread(struct sfs_task *task)
{
#ifdef _WIN32
    return pthread_create(&task->thread, NULL, task_main, task);
#else
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGABRT);
    SFS_ASSERT(pthread_sigmask(SIG_BLOCK, &all, &before) == 0);
    int err = pthread_create(&task->thread, NULL, task_main, task);
    SFS_ASSERT(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return err;
#endif
}

static int os_task_start(struct sfs_env *env, const char *name, void (*fn)(void *), void *arg,
                         struct sfs_task **task)
{
    struct os_env *os = env->context;
    struct sfs_task *t = sfs_zalloc(env, sizeof *t);
    if (!t)
        return SCALEFS_E_NOMEM;
    t->fn = fn;
    t->arg = arg;
    snprintf(t->name, sizeof t->name, "%s", name);
    atomic_fetch_add(&os->tasks, 1);
    if (create_thread(t)) {
        atomic_fetch_sub(&os->tasks, 1);
        sfs_free(env, t);
        return SCALEFS_E_NOMEM;
    }
    *task = t;
    return SCALEFS_OK;
}

static void os_task_join(struct sfs_env *env, struct sfs_task *task)
{
    struct os_env *os = env->context;
    SFS_ASSERT(pthread_join(task->thread, NULL) == 0);
    sfs_free(env, task);
    atomic_fetch_sub(&os->tasks, 1);
}

static void os_task_sleep(struct sfs_env *env, uint64_t ns)
{
    struct timespec left = timespec_of(ns);
    (void)env;
    while (nanosleep(&left, &left) && errno == EINTR) {
    }
}

static void os_mutex_init(struct sfs_mutex *m)
{
    SFS_ASSERT(pthread_mutex_init(mutex_of(m), NULL) == 0);
}

static void os_mutex_deinit(struct sfs_mutex *m)
{
    SFS_ASSERT(pthread_mutex_destroy(mutex_of(m)) == 0);
}

static void os_mutex_lock(struct sfs_mutex *m)
{
    SFS_ASSERT(pthread_mutex_lock(mutex_of(m)) == 0);
}

static void os_mutex_unlock(struct sfs_mutex *m)
{
    SFS_ASSERT(pthread_mutex_unlock(mutex_of(m)) == 0);
}

static void os_cond_init(struct sfs_cond *c)
{
#ifdef _WIN32
    SFS_ASSERT(pthread_cond_init(cond_of(c), NULL) == 0);
#else
    pthread_condattr_t attr;
    SFS_ASSERT(pthread_condattr_init(&attr) == 0);
    SFS_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    SFS_ASSERT(pthread_cond_init(cond_of(c), &attr) == 0);
    pthread_condattr_destroy(&attr);
#endif
}

static void os_cond_deinit(struct sfs_cond *c)
{
    SFS_ASSERT(pthread_cond_destroy(cond_of(c)) == 0);
}

static void os_cond_wait(struct sfs_cond *c, struct sfs_mutex *m)
{
    SFS_ASSERT(pthread_cond_wait(cond_of(c), mutex_of(m)) == 0);
}

static bool os_cond_wait_until(struct sfs_cond *c, struct sfs_mutex *m, uint64_t deadline_ns)
{
    for (;;) {
        uint64_t now = clock_ns(CLOCK_MONOTONIC);
        if (now >= deadline_ns)
            return false;
#ifdef _WIN32
        /* winpthreads takes wall-clock time and turns it into an interval at once, so a clock that
         * is set during the wait does no harm. An hour at most, so that nothing overflows. */
        uint64_t left = deadline_ns - now;
        if (left > 3600ull * NS_PER_S)
            left = 3600ull * NS_PER_S;
        struct timespec t = timespec_of(clock_ns(CLOCK_REALTIME) + left);
#else
        struct timespec t = timespec_of(deadline_ns);
#endif
        int err = pthread_cond_timedwait(cond_of(c), mutex_of(m), &t);
        if (err == 0)
            return true;
        SFS_ASSERT(err == ETIMEDOUT);
    }
}

static void os_cond_signal(struct sfs_cond *c)
{
    SFS_ASSERT(pthread_cond_signal(cond_of(c)) == 0);
}

static void os_cond_broadcast(struct sfs_cond *c)
{
    SFS_ASSERT(pthread_cond_broadcast(cond_of(c)) == 0);
}

static void os_log(struct sfs_env *env, enum sfs_log_level level, const char *room, int code,
                   const char *text)
{
    struct os_env *os = env->context;
    if (os->log)
        os->log(os->log_context, level, room, code, text);
}

static const struct sfs_env_ops os_ops = {
    .now_ns = os_now_ns,
    .wall_ns = os_wall_ns,
    .random = os_random,
    .task_start = os_task_start,
    .task_join = os_task_join,
    .task_sleep = os_task_sleep,
    .mutex_init = os_mutex_init,
    .mutex_deinit = os_mutex_deinit,
    .mutex_lock = os_mutex_lock,
    .mutex_unlock = os_mutex_unlock,
    .cond_init = os_cond_init,
    .cond_deinit = os_cond_deinit,
    .cond_wait = os_cond_wait,
    .cond_wait_until = os_cond_wait_until,
    .cond_signal = os_cond_signal,
    .cond_broadcast = os_cond_broadcast,
    .log = os_log,
};

int sfs_env_os_create(void (*log)(void *context, enum sfs_log_level level, const char *room,
                                  int code, const char *text),
                      void *log_context, struct sfs_env **env)
{
    struct os_env *os = sfs_zalloc(NULL, sizeof *os);
    if (!os)
        return SCALEFS_E_NOMEM;
    os->env.ops = &os_ops;
    os->env.context = os;
    os->log = log;
    os->log_context = log_context;
    atomic_init(&os->tasks, 0);
    *env = &os->env;
    return SCALEFS_OK;
}

/* Every task must have been joined: one that still ran would use what is freed here. */
void sfs_env_os_destroy(struct sfs_env *env)
{
    if (!env)
        return;
    if (env->disk_context_destroy)
        env->disk_context_destroy(env);
    struct os_env *os = env->context;
    SFS_ASSERT(atomic_load(&os->tasks) == 0);
    sfs_free(NULL, os);
}
