/* Opening: which record is the pool's state, may it be believed, and who is how far behind.
 *
 * CHOICE. Newest first by (txn, seq), over all disks: the first record whose table can be read and that the
 * caller's probe accepts.
 *
 * HALVES. Another disk's newest record must belong to the history of the chosen one (its list of tenures), not
 * later than where the next tenure began. A disk that is later than that by a record that calls one of the others
 * online, which does not have it, is all right: that record was never acknowledged.
 *
 * PROOF. What was acknowledged is durable on all members that its record calls online, and those are at least
 * n - q (commits are refused below), where q is the quorum of some record: at most m, the greater of quorum and failover,
 * of any record that is on a member (commit.c, follow_quorum). So among more than m members there is one that has
 * it. Either so many are here, and n - m, or every absent one is named absent in the record.
 *
 * BEHIND. When a record is on any disk, every member that it calls online and complete had flushed all that it
 * refers to (commit.c). So a member whose own newest record is that one or the one before is complete. An older one is
 * that of a disk that lost what it had acknowledged, or of an old copy. Except that of the first record of a tenure nobody
 * need ever have been told: where one opening after another was cut short, the one before is what the first of them found.
 */
#include "pool/internal.h"

#include <stdio.h>

struct opener {
    struct sfs_env *env;
    const struct sfs_pool_open *how;
    struct scalefs_error_info *info;
    struct sfs_disk **disks; /* the caller's; entry i is NULL once it is closed or a member's */
    size_t disk_count;
    struct sfs_head **heads; /* NULL where the disk has no label */
    struct sfs_disk **sources; /* disks that pages are read from */
    const struct sfs_head *keep;
    struct sfs_commit *record;
    struct sfs_pool *pool;
    unsigned epoch;
    struct sfs_ring_entry newest; /* of all disks, whether it could be read or not */
    bool rewrite; /* some member does not have all pages of the table */
};

static int no_memory(struct opener *o)
{
    return sfs_refuse(o->info, SCALEFS_E_NOMEM, "There is not enough memory.");
}

/* --- the disks --- */

static int read_heads(struct opener *o)
{
    int last = SCALEFS_E_NOT_A_POOL;
    size_t found = 0;
    for (size_t i = 0; i < o->disk_count; i++) {
        struct sfs_disk *disk = o->disks[i];
        if (!disk)
            continue;
        if (disk->info.zoned && !disk->info.head_bytes)
            return sfs_refuse(o->info, SCALEFS_E_NOTSUP,
                              "%s is a host-managed zoned disk; those are not supported yet.",
                              disk->info.path);
        o->heads[i] = sfs_alloc(o->env, sizeof **o->heads);
        if (!o->heads[i])
            return no_memory(o);
        int err = sfs_head_read(o->env, disk, o->heads[i]);
        if (!err) {
            found++;
            continue;
        }
        sfs_log(o->env, SFS_LOG_INFO, "pool", err, "%s is left out: %s", disk->info.path,
                scalefs_error_text(err));
        sfs_free(o->env, o->heads[i]);
        o->heads[i] = NULL;
        if (err != SCALEFS_E_NOT_A_POOL)
            last = err;
    }
    if (found)
        return SCALEFS_OK;
    return sfs_refuse(o->info, last, "None of the %zu disks given could be used as part of a pool: %s.",
                      o->disk_count, scalefs_error_text(last));
}

static int one_pool(struct opener *o)
{
    const struct sfs_head *first = NULL;
    for (size_t i = 0; i < o->disk_count; i++) {
        const struct sfs_head *h = o->heads[i];
        if (!h)
            continue;
        if (!first)
            first = h;
        if (!sfs_uuid_equal(&first->label.pool, &h->label.pool))
            return sfs_refuse(o->info, SCALEFS_E_AMBIGUOUS, "%s and %s belong to different pools.",
                              first->disk->info.path, h->disk->info.path);
        for (size_t j = 0; j < i; j++)
            if (o->heads[j] && sfs_uuid_equal(&o->heads[j]->label.disk, &h->label.disk))
                return sfs_refuse(o->info, SCALEFS_E_AMBIGUOUS,
                                  "%s and %s are the same disk of the pool; one of them must be a copy. "
                                  "Leave it out.", o->heads[j]->disk->info.path, h->disk->info.path);
        if (h->label.refuse & ~SFS_KNOWN_REFUSE)
            return sfs_refuse(o->info, SCALEFS_E_VERSION, "%s was written by a newer ScaleFS.",
                              h->disk->info.path);
        if (h->label.readonly & ~SFS_KNOWN_READONLY && !o->how->read_only)
            return sfs_refuse(o->info, SCALEFS_E_VERSION,
                              "%s was written by a newer ScaleFS; this one can open it for reading only.",
                              h->disk->info.path);
        if (o->how->keep_disk && sfs_uuid_equal(&h->label.disk, o->how->keep_disk))
            o->keep = h;
    }
    if (o->how->keep_disk && !o->keep)
        return sfs_refuse(o->info, SCALEFS_E_NOENT, "The disk whose half is to be kept is not there.");
    return SCALEFS_OK;
}

/* --- the record --- */

static bool older(const struct sfs_ring_entry *a, const struct sfs_ring_entry *b)
{
    return a->txn < b->txn || (a->txn == b->txn && a->seq < b->seq);
}

static bool same_record(const struct sfs_ring_entry *a, const struct sfs_ring_entry *b)
{
    return a->txn == b->txn && a->seq == b->seq && a->tenure == b->tenure;
}

static bool has_record(const struct sfs_head *h, const struct sfs_ring_entry *e)
{
    for (unsigned i = 0; i < h->ring_count; i++)
        if (same_record(&h->ring[i], e))
            return true;
    return false;
}

/* The newest record of all disks that is older than *limit (NULL: the newest). Of two that differ in
 * their tenure alone (halves written apart) each is given. */
static bool next_candidate(const struct opener *o, const struct sfs_ring_entry *limit,
                           struct sfs_ring_entry *found, const struct sfs_head **where)
{
    *where = NULL;
    for (size_t i = 0; i < o->disk_count; i++) {
        const struct sfs_head *h = o->heads[i];
        for (unsigned e = 0; h && e < h->ring_count; e++) {
            const struct sfs_ring_entry *at = &h->ring[e];
            bool below = !limit || older(at, limit) ||
                         (!older(limit, at) && at->tenure < limit->tenure);
            if (!below)
                continue;
            if (!*where || older(found, at) || (!older(at, found) && found->tenure < at->tenure)) {
                *found = *at;
                *where = h;
            }
            break; /* the others of this disk are older */
        }
    }
    return *where != NULL;
}

static int read_record(struct opener *o, const struct sfs_ring_entry *e)
{
    int err = SCALEFS_E_CORRUPT;
    for (size_t i = 0; i < o->disk_count && err; i++)
        for (unsigned n = 0; o->heads[i] && n < o->heads[i]->ring_count && err; n++)
            if (same_record(&o->heads[i]->ring[n], e))
                err = sfs_head_record(o->env, o->heads[i], &o->heads[i]->ring[n], o->record);
    return err;
}

/* The entry of a head that counts against the chosen record. false: the disk has no record. */
static bool own_entry(const struct opener *o, const struct sfs_head *h, struct sfs_ring_entry *own)
{
    if (!h->ring_count)
        return false;
    const struct sfs_commit *r = &o->pool->last;
    *own = h->ring[0];
    if (own->txn > r->txn) /* see later_belongs: it holds all that the older record needs */
        *own = (struct sfs_ring_entry){r->txn, r->seq, r->tenure, 0};
    return true;
}

/* In the list; tenure_count: not there. */
static unsigned tenure_place(const struct sfs_pool *pool, uint64_t tenure)
{
    unsigned i = 0;
    while (i < pool->tenure_count && pool->tenures[i].id != tenure)
        i++;
    return i;
}

/* The disk is later than the state that the next tenure began with. Was its record ever acknowledged? Not
 * if it calls a disk online that went on with that next tenure. */
static bool never_acknowledged(struct opener *o, const struct sfs_head *late)
{
    struct sfs_commit *r = sfs_alloc(o->env, sizeof *r);
    struct sfs_pool *then = NULL;
    bool excused = false;
    if (r && !sfs_head_record(o->env, late, &late->ring[0], r))
        sfs_pool_load(o->env, r, o->sources, o->disk_count, &then);
    /* One that is no longer in the list is older than all in it. */
    unsigned place = tenure_place(o->pool, late->ring[0].tenure);
    unsigned least = place == o->pool->tenure_count ? 0 : place + 1;
    for (size_t i = 0; i < o->disk_count && then && !excused; i++) {
        const struct sfs_head *h = o->heads[i];
        if (!h || h == late || !h->ring_count)
            continue;
        unsigned p = tenure_place(o->pool, h->ring[0].tenure);
        if (p < least || p == o->pool->tenure_count)
            continue;
        for (unsigned m = 0; m < then->member_count; m++)
            if (sfs_uuid_equal(&then->members[m].record.uuid, &h->label.disk))
                excused = then->members[m].record.presence == SFS_DISK_ONLINE && !sfs_member_failed(&then->members[m]);
    }
    sfs_pool_free(then);
    sfs_free(o->env, r);
    return excused;
}

/* A disk has records that are later than the chosen one: that could not be read, or they are another half's. */
static bool later_belongs(const struct opener *o, const struct sfs_head *h)
{
    const struct sfs_commit *r = &o->pool->last;
    const struct sfs_ring_entry chosen = {r->txn, r->seq, r->tenure, 0};
    uint64_t line = o->keep && o->keep->ring_count ? o->keep->ring[0].tenure : o->newest.tenure;
    if (h->ring[0].tenure == r->tenure)
        return true;
    return has_record(h, &chosen) && h->ring[0].tenure == line;
}

/* Up to which txn a head's disk, that of member m, belongs to the chosen history. false: it was written apart. */
static bool belongs(struct opener *o, const struct sfs_member *m, const struct sfs_head *h, uint64_t *upto)
{
    struct sfs_ring_entry own;
    *upto = 0;
    if (!own_entry(o, h, &own))
        return true;
    if (h->ring[0].txn > o->pool->last.txn && !later_belongs(o, h))
        return false;
    enum sfs_history history = sfs_history_of(o->pool, m, &own, upto);
    return history != SFS_HISTORY_APART && (history != SFS_HISTORY_BEYOND || never_acknowledged(o, h));
}

/* --- members --- */

static struct sfs_head *head_of(struct opener *o, const struct sfs_member *m, size_t *place)
{
    for (size_t i = 0; i < o->disk_count; i++)
        if (o->heads[i] && sfs_uuid_equal(&o->heads[i]->label.disk, &m->record.uuid)) {
            *place = i;
            return o->heads[i];
        }
    return NULL;
}

static bool fits(struct opener *o, const struct sfs_head *h, const struct sfs_member *m)
{
    if (h->disk->info.size_bytes >= m->record.size && h->label.data_offset == m->record.data_offset)
        return true;
    sfs_log(o->env, SFS_LOG_WARN, "pool", SCALEFS_E_TOO_SMALL,
            "%s is smaller than it was as a disk of the pool; it is left out", h->disk->info.path);
    return false;
}

static void leave_absent(struct opener *o, struct sfs_member *m, bool apart)
{
    uint64_t flushed = m->complete ? o->pool->last.txn : m->record.flushed_txn;
    if (apart)
        flushed = 0;
    if (m->record.presence != SFS_DISK_ABSENT) {
        m->record.presence = SFS_DISK_ABSENT;
        m->record.last_tenure = o->pool->last.tenure;
        m->record.last_txn = o->pool->last.txn;
        m->dirty = true;
    }
    m->dirty = m->dirty || m->complete || m->record.flushed_txn != flushed;
    m->record.flushed_txn = flushed;
    m->complete = false;
}

/* May a disk have missed every record between its own and the chosen one, although it obeys? */
static bool only_openings_since(const struct sfs_pool *pool, const struct sfs_ring_entry *own)
{
    uint64_t txn = pool->last.txn;
    for (unsigned i = pool->tenure_count; i-- > 0 && pool->tenures[i].first_txn == txn;) {
        txn = pool->tenures[i].base_txn; /* what that opening found */
        if (own->txn + 1 >= txn)
            return true;
    }
    return false;
}

/* How far is a member that is here? True when it has all that the record refers to. */
static bool take_member(struct opener *o, struct sfs_member *m, const struct sfs_head *h, uint64_t upto)
{
    const struct sfs_commit *r = &o->pool->last;
    struct sfs_ring_entry own = {0, 0, 0, 0};
    m->stale_label = h->label.size != m->record.size || h->label.atoms != m->record.atoms || h->label.role != m->record.role;
    m->damaged_label = h->damaged;
    bool has = own_entry(o, h, &own);
    /* Of the first record it does not matter: there is no data yet. */
    bool next = r->seq == 1 || (has && upto == own.txn && own.seq + 1 >= r->seq);
    bool near = next || (has && upto == own.txn && only_openings_since(o->pool, &own));
    if (m->record.presence == SFS_DISK_ABSENT || !near) {
        uint64_t flushed = m->complete ? r->txn : m->record.flushed_txn;
        flushed = upto < flushed ? upto : flushed;
        m->dirty = m->dirty || m->complete || flushed != m->record.flushed_txn;
        m->record.flushed_txn = flushed;
        m->complete = false;
    }
    if (m->record.presence == SFS_DISK_ABSENT) {
        m->record.presence = SFS_DISK_ONLINE;
        m->dirty = true;
    }
    m->disk = h->disk;
    char path[sizeof m->record.path];
    snprintf(path, sizeof path, "%.*s", (int)sizeof path - 1, h->disk->info.path);
    if (strcmp(path, m->record.path)) {
        memset(m->record.path, 0, sizeof m->record.path);
        strcpy(m->record.path, path);
        m->dirty = true;
    }
    return next && m->complete;
}

struct tally {
    unsigned members, here, evidence, absent, unnamed;
};

/* Gives the members their disks. DIVERGED when halves were written apart and none was chosen. */
static int gather(struct opener *o, struct tally *t)
{
    struct sfs_pool *pool = o->pool;
    memset(t, 0, sizeof *t);
    for (unsigned i = 0; i < pool->member_count; i++) {
        struct sfs_member *m = &pool->members[i];
        size_t place = 0;
        uint64_t upto = 0;
        if (!m->used) /* of a disk that was replaced */
            continue;
        const struct sfs_head *h = head_of(o, m, &place);
        bool failed = sfs_member_failed(m), named = m->record.presence == SFS_DISK_ABSENT;
        bool apart = h && !failed && !belongs(o, m, h, &upto);
        if (apart && !o->keep && m->record.flushed_txn) {
            char name[SFS_DISK_TEXT];
            sfs_disk_text(&m->record, name);
            return sfs_refuse(o->info, SCALEFS_E_DIVERGED,
                              "The disks of the pool \"%s\" were written apart: %s does not have the history "
                              "of the newest ones. Choose which half to keep; what only the other half has will "
                              "be lost.", pool->config.name, name);
        }
        /* Once a half was chosen nothing on the other one counts, and flushed_txn stays 0 until it is written anew. */
        if (apart && !o->keep)
            apart = false, upto = 0;
        t->members += !failed;
        if (!h || failed || apart || !fits(o, h, m)) {
            leave_absent(o, m, apart);
            t->absent += !failed;
            t->unnamed += !failed && !named;
            continue;
        }
        if (!take_member(o, m, h, upto))
            o->rewrite = true;
        t->here++;
        t->evidence += h->ring_count > 0;
    }
    return SCALEFS_OK;
}

/* --- may it be opened? --- */

static int check_masks(struct opener *o)
{
    if (o->record->refuse & ~SFS_KNOWN_REFUSE)
        return sfs_refuse(o->info, SCALEFS_E_VERSION,
                          "The pool was written by a newer ScaleFS, which this one cannot read.");
    if (o->record->readonly & ~SFS_KNOWN_READONLY && !o->how->read_only)
        return sfs_refuse(o->info, SCALEFS_E_VERSION,
                          "The pool was written by a newer ScaleFS; this one can open it for reading only.");
    return SCALEFS_OK;
}

static int check_host(struct opener *o)
{
    const struct sfs_commit *r = &o->pool->last;
    if (!o->how->host || o->how->other_host || r->host == o->how->host || r->exported || r->clean)
        return SCALEFS_OK;
    return sfs_refuse(o->info, SCALEFS_E_OTHER_HOST,
                      "The pool \"%s\" was last used by another computer and was not exported there. If it is "
                      "certainly not in use any more, import it with the option for that.",
                      o->pool->config.name);
}

#define MISSING_TEXT 600

static void missing_text(const struct sfs_pool *pool, char names[MISSING_TEXT])
{
    size_t len = 0;
    names[0] = 0;
    for (unsigned i = 0; i < pool->member_count; i++) {
        char text[SFS_DISK_TEXT];
        const struct sfs_member *member = &pool->members[i];
        if (!member->used || member->disk || sfs_member_failed(member))
            continue;
        sfs_disk_text(&member->record, text);
        if (len + strlen(text) + 8 < MISSING_TEXT)
            len += (size_t)snprintf(names + len, MISSING_TEXT - len, "%s%s", len ? ", " : "", text);
    }
}

static int check_proof(struct opener *o, const struct tally *t)
{
    struct sfs_pool *pool = o->pool;
    unsigned q = pool->config.quorum, m = q > pool->config.failover ? q : pool->config.failover;
    if (!t->unnamed || (t->evidence > m && t->evidence + m >= t->members))
        return SCALEFS_OK;
    if ((o->how->degraded || o->keep) && (t->absent <= q || o->how->read_only))
        return SCALEFS_OK;
    char names[MISSING_TEXT];
    missing_text(pool, names);
    const char *advice = t->absent <= q
                             ? "Attach them, or open it degraded: then what was written last may be lost."
                             : "Attach them: without them there is data that cannot be read.";
    return sfs_refuse(o->info, SCALEFS_E_MISSING,
                      "The pool \"%s\" has %u disks, and %u of them are missing: %s. Without them it is not "
                      "certain that this is its newest state. %s",
                      pool->config.name, t->members, t->absent, names, advice);
}

/* The newest state is whole, on disks that may come back: to go on from an older one would lose it unasked. */
static int refuse_waiting(struct opener *o)
{
    char names[MISSING_TEXT];
    missing_text(o->pool, names);
    return sfs_refuse(o->info, SCALEFS_E_MISSING,
                      "The newest state of the pool \"%s\" cannot be read without the disks that are missing: %s. Attach "
                      "them, or open it degraded: then an older state is looked for, and what was written since is lost.",
                      o->pool->config.name, names);
}

static const struct sfs_member *member_with(const struct sfs_pool *pool, const struct sfs_head *h)
{
    for (unsigned i = 0; i < pool->member_count; i++)
        if (pool->members[i].used && sfs_uuid_equal(&pool->members[i].record.uuid, &h->label.disk))
            return &pool->members[i];
    return NULL;
}

/* One candidate: CHANGED when an older one should be tried. */
static int try_record(struct opener *o, const struct sfs_ring_entry *e, struct tally *t)
{
    int err = read_record(o, e);
    if (!err)
        err = check_masks(o);
    if (err == SCALEFS_E_VERSION)
        return err;
    if (!err)
        err = sfs_pool_load(o->env, o->record, o->sources, o->disk_count, &o->pool);
    if (err == SCALEFS_E_NOMEM)
        return no_memory(o);
    if (err == SCALEFS_E_VERSION)
        return sfs_refuse(o->info, err, "The pool was written by a newer ScaleFS, which this one cannot read.");
    if (err) {
        sfs_log(o->env, SFS_LOG_WARN, "pool", err, "the table of record %llu cannot be read; trying an older one",
                (unsigned long long)e->txn);
        o->rewrite = true;
        return SCALEFS_E_CHANGED;
    }
    /* Until the opening has ended no disk is closed, not even one that disappears. */
    sfs_mutex_lock(&o->pool->lock);
    o->epoch = sfs_pool_io_begin(o->pool);
    sfs_mutex_unlock(&o->pool->lock);
    uint64_t upto;
    struct sfs_ring_entry own;
    if (o->keep && own_entry(o, o->keep, &own) &&
        (sfs_history_of(o->pool, member_with(o->pool, o->keep), &own, &upto) != SFS_HISTORY_IN ||
         (o->keep->ring[0].txn > own.txn && !has_record(o->keep, &own))))
        return SCALEFS_E_CHANGED; /* of the other half */
    err = gather(o, t);
    if (!err)
        err = check_host(o);
    if (!err)
        err = check_proof(o, t);
    if (err)
        return err;
    if (sfs_retired_reserve(o->pool, 0))
        return no_memory(o);
    o->pool->read_only = true;
    sfs_pool_judge(o->pool);
    if (o->how->probe && (err = o->how->probe(o->how->probe_context, o->pool)) != SCALEFS_OK) {
        if (err == SCALEFS_E_NOMEM)
            return no_memory(o);
        if (err == SCALEFS_E_SUSPENDED && !o->how->degraded && !o->keep)
            return refuse_waiting(o);
        sfs_log(o->env, SFS_LOG_WARN, "pool", err, "the trees of record %llu cannot be read; trying an older one",
                (unsigned long long)e->txn);
        o->rewrite = true;
        return SCALEFS_E_CHANGED;
    }
    return SCALEFS_OK;
}

/* Gives up the pool in memory; the disks stay (none was closed: see try_record). */
static void unload(struct opener *o)
{
    sfs_pool_free(o->pool);
    o->pool = NULL;
}

static int choose(struct opener *o, struct tally *t)
{
    struct sfs_ring_entry e, last;
    const struct sfs_head *where;
    bool any = false;
    while (next_candidate(o, any ? &last : NULL, &e, &where)) {
        if (!any)
            o->newest = e;
        any = true;
        last = e;
        int err = try_record(o, &e, t);
        if (err != SCALEFS_E_CHANGED)
            return err;
        unload(o);
    }
    if (!any)
        return sfs_refuse(o->info, SCALEFS_E_NOT_A_POOL,
                          "The disks carry labels of a pool but no record of its state: its creation was cut "
                          "short, or all records are lost.");
    return sfs_refuse(o->info, SCALEFS_E_CORRUPT, "None of the pool's records can be read in full.");
}

/* --- opening for writing --- */

static void begin_tenure(struct opener *o)
{
    struct sfs_pool *pool = o->pool;
    pool->read_only = false;
    pool->txn = pool->committed + SFS_TXN_JUMP;
    pool->next_id += SFS_ID_JUMP;
    pool->host = o->how->host;
    do
        pool->tenure = sfs_random_u64(pool->env);
    while (!pool->tenure || tenure_place(pool, pool->tenure) < pool->tenure_count);
    if (pool->tenure_count == SFS_TENURES_MAX) {
        memmove(pool->tenures, pool->tenures + 1, (SFS_TENURES_MAX - 1) * sizeof pool->tenures[0]);
        pool->tenure_count--;
    }
    pool->tenures[pool->tenure_count++] =
        (struct sfs_tenure_record){pool->tenure, pool->committed, pool->txn, pool->host, sfs_wall_ns(pool->env)};
    sfs_table_mark(pool, SFS_OBJECT_TENURES);
    for (size_t i = 0; i < o->disk_count; i++)
        for (unsigned e = 0; o->heads[i] && e < o->heads[i]->ring_count; e++)
            if (o->heads[i]->ring[e].seq > pool->seq && o->heads[i]->ring[e].txn > pool->last.txn)
                pool->seq = o->heads[i]->ring[e].seq;
    if (o->rewrite)
        sfs_table_rewrite_all(pool);
}

/* The records before the chosen one: if that is on few disks only and the first commit is cut short, one of them may
 * be what is left when these disks fail. So the first commit does not overwrite their tables. */
static void keep_older(struct opener *o)
{
    struct sfs_ring_entry limit = {o->pool->last.txn, o->pool->last.seq, o->pool->last.tenure, 0}, e;
    const struct sfs_head *where;
    for (unsigned n = 0; n < SFS_REUSE_AFTER && next_candidate(o, &limit, &e, &where); n++) {
        struct sfs_pool *then = NULL;
        if (!read_record(o, &e) && !sfs_pool_load(o->env, o->record, o->sources, o->disk_count, &then))
            sfs_table_keep(o->pool, then);
        sfs_pool_free(then);
        limit = e;
    }
}

static int recommit(struct opener *o)
{
    struct sfs_pool *pool = o->pool;
    struct sfs_roots roots = {pool->last.extent_map, pool->last.space, pool->last.pool_tree};
    int err = SCALEFS_E_CHANGED;
    keep_older(o);
    sfs_mutex_lock(&pool->lock);
    begin_tenure(o);
    sfs_mutex_unlock(&pool->lock);
    for (unsigned tries = 0; err == SCALEFS_E_CHANGED && tries <= SFS_DISKS_MAX; tries++) {
        struct sfs_commit_job *job;
        sfs_mutex_lock(&pool->lock);
        err = sfs_commit_prepare(pool, &roots, false, false, &job);
        sfs_mutex_unlock(&pool->lock);
        if (!err)
            err = sfs_commit_write(pool, job);
    }
    if (err == SCALEFS_E_SUSPENDED)
        return sfs_refuse(o->info, SCALEFS_E_MISSING, "The pool \"%s\" cannot be written. %s",
                          pool->config.name, pool->suspended_why);
    if (err)
        return sfs_refuse(o->info, err, "The pool \"%s\" cannot be written: %s.", pool->config.name,
                          scalefs_error_text(err));
    return SCALEFS_OK;
}

static int opener_init(struct opener *o)
{
    o->heads = sfs_zalloc(o->env, (o->disk_count + 1) * sizeof *o->heads);
    o->sources = sfs_zalloc(o->env, (o->disk_count + 1) * sizeof *o->sources);
    o->record = sfs_alloc(o->env, sizeof *o->record);
    if (!o->heads || !o->sources || !o->record)
        return no_memory(o);
    return SCALEFS_OK;
}

static bool is_taken(const struct sfs_pool *pool, const struct sfs_disk *disk)
{
    for (unsigned m = 0; pool && m < pool->member_count; m++)
        if (pool->members[m].used && pool->members[m].disk == disk)
            return true;
    for (size_t i = 0; pool && i < pool->retired_count; i++)
        if (pool->retired[i].disk == disk)
            return true;
    return false;
}

/* Frees what opening needed; disks that are nobody's are closed. */
static void opener_deinit(struct opener *o, bool failed)
{
    for (size_t i = 0; i < o->disk_count; i++) {
        if (!is_taken(o->pool, o->disks[i]))
            sfs_disk_close(o->disks[i]);
        if (o->heads)
            sfs_free(o->env, o->heads[i]);
    }
    sfs_free(o->env, o->heads);
    sfs_free(o->env, o->sources);
    sfs_free(o->env, o->record);
    if (o->pool)
        sfs_pool_io_end(o->pool, o->epoch);
    if (failed)
        sfs_pool_close(o->pool);
}

int sfs_pool_open(struct sfs_env *env, struct sfs_disk **disks, size_t count, const struct sfs_pool_open *how,
                  struct sfs_pool **pool, struct scalefs_error_info *info)
{
    struct opener o = {.env = env, .how = how, .info = info, .disks = disks, .disk_count = count};
    struct tally t;
    *pool = NULL;
    int err = opener_init(&o);
    if (!err)
        err = read_heads(&o);
    if (!err)
        err = one_pool(&o);
    for (size_t i = 0; i < count && !err; i++)
        o.sources[i] = o.heads[i] ? disks[i] : NULL;
    if (!err)
        err = choose(&o, &t);
    if (!err && !how->read_only)
        err = recommit(&o);
    if (!err)
        *pool = o.pool;
    opener_deinit(&o, err != SCALEFS_OK);
    return err;
}
