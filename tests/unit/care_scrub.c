/* Scrub repairs what redundancy can repair, everywhere, leaves alone what is under way, and can be paused, stopped and resumed. */
#include "care_scrub.h"

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

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(repairs_rot_of_whole_disks);
    RUN(repairs_unreadable_sectors);
    RUN(reads_what_was_absent);
    RUN(a_damaged_label_is_mended_at_opening);
    RUN(pauses_and_goes_on_after_an_opening);
    RUN(begins_at_the_first_row_of_another_group);
    RUN(leaves_a_disk_alone_that_is_joining);
    RUN(takes_nothing_for_wrong_while_others_write);
    RUN(leaves_headers_alone_that_are_being_written);
    return TEST_END();
}
