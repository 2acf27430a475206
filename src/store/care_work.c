/* The tasks of a pool: what there is to do, in bytes, and how far it is. Memory only: never waits for a disk.
 *
 * What is left is the difference between the groups and the wish, found by the functions that decide what is moved; it is
 * looked up anew each time. What was done is counted while the pool is open, so that it only ever rises: total = done + left.
 */
#include "store/care_internal.h"

#include <stdio.h>

/* --- counting --- */

static uint64_t *done_of(struct sfs_care *care, unsigned task)
{
    for (size_t i = 0; i < care->progress_count; i++)
        if (care->progress[i].task == task)
            return &care->progress[i].done;
    return NULL;
}

void sfs_care_begin(struct sfs_care *care, unsigned task)
{
    care->active = task;
    if (done_of(care, task) || sfs_vec_reserve(care->s->env, &care->progress, &care->progress_cap, care->progress_count + 1,
                                               sizeof *care->progress))
        return;
    care->progress[care->progress_count++] = (struct sfs_care_progress){.task = task};
}

void sfs_care_did(struct sfs_care *care, uint64_t bytes)
{
    uint64_t *done = done_of(care, care->active);
    if (done)
        *done += bytes;
}

void sfs_care_column_begin(struct sfs_care *care, uint64_t total, uint16_t to)
{
    care->column_to = to;
    care->column_total = total;
    care->column_done = 0;
}

static uint64_t on_its_way(const struct sfs_care *care)
{
    return care->column_done < care->column_total ? care->column_done : care->column_total;
}

void sfs_care_column_end(struct sfs_care *care, bool arrived)
{
    if (arrived)
        sfs_care_did(care, care->column_total);
    care->column_total = care->column_done = 0;
    care->column_to = 0;
    care->after_key = 0;
    care->balance_known = false;
}

/* --- what is left --- */

unsigned sfs_care_moves_for(struct sfs_pool *pool, const struct sfs_group *g)
{
    for (unsigned c = 0; c < (unsigned)g->record.k + g->record.m; c++) {
        const struct sfs_member *m = sfs_member_of(pool, g->record.columns[c].disk);
        if (m && sfs_care_must_go(pool, &g->record, c))
            return sfs_care_task_of(m);
    }
    return 0;
}

/* Columns that move; where none can, all that lives in the group goes elsewhere. */
static uint64_t drain_bytes(struct sfs_pool *pool, const struct sfs_member *m, unsigned task)
{
    uint64_t bytes = 0;
    uint16_t to;
    for (uint32_t i = 0; i < pool->group_cap; i++) {
        const struct sfs_group *g = pool->groups[i];
        for (unsigned c = 0; g && c < (unsigned)g->record.k + g->record.m; c++) {
            if (g->record.columns[c].disk != m->record.index || !sfs_care_must_go(pool, &g->record, c))
                continue;
            bool may = !g->record.sequential && g->record.state != SFS_GROUP_EVACUATING, over = may && sfs_care_parity_over(pool, g);
            if (over && c + 1u == (unsigned)g->record.k + g->record.m)
                break; /* it is dropped */
            bool moves = may && (over || sfs_care_targets(pool, g, c, &to, 1));
            if (!moves && sfs_care_moves_for(pool, g) == task)
                bytes += g->count.live;
            if (!moves)
                break;
            bytes += sfs_care_column_live(g);
        }
    }
    return bytes;
}

/* Live bytes of the member's columns in groups that were written after that txn. */
static uint64_t owed_bytes(const struct sfs_pool *pool, const struct sfs_member *m)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < pool->group_cap; i++) {
        const struct sfs_group *g = pool->groups[i];
        if (g && sfs_care_has_column(&g->record, m->record.index) && g->count.last_txn > m->record.flushed_txn)
            bytes += sfs_care_column_live(g);
    }
    return bytes;
}

/* False: every group is what is wished. */
static bool convert_bytes(struct sfs_care *care, uint64_t *bytes)
{
    struct sfs_pool *pool = care->s->pool;
    bool some = false;
    struct sfs_care_pass pass;
    *bytes = 0;
    sfs_care_pass_begin(care, &pass);
    for (uint32_t i = 0; i < pool->group_cap; i++) {
        const struct sfs_group *g = pool->groups[i];
        uint64_t more;
        if (!g || !g->count.live || !sfs_care_convert_bytes(care, g, &more))
            continue;
        some = true;
        if (g->record.state != SFS_GROUP_EVACUATING || !sfs_care_moves_for(pool, g)) /* else it is the drain's */
            *bytes += more;
    }
    sfs_care_pass_end(care, &pass);
    return some;
}

/* Found anew only after a commit: nothing else changes it much. */
static uint64_t balance_bytes(struct sfs_care *care)
{
    uint64_t now = care->s->pool->committed;
    if (!care->balance_known || care->balance_at != now) {
        care->balance_left = sfs_care_balance_bytes(care);
        care->balance_at = now;
        care->balance_known = true;
    }
    return care->balance_left;
}

uint64_t sfs_care_to_move(struct sfs_care *care)
{
    struct sfs_pool *pool = care->s->pool;
    uint64_t bytes;
    (void)convert_bytes(care, &bytes);
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct sfs_member *m = &pool->members[i];
        if (sfs_care_drains(m) || sfs_care_sheds(pool, m))
            bytes += drain_bytes(pool, m, sfs_care_task_of(m));
    }
    return bytes + sfs_care_balance_bytes(care);
}

/* --- the list --- */

struct list {
    struct scalefs_task_status *tasks;
    size_t cap, count;
    struct sfs_care *care;
    uint64_t ahead; /* bytes of the tasks before */
};

const char *sfs_care_why_blocked(struct sfs_store *s, uint16_t member)
{
    if (s->pool->suspended)
        return s->pool->suspended_why;
    return s->care ? sfs_care_blocked(s->care, member) : NULL;
}

static void add(struct list *l, struct scalefs_task_status t, const char *blocked)
{
    struct sfs_care *care = l->care;
    uint64_t left = t.bytes_total > t.bytes_done ? t.bytes_total - t.bytes_done : 0;
    if (care && t.state == SCALEFS_TASK_RUNNING && sfs_care_paused(care->s->pool, t.id))
        t.state = SCALEFS_TASK_PAUSED;
    if (blocked && t.state == SCALEFS_TASK_RUNNING) {
        t.state = SCALEFS_TASK_BLOCKED;
        snprintf(t.reason, sizeof t.reason, "%s", blocked);
    }
    t.bytes_total = t.bytes_done + left;
    if (t.state == SCALEFS_TASK_RUNNING && care) {
        l->ahead += left;
        uint64_t now = sfs_now_ns(care->s->env);
        bool active = care->active == t.id && care->meter.task == t.id;
        t.rate = active ? sfs_meter_rate(&care->meter, now) : 0;
        t.eta_seconds = sfs_meter_seconds(&care->meter, l->ahead, now);
    }
    if (l->count < l->cap)
        l->tasks[l->count] = t;
    l->count++;
}

/* So much is left of it, of which the column that is on its way counts as far as it is. */
static void add_left(struct list *l, struct scalefs_task_status t, uint64_t left, const char *blocked)
{
    struct sfs_care *care = l->care;
    const uint64_t *done = care ? done_of(care, t.id) : NULL;
    uint64_t way = care && care->active == t.id ? on_its_way(care) : 0;
    if (way > left)
        way = left;
    t.bytes_done = (done ? *done : 0) + way;
    t.bytes_total = t.bytes_done + left - way;
    add(l, t, blocked);
}

static void add_rebuild(struct sfs_store *s, struct list *l, const struct sfs_member *m)
{
    uint16_t index = m->record.index;
    uint64_t done = s->care && s->care->owed.member == index ? s->care->owed.done_bytes : 0;
    add(l, (struct scalefs_task_status){.id = SFS_CARE_REBUILD + index, .state = SCALEFS_TASK_RUNNING, .disk = index,
                                        .kind = SCALEFS_TASK_REBUILD, .bytes_done = done, .bytes_total = owed_bytes(s->pool, m)},
        sfs_care_why_blocked(s, index));
}

static void add_members(struct sfs_store *s, struct list *l)
{
    for (unsigned i = 0; i < s->pool->member_count; i++) {
        const struct sfs_member *m = &s->pool->members[i];
        if (m->used && m->disk && !m->complete && !sfs_care_drains(m))
            add_rebuild(s, l, m);
    }
    for (unsigned there = 0; there < 2; there++) /* in the order of the work */
        for (unsigned i = 0; i < s->pool->member_count; i++) {
            const struct sfs_member *m = &s->pool->members[i];
            uint16_t index = m->record.index;
            if (!sfs_care_drains(m) || (m->disk != NULL) != (there == 1))
                continue;
            bool replaced = m->record.replaced_by != SFS_NONE16;
            add_left(l, (struct scalefs_task_status){.id = SFS_CARE_DRAIN + index, .state = SCALEFS_TASK_RUNNING, .disk = index,
                                                     .kind = replaced ? SCALEFS_TASK_REPLACE : SCALEFS_TASK_REMOVE},
                     drain_bytes(s->pool, m, SFS_CARE_DRAIN + index), sfs_care_why_blocked(s, index));
        }
    for (unsigned i = 0; i < s->pool->member_count; i++) {
        const struct sfs_member *m = &s->pool->members[i];
        unsigned task = sfs_care_task_of(m);
        if (sfs_care_sheds(s->pool, m))
            add_left(l, (struct scalefs_task_status){.id = task, .state = SCALEFS_TASK_RUNNING, .disk = m->record.index,
                                                     .kind = sfs_member_shrinks(m) ? SCALEFS_TASK_RESIZE : SCALEFS_TASK_CONVERT},
                     drain_bytes(s->pool, m, task), sfs_care_why_blocked(s, m->record.index));
    }
}

static void add_groups(struct sfs_store *s, struct list *l)
{
    uint64_t left;
    if (s->care && convert_bytes(s->care, &left))
        add_left(l, (struct scalefs_task_status){.id = SFS_CARE_CONVERT, .kind = SCALEFS_TASK_CONVERT,
                                                 .state = SCALEFS_TASK_RUNNING},
                 left, sfs_care_why_blocked(s, 0));
    if (s->care && (s->pool->config.settle || (sfs_care_has_roles(s->pool) && balance_bytes(s->care))))
        add_left(l, (struct scalefs_task_status){.id = SFS_CARE_REBALANCE, .kind = SCALEFS_TASK_REBALANCE,
                                                 .state = SCALEFS_TASK_RUNNING},
                 balance_bytes(s->care), sfs_care_why_blocked(s, 0));
}

static void add_scrub(struct sfs_store *s, struct list *l)
{
    const struct sfs_task_record *r = &s->pool->scrub;
    char why[256];
    bool waits = s->care && sfs_scrub_waits(s->care, why, sizeof why);
    add(l, (struct scalefs_task_status){.id = r->id, .kind = SCALEFS_TASK_SCRUB, .bytes_done = r->bytes_done,
                                        .bytes_total = r->bytes_total,
                                        .state = r->state ? SCALEFS_TASK_PAUSED : SCALEFS_TASK_RUNNING},
        s->pool->suspended ? s->pool->suspended_why : waits ? why : NULL);
}

/* What was done of tasks that are over is forgotten. */
static void forget_done(struct sfs_care *care, const struct list *l)
{
    size_t kept = 0;
    for (size_t i = 0; i < care->progress_count; i++) {
        bool listed = l->count > l->cap || care->progress[i].task == care->active;
        for (size_t t = 0; t < l->count && !listed; t++)
            listed = l->tasks[t].id == care->progress[i].task;
        if (listed)
            care->progress[kept++] = care->progress[i];
    }
    care->progress_count = kept;
}

size_t sfs_care_list(struct sfs_store *s, struct scalefs_task_status *tasks, size_t cap)
{
    struct list l = {tasks, cap, 0, s->care, 0};
    add_members(s, &l);
    add_groups(s, &l);
    if (s->pool->scrub.id)
        add_scrub(s, &l);
    if (s->care)
        forget_done(s->care, &l);
    return l.count;
}

void sfs_care_tasks(struct sfs_store *s, struct scalefs_task_status *tasks, size_t cap, size_t *count)
{
    sfs_store_lock(s);
    size_t n = sfs_care_list(s, tasks, cap);
    sfs_store_unlock(s);
    *count = n < cap ? n : cap;
}

bool sfs_care_idle(struct sfs_store *s)
{
    struct scalefs_task_status tasks[16];
    bool busy = false;
    sfs_store_lock(s);
    if (s->care && !s->pool->read_only && !s->pool->suspended) {
        size_t n = sfs_care_list(s, tasks, 16);
        busy = n > 16 || s->away_count || s->care->busy || s->durable < s->care->applied;
        for (size_t i = 0; i < n && i < 16; i++)
            busy = busy || tasks[i].state == SCALEFS_TASK_RUNNING;
    }
    sfs_store_unlock(s);
    return !busy;
}
