/* Which live extents lie where nothing could be read or rebuilt.
 *
 * The rows' own lists are lost with them, so the whole extent map is looked through; that is slow, and rare. Each extent found is
 * tried once more on its own: a row that cannot be put right as a whole may still hold whole extents.
 */
#include "store/care_internal.h"

#include "store/move.h"

#include <stdlib.h>

#define RANGES_MAX (1u << 20)

void sfs_care_note_lost(struct sfs_care *care, uint32_t group, uint64_t offset, uint64_t length)
{
    struct sfs_store *s = care->s;
    int err = SCALEFS_OK;
    sfs_store_lock(s);
    struct sfs_care_range *last = care->lost_count ? &care->lost[care->lost_count - 1] : NULL;
    if (last && last->group == group && last->offset + last->length == offset)
        last->length += length;
    else if (care->lost_count >= RANGES_MAX)
        err = SCALEFS_E_NOSPC;
    else if (!(err = sfs_vec_reserve(s->env, &care->lost, &care->lost_cap, care->lost_count + 1, sizeof *care->lost)))
        care->lost[care->lost_count++] = (struct sfs_care_range){group, offset, length};
    care->lost_unsure = care->lost_unsure ? care->lost_unsure : err;
    sfs_store_unlock(s);
}

static bool in_ranges(const void *context, const struct sfs_extent *e)
{
    const struct sfs_care *care = context;
    for (size_t i = 0; i < care->lost_count; i++) {
        const struct sfs_care_range *r = &care->lost[i];
        if (r->group == e->place.group && e->place.offset < r->offset + r->length && r->offset < e->place.offset + e->stored)
            return true;
    }
    return false;
}

/* --- nodes --- */

static struct sfs_node *cached_at(struct sfs_store *s, struct sfs_place place)
{
    size_t cursor = 0;
    uint64_t id;
    void *value;
    while (sfs_map_next(&s->nodes, &cursor, &id, &value)) {
        struct sfs_node *n = value;
        if (n->place.group == place.group && n->place.offset == place.offset)
            return n;
    }
    return NULL;
}

/* A node of the map or the space tree is written when its whole path is dirty. */
int sfs_care_dirty_path(struct sfs_store *s, struct sfs_need *need, uint32_t tree, const uint8_t *page)
{
    unsigned count = sfs_page_count(page);
    if (count == 0)
        return SCALEFS_E_NOENT;
    uint32_t len;
    /* The first key of an inner node counts as minus infinity: it may lead elsewhere. */
    struct sfs_key from = sfs_page_key(page, sfs_page_level(page) > 0 && count > 1 ? 1 : 0), found;
    const uint8_t *v;
    int err;
    while ((err = sfs_btree_ceil(s, need, tree, from, &found, &v, &len)) == SCALEFS_E_NEED_NODE)
        if ((err = sfs_need_load(s, need)) != SCALEFS_OK)
            break;
    return err ? err : sfs_btree_edit(s, tree, found, &len) ? SCALEFS_OK : SCALEFS_E_NOENT;
}

static int rescue(struct sfs_store *s, struct sfs_place place, bool *saved)
{
    struct sfs_need need;
    int err = SCALEFS_OK;
    *saved = false;
    sfs_need_init(&need);
    sfs_store_lock(s);
    struct sfs_node *n = s->pool->read_only ? NULL : cached_at(s, place);
    if (n && (n->tree == SFS_TREE_EXTENT_MAP || n->tree == SFS_TREE_SPACE)) {
        uint64_t id = n->id;
        sfs_cache_pin(n);
        err = sfs_care_dirty_path(s, &need, n->tree, n->page);
        *saved = n->id == id && n->dirty;
        sfs_cache_unpin(s, n);
    } else if (n) {
        sfs_cache_dirty(s, n);
        *saved = true;
    }
    if (*saved)
        s->applied++;
    sfs_need_done(s, &need);
    sfs_store_unlock(s);
    return !*saved && sfs_care_passes(err) ? err : SCALEFS_OK;
}

int sfs_care_node_gone(struct sfs_care *care, struct sfs_place place, uint8_t class, bool *saved)
{
    struct sfs_store *s = care->s;
    int err = rescue(s, place, saved);
    if (err)
        return err;
    if (*saved) {
        sfs_note_repair(s, 1, 0);
        return SCALEFS_OK;
    }
    if (class != SFS_CLASS_SYSTEM) {
        sfs_care_note_lost(care, place.group, place.offset, SFS_NODE_BYTES);
        return SCALEFS_OK;
    }
    /* The map lists the nodes of other trees, not its own. Since the row was read, a checkpoint may have taken its node elsewhere. */
    struct sfs_group_record g;
    uint32_t row = (uint32_t)(place.offset / SFS_NODE_BYTES);
    bool live = false;
    err = sfs_group_copy(s->pool, place.group, &g) ? sfs_care_pin_live(s, &g, row, &live) : SCALEFS_OK;
    if (err || !live)
        return err;
    sfs_care_unpin(s, &g, row);
    sfs_store_lock(s);
    care->lost_nodes++;
    sfs_store_unlock(s);
    sfs_log(s->env, SFS_LOG_ERROR, "care", SCALEFS_E_CORRUPT,
            "a node of the extent map or the space tree is lost (group %u, offset %llu)", place.group,
            (unsigned long long)place.offset);
    return SCALEFS_OK;
}

/* OK; CORRUPT: it is lost; else it cannot be told. */
static int judge_node(struct sfs_store *s, const struct sfs_extent *e)
{
    struct sfs_group_record g;
    struct sfs_row_image im;
    uint32_t row = (uint32_t)(e->place.offset / SFS_NODE_BYTES);
    bool live = false;
    int best = -1, err = sfs_group_copy(s->pool, e->place.group, &g) ? sfs_care_pin_live(s, &g, row, &live) : SCALEFS_OK;
    if (err || !live)
        return err; /* not live: it is elsewhere by now */
    err = sfs_row_read(s->pool, g.group, row, 1, &im);
    if (!err)
        err = sfs_care_best_node(s, &im, &best);
    if (!err && best < 0)
        err = im.waits ? SCALEFS_E_SUSPENDED : SCALEFS_E_CORRUPT;
    if (im.memory)
        sfs_row_image_free(s->pool, &im);
    sfs_care_unpin(s, &g, row);
    return err;
}

/* OK; CORRUPT: it is lost; else it cannot be told. */
static int judge(struct sfs_care *care, uint64_t id, struct sfs_extent *e)
{
    struct sfs_store *s = care->s;
    int err;
    if (e->kind == 1) {
        err = judge_node(s, e);
    } else {
        uint32_t room = e->stored;
        uint8_t *buf = sfs_buffer_get(s, room);
        err = buf ? sfs_read_stored(s, id, e, buf) : SCALEFS_E_NOMEM;
        sfs_buffer_put(s, buf, room);
        err = err == SCALEFS_E_IO ? SCALEFS_E_CORRUPT : err == SCALEFS_E_NOENT ? SCALEFS_OK : err;
    }
    if (err && err != SCALEFS_E_CORRUPT && !sfs_care_passes(care->lost_unsure))
        care->lost_unsure = err;
    return err;
}

static void note_unsafe(struct sfs_care *care, uint64_t id)
{
    struct sfs_store *s = care->s;
    sfs_store_lock(s);
    if (care->unsafe_count < RANGES_MAX &&
        !sfs_vec_reserve(s->env, &care->unsafe, &care->unsafe_cap, care->unsafe_count + 1, sizeof *care->unsafe))
        care->unsafe[care->unsafe_count++] = id; /* else the next scrub finds it */
    sfs_store_unlock(s);
}

bool sfs_care_unsafe_step(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    size_t done;
    if (!care->unsafe_count) /* nobody else changes it */
        return false;
    int err = sfs_move_extents(s, care->unsafe, care->unsafe_count, &done);
    if (!err)
        err = sfs_checkpoint(s, false, false, true);
    sfs_store_lock(s);
    if (!err)
        memmove(care->unsafe, care->unsafe + done, (care->unsafe_count -= done) * sizeof *care->unsafe);
    care->retry = care->retry || err;
    sfs_store_unlock(s);
    return !err;
}

/* --- which they are --- */

/* What is kept of one: whether a file may use it, and which scrub saw it last. */
static void *known_as(const struct sfs_care *care, bool of_file)
{
    return (void *)((care->lost_since.scrubs << 2) + (of_file ? 3 : 1));
}

static bool is_since(const struct sfs_care *care, const void *value)
{
    return (uintptr_t)value >> 2 >= care->lost_since.scrubs;
}

static bool is_of_file(const void *value)
{
    return (uintptr_t)value & 2;
}

void sfs_care_lost_extent(struct sfs_care *care, uint64_t id, const struct sfs_extent *e)
{
    struct sfs_store *s = care->s;
    sfs_store_lock(s);
    bool known = sfs_map_get(&care->lost_ids, id) != NULL;
    bool room = known || care->lost_ids.count < SFS_LOST_NAMED;
    if (!room || sfs_map_put(&care->lost_ids, id, known_as(care, e->kind == 0))) /* it is counted, and not named */
        care->lost_since.unnamed++;
    care->lost_unnamed = care->lost_unnamed || !known;
    sfs_store_unlock(s);
    if (known)
        return;
    sfs_note_repair(s, 0, 1);
    sfs_log(s->env, SFS_LOG_ERROR, "care", SCALEFS_E_CORRUPT, "extent %llu (%u bytes, group %u, offset %llu) is lost",
            (unsigned long long)id, e->stored, e->place.group, (unsigned long long)e->place.offset);
}

void sfs_care_lost_begin(struct sfs_care *care)
{
    care->lost_since = (struct sfs_lost_since){.scrubs = care->lost_since.scrubs + 1, .here = true};
}

uint64_t sfs_care_lost_now(const struct sfs_care *care, uint64_t counted)
{
    uint64_t lost = care->lost_since.unnamed, id;
    size_t cursor = 0;
    void *value;
    while (sfs_map_next(&care->lost_ids, &cursor, &id, &value))
        lost += is_since(care, value);
    return care->lost_since.here ? lost : counted;
}

void sfs_care_lost_end(struct sfs_care *care)
{
    struct sfs_map kept;
    size_t cursor = 0;
    uint64_t id;
    void *value;
    sfs_map_init(&kept, care->s->env);
    if (sfs_map_reserve(&kept, care->lost_ids.count)) { /* rather named too long than not at all */
        sfs_map_deinit(&kept);
        return;
    }
    while (sfs_map_next(&care->lost_ids, &cursor, &id, &value))
        if (is_since(care, value))
            (void)sfs_map_put(&kept, id, value);
    care->lost_unnamed = care->lost_unnamed || kept.count != care->lost_ids.count;
    sfs_map_deinit(&care->lost_ids);
    care->lost_ids = kept;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Of files; free it. locked */
static uint64_t *known_ids(struct sfs_care *care, size_t *count)
{
    uint64_t *ids = sfs_alloc(care->s->env, (care->lost_ids.count + 1) * sizeof *ids), id;
    size_t cursor = 0;
    void *value;
    *count = 0;
    while (ids && sfs_map_next(&care->lost_ids, &cursor, &id, &value))
        if (is_of_file(value))
            ids[(*count)++] = id;
    return ids;
}

bool sfs_care_name_step(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    size_t count = 0;
    sfs_store_lock(s);
    uint64_t *ids = care->lost_unnamed && s->name_lost ? known_ids(care, &count) : NULL;
    if (!ids) {
        sfs_store_unlock(s);
        return false;
    }
    care->lost_unnamed = false;
    s->naming = true;
    void (*name)(void *, const uint64_t *, size_t) = s->name_lost;
    void *context = s->name_lost_context;
    sfs_store_unlock(s);
    qsort(ids, count, sizeof *ids, by_number);
    name(context, ids, count);
    sfs_free(s->env, ids);
    sfs_store_lock(s);
    s->naming = false;
    sfs_cond_broadcast(&s->wake);
    sfs_store_unlock(s);
    return true;
}

void sfs_care_name_lost(struct sfs_store *s)
{
    (void)sfs_care_name_step(s->care);
}

void sfs_store_set_namer(struct sfs_store *s, void (*name)(void *context, const uint64_t *ids, size_t count), void *context)
{
    sfs_store_lock(s);
    while (s->naming) /* whose namer it was may go away after this */
        sfs_cond_wait(&s->wake, s->lock);
    s->name_lost = name;
    s->name_lost_context = context;
    sfs_store_unlock(s);
}

/* What lives in a log whose batch is not whole can perhaps be read, but not found by whoever packs the log: it would stay there, as
 * weak as it is. */
static bool has_no_batch(struct sfs_store *s, const struct sfs_extent *e)
{
    struct sfs_group_record g;
    return sfs_group_copy(s->pool, e->place.group, &g) && g.class == SFS_CLASS_LANDING;
}

/* `quiet`: neither counted nor named, since what is looked at may not come to stay. */
static int look_for_lost(struct sfs_care *care, bool quiet, uint64_t *lost)
{
    struct sfs_store *s = care->s;
    uint64_t from = 0, id = 0;
    *lost = care->lost_nodes;
    care->lost_nodes = 0;
    if (*lost && !quiet) {
        care->lost_since.unnamed += *lost;
        sfs_note_repair(s, 0, *lost);
    }
    while (care->lost_count) {
        struct sfs_extent e;
        int err = sfs_extents_next(s, &from, in_ranges, care, &id, &e);
        if (err == SCALEFS_E_CHANGED && !sfs_care_stops(care))
            continue;
        if (err) {
            if (err != SCALEFS_E_NOENT && !sfs_care_passes(care->lost_unsure))
                care->lost_unsure = err;
            break;
        }
        err = quiet && has_no_batch(s, &e) ? SCALEFS_E_CORRUPT : judge(care, id, &e);
        if (!err && !quiet && e.kind == 0)
            note_unsafe(care, id);
        if (err != SCALEFS_E_CORRUPT)
            continue;
        ++*lost;
        if (!quiet)
            sfs_care_lost_extent(care, id, &e);
    }
    int unsure = care->lost_unsure;
    care->lost_unsure = SCALEFS_OK;
    if (quiet || unsure != SCALEFS_E_NOMEM) /* else they are looked through once more */
        care->lost_count = 0;
    return unsure;
}

int sfs_care_count_lost(struct sfs_care *care, uint64_t *lost)
{
    return look_for_lost(care, false, lost);
}

int sfs_care_any_lost(struct sfs_care *care, bool *lost)
{
    uint64_t count;
    int err = look_for_lost(care, true, &count);
    *lost = count > 0;
    return err;
}
