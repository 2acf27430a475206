/* Scrub counts what is lost, each extent once, and nothing that is not. */
#include "care_scrub.h"
#include "store/move.h"

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

static void does_not_look_for_nodes_that_are_not_written(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 3);
    live(&w, scrub_between, &c);
    live(&w, sound, &c);
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
    RUN(counts_what_is_lost);
    RUN(counts_nothing_twice);
    RUN(counts_each_extent_once);
    RUN(does_not_look_for_nodes_that_are_not_written);
    return TEST_END();
}
