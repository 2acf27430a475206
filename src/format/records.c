/* The records of the table: configuration, disks, tenures, groups, counters, bitmaps, tasks.
 *
 * Promise: `get` accepts the payloads that `put` can write, with whatever newer programs may have added
 * behind, and every field is in bounds. Each record's bounds are one predicate, which `put` asserts and `get`
 * answers CORRUPT by. Pure.
 */
#include "format/block.h"

#include "base/assert.h"

/* The 4-byte head; returns where it stands so that head_close can fill in the length. NULL when the
 * writer overran, which it remembers. */
static uint8_t *head_open(struct sfs_writer *w, enum sfs_record_type type)
{
    uint8_t *head = sfs_w_bytes(w, SFS_RECORD_HEAD);
    if (head)
        sfs_put16(head, (uint16_t)type);
    return head;
}

static void head_close(struct sfs_writer *w, uint8_t *head)
{
    if (head && !w->bad)
        sfs_put16(head + 2, (uint16_t)(w->at - head - SFS_RECORD_HEAD));
}

static int whole(const struct sfs_reader *r, bool good)
{
    return good && !r->bad ? SCALEFS_OK : SCALEFS_E_CORRUPT;
}

static bool config_ok(const struct sfs_config_record *r)
{
    return r->failover <= 31 && r->optimize <= 100 && r->verify <= 1 && r->compression <= 1 &&
           r->width_cap >= 1 && r->width_cap <= SFS_COLUMNS_MAX && r->record_bytes >= SFS_BLOCK &&
           r->record_bytes <= SFS_EXTENT_MAX && !(r->record_bytes & (r->record_bytes - 1)) &&
           r->next_disk <= SFS_NONE16 && r->quorum <= 31 && r->settle <= 1 && r->paused <= 7 && r->was_failover <= 31 &&
           r->was_optimize <= 100;
}

void sfs_config_put(struct sfs_writer *w, const struct sfs_config_record *r)
{
    SFS_ASSERT(config_ok(r));
    uint8_t *head = head_open(w, SFS_RECORD_CONFIG);
    sfs_name_put(w, r->name);
    sfs_w8(w, r->failover);
    sfs_w8(w, r->optimize);
    sfs_w8(w, r->verify);
    sfs_w8(w, r->compression);
    sfs_w8(w, (uint8_t)r->zstd_level);
    sfs_w8(w, r->width_cap);
    sfs_w8(w, r->quorum);
    sfs_w8(w, r->settle);
    sfs_w32(w, r->record_bytes);
    sfs_w32(w, r->next_disk);
    sfs_w64(w, (uint64_t)r->created_ns);
    sfs_w64(w, r->extents_repaired);
    sfs_w64(w, r->extents_lost);
    sfs_w64(w, r->next_generation);
    sfs_w64(w, r->rate);
    sfs_w8(w, r->paused);
    sfs_w8(w, r->was_failover);
    sfs_w8(w, r->was_optimize);
    head_close(w, head);
}

int sfs_config_get(const uint8_t *p, uint16_t len, struct sfs_config_record *r)
{
    struct sfs_reader in = sfs_reader(p, len);
    bool good = sfs_name_get(&in, r->name);
    r->failover = sfs_r8(&in);
    r->optimize = sfs_r8(&in);
    r->verify = sfs_r8(&in);
    r->compression = sfs_r8(&in);
    r->zstd_level = (int8_t)sfs_r8(&in);
    r->width_cap = sfs_r8(&in);
    r->quorum = sfs_r8(&in);
    r->settle = sfs_r8(&in);
    r->record_bytes = sfs_r32(&in);
    r->next_disk = sfs_r32(&in);
    r->created_ns = (int64_t)sfs_r64(&in);
    r->extents_repaired = sfs_r64(&in);
    r->extents_lost = sfs_r64(&in);
    r->next_generation = sfs_r64(&in);
    bool more = in.at < in.end; /* they came later */
    r->rate = more ? sfs_r64(&in) : 0;
    r->paused = more ? sfs_r8(&in) : 0;
    r->was_failover = more ? sfs_r8(&in) : r->failover;
    r->was_optimize = more ? sfs_r8(&in) : r->optimize;
    return whole(&in, good && config_ok(r));
}

static bool diskrec_ok(const struct sfs_disk_record *r)
{
    return r->index != SFS_NONE16 && r->presence <= SFS_DISK_ABSENT && r->wish <= SFS_WISH_JOIN &&
           sfs_atom_bytes_ok(r->layout, r->atom_bytes) &&
           (r->sector_bytes == 512 || r->sector_bytes == 4096) && r->data_offset <= r->size && r->data_offset <= r->wanted_size &&
           r->wanted_size <= r->size && r->paused <= 1;
}

void sfs_diskrec_put(struct sfs_writer *w, const struct sfs_disk_record *r)
{
    size_t station = sfs_text_len(r->station, sizeof r->station);
    size_t path = sfs_text_len(r->path, sizeof r->path);
    SFS_ASSERT(diskrec_ok(r) && station < sizeof r->station && path < sizeof r->path);
    uint8_t *head = head_open(w, SFS_RECORD_DISK);
    sfs_w16(w, r->index);
    sfs_w_copy(w, r->uuid.bytes, sizeof r->uuid.bytes);
    sfs_w8(w, r->presence);
    sfs_w8(w, r->wish);
    sfs_w8(w, r->role);
    sfs_w8(w, r->layout);
    sfs_w64(w, r->size);
    sfs_w64(w, r->data_offset);
    sfs_w32(w, r->atoms);
    sfs_w32(w, r->table_slots);
    sfs_w32(w, r->sector_bytes);
    sfs_w32(w, r->atom_bytes);
    sfs_w64(w, r->flushed_txn);
    sfs_w64(w, r->last_tenure);
    sfs_w64(w, r->last_txn);
    sfs_w64(w, r->read_errors);
    sfs_w64(w, r->write_errors);
    sfs_w64(w, r->checksum_errors);
    sfs_w16(w, r->replaced_by);
    sfs_w8(w, (uint8_t)station);
    sfs_w_copy(w, r->station, station);
    sfs_w16(w, (uint16_t)path);
    sfs_w_copy(w, r->path, path);
    sfs_w64(w, r->wanted_size);
    sfs_w64(w, r->device_size);
    sfs_w8(w, r->paused);
    head_close(w, head);
}

int sfs_diskrec_get(const uint8_t *p, uint16_t len, struct sfs_disk_record *r)
{
    struct sfs_reader in = sfs_reader(p, len);
    r->index = sfs_r16(&in);
    sfs_r_copy(&in, r->uuid.bytes, sizeof r->uuid.bytes);
    r->presence = sfs_r8(&in);
    r->wish = sfs_r8(&in);
    r->role = sfs_r8(&in);
    r->layout = sfs_r8(&in);
    r->size = sfs_r64(&in);
    r->data_offset = sfs_r64(&in);
    r->atoms = sfs_r32(&in);
    r->table_slots = sfs_r32(&in);
    r->sector_bytes = sfs_r32(&in);
    r->atom_bytes = sfs_r32(&in);
    r->flushed_txn = sfs_r64(&in);
    r->last_tenure = sfs_r64(&in);
    r->last_txn = sfs_r64(&in);
    r->read_errors = sfs_r64(&in);
    r->write_errors = sfs_r64(&in);
    r->checksum_errors = sfs_r64(&in);
    r->replaced_by = sfs_r16(&in);
    size_t station = sfs_r8(&in);
    bool good = sfs_text_get(&in, station, r->station, sizeof r->station);
    size_t path = sfs_r16(&in);
    good = good && sfs_text_get(&in, path, r->path, sizeof r->path);
    bool more = in.at < in.end; /* they came later */
    r->wanted_size = more ? sfs_r64(&in) : r->size;
    r->device_size = more ? sfs_r64(&in) : r->size;
    r->paused = more ? sfs_r8(&in) : 0;
    return whole(&in, good && diskrec_ok(r));
}

void sfs_tenure_put(struct sfs_writer *w, const struct sfs_tenure_record *r)
{
    uint8_t *head = head_open(w, SFS_RECORD_TENURE);
    sfs_w64(w, r->id);
    sfs_w64(w, r->base_txn);
    sfs_w64(w, r->first_txn);
    sfs_w64(w, r->host);
    sfs_w64(w, (uint64_t)r->time_ns);
    head_close(w, head);
}

int sfs_tenure_get(const uint8_t *p, uint16_t len, struct sfs_tenure_record *r)
{
    struct sfs_reader in = sfs_reader(p, len);
    r->id = sfs_r64(&in);
    r->base_txn = sfs_r64(&in);
    r->first_txn = sfs_r64(&in);
    r->host = sfs_r64(&in);
    r->time_ns = (int64_t)sfs_r64(&in);
    return whole(&in, r->base_txn < r->first_txn);
}

static bool group_ok(const struct sfs_group_record *r)
{
    return r->group != SFS_NONE32 && r->state <= SFS_GROUP_EVACUATING && r->unit_log2 < 32 &&
           r->column_log2 < 32 &&
           sfs_group_shape_ok(r->class, r->k, r->m, 1ull << r->unit_log2, 1ull << r->column_log2,
                              r->rows);
}

void sfs_group_put(struct sfs_writer *w, const struct sfs_group_record *r)
{
    SFS_ASSERT(group_ok(r));
    uint8_t *head = head_open(w, SFS_RECORD_GROUP);
    sfs_w32(w, r->group);
    sfs_w64(w, r->generation);
    sfs_w8(w, r->class);
    sfs_w8(w, r->state);
    sfs_w8(w, r->k);
    sfs_w8(w, r->m);
    sfs_w8(w, r->unit_log2);
    sfs_w8(w, r->column_log2);
    sfs_w8(w, r->sequential ? 1 : 0);
    sfs_w8(w, SFS_PARITY_CODE);
    sfs_w32(w, r->rows);
    sfs_w64(w, r->birth);
    for (unsigned c = 0; c < (unsigned)r->k + r->m; c++) {
        sfs_w16(w, r->columns[c].disk);
        sfs_w16(w, 0);
        sfs_w32(w, r->columns[c].atom);
    }
    head_close(w, head);
}

int sfs_group_get(const uint8_t *p, uint16_t len, struct sfs_group_record *r)
{
    struct sfs_reader in = sfs_reader(p, len);
    r->group = sfs_r32(&in);
    r->generation = sfs_r64(&in);
    r->class = sfs_r8(&in);
    r->state = sfs_r8(&in);
    r->k = sfs_r8(&in);
    r->m = sfs_r8(&in);
    r->unit_log2 = sfs_r8(&in);
    r->column_log2 = sfs_r8(&in);
    r->sequential = sfs_r8(&in) & 1;
    uint8_t code = sfs_r8(&in);
    r->rows = sfs_r32(&in);
    r->birth = sfs_r64(&in);
    if (!group_ok(r))
        return SCALEFS_E_CORRUPT;
    for (unsigned c = 0; c < SFS_COLUMNS_MAX; c++) {
        r->columns[c] = (struct sfs_column){SFS_NONE16, 0};
        if (c >= (unsigned)r->k + r->m)
            continue;
        r->columns[c].disk = sfs_r16(&in);
        sfs_r16(&in);
        r->columns[c].atom = sfs_r32(&in);
    }
    return whole(&in, code == SFS_PARITY_CODE);
}

void sfs_count_put(struct sfs_writer *w, const struct sfs_count_record *r)
{
    uint8_t *head = head_open(w, SFS_RECORD_COUNT);
    sfs_w32(w, r->group);
    sfs_w64(w, r->live);
    sfs_w32(w, r->write_row);
    sfs_w32(w, r->used_rows);
    sfs_w64(w, r->last_txn);
    head_close(w, head);
}

int sfs_count_get(const uint8_t *p, uint16_t len, struct sfs_count_record *r)
{
    struct sfs_reader in = sfs_reader(p, len);
    r->group = sfs_r32(&in);
    r->live = sfs_r64(&in);
    r->write_row = sfs_r32(&in);
    r->used_rows = sfs_r32(&in);
    r->last_txn = sfs_r64(&in);
    return whole(&in, true);
}

void sfs_bitmap_put(struct sfs_writer *w, const struct sfs_bitmap_record *r)
{
    uint8_t *head = head_open(w, SFS_RECORD_BITMAP);
    sfs_w32(w, r->group);
    sfs_w32(w, r->first_row);
    sfs_w16(w, r->bytes);
    if (r->bytes)
        sfs_w_copy(w, r->bits, r->bytes);
    head_close(w, head);
}

int sfs_bitmap_get(const uint8_t *p, uint16_t len, struct sfs_bitmap_record *r)
{
    struct sfs_reader in = sfs_reader(p, len);
    r->group = sfs_r32(&in);
    r->first_row = sfs_r32(&in);
    r->bytes = sfs_r16(&in);
    r->bits = sfs_r_bytes(&in, r->bytes);
    /* No row number of it overflows. */
    return whole(&in, r->first_row <= SFS_NONE32 - 8u * r->bytes);
}

static bool task_ok(const struct sfs_task_record *r)
{
    return r->kind == 1 && r->state <= 1;
}

void sfs_task_put(struct sfs_writer *w, const struct sfs_task_record *r)
{
    SFS_ASSERT(task_ok(r));
    uint8_t *head = head_open(w, SFS_RECORD_TASK);
    sfs_w32(w, r->id);
    sfs_w8(w, r->kind);
    sfs_w8(w, r->state);
    sfs_w32(w, r->group);
    sfs_w32(w, r->row);
    sfs_w64(w, r->bytes_done);
    sfs_w64(w, r->bytes_total);
    sfs_w64(w, r->repaired);
    sfs_w64(w, r->lost);
    sfs_w64(w, (uint64_t)r->started_ns);
    head_close(w, head);
}

int sfs_task_get(const uint8_t *p, uint16_t len, struct sfs_task_record *r)
{
    struct sfs_reader in = sfs_reader(p, len);
    r->id = sfs_r32(&in);
    r->kind = sfs_r8(&in);
    r->state = sfs_r8(&in);
    r->group = sfs_r32(&in);
    r->row = sfs_r32(&in);
    r->bytes_done = sfs_r64(&in);
    r->bytes_total = sfs_r64(&in);
    r->repaired = sfs_r64(&in);
    r->lost = sfs_r64(&in);
    r->started_ns = (int64_t)sfs_r64(&in);
    return whole(&in, task_ok(r));
}
