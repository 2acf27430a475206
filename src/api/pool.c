/* Opening and closing pools; settings; waiting. */
#include "api/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/host.h"
#include "base/text.h"

#define WAIT_NS 200000000u
#define RATE_LEAST (64u << 10)

/* --- open
 * --------------------------------------------------------------------------------------------------
 */

static bool is_disk(const struct sfs_api_disk *d, const char *word)
{
    struct sfs_uuid uuid;
    char id[16];
    snprintf(id, sizeof id, "%u", d->label.index);
    if (sfs_uuid_parse(word, &uuid))
        return sfs_uuid_equal(&uuid, &d->label.disk);
    return !strcmp(d->path, word) || (d->given && !strcmp(d->given, word)) || !strcmp(id, word);
}

/* Opens all disks of the pool exclusively. `disks` has room for all that were found. */
static int open_disks(struct scalefs_pool *pool, const struct sfs_api_search *s,
                      const struct sfs_uuid *uuid, bool read_only, struct sfs_disk **disks,
                      size_t *count, struct scalefs_error_info *info)
{
    unsigned flags = SFS_DISK_EXCLUSIVE | SFS_DISK_PATIENT |
                     (read_only ? (unsigned)SFS_DISK_READ_ONLY : 0u);
    int err = SCALEFS_OK;
    *count = 0;
    for (size_t i = 0; !err && i < s->count; i++) {
        const struct sfs_api_disk *d = &s->disks[i];
        struct scalefs_error_info why = {.error = 0};
        if (!sfs_uuid_equal(&d->label.pool, uuid))
            continue;
        int r = sfs_disk_open(pool->env, d->path, flags, &disks[*count], &why);
        if (!r) {
            ++*count;
        } else if (r == SCALEFS_E_BUSY || r == SCALEFS_E_NOMEM || r == SCALEFS_E_ACCESS ||
                   r == SCALEFS_E_PERM || r == SCALEFS_E_ROFS) {
            sfs_api_explain(&why, r);
            err = sfs_refuse(info, r, "The pool \"%s\" cannot be opened. %.900s", d->label.name,
                             why.text);
        } else {
            sfs_log(pool->env, SFS_LOG_WARN, "api", r, "%s is left out: %s", d->path, why.text);
        }
    }
    while (err && *count)
        sfs_disk_close(disks[--*count]);
    return err;
}

static int find_keep(const struct sfs_api_search *s, const struct sfs_uuid *pool, const char *keep,
                     struct sfs_uuid *disk, struct scalefs_error_info *info)
{
    for (size_t i = 0; i < s->count; i++) {
        if (sfs_uuid_equal(&s->disks[i].label.pool, pool) && is_disk(&s->disks[i], keep)) {
            *disk = s->disks[i].label.disk;
            return SCALEFS_OK;
        }
    }
    return sfs_refuse(info, SCALEFS_E_NOENT,
                      "%s, whose half was to be kept, is not one of the pool's disks.", keep);
}

static int open_found(struct scalefs_pool *pool, const struct scalefs_open_options *o, bool offline,
                      const struct sfs_api_search *s, const struct sfs_uuid *uuid,
                      struct scalefs_error_info *info)
{
    struct sfs_uuid keep;
    struct sfs_pool_open how = {.read_only = o->read_only,
                                .degraded = o->degraded,
                                .other_host = o->other_host,
                                .host = sfs_host_id(),
                                .probe = sfs_store_probe};
    int err = o->keep_disk ? find_keep(s, uuid, o->keep_disk, &keep, info) : SCALEFS_OK;
    how.keep_disk = o->keep_disk ? &keep : NULL;
    struct sfs_disk **disks = sfs_alloc(pool->env, (s->count + 1) * sizeof(struct sfs_disk *));
    size_t count = 0;
    if (!err && !disks)
        err = SCALEFS_E_NOMEM;
    if (!err)
        err = open_disks(pool, s, uuid, o->read_only, disks, &count, info);
    if (!err && !count)
        err = sfs_refuse(info, SCALEFS_E_MISSING, "None of the pool's disks could be opened.");
    if (!err)
        err = sfs_pool_open(pool->env, disks, count, &how, &pool->pool, info);
    sfs_free(pool->env, disks);
    if (err)
        return err;
    pool->read_only = o->read_only || pool->pool->read_only;
    struct sfs_store_options so = {.cache_bytes = o->cache_bytes,
                                   .commit_seconds = o->commit_seconds,
                                   .no_background = offline};
    err = sfs_store_open(pool->env, pool->pool, &so, &pool->store, info);
    if (err)
        return err;
    struct sfs_fs_options fo = {
        .dirty_bytes = o->dirty_bytes, .read_only = pool->read_only, .no_background = offline};
    sfs_host_user(&fo.root_uid, &fo.root_gid);
    err = sfs_fs_open(pool->store, SFS_TREE_VOLUME, &fo, &pool->files.fs);
    if (err) {
        sfs_api_explain(info, err);
        (void)sfs_store_close(pool->store, false);
    }
    return err;
}

int sfs_api_open(const struct scalefs_open_options *options, bool offline, const char *name,
                 const char *const *disks, size_t count, struct scalefs_pool **out,
                 struct scalefs_error_info *info)
{
    *out = NULL;
    if (info)
        info->error = 0;
    struct scalefs_pool *pool = sfs_zalloc(NULL, sizeof *pool);
    if (!pool)
        return sfs_api_explain(info, SCALEFS_E_NOMEM);
    pool->log = (struct sfs_api_log){options->log, options->log_context};
    int err = sfs_api_env_open(&pool->log, &pool->env);
    if (!err) {
        struct sfs_api_search s;
        struct sfs_uuid uuid;
        sfs_api_search_begin(&s, pool->env);
        for (size_t i = 0; i < count; i++)
            sfs_api_search_path(&s, disks[i], false);
        if (name)
            sfs_api_search_path(&s, name, true);
        if (options->keep_disk)
            sfs_api_search_path(&s, options->keep_disk, true);
        sfs_api_search_scan(&s, name, disks, count);
        err = sfs_api_search_pool(&s, name, &uuid, info);
        if (!err)
            err = open_found(pool, options, offline, &s, &uuid, info);
        sfs_api_search_end(&s);
    }
    if (!err) {
        *out = pool;
        return SCALEFS_OK;
    }
    sfs_api_env_close(pool->env);
    sfs_free(NULL, pool);
    return sfs_api_explain(info, err);
}

int scalefs_pool_open(const struct scalefs_open_options *options, const char *name,
                      const char *const *disks, size_t count, struct scalefs_pool **pool,
                      struct scalefs_error_info *info)
{
    if (!pool || !options || options->struct_bytes < sizeof *options || (!name && !count) ||
        (count && !disks))
        return sfs_api_explain(info, SCALEFS_E_INVAL);
    return sfs_api_open(options, false, name, disks, count, pool, info);
}

int scalefs_pool_close(struct scalefs_pool *pool, bool export_pool)
{
    if (!pool)
        return SCALEFS_OK;
    int err = sfs_fs_close(pool->files.fs);
    int close_err = sfs_store_close(pool->store, export_pool && !err);
    sfs_api_env_close(pool->env);
    sfs_free(NULL, pool);
    return err ? err : close_err;
}

int scalefs_pool_sync(struct scalefs_pool *pool)
{
    return sfs_fs_sync(pool->files.fs);
}

int scalefs_fs_get(struct scalefs_pool *pool, struct scalefs_fs **fs)
{
    if (!pool || !fs)
        return SCALEFS_E_INVAL;
    *fs = &pool->files;
    return SCALEFS_OK;
}

int sfs_api_read_only(const struct scalefs_pool *pool, struct scalefs_error_info *info)
{
    return sfs_refuse(info, SCALEFS_E_ROFS,
                      "The pool \"%s\" is open for reading only, so it cannot be changed. Unmount it, and mount it without "
                      "--read-only.", pool->pool->config.name);
}

/* --- settings
 * ------------------------------------------------------------------------------------------------
 */

static int parse_verify(struct sfs_config_record *c, const char *value,
                        struct scalefs_error_info *info)
{
    if (!strcmp(value, "checksum"))
        c->verify = 0;
    else if (!strcmp(value, "parity"))
        c->verify = 1;
    else
        return sfs_refuse(info, SCALEFS_E_INVAL,
                          "verify is \"checksum\" or \"parity\", not \"%s\".", value);
    return SCALEFS_OK;
}

static int parse_compression(struct sfs_config_record *c, const char *value,
                             struct scalefs_error_info *info)
{
    if (!strcmp(value, "off")) {
        c->compression = 0;
        return SCALEFS_OK;
    }
    long level = 1;
    bool good = !strncmp(value, "zstd", 4);
    if (good && value[4]) {
        char *end;
        good = value[4] == ':' && value[5] >= '0' && value[5] <= '9';
        level = good ? strtol(value + 5, &end, 10) : 0;
        good = good && !*end && level >= 1 && level <= 19;
    }
    if (!good)
        return sfs_refuse(
            info, SCALEFS_E_INVAL,
            "compression is \"off\", \"zstd\", or \"zstd:1\" to \"zstd:19\", not \"%s\".", value);
    c->compression = 1;
    c->zstd_level = (int8_t)level;
    return SCALEFS_OK;
}

static int parse_record(struct sfs_config_record *c, const char *value,
                        struct scalefs_error_info *info)
{
    uint64_t bytes;
    if (sfs_size_parse(value, &bytes) || bytes < 16384 || bytes > (256u << 10) ||
        bytes & (bytes - 1))
        return sfs_refuse(info, SCALEFS_E_INVAL,
                          "record is a power of two from 16K to 256K, not \"%s\".", value);
    c->record_bytes = (uint32_t)bytes;
    return SCALEFS_OK;
}

static int parse_setting(struct sfs_config_record *c, const char *key, const char *value,
                         struct scalefs_error_info *info)
{
    if (!strcmp(key, "verify"))
        return parse_verify(c, value, info);
    if (!strcmp(key, "compression"))
        return parse_compression(c, value, info);
    if (!strcmp(key, "record"))
        return parse_record(c, value, info);
    return sfs_refuse(info, SCALEFS_E_INVAL,
                      "There is no setting \"%s\" that could be changed; there are verify, "
                      "compression, record, rate, failover and optimize.",
                      key);
}

/* 0 to `most`; negative: it is none. */
static int parse_number(const char *value, int most)
{
    char *end;
    long n = *value >= '0' && *value <= '9' ? strtol(value, &end, 10) : -1;
    return n >= 0 && n <= most && !*end ? (int)n : -1;
}

/* What groups are made of: care judges it, and moves what differs. */
static int set_layout(struct scalefs_pool *pool, const char *key, const char *value,
                      struct scalefs_error_info *info)
{
    static const char *const names[] = {"space", "balanced", "performance"};
    int number = -1;
    if (!strcmp(key, "failover")) {
        number = parse_number(value, 31);
        if (number < 0)
            return sfs_refuse(info, SCALEFS_E_INVAL,
                              "failover is the number of disks that may fail, 0 to 31, not \"%s\".", value);
        return sfs_care_configure(pool->store, number, -1, info);
    }
    for (int i = 0; i < 3 && number < 0; i++)
        number = !strcmp(value, names[i]) ? i * 50 : -1;
    if (number < 0)
        number = parse_number(value, 100);
    if (number < 0)
        return sfs_refuse(info, SCALEFS_E_INVAL,
                          "optimize is space, balanced, performance or a number from 0 to 100, not "
                          "\"%s\".", value);
    return sfs_care_configure(pool->store, -1, number, info);
}

static int set_rate(struct scalefs_pool *pool, const char *value, struct scalefs_error_info *info)
{
    uint64_t rate = 0;
    if (strcmp(value, "off") && (sfs_size_parse(value, &rate) || rate < RATE_LEAST))
        return sfs_refuse(info, SCALEFS_E_INVAL,
                          "rate is \"off\", or the bytes a second that changes move at most, 64K or more, not \"%s\".", value);
    return sfs_care_limit(pool->store, rate, info);
}

static void take_settings(struct sfs_config_record *to, const struct sfs_config_record *from)
{
    to->verify = from->verify;
    to->compression = from->compression;
    to->zstd_level = from->zstd_level;
    to->record_bytes = from->record_bytes;
}

int scalefs_pool_set(struct scalefs_pool *pool, const char *key, const char *value,
                     struct scalefs_error_info *info)
{
    if (info)
        info->error = 0;
    if (!pool || !key || !value)
        return sfs_api_explain(info, SCALEFS_E_INVAL);
    if (pool->read_only)
        return sfs_api_read_only(pool, info);
    if (!strcmp(key, "failover") || !strcmp(key, "optimize"))
        return sfs_api_explain(info, set_layout(pool, key, value, info));
    if (!strcmp(key, "rate"))
        return sfs_api_explain(info, set_rate(pool, value, info));
    struct sfs_pool *p = pool->pool;
    sfs_mutex_lock(&p->lock);
    struct sfs_config_record before = p->config, wanted = p->config;
    int err = parse_setting(&wanted, key, value, info);
    if (!err) {
        take_settings(&p->config, &wanted);
        p->config_dirty = true;
    }
    sfs_mutex_unlock(&p->lock);
    if (err)
        return err;
    err = sfs_store_commit(pool->store);
    if (err) { /* nothing is durable: as it was */
        sfs_mutex_lock(&p->lock);
        take_settings(&p->config, &before);
        p->config_dirty = true;
        sfs_mutex_unlock(&p->lock);
    }
    return sfs_api_explain(info, err);
}

/* --- wait
 * ------------------------------------------------------------------------------------------------------
 */

int scalefs_pool_wait(struct scalefs_pool *pool,
                      void (*progress)(void *context, const struct scalefs_status *status),
                      void *context, const volatile bool *cancel)
{
    for (;;) {
        bool idle = sfs_care_idle(pool->store);
        if (progress) {
            struct scalefs_status *status;
            int err = scalefs_pool_status(pool, &status);
            if (err)
                return err;
            progress(context, status);
            scalefs_status_free(status);
        }
        if (idle)
            return SCALEFS_OK;
        if (cancel && *cancel)
            return SCALEFS_E_CANCELED;
        sfs_care_await(pool->store, WAIT_NS);
    }
}

/* --- check
 * -------------------------------------------------------------------------------------------------------
 */

/* Whose the extents are that cannot be read. */
static void name_lost(struct scalefs_pool *pool, void (*problem)(void *context, const char *text), void *context)
{
    struct scalefs_lost_file *files = sfs_zalloc(NULL, SCALEFS_LOST_FILES * sizeof *files);
    size_t count = 0;
    char path[4 * sizeof files->path], text[sizeof path + 128];
    if (!files)
        return;
    sfs_care_name_lost(pool->store);
    uint64_t all = sfs_fs_lost_files(pool->files.fs, files, SCALEFS_LOST_FILES, &count);
    for (size_t i = 0; i < count; i++) {
        sfs_text_plain(files[i].path, path, sizeof path);
        snprintf(text, sizeof text, "The file %s has lost %llu bytes, the first of them at %llu.", path,
                 (unsigned long long)files[i].bytes, (unsigned long long)files[i].offset);
        problem(context, text);
    }
    if (all > count) {
        snprintf(text, sizeof text, "And %llu more files have lost something.", (unsigned long long)(all - count));
        problem(context, text);
    }
    sfs_free(NULL, files);
}

int scalefs_pool_check(const char *name, const char *const *disks, size_t count,
                       void (*problem)(void *context, const char *text), void *context,
                       struct scalefs_check_report *report, struct scalefs_error_info *info)
{
    struct scalefs_open_options o = {
        .struct_bytes = sizeof o, .read_only = true, .degraded = true, .other_host = true};
    struct scalefs_pool *pool;
    if (!report || (!name && !count) || (count && !disks))
        return sfs_api_explain(info, SCALEFS_E_INVAL);
    memset(report, 0, sizeof *report);
    int err = sfs_api_open(&o, true, name, disks, count, &pool, info);
    if (err)
        return err;
    err = sfs_care_check(pool->store, problem, context, report);
    if (!err)
        err = sfs_fs_check(pool->files.fs, problem, context, report);
    if (!err && problem)
        name_lost(pool, problem, context);
    (void)scalefs_pool_close(pool, false);
    return sfs_api_explain(info, err);
}
