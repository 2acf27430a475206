/* The fake pool: see fake_pool.h. Settings are checked a little; everything else is taken. */
#include "fake_pool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void fake_pool_init(struct scalefs_pool *pool, const char *name, const char *uuid,
                    const char *disk_path)
{
    memset(pool, 0, sizeof(*pool));
    pthread_mutex_init(&pool->lock, NULL);
    snprintf(pool->name, sizeof(pool->name), "%s", name);
    snprintf(pool->uuid, sizeof(pool->uuid), "%s", uuid);
    snprintf(pool->disk_path, sizeof(pool->disk_path), "%s", disk_path);
}

static void enter(struct scalefs_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->late += pool->destroyed;
}

static void leave(struct scalefs_pool *pool)
{
    pthread_mutex_unlock(&pool->lock);
}

void fake_pool_set_busy(struct scalefs_pool *pool, bool busy)
{
    enter(pool);
    pool->busy = busy;
    leave(pool);
}

unsigned fake_pool_waiting(struct scalefs_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    unsigned waiting = pool->waiting;
    leave(pool);
    return waiting;
}

void fake_pool_destroyed(struct scalefs_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->destroyed = true;
    leave(pool);
}

unsigned fake_pool_late(struct scalefs_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    unsigned late = pool->late;
    leave(pool);
    return late;
}

const char *scalefs_pool_state_name(enum scalefs_pool_state s)
{
    static const char *const names[] = {"healthy", "degraded", "suspended", "damaged"};
    return names[s];
}
const char *scalefs_disk_state_name(enum scalefs_disk_state s)
{
    static const char *const names[] = {"online", "absent", "failed", "leaving", "joining"};
    return names[s];
}
const char *scalefs_task_kind_name(enum scalefs_task_kind k)
{
    return k == SCALEFS_TASK_SCRUB ? "scrub" : "replace";
}
const char *scalefs_role_name(enum scalefs_role role)
{
    return role == SCALEFS_ROLE_METADATA ? "metadata" : "data";
}
const char *scalefs_loss_name(enum scalefs_loss l)
{
    return l == SCALEFS_LOSS_NONE ? "none" : "some";
}

const char *scalefs_task_state_name(enum scalefs_task_state s)
{
    return s == SCALEFS_TASK_BLOCKED ? "blocked" : "running";
}

int scalefs_pool_status(struct scalefs_pool *pool, struct scalefs_status **out)
{
    struct scalefs_status *s = calloc(1, sizeof(*s));
    enter(pool);
    snprintf(s->name, sizeof(s->name), "%s", pool->name);
    snprintf(s->uuid, sizeof(s->uuid), "%s", pool->uuid);
    s->state = pool->state;
    s->verify = pool->verify;
    s->compression = pool->compression;
    s->zstd_level = pool->zstd_level;
    s->record_bytes = 131072;
    s->raw = 3ull << 40;
    s->disk_count = 1;
    s->disks = calloc(1, sizeof(*s->disks));
    s->disks->id = 1;
    snprintf(s->disks->path, sizeof(s->disks->path), "%s", pool->disk_path);
    s->task_count = pool->busy ? 1 : 0;
    s->tasks = calloc(1, sizeof(*s->tasks));
    s->tasks->id = 7;
    s->tasks->kind = SCALEFS_TASK_SCRUB;
    s->tasks->bytes_total = 100;
    s->tasks->bytes_done = 40;
    leave(pool);
    *out = s;
    return SCALEFS_OK;
}

void scalefs_status_free(struct scalefs_status *s)
{
    if (!s)
        return;
    free(s->disks);
    free(s->tasks);
    free(s);
}

static int refuse(struct scalefs_error_info *info)
{
    info->error = SCALEFS_E_INVAL;
    snprintf(info->text, sizeof(info->text), "That is refused.");
    return SCALEFS_E_INVAL;
}

static void note(struct scalefs_pool *pool, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    enter(pool);
    vsnprintf(pool->last, sizeof(pool->last), format, args);
    leave(pool);
    va_end(args);
}

int scalefs_pool_set(struct scalefs_pool *pool, const char *key, const char *value,
                     struct scalefs_error_info *info)
{
    int error = SCALEFS_OK;
    note(pool, "set %s=%s", key, value);
    enter(pool);
    if (!strcmp(key, "verify"))
        pool->verify = !strcmp(value, "parity");
    else if (!strcmp(key, "compression"))
        pool->compression = sscanf(value, "zstd:%d", &pool->zstd_level) == 1;
    else
        error = SCALEFS_E_INVAL;
    leave(pool);
    return error ? refuse(info) : SCALEFS_OK;
}

int scalefs_pool_add_with(struct scalefs_pool *pool, const char *const *paths, size_t count, const struct scalefs_add_options *o,
                          struct scalefs_error_info *info)
{
    (void)info;
    note(pool, "add %zu, first %s, station %s role %u size %llu force %d", count, paths[0], o->station ? o->station : "-",
         (unsigned)o->role, (unsigned long long)o->file_bytes, o->force);
    return SCALEFS_OK;
}

int scalefs_pool_set_role(struct scalefs_pool *pool, const char *disk, enum scalefs_role role, struct scalefs_error_info *info)
{
    (void)info;
    note(pool, "role %s %u", disk, (unsigned)role);
    return SCALEFS_OK;
}

int scalefs_pool_remove(struct scalefs_pool *pool, const char *disk, int failover, struct scalefs_error_info *info)
{
    note(pool, "remove %s failover %d", disk, failover);
    return strcmp(disk, "1") ? refuse(info) : SCALEFS_OK;
}

int scalefs_pool_replace_all(struct scalefs_pool *pool, const char *const *old_disks, const char *const *new_paths,
                             size_t count, uint64_t file_bytes, bool force, struct scalefs_error_info *info)
{
    (void)info;
    note(pool, "replace %s by %s size %llu force %d%s", old_disks[0], new_paths[0],
         (unsigned long long)file_bytes, force, count > 1 ? " and more" : "");
    return SCALEFS_OK;
}

int scalefs_pool_offline(struct scalefs_pool *pool, const char *disk,
                         struct scalefs_error_info *info)
{
    note(pool, "offline %s", disk);
    return strcmp(disk, "1") ? refuse(info) : SCALEFS_OK;
}

int scalefs_pool_online(struct scalefs_pool *pool, const char *disk,
                        struct scalefs_error_info *info)
{
    (void)info;
    note(pool, "online %s", disk);
    return SCALEFS_OK;
}

int scalefs_pool_scrub(struct scalefs_pool *pool, enum scalefs_scrub_verb verb,
                       struct scalefs_error_info *info)
{
    (void)info;
    note(pool, "scrub %d", (int)verb);
    return SCALEFS_OK;
}

int scalefs_pool_plan(struct scalefs_pool *pool, const struct scalefs_change *change, struct scalefs_plan *plan,
                      struct scalefs_error_info *info)
{
    (void)info;
    note(pool, "plan %d, disk %s, failover %d, %zu disks, first %s", (int)change->verb, change->disk ? change->disk : "-",
         change->failover, change->disk_count, change->disk_count ? change->disks[0] : "-");
    *plan = (struct scalefs_plan){.possible = true};
    return SCALEFS_OK;
}

int scalefs_pool_resize(struct scalefs_pool *pool, const char *disk, uint64_t bytes, struct scalefs_error_info *info)
{
    (void)info;
    note(pool, "resize %s to %llu", disk, (unsigned long long)bytes);
    return SCALEFS_OK;
}

int scalefs_pool_pause(struct scalefs_pool *pool, unsigned task, struct scalefs_error_info *info)
{
    (void)info;
    note(pool, "pause %u", task);
    return SCALEFS_OK;
}

int scalefs_pool_resume(struct scalefs_pool *pool, unsigned task, struct scalefs_error_info *info)
{
    (void)info;
    note(pool, "resume %u", task);
    return SCALEFS_OK;
}

int scalefs_pool_cancel(struct scalefs_pool *pool, unsigned task, struct scalefs_error_info *info)
{
    note(pool, "cancel %u", task);
    return task ? SCALEFS_OK : refuse(info);
}

int scalefs_pool_wait(struct scalefs_pool *pool,
                      void (*progress)(void *context, const struct scalefs_status *status),
                      void *context, const volatile bool *cancel)
{
    struct timespec pause = {.tv_nsec = 2000000};
    enter(pool);
    pool->waiting++;
    bool busy = pool->busy;
    leave(pool);
    while (busy && !*cancel) {
        struct scalefs_status *status;
        scalefs_pool_status(pool, &status);
        progress(context, status);
        scalefs_status_free(status);
        nanosleep(&pause, NULL);
        enter(pool);
        busy = pool->busy;
        leave(pool);
    }
    enter(pool);
    pool->waiting--;
    leave(pool);
    return busy ? SCALEFS_E_CANCELED : SCALEFS_OK;
}
