/* Nothing is taken for lost that is not: memory runs out at any moment, while what is damaged is read, scrubbed, paid and moved (it may take
 * longer); a node moves while care looks for it. */
#include "care_fixture.h"

static const struct sfs_env_ops *good_env_ops;
static struct prng odds;
enum { NODES = 1 };
static unsigned one_in; /* allocation fails; 0: none does; NODES: all for nodes do */
static unsigned failed;

static void *alloc_some(struct sfs_env *env, size_t bytes, size_t align)
{
    if (one_in == NODES ? bytes == SFS_NODE_BYTES : one_in && prng_next(&odds) % one_in == 0) {
        failed++;
        return NULL;
    }
    return good_env_ops->alloc(env, bytes, align);
}

static void begin_want(struct world *w, struct sfs_env_ops *ops, unsigned chance)
{
    good_env_ops = w->env->ops;
    *ops = *good_env_ops;
    ops->alloc = alloc_some;
    w->env->ops = ops;
    one_in = chance;
}

static void end_want(struct world *w)
{
    one_in = 0;
    w->env->ops = good_env_ops;
}

static void fill_pool(struct world *w, void *arg)
{
    make_pool(w, 1 + (sim_farm_count(w->farm) > 4), 0);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    write_some(w, s, arg, 70);
    sync_and_close(w, s);
}

static void begin(struct world *w, struct content *c, unsigned disks, uint64_t seed)
{
    memset(c, 0, sizeof *c);
    world_init(w, test_seed() + seed);
    prng_seed(&odds, test_seed() + seed);
    add_disks(w, disks, 64 * MIB);
    live(w, fill_pool, c);
}

/* All but the heads. */
static void rot(struct world *w, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++)
        sim_disk_rot(sim_farm_disk(w->farm, i), 4 * MIB, 56 * MIB);
}

/* Nodes have to be read again, so that looking something up wants memory. */
static void forget_nodes(struct sfs_store *s)
{
    sfs_store_lock(s);
    for (struct sfs_node *n = s->clean.head.next, *next; n != &s->clean.head; n = next) {
        next = n->next;
        if (!n->pins)
            sfs_cache_drop(s, n);
    }
    while (s->spare) {
        struct sfs_node *n = s->spare;
        s->spare = n->next;
        sfs_free(s->env, n->page);
        sfs_free(s->env, n);
    }
    s->spare_count = 0;
    sfs_store_unlock(s);
}

static void nothing_is_lost(struct world *w, struct sfs_store *s)
{
    NEED_EQ(w, s->pool->config.extents_lost, 0);
    NEED_EQ(w, s->pool->scrub.lost, 0);
    NEED_EQ(w, s->care->lost_ids.count, 0);
    NEED_EQ(w, s->care->lost_nodes, 0);
}

/* --- scrub --- */

static void scrub_in_want(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info;
    struct sfs_env_ops ops;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    take_care(w, s);
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    for (unsigned i = 0; s->pool->scrub.id && i < 1000; i++) {
        forget_nodes(s);
        begin_want(w, &ops, i >= 60 || (c->swallow == NODES && i % 2) ? 0 : c->swallow);
        (void)sfs_care_scrub_step(s->care);
        end_want(w);
        nothing_is_lost(w, s);
    }
    NEED_EQ(w, s->pool->scrub.id, 0);
    sync_and_close(w, s);
}

static void sound(struct world *w, void *arg)
{
    must_be_sound(w, arg, ALL_DISKS);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    verify_all(w, s, arg);
    sync_and_close(w, s);
}

static void a_scrub_takes_nothing_for_lost(void)
{
    for (unsigned round = 0; round < 12; round++) {
        struct world w;
        struct content c;
        begin(&w, &c, 2 + round % 5, round);
        rot(&w, 0, 2 + round % 5 > 4 ? 2 : 1);
        c.swallow = round % 2 ? NODES : 5 + round * 5;
        failed = 0;
        live(&w, scrub_in_want, &c);
        CHECK(failed > 0);
        live(&w, sound, &c);
        world_deinit(&w);
    }
}

/* --- reading --- */

static void read_in_want(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_env_ops ops;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    s->pool->read_only = true; /* nothing is mended */
    for (unsigned round = 0; round < 6; round++) {
        for (uint32_t file = 0; file < FILES; file++) {
            struct items items;
            items_of(w, s, file, &items);
            for (unsigned i = 0; i < items.count; i++) {
                struct sfs_read r = {.id = items.values[i].id, .offset = items.values[i].offset,
                                     .len = items.values[i].length, .buf = sfs_alloc(w->env, items.values[i].length)};
                forget_nodes(s);
                begin_want(w, &ops, c->swallow);
                int err = sfs_store_read(s, &r, 1);
                end_want(w);
                NEED(w, err == SCALEFS_OK || err == SCALEFS_E_NOMEM);
                sfs_free(w->env, r.buf);
            }
        }
    }
    sync_and_close(w, s);
}

static void a_read_takes_nothing_for_damage(void)
{
    for (unsigned round = 0; round < 5; round++) {
        struct world w;
        struct content c;
        begin(&w, &c, 2 + round % 5, round);
        rot(&w, 0, 2 + round % 5 > 4 ? 2 : 1);
        c.swallow = 4 + round * 3;
        failed = 0;
        live(&w, read_in_want, &c);
        CHECK(failed > 0);
        world_deinit(&w);
    }
}

/* --- nodes that moved while one looked for them --- */

static void look_where_no_node_is(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    take_care(w, s);
    struct sfs_group_record g;
    uint32_t i = 0, row = 0;
    while (!sfs_group_copy(s->pool, i, &g) || g.class != SFS_CLASS_SYSTEM)
        NEED(w, ++i < s->pool->group_cap);
    bool live = true, saved;
    for (; live; row++) {
        MUST(w, sfs_care_pin_live(s, &g, row, &live));
        if (live)
            sfs_care_unpin(s, &g, row);
    }
    uint64_t lost;
    MUST(w, sfs_care_node_gone(s->care, (struct sfs_place){i, (row - 1ull) * SFS_NODE_BYTES}, g.class, &saved));
    MUST(w, sfs_care_count_lost(s->care, &lost));
    NEED(w, !saved);
    NEED_EQ(w, lost, 0);
    NEED_EQ(w, s->pool->config.extents_lost, 0);
    sync_and_close(w, s);
}

/* What was written elsewhere since its row was found unreadable is not lost. */
static void a_node_that_moved_is_not_lost(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 3, 900);
    live(&w, look_where_no_node_is, &c);
    world_deinit(&w);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(a_read_takes_nothing_for_damage);
    RUN(a_scrub_takes_nothing_for_lost);
    RUN(a_node_that_moved_is_not_lost);
    return TEST_END();
}
