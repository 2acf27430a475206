/* Changes of the configuration while files are in use: disks come and go, more or fewer may fail, wider or narrower. */
#include "care_fixture.h"

enum { DISKS = 6 };

static const uint64_t sizes[DISKS] = {96 * MIB, 128 * MIB, 64 * MIB, 80 * MIB, 160 * MIB, 96 * MIB};

static void start(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_disk *handles[DISKS_MAX];
    struct scalefs_error_info info = {0, ""};
    unsigned disks = c->swallow & 15, failover = c->swallow >> 4;
    struct sfs_pool_format how = {.name = "tank", .failover = (uint8_t)failover};
    world_open_disks(w, handles);
    MUST(w, sfs_pool_format(w->env, handles, disks, &how, NULL, &info));
    world_close_disks(w, handles);
    struct sfs_store *s = open_store(w, (1ull << disks) - 1, false);
    for (uint32_t i = 0; i < FILES; i++)
        put_file(w, s, c, i, ++c->next);
    sync_and_close(w, s);
}

/* A farm of all six; a pool with something in it on the first `disks` of them. */
static void begin(struct world *w, struct content *c, unsigned disks, unsigned failover)
{
    memset(c, 0, sizeof *c);
    c->swallow = disks | failover << 4;
    world_init(w, test_seed());
    for (unsigned i = 0; i < DISKS; i++)
        sim_farm_add(w->farm, &(struct sim_disk_options){.size_bytes = sizes[i]});
    live(w, start, c);
}

static void add(struct world *w, struct sfs_store *s, unsigned from, unsigned to)
{
    struct scalefs_error_info info = {0, ""};
    struct sfs_disk *handles[DISKS];
    for (unsigned i = from; i < to; i++)
        MUST(w, sim_disk_open(sim_farm_disk(w->farm, i), w->env, &handles[i]));
    MUST(w, sfs_care_add(s, handles + from, NULL, SFS_ROLE_DATA, to - from, &info));
}

static void remove_member(struct world *w, struct sfs_store *s, uint16_t index, int failover)
{
    struct scalefs_error_info info = {0, ""};
    int err = sfs_care_remove(s, index, failover, &info);
    if (err)
        sim_fail(w->sim, "disk %u is not removed: %s", index, info.text);
}

static void configure(struct world *w, struct sfs_store *s, int failover, int optimize)
{
    struct scalefs_error_info info = {0, ""};
    int err = sfs_care_configure(s, failover, optimize, &info);
    if (err)
        sim_fail(w->sim, "failover %d, optimize %d: %s", failover, optimize, info.text);
}

/* All that there is to do is done, and the pool is as it is wished. */
static void done(struct world *w, struct sfs_store *s, struct content *c)
{
    enum scalefs_pool_state state;
    unsigned left;
    char action[300];
    write_some(w, s, c, 5);
    take_care(w, s);
    MUST(w, sfs_store_sync(s));
    sfs_care_state(s, &state, &left, action, sizeof action);
    NEED_EQ(w, state, SCALEFS_HEALTHY);
    NEED_EQ(w, left, s->pool->config.failover);
    NEED_EQ(w, s->pool->config.quorum, s->pool->config.failover);
    NEED_EQ(w, s->pool->config.settle, 0);
    NEED_EQ(w, s->pool->config.extents_lost, 0);
    for (unsigned i = 0; i < s->pool->member_count; i++)
        NEED(w, !s->pool->members[i].used || s->pool->members[i].record.wish == SFS_WISH_STAY);
    verify_all(w, s, c);
}

static unsigned widest(struct sfs_store *s, enum sfs_class class, unsigned *narrowest)
{
    unsigned most = 0;
    *narrowest = 64;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        const struct sfs_group *g = s->pool->groups[i];
        if (!g || g->record.class != class || !g->count.live)
            continue;
        most = g->record.k > most ? g->record.k : most;
        *narrowest = g->record.k < *narrowest ? g->record.k : *narrowest;
    }
    return most;
}

/* --- the grand tour --- */

static void tour(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_disk *handle;
    unsigned narrowest;
    struct sfs_store *s = open_store(w, 1, false);
    add(w, s, 1, 4);
    done(w, s, c);
    for (unsigned i = 0; i < 4; i++) /* what was there has spread */
        NEED(w, s->pool->members[i].free_atoms < s->pool->members[i].record.atoms);
    configure(w, s, 1, -1);
    done(w, s, c);
    configure(w, s, 2, -1);
    done(w, s, c);
    configure(w, s, 1, -1);
    done(w, s, c);
    configure(w, s, -1, 100);
    done(w, s, c);
    NEED_EQ(w, widest(s, SFS_CLASS_DATA, &narrowest), 1);
    configure(w, s, -1, 0);
    done(w, s, c);
    NEED_EQ(w, widest(s, SFS_CLASS_DATA, &narrowest), 3);
    NEED_EQ(w, narrowest, 3);
    remove_member(w, s, 3, -1);
    remove_member(w, s, 4, -1);
    done(w, s, c);
    NEED_EQ(w, sfs_members_online(s->pool), 2);
    MUST(w, sim_disk_open(sim_farm_disk(w->farm, 4), w->env, &handle));
    MUST(w, sfs_care_replace(s, 1, handle, &info));
    done(w, s, c);
    NEED(w, !sfs_member_of(s->pool, 1));
    remove_member(w, s, 2, 0);
    done(w, s, c);
    NEED_EQ(w, sfs_members_online(s->pool), 1);
    sync_and_close(w, s);
}

static void sound_on_one(struct world *w, void *arg)
{
    must_be_sound(w, arg, 1 << 4);
    struct sfs_store *s = open_store(w, 1 << 4, false);
    verify_all(w, s, arg);
    sync_and_close(w, s);
}

static void one_disk_to_many_and_back(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 1, 0);
    live(&w, tour, &c);
    live(&w, sound_on_one, &c);
    world_deinit(&w);
}

/* --- cuts --- */

static void shrink(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, true);
    struct sfs_member *m = sfs_member_of(s->pool, 2);
    if (m && !sfs_care_drains(m))
        remove_member(w, s, 2, -1);
    if (s->pool->config.failover != 2)
        configure(w, s, 2, -1);
    while (!sfs_care_idle(s))
        sfs_task_sleep(w->env, 5000000);
    verify_all(w, s, c);
    NEED(w, !sfs_member_of(s->pool, 2));
    NEED_EQ(w, s->pool->config.failover, 2);
    NEED_EQ(w, sfs_care_failures_left(s), 2);
    sync_and_close(w, s);
}

static void look(struct world *w, void *arg)
{
    must_be_sound(w, arg, ALL_DISKS);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    verify_all(w, s, arg);
    sync_and_close(w, s);
}

/* The power goes again and again in the middle of it; each life goes on where the one before was. */
static void goes_on_after_every_cut(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 5, 1);
    enum sim_end end;
    unsigned lives = 0, cuts = 0;
    do {
        end = world_live(&w, &(struct world_life){.main = shrink, .arg = &c, .cut_at_io = 40 + 97 * lives, .kill = lives % 3 == 0});
        CHECK(end == SIM_CUT || end == SIM_FINISHED);
        cuts += end == SIM_CUT;
        live(&w, look, &c);
    } while (end == SIM_CUT && ++lives < 60);
    CHECK_EQ(end, SIM_FINISHED);
    CHECK(cuts >= 3);
    world_deinit(&w);
}

/* --- what it costs --- */

static uint64_t written(struct world *w)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < DISKS; i++)
        bytes += sim_disk_stats(sim_farm_disk(w->farm, i))->bytes_written;
    return bytes;
}

static void more_parity(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = open_store(w, (1 << 5) - 1, false);
    configure(w, s, 1, 50); /* of five disks, groups of two data columns and one of parity */
    take_care(w, s);
    uint64_t units = 0, live = 0;
    unsigned k[2], narrowest;
    k[0] = widest(s, SFS_CLASS_DATA, &narrowest);
    NEED_EQ(w, k[0], narrowest);
    NEED(w, k[0] + 2 <= 5);
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        const struct sfs_group *g = s->pool->groups[i];
        if (g && g->record.class == SFS_CLASS_DATA) {
            units += (uint64_t)g->count.used_rows * sfs_group_unit(&g->record);
            live += g->count.live;
        }
    }
    uint64_t before = written(w);
    struct scalefs_error_info info = {0, ""};
    MUST(w, sfs_care_configure(s, 2, -1, &info));
    take_care(w, s);
    uint64_t cost = written(w) - before;
    NEED_EQ(w, widest(s, SFS_CLASS_DATA, &narrowest), k[0]);
    /* The new parity of data, copies of nodes, and what commits write; to write the data anew would be twice what lives. */
    NEED(w, cost >= units && cost < units + units / 2 && cost < live);
    done(w, s, c);
    sync_and_close(w, s);
}

static void more_protection_writes_parity_alone(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 5, 1);
    live(&w, more_parity, &c);
    world_deinit(&w);
}

/* --- how far it is --- */

static bool task_of(struct sfs_store *s, enum scalefs_task_kind kind, struct scalefs_task_status *task)
{
    struct scalefs_task_status tasks[16];
    size_t count;
    sfs_care_tasks(s, tasks, 16, &count);
    for (size_t i = 0; i < count; i++)
        if (tasks[i].kind == kind) {
            *task = tasks[i];
            return true;
        }
    return false;
}

/* --- a wish that is not recorded yet --- */

static unsigned parity_of_new(struct world *w, struct sfs_store *s)
{
    struct sfs_group *g;
    sfs_store_lock(s);
    MUST(w, sfs_group_make(s->pool, SFS_CLASS_DATA, SFS_FOR_CLEANERS, &g));
    unsigned m = g->record.m;
    sfs_group_free(s->pool, g);
    sfs_store_unlock(s);
    return m;
}

static unsigned to_convert(struct sfs_store *s)
{
    unsigned count = 0;
    sfs_store_lock(s);
    for (uint32_t i = 0; i < s->pool->group_cap; i++)
        count += s->pool->groups[i] && sfs_care_converts(s->care, s->pool->groups[i]);
    sfs_store_unlock(s);
    return count;
}

static void less(struct world *w, void *arg)
{
    struct sfs_store *s = open_store(w, 7, false);
    take_care(w, s);
    NEED_EQ(w, parity_of_new(w, s), 2);
    s->pool->config.failover = 1; /* as a verb does before its commit, which may fail yet */
    s->pool->config_dirty = true;
    NEED_EQ(w, parity_of_new(w, s), 2);
    NEED_EQ(w, to_convert(s), 0);
    MUST(w, sfs_store_commit(s));
    NEED_EQ(w, parity_of_new(w, s), 1);
    NEED(w, to_convert(s) > 0);
    s->pool->config.failover = 2; /* more is better at once */
    NEED_EQ(w, parity_of_new(w, s), 2);
    s->pool->config.failover = 1;
    done(w, s, arg);
    sync_and_close(w, s);
}

static void less_redundancy_waits_for_the_record(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 3, 2);
    live(&w, less, &c);
    world_deinit(&w);
}

/* What is to be done is known from the beginning, what was done only rises, and at the end they agree. */
static void follow(struct world *w, struct sfs_store *s, enum scalefs_task_kind kind)
{
    struct scalefs_task_status now;
    uint64_t first = 0, last = 0, total = 0;
    unsigned steps = 0, seen = 0;
    while (task_of(s, kind, &now)) {
        if (!seen++)
            first = now.bytes_total;
        NEED(w, now.bytes_done >= last && now.bytes_done <= now.bytes_total);
        last = now.bytes_done;
        total = now.bytes_total;
        if (!sfs_care_step(s))
            break;
        NEED(w, ++steps < 1000);
    }
    NEED(w, first > 0 && seen > 1);
    NEED(w, total <= first + first / 10 && first <= total + total / 10);
    NEED(w, last >= first / 2);
    take_care(w, s);
}

static void told(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = open_store(w, 7, false);
    take_care(w, s); /* logs are packed */
    add(w, s, 3, 5);
    follow(w, s, SCALEFS_TASK_REBALANCE);
    remove_member(w, s, 1, -1);
    follow(w, s, SCALEFS_TASK_REMOVE);
    configure(w, s, 2, 100);
    follow(w, s, SCALEFS_TASK_CONVERT);
    done(w, s, c);
    sync_and_close(w, s);
}

static void progress_is_told(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 3, 0);
    live(&w, told, &c);
    world_deinit(&w);
}

/* --- plans --- */

/* A plan changes nothing, and what it says is what comes. */
static void planned(struct world *w, struct sfs_store *s, const struct sfs_change *c, struct scalefs_plan *plan)
{
    struct sfs_wish_all before, after;
    unsigned members = s->pool->member_count;
    uint64_t committed = s->pool->committed, capacity = sfs_groups_capacity(s->pool);
    sfs_wish_remember(s->pool, &before);
    MUST(w, sfs_care_plan(s, c, plan));
    sfs_wish_remember(s->pool, &after);
    NEED(w, !memcmp(before.of_member, after.of_member, sizeof before.of_member));
    NEED(w, before.config.failover == after.config.failover && before.config.optimize == after.config.optimize &&
                before.config.settle == after.config.settle && before.config.next_disk == after.config.next_disk);
    NEED(w, s->pool->member_count == members && s->pool->committed == committed && sfs_groups_capacity(s->pool) == capacity);
    NEED(w, plan->usable_before == capacity && plan->possible == !plan->refusal[0]);
}

static uint64_t begun(struct sfs_store *s)
{
    struct scalefs_task_status tasks[16];
    uint64_t bytes = 0;
    size_t count;
    sfs_care_tasks(s, tasks, 16, &count);
    for (size_t i = 0; i < count; i++)
        bytes += tasks[i].bytes_total;
    return bytes;
}

static void plans(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_plan plan, again;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = open_store(w, 7, false);
    take_care(w, s);
    uint64_t big[2] = {sizes[3], sizes[4]}, small = 16 * MIB;
    planned(w, s, &(struct sfs_change){.verb = SFS_CHANGE_ADD, .sizes = big, .count = 2}, &plan);
    NEED(w, plan.possible && plan.disks_after == 5 && plan.bytes_to_move > 0 && plan.failures_after == 1);
    add(w, s, 3, 5);
    NEED_EQ(w, sfs_groups_capacity(s->pool), plan.usable_after);
    NEED_EQ(w, begun(s), plan.bytes_to_move);
    done(w, s, c);
    struct sfs_change remove = {.verb = SFS_CHANGE_REMOVE, .index = 2, .failover = -1};
    planned(w, s, &remove, &plan);
    planned(w, s, &remove, &again);
    NEED(w, !memcmp(&plan.usable_before, &again.usable_before, 16) && plan.bytes_to_move == again.bytes_to_move);
    remove_member(w, s, 2, -1);
    NEED_EQ(w, sfs_groups_capacity(s->pool), plan.usable_after);
    NEED(w, begun(s) == plan.bytes_to_move && plan.bytes_to_move > 0);
    done(w, s, c);
    planned(w, s, &(struct sfs_change){.verb = SFS_CHANGE_CONFIGURE, .failover = 2, .optimize = 100}, &plan);
    NEED(w, plan.possible && plan.failures_before == 1 && plan.failures_during == 1 && plan.failures_after == 2);
    configure(w, s, 2, 100);
    uint64_t bytes = begun(s); /* the commit has written some nodes */
    NEED(w, bytes < plan.bytes_to_move + plan.bytes_to_move / 20 && plan.bytes_to_move < bytes + bytes / 20);
    done(w, s, c);
    planned(w, s, &(struct sfs_change){.verb = SFS_CHANGE_REPLACE, .index = 1, .sizes = big + 1, .count = 1}, &plan);
    NEED(w, plan.possible && plan.bytes_to_move > 0 && plan.disks_after == 4);
    planned(w, s, &(struct sfs_change){.verb = SFS_CHANGE_REPLACE, .index = 1, .sizes = &small, .count = 1}, &plan);
    NEED(w, !plan.possible && strstr(plan.refusal, "32 MiB"));
    planned(w, s, &(struct sfs_change){.verb = SFS_CHANGE_CONFIGURE, .failover = 4, .optimize = -1}, &plan);
    NEED(w, !plan.possible && strstr(plan.refusal, "Add disks"));
    struct sfs_change grow = {.verb = SFS_CHANGE_RESIZE, .index = 1, .bytes = 512 * MIB, .device = 512 * MIB};
    planned(w, s, &grow, &plan);
    NEED(w, plan.possible && plan.usable_after > plan.usable_before && plan.bytes_to_move == 0);
    grow.bytes = 64 * MIB;
    planned(w, s, &grow, &plan);
    NEED(w, plan.possible && plan.usable_after <= plan.usable_before);
    verify_all(w, s, c);
    /* What the loss of each would mean now. */
    NEED_EQ(w, sfs_care_loss(s, 1, NULL, &bytes), SCALEFS_LOSS_DEGRADED);
    NEED_EQ(w, bytes, 0);
    configure(w, s, 0, 0);
    done(w, s, c);
    NEED_EQ(w, sfs_care_loss(s, 1, NULL, &bytes), SCALEFS_LOSS_SUSPENDED);
    NEED_EQ(w, sfs_care_loss(s, 77, NULL, &bytes), SCALEFS_LOSS_NONE);
    (void)info;
    sync_and_close(w, s);
}

static void plans_say_what_comes(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 3, 1);
    live(&w, plans, &c);
    world_deinit(&w);
}

/* --- pausing, taking back, pace --- */

static unsigned columns_on(struct sfs_store *s, uint16_t member)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++)
        count += s->pool->groups[i] && sfs_care_has_column(&s->pool->groups[i]->record, member);
    return count;
}

static void pause_all(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct scalefs_task_status task;
    struct sfs_store *s = open_store(w, 15, false);
    MUST(w, sfs_care_pause(s, 0, &info));
    remove_member(w, s, 2, -1);
    configure(w, s, 0, -1);
    unsigned before = columns_on(s, 2);
    take_care(w, s);
    NEED(w, before > 0 && columns_on(s, 2) == before);
    NEED(w, task_of(s, SCALEFS_TASK_REMOVE, &task) && task.state == SCALEFS_TASK_PAUSED && task.bytes_total > 0);
    NEED(w, sfs_care_idle(s));
    verify_all(w, s, c);
    sync_and_close(w, s);
}

static void still_paused(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct scalefs_task_status task;
    struct sfs_store *s = open_store(w, 15, false);
    unsigned before = columns_on(s, 2);
    take_care(w, s);
    NEED(w, before > 0 && columns_on(s, 2) == before);
    NEED_EQ(w, sfs_care_resume(s, SFS_CARE_DRAIN + 2, &info), SCALEFS_E_INVAL);
    MUST(w, sfs_care_resume(s, 0, &info));
    MUST(w, sfs_care_pause(s, SFS_CARE_DRAIN + 2, &info)); /* that one alone */
    take_care(w, s);
    NEED_EQ(w, columns_on(s, 2), before);
    NEED(w, !task_of(s, SCALEFS_TASK_CONVERT, &task));
    NEED_EQ(w, sfs_care_pause(s, 77, &info), SCALEFS_E_NOENT);
    MUST(w, sfs_care_resume(s, SFS_CARE_DRAIN + 2, &info));
    done(w, s, c);
    NEED(w, !sfs_member_of(s->pool, 2));
    sync_and_close(w, s);
}

static void what_is_paused_stays_so(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 4, 1);
    live(&w, pause_all, &c);
    live(&w, still_paused, &c);
    world_deinit(&w);
}

/* While the change waits, what is written is as safe as is wished all the same. */
static void write_paused(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = open_store(w, 3, false);
    write_some(w, s, c, 10);
    MUST(w, sfs_care_pause(s, 0, &info));
    configure(w, s, 1, -1);
    MUST(w, sfs_care_pause(s, 0, &info));
    uint64_t made = s->pool->config.next_generation, in_weak[2] = {0, 0};
    for (unsigned after = 0; after < 2; after++) {
        for (uint32_t i = 0; i < s->pool->group_cap; i++) {
            const struct sfs_group *g = s->pool->groups[i];
            if (g && g->record.generation < made && g->record.m == 0)
                in_weak[after] += g->count.live;
        }
        for (uint32_t i = 0; i < FILES && !after; i++)
            put_file(w, s, c, i, ++c->next);
        MUST(w, sfs_store_sync(s));
    }
    NEED(w, in_weak[0] > 0);
    NEED_EQ(w, in_weak[1], 0); /* all is new */
    sync_and_close(w, s);
}

static void what_is_new_is_safe_while_changes_wait(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 2, 0);
    live(&w, write_paused, &c);
    world_deinit(&w);
}

static void refuse(struct world *w, struct sfs_store *s, int err, int want, const struct scalefs_error_info *info, const char *word);

static void take_back(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_disk *handle;
    struct sfs_store *s = open_store(w, 7, false);
    take_care(w, s);
    refuse(w, s, sfs_care_cancel(s, 0, &info), SCALEFS_E_NOENT, &info, "No change");
    /* A disk that is leaving stays, one that replaces another leaves again. */
    remove_member(w, s, 3, -1);
    MUST(w, sfs_care_cancel(s, SFS_CARE_DRAIN + 3, &info));
    done(w, s, c);
    NEED(w, sfs_member_of(s->pool, 3) && columns_on(s, 3) > 0);
    MUST(w, sim_disk_open(sim_farm_disk(w->farm, 4), w->env, &handle));
    MUST(w, sfs_care_replace(s, 1, handle, &info));
    for (unsigned i = 0; i < 2; i++)
        NEED(w, sfs_care_step(s));
    MUST(w, sfs_care_cancel(s, 0, &info));
    done(w, s, c);
    NEED(w, sfs_member_of(s->pool, 1) && columns_on(s, 1) > 0);
    NEED_EQ(w, sfs_members_online(s->pool), 3);
    /* Disks that were joining leave. */
    add(w, s, 3, 4);
    NEED(w, sfs_care_step(s));
    MUST(w, sfs_care_cancel(s, SFS_CARE_REBALANCE, &info));
    done(w, s, c);
    NEED_EQ(w, sfs_members_online(s->pool), 3);
    /* What was configured is as it was when all had followed. */
    configure(w, s, 2, -1);
    NEED(w, sfs_care_step(s));
    configure(w, s, -1, 100);
    NEED(w, sfs_care_step(s));
    MUST(w, sfs_care_cancel(s, 0, &info));
    NEED_EQ(w, s->pool->config.failover, 1);
    NEED_EQ(w, s->pool->config.optimize, 0);
    done(w, s, c);
    MUST(w, sfs_member_offline(s->pool, 2, &info));
    remove_member(w, s, 2, -1);
    refuse(w, s, sfs_care_cancel(s, 0, &info), SCALEFS_E_INVAL, &info, "cannot come back");
    done(w, s, c);
    sync_and_close(w, s);
}

static void changes_are_taken_back(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 3, 1);
    live(&w, take_back, &c);
    world_deinit(&w);
}

static void slowly(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct scalefs_task_status task;
    struct sfs_store *s = open_store(w, 15, true);
    while (!sfs_care_idle(s))
        sfs_task_sleep(w->env, 5000000);
    MUST(w, sfs_care_limit(s, 64 << 10, &info));
    remove_member(w, s, 2, -1);
    NEED(w, task_of(s, SCALEFS_TASK_REMOVE, &task));
    uint64_t bytes = task.bytes_total, began = sfs_now_ns(w->env), seen = 0;
    while (!sfs_care_idle(s)) {
        sfs_task_sleep(w->env, 100000000);
        seen += task_of(s, SCALEFS_TASK_REMOVE, &task) && task.rate > 0 && task.eta_seconds > 0 && task.bytes_done > 0;
    }
    uint64_t least = bytes / (64 << 10) * 1000000000ull, took = sfs_now_ns(w->env) - began;
    NEED(w, bytes > 1 << 20 && took + took / 8 > least && took < 3 * least && seen > 5);
    verify_all(w, s, c);
    NEED(w, !sfs_member_of(s->pool, 2));
    sync_and_close(w, s);
}

static void a_rate_is_kept(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 4, 1);
    live(&w, slowly, &c);
    world_deinit(&w);
}

/* Who asked for something a while ago does not slow a change that begins now. */
static void ask_and_wait(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = open_store(w, 15, true);
    write_some(w, s, c, 3);
    sfs_task_sleep(w->env, 300000000);
    NEED(w, !sfs_care_others(s->care));
    verify_all(w, s, c);
    NEED(w, sfs_care_others(s->care));
    sfs_task_sleep(w->env, 300000000);
    NEED(w, !sfs_care_others(s->care));
    sync_and_close(w, s);
}

static void who_asked_before_is_not_there(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 4, 1);
    live(&w, ask_and_wait, &c);
    world_deinit(&w);
}

/* --- refusals --- */

static void refuse(struct world *w, struct sfs_store *s, int err, int want, const struct scalefs_error_info *info, const char *word)
{
    (void)s;
    NEED_EQ(w, err, want);
    if (!strstr(info->text, word))
        sim_fail(w->sim, "no \"%s\" in: %s", word, info->text);
}

static void refusals(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = open_store(w, 7, false);
    struct sfs_config_record before = s->pool->config;
    uint64_t committed = s->pool->committed;
    refuse(w, s, sfs_care_configure(s, 3, -1, &info), SCALEFS_E_TOO_FEW, &info, "Add disks");
    refuse(w, s, sfs_care_remove(s, 9, -1, &info), SCALEFS_E_NOENT, &info, "no disk 9");
    configure(w, s, 2, -1);
    take_care(w, s);
    before = s->pool->config;
    committed = s->pool->committed;
    refuse(w, s, sfs_care_remove(s, 3, -1, &info), SCALEFS_E_TOO_FEW, &info, "--failover 1");
    NEED_EQ(w, s->pool->committed, committed);
    NEED_EQ(w, sfs_member_of(s->pool, 3)->record.wish, SFS_WISH_STAY);
    NEED(w, !memcmp(&before.failover, &s->pool->config.failover, 1) && before.optimize == s->pool->config.optimize);
    remove_member(w, s, 3, 0);
    refuse(w, s, sfs_care_remove(s, 3, -1, &info), SCALEFS_E_BUSY, &info, "leaving already");
    take_care(w, s);
    remove_member(w, s, 2, -1);
    take_care(w, s);
    refuse(w, s, sfs_care_remove(s, 1, -1, &info), SCALEFS_E_TOO_FEW, &info, "at least one");
    verify_all(w, s, c);
    sync_and_close(w, s);
}

static void too_much_is_refused(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 3, 1);
    live(&w, refusals, &c);
    world_deinit(&w);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(one_disk_to_many_and_back);
    RUN(goes_on_after_every_cut);
    RUN(more_protection_writes_parity_alone);
    RUN(less_redundancy_waits_for_the_record);
    RUN(progress_is_told);
    RUN(plans_say_what_comes);
    RUN(what_is_paused_stays_so);
    RUN(what_is_new_is_safe_while_changes_wait);
    RUN(changes_are_taken_back);
    RUN(a_rate_is_kept);
    RUN(who_asked_before_is_not_there);
    RUN(too_much_is_refused);
    return TEST_END();
}
