/* Groups with fewer parity columns than is wanted, or with two columns on one disk: what lives in them is written anew
 * into better ones, and they are freed.
 *
 * Such groups are made while disks are absent; with one disk left, both copies of metadata are on it. They take nothing
 * new from then on (EVACUATING), so the work ends. Data moves as in compaction; logs are packed; nodes become dirty, so
 * that the next checkpoint writes them elsewhere.
 */
#include "store/care_internal.h"

#include "store/move.h"

#define ROWS_AT_ONCE 64u
#define NODES_AT_ONCE 128u

/* --- what is wanted --- */

/* Parity columns that a new group of this class would get. */
static unsigned wanted(const struct sfs_pool *pool, uint8_t class)
{
    unsigned usable = 0;
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct sfs_member *m = &pool->members[i];
        usable += sfs_member_usable(m);
    }
    if (usable < 2)
        return 0;
    unsigned m = pool->config.failover < usable - 1 ? pool->config.failover : usable - 1;
    return m == 0 && (class == SFS_CLASS_SYSTEM || class == SFS_CLASS_METADATA) ? 1 : m;
}

static bool is_stuck(const struct sfs_care *care, const struct sfs_group *g)
{
    for (size_t i = 0; i < care->stuck_count; i++)
        if (care->stuck[i] == g->record.generation)
            return true;
    return false;
}

/* Without failover both copies may be on one disk again, because the others are full: that would have no end. */
static bool is_doubled(const struct sfs_pool *pool, const struct sfs_group_record *g)
{
    for (unsigned c = 1; c < (unsigned)g->k + g->m; c++)
        for (unsigned b = 0; b < c; b++)
            if (g->columns[b].disk == g->columns[c].disk)
                return pool->config.failover > 0;
    return false;
}

bool sfs_care_converts(const struct sfs_care *care, const struct sfs_group *g)
{
    unsigned m = wanted(care->s->pool, g->record.class);
    return (g->record.m < m || (m && is_doubled(care->s->pool, &g->record)) ||
            (g->record.state == SFS_GROUP_EVACUATING && g->count.live > 0)) &&
           !is_stuck(care, g);
}

/* What could not be read stays where it is: not again in this opening. locked */
static void give_up(struct sfs_care *care, uint64_t generation)
{
    if (!sfs_vec_reserve(care->s->env, &care->stuck, &care->stuck_cap, care->stuck_count + 1, sizeof *care->stuck))
        care->stuck[care->stuck_count++] = generation;
}

/* The next one; it takes nothing any more. locked */
static struct sfs_group *choose(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    struct sfs_group *found = NULL;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (!g || g->moving || !sfs_care_converts(care, g))
            continue;
        if (g->record.state == SFS_GROUP_OPEN) {
            g->record.state = SFS_GROUP_EVACUATING;
            sfs_table_mark_group(s->pool, g);
            sfs_space_close_group(s, g);
            s->emptied = true;
        }
        if (g->in_flight > g->pins) /* rows are still being written */
            care->retry_soon = true;
        else if (g->count.live > 0 && !found)
            found = g;
    }
    return found;
}

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

static int dirty_node_at(struct sfs_care *care, const struct sfs_group_record *g, uint32_t row)
{
    struct sfs_store *s = care->s;
    struct sfs_row_image im;
    int err = sfs_row_read(s->pool, g->group, row, 1, &im);
    int best = err ? -1 : sfs_care_best_node(s, &im);
    struct sfs_node_header h;
    if (best >= 0 && sfs_node_check(im.units[best], &h) == SCALEFS_OK) {
        struct sfs_need need;
        sfs_need_init(&need);
        sfs_store_lock(s);
        if (g->class == SFS_CLASS_SYSTEM)
            sfs_care_dirty_path(s, &need, h.tree, im.units[best]);
        else
            err = dirty_ordinary(s, &need, &h);
        s->applied++;
        sfs_need_done(s, &need);
        sfs_store_unlock(s);
    }
    if (im.memory)
        sfs_row_image_free(s->pool, &im);
    return err;
}

/* --- steps --- */

static int live_rows(struct sfs_care *care, const struct sfs_group_record *g, uint32_t *rows, size_t cap, size_t *count, bool *last)
{
    struct sfs_row_state *states;
    int err = sfs_care_states(care->s, g, &states);
    *count = 0;
    *last = true;
    if (err)
        return err;
    for (uint32_t row = 0; row < g->rows && *last; row++) {
        if (!states[row].live)
            continue;
        if (*count == cap)
            *last = false;
        else
            rows[(*count)++] = row;
    }
    sfs_free(care->s->env, states);
    return SCALEFS_OK;
}

static int evacuate(struct sfs_care *care, const struct sfs_group_record *g)
{
    struct sfs_store *s = care->s;
    uint32_t rows[NODES_AT_ONCE];
    size_t count, moved = 0;
    bool last;
    if (g->class == SFS_CLASS_LANDING)
        return sfs_move_landing(s, g->group);
    int err = live_rows(care, g, rows, g->class == SFS_CLASS_DATA ? ROWS_AT_ONCE : NODES_AT_ONCE, &count, &last);
    if (!err && g->class == SFS_CLASS_DATA)
        err = sfs_move_rows(s, g->group, rows, count, last, &moved);
    for (size_t i = 0; i < count && !err && g->class != SFS_CLASS_DATA; i++)
        err = dirty_node_at(care, g, rows[i]);
    sfs_care_moved(care, (uint64_t)count * sfs_group_row_bytes(g));
    if (!err && (g->class != SFS_CLASS_DATA || last))
        err = sfs_checkpoint(s, false, false, true);
    return err;
}

bool sfs_care_convert_step(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    sfs_store_lock(s);
    struct sfs_group *g = sfs_care_blocked(care, 0) ? NULL : choose(care);
    if (!g) {
        sfs_store_unlock(s);
        return false;
    }
    struct sfs_group_record r = g->record;
    uint64_t live = g->count.live;
    sfs_store_unlock(s);
    int err = evacuate(care, &r);
    sfs_store_lock(s);
    g = sfs_group_of(s->pool, r.group);
    bool same = g && g->record.generation == r.generation;
    if (!err && same && g->record.state == SFS_GROUP_OPEN)
        err = SCALEFS_E_NOSPC; /* nodes had to go into it again: see space.c */
    else if (!err && same && g->count.live >= live)
        give_up(care, r.generation);
    if (err && err != SCALEFS_E_CHANGED && err != SCALEFS_E_NOENT)
        sfs_care_block(care, 0, err == SCALEFS_E_NOSPC ? "There is no room to write it anew." : scalefs_error_text(err));
    sfs_store_unlock(s);
    return true;
}
