/* Whole rows: every column read, what is wrong found by the unit sums, rebuilt, checked.
 *
 * The unit sums stand in the summary, at the end of data unit k − 1. Where that unit is missing, damaged or of an
 * older write, its end is computed from the others, trying what could be wrong with them. A summary is believed
 * when k columns agree with it; parity that came after the row was written is in no sum, and neither agrees nor disagrees. Where fewer
 * agree and the rest is silent, what is rebuilt has to verify. Where m >= k two could be believed: rather the one with which a column agrees whose
 * disk was never away, then the newer one; one that only disks agree with that were away may be of an older write, and
 * the image is called doubtful. The sums cover all of the data; of parity units the last blocks (the summary's own parity) are not covered and are compared with
 * what they must be once the data is right. Nothing is called right that does not verify.
 */
#include "pool/internal.h"
#include "parity/parity.h"

#define TRIES_MAX 20000u

static uint64_t bit(unsigned c)
{
    return 1ull << c;
}

static unsigned bits(uint64_t set)
{
    unsigned n = 0;
    for (; set; set &= set - 1)
        n++;
    return n;
}

void sfs_row_image_free(struct sfs_pool *pool, struct sfs_row_image *image)
{
    sfs_free(pool->env, image->memory);
    memset(image, 0, sizeof *image);
}

/* The columns beyond the first k that hold what was written. None where k of an older write could agree with one another, or where so
 * many are not to be had. */
static uint64_t not_needed(const struct sfs_group_record *g, const struct sfs_target *targets)
{
    uint64_t rest = 0;
    unsigned have = 0;
    for (unsigned c = 0; c < (unsigned)g->k + g->m; c++) {
        bool take = have < g->k && targets[c].disk && targets[c].standing == SFS_CURRENT;
        have += take;
        rest |= take ? 0 : bit(c);
    }
    return g->class == SFS_CLASS_DATA && g->m < g->k && have == g->k ? rest : 0;
}

/* Reads all columns, or as few as suffice; where they stand goes to `targets`. */
static int read_units(struct sfs_pool *pool, uint32_t group, uint32_t row, uint32_t rows, bool few,
                      struct sfs_row_image *image, struct sfs_target targets[SFS_COLUMNS_MAX])
{
    struct sfs_io ios[SFS_COLUMNS_MAX];
    memset(image, 0, sizeof *image);
    if (!sfs_group_copy(pool, group, &image->group) || !rows)
        return SCALEFS_E_NOENT;
    struct sfs_group_record *g = &image->group;
    SFS_ASSERT(rows == 1 || g->k == 1 || few);
    if (row >= g->rows || rows > g->rows - row)
        return SCALEFS_E_NOENT;
    unsigned columns = (unsigned)g->k + g->m;
    image->row = row;
    image->rows = rows;
    image->unit_bytes = sfs_group_unit(g) * rows;
    /* As much again, for what has to be rebuilt: at most m units. */
    unsigned spare = g->class == SFS_CLASS_DATA ? g->m : 0;
    image->memory = sfs_alloc_io(pool->env, (size_t)(columns + spare) * image->unit_bytes);
    if (!image->memory)
        return SCALEFS_E_NOMEM;
    for (unsigned c = 0; c < columns; c++)
        image->units[c] = (uint8_t *)image->memory + (size_t)c * image->unit_bytes;
    image->spare = (uint8_t *)image->memory + (size_t)columns * image->unit_bytes;
    sfs_mutex_lock(&pool->lock);
    bool there = sfs_group_resolve(pool, group, row, rows, g, targets) && (unsigned)g->k + g->m == columns;
    unsigned epoch = sfs_pool_io_begin(pool);
    sfs_mutex_unlock(&pool->lock);
    uint64_t left_out = few && there ? not_needed(g, targets) : 0;
    for (unsigned c = 0; c < columns && there; c++)
        ios[c] = (struct sfs_io){.disk = left_out & bit(c) ? NULL : targets[c].disk, .op = SFS_IO_READ, .len = image->unit_bytes,
                                 .buf = image->units[c], .offset = sfs_unit_offset(g, &targets[c], row)};
    if (there)
        sfs_io_run(pool->env, ios, columns);
    for (unsigned c = 0; c < columns && there; c++) {
        if (!ios[c].result)
            continue;
        image->missing |= bit(c);
        if (ios[c].disk && ios[c].result == SCALEFS_E_GONE) /* only just now: it may come back like the others */
            targets[c].waits = true;
        image->waits |= targets[c].waits ? bit(c) : 0;
        if (ios[c].disk)
            sfs_member_error(pool, ios[c].disk, SFS_IO_READ, ios[c].result);
    }
    sfs_pool_io_end(pool, epoch);
    if (there)
        return SCALEFS_OK;
    sfs_row_image_free(pool, image);
    return SCALEFS_E_CHANGED;
}

/* --- the summary --- */

/* A summary whose last byte is the last of `end`; `room` bytes before it may be looked at. */
static bool summary_at_end(const struct sfs_row_image *im, const uint8_t *end, uint32_t room,
                           struct sfs_summary *s)
{
    const struct sfs_group_record *g = &im->group;
    uint64_t offset = im->row * sfs_group_row_bytes(g);
    for (uint32_t blocks = 1; blocks <= SFS_SUMMARY_BLOCKS_MAX && blocks * SFS_BLOCK <= room; blocks++) {
        uint32_t len = blocks * SFS_BLOCK;
        if (!sfs_summary_decode(end - len, len, g->group, offset, g->generation, s) && s->blocks == blocks &&
            s->kind == 0 && s->unit_sums >= g->k)
            return true;
    }
    return false;
}

/* Calls `try` for every set of at most `most` columns out of `from`, small sets first, until it says true. */
static bool each_subset(uint64_t from, unsigned most, unsigned *tries, bool (*try_set)(void *, uint64_t),
                        void *context)
{
    uint8_t columns[SFS_COLUMNS_MAX], pick[SFS_COLUMNS_MAX];
    unsigned n = 0;
    for (unsigned c = 0; c < SFS_COLUMNS_MAX; c++)
        if (from & bit(c))
            columns[n++] = (uint8_t)c;
    for (unsigned size = 0; size <= most && size <= n; size++) {
        for (unsigned i = 0; i < size; i++)
            pick[i] = (uint8_t)i;
        for (;;) {
            uint64_t set = 0;
            for (unsigned i = 0; i < size; i++)
                set |= bit(columns[pick[i]]);
            if (!*tries)
                return false;
            --*tries;
            if (try_set(context, set))
                return true;
            unsigned i = size;
            while (i > 0 && pick[i - 1] == n - size + i - 1)
                i--;
            if (!i)
                break;
            pick[i - 1]++;
            for (; i < size; i++)
                pick[i] = (uint8_t)(pick[i - 1] + 1);
        }
    }
    return false;
}

/* How well a summary is borne out. Any k columns make the row; those that came after it was written are in no sum of it, so they
 * neither agree nor disagree, and may be of a newer row. */
enum trust {
    TRUST_NONE,
    TRUST_TRY, /* k columns do not disagree: right when what is rebuilt from them verifies */
    TRUST_FULL /* k columns agree */
};

struct hunt {
    struct sfs_row_image *image;
    const struct sfs_target *targets;
    uint8_t *scratch; /* the end of unit k - 1, computed */
    uint32_t tail;
    enum trust found;
};

static bool unit_right(const struct sfs_row_image *im, const struct sfs_summary *s, unsigned c, const uint8_t *unit)
{
    const struct sfs_group_record *g = &im->group;
    uint32_t len = im->unit_bytes;
    if (c >= s->unit_sums)
        return true; /* compared when the data is right */
    if (c + 1u >= g->k)
        len -= s->blocks * SFS_BLOCK;
    return sfs_unit_sum(unit, len, g->group, im->row, c) == s->sums[c];
}

/* A summary that verifies: do the columns agree with it? `end` is one byte behind it. */
static void consider(struct hunt *h, const struct sfs_summary *s, const uint8_t *end)
{
    struct sfs_row_image *im = h->image;
    const struct sfs_group_record *g = &im->group;
    unsigned last = g->k - 1u;
    size_t len = (size_t)s->blocks * SFS_BLOCK;
    const uint8_t *in_place = im->units[last] + im->unit_bytes;
    uint64_t agree = 0, silent = 0, bad = 0;
    bool here = end == in_place, sure = false;
    for (unsigned c = 0; c < (unsigned)g->k + g->m; c++) {
        uint64_t *to = im->missing & bit(c) ? NULL : c >= s->unit_sums ? &silent : unit_right(im, s, c, im->units[c]) ? &agree : &bad;
        if (c == last && to == &agree && !here && memcmp(end - len, in_place - len, len))
            to = &bad;
        if (to)
            *to |= bit(c);
        sure = sure || (to == &agree && h->targets[c].standing == SFS_CURRENT);
    }
    enum trust trust = bits(agree) >= g->k ? TRUST_FULL : bits(agree | silent) >= g->k ? TRUST_TRY : TRUST_NONE;
    if (h->found > trust || (!trust && !here))
        return;
    if (trust && h->found == trust && (im->doubtful ? !sure && s->txn <= im->summary.txn : !sure || s->txn <= im->summary.txn))
        return;
    /* What stands there and cannot be trusted wholly still says what was in the row. */
    h->found = trust;
    im->summary_ok = true;
    im->doubtful = !sure;
    im->bad = bad;
    im->summary = *s;
    if (here)
        im->summary_bytes = im->units[last] + im->unit_bytes - len;
}

/* The end of unit k − 1 from the others, the columns of `doubted` left out, too. */
static bool hunt_without(void *context, uint64_t doubted)
{
    struct hunt *h = context;
    const struct sfs_group_record *g = &h->image->group;
    uint8_t *ends[SFS_COLUMNS_MAX];
    struct sfs_summary s;
    unsigned last = g->k - 1u;
    for (unsigned c = 0; c < (unsigned)g->k + g->m; c++)
        ends[c] = h->image->units[c] + h->image->unit_bytes - h->tail;
    ends[last] = h->scratch;
    uint64_t unknown = (h->image->missing | doubted) & ~bit(last);
    if (sfs_parity_rebuild(g->k, g->m, h->tail, ends, bit(last), unknown) &&
        summary_at_end(h->image, h->scratch + h->tail, h->tail, &s))
        consider(h, &s, h->scratch + h->tail);
    return h->found == TRUST_FULL && g->m < g->k;
}

/* Finds the summary and which columns disagree with it. NODATA: there is none to go by. */
static int find_summary(struct sfs_pool *pool, struct sfs_row_image *im, const struct sfs_target *targets)
{
    const struct sfs_group_record *g = &im->group;
    unsigned last = g->k - 1u, columns = (unsigned)g->k + g->m, tries = TRIES_MAX;
    uint32_t unit = im->unit_bytes;
    struct hunt h = {.image = im, .targets = targets};
    struct sfs_summary s;
    if (!(im->missing & bit(last)) && summary_at_end(im, im->units[last] + unit, unit, &s))
        consider(&h, &s, im->units[last] + unit);
    uint64_t gone = im->missing | bit(last);
    if (h.found == TRUST_FULL && (g->m < g->k || (!im->bad && im->summary.unit_sums >= columns)))
        return SCALEFS_OK; /* no other one can be */
    if (bits(gone) > g->m)
        return h.found == TRUST_NONE ? SCALEFS_E_NODATA : SCALEFS_OK;
    h.tail = unit < SFS_SUMMARY_BLOCKS_MAX * SFS_BLOCK ? unit : SFS_SUMMARY_BLOCKS_MAX * SFS_BLOCK;
    h.scratch = sfs_alloc_io(pool->env, h.tail);
    uint64_t all = columns == 64 ? ~0ull : bit(columns) - 1;
    if (!h.scratch)
        return SCALEFS_E_NOMEM;
    each_subset(all & ~gone, g->m - bits(gone), &tries, hunt_without, &h);
    sfs_free(pool->env, h.scratch);
    return h.found == TRUST_NONE ? SCALEFS_E_NODATA : SCALEFS_OK;
}

/* --- rebuilding --- */

struct repair {
    struct sfs_row_image *image;
    uint64_t erased;  /* missing or bad */
    uint8_t *units[SFS_COLUMNS_MAX];
};

/* Everything erased and doubted from the rest; true when all of it is what the sums and the summary say. */
static bool rebuild_without(void *context, uint64_t doubted)
{
    struct repair *r = context;
    struct sfs_row_image *im = r->image;
    const struct sfs_group_record *g = &im->group;
    unsigned columns = (unsigned)g->k + g->m, n = 0;
    uint64_t wanted = r->erased | doubted;
    struct sfs_summary s;
    for (unsigned c = 0; c < columns; c++)
        r->units[c] = !(wanted & bit(c)) ? im->units[c] : im->into && c == im->into_column ? im->into : im->spare + (size_t)n++ * im->unit_bytes;
    if (wanted && !sfs_parity_rebuild(g->k, g->m, im->unit_bytes, r->units, wanted, 0))
        return false;
    for (unsigned c = 0; c < columns; c++)
        if (wanted & bit(c) && !unit_right(im, &im->summary, c, r->units[c]))
            return false;
    return summary_at_end(im, r->units[g->k - 1u] + im->unit_bytes, im->unit_bytes, &s) &&
           !memcmp(s.sums, im->summary.sums, sizeof s.sums);
}

/* Now that all data is right: parity units that are not what they must be are bad, too. False: no memory. Mostly only their ends are in no sum; of
 * columns that came later the whole unit is. */
static bool check_parity(struct sfs_pool *pool, struct repair *r)
{
    struct sfs_row_image *im = r->image;
    const struct sfs_group_record *g = &im->group;
    bool summed = im->summary.unit_sums >= g->k + g->m;
    uint32_t tail = summed ? im->summary.blocks * SFS_BLOCK : im->unit_bytes, from = im->unit_bytes - tail;
    const uint8_t *in[SFS_COLUMNS_MAX];
    uint8_t *out[SFS_COLUMNS_MAX];
    if (!g->m)
        return true;
    uint8_t *ends = sfs_alloc_io(pool->env, (size_t)g->m * tail);
    if (!ends)
        return false;
    for (unsigned c = 0; c < g->k; c++)
        in[c] = r->units[c] + from;
    for (unsigned c = 0; c < g->m; c++)
        out[c] = ends + (size_t)c * tail;
    sfs_parity_encode(g->k, g->m, tail, in, out);
    for (unsigned c = 0; c < g->m; c++) {
        uint64_t this = bit(g->k + c);
        if (!(im->missing & this) && memcmp(im->units[g->k + c] + from, out[c], tail))
            im->bad |= this;
        memcpy(r->units[g->k + c] + from, out[c], tail);
    }
    sfs_free(pool->env, ends);
    return true;
}

static int repair(struct sfs_pool *pool, struct sfs_row_image *im)
{
    const struct sfs_group_record *g = &im->group;
    unsigned columns = (unsigned)g->k + g->m, tries = TRIES_MAX;
    struct repair r = {.image = im, .erased = im->missing | im->bad};
    if (bits(r.erased) > g->m)
        return SCALEFS_E_CORRUPT;
    uint64_t parity = 0;
    for (unsigned c = g->k; c < columns; c++)
        parity |= bit(c) & ~r.erased;
    if (!each_subset(r.erased ? parity : 0, g->m - bits(r.erased), &tries, rebuild_without, &r))
        return SCALEFS_E_CORRUPT;
    if (!check_parity(pool, &r))
        return SCALEFS_E_NOMEM;
    memcpy(im->units, r.units, sizeof im->units);
    im->summary_bytes = im->units[g->k - 1u] + im->unit_bytes - im->summary.blocks * SFS_BLOCK;
    return SCALEFS_OK;
}

int sfs_row_read(struct sfs_pool *pool, uint32_t group, uint32_t row, uint32_t rows,
                 struct sfs_row_image *image)
{
    struct sfs_target targets[SFS_COLUMNS_MAX];
    int err = read_units(pool, group, row, rows, false, image, targets);
    if (err)
        return err;
    const struct sfs_group_record *g = &image->group;
    bool copies = g->class != SFS_CLASS_DATA;
    if (copies && bits(image->missing) <= g->m)
        return SCALEFS_OK;
    err = copies ? SCALEFS_E_NODATA : find_summary(pool, image, targets);
    if (!err)
        err = repair(pool, image);
    if (err != SCALEFS_E_CORRUPT && err != SCALEFS_E_NODATA)
        return err;
    /* Could it be read if the absent disks were there? What an older summary on a disk that is behind calls bad may be right. */
    uint64_t hopeless = (image->missing | (image->doubtful ? 0 : image->bad)) & ~image->waits;
    return image->waits && bits(hopeless) <= g->m ? SCALEFS_E_SUSPENDED : SCALEFS_E_CORRUPT;
}

/* Is what was read of one row enough, and all of it what was written? */
static bool suffices(struct sfs_pool *pool, struct sfs_row_image *im, const struct sfs_target *targets)
{
    return im->group.class == SFS_CLASS_DATA && find_summary(pool, im, targets) == SCALEFS_OK && !im->bad && !im->doubtful &&
           repair(pool, im) == SCALEFS_OK;
}

int sfs_rows_read_few(struct sfs_pool *pool, const struct sfs_row_run *run)
{
    struct sfs_target targets[SFS_COLUMNS_MAX];
    struct sfs_row_image all;
    int err = read_units(pool, run->group, run->row, run->rows, true, &all, targets);
    uint32_t unit = err ? 0 : sfs_group_unit(&all.group);
    for (uint32_t i = 0; i < run->rows && !err; i++) {
        struct sfs_row_image im = all;
        im.row = run->row + i;
        im.rows = 1;
        im.unit_bytes = unit;
        for (unsigned c = 0; c < (unsigned)im.group.k + im.group.m; c++)
            im.units[c] += (size_t)i * unit;
        im.into = run->units + (size_t)i * unit;
        im.into_column = run->column;
        err = run->each(run->context, im.row, suffices(pool, &im, targets) ? &im : NULL);
    }
    if (all.memory)
        sfs_row_image_free(pool, &all);
    return err;
}

bool sfs_row_try(struct sfs_pool *pool, const struct sfs_row_image *image, uint64_t erased, uint8_t *out)
{
    (void)pool;
    const struct sfs_group_record *g = &image->group;
    unsigned columns = (unsigned)g->k + g->m;
    uint64_t data = g->k == 64 ? ~0ull : bit(g->k) - 1;
    uint64_t all = columns == 64 ? ~0ull : bit(columns) - 1;
    uint8_t *units[SFS_COLUMNS_MAX];
    erased = (erased | image->missing) & all;
    if (bits(erased) > g->m)
        return false;
    for (unsigned c = 0; c < columns; c++) {
        units[c] = c < g->k ? out + (size_t)c * image->unit_bytes : image->units[c];
        if (c < g->k && !(erased & bit(c)))
            memcpy(units[c], image->units[c], image->unit_bytes);
    }
    return !(erased & data) ||
           sfs_parity_rebuild(g->k, g->m, image->unit_bytes, units, erased & data, erased & ~data);
}

int sfs_row_put_back(struct sfs_pool *pool, const struct sfs_row_image *image, uint64_t columns)
{
    struct sfs_group_record g;
    struct sfs_target targets[SFS_COLUMNS_MAX];
    struct sfs_io ios[SFS_COLUMNS_MAX];
    unsigned count = 0;
    sfs_mutex_lock(&pool->lock);
    bool there = sfs_group_resolve(pool, image->group.group, image->row, image->rows, &g, targets) &&
                 g.generation == image->group.generation && !g.sequential;
    unsigned epoch = sfs_pool_io_begin(pool);
    sfs_mutex_unlock(&pool->lock);
    for (unsigned c = 0; there && c < (unsigned)g.k + g.m; c++)
        if (columns & bit(c) && targets[c].disk)
            ios[count++] = (struct sfs_io){.disk = targets[c].disk, .op = SFS_IO_WRITE, .buf = image->units[c],
                                           .len = image->unit_bytes,
                                           .offset = sfs_unit_offset(&g, &targets[c], image->row)};
    int err = there ? SCALEFS_OK : SCALEFS_E_CHANGED;
    if (count)
        sfs_io_run(pool->env, ios, count);
    for (unsigned i = 0; i < count; i++)
        if (ios[i].result) {
            sfs_member_error(pool, ios[i].disk, SFS_IO_WRITE, ios[i].result);
            err = err ? err : ios[i].result;
        }
    sfs_pool_io_end(pool, epoch);
    return err;
}
