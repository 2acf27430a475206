/* From a commit record to a pool in memory: directory pages, table pages, records.
 *
 * Promise: what comes out is consistent: every group's columns lie inside their disks, on disks that the table
 * names, and no two overlap. Reads only; a page is taken from whichever disk has it whole.
 */
#include "pool/internal.h"

#define READ_AT_ONCE 64u
#define GROUPS_MAX (1u << 24)

struct loader {
    struct sfs_env *env;
    const struct sfs_commit *record;
    struct sfs_disk *const *disks;
    size_t disk_count;
    struct sfs_pool *pool;
    uint32_t *numbers; /* of the table pages */
    struct sfs_pageptr *pages;
    size_t page_count, numbers_cap, pages_cap;
    uint8_t *blocks; /* all table pages */
};

/* Which of `want` (block i at blocks + i × 4 KiB) does this disk have? Those that verify leave the list. */
typedef int (*verify_fn)(struct loader *l, size_t i, const uint8_t *block);

static int read_some(struct loader *l, struct sfs_disk *disk, const struct sfs_pageptr *ptrs, uint8_t *blocks,
                     size_t *want, size_t *want_count, verify_fn verify, struct sfs_io *ios)
{
    size_t left = 0;
    int version = SCALEFS_OK;
    for (size_t from = 0; from < *want_count;) {
        size_t n = *want_count - from < READ_AT_ONCE ? *want_count - from : READ_AT_ONCE;
        for (size_t i = 0; i < n; i++)
            ios[i] = (struct sfs_io){.disk = disk, .op = SFS_IO_READ, .len = SFS_BLOCK,
                                     .buf = blocks + want[from + i] * SFS_BLOCK,
                                     .offset = SFS_TABLE_OFFSET + (uint64_t)ptrs[want[from + i]].slot * SFS_BLOCK};
        sfs_io_run(l->env, ios, n);
        for (size_t i = 0; i < n; i++) {
            size_t page = want[from + i];
            int err = ios[i].result ? SCALEFS_E_IO : verify(l, page, blocks + page * SFS_BLOCK);
            if (err)
                want[left++] = page;
            if (err == SCALEFS_E_VERSION)
                version = err;
        }
        from += n;
    }
    *want_count = left;
    return version;
}

/* All of them, each from any disk. */
static int read_all(struct loader *l, const struct sfs_pageptr *ptrs, size_t count, uint8_t *blocks,
                    verify_fn verify)
{
    size_t *want = sfs_alloc(l->env, (count + 1) * sizeof *want), left = count;
    struct sfs_io *ios = sfs_alloc(l->env, READ_AT_ONCE * sizeof *ios);
    int err = want && ios ? SCALEFS_OK : SCALEFS_E_NOMEM;
    for (size_t i = 0; i < count && !err; i++)
        want[i] = i;
    for (size_t d = 0; d < l->disk_count && left && !err; d++)
        if (l->disks[d])
            err = read_some(l, l->disks[d], ptrs, blocks, want, &left, verify, ios);
    if (!err && left)
        err = SCALEFS_E_CORRUPT;
    sfs_free(l->env, ios);
    sfs_free(l->env, want);
    return err;
}

static int verify_directory(struct loader *l, size_t i, const uint8_t *block)
{
    struct sfs_directory *d = sfs_alloc(l->env, sizeof *d);
    if (!d)
        return SCALEFS_E_NOMEM;
    const struct sfs_pageptr *p = &l->record->directory[i];
    int err = sfs_directory_decode(block, &l->record->pool, p->slot, p->checksum, d);
    if (!err && d->first_page != i * SFS_DIR_FANOUT)
        err = SCALEFS_E_CORRUPT;
    sfs_free(l->env, d);
    return err;
}

static int verify_page(struct loader *l, size_t i, const uint8_t *block)
{
    const uint8_t *records;
    uint32_t bytes;
    return sfs_table_decode(block, &l->record->pool, l->pages[i].slot, l->pages[i].checksum, l->numbers[i],
                            &records, &bytes);
}

static int take_directory(struct loader *l, uint32_t number, const uint8_t *block, struct sfs_directory *d)
{
    const struct sfs_pageptr *p = &l->record->directory[number];
    int err = sfs_directory_decode(block, &l->record->pool, p->slot, p->checksum, d);
    if (!err)
        err = sfs_table_known_directory(l->pool, number, p->slot, p->checksum);
    for (uint32_t i = 0; i < d->count && !err; i++) {
        if (d->pages[i].slot == SFS_NONE32)
            continue;
        err = sfs_vec_reserve(l->env, &l->numbers, &l->numbers_cap, l->page_count + 1, sizeof *l->numbers);
        if (!err)
            err = sfs_vec_reserve(l->env, &l->pages, &l->pages_cap, l->page_count + 1, sizeof *l->pages);
        if (err)
            break;
        l->numbers[l->page_count] = d->first_page + i;
        l->pages[l->page_count++] = d->pages[i];
        err = sfs_table_known_page(l->pool, d->first_page + i, d->pages[i].slot, d->pages[i].checksum);
    }
    return err;
}

static int read_directories(struct loader *l)
{
    size_t count = l->record->directory_count;
    uint8_t *blocks = sfs_alloc_io(l->env, (count + 1) * SFS_BLOCK);
    struct sfs_directory *d = sfs_alloc(l->env, sizeof *d);
    int err = blocks && d ? SCALEFS_OK : SCALEFS_E_NOMEM;
    if (!err)
        err = read_all(l, l->record->directory, count, blocks, verify_directory);
    for (uint32_t i = 0; i < count && !err; i++)
        err = take_directory(l, i, blocks + (size_t)i * SFS_BLOCK, d);
    sfs_free(l->env, d);
    sfs_free(l->env, blocks);
    return err;
}

/* --- records --- */

int sfs_group_enter(struct sfs_pool *pool, const struct sfs_group_record *r, struct sfs_group **out)
{
    if (r->group >= pool->group_cap) {
        size_t cap = pool->group_cap;
        int err = sfs_vec_reserve(pool->env, &pool->groups, &cap, (size_t)r->group + 1, sizeof *pool->groups);
        if (err)
            return err;
        memset(pool->groups + pool->group_cap, 0, (cap - pool->group_cap) * sizeof *pool->groups);
        pool->group_cap = (uint32_t)cap;
    }
    if (pool->groups[r->group])
        return SCALEFS_E_EXIST;
    struct sfs_group *g = sfs_zalloc(pool->env, sizeof *g);
    if (!g)
        return SCALEFS_E_NOMEM;
    g->record = *r;
    g->count.group = r->group;
    g->static_page = g->count_page = SFS_NONE32;
    if (r->class == SFS_CLASS_SYSTEM) {
        g->bitmap = sfs_zalloc(pool->env, (r->rows + 7) / 8);
        g->rows = sfs_zalloc(pool->env, r->rows * sizeof *g->rows);
        if (!g->bitmap || !g->rows) {
            sfs_free(pool->env, g->rows);
            sfs_free(pool->env, g->bitmap);
            sfs_free(pool->env, g);
            return SCALEFS_E_NOMEM;
        }
    }
    pool->groups[r->group] = g;
    *out = g;
    return SCALEFS_OK;
}

void sfs_group_forget(struct sfs_pool *pool, struct sfs_group *g)
{
    pool->groups[g->record.group] = NULL;
    sfs_free(pool->env, g->bitmap);
    sfs_free(pool->env, g->rows);
    sfs_free(pool->env, g);
}

static int load_disk(struct loader *l, const uint8_t *p, uint16_t len, uint64_t *object)
{
    struct sfs_pool *pool = l->pool;
    struct sfs_disk_record r;
    int err = sfs_diskrec_get(p, len, &r);
    if (err)
        return err;
    if (sfs_member_of(pool, r.index) || r.atoms > 1u << 30)
        return SCALEFS_E_CORRUPT;
    /* Where sfs_member_of looks first, if it can be. */
    unsigned slot = r.index ? r.index - 1u : 0;
    if (slot >= SFS_DISKS_MAX || pool->members[slot].used)
        for (slot = SFS_DISKS_MAX; slot > 0 && pool->members[slot - 1].used;)
            slot--;
    else
        slot++;
    if (!slot)
        return SCALEFS_E_CORRUPT;
    struct sfs_member *m = &pool->members[--slot];
    m->record = r;
    m->complete = r.flushed_txn == SFS_COMPLETE;
    err = sfs_atoms_init(pool, m);
    if (err)
        return err;
    m->used = true;
    if (pool->member_count <= slot)
        pool->member_count = slot + 1;
    *object = SFS_OBJECT_DISK | slot;
    return SCALEFS_OK;
}

static int load_tenure(struct loader *l, const uint8_t *p, uint16_t len)
{
    struct sfs_pool *pool = l->pool;
    struct sfs_tenure_record r;
    int err = sfs_tenure_get(p, len, &r);
    if (err)
        return err;
    if (pool->tenure_count == SFS_TENURES_MAX)
        return SCALEFS_E_CORRUPT;
    unsigned at = pool->tenure_count++;
    for (; at > 0 && pool->tenures[at - 1].first_txn > r.first_txn; at--)
        pool->tenures[at] = pool->tenures[at - 1];
    pool->tenures[at] = r;
    return SCALEFS_OK;
}

static int load_group(struct loader *l, const uint8_t *p, uint16_t len, uint64_t *object)
{
    struct sfs_group_record r;
    struct sfs_group *g;
    int err = sfs_group_get(p, len, &r);
    if (err)
        return err;
    if (r.group >= GROUPS_MAX || (r.class == SFS_CLASS_SYSTEM && r.rows > SFS_SYSTEM_ROWS_MAX))
        return SCALEFS_E_CORRUPT;
    err = sfs_group_enter(l->pool, &r, &g);
    if (!err)
        g->closed = g->torn = r.sequential;
    *object = SFS_OBJECT_GROUP | r.group;
    return err == SCALEFS_E_EXIST ? SCALEFS_E_CORRUPT : err;
}

static int load_config(struct loader *l, const uint8_t *p, uint16_t len)
{
    int err = sfs_config_get(p, len, &l->pool->config);
    l->pool->failover_told = l->pool->config.failover;
    return err;
}

/* What describes itself: everything but counters. */
static int load_static(struct loader *l, uint16_t type, const uint8_t *p, uint16_t len, uint64_t *object)
{
    switch (type) {
    case SFS_RECORD_CONFIG:
        *object = SFS_OBJECT_CONFIG;
        return load_config(l, p, len);
    case SFS_RECORD_TASK:
        *object = SFS_OBJECT_CONFIG;
        return sfs_task_get(p, len, &l->pool->scrub);
    case SFS_RECORD_TENURE:
        *object = SFS_OBJECT_TENURES;
        return load_tenure(l, p, len);
    case SFS_RECORD_DISK:
        return load_disk(l, p, len, object);
    case SFS_RECORD_GROUP:
        return load_group(l, p, len, object);
    default: /* counters come later; what a newer program added without a bit is not needed here */
        return SCALEFS_OK;
    }
}

static int load_bitmap(struct loader *l, const struct sfs_bitmap_record *b)
{
    struct sfs_group *g = sfs_group_of(l->pool, b->group);
    if (!g || !g->bitmap || b->first_row || b->bytes != (g->record.rows + 7) / 8)
        return SCALEFS_E_CORRUPT;
    memcpy(g->bitmap, b->bits, b->bytes);
    for (uint32_t row = 0; row < g->record.rows; row++)
        g->rows[row].live = g->bitmap[row / 8] >> (row % 8) & 1 ? SFS_NODE_BYTES : 0;
    return SCALEFS_OK;
}

static int load_counter(struct loader *l, uint16_t type, const uint8_t *p, uint16_t len, uint64_t *object)
{
    struct sfs_count_record c;
    struct sfs_bitmap_record b;
    int err;
    if (type == SFS_RECORD_COUNT) {
        err = sfs_count_get(p, len, &c);
        struct sfs_group *g = err ? NULL : sfs_group_of(l->pool, c.group);
        if (!err && (!g || c.used_rows > g->record.rows || c.write_row > g->record.rows))
            err = SCALEFS_E_CORRUPT;
        if (!err) {
            g->count = c;
            *object = SFS_OBJECT_COUNT | c.group;
        }
        return err;
    }
    if (type != SFS_RECORD_BITMAP)
        return SCALEFS_OK;
    err = sfs_bitmap_get(p, len, &b);
    if (!err)
        err = load_bitmap(l, &b);
    if (!err)
        *object = SFS_OBJECT_COUNT | b.group;
    return err;
}

static int load_page(struct loader *l, size_t i, bool counters)
{
    const uint8_t *records, *payload;
    uint32_t bytes;
    uint16_t type, len;
    int err = sfs_table_decode(l->blocks + i * SFS_BLOCK, &l->record->pool, l->pages[i].slot,
                               l->pages[i].checksum, l->numbers[i], &records, &bytes);
    if (err)
        return err;
    struct sfs_reader r = sfs_reader(records, bytes);
    while ((err = sfs_record_next(&r, &type, &payload, &len)) == SCALEFS_OK) {
        uint64_t object = 0;
        err = counters ? load_counter(l, type, payload, len, &object)
                       : load_static(l, type, payload, len, &object);
        if (!err && object)
            err = sfs_table_known_object(l->pool, l->numbers[i], object, len + SFS_RECORD_HEAD);
        if (err)
            return err;
    }
    return err == SCALEFS_E_NODATA ? SCALEFS_OK : err;
}

/* On a zoned disk a column is one zone, of a group that is written in order. */
static bool column_ok(const struct sfs_member *m, const struct sfs_group_record *g)
{
    uint32_t atoms = sfs_column_atoms_on(m, g);
    return atoms && (m->record.layout == SFS_LAYOUT_CONVENTIONAL || (atoms == 1 && g->sequential));
}

/* The columns of all groups, entered in their members' bitmaps. */
static int claim_columns(struct sfs_pool *pool)
{
    for (uint32_t n = 0; n < pool->group_cap; n++) {
        const struct sfs_group *g = pool->groups[n];
        for (unsigned c = 0; g && c < (unsigned)g->record.k + g->record.m; c++) {
            const struct sfs_column *col = &g->record.columns[c];
            if (col->disk == SFS_NONE16)
                continue;
            struct sfs_member *m = sfs_member_of(pool, col->disk);
            if (!m || !column_ok(m, &g->record) || !sfs_atoms_claim(m, col->atom, sfs_column_atoms_on(m, &g->record)))
                return SCALEFS_E_CORRUPT;
        }
        if (g && g->count_page == SFS_NONE32)
            return SCALEFS_E_CORRUPT;
    }
    return SCALEFS_OK;
}

static int load(struct loader *l)
{
    struct sfs_pool *pool = l->pool;
    const struct sfs_commit *r = l->record;
    int err = read_directories(l);
    if (!err) {
        l->blocks = sfs_alloc_io(l->env, (l->page_count + 1) * SFS_BLOCK);
        err = l->blocks ? read_all(l, l->pages, l->page_count, l->blocks, verify_page) : SCALEFS_E_NOMEM;
    }
    for (int counters = 0; counters < 2; counters++)
        for (size_t i = 0; i < l->page_count && !err; i++)
            err = load_page(l, i, counters);
    if (!err && (sfs_table_page_of(pool, SFS_OBJECT_CONFIG) == SFS_NONE32 || !pool->member_count ||
                 !pool->tenure_count || pool->tenures[pool->tenure_count - 1].id != r->tenure))
        err = SCALEFS_E_CORRUPT;
    if (!err)
        err = claim_columns(pool);
    pool->uuid = r->pool;
    pool->last = *r;
    pool->committed = r->txn;
    pool->txn = r->txn + 1;
    pool->seq = r->seq;
    pool->next_id = r->next_id;
    pool->tenure = r->tenure;
    pool->host = r->host;
    return err;
}

int sfs_pool_load(struct sfs_env *env, const struct sfs_commit *record, struct sfs_disk *const *disks,
                  size_t count, struct sfs_pool **pool)
{
    struct loader l = {.env = env, .record = record, .disks = disks, .disk_count = count};
    *pool = NULL;
    l.pool = sfs_pool_new(env);
    int err = l.pool ? load(&l) : SCALEFS_E_NOMEM;
    sfs_free(env, l.numbers);
    sfs_free(env, l.pages);
    sfs_free(env, l.blocks);
    if (err)
        sfs_pool_free(l.pool);
    else
        *pool = l.pool;
    return err;
}
