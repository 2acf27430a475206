/* More disks went at once than the pool bears: what is found when they are back is not called right because it verifies, and the pool
 * goes on only when everything that lives is there. See also care_owed.c. */
#include "care_fixture.h"
#include "pool/internal.h"
#include "store/move.h"

enum { DISKS = 2 };

static void fill_pool(struct world *w, void *arg)
{
    make_pool(w, 1, 0);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    write_some(w, s, arg, 60);
    sync_and_close(w, s);
}

static void sound(struct world *w, void *arg)
{
    must_be_sound(w, arg, ALL_DISKS);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    verify_all(w, s, arg);
    sync_and_close(w, s);
}

static void goes(struct world *w, struct sfs_store *s, uint16_t index)
{
    struct scalefs_error_info info = {0, ""};
    MUST(w, sfs_member_offline(s->pool, index, &info));
}

/* Without the checkpoint of sfs_care_online. */
static void comes_back(struct world *w, struct sfs_store *s, uint16_t index)
{
    struct scalefs_error_info info = {0, ""};
    struct sfs_disk *disk;
    MUST(w, sim_disk_open(sim_farm_disk(w->farm, index - 1u), w->env, &disk));
    MUST(w, sfs_member_online(s->pool, disk, &info));
}

static void run_on(unsigned disks, void (*test)(struct world *, void *))
{
    struct world w;
    struct content c = {{0}, 0, 0, 0, "", 0};
    world_init(&w, test_seed());
    add_disks(&w, disks, 96 * MIB);
    live(&w, fill_pool, &c);
    live(&w, test, &c);
    live(&w, sound, &c);
    world_deinit(&w);
}

static void run(void (*test)(struct world *, void *))
{
    run_on(DISKS, test);
}

/* --- nodes of the map and the space tree --- */

/* Goes over the rows of nodes of these trees that were given since the opening. */
static struct sfs_group *next_row(struct sfs_store *s, uint32_t *group, uint32_t *row)
{
    for (; *group < s->pool->group_cap; ++*group, *row = 0) {
        struct sfs_group *g = s->pool->groups[*group];
        for (; g && g->record.class == SFS_CLASS_SYSTEM && *row < g->record.rows; ++*row)
            if (g->rows[*row].live && g->rows[*row].txn)
                return g;
    }
    return NULL;
}

/* As if both disks still held what stood there before: the same node, of an older commit. */
static void make_older(struct world *w, struct sfs_store *s, const struct sfs_group *g, uint32_t row, unsigned copies)
{
    struct sfs_group_record r;
    struct sfs_target targets[SFS_COLUMNS_MAX];
    sfs_store_lock(s);
    NEED(w, sfs_group_resolve(s->pool, g->record.group, row, 1, &r, targets));
    sfs_store_unlock(s);
    for (unsigned c = 0; c < copies; c++) {
        struct sim_disk *d = sim_farm_disk(w->farm, r.columns[c].disk - 1u);
        uint8_t page[SFS_NODE_BYTES];
        struct sfs_node_header h;
        sim_disk_peek(d, sfs_unit_offset(&r, &targets[c], row), page, sizeof page);
        MUST(w, sfs_node_check(page, &h));
        NEED_EQ(w, h.birth, g->rows[row].txn);
        h.birth--;
        (void)sfs_node_seal(page, &h);
        sim_disk_poke(d, sfs_unit_offset(&r, &targets[c], row), page, sizeof page);
    }
}

static void older_nodes(struct world *w, void *arg)
{
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    uint32_t group = 0, row = 0, seen = 0;
    write_some(w, s, arg, 20);
    MUST(w, sfs_store_sync(s));
    for (struct sfs_group *g; (g = next_row(s, &group, &row)) != NULL; row++, seen++) {
        struct sfs_row_image im;
        make_older(w, s, g, row, 1);
        MUST(w, sfs_row_read(s->pool, group, row, 1, &im));
        NEED_EQ(w, best_node(w, s, &im), 1);
        memcpy(im.units[1], im.units[0], im.unit_bytes);
        NEED_EQ(w, best_node(w, s, &im), -1);
        sfs_row_image_free(s->pool, &im);
    }
    NEED(w, seen > 2);
    struct scalefs_error_info info = {0, ""};
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    take_care(w, s);
    sync_and_close(w, s);
}

static void an_older_node_is_not_the_one_that_is_meant(void)
{
    run(older_nodes);
}

/* Both disks have only older ones: memory has the right ones, and writes them anew. */
static void older_everywhere(struct world *w, void *arg)
{
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    uint32_t group = 0, row = 0;
    write_some(w, s, arg, 20);
    MUST(w, sfs_store_sync(s));
    write_some(w, s, arg, 3);
    goes(w, s, 1);
    goes(w, s, 2);
    NEED(w, s->pool->cut_off);
    comes_back(w, s, 1);
    comes_back(w, s, 2);
    for (struct sfs_group *g; (g = next_row(s, &group, &row)) != NULL; row++) {
        g->count.last_txn = s->pool->txn; /* as if the commit had been cut off after them */
        make_older(w, s, g, row, 2);
    }
    take_care(w, s);
    NEED(w, !s->pool->suspended);
    sync_and_close(w, s);
}

static void memory_writes_nodes_that_are_only_older_on_the_disks(void)
{
    run(older_everywhere);
}

/* A commit that failed gave the nodes their places; the next one writes them there once more, and what the first one left is old. */
static void again(struct world *w, void *arg)
{
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    uint32_t group = 0, row = 0, seen = 0;
    write_some(w, s, arg, 20);
    sim_disk_fail_flushes(sim_farm_disk(w->farm, 0), 1);
    sim_disk_fail_flushes(sim_farm_disk(w->farm, 1), 1);
    NEED_EQ(w, sfs_store_sync(s), SCALEFS_E_SUSPENDED);
    comes_back(w, s, 1);
    comes_back(w, s, 2);
    take_care(w, s);
    NEED(w, !s->pool->suspended);
    MUST(w, sfs_store_sync(s));
    for (struct sfs_group *g; (g = next_row(s, &group, &row)) != NULL; row++, seen++)
        make_older(w, s, g, row, 1);
    NEED(w, seen > 2);
    struct scalefs_error_info info = {0, ""};
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    take_care(w, s);
    sync_and_close(w, s);
}

static void what_a_failed_commit_left_is_older(void)
{
    run(again);
}

/* --- logs --- */

static void dead_batches(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    uint32_t small = 0;
    unsigned noted = 0;
    do {
        small = ++c->next;
    } while (file_size(0, small) > 8000);
    put_file(w, s, c, 0, small);
    MUST(w, sfs_store_sync(s));
    put_file(w, s, c, 0, 0);
    MUST(w, sfs_store_sync(s));
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (!g || g->record.class != SFS_CLASS_LANDING)
            continue;
        struct sfs_group_record r = g->record;
        uint64_t end = (uint64_t)g->count.write_row * sfs_group_unit(&r);
        for (unsigned strict = 0; strict < 2; strict++) {
            struct sfs_care_fix fix = {.strict = strict};
            for (uint64_t at = 0; at < end;)
                MUST(w, sfs_care_fix_log(s->care, &r, &at, true, &fix));
            NEED(w, strict || !s->care->lost_count);
            noted += s->care->lost_count > 0;
            NEED_EQ(w, count_of_lost(w, s), 0);
        }
    }
    NEED(w, noted);
    sync_and_close(w, s);
}

static void a_batch_of_which_nothing_lives_is_looked_behind(void)
{
    run(dead_batches);
}

/* --- what is waited for --- */

static void headers_to_come(struct world *w, void *arg)
{
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    write_some(w, s, arg, 20);
    goes(w, s, 1);
    goes(w, s, 2);
    comes_back(w, s, 1);
    comes_back(w, s, 2);
    /* As a checkpoint leaves it whose headers could not be written. */
    MUST(w, sfs_vec_reserve(w->env, &s->fresh.groups, &s->fresh.cap, 1, sizeof *s->fresh.groups));
    for (uint32_t i = 0; i < s->pool->group_cap && !s->fresh.count; i++)
        if (s->pool->groups[i] && s->pool->groups[i]->record.class == SFS_CLASS_DATA && s->pool->groups[i]->count.live) {
            s->fresh.groups[s->fresh.count++] = i;
            s->pool->groups[i]->in_flight++;
        }
    NEED_EQ(w, s->fresh.count, 1);
    take_care(w, s);
    NEED(w, !s->pool->suspended);
    MUST(w, sfs_store_sync(s));
    NEED_EQ(w, s->fresh.count, 0);
    s->care->retry_soon = false;
    take_care(w, s);
    sync_and_close(w, s);
}

static void a_group_without_headers_is_not_waited_for(void)
{
    run(headers_to_come);
}

/* --- one after the other --- */

/* Each comes back before the next one goes, and no commit is between them. */
static void by_turns(struct world *w, void *arg)
{
    struct content *c = arg;
    struct content synced = *c;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    uint64_t committed = s->pool->committed;
    for (unsigned i = 0; i < DISKS; i++)
        sim_disk_lose_writes(sim_farm_disk(w->farm, i), 1u << 30);
    write_some(w, s, c, 20);
    for (uint16_t i = 1; i <= DISKS; i++) {
        sim_disk_lose_writes(sim_farm_disk(w->farm, i - 1u), 0);
        goes(w, s, i);
        NEED(w, !s->pool->waits && s->pool->cut_off == (i > 1));
        comes_back(w, s, i);
    }
    NEED_EQ(w, sfs_store_sync(s), SCALEFS_E_SUSPENDED);
    take_care(w, s);
    NEED(w, s->pool->suspended && s->care->proof.failed);
    NEED_EQ(w, s->pool->committed, committed);
    *c = synced;
    (void)sfs_store_close(s, false);
}

static void disks_that_go_by_turns_are_too_many_as_well(void)
{
    run(by_turns);
}

static void during_the_proof(struct world *w, void *arg)
{
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    write_some(w, s, arg, 20);
    goes(w, s, 1);
    goes(w, s, 2);
    comes_back(w, s, 1);
    comes_back(w, s, 2);
    NEED(w, sfs_care_step(s) && sfs_care_step(s));
    NEED(w, s->pool->cut_off && s->care->proof.done_count == 2);
    uint64_t suspensions = s->pool->suspensions;
    goes(w, s, 1);
    comes_back(w, s, 1);
    s->pool->suspensions = suspensions; /* its coming back is enough */
    NEED(w, sfs_care_step(s));
    NEED_EQ(w, s->care->proof.done_count, 1); /* from the beginning */
    take_care(w, s);
    NEED(w, !s->pool->suspended);
    sync_and_close(w, s);
}

static void the_proof_begins_again_when_one_comes_back(void)
{
    run(during_the_proof);
}

/* What one has lost cannot be put back at once. */
static void put_back_fails(struct world *w, void *arg)
{
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    struct sim_disk *d = sim_farm_disk(w->farm, 0);
    sim_disk_lose_writes(d, 1u << 30);
    write_some(w, s, arg, 20);
    sim_disk_lose_writes(d, 0);
    goes(w, s, 1);
    goes(w, s, 2);
    comes_back(w, s, 1);
    comes_back(w, s, 2);
    sim_disk_fail_writes(d, 1);
    take_care(w, s);
    NEED(w, s->pool->cut_off && !s->care->proof.failed);
    NEED_EQ(w, members_in(s->pool, SFS_DISK_ABSENT), 1);
    comes_back(w, s, 1);
    take_care(w, s);
    NEED(w, !s->pool->suspended);
    sync_and_close(w, s);
}

static void what_cannot_be_put_back_is_tried_again(void)
{
    run(put_back_fails);
}

/* A disk is absent that holds nothing any more. While it is being replaced another one goes: the pool waits for that one alone. */
static void while_one_is_replaced(struct world *w, void *arg)
{
    (void)arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    struct sfs_disk *disk;
    MUST(w, sim_disk_open(sim_farm_disk(w->farm, 2), w->env, &disk));
    MUST(w, sfs_care_add(s, &disk, NULL, 0, 1, &info));
    MUST(w, sfs_store_commit(s));
    goes(w, s, 3);
    s->pool->config.failover = 0; /* as was wished meanwhile */
    s->pool->config_dirty = true;
    MUST(w, sfs_store_commit(s));
    NEED(w, !s->pool->suspended && s->pool->config.quorum == 1);
    MUST(w, sim_disk_open(sim_farm_disk(w->farm, 3), w->env, &disk));
    sim_disk_fail_flushes(sim_farm_disk(w->farm, 0), 1);
    NEED_EQ(w, sfs_care_replace(s, 3, disk, &info), SCALEFS_E_SUSPENDED);
    disk->ops->close(disk);
    comes_back(w, s, 1);
    NEED(w, !s->pool->waits);
    take_care(w, s);
    NEED(w, !s->pool->suspended);
    comes_back(w, s, 3);
    take_care(w, s);
    sync_and_close(w, s);
}

static void a_replacement_that_fails_leaves_no_stricter_pool(void)
{
    struct world w;
    struct content c = {{0}, 0, 0, 0, "", 0};
    world_init(&w, test_seed());
    add_disks(&w, DISKS, 96 * MIB);
    live(&w, fill_pool, &c);
    add_disks(&w, 2, 96 * MIB);
    live(&w, while_one_is_replaced, &c);
    world_deinit(&w);
}

/* --- what only an absent disk has --- */

/* A live row of data, and where its units stand. */
static void live_row(struct world *w, struct sfs_store *s, struct sfs_group_record *g, uint32_t *row, struct sfs_target *targets)
{
    struct sfs_group *data = NULL;
    for (uint32_t i = 0; i < s->pool->group_cap && !data; i++)
        if (s->pool->groups[i] && s->pool->groups[i]->record.class == SFS_CLASS_DATA && s->pool->groups[i]->count.live)
            data = s->pool->groups[i];
    NEED(w, data);
    struct sfs_row_state *states;
    MUST(w, sfs_care_states(s, &data->record, &states));
    for (*row = 0; !states[*row].live;)
        ++*row;
    sfs_free(w->env, states);
    sfs_store_lock(s);
    NEED(w, sfs_group_resolve(s->pool, data->record.group, *row, 1, g, targets));
    sfs_store_unlock(s);
}

static void only_there(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    struct sfs_group_record g;
    struct sfs_target targets[SFS_COLUMNS_MAX];
    uint32_t row;
    live_row(w, s, &g, &row, targets);
    NEED(w, g.k == 1 && g.m == 1);
    sim_disk_rot(sim_farm_disk(w->farm, g.columns[1].disk - 1u), sfs_unit_offset(&g, &targets[1], row), sfs_group_unit(&g));
    sim_disk_pull(sim_farm_disk(w->farm, g.columns[0].disk - 1u));
    struct sfs_row_image im;
    for (unsigned i = 0; i < 2; i++) { /* when it has just gone, and when that is known */
        NEED_EQ(w, members_in(s->pool, SFS_DISK_ABSENT), i);
        NEED_EQ(w, sfs_row_read(s->pool, g.group, row, 1, &im), SCALEFS_E_SUSPENDED);
        sfs_row_image_free(s->pool, &im);
    }
    sim_disk_return(sim_farm_disk(w->farm, g.columns[0].disk - 1u));
    comes_back(w, s, g.columns[0].disk);
    MUST(w, sfs_row_read(s->pool, g.group, row, 1, &im));
    sfs_row_image_free(s->pool, &im);
    struct scalefs_error_info info = {0, ""};
    MUST(w, sfs_store_commit(s));
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    take_care(w, s);
    NEED_EQ(w, s->pool->config.extents_lost, 0);
    sync_and_close(w, s);
}

static void a_row_is_not_lost_before_an_absent_disk_was_asked(void)
{
    run(only_there);
}

/* --- a column on its way --- */

static struct sfs_group *log_with_batches(struct world *w, struct sfs_store *s)
{
    struct sfs_group *found = NULL;
    for (uint32_t i = 0; i < s->pool->group_cap && !found; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (g && g->record.class == SFS_CLASS_LANDING && g->count.live && g->record.m == 1)
            found = g;
    }
    NEED(w, found);
    return found;
}

static uint16_t not_in(const struct sfs_group *g)
{
    uint16_t member = 1;
    while (sfs_care_has_column(&g->record, member))
        member++;
    return member;
}

struct flap {
    struct world *w;
    struct sfs_store *s;
    struct sfs_group *g;
    uint16_t to;
    bool done;
};

/* As if the member went and came back between two writes to it. */
static void flap(void *arg)
{
    struct flap *f = arg;
    while (!f->done) {
        sfs_store_lock(f->s);
        if (f->g->moving) {
            sfs_member_of(f->s->pool, f->to)->comings++;
            f->done = true;
        }
        sfs_store_unlock(f->s);
        sfs_task_sleep(f->w->env, 1000);
    }
}

static void move_to_one_that_goes(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    struct sfs_task *task;
    struct flap f = {.w = w, .s = s, .g = log_with_batches(w, s)};
    f.to = not_in(f.g);
    uint32_t group = f.g->record.group;
    uint16_t was = f.g->record.columns[0].disk;
    MUST(w, sfs_task_start(w->env, "flap", flap, &f, &task));
    NEED_EQ(w, sfs_column_move(s->care, &sfs_group_of(s->pool, group)->record, 0, f.to, false), SCALEFS_E_CHANGED);
    f.done = true;
    sfs_task_join(w->env, task);
    NEED_EQ(w, f.g->record.columns[0].disk, was);
    MUST(w, sfs_column_move(s->care, &sfs_group_of(s->pool, group)->record, 0, f.to, false));
    sync_and_close(w, s);
}

static void a_column_does_not_go_to_a_disk_that_went_meanwhile(void)
{
    run_on(3, move_to_one_that_goes);
}

/* Between looking for a column to move and moving it a group may go, and another one get its number. */
static void move_of_another_group(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    struct sfs_group *g = log_with_batches(w, s);
    struct sfs_group_record r = g->record, was = r;
    r.generation--;
    NEED_EQ(w, sfs_column_move(s->care, &r, 0, not_in(g), false), SCALEFS_E_CHANGED);
    NEED_EQ(w, sfs_column_add(s->care, &r, not_in(g)), SCALEFS_E_CHANGED);
    NEED(w, g->record.m == was.m && g->record.columns[0].disk == was.columns[0].disk);
    sync_and_close(w, s);
}

static void a_column_of_another_group_does_not_move(void)
{
    run_on(3, move_of_another_group);
}

/* The only right copy of a batch is on a disk that is away: nothing else is put in its place, and nothing is called done without it. */
static void move_from_one_that_is_away(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    struct sfs_group *g = log_with_batches(w, s);
    struct sfs_group_record r = g->record;
    struct sfs_group_record copy;
    struct sfs_target targets[SFS_COLUMNS_MAX];
    struct sfs_care_fix fix = {0};
    uint64_t at = 0;
    sfs_store_lock(s);
    NEED(w, sfs_group_resolve(s->pool, r.group, 0, 1, &copy, targets));
    sfs_store_unlock(s);
    sim_disk_rot(sim_farm_disk(w->farm, r.columns[1].disk - 1u), sfs_unit_offset(&r, &targets[1], 0), SFS_BLOCK);
    goes(w, s, r.columns[0].disk);
    MUST(w, sfs_care_fix_log(s->care, &r, &at, false, &fix));
    NEED(w, fix.waits);
    NEED_EQ(w, sfs_column_move(s->care, &r, 0, not_in(g), false), SCALEFS_E_SUSPENDED);
    goes(w, s, r.columns[1].disk);
    NEED_EQ(w, sfs_column_move(s->care, &r, 0, not_in(g), false), SCALEFS_E_SUSPENDED);
    comes_back(w, s, r.columns[0].disk);
    comes_back(w, s, r.columns[1].disk);
    MUST(w, sfs_column_move(s->care, &r, 0, not_in(g), false));
    take_care(w, s);
    struct scalefs_error_info info = {0, ""};
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    take_care(w, s);
    NEED_EQ(w, s->pool->config.extents_lost, 0);
    sync_and_close(w, s);
}

static void a_column_of_a_log_waits_for_its_disk(void)
{
    run_on(3, move_from_one_that_is_away);
}

/* The same for a node. */
static void move_nodes_that_are_away(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    struct sfs_group *g = NULL;
    for (uint32_t i = 0; i < s->pool->group_cap && !g; i++)
        if (s->pool->groups[i] && s->pool->groups[i]->record.class == SFS_CLASS_METADATA && s->pool->groups[i]->count.live)
            g = s->pool->groups[i];
    NEED(w, g && g->record.m == 1);
    struct sfs_group_record r = g->record, copy;
    struct sfs_target targets[SFS_COLUMNS_MAX];
    struct sfs_row_state *states;
    MUST(w, sfs_care_states(s, &r, &states));
    sfs_store_lock(s);
    NEED(w, sfs_group_resolve(s->pool, r.group, 0, 1, &copy, targets));
    sfs_store_unlock(s);
    for (uint32_t row = 0; row < r.rows; row++)
        if (states[row].live)
            sim_disk_rot(sim_farm_disk(w->farm, r.columns[1].disk - 1u), sfs_unit_offset(&r, &targets[1], row), SFS_NODE_BYTES);
    sfs_free(w->env, states);
    goes(w, s, r.columns[0].disk);
    NEED_EQ(w, sfs_column_move(s->care, &r, 0, not_in(g), false), SCALEFS_E_SUSPENDED);
    NEED_EQ(w, s->care->lost_count, 0);
    comes_back(w, s, r.columns[0].disk);
    MUST(w, sfs_column_move(s->care, &r, 0, not_in(g), false));
    struct scalefs_error_info info = {0, ""};
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    take_care(w, s);
    NEED_EQ(w, s->pool->config.extents_lost, 0);
    sync_and_close(w, s);
}

static void a_column_of_nodes_waits_for_its_disk(void)
{
    run_on(3, move_nodes_that_are_away);
}

/* --- what a row lists --- */

/* The disk with the summary is behind, and has an older one there, of which nothing lives. */
static void older_summary(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    struct sfs_group_record g;
    struct sfs_target targets[SFS_COLUMNS_MAX];
    uint32_t row;
    live_row(w, s, &g, &row, targets);
    NEED(w, g.k == 2 && g.m == 1);
    struct sim_disk *d = sim_farm_disk(w->farm, g.columns[1].disk - 1u);
    uint64_t at = sfs_unit_offset(&g, &targets[1], row) + sfs_group_unit(&g) - SFS_BLOCK;
    uint8_t block[SFS_BLOCK];
    struct sfs_summary sum;
    struct sfs_entry entry = {.id = 1, .birth = 1, .stored = 4096, .raw = 4096, .sums = 1};
    sim_disk_peek(d, at, block, sizeof block);
    MUST(w, sfs_summary_decode(block, SFS_BLOCK, g.group, row * sfs_group_row_bytes(&g), g.generation, &sum));
    sum.entries = 1;
    sum.txn--;
    for (unsigned c = 0; c < 3; c++)
        sum.sums[c]++;
    sfs_summary_encode(&sum, &entry, block);
    sim_disk_poke(d, at, block, sizeof block);
    struct sfs_member *m = sfs_member_of(s->pool, g.columns[1].disk);
    m->complete = false;
    m->record.flushed_txn = 1;
    size_t moved;
    MUST(w, sfs_move_rows(s, g.group, &row, 1, true, &moved));
    NEED(w, moved > 0);
    take_care(w, s);
    sync_and_close(w, s);
}

static void an_older_summary_hides_nothing(void)
{
    run_on(3, older_summary);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(an_older_node_is_not_the_one_that_is_meant);
    RUN(memory_writes_nodes_that_are_only_older_on_the_disks);
    RUN(what_a_failed_commit_left_is_older);
    RUN(a_batch_of_which_nothing_lives_is_looked_behind);
    RUN(a_group_without_headers_is_not_waited_for);
    RUN(disks_that_go_by_turns_are_too_many_as_well);
    RUN(the_proof_begins_again_when_one_comes_back);
    RUN(what_cannot_be_put_back_is_tried_again);
    RUN(a_replacement_that_fails_leaves_no_stricter_pool);
    RUN(a_row_is_not_lost_before_an_absent_disk_was_asked);
    RUN(a_column_does_not_go_to_a_disk_that_went_meanwhile);
    RUN(a_column_of_another_group_does_not_move);
    RUN(a_column_of_a_log_waits_for_its_disk);
    RUN(a_column_of_nodes_waits_for_its_disk);
    RUN(an_older_summary_hides_nothing);
    return TEST_END();
}
