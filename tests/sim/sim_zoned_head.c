/* The randomly writable head of a zoned disk (disk/zoned_head.h): against a model that knows for each block which
 * version was flushed last, with cuts at every request of a switch between the sets of zones, and with faults.
 */
#include "base/codec.h"
#include "disk/zoned_head.h"
#include "sim/world.h"
#include "test.h"

enum { PAGE = 4096, ZONE = 256 * PAGE, CAPACITY = 192 * PAGE, BLOCKS = 1024, SIZE = 64 * ZONE };

struct model {
    uint32_t flushed[BLOCKS], issued[BLOCKS];
    uint64_t switches, zone_bytes_written;
    unsigned rounds, span;
    bool reads_fail;
};

static void expect(struct world *w, bool good, int line, const char *what)
{
    if (!good)
        sim_fail(w->sim, "line %d, not true: %s", line, what);
}
#define EXPECT(x) expect(w, x, __LINE__, #x)

static struct sim_disk *add_disk(struct world *w, uint32_t sector)
{
    return sim_farm_add(w->farm, &(struct sim_disk_options){.size_bytes = SIZE, .zone_bytes = ZONE, .zone_capacity = CAPACITY,
                                                            .sector_bytes = sector, .mean_latency_ns = 100000});
}

static struct sfs_disk *open_raw(struct world *w)
{
    struct sfs_disk *disk;
    if (sim_disk_open(sim_farm_disk(w->farm, 0), w->env, &disk))
        sim_fail(w->sim, "the disk cannot be opened");
    return disk;
}

static struct sfs_disk *open_head(struct world *w)
{
    struct sfs_disk *wrapped;
    int err = sfs_zoned_head_open(w->env, open_raw(w), &wrapped);
    if (err)
        sim_fail(w->sim, "the log does not open: %s", scalefs_error_text(err));
    return wrapped;
}

static void format(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_disk *raw = open_raw(w), *wrapped;
    EXPECT(sfs_zoned_head_open(w->env, raw, &wrapped) == SCALEFS_E_NOT_A_POOL && !wrapped);
    EXPECT(!sfs_zoned_head_format(w->env, raw));
    sfs_disk_close(raw);
}

static int request(struct world *w, struct sfs_disk *disk, enum sfs_io_op op, uint64_t offset, void *buf, uint64_t len)
{
    struct sfs_io io = {.disk = disk, .op = op, .offset = offset, .buf = buf, .len = len};
    return sfs_io_run(w->env, &io, 1);
}

static void stamp(uint8_t *page, uint32_t block, uint32_t version)
{
    for (uint32_t i = 0; i < PAGE; i += 8) {
        sfs_put32(page + i, block + i);
        sfs_put32(page + i + 4, version);
    }
}

static void put(struct world *w, struct sfs_disk *disk, struct model *m, uint32_t first, uint32_t count)
{
    uint8_t *buf = sfs_alloc_io(w->env, (size_t)count * PAGE);
    for (uint32_t i = 0; i < count; i++)
        stamp(buf + (size_t)i * PAGE, first + i, ++m->issued[first + i]);
    EXPECT(!request(w, disk, SFS_IO_WRITE, (uint64_t)first * PAGE, buf, (uint64_t)count * PAGE));
    sfs_free(w->env, buf);
}

static void flush(struct world *w, struct sfs_disk *disk, struct model *m)
{
    EXPECT(!request(w, disk, SFS_IO_FLUSH, 0, NULL, 0));
    memcpy(m->flushed, m->issued, sizeof m->flushed);
}

/* All of the head, read as one; `exact`: nothing was cut. What was found counts as flushed from now on. */
static void look(struct world *w, struct sfs_disk *disk, struct model *m, bool exact)
{
    uint8_t *buf = sfs_alloc_io(w->env, BLOCKS * PAGE), page[PAGE], zeros[PAGE] = {0};
    EXPECT(!request(w, disk, SFS_IO_READ, 0, buf, BLOCKS * PAGE));
    for (uint32_t b = 0; b < BLOCKS; b++) {
        const uint8_t *at = buf + (size_t)b * PAGE;
        uint32_t version = sfs_get32(at + 4), least = exact ? m->issued[b] : m->flushed[b];
        stamp(page, b, version);
        if (version < least || version > m->issued[b] || memcmp(at, version ? page : zeros, PAGE))
            sim_fail(w->sim, "block %u holds version %u, flushed %u, issued %u", b, version, m->flushed[b], m->issued[b]);
        m->flushed[b] = m->issued[b] = version;
    }
    sfs_free(w->env, buf);
}

static void check(struct world *w, void *arg)
{
    struct sfs_disk *disk = open_head(w);
    look(w, disk, arg, false);
    sfs_disk_close(disk);
}

static void use(struct world *w, void *arg)
{
    struct model *m = arg;
    struct sfs_disk *disk = open_head(w);
    EXPECT(disk->info.head_bytes == BLOCKS * PAGE && disk->info.data_offset % ZONE == 0);
    look(w, disk, m, false);
    for (unsigned i = 0; i < m->rounds; i++) {
        uint32_t count = prng_below(&w->prng, 8) ? 1 + (uint32_t)prng_below(&w->prng, 4)
                                                 : 1 + (uint32_t)prng_below(&w->prng, 300);
        uint32_t first = (uint32_t)prng_below(&w->prng, m->span);
        count = count > BLOCKS - first ? BLOCKS - first : count;
        put(w, disk, m, first, count);
        if (prng_below(&w->prng, 6) == 0)
            flush(w, disk, m);
    }
    look(w, disk, m, true);
    m->switches += sfs_zoned_head_switches(disk);
    sfs_disk_close(disk);
}

static void heads_are_written_anywhere(void)
{
    for (uint64_t seed = test_seed(); seed < test_seed() + 2; seed++) {
        struct world w;
        struct model *m = calloc(1, sizeof *m);
        world_init(&w, seed);
        add_disk(&w, seed % 2 ? 4096 : 512);
        m->rounds = 400;
        m->span = BLOCKS;
        CHECK_EQ(world_live(&w, &(struct world_life){.main = format}), SIM_FINISHED);
        for (unsigned life = 0; life < 6; life++) {
            bool cut = life % 3 == 2;
            enum sim_end end = world_live(&w, &(struct world_life){.main = use, .arg = m,
                                                                   .cut_at_io = cut ? 100 + prng_below(&w.prng, 300) : 0});
            CHECK_EQ(end, cut ? SIM_CUT : SIM_FINISHED);
        }
        CHECK_EQ(world_live(&w, &(struct world_life){.main = check, .arg = m}), SIM_FINISHED);
        CHECK(m->switches > 5);
        world_deinit(&w);
        free(m);
    }
}

/* --- cuts around a switch --- */

static void some(struct world *w, void *arg)
{
    struct model *m = arg;
    struct sfs_disk *disk = open_head(w);
    for (uint32_t i = 0; i < 4; i++) {
        put(w, disk, m, 140 + i * 37, 3);
        if (i % 2)
            flush(w, disk, m);
    }
    m->switches += sfs_zoned_head_switches(disk);
    sfs_disk_close(disk);
}

/* Writes until the set is nearly full. What is current then goes into exactly two zones, so that the frame which says
 * that the copies are complete stands alone in the third: a cut can leave it without them. */
static void fill_set(struct world *w, void *arg)
{
    struct model *m = arg;
    struct sfs_disk *disk = open_head(w), *raw = sfs_zoned_head_inner(disk);
    uint64_t last = disk->info.data_offset / 2 - ZONE, pointer = 0; /* the last zone of the first set */
    for (uint32_t i = 0; i < 15; i++)
        put(w, disk, m, i * 7, 1);
    put(w, disk, m, 100, 160 + 191);
    for (;;) {
        EXPECT(!raw->ops->write_pointer(raw, last, &pointer));
        uint64_t left = last + CAPACITY - pointer;
        if (left < 12 * PAGE)
            break;
        put(w, disk, m, 100, left > 300 * PAGE ? 255 : 2);
    }
    flush(w, disk, m);
    EXPECT(sfs_zoned_head_switches(disk) == 0);
    sfs_disk_close(disk);
}

struct sweeping {
    struct model now, start;
    uint64_t switched;
};

static void sweep_begin(void *arg)
{
    struct sweeping *s = arg;
    s->switched += s->now.switches;
    s->now = s->start;
}

static void switches_survive_cuts_at_every_request(uint32_t sector, unsigned seeds)
{
    for (uint64_t seed = test_seed(); seed < test_seed() + seeds; seed++) {
        struct world w;
        struct sweeping *s = calloc(1, sizeof *s);
        world_init(&w, seed);
        add_disk(&w, sector);
        CHECK_EQ(world_live(&w, &(struct world_life){.main = format}), SIM_FINISHED);
        CHECK_EQ(world_live(&w, &(struct world_life){.main = fill_set, .arg = &s->start}), SIM_FINISHED);
        sim_farm_settle(w.farm);
        uint64_t cuts;
        CHECK(world_sweep(&(struct world_sweep){.seed = seed, .start = w.farm, .begin = sweep_begin, .work = some,
                                                .check = check, .arg = s, .outcomes = 2}, &cuts));
        CHECK(cuts > 100);
        CHECK_EQ(s->now.switches, 1);
        world_deinit(&w);
        free(s);
    }
}

static void switches_survive_cuts(void)
{
    switches_survive_cuts_at_every_request(4096, 1);
}

static void switches_survive_cuts_within_pages(void)
{
    switches_survive_cuts_at_every_request(512, 1);
}

static void formatting_survives_cuts_try(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_disk *raw = open_raw(w);
    EXPECT(!sfs_zoned_head_format(w->env, raw));
    sfs_disk_close(raw);
}

/* Nothing, the old head, or the new one: never a mixture. */
static void check_formatted(struct world *w, void *arg)
{
    const struct model *old = arg;
    struct sfs_disk *raw = open_raw(w), *disk;
    int err = sfs_zoned_head_open(w->env, raw, &disk);
    if (err) {
        EXPECT(err == SCALEFS_E_NOT_A_POOL || err == SCALEFS_E_CORRUPT);
        sfs_disk_close(raw);
        return;
    }
    uint8_t *buf = sfs_alloc_io(w->env, BLOCKS * PAGE);
    EXPECT(!request(w, disk, SFS_IO_READ, 0, buf, BLOCKS * PAGE));
    for (uint32_t b = 0; b < BLOCKS; b++) {
        uint32_t version = sfs_get32(buf + (size_t)b * PAGE + 4);
        EXPECT(version == 0 || version <= old->issued[b]);
    }
    sfs_free(w->env, buf);
    sfs_disk_close(disk);
}

static void formatting_survives_cuts(void)
{
    struct world w;
    struct model *m = calloc(1, sizeof *m);
    world_init(&w, test_seed());
    add_disk(&w, 4096);
    m->rounds = 60;
    m->span = 100;
    CHECK_EQ(world_live(&w, &(struct world_life){.main = format}), SIM_FINISHED);
    CHECK_EQ(world_live(&w, &(struct world_life){.main = use, .arg = m}), SIM_FINISHED);
    CHECK(world_sweep(&(struct world_sweep){.seed = test_seed(), .start = w.farm, .work = formatting_survives_cuts_try,
                                            .check = check_formatted, .arg = m, .outcomes = 4}, NULL));
    world_deinit(&w);
    free(m);
}

/* --- requests, faults --- */

static void data_area(struct world *w, void *arg)
{
    (void)arg;
    struct sfs_disk *disk = open_head(w);
    uint64_t at = disk->info.data_offset, pointer;
    uint8_t *buf = sfs_alloc_io(w->env, 2 * PAGE), *back = sfs_alloc_io(w->env, 2 * PAGE);
    memset(buf, 7, 2 * PAGE);
    EXPECT(disk->info.zoned && disk->info.zone_bytes == ZONE);
    EXPECT(!request(w, disk, SFS_IO_WRITE, at, buf, 2 * PAGE));
    EXPECT(!disk->ops->write_pointer(disk, at, &pointer) && pointer == at + 2 * PAGE);
    EXPECT(request(w, disk, SFS_IO_WRITE, at, buf, PAGE) == SCALEFS_E_INVAL);
    /* The head and the data area in one batch. */
    struct sfs_io ios[4] = {
        {.disk = disk, .op = SFS_IO_READ, .offset = at, .buf = back, .len = PAGE},
        {.disk = disk, .op = SFS_IO_WRITE, .offset = 5 * PAGE, .buf = buf, .len = PAGE},
        {.disk = disk, .op = SFS_IO_WRITE, .offset = at + 2 * PAGE, .buf = buf, .len = PAGE},
        {.disk = disk, .op = SFS_IO_DISCARD, .offset = 0, .len = PAGE},
    };
    EXPECT(!sfs_io_run(w->env, ios, 4));
    EXPECT(!memcmp(buf, back, PAGE));
    EXPECT(!request(w, disk, SFS_IO_READ, 4 * PAGE, back, 2 * PAGE));
    EXPECT(back[0] == 0 && !memcmp(buf, back + PAGE, PAGE));
    EXPECT(!request(w, disk, SFS_IO_ZONE_RESET, at, NULL, ZONE));
    EXPECT(!request(w, disk, SFS_IO_WRITE, at, buf, PAGE));
    /* Nothing is between the head and the data area, and no request spans their borders. */
    uint64_t head = disk->info.head_bytes;
    EXPECT(request(w, disk, SFS_IO_READ, head, buf, PAGE) == SCALEFS_E_INVAL);
    EXPECT(request(w, disk, SFS_IO_WRITE, head - PAGE, buf, 2 * PAGE) == SCALEFS_E_INVAL);
    EXPECT(request(w, disk, SFS_IO_ZONE_RESET, 0, NULL, ZONE) == SCALEFS_E_INVAL);
    EXPECT(disk->ops->write_pointer(disk, 0, &pointer) == SCALEFS_E_INVAL);
    sim_disk_pull(sim_farm_disk(w->farm, 0));
    EXPECT(request(w, disk, SFS_IO_READ, 5 * PAGE, buf, PAGE) == SCALEFS_E_GONE && disk->gone);
    EXPECT(sfs_disk_refresh(disk) == SCALEFS_E_GONE);
    sfs_free(w->env, buf);
    sfs_free(w->env, back);
    sfs_disk_close(disk);
}

static void data_areas_are_the_disk_itself(void)
{
    struct world w;
    world_init(&w, test_seed());
    add_disk(&w, 4096);
    CHECK_EQ(world_live(&w, &(struct world_life){.main = format}), SIM_FINISHED);
    CHECK_EQ(world_live(&w, &(struct world_life){.main = data_area}), SIM_FINISHED);
    world_deinit(&w);
}

/* A write that failed may or may not have come; the log goes on behind it. */
static void write_with_faults(struct world *w, void *arg)
{
    struct model *m = arg;
    struct sfs_disk *disk = open_head(w);
    struct sim_disk *d = sim_farm_disk(w->farm, 0);
    uint8_t *buf = sfs_alloc_io(w->env, 30 * PAGE);
    for (unsigned i = 0; i < 30; i++)
        stamp(buf + (size_t)i * PAGE, 10 + i, ++m->issued[10 + i]);
    sim_disk_fail_writes(d, 1);
    EXPECT(request(w, disk, SFS_IO_WRITE, 10 * PAGE, buf, 30 * PAGE) == SCALEFS_E_IO);
    put(w, disk, m, 20, 2);
    flush(w, disk, m);
    for (unsigned i = 10; i < 40; i++) /* of the failed write nothing is promised */
        m->flushed[i] = i == 20 || i == 21 ? m->flushed[i] : 0;
    sim_disk_fail_reads(d, 1);
    EXPECT(request(w, disk, SFS_IO_READ, 20 * PAGE, buf, PAGE) == SCALEFS_E_IO);
    EXPECT(!request(w, disk, SFS_IO_READ, 20 * PAGE, buf, PAGE) && sfs_get32(buf + 4) == m->issued[20]);
    sfs_free(w->env, buf);
    sfs_disk_close(disk);
}

/* A rotten frame is passed over, those behind it are found. */
static void frames_rot(struct world *w, void *arg)
{
    struct model *m = arg;
    struct sfs_disk *disk = open_head(w), *raw = sfs_zoned_head_inner(disk);
    uint64_t pointer = 0, zone = 0;
    put(w, disk, m, 50, 1);
    for (; zone < disk->info.data_offset; zone += ZONE) { /* the frame that is now the last */
        uint64_t p;
        EXPECT(!raw->ops->write_pointer(raw, zone, &p));
        if (p > zone && p < zone + ZONE)
            pointer = p;
    }
    put(w, disk, m, 51, 4);
    flush(w, disk, m);
    sim_disk_rot(sim_farm_disk(w->farm, 0), pointer - PAGE, PAGE);
    m->flushed[50]--; /* the version before */
    sfs_disk_close(disk);
    check(w, m);
}

static void faults_cost_what_they_hit(void)
{
    for (uint64_t seed = 1; seed < 20; seed++) {
        struct world w;
        struct model *m = calloc(1, sizeof *m);
        world_init(&w, seed);
        add_disk(&w, seed % 2 ? 512 : 4096);
        m->rounds = 20;
        m->span = 200;
        CHECK_EQ(world_live(&w, &(struct world_life){.main = format}), SIM_FINISHED);
        CHECK_EQ(world_live(&w, &(struct world_life){.main = use, .arg = m}), SIM_FINISHED);
        CHECK_EQ(world_live(&w, &(struct world_life){.main = write_with_faults, .arg = m}), SIM_FINISHED);
        CHECK_EQ(world_live(&w, &(struct world_life){.main = check, .arg = m}), SIM_FINISHED);
        CHECK_EQ(world_live(&w, &(struct world_life){.main = frames_rot, .arg = m}), SIM_FINISHED);
        world_deinit(&w);
        free(m);
    }
}

static void geometries(void)
{
    struct sfs_zoned_geometry g;
    struct sfs_disk_info i = {.size_bytes = 20000000000000, .zoned = true, .zone_bytes = 256 << 20, .zone_capacity = 256 << 20};
    CHECK_OK(sfs_zoned_geometry_of(&i, &g));
    CHECK_EQ(g.head_bytes, 292ull << 20);
    CHECK_EQ(g.set_zones, 4);
    CHECK_EQ(g.data_offset, 8ull * (256 << 20));
    CHECK_EQ(g.data_zones, 20000000000000 / (256 << 20) - 8);
    i.zone_capacity = 100 << 20;
    CHECK_OK(sfs_zoned_geometry_of(&i, &g));
    CHECK_EQ(g.set_zones, 9);
    i.size_bytes = 21ull * (256 << 20);
    CHECK_OK(sfs_zoned_geometry_of(&i, &g));
    CHECK_EQ(g.set_zones, 2);
    i.size_bytes = 7ull * (256 << 20);
    CHECK_EQ(sfs_zoned_geometry_of(&i, &g), SCALEFS_E_TOO_SMALL);
    i.zone_capacity = (256 << 20) + 4096;
    CHECK_EQ(sfs_zoned_geometry_of(&i, &g), SCALEFS_E_NOTSUP);
    i.zoned = false;
    CHECK_EQ(sfs_zoned_geometry_of(&i, &g), SCALEFS_E_NOTSUP);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(geometries);
    RUN(heads_are_written_anywhere);
    RUN(switches_survive_cuts);
    RUN(switches_survive_cuts_within_pages);
    RUN(formatting_survives_cuts);
    RUN(data_areas_are_the_disk_itself);
    RUN(faults_cost_what_they_hit);
    return TEST_END();
}
