/* Small extents that lie together are read together, and what was read with its neighbours is believed no more than anything
 * else that comes from a disk. */
#include "care_fixture.h"

enum { SMALL = 64, SMALL_BYTES = 6000, APART = 7 };

struct small {
    uint64_t ids[SMALL];
};

static void small_bytes(unsigned n, uint8_t *buf)
{
    struct prng p;
    prng_seed(&p, 900 + n);
    for (unsigned i = 0; i < SMALL_BYTES; i += 8) {
        uint64_t v = prng_next(&p);
        memcpy(buf + i, &v, 8);
    }
}

static void write_small(struct world *w, void *arg)
{
    struct small *small = arg;
    make_pool(w, 1, 0);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    struct sfs_batch *batch;
    struct sfs_tx tx;
    sfs_tx_init(&tx, s);
    MUST(w, sfs_batch_begin(s, 0, &batch));
    for (unsigned n = 0; n < SMALL; n++) {
        uint8_t bytes[SMALL_BYTES];
        uint32_t raw;
        small_bytes(n, bytes);
        for (uint32_t at = 0; at < SMALL_BYTES; at += raw)
            MUST(w, sfs_batch_add(batch, bytes + at, SMALL_BYTES - at, TREE, 1000, at, &raw));
    }
    size_t kept;
    const struct sfs_piece *pieces;
    MUST(w, sfs_batch_end(batch, true, &kept, &pieces));
    memset(small, 0, sizeof *small);
    for (size_t i = 0, n = 0, at = 0; i < kept; i++) {
        uint8_t value[SFS_FILEEXT_BYTES];
        struct sfs_fileext_value v = {pieces[i].id, 0, pieces[i].raw};
        sfs_fileext_encode(&v, value);
        sfs_tx_extent_add(&tx, &pieces[i], 1, pieces[i].raw);
        sfs_tx_put(&tx, TREE, item_key(0, n * SMALL_BYTES + at), value, sizeof value);
        if (pieces[i].raw == SMALL_BYTES)
            small->ids[n] = pieces[i].id; /* few were cut at a row's end: those stay 0 */
        at += pieces[i].raw;
        n += at / SMALL_BYTES;
        at %= SMALL_BYTES;
    }
    MUST(w, sfs_tx_commit(&tx));
    sfs_tx_deinit(&tx);
    sfs_batch_free(batch);
    sync_and_close(w, s);
}

static uint64_t device_reads(struct world *w)
{
    uint64_t reads = 0;
    for (unsigned i = 0; i < sim_farm_count(w->farm); i++)
        reads += sim_disk_stats(sim_farm_disk(w->farm, i))->reads;
    return reads;
}

static unsigned read_small(struct world *w, struct sfs_store *s, const struct small *small, unsigned step)
{
    unsigned count = 0;
    for (unsigned n = 0; n < SMALL; n += step) {
        uint8_t want[SMALL_BYTES], got[SMALL_BYTES];
        struct sfs_read r = {.id = small->ids[n], .len = SMALL_BYTES, .buf = got};
        if (!small->ids[n])
            continue;
        small_bytes(n, want);
        MUST(w, sfs_store_read(s, &r, 1));
        NEED(w, !memcmp(got, want, sizeof got));
        count++;
    }
    return count;
}

static void read_in_order(struct world *w, void *arg)
{
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    uint64_t before = device_reads(w);
    NEED(w, read_small(w, s, arg, 1) > SMALL * 3 / 4);
    NEED(w, device_reads(w) - before < SMALL / 2); /* nodes, and a few rows */
    before = device_reads(w);
    read_small(w, s, arg, APART);
    NEED_EQ(w, device_reads(w), before);
    sync_and_close(w, s);
}

/* What is kept is of a row that was filled anew, or was damaged: it is read again, and no disk is blamed. */
static void read_after_change(struct world *w, void *arg)
{
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    unsigned kept = 0;
    read_small(w, s, arg, 1);
    for (unsigned i = 0; i < SFS_AHEAD_WINDOWS; i++)
        if (s->ahead.windows[i].len) {
            memset(s->ahead.windows[i].buf, 0x5a, s->ahead.windows[i].len);
            kept++;
        }
    NEED(w, kept > 0);
    read_small(w, s, arg, 1);
    NEED_EQ(w, s->pool->config.extents_repaired, 0);
    for (unsigned i = 0; i < s->pool->member_count; i++)
        NEED_EQ(w, s->pool->members[i].record.checksum_errors, 0);
    sync_and_close(w, s);
}

static void with_small(void (*work)(struct world *w, void *arg))
{
    struct world w;
    struct small small;
    world_init(&w, test_seed());
    add_disks(&w, 4, 64 * MIB);
    live(&w, write_small, &small);
    live(&w, work, &small);
    world_deinit(&w);
}

static void neighbours_come_along(void)
{
    with_small(read_in_order);
}

static void nothing_kept_is_believed(void)
{
    with_small(read_after_change);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(neighbours_come_along);
    RUN(nothing_kept_is_believed);
    return TEST_END();
}
