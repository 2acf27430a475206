/* Plans: what a change of an open pool, or a pool that is not made yet, would mean. */
#include "api/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* Sizes of the new disks: of those that are there as they are found, checked like disks that join. */
static int gather_sizes(struct scalefs_pool *pool, const struct scalefs_change *change, uint64_t *sizes,
                        struct scalefs_error_info *info)
{
    for (size_t i = 0; i < change->disk_count; i++) {
        const char *word = change->disks[i];
        struct scalefs_error_info why;
        struct sfs_disk *disk;
        uint16_t member;
        bool created;
        if (!sfs_size_parse(word, &sizes[i]))
            continue;
        if (!sfs_api_member(pool, word, &member, &why))
            return sfs_refuse(info, SCALEFS_E_EXIST, "%s is disk %u of this pool already.", word, member);
        int err = sfs_api_new_disk(pool->env, word, 0, false, &disk, &created, info);
        if (err)
            return err;
        sizes[i] = disk->info.size_bytes;
        sfs_disk_close(disk);
    }
    return SCALEFS_OK;
}

static bool is_change(const struct scalefs_change *c)
{
    bool disks = c->disks && c->disk_count && c->disk_count <= SFS_DISKS_MAX;
    switch (c->verb) {
    case SCALEFS_CHANGE_ADD:
        return disks;
    case SCALEFS_CHANGE_REPLACE:
        return c->disk && disks && c->disk_count == 1;
    case SCALEFS_CHANGE_REMOVE:
        return c->disk && c->failover <= 31;
    case SCALEFS_CHANGE_RESIZE:
    case SCALEFS_CHANGE_ROLE:
        return c->disk != NULL;
    default:
        return c->verb == SCALEFS_CHANGE_SET && c->failover <= 31 && c->optimize <= 100;
    }
}

/* For a change that has no use for one it does not matter. */
static uint8_t role_of(const struct scalefs_change *change)
{
    return change->role == SCALEFS_ROLE_DATA ? SFS_ROLE_DATA : change->role == SCALEFS_ROLE_METADATA ? SFS_ROLE_METADATA : UINT8_MAX;
}

static int plan_it(struct scalefs_pool *pool, const struct scalefs_change *change, uint64_t *sizes, struct scalefs_plan *plan,
                   struct scalefs_error_info *info)
{
    struct sfs_change c = {.failover = change->failover, .optimize = change->optimize, .bytes = change->bytes, .sizes = sizes,
                           .role = role_of(change),
                           .station = change->station && change->station[0] ? change->station : NULL};
    int err = change->disk && change->verb != SCALEFS_CHANGE_ADD ? sfs_api_member(pool, change->disk, &c.index, info) : SCALEFS_OK;
    switch (change->verb) {
    case SCALEFS_CHANGE_ADD:
        c.verb = SFS_CHANGE_ADD;
        c.count = change->disk_count;
        break;
    case SCALEFS_CHANGE_REPLACE:
        c.verb = SFS_CHANGE_REPLACE;
        c.count = 1;
        break;
    case SCALEFS_CHANGE_REMOVE:
        c.verb = SFS_CHANGE_REMOVE;
        break;
    case SCALEFS_CHANGE_RESIZE:
        c.verb = SFS_CHANGE_RESIZE;
        (void)sfs_member_measure(pool->pool, c.index, &c.device);
        if (c.device < c.bytes) /* it may still become so large */
            c.device = c.bytes;
        break;
    case SCALEFS_CHANGE_ROLE:
        c.verb = SFS_CHANGE_ROLE;
        break;
    default:
        c.verb = SFS_CHANGE_CONFIGURE;
    }
    if (!err && c.count)
        err = gather_sizes(pool, change, sizes, info);
    return err ? err : sfs_care_plan(pool->store, &c, plan);
}

int scalefs_pool_plan(struct scalefs_pool *pool, const struct scalefs_change *change, struct scalefs_plan *plan,
                      struct scalefs_error_info *info)
{
    struct scalefs_error_info why = {0};
    uint64_t sizes[SFS_DISKS_MAX];
    if (info)
        info->error = 0;
    if (!pool || !change || !plan || change->struct_bytes < sizeof *change || !is_change(change))
        return sfs_api_explain(info, SCALEFS_E_INVAL);
    memset(plan, 0, sizeof *plan);
    int err = plan_it(pool, change, sizes, plan, &why);
    if (err == SCALEFS_E_NOMEM)
        return sfs_api_explain(info, err);
    if (err) { /* refused before it was tried */
        sfs_api_explain(&why, err);
        snprintf(plan->refusal, sizeof plan->refusal, "%s", why.text);
    }
    return SCALEFS_OK;
}

int scalefs_plan_create(const uint64_t *sizes, size_t count, unsigned failover, unsigned optimize, struct scalefs_plan *plan,
                        struct scalefs_error_info *info)
{
    struct scalefs_error_info why = {0};
    struct sfs_api_log log = {0};
    struct sfs_env *env;
    if (info)
        info->error = 0;
    if (!sizes || !count || !plan || failover > 31 || optimize > 100)
        return sfs_api_explain(info, SCALEFS_E_INVAL);
    memset(plan, 0, sizeof *plan);
    int err = sfs_api_env_open(&log, &env);
    if (err)
        return sfs_api_explain(info, err);
    struct sfs_pool_format how = {.name = "plan", .failover = (uint8_t)failover, .optimize = (uint8_t)optimize};
    err = sfs_pool_sketch(env, sizes, count, &how, &plan->usable_after, &why);
    sfs_api_env_close(env);
    plan->possible = !err;
    plan->disks_after = (unsigned)count;
    plan->failures_after = plan->failures_during = failover;
    if (err == SCALEFS_E_NOMEM)
        return sfs_api_explain(info, err);
    if (err) {
        sfs_api_explain(&why, err);
        snprintf(plan->refusal, sizeof plan->refusal, "%s", why.text);
    }
    return SCALEFS_OK;
}
