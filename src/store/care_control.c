/* Changes that are going on are paused, resumed, taken back, and kept from taking the disks for themselves.
 *
 * What is paused is remembered in the configuration, so it stays so over a restart. To take a change back is a wish like any
 * other: the one before. What was moved for it is moved back only where it is not what is wished then.
 */
#include "store/care_internal.h"

#include <stdio.h>

#define OTHERS_NS 50000000ull /* whoever asked so short ago is there */
#define OTHERS_SHARE 2u        /* others get so many times what a change took */
#define OTHERS_MAX_NS 1000000000ull

/* --- pausing --- */

static struct sfs_member *member_of_task(struct sfs_pool *pool, unsigned task)
{
    bool sheds = task > SFS_CARE_RESIZE;
    unsigned index = task - (task > SFS_CARE_ROLE ? SFS_CARE_ROLE : sheds ? SFS_CARE_RESIZE : SFS_CARE_DRAIN);
    if (task <= SFS_CARE_DRAIN || index >= SFS_NONE16)
        return NULL;
    struct sfs_member *m = sfs_member_of(pool, (uint16_t)index);
    bool goes_on = m && (sheds ? sfs_care_sheds(pool, m) : sfs_care_drains(m));
    return goes_on && sfs_care_task_of(m) == task ? m : NULL;
}

bool sfs_care_paused(const struct sfs_pool *pool, unsigned task)
{
    uint8_t set = pool->config.paused;
    bool is_change = task == SFS_CARE_CONVERT || task == SFS_CARE_REBALANCE || (task > SFS_CARE_DRAIN && task < SFS_CARE_REBUILD) ||
                     task > SFS_CARE_RESIZE;
    if (set & SFS_PAUSED_ALL && is_change)
        return true;
    if (task == SFS_CARE_CONVERT || task == SFS_CARE_REBALANCE)
        return set & (task == SFS_CARE_CONVERT ? SFS_PAUSED_CONVERT : SFS_PAUSED_REBALANCE);
    const struct sfs_member *m = member_of_task((struct sfs_pool *)pool, task);
    return m && m->record.paused;
}

static bool listed(struct sfs_store *s, unsigned task)
{
    struct scalefs_task_status tasks[64];
    size_t count = sfs_care_list(s, tasks, 64);
    for (size_t i = 0; i < count && i < 64; i++)
        if (tasks[i].id == task)
            return true;
    return false;
}

static int no_task(struct sfs_store *s, unsigned task, struct scalefs_error_info *info)
{
    return sfs_refuse(info, SCALEFS_E_NOENT, "There is no task %u; `scalefs status %s` lists those that there are.", task,
                      s->pool->config.name);
}

static void set_paused(struct sfs_pool *pool, unsigned task, bool paused)
{
    uint8_t bit = !task ? SFS_PAUSED_ALL : task == SFS_CARE_CONVERT ? SFS_PAUSED_CONVERT
                                       : task == SFS_CARE_REBALANCE ? SFS_PAUSED_REBALANCE : 0;
    struct sfs_config_record *c = &pool->config;
    c->paused = paused ? c->paused | bit : task ? (uint8_t)(c->paused & ~bit) : 0;
    pool->config_dirty = true;
    for (unsigned i = 0; i < pool->member_count; i++) {
        struct sfs_member *m = &pool->members[i];
        bool meant = m->used && (task ? m == member_of_task(pool, task) : !paused);
        if (meant && m->record.paused != paused) {
            m->record.paused = paused;
            m->dirty = true;
        }
    }
}

/* locked */
static int may_pause(struct sfs_store *s, unsigned task, bool pause, struct scalefs_error_info *info)
{
    struct sfs_pool *pool = s->pool;
    if (pool->read_only)
        return sfs_refuse(info, SCALEFS_E_ROFS, "The pool is open for reading only.");
    if (!task)
        return SCALEFS_OK;
    if (!listed(s, task))
        return no_task(s, task, info);
    if (task > SFS_CARE_REBUILD && task < SFS_CARE_RESIZE)
        return sfs_refuse(info, SCALEFS_E_INVAL,
                          "Task %u gives a disk what it missed; without that fewer disks may fail, so it is not paused. To use the "
                          "pool without that disk: `scalefs offline %s DISK`.", task, pool->config.name);
    if (!pause && pool->config.paused & SFS_PAUSED_ALL)
        return sfs_refuse(info, SCALEFS_E_INVAL, "All changes of the pool are paused: `scalefs resume %s` lets them go on.",
                          pool->config.name);
    return SCALEFS_OK;
}

static int change_paused(struct sfs_store *s, unsigned task, bool pause, struct scalefs_error_info *info)
{
    struct sfs_wish_all before;
    sfs_store_lock(s);
    if (task && s->pool->scrub.id == task) {
        sfs_store_unlock(s);
        return sfs_care_scrub(s, pause ? SCALEFS_SCRUB_PAUSE : SCALEFS_SCRUB_RESUME, info);
    }
    int err = may_pause(s, task, pause, info);
    if (err) {
        sfs_store_unlock(s);
        return err;
    }
    sfs_wish_remember(s->pool, &before);
    set_paused(s->pool, task, pause);
    return sfs_wish_record(s, &before, info);
}

int sfs_care_pause(struct sfs_store *s, unsigned task, struct scalefs_error_info *info)
{
    return change_paused(s, task, true, info);
}

int sfs_care_resume(struct sfs_store *s, unsigned task, struct scalefs_error_info *info)
{
    return change_paused(s, task, false, info);
}

int sfs_care_limit(struct sfs_store *s, uint64_t rate, struct scalefs_error_info *info)
{
    struct sfs_wish_all before;
    sfs_store_lock(s);
    sfs_wish_remember(s->pool, &before);
    s->pool->config.rate = rate;
    s->pool->config_dirty = true;
    if (s->care) {
        s->care->pace_ns = 0;
        sfs_meter_begin(&s->care->meter, sfs_now_ns(s->env));
    }
    return sfs_wish_record(s, &before, info);
}

/* --- taking back --- */

/* A disk that leaves stays; one that was to take its place leaves. What failed cannot be had back. locked */
static bool keep_member(struct sfs_pool *pool, struct sfs_member *m)
{
    if (!m->disk || sfs_member_failed(m))
        return false;
    struct sfs_member *heir = m->record.replaced_by != SFS_NONE16 ? sfs_member_of(pool, m->record.replaced_by) : NULL;
    m->record.replaced_by = SFS_NONE16;
    m->record.paused = 0;
    sfs_member_wish(pool, m, SFS_WISH_STAY);
    if (heir && !sfs_care_drains(heir))
        sfs_member_wish(pool, heir, SFS_WISH_LEAVE);
    return true;
}

static bool is_heir(const struct sfs_pool *pool, const struct sfs_member *m)
{
    for (unsigned i = 0; i < pool->member_count; i++)
        if (pool->members[i].used && pool->members[i].record.replaced_by == m->record.index)
            return true;
    return false;
}

static bool send_back_joining(struct sfs_pool *pool)
{
    bool some = false;
    for (unsigned i = 0; i < pool->member_count; i++) {
        struct sfs_member *m = &pool->members[i];
        if (!m->used || m->record.wish != SFS_WISH_JOIN || m->unnamed || is_heir(pool, m))
            continue;
        sfs_member_wish(pool, m, SFS_WISH_LEAVE);
        some = true;
    }
    return some;
}

static bool config_back(struct sfs_pool *pool)
{
    struct sfs_config_record *c = &pool->config;
    bool some = c->failover != c->was_failover || c->optimize != c->was_optimize;
    if (some) {
        c->failover = c->was_failover;
        c->optimize = c->was_optimize;
        c->settle = 1;
    }
    pool->config_dirty = true;
    return some;
}

/* The wish as it was before. NOENT: nothing is to be taken back; INVAL: it cannot be. locked */
static int take_back(struct sfs_store *s, unsigned task, struct scalefs_error_info *info)
{
    struct sfs_pool *pool = s->pool;
    struct sfs_member *leaving[SFS_DISKS_MAX]; /* before the first heir is sent away */
    unsigned drains = 0, kept = 0;
    bool some = false;
    for (unsigned i = 0; i < pool->member_count; i++) {
        struct sfs_member *m = &pool->members[i];
        if (m->used && sfs_care_drains(m) && (!task || m == member_of_task(pool, task)))
            leaving[drains++] = m;
        else if (sfs_member_shrinks(m) && (!task || m == member_of_task(pool, task))) {
            sfs_member_want(m, m->record.size);
            m->record.paused = 0;
            some = true;
        } else if (m->used && sfs_care_sheds(pool, m) && (!task || m == member_of_task(pool, task))) {
            sfs_member_set_role(m, SFS_ROLE_DATA); /* it keeps the data that it has, and gets its share again */
            m->record.paused = 0;
            pool->config.settle = 1;
            some = true;
        }
    }
    for (unsigned i = 0; i < drains; i++)
        kept += keep_member(pool, leaving[i]);
    if (!task || task == SFS_CARE_REBALANCE)
        some = send_back_joining(pool) || some;
    if (!task || task == SFS_CARE_CONVERT || (task == SFS_CARE_REBALANCE && !some))
        some = config_back(pool) || some;
    if (kept || some)
        return SCALEFS_OK;
    if (drains)
        return sfs_refuse(info, SCALEFS_E_INVAL,
                          "A disk that counts as failed cannot come back, so what it held must be rebuilt: that cannot be taken back. "
                          "`scalefs pause %s` halts it.", pool->config.name);
    if (pool->config.settle && (!task || task == SFS_CARE_REBALANCE)) {
        pool->config.settle = 0; /* free space stays as uneven as it is */
        for (unsigned i = 0; i < pool->member_count; i++)
            if (pool->members[i].used)
                sfs_member_joined(pool, pool->members[i].record.index);
        return SCALEFS_OK;
    }
    if (task && listed(s, task))
        return sfs_refuse(info, SCALEFS_E_INVAL,
                          "Task %u cannot be taken back: it brings the groups to what the pool is configured for, as before. "
                          "`scalefs pause %s %u` halts it.", task, pool->config.name, task);
    return task ? no_task(s, task, info)
                : sfs_refuse(info, SCALEFS_E_NOENT, "No change is going on that could be taken back.");
}

int sfs_care_cancel(struct sfs_store *s, unsigned task, struct scalefs_error_info *info)
{
    struct sfs_wish_all before;
    sfs_store_lock(s);
    if (task && s->pool->scrub.id == task) {
        sfs_store_unlock(s);
        return sfs_care_scrub(s, SCALEFS_SCRUB_STOP, info);
    }
    int err = sfs_wish_may(s->pool, info);
    if (!err) {
        sfs_wish_remember(s->pool, &before);
        err = take_back(s, task, info);
        if (!err)
            err = sfs_wish_fits(s, "failover=", info);
        if (!err)
            return sfs_wish_record(s, &before, info);
        sfs_wish_take_back(s->pool, &before);
    }
    sfs_store_unlock(s);
    return err;
}

/* --- pace --- */

/* Was something asked for in the last `ns`, or only just before? locked */
static bool others(const struct sfs_store *s, uint64_t ns)
{
    return s->asked_ns && sfs_now_ns(s->env) - s->asked_ns < ns + OTHERS_NS;
}

bool sfs_care_others(struct sfs_care *care)
{
    sfs_store_lock(care->s);
    bool there = others(care->s, 0);
    sfs_store_unlock(care->s);
    return there;
}

/* locked */
static bool goes_on(const struct sfs_care *care)
{
    return !care->stopping && !sfs_care_paused(care->s->pool, care->active);
}

void sfs_care_pace(struct sfs_care *care, uint64_t bytes, uint64_t began_ns)
{
    struct sfs_store *s = care->s;
    sfs_store_lock(s);
    uint64_t now = sfs_now_ns(s->env), took = now > began_ns ? now - began_ns : 0, rate = s->pool->config.rate;
    uint64_t until = now;
    if (s->options.no_background) { /* whoever makes the steps waits for them */
        sfs_store_unlock(s);
        return;
    }
    if (others(s, took)) /* who has waited ever since counts, too */
        until += took * OTHERS_SHARE < OTHERS_MAX_NS ? took * OTHERS_SHARE : OTHERS_MAX_NS;
    if (rate) {
        if (care->pace_ns < now - (took < now ? took : now))
            care->pace_ns = now - (took < now ? took : now); /* what was not used before is not saved up */
        care->pace_ns += (uint64_t)((double)bytes * 1e9 / (double)rate);
        if (until < care->pace_ns)
            until = care->pace_ns;
    }
    while (goes_on(care) && sfs_now_ns(s->env) < until && s->pool->config.rate == rate)
        sfs_cond_wait_until(&care->wake, s->lock, until);
    sfs_store_unlock(s);
}
