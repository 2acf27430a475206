/* What is wished of a pool: which disks it has, how many may fail, how wide data is striped.
 *
 * A change of the wish is tried on the pool's memory under the lock, judged by the same functions that place groups and count
 * room, and taken back when it cannot be had; so a refusal changes nothing. What stays is made durable with a commit, and
 * the work begins: care compares every group with the wish (care_fit.c) and moves what differs.
 */
#include "store/care_internal.h"

#include "pool/placement.h"

#include <stdio.h>

void sfs_wish_remember(const struct sfs_pool *pool, struct sfs_wish_all *w)
{
    memset(w, 0, sizeof *w);
    w->config = pool->config;
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct sfs_disk_record *r = &pool->members[i].record;
        w->of_member[i].index = r->index;
        w->of_member[i].replaced_by = r->replaced_by;
        w->of_member[i].wish = r->wish;
        w->of_member[i].paused = r->paused;
        w->of_member[i].role = r->role;
        w->of_member[i].wanted_size = r->wanted_size;
    }
}

void sfs_wish_take_back(struct sfs_pool *pool, const struct sfs_wish_all *w)
{
    struct sfs_config_record *c = &pool->config;
    c->failover = w->config.failover;
    c->optimize = w->config.optimize;
    c->settle = w->config.settle;
    c->paused = w->config.paused;
    c->rate = w->config.rate;
    /* A commit that failed may have lowered it, since one that is absent was not to be waited for. */
    if (c->quorum < w->config.quorum)
        c->quorum = w->config.quorum;
    pool->config_dirty = true;
    for (unsigned i = 0; i < pool->member_count; i++) {
        struct sfs_member *m = &pool->members[i];
        if (!m->used || m->record.index != w->of_member[i].index)
            continue;
        uint16_t heir = w->of_member[i].replaced_by;
        m->record.replaced_by = heir != SFS_NONE16 && sfs_member_of(pool, heir) ? heir : SFS_NONE16;
        m->record.paused = w->of_member[i].paused;
        if (m->record.role != w->of_member[i].role)
            sfs_member_set_role(m, w->of_member[i].role);
        uint64_t size = w->of_member[i].wanted_size;
        if (m->record.wanted_size != size && size <= m->record.size)
            sfs_member_want(m, size);
        if (m->record.wish != w->of_member[i].wish)
            sfs_member_wish(pool, m, (enum sfs_wish)w->of_member[i].wish);
        m->dirty = true;
    }
}

int sfs_wish_may(struct sfs_pool *pool, struct scalefs_error_info *info)
{
    if (pool->read_only)
        return sfs_refuse(info, SCALEFS_E_ROFS, "The pool is open for reading only.");
    if (pool->suspended)
        return sfs_refuse(info, SCALEFS_E_SUSPENDED, "The pool cannot be changed now. %s Connect them first.",
                               pool->suspended_why);
    return SCALEFS_OK;
}

unsigned sfs_care_staying(const struct sfs_pool *pool)
{
    unsigned count = 0;
    for (unsigned i = 0; i < pool->member_count; i++)
        count += pool->members[i].used && !sfs_care_drains(&pool->members[i]);
    return count;
}

unsigned sfs_care_staying_for(const struct sfs_pool *pool, enum sfs_class class)
{
    unsigned count = 0;
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct sfs_member *m = &pool->members[i];
        count += m->used && !sfs_care_drains(m) && sfs_placement_may(class, m->record.role);
    }
    return count;
}

/* Bytes of files that must find room, and what nodes take of the room for data. locked */
static uint64_t needed(struct sfs_pool *pool)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < pool->group_cap; i++) {
        const struct sfs_group *g = pool->groups[i];
        if (g && (g->record.class == SFS_CLASS_DATA || g->record.class == SFS_CLASS_LANDING))
            bytes += g->count.live;
    }
    return bytes;
}

/* Would the pool, as it is wished now, hold what it has to hold? Absent members that stay are counted as if they were there. */
int sfs_wish_fits(struct sfs_store *s, const char *less, struct scalefs_error_info *info)
{
    struct sfs_pool *pool = s->pool;
    unsigned staying = sfs_care_staying_for(pool, SFS_CLASS_DATA), usable = 0;
    bool roles = staying < sfs_care_staying(pool);
    for (unsigned i = 0; i < pool->member_count; i++)
        usable += sfs_member_takes(&pool->members[i], SFS_CLASS_DATA);
    if (!staying || !usable)
        return sfs_refuse(info, SCALEFS_E_TOO_FEW, "A pool needs at least one disk%s.", roles ? " for data" : "");
    if (pool->config.failover >= staying && roles)
        return sfs_refuse(info, SCALEFS_E_TOO_FEW,
                          "%u disk%s would be left for data, which can bear the loss of %u at most, and failover would be %u; metadata "
                          "disks hold no data. Add disks for data first, give one of the metadata disks the role data, or ask for less "
                          "with %s%u.", staying, staying == 1 ? "" : "s", staying - 1, pool->config.failover, less, staying - 1);
    if (pool->config.failover >= staying)
        return sfs_refuse(info, SCALEFS_E_TOO_FEW,
                          "%u disk%s can bear the loss of %u at most, and failover would be %u. Add disks first, or ask for "
                               "less with %s%u.", staying, staying == 1 ? "" : "s", staying - 1,
                          pool->config.failover, less, staying - 1);
    uint64_t need = needed(pool), have = sfs_groups_capacity(pool);
    if (need > have)
        return sfs_refuse(info, SCALEFS_E_NOSPC,
                               "The files take %llu MiB, and there would be room for %llu MiB: %llu MiB are missing. Delete "
                               "files, or add a disk first.", (unsigned long long)(need >> 20),
                               (unsigned long long)(have >> 20), (unsigned long long)((need - have + (1u << 20) - 1) >> 20));
    struct sfs_after after;
    sfs_care_after(s->care, &after);
    s->care->after_key = 0; /* it may be taken back */
    uint64_t lacks = sfs_space_lacks(s, &after);
    if (lacks)
        return sfs_refuse(info, SCALEFS_E_NOSPC,
                          "Where they stand now the files would not find room for the change: %llu MiB are missing. Delete files, or "
                          "add a disk first.", (unsigned long long)((lacks + (1u << 20) - 1) >> 20));
    return SCALEFS_OK;
}

int sfs_wish_record(struct sfs_store *s, const struct sfs_wish_all *before, struct scalefs_error_info *info)
{
    s->unrecorded++;
    sfs_store_unlock(s);
    int err = sfs_checkpoint(s, false, false, true);
    sfs_store_lock(s);
    s->unrecorded--;
    if (err)
        sfs_wish_take_back(s->pool, before);
    sfs_care_wake(s);
    sfs_store_unlock(s);
    return err ? sfs_refuse(info, err, "The change could not be recorded: %s.", scalefs_error_text(err)) : SCALEFS_OK;
}

/* --- the wishes: memory only. What was made in vain is taken back by who called. locked --- */

static int wish_remove(struct sfs_store *s, const struct sfs_change *c, struct scalefs_error_info *info)
{
    struct sfs_pool *pool = s->pool;
    struct sfs_member *m = sfs_member_of(pool, c->index);
    if (!m)
        return sfs_refuse(info, SCALEFS_E_NOENT, "The pool has no disk %u.", c->index);
    if (sfs_care_drains(m))
        return sfs_refuse(info, SCALEFS_E_BUSY, "Disk %u is leaving already.", c->index);
    sfs_member_wish(pool, m, m->disk ? SFS_WISH_LEAVE : SFS_WISH_FAILED);
    m->record.paused = 0;
    if (c->failover >= 0)
        pool->config.failover = (uint8_t)c->failover;
    pool->config_dirty = true;
    return sfs_wish_fits(s, "--failover ", info);
}

static int wish_configure(struct sfs_store *s, const struct sfs_change *c, struct scalefs_error_info *info)
{
    struct sfs_config_record *config = &s->pool->config;
    if (c->failover >= 0)
        config->failover = (uint8_t)c->failover;
    if (c->optimize >= 0)
        config->optimize = (uint8_t)c->optimize;
    config->settle = 1;
    s->pool->config_dirty = true;
    return sfs_wish_fits(s, "failover=", info);
}

static int wish_role(struct sfs_store *s, const struct sfs_change *c, struct scalefs_error_info *info)
{
    struct sfs_member *m = sfs_member_of(s->pool, c->index);
    if (!m)
        return sfs_refuse(info, SCALEFS_E_NOENT, "The pool has no disk %u.", c->index);
    if (c->role > SFS_ROLE_METADATA)
        return sfs_refuse(info, SCALEFS_E_INVAL, "A disk is for data or for metadata; there is no role %u.", c->role);
    if (sfs_care_drains(m))
        return sfs_refuse(info, SCALEFS_E_BUSY, "Disk %u is leaving, so its role is not changed. `scalefs cancel %s` keeps it.", c->index,
                          s->pool->config.name);
    if (m->record.role == c->role)
        return SCALEFS_OK;
    sfs_member_set_role(m, c->role);
    m->record.paused = 0;
    s->pool->config.settle = 1;
    s->pool->config_dirty = true;
    return sfs_wish_fits(s, "failover=", info);
}

int sfs_wish_make(struct sfs_store *s, const struct sfs_change *c, struct scalefs_error_info *info)
{
    int err = sfs_wish_may(s->pool, info);
    if (err)
        return err;
    switch (c->verb) {
    case SFS_CHANGE_REMOVE:
        return wish_remove(s, c, info);
    case SFS_CHANGE_CONFIGURE:
        return wish_configure(s, c, info);
    case SFS_CHANGE_RESIZE:
        return sfs_wish_resize(s, c, info);
    case SFS_CHANGE_ROLE:
        return wish_role(s, c, info);
    default:
        return SCALEFS_E_INVAL;
    }
}

static int change(struct sfs_store *s, const struct sfs_change *c, struct scalefs_error_info *info)
{
    struct sfs_wish_all before;
    sfs_store_lock(s);
    sfs_wish_remember(s->pool, &before);
    int err = sfs_wish_make(s, c, info);
    if (!err)
        return sfs_wish_record(s, &before, info);
    sfs_wish_take_back(s->pool, &before);
    sfs_store_unlock(s);
    return err;
}

bool sfs_wish_holds(const struct sfs_store *s)
{
    bool joins = false;
    for (unsigned i = 0; i < s->pool->member_count; i++)
        joins = joins || (s->pool->members[i].used && s->pool->members[i].unnamed);
    return !joins && !s->unrecorded;
}

int sfs_care_remove(struct sfs_store *s, uint16_t index, int failover, struct scalefs_error_info *info)
{
    struct sfs_change c = {.verb = SFS_CHANGE_REMOVE, .index = index, .failover = failover};
    return change(s, &c, info);
}

int sfs_care_configure(struct sfs_store *s, int failover, int optimize, struct scalefs_error_info *info)
{
    struct sfs_change c = {.verb = SFS_CHANGE_CONFIGURE, .failover = failover, .optimize = optimize};
    return change(s, &c, info);
}

int sfs_care_role(struct sfs_store *s, uint16_t index, uint8_t role, struct scalefs_error_info *info)
{
    struct sfs_change c = {.verb = SFS_CHANGE_ROLE, .index = index, .role = role};
    return change(s, &c, info);
}

int sfs_wish_may_join(struct sfs_store *s, struct sfs_disk *const *disks, size_t count, uint8_t role,
                      struct scalefs_error_info *info)
{
    int err = sfs_wish_may(s->pool, info);
    if (!err && role > SFS_ROLE_METADATA)
        err = sfs_refuse(info, SCALEFS_E_INVAL, "A disk is for data or for metadata; there is no role %u.", role);
    for (size_t i = 0; i < count && !err; i++) {
        uint64_t room;
        err = sfs_disk_room(s->pool, disks[i], &room);
        if (err == SCALEFS_E_NOTSUP)
            sfs_refuse(info, err, "%s cannot be used in this pool: its zones have not the length of the others'.",
                       disks[i]->info.path);
        else if (err)
            sfs_refuse(info, err, "%s is too small: a disk has at least 32 MiB.", disks[i]->info.path);
    }
    return err;
}

/* They are not to be members after all. One that holds columns already leaves as every disk does. The disks are the pool's. */
static void send_away(struct sfs_store *s, const uint16_t *indices, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sfs_store_lock(s);
        while (s->checkpointing) /* it may be writing to it */
            sfs_cond_wait(&s->checkpoint_done, s->lock);
        struct sfs_member *m = sfs_member_of(s->pool, indices[i]);
        struct sfs_disk *disk = m ? m->disk : NULL;
        bool empty = m && m->free_atoms == m->record.atoms && m->limit == m->record.atoms;
        if (empty)
            sfs_member_drop(s->pool, indices[i]);
        else if (m)
            sfs_member_wish(s->pool, m, SFS_WISH_LEAVE);
        sfs_care_wake(s);
        sfs_store_unlock(s);
        if (empty)
            sfs_member_wipe(s->pool, disk);
    }
}

int sfs_care_add(struct sfs_store *s, struct sfs_disk *const *disks, const char *station, uint8_t role, size_t count,
                 struct scalefs_error_info *info)
{
    uint16_t indices[SFS_DISKS_MAX];
    size_t joined = 0;
    sfs_store_lock(s);
    int err = count > SFS_DISKS_MAX ? SCALEFS_E_INVAL : sfs_wish_may_join(s, disks, count, role, info);
    sfs_store_unlock(s);
    while (joined < count && !err) {
        err = sfs_member_add(s->pool, disks[joined], station && station[0] ? station : NULL, role, &indices[joined], info);
        joined += !err;
    }
    if (!err) {
        sfs_store_lock(s);
        s->pool->config.settle = 1;
        s->pool->config_dirty = true;
        sfs_store_unlock(s);
        err = sfs_checkpoint(s, false, false, true);
        if (err)
            sfs_refuse(info, err, "The new disks could not be recorded: %s.", scalefs_error_text(err));
    }
    for (size_t i = joined; i < count && err; i++)
        sfs_disk_close(disks[i]);
    if (err)
        send_away(s, indices, joined);
    sfs_store_lock(s);
    for (size_t i = 0; i < joined && !err; i++) { /* from now on they may be used */
        struct sfs_member *m = sfs_member_of(s->pool, indices[i]);
        if (m)
            m->unnamed = false;
    }
    sfs_care_wake(s);
    sfs_store_unlock(s);
    return err;
}

bool sfs_care_quorum_step(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    sfs_store_lock(s);
    struct sfs_pool *pool = s->pool;
    uint8_t quorum = pool->config.quorum;
    bool low = quorum < pool->config.failover && !sfs_members_absent(pool);
    sfs_store_unlock(s);
    /* The first commit tells all members of the higher failover, the second one counts on it. */
    for (unsigned i = 0; low && i < 2; i++)
        if (sfs_checkpoint(s, false, false, true))
            return false;
    sfs_store_lock(s);
    bool rose = pool->config.quorum > quorum;
    sfs_store_unlock(s);
    return rose;
}
