/* Proves the simulated disks: what is flushed survives cuts and nothing else need; programs that
 * forget a flush are caught; torn, lost, misdirected, rotten and unreadable data is what it says. */
#include "sim/world.h"
#include "test.h"

enum { SEEDS = 200, SIZE = 16 << 20, BLOCK = 4096, RECORDS = 6 };

static struct sim_disk *add_disk(struct world *w)
{
    return sim_farm_add(w->farm, &(struct sim_disk_options){.size_bytes = SIZE, .discard = true});
}

static enum sim_end live(struct world *w, void (*fn)(struct world *, void *), void *arg)
{
    return world_live(w, &(struct world_life){.main = fn, .arg = arg});
}

static int io_at(struct world *w, struct sfs_disk *disk, enum sfs_io_op op, uint64_t offset,
                 void *buf, uint64_t len)
{
    struct sfs_io io = {.disk = disk, .op = op, .offset = offset, .buf = buf, .len = len};
    return sfs_io_run(w->env, &io, 1);
}

/* A page of this byte, written to (or expected at) a place. */
static int write_byte(struct world *w, struct sfs_disk *disk, uint64_t offset, int byte,
                      uint64_t len)
{
    void *buf = sfs_alloc_io(w->env, len);
    memset(buf, byte, len);
    int r = io_at(w, disk, SFS_IO_WRITE, offset, buf, len);
    sfs_free(w->env, buf);
    return r;
}

static int flush(struct world *w, struct sfs_disk *disk)
{
    return io_at(w, disk, SFS_IO_FLUSH, 0, NULL, 0);
}

/* The byte of which the range consists, −1 when it is mixed, −2 when it cannot be read. */
static int read_byte(struct world *w, struct sfs_disk *disk, uint64_t offset, uint64_t len)
{
    uint8_t *buf = sfs_alloc_io(w->env, len);
    int r = io_at(w, disk, SFS_IO_READ, offset, buf, len) ? -2 : buf[0];
    for (uint64_t i = 0; r >= 0 && i < len; i++)
        if (buf[i] != r)
            r = -1;
    sfs_free(w->env, buf);
    return r;
}

static struct sfs_disk *open_one(struct world *w)
{
    struct sfs_disk *disk;
    if (sim_disk_open(sim_farm_disk(w->farm, 0), w->env, &disk))
        sim_fail(w->sim, "the disk cannot be opened");
    return disk;
}

static void expect(struct world *w, bool good, const char *what)
{
    if (!good)
        sim_fail(w->sim, "not true: %s", what);
}
#define EXPECT(x) expect(w, x, #x)

/* A toy journal ------------------------------------------------------------------------------- */

/* Records at 4096, 8192 …; the block at 0 says how many are valid. */
struct journal {
    bool flushes_first, flushes_last;
    int acknowledged;
};

static void append(struct world *w, void *arg)
{
    struct journal *j = arg;
    struct sfs_disk *disk = open_one(w);
    for (int i = 1; i <= RECORDS; i++) {
        EXPECT(!write_byte(w, disk, (uint64_t)i * BLOCK, i, BLOCK));
        if (j->flushes_first)
            EXPECT(!flush(w, disk));
        EXPECT(!write_byte(w, disk, 0, i, BLOCK));
        if (j->flushes_last)
            EXPECT(!flush(w, disk));
        j->acknowledged = i;
    }
    sfs_disk_close(disk);
}

/* A count that is torn is one of the two (its sectors are alike within); all it covers is there. */
static void replay(struct world *w, void *arg)
{
    struct journal *j = arg;
    struct sfs_disk *disk = open_one(w);
    uint8_t *head = sfs_alloc_io(w->env, BLOCK);
    EXPECT(!io_at(w, disk, SFS_IO_READ, 0, head, BLOCK));
    for (int s = 0; s < BLOCK; s += 512)
        EXPECT(head[s] >= j->acknowledged && head[s] <= j->acknowledged + 1);
    int count = head[0];
    sfs_free(w->env, head);
    for (int i = 1; i <= count; i++)
        EXPECT(read_byte(w, disk, (uint64_t)i * BLOCK, BLOCK) == i);
    sfs_disk_close(disk);
}

/* The number of seeds whose cut shows the journal wrong. */
static int caught(bool flushes_first, bool flushes_last)
{
    int wrong = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct world w;
        struct journal j = {flushes_first, flushes_last, 0};
        world_init(&w, seed);
        add_disk(&w);
        uint64_t cut = 1 + prng_below(&w.prng, RECORDS * 4);
        enum sim_end end =
            world_live(&w, &(struct world_life){.main = append, .arg = &j, .cut_at_io = cut});
        CHECK(end == SIM_CUT || end == SIM_FINISHED);
        end = world_live(&w, &(struct world_life){.main = replay, .arg = &j, .quiet = true});
        wrong += end != SIM_FINISHED;
        world_deinit(&w);
    }
    return wrong;
}

static void forgotten_flushes_are_caught(void)
{
    CHECK_EQ(caught(true, true), 0);
    CHECK(caught(false, true) > SEEDS / 50);
    CHECK(caught(true, false) > SEEDS / 10);
}

static void forget(void *arg)
{
    ((struct journal *)arg)->acknowledged = 0;
}

static void sweeps_cut_everywhere(void)
{
    struct sim_farm *farm = sim_farm_create(1);
    sim_farm_add(farm, &(struct sim_disk_options){.size_bytes = SIZE});
    struct journal j = {true, true, 0};
    struct world_sweep s = {.seed = 1, .start = farm, .begin = forget, .work = append,
                            .check = replay, .arg = &j, .outcomes = 5, .quiet = true};
    uint64_t cuts;
    CHECK(world_sweep(&s, &cuts));
    CHECK_EQ(cuts, RECORDS * 4 * 5);
    j.flushes_last = false;
    CHECK(!world_sweep(&s, &cuts));
    j = (struct journal){false, true, 0};
    CHECK(!world_sweep(&s, &cuts));
    s.kill = true; /* without a power cut nothing complete is lost */
    j = (struct journal){false, false, 0};
    CHECK(world_sweep(&s, &cuts));
    CHECK_EQ(cuts, RECORDS * 2 * 5);
    sim_farm_destroy(farm);
}

static void liars_are_no_help(void)
{
    int wrong = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct world w;
        struct journal j = {true, true, 0};
        world_init(&w, seed);
        sim_farm_add(w.farm, &(struct sim_disk_options){.size_bytes = SIZE, .ignores_flush = true});
        world_live(&w, &(struct world_life){.main = append, .arg = &j, .cut_at_io = 20});
        wrong += world_live(&w, &(struct world_life){.main = replay, .arg = &j, .quiet = true}) !=
                 SIM_FINISHED;
        world_deinit(&w);
    }
    CHECK(wrong > 10);
}

/* Cuts ---------------------------------------------------------------------------------------- */

static void write_old_then_new(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_disk *disk = open_one(w);
    EXPECT(!write_byte(w, disk, 0, 1, 4 * BLOCK));
    EXPECT(!flush(w, disk));
    EXPECT(!write_byte(w, disk, 0, 2, 4 * BLOCK));
    EXPECT(!write_byte(w, disk, 0, 3, 2 * BLOCK)); /* overlaps, later */
    EXPECT(read_byte(w, disk, 0, 2 * BLOCK) == 3);
    EXPECT(read_byte(w, disk, 2 * BLOCK, 2 * BLOCK) == 2);
    sim_env_cut(w->sim);
}

static void cuts_tear_and_reorder(void)
{
    int mixed = 0, whole[4] = {0}, skipped = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct world w;
        uint8_t bytes[4 * BLOCK];
        world_init(&w, seed);
        struct sim_disk *d = add_disk(&w);
        CHECK_EQ(live(&w, write_old_then_new, NULL), SIM_CUT);
        sim_disk_peek(d, 0, bytes, sizeof bytes);
        bool same = true;
        for (size_t i = 0; i < sizeof bytes; i++) {
            /* Flushed bytes never go back; what tears are sectors. */
            CHECK(bytes[i] >= 1 && bytes[i] <= (i < 2 * BLOCK ? 3 : 2));
            CHECK(bytes[i] == bytes[i / 512 * 512]);
            same &= i < 2 * BLOCK || bytes[i] == bytes[2 * BLOCK];
        }
        mixed += !same;
        whole[bytes[0]]++;
        skipped += bytes[0] == 3 && bytes[2 * BLOCK] == 1; /* the earlier lost, the later kept */
        CHECK_EQ(sim_disk_damaged_pages(d), 0);
        world_deinit(&w);
    }
    CHECK(mixed > SEEDS / 10);
    CHECK(whole[1] > SEEDS / 20 && whole[2] > SEEDS / 20 && whole[3] > SEEDS / 20);
    CHECK(skipped > SEEDS / 50);
}

static void write_two_at_once(struct world *w, void *arg)
{
    int *last = arg;
    struct sfs_disk *disk = open_one(w);
    uint8_t *a = sfs_alloc_io(w->env, BLOCK), *b = sfs_alloc_io(w->env, BLOCK);
    memset(a, 1, BLOCK);
    memset(b, 2, BLOCK);
    struct sfs_io ios[] = {
        {.disk = disk, .op = SFS_IO_WRITE, .offset = 0, .buf = a, .len = BLOCK},
        {.disk = disk, .op = SFS_IO_WRITE, .offset = 0, .buf = b, .len = BLOCK},
    };
    EXPECT(!sfs_io_run(w->env, ios, 2));
    *last = read_byte(w, disk, 0, BLOCK);
    sfs_free(w->env, a);
    sfs_free(w->env, b);
    sfs_disk_close(disk);
}

static void concurrent_requests_have_no_order(void)
{
    int count[3] = {0};
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct world w;
        int last = 0;
        world_init(&w, seed);
        add_disk(&w);
        CHECK_EQ(live(&w, write_two_at_once, &last), SIM_FINISHED);
        CHECK(last == 1 || last == 2);
        count[last]++;
        world_deinit(&w);
    }
    CHECK(count[1] > 10 && count[2] > 10);
}

static void flush_while_writing(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_disk *disk = open_one(w);
    uint8_t *buf = sfs_alloc_io(w->env, BLOCK);
    memset(buf, 1, BLOCK);
    struct sfs_io ios[] = {
        {.disk = disk, .op = SFS_IO_WRITE, .offset = 0, .buf = buf, .len = BLOCK},
        {.disk = disk, .op = SFS_IO_FLUSH},
    };
    EXPECT(!sfs_io_run(w->env, ios, 2));
    sim_env_cut(w->sim);
}

static void flushes_cover_what_was_complete_before(void)
{
    int lost = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct world w;
        uint8_t bytes[BLOCK];
        world_init(&w, seed);
        struct sim_disk *d = add_disk(&w);
        CHECK_EQ(live(&w, flush_while_writing, NULL), SIM_CUT);
        sim_disk_peek(d, 0, bytes, BLOCK);
        lost += bytes[0] == 0;
        world_deinit(&w);
    }
    CHECK(lost > 5);
}

/* Repetition ---------------------------------------------------------------------------------- */

struct client {
    struct world *w;
    struct sfs_disk **disks;
    uint64_t seed;
};

static void scribble(void *arg)
{
    struct client *c = arg;
    struct world *w = c->w;
    struct prng p;
    prng_seed(&p, c->seed);
    uint8_t *buf = sfs_alloc_io(w->env, 8 * BLOCK);
    for (int i = 0; i < 40; i++) {
        struct sfs_disk *disk = c->disks[prng_below(&p, 3)];
        uint64_t offset = prng_below(&p, 200) * BLOCK, len = (1 + prng_below(&p, 8)) * BLOCK;
        uint64_t what = prng_below(&p, 10);
        enum sfs_io_op op = what < 5   ? SFS_IO_WRITE
                            : what < 8 ? SFS_IO_READ
                            : what < 9 ? SFS_IO_FLUSH
                                       : SFS_IO_DISCARD;
        if (op == SFS_IO_WRITE)
            prng_fill(&p, buf, len);
        io_at(w, disk, op, offset, buf, len);
    }
    sfs_free(w->env, buf);
}

static void scribble_together(struct world *w, void *arg)
{
    struct sfs_disk *disks[3];
    struct client clients[4];
    struct sfs_task *tasks[4];
    (void)arg;
    world_open_disks(w, disks);
    for (int i = 0; i < 4; i++) {
        clients[i] = (struct client){w, disks, prng_next(&w->prng)};
        EXPECT(!sfs_task_start(w->env, "client", scribble, &clients[i], &tasks[i]));
    }
    for (int i = 0; i < 4; i++)
        sfs_task_join(w->env, tasks[i]);
    world_close_disks(w, disks);
}

static const struct sim_rates all_faults = {20000, 5000, 5000, 20000, 5000, 20000, 20000, 2000};

/* Several lives with cuts and faults; the digest of all of it and of what is left on the disks. */
static uint64_t scribble_for_lives(uint64_t seed)
{
    struct world w;
    world_init(&w, seed);
    for (int i = 0; i < 3; i++)
        add_disk(&w);
    sim_farm_set_rates(w.farm, &all_faults);
    sim_farm_set_budget(w.farm, 2);
    for (int i = 0; i < 3; i++) {
        struct world_life l = {.main = scribble_together};
        l.cut_at_io = i < 2 ? 30 + prng_below(&w.prng, 100) : 0;
        enum sim_end end = world_live(&w, &l);
        CHECK(end == SIM_CUT || end == SIM_FINISHED);
        CHECK(sim_farm_affected(w.farm) <= 2);
        for (unsigned d = 0; d < 3; d++)
            sim_disk_return(sim_farm_disk(w.farm, d));
    }
    uint64_t digest = w.digest;
    for (unsigned d = 0; d < 3; d++) {
        uint8_t bytes[BLOCK];
        for (int i = 0; i < 220; i++) {
            sim_disk_peek(sim_farm_disk(w.farm, d), (uint64_t)i * BLOCK, bytes, BLOCK);
            for (int k = 0; k < BLOCK; k += 8)
                digest = prng_mix(digest, bytes[k] | (uint64_t)bytes[k + 7] << 8);
        }
    }
    world_deinit(&w);
    return digest;
}

static void same_seed_same_disks(void)
{
    uint64_t all = 0;
    for (uint64_t seed = test_seed(); seed < test_seed() + 30; seed++) {
        uint64_t digest = scribble_for_lives(seed);
        void *elsewhere = malloc(54321 + seed * 16);
        CHECK(scribble_for_lives(seed) == digest);
        free(elsewhere);
        all = prng_mix(all, digest);
    }
    CHECK(scribble_for_lives(1) != scribble_for_lives(2));
    printf("# digest of all: %016" PRIx64 " (the same on every machine)\n", all);
}

/* Faults -------------------------------------------------------------------------------------- */

static void inject_each(struct world *w, void *arg)
{
    struct sim_disk *d = arg;
    struct sfs_disk *disk = open_one(w);
    EXPECT(!write_byte(w, disk, 0, 1, 8 * BLOCK));

    sim_disk_lose_writes(d, 1); /* stale, in part or in whole, and a flush does not help */
    EXPECT(!write_byte(w, disk, 0, 2, BLOCK));
    EXPECT(!flush(w, disk));
    EXPECT(read_byte(w, disk, 0, BLOCK) == 1);
    EXPECT(sim_disk_damage(d, 0, BLOCK) == SIM_STALE);
    EXPECT(!write_byte(w, disk, 0, 3, BLOCK)); /* heals, once the old version is gone */
    EXPECT(sim_disk_damage(d, 0, BLOCK) == SIM_STALE);
    EXPECT(!flush(w, disk));
    EXPECT(sim_disk_damage(d, 0, BLOCK) == 0);

    sim_disk_misdirect_write(d, 5 * BLOCK);
    EXPECT(!write_byte(w, disk, BLOCK, 4, BLOCK));
    EXPECT(read_byte(w, disk, BLOCK, BLOCK) == 1);
    EXPECT(read_byte(w, disk, 5 * BLOCK, BLOCK) == 4);
    EXPECT(sim_disk_damage(d, BLOCK, BLOCK) == SIM_STALE);
    EXPECT(sim_disk_damage(d, 5 * BLOCK, BLOCK) == SIM_INTRUDED);
    EXPECT(sim_disk_damaged_pages(d) == 2);

    sim_disk_rot(d, 2 * BLOCK, BLOCK);
    EXPECT(read_byte(w, disk, 2 * BLOCK, BLOCK) == -1);
    sim_disk_make_unreadable(d, 3 * BLOCK, BLOCK);
    EXPECT(read_byte(w, disk, 2 * BLOCK, 2 * BLOCK) == -2);
    EXPECT(read_byte(w, disk, 3 * BLOCK, BLOCK) == -2);
    EXPECT(sim_disk_damaged_pages(d) == 4);
    sim_disk_fail_reads(d, 1);
    EXPECT(read_byte(w, disk, 6 * BLOCK, BLOCK) == -2);
    EXPECT(read_byte(w, disk, 6 * BLOCK, BLOCK) == 1);
    sim_disk_fail_writes(d, 1);
    EXPECT(write_byte(w, disk, 7 * BLOCK, 5, BLOCK) == SCALEFS_E_IO);
    EXPECT(sim_disk_damage(d, 7 * BLOCK, BLOCK) == SIM_HALF_DONE);
    sim_disk_fail_flushes(d, 1);
    EXPECT(flush(w, disk) == SCALEFS_E_IO);
    EXPECT(sim_disk_is_affected(d));

    EXPECT(!write_byte(w, disk, 0, 9, 8 * BLOCK));
    EXPECT(!flush(w, disk));
    EXPECT(read_byte(w, disk, 0, 8 * BLOCK) == 9);
    EXPECT(sim_disk_damaged_pages(d) == 0);
    EXPECT(sim_disk_is_affected(d));
    sim_farm_new_epoch(w->farm);
    EXPECT(!sim_disk_is_affected(d));
    sfs_disk_close(disk);
}

static void injected_faults_are_seen_and_healed(void)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct world w;
        world_init(&w, seed);
        struct sim_disk *d = add_disk(&w);
        CHECK_EQ(live(&w, inject_each, d), SIM_FINISHED);
        const struct sim_fault_entry *log;
        CHECK_EQ(sim_farm_faults(w.farm, &log), 8);
        CHECK(log[0].kind == SIM_FAULT_LOST && log[0].offset == 0 && log[0].life == 1);
        CHECK(log[1].kind == SIM_FAULT_MISDIRECTED && log[2].offset == 5 * BLOCK);
        CHECK_EQ(sim_disk_stats(d)->faults[SIM_FAULT_ROT], 1);
        world_deinit(&w);
    }
}

static void faults_at_rates_come_within_the_budget(void)
{
    uint64_t seen[SIM_FAULT_KINDS] = {0};
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct world w;
        world_init(&w, seed);
        for (int i = 0; i < 3; i++)
            add_disk(&w);
        sim_farm_set_rates(w.farm, &all_faults);
        sim_farm_set_budget(w.farm, seed % 3);
        CHECK_EQ(live(&w, scribble_together, NULL), SIM_FINISHED);
        CHECK(sim_farm_affected(w.farm) <= seed % 3);
        const struct sim_fault_entry *log;
        CHECK((sim_farm_faults(w.farm, &log) > 0) == (seed % 3 > 0));
        for (unsigned d = 0; d < 3; d++)
            for (int k = 0; k < SIM_FAULT_KINDS; k++)
                seen[k] += sim_disk_stats(sim_farm_disk(w.farm, d))->faults[k];
        world_deinit(&w);
    }
    for (int k = 0; k < SIM_FAULT_RETURNED; k++)
        CHECK(seen[k] > 0);
}

static void pull_and_return(struct world *w, void *arg)
{
    struct sim_disk *d = arg;
    struct sfs_disk *disk = open_one(w), *again;
    EXPECT(sim_disk_open(d, w->env, &again) == SCALEFS_E_BUSY);
    EXPECT(!write_byte(w, disk, 0, 1, BLOCK));
    EXPECT(!flush(w, disk));
    EXPECT(!write_byte(w, disk, 0, 2, BLOCK));
    sim_disk_pull(d);
    EXPECT(sim_disk_open(d, w->env, &again) == SCALEFS_E_GONE);
    EXPECT(sfs_disk_refresh(disk) == SCALEFS_E_GONE);
    EXPECT(write_byte(w, disk, 0, 3, BLOCK) == SCALEFS_E_GONE);
    sim_disk_return(d);
    EXPECT(flush(w, disk) == SCALEFS_E_GONE); /* an old handle stays dead */
    EXPECT(!sim_disk_open(d, w->env, &again));
    sfs_disk_close(disk);
    EXPECT(sim_disk_open(d, w->env, &disk) == SCALEFS_E_BUSY);
    uint8_t bytes[BLOCK];
    sim_disk_peek(d, 0, bytes, BLOCK);
    for (int i = 0; i < BLOCK; i++)
        EXPECT(bytes[i] == 1 || bytes[i] == 2);
    EXPECT(!write_byte(w, again, BLOCK, 7, BLOCK));
    EXPECT(read_byte(w, again, BLOCK, BLOCK) == 7);
    sim_disk_replace(d);
    EXPECT(sim_disk_stored_pages(d) == 0);
    sfs_disk_close(again);
}

static void disks_go_and_return(void)
{
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct world w;
        world_init(&w, seed);
        struct sim_disk *d = add_disk(&w);
        CHECK_EQ(live(&w, pull_and_return, d), SIM_FINISHED);
        world_deinit(&w);
    }
}

static void write_while_it_goes(struct world *w, void *arg)
{
    struct sim_disk *d = arg;
    struct sfs_disk *disk = open_one(w);
    void *buf = sfs_alloc_io(w->env, BLOCK);
    memset(buf, 1, BLOCK);
    struct sfs_io_batch batch;
    struct sfs_io ios[8];
    for (int i = 0; i < 8; i++)
        ios[i] = (struct sfs_io){.disk = disk, .op = i == 7 ? SFS_IO_FLUSH : SFS_IO_WRITE,
                                 .offset = (uint64_t)i * BLOCK, .buf = buf, .len = BLOCK};
    sfs_io_submit(w->env, &batch, ios, 8);
    sim_disk_pull(d);
    sfs_io_wait(&batch);
    EXPECT(ios[7].result == SCALEFS_E_GONE || sim_disk_stored_pages(d) == 7);
    sfs_free(w->env, buf);
    sfs_disk_close(disk);
}

static void requests_in_flight_go_with_the_disk(void)
{
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct world w;
        world_init(&w, seed);
        struct sim_disk *d = sim_farm_add(
            w.farm, &(struct sim_disk_options){.size_bytes = SIZE, .mean_latency_ns = 1000000000});
        CHECK_EQ(live(&w, write_while_it_goes, d), SIM_FINISHED);
        world_deinit(&w);
    }
}

/* Mistakes ------------------------------------------------------------------------------------ */

static void change_buffer(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_disk *disk = open_one(w);
    uint8_t *buf = sfs_alloc_io(w->env, BLOCK);
    memset(buf, 1, BLOCK);
    struct sfs_io io = {.disk = disk, .op = SFS_IO_WRITE, .buf = buf, .len = BLOCK};
    struct sfs_io_batch batch;
    sfs_io_submit(w->env, &batch, &io, 1);
    buf[100] = 2;
    sfs_io_wait(&batch);
    sfs_free(w->env, buf);
    sfs_disk_close(disk);
}

static void look_too_early(struct world *w, void *arg)
{
    bool *nonsense = arg;
    struct sfs_disk *disk = open_one(w);
    uint8_t *buf = sfs_alloc_io(w->env, BLOCK);
    memset(buf, 1, BLOCK);
    struct sfs_io io = {.disk = disk, .op = SFS_IO_READ, .buf = buf, .len = BLOCK};
    struct sfs_io_batch batch;
    sfs_io_submit(w->env, &batch, &io, 1);
    *nonsense = buf[0] != 0 && buf[0] != 1;
    sfs_io_wait(&batch);
    EXPECT(buf[0] == 0);
    sfs_free(w->env, buf);
    sfs_disk_close(disk);
}

static void leak(struct world *w, void *arg)
{
    (void)arg;
    EXPECT(sfs_alloc(w->env, 100) != NULL);
}

static void misuse_is_found(void)
{
    struct world w;
    bool nonsense = false;
    world_init(&w, 1);
    sim_farm_add(w.farm,
                 &(struct sim_disk_options){.size_bytes = SIZE, .mean_latency_ns = 10000000});
    struct world_life l = {.main = change_buffer, .quiet = true};
    CHECK_EQ(world_live(&w, &l), SIM_FAILED);
    l.main = leak;
    CHECK_EQ(world_live(&w, &l), SIM_FAILED);
    CHECK_EQ(live(&w, look_too_early, &nonsense), SIM_FINISHED);
    CHECK(nonsense);
    world_deinit(&w);
}

static void refuse_and_resize(struct world *w, void *arg)
{
    struct sim_disk *d = arg;
    struct sfs_disk *disk = open_one(w);
    EXPECT(disk->info.size_bytes == SIZE && disk->info.sector_bytes == 512 && !disk->info.zoned);
    EXPECT(write_byte(w, disk, SIZE, 1, BLOCK) == SCALEFS_E_INVAL);
    EXPECT(write_byte(w, disk, SIZE - BLOCK, 1, 2 * BLOCK) == SCALEFS_E_INVAL);
    EXPECT(!write_byte(w, disk, SIZE - BLOCK, 1, BLOCK));
    sim_disk_resize(d, SIZE / 2);
    EXPECT(read_byte(w, disk, SIZE - BLOCK, BLOCK) == -2);
    EXPECT(sim_disk_stored_pages(d) == 0);
    EXPECT(!sfs_disk_refresh(disk) && disk->info.size_bytes == SIZE / 2);
    sim_disk_resize(d, SIZE * 2);
    EXPECT(!sfs_disk_refresh(disk) && disk->info.size_bytes == SIZE * 2);
    EXPECT(read_byte(w, disk, SIZE - BLOCK, BLOCK) == 0);
    EXPECT(!write_byte(w, disk, SIZE * 2 - BLOCK, 5, BLOCK));
    EXPECT(!io_at(w, disk, SFS_IO_DISCARD, SIZE * 2 - 2 * BLOCK, NULL, 2 * BLOCK));
    EXPECT(!write_byte(w, disk, SIZE * 2 - BLOCK, 6, BLOCK));
    EXPECT(read_byte(w, disk, SIZE * 2 - BLOCK, BLOCK) == 6);
    sfs_disk_close(disk);
}

static void disks_have_an_end_that_moves(void)
{
    struct world w;
    world_init(&w, 1);
    struct sim_disk *d = add_disk(&w);
    CHECK_EQ(live(&w, refuse_and_resize, d), SIM_FINISHED);
    struct sim_farm *copy = sim_farm_copy(w.farm, 9);
    uint8_t a[BLOCK] = {1}, b[BLOCK];
    sim_disk_poke(d, 0, a, BLOCK); /* the copy is another farm */
    sim_disk_peek(sim_farm_disk(copy, 0), 0, b, BLOCK);
    CHECK_EQ(b[0], 0);
    sim_disk_peek(sim_farm_disk(copy, 0), SIZE * 2 - BLOCK, b, BLOCK);
    CHECK_EQ(b[0], 6);
    sim_farm_destroy(copy);
    world_deinit(&w);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(forgotten_flushes_are_caught);
    RUN(sweeps_cut_everywhere);
    RUN(liars_are_no_help);
    RUN(cuts_tear_and_reorder);
    RUN(concurrent_requests_have_no_order);
    RUN(flushes_cover_what_was_complete_before);
    RUN(same_seed_same_disks);
    RUN(injected_faults_are_seen_and_healed);
    RUN(faults_at_rates_come_within_the_budget);
    RUN(disks_go_and_return);
    RUN(requests_in_flight_go_with_the_disk);
    RUN(misuse_is_found);
    RUN(disks_have_an_end_that_moves);
    return TEST_END();
}
