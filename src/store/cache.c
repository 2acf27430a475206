/* The node cache: tree nodes by id, clean ones in order of use, bounded; dirty ones kept until a
 * checkpoint has written them. Also the way a walk waits for a node (struct sfs_need).
 *
 * Invariant: a node in the cache is always the current one. A read of a node that was on its way while a
 * checkpoint gave out new places (epoch) is thrown away, so an old version can never come in.
 */
#include "store/internal.h"

static void list_init(struct sfs_node_list *l)
{
    l->head.prev = l->head.next = &l->head;
    l->count = 0;
}

static void list_remove(struct sfs_node_list *l, struct sfs_node *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->prev = n->next = NULL;
    l->count--;
}

static void list_append(struct sfs_node_list *l, struct sfs_node *n)
{
    n->prev = l->head.prev;
    n->next = &l->head;
    l->head.prev->next = n;
    l->head.prev = n;
    l->count++;
}

int sfs_cache_init(struct sfs_store *s)
{
    sfs_map_init(&s->nodes, s->env);
    list_init(&s->clean);
    list_init(&s->dirty);
    uint64_t bytes = s->options.cache_bytes ? s->options.cache_bytes : 64ull << 20;
    s->cache_nodes = (size_t)(bytes / SFS_NODE_BYTES);
    if (s->cache_nodes < 64)
        s->cache_nodes = 64;
    return SCALEFS_OK;
}

static void free_node(struct sfs_store *s, struct sfs_node *n)
{
    sfs_free(s->env, n->page);
    sfs_free(s->env, n);
}

void sfs_cache_deinit(struct sfs_store *s)
{
    size_t cursor = 0;
    uint64_t id;
    void *node;
    while (sfs_map_next(&s->nodes, &cursor, &id, &node))
        free_node(s, node);
    sfs_map_deinit(&s->nodes);
    while (s->spare) {
        struct sfs_node *n = s->spare;
        s->spare = n->next;
        free_node(s, n);
    }
}

struct sfs_node *sfs_cache_get(struct sfs_store *s, uint64_t id)
{
    struct sfs_node *n = sfs_map_get(&s->nodes, id);
    if (n && !n->dirty && n->next != &s->clean.head) {
        list_remove(&s->clean, n);
        list_append(&s->clean, n);
    }
    return n;
}

static struct sfs_node *alloc_node(struct sfs_store *s)
{
    struct sfs_node *n = sfs_zalloc(s->env, sizeof *n);
    if (!n)
        return NULL;
    n->page = sfs_alloc_io(s->env, SFS_NODE_BYTES);
    if (!n->page) {
        sfs_free(s->env, n);
        return NULL;
    }
    return n;
}

static void make_spare(struct sfs_store *s, struct sfs_node *n)
{
    if (s->spare_count >= 256) {
        free_node(s, n);
        return;
    }
    n->next = s->spare;
    s->spare = n;
    s->spare_count++;
}

int sfs_cache_spare(struct sfs_store *s, size_t count)
{
    int err = sfs_map_reserve(&s->nodes, count);
    if (err)
        return err;
    while (s->spare_count < count) {
        struct sfs_node *n = alloc_node(s);
        if (!n)
            return SCALEFS_E_NOMEM;
        n->next = s->spare;
        s->spare = n;
        s->spare_count++;
    }
    return SCALEFS_OK;
}

/* Clean nodes beyond the bound leave, the longest unused first. Pinned ones stay. */
static void evict(struct sfs_store *s)
{
    size_t look = s->clean.count;
    struct sfs_node *n = s->clean.head.next;
    while (s->clean.count + s->dirty.count > s->cache_nodes && look-- > 0 && n != &s->clean.head) {
        struct sfs_node *next = n->next;
        if (n->pins == 0)
            sfs_cache_drop(s, n);
        n = next;
    }
}

/* There is room in the map: sfs_cache_spare or sfs_need_load saw to that. */
static void put_in(struct sfs_store *s, struct sfs_node *n)
{
    int err = sfs_map_put(&s->nodes, n->id, n);
    SFS_ASSERT(err == SCALEFS_OK);
    list_append(n->dirty ? &s->dirty : &s->clean, n);
}

struct sfs_node *sfs_cache_new(struct sfs_store *s, uint32_t tree, uint8_t level, uint64_t id)
{
    /* The caller made sure of spares for what is usual; a long chain of splits may want one more. */
    if (s->spare_count == 0)
        (void)sfs_cache_spare(s, 1);
    struct sfs_node *n = s->spare;
    SFS_ASSERT(n != NULL);
    s->spare = n->next;
    s->spare_count--;
    uint8_t *page = n->page;
    *n = (struct sfs_node){.id = id, .tree = tree, .page = page, .dirty = true, .place = {SFS_NONE32, 0}};
    sfs_page_init(page, level);
    put_in(s, n);
    return n;
}

void sfs_cache_dirty(struct sfs_store *s, struct sfs_node *n)
{
    if (n->dirty)
        return;
    list_remove(&s->clean, n);
    n->dirty = true;
    list_append(&s->dirty, n);
}

void sfs_cache_clean(struct sfs_store *s, struct sfs_node *n)
{
    if (!n->dirty)
        return;
    list_remove(&s->dirty, n);
    n->dirty = false;
    list_append(&s->clean, n);
}

void sfs_cache_drop(struct sfs_store *s, struct sfs_node *n)
{
    list_remove(n->dirty ? &s->dirty : &s->clean, n);
    sfs_map_remove(&s->nodes, n->id);
    n->dirty = false;
    if (n->pins > 0) /* somebody's walk still holds it: the last pin frees it */
        n->id = 0;
    else
        make_spare(s, n);
}

/* --- waiting for nodes --- */

void sfs_cache_pin(struct sfs_node *n)
{
    n->pins++;
}

void sfs_cache_unpin(struct sfs_store *s, struct sfs_node *n)
{
    SFS_ASSERT(n->pins > 0);
    if (--n->pins == 0 && n->id == 0)
        make_spare(s, n);
}

void sfs_need_init(struct sfs_need *need)
{
    *need = (struct sfs_need){0};
}

int sfs_dead_reserve(struct sfs_store *s, size_t changes)
{
    return sfs_vec_reserve(s->env, &s->dead, &s->dead_cap, s->dead_count + 4 * changes + 64, sizeof *s->dead);
}

static int pin(struct sfs_store *s, struct sfs_need *need, struct sfs_node *n)
{
    int err = sfs_vec_reserve(s->env, &need->pins, &need->pin_cap, need->pin_count + 1, sizeof *need->pins);
    if (err)
        return err;
    need->pins[need->pin_count++] = n;
    sfs_cache_pin(n);
    return SCALEFS_OK;
}

void sfs_need_done(struct sfs_store *s, struct sfs_need *need)
{
    for (size_t i = 0; i < need->pin_count; i++)
        sfs_cache_unpin(s, need->pins[i]);
    sfs_free(s->env, need->pins);
    sfs_need_init(need);
    evict(s);
    while (s->spare_count > 256) {
        struct sfs_node *n = s->spare;
        s->spare = n->next;
        s->spare_count--;
        free_node(s, n);
    }
}

int sfs_need_load(struct sfs_store *s, struct sfs_need *need)
{
    struct sfs_node *n = alloc_node(s);
    if (!n)
        return SCALEFS_E_NOMEM;
    need->epoch = s->epoch;
    sfs_store_unlock(s);
    n->id = need->id;
    n->tree = need->tree;
    n->place = need->place;
    int err = sfs_read_node(s, need, n->page, &n->birth);
    sfs_store_lock(s);
    if (need->epoch != s->epoch || sfs_map_get(&s->nodes, need->id)) {
        free_node(s, n); /* perhaps an old version, or somebody was quicker: look again */
        struct sfs_node *there = sfs_cache_get(s, need->id);
        return there ? pin(s, need, there) : SCALEFS_OK;
    }
    if (!err)
        err = sfs_map_reserve(&s->nodes, 1);
    if (err) {
        free_node(s, n);
        return err;
    }
    put_in(s, n);
    err = pin(s, need, n);
    evict(s);
    return err;
}
