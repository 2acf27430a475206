/* Disks that fail, disappear, come back, join and leave, while the pool is used. */
#include "pool_fixture.h"

enum { ROWS = 24 };

struct rows {
    struct sfs_group *group;
    uint8_t *data[ROWS];
    struct sfs_entry entry[ROWS];
    struct sfs_summary s[ROWS];
};

/* One row with a single extent, written and counted as live. */
static int add_row(struct world *w, struct sfs_pool *pool, struct rows *rows, uint32_t row)
{
    const struct sfs_group_record *g = &rows->group->record;
    uint32_t bytes = (uint32_t)sfs_group_row_bytes(g), len = bytes - SFS_BLOCK;
    if (len > SFS_EXTENT_MAX)
        len = SFS_EXTENT_MAX;
    if (!rows->data[row])
        rows->data[row] = sfs_alloc_io(w->env, bytes);
    memset(rows->data[row], 0, bytes);
    prng_fill(&w->prng, rows->data[row], len);
    sfs_mutex_lock(&pool->lock);
    uint64_t txn = pool->txn;
    sfs_mutex_unlock(&pool->lock);
    rows->entry[row] = (struct sfs_entry){.id = row + 1, .birth = txn, .stored = len, .raw = len,
                                          .sums = (uint16_t)((len + SFS_SUM_BYTES - 1) / SFS_SUM_BYTES)};
    rows->s[row] = (struct sfs_summary){.blocks = 1, .entries = 1, .txn = txn};
    int err = sfs_row_write(pool, g->group, row, rows->data[row], &rows->s[row], &rows->entry[row]);
    if (!err) {
        sfs_mutex_lock(&pool->lock);
        sfs_group_live(pool, rows->group, row, len);
        sfs_mutex_unlock(&pool->lock);
    }
    return err;
}

static void begin_rows(struct world *w, struct sfs_pool *pool, struct rows *rows)
{
    memset(rows, 0, sizeof *rows);
    rows->group = must_make(w, pool, SFS_CLASS_DATA);
    rows->group->rows = sfs_zalloc(w->env, rows->group->record.rows * sizeof *rows->group->rows);
    NEED(w, rows->group->record.rows >= ROWS);
}

static void must_read(struct world *w, struct sfs_pool *pool, struct rows *rows, uint32_t row)
{
    const struct sfs_group_record *g = &rows->group->record;
    struct sfs_row_image im;
    MUST(w, sfs_row_read(pool, g->group, row, 1, &im));
    for (unsigned c = 0; c < g->k; c++)
        NEED(w, !memcmp(im.units[c], rows->data[row] + (size_t)c * im.unit_bytes, im.unit_bytes));
    sfs_row_image_free(pool, &im);
}

static void end_rows(struct world *w, struct rows *rows)
{
    for (unsigned i = 0; i < ROWS; i++)
        sfs_free(w->env, rows->data[i]);
}

static struct sfs_disk *open_disk(struct world *w, unsigned index)
{
    struct sfs_disk *disk;
    MUST(w, sim_disk_open(sim_farm_disk(w->farm, index), w->env, &disk));
    return disk;
}

static void on_disks(unsigned count, uint64_t mib, void (*life)(struct world *, void *))
{
    struct world w;
    world_init(&w, test_seed());
    add_disks(&w, count, mib * MIB);
    live(&w, life, NULL);
    world_deinit(&w);
}

static void count_call(void *context)
{
    ++*(unsigned *)context;
}

/* --- failing --- */

static void failing_life(struct world *w, void *arg)
{
    (void)arg;
    struct rows rows;
    unsigned calls = 0;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    pool->on_member_change = count_call;
    pool->on_member_change_context = &calls;
    begin_rows(w, pool, &rows);
    MUST(w, add_row(w, pool, &rows, 0));
    MUST(w, commit(pool, 1));
    uint64_t committed = pool->committed;
    /* A failed write: the row counts, its disk is gone for us. */
    sim_disk_fail_writes(sim_farm_disk(w->farm, 2), 1);
    MUST(w, add_row(w, pool, &rows, 1));
    struct sfs_member *m = sfs_member_of(pool, 3);
    NEED(w, !m->disk && !m->complete && m->record.presence == SFS_DISK_ABSENT && calls == 1);
    NEED_EQ(w, m->record.flushed_txn, committed);
    NEED_EQ(w, m->record.write_errors, 1);
    NEED(w, !pool->suspended && sfs_members_online(pool) == 3 && !sfs_group_whole(pool, rows.group));
    must_read(w, pool, &rows, 0);
    must_read(w, pool, &rows, 1);
    MUST(w, commit(pool, 2));
    /* Read errors only count. */
    sim_disk_fail_reads(sim_farm_disk(w->farm, 0), 1);
    struct sfs_get get = {.place = {rows.group->record.group, 0}, .len = 4096, .buf = sfs_alloc_io(w->env, 4096)};
    unsigned column = 0;
    while (rows.group->record.columns[column].disk != 1)
        column++;
    if (column < rows.group->record.k) {
        get.place.offset = (uint64_t)column * sfs_group_unit(&rows.group->record);
        sfs_get_many(pool, &get, 1);
        NEED(w, get.result == SCALEFS_E_IO && sfs_member_of(pool, 1)->record.read_errors == 1 && calls == 2);
    }
    sfs_free(w->env, get.buf);
    NEED(w, sfs_member_of(pool, 1)->disk);
    sfs_member_checksum_error(pool, 2);
    NEED_EQ(w, sfs_member_of(pool, 2)->record.checksum_errors, 1);
    /* It comes back: row 1 is owed there, row 0 is not. */
    MUST(w, sfs_member_online(pool, open_disk(w, 2), NULL));
    struct sfs_row_image im;
    MUST(w, sfs_row_read(pool, rows.group->record.group, 0, 1, &im));
    NEED(w, !im.bad && !im.missing);
    sfs_row_image_free(pool, &im);
    MUST(w, sfs_row_read(pool, rows.group->record.group, 1, 1, &im));
    NEED(w, im.bad && !(im.bad & (im.bad - 1)) && !im.missing);
    MUST(w, sfs_row_put_back(pool, &im, im.bad));
    sfs_row_image_free(pool, &im);
    MUST(w, commit(pool, 3));
    m = sfs_member_of(pool, 3);
    NEED(w, m->record.presence == SFS_DISK_ONLINE && !m->complete && m->record.flushed_txn == committed);
    m->complete = m->dirty = true;
    MUST(w, commit(pool, 4));
    sfs_pool_close(pool);
    pool = must_open(w, NULL, ALL_DISKS);
    NEED_EQ(w, members_complete(pool), 4);
    NEED(w, sfs_member_of(pool, 3)->record.write_errors == 1 && sfs_member_of(pool, 2)->record.checksum_errors == 1);
    sfs_pool_close(pool);
    end_rows(w, &rows);
}

static void a_failing_disk_is_left_and_comes_back(void)
{
    on_disks(4, 64, failing_life);
}

/* Loses a disk at each step of a commit; what was acknowledged stays, on the others. */
struct loss {
    unsigned kind, n;
    bool hit;
};

static void loss_life(struct world *w, void *arg)
{
    struct loss *loss = arg;
    struct sim_disk *d = sim_farm_disk(w->farm, 1);
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    MUST(w, commit(pool, 1));
    for (unsigned i = 0; i < loss->n; i++) {
        struct sfs_io flush = {.disk = sfs_member_of(pool, 2)->disk, .op = SFS_IO_FLUSH};
        MUST(w, sfs_io_run(w->env, &flush, 1)); /* other timing */
    }
    if (loss->kind == 0)
        sim_disk_fail_flushes(d, 1);
    else if (loss->kind == 1)
        sim_disk_fail_writes(d, 1);
    else
        sim_disk_pull(d);
    struct sfs_roots roots = {.pool_tree = 2};
    roots.extent_map.group = roots.space.group = SFS_NONE32;
    struct sfs_commit_job *job;
    pool->config_dirty = loss->n % 2; /* with and without pages to write */
    sfs_mutex_lock(&pool->lock);
    MUST(w, sfs_commit_prepare(pool, &roots, false, false, &job));
    sfs_mutex_unlock(&pool->lock);
    uint64_t before = pool->committed, seq = pool->seq;
    NEED_EQ(w, sfs_commit_write(pool, job), SCALEFS_E_CHANGED);
    NEED_EQ(w, pool->committed, before); /* nothing is acknowledged yet */
    NEED(w, !sfs_member_of(pool, 2)->disk);
    loss->hit = pool->seq > seq;
    MUST(w, commit(pool, 2));
    NEED(w, pool->committed > before);
    sfs_pool_close(pool);
    if (sim_disk_is_away(d))
        sim_disk_return(d);
    pool = must_open(w, NULL, 1 | 4);
    NEED_EQ(w, pool->last.pool_tree, 2);
    sfs_pool_close(pool);
    pool = must_open(w, NULL, ALL_DISKS);
    NEED(w, pool->last.pool_tree == 2 && sfs_member_of(pool, 2)->record.flushed_txn == before);
    NEED_EQ(w, members_complete(pool), 2);
    sfs_pool_close(pool);
}

static void a_commit_survives_the_loss_of_a_disk(void)
{
    unsigned records = 0;
    for (unsigned kind = 0; kind < 3; kind++)
        for (unsigned n = 0; n < 4; n++) {
            struct world w;
            struct loss loss = {kind, n, false};
            world_init(&w, test_seed() + n);
            add_disks(&w, 3, 64 * MIB);
            live(&w, loss_life, &loss);
            world_deinit(&w);
            records += loss.hit;
        }
    CHECK(records > 0); /* some were lost only while the record was written */
}

/* --- too many --- */

static void suspended_life(struct world *w, void *arg)
{
    (void)arg;
    struct rows rows;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    begin_rows(w, pool, &rows);
    MUST(w, add_row(w, pool, &rows, 0));
    MUST(w, commit(pool, 1));
    uint64_t committed = pool->committed;
    MUST(w, sfs_member_offline(pool, 1, NULL));
    NEED(w, !pool->suspended);
    sim_disk_pull(sim_farm_disk(w->farm, 1));
    int err = add_row(w, pool, &rows, 1);
    NEED_EQ(w, err, SCALEFS_E_SUSPENDED);
    NEED(w, pool->suspended && strstr(pool->suspended_why, "disk 1") && strstr(pool->suspended_why, "disk 2"));
    NEED_EQ(w, commit(pool, 2), SCALEFS_E_SUSPENDED);
    NEED_EQ(w, pool->committed, committed);
    struct sfs_row_image im;
    NEED_EQ(w, sfs_row_read(pool, rows.group->record.group, 0, 1, &im), SCALEFS_E_SUSPENDED);
    sfs_row_image_free(pool, &im);
    /* It resumes with one of them. */
    sim_disk_return(sim_farm_disk(w->farm, 1));
    MUST(w, sfs_member_online(pool, open_disk(w, 1), NULL));
    NEED(w, !pool->suspended && !pool->suspended_why[0]);
    must_read(w, pool, &rows, 0);
    MUST(w, add_row(w, pool, &rows, 1));
    MUST(w, commit(pool, 3));
    MUST(w, sfs_member_online(pool, open_disk(w, 0), NULL));
    must_read(w, pool, &rows, 1);
    MUST(w, commit(pool, 4));
    /* All of them. */
    for (uint16_t i = 1; i <= 3; i++)
        MUST(w, sfs_member_offline(pool, i, NULL));
    NEED(w, pool->suspended && !sfs_members_online(pool));
    NEED_EQ(w, commit(pool, 5), SCALEFS_E_SUSPENDED);
    sfs_pool_close(pool);
    pool = must_open(w, NULL, ALL_DISKS);
    NEED_EQ(w, pool->last.pool_tree, 4);
    sfs_pool_close(pool);
    end_rows(w, &rows);
}

static void with_too_few_disks_it_waits(void)
{
    on_disks(3, 64, suspended_life);
}

/* They went while something was written that no flush covered: they may have lost it. */
static void cut_off_life(struct world *w, void *arg)
{
    (void)arg;
    struct rows rows;
    make_pool(w, 1, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    begin_rows(w, pool, &rows);
    MUST(w, add_row(w, pool, &rows, 0));
    MUST(w, commit(pool, 1));
    MUST(w, add_row(w, pool, &rows, 1));
    for (uint16_t i = 1; i <= 2; i++)
        MUST(w, sfs_member_offline(pool, i, NULL));
    for (unsigned i = 0; i < 2; i++)
        MUST(w, sfs_member_online(pool, open_disk(w, i), NULL));
    NEED(w, pool->suspended && pool->suspended_why[0]);
    NEED_EQ(w, commit(pool, 2), SCALEFS_E_SUSPENDED);
    sfs_pool_close(pool);
    pool = must_open(w, NULL, ALL_DISKS);
    NEED_EQ(w, pool->last.pool_tree, 1);
    /* One alone is borne: what it lost is owed. */
    MUST(w, sfs_member_offline(pool, 1, NULL));
    MUST(w, commit(pool, 2));
    MUST(w, sfs_member_online(pool, open_disk(w, 0), NULL));
    NEED(w, !pool->suspended);
    MUST(w, commit(pool, 3));
    sfs_pool_close(pool);
    end_rows(w, &rows);
}

static void lost_caches_are_not_committed(void)
{
    on_disks(3, 64, cut_off_life);
}

/* A commit that was prepared before the pool was suspended must not be written. */
static void prepared_life(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 0, 0);
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    struct sfs_roots roots = {.pool_tree = 9};
    roots.extent_map.group = roots.space.group = SFS_NONE32;
    struct sfs_commit_job *job;
    MUST(w, commit(pool, 1));
    sfs_mutex_lock(&pool->lock);
    pool->config_dirty = true;
    MUST(w, sfs_commit_prepare(pool, &roots, false, false, &job));
    sfs_mutex_unlock(&pool->lock);
    MUST(w, sfs_member_offline(pool, 2, NULL));
    NEED(w, sfs_commit_write(pool, job) != SCALEFS_OK);
    MUST(w, sfs_member_online(pool, open_disk(w, 1), NULL));
    NEED_EQ(w, pool->last.pool_tree, 1);
    MUST(w, commit(pool, 2));
    sfs_pool_close(pool);
    pool = must_open(w, NULL, ALL_DISKS);
    NEED_EQ(w, pool->last.pool_tree, 2);
    sfs_pool_close(pool);
}

static void an_outdated_commit_is_not_written(void)
{
    on_disks(2, 64, prepared_life);
}

/* --- coming and going --- */

static void refuse_online(struct world *w, struct sfs_pool *pool, unsigned disk, int error)
{
    struct scalefs_error_info info = {0, ""};
    struct sfs_disk *d = open_disk(w, disk);
    NEED_EQ(w, sfs_member_online(pool, d, &info), error);
    NEED(w, info.error == error && info.text[0]);
    sfs_disk_close(d);
}

static void refusals_life(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_disk *disks[DISKS_MAX];
    struct sfs_pool_format how = {.name = "tank", .failover = 1};
    world_open_disks(w, disks);
    MUST(w, sfs_pool_format(w->env, disks, 2, &how, NULL, NULL));
    MUST(w, sfs_pool_format(w->env, disks + 2, 2, &how, NULL, NULL));
    world_close_disks(w, disks);
    /* Two halves: B goes on alone first. */
    struct sfs_pool *pool = must_open(w, &(struct sfs_pool_open){.degraded = true}, 2);
    MUST(w, commit(pool, 1));
    sfs_pool_close(pool);
    pool = must_open(w, &(struct sfs_pool_open){.degraded = true}, 1);
    refuse_online(w, pool, 1, SCALEFS_E_DIVERGED);
    refuse_online(w, pool, 2, SCALEFS_E_WRONG_DISK);
    refuse_online(w, pool, 4, SCALEFS_E_NOT_A_POOL);
    NEED_EQ(w, sfs_member_offline(pool, 77, NULL), SCALEFS_E_NOENT);
    MUST(w, commit(pool, 2));
    sfs_pool_close(pool);
    pool = must_open(w, &(struct sfs_pool_open){.degraded = true}, 4);
    sim_disk_resize(sim_farm_disk(w->farm, 3), 40 * MIB);
    refuse_online(w, pool, 3, SCALEFS_E_TOO_SMALL);
    sfs_member_of(pool, 2)->record.wish = SFS_WISH_FAILED;
    sfs_member_of(pool, 2)->dirty = true;
    MUST(w, commit(pool, 2));
    sim_disk_resize(sim_farm_disk(w->farm, 3), 64 * MIB);
    refuse_online(w, pool, 3, SCALEFS_E_INVAL);
    NEED(w, !pool->suspended);
    sfs_pool_close(pool);
    pool = must_open(w, NULL, 4 | 8); /* it is not taken at opening either */
    NEED(w, !sfs_member_of(pool, 2)->disk && sfs_member_of(pool, 2)->record.wish == SFS_WISH_FAILED);
    sfs_pool_close(pool);
    pool = must_open(w, &(struct sfs_pool_open){.read_only = true}, 4);
    refuse_online(w, pool, 3, SCALEFS_E_ROFS);
    sfs_pool_close(pool);
}

static void the_wrong_disk_does_not_come_online(void)
{
    on_disks(5, 64, refusals_life);
}

static void join_life(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_disk *disks[DISKS_MAX];
    struct sfs_pool_format how = {.name = "tank", .failover = 1};
    struct scalefs_error_info info = {0, ""};
    uint16_t index;
    world_open_disks(w, disks);
    MUST(w, sfs_pool_format(w->env, disks, 2, &how, NULL, NULL));
    world_close_disks(w, disks);
    struct sfs_pool *pool = must_open(w, NULL, 1 | 2);
    struct sfs_disk *d = open_disk(w, 2);
    MUST(w, sfs_member_add(pool, d, "shelf", SFS_ROLE_DATA, &index, &info));
    NEED_EQ(w, index, 3);
    sfs_pool_close(pool);
    /* The cut came before the commit: it is no member. */
    pool = must_open(w, NULL, ALL_DISKS);
    NEED(w, !sfs_member_of(pool, 3) && sfs_members_online(pool) == 2);
    d = open_disk(w, 2);
    MUST(w, sfs_member_add(pool, d, "shelf", SFS_ROLE_DATA, &index, &info));
    NEED(w, sfs_member_of(pool, index)->record.wish == SFS_WISH_JOIN);
    NEED(w, sfs_member_of(pool, index)->complete && !strcmp(sfs_member_of(pool, index)->record.station, "shelf"));
    NEED(w, !sfs_member_usable(sfs_member_of(pool, index))); /* not before that commit */
    MUST(w, commit(pool, 1));
    sfs_member_of(pool, index)->unnamed = false;
    struct sfs_group *g = must_make(w, pool, SFS_CLASS_DATA);
    NEED_EQ(w, g->record.k, 2);
    uint32_t number = g->record.group;
    MUST(w, commit(pool, 2));
    sfs_pool_close(pool);
    /* Any two of the three have everything. */
    for (uint64_t which = 3; which < 7; which += which == 3 ? 2 : 1) {
        pool = must_open(w, &(struct sfs_pool_open){.read_only = true}, which);
        NEED(w, pool->last.pool_tree == 2 && pool->member_count == 3 && sfs_group_of(pool, number));
        sfs_pool_close(pool);
    }
    pool = must_open(w, NULL, ALL_DISKS);
    NEED_EQ(w, members_complete(pool), 3);
    /* And it leaves. */
    sfs_mutex_lock(&pool->lock);
    sfs_group_free(pool, sfs_group_of(pool, number));
    d = sfs_member_of(pool, index)->disk;
    sfs_member_drop(pool, index);
    sfs_mutex_unlock(&pool->lock);
    NEED(w, !sfs_member_of(pool, index));
    for (unsigned i = 0; i < 4; i++)
        MUST(w, commit(pool, 3));
    sfs_member_wipe(pool, d);
    must_not_open(w, NULL, 4, SCALEFS_E_NOT_A_POOL); /* it was closed and is empty */
    MUST(w, commit(pool, 4));
    sfs_pool_close(pool);
    pool = must_open(w, NULL, ALL_DISKS);
    NEED(w, pool->member_count == 2 && pool->config.next_disk > index);
    sfs_pool_close(pool);
}

static void a_disk_joins_and_leaves(void)
{
    on_disks(3, 64, join_life);
}

/* --- all at once --- */

struct busy {
    struct world *w;
    struct sfs_pool *pool;
    struct rows rows;
    bool stop;
    uint32_t written;
    unsigned errors;
};

/* What the tasks share is read and written under the pool's lock. */
static bool goes_on(struct busy *b)
{
    sfs_mutex_lock(&b->pool->lock);
    bool stop = b->stop;
    sfs_mutex_unlock(&b->pool->lock);
    return !stop;
}

static uint32_t written(struct busy *b)
{
    sfs_mutex_lock(&b->pool->lock);
    uint32_t n = b->written;
    sfs_mutex_unlock(&b->pool->lock);
    return n;
}

static void note(struct busy *b, bool failed, bool wrote)
{
    sfs_mutex_lock(&b->pool->lock);
    b->errors += failed;
    b->written += wrote;
    sfs_mutex_unlock(&b->pool->lock);
}

static void writer_task(void *arg)
{
    struct busy *b = arg;
    for (uint32_t row = 0; goes_on(b); row = (row + 1) % ROWS) {
        sfs_mutex_lock(&b->pool->lock);
        if (b->rows.group->rows[row].live)
            sfs_group_live(b->pool, b->rows.group, row, -(int64_t)b->rows.group->rows[row].live);
        sfs_mutex_unlock(&b->pool->lock);
        note(b, add_row(b->w, b->pool, &b->rows, row) != SCALEFS_OK, true);
    }
}

static void committer_task(void *arg)
{
    struct busy *b = arg;
    while (goes_on(b)) {
        note(b, commit(b->pool, 1) != SCALEFS_OK, false);
        sfs_task_sleep(b->pool->env, 1000000);
    }
}

static void reader_task(void *arg)
{
    struct busy *b = arg;
    struct sfs_row_image im;
    for (uint32_t row = 0; goes_on(b); row = (row + 1) % ROWS) {
        sfs_row_read(b->pool, b->rows.group->record.group, row, 1, &im);
        sfs_row_image_free(b->pool, &im);
    }
}

static void busy_life(struct world *w, void *arg)
{
    (void)arg;
    struct busy b = {.w = w};
    struct sfs_task *tasks[3];
    make_pool(w, 1, 0);
    b.pool = must_open(w, NULL, ALL_DISKS);
    begin_rows(w, b.pool, &b.rows);
    MUST(w, sfs_task_start(w->env, "writer", writer_task, &b, &tasks[0]));
    MUST(w, sfs_task_start(w->env, "committer", committer_task, &b, &tasks[1]));
    MUST(w, sfs_task_start(w->env, "reader", reader_task, &b, &tasks[2]));
    struct prng prng; /* the writer uses the world's */
    prng_stream(&prng, w->seed, 12);
    for (unsigned i = 0; i < 12; i++) {
        unsigned disk = (unsigned)prng_below(&prng, 4);
        sfs_task_sleep(w->env, prng_below(&prng, 20) * 1000000);
        MUST(w, sfs_member_offline(b.pool, (uint16_t)(disk + 1), NULL));
        sfs_task_sleep(w->env, prng_below(&prng, 10) * 1000000);
        /* The device is free: it can be opened, here and by others. */
        MUST(w, sfs_member_online(b.pool, open_disk(w, disk), NULL));
        /* As the store does when all that was owed is paid and durable: here everything is written anew. */
        uint32_t target = written(&b) + ROWS + 2;
        while (written(&b) < target)
            sfs_task_sleep(w->env, 1000000);
        sfs_mutex_lock(&b.pool->lock);
        struct sfs_member *m = sfs_member_of(b.pool, (uint16_t)(disk + 1));
        m->complete = m->dirty = true;
        m->missed = 0;
        sfs_mutex_unlock(&b.pool->lock);
    }
    sfs_mutex_lock(&b.pool->lock);
    b.stop = true;
    sfs_mutex_unlock(&b.pool->lock);
    for (unsigned i = 0; i < 3; i++)
        sfs_task_join(w->env, tasks[i]);
    NEED_EQ(w, b.errors, 0);
    NEED(w, b.pool->retired_count == 0 && members_complete(b.pool) == 4);
    for (uint32_t row = 0; row < ROWS; row++)
        must_read(w, b.pool, &b.rows, row);
    MUST(w, commit(b.pool, 5));
    sfs_pool_close(b.pool);
    end_rows(w, &b.rows);
}

static void disks_go_and_come_under_load(void)
{
    for (unsigned i = 0; i < 5; i++) {
        struct world w;
        world_init(&w, test_seed() + i);
        add_disks(&w, 4, 64 * MIB);
        live(&w, busy_life, NULL);
        world_deinit(&w);
    }
}

/* --- faults at any rate, and cuts --- */

struct story {
    uint64_t acked, begun, refused;
};

static void story_make(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
}

static void story_life(struct world *w, void *arg)
{
    struct story *s = arg;
    struct sfs_pool *pool = must_open(w, NULL, ALL_DISKS);
    NEED(w, pool->last.pool_tree >= s->acked && pool->last.pool_tree <= s->begun);
    uint64_t first = s->begun;
    for (uint64_t state = first + 1; state <= first + 15; state++) {
        pool->config.extents_repaired = state;
        pool->config_dirty = true;
        s->begun = state;
        int err = commit(pool, state);
        if (err) {
            s->refused++;
            break;
        }
        s->acked = state;
    }
    sfs_pool_close(pool);
}

static void faults_and_cuts_lose_nothing_acknowledged(void)
{
    uint64_t most = 0;
    for (unsigned i = 0; i < 25; i++) {
        struct world w;
        struct story s = {0};
        world_init(&w, test_seed() * 1000 + i);
        add_disks(&w, 3, 64 * MIB);
        struct sim_rates rates = {.read_error = 2000, .write_error = 4000, .flush_error = 4000, .gone = 1000};
        sim_farm_set_budget(w.farm, 1);
        if (live(&w, story_make, &s)) {
            sim_farm_set_rates(w.farm, &rates);
            for (unsigned life = 0; life < 8; life++) {
                enum sim_end end = world_live(&w, &(struct world_life){.main = story_life, .arg = &s,
                                                                       .cut_at_io = 20 + test_below(250)});
                if (!CHECK(end == SIM_FINISHED || end == SIM_CUT))
                    break;
                for (unsigned d = 0; d < 3; d++)
                    if (sim_disk_is_away(sim_farm_disk(w.farm, d)) && test_below(2))
                        sim_disk_return(sim_farm_disk(w.farm, d));
                if (!sim_farm_affected(w.farm))
                    sim_farm_new_epoch(w.farm);
            }
        }
        most = s.acked > most ? s.acked : most;
        world_deinit(&w);
    }
    CHECK(most > 30);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(a_failing_disk_is_left_and_comes_back);
    RUN(a_commit_survives_the_loss_of_a_disk);
    RUN(with_too_few_disks_it_waits);
    RUN(lost_caches_are_not_committed);
    RUN(an_outdated_commit_is_not_written);
    RUN(the_wrong_disk_does_not_come_online);
    RUN(a_disk_joins_and_leaves);
    RUN(disks_go_and_come_under_load);
    RUN(faults_and_cuts_lose_nothing_acknowledged);
    return TEST_END();
}
