/* Extents by name: put, get (verified), reference, release; the extent map, the space tree and the
 * node cache; checkpoints. Everything above (tree, fs) sees only this and tree/tree.h.
 *
 * Locking: nobody outside pool and store takes the core lock. All calls here are made unlocked, from any
 * task.
 */
#ifndef SFS_STORE_STORE_H
#define SFS_STORE_STORE_H

#include "pool/pool.h"
#include "store/page.h"

struct sfs_store;

struct sfs_store_options {
    uint64_t cache_bytes;      /* node cache; 0: 64 MiB */
    unsigned commit_seconds;   /* 0: 5. UINT_MAX: no background checkpoints (tests) */
    bool no_background;        /* no background tasks at all (offline tools) */
};
/* The pool is the store's from now on (closed with it; on failure too). Makes the trees of a new pool.
 * *volume_root: root node of the default volume. */
int sfs_store_open(struct sfs_env *env, struct sfs_pool *pool, const struct sfs_store_options *o,
                   struct sfs_store **store, struct scalefs_error_info *info);
/* Stops the background tasks; unless read-only checkpoints (clean, perhaps exported); closes the pool. */
int sfs_store_close(struct sfs_store *store, bool export_pool);
/* For sfs_pool_open's probe: can the roots of pool->last be read? */
int sfs_store_probe(void *context, struct sfs_pool *pool);

struct sfs_pool *sfs_store_pool(struct sfs_store *store);
struct sfs_env *sfs_store_env(struct sfs_store *store);
uint64_t sfs_store_new_id(struct sfs_store *store); /* extents, nodes and inodes share one sequence; never used twice */

/* Called (unlocked) by the background checkpoint before it begins, to write out file data. */
void sfs_store_set_flusher(struct sfs_store *store, int (*flush)(void *context), void *context);

/* Called (unlocked) when care has nothing else to do, with the extents of files that it found lost since the last call,
 * sorted: to say which files those are. At most SFS_LOST_NAMED of them. */
#define SFS_LOST_NAMED 65536u
void sfs_store_set_namer(struct sfs_store *store, void (*name)(void *context, const uint64_t *ids, size_t count), void *context);

/* How urgently the updates want room for the nodes that they make: the full pool refuses the first kind first, the last never. */
enum sfs_claim {
    SFS_CLAIM_NEW,      /* makes something */
    SFS_CLAIM_NAMES,    /* gives what exists another name or other attributes, which takes next to nothing */
    SFS_CLAIM_PROMISED, /* writes data that were accepted */
    SFS_CLAIM_FREES,    /* frees space in sum */
};

/* Makes every transaction that committed before the call durable. Many callers share one checkpoint. */
int sfs_store_sync(struct sfs_store *store);
/* A checkpoint even when no transaction came: the configuration changed. */
int sfs_store_commit(struct sfs_store *store);

/* --- reading ---------------------------------------------------------------------------------------------- */
struct sfs_read {
    uint64_t id;
    uint32_t offset, len; /* within the extent's raw bytes; a hole in a file is not an extent */
    void *buf;
    int result;           /* OK, CORRUPT, SUSPENDED, NOENT (no such extent) … */
};
/* All in flight at once. Verified, rebuilt from parity when needed, repaired. Returns the first result that is not OK. */
int sfs_store_read(struct sfs_store *store, struct sfs_read *reads, size_t count);

/* --- writing: a batch packs extents into full rows ------------------------------------------------------------ */
struct sfs_batch;
struct sfs_piece { /* one extent that the batch made */
    uint64_t id;
    uint32_t raw;  /* how many of the offered bytes it holds */
    struct sfs_extent extent;
};
/* `temperature` 0 fresh data, 1 moved data. A batch belongs to one task. */
int sfs_batch_begin(struct sfs_store *store, unsigned temperature, struct sfs_batch **batch);
/* How many bytes are still to be added (a hint): what will not fill a row is cut so that it packs well later. */
void sfs_batch_expect(struct sfs_batch *batch, uint64_t bytes);
/* Extents of up to `bytes` (at most 64 KiB) are not cut, whatever the record size, when they are the first of the batch. */
void sfs_batch_whole(struct sfs_batch *batch, uint32_t bytes);
/* Takes a first part of `data` (at most the record size; cut at the row's end) as a new extent. Returns what it took in
 * *raw (always > 0); call again with the rest. The bytes are copied. volume, inode, file_offset: whom it is for. Extents are
 * numbered in the order of calls from 0. Rows that fill up are written meanwhile. */
int sfs_batch_add(struct sfs_batch *batch, const void *data, uint32_t len, uint32_t volume, uint64_t inode,
                  uint64_t file_offset, uint32_t *raw);
/* Waits for all writes. With `tail`, what did not fill a row goes to the landing group and *kept = all extents; without,
 * those extents are dropped and *kept = how many extents (of the first ones) are on the disks. pieces (valid until _free)
 * says where each is. On an error nothing is kept. */
int sfs_batch_end(struct sfs_batch *batch, bool tail, size_t *kept, const struct sfs_piece **pieces);
/* Gives back the space of every extent that no transaction has added; frees the batch. */
void sfs_batch_free(struct sfs_batch *batch);
/* Bytes of one full data row now (how much to gather before a batch without tail makes sense). */
uint32_t sfs_store_row_bytes(struct sfs_store *store);

/* --- space ------------------------------------------------------------------------------------------------------ */
/* Promises room for `bytes` of new file data (worst case, uncompressed) and their metadata. NOSPC only after commits and
 * compaction were tried. Give it back with the same number after the transaction that wrote (or dropped) them. 0 bytes: only
 * says that something waits in memory, so that a checkpoint comes for it. */
int sfs_store_reserve(struct sfs_store *store, uint64_t bytes);
void sfs_store_unreserve(struct sfs_store *store, uint64_t bytes);
struct sfs_space {
    uint64_t raw, usable, used, free; /* as in scalefs_status */
};
void sfs_store_space(struct sfs_store *store, struct sfs_space *space);

#endif
