/* The background task of care: what is to be done next, one small step at a time. See care.h.
 *
 * What there is to do follows from the state of pool and store alone, so nothing is planned or queued: after each
 * step, and whenever something changed (sfs_care_wake), the task looks again. Work that cannot go on (no room, no disk) is
 * blocked with a reason, and tried again after the next change, or after a while.
 */
#include "store/care_internal.h"

#include "store/move.h"

#include <stdio.h>

#define RETRY_NS 10000000000ull
#define SOON_NS 20000000ull

void sfs_care_wake(struct sfs_store *s)
{
    if (!s->care)
        return;
    s->care->wakes++;
    s->care->busy = s->care->task != NULL;
    sfs_cond_signal(&s->care->wake);
}

/* --- blocked work --- */

const char *sfs_care_blocked(const struct sfs_care *care, uint16_t member)
{
    for (size_t i = 0; i < care->block_count; i++)
        if (care->blocks[i].member == member)
            return care->blocks[i].reason;
    return NULL;
}

void sfs_care_block(struct sfs_care *care, uint16_t member, const char *reason)
{
    struct sfs_env *env = care->s->env;
    if (sfs_care_blocked(care, member) ||
        sfs_vec_reserve(env, &care->blocks, &care->block_cap, care->block_count + 1, sizeof *care->blocks))
        return;
    struct sfs_care_block *b = &care->blocks[care->block_count++];
    b->member = member;
    snprintf(b->reason, sizeof b->reason, "%s", reason);
}

/* --- speed --- */

void sfs_care_moved(struct sfs_care *care, uint64_t moved, uint64_t done)
{
    struct sfs_store *s = care->s;
    sfs_store_lock(s);
    uint64_t now = sfs_now_ns(s->env);
    sfs_meter_add(&care->meter, care->active, moved, done, now);
    uint64_t rate = sfs_meter_rate(&care->meter, now);
    if (rate && !s->pool->config.rate) /* what a user asked for says nothing of the disks */
        care->speed = rate;
    sfs_store_unlock(s);
}

/* --- steps --- */

/* Logs that were being filled when the pool was closed, or whose group got a moving column, take nothing more. */
static void close_idle_logs(struct sfs_store *s)
{
    sfs_store_lock(s);
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (g && g->record.class == SFS_CLASS_LANDING && g->record.state == SFS_GROUP_OPEN && !g->allocating &&
            g->in_flight == 0) {
            g->record.state = SFS_GROUP_CLOSED;
            sfs_table_mark_group(s->pool, g);
        }
    }
    sfs_store_unlock(s);
}

/* The next closed log. What could not be read of it stays, so a log is packed once only. locked */
static struct sfs_group *log_to_pack(struct sfs_store *s)
{
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (g && g->record.class == SFS_CLASS_LANDING && g->record.state == SFS_GROUP_CLOSED && !g->allocating &&
            g->in_flight == 0 && g->count.live > 0 && !g->moving && !g->store)
            return g;
    }
    return NULL;
}

bool sfs_care_pack(struct sfs_store *s)
{
    close_idle_logs(s);
    sfs_store_lock(s);
    struct sfs_group *g = s->pool->suspended ? NULL : log_to_pack(s);
    uint32_t number = g ? g->record.group : 0;
    uint64_t generation = g ? g->record.generation : 0;
    sfs_store_unlock(s);
    if (!g)
        return false;
    int err = sfs_move_landing(s, number);
    sfs_store_lock(s);
    g = sfs_group_of(s->pool, number);
    if (!err && g && g->record.generation == generation)
        g->store = s; /* seen */
    if (err && err != SCALEFS_E_CHANGED)
        s->care->retry = true;
    sfs_store_unlock(s);
    return err == SCALEFS_OK;
}

bool sfs_care_stops(struct sfs_care *care)
{
    sfs_store_lock(care->s);
    bool stops = care->stopping;
    sfs_store_unlock(care->s);
    return stops;
}

bool sfs_care_halts(struct sfs_care *care)
{
    sfs_store_lock(care->s);
    bool halts = care->stopping || sfs_care_paused(care->s->pool, care->active);
    sfs_store_unlock(care->s);
    return halts;
}

int sfs_care_breathe(struct sfs_care *care)
{
    if (sfs_care_halts(care))
        return SCALEFS_E_CANCELED;
    (void)sfs_care_pack(care->s); /* logs must not wait for long work: they hold room */
    return SCALEFS_OK;
}

bool sfs_care_away_step(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    struct sfs_group_record g;
    if (!sfs_away_next(s, &g))
        return false;
    int err = sfs_away_move(s, &g);
    if (!err)
        err = sfs_checkpoint(s, false, false, true);
    sfs_store_lock(s);
    care->retry_soon = care->retry_soon || err == SCALEFS_E_BUSY;
    care->retry = care->retry || err;
    sfs_store_unlock(s);
    return !err;
}

/* Whoever makes a wish, or lets a member join, wakes us when that is recorded or taken back. */
static bool move_step(struct sfs_care *care)
{
    sfs_store_lock(care->s);
    bool holds = sfs_wish_holds(care->s);
    sfs_store_unlock(care->s);
    return holds && (sfs_care_sizes_step(care) || sfs_care_quorum_step(care) || sfs_care_order_step(care) || sfs_care_balance_step(care));
}

bool sfs_care_step(struct sfs_store *s)
{
    sfs_store_lock(s);
    bool may = !s->pool->suspended && !s->pool->read_only;
    sfs_store_unlock(s);
    struct sfs_care *care = s->care;
    if (!may)
        return sfs_care_prove_step(care);
    return sfs_care_pack(s) || sfs_care_away_step(care) || sfs_care_unsafe_step(care) || sfs_care_owed_step(care) || move_step(care) ||
           sfs_care_scrub_step(care) || sfs_care_name_step(care);
}

static void run(void *context)
{
    struct sfs_care *care = context;
    struct sfs_store *s = care->s;
    sfs_store_lock(s);
    while (!care->stopping) {
        uint64_t seen = care->wakes;
        care->busy = true;
        care->failures_left = sfs_care_failures_left(s);
        sfs_store_unlock(s);
        bool did = sfs_care_step(s);
        sfs_store_lock(s);
        if (did)
            care->applied = s->applied;
        if (did || care->stopping)
            continue;
        care->active = 0;
        if (care->wakes == seen) {
            care->busy = care->retry_soon;
            if (!care->busy)
                sfs_cond_broadcast(&care->rest);
            if (care->retry_soon)
                sfs_cond_wait_until(&care->wake, s->lock, sfs_now_ns(s->env) + SOON_NS);
            else if (care->block_count || care->retry)
                sfs_cond_wait_until(&care->wake, s->lock, sfs_now_ns(s->env) + RETRY_NS);
            else
                sfs_cond_wait(&care->wake, s->lock);
            /* The time of waiting says nothing about the speed of what comes now. */
            if (!care->busy)
                sfs_meter_begin(&care->meter, sfs_now_ns(s->env));
        }
        if (!care->retry_soon || care->wakes != seen)
            care->block_count = care->room_made = 0;
        care->retry = care->retry_soon = false;
    }
    sfs_store_unlock(s);
}

void sfs_care_await(struct sfs_store *s, uint64_t most_ns)
{
    uint64_t until = sfs_now_ns(s->env) + most_ns;
    sfs_store_lock(s);
    if (s->care && s->care->busy) {
        sfs_cond_wait_until(&s->care->rest, s->lock, until);
        sfs_store_unlock(s);
        return;
    }
    sfs_store_unlock(s);
    sfs_task_sleep(s->env, most_ns); /* at rest, and yet not idle: for a checkpoint, or for work that is paused */
}

/* Called by the pool when a member went or its errors changed. */
static void member_changed(void *context)
{
    struct sfs_store *s = context;
    sfs_store_lock(s);
    sfs_care_wake(s);
    sfs_store_unlock(s);
}

int sfs_care_start(struct sfs_store *s)
{
    struct sfs_care *care = sfs_zalloc(s->env, sizeof *care);
    if (!care)
        return SCALEFS_E_NOMEM;
    care->s = s;
    sfs_cond_init(&care->wake, s->env);
    sfs_cond_init(&care->rest, s->env);
    sfs_map_init(&care->lost_ids, s->env);
    sfs_meter_begin(&care->meter, sfs_now_ns(s->env));
    sfs_store_lock(s);
    s->care = care;
    s->pool->on_member_change = member_changed;
    s->pool->on_member_change_context = s;
    sfs_store_unlock(s);
    if (s->options.no_background || s->pool->read_only)
        return SCALEFS_OK;
    care->busy = true;
    return sfs_task_start(s->env, "care", run, care, &care->task);
}

void sfs_care_stop(struct sfs_store *s)
{
    struct sfs_care *care = s->care;
    if (!care)
        return;
    sfs_store_lock(s);
    care->stopping = true;
    sfs_cond_broadcast(&care->wake);
    sfs_store_unlock(s);
    if (care->task)
        sfs_task_join(s->env, care->task);
    sfs_store_lock(s);
    s->pool->on_member_change = NULL;
    s->care = NULL;
    sfs_store_unlock(s);
    sfs_cond_deinit(&care->wake);
    sfs_cond_deinit(&care->rest);
    sfs_free(s->env, care->blocks);
    sfs_free(s->env, care->owed.done);
    sfs_free(s->env, care->proof.done);
    sfs_free(s->env, care->scrub.missed);
    sfs_free(s->env, care->lost);
    sfs_free(s->env, care->unsafe);
    sfs_map_deinit(&care->lost_ids);
    sfs_free(s->env, care->stuck);
    sfs_free(s->env, care->roomless);
    sfs_free(s->env, care->fixed);
    sfs_free(s->env, care->progress);
    sfs_free(s->env, care->wipe);
    sfs_free(s->env, care);
}

/* --- what users ask for --- */

int sfs_care_offline(struct sfs_store *s, uint16_t index, struct scalefs_error_info *info)
{
    char why[400] = "";
    int err = SCALEFS_OK;
    sfs_store_lock(s);
    struct sfs_pool *pool = s->pool;
    struct sfs_member *m = sfs_member_of(pool, index);
    if (m && m->disk) {
        unsigned absent = 1 + sfs_members_absent(pool);
        unsigned worst = 0;
        for (uint32_t n = 0; n < pool->group_cap; n++) {
            struct sfs_group *g = pool->groups[n];
            unsigned left = 0, here = 0;
            for (unsigned c = 0; g && c < (unsigned)g->record.k + g->record.m; c++) {
                struct sfs_member *on = sfs_member_of(pool, g->record.columns[c].disk);
                bool there = on && on->disk && (on->complete || g->count.last_txn <= on->record.flushed_txn);
                here += on == m;
                left += there && on != m;
            }
            worst += g && (g->count.live || g->in_flight) && here && left < g->record.k;
        }
        if (absent > pool->config.failover || absent > pool->config.quorum)
            snprintf(why, sizeof why, "failover is %u, and %u disk%s would be absent", pool->config.failover, absent,
                     absent == 1 ? "" : "s");
        else if (worst)
            snprintf(why, sizeof why, "data that lies on it is not yet rebuilt elsewhere");
    }
    sfs_store_unlock(s);
    if (why[0])
        return sfs_refuse(info, SCALEFS_E_BUSY,
                          "Disk %u cannot go offline: %s, so files could not be reached. Bring back the absent disks or "
                          "wait until nothing is left to do, then try again.", index, why);
    err = sfs_member_offline(s->pool, index, info);
    if (!err && !s->pool->read_only)
        err = sfs_checkpoint(s, false, false, true);
    return err;
}

int sfs_care_online(struct sfs_store *s, struct sfs_disk *disk, struct scalefs_error_info *info)
{
    int err = sfs_member_online(s->pool, disk, info);
    if (err)
        return err;
    sfs_store_lock(s);
    sfs_care_wake(s);
    sfs_store_unlock(s);
    /* The disk is the pool's from here on, whatever becomes of this checkpoint; the next one says the same. */
    err = sfs_checkpoint(s, false, false, true);
    if (err)
        sfs_log(s->env, SFS_LOG_WARN, "care", err, "a returning disk is not yet recorded: %s", scalefs_error_text(err));
    return SCALEFS_OK;
}
