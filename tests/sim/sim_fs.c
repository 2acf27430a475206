/* The file system under power cuts, kills and faults: seeds, lives, arguments. What is checked: docs/TESTING.md; how the
 * parts divide the work: sim_fs.h.
 *
 * Usage: sim_fs [--mode cut|fault|tiny|full|change|tour|all] [--seeds N] [--first S] [--seed S] [--until-failure] [--twice] [-v]
 *               [--zoned draw|none|mixed|all]
 * Without --seeds: SCALEFS_SIM_SEEDS of the environment, else a few. A seed whose run did too little (counts below) counts
 * as failed. --until-failure is for builds that are broken on purpose: the first seed that fails is the success.
 */
#include "sim/sim_fs.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

/* `tiny`: disks so small that the pool is often full; `full`: these with faults, on zoned disks only
 * when that is asked for: see docs/TESTING.md. */
static const struct variant {
    const char *name;
    enum mode mode;
    bool tiny, changes, tour;
} variants[] = {{"cut", MODE_CUT, false, false, false}, {"fault", MODE_FAULT, false, false, false}, {"tiny", MODE_CUT, true, false, false},
                {"change", MODE_FAULT, false, true, false}, {"full", MODE_FAULT, true, false, false}, {"tour", MODE_FAULT, false, true, true}};
enum { VARIANTS = sizeof variants / sizeof *variants };

enum { LIVES_MIN = 4, LIVES_MAX = 24, OPERATIONS_MIN = 200, CHECKPOINTS_MIN = 3, REUSED_MIN = 1, ZONE = 4 << 20 };

void wrong(struct model *m, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sim_fail(m->w->sim, "%s", text);
}

void trace(struct model *m, const char *format, ...)
{
    if (!m->verbose)
        return;
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%12.6f ", (double)sim_env_now(m->w->sim) / 1e9);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

/* --- opening and closing ------------------------------------------------------------------------------------------- */

static int open_disks(struct model *m, bool read_only, bool degraded, struct sfs_pool **pool,
                      struct scalefs_error_info *info)
{
    struct sfs_disk *handles[DISKS], *present[DISKS];
    size_t count = 0;
    world_open_disks(m->w, handles);
    for (unsigned i = 0; i < sim_farm_count(m->w->farm); i++)
        if (handles[i])
            present[count++] = handles[i];
    struct sfs_pool_open how = {.read_only = read_only, .degraded = degraded, .probe = sfs_store_probe};
    return sfs_pool_open(m->w->env, present, count, &how, pool, info);
}

void pool_open(struct model *m, bool to_look)
{
    bool read_only = to_look && m->mode == MODE_CUT && !m->was_killed;
    struct sfs_pool *pool;
    struct scalefs_error_info info = {0};
    int err = open_disks(m, read_only, false, &pool, &info);
    if (err == SCALEFS_E_MISSING && chaos_absent(m))
        err = open_disks(m, read_only, true, &pool, &info);
    if (err)
        wrong(m, "the pool does not open: %s: %s", scalefs_error_text(err), info.text);
    struct sfs_store_options o = m->store_options;
    o.no_background = to_look;
    err = sfs_store_open(m->w->env, pool, &o, &m->store, &info);
    if (err)
        wrong(m, "the store does not open: %s: %s", scalefs_error_text(err), info.text);
    sfs_store_lock(m->store);
    m->last_committed = m->store->pool->committed;
    m->last_reused = m->store->pool->rows_reused;
    sfs_store_unlock(m->store);
    if (m->mode == MODE_FAULT)
        chaos_opened(m);
}

void fs_open(struct model *m, bool read_only)
{
    if (!read_only && !sfs_tree_exists(m->store, SFS_TREE_VOLUME))
        MUST(m, sfs_tree_volume_make(m->store, SFS_TREE_VOLUME, ""));
    struct sfs_fs_options o = m->fs_options;
    o.read_only = read_only;
    MUST(m, sfs_fs_open(m->store, SFS_TREE_VOLUME, &o, &m->fs));
}

void all_close(struct model *m)
{
    if (m->fs)
        MUST(m, sfs_fs_close(m->fs));
    m->fs = NULL;
    note_progress(m);
    MUST(m, sfs_store_close(m->store, false));
    m->store = NULL;
}

/* --- a life ------------------------------------------------------------------------------------------------------------ */

static void format(struct world *w, void *arg)
{
    struct model *m = arg;
    struct sfs_disk *disks[DISKS];
    world_open_disks(w, disks);
    struct sfs_pool_format how = {.name = "tank", .failover = (uint8_t)m->failover,
                                  .optimize = (uint8_t)(prng_below(&w->prng, 3) * 50)};
    struct sfs_uuid uuid;
    struct scalefs_error_info info = {0};
    uint8_t roles[DISKS] = {0};
    struct prng q;
    prng_stream(&q, m->w->seed, 802);
    for (unsigned i = m->failover + 1; i < m->disks && m->roles; i++)
        roles[i] = prng_chance(&q, 1, 2) ? SFS_ROLE_METADATA : SFS_ROLE_DATA;
    how.roles = roles;
    MUST(m, sfs_pool_format(w->env, disks, m->disks, &how, &uuid, &info));
    world_close_disks(w, disks);
}

static void root_name(unsigned client, char name[4])
{
    snprintf(name, 4, "c%u", client % 100);
}

/* The clients' directories and the shared files; then a sync. */
static void setup(struct model *m)
{
    for (unsigned i = 0; i < m->clients; i++) {
        struct client *c = &m->client[i];
        struct scalefs_attr attr;
        char name[4];
        root_name(i, name);
        int err = sfs_fs_lookup(m->fs, SCALEFS_ROOT, name, 2, &attr);
        if (err == SCALEFS_E_NOENT)
            err = sfs_fs_mknod(m->fs, SCALEFS_ROOT, name, 2, SCALEFS_S_IFDIR | 0755, 0, 0, (struct scalefs_owner){0, 0},
                               &attr);
        MUST(m, err);
        c->now.node[0].ino = c->base.node[0].ino = attr.ino;
    }
    shared_setup(m);
    ballast_setup(m);
    MUST(m, sfs_fs_sync(m->fs));
    m->ready = true;
}

static void work(struct world *w, void *arg)
{
    struct model *m = arg;
    struct client_task tasks[CLIENTS];
    struct sfs_task *task[CLIENTS], *chaos = NULL;
    m->w = w;
    m->calm = false;
    pool_open(m, false);
    fs_open(m, false);
    if (!m->ready)
        setup(m);
    else
        shared_setup(m);
    m->running = m->clients;
    m->touring = m->tour;
    if (m->mode == MODE_FAULT)
        MUST(m, sfs_task_start(w->env, "chaos", m->tour ? tour_run : chaos_run, m, &chaos));
    for (unsigned i = 0; i < m->clients; i++) {
        tasks[i] = (struct client_task){m, &m->client[i]};
        prng_stream(&m->client[i].prng, w->seed, 1000 + w->life * 10 + i);
        MUST(m, sfs_task_start(w->env, "client", client_run, &tasks[i], &task[i]));
    }
    for (unsigned i = 0; i < m->clients; i++)
        sfs_task_join(w->env, task[i]);
    if (chaos)
        sfs_task_join(w->env, chaos);
    /* What is held is let go. */
    for (unsigned i = 0; i < m->clients; i++) {
        struct client *c = &m->client[i];
        for (int n = 0; n < NODES; n++) {
            struct op op = {.kind = OP_RELEASE, .node = n, .dir = -1, .name = -1};
            if (!c->now.node[n].mode || !c->now.node[n].held || op_begin(m, c, &op))
                continue;
            sfs_fs_release_hold(m->fs, c->now.node[n].ino, 1);
            op_end(m, c, SCALEFS_OK);
        }
    }
    if (m->mode == MODE_FAULT)
        chaos_calm(m);
    struct promise p;
    promise_take(m, &p);
    all_close(m);
    promise_names(m, &p);
    promise_data(m, &p);
}

/* --- a seed --------------------------------------------------------------------------------------------------------------- */

void zoned_disk(struct model *m, struct sim_disk_options *o, bool spare)
{
    uint64_t zones = spare ? 84 : (m->tiny ? 28 : 48) + (m->disks == 1 ? 12 : 0) + prng_below(&m->zones, 9) * (m->tiny ? 1 : 4);
    if (m->zoned == ZONED_NONE)
        return;
    o->size_bytes = zones * ZONE; /* with columns of whole zones others need more room, too */
    if (m->zoned == ZONED_MIXED && prng_chance(&m->zones, 1, 2))
        return;
    o->zone_bytes = ZONE;
    o->zone_capacity = m->zone_capacity;
    o->sector_bytes = prng_chance(&m->zones, 1, 2) ? 512 : 4096;
    o->discard = false;
}

static void choose_zones(struct model *m, uint64_t seed, enum zoned zoned)
{
    prng_stream(&m->zones, seed, 700);
    uint64_t draw = prng_below(&m->zones, 6);
    m->zoned = zoned != ZONED_DRAW ? zoned : draw == 0 ? ZONED_ALL : draw == 1 ? ZONED_MIXED : ZONED_NONE;
    m->zone_capacity = prng_chance(&m->zones, 1, 2) ? ZONE : ZONE - (1 << 20) - 12288;
}

static struct model *model_new(uint64_t seed, const struct variant *v, enum zoned zoned, bool verbose, struct world *w)
{
    struct model *m = calloc(1, sizeof *m);
    enum mode mode = v->mode;
    struct prng *p = &w->prng;
    if (!m)
        abort();
    m->w = w;
    m->mode = mode;
    m->verbose = verbose;
    m->changes = v->changes;
    m->tiny = v->tiny || (v->changes && !v->tour && prng_chance(p, 1, 6));
    unsigned most = v->changes ? 4 : v->tiny ? 3 : mode == MODE_FAULT ? 5 : 6;
    m->disks = (mode == MODE_FAULT && !v->changes ? 2 : 1) + (unsigned)prng_below(p, most);
    choose_zones(m, seed, m->tiny && mode == MODE_FAULT && zoned == ZONED_DRAW ? ZONED_NONE : zoned);
    m->failover = (unsigned)prng_below(p, m->disks < 4 ? m->disks : 4);
    if (mode == MODE_FAULT && !v->changes && !m->failover)
        m->failover = 1;
    struct prng q;
    prng_stream(&q, seed, 801);
    m->roles = v->changes && !v->tour && prng_chance(&q, 1, 2);
    m->clients = 2 + (unsigned)prng_below(p, CLIENTS - 1);
    m->store_options.cache_bytes = 1u << (20 + prng_below(p, 2));
    m->store_options.commit_seconds = 1 + (unsigned)prng_below(p, 3);
    m->fs_options.dirty_bytes = 128u << (10 + prng_below(p, 5));
    m->fs_options.inode_cache = 4u << prng_below(p, 5);
    m->file_max = (m->tiny ? 512u : 32u) << (10 + prng_below(p, m->tiny ? 3 : 6));
    m->ops_each = 100 + (unsigned)prng_below(p, 500);
    m->sync_every = 8u << prng_below(p, 4);
    m->next_stamp = 1;
    if (prng_chance(p, 1, 2)) {
        m->ballast_count = CLIENTS * 3 * (20 + (uint32_t)prng_below(p, 180));
        m->ballast = calloc(m->ballast_count, sizeof *m->ballast);
        if (!m->ballast)
            abort();
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        m->client[i].number = i;
        tree_init(&m->client[i].now);
        tree_init(&m->client[i].base);
    }
    if (v->tour) {
        m->tour = true;
        tour_disks(m);
        return m;
    }
    for (unsigned i = 0; i < m->disks; i++) {
        uint64_t mib = m->tiny ? 40 + prng_below(p, 5) * 4 : 64 + prng_below(p, 5) * 16;
        struct sim_disk_options o = {.size_bytes = mib << 20, .discard = prng_chance(p, 1, 2),
                                     .mean_latency_ns = 100000 + prng_below(p, 400000)};
        zoned_disk(m, &o, false);
        sim_farm_add(w->farm, &o);
    }
    return m;
}

static void model_free(struct model *m)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        for (uint32_t f = 0; f < m->client[i].file_count; f++)
            file_free(m->client[i].files[f]);
        free(m->client[i].files);
        free(m->client[i].ops);
    }
    shared_free(&m->shared);
    free(m->ballast);
    free(m);
}

static bool enough(const struct counts *c)
{
    return c->operations >= OPERATIONS_MIN && c->checkpoints >= CHECKPOINTS_MIN && c->reused >= REUSED_MIN;
}

static bool live(struct model *m, struct world_life life)
{
    life.arg = m;
    life.verbose = m->verbose;
    enum sim_end end = world_live(m->w, &life);
    m->store = NULL;
    m->fs = NULL;
    m->was_cut = end == SIM_CUT;
    m->was_killed = m->was_cut && life.kill;
    m->doomed = false;
    if (m->was_cut) {
        m->counts.kills += life.kill;
        m->counts.cuts += !life.kill;
        verb_count(m);
    }
    return end == SIM_FINISHED || end == SIM_CUT;
}

static bool run_lives(struct model *m)
{
    struct prng *p = &m->w->prng;
    uint64_t usual = 500; /* requests of a life that is not cut */
    if (!live(m, (struct world_life){.main = format}))
        return false;
    if (m->mode == MODE_FAULT)
        chaos_begin(m);
    bool last = false;
    for (unsigned n = 0; !last; n++) {
        struct world_life life = {.main = work, .steady = m->tour, .kill = prng_chance(p, 1, m->changes ? 2 : 4)};
        /* The last one ends by itself, so that a pool with faults is seen to recover. */
        last = m->tour || (n + 1 >= LIVES_MIN && (enough(&m->counts) || n + 1 >= LIVES_MAX));
        if (prng_chance(p, m->mode == MODE_CUT ? 5 : 3, 6) && !last)
            life.cut_at_io = prng_chance(p, 1, 8) ? 1 + prng_below(p, 400) : 1 + prng_below(p, usual);
        if (m->changes && !last && prng_chance(p, 3, 4)) {
            life.cut_at_io = 0;
            verb_doom(m);
        }
        m->under = 0;
        m->calling = false;
        m->counts.lives++;
        if (m->mode == MODE_FAULT)
            chaos_between(m);
        if (!live(m, life))
            return false;
        storm_over(m);
        last = last && !m->was_cut; /* a pool that had to be opened anew is seen to recover, too */
        if (!m->was_cut || m->w->ios > usual)
            usual = m->w->ios;
        if (!live(m, (struct world_life){.main = verify}))
            return false;
        if (m->mode == MODE_CUT && prng_chance(p, 1, 2) && !before_check(m))
            return false;
    }
    return true;
}

static void add(struct counts *to, const struct counts *c)
{
    uint64_t *t = (uint64_t *)to;
    const uint64_t *from = (const uint64_t *)c;
    for (size_t i = 0; i < sizeof *to / sizeof *t; i++)
        t[i] += from[i];
}

struct total {
    struct counts counts;
    uint64_t seeds, failed, poor;
    bool until_failure;
};

static const char *zoned_name(enum zoned zoned)
{
    return zoned == ZONED_ALL ? " zoned" : zoned == ZONED_MIXED ? " partly zoned" : "";
}

static bool run_seed(uint64_t seed, const struct variant *v, enum zoned zoned, bool verbose, struct total *total, uint64_t *digest)
{
    struct world w;
    world_init(&w, prng_mix(seed, (uint64_t)(v - variants) + 1));
    struct model *m = model_new(seed, v, zoned, verbose, &w);
    bool good = run_lives(m);
    for (unsigned i = 0; i < sim_farm_count(w.farm) && good; i++) {
        const struct sim_disk_stats *st = sim_disk_stats(sim_farm_disk(w.farm, i));
        if (st->refused && !st->faults[SIM_FAULT_WRITE_ERROR]) { /* what was sent behind a write that fails is refused */
            printf("# disk %u had to refuse writes that were not at the write pointer\n", i);
            good = false;
        }
    }
    bool counts = enough(&m->counts) || (m->tour && m->counts.operations >= OPERATIONS_MIN); /* all its steps were taken */
    const struct counts *c = &m->counts;
    printf("%s%sok - %s seed %llu: %u%s disks, failover %u, %u clients; %llu lives, %llu cuts, %llu kills, %llu operations, "
           "%llu checkpoints, %llu rows reused, %llu refused for room; digest %016llx\n",
           total->until_failure ? "# " : "", good && counts ? "" : "not ", v->name, N(seed), m->disks, zoned_name(m->zoned), m->failover, m->clients, N(c->lives), N(c->cuts),
           N(c->kills), N(c->operations), N(c->checkpoints), N(c->reused), N(c->full), N(w.digest));
    if (m->tour)
        printf("# the longest that a request took: %llu ms\n", N(m->longest_ns / 1000000));
    if (good && !counts)
        printf("# too little was done for the seed to count\n");
    if (!good)
        printf("# again: sim_fs --mode %s --seed %llu%s -v\n", v->name, N(seed),
               zoned == ZONED_ALL ? " --zoned all" : zoned == ZONED_MIXED ? " --zoned mixed" : zoned == ZONED_NONE ? " --zoned none" : "");
    fflush(stdout);
    add(&total->counts, c);
    total->seeds++;
    total->failed += !good;
    total->poor += good && !counts;
    *digest = w.digest;
    model_free(m);
    world_deinit(&w);
    return good && counts;
}

static bool run_seed_twice(uint64_t seed, const struct variant *v, enum zoned zoned, bool verbose, struct total *total)
{
    uint64_t first, second;
    bool good = run_seed(seed, v, zoned, verbose, total, &first);
    good = run_seed(seed, v, zoned, false, total, &second) && good;
    if (first != second) {
        printf("not ok - %s seed %llu ran in two different ways\n", v->name, N(seed));
        total->failed++;
    }
    return good && first == second;
}

struct arguments {
    uint64_t first, seeds;
    const char *mode; /* NULL: all */
    enum zoned zoned;
    bool verbose, until_failure, twice, bad;
};

static struct arguments parse(int argc, char **argv)
{
    const char *seeds = getenv("SCALEFS_SIM_SEEDS");
    struct arguments a = {.first = 1, .seeds = seeds ? strtoull(seeds, NULL, 0) : 5};
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "-v")) {
            a.verbose = true;
        } else if (!strcmp(argv[i], "--until-failure")) {
            a.until_failure = true;
        } else if (!strcmp(argv[i], "--twice")) {
            a.twice = true;
        } else if (next && !strcmp(argv[i], "--seeds")) {
            a.seeds = strtoull(argv[++i], NULL, 0);
        } else if (next && !strcmp(argv[i], "--first")) {
            a.first = strtoull(argv[++i], NULL, 0);
        } else if (next && !strcmp(argv[i], "--seed")) {
            a.first = strtoull(argv[++i], NULL, 0);
            a.seeds = 1;
        } else if (next && !strcmp(argv[i], "--zoned")) {
            i++;
            a.zoned = !strcmp(next, "none") ? ZONED_NONE : !strcmp(next, "mixed") ? ZONED_MIXED
                      : !strcmp(next, "all") ? ZONED_ALL : ZONED_DRAW;
            a.bad = a.bad || (a.zoned == ZONED_DRAW && strcmp(next, "draw"));
        } else if (next && !strcmp(argv[i], "--mode")) {
            a.mode = argv[++i];
            bool known = !strcmp(next, "all");
            for (unsigned v = 0; v < VARIANTS; v++)
                known = known || !strcmp(next, variants[v].name);
            a.bad = a.bad || !known;
        } else {
            a.bad = true;
        }
    }
    return a;
}

static void print_total(const struct total *t)
{
    const struct counts *c = &t->counts;
    printf("# %llu seeds: %llu lives, %llu power cuts, %llu kills, %llu operations (%llu refused as expected, %llu for lack "
           "of room), %llu checkpoints, %llu rows reused, disks pulled %llu, returned %llu, replaced %llu, %llu scrubs; "
           "%llu failed, %llu did too little\n",
           N(t->seeds), N(c->lives), N(c->cuts), N(c->kills), N(c->operations), N(c->refused), N(c->full), N(c->checkpoints),
           N(c->reused), N(c->pulled), N(c->returned), N(c->replaced), N(c->scrubs), N(t->failed), N(t->poor));
    if (c->storms)
        printf("# more disks than are borne went at once %llu times: %llu times they may have lost something, then the pool went on %llu "
               "times, and had to be opened anew %llu times\n", N(c->storms), N(c->suspended), N(c->went_on), N(c->remounted));
    if (c->host_full)
        printf("# the host of the disks was full %llu times, and %llu requests heard of it\n", N(c->host_full), N(c->in_vain));
    if (!c->added)
        return;
    printf("# disks added %llu, removed %llu, resized %llu, died %llu, wishes changed %llu, roles %llu; cuts and kills in the middle of", N(c->added),
           N(c->removed), N(c->resized), N(c->died), N(c->configured), N(c->roles));
    for (unsigned v = 0; v < VERBS; v++)
        printf("%s %s %llu + %llu", v ? "," : "", verb_name((enum verb)v), N(c->cut_in[v]), N(c->killed_in[v]));
    printf("\n");
}

/* What the failed world held is left where it is. */
static void caught(const char *how)
{
    printf("ok - caught by %s\n", how);
    fflush(stdout);
    _Exit(0);
}

static void caught_by_assert(void)
{
    caught("an assert");
}

int main(int argc, char **argv)
{
    struct arguments a = parse(argc, argv);
    struct total total = {.until_failure = a.until_failure};
    if (a.bad) {
        fprintf(stderr, "usage: sim_fs [--mode cut|fault|tiny|full|change|tour|all] [--seeds N] [--first S] [--seed S] [--until-failure] [--twice] "
                        "[-v] [--zoned draw|none|mixed|all]\n");
        return 2;
    }
    uint64_t digest;
    if (a.until_failure)
        world_on_abort(caught_by_assert);
    for (uint64_t seed = a.first; seed < a.first + a.seeds; seed++) {
        for (unsigned i = 0; i < VARIANTS; i++) {
            const struct variant *v = &variants[i];
            bool all = (!a.mode || !strcmp(a.mode, "all")) && !(v->tiny && v->mode == MODE_FAULT) && !v->tour;
            if (!all && !(a.mode && !strcmp(a.mode, v->name)))
                continue;
            bool good = a.twice ? run_seed_twice(seed, v, a.zoned, a.verbose, &total)
                                : run_seed(seed, v, a.zoned, a.verbose, &total, &digest);
            if (a.until_failure && !good && total.failed)
                caught(v->name);
        }
    }
    print_total(&total);
    if (a.until_failure)
        printf("not ok - no seed failed\n");
    return a.until_failure || total.failed || total.poor ? 1 : 0;
}
