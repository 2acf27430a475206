/* Members: who is there, who left, who came back; and when a disk that is no longer used can be closed.
 *
 * CLOSING. Calls of this room take pointers to disks under the lock and use them without it. Each counts
 * itself in io_active[io_epoch] meanwhile. A disk that leaves goes to `retired` (WAITS). When no call of
 * the other epoch is left, the epoch changes and the disk is in GRACE; when the calls of the old epoch have
 * ended, nobody can hold the pointer any more (IDLE), and the next one to come by closes it.
 *
 * SUSPENDED is computed anew with each change: more members absent than the quorum allows, or some
 * group with more absent columns than parity. Commits are refused then, so what was acknowledged is on at least
 * n - quorum members: opening relies on it.
 */
#include "pool/internal.h"

#include <stdio.h>

#define OFFLINE_WAIT_NS (30ull * 1000000000)
#define OFFLINE_POLL_NS 2000000ull

struct sfs_pool *sfs_pool_new(struct sfs_env *env)
{
    struct sfs_pool *pool = sfs_zalloc(env, sizeof *pool);
    if (!pool)
        return NULL;
    pool->env = env;
    sfs_mutex_init(&pool->lock, env);
    sfs_cond_init(&pool->turns, env);
    if (sfs_table_new(pool)) {
        sfs_pool_free(pool);
        return NULL;
    }
    return pool;
}

void sfs_pool_free(struct sfs_pool *pool)
{
    if (!pool)
        return;
    struct sfs_env *env = pool->env;
    for (unsigned i = 0; i < pool->member_count; i++)
        sfs_free(env, pool->members[i].atom_used);
    for (uint32_t g = 0; g < pool->group_cap; g++)
        if (pool->groups[g])
            sfs_group_forget(pool, pool->groups[g]);
    sfs_free(env, pool->groups);
    sfs_free(env, pool->room_memos);
    sfs_free(env, pool->pending);
    sfs_free(env, pool->retired);
    for (unsigned i = 0; i < pool->parity_count; i++)
        sfs_free(env, pool->parity[i].bytes);
    sfs_table_free(pool);
    sfs_cond_deinit(&pool->turns);
    sfs_mutex_deinit(&pool->lock);
    sfs_free(env, pool);
}

void sfs_pool_close(struct sfs_pool *pool)
{
    if (!pool)
        return;
    SFS_ASSERT(!pool->io_active[0] && !pool->io_active[1]);
    for (unsigned i = 0; i < pool->member_count; i++)
        if (pool->members[i].used && pool->members[i].disk)
            sfs_disk_close(pool->members[i].disk);
    for (size_t i = 0; i < pool->retired_count; i++)
        sfs_disk_close(pool->retired[i].disk);
    sfs_pool_free(pool);
}

/* --- closing --- */

static bool any_at(const struct sfs_pool *pool, int stage)
{
    for (size_t i = 0; i < pool->retired_count; i++)
        if ((int)pool->retired[i].stage == stage)
            return true;
    return false;
}

static void move_stage(struct sfs_pool *pool, int from, int to)
{
    for (size_t i = 0; i < pool->retired_count; i++)
        if ((int)pool->retired[i].stage == from)
            pool->retired[i].stage = to;
}

/* Goes on with grace periods as far as possible. locked. */
static void advance(struct sfs_pool *pool)
{
    for (int i = 0; i < 2; i++) {
        if (pool->io_active[!pool->io_epoch])
            return;
        move_stage(pool, SFS_RETIRED_GRACE, SFS_RETIRED_IDLE);
        if (!any_at(pool, SFS_RETIRED_WAITS))
            return;
        move_stage(pool, SFS_RETIRED_WAITS, SFS_RETIRED_GRACE);
        pool->io_epoch = !pool->io_epoch;
    }
    if (!pool->io_active[!pool->io_epoch])
        move_stage(pool, SFS_RETIRED_GRACE, SFS_RETIRED_IDLE);
}

/* Closes what nobody uses. unlocked. */
static void close_idle(struct sfs_pool *pool)
{
    for (;;) {
        struct sfs_disk *disk = NULL;
        sfs_mutex_lock(&pool->lock);
        advance(pool);
        for (size_t i = 0; i < pool->retired_count && !disk; i++)
            if (pool->retired[i].stage == SFS_RETIRED_IDLE) {
                disk = pool->retired[i].disk;
                pool->retired[i] = pool->retired[--pool->retired_count];
            }
        sfs_mutex_unlock(&pool->lock);
        if (!disk)
            return;
        sfs_disk_close(disk);
    }
}

unsigned sfs_pool_io_begin(struct sfs_pool *pool)
{
    pool->io_active[pool->io_epoch]++;
    return pool->io_epoch;
}

void sfs_pool_wrote(struct sfs_pool *pool, uint64_t suspensions)
{
    sfs_mutex_lock(&pool->lock);
    pool->writes++;
    /* It went to members of which too many have gone meanwhile: perhaps with this in their caches. */
    if (pool->suspensions != suspensions) {
        pool->cut_off = true;
        sfs_pool_judge(pool);
    }
    sfs_mutex_unlock(&pool->lock);
}

void sfs_pool_io_end(struct sfs_pool *pool, unsigned epoch)
{
    sfs_mutex_lock(&pool->lock);
    SFS_ASSERT(pool->io_active[epoch] > 0);
    pool->io_active[epoch]--;
    bool some = pool->retired_count > 0;
    sfs_mutex_unlock(&pool->lock);
    if (some)
        close_idle(pool);
}

int sfs_retired_reserve(struct sfs_pool *pool, unsigned more)
{
    return sfs_vec_reserve(pool->env, &pool->retired, &pool->retired_cap,
                           pool->retired_count + sfs_members_online(pool) + more,
                           sizeof *pool->retired);
}

static void retire(struct sfs_pool *pool, struct sfs_disk *disk, int stage)
{
    SFS_ASSERT(pool->retired_count < pool->retired_cap);
    pool->retired[pool->retired_count].disk = disk;
    pool->retired[pool->retired_count++].stage = stage;
}

/* --- who is there --- */

struct sfs_member *sfs_member_of(struct sfs_pool *pool, uint16_t index)
{
    /* Indices begin at 1 and are mostly given in order. */
    unsigned guess = (unsigned)index - 1;
    if (index && guess < pool->member_count && pool->members[guess].used &&
        pool->members[guess].record.index == index)
        return &pool->members[guess];
    for (unsigned i = 0; i < pool->member_count; i++)
        if (pool->members[i].used && pool->members[i].record.index == index)
            return &pool->members[i];
    return NULL;
}

unsigned sfs_members_online(const struct sfs_pool *pool)
{
    unsigned count = 0;
    for (unsigned i = 0; i < pool->member_count; i++)
        count += pool->members[i].used && pool->members[i].disk;
    return count;
}

unsigned sfs_members_absent(const struct sfs_pool *pool)
{
    unsigned count = 0;
    for (unsigned i = 0; i < pool->member_count; i++)
        count += pool->members[i].used && !pool->members[i].disk && !sfs_member_failed(&pool->members[i]);
    return count;
}

/* Columns without a disk; of them *hope may come back. */
static unsigned columns_away(struct sfs_pool *pool, const struct sfs_group *g, unsigned *hope)
{
    unsigned away = 0;
    *hope = 0;
    for (unsigned c = 0; c < (unsigned)g->record.k + g->record.m; c++) {
        const struct sfs_member *m = sfs_member_of(pool, g->record.columns[c].disk);
        if (m && m->disk)
            continue;
        away++;
        *hope += m && !sfs_member_failed(m);
    }
    return away;
}

bool sfs_group_bears(struct sfs_pool *pool, const struct sfs_group *g)
{
    unsigned hope;
    return columns_away(pool, g, &hope) <= g->record.m;
}

/* More columns away than the group bears, and at least one of them may come back. What holds nothing is not waited for:
 * nothing is written to it any more. */
static bool group_waits(struct sfs_pool *pool, const struct sfs_group *g)
{
    unsigned hope;
    return (g->count.live || g->in_flight) && columns_away(pool, g, &hope) > g->record.m && hope;
}

/* Some group has been written to since the last commit, and so many of its members were away since that they may all have lost it, also
 * when each of them came back before the next one went. */
static bool may_have_lost(struct sfs_pool *pool)
{
    for (uint32_t n = 0; n < pool->group_cap; n++) {
        const struct sfs_group *g = pool->groups[n];
        unsigned columns = 0;
        if (!g || (g->count.last_txn <= pool->committed && !g->in_flight))
            continue;
        for (unsigned c = 0; c < (unsigned)g->record.k + g->record.m; c++) {
            const struct sfs_member *m = sfs_member_of(pool, g->record.columns[c].disk);
            columns += !m || !m->disk || m->missed;
        }
        if (columns > g->record.m)
            return true;
    }
    return false;
}

void sfs_member_missed(struct sfs_pool *pool, struct sfs_member *m)
{
    m->missed = ++pool->misses;
    if (!may_have_lost(pool))
        return;
    pool->suspensions++;
    pool->cut_off = pool->cut_off || pool->writes != pool->writes_durable;
}

void sfs_pool_judge(struct sfs_pool *pool)
{
    char names[200] = "";
    size_t len = 0;
    unsigned absent = 0;
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct sfs_member *m = &pool->members[i];
        if (!m->used || m->disk || sfs_member_failed(m))
            continue;
        absent++;
        char text[SFS_DISK_TEXT];
        sfs_disk_text(&m->record, text);
        if (len + strlen(text) + 3 < sizeof names)
            len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", len ? ", " : "", text);
    }
    bool waits = absent > pool->config.quorum || !sfs_members_online(pool);
    for (uint32_t g = 0; g < pool->group_cap && !waits && absent; g++)
        waits = pool->groups[g] && group_waits(pool, pool->groups[g]);
    if (waits && !pool->waits) {
        pool->suspensions++;
        pool->cut_off = pool->cut_off || pool->writes != pool->writes_durable;
        sfs_log(pool->env, SFS_LOG_ERROR, "pool", SCALEFS_E_SUSPENDED, "the pool waits for %s", names);
    }
    pool->waits = waits;
    pool->suspended = waits || pool->cut_off;
    pool->suspended_why[0] = 0;
    if (waits)
        snprintf(pool->suspended_why, sizeof pool->suspended_why, "Too many disks are absent: %s.", names);
    else if (pool->cut_off)
        snprintf(pool->suspended_why, sizeof pool->suspended_why,
                 "Too many disks went away at once while data was being written. What was written last is looked for; if "
                 "this does not end, unmount the pool and mount it again: it then goes on from the last synced state.");
}

void sfs_pool_proved(struct sfs_pool *pool)
{
    pool->cut_off = false;
    for (unsigned i = 0; i < pool->member_count; i++)
        if (pool->members[i].used && pool->members[i].disk)
            pool->members[i].missed = 0; /* it has been put right */
    sfs_pool_judge(pool);
}

static struct sfs_member *member_with(struct sfs_pool *pool, const struct sfs_disk *disk)
{
    for (unsigned i = 0; i < pool->member_count; i++)
        if (pool->members[i].used && disk && pool->members[i].disk == disk)
            return &pool->members[i];
    return NULL;
}

static void go_offline(struct sfs_pool *pool, struct sfs_member *m, int error)
{
    char text[SFS_DISK_TEXT];
    sfs_disk_text(&m->record, text);
    /* Nobody gave an argument: the device does not take what it took before. */
    if (error == SCALEFS_E_INVAL)
        sfs_log(pool->env, SFS_LOG_WARN, "pool", error,
                "%s is offline: it refuses to be written to, as if it were smaller, of another sector size, or for reading only", text);
    else if (error)
        sfs_log(pool->env, SFS_LOG_WARN, "pool", error, "%s is offline: %s", text, scalefs_error_text(error));
    else
        sfs_log(pool->env, SFS_LOG_INFO, "pool", 0, "%s is offline, as was asked for", text);
    retire(pool, m->disk, SFS_RETIRED_WAITS);
    m->disk = NULL;
    m->record.presence = SFS_DISK_ABSENT;
    if (m->complete)
        m->record.flushed_txn = pool->committed;
    /* One that was sent last may have reached it. */
    bool begun = pool->last.tenure == pool->tenure;
    m->record.last_tenure = pool->last.tenure;
    m->record.last_txn = begun ? pool->txn - 1 : pool->last.txn;
    m->complete = false;
    m->dirty = true;
    /* Its zones have lost what was not flushed, or miss what is written from now on. */
    for (uint32_t n = 0; n < pool->group_cap; n++)
        for (unsigned c = 0; pool->groups[n] && c < (unsigned)pool->groups[n]->record.k + pool->groups[n]->record.m; c++)
            if (pool->groups[n]->record.columns[c].disk == m->record.index)
                sfs_group_leave_out(pool, pool->groups[n], c);
    sfs_member_missed(pool, m);
    sfs_pool_judge(pool);
}

static void tell(struct sfs_pool *pool)
{
    if (pool->on_member_change)
        pool->on_member_change(pool->on_member_change_context);
}

void sfs_member_error(struct sfs_pool *pool, struct sfs_disk *disk, enum sfs_io_op op, int error)
{
    sfs_mutex_lock(&pool->lock);
    struct sfs_member *m = member_with(pool, disk);
    if (m) {
        bool writing = op == SFS_IO_WRITE || op == SFS_IO_FLUSH || op == SFS_IO_ZONE_RESET;
        if (writing && error != SCALEFS_E_GONE)
            m->record.write_errors++;
        else if (op == SFS_IO_READ && error != SCALEFS_E_GONE)
            m->record.read_errors++;
        m->dirty = true;
        /* A write that found no room left everything as it was; a flush that failed may have lost writes. */
        bool no_room = op == SFS_IO_WRITE && error == SCALEFS_E_BACKING_FULL;
        if (error == SCALEFS_E_GONE || (writing && !no_room))
            go_offline(pool, m, error);
    }
    sfs_mutex_unlock(&pool->lock);
    if (m)
        tell(pool);
}

void sfs_member_checksum_error(struct sfs_pool *pool, uint16_t index)
{
    sfs_mutex_lock(&pool->lock);
    struct sfs_member *m = sfs_member_of(pool, index);
    if (m) {
        m->record.checksum_errors++;
        m->dirty = true;
    }
    sfs_mutex_unlock(&pool->lock);
    if (m)
        tell(pool);
}

int sfs_member_offline(struct sfs_pool *pool, uint16_t index, struct scalefs_error_info *info)
{
    sfs_mutex_lock(&pool->lock);
    struct sfs_member *m = sfs_member_of(pool, index);
    struct sfs_disk *disk = m ? m->disk : NULL;
    if (disk)
        go_offline(pool, m, SCALEFS_OK);
    sfs_mutex_unlock(&pool->lock);
    if (!m)
        return sfs_refuse(info, SCALEFS_E_NOENT, "The pool has no disk %u.", index);
    if (!disk)
        return SCALEFS_OK;
    tell(pool);
    /* When this returns the device is free for others; calls that still use it end soon, unless it hangs. */
    uint64_t give_up = sfs_now_ns(pool->env) + OFFLINE_WAIT_NS;
    while (sfs_now_ns(pool->env) < give_up) {
        bool there = false;
        close_idle(pool);
        sfs_mutex_lock(&pool->lock);
        for (size_t i = 0; i < pool->retired_count; i++)
            there = there || pool->retired[i].disk == disk;
        sfs_mutex_unlock(&pool->lock);
        if (!there)
            break;
        sfs_task_sleep(pool->env, OFFLINE_POLL_NS);
    }
    return SCALEFS_OK;
}

/* --- who comes --- */

enum sfs_history sfs_history_of(const struct sfs_pool *pool, const struct sfs_member *m, const struct sfs_ring_entry *e,
                                uint64_t *upto)
{
    unsigned i = 0;
    uint64_t end = UINT64_MAX; /* the last txn of its tenure that belongs to the history */
    while (i < pool->tenure_count && pool->tenures[i].id != e->tenure)
        i++;
    *upto = 0;
    if (i + 1 < pool->tenure_count)
        end = pool->tenures[i + 1].base_txn;
    else if (i == pool->tenure_count && m && m->record.presence == SFS_DISK_ABSENT && m->record.last_tenure == e->tenure)
        end = m->record.last_txn; /* away for longer than the list goes back */
    else if (i == pool->tenure_count)
        return SFS_HISTORY_APART;
    *upto = e->txn <= end ? e->txn : end;
    return e->txn <= end ? SFS_HISTORY_IN : SFS_HISTORY_BEYOND;
}

/* Up to which txn the returning disk holds all that was written. */
static int returning_state(struct sfs_pool *pool, const struct sfs_head *head, const struct sfs_member *m,
                           uint64_t *flushed, struct scalefs_error_info *info)
{
    char text[SFS_DISK_TEXT];
    sfs_disk_text(&m->record, text);
    *flushed = 0;
    if (!head->ring_count || !m->record.flushed_txn)
        return SCALEFS_OK; /* it lost its records, or nothing on it counts: all of it is written anew */
    uint64_t upto;
    enum sfs_history h = sfs_history_of(pool, m, &head->ring[0], &upto);
    if (h == SFS_HISTORY_APART || h == SFS_HISTORY_BEYOND)
        return sfs_refuse(info, SCALEFS_E_DIVERGED,
                          "On %s the pool was written apart from the others. Close the pool and open it "
                          "with the half that you want to keep.", text);
    *flushed = upto < m->record.flushed_txn ? upto : m->record.flushed_txn;
    return SCALEFS_OK;
}

static int come_back(struct sfs_pool *pool, const struct sfs_head *head, struct scalefs_error_info *info)
{
    struct sfs_member *m = NULL;
    for (unsigned i = 0; i < pool->member_count && !m; i++)
        if (pool->members[i].used && sfs_uuid_equal(&pool->members[i].record.uuid, &head->label.disk))
            m = &pool->members[i];
    const char *path = head->disk->info.path;
    if (!m)
        return sfs_refuse(info, SCALEFS_E_NOENT, "%s is no longer a disk of this pool.", path);
    if (m->disk)
        return sfs_refuse(info, SCALEFS_E_BUSY, "Disk %u is online already.", m->record.index);
    if (sfs_member_failed(m))
        return sfs_refuse(info, SCALEFS_E_INVAL,
                          "Disk %u was declared failed and is being replaced; it cannot come back.",
                          m->record.index);
    if (head->disk->info.size_bytes < m->record.size || head->label.data_offset != m->record.data_offset)
        return sfs_refuse(info, SCALEFS_E_TOO_SMALL, "%s is smaller than disk %u was.", path,
                          m->record.index);
    uint64_t flushed;
    int err = returning_state(pool, head, m, &flushed, info);
    if (!err)
        err = sfs_retired_reserve(pool, 1);
    if (err)
        return err;
    m->disk = head->disk;
    m->record.presence = SFS_DISK_ONLINE;
    m->record.flushed_txn = flushed;
    snprintf(m->record.path, sizeof m->record.path, "%.*s", (int)sizeof m->record.path - 1, path);
    m->complete = false;
    m->dirty = true;
    m->stale_label = head->label.size != m->record.size || head->label.atoms != m->record.atoms || head->label.role != m->record.role;
    m->damaged_label = head->damaged;
    m->comings++;
    m->missed = ++pool->misses;
    for (uint32_t n = 0; n < pool->group_cap; n++) /* what was written without it, its zones do not have */
        for (unsigned c = 0; pool->groups[n] && c < (unsigned)pool->groups[n]->record.k + pool->groups[n]->record.m; c++)
            if (pool->groups[n]->record.columns[c].disk == m->record.index)
                sfs_group_leave_out(pool, pool->groups[n], c);
    sfs_table_rewrite_all(pool);
    sfs_pool_judge(pool);
    return SCALEFS_OK;
}

int sfs_member_online(struct sfs_pool *pool, struct sfs_disk *disk, struct scalefs_error_info *info)
{
    if (pool->read_only)
        return sfs_refuse(info, SCALEFS_E_ROFS, "The pool is open for reading only.");
    struct sfs_head *head = sfs_alloc(pool->env, sizeof *head);
    if (!head)
        return sfs_refuse(info, SCALEFS_E_NOMEM, "There is not enough memory.");
    int err = sfs_head_read(pool->env, disk, head);
    if (err)
        sfs_refuse(info, err, "%s: %s.", disk->info.path, scalefs_error_text(err));
    else if (!sfs_uuid_equal(&head->label.pool, &pool->uuid))
        err = sfs_refuse(info, SCALEFS_E_WRONG_DISK, "%s belongs to another pool (\"%s\").",
                         disk->info.path, head->label.name);
    if (!err) {
        sfs_mutex_lock(&pool->lock);
        err = come_back(pool, head, info);
        sfs_mutex_unlock(&pool->lock);
        if (err == SCALEFS_E_NOMEM)
            sfs_refuse(info, err, "There is not enough memory.");
    }
    sfs_free(pool->env, head);
    if (!err)
        tell(pool);
    return err;
}

/* Under the lock: a free slot of pool->members, and the index for it. */
static int choose_slot(struct sfs_pool *pool, unsigned *slot, uint16_t *index, struct scalefs_error_info *info)
{
    unsigned i = 0;
    while (i < pool->member_count && pool->members[i].used)
        i++;
    if (i == SFS_DISKS_MAX)
        return sfs_refuse(info, SCALEFS_E_INVAL, "A pool has at most %u disks.", SFS_DISKS_MAX);
    *slot = i;
    do {
        if (pool->config.next_disk == 0 || pool->config.next_disk >= SFS_NONE16)
            pool->config.next_disk = 1;
        *index = (uint16_t)pool->config.next_disk++;
    } while (sfs_member_of(pool, *index));
    pool->config_dirty = true;
    return SCALEFS_OK;
}

int sfs_member_add(struct sfs_pool *pool, struct sfs_disk *disk, const char *station, uint8_t role, uint16_t *index,
                   struct scalefs_error_info *info)
{
    struct sfs_label label;
    struct sfs_member fresh;
    unsigned slot = 0;
    memset(&fresh, 0, sizeof fresh);
    if (pool->read_only)
        return sfs_refuse(info, SCALEFS_E_ROFS, "The pool is open for reading only.");
    sfs_mutex_lock(&pool->lock);
    int err = choose_slot(pool, &slot, index, info);
    sfs_mutex_unlock(&pool->lock);
    if (err)
        return err;
    err = sfs_member_describe(pool, disk, *index, station, role, &fresh.record, &label);
    if (!err)
        err = sfs_head_write(pool->env, disk, &label);
    if (!err)
        err = sfs_atoms_init(pool, &fresh);
    if (err)
        return sfs_refuse(info, err, "%s cannot join the pool: %s.", disk->info.path,
                          scalefs_error_text(err));
    fresh.record.wish = SFS_WISH_JOIN;
    fresh.disk = disk;
    fresh.used = fresh.complete = fresh.dirty = fresh.unnamed = true;
    sfs_mutex_lock(&pool->lock);
    for (slot = 0; slot < pool->member_count && pool->members[slot].used;)
        slot++;
    err = slot < SFS_DISKS_MAX ? sfs_retired_reserve(pool, 1) : SCALEFS_E_INVAL;
    if (!err)
        err = sfs_table_add(pool, SFS_OBJECT_DISK | slot);
    if (!err) {
        pool->members[slot] = fresh;
        if (slot == pool->member_count)
            pool->member_count++;
        sfs_table_rewrite_all(pool);
        sfs_pool_judge(pool);
    }
    sfs_mutex_unlock(&pool->lock);
    if (err) {
        sfs_free(pool->env, fresh.atom_used);
        return sfs_refuse(info, err, "%s cannot join the pool: %s.", disk->info.path,
                          scalefs_error_text(err));
    }
    tell(pool);
    return SCALEFS_OK;
}

void sfs_member_drop(struct sfs_pool *pool, uint16_t index)
{
    struct sfs_member *m = sfs_member_of(pool, index);
    SFS_ASSERT(m);
    sfs_table_remove(pool, SFS_OBJECT_DISK | (uint64_t)(m - pool->members));
    if (m->disk)
        retire(pool, m->disk, SFS_RETIRED_HELD);
    for (size_t i = 0; i < pool->pending_count;) {
        if (pool->pending[i].disk == index)
            pool->pending[i] = pool->pending[--pool->pending_count];
        else
            i++;
    }
    sfs_free(pool->env, m->atom_used);
    memset(m, 0, sizeof *m);
    while (pool->member_count && !pool->members[pool->member_count - 1].used)
        pool->member_count--;
    sfs_pool_judge(pool);
}

void sfs_member_wipe(struct sfs_pool *pool, struct sfs_disk *disk)
{
    if (!disk)
        return;
    (void)sfs_disk_refresh(disk); /* its end may be elsewhere by now */
    int err = sfs_head_write(pool->env, disk, NULL);
    if (err)
        sfs_log(pool->env, SFS_LOG_WARN, "pool", err, "the label of %s could not be wiped", disk->info.path);
    sfs_mutex_lock(&pool->lock);
    for (size_t i = 0; i < pool->retired_count; i++)
        if (pool->retired[i].disk == disk && pool->retired[i].stage == SFS_RETIRED_HELD)
            pool->retired[i].stage = SFS_RETIRED_WAITS;
    sfs_mutex_unlock(&pool->lock);
    close_idle(pool);
}

int sfs_member_measure(struct sfs_pool *pool, uint16_t index, uint64_t *bytes)
{
    sfs_mutex_lock(&pool->lock);
    const struct sfs_member *m = sfs_member_of(pool, index);
    struct sfs_disk *disk = m ? m->disk : NULL;
    unsigned epoch = sfs_pool_io_begin(pool);
    sfs_mutex_unlock(&pool->lock);
    int err = !m ? SCALEFS_E_NOENT : disk ? sfs_disk_refresh(disk) : SCALEFS_E_GONE;
    if (!err)
        *bytes = disk->info.size_bytes;
    sfs_pool_io_end(pool, epoch);
    return err;
}

/* --- members that are not there, for plans --- */

int sfs_member_pretend(struct sfs_pool *pool, struct sfs_disk *disk, const char *station, uint8_t role, uint16_t *index)
{
    struct sfs_label label;
    struct sfs_member fresh;
    unsigned slot = 0;
    memset(&fresh, 0, sizeof fresh);
    while (slot < pool->member_count && pool->members[slot].used)
        slot++;
    if (slot == SFS_DISKS_MAX)
        return SCALEFS_E_TOOBIG;
    *index = SFS_NONE16 - 1;
    while (sfs_member_of(pool, *index))
        --*index;
    int err = sfs_member_describe(pool, disk, *index, station, role, &fresh.record, &label);
    if (!err)
        err = sfs_atoms_init(pool, &fresh);
    if (err)
        return err;
    fresh.record.wish = SFS_WISH_JOIN;
    fresh.disk = disk;
    fresh.used = fresh.complete = true;
    pool->members[slot] = fresh;
    if (slot == pool->member_count)
        pool->member_count++;
    return SCALEFS_OK;
}

void sfs_member_forget(struct sfs_pool *pool, uint16_t index)
{
    struct sfs_member *m = sfs_member_of(pool, index);
    SFS_ASSERT(m);
    sfs_free(pool->env, m->atom_used);
    memset(m, 0, sizeof *m);
    while (pool->member_count && !pool->members[pool->member_count - 1].used)
        pool->member_count--;
}

uint64_t sfs_member_speed(struct sfs_pool *pool, uint16_t index)
{
    enum { PROBES = 4 };
    uint32_t len = 1u << 20;
    struct sfs_io ios[PROBES];
    sfs_mutex_lock(&pool->lock);
    const struct sfs_member *m = sfs_member_of(pool, index);
    struct sfs_disk *disk = m ? m->disk : NULL;
    uint64_t from = m ? m->record.data_offset : 0, atoms = m ? m->record.atoms : 0;
    unsigned epoch = sfs_pool_io_begin(pool);
    sfs_mutex_unlock(&pool->lock);
    uint8_t *buf = disk && atoms ? sfs_alloc_io(pool->env, PROBES * len) : NULL;
    uint64_t began = sfs_now_ns(pool->env), took = 0;
    for (unsigned i = 0; i < PROBES; i++)
        ios[i] = (struct sfs_io){.disk = disk, .op = SFS_IO_READ, .buf = buf + (size_t)i * len, .len = len,
                                 .offset = from + (uint64_t)i * len};
    if (buf && !sfs_io_run(pool->env, ios, PROBES))
        took = sfs_now_ns(pool->env) - began;
    sfs_free(pool->env, buf);
    sfs_pool_io_end(pool, epoch);
    return took ? (uint64_t)(PROBES * (double)len * 1e9 / (double)took) : 0;
}
