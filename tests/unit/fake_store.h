/* A store and its trees in memory (store/store.h, tree/tree.h), for testing what stands upon them.
 *
 * It promises what the real one does, and is strict: a reference that is taken from an extent which has none, a
 * key written for a tree that does not exist, space given back twice and so on are counted as `problems` (each
 * is printed). It can lose everything since the last sync, as a power cut does; refuse transactions, batches and
 * reservations at will; and runs on any environment, with any number of tasks.
 */
#ifndef TESTS_FAKE_STORE_H
#define TESTS_FAKE_STORE_H

#include "tree/tree.h"

struct fake_options {
    uint32_t record; /* 0: 128 KiB */
    uint32_t row;    /* bytes of a full row; 0: 512 KiB */
    uint64_t capacity; /* for data; 0: no end */
};
struct fake_stats {
    uint64_t syncs, transactions, batches, batches_with_tail, extents; /* since the start */
    size_t largest; /* most updates in one transaction */
    uint64_t live_extents, live_bytes, reserved, used; /* now; used: raw bytes of extents */
    unsigned problems;
};

struct sfs_store *fake_store_make(struct sfs_env *env, const struct fake_options *options);
void fake_store_free(struct sfs_store *store);
/* What was not synced is gone. */
void fake_store_crash(struct sfs_store *store);
void fake_store_stats(struct sfs_store *store, struct fake_stats *stats);
/* The n-th from now (1: the next) fails with this error, and `times` - 1 after it. */
void fake_store_fail_tx(struct sfs_store *store, uint64_t nth, uint64_t times, int error);
void fake_store_fail_batch(struct sfs_store *store, uint64_t nth, uint64_t times, int error);
/* Called once, unlocked, within the next end of a batch: what happens while data is being written. */
void fake_store_on_batch(struct sfs_store *store, void (*fn)(void *context), void *context);
void fake_store_set_capacity(struct sfs_store *store, uint64_t bytes);
/* Do the references of all extents agree with what the items and attributes of a volume say? Counts problems. */
unsigned fake_store_check(struct sfs_store *store, uint32_t volume);
void fake_store_lose(struct sfs_store *store, const uint64_t *ids, size_t count); /* tells the namer */
/* Calls the flusher and syncs, as the background checkpoint does. */
int fake_store_checkpoint(struct sfs_store *store);

#endif
