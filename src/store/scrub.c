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
    if (pool->read_only)
        return sfs_refuse(info, SCALEFS_E_ROFS, "The pool is open for reading only.");
    if (verb != SCALEFS_SCRUB_START && !r->id)
        return sfs_refuse(info, SCALEFS_E_NOENT, "No scrub is running. Start one with `scalefs scrub %s`.",
                          pool->config.name);
    switch (verb) {
    case SCALEFS_SCRUB_START:
        if (r->id && r->state == 0)
            return sfs_refuse(info, SCALEFS_E_BUSY, "A scrub is running already.");
        if (!r->id)
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
    int err = change(s, verb, info);
    sfs_store_unlock(s);
    if (err)
        return err;
    err = sfs_checkpoint(s, false, false, true);
    return err ? sfs_refuse(info, err, "It could not be recorded: %s.", scalefs_error_text(err)) : SCALEFS_OK;
}

/* --- its work --- */

struct scrub {
    struct sfs_care *care;
    struct sfs_group_record g;
    struct sfs_care_fix fix;
};

static unsigned check_heads(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    uint16_t index[SFS_DISKS_MAX];
    unsigned count = 0, repaired = 0;
    bool rewrite = false;
    sfs_store_lock(s);
    for (unsigned i = 0; i < s->pool->member_count; i++)
        if (s->pool->members[i].used && s->pool->members[i].disk)
            index[count++] = s->pool->members[i].record.index;
    sfs_store_unlock(s);
    for (unsigned i = 0; i < count; i++) {
        struct sfs_head_report r;
        if (sfs_member_check_head(s->pool, index[i], true, &r) != SCALEFS_OK)
            continue;
        unsigned bad = r.labels_bad + r.records_bad + r.pages_bad;
        rewrite = rewrite || r.records_bad || r.pages_bad;
        repaired += bad;
        if (bad)
            sfs_member_checksum_error(s->pool, index[i]);
    }
    if (rewrite) {
        sfs_store_lock(s);
        sfs_pool_rewrite_table(s->pool);
        sfs_store_unlock(s);
        (void)sfs_checkpoint(s, false, false, true);
    }
    if (repaired)
        sfs_note_repair(s, repaired, 0);
    return repaired;
}

static void check_headers(struct scrub *x)
{
    struct sfs_store *s = x->care->s;
    if (!sfs_care_hold(s, &x->g))
        return;
    sfs_store_lock(s);
    const struct sfs_group *g = sfs_group_of(s->pool, x->g.group);
    bool fresh = g->fresh;
    sfs_store_unlock(s);
    for (unsigned c = 0; c < (unsigned)x->g.k + x->g.m && !fresh; c++) {
        int err = sfs_column_check_header(s->pool, &x->g, c);
        if ((err != SCALEFS_E_CORRUPT && err != SCALEFS_E_IO) || sfs_care_mend_header(s, &x->g, c) != SCALEFS_OK)
            continue;
        x->fix.repaired++;
        sfs_member_checksum_error(s->pool, x->g.columns[c].disk);
        sfs_note_repair(s, 1, 0);
    }
    sfs_care_release(s, &x->g);
}

static int fix_row(void *context, uint32_t row)
{
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
    there = there && sfs_care_hold(s, &x->g);
    int err = SCALEFS_OK;
    uint64_t stop = at + CHUNK_LOG;
    while (there && !err && at < end && at < stop && !sfs_care_stops(x->care))
        err = sfs_care_fix_log(x->care, &x->g, &at, quiet, &x->fix);
    if (there)
        sfs_care_release(s, &x->g);
    *row = there && at < end ? (uint32_t)(at / unit) : x->g.rows;
    return err;
}

/* The next group with a number of at least `from`; false: no more. locked */
static bool next_group(struct sfs_pool *pool, uint32_t from, struct sfs_group_record *g, bool *live)
{
    while (from < pool->group_cap && !pool->groups[from])
        from++;
    if (from >= pool->group_cap)
        return false;
    *g = pool->groups[from]->record;
    *live = pool->groups[from]->count.live > 0;
    return true;
}

static void finish(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    sfs_store_lock(s);
    struct sfs_task_record *r = &s->pool->scrub;
    sfs_log(s->env, SFS_LOG_INFO, "care", SCALEFS_OK, "scrub is done: %llu repaired, %llu lost", (unsigned long long)r->repaired,
            (unsigned long long)r->lost);
    /* What is lost now, whatever was counted before: files may have been deleted or restored. With disks absent not everything
     * was seen. */
    bool all = true;
    for (unsigned i = 0; i < s->pool->member_count; i++)
        all = all && (!s->pool->members[i].used || s->pool->members[i].disk);
    if (all || r->lost > s->pool->config.extents_lost)
        s->pool->config.extents_lost = r->lost;
    *r = (struct sfs_task_record){0};
    s->pool->config_dirty = true;
    sfs_store_unlock(s);
    (void)sfs_checkpoint(s, false, false, true);
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

static void keep_place(struct sfs_care *care, const struct scrub *x, uint32_t group, uint32_t row, uint64_t lost)
{
    struct sfs_store *s = care->s;
    sfs_store_lock(s);
    struct sfs_task_record *r = &s->pool->scrub;
    if (r->id) { /* it may have been stopped meanwhile */
        r->group = group;
        r->row = row;
        r->bytes_done += x->fix.bytes;
        if (r->bytes_total < r->bytes_done)
            r->bytes_total = r->bytes_done;
        r->repaired += x->fix.repaired;
        r->lost += lost;
        s->pool->config_dirty = true;
    }
    sfs_store_unlock(s);
    sfs_care_moved(care, x->fix.bytes, x->fix.bytes);
    uint64_t now = sfs_now_ns(s->env);
    if (now - care->scrub_saved_ns > SAVE_NS) {
        care->scrub_saved_ns = now;
        (void)sfs_checkpoint(s, false, false, true);
    }
}

bool sfs_care_scrub_step(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    struct scrub x = {.care = care};
    uint64_t began = sfs_now_ns(s->env);
    sfs_store_lock(s);
    struct sfs_task_record r = s->pool->scrub;
    bool live = false, more = next_group(s->pool, r.group, &x.g, &live);
    sfs_store_unlock(s);
    if (!r.id || r.state != 0)
        return false;
    sfs_store_lock(s);
    sfs_care_begin(care, r.id);
    sfs_store_unlock(s);
    if (r.group == 0 && r.row == 0 && r.bytes_done == 0)
        x.fix.repaired += check_heads(care);
    if (!more) {
        finish(care);
        return true;
    }
    uint32_t row = r.group == x.g.group ? r.row : 0;
    if (row == 0)
        check_headers(&x);
    if (!live)
        row = x.g.rows;
    int err = !live ? SCALEFS_OK : x.g.class == SFS_CLASS_LANDING ? scrub_log(&x, &row) : scrub_rows(&x, &row);
    uint64_t lost = sfs_care_count_lost(care);
    if (err) {
        care->retry = err != SCALEFS_E_CANCELED;
        return false;
    }
    bool group_done = row >= x.g.rows;
    keep_place(care, &x, group_done ? x.g.group + 1 : x.g.group, group_done ? 0 : row, lost);
    make_way(care, began);
    return true;
}
