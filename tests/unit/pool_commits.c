/* Making a pool, committing, opening again; power cuts at every disk request of each.
 *
 * After a cut while a pool is made there is none, or the whole one. After a cut while it is used, it opens in the state
 * of some commit, not older than the last one that was acknowledged, with exactly the table of that commit.
 */
#include "pool_fixture.h"

/* --- making --- */

static void format_work(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
}

static void format_check(struct world *w, void *arg)
{
    struct sfs_pool *pool;
    struct scalefs_error_info info = {0, ""};
    unsigned *whole = arg;
    int err = open_some(w, NULL, ALL_DISKS, &pool, &info);
    if (err == SCALEFS_E_NOT_A_POOL) {
        make_pool(w, 1, 0); /* nothing is in the way of another try */
        pool = must_open(w, NULL, ALL_DISKS);
    } else {
        MUST(w, err);
        whole[0]++;
    }
    NEED_EQ(w, members_in(pool, SFS_DISK_ONLINE), 3);
    NEED_EQ(w, members_complete(pool), 3);
    NEED(w, !strcmp(pool->config.name, "tank") && pool->config.failover == 1);
    NEED(w, !pool->suspended);
    sfs_pool_close(pool);
}

static void a_cut_while_a_pool_is_made_leaves_none_or_all(void)
{
    struct sim_farm *farm = sim_farm_create(test_seed());
    unsigned whole = 0;
    uint64_t cuts;
    for (unsigned i = 0; i < 3; i++) {
        struct sim_disk *d = sim_farm_add(farm, &(struct sim_disk_options){.size_bytes = (32 + 7 * i) * MIB});
        /* What was there before must not show afterwards. */
        uint8_t junk[SIM_PAGE];
        memset(junk, 0x5a, sizeof junk);
        sim_disk_poke(d, 0, junk, sizeof junk);
    }
    CHECK(world_sweep(&(struct world_sweep){.seed = test_seed(), .start = farm, .work = format_work,
                                            .check = format_check, .arg = &whole, .outcomes = 4},
                      &cuts));
    CHECK(cuts > 20 && whole > 4 && whole < cuts);
    sim_farm_destroy(farm);
}

static void wipe_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 0, 0);
    uint8_t block[SIM_PAGE], zeros[SIM_PAGE] = {0};
    sim_disk_peek(sim_farm_disk(w->farm, 0), 0, block, sizeof block);
    NEED(w, !memcmp(block, zeros, sizeof block));
}

static void older_signatures_are_wiped(void)
{
    struct world w;
    uint8_t block[SIM_PAGE];
    world_init(&w, test_seed());
    add_disks(&w, 1, 32 * MIB);
    memset(block, 0x77, sizeof block);
    sim_disk_poke(sim_farm_disk(w.farm, 0), 0, block, sizeof block);
    live(&w, wipe_life, NULL);
    world_deinit(&w);
}

static void refusals_life(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_disk *disks[DISKS_MAX];
    for (unsigned i = 0; i < sim_farm_count(w->farm); i++) /* as they are: a zoned one without a head */
        MUST(w, sim_disk_open(sim_farm_disk(w->farm, i), w->env, &disks[i]));
    static const struct {
        struct sfs_pool_format how;
        unsigned first, count;
        int error;
    } cases[] = {
        {{.name = "a", .failover = 2}, 0, 2, SCALEFS_E_TOO_FEW},
        {{.name = "a", .failover = 32}, 0, 3, SCALEFS_E_INVAL},
        {{.name = "a", .optimize = 101}, 0, 3, SCALEFS_E_INVAL},
        {{.name = ""}, 0, 2, SCALEFS_E_INVAL},
        {{.name = "1234567890123456789012345678901234567890123456789012345678901234"}, 0, 2, SCALEFS_E_INVAL},
        {{.name = "a"}, 0, 0, SCALEFS_E_INVAL},
        {{.name = "a"}, 1, 2, SCALEFS_E_TOO_SMALL},
        {{.name = "a"}, 3, 1, SCALEFS_E_NOTSUP},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scalefs_error_info info = {0, ""};
        int err = sfs_pool_format(w->env, disks + cases[i].first, cases[i].count, &cases[i].how, NULL, &info);
        if (err != cases[i].error || info.error != err || !info.text[0])
            sim_fail(w->sim, "case %u: %s", i, scalefs_error_name(err));
    }
    world_close_disks(w, disks);
    for (unsigned i = 0; i < sim_farm_count(w->farm); i++)
        NEED_EQ(w, sim_disk_stored_pages(sim_farm_disk(w->farm, i)), 0);
}

static void what_cannot_be_is_refused_before_anything_is_written(void)
{
    struct world w;
    world_init(&w, test_seed());
    add_disks(&w, 2, 32 * MIB);
    add_disks(&w, 1, 32 * MIB - 4096);
    sim_farm_add(w.farm, &(struct sim_disk_options){.size_bytes = 64 * MIB, .zone_bytes = 4 * MIB});
    live(&w, refusals_life, NULL);
    world_deinit(&w);
}

/* --- using --- */

enum { STATES = 16 };

struct model {
    uint64_t digest[STATES + 2];
    uint64_t begun, acked; /* states */
    unsigned seen;         /* different states found by checks */
    uint64_t last_seen;
};

static void forget(void *arg)
{
    struct model *m = arg;
    m->begun = m->acked = 0;
}

/* Something different in each state: groups come and go, counters and bitmaps change. */
static void change(struct world *w, struct sfs_pool *pool, uint64_t state)
{
    enum sfs_class class = (enum sfs_class)(state % SFS_CLASSES);
    struct sfs_group *g = must_make(w, pool, class);
    sfs_mutex_lock(&pool->lock);
    if (class == SFS_CLASS_LANDING) {
        uint64_t offset;
        MUST(w, sfs_group_take_log(pool, g, 3, &offset));
        NEED_EQ(w, offset, 0);
    } else {
        uint32_t row;
        if (!g->rows)
            g->rows = sfs_zalloc(w->env, g->record.rows * sizeof *g->rows);
        MUST(w, sfs_group_take_row(pool, g, &row));
        sfs_group_live(pool, g, row, class == SFS_CLASS_DATA ? 5000 : SFS_NODE_BYTES);
    }
    sfs_group_row_done(pool, g);
    for (uint32_t n = 0; n < pool->group_cap && state % 3 == 0; n++) {
        struct sfs_group *old = pool->groups[n];
        if (old && old != g && old->count.live && old->rows) {
            for (uint32_t r = 0; r < old->record.rows; r++)
                if (old->rows[r].live)
                    sfs_group_live(pool, old, r, -(int64_t)old->rows[r].live);
            sfs_group_free(pool, old);
            break;
        }
    }
    pool->config.extents_repaired = state;
    pool->config_dirty = true;
    pool->scrub = (struct sfs_task_record){.id = 1, .kind = 1, .bytes_done = state};
    sfs_mutex_unlock(&pool->lock);
}

static void use_work(struct world *w, void *arg)
{
    struct model *m = arg;
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    for (uint64_t state = 1; state <= STATES; state++) {
        change(w, pool, state);
        sfs_mutex_lock(&pool->lock);
        m->digest[state] = digest_of(pool);
        sfs_mutex_unlock(&pool->lock);
        m->begun = state;
        MUST(w, commit(pool, state));
        m->acked = state;
    }
    NEED_EQ(w, pool->committed + 1, pool->txn);
    sfs_pool_close(pool);
}

static void use_check(struct world *w, void *arg)
{
    struct model *m = arg;
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    uint64_t state = pool->last.pool_tree;
    if (state < m->acked || state > m->begun)
        sim_fail(w->sim, "state %llu, acknowledged %llu, begun %llu", (unsigned long long)state,
                 (unsigned long long)m->acked, (unsigned long long)m->begun);
    if (state)
        NEED(w, digest_of(pool) == m->digest[state]);
    /* A cut leaves nobody behind. */
    NEED_EQ(w, members_complete(pool), pool->member_count);
    m->seen += state != m->last_seen;
    m->last_seen = state;
    /* And it goes on from there. */
    change(w, pool, STATES + 1);
    uint64_t digest = digest_of(pool);
    MUST(w, commit(pool, STATES + 1));
    sfs_pool_close(pool);
    pool = must_open(w, NULL, ALL_DISKS);
    NEED_EQ(w, pool->last.pool_tree, STATES + 1);
    NEED(w, digest_of(pool) == digest);
    sfs_pool_close(pool);
}

static void make_life(struct world *w, void *arg)
{
    const uint8_t *failover = arg;
    make_pool(w, *failover, 0);
}

static void a_cut_while_committing_leaves_a_commit_whole(void)
{
    struct world w;
    struct model m = {.last_seen = UINT64_MAX};
    uint8_t failover = 1;
    uint64_t cuts;
    world_init(&w, test_seed());
    add_disks(&w, 2, 256 * MIB);
    add_disks(&w, 1, 400 * MIB);
    if (live(&w, make_life, &failover)) {
        sim_farm_settle(w.farm);
        CHECK(world_sweep(&(struct world_sweep){.seed = test_seed(), .start = w.farm, .begin = forget,
                                                .work = use_work, .check = use_check, .arg = &m,
                                                .outcomes = 2},
                          &cuts));
        CHECK(cuts > 150 && m.seen >= STATES);
    }
    world_deinit(&w);
}

/* --- the table --- */

static void reopen(struct world *w, struct sfs_pool **pool)
{
    uint64_t digest = digest_of(*pool), state = (*pool)->last.pool_tree;
    sfs_pool_close(*pool);
    *pool = must_open(w, NULL, ALL_DISKS);
    NEED(w, digest_of(*pool) == digest);
    NEED_EQ(w, (*pool)->last.pool_tree, state);
}

/* Hundreds of groups: many pages, objects that grow and move, pages that become empty. */
static void table_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    struct sfs_group *g;
    unsigned made = 0;
    for (; made < 700; made++) {
        enum sfs_class class = made % 9 ? SFS_CLASS_LANDING : SFS_CLASS_SYSTEM;
        sfs_mutex_lock(&pool->lock);
        int err = sfs_group_make(pool, class, SFS_FOR_WRITERS, &g);
        sfs_mutex_unlock(&pool->lock);
        MUST(w, err);
        if (made % 50 == 49)
            MUST(w, commit(pool, made));
    }
    MUST(w, commit(pool, made));
    reopen(w, &pool);
    /* Records that grow: a third parity column that is nowhere yet. */
    for (uint32_t n = 0; n < pool->group_cap; n++) {
        if (!pool->groups[n])
            continue;
        pool->groups[n]->record.m++;
        sfs_table_mark_group(pool, pool->groups[n]);
        if (n % 100 == 0)
            MUST(w, commit(pool, n));
    }
    MUST(w, commit(pool, 1));
    reopen(w, &pool);
    for (uint32_t n = 0; n < pool->group_cap; n++)
        if (pool->groups[n] && n % 7)
            sfs_group_free(pool, pool->groups[n]);
    MUST(w, commit(pool, 2));
    reopen(w, &pool);
    for (unsigned i = 0; i < 200; i++) /* far more slots are written than there are */
        MUST(w, commit(pool, i));
    reopen(w, &pool);
    sfs_pool_close(pool);
}

static void the_table_keeps_many_groups(void)
{
    struct world w;
    world_init(&w, test_seed());
    add_disks(&w, 6, 16384 * MIB);
    add_disks(&w, 1, 64 * MIB); /* makes columns small */
    live(&w, table_life, NULL);
    world_deinit(&w);
}

/* The table of a small disk is full long before the large ones are. */
static void full_table_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    struct sfs_group *g;
    unsigned made = 0;
    int err = SCALEFS_OK;
    while (!err) {
        sfs_mutex_lock(&pool->lock);
        err = sfs_group_make(pool, SFS_CLASS_LANDING, SFS_FOR_WRITERS, &g);
        sfs_mutex_unlock(&pool->lock);
        if (!err && ++made % 64 == 0)
            MUST(w, commit(pool, made));
    }
    NEED_EQ(w, err, SCALEFS_E_NOSPC);
    NEED(w, pool->members[0].free_atoms > 1000 && made > 2000);
    MUST(w, commit(pool, made));
    /* All of it can still be rewritten with every commit, again and again. */
    for (unsigned i = 0; i < 6; i++) {
        for (uint32_t n = 0; n < pool->group_cap; n++)
            if (pool->groups[n]) {
                sfs_table_mark_group(pool, pool->groups[n]);
                sfs_table_mark_count(pool, pool->groups[n]);
            }
        MUST(w, commit(pool, i));
    }
    reopen(w, &pool);
    sfs_pool_close(pool);
}

static void a_full_table_is_said_in_time(void)
{
    struct world w;
    world_init(&w, test_seed());
    add_disks(&w, 3, 65536 * MIB);
    add_disks(&w, 1, 64 * MIB);
    live(&w, full_table_life, NULL);
    world_deinit(&w);
}

/* No slot of the table that one of the last records refers to is written, and none of these records. */
static void reuse_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 0, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    struct sim_disk *d = sim_farm_disk(w->farm, 0);
    struct sfs_commit records[4];
    uint8_t pages[4][SIM_PAGE], rings[4][SIM_PAGE], now[SIM_PAGE];
    for (unsigned i = 0; i < 30; i++) {
        change(w, pool, i % 3 ? 1 : 3);
        MUST(w, commit(pool, i));
        for (unsigned back = 0; back < 3 && back <= i; back++) {
            unsigned r = (i - back) % 4;
            uint64_t ring = SFS_RING_OFFSET + (back ? records[r].seq : pool->last.seq) % SFS_RING_SLOTS * 4096;
            if (back == 0) {
                records[r] = pool->last;
                sim_disk_peek(d, ring, rings[r], SIM_PAGE);
                sim_disk_peek(d, SFS_TABLE_OFFSET + records[r].directory[0].slot * 4096ull, pages[r], SIM_PAGE);
                continue;
            }
            sim_disk_peek(d, SFS_TABLE_OFFSET + records[r].directory[0].slot * 4096ull, now, SIM_PAGE);
            NEED(w, !memcmp(now, pages[r], SIM_PAGE));
            sim_disk_peek(d, ring, now, SIM_PAGE);
            NEED(w, !memcmp(now, rings[r], SIM_PAGE));
        }
    }
    sfs_pool_close(pool);
}

static void slots_of_the_last_records_are_left_alone(void)
{
    struct world w;
    world_init(&w, test_seed());
    add_disks(&w, 1, 512 * MIB);
    live(&w, reuse_life, NULL);
    world_deinit(&w);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(a_cut_while_a_pool_is_made_leaves_none_or_all);
    RUN(older_signatures_are_wiped);
    RUN(what_cannot_be_is_refused_before_anything_is_written);
    RUN(a_cut_while_committing_leaves_a_commit_whole);
    RUN(the_table_keeps_many_groups);
    RUN(a_full_table_is_said_in_time);
    RUN(slots_of_the_last_records_are_left_alone);
    return TEST_END();
}
