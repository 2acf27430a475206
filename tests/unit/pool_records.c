/* What records and labels say of a pool over years: copies of labels that a cut left different, disks that were away for
 * longer than the list of tenures, what is to become of a disk that is not there, and how many may be absent. */
#include "pool_fixture.h"

#include "pool/internal.h"

typedef void (*life_fn)(struct world *, void *);

static const struct sfs_pool_open degraded = {.degraded = true};
enum { A = 1, B = 2, C = 4 };

static void on_disks(unsigned count, life_fn life)
{
    struct world w;
    world_init(&w, test_seed());
    add_disks(&w, count, 64 * MIB);
    live(&w, life, NULL);
    world_deinit(&w);
}

static void use(struct world *w, const struct sfs_pool_open *how, uint64_t which, uint64_t first, uint64_t last)
{
    struct sfs_pool *pool = must_open(w, how, which);
    for (uint64_t state = first; state <= last; state++)
        MUST(w, commit(pool, state));
    sfs_pool_close(pool);
}

static struct sfs_disk *open_disk(struct world *w, unsigned i)
{
    struct sfs_disk *disk;
    MUST(w, sim_disk_open(sim_farm_disk(w->farm, i), w->env, &disk));
    return disk;
}

/* --- labels --- */

static void read_label(struct world *w, unsigned i, struct sfs_label *label)
{
    struct sfs_disk *disk = open_disk(w, i);
    bool has;
    MUST(w, sfs_pool_identify(w->env, disk, label, NULL, &has));
    sfs_disk_close(disk);
}

static void make_one(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 0, 0);
}

static void rename_it(struct world *w, void *arg)
{
    struct sfs_label label;
    (void)arg;
    read_label(w, 0, &label);
    label.number++;
    strcpy(label.name, "vessel");
    struct sfs_disk *disk = open_disk(w, 0);
    MUST(w, sfs_label_write(w->env, disk, &label, 7));
    sfs_disk_close(disk);
}

/* Whatever was cut: the old label or the new one, and every copy alone gives way to the newest. */
static void one_of_two_names(struct world *w, void *arg)
{
    struct sfs_label label;
    uint8_t block[SFS_BLOCK];
    uint64_t highest = 0;
    unsigned whole = 0;
    (void)arg;
    read_label(w, 0, &label);
    const uint64_t at[3] = {SFS_LABEL_OFFSET_0, SFS_LABEL_OFFSET_1, 64 * MIB - SFS_BLOCK};
    for (unsigned i = 0; i < 3; i++) {
        struct sfs_label copy;
        sim_disk_peek(sim_farm_disk(w->farm, 0), at[i], block, sizeof block);
        if (sfs_label_decode(block, at[i], &copy))
            continue;
        whole++;
        highest = copy.number > highest ? copy.number : highest;
    }
    NEED(w, whole >= 2);
    NEED_EQ(w, label.number, highest);
    NEED(w, !strcmp(label.name, label.number == 1 ? "tank" : "vessel"));
}

static void a_cut_between_copies_of_a_label(void)
{
    struct world w;
    uint64_t cuts;
    world_init(&w, test_seed());
    add_disks(&w, 1, 64 * MIB);
    live(&w, make_one, NULL);
    struct world_sweep sweep = {.seed = test_seed(), .start = w.farm, .work = rename_it, .check = one_of_two_names, .outcomes = 4};
    CHECK(world_sweep(&sweep, &cuts));
    CHECK(cuts >= 4 * 6);
    world_deinit(&w);
}

static void put_copy(struct world *w, const struct sfs_label *label, uint64_t at)
{
    uint8_t block[SFS_BLOCK];
    sfs_label_encode(label, at, block);
    sim_disk_poke(sim_farm_disk(w->farm, 0), at, block, sizeof block);
}

static void copies_life(struct world *w, void *arg)
{
    struct sfs_label label, found, other;
    struct sfs_head_report report;
    (void)arg;
    make_pool(w, 0, 0);
    use(w, NULL, A, 1, 1);
    read_label(w, 0, &label);
    NEED_EQ(w, label.number, 1);
    /* What stood there before the disk was this one does not count, whatever its number. */
    other = label;
    other.disk.bytes[3] ^= 1;
    other.number = 77;
    put_copy(w, &other, 64 * MIB - SFS_BLOCK);
    read_label(w, 0, &found);
    NEED(w, sfs_uuid_equal(&found.disk, &label.disk) && found.number == 1);
    /* The newest copy is the last one. */
    label.number = 3;
    put_copy(w, &label, 64 * MIB - SFS_BLOCK);
    read_label(w, 0, &found);
    NEED_EQ(w, found.number, 3);
    /* A check makes all of them the newest. */
    struct sfs_pool *pool = must_open(w, NULL, A);
    MUST(w, sfs_member_check_head(pool, 1, true, &report));
    NEED_EQ(w, report.labels_bad, 2);
    MUST(w, sfs_member_check_head(pool, 1, false, &report));
    NEED_EQ(w, report.labels_bad, 0);
    sfs_pool_close(pool);
    sim_disk_rot(sim_farm_disk(w->farm, 0), 64 * MIB - SFS_BLOCK, SIM_PAGE);
    sim_disk_rot(sim_farm_disk(w->farm, 0), SFS_LABEL_OFFSET_0, SIM_PAGE);
    read_label(w, 0, &found);
    NEED_EQ(w, found.number, 3);
}

static void the_newest_copy_of_a_label_counts(void)
{
    on_disks(1, copies_life);
}

static void label_bits_life(struct world *w, void *arg)
{
    struct sfs_label label;
    (void)arg;
    make_pool(w, 0, 0);
    use(w, NULL, A, 1, 1);
    read_label(w, 0, &label);
    label.number++;
    label.ignore = 8;
    put_copy(w, &label, SFS_LABEL_OFFSET_0);
    use(w, NULL, A, 2, 2);
    label.readonly = 8;
    put_copy(w, &label, SFS_LABEL_OFFSET_0);
    must_not_open(w, NULL, A, SCALEFS_E_VERSION);
    struct sfs_pool *pool = must_open(w, &(struct sfs_pool_open){.read_only = true}, A);
    NEED_EQ(w, pool->last.pool_tree, 2);
    sfs_pool_close(pool);
    label.refuse = 8;
    put_copy(w, &label, SFS_LABEL_OFFSET_0);
    must_not_open(w, &(struct sfs_pool_open){.read_only = true}, A, SCALEFS_E_VERSION);
}

static void feature_bits_of_labels_count(void)
{
    on_disks(1, label_bits_life);
}

/* A newer program has added a record and made another one longer: rewrites the first table page of the newest record. */
static void add_to_table(struct world *w, const struct sfs_commit *newest)
{
    static struct sfs_directory dir;
    static uint8_t records[SFS_TABLE_ROOM];
    struct sfs_commit c = *newest;
    struct sim_disk *d = sim_farm_disk(w->farm, 0);
    uint8_t block[SFS_BLOCK];
    const uint8_t *at, *payload;
    uint32_t bytes;
    uint16_t type, len;
    struct sfs_pageptr *p = &c.directory[0], *page = &dir.pages[0];
    sim_disk_peek(d, SFS_TABLE_OFFSET + p->slot * 4096ull, block, sizeof block);
    MUST(w, sfs_directory_decode(block, &c.pool, p->slot, p->checksum, &dir));
    while (page->slot == SFS_NONE32)
        page++;
    uint32_t number = (uint32_t)(page - dir.pages);
    sim_disk_peek(d, SFS_TABLE_OFFSET + page->slot * 4096ull, block, sizeof block);
    MUST(w, sfs_table_decode(block, &c.pool, page->slot, page->checksum, number, &at, &bytes));
    struct sfs_reader r = sfs_reader(at, bytes);
    struct sfs_writer to = sfs_writer(records, sizeof records);
    sfs_w16(&to, 4711);
    sfs_w16(&to, 5);
    sfs_w_bytes(&to, 5);
    while (!sfs_record_next(&r, &type, &payload, &len)) {
        sfs_w16(&to, type);
        sfs_w16(&to, (uint16_t)(len + 3));
        sfs_w_copy(&to, payload, len);
        sfs_w_copy(&to, "new", 3);
    }
    NEED(w, !to.bad);
    sfs_table_encode(records, (uint32_t)sfs_writer_len(&to), number, &c.pool, page->slot, block, &page->checksum);
    sim_disk_poke(d, SFS_TABLE_OFFSET + page->slot * 4096ull, block, sizeof block);
    sfs_directory_encode(&dir, &c.pool, p->slot, block, &p->checksum);
    sim_disk_poke(d, SFS_TABLE_OFFSET + p->slot * 4096ull, block, sizeof block);
    sfs_commit_encode(&c, block);
    sim_disk_poke(d, SFS_RING_OFFSET + c.seq % SFS_RING_SLOTS * 4096, block, sizeof block);
}

static void additions_life(struct world *w, void *arg)
{
    static struct sfs_commit newest;
    (void)arg;
    make_pool(w, 0, 0);
    use(w, NULL, A, 1, 1);
    struct sfs_pool *pool = must_open(w, NULL, A);
    newest = pool->last;
    sfs_pool_close(pool);
    add_to_table(w, &newest);
    use(w, NULL, A, 2, 3);
    pool = must_open(w, NULL, A);
    NEED(w, pool->last.pool_tree == 3 && !strcmp(pool->config.name, "tank") && members_complete(pool) == 1);
    sfs_pool_close(pool);
}

static void what_newer_programs_added_is_passed_over(void)
{
    on_disks(1, additions_life);
}

/* --- history --- */

#define OPENINGS (SFS_TENURES_MAX + 6u)

static void long_away_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, A | B | C);
    MUST(w, commit(pool, 1));
    uint64_t flushed = pool->committed;
    sfs_pool_close(pool);
    for (unsigned i = 0; i < OPENINGS; i++)
        use(w, NULL, A | B, 2, 2);
    pool = must_open(w, NULL, A | B | C);
    struct sfs_member *m = sfs_member_of(pool, 3);
    NEED(w, m->disk && !m->complete && m->record.flushed_txn == flushed); /* what it had counts */
    /* And again, this time it went in the middle of an opening and comes while the pool is open. */
    m->complete = m->dirty = true;
    MUST(w, commit(pool, 3));
    flushed = pool->committed;
    MUST(w, sfs_member_offline(pool, 3, NULL));
    MUST(w, commit(pool, 4));
    sfs_pool_close(pool);
    for (unsigned i = 0; i < OPENINGS; i++)
        use(w, NULL, A | B, 5, 5);
    pool = must_open(w, NULL, A | B);
    MUST(w, sfs_member_online(pool, open_disk(w, 2), NULL));
    NEED_EQ(w, sfs_member_of(pool, 3)->record.flushed_txn, flushed);
    sfs_pool_close(pool);
}

static void a_disk_may_be_away_for_many_openings(void)
{
    on_disks(3, long_away_life);
}

static void long_apart_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    use(w, NULL, A | B, 1, 2);
    use(w, &degraded, B, 50, 51);
    for (unsigned i = 0; i < OPENINGS; i++)
        use(w, &degraded, A, 3, 3);
    must_not_open(w, NULL, A | B, SCALEFS_E_DIVERGED);
    struct sfs_pool *pool = must_open(w, NULL, A);
    struct scalefs_error_info info = {0, ""};
    struct sfs_disk *disk = open_disk(w, 1);
    NEED_EQ(w, sfs_member_online(pool, disk, &info), SCALEFS_E_DIVERGED);
    sfs_disk_close(disk);
    sfs_pool_close(pool);
}

static void written_apart_is_seen_after_many_openings(void)
{
    on_disks(2, long_apart_life);
}

/* --- the wish for a disk, and whether it is there --- */

static void expect(struct world *w, uint64_t which, uint16_t index, enum sfs_presence presence, enum sfs_wish wish)
{
    struct sfs_pool *pool = must_open(w, NULL, which);
    MUST(w, commit(pool, 7));
    sfs_pool_close(pool);
    pool = must_open(w, &(struct sfs_pool_open){.read_only = true}, which);
    const struct sfs_member *m = sfs_member_of(pool, index);
    NEED(w, m && m->record.presence == presence && m->record.wish == wish);
    sfs_pool_close(pool);
}

static void wishes_life(struct world *w, void *arg)
{
    uint16_t index;
    (void)arg;
    struct sfs_disk *disks[DISKS_MAX];
    struct sfs_pool_format how = {.name = "tank", .failover = 1};
    world_open_disks(w, disks);
    MUST(w, sfs_pool_format(w->env, disks, 2, &how, NULL, NULL));
    world_close_disks(w, disks);
    struct sfs_pool *pool = must_open(w, NULL, A | B);
    MUST(w, sfs_member_add(pool, open_disk(w, 2), NULL, SFS_ROLE_DATA, &index, NULL));
    MUST(w, commit(pool, 1));
    MUST(w, sfs_member_offline(pool, index, NULL));
    MUST(w, commit(pool, 2));
    sfs_pool_close(pool);
    expect(w, A | B, index, SFS_DISK_ABSENT, SFS_WISH_JOIN);
    expect(w, ALL_DISKS, index, SFS_DISK_ONLINE, SFS_WISH_JOIN);
    pool = must_open(w, NULL, ALL_DISKS);
    struct sfs_member *m = sfs_member_of(pool, index);
    m->record.wish = SFS_WISH_LEAVE;
    m->complete = m->dirty = true;
    MUST(w, commit(pool, 3));
    NEED(w, !sfs_member_usable(m));
    MUST(w, sfs_member_offline(pool, index, NULL));
    MUST(w, sfs_member_online(pool, open_disk(w, 2), NULL));
    NEED(w, m->record.wish == SFS_WISH_LEAVE && m->record.presence == SFS_DISK_ONLINE);
    MUST(w, commit(pool, 4));
    sfs_pool_close(pool);
    expect(w, A | B, index, SFS_DISK_ABSENT, SFS_WISH_LEAVE);
    expect(w, ALL_DISKS, index, SFS_DISK_ONLINE, SFS_WISH_LEAVE);
}

static void an_unplugged_disk_stays_leaving_or_joining(void)
{
    on_disks(3, wishes_life);
}

/* A disk with a role of a newer program is a member like others, but gets no columns. */
static void role_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    sfs_member_of(pool, 2)->record.role = 9;
    sfs_member_of(pool, 2)->dirty = true;
    MUST(w, commit(pool, 1));
    sfs_pool_close(pool);
    pool = must_open(w, NULL, ALL_DISKS);
    NEED(w, sfs_member_of(pool, 2)->disk && !sfs_member_usable(sfs_member_of(pool, 2)));
    NEED(w, sfs_member_usable(sfs_member_of(pool, 1)));
    sfs_pool_close(pool);
}

static void unknown_roles_get_no_columns(void)
{
    on_disks(3, role_life);
}

/* --- how many may be absent --- */

static void set_failover(struct sfs_pool *pool, uint8_t failover)
{
    sfs_mutex_lock(&pool->lock);
    pool->config.failover = failover;
    pool->config_dirty = true;
    sfs_mutex_unlock(&pool->lock);
}

static void quorum_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    NEED_EQ(w, pool->config.quorum, 1);
    /* Not while one is absent that knows nothing of it. */
    MUST(w, sfs_member_offline(pool, 3, NULL));
    set_failover(pool, 2);
    for (uint64_t state = 1; state <= 3; state++)
        MUST(w, commit(pool, state));
    NEED_EQ(w, pool->config.quorum, 1);
    MUST(w, sfs_member_online(pool, open_disk(w, 2), NULL));
    MUST(w, commit(pool, 4));
    NEED_EQ(w, pool->config.quorum, 1);
    sfs_pool_close(pool);
    /* Disks that know of the wish alone ask for more than two. */
    must_not_open(w, NULL, A | B, SCALEFS_E_MISSING);
    pool = must_open(w, NULL, ALL_DISKS);
    MUST(w, commit(pool, 5));
    MUST(w, commit(pool, 6));
    NEED_EQ(w, pool->config.quorum, 2);
    MUST(w, sfs_member_offline(pool, 2, NULL));
    MUST(w, sfs_member_offline(pool, 3, NULL));
    NEED(w, !pool->suspended);
    MUST(w, commit(pool, 7));
    /* Less is wished: what is acknowledged now still stands on one disk alone. */
    set_failover(pool, 1);
    MUST(w, commit(pool, 8));
    NEED(w, pool->config.quorum == 2 && !pool->suspended);
    sfs_pool_close(pool);
    must_not_open(w, NULL, B | C, SCALEFS_E_MISSING);
    pool = must_open(w, NULL, A | B);
    NEED_EQ(w, pool->last.pool_tree, 8);
    NEED_EQ(w, pool->config.quorum, 1);
    MUST(w, commit(pool, 9));
    sfs_pool_close(pool);
    must_not_open(w, NULL, C, SCALEFS_E_MISSING);
    pool = must_open(w, NULL, ALL_DISKS);
    NEED_EQ(w, pool->last.pool_tree, 9);
    MUST(w, sfs_member_offline(pool, 2, NULL));
    NEED(w, !pool->suspended);
    MUST(w, sfs_member_offline(pool, 3, NULL));
    NEED(w, pool->suspended);
    sfs_pool_close(pool);
}

static void acknowledged_states_stay_provable(void)
{
    on_disks(3, quorum_life);
}

/* The highest slot that the newest record's table uses. */
static uint32_t highest_slot(struct world *w, const struct sfs_pool *pool, bool directories)
{
    static struct sfs_directory dir;
    uint8_t block[SFS_BLOCK];
    uint32_t highest = 0;
    for (unsigned d = 0; d < pool->last.directory_count; d++) {
        const struct sfs_pageptr *p = &pool->last.directory[d];
        sim_disk_peek(sim_farm_disk(w->farm, 0), SFS_TABLE_OFFSET + p->slot * 4096ull, block, sizeof block);
        MUST(w, sfs_directory_decode(block, &pool->uuid, p->slot, p->checksum, &dir));
        highest = directories && p->slot > highest ? p->slot : highest;
        for (uint32_t i = 0; i < dir.count; i++)
            if (dir.pages[i].slot != SFS_NONE32 && dir.pages[i].slot > highest)
                highest = dir.pages[i].slot;
    }
    return highest;
}

/* A disk that has few slots takes the place of one with many. */
static void high_slots_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    /* Enough pages that some stand high and are not written by every commit. */
    sfs_mutex_lock(&pool->lock);
    for (unsigned i = 0; i < 8; i++) {
        struct sfs_group *g;
        MUST(w, sfs_group_make(pool, SFS_CLASS_METADATA, SFS_FOR_CLEANERS, &g));
    }
    sfs_mutex_unlock(&pool->lock);
    uint32_t limit = 0;
    for (unsigned i = 0; i < 20 && limit < 6; i++) {
        sfs_mutex_lock(&pool->lock);
        sfs_table_rewrite_all(pool);
        sfs_mutex_unlock(&pool->lock);
        MUST(w, commit(pool, 1));
        limit = highest_slot(w, pool, false); /* its page is not written by every commit */
    }
    NEED(w, limit >= 6);
    sfs_mutex_lock(&pool->lock);
    pool->members[0].record.table_slots = limit;
    pool->members[0].dirty = true;
    sfs_mutex_unlock(&pool->lock);
    for (unsigned state = 6; state <= 9; state++)
        MUST(w, commit(pool, state));
    NEED(w, highest_slot(w, pool, true) < limit);
    sfs_pool_close(pool);
    pool = must_open(w, &(struct sfs_pool_open){.read_only = true}, ALL_DISKS);
    NEED_EQ(w, pool->last.pool_tree, 9);
    sfs_pool_close(pool);
}

static void pages_leave_slots_that_too_few_disks_have(void)
{
    on_disks(2, high_slots_life);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(a_cut_between_copies_of_a_label);
    RUN(the_newest_copy_of_a_label_counts);
    RUN(feature_bits_of_labels_count);
    RUN(what_newer_programs_added_is_passed_over);
    RUN(a_disk_may_be_away_for_many_openings);
    RUN(written_apart_is_seen_after_many_openings);
    RUN(an_unplugged_disk_stays_leaving_or_joining);
    RUN(unknown_roles_get_no_columns);
    RUN(acknowledged_states_stay_provable);
    RUN(pages_leave_slots_that_too_few_disks_have);
    return TEST_END();
}
