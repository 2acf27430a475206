/* Pools in which a disk has no room left: commits go on, and what is to move finds room or makes some. */
#include "care_fixture.h"
#include "pool/internal.h"
#include "store/move.h"

/* All but `left` free areas of the member are taken, by nobody. */
static void crowd(struct world *w, struct sfs_store *s, uint16_t member, uint32_t left)
{
    uint32_t atom;
    sfs_store_lock(s);
    struct sfs_member *m = sfs_member_of(s->pool, member);
    while (m->free_atoms > left)
        NEED(w, sfs_atoms_take(m, 1, &atom));
    sfs_store_unlock(s);
}

/* A dirty node, so that the next checkpoint has something to write. */
static void put_key(struct world *w, struct sfs_store *s, uint64_t number)
{
    struct sfs_tx tx;
    uint8_t value[SFS_FILEEXT_BYTES] = {0};
    struct sfs_key key = {number, SFS_KEY_EXTENT, 0};
    sfs_tx_init(&tx, s);
    sfs_tx_put(&tx, TREE, key, value, sizeof value);
    sfs_tx_delete(&tx, TREE, key);
    MUST(w, sfs_tx_commit(&tx));
    sfs_tx_deinit(&tx);
}

static void offline(struct world *w, struct sfs_store *s, uint16_t member)
{
    struct scalefs_error_info info = {0, ""};
    MUST(w, sfs_care_offline(s, member, &info));
}

static void online(struct world *w, struct sfs_store *s, uint16_t member)
{
    struct scalefs_error_info info = {0, ""};
    struct sfs_disk *disk;
    MUST(w, sim_disk_open(sim_farm_disk(w->farm, member - 1u), w->env, &disk));
    MUST(w, sfs_care_online(s, disk, &info));
}

static void replace(struct world *w, struct sfs_store *s, uint16_t old, unsigned by)
{
    struct scalefs_error_info info = {0, ""};
    struct sfs_disk *disk;
    MUST(w, sim_disk_open(sim_farm_disk(w->farm, by), w->env, &disk));
    MUST(w, sfs_care_replace(s, old, disk, &info));
}

static void run(unsigned disks, void (*fn)(struct world *w, void *arg))
{
    struct world w;
    struct content c;
    memset(&c, 0, sizeof c);
    world_init(&w, test_seed());
    add_disks(&w, disks, 64 * MIB);
    live(&w, fn, &c);
    world_deinit(&w);
}

/* A pool on the first `count` disks, with some changes of files in it. */
static struct sfs_store *begin(struct world *w, struct content *c, unsigned count, uint8_t failover, unsigned changes)
{
    struct sfs_disk *handles[DISKS_MAX];
    struct scalefs_error_info info = {0, ""};
    struct sfs_pool_format how = {.name = "tank", .failover = failover};
    world_open_disks(w, handles);
    MUST(w, sfs_pool_format(w->env, handles, count, &how, NULL, &info));
    world_close_disks(w, handles);
    struct sfs_store *s = open_store(w, (1ull << count) - 1, false);
    write_some(w, s, c, changes);
    MUST(w, sfs_store_sync(s));
    return s;
}

/* --- commits while the only groups of nodes move --- */

struct steps {
    struct world *w;
    struct sfs_store *s;
    bool done;
};

static void care_task(void *arg)
{
    struct steps *steps = arg;
    take_care(steps->w, steps->s);
    steps->done = true;
}

static void commits(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = begin(w, c, 2, 1, 60);
    struct steps steps = {w, s, false};
    struct sfs_task *task;
    crowd(w, s, 1, 0);
    replace(w, s, 2, 2);
    MUST(w, sfs_task_start(w->env, "care", care_task, &steps, &task));
    for (uint64_t n = 0; !steps.done; n++) {
        put_key(w, s, 100000 + n % 7);
        MUST(w, sfs_store_sync(s));
    }
    sfs_task_join(w->env, task);
    NEED(w, !sfs_member_of(s->pool, 2));
    verify_all(w, s, c);
    sync_and_close(w, s);
    must_be_sound(w, c, 1 | 4);
}

static void commits_go_on_while_the_only_nodes_move(void)
{
    run(3, commits);
}

/* --- two columns on one disk --- */

static unsigned doubled_groups(const struct sfs_store *s)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        const struct sfs_group *g = s->pool->groups[i];
        count += g && g->record.m == 1 && g->record.columns[0].disk == g->record.columns[1].disk;
    }
    return count;
}

static void part(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = begin(w, c, 2, 1, 0);
    offline(w, s, 2);
    put_key(w, s, 100000);
    MUST(w, sfs_store_sync(s));
    NEED(w, doubled_groups(s) > 0);
    for (uint32_t i = 0; i < s->pool->group_cap; i++) { /* as if there were no others */
        struct sfs_group *g = s->pool->groups[i];
        if (g && (g->record.class == SFS_CLASS_METADATA || g->record.class == SFS_CLASS_SYSTEM) &&
            g->record.columns[0].disk != g->record.columns[1].disk)
            g->record.state = SFS_GROUP_CLOSED;
    }
    online(w, s, 2);
    MUST(w, sfs_ripen(s));
    crowd(w, s, 1, 0);
    take_care(w, s);
    NEED_EQ(w, doubled_groups(s), 0);
    verify_all(w, s, c);
    sync_and_close(w, s);
    must_be_sound(w, c, ALL_DISKS);
}

static void two_columns_on_one_disk_part_without_room_there(void)
{
    run(2, part);
}

/* --- dead rows become room for columns --- */

static unsigned weak_groups(const struct sfs_store *s)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        const struct sfs_group *g = s->pool->groups[i];
        count += g && g->count.live && g->record.m < s->pool->config.failover;
    }
    return count;
}

static void gain(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = begin(w, c, 3, 2, 60);
    for (uint32_t i = 0; i < FILES; i++)
        put_file(w, s, c, i, ++c->next);
    for (uint32_t i = 0; i < FILES; i++)
        if (i % 8)
            put_file(w, s, c, i, 0);
    MUST(w, sfs_store_sync(s));
    offline(w, s, 3);
    put_key(w, s, 100000);
    MUST(w, sfs_store_sync(s));
    online(w, s, 3);
    NEED(w, weak_groups(s) > 0);
    crowd(w, s, 1, 0);
    take_care(w, s);
    NEED_EQ(w, weak_groups(s), 0);
    verify_all(w, s, c);
    sync_and_close(w, s);
    must_be_sound(w, c, ALL_DISKS);
}

static void dead_rows_make_room_for_columns(void)
{
    run(3, gain);
}

/* --- groups of nodes are merged --- */

static unsigned groups_of(const struct sfs_store *s, uint8_t class)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++)
        count += s->pool->groups[i] && s->pool->groups[i]->record.class == class;
    return count;
}

static void open_or_close(struct sfs_store *s, uint8_t class, uint8_t state)
{
    for (uint32_t i = 0; i < s->pool->group_cap; i++)
        if (s->pool->groups[i] && s->pool->groups[i]->record.class == class)
            s->pool->groups[i]->record.state = state;
}

static void merge(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = begin(w, c, 2, 1, 8);
    take_care(w, s); /* logs are packed */
    /* As if there had been no row in the first for a while; the pool's tree stays there. */
    open_or_close(s, SFS_CLASS_METADATA, SFS_GROUP_CLOSED);
    put_key(w, s, 100000);
    MUST(w, sfs_store_sync(s));
    open_or_close(s, SFS_CLASS_METADATA, SFS_GROUP_OPEN);
    NEED_EQ(w, groups_of(s, SFS_CLASS_METADATA), 2);
    MUST(w, sfs_ripen(s));
    crowd(w, s, 1, 0);
    crowd(w, s, 2, 0);
    NEED(w, sfs_care_make_room(s->care));
    take_care(w, s);
    MUST(w, sfs_ripen(s));
    NEED_EQ(w, groups_of(s, SFS_CLASS_METADATA), 1);
    NEED(w, sfs_member_of(s->pool, 1)->free_atoms > 0 && sfs_member_of(s->pool, 2)->free_atoms > 0);
    NEED(w, !sfs_care_make_room(s->care)); /* what is left is needed */
    verify_all(w, s, c);
    sync_and_close(w, s);
    must_be_sound(w, c, ALL_DISKS);
}

static void groups_of_nodes_are_merged_to_make_room(void)
{
    run(2, merge);
}

/* --- nodes on a disk that leaves --- */

static void nodes_leave_last(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = begin(w, c, 3, 1, 20);
    take_care(w, s);
    MUST(w, sfs_care_remove(s, 3, -1, &info));
    MUST(w, sfs_ripen(s));
    crowd(w, s, 1, 0);
    crowd(w, s, 2, 2);
    open_or_close(s, SFS_CLASS_METADATA, SFS_GROUP_CLOSED); /* as if they had no row left */
    open_or_close(s, SFS_CLASS_SYSTEM, SFS_GROUP_CLOSED);
    put_key(w, s, 100000);
    MUST(w, sfs_store_sync(s));
    unsigned there = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        const struct sfs_group *g = s->pool->groups[i];
        there += g && g->count.live && g->record.state == SFS_GROUP_OPEN && g->record.class != SFS_CLASS_DATA &&
                 sfs_care_has_column(&g->record, 3);
    }
    NEED(w, there >= 2);
    take_care(w, s); /* they do not move round and round */
    NEED(w, sfs_member_of(s->pool, 3) && sfs_care_blocked(s->care, 3));
    open_or_close(s, SFS_CLASS_METADATA, SFS_GROUP_OPEN);
    open_or_close(s, SFS_CLASS_SYSTEM, SFS_GROUP_OPEN);
    verify_all(w, s, c);
    sync_and_close(w, s);
    must_be_sound(w, c, ALL_DISKS);
    s = open_store(w, ALL_DISKS, false); /* the others have room again */
    take_care(w, s);
    NEED(w, !sfs_member_of(s->pool, 3));
    sync_and_close(w, s);
}

static void commits_use_a_disk_that_leaves_before_they_fail(void)
{
    run(3, nodes_leave_last);
}

/* --- what has no redundancy does not go to the disk that was away --- */

static unsigned alone_on(const struct sfs_store *s, uint16_t member)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        const struct sfs_group *g = s->pool->groups[i];
        count += g && g->count.live && g->record.k == 1 && g->record.m == 0 && g->record.columns[0].disk == member;
    }
    return count;
}

static void lean(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = begin(w, c, 2, 1, 60);
    offline(w, s, 1);
    for (uint32_t i = 0; i < 8; i++)
        put_file(w, s, c, i, ++c->next);
    MUST(w, sfs_store_sync(s));
    NEED(w, alone_on(s, 2) > 0);
    online(w, s, 1);
    replace(w, s, 2, 2);
    crowd(w, s, 3, 0);
    while (sfs_care_order_step(s->care))
        NEED_EQ(w, alone_on(s, 1), 0);
    NEED_EQ(w, alone_on(s, 1), 0);
    verify_all(w, s, c);
    sync_and_close(w, s);
}

static void what_is_alone_does_not_go_where_a_disk_was_away(void)
{
    run(3, lean);
}

/* --- data makes room for nodes --- */

/* Leaves of a tree are filled; what the first transaction that failed said. */
static int fill_leaves(struct sfs_store *s, unsigned keys)
{
    static const uint8_t value[SFS_FILEEXT_BYTES];
    int err = SCALEFS_OK;
    for (unsigned n = 0; n < keys && !err;) {
        struct sfs_tx tx;
        sfs_tx_init(&tx, s);
        for (unsigned i = 0; i < 50; i++, n++)
            sfs_tx_put(&tx, TREE, (struct sfs_key){1000000 + n, SFS_KEY_INODE, 0}, value, sizeof value);
        err = sfs_tx_commit(&tx);
        sfs_tx_deinit(&tx);
    }
    return err;
}

/* Data had all areas; now most of it is gone, and names come. */
static void names_come(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = begin(w, c, 2, 1, 0);
    for (unsigned round = 0; groups_of(s, SFS_CLASS_DATA) < 4; round++) {
        struct sfs_group *g = s->open_groups[SFS_CLASS_DATA][0];
        if (g) {
            sfs_space_close_group(s, g);
            g->record.state = SFS_GROUP_CLOSED;
        }
        for (uint32_t i = 0; i < FILES; i++)
            put_file(w, s, c, i, ++c->next);
        NEED(w, round < 100);
    }
    open_or_close(s, SFS_CLASS_DATA, SFS_GROUP_OPEN);
    crowd(w, s, 1, 0);
    crowd(w, s, 2, 0);
    unsigned data = groups_of(s, SFS_CLASS_DATA), nodes = groups_of(s, SFS_CLASS_METADATA);
    MUST(w, fill_leaves(s, 60000));
    NEED(w, groups_of(s, SFS_CLASS_DATA) < data && groups_of(s, SFS_CLASS_METADATA) > nodes);
    verify_all(w, s, c);
    sync_and_close(w, s);
    must_be_sound(w, c, ALL_DISKS);
}

static void data_makes_room_for_nodes(void)
{
    run(2, names_come);
}

/* --- what was promised --- */

static void promised(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = begin(w, c, 2, 1, 0);
    uint32_t reserve[SFS_DISKS_MAX];
    sfs_reserve_atoms(s->pool, false, false, reserve);
    NEED(w, reserve[0] > 0 && reserve[1] > 0);
    crowd(w, s, 1, reserve[0]);
    crowd(w, s, 2, reserve[1]);
    put_file(w, s, c, 1, ++c->next); /* fs would have asked for a promise before the disks were full */
    verify_all(w, s, c);
    sync_and_close(w, s);
}

static void what_was_promised_may_use_the_reserve(void)
{
    run(2, promised);
}

/* --- making room --- */

/* Somebody makes room, of which nothing comes. */
static void make_none(void *context)
{
    struct sfs_store *s = context;
    sfs_task_sleep(s->env, 50000000);
    sfs_store_lock(s);
    s->making_room = false;
    sfs_cond_broadcast(&s->room_made);
    sfs_store_unlock(s);
}

static void wait_for_another(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = begin(w, c, 2, 1, 120);
    struct sfs_task *task;
    MUST(w, sfs_settle(s));
    for (uint32_t i = 0; i < FILES; i += 2)
        put_file(w, s, c, i, 0);
    MUST(w, sfs_store_sync(s));
    uint64_t taken = 0;
    s->scattered_kept = s->freed; /* all but what is scattered is promised */
    for (uint64_t piece = 4 << 20; piece >= 32 << 10; piece /= 2)
        while (sfs_store_reserve(s, piece) == SCALEFS_OK)
            taken += piece;
    NEED(w, taken > 8 << 20 && s->scattered > 256 << 10);
    sfs_store_lock(s);
    s->scattered_kept = 0;
    s->making_room = true;
    sfs_store_unlock(s);
    MUST(w, sfs_task_start(w->env, "other", make_none, s, &task));
    if (sfs_store_reserve(s, 48 << 10) == SCALEFS_OK)
        taken += 48 << 10;
    NEED(w, s->gathered > 0); /* before that is refused */
    sfs_task_join(w->env, task);
    sfs_store_unreserve(s, taken);
    verify_all(w, s, c);
    sync_and_close(w, s);
}

static void who_waits_for_anothers_room_gathers_then(void)
{
    run(2, wait_for_another);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(commits_go_on_while_the_only_nodes_move);
    RUN(two_columns_on_one_disk_part_without_room_there);
    RUN(dead_rows_make_room_for_columns);
    RUN(groups_of_nodes_are_merged_to_make_room);
    RUN(commits_use_a_disk_that_leaves_before_they_fail);
    RUN(what_is_alone_does_not_go_where_a_disk_was_away);
    RUN(data_makes_room_for_nodes);
    RUN(what_was_promised_may_use_the_reserve);
    RUN(who_waits_for_anothers_room_gathers_then);
    return TEST_END();
}
