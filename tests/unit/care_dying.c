/* A disk that is dying: it leaves though some of it can be read no more, also where no other disk can take its columns. What is
 * lost is named, stays an error, and is found by each scrub; all else is right. */
#include "care_fixture.h"

struct dying {
    struct content c;
    unsigned disks, failover, sick; /* the first `sick` disks */
    bool rots;                      /* else they cannot be read there */
    unsigned lost;                  /* files */
    uint64_t extents;
};

static void fill(struct world *w, struct dying *d, uint8_t optimize)
{
    make_pool(w, (uint8_t)d->failover, optimize);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    for (uint32_t i = 0; i < FILES; i++)
        put_file(w, s, &d->c, i, ++d->c.next);
    sync_and_close(w, s);
}

static void fill_pool(struct world *w, void *arg)
{
    fill(w, arg, 0);
}

static void fill_copies(struct world *w, void *arg)
{
    fill(w, arg, 100);
}

static void note_named(void *context, const uint64_t *ids, size_t count)
{
    (void)ids;
    *(size_t *)context = count;
}

/* How many 4 KiB pieces of files that are lost in part can be read. */
static unsigned pieces_right(struct world *w, struct sfs_store *s, const struct content *c)
{
    static uint8_t got[SFS_SUM_BYTES], want[FILE_MAX + 8];
    unsigned right = 0;
    for (uint32_t file = 0; file < FILES; file++) {
        struct items items;
        unsigned lost = 0;
        verify_file(w, s, c, file, &lost);
        items_of(w, s, file, &items);
        file_bytes(file, c->version[file], want, file_size(file, c->version[file]));
        for (unsigned i = 0; i < items.count && lost; i++)
            for (uint32_t at = 0; at + sizeof got <= items.values[i].length; at += sizeof got) {
                struct sfs_read r = {.id = items.values[i].id, .offset = items.values[i].offset + at, .len = sizeof got, .buf = got};
                int err = sfs_store_read(s, &r, 1);
                NEED(w, !err || err == SCALEFS_E_CORRUPT);
                NEED(w, err || !memcmp(got, want + items.keys[i].b + at, sizeof got));
                right += !err;
            }
    }
    return right;
}

static unsigned files_lost(struct world *w, struct sfs_store *s, const struct content *c)
{
    unsigned lost = 0;
    for (uint32_t i = 0; i < FILES; i++)
        verify_file(w, s, c, i, &lost);
    return lost;
}

static void leave(struct world *w, void *arg)
{
    struct dying *d = arg;
    struct scalefs_error_info info;
    struct scalefs_task_status tasks[8];
    size_t count, named = 0;
    enum scalefs_pool_state state;
    unsigned left;
    char action[512];
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    sfs_store_set_namer(s, note_named, &named);
    MUST(w, sfs_care_remove(s, 1, -1, &info));
    take_care(w, s);
    sfs_care_tasks(s, tasks, 8, &count);
    NEED_EQ(w, count, 0);
    NEED(w, !sfs_member_of(s->pool, 1));
    d->lost = files_lost(w, s, &d->c);
    d->extents = s->pool->config.extents_lost;
    NEED(w, d->lost > 0 && d->lost < FILES);
    NEED(w, d->extents >= d->lost);
    NEED_EQ(w, named, d->extents);
    NEED(w, pieces_right(w, s, &d->c) > 0);
    sfs_care_state(s, &state, &left, action, sizeof action);
    NEED_EQ(w, state, SCALEFS_DAMAGED);
    NEED(w, strstr(action, "named"));
    sync_and_close(w, s);
}

/* Opened anew, a scrub finds the same; when the files are written anew, nothing. */
static void scrub(struct world *w, void *arg)
{
    struct dying *d = arg;
    struct scalefs_error_info info;
    size_t named = 0;
    struct sfs_store *s = open_store(w, ALL_DISKS & ~1ull, false);
    sfs_store_set_namer(s, note_named, &named);
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    take_care(w, s);
    NEED_EQ(w, s->pool->config.extents_lost, d->extents);
    NEED_EQ(w, named, d->extents);
    NEED_EQ(w, files_lost(w, s, &d->c), d->lost);
    for (uint32_t i = 0; i < FILES; i++)
        put_file(w, s, &d->c, i, ++d->c.next);
    MUST(w, sfs_care_scrub(s, SCALEFS_SCRUB_START, &info));
    take_care(w, s);
    NEED_EQ(w, s->pool->config.extents_lost, 0);
    NEED_EQ(w, named, 0);
    verify_all(w, s, &d->c);
    sync_and_close(w, s);
}

/* All accounts are right: what the check finds is what is lost. */
static void count_problems(struct world *w, void *arg)
{
    struct dying *d = arg;
    judge(w, &d->c, ALL_DISKS & ~1ull);
    if (d->c.problems - d->c.repairable != d->extents)
        sim_fail(w->sim, "%llu problems, %llu extents are lost: %s", (unsigned long long)(d->c.problems - d->c.repairable),
                 (unsigned long long)d->extents, d->c.first);
}

static void sound(struct world *w, void *arg)
{
    must_be_sound(w, &((struct dying *)arg)->c, ALL_DISKS & ~1ull);
}

/* Where nodes and their copies stand nothing is made unreadable: that is another story. */
struct spots {
    struct dying *d;
    unsigned count;
    struct {
        unsigned disk;
        uint64_t offset;
    } at[4096];
};

static void find_spots(struct world *w, void *arg)
{
    struct spots *x = arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        const struct sfs_group *g = s->pool->groups[i];
        bool data = g && (g->record.class == SFS_CLASS_DATA || g->record.class == SFS_CLASS_LANDING);
        for (unsigned c = 0; data && c < (unsigned)g->record.k + g->record.m; c++) {
            const struct sfs_member *m = sfs_member_of(s->pool, g->record.columns[c].disk);
            unsigned disk = sim_disk_index(sim_disk_of(m->disk));
            uint64_t column = m->record.data_offset + (uint64_t)g->record.columns[c].atom * SFS_ATOM_BYTES;
            for (uint64_t at = 5 * SFS_BLOCK; disk < x->d->sick && at < 1ull << g->record.column_log2 && x->count < 4096;
                 at += (x->d->failover ? 97 : 37) * SFS_BLOCK) {
                x->at[x->count].disk = disk;
                x->at[x->count++].offset = column + at;
            }
        }
    }
    s->pool->read_only = true;
    sync_and_close(w, s);
}

static void dies(struct dying d)
{
    static struct spots x;
    struct world w;
    world_init(&w, test_seed());
    add_disks(&w, d.disks, 96 * MIB);
    live(&w, fill_pool, &d);
    x = (struct spots){.d = &d};
    live(&w, find_spots, &x);
    for (unsigned i = 0; i < x.count; i++) {
        struct sim_disk *disk = sim_farm_disk(w.farm, x.at[i].disk);
        if (d.rots)
            sim_disk_rot(disk, x.at[i].offset, SFS_BLOCK);
        else
            sim_disk_make_unreadable(disk, x.at[i].offset, SFS_BLOCK);
    }
    live(&w, leave, &d);
    live(&w, count_problems, &d);
    live(&w, scrub, &d);
    live(&w, sound, &d);
    world_deinit(&w);
}

static void leaves_though_it_cannot_be_read(void)
{
    for (unsigned rots = 0; rots < 2; rots++) {
        dies((struct dying){.disks = 2, .sick = 1, .rots = rots});
        dies((struct dying){.disks = 4, .sick = 1, .rots = rots});
    }
}

static void leaves_though_more_is_wrong_than_is_borne(void)
{
    for (unsigned rots = 0; rots < 2; rots++) {
        dies((struct dying){.disks = 3, .failover = 1, .sick = 2, .rots = rots});
        dies((struct dying){.disks = 5, .failover = 2, .sick = 4, .rots = rots});
    }
}

/* --- what is only away is not lost --- */

enum { PIECES_MAX = FILE_MAX / SFS_SUM_BYTES + 1 };
struct away {
    struct dying d;
    uint16_t absent, leaving;
    bool right[FILES][PIECES_MAX]; /* could be read before */
};

/* Which pieces of files can be read; each that could be before must be still. */
static void look_at_pieces(struct world *w, struct sfs_store *s, struct away *a, bool after)
{
    static uint8_t got[SFS_SUM_BYTES];
    for (uint32_t file = 0; file < FILES; file++) {
        struct items items;
        items_of(w, s, file, &items);
        for (unsigned i = 0, n = 0; i < items.count; i++)
            for (uint32_t at = 0; at + sizeof got <= items.values[i].length; at += sizeof got, n++) {
                struct sfs_read r = {.id = items.values[i].id, .offset = items.values[i].offset + at, .len = sizeof got, .buf = got};
                bool right = sfs_store_read(s, &r, 1) == SCALEFS_OK;
                NEED(w, n < PIECES_MAX);
                if (after && a->right[file][n] && !right)
                    sim_fail(w->sim, "file %u: piece %u could be read before", file, n);
                a->right[file][n] = right;
            }
    }
}

/* Of the group that holds most: column 0 will be away, 1 and the last cannot be read, 2 leaves. */
static void spoil_columns(struct world *w, void *arg)
{
    struct away *a = arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    const struct sfs_group *most = NULL;
    take_care(w, s); /* logs are packed */
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        const struct sfs_group *g = s->pool->groups[i];
        if (g && g->record.class == SFS_CLASS_DATA && (!most || g->count.live > most->count.live))
            most = g;
    }
    NEED(w, most && most->record.k == 4 && most->record.m == 1);
    for (unsigned c = 1; c < 5; c += 3) {
        const struct sfs_member *m = sfs_member_of(s->pool, most->record.columns[c].disk);
        sim_disk_make_unreadable(sim_disk_of(m->disk),
                                 m->record.data_offset + (uint64_t)most->record.columns[c].atom * SFS_ATOM_BYTES + SFS_BLOCK,
                                 (1ull << most->record.column_log2) - SFS_BLOCK);
    }
    a->absent = most->record.columns[0].disk;
    a->leaving = most->record.columns[2].disk;
    look_at_pieces(w, s, a, false);
    sync_and_close(w, s);
}

static void leave_while_one_is_away(struct world *w, void *arg)
{
    struct away *a = arg;
    struct scalefs_error_info info = {0, ""};
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    MUST(w, sfs_care_offline(s, a->absent, &info));
    MUST(w, sfs_care_remove(s, a->leaving, -1, &info));
    take_care(w, s);
    NEED(w, sfs_member_of(s->pool, a->leaving)); /* what the other one has is waited for */
    sync_and_close(w, s);
}

static void go_on_with_it(struct world *w, void *arg)
{
    struct away *a = arg;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    take_care(w, s);
    NEED(w, !sfs_member_of(s->pool, a->leaving));
    look_at_pieces(w, s, a, true);
    sync_and_close(w, s);
}

/* Less of a row can be read than is borne, and the disk with what could still be read of it is away while another one leaves. */
static void what_an_absent_disk_has_is_not_given_up(void)
{
    static struct away a;
    struct world w;
    a = (struct away){.d = {.disks = 5, .failover = 1}};
    world_init(&w, test_seed());
    add_disks(&w, a.d.disks, 96 * MIB);
    live(&w, fill_pool, &a.d);
    live(&w, spoil_columns, &a);
    live(&w, leave_while_one_is_away, &a);
    live(&w, go_on_with_it, &a);
    world_deinit(&w);
}

/* --- back in the middle of a move --- */

struct returns {
    struct world *w;
    struct sfs_store *s;
    struct sfs_group *g;
    struct sfs_member *m;
    struct sfs_disk *disk;
    bool done;
};

static void return_when_it_moves(void *arg)
{
    struct returns *r = arg;
    while (!r->done) {
        sfs_store_lock(r->s);
        if (r->g->moving) {
            r->m->disk = r->disk;
            r->done = true;
        }
        sfs_store_unlock(r->s);
        sfs_task_sleep(r->w->env, 1000);
    }
}

/* Of two copies one cannot be read at all, and the other, on a disk that comes back just then, but for the first block of each row. */
static void move_while_it_returns(struct world *w, void *arg)
{
    struct away *a = arg;
    struct sfs_task *task;
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    struct sfs_group *most = NULL;
    take_care(w, s); /* logs are packed */
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (g && g->record.class == SFS_CLASS_DATA && (!most || g->count.live > most->count.live))
            most = g;
    }
    NEED(w, most && most->record.k == 1 && most->record.m == 1);
    uint16_t to = (uint16_t)(6 - most->record.columns[0].disk - most->record.columns[1].disk);
    for (unsigned c = 0; c < 2; c++) {
        const struct sfs_member *m = sfs_member_of(s->pool, most->record.columns[c].disk);
        uint64_t at = m->record.data_offset + (uint64_t)most->record.columns[c].atom * SFS_ATOM_BYTES + SFS_BLOCK;
        uint32_t unit = sfs_group_unit(&most->record);
        for (uint32_t row = 0; row < most->record.rows; row++, at += unit)
            sim_disk_make_unreadable(sim_disk_of(m->disk), at, c ? unit : SFS_BLOCK);
    }
    look_at_pieces(w, s, a, false);
    struct returns r = {.w = w, .s = s, .g = most, .m = sfs_member_of(s->pool, most->record.columns[0].disk)};
    r.disk = r.m->disk;
    r.m->disk = NULL;
    MUST(w, sfs_task_start(w->env, "returns", return_when_it_moves, &r, &task));
    NEED_EQ(w, sfs_column_move(s->care, &most->record, 0, to, false), SCALEFS_E_SUSPENDED);
    r.done = true;
    sfs_task_join(w->env, task);
    MUST(w, sfs_column_move(s->care, &most->record, 0, to, false));
    look_at_pieces(w, s, a, true);
    sync_and_close(w, s);
}

static void what_comes_back_during_a_move_is_not_given_up(void)
{
    static struct away a;
    struct world w;
    a = (struct away){.d = {.failover = 1}};
    world_init(&w, test_seed());
    add_disks(&w, 3, 96 * MIB);
    live(&w, fill_copies, &a.d);
    live(&w, move_while_it_returns, &a);
    world_deinit(&w);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(leaves_though_it_cannot_be_read);
    RUN(leaves_though_more_is_wrong_than_is_borne);
    RUN(what_an_absent_disk_has_is_not_given_up);
    RUN(what_comes_back_during_a_move_is_not_given_up);
    return TEST_END();
}
