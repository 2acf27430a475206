/* The store's life: open, close; what joins the parts. */
#include <stdio.h>

#include "store/care.h"
#include "store/internal.h"

struct sfs_pool *sfs_store_pool(struct sfs_store *s)
{
    return s->pool;
}

struct sfs_env *sfs_store_env(struct sfs_store *s)
{
    return s->env;
}

uint64_t sfs_store_new_id(struct sfs_store *s)
{
    sfs_store_lock(s);
    uint64_t id = s->pool->next_id++;
    sfs_store_unlock(s);
    return id;
}

static void free_store(struct sfs_store *s)
{
    sfs_cache_deinit(s);
    sfs_pack_deinit(s);
    sfs_ahead_deinit(s);
    struct sfs_pool *pool = s->pool;
    for (uint32_t i = 0; i < pool->group_cap; i++)
        if (pool->groups[i] && pool->groups[i]->record.class != SFS_CLASS_SYSTEM) {
            sfs_free(s->env, pool->groups[i]->rows);
            pool->groups[i]->rows = NULL;
        }
    sfs_cond_deinit(&s->checkpoint_done);
    sfs_map_deinit(&s->unwritten);
    sfs_cond_deinit(&s->wake);
    sfs_cond_deinit(&s->room_made);
    sfs_mutex_deinit(&s->spare_lock);
    sfs_free(s->env, s->volumes);
    sfs_free(s->env, s->dead);
    sfs_free(s->env, s->fresh.groups);
    sfs_free(s->env, s->row_pins);
    sfs_free(s->env, s->away);
    sfs_free(s->env, s);
}

static int make(struct sfs_env *env, struct sfs_pool *pool, const struct sfs_store_options *o, struct sfs_store **store)
{
    struct sfs_store *s = sfs_zalloc(env, sizeof *s);
    if (!s)
        return SCALEFS_E_NOMEM;
    s->env = env;
    s->pool = pool;
    s->lock = &pool->lock;
    s->options = *o;
    s->emptied = true;
    s->freed = 1;
    sfs_mutex_init(&s->spare_lock, env);
    sfs_cond_init(&s->checkpoint_done, env);
    sfs_map_init(&s->unwritten, env);
    sfs_cond_init(&s->wake, env);
    sfs_cond_init(&s->room_made, env);
    sfs_ahead_init(s);
    sfs_cache_init(s);
    s->dirty_limit = s->cache_nodes / 2;
    s->nodes_low = UINT64_MAX;
    s->roots.extent_map = pool->last.extent_map;
    s->roots.space = pool->last.space;
    s->roots.pool_tree = pool->last.pool_tree;
    *store = s;
    return SCALEFS_OK;
}

struct volume_scan {
    struct sfs_store *s;
    struct sfs_root *volumes;
    size_t count, cap;
    int error;
};

static bool each_volume(void *context, struct sfs_key key, const uint8_t *value, uint32_t len)
{
    struct volume_scan *scan = context;
    struct sfs_volume_value v;
    scan->error = sfs_volume_decode(value, len, &v);
    if (!scan->error)
        scan->error = sfs_vec_reserve(scan->s->env, &scan->volumes, &scan->cap, scan->count + 1, sizeof *scan->volumes);
    if (!scan->error)
        scan->volumes[scan->count++] = (struct sfs_root){(uint32_t)key.b, v.root};
    return !scan->error;
}

/* The few volumes' roots, by hand (the tree room is above). */
static int load_volumes(struct sfs_store *s)
{
    struct volume_scan scan = {.s = s};
    struct sfs_need need;
    sfs_need_init(&need);
    sfs_store_lock(s);
    int err = SCALEFS_OK;
    struct sfs_key from = {1, 1, 0}, found;
    while (!err) {
        const uint8_t *v;
        uint32_t len;
        err = sfs_btree_ceil(s, &need, SFS_TREE_POOL, from, &found, &v, &len);
        if (err == SCALEFS_E_NEED_NODE) {
            err = sfs_need_load(s, &need);
            continue;
        }
        if (err || found.a != 1 || found.type != 1)
            break;
        if (!each_volume(&scan, found, v, len))
            err = scan.error;
        from = found;
        from.b++;
    }
    sfs_need_done(s, &need);
    s->volumes = scan.volumes;
    s->volume_count = scan.count;
    s->volume_cap = scan.cap;
    sfs_store_unlock(s);
    return err == SCALEFS_E_NOENT ? SCALEFS_OK : err;
}

/* Every record but one that was written before the first opening has a pool tree. */
static int make_pool_tree(struct sfs_store *s)
{
    sfs_store_lock(s);
    int err = sfs_cache_spare(s, 1);
    if (!err) {
        s->roots.pool_tree = s->pool->next_id++;
        sfs_cache_new(s, SFS_TREE_POOL, 0, s->roots.pool_tree);
        s->applied++;
    }
    sfs_store_unlock(s);
    return err;
}

int sfs_store_probe(void *context, struct sfs_pool *pool)
{
    (void)context;
    const struct sfs_store_options o = {.no_background = true};
    struct sfs_store *s;
    int err = make(pool->env, pool, &o, &s);
    if (err)
        return err;
    struct sfs_need need;
    sfs_need_init(&need);
    sfs_store_lock(s);
    for (unsigned tree = SFS_TREE_EXTENT_MAP; tree <= SFS_TREE_POOL && !err; tree++) {
        while ((err = sfs_btree_ready(s, &need, tree, (struct sfs_key){0, 0, 0})) == SCALEFS_E_NEED_NODE)
            if ((err = sfs_need_load(s, &need)) != SCALEFS_OK)
                break;
        if (err == SCALEFS_E_NOENT)
            err = SCALEFS_OK;
    }
    sfs_need_done(s, &need);
    sfs_store_unlock(s);
    free_store(s);
    return err;
}

int sfs_store_open(struct sfs_env *env, struct sfs_pool *pool, const struct sfs_store_options *o, struct sfs_store **store,
                   struct scalefs_error_info *info)
{
    struct sfs_store *s;
    int err = make(env, pool, o, &s);
    if (err) {
        sfs_pool_close(pool);
        return err;
    }
    if (!s->roots.pool_tree && !pool->read_only)
        err = make_pool_tree(s);
    if (!err)
        err = load_volumes(s);
    if (!err && !o->no_background && !pool->read_only)
        err = sfs_background_start(s);
    if (!err)
        err = sfs_care_start(s);
    if (err) {
        sfs_care_stop(s);
        sfs_background_stop(s);
        free_store(s);
        sfs_pool_close(pool);
        if (info) {
            info->error = err;
            snprintf(info->text, sizeof info->text, "The pool's trees cannot be read: %s.", scalefs_error_text(err));
        }
        return err;
    }
    *store = s;
    return SCALEFS_OK;
}

int sfs_store_close(struct sfs_store *s, bool export_pool)
{
    sfs_care_stop(s);
    sfs_background_stop(s);
    int err = SCALEFS_OK;
    if (!s->pool->read_only)
        err = sfs_checkpoint(s, true, export_pool, true);
    struct sfs_pool *pool = s->pool;
    free_store(s);
    sfs_pool_close(pool);
    return err;
}
