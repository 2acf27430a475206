/* Walking every tree from its root, each node in all its copies; what the leaves say is noted. Part of the check.
 *
 * The extent map is walked first, by pointers alone: from then on all other nodes are found by what it says. Nothing of the
 * node cache is used.
 */
#include "store/check_internal.h"

struct walk {
    struct sfs_check *c;
    uint32_t tree;
    int (*leaf)(struct walk *w, struct sfs_key key, const uint8_t *value, uint32_t len);
    int error;
    struct sfs_key least, limit; /* of the node being looked at; limit (0,0,0): none */
};

struct want {
    uint64_t id, checksum;
    struct sfs_place place;
    int level; /* -1: any */
};

static bool is_system(uint32_t tree)
{
    return tree == SFS_TREE_EXTENT_MAP || tree == SFS_TREE_SPACE;
}

/* --- one node --- */

static bool node_right(const struct walk *w, const struct want *n, const uint8_t *page)
{
    struct sfs_node_header h;
    return sfs_node_check(page, &h) == SCALEFS_OK && h.id == n->id && h.checksum == n->checksum &&
           (h.tree == w->tree || !is_system(w->tree)) &&
           h.group == n->place.group && h.offset == n->place.offset && (n->level < 0 || h.level == n->level);
}

/* Reads all copies; `page` gets a right one. */
static int read_node(struct walk *w, const struct want *n, uint8_t *page)
{
    struct sfs_check *c = w->c;
    const struct sfs_group *g = sfs_group_of(c->pool, n->place.group);
    uint8_t class = is_system(w->tree) ? SFS_CLASS_SYSTEM : SFS_CLASS_METADATA;
    if (!g || g->record.class != class || n->place.offset % SFS_NODE_BYTES ||
        n->place.offset / SFS_NODE_BYTES >= g->record.rows) {
        sfs_check_say(c, false, "Node %llu of tree %u is said to lie where none can be: group %u, offset %llu.",
                      (unsigned long long)n->id, w->tree, n->place.group, (unsigned long long)n->place.offset);
        return SCALEFS_E_CORRUPT;
    }
    uint8_t *copy = sfs_alloc_io(c->s->env, SFS_NODE_BYTES);
    if (!copy)
        return SCALEFS_E_NOMEM;
    unsigned right = 0, wrong[SFS_COLUMNS_MAX], wrong_count = 0;
    for (unsigned i = 0; i < 1u + g->record.m; i++) {
        struct sfs_get get = {.place = n->place, .len = SFS_NODE_BYTES, .buf = copy, .copy = (uint8_t)i};
        sfs_get_many(c->pool, &get, 1);
        if (get.result == SCALEFS_OK && node_right(w, n, copy)) {
            if (!right++)
                memcpy(page, copy, SFS_NODE_BYTES);
        } else if (!sfs_check_owed(c, &g->record, g->record.columns[i].disk)) {
            wrong[wrong_count++] = i;
        }
    }
    sfs_check_count_bytes(c, (uint64_t)(1 + g->record.m) * SFS_NODE_BYTES);
    for (unsigned i = 0; i < wrong_count && right; i++)
        sfs_check_say(c, true, "The copy of node %llu (tree %u) on disk %u is damaged.", (unsigned long long)n->id, w->tree,
                      g->record.columns[wrong[i]].disk);
    if (!right)
        sfs_check_say(c, false, "Node %llu of tree %u cannot be read from any disk.", (unsigned long long)n->id, w->tree);
    sfs_free(c->s->env, copy);
    return right ? SCALEFS_OK : SCALEFS_E_CORRUPT;
}

/* --- a tree --- */

static int child_of(struct walk *w, const uint8_t *page, unsigned i, struct want *child)
{
    uint32_t len;
    const uint8_t *v = sfs_page_value(page, i, &len);
    child->level = sfs_page_level(page) - 1;
    if (is_system(w->tree)) {
        struct sfs_nodeptr p;
        if (sfs_nodeptr_decode(v, len, &p) != SCALEFS_OK)
            return SCALEFS_E_CORRUPT;
        child->id = p.id;
        child->checksum = p.checksum;
        child->place = (struct sfs_place){p.group, p.offset};
        return SCALEFS_OK;
    }
    struct sfs_seen *e = len == 8 ? sfs_check_seen(w->c, sfs_get64(v)) : NULL;
    if (!e || e->kind != 1)
        return SCALEFS_E_CORRUPT;
    e->found++;
    if (e->found > 1) /* it is reported with the accounts; walking it again could go on for ever */
        return SCALEFS_E_EXIST;
    child->id = e->id;
    child->checksum = e->sum;
    child->place = (struct sfs_place){e->group, e->offset};
    return SCALEFS_OK;
}

static bool key_given(struct sfs_key key)
{
    return key.a || key.type || key.b;
}

static void check_bounds(struct walk *w, const struct want *n, const uint8_t *page)
{
    unsigned count = sfs_page_count(page);
    /* The first key of an inner node counts as minus infinity. */
    unsigned first = sfs_page_level(page) > 0 ? 1 : 0;
    bool low = count > first && sfs_key_compare(sfs_page_key(page, first), w->least) < 0;
    bool high = count > 0 && key_given(w->limit) && sfs_key_compare(sfs_page_key(page, count - 1), w->limit) >= 0;
    if (low || high)
        sfs_check_say(w->c, false, "Node %llu of tree %u holds keys that do not belong there.", (unsigned long long)n->id,
                      w->tree);
}

static int walk_node(struct walk *w, const struct want *n, unsigned depth)
{
    struct sfs_check *c = w->c;
    if (depth == SFS_TREE_DEPTH_MAX)
        return SCALEFS_E_CORRUPT;
    uint8_t *page = sfs_alloc(c->s->env, SFS_NODE_BYTES);
    int err = page ? read_node(w, n, page) : SCALEFS_E_NOMEM;
    if (err) {
        sfs_free(c->s->env, page);
        c->broken = true;
        return err == SCALEFS_E_NOMEM ? err : SCALEFS_OK;
    }
    c->report->trees_nodes++;
    if (is_system(w->tree)) {
        c->live[n->place.group] += SFS_NODE_BYTES;
        c->rows[n->place.group][n->place.offset / SFS_NODE_BYTES].counted += SFS_NODE_BYTES;
    }
    check_bounds(w, n, page);
    struct sfs_key least = w->least, limit = w->limit;
    unsigned count = sfs_page_count(page);
    for (unsigned i = 0; i < count && !err; i++) {
        if (sfs_page_level(page) == 0) {
            uint32_t len;
            const uint8_t *v = sfs_page_value(page, i, &len);
            err = w->leaf(w, sfs_page_key(page, i), v, len);
            continue;
        }
        struct want child;
        w->least = i == 0 ? least : sfs_page_key(page, i);
        w->limit = i + 1 < count ? sfs_page_key(page, i + 1) : limit;
        int bad = child_of(w, page, i, &child);
        if (bad == SCALEFS_E_CORRUPT) {
            c->broken = true;
            sfs_check_say(c, false, "Node %llu of tree %u refers to a node that is not there.", (unsigned long long)n->id,
                          w->tree);
        }
        if (!bad)
            err = walk_node(w, &child, depth + 1);
    }
    w->least = least;
    w->limit = limit;
    sfs_free(c->s->env, page);
    return err;
}

static int walk_system(struct sfs_check *c, uint32_t tree, const struct sfs_nodeptr *root,
                       int (*leaf)(struct walk *, struct sfs_key, const uint8_t *, uint32_t))
{
    if (root->group == SFS_NONE32)
        return SCALEFS_OK;
    struct walk w = {.c = c, .tree = tree, .leaf = leaf};
    struct want n = {root->id, root->checksum, {root->group, root->offset}, root->level};
    return walk_node(&w, &n, 0);
}

static int walk_ordinary(struct sfs_check *c, uint32_t tree, uint64_t root,
                         int (*leaf)(struct walk *, struct sfs_key, const uint8_t *, uint32_t))
{
    struct walk w = {.c = c, .tree = tree, .leaf = leaf};
    struct sfs_seen *e = sfs_check_seen(c, root);
    if (!e || e->kind != 1) {
        c->broken = true;
        sfs_check_say(c, false, "The root of tree %u is not in the extent map.", tree);
        return SCALEFS_OK;
    }
    e->found++;
    struct want n = {root, e->sum, {e->group, e->offset}, -1};
    return e->found > 1 ? SCALEFS_OK : walk_node(&w, &n, 0);
}

/* --- leaves --- */

static int map_leaf(struct walk *w, struct sfs_key key, const uint8_t *value, uint32_t len)
{
    struct sfs_check *c = w->c;
    struct sfs_extent e;
    if (key.type || key.b || sfs_extent_decode(value, len, &e) != SCALEFS_OK ||
        (c->count && c->seen[c->count - 1].id >= key.a)) {
        sfs_check_say(c, false, "The entry of extent %llu in the extent map makes no sense.", (unsigned long long)key.a);
        return SCALEFS_OK;
    }
    int err = sfs_vec_reserve(c->s->env, &c->seen, &c->cap, c->count + 1, sizeof *c->seen);
    if (err)
        return err;
    c->seen[c->count++] = (struct sfs_seen){.id = key.a, .birth = e.birth, .offset = e.place.offset, .group = e.place.group,
                                            .sum = e.sums[0], .ref_bytes = e.ref_bytes, .stored = e.stored, .raw = e.raw,
                                            .refs = e.refs, .kind = e.kind};
    return SCALEFS_OK;
}

static int space_leaf(struct walk *w, struct sfs_key key, const uint8_t *value, uint32_t len)
{
    struct sfs_check *c = w->c;
    struct sfs_row_state rows[SFS_SPACE_CHUNK];
    if (key.type || key.a > UINT32_MAX || key.b > UINT32_MAX / SFS_SPACE_CHUNK ||
        sfs_space_decode(value, len, rows) != SCALEFS_OK) {
        sfs_check_say(c, false, "An entry of the space tree (group %llu) makes no sense.", (unsigned long long)key.a);
        return SCALEFS_OK;
    }
    const struct sfs_group *g = sfs_group_of(c->pool, (uint32_t)key.a);
    bool counts = g && (g->record.class == SFS_CLASS_DATA || g->record.class == SFS_CLASS_METADATA);
    for (uint32_t i = 0; i < SFS_SPACE_CHUNK; i++) {
        uint64_t row = key.b * SFS_SPACE_CHUNK + i;
        if (counts && row < g->record.rows)
            c->rows[key.a][row].said = rows[i].live;
        else if (rows[i].live) /* entries of groups that are no more stay, but must be empty */
            sfs_check_say(c, false, "The space tree counts %u live bytes in row %llu of group %llu, which is not there.",
                          rows[i].live, (unsigned long long)row, (unsigned long long)key.a);
    }
    return SCALEFS_OK;
}

static void refer(struct walk *w, struct sfs_key key, uint64_t id, uint64_t offset, uint64_t length)
{
    struct sfs_seen *e = sfs_check_seen(w->c, id);
    if (!e || e->kind != 0) {
        if (!w->c->broken)
            sfs_check_say(w->c, false, "Inode %llu of volume %u refers to extent %llu, which is not there.",
                          (unsigned long long)key.a, w->tree, (unsigned long long)id);
        return;
    }
    if (offset + length > e->raw)
        sfs_check_say(w->c, false, "Inode %llu of volume %u refers to bytes beyond the end of extent %llu.",
                      (unsigned long long)key.a, w->tree, (unsigned long long)id);
    e->found++;
    e->found_bytes += length;
}

static int volume_leaf(struct walk *w, struct sfs_key key, const uint8_t *value, uint32_t len)
{
    if (key.type == SFS_KEY_EXTENT) {
        struct sfs_fileext_value v;
        if (sfs_fileext_decode(value, len, &v) == SCALEFS_OK)
            refer(w, key, v.id, v.offset, v.length);
        else
            sfs_check_say(w->c, false, "An extent item of inode %llu makes no sense.", (unsigned long long)key.a);
    } else if (key.type == SFS_KEY_XATTR) {
        struct sfs_xattr_value v;
        if (sfs_xattr_decode(value, len, &v) != SCALEFS_OK)
            sfs_check_say(w->c, false, "An extended attribute of inode %llu makes no sense.", (unsigned long long)key.a);
        else if (v.kind == 1)
            refer(w, key, v.extent, 0, v.value_len);
    }
    return SCALEFS_OK;
}

static int pool_leaf(struct walk *w, struct sfs_key key, const uint8_t *value, uint32_t len)
{
    struct sfs_volume_value v;
    if (key.a != 1 || key.type != 1)
        return SCALEFS_OK;
    if (key.b < SFS_TREE_VOLUME || key.b > UINT32_MAX || sfs_volume_decode(value, len, &v) != SCALEFS_OK) {
        sfs_check_say(w->c, false, "The entry of volume %llu makes no sense.", (unsigned long long)key.b);
        return SCALEFS_OK;
    }
    return walk_ordinary(w->c, (uint32_t)key.b, v.root, volume_leaf);
}

int sfs_check_trees(struct sfs_check *c)
{
    const struct sfs_commit *last = &c->pool->last;
    int err = walk_system(c, SFS_TREE_EXTENT_MAP, &last->extent_map, map_leaf);
    if (!err)
        err = walk_system(c, SFS_TREE_SPACE, &last->space, space_leaf);
    if (!err && last->pool_tree)
        err = walk_ordinary(c, SFS_TREE_POOL, last->pool_tree, pool_leaf);
    return err;
}
