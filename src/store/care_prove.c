/* More disks went at once than the pool bears, while what had been written was in their caches, and they are back: is it there?
 *
 * The pool is suspended meanwhile (pool->cut_off): memory refers to rows that may be lost, and a commit would make that durable in
 * the place of what was there before. So all that was written since the last commit is read, of every group with a column on a member
 * that was away. When everything that lives is right, or is made so from the other columns, the pool goes on as if nothing had been.
 * Otherwise it stays as it is, and opening anew goes on from the last commit.
 *
 * What verifies is not always what is meant: an older row, node or batch may stand there again. So of a row or batch something must
 * live, nodes of trees must be what the map says, and those of the map itself must be as young as memory knows. What cannot be told is
 * looked at again later; and from the beginning when a disk went or came meanwhile.
 *
 * Nodes that no copy has are dirty again when they are in memory. Rows that were in flight when the disks went are waited for: as in
 * care_owed.c, their groups are closed first.
 */
#include "store/care_internal.h"

static bool was_away(struct sfs_pool *pool, const struct sfs_group *g)
{
    for (unsigned c = 0; c < (unsigned)g->record.k + g->record.m; c++) {
        const struct sfs_member *m = sfs_member_of(pool, g->record.columns[c].disk);
        if (m && m->disk && !m->complete)
            return true;
    }
    return false;
}

static bool is_proved(const struct sfs_care *care, const struct sfs_group *g)
{
    for (size_t i = 0; i < care->proof.done_count; i++)
        if (care->proof.done[i] == g->record.generation)
            return true;
    return false;
}

static int note_proved(struct sfs_care *care, uint64_t generation)
{
    struct sfs_care_proof *p = &care->proof;
    int err = sfs_vec_reserve(care->s->env, &p->done, &p->done_cap, p->done_count + 1, sizeof *p->done);
    if (!err)
        p->done[p->done_count++] = generation;
    return err;
}

/* Rises whenever a member comes back: what was in its cache may be gone. locked */
static uint64_t comings(const struct sfs_pool *pool)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < pool->member_count; i++)
        sum += pool->members[i].used ? pool->members[i].comings : 0;
    return sum;
}

static bool is_same(const struct sfs_care *care)
{
    const struct sfs_pool *pool = care->s->pool;
    return care->proof.suspensions == pool->suspensions && care->proof.comings == comings(pool);
}

/* From here on rows of these groups are taken only when nothing of them is in flight. locked */
static void begin(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    care->proof.suspensions = s->pool->suspensions;
    care->proof.comings = comings(s->pool);
    care->proof.done_count = 0;
    care->proof.failed = false;
    for (unsigned i = 0; i < s->pool->member_count; i++)
        if (s->pool->members[i].used && s->pool->members[i].disk && !s->pool->members[i].complete)
            sfs_space_close_member(s, s->pool->members[i].record.index);
}

/* How often the group is held until its headers are written: by a checkpoint that cannot be made before we have ended. locked */
static uint32_t held_for_headers(const struct sfs_store *s, const struct sfs_group *g)
{
    uint32_t count = 0;
    for (size_t i = 0; i < s->fresh.count; i++)
        count += s->fresh.groups[i] == g->record.group;
    return count;
}

/* The next group to look at; *waiting: some cannot be looked at yet. What was made since the last commit may hold nothing durable, and
 * is looked at like the others. locked */
static struct sfs_group *next_group(struct sfs_care *care, bool *waiting)
{
    struct sfs_pool *pool = care->s->pool;
    struct sfs_group *found = NULL;
    *waiting = care->s->checkpointing;
    for (uint32_t i = 0; i < pool->group_cap && !care->s->checkpointing; i++) {
        struct sfs_group *g = pool->groups[i];
        if (!g || is_proved(care, g) || !was_away(pool, g) || (g->count.last_txn <= pool->committed && !g->in_flight))
            continue;
        if (g->in_flight > g->pins + g->packing + held_for_headers(care->s, g) && !g->allocating)
            *waiting = true;
        else if (!found)
            found = g;
    }
    return found;
}

static int between(struct sfs_care *care, uint64_t bytes)
{
    (void)bytes;
    return sfs_care_stops(care) ? SCALEFS_E_CANCELED : SCALEFS_OK;
}

/* locked; gives up the lock */
static int prove(struct sfs_care *care, struct sfs_group *g)
{
    struct sfs_store *s = care->s;
    struct sfs_group_record r = g->record;
    struct sfs_care_fix fix = {.strict = true};
    uint64_t end = (uint64_t)g->count.write_row * sfs_group_unit(&r), committed = s->pool->committed;
    sfs_store_unlock(s);
    care->lost_unsure = SCALEFS_OK;
    bool lost;
    int held = sfs_care_hold(s, &r), err = held ? held : sfs_care_fix_since(care, &r, committed, end, between, &fix);
    if (!held)
        sfs_care_release(s, &r);
    if (held == SCALEFS_E_CHANGED) /* it is gone, with all that was in it */
        err = SCALEFS_OK;
    int unsure = sfs_care_any_lost(care, &lost);
    sfs_store_lock(s);
    if (!err && (fix.waits || (lost && sfs_members_absent(s->pool)))) /* one that is absent may have it */
        err = SCALEFS_E_SUSPENDED;
    if (!err && (fix.failed || fix.unsure || unsure))
        err = SCALEFS_E_IO; /* another time, perhaps */
    if ((!err && lost) || (err == SCALEFS_E_CORRUPT && !sfs_members_absent(s->pool)))
        care->proof.failed = true;
    return err ? err : note_proved(care, r.generation);
}

bool sfs_care_prove_step(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    bool waiting = false, did = false;
    sfs_store_lock(s);
    if (s->pool->cut_off && !s->pool->waits) {
        if (!is_same(care))
            begin(care);
        struct sfs_group *g = care->proof.failed ? NULL : next_group(care, &waiting);
        if (g) {
            int err = prove(care, g);
            did = !err;
            care->retry = care->retry || (err && err != SCALEFS_E_CANCELED);
        } else if (waiting) {
            care->retry_soon = true;
        } else if (!care->proof.failed) {
            sfs_log(s->env, SFS_LOG_INFO, "care", SCALEFS_OK, "all that was written before too many disks went is there");
            sfs_pool_proved(s->pool);
            did = true;
        }
    }
    sfs_store_unlock(s);
    return did;
}
