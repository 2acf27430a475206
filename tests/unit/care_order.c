/* What is moved first, when much has to: what lacks most redundancy; and nothing that is whole while something of the same data is gone. */
#include "care_fixture.h"

static struct sfs_store *begin(struct world *w, struct content *c, unsigned count, uint8_t optimize)
{
    struct sfs_disk *handles[DISKS_MAX];
    struct scalefs_error_info info = {0, ""};
    struct sfs_pool_format how = {.name = "tank", .failover = 1, .optimize = optimize};
    world_open_disks(w, handles);
    MUST(w, sfs_pool_format(w->env, handles, count, &how, NULL, &info));
    world_close_disks(w, handles);
    struct sfs_store *s = open_store(w, (1ull << count) - 1, false);
    write_some(w, s, c, 40);
    MUST(w, sfs_store_sync(s));
    take_care(w, s);
    return s;
}

static void run(unsigned disks, void (*fn)(struct world *w, void *arg))
{
    struct world w;
    struct content c;
    memset(&c, 0, sizeof c);
    world_init(&w, test_seed());
    add_disks(&w, disks, 96 * MIB);
    live(&w, fn, &c);
    world_deinit(&w);
}

static struct sfs_disk *handle(struct world *w, unsigned i)
{
    struct sfs_disk *disk;
    MUST(w, sim_disk_open(sim_farm_disk(w->farm, i), w->env, &disk));
    return disk;
}

/* Groups with something in them that have a column on `a`, and one on `b` (0: whatever else they have). */
static unsigned groups_on(const struct sfs_store *s, uint16_t a, uint16_t b)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        const struct sfs_group *g = s->pool->groups[i];
        count += g && g->count.live && sfs_care_has_column(&g->record, a) && (!b || sfs_care_has_column(&g->record, b));
    }
    return count;
}

static unsigned alone_on(const struct sfs_store *s, uint16_t member)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        const struct sfs_group *g = s->pool->groups[i];
        count += g && g->count.live && g->record.k == 1 && g->record.m == 0 && g->record.columns[0].disk == member;
    }
    return count;
}

/* Groups made before that generation that gave a column of member 2 away. */
static unsigned moved_from_2(const struct sfs_store *s, uint64_t before)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        const struct sfs_group *g = s->pool->groups[i];
        count += g && g->count.live && g->record.generation < before && !sfs_care_has_column(&g->record, 2) &&
                 (sfs_care_has_column(&g->record, 3) || sfs_care_has_column(&g->record, 4));
    }
    return count;
}

/* The one with the most data. */
static const struct sfs_group_record *largest(const struct sfs_store *s)
{
    const struct sfs_group *most = NULL;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        const struct sfs_group *g = s->pool->groups[i];
        if (g && g->record.class == SFS_CLASS_DATA && (!most || g->count.live > most->count.live))
            most = g;
    }
    return &most->record;
}

/* --- one failed and is not rebuilt yet, another one leaves --- */

static void wait_for_rebuilding(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = begin(w, c, 4, 100);
    uint16_t failed = largest(s)->columns[0].disk, leaving = largest(s)->columns[1].disk;
    uint32_t most = largest(s)->group;
    MUST(w, sfs_care_offline(s, failed, &info));
    MUST(w, sfs_care_remove(s, failed, -1, &info));
    MUST(w, sfs_care_remove(s, leaving, -1, &info));
    MUST(w, sfs_care_pause(s, SFS_CARE_DRAIN + failed, &info)); /* nothing can be rebuilt just now */
    take_care(w, s);
    NEED(w, sfs_group_of(s->pool, most) && sfs_care_has_column(&sfs_group_of(s->pool, most)->record, leaving));
    NEED_EQ(w, groups_on(s, leaving, 0), groups_on(s, failed, leaving)); /* what has nothing on the other one has moved */
    NEED(w, sfs_care_blocked(s->care, leaving) && strstr(sfs_care_blocked(s->care, leaving), "rebuilt first"));
    MUST(w, sfs_care_resume(s, SFS_CARE_DRAIN + failed, &info));
    s->care->block_count = 0; /* as the task does when something changes */
    take_care(w, s);
    NEED(w, !sfs_member_of(s->pool, failed) && !sfs_member_of(s->pool, leaving));
    verify_all(w, s, c);
    sync_and_close(w, s);
    must_be_sound(w, c, ~(1ull << (failed - 1) | 1ull << (leaving - 1)));
}

static void what_is_whole_stays_until_what_is_gone_is_rebuilt(void)
{
    run(4, wait_for_rebuilding);
}

/* --- a disk that is only absent holds nothing up --- */

static void go_on(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = begin(w, c, 4, 100);
    uint16_t away = largest(s)->columns[0].disk, leaving = largest(s)->columns[1].disk;
    MUST(w, sfs_care_offline(s, away, &info));
    MUST(w, sfs_care_remove(s, leaving, -1, &info));
    take_care(w, s);
    NEED(w, !sfs_member_of(s->pool, leaving));
    MUST(w, sfs_care_online(s, handle(w, away - 1u), &info));
    take_care(w, s);
    verify_all(w, s, c);
    sync_and_close(w, s);
    must_be_sound(w, c, ~(1ull << (leaving - 1)));
}

static void a_disk_that_is_absent_holds_nothing_up(void)
{
    run(4, go_on);
}

/* --- what has no redundancy gets some before anything else moves --- */

static void weakest(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = begin(w, c, 2, 0);
    struct sfs_disk *more[2];
    MUST(w, sfs_care_offline(s, 1, &info));
    for (uint32_t i = 0; i < 8; i++)
        put_file(w, s, c, i, ++c->next);
    MUST(w, sfs_store_sync(s));
    MUST(w, sfs_care_online(s, handle(w, 0), &info));
    while (sfs_care_owed_step(s->care))
        continue;
    for (unsigned i = 0; i < 2; i++)
        more[i] = handle(w, 2 + i);
    MUST(w, sfs_care_add(s, more, NULL, SFS_ROLE_DATA, 2, &info));
    MUST(w, sfs_care_remove(s, 2, -1, &info));
    uint64_t now = s->pool->config.next_generation;
    NEED(w, alone_on(s, 2) > 0);
    while (alone_on(s, 2) > 0) {
        NEED(w, sfs_care_order_step(s->care));
        NEED_EQ(w, alone_on(s, 1) + alone_on(s, 3) + alone_on(s, 4), 0);
        NEED(w, !alone_on(s, 2) || !moved_from_2(s, now));
    }
    take_care(w, s);
    NEED(w, !sfs_member_of(s->pool, 2));
    verify_all(w, s, c);
    sync_and_close(w, s);
    must_be_sound(w, c, ALL_DISKS & ~2ull);
}

static void what_lacks_most_comes_first(void)
{
    run(4, weakest);
}

/* --- a wish that may be taken back --- */

struct wish {
    struct sfs_store *s;
    int err;
    bool done;
};

static void make_wish(void *arg)
{
    struct wish *x = arg;
    struct scalefs_error_info info = {0, ""};
    x->err = sfs_care_remove(x->s, 2, 0, &info);
    x->done = true;
}

/* Disk 1 is pulled before a record can tell that disk 2 leaves and nothing needs two copies any more. */
static void wait_for_record(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = begin(w, c, 2, 0);
    struct wish x = {s, SCALEFS_OK, false};
    struct sfs_task *task;
    sim_disk_pull(sim_farm_disk(w->farm, 0));
    sim_disk_pull(sim_farm_disk(w->farm, 1));
    MUST(w, sfs_task_start(w->env, "wish", make_wish, &x, &task));
    while (!x.done) {
        (void)sfs_care_step(s);
        for (uint32_t i = 0; i < s->pool->group_cap; i++)
            NEED(w, !s->pool->groups[i] || s->pool->groups[i]->record.m == 1);
        sfs_task_sleep(w->env, 1000);
    }
    sfs_task_join(w->env, task);
    NEED(w, x.err != SCALEFS_OK && s->pool->config.failover == 1);
    (void)sfs_store_close(s, true);
}

static void nothing_is_moved_for_a_wish_that_may_be_taken_back(void)
{
    run(2, wait_for_record);
}

/* --- a group that is just being made --- */

struct made {
    struct world *w;
    struct sfs_store *s;
    struct sfs_group *g;
};

static void give_up_group(void *arg)
{
    struct made *x = arg;
    sfs_task_sleep(x->w->env, 5000000);
    sfs_store_lock(x->s);
    x->g->in_flight--;
    sfs_group_free(x->s->pool, x->g);
    sfs_store_unlock(x->s);
}

/* Its headers cannot be written, so it is freed again while somebody would move a column of it. */
static void leave_it_alone(struct world *w, void *arg)
{
    struct sfs_store *s = begin(w, arg, 3, 100);
    struct made x = {w, s, NULL};
    struct sfs_task *task;
    sfs_store_lock(s);
    MUST(w, sfs_group_make(s->pool, SFS_CLASS_DATA, SFS_FOR_CLEANERS, &x.g));
    x.g->in_flight++;
    struct sfs_group_record r = x.g->record;
    sfs_store_unlock(s);
    NEED(w, r.k == 1 && r.m == 1);
    MUST(w, sfs_task_start(w->env, "maker", give_up_group, &x, &task));
    NEED_EQ(w, sfs_column_move(s->care, &r, 0, (uint16_t)(6 - r.columns[0].disk - r.columns[1].disk), true), SCALEFS_E_BUSY);
    NEED_EQ(w, sfs_column_drop(s->care, &r), SCALEFS_E_BUSY);
    sfs_task_join(w->env, task);
    sync_and_close(w, s);
    must_be_sound(w, arg, ALL_DISKS);
}

static void a_group_that_is_being_made_is_left_alone(void)
{
    run(3, leave_it_alone);
}

/* --- one of a failed disk's groups cannot be emptied now --- */

/* Copies that lack one on the failed disk and could have it again. */
static unsigned lacking(const struct sfs_store *s, uint16_t failed, uint16_t paused)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        const struct sfs_group *g = s->pool->groups[i];
        count += g && g->count.live && g->record.k == 1 && sfs_care_has_column(&g->record, failed) && !sfs_care_has_column(&g->record, paused);
    }
    return count;
}

static void rebuild_the_others(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = begin(w, c, 4, 0);
    uint16_t leaving = largest(s)->columns[0].disk, failed = largest(s)->columns[1].disk;
    NEED(w, largest(s)->k == 3);
    sfs_store_lock(s);
    s->pool->config.optimize = 100; /* from here on copies are made */
    for (uint16_t i = 1; i <= 4; i++)
        sfs_space_close_member(s, i);
    sfs_store_unlock(s);
    write_some(w, s, c, 40);
    MUST(w, sfs_store_sync(s));
    MUST(w, sfs_care_offline(s, failed, &info));
    MUST(w, sfs_care_remove(s, failed, -1, &info));
    MUST(w, sfs_care_remove(s, leaving, -1, &info));
    MUST(w, sfs_care_pause(s, SFS_CARE_DRAIN + leaving, &info));
    NEED(w, lacking(s, failed, leaving) > 0);
    take_care(w, s);
    NEED_EQ(w, lacking(s, failed, leaving), 0);
    MUST(w, sfs_care_resume(s, SFS_CARE_DRAIN + leaving, &info));
    s->care->block_count = 0;
    take_care(w, s);
    NEED_EQ(w, groups_on(s, failed, 0), 0);
    verify_all(w, s, c);
    sync_and_close(w, s);
}

static void a_group_that_cannot_be_emptied_holds_no_other_up(void)
{
    run(4, rebuild_the_others);
}

/* --- what is free is made even --- */

static void leave_what_lacks_a_disk(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = begin(w, c, 2, 100);
    struct sfs_disk *more[] = {handle(w, 2), handle(w, 3)};
    MUST(w, sfs_care_offline(s, 1, &info));
    MUST(w, sfs_care_add(s, more, NULL, SFS_ROLE_DATA, 2, &info));
    NEED(w, groups_on(s, 1, 2) > 0);
    take_care(w, s);
    NEED_EQ(w, groups_on(s, 1, 0), groups_on(s, 1, 2)); /* where they were */
    MUST(w, sfs_care_online(s, handle(w, 0), &info));
    take_care(w, s);
    verify_all(w, s, c);
    sync_and_close(w, s);
    must_be_sound(w, c, ALL_DISKS);
}

static void the_only_copy_within_reach_stays(void)
{
    run(4, leave_what_lacks_a_disk);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(what_is_whole_stays_until_what_is_gone_is_rebuilt);
    RUN(a_disk_that_is_absent_holds_nothing_up);
    RUN(what_lacks_most_comes_first);
    RUN(nothing_is_moved_for_a_wish_that_may_be_taken_back);
    RUN(a_group_that_is_being_made_is_left_alone);
    RUN(a_group_that_cannot_be_emptied_holds_no_other_up);
    RUN(the_only_copy_within_reach_stays);
    return TEST_END();
}
