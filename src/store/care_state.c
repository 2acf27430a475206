/* What care is doing and how the pool is, in numbers and in words. Memory only: never waits for a disk. */
#include "store/care_internal.h"

#include <stdio.h>

bool sfs_care_drains(const struct sfs_member *m)
{
    return m->used && (m->record.replaced_by != SFS_NONE16 || m->record.wish == SFS_WISH_LEAVE ||
                       sfs_member_failed(m));
}

/* About how many live bytes a column of the group holds. */
uint64_t sfs_care_column_live(const struct sfs_group *g)
{
    if (g->record.class == SFS_CLASS_LANDING)
        return g->count.live ? (uint64_t)g->count.write_row * sfs_group_unit(&g->record) : 0;
    return (uint64_t)g->count.used_rows * sfs_group_unit(&g->record);
}

bool sfs_care_has_column(const struct sfs_group_record *g, uint16_t member)
{
    for (unsigned c = 0; c < (unsigned)g->k + g->m; c++)
        if (g->columns[c].disk == member)
            return true;
    return false;
}

/* Live bytes of the member's columns; with `since`, only of groups that were written after that txn. */
static uint64_t bytes_on(const struct sfs_pool *pool, uint16_t member, uint64_t since)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < pool->group_cap; i++) {
        const struct sfs_group *g = pool->groups[i];
        if (g && sfs_care_has_column(&g->record, member) && g->count.last_txn > since)
            bytes += sfs_care_column_live(g);
    }
    return bytes;
}

/* --- tasks --- */

struct list {
    struct scalefs_task_status *tasks;
    size_t cap, count;
    const struct sfs_care *care;
};

static void add(struct list *l, struct scalefs_task_status t, const char *blocked)
{
    if (blocked && t.state == SCALEFS_TASK_RUNNING) {
        t.state = SCALEFS_TASK_BLOCKED;
        snprintf(t.reason, sizeof t.reason, "%s", blocked);
    }
    if (t.bytes_done > t.bytes_total)
        t.bytes_done = t.bytes_total;
    if (t.state == SCALEFS_TASK_RUNNING && l->care) {
        t.rate = l->care->rate;
        t.eta_seconds = t.rate ? (t.bytes_total - t.bytes_done) / t.rate : 0;
    }
    if (l->count < l->cap)
        l->tasks[l->count] = t;
    l->count++;
}

static const char *blocked(struct sfs_store *s, uint16_t member)
{
    if (s->pool->suspended)
        return s->pool->suspended_why;
    return s->care ? sfs_care_blocked(s->care, member) : NULL;
}

static void add_drain(struct sfs_store *s, struct list *l, const struct sfs_member *m)
{
    struct sfs_pool *pool = s->pool;
    uint16_t index = m->record.index, to = m->record.replaced_by;
    uint64_t left = bytes_on(pool, index, 0), there = 0;
    if (to != SFS_NONE16)
        there = bytes_on(pool, to, 0);
    add(l, (struct scalefs_task_status){.id = 1000u + index, .state = SCALEFS_TASK_RUNNING, .disk = index,
                                        .kind = to != SFS_NONE16 ? SCALEFS_TASK_REPLACE : SCALEFS_TASK_REMOVE,
                                        .bytes_done = there, .bytes_total = there + left},
        blocked(s, index));
}

static void add_rebuild(struct sfs_store *s, struct list *l, const struct sfs_member *m)
{
    uint16_t index = m->record.index;
    uint64_t total = bytes_on(s->pool, index, m->record.flushed_txn);
    uint64_t done = s->care && s->care->owed.member == index ? s->care->owed.done_bytes : 0;
    add(l, (struct scalefs_task_status){.id = 2000u + index, .state = SCALEFS_TASK_RUNNING, .disk = index,
                                        .kind = SCALEFS_TASK_REBUILD, .bytes_done = done, .bytes_total = total},
        blocked(s, index));
}

static void add_convert(struct sfs_store *s, struct list *l)
{
    uint64_t left = 0;
    for (uint32_t i = 0; s->care && i < s->pool->group_cap; i++) {
        const struct sfs_group *g = s->pool->groups[i];
        if (g && g->count.live && sfs_care_converts(s->care, g))
            left += g->count.live;
    }
    if (!left) {
        if (s->care)
            s->care->convert_total = 0;
        return;
    }
    if (s->care->convert_total < left)
        s->care->convert_total = left;
    add(l, (struct scalefs_task_status){.id = 4001, .kind = SCALEFS_TASK_CONVERT, .state = SCALEFS_TASK_RUNNING,
                                        .bytes_done = s->care->convert_total - left, .bytes_total = s->care->convert_total},
        blocked(s, 0));
}

static void add_settle(struct sfs_store *s, struct list *l)
{
    uint64_t total = 0;
    if (!s->pool->config.settle)
        return;
    for (uint32_t i = 0; i < s->pool->group_cap; i++)
        total += s->pool->groups[i] ? s->pool->groups[i]->count.live : 0;
    add(l, (struct scalefs_task_status){.id = 4002, .kind = SCALEFS_TASK_REBALANCE, .state = SCALEFS_TASK_RUNNING,
                                        .bytes_total = total},
        blocked(s, 0));
}

static void add_scrub(struct sfs_store *s, struct list *l)
{
    const struct sfs_task_record *r = &s->pool->scrub;
    add(l, (struct scalefs_task_status){.id = r->id, .kind = SCALEFS_TASK_SCRUB, .bytes_done = r->bytes_done,
                                        .bytes_total = r->bytes_total,
                                        .state = r->state ? SCALEFS_TASK_PAUSED : SCALEFS_TASK_RUNNING},
        s->pool->suspended ? s->pool->suspended_why : NULL);
}

static size_t list_tasks(struct sfs_store *s, struct scalefs_task_status *tasks, size_t cap)
{
    struct list l = {tasks, cap, 0, s->care};
    for (unsigned i = 0; i < s->pool->member_count; i++) {
        const struct sfs_member *m = &s->pool->members[i];
        if (!m->used)
            continue;
        if (sfs_care_drains(m))
            add_drain(s, &l, m);
        else if (m->disk && !m->complete)
            add_rebuild(s, &l, m);
    }
    add_convert(s, &l);
    add_settle(s, &l);
    if (s->pool->scrub.id)
        add_scrub(s, &l);
    return l.count;
}

void sfs_care_tasks(struct sfs_store *s, struct scalefs_task_status *tasks, size_t cap, size_t *count)
{
    sfs_store_lock(s);
    size_t n = list_tasks(s, tasks, cap);
    sfs_store_unlock(s);
    *count = n < cap ? n : cap;
}

bool sfs_care_idle(struct sfs_store *s)
{
    struct scalefs_task_status tasks[16];
    bool busy = false;
    sfs_store_lock(s);
    if (s->care && !s->pool->read_only && !s->pool->suspended) {
        size_t n = list_tasks(s, tasks, 16);
        busy = n > 16 || s->away_count || s->care->busy || s->durable < s->care->applied;
        for (size_t i = 0; i < n && i < 16; i++)
            busy = busy || tasks[i].state == SCALEFS_TASK_RUNNING;
    }
    sfs_store_unlock(s);
    return !busy;
}

/* --- state --- */

/* Columns that can be used beyond what is needed. Several columns on one disk go together. */
unsigned sfs_care_spare(struct sfs_pool *pool, const struct sfs_group *g)
{
    unsigned good = 0, n = (unsigned)g->record.k + g->record.m;
    for (unsigned c = 0; c < n; c++) {
        uint16_t disk = g->record.columns[c].disk;
        const struct sfs_member *m = sfs_member_of(pool, disk);
        bool first = true;
        for (unsigned b = 0; b < c; b++)
            first = first && g->record.columns[b].disk != disk;
        good += m && m->disk && first && (m->complete || g->count.last_txn <= m->record.flushed_txn);
    }
    return good > g->record.k ? good - g->record.k : 0;
}

static unsigned failures_left(struct sfs_pool *pool)
{
    unsigned left = pool->config.failover, absent = sfs_members_absent(pool), online = sfs_members_online(pool);
    if (left > pool->config.quorum) /* more at once would stop it */
        left = pool->config.quorum;
    left = left > absent ? left - absent : 0;
    if (left + 1 > online)
        left = online ? online - 1 : 0;
    for (uint32_t i = 0; i < pool->group_cap && left; i++) {
        const struct sfs_group *g = pool->groups[i];
        if (!g || (g->count.live == 0 && g->in_flight == 0))
            continue;
        unsigned spare = sfs_care_spare(pool, g);
        if (spare < left)
            left = spare;
    }
    return left;
}

unsigned sfs_care_failures_left(struct sfs_store *s)
{
    unsigned left = failures_left(s->pool);
    /* What was moved to a better place counts there when it is durable. */
    if (s->care && s->durable < s->care->applied && left > s->care->failures_left)
        left = s->care->failures_left;
    return left;
}

static void name_members(struct sfs_pool *pool, bool (*which)(const struct sfs_member *), char *text, size_t size,
                         unsigned *count, uint16_t *first)
{
    size_t len = 0;
    *count = 0;
    text[0] = 0;
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct sfs_member *m = &pool->members[i];
        if (!m->used || !which(m))
            continue;
        if ((*count)++ == 0)
            *first = m->record.index;
        if (len + 8 < size)
            len += (size_t)snprintf(text + len, size - len, "%s%u", len ? ", " : "", m->record.index);
    }
}

static bool is_absent(const struct sfs_member *m)
{
    return !m->disk && !sfs_care_drains(m);
}

static bool is_behind(const struct sfs_member *m)
{
    return m->disk && !m->complete && !sfs_care_drains(m);
}

static bool is_draining(const struct sfs_member *m)
{
    return sfs_care_drains(m);
}

static void advise(struct sfs_store *s, unsigned left, char *action, size_t size)
{
    struct sfs_pool *pool = s->pool;
    const char *name = pool->config.name;
    char text[160];
    unsigned count;
    uint16_t first = 0;
    name_members(pool, is_absent, text, sizeof text, &count, &first);
    if (pool->suspended) {
        snprintf(action, size, "%s Connect them again; the pool goes on by itself, or after `scalefs online %s DISK`.",
                 pool->suspended_why, name);
        return;
    }
    if (count == 1) {
        snprintf(action, size, "Disk %s is absent: connect it again, or replace it with `scalefs replace %s %u NEW`.", text,
                 name, first);
        return;
    }
    if (count > 1) {
        snprintf(action, size, "Disks %s are absent: connect them again, or replace each with `scalefs replace %s DISK NEW`.",
                 text, name);
        return;
    }
    if (pool->config.extents_lost) {
        snprintf(action, size, "%llu pieces of files could not be read or rebuilt: the log names them. Restore those files "
                               "from a backup, then run `scalefs scrub %s`.",
                 (unsigned long long)pool->config.extents_lost, name);
        return;
    }
    name_members(pool, is_draining, text, sizeof text, &count, &first);
    const char *why = count ? blocked(s, first) : NULL;
    if (why) {
        snprintf(action, size, "Disk %u cannot be emptied: %s", first, why);
        return;
    }
    if (left >= pool->config.failover)
        return;
    name_members(pool, is_behind, text, sizeof text, &count, &first);
    if (count)
        snprintf(action, size, "Wait while disk%s %s catch%s up.", count > 1 ? "s" : "", text, count > 1 ? "" : "es");
    else if (pool->members[0].used)
        name_members(pool, is_draining, text, sizeof text, &count, &first);
    if (!action[0] && count)
        snprintf(action, size, "Wait while disk%s %s %s replaced.", count > 1 ? "s" : "", text, count > 1 ? "are" : "is");
}

void sfs_care_state(struct sfs_store *s, enum scalefs_pool_state *state, unsigned *left, char *action, size_t action_size)
{
    action[0] = 0;
    sfs_store_lock(s);
    struct sfs_pool *pool = s->pool;
    *left = sfs_care_failures_left(s);
    if (pool->suspended) {
        *state = SCALEFS_SUSPENDED;
        *left = 0;
    } else if (pool->config.extents_lost) {
        *state = SCALEFS_DAMAGED;
    } else {
        *state = *left < pool->config.failover ? SCALEFS_DEGRADED : SCALEFS_HEALTHY;
        for (unsigned i = 0; i < pool->member_count; i++)
            if (pool->members[i].used && is_absent(&pool->members[i]))
                *state = SCALEFS_DEGRADED;
    }
    advise(s, *left, action, action_size);
    sfs_store_unlock(s);
}
