/* Worlds, one after another, on the same disks: start an environment, run client tasks, cut the
 * power (or kill the process, or finish), look at what the disks hold in the next one, again.
 *
 *   struct world w;
 *   world_init(&w, seed);
 *   sim_farm_add(w.farm, …);
 *   world_live(&w, &(struct world_life){.main = make_pool, .arg = model});
 *   world_live(&w, &(struct world_life){.main = clients, .arg = model, .cut_at_io = 77});
 *   world_live(&w, &(struct world_life){.main = check, .arg = model});
 *   world_deinit(&w);
 *
 * What a model must remember over a cut (what was acknowledged) lives outside of the world's
 * environment: in `arg`, from the C library. Everything that runs in a world should take its memory
 * from w->env, since tasks that are cut never free it.
 *
 * A life that ends otherwise than finished or cut prints a report, the seed, and the faults so far.
 * So does an abort (a failed assert) within one.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "sim/prng.h"
#include "sim/sim_disk.h"
#include "sim/sim_env.h"

struct world {
    uint64_t seed;
    struct prng prng; /* for the test's own choices */
    struct sim_farm *farm;
    unsigned life;    /* 0 before the first */
    uint64_t now_ns;  /* goes on from life to life */
    uint64_t digest;  /* of all lives so far */
    /* Of the present life. */
    struct sim_env *sim;
    struct sfs_env *env;
    /* Of the last one. */
    uint64_t ios, steps, switches;
};

struct world_life {
    void (*main)(struct world *w, void *arg); /* the first task */
    void *arg;
    uint64_t cut_at_io, cut_at_step, cut_after_ns; /* 0: none; see sim_env.h */
    bool kill;  /* a cut is the end of the process, the machine runs on */
    bool steady; /* see sim_env.h */
    bool quiet; /* trouble is expected: no reports */
    uint64_t max_steps, max_ns; /* 0: sim_env.h's */
    unsigned verbose;
};

void world_init(struct world *w, uint64_t seed);
void world_deinit(struct world *w);

/* One life. SIM_FAILED also when it finished with memory not freed or requests in flight. */
enum sim_end world_live(struct world *w, const struct world_life *life);

/* What is called after the report when a world aborts; it may end the process in another way. */
void world_on_abort(void (*fn)(void));

/* Within a life: opens a handle on a disk of the farm. A zoned one gets a head that can be written anywhere (zoned_head.h); where
 * it has none yet, an empty one is made. BUSY, GONE as sim_disk_open. */
int world_open_disk(struct world *w, unsigned index, struct sfs_disk **handle);
/* The simulated disk behind such a handle. */
struct sim_disk *world_disk_of(struct sfs_disk *handle);
/* Opens a handle on every disk of the farm that is present, NULL for the others;
 * handles has sim_farm_count() places. The run fails when that fails. */
void world_open_disks(struct world *w, struct sfs_disk **handles);
void world_close_disks(struct world *w, struct sfs_disk **handles);

/* Cuts `work` at disk request 1, 2, 3 … until it finishes; after each cut a new world runs `check`.
 * Both fail by sim_fail(w->sim, …). */
struct world_sweep {
    uint64_t seed;
    const struct sim_farm *start; /* each try begins with a copy */
    void (*begin)(void *arg);     /* before each try: forget the last one; may be NULL */
    void (*work)(struct world *w, void *arg);
    void (*check)(struct world *w, void *arg);
    void *arg;
    unsigned outcomes; /* tries for each place of the cut, with other luck; 0: 1 */
    uint64_t first;    /* request to begin with; 0: 1 */
    uint64_t step;     /* 0: 1 */
    bool kill, quiet;
};
/* False when a check or the work failed. *cuts (may be NULL): tries that were cut. */
bool world_sweep(const struct world_sweep *sweep, uint64_t *cuts);

#endif
