/* What the files of the store share: the store itself, nodes, and the way a call waits for nodes.
 *
 * Everything in memory is guarded by the pool's core lock, which is never held across I/O. Code that
 * walks trees runs under the lock and touches only nodes that are in the cache. Where one is absent it
 * stops with NEED_NODE, having changed nothing, and says in struct sfs_need which; the caller (sfs_need_load)
 * gives up the lock, reads the node, pins it until the whole call is done, and begins anew. Changes are
 * therefore made in two steps under one hold of the lock: first everything is looked at (all nodes are
 * there), then everything is changed (nothing can fail).
 */
#ifndef SFS_STORE_INTERNAL_H
#define SFS_STORE_INTERNAL_H

#include "base/assert.h"
#include "base/map.h"
#include "base/vec.h"
#include "store/store.h"

#define SFS_TREE_DEPTH_MAX 16
#define SFS_TAKEN_TXN (1ull << 62) /* txn of a row state while the row is being filled: not to be handed out */

struct sfs_node {
    uint64_t id, birth;
    uint32_t tree;
    struct sfs_place place; /* where it lies; group SFS_NONE32: never written */
    uint8_t *page;
    uint32_t pins;
    uint64_t mark; /* the round of a checkpoint in which all that it touches was found */
    bool dirty;
    bool unsent; /* has a place that no record ever named: a checkpoint failed; used again by the next */
    struct sfs_node *prev, *next; /* in the list of clean or of dirty nodes */
};
struct sfs_node_list {
    struct sfs_node head;
    size_t count;
};

/* A node that must be read before a walk can go on; and the pins of the walk. */
struct sfs_need {
    uint64_t id, checksum, epoch;
    uint32_t tree;
    struct sfs_place place;
    struct sfs_node **pins;
    size_t pin_count, pin_cap;
};

/* A node that left its tree: its map entry (if it was ever written) goes at the next checkpoint. */
struct sfs_dead_node {
    uint64_t id;
    uint32_t tree;
    struct sfs_place place;
    uint64_t mark; /* as in struct sfs_node */
};

struct sfs_root {
    uint32_t tree;
    uint64_t id; /* 0: the tree has no node yet (trees 1 and 2) */
};

struct sfs_row_pin {
    uint32_t group, row;
};

/* Right bytes were found for wrong ones in a row that cannot be written in place: what lives there is to go elsewhere. */
struct sfs_away {
    uint32_t group, row;
    uint64_t generation;
};

/* New groups whose column headers must be written before their first row. */
struct sfs_fresh {
    uint32_t *groups;
    size_t count, cap;
};

/* Bytes around what was read of late (ahead.c). */
#define SFS_AHEAD_WINDOWS 4u
#define SFS_AHEAD_BYTES (256u << 10) /* of one, at most: several disks' worth, and quickly read */
#define SFS_AHEAD_SMALL (32u << 10)  /* reads of more gain nothing */
#define SFS_AHEAD_NEAR (64u << 10)
struct sfs_ahead {
    struct sfs_mutex lock; /* guards all of it; held for no other lock and no I/O */
    struct sfs_ahead_window {
        uint8_t *buf; /* SFS_AHEAD_BYTES, once it was used; its reader's while `reading` */
        uint32_t group, len; /* len 0: holds nothing */
        uint64_t from, used;
        bool reading;
    } windows[SFS_AHEAD_WINDOWS];
    struct sfs_place last[SFS_AHEAD_WINDOWS]; /* where small reads ended, of late; offset 0: none */
    unsigned next_last;
    uint64_t clock;
};

struct sfs_store {
    struct sfs_env *env;
    struct sfs_pool *pool;
    struct sfs_mutex *lock; /* &pool->lock */
    struct sfs_store_options options;

    /* node cache */
    struct sfs_map nodes; /* id -> node */
    struct sfs_node_list clean, dirty;
    struct sfs_node *spare; /* unused nodes, linked by next */
    size_t spare_count, cache_nodes;
    uint64_t epoch; /* rises when a checkpoint gives nodes new places: reads begun before are thrown away */

    /* roots: trees 1, 2, 3 and the volumes */
    struct sfs_roots roots; /* as of the last checkpoint; the ids are current */
    struct sfs_root *volumes;
    size_t volume_count, volume_cap;
    struct sfs_dead_node *dead;
    size_t dead_count, dead_cap;

    /* checkpoints */
    uint64_t asked_ns; /* when users read or wrote something last */
    uint64_t applied;  /* rises with every transaction */
    uint64_t durable;  /* all transactions up to this one are durable */
    bool checkpointing;
    bool sending;              /* it writes nodes to the places that it gave them */
    struct sfs_map unwritten;  /* such places, by group and row: they count as live and hold nothing, also after it failed */
    uint64_t round; /* see ready() in checkpoint.c */
    struct sfs_cond checkpoint_done; /* or its nodes are written */
    struct sfs_cond wake; /* background task */
    bool resting;         /* it waits until it is woken: nothing was dirty when it looked last */
    uint64_t dirty_since_ns; /* when the first change since the last checkpoint came; 0: none */
    struct sfs_task *background;
    bool stopping;
    int (*flush)(void *);
    void *flush_context;
    bool flushing; /* it is being called */
    void (*name_lost)(void *context, const uint64_t *ids, size_t count);
    void *name_lost_context;
    bool naming; /* it is being called */
    int last_checkpoint_error;

    /* space */
    struct sfs_group *open_groups[SFS_CLASSES][2]; /* [class][temperature] */
    uint64_t reserved;
    uint64_t free_estimate; /* bytes that can be promised, as last counted */
    uint64_t scattered;     /* dead bytes in rows that live, as last counted */
    uint64_t freed;         /* rises when data dies */
    uint64_t gathered;       /* how often it was gathered */
    uint64_t scattered_kept; /* `freed` when gathering what is scattered gained nothing; 0: not yet */
    uint64_t nodes_kept;     /* the same, when no data could make room for nodes */
    uint64_t nodes_low;      /* room for fewer nodes than these is made before it runs out */
    bool nodes_wanted;       /* the next checkpoint makes groups of nodes, where areas are free for them */
    struct sfs_fresh fresh; /* each has in_flight raised until its headers are written */
    size_t dirty_limit;     /* dirty nodes that make a transaction wait for a checkpoint */
    uint64_t node_room;     /* metadata nodes that could still be written, as last counted */
    bool broken_nodes_ok;   /* no room for nodes on whole groups: those with absent columns serve, too */
    bool opening[SFS_CLASSES][2]; /* a task is opening a group for this */
    uint64_t weak_kept[SFS_CLASSES][2]; /* the commit (+ 1) after which nothing better than what is filled was found */
    unsigned heading;             /* groups in the table whose headers are on their way: no record may name them */
    bool emptied; /* some group may hold nothing live any more */
    unsigned unrecorded; /* wishes that are made, and in no record yet */
    struct {
        uint64_t generation, live, committed;
    } emptying; /* the group of nodes that is being emptied, as it was when that was last tried (empty.c) */
    struct sfs_row_pin *row_pins;
    size_t row_pin_count, row_pin_cap;
    struct sfs_away *away; /* what care has to move (empty.c) */
    size_t away_count, away_cap;
    bool making_room; /* one task at a time compacts */
    struct sfs_cond room_made;

    struct sfs_care *care; /* reconciler, scrub (care.c) */
    uint64_t repaired, lost;
    struct sfs_mutex spare_lock; /* idle zstd contexts and buffers */
    void *compressors[8], *decompressors[8];
    unsigned compressor_count, decompressor_count;
    void *small[64], *large[16];
    unsigned small_count, large_count;
    struct sfs_ahead ahead;
};

static inline void sfs_store_lock(struct sfs_store *s)
{
    sfs_mutex_lock(s->lock);
}
static inline void sfs_store_unlock(struct sfs_store *s)
{
    sfs_mutex_unlock(s->lock);
}

/* --- cache.c --- */
int sfs_cache_init(struct sfs_store *s);
void sfs_cache_deinit(struct sfs_store *s);
struct sfs_node *sfs_cache_get(struct sfs_store *s, uint64_t id); /* NULL: absent. locked */
int sfs_cache_spare(struct sfs_store *s, size_t count);           /* makes sure of so many spare nodes. locked */
int sfs_dead_reserve(struct sfs_store *s, size_t changes);        /* room to remember the nodes that leave their trees. locked */
/* A new node, dirty, empty, from the spares. locked */
struct sfs_node *sfs_cache_new(struct sfs_store *s, uint32_t tree, uint8_t level, uint64_t id);
void sfs_cache_dirty(struct sfs_store *s, struct sfs_node *n);  /* locked */
void sfs_cache_clean(struct sfs_store *s, struct sfs_node *n);  /* locked */
void sfs_cache_drop(struct sfs_store *s, struct sfs_node *n);   /* out of the cache, back to the spares. locked */
void sfs_cache_pin(struct sfs_node *n);                          /* locked */
void sfs_cache_unpin(struct sfs_store *s, struct sfs_node *n);   /* locked */
void sfs_need_init(struct sfs_need *need);
void sfs_need_done(struct sfs_store *s, struct sfs_need *need); /* drops the pins. locked */
/* Gives up the lock, reads the node that `need` asks for, takes the lock again. locked on entry and return. */
int sfs_need_load(struct sfs_store *s, struct sfs_need *need);

/* --- btree.c: all locked; NEED_NODE as above --- */
uint64_t sfs_btree_root(struct sfs_store *s, uint32_t tree); /* node id, 0: empty or unknown tree */
int sfs_btree_get(struct sfs_store *s, struct sfs_need *need, uint32_t tree, struct sfs_key key,
                  const uint8_t **value, uint32_t *len); /* NOENT; valid until the lock is given up or a change */
int sfs_btree_floor(struct sfs_store *s, struct sfs_need *need, uint32_t tree, struct sfs_key high,
                    struct sfs_key *found, const uint8_t **value, uint32_t *len);
/* The first item with key >= from. */
int sfs_btree_ceil(struct sfs_store *s, struct sfs_need *need, uint32_t tree, struct sfs_key from,
                   struct sfs_key *found, const uint8_t **value, uint32_t *len);
/* Are all nodes there that a put or delete of this key touches? */
int sfs_btree_ready(struct sfs_store *s, struct sfs_need *need, uint32_t tree, struct sfs_key key);
/* After ready, under the same hold of the lock; with enough spares (sfs_btree_spares per change) they cannot fail. */
#define SFS_BTREE_SPARES 4
void sfs_btree_put(struct sfs_store *s, uint32_t tree, struct sfs_key key, const void *value, uint32_t len);
void sfs_btree_delete(struct sfs_store *s, uint32_t tree, struct sfs_key key);
/* The value of a key that is there, to be changed in place at unchanged length; its leaf becomes dirty. NULL: not there. */
uint8_t *sfs_btree_edit(struct sfs_store *s, uint32_t tree, struct sfs_key key, uint32_t *len);

/* --- extents.c: extent map and space tree; all locked --- */
int sfs_extents_get(struct sfs_store *s, struct sfs_need *need, uint64_t id, struct sfs_extent *e);
int sfs_extent_lookup(struct sfs_store *s, uint64_t id, struct sfs_extent *e); /* the same, reading what it needs. unlocked */
/* Goes through the map from id *from on to the next extent that is wanted; *from moves on. NOENT: no more; CHANGED: call again. unlocked */
int sfs_extents_next(struct sfs_store *s, uint64_t *from, bool (*wanted)(const void *context, const struct sfs_extent *e),
                     const void *context, uint64_t *id, struct sfs_extent *e);
/* Is everything there to change the live bytes of the row that holds this place? */
int sfs_space_ready(struct sfs_store *s, struct sfs_need *need, struct sfs_place place);
/* After ready: is so much said to live there? When not, the counters are wrong. */
bool sfs_space_holds(struct sfs_store *s, struct sfs_place place, uint32_t bytes);
/* The live bytes at a place change: group counters, loaded rows, space tree. */
void sfs_space_live(struct sfs_store *s, struct sfs_place place, int64_t delta);
bool sfs_space_node_usable(struct sfs_store *s, const struct sfs_group *g); /* may nodes be written there now? locked */
void sfs_extents_put(struct sfs_store *s, uint64_t id, const struct sfs_extent *e);
void sfs_extents_delete(struct sfs_store *s, uint64_t id);
/* Row states of a whole group, from the space tree. */
int sfs_space_rows(struct sfs_store *s, struct sfs_need *need, struct sfs_group *g, struct sfs_row_state *rows);

/* --- space.c --- */
/* A row of the class to fill; opens or makes groups when needed. NOSPC after that. SFS_NONE32: it gets its number from
 * sfs_space_number before it is written (CHANGED: not any more, another one must be taken). unlocked. */
int sfs_space_take(struct sfs_store *s, enum sfs_class class, unsigned temperature, bool use_reserve,
                   struct sfs_group_record *g, uint32_t *row);
int sfs_space_number(struct sfs_store *s, uint32_t group, uint32_t *row);
/* locked, memory only, for the checkpoint after sfs_space_prepare_nodes. */
int sfs_space_take_node(struct sfs_store *s, enum sfs_class class, struct sfs_place *place);
/* The row was filled and its extents are in the map, or it was given up. unlocked. */
void sfs_space_row_done(struct sfs_store *s, uint32_t group, uint32_t row, bool written);
/* Room at the end of a landing log. `len` multiple of 4096. in_flight is raised: sfs_space_log_done. unlocked. */
int sfs_space_take_log(struct sfs_store *s, bool use_reserve, uint32_t len, struct sfs_group_record *g, uint64_t *offset);
void sfs_space_log_done(struct sfs_store *s, uint32_t group);
void sfs_space_free_empty(struct sfs_store *s); /* locked: groups with nothing live are freed */
void sfs_space_close_broken(struct sfs_store *s); /* locked: open groups with an absent member are opened no more */
void sfs_space_close_group(struct sfs_store *s, struct sfs_group *g); /* locked: it is filled no more */
/* locked: open groups with a column on this member are filled no more; again only when nothing of them is in flight. */
void sfs_space_close_member(struct sfs_store *s, uint16_t member);
int sfs_row_pin(struct sfs_store *s, uint32_t group, uint32_t row); /* locked: not reused while pinned. CHANGED: no such group */
void sfs_row_unpin(struct sfs_store *s, uint32_t group, uint32_t row); /* locked */
bool sfs_row_pinned(struct sfs_store *s, uint32_t group, uint32_t row); /* locked */
/* Groups of nodes that hold none stay while there is room for fewer in the others. */
#define SFS_NODES_KEPT 320u
/* Counts what the estimates above say. locked; at each checkpoint and when they ran low. */
void sfs_space_count(struct sfs_store *s);
/* So many bytes are missing for what is stored and promised, when all will be as it is wished; what is wanted only in passing is hoped
 * for. locked */
struct sfs_after;
uint64_t sfs_space_lacks(struct sfs_store *s, const struct sfs_after *after);
/* NOSPC when so little room for nodes is left, and none can be made, that only what claims more may go on. locked; may give up the
 * lock. */
int sfs_space_have_nodes(struct sfs_store *s, enum sfs_claim claim);
bool sfs_space_nodes_to_move(struct sfs_store *s); /* may data be moved for the sake of more room for nodes? unlocked */
/* Makes sure that so many metadata and system nodes can be taken, and counted, without reading: loads row states and makes
 * groups. NEED_NODE as everywhere; NOSPC. locked. */
int sfs_space_prepare_nodes(struct sfs_store *s, struct sfs_need *need, size_t metadata, size_t system);

/* --- empty.c: the one way in which groups are emptied --- */
#define SFS_EMPTY_ROWS 64u
/* What lives in these rows of a group goes elsewhere: extents at once, nodes (they become dirty) with the next checkpoint; of a log
 * always all. `last`: nothing else lives in the group. unlocked. */
int sfs_empty_rows(struct sfs_store *s, const struct sfs_group_record *g, const uint32_t *rows, size_t count, bool last);
/* The same for the first live rows of the group, about `most`; *last: these were all. unlocked. */
int sfs_empty_some(struct sfs_store *s, const struct sfs_group_record *g, size_t most, uint64_t *bytes, bool *last);
/* Instead of writing in place, in a sequential group: care moves what lives in the row. unlocked. */
int sfs_away_note(struct sfs_store *s, const struct sfs_group_record *g, uint32_t row);
/* Moves what was noted of the group. BUSY: its log is being written. unlocked; a step of care */
int sfs_away_move(struct sfs_store *s, const struct sfs_group_record *g);
bool sfs_away_next(struct sfs_store *s, struct sfs_group_record *g); /* a group of which something was noted. unlocked */
/* The group takes nothing any more; care empties it. locked. */
void sfs_group_evacuate(struct sfs_store *s, struct sfs_group *g);
/* Within a checkpoint, before nodes get places: on zoned disks, nodes of groups with few live ones become dirty, so that there is
 * always room for more. locked, gives up the lock. */
void sfs_empty_for_nodes(struct sfs_store *s);
/* The group of data on zoned disks with the least alive in it is emptied. NOSPC: none is worth it. unlocked. */
int sfs_empty_for_data(struct sfs_store *s);
/* Conventional disks: a group of data gives its columns to nodes. NOSPC: no other has room for what lives in it. */
int sfs_empty_for_more_nodes(struct sfs_store *s);

/* --- checkpoint.c --- */
/* How many nodes a checkpoint would write now, at most, if so many more became dirty. locked. */
void sfs_checkpoint_needs(struct sfs_store *s, size_t more_ordinary, size_t more_system, size_t *ordinary, size_t *system);
/* Groups that were freed become usable after some more commits: these. unlocked. */
int sfs_ripen(struct sfs_store *s);
int sfs_checkpoint(struct sfs_store *s, bool clean, bool exported, bool force); /* unlocked */
void sfs_checkpoint_due(struct sfs_store *s); /* something changed, or waits in memory: a checkpoint must come for it. locked */
/* Was this row given to a node that was not written there? With s->sending it may be soon. locked. */
bool sfs_node_unwritten(const struct sfs_store *s, uint32_t group, uint32_t row);
int sfs_background_start(struct sfs_store *s);
void sfs_background_stop(struct sfs_store *s);

/* --- read.c --- */
/* The verified stored bytes of an extent: `out` has room for e->stored. Rebuilds and repairs. unlocked. */
int sfs_read_stored(struct sfs_store *s, uint64_t id, struct sfs_extent *e, uint8_t *out);
bool sfs_extent_verify(uint64_t id, const struct sfs_extent *e, const uint8_t *stored);
/* The newest batch that begins at `offset` of a log, over all copies: its summary, and in `bytes` (SFS_BUFFER_SMALL) its blocks.
 * CORRUPT: no copy has one. */
int sfs_log_listing(struct sfs_store *s, const struct sfs_group_record *g, uint64_t offset, uint8_t *bytes,
                    struct sfs_summary *newest);
/* One node (k = 1), verified, from any copy; bad copies are repaired. unlocked. */
int sfs_read_node(struct sfs_store *s, const struct sfs_need *need, uint8_t *page, uint64_t *birth);
void sfs_note_repair(struct sfs_store *s, uint64_t repaired, uint64_t lost);

/* --- ahead.c --- */
void sfs_ahead_init(struct sfs_store *s);
void sfs_ahead_deinit(struct sfs_store *s);
/* The bytes at this place (at most SFS_AHEAD_SMALL), not verified and perhaps of long ago, if they are kept or worth
 * reading together with what is around them. unlocked. */
bool sfs_ahead_get(struct sfs_store *s, struct sfs_place place, uint32_t len, uint8_t *out);
/* They did not verify: nothing is to be taken from there again. unlocked. */
void sfs_ahead_drop(struct sfs_store *s, struct sfs_place place, uint32_t len);

/* --- pack.c: compression, and buffers for I/O that are used again (fresh memory costs a fault per page) --- */
#define SFS_BUFFER_SMALL (160u << 10) /* a record and its alignment */
#define SFS_BUFFER_LARGE (520u << 10) /* a row */
void *sfs_buffer_get(struct sfs_store *s, size_t bytes);          /* 4096-aligned; NULL: no memory. unlocked */
void sfs_buffer_put(struct sfs_store *s, void *buffer, size_t bytes);
/* 0 when it does not become smaller than `room`. */
uint32_t sfs_compress(struct sfs_store *s, int level, const void *in, uint32_t len, void *out, uint32_t room);
bool sfs_decompress(struct sfs_store *s, const void *in, uint32_t len, void *out, uint32_t raw);
void sfs_pack_deinit(struct sfs_store *s);

/* --- batch.c --- */
/* A moved extent: its stored bytes, id, birth and checksums stay as they are. */
/* Bytes that the open row still takes; 0: none is open. */
uint32_t sfs_batch_room(const struct sfs_batch *b);
int sfs_batch_add_moved(struct sfs_batch *b, uint64_t id, const struct sfs_extent *e, const uint8_t *stored,
                        const struct sfs_entry *owner);
/* Lets a batch use the reserve (movers that free space). */
void sfs_batch_use_reserve(struct sfs_batch *b);
/* Without a tail, the last row is written with a gap instead of being dropped (compaction: fewer rows are full of less). */
void sfs_batch_pad(struct sfs_batch *b);

#endif
