/* The extent map (extent id -> where it is and what it must look like) and the space tree (which rows of data
 * and metadata groups hold how much that is live). */
#include "store/internal.h"

static struct sfs_key map_key(uint64_t id)
{
    return (struct sfs_key){id, 0, 0};
}

int sfs_extents_get(struct sfs_store *s, struct sfs_need *need, uint64_t id, struct sfs_extent *e)
{
    const uint8_t *v;
    uint32_t len;
    int err = sfs_btree_get(s, need, SFS_TREE_EXTENT_MAP, map_key(id), &v, &len);
    return err ? err : sfs_extent_decode(v, len, e);
}

int sfs_extent_lookup(struct sfs_store *s, uint64_t id, struct sfs_extent *e)
{
    struct sfs_need need;
    sfs_need_init(&need);
    sfs_store_lock(s);
    int err;
    while ((err = sfs_extents_get(s, &need, id, e)) == SCALEFS_E_NEED_NODE)
        if ((err = sfs_need_load(s, &need)) != SCALEFS_OK)
            break;
    sfs_need_done(s, &need);
    sfs_store_unlock(s);
    return err;
}

int sfs_extents_next(struct sfs_store *s, uint64_t *from, bool (*wanted)(const void *context, const struct sfs_extent *e),
                     const void *context, uint64_t *id, struct sfs_extent *e)
{
    struct sfs_need need;
    sfs_need_init(&need);
    sfs_store_lock(s);
    int err = SCALEFS_E_CHANGED;
    for (unsigned looked = 0; looked < 1024; looked++) { /* the lock is not held for longer at a time */
        struct sfs_key found;
        const uint8_t *v;
        uint32_t len;
        int r = sfs_btree_ceil(s, &need, SFS_TREE_EXTENT_MAP, map_key(*from), &found, &v, &len);
        if (r == SCALEFS_E_NEED_NODE && (r = sfs_need_load(s, &need)) == SCALEFS_OK)
            continue;
        if (!r)
            r = sfs_extent_decode(v, len, e);
        if (r || found.a == UINT64_MAX) { /* no extent has that id; what comes after it would be the first again */
            err = r ? r : SCALEFS_E_NOENT;
            break;
        }
        *from = found.a + 1;
        if (wanted(context, e)) {
            *id = found.a;
            err = SCALEFS_OK;
            break;
        }
    }
    sfs_need_done(s, &need);
    sfs_store_unlock(s);
    return err;
}

void sfs_extents_put(struct sfs_store *s, uint64_t id, const struct sfs_extent *e)
{
    uint8_t v[SFS_EXTENT_VALUE_MAX];
    uint32_t len = sfs_extent_encode(e, v);
    sfs_btree_put(s, SFS_TREE_EXTENT_MAP, map_key(id), v, len);
}

void sfs_extents_delete(struct sfs_store *s, uint64_t id)
{
    sfs_btree_delete(s, SFS_TREE_EXTENT_MAP, map_key(id));
}

/* --- space tree --- */

/* System groups count in the table, landing groups as a whole: only the others have rows in the tree. */
static bool has_rows(const struct sfs_group *g)
{
    return g->record.class == SFS_CLASS_DATA || g->record.class == SFS_CLASS_METADATA;
}

static struct sfs_key space_key(uint32_t group, uint32_t row)
{
    return (struct sfs_key){group, 0, row / SFS_SPACE_CHUNK};
}

int sfs_space_ready(struct sfs_store *s, struct sfs_need *need, struct sfs_place place)
{
    struct sfs_group *g = sfs_group_of(s->pool, place.group);
    if (!g || place.offset / sfs_group_row_bytes(&g->record) >= g->record.rows)
        return SCALEFS_E_CORRUPT;
    if (!has_rows(g))
        return SCALEFS_OK;
    return sfs_btree_ready(s, need, SFS_TREE_SPACE, space_key(place.group, sfs_group_row_of(&g->record, place.offset)));
}

bool sfs_space_holds(struct sfs_store *s, struct sfs_place place, uint32_t bytes)
{
    struct sfs_need none = {0};
    struct sfs_group *g = sfs_group_of(s->pool, place.group);
    uint32_t row = sfs_group_row_of(&g->record, place.offset), len;
    const uint8_t *v;
    if (g->count.live < bytes || (g->rows && g->rows[row].live < bytes))
        return false;
    return !has_rows(g) || (sfs_btree_get(s, &none, SFS_TREE_SPACE, space_key(place.group, row), &v, &len) == SCALEFS_OK &&
                            len >= 12 * (row % SFS_SPACE_CHUNK + 1) && sfs_get32(v + 12 * (row % SFS_SPACE_CHUNK)) >= bytes);
}

void sfs_space_live(struct sfs_store *s, struct sfs_place place, int64_t delta)
{
    struct sfs_group *g = sfs_group_of(s->pool, place.group);
    SFS_ASSERT(g != NULL);
    if (delta < 0 && !sfs_space_holds(s, place, (uint32_t)-delta)) {
        /* The counters came from a disk, and are wrong. To leave them costs space; to go on could cost data. */
        sfs_log(s->env, SFS_LOG_ERROR, "store", SCALEFS_E_CORRUPT,
                "the counters of group %u are wrong: less is said to live there than does (offset %llu)", place.group,
                (unsigned long long)place.offset);
        return;
    }
    uint32_t row = sfs_group_row_of(&g->record, place.offset);
    bool taken = g->rows && g->rows[row].txn == SFS_TAKEN_TXN;
    sfs_group_live(s->pool, g, row, delta);
    if (taken)
        g->rows[row].txn = SFS_TAKEN_TXN;
    if (g->count.live == 0)
        s->emptied = true;
    s->freed += delta < 0;
    if (delta > 0 && g->record.class == SFS_CLASS_DATA) /* what is freed is counted at the next checkpoint */
        s->free_estimate -= s->free_estimate < (uint64_t)delta ? s->free_estimate : (uint64_t)delta;
    if (!has_rows(g))
        return;
    /* A chunk is always written whole (64 rows × 12 bytes), so that rows can be counted in place. */
    struct sfs_key key = space_key(place.group, row);
    uint32_t len;
    uint8_t *v = sfs_btree_edit(s, SFS_TREE_SPACE, key, &len);
    if (!v || len != SFS_SPACE_CHUNK * 12) {
        uint8_t fresh[SFS_SPACE_CHUNK * 12] = {0};
        if (v && len < sizeof fresh)
            memcpy(fresh, v, len);
        sfs_btree_put(s, SFS_TREE_SPACE, key, fresh, sizeof fresh);
        v = sfs_btree_edit(s, SFS_TREE_SPACE, key, &len);
    }
    uint8_t *at = v + 12 * (row % SFS_SPACE_CHUNK);
    int64_t before = sfs_get32(at), live = before + delta;
    SFS_ASSERT(live >= 0 && live <= UINT32_MAX);
    sfs_put32(at, (uint32_t)live);
    if (!g->rows && (before == 0) != (live == 0)) /* the pool counts rows only where their states are loaded */
        g->count.used_rows = before == 0 ? g->count.used_rows + 1 : g->count.used_rows - 1;
    /* Left over from an older group of the same number: counts as dead. */
    if (before == 0 || live == 0)
        sfs_put64(at + 4, s->pool->txn);
}

int sfs_space_rows(struct sfs_store *s, struct sfs_need *need, struct sfs_group *g, struct sfs_row_state *rows)
{
    for (uint32_t row = 0; row < g->record.rows; row += SFS_SPACE_CHUNK) {
        struct sfs_row_state chunk[SFS_SPACE_CHUNK];
        const uint8_t *v;
        uint32_t len;
        int err = sfs_btree_get(s, need, SFS_TREE_SPACE, space_key(g->record.group, row), &v, &len);
        if (err == SCALEFS_E_NOENT)
            memset(chunk, 0, sizeof chunk);
        else if (err || (err = sfs_space_decode(v, len, chunk)) != SCALEFS_OK)
            return err;
        uint32_t n = g->record.rows - row < SFS_SPACE_CHUNK ? g->record.rows - row : SFS_SPACE_CHUNK;
        memcpy(rows + row, chunk, n * sizeof *rows);
    }
    return SCALEFS_OK;
}
