/* Summaries of data rows and landing batches, and the checksums of extents and units. */
#include "test.h"

#include "format/block.h"
#include "format/print.h"

#define ROOM (SFS_SUMMARY_BLOCKS_MAX * SFS_BLOCK)
static uint8_t bytes[ROOM], again[ROOM];
static struct sfs_entry entries[SFS_SUMMARY_ENTRIES_MAX];

static struct sfs_entry some_entry(uint32_t first, uint32_t length)
{
    struct sfs_entry e = {0};
    e.id = test_random();
    e.birth = test_random();
    e.offset = (first + (uint32_t)test_below(length - first - 16)) / 16 * 16 + (first % 16 ? 16 : 0);
    e.stored = 1 + (uint32_t)test_below(length - e.offset);
    if (e.stored > SFS_EXTENT_MAX)
        e.stored = SFS_EXTENT_MAX;
    e.compression = test_below(2);
    e.raw = e.compression ? e.stored + (uint32_t)test_below(SFS_EXTENT_MAX - e.stored + 1) : e.stored;
    e.sums = e.compression ? 1 : (e.raw + 4095) / 4096;
    e.sums_hash = test_random();
    e.volume = (uint32_t)test_random();
    e.inode = test_random();
    e.file_offset = test_random();
    return e;
}

static struct sfs_summary some_summary(uint8_t kind, uint32_t count)
{
    struct sfs_summary s = {0};
    test_fill(s.pool.bytes, 16);
    s.kind = kind;
    s.group = (uint32_t)test_random();
    s.entries = count;
    s.offset = test_random();
    s.generation = test_random();
    s.txn = test_random();
    s.unit_sums = kind ? 0 : 1 + test_below(64);
    for (unsigned i = 0; i < s.unit_sums; i++)
        s.sums[i] = test_random();
    s.blocks = (uint8_t)sfs_summary_blocks(s.unit_sums, count);
    uint32_t head = kind ? sfs_summary_head_bytes(0, count) : 0;
    s.length = head + 32 + (uint32_t)test_below(4 << 20);
    for (uint32_t i = 0; i < count; i++)
        entries[i] = some_entry((head + 15) / 16 * 16, s.length);
    return s;
}

static size_t covered(const struct sfs_summary *s)
{
    return s->kind ? sfs_summary_head_bytes(0, s->entries) : s->blocks * (size_t)SFS_BLOCK;
}

static void come_back_as_they_went(void)
{
    struct sfs_text t;
    sfs_text_init(&t, NULL);
    for (int i = 0; i < 400; i++) {
        struct sfs_summary s =
            some_summary(i & 1, (uint32_t)test_below(i % 8 ? 40 : SFS_SUMMARY_ENTRIES_MAX + 1));
        struct sfs_summary d;
        struct sfs_entry e;
        memset(bytes, 0xa5, sizeof bytes);
        sfs_summary_encode(&s, entries, bytes);
        CHECK(covered(&s) == ROOM || bytes[covered(&s)] == 0xa5);
        REQUIRE_OK(sfs_summary_decode(bytes, covered(&s), s.group, s.offset, s.generation, &d));
        CHECK(d.entries == s.entries && d.length == s.length && d.txn == s.txn &&
              d.unit_sums == s.unit_sums && d.blocks == s.blocks && d.kind == s.kind);
        CHECK_MEM(d.sums, s.sums, sizeof d.sums);
        for (uint32_t n = 0; n < s.entries; n++) {
            CHECK_OK(sfs_summary_entry(bytes, &d, n, &e));
            entries[n] = e;
            sfs_text_clear(&t);
            sfs_entry_to_text(&t, &e);
        }
        memset(again, 0xa5, sizeof again);
        sfs_summary_encode(&d, entries, again);
        CHECK_MEM(bytes, again, sizeof bytes);
        sfs_text_clear(&t);
        sfs_summary_to_text(&t, &d);
        CHECK(t.len > 60);
        /* Not enough bytes at hand: it says how many it takes. */
        CHECK_EQ(sfs_summary_decode(bytes, covered(&s) - 1, s.group, s.offset, s.generation, &d),
                 s.entries || !s.kind ? SCALEFS_E_RANGE : SCALEFS_E_CORRUPT);
        if (s.entries)
            CHECK_EQ(d.blocks, s.blocks);
        CHECK_EQ(sfs_summary_decode(bytes, 71, s.group, s.offset, s.generation, &d),
                 SCALEFS_E_CORRUPT);
    }
    sfs_text_deinit(&t);
}

static void a_flipped_bit_is_seen(void)
{
    for (int kind = 0; kind < 2; kind++) {
        struct sfs_summary s = some_summary((uint8_t)kind, 50), d;
        unsigned missed = 0;
        sfs_summary_encode(&s, entries, bytes);
        for (size_t bit = 0; bit < covered(&s) * 8; bit++) {
            bytes[bit / 8] ^= 1 << bit % 8;
            missed += sfs_summary_decode(bytes, covered(&s), s.group, s.offset, s.generation, &d) ==
                      SCALEFS_OK;
            bytes[bit / 8] ^= 1 << bit % 8;
        }
        CHECK_EQ(missed, 0);
        CHECK_EQ(sfs_summary_decode(bytes, ROOM, s.group + 1, s.offset, s.generation, &d),
                 SCALEFS_E_CORRUPT);
        CHECK_EQ(sfs_summary_decode(bytes, ROOM, s.group, s.offset + 1, s.generation, &d),
                 SCALEFS_E_CORRUPT);
        CHECK_EQ(sfs_summary_decode(bytes, ROOM, s.group, s.offset, s.generation + 1, &d),
                 SCALEFS_E_CORRUPT);
    }
}

/* In a batch, extents may begin in the summary's last block: it does not cover them. */
static void what_follows_a_batch_header_is_not_its_own(void)
{
    struct sfs_summary s = some_summary(1, 3), d;
    sfs_summary_encode(&s, entries, bytes);
    test_fill(bytes + covered(&s), 2000);
    CHECK_OK(sfs_summary_decode(bytes, SFS_BLOCK, s.group, s.offset, s.generation, &d));
    uint8_t copy[SFS_BLOCK];
    size_t len = 72 + 3 * 64;
    memcpy(copy, bytes, len);
    memset(copy + 8, 0, 8);
    CHECK(sfs_get64(bytes + 8) == sfs_hash_identity(copy, len, s.group, s.offset, s.generation));
    CHECK_MEM(bytes, "SFSS\1\0\1\1", 8);
    CHECK_EQ(sfs_get16(bytes + 70), len);
    CHECK(sfs_get64(bytes + 72 + 64) == entries[1].id);
    CHECK(sfs_get64(bytes + 72 + 64 + 56) == entries[1].file_offset);
}

static void reseal(struct sfs_summary *s)
{
    static uint8_t copy[ROOM];
    s->group = sfs_get32(bytes + 32);
    s->offset = sfs_get64(bytes + 40);
    s->generation = sfs_get64(bytes + 48);
    size_t len = covered(s);
    memcpy(copy, bytes, len);
    memset(copy + 8, 0, 8);
    sfs_put64(bytes + 8, sfs_hash_identity(copy, len, s->group, s->offset, s->generation));
}

static void lies_behind_a_right_checksum_do_no_harm(void)
{
    unsigned bad_entries = 0, refused = 0, good = 0;
    for (int i = 0; i < 20000; i++) {
        struct sfs_summary s = some_summary(i & 1, (uint32_t)test_below(30)), d;
        struct sfs_entry e;
        memset(bytes, 0, 8192);
        sfs_summary_encode(&s, entries, bytes);
        for (uint64_t n = 1 + test_below(3); n > 0; n--)
            bytes[test_below(2) ? 64 + test_below(8) : 16 + test_below(covered(&s) - 16)] =
                (uint8_t)test_random();
        reseal(&s);
        uint8_t *exact = malloc(covered(&s));
        memcpy(exact, bytes, covered(&s));
        if (sfs_summary_decode(exact, covered(&s), s.group, s.offset, s.generation, &d)) {
            refused++;
        } else {
            for (uint32_t n = 0; n < d.entries; n++) {
                int err = sfs_summary_entry(exact, &d, n, &e);
                if (!err)
                    CHECK((uint64_t)e.offset + e.stored <= d.length && e.stored > 0);
                err ? bad_entries++ : good++;
            }
        }
        free(exact);
    }
    CHECK(bad_entries > 100 && refused > 1000 && good > 1000);
    for (int i = 0; i < 20000; i++) {
        struct sfs_summary d;
        test_fill(bytes, 256);
        sfs_put64(bytes, 0x0001000153534653u ^ (test_random() & 0x3f01ull << 48));
        CHECK(sfs_summary_decode(bytes, test_below(257), sfs_get32(bytes + 32),
                                 sfs_get64(bytes + 40), sfs_get64(bytes + 48), &d) != SCALEFS_OK);
    }
}

static void the_largest_summary_fits(void)
{
    CHECK_EQ(sfs_summary_blocks(0, 1), 1);
    CHECK_EQ(sfs_summary_blocks(0, 62), 1);
    CHECK_EQ(sfs_summary_blocks(0, 63), 2);
    CHECK_EQ(sfs_summary_blocks(64, SFS_SUMMARY_ENTRIES_MAX), SFS_SUMMARY_BLOCKS_MAX);
    CHECK(sfs_summary_head_bytes(64, SFS_SUMMARY_ENTRIES_MAX) <= 65535);
    CHECK(sfs_summary_head_bytes(64, SFS_SUMMARY_ENTRIES_MAX + 1) > 65535);
}

static void checksums_know_whose_they_are(void)
{
    uint8_t piece[100];
    test_fill(piece, sizeof piece);
    uint64_t sum = sfs_extent_sum(piece, 100, 5, 6, 7);
    CHECK(sum != sfs_extent_sum(piece, 100, 6, 6, 7) && sum != sfs_extent_sum(piece, 100, 5, 7, 7) &&
          sum != sfs_extent_sum(piece, 100, 5, 6, 8) && sum != sfs_extent_sum(piece, 99, 5, 6, 7));
    CHECK(sum == sfs_hash_identity(piece, 100, 5, 6, 7));
    CHECK(sfs_unit_sum(piece, 100, 1, 2, 3) == sfs_hash_identity(piece, 100, 1, 2, 3));
    uint64_t sums[2] = {0x0807060504030201u, 0x100f0e0d0c0b0a09u};
    const uint8_t le[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    CHECK(sfs_sums_hash(sums, 2) == sfs_hash(le, 16));
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(come_back_as_they_went);
    RUN(a_flipped_bit_is_seen);
    RUN(what_follows_a_batch_header_is_not_its_own);
    RUN(lies_behind_a_right_checksum_do_no_harm);
    RUN(the_largest_summary_fits);
    RUN(checksums_know_whose_they_are);
    return TEST_END();
}
