/* The head of a disk: its geometry, the header that all 4 KiB blocks share, label and column header.
 *
 * Promise: what a decoder accepts was written by an encoder for this very place, and every field of it
 * is in bounds. Pure.
 */
#include "format/block.h"

#include "base/assert.h"

#define DATA_OFFSET_MAX (1ull << 30)
#define HEAD_SHARE 65536u  /* one byte of the head for so many bytes of disk */
#define TAIL_BYTES 65536u  /* behind the last atom: room for the label's last copy */

int sfs_geometry_of(uint64_t size, struct sfs_geometry *g)
{
    if (size < SFS_DISK_MIN_BYTES)
        return SCALEFS_E_TOO_SMALL;
    uint64_t head = (size / HEAD_SHARE + SFS_ATOM_BYTES - 1) / SFS_ATOM_BYTES * SFS_ATOM_BYTES;
    if (head < SFS_ATOM_BYTES)
        head = SFS_ATOM_BYTES;
    if (head > DATA_OFFSET_MAX)
        head = DATA_OFFSET_MAX;
    uint64_t atoms = (size - TAIL_BYTES - head) / SFS_ATOM_BYTES;
    if (atoms > SFS_NONE32)
        atoms = SFS_NONE32;
    g->data_offset = head;
    g->atoms = (uint32_t)atoms;
    g->table_slots = (uint32_t)((head - SFS_TABLE_OFFSET) / SFS_BLOCK);
    g->label_offset_2 = size / SFS_BLOCK * SFS_BLOCK - SFS_BLOCK;
    return SCALEFS_OK;
}

uint64_t sfs_hash_but_sum(const void *p, size_t len, uint64_t a, uint64_t b, uint64_t c)
{
    uint8_t copy[SFS_NODE_BYTES]; /* the bytes may be shared with other readers */
    SFS_ASSERT(len >= 16 && len <= sizeof copy);
    memcpy(copy, p, len);
    memset(copy + 8, 0, 8);
    return sfs_hash_identity(copy, len, a, b, c);
}

static uint64_t block_sum(const uint8_t block[SFS_BLOCK])
{
    return sfs_hash_but_sum(block, SFS_BLOCK, sfs_get16(block + 4), sfs_get64(block + 16),
                            sfs_get64(block + 24));
}

struct sfs_writer sfs_block_begin(uint8_t block[SFS_BLOCK], enum sfs_block_type type, uint64_t self,
                                  const struct sfs_uuid *pool)
{
    memset(block, 0, SFS_BLOCK);
    struct sfs_writer w = sfs_writer(block, SFS_BLOCK);
    sfs_w32(&w, SFS_BLOCK_MAGIC);
    sfs_w16(&w, (uint16_t)type);
    sfs_w16(&w, SFS_FORMAT_VERSION);
    sfs_w64(&w, 0); /* the checksum, see sfs_block_seal */
    sfs_w64(&w, self);
    sfs_w_copy(&w, pool->bytes, sizeof pool->bytes);
    return w;
}

uint64_t sfs_block_seal(uint8_t block[SFS_BLOCK])
{
    uint64_t sum = block_sum(block);
    sfs_put64(block + 8, sum);
    return sum;
}

int sfs_block_check(const uint8_t block[SFS_BLOCK], enum sfs_block_type type, uint64_t self,
                    struct sfs_uuid *pool)
{
    if (sfs_get32(block) != SFS_BLOCK_MAGIC || sfs_get16(block + 4) != type ||
        sfs_get64(block + 16) != self || sfs_get64(block + 8) != block_sum(block))
        return SCALEFS_E_CORRUPT;
    /* Only now: a flipped bit in the version is damage, not a newer ScaleFS. */
    if (sfs_get16(block + 6) != SFS_FORMAT_VERSION)
        return SCALEFS_E_VERSION;
    memcpy(pool->bytes, block + 24, sizeof pool->bytes);
    return SCALEFS_OK;
}

size_t sfs_text_len(const char *text, size_t room)
{
    const char *end = memchr(text, 0, room);
    return end ? (size_t)(end - text) : room;
}

void sfs_name_put(struct sfs_writer *w, const char name[SFS_NAME_MAX + 1])
{
    uint8_t padded[SFS_NAME_MAX] = {0};
    size_t len = sfs_text_len(name, SFS_NAME_MAX + 1);
    SFS_ASSERT(len <= SFS_NAME_MAX);
    memcpy(padded, name, len);
    sfs_w8(w, (uint8_t)len);
    sfs_w_copy(w, padded, sizeof padded);
}

bool sfs_text_get(struct sfs_reader *r, size_t len, char *text, size_t room)
{
    const uint8_t *p = sfs_r_bytes(r, len);
    if (!p || len >= room || memchr(p, 0, len))
        return false;
    memcpy(text, p, len);
    memset(text + len, 0, room - len);
    return true;
}

bool sfs_name_get(struct sfs_reader *r, char name[SFS_NAME_MAX + 1])
{
    size_t len = sfs_r8(r);
    if (len > SFS_NAME_MAX || !sfs_text_get(r, len, name, SFS_NAME_MAX + 1))
        return false;
    return sfs_r_bytes(r, SFS_NAME_MAX - len) != NULL;
}

bool sfs_group_shape_ok(unsigned class, unsigned k, unsigned m, uint64_t unit_bytes,
                        uint64_t column_bytes, uint32_t rows)
{
    if (k < 1 || k > SFS_COLUMNS_MAX - 1 || m > 31 || k + m > SFS_COLUMNS_MAX)
        return false;
    if ((unit_bytes & (unit_bytes - 1)) || (column_bytes & (column_bytes - 1)) ||
        column_bytes < SFS_ATOM_BYTES || column_bytes > 1u << 30)
        return false;
    switch (class) {
    case SFS_CLASS_SYSTEM:
    case SFS_CLASS_METADATA:
        if (k != 1 || unit_bytes != SFS_NODE_BYTES)
            return false;
        break;
    case SFS_CLASS_LANDING:
        if (k != 1 || unit_bytes != SFS_BLOCK)
            return false;
        break;
    case SFS_CLASS_DATA:
        if (unit_bytes < 32u << 10 || unit_bytes > 256u << 10)
            return false;
        break;
    default:
        return false;
    }
    /* Fewer rows than fit are possible where a zone's capacity is less than its length. */
    return rows >= 1 && rows <= (column_bytes - SFS_BLOCK) / unit_bytes;
}

/* A column is a power of two, and at least one atom long. */
bool sfs_atom_bytes_ok(uint8_t layout, uint32_t atom_bytes)
{
    if (layout == SFS_LAYOUT_CONVENTIONAL)
        return atom_bytes == SFS_ATOM_BYTES;
    return layout == SFS_LAYOUT_ZONED && atom_bytes >= SFS_ATOM_BYTES && atom_bytes <= 1u << 30 &&
           !(atom_bytes & (atom_bytes - 1));
}

static bool label_ok(const struct sfs_label *l)
{
    if (l->index == SFS_NONE16 || !sfs_atom_bytes_ok(l->layout, l->atom_bytes) ||
        (l->sector_bytes != 512 && l->sector_bytes != 4096))
        return false;
    return l->data_offset >= SFS_ATOM_BYTES && l->data_offset % l->atom_bytes == 0 &&
           l->data_offset <= l->size &&
           l->atoms <= (l->size - l->data_offset) / l->atom_bytes &&
           l->table_slots <= (l->data_offset - SFS_TABLE_OFFSET) / SFS_BLOCK;
}

void sfs_label_encode(const struct sfs_label *l, uint64_t disk_offset, uint8_t block[SFS_BLOCK])
{
    SFS_ASSERT(label_ok(l));
    struct sfs_writer w = sfs_block_begin(block, SFS_BLOCK_LABEL, disk_offset, &l->pool);
    sfs_w64(&w, l->refuse);
    sfs_w64(&w, l->readonly);
    sfs_w64(&w, l->ignore);
    sfs_w_copy(&w, l->disk.bytes, sizeof l->disk.bytes);
    sfs_w16(&w, l->index);
    sfs_w8(&w, l->role);
    sfs_w8(&w, l->layout);
    sfs_w32(&w, l->sector_bytes);
    sfs_w64(&w, l->size);
    sfs_w64(&w, l->data_offset);
    sfs_w32(&w, l->atoms);
    sfs_w32(&w, l->table_slots);
    sfs_w64(&w, (uint64_t)l->joined_ns);
    sfs_name_put(&w, l->name);
    sfs_name_put(&w, l->station);
    sfs_w32(&w, l->atom_bytes);
    sfs_w32(&w, 0);
    sfs_w64(&w, l->number);
    SFS_ASSERT(!w.bad);
    sfs_block_seal(block);
}

int sfs_label_decode(const uint8_t block[SFS_BLOCK], uint64_t disk_offset, struct sfs_label *l)
{
    int err = sfs_block_check(block, SFS_BLOCK_LABEL, disk_offset, &l->pool);
    if (err)
        return err;
    struct sfs_reader r = sfs_reader(block + SFS_BLOCK_HEAD, SFS_BLOCK - SFS_BLOCK_HEAD);
    l->refuse = sfs_r64(&r);
    l->readonly = sfs_r64(&r);
    l->ignore = sfs_r64(&r);
    sfs_r_copy(&r, l->disk.bytes, sizeof l->disk.bytes);
    l->index = sfs_r16(&r);
    l->role = sfs_r8(&r);
    l->layout = sfs_r8(&r);
    l->sector_bytes = sfs_r32(&r);
    l->size = sfs_r64(&r);
    l->data_offset = sfs_r64(&r);
    l->atoms = sfs_r32(&r);
    l->table_slots = sfs_r32(&r);
    l->joined_ns = (int64_t)sfs_r64(&r);
    bool names = sfs_name_get(&r, l->name) && sfs_name_get(&r, l->station);
    l->atom_bytes = sfs_r32(&r);
    sfs_r32(&r);
    l->number = sfs_r64(&r);
    return names && !r.bad && label_ok(l) ? SCALEFS_OK : SCALEFS_E_CORRUPT;
}

static bool column_ok(const struct sfs_column_header *h)
{
    return sfs_group_shape_ok(h->class, h->k, h->m, h->unit_bytes, h->column_bytes, h->rows) &&
           h->column < h->k + h->m && h->group != SFS_NONE32 && h->disk_index != SFS_NONE16;
}

void sfs_column_encode(const struct sfs_column_header *h, uint64_t disk_offset,
                       uint8_t block[SFS_BLOCK])
{
    SFS_ASSERT(column_ok(h) && h->code == SFS_PARITY_CODE);
    struct sfs_writer w = sfs_block_begin(block, SFS_BLOCK_COLUMN, disk_offset, &h->pool);
    sfs_w32(&w, h->group);
    sfs_w8(&w, h->column);
    sfs_w8(&w, h->k);
    sfs_w8(&w, h->m);
    sfs_w8(&w, h->class);
    sfs_w64(&w, h->generation);
    sfs_w32(&w, h->unit_bytes);
    sfs_w32(&w, h->rows);
    sfs_w64(&w, h->column_bytes);
    sfs_w16(&w, h->code);
    sfs_w16(&w, h->disk_index);
    sfs_w32(&w, 0);
    sfs_w64(&w, h->txn);
    sfs_w_copy(&w, h->disk.bytes, sizeof h->disk.bytes);
    SFS_ASSERT(!w.bad);
    sfs_block_seal(block);
}

int sfs_column_decode(const uint8_t block[SFS_BLOCK], uint64_t disk_offset,
                      struct sfs_column_header *h)
{
    int err = sfs_block_check(block, SFS_BLOCK_COLUMN, disk_offset, &h->pool);
    if (err)
        return err;
    struct sfs_reader r = sfs_reader(block + SFS_BLOCK_HEAD, SFS_BLOCK - SFS_BLOCK_HEAD);
    h->group = sfs_r32(&r);
    h->column = sfs_r8(&r);
    h->k = sfs_r8(&r);
    h->m = sfs_r8(&r);
    h->class = sfs_r8(&r);
    h->generation = sfs_r64(&r);
    h->unit_bytes = sfs_r32(&r);
    h->rows = sfs_r32(&r);
    h->column_bytes = sfs_r64(&r);
    h->code = sfs_r16(&r);
    h->disk_index = sfs_r16(&r);
    sfs_r32(&r);
    h->txn = sfs_r64(&r);
    sfs_r_copy(&r, h->disk.bytes, sizeof h->disk.bytes);
    if (r.bad || !column_ok(h))
        return SCALEFS_E_CORRUPT;
    return h->code == SFS_PARITY_CODE ? SCALEFS_OK : SCALEFS_E_VERSION;
}
