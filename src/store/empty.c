/* Emptying groups: what lives in one is written anew elsewhere; then it holds nothing and is freed by itself (space.c). This is the
 * one way in which that is done, whatever for: groups with too little redundancy, disks that leave, and zoned disks, where rows
 * come free with whole groups only.
 *
 * Extents move as in compaction. Nodes become dirty, so that the next checkpoint writes them elsewhere; a node of the extent map or
 * the space tree with all nodes above it. Logs are packed.
 *
 * ZONED DISKS. A checkpoint itself empties groups of nodes when some of the reserve is used, so that it cannot be overtaken by
 * those who write; groups of data are emptied by who finds no room.
 */
#include "store/care_internal.h"

#include "store/move.h"

#define NODES_LEAST 256u /* a checkpoint moves at least so many, where that is needed */
#define VICTIMS_MAX 8u

/* --- nodes --- */

/* Left its tree since the last checkpoint: the map still has it, and it must not come into the cache again. */
static bool is_dead(const struct sfs_store *s, uint64_t id)
{
    for (size_t i = 0; i < s->dead_count; i++)
        if (s->dead[i].id == id)
            return true;
    return false;
}

/* The node that stands at `place`, if it is still current, becomes dirty with all that must be written with it. */
static int dirty_ordinary(struct sfs_store *s, struct sfs_need *need, const struct sfs_node_header *h)
{
    for (;;) {
        struct sfs_extent e;
        int err = sfs_extents_get(s, need, h->id, &e);
        if (err == SCALEFS_E_NEED_NODE) {
            err = sfs_need_load(s, need);
            if (!err)
                continue;
        }
        if (err || e.place.group != h->group || e.place.offset != h->offset)
            return err == SCALEFS_E_NOENT ? SCALEFS_OK : err;
        if (is_dead(s, h->id))
            return SCALEFS_OK;
        struct sfs_node *n = sfs_cache_get(s, h->id);
        if (n) {
            sfs_cache_dirty(s, n);
            return SCALEFS_OK;
        }
        /* What the map says now, and the reading that begins now, go together. */
        need->id = h->id;
        need->tree = h->tree;
        need->place = e.place;
        need->checksum = e.sums[0];
        err = sfs_need_load(s, need);
        if (err)
            return err;
    }
}

static int dirty_node_at(struct sfs_store *s, const struct sfs_group_record *g, uint32_t row)
{
    struct sfs_row_image im;
    struct sfs_node_header h;
    bool live;
    int err = sfs_care_pin_live(s, g, row, &live);
    if (err || !live) /* one that was not written is dirty */
        return err;
    err = sfs_row_read(s->pool, g->group, row, 1, &im);
    int best = -1;
    if (!err)
        err = sfs_care_best_node(s, &im, &best);
    if (best >= 0 && sfs_node_check(im.units[best], &h) == SCALEFS_OK) {
        struct sfs_need need;
        sfs_need_init(&need);
        sfs_store_lock(s);
        if (g->class == SFS_CLASS_SYSTEM)
            err = sfs_care_dirty_path(s, &need, h.tree, im.units[best]);
        else
            err = dirty_ordinary(s, &need, &h);
        if (err == SCALEFS_E_NOENT) /* it has left its tree */
            err = SCALEFS_OK;
        s->applied++;
        sfs_need_done(s, &need);
        sfs_store_unlock(s);
    }
    if (im.memory)
        sfs_row_image_free(s->pool, &im);
    sfs_care_unpin(s, g, row);
    return err;
}

/* --- rows, whole groups --- */

int sfs_empty_rows(struct sfs_store *s, const struct sfs_group_record *g, const uint32_t *rows, size_t count, bool last)
{
    size_t moved;
    int err = SCALEFS_OK;
    if (g->class == SFS_CLASS_LANDING)
        return sfs_move_landing(s, g->group);
    if (g->class == SFS_CLASS_DATA)
        return sfs_move_rows(s, g->group, rows, count, last, &moved);
    for (size_t i = 0; i < count && !err; i++)
        err = dirty_node_at(s, g, rows[i]);
    return err;
}

int sfs_empty_some(struct sfs_store *s, const struct sfs_group_record *g, size_t most, uint64_t *bytes, bool *last)
{
    struct sfs_row_state *states;
    *bytes = 0;
    *last = true;
    if (g->class == SFS_CLASS_LANDING)
        return sfs_empty_rows(s, g, NULL, 0, true);
    uint32_t *rows = sfs_alloc(s->env, most * sizeof *rows);
    if (!rows)
        return SCALEFS_E_NOMEM;
    size_t count = 0;
    int err = sfs_care_states(s, g, &states);
    for (uint32_t row = 0; !err && row < g->rows && *last; row++) {
        if (!states[row].live)
            continue;
        if (count == most)
            *last = false;
        else
            rows[count++] = row;
    }
    if (!err) {
        sfs_free(s->env, states);
        err = sfs_empty_rows(s, g, rows, count, *last);
    }
    *bytes = (uint64_t)count * sfs_group_row_bytes(g);
    sfs_free(s->env, rows);
    return err;
}

void sfs_group_evacuate(struct sfs_store *s, struct sfs_group *g)
{
    if (g->record.state == SFS_GROUP_EVACUATING)
        return;
    g->record.state = SFS_GROUP_EVACUATING;
    sfs_table_mark_group(s->pool, g);
    sfs_space_close_group(s, g);
    sfs_group_close(s->pool, g);
    s->emptied = true;
    sfs_care_wake(s);
}

/* --- rows that cannot be mended in place --- */

int sfs_away_note(struct sfs_store *s, const struct sfs_group_record *g, uint32_t row)
{
    int err = SCALEFS_OK;
    sfs_store_lock(s);
    bool known = s->pool->read_only;
    for (size_t i = 0; i < s->away_count && !known; i++)
        known = s->away[i].generation == g->generation && s->away[i].row == row;
    if (!known)
        err = sfs_vec_reserve(s->env, &s->away, &s->away_cap, s->away_count + 1, sizeof *s->away);
    if (!known && !err) {
        s->away[s->away_count++] = (struct sfs_away){g->group, row, g->generation};
        sfs_care_wake(s);
    }
    sfs_store_unlock(s);
    return err;
}

bool sfs_away_next(struct sfs_store *s, struct sfs_group_record *g)
{
    sfs_store_lock(s);
    bool found = false;
    while (s->away_count && !found) {
        const struct sfs_group *there = sfs_group_of(s->pool, s->away[0].group);
        found = there && there->record.generation == s->away[0].generation;
        if (found)
            *g = there->record;
        else
            s->away[0] = s->away[--s->away_count];
    }
    sfs_store_unlock(s);
    return found;
}

/* Up to SFS_EMPTY_ROWS of the rows noted; with `forget` they are taken off the list. locked */
static size_t noted(struct sfs_store *s, const struct sfs_group_record *g, uint32_t *rows, bool forget)
{
    size_t count = 0;
    for (size_t i = 0; i < s->away_count && count < SFS_EMPTY_ROWS;) {
        bool here = s->away[i].generation == g->generation;
        if (here)
            rows[count++] = s->away[i].row;
        if (here && forget)
            s->away[i] = s->away[--s->away_count];
        else
            i++;
    }
    return count;
}

int sfs_away_move(struct sfs_store *s, const struct sfs_group_record *g)
{
    for (;;) {
        uint32_t rows[SFS_EMPTY_ROWS];
        sfs_store_lock(s);
        size_t count = noted(s, g, rows, false);
        struct sfs_group *there = sfs_group_of(s->pool, g->group);
        bool same = there && there->record.generation == g->generation;
        if (count && same && g->class == SFS_CLASS_LANDING) { /* what it holds is packed as a whole */
            sfs_space_close_group(s, there);
            sfs_group_close(s->pool, there);
        }
        sfs_store_unlock(s);
        int err = count && same ? sfs_empty_rows(s, g, rows, count, true) : SCALEFS_OK;
        if (err == SCALEFS_E_CHANGED && g->class == SFS_CLASS_LANDING)
            return SCALEFS_E_BUSY;
        if (err && err != SCALEFS_E_NOENT && err != SCALEFS_E_CHANGED)
            return err;
        if (!count)
            return SCALEFS_OK;
        sfs_store_lock(s);
        noted(s, g, rows, true);
        sfs_store_unlock(s);
    }
}

/* --- zoned disks --- */

static bool is_node_class(uint8_t class)
{
    return class == SFS_CLASS_SYSTEM || class == SFS_CLASS_METADATA;
}

/* The group with the smallest part alive, of those that are full or closed; NULL: none is worth it. locked */
static struct sfs_group *victim(struct sfs_store *s, bool nodes, const uint64_t *but, size_t but_count)
{
    struct sfs_group *best = NULL;
    uint64_t best_live = 0, best_size = 1;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (!g || !g->record.sequential || is_node_class(g->record.class) != nodes || g->record.class == SFS_CLASS_LANDING ||
            g->count.live == 0 || g->allocating || g->in_flight > g->pins || sfs_group_room(g) || g->store == s)
            continue;
        uint64_t size = g->record.rows * sfs_group_row_bytes(&g->record), live = g->count.live;
        bool left_out = live * 16 > size * 14;
        for (size_t b = 0; b < but_count; b++)
            left_out = left_out || but[b] == g->record.generation;
        if (left_out || (best && live * best_size >= best_live * size))
            continue;
        best = g;
        best_live = live;
        best_size = size;
    }
    return best;
}

static size_t node_room(struct sfs_store *s, enum sfs_class class)
{
    size_t rows = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        const struct sfs_group *g = s->pool->groups[i];
        if (g && g->record.class == class && g->record.sequential && g->rows && sfs_space_node_usable(s, g))
            rows += sfs_group_room(g);
    }
    return rows;
}

static size_t groups_for(size_t nodes, size_t room, size_t rows)
{
    return nodes > room ? (nodes - room + rows - 1) / rows : 0;
}

/* Does a checkpoint find room when so many nodes of this group are to be written anew? */
static bool fits(struct sfs_store *s, const struct sfs_group *g, size_t nodes)
{
    bool system = g->record.class == SFS_CLASS_SYSTEM;
    size_t ordinary, more;
    sfs_checkpoint_needs(s, system ? 0 : nodes, system ? nodes : 0, &ordinary, &more);
    return groups_for(ordinary, node_room(s, SFS_CLASS_METADATA), g->record.rows) +
               groups_for(more, node_room(s, SFS_CLASS_SYSTEM), g->record.rows) <=
           sfs_groups_for_nodes(s->pool, false, 0);
}

/* What was tried before and became no less cannot be read: not again before a disk that was away is back. */
static bool is_stuck(struct sfs_store *s, struct sfs_group *g)
{
    if (s->emptying.generation == g->record.generation && s->emptying.live <= g->count.live &&
        s->emptying.committed < s->pool->committed) {
        g->store = s;
        return true;
    }
    s->emptying.generation = g->record.generation;
    s->emptying.live = g->count.live;
    s->emptying.committed = s->pool->committed;
    return false;
}

void sfs_empty_for_nodes(struct sfs_store *s)
{
    uint64_t begun[VICTIMS_MAX];
    size_t count = 0, most = s->cache_nodes / 2 > NODES_LEAST ? s->cache_nodes / 2 : NODES_LEAST;
    bool last = true;
    if (!sfs_pool_zone_bytes(s->pool))
        return;
    while (count < VICTIMS_MAX && last && sfs_reserve_short(s->pool, begun, count)) {
        struct sfs_group *g = victim(s, true, begun, count);
        if (!g)
            break;
        if (is_stuck(s, g))
            continue;
        size_t live = (size_t)(g->count.live / SFS_NODE_BYTES), nodes = live < most ? live : most;
        while (nodes && !fits(s, g, nodes))
            nodes /= 2;
        if (!nodes)
            break;
        struct sfs_group_record r = g->record;
        uint64_t bytes;
        begun[count++] = r.generation;
        sfs_store_unlock(s);
        int err = sfs_empty_some(s, &r, nodes, &bytes, &last);
        sfs_store_lock(s);
        if (err)
            break;
    }
}

/* All that lives in the group of data moves. locked; gives up the lock. */
static int empty_whole(struct sfs_store *s, struct sfs_group *g)
{
    struct sfs_group_record r = g->record;
    int err = SCALEFS_OK;
    bool last = false;
    while (!err && !last) {
        uint64_t bytes, live = g->count.live;
        sfs_store_unlock(s);
        err = sfs_empty_some(s, &r, SFS_EMPTY_ROWS, &bytes, &last);
        sfs_store_lock(s);
        g = sfs_group_of(s->pool, r.group);
        if (!g || g->record.generation != r.generation)
            break; /* empty, and gone already */
        if (!err && g->count.live && (last || g->count.live >= live)) {
            g->store = s; /* what is left cannot be read */
            break;
        }
    }
    return err == SCALEFS_E_NOENT || err == SCALEFS_E_CHANGED ? SCALEFS_OK : err;
}

int sfs_empty_for_data(struct sfs_store *s)
{
    sfs_store_lock(s);
    struct sfs_group *g = victim(s, false, NULL, 0);
    int err = g ? empty_whole(s, g) : SCALEFS_E_NOSPC;
    sfs_store_unlock(s);
    return err;
}

/* --- data makes room for nodes ---
 *
 * Rows that come free stay with their class, and once data has taken all areas nodes would have no more room than they had then. So
 * the group of data with the least alive is emptied into the rows of the others, and the next checkpoint makes groups of nodes of its
 * columns before data can have them. */

static bool keeps_data(const struct sfs_store *s, const struct sfs_group *g)
{
    return g && g->record.class == SFS_CLASS_DATA && !g->record.sequential && g->record.state == SFS_GROUP_OPEN && !g->moving &&
           !g->closed && sfs_group_whole(s->pool, g);
}

static uint64_t free_bytes(const struct sfs_group *g)
{
    uint32_t room = sfs_group_room(g), taken = g->in_flight - g->pins;
    return room > taken ? (room - taken) * (sfs_group_row_bytes(&g->record) - SFS_BLOCK) : 0;
}

/* The group of data with the least alive; NULL: the others have no room for that beside what was promised. locked */
static struct sfs_group *spared(const struct sfs_store *s)
{
    struct sfs_group *best = NULL;
    uint64_t room = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (!keeps_data(s, g))
            continue;
        room += free_bytes(g);
        if (g->in_flight == g->pins && g->store != s && (!best || g->count.live < best->count.live))
            best = g;
    }
    if (!best)
        return NULL;
    uint64_t need = best->count.live + s->reserved;
    return room - free_bytes(best) < need + need / 8 + sfs_group_row_bytes(&best->record) ? NULL : best;
}

/* Areas that are kept for nodes become groups of them. NOSPC: none was. */
static int claim(struct sfs_store *s)
{
    sfs_store_lock(s);
    uint64_t before = s->node_room;
    s->nodes_wanted = true;
    sfs_store_unlock(s);
    int err = sfs_store_commit(s);
    sfs_store_lock(s);
    if (!err && s->node_room <= before)
        err = SCALEFS_E_NOSPC;
    sfs_store_unlock(s);
    return err;
}

int sfs_empty_for_more_nodes(struct sfs_store *s)
{
    int err = claim(s);
    if (err != SCALEFS_E_NOSPC)
        return err;
    sfs_store_lock(s);
    struct sfs_group *g = spared(s);
    err = g ? SCALEFS_OK : SCALEFS_E_NOSPC;
    if (g) {
        sfs_group_evacuate(s, g);
        err = empty_whole(s, g);
    }
    sfs_store_unlock(s);
    if (!err)
        err = sfs_ripen(s);
    return err ? err : claim(s);
}
