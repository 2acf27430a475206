/* Simulated disks (disk/disk.h) that outlive the worlds that use them.
 *
 * A farm holds the disks of a test. Each world (sim_env.h) attaches the farm, opens handles on its
 * disks, and ends; what the disks then hold depends on how it ended. Memory is used for pages of
 * 4 KiB that were written only.
 *
 * The model:
 * - A request takes a virtual time of its own; requests that are in flight together complete in any
 *   order. A write's bytes are taken when it is submitted, a read's when it completes; a buffer that
 *   changes while it is written fails the run, and a buffer that is being read holds nonsense.
 * - A write is volatile until a flush that was submitted after its completion completes. A power cut
 *   keeps, loses or tears (in sectors) any of the volatile writes, those in flight included;
 *   of overlapping ones that survive the later wins. A kill of the process alone loses none that
 *   were complete. Discards are volatile, too, and leave old bytes, zeros or nonsense.
 * - Zoned disks: writes at the write pointer only, refused with INVAL (also beyond the capacity of
 *   the zone, and when too many zones are active; zones are opened and closed implicitly, so there is
 *   no other limit). The write pointer moves at submission, so writes of one zone keep their order.
 *   A full zone's write pointer is its end. Reads beyond it give 0xff or 0. A cut leaves each zone
 *   as it was after some moment since its last flush; resets can be undone by it.
 * - Misuse fails the run: misaligned requests, closing with requests in flight, resets of zones
 *   that are being written.
 * - Faults come at rates or by injection. Each is logged; pages whose contents are not what a write
 *   reported as done are known as damaged until they are written again. A disk with such pages,
 *   or that is away, or had a fault since the last epoch, is *affected*; faults that come at rates
 *   keep the number of affected disks within the budget.
 */
#ifndef TESTS_SIM_SIM_DISK_H
#define TESTS_SIM_SIM_DISK_H

#include "disk/disk.h"
#include "sim/sim_env.h"

struct sim_farm;
struct sim_disk;

enum { SIM_PAGE = 4096 };

struct sim_disk_options {
    const char *name;      /* NULL: "disk-N" */
    uint64_t size_bytes;   /* a multiple of 4096 and of zone_bytes */
    uint32_t sector_bytes; /* what tears: 512 or 4096; 0: 512, on zoned disks 4096 */
    bool discard;
    bool ignores_flush;       /* a liar: says OK and makes nothing durable */
    uint64_t zone_bytes;      /* 0: not zoned */
    uint64_t zone_capacity;   /* 0: zone_bytes */
    uint32_t max_active;      /* zones begun and not full; 0: any number */
    uint64_t mean_latency_ns; /* 0: the seed chooses, 20 µs … 8 ms */
};

/* In millionths: of requests of the kind that can have the fault; for rot and gone, of all. */
struct sim_rates {
    uint32_t read_error;        /* this once */
    uint32_t read_error_sticky; /* of one page, until it is written again */
    uint32_t write_error;       /* IO; what lies there then is old, new or torn */
    uint32_t flush_error;       /* IO; nothing became durable */
    uint32_t rot;               /* a bit of some stored page flips */
    uint32_t lost_write;        /* said to be done, in part or in whole not done */
    uint32_t misdirected;       /* done elsewhere on the same disk */
    uint32_t gone;              /* the disk disappears */
};

enum sim_fault {
    SIM_FAULT_READ_ERROR,
    SIM_FAULT_STICKY,
    SIM_FAULT_WRITE_ERROR,
    SIM_FAULT_FLUSH_ERROR,
    SIM_FAULT_ROT,
    SIM_FAULT_LOST,
    SIM_FAULT_MISDIRECTED,
    SIM_FAULT_GONE,
    SIM_FAULT_RETURNED,
    SIM_FAULT_NO_ROOM,
    SIM_FAULT_KINDS
};

/* What is wrong with a page: a set. */
enum sim_damage {
    SIM_UNREADABLE = 1,
    SIM_ROTTEN = 2,
    SIM_STALE = 4,     /* the write that should be here never came */
    SIM_INTRUDED = 8,  /* a write that should be elsewhere came */
    SIM_HALF_DONE = 16 /* a write that reported an error */
};

struct sim_fault_entry {
    uint64_t at_ns;
    unsigned life; /* number of the world, from 1; 0: between worlds */
    unsigned disk;
    enum sim_fault kind;
    uint64_t offset, len;
};

struct sim_disk_stats {
    uint64_t reads, writes, flushes, discards, resets;
    uint64_t largest_write; /* bytes */
    uint64_t bytes_read, bytes_written;
    uint64_t refused;               /* INVAL */
    uint64_t kept, lost, torn;      /* volatile writes at cuts */
    uint64_t faults[SIM_FAULT_KINDS];
};

/* The farm ------------------------------------------------------------------------------------ */

struct sim_farm *sim_farm_create(uint64_t seed);
void sim_farm_destroy(struct sim_farm *farm);
/* As it is now, with other luck from here on. Not while a world is attached. */
struct sim_farm *sim_farm_copy(const struct sim_farm *farm, uint64_t seed);
/* Other luck for what cuts leave; all else goes on as it would have. */
void sim_farm_reseed_cuts(struct sim_farm *farm, uint64_t seed);
struct sim_disk *sim_farm_add(struct sim_farm *farm, const struct sim_disk_options *options);
unsigned sim_farm_count(const struct sim_farm *farm);
struct sim_disk *sim_farm_disk(struct sim_farm *farm, unsigned index);

/* How a world ended for the disks. */
enum sim_farm_end {
    SIM_POWER_STAYS, /* nothing is in flight; caches stay as they are */
    SIM_KILLED,      /* requests in flight are done or never were sent */
    SIM_POWER_LOST,
};
void sim_farm_attach(struct sim_farm *farm, struct sim_env *sim);
void sim_farm_detach(struct sim_farm *farm, enum sim_farm_end end);
/* Requests not completed yet. */
size_t sim_farm_in_flight(const struct sim_farm *farm);
/* Everything volatile becomes durable: what a flush of every disk would do. */
void sim_farm_settle(struct sim_farm *farm);

void sim_farm_set_rates(struct sim_farm *farm, const struct sim_rates *rates);
/* Faults at rates come only while at most so many disks are affected. At first: all of them. */
void sim_farm_set_budget(struct sim_farm *farm, unsigned max_disks);
/* The disks are sparse files on one host, which is full: a write to pages that were never written, or were given back, is refused with
 * BACKING_FULL, and nothing of it done. Zoned disks do not notice. */
void sim_farm_set_host_full(struct sim_farm *farm, bool full);
/* Forgets past faults: disks that are present and without damage are no longer affected. */
void sim_farm_new_epoch(struct sim_farm *farm);
unsigned sim_farm_affected(const struct sim_farm *farm);
/* The log of faults, oldest first. */
size_t sim_farm_faults(const struct sim_farm *farm, const struct sim_fault_entry **entries);
void sim_farm_print_faults(const struct sim_farm *farm, FILE *to);

/* One disk ------------------------------------------------------------------------------------ */

/* A handle for this world. BUSY when there is one already; GONE while the disk is away. Handles from
 * before the disk went stay dead. Allocated from, and closed within, the world. */
int sim_disk_open(struct sim_disk *d, struct sfs_env *env, struct sfs_disk **disk);
/* The simulated disk behind a handle. */
struct sim_disk *sim_disk_of(struct sfs_disk *disk);

unsigned sim_disk_index(const struct sim_disk *d);
const char *sim_disk_name(const struct sim_disk *d);
uint64_t sim_disk_size(const struct sim_disk *d);
const struct sim_disk_stats *sim_disk_stats(const struct sim_disk *d);
bool sim_disk_is_away(const struct sim_disk *d);
bool sim_disk_is_affected(const struct sim_disk *d);
/* Union of what is wrong with the pages of a range (sim_damage); 0: all as it should be. */
unsigned sim_disk_damage(const struct sim_disk *d, uint64_t offset, uint64_t len);
uint64_t sim_disk_damaged_pages(const struct sim_disk *d);
/* Pages that hold something. */
uint64_t sim_disk_stored_pages(const struct sim_disk *d);

/* Another size, conventional disks only; what lies beyond a smaller one is lost. */
void sim_disk_resize(struct sim_disk *d, uint64_t size_bytes);
/* What a read would give now, and direct writing, for tests; whole pages. No faults, no time. */
void sim_disk_peek(const struct sim_disk *d, uint64_t offset, void *buf, uint64_t len);
void sim_disk_poke(struct sim_disk *d, uint64_t offset, const void *buf, uint64_t len);

/* Injection: happens whatever the budget, and is logged. */
void sim_disk_pull(struct sim_disk *d);
void sim_disk_return(struct sim_disk *d);
/* A new, empty disk stands in its place (and is present). */
void sim_disk_replace(struct sim_disk *d);
void sim_disk_make_unreadable(struct sim_disk *d, uint64_t offset, uint64_t len);
/* Flips a bit of every page of the range; of one stored page that the seed chooses (false: none). */
void sim_disk_rot(struct sim_disk *d, uint64_t offset, uint64_t len);
bool sim_disk_rot_somewhere(struct sim_disk *d);
/* The next reads, writes, flushes fail; the next writes are lost; the next goes elsewhere. */
void sim_disk_fail_reads(struct sim_disk *d, unsigned count);
void sim_disk_fail_writes(struct sim_disk *d, unsigned count);
void sim_disk_fail_flushes(struct sim_disk *d, unsigned count);
void sim_disk_lose_writes(struct sim_disk *d, unsigned count);
void sim_disk_misdirect_write(struct sim_disk *d, uint64_t to_offset);

#endif
