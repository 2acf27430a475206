/* Scrub: everything that is live is read whole, verified and put right.
 *
 * Group by group, row by row; heads of the members first. Its place is kept in pool->scrub, which goes to the disks with
 * the checkpoints, so it goes on where it was after any stop. Rows written after it passed were verified when they were written
 * as far as that is possible; nothing is read twice. While others write, it leaves them half of the time.
 */
#include "store/care_internal.h"

#include <stdio.h>

#define CHUNK_ROWS 128u
#define CHUNK_LOG (8u << 20)
#define SAVE_NS 30000000000ull
#define PAUSE_MAX_NS 100000000ull
#define FIRST_ID 3001u

/* --- what users ask for --- */

static uint64_t all_bytes(const struct sfs_pool *pool)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < pool->group_cap; i++) {
        const struct sfs_group *g = pool->groups[i];
        if (g && g->count.live)
            bytes += sfs_care_column_live(g) * (g->record.k + g->record.m);
    }
    return bytes;
}

static int change(struct sfs_store *s, enum scalefs_scrub_verb verb, struct scalefs_error_info *info)
{
    struct sfs_pool *pool = s->pool;
    struct sfs_task_record *r = &pool->scrub;
    int err = sfs_wish_may(pool, info);
    if (err)
        return err;
    if (verb != SCALEFS_SCRUB_START && !r->id)
        return sfs_refuse(info, SCALEFS_E_NOENT, "No scrub is running. Start one with `scalefs scrub %s`.",
                          pool->config.name);
    bool waits = r->id && s->care && sfs_scrub_waits(s->care, NULL, 0);
    switch (verb) {
    case SCALEFS_SCRUB_START:
        if (r->id && r->state == 0 && !waits)
            return sfs_refuse(info, SCALEFS_E_BUSY, "A scrub is running already.");
        if (s->care && (!r->id || waits)) {
            sfs_scrub_forget(s->care);
            sfs_care_lost_begin(s->care);
        }
        if (!r->id || waits)
            *r = (struct sfs_task_record){.id = FIRST_ID, .kind = 1, .bytes_total = all_bytes(pool),
                                          .started_ns = sfs_wall_ns(s->env)};
        r->state = 0;
        break;
    case SCALEFS_SCRUB_PAUSE:
        r->state = 1;
        break;
    case SCALEFS_SCRUB_RESUME:
        r->state = 0;
        break;
    case SCALEFS_SCRUB_STOP:
        if (s->care)
            sfs_scrub_forget(s->care);
        *r = (struct sfs_task_record){0};
        break;
    }
    pool->config_dirty = true;
    sfs_care_wake(s);
    return SCALEFS_OK;
}

int sfs_care_scrub(struct sfs_store *s, enum scalefs_scrub_verb verb, struct scalefs_error_info *info)
{
    sfs_store_lock(s);
    struct sfs_task_record before = s->pool->scrub;
    struct sfs_lost_since since = s->care ? s->care->lost_since : (struct sfs_lost_since){0};
    int err = change(s, verb, info);
    sfs_store_unlock(s);
    if (err)
        return err;
    err = sfs_checkpoint(s, false, false, true);
    if (!err)
        return SCALEFS_OK;
    sfs_store_lock(s); /* as if it had not been asked for; what was read meanwhile is read again */
    s->pool->scrub = before;
    s->pool->config_dirty = true;
    if (s->care) {
        s->care->lost_since = since;
        sfs_scrub_forget(s->care);
    }
    sfs_store_unlock(s);
    return sfs_refuse(info, err, "It could not be recorded: %s.", scalefs_error_text(err));
}

/* --- its work --- */

struct scrub {
    struct sfs_care *care;
    struct sfs_group_record g;
    struct sfs_care_fix fix;
};

static bool next_head(struct sfs_care *care, uint16_t *index)
{
    sfs_store_lock(care->s);
    bool more = sfs_scrub_next_head(care, index);
    sfs_store_unlock(care->s);
    return more;
}

static void head_missed(struct sfs_care *care, uint16_t index, int why)
{
    sfs_store_lock(care->s);
    sfs_scrub_head_missed(care, index, why);
    sfs_store_unlock(care->s);
}

/* Of all members that are there and were not looked at yet. NOMEM: there are more. */
static int check_heads(struct sfs_care *care, unsigned *repairs)
{
    struct sfs_store *s = care->s;
    uint16_t index;
    unsigned repaired = 0;
    int err = SCALEFS_OK;
    bool rewrite = false;
    for (unsigned i = 0; i < SFS_DISKS_MAX && err != SCALEFS_E_NOMEM && next_head(care, &index); i++) {
        struct sfs_head_report r;
        err = sfs_member_check_head(s->pool, index, true, &r);
        if (err) {
            head_missed(care, index, err);
            continue;
        }
        unsigned bad = r.labels_bad + r.records_bad + r.pages_bad;
        rewrite = rewrite || r.records_bad || r.pages_bad;
        repaired += bad;
        if (bad)
            sfs_member_checksum_error(s->pool, index);
    }
    if (rewrite) {
        sfs_store_lock(s);
        sfs_pool_rewrite_table(s->pool);
        sfs_store_unlock(s);
        (void)sfs_checkpoint(s, false, false, true);
    }
    if (repaired)
        sfs_note_repair(s, repaired, 0);
    *repairs += repaired;
    return err == SCALEFS_E_NOMEM ? err : SCALEFS_OK;
}

static int check_headers(struct scrub *x)
{
    struct sfs_store *s = x->care->s;
    int held = sfs_care_hold(s, &x->g);
    if (held)
        return held == SCALEFS_E_CHANGED ? SCALEFS_OK : held;
    sfs_store_lock(s);
    const struct sfs_group *g = sfs_group_of(s->pool, x->g.group);
    bool fresh = g->fresh;
    sfs_store_unlock(s);
    int err = SCALEFS_OK;
    for (unsigned c = 0; c < (unsigned)x->g.k + x->g.m && !fresh && err != SCALEFS_E_NOMEM; c++) {
        err = sfs_column_check_header(s->pool, &x->g, c);
        if ((err != SCALEFS_E_CORRUPT && err != SCALEFS_E_IO) || (err = sfs_care_mend_header(s, &x->g, c)) != SCALEFS_OK)
            continue;
        x->fix.repaired++;
        sfs_member_checksum_error(s->pool, x->g.columns[c].disk);
        sfs_note_repair(s, 1, 0);
    }
    sfs_care_release(s, &x->g);
    return err == SCALEFS_E_NOMEM ? err : SCALEFS_OK;
}

static int fix_row(void *context, uint32_t row, uint32_t count)
{
    SFS_ASSERT(count == 1);
    struct scrub *x = context;
    return sfs_care_fix_row(x->care, &x->g, row, &x->fix);
}

/* The next rows from *row on; *row moves on, to the number of rows at the end. */
static int scrub_rows(struct scrub *x, uint32_t *row)
{
    struct sfs_store *s = x->care->s;
    struct sfs_row_state *states;
    int err = sfs_care_states(s, &x->g, &states);
    if (err) {
        *row = x->g.rows;
        return err == SCALEFS_E_NOENT ? SCALEFS_OK : err;
    }
    uint32_t rows[CHUNK_ROWS];
    size_t count = 0;
    uint32_t at = *row;
    for (; at < x->g.rows && count < CHUNK_ROWS; at++)
        if (states[at].live)
            rows[count++] = at;
    sfs_free(s->env, states);
    struct sfs_care_sweep sweep = {.care = x->care, .group = &x->g, .rows = rows, .each = fix_row, .context = x};
    err = sfs_care_sweep(&sweep, 0, count);
    if (!err)
        *row = at;
    return err;
}

static int scrub_log(struct scrub *x, uint32_t *row)
{
    struct sfs_store *s = x->care->s;
    uint64_t unit = sfs_group_unit(&x->g), at = *row * unit, end = 0;
    sfs_store_lock(s);
    struct sfs_group *g = sfs_group_of(s->pool, x->g.group);
    bool there = g && g->record.generation == x->g.generation, quiet = false;
    if (there) {
        end = g->count.write_row * unit;
        quiet = !g->allocating && !g->in_flight;
    }
    sfs_store_unlock(s);
    int held = there ? sfs_care_hold(s, &x->g) : SCALEFS_E_CHANGED, err = held == SCALEFS_E_CHANGED ? SCALEFS_OK : held;
    there = !held;
    uint64_t stop = at + CHUNK_LOG;
    while (there && !err && at < end && at < stop && !sfs_care_stops(x->care))
        err = sfs_care_fix_log(x->care, &x->g, &at, quiet, &x->fix);
    if (there)
        sfs_care_release(s, &x->g);
    *row = there && at < end ? (uint32_t)(at / unit) : x->g.rows;
    return err;
}

/* What is lost now, whatever was counted before: files may have been deleted or restored. locked */
static void count_as_lost(struct sfs_store *s, uint64_t lost, bool all)
{
    if (all || lost > s->pool->config.extents_lost)
        s->pool->config.extents_lost = lost;
    s->pool->config_dirty = true;
}

/* When all was read. */
static void finish(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    sfs_store_lock(s);
    struct sfs_task_record *r = &s->pool->scrub;
    if (!sfs_scrub_is_whole(care)) { /* a disk has just come back */
        sfs_store_unlock(s);
        return;
    }
    if (r->id) {
        uint64_t lost = sfs_care_lost_now(care, care->scrub.lost);
        sfs_log(s->env, SFS_LOG_INFO, "care", SCALEFS_OK, "scrub is done: %llu repaired, %llu lost",
                (unsigned long long)r->repaired, (unsigned long long)lost);
        count_as_lost(s, lost, true);
        sfs_care_lost_end(care);
        *r = (struct sfs_task_record){0};
    }
    sfs_scrub_forget(care);
    sfs_store_unlock(s);
    (void)sfs_checkpoint(s, false, false, true);
}

/* Something lies on absent disks, and all else was read. False: nothing does. */
static bool wait_for_disks(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    char why[256];
    sfs_store_lock(s);
    bool waits = sfs_scrub_waits(care, why, sizeof why), first = waits && !care->scrub.missing;
    if (first) {
        sfs_log(s->env, SFS_LOG_WARN, "care", SCALEFS_E_GONE, "scrub: %s", why);
        care->scrub.missing = true;
        count_as_lost(s, sfs_care_lost_now(care, care->scrub.lost), false);
    }
    sfs_store_unlock(s);
    if (first)
        (void)sfs_checkpoint(s, false, false, true);
    return waits;
}

/* Others get as much time as this took, while there are others. */
static void make_way(struct sfs_care *care, uint64_t began_ns)
{
    struct sfs_store *s = care->s;
    uint64_t took = sfs_now_ns(s->env) - began_ns;
    sfs_store_lock(s);
    bool others = s->applied != care->scrub_applied && care->scrub_applied;
    care->scrub_applied = s->applied;
    sfs_store_unlock(s);
    if (others)
        sfs_task_sleep(s->env, took < PAUSE_MAX_NS ? took : PAUSE_MAX_NS);
}

static int keep_place(struct sfs_care *care, const struct scrub *x, const struct sfs_scrub_piece *piece, uint32_t row, uint64_t lost)
{
    struct sfs_store *s = care->s;
    int err = SCALEFS_OK;
    sfs_store_lock(s);
    struct sfs_task_record *r = &s->pool->scrub;
    if (r->id && care->scrub.begun) { /* it may have been stopped meanwhile */
        r->bytes_done += x->fix.bytes;
        err = sfs_scrub_did(care, piece, row, lost);
        if (r->bytes_total < r->bytes_done)
            r->bytes_total = r->bytes_done;
        r->repaired += x->fix.repaired;
        s->pool->config_dirty = true;
    }
    sfs_store_unlock(s);
    sfs_care_moved(care, x->fix.bytes, x->fix.bytes);
    uint64_t now = sfs_now_ns(s->env);
    if (!err && now - care->scrub_saved_ns > SAVE_NS) {
        care->scrub_saved_ns = now;
        (void)sfs_checkpoint(s, false, false, true);
    }
    return err;
}

static int read_piece(struct scrub *x, const struct sfs_scrub_piece *piece, uint32_t *row)
{
    int err = *row == 0 ? check_headers(x) : SCALEFS_OK;
    if (err)
        return err;
    if (piece->live)
        return x->g.class == SFS_CLASS_LANDING ? scrub_log(x, row) : scrub_rows(x, row);
    *row = x->g.rows;
    return SCALEFS_OK;
}

bool sfs_care_scrub_step(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    struct scrub x = {.care = care};
    struct sfs_scrub_piece piece;
    uint64_t began = sfs_now_ns(s->env);
    bool more = false;
    sfs_store_lock(s);
    struct sfs_task_record r = s->pool->scrub;
    bool runs = r.id && r.state == 0;
    if (runs) {
        sfs_care_begin(care, r.id);
        more = sfs_scrub_next(care, &piece);
    }
    sfs_store_unlock(s);
    if (!runs)
        return false;
    int err = SCALEFS_OK;
    if (!more || (r.group == 0 && r.row == 0 && r.bytes_done == 0))
        err = check_heads(care, &x.fix.repaired);
    if (err) {
        care->retry = true;
        return false;
    }
    if (!more) {
        if (wait_for_disks(care))
            return false;
        finish(care);
        return true;
    }
    x.g = piece.g;
    uint32_t row = piece.row;
    uint64_t lost;
    err = read_piece(&x, &piece, &row);
    int unsure = sfs_care_count_lost(care, &lost);
    if (!err && unsure == SCALEFS_E_NOMEM)
        err = unsure;
    piece.unread = x.fix.waits || x.fix.unsure || sfs_care_passes(unsure);
    if (!err)
        err = keep_place(care, &x, &piece, row, lost);
    if (err) {
        care->retry = err != SCALEFS_E_CANCELED;
        return false;
    }
    make_way(care, began);
    return true;
}
