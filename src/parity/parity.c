/* Erasure coding: the matrix, encoding, rebuilding, checking. Pure: touches only the buffers given.
 *
 * Arithmetic is in GF(2^8) with the polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11d), as in ISA-L; `+`
 * is XOR. The points of the Cauchy matrix are
 *
 *     x(i) = i        for parity unit i, 0 <= i <= 30
 *     y(j) = 32 + j   for data unit j,   0 <= j <= 63
 *
 * all distinct (x <= 30, 32 <= y <= 95), so 1 / (x(i) + y(j)) exists. Column j is scaled by
 * x(0) + y(j) and then row i by (x(i) + y(0)) / (x(0) + y(0)), which makes row 0 and column 0 all
 * 1:
 *
 *     c(i, j) = (x(0) + y(j)) (x(i) + y(0)) / ((x(i) + y(j)) (x(0) + y(0)))
 *             = (32 + j) * (32 + i) / ((i XOR (32 + j)) * 32)
 *
 * (in the second line 32 + i and 32 + j are sums of integers; products and quotients are the
 * field's). Parity i of a row is the sum over j of c(i, j) * data j.
 *
 * Rebuilding: let D be the data units that are not there. As many parity units that are there give
 * a square system in them; its matrix is a part of ours, hence regular. Solving it writes every
 * unit as a combination of the k units that are used, so one pass of the kernel computes all that
 * is wanted.
 */
#include "parity/parity.h"
#include "base/assert.h"

#include <isa-l/erasure_code.h>
#include <isa-l/raid.h>
#include <string.h>

enum {
    TABLE_BYTES = 32,    /* ISA-L's multiplication table of one coefficient */
    MAX_CELLS = 33 * 31, /* the most of k * rows with k + rows <= 64, rows <= 31 */
    XOR_ALIGN = 32,      /* what xor_gen asks of pointers */
    LANE = 64,
    CHECK_BLOCK = 16384, /* small enough that a block of parity stays in the cache */
    MAX_STEP = 1 << 30   /* ISA-L counts in int */
};

uint8_t sfs_parity_coefficient(unsigned parity, unsigned data)
{
    SFS_ASSERT(parity < SFS_PARITY_MAX_PARITY && data < SFS_PARITY_MAX_UNITS);
    uint8_t over = gf_mul((uint8_t)(32 + data), (uint8_t)(32 + parity));
    uint8_t under = gf_mul((uint8_t)(parity ^ (32 + data)), 32);
    return gf_mul(over, gf_inv(under));
}

static void check_shape(unsigned k, unsigned m)
{
    SFS_ASSERT(k >= 1 && m <= SFS_PARITY_MAX_PARITY && k + m <= SFS_PARITY_MAX_UNITS);
}

static bool all_ones(const uint8_t *cells, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (cells[i] != 1)
            return false;
    return true;
}

static bool fit_for_xor(unsigned k, size_t len, const uint8_t *const *from, const uint8_t *to)
{
    uintptr_t bits = (uintptr_t)to | (len & (LANE - 1));
    for (unsigned j = 0; j < k; j++)
        bits |= (uintptr_t)from[j];
    return !(bits & (XOR_ALIGN - 1)) && !(len & (LANE - 1));
}

/* to[r] = sum of cells[r * k + j] * from[j], for all rows r. `cells` is row by row. */
static void combine(unsigned k, unsigned rows, uint8_t *cells, size_t len,
                    const uint8_t *const *from, uint8_t *const *to)
{
    uint8_t tables[TABLE_BYTES * MAX_CELLS];
    unsigned char *in[SFS_PARITY_MAX_UNITS], *out[SFS_PARITY_MAX_UNITS];
    if (!rows || !len)
        return;
    if (k == 1 && all_ones(cells, rows)) {
        for (unsigned r = 0; r < rows; r++)
            memcpy(to[r], from[0], len);
        return;
    }
    bool xor = rows == 1 && k > 1 && all_ones(cells, k) && fit_for_xor(k, len, from, to[0]);
    if (!xor) {
        SFS_ASSERT((size_t)k * rows <= MAX_CELLS);
        ec_init_tables((int)k, (int)rows, cells, tables);
    }
    for (size_t done = 0; done < len;) {
        size_t step = len - done < MAX_STEP ? len - done : MAX_STEP;
        for (unsigned j = 0; j < k; j++)
            in[j] = (unsigned char *)from[j] + done; /* only read */
        for (unsigned r = 0; r < rows; r++)
            out[r] = to[r] + done;
        if (xor) {
            void *all[SFS_PARITY_MAX_UNITS + 1];
            for (unsigned j = 0; j < k; j++)
                all[j] = in[j];
            all[k] = out[0];
            SFS_ASSERT(xor_gen((int)k + 1, (int)step, all) == 0);
        } else {
            ec_encode_data((int)step, (int)k, (int)rows, tables, in, out);
        }
        done += step;
    }
}

static void fill_encoding(unsigned k, unsigned m, uint8_t *cells)
{
    for (unsigned i = 0; i < m; i++)
        for (unsigned j = 0; j < k; j++)
            *cells++ = i && j ? sfs_parity_coefficient(i, j) : 1;
}

void sfs_parity_encode(unsigned k, unsigned m, size_t len, const uint8_t *const *data,
                       uint8_t *const *parity)
{
    uint8_t cells[MAX_CELLS];
    check_shape(k, m);
    fill_encoding(k, m, cells);
    combine(k, m, cells, len, data, parity);
}

/* What a rebuild uses. sources: the k units it reads (data first); holes: the data units absent. */
struct plan {
    unsigned sources[SFS_PARITY_MAX_UNITS];
    unsigned data_sources; /* of sources, how many are data */
    unsigned holes[SFS_PARITY_MAX_PARITY], hole_count;
};

static bool make_plan(unsigned k, unsigned m, uint64_t absent, struct plan *plan)
{
    unsigned count = 0, lost = 0;
    plan->hole_count = 0;
    for (unsigned u = 0; u < k + m; u++)
        lost += (unsigned)(absent >> u & 1);
    if (lost > m)
        return false;
    for (unsigned j = 0; j < k; j++) {
        if (absent >> j & 1)
            plan->holes[plan->hole_count++] = j;
        else
            plan->sources[count++] = j;
    }
    plan->data_sources = count;
    for (unsigned u = k; u < k + m && count < k; u++)
        if (!(absent >> u & 1))
            plan->sources[count++] = u;
    SFS_ASSERT(count == k);
    return true;
}

/* Inverts the n by n matrix `a` into `inverse` (Gauss-Jordan; `a` is used up). ISA-L's own wants
 * a nonzero matrix too, but says so by a return value; ours is regular by construction. */
static void invert(unsigned n, uint8_t a[][SFS_PARITY_MAX_PARITY],
                   uint8_t inverse[][SFS_PARITY_MAX_PARITY])
{
    for (unsigned r = 0; r < n; r++)
        for (unsigned c = 0; c < n; c++)
            inverse[r][c] = r == c;
    for (unsigned p = 0; p < n; p++) {
        /* All leading minors of a Cauchy matrix are nonzero, so no row needs to be swapped. */
        SFS_ASSERT(a[p][p]);
        uint8_t scale = gf_inv(a[p][p]);
        for (unsigned c = 0; c < n; c++) {
            a[p][c] = gf_mul(a[p][c], scale);
            inverse[p][c] = gf_mul(inverse[p][c], scale);
        }
        for (unsigned r = 0; r < n; r++) {
            uint8_t factor = a[r][p];
            if (r == p || !factor)
                continue;
            for (unsigned c = 0; c < n; c++) {
                a[r][c] ^= gf_mul(factor, a[p][c]);
                inverse[r][c] ^= gf_mul(factor, inverse[p][c]);
            }
        }
    }
}

/* solved[h][s]: the part of source s in the absent data unit holes[h]. */
static void solve_holes(unsigned k, const struct plan *plan, uint8_t solved[][SFS_PARITY_MAX_UNITS])
{
    uint8_t part[SFS_PARITY_MAX_PARITY][SFS_PARITY_MAX_PARITY];
    uint8_t inverse[SFS_PARITY_MAX_PARITY][SFS_PARITY_MAX_PARITY];
    unsigned n = plan->hole_count;
    const unsigned *parities = plan->sources + plan->data_sources;
    for (unsigned r = 0; r < n; r++)
        for (unsigned h = 0; h < n; h++)
            part[r][h] = sfs_parity_coefficient(parities[r] - k, plan->holes[h]);
    invert(n, part, inverse);
    for (unsigned h = 0; h < n; h++) {
        for (unsigned s = 0; s < plan->data_sources; s++) {
            uint8_t sum = 0;
            for (unsigned r = 0; r < n; r++)
                sum ^= gf_mul(inverse[h][r],
                              sfs_parity_coefficient(parities[r] - k, plan->sources[s]));
            solved[h][s] = sum;
        }
        for (unsigned r = 0; r < n; r++)
            solved[h][plan->data_sources + r] = inverse[h][r];
    }
}

/* The parity unit `parity` as a combination of the sources. */
static void express_parity(unsigned k, const struct plan *plan,
                           uint8_t solved[][SFS_PARITY_MAX_UNITS], unsigned parity, uint8_t *cells)
{
    memset(cells, 0, k);
    for (unsigned s = 0; s < plan->data_sources; s++)
        cells[s] = sfs_parity_coefficient(parity, plan->sources[s]);
    for (unsigned h = 0; h < plan->hole_count; h++) {
        uint8_t factor = sfs_parity_coefficient(parity, plan->holes[h]);
        for (unsigned s = 0; s < k; s++)
            cells[s] ^= gf_mul(factor, solved[h][s]);
    }
}

bool sfs_parity_rebuild(unsigned k, unsigned m, size_t len, uint8_t *const *units, uint64_t missing,
                        uint64_t unknown)
{
    struct plan plan;
    uint8_t solved[SFS_PARITY_MAX_PARITY][SFS_PARITY_MAX_UNITS];
    uint8_t cells[MAX_CELLS];
    const uint8_t *from[SFS_PARITY_MAX_UNITS];
    uint8_t *to[SFS_PARITY_MAX_UNITS];
    unsigned rows = 0;
    check_shape(k, m);
    if (!make_plan(k, m, missing | unknown, &plan))
        return false;
    solve_holes(k, &plan, solved);
    for (unsigned s = 0; s < k; s++)
        from[s] = units[plan.sources[s]];
    for (unsigned h = 0; h < plan.hole_count; h++) {
        if (missing >> plan.holes[h] & 1) {
            memcpy(cells + rows * k, solved[h], k);
            to[rows++] = units[plan.holes[h]];
        }
    }
    for (unsigned u = k; u < k + m; u++) {
        if (missing >> u & 1) {
            express_parity(k, &plan, solved, u - k, cells + rows * k);
            to[rows++] = units[u];
        }
    }
    combine(k, rows, cells, len, from, to);
    return true;
}

/* Computes all parities of a block at once, in parts of the scratch: the data is read once. */
static bool check_block(unsigned k, unsigned m, uint8_t *cells, size_t at, size_t len,
                        const uint8_t *const *units, uint8_t *scratch)
{
    const uint8_t *from[SFS_PARITY_MAX_UNITS];
    uint8_t *to[SFS_PARITY_MAX_PARITY];
    for (unsigned j = 0; j < k; j++)
        from[j] = units[j] + at;
    for (unsigned i = 0; i < m; i++)
        to[i] = scratch + i * len;
    combine(k, m, cells, len, from, to);
    for (unsigned i = 0; i < m; i++)
        if (memcmp(to[i], units[k + i] + at, len))
            return false;
    return true;
}

bool sfs_parity_check(unsigned k, unsigned m, size_t len, const uint8_t *const *units,
                      uint8_t *scratch)
{
    uint8_t cells[MAX_CELLS];
    check_shape(k, m);
    if (!m)
        return true;
    fill_encoding(k, m, cells);
    size_t block = len / m / LANE * LANE;
    if (block > CHECK_BLOCK)
        block = CHECK_BLOCK;
    size_t at = 0;
    for (; block && len - at >= block; at += block)
        if (!check_block(k, m, cells, at, block, units, scratch))
            return false;
    /* The rest, shorter than a block: one parity at a time fits in any case. */
    for (unsigned i = 0; i < m && at < len; i++) {
        const uint8_t *from[SFS_PARITY_MAX_UNITS];
        for (unsigned j = 0; j < k; j++)
            from[j] = units[j] + at;
        combine(k, 1, cells + i * k, len - at, from, &scratch);
        if (memcmp(scratch, units[k + i] + at, len - at))
            return false;
    }
    return true;
}
