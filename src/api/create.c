/* Making pools, and looking at disks that are to become part of one. Everything is looked at before
 * the first byte is written.
 */
#include "api/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

static bool in_use(const char *what)
{
    return !strncmp(what, "mounted", 7) || !strncmp(what, "used as swap", 12);
}

/* What an existing disk carries. */
static int check_empty(struct sfs_env *env, struct sfs_disk *disk, bool force,
                       struct scalefs_error_info *info)
{
    const char *path = disk->info.path;
    char what[128] = "";
    struct sfs_label label;
    bool has_record;
    struct sfs_commit *newest = sfs_alloc(env, sizeof *newest);
    if (!newest)
        return sfs_api_explain(info, SCALEFS_E_NOMEM);
    int err = sfs_pool_identify(env, disk, &label, newest, &has_record);
    sfs_free(env, newest);
    int probed = sfs_disk_probe(env, path, what);
    if (!probed && in_use(what))
        return sfs_refuse(info, SCALEFS_E_BUSY, "%s is %s. Free it first.", path, what);
    if (err == SCALEFS_E_IO || err == SCALEFS_E_GONE || err == SCALEFS_E_NOMEM)
        return sfs_refuse(info, err, "%s cannot be read: %s.", path, scalefs_error_text(err));
    if (force)
        return SCALEFS_OK;
    if (!err)
        return sfs_refuse(
            info, SCALEFS_E_FOREIGN,
            "%s already belongs to the ScaleFS pool \"%s\". To overwrite it, and lose what that "
            "pool has on it, use --force.",
            path, label.name);
    if (err == SCALEFS_E_VERSION || err == SCALEFS_E_CORRUPT)
        return sfs_refuse(info, SCALEFS_E_FOREIGN,
                          "%s carries a ScaleFS label that %s. To overwrite it, use --force.",
                          path,
                          err == SCALEFS_E_VERSION ? "a newer version wrote" : "is damaged");
    if (probed)
        return sfs_refuse(info, probed, "What %s carries could not be found out: %s.", path,
                          scalefs_error_text(probed));
    if (what[0])
        return sfs_refuse(
            info, SCALEFS_E_FOREIGN,
            "%s carries %s. To overwrite it, and lose everything on it, use --force.", path,
            strncmp(what, "holds ", 6) ? what : what + 6);
    return SCALEFS_OK;
}

static const char *size_text(uint64_t bytes, char text[SFS_SIZE_TEXT])
{
    sfs_size_format(bytes, text);
    return text;
}

static int open_new(struct sfs_env *env, const char *path, uint64_t file_bytes,
                    struct sfs_disk **disk, bool *created, struct scalefs_error_info *info)
{
    char text[SFS_SIZE_TEXT];
    int err = sfs_disk_open(env, path, SFS_DISK_EXCLUSIVE, disk, info);
    if (err != SCALEFS_E_NOENT)
        return sfs_api_explain(info, err);
    if (!file_bytes)
        return sfs_refuse(
            info, err, "%s does not exist. To make a file of that name, give its --size.", path);
    if (file_bytes < SFS_DISK_MIN_BYTES)
        return sfs_refuse(
            info, SCALEFS_E_TOO_SMALL,
            "%s would be too small with %s: a disk needs at least %llu MiB.", path,
            size_text(file_bytes, text), (unsigned long long)(SFS_DISK_MIN_BYTES >> 20));
    err = sfs_disk_create_file(env, path, file_bytes / SFS_IO_ALIGN * SFS_IO_ALIGN, info);
    if (err)
        return sfs_api_explain(info, err);
    *created = true;
    return sfs_api_explain(info, sfs_disk_open(env, path, SFS_DISK_EXCLUSIVE, disk, info));
}

int sfs_api_new_disk(struct sfs_env *env, const char *path, uint64_t file_bytes, bool force,
                     struct sfs_disk **disk, bool *created, struct scalefs_error_info *info)
{
    char text[SFS_SIZE_TEXT];
    *disk = NULL;
    *created = false;
    if (info)
        info->error = 0;
    int err = open_new(env, path, file_bytes, disk, created, info);
    struct sfs_disk *d = *disk;
    if (!err && d->info.zoned)
        err = sfs_refuse(info, SCALEFS_E_NOTSUP,
                         "%s is a host-managed zoned disk; those are not supported yet.", path);
    if (!err && d->info.size_bytes < SFS_DISK_MIN_BYTES)
        err = sfs_refuse(
            info, SCALEFS_E_TOO_SMALL,
            "%s is too small: it has %s, and a disk needs at least %llu MiB.", path,
            size_text(d->info.size_bytes, text), (unsigned long long)(SFS_DISK_MIN_BYTES >> 20));
    if (!err && !*created)
        err = check_empty(env, d, force, info);
    if (!err)
        return SCALEFS_OK;
    sfs_disk_close(d);
    *disk = NULL;
    if (*created)
        (void)remove(path);
    *created = false;
    return err;
}

/* --- create
 * ---------------------------------------------------------------------------------------------------
 */

static int check_name(const char *name, struct scalefs_error_info *info)
{
    struct sfs_uuid uuid;
    size_t len = name ? strlen(name) : 0;
    const char *why = NULL;
    if (!len || len > SFS_NAME_MAX)
        why = "it must have 1 to 63 bytes";
    else if (sfs_uuid_parse(name, &uuid))
        why = "it looks like a UUID";
    else if (!strcmp(name, ".") || !strcmp(name, "..") || name[0] == '-')
        why = "it could be taken for something else";
    for (size_t i = 0; i < len && !why; i++)
        if (name[i] == '/' || (unsigned char)name[i] < 32 || name[i] == 127)
            why = "it must not have slashes or control characters";
    return why ? sfs_refuse(info, SCALEFS_E_INVAL,
                            "\"%.80s\" cannot be the name of a pool: %s.", name ? name : "",
                            why)
               : SCALEFS_OK;
}

/* Data is stored on disks for data alone. */
static int check_roles(const struct scalefs_create_options *o, size_t count, struct scalefs_error_info *info)
{
    size_t data = count;
    for (size_t i = 0; o->roles && i < count; i++) {
        if (o->roles[i] != SCALEFS_ROLE_DATA && o->roles[i] != SCALEFS_ROLE_METADATA)
            return sfs_refuse(info, SCALEFS_E_INVAL, "A disk is for data or for metadata.");
        data -= o->roles[i] == SCALEFS_ROLE_METADATA;
    }
    if (data < o->failover + 1)
        return sfs_refuse(info, SCALEFS_E_TOO_FEW,
                          "For %u disk%s to fail without loss a pool needs at least %u disk%s for data, and metadata disks hold none: of "
                          "the %zu that were given %zu %s for data. Give more disks for data, or fewer for metadata.",
                          o->failover, o->failover == 1 ? "" : "s", o->failover + 1, o->failover ? "s" : "", count, data,
                          data == 1 ? "is" : "are");
    return SCALEFS_OK;
}

static int check_options(const struct scalefs_create_options *o, const char *const *disks,
                         size_t count, struct scalefs_error_info *info)
{
    if (!o || o->struct_bytes < sizeof *o || !disks || !count)
        return sfs_api_explain(info, SCALEFS_E_INVAL);
    int err = check_name(o->name, info);
    if (err)
        return err;
    if (count > SFS_DISKS_MAX)
        return sfs_refuse(info, SCALEFS_E_INVAL, "A pool has at most %u disks.", SFS_DISKS_MAX);
    if (o->failover > 31)
        return sfs_refuse(info, SCALEFS_E_INVAL,
                          "At most 31 disks may fail; %u were asked for.", o->failover);
    if (o->optimize > 100)
        return sfs_refuse(
            info, SCALEFS_E_INVAL,
            "optimize goes from 0 (space) to 100 (performance); %u was asked for.", o->optimize);
    if (count < o->failover + 1)
        return sfs_refuse(
            info, SCALEFS_E_TOO_FEW,
            "For %u disk%s to fail without loss a pool needs at least %u disks; %zu %s given. Give "
            "more disks, or a failover of %zu%s.",
            o->failover, o->failover == 1 ? "" : "s", o->failover + 1, count,
            count == 1 ? "was" : "were", count - 1, count == 1 ? "" : " or less");
    for (size_t i = 0; o->stations && i < count; i++)
        if (o->stations[i] && strlen(o->stations[i]) > SFS_NAME_MAX)
            return sfs_refuse(info, SCALEFS_E_INVAL,
                              "The name of a station has at most 63 bytes.");
    return check_roles(o, count, info);
}

/* Two arguments may be one disk under two names: then the second cannot be opened while the first
 * is. */
static int refuse_twice(struct sfs_env *env, struct sfs_disk *const *open, size_t count,
                        const char *path, int error, struct scalefs_error_info *info)
{
    struct sfs_disk *again;
    if (error != SCALEFS_E_BUSY && error != SCALEFS_E_FOREIGN)
        return error;
    if (sfs_disk_open(env, path, SFS_DISK_READ_ONLY, &again, NULL))
        return error;
    for (size_t i = 0; i < count; i++)
        if (!strcmp(open[i]->info.path, again->info.path))
            error = sfs_refuse(info, SCALEFS_E_INVAL, "%s is given twice.", path);
    sfs_disk_close(again);
    if (error == SCALEFS_E_BUSY && info && strlen(info->text) < sizeof info->text - 100)
        strcat(info->text, " It may also be one of the other disks under another name.");
    return error;
}

struct creation {
    struct sfs_env *env;
    const char *const *paths;
    struct sfs_disk *disks[SFS_DISKS_MAX];
    bool created[SFS_DISKS_MAX];
    size_t count; /* opened */
};

static int open_all(struct creation *c, const struct scalefs_create_options *o, size_t count,
                    struct scalefs_error_info *info)
{
    for (; c->count < count; c->count++) {
        size_t i = c->count;
        if (!c->paths[i])
            return sfs_api_explain(info, SCALEFS_E_INVAL);
        int err = sfs_api_new_disk(c->env, c->paths[i], o->file_bytes, o->force, &c->disks[i],
                                   &c->created[i], info);
        if (err)
            return refuse_twice(c->env, c->disks, i, c->paths[i], err, info);
    }
    return SCALEFS_OK;
}

static void undo(struct creation *c, bool failed)
{
    for (size_t i = 0; i < c->count; i++) {
        sfs_disk_close(c->disks[i]);
        if (failed && c->created[i])
            (void)remove(c->paths[i]);
    }
}

int scalefs_pool_create(const struct scalefs_create_options *options, const char *const *disks,
                        size_t count, char *uuid_text, struct scalefs_error_info *info)
{
    if (info)
        info->error = 0;
    int err = check_options(options, disks, count, info);
    if (err)
        return err;
    struct sfs_api_log log = {options->log, options->log_context};
    struct sfs_env *env;
    err = sfs_api_env_open(&log, &env);
    if (err)
        return sfs_api_explain(info, err);
    struct creation *c = sfs_zalloc(env, sizeof *c);
    if (!c) {
        err = SCALEFS_E_NOMEM;
    } else {
        c->env = env;
        c->paths = disks;
        err = open_all(c, options, count, info);
        if (!err) {
            struct sfs_pool_format how = {.name = options->name,
                                          .failover = (uint8_t)options->failover,
                                          .optimize = (uint8_t)options->optimize,
                                          .stations = options->stations};
            struct sfs_uuid uuid;
            uint8_t roles[SFS_DISKS_MAX] = {0};
            for (size_t i = 0; options->roles && i < count; i++)
                roles[i] = options->roles[i] == SCALEFS_ROLE_METADATA ? SFS_ROLE_METADATA : SFS_ROLE_DATA;
            how.roles = roles;
            err = sfs_pool_format(env, c->disks, count, &how, &uuid, info);
            if (!err && uuid_text)
                sfs_uuid_format(&uuid, uuid_text);
        }
        undo(c, err != SCALEFS_OK);
    }
    sfs_free(env, c);
    sfs_api_env_close(env);
    return sfs_api_explain(info, err);
}
