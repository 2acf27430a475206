/* Members become larger and smaller, while files are in use and with cuts in the middle. */
#include "care_fixture.h"

enum { DISKS = 3, BEFORE = 128 };

static void start(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_disk *handles[DISKS_MAX];
    struct scalefs_error_info info = {0, ""};
    struct sfs_pool_format how = {.name = "tank", .failover = (uint8_t)c->swallow};
    world_open_disks(w, handles);
    MUST(w, sfs_pool_format(w->env, handles, sim_farm_count(w->farm), &how, NULL, &info));
    world_close_disks(w, handles);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    for (uint32_t i = 0; i < FILES; i++)
        put_file(w, s, c, i, ++c->next);
    write_some(w, s, c, 40);
    sync_and_close(w, s);
}

static void begin(struct world *w, struct content *c, unsigned disks, unsigned failover)
{
    memset(c, 0, sizeof *c);
    c->swallow = failover;
    world_init(w, test_seed());
    add_disks(w, disks, BEFORE * MIB);
    live(w, start, c);
}

static struct sfs_member *member(struct sfs_store *s, uint16_t index)
{
    return sfs_member_of(s->pool, index);
}

/* The last byte that a column of the member has. */
static uint64_t end_of(struct sfs_store *s, uint16_t index)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        const struct sfs_group *g = s->pool->groups[i];
        for (unsigned c = 0; g && c < (unsigned)g->record.k + g->record.m; c++) {
            uint64_t to = member(s, index)->record.data_offset + (uint64_t)g->record.columns[c].atom * SFS_ATOM_BYTES +
                          (1ull << g->record.column_log2);
            if (g->record.columns[c].disk == index && to > end)
                end = to;
        }
    }
    return end;
}

static void labels_are_right(struct world *w, struct sfs_store *s)
{
    for (unsigned i = 0; i < s->pool->member_count; i++) {
        struct sfs_head_report report;
        MUST(w, sfs_member_check_head(s->pool, s->pool->members[i].record.index, false, &report));
        NEED_EQ(w, report.labels_bad, 0);
    }
}

/* --- larger --- */

static void larger(struct world *w, void *arg)
{
    struct scalefs_error_info info = {0, ""};
    struct sfs_space before, after;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    sfs_store_space(s, &before);
    sim_disk_resize(sim_farm_disk(w->farm, 0), 256 * MIB);
    MUST(w, sfs_care_measure(s, 1, &info));
    sfs_store_space(s, &after);
    NEED_EQ(w, member(s, 1)->record.size, 256 * MIB);
    NEED(w, after.free >= before.free + 100 * MIB && after.usable >= before.usable + 100 * MIB);
    labels_are_right(w, s);
    verify_all(w, s, arg);
    sync_and_close(w, s);
}

/* The other one is found larger when the pool is opened, and after a cut all is there still. */
static void larger_at_opening(struct world *w, void *arg)
{
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    take_care(w, s);
    NEED_EQ(w, member(s, 1)->record.size, 256 * MIB);
    NEED_EQ(w, member(s, 2)->record.size, 200 * MIB);
    labels_are_right(w, s);
    verify_all(w, s, arg);
    sync_and_close(w, s);
}

static void what_grew_is_used(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 2, 0);
    live(&w, larger, &c);
    sim_disk_resize(sim_farm_disk(w.farm, 1), 200 * MIB);
    live(&w, larger_at_opening, &c);
    live(&w, larger_at_opening, &c);
    world_deinit(&w);
}

/* A device was larger for a while: when the pool was opened, and when a verb that was refused looked at it. */
static void cut_back(struct world *w, void *arg)
{
    struct scalefs_error_info info = {0, ""};
    struct sim_disk *d = sim_farm_disk(w->farm, 0);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    for (unsigned i = 0; i < 2; i++) {
        NEED_EQ(w, member(s, 1)->disk->info.size_bytes, 256 * MIB);
        sim_disk_resize(d, BEFORE * MIB);
        take_care(w, s);
        NEED_EQ(w, member(s, 1)->record.size, BEFORE * MIB);
        NEED_EQ(w, member(s, 1)->record.device_size, BEFORE * MIB);
        labels_are_right(w, s);
        sim_disk_resize(d, 256 * MIB);
        NEED_EQ(w, sfs_care_resize(s, 1, 300 * MIB, &info), SCALEFS_E_TOO_SMALL);
    }
    take_care(w, s);
    NEED_EQ(w, member(s, 1)->record.size, 256 * MIB);
    labels_are_right(w, s);
    verify_all(w, s, arg);
    sync_and_close(w, s);
}

static void what_was_cut_back_is_not_used(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 2, 0);
    sim_disk_resize(sim_farm_disk(w.farm, 0), 256 * MIB);
    live(&w, cut_back, &c);
    world_deinit(&w);
}

/* --- smaller --- */

/* Something stands at its end: without this there would be nothing to move. */
static void put_at_the_end(struct world *w, struct sfs_store *s, uint16_t index)
{
    struct sfs_member *m = member(s, index);
    sfs_store_lock(s);
    uint32_t limit = m->record.atoms - 4, taken = 0;
    /* All but the end is taken for a moment. */
    uint64_t *mine = sfs_zalloc(w->env, (m->record.atoms / 64 + 1) * sizeof *mine);
    for (uint32_t a = 0; a < limit; a++)
        if (!(m->atom_used[a / 64] >> a % 64 & 1)) {
            m->atom_used[a / 64] |= 1ull << a % 64;
            mine[a / 64] |= 1ull << a % 64;
            m->free_atoms--;
            taken++;
        }
    sfs_store_unlock(s);
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        struct sfs_group *g = s->pool->groups[i];
        for (unsigned c = 0; g && g->count.live && c < (unsigned)g->record.k + g->record.m; c++)
            if (g->record.columns[c].disk != index && !sfs_care_has_column(&g->record, index))
                (void)sfs_column_move(s->care, &s->pool->groups[i]->record, c, index, false);
    }
    sfs_store_lock(s);
    for (uint32_t a = 0; a < limit; a++)
        if (mine[a / 64] >> a % 64 & 1) {
            m->atom_used[a / 64] &= ~(1ull << a % 64);
            m->free_atoms++;
        }
    sfs_store_unlock(s);
    sfs_free(w->env, mine);
    NEED(w, taken > 0 && end_of(s, index) > 100 * MIB);
}

static void fill_the_end(struct world *w, void *arg)
{
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    put_at_the_end(w, s, 1);
    verify_all(w, s, arg);
    sync_and_close(w, s);
}

static void smaller(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = open_store(w, ALL_DISKS, true);
    struct sfs_member *m = member(s, 1);
    if (m->record.wanted_size == BEFORE * MIB) {
        int err = sfs_care_resize(s, 1, 80 * MIB + 12288, &info);
        if (err)
            sim_fail(w->sim, "it is not made smaller: %s", info.text);
    }
    while (!sfs_care_idle(s))
        sfs_task_sleep(w->env, 5000000);
    NEED_EQ(w, m->record.size, 80 * MIB + 12288);
    NEED(w, end_of(s, 1) <= m->record.size - (64 << 10));
    labels_are_right(w, s);
    verify_all(w, s, c);
    sync_and_close(w, s);
}

static void look(struct world *w, void *arg)
{
    struct content *c = arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    verify_all(w, s, c);
    NEED(w, member(s, 1)->record.size == BEFORE * MIB || end_of(s, 1) <= 80 * MIB);
    sync_and_close(w, s);
}

static void cut_device(struct world *w, void *arg)
{
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    take_care(w, s);
    NEED_EQ(w, member(s, 1)->record.size, 80 * MIB + 12288);
    labels_are_right(w, s);
    verify_all(w, s, arg);
    sync_and_close(w, s);
    must_be_sound(w, arg, ALL_DISKS);
}

static void its_end_is_freed_whatever_is_cut(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 3, 1);
    live(&w, fill_the_end, &c);
    unsigned lives = 0, cuts = 0;
    enum sim_end end;
    do {
        end = world_live(&w, &(struct world_life){.main = smaller, .arg = &c, .cut_at_io = 60 + 23 * lives, .kill = lives % 3 == 0});
        CHECK(end == SIM_CUT || end == SIM_FINISHED);
        cuts += end == SIM_CUT;
        if (end == SIM_CUT)
            live(&w, look, &c);
    } while (end == SIM_CUT && ++lives < 60);
    CHECK_EQ(end, SIM_FINISHED);
    CHECK(cuts >= 2);
    sim_disk_resize(sim_farm_disk(w.farm, 0), 80 * MIB + 12288);
    live(&w, cut_device, &c);
    world_deinit(&w);
}

static void on_one_disk(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    MUST(w, sfs_care_resize(s, 1, 64 * MIB, &info));
    take_care(w, s);
    NEED_EQ(w, member(s, 1)->record.size, 64 * MIB);
    verify_all(w, s, c);
    sync_and_close(w, s);
}

static void a_single_disk_moves_within_itself(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 1, 0);
    live(&w, on_one_disk, &c);
    sim_disk_resize(sim_farm_disk(w.farm, 0), 64 * MIB);
    live(&w, on_one_disk, &c);
    world_deinit(&w);
}

/* --- refusals --- */

static void refuse(struct world *w, struct sfs_store *s, uint64_t bytes, int want, const char *word)
{
    struct scalefs_error_info info = {0, ""};
    uint64_t size = member(s, 1)->record.size, wanted = member(s, 1)->record.wanted_size, limit = member(s, 1)->limit;
    NEED_EQ(w, sfs_care_resize(s, 1, bytes, &info), want);
    if (!strstr(info.text, word))
        sim_fail(w->sim, "no \"%s\" in: %s", word, info.text);
    NEED(w, member(s, 1)->record.size == size && member(s, 1)->record.wanted_size == wanted && member(s, 1)->limit == limit);
}

static void refusals(struct world *w, void *arg)
{
    struct content *c = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    refuse(w, s, 16 * MIB, SCALEFS_E_TOO_SMALL, "32 MiB");
    refuse(w, s, 200 * MIB, SCALEFS_E_TOO_SMALL, "72 MiB too small");
    while (sfs_care_step(s))
        ;
    uint64_t live = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++)
        live += s->pool->groups[i] && s->pool->groups[i]->record.class == SFS_CLASS_DATA ? s->pool->groups[i]->count.live : 0;
    for (unsigned i = 0; live < 40 * MIB; i++) { /* files that no model knows */
        struct sfs_tx tx;
        struct sfs_batch *batch;
        size_t kept;
        const struct sfs_piece *pieces;
        uint8_t *data = sfs_zalloc(w->env, 1 << 20);
        sfs_tx_init(&tx, s);
        MUST(w, sfs_batch_begin(s, 0, &batch));
        for (uint32_t at = 0, raw; at < 1 << 20; at += raw)
            MUST(w, sfs_batch_add(batch, data + at, (1 << 20) - at, TREE, 5000 + i, at, &raw));
        MUST(w, sfs_batch_end(batch, true, &kept, &pieces));
        for (size_t n = 0; n < kept; n++)
            sfs_tx_extent_add(&tx, &pieces[n], 1, pieces[n].raw);
        MUST(w, sfs_tx_commit(&tx));
        sfs_tx_deinit(&tx);
        sfs_batch_free(batch);
        sfs_free(w->env, data);
        live += 1 << 20;
    }
    MUST(w, sfs_store_sync(s));
    refuse(w, s, 36 * MIB, SCALEFS_E_NOSPC, "missing");
    MUST(w, sfs_care_resize(s, 1, 100 * MIB, &info));
    MUST(w, sfs_care_cancel(s, 0, &info));
    NEED_EQ(w, member(s, 1)->record.wanted_size, BEFORE * MIB);
    NEED_EQ(w, member(s, 1)->limit, member(s, 1)->record.atoms);
    verify_all(w, s, c);
    sync_and_close(w, s);
}

static void what_cannot_be_is_refused(void)
{
    struct world w;
    struct content c;
    begin(&w, &c, 1, 0);
    live(&w, refusals, &c);
    world_deinit(&w);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(what_grew_is_used);
    RUN(what_was_cut_back_is_not_used);
    RUN(its_end_is_freed_whatever_is_cut);
    RUN(a_single_disk_moves_within_itself);
    RUN(what_cannot_be_is_refused);
    return TEST_END();
}
