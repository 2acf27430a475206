/* The complete check finds nothing on a sound pool, and each kind of damage that is done to one. */
#include "care_fixture.h"

static void fill_pool(struct world *w, void *arg)
{
    struct content *c = arg;
    make_pool(w, 1, 0);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    write_some(w, s, c, 60);
    MUST(w, sfs_store_sync(s));
    write_some(w, s, c, 20);
    sync_and_close(w, s);
}

static void begin(struct world *w, struct content *c, unsigned disks)
{
    memset(c, 0, sizeof *c);
    world_init(w, test_seed());
    add_disks(w, disks, 64 * MIB);
    live(w, fill_pool, c);
}

static void sound(struct world *w, void *arg)
{
    must_be_sound(w, arg, ALL_DISKS);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    verify_all(w, s, arg);
    sync_and_close(w, s);
}

static void finds_nothing_on_a_sound_pool(void)
{
    for (unsigned disks = 2; disks <= 5; disks++) {
        struct world w;
        struct content c;
        begin(&w, &c, disks);
        live(&w, sound, &c);
        world_deinit(&w);
    }
}

/* --- damage on the disks --- */

struct spot {
    unsigned disk;
    uint64_t offset, len;
};

/* Where something of each kind lies. */
struct spots {
    struct content content;
    struct spot label, header, data, parity, node, system_node, landed;
    struct content judged;
};

static struct spot spot_of(struct world *w, struct sfs_store *s, struct sfs_place place, unsigned column, uint32_t len)
{
    (void)w;
    struct sfs_pool *pool = s->pool;
    const struct sfs_group *g = sfs_group_of(pool, place.group);
    struct sfs_member *m = sfs_member_of(pool, g->record.columns[column].disk);
    uint32_t unit = sfs_group_unit(&g->record);
    uint64_t in_row = place.offset % sfs_group_row_bytes(&g->record);
    uint64_t at = m->record.data_offset + (uint64_t)g->record.columns[column].atom * SFS_ATOM_BYTES + SFS_BLOCK +
                  (uint64_t)sfs_group_row_of(&g->record, place.offset) * unit + in_row % unit;
    return (struct spot){sim_disk_index(sim_disk_of(m->disk)), at / SIM_PAGE * SIM_PAGE,
                         (len + SIM_PAGE - 1) / SIM_PAGE * SIM_PAGE};
}

static void find_spots(struct world *w, void *arg)
{
    struct spots *p = arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    bool data = false, landed = false;
    for (uint32_t file = 0; file < FILES; file++) {
        struct items items;
        items_of(w, s, file, &items);
        for (unsigned i = 0; i < items.count; i++) {
            struct sfs_extent e;
            MUST(w, sfs_tree_extent(s, items.values[i].id, &e));
            const struct sfs_group *g = sfs_group_of(s->pool, e.place.group);
            if (g->record.class == SFS_CLASS_DATA && !data) {
                uint64_t column = e.place.offset % sfs_group_row_bytes(&g->record) / sfs_group_unit(&g->record);
                p->data = spot_of(w, s, e.place, (unsigned)column, SIM_PAGE);
                p->parity = spot_of(w, s, e.place, g->record.k, SIM_PAGE);
                struct sfs_member *m = sfs_member_of(s->pool, g->record.columns[0].disk);
                p->header = (struct spot){sim_disk_index(sim_disk_of(m->disk)),
                                          m->record.data_offset + (uint64_t)g->record.columns[0].atom * SFS_ATOM_BYTES,
                                          SIM_PAGE};
                data = true;
            } else if (g->record.class == SFS_CLASS_LANDING && e.stored >= 2 * SIM_PAGE && !landed) {
                p->landed = spot_of(w, s, e.place, 0, e.stored);
                landed = true;
            }
        }
    }
    NEED(w, data && landed);
    sfs_store_lock(s);
    struct sfs_nodeptr map = s->roots.extent_map;
    uint64_t root = s->volumes[0].id;
    sfs_store_unlock(s);
    p->system_node = spot_of(w, s, (struct sfs_place){map.group, map.offset}, 0, SFS_NODE_BYTES);
    struct sfs_extent e;
    MUST(w, sfs_tree_extent(s, root, &e));
    p->node = spot_of(w, s, e.place, 1, SFS_NODE_BYTES);
    p->label = (struct spot){0, SFS_LABEL_OFFSET_1, SIM_PAGE};
    /* Nothing was changed, so nothing is written: the spots stay true. */
    s->pool->read_only = true;
    sync_and_close(w, s);
}

static void judge_life(struct world *w, void *arg)
{
    judge(w, arg, ALL_DISKS);
}

static void damages(struct world *w, const struct spot *spot, struct content *judged, const char *what)
{
    struct sim_disk *d = sim_farm_disk(w->farm, spot->disk);
    uint8_t *before = malloc(spot->len);
    sim_disk_peek(d, spot->offset, before, spot->len);
    sim_disk_rot(d, spot->offset, spot->len);
    live(w, judge_life, judged);
    if (!CHECK(judged->problems >= 1) || !CHECK_EQ(judged->problems, judged->repairable))
        printf("# %s: %s\n", what, judged->first);
    sim_disk_poke(d, spot->offset, before, spot->len);
    free(before);
}

static void finds_damage_of_each_kind(void)
{
    struct world w;
    struct spots p;
    begin(&w, &p.content, 4);
    live(&w, find_spots, &p);
    damages(&w, &p.label, &p.judged, "label");
    damages(&w, &p.header, &p.judged, "column header");
    damages(&w, &p.data, &p.judged, "data");
    damages(&w, &p.parity, &p.judged, "parity");
    damages(&w, &p.node, &p.judged, "node");
    damages(&w, &p.system_node, &p.judged, "node of the map");
    damages(&w, &p.landed, &p.judged, "landed extent");
    live(&w, judge_life, &p.judged);
    CHECK_EQ(p.judged.problems, 0);
    /* Two columns of one row, with one parity: lost, and said to be. */
    sim_disk_rot(sim_farm_disk(w.farm, p.data.disk), p.data.offset, p.data.len);
    sim_disk_rot(sim_farm_disk(w.farm, p.parity.disk), p.parity.offset, p.parity.len);
    live(&w, judge_life, &p.judged);
    CHECK(p.judged.problems > p.judged.repairable);
    world_deinit(&w);
}

/* --- accounts that do not agree --- */

static void leak(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    uint8_t bytes[5000] = {1};
    struct sfs_batch *batch;
    uint32_t raw;
    size_t kept;
    const struct sfs_piece *pieces;
    struct sfs_tx tx;
    MUST(w, sfs_batch_begin(s, 0, &batch));
    MUST(w, sfs_batch_add(batch, bytes, sizeof bytes, TREE, 5, 0, &raw));
    MUST(w, sfs_batch_end(batch, true, &kept, &pieces));
    sfs_tx_init(&tx, s);
    sfs_tx_extent_add(&tx, pieces, 1, raw); /* but no key */
    MUST(w, sfs_tx_commit(&tx));
    sfs_tx_deinit(&tx);
    sfs_batch_free(batch);
    sync_and_close(w, s);
}

static void dangle(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    uint8_t value[SFS_FILEEXT_BYTES];
    struct sfs_fileext_value v = {999999999, 0, 10};
    struct sfs_tx tx;
    sfs_fileext_encode(&v, value);
    sfs_tx_init(&tx, s);
    sfs_tx_put(&tx, TREE, item_key(FILES + 1, 0), value, sizeof value);
    MUST(w, sfs_tx_commit(&tx));
    sfs_tx_deinit(&tx);
    sync_and_close(w, s);
}

static void miscount(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    sfs_store_lock(s);
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (g && g->record.class == SFS_CLASS_DATA) {
            g->count.live += 16;
            sfs_table_mark_count(s->pool, g);
            break;
        }
    }
    sfs_store_unlock(s);
    sync_and_close(w, s);
}

static void finds_accounts_that_disagree(void)
{
    void (*const spoil[])(struct world *, void *) = {leak, dangle, miscount};
    const char *words[] = {"referenced by nothing", "which is not there", "bytes in it are live"};
    for (unsigned i = 0; i < 3; i++) {
        struct world w;
        struct content c;
        begin(&w, &c, 3);
        live(&w, spoil[i], &c);
        live(&w, judge_life, &c);
        CHECK_EQ(c.problems, 1);
        CHECK_EQ(c.repairable, 0);
        if (!CHECK(strstr(c.first, words[i])))
            printf("# %s\n", c.first);
        world_deinit(&w);
    }
}

/* --- headers --- */

struct helper {
    struct world *w;
    struct sfs_store *s;
    bool done;
};

static void write_and_tell(void *arg)
{
    struct helper *h = arg;
    struct content c = {.next = 1};
    write_some(h->w, h->s, &c, 3);
    h->done = true;
}

static void commit_and_tell(void *arg)
{
    struct helper *h = arg;
    MUST(h->w, sfs_store_commit(h->s));
    h->done = true;
}

/* A group is in the table before its headers are written: meanwhile there is no commit, or a cut would leave a group without
 * headers. */
static void headers_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    struct helper writer = {.w = w, .s = s}, committer = {.w = w, .s = s};
    struct sfs_task *task;
    bool told = false;
    MUST(w, sfs_task_start(w->env, "writer", write_and_tell, &writer, &task));
    while (!writer.done) {
        sfs_task_sleep(w->env, 10000);
        sfs_store_lock(s);
        told = told || s->heading;
        sfs_store_unlock(s);
    }
    sfs_task_join(w->env, task);
    NEED(w, told);
    NEED_EQ(w, s->heading, 0);
    sfs_store_lock(s);
    s->heading++;
    uint64_t committed = s->pool->committed;
    sfs_store_unlock(s);
    MUST(w, sfs_task_start(w->env, "committer", commit_and_tell, &committer, &task));
    sfs_task_sleep(w->env, 1000000000);
    NEED(w, !committer.done && s->pool->committed == committed);
    sfs_store_lock(s);
    s->heading--;
    sfs_cond_broadcast(&s->room_made);
    sfs_store_unlock(s);
    sfs_task_join(w->env, task);
    NEED(w, s->pool->committed > committed);
    sync_and_close(w, s);
}

static void no_commit_before_the_headers(void)
{
    struct world w;
    world_init(&w, test_seed());
    add_disks(&w, 4, 64 * MIB);
    live(&w, headers_life, NULL);
    world_deinit(&w);
}

/* --- what is no damage, and what cannot be repaired ------------------------------------------------------------------- */

static void find_slot(struct world *w, void *arg)
{
    struct sfs_pool_open how = {.read_only = true};
    struct sfs_pool *pool = must_open(w, &how, ALL_DISKS);
    *(uint64_t *)arg = pool->last.seq % SFS_RING_SLOTS;
    sfs_pool_close(pool);
}

static void half_a_record_is_no_problem(void)
{
    struct world w;
    struct content c;
    uint64_t slot = 0;
    begin(&w, &c, 3);
    live(&w, find_slot, &slot);
    sim_disk_rot(sim_farm_disk(w.farm, 1), SFS_RING_OFFSET + slot * SFS_BLOCK, SFS_BLOCK);
    live(&w, judge_life, &c);
    CHECK_EQ(c.problems, 0);
    world_deinit(&w);
}

static void fill_without_failover(struct world *w, void *arg)
{
    make_pool(w, 0, 0);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    write_some(w, s, arg, 80);
    sync_and_close(w, s);
}

static void judge_without_one(struct world *w, void *arg)
{
    judge(w, arg, 1);
}

static void what_no_disk_has_cannot_be_repaired(void)
{
    struct world w;
    struct content c = {.next = 0};
    world_init(&w, test_seed());
    add_disks(&w, 2, 64 * MIB);
    live(&w, fill_without_failover, &c);
    live(&w, judge_without_one, &c);
    CHECK(c.problems > c.repairable);
    if (!CHECK(strstr(c.first, "nowhere else")))
        printf("# %s\n", c.first);
    world_deinit(&w);
}

/* --- counters that are wrong on the disks --------------------------------------------------------------------------------- */

static void forget_what_lives(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    sfs_store_lock(s);
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (g && g->record.class != SFS_CLASS_SYSTEM && g->count.live > 100) {
            g->count.live = 100;
            sfs_table_mark_count(s->pool, g);
        }
    }
    sfs_store_unlock(s);
    sync_and_close(w, s);
}

/* What the counters say cannot be taken from them is refused, and nothing else happens. */
static void use_wrong_counters(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    unsigned refused = 0;
    for (uint32_t file = 0; file < FILES; file++) {
        struct sfs_tx tx;
        struct items old;
        items_of(w, s, file, &old);
        sfs_tx_init(&tx, s);
        for (unsigned i = 0; i < old.count; i++) {
            sfs_tx_extent_ref(&tx, old.values[i].id, -1, -(int64_t)old.values[i].length);
            sfs_tx_delete(&tx, TREE, old.keys[i]);
        }
        int err = sfs_tx_commit(&tx);
        sfs_tx_deinit(&tx);
        if (err)
            NEED_EQ(w, err, SCALEFS_E_CORRUPT);
        else
            c->version[file] = 0;
        refused += err != SCALEFS_OK;
    }
    NEED(w, refused > 0);
    verify_all(w, s, c);
    (void)sfs_store_sync(s);
    verify_all(w, s, c);
    (void)sfs_store_close(s, false);
}

static void wrong_counters_are_errors(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 3);
    live(&w, forget_what_lives, &c);
    live(&w, use_wrong_counters, &c);
    world_deinit(&w);
}

/* --- a volume that does not come to be ------------------------------------------------------------------------------------- */

static void no_volume(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    s->pool->read_only = true;
    NEED_EQ(w, sfs_tree_volume_make(s, TREE + 1, "other"), SCALEFS_E_ROFS);
    NEED(w, !sfs_tree_exists(s, TREE + 1));
    s->pool->read_only = false;
    MUST(w, sfs_tree_volume_make(s, TREE + 1, "other"));
    sync_and_close(w, s);
}

/* --- nodes that are right for themselves, and wrong below their parents --- */

static bool count_key(void *context, struct sfs_key key, const uint8_t *value, uint32_t len)
{
    unsigned *n = context;
    (void)key, (void)value, (void)len;
    return ++*n < 10000;
}

static void strange_leaf(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    struct sfs_tx tx;
    const struct sfs_key end = {6000, 0x70, UINT64_MAX};
    uint8_t value[400] = {0};
    for (unsigned i = 0; i < 200; i++) {
        sfs_tx_init(&tx, s);
        sfs_tx_put(&tx, TREE, (struct sfs_key){5000 + i, 0x70, 0}, value, sizeof value);
        MUST(w, sfs_tx_commit(&tx));
        sfs_tx_deinit(&tx);
    }
    unsigned n = 0;
    MUST(w, sfs_tree_scan(s, TREE, (struct sfs_key){5000, 0, 0}, end, count_key, &n));
    NEED_EQ(w, n, 200);
    /* The first key of a leaf becomes one that stands left of it. */
    struct sfs_node *leaf = NULL;
    for (struct sfs_node *at = s->dirty.head.next; at != &s->dirty.head; at = at->next)
        if (at->tree == TREE && sfs_page_level(at->page) == 0 && sfs_page_key(at->page, 0).a > 5050)
            leaf = at;
    NEED(w, leaf);
    struct sfs_key right = sfs_page_key(leaf->page, 0);
    sfs_page_set_key(leaf->page, 0, (struct sfs_key){5010, 0x70, 7});
    n = 0;
    NEED_EQ(w, sfs_tree_scan(s, TREE, (struct sfs_key){5000, 0, 0}, end, count_key, &n), SCALEFS_E_CORRUPT);
    NEED(w, n < 200);
    sfs_tx_init(&tx, s);
    sfs_tx_delete(&tx, TREE, right);
    NEED_EQ(w, sfs_tx_commit(&tx), SCALEFS_E_CORRUPT);
    sfs_tx_deinit(&tx);
    sfs_page_set_key(leaf->page, 0, right);
    sync_and_close(w, s);
}

static void keys_in_the_wrong_node_are_damage(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 2);
    live(&w, strange_leaf, &c);
    world_deinit(&w);
}

/* An id that nobody gives, as the last key of the map: the search for what is lost ends there. */
static void greatest_id(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    struct sfs_extent e;
    struct sfs_tx tx;
    struct items items;
    uint32_t file = 0;
    do {
        items_of(w, s, file++, &items);
    } while (!items.count);
    MUST(w, sfs_tree_extent(s, items.values[0].id, &e));
    struct sfs_piece piece = {.id = UINT64_MAX, .raw = e.raw, .extent = e};
    sfs_tx_init(&tx, s);
    sfs_tx_extent_add(&tx, &piece, 1, e.raw);
    MUST(w, sfs_tx_commit(&tx));
    sfs_care_note_lost(s->care, e.place.group, e.place.offset, e.stored);
    NEED_EQ(w, count_of_lost(w, s), 0);
    sfs_tx_extent_ref(&tx, UINT64_MAX, -1, -(int64_t)e.raw);
    MUST(w, sfs_tx_commit(&tx));
    sfs_tx_deinit(&tx);
    sync_and_close(w, s);
}

static void the_search_for_what_is_lost_ends(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 2);
    live(&w, greatest_id, &c);
    world_deinit(&w);
}

/* --- memory that runs out --- */

static struct {
    struct sfs_env_ops ops;
    void *(*alloc)(struct sfs_env *env, size_t bytes, size_t align);
    unsigned left; /* allocations that still succeed */
} scarce;

static void *scarce_alloc(struct sfs_env *env, size_t bytes, size_t align)
{
    if (!scarce.left)
        return NULL;
    scarce.left--;
    return scarce.alloc(env, bytes, align);
}

static void set_scarce(struct world *w, unsigned left)
{
    if (!scarce.alloc) {
        scarce.ops = *w->env->ops;
        scarce.alloc = scarce.ops.alloc;
        scarce.ops.alloc = scarce_alloc;
    }
    scarce.left = left;
    w->env->ops = &scarce.ops;
}

/* Puts (or deletes) a key, with so little memory that it often fails; then with enough. */
static void change_key(struct world *w, struct sfs_store *s, unsigned i, bool gone, unsigned *failed)
{
    uint8_t value[1000] = {0};
    struct sfs_tx tx;
    for (unsigned left = 0;; left++) {
        set_scarce(w, left < 9 ? left : 1000000);
        sfs_tx_init(&tx, s);
        if (gone)
            sfs_tx_delete(&tx, TREE, (struct sfs_key){5000, 0x70, i});
        else
            sfs_tx_put(&tx, TREE, (struct sfs_key){5000, 0x70, i}, value, sizeof value);
        int err = sfs_tx_commit(&tx);
        sfs_tx_deinit(&tx);
        if (!err)
            break;
        NEED_EQ(w, err, SCALEFS_E_NOMEM);
        ++*failed;
    }
    set_scarce(w, 1000000);
}

static void scarce_memory(struct world *w, void *arg)
{
    (void)arg;
    enum { KEYS = 6000 };
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    const struct sfs_env_ops *plenty = w->env->ops;
    unsigned failed = 0, n = 0;
    for (unsigned i = 0; i < KEYS; i++)
        change_key(w, s, i, false, &failed);
    MUST(w, sfs_tree_scan(s, TREE, (struct sfs_key){5000, 0, 0}, (struct sfs_key){5000, 0x70, KEYS}, count_key, &n));
    NEED_EQ(w, n, KEYS);
    NEED(w, failed > KEYS);
    MUST(w, sfs_store_sync(s));
    for (unsigned i = 0; i < KEYS; i++)
        change_key(w, s, i, true, &failed);
    w->env->ops = plenty;
    sync_and_close(w, s);
}

static void without_memory_changes_fail_and_nothing_else(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 2);
    live(&w, scarce_memory, &c);
    live(&w, judge_life, &c);
    CHECK_EQ(c.problems, 0);
    world_deinit(&w);
}

static void a_volume_is_made_whole_or_not(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 2);
    live(&w, no_volume, &c);
    live(&w, judge_life, &c);
    CHECK_EQ(c.problems, 0);
    world_deinit(&w);
}

int main(int argc, char **argv)
{
    test_start(argc, argv);
    RUN(finds_nothing_on_a_sound_pool);
    RUN(finds_damage_of_each_kind);
    RUN(finds_accounts_that_disagree);
    RUN(no_commit_before_the_headers);
    RUN(half_a_record_is_no_problem);
    RUN(what_no_disk_has_cannot_be_repaired);
    RUN(wrong_counters_are_errors);
    RUN(keys_in_the_wrong_node_are_damage);
    RUN(the_search_for_what_is_lost_ends);
    RUN(without_memory_changes_fail_and_nothing_else);
    RUN(a_volume_is_made_whole_or_not);
    return test_end();
}
