/* Members that are behind: what was written while a disk was absent is written to it, nothing else.
 *
 * A pass goes over the groups that have a column there and were written after the disk's last flush. It must not miss rows
 * that were being written, without this disk, when the disk came back, and are not live yet. So at its beginning all groups that
 * are being filled and have a column there are closed: such a group is filled again only when nothing of it is in flight. A group
 * is looked at when that was so once: nothing is in flight, or it is being filled again.
 *
 * When all groups are done and flushed, the member lacks nothing.
 */
#include "store/care_internal.h"

#include <stdio.h>

#define CHUNK_ROWS 128u

struct pass {
    struct sfs_care *care;
    struct sfs_group_record g;
    struct sfs_care_fix fix;
};

static struct sfs_member *behind(struct sfs_pool *pool, const struct sfs_care *care)
{
    for (unsigned i = 0; i < pool->member_count; i++) {
        struct sfs_member *m = &pool->members[i];
        if (m->used && m->disk && !m->complete && !sfs_care_drains(m) && !sfs_care_blocked(care, m->record.index))
            return m;
    }
    return NULL;
}

static void begin_pass(struct sfs_care *care, const struct sfs_member *m)
{
    struct sfs_store *s = care->s;
    care->owed.member = m->record.index;
    care->owed.comings = m->comings;
    care->owed.done_bytes = 0;
    care->owed.done_count = 0;
    sfs_space_close_member(s, m->record.index);
    care->owed.txn = s->pool->txn;
}

static bool is_done(const struct sfs_care_owed *o, const struct sfs_group *g)
{
    if (g->record.birth > o->txn)
        return true;
    for (size_t i = 0; i < o->done_count; i++)
        if (o->done[i] == g->record.generation)
            return true;
    return false;
}

/* The next group to look at; *waiting: some cannot be looked at yet. */
static struct sfs_group *next_group(struct sfs_care *care, const struct sfs_member *m, bool *waiting)
{
    struct sfs_pool *pool = care->s->pool;
    struct sfs_group *best = NULL;
    unsigned best_spare = 0;
    *waiting = false;
    for (uint32_t i = 0; i < pool->group_cap; i++) {
        struct sfs_group *g = pool->groups[i];
        if (!g || !sfs_care_has_column(&g->record, m->record.index) || is_done(&care->owed, g))
            continue;
        if (g->count.last_txn <= m->record.flushed_txn && g->record.birth <= m->record.flushed_txn && !g->in_flight)
            continue;
        if (g->fresh || (g->in_flight > g->pins && !g->allocating)) {
            *waiting = true;
            continue;
        }
        unsigned spare = sfs_care_spare(pool, g);
        if (!best || spare < best_spare) { /* nearest to loss first */
            best = g;
            best_spare = spare;
        }
    }
    return best;
}

static int fix_row(void *context, uint32_t row, uint32_t count)
{
    SFS_ASSERT(count == 1);
    struct pass *p = context;
    return sfs_care_fix_row(p->care, &p->g, row, &p->fix);
}

static int pay_rows(struct pass *p, uint64_t flushed)
{
    struct sfs_care *care = p->care;
    struct sfs_row_state *states = NULL;
    int err = sfs_care_states(care->s, &p->g, &states);
    if (err)
        return err == SCALEFS_E_NOENT ? SCALEFS_OK : err;
    uint32_t *rows = sfs_alloc(care->s->env, (size_t)p->g.rows * sizeof *rows);
    size_t count = 0;
    err = rows ? SCALEFS_OK : SCALEFS_E_NOMEM;
    /* When the nodes of system groups were written is not kept: all of them are looked at. */
    for (uint32_t row = 0; !err && row < p->g.rows; row++)
        if (states[row].live && (states[row].txn > flushed || p->g.class == SFS_CLASS_SYSTEM))
            rows[count++] = row;
    struct sfs_care_sweep sweep = {.care = care, .group = &p->g, .rows = rows, .each = fix_row, .context = p};
    for (size_t from = 0; from < count && !err; from += CHUNK_ROWS) {
        size_t to = count - from < CHUNK_ROWS ? count : from + CHUNK_ROWS;
        err = sfs_care_sweep(&sweep, from, to);
        sfs_care_moved(care, (uint64_t)(to - from) * sfs_group_unit(&p->g), 0);
        if (!err)
            err = sfs_care_breathe(care);
    }
    sfs_free(care->s->env, rows);
    sfs_free(care->s->env, states);
    return err;
}

/* The log as far as it is written; held, so that its group stays. */
static int pay_log(struct pass *p, uint64_t end)
{
    struct sfs_care *care = p->care;
    int err = SCALEFS_OK;
    for (uint64_t at = 0; at < end && !err;) {
        uint64_t before = at;
        err = sfs_care_fix_log(care, &p->g, &at, false, &p->fix);
        sfs_care_moved(care, at - before, 0);
        if (!err && sfs_care_stops(care))
            err = SCALEFS_E_CANCELED;
    }
    return err;
}

static int pay_headers(struct pass *p, uint16_t member)
{
    int err = SCALEFS_OK;
    for (unsigned c = 0; c < (unsigned)p->g.k + p->g.m && !err; c++) {
        if (p->g.columns[c].disk != member)
            continue;
        int r = sfs_column_check_header(p->care->s->pool, &p->g, c);
        if (r == SCALEFS_E_CORRUPT || r == SCALEFS_E_IO)
            err = sfs_care_mend_header(p->care->s, &p->g, c);
    }
    return err;
}

/* locked; gives up the lock */
static int pay_group(struct sfs_care *care, struct sfs_group *g, uint16_t member, uint64_t flushed)
{
    struct sfs_store *s = care->s;
    struct pass *p = sfs_zalloc(s->env, sizeof *p);
    if (!p)
        return SCALEFS_E_NOMEM;
    p->care = care;
    p->g = g->record;
    uint64_t end = (uint64_t)g->count.write_row * sfs_group_unit(&g->record), bytes = sfs_care_column_live(g);
    bool log = g->record.class == SFS_CLASS_LANDING;
    sfs_store_unlock(s);
    bool held = sfs_care_hold(s, &p->g);
    int err = held ? SCALEFS_OK : SCALEFS_E_CHANGED;
    if (!err)
        err = pay_headers(p, member);
    if (!err)
        err = log ? pay_log(p, end) : pay_rows(p, flushed);
    if (held)
        sfs_care_release(s, &p->g);
    if (!err)
        err = sfs_away_move(s, &p->g);
    sfs_care_count_lost(care);
    if (!err)
        sfs_care_moved(care, 0, bytes);
    if (!err && p->fix.waits)
        err = SCALEFS_E_SUSPENDED;
    if (!err && p->fix.failed)
        err = SCALEFS_E_IO;
    if (err == SCALEFS_E_CHANGED) /* it is gone, and so is what it owed */
        err = SCALEFS_OK;
    sfs_store_lock(s);
    if (!err)
        err = sfs_vec_reserve(s->env, &care->owed.done, &care->owed.done_cap, care->owed.done_count + 1,
                              sizeof *care->owed.done);
    if (!err) {
        care->owed.done[care->owed.done_count++] = p->g.generation;
        care->owed.done_bytes += bytes;
    }
    sfs_free(s->env, p);
    return err;
}

/* What could not be read is tried again: perhaps only for want of this member. locked */
static void hope_again(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    care->stuck_count = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (g && ((void *)g->store == s || (void *)g->store == g))
            g->store = NULL;
    }
}

/* Everything was written: when it is durable the member lacks nothing. locked; gives up the lock. */
static int finish(struct sfs_care *care, uint16_t index, unsigned comings)
{
    struct sfs_store *s = care->s;
    sfs_store_unlock(s);
    int err = sfs_checkpoint(s, false, false, true);
    sfs_store_lock(s);
    struct sfs_member *m = sfs_member_of(s->pool, index);
    bool same = m && m->disk && m->comings == comings;
    if (!err && same) {
        m->complete = true;
        m->dirty = true;
        care->owed.member = 0;
        hope_again(care);
    }
    sfs_store_unlock(s);
    if (!err && same) {
        sfs_log(s->env, SFS_LOG_INFO, "care", SCALEFS_OK, "disk %u has caught up", index);
        err = sfs_checkpoint(s, false, false, true);
    }
    sfs_store_lock(s);
    return err;
}

bool sfs_care_owed_step(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    bool waiting, did = false;
    sfs_store_lock(s);
    struct sfs_member *m = behind(s->pool, care);
    if (m) {
        uint16_t index = m->record.index;
        sfs_care_begin(care, SFS_CARE_REBUILD + index);
        if (care->owed.member != index || care->owed.comings != m->comings)
            begin_pass(care, m);
        struct sfs_group *g = next_group(care, m, &waiting);
        int err = SCALEFS_OK;
        if (g)
            err = pay_group(care, g, index, m->record.flushed_txn);
        else if (waiting)
            care->retry_soon = true;
        else
            err = finish(care, index, care->owed.comings);
        if (err == SCALEFS_E_BUSY) {
            care->retry_soon = true;
            err = SCALEFS_OK;
        }
        did = !err && !care->retry_soon;
        if (err && err != SCALEFS_E_CANCELED) {
            char why[200];
            snprintf(why, sizeof why, "What it lacks cannot be written now: %s.", scalefs_error_text(err));
            sfs_care_block(care, index, why);
            did = true; /* there may be others */
        }
    }
    sfs_store_unlock(s);
    return did;
}
