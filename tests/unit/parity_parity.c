/* Parity against a slow field of its own; every erasure pattern of the small shapes. */
#include "test.h"

#include "parity/parity.h"

enum { LEN_MAX = 4096, UNITS = SFS_PARITY_MAX_UNITS };

static uint8_t *buffers[UNITS], *wanted[UNITS], *scratch;

/* GF(2^8), bit by bit; 0x11d. */
static uint8_t slow_mul(uint8_t a, uint8_t b)
{
    unsigned product = 0, x = a;
    for (; b; b >>= 1) {
        if (b & 1)
            product ^= x;
        x <<= 1;
        if (x & 0x100)
            x ^= 0x11d;
    }
    return (uint8_t)product;
}

static uint8_t slow_inverse(uint8_t a)
{
    for (unsigned b = 1; b < 256; b++)
        if (slow_mul(a, (uint8_t)b) == 1)
            return (uint8_t)b;
    return 0;
}

/* The documented formula, from 1 / (x + y) and the two scalings. */
static uint8_t slow_coefficient(unsigned i, unsigned j)
{
    uint8_t cell = slow_inverse((uint8_t)(i ^ (32 + j)));
    uint8_t column = slow_inverse((uint8_t)(0 ^ (32 + j)));
    uint8_t scaled = slow_mul(cell, slow_inverse(column));
    uint8_t first = slow_mul(slow_inverse((uint8_t)(i ^ 32)), slow_inverse(slow_inverse(32)));
    return slow_mul(scaled, slow_inverse(first));
}

static void slow_encode(unsigned k, unsigned m, size_t len, uint8_t *const *units)
{
    for (unsigned i = 0; i < m; i++) {
        memset(units[k + i], 0, len);
        for (unsigned j = 0; j < k; j++) {
            uint8_t c = slow_coefficient(i, j), row[256];
            for (unsigned v = 0; v < 256; v++)
                row[v] = slow_mul(c, (uint8_t)v);
            for (size_t b = 0; b < len; b++)
                units[k + i][b] ^= row[units[j][b]];
        }
    }
}

static void encode(unsigned k, unsigned m, size_t len)
{
    sfs_parity_encode(k, m, len, (const uint8_t *const *)buffers, buffers + k);
}

/* Random data, encoded by the code under test, in `buffers` and `wanted`. */
static void prepare(unsigned k, unsigned m, size_t len)
{
    for (unsigned j = 0; j < k; j++)
        test_fill(buffers[j], len);
    encode(k, m, len);
    for (unsigned u = 0; u < k + m; u++)
        memcpy(wanted[u], buffers[u], len);
}

static void coefficients_follow_the_formula(void)
{
    for (unsigned i = 0; i < SFS_PARITY_MAX_PARITY; i++)
        for (unsigned j = 0; j < UNITS; j++) {
            CHECK_EQ(sfs_parity_coefficient(i, j), slow_coefficient(i, j));
            CHECK(sfs_parity_coefficient(i, j) != 0);
        }
    for (unsigned n = 0; n < SFS_PARITY_MAX_PARITY; n++) {
        CHECK_EQ(sfs_parity_coefficient(0, n), 1);
        CHECK_EQ(sfs_parity_coefficient(n, 0), 1);
    }
    /* Fixed values, computed elsewhere: another matrix would make existing pools unreadable. */
    CHECK_EQ(sfs_parity_coefficient(1, 1), 0xe8);
    CHECK_EQ(sfs_parity_coefficient(2, 3), 0x20);
    CHECK_EQ(sfs_parity_coefficient(30, 63), 0x8b);
}

static void encoding_agrees_with_slow_field(void)
{
    static const size_t lens[] = {1, 15, 16, 31, 32, 63, 64, 65, 100, 1000, LEN_MAX};
    static const unsigned shapes[][2] = {{1, 1},  {1, 2},  {1, 31}, {2, 1},  {2, 2},   {3, 1},
                                         {4, 2},  {5, 3},  {8, 7},  {16, 2}, {33, 31}, {60, 4},
                                         {63, 1}, {40, 9}, {12, 0}, {20, 11}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t l = 0; l < sizeof lens / sizeof *lens; l++) {
            unsigned k = shapes[s][0], m = shapes[s][1];
            prepare(k, m, lens[l]);
            slow_encode(k, m, lens[l], wanted);
            for (unsigned u = 0; u < k + m; u++)
                if (!CHECK_MEM(buffers[u], wanted[u], lens[l]))
                    printf("#   %u+%u, length %zu, unit %u\n", k, m, lens[l], u);
        }
}

static void unaligned_buffers_work(void)
{
    for (unsigned k = 1; k < 6; k++)
        for (unsigned m = 1; m < 4; m++) {
            uint8_t *units[UNITS];
            for (unsigned u = 0; u < k + m; u++)
                units[u] = buffers[u] + 1 + u * 3;
            for (unsigned j = 0; j < k; j++)
                test_fill(units[j], 256);
            for (unsigned u = 0; u < k + m; u++)
                memcpy(wanted[u], units[u], 256);
            sfs_parity_encode(k, m, 256, (const uint8_t *const *)units, units + k);
            slow_encode(k, m, 256, wanted);
            for (unsigned u = 0; u < k + m; u++)
                CHECK_MEM(units[u], wanted[u], 256);
        }
}

static void xor_and_copies(void)
{
    prepare(1, 5, 100);
    for (unsigned u = 1; u < 6; u++)
        CHECK_MEM(buffers[u], buffers[0], 100);
    prepare(6, 2, 64);
    for (unsigned b = 0; b < 64; b++) {
        uint8_t sum = 0;
        for (unsigned j = 0; j < 6; j++)
            sum ^= buffers[j][b];
        CHECK_EQ(buffers[6][b], sum);
    }
}

static unsigned bit_count(uint64_t bits)
{
    unsigned n = 0;
    for (; bits; bits &= bits - 1)
        n++;
    return n;
}

/* Destroys the units of `missing` and `unknown`, rebuilds, looks. */
static bool try_pattern(unsigned k, unsigned m, size_t len, uint64_t missing, uint64_t unknown)
{
    uint8_t *units[UNITS];
    bool possible = bit_count(missing | unknown) <= m, good = true;
    for (unsigned u = 0; u < k + m; u++) {
        units[u] = unknown >> u & 1 ? NULL : buffers[u];
        if (missing >> u & 1)
            memset(buffers[u], 0xee, len);
    }
    good &= CHECK_EQ(sfs_parity_rebuild(k, m, len, units, missing, unknown), possible);
    for (unsigned u = 0; u < k + m; u++) {
        if (possible) {
            good &= CHECK_MEM(buffers[u], wanted[u], len);
        } else if (missing >> u & 1) {
            for (size_t b = 0; b < len; b++) /* refused: nothing was written */
                good &= CHECK_EQ(buffers[u][b], 0xee);
        }
        memcpy(buffers[u], wanted[u], len);
    }
    if (!good)
        printf("#   %u+%u, missing %" PRIx64 ", unknown %" PRIx64 "\n", k, m, missing, unknown);
    return good;
}

static void every_erasure_of_small_shapes(void)
{
    const size_t len = 40; /* a vector and a tail */
    for (unsigned k = 1; k <= 10; k++)
        for (unsigned m = 0; k + m <= 10; m++) {
            prepare(k, m, len);
            for (uint64_t missing = 0; missing < UINT64_C(1) << (k + m); missing++) {
                if (!try_pattern(k, m, len, missing, 0))
                    return;
                /* Some of the lost ones not wanted, their buffers not there. */
                uint64_t unknown = missing & test_random();
                if (!try_pattern(k, m, len, missing & ~unknown, unknown))
                    return;
            }
        }
}

static void random_erasures_of_large_shapes(void)
{
    for (int round = 0; round < 1500; round++) {
        unsigned m = (unsigned)test_below(SFS_PARITY_MAX_PARITY + 1);
        unsigned k = 1 + (unsigned)test_below(UNITS - m);
        size_t len = 1 + (size_t)test_below(200);
        uint64_t lost = 0;
        prepare(k, m, len);
        unsigned count = round % 3 ? m : (unsigned)test_below(m + 2);
        if (count > k + m)
            count = k + m;
        while (bit_count(lost) < count)
            lost |= UINT64_C(1) << test_below(k + m);
        uint64_t unknown = round % 2 ? lost & test_random() : 0;
        if (!try_pattern(k, m, len, lost & ~unknown, unknown))
            return;
    }
}

/* Parities do not depend on how many there are; data units of zeros change nothing. */
static void shapes_are_prefixes_of_each_other(void)
{
    const size_t len = 64;
    prepare(10, 31, len);
    for (unsigned m = 1; m < 31; m++) {
        for (unsigned i = 0; i < m; i++)
            memset(buffers[10 + i], 0, len);
        encode(10, m, len);
        for (unsigned i = 0; i < m; i++)
            CHECK_MEM(buffers[10 + i], wanted[10 + i], len);
    }
    for (unsigned k = 11; k <= 33; k++) {
        memset(buffers[k - 1], 0, len);
        encode(k, 31, len);
        for (unsigned i = 0; i < 31; i++)
            CHECK_MEM(buffers[k + i], wanted[10 + i], len);
    }
}

static bool check(unsigned k, unsigned m, size_t len)
{
    return sfs_parity_check(k, m, len, (const uint8_t *const *)buffers, scratch);
}

static void check_catches_every_single_fault(void)
{
    static const unsigned shapes[][2] = {{1, 1}, {1, 3}, {3, 1}, {4, 2}, {8, 3}, {33, 31}, {63, 1}};
    static const size_t lens[] = {1, 63, 64, 65, 200, 1984, 2000, LEN_MAX};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t l = 0; l < sizeof lens / sizeof *lens; l++) {
            unsigned k = shapes[s][0], m = shapes[s][1];
            size_t len = lens[l];
            prepare(k, m, len);
            memset(scratch + len, 0x5a, 64); /* the scratch ends at len */
            CHECK(check(k, m, len));
            for (unsigned u = 0; u < k + m; u++) {
                size_t at[] = {0, len - 1, (size_t)test_below(len)};
                for (int i = 0; i < 3; i++) {
                    buffers[u][at[i]] ^= (uint8_t)(1u << test_below(8));
                    if (!CHECK(!check(k, m, len)))
                        printf("#   %u+%u, length %zu, unit %u, byte %zu\n", k, m, len, u, at[i]);
                    buffers[u][at[i]] = wanted[u][at[i]];
                }
            }
            for (int i = 0; i < 64; i++)
                CHECK_EQ(scratch[len + (size_t)i], 0x5a);
        }
    CHECK(check(5, 0, 100)); /* no parity: nothing to disagree */
}

/* Longer than a block of the checker, fault in the last bytes. */
static void check_walks_long_units(void)
{
    enum { LONG = 300 * 1024 + 8 };
    uint8_t *units[5], *room = malloc(LONG);
    for (unsigned u = 0; u < 5; u++)
        units[u] = malloc(LONG);
    for (unsigned u = 0; u < 3; u++)
        test_fill(units[u], LONG);
    sfs_parity_encode(3, 2, LONG, (const uint8_t *const *)units, units + 3);
    CHECK(sfs_parity_check(3, 2, LONG, (const uint8_t *const *)units, room));
    for (unsigned u = 0; u < 5; u++)
        for (size_t at = LONG - 1; at > 17000; at -= 16000) {
            units[u][at] ^= 0x10;
            CHECK(!sfs_parity_check(3, 2, LONG, (const uint8_t *const *)units, room));
            units[u][at] ^= 0x10;
        }
    for (unsigned u = 0; u < 5; u++)
        free(units[u]);
    free(room);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    for (unsigned u = 0; u < UNITS; u++) {
        buffers[u] = calloc(1, LEN_MAX + 64);
        wanted[u] = calloc(1, LEN_MAX + 64);
    }
    scratch = calloc(1, LEN_MAX + 64);
    RUN(coefficients_follow_the_formula);
    RUN(encoding_agrees_with_slow_field);
    RUN(unaligned_buffers_work);
    RUN(xor_and_copies);
    RUN(every_erasure_of_small_shapes);
    RUN(random_erasures_of_large_shapes);
    RUN(shapes_are_prefixes_of_each_other);
    RUN(check_catches_every_single_fault);
    RUN(check_walks_long_units);
    for (unsigned u = 0; u < UNITS; u++) {
        free(buffers[u]);
        free(wanted[u]);
    }
    free(scratch);
    return TEST_END();
}
