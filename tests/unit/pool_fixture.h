/* What the tests of the pool share: a farm of simulated disks, a pool on it, and what is right about it.
 *
 * Everything runs in worlds (tests/sim/world.h). Checks within a world end it with MUST and NEED.
 */
#ifndef TESTS_UNIT_POOL_FIXTURE_H
#define TESTS_UNIT_POOL_FIXTURE_H

#include "pool/pool.h"
#include "sim/world.h"
#include "test.h"

#define MIB (1ull << 20)
enum { DISKS_MAX = 16 };

#define MUST(w, call)                                                                              \
    do {                                                                                           \
        int must_err = (call);                                                                     \
        if (must_err)                                                                              \
            sim_fail((w)->sim, "%s:%d: %s: %s", __FILE__, __LINE__, #call, scalefs_error_name(must_err)); \
    } while (0)
#define NEED(w, condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            sim_fail((w)->sim, "%s:%d: not true: %s", __FILE__, __LINE__, #condition);             \
    } while (0)
#define NEED_EQ(w, a, b)                                                                           \
    do {                                                                                           \
        long long need_a = (long long)(a), need_b = (long long)(b);                                \
        if (need_a != need_b)                                                                      \
            sim_fail((w)->sim, "%s:%d: %s is %lld, not %lld", __FILE__, __LINE__, #a, need_a, need_b); \
    } while (0)

static inline void add_disks(struct world *w, unsigned count, uint64_t size)
{
    for (unsigned i = 0; i < count; i++)
        sim_farm_add(w->farm, &(struct sim_disk_options){.size_bytes = size});
}

/* A pool on all disks of the farm. */
static inline void make_pool(struct world *w, uint8_t failover, uint8_t optimize)
{
    struct sfs_disk *disks[DISKS_MAX];
    struct scalefs_error_info info = {0, ""};
    struct sfs_pool_format how = {.name = "tank", .failover = failover, .optimize = optimize};
    world_open_disks(w, disks);
    int err = sfs_pool_format(w->env, disks, sim_farm_count(w->farm), &how, NULL, &info);
    if (err)
        sim_fail(w->sim, "format: %s: %s", scalefs_error_name(err), info.text);
    world_close_disks(w, disks);
}

/* Opens the disks of the farm whose bit is set in `which`. */
static inline int open_some(struct world *w, const struct sfs_pool_open *how, uint64_t which,
                            struct sfs_pool **pool, struct scalefs_error_info *info)
{
    struct sfs_disk *disks[DISKS_MAX];
    static const struct sfs_pool_open plain;
    for (unsigned i = 0; i < sim_farm_count(w->farm); i++) {
        struct sim_disk *d = sim_farm_disk(w->farm, i);
        disks[i] = NULL;
        if (which >> i & 1 && !sim_disk_is_away(d))
            MUST(w, sim_disk_open(d, w->env, &disks[i]));
    }
    return sfs_pool_open(w->env, disks, sim_farm_count(w->farm), how ? how : &plain, pool, info);
}

static inline struct sfs_pool *must_open(struct world *w, const struct sfs_pool_open *how, uint64_t which)
{
    struct sfs_pool *pool;
    struct scalefs_error_info info = {0, ""};
    int err = open_some(w, how, which, &pool, &info);
    if (err)
        sim_fail(w->sim, "open: %s: %s", scalefs_error_name(err), info.text);
    return pool;
}
#define ALL_DISKS (~0ull)

static inline void must_not_open(struct world *w, const struct sfs_pool_open *how, uint64_t which, int error)
{
    struct sfs_pool *pool;
    struct scalefs_error_info info = {0, ""};
    int err = open_some(w, how, which, &pool, &info);
    if (err != error)
        sim_fail(w->sim, "open: %s, not %s: %s", scalefs_error_name(err), scalefs_error_name(error), info.text);
    NEED(w, info.error == error && info.text[0] && !pool);
}

/* One commit with `state` as the id of the pool tree. As a caller does, again while members get lost. */
static inline int commit(struct sfs_pool *pool, uint64_t state)
{
    struct sfs_roots roots = {.pool_tree = state};
    roots.extent_map.group = roots.space.group = SFS_NONE32;
    int err = SCALEFS_E_CHANGED;
    while (err == SCALEFS_E_CHANGED) {
        struct sfs_commit_job *job;
        sfs_mutex_lock(&pool->lock);
        err = sfs_commit_prepare(pool, &roots, false, false, &job);
        sfs_mutex_unlock(&pool->lock);
        if (!err)
            err = sfs_commit_write(pool, job);
    }
    return err;
}

/* That are to stay. */
static inline unsigned members_in(struct sfs_pool *pool, enum sfs_presence presence)
{
    unsigned n = 0;
    for (unsigned i = 0; i < pool->member_count; i++)
        n += pool->members[i].used && pool->members[i].record.presence == presence &&
             pool->members[i].record.wish == SFS_WISH_STAY;
    return n;
}

static inline unsigned members_wishing(struct sfs_pool *pool, enum sfs_wish wish)
{
    unsigned n = 0;
    for (unsigned i = 0; i < pool->member_count; i++)
        n += pool->members[i].used && pool->members[i].record.wish == wish;
    return n;
}

static inline unsigned members_complete(struct sfs_pool *pool)
{
    unsigned n = 0;
    for (unsigned i = 0; i < pool->member_count; i++)
        n += pool->members[i].used && pool->members[i].disk && pool->members[i].complete;
    return n;
}

static inline uint64_t mixed(uint64_t h, uint64_t v)
{
    return prng_mix(h, v);
}

/* A number that stands for everything that the table must bring back, but for what opening itself changes. */
static inline uint64_t digest_of(struct sfs_pool *pool)
{
    uint64_t h = mixed(1, pool->config.next_generation);
    h = mixed(h, pool->config.extents_repaired);
    h = mixed(h, pool->config.failover);
    h = mixed(h, sfs_hash(pool->config.name, sizeof pool->config.name));
    h = mixed(h, pool->scrub.id ? pool->scrub.bytes_done : 0);
    h = mixed(h, pool->member_count);
    for (uint32_t n = 0; n < pool->group_cap; n++) {
        struct sfs_group *g = pool->groups[n];
        if (!g)
            continue;
        h = mixed(h, n);
        h = mixed(h, g->record.generation);
        h = mixed(h, (uint64_t)g->record.class << 32 | g->record.state << 24 | g->record.k << 16 |
                         g->record.m << 8 | g->record.unit_log2);
        h = mixed(h, g->record.rows);
        h = mixed(h, g->record.birth);
        for (unsigned c = 0; c < (unsigned)g->record.k + g->record.m; c++)
            h = mixed(h, (uint64_t)g->record.columns[c].disk << 32 | g->record.columns[c].atom);
        h = mixed(h, g->count.live);
        h = mixed(h, (uint64_t)g->count.write_row << 32 | g->count.used_rows);
        h = mixed(h, g->count.last_txn);
        if (g->bitmap)
            h = mixed(h, sfs_hash(g->bitmap, (g->record.rows + 7) / 8));
    }
    return h;
}

/* A group with its headers written. */
static inline struct sfs_group *must_make(struct world *w, struct sfs_pool *pool, enum sfs_class class)
{
    struct sfs_group *g;
    sfs_mutex_lock(&pool->lock);
    int err = sfs_group_make(pool, class, SFS_FOR_WRITERS, &g);
    sfs_mutex_unlock(&pool->lock);
    MUST(w, err);
    MUST(w, sfs_group_write_headers(pool, g->record.group));
    return g;
}

/* Runs one life; false (and a failed check) when it did not finish. */
static inline bool live(struct world *w, void (*main)(struct world *, void *), void *arg)
{
    return CHECK_EQ(world_live(w, &(struct world_life){.main = main, .arg = arg}), SIM_FINISHED);
}

#endif
