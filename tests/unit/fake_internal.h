/* What the files of the store in memory share: fake_store.c (the store, batches, going back), fake_trees.c, fake_tx.c (transactions,
 * and the check). One lock; trees are arrays of sorted leaves; an undo log since the last sync. See fake_store.h. */
#ifndef TESTS_FAKE_INTERNAL_H
#define TESTS_FAKE_INTERNAL_H

#include "fake_store.h"

#include "base/assert.h"
#include "base/map.h"
#include "base/vec.h"

#define LEAF_ITEMS 64u
#define TREES 4u

struct item {
    struct sfs_key key;
    uint8_t *value;
    uint32_t len;
};
struct leaf {
    size_t count;
    struct item items[LEAF_ITEMS];
};
struct tree {
    bool used;
    uint32_t number;
    struct leaf **leaves;
    size_t count, room;
};
struct extent {
    uint64_t id, ref_bytes;
    uint32_t raw, refs;
    uint8_t *data;
};
struct undo {
    bool is_extent, had;
    uint32_t tree;
    struct item item;     /* what was there */
    struct extent extent; /* what it was; !had: it was not there */
};
struct fault {
    uint64_t nth, times;
    int error;
};

struct sfs_store {
    struct sfs_env *env;
    struct fake_options options;
    struct sfs_mutex lock;
    struct tree trees[TREES];
    struct sfs_map extents; /* id -> struct extent */
    struct undo *undos;
    size_t undo_count, undo_room;
    uint64_t next_id;
    struct fake_stats stats;
    struct fault tx_fault, batch_fault;
    int (*flush)(void *);
    void *flush_context;
    void (*name_lost)(void *context, const uint64_t *ids, size_t count);
    void *name_lost_context;
    void (*on_batch)(void *);
    void *on_batch_context;
};

void fake_problem(struct sfs_store *s, const char *what, uint64_t number);
int fake_struck(struct fault *f); /* its error, when it is its turn */
struct undo *fake_remember(struct sfs_store *s);
void fake_count_extent(struct sfs_store *s, const struct extent *e, int sign);

/* --- fake_trees.c --- */
int fake_compare(struct sfs_key a, struct sfs_key b);
struct tree *fake_tree_of(struct sfs_store *s, uint32_t number);
/* The first place whose key is >= key, and whether it is that key. */
bool fake_seek(const struct tree *t, struct sfs_key key, size_t *leaf, size_t *at);
/* Takes the value over; gives the old one back. */
bool fake_put(struct sfs_store *s, struct tree *t, struct item item, struct item *old);
bool fake_delete(struct sfs_store *s, struct tree *t, struct sfs_key key, struct item *old);
struct item fake_copy_item(struct sfs_store *s, struct sfs_key key, const void *value, uint32_t len);

#endif
