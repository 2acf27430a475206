/* The heads of members, looked at whole: copies of the label, the newest record, the table's pages.
 *
 * Opening needs one whole copy of each; this finds the copies that are not, so that they can be written again before they
 * are needed. Reads only, but for labels when asked to put them right. unlocked.
 */
#include "pool/internal.h"

#include <stdio.h>

struct look {
    struct sfs_pool *pool;
    struct sfs_disk *disk;
    struct sfs_disk_record record;
    struct sfs_commit last;
    struct sfs_head_report *report;
};

static int read_at(struct look *l, uint64_t offset, uint8_t *block)
{
    struct sfs_io io = {.disk = l->disk, .op = SFS_IO_READ, .offset = offset, .buf = block, .len = SFS_BLOCK};
    int err = sfs_io_run(l->pool->env, &io, 1);
    if (err)
        sfs_member_error(l->pool, l->disk, SFS_IO_READ, err);
    return err;
}

static bool label_right(const struct look *l, const struct sfs_label *label)
{
    return sfs_uuid_equal(&label->pool, &l->pool->uuid) && sfs_uuid_equal(&label->disk, &l->record.uuid) &&
           label->index == l->record.index && label->data_offset == l->record.data_offset &&
           label->atoms == l->record.atoms && label->size == l->record.size;
}

static void remade_label(const struct look *l, struct sfs_label *label)
{
    memset(label, 0, sizeof *label);
    label->pool = l->pool->uuid;
    label->disk = l->record.uuid;
    label->joined_ns = sfs_wall_ns(l->pool->env);
    label->index = l->record.index;
    label->role = l->record.role;
    label->sector_bytes = l->record.sector_bytes;
    label->size = l->record.size;
    label->data_offset = l->record.data_offset;
    label->atoms = l->record.atoms;
    label->atom_bytes = l->record.atom_bytes;
    label->layout = l->record.layout;
    label->table_slots = l->record.table_slots;
    snprintf(label->name, sizeof label->name, "%s", l->pool->config.name);
    snprintf(label->station, sizeof label->station, "%s", l->record.station);
}

static int look_at_labels(struct look *l, uint8_t *block, bool repair)
{
    uint64_t at[4];
    struct sfs_label good, copies[4];
    unsigned places = sfs_label_places(l->disk, l->record.size, at);
    unsigned right = 0, bad = 0;
    uint64_t highest = 0;
    for (unsigned i = 0; i < places; i++) {
        int err = read_at(l, at[i], block);
        if (err == SCALEFS_E_GONE)
            return err;
        if (err || sfs_label_decode(block, at[i], &copies[i]) || !sfs_uuid_equal(&copies[i].disk, &l->record.uuid))
            continue;
        highest = copies[i].number > highest ? copies[i].number : highest;
        /* The role in the table counts: that in the labels follows it, and is no damage while it has not yet. */
        bool role = !repair || copies[i].role == l->record.role;
        right |= label_right(l, &copies[i]) && role ? 1u << i : 0;
    }
    remade_label(l, &good);
    good.number = highest + 1;
    for (unsigned i = 0; i < places; i++) {
        if (!(right >> i & 1) || copies[i].number < highest)
            bad |= 1u << i;
        else
            good = copies[i];
    }
    for (unsigned i = 0; i < places; i++)
        l->report->labels_bad += bad >> i & 1;
    if (!bad || !repair)
        return SCALEFS_OK;
    int err = sfs_label_write(l->pool->env, l->disk, &good, bad);
    if (err)
        sfs_member_error(l->pool, l->disk, SFS_IO_WRITE, err);
    return err;
}

static int look_at_record(struct look *l, uint8_t *block, struct sfs_commit *c)
{
    uint32_t slot = (uint32_t)(l->last.seq % SFS_RING_SLOTS);
    int err = read_at(l, SFS_RING_OFFSET + (uint64_t)slot * SFS_BLOCK, block);
    if (err == SCALEFS_E_GONE)
        return err;
    if (err || sfs_commit_decode(block, slot, c) || !sfs_uuid_equal(&c->pool, &l->pool->uuid) || c->seq != l->last.seq ||
        c->txn != l->last.txn || c->tenure != l->last.tenure)
        l->report->records_bad++;
    return SCALEFS_OK;
}

static int look_at_directory(struct look *l, const struct sfs_pageptr *p, uint32_t number, uint8_t *block,
                             struct sfs_directory *d)
{
    if (p->slot >= l->record.table_slots)
        return SCALEFS_OK; /* this disk has no room for it */
    l->report->pages++;
    int err = read_at(l, SFS_TABLE_OFFSET + (uint64_t)p->slot * SFS_BLOCK, block);
    if (err == SCALEFS_E_GONE)
        return err;
    if (err || sfs_directory_decode(block, &l->pool->uuid, p->slot, p->checksum, d) || d->first_page != number * SFS_DIR_FANOUT) {
        l->report->pages_bad++;
        return SCALEFS_OK;
    }
    for (uint32_t i = 0; i < d->count; i++) {
        const struct sfs_pageptr *page = &d->pages[i];
        const uint8_t *records;
        uint32_t bytes;
        if (page->slot == SFS_NONE32 || page->slot >= l->record.table_slots)
            continue;
        l->report->pages++;
        err = read_at(l, SFS_TABLE_OFFSET + (uint64_t)page->slot * SFS_BLOCK, block);
        if (err == SCALEFS_E_GONE)
            return err;
        if (err || sfs_table_decode(block, &l->pool->uuid, page->slot, page->checksum, d->first_page + i, &records, &bytes))
            l->report->pages_bad++;
    }
    return SCALEFS_OK;
}

static int look_once(struct look *l, bool repair)
{
    struct sfs_env *env = l->pool->env;
    uint8_t *block = sfs_alloc_io(env, SFS_BLOCK);
    struct sfs_commit *c = sfs_alloc(env, sizeof *c);
    struct sfs_directory *d = sfs_alloc(env, sizeof *d);
    (void)sfs_disk_refresh(l->disk); /* its end may be elsewhere by now */
    int err = block && c && d ? look_at_labels(l, block, repair) : SCALEFS_E_NOMEM;
    if (!err)
        err = look_at_record(l, block, c);
    for (uint32_t i = 0; i < l->last.directory_count && !err; i++)
        err = look_at_directory(l, &l->last.directory[i], i, block, d);
    sfs_free(env, block);
    sfs_free(env, c);
    sfs_free(env, d);
    return err;
}

int sfs_member_check_head(struct sfs_pool *pool, uint16_t index, bool repair, struct sfs_head_report *report)
{
    struct look *l = sfs_zalloc(pool->env, sizeof *l);
    if (!l)
        return SCALEFS_E_NOMEM;
    int err = SCALEFS_E_CHANGED;
    /* A commit that is written meanwhile makes what was looked for out of date: then again. */
    for (unsigned tries = 0; tries < 16 && err == SCALEFS_E_CHANGED; tries++) {
        *report = (struct sfs_head_report){0};
        *l = (struct look){.pool = pool, .report = report};
        sfs_mutex_lock(&pool->lock);
        struct sfs_member *m = sfs_member_of(pool, index);
        if (m) {
            l->disk = m->disk;
            l->record = m->record;
        }
        l->last = pool->last;
        unsigned epoch = sfs_pool_io_begin(pool);
        sfs_mutex_unlock(&pool->lock);
        err = !m ? SCALEFS_E_NOENT : !l->disk ? SCALEFS_E_GONE : look_once(l, repair);
        sfs_pool_io_end(pool, epoch);
        sfs_mutex_lock(&pool->lock);
        if (!err && (report->records_bad || report->pages_bad) && pool->last.seq != l->last.seq)
            err = SCALEFS_E_CHANGED;
        sfs_mutex_unlock(&pool->lock);
    }
    sfs_free(pool->env, l);
    return err;
}

void sfs_pool_rewrite_table(struct sfs_pool *pool)
{
    sfs_table_rewrite_all(pool);
}
