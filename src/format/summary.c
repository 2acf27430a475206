/* Summaries: the lists of extents that stand among the rows; and the checksums of what they list.
 *
 * Promise: an accepted summary was written for this group, generation and offset, and each entry that
 * is given out lies inside the row or batch. In a data row its checksum covers all its blocks, in a
 * landing batch only header and entries, as extents may begin in its last block. Pure.
 */
#include "format/block.h"

#include "base/assert.h"

#define MAGIC 0x53534653u
#define KIND_ROW 0u
#define KIND_BATCH 1u
#define HEAD_BYTES_MAX 65535u /* the header's length is a u16 */
#define ROW_BYTES_MAX ((SFS_COLUMNS_MAX - 1u) * (256u << 10))

uint32_t sfs_summary_head_bytes(unsigned unit_sums, uint32_t entries)
{
    SFS_ASSERT(unit_sums <= SFS_COLUMNS_MAX && entries <= SFS_NONE32 / SFS_ENTRY_BYTES / 2);
    return SFS_SUMMARY_HEAD + 8 * unit_sums + SFS_ENTRY_BYTES * entries;
}

uint32_t sfs_summary_blocks(unsigned unit_sums, uint32_t entries)
{
    return (sfs_summary_head_bytes(unit_sums, entries) + SFS_BLOCK - 1) / SFS_BLOCK;
}

/* What the checksum covers. At most 64 blocks: too much for a copy on the stack. */
static uint64_t summary_sum(const uint8_t *p, size_t len, uint32_t group, uint64_t offset,
                            uint64_t generation)
{
    if (len <= SFS_NODE_BYTES)
        return sfs_hash_but_sum(p, len, group, offset, generation);
    uint8_t copy[HEAD_BYTES_MAX + 1];
    SFS_ASSERT(len <= sizeof copy);
    memcpy(copy, p, len);
    memset(copy + 8, 0, 8);
    return sfs_hash_identity(copy, len, group, offset, generation);
}

static size_t covered(const struct sfs_summary *s)
{
    return s->kind == KIND_ROW ? (size_t)s->blocks * SFS_BLOCK
                               : sfs_summary_head_bytes(s->unit_sums, s->entries);
}

static bool entry_ok(const struct sfs_entry *e, const struct sfs_summary *s)
{
    uint32_t first = s->kind == KIND_BATCH ? sfs_summary_head_bytes(0, s->entries) : 0;
    return e->offset % 16 == 0 && e->offset >= first && e->offset <= s->length && e->stored >= 1 &&
           e->stored <= s->length - e->offset &&
           sfs_extent_shape_ok(e->stored, e->raw, e->compression, e->sums);
}

static void entry_put(struct sfs_writer *w, const struct sfs_entry *e)
{
    sfs_w64(w, e->id);
    sfs_w64(w, e->birth);
    sfs_w32(w, e->offset);
    sfs_w32(w, e->stored);
    sfs_w32(w, e->raw);
    sfs_w8(w, e->compression);
    sfs_w8(w, 0);
    sfs_w16(w, e->sums);
    sfs_w64(w, e->sums_hash);
    sfs_w32(w, e->volume);
    sfs_w32(w, 0);
    sfs_w64(w, e->inode);
    sfs_w64(w, e->file_offset);
}

static bool summary_ok(const struct sfs_summary *s)
{
    if (s->kind > KIND_BATCH || s->blocks < 1 || s->blocks > SFS_SUMMARY_BLOCKS_MAX ||
        s->length > ROW_BYTES_MAX || s->entries > SFS_SUMMARY_ENTRIES_MAX ||
        s->unit_sums > SFS_COLUMNS_MAX)
        return false;
    uint32_t head = sfs_summary_head_bytes(s->unit_sums, s->entries);
    if (head > HEAD_BYTES_MAX || head > s->blocks * SFS_BLOCK)
        return false;
    return s->kind == KIND_ROW ? s->unit_sums >= 1
                               : s->unit_sums == 0 && s->length >= head &&
                                     s->blocks == sfs_summary_blocks(0, s->entries);
}

void sfs_summary_encode(const struct sfs_summary *s, const struct sfs_entry *entries, uint8_t *out)
{
    SFS_ASSERT(summary_ok(s));
    uint32_t head = sfs_summary_head_bytes(s->unit_sums, s->entries);
    size_t len = covered(s);
    memset(out, 0, len);
    struct sfs_writer w = sfs_writer(out, len);
    sfs_w32(&w, MAGIC);
    sfs_w16(&w, SFS_FORMAT_VERSION);
    sfs_w8(&w, s->kind);
    sfs_w8(&w, s->blocks);
    sfs_w64(&w, 0); /* the checksum, below */
    sfs_w_copy(&w, s->pool.bytes, sizeof s->pool.bytes);
    sfs_w32(&w, s->group);
    sfs_w32(&w, s->entries);
    sfs_w64(&w, s->offset);
    sfs_w64(&w, s->generation);
    sfs_w64(&w, s->txn);
    sfs_w32(&w, s->length);
    sfs_w16(&w, s->unit_sums);
    sfs_w16(&w, (uint16_t)head);
    for (unsigned i = 0; i < s->unit_sums; i++)
        sfs_w64(&w, s->sums[i]);
    for (uint32_t i = 0; i < s->entries; i++) {
        SFS_ASSERT(entry_ok(&entries[i], s));
        entry_put(&w, &entries[i]);
    }
    SFS_ASSERT(!w.bad && sfs_writer_len(&w) == head);
    sfs_put64(out + 8, summary_sum(out, len, s->group, s->offset, s->generation));
}

int sfs_summary_decode(const uint8_t *in, size_t avail, uint32_t group, uint64_t offset,
                       uint64_t generation, struct sfs_summary *s)
{
    memset(s, 0, sizeof *s);
    struct sfs_reader r = sfs_reader(in, avail);
    uint32_t magic = sfs_r32(&r);
    uint16_t version = sfs_r16(&r);
    s->kind = sfs_r8(&r);
    s->blocks = sfs_r8(&r);
    uint64_t sum = sfs_r64(&r);
    sfs_r_copy(&r, s->pool.bytes, sizeof s->pool.bytes);
    s->group = sfs_r32(&r);
    s->entries = sfs_r32(&r);
    s->offset = sfs_r64(&r);
    s->generation = sfs_r64(&r);
    s->txn = sfs_r64(&r);
    s->length = sfs_r32(&r);
    s->unit_sums = sfs_r16(&r);
    uint16_t head = sfs_r16(&r);
    if (r.bad || magic != MAGIC || s->group != group || s->offset != offset ||
        s->generation != generation || !summary_ok(s) ||
        head != sfs_summary_head_bytes(s->unit_sums, s->entries))
        return SCALEFS_E_CORRUPT;
    size_t len = covered(s);
    if (len > avail)
        return SCALEFS_E_RANGE;
    if (sum != summary_sum(in, len, group, offset, generation))
        return SCALEFS_E_CORRUPT;
    if (version != SFS_FORMAT_VERSION)
        return SCALEFS_E_VERSION;
    for (unsigned i = 0; i < s->unit_sums; i++)
        s->sums[i] = sfs_r64(&r);
    return r.bad ? SCALEFS_E_CORRUPT : SCALEFS_OK;
}

int sfs_summary_entry(const uint8_t *in, const struct sfs_summary *s, uint32_t i,
                      struct sfs_entry *e)
{
    SFS_ASSERT(i < s->entries);
    uint32_t at = sfs_summary_head_bytes(s->unit_sums, i);
    struct sfs_reader r = sfs_reader(in + at, SFS_ENTRY_BYTES);
    e->id = sfs_r64(&r);
    e->birth = sfs_r64(&r);
    e->offset = sfs_r32(&r);
    e->stored = sfs_r32(&r);
    e->raw = sfs_r32(&r);
    e->compression = sfs_r8(&r);
    sfs_r8(&r);
    e->sums = sfs_r16(&r);
    e->sums_hash = sfs_r64(&r);
    e->volume = sfs_r32(&r);
    sfs_r32(&r);
    e->inode = sfs_r64(&r);
    e->file_offset = sfs_r64(&r);
    return entry_ok(e, s) ? SCALEFS_OK : SCALEFS_E_CORRUPT;
}

uint64_t sfs_extent_sum(const void *piece, size_t len, uint64_t id, uint64_t birth, uint32_t number)
{
    return sfs_hash_identity(piece, len, id, birth, number);
}

uint64_t sfs_unit_sum(const void *unit, size_t len, uint32_t group, uint32_t row, unsigned column)
{
    return sfs_hash_identity(unit, len, group, row, column);
}

uint64_t sfs_sums_hash(const uint64_t *sums, unsigned count)
{
    uint8_t bytes[8 * SFS_SUMS_MAX];
    SFS_ASSERT(count <= SFS_SUMS_MAX);
    for (unsigned i = 0; i < count; i++)
        sfs_put64(bytes + 8 * i, sums[i]);
    return sfs_hash(bytes, 8 * (size_t)count);
}
