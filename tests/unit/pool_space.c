/* Atoms, groups, rows and how much room there is. */
#include "pool_fixture.h"

#include "pool/internal.h"

static void on_sizes(unsigned count, const unsigned *mib, void (*life)(struct world *, void *), void *arg)
{
    struct world w;
    world_init(&w, test_seed());
    for (unsigned i = 0; i < count; i++)
        add_disks(&w, 1, mib[i] * MIB);
    live(&w, life, arg);
    world_deinit(&w);
}

/* --- atoms --- */

static void atoms_model_life(struct world *w, void *arg)
{
    enum { ATOMS = 301 };
    (void)arg;
    struct sfs_pool *pool = sfs_pool_new(w->env);
    struct sfs_member *m = &pool->members[0];
    bool used[ATOMS] = {false};
    struct {
        uint32_t atom, atoms;
    } held[ATOMS];
    unsigned count = 0;
    pool->member_count = 1;
    m->record.atoms = ATOMS;
    MUST(w, sfs_atoms_init(pool, m));
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t n = 1u << prng_below(&w->prng, 7), atom;
        uint32_t areas = 0, free = 0;
        for (uint32_t a = 0; a + n <= ATOMS; a += n) {
            bool all = true;
            for (uint32_t b = a; b < a + n; b++)
                all = all && !used[b];
            areas += all;
        }
        for (uint32_t a = 0; a < ATOMS; a++)
            free += !used[a];
        NEED(w, m->free_atoms == free && sfs_atoms_areas(m, n) == areas);
        if (count && prng_chance(&w->prng, 9, 20)) {
            unsigned which = (unsigned)prng_below(&w->prng, count);
            sfs_atoms_release(m, held[which].atom, held[which].atoms);
            for (uint32_t b = 0; b < held[which].atoms; b++)
                used[held[which].atom + b] = false;
            held[which] = held[--count];
            continue;
        }
        bool got = sfs_atoms_take(m, n, &atom);
        NEED_EQ(w, got, areas > 0);
        if (!got)
            continue;
        NEED(w, atom % n == 0 && atom + n <= ATOMS);
        for (uint32_t b = atom; b < atom + n; b++) {
            NEED(w, !used[b]);
            used[b] = true;
        }
        NEED(w, !sfs_atoms_claim(m, atom, 1));
        held[count].atom = atom;
        held[count++].atoms = n;
    }
    NEED(w, !sfs_atoms_claim(m, ATOMS - 1, 2));
    sfs_pool_free(pool);
}

/* Single atoms do not break up what is whole. */
static void atoms_fit_life(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_pool *pool = sfs_pool_new(w->env);
    struct sfs_member *m = &pool->members[0];
    uint32_t atom;
    pool->member_count = 1;
    m->record.atoms = 256;
    MUST(w, sfs_atoms_init(pool, m));
    NEED(w, sfs_atoms_claim(m, 64, 32) && sfs_atoms_claim(m, 130, 1));
    for (unsigned i = 0; i < 63; i++) /* around atom 130 there is room for these */
        NEED(w, sfs_atoms_take(m, 1, &atom) && (atom >= 96 || i >= 200));
    NEED_EQ(w, sfs_atoms_areas(m, 64), 2);
    sfs_pool_free(pool);
}

static void atoms_agree_with_a_model(void)
{
    on_sizes(0, NULL, atoms_model_life, NULL);
}

static void small_areas_leave_large_ones_whole(void)
{
    on_sizes(0, NULL, atoms_fit_life, NULL);
}

/* --- groups --- */

static void shape_ok(struct world *w, struct sfs_pool *pool, const struct sfs_group *g)
{
    const struct sfs_group_record *r = &g->record;
    uint32_t unit = sfs_group_unit(r);
    unsigned columns = r->k + r->m;
    NEED_EQ(w, r->rows, ((1ull << r->column_log2) - 4096) / unit);
    for (unsigned c = 0; c < columns; c++) {
        NEED(w, r->columns[c].atom % sfs_column_atoms(r) == 0);
        for (unsigned d = 0; d < c; d++)
            NEED(w, r->columns[c].disk != r->columns[d].disk || pool->member_count == 1);
    }
    if (r->class == SFS_CLASS_DATA) {
        /* 32 rows to a column, unless they would be too small to hold any extent. */
        bool least = (uint64_t)unit * r->k < 512u << 10;
        NEED(w, unit >= 32768 && unit <= 262144 && (unit <= (1ull << r->column_log2) / 32 || least));
        NEED(w, unit == 32768 || (uint64_t)unit * r->k <= SFS_ROW_TARGET_BYTES);
        NEED(w, r->rows >= 15);
    } else {
        NEED(w, r->k == 1 && r->column_log2 <= 26);
        NEED_EQ(w, unit, r->class == SFS_CLASS_LANDING ? 4096 : 16384);
    }
}

static struct sfs_group *make(struct world *w, struct sfs_pool *pool, enum sfs_class class, bool reserve)
{
    struct sfs_group *g;
    int err = sfs_group_make(pool, class, reserve ? SFS_FOR_CLEANERS : SFS_FOR_WRITERS, &g);
    if (err == SCALEFS_E_NOSPC)
        return NULL;
    MUST(w, err);
    NEED(w, !g->allocating && g->record.birth == pool->txn && sfs_group_of(pool, g->record.group) == g);
    shape_ok(w, pool, g);
    return g;
}

struct fill {
    uint8_t failover, optimize;
    unsigned within; /* per mille */
};

/* Fills the pool with data groups: that many bytes fit as were promised, and the reserve is left. */
static void fill_life(struct world *w, void *arg)
{
    const struct fill *f = arg;
    make_pool(w, f->failover, f->optimize);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    struct sfs_group *g, *system = make(w, pool, SFS_CLASS_SYSTEM, false),
                         *metadata = make(w, pool, SFS_CLASS_METADATA, false);
    NEED(w, system && metadata && make(w, pool, SFS_CLASS_LANDING, false));
    /* While these have dead rows enough, the reserve is in them; half used, they need others behind them. */
    uint64_t with_rows = sfs_groups_unallocated(pool);
    system->count.used_rows = system->record.rows / 2;
    metadata->count.used_rows = metadata->record.rows / 2;
    NEED(w, sfs_groups_unallocated(pool) < with_rows);
    uint64_t capacity = sfs_groups_capacity(pool), promised = sfs_groups_unallocated(pool), got = 0, groups = 0;
    NEED(w, capacity > promised);
    while ((g = make(w, pool, SFS_CLASS_DATA, false)) != NULL) {
        got += g->record.rows * (sfs_group_row_bytes(&g->record) - SFS_BLOCK);
        groups++;
        if (groups % 16 == 0) {
            MUST(w, commit(pool, 1));
            uint64_t left = sfs_groups_unallocated(pool);
            uint64_t sum = got + left, off = sum > promised ? sum - promised : promised - sum;
            NEED(w, off * 1000 <= promised * f->within);
        }
    }
    uint64_t off = got > promised ? got - promised : promised - got;
    if (off * 1000 > promised * f->within)
        sim_fail(w->sim, "promised %llu MiB, got %llu MiB in %llu groups", (unsigned long long)(promised >> 20),
                 (unsigned long long)(got >> 20), (unsigned long long)groups);
    NEED(w, sfs_groups_unallocated(pool) * 1000 <= promised * f->within);
    NEED(w, !make(w, pool, SFS_CLASS_LANDING, false));
    NEED(w, make(w, pool, SFS_CLASS_SYSTEM, false) && make(w, pool, SFS_CLASS_METADATA, true));
    NEED(w, make(w, pool, SFS_CLASS_DATA, true));
    MUST(w, commit(pool, 2));
    /* What was loaded agrees with what was made: no atom is used twice, none is lost. */
    uint64_t digest = digest_of(pool);
    uint32_t free[DISKS_MAX];
    unsigned members = pool->member_count;
    for (unsigned i = 0; i < members; i++)
        free[i] = pool->members[i].free_atoms;
    sfs_pool_close(pool);
    pool = must_open(w, NULL, ALL_DISKS);
    NEED(w, digest_of(pool) == digest);
    for (unsigned i = 0; i < members; i++)
        NEED_EQ(w, pool->members[i].free_atoms, free[i]);
    sfs_pool_close(pool);
}

static void what_is_promised_fits(void)
{
    static const struct {
        unsigned count, mib[6];
        struct fill fill;
    } cases[] = {
        {1, {512}, {0, 0, 20}},
        {2, {512, 512}, {1, 0, 20}},
        {4, {1024, 1024, 1024, 1024}, {1, 0, 20}},
        {5, {512, 700, 900, 2048, 4096}, {2, 0, 30}},
        {6, {256, 300, 400, 500, 600, 700}, {1, 50, 30}},
        {4, {16384, 16384, 20000, 30000}, {1, 0, 30}},
        {3, {320, 200, 128}, {0, 100, 30}},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fill fill = cases[i].fill;
        on_sizes(cases[i].count, cases[i].mib, fill_life, &fill);
    }
}

/* Small disks: a pool of the smallest ones still holds something. */
static void smallest_life(struct world *w, void *arg)
{
    const struct fill *f = arg;
    make_pool(w, f->failover, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    NEED(w, make(w, pool, SFS_CLASS_SYSTEM, false) && make(w, pool, SFS_CLASS_METADATA, false));
    NEED(w, sfs_groups_unallocated(pool) > 1u << 20);
    NEED(w, make(w, pool, SFS_CLASS_DATA, false));
    sfs_pool_close(pool);
}

static void the_smallest_disks_hold_data(void)
{
    static const unsigned sizes[] = {32, 32, 32};
    on_sizes(1, sizes, smallest_life, &(struct fill){.failover = 0});
    on_sizes(2, sizes, smallest_life, &(struct fill){.failover = 1});
    on_sizes(3, sizes, smallest_life, &(struct fill){.failover = 1});
}

/* What is freed is used again when no record that may be opened needs it. */
static void reuse_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    struct sfs_group *g = make(w, pool, SFS_CLASS_DATA, false);
    uint32_t before = pool->members[0].free_atoms, atoms = sfs_column_atoms(&g->record);
    struct sfs_column column = g->record.columns[0];
    uint64_t generation = g->record.generation;
    struct sfs_member *m = sfs_member_of(pool, column.disk);
    MUST(w, commit(pool, 1));
    MUST(w, commit(pool, 2));
    uint64_t freed = pool->txn;
    sfs_group_free(pool, g);
    while (pool->committed < freed + SFS_REUSE_AFTER) {
        NEED(w, !sfs_atoms_claim(m, column.atom, atoms));
        sfs_groups_reclaim(pool);
        NEED_EQ(w, pool->members[0].free_atoms, before);
        MUST(w, commit(pool, 3));
    }
    NEED_EQ(w, pool->members[0].free_atoms, before + atoms);
    struct sfs_group *again = make(w, pool, SFS_CLASS_DATA, false);
    NEED(w, again->record.generation > generation && again->record.group == 0);
    /* Rows. */
    again->rows = sfs_zalloc(w->env, again->record.rows * sizeof *again->rows);
    uint32_t row, first;
    MUST(w, sfs_group_take_row(pool, again, &first));
    sfs_group_live(pool, again, first, 700);
    sfs_group_row_done(pool, again);
    NEED(w, again->count.live == 700 && again->count.used_rows == 1 && again->count.last_txn == pool->txn);
    for (uint32_t i = 1; i < again->record.rows; i++) {
        MUST(w, sfs_group_take_row(pool, again, &row));
        NEED(w, row != first);
        sfs_group_live(pool, again, row, 1);
        sfs_group_row_done(pool, again);
    }
    NEED_EQ(w, sfs_group_take_row(pool, again, &row), SCALEFS_E_NOSPC);
    MUST(w, commit(pool, 4));
    freed = pool->txn;
    sfs_group_live(pool, again, first, -700);
    NEED_EQ(w, again->count.used_rows, again->record.rows - 1);
    while (pool->committed < freed + SFS_REUSE_AFTER) {
        NEED_EQ(w, sfs_group_take_row(pool, again, &row), SCALEFS_E_NOSPC);
        MUST(w, commit(pool, 5));
    }
    MUST(w, sfs_group_take_row(pool, again, &row));
    NEED_EQ(w, row, first);
    NEED_EQ(w, sfs_group_take_row(pool, again, &row), SCALEFS_E_NOSPC); /* it is taken */
    NEED_EQ(w, again->in_flight, 1);
    sfs_group_row_done(pool, again);
    sfs_pool_close(pool);
}

static void freed_space_waits_for_its_commits(void)
{
    static const unsigned sizes[] = {256, 256, 256};
    on_sizes(3, sizes, reuse_life, NULL);
}

/* System groups come back with their rows; landing logs go on where they ended. */
static void bitmap_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    struct sfs_group *s = make(w, pool, SFS_CLASS_SYSTEM, false), *l = make(w, pool, SFS_CLASS_LANDING, false);
    bool live[300] = {false};
    uint32_t row;
    uint64_t offset;
    for (unsigned i = 0; i < 200; i++) {
        MUST(w, sfs_group_take_row(pool, s, &row));
        live[row] = prng_chance(&w->prng, 1, 2);
        if (live[row])
            sfs_group_live(pool, s, row, SFS_NODE_BYTES);
        sfs_group_row_done(pool, s);
    }
    MUST(w, sfs_group_take_log(pool, l, 10, &offset));
    NEED_EQ(w, offset, 0);
    MUST(w, sfs_group_take_log(pool, l, 7, &offset));
    NEED_EQ(w, offset, 10 * 4096);
    sfs_group_live(pool, l, 12, 3000);
    NEED_EQ(w, sfs_group_take_log(pool, l, l->record.rows, &offset), SCALEFS_E_NOSPC);
    MUST(w, commit(pool, 1));
    uint32_t sn = s->record.group, ln = l->record.group;
    uint64_t digest = digest_of(pool);
    sfs_pool_close(pool);
    pool = must_open(w, NULL, ALL_DISKS);
    NEED(w, digest_of(pool) == digest);
    s = sfs_group_of(pool, sn);
    l = sfs_group_of(pool, ln);
    for (uint32_t r = 0; r < s->record.rows; r++)
        NEED_EQ(w, s->rows[r].live, r < 300 && live[r] ? SFS_NODE_BYTES : 0);
    MUST(w, sfs_group_take_log(pool, l, 1, &offset));
    NEED(w, offset == 17 * 4096 && l->count.live == 3000);
    sfs_group_row_done(pool, l);
    for (unsigned i = 0; i < 50; i++) {
        MUST(w, sfs_group_take_row(pool, s, &row));
        NEED(w, row >= 300 || !live[row]);
    }
    s->in_flight = 0;
    sfs_pool_close(pool);
}

static void rows_of_nodes_and_logs_come_back(void)
{
    static const unsigned sizes[] = {128, 128};
    on_sizes(2, sizes, bitmap_life, NULL);
}

/* Absent, leaving and failed disks get nothing new; redundancy is as much as there are disks for. */
static void degraded_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 2, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    struct sfs_group *g = make(w, pool, SFS_CLASS_DATA, false);
    NEED(w, g->record.k == 2 && g->record.m == 2);
    MUST(w, sfs_member_offline(pool, 2, NULL));
    g = make(w, pool, SFS_CLASS_DATA, false);
    NEED(w, g->record.k == 1 && g->record.m == 2);
    for (unsigned c = 0; c < 3; c++)
        NEED(w, g->record.columns[c].disk != 2);
    sfs_member_of(pool, 3)->record.wish = SFS_WISH_LEAVE;
    g = make(w, pool, SFS_CLASS_METADATA, false);
    NEED(w, g->record.k == 1 && g->record.m == 1);
    for (unsigned c = 0; c < 2; c++)
        NEED(w, g->record.columns[c].disk != 2 && g->record.columns[c].disk != 3);
    MUST(w, commit(pool, 1));
    sfs_pool_close(pool);
}

static void only_usable_disks_get_columns(void)
{
    static const unsigned sizes[] = {128, 128, 128, 128};
    on_sizes(4, sizes, degraded_life, NULL);
}

/* What was accepted finds room where nobody else may: in what a change is to have, and on disks that leave when no others are there. */
static void accepted_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 0, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    struct sfs_group *g;
    const int64_t none[SFS_DISKS_MAX] = {0};
    sfs_groups_foretold(pool, none);
    NEED(w, !make(w, pool, SFS_CLASS_DATA, false));
    MUST(w, sfs_group_make(pool, SFS_CLASS_DATA, SFS_FOR_ACCEPTED, &g));
    sfs_groups_foretold(pool, NULL);
    NEED(w, make(w, pool, SFS_CLASS_DATA, false));
    for (uint16_t i = 1; i <= 2; i++)
        sfs_member_of(pool, i)->record.wish = SFS_WISH_LEAVE;
    NEED(w, !make(w, pool, SFS_CLASS_DATA, false));
    MUST(w, sfs_group_make(pool, SFS_CLASS_DATA, SFS_FOR_ACCEPTED, &g));
    MUST(w, commit(pool, 1));
    sfs_pool_close(pool);
}

static void accepted_data_finds_room(void)
{
    static const unsigned sizes[] = {128, 128};
    on_sizes(2, sizes, accepted_life, NULL);
}

static void one_disk_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 0, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    struct sfs_group *g = must_make(w, pool, SFS_CLASS_METADATA);
    NEED(w, g->record.k == 1 && g->record.m == 1 && g->record.columns[0].atom != g->record.columns[1].atom);
    uint8_t *buf = sfs_alloc_io(w->env, 16384), *back = sfs_alloc_io(w->env, 16384);
    prng_fill(&w->prng, buf, 16384);
    struct sfs_put put = {.place = {g->record.group, 16384 * 3}, .buf = buf, .len = 16384};
    MUST(w, sfs_put_many(pool, &put, 1));
    for (uint8_t copy = 0; copy < 2; copy++) {
        struct sfs_get get = {.place = put.place, .len = 16384, .buf = back, .copy = copy};
        sfs_get_many(pool, &get, 1);
        MUST(w, get.result);
        NEED(w, !memcmp(buf, back, 16384));
    }
    sfs_free(w->env, buf);
    sfs_free(w->env, back);
    g = make(w, pool, SFS_CLASS_DATA, false);
    NEED(w, g->record.k == 1 && g->record.m == 0);
    MUST(w, commit(pool, 1));
    sfs_pool_close(pool);
}

static void one_disk_keeps_nodes_twice(void)
{
    static const unsigned sizes[] = {128};
    on_sizes(1, sizes, one_disk_life, NULL);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(atoms_agree_with_a_model);
    RUN(small_areas_leave_large_ones_whole);
    RUN(what_is_promised_fits);
    RUN(the_smallest_disks_hold_data);
    RUN(freed_space_waits_for_its_commits);
    RUN(rows_of_nodes_and_logs_come_back);
    RUN(only_usable_disks_get_columns);
    RUN(accepted_data_finds_room);
    RUN(one_disk_keeps_nodes_twice);
    return TEST_END();
}
