/* Reading trees: single items, the item at or before a key, ranges; and the table of volumes. Each call takes the
 * core lock for memory work only and begins anew when a node had to be read. */
#include "tree/tree.h"

#include "store/internal.h"

static int copy_out(const uint8_t *v, uint32_t n, void *value, uint32_t cap, uint32_t *len)
{
    *len = n;
    if (n > cap)
        return SCALEFS_E_RANGE;
    memcpy(value, v, n);
    return SCALEFS_OK;
}

int sfs_tree_get(struct sfs_store *s, uint32_t tree, struct sfs_key key, void *value, uint32_t cap, uint32_t *len)
{
    struct sfs_need need;
    sfs_need_init(&need);
    sfs_store_lock(s);
    const uint8_t *v;
    uint32_t n;
    int err;
    while ((err = sfs_btree_get(s, &need, tree, key, &v, &n)) == SCALEFS_E_NEED_NODE)
        if ((err = sfs_need_load(s, &need)) != SCALEFS_OK)
            break;
    if (!err)
        err = copy_out(v, n, value, cap, len);
    sfs_need_done(s, &need);
    sfs_store_unlock(s);
    return err;
}

int sfs_tree_floor(struct sfs_store *s, uint32_t tree, struct sfs_key low, struct sfs_key high, struct sfs_key *found,
                   void *value, uint32_t cap, uint32_t *len)
{
    struct sfs_need need;
    sfs_need_init(&need);
    sfs_store_lock(s);
    const uint8_t *v;
    uint32_t n;
    int err;
    while ((err = sfs_btree_floor(s, &need, tree, high, found, &v, &n)) == SCALEFS_E_NEED_NODE)
        if ((err = sfs_need_load(s, &need)) != SCALEFS_OK)
            break;
    if (!err && sfs_key_compare(*found, low) < 0)
        err = SCALEFS_E_NOENT;
    if (!err)
        err = copy_out(v, n, value, cap, len);
    sfs_need_done(s, &need);
    sfs_store_unlock(s);
    return err;
}

/* The least key above `key`; false at the very end. */
static bool after(struct sfs_key *key)
{
    if (++key->b != 0)
        return true;
    if (++key->type != 0)
        return true;
    return ++key->a != 0;
}

#define SCAN_SLICE 256 /* items under one hold of the lock */

int sfs_tree_scan(struct sfs_store *s, uint32_t tree, struct sfs_key from, struct sfs_key to,
                  bool (*fn)(void *context, struct sfs_key key, const uint8_t *value, uint32_t len), void *context)
{
    struct sfs_need need;
    sfs_need_init(&need);
    sfs_store_lock(s);
    int err = SCALEFS_OK;
    for (unsigned seen = 0; sfs_key_compare(from, to) <= 0;) {
        struct sfs_key key;
        const uint8_t *v;
        uint32_t n;
        err = sfs_btree_ceil(s, &need, tree, from, &key, &v, &n);
        if (err == SCALEFS_E_NEED_NODE) {
            if ((err = sfs_need_load(s, &need)) != SCALEFS_OK)
                break;
            continue;
        }
        if (err || sfs_key_compare(key, to) > 0 || !fn(context, key, v, n))
            break;
        from = key;
        if (!after(&from))
            break;
        if (++seen % SCAN_SLICE == 0) {
            sfs_need_done(s, &need);
            sfs_store_unlock(s);
            sfs_store_lock(s);
        }
    }
    sfs_need_done(s, &need);
    sfs_store_unlock(s);
    return err == SCALEFS_E_NOENT ? SCALEFS_OK : err;
}

int sfs_tree_extent(struct sfs_store *s, uint64_t id, struct sfs_extent *extent)
{
    struct sfs_need need;
    sfs_need_init(&need);
    sfs_store_lock(s);
    int err;
    while ((err = sfs_extents_get(s, &need, id, extent)) == SCALEFS_E_NEED_NODE)
        if ((err = sfs_need_load(s, &need)) != SCALEFS_OK)
            break;
    sfs_need_done(s, &need);
    sfs_store_unlock(s);
    return err;
}

bool sfs_tree_exists(struct sfs_store *s, uint32_t tree)
{
    sfs_store_lock(s);
    bool there = sfs_btree_root(s, tree) != 0;
    sfs_store_unlock(s);
    return there;
}

int sfs_tree_volume_salt(struct sfs_store *s, uint32_t volume, uint64_t salt[2])
{
    uint8_t value[SFS_VALUE_MAX];
    struct sfs_volume_value v;
    uint32_t len;
    int err = sfs_tree_get(s, SFS_TREE_POOL, (struct sfs_key){1, 1, volume}, value, sizeof value, &len);
    if (!err)
        err = sfs_volume_decode(value, len, &v);
    if (!err)
        memcpy(salt, v.salt, sizeof v.salt);
    return err;
}

/* A volume that did not come to be goes again, its root with it. A checkpoint may have written that meanwhile, so that the map
 * has an entry for it, as for any node that leaves its tree. */
static void unmake(struct sfs_store *s, struct sfs_node *root)
{
    sfs_store_lock(s);
    while (s->checkpointing)
        sfs_cond_wait(&s->checkpoint_done, s->lock);
    for (size_t i = 0; i < s->volume_count; i++)
        if (s->volumes[i].tree == root->tree)
            s->volumes[i] = s->volumes[--s->volume_count];
    if (root->place.group == SFS_NONE32 ||
        !sfs_vec_reserve(s->env, &s->dead, &s->dead_cap, s->dead_count + 1, sizeof *s->dead)) {
        if (root->place.group != SFS_NONE32)
            s->dead[s->dead_count++] = (struct sfs_dead_node){root->id, root->tree, root->place, 0};
        sfs_cache_drop(s, root);
    }
    sfs_cache_unpin(s, root);
    sfs_store_unlock(s);
}

int sfs_tree_volume_make(struct sfs_store *s, uint32_t volume, const char *name)
{
    if (sfs_tree_exists(s, volume))
        return SCALEFS_E_EXIST;
    uint8_t value[64 + SFS_NAME_MAX];
    size_t name_len = strlen(name);
    if (name_len > SFS_NAME_MAX)
        return SCALEFS_E_NAMETOOLONG;
    struct sfs_volume_value v = {.created_ns = sfs_wall_ns(s->env), .name_len = (uint8_t)name_len,
                                 .name = (const uint8_t *)name,
                                 .salt = {sfs_random_u64(s->env), sfs_random_u64(s->env)}};
    struct sfs_node *root = NULL;
    sfs_store_lock(s);
    int err = sfs_vec_reserve(s->env, &s->volumes, &s->volume_cap, s->volume_count + 1, sizeof *s->volumes);
    if (!err)
        err = sfs_cache_spare(s, 1);
    if (!err) {
        v.root = s->pool->next_id++;
        root = sfs_cache_new(s, volume, 0, v.root);
        sfs_cache_pin(root);
        s->volumes[s->volume_count++] = (struct sfs_root){volume, v.root};
    }
    sfs_store_unlock(s);
    if (err)
        return err;
    uint32_t len = sfs_volume_encode(&v, value);
    struct sfs_tx tx;
    sfs_tx_init(&tx, s);
    sfs_tx_put(&tx, SFS_TREE_POOL, (struct sfs_key){1, 1, volume}, value, len);
    err = sfs_tx_commit(&tx);
    sfs_tx_deinit(&tx);
    if (err) {
        unmake(s, root);
        return err;
    }
    sfs_store_lock(s);
    sfs_cache_unpin(s, root);
    sfs_store_unlock(s);
    return SCALEFS_OK;
}
