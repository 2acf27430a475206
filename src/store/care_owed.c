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
        if (g->fresh || (g->in_flight > g->pins + g->packing && !g->allocating)) {
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

static int between(struct sfs_care *care, uint64_t bytes)
{
    sfs_care_moved(care, bytes, 0);
    return sfs_care_breathe(care);
}

static int pay_headers(struct sfs_store *s, const struct sfs_group_record *g, uint16_t member)
{
    int err = SCALEFS_OK;
    for (unsigned c = 0; c < (unsigned)g->k + g->m && !err; c++) {
        if (g->columns[c].disk != member)
            continue;
        int r = sfs_column_check_header(s->pool, g, c);
        err = r == SCALEFS_E_CORRUPT || r == SCALEFS_E_IO ? sfs_care_mend_header(s, g, c) : r;
    }
    return err;
}

/* locked; gives up the lock */
static int pay_group(struct sfs_care *care, struct sfs_group *g, uint16_t member, uint64_t flushed)
{
    struct sfs_store *s = care->s;
    struct sfs_group_record r = g->record;
    struct sfs_care_fix fix = {0};
    uint64_t end = (uint64_t)g->count.write_row * sfs_group_unit(&r), bytes = sfs_care_column_live(g);
    sfs_store_unlock(s);
    int held = sfs_care_hold(s, &r), err = held ? held : pay_headers(s, &r, member);
    if (!err)
        err = sfs_care_fix_since(care, &r, flushed, end, between, &fix);
    if (!held)
        sfs_care_release(s, &r);
    if (!err)
        err = sfs_away_move(s, &r);
    uint64_t lost;
    int unsure = sfs_care_count_lost(care, &lost);
    if (!err && unsure == SCALEFS_E_NOMEM)
        err = unsure;
    if (!err)
        sfs_care_moved(care, 0, bytes);
    if (!err && fix.waits)
        err = SCALEFS_E_SUSPENDED;
    if (!err && fix.failed)
        err = SCALEFS_E_IO;
    if (err == SCALEFS_E_CHANGED) /* it is gone, and so is what it owed */
        err = SCALEFS_OK;
    sfs_store_lock(s);
    if (!err)
        err = sfs_vec_reserve(s->env, &care->owed.done, &care->owed.done_cap, care->owed.done_count + 1,
                              sizeof *care->owed.done);
    if (!err) {
        care->owed.done[care->owed.done_count++] = r.generation;
        care->owed.done_bytes += bytes;
    }
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
