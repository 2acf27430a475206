/* The state of an open pool, in one piece of memory. Never waits for a disk. */
#include "api/internal.h"

#include <stdio.h>
#include <string.h>

#define TASKS_MAX 64u

struct whole {
    struct scalefs_status status;
    struct scalefs_disk_status disks[SFS_DISKS_MAX];
    struct scalefs_task_status tasks[TASKS_MAX];
    struct scalefs_station_status stations[SFS_DISKS_MAX];
    struct scalefs_lost_file lost[SCALEFS_LOST_FILES];
};

/* What it would mean that each disk, and each station, went now. */
static void fill_losses(struct sfs_store *store, struct whole *w)
{
    struct scalefs_status *s = &w->status;
    for (size_t i = 0; i < s->disk_count; i++) {
        struct scalefs_disk_status *d = &w->disks[i];
        d->loss = sfs_care_loss(store, (uint16_t)d->id, NULL, &d->loss_bytes);
        size_t n = 0;
        while (n < s->station_count && strcmp(w->stations[n].name, d->station))
            n++;
        struct scalefs_station_status *st = &w->stations[n];
        if (!d->station[0])
            continue;
        if (n == s->station_count) {
            snprintf(st->name, sizeof st->name, "%s", d->station);
            st->loss = sfs_care_loss(store, 0, st->name, &st->loss_bytes);
            s->station_count++;
        }
        st->disks++;
        st->absent += d->state == SCALEFS_DISK_ABSENT || d->state == SCALEFS_DISK_FAILED;
    }
}


static enum scalefs_disk_state state_of(const struct sfs_member *m)
{
    if (sfs_member_failed(m))
        return SCALEFS_DISK_FAILED;
    if (!m->disk)
        return SCALEFS_DISK_ABSENT;
    return m->record.wish == SFS_WISH_LEAVE  ? SCALEFS_DISK_LEAVING
           : m->record.wish == SFS_WISH_JOIN ? SCALEFS_DISK_JOINING
                                             : SCALEFS_DISK_ONLINE;
}

/* Locked. */
static void fill_disk(const struct sfs_member *m, struct scalefs_disk_status *d)
{
    d->id = m->record.index;
    sfs_uuid_format(&m->record.uuid, d->uuid);
    snprintf(d->path, sizeof d->path, "%s", m->disk ? m->disk->info.path : m->record.path);
    snprintf(d->station, sizeof d->station, "%s", m->record.station);
    d->role = m->record.role;
    d->size = m->record.size;
    d->used = sfs_member_used(m);
    d->state = state_of(m);
    d->read_errors = m->record.read_errors;
    d->write_errors = m->record.write_errors;
    d->checksum_errors = m->record.checksum_errors;
}

static void fill_pool(struct sfs_pool *pool, struct whole *w)
{
    struct scalefs_status *s = &w->status;
    sfs_mutex_lock(&pool->lock);
    snprintf(s->name, sizeof s->name, "%s", pool->config.name);
    sfs_uuid_format(&pool->uuid, s->uuid);
    s->failover = pool->config.failover;
    s->optimize = pool->config.optimize;
    s->verify = pool->config.verify;
    s->compression = pool->config.compression;
    s->zstd_level = pool->config.zstd_level;
    s->record_bytes = pool->config.record_bytes;
    s->paused = pool->config.paused & SFS_PAUSED_ALL;
    s->rate = pool->config.rate;
    s->extents_repaired = pool->config.extents_repaired;
    s->extents_lost = pool->config.extents_lost;
    for (unsigned i = 0; i < pool->member_count; i++)
        if (pool->members[i].used)
            fill_disk(&pool->members[i], &w->disks[s->disk_count++]);
    sfs_mutex_unlock(&pool->lock);
}

int scalefs_pool_status(struct scalefs_pool *pool, struct scalefs_status **status)
{
    if (!pool || !status)
        return SCALEFS_E_INVAL;
    struct whole *w = sfs_zalloc(NULL, sizeof *w);
    *status = NULL;
    if (!w)
        return SCALEFS_E_NOMEM;
    struct scalefs_status *s = &w->status;
    struct sfs_space space;
    fill_pool(pool->pool, w);
    sfs_store_space(pool->store, &space);
    s->raw = space.raw;
    s->usable = space.usable;
    s->used = space.used;
    s->free = space.free;
    s->read_only = pool->read_only;
    sfs_care_state(pool->store, &s->state, &s->failures_left, s->action, sizeof s->action);
    sfs_care_tasks(pool->store, w->tasks, TASKS_MAX, &s->task_count);
    fill_losses(pool->store, w);
    s->lost_file_count = sfs_fs_lost_files(pool->files.fs, w->lost, SCALEFS_LOST_FILES, &s->lost_named);
    s->lost_files = w->lost;
    s->disks = w->disks;
    s->stations = w->stations;
    s->tasks = w->tasks;
    *status = s;
    return SCALEFS_OK;
}

void scalefs_status_free(struct scalefs_status *status)
{
    sfs_free(NULL, status); /* the first member of its struct whole */
}
