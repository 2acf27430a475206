/* Moving extents: out of rows that are mostly dead (compaction), out of landing logs (packing), out of whole groups
 * (evacuation). What lies in a row is told by its summary; what of that still lives, by the extent map. Each move is a
 * compare-and-swap of the map entry, so a row may be overwritten, freed or moved by others meanwhile.
 */
#include <stdlib.h>

#include "store/apply.h"
#include "store/care_internal.h"
#include "store/move.h"

/* The summary of a data row or landing batch with its bytes; free with sfs_buffer_put(bytes, SFS_BUFFER_SMALL). */
struct listing {
    struct sfs_summary sum;
    uint8_t *bytes;
};

static int read_piece(struct sfs_store *s, struct sfs_place place, uint32_t len, uint8_t *buf)
{
    struct sfs_get get = {.place = place, .len = len, .buf = buf, .copy = 0xff};
    sfs_get_many(s->pool, &get, 1);
    return get.result;
}

/* Its summary as it stands at the end of the row. Where that disk is behind it may be an older one. */
static int end_listing(struct sfs_store *s, const struct sfs_group_record *g, uint32_t row, struct listing *l)
{
    uint64_t start = row * sfs_group_row_bytes(g), end = start + sfs_group_row_bytes(g);
    l->bytes = sfs_buffer_get(s, SFS_BUFFER_SMALL);
    if (!l->bytes)
        return SCALEFS_E_NOMEM;
    /* Its length is not known before it is read; one block is by far the most common. */
    uint32_t most = sfs_group_unit(g) / SFS_BLOCK;
    int err = SCALEFS_E_CORRUPT;
    for (uint32_t blocks = 1; blocks <= most && blocks <= SFS_BUFFER_SMALL / SFS_BLOCK && err; blocks++) {
        uint32_t len = blocks * SFS_BLOCK;
        err = read_piece(s, (struct sfs_place){g->group, end - len}, len, l->bytes);
        if (err)
            break;
        err = sfs_summary_decode(l->bytes, len, g->group, start, g->generation, &l->sum);
        if (!err && l->sum.blocks != blocks)
            err = SCALEFS_E_CORRUPT;
        if (err && blocks == 4)
            break;
    }
    if (err)
        sfs_buffer_put(s, l->bytes, SFS_BUFFER_SMALL);
    return err;
}

/* The one that the columns of the row agree with. */
static int row_listing(struct sfs_store *s, const struct sfs_group_record *g, uint32_t row, struct listing *l)
{
    struct sfs_row_image image;
    int err = sfs_row_read(s->pool, g->group, row, 1, &image);
    if (!err && (!image.summary_ok || image.summary.blocks * SFS_BLOCK > SFS_BUFFER_SMALL))
        err = SCALEFS_E_CORRUPT;
    l->bytes = err ? NULL : sfs_buffer_get(s, SFS_BUFFER_SMALL);
    if (l->bytes) {
        l->sum = image.summary;
        memcpy(l->bytes, image.summary_bytes, (size_t)l->sum.blocks * SFS_BLOCK);
    }
    if (image.memory)
        sfs_row_image_free(s->pool, &image);
    return err || l->bytes ? err : SCALEFS_E_NOMEM;
}

/* A copy on a disk that was away may hold an older batch: of a state that was never committed, or from before a cut. */
int sfs_log_listing(struct sfs_store *s, const struct sfs_group_record *g, uint64_t offset, uint8_t *bytes,
                    struct sfs_summary *newest)
{
    uint8_t *buf = sfs_buffer_get(s, SFS_BUFFER_SMALL);
    if (!buf)
        return SCALEFS_E_NOMEM;
    bool found = false;
    int err = SCALEFS_E_CORRUPT;
    uint64_t size = (uint64_t)g->rows * sfs_group_unit(g);
    for (unsigned copy = 0; copy <= g->m; copy++) {
        struct sfs_summary sum;
        uint32_t len = SFS_BLOCK;
        int r = SCALEFS_E_RANGE;
        for (; r == SCALEFS_E_RANGE && len <= SFS_BUFFER_SMALL && len <= size - offset; len *= 2) {
            struct sfs_get get = {.place = {g->group, offset}, .len = len, .buf = buf, .copy = (uint8_t)copy};
            sfs_get_many(s->pool, &get, 1);
            r = get.result ? get.result : sfs_summary_decode(buf, len, g->group, offset, g->generation, &sum);
        }
        if (r == SCALEFS_E_NOMEM) { /* this copy may have the newest */
            sfs_buffer_put(s, buf, SFS_BUFFER_SMALL);
            return r;
        }
        if (!r && (sum.kind != 1 || !sum.length || sum.length > size - offset))
            r = SCALEFS_E_CORRUPT;
        if (!r && (!found || sum.txn > newest->txn)) {
            *newest = sum;
            memcpy(bytes, buf, len / 2);
            found = true;
        }
        err = r;
    }
    sfs_buffer_put(s, buf, SFS_BUFFER_SMALL);
    return found ? SCALEFS_OK : err;
}

static int batch_listing(struct sfs_store *s, const struct sfs_group_record *g, uint64_t offset, struct listing *l)
{
    l->bytes = sfs_buffer_get(s, SFS_BUFFER_SMALL);
    if (!l->bytes)
        return SCALEFS_E_NOMEM;
    int err = sfs_log_listing(s, g, offset, l->bytes, &l->sum);
    if (err)
        sfs_buffer_put(s, l->bytes, SFS_BUFFER_SMALL);
    return err;
}

/* --- gathering moves in one batch --- */

#define AHEAD_EXTENTS 64u
#define AHEAD_BYTES (4u << 20)

struct moving {
    struct sfs_entry owner;
    struct sfs_extent from;
    uint64_t id;
    uint8_t *bytes; /* in mover.ahead; NULL: it could not be read */
};

struct mover {
    struct sfs_store *s;
    struct sfs_batch *batch;
    struct moving *found; /* gathered */
    size_t found_count, found_cap;
    uint64_t found_bytes;
    struct moving *moves; /* in the batch, in its order */
    size_t count, cap;
    uint8_t *ahead; /* AHEAD_BYTES */
    struct sfs_care *care; /* what cannot be read goes along as well, and is told to care; NULL: it stays where it is */
};

/* Notes what of a listing still lives here. */
static int gather(struct mover *m, const struct listing *l, uint32_t group)
{
    struct sfs_store *s = m->s;
    for (uint32_t i = 0; i < l->sum.entries; i++) {
        struct sfs_entry entry;
        struct sfs_extent e;
        int err = sfs_summary_entry(l->bytes, &l->sum, i, &entry);
        if (!err)
            err = sfs_extent_lookup(s, entry.id, &e);
        if (err == SCALEFS_E_NOENT)
            continue;
        if (err)
            return err;
        struct sfs_place here = {group, l->sum.offset + entry.offset};
        if (e.kind != 0 || e.birth != entry.birth || e.place.group != here.group || e.place.offset != here.offset)
            continue; /* it lives elsewhere by now */
        err = sfs_vec_reserve(s->env, &m->found, &m->found_cap, m->found_count + 1, sizeof *m->found);
        if (err)
            return err;
        m->found[m->found_count++] = (struct moving){entry, e, entry.id, NULL};
        m->found_bytes += e.stored;
    }
    return SCALEFS_OK;
}

/* Whole blocks around it. */
static uint32_t skip_of(const struct sfs_extent *e)
{
    return (uint32_t)(e->place.offset % SFS_IO_ALIGN);
}

static size_t room_of(const struct sfs_extent *e)
{
    return (skip_of(e) + e->stored + SFS_IO_ALIGN - 1) / SFS_IO_ALIGN * SFS_IO_ALIGN;
}

/* As many of the next ones as there is room for are read, all at once, so that the disks are kept busy. What cannot be read so is
 * read again, one by one. Returns how many. */
static size_t read_ahead(struct mover *m, struct moving *found, size_t count)
{
    struct sfs_get gets[AHEAD_EXTENTS];
    size_t n = 0, used = 0;
    for (; n < count && n < AHEAD_EXTENTS && used + room_of(&found[n].from) <= AHEAD_BYTES; n++) {
        found[n].bytes = m->ahead + used;
        gets[n] = (struct sfs_get){.place = found[n].from.place, .len = found[n].from.stored, .buf = found[n].bytes, .copy = 0xff};
        used += room_of(&found[n].from);
    }
    sfs_get_many(m->s->pool, gets, n);
    for (size_t i = 0; i < n; i++)
        if (gets[i].result)
            found[i].bytes = NULL;
    return n;
}

/* Is a disk of the group away that may come back? *comings: how often such ones have come back. */
static bool one_is_away(struct sfs_store *s, uint32_t group, uint64_t *comings)
{
    bool away = false;
    *comings = 0;
    sfs_store_lock(s);
    const struct sfs_group *g = sfs_group_of(s->pool, group);
    for (unsigned c = 0; g && c < (unsigned)g->record.k + g->record.m; c++) {
        const struct sfs_member *m = sfs_member_of(s->pool, g->record.columns[c].disk);
        away = away || (m && !m->disk && !sfs_member_failed(m));
        *comings += m ? m->comings : 0;
    }
    sfs_store_unlock(s);
    return away;
}

/* What can be read of an extent that does not verify as a whole, block by block and from any copy; the rest is zeros, which do not
 * verify there, either. SUSPENDED: an absent disk may have some of it. */
static int salvage(struct sfs_store *s, const struct moving *what, uint8_t *out)
{
    const struct sfs_extent *e = &what->from;
    struct sfs_group_record g;
    uint64_t before, after;
    uint8_t *buf = sfs_buffer_get(s, SFS_BUFFER_SMALL);
    bool away = one_is_away(s, e->place.group, &before);
    memset(out, 0, e->stored);
    if (!buf || !sfs_group_copy(s->pool, e->place.group, &g)) {
        sfs_buffer_put(s, buf, SFS_BUFFER_SMALL);
        return buf ? SCALEFS_E_CHANGED : SCALEFS_E_NOMEM;
    }
    unsigned copies = g.k == 1 ? 1u + g.m : 1;
    int err = SCALEFS_OK;
    for (uint32_t at = 0, n; at < e->stored && !e->compression && !away && !err; at += n) {
        uint64_t offset = e->place.offset + at;
        bool right = false;
        n = e->stored - at < SFS_SUM_BYTES ? e->stored - at : SFS_SUM_BYTES;
        for (unsigned c = 0; c < copies && !right && !err; c++) {
            struct sfs_get get = {.place = {g.group, offset}, .len = n, .buf = buf, .copy = copies > 1 ? (uint8_t)c : 0xff};
            const uint8_t *piece = buf + offset % SFS_IO_ALIGN;
            uint32_t number = at / SFS_SUM_BYTES;
            sfs_get_many(s->pool, &get, 1);
            err = get.result == SCALEFS_E_NOMEM ? get.result : SCALEFS_OK;
            right = !get.result && number < e->sum_count &&
                    sfs_extent_sum(piece, n, what->id, e->birth, number) == e->sums[number];
            if (right)
                memcpy(out + at, piece, n);
        }
    }
    sfs_buffer_put(s, buf, SFS_BUFFER_SMALL);
    away = one_is_away(s, e->place.group, &after) || away || before != after; /* also for a moment only */
    return away ? SCALEFS_E_SUSPENDED : err;
}

/* Adds one extent to the batch. */
static int add(struct mover *m, const struct moving *what)
{
    struct sfs_store *s = m->s;
    const struct sfs_extent *e = &what->from;
    uint8_t *stored = what->bytes ? what->bytes + skip_of(e) : NULL, *buf = NULL;
    struct sfs_extent now = *e;
    int err = SCALEFS_OK;
    if (!stored || !sfs_extent_verify(what->id, e, stored)) {
        stored = buf = sfs_buffer_get(s, e->stored);
        err = buf ? sfs_read_stored(s, what->id, &now, buf) : SCALEFS_E_NOMEM;
    }
    bool lost = err == SCALEFS_E_CORRUPT || err == SCALEFS_E_IO;
    if (lost && m->care && !(err = salvage(s, what, buf)))
        sfs_care_lost_extent(m->care, what->id, e);
    if ((lost && !m->care) || err == SCALEFS_E_NOENT) {
        err = SCALEFS_OK; /* it stays, or is gone */
    } else if (!err && now.place.group == e->place.group && now.place.offset == e->place.offset) {
        err = sfs_vec_reserve(s->env, &m->moves, &m->cap, m->count + 1, sizeof *m->moves);
        if (!err)
            err = sfs_batch_add_moved(m->batch, what->id, e, stored, &what->owner);
        if (!err)
            m->moves[m->count++] = *what;
    }
    sfs_buffer_put(s, buf, e->stored);
    return err;
}

static int longest_first(const void *a, const void *b)
{
    const struct moving *x = a, *y = b;
    if (x->from.stored != y->from.stored)
        return x->from.stored > y->from.stored ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Always the longest that still fits into the open row, since extents that move are not cut. */
static int add_some(struct mover *m, struct moving *found, size_t left)
{
    int err = SCALEFS_OK;
    qsort(found, left, sizeof *found, longest_first);
    while (left > 0 && !err) {
        uint32_t room = sfs_batch_room(m->batch);
        size_t pick = 0;
        while (pick < left && found[pick].from.stored > room)
            pick++;
        if (pick == left)
            pick = 0; /* none fits: the longest begins the next row */
        err = add(m, &found[pick]);
        memmove(found + pick, found + pick + 1, (--left - pick) * sizeof *found);
    }
    return err;
}

/* Everything gathered goes into the batch. */
static int add_all(struct mover *m)
{
    int err = SCALEFS_OK;
    for (size_t at = 0, n; at < m->found_count && !err; at += n) {
        n = read_ahead(m, m->found + at, m->found_count - at);
        err = add_some(m, m->found + at, n);
    }
    m->found_count = 0;
    m->found_bytes = 0;
    return err;
}

static int begin(struct sfs_store *s, struct mover *m)
{
    *m = (struct mover){.s = s, .ahead = sfs_alloc_io(s->env, AHEAD_BYTES)};
    int err = m->ahead ? sfs_batch_begin(s, 1, &m->batch) : SCALEFS_E_NOMEM;
    if (err)
        sfs_free(s->env, m->ahead);
    if (!err)
        sfs_batch_use_reserve(m->batch);
    return err;
}

/* Ends the batch and swaps the places of what was kept. */
static int commit(struct mover *m, bool tail, size_t *moved)
{
    struct sfs_store *s = m->s;
    size_t kept = 0;
    const struct sfs_piece *pieces;
    int err = sfs_batch_end(m->batch, tail, &kept, &pieces);
    struct sfs_op ops[64];
    for (size_t at = 0; at < kept && !err;) {
        size_t n = 0;
        for (; n < 64 && at < kept; n++, at++)
            ops[n] = (struct sfs_op){.kind = SFS_OP_MOVE, .id = m->moves[at].id, .extent = &pieces[at].extent,
                                     .birth = m->moves[at].from.birth, .old_place = m->moves[at].from.place};
        err = sfs_store_apply(s, ops, n, SFS_CLAIM_FREES);
    }
    if (moved)
        *moved = err ? 0 : kept;
    sfs_batch_free(m->batch);
    sfs_free(s->env, m->moves);
    sfs_free(s->env, m->found);
    sfs_free(s->env, m->ahead);
    return err;
}

static void give_up(struct mover *m)
{
    sfs_batch_free(m->batch);
    sfs_free(m->s->env, m->moves);
    sfs_free(m->s->env, m->found);
    sfs_free(m->s->env, m->ahead);
}

/* What the summary in the row's last block lists, if that is all of it, and something of it lives here: of a live row something does. */
static bool gather_read(struct mover *m, const struct sfs_group_record *g, uint32_t row, uint8_t *block, int *err)
{
    struct listing l = {.bytes = block};
    uint64_t start = row * sfs_group_row_bytes(g);
    size_t before = m->found_count;
    if (sfs_summary_decode(block, SFS_BLOCK, g->group, start, g->generation, &l.sum) != SCALEFS_OK || l.sum.blocks != 1)
        return false;
    *err = gather(m, &l, g->group);
    return *err || m->found_count > before;
}

static int gather_row(struct mover *m, const struct sfs_group_record *g, uint32_t row)
{
    static int (*const listings[])(struct sfs_store *, const struct sfs_group_record *, uint32_t, struct listing *) = {end_listing,
                                                                                                                    row_listing};
    size_t before = m->found_count;
    int err = SCALEFS_OK;
    for (unsigned i = 0; i < 2 && m->found_count == before; i++) {
        struct listing l;
        err = listings[i](m->s, g, row, &l);
        if (err)
            continue;
        err = gather(m, &l, g->group);
        sfs_buffer_put(m->s, l.bytes, SFS_BUFFER_SMALL);
    }
    if (err == SCALEFS_E_CORRUPT || err == SCALEFS_E_IO || err == SCALEFS_E_NOENT)
        return SCALEFS_OK; /* it may have been freed meanwhile; what is lost stays */
    return err;
}

/* What still lives in these rows of a group is gathered: their last blocks are read all at once. */
static int gather_rows(struct mover *m, uint32_t group, const uint32_t *rows, size_t count)
{
    struct sfs_group_record g;
    struct sfs_get gets[AHEAD_EXTENTS];
    if (!sfs_group_copy(m->s->pool, group, &g))
        return SCALEFS_E_CHANGED;
    int err = SCALEFS_OK;
    for (size_t from = 0, n; from < count && !err; from += n) {
        n = count - from < AHEAD_EXTENTS ? count - from : AHEAD_EXTENTS;
        for (size_t i = 0; i < n; i++)
            gets[i] = (struct sfs_get){.place = {group, (rows[from + i] + 1) * sfs_group_row_bytes(&g) - SFS_BLOCK},
                                       .len = SFS_BLOCK, .buf = m->ahead + i * SFS_BLOCK, .copy = 0xff};
        sfs_get_many(m->s->pool, gets, n);
        for (size_t i = 0; i < n && !err; i++)
            if (gets[i].result || !gather_read(m, &g, rows[from + i], gets[i].buf, &err))
                err = gather_row(m, &g, rows[from + i]);
    }
    return err;
}

static int finish_moves(struct mover *m, int err, bool tail, size_t *moved)
{
    if (!err)
        err = add_all(m);
    if (err) {
        give_up(m);
        return err;
    }
    return commit(m, tail, moved);
}

int sfs_move_rows_of(struct sfs_store *s, const struct sfs_rows *lists, size_t lists_count, bool tail, size_t *moved)
{
    *moved = 0;
    struct mover m;
    int err = begin(s, &m);
    if (err)
        return err;
    sfs_batch_pad(m.batch);
    for (size_t i = 0; i < lists_count && !err; i++) {
        err = gather_rows(&m, lists[i].group, lists[i].rows, lists[i].count);
        if (err == SCALEFS_E_CHANGED && lists_count > 1)
            err = SCALEFS_OK; /* that group is gone */
    }
    return finish_moves(&m, err, tail, moved);
}

int sfs_move_rows(struct sfs_store *s, uint32_t group, const uint32_t *rows, size_t count, bool tail, size_t *moved)
{
    struct sfs_rows list = {group, rows, count};
    return sfs_move_rows_of(s, &list, 1, tail, moved);
}

static bool is_data_in(const void *group, const struct sfs_extent *e)
{
    return e->kind == 0 && e->place.group == *(const uint32_t *)group;
}

int sfs_move_stranded(struct sfs_care *care, uint32_t group, size_t *moved)
{
    struct sfs_store *s = care->s;
    uint64_t from = 0;
    int err = SCALEFS_OK;
    *moved = 0;
    while (!err) {
        struct mover m;
        size_t kept;
        if ((err = begin(s, &m)))
            break;
        sfs_batch_pad(m.batch); /* in a log it would be as much in the way */
        m.care = care;
        int found = SCALEFS_E_CHANGED;
        while (!err && m.found_bytes < AHEAD_BYTES && (found == SCALEFS_OK || found == SCALEFS_E_CHANGED)) {
            struct moving next = {.bytes = NULL};
            err = sfs_care_halts(care) ? SCALEFS_E_CANCELED
                                       : sfs_vec_reserve(s->env, &m.found, &m.found_cap, m.found_count + 1, sizeof *m.found);
            found = err ? SCALEFS_E_CANCELED : sfs_extents_next(s, &from, is_data_in, &group, &next.id, &next.from);
            if (found)
                continue;
            m.found[m.found_count++] = next;
            m.found_bytes += next.from.stored;
        }
        if (!err && found != SCALEFS_OK && found != SCALEFS_E_CHANGED && found != SCALEFS_E_NOENT)
            err = found;
        err = finish_moves(&m, err, false, &kept);
        *moved += err ? 0 : kept;
        if (found == SCALEFS_E_NOENT)
            break;
    }
    return err;
}

int sfs_move_extents(struct sfs_store *s, const uint64_t *ids, size_t count, size_t *done)
{
    struct mover m;
    size_t moved;
    int err = begin(s, &m);
    *done = 0;
    if (err)
        return err;
    sfs_batch_pad(m.batch);
    for (; *done < count && m.found_bytes < AHEAD_BYTES && !err; ++*done) {
        struct moving next = {.id = ids[*done]};
        err = sfs_extent_lookup(s, next.id, &next.from);
        if (err == SCALEFS_E_NOENT) {
            err = SCALEFS_OK;
            continue;
        }
        if (!err)
            err = sfs_vec_reserve(s->env, &m.found, &m.found_cap, m.found_count + 1, sizeof *m.found);
        if (!err)
            m.found[m.found_count++] = next;
        m.found_bytes += next.from.stored;
    }
    return finish_moves(&m, err, false, &moved);
}

int sfs_move_landing(struct sfs_store *s, uint32_t group)
{
    struct sfs_group_record g;
    sfs_store_lock(s);
    struct sfs_group *there = sfs_group_of(s->pool, group);
    bool ok = there && there->record.class == SFS_CLASS_LANDING && !there->allocating && there->in_flight == 0;
    uint64_t end = 0;
    if (ok) {
        g = there->record;
        end = (uint64_t)there->count.write_row * sfs_group_unit(&g);
        there->in_flight++;
        there->packing = true;
    }
    sfs_store_unlock(s);
    if (!ok)
        return SCALEFS_E_CHANGED;
    int err = SCALEFS_OK;
    for (uint64_t at = 0; at < end && !err;) {
        struct mover m;
        err = begin(s, &m);
        if (err)
            break;
        while (at < end && m.found_bytes < (4u << 20)) {
            struct listing l;
            err = batch_listing(s, &g, at, &l);
            if (err == SCALEFS_E_CORRUPT || err == SCALEFS_E_IO || err == SCALEFS_E_GONE || err == SCALEFS_E_SUSPENDED) {
                /* a batch that never was written whole, or cannot be read, perhaps for want of a disk: look for the next */
                err = SCALEFS_OK;
                at += SFS_BLOCK;
                continue;
            }
            if (err)
                break;
            err = gather(&m, &l, group);
            at += l.sum.length;
            sfs_buffer_put(s, l.bytes, SFS_BUFFER_SMALL);
            if (err)
                break;
        }
        if (!err)
            err = add_all(&m);
        if (err)
            give_up(&m);
        else
            err = commit(&m, true, NULL);
    }
    sfs_store_lock(s);
    there->packing = false;
    if (!err && there->count.live > 0)
        there->store = there; /* what could not be read stays; not tried again before a disk that was away is back */
    sfs_store_unlock(s);
    sfs_space_log_done(s, group);
    return err;
}

/* --- compaction --- */

/* Rows of one group that are least alive, at most `cap`, and what would come free beside what lives in them. */
static int find_rows(struct sfs_store *s, uint32_t group, uint32_t *rows, size_t cap, size_t *count, uint64_t *gain)
{
    *count = 0;
    *gain = 0;
    struct sfs_group_record g;
    if (!sfs_group_copy(s->pool, group, &g))
        return SCALEFS_E_CHANGED;
    struct sfs_row_state *states = sfs_zalloc(s->env, g.rows * sizeof *states);
    if (!states)
        return SCALEFS_E_NOMEM;
    struct sfs_need need;
    sfs_need_init(&need);
    sfs_store_lock(s);
    int err = SCALEFS_OK;
    struct sfs_group *there;
    while ((there = sfs_group_of(s->pool, group)) != NULL && there->record.generation == g.generation &&
           (err = sfs_space_rows(s, &need, there, states)) == SCALEFS_E_NEED_NODE)
        if ((err = sfs_need_load(s, &need)) != SCALEFS_OK)
            break;
    sfs_need_done(s, &need);
    sfs_store_unlock(s);
    uint64_t payload = sfs_group_row_bytes(&g) - SFS_BLOCK, live = 0;
    /* Ever fuller rows are taken until so many are gathered that at least one whole row comes free. */
    for (unsigned eighth = 1; eighth <= 7 && !err && there; eighth++) {
        for (uint32_t r = 0; r < g.rows && *count < cap; r++) {
            uint64_t l = states[r].live;
            if (l == 0 || l * 8 >= payload * eighth || l * 8 < payload * (eighth - 1))
                continue;
            rows[(*count)++] = r;
            live += l;
        }
        if (*count * payload >= live + 2 * payload)
            break;
    }
    if (*count * payload > live)
        *gain = *count * payload - live;
    sfs_free(s->env, states);
    return there ? err : SCALEFS_E_CHANGED;
}

/* The group with the most dead bytes in rows that are partly alive, of those not looked at yet. */
static uint32_t worst_group(struct sfs_store *s, const bool *looked, uint32_t count)
{
    uint32_t best = SFS_NONE32;
    uint64_t best_dead = 0;
    sfs_store_lock(s);
    for (uint32_t i = 0; i < s->pool->group_cap && i < count; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (!g || g->record.class != SFS_CLASS_DATA || g->record.sequential || g->moving || looked[i])
            continue;
        uint64_t used = g->count.used_rows * (sfs_group_row_bytes(&g->record) - SFS_BLOCK);
        uint64_t dead = used > g->count.live ? used - g->count.live : 0;
        if (dead > best_dead) {
            best = i;
            best_dead = dead;
        }
    }
    sfs_store_unlock(s);
    return best;
}

#define COMPACT_ROWS 64
#define COMPACT_BYTES (32u << 20)
#define COMPACTIONS_FOR_NODES 8u

/* Rows of one or, where one has too few, several groups, until more than two whole rows come free. */
static int compact_rows(struct sfs_store *s)
{
    uint32_t rows[COMPACT_ROWS], cap = s->pool->group_cap;
    bool *looked = sfs_zalloc(s->env, cap + 1);
    struct mover m;
    int err = looked ? begin(s, &m) : SCALEFS_E_NOMEM;
    if (err) {
        sfs_free(s->env, looked);
        return err;
    }
    sfs_batch_pad(m.batch);
    uint64_t gained = 0;
    while (!err && gained < 2 * SFS_ROW_TARGET_BYTES && m.found_bytes < COMPACT_BYTES) {
        uint32_t group = worst_group(s, looked, cap);
        if (group == SFS_NONE32)
            break;
        looked[group] = true;
        size_t count;
        uint64_t gain;
        err = find_rows(s, group, rows, COMPACT_ROWS, &count, &gain);
        if (!err && gain > 0)
            err = gather_rows(&m, group, rows, count);
        if (!err)
            gained += gain;
        else if (err == SCALEFS_E_CHANGED)
            err = SCALEFS_OK;
    }
    sfs_free(s->env, looked);
    size_t moved = 0;
    if (!err && gained < SFS_ROW_TARGET_BYTES)
        err = SCALEFS_E_NOSPC; /* what is dead is too scattered to be worth a row */
    err = finish_moves(&m, err, false, &moved);
    return err ? err : moved > 0 ? SCALEFS_OK : SCALEFS_E_NOSPC;
}

static int compact(struct sfs_store *s)
{
    int err = compact_rows(s);
    /* Nodes may have room that is coming back. */
    for (unsigned tries = 0; err == SCALEFS_E_NOSPC && tries < 2 && sfs_pool_zone_bytes(s->pool); tries++) {
        err = tries ? sfs_ripen(s) : SCALEFS_OK;
        if (!err)
            err = sfs_empty_for_data(s);
    }
    return err;
}

/* A log that is not being filled (any more, or since the last opening). */
static uint32_t closed_landing(struct sfs_store *s)
{
    uint32_t found = SFS_NONE32;
    sfs_store_lock(s);
    for (uint32_t i = 0; i < s->pool->group_cap && found == SFS_NONE32; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (g && g->record.class == SFS_CLASS_LANDING && !g->allocating && g->in_flight == 0 && g->count.live > 0 &&
            !g->store)
            found = i;
    }
    sfs_store_unlock(s);
    return found;
}

bool sfs_move_landing_next(struct sfs_store *s, int *err)
{
    uint32_t group = closed_landing(s);
    if (group == SFS_NONE32)
        return false;
    *err = sfs_move_landing(s, group);
    if (*err == SCALEFS_E_CHANGED) /* somebody else packs it */
        *err = SCALEFS_OK;
    return true;
}

int sfs_pack_logs(struct sfs_store *s)
{
    int err = SCALEFS_OK;
    while (!err && sfs_move_landing_next(s, &err)) {
    }
    return err;
}

int sfs_settle(struct sfs_store *s)
{
    int err = sfs_pack_logs(s);
    return err ? err : sfs_ripen(s);
}

static int gain_room(struct sfs_store *s, bool harder)
{
    int err = sfs_settle(s);
    if (err)
        return err;
    if (harder) {
        err = compact(s);
        sfs_store_lock(s);
        s->gathered++;
        sfs_store_unlock(s);
        return err ? err : sfs_ripen(s);
    }
    sfs_store_lock(s);
    uint64_t dead = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (g && g->record.class == SFS_CLASS_DATA)
            dead += sfs_group_room(g);
    }
    bool room = dead > 4 || sfs_groups_unallocated(s->pool) > 0;
    sfs_store_unlock(s);
    if (room)
        return SCALEFS_OK;
    err = compact(s);
    return err ? err : sfs_ripen(s);
}

/* On zoned disks checkpoints see to it themselves (empty.c). */
static int gain_node_room(struct sfs_store *s, bool harder)
{
    if (sfs_pool_zone_bytes(s->pool))
        return SCALEFS_E_NOSPC;
    int err = sfs_empty_for_more_nodes(s);
    /* What is dead may be scattered over many rows. To gather it takes nodes, too. */
    for (unsigned tries = 0; err == SCALEFS_E_NOSPC && tries < COMPACTIONS_FOR_NODES && sfs_space_nodes_to_move(s); tries++) {
        err = gain_room(s, harder);
        if (err)
            break;
        err = sfs_empty_for_more_nodes(s);
    }
    return err;
}

/* One at a time; who comes meanwhile waits for that one. */
static int in_turn(struct sfs_store *s, int (*gain)(struct sfs_store *s, bool harder), bool harder)
{
    sfs_store_lock(s);
    if (s->making_room) {
        while (s->making_room)
            sfs_cond_wait(&s->room_made, s->lock);
        sfs_store_unlock(s);
        return SCALEFS_OK;
    }
    s->making_room = true;
    sfs_store_unlock(s);
    int err = gain(s, harder);
    sfs_store_lock(s);
    s->making_room = false;
    sfs_cond_broadcast(&s->room_made);
    sfs_store_unlock(s);
    return err;
}

int sfs_make_room(struct sfs_store *s, bool harder)
{
    return in_turn(s, gain_room, harder);
}

int sfs_make_node_room(struct sfs_store *s)
{
    return in_turn(s, gain_node_room, true);
}
