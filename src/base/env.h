/* The world as the core sees it: tasks, locks, time, randomness, memory, log.
 *
 * Everything above src/base asks this interface and never the operating system. Production
 * (env_os.c) makes tasks of threads (pthreads; winpthreads on Windows). The simulator (tests/sim)
 * gives another table of operations in which exactly one task runs at a time and the seed chooses
 * who is next at every lock, wait, and disk operation.
 *
 * Memory: sfs_alloc never returns NULL for small objects in practice, callers check all the same.
 */
#ifndef SFS_BASE_ENV_H
#define SFS_BASE_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sfs_env;
struct sfs_task;

/* Embedded objects; the storage is large enough for every implementation (asserted there). */
struct sfs_mutex {
    struct sfs_env *env;
    uint64_t opaque[8];
};
struct sfs_cond {
    struct sfs_env *env;
    uint64_t opaque[8];
};

enum sfs_log_level { SFS_LOG_ERROR, SFS_LOG_WARN, SFS_LOG_INFO, SFS_LOG_DEBUG };

struct sfs_env_ops {
    uint64_t (*now_ns)(struct sfs_env *env);  /* monotonic */
    int64_t (*wall_ns)(struct sfs_env *env);  /* nanoseconds since 1970-01-01 UTC */
    void (*random)(struct sfs_env *env, void *buf, size_t len); /* unpredictable (seeded in simulation) */
    int (*task_start)(struct sfs_env *env, const char *name, void (*fn)(void *), void *arg,
                      struct sfs_task **task);
    void (*task_join)(struct sfs_env *env, struct sfs_task *task); /* waits, then frees */
    void (*task_sleep)(struct sfs_env *env, uint64_t ns);
    void (*mutex_init)(struct sfs_mutex *m);
    void (*mutex_deinit)(struct sfs_mutex *m);
    void (*mutex_lock)(struct sfs_mutex *m);
    void (*mutex_unlock)(struct sfs_mutex *m);
    void (*cond_init)(struct sfs_cond *c);
    void (*cond_deinit)(struct sfs_cond *c);
    void (*cond_wait)(struct sfs_cond *c, struct sfs_mutex *m);
    /* Waits until signalled or until monotonic time deadline_ns; false when the time ran out. */
    bool (*cond_wait_until)(struct sfs_cond *c, struct sfs_mutex *m, uint64_t deadline_ns);
    void (*cond_signal)(struct sfs_cond *c);
    void (*cond_broadcast)(struct sfs_cond *c);
    /* NULL: the C library's. align is a power of two; all memory is freed by `free_mem`. */
    void *(*alloc)(struct sfs_env *env, size_t bytes, size_t align);
    void (*free_mem)(struct sfs_env *env, void *p);
    void (*log)(struct sfs_env *env, enum sfs_log_level level, const char *room, int code,
                const char *text);
};

struct sfs_env {
    const struct sfs_env_ops *ops;
    void *context;
    /* What src/disk shares between all its disks (NULL at first), and how it ends: whoever ends the
     * environment calls the hook, when it is there, before anything else. */
    void *disk_context;
    void (*disk_context_destroy)(struct sfs_env *env);
};

/* The production environment. `log` may be NULL (silence). Free with sfs_env_os_destroy. */
int sfs_env_os_create(void (*log)(void *context, enum sfs_log_level level, const char *room, int code,
                                  const char *text),
                      void *log_context, struct sfs_env **env);
void sfs_env_os_destroy(struct sfs_env *env);

/* Thin inline-like wrappers (env.c): use these, not the table. */
uint64_t sfs_now_ns(struct sfs_env *env);
int64_t sfs_wall_ns(struct sfs_env *env);
void sfs_random(struct sfs_env *env, void *buf, size_t len);
uint64_t sfs_random_u64(struct sfs_env *env);
int sfs_task_start(struct sfs_env *env, const char *name, void (*fn)(void *), void *arg,
                   struct sfs_task **task);
void sfs_task_join(struct sfs_env *env, struct sfs_task *task);
void sfs_task_sleep(struct sfs_env *env, uint64_t ns);
void sfs_mutex_init(struct sfs_mutex *m, struct sfs_env *env);
void sfs_mutex_deinit(struct sfs_mutex *m);
void sfs_mutex_lock(struct sfs_mutex *m);
void sfs_mutex_unlock(struct sfs_mutex *m);
void sfs_cond_init(struct sfs_cond *c, struct sfs_env *env);
void sfs_cond_deinit(struct sfs_cond *c);
void sfs_cond_wait(struct sfs_cond *c, struct sfs_mutex *m);
bool sfs_cond_wait_until(struct sfs_cond *c, struct sfs_mutex *m, uint64_t deadline_ns);
void sfs_cond_signal(struct sfs_cond *c);
void sfs_cond_broadcast(struct sfs_cond *c);
void *sfs_alloc(struct sfs_env *env, size_t bytes);         /* uninitialised, 16-byte aligned */
void *sfs_zalloc(struct sfs_env *env, size_t bytes);        /* zeroed */
void *sfs_alloc_io(struct sfs_env *env, size_t bytes);      /* 4096-byte aligned, for device I/O */
void *sfs_realloc(struct sfs_env *env, void *p, size_t old_bytes, size_t new_bytes);
void sfs_free(struct sfs_env *env, void *p);                /* any of the above; NULL is fine */
void sfs_log(struct sfs_env *env, enum sfs_log_level level, const char *room, int code,
             const char *format, ...);

/* Many readers or one writer; built on mutex + cond in rwlock.c. Writers are not starved. */
struct sfs_rwlock {
    struct sfs_mutex mutex;
    struct sfs_cond changed;
    uint32_t readers;
    uint32_t writers_waiting;
    bool writer;
};
void sfs_rwlock_init(struct sfs_rwlock *l, struct sfs_env *env);
void sfs_rwlock_deinit(struct sfs_rwlock *l);
void sfs_rwlock_read(struct sfs_rwlock *l);
void sfs_rwlock_read_done(struct sfs_rwlock *l);
void sfs_rwlock_write(struct sfs_rwlock *l);
void sfs_rwlock_write_done(struct sfs_rwlock *l);

#endif
