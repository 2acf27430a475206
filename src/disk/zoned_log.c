/* The log that carries the head of a zoned disk: appending, reading, going from one set to the other. */
#include "disk/zoned_log.h"

#include <string.h>

#include "base/assert.h"

#define BLOCK 4096u
#define HEAD_UNIT (4ull << 20)
#define HEAD_MAX (1ull << 30)
#define HEAD_SHARE 65536u
#define DATA_ZONES_MIN 4u
#define READS_AT_ONCE 64u

int sfs_zoned_geometry_of(const struct sfs_disk_info *info, struct sfs_zoned_geometry *g)
{
    uint64_t zone = info->zone_bytes, capacity = info->zone_capacity, size = info->size_bytes;
    if (!info->zoned || !zone || zone % BLOCK || capacity % BLOCK || capacity > zone || capacity < 16 * BLOCK)
        return SCALEFS_E_NOTSUP;
    uint64_t head = (size / HEAD_SHARE + HEAD_UNIT - 1) / HEAD_UNIT * HEAD_UNIT;
    head = head < HEAD_UNIT ? HEAD_UNIT : head > HEAD_MAX ? HEAD_MAX : head;
    /* All of the head in frames of one block each takes twice its length; so a switch always leaves room. */
    uint64_t set = (3 * head + capacity - 1) / capacity;
    set = set < 2 ? 2 : set;
    uint64_t zones = size / zone;
    if (zones < 2 * set + DATA_ZONES_MIN)
        return SCALEFS_E_TOO_SMALL;
    uint64_t data = zones - 2 * set;
    g->head_bytes = head;
    g->data_offset = 2 * set * zone;
    g->set_zones = (uint32_t)set;
    g->data_zones = data > UINT32_MAX ? UINT32_MAX : (uint32_t)data;
    return SCALEFS_OK;
}

int sfs_zoned_log_init(struct sfs_zoned_log *l, struct sfs_env *env, struct sfs_disk *zoned)
{
    memset(l, 0, sizeof *l);
    int err = sfs_zoned_geometry_of(&zoned->info, &l->g);
    if (err)
        return err;
    l->env = env;
    l->disk = zoned;
    l->zone_bytes = zoned->info.zone_bytes;
    l->capacity = zoned->info.zone_capacity;
    l->blocks = (size_t)(l->g.head_bytes / BLOCK);
    l->map = sfs_alloc(env, l->blocks * sizeof *l->map);
    l->frame = sfs_alloc_io(env, SFS_FRAME_HEAD + SFS_FRAME_PAYLOAD_MAX);
    if (!l->map || !l->frame) {
        sfs_zoned_log_deinit(l);
        return SCALEFS_E_NOMEM;
    }
    memset(l->map, 0xff, l->blocks * sizeof *l->map);
    return SCALEFS_OK;
}

void sfs_zoned_log_deinit(struct sfs_zoned_log *l)
{
    sfs_free(l->env, l->map);
    sfs_free(l->env, l->frame);
    l->map = NULL;
    l->frame = NULL;
}

uint64_t sfs_zoned_log_zone(const struct sfs_zoned_log *l, unsigned set, uint32_t zone)
{
    return ((uint64_t)set * l->g.set_zones + zone) * l->zone_bytes;
}

int sfs_zoned_log_io(struct sfs_zoned_log *l, enum sfs_io_op op, uint64_t offset, void *buf, uint64_t len)
{
    struct sfs_io io = {.disk = l->disk, .op = op, .offset = offset, .buf = buf, .len = len};
    return sfs_io_run(l->env, &io, 1);
}

/* --- appending --- */

/* After a failed write: where the zone stands now. */
static void find_pointer(struct sfs_zoned_log *l, struct sfs_zoned_cursor *c)
{
    uint64_t pointer, start = sfs_zoned_log_zone(l, c->set, c->zone);
    bool known = !l->disk->ops->write_pointer(l->disk, start, &pointer);
    c->at = known && pointer % BLOCK == 0 && pointer < start + l->capacity ? pointer : UINT64_MAX;
}

/* Appends a frame with as much of `len` bytes (at l->frame + SFS_FRAME_HEAD) as fits the zone; *wrote says how
 * much, *at where it stands. NOSPC: the set is full. */
static int append(struct sfs_zoned_log *l, struct sfs_zoned_cursor *c, enum sfs_frame_kind kind, uint64_t offset,
                  uint32_t len, uint32_t *wrote, uint64_t *at)
{
    uint32_t need = SFS_FRAME_HEAD + (len ? BLOCK : 0);
    uint64_t end = sfs_zoned_log_zone(l, c->set, c->zone) + l->capacity;
    while (c->at == UINT64_MAX || c->at + need > end) {
        if (c->zone + 1 >= l->g.set_zones)
            return SCALEFS_E_NOSPC;
        c->at = sfs_zoned_log_zone(l, c->set, ++c->zone);
        end = c->at + l->capacity;
    }
    if (len > end - c->at - SFS_FRAME_HEAD)
        len = (uint32_t)(end - c->at - SFS_FRAME_HEAD);
    struct sfs_frame f = {.number = l->number++, .offset = offset, .bytes = len, .kind = kind};
    memcpy(f.log, l->id, sizeof f.log);
    sfs_frame_encode(&f, l->frame);
    int err = sfs_zoned_log_io(l, SFS_IO_WRITE, c->at, l->frame, SFS_FRAME_HEAD + len);
    if (err) {
        find_pointer(l, c);
        return err;
    }
    *at = c->at + SFS_FRAME_HEAD;
    *wrote = len;
    c->at += SFS_FRAME_HEAD + len;
    return SCALEFS_OK;
}

static int mark(struct sfs_zoned_log *l, struct sfs_zoned_cursor *c, enum sfs_frame_kind kind)
{
    uint32_t wrote;
    uint64_t at;
    return append(l, c, kind, 0, 0, &wrote, &at);
}

static void enter(uint32_t *map, uint64_t offset, uint32_t len, uint64_t at)
{
    for (uint32_t i = 0; i < len / BLOCK; i++)
        map[offset / BLOCK + i] = (uint32_t)(at / BLOCK + i);
}

/* --- sets --- */

static int reset_set(struct sfs_zoned_log *l, unsigned set)
{
    int err = SCALEFS_OK;
    for (uint32_t z = 0; z < l->g.set_zones && !err; z++) {
        uint64_t start = sfs_zoned_log_zone(l, set, z), pointer = UINT64_MAX;
        if (!l->disk->ops->write_pointer(l->disk, start, &pointer) && pointer == start)
            continue;
        err = sfs_zoned_log_io(l, SFS_IO_ZONE_RESET, start, NULL, l->zone_bytes);
    }
    return err;
}

/* A run of current blocks goes to the end of the new set. What cannot be read is left behind: the table's pages and
 * the records have checksums, and stand on other disks. */
static int copy_run(struct sfs_zoned_log *l, struct sfs_zoned_cursor *to, uint32_t *map, size_t first, size_t count)
{
    uint8_t *payload = l->frame + SFS_FRAME_HEAD;
    int err = sfs_zoned_log_read(l, (uint64_t)first * BLOCK, payload, (uint64_t)count * BLOCK);
    if (err == SCALEFS_E_IO && count > 1) {
        for (size_t i = 0; i < count && (err == SCALEFS_OK || err == SCALEFS_E_IO); i++)
            err = copy_run(l, to, map, first + i, 1);
        return err;
    }
    if (err == SCALEFS_E_IO)
        return SCALEFS_OK;
    uint32_t left = (uint32_t)count * BLOCK;
    uint64_t offset = (uint64_t)first * BLOCK, at;
    while (left && !err) {
        uint32_t wrote = 0;
        err = append(l, to, SFS_FRAME_COPY, offset, left, &wrote, &at);
        if (err)
            break;
        enter(map, offset, wrote, at);
        left -= wrote;
        offset += wrote;
        memmove(payload, payload + wrote, left);
    }
    return err;
}

static int copy_all(struct sfs_zoned_log *l, struct sfs_zoned_cursor *to, uint32_t *map)
{
    int err = SCALEFS_OK;
    for (size_t i = 0; i < l->blocks && !err;) {
        size_t n = 0;
        while (i + n < l->blocks && n < SFS_FRAME_PAYLOAD_MAX / BLOCK && l->map[i + n] != SFS_LOG_NOWHERE)
            n++;
        if (n)
            err = copy_run(l, to, map, i, n);
        i += n ? n : 1;
    }
    return err;
}

/* The current set is full. If this fails half-way the old set is still the current one. */
static int switch_sets(struct sfs_zoned_log *l)
{
    struct sfs_zoned_cursor to = {.set = !l->cursor.set};
    to.at = sfs_zoned_log_zone(l, to.set, 0);
    uint32_t *map = sfs_alloc(l->env, l->blocks * sizeof *map);
    if (!map)
        return SCALEFS_E_NOMEM;
    memset(map, 0xff, l->blocks * sizeof *map);
    int err = reset_set(l, to.set);
    if (!err)
        err = mark(l, &to, SFS_FRAME_START);
    if (!err)
        err = copy_all(l, &to, map);
    if (!err)
        err = sfs_zoned_log_io(l, SFS_IO_FLUSH, 0, NULL, 0);
    if (!err)
        err = mark(l, &to, SFS_FRAME_COMPLETE);
    if (!err)
        err = sfs_zoned_log_io(l, SFS_IO_FLUSH, 0, NULL, 0);
    if (err) {
        sfs_free(l->env, map);
        return err;
    }
    unsigned old = l->cursor.set;
    sfs_free(l->env, l->map);
    l->map = map;
    l->cursor = to;
    l->switches++;
    return reset_set(l, old);
}

int sfs_zoned_log_format(struct sfs_zoned_log *l)
{
    sfs_random(l->env, l->id, sizeof l->id);
    l->number = 1;
    l->cursor = (struct sfs_zoned_cursor){0, 0, 0};
    int err = SCALEFS_OK;
    for (unsigned set = 0; set < 2 && !err; set++)
        err = reset_set(l, set);
    if (!err)
        err = mark(l, &l->cursor, SFS_FRAME_START);
    if (!err)
        err = mark(l, &l->cursor, SFS_FRAME_COMPLETE);
    return err ? err : sfs_zoned_log_io(l, SFS_IO_FLUSH, 0, NULL, 0);
}

/* --- the head --- */

int sfs_zoned_log_write(struct sfs_zoned_log *l, uint64_t offset, const uint8_t *buf, uint64_t len)
{
    SFS_ASSERT(offset + len <= l->g.head_bytes);
    unsigned switched = 0;
    while (len) {
        uint32_t n = len < SFS_FRAME_PAYLOAD_MAX ? (uint32_t)len : SFS_FRAME_PAYLOAD_MAX, wrote;
        uint64_t at;
        memcpy(l->frame + SFS_FRAME_HEAD, buf, n);
        int err = append(l, &l->cursor, SFS_FRAME_DATA, offset, n, &wrote, &at);
        if (err == SCALEFS_E_NOSPC && switched++ < 2) {
            err = switch_sets(l);
            if (!err)
                continue;
        }
        if (err)
            return err == SCALEFS_E_NOSPC ? SCALEFS_E_IO : err;
        enter(l->map, offset, wrote, at);
        offset += wrote;
        buf += wrote;
        len -= wrote;
    }
    return SCALEFS_OK;
}

int sfs_zoned_log_read(struct sfs_zoned_log *l, uint64_t offset, uint8_t *buf, uint64_t len)
{
    SFS_ASSERT(offset + len <= l->g.head_bytes);
    struct sfs_io ios[READS_AT_ONCE];
    size_t block = (size_t)(offset / BLOCK), end = (size_t)((offset + len) / BLOCK);
    while (block < end) {
        size_t count = 0;
        while (block < end && count < READS_AT_ONCE) {
            uint32_t at = l->map[block];
            size_t n = 1;
            if (at == SFS_LOG_NOWHERE) {
                memset(buf, 0, BLOCK);
            } else {
                while (block + n < end && l->map[block + n] == at + n)
                    n++;
                ios[count++] = (struct sfs_io){.disk = l->disk, .op = SFS_IO_READ, .offset = (uint64_t)at * BLOCK,
                                               .buf = buf, .len = n * BLOCK};
            }
            block += n;
            buf += n * BLOCK;
        }
        int err = count ? sfs_io_run(l->env, ios, count) : SCALEFS_OK;
        if (err)
            return err;
    }
    return SCALEFS_OK;
}
