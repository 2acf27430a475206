/* Single disks: reading and writing the label's copies, the commit ring, and names for sentences.
 *
 * Promise: nothing is believed that does not verify; a disk whose ring was lost still has a label, and
 * the other way round it is CORRUPT. All I/O, no lock.
 */
#include "disk/zoned_head.h"
#include "pool/internal.h"

#include <stdio.h>

void sfs_disk_text(const struct sfs_disk_record *r, char text[SFS_DISK_TEXT])
{
    if (r->path[0])
        snprintf(text, SFS_DISK_TEXT, "disk %u (%s)", r->index, r->path);
    else
        snprintf(text, SFS_DISK_TEXT, "disk %u", r->index);
}

uint64_t sfs_label_2_offset(const struct sfs_disk *disk)
{
    uint64_t end = disk->info.head_bytes ? disk->info.head_bytes : disk->info.size_bytes / SFS_BLOCK * SFS_BLOCK;
    return end - SFS_BLOCK;
}

/* Which of two results of reading copies of a label says more. */
static int worse(int a, int b)
{
    static const int order[] = {SCALEFS_E_NOT_A_POOL, SCALEFS_E_CORRUPT, SCALEFS_E_IO, SCALEFS_E_GONE,
                                SCALEFS_E_VERSION};
    int rank_a = 0, rank_b = 0;
    for (int i = 0; i < 5; i++) {
        rank_a = order[i] == a ? i : rank_a;
        rank_b = order[i] == b ? i : rank_b;
    }
    return rank_a > rank_b ? a : b;
}

static int label_choose(const struct sfs_io *ios, struct sfs_label *label, bool *damaged)
{
    int err = SCALEFS_E_NOT_A_POOL;
    bool found = false;
    *damaged = false;
    for (unsigned i = 0; i < 3; i++) {
        struct sfs_label copy;
        int r = ios[i].result;
        if (r == SCALEFS_E_INVAL) /* a disk too short for that copy */
            continue;
        if (!r) {
            r = sfs_label_decode(ios[i].buf, ios[i].offset, &copy);
            /* Bytes that are not even meant to be a label. */
            if (r == SCALEFS_E_CORRUPT && memcmp(ios[i].buf, "SFS1", 4))
                r = SCALEFS_E_NOT_A_POOL;
        }
        err = r ? worse(err, r) : err;
        *damaged = *damaged || r || (found && (!sfs_uuid_equal(&copy.disk, &label->disk) || copy.number != label->number));
        /* What the disk was before it joined may still stand in a later copy: that one does not count. */
        if (r || (found && (!sfs_uuid_equal(&copy.disk, &label->disk) || copy.number <= label->number)))
            continue;
        *label = copy;
        found = true;
    }
    return found ? SCALEFS_OK : err;
}

static void ring_add(struct sfs_head *head, const struct sfs_commit *c, uint32_t slot)
{
    unsigned at = head->ring_count++;
    while (at > 0 && (head->ring[at - 1].txn < c->txn ||
                      (head->ring[at - 1].txn == c->txn && head->ring[at - 1].seq < c->seq))) {
        head->ring[at] = head->ring[at - 1];
        at--;
    }
    head->ring[at] = (struct sfs_ring_entry){c->txn, c->seq, c->tenure, slot};
}

/* After the ring could not be read as a whole: its blocks one by one. */
static void ring_reread(struct sfs_env *env, struct sfs_disk *disk, uint8_t *ring)
{
    for (uint32_t slot = 0; slot < SFS_RING_SLOTS; slot++) {
        struct sfs_io io = {.disk = disk, .op = SFS_IO_READ, .buf = ring + slot * SFS_BLOCK,
                            .offset = SFS_RING_OFFSET + slot * SFS_BLOCK, .len = SFS_BLOCK};
        if (sfs_io_run(env, &io, 1))
            memset(io.buf, 0, SFS_BLOCK);
    }
}

int sfs_head_read(struct sfs_env *env, struct sfs_disk *disk, struct sfs_head *head)
{
    memset(head, 0, sizeof *head);
    head->disk = disk;
    if (disk->info.size_bytes < SFS_LABEL_OFFSET_1 + SFS_BLOCK)
        return SCALEFS_E_NOT_A_POOL;
    uint32_t ring_bytes = SFS_RING_SLOTS * SFS_BLOCK;
    uint8_t *mem = sfs_alloc_io(env, 3 * SFS_BLOCK + ring_bytes);
    struct sfs_commit *c = sfs_alloc(env, sizeof *c);
    int err = mem && c ? SCALEFS_OK : SCALEFS_E_NOMEM;
    if (!err) {
        uint64_t at[4] = {SFS_LABEL_OFFSET_0, SFS_LABEL_OFFSET_1, sfs_label_2_offset(disk), SFS_RING_OFFSET};
        struct sfs_io ios[4];
        memset(ios, 0, sizeof ios);
        for (unsigned i = 0; i < 4; i++)
            ios[i] = (struct sfs_io){.disk = disk, .op = SFS_IO_READ, .offset = at[i],
                                     .buf = mem + i * SFS_BLOCK, .len = i < 3 ? SFS_BLOCK : ring_bytes};
        sfs_io_run(env, ios, 4);
        err = label_choose(ios, &head->label, &head->damaged);
        uint8_t *ring = mem + 3 * SFS_BLOCK;
        if (!err && ios[3].result)
            ring_reread(env, disk, ring);
        for (uint32_t slot = 0; !err && slot < SFS_RING_SLOTS; slot++) {
            int r = sfs_commit_decode(ring + slot * SFS_BLOCK, slot, c);
            if (!r && sfs_uuid_equal(&c->pool, &head->label.pool))
                ring_add(head, c, slot);
        }
    }
    sfs_free(env, c);
    sfs_free(env, mem);
    return err;
}

int sfs_head_record(struct sfs_env *env, const struct sfs_head *head, const struct sfs_ring_entry *e,
                    struct sfs_commit *record)
{
    uint8_t *block = sfs_alloc_io(env, SFS_BLOCK);
    if (!block)
        return SCALEFS_E_NOMEM;
    struct sfs_io io = {.disk = head->disk, .op = SFS_IO_READ, .buf = block, .len = SFS_BLOCK,
                        .offset = SFS_RING_OFFSET + (uint64_t)e->slot * SFS_BLOCK};
    int err = sfs_io_run(env, &io, 1);
    if (!err)
        err = sfs_commit_decode(block, e->slot, record);
    if (!err && (record->txn != e->txn || record->seq != e->seq || record->tenure != e->tenure ||
                 !sfs_uuid_equal(&record->pool, &head->label.pool)))
        err = SCALEFS_E_CORRUPT;
    sfs_free(env, block);
    return err;
}

int sfs_pool_identify(struct sfs_env *env, struct sfs_disk *disk, struct sfs_label *label,
                      struct sfs_commit *newest, bool *has_record)
{
    struct sfs_head *head = sfs_alloc(env, sizeof *head);
    if (!head)
        return SCALEFS_E_NOMEM;
    int err = sfs_head_read(env, disk, head);
    bool has = false;
    if (!err) {
        *label = head->label;
        for (unsigned i = 0; i < head->ring_count && !has && newest; i++)
            has = !sfs_head_record(env, head, &head->ring[i], newest);
        has = has || (!newest && head->ring_count);
    }
    if (has_record)
        *has_record = has;
    sfs_free(env, head);
    return err;
}

static int flush_disk(struct sfs_env *env, struct sfs_disk *disk)
{
    struct sfs_io flush = {.disk = disk, .op = SFS_IO_FLUSH};
    return sfs_io_run(env, &flush, 1);
}

unsigned sfs_label_places(const struct sfs_disk *disk, uint64_t size, uint64_t at[4])
{
    uint64_t end = size / SFS_BLOCK * SFS_BLOCK;
    at[0] = SFS_LABEL_OFFSET_0;
    at[1] = SFS_LABEL_OFFSET_1;
    at[2] = sfs_label_2_offset(disk);
    at[3] = end - SFS_BLOCK;
    return disk->info.head_bytes || !end || at[3] >= at[2] ? 3 : 4;
}

int sfs_label_write(struct sfs_env *env, struct sfs_disk *disk, const struct sfs_label *label, unsigned only)
{
    uint8_t *block = sfs_alloc_io(env, SFS_BLOCK);
    uint64_t at[4];
    unsigned places = sfs_label_places(disk, label->size, at);
    int err = block ? SCALEFS_OK : SCALEFS_E_NOMEM;
    for (unsigned i = 0; i < places && !err; i++) {
        if (!(only >> i & 1))
            continue;
        struct sfs_io io = {.disk = disk, .op = SFS_IO_WRITE, .offset = at[i], .buf = block, .len = SFS_BLOCK};
        sfs_label_encode(label, at[i], block);
        err = sfs_io_run(env, &io, 1);
        if (!err)
            err = flush_disk(env, disk);
    }
    sfs_free(env, block);
    return err;
}

int sfs_head_write(struct sfs_env *env, struct sfs_disk *disk, const struct sfs_label *label)
{
    uint32_t ring_bytes = SFS_RING_SLOTS * SFS_BLOCK;
    uint8_t *zeros = sfs_alloc_io(env, ring_bytes);
    if (!zeros)
        return SCALEFS_E_NOMEM;
    memset(zeros, 0, ring_bytes);
    const uint64_t at[5] = {0, SFS_RING_OFFSET, SFS_LABEL_OFFSET_0, SFS_LABEL_OFFSET_1, sfs_label_2_offset(disk)};
    struct sfs_io ios[5];
    for (unsigned i = 0; i < 5; i++)
        ios[i] = (struct sfs_io){.disk = disk, .op = SFS_IO_WRITE, .offset = at[i], .buf = zeros,
                                 .len = i == 1 ? ring_bytes : SFS_BLOCK};
    int err = sfs_io_run(env, ios, 5);
    if (!err)
        err = flush_disk(env, disk);
    if (!err && label)
        err = sfs_label_write(env, disk, label, 15);
    sfs_free(env, zeros);
    return err;
}

static void text_cut(char *to, size_t room, const char *from)
{
    size_t len = from ? strlen(from) : 0;
    if (len >= room)
        len = room - 1;
    memset(to, 0, room);
    if (len)
        memcpy(to, from, len);
}

/* Label copy 2 stands behind the table's slots there. */
static int zoned_geometry(struct sfs_pool *pool, const struct sfs_disk *disk, struct sfs_geometry *g)
{
    struct sfs_zoned_geometry z;
    uint32_t others = sfs_pool_zone_bytes(pool);
    int err = sfs_zoned_geometry_of(&disk->info, &z);
    if (err)
        return err;
    if (!disk->info.head_bytes || disk->info.zone_bytes > 1u << 30 ||
        !sfs_atom_bytes_ok(SFS_LAYOUT_ZONED, (uint32_t)disk->info.zone_bytes) ||
        (others && others != disk->info.zone_bytes))
        return SCALEFS_E_NOTSUP;
    g->data_offset = z.data_offset;
    g->atoms = z.data_zones;
    g->table_slots = (uint32_t)((z.head_bytes - SFS_TABLE_OFFSET) / SFS_BLOCK) - 1;
    return SCALEFS_OK;
}

int sfs_disk_room(struct sfs_pool *pool, const struct sfs_disk *disk, uint64_t *bytes)
{
    struct sfs_geometry g;
    int err = disk->info.zoned ? zoned_geometry(pool, disk, &g) : sfs_geometry_of(disk->info.size_bytes, &g);
    if (!err)
        *bytes = (uint64_t)g.atoms * (disk->info.zoned ? disk->info.zone_bytes : SFS_ATOM_BYTES);
    return err;
}

int sfs_member_describe(struct sfs_pool *pool, struct sfs_disk *disk, uint16_t index, const char *station, uint8_t role,
                        struct sfs_disk_record *record, struct sfs_label *label)
{
    struct sfs_geometry g;
    uint64_t size = disk->info.size_bytes;
    if (station && strlen(station) > SFS_NAME_MAX)
        return SCALEFS_E_INVAL;
    int err = disk->info.zoned ? zoned_geometry(pool, disk, &g) : sfs_geometry_of(size, &g);
    if (err)
        return err;
    memset(label, 0, sizeof *label);
    label->pool = pool->uuid;
    label->number = 1;
    sfs_uuid_make(pool->env, &label->disk);
    label->index = index;
    label->role = role;
    label->sector_bytes = disk->info.sector_bytes;
    label->size = size;
    label->data_offset = g.data_offset;
    label->atoms = g.atoms;
    label->layout = disk->info.zoned ? SFS_LAYOUT_ZONED : SFS_LAYOUT_CONVENTIONAL;
    label->atom_bytes = disk->info.zoned ? (uint32_t)disk->info.zone_bytes : SFS_ATOM_BYTES;
    label->table_slots = g.table_slots;
    label->joined_ns = sfs_wall_ns(pool->env);
    text_cut(label->name, sizeof label->name, pool->config.name);
    text_cut(label->station, sizeof label->station, station);
    memset(record, 0, sizeof *record);
    record->index = index;
    record->role = role;
    record->uuid = label->disk;
    record->size = record->wanted_size = record->device_size = size;
    record->data_offset = g.data_offset;
    record->atoms = g.atoms;
    record->atom_bytes = label->atom_bytes;
    record->layout = label->layout;
    record->table_slots = g.table_slots;
    record->sector_bytes = disk->info.sector_bytes;
    record->flushed_txn = SFS_COMPLETE;
    record->replaced_by = SFS_NONE16;
    memcpy(record->station, label->station, sizeof record->station);
    text_cut(record->path, sizeof record->path, disk->info.path);
    return SCALEFS_OK;
}
