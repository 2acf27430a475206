/* Tree nodes on disk: seal, check, every flipped bit, and shapes that a right checksum does not excuse.
 * Pages are written here by hand from docs/FORMAT.md, so that this does not depend on store/page.c. */
#include "test.h"

#include "format/block.h"
#include "format/print.h"

static uint8_t page[SFS_NODE_BYTES];

static uint8_t *slot(unsigned i)
{
    return page + 64 + 21 * i;
}

/* `items` ascending keys with values of `len` bytes each. */
static struct sfs_node_header make(uint8_t level, uint32_t tree, unsigned items, unsigned len)
{
    struct sfs_node_header h = {level, test_random(), test_random(), 0, tree,
                                (uint32_t)test_random(), test_random()};
    uint32_t heap = SFS_NODE_BYTES;
    test_fill(page, sizeof page);
    for (unsigned i = 0; i < items; i++) {
        heap -= len;
        sfs_put64(slot(i), i / 6);
        slot(i)[8] = (uint8_t)(i / 3 % 2);
        sfs_put64(slot(i) + 9, i % 3);
        sfs_put16(slot(i) + 17, (uint16_t)heap);
        sfs_put16(slot(i) + 19, (uint16_t)len);
    }
    sfs_put16(page + 48, (uint16_t)items);
    sfs_put16(page + 50, (uint16_t)heap);
    h.checksum = sfs_node_seal(page, &h);
    return h;
}

static int reseal(const struct sfs_node_header *h)
{
    struct sfs_node_header d;
    sfs_node_seal(page, h);
    return sfs_node_check(page, &d);
}

static void come_back_as_they_went(void)
{
    struct sfs_text t;
    sfs_text_init(&t, NULL);
    for (unsigned items = 0; items < 300; items++) {
        struct sfs_node_header h = make(0, 16, items, 32), d;
        REQUIRE_OK(sfs_node_check(page, &d));
        CHECK(h.id == d.id && h.birth == d.birth && h.checksum == d.checksum && h.tree == d.tree &&
              h.group == d.group && h.offset == d.offset && h.level == d.level);
        CHECK_EQ(sfs_get16(page + 48), items);
        CHECK_MEM(page, "SFSN\1\0\0\0", 8);
        sfs_text_clear(&t);
        sfs_node_to_text(&t, &d);
        CHECK(t.len > 40);
    }
    struct sfs_node_header h = make(0, 16, 10, 32);
    uint8_t copy[SFS_NODE_BYTES];
    memcpy(copy, page, sizeof copy);
    memset(copy + 8, 0, 8);
    CHECK(h.checksum == sfs_hash_identity(copy, sizeof copy, h.id, h.birth, 16));
    CHECK(sfs_get64(page + 8) == h.checksum && sfs_get64(page + 40) == h.offset);
    sfs_text_deinit(&t);
}

static void a_flipped_bit_is_seen(void)
{
    struct sfs_node_header h = make(0, 3, 100, 64), d;
    unsigned missed = 0;
    (void)h;
    for (unsigned bit = 0; bit < SFS_NODE_BYTES * 8; bit += bit < 24000 ? 1 : 7) {
        page[bit / 8] ^= 1 << bit % 8;
        missed += sfs_node_check(page, &d) != SCALEFS_E_CORRUPT;
        page[bit / 8] ^= 1 << bit % 8;
    }
    CHECK_EQ(missed, 0);
    CHECK_OK(sfs_node_check(page, &d));
    sfs_put16(page + 4, 2);
    memset(page + 8, 0, 8);
    sfs_put64(page + 8, sfs_hash_identity(page, sizeof page, h.id, h.birth, 3));
    CHECK_EQ(sfs_node_check(page, &d), SCALEFS_E_VERSION);
}

static void shapes_are_checked(void)
{
    struct sfs_node_header h = make(0, 16, 10, 32);
    CHECK_OK(reseal(&h));
    memcpy(slot(4), slot(3), 17); /* equal keys */
    CHECK_EQ(reseal(&h), SCALEFS_E_CORRUPT);
    h = make(0, 16, 10, 32);
    sfs_put64(slot(9), 0); /* a falling key */
    CHECK_EQ(reseal(&h), SCALEFS_E_CORRUPT);
    h = make(0, 16, 10, 32);
    sfs_put16(slot(2) + 17, sfs_get16(slot(3) + 17) + 1); /* overlapping values */
    CHECK_EQ(reseal(&h), SCALEFS_E_CORRUPT);
    h = make(0, 16, 10, 32);
    sfs_put16(slot(0) + 19, 33); /* a value out of the page */
    CHECK_EQ(reseal(&h), SCALEFS_E_CORRUPT);
    h = make(0, 16, 10, 32);
    sfs_put16(slot(5) + 17, 70); /* a value among the slots */
    CHECK_EQ(reseal(&h), SCALEFS_E_CORRUPT);
    h = make(0, 16, 10, 32);
    sfs_put16(page + 50, 64 + 209); /* the heap begins among the slots */
    CHECK_EQ(reseal(&h), SCALEFS_E_CORRUPT);
    sfs_put16(page + 50, SFS_NODE_BYTES + 1);
    CHECK_EQ(reseal(&h), SCALEFS_E_CORRUPT);
    h = make(0, 16, 0, 0);
    CHECK_OK(reseal(&h)); /* an empty leaf is a tree, an empty inner node is none */
    h = make(1, 16, 0, 0);
    CHECK_EQ(reseal(&h), SCALEFS_E_CORRUPT);
    h = make(1, 16, 5, 8);
    CHECK_OK(reseal(&h));
    h = make(1, 16, 5, 32);
    CHECK_EQ(reseal(&h), SCALEFS_E_CORRUPT);
    h = make(2, SFS_TREE_EXTENT_MAP, 5, 32);
    CHECK_OK(reseal(&h));
    h = make(2, SFS_TREE_SPACE, 5, 8);
    CHECK_EQ(reseal(&h), SCALEFS_E_CORRUPT);
    h = make(0, 16, 1, SFS_VALUE_MAX + 1);
    CHECK_EQ(reseal(&h), SCALEFS_E_CORRUPT);
    h = make(0, 16, 1, SFS_VALUE_MAX);
    CHECK_OK(reseal(&h));
}

static void noise_behind_a_right_checksum_does_no_harm(void)
{
    unsigned good = 0;
    for (int i = 0; i < 5000; i++) {
        struct sfs_node_header h = make((uint8_t)test_below(2), 16, (unsigned)test_below(400), 8);
        for (uint64_t n = test_below(4); n > 0; n--)
            page[48 + test_below(test_below(2) ? 4 : 8000)] = (uint8_t)test_random();
        good += reseal(&h) == SCALEFS_OK;
        test_fill(page + 48, sizeof page - 48);
        reseal(&h);
    }
    CHECK(good > 500 && good < 4500);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(come_back_as_they_went);
    RUN(a_flipped_bit_is_seen);
    RUN(shapes_are_checked);
    RUN(noise_behind_a_right_checksum_does_no_harm);
    return TEST_END();
}
