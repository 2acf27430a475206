/* Making a pool.
 *
 * The order of writing: all labels, with empty commit rings, durable; then a first commit (table page,
 * directory page, flush, record, flush). A label without any record is not yet a pool, and a record implies
 * that all labels are there: the first record that becomes durable is the moment at which the pool begins
 * to exist, whole.
 */
#include "pool/internal.h"

#include <stdio.h>

#define FIRST_ID 1024u

static uint8_t role_of(const struct sfs_pool_format *how, size_t i)
{
    return how->roles ? how->roles[i] : SFS_ROLE_DATA;
}

/* Data needs as many disks that take it as copies of it are to be on different ones. */
static int check_roles(size_t count, const struct sfs_pool_format *how, struct scalefs_error_info *info)
{
    size_t data = 0;
    for (size_t i = 0; i < count; i++) {
        if (role_of(how, i) > SFS_ROLE_METADATA)
            return sfs_refuse(info, SCALEFS_E_INVAL, "A disk is for data or for metadata; there is no role %u.", role_of(how, i));
        data += role_of(how, i) == SFS_ROLE_DATA;
    }
    if (data < (size_t)how->failover + 1)
        return sfs_refuse(info, SCALEFS_E_TOO_FEW,
                          "With failover %u a pool needs at least %u disks for data; of the %zu that were given %zu %s for data. Leave "
                          "more of them without the role metadata.",
                          how->failover, how->failover + 1u, count, data, data == 1 ? "is" : "are");
    return SCALEFS_OK;
}

static int check(struct sfs_disk *const *disks, size_t count, const struct sfs_pool_format *how,
                 struct scalefs_error_info *info)
{
    if (!how->name || !how->name[0] || strlen(how->name) > SFS_NAME_MAX)
        return sfs_refuse(info, SCALEFS_E_INVAL, "The name of a pool has 1 to %u bytes.", SFS_NAME_MAX);
    if (!count || count > SFS_DISKS_MAX)
        return sfs_refuse(info, SCALEFS_E_INVAL, "A pool has 1 to %u disks.", SFS_DISKS_MAX);
    if (how->failover > 31 || how->optimize > 100)
        return sfs_refuse(info, SCALEFS_E_INVAL,
                          "failover is at most 31, optimize at most 100 (given: %u and %u).",
                          how->failover, how->optimize);
    if (count < (size_t)how->failover + 1)
        return sfs_refuse(info, SCALEFS_E_TOO_FEW,
                          "With failover %u a pool needs at least %u disks; %zu were given.",
                          how->failover, how->failover + 1u, count);
    int err = check_roles(count, how, info);
    if (err)
        return err;
    for (size_t i = 0; i < count; i++) {
        struct sfs_geometry g;
        if (disks[i]->info.zoned && !disks[i]->info.head_bytes)
            return sfs_refuse(info, SCALEFS_E_NOTSUP,
                              "%s is a host-managed zoned disk; those are not supported yet.",
                              disks[i]->info.path);
        if (!disks[i]->info.zoned && sfs_geometry_of(disks[i]->info.size_bytes, &g))
            return sfs_refuse(info, SCALEFS_E_TOO_SMALL, "%s is too small: a disk has at least 32 MiB.",
                              disks[i]->info.path);
    }
    return SCALEFS_OK;
}

static void configure(struct sfs_pool *pool, size_t count, const struct sfs_pool_format *how)
{
    struct sfs_config_record *c = &pool->config;
    snprintf(c->name, sizeof c->name, "%s", how->name);
    c->failover = c->quorum = how->failover;
    c->optimize = c->was_optimize = how->optimize;
    c->was_failover = how->failover;
    c->compression = 0;
    c->zstd_level = 1;
    c->width_cap = 16;
    c->record_bytes = 128u << 10;
    c->next_disk = (uint32_t)count + 1;
    c->created_ns = sfs_wall_ns(pool->env);
    c->next_generation = 1;
    sfs_uuid_make(pool->env, &pool->uuid);
    do
        pool->tenure = sfs_random_u64(pool->env);
    while (!pool->tenure);
    pool->tenures[0] = (struct sfs_tenure_record){pool->tenure, 0, 1, 0, c->created_ns};
    pool->tenure_count = 1;
    pool->txn = 1;
    pool->next_id = FIRST_ID;
}

/* Members, with labels on their disks. */
static int join_all(struct sfs_pool *pool, struct sfs_disk *const *disks, size_t count,
                    const struct sfs_pool_format *how, struct scalefs_error_info *info)
{
    for (size_t i = 0; i < count; i++) {
        struct sfs_member *m = &pool->members[i];
        struct sfs_label label;
        const char *station = how->stations ? how->stations[i] : NULL;
        int err = sfs_member_describe(pool, disks[i], (uint16_t)(i + 1), station, role_of(how, i), &m->record, &label);
        if (!err)
            err = sfs_atoms_init(pool, m);
        if (err)
            return sfs_refuse(info, err, "%s: %s.", disks[i]->info.path, scalefs_error_text(err));
        m->used = m->complete = true;
        m->disk = disks[i];
        pool->member_count++;
        err = sfs_table_add(pool, SFS_OBJECT_DISK | i);
        if (!err)
            err = sfs_head_write(pool->env, disks[i], &label);
        if (err)
            return sfs_refuse(info, err, "%s cannot be written: %s.", disks[i]->info.path,
                              scalefs_error_text(err));
    }
    return SCALEFS_OK;
}

static int first_commit(struct sfs_pool *pool)
{
    struct sfs_commit_job *job;
    struct sfs_roots roots;
    memset(&roots, 0, sizeof roots);
    roots.extent_map.group = roots.space.group = SFS_NONE32;
    sfs_mutex_lock(&pool->lock);
    sfs_pool_io_begin(pool); /* never ended: the disks are the caller's, none is to be closed */
    int err = sfs_table_add(pool, SFS_OBJECT_CONFIG);
    if (!err)
        err = sfs_table_add(pool, SFS_OBJECT_TENURES);
    if (!err)
        err = sfs_retired_reserve(pool, 0);
    if (!err)
        err = sfs_commit_prepare(pool, &roots, true, false, &job);
    sfs_mutex_unlock(&pool->lock);
    return err ? err : sfs_commit_write(pool, job);
}

int sfs_pool_format(struct sfs_env *env, struct sfs_disk *const *disks, size_t count,
                    const struct sfs_pool_format *how, struct sfs_uuid *uuid,
                    struct scalefs_error_info *info)
{
    int err = check(disks, count, how, info);
    if (err)
        return err;
    struct sfs_pool *pool = sfs_pool_new(env);
    if (!pool)
        return sfs_refuse(info, SCALEFS_E_NOMEM, "There is not enough memory.");
    configure(pool, count, how);
    err = join_all(pool, disks, count, how, info);
    if (!err) {
        err = first_commit(pool);
        if (err == SCALEFS_E_CHANGED || err == SCALEFS_E_SUSPENDED)
            err = SCALEFS_E_IO;
        if (err)
            sfs_refuse(info, err, "The pool could not be written: %s.", scalefs_error_text(err));
    }
    if (!err && uuid)
        *uuid = pool->uuid;
    sfs_pool_free(pool); /* the disks are the caller's */
    return err;
}

int sfs_pool_sketch(struct sfs_env *env, const uint64_t *sizes, size_t count, const struct sfs_pool_format *how, uint64_t *usable,
                    struct scalefs_error_info *info)
{
    struct sfs_disk *pointers[SFS_DISKS_MAX], *disks = sfs_zalloc(env, (SFS_DISKS_MAX + 1) * sizeof *disks);
    struct sfs_pool *pool = sfs_pool_new(env);
    int err = disks && pool ? SCALEFS_OK : SCALEFS_E_NOMEM;
    for (size_t i = 0; i < count && i < SFS_DISKS_MAX && !err; i++) {
        pointers[i] = &disks[i];
        disks[i].info.size_bytes = sizes[i] - sizes[i] % SFS_IO_ALIGN;
        disks[i].info.sector_bytes = 4096;
        snprintf(disks[i].info.path, sizeof disks[i].info.path, "A disk of %llu MiB",
                 (unsigned long long)(disks[i].info.size_bytes >> 20));
    }
    if (!err)
        err = check(pointers, count, how, info);
    if (!err)
        configure(pool, count, how);
    for (size_t i = 0; i < count && !err; i++) {
        uint16_t index;
        err = sfs_member_pretend(pool, pointers[i], NULL, role_of(how, i), &index);
    }
    if (!err)
        *usable = sfs_groups_capacity(pool);
    sfs_pool_free(pool);
    sfs_free(env, disks);
    return err;
}
