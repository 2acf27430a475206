/* The wrappers through which all code uses an environment, and memory from the C library for
 * environments that bring none (or where there is no environment: env may be NULL for memory). */
#include "base/env.h"
#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <malloc.h>
#endif

enum { PLAIN_ALIGN = 16, IO_ALIGN = 4096, LOG_TEXT = 1024 };

uint64_t sfs_now_ns(struct sfs_env *env)
{
    return env->ops->now_ns(env);
}

int64_t sfs_wall_ns(struct sfs_env *env)
{
    return env->ops->wall_ns(env);
}

void sfs_random(struct sfs_env *env, void *buf, size_t len)
{
    env->ops->random(env, buf, len);
}

uint64_t sfs_random_u64(struct sfs_env *env)
{
    /* By bytes, so that a seeded environment gives the same numbers on every machine. */
    uint8_t b[8];
    uint64_t v = 0;
    env->ops->random(env, b, sizeof b);
    for (int i = 7; i >= 0; i--)
        v = v << 8 | b[i];
    return v;
}

int sfs_task_start(struct sfs_env *env, const char *name, void (*fn)(void *), void *arg,
                   struct sfs_task **task)
{
    return env->ops->task_start(env, name, fn, arg, task);
}

void sfs_task_join(struct sfs_env *env, struct sfs_task *task)
{
    env->ops->task_join(env, task);
}

void sfs_task_sleep(struct sfs_env *env, uint64_t ns)
{
    env->ops->task_sleep(env, ns);
}

void sfs_mutex_init(struct sfs_mutex *m, struct sfs_env *env)
{
    memset(m, 0, sizeof *m);
    m->env = env;
    env->ops->mutex_init(m);
}

void sfs_mutex_deinit(struct sfs_mutex *m)
{
    m->env->ops->mutex_deinit(m);
    m->env = NULL;
}

void sfs_mutex_lock(struct sfs_mutex *m)
{
    m->env->ops->mutex_lock(m);
}

void sfs_mutex_unlock(struct sfs_mutex *m)
{
    m->env->ops->mutex_unlock(m);
}

void sfs_cond_init(struct sfs_cond *c, struct sfs_env *env)
{
    memset(c, 0, sizeof *c);
    c->env = env;
    env->ops->cond_init(c);
}

void sfs_cond_deinit(struct sfs_cond *c)
{
    c->env->ops->cond_deinit(c);
    c->env = NULL;
}

void sfs_cond_wait(struct sfs_cond *c, struct sfs_mutex *m)
{
    c->env->ops->cond_wait(c, m);
}

bool sfs_cond_wait_until(struct sfs_cond *c, struct sfs_mutex *m, uint64_t deadline_ns)
{
    return c->env->ops->cond_wait_until(c, m, deadline_ns);
}

void sfs_cond_signal(struct sfs_cond *c)
{
    c->env->ops->cond_signal(c);
}

void sfs_cond_broadcast(struct sfs_cond *c)
{
    c->env->ops->cond_broadcast(c);
}

/* On Windows memory of _aligned_malloc and of malloc are freed differently: use one for all. */
static void *library_alloc(size_t bytes, size_t align)
{
#ifdef _WIN32
    return _aligned_malloc(bytes, align);
#else
    void *p;
    if (align <= PLAIN_ALIGN)
        return malloc(bytes);
    return posix_memalign(&p, align, bytes) ? NULL : p;
#endif
}

static void library_free(void *p)
{
#ifdef _WIN32
    _aligned_free(p);
#else
    free(p);
#endif
}

static void *alloc(struct sfs_env *env, size_t bytes, size_t align)
{
    if (!bytes)
        bytes = 1; /* NULL always means "no memory" */
    if (env && env->ops->alloc)
        return env->ops->alloc(env, bytes, align);
    return library_alloc(bytes, align);
}

void *sfs_alloc(struct sfs_env *env, size_t bytes)
{
    return alloc(env, bytes, PLAIN_ALIGN);
}

void *sfs_zalloc(struct sfs_env *env, size_t bytes)
{
#ifndef _WIN32
    if (!env || !env->ops->alloc)
        return calloc(1, bytes ? bytes : 1); /* fresh pages are zero already */
#endif
    void *p = alloc(env, bytes, PLAIN_ALIGN);
    if (p)
        memset(p, 0, bytes);
    return p;
}

void *sfs_alloc_io(struct sfs_env *env, size_t bytes)
{
    return alloc(env, bytes, IO_ALIGN);
}

/* NULL when there is no memory: then `p` is as it was. The result is aligned as sfs_alloc's. */
void *sfs_realloc(struct sfs_env *env, void *p, size_t old_bytes, size_t new_bytes)
{
    void *q = alloc(env, new_bytes, PLAIN_ALIGN);
    if (q && p) {
        memcpy(q, p, old_bytes < new_bytes ? old_bytes : new_bytes);
        sfs_free(env, p);
    }
    return q;
}

void sfs_free(struct sfs_env *env, void *p)
{
    if (!p)
        return;
    if (env && env->ops->alloc) {
        env->ops->free_mem(env, p);
        return;
    }
    library_free(p);
}

void sfs_log(struct sfs_env *env, enum sfs_log_level level, const char *room, int code,
             const char *format, ...)
{
    if (!env->ops->log)
        return;
    char text[LOG_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    env->ops->log(env, level, room, code, text);
}
