/* One B+tree page: a slotted page that is edited in its on-disk form.
 *
 *   64                      slots_end         heap                              16384
 *   | slot 0 | slot 1 | ... |   free bytes    |  values, in any order, with gaps  |
 *
 * Invariants (sfs_node_check has the same for what comes from disk):
 *   P1  slots_end <= heap <= 16384; every value lies in [heap, 16384); values don't overlap.
 *   P2  keys ascend strictly. In an inner page the first key counts as minus infinity: no one compares
 *       with it, so it may have grown stale; it is lowered to 0 before it would break the order.
 * Gaps come from removed and shortened values; whoever needs their bytes moves the values together.
 * No allocation: 16 KiB of stack for that.
 */
#include "store/page.h"

#include "base/assert.h"

#define SLOTS 64u
#define SLOT_BYTES 21u
#define SPACE (SFS_NODE_BYTES - SLOTS) /* for slots and values */

static unsigned heap_of(const uint8_t *page)
{
    return sfs_get16(page + 50);
}

static void set_head(uint8_t *page, unsigned count, unsigned heap)
{
    sfs_put16(page + 48, (uint16_t)count);
    sfs_put16(page + 50, (uint16_t)heap);
}

static const uint8_t *slot_of(const uint8_t *page, unsigned i)
{
    return page + SLOTS + i * SLOT_BYTES;
}

static unsigned value_at(const uint8_t *page, unsigned i)
{
    return sfs_get16(slot_of(page, i) + 17);
}

static unsigned value_len(const uint8_t *page, unsigned i)
{
    return sfs_get16(slot_of(page, i) + 19);
}

static void put_key(uint8_t *page, unsigned i, struct sfs_key key)
{
    uint8_t *slot = page + SLOTS + i * SLOT_BYTES;
    sfs_put64(slot, key.a);
    slot[8] = key.type;
    sfs_put64(slot + 9, key.b);
}

static void put_value_place(uint8_t *page, unsigned i, unsigned at, unsigned len)
{
    uint8_t *slot = page + SLOTS + i * SLOT_BYTES;
    if (len == 0)
        at = SFS_NODE_BYTES; /* never below the heap, wherever that moves */
    sfs_put16(slot + 17, (uint16_t)at);
    sfs_put16(slot + 19, (uint16_t)len);
}

void sfs_page_init(uint8_t *page, uint8_t level)
{
    memset(page, 0, SFS_NODE_BYTES);
    page[6] = level;
    set_head(page, 0, SFS_NODE_BYTES);
}

uint8_t sfs_page_level(const uint8_t *page)
{
    return page[6];
}

unsigned sfs_page_count(const uint8_t *page)
{
    return sfs_get16(page + 48);
}

struct sfs_key sfs_page_key(const uint8_t *page, unsigned i)
{
    SFS_ASSERT(i < sfs_page_count(page));
    const uint8_t *slot = slot_of(page, i);
    return (struct sfs_key){sfs_get64(slot), slot[8], sfs_get64(slot + 9)};
}

const uint8_t *sfs_page_value(const uint8_t *page, unsigned i, uint32_t *len)
{
    SFS_ASSERT(i < sfs_page_count(page));
    *len = value_len(page, i);
    return page + value_at(page, i);
}

uint8_t *sfs_page_value_mut(uint8_t *page, unsigned i, uint32_t *len)
{
    SFS_ASSERT(i < sfs_page_count(page));
    *len = value_len(page, i);
    return page + value_at(page, i);
}

unsigned sfs_page_search(const uint8_t *page, struct sfs_key key, bool *exact)
{
    unsigned low = 0, high = sfs_page_count(page);
    *exact = false;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        int order = sfs_key_compare(sfs_page_key(page, middle), key);
        if (order == 0) {
            *exact = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t sfs_page_item_bytes(uint32_t len)
{
    return SLOT_BYTES + len;
}

static unsigned range_bytes(const uint8_t *page, unsigned from, unsigned to)
{
    unsigned bytes = 0;
    for (unsigned i = from; i < to; i++)
        bytes += SLOT_BYTES + value_len(page, i);
    return bytes;
}

uint32_t sfs_page_free_bytes(const uint8_t *page)
{
    return SPACE - range_bytes(page, 0, sfs_page_count(page));
}

/* Bytes between the last slot and the heap: what can be had without moving anything. */
static unsigned gap_bytes(const uint8_t *page)
{
    return heap_of(page) - SLOTS - sfs_page_count(page) * SLOT_BYTES;
}

/* Moves the values together at the end of the page. Item `without` (or none: count) gets length 0. */
static void compact(uint8_t *page, unsigned without)
{
    uint8_t values[SFS_NODE_BYTES];
    unsigned count = sfs_page_count(page), heap = SFS_NODE_BYTES;
    for (unsigned i = 0; i < count; i++) {
        unsigned len = i == without ? 0 : value_len(page, i);
        heap -= len;
        memcpy(values + heap, page + value_at(page, i), len);
        put_value_place(page, i, heap, len);
    }
    SFS_ASSERT(SLOTS + count * SLOT_BYTES <= heap); /* P1 */
    memcpy(page + heap, values + heap, SFS_NODE_BYTES - heap);
    set_head(page, count, heap);
}

/* Puts a value below the heap for slot i, which is counted already. There is room. */
static void place_value(uint8_t *page, unsigned i, const void *value, uint32_t len)
{
    unsigned heap = heap_of(page) - len;
    SFS_ASSERT(SLOTS + sfs_page_count(page) * SLOT_BYTES <= heap); /* P1 */
    if (len)
        memcpy(page + heap, value, len);
    put_value_place(page, i, heap, len);
    sfs_put16(page + 50, (uint16_t)heap);
}

/* The value of slot i is no longer needed: if it lies lowest, the heap shrinks by it at once. */
static void give_value_back(uint8_t *page, unsigned i)
{
    if (value_at(page, i) == heap_of(page))
        sfs_put16(page + 50, (uint16_t)(heap_of(page) + value_len(page, i)));
}

/* Asserts P2 for a key that is about to stand at i, before slot `next`. */
static void keep_order(uint8_t *page, unsigned i, struct sfs_key key, unsigned next)
{
    bool inner = sfs_page_level(page) > 0;
    if (inner && i == 1 && sfs_key_compare(sfs_page_key(page, 0), key) >= 0)
        put_key(page, 0, (struct sfs_key){0, 0, 0});
    SFS_ASSERT(i == 0 || sfs_key_compare(sfs_page_key(page, i - 1), key) < 0);
    SFS_ASSERT(next >= sfs_page_count(page) || sfs_key_compare(key, sfs_page_key(page, next)) < 0);
}

bool sfs_page_insert(uint8_t *page, unsigned i, struct sfs_key key, const void *value, uint32_t len)
{
    unsigned count = sfs_page_count(page), need = SLOT_BYTES + len;
    SFS_ASSERT(i <= count && len <= SFS_VALUE_MAX);
    if (gap_bytes(page) < need) {
        if (sfs_page_free_bytes(page) < need)
            return false;
        compact(page, count);
    }
    keep_order(page, i, key, i);
    uint8_t *slot = page + SLOTS + i * SLOT_BYTES;
    memmove(slot + SLOT_BYTES, slot, (count - i) * SLOT_BYTES);
    sfs_put16(page + 48, (uint16_t)(count + 1));
    put_key(page, i, key);
    place_value(page, i, value, len);
    return true;
}

bool sfs_page_replace(uint8_t *page, unsigned i, const void *value, uint32_t len)
{
    unsigned old = value_len(page, i);
    SFS_ASSERT(i < sfs_page_count(page) && len <= SFS_VALUE_MAX);
    if (len <= old) {
        unsigned at = value_at(page, i);
        if (at == heap_of(page)) { /* the lowest value: what it gives up is free at once */
            at += old - len;
            sfs_put16(page + 50, (uint16_t)at);
        }
        if (len)
            memcpy(page + at, value, len);
        put_value_place(page, i, at, len);
        return true;
    }
    if (sfs_page_free_bytes(page) + old < len)
        return false;
    give_value_back(page, i);
    if (gap_bytes(page) < len)
        compact(page, i);
    place_value(page, i, value, len);
    return true;
}

void sfs_page_remove(uint8_t *page, unsigned i)
{
    unsigned count = sfs_page_count(page);
    SFS_ASSERT(i < count);
    give_value_back(page, i);
    uint8_t *slot = page + SLOTS + i * SLOT_BYTES;
    memmove(slot, slot + SLOT_BYTES, (count - i - 1) * SLOT_BYTES);
    sfs_put16(page + 48, (uint16_t)(count - 1));
}

void sfs_page_set_key(uint8_t *page, unsigned i, struct sfs_key key)
{
    SFS_ASSERT(i < sfs_page_count(page));
    keep_order(page, i, key, i + 1);
    put_key(page, i, key);
}

/* Items [from, to) of `source` behind those of `page`; there is room. The order is the caller's care. */
static void append(uint8_t *page, const uint8_t *source, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        unsigned count = sfs_page_count(page);
        memcpy(page + SLOTS + count * SLOT_BYTES, slot_of(source, i), SLOT_BYTES);
        sfs_put16(page + 48, (uint16_t)(count + 1));
        place_value(page, count, source + value_at(source, i), value_len(source, i));
    }
}

/* How many items stay on the left, so that both sides are about as full with the item to come, and it
 * fits where it belongs. One that belongs just between them goes left when it fits there. */
static unsigned split_point(const uint8_t *page, unsigned insert_at, unsigned need)
{
    unsigned count = sfs_page_count(page), best = 0, best_difference = 0;
    unsigned left = 0, right = range_bytes(page, 0, count);
    for (unsigned kept = 1; kept < count; kept++) {
        unsigned item = SLOT_BYTES + value_len(page, kept - 1);
        left += item;
        right -= item;
        bool to_left = insert_at < kept || (insert_at == kept && left + need <= SPACE);
        unsigned l = left + (to_left ? need : 0), r = right + (to_left ? 0 : need);
        unsigned difference = l > r ? l - r : r - l;
        if (l <= SPACE && r <= SPACE && (!best || difference < best_difference)) {
            best = kept;
            best_difference = difference;
        }
    }
    SFS_ASSERT(best); /* no item is larger than 4,629 of 16,320 bytes: there is always one */
    return best;
}

void sfs_page_split(uint8_t *left, uint8_t *right, unsigned insert_at, uint32_t need)
{
    unsigned count = sfs_page_count(left), kept;
    SFS_ASSERT(sfs_page_count(right) == 0 && sfs_page_level(left) == sfs_page_level(right));
    SFS_ASSERT(count >= 2 && insert_at <= count && need <= SLOT_BYTES + SFS_VALUE_MAX);
    if (insert_at < count)
        kept = split_point(left, insert_at, need);
    else
        kept = sfs_page_level(left) > 0 ? count - 1 : count;
    append(right, left, kept, count);
    while (count > kept)
        sfs_page_remove(left, --count);
}

bool sfs_page_merge(uint8_t *left, const uint8_t *right)
{
    unsigned count = sfs_page_count(right), need = range_bytes(right, 0, count);
    SFS_ASSERT(sfs_page_level(left) == sfs_page_level(right));
    if (gap_bytes(left) < need) {
        if (sfs_page_free_bytes(left) < need)
            return false;
        compact(left, sfs_page_count(left));
    }
    append(left, right, 0, count);
    return true;
}
