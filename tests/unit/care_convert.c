/* Groups that were made with less redundancy than is wanted, because disks were absent, do not stay so. */
#include "care_fixture.h"

static void fill_pool(struct world *w, void *arg)
{
    unsigned disks = sim_farm_count(w->farm);
    make_pool(w, disks == 2 ? 1 : 2, 0);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    write_some(w, s, arg, 30);
    sync_and_close(w, s);
}

static void sound(struct world *w, void *arg)
{
    must_be_sound(w, arg, ALL_DISKS);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    verify_all(w, s, arg);
    sync_and_close(w, s);
}

static unsigned weak_groups(struct sfs_store *s)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        const struct sfs_group *g = s->pool->groups[i];
        if (g && g->count.live && g->record.m < s->pool->config.failover)
            count++;
    }
    return count;
}

static void go(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sim_disk *d = sim_farm_disk(w->farm, 0);
    struct sfs_disk *disk;
    struct sfs_store *s = open_store(w, ALL_DISKS, c->swallow != 0);
    enum scalefs_pool_state state;
    unsigned left;
    char action[300];
    MUST(w, sfs_care_offline(s, 1, &info));
    for (uint32_t i = 0; i < FILES; i++)
        put_file(w, s, c, i, ++c->next);
    MUST(w, sfs_store_sync(s));
    NEED(w, weak_groups(s) > 0);
    MUST(w, sim_disk_open(d, w->env, &disk));
    MUST(w, sfs_care_online(s, disk, &info));
    sfs_care_state(s, &state, &left, action, sizeof action);
    NEED_EQ(w, state, SCALEFS_DEGRADED);
    struct scalefs_task_status tasks[8];
    size_t count, converts = 0;
    sfs_care_tasks(s, tasks, 8, &count);
    for (size_t i = 0; i < count; i++)
        converts += tasks[i].kind == SCALEFS_TASK_CONVERT;
    NEED_EQ(w, converts, 1);
    if (c->swallow) {
        while (!sfs_care_idle(s)) {
            write_some(w, s, c, 1);
            sfs_task_sleep(w->env, 3000000);
        }
    } else {
        take_care(w, s);
    }
    NEED_EQ(w, weak_groups(s), 0);
    sfs_care_state(s, &state, &left, action, sizeof action);
    NEED_EQ(w, state, SCALEFS_HEALTHY);
    NEED_EQ(w, left, s->pool->config.failover);
    verify_all(w, s, c);
    sync_and_close(w, s);
}

static void redundancy_comes_back(void)
{
    for (unsigned disks = 2; disks <= 3; disks++) /* with more, those that remain suffice */
        for (unsigned background = 0; background < 2; background++) {
            struct world w;
            struct content c = {{0}, 0, 0, 0, "", 0};
            c.swallow = background;
            world_init(&w, test_seed());
            add_disks(&w, disks, 128 * MIB);
            live(&w, fill_pool, &c);
            live(&w, go, &c);
            live(&w, sound, &c);
            world_deinit(&w);
        }
}

/* --- the power goes in the middle of it --- */

static void weaken(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_pool_open how = {.probe = sfs_store_probe, .degraded = true};
    struct sfs_pool *pool = must_open(w, &how, ALL_DISKS);
    struct sfs_store_options o = {.cache_bytes = 1 << 20, .commit_seconds = UINT32_MAX, .no_background = true};
    struct sfs_store *s;
    struct scalefs_error_info info = {0, ""};
    MUST(w, sfs_store_open(w->env, pool, &o, &s, &info));
    for (uint32_t i = 0; i < FILES; i++)
        put_file(w, s, c, i, ++c->next);
    sync_and_close(w, s);
}

static void in_background(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, true);
    while (!sfs_care_idle(s))
        sfs_task_sleep(w->env, 5000000);
    NEED_EQ(w, weak_groups(s), 0);
    sync_and_close(w, s);
}

static void whole(struct world *w, void *arg)
{
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    verify_all(w, s, arg);
    while (sfs_care_owed_step(s->care))
        continue;
    sync_and_close(w, s);
    must_be_sound(w, arg, ALL_DISKS);
}

static void survives_cuts(void)
{
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct world w;
        struct content c = {{0}, 0, 0, 0, "", 0};
        world_init(&w, test_seed() * 1000 + seed);
        add_disks(&w, 2 + seed % 3, 128 * MIB);
        live(&w, fill_pool, &c);
        sim_disk_pull(sim_farm_disk(w.farm, 1));
        live(&w, weaken, &c);
        sim_disk_return(sim_farm_disk(w.farm, 1));
        enum sim_end end = SIM_CUT;
        for (unsigned cuts = 0; end == SIM_CUT && cuts < 40; cuts++) {
            end = world_live(&w, &(struct world_life){.main = in_background,
                                                      .cut_at_io = 1 + prng_next(&w.prng) % (100 + 100 * cuts)});
            CHECK(end == SIM_CUT || end == SIM_FINISHED);
            if (!live(&w, whole, &c))
                break;
        }
        CHECK_EQ(end, SIM_FINISHED);
        world_deinit(&w);
    }
}

/* --- weak groups --- */

static void fill_alone(struct world *w, void *arg)
{
    make_pool(w, 0, 100);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    for (unsigned i = 0; i < 4; i++)
        write_some(w, s, arg, 60);
    sync_and_close(w, s);
}

/* All groups are weak, and no other one can be made. */
static void take_rows(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    struct sfs_group_record g;
    uint32_t row, first = SFS_NONE32;
    unsigned groups = 0;
    take_care(w, s);
    for (unsigned i = 0; i < 4; i++)
        MUST(w, sfs_store_sync(s));
    sfs_store_lock(s);
    for (uint32_t i = 0; i < s->pool->group_cap; i++)
        groups += s->pool->groups[i] && s->pool->groups[i]->record.class == SFS_CLASS_DATA && sfs_group_room(s->pool->groups[i]);
    s->pool->config.failover = 1;
    for (unsigned i = 0; i < s->pool->member_count; i++) {
        struct sfs_member *m = &s->pool->members[i];
        for (uint32_t a = 0; a < m->limit; a++)
            m->atom_used[a / 64] |= 1ull << a % 64;
        m->free_atoms = 0;
    }
    sfs_store_unlock(s);
    NEED(w, groups > 1);
    for (unsigned i = 0; i < 4; i++) {
        MUST(w, sfs_space_take(s, SFS_CLASS_DATA, 0, false, &g, &row));
        sfs_space_row_done(s, g.group, row, false);
        first = i ? first : g.group;
        NEED_EQ(w, g.group, first);
        sfs_store_lock(s);
        s->pool->committed++; /* as if there had been a commit */
        sfs_store_unlock(s);
    }
    sfs_store_lock(s);
    s->pool->committed -= 4;
    sfs_store_unlock(s);
    s->pool->read_only = true;
    sync_and_close(w, s);
}

/* Another one that is no better would be opened with each commit, its rows read anew; and it might lack a disk. */
static void a_weak_group_is_left_for_a_better_one_only(void)
{
    struct world w;
    struct content c = {{0}, 0, 0, 0, "", 0};
    world_init(&w, test_seed());
    add_disks(&w, 3, 64 * MIB);
    live(&w, fill_alone, &c);
    live(&w, take_rows, &c);
    world_deinit(&w);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(redundancy_comes_back);
    RUN(survives_cuts);
    RUN(a_weak_group_is_left_for_a_better_one_only);
    return TEST_END();
}
