/* Running worlds one after another. See world.h. */
#include "sim/world.h"
#include "disk/zoned_head.h"
#include "sim/sim_internal.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* All that outlives calls: whom to blame when a world aborts, and whom to tell. */
static struct world *present;
static void (*aborted)(void);

void world_on_abort(void (*fn)(void))
{
    aborted = fn;
}

static void print_whereabouts(const struct world *w, const char *what)
{
    fprintf(stderr, "# seed %" PRIu64 ", life %u: %s\n", w->seed, w->life, what);
    sim_farm_print_faults(w->farm, stderr);
    fflush(stderr);
}

/* An abort is called by the code under test, so that everything is where it should be. */
static void on_abort(int signal_number)
{
    struct world *w = present;
    present = NULL;
    signal(signal_number, SIG_DFL);
    if (!w)
        return;
    if (w->sim) {
        sim_clear_report(w->sim);
        w->sim->options.quiet = false;
        sim_print_report(w->sim, SIM_FAILED);
    }
    print_whereabouts(w, "aborted");
    if (aborted)
        aborted();
}

void world_init(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->seed = seed;
    prng_stream(&w->prng, seed, 300);
    w->farm = sim_farm_create(seed);
}

void world_deinit(struct world *w)
{
    sim_farm_destroy(w->farm);
    w->farm = NULL;
}

struct first_task {
    struct world *world;
    const struct world_life *life;
};

static void run_main(void *arg)
{
    struct first_task *t = arg;
    t->life->main(t->world, t->life->arg);
}

/* What is left behind by a life that finished. */
static enum sim_end inspect(struct world *w, bool quiet)
{
    size_t oldest_bytes, in_flight = sim_farm_in_flight(w->farm);
    uint64_t oldest_serial;
    size_t blocks = sim_env_blocks(w->sim, &oldest_bytes, &oldest_serial);
    if (blocks && !quiet)
        fprintf(stderr,
                "# finished with %zu pieces of memory not freed; the oldest is number %" PRIu64
                " and has %zu bytes\n",
                blocks, oldest_serial, oldest_bytes);
    if (in_flight && !quiet)
        fprintf(stderr, "# finished with %zu disk requests in flight\n", in_flight);
    return blocks || in_flight ? SIM_FAILED : SIM_FINISHED;
}

enum sim_end world_live(struct world *w, const struct world_life *life)
{
    w->life++;
    struct sim_options options = {
        .seed = prng_mix(w->seed, w->life),
        .start_ns = w->now_ns,
        .max_steps = life->max_steps,
        .max_ns = life->max_ns,
        .cut_at_io = life->cut_at_io,
        .cut_at_step = life->cut_at_step,
        .cut_after_ns = life->cut_after_ns,
        .steady = life->steady,
        .verbose = life->verbose,
        .quiet = life->quiet,
    };
    struct first_task first = {w, life};
    w->sim = sim_env_create(&options);
    w->env = sim_env_base(w->sim);
    sim_farm_attach(w->farm, w->sim);
    present = w;
    void (*was)(int) = signal(SIGABRT, on_abort);
    enum sim_end end = sim_env_run(w->sim, run_main, &first);
    signal(SIGABRT, was);
    present = NULL;
    if (end == SIM_FINISHED)
        end = inspect(w, life->quiet);
    if (end != SIM_FINISHED && end != SIM_CUT && !life->quiet)
        print_whereabouts(w, sim_end_name(end));
    sim_farm_detach(w->farm, end == SIM_FINISHED ? SIM_POWER_STAYS
                             : life->kill        ? SIM_KILLED
                                                 : SIM_POWER_LOST);
    w->now_ns = sim_env_now(w->sim);
    w->digest = prng_mix(w->digest, sim_env_digest(w->sim));
    w->ios = sim_env_ios(w->sim);
    w->steps = sim_env_steps(w->sim);
    w->switches = sim_env_switches(w->sim);
    sim_env_destroy(w->sim);
    w->sim = NULL;
    w->env = NULL;
    return end;
}

int world_open_disk(struct world *w, unsigned index, struct sfs_disk **handle)
{
    struct sfs_disk *raw;
    *handle = NULL;
    int err = sim_disk_open(sim_farm_disk(w->farm, index), w->env, &raw);
    if (err)
        return err;
    if (!raw->info.zoned) {
        *handle = raw;
        return SCALEFS_OK;
    }
    err = sfs_zoned_head_open(w->env, raw, handle);
    if (err == SCALEFS_E_NOT_A_POOL || err == SCALEFS_E_CORRUPT) { /* empty, or its making was cut */
        err = sfs_zoned_head_format(w->env, raw);
        if (!err)
            err = sfs_zoned_head_open(w->env, raw, handle);
    }
    if (err)
        raw->ops->close(raw);
    return err;
}

struct sim_disk *world_disk_of(struct sfs_disk *handle)
{
    return sim_disk_of(handle->info.head_bytes ? sfs_zoned_head_inner(handle) : handle);
}

void world_open_disks(struct world *w, struct sfs_disk **handles)
{
    for (unsigned i = 0; i < sim_farm_count(w->farm); i++) {
        struct sim_disk *d = sim_farm_disk(w->farm, i);
        handles[i] = NULL;
        if (!sim_disk_is_away(d) && world_open_disk(w, i, &handles[i]) != SCALEFS_OK && !sim_disk_is_away(d))
            sim_fail(w->sim, "%s cannot be opened", sim_disk_name(d));
    }
}

void world_close_disks(struct world *w, struct sfs_disk **handles)
{
    for (unsigned i = 0; i < sim_farm_count(w->farm); i++) {
        if (handles[i])
            handles[i]->ops->close(handles[i]);
        handles[i] = NULL;
    }
}

bool world_sweep(const struct world_sweep *sweep, uint64_t *cuts)
{
    uint64_t tried = 0, step = sweep->step ? sweep->step : 1;
    unsigned outcomes = sweep->outcomes ? sweep->outcomes : 1;
    bool good = true, finished = false;
    for (uint64_t n = sweep->first ? sweep->first : 1; good && !finished; n += step) {
        for (unsigned k = 0; good && !finished && k < outcomes; k++) {
            /* The work goes the same way each time; what the cut makes of the disks does not. */
            struct world w;
            world_init(&w, sweep->seed);
            sim_farm_destroy(w.farm);
            w.farm = sim_farm_copy(sweep->start, sweep->seed);
            sim_farm_reseed_cuts(w.farm, prng_mix(n, k));
            if (sweep->begin)
                sweep->begin(sweep->arg);
            enum sim_end end = world_live(
                &w, &(struct world_life){.main = sweep->work, .arg = sweep->arg, .cut_at_io = n,
                                         .kill = sweep->kill, .quiet = sweep->quiet});
            finished = end == SIM_FINISHED;
            tried += end == SIM_CUT;
            if (end == SIM_FINISHED || end == SIM_CUT)
                end = world_live(&w, &(struct world_life){.main = sweep->check, .arg = sweep->arg,
                                                          .quiet = sweep->quiet});
            good = end == SIM_FINISHED;
            if (!good && !sweep->quiet)
                fprintf(stderr, "# the cut was at disk request %" PRIu64 ", outcome %u\n", n, k);
            world_deinit(&w);
        }
    }
    if (cuts)
        *cuts = tried;
    return good;
}
