/* Pools with host-managed zoned disks, alone and mixed with conventional ones, under power cuts: groups are made,
 * rows, nodes and logs written by several tasks at once, groups freed and their zones used again. After each cut the
 * pool must hold all that belongs to the state that it opens to, and take nothing more into the groups it finds.
 *
 * Usage: sim_pool_zoned [SEEDS [FIRST]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk/zoned_head.h"
#include "pool/pool.h"
#include "sim/world.h"

enum { DISKS_MAX = 6, ROWS_MAX = 20000, LIVES = 6, WRITERS = 3, ZONE = 4 << 20 };
#define ALIVE UINT64_MAX

#define MUST(w, call)                                                                                          \
    do {                                                                                                       \
        int must_err = (call);                                                                                 \
        if (must_err)                                                                                          \
            sim_fail((w)->sim, "%s:%d: %s: %s", __FILE__, __LINE__, #call, scalefs_error_text(must_err));      \
    } while (0)
#define NEED(w, x)                                                                                             \
    do {                                                                                                       \
        if (!(x))                                                                                              \
            sim_fail((w)->sim, "%s:%d: not true: %s", __FILE__, __LINE__, #x);                                 \
    } while (0)

struct row {
    struct sfs_place place;
    uint64_t generation, born, dead, salt;
    uint32_t len, row;
};

struct model {
    struct row rows[ROWS_MAX];
    size_t count;
    uint64_t issued, acked; /* states: commits */
    unsigned disks, zoned, failover;
    uint64_t salt, resets, groups_freed, written, closed;
};

struct run {
    struct world *w;
    struct model *m;
    struct sfs_pool *pool;
    struct sfs_group *open[SFS_CLASSES];
};

static void fill(uint64_t salt, uint8_t *buf, size_t len)
{
    struct prng p;
    prng_seed(&p, salt);
    for (size_t i = 0; i < len; i += 8)
        sfs_put64(buf + i, prng_next(&p));
}

static void open_disks(struct world *w, struct sfs_disk **disks, bool format)
{
    for (unsigned i = 0; i < sim_farm_count(w->farm); i++) {
        struct sfs_disk *raw;
        MUST(w, sim_disk_open(sim_farm_disk(w->farm, i), w->env, &raw));
        disks[i] = raw;
        if (!raw->info.zoned)
            continue;
        if (format)
            MUST(w, sfs_zoned_head_format(w->env, raw));
        MUST(w, sfs_zoned_head_open(w->env, raw, &disks[i]));
    }
}

static void make(struct world *w, void *arg)
{
    struct model *m = arg;
    struct sfs_disk *disks[DISKS_MAX];
    struct scalefs_error_info info = {0};
    open_disks(w, disks, true);
    struct sfs_pool_format how = {.name = "tank", .failover = (uint8_t)m->failover};
    MUST(w, sfs_pool_format(w->env, disks, m->disks, &how, NULL, &info));
    for (unsigned i = 0; i < m->disks; i++)
        sfs_disk_close(disks[i]);
}

/* --- what is there --- */

static void check_row(struct run *r, const struct row *row)
{
    struct world *w = r->w;
    struct sfs_group_record g;
    NEED(w, sfs_group_copy(r->pool, row->place.group, &g) && g.generation == row->generation);
    uint8_t *want = sfs_alloc(w->env, row->len);
    fill(row->salt, want, row->len);
    if (g.class == SFS_CLASS_DATA) {
        struct sfs_row_image im;
        MUST(w, sfs_row_read(r->pool, g.group, row->row, 1, &im));
        NEED(w, !im.missing && !im.bad && im.summary_ok);
        uint32_t unit = sfs_group_unit(&g);
        for (uint32_t at = 0; at < row->len; at += unit)
            NEED(w, !memcmp(im.units[at / unit], want + at, row->len - at < unit ? row->len - at : unit));
        sfs_row_image_free(r->pool, &im);
    } else {
        uint8_t *buf = sfs_alloc_io(w->env, row->len);
        for (unsigned c = 0; c <= g.m; c++) {
            struct sfs_get get = {.place = row->place, .len = row->len, .buf = buf, .copy = (uint8_t)c};
            sfs_get_many(r->pool, &get, 1);
            MUST(w, get.result);
            NEED(w, !memcmp(buf, want, row->len));
        }
        sfs_free(w->env, buf);
    }
    sfs_free(w->env, want);
}

static void enter(struct run *r)
{
    struct world *w = r->w;
    struct model *m = r->m;
    struct sfs_disk *disks[DISKS_MAX];
    struct sfs_pool_open how = {0};
    struct scalefs_error_info info = {0};
    open_disks(w, disks, false);
    int err = sfs_pool_open(w->env, disks, m->disks, &how, &r->pool, &info);
    if (err)
        sim_fail(w->sim, "the pool does not open: %s: %s", scalefs_error_text(err), info.text);
    uint64_t state = r->pool->last.pool_tree;
    if (state < m->acked || state > m->issued)
        sim_fail(w->sim, "state %llu, acknowledged %llu, issued %llu", (unsigned long long)state,
                 (unsigned long long)m->acked, (unsigned long long)m->issued);
    size_t kept = 0;
    for (size_t i = 0; i < m->count; i++) {
        struct row row = m->rows[i];
        if (row.born > state || row.dead <= state)
            continue;
        row.dead = ALIVE;
        m->rows[kept++] = row;
    }
    m->count = kept;
    m->issued = m->acked = state;
    for (size_t i = 0; i < m->count; i++)
        check_row(r, &m->rows[i]);
}

static void verify(struct world *w, void *arg)
{
    struct run r = {.w = w, .m = arg};
    enter(&r);
    sfs_pool_close(r.pool);
}

/* --- what is done --- */

static struct sfs_group *group_for(struct run *r, enum sfs_class class)
{
    struct sfs_pool *pool = r->pool;
    struct sfs_group *g;
    sfs_mutex_lock(&pool->lock);
    int err = sfs_group_make(pool, class, class < SFS_CLASS_LANDING ? SFS_FOR_CLEANERS : SFS_FOR_WRITERS, &g);
    if (!err && !g->rows && class != SFS_CLASS_LANDING)
        g->rows = sfs_zalloc(pool->env, g->record.rows * sizeof *g->rows);
    sfs_mutex_unlock(&pool->lock);
    if (err == SCALEFS_E_NOSPC)
        return NULL;
    MUST(r->w, err);
    bool any = false;
    for (unsigned c = 0; c < (unsigned)g->record.k + g->record.m; c++) {
        const struct sfs_member *m = sfs_member_of(pool, g->record.columns[c].disk);
        any = any || m->record.layout == SFS_LAYOUT_ZONED;
        NEED(r->w, 1u << g->record.column_log2 == ZONE);
    }
    NEED(r->w, any == g->record.sequential);
    MUST(r->w, sfs_group_write_headers(pool, g->record.group));
    for (unsigned c = 0; c < (unsigned)g->record.k + g->record.m; c++)
        MUST(r->w, sfs_column_check_header(pool, &g->record, c));
    return g;
}

/* Rows of the group of that class; taken, so they will be written. */
static bool take(struct run *r, enum sfs_class class, uint32_t blocks, struct row *row)
{
    struct sfs_pool *pool = r->pool;
    uint64_t offset = 0;
    sfs_mutex_lock(&pool->lock);
    struct sfs_group *g = r->open[class];
    int err = !g ? SCALEFS_E_NOSPC
              : class == SFS_CLASS_LANDING ? sfs_group_take_log(pool, g, blocks, &offset)
                                           : sfs_group_take_row(pool, g, &row->row);
    if (!err) {
        if (class != SFS_CLASS_LANDING)
            offset = row->row * sfs_group_row_bytes(&g->record);
        row->place = (struct sfs_place){g->record.group, offset};
        row->generation = g->record.generation;
        row->len = class == SFS_CLASS_DATA      ? (uint32_t)sfs_group_row_bytes(&g->record) - SFS_BLOCK
                   : class == SFS_CLASS_LANDING ? blocks * SFS_BLOCK
                                                : SFS_NODE_BYTES;
        row->salt = ++r->m->salt;
    }
    sfs_mutex_unlock(&pool->lock);
    return !err;
}

static void write_one(struct run *r, const struct row *row, uint64_t state)
{
    struct world *w = r->w;
    struct sfs_pool *pool = r->pool;
    struct sfs_group_record g;
    NEED(w, sfs_group_copy(pool, row->place.group, &g));
    uint8_t *buf = sfs_alloc_io(w->env, row->len + SFS_BLOCK);
    memset(buf, 0, row->len + SFS_BLOCK);
    fill(row->salt, buf, row->len);
    int err;
    if (g.class == SFS_CLASS_DATA) {
        struct sfs_summary s = {.blocks = 1, .entries = 1, .txn = pool->txn};
        uint32_t len = row->len < SFS_EXTENT_MAX ? row->len : SFS_EXTENT_MAX; /* the row's first extent */
        struct sfs_entry e = {.id = row->salt, .birth = 1, .stored = len, .raw = len,
                              .sums = (uint16_t)((len + SFS_SUM_BYTES - 1) / SFS_SUM_BYTES)};
        err = sfs_row_write(pool, g.group, row->row, buf, &s, &e);
    } else {
        struct sfs_put put = {.place = row->place, .buf = buf, .len = row->len};
        err = sfs_put_many(pool, &put, 1);
    }
    MUST(w, err);
    sfs_free(w->env, buf);
    sfs_mutex_lock(&pool->lock);
    struct sfs_group *there = sfs_group_of(pool, g.group);
    sfs_group_live(pool, there, sfs_group_row_of(&g, row->place.offset), (int64_t)row->len);
    sfs_group_row_done(pool, there);
    NEED(w, r->m->count < ROWS_MAX);
    r->m->rows[r->m->count] = *row;
    r->m->rows[r->m->count].born = state;
    r->m->rows[r->m->count++].dead = ALIVE;
    r->m->written++;
    sfs_mutex_unlock(&pool->lock);
}

struct writer {
    struct run *r;
    uint64_t seed;
    struct sfs_task *task;
};

static void writer(void *arg)
{
    struct writer *x = arg;
    struct prng p;
    prng_seed(&p, x->seed);
    for (unsigned i = 0; i < 6; i++) {
        struct row row;
        enum sfs_class class = (enum sfs_class)prng_below(&p, SFS_CLASSES);
        if (!take(x->r, class, 1 + (uint32_t)prng_below(&p, 9), &row))
            continue;
        if (prng_below(&p, 2)) /* others take and write meanwhile */
            sfs_task_sleep(x->r->w->env, prng_below(&p, 3000000));
        write_one(x->r, &row, x->r->m->issued + 1);
    }
}

static void commit(struct run *r)
{
    struct model *m = r->m;
    struct sfs_roots roots = {.pool_tree = ++m->issued};
    roots.extent_map.group = roots.space.group = SFS_NONE32;
    struct sfs_commit_job *job;
    sfs_mutex_lock(&r->pool->lock);
    int err = sfs_commit_prepare(r->pool, &roots, false, false, &job);
    sfs_mutex_unlock(&r->pool->lock);
    MUST(r->w, err);
    MUST(r->w, sfs_commit_write(r->pool, job));
    m->acked = m->issued;
}

/* All of one group dies. */
static void free_one(struct run *r)
{
    struct sfs_pool *pool = r->pool;
    struct model *m = r->m;
    sfs_mutex_lock(&pool->lock);
    uint32_t n = (uint32_t)prng_below(&r->w->prng, pool->group_cap + 1);
    struct sfs_group *g = n < pool->group_cap ? pool->groups[n] : NULL;
    if (g && r->open[g->record.class] != g && !g->in_flight) {
        for (size_t i = 0; i < m->count; i++)
            if (m->rows[i].place.group == n && m->rows[i].dead == ALIVE) {
                m->rows[i].dead = m->issued + 1;
                sfs_group_live(pool, g, sfs_group_row_of(&g->record, m->rows[i].place.offset), -(int64_t)m->rows[i].len);
            }
        sfs_group_free(pool, g);
        m->groups_freed++;
    }
    sfs_mutex_unlock(&pool->lock);
}

/* What was found at opening takes nothing more where it must be written in order. */
static void found_groups_are_closed(struct run *r)
{
    struct sfs_pool *pool = r->pool;
    for (uint32_t n = 0; n < pool->group_cap; n++) {
        struct sfs_group *g = pool->groups[n];
        uint64_t offset;
        uint32_t row;
        if (!g || !g->record.sequential)
            continue;
        sfs_mutex_lock(&pool->lock);
        bool mine = !g->rows;
        if (mine)
            g->rows = sfs_zalloc(pool->env, g->record.rows * sizeof *g->rows);
        int err = g->record.class == SFS_CLASS_LANDING ? sfs_group_take_log(pool, g, 1, &offset)
                                                       : sfs_group_take_row(pool, g, &row);
        if (mine) {
            sfs_free(pool->env, g->rows);
            g->rows = NULL;
        }
        sfs_mutex_unlock(&pool->lock);
        NEED(r->w, err == SCALEFS_E_NOSPC);
        r->m->closed++;
    }
}

static void work(struct world *w, void *arg)
{
    struct run r = {.w = w, .m = arg};
    enter(&r);
    found_groups_are_closed(&r);
    for (unsigned round = 0; round < 40; round++) {
        struct writer writers[WRITERS];
        for (unsigned c = 0; c < SFS_CLASSES; c++)
            if (!r.open[c] || (r.open[c]->count.write_row + 40 > r.open[c]->record.rows) || prng_below(&w->prng, 30) == 0) {
                struct sfs_group *g = group_for(&r, (enum sfs_class)c);
                r.open[c] = g ? g : r.open[c];
            }
        for (unsigned i = 0; i < WRITERS; i++) {
            writers[i] = (struct writer){.r = &r, .seed = prng_next(&w->prng)};
            MUST(w, sfs_task_start(w->env, "writer", writer, &writers[i], &writers[i].task));
        }
        for (unsigned i = 0; i < WRITERS; i++)
            sfs_task_join(w->env, writers[i].task);
        unsigned frees = (unsigned)prng_below(&w->prng, 6);
        for (unsigned i = 0; i < frees; i++)
            free_one(&r);
        if (prng_below(&w->prng, 3) == 0)
            commit(&r);
    }
    commit(&r);
    sfs_pool_close(r.pool);
}

static bool run_seed(uint64_t seed)
{
    struct world w;
    struct model *m = calloc(1, sizeof *m);
    world_init(&w, seed);
    m->disks = 1 + (unsigned)prng_below(&w.prng, DISKS_MAX);
    m->failover = (unsigned)prng_below(&w.prng, m->disks < 3 ? m->disks : 3);
    uint64_t capacity = prng_below(&w.prng, 2) ? ZONE : ZONE - (1 << 20) - 12288;
    for (unsigned i = 0; i < m->disks; i++) {
        bool zoned = i == 0 || prng_below(&w.prng, 2);
        m->zoned += zoned;
        struct sim_disk_options o = {.size_bytes = (36 + prng_below(&w.prng, 3) * 8) * (uint64_t)ZONE,
                                     .zone_bytes = zoned ? ZONE : 0, .zone_capacity = zoned ? capacity : 0,
                                     .sector_bytes = prng_below(&w.prng, 2) ? 512 : 4096, .mean_latency_ns = 200000};
        sim_farm_add(w.farm, &o);
    }
    bool good = world_live(&w, &(struct world_life){.main = make, .arg = m}) == SIM_FINISHED;
    for (unsigned life = 0; life < LIVES && good; life++) {
        enum sim_end end = world_live(&w, &(struct world_life){.main = work, .arg = m, .cut_at_io = 1 + prng_below(&w.prng, 6000),
                                                               .kill = prng_below(&w.prng, 4) == 0});
        good = (end == SIM_FINISHED || end == SIM_CUT) &&
               world_live(&w, &(struct world_life){.main = verify, .arg = m}) == SIM_FINISHED;
    }
    uint64_t resets = 0, refusals = 0;
    for (unsigned i = 0; i < m->disks; i++) {
        resets += sim_disk_stats(sim_farm_disk(w.farm, i))->resets;
        refusals += sim_disk_stats(sim_farm_disk(w.farm, i))->refused;
    }
    good = good && !refusals;
    printf("%sok - seed %llu: %u disks (%u zoned), failover %u, %llu rows, %llu groups freed, %llu found closed, %llu resets, "
           "%llu refused, digest %016llx\n", good ? "" : "not ", (unsigned long long)seed, m->disks, m->zoned, m->failover,
           (unsigned long long)m->written, (unsigned long long)m->groups_freed, (unsigned long long)m->closed,
           (unsigned long long)resets, (unsigned long long)refusals, (unsigned long long)w.digest);
    fflush(stdout);
    free(m);
    world_deinit(&w);
    return good;
}

int main(int argc, char **argv)
{
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 0) : 6, first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    unsigned failed = 0;
    for (uint64_t seed = first; seed < first + seeds; seed++)
        failed += !run_seed(seed);
    printf("1..%llu\n", (unsigned long long)seeds);
    return failed > 0;
}
