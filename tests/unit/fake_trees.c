/* Its trees: arrays of sorted leaves. See fake_internal.h. */
#include "fake_internal.h"

#include <string.h>

/* --- trees ------------------------------------------------------------------------------------------------- */

int fake_compare(struct sfs_key a, struct sfs_key b)
{
    if (a.a != b.a)
        return a.a < b.a ? -1 : 1;
    if (a.type != b.type)
        return a.type < b.type ? -1 : 1;
    return a.b < b.b ? -1 : a.b > b.b;
}

struct tree *fake_tree_of(struct sfs_store *s, uint32_t number)
{
    for (unsigned i = 0; i < TREES; i++)
        if (s->trees[i].used && s->trees[i].number == number)
            return &s->trees[i];
    return NULL;
}

bool fake_seek(const struct tree *t, struct sfs_key key, size_t *leaf, size_t *at)
{
    size_t low = 0, high = t->count;
    while (low < high) { /* the first leaf whose last key is >= key */
        size_t mid = low + (high - low) / 2;
        const struct leaf *l = t->leaves[mid];
        if (fake_compare(l->items[l->count - 1].key, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *leaf = low;
    *at = 0;
    if (low == t->count)
        return false;
    const struct leaf *l = t->leaves[low];
    while (*at < l->count && fake_compare(l->items[*at].key, key) < 0)
        ++*at;
    return fake_compare(l->items[*at].key, key) == 0;
}

static void split(struct sfs_store *s, struct tree *t, size_t i)
{
    struct leaf *right = sfs_alloc(s->env, sizeof *right), *left = t->leaves[i];
    SFS_ASSERT(right && !sfs_vec_reserve(s->env, &t->leaves, &t->room, t->count + 1, sizeof *t->leaves));
    memmove(&t->leaves[i + 2], &t->leaves[i + 1], (t->count - i - 1) * sizeof *t->leaves);
    t->leaves[i + 1] = right;
    t->count++;
    right->count = left->count / 2;
    left->count -= right->count;
    memcpy(right->items, left->items + left->count, right->count * sizeof *right->items);
}

bool fake_put(struct sfs_store *s, struct tree *t, struct item item, struct item *old)
{
    size_t leaf, at;
    if (fake_seek(t, item.key, &leaf, &at)) {
        *old = t->leaves[leaf]->items[at];
        t->leaves[leaf]->items[at] = item;
        return true;
    }
    if (!t->count) {
        SFS_ASSERT(!sfs_vec_reserve(s->env, &t->leaves, &t->room, 1, sizeof *t->leaves));
        t->leaves[t->count++] = sfs_alloc(s->env, sizeof **t->leaves);
        SFS_ASSERT(t->leaves[0]);
        t->leaves[0]->count = 0;
    } else if (leaf == t->count) {
        leaf--;
        at = t->leaves[leaf]->count;
    }
    if (t->leaves[leaf]->count == LEAF_ITEMS) {
        split(s, t, leaf);
        if (at > t->leaves[leaf]->count) {
            at -= t->leaves[leaf]->count;
            leaf++;
        }
    }
    struct leaf *l = t->leaves[leaf];
    memmove(&l->items[at + 1], &l->items[at], (l->count - at) * sizeof *l->items);
    l->items[at] = item;
    l->count++;
    return false;
}

bool fake_delete(struct sfs_store *s, struct tree *t, struct sfs_key key, struct item *old)
{
    size_t leaf, at;
    if (!fake_seek(t, key, &leaf, &at))
        return false;
    struct leaf *l = t->leaves[leaf];
    *old = l->items[at];
    memmove(&l->items[at], &l->items[at + 1], (l->count - at - 1) * sizeof *l->items);
    if (!--l->count) {
        sfs_free(s->env, l);
        memmove(&t->leaves[leaf], &t->leaves[leaf + 1], (t->count - leaf - 1) * sizeof *t->leaves);
        t->count--;
    }
    return true;
}

struct item fake_copy_item(struct sfs_store *s, struct sfs_key key, const void *value, uint32_t len)
{
    struct item item = {.key = key, .value = sfs_alloc(s->env, len), .len = len};
    SFS_ASSERT(item.value);
    memcpy(item.value, value, len);
    return item;
}

/* --- the trees' interface ---------------------------------------------------------------------------------------------- */

int sfs_tree_volume_make(struct sfs_store *s, uint32_t volume, const char *name)
{
    (void)name;
    for (unsigned i = 0; i < TREES; i++) {
        if (s->trees[i].used)
            continue;
        s->trees[i].used = true;
        s->trees[i].number = volume;
        return SCALEFS_OK;
    }
    return SCALEFS_E_NOMEM;
}

int sfs_tree_volume_salt(struct sfs_store *s, uint32_t volume, uint64_t salt[2])
{
    salt[0] = salt[1] = volume;
    return fake_tree_of(s, volume) ? SCALEFS_OK : SCALEFS_E_NOENT;
}

bool sfs_tree_exists(struct sfs_store *s, uint32_t tree)
{
    return fake_tree_of(s, tree) != NULL;
}

static int give(const struct item *item, void *value, uint32_t cap, uint32_t *len)
{
    *len = item->len;
    if (item->len > cap)
        return SCALEFS_E_RANGE;
    memcpy(value, item->value, item->len);
    return SCALEFS_OK;
}

int sfs_tree_get(struct sfs_store *s, uint32_t tree, struct sfs_key key, void *value, uint32_t cap,
                 uint32_t *len)
{
    size_t leaf, at;
    int err = SCALEFS_E_NOENT;
    sfs_mutex_lock(&s->lock);
    const struct tree *t = fake_tree_of(s, tree);
    if (t && fake_seek(t, key, &leaf, &at))
        err = give(&t->leaves[leaf]->items[at], value, cap, len);
    sfs_mutex_unlock(&s->lock);
    return err;
}

int sfs_tree_floor(struct sfs_store *s, uint32_t tree, struct sfs_key low, struct sfs_key high,
                   struct sfs_key *found, void *value, uint32_t cap, uint32_t *len)
{
    size_t leaf, at;
    int err = SCALEFS_E_NOENT;
    sfs_mutex_lock(&s->lock);
    const struct tree *t = fake_tree_of(s, tree);
    const struct item *item = NULL;
    if (t && fake_seek(t, high, &leaf, &at))
        item = &t->leaves[leaf]->items[at];
    else if (t && leaf < t->count && at)
        item = &t->leaves[leaf]->items[at - 1];
    else if (t && leaf)
        item = &t->leaves[leaf - 1]->items[t->leaves[leaf - 1]->count - 1];
    if (item && fake_compare(item->key, low) >= 0) {
        *found = item->key;
        err = give(item, value, cap, len);
    }
    sfs_mutex_unlock(&s->lock);
    return err;
}

int sfs_tree_scan(struct sfs_store *s, uint32_t tree, struct sfs_key from, struct sfs_key to,
                  bool (*fn)(void *context, struct sfs_key key, const uint8_t *value, uint32_t len),
                  void *context)
{
    size_t leaf = 0, at = 0;
    sfs_mutex_lock(&s->lock);
    const struct tree *t = fake_tree_of(s, tree);
    if (t)
        fake_seek(t, from, &leaf, &at);
    bool go = t != NULL;
    for (; go && leaf < t->count; leaf++, at = 0)
        for (; go && at < t->leaves[leaf]->count; at++) {
            const struct item *i = &t->leaves[leaf]->items[at];
            go = fake_compare(i->key, to) <= 0 && fn(context, i->key, i->value, i->len);
        }
    sfs_mutex_unlock(&s->lock);
    return t ? SCALEFS_OK : SCALEFS_E_NOENT;
}

int sfs_tree_extent(struct sfs_store *s, uint64_t id, struct sfs_extent *extent)
{
    sfs_mutex_lock(&s->lock);
    const struct extent *e = sfs_map_get(&s->extents, id);
    memset(extent, 0, sizeof *extent);
    if (e) {
        extent->raw = extent->stored = e->raw;
        extent->refs = e->refs;
        extent->ref_bytes = e->ref_bytes;
    }
    sfs_mutex_unlock(&s->lock);
    return e ? SCALEFS_OK : SCALEFS_E_NOENT;
}
