/* Whatever changes is durable some seconds later, without anybody asking: after a rest, and while the task that sees to it still
 * sleeps for something that a sync has made durable meanwhile. */
#include "care_fixture.h"

static bool all_durable(struct sfs_store *s)
{
    sfs_store_lock(s);
    bool all = s->durable == s->applied;
    sfs_store_unlock(s);
    return all;
}

static void changes(struct world *w, void *arg)
{
    struct content *c = arg;
    make_pool(w, 1, 0);
    struct sfs_store *s = open_store(w, ALL_DISKS, true); /* a second */
    for (unsigned round = 0; round < 6; round++) {
        for (unsigned i = 0; i < 3; i++) { /* the first of them wakes it, or meets it on its way to sleep */
            put_file(w, s, c, round, ++c->next);
            MUST(w, sfs_store_sync(s));
            sfs_task_sleep(w->env, 300000000);
        }
        put_file(w, s, c, round, ++c->next);
        NEED(w, !all_durable(s));
        sfs_task_sleep(w->env, 1900000000);
        NEED(w, all_durable(s));
        if (round % 2)
            sfs_task_sleep(w->env, 7000000000);
    }
    sync_and_close(w, s);
}

static void every_change_is_durable_soon(void)
{
    struct world w;
    struct content c = {{0}, 0, 0, 0, "", 0};
    world_init(&w, test_seed());
    add_disks(&w, 3, 64 * MIB);
    live(&w, changes, &c);
    world_deinit(&w);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(every_change_is_durable_soon);
    return TEST_END();
}
