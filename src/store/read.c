/* Reading: look up, read, verify; on a mismatch look up again (it may have moved), then rebuild from the other
 * columns, give the right data out, and put the right bytes back where wrong ones were.
 *
 * Nothing is given out that did not verify against its identity, so a stale, misdirected or half-written unit, or a row that
 * was reused meanwhile, can cost a retry but never wrong data.
 */
#include "store/internal.h"


void sfs_note_repair(struct sfs_store *s, uint64_t repaired, uint64_t lost)
{
    sfs_store_lock(s);
    s->pool->config.extents_repaired += repaired;
    s->pool->config.extents_lost += lost;
    s->pool->config_dirty = true;
    sfs_store_unlock(s);
}

static bool same_place(const struct sfs_extent *a, const struct sfs_extent *b)
{
    return a->place.group == b->place.group && a->place.offset == b->place.offset && a->birth == b->birth;
}

/* Verifies pieces [first, first + n) of an uncompressed extent, or a compressed one whole. */
static bool verify_range(uint64_t id, const struct sfs_extent *e, uint32_t from, const uint8_t *bytes, uint32_t len)
{
    if (e->compression)
        return e->sum_count == 1 && sfs_extent_sum(bytes, len, id, e->birth, 0) == e->sums[0];
    uint32_t number = from / SFS_SUM_BYTES;
    for (uint32_t at = 0; at < len; at += SFS_SUM_BYTES, number++) {
        uint32_t n = len - at < SFS_SUM_BYTES ? len - at : SFS_SUM_BYTES;
        if (number >= e->sum_count || sfs_extent_sum(bytes + at, n, id, e->birth, number) != e->sums[number])
            return false;
    }
    return true;
}

bool sfs_extent_verify(uint64_t id, const struct sfs_extent *e, const uint8_t *stored)
{
    return verify_range(id, e, 0, stored, e->stored);
}

/* --- rebuilding --- */

/* The stored bytes of the extent out of k contiguous data units. */
static const uint8_t *in_row(const struct sfs_group_record *g, const struct sfs_extent *e, const uint8_t *units)
{
    return units + e->place.offset % sfs_group_row_bytes(g);
}

static bool extent_from_units(const struct sfs_row_image *image, uint64_t id, const struct sfs_extent *e, uint8_t *out)
{
    uint64_t at = e->place.offset % sfs_group_row_bytes(&image->group);
    for (uint32_t done = 0; done < e->stored;) {
        uint32_t unit = (uint32_t)(at / image->unit_bytes), within = (uint32_t)(at % image->unit_bytes);
        uint32_t n = image->unit_bytes - within < e->stored - done ? image->unit_bytes - within : e->stored - done;
        memcpy(out + done, image->units[unit] + within, n);
        done += n;
        at += n;
    }
    return sfs_extent_verify(id, e, out);
}

/* The summary is lost with more than it: tries every set of columns as the wrong ones until the extent verifies. CORRUPT: in vain. */
static int try_combinations(struct sfs_store *s, const struct sfs_row_image *image, uint64_t id,
                             const struct sfs_extent *e, uint8_t *out)
{
    unsigned n = image->group.k + image->group.m;
    uint8_t *units = sfs_alloc_io(s->env, (size_t)image->group.k * image->unit_bytes);
    bool found = false;
    if (!units)
        return SCALEFS_E_NOMEM;
    /* Wide rows: all sets among the first 20 columns, then each column alone; more would take hours. */
    uint64_t all = n >= 20 ? 1u << 20 : 1ull << n, limit = all + (n > 20 ? n - 20 : 0);
    for (uint64_t number = 0; number < limit && !found; number++) {
        uint64_t set = number < all ? number : 1ull << (20 + number - all);
        uint64_t erased = image->missing | set;
        unsigned count = 0;
        for (uint64_t bits = erased; bits; bits &= bits - 1)
            count++;
        if (count > image->group.m || (set & image->missing) || !sfs_row_try(s->pool, image, erased, units))
            continue;
        memcpy(out, in_row(&image->group, e, units), e->stored);
        found = sfs_extent_verify(id, e, out);
    }
    sfs_free(s->env, units);
    return found ? SCALEFS_OK : SCALEFS_E_CORRUPT;
}

/* Right bytes go back over wrong ones while the row is pinned, if the extent is still there. */
static void put_back(struct sfs_store *s, uint64_t id, const struct sfs_extent *e, const struct sfs_row_image *image,
                     uint64_t columns)
{
    if (!columns || s->pool->read_only)
        return;
    struct sfs_extent now;
    if (sfs_extent_lookup(s, id, &now) != SCALEFS_OK || !same_place(&now, e))
        return;
    if (image->group.sequential) {
        (void)sfs_away_note(s, &image->group, image->row); /* else the next scrub finds it */
        return;
    }
    sfs_store_lock(s);
    struct sfs_group *g = sfs_group_of(s->pool, image->group.group);
    bool pinned = g && g->record.generation == image->group.generation && !g->moving &&
                  sfs_row_pin(s, image->group.group, image->row) == SCALEFS_OK;
    sfs_store_unlock(s);
    if (!pinned)
        return;
    /* Only now nobody can reuse the row: look once more before writing. */
    if (sfs_extent_lookup(s, id, &now) == SCALEFS_OK && same_place(&now, e))
        sfs_row_put_back(s->pool, image, columns);
    sfs_store_lock(s);
    sfs_row_unpin(s, image->group.group, image->row);
    sfs_store_unlock(s);
}

static void count_bad(struct sfs_store *s, const struct sfs_row_image *image)
{
    for (unsigned c = 0; c < (unsigned)image->group.k + image->group.m; c++)
        if (image->bad >> c & 1)
            sfs_member_checksum_error(s->pool, image->group.columns[c].disk);
}

static int rebuild_data(struct sfs_store *s, uint64_t id, const struct sfs_extent *e, uint8_t *out)
{
    struct sfs_group_record g;
    if (!sfs_group_copy(s->pool, e->place.group, &g))
        return SCALEFS_E_CHANGED;
    struct sfs_row_image image;
    int err = sfs_row_read(s->pool, e->place.group, sfs_group_row_of(&g, e->place.offset), 1, &image);
    if (err == SCALEFS_OK) {
        if (extent_from_units(&image, id, e, out)) {
            if (image.bad) {
                count_bad(s, &image);
                sfs_note_repair(s, 1, 0);
            }
            put_back(s, id, e, &image, image.bad | image.missing);
        } else {
            err = try_combinations(s, &image, id, e, out);
            err = err == SCALEFS_E_CORRUPT && image.waits ? SCALEFS_E_SUSPENDED : err;
        }
    } else if ((err == SCALEFS_E_CORRUPT || err == SCALEFS_E_SUSPENDED) && image.memory) {
        int tried = try_combinations(s, &image, id, e, out);
        err = tried == SCALEFS_E_CORRUPT ? err : tried;
    }
    sfs_row_image_free(s->pool, &image);
    return err;
}

/* k = 1: each copy is tried; the others are overwritten with a right one. */
struct copy_check {
    uint64_t id;
    const struct sfs_extent *e;
    const struct sfs_need *node;
    uint32_t within; /* of the extent in the image */
};

static bool node_right(const struct sfs_need *need, const uint8_t *page, struct sfs_node_header *h)
{
    return sfs_node_check(page, h) == SCALEFS_OK && h->id == need->id && h->checksum == need->checksum &&
           h->tree == need->tree && h->group == need->place.group && h->offset == need->place.offset;
}

static bool copy_right(const struct copy_check *check, const uint8_t *unit)
{
    struct sfs_node_header h;
    if (check->node)
        return node_right(check->node, unit, &h);
    return sfs_extent_verify(check->id, check->e, unit + check->within);
}

static int rebuild_copies(struct sfs_store *s, const struct copy_check *check, struct sfs_place place, uint32_t len,
                          uint8_t *out)
{
    struct sfs_group_record g;
    if (!sfs_group_copy(s->pool, place.group, &g))
        return SCALEFS_E_CHANGED;
    uint32_t unit = sfs_group_unit(&g), first = sfs_group_row_of(&g, place.offset);
    uint32_t rows = sfs_group_row_of(&g, place.offset + len - 1) - first + 1;
    struct copy_check c = *check;
    c.within = (uint32_t)(place.offset - (uint64_t)first * unit);
    struct sfs_row_image image;
    int err = sfs_row_read(s->pool, place.group, first, rows, &image);
    if (!image.memory)
        return err;
    unsigned n = 1u + image.group.m, good = n;
    uint64_t bad = 0;
    for (unsigned i = 0; i < n; i++) {
        if (image.missing >> i & 1 || !copy_right(&c, image.units[i]))
            bad |= 1ull << i;
        else if (good == n)
            good = i;
    }
    if (good == n) {
        bool waits = image.waits; /* an absent disk may have it */
        sfs_row_image_free(s->pool, &image);
        return err ? err : waits ? SCALEFS_E_SUSPENDED : SCALEFS_E_CORRUPT;
    }
    memcpy(out, image.units[good] + c.within, len);
    image.bad = bad & ~image.missing;
    for (unsigned i = 0; i < n; i++)
        if (bad >> i & 1)
            memcpy(image.units[i], image.units[good], (size_t)image.unit_bytes);
    if (image.bad) {
        count_bad(s, &image);
        sfs_note_repair(s, 1, 0);
    }
    /* A landing log's blocks are shared with neighbours that were not verified: only whole nodes go back in place; landed
     * data is soon written anew elsewhere. */
    if (check->node && bad && g.sequential) {
        (void)sfs_away_note(s, &g, first);
    } else if (check->node && bad && !s->pool->read_only) {
        sfs_store_lock(s);
        struct sfs_group *now = sfs_group_of(s->pool, place.group);
        bool pinned = now && now->record.generation == g.generation && !now->moving &&
                      sfs_row_pin(s, place.group, first) == SCALEFS_OK;
        uint64_t epoch = s->epoch;
        sfs_store_unlock(s);
        /* The node is current (its pointer was just followed) unless a checkpoint moved it; a row freed by one is not
         * reused before two more commits, and never while it is pinned. */
        if (pinned && epoch == check->node->epoch)
            sfs_row_put_back(s->pool, &image, bad);
        if (pinned) {
            sfs_store_lock(s);
            sfs_row_unpin(s, place.group, first);
            sfs_store_unlock(s);
        }
    }
    sfs_row_image_free(s->pool, &image);
    return SCALEFS_OK;
}

int sfs_read_node(struct sfs_store *s, const struct sfs_need *need, uint8_t *page, uint64_t *birth)
{
    struct sfs_get get = {.place = need->place, .len = SFS_NODE_BYTES, .buf = page, .copy = 0xff};
    sfs_get_many(s->pool, &get, 1);
    struct sfs_node_header h;
    int err = SCALEFS_OK;
    if (get.result != SCALEFS_OK || !node_right(need, page, &h)) {
        struct copy_check check = {.node = need};
        err = rebuild_copies(s, &check, need->place, SFS_NODE_BYTES, page);
        if (!err && !node_right(need, page, &h))
            err = SCALEFS_E_CORRUPT;
    }
    if (err)
        return err == SCALEFS_E_CORRUPT && get.result == SCALEFS_E_GONE ? SCALEFS_E_SUSPENDED : err;
    *birth = h.birth;
    return SCALEFS_OK;
}

static int rebuild(struct sfs_store *s, uint64_t id, const struct sfs_extent *e, uint8_t *out)
{
    struct sfs_group_record g;
    if (!sfs_group_copy(s->pool, e->place.group, &g))
        return SCALEFS_E_CHANGED;
    if (g.class == SFS_CLASS_DATA)
        return rebuild_data(s, id, e, out);
    struct copy_check check = {.id = id, .e = e};
    return rebuild_copies(s, &check, e->place, e->stored, out);
}

/* The slow way, for whatever did not come right at once. *e is what the map said; it is looked up again each time. */
int sfs_read_stored(struct sfs_store *s, uint64_t id, struct sfs_extent *e, uint8_t *out)
{
    int err = SCALEFS_E_CORRUPT;
    for (unsigned tries = 0; tries < 8; tries++) {
        struct sfs_extent now;
        err = rebuild(s, id, e, out);
        if (!err)
            return SCALEFS_OK;
        int found = sfs_extent_lookup(s, id, &now);
        if (found)
            return found;
        if (same_place(&now, e) && now.stored == e->stored && err != SCALEFS_E_CHANGED)
            break; /* it did not move: this is what there is */
        if (now.stored != e->stored)
            return SCALEFS_E_CHANGED; /* cannot be: an id's content never changes */
        *e = now;
    }
    if (err == SCALEFS_E_CORRUPT || err == SCALEFS_E_IO)
        sfs_log(s->env, SFS_LOG_ERROR, "store", err, "extent %llu cannot be read or rebuilt", (unsigned long long)id);
    return err;
}

/* --- the fast way --- */

struct work {
    struct sfs_extent e;
    uint32_t from, len; /* of the stored bytes */
    uint8_t *buf;
    size_t buf_bytes;
    size_t skip;
    bool direct; /* buf is the caller's */
};

/* What must be read of the extent for this request. */
static void plan(struct sfs_read *r, struct work *w)
{
    if (w->e.compression) {
        w->from = 0;
        w->len = w->e.stored;
        return;
    }
    uint32_t end = r->offset + r->len;
    w->from = r->offset / SFS_SUM_BYTES * SFS_SUM_BYTES;
    end = (end + SFS_SUM_BYTES - 1) / SFS_SUM_BYTES * SFS_SUM_BYTES;
    w->len = (end < w->e.raw ? end : w->e.raw) - w->from;
}

/* Whole pieces, as they are, to where the disks can write them: no copy is needed. */
static bool can_be_direct(const struct sfs_read *r, const struct work *w)
{
    return !w->e.compression && w->from == r->offset && w->len == r->len && r->len % SFS_IO_ALIGN == 0 &&
           (w->e.place.offset + w->from) % SFS_IO_ALIGN == 0 && (uintptr_t)r->buf % SFS_IO_ALIGN == 0;
}

static bool take_buffer(struct sfs_store *s, const struct sfs_read *r, struct work *w)
{
    w->direct = can_be_direct(r, w);
    w->skip = (size_t)((w->e.place.offset + w->from) % SFS_IO_ALIGN);
    w->buf_bytes = (w->skip + w->len + SFS_IO_ALIGN - 1) / SFS_IO_ALIGN * SFS_IO_ALIGN;
    w->buf = w->direct ? r->buf : sfs_buffer_get(s, w->buf_bytes);
    return w->buf != NULL;
}

static int give_out(struct sfs_store *s, const struct sfs_read *r, const struct work *w, const uint8_t *stored)
{
    if (stored == r->buf)
        return SCALEFS_OK;
    if (!w->e.compression) {
        memcpy(r->buf, stored + (r->offset - w->from), r->len);
        return SCALEFS_OK;
    }
    if (r->offset == 0 && r->len == w->e.raw)
        return sfs_decompress(s, stored, w->e.stored, r->buf, w->e.raw) ? SCALEFS_OK : SCALEFS_E_CORRUPT;
    uint8_t *raw = sfs_buffer_get(s, w->e.raw);
    if (!raw)
        return SCALEFS_E_NOMEM;
    int err = sfs_decompress(s, stored, w->e.stored, raw, w->e.raw) ? SCALEFS_OK : SCALEFS_E_CORRUPT;
    if (!err)
        memcpy(r->buf, raw + r->offset, r->len);
    sfs_buffer_put(s, raw, w->e.raw);
    return err;
}

static int slow(struct sfs_store *s, const struct sfs_read *r, struct work *w)
{
    uint8_t *stored = sfs_buffer_get(s, w->e.stored);
    if (!stored)
        return SCALEFS_E_NOMEM;
    int err = sfs_read_stored(s, r->id, &w->e, stored);
    if (!err) {
        struct work whole = *w;
        whole.from = 0;
        err = give_out(s, r, &whole, stored);
    }
    sfs_buffer_put(s, stored, w->e.stored);
    return err;
}

/* verify=parity: the whole row is read and its equation checked; a wrong column is put right. */
static void check_row(struct sfs_store *s, const struct sfs_read *r, const struct work *w)
{
    struct sfs_group_record g;
    if (!sfs_group_copy(s->pool, w->e.place.group, &g) || g.class != SFS_CLASS_DATA)
        return;
    struct sfs_row_image image;
    if (sfs_row_read(s->pool, g.group, sfs_group_row_of(&g, w->e.place.offset), 1, &image) != SCALEFS_OK)
        return;
    /* Only an image in which this very extent is right says which columns are wrong. */
    uint8_t *stored = image.bad ? sfs_buffer_get(s, w->e.stored) : NULL;
    if (stored && extent_from_units(&image, r->id, &w->e, stored)) {
        count_bad(s, &image);
        sfs_note_repair(s, 1, 0);
        put_back(s, r->id, &w->e, &image, image.bad);
    }
    if (stored)
        sfs_buffer_put(s, stored, w->e.stored);
    sfs_row_image_free(s->pool, &image);
}

static int gather(struct sfs_store *s, struct sfs_read *reads, size_t count, struct work *work)
{
    struct sfs_need need;
    sfs_need_init(&need);
    sfs_store_lock(s);
    s->asked_ns = sfs_now_ns(s->env);
    for (size_t i = 0; i < count;) {
        int err = sfs_extents_get(s, &need, reads[i].id, &work[i].e);
        if (err == SCALEFS_E_NEED_NODE) {
            err = sfs_need_load(s, &need);
            if (!err)
                continue;
        }
        if (!err && ((uint64_t)reads[i].offset + reads[i].len > work[i].e.raw || work[i].e.kind != 0))
            err = SCALEFS_E_CORRUPT;
        reads[i].result = err;
        i++;
    }
    sfs_need_done(s, &need);
    bool parity = s->pool->config.verify == 1;
    sfs_store_unlock(s);
    return parity;
}

/* A small read, out of what lies around it: neighbours that will be wanted next come with it. */
static bool from_around(struct sfs_store *s, const struct sfs_read *r, const struct work *w)
{
    struct sfs_place place = {w->e.place.group, w->e.place.offset + w->from};
    if (w->len > SFS_AHEAD_SMALL || !sfs_ahead_get(s, place, w->len, w->buf + w->skip))
        return false;
    if (verify_range(r->id, &w->e, w->from, w->buf + w->skip, w->len))
        return true;
    sfs_ahead_drop(s, place, w->len);
    return false;
}

int sfs_store_read(struct sfs_store *s, struct sfs_read *reads, size_t count)
{
    if (count == 0)
        return SCALEFS_OK;
    struct work *work = sfs_zalloc(s->env, count * sizeof *work);
    struct sfs_get *gets = sfs_zalloc(s->env, count * sizeof *gets);
    if (!work || !gets) {
        sfs_free(s->env, work);
        sfs_free(s->env, gets);
        return SCALEFS_E_NOMEM;
    }
    bool parity = gather(s, reads, count, work), around = false;
    for (size_t i = 0; i < count; i++) {
        struct work *w = &work[i];
        gets[i].len = 0;
        if (reads[i].result != SCALEFS_OK)
            continue;
        plan(&reads[i], w);
        if (!take_buffer(s, &reads[i], w)) {
            reads[i].result = SCALEFS_E_NOMEM;
            continue;
        }
        gets[i] = (struct sfs_get){.place = {w->e.place.group, w->e.place.offset + w->from}, .len = w->len,
                                   .buf = w->buf, .copy = 0xff};
        around = count == 1 && from_around(s, &reads[i], w);
    }
    if (!around)
        sfs_get_many(s->pool, gets, count); /* those of length 0 are passed over */
    int first = SCALEFS_OK;
    for (size_t i = 0; i < count; i++) {
        struct sfs_read *r = &reads[i];
        struct work *w = &work[i];
        if (w->buf) {
            if (around || (gets[i].result == SCALEFS_OK && verify_range(r->id, &w->e, w->from, w->buf + w->skip, w->len)))
                r->result = give_out(s, r, w, w->buf + w->skip);
            else
                r->result = slow(s, r, w);
            if (parity && r->result == SCALEFS_OK)
                check_row(s, r, w);
        }
        if (!w->direct)
            sfs_buffer_put(s, w->buf, w->buf_bytes);
        if (!first)
            first = r->result;
    }
    sfs_free(s->env, gets);
    sfs_free(s->env, work);
    return first;
}
