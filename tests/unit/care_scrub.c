/* Scrub repairs what redundancy can repair, everywhere, counts what is lost, and can be paused, stopped and resumed. */
#include "care_fixture.h"
#include "store/move.h"

static void fill_pool(struct world *w, void *arg)
{
    make_pool(w, 1 + (sim_farm_count(w->farm) > 4), 0);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    write_some(w, s, arg, 70);
    sync_and_close(w, s);
}

static void begin(struct world *w, struct content *c, unsigned disks)
{
    memset(c, 0, sizeof *c);
    world_init(w, test_seed());
    add_disks(w, disks, 64 * MIB);
    live(w, fill_pool, c);
}

static void scrub(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    uint64_t before = s->pool->config.extents_repaired;
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    NEED(w, s->pool->scrub.id && s->pool->scrub.bytes_total > 0);
    take_care(w, s);
    NEED_EQ(w, s->pool->scrub.id, 0);
    c->swallow = (unsigned)(s->pool->config.extents_repaired - before);
    sync_and_close(w, s);
}

static void sound(struct world *w, void *arg)
{
    must_be_sound(w, arg, ALL_DISKS);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    verify_all(w, s, arg);
    sync_and_close(w, s);
}

/* Rot everywhere on `count` disks, but in the heads, of which one copy each must be left. */
static void rot(struct world *w, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        struct sim_disk *d = sim_farm_disk(w->farm, i);
        for (unsigned n = 0; n < 300; n++)
            sim_disk_rot(d, 4 * MIB + prng_next(&w->prng) % (56 * MIB) / SIM_PAGE * SIM_PAGE, SIM_PAGE);
        sim_disk_rot(d, SFS_LABEL_OFFSET_0, SIM_PAGE);
    }
}

static void repairs_rot_of_whole_disks(void)
{
    for (unsigned disks = 2; disks <= 6; disks++) {
        struct world w;
        struct content c;
        begin(&w, &c, disks);
        rot(&w, 0, disks > 4 ? 2 : 1);
        live(&w, scrub, &c);
        CHECK(c.swallow > 0);
        live(&w, sound, &c);
        live(&w, scrub, &c);
        CHECK_EQ(c.swallow, 0); /* nothing was left to repair */
        world_deinit(&w);
    }
}

/* The whole data area of one disk is unreadable. */
static void repairs_unreadable_sectors(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 4);
    sim_disk_make_unreadable(sim_farm_disk(w.farm, 2), 4 * MIB, 48 * MIB);
    live(&w, scrub, &c);
    live(&w, sound, &c);
    world_deinit(&w);
}

/* --- lost --- */

static void count_named(void *context, const uint64_t *ids, size_t count)
{
    (void)ids;
    *(size_t *)context += count;
}

static void count_lost(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    size_t named = 0;
    sfs_store_set_namer(s, count_named, &named);
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    take_care(w, s);
    NEED_EQ(w, named, s->pool->config.extents_lost); /* each once, at the end */
    sfs_store_set_namer(s, NULL, NULL);
    unsigned lost = 0;
    for (uint32_t i = 0; i < FILES; i++)
        verify_file(w, s, c, i, &lost);
    enum scalefs_pool_state state;
    unsigned left;
    char action[300];
    sfs_care_state(s, &state, &left, action, sizeof action);
    NEED(w, lost > 0 && s->pool->config.extents_lost >= lost);
    NEED_EQ(w, state, SCALEFS_DAMAGED);
    NEED(w, strstr(action, "Restore"));
    /* The files that are lost are written anew: the next scrub finds nothing lost. */
    for (uint32_t i = 0; i < FILES; i++)
        put_file(w, s, c, i, ++c->next);
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    take_care(w, s);
    NEED_EQ(w, s->pool->config.extents_lost, 0);
    sfs_care_state(s, &state, &left, action, sizeof action);
    NEED_EQ(w, state, SCALEFS_HEALTHY);
    sync_and_close(w, s);
}

struct target {
    struct content content;
    unsigned disks[2];
    uint64_t offsets[2];
    uint32_t unit;
};

/* Two columns of the row that holds a file's first extent. */
static void find_row(struct world *w, void *arg)
{
    struct target *t = arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    bool found = false;
    for (uint32_t file = 0; file < FILES && !found; file++) {
        struct items items;
        struct sfs_extent e;
        items_of(w, s, file, &items);
        if (!items.count)
            continue;
        MUST(w, sfs_tree_extent(s, items.values[0].id, &e));
        const struct sfs_group *g = sfs_group_of(s->pool, e.place.group);
        if (g->record.class != SFS_CLASS_DATA)
            continue;
        uint64_t column = e.place.offset % sfs_group_row_bytes(&g->record) / sfs_group_unit(&g->record);
        unsigned columns[2] = {(unsigned)column, g->record.k};
        for (unsigned i = 0; i < 2; i++) {
            const struct sfs_member *m = sfs_member_of(s->pool, g->record.columns[columns[i]].disk);
            t->disks[i] = sim_disk_index(sim_disk_of(m->disk));
            t->unit = sfs_group_unit(&g->record);
            t->offsets[i] = m->record.data_offset + (uint64_t)g->record.columns[columns[i]].atom * SFS_ATOM_BYTES +
                            SFS_BLOCK + (uint64_t)sfs_group_row_of(&g->record, e.place.offset) * t->unit;
        }
        found = true;
    }
    NEED(w, found);
    s->pool->read_only = true;
    sync_and_close(w, s);
}

static const struct sfs_env_ops *good_env_ops;
static size_t too_much;

static void *alloc_less(struct sfs_env *env, size_t bytes, size_t align)
{
    return bytes == too_much ? NULL : good_env_ops->alloc(env, bytes, align);
}

/* Perhaps some set of columns would have given it. */
static void read_without_memory(struct world *w, void *arg)
{
    struct target *t = arg;
    struct sfs_env_ops ops;
    unsigned lost = 0, short_of = 0;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    good_env_ops = w->env->ops;
    ops = *good_env_ops;
    ops.alloc = alloc_less;
    too_much = (size_t)2 * t->unit;
    for (uint32_t file = 0; file < FILES; file++) {
        struct items items;
        items_of(w, s, file, &items);
        for (unsigned i = 0; i < items.count; i++) {
            uint8_t got[512];
            uint32_t len = items.values[i].length < 512 ? (uint32_t)items.values[i].length : 512;
            struct sfs_read r = {.id = items.values[i].id, .offset = items.values[i].offset, .len = len, .buf = got};
            lost += sfs_store_read(s, &r, 1) == SCALEFS_E_CORRUPT;
            w->env->ops = &ops;
            short_of += sfs_store_read(s, &r, 1) == SCALEFS_E_NOMEM;
            w->env->ops = good_env_ops;
        }
    }
    NEED(w, lost > 0);
    NEED_EQ(w, short_of, lost);
    s->pool->read_only = true;
    sync_and_close(w, s);
}

static void counts_what_is_lost(void)
{
    struct world w;
    struct target t;
    begin(&w, &t.content, 3);
    live(&w, find_row, &t);
    for (unsigned i = 0; i < 2; i++)
        sim_disk_rot(sim_farm_disk(w.farm, t.disks[i]), t.offsets[i], t.unit);
    live(&w, read_without_memory, &t);
    live(&w, count_lost, &t.content);
    world_deinit(&w);
}

/* --- pause, resume, stop --- */

static void pause_and_leave(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    take_care(w, s); /* logs are packed first */
    NEED_EQ(w, sfs_care_scrub(s, SCALEFS_SCRUB_PAUSE, &info), SCALEFS_E_NOENT);
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    NEED_EQ(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info), SCALEFS_E_BUSY);
    NEED(w, sfs_care_step(s));
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_PAUSE, &info));
    NEED(w, !sfs_care_scrub_step(s->care));
    struct scalefs_task_status tasks[4];
    size_t count;
    sfs_care_tasks(s, tasks, 4, &count);
    NEED(w, count == 1 && tasks[0].kind == SCALEFS_TASK_SCRUB && tasks[0].state == SCALEFS_TASK_PAUSED);
    NEED(w, tasks[0].bytes_done > 0 && tasks[0].bytes_done < tasks[0].bytes_total);
    NEED(w, sfs_care_idle(s));
    c->next = (uint32_t)s->pool->scrub.bytes_done;
    sync_and_close(w, s);
}

static void resume(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    NEED(w, s->pool->scrub.id && s->pool->scrub.state == 1 && s->pool->scrub.bytes_done == c->next);
    NEED(w, s->pool->scrub.group > 0 || s->pool->scrub.row > 0);
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_RESUME, &info));
    NEED(w, !sfs_care_idle(s));
    uint64_t total = s->pool->scrub.bytes_total, done = 0;
    for (unsigned i = 0; s->pool->scrub.id; i++) {
        done = s->pool->scrub.bytes_done;
        NEED(w, sfs_care_step(s) && i < 1000);
    }
    NEED(w, done <= total && done > total / 2); /* not everything again */
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_STOP, &info));
    NEED(w, !s->pool->scrub.id);
    sync_and_close(w, s);
}

static void pauses_and_goes_on_after_an_opening(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 4);
    live(&w, pause_and_leave, &c);
    live(&w, resume, &c);
    world_deinit(&w);
}

/* --- disks that go and come back --- */

static void take_back(struct world *w, struct sfs_store *s, unsigned which)
{
    struct scalefs_error_info info = {0, ""};
    struct sfs_disk *disk;
    MUST(w, sim_disk_open(sim_farm_disk(w->farm, which), w->env, &disk));
    MUST(w, sfs_care_online(s, disk, &info));
}

/* The scrub is blocked, and says what it has not read. */
static void waits_for(struct world *w, struct sfs_store *s, const char *which)
{
    struct scalefs_task_status tasks[4];
    size_t count;
    sfs_care_tasks(s, tasks, 4, &count);
    NEED(w, count == 1 && tasks[0].kind == SCALEFS_TASK_SCRUB && tasks[0].state == SCALEFS_TASK_BLOCKED);
    NEED(w, strstr(tasks[0].reason, which));
    NEED(w, tasks[0].bytes_done < tasks[0].bytes_total);
    NEED(w, sfs_care_idle(s));
}

/* Rot on a disk that is away when the scrub passes; swallow: 0: it comes back while the scrub goes on, 1: later, 2: after another opening. */
static void scrub_without(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    take_care(w, s);
    MUST(w, sfs_care_offline(s, 2, &info));
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    if (c->swallow == 0) {
        for (unsigned i = 0; i < 3; i++)
            NEED(w, sfs_care_step(s) && s->pool->scrub.id);
        take_back(w, s, 1);
    }
    take_care(w, s);
    if (c->swallow) {
        waits_for(w, s, "of disk 2, which is absent, could not be read");
        MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info)); /* anew, not refused: nobody can be told to wait for it */
        take_care(w, s);
        waits_for(w, s, "disk 2");
    }
    if (c->swallow == 2) {
        sync_and_close(w, s);
        s = open_store(w, ALL_DISKS, false);
        NEED(w, s->pool->scrub.id);
        take_care(w, s);
    } else if (c->swallow) {
        take_back(w, s, 1);
        take_care(w, s);
    }
    NEED_EQ(w, s->pool->scrub.id, 0);
    sync_and_close(w, s);
}

static void reads_what_was_absent(void)
{
    for (unsigned when = 0; when < 3; when++) {
        struct world w;
        struct content c;
        begin(&w, &c, 4);
        rot(&w, 1, 1);
        c.swallow = when;
        live(&w, scrub_without, &c);
        live(&w, sound, &c);
        world_deinit(&w);
    }
}

/* --- labels --- */

static void open_and_care(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    uint64_t before = s->pool->config.extents_repaired;
    take_care(w, s);
    c->swallow = (unsigned)(s->pool->config.extents_repaired - before);
    sync_and_close(w, s);
}

/* Two copies more of three would be the end of the disk: the one that is damaged is not left so. */
static void a_damaged_label_is_mended_at_opening(void)
{
    const uint64_t places[] = {SFS_LABEL_OFFSET_0, SFS_LABEL_OFFSET_1, 64 * MIB - SFS_BLOCK};
    for (unsigned i = 0; i < 3; i++) {
        struct world w;
        struct content c;
        begin(&w, &c, 3);
        sim_disk_rot(sim_farm_disk(w.farm, 1), places[i], SIM_PAGE);
        live(&w, open_and_care, &c);
        CHECK_EQ(c.swallow, 1);
        live(&w, open_and_care, &c);
        CHECK_EQ(c.swallow, 0);
        live(&w, sound, &c);
        world_deinit(&w);
    }
}

/* --- while others write --- */

static void with_writers(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info;
    struct sfs_store *s = open_store(w, ALL_DISKS, true);
    for (unsigned round = 0; round < 3; round++) {
        MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
        while (!sfs_care_idle(s)) {
            write_some(w, s, c, 3);
            MUST(w, sfs_store_sync(s));
        }
    }
    NEED_EQ(w, s->pool->config.extents_repaired, 0); /* nothing right is taken for wrong */
    NEED_EQ(w, s->pool->config.extents_lost, 0);
    for (unsigned i = 0; i < s->pool->member_count; i++)
        NEED_EQ(w, s->pool->members[i].record.checksum_errors, 0);
    sync_and_close(w, s);
}

static void takes_nothing_for_wrong_while_others_write(void)
{
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct world w;
        struct content c = {{0}, 0, 0, 0, "", 0};
        world_init(&w, test_seed() + seed);
        add_disks(&w, 2 + (unsigned)seed % 4, 64 * MIB);
        live(&w, fill_pool, &c);
        live(&w, with_writers, &c);
        live(&w, sound, &c);
        world_deinit(&w);
    }
}

/* --- nodes that have a place and are not written --- */

/* Disks whose files have no room to grow: each write fails, and nobody goes offline. */
static const struct sfs_disk_ops *good_ops;

static void submit_full(struct sfs_disk *disk, struct sfs_io *io)
{
    if (io->op == SFS_IO_WRITE)
        sfs_io_complete(io, SCALEFS_E_BACKING_FULL);
    else
        good_ops->submit(disk, io);
}

static void make_full(struct sfs_store *s, struct sfs_disk_ops *ops, bool full)
{
    for (unsigned i = 0; i < s->pool->member_count; i++) {
        struct sfs_disk *d = s->pool->members[i].disk;
        if (full) {
            good_ops = d->ops;
            *ops = *good_ops;
            ops->submit = submit_full;
        }
        d->ops = full ? ops : good_ops;
    }
}

/* A scrub that could not be recorded is none: what is known to be lost is so since the one before. */
static void begin_in_vain(struct world *w, void *arg)
{
    (void)arg;
    struct scalefs_error_info info;
    struct sfs_disk_ops ops;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    take_care(w, s);
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    take_care(w, s);
    uint64_t lost = s->pool->config.extents_lost;
    NEED(w, lost > 0 && sfs_care_lost_now(s->care, 0) == lost);
    make_full(s, &ops, true);
    NEED_EQ(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info), SCALEFS_E_BACKING_FULL);
    make_full(s, &ops, false);
    NEED_EQ(w, s->pool->scrub.id, 0);
    NEED_EQ(w, sfs_care_lost_now(s->care, 0), lost);
    sync_and_close(w, s);
}

/* What is lost moves on behind the place of the scrub that has found it, and is found again there. */
static void move_and_scrub(struct world *w, void *arg)
{
    (void)arg;
    struct scalefs_error_info info;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    size_t moved = 0, all = 0;
    take_care(w, s);
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    while (!sfs_care_lost_now(s->care, 0))
        NEED(w, sfs_care_scrub_step(s->care) && s->pool->scrub.id);
    for (uint32_t i = 0; i < s->care->scrub.group; i++) {
        struct sfs_group *g = sfs_group_of(s->pool, i);
        if (!g || g->record.class != SFS_CLASS_DATA)
            continue;
        sfs_group_evacuate(s, g);
        MUST(w, sfs_move_stranded(s->care, i, &moved));
        all += moved;
    }
    NEED(w, all > 0);
    take_care(w, s);
    NEED_EQ(w, s->pool->scrub.id, 0);
    NEED_EQ(w, s->pool->config.extents_lost, s->care->lost_ids.count);
    sync_and_close(w, s);
}

static void counts_each_extent_once(void)
{
    struct world w;
    struct target t;
    begin(&w, &t.content, 3);
    live(&w, find_row, &t);
    for (unsigned i = 0; i < 2; i++)
        sim_disk_rot(sim_farm_disk(w.farm, t.disks[i]), t.offsets[i], t.unit);
    live(&w, begin_in_vain, NULL);
    live(&w, move_and_scrub, NULL);
    world_deinit(&w);
}

/* Looks, while the checkpoint that fails is writing, at a row that it gave to a node. */
struct looker {
    struct world *w;
    struct sfs_store *s;
    bool looked;
};

static void look_at_a_new_place(void *arg)
{
    struct looker *l = arg;
    struct sfs_group_record g;
    struct sfs_row_image im;
    size_t cursor = 0;
    uint64_t key;
    void *node;
    bool live;
    sfs_store_lock(l->s);
    while (!l->s->sending) {
        sfs_store_unlock(l->s);
        sfs_task_sleep(l->w->env, 1000);
        sfs_store_lock(l->s);
    }
    NEED(l->w, sfs_map_next(&l->s->unwritten, &cursor, &key, &node));
    bool full = l->s->pool->members[0].disk->ops != good_ops;
    g = sfs_group_of(l->s->pool, (uint32_t)(key >> 32))->record;
    sfs_store_unlock(l->s);
    MUST(l->w, sfs_care_pin_live(l->s, &g, (uint32_t)key, &live));
    NEED(l->w, live == !full); /* a row that is being written is waited for */
    if (live) {
        MUST(l->w, sfs_row_read(l->s->pool, g.group, (uint32_t)key, 1, &im));
        NEED(l->w, best_node(l->w, l->s, &im) >= 0);
        sfs_row_image_free(l->s->pool, &im);
        sfs_care_unpin(l->s, &g, (uint32_t)key);
    }
    l->looked = true;
}

/* Keys for several leaves come, or go. */
static void many_keys(struct world *w, struct sfs_store *s, bool come)
{
    static const uint8_t value[SFS_FILEEXT_BYTES];
    for (unsigned i = 0; i < 20; i++) {
        struct sfs_tx tx;
        sfs_tx_init(&tx, s);
        for (unsigned n = 0; n < 50; n++) {
            struct sfs_key key = {100000 + i * 50 + n, SFS_KEY_EXTENT, 0};
            if (come)
                sfs_tx_put(&tx, TREE, key, value, sizeof value);
            else
                sfs_tx_delete(&tx, TREE, key);
        }
        MUST(w, sfs_tx_commit(&tx));
        sfs_tx_deinit(&tx);
    }
}

static void scrub_between(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info;
    struct sfs_disk_ops ops;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    struct looker looker = {w, s, false};
    struct sfs_task *task;
    take_care(w, s); /* logs are packed first */
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    write_some(w, s, c, 20);
    many_keys(w, s, true);
    MUST(w, sfs_task_start(w->env, "looker", look_at_a_new_place, &looker, &task));
    good_ops = s->pool->members[0].disk->ops;
    MUST(w, sfs_store_sync(s));
    sfs_task_join(w->env, task);
    NEED(w, looker.looked);
    many_keys(w, s, true);
    looker.looked = false;
    MUST(w, sfs_task_start(w->env, "looker", look_at_a_new_place, &looker, &task));
    make_full(s, &ops, true);
    NEED_EQ(w, sfs_store_sync(s), SCALEFS_E_BACKING_FULL);
    make_full(s, &ops, false);
    sfs_task_join(w->env, task);
    NEED(w, looker.looked && s->unwritten.count > 0);
    many_keys(w, s, false); /* nodes die that never were written */
    NEED(w, s->dead_count > 0);
    uint32_t end = s->pool->group_cap;
    while (!s->pool->groups[end - 1])
        end--;
    while (s->pool->scrub.group < end) /* all but its end, which makes a checkpoint */
        NEED(w, sfs_care_scrub_step(s->care));
    NEED(w, s->unwritten.count > 0);
    NEED_EQ(w, s->pool->scrub.lost, 0);
    NEED_EQ(w, s->pool->scrub.repaired, 0);
    MUST(w, sfs_store_sync(s));
    NEED_EQ(w, s->unwritten.count, 0);
    take_care(w, s);
    NEED_EQ(w, s->pool->config.extents_lost, 0);
    sync_and_close(w, s);
}

/* --- headers that are being written --- */

static void scrub_beside(struct world *w, void *arg)
{
    (void)arg;
    struct scalefs_error_info info;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    struct sfs_group *g;
    sfs_store_lock(s);
    MUST(w, sfs_group_make(s->pool, SFS_CLASS_METADATA, SFS_FOR_CLEANERS, &g));
    g->in_flight++; /* as a checkpoint does until the headers stand there */
    sfs_store_unlock(s);
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    take_care(w, s);
    NEED_EQ(w, s->pool->scrub.id, 0);
    NEED_EQ(w, s->pool->config.extents_repaired, 0);
    for (unsigned i = 0; i < s->pool->member_count; i++)
        NEED_EQ(w, s->pool->members[i].record.checksum_errors, 0);
    sfs_store_lock(s);
    g->in_flight--;
    sfs_group_free(s->pool, g);
    sfs_store_unlock(s);
    sync_and_close(w, s);
}

static void leaves_headers_alone_that_are_being_written(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 3);
    live(&w, scrub_beside, &c);
    live(&w, sound, &c);
    world_deinit(&w);
}

static void does_not_look_for_nodes_that_are_not_written(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 3);
    live(&w, scrub_between, &c);
    live(&w, sound, &c);
    world_deinit(&w);
}

/* --- numbers that are given again --- */

static void another_group(struct world *w, void *arg)
{
    (void)arg;
    struct scalefs_error_info info;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    struct sfs_scrub_piece piece;
    take_care(w, s);
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    sfs_store_lock(s);
    NEED(w, sfs_scrub_next(s->care, &piece) && piece.row == 0);
    struct sfs_group *g = sfs_group_of(s->pool, piece.g.group);
    MUST(w, sfs_scrub_did(s->care, &piece, 1, 0));
    NEED(w, sfs_scrub_next(s->care, &piece) && piece.row == 1);
    g->record.generation += 1000; /* as if it had been freed, and its number given to another one */
    NEED(w, sfs_scrub_next(s->care, &piece) && piece.g.group == g->record.group && piece.row == 0);
    g->record.generation -= 1000;
    sfs_store_unlock(s);
    sync_and_close(w, s);
}

/* A disk that is joining may be taken back while a scrub runs, and closed. */
static void one_is_joining(struct world *w, void *arg)
{
    (void)arg;
    struct scalefs_error_info info;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    struct sfs_scrub_piece piece;
    uint16_t index;
    unsigned seen = 0;
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    sfs_store_lock(s);
    NEED(w, sfs_scrub_next(s->care, &piece));
    sfs_member_of(s->pool, 2)->unnamed = true;
    for (; sfs_scrub_next_head(s->care, &index); seen++)
        NEED(w, index != 2);
    NEED_EQ(w, seen, 2);
    sfs_member_of(s->pool, 2)->unnamed = false;
    sfs_store_unlock(s);
    take_care(w, s);
    NEED_EQ(w, s->pool->scrub.id, 0);
    sync_and_close(w, s);
}

static void leaves_a_disk_alone_that_is_joining(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 3);
    live(&w, one_is_joining, &c);
    world_deinit(&w);
}

static void begins_at_the_first_row_of_another_group(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 3);
    live(&w, another_group, &c);
    world_deinit(&w);
}

/* --- nothing is counted twice --- */

/* As a scrub that reads pieces up to `row` of a group of which row 5 alone holds something lost. */
static void read_to(struct world *w, struct sfs_store *s, uint64_t lost_in, uint32_t row)
{
    struct sfs_scrub_piece p;
    sfs_store_lock(s);
    NEED(w, sfs_scrub_next(s->care, &p));
    row = row < p.g.rows ? row : p.g.rows;
    MUST(w, sfs_scrub_did(s->care, &p, row, p.g.generation == lost_in && p.row <= 5 && row > 5));
    sfs_store_unlock(s);
}

/* Up to this group, all of those before it. */
static void read_before(struct world *w, struct sfs_store *s, const struct sfs_group *g)
{
    struct sfs_scrub_piece p;
    for (;;) {
        sfs_store_lock(s);
        NEED(w, sfs_scrub_next(s->care, &p));
        sfs_store_unlock(s);
        if (p.g.generation == g->record.generation)
            return;
        read_to(w, s, g->record.generation, UINT32_MAX);
    }
}

static void read_all(struct world *w, struct sfs_store *s, uint64_t lost_in)
{
    struct sfs_scrub_piece p;
    for (unsigned n = 0;; n++) {
        sfs_store_lock(s);
        bool more = sfs_scrub_next(s->care, &p);
        sfs_store_unlock(s);
        NEED(w, n < 1000);
        if (!more)
            return;
        read_to(w, s, lost_in, UINT32_MAX);
    }
}

/* As if the disk had gone, or were back with all that it lacked. */
static void be_behind(struct sfs_store *s, uint16_t index, bool behind)
{
    sfs_store_lock(s);
    struct sfs_member *m = sfs_member_of(s->pool, index);
    m->complete = !behind;
    m->comings += !behind;
    sfs_store_unlock(s);
}

/* The live group with a disk that the other one does not have. */
static struct sfs_group *group_beside(struct world *w, struct sfs_store *s, const struct sfs_group *other, uint16_t *disk)
{
    for (uint32_t i = other ? other->record.group + 1 : 0; i < s->pool->group_cap; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (!g || !g->count.live || g->record.rows < 20 || (!other && g->record.k > 1))
            continue;
        for (unsigned c = 0; c < (unsigned)g->record.k + g->record.m; c++) {
            *disk = g->record.columns[c].disk;
            if (!other || !sfs_care_has_column(&other->record, *disk))
                return g;
        }
    }
    NEED(w, !"there is one");
    return NULL;
}

/* A scrub stops within a group in which it found something lost, and goes on after an opening; then it has to be read again. */
static void stop_within(struct world *w, void *arg)
{
    struct scalefs_error_info info;
    uint16_t disk;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    take_care(w, s);
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    struct sfs_group *g = group_beside(w, s, NULL, &disk);
    *(uint64_t *)arg = g->record.generation;
    read_before(w, s, g);
    read_to(w, s, g->record.generation, 10);
    NEED_EQ(w, s->care->scrub.lost, 1);
    sfs_store_lock(s);
    s->pool->config_dirty = true;
    sfs_store_unlock(s);
    sync_and_close(w, s);
}

static void go_on_and_miss(struct world *w, void *arg)
{
    uint64_t generation = *(uint64_t *)arg;
    uint16_t disk;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    struct sfs_group *g = group_beside(w, s, NULL, &disk);
    NEED_EQ(w, g->record.generation, generation);
    be_behind(s, disk, true);
    read_before(w, s, g);
    read_to(w, s, generation, UINT32_MAX);
    be_behind(s, disk, false);
    read_all(w, s, generation);
    NEED_EQ(w, s->care->scrub.lost, 1);
    NEED_EQ(w, s->pool->scrub.lost, 1);
    sync_and_close(w, s);
}

/* Two groups were missed; while the second is read again the first can be, too, and is preferred. */
static void turn_to_another(struct world *w, void *arg)
{
    (void)arg;
    struct scalefs_error_info info;
    uint16_t of_first, of_second;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    take_care(w, s);
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    struct sfs_group *first = group_beside(w, s, NULL, &of_first), *second = group_beside(w, s, first, &of_second);
    while (sfs_care_has_column(&second->record, of_first)) {
        unsigned c = 0;
        while (sfs_care_has_column(&second->record, first->record.columns[c].disk))
            NEED(w, ++c < (unsigned)first->record.k + first->record.m);
        of_first = first->record.columns[c].disk;
    }
    uint64_t lost_in = second->record.generation;
    be_behind(s, of_first, true);
    read_before(w, s, first);
    read_to(w, s, lost_in, UINT32_MAX);
    be_behind(s, of_first, false);
    read_before(w, s, second);
    be_behind(s, of_second, true);
    read_to(w, s, lost_in, UINT32_MAX);
    be_behind(s, of_first, true);
    for (uint32_t i = second->record.group + 1; i < s->pool->group_cap; i++)
        if (s->pool->groups[i])
            read_to(w, s, lost_in, UINT32_MAX);
    be_behind(s, of_second, false);
    read_before(w, s, second);
    read_to(w, s, lost_in, 10);
    be_behind(s, of_first, false);
    read_all(w, s, lost_in);
    NEED_EQ(w, s->care->scrub.lost, 1);
    NEED_EQ(w, s->pool->scrub.lost, 1); /* and so is recorded */
    sync_and_close(w, s);
}

static void counts_nothing_twice(void)
{
    struct world w;
    struct content c;
    uint64_t generation = 0;
    begin(&w, &c, 4);
    live(&w, stop_within, &generation);
    live(&w, go_on_and_miss, &generation);
    live(&w, turn_to_another, NULL);
    world_deinit(&w);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(repairs_rot_of_whole_disks);
    RUN(repairs_unreadable_sectors);
    RUN(counts_what_is_lost);
    RUN(counts_nothing_twice);
    RUN(counts_each_extent_once);
    RUN(reads_what_was_absent);
    RUN(a_damaged_label_is_mended_at_opening);
    RUN(pauses_and_goes_on_after_an_opening);
    RUN(begins_at_the_first_row_of_another_group);
    RUN(leaves_a_disk_alone_that_is_joining);
    RUN(takes_nothing_for_wrong_while_others_write);
    RUN(leaves_headers_alone_that_are_being_written);
    RUN(does_not_look_for_nodes_that_are_not_written);
    return TEST_END();
}
