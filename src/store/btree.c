/* The B+tree over the node cache. One code for all trees; they differ only in how a child is addressed:
 * in the extent map and the space tree by place and checksum (a node pointer), elsewhere by id, through
 * the extent map.
 *
 * The root keeps its id for ever: when it splits, its content moves to two new nodes; when one child is
 * left, the child's content moves up.
 */
#include "store/internal.h"

static bool is_system(uint32_t tree)
{
    return tree == SFS_TREE_EXTENT_MAP || tree == SFS_TREE_SPACE;
}

struct path {
    unsigned depth;
    struct sfs_node *node[SFS_TREE_DEPTH_MAX]; /* root first */
    unsigned index[SFS_TREE_DEPTH_MAX];        /* the child taken in an inner node */
};

uint64_t sfs_btree_root(struct sfs_store *s, uint32_t tree)
{
    if (tree == SFS_TREE_EXTENT_MAP)
        return s->roots.extent_map.group == SFS_NONE32 ? 0 : s->roots.extent_map.id;
    if (tree == SFS_TREE_SPACE)
        return s->roots.space.group == SFS_NONE32 ? 0 : s->roots.space.id;
    if (tree == SFS_TREE_POOL)
        return s->roots.pool_tree;
    for (size_t i = 0; i < s->volume_count; i++)
        if (s->volumes[i].tree == tree)
            return s->volumes[i].id;
    return 0;
}

/* Says what must be read to have node `id` of an ordinary tree: its map entry knows. */
static int need_by_id(struct sfs_store *s, struct sfs_need *need, uint32_t tree, uint64_t id)
{
    struct sfs_extent e;
    int err = sfs_extents_get(s, need, id, &e);
    if (err == SCALEFS_E_NOENT || (err == SCALEFS_OK && e.kind != 1))
        return SCALEFS_E_CORRUPT;
    if (err)
        return err;
    need->id = id;
    need->tree = tree;
    need->place = e.place;
    need->checksum = e.sums[0];
    return SCALEFS_E_NEED_NODE;
}

static int need_by_pointer(struct sfs_need *need, uint32_t tree, const struct sfs_nodeptr *p)
{
    if (p->group == SFS_NONE32)
        return SCALEFS_E_CORRUPT;
    need->id = p->id;
    need->tree = tree;
    need->place = (struct sfs_place){p->group, p->offset};
    need->checksum = p->checksum;
    return SCALEFS_E_NEED_NODE;
}

static int root_node(struct sfs_store *s, struct sfs_need *need, uint32_t tree, struct sfs_node **node)
{
    uint64_t id = sfs_btree_root(s, tree);
    if (!id)
        return SCALEFS_E_NOENT;
    *node = sfs_cache_get(s, id);
    if (*node)
        return (*node)->tree == tree ? SCALEFS_OK : SCALEFS_E_CORRUPT;
    if (is_system(tree))
        return need_by_pointer(need, tree, tree == SFS_TREE_SPACE ? &s->roots.space : &s->roots.extent_map);
    return need_by_id(s, need, tree, id);
}

static uint64_t child_id(const struct sfs_node *n, unsigned i)
{
    uint32_t len;
    const uint8_t *v = sfs_page_value(n->page, i, &len);
    if (!is_system(n->tree))
        return len == 8 ? sfs_get64(v) : 0;
    struct sfs_nodeptr p;
    return sfs_nodeptr_decode(v, len, &p) ? 0 : p.id;
}

static int child_node(struct sfs_store *s, struct sfs_need *need, const struct sfs_node *n, unsigned i,
                      struct sfs_node **child)
{
    uint64_t id = child_id(n, i);
    if (!id)
        return SCALEFS_E_CORRUPT;
    *child = sfs_cache_get(s, id);
    if (*child)
        return sfs_page_level((*child)->page) + 1 == sfs_page_level(n->page) && (*child)->tree == n->tree
                   ? SCALEFS_OK
                   : SCALEFS_E_CORRUPT;
    if (!is_system(n->tree))
        return need_by_id(s, need, n->tree, id);
    uint32_t len;
    struct sfs_nodeptr p;
    const uint8_t *v = sfs_page_value(n->page, i, &len);
    int err = sfs_nodeptr_decode(v, len, &p);
    return err ? err : need_by_pointer(need, n->tree, &p);
}

/* In an inner node: the child under which `key` stands. */
static unsigned child_index(const uint8_t *page, struct sfs_key key)
{
    bool exact;
    unsigned i = sfs_page_search(page, key, &exact);
    return exact || i == 0 ? i : i - 1;
}

/* Do all keys of the path's leaf belong there? The nodes come from disks one by one: each may be right for itself, and
 * wrong below its parent. The first key of an inner node counts as minus infinity. */
static bool leaf_belongs(const struct path *p)
{
    const uint8_t *leaf = p->node[p->depth - 1]->page;
    unsigned items = sfs_page_count(leaf);
    for (unsigned d = 0; d + 1 < p->depth && items; d++) {
        const uint8_t *page = p->node[d]->page;
        unsigned i = p->index[d];
        if (i > 0 && sfs_key_compare(sfs_page_key(leaf, 0), sfs_page_key(page, i)) < 0)
            return false;
        if (i + 1 < sfs_page_count(page) &&
            sfs_key_compare(sfs_page_key(leaf, items - 1), sfs_page_key(page, i + 1)) >= 0)
            return false;
    }
    return true;
}

static int descend(struct sfs_store *s, struct sfs_need *need, uint32_t tree, struct sfs_key key, struct path *p)
{
    struct sfs_node *n;
    int err = root_node(s, need, tree, &n);
    if (err)
        return err;
    for (p->depth = 0;;) {
        if (p->depth == SFS_TREE_DEPTH_MAX)
            return SCALEFS_E_CORRUPT;
        p->node[p->depth++] = n;
        if (sfs_page_level(n->page) == 0)
            return SCALEFS_OK;
        if (sfs_page_count(n->page) == 0)
            return SCALEFS_E_CORRUPT;
        unsigned i = child_index(n->page, key);
        p->index[p->depth - 1] = i;
        err = child_node(s, need, n, i, &n);
        if (err)
            return err;
    }
}

static int walk(struct sfs_store *s, struct sfs_need *need, uint32_t tree, struct sfs_key key, struct path *p)
{
    int err = descend(s, need, tree, key, p);
    return err || leaf_belongs(p) ? err : SCALEFS_E_CORRUPT;
}

int sfs_btree_get(struct sfs_store *s, struct sfs_need *need, uint32_t tree, struct sfs_key key,
                  const uint8_t **value, uint32_t *len)
{
    struct path p;
    int err = walk(s, need, tree, key, &p);
    if (err)
        return err;
    bool exact;
    const uint8_t *page = p.node[p.depth - 1]->page;
    unsigned i = sfs_page_search(page, key, &exact);
    if (!exact)
        return SCALEFS_E_NOENT;
    *value = sfs_page_value(page, i, len);
    return SCALEFS_OK;
}

/* The leaf to the left or right of the path's leaf: NOENT when there is none. */
static int step(struct sfs_store *s, struct sfs_need *need, struct path *p, int direction)
{
    unsigned d = p->depth - 1;
    for (;;) {
        if (d == 0)
            return SCALEFS_E_NOENT;
        d--;
        unsigned count = sfs_page_count(p->node[d]->page);
        if (direction > 0 ? p->index[d] + 1 < count : p->index[d] > 0)
            break;
    }
    p->index[d] += (unsigned)direction;
    for (; d + 1 < p->depth; d++) {
        struct sfs_node *child;
        int err = child_node(s, need, p->node[d], p->index[d], &child);
        if (err)
            return err;
        p->node[d + 1] = child;
        unsigned count = sfs_page_count(child->page);
        if (d + 2 < p->depth) {
            if (count == 0)
                return SCALEFS_E_CORRUPT;
            p->index[d + 1] = direction > 0 ? 0 : count - 1;
        }
    }
    return leaf_belongs(p) ? SCALEFS_OK : SCALEFS_E_CORRUPT;
}

int sfs_btree_floor(struct sfs_store *s, struct sfs_need *need, uint32_t tree, struct sfs_key high,
                    struct sfs_key *found, const uint8_t **value, uint32_t *len)
{
    struct path p;
    int err = walk(s, need, tree, high, &p);
    if (err)
        return err;
    bool exact;
    unsigned i = sfs_page_search(p.node[p.depth - 1]->page, high, &exact);
    while (!exact && i == 0) {
        err = step(s, need, &p, -1);
        if (err)
            return err;
        i = sfs_page_count(p.node[p.depth - 1]->page);
    }
    if (!exact)
        i--;
    const uint8_t *page = p.node[p.depth - 1]->page;
    *found = sfs_page_key(page, i);
    *value = sfs_page_value(page, i, len);
    return sfs_key_compare(*found, high) <= 0 ? SCALEFS_OK : SCALEFS_E_CORRUPT;
}

int sfs_btree_ceil(struct sfs_store *s, struct sfs_need *need, uint32_t tree, struct sfs_key from,
                   struct sfs_key *found, const uint8_t **value, uint32_t *len)
{
    struct path p;
    int err = walk(s, need, tree, from, &p);
    if (err)
        return err;
    bool exact;
    unsigned i = sfs_page_search(p.node[p.depth - 1]->page, from, &exact);
    while (i >= sfs_page_count(p.node[p.depth - 1]->page)) {
        err = step(s, need, &p, +1);
        if (err)
            return err;
        i = 0;
    }
    const uint8_t *page = p.node[p.depth - 1]->page;
    *found = sfs_page_key(page, i);
    *value = sfs_page_value(page, i, len);
    return sfs_key_compare(*found, from) >= 0 ? SCALEFS_OK : SCALEFS_E_CORRUPT;
}

int sfs_btree_ready(struct sfs_store *s, struct sfs_need *need, uint32_t tree, struct sfs_key key)
{
    struct path p;
    int err = walk(s, need, tree, key, &p);
    return err == SCALEFS_E_NOENT ? SCALEFS_OK : err; /* an empty tree: nothing to read */
}

/* --- changing: what is touched was made sure of by sfs_btree_ready --- */

static void dirty_path(struct sfs_store *s, const struct path *p)
{
    /* A system node's new place is written into its parent at the next checkpoint, so the whole path
     * will be written; marking it now also keeps it in the cache. */
    unsigned from = is_system(p->node[0]->tree) ? 0 : p->depth - 1;
    for (unsigned d = from; d < p->depth; d++)
        sfs_cache_dirty(s, p->node[d]);
}

static uint32_t child_value(uint32_t tree, const struct sfs_node *child, uint8_t out[SFS_NODEPTR_BYTES])
{
    if (!is_system(tree)) {
        sfs_put64(out, child->id);
        return 8;
    }
    /* Without a place until the checkpoint: whoever is dirty is found in the cache. */
    struct sfs_nodeptr p = {SFS_NONE32, sfs_page_level(child->page), 0, child->id, 0};
    sfs_nodeptr_encode(&p, out);
    return SFS_NODEPTR_BYTES;
}

static void insert_at(struct sfs_store *s, struct path *p, unsigned d, unsigned i, struct sfs_key key,
                      const void *value, uint32_t len);

/* The root's content goes to a new node below it; the path gets one deeper. */
static void deepen(struct sfs_store *s, struct path *p)
{
    struct sfs_node *root = p->node[0];
    SFS_ASSERT(p->depth < SFS_TREE_DEPTH_MAX);
    uint8_t level = sfs_page_level(root->page);
    struct sfs_node *below = sfs_cache_new(s, root->tree, level, s->pool->next_id++);
    memcpy(below->page, root->page, SFS_NODE_BYTES);
    sfs_page_init(root->page, (uint8_t)(level + 1));
    uint8_t child[SFS_NODEPTR_BYTES];
    uint32_t len = child_value(root->tree, below, child);
    struct sfs_key least = sfs_page_key(below->page, 0);
    bool ok = sfs_page_insert(root->page, 0, least, child, len);
    SFS_ASSERT(ok);
    sfs_cache_dirty(s, root);
    memmove(p->node + 2, p->node + 1, (p->depth - 1) * sizeof *p->node);
    memmove(p->index + 1, p->index, p->depth * sizeof *p->index);
    p->node[1] = below;
    p->index[0] = 0;
    p->depth++;
}

static void split(struct sfs_store *s, struct path *p, unsigned d, unsigned i, struct sfs_key key,
                  const void *value, uint32_t len)
{
    if (d == 0) {
        deepen(s, p);
        d = 1;
    }
    struct sfs_node *left = p->node[d];
    struct sfs_node *right = sfs_cache_new(s, left->tree, sfs_page_level(left->page), s->pool->next_id++);
    sfs_page_split(left->page, right->page, i, sfs_page_item_bytes(len));
    unsigned kept = sfs_page_count(left->page);
    struct sfs_node *to = left;
    if (i > kept || (i == kept && sfs_page_free_bytes(left->page) < sfs_page_item_bytes(len))) {
        to = right;
        i -= kept;
    } else if (i == kept && sfs_page_count(right->page) == 0) {
        to = right;
        i = 0;
    }
    bool ok = sfs_page_insert(to->page, i, key, value, len);
    SFS_ASSERT(ok);
    sfs_cache_dirty(s, left);
    uint8_t child[SFS_NODEPTR_BYTES];
    uint32_t child_len = child_value(left->tree, right, child);
    insert_at(s, p, d - 1, p->index[d - 1] + 1, sfs_page_key(right->page, 0), child, child_len);
}

static void insert_at(struct sfs_store *s, struct path *p, unsigned d, unsigned i, struct sfs_key key,
                      const void *value, uint32_t len)
{
    sfs_cache_dirty(s, p->node[d]);
    if (!sfs_page_insert(p->node[d]->page, i, key, value, len))
        split(s, p, d, i, key, value, len);
}

static void make_root(struct sfs_store *s, uint32_t tree)
{
    SFS_ASSERT(is_system(tree));
    struct sfs_node *root = sfs_cache_new(s, tree, 0, s->pool->next_id++);
    struct sfs_nodeptr *p = tree == SFS_TREE_SPACE ? &s->roots.space : &s->roots.extent_map;
    *p = (struct sfs_nodeptr){SFS_NONE32 - 1, 0, 0, root->id, 0}; /* not empty; the place comes with the checkpoint */
}

void sfs_btree_put(struct sfs_store *s, uint32_t tree, struct sfs_key key, const void *value, uint32_t len)
{
    SFS_ASSERT(len <= SFS_VALUE_MAX);
    if (!sfs_btree_root(s, tree))
        make_root(s, tree);
    struct path p;
    struct sfs_need none = {0};
    int err = descend(s, &none, tree, key, &p);
    SFS_ASSERT(err == SCALEFS_OK);
    dirty_path(s, &p);
    bool exact;
    uint8_t *page = p.node[p.depth - 1]->page;
    unsigned i = sfs_page_search(page, key, &exact);
    if (exact) {
        if (sfs_page_replace(page, i, value, len))
            return;
        sfs_page_remove(page, i);
    }
    insert_at(s, &p, p.depth - 1, i, key, value, len);
}

uint8_t *sfs_btree_edit(struct sfs_store *s, uint32_t tree, struct sfs_key key, uint32_t *len)
{
    struct path p;
    struct sfs_need none = {0};
    int err = descend(s, &none, tree, key, &p);
    if (err == SCALEFS_E_NOENT)
        return NULL;
    SFS_ASSERT(err == SCALEFS_OK);
    bool exact;
    unsigned i = sfs_page_search(p.node[p.depth - 1]->page, key, &exact);
    if (!exact)
        return NULL;
    dirty_path(s, &p);
    return sfs_page_value_mut(p.node[p.depth - 1]->page, i, len);
}

/* A node leaves its tree: the map entry and the row go at the next checkpoint. */
static void bury(struct sfs_store *s, struct sfs_node *n)
{
    if (n->place.group != SFS_NONE32) {
        int err = sfs_vec_reserve(s->env, &s->dead, &s->dead_cap, s->dead_count + 1, sizeof *s->dead);
        SFS_ASSERT(err == SCALEFS_OK);
        s->dead[s->dead_count++] = (struct sfs_dead_node){n->id, n->tree, n->place, 0};
    }
    sfs_cache_drop(s, n);
}

/* While the root has a single child that is at hand, the child's content moves up. */
static void flatten(struct sfs_store *s, struct sfs_node *root)
{
    while (sfs_page_level(root->page) > 0 && sfs_page_count(root->page) == 1) {
        struct sfs_node *child = sfs_map_get(&s->nodes, child_id(root, 0));
        if (!child)
            return;
        memcpy(root->page, child->page, SFS_NODE_BYTES);
        sfs_cache_dirty(s, root);
        bury(s, child);
    }
}

/* Nobody has looked at the neighbour yet (see leaf_belongs). `bound`: the parent's key between the two. */
static bool in_order(const uint8_t *left, struct sfs_key bound, const uint8_t *right)
{
    unsigned kept = sfs_page_count(left), more = sfs_page_count(right), inner = sfs_page_level(right) > 0;
    if (sfs_page_level(left) != sfs_page_level(right) ||
        (kept && sfs_key_compare(sfs_page_key(left, kept - 1), bound) >= 0))
        return false;
    int order = more > inner ? sfs_key_compare(bound, sfs_page_key(right, inner)) : -1;
    return inner ? order < 0 : order <= 0;
}

/* A leaf or inner node that became small takes in its right neighbour (or goes into its left one) when that is at
 * hand. Never reads: a tree may keep small nodes, and empty leaves, they cost room only. An empty leaf must not simply go:
 * its keys would belong to a neighbour that may not be in the cache, and the updates that follow in the same transaction
 * were made sure of as things stood. */
static void merge(struct sfs_store *s, struct path *p, unsigned d)
{
    struct sfs_node *n = p->node[d], *parent = p->node[d - 1];
    if (sfs_page_free_bytes(n->page) < SFS_NODE_BYTES * 2 / 3)
        return;
    unsigned i = p->index[d - 1];
    struct sfs_node *left = NULL, *right = NULL;
    if (i + 1 < sfs_page_count(parent->page) &&
        (right = sfs_map_get(&s->nodes, child_id(parent, i + 1))) != NULL) {
        left = n;
        i++;
    } else if (i > 0 && (left = sfs_map_get(&s->nodes, child_id(parent, i - 1))) != NULL) {
        right = n;
    }
    unsigned kept = left ? sfs_page_count(left->page) : 0;
    if (!left || !right || !in_order(left->page, sfs_page_key(parent->page, i), right->page) || !sfs_page_merge(left->page, right->page))
        return;
    /* The first key of an inner node counts as minus infinity there; in the middle of a node it must be the bound
     * that the parent had for it. */
    if (sfs_page_level(left->page) > 0)
        sfs_page_set_key(left->page, kept, sfs_page_key(parent->page, i));
    sfs_cache_dirty(s, left);
    bury(s, right);
    sfs_cache_dirty(s, parent);
    sfs_page_remove(parent->page, i);
    if (d > 1)
        merge(s, p, d - 1);
}

void sfs_btree_delete(struct sfs_store *s, uint32_t tree, struct sfs_key key)
{
    struct path p;
    struct sfs_need none = {0};
    int err = descend(s, &none, tree, key, &p);
    if (err == SCALEFS_E_NOENT)
        return;
    SFS_ASSERT(err == SCALEFS_OK);
    bool exact;
    struct sfs_node *leaf = p.node[p.depth - 1];
    unsigned i = sfs_page_search(leaf->page, key, &exact);
    if (!exact)
        return;
    dirty_path(s, &p);
    sfs_page_remove(leaf->page, i);
    if (p.depth == 1)
        return;
    merge(s, &p, p.depth - 1);
    flatten(s, p.node[0]);
}
