/* Sequential groups: those with a column on a zoned disk. Each column is one zone, written once from its start.
 *
 * The order: whoever took rows earlier sends them earlier, on all columns (a turn for each group). A row that was taken
 * and cannot be sent would be a hole, and a column that was left out or failed cannot be made up for in place: then the
 * group is closed. It is closed after each opening, too, since a cut leaves the zones unequally far. A closed group is
 * read and emptied, no more.
 *
 * A task waits for the turns of those before it alone, all of which are about to send; a call of sfs_put_many for several
 * such groups is made by one task at a time for each class (checkpoints), so that no two wait for each other.
 */
#include "pool/internal.h"

uint32_t sfs_group_rows_for(struct sfs_pool *pool, const struct sfs_group_record *g)
{
    uint64_t bytes = 1ull << g->column_log2;
    for (unsigned c = 0; g->sequential && c < (unsigned)g->k + g->m; c++) {
        const struct sfs_member *m = sfs_member_of(pool, g->columns[c].disk);
        if (m && m->disk && m->record.layout == SFS_LAYOUT_ZONED && m->disk->info.zone_capacity < bytes)
            bytes = m->disk->info.zone_capacity;
    }
    uint64_t rows = (bytes - SFS_BLOCK) >> g->unit_log2;
    if (g->class == SFS_CLASS_SYSTEM && rows > SFS_SYSTEM_ROWS_MAX)
        rows = SFS_SYSTEM_ROWS_MAX;
    return (uint32_t)rows;
}

void sfs_group_close(struct sfs_pool *pool, struct sfs_group *group)
{
    if (!group->record.sequential)
        return;
    group->closed = group->torn = true;
    sfs_cond_broadcast(&pool->turns);
}

void sfs_group_leave_out(struct sfs_pool *pool, struct sfs_group *group, unsigned c)
{
    if (!group->record.sequential)
        return;
    group->missed |= 1ull << c;
    group->closed = true;
    sfs_cond_broadcast(&pool->turns);
}

void sfs_group_take_back(struct sfs_pool *pool, struct sfs_group *group, uint32_t row)
{
    if (!group->record.sequential || group->torn)
        return;
    if (group->turn > row)
        group->turn = row;
    if (group->count.write_row > row) {
        group->count.write_row = row;
        sfs_table_mark_count(pool, group);
    }
}

bool sfs_group_reopen(struct sfs_pool *pool, struct sfs_group *group)
{
    unsigned present = 0;
    bool may = group->closed && !group->torn && group->turn == group->count.write_row && !group->sender;
    for (unsigned c = 0; c < (unsigned)group->record.k + group->record.m; c++) {
        const struct sfs_member *m = sfs_member_of(pool, group->record.columns[c].disk);
        if (!m || !m->disk)
            continue;
        present++;
        may = may && !(group->missed >> c & 1);
    }
    may = may && present >= group->record.k;
    if (may)
        group->closed = false;
    return may;
}

int sfs_turn_take(struct sfs_pool *pool, uint32_t group, uint32_t row, uint32_t rows, const void *who)
{
    struct sfs_group *g = sfs_group_of(pool, group);
    SFS_ASSERT(g); /* a group with a row in flight is not freed */
    if (!g->record.sequential)
        return SCALEFS_OK;
    while (!g->closed && (g->turn != row || (g->sender && g->sender != who)))
        sfs_cond_wait(&pool->turns, &pool->lock);
    if (g->closed)
        return SCALEFS_E_CHANGED;
    g->turn = row + rows;
    g->sender = who;
    return SCALEFS_OK;
}

void sfs_turns_pass(struct sfs_pool *pool, const void *who)
{
    for (uint32_t n = 0; n < pool->group_cap; n++)
        if (pool->groups[n] && pool->groups[n]->sender == who)
            pool->groups[n]->sender = NULL;
    sfs_cond_broadcast(&pool->turns);
}

void sfs_zones_reset(struct sfs_pool *pool, struct sfs_io *headers, unsigned count, uint64_t zone_bytes)
{
    struct sfs_io ios[SFS_COLUMNS_MAX];
    unsigned n = 0;
    for (unsigned c = 0; c < count; c++) {
        uint64_t pointer;
        struct sfs_disk *disk = headers[c].disk;
        if (!disk || !disk->info.zoned ||
            (!disk->ops->write_pointer(disk, headers[c].offset, &pointer) && pointer == headers[c].offset))
            continue;
        ios[n++] = (struct sfs_io){.disk = disk, .op = SFS_IO_ZONE_RESET, .offset = headers[c].offset, .len = zone_bytes};
    }
    if (n)
        sfs_io_run(pool->env, ios, n);
    sfs_mutex_lock(&pool->lock);
    pool->rows_reused += n;
    sfs_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < n; i++)
        if (ios[i].result) /* the header's write finds the member gone */
            sfs_member_error(pool, ios[i].disk, SFS_IO_ZONE_RESET, ios[i].result);
}
