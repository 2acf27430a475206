/* The placement function: see placement.h for its rules.
 *
 * What can be had of a set of disks follows from one formula. N groups of w columns each, on different
 * disks and with at most `limit` of them in a station, can be made if and only if
 *
 *      supply(N) = sum over stations of min(limit × N, sum over its disks of min(free, N))  >=  w × N
 *
 * (a disk without a station counts as a station of its own). One group is chosen greedily so that this
 * stays true for N − 1: candidates in the order of their *demand*, the number of the N groups that must
 * use them. For a disk that is min(free, N). For a station it is its share of the formula: N groups for its
 * first column, what is then left for its second, and so on. The capacity of many columns is counted by
 * the formula alone, stage by stage: the largest N, then the narrower groups that what remains allows.
 */
#include "pool/placement.h"

#include <stdlib.h>

#include "base/assert.h"

#define ANY_NUMBER SFS_COLUMNS_MAX /* per station: no limit */
#define COUNT_ONE_BY_ONE 2048u     /* columns up to which groups are counted one by one */

struct candidate {
    unsigned disk; /* in the caller's array */
    int16_t station; /* -1: none; else below candidates.stations */
    bool preferred;
    uint32_t free;
    uint64_t demand;
};

struct candidates {
    struct candidate all[SFS_DISKS_MAX];
    unsigned count;      /* those with room */
    unsigned stations;   /* numbered anew, from 0 */
    unsigned usable;     /* with or without */
    unsigned redundancy; /* R2 */
    unsigned width;      /* R3: of a group over all usable disks */
};

/* log2 of n in 1/65536, by squaring: the same on every machine. */
static uint32_t log2_fixed(uint32_t n)
{
    uint32_t whole = 0;
    while (n >> whole > 1)
        whole++;
    uint64_t x = ((uint64_t)n << 31) >> whole; /* 1.0 is 2^31 */
    uint32_t log = whole << 16;
    for (uint32_t bit = 1u << 15; bit; bit >>= 1) {
        x = x * x >> 31;
        if (x >> 32) {
            x >>= 1;
            log |= bit;
        }
    }
    return log;
}

unsigned sfs_placement_data_columns(unsigned width, unsigned redundancy, unsigned optimize)
{
    SFS_ASSERT(width > redundancy && width <= SFS_COLUMNS_MAX && optimize <= 100);
    unsigned widest = width - redundancy, k = 1;
    uint64_t wanted = (uint64_t)log2_fixed(widest) * (100 - optimize);
    /* The step from k to k + 1 is taken in the middle between the two, geometrically. */
    while (k < widest && ((uint64_t)log2_fixed(k) + log2_fixed(k + 1)) * 50 <= wanted)
        k++;
    return k;
}

bool sfs_placement_may(enum sfs_class class, unsigned role)
{
    return class != SFS_CLASS_DATA || role == SFS_ROLE_DATA;
}

bool sfs_placement_prefers(enum sfs_class class, unsigned role)
{
    bool nodes = class == SFS_CLASS_SYSTEM || class == SFS_CLASS_METADATA;
    return role == (nodes ? SFS_ROLE_METADATA : SFS_ROLE_DATA);
}

/* The most columns of one group that stations of these sizes can take, `limit` from each. */
static unsigned station_width(const unsigned in_station[SFS_DISKS_MAX], unsigned alone,
                              unsigned limit)
{
    unsigned width = alone;
    for (unsigned s = 0; s < SFS_DISKS_MAX; s++)
        width += in_station[s] < limit ? in_station[s] : limit;
    return width;
}

static void gather(const struct sfs_placement_wish *wish, const struct sfs_placement_disk *disks,
                   unsigned count, struct candidates *c)
{
    unsigned in_station[SFS_DISKS_MAX] = {0}, alone = 0;
    int16_t number[SFS_DISKS_MAX];
    SFS_ASSERT(count <= SFS_DISKS_MAX && wish->failover <= 31 && wish->optimize <= 100);
    c->count = c->usable = c->stations = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct sfs_placement_disk *d = &disks[i];
        SFS_ASSERT(d->station < (int)SFS_DISKS_MAX);
        if (!d->usable || !sfs_placement_may(wish->class, d->role))
            continue;
        c->usable++;
        int16_t station = -1;
        if (d->station < 0) {
            alone++;
        } else {
            if (in_station[d->station]++ == 0)
                number[d->station] = (int16_t)c->stations++;
            station = number[d->station];
        }
        if (d->free_columns)
            c->all[c->count++] = (struct candidate){
                i, station, sfs_placement_prefers(wish->class, d->role), d->free_columns, 0};
    }
    if (!c->usable)
        return;
    c->redundancy = wish->failover < c->usable ? wish->failover : c->usable - 1;
    unsigned cap = wish->width_cap ? wish->width_cap : SFS_WIDTH_CAP_DEFAULT;
    if (cap > SFS_COLUMNS_MAX)
        cap = SFS_COLUMNS_MAX;
    if (cap < c->redundancy + 1)
        cap = c->redundancy + 1;
    c->width = station_width(in_station, alone, c->redundancy);
    if (c->redundancy == 0 || c->width < c->redundancy + 1) /* R5: cannot be had */
        c->width = c->usable;
    if (c->width > cap)
        c->width = cap;
}

static uint64_t least_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What `groups` groups can take, in all and of each station. */
static uint64_t supply(const struct candidates *c, unsigned limit, uint64_t groups,
                       uint64_t of_station[SFS_DISKS_MAX])
{
    uint64_t all = 0;
    memset(of_station, 0, c->stations * sizeof of_station[0]);
    for (unsigned i = 0; i < c->count; i++) {
        uint64_t columns = least_of(c->all[i].free, groups);
        if (c->all[i].station < 0)
            all += columns;
        else
            of_station[c->all[i].station] += columns;
    }
    for (unsigned s = 0; s < c->stations; s++)
        all += of_station[s] = least_of(of_station[s], limit * groups);
    return all;
}

/* The most groups of `width` columns: supply(N) / N falls, so it is the last N that has enough. */
static uint64_t most_groups(const struct candidates *c, unsigned limit, unsigned width)
{
    uint64_t of_station[SFS_DISKS_MAX], low = 0, high = 0;
    for (unsigned i = 0; i < c->count; i++)
        high += c->all[i].free;
    high /= width;
    while (low < high) {
        uint64_t middle = (low + high + 1) / 2;
        if (supply(c, limit, middle, of_station) >= width * middle)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static unsigned width_now(const struct candidates *c, unsigned limit)
{
    uint64_t of_station[SFS_DISKS_MAX];
    return (unsigned)supply(c, limit, 1, of_station);
}

static int by_demand(const void *x, const void *y)
{
    const struct candidate *a = x, *b = y;
    if (a->preferred != b->preferred)
        return a->preferred ? -1 : 1;
    if (a->demand != b->demand)
        return a->demand > b->demand ? -1 : 1;
    if (a->free != b->free)
        return a->free > b->free ? -1 : 1;
    return a->disk < b->disk ? -1 : 1;
}

/* Sorts the candidates for groups of up to `width` columns, at most `limit` of a station. */
static void order(struct candidates *c, unsigned width, unsigned limit)
{
    for (unsigned i = 0; i < c->count; i++)
        c->all[i].demand = c->all[i].free;
    qsort(c->all, c->count, sizeof c->all[0], by_demand);
    if (!c->count || !c->stations || limit >= ANY_NUMBER)
        return;
    unsigned possible = width_now(c, limit);
    uint64_t groups = most_groups(c, limit, width < possible ? width : possible);
    uint64_t share[SFS_DISKS_MAX];
    supply(c, limit, groups, share);
    for (unsigned i = 0; i < c->count; i++) {
        struct candidate *d = &c->all[i];
        d->demand = least_of(d->demand, groups);
        if (d->station < 0)
            continue;
        uint64_t of_this = least_of(share[d->station], groups);
        share[d->station] -= of_this;
        if (d->demand < of_this)
            d->demand = of_this;
    }
    qsort(c->all, c->count, sizeof c->all[0], by_demand);
}

/* Up to `want` candidates, at most `limit` of a station; puts their places in c->all into picks. */
static unsigned pick(struct candidates *c, unsigned want, unsigned limit, unsigned *picks)
{
    unsigned taken[SFS_DISKS_MAX] = {0}, n = 0;
    order(c, want, limit);
    for (unsigned i = 0; i < c->count && n < want; i++) {
        int station = c->all[i].station;
        if (station >= 0 && taken[station]++ >= limit)
            continue;
        picks[n++] = i;
    }
    return n;
}

static int by_number(const void *x, const void *y)
{
    unsigned a = *(const unsigned *)x, b = *(const unsigned *)y;
    return a < b ? -1 : a > b;
}

/* Columns in the order of the disks, turned by the rotation: over many groups every disk has every role
 * equally often. */
static void arrange(const struct sfs_placement_wish *wish, const struct sfs_placement_disk *disks,
                    const struct candidates *c, const unsigned *picks, unsigned width,
                    struct sfs_placement *p)
{
    unsigned chosen[SFS_COLUMNS_MAX], taken[SFS_DISKS_MAX] = {0};
    for (unsigned i = 0; i < width; i++)
        chosen[i] = c->all[picks[i]].disk;
    qsort(chosen, width, sizeof chosen[0], by_number);
    p->station_safe = true;
    for (unsigned i = 0; i < width; i++) {
        const struct sfs_placement_disk *d = &disks[chosen[i]];
        p->disks[(i + wish->rotation % width) % width] = d->index;
        if (d->station >= 0 && ++taken[d->station] > p->m)
            p->station_safe = false;
    }
}

static int choose_data(const struct sfs_placement_wish *wish, struct candidates *c, unsigned *picks,
                       unsigned *width, struct sfs_placement *p)
{
    unsigned m = c->redundancy;
    unsigned want = sfs_placement_data_columns(c->width, m, wish->optimize) + m;
    *width = m ? pick(c, want, m, picks) : 0;
    if (*width < m + 1) /* R5: not to be had with the disks that have room */
        *width = pick(c, want, ANY_NUMBER, picks);
    if (*width < m + 1)
        return SCALEFS_E_NOSPC;
    p->k = *width - m;
    p->m = m;
    return SCALEFS_OK;
}

static int choose_copies(const struct sfs_placement_wish *wish, struct candidates *c,
                         unsigned *picks, unsigned *width, struct sfs_placement *p)
{
    bool landing = wish->class == SFS_CLASS_LANDING;
    unsigned want = wish->failover + 1, least = c->redundancy + 1;
    if (!landing && want < 2)
        want = 2;
    unsigned limit = want > 2 ? want - 1 : 1;
    *width = pick(c, want, limit, picks);
    if (*width < want && *width < c->count) /* R5: more copies rather than fewer stations */
        *width = pick(c, want, ANY_NUMBER, picks);
    if (*width < least)
        return SCALEFS_E_NOSPC;
    p->k = 1;
    p->m = *width - 1;
    p->one_disk = !landing && *width == 1;
    if (p->one_disk) { /* R1; `least` is 1, so nothing is owed to another disk */
        if (c->all[picks[0]].free < 2)
            return SCALEFS_E_NOSPC;
        p->m = 1;
    }
    return SCALEFS_OK;
}

int sfs_placement_choose(const struct sfs_placement_wish *wish, const struct sfs_placement_disk *disks,
                         unsigned count, struct sfs_placement *placement)
{
    struct candidates c;
    unsigned picks[SFS_COLUMNS_MAX], width;
    struct sfs_placement p = {0};
    gather(wish, disks, count, &c);
    if (!c.usable)
        return SCALEFS_E_TOO_FEW;
    int err = wish->class == SFS_CLASS_DATA ? choose_data(wish, &c, picks, &width, &p)
                                            : choose_copies(wish, &c, picks, &width, &p);
    if (err)
        return err;
    arrange(wish, disks, &c, picks, width, &p);
    if (p.one_disk)
        p.disks[1] = p.disks[0];
    *placement = p;
    return SCALEFS_OK;
}

/* --- capacity ---------------------------------------------------------------------------------- */

static void add(struct sfs_placement_room *room, uint64_t groups, unsigned k, unsigned m)
{
    room->groups += groups;
    room->columns += groups * (k + m);
    room->data_columns += groups * k;
}

static void count_one_by_one(const struct sfs_placement_wish *wish,
                             const struct sfs_placement_disk *disks, unsigned count,
                             struct sfs_placement_room *room)
{
    struct sfs_placement_disk left[SFS_DISKS_MAX];
    struct sfs_placement p;
    for (unsigned i = 0; i < count; i++) {
        left[i] = disks[i];
        left[i].index = (uint16_t)i;
    }
    while (!sfs_placement_choose(wish, left, count, &p)) {
        for (unsigned i = 0; i < p.k + p.m; i++)
            left[p.disks[i]].free_columns--;
        add(room, 1, p.k, p.m);
    }
}

/* Columns that `groups` groups take from the disks of a station when they are levelled down to `level`. */
static uint64_t above(const struct candidates *c, int station, uint64_t level, uint64_t groups)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < c->count; i++)
        if (c->all[i].station == station && c->all[i].free > level)
            sum += least_of(c->all[i].free - level, groups);
    return sum;
}

/* Takes `groups` groups from the disks: from each station its share, from its fullest disks first. */
static void drain(struct candidates *c, uint64_t groups, const uint64_t of_station[SFS_DISKS_MAX])
{
    uint64_t level[SFS_DISKS_MAX] = {0};
    for (unsigned s = 0; s < c->stations; s++) {
        if (of_station[s] == 0 || above(c, (int)s, 0, groups) == of_station[s])
            continue; /* all that N groups can use */
        uint64_t low = 0, high = UINT32_MAX; /* the highest level that gives the station's share */
        while (low < high) {
            uint64_t middle = (low + high + 1) / 2;
            if (above(c, (int)s, middle, groups) >= of_station[s])
                low = middle;
            else
                high = middle - 1;
        }
        level[s] = low;
    }
    unsigned kept = 0;
    for (unsigned i = 0; i < c->count; i++) {
        struct candidate d = c->all[i];
        uint64_t floor = d.station < 0 ? 0 : level[d.station];
        if (d.free > floor)
            d.free -= (uint32_t)least_of(d.free - floor, groups);
        if (d.free)
            c->all[kept++] = d;
    }
    c->count = kept;
}

static void count_in_stages(const struct sfs_placement_wish *wish, struct candidates *c,
                            struct sfs_placement_room *room)
{
    unsigned m = c->redundancy;
    unsigned want = sfs_placement_data_columns(c->width, m, wish->optimize) + m;
    uint64_t of_station[SFS_DISKS_MAX];
    for (;;) {
        unsigned limit = m ? m : ANY_NUMBER, width = width_now(c, limit);
        if (width < m + 1) {
            limit = SFS_DISKS_MAX;
            width = width_now(c, limit);
        }
        if (width < m + 1)
            return;
        if (width > want)
            width = want;
        uint64_t groups = most_groups(c, limit, width);
        supply(c, limit, groups, of_station);
        drain(c, groups, of_station);
        add(room, groups, width - m, m);
    }
}

void sfs_placement_capacity(const struct sfs_placement_wish *wish,
                            const struct sfs_placement_disk *disks, unsigned count,
                            struct sfs_placement_room *room)
{
    struct sfs_placement_wish data = *wish;
    struct candidates c;
    uint64_t columns = 0;
    data.class = SFS_CLASS_DATA;
    *room = (struct sfs_placement_room){0, 0, 0};
    gather(&data, disks, count, &c);
    for (unsigned i = 0; i < c.count; i++)
        columns += c.all[i].free;
    if (!c.usable)
        return;
    if (columns <= COUNT_ONE_BY_ONE)
        count_one_by_one(&data, disks, count, room);
    else
        count_in_stages(&data, &c, room);
}
