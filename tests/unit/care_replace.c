/* Disks are replaced, present or absent, while files are in use; a cut at any moment leaves the pool whole, and the next
 * opening goes on. */
#include "care_fixture.h"

static void fill_pool(struct world *w, void *arg)
{
    unsigned disks = sim_farm_count(w->farm);
    struct sfs_disk *handles[DISKS_MAX];
    struct scalefs_error_info info = {0, ""};
    struct sfs_pool_format how = {.name = "tank", .failover = disks == 2 ? 0 : disks > 5 ? 2 : 1};
    world_open_disks(w, handles);
    MUST(w, sfs_pool_format(w->env, handles, disks - 1, &how, NULL, &info)); /* the last disk is for later */
    world_close_disks(w, handles);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    write_some(w, s, arg, 60);
    sync_and_close(w, s);
}

static void begin(struct world *w, struct content *c, unsigned disks, uint64_t new_size)
{
    memset(c, 0, sizeof *c);
    world_init(w, test_seed());
    add_disks(w, disks, 64 * MIB);
    sim_farm_add(w->farm, &(struct sim_disk_options){.size_bytes = new_size});
    live(w, fill_pool, c);
}

/* All disks but the replaced one: it is not needed for anything any more. */
static void sound_without_old(struct world *w, void *arg)
{
    struct content *c = arg;
    must_be_sound(w, c, ~(1ull << c->swallow));
    struct sfs_store *s = open_store(w, ~(1ull << c->swallow), false);
    NEED_EQ(w, s->pool->member_count - members_in(s->pool, SFS_DISK_ONLINE),
            s->pool->member_count - sfs_members_online(s->pool));
    NEED_EQ(w, sfs_members_online(s->pool), sim_farm_count(w->farm) - 1);
    NEED(w, !sfs_member_of(s->pool, (uint16_t)(c->swallow + 1)));
    verify_all(w, s, c);
    sync_and_close(w, s);
}

static struct sfs_disk *new_disk(struct world *w)
{
    struct sfs_disk *disk;
    MUST(w, sim_disk_open(sim_farm_disk(w->farm, sim_farm_count(w->farm) - 1), w->env, &disk));
    return disk;
}

static uint64_t without_last(struct world *w)
{
    return (1ull << (sim_farm_count(w->farm) - 1)) - 1;
}

static void replace(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = open_store(w, without_last(w), false);
    MUST(w, sfs_care_replace(s, (uint16_t)(c->swallow + 1), new_disk(w), &info));
    struct scalefs_task_status tasks[4];
    size_t count;
    sfs_care_tasks(s, tasks, 4, &count);
    NEED(w, count == 1 && tasks[0].kind == SCALEFS_TASK_REPLACE && tasks[0].disk == c->swallow + 1u);
    NEED(w, tasks[0].bytes_total > 0 && tasks[0].bytes_done < tasks[0].bytes_total);
    write_some(w, s, c, 5);
    take_care(w, s);
    sfs_care_tasks(s, tasks, 4, &count);
    NEED_EQ(w, count, 0);
    enum scalefs_pool_state state;
    unsigned left;
    char action[300];
    sfs_care_state(s, &state, &left, action, sizeof action);
    NEED_EQ(w, state, SCALEFS_HEALTHY);
    NEED_EQ(w, left, s->pool->config.failover);
    NEED_EQ(w, s->pool->config.extents_lost, 0);
    sync_and_close(w, s); /* nothing is read before the check: that would heal it */
}

static void replaces_a_disk_that_is_there(void)
{
    for (unsigned disks = 1; disks <= 6; disks++) {
        struct world w;
        struct content c;
        begin(&w, &c, disks, 64 * MIB);
        c.swallow = disks / 2;
        live(&w, replace, &c);
        /* Its label is wiped. */
        uint8_t label[SIM_PAGE];
        struct sfs_label l;
        sim_disk_peek(sim_farm_disk(w.farm, c.swallow), SFS_LABEL_OFFSET_0, label, SIM_PAGE);
        CHECK(sfs_label_decode(label, SFS_LABEL_OFFSET_0, &l) != SCALEFS_OK);
        live(&w, sound_without_old, &c);
        world_deinit(&w);
    }
}

/* --- absent --- */

static void replace_absent(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_pool_open how = {.probe = sfs_store_probe, .degraded = true};
    struct sfs_pool *pool = must_open(w, &how, without_last(w));
    struct sfs_store_options o = {.cache_bytes = 1 << 20, .commit_seconds = UINT32_MAX, .no_background = true};
    struct sfs_store *s;
    enum scalefs_pool_state state;
    unsigned left;
    char action[300];
    MUST(w, sfs_store_open(w->env, pool, &o, &s, &info));
    sfs_care_state(s, &state, &left, action, sizeof action);
    NEED_EQ(w, state, SCALEFS_DEGRADED);
    write_some(w, s, c, 5);
    MUST(w, sfs_care_replace(s, (uint16_t)(c->swallow + 1), new_disk(w), &info));
    NEED_EQ(w, members_wishing(s->pool, SFS_WISH_FAILED), 1);
    write_some(w, s, c, 5);
    take_care(w, s);
    sfs_care_state(s, &state, &left, action, sizeof action);
    NEED_EQ(w, s->pool->config.extents_lost, 0);
    sync_and_close(w, s); /* nothing is read before the check: that would heal it */
}

static void rebuilds_a_disk_that_is_gone(void)
{
    for (unsigned disks = 3; disks <= 6; disks++) {
        struct world w;
        struct content c;
        begin(&w, &c, disks, 96 * MIB);
        c.swallow = disks - 1;
        sim_disk_pull(sim_farm_disk(w.farm, c.swallow));
        live(&w, replace_absent, &c);
        /* Units that follow each other go there together. */
        CHECK(sim_disk_stats(sim_farm_disk(w.farm, disks))->largest_write > (512u << 10) / (disks - 1));
        live(&w, sound_without_old, &c);
        world_deinit(&w);
    }
}

/* --- a bad old disk --- */

static void does_not_copy_what_is_wrong(void)
{
    for (unsigned kind = 0; kind < 7; kind++) {
        struct world w;
        struct content c;
        begin(&w, &c, 4, 64 * MIB);
        /* Kinds 3 to 6 are the same on each of the disks: one of them holds the parity. */
        c.swallow = kind < 3 ? 1 : kind - 3;
        struct sim_disk *d = sim_farm_disk(w.farm, c.swallow);
        uint64_t step = kind >= 3 ? 128 << 10 : 3 * SIM_PAGE;
        /* The last page of each unit of 128 KiB, where nothing but the other columns tells what parity is right. */
        for (uint64_t at = 4 * MIB + (kind >= 3 ? step : 0); at < 60 * MIB; at += step)
            if (kind == 0 || kind >= 3)
                sim_disk_rot(d, at, SIM_PAGE);
            else if (kind == 1)
                sim_disk_make_unreadable(d, at, SIM_PAGE);
            else
                sim_disk_poke(d, at, (uint8_t[SIM_PAGE]){1, 2, 3}, SIM_PAGE);
        live(&w, replace, &c);
        live(&w, sound_without_old, &c);
        world_deinit(&w);
    }
}

/* A disk that said that it wrote, and did not: what stands there is right, but old. */
static void lie(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = open_store(w, without_last(w), false);
    for (unsigned round = 0; round < 8; round++) { /* until rows are used again */
        for (uint32_t i = 0; i < FILES; i++)
            put_file(w, s, c, i, ++c->next);
        for (unsigned i = 0; i < 4; i++)
            MUST(w, sfs_checkpoint(s, false, false, true));
        take_care(w, s);
    }
    struct sim_disk *d = sim_farm_disk(w->farm, c->swallow);
    for (uint32_t i = 0; i < FILES; i++) {
        if (file_size(i, c->next + 1) > 300000)
            sim_disk_lose_writes(d, 2);
        put_file(w, s, c, i, ++c->next);
    }
    sim_disk_lose_writes(d, 0);
    sync_and_close(w, s);
}

static void does_not_copy_what_is_old(void)
{
    for (unsigned disks = 2; disks <= 4; disks++) { /* with two: copies, each with a summary of its own */
        struct world w;
        struct content c;
        begin(&w, &c, disks, 64 * MIB);
        c.swallow = 1;
        live(&w, lie, &c);
        live(&w, replace, &c);
        live(&w, sound_without_old, &c);
        world_deinit(&w);
    }
}

/* --- the new disk goes, and its cache with it --- */

static void lose_new_column(struct world *w, void *arg)
{
    (void)arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = open_store(w, without_last(w), false);
    struct sim_disk *d = sim_farm_disk(w->farm, sim_farm_count(w->farm) - 1);
    take_care(w, s);
    MUST(w, sfs_care_replace(s, 1, new_disk(w), &info));
    uint16_t heir = sfs_member_of(s->pool, 1)->record.replaced_by;
    sim_disk_lose_writes(d, 1u << 30);
    sim_disk_fail_flushes(d, 1);
    (void)sfs_care_order_step(s->care);
    sim_disk_lose_writes(d, 0);
    NEED(w, !sfs_member_of(s->pool, heir)->disk);
    MUST(w, sfs_care_online(s, new_disk(w), &info));
    take_care(w, s);
    NEED(w, !sfs_member_of(s->pool, 1));
    sync_and_close(w, s);
}

static void a_column_is_durable_before_it_counts(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 3, 64 * MIB);
    live(&w, lose_new_column, &c);
    c.swallow = 0;
    live(&w, sound_without_old, &c);
    world_deinit(&w);
}

/* --- refusals --- */

static void refuse(struct world *w, void *arg)
{
    (void)arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = open_store(w, without_last(w), false);
    struct sfs_disk *disk = new_disk(w);
    unsigned members = s->pool->member_count;
    for (unsigned i = 0; i < 8; i++)
        must_make(w, s->pool, SFS_CLASS_DATA);
    NEED_EQ(w, sfs_care_replace(s, 1, disk, &info), SCALEFS_E_TOO_SMALL);
    NEED(w, strstr(info.text, "MiB too small"));
    NEED_EQ(w, sfs_care_replace(s, 9, disk, &info), SCALEFS_E_NOENT);
    NEED_EQ(w, s->pool->member_count, members);
    NEED(w, sfs_care_idle(s));
    sfs_disk_close(disk);
    sync_and_close(w, s);
    must_be_sound(w, arg, without_last(w));
}

static void refuses_a_disk_that_is_too_small(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 3, 32 * MIB);
    live(&w, refuse, &c);
    world_deinit(&w);
}

/* A disk that is itself to take over another's columns has nothing yet. */
static void refuse_heir(struct world *w, void *arg)
{
    (void)arg;
    enum { SMALL = 3, LARGE = 4 };
    struct scalefs_error_info info = {0, ""};
    struct sfs_disk *small, *large;
    struct sfs_store *s = open_store(w, 7, false);
    MUST(w, sim_disk_open(sim_farm_disk(w->farm, SMALL), w->env, &small));
    MUST(w, sim_disk_open(sim_farm_disk(w->farm, LARGE), w->env, &large));
    struct sfs_group *groups[8];
    for (unsigned i = 0; i < 8; i++) {
        groups[i] = must_make(w, s->pool, SFS_CLASS_DATA);
        groups[i]->in_flight++; /* or the commit frees them, since nothing lives there */
    }
    MUST(w, sfs_care_replace(s, 1, large, &info));
    uint16_t heir = sfs_member_of(s->pool, 1)->record.replaced_by;
    NEED_EQ(w, sfs_member_of(s->pool, heir)->free_atoms, sfs_member_of(s->pool, heir)->record.atoms);
    NEED_EQ(w, sfs_care_replace(s, heir, small, &info), SCALEFS_E_TOO_SMALL);
    sfs_disk_close(small);
    for (unsigned i = 0; i < 8; i++)
        groups[i]->in_flight--;
    sync_and_close(w, s);
}

static void refuses_a_disk_too_small_for_what_is_to_come(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 3, 32 * MIB);
    add_disks(&w, 1, 64 * MIB);
    live(&w, refuse_heir, &c);
    world_deinit(&w);
}

/* --- cuts --- */

static void replace_in_background(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = open_store(w, ALL_DISKS, true);
    if (sfs_member_of(s->pool, (uint16_t)(c->swallow + 1)) && sfs_members_online(s->pool) < sim_farm_count(w->farm))
        MUST(w, sfs_care_replace(s, (uint16_t)(c->swallow + 1), new_disk(w), &info));
    while (!sfs_care_idle(s))
        sfs_task_sleep(w->env, 5000000);
    sync_and_close(w, s);
}

static void whole_after_cut(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    while (sfs_care_owed_step(s->care)) /* the new disk may not have got its first record */
        continue;
    sync_and_close(w, s);
    must_be_sound(w, c, ALL_DISKS);
    s = open_store(w, ALL_DISKS, false);
    verify_all(w, s, c);
    NEED_EQ(w, s->pool->config.extents_repaired, 0);
    sync_and_close(w, s);
}

static void survives_cuts(void)
{
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct world w;
        struct content c;
        memset(&c, 0, sizeof c);
        world_init(&w, test_seed() * 1000 + seed);
        unsigned disks = 2 + (unsigned)seed % 4;
        add_disks(&w, disks, 64 * MIB);
        sim_farm_add(w.farm, &(struct sim_disk_options){.size_bytes = 64 * MIB});
        live(&w, fill_pool, &c);
        c.swallow = (unsigned)seed % disks;
        unsigned cuts = 0;
        for (enum sim_end end = SIM_CUT; end == SIM_CUT && cuts < 40; cuts++) {
            struct world_life life = {.main = replace_in_background, .arg = &c,
                                      .cut_at_io = 1 + prng_next(&w.prng) % (150 + 150 * cuts),
                                      .kill = prng_next(&w.prng) % 4 == 0};
            end = world_live(&w, &life);
            CHECK(end == SIM_CUT || end == SIM_FINISHED);
            if (!live(&w, whole_after_cut, &c))
                break;
        }
        live(&w, replace_in_background, &c);
        live(&w, sound_without_old, &c);
        world_deinit(&w);
    }
}

/* --- while files are in use --- */

struct user {
    struct world *w;
    struct sfs_store *s;
    struct content *c;
    bool stop;
};

static void use(void *arg)
{
    struct user *u = arg;
    while (!u->stop) {
        write_some(u->w, u->s, u->c, 1 + (unsigned)(prng_next(&u->w->prng) % 4));
        verify_file(u->w, u->s, u->c, (uint32_t)(prng_next(&u->w->prng) % FILES), NULL);
        if (prng_next(&u->w->prng) % 3 == 0)
            MUST(u->w, sfs_store_sync(u->s));
    }
}

static void replace_in_use(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct user u = {.w = w, .c = c, .s = open_store(w, without_last(w), true)};
    struct sfs_task *task;
    MUST(w, sfs_task_start(w->env, "user", use, &u, &task));
    sfs_task_sleep(w->env, 30000000);
    MUST(w, sfs_care_replace(u.s, (uint16_t)(c->swallow + 1), new_disk(w), &info));
    if (prng_next(&w->prng) % 2) { /* and it disappears in the middle of it */
        sfs_task_sleep(w->env, 100000000);
        sim_disk_pull(sim_farm_disk(w->farm, c->swallow));
    }
    while (sfs_member_of(u.s->pool, (uint16_t)(c->swallow + 1)))
        sfs_task_sleep(w->env, 5000000);
    sfs_task_sleep(w->env, 50000000);
    u.stop = true;
    sfs_task_join(w->env, task);
    while (!sfs_care_idle(u.s))
        sfs_task_sleep(w->env, 5000000);
    NEED_EQ(w, u.s->pool->config.extents_lost, 0);
    NEED_EQ(w, u.s->pool->config.extents_repaired, 0); /* nothing was ever wrong where it is now */
    sync_and_close(w, u.s);
}

static void replaces_while_files_are_in_use(void)
{
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct world w;
        struct content c;
        memset(&c, 0, sizeof c);
        world_init(&w, test_seed() * 1000 + seed);
        unsigned disks = 3 + (unsigned)seed % 3;
        add_disks(&w, disks, 128 * MIB);
        sim_farm_add(w.farm, &(struct sim_disk_options){.size_bytes = 128 * MIB});
        live(&w, fill_pool, &c);
        c.swallow = (unsigned)seed % disks;
        live(&w, replace_in_use, &c);
        live(&w, sound_without_old, &c);
        world_deinit(&w);
    }
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(replaces_a_disk_that_is_there);
    RUN(rebuilds_a_disk_that_is_gone);
    RUN(does_not_copy_what_is_wrong);
    RUN(does_not_copy_what_is_old);
    RUN(a_column_is_durable_before_it_counts);
    RUN(refuses_a_disk_that_is_too_small);
    RUN(refuses_a_disk_too_small_for_what_is_to_come);
    RUN(survives_cuts);
    RUN(replaces_while_files_are_in_use);
    return TEST_END();
}
