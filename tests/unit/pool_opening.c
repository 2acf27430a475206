/* Which disks make a pool: what is proven, what is missing, who is behind, and halves that were written apart. */
#include "pool_fixture.h"

#include "format/format.h"

typedef void (*life_fn)(struct world *, void *);

static const struct sfs_pool_open degraded = {.degraded = true};
enum { A = 1, B = 2, C = 4, D = 8 };

/* Runs one life on fresh disks. */
static void on_disks(unsigned count, life_fn life)
{
    struct world w;
    world_init(&w, test_seed());
    add_disks(&w, count, 128 * MIB);
    live(&w, life, NULL);
    world_deinit(&w);
}

static struct sfs_member *member(struct world *w, struct sfs_pool *pool, uint16_t index)
{
    struct sfs_member *m = sfs_member_of(pool, index);
    NEED(w, m);
    return m;
}

/* Opens, commits states first … last, closes. */
static void use(struct world *w, const struct sfs_pool_open *how, uint64_t which, uint64_t first, uint64_t last)
{
    struct sfs_pool *pool = must_open(w, how, which);
    for (uint64_t state = first; state <= last; state++)
        MUST(w, commit(pool, state));
    sfs_pool_close(pool);
}

static uint64_t state_of(struct world *w, uint64_t which)
{
    struct sfs_pool *pool = must_open(w, &(struct sfs_pool_open){.read_only = true}, which);
    uint64_t state = pool->last.pool_tree;
    sfs_pool_close(pool);
    return state;
}

static void jumps_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    uint64_t last = 0;
    for (unsigned i = 0; i < 3; i++) {
        struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
        uint64_t txn = pool->txn, id = pool->next_id;
        NEED(w, last != pool->tenure);
        last = pool->tenure;
        NEED_EQ(w, pool->tenure_count, 2 + 2 * i);
        NEED_EQ(w, pool->tenures[pool->tenure_count - 1].id, pool->tenure);
        NEED_EQ(w, pool->last.txn, pool->committed);
        sfs_pool_close(pool);
        pool = must_open(w, NULL, ALL_DISKS);
        NEED_EQ(w, pool->committed, txn - 1 + SFS_TXN_JUMP);
        NEED_EQ(w, pool->next_id, id + SFS_ID_JUMP);
        sfs_pool_close(pool);
        pool = must_open(w, &(struct sfs_pool_open){.read_only = true}, ALL_DISKS);
        NEED_EQ(w, pool->committed, txn - 1 + SFS_TXN_JUMP);
        struct sfs_roots roots = {.pool_tree = 1};
        struct sfs_commit_job *job;
        NEED_EQ(w, sfs_commit_prepare(pool, &roots, false, false, &job), SCALEFS_E_ROFS);
        sfs_pool_close(pool);
    }
}

static void opening_jumps_ahead_and_begins_a_tenure(void)
{
    on_disks(2, jumps_life);
}

/* More tenures than are remembered. */
static void tenures_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    for (unsigned i = 0; i < 70; i++)
        use(w, NULL, ALL_DISKS, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    NEED_EQ(w, pool->tenure_count, 64);
    NEED_EQ(w, members_complete(pool), 2);
    sfs_pool_close(pool);
}

static void the_newest_tenures_are_kept(void)
{
    on_disks(2, tenures_life);
}

/* --- proof --- */

static void one_of_three_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    use(w, NULL, A | B | C, 1, 3);
    uint64_t txn;
    struct sfs_pool *pool = must_open(w, NULL, A | B);
    NEED_EQ(w, pool->last.pool_tree, 3);
    struct sfs_member *c = member(w, pool, 3);
    NEED(w, !c->disk && !c->complete && c->record.presence == SFS_DISK_ABSENT && !pool->suspended);
    txn = c->record.flushed_txn;
    NEED_EQ(w, txn, pool->committed - SFS_TXN_JUMP);
    MUST(w, commit(pool, 4));
    sfs_pool_close(pool);
    must_not_open(w, NULL, A, SCALEFS_E_MISSING);
    must_not_open(w, NULL, C, SCALEFS_E_MISSING);
    must_not_open(w, &degraded, C, SCALEFS_E_MISSING); /* too few to read the data */
    NEED_EQ(w, state_of(w, A | B), 4);
    /* C is back: it lacks what came after it left. */
    pool = must_open(w, NULL, A | B | C);
    c = member(w, pool, 3);
    NEED(w, c->disk && !c->complete && c->record.presence == SFS_DISK_ONLINE);
    NEED_EQ(w, c->record.flushed_txn, txn);
    NEED_EQ(w, members_complete(pool), 2);
    MUST(w, commit(pool, 5));
    sfs_pool_close(pool);
    /* Still behind after another opening, even alone with A: it has the newest records now. */
    pool = must_open(w, NULL, A | C);
    c = member(w, pool, 3);
    NEED(w, !c->complete && c->record.flushed_txn == txn);
    NEED_EQ(w, pool->last.pool_tree, 5);
    c->complete = true;
    c->dirty = true;
    MUST(w, commit(pool, 6));
    sfs_pool_close(pool);
    pool = must_open(w, NULL, A | B | C);
    NEED(w, member(w, pool, 3)->complete && !member(w, pool, 2)->complete);
    sfs_pool_close(pool);
}

static void one_of_three_may_be_away(void)
{
    on_disks(3, one_of_three_life);
}

static void mirror_life(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_pool *pool;
    struct scalefs_error_info info = {0, ""};
    make_pool(w, 1, 0);
    use(w, NULL, A | B, 1, 2);
    NEED_EQ(w, open_some(w, NULL, A, &pool, &info), SCALEFS_E_MISSING);
    NEED(w, strstr(info.text, "disk 2") && strstr(info.text, "tank"));
    use(w, &degraded, A, 3, 4);
    use(w, NULL, A, 5, 6); /* now B is named absent */
    must_not_open(w, NULL, B, SCALEFS_E_MISSING);
    pool = must_open(w, NULL, A | B);
    NEED_EQ(w, pool->last.pool_tree, 6);
    NEED_EQ(w, members_complete(pool), 1);
    sfs_pool_close(pool);
}

static void half_a_mirror_asks_once(void)
{
    on_disks(2, mirror_life);
}

static void no_failover_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 0, 0);
    use(w, NULL, A | B, 1, 2);
    must_not_open(w, NULL, A, SCALEFS_E_MISSING);
    must_not_open(w, &degraded, A, SCALEFS_E_MISSING);
    must_not_open(w, &(struct sfs_pool_open){.read_only = true}, A, SCALEFS_E_MISSING);
    struct sfs_pool *pool = must_open(w, &(struct sfs_pool_open){.read_only = true, .degraded = true}, A);
    NEED(w, pool->suspended && strstr(pool->suspended_why, "disk 2"));
    sfs_pool_close(pool);
    NEED_EQ(w, state_of(w, A | B), 2);
}

static void too_few_disks_open_for_reading_at_most(void)
{
    on_disks(2, no_failover_life);
}

/* --- halves --- */

static void halves_life(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_uuid a, b;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, A | B);
    a = member(w, pool, 1)->record.uuid;
    b = member(w, pool, 2)->record.uuid;
    sfs_pool_close(pool);
    use(w, &degraded, A, 100, 110);
    use(w, &degraded, B, 200, 203);
    must_not_open(w, NULL, A | B, SCALEFS_E_DIVERGED);
    must_not_open(w, &degraded, A | B, SCALEFS_E_DIVERGED);
    must_not_open(w, &(struct sfs_pool_open){.read_only = true}, A | B, SCALEFS_E_DIVERGED);
    NEED_EQ(w, state_of(w, A), 110); /* each names the other absent */
    NEED_EQ(w, state_of(w, B), 203);
    /* The half with the older numbers is kept. */
    struct sfs_uuid nobody = {{1}};
    must_not_open(w, &(struct sfs_pool_open){.keep_disk = &nobody}, A | B, SCALEFS_E_NOENT);
    pool = must_open(w, &(struct sfs_pool_open){.keep_disk = &b}, A | B);
    NEED_EQ(w, pool->last.pool_tree, 203);
    NEED(w, !member(w, pool, 1)->disk && member(w, pool, 1)->record.flushed_txn == 0);
    MUST(w, commit(pool, 204));
    sfs_pool_close(pool);
    (void)a;
    /* The other one comes back as if it were empty. */
    pool = must_open(w, NULL, A | B);
    NEED_EQ(w, pool->last.pool_tree, 204);
    struct sfs_member *m = member(w, pool, 1);
    NEED(w, m->disk && !m->complete && m->record.flushed_txn == 0);
    m->complete = m->dirty = true;
    MUST(w, commit(pool, 205));
    sfs_pool_close(pool);
    pool = must_open(w, NULL, A | B);
    NEED_EQ(w, members_complete(pool), 2);
    sfs_pool_close(pool);
}

static void halves_written_apart_are_never_mixed(void)
{
    on_disks(2, halves_life);
}

static void keep_newer_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, A | B);
    struct sfs_uuid a = member(w, pool, 1)->record.uuid;
    sfs_pool_close(pool);
    use(w, &degraded, B, 200, 203);
    use(w, &degraded, A, 100, 110);
    use(w, NULL, A, 111, 111);
    pool = must_open(w, &(struct sfs_pool_open){.keep_disk = &a}, A | B);
    NEED_EQ(w, pool->last.pool_tree, 111);
    /* The disk of the other half can join while the pool is in use: all of it is owed. */
    struct sfs_disk *disk;
    struct scalefs_error_info info = {0, ""};
    MUST(w, sim_disk_open(sim_farm_disk(w->farm, 1), w->env, &disk));
    MUST(w, sfs_member_online(pool, disk, &info));
    NEED(w, !member(w, pool, 2)->complete && member(w, pool, 2)->record.flushed_txn == 0);
    MUST(w, commit(pool, 112));
    sfs_pool_close(pool);
    NEED_EQ(w, state_of(w, A | B), 112);
}

static void the_other_half_can_join_again(void)
{
    on_disks(2, keep_newer_life);
}

/* Within one tenure: A disappears, B goes on; then A is opened alone. */
static void same_tenure_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, A | B);
    struct scalefs_error_info info = {0, ""};
    MUST(w, commit(pool, 1));
    MUST(w, sfs_member_offline(pool, 1, &info));
    MUST(w, commit(pool, 2));
    MUST(w, commit(pool, 3));
    sfs_pool_close(pool);
    use(w, &degraded, A, 50, 51);
    must_not_open(w, NULL, A | B, SCALEFS_E_DIVERGED);
}

static void the_end_of_a_tenure_counts_too(void)
{
    on_disks(2, same_tenure_life);
}

/* B alone has a record that calls the others online: nobody was told that it is durable. */
static void unacknowledged_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, A | B | C);
    MUST(w, commit(pool, 1));
    uint64_t seq = pool->seq, base = pool->committed;
    uint8_t before[2][SIM_PAGE];
    uint64_t at = SFS_RING_OFFSET + (seq + 1) % SFS_RING_SLOTS * 4096;
    sim_disk_peek(sim_farm_disk(w->farm, 0), at, before[0], SIM_PAGE);
    sim_disk_peek(sim_farm_disk(w->farm, 2), at, before[1], SIM_PAGE);
    MUST(w, commit(pool, 2));
    NEED_EQ(w, pool->seq, seq + 1);
    sfs_pool_close(pool);
    sim_disk_poke(sim_farm_disk(w->farm, 0), at, before[0], SIM_PAGE);
    sim_disk_poke(sim_farm_disk(w->farm, 2), at, before[1], SIM_PAGE);
    pool = must_open(w, NULL, A | C);
    NEED_EQ(w, pool->last.pool_tree, 1);
    MUST(w, commit(pool, 10));
    sfs_pool_close(pool);
    pool = must_open(w, NULL, A | B | C);
    NEED_EQ(w, pool->last.pool_tree, 10);
    struct sfs_member *m = member(w, pool, 2);
    NEED(w, m->disk && !m->complete && m->record.flushed_txn == base);
    sfs_pool_close(pool);
}

static void a_record_nobody_was_told_of_is_no_other_half(void)
{
    on_disks(3, unacknowledged_life);
}

/* All are here, one alone has the newest record: it is the state, and nobody is behind. */
static void last_record_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, A | B | C);
    MUST(w, commit(pool, 1));
    uint64_t at = SFS_RING_OFFSET + (pool->seq + 1) % SFS_RING_SLOTS * 4096;
    uint8_t before[SIM_PAGE];
    sim_disk_peek(sim_farm_disk(w->farm, 0), at, before, SIM_PAGE);
    MUST(w, commit(pool, 2));
    sfs_pool_close(pool);
    sim_disk_poke(sim_farm_disk(w->farm, 0), at, before, SIM_PAGE);
    sim_disk_poke(sim_farm_disk(w->farm, 2), at, before, SIM_PAGE);
    pool = must_open(w, NULL, A | B | C);
    NEED_EQ(w, pool->last.pool_tree, 2);
    NEED_EQ(w, members_complete(pool), 3);
    sfs_pool_close(pool);
}

static void who_lacks_only_the_last_record_is_complete(void)
{
    on_disks(3, last_record_life);
}

/* As above, but two openings were cut short, too, and their records are on one disk alone. A disk that lacks what was
 * acknowledged before these openings is behind all the same. */
static void cut_openings_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    MUST(w, commit(pool, 1));
    uint64_t seq = pool->seq, txn = pool->committed;
    uint8_t before[4][SIM_PAGE];
    for (unsigned i = 0; i < 4; i++)
        sim_disk_peek(sim_farm_disk(w->farm, 0), SFS_RING_OFFSET + (seq + 1 + i) % SFS_RING_SLOTS * 4096, before[i], SIM_PAGE);
    MUST(w, commit(pool, 2));
    sfs_pool_close(pool);
    use(w, NULL, ALL_DISKS, 1, 0);
    use(w, NULL, ALL_DISKS, 1, 0);
    for (unsigned d = 0; d < 3; d += 2)
        for (unsigned i = 0; i < 4; i++)
            sim_disk_poke(sim_farm_disk(w->farm, d), SFS_RING_OFFSET + (seq + 1 + i) % SFS_RING_SLOTS * 4096, before[i],
                          SIM_PAGE);
    pool = must_open(w, NULL, ALL_DISKS);
    NEED_EQ(w, pool->last.pool_tree, 2);
    NEED_EQ(w, members_complete(pool), 3);
    sfs_pool_close(pool);
    use(w, NULL, ALL_DISKS, 3, 4);
    use(w, NULL, ALL_DISKS, 1, 0);
    for (unsigned n = 1; n < SFS_RING_SLOTS; n++) /* only the record of state 1 is left */
        sim_disk_poke(sim_farm_disk(w->farm, 2), SFS_RING_OFFSET + (seq + n) % SFS_RING_SLOTS * 4096, before[0], SIM_PAGE);
    pool = must_open(w, NULL, ALL_DISKS);
    NEED_EQ(w, pool->last.pool_tree, 4);
    struct sfs_member *m = member(w, pool, 3);
    NEED(w, !m->complete && m->record.flushed_txn == txn);
    sfs_pool_close(pool);
}

static void who_lacks_only_openings_is_complete(void)
{
    on_disks(3, cut_openings_life);
}

/* --- stale and damaged disks --- */

static void save(struct world *w, unsigned disk, uint8_t *image, uint64_t bytes)
{
    sim_disk_peek(sim_farm_disk(w->farm, disk), 0, image, bytes);
}

static void stale_life(struct world *w, void *arg)
{
    (void)arg;
    enum { HEAD = 4 << 20 }; /* label, ring and table */
    uint8_t *image = sfs_alloc(w->env, HEAD);
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    MUST(w, commit(pool, 1));
    uint64_t old = pool->committed;
    save(w, 2, image, HEAD);
    for (unsigned i = 2; i < 8; i++) {
        pool->config_dirty = true;
        if (i == 4)
            must_make(w, pool, SFS_CLASS_METADATA); /* its counters are on a page of their own */
        MUST(w, commit(pool, i));
    }
    sfs_pool_close(pool);
    /* C is as it was some commits ago, although all records call it online: an old copy was put back. */
    sim_disk_poke(sim_farm_disk(w->farm, 2), 0, image, HEAD);
    pool = must_open(w, NULL, ALL_DISKS);
    NEED_EQ(w, pool->last.pool_tree, 7);
    struct sfs_member *m = member(w, pool, 3);
    NEED(w, !m->complete && m->record.flushed_txn == old);
    sfs_pool_close(pool);
    /* It has the whole table again. */
    pool = must_open(w, &(struct sfs_pool_open){.read_only = true, .degraded = true}, C);
    NEED_EQ(w, pool->last.pool_tree, 7);
    sfs_pool_close(pool);
    /* It lost its ring: nothing on it is believed. */
    memset(image, 0, HEAD);
    sim_disk_poke(sim_farm_disk(w->farm, 2), SFS_RING_OFFSET, image, SFS_RING_SLOTS * 4096);
    sim_disk_poke(sim_farm_disk(w->farm, 2), SFS_TABLE_OFFSET, image, 2 * MIB);
    pool = must_open(w, NULL, ALL_DISKS);
    m = member(w, pool, 3);
    NEED(w, m->disk && !m->complete && m->record.flushed_txn == 0);
    sfs_pool_close(pool);
    pool = must_open(w, &(struct sfs_pool_open){.read_only = true, .degraded = true}, C);
    NEED_EQ(w, pool->last.pool_tree, 7);
    sfs_pool_close(pool);
    sfs_free(w->env, image);
}

static void a_stale_disk_is_behind(void)
{
    on_disks(3, stale_life);
}

static void labels_life(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_label label;
    bool has;
    struct sfs_commit newest;
    make_pool(w, 1, 0);
    use(w, NULL, ALL_DISKS, 1, 1);
    struct sim_disk *d = sim_farm_disk(w->farm, 0);
    uint64_t at[3] = {SFS_LABEL_OFFSET_0, SFS_LABEL_OFFSET_1, 128 * MIB - 4096};
    for (unsigned i = 0; i < 3; i++) {
        struct sfs_disk *disk;
        sim_disk_rot(d, at[i], SIM_PAGE);
        MUST(w, sim_disk_open(d, w->env, &disk));
        int err = sfs_pool_identify(w->env, disk, &label, &newest, &has);
        NEED_EQ(w, err, i < 2 ? SCALEFS_OK : SCALEFS_E_CORRUPT);
        if (!err)
            NEED(w, has && newest.pool_tree == 1 && label.index == 1 && !strcmp(label.name, "tank"));
        sfs_disk_close(disk);
    }
    use(w, NULL, ALL_DISKS, 2, 2); /* without it */
}

static void any_copy_of_the_label_will_do(void)
{
    on_disks(3, labels_life);
}

static void fallback_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    MUST(w, commit(pool, 1));
    pool->config_dirty = true;
    MUST(w, commit(pool, 2));
    uint64_t slot = pool->last.directory[0].slot;
    sfs_pool_close(pool);
    /* On one disk: another one has it. On all: the record before. */
    sim_disk_rot(sim_farm_disk(w->farm, 0), SFS_TABLE_OFFSET + slot * 4096, 4096);
    NEED_EQ(w, state_of(w, ALL_DISKS), 2);
    for (unsigned i = 1; i < 3; i++)
        sim_disk_rot(sim_farm_disk(w->farm, i), SFS_TABLE_OFFSET + slot * 4096, 4096);
    NEED_EQ(w, state_of(w, ALL_DISKS), 1);
    pool = must_open(w, NULL, ALL_DISKS);
    NEED_EQ(w, members_complete(pool), 3);
    MUST(w, commit(pool, 3));
    sfs_pool_close(pool);
    NEED_EQ(w, state_of(w, A | B), 3);
    NEED_EQ(w, state_of(w, B | C), 3);
}

static void an_unreadable_record_gives_way_to_the_one_before(void)
{
    on_disks(3, fallback_life);
}

static int only_odd(void *context, struct sfs_pool *pool)
{
    unsigned *calls = context;
    ++*calls;
    return pool->last.pool_tree % 2 ? SCALEFS_OK : SCALEFS_E_CORRUPT;
}

/* What the newest state needs is on a disk that is away. */
static int waits(void *context, struct sfs_pool *pool)
{
    (void)context;
    return pool->last.pool_tree < 10 ? SCALEFS_OK : SCALEFS_E_SUSPENDED;
}

static int never(void *context, struct sfs_pool *pool)
{
    (void)context;
    (void)pool;
    return SCALEFS_E_CORRUPT;
}

static void probe_life(struct world *w, void *arg)
{
    (void)arg;
    unsigned calls = 0;
    make_pool(w, 1, 0);
    use(w, NULL, ALL_DISKS, 4, 7);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    MUST(w, commit(pool, 8));
    MUST(w, commit(pool, 10));
    sfs_pool_close(pool);
    /* Nobody goes back to an older state without asking because disks are away. */
    struct sfs_pool_open away = {.probe = waits};
    must_not_open(w, &away, A | B, SCALEFS_E_MISSING);
    NEED_EQ(w, state_of(w, ALL_DISKS), 10);
    away.degraded = away.read_only = true;
    pool = must_open(w, &away, A | B);
    NEED_EQ(w, pool->last.pool_tree, 8);
    sfs_pool_close(pool);
    struct sfs_pool_open how = {.probe = only_odd, .probe_context = &calls};
    pool = must_open(w, &how, ALL_DISKS);
    NEED_EQ(w, pool->last.pool_tree, 7);
    NEED(w, calls >= 3);
    MUST(w, commit(pool, 11));
    sfs_pool_close(pool);
    NEED_EQ(w, state_of(w, ALL_DISKS), 11);
    must_not_open(w, &(struct sfs_pool_open){.probe = never}, ALL_DISKS, SCALEFS_E_CORRUPT);
    NEED_EQ(w, state_of(w, ALL_DISKS), 11);
}

static void the_callers_probe_is_asked(void)
{
    on_disks(3, probe_life);
}

static void sizes_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    use(w, NULL, ALL_DISKS, 1, 2);
    sim_disk_resize(sim_farm_disk(w->farm, 1), 96 * MIB);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    NEED(w, !member(w, pool, 2)->disk && member(w, pool, 2)->record.presence == SFS_DISK_ABSENT);
    MUST(w, commit(pool, 3));
    sfs_pool_close(pool);
    sim_disk_resize(sim_farm_disk(w->farm, 0), 192 * MIB); /* more is no harm */
    pool = must_open(w, NULL, ALL_DISKS);
    NEED_EQ(w, members_complete(pool), 2);
    sfs_pool_close(pool);
}

static void a_disk_cut_short_is_left_out(void)
{
    on_disks(3, sizes_life);
}

/* --- whose, and which version --- */

static void hosts_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_pool_open here = {.host = 7}, there = {.host = 8}, sure = {.host = 8, .other_host = true};
    use(w, &here, ALL_DISKS, 1, 1);
    use(w, &here, ALL_DISKS, 2, 2);
    must_not_open(w, &there, ALL_DISKS, SCALEFS_E_OTHER_HOST);
    use(w, NULL, ALL_DISKS, 3, 3); /* nobody asks */
    use(w, &sure, ALL_DISKS, 4, 4);
    must_not_open(w, &here, ALL_DISKS, SCALEFS_E_OTHER_HOST);
    struct sfs_pool *pool = must_open(w, &there, ALL_DISKS);
    for (unsigned exported = 0; exported < 2; exported++) {
        struct sfs_roots roots = {.pool_tree = 5};
        struct sfs_commit_job *job;
        roots.extent_map.group = roots.space.group = SFS_NONE32;
        sfs_mutex_lock(&pool->lock);
        MUST(w, sfs_commit_prepare(pool, &roots, !exported, exported, &job));
        sfs_mutex_unlock(&pool->lock);
        MUST(w, sfs_commit_write(pool, job));
        sfs_pool_close(pool);
        pool = must_open(w, exported ? &here : &(struct sfs_pool_open){.host = 9}, ALL_DISKS);
    }
    sfs_pool_close(pool);
}

static void another_computers_pool_asks(void)
{
    on_disks(2, hosts_life);
}

/* Changes the newest record on all disks. */
static void edit_record(struct world *w, void (*edit)(struct sfs_commit *))
{
    for (unsigned i = 0; i < sim_farm_count(w->farm); i++) {
        struct sfs_disk *disk;
        struct sfs_label label;
        struct sfs_commit c;
        bool has;
        uint8_t block[SFS_BLOCK];
        MUST(w, sim_disk_open(sim_farm_disk(w->farm, i), w->env, &disk));
        MUST(w, sfs_pool_identify(w->env, disk, &label, &c, &has));
        NEED(w, has);
        sfs_disk_close(disk);
        edit(&c);
        sfs_commit_encode(&c, block);
        sim_disk_poke(sim_farm_disk(w->farm, i), SFS_RING_OFFSET + c.seq % SFS_RING_SLOTS * 4096, block, sizeof block);
    }
}

static void set_readonly_bit(struct sfs_commit *c)
{
    c->readonly |= 4;
}
static void set_ignore_bit(struct sfs_commit *c)
{
    c->ignore |= 4;
    c->readonly = 0;
}
static void set_refuse_bit(struct sfs_commit *c)
{
    c->refuse |= 1;
}

static void masks_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    use(w, NULL, ALL_DISKS, 1, 1);
    edit_record(w, set_readonly_bit);
    must_not_open(w, NULL, ALL_DISKS, SCALEFS_E_VERSION);
    NEED_EQ(w, state_of(w, ALL_DISKS), 1);
    edit_record(w, set_ignore_bit);
    use(w, NULL, ALL_DISKS, 2, 2);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    NEED_EQ(w, pool->last.ignore, 0); /* who knows it sees that what it stands for is out of date */
    sfs_pool_close(pool);
    edit_record(w, set_refuse_bit);
    must_not_open(w, NULL, ALL_DISKS, SCALEFS_E_VERSION);
    must_not_open(w, &(struct sfs_pool_open){.read_only = true}, ALL_DISKS, SCALEFS_E_VERSION);
}

static void unknown_features_are_respected(void)
{
    on_disks(2, masks_life);
}

static void strangers_life(struct world *w, void *arg)
{
    (void)arg;
    uint8_t *image = sfs_alloc(w->env, 2 * MIB);
    must_not_open(w, NULL, ALL_DISKS, SCALEFS_E_NOT_A_POOL);
    struct sfs_disk *disks[DISKS_MAX];
    struct sfs_pool_format how = {.name = "one", .failover = 0};
    world_open_disks(w, disks);
    MUST(w, sfs_pool_format(w->env, disks, 1, &how, NULL, NULL));
    MUST(w, sfs_pool_format(w->env, disks + 1, 1, &how, NULL, NULL));
    world_close_disks(w, disks);
    must_not_open(w, NULL, A | B, SCALEFS_E_AMBIGUOUS);
    use(w, NULL, A | C, 1, 1); /* C is no disk of any pool */
    save(w, 0, image, 2 * MIB);
    sim_disk_poke(sim_farm_disk(w->farm, 2), 0, image, 2 * MIB);
    must_not_open(w, NULL, A | C, SCALEFS_E_AMBIGUOUS);
    sfs_free(w->env, image);
}

static void disks_of_others_and_copies_are_told_apart(void)
{
    on_disks(3, strangers_life);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(opening_jumps_ahead_and_begins_a_tenure);
    RUN(the_newest_tenures_are_kept);
    RUN(one_of_three_may_be_away);
    RUN(half_a_mirror_asks_once);
    RUN(too_few_disks_open_for_reading_at_most);
    RUN(halves_written_apart_are_never_mixed);
    RUN(the_other_half_can_join_again);
    RUN(the_end_of_a_tenure_counts_too);
    RUN(a_record_nobody_was_told_of_is_no_other_half);
    RUN(who_lacks_only_the_last_record_is_complete);
    RUN(who_lacks_only_openings_is_complete);
    RUN(a_stale_disk_is_behind);
    RUN(any_copy_of_the_label_will_do);
    RUN(an_unreadable_record_gives_way_to_the_one_before);
    RUN(the_callers_probe_is_asked);
    RUN(a_disk_cut_short_is_left_out);
    RUN(another_computers_pool_asks);
    RUN(unknown_features_are_respected);
    RUN(disks_of_others_and_copies_are_told_apart);
    return TEST_END();
}
