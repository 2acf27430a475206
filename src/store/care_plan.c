/* Plans: what a change would mean, found by making it in memory, as its verb does, and taking it back.
 *
 * All of it happens under one hold of the lock, so nobody sees the wish. Disks that are not there yet stand in the memory of the
 * pool as members that nothing is ever written to.
 */
#include "store/care_internal.h"

#include <stdio.h>

struct trial {
    struct sfs_store *s;
    const struct sfs_change *c;
    struct sfs_disk *disks; /* pretended */
    uint16_t indices[SFS_DISKS_MAX];
    size_t joined;
};

static int pretend(struct trial *t, size_t i, const char *station, uint8_t role, struct scalefs_error_info *info)
{
    int err = sfs_member_pretend(t->s->pool, &t->disks[i], station, role, &t->indices[i]);
    t->joined += !err;
    return err ? sfs_refuse(info, err, "%s cannot join the pool: %s.", t->disks[i].info.path, scalefs_error_text(err)) : SCALEFS_OK;
}

static int try_add(struct trial *t, struct scalefs_error_info *info)
{
    struct sfs_disk *disks[SFS_DISKS_MAX];
    for (size_t i = 0; i < t->c->count; i++)
        disks[i] = &t->disks[i];
    int err = sfs_wish_may_join(t->s, disks, t->c->count, t->c->role, info);
    for (size_t i = 0; i < t->c->count && !err; i++)
        err = pretend(t, i, t->c->station, t->c->role, info);
    t->s->pool->config.settle = 1;
    return err;
}

static int try_replace(struct trial *t, struct scalefs_error_info *info)
{
    struct sfs_pool *pool = t->s->pool;
    char station[SFS_NAME_MAX + 1] = "";
    int err = sfs_wish_may_replace(t->s, t->c->index, &t->disks[0], info);
    const struct sfs_member *old = sfs_member_of(pool, t->c->index);
    if (!err)
        snprintf(station, sizeof station, "%s", old->record.station);
    if (!err)
        err = pretend(t, 0, station[0] ? station : NULL, old->record.role, info);
    if (!err)
        sfs_member_replaced_by(pool, t->c->index, t->indices[0]);
    return err;
}

static int make(struct trial *t, struct scalefs_error_info *info)
{
    return t->c->verb == SFS_CHANGE_ADD       ? try_add(t, info)
           : t->c->verb == SFS_CHANGE_REPLACE ? try_replace(t, info)
                                              : sfs_wish_make(t->s, t->c, info);
}

static unsigned borne(const struct sfs_pool *pool)
{
    unsigned staying = sfs_care_staying_for(pool, SFS_CLASS_DATA), most = staying ? staying - 1 : 0;
    return pool->config.failover < most ? pool->config.failover : most;
}

static void look_after(struct trial *t, struct scalefs_plan *p)
{
    struct sfs_pool *pool = t->s->pool;
    p->possible = true;
    p->usable_after = sfs_groups_capacity(pool);
    p->disks_after = sfs_care_staying(pool);
    p->failures_after = borne(pool);
    p->failures_during = p->failures_before < p->failures_after ? p->failures_before : p->failures_after;
    p->bytes_to_move = sfs_care_to_move(t->s->care);
}

/* The pool as it was, but for what the wish alone does not hold: the size of a member that grew. */
static void take_back(struct trial *t, const struct sfs_wish_all *before, uint64_t size, bool stale)
{
    struct sfs_pool *pool = t->s->pool;
    struct sfs_member *m = sfs_member_of(pool, t->c->index);
    if (t->c->verb == SFS_CHANGE_RESIZE && m && m->record.size > size) {
        (void)sfs_member_set_size(pool, m, size);
        m->stale_label = stale;
    }
    sfs_wish_take_back(pool, before);
    if (t->c->verb == SFS_CHANGE_ROLE && m)
        m->stale_label = stale;
    while (t->joined > 0)
        sfs_member_forget(pool, t->indices[--t->joined]);
}

/* locked */
static int try_it(struct trial *t, struct scalefs_plan *p, struct scalefs_error_info *info)
{
    struct sfs_pool *pool = t->s->pool;
    struct sfs_wish_all before;
    const struct sfs_member *m = sfs_member_of(pool, t->c->index);
    uint64_t size = m ? m->record.size : 0, device = m ? m->record.device_size : 0;
    bool stale = m && m->stale_label;
    p->disks_before = sfs_care_staying(pool);
    p->usable_before = sfs_groups_capacity(pool);
    p->failures_before = sfs_care_failures_left(t->s);
    sfs_wish_remember(pool, &before);
    int err = make(t, info);
    if (!err)
        look_after(t, p);
    take_back(t, &before, size, stale);
    struct sfs_member *again = sfs_member_of(pool, t->c->index);
    if (again)
        again->record.device_size = device;
    t->s->care->balance_known = false;
    return err;
}

/* Bytes a second, as they were moved lately, or else as the slowest disk is read. unlocked */
static uint64_t speed(struct sfs_store *s)
{
    uint16_t indices[SFS_DISKS_MAX];
    unsigned count = 0;
    sfs_store_lock(s);
    uint64_t known = s->care->speed, limit = s->pool->config.rate;
    for (unsigned i = 0; i < s->pool->member_count; i++)
        if (s->pool->members[i].used && s->pool->members[i].disk)
            indices[count++] = s->pool->members[i].record.index;
    sfs_store_unlock(s);
    for (unsigned i = 0, first = !known; i < count && first; i++) {
        uint64_t one = sfs_member_speed(s->pool, indices[i]);
        known = one && (!known || one < known) ? one : known;
    }
    return limit && limit < known ? limit : known;
}

static void name_disks(struct trial *t)
{
    for (size_t i = 0; i < t->c->count; i++) {
        struct sfs_disk_info *info = &t->disks[i].info;
        info->size_bytes = t->c->sizes[i] - t->c->sizes[i] % SFS_IO_ALIGN;
        info->sector_bytes = 4096;
        snprintf(info->path, sizeof info->path, "A disk of %llu MiB", (unsigned long long)(info->size_bytes >> 20));
    }
}

int sfs_care_plan(struct sfs_store *s, const struct sfs_change *c, struct scalefs_plan *plan)
{
    struct trial t = {.s = s, .c = c};
    struct scalefs_error_info info = {0};
    struct sfs_space space;
    *plan = (struct scalefs_plan){0};
    t.disks = sfs_zalloc(s->env, (c->count + 1) * sizeof *t.disks);
    if (!t.disks)
        return SCALEFS_E_NOMEM;
    name_disks(&t);
    sfs_store_space(s, &space);
    plan->used = space.used;
    sfs_store_lock(s);
    bool read_only = s->pool->read_only;
    s->pool->read_only = false; /* a pool that is opened to be looked at is asked what it would say */
    int err = try_it(&t, plan, &info);
    s->pool->read_only = read_only;
    sfs_store_unlock(s);
    sfs_free(s->env, t.disks);
    if (err == SCALEFS_E_NOMEM)
        return err;
    if (err)
        snprintf(plan->refusal, sizeof plan->refusal, "%s", info.text);
    plan->rate = speed(s);
    plan->seconds = plan->rate ? (plan->bytes_to_move + plan->rate - 1) / plan->rate : 0;
    return SCALEFS_OK;
}
