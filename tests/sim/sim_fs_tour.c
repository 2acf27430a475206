/* The grand tour: one disk becomes many and one again, through every kind of change, while clients use the files. See sim_fs.h.
 *
 * Some steps are given while earlier ones are still on their way, which the seed draws. No disk fails, so nothing may be refused
 * for good, and no request may wait for long.
 */
#include "sim/sim_fs.h"

#include <stdio.h>

#include "store/care_internal.h"

enum { PATIENCE_S = 1200, LONGEST_MS = 2000 };

static const unsigned mib[] = {96, 128, 64, 160, 256};
enum { TOUR_DISKS = sizeof mib / sizeof *mib };

void tour_disks(struct model *m)
{
    for (unsigned i = 0; i < TOUR_DISKS; i++) {
        struct sim_disk_options o = {.size_bytes = (uint64_t)mib[i] << 20, .discard = prng_chance(&m->w->prng, 1, 2),
                                     .mean_latency_ns = 100000 + prng_below(&m->w->prng, 400000)};
        sim_farm_add(m->w->farm, &o);
    }
    m->zoned = ZONED_NONE;
    m->disks = 1;
    m->failover = 0;
    m->file_max = 512u << 10;
}

void tour_waited(struct model *m, uint64_t began_ns, const char *what)
{
    uint64_t took = sim_env_now(m->w->sim) - began_ns;
    m->longest_ns = took > m->longest_ns ? took : m->longest_ns;
    if (m->tour && took > LONGEST_MS * 1000000ull)
        wrong(m, "a request (%s) took %llu ms", what, N(took / 1000000));
}

/* Nothing of the change is left to do. */
static void rest(struct model *m)
{
    struct scalefs_task_status tasks[16];
    size_t count = 1;
    for (unsigned tries = 0; tries < PATIENCE_S * 100; tries++) {
        sfs_care_tasks(m->store, tasks, 16, &count);
        if (!count)
            return;
        sfs_task_sleep(m->w->env, 10000000);
    }
    chaos_print_groups(m);
    wrong(m, "the tour does not go on: task %u, %llu of %llu, %s", tasks[0].id, N(tasks[0].bytes_done), N(tasks[0].bytes_total),
          tasks[0].reason);
}

struct step {
    enum { ADD, FAILOVER, OPTIMIZE, REMOVE, REPLACE } what;
    unsigned a, b; /* disks of the farm (ADD: from, up to), or what is wished */
};
static const struct step steps[] = {{ADD, 1, 4},      {FAILOVER, 1, 0},   {FAILOVER, 2, 0}, {FAILOVER, 1, 0}, {OPTIMIZE, 100, 0},
                                    {OPTIMIZE, 0, 0}, {REMOVE, 2, 0},     {REMOVE, 3, 0},   {REPLACE, 0, 4},  {FAILOVER, 0, 0},
                                    {REMOVE, 1, 0}};

static int take(struct model *m, const struct step *s, struct scalefs_error_info *info)
{
    struct standing st;
    struct sfs_disk *disks[TOUR_DISKS];
    size_t count = 0;
    chaos_look(m, &st);
    for (unsigned i = s->what == ADD ? s->a : s->b; (s->what == ADD && i < s->b) || (s->what == REPLACE && !count); i++)
        MUST(m, world_open_disk(m->w, i, &disks[count++]));
    int err = s->what == ADD        ? sfs_care_add(m->store, disks, NULL, SFS_ROLE_DATA, count, info)
              : s->what == FAILOVER ? sfs_care_configure(m->store, (int)s->a, -1, info)
              : s->what == OPTIMIZE ? sfs_care_configure(m->store, -1, (int)s->a, info)
              : s->what == REMOVE   ? sfs_care_remove(m->store, m->member[s->a], -1, info)
                                    : sfs_care_replace(m->store, m->member[s->a], disks[0], info);
    if (err && s->what == REPLACE)
        disks[0]->ops->close(disks[0]);
    return err;
}

void tour_run(void *arg)
{
    struct model *m = arg;
    struct scalefs_error_info info = {0};
    prng_stream(&m->chaos, m->w->seed, 5000);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        sfs_task_sleep(m->w->env, 1 + prng_below(&m->chaos, i ? 1500000000 : 4000000000));
        if (prng_chance(&m->chaos, 1, 2))
            rest(m);
        int err = take(m, &steps[i], &info);
        trace(m, "tour: step %zu: %s %s", i, scalefs_error_name(err), err ? info.text : "");
        if (err) { /* not before what is on its way has arrived */
            rest(m);
            err = take(m, &steps[i], &info);
        }
        if (err)
            wrong(m, "tour: step %zu: %s: %s", i, scalefs_error_text(err), info.text);
        m->counts.configured++;
    }
    rest(m);
    sfs_store_lock(m->store);
    unsigned members = sfs_members_online(m->store->pool);
    sfs_store_unlock(m->store);
    if (members != 1)
        wrong(m, "the tour ends with %u disks", members);
    m->touring = false;
}
