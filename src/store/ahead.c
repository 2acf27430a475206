/* What lies next to what was read: small files that were written together lie together, and are mostly read together.
 *
 * A small read near one that came shortly before brings its whole row (of wide rows a part), which is kept for those
 * that follow. What is kept is bytes of the disks, nothing more: whoever takes of them verifies them against the
 * identity of the extent, so nothing here has to be told when rows are freed, filled anew or moved. Bytes that do not
 * verify are read again.
 */
#include <string.h>

#include "store/internal.h"

/* A place that comes from bytes on a disk may be anything: no sums that could wrap. */
static bool within(struct sfs_place place, uint32_t len, uint64_t from, uint64_t size)
{
    return place.offset >= from && len <= size && place.offset - from <= size - len;
}

static bool holds(const struct sfs_ahead_window *w, struct sfs_place place, uint32_t len)
{
    return w->len && w->group == place.group && within(place, len, w->from, w->len);
}

static struct sfs_ahead_window *find(struct sfs_ahead *a, struct sfs_place place, uint32_t len)
{
    for (unsigned i = 0; i < SFS_AHEAD_WINDOWS; i++)
        if (holds(&a->windows[i], place, len))
            return &a->windows[i];
    return NULL;
}

/* Notes that this was read; true: so was something near it, of late. */
static bool note(struct sfs_ahead *a, struct sfs_place place, uint32_t len)
{
    uint64_t end = place.offset + len;
    for (unsigned i = 0; i < SFS_AHEAD_WINDOWS; i++) {
        struct sfs_place *last = &a->last[i];
        uint64_t low = end < last->offset ? end : last->offset, high = end < last->offset ? last->offset : end;
        if (last->offset && last->group == place.group && high - low <= SFS_AHEAD_NEAR) {
            last->offset = end;
            return true;
        }
    }
    a->last[a->next_last++ % SFS_AHEAD_WINDOWS] = (struct sfs_place){place.group, end};
    return false;
}

/* The part of its row that the place lies in; false where that does not hold all of it. */
static bool surround(struct sfs_store *s, struct sfs_place place, uint32_t len, struct sfs_get *get)
{
    struct sfs_group_record g;
    if (!sfs_group_copy(s->pool, place.group, &g) || g.class != SFS_CLASS_DATA)
        return false;
    uint64_t row_bytes = sfs_group_row_bytes(&g);
    if (!within(place, len, 0, row_bytes * g.rows))
        return false;
    uint64_t row = place.offset / row_bytes * row_bytes;
    uint64_t from = row + (place.offset - row) / SFS_AHEAD_BYTES * SFS_AHEAD_BYTES;
    uint64_t end = from + SFS_AHEAD_BYTES < row + row_bytes ? from + SFS_AHEAD_BYTES : row + row_bytes;
    *get = (struct sfs_get){.place = {place.group, from}, .len = (uint32_t)(end - from), .copy = 0xff};
    return within(place, len, from, end - from);
}

/* The window that was used longest ago, emptied and without its memory, which is the caller's. locked */
static void *take_memory(struct sfs_store *s)
{
    struct sfs_ahead *a = &s->ahead;
    struct sfs_ahead_window *oldest = NULL;
    for (unsigned i = 0; i < SFS_AHEAD_WINDOWS; i++)
        if (!a->windows[i].reading && (!oldest || a->windows[i].used < oldest->used))
            oldest = &a->windows[i];
    if (!oldest)
        return NULL;
    if (!oldest->buf)
        oldest->buf = sfs_alloc_io(s->env, SFS_AHEAD_BYTES);
    oldest->len = 0;
    oldest->reading = oldest->buf != NULL;
    return oldest->buf;
}

static struct sfs_ahead_window *window_of(struct sfs_ahead *a, const void *buf)
{
    unsigned i = 0;
    while (a->windows[i].buf != buf)
        i++;
    return &a->windows[i];
}

bool sfs_ahead_get(struct sfs_store *s, struct sfs_place place, uint32_t len, uint8_t *out)
{
    struct sfs_ahead *a = &s->ahead;
    struct sfs_get get;
    sfs_mutex_lock(&a->lock);
    bool near = note(a, place, len);
    struct sfs_ahead_window *w = find(a, place, len);
    if (w) {
        memcpy(out, w->buf + (place.offset - w->from), len);
        w->used = ++a->clock;
    }
    sfs_mutex_unlock(&a->lock);
    if (w || !near || !surround(s, place, len, &get))
        return w != NULL;
    sfs_mutex_lock(&a->lock);
    get.buf = take_memory(s);
    sfs_mutex_unlock(&a->lock);
    if (!get.buf)
        return false;
    sfs_get_many(s->pool, &get, 1);
    if (!get.result)
        memcpy(out, (uint8_t *)get.buf + (place.offset - get.place.offset), len);
    sfs_mutex_lock(&a->lock);
    w = window_of(a, get.buf);
    w->reading = false;
    w->group = get.place.group;
    w->from = get.place.offset;
    w->len = get.result ? 0 : get.len;
    w->used = ++a->clock;
    sfs_mutex_unlock(&a->lock);
    return !get.result;
}

void sfs_ahead_drop(struct sfs_store *s, struct sfs_place place, uint32_t len)
{
    sfs_mutex_lock(&s->ahead.lock);
    for (struct sfs_ahead_window *w; (w = find(&s->ahead, place, len)) != NULL;)
        w->len = 0;
    sfs_mutex_unlock(&s->ahead.lock);
}

void sfs_ahead_init(struct sfs_store *s)
{
    sfs_mutex_init(&s->ahead.lock, s->env);
}

void sfs_ahead_deinit(struct sfs_store *s)
{
    for (unsigned i = 0; i < SFS_AHEAD_WINDOWS; i++)
        sfs_free(s->env, s->ahead.windows[i].buf);
    sfs_mutex_deinit(&s->ahead.lock);
}
