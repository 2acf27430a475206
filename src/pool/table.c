/* The table: which record stands on which page, and copy-on-write of the pages.
 *
 * An *object* is one or a few records that stay together (SFS_OBJECT_…). An object has one page; counters
 * have pages of their own, so that a commit that changes nothing but counters writes little. A page is
 * encoded anew when one of its objects is dirty; an object that no longer fits moves.
 *
 * SLOTS. slots[s] is FREE, IN_USE, or the txn in which the page left it: then it is used again when
 * committed >= that + SFS_REUSE_AFTER. A page is `fresh` while no record that may be on a disk refers to its
 * slot (its commit failed before the record was sent): it is encoded again in place. Writing the table
 * changes nothing that the table describes. Locked; memory only.
 */
#include "pool/internal.h"

#define FREE 0ull
#define IN_USE UINT64_MAX
#define PAGES_MAX (SFS_DIR_FANOUT * SFS_DIR_PAGES_MAX)
#define SLOTS_MAX (1u << 18) /* the head of a disk is at most 1 GiB */
#define ROOMY 600u           /* a page with so much room takes most objects */

struct page {
    uint32_t slot; /* SFS_NONE32: none yet */
    uint64_t checksum;
    bool used, counters, dirty, fresh;
    uint32_t bytes; /* of its records, as last counted */
    uint64_t *objects;
    size_t count, cap;
};

struct sfs_table {
    struct page *pages;
    size_t page_count, page_cap;
    struct page dirs[SFS_DIR_PAGES_MAX];
    uint32_t dir_count;
    uint64_t *slots;
    size_t slot_count;
    uint64_t *waiting; /* objects without a page */
    size_t waiting_count, waiting_cap;
    uint32_t config_page, tenures_page, disk_page[SFS_DISKS_MAX];
    size_t roomy[2]; /* no page of the kind below this number has much room */
    uint8_t scratch[SFS_TABLE_ROOM];
};

int sfs_table_new(struct sfs_pool *pool)
{
    struct sfs_table *t = sfs_zalloc(pool->env, sizeof *t);
    if (!t)
        return SCALEFS_E_NOMEM;
    t->config_page = t->tenures_page = SFS_NONE32;
    for (unsigned i = 0; i < SFS_DISKS_MAX; i++)
        t->disk_page[i] = SFS_NONE32;
    for (unsigned i = 0; i < SFS_DIR_PAGES_MAX; i++)
        t->dirs[i].slot = SFS_NONE32;
    pool->table = t;
    return SCALEFS_OK;
}

void sfs_table_free(struct sfs_pool *pool)
{
    struct sfs_table *t = pool->table;
    if (!t)
        return;
    for (size_t i = 0; i < t->page_count; i++)
        sfs_free(pool->env, t->pages[i].objects);
    sfs_free(pool->env, t->pages);
    sfs_free(pool->env, t->slots);
    sfs_free(pool->env, t->waiting);
    sfs_free(pool->env, t);
    pool->table = NULL;
}

/* --- objects and their pages --- */

/* Where it is written down which page an object has. */
static uint32_t *page_ref(struct sfs_pool *pool, uint64_t object)
{
    struct sfs_table *t = pool->table;
    uint32_t key = (uint32_t)SFS_OBJECT_KEY(object);
    struct sfs_group *g;
    switch (SFS_OBJECT_KIND(object)) {
    case SFS_OBJECT_CONFIG:
        return &t->config_page;
    case SFS_OBJECT_TENURES:
        return &t->tenures_page;
    case SFS_OBJECT_DISK:
        return &t->disk_page[key];
    default:
        g = sfs_group_of(pool, key);
        SFS_ASSERT(g);
        return SFS_OBJECT_KIND(object) == SFS_OBJECT_GROUP ? &g->static_page : &g->count_page;
    }
}

uint32_t sfs_table_page_of(const struct sfs_pool *pool, uint64_t object)
{
    return *page_ref((struct sfs_pool *)pool, object);
}

static bool is_counter(uint64_t object)
{
    return SFS_OBJECT_KIND(object) == SFS_OBJECT_COUNT;
}

static void put_disk(struct sfs_writer *w, const struct sfs_member *m)
{
    struct sfs_disk_record r = m->record;
    if (m->complete)
        r.flushed_txn = SFS_COMPLETE;
    if (r.presence == SFS_DISK_ONLINE)
        r.last_tenure = r.last_txn = 0;
    sfs_diskrec_put(w, &r);
}

static void put_count(struct sfs_writer *w, const struct sfs_group *g)
{
    sfs_count_put(w, &g->count);
    if (!g->bitmap)
        return;
    struct sfs_bitmap_record b = {.group = g->record.group, .bytes = (uint16_t)((g->record.rows + 7) / 8),
                                  .bits = g->bitmap};
    sfs_bitmap_put(w, &b);
}

static void put_object(struct sfs_pool *pool, struct sfs_writer *w, uint64_t object)
{
    uint32_t key = (uint32_t)SFS_OBJECT_KEY(object);
    switch (SFS_OBJECT_KIND(object)) {
    case SFS_OBJECT_CONFIG:
        sfs_config_put(w, &pool->config);
        if (pool->scrub.id)
            sfs_task_put(w, &pool->scrub);
        break;
    case SFS_OBJECT_TENURES:
        for (unsigned i = 0; i < pool->tenure_count; i++)
            sfs_tenure_put(w, &pool->tenures[i]);
        break;
    case SFS_OBJECT_DISK:
        put_disk(w, &pool->members[key]);
        break;
    case SFS_OBJECT_GROUP:
        sfs_group_put(w, &sfs_group_of(pool, key)->record);
        break;
    default:
        put_count(w, sfs_group_of(pool, key));
    }
}

static uint32_t object_bytes(struct sfs_pool *pool, uint64_t object)
{
    struct sfs_writer w = sfs_writer(pool->table->scratch, SFS_TABLE_ROOM);
    put_object(pool, &w, object);
    SFS_ASSERT(!w.bad); /* no object is larger than a page */
    return (uint32_t)sfs_writer_len(&w);
}

int sfs_table_add(struct sfs_pool *pool, uint64_t object)
{
    struct sfs_table *t = pool->table;
    int err = sfs_vec_reserve(pool->env, &t->waiting, &t->waiting_cap, t->waiting_count + 1,
                              sizeof *t->waiting);
    if (err)
        return err;
    *page_ref(pool, object) = SFS_NONE32;
    t->waiting[t->waiting_count++] = object;
    return SCALEFS_OK;
}

static void forget_in(uint64_t *list, size_t *count, uint64_t object)
{
    for (size_t i = 0; i < *count; i++)
        if (list[i] == object) {
            list[i] = list[--*count];
            return;
        }
    SFS_ASSERT(false);
}

static void leave_page(struct sfs_pool *pool, uint64_t object)
{
    struct sfs_table *t = pool->table;
    uint32_t *ref = page_ref(pool, object);
    struct page *p = &t->pages[*ref];
    forget_in(p->objects, &p->count, object);
    p->dirty = true;
    if (t->roomy[p->counters] > *ref)
        t->roomy[p->counters] = *ref;
    *ref = SFS_NONE32;
}

void sfs_table_remove(struct sfs_pool *pool, uint64_t object)
{
    struct sfs_table *t = pool->table;
    if (*page_ref(pool, object) == SFS_NONE32) {
        forget_in(t->waiting, &t->waiting_count, object);
        return;
    }
    struct page *p = &t->pages[*page_ref(pool, object)];
    uint32_t bytes = object_bytes(pool, object);
    leave_page(pool, object);
    p->bytes -= bytes < p->bytes ? bytes : p->bytes;
}

void sfs_table_mark(struct sfs_pool *pool, uint64_t object)
{
    uint32_t page = *page_ref(pool, object);
    if (page != SFS_NONE32)
        pool->table->pages[page].dirty = true;
}

void sfs_table_mark_group(struct sfs_pool *pool, struct sfs_group *group)
{
    if (group->static_page != SFS_NONE32)
        pool->table->pages[group->static_page].dirty = true;
}

void sfs_table_mark_count(struct sfs_pool *pool, struct sfs_group *group)
{
    if (group->count_page != SFS_NONE32)
        pool->table->pages[group->count_page].dirty = true;
}

void sfs_table_rewrite_all(struct sfs_pool *pool)
{
    struct sfs_table *t = pool->table;
    for (size_t i = 0; i < t->page_count; i++)
        t->pages[i].dirty = t->pages[i].dirty || t->pages[i].used;
    for (uint32_t d = 0; d < t->dir_count; d++)
        t->dirs[d].dirty = true;
}

static int page_list_add(struct sfs_pool *pool, struct page *p, uint64_t object)
{
    int err = sfs_vec_reserve(pool->env, &p->objects, &p->cap, p->count + 1, sizeof *p->objects);
    if (!err)
        p->objects[p->count++] = object;
    return err;
}

/* A page of this kind with room for so many bytes; a new one when there is none. */
static int find_page(struct sfs_pool *pool, bool counters, uint32_t bytes, uint32_t *page)
{
    struct sfs_table *t = pool->table;
    size_t unused = t->page_count;
    size_t first_roomy = SIZE_MAX;
    for (size_t i = t->roomy[counters]; i < t->page_count; i++) {
        struct page *p = &t->pages[i];
        if (!p->used) {
            if (unused == t->page_count)
                unused = i;
            continue;
        }
        if (p->counters != counters)
            continue;
        if (p->bytes + ROOMY <= SFS_TABLE_ROOM && first_roomy == SIZE_MAX)
            first_roomy = i;
        if (p->bytes + bytes <= SFS_TABLE_ROOM) {
            t->roomy[counters] = first_roomy < i ? first_roomy : i;
            *page = (uint32_t)i;
            return SCALEFS_OK;
        }
    }
    if (unused >= PAGES_MAX)
        return SCALEFS_E_NOSPC;
    if (unused == t->page_count) {
        int err = sfs_vec_reserve(pool->env, &t->pages, &t->page_cap, unused + 1, sizeof *t->pages);
        if (err)
            return err;
        t->page_count++;
        memset(&t->pages[unused], 0, sizeof t->pages[unused]);
    }
    struct page *p = &t->pages[unused];
    t->roomy[counters] = first_roomy < unused ? first_roomy : unused;
    p->used = true;
    p->counters = counters;
    p->slot = SFS_NONE32;
    p->fresh = false;
    p->bytes = 0;
    *page = (uint32_t)unused;
    return SCALEFS_OK;
}

static int place_waiting(struct sfs_pool *pool)
{
    struct sfs_table *t = pool->table;
    size_t done = 0;
    int err = SCALEFS_OK;
    while (done < t->waiting_count) {
        uint64_t object = t->waiting[done];
        uint32_t bytes = object_bytes(pool, object), page = 0;
        err = find_page(pool, is_counter(object), bytes, &page);
        if (!err)
            err = page_list_add(pool, &t->pages[page], object);
        if (err)
            break;
        done++;
        t->pages[page].bytes += bytes;
        t->pages[page].dirty = true;
        *page_ref(pool, object) = page;
    }
    t->waiting_count -= done;
    if (done)
        memmove(t->waiting, t->waiting + done, t->waiting_count * sizeof *t->waiting);
    return err;
}

/* Counts a dirty page's bytes; what no longer fits goes to `waiting`. */
static int measure(struct sfs_pool *pool, uint32_t number)
{
    struct sfs_table *t = pool->table;
    struct page *p = &t->pages[number];
    uint32_t total = 0;
    for (size_t i = 0; i < p->count;) {
        uint64_t object = p->objects[i];
        uint32_t bytes = object_bytes(pool, object);
        if (total + bytes <= SFS_TABLE_ROOM) {
            total += bytes;
            i++;
            continue;
        }
        int err = sfs_vec_reserve(pool->env, &t->waiting, &t->waiting_cap, t->waiting_count + 1,
                                  sizeof *t->waiting);
        if (err)
            return err;
        leave_page(pool, object);
        t->waiting[t->waiting_count++] = object;
    }
    p->bytes = total;
    return SCALEFS_OK;
}

/* Every object has a page that has room for it. */
static int lay_out(struct sfs_pool *pool)
{
    struct sfs_table *t = pool->table;
    if (pool->config_dirty)
        sfs_table_mark(pool, SFS_OBJECT_CONFIG);
    for (unsigned i = 0; i < pool->member_count; i++)
        if (pool->members[i].used && pool->members[i].dirty)
            sfs_table_mark(pool, SFS_OBJECT_DISK | i);
    for (size_t i = 0; i < t->page_count; i++) {
        int err = t->pages[i].used && t->pages[i].dirty ? measure(pool, (uint32_t)i) : SCALEFS_OK;
        if (err)
            return err;
    }
    return place_waiting(pool);
}

/* --- slots --- */

/* How many slots enough of the online members have: all of them where it can be. */
static uint32_t slot_limit(const struct sfs_pool *pool)
{
    uint32_t sizes[SFS_DISKS_MAX];
    unsigned bears = pool->config.failover > pool->config.quorum ? pool->config.failover : pool->config.quorum;
    unsigned n = 0, copies = bears + 1 > 2 ? bears + 1 : 2;
    for (unsigned i = 0; i < pool->member_count; i++) {
        if (!pool->members[i].used || !pool->members[i].disk)
            continue;
        unsigned at = n++;
        for (; at > 0 && sizes[at - 1] < pool->members[i].record.table_slots; at--)
            sizes[at] = sizes[at - 1];
        sizes[at] = pool->members[i].record.table_slots;
    }
    if (!n)
        return 0;
    return sizes[(copies < n ? copies : n) - 1];
}

static int slots_reserve(struct sfs_pool *pool, size_t count)
{
    struct sfs_table *t = pool->table;
    if (count <= t->slot_count)
        return SCALEFS_OK;
    uint64_t *bigger = sfs_realloc(pool->env, t->slots, t->slot_count * sizeof *bigger,
                                   count * sizeof *bigger);
    if (!bigger)
        return SCALEFS_E_NOMEM;
    memset(bigger + t->slot_count, 0, (count - t->slot_count) * sizeof *bigger);
    t->slots = bigger;
    t->slot_count = count;
    return SCALEFS_OK;
}

static bool slot_usable(const struct sfs_pool *pool, uint32_t slot)
{
    uint64_t state = pool->table->slots[slot];
    return state == FREE || (state != IN_USE && pool->committed >= state &&
                             pool->committed - state >= SFS_REUSE_AFTER);
}

/* Moves a page to a new slot; *cursor goes upwards within one commit. */
static void new_slot(struct sfs_pool *pool, struct page *p, uint32_t *cursor)
{
    struct sfs_table *t = pool->table;
    if (p->fresh)
        return;
    while (!slot_usable(pool, *cursor))
        ++*cursor;
    if (p->slot != SFS_NONE32)
        t->slots[p->slot] = pool->txn;
    p->slot = *cursor;
    t->slots[p->slot] = IN_USE;
    p->fresh = true;
}

static void drop_page(struct sfs_pool *pool, struct page *p)
{
    size_t number = (size_t)(p - pool->table->pages);
    for (int kind = 0; kind < 2; kind++)
        if (pool->table->roomy[kind] > number)
            pool->table->roomy[kind] = number;
    if (p->slot != SFS_NONE32)
        pool->table->slots[p->slot] = p->fresh ? FREE : pool->txn;
    p->slot = SFS_NONE32;
    p->used = p->dirty = p->fresh = false;
    p->bytes = 0;
}

bool sfs_table_has_room(struct sfs_pool *pool, unsigned columns)
{
    const struct sfs_table *t = pool->table;
    /* Each page may exist in as many versions as there are records that must stay openable, and the one
     * that is being written. */
    size_t pages = t->page_count + t->page_count / SFS_DIR_FANOUT + 4 +
                   (t->waiting_count * (48 + 8 * (size_t)columns)) / SFS_TABLE_ROOM;
    return pages * (SFS_REUSE_AFTER + 2) <= slot_limit(pool) && pages < PAGES_MAX;
}

uint64_t sfs_table_groups(const struct sfs_pool *pool, unsigned columns)
{
    uint64_t pages = slot_limit(pool) / (SFS_REUSE_AFTER + 2);
    uint64_t room = (pages < PAGES_MAX ? pages : PAGES_MAX) * SFS_TABLE_ROOM;
    return room / 4 * 3 / (68 + 8 * (uint64_t)columns); /* pages are not full; each group has two records */
}

/* --- a commit --- */

static size_t count_dirty(struct sfs_pool *pool, size_t *new_slots)
{
    struct sfs_table *t = pool->table;
    size_t blocks = 0;
    *new_slots = 0;
    for (size_t i = 0; i < t->page_count; i++) {
        struct page *p = &t->pages[i];
        if (!p->used || !p->dirty)
            continue;
        uint32_t d = (uint32_t)(i / SFS_DIR_FANOUT);
        t->dirs[d].dirty = true;
        if (d >= t->dir_count)
            t->dir_count = d + 1;
        blocks += p->count > 0;
        *new_slots += p->count > 0 && !p->fresh;
    }
    for (uint32_t d = 0; d < t->dir_count; d++)
        if (t->dirs[d].dirty) {
            blocks++;
            *new_slots += !t->dirs[d].fresh;
        }
    return blocks;
}

static int job_room(struct sfs_pool *pool, struct sfs_table_job *job, size_t blocks)
{
    memset(job, 0, sizeof *job);
    job->blocks = sfs_alloc_io(pool->env, blocks * SFS_BLOCK);
    job->slots = sfs_alloc(pool->env, blocks * sizeof *job->slots);
    job->pages = sfs_alloc(pool->env, blocks * sizeof *job->pages);
    if (job->blocks && job->slots && job->pages)
        return SCALEFS_OK;
    sfs_table_job_free(pool, job);
    return SCALEFS_E_NOMEM;
}

void sfs_table_job_free(struct sfs_pool *pool, struct sfs_table_job *job)
{
    sfs_free(pool->env, job->blocks);
    sfs_free(pool->env, job->slots);
    sfs_free(pool->env, job->pages);
    memset(job, 0, sizeof *job);
}

static uint8_t *job_block(struct sfs_table_job *job, uint32_t slot, uint32_t page)
{
    job->slots[job->count] = slot;
    job->pages[job->count] = page;
    return job->blocks + job->count++ * SFS_BLOCK;
}

static void encode_page(struct sfs_pool *pool, struct sfs_table_job *job, uint32_t number)
{
    struct sfs_table *t = pool->table;
    struct page *p = &t->pages[number];
    struct sfs_writer w = sfs_writer(t->scratch, SFS_TABLE_ROOM);
    for (size_t i = 0; i < p->count; i++)
        put_object(pool, &w, p->objects[i]);
    SFS_ASSERT(!w.bad);
    p->bytes = (uint32_t)sfs_writer_len(&w);
    sfs_table_encode(t->scratch, p->bytes, number, &pool->uuid, p->slot, job_block(job, p->slot, number),
                     &p->checksum);
    p->dirty = false;
}

static void encode_directory(struct sfs_pool *pool, struct sfs_table_job *job, uint32_t number,
                             struct sfs_directory *d)
{
    struct sfs_table *t = pool->table;
    struct page *p = &t->dirs[number];
    d->first_page = number * SFS_DIR_FANOUT;
    d->count = 0;
    for (size_t i = d->first_page; i < t->page_count && d->count < SFS_DIR_FANOUT; i++) {
        bool there = t->pages[i].used;
        d->pages[d->count++] = (struct sfs_pageptr){there ? t->pages[i].slot : SFS_NONE32,
                                                    there ? t->pages[i].checksum : 0};
    }
    sfs_directory_encode(d, &pool->uuid, p->slot, job_block(job, p->slot, number | SFS_JOB_DIRECTORY),
                         &p->checksum);
    p->dirty = false;
}

static bool is_high(const struct page *p, uint32_t limit)
{
    return p->slot != SFS_NONE32 && p->slot >= limit && !p->dirty && !p->fresh;
}

/* Disks with more slots went, or more failover is wished: pages in slots that too few disks have now move down, as many
 * as there is room for. */
static void leave_high_slots(struct sfs_pool *pool, uint32_t limit)
{
    struct sfs_table *t = pool->table;
    size_t needed, usable = 0, high = 0;
    for (uint32_t d = 0; d < t->dir_count; d++)
        high += is_high(&t->dirs[d], limit);
    for (size_t i = 0; i < t->page_count; i++)
        high += t->pages[i].used && is_high(&t->pages[i], limit);
    if (!high)
        return;
    count_dirty(pool, &needed);
    for (uint32_t s = 0; s < limit; s++)
        usable += slot_usable(pool, s);
    for (uint32_t d = 0; d < t->dir_count && usable > needed; d++)
        if (is_high(&t->dirs[d], limit)) {
            t->dirs[d].dirty = true;
            needed++;
        }
    for (size_t i = 0; i < t->page_count && usable > needed + 1; i++) {
        struct page *dir = &t->dirs[i / SFS_DIR_FANOUT];
        if (!t->pages[i].used || !is_high(&t->pages[i], limit))
            continue;
        needed += 1 + !dir->dirty;
        t->pages[i].dirty = dir->dirty = true;
    }
}

int sfs_table_prepare(struct sfs_pool *pool, struct sfs_table_job *job, struct sfs_commit *record)
{
    struct sfs_table *t = pool->table;
    memset(job, 0, sizeof *job);
    int err = lay_out(pool);
    uint32_t limit = slot_limit(pool), cursor = 0;
    if (!err)
        err = slots_reserve(pool, limit);
    if (err)
        return err;
    leave_high_slots(pool, limit);
    size_t needed, usable = 0, blocks = count_dirty(pool, &needed);
    for (uint32_t s = 0; s < limit && usable < needed; s++)
        usable += slot_usable(pool, s);
    if (usable < needed)
        return SCALEFS_E_NOSPC;
    struct sfs_directory *dir = sfs_alloc(pool->env, sizeof *dir);
    err = dir ? job_room(pool, job, blocks) : SCALEFS_E_NOMEM;
    if (err) {
        sfs_free(pool->env, dir);
        return err;
    }
    for (size_t i = 0; i < t->page_count; i++) {
        struct page *p = &t->pages[i];
        if (!p->used || !p->dirty)
            continue;
        if (!p->count) {
            drop_page(pool, p);
            continue;
        }
        new_slot(pool, p, &cursor);
        encode_page(pool, job, (uint32_t)i);
    }
    record->directory_count = (uint16_t)t->dir_count;
    for (uint32_t d = 0; d < t->dir_count; d++) {
        if (t->dirs[d].dirty) {
            new_slot(pool, &t->dirs[d], &cursor);
            encode_directory(pool, job, d, dir);
        }
        record->directory[d] = (struct sfs_pageptr){t->dirs[d].slot, t->dirs[d].checksum};
    }
    SFS_ASSERT(job->count == blocks);
    sfs_free(pool->env, dir);
    pool->config_dirty = false;
    for (unsigned i = 0; i < pool->member_count; i++)
        pool->members[i].dirty = false;
    return SCALEFS_OK;
}

static struct page *job_page(struct sfs_pool *pool, const struct sfs_table_job *job, size_t i)
{
    uint32_t n = job->pages[i] & ~SFS_JOB_DIRECTORY;
    return job->pages[i] & SFS_JOB_DIRECTORY ? &pool->table->dirs[n] : &pool->table->pages[n];
}

void sfs_table_settled(struct sfs_pool *pool, const struct sfs_table_job *job)
{
    for (size_t i = 0; i < job->count; i++)
        job_page(pool, job, i)->fresh = false;
}

void sfs_table_dropped(struct sfs_pool *pool, const struct sfs_table_job *job)
{
    for (size_t i = 0; i < job->count; i++)
        job_page(pool, job, i)->dirty = true;
}

/* --- loading --- */

int sfs_table_known_page(struct sfs_pool *pool, uint32_t page, uint32_t slot, uint64_t checksum)
{
    struct sfs_table *t = pool->table;
    if (page >= PAGES_MAX || slot >= SLOTS_MAX)
        return SCALEFS_E_CORRUPT;
    int err = sfs_vec_reserve(pool->env, &t->pages, &t->page_cap, (size_t)page + 1, sizeof *t->pages);
    if (!err)
        err = slots_reserve(pool, (size_t)slot + 1);
    if (err)
        return err;
    while (t->page_count <= page) {
        memset(&t->pages[t->page_count], 0, sizeof t->pages[0]);
        t->pages[t->page_count++].slot = SFS_NONE32;
    }
    struct page *p = &t->pages[page];
    if (p->used || t->slots[slot] == IN_USE)
        return SCALEFS_E_CORRUPT;
    p->used = true;
    p->slot = slot;
    p->checksum = checksum;
    t->slots[slot] = IN_USE;
    return SCALEFS_OK;
}

void sfs_table_keep(struct sfs_pool *pool, const struct sfs_pool *older)
{
    struct sfs_table *t = pool->table;
    const struct sfs_table *then = older->table;
    if (slots_reserve(pool, then->slot_count))
        return; /* without memory for it the opening fails soon enough */
    for (size_t s = 0; s < then->slot_count; s++)
        if (then->slots[s] == IN_USE && t->slots[s] == FREE)
            t->slots[s] = pool->last.txn;
}

int sfs_table_known_directory(struct sfs_pool *pool, uint32_t number, uint32_t slot, uint64_t checksum)
{
    struct sfs_table *t = pool->table;
    if (number >= SFS_DIR_PAGES_MAX || slot >= SLOTS_MAX)
        return SCALEFS_E_CORRUPT;
    int err = slots_reserve(pool, (size_t)slot + 1);
    if (err)
        return err;
    if (t->slots[slot] == IN_USE)
        return SCALEFS_E_CORRUPT;
    t->slots[slot] = IN_USE;
    t->dirs[number].slot = slot;
    t->dirs[number].checksum = checksum;
    if (t->dir_count <= number)
        t->dir_count = number + 1;
    return SCALEFS_OK;
}

int sfs_table_known_object(struct sfs_pool *pool, uint32_t page, uint64_t object, uint32_t bytes)
{
    struct page *p = &pool->table->pages[page];
    uint32_t *ref = page_ref(pool, object);
    p->bytes += bytes;
    if (*ref == page)
        return SCALEFS_OK; /* one more record of it */
    if (*ref != SFS_NONE32 || (p->count && p->counters != is_counter(object)))
        return SCALEFS_E_CORRUPT;
    int err = page_list_add(pool, p, object);
    if (err)
        return err;
    p->counters = is_counter(object);
    *ref = page;
    return SCALEFS_OK;
}
