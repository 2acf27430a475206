/* One 16 KiB B+tree page in its on-disk form (docs/FORMAT.md section 7): pure operations on a slotted
 * page. Slots of 21 bytes ascend from offset 64, values grow down from the end. */
#ifndef SFS_STORE_PAGE_H
#define SFS_STORE_PAGE_H

#include "format/format.h"

struct sfs_key {
    uint64_t a;
    uint8_t type;
    uint64_t b;
};
static inline int sfs_key_compare(struct sfs_key x, struct sfs_key y)
{
    if (x.a != y.a)
        return x.a < y.a ? -1 : 1;
    if (x.type != y.type)
        return x.type < y.type ? -1 : 1;
    if (x.b != y.b)
        return x.b < y.b ? -1 : 1;
    return 0;
}

void sfs_page_init(uint8_t *page, uint8_t level); /* an empty page: no items, level set, the rest 0 */
uint8_t sfs_page_level(const uint8_t *page);
unsigned sfs_page_count(const uint8_t *page);
struct sfs_key sfs_page_key(const uint8_t *page, unsigned i);
const uint8_t *sfs_page_value(const uint8_t *page, unsigned i, uint32_t *len);
uint8_t *sfs_page_value_mut(uint8_t *page, unsigned i, uint32_t *len);
/* The first item whose key is >= key; *exact tells whether it is equal. count when there is none. */
unsigned sfs_page_search(const uint8_t *page, struct sfs_key key, bool *exact);
/* Bytes that an item with a value of `len` takes; free bytes counting what compaction would give back. */
uint32_t sfs_page_item_bytes(uint32_t len);
uint32_t sfs_page_free_bytes(const uint8_t *page);
/* At index i, keeping the order (asserted). False when it does not fit (nothing changed). `value` does not
 * lie in the page. In an inner page the first key counts as minus infinity: when a key that is not greater
 * comes behind it, it becomes (0, 0, 0). */
bool sfs_page_insert(uint8_t *page, unsigned i, struct sfs_key key, const void *value, uint32_t len);
bool sfs_page_replace(uint8_t *page, unsigned i, const void *value, uint32_t len);
void sfs_page_remove(uint8_t *page, unsigned i);
void sfs_page_set_key(uint8_t *page, unsigned i, struct sfs_key key);
/* Moves the upper part of `left` to the empty page `right` (same level). `insert_at`: where an item of `need`
 * bytes is about to be inserted; at the very end only the last item (inner pages: or none on leaves) moves, so
 * that ascending inserts leave full pages. Afterwards an item of SFS_VALUE_MAX fits on the side where it belongs. */
void sfs_page_split(uint8_t *left, uint8_t *right, unsigned insert_at, uint32_t need);
/* Appends all of `right` to `left`. False when it does not fit (nothing changed). */
bool sfs_page_merge(uint8_t *left, const uint8_t *right);

#endif
