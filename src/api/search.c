/* Pools are found by what their disks say of themselves: every disk that can be seen is read, never
 * written. */
#include "api/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/host.h"
#include "base/text.h"
#include "base/vec.h"

#ifdef _WIN32
#define FOLDER_SEPARATOR ";"
#else
#define FOLDER_SEPARATOR ":"
#endif

static char *copy_text(struct sfs_env *env, const char *text)
{
    size_t len = strlen(text) + 1;
    char *copy = sfs_alloc(env, len);
    if (copy)
        memcpy(copy, text, len);
    return copy;
}

void sfs_api_search_begin(struct sfs_api_search *s, struct sfs_env *env)
{
    memset(s, 0, sizeof *s);
    s->env = env;
}

void sfs_api_search_end(struct sfs_api_search *s)
{
    for (size_t i = 0; i < s->count; i++)
        sfs_free(s->env, s->disks[i].path);
    sfs_free(s->env, s->disks);
}

/* One disk is kept once, under the name that the user gave it, or else the one with its newest
 * state (a copy of a disk looks just like it). */
static void keep(struct sfs_api_search *s, struct sfs_api_disk *d)
{
    for (size_t i = 0; i < s->count; i++) {
        struct sfs_api_disk *old = &s->disks[i];
        if (!sfs_uuid_equal(&old->label.disk, &d->label.disk) ||
            !sfs_uuid_equal(&old->label.pool, &d->label.pool))
            continue;
        bool same = !strcmp(old->path, d->path);
        if ((!old->given && d->given) || (!old->given == !d->given && !same && d->txn > old->txn)) {
            struct sfs_api_disk swap = *old;
            *old = *d;
            *d = swap;
        }
        sfs_free(s->env, d->path);
        return;
    }
    if (sfs_vec_reserve(s->env, &s->disks, &s->room, s->count + 1, sizeof *s->disks)) {
        s->error = SCALEFS_E_NOMEM;
        sfs_free(s->env, d->path);
        return;
    }
    s->disks[s->count++] = *d;
}

static int look(struct sfs_api_search *s, const char *path, const char *given,
                struct scalefs_error_info *why)
{
    struct sfs_disk *disk;
    struct sfs_commit *newest = sfs_alloc(s->env, sizeof *newest);
    struct sfs_api_disk d = {.given = given};
    if (!newest)
        return SCALEFS_E_NOMEM;
    int err = sfs_disk_open(s->env, path, SFS_DISK_READ_ONLY, &disk, why);
    if (!err) {
        err = sfs_pool_identify(s->env, disk, &d.label, newest, &d.has_record);
        if (err)
            sfs_refuse(why, err, "%s cannot be used: %s.", path, scalefs_error_text(err));
        if (!err) {
            d.path = copy_text(s->env, disk->info.path);
            if (!d.path)
                err = SCALEFS_E_NOMEM;
        }
        sfs_disk_close(disk);
    }
    if (!err) {
        if (d.has_record) {
            d.txn = newest->txn;
            d.host = newest->host;
            d.exported = newest->exported;
        }
        keep(s, &d);
    }
    sfs_free(s->env, newest);
    return err;
}

void sfs_api_search_path(struct sfs_api_search *s, const char *path, bool name)
{
    struct scalefs_error_info why = {.error = 0};
    int err = look(s, path, path, &why);
    if (!err || (name && err == SCALEFS_E_NOENT) || s->error)
        return;
    s->error = err;
    s->why = why;
}

static void found(void *arg, const char *path)
{
    struct scalefs_error_info why;
    (void)look(arg, path, NULL, &why);
}

/* The folder of a path: "." for a plain name. */
static void put_folder(struct sfs_text *t, const char *path)
{
    const char *slash = strrchr(path, '/');
#ifdef _WIN32
    const char *back = strrchr(path, '\\');
    if (back && (!slash || back > slash))
        slash = back;
#endif
    if (t->len)
        sfs_text_put(t, FOLDER_SEPARATOR);
    if (!slash)
        sfs_text_put(t, ".");
    else
        sfs_text_put_bytes(t, path, slash == path ? 1 : (size_t)(slash - path));
}

static bool is_device(const char *path)
{
    return !strncmp(path, "/dev/", 5) || !strncmp(path, "\\\\", 2);
}

void sfs_api_search_scan(struct sfs_api_search *s, const char *name, const char *const *paths,
                         size_t count)
{
    struct sfs_text folders;
    sfs_text_init(&folders, s->env);
    const char *env = getenv("SCALEFS_PATH");
    if (env && env[0])
        sfs_text_put(&folders, env);
    for (size_t i = 0; i < count; i++)
        if (!is_device(paths[i]))
            put_folder(&folders, paths[i]);
    for (size_t i = 0; name && i < s->count; i++)
        if (s->disks[i].given && !strcmp(s->disks[i].given, name) && !is_device(name))
            put_folder(&folders, name);
    (void)sfs_disk_scan(s->env, folders.len ? sfs_text_chars(&folders) : NULL, found, s);
    sfs_text_deinit(&folders);
}

static int find_by_name(const struct sfs_api_search *s, const char *name, struct sfs_uuid *pool,
                        struct scalefs_error_info *info)
{
    bool any = false;
    struct sfs_uuid uuid;
    bool is_uuid = sfs_uuid_parse(name, &uuid);
    for (size_t i = 0; i < s->count; i++) {
        const struct sfs_label *l = &s->disks[i].label;
        if (is_uuid ? !sfs_uuid_equal(&l->pool, &uuid) : strcmp(l->name, name) != 0)
            continue;
        if (any && !sfs_uuid_equal(pool, &l->pool)) {
            char a[SFS_UUID_TEXT], b[SFS_UUID_TEXT];
            sfs_uuid_format(pool, a);
            sfs_uuid_format(&l->pool, b);
            return sfs_refuse(
                info, SCALEFS_E_AMBIGUOUS,
                "\"%s\" is the name of more than one pool. Use the UUID: %s or %s.", name, a, b);
        }
        any = true;
        *pool = l->pool;
    }
    return any ? SCALEFS_OK : SCALEFS_E_NOENT;
}

int sfs_api_search_pool(const struct sfs_api_search *s, const char *name, struct sfs_uuid *pool,
                        struct scalefs_error_info *info)
{
    if (s->error == SCALEFS_E_NOMEM)
        return sfs_api_explain(info, s->error);
    if (name) {
        int err = find_by_name(s, name, pool, info);
        if (err != SCALEFS_E_NOENT)
            return err;
    }
    for (size_t i = 0; i < s->count; i++) {
        if (s->disks[i].given && (!name || !strcmp(s->disks[i].given, name))) {
            *pool = s->disks[i].label.pool;
            return SCALEFS_OK;
        }
    }
    if (s->error) {
        if (info)
            *info = s->why;
        return sfs_api_explain(info, s->error);
    }
    struct sfs_disk *there;
    struct scalefs_error_info why = {0};
    if (name && strchr(name, '/')) { /* surely meant as a disk */
        int err = sfs_disk_open(s->env, name, SFS_DISK_READ_ONLY, &there, &why);
        if (!err)
            sfs_disk_close(there);
        else
            return sfs_refuse(info, err == SCALEFS_E_NOENT ? err : SCALEFS_E_NOT_A_POOL, "%s", why.text);
    }
    return sfs_refuse(
        info, SCALEFS_E_NOENT,
        "There is no pool \"%s\": no disk that can be seen belongs to it. Disks that are files are "
        "found in the folders of SCALEFS_PATH, or when one of them is named.",
        name ? name : "");
}

/* --- pools that can be seen
 * ---------------------------------------------------------------------------------- */

/* How many disks the pool says that it has; `otherwise` when its table cannot be read now (it may
 * be in use, and changing under our eyes). */
static unsigned expected(const struct sfs_api_search *s, const struct sfs_uuid *uuid,
                         unsigned otherwise)
{
    struct sfs_disk **disks = sfs_zalloc(s->env, s->count * sizeof(struct sfs_disk *));
    struct sfs_pool_open how = {.read_only = true, .degraded = true, .other_host = true};
    struct sfs_pool *pool;
    struct scalefs_error_info why;
    size_t n = 0;
    for (size_t i = 0; disks && i < s->count; i++)
        if (sfs_uuid_equal(&s->disks[i].label.pool, uuid) &&
            !sfs_disk_open(s->env, s->disks[i].path, SFS_DISK_READ_ONLY, &disks[n], &why))
            n++;
    unsigned members = 0;
    if (n && !sfs_pool_open(s->env, disks, n, &how, &pool, &why)) {
        for (unsigned i = 0; i < pool->member_count; i++)
            members += pool->members[i].used && !sfs_member_failed(&pool->members[i]);
        sfs_pool_close(pool);
    }
    sfs_free(s->env, disks);
    return members ? members : otherwise;
}

static void report(const struct sfs_api_search *s, const bool *done, size_t first, uint64_t host,
                   const char **paths, void (*fn)(void *, const struct scalefs_found_pool *),
                   void *context)
{
    struct scalefs_found_pool p = {.disks_expected = 0};
    uint64_t newest = 0;
    for (size_t i = first; i < s->count; i++) {
        const struct sfs_api_disk *d = &s->disks[i];
        if (done[i] || !sfs_uuid_equal(&d->label.pool, &s->disks[first].label.pool))
            continue;
        paths[p.path_count++] = d->path;
        if (i == first || d->txn >= newest) {
            newest = d->txn;
            p.exported = d->exported;
            p.other_host = d->has_record && !d->exported && d->host && d->host != host; /* 0: nobody has opened it yet */
            snprintf(p.name, sizeof p.name, "%s", d->label.name);
        }
    }
    sfs_uuid_format(&s->disks[first].label.pool, p.uuid);
    p.paths = paths;
    p.disks_found = (unsigned)p.path_count;
    p.disks_expected = expected(s, &s->disks[first].label.pool, p.disks_found);
    fn(context, &p);
}

int scalefs_pools_find(const char *const *disks, size_t count,
                       void (*fn)(void *context, const struct scalefs_found_pool *pool),
                       void *context, struct scalefs_error_info *info)
{
    struct sfs_api_log log = {NULL, NULL};
    struct sfs_env *env;
    struct sfs_api_search s;
    if (!fn || (count && !disks))
        return sfs_api_explain(info, SCALEFS_E_INVAL);
    int err = sfs_api_env_open(&log, &env);
    if (err)
        return sfs_api_explain(info, err);
    sfs_api_search_begin(&s, env);
    for (size_t i = 0; i < count; i++)
        sfs_api_search_path(&s, disks[i], true);
    sfs_api_search_scan(&s, NULL, disks, count);
    const char **paths = sfs_alloc(env, (s.count + 1) * sizeof *paths);
    bool *done = sfs_zalloc(env, s.count + 1);
    if (!paths || !done)
        err = SCALEFS_E_NOMEM;
    for (size_t i = 0; !err && i < s.count; i++) {
        if (done[i])
            continue;
        report(&s, done, i, sfs_host_id(), paths, fn, context);
        for (size_t j = s.count; j-- > i;)
            if (sfs_uuid_equal(&s.disks[j].label.pool, &s.disks[i].label.pool))
                done[j] = true;
    }
    sfs_free(env, done);
    sfs_free(env, paths);
    sfs_api_search_end(&s);
    sfs_api_env_close(env);
    return sfs_api_explain(info, err);
}
