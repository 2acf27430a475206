/* Proves the simulated zoned disks: what they refuse, their write pointers, and what cuts leave. */
#include "sim/world.h"
#include "test.h"

enum { PAGE = 4096, ZONE = 64 * PAGE, CAPACITY = 48 * PAGE, ZONES = 8, SEEDS = 200 };

static void expect(struct world *w, bool good, const char *what)
{
    if (!good)
        sim_fail(w->sim, "not true: %s", what);
}
#define EXPECT(x) expect(w, x, #x)

static struct sim_disk *add_zoned(struct world *w, uint32_t max_active, uint32_t sector)
{
    return sim_farm_add(w->farm, &(struct sim_disk_options){.size_bytes = ZONES * ZONE,
                                                            .zone_bytes = ZONE,
                                                            .zone_capacity = CAPACITY,
                                                            .max_active = max_active,
                                                            .sector_bytes = sector});
}

static struct sfs_disk *open_one(struct world *w)
{
    struct sfs_disk *disk;
    if (sim_disk_open(sim_farm_disk(w->farm, 0), w->env, &disk))
        sim_fail(w->sim, "the disk cannot be opened");
    return disk;
}

/* Every page holds its number on the disk, from 1, plus `salt` in each 8 bytes. */
static void fill(uint8_t *buf, uint64_t offset, uint64_t len, uint64_t salt)
{
    for (uint64_t i = 0; i < len; i += 8) {
        uint64_t v = (offset + i) / PAGE + 1 + salt;
        memcpy(buf + i, &v, 8);
    }
}

static int request(struct world *w, struct sfs_disk *disk, enum sfs_io_op op, uint64_t offset,
                   uint64_t len, uint64_t salt)
{
    uint8_t *buf = sfs_alloc_io(w->env, len + 1);
    fill(buf, offset, len, salt);
    struct sfs_io io = {.disk = disk, .op = op, .offset = offset, .buf = buf, .len = len};
    int r = sfs_io_run(w->env, &io, 1);
    sfs_free(w->env, buf);
    return r;
}

static int append(struct world *w, struct sfs_disk *disk, uint64_t offset, uint64_t pages)
{
    return request(w, disk, SFS_IO_WRITE, offset, pages * PAGE, 0);
}

static uint64_t pointer(struct world *w, struct sfs_disk *disk, uint64_t offset)
{
    uint64_t p = UINT64_MAX;
    EXPECT(!disk->ops->write_pointer(disk, offset, &p));
    return p;
}

/* Does a page read as it was written? */
static bool holds(struct world *w, struct sfs_disk *disk, uint64_t offset, uint64_t salt)
{
    uint8_t *buf = sfs_alloc_io(w->env, PAGE), want[PAGE];
    struct sfs_io io = {.disk = disk, .op = SFS_IO_READ, .offset = offset, .buf = buf, .len = PAGE};
    fill(want, offset, PAGE, salt);
    bool good = !sfs_io_run(w->env, &io, 1) && !memcmp(buf, want, PAGE);
    sfs_free(w->env, buf);
    return good;
}

static void use_zones(struct world *w, void *arg)
{
    struct sfs_disk *disk = open_one(w);
    (void)arg;
    EXPECT(disk->info.zoned && disk->info.zone_bytes == ZONE && disk->info.sector_bytes == 4096);
    EXPECT(pointer(w, disk, 5) == 0 && pointer(w, disk, ZONE + 5) == ZONE);
    EXPECT(append(w, disk, PAGE, 1) == SCALEFS_E_INVAL); /* not at the pointer */
    EXPECT(!append(w, disk, 0, 3));
    EXPECT(pointer(w, disk, 0) == 3 * PAGE);
    EXPECT(append(w, disk, 0, 1) == SCALEFS_E_INVAL);
    EXPECT(append(w, disk, 4 * PAGE, 1) == SCALEFS_E_INVAL);
    EXPECT(append(w, disk, 3 * PAGE, 46) == SCALEFS_E_INVAL); /* beyond the capacity */
    EXPECT(!append(w, disk, 3 * PAGE, 45));
    EXPECT(pointer(w, disk, 0) == ZONE); /* full */
    EXPECT(append(w, disk, CAPACITY, 1) == SCALEFS_E_INVAL);
    EXPECT(holds(w, disk, 0, 0) && holds(w, disk, 47 * PAGE, 0));
    EXPECT(!holds(w, disk, 48 * PAGE, 0));
    EXPECT(request(w, disk, SFS_IO_ZONE_RESET, PAGE, ZONE, 0) == SCALEFS_E_INVAL);
    EXPECT(!request(w, disk, SFS_IO_ZONE_RESET, 0, ZONE, 0));
    EXPECT(pointer(w, disk, 0) == 0);
    EXPECT(!holds(w, disk, 0, 0));
    /* Two zones may be active. */
    EXPECT(!append(w, disk, 0, 1) && !append(w, disk, ZONE, 1));
    EXPECT(append(w, disk, 2 * ZONE, 1) == SCALEFS_E_INVAL);
    EXPECT(!append(w, disk, PAGE, 47)); /* full zones are not active */
    EXPECT(!append(w, disk, 2 * ZONE, 1));
    EXPECT(append(w, disk, 3 * ZONE, 1) == SCALEFS_E_INVAL);
    EXPECT(!request(w, disk, SFS_IO_ZONE_RESET, ZONE, ZONE, 0));
    EXPECT(!append(w, disk, 3 * ZONE, 1));
    sfs_disk_close(disk);
}

static void zones_refuse_as_they_should(void)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct world w;
        world_init(&w, seed);
        struct sim_disk *d = add_zoned(&w, 2, 0);
        CHECK_EQ(world_live(&w, &(struct world_life){.main = use_zones}), SIM_FINISHED);
        CHECK_EQ(sim_disk_stats(d)->refused, 8);
        world_deinit(&w);
    }
}

static void append_at_once(struct world *w, void *arg)
{
    (void)arg;
    enum { N = 8 };
    struct sfs_disk *disk = open_one(w);
    uint8_t *buf = sfs_alloc_io(w->env, N * PAGE);
    struct sfs_io ios[N];
    fill(buf, 0, N * PAGE, 0);
    for (int i = 0; i < N; i++)
        ios[i] = (struct sfs_io){.disk = disk, .op = SFS_IO_WRITE, .offset = (uint64_t)i * PAGE,
                                 .buf = buf + i * PAGE, .len = PAGE};
    EXPECT(!sfs_io_run(w->env, ios, N));
    for (int i = 0; i < N; i++)
        EXPECT(holds(w, disk, (uint64_t)i * PAGE, 0));
    sfs_free(w->env, buf);
    sfs_disk_close(disk);
}

static void writes_of_a_zone_keep_their_order(void)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct world w;
        world_init(&w, seed);
        add_zoned(&w, 0, 0);
        CHECK_EQ(world_live(&w, &(struct world_life){.main = append_at_once}), SIM_FINISHED);
        world_deinit(&w);
    }
}

/* Zone 0: 4 pages flushed, 8 more not. Zone 1: 4 flushed, then reset and 2 other pages. */
static void write_and_be_cut(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_disk *disk = open_one(w);
    EXPECT(!append(w, disk, 0, 4) && !append(w, disk, ZONE, 4));
    EXPECT(!request(w, disk, SFS_IO_FLUSH, 0, 0, 0));
    EXPECT(!append(w, disk, 4 * PAGE, 4));
    EXPECT(!request(w, disk, SFS_IO_ZONE_RESET, ZONE, ZONE, 0));
    EXPECT(!append(w, disk, 8 * PAGE, 4));
    EXPECT(!request(w, disk, SFS_IO_WRITE, ZONE, 2 * PAGE, 1000));
    sim_env_cut(w->sim);
}

struct left {
    uint64_t first, second; /* pages below the pointers of both zones */
    bool was_reset;
};

static void look(struct world *w, void *arg)
{
    struct left *left = arg;
    struct sfs_disk *disk = open_one(w);
    left->first = pointer(w, disk, 0) / PAGE;
    left->second = (pointer(w, disk, ZONE) - ZONE) / PAGE;
    EXPECT(left->first >= 4 && left->first <= 12);
    for (uint64_t i = 0; i < left->first; i++)
        EXPECT(holds(w, disk, i * PAGE, 0));
    EXPECT(!holds(w, disk, left->first * PAGE, 0));
    left->was_reset = left->second < 4;
    EXPECT(left->second <= 4 && left->second != 3);
    for (uint64_t i = 0; i < left->second; i++)
        EXPECT(holds(w, disk, ZONE + i * PAGE, left->was_reset ? 1000 : 0));
    /* The zone goes on from there. */
    if (pointer(w, disk, 0) % PAGE == 0)
        EXPECT(!append(w, disk, left->first * PAGE, 1));
    sfs_disk_close(disk);
}

static void cuts_leave_a_moment_of_each_zone(void)
{
    int first[13] = {0}, second[5] = {0};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct world w;
        struct left left = {0, 0, false};
        world_init(&w, seed);
        add_zoned(&w, 0, 0);
        CHECK_EQ(world_live(&w, &(struct world_life){.main = write_and_be_cut}), SIM_CUT);
        CHECK_EQ(world_live(&w, &(struct world_life){.main = look, .arg = &left}), SIM_FINISHED);
        first[left.first]++;
        second[left.second]++;
        world_deinit(&w);
    }
    for (int i = 4; i <= 12; i++)
        CHECK(first[i] > 0);
    CHECK(second[0] && second[1] && second[2] && second[4]);
}

static void small_sectors_tear_within_pages(void)
{
    int within = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct world w;
        struct left left = {0, 0, false};
        world_init(&w, seed);
        struct sim_disk *d = add_zoned(&w, 0, 512);
        CHECK_EQ(world_live(&w, &(struct world_life){.main = write_and_be_cut}), SIM_CUT);
        CHECK_EQ(world_live(&w, &(struct world_life){.main = look, .arg = &left}), SIM_FINISHED);
        uint64_t bytes[PAGE / 8];
        sim_disk_peek(d, left.first * PAGE, bytes, PAGE);
        within += bytes[0] == left.first + 1 && bytes[511] == 0;
        world_deinit(&w);
    }
    CHECK(within > 10);
}

static void write_with_errors(struct world *w, void *arg)
{
    struct sim_disk *d = arg;
    struct sfs_disk *disk = open_one(w);
    EXPECT(!append(w, disk, 0, 2));
    sim_disk_fail_writes(d, 1);
    EXPECT(append(w, disk, 2 * PAGE, 8) == SCALEFS_E_IO);
    uint64_t p = pointer(w, disk, 0); /* it got somewhere */
    EXPECT(p >= 2 * PAGE && p < 10 * PAGE);
    EXPECT(!append(w, disk, p, 2));
    sim_disk_lose_writes(d, 1);
    EXPECT(!append(w, disk, p + 2 * PAGE, 1));
    EXPECT(pointer(w, disk, 0) == p + 3 * PAGE);
    EXPECT(!holds(w, disk, p + 2 * PAGE, 0));
    EXPECT(sim_disk_damage(d, p + 2 * PAGE, PAGE) == SIM_STALE);
    EXPECT(!request(w, disk, SFS_IO_ZONE_RESET, 0, ZONE, 0));
    EXPECT(!request(w, disk, SFS_IO_FLUSH, 0, 0, 0));
    EXPECT(sim_disk_damage(d, 0, ZONE) == 0);
    sfs_disk_close(disk);
}

static void zones_meet_faults(void)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct world w;
        world_init(&w, seed);
        struct sim_disk *d = add_zoned(&w, 0, 0);
        CHECK_EQ(world_live(&w, &(struct world_life){.main = write_with_errors, .arg = d}),
                 SIM_FINISHED);
        world_deinit(&w);
    }
}

static void reset_while_written(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_disk *disk = open_one(w);
    void *buf = sfs_alloc_io(w->env, PAGE);
    memset(buf, 0, PAGE);
    struct sfs_io ios[2] = {
        {.disk = disk, .op = SFS_IO_WRITE, .buf = buf, .len = PAGE},
        {.disk = disk, .op = SFS_IO_ZONE_RESET, .len = ZONE},
    };
    sfs_io_run(w->env, ios, 2);
    sfs_free(w->env, buf);
    sfs_disk_close(disk);
}

static void resets_wait_for_writes(void)
{
    struct world w;
    world_init(&w, 1);
    sim_farm_add(w.farm, &(struct sim_disk_options){.size_bytes = ZONES * ZONE,
                                                    .zone_bytes = ZONE,
                                                    .mean_latency_ns = 10000000});
    CHECK_EQ(world_live(&w, &(struct world_life){.main = reset_while_written, .quiet = true}),
             SIM_FAILED);
    world_deinit(&w);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(zones_refuse_as_they_should);
    RUN(writes_of_a_zone_keep_their_order);
    RUN(cuts_leave_a_moment_of_each_zone);
    RUN(small_sectors_tear_within_pages);
    RUN(zones_meet_faults);
    RUN(resets_wait_for_writes);
    return TEST_END();
}
