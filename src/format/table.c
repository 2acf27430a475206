/* The table's pages: directory pages, table pages, and the walk over the records of a table page.
 *
 * Promise: an accepted page is the one that the pointer to it meant: same pool, slot and checksum.
 * The records themselves are in records.c. Pure.
 */
#include "format/block.h"

#include "base/assert.h"

void sfs_directory_encode(const struct sfs_directory *d, const struct sfs_uuid *pool, uint32_t slot,
                          uint8_t block[SFS_BLOCK], uint64_t *checksum)
{
    SFS_ASSERT(d->count <= SFS_DIR_FANOUT && d->first_page % SFS_DIR_FANOUT == 0);
    struct sfs_writer w = sfs_block_begin(block, SFS_BLOCK_DIRECTORY, slot, pool);
    sfs_w32(&w, d->first_page);
    sfs_w32(&w, d->count);
    for (uint32_t i = 0; i < d->count; i++) {
        sfs_w32(&w, d->pages[i].slot);
        sfs_w32(&w, 0);
        sfs_w64(&w, d->pages[i].checksum);
    }
    SFS_ASSERT(!w.bad);
    *checksum = sfs_block_seal(block);
}

/* The block is of this type, pool and slot, and is the one that its pointer meant. */
static int page_check(const uint8_t block[SFS_BLOCK], enum sfs_block_type type,
                      const struct sfs_uuid *pool, uint32_t slot, uint64_t checksum)
{
    struct sfs_uuid written;
    if (sfs_get64(block + 8) != checksum)
        return SCALEFS_E_CORRUPT;
    int err = sfs_block_check(block, type, slot, &written);
    if (!err && memcmp(written.bytes, pool->bytes, sizeof written.bytes))
        err = SCALEFS_E_CORRUPT;
    return err;
}

int sfs_directory_decode(const uint8_t block[SFS_BLOCK], const struct sfs_uuid *pool, uint32_t slot,
                         uint64_t checksum, struct sfs_directory *d)
{
    int err = page_check(block, SFS_BLOCK_DIRECTORY, pool, slot, checksum);
    if (err)
        return err;
    struct sfs_reader r = sfs_reader(block + SFS_BLOCK_HEAD, SFS_BLOCK - SFS_BLOCK_HEAD);
    d->first_page = sfs_r32(&r);
    d->count = sfs_r32(&r);
    if (d->count > SFS_DIR_FANOUT || d->first_page % SFS_DIR_FANOUT ||
        d->first_page / SFS_DIR_FANOUT >= SFS_DIR_PAGES_MAX)
        return SCALEFS_E_CORRUPT;
    for (uint32_t i = 0; i < SFS_DIR_FANOUT; i++) {
        if (i >= d->count) {
            d->pages[i] = (struct sfs_pageptr){SFS_NONE32, 0};
            continue;
        }
        d->pages[i].slot = sfs_r32(&r);
        sfs_r32(&r);
        d->pages[i].checksum = sfs_r64(&r);
    }
    return r.bad ? SCALEFS_E_CORRUPT : SCALEFS_OK;
}

void sfs_table_encode(const uint8_t *records, uint32_t bytes, uint32_t page,
                      const struct sfs_uuid *pool, uint32_t slot, uint8_t block[SFS_BLOCK],
                      uint64_t *checksum)
{
    SFS_ASSERT(bytes <= SFS_TABLE_ROOM);
    struct sfs_writer w = sfs_block_begin(block, SFS_BLOCK_TABLE, slot, pool);
    sfs_w32(&w, page);
    sfs_w16(&w, (uint16_t)bytes);
    sfs_w16(&w, 0);
    if (bytes)
        sfs_w_copy(&w, records, bytes);
    SFS_ASSERT(!w.bad);
    *checksum = sfs_block_seal(block);
}

int sfs_table_decode(const uint8_t block[SFS_BLOCK], const struct sfs_uuid *pool, uint32_t slot,
                     uint64_t checksum, uint32_t page, const uint8_t **records, uint32_t *bytes)
{
    int err = page_check(block, SFS_BLOCK_TABLE, pool, slot, checksum);
    if (err)
        return err;
    uint32_t used = sfs_get16(block + 44);
    if (sfs_get32(block + 40) != page || used > SFS_TABLE_ROOM)
        return SCALEFS_E_CORRUPT;
    *records = block + SFS_BLOCK - SFS_TABLE_ROOM;
    *bytes = used;
    return SCALEFS_OK;
}

int sfs_record_next(struct sfs_reader *r, uint16_t *type, const uint8_t **payload, uint16_t *len)
{
    if (!r->bad && r->at == r->end)
        return SCALEFS_E_NODATA;
    *type = sfs_r16(r);
    *len = sfs_r16(r);
    *payload = sfs_r_bytes(r, *len);
    return *payload ? SCALEFS_OK : SCALEFS_E_CORRUPT;
}
