/* What the files of the simulated disks share: sim_farm.c (farm, budget, faults, injection),
 * sim_medium.c (what a disk holds: pages, cache, zones, power cuts), sim_disk.c (requests).
 *
 * A page is immutable once it is in a slot, shared by counting. A slot has a durable and, while
 * volatile writes of it exist, a cached version. A record is one write (or discard, or zone reset):
 * it belongs to its request until it is applied, then stands in the disk's cache until it is flushed.
 */
#ifndef TESTS_SIM_SIM_DISK_INTERNAL_H
#define TESTS_SIM_SIM_DISK_INTERNAL_H

#include "sim/sim_disk.h"

enum { SLOTS = 1024 };
#define NOWHERE UINT64_MAX

struct page {
    uint32_t refs;
    unsigned damage;
    uint8_t bytes[SIM_PAGE];
};

struct slot {
    struct page *durable; /* NULL: zeros */
    struct page *cached;  /* NULL: no volatile version */
    uint32_t pending;     /* records in the cache that cover it */
};

struct record {
    enum sfs_io_op op; /* WRITE, DISCARD, ZONE_RESET */
    uint64_t offset;
    size_t count;        /* pages; of a reset 0 */
    uint64_t done_seq;   /* order of completion on this disk, from 1 */
    struct page *pages[]; /* each counted */
};

struct zone {
    uint64_t pointer, durable_pointer; /* bytes on the disk; at the end of its capacity when full */
    uint64_t busy_until;               /* completion of the last write sent */
    uint32_t in_flight;
};

struct request {
    struct request *prev, *next; /* of the disk, in order of submission */
    struct sim_event event;
    struct sim_work work;
    struct sim_disk *disk;
    uint64_t generation;
    struct sfs_io *io;
    struct record *record; /* until it is applied */
    uint64_t hash;         /* of a write's bytes */
    uint64_t flush_upto;
    int result;
    bool applied;
};

struct sim_disk {
    struct sim_farm *farm;
    unsigned index;
    char name[32];
    struct sim_disk_options options;
    struct slot **leaves;
    size_t leaf_count;
    struct record **cache; /* completed, not flushed, in that order */
    size_t cache_count, cache_room;
    struct request *first, *last;
    struct zone *zones;
    size_t zone_count;
    uint64_t done_seq;
    uint64_t generation; /* +1 each time it goes */
    struct sim_env *opened_by;
    uint64_t opened_generation;
    bool away;
    bool touched; /* a fault since the last epoch */
    uint64_t damaged_pages, stored_pages;
    uint8_t beyond; /* what reads beyond a write pointer give */
    uint64_t mean_latency_ns;
    struct prng prng; /* latencies, faults */
    struct prng cut;  /* what cuts leave */
    unsigned fail_reads, fail_writes, fail_flushes, lose_writes;
    uint64_t misdirect_to;
    struct sim_disk_stats stats;
};

struct sim_farm {
    uint64_t seed;
    struct prng cut; /* styles of cuts */
    struct sim_disk **disks;
    unsigned count;
    struct sim_env *sim; /* NULL: no world */
    unsigned life;
    struct sim_rates rates;
    unsigned budget;
    bool host_full;
    struct sim_fault_entry *log;
    size_t log_count, log_room;
};

/* sim_medium.c */
struct page *page_new(const void *bytes, unsigned damage); /* bytes NULL: zeros */
struct page *page_ref(struct page *p);
void page_put(struct page *p);
const struct slot *slot_find(const struct sim_disk *d, uint64_t page); /* NULL: zeros */
/* The version that a read sees; NULL: zeros. */
struct page *page_seen(const struct sim_disk *d, uint64_t page);
struct slot *slot_make(struct sim_disk *d, uint64_t page);
void slot_set(struct sim_disk *d, struct slot *s, struct page **which, struct page *p);
/* Both versions become `p` (a reference is taken). */
void page_replace(struct sim_disk *d, uint64_t page, struct page *p);
struct record *record_new(enum sfs_io_op op, uint64_t offset, size_t count);
void record_free(struct record *r);
/* Into the cache; takes the record over. */
void medium_apply(struct sim_disk *d, struct record *r);
/* Records completed up to `upto` become durable. */
void medium_flush(struct sim_disk *d, uint64_t upto);
/* How a cut treats volatile writes. */
enum cut_style {
    CUT_LOSE_ALL,
    CUT_KEEP_ALL,
    CUT_COIN,    /* each kept or lost */
    CUT_TEAR,    /* each kept, lost or torn */
    CUT_SECTORS, /* a coin for every sector */
    CUT_PREFIX,  /* the first are kept, one is torn, the others are lost */
    CUT_LOSE_ONE,
    CUT_KEEP_ONE,
    CUT_STYLES
};
void medium_cut(struct sim_disk *d, enum cut_style style);
void medium_clear(struct sim_disk *d); /* nothing stored any more */
void medium_resize(struct sim_disk *d, uint64_t size_bytes);
bool medium_find_stored(struct sim_disk *d, uint64_t *page); /* one at random */
struct zone *zone_of(struct sim_disk *d, uint64_t offset);
uint64_t zone_start(const struct sim_disk *d, const struct zone *z);
uint64_t zone_full(const struct sim_disk *d, const struct zone *z); /* the pointer when full */

/* sim_farm.c */
void farm_log(struct sim_disk *d, enum sim_fault kind, uint64_t offset, uint64_t len);
/* Draws: does a fault of this rate happen now, within the budget? */
bool farm_draw(struct sim_disk *d, uint32_t millionths);

/* sim_disk.c */
extern const struct sfs_disk_ops sim_disk_ops;
/* Requests in flight are dropped; their records go to `records` when `keep` says so for each. */
void disk_drop_requests(struct sim_disk *d);

#endif
