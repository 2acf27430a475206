/* list: every pool that can be seen, mounted or not. */
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "control/client.h"

struct seen {
    char name[64], uuid[37], state[16];
    char *mounted, **paths;
    size_t path_count;
    unsigned disks_expected, disks_found;
    bool exported, other_host;
};
struct listing {
    struct seen *pools;
    size_t count;
    bool bad;
};

static struct seen *add_pool(struct listing *l, const char *name, const char *uuid)
{
    struct seen *pools = realloc(l->pools, (l->count + 1) * sizeof(*pools));
    if (!pools) {
        l->bad = true;
        return NULL;
    }
    l->pools = pools;
    struct seen *pool = &pools[l->count++];
    memset(pool, 0, sizeof(*pool));
    snprintf(pool->name, sizeof(pool->name), "%s", name);
    snprintf(pool->uuid, sizeof(pool->uuid), "%s", uuid);
    return pool;
}

static void add_path(struct listing *l, struct seen *pool, const char *path)
{
    char **paths = realloc(pool->paths, (pool->path_count + 1) * sizeof(*paths));
    if (paths)
        pool->paths = paths;
    char *copy = paths ? strdup(path) : NULL;
    if (copy)
        pool->paths[pool->path_count++] = copy;
    else
        l->bad = true;
}

static void on_mounted(void *context, const struct sfs_value *status)
{
    struct listing *l = context;
    const struct sfs_value *p = sfs_value_get(status, "pool"),
                           *disks = sfs_value_get(status, "disks");
    struct seen *pool =
        add_pool(l, sfs_value_string(p, "name", "?"), sfs_value_string(p, "uuid", "?"));
    if (!pool)
        return;
    snprintf(pool->state, sizeof(pool->state), "%s", sfs_value_string(p, "state", "?"));
    pool->mounted = strdup(sfs_value_string(p, "mounted", ""));
    for (const struct sfs_value *d = disks ? disks->first : NULL; d; d = d->next) {
        const char *state = sfs_value_string(d, "state", "");
        pool->disks_expected++;
        if (!strcmp(state, "absent") || !strcmp(state, "failed"))
            continue;
        pool->disks_found++;
        add_path(l, pool, sfs_value_string(d, "path", "?"));
    }
}

static void on_found(void *context, const struct scalefs_found_pool *found)
{
    struct listing *l = context;
    for (size_t i = 0; i < l->count; i++)
        if (!strcmp(l->pools[i].uuid, found->uuid))
            return; /* mounted: its server knows better */
    struct seen *pool = add_pool(l, found->name, found->uuid);
    if (!pool)
        return;
    pool->disks_expected = found->disks_expected;
    pool->disks_found = found->disks_found;
    pool->exported = found->exported;
    pool->other_host = found->other_host;
    for (size_t i = 0; i < found->path_count; i++)
        add_path(l, pool, found->paths[i]);
}

static int by_name(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : strcmp(x->uuid, y->uuid);
}

static int print_json(const struct listing *l)
{
    struct sfs_json json;
    sfs_json_init(&json, NULL);
    sfs_json_object(&json, NULL);
    sfs_json_array(&json, "pools");
    for (size_t i = 0; i < l->count; i++) {
        const struct seen *p = &l->pools[i];
        sfs_json_object(&json, NULL);
        sfs_json_string(&json, "name", p->name);
        sfs_json_string(&json, "uuid", p->uuid);
        sfs_json_string(&json, "mounted", p->mounted);
        sfs_json_string(&json, "state", p->mounted ? p->state : NULL);
        sfs_json_u64(&json, "disks_expected", p->disks_expected);
        sfs_json_u64(&json, "disks_found", p->disks_found);
        sfs_json_bool(&json, "exported", p->exported);
        sfs_json_bool(&json, "other_host", p->other_host);
        sfs_json_array(&json, "paths");
        for (size_t k = 0; k < p->path_count; k++)
            sfs_json_string(&json, NULL, p->paths[k]);
        sfs_json_end(&json);
        sfs_json_end(&json);
    }
    sfs_json_end(&json);
    return sfs_cli_print_json(&json, SFS_CLI_DONE);
}

static const char *state_words(const struct seen *p)
{
    if (p->mounted)
        return p->state;
    if (p->exported)
        return "exported";
    return p->other_host ? "of another computer" : "not mounted";
}

static int print_table(const struct listing *l)
{
    static const char *const titles[] = {"POOL", "STATE", "DISKS", "MOUNTED", "UUID", "PATHS"};
    struct sfs_cli_table t;
    if (!l->count) {
        puts("No pool can be seen. Folders with file-backed disks are named in SCALEFS_PATH.");
        return SFS_CLI_DONE;
    }
    sfs_cli_table_init(&t, 6, 0);
    for (size_t i = 0; i < 6; i++)
        sfs_cli_table_put(&t, "%s", titles[i]);
    for (size_t i = 0; i < l->count; i++) {
        const struct seen *p = &l->pools[i];
        sfs_cli_table_put(&t, "%s", p->name);
        sfs_cli_table_put(&t, "%s", state_words(p));
        sfs_cli_table_put(&t, "%u of %u", p->disks_found, p->disks_expected);
        sfs_cli_table_put(&t, "%s", p->mounted ? p->mounted : "-");
        sfs_cli_table_put(&t, "%s", p->uuid);
        sfs_cli_table_put(&t, "%s%s", p->path_count ? p->paths[0] : "-",
                          p->path_count > 1 ? " …" : "");
    }
    sfs_cli_table_print(&t, stdout, 0);
    return SFS_CLI_DONE;
}

int sfs_cli_list(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    struct listing l = {0};
    struct scalefs_error_info info = {0};
    struct stat st;
    int status;
    for (size_t i = 0; i < args->count; i++)
        if (stat(args->words[i], &st))
            return sfs_cli_failed_with(cli, SCALEFS_E_NOENT, "%s cannot be looked at: %s.", args->words[i],
                                       strerror(errno));
    sfs_control_each(on_mounted, &l);
    info.error = scalefs_pools_find(args->words, args->count, on_found, &l, &info);
    if (!info.error && l.bad)
        info.error = SCALEFS_E_NOMEM;
    if (l.count)
        qsort(l.pools, l.count, sizeof(*l.pools), by_name);
    if (info.error)
        status = sfs_cli_failed(cli, &info);
    else
        status = cli->json ? print_json(&l) : print_table(&l);
    for (size_t i = 0; i < l.count; i++) {
        for (size_t k = 0; k < l.pools[i].path_count; k++)
            free(l.pools[i].paths[k]);
        free(l.pools[i].paths);
        free(l.pools[i].mounted);
    }
    free(l.pools);
    return status;
}
