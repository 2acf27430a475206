/* A disk that was away gets what was written meanwhile, and nothing else; also while others go on writing. */
#include "care_fixture.h"
#include "store/move.h"
#include "pool/internal.h"

static void fill_pool(struct world *w, void *arg)
{
    make_pool(w, 1 + (sim_farm_count(w->farm) > 4), 0);
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

/* What is there suffices; nothing is written. */
static void sound_without_check(struct world *w, void *arg)
{
    struct sfs_pool_open how = {.probe = sfs_store_probe, .read_only = true, .degraded = true};
    struct sfs_pool *pool = must_open(w, &how, ALL_DISKS);
    struct sfs_store_options o = {.cache_bytes = 1 << 20, .no_background = true};
    struct sfs_store *s;
    struct scalefs_error_info info = {0, ""};
    MUST(w, sfs_store_open(w->env, pool, &o, &s, &info));
    verify_all(w, s, arg);
    sync_and_close(w, s);
}

/* --- away for a while in one opening --- */

static void away_and_back(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sim_disk *d = sim_farm_disk(w->farm, 1);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    enum scalefs_pool_state state;
    unsigned left;
    char action[300];
    MUST(w, sfs_care_offline(s, 2, &info));
    write_some(w, s, c, 10);
    MUST(w, sfs_store_sync(s));
    sfs_care_state(s, &state, &left, action, sizeof action);
    NEED_EQ(w, state, SCALEFS_DEGRADED);
    NEED_EQ(w, left, s->pool->config.failover - 1u);
    NEED(w, strstr(action, "Disk 2 is absent"));
    take_care(w, s); /* logs are packed, on the others */
    struct sfs_disk *disk;
    MUST(w, sim_disk_open(d, w->env, &disk));
    uint64_t written = sim_disk_stats(d)->bytes_written;
    MUST(w, sfs_care_online(s, disk, &info));
    struct scalefs_task_status tasks[4];
    size_t count;
    sfs_care_tasks(s, tasks, 4, &count);
    NEED(w, count == 1 && tasks[0].kind == SCALEFS_TASK_REBUILD && tasks[0].disk == 2);
    take_care(w, s);
    sfs_care_tasks(s, tasks, 4, &count);
    NEED_EQ(w, count, 0);
    NEED_EQ(w, members_complete(s->pool), sim_farm_count(w->farm));
    /* Ten files of sixty were written: not much more than that goes to the disk. */
    written = sim_disk_stats(d)->bytes_written - written;
    NEED(w, written < 12 * MIB);
    NEED_EQ(w, s->pool->config.extents_repaired, 0); /* owed is not wrong */
    for (unsigned i = 0; i < s->pool->member_count; i++)
        NEED_EQ(w, s->pool->members[i].record.checksum_errors, 0);
    sync_and_close(w, s); /* nothing is read before the check: that would heal it */
}

static void pays_what_is_owed(void)
{
    for (unsigned disks = 3; disks <= 6; disks++) {
        struct world w;
        struct content c = {{0}, 0, 0, 0, "", 0};
        world_init(&w, test_seed());
        add_disks(&w, disks, 64 * MIB);
        live(&w, fill_pool, &c);
        live(&w, away_and_back, &c);
        live(&w, sound, &c);
        /* The others alone still hold everything, and so do those that include the one that was away. */
        for (unsigned gone = 0; gone < disks; gone++) {
            sim_disk_pull(sim_farm_disk(w.farm, gone));
            live(&w, sound_without_check, &c);
            sim_disk_return(sim_farm_disk(w.farm, gone));
        }
        world_deinit(&w);
    }
}

/* --- what was in its cache when it went --- */

/* All that was written since the last commit is lost on disk 2, rows, nodes, logs and headers. */
static void lose_the_cache(struct world *w, struct sfs_store *s, struct content *c)
{
    struct sim_disk *d = sim_farm_disk(w->farm, 1);
    sim_disk_lose_writes(d, 1u << 30);
    write_some(w, s, c, 40);
    sim_disk_fail_flushes(d, 1);
    MUST(w, sfs_store_sync(s));
    sim_disk_lose_writes(d, 0);
    NEED_EQ(w, members_in(s->pool, SFS_DISK_ABSENT), 1);
}

static void bring_back(struct world *w, struct sfs_store *s)
{
    struct scalefs_error_info info = {0, ""};
    struct sfs_disk *disk;
    MUST(w, sim_disk_open(sim_farm_disk(w->farm, 1), w->env, &disk));
    MUST(w, sfs_care_online(s, disk, &info));
}

static void lost_cache(struct world *w, void *arg)
{
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    lose_the_cache(w, s, arg);
    bring_back(w, s);
    NEED_EQ(w, members_complete(s->pool), sim_farm_count(w->farm) - 1);
    take_care(w, s);
    NEED_EQ(w, members_complete(s->pool), sim_farm_count(w->farm));
    NEED_EQ(w, s->pool->config.extents_lost, 0);
    sync_and_close(w, s);
}

static void lost_cache_and_closed(struct world *w, void *arg)
{
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    lose_the_cache(w, s, arg);
    bring_back(w, s);
    sync_and_close(w, s);
}

static void come_back(struct world *w, void *arg)
{
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    NEED_EQ(w, members_complete(s->pool), sim_farm_count(w->farm) - 1);
    write_some(w, s, arg, 5);
    take_care(w, s);
    NEED_EQ(w, members_complete(s->pool), sim_farm_count(w->farm));
    sync_and_close(w, s);
}

static void rewrites_what_a_cache_lost(void)
{
    for (unsigned disks = 2; disks <= 6; disks++)
        for (unsigned opening = 0; opening < 2; opening++) {
            struct world w;
            struct content c = {{0}, 0, 0, 0, "", 0};
            world_init(&w, test_seed());
            add_disks(&w, disks, 96 * MIB);
            live(&w, fill_pool, &c);
            if (opening) {
                live(&w, lost_cache_and_closed, &c);
                live(&w, come_back, &c); /* nothing is known of when nodes were written */
            } else {
                live(&w, lost_cache, &c);
            }
            live(&w, sound, &c);
            world_deinit(&w);
        }
}

/* --- what cannot be told by its age, or does not go elsewhere --- */

/* Without room for a group on the others alone, nodes go where one copy is owed. */
static void keys_without_a_disk(struct world *w, void *arg)
{
    (void)arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    static const uint8_t value[SFS_FILEEXT_BYTES];
    struct sfs_tx tx;
    uint32_t atom;
    MUST(w, sfs_ripen(s));
    for (unsigned i = 0; i < s->pool->member_count; i++)
        while (s->pool->members[i].free_atoms)
            NEED(w, sfs_atoms_take(&s->pool->members[i], 1, &atom));
    MUST(w, sfs_care_offline(s, 2, &info));
    sfs_tx_init(&tx, s);
    sfs_tx_put(&tx, TREE, (struct sfs_key){100000, SFS_KEY_EXTENT, 0}, value, sizeof value);
    sfs_tx_delete(&tx, TREE, (struct sfs_key){100000, SFS_KEY_EXTENT, 0});
    MUST(w, sfs_tx_commit(&tx));
    sfs_tx_deinit(&tx);
    MUST(w, sfs_store_sync(s));
    sync_and_close(w, s);
}

/* Logs stay as they are, as if there were no room to pack them. What has landed on disk 2. */
static uint64_t keep_logs(struct sfs_store *s)
{
    uint64_t landed = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (!g || g->record.class != SFS_CLASS_LANDING)
            continue;
        g->store = s;
        landed += sfs_care_has_column(&g->record, 2) ? g->count.live : 0;
    }
    return landed;
}

static void pay_old_nodes(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    uint64_t before = s->pool->last.extent_map.checksum;
    NEED_EQ(w, members_complete(s->pool), sim_farm_count(w->farm) - 1);
    (void)keep_logs(s); /* or nodes are written anew */
    take_care(w, s);
    NEED_EQ(w, members_complete(s->pool), sim_farm_count(w->farm));
    NEED(w, s->pool->last.extent_map.checksum == before); /* it was not written anew meanwhile */
    sync_and_close(w, s);
}

/* When they were written is not kept over an opening. */
static void pays_nodes_of_the_map_that_an_opening_forgot(void)
{
    struct world w;
    struct content c = {{0}, 0, 0, 0, "", 0};
    world_init(&w, test_seed());
    add_disks(&w, 2, 96 * MIB);
    live(&w, fill_pool, &c);
    live(&w, keys_without_a_disk, &c);
    live(&w, pay_old_nodes, &c);
    live(&w, sound, &c);
    world_deinit(&w);
}

static void logs_that_stay(struct world *w, void *arg)
{
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    lose_the_cache(w, s, arg);
    NEED(w, keep_logs(s) > 0);
    bring_back(w, s);
    while (members_complete(s->pool) < sim_farm_count(w->farm))
        NEED(w, sfs_care_step(s));
    sync_and_close(w, s);
}

static void pays_logs_that_cannot_be_packed(void)
{
    struct world w;
    struct content c = {{0}, 0, 0, 0, "", 0};
    world_init(&w, test_seed());
    add_disks(&w, 2, 96 * MIB);
    live(&w, fill_pool, &c);
    live(&w, logs_that_stay, &c);
    live(&w, sound, &c);
    world_deinit(&w);
}

/* A log ends with a batch that was never written whole, and the last of its disks went: the others are read all the same. */
static void torn_log(struct world *w, void *arg)
{
    (void)arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    struct sfs_group *log = NULL;
    for (uint32_t i = 0; i < s->pool->group_cap && !log; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (g && g->record.class == SFS_CLASS_LANDING && g->count.live > 0 && !g->allocating && g->record.columns[g->record.m].disk == 2)
            log = g;
    }
    NEED(w, log && log->count.write_row < log->record.rows);
    uint32_t group = log->record.group;
    uint64_t generation = log->record.generation;
    log->count.write_row++;
    MUST(w, sfs_care_offline(s, 2, &info));
    MUST(w, sfs_move_landing(s, group));
    log = sfs_group_of(s->pool, group);
    NEED(w, !log || log->record.generation != generation || log->count.live == 0);
    bring_back(w, s);
    take_care(w, s);
    sync_and_close(w, s);
}

static void packs_a_log_with_a_torn_end_without_its_last_disk(void)
{
    struct world w;
    struct content c = {{0}, 0, 0, 0, "", 0};
    world_init(&w, test_seed());
    add_disks(&w, 2, 96 * MIB);
    live(&w, fill_pool, &c);
    live(&w, torn_log, &c);
    live(&w, sound, &c);
    world_deinit(&w);
}

/* What could not be read without the disk can be read with it. */
static void try_again(struct world *w, void *arg)
{
    (void)arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    NEED(w, keep_logs(s) > 0); /* as if some of what lives there could not */
    MUST(w, sfs_vec_reserve(w->env, &s->care->stuck, &s->care->stuck_cap, 1, sizeof *s->care->stuck));
    s->care->stuck[s->care->stuck_count++] = 1; /* nor that of a group that was to be emptied */
    MUST(w, sfs_care_offline(s, 2, &info));
    take_care(w, s);
    uint64_t landed = keep_logs(s);
    bring_back(w, s);
    take_care(w, s);
    NEED(w, landed > 0 && keep_logs(s) < landed / 4); /* the tail of what was packed landed again */
    NEED_EQ(w, s->care->stuck_count, 0);
    sync_and_close(w, s);
}

static void tries_again_what_could_not_be_read(void)
{
    struct world w;
    struct content c = {{0}, 0, 0, 0, "", 0};
    world_init(&w, test_seed());
    add_disks(&w, 2, 96 * MIB);
    live(&w, fill_pool, &c);
    live(&w, try_again, &c);
    live(&w, sound, &c);
    world_deinit(&w);
}

/* --- a row is written without the disk, and becomes live when the disk is back --- */

static void row_in_flight(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    uint8_t *data = sfs_alloc(w->env, 1 << 20), value[SFS_FILEEXT_BYTES];
    uint32_t raw, at = 0;
    struct sfs_batch *batch;
    struct sfs_tx tx;
    struct items old;
    const struct sfs_piece *pieces;
    size_t kept;
    /* File 0 becomes the content of a larger version, in two halves with the disk away between them. */
    uint32_t version = ++c->next;
    while (file_size(0, version) < 600000)
        version = ++c->next;
    uint32_t size = file_size(0, version);
    file_bytes(0, version, data, size);
    MUST(w, sfs_batch_begin(s, 0, &batch));
    for (; at < 20000; at += raw)
        MUST(w, sfs_batch_add(batch, data + at, 20000 - at, TREE, 1000, at, &raw));
    if (c->swallow) /* it goes by itself, and no commit closes the group before it is back */
        MUST(w, sfs_member_offline(s->pool, 2, &info));
    else
        MUST(w, sfs_care_offline(s, 2, &info));
    for (; at < size; at += raw)
        MUST(w, sfs_batch_add(batch, data + at, size - at, TREE, 1000, at, &raw));
    bring_back(w, s);
    take_care(w, s);
    NEED_EQ(w, members_complete(s->pool), sim_farm_count(w->farm) - 1); /* not before that row is live */
    NEED(w, s->care->retry_soon);
    s->care->retry_soon = false;
    MUST(w, sfs_batch_end(batch, true, &kept, &pieces));
    sfs_tx_init(&tx, s);
    items_of(w, s, 0, &old);
    for (unsigned i = 0; i < old.count; i++) {
        sfs_tx_extent_ref(&tx, old.values[i].id, -1, -(int64_t)old.values[i].length);
        sfs_tx_delete(&tx, TREE, old.keys[i]);
    }
    at = 0;
    for (size_t i = 0; i < kept; i++, at += raw) {
        struct sfs_fileext_value v = {pieces[i].id, 0, pieces[i].raw};
        raw = pieces[i].raw;
        sfs_fileext_encode(&v, value);
        sfs_tx_extent_add(&tx, &pieces[i], 1, raw);
        sfs_tx_put(&tx, TREE, item_key(0, at), value, sizeof value);
    }
    MUST(w, sfs_tx_commit(&tx));
    sfs_tx_deinit(&tx);
    sfs_batch_free(batch);
    c->version[0] = version;
    take_care(w, s);
    NEED_EQ(w, members_complete(s->pool), sim_farm_count(w->farm));
    sfs_free(w->env, data);
    sync_and_close(w, s);
}

static void waits_for_rows_in_flight(void)
{
    for (unsigned disks = 2; disks <= 9; disks++) {
        struct world w;
        struct content c = {{0}, 0, 0, 0, "", disks > 5};
        world_init(&w, test_seed());
        add_disks(&w, disks > 5 ? disks - 4 : disks, 96 * MIB);
        live(&w, fill_pool, &c);
        live(&w, row_in_flight, &c);
        live(&w, sound, &c);
        world_deinit(&w);
    }
}

/* --- back in another opening, everything on it lost or not --- */

static void write_without(struct world *w, void *arg)
{
    struct sfs_pool_open how = {.probe = sfs_store_probe, .degraded = true};
    struct sfs_pool *pool = must_open(w, &how, ALL_DISKS);
    struct sfs_store_options o = {.cache_bytes = 1 << 20, .commit_seconds = UINT32_MAX, .no_background = true};
    struct sfs_store *s;
    struct scalefs_error_info info = {0, ""};
    MUST(w, sfs_store_open(w->env, pool, &o, &s, &info));
    write_some(w, s, arg, 15);
    sync_and_close(w, s);
}

static void goes_on_after_an_opening(void)
{
    for (unsigned disks = 3; disks <= 5; disks++) {
        struct world w;
        struct content c = {{0}, 0, 0, 0, "", 0};
        world_init(&w, test_seed());
        add_disks(&w, disks, 64 * MIB);
        live(&w, fill_pool, &c);
        sim_disk_pull(sim_farm_disk(w.farm, 0));
        live(&w, write_without, &c);
        sim_disk_return(sim_farm_disk(w.farm, 0));
        live(&w, come_back, &c);
        live(&w, sound, &c);
        world_deinit(&w);
    }
}

/* --- while others write, with the power going --- */

struct writer {
    struct world *w;
    struct sfs_store *s;
    struct content *c;
    bool stop;
};

static void writing(void *arg)
{
    struct writer *x = arg;
    while (!x->stop) {
        write_some(x->w, x->s, x->c, 2);
        MUST(x->w, sfs_store_sync(x->s));
    }
}

static void in_and_out(struct world *w, void *arg)
{
    struct writer x = {.w = w, .c = arg, .s = open_store(w, ALL_DISKS, true)};
    struct scalefs_error_info info = {0, ""};
    struct sfs_task *task;
    MUST(w, sfs_task_start(w->env, "writer", writing, &x, &task));
    for (unsigned round = 0; round < 4; round++) {
        unsigned which = (unsigned)(prng_next(&w->prng) % sim_farm_count(w->farm));
        struct sim_disk *d = sim_farm_disk(w->farm, which);
        struct sfs_disk *disk;
        sfs_task_sleep(w->env, 50000000);
        if (prng_next(&w->prng) % 2) {
            MUST(w, sfs_care_offline(x.s, (uint16_t)(which + 1), &info));
            sfs_task_sleep(w->env, 300000000);
        } else {
            sim_disk_pull(d);
            sfs_task_sleep(w->env, 300000000);
            sim_disk_return(d);
            MUST(w, sfs_member_offline(x.s->pool, (uint16_t)(which + 1), &info));
        }
        MUST(w, sim_disk_open(d, w->env, &disk));
        MUST(w, sfs_care_online(x.s, disk, &info));
        while (members_complete(x.s->pool) < sim_farm_count(w->farm))
            sfs_task_sleep(w->env, 10000000);
    }
    x.stop = true;
    sfs_task_join(w->env, task);
    while (!sfs_care_idle(x.s))
        sfs_task_sleep(w->env, 10000000);
    sync_and_close(w, x.s);
}

static void misses_nothing_while_others_write(void)
{
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct world w;
        struct content c = {{0}, 0, 0, 0, "", 0};
        world_init(&w, test_seed() * 100 + seed);
        add_disks(&w, 3 + (unsigned)seed % 3, 96 * MIB);
        live(&w, fill_pool, &c);
        live(&w, in_and_out, &c);
        live(&w, sound, &c);
        world_deinit(&w);
    }
}

/* --- refusals --- */

static void refuse(struct world *w, void *arg)
{
    (void)arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    MUST(w, sfs_care_offline(s, 1, &info));
    NEED_EQ(w, sfs_care_offline(s, 2, &info), SCALEFS_E_BUSY);
    NEED(w, strstr(info.text, "Disk 2 cannot go offline"));
    NEED_EQ(w, sfs_members_online(s->pool), 2);
    NEED_EQ(w, sfs_care_offline(s, 77, &info), SCALEFS_E_NOENT);
    sync_and_close(w, s);
}

static void refuses_what_would_lose_reach(void)
{
    struct world w;
    struct content c = {{0}, 0, 0, 0, "", 0};
    world_init(&w, test_seed());
    add_disks(&w, 3, 64 * MIB);
    live(&w, fill_pool, &c);
    live(&w, refuse, &c);
    world_deinit(&w);
}

/* --- nothing is lost that an absent disk has --- */

static void read_without_disks(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_extent extents[FILES];
    struct items items;
    uint8_t *buf = sfs_alloc(w->env, SFS_EXTENT_MAX);
    unsigned landed = 0, rows = 0;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    write_some(w, s, c, 20);
    MUST(w, sfs_store_sync(s));
    uint64_t ids[FILES];
    for (uint32_t file = 0; file < FILES; file++) {
        items_of(w, s, file, &items);
        ids[file] = items.count ? items.values[0].id : 0;
        if (items.count)
            MUST(w, sfs_tree_extent(s, ids[file], &extents[file]));
    }
    for (uint16_t i = 1; i <= 3; i++)
        MUST(w, sfs_member_offline(s->pool, i, NULL));
    for (uint32_t file = 0; file < FILES; file++) {
        if (!ids[file])
            continue;
        const struct sfs_group *g = sfs_group_of(s->pool, extents[file].place.group);
        landed += g->record.class == SFS_CLASS_LANDING;
        rows += g->record.class == SFS_CLASS_DATA;
        NEED(w, extents[file].stored <= SFS_EXTENT_MAX);
        NEED_EQ(w, sfs_read_stored(s, ids[file], &extents[file], buf), SCALEFS_E_SUSPENDED);
    }
    NEED(w, landed && rows);
    sfs_free(w->env, buf);
    (void)sfs_store_close(s, false);
}

static void waits_for_what_is_absent(void)
{
    struct world w;
    struct content c = {{0}, 0, 0, 0, "", 0};
    world_init(&w, test_seed());
    add_disks(&w, 3, 96 * MIB);
    live(&w, fill_pool, &c);
    live(&w, read_without_disks, &c);
    world_deinit(&w);
}

/* --- more went than the pool bears, while what was written last was in their caches --- */

static void too_many(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    uint64_t committed = s->pool->committed;
    bool lose = c->swallow == 2; /* on both of the disks that went: what one lost, others have */
    struct content synced = *c;
    for (unsigned i = 0; i < c->swallow; i++)
        sim_disk_lose_writes(sim_farm_disk(w->farm, i), 1u << 30);
    write_some(w, s, c, 20);
    for (unsigned i = 0; i < 2; i++) {
        sim_disk_lose_writes(sim_farm_disk(w->farm, i), 0);
        MUST(w, sfs_member_offline(s->pool, (uint16_t)(i + 1), &info));
    }
    NEED(w, s->pool->waits && s->pool->cut_off);
    NEED(w, !sfs_care_step(s));
    NEED_EQ(w, sfs_store_sync(s), SCALEFS_E_SUSPENDED);
    for (unsigned i = 0; i < 2; i++) {
        struct sfs_disk *disk;
        MUST(w, sim_disk_open(sim_farm_disk(w->farm, i), w->env, &disk));
        MUST(w, sfs_care_online(s, disk, &info));
    }
    NEED(w, !s->pool->waits && s->pool->suspended);
    NEED_EQ(w, sfs_store_sync(s), SCALEFS_E_SUSPENDED);
    take_care(w, s);
    if (lose) {
        NEED(w, s->pool->suspended && s->care->proof.failed);
        NEED_EQ(w, s->pool->committed, committed); /* nothing that is not there was committed */
        *c = synced;
        (void)sfs_store_close(s, false);
        return;
    }
    NEED(w, !s->pool->suspended);
    MUST(w, sfs_store_sync(s));
    NEED_EQ(w, members_complete(s->pool), sim_farm_count(w->farm));
    NEED_EQ(w, s->pool->config.extents_lost, 0);
    verify_all(w, s, c);
    sync_and_close(w, s);
}

static void goes_on_when_nothing_was_lost(void)
{
    for (unsigned lose = 0; lose < 3; lose++)
        for (unsigned disks = 2; disks <= 4; disks++) {
            struct world w;
            struct content c = {{0}, 0, 0, 0, "", lose};
            world_init(&w, test_seed());
            add_disks(&w, disks, 96 * MIB);
            live(&w, fill_pool, &c);
            live(&w, too_many, &c);
            live(&w, sound, &c);
            world_deinit(&w);
        }
}

/* One copy is on a disk that is away, the others rotted: nothing is lost before that disk has been asked. */
static void read_without_one(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info;
    struct items items;
    struct sfs_extent e = {0};
    uint64_t id = 0;
    uint8_t *buf = sfs_alloc(w->env, SFS_EXTENT_MAX);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    write_some(w, s, c, 20);
    MUST(w, sfs_store_sync(s));
    for (uint32_t file = 0; file < FILES && !id; file++) {
        items_of(w, s, file, &items);
        if (!items.count)
            continue;
        MUST(w, sfs_tree_extent(s, items.values[0].id, &e));
        if (sfs_group_of(s->pool, e.place.group)->record.class == SFS_CLASS_LANDING && e.stored > 2 * SIM_PAGE)
            id = items.values[0].id;
    }
    NEED(w, id);
    struct sfs_group_record g;
    struct sfs_target targets[SFS_COLUMNS_MAX];
    sfs_store_lock(s);
    NEED(w, sfs_group_resolve(s->pool, e.place.group, 0, 1, &g, targets));
    sfs_store_unlock(s);
    uint16_t away = g.columns[0].disk;
    for (unsigned i = 1; i <= g.m; i++) {
        uint64_t at = sfs_unit_offset(&g, &targets[i], 0) + e.place.offset;
        for (uint64_t page = at / SIM_PAGE * SIM_PAGE; page < at + e.stored; page += SIM_PAGE)
            sim_disk_rot(sim_farm_disk(w->farm, g.columns[i].disk - 1u), page, SIM_PAGE);
    }
    MUST(w, sfs_care_offline(s, away, &info));
    NEED_EQ(w, sfs_read_stored(s, id, &e, buf), SCALEFS_E_SUSPENDED);
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    take_care(w, s);
    NEED_EQ(w, s->pool->config.extents_lost, 0);
    struct sfs_disk *disk;
    MUST(w, sim_disk_open(sim_farm_disk(w->farm, away - 1u), w->env, &disk));
    MUST(w, sfs_care_online(s, disk, &info));
    MUST(w, sfs_tree_extent(s, id, &e));
    MUST(w, sfs_read_stored(s, id, &e, buf));
    take_care(w, s);
    NEED_EQ(w, s->pool->config.extents_lost, 0);
    sfs_free(w->env, buf);
    sync_and_close(w, s);
}

static void the_last_copy_may_be_away(void)
{
    struct world w;
    struct content c = {{0}, 0, 0, 0, "", 0};
    world_init(&w, test_seed());
    add_disks(&w, 3, 96 * MIB);
    live(&w, fill_pool, &c);
    live(&w, read_without_one, &c);
    live(&w, sound, &c);
    world_deinit(&w);
}

/* --- memory --- */

static const struct sfs_env_ops *good_env_ops;

/* No row can be pinned, for want of memory. */
static void *no_pins(struct sfs_env *env, size_t bytes, size_t align)
{
    return bytes == 8 * sizeof(struct sfs_row_pin) ? NULL : good_env_ops->alloc(env, bytes, align);
}

static void pay_without_memory(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_env_ops ops;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    NEED(w, !sfs_member_of(s->pool, 2)->complete);
    NEED_EQ(w, s->row_pin_cap, 0);
    MUST(w, sfs_vec_reserve(w->env, &s->care->owed.done, &s->care->owed.done_cap, 64, sizeof *s->care->owed.done));
    good_env_ops = w->env->ops;
    ops = *good_env_ops;
    ops.alloc = no_pins;
    w->env->ops = &ops;
    for (unsigned i = 0; i < 100; i++)
        (void)sfs_care_owed_step(s->care);
    w->env->ops = good_env_ops;
    NEED(w, !sfs_member_of(s->pool, 2)->complete);
    s->care->block_count = 0;
    take_care(w, s);
    NEED(w, sfs_member_of(s->pool, 2)->complete);
    sync_and_close(w, s);
}

static void write_without_one(struct world *w, void *arg)
{
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    lose_the_cache(w, s, arg);
    sync_and_close(w, s);
}

/* A group that cannot be held is not one that is gone. */
static void nothing_is_called_paid_for_want_of_memory(void)
{
    struct world w;
    struct content c = {{0}, 0, 0, 0, "", 0};
    world_init(&w, test_seed());
    add_disks(&w, 3, 64 * MIB);
    live(&w, fill_pool, &c);
    live(&w, write_without_one, &c);
    live(&w, pay_without_memory, &c);
    live(&w, sound, &c);
    world_deinit(&w);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(pays_what_is_owed);
    RUN(goes_on_after_an_opening);
    RUN(rewrites_what_a_cache_lost);
    RUN(pays_nodes_of_the_map_that_an_opening_forgot);
    RUN(pays_logs_that_cannot_be_packed);
    RUN(packs_a_log_with_a_torn_end_without_its_last_disk);
    RUN(tries_again_what_could_not_be_read);
    RUN(waits_for_rows_in_flight);
    RUN(misses_nothing_while_others_write);
    RUN(refuses_what_would_lose_reach);
    RUN(waits_for_what_is_absent);
    RUN(goes_on_when_nothing_was_lost);
    RUN(the_last_copy_may_be_away);
    RUN(nothing_is_called_paid_for_want_of_memory);
    return TEST_END();
}
