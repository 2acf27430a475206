/* Commits: the table's new pages, a flush, the record, a flush.
 *
 * A job is made under the lock (sfs_commit_prepare) and carried out without it. It is bound to the members
 * that were online when it was made. The order on the disks:
 *   1. table pages to all of them, all acknowledged;
 *   2. a flush of all: everything that the record will refer to is durable on every online member;
 *   3. the record, in the slot after the newest;
 *   4. a flush of all.
 * If a member is lost in 1 or 2, no record is sent: it would call that member online. So when a record
 * is found on any disk, every member that it calls online and complete has all that it refers to.
 */
#include "pool/internal.h"

#define IOS_AT_ONCE 256u

struct target {
    struct sfs_disk *disk;
    unsigned slot;
    uint32_t table_slots;
};

struct sfs_commit_job {
    struct sfs_commit record; /* all but seq and time */
    struct sfs_table_job table;
    struct target targets[SFS_DISKS_MAX];
    unsigned target_count;
    uint8_t *block; /* the encoded record */
    bool on_all;    /* no member is absent */
    uint8_t failover;
    uint64_t misses; /* pool->misses when it was made */
    uint64_t writes; /* pool->writes when the job's I/O began: its flush makes them durable */
};

/* How many members may be absent while records are written. A higher number counts only when every member has a record
 * that tells of the higher failover: so whoever finds old records alone asks for enough of them (open.c). A lower one counts
 * when a record tells of it: the wish may still be taken back, when a member has just gone and that was not noticed. */
static void follow_quorum(struct sfs_pool *pool)
{
    struct sfs_config_record *c = &pool->config;
    bool up = c->quorum < c->failover && pool->failover_known == c->failover;
    bool down = c->quorum > c->failover && pool->failover_told == c->failover && sfs_members_absent(pool) <= c->failover;
    if (up || down) {
        c->quorum = c->failover;
        pool->config_dirty = true;
    }
}

static void job_free(struct sfs_pool *pool, struct sfs_commit_job *job)
{
    sfs_table_job_free(pool, &job->table);
    sfs_free(pool->env, job->block);
    sfs_free(pool->env, job);
}

int sfs_commit_prepare(struct sfs_pool *pool, const struct sfs_roots *roots, bool clean, bool exported,
                       struct sfs_commit_job **out)
{
    *out = NULL;
    if (pool->read_only)
        return SCALEFS_E_ROFS;
    if (pool->suspended)
        return SCALEFS_E_SUSPENDED;
    struct sfs_commit_job *job = sfs_zalloc(pool->env, sizeof *job);
    uint8_t *block = job ? sfs_alloc_io(pool->env, SFS_BLOCK) : NULL;
    if (!block) {
        sfs_free(pool->env, job);
        return SCALEFS_E_NOMEM;
    }
    job->block = block;
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct sfs_member *m = &pool->members[i];
        if (m->used && m->disk)
            job->targets[job->target_count++] = (struct target){m->disk, i, m->record.table_slots};
    }
    struct sfs_commit *r = &job->record;
    r->pool = pool->uuid;
    r->txn = pool->txn;
    r->tenure = pool->tenure;
    r->host = pool->host;
    r->clean = clean;
    r->exported = exported;
    r->next_id = pool->next_id;
    r->extent_map = roots->extent_map;
    r->space = roots->space;
    r->pool_tree = roots->pool_tree;
    r->refuse = pool->last.refuse;
    r->readonly = pool->last.readonly;
    r->ignore = pool->last.ignore & SFS_KNOWN_IGNORE; /* what others keep under it goes out of date */
    follow_quorum(pool);
    job->on_all = !sfs_members_absent(pool);
    job->failover = pool->config.failover;
    job->misses = pool->misses;
    int err = sfs_table_prepare(pool, &job->table, r);
    if (err) {
        job_free(pool, job);
        return err;
    }
    pool->txn++;
    *out = job;
    return SCALEFS_OK;
}

/* Is every member of the job still there? locked. */
static bool all_there(const struct sfs_pool *pool, const struct sfs_commit_job *job)
{
    for (unsigned i = 0; i < job->target_count; i++) {
        const struct target *t = &job->targets[i];
        if (!pool->members[t->slot].used || pool->members[t->slot].disk != t->disk)
            return false;
    }
    return true;
}

/* Runs a batch; failed writes take their members offline. Returns BACKING_FULL when some disk's file
 * could not grow (nothing else is wrong then), CHANGED when a member was lost. */
static int run(struct sfs_pool *pool, struct sfs_io *ios, size_t count)
{
    int err = SCALEFS_OK;
    if (!sfs_io_run(pool->env, ios, count))
        return SCALEFS_OK;
    for (size_t i = 0; i < count; i++) {
        if (!ios[i].result)
            continue;
        sfs_member_error(pool, ios[i].disk, ios[i].op, ios[i].result);
        if (ios[i].op != SFS_IO_WRITE || ios[i].result != SCALEFS_E_BACKING_FULL)
            err = SCALEFS_E_CHANGED;
        else if (!err)
            err = SCALEFS_E_BACKING_FULL;
    }
    return err;
}

/* Blocks that are neighbours in memory and on the disk are one request. */
static size_t run_length(const struct sfs_table_job *t, size_t from, uint32_t table_slots)
{
    size_t n = 1;
    while (from + n < t->count && t->slots[from + n] == t->slots[from] + n && t->slots[from + n] < table_slots &&
           n < 256)
        n++;
    return n;
}

static int write_pages(struct sfs_pool *pool, struct sfs_commit_job *job, struct sfs_io *ios)
{
    const struct sfs_table_job *t = &job->table;
    size_t count = 0;
    for (unsigned m = 0; m < job->target_count; m++) {
        const struct target *to = &job->targets[m];
        for (size_t i = 0; i < t->count;) {
            if (t->slots[i] >= to->table_slots) {
                i++;
                continue;
            }
            size_t n = run_length(t, i, to->table_slots);
            ios[count++] = (struct sfs_io){.disk = to->disk, .op = SFS_IO_WRITE, .len = n * SFS_BLOCK,
                                           .buf = t->blocks + i * SFS_BLOCK,
                                           .offset = SFS_TABLE_OFFSET + (uint64_t)t->slots[i] * SFS_BLOCK};
            i += n;
            if (count == IOS_AT_ONCE) {
                int err = run(pool, ios, count);
                if (err)
                    return err;
                count = 0;
            }
        }
    }
    return count ? run(pool, ios, count) : SCALEFS_OK;
}

static int flush_all(struct sfs_pool *pool, const struct sfs_commit_job *job, struct sfs_io *ios)
{
    for (unsigned i = 0; i < job->target_count; i++)
        ios[i] = (struct sfs_io){.disk = job->targets[i].disk, .op = SFS_IO_FLUSH};
    return run(pool, ios, job->target_count);
}

static int write_record(struct sfs_pool *pool, struct sfs_commit_job *job, struct sfs_io *ios)
{
    uint64_t slot = job->record.seq % SFS_RING_SLOTS;
    for (unsigned i = 0; i < job->target_count; i++)
        ios[i] = (struct sfs_io){.disk = job->targets[i].disk, .op = SFS_IO_WRITE, .buf = job->block,
                                 .len = SFS_BLOCK, .offset = SFS_RING_OFFSET + slot * SFS_BLOCK};
    return run(pool, ios, job->target_count);
}

/* From here on a record may refer to the pages. CHANGED when the job is out of date. */
static int begin_record(struct sfs_pool *pool, struct sfs_commit_job *job, int err)
{
    sfs_mutex_lock(&pool->lock);
    if (!err && !all_there(pool, job))
        err = SCALEFS_E_CHANGED;
    if (pool->suspended)
        err = SCALEFS_E_SUSPENDED;
    if (err) {
        sfs_table_dropped(pool, &job->table);
    } else {
        sfs_table_settled(pool, &job->table);
        job->record.seq = ++pool->seq;
        job->record.time_ns = sfs_wall_ns(pool->env);
        sfs_commit_encode(&job->record, job->block);
    }
    sfs_mutex_unlock(&pool->lock);
    return err;
}

static int finish(struct sfs_pool *pool, const struct sfs_commit_job *job, int err)
{
    sfs_mutex_lock(&pool->lock);
    if (pool->suspended)
        err = SCALEFS_E_SUSPENDED;
    else if (!err && !all_there(pool, job))
        err = SCALEFS_E_CHANGED; /* it calls a member online that is not */
    if (!err) {
        pool->committed = job->record.txn;
        pool->writes_durable = job->writes;
        for (unsigned i = 0; i < job->target_count; i++) {
            struct sfs_member *m = &pool->members[job->targets[i].slot];
            m->missed = m->missed > job->misses ? m->missed : 0;
        }
        pool->last = job->record;
        pool->failover_told = job->failover;
        if (job->on_all)
            pool->failover_known = job->failover;
        sfs_groups_reclaim(pool);
    }
    sfs_mutex_unlock(&pool->lock);
    return err;
}

int sfs_commit_write(struct sfs_pool *pool, struct sfs_commit_job *job)
{
    struct sfs_io *ios = sfs_alloc(pool->env, IOS_AT_ONCE * sizeof *ios);
    int err = ios ? SCALEFS_OK : SCALEFS_E_NOMEM;
    sfs_mutex_lock(&pool->lock);
    unsigned epoch = sfs_pool_io_begin(pool);
    job->writes = pool->writes;
    if (!err && !all_there(pool, job))
        err = SCALEFS_E_CHANGED;
    sfs_mutex_unlock(&pool->lock);
    if (!err)
        err = write_pages(pool, job, ios);
#ifndef SFS_BREAK_NO_FLUSH /* tests break it on purpose: see docs/TESTING.md */
    if (!err)
        err = flush_all(pool, job, ios);
#endif
    err = begin_record(pool, job, err);
    if (!err) {
        err = write_record(pool, job, ios);
        if (!err)
            err = flush_all(pool, job, ios);
        err = finish(pool, job, err);
    }
    sfs_pool_io_end(pool, epoch);
    sfs_free(pool->env, ios);
    job_free(pool, job);
    return err;
}

void sfs_commit_discard(struct sfs_pool *pool, struct sfs_commit_job *job)
{
    sfs_mutex_lock(&pool->lock);
    sfs_table_dropped(pool, &job->table);
    sfs_mutex_unlock(&pool->lock);
    job_free(pool, job);
}
