/* Emptying groups: what lives in one is written anew elsewhere, whatever it is; on zoned disks, where that alone gains room, too. */
#include "care_fixture.h"
#include "pool/internal.h"
#include "store/move.h"

enum { ZONE = 4 << 20 };

static void run(unsigned disks, uint64_t zones, void (*fn)(struct world *w, void *arg))
{
    struct world w;
    struct content c;
    memset(&c, 0, sizeof c);
    world_init(&w, test_seed());
    for (unsigned i = 0; i < disks; i++)
        sim_farm_add(w.farm, &(struct sim_disk_options){.size_bytes = zones ? zones * ZONE : 96 * MIB,
                                                        .zone_bytes = zones ? ZONE : 0});
    live(&w, fn, &c);
    world_deinit(&w);
}

/* As open_store, and zoned disks get a head that can be written anywhere. */
static struct sfs_store *open_zoned(struct world *w)
{
    struct sfs_disk *handles[DISKS_MAX];
    struct sfs_pool_open how = {.probe = sfs_store_probe};
    struct sfs_store_options o = {.cache_bytes = 1 << 20, .commit_seconds = UINT32_MAX, .no_background = true};
    struct scalefs_error_info info = {0, ""};
    struct sfs_pool *pool;
    struct sfs_store *s;
    world_open_disks(w, handles);
    MUST(w, sfs_pool_open(w->env, handles, sim_farm_count(w->farm), &how, &pool, &info));
    MUST(w, sfs_store_open(w->env, pool, &o, &s, &info));
    if (!sfs_tree_exists(s, TREE))
        MUST(w, sfs_tree_volume_make(s, TREE, ""));
    return s;
}

static struct sfs_store *begin(struct world *w, struct content *c, unsigned changes)
{
    make_pool(w, 1, 0);
    struct sfs_store *s = open_zoned(w);
    write_some(w, s, c, changes);
    MUST(w, sfs_store_sync(s));
    return s;
}

static void end(struct world *w, struct sfs_store *s, struct content *c)
{
    struct scalefs_check_report report = {0};
    MUST(w, sfs_store_sync(s));
    verify_all(w, s, c);
    MUST(w, sfs_care_check(s, on_problem, c, &report));
    if (report.problems)
        sim_fail(w->sim, "%llu problems: %s", (unsigned long long)report.problems, c->first);
    sync_and_close(w, s);
}

/* Keys for a few leaves come, or go. */
static void keys(struct world *w, struct sfs_store *s, uint64_t from, unsigned count, bool come)
{
    static const uint8_t value[SFS_FILEEXT_BYTES];
    for (unsigned n = 0; n < count;) {
        struct sfs_tx tx;
        sfs_tx_init(&tx, s);
        tx.claim = come ? SFS_CLAIM_NEW : SFS_CLAIM_FREES;
        for (unsigned i = 0; i < 50 && n < count; i++, n++) {
            struct sfs_key key = {from + n, SFS_KEY_INODE, 0};
            if (come)
                sfs_tx_put(&tx, TREE, key, value, sizeof value);
            else
                sfs_tx_delete(&tx, TREE, key);
        }
        MUST(w, sfs_tx_commit(&tx));
        sfs_tx_deinit(&tx);
    }
}

/* The group of the class with the most alive. */
static bool find(struct sfs_store *s, uint8_t class, struct sfs_group_record *g)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        const struct sfs_group *there = s->pool->groups[i];
        if (!there || there->record.class != class || there->count.live <= most)
            continue;
        *g = there->record;
        most = there->count.live;
    }
    return most > 0;
}

static uint64_t live_in(struct sfs_store *s, const struct sfs_group_record *g)
{
    const struct sfs_group *there = sfs_group_of(s->pool, g->group);
    return there && there->record.generation == g->generation ? there->count.live : 0;
}

/* --- all that lives in a group --- */

static void empty_each(struct world *w, void *arg)
{
    static const uint8_t classes[] = {SFS_CLASS_LANDING, SFS_CLASS_DATA, SFS_CLASS_METADATA, SFS_CLASS_SYSTEM};
    struct content *c = arg;
    struct sfs_store *s = begin(w, c, 60);
    keys(w, s, 100000, 1000, true);
    MUST(w, sfs_store_sync(s));
    for (unsigned i = 0; i < 4; i++) {
        struct sfs_group_record g;
        uint64_t bytes, before;
        bool last = false;
        NEED(w, find(s, classes[i], &g));
        sfs_store_lock(s);
        sfs_group_evacuate(s, sfs_group_of(s->pool, g.group));
        sfs_store_unlock(s);
        for (unsigned rounds = 0; (before = live_in(s, &g)) > 0; rounds++) {
            MUST(w, sfs_empty_some(s, &g, 3, &bytes, &last));
            MUST(w, sfs_store_sync(s));
            NEED(w, live_in(s, &g) < before && rounds < 1000);
        }
        struct sfs_group *there = sfs_group_of(s->pool, g.group);
        MUST(w, sfs_store_commit(s));
        there = sfs_group_of(s->pool, g.group);
        NEED(w, !there || there->record.generation != g.generation); /* it is freed by itself */
        verify_all(w, s, c);
    }
    end(w, s, c);
}

static void empties_groups_of_all_classes(void)
{
    run(3, 0, empty_each);
}

/* The map has a node that left its tree until the next checkpoint; it must not live again. */
static void empty_dead(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_group_record g;
    uint64_t bytes;
    bool last;
    struct sfs_store *s = begin(w, c, 10);
    keys(w, s, 100000, 1000, true);
    sync_and_close(w, s);
    s = open_zoned(w);
    keys(w, s, 100000, 1000, false);
    NEED(w, s->dead_count > 2);
    size_t cached = s->nodes.count;
    NEED(w, find(s, SFS_CLASS_METADATA, &g));
    MUST(w, sfs_empty_some(s, &g, g.rows, &bytes, &last));
    NEED(w, last && bytes >= s->dead_count * SFS_NODE_BYTES);
    NEED(w, s->nodes.count < cached + s->dead_count);
    MUST(w, sfs_store_sync(s));
    NEED_EQ(w, s->dead_count, 0);
    end(w, s, c);
}

static void what_left_its_tree_does_not_come_back(void)
{
    run(3, 0, empty_dead);
}

/* --- single rows --- */

static void move_noted(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_group_record g, next;
    struct sfs_row_state *states;
    uint32_t row = 0;
    struct sfs_store *s = begin(w, c, 60);
    NEED(w, find(s, SFS_CLASS_DATA, &g) && g.sequential);
    MUST(w, sfs_care_states(s, &g, &states));
    while (!states[row].live)
        row++;
    uint64_t before = live_in(s, &g), live = states[row].live;
    sfs_free(w->env, states);
    MUST(w, sfs_away_note(s, &g, row));
    MUST(w, sfs_away_note(s, &g, row));
    NEED_EQ(w, s->away_count, 1);
    NEED(w, sfs_away_next(s, &next) && next.generation == g.generation);
    MUST(w, sfs_away_move(s, &g));
    NEED_EQ(w, s->away_count, 0);
    NEED(w, !sfs_away_next(s, &next));
    MUST(w, sfs_care_states(s, &g, &states));
    NEED_EQ(w, states[row].live, 0);
    NEED_EQ(w, live_in(s, &g), before - live);
    sfs_free(w->env, states);
    /* Of a log all of it, when nobody writes it any more. */
    NEED(w, find(s, SFS_CLASS_LANDING, &g));
    MUST(w, sfs_away_note(s, &g, 0));
    struct sfs_group *log = sfs_group_of(s->pool, g.group);
    log->in_flight++;
    NEED_EQ(w, sfs_away_move(s, &g), SCALEFS_E_BUSY);
    NEED_EQ(w, s->away_count, 1);
    log->in_flight--;
    MUST(w, sfs_away_move(s, &g));
    NEED_EQ(w, live_in(s, &g), 0);
    NEED_EQ(w, s->away_count, 0);
    /* What was noted of a group that is gone is forgotten. */
    g.generation = UINT64_MAX;
    MUST(w, sfs_away_note(s, &g, 0));
    NEED(w, !sfs_away_next(s, &next));
    NEED_EQ(w, s->away_count, 0);
    end(w, s, c);
}

static void moves_what_was_noted(void)
{
    run(3, 40, move_noted);
}

/* --- zoned disks --- */

static void empty_data(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = begin(w, c, 60);
    for (uint32_t i = 0; i < FILES; i++)
        put_file(w, s, c, i, i % 3 ? 0 : ++c->next);
    MUST(w, sfs_pack_logs(s));
    MUST(w, sfs_store_sync(s));
    for (uint32_t i = 0; i < s->pool->group_cap; i++) /* what is being filled is not emptied */
        if (s->pool->groups[i] && s->pool->groups[i]->record.class == SFS_CLASS_DATA) {
            sfs_space_close_group(s, s->pool->groups[i]);
            sfs_group_close(s->pool, s->pool->groups[i]);
        }
    uint32_t least = UINT32_MAX;
    uint64_t generation = 0, live = UINT64_MAX;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        const struct sfs_group *g = s->pool->groups[i];
        if (g && g->record.class == SFS_CLASS_DATA && g->count.live && g->count.live < live) {
            least = i;
            live = g->count.live;
            generation = g->record.generation;
        }
    }
    NEED(w, least != UINT32_MAX);
    MUST(w, sfs_empty_for_data(s));
    MUST(w, sfs_store_sync(s));
    const struct sfs_group *g = sfs_group_of(s->pool, least);
    NEED(w, !g || g->record.generation != generation);
    end(w, s, c);
}

static void gains_room_for_data(void)
{
    run(2, 40, empty_data);
}

static void none_to_empty(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = begin(w, c, 20);
    NEED_EQ(w, sfs_empty_for_data(s), SCALEFS_E_NOSPC);
    end(w, s, c);
}

static void conventional_disks_need_no_emptying(void)
{
    run(2, 0, none_to_empty);
}

/* Each group of nodes keeps some that nobody changes any more, so none is ever empty by itself. */
static void many_commits(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = begin(w, c, 4);
    for (unsigned round = 0; round < 60; round++) {
        keys(w, s, 100000 + round * 400, 400, true);
        for (unsigned i = 0; i < 40; i++) {
            keys(w, s, 90000 + i % 7, 1, true);
            MUST(w, sfs_store_sync(s));
        }
    }
    end(w, s, c);
}

static void commits_find_room_for_nodes(void)
{
    run(2, 20, many_commits);
}

/* A group whose headers are on their way has none that are wrong: it is neither scrubbed nor paid before. It would be closed for ever,
 * and the next one that was opened in its place likewise. */
static void fresh_group(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = begin(w, c, 20);
    struct sfs_disk *disk;
    struct sfs_group *g;
    for (unsigned behind = 0; behind < 2; behind++) {
        MUST(w, sfs_care_scrub(s, behind ? SCALEFS_SCRUB_STOP : SCALEFS_SCRUB_START, &info));
        if (behind) {
            MUST(w, sfs_care_offline(s, 2, &info));
            MUST(w, world_open_disk(w, 1, &disk));
            MUST(w, sfs_care_online(s, disk, &info));
        }
        sfs_store_lock(s);
        MUST(w, sfs_group_make(s->pool, SFS_CLASS_LANDING, SFS_FOR_CLEANERS, &g));
        g->in_flight++;
        g->allocating = true;
        sfs_store_unlock(s);
        while (s->pool->scrub.group <= g->record.group && sfs_care_step(s)) {
        }
        NEED_EQ(w, s->care->retry_soon, behind);
        NEED_EQ(w, g->record.state, SFS_GROUP_OPEN);
        NEED(w, !g->closed);
        s->care->retry_soon = false;
        MUST(w, sfs_group_write_headers(s->pool, g->record.group));
        sfs_store_lock(s);
        sfs_group_row_done(s->pool, g);
        g->allocating = false;
        sfs_store_unlock(s);
    }
    take_care(w, s);
    NEED_EQ(w, members_complete(s->pool), 2);
    end(w, s, c);
}

static void headers_on_their_way_are_not_wrong(void)
{
    run(2, 40, fresh_group);
}

/* No zone is free, and a disk goes: commits go on in the groups that there are, on the other disks, and its rows there are owed to it. */
static void commits_without_a_zone(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = begin(w, c, 20);
    uint32_t atom, groups = 0;
    keys(w, s, 100000, 3, true);
    MUST(w, sfs_ripen(s));
    for (unsigned i = 0; i < s->pool->member_count; i++)
        while (s->pool->members[i].free_atoms)
            NEED(w, sfs_atoms_take(&s->pool->members[i], 1, &atom));
    for (uint32_t i = 0; i < s->pool->group_cap; i++)
        groups += s->pool->groups[i] != NULL;
    MUST(w, sfs_care_offline(s, 2, &info));
    for (unsigned i = 0; i < 3; i++) {
        keys(w, s, 100000 + i, 1, false);
        MUST(w, sfs_store_sync(s));
    }
    for (uint32_t i = 0; i < s->pool->group_cap; i++)
        groups -= s->pool->groups[i] != NULL;
    NEED_EQ(w, groups, 0);
    sync_and_close(w, s);
    s = open_zoned(w);
    NEED_EQ(w, members_complete(s->pool), 1);
    take_care(w, s);
    NEED_EQ(w, members_complete(s->pool), 2);
    end(w, s, c);
}

static void a_disk_that_goes_takes_no_room_along(void)
{
    run(2, 40, commits_without_a_zone);
}

/* A commit that finds a group of nodes closed before it has sent anything leaves no hole there. */
static void nothing_sent(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = begin(w, c, 20);
    struct sfs_group *g = s->open_groups[SFS_CLASS_SYSTEM][0];
    uint32_t row, before = g->count.write_row;
    uint8_t *page = sfs_alloc_io(w->env, SFS_NODE_BYTES);
    sfs_store_lock(s);
    MUST(w, sfs_group_take_row(s->pool, g, &row));
    sfs_group_row_done(s->pool, g);
    sfs_group_leave_out(s->pool, g, 1);
    sfs_store_unlock(s);
    struct sfs_put put = {.place = {g->record.group, (uint64_t)row * SFS_NODE_BYTES}, .buf = page, .len = SFS_NODE_BYTES};
    NEED_EQ(w, sfs_put_many(s->pool, &put, 1), SCALEFS_E_CHANGED);
    NEED_EQ(w, put.result, SCALEFS_E_CHANGED);
    sfs_store_lock(s);
    NEED(w, !sfs_group_reopen(s->pool, g)); /* a row is missing, and the disk is there */
    sfs_group_take_back(s->pool, g, row);
    NEED_EQ(w, g->count.write_row, before);
    NEED(w, !sfs_group_reopen(s->pool, g));
    g->missed = 0;
    NEED(w, sfs_group_reopen(s->pool, g));
    sfs_group_close(s->pool, g);
    NEED(w, !sfs_group_reopen(s->pool, g));
    sfs_store_unlock(s);
    sfs_free(w->env, page);
    end(w, s, c);
}

static void what_was_not_sent_leaves_no_hole(void)
{
    run(2, 40, nothing_sent);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(empties_groups_of_all_classes);
    RUN(what_left_its_tree_does_not_come_back);
    RUN(moves_what_was_noted);
    RUN(gains_room_for_data);
    RUN(conventional_disks_need_no_emptying);
    RUN(commits_find_room_for_nodes);
    RUN(headers_on_their_way_are_not_wrong);
    RUN(a_disk_that_goes_takes_no_room_along);
    RUN(what_was_not_sent_leaves_no_hole);
    return TEST_END();
}
