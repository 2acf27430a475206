/* Disks for metadata: they join and leave, are replaced, fail and become disks for data again while files are in use. */
#include "care_fixture.h"

#include "pool/internal.h"

enum { DISKS = 8, META = 4 /* the first of the disks that are meant for metadata */, META_BIT = 1 << 8 };

static const uint64_t sizes[DISKS] = {96 * MIB, 128 * MIB, 96 * MIB, 80 * MIB, 64 * MIB, 64 * MIB, 96 * MIB, 64 * MIB};

static void start(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_disk *handles[DISKS_MAX];
    struct scalefs_error_info info = {0, ""};
    unsigned disks = c->swallow & 15, failover = c->swallow >> 4 & 15;
    uint8_t roles[DISKS_MAX];
    for (unsigned i = 0; i < DISKS_MAX; i++)
        roles[i] = i >= META ? SFS_ROLE_METADATA : SFS_ROLE_DATA;
    struct sfs_pool_format how = {.name = "tank", .failover = (uint8_t)failover, .roles = c->swallow & META_BIT ? roles : NULL};
    world_open_disks(w, handles);
    MUST(w, sfs_pool_format(w->env, handles, disks, &how, NULL, &info));
    world_close_disks(w, handles);
    struct sfs_store *s = open_store(w, (1ull << disks) - 1, false);
    for (uint32_t i = 0; i < FILES; i++)
        put_file(w, s, c, i, ++c->next);
    sync_and_close(w, s);
}

/* A pool with something in it on the first `disks`; with META_BIT those from META on are for metadata. */
static void begin(struct world *w, struct content *c, unsigned disks, unsigned failover, unsigned bit)
{
    memset(c, 0, sizeof *c);
    c->swallow = disks | failover << 4 | bit;
    world_init(w, test_seed());
    for (unsigned i = 0; i < DISKS; i++)
        sim_farm_add(w->farm, &(struct sim_disk_options){.size_bytes = sizes[i]});
    live(w, start, c);
}

static void add(struct world *w, struct sfs_store *s, unsigned from, unsigned to, uint8_t role)
{
    struct scalefs_error_info info = {0, ""};
    struct sfs_disk *handles[DISKS];
    for (unsigned i = from; i < to; i++)
        MUST(w, sim_disk_open(sim_farm_disk(w->farm, i), w->env, &handles[i]));
    int err = sfs_care_add(s, handles + from, NULL, role, to - from, &info);
    if (err)
        sim_fail(w->sim, "disks %u to %u cannot be added: %s", from, to, info.text);
}

static void role(struct world *w, struct sfs_store *s, uint16_t index, uint8_t to)
{
    struct scalefs_error_info info = {0, ""};
    int err = sfs_care_role(s, index, to, &info);
    if (err)
        sim_fail(w->sim, "disk %u does not get role %u: %s", index, to, info.text);
}

static void remove_member(struct world *w, struct sfs_store *s, uint16_t index)
{
    struct scalefs_error_info info = {0, ""};
    int err = sfs_care_remove(s, index, -1, &info);
    if (err)
        sim_fail(w->sim, "disk %u is not removed: %s", index, info.text);
}

/* Columns on disks of that role, of groups with something in them. */
static unsigned columns(struct sfs_store *s, bool nodes, uint8_t on)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        const struct sfs_group *g = s->pool->groups[i];
        bool holds = g && (g->record.class == SFS_CLASS_SYSTEM || g->record.class == SFS_CLASS_METADATA);
        if (!g || !g->count.live || g->record.class == SFS_CLASS_LANDING || holds != nodes)
            continue;
        for (unsigned c = 0; c < (unsigned)g->record.k + g->record.m; c++) {
            const struct sfs_member *m = sfs_member_of(s->pool, g->record.columns[c].disk);
            count += m && m->record.role == on;
        }
    }
    return count;
}

/* All that there is to do is done: files are right, all that may fail may, and the labels tell the roles. */
static void done(struct world *w, struct sfs_store *s, struct content *c)
{
    enum scalefs_pool_state state;
    unsigned left;
    char action[300];
    write_some(w, s, c, 5);
    take_care(w, s);
    MUST(w, sfs_store_sync(s));
    take_care(w, s);
    sfs_care_state(s, &state, &left, action, sizeof action);
    NEED_EQ(w, state, SCALEFS_HEALTHY);
    NEED_EQ(w, left, s->pool->config.failover);
    NEED_EQ(w, s->pool->config.settle, 0);
    NEED(w, sfs_care_idle(s));
    NEED_EQ(w, columns(s, false, SFS_ROLE_METADATA), 0);
    for (unsigned i = 0; i < s->pool->member_count; i++) {
        const struct sfs_member *m = &s->pool->members[i];
        struct sfs_head *head = sfs_alloc(w->env, sizeof *head);
        NEED(w, head && (!m->used || m->record.wish == SFS_WISH_STAY));
        if (m->used && m->disk) {
            MUST(w, sfs_head_read(w->env, m->disk, head));
            NEED_EQ(w, head->label.role, m->record.role);
        }
        sfs_free(w->env, head);
    }
    verify_all(w, s, c);
}

static void look(struct world *w, void *arg)
{
    must_be_sound(w, arg, ALL_DISKS);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    verify_all(w, s, arg);
    sync_and_close(w, s);
}

/* --- they come and go --- */

static void come_and_go(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_disk *handle;
    struct sfs_store *s = open_store(w, 15, false);
    take_care(w, s);
    uint64_t capacity = sfs_groups_capacity(s->pool);
    add(w, s, META, META + 2, SFS_ROLE_METADATA);
    NEED(w, columns(s, true, SFS_ROLE_DATA) > 0 && !sfs_care_idle(s));
    done(w, s, c);
    NEED_EQ(w, columns(s, true, SFS_ROLE_DATA), 0); /* all nodes have moved there, and nothing else */
    NEED(w, columns(s, true, SFS_ROLE_METADATA) > 0);
    NEED_EQ(w, sfs_groups_capacity(s->pool), capacity);
    MUST(w, sim_disk_open(sim_farm_disk(w->farm, META + 2), w->env, &handle));
    MUST(w, sfs_care_replace(s, 5, handle, &info));
    done(w, s, c);
    NEED(w, !sfs_member_of(s->pool, 5) && sfs_member_of(s->pool, 7)->record.role == SFS_ROLE_METADATA);
    NEED_EQ(w, columns(s, true, SFS_ROLE_DATA), 0);
    remove_member(w, s, 6); /* too few are left: the other copy goes to a disk for data */
    done(w, s, c);
    NEED_EQ(w, columns(s, true, SFS_ROLE_DATA), columns(s, true, SFS_ROLE_METADATA));
    remove_member(w, s, 7);
    done(w, s, c);
    NEED_EQ(w, sfs_members_online(s->pool), 4);
    NEED_EQ(w, sfs_groups_capacity(s->pool), capacity);
    sync_and_close(w, s);
}

static void metadata_disks_come_and_go(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 4, 1, 0);
    live(&w, come_and_go, &c);
    live(&w, look, &c);
    world_deinit(&w);
}

/* --- the role of a disk changes --- */

static void becomes(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = open_store(w, 15, false);
    take_care(w, s);
    uint64_t capacity = sfs_groups_capacity(s->pool);
    role(w, s, 4, SFS_ROLE_METADATA);
    NEED(w, columns(s, false, SFS_ROLE_METADATA) > 0 && sfs_groups_capacity(s->pool) < capacity);
    done(w, s, c);
    NEED(w, columns(s, true, SFS_ROLE_METADATA) > 0);
    role(w, s, 4, SFS_ROLE_DATA);
    done(w, s, c);
    NEED_EQ(w, sfs_groups_capacity(s->pool), capacity);
    unsigned on = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        const struct sfs_group *g = s->pool->groups[i];
        on += g && g->record.class == SFS_CLASS_DATA && sfs_care_has_column(&g->record, 4);
    }
    NEED(w, on > 0);
    sync_and_close(w, s);
}

static void a_disk_changes_its_role_and_back(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 4, 1, 0);
    live(&w, becomes, &c);
    live(&w, look, &c);
    world_deinit(&w);
}

static void taken_back(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct scalefs_task_status tasks[8];
    size_t count;
    struct sfs_store *s = open_store(w, 15, false);
    take_care(w, s);
    role(w, s, 2, SFS_ROLE_METADATA);
    sfs_care_tasks(s, tasks, 8, &count);
    NEED(w, count > 0 && tasks[0].disk == 2 && tasks[0].bytes_total > 0);
    MUST(w, sfs_care_pause(s, 0, &info));
    take_care(w, s);
    NEED(w, columns(s, false, SFS_ROLE_METADATA) > 0);
    MUST(w, sfs_care_cancel(s, tasks[0].id, &info));
    MUST(w, sfs_care_resume(s, 0, &info));
    NEED_EQ(w, sfs_member_of(s->pool, 2)->record.role, SFS_ROLE_DATA);
    done(w, s, c);
    sync_and_close(w, s);
}

static void a_role_is_taken_back(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 4, 1, 0);
    live(&w, taken_back, &c);
    live(&w, look, &c);
    world_deinit(&w);
}

/* --- what is refused --- */

static void refuses(struct world *w, struct sfs_store *s, int err, int want, const struct scalefs_error_info *info, const char *word,
                    const struct sfs_wish_all *before)
{
    struct sfs_wish_all after;
    NEED_EQ(w, err, want);
    NEED(w, strstr(info->text, word));
    sfs_wish_remember(s->pool, &after);
    NEED(w, !memcmp(before->of_member, after.of_member, sizeof after.of_member) && before->config.settle == after.config.settle);
}

static void refused(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_wish_all before;
    struct sfs_disk *handle;
    struct sfs_store *s = open_store(w, 15, false);
    take_care(w, s);
    role(w, s, 3, SFS_ROLE_METADATA);
    role(w, s, 4, SFS_ROLE_METADATA);
    done(w, s, c);
    sfs_wish_remember(s->pool, &before);
    refuses(w, s, sfs_care_role(s, 1, SFS_ROLE_METADATA, &info), SCALEFS_E_TOO_FEW, &info, "data", &before);
    refuses(w, s, sfs_care_role(s, 1, 2, &info), SCALEFS_E_INVAL, &info, "no role 2", &before);
    refuses(w, s, sfs_care_role(s, 9, SFS_ROLE_METADATA, &info), SCALEFS_E_NOENT, &info, "no disk 9", &before);
    refuses(w, s, sfs_care_remove(s, 2, -1, &info), SCALEFS_E_TOO_FEW, &info, "1 disk would be left for data", &before);
    refuses(w, s, sfs_care_configure(s, 2, -1, &info), SCALEFS_E_TOO_FEW, &info, "2 disks would be left for data", &before);
    MUST(w, sim_disk_open(sim_farm_disk(w->farm, META), w->env, &handle));
    refuses(w, s, sfs_care_add(s, &handle, NULL, 7, 1, &info), SCALEFS_E_INVAL, &info, "no role 7", &before);
    NEED(w, sfs_care_idle(s));
    sync_and_close(w, s);
}

static void what_leaves_too_few_for_data_is_refused(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 4, 1, 0);
    live(&w, refused, &c);
    live(&w, look, &c);
    world_deinit(&w);
}

static void format_refused(struct world *w, void *arg)
{
    struct sfs_disk *handles[DISKS_MAX];
    struct scalefs_error_info info = {0, ""};
    const uint8_t two[4] = {0, 0, 1, 1}, none[4] = {0, 0, 0, 5};
    struct sfs_pool_format how = {.name = "tank", .failover = 2, .roles = two};
    (void)arg;
    world_open_disks(w, handles);
    NEED_EQ(w, sfs_pool_format(w->env, handles, 4, &how, NULL, &info), SCALEFS_E_TOO_FEW);
    NEED(w, strstr(info.text, "3 disks for data"));
    how.roles = none;
    NEED_EQ(w, sfs_pool_format(w->env, handles, 4, &how, NULL, &info), SCALEFS_E_INVAL);
    world_close_disks(w, handles);
}

static void pools_are_not_made_without_room_for_data(void)
{
    struct world w;
    world_init(&w, test_seed());
    for (unsigned i = 0; i < 4; i++)
        sim_farm_add(w.farm, &(struct sim_disk_options){.size_bytes = sizes[i]});
    live(&w, format_refused, NULL);
    world_deinit(&w);
}

/* --- failures --- */

static void fails(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_disk *handle;
    struct sfs_store *s = open_store(w, 127, false); /* three of seven for metadata */
    take_care(w, s);
    NEED(w, columns(s, true, SFS_ROLE_METADATA) > 0 && columns(s, true, SFS_ROLE_DATA) == 0);
    uint16_t gone = 0;
    for (uint32_t i = 0; i < s->pool->group_cap && !gone; i++)
        if (s->pool->groups[i] && s->pool->groups[i]->record.class == SFS_CLASS_METADATA)
            gone = s->pool->groups[i]->record.columns[0].disk;
    MUST(w, sfs_care_offline(s, gone, &info)); /* away, and back: what was written elsewhere meanwhile stays off data disks */
    write_some(w, s, c, 20);
    take_care(w, s);
    MUST(w, sim_disk_open(sim_farm_disk(w->farm, gone - 1u), w->env, &handle));
    MUST(w, sfs_care_online(s, handle, &info));
    done(w, s, c);
    NEED_EQ(w, columns(s, true, SFS_ROLE_DATA), 0);
    sim_disk_pull(sim_farm_disk(w->farm, gone - 1u));
    write_some(w, s, c, 5);
    (void)sfs_store_sync(s);
    remove_member(w, s, gone);
    done(w, s, c);
    NEED_EQ(w, columns(s, true, SFS_ROLE_DATA), 0); /* rebuilt onto the third of them */
    remove_member(w, s, gone == 5 ? 6 : 5);
    done(w, s, c);
    NEED_EQ(w, columns(s, true, SFS_ROLE_DATA), columns(s, true, SFS_ROLE_METADATA));
    sync_and_close(w, s);
}

static void a_metadata_disk_fails(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 7, 1, META_BIT);
    live(&w, fails, &c);
    world_deinit(&w);
}

/* --- full --- */

static void spills(struct world *w, void *arg)
{
    struct sfs_store *s = open_store(w, 63, false);
    struct sfs_group *g;
    unsigned on_metadata = 0, on_data = 0;
    (void)arg;
    take_care(w, s);
    sfs_store_lock(s);
    for (unsigned i = 0; i < 40; i++) {
        MUST(w, sfs_group_make(s->pool, SFS_CLASS_METADATA, SFS_FOR_CLEANERS, &g));
        for (unsigned c = 0; c < 2; c++) {
            bool nodes = sfs_member_of(s->pool, g->record.columns[c].disk)->record.role == SFS_ROLE_METADATA;
            on_metadata += nodes;
            on_data += !nodes;
            NEED(w, nodes || !sfs_member_of(s->pool, 5)->free_atoms || !sfs_member_of(s->pool, 6)->free_atoms);
        }
    }
    NEED(w, on_metadata >= 16 && on_data > 0);
    for (uint32_t i = 0; i < s->pool->group_cap; i++)
        if (s->pool->groups[i] && s->pool->groups[i]->fresh)
            sfs_group_free(s->pool, s->pool->groups[i]);
    sfs_store_unlock(s);
    sync_and_close(w, s);
}

static void full_metadata_disks_refuse_nothing(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 6, 1, META_BIT);
    live(&w, spills, &c);
    world_deinit(&w);
}

/* --- what is told to be free --- */

static void empty_pool(struct world *w, void *arg)
{
    struct sfs_disk *handles[DISKS_MAX];
    struct scalefs_error_info info = {0, ""};
    const uint8_t roles[6] = {0, 0, 0, 0, 1, 1};
    struct sfs_pool_format how = {.name = "tank", .failover = 1, .roles = roles};
    (void)arg;
    world_open_disks(w, handles);
    MUST(w, sfs_pool_format(w->env, handles, 6, &how, NULL, &info));
    world_close_disks(w, handles);
    struct sfs_store *s = open_store(w, 63, false);
    MUST(w, sfs_store_sync(s));
    take_care(w, s);
    NEED(w, columns(s, true, SFS_ROLE_METADATA) > 0);
    NEED(w, sfs_groups_unallocated(s->pool) <= sfs_groups_capacity(s->pool));
    sync_and_close(w, s);
}

/* Nodes stand on metadata disks, and the room that is kept for them on data disks is kept all the same. */
static void no_more_is_free_than_there_is(void)
{
    struct world w;
    world_init(&w, test_seed());
    for (unsigned i = 0; i < 6; i++)
        sim_farm_add(w.farm, &(struct sim_disk_options){.size_bytes = sizes[i]});
    live(&w, empty_pool, NULL);
    world_deinit(&w);
}

/* --- plans --- */

static void plans(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_plan plan;
    struct sfs_store *s = open_store(w, 15, false);
    take_care(w, s);
    MUST(w, sfs_care_plan(s, &(struct sfs_change){.verb = SFS_CHANGE_ADD, .sizes = sizes + META, .count = 2, .role = SFS_ROLE_METADATA},
                          &plan));
    NEED(w, plan.possible && plan.usable_after == plan.usable_before && plan.bytes_to_move > 0 && plan.disks_after == 6);
    uint64_t nodes = plan.bytes_to_move;
    MUST(w, sfs_care_plan(s, &(struct sfs_change){.verb = SFS_CHANGE_ROLE, .index = 4, .role = SFS_ROLE_METADATA}, &plan));
    NEED(w, plan.possible && plan.usable_after < plan.usable_before && plan.bytes_to_move > nodes);
    NEED_EQ(w, sfs_member_of(s->pool, 4)->record.role, SFS_ROLE_DATA);
    uint64_t usable = plan.usable_after, bytes = plan.bytes_to_move, begun = 0;
    role(w, s, 4, SFS_ROLE_METADATA);
    struct scalefs_task_status tasks[8];
    size_t count;
    sfs_care_tasks(s, tasks, 8, &count);
    for (size_t i = 0; i < count; i++)
        begun += tasks[i].bytes_total;
    NEED(w, begun >= bytes - bytes / 10 && begun <= bytes + bytes / 10); /* the commit has written some nodes */
    NEED_EQ(w, sfs_groups_capacity(s->pool), usable);
    done(w, s, c);
    role(w, s, 3, SFS_ROLE_METADATA);
    done(w, s, c);
    MUST(w, sfs_care_plan(s, &(struct sfs_change){.verb = SFS_CHANGE_ROLE, .index = 1, .role = SFS_ROLE_METADATA}, &plan));
    NEED(w, !plan.possible && strstr(plan.refusal, "1 disk would be left for data"));
    sync_and_close(w, s);
}

static void plans_know_roles(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 4, 1, 0);
    live(&w, plans, &c);
    world_deinit(&w);
}

/* --- cuts --- */

static void shuffle(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, true);
    if (!sfs_member_of(s->pool, 5))
        add(w, s, META, META + 1, SFS_ROLE_METADATA);
    if (sfs_member_of(s->pool, 4)->record.role == SFS_ROLE_DATA)
        role(w, s, 4, SFS_ROLE_METADATA);
    while (!sfs_care_idle(s))
        sfs_task_sleep(w->env, 5000000);
    verify_all(w, s, c);
    NEED_EQ(w, columns(s, false, SFS_ROLE_METADATA), 0);
    NEED_EQ(w, columns(s, true, SFS_ROLE_DATA), 0);
    NEED_EQ(w, sfs_care_failures_left(s), 1);
    sync_and_close(w, s);
}

/* A disk whose joining was cut short may have something to catch up with; nothing else is wrong. */
static void look_between(struct world *w, void *arg)
{
    struct content *c = arg;
    judge(w, c, ALL_DISKS);
    if (c->problems > c->repairable)
        sim_fail(w->sim, "%llu problems: %s", (unsigned long long)c->problems, c->first);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    verify_all(w, s, arg);
    sync_and_close(w, s);
}

static void goes_on_after_every_cut(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 4, 1, 0);
    enum sim_end end;
    unsigned lives = 0, cuts = 0;
    do {
        end = world_live(&w, &(struct world_life){.main = shuffle, .arg = &c, .cut_at_io = 40 + 67 * lives, .kill = lives % 3 == 0});
        CHECK(end == SIM_CUT || end == SIM_FINISHED);
        cuts += end == SIM_CUT;
        live(&w, end == SIM_CUT ? look_between : look, &c);
    } while (end == SIM_CUT && ++lives < 60);
    CHECK_EQ(end, SIM_FINISHED);
    CHECK(cuts >= 3);
    world_deinit(&w);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(metadata_disks_come_and_go);
    RUN(a_disk_changes_its_role_and_back);
    RUN(a_role_is_taken_back);
    RUN(what_leaves_too_few_for_data_is_refused);
    RUN(pools_are_not_made_without_room_for_data);
    RUN(a_metadata_disk_fails);
    RUN(full_metadata_disks_refuse_nothing);
    RUN(no_more_is_free_than_there_is);
    RUN(plans_know_roles);
    RUN(goes_on_after_every_cut);
    return TEST_END();
}
