/* Rows: written, read, damaged in every way that they can bear, rebuilt, put back. Copies and plain reads. */
#include "pool_fixture.h"

#include "parity/parity.h"

struct row {
    uint8_t *data; /* k units as they must read */
    struct sfs_entry entries[8];
    struct sfs_summary s;
};

struct shape {
    unsigned disks;
    uint8_t failover, optimize;
};

/* Fills and writes row `row` with extents of random bytes. */
static void put_row(struct world *w, struct sfs_pool *pool, struct sfs_group *g, uint32_t row, struct row *r)
{
    uint32_t bytes = (uint32_t)sfs_group_row_bytes(&g->record), at = 0;
    unsigned count = 1 + (unsigned)prng_below(&w->prng, 8);
    r->data = sfs_alloc_io(w->env, bytes);
    memset(r->data, 0, bytes);
    memset(&r->s, 0, sizeof r->s);
    r->s.entries = count;
    r->s.blocks = (uint8_t)sfs_summary_blocks(g->record.k + g->record.m, count);
    r->s.txn = pool->txn;
    uint32_t room = bytes - r->s.blocks * SFS_BLOCK;
    for (unsigned i = 0; i < count; i++) {
        uint32_t len = 1 + (uint32_t)prng_below(&w->prng, room / count - 16);
        if (len > 128u << 10)
            len = 128u << 10;
        r->entries[i] = (struct sfs_entry){.id = 100 + row * 10 + i, .birth = pool->txn, .offset = at,
                                           .stored = len, .raw = len,
                                           .sums = (uint16_t)((len + SFS_SUM_BYTES - 1) / SFS_SUM_BYTES)};
        prng_fill(&w->prng, r->data + at, len);
        at = (at + len + 15) & ~15u;
    }
    MUST(w, sfs_row_write(pool, g->record.group, row, r->data, &r->s, r->entries));
}

/* Where a unit lies: its disk in the farm, and the offset there. */
static struct sim_disk *unit_at(struct world *w, struct sfs_pool *pool, struct sfs_group *g, unsigned c,
                                uint32_t row, uint64_t *offset)
{
    struct sfs_member *m = sfs_member_of(pool, g->record.columns[c].disk);
    NEED(w, m && m->disk);
    *offset = m->record.data_offset + (uint64_t)g->record.columns[c].atom * SFS_ATOM_BYTES + SFS_BLOCK +
              (uint64_t)row * sfs_group_unit(&g->record);
    return sim_disk_of(m->disk);
}

static void must_be_right(struct world *w, struct sfs_pool *pool, struct sfs_group *g, const struct row *r,
                          const struct sfs_row_image *im)
{
    uint32_t unit = sfs_group_unit(&g->record);
    NEED(w, im->summary_ok && im->unit_bytes == unit);
    for (unsigned c = 0; c < g->record.k; c++)
        NEED(w, !memcmp(im->units[c], r->data + (size_t)c * unit, unit));
    NEED(w, im->summary.entries == r->s.entries && im->summary.txn == r->s.txn);
    for (unsigned i = 0; i < r->s.entries; i++) {
        struct sfs_entry e;
        MUST(w, sfs_summary_entry(im->summary_bytes, &im->summary, i, &e));
        NEED(w, e.id == r->entries[i].id && e.offset == r->entries[i].offset && e.stored == r->entries[i].stored);
    }
    (void)pool;
}

enum damage { ROT_ALL, ROT_LAST_PAGE, ROT_FIRST_PAGE, UNREADABLE, KINDS };

static void damage_unit(struct world *w, struct sfs_pool *pool, struct sfs_group *g, unsigned c, uint32_t row,
                        enum damage kind)
{
    uint64_t at, unit = sfs_group_unit(&g->record);
    struct sim_disk *d = unit_at(w, pool, g, c, row, &at);
    if (kind == ROT_ALL)
        sim_disk_rot(d, at, unit);
    else if (kind == ROT_LAST_PAGE)
        sim_disk_rot(d, at + unit - SIM_PAGE, SIM_PAGE);
    else if (kind == ROT_FIRST_PAGE)
        sim_disk_rot(d, at, SIM_PAGE);
    else
        sim_disk_make_unreadable(d, at, unit);
}

/* Every set of columns that the group can lose, with every kind of damage. */
static void erasures_life(struct world *w, void *arg)
{
    const struct shape *shape = arg;
    make_pool(w, shape->failover, shape->optimize);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    struct sfs_group *g = must_make(w, pool, SFS_CLASS_DATA);
    unsigned n = g->record.k + g->record.m, m = g->record.m, tried = 0;
    NEED_EQ(w, m, shape->failover);
    uint32_t unit = sfs_group_unit(&g->record), row = 0;
    for (uint64_t set = 0; set < 1ull << n; set++) {
        unsigned lost = 0;
        for (unsigned c = 0; c < n; c++)
            lost += set >> c & 1;
        if (lost > m + 1)
            continue;
        struct row r;
        struct sfs_row_image im;
        row = (row + 1) % g->record.rows;
        put_row(w, pool, g, row, &r);
        uint64_t unreadable = 0, same = test_below(2) ? prng_below(&w->prng, KINDS) : KINDS;
        for (unsigned c = 0; c < n; c++) {
            enum damage kind = same < KINDS ? (enum damage)same : (enum damage)prng_below(&w->prng, KINDS);
            if (!(set >> c & 1))
                continue;
            damage_unit(w, pool, g, c, row, kind);
            unreadable |= kind == UNREADABLE ? 1ull << c : 0;
        }
        int err = sfs_row_read(pool, g->record.group, row, 1, &im);
        if (lost > m) {
            NEED_EQ(w, err, SCALEFS_E_CORRUPT);
        } else {
            MUST(w, err);
            must_be_right(w, pool, g, &r, &im);
            NEED_EQ(w, im.missing, unreadable);
            NEED_EQ(w, im.bad, set & ~unreadable);
            MUST(w, sfs_row_put_back(pool, &im, set));
            sfs_row_image_free(pool, &im);
            MUST(w, sfs_row_read(pool, g->record.group, row, 1, &im));
            must_be_right(w, pool, g, &r, &im);
            NEED(w, !im.missing && !im.bad);
        }
        sfs_row_image_free(pool, &im);
        sfs_free(w->env, r.data);
        tried++;
    }
    NEED(w, tried > n && unit >= 32768);
    sfs_pool_close(pool);
}

static void every_bearable_loss_is_rebuilt(void)
{
    static const struct shape shapes[] = {{1, 0, 0}, {2, 1, 0}, {3, 1, 0}, {3, 2, 0}, {4, 0, 0}, {5, 2, 0},
                                          {6, 3, 0}, {6, 2, 100}, {8, 1, 50}, {9, 4, 0}};
    for (unsigned i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct world w;
        struct shape s = shapes[i];
        world_init(&w, test_seed() + i);
        add_disks(&w, s.disks, 64 * MIB);
        live(&w, erasures_life, &s);
        world_deinit(&w);
    }
}

/* A unit of an older row, of another group, or misdirected, is told from the right one. */
static void stale_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 2, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    struct sfs_group *g = must_make(w, pool, SFS_CLASS_DATA);
    uint32_t unit = sfs_group_unit(&g->record);
    uint8_t *old = sfs_alloc(w->env, unit);
    struct row r[3];
    struct sfs_row_image im;
    for (unsigned c = 0; c < g->record.k + g->record.m; c++) {
        uint64_t at, from;
        put_row(w, pool, g, 3, &r[0]);
        struct sim_disk *d = unit_at(w, pool, g, c, 3, &at);
        sim_disk_peek(d, at, old, unit);
        put_row(w, pool, g, 3, &r[1]);
        put_row(w, pool, g, 4, &r[2]);
        sim_disk_poke(d, at, old, unit); /* the write never came */
        MUST(w, sfs_row_read(pool, g->record.group, 3, 1, &im));
        NEED(w, im.bad == 1ull << c && !im.missing);
        must_be_right(w, pool, g, &r[1], &im);
        sfs_row_image_free(pool, &im);
        unit_at(w, pool, g, c, 4, &from);
        sim_disk_peek(d, from, old, unit);
        sim_disk_poke(d, at, old, unit); /* a write of the next row came here */
        MUST(w, sfs_row_read(pool, g->record.group, 3, 1, &im));
        NEED(w, im.bad == 1ull << c && !im.missing);
        must_be_right(w, pool, g, &r[1], &im);
        sfs_row_image_free(pool, &im);
        for (unsigned i = 0; i < 3; i++)
            sfs_free(w->env, r[i].data);
    }
    sfs_free(w->env, old);
    sfs_pool_close(pool);
}

static void units_of_other_writes_are_found(void)
{
    struct world w;
    world_init(&w, test_seed());
    add_disks(&w, 5, 64 * MIB);
    live(&w, stale_life, NULL);
    world_deinit(&w);
}

/* Without parity: what is damaged is known, and what the row held. */
static void beyond_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 0, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    struct sfs_group *g = must_make(w, pool, SFS_CLASS_DATA);
    NEED(w, g->record.k == 3 && g->record.m == 0);
    struct row r;
    struct sfs_row_image im;
    put_row(w, pool, g, 0, &r);
    damage_unit(w, pool, g, 1, 0, ROT_FIRST_PAGE);
    NEED_EQ(w, sfs_row_read(pool, g->record.group, 0, 1, &im), SCALEFS_E_CORRUPT);
    NEED(w, im.summary_ok && im.bad == 2 && !im.missing && im.summary.entries == r.s.entries);
    struct sfs_entry e;
    MUST(w, sfs_summary_entry(im.summary_bytes, &im.summary, 0, &e));
    NEED_EQ(w, e.id, r.entries[0].id);
    sfs_row_image_free(pool, &im);
    MUST(w, sfs_member_offline(pool, g->record.columns[0].disk, NULL));
    NEED_EQ(w, sfs_row_read(pool, g->record.group, 0, 1, &im), SCALEFS_E_CORRUPT); /* and 1 is bad */
    NEED(w, im.summary_ok && im.bad == 2 && im.missing == 1);
    sfs_row_image_free(pool, &im);
    sfs_free(w->env, r.data);
    NEED_EQ(w, sfs_row_read(pool, g->record.group + 1, 0, 1, &im), SCALEFS_E_NOENT);
    NEED_EQ(w, sfs_row_read(pool, g->record.group, g->record.rows, 1, &im), SCALEFS_E_NOENT);
    sfs_pool_close(pool);
}

static void what_cannot_be_rebuilt_is_named(void)
{
    struct world w;
    world_init(&w, test_seed());
    add_disks(&w, 3, 64 * MIB);
    live(&w, beyond_life, NULL);
    world_deinit(&w);
}

/* A mirror's disk comes back with what a row held before. */
static void mirror_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    struct sfs_group *g = must_make(w, pool, SFS_CLASS_DATA);
    NEED(w, g->record.k == 1 && g->record.m == 1);
    uint32_t unit = sfs_group_unit(&g->record);
    g->rows = sfs_zalloc(w->env, g->record.rows * sizeof *g->rows);
    for (unsigned c = 0; c < 2; c++) {
        struct row old, new;
        struct sfs_row_image im;
        struct sfs_disk *disk;
        uint16_t index = g->record.columns[c].disk;
        put_row(w, pool, g, 0, &old);
        sfs_group_live(pool, g, 0, 100);
        MUST(w, commit(pool, 1));
        sfs_group_live(pool, g, 0, -100);
        struct sim_disk *d = sim_disk_of(sfs_member_of(pool, index)->disk);
        MUST(w, sfs_member_offline(pool, index, NULL));
        for (unsigned i = 0; i < 3; i++)
            MUST(w, commit(pool, 1));
        put_row(w, pool, g, 0, &new);
        sfs_group_live(pool, g, 0, 100);
        MUST(w, sim_disk_open(d, w->env, &disk));
        MUST(w, sfs_member_online(pool, disk, NULL));
        MUST(w, sfs_row_read(pool, g->record.group, 0, 1, &im));
        NEED(w, im.bad == 1ull << c && !im.missing);
        must_be_right(w, pool, g, &new, &im);
        sfs_row_image_free(pool, &im);
        /* Nor when nothing is known of the row but what it says itself. */
        struct sfs_row_state *known = g->rows;
        g->rows = NULL;
        MUST(w, sfs_row_read(pool, g->record.group, 0, 1, &im));
        NEED(w, im.bad == 1ull << c && !im.missing);
        must_be_right(w, pool, g, &new, &im);
        NEED(w, !im.doubtful);
        sfs_row_image_free(pool, &im);
        g->rows = known;
        /* Where the right one cannot be read, the other one is not called right without a doubt. */
        uint64_t at;
        d = unit_at(w, pool, g, !c, 0, &at);
        sim_disk_make_unreadable(d, at, unit);
        MUST(w, sfs_row_read(pool, g->record.group, 0, 1, &im));
        NEED(w, im.doubtful && im.missing == 1ull << !c);
        sfs_row_image_free(pool, &im);
        MUST(w, sfs_row_write(pool, g->record.group, 0, new.data, &new.s, new.entries));
        MUST(w, sfs_row_read(pool, g->record.group, 0, 1, &im));
        NEED(w, !im.bad && !im.missing && !im.doubtful);
        sfs_row_image_free(pool, &im);
        sfs_member_of(pool, index)->complete = true;
        sfs_group_live(pool, g, 0, -100);
        sfs_free(w->env, old.data);
        sfs_free(w->env, new.data);
    }
    sfs_pool_close(pool);
}

/* The disk with the summary has come back with what the row held before, and another one is away: that none of the others agree with it does
 * not make them bad. */
static void two_failures_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    struct sfs_group *g = must_make(w, pool, SFS_CLASS_DATA);
    NEED(w, g->record.k >= 3 && g->record.m == 1);
    struct row old, new;
    struct sfs_row_image im;
    struct sfs_disk *disk;
    uint16_t last = g->record.columns[g->record.k - 1].disk;
    put_row(w, pool, g, 0, &old);
    sfs_group_live(pool, g, 0, 100);
    MUST(w, commit(pool, 1));
    struct sim_disk *d = sim_disk_of(sfs_member_of(pool, last)->disk);
    MUST(w, sfs_member_offline(pool, last, NULL));
    MUST(w, commit(pool, 1));
    put_row(w, pool, g, 0, &new);
    sfs_group_live(pool, g, 0, 100);
    MUST(w, sim_disk_open(d, w->env, &disk));
    MUST(w, sfs_member_online(pool, disk, NULL));
    d = sim_disk_of(sfs_member_of(pool, g->record.columns[0].disk)->disk);
    MUST(w, sfs_member_offline(pool, g->record.columns[0].disk, NULL));
    NEED_EQ(w, sfs_row_read(pool, g->record.group, 0, 1, &im), SCALEFS_E_SUSPENDED);
    sfs_row_image_free(pool, &im);
    MUST(w, sim_disk_open(d, w->env, &disk));
    MUST(w, sfs_member_online(pool, disk, NULL));
    MUST(w, sfs_row_read(pool, g->record.group, 0, 1, &im));
    must_be_right(w, pool, g, &new, &im);
    sfs_row_image_free(pool, &im);
    sfs_group_live(pool, g, 0, -200);
    sfs_free(w->env, old.data);
    sfs_free(w->env, new.data);
    sfs_pool_close(pool);
}

static void an_older_summary_makes_nothing_hopeless(void)
{
    struct world w;
    world_init(&w, test_seed());
    add_disks(&w, 5, 64 * MIB);
    live(&w, two_failures_life, NULL);
    world_deinit(&w);
}

/* --- rows at once --- */

enum { RUN_ROWS = 6, RUN_BAD = 3 };

struct run_case {
    struct shape shape;
    unsigned column; /* its disk is away */
    enum damage kind;
};

struct seen {
    struct world *w;
    struct sfs_pool *pool;
    struct sfs_group *g;
    const struct row *r;
    const uint8_t *units, *stood;
    unsigned column;
    uint32_t next, none, ends_at;
};

static int see(void *context, uint32_t row, const struct sfs_row_image *im)
{
    struct seen *s = context;
    uint32_t unit = sfs_group_unit(&s->g->record);
    NEED_EQ(s->w, row, s->next++);
    if (row == s->ends_at)
        return SCALEFS_E_BUSY;
    s->none += !im;
    if (!im)
        return SCALEFS_OK;
    must_be_right(s->w, s->pool, s->g, &s->r[row], im);
    NEED(s->w, im->units[s->column] == s->units + (size_t)row * unit);
    NEED(s->w, !memcmp(im->units[s->column], s->stood + (size_t)row * unit, unit));
    return SCALEFS_OK;
}

static void run_life(struct world *w, void *arg)
{
    const struct run_case *rc = arg;
    make_pool(w, rc->shape.failover, rc->shape.optimize);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    struct sfs_group *g = must_make(w, pool, SFS_CLASS_DATA);
    unsigned k = g->record.k, n = k + g->record.m, other = (rc->column + 1) % k;
    uint32_t unit = sfs_group_unit(&g->record);
    struct row r[RUN_ROWS];
    uint8_t *units = sfs_alloc_io(w->env, RUN_ROWS * unit), *stood = sfs_alloc_io(w->env, RUN_ROWS * unit);
    NEED(w, g->record.m < k && rc->column < n);
    for (uint32_t i = 0; i < RUN_ROWS; i++)
        put_row(w, pool, g, i, &r[i]);
    uint64_t at, reads = 0, bytes = 0;
    struct sim_disk *d = unit_at(w, pool, g, rc->column, 0, &at);
    sim_disk_peek(d, at, stood, RUN_ROWS * unit);
    if (rc->kind < KINDS)
        damage_unit(w, pool, g, other, RUN_BAD, rc->kind);
    MUST(w, sfs_member_offline(pool, g->record.columns[rc->column].disk, NULL));
    for (unsigned i = 0; i < sim_farm_count(w->farm); i++) {
        reads -= sim_disk_stats(sim_farm_disk(w->farm, i))->reads;
        bytes -= sim_disk_stats(sim_farm_disk(w->farm, i))->bytes_read;
    }
    struct seen s = {.w = w, .pool = pool, .g = g, .r = r, .units = units, .stood = stood, .column = rc->column, .ends_at = SFS_NONE32};
    struct sfs_row_run run = {.group = g->record.group, .rows = RUN_ROWS, .column = rc->column, .units = units, .each = see, .context = &s};
    MUST(w, sfs_rows_read_few(pool, &run));
    for (unsigned i = 0; i < sim_farm_count(w->farm); i++) {
        reads += sim_disk_stats(sim_farm_disk(w->farm, i))->reads;
        bytes += sim_disk_stats(sim_farm_disk(w->farm, i))->bytes_read;
    }
    NEED_EQ(w, s.next, RUN_ROWS);
    NEED_EQ(w, s.none, rc->kind == KINDS ? 0 : rc->kind == UNREADABLE ? RUN_ROWS : 1); /* what the request was for cannot be told apart */
    NEED_EQ(w, reads, k);
    NEED(w, rc->kind == UNREADABLE || bytes == (uint64_t)k * RUN_ROWS * unit);
    s.next = s.none = 0;
    s.ends_at = 2;
    NEED_EQ(w, sfs_rows_read_few(pool, &run), SCALEFS_E_BUSY);
    NEED_EQ(w, s.next, 3);
    run.row = g->record.rows - 1;
    NEED_EQ(w, sfs_rows_read_few(pool, &run), SCALEFS_E_NOENT);
    for (uint32_t i = 0; i < RUN_ROWS; i++)
        sfs_free(w->env, r[i].data);
    sfs_free(w->env, units);
    sfs_free(w->env, stood);
    sfs_pool_close(pool);
}

static void rows_are_rebuilt_with_one_request_for_each_column(void)
{
    static const struct shape shapes[] = {{4, 1, 0}, {5, 2, 0}, {6, 2, 0}};
    for (unsigned i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (unsigned c = 0; c < shapes[i].disks; c++)
            for (enum damage kind = 0; kind <= KINDS; kind++) {
                struct world w;
                struct run_case rc = {shapes[i], c, kind};
                world_init(&w, test_seed() + c);
                add_disks(&w, shapes[i].disks, 64 * MIB);
                live(&w, run_life, &rc);
                world_deinit(&w);
            }
}

/* --- without memory --- */

static const struct sfs_env_ops *good_env_ops;
static unsigned allocations, fails_at;

static void *alloc_but_one(struct sfs_env *env, size_t bytes, size_t align)
{
    return allocations++ == fails_at ? NULL : good_env_ops->alloc(env, bytes, align);
}

static void want_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 2, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    struct sfs_group *g = must_make(w, pool, SFS_CLASS_DATA);
    struct row r;
    put_row(w, pool, g, 0, &r);
    damage_unit(w, pool, g, g->record.k - 1u, 0, ROT_ALL);
    struct sfs_env_ops ops = *w->env->ops;
    ops.alloc = alloc_but_one;
    good_env_ops = w->env->ops;
    int err = SCALEFS_E_NOMEM;
    for (fails_at = 0; err == SCALEFS_E_NOMEM; fails_at++) {
        struct sfs_row_image im = {0};
        allocations = 0;
        w->env->ops = &ops;
        err = sfs_row_read(pool, g->record.group, 0, 1, &im);
        w->env->ops = good_env_ops;
        NEED(w, !err || err == SCALEFS_E_NOMEM);
        if (im.memory)
            sfs_row_image_free(pool, &im);
    }
    NEED_EQ(w, fails_at, 4); /* the units, the end with the summary, the ends of the parity */
    sfs_free(w->env, r.data);
    sfs_pool_close(pool);
}

static void again_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    struct sfs_group *g = must_make(w, pool, SFS_CLASS_DATA);
    struct row r;
    put_row(w, pool, g, 0, &r);
    sfs_free(w->env, r.data);
    struct sfs_env_ops ops = *w->env->ops;
    ops.alloc = alloc_but_one;
    good_env_ops = w->env->ops;
    w->env->ops = &ops;
    allocations = 0;
    fails_at = ~0u;
    for (uint32_t row = 1; row <= 8; row++) {
        put_row(w, pool, g, row, &r);
        sfs_free(w->env, r.data);
    }
    w->env->ops = good_env_ops;
    NEED_EQ(w, allocations, 2 * 8); /* of a row: its data, which are ours, and what is known of the writing */
    sfs_pool_close(pool);
}

static void parity_takes_the_same_memory_again(void)
{
    struct world w;
    world_init(&w, test_seed());
    add_disks(&w, 4, 64 * MIB);
    live(&w, again_life, NULL);
    world_deinit(&w);
}

static void want_of_memory_is_no_damage(void)
{
    struct world w;
    world_init(&w, test_seed());
    add_disks(&w, 5, 64 * MIB);
    live(&w, want_life, NULL);
    world_deinit(&w);
}

static void a_returning_copy_is_not_taken_for_the_newer_one(void)
{
    struct world w;
    world_init(&w, test_seed());
    add_disks(&w, 2, 64 * MIB);
    live(&w, mirror_life, NULL);
    world_deinit(&w);
}

/* sfs_row_try: the data as it would be if some columns were wrong. */
static void try_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 2, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    struct sfs_group *g = must_make(w, pool, SFS_CLASS_DATA);
    unsigned k = g->record.k, n = k + 2;
    size_t bytes = sfs_group_row_bytes(&g->record);
    uint8_t *out = sfs_alloc_io(w->env, bytes);
    struct row r;
    struct sfs_row_image im;
    for (unsigned a = 0; a < n; a++)
        for (unsigned b = a; b < n; b++) {
            put_row(w, pool, g, 1, &r);
            damage_unit(w, pool, g, a, 1, ROT_ALL);
            damage_unit(w, pool, g, b, 1, a == b ? UNREADABLE : ROT_ALL);
            damage_unit(w, pool, g, (b + 1) % n, 1, ROT_LAST_PAGE); /* one too many, at its end */
            NEED_EQ(w, sfs_row_read(pool, g->record.group, 1, 1, &im),
                    a == b || (b + 1) % n == a ? SCALEFS_OK : SCALEFS_E_CORRUPT);
            uint64_t erased = 1ull << a | 1ull << b;
            NEED(w, sfs_row_try(pool, &im, erased, out));
            /* All but what stands at the units' ends comes out right. */
            for (unsigned c = 0; c < k; c++)
                NEED(w, !memcmp(out + c * (bytes / k), r.data + c * (bytes / k), bytes / k - SIM_PAGE));
            NEED(w, n < 5 || !sfs_row_try(pool, &im, 7, out) || k < 2);
            sfs_row_image_free(pool, &im);
            sfs_free(w->env, r.data);
            put_row(w, pool, g, 1, &r);
            sfs_free(w->env, r.data);
        }
    sfs_free(w->env, out);
    sfs_pool_close(pool);
}

static void what_could_be_wrong_can_be_tried(void)
{
    struct world w;
    world_init(&w, test_seed());
    add_disks(&w, 6, 64 * MIB);
    live(&w, try_life, NULL);
    world_deinit(&w);
}

/* --- plain reads --- */

enum { RANGE_ROWS = 4, GETS = 12 };

/* Ranges of rows 0 … RANGE_ROWS − 1, many in one call, are what was written. */
static void get_ranges(struct world *w, struct sfs_pool *pool, const struct sfs_group_record *g, const struct row *r)
{
    size_t bytes = sfs_group_row_bytes(g);
    for (unsigned round = 0; round < 40; round++) {
        struct sfs_get gets[GETS];
        for (unsigned i = 0; i < GETS; i++) {
            uint32_t row = (uint32_t)prng_below(&w->prng, RANGE_ROWS);
            uint32_t from = (uint32_t)prng_below(&w->prng, bytes);
            uint32_t len = 1 + (uint32_t)prng_below(&w->prng, bytes - from);
            gets[i] = (struct sfs_get){.place = {g->group, row * bytes + from}, .len = len, .copy = 0xff,
                                       .buf = sfs_alloc_io(w->env, len + 2 * SIM_PAGE)};
        }
        sfs_get_many(pool, gets, GETS);
        for (unsigned i = 0; i < GETS; i++) {
            uint64_t from = gets[i].place.offset;
            MUST(w, gets[i].result);
            NEED(w, !memcmp((uint8_t *)gets[i].buf + (from & 4095), r[from / bytes].data + from % bytes, gets[i].len));
            sfs_free(w->env, gets[i].buf);
        }
    }
}

static void gets_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    struct sfs_group *g = must_make(w, pool, SFS_CLASS_DATA);
    size_t bytes = sfs_group_row_bytes(&g->record);
    struct row r[RANGE_ROWS];
    for (uint32_t i = 0; i < RANGE_ROWS; i++)
        put_row(w, pool, g, i, &r[i]);
    NEED(w, g->record.k >= 3);
    get_ranges(w, pool, &g->record, r);
    /* Places that cannot be, as they could come from a disk. */
    uint8_t *buf = sfs_alloc_io(w->env, 8192);
    struct sfs_get bad[] = {{.place = {g->record.group + 1, 0}, .len = 10, .buf = buf, .copy = 0xff},
                            {.place = {SFS_NONE32, 0}, .len = 10, .buf = buf, .copy = 0xff},
                            {.place = {g->record.group, UINT64_MAX - 4}, .len = 10, .buf = buf, .copy = 0xff},
                            {.place = {g->record.group, bytes * g->record.rows - 5}, .len = 10, .buf = buf}};
    sfs_get_many(pool, bad, 4);
    for (unsigned i = 0; i < 4; i++)
        NEED_EQ(w, bad[i].result, SCALEFS_E_IO);
    /* A unit that cannot be read; a disk that is away. */
    damage_unit(w, pool, g, 1, 0, UNREADABLE);
    struct sfs_get one = {.place = {g->record.group, sfs_group_unit(&g->record)}, .len = 100, .buf = buf};
    sfs_get_many(pool, &one, 1);
    NEED_EQ(w, one.result, SCALEFS_E_IO);
    NEED_EQ(w, sfs_member_of(pool, g->record.columns[1].disk)->record.read_errors, 1);
    MUST(w, sfs_member_offline(pool, g->record.columns[1].disk, NULL));
    get_ranges(w, pool, &g->record, r); /* computed from the others */
    MUST(w, sfs_member_offline(pool, g->record.columns[0].disk, NULL));
    sfs_get_many(pool, &one, 1);
    NEED_EQ(w, one.result, SCALEFS_E_GONE);
    for (uint32_t i = 0; i < RANGE_ROWS; i++)
        sfs_free(w->env, r[i].data);
    sfs_free(w->env, buf);
    sfs_pool_close(pool);
}

static void any_range_can_be_read(void)
{
    struct world w;
    world_init(&w, test_seed());
    add_disks(&w, 5, 64 * MIB);
    live(&w, gets_life, NULL);
    world_deinit(&w);
}

static void copies_life(struct world *w, void *arg)
{
    (void)arg;
    enum { PUTS = 20 };
    make_pool(w, 2, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    static const enum sfs_class classes[] = {SFS_CLASS_SYSTEM, SFS_CLASS_METADATA, SFS_CLASS_LANDING};
    for (unsigned cl = 0; cl < 3; cl++) {
        struct sfs_group *g = must_make(w, pool, classes[cl]);
        NEED_EQ(w, g->record.k, 1);
        NEED_EQ(w, g->record.m, 2);
        struct sfs_put puts[PUTS];
        unsigned used[3] = {0, 0, 0};
        for (unsigned i = 0; i < PUTS; i++) {
            uint8_t *buf = sfs_alloc_io(w->env, SFS_NODE_BYTES);
            prng_fill(&w->prng, buf, SFS_NODE_BYTES);
            puts[i] = (struct sfs_put){.place = {g->record.group, (uint64_t)i * 5 * SFS_NODE_BYTES}, .buf = buf,
                                       .len = SFS_NODE_BYTES};
        }
        MUST(w, sfs_put_many(pool, puts, PUTS));
        for (unsigned copy = 0; copy < 4; copy++)
            for (unsigned i = 0; i < PUTS; i++) {
                uint8_t *buf = sfs_alloc_io(w->env, SFS_NODE_BYTES);
                struct sfs_get get = {.place = puts[i].place, .len = SFS_NODE_BYTES, .buf = buf,
                                      .copy = copy == 3 ? 0xff : (uint8_t)copy};
                sfs_get_many(pool, &get, 1);
                MUST(w, get.result);
                NEED(w, !memcmp(buf, puts[i].buf, SFS_NODE_BYTES));
                NEED(w, copy == 3 || get.used_copy == copy);
                if (copy == 3)
                    used[get.used_copy]++;
                sfs_free(w->env, buf);
            }
        NEED(w, used[0] && used[1] && used[2]);
        /* A range of all copies. */
        struct sfs_row_image im;
        uint32_t rows = 4 * SFS_NODE_BYTES / sfs_group_unit(&g->record);
        MUST(w, sfs_row_read(pool, g->record.group, 0, rows, &im));
        for (unsigned c = 0; c < 3; c++)
            NEED(w, !memcmp(im.units[c], puts[0].buf, SFS_NODE_BYTES));
        NEED(w, !im.missing && im.unit_bytes == 4 * SFS_NODE_BYTES);
        sfs_row_image_free(pool, &im);
        for (unsigned i = 0; i < PUTS; i++) {
            union {
                const void *from;
                void *to;
            } u = {puts[i].buf};
            sfs_free(w->env, u.to);
        }
    }
    sfs_pool_close(pool);
}

static void copies_are_all_written_and_all_read(void)
{
    struct world w;
    world_init(&w, test_seed());
    add_disks(&w, 3, 64 * MIB);
    live(&w, copies_life, NULL);
    world_deinit(&w);
}

/* Headers say which column stands where. */
static void headers_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    for (enum sfs_class class = 0; class < SFS_CLASSES; class ++) {
        struct sfs_group *g = must_make(w, pool, class);
        for (unsigned c = 0; c < g->record.k + g->record.m; c++) {
            struct sfs_column_header h;
            uint64_t at;
            uint8_t block[SIM_PAGE];
            struct sim_disk *d = unit_at(w, pool, g, c, 0, &at);
            sim_disk_peek(d, at - SFS_BLOCK, block, SIM_PAGE);
            MUST(w, sfs_column_decode(block, at - SFS_BLOCK, &h));
            NEED(w, h.group == g->record.group && h.column == c && h.class == class);
            NEED(w, h.generation == g->record.generation && h.rows == g->record.rows);
            NEED(w, sfs_uuid_equal(&h.pool, &pool->uuid) && h.disk_index == g->record.columns[c].disk);
        }
    }
    sfs_pool_close(pool);
}

static void columns_begin_with_their_headers(void)
{
    struct world w;
    world_init(&w, test_seed());
    add_disks(&w, 4, 64 * MIB);
    live(&w, headers_life, NULL);
    world_deinit(&w);
}

/* --- parity that came after rows were written --- */

/* The group gets one parity column more, on the member that has none; rows are as if a mover had been there. */
static void grow(struct world *w, struct sfs_pool *pool, struct sfs_group *g, const struct row *r, uint32_t row)
{
    struct sfs_group_record was = g->record;
    unsigned c = (unsigned)was.k + was.m;
    uint32_t unit = sfs_group_unit(&was);
    struct sfs_column to;
    int err = SCALEFS_E_NOENT;
    sfs_mutex_lock(&pool->lock);
    for (unsigned i = 0; i < pool->member_count && err; i++) {
        bool there = false;
        for (unsigned b = 0; b < c; b++)
            there = there || was.columns[b].disk == pool->members[i].record.index;
        if (!there)
            err = sfs_column_take(pool, &was, c, pool->members[i].record.index, &to);
    }
    sfs_mutex_unlock(&pool->lock);
    MUST(w, err);
    uint8_t *parity = sfs_alloc_io(w->env, unit), *units[SFS_COLUMNS_MAX];
    for (unsigned i = 0; i < was.k; i++)
        units[i] = r->data + (size_t)i * unit;
    units[c] = parity;
    NEED(w, sfs_parity_rebuild(was.k, was.m + 1u, unit, units, 1ull << c, 0));
    struct sfs_unit_io io = {.at = to, .row = row, .len = unit, .write = true, .buf = parity};
    MUST(w, sfs_units_run(pool, &was, &io, 1));
    sfs_mutex_lock(&pool->lock);
    sfs_group_add_column(pool, g, &to);
    sfs_mutex_unlock(&pool->lock);
    sfs_free(w->env, parity);
}

static void read_grown(struct world *w, struct sfs_pool *pool, struct sfs_group *g, uint32_t row, const struct row *r, uint64_t bad)
{
    struct sfs_row_image im;
    MUST(w, sfs_row_read(pool, g->record.group, row, 1, &im));
    must_be_right(w, pool, g, r, &im);
    NEED_EQ(w, im.bad | im.missing, bad);
    sfs_row_image_free(pool, &im);
}

static void grown_life(struct world *w, void *arg)
{
    const struct shape *shape = arg;
    make_pool(w, shape->failover, shape->optimize);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    struct sfs_group *g = must_make(w, pool, SFS_CLASS_DATA);
    unsigned n = g->record.k + g->record.m;
    NEED(w, n < shape->disks);
    uint32_t unit = sfs_group_unit(&g->record);
    struct row old, fresh;
    put_row(w, pool, g, 0, &old);
    grow(w, pool, g, &old, 0);
    read_grown(w, pool, g, 0, &old, 0);
    /* It serves to rebuild any of the others, although no sum tells of it. */
    uint8_t *kept = sfs_alloc_io(w->env, unit);
    uint64_t at;
    for (unsigned c = 0; c < n; c++) {
        struct sim_disk *d = unit_at(w, pool, g, c, 0, &at);
        sim_disk_peek(d, at, kept, unit);
        sim_disk_rot(d, at, unit);
        read_grown(w, pool, g, 0, &old, 1ull << c);
        sim_disk_poke(d, at, kept, unit);
    }
    /* What is wrong in it is found, and not used. */
    struct sim_disk *d = unit_at(w, pool, g, n, 0, &at);
    sim_disk_peek(d, at, kept, unit);
    sim_disk_rot(d, at, SIM_PAGE);
    read_grown(w, pool, g, 0, &old, 1ull << n);
    sim_disk_poke(d, at, kept, unit);
    /* One column still has a row of the time before, which agrees with itself: its disk was away when the row was written anew. */
    for (unsigned c = 0; c < n; c++) {
        g->record.m--;
        put_row(w, pool, g, 0, &fresh);
        g->record.m++;
        sfs_free(w->env, fresh.data);
        d = unit_at(w, pool, g, c, 0, &at);
        sim_disk_peek(d, at, kept, unit);
        pool->txn++;
        put_row(w, pool, g, 0, &fresh);
        sim_disk_poke(d, at, kept, unit);
        struct sfs_member *m = sfs_member_of(pool, g->record.columns[c].disk);
        m->complete = false;
        m->record.flushed_txn = fresh.s.txn - 1;
        read_grown(w, pool, g, 0, &fresh, 1ull << c);
        m->complete = true;
        sfs_free(w->env, fresh.data);
    }
    sfs_free(w->env, old.data);
    sfs_free(w->env, kept);
    sfs_pool_close(pool);
}

static void parity_may_come_later(void)
{
    static const struct shape shapes[] = {{2, 0, 100}, {4, 0, 50}, {4, 1, 100}, {5, 1, 50}};
    for (unsigned i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct world w;
        world_init(&w, test_seed());
        add_disks(&w, shapes[i].disks, 64 * MIB);
        live(&w, grown_life, (void *)&shapes[i]);
        world_deinit(&w);
    }
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(every_bearable_loss_is_rebuilt);
    RUN(units_of_other_writes_are_found);
    RUN(what_cannot_be_rebuilt_is_named);
    RUN(a_returning_copy_is_not_taken_for_the_newer_one);
    RUN(an_older_summary_makes_nothing_hopeless);
    RUN(parity_takes_the_same_memory_again);
    RUN(rows_are_rebuilt_with_one_request_for_each_column);
    RUN(want_of_memory_is_no_damage);
    RUN(what_could_be_wrong_can_be_tried);
    RUN(any_range_can_be_read);
    RUN(copies_are_all_written_and_all_read);
    RUN(columns_begin_with_their_headers);
    RUN(parity_may_come_later);
    return TEST_END();
}
