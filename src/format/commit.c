/* Commit records and the node pointers in them.
 *
 * Promise: an accepted record belongs to the slot that it was read from. Whether this program may open
 * a pool with the record's feature masks is for the opener to judge. Pure.
 */
#include "format/block.h"

#include "base/assert.h"

#define FLAG_CLEAN 1u
#define FLAG_EXPORTED 2u
#define RESERVED 64u /* room for a journal's head, a key check */

static void nodeptr_put(struct sfs_writer *w, const struct sfs_nodeptr *p)
{
    SFS_ASSERT(p->level <= SFS_LEVEL_MAX);
    sfs_w32(w, p->group);
    sfs_w32(w, p->level); /* u8 and three reserved */
    sfs_w64(w, p->offset);
    sfs_w64(w, p->id);
    sfs_w64(w, p->checksum);
}

static bool nodeptr_get(struct sfs_reader *r, struct sfs_nodeptr *p)
{
    p->group = sfs_r32(r);
    p->level = sfs_r8(r);
    sfs_r_bytes(r, 3);
    p->offset = sfs_r64(r);
    p->id = sfs_r64(r);
    p->checksum = sfs_r64(r);
    /* The places of nodes are whole nodes: they stand one in each row. */
    return !r->bad && p->level <= SFS_LEVEL_MAX &&
           (p->group == SFS_NONE32 || p->offset % SFS_NODE_BYTES == 0);
}

void sfs_nodeptr_encode(const struct sfs_nodeptr *p, uint8_t out[SFS_NODEPTR_BYTES])
{
    struct sfs_writer w = sfs_writer(out, SFS_NODEPTR_BYTES);
    nodeptr_put(&w, p);
    SFS_ASSERT(!w.bad);
}

int sfs_nodeptr_decode(const uint8_t *in, size_t len, struct sfs_nodeptr *p)
{
    struct sfs_reader r = sfs_reader(in, len);
    bool good = nodeptr_get(&r, p);
    return good && r.at == r.end ? SCALEFS_OK : SCALEFS_E_CORRUPT;
}

void sfs_commit_encode(const struct sfs_commit *c, uint8_t block[SFS_BLOCK])
{
    SFS_ASSERT(c->directory_count <= SFS_DIR_PAGES_MAX);
    struct sfs_writer w = sfs_block_begin(block, SFS_BLOCK_COMMIT, c->seq, &c->pool);
    sfs_w64(&w, c->refuse);
    sfs_w64(&w, c->readonly);
    sfs_w64(&w, c->ignore);
    sfs_w64(&w, c->txn);
    sfs_w64(&w, c->seq);
    sfs_w64(&w, (uint64_t)c->time_ns);
    sfs_w64(&w, c->tenure);
    sfs_w64(&w, c->host);
    sfs_w8(&w, (uint8_t)((c->clean ? FLAG_CLEAN : 0) | (c->exported ? FLAG_EXPORTED : 0)));
    sfs_w_bytes(&w, 7);
    sfs_w64(&w, c->next_id);
    nodeptr_put(&w, &c->extent_map);
    nodeptr_put(&w, &c->space);
    sfs_w64(&w, c->pool_tree);
    sfs_w16(&w, c->directory_count);
    sfs_w_bytes(&w, 6 + RESERVED);
    for (unsigned i = 0; i < c->directory_count; i++) {
        sfs_w32(&w, c->directory[i].slot);
        sfs_w32(&w, 0);
        sfs_w64(&w, c->directory[i].checksum);
    }
    SFS_ASSERT(!w.bad);
    sfs_block_seal(block);
}

int sfs_commit_decode(const uint8_t block[SFS_BLOCK], uint32_t slot, struct sfs_commit *c)
{
    uint64_t seq = sfs_get64(block + 16); /* believed only once the checksum over it holds */
    if (seq % SFS_RING_SLOTS != slot)
        return SCALEFS_E_CORRUPT;
    int err = sfs_block_check(block, SFS_BLOCK_COMMIT, seq, &c->pool);
    if (err)
        return err;
    struct sfs_reader r = sfs_reader(block + SFS_BLOCK_HEAD, SFS_BLOCK - SFS_BLOCK_HEAD);
    c->refuse = sfs_r64(&r);
    c->readonly = sfs_r64(&r);
    c->ignore = sfs_r64(&r);
    c->txn = sfs_r64(&r);
    c->seq = sfs_r64(&r);
    c->time_ns = (int64_t)sfs_r64(&r);
    c->tenure = sfs_r64(&r);
    c->host = sfs_r64(&r);
    uint8_t flags = sfs_r8(&r);
    c->clean = flags & FLAG_CLEAN;
    c->exported = flags & FLAG_EXPORTED;
    sfs_r_bytes(&r, 7);
    c->next_id = sfs_r64(&r);
    bool good = nodeptr_get(&r, &c->extent_map);
    good = nodeptr_get(&r, &c->space) && good;
    c->pool_tree = sfs_r64(&r);
    c->directory_count = sfs_r16(&r);
    sfs_r_bytes(&r, 6 + RESERVED);
    if (!good || c->seq != seq || c->directory_count > SFS_DIR_PAGES_MAX)
        return SCALEFS_E_CORRUPT;
    memset(c->directory, 0, sizeof c->directory);
    for (unsigned i = 0; i < c->directory_count; i++) {
        c->directory[i].slot = sfs_r32(&r);
        sfs_r32(&r);
        c->directory[i].checksum = sfs_r64(&r);
    }
    return r.bad ? SCALEFS_E_CORRUPT : SCALEFS_OK;
}
