/* Trees and transactions: all metadata of all volumes are keys in B+trees; every change is a set of key
 * updates over any trees that takes effect whole or not at all.
 *
 * Reading sees the latest committed transactions. A scan is not a snapshot: each item is seen in the state
 * of its moment. Reads never see half a transaction item-wise; whoever needs several items to agree takes
 * a lock of his own above (fs: inode locks).
 */
#ifndef SFS_TREE_TREE_H
#define SFS_TREE_TREE_H

#include "store/store.h"

/* `tree`: SFS_TREE_POOL or a volume number. Copies the value. NOENT; RANGE when it is longer than cap. */
int sfs_tree_get(struct sfs_store *store, uint32_t tree, struct sfs_key key, void *value, uint32_t cap,
                 uint32_t *len);
/* The greatest key k with low <= k <= high. */
int sfs_tree_floor(struct sfs_store *store, uint32_t tree, struct sfs_key low, struct sfs_key high,
                   struct sfs_key *found, void *value, uint32_t cap, uint32_t *len);
/* Calls fn for each item with from <= key <= to in order, until it returns false. fn runs under a lock: memory
 * work only, no call into store or tree. */
int sfs_tree_scan(struct sfs_store *store, uint32_t tree, struct sfs_key from, struct sfs_key to,
                  bool (*fn)(void *context, struct sfs_key key, const uint8_t *value, uint32_t len),
                  void *context);

/* --- transactions ------------------------------------------------------------------------------------------------
 * Gathered in memory (any task, no locks held), applied by commit. Updates apply in the order given. */
struct sfs_tx {
    struct sfs_store *store;
    struct sfs_tx_op *ops;
    size_t count, cap;
    uint8_t *bytes; /* values */
    size_t byte_count, byte_cap;
    int error;      /* sticky: NOMEM while gathering; commit returns it */
    enum sfs_claim claim; /* SFS_CLAIM_NEW unless set: what of the reserve it may use */
};
void sfs_tx_init(struct sfs_tx *tx, struct sfs_store *store);
void sfs_tx_deinit(struct sfs_tx *tx); /* after commit or instead of it */
void sfs_tx_put(struct sfs_tx *tx, uint32_t tree, struct sfs_key key, const void *value, uint32_t len); /* insert or replace */
void sfs_tx_delete(struct sfs_tx *tx, uint32_t tree, struct sfs_key key); /* nothing when it is not there */
/* Adds to the u64 that the key's value begins with; a key that is not there counts as 0. */
void sfs_tx_count(struct sfs_tx *tx, uint32_t tree, struct sfs_key key, int64_t delta);
/* A new extent as a batch made it (extent->refs and ref_bytes are set by the caller, at least 1 reference). */
void sfs_tx_extent_add(struct sfs_tx *tx, const struct sfs_piece *piece, uint32_t refs, uint64_t ref_bytes);
/* References and referenced bytes of an extent change; at 0 references the extent is freed. */
void sfs_tx_extent_ref(struct sfs_tx *tx, uint64_t id, int32_t refs, int64_t ref_bytes);
/* Compare-and-swap of the place, for movers: skipped when the entry is gone or (birth, place) differ. */
void sfs_tx_extent_move(struct sfs_tx *tx, uint64_t id, uint64_t birth, struct sfs_place old_place,
                        const struct sfs_piece *piece);
/* Applies all or nothing. In memory; durable with the next checkpoint (sfs_store_sync). NOSPC, NOMEM, ROFS, SUSPENDED, IO …
 * Afterwards the tx is empty and may be used again. */
int sfs_tx_commit(struct sfs_tx *tx);

/* The volume table. The default volume is SFS_TREE_VOLUME. */
int sfs_tree_volume_make(struct sfs_store *store, uint32_t volume, const char *name);
bool sfs_tree_exists(struct sfs_store *store, uint32_t tree);
int sfs_tree_volume_salt(struct sfs_store *store, uint32_t volume, uint64_t salt[2]); /* of its names' cookies. NOENT */

/* What one extent says, for movers, clones and checks. NOENT. */
int sfs_tree_extent(struct sfs_store *store, uint64_t id, struct sfs_extent *extent);

#endif
