/* Disks of an open pool: added, removed, replaced, taken offline, brought back; scrub. */
#include "api/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int sfs_api_member(struct scalefs_pool *pool, const char *disk, uint16_t *index,
                   struct scalefs_error_info *info)
{
    struct sfs_pool *p = pool->pool;
    struct sfs_uuid uuid;
    bool is_uuid = sfs_uuid_parse(disk, &uuid), found = false;
    char real[1024] = "", id[16];
    struct sfs_disk *there;
    /* A path may be a link. */
    if (!is_uuid && !sfs_disk_open(pool->env, disk, SFS_DISK_READ_ONLY, &there, NULL)) {
        snprintf(real, sizeof real, "%s", there->info.path);
        sfs_disk_close(there);
    }
    sfs_mutex_lock(&p->lock);
    for (unsigned i = 0; i < p->member_count && !found; i++) {
        const struct sfs_member *m = &p->members[i];
        if (!m->used)
            continue;
        const char *path = m->disk ? m->disk->info.path : m->record.path;
        snprintf(id, sizeof id, "%u", m->record.index);
        found = is_uuid
                    ? sfs_uuid_equal(&uuid, &m->record.uuid)
                    : !strcmp(id, disk) || !strcmp(path, disk) || (real[0] && !strcmp(path, real));
        if (found)
            *index = m->record.index;
    }
    sfs_mutex_unlock(&p->lock);
    return found ? SCALEFS_OK
                 : sfs_refuse(
                       info, SCALEFS_E_NOENT,
                       "The pool \"%s\" has no disk \"%s\"; `scalefs status` lists its disks.",
                       p->config.name, disk);
}

static int begin(struct scalefs_pool *pool, const void *argument, struct scalefs_error_info *info)
{
    if (info)
        info->error = 0;
    if (!pool || !argument)
        return sfs_api_explain(info, SCALEFS_E_INVAL);
    return pool->read_only ? sfs_api_read_only(pool, info) : SCALEFS_OK;
}

static bool is_online(struct scalefs_pool *pool, uint16_t index)
{
    sfs_mutex_lock(&pool->pool->lock);
    const struct sfs_member *m = sfs_member_of(pool->pool, index);
    bool online = m && m->disk;
    sfs_mutex_unlock(&pool->pool->lock);
    return online;
}

/* Which member, and the disk that is to take its place. */
static int open_pair(struct scalefs_pool *pool, const char *old_disk, const char *new_path, uint64_t file_bytes, bool force,
                     uint16_t *index, struct sfs_disk **disk, bool *created, struct scalefs_error_info *info)
{
    struct scalefs_error_info why;
    uint16_t member = 0;
    int err = old_disk && new_path ? sfs_api_member(pool, old_disk, index, info) : SCALEFS_E_INVAL;
    if (!err && !sfs_api_member(pool, new_path, &member, &why) && is_online(pool, member))
        err = sfs_refuse(info, SCALEFS_E_EXIST,
                         "%s is disk %u of this pool already, so it cannot take the place of another "
                         "one. Name a disk that is not in the pool.",
                         new_path, member);
    return err ? err : sfs_api_new_disk(pool->env, new_path, file_bytes, force, disk, created, info);
}

int scalefs_pool_replace_all(struct scalefs_pool *pool, const char *const *old_disks,
                             const char *const *new_paths, size_t count, uint64_t file_bytes, bool force,
                             struct scalefs_error_info *info)
{
    uint16_t indices[SFS_DISKS_MAX];
    struct sfs_disk *disks[SFS_DISKS_MAX];
    bool created[SFS_DISKS_MAX];
    size_t opened = 0;
    int err = begin(pool, old_disks && new_paths && count && count <= SFS_DISKS_MAX ? pool : NULL, info);
    for (; opened < count && !err; opened += !err)
        err = open_pair(pool, old_disks[opened], new_paths[opened], file_bytes, force, &indices[opened],
                        &disks[opened], &created[opened], info);
    if (!err)
        err = sfs_care_replace_all(pool->store, indices, disks, count, info);
    for (size_t i = 0; i < opened && err; i++) {
        sfs_disk_close(disks[i]);
        if (created[i])
            (void)remove(new_paths[i]);
    }
    return sfs_api_explain(info, err);
}

int scalefs_pool_replace(struct scalefs_pool *pool, const char *old_disk, const char *new_path,
                         uint64_t file_bytes, bool force, struct scalefs_error_info *info)
{
    return scalefs_pool_replace_all(pool, &old_disk, &new_path, 1, file_bytes, force, info);
}

static int check_add(const struct scalefs_add_options *o, struct scalefs_error_info *info)
{
    if (o->station && (!*o->station || strlen(o->station) > SFS_NAME_MAX))
        return sfs_refuse(info, SCALEFS_E_INVAL, "A station's name has 1 to %u bytes.", SFS_NAME_MAX);
    if (o->role != SCALEFS_ROLE_DATA && o->role != SCALEFS_ROLE_METADATA)
        return sfs_refuse(info, SCALEFS_E_INVAL, "A disk is for data or for metadata.");
    return SCALEFS_OK;
}

int scalefs_pool_add_with(struct scalefs_pool *pool, const char *const *paths, size_t count,
                          const struct scalefs_add_options *options, struct scalefs_error_info *info)
{
    struct scalefs_error_info why;
    struct sfs_disk *disks[SFS_DISKS_MAX];
    bool created[SFS_DISKS_MAX];
    size_t opened = 0;
    uint16_t member;
    bool proper = paths && count && count <= SFS_DISKS_MAX && options && options->struct_bytes >= sizeof *options;
    int err = begin(pool, proper ? pool : NULL, info);
    if (!err)
        err = check_add(options, info);
    for (; opened < count && !err; opened += !err) {
        const char *path = paths[opened];
        if (!sfs_api_member(pool, path, &member, &why) && is_online(pool, member))
            err = sfs_refuse(info, SCALEFS_E_EXIST, "%s is disk %u of this pool already. Name a disk that is not in it.",
                             path, member);
        else
            err = sfs_api_new_disk(pool->env, path, options->file_bytes, options->force, &disks[opened], &created[opened], info);
    }
    if (!err)
        err = sfs_care_add(pool->store, disks, options->station, (uint8_t)options->role, count, info);
    else
        for (size_t i = 0; i < opened; i++)
            sfs_disk_close(disks[i]);
    for (size_t i = 0; i < opened && err; i++)
        if (created[i])
            (void)remove(paths[i]);
    return sfs_api_explain(info, err);
}

int scalefs_pool_add(struct scalefs_pool *pool, const char *const *paths, size_t count,
                     const char *station, uint64_t file_bytes, bool force,
                     struct scalefs_error_info *info)
{
    struct scalefs_add_options options = {.struct_bytes = sizeof options, .station = station, .file_bytes = file_bytes,
                                          .force = force};
    return scalefs_pool_add_with(pool, paths, count, &options, info);
}

int scalefs_pool_set_role(struct scalefs_pool *pool, const char *disk, enum scalefs_role role,
                          struct scalefs_error_info *info)
{
    uint16_t index = 0;
    bool known = role == SCALEFS_ROLE_DATA || role == SCALEFS_ROLE_METADATA;
    int err = begin(pool, disk, info);
    if (!err && !known)
        err = sfs_refuse(info, SCALEFS_E_INVAL, "A disk is for data or for metadata.");
    if (!err)
        err = sfs_api_member(pool, disk, &index, info);
    if (!err)
        err = sfs_care_role(pool->store, index, (uint8_t)role, info);
    return sfs_api_explain(info, err);
}

int scalefs_pool_remove(struct scalefs_pool *pool, const char *disk, int failover,
                        struct scalefs_error_info *info)
{
    uint16_t index = 0;
    int err = begin(pool, disk && failover <= 31 ? pool : NULL, info);
    if (!err)
        err = sfs_api_member(pool, disk, &index, info);
    if (!err)
        err = sfs_care_remove(pool->store, index, failover, info);
    return sfs_api_explain(info, err);
}

int scalefs_pool_resize(struct scalefs_pool *pool, const char *disk, uint64_t bytes,
                        struct scalefs_error_info *info)
{
    uint16_t index = 0;
    int err = begin(pool, disk, info);
    if (!err)
        err = sfs_api_member(pool, disk, &index, info);
    if (!err)
        err = sfs_care_resize(pool->store, index, bytes, info);
    return sfs_api_explain(info, err);
}

int scalefs_pool_offline(struct scalefs_pool *pool, const char *disk,
                         struct scalefs_error_info *info)
{
    uint16_t index = 0;
    int err = begin(pool, disk, info);
    if (!err)
        err = sfs_api_member(pool, disk, &index, info);
    if (!err)
        err = sfs_care_offline(pool->store, index, info);
    return sfs_api_explain(info, err);
}

/* Where a member that is absent can be seen now; the path is the caller's to free. */
static int find_absent(struct scalefs_pool *pool, uint16_t index, char path[1024],
                       struct scalefs_error_info *info)
{
    struct sfs_uuid uuid = {{0}};
    const char *hint[1];
    char last[sizeof((struct sfs_disk_record *)0)->path] = "";
    sfs_mutex_lock(&pool->pool->lock);
    const struct sfs_member *m = sfs_member_of(pool->pool, index);
    if (m) {
        uuid = m->record.uuid;
        snprintf(last, sizeof last, "%s", m->record.path);
    }
    sfs_mutex_unlock(&pool->pool->lock);
    struct sfs_api_search s;
    sfs_api_search_begin(&s, pool->env);
    hint[0] = last;
    if (last[0])
        sfs_api_search_path(&s, last, true);
    sfs_api_search_scan(&s, NULL, hint, last[0] ? 1 : 0);
    bool found = false;
    for (size_t i = 0; i < s.count && !found; i++) {
        found = sfs_uuid_equal(&s.disks[i].label.disk, &uuid) &&
                sfs_uuid_equal(&s.disks[i].label.pool, &pool->pool->uuid);
        if (found)
            snprintf(path, 1024, "%s", s.disks[i].path);
    }
    sfs_api_search_end(&s);
    return found ? SCALEFS_OK
                 : sfs_refuse(
                       info, SCALEFS_E_NOENT,
                       "Disk %u cannot be seen: connect it, or name the path at which it is now.",
                       index);
}

/* A short id or a UUID: the command makes paths absolute. */
static bool is_no_path(const char *word)
{
    struct sfs_uuid uuid;
    return sfs_uuid_parse(word, &uuid) || !word[strspn(word, "0123456789")];
}

int scalefs_pool_online(struct scalefs_pool *pool, const char *disk,
                        struct scalefs_error_info *info)
{
    struct sfs_disk *there;
    struct scalefs_error_info why;
    uint16_t index = 0;
    char path[1024];
    int err = begin(pool, disk, info);
    if (err)
        return err;
    snprintf(path, sizeof path, "%s", disk);
    /* A short id, a UUID or the old path means: look for it. Any other path is where it is now. */
    err = sfs_api_member(pool, disk, &index, &why);
    if (!err && is_online(pool, index))
        return sfs_api_explain(info, sfs_care_measure(pool->store, index, info));
    if (!err)
        err = find_absent(pool, index, path, info);
    else if (is_no_path(disk))
        *(info ? info : &why) = why;
    else
        err = SCALEFS_OK;
    if (!err)
        err = sfs_disk_open(pool->env, path, SFS_DISK_EXCLUSIVE, &there, info);
    if (err)
        return sfs_api_explain(info, err);
    err = sfs_care_online(pool->store, there, info);
    if (err)
        sfs_disk_close(there);
    return sfs_api_explain(info, err);
}

int scalefs_pool_scrub(struct scalefs_pool *pool, enum scalefs_scrub_verb verb,
                       struct scalefs_error_info *info)
{
    int err = begin(pool, pool, info);
    return err ? err : sfs_api_explain(info, sfs_care_scrub(pool->store, verb, info));
}

int scalefs_pool_pause(struct scalefs_pool *pool, unsigned task, struct scalefs_error_info *info)
{
    int err = begin(pool, pool, info);
    return sfs_api_explain(info, err ? err : sfs_care_pause(pool->store, task, info));
}

int scalefs_pool_resume(struct scalefs_pool *pool, unsigned task, struct scalefs_error_info *info)
{
    int err = begin(pool, pool, info);
    return sfs_api_explain(info, err ? err : sfs_care_resume(pool->store, task, info));
}

int scalefs_pool_cancel(struct scalefs_pool *pool, unsigned task, struct scalefs_error_info *info)
{
    int err = begin(pool, pool, info);
    return sfs_api_explain(info, err ? err : sfs_care_cancel(pool->store, task, info));
}
