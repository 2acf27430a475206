/* One row, or one batch of a log, is read from all its columns, verified, and put right.
 *
 * The row is pinned when it is found live, so what is written back is what is there: bytes of a row that lives, which no one
 * else writes. On zoned disks nothing is written in place: what lives in the row moves. What cannot be put right is noted (care_lost.c); nothing is overwritten then.
 */
#include "store/care_internal.h"

#include "parity/parity.h"

static bool bit_of(uint64_t set, unsigned c)
{
    return set >> c & 1;
}

/* Wrong bytes on a member that lacks nothing count against it; on one that is behind they are only owed. Returns whether
 * there were any of the first kind. */
static bool count_wrong(struct sfs_store *s, const struct sfs_group_record *g, uint64_t wrong)
{
    bool any = false;
    for (unsigned c = 0; c < (unsigned)g->k + g->m; c++) {
        if (!bit_of(wrong, c))
            continue;
        sfs_store_lock(s);
        const struct sfs_member *m = sfs_member_of(s->pool, g->columns[c].disk);
        bool counts = m && m->disk && m->complete;
        sfs_store_unlock(s);
        if (counts)
            sfs_member_checksum_error(s->pool, g->columns[c].disk);
        any = any || counts;
    }
    return any;
}

/* Columns of `missing` whose disk is there: they could not be read, and writing them may help. */
static uint64_t unreadable(struct sfs_store *s, const struct sfs_group_record *g, uint64_t missing)
{
    uint64_t set = 0;
    sfs_store_lock(s);
    for (unsigned c = 0; c < (unsigned)g->k + g->m; c++) {
        const struct sfs_member *m = sfs_member_of(s->pool, g->columns[c].disk);
        if (bit_of(missing, c) && m && m->disk)
            set |= 1ull << c;
    }
    sfs_store_unlock(s);
    return set;
}

static void put_right(struct sfs_care *care, const struct sfs_row_image *image, uint64_t wrong, struct sfs_care_fix *fix)
{
    struct sfs_store *s = care->s;
    uint64_t missing = unreadable(s, &image->group, image->missing);
    if (!(wrong | missing))
        return;
    bool counts = count_wrong(s, &image->group, wrong) || missing;
    int err = image->group.sequential ? sfs_away_note(s, &image->group, image->row)
                                      : sfs_row_put_back(s->pool, image, wrong | missing);
    if (err) {
        sfs_store_lock(s);
        fix->failed++;
        sfs_store_unlock(s);
        return;
    }
    if (!counts)
        return;
    sfs_note_repair(s, 1, 0);
    sfs_store_lock(s);
    fix->repaired++;
    sfs_store_unlock(s);
}

int sfs_care_mend_header(struct sfs_store *s, const struct sfs_group_record *g, unsigned c)
{
    if (!g->sequential)
        return sfs_column_write_header(s->pool, g, c, &g->columns[c]);
    sfs_store_lock(s);
    struct sfs_group *there = sfs_group_of(s->pool, g->group);
    if (there && there->record.generation == g->generation)
        sfs_group_evacuate(s, there);
    sfs_store_unlock(s);
    return SCALEFS_OK;
}

static void add_bytes(struct sfs_care *care, struct sfs_care_fix *fix, uint64_t bytes)
{
    sfs_store_lock(care->s);
    fix->bytes += bytes;
    sfs_store_unlock(care->s);
}

static void add_waits(struct sfs_care *care, struct sfs_care_fix *fix)
{
    sfs_store_lock(care->s);
    fix->waits++;
    sfs_store_unlock(care->s);
}

static void add_unsure(struct sfs_care *care, struct sfs_care_fix *fix)
{
    sfs_store_lock(care->s);
    fix->unsure++;
    sfs_store_unlock(care->s);
}

/* --- data rows --- */

/* All sums are right, yet the parity equation may not hold (a row that was computed wrong): the data decides. */
static int wrong_parity(struct sfs_store *s, struct sfs_row_image *im, uint64_t *wrong)
{
    const struct sfs_group_record *g = &im->group;
    *wrong = 0;
    if (!g->m)
        return SCALEFS_OK;
    uint8_t *units = sfs_alloc_io(s->env, (size_t)g->m * im->unit_bytes);
    if (!units)
        return SCALEFS_E_NOMEM;
    const uint8_t *all[SFS_COLUMNS_MAX];
    uint8_t *parity[SFS_COLUMNS_MAX];
    for (unsigned c = 0; c < (unsigned)g->k + g->m; c++)
        all[c] = im->units[c];
    if (!sfs_parity_check(g->k, g->m, im->unit_bytes, all, units)) {
        for (unsigned c = 0; c < g->m; c++)
            parity[c] = units + (size_t)c * im->unit_bytes;
        sfs_parity_encode(g->k, g->m, im->unit_bytes, all, parity);
        for (unsigned c = 0; c < g->m; c++)
            if (memcmp(im->units[g->k + c], parity[c], im->unit_bytes)) {
                memcpy(im->units[g->k + c], parity[c], im->unit_bytes);
                *wrong |= 1ull << (g->k + c);
            }
    }
    sfs_free(s->env, units);
    return SCALEFS_OK;
}

bool sfs_care_passes(int err)
{
    return err == SCALEFS_E_NOMEM || err == SCALEFS_E_SUSPENDED || err == SCALEFS_E_CHANGED;
}

int sfs_care_lives(struct sfs_store *s, const struct sfs_summary *sum, const uint8_t *bytes)
{
    int unknown = SCALEFS_OK;
    for (uint32_t i = 0; i < sum->entries; i++) {
        struct sfs_entry entry;
        struct sfs_extent e;
        if (sfs_summary_entry(bytes, sum, i, &entry) != SCALEFS_OK)
            continue;
        int err = sfs_extent_lookup(s, entry.id, &e);
        if (!err && e.place.group == sum->group && e.place.offset == sum->offset + entry.offset && e.birth == entry.birth)
            return SCALEFS_OK;
        if (sfs_care_passes(err))
            unknown = err;
    }
    return unknown ? unknown : SCALEFS_E_NOENT;
}

/* A doubtful image is of the row that lives when some extent of it lives here: of a live row at least one does. */
static int row_lives(struct sfs_store *s, const struct sfs_row_image *im)
{
    int err = sfs_care_lives(s, &im->summary, im->summary_bytes);
    return err != SCALEFS_E_NOENT ? err : im->waits ? SCALEFS_E_SUSPENDED : SCALEFS_E_CORRUPT;
}

int sfs_care_row_genuine(struct sfs_store *s, const struct sfs_row_image *im)
{
    return im->doubtful ? row_lives(s, im) : SCALEFS_OK;
}

/* So many bytes of the row's data; in `buf` only where they go over the end of a unit. */
static const uint8_t *row_bytes_at(const struct sfs_row_image *im, uint32_t at, uint32_t len, uint8_t *buf)
{
    uint32_t unit = at / im->unit_bytes, within = at % im->unit_bytes;
    if (len <= im->unit_bytes - within)
        return im->units[unit] + within;
    for (uint32_t done = 0, n; done < len; done += n, within = 0, unit++) {
        n = im->unit_bytes - within < len - done ? im->unit_bytes - within : len - done;
        memcpy(buf + done, im->units[unit] + within, n);
    }
    return buf;
}

/* Does the extent match the sums that it had when it was written? */
static bool entry_right(const struct sfs_row_image *im, const struct sfs_entry *e, uint8_t *buf)
{
    uint64_t sums[SFS_SUMS_MAX];
    unsigned count = 0;
    uint32_t piece = e->compression ? e->stored : SFS_SUM_BYTES;
    for (uint32_t done = 0; done < e->stored && count < SFS_SUMS_MAX; done += piece, count++) {
        uint32_t n = e->stored - done < piece ? e->stored - done : piece;
        sums[count] = sfs_extent_sum(row_bytes_at(im, e->offset + done, n, buf), n, e->id, e->birth, count);
    }
    return count == e->sums && sfs_sums_hash(sums, count) == e->sums_hash;
}

/* A row that is right holds what was lost before it was written (sfs_move_stranded) as it was then. */
static int note_lost_before(struct sfs_care *care, const struct sfs_row_image *im)
{
    struct sfs_store *s = care->s;
    uint64_t row_bytes = sfs_group_row_bytes(&im->group), start = im->row * row_bytes;
    uint8_t *buf = sfs_buffer_get(s, SFS_EXTENT_MAX);
    if (!buf)
        return SCALEFS_E_NOMEM;
    for (uint32_t i = 0; i < im->summary.entries; i++) {
        struct sfs_entry e;
        if (sfs_summary_entry(im->summary_bytes, &im->summary, i, &e) == SCALEFS_OK && e.stored <= SFS_EXTENT_MAX &&
            e.stored <= row_bytes && e.offset <= row_bytes - e.stored && !entry_right(im, &e, buf))
            sfs_care_note_lost(care, im->group.group, start + e.offset, e.stored);
    }
    sfs_buffer_put(s, buf, SFS_EXTENT_MAX);
    return SCALEFS_OK;
}

static int fix_data(struct sfs_care *care, const struct sfs_group_record *g, uint32_t row, struct sfs_care_fix *fix)
{
    struct sfs_store *s = care->s;
    struct sfs_row_image im;
    int err = sfs_row_read(s->pool, g->group, row, 1, &im);
    uint64_t wrong = 0;
    if (err == SCALEFS_OK)
        err = fix->strict ? row_lives(s, &im) : sfs_care_row_genuine(s, &im);
    if (err == SCALEFS_OK)
        err = wrong_parity(s, &im, &wrong);
    if (err == SCALEFS_OK) {
        put_right(care, &im, im.bad | wrong, fix);
        if (!fix->strict)
            err = note_lost_before(care, &im);
    } else if (err == SCALEFS_E_SUSPENDED) {
        add_waits(care, fix);
    } else if (err == SCALEFS_E_CORRUPT) {
        sfs_care_note_lost(care, g->group, row * sfs_group_row_bytes(g), sfs_group_row_bytes(g));
    } else {
        add_unsure(care, fix);
    }
    if (im.memory)
        sfs_row_image_free(s->pool, &im);
    return err == SCALEFS_E_NOMEM ? err : SCALEFS_OK;
}

/* --- nodes --- */

/* The node that is meant was born in this transaction or later. A row that was given to it since the opening knows; of others the
 * newest node is the one, since a record names it. */
static uint64_t least_birth(struct sfs_store *s, const struct sfs_row_image *im)
{
    sfs_store_lock(s);
    const struct sfs_group *g = sfs_group_of(s->pool, im->group.group);
    bool same = g && g->record.generation == im->group.generation && g->rows && im->row < g->record.rows;
    uint64_t birth = same && g->rows[im->row].live ? g->rows[im->row].txn : 0;
    sfs_store_unlock(s);
    return birth;
}

int sfs_care_best_node(struct sfs_store *s, const struct sfs_row_image *im, int *best)
{
    const struct sfs_group_record *g = &im->group;
    int unknown = SCALEFS_OK;
    *best = -1;
    uint64_t birth = 0, least = g->class == SFS_CLASS_SYSTEM ? least_birth(s, im) : 0;
    for (unsigned c = 0; c < 1u + g->m; c++) {
        struct sfs_node_header h;
        struct sfs_extent e;
        if (bit_of(im->missing, c) || sfs_node_check(im->units[c], &h) != SCALEFS_OK || h.group != g->group ||
            h.offset != (uint64_t)im->row * sfs_group_unit(g))
            continue;
        /* An older node that stood here verifies, too. The map knows which one is meant; nodes of the map itself and of
         * the space tree are told by their birth. */
        if (h.birth < least)
            continue;
        int err = g->class == SFS_CLASS_METADATA ? sfs_extent_lookup(s, h.id, &e) : SCALEFS_OK;
        if (sfs_care_passes(err))
            unknown = err;
        if (g->class == SFS_CLASS_METADATA &&
            (err || e.place.group != h.group || e.place.offset != h.offset ||
             e.birth != h.birth || e.kind != 1 || e.sums[0] != h.checksum))
            continue;
        if (*best < 0 || h.birth > birth) {
            *best = (int)c;
            birth = h.birth;
        }
    }
    return *best < 0 ? unknown : SCALEFS_OK;
}

/* The right copy goes over all that differ from it; returns which those are. */
static uint64_t spread(struct sfs_row_image *im, int best)
{
    uint64_t wrong = 0;
    for (unsigned c = 0; c < 1u + im->group.m; c++) {
        if (c == (unsigned)best || (!bit_of(im->missing, c) && !memcmp(im->units[c], im->units[best], im->unit_bytes)))
            continue;
        memcpy(im->units[c], im->units[best], im->unit_bytes);
        if (!bit_of(im->missing, c))
            wrong |= 1ull << c;
    }
    return wrong;
}

static void add_saved(struct sfs_care *care, struct sfs_care_fix *fix, bool saved)
{
    sfs_store_lock(care->s);
    fix->repaired += saved;
    sfs_store_unlock(care->s);
}

static int fix_node(struct sfs_care *care, const struct sfs_group_record *g, uint32_t row, struct sfs_care_fix *fix)
{
    struct sfs_store *s = care->s;
    struct sfs_row_image im;
    bool saved = false;
    int best = -1, err = sfs_row_read(s->pool, g->group, row, 1, &im);
    if (!err)
        err = sfs_care_best_node(s, &im, &best);
    if (err == SCALEFS_E_SUSPENDED || (!err && best < 0 && im.waits)) {
        add_waits(care, fix);
    } else if (best >= 0) {
        put_right(care, &im, spread(&im, best), fix);
    } else if (err == SCALEFS_OK || err == SCALEFS_E_CORRUPT) {
        err = sfs_care_node_gone(care, (struct sfs_place){g->group, (uint64_t)row * SFS_NODE_BYTES}, g->class, &saved);
        add_saved(care, fix, saved);
        if (err == SCALEFS_E_SUSPENDED)
            add_waits(care, fix);
    } else {
        add_unsure(care, fix);
    }
    if (im.memory)
        sfs_row_image_free(s->pool, &im);
    return err == SCALEFS_E_NOMEM ? err : SCALEFS_OK;
}

int sfs_care_fix_row(struct sfs_care *care, const struct sfs_group_record *g, uint32_t row, struct sfs_care_fix *fix)
{
    bool live;
    int err = sfs_care_pin_live(care->s, g, row, &live);
    if (err || !live)
        return err;
    add_bytes(care, fix, (uint64_t)(g->k + g->m) * sfs_group_unit(g));
    err = g->class == SFS_CLASS_DATA ? fix_data(care, g, row, fix) : fix_node(care, g, row, fix);
    sfs_care_unpin(care->s, g, row);
    return err;
}

/* --- logs --- */

/* Does this copy hold the batch of that txn whole: its summary and all its extents? */
static bool batch_right(const struct sfs_group_record *g, uint64_t at, const uint8_t *bytes, uint32_t length, uint64_t txn)
{
    struct sfs_summary sum;
    if (sfs_summary_decode(bytes, length, g->group, at, g->generation, &sum) != SCALEFS_OK || sum.kind != 1 || sum.txn != txn)
        return false;
    for (uint32_t i = 0; i < sum.entries; i++) {
        struct sfs_entry e;
        uint64_t sums[SFS_SUMS_MAX];
        unsigned count = 0;
        if (sfs_summary_entry(bytes, &sum, i, &e) != SCALEFS_OK || e.stored > length || e.offset > length - e.stored)
            return false;
        const uint8_t *p = bytes + e.offset;
        uint32_t piece = e.compression ? e.stored : SFS_SUM_BYTES;
        for (uint32_t done = 0; done < e.stored && count < SFS_SUMS_MAX; done += piece, count++) {
            uint32_t n = e.stored - done < piece ? e.stored - done : piece;
            sums[count] = sfs_extent_sum(p + done, n, e.id, e.birth, count);
        }
        if (count != e.sums || sfs_sums_hash(sums, count) != e.sums_hash)
            return false;
    }
    return true;
}

/* The newest batch that begins here: how long it is, and its txn. NODATA: no copy has one. */
static int find_batch(struct sfs_store *s, const struct sfs_group_record *g, uint64_t at, uint32_t *length, uint64_t *txn)
{
    uint8_t *buf = sfs_buffer_get(s, SFS_BUFFER_SMALL);
    struct sfs_summary sum;
    if (!buf)
        return SCALEFS_E_NOMEM;
    int err = sfs_log_listing(s, g, at, buf, &sum);
    sfs_buffer_put(s, buf, SFS_BUFFER_SMALL);
    if (err)
        return err == SCALEFS_E_NOMEM ? err : SCALEFS_E_NODATA;
    *length = sum.length;
    *txn = sum.txn;
    return SCALEFS_OK;
}

/* SUSPENDED: a copy is on a disk that is absent: it may have the batch that the others lack. */
static int one_waits(struct sfs_store *s, const struct sfs_group_record *g, uint32_t row)
{
    struct sfs_row_image im;
    int err = sfs_row_read(s->pool, g->group, row, 1, &im);
    if (im.waits)
        err = SCALEFS_E_SUSPENDED;
    if (im.memory)
        sfs_row_image_free(s->pool, &im);
    return sfs_care_passes(err) ? err : SCALEFS_E_NODATA;
}

int sfs_care_read_batch(struct sfs_store *s, const struct sfs_group_record *g, uint64_t at, struct sfs_row_image *im, int *best,
                        uint32_t *length)
{
    *im = (struct sfs_row_image){0};
    *best = -1;
    uint64_t txn;
    int err = find_batch(s, g, at, length, &txn);
    uint32_t unit = sfs_group_unit(g);
    if (err)
        return err == SCALEFS_E_NODATA ? one_waits(s, g, (uint32_t)(at / unit)) : err;
    *length = (*length + unit - 1) / unit * unit;
    err = sfs_row_read(s->pool, g->group, (uint32_t)(at / unit), *length / unit, im);
    for (unsigned c = 0; !err && c < 1u + g->m && *best < 0; c++)
        if (!bit_of(im->missing, c) && batch_right(g, at, im->units[c], *length, txn))
            *best = (int)c;
    return !err && *best < 0 && im->waits ? SCALEFS_E_SUSPENDED : err;
}

/* OK: something of the batch is in the map, so all its copies were written, as far as they were. NOENT: nothing. */
static int batch_lives(struct sfs_store *s, const struct sfs_group_record *g, uint64_t at, const uint8_t *bytes, uint32_t length)
{
    struct sfs_summary sum;
    if (sfs_summary_decode(bytes, length, g->group, at, g->generation, &sum) != SCALEFS_OK)
        return SCALEFS_E_NOENT;
    return sfs_care_lives(s, &sum, bytes);
}

int sfs_care_fix_log(struct sfs_care *care, const struct sfs_group_record *g, uint64_t *at, bool quiet, struct sfs_care_fix *fix)
{
    struct sfs_store *s = care->s;
    struct sfs_row_image im;
    int best;
    uint32_t length = SFS_BLOCK;
    int err = sfs_care_read_batch(s, g, *at, &im, &best, &length);
    uint64_t here = *at;
    *at += length;
    if (err == SCALEFS_E_SUSPENDED) {
        add_waits(care, fix);
        err = SCALEFS_OK;
    } else if (best >= 0) {
        /* In a log that is being filled the other copies may only be on their way. */
        uint64_t wrong = spread(&im, best);
        bool asks = !quiet && (wrong | im.missing);
        err = asks || fix->strict ? batch_lives(s, g, here, im.units[best], length) : SCALEFS_OK;
        if (err == SCALEFS_E_SUSPENDED)
            add_waits(care, fix);
        else if (err == SCALEFS_E_NOENT && fix->strict) /* dead, or an older one */
            sfs_care_note_lost(care, g->group, here, length);
        else if (!err && quiet)
            put_right(care, &im, wrong, fix);
        if (!err && asks) { /* now they have arrived: what is wrong still is wrong */
            sfs_row_image_free(s->pool, &im);
            *at = here;
            return sfs_care_fix_log(care, g, at, true, fix);
        }
        if (err == SCALEFS_E_NOENT || err == SCALEFS_E_SUSPENDED)
            err = SCALEFS_OK;
    } else if (err == SCALEFS_E_NODATA || err == SCALEFS_E_CORRUPT || !err) {
        if (quiet || err != SCALEFS_E_NODATA)
            sfs_care_note_lost(care, g->group, here, length);
        err = SCALEFS_OK;
    }
    add_bytes(care, fix, (uint64_t)(1u + g->m) * length);
    if (im.memory)
        sfs_row_image_free(s->pool, &im);
    if (err == SCALEFS_E_CHANGED || err == SCALEFS_E_NOENT) {
        add_unsure(care, fix);
        err = SCALEFS_OK;
    }
    return err;
}

/* --- whole groups --- */

#define CHUNK_ROWS 128u

struct walk {
    struct sfs_care *care;
    const struct sfs_group_record *g;
    struct sfs_care_fix *fix;
};

static int fix_row(void *context, uint32_t row, uint32_t count)
{
    SFS_ASSERT(count == 1);
    struct walk *w = context;
    return sfs_care_fix_row(w->care, w->g, row, w->fix);
}

static int fix_rows(struct walk *w, uint64_t since, int (*between)(struct sfs_care *, uint64_t))
{
    struct sfs_care *care = w->care;
    const struct sfs_group_record *g = w->g;
    struct sfs_row_state *states = NULL;
    int err = sfs_care_states(care->s, g, &states);
    if (err)
        return err == SCALEFS_E_NOENT ? SCALEFS_OK : err;
    uint32_t rows[CHUNK_ROWS];
    for (uint32_t row = 0; row < g->rows && !err;) {
        size_t count = 0;
        /* When the nodes of system groups were written is not kept: all of them are looked at. */
        for (; row < g->rows && count < CHUNK_ROWS; row++)
            if (states[row].live && (states[row].txn > since || g->class == SFS_CLASS_SYSTEM))
                rows[count++] = row;
        struct sfs_care_sweep sweep = {.care = care, .group = g, .rows = rows, .each = fix_row, .context = w};
        err = sfs_care_sweep(&sweep, 0, count);
        if (!err)
            err = between(care, count * (uint64_t)sfs_group_unit(g));
    }
    sfs_free(care->s->env, states);
    return err;
}

static int fix_batches(struct walk *w, uint64_t end, int (*between)(struct sfs_care *, uint64_t))
{
    int err = SCALEFS_OK;
    for (uint64_t at = 0; at < end && !err;) {
        uint64_t before = at;
        err = sfs_care_fix_log(w->care, w->g, &at, w->fix->strict, w->fix);
        if (!err)
            err = between(w->care, at - before);
    }
    return err;
}

int sfs_care_fix_since(struct sfs_care *care, const struct sfs_group_record *g, uint64_t since, uint64_t end,
                       int (*between)(struct sfs_care *care, uint64_t bytes), struct sfs_care_fix *fix)
{
    struct walk w = {care, g, fix};
    return g->class == SFS_CLASS_LANDING ? fix_batches(&w, end, between) : fix_rows(&w, since, between);
}
