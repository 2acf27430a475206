/* Tree nodes as they lie on disk: header, checksum, and the shape of the page.
 *
 * Promise: a page that passes can be handled by store/page.h without any further check: keys strictly
 * ascending, values inside the page, disjoint, behind the slots, and of the right length for a child
 * in inner nodes. Pure.
 */
#include "format/block.h"

#include "base/assert.h"

#define MAGIC 0x4e534653u
#define SLOTS 64u
#define SLOT_BYTES 21u

static uint64_t node_sum(const uint8_t page[SFS_NODE_BYTES])
{
    return sfs_hash_but_sum(page, SFS_NODE_BYTES, sfs_get64(page + 16), sfs_get64(page + 24),
                            sfs_get32(page + 32));
}

uint64_t sfs_node_seal(uint8_t page[SFS_NODE_BYTES], const struct sfs_node_header *h)
{
    SFS_ASSERT(h->level <= SFS_LEVEL_MAX);
    sfs_put32(page, MAGIC);
    sfs_put16(page + 4, SFS_FORMAT_VERSION);
    page[6] = h->level;
    page[7] = 0;
    sfs_put64(page + 8, 0);
    sfs_put64(page + 16, h->id);
    sfs_put64(page + 24, h->birth);
    sfs_put32(page + 32, h->tree);
    sfs_put32(page + 36, h->group);
    sfs_put64(page + 40, h->offset);
    memset(page + 52, 0, SLOTS - 52); /* items and heap, before it, are the page's own */
    uint64_t sum = node_sum(page);
    sfs_put64(page + 8, sum);
    return sum;
}

static bool key_before(const uint8_t *x, const uint8_t *y)
{
    uint64_t xa = sfs_get64(x), ya = sfs_get64(y);
    if (xa != ya)
        return xa < ya;
    if (x[8] != y[8])
        return x[8] < y[8];
    return sfs_get64(x + 9) < sfs_get64(y + 9);
}

/* Marks the bytes [from, to) of the page as taken; false when one of them already is. */
static bool take(uint64_t taken[SFS_NODE_BYTES / 64], uint32_t from, uint32_t to)
{
    for (uint32_t at = from; at < to;) {
        uint32_t end = (at / 64 + 1) * 64;
        if (end > to)
            end = to;
        uint64_t mask = (~0ull >> (64 - (end - at))) << at % 64;
        if (taken[at / 64] & mask)
            return false;
        taken[at / 64] |= mask;
        at = end;
    }
    return true;
}

static bool shape_ok(const uint8_t page[SFS_NODE_BYTES], uint8_t level, uint32_t tree)
{
    uint32_t items = sfs_get16(page + 48), heap = sfs_get16(page + 50);
    uint32_t child = tree == SFS_TREE_EXTENT_MAP || tree == SFS_TREE_SPACE ? SFS_NODEPTR_BYTES : 8;
    if (heap > SFS_NODE_BYTES || SLOTS + items * SLOT_BYTES > heap || (level && !items) ||
        level > SFS_LEVEL_MAX)
        return false;
    uint64_t taken[SFS_NODE_BYTES / 64] = {0};
    for (uint32_t i = 0; i < items; i++) {
        const uint8_t *slot = page + SLOTS + i * SLOT_BYTES;
        uint32_t at = sfs_get16(slot + 17), len = sfs_get16(slot + 19);
        if (i && !key_before(slot - SLOT_BYTES, slot))
            return false;
        if (at < heap || at > SFS_NODE_BYTES || len > SFS_NODE_BYTES - at || len > SFS_VALUE_MAX ||
            (level && len != child) || !take(taken, at, at + len))
            return false;
    }
    return true;
}

int sfs_node_check(const uint8_t page[SFS_NODE_BYTES], struct sfs_node_header *h)
{
    struct sfs_reader r = sfs_reader(page, SLOTS);
    uint32_t magic = sfs_r32(&r);
    uint16_t version = sfs_r16(&r);
    h->level = sfs_r8(&r);
    sfs_r8(&r);
    h->checksum = sfs_r64(&r);
    h->id = sfs_r64(&r);
    h->birth = sfs_r64(&r);
    h->tree = sfs_r32(&r);
    h->group = sfs_r32(&r);
    h->offset = sfs_r64(&r);
    if (magic != MAGIC || h->checksum != node_sum(page))
        return SCALEFS_E_CORRUPT;
    if (version != SFS_FORMAT_VERSION)
        return SCALEFS_E_VERSION;
    return shape_ok(page, h->level, h->tree) ? SCALEFS_OK : SCALEFS_E_CORRUPT;
}
