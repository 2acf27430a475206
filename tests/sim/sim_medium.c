/* What a simulated disk holds: pages in two versions, the cache of volatile writes, zones, and what
 * a power cut makes of them.
 *
 * Invariants:
 * 1. A slot's cached version is that of the last record in the cache that covers it; there is one
 *    exactly while `pending` is not 0.
 * 2. The durable versions are what remains if everything in the cache is lost.
 * 3. damaged_pages and stored_pages count the slots of which a version is damaged, or there is one.
 */
#include "sim/sim_disk_internal.h"
#include "sim/sim_internal.h"

#include <stdlib.h>
#include <string.h>

enum { SECTOR = 512, SECTORS = SIM_PAGE / SECTOR, ALL_SECTORS = 0xff };

/* Pages and slots ----------------------------------------------------------------------------- */

struct page *page_new(const void *bytes, unsigned damage)
{
    struct page *p = sim_must(malloc(sizeof *p));
    p->refs = 1;
    p->damage = damage;
    if (bytes)
        memcpy(p->bytes, bytes, SIM_PAGE);
    else
        memset(p->bytes, 0, SIM_PAGE);
    return p;
}

struct page *page_ref(struct page *p)
{
    if (p)
        p->refs++;
    return p;
}

void page_put(struct page *p)
{
    if (p && --p->refs == 0)
        free(p);
}

const struct slot *slot_find(const struct sim_disk *d, uint64_t page)
{
    const struct slot *leaf = page / SLOTS < d->leaf_count ? d->leaves[page / SLOTS] : NULL;
    return leaf ? &leaf[page % SLOTS] : NULL;
}

struct slot *slot_make(struct sim_disk *d, uint64_t page)
{
    struct slot **leaf = &d->leaves[page / SLOTS];
    if (!*leaf)
        *leaf = sim_must(calloc(SLOTS, sizeof **leaf));
    return &(*leaf)[page % SLOTS];
}

struct page *page_seen(const struct sim_disk *d, uint64_t page)
{
    const struct slot *s = slot_find(d, page);
    return !s ? NULL : s->cached ? s->cached : s->durable;
}

static unsigned slot_damage(const struct slot *s)
{
    return (s->durable ? s->durable->damage : 0) | (s->cached ? s->cached->damage : 0);
}

void slot_set(struct sim_disk *d, struct slot *s, struct page **which, struct page *p)
{
    d->damaged_pages -= slot_damage(s) != 0;
    d->stored_pages -= s->durable || s->cached;
    struct page *old = *which;
    *which = page_ref(p);
    page_put(old);
    d->damaged_pages += slot_damage(s) != 0;
    d->stored_pages += s->durable || s->cached;
}

void page_replace(struct sim_disk *d, uint64_t page, struct page *p)
{
    struct slot *s = slot_make(d, page);
    slot_set(d, s, &s->durable, p);
    if (s->pending)
        slot_set(d, s, &s->cached, p);
}

bool medium_find_stored(struct sim_disk *d, uint64_t *page)
{
    if (!d->stored_pages)
        return false;
    size_t leaf = (size_t)prng_below(&d->prng, d->leaf_count);
    for (size_t i = 0; i <= d->leaf_count; i++, leaf = (leaf + 1) % d->leaf_count) {
        if (!d->leaves[leaf])
            continue;
        /* The first leaf is begun anywhere, and so looked at twice. */
        for (size_t k = i ? 0 : (size_t)prng_below(&d->prng, SLOTS); k < SLOTS; k++) {
            const struct slot *s = &d->leaves[leaf][k];
            *page = (uint64_t)leaf * SLOTS + k;
            if ((s->durable || s->cached) && (*page + 1) * SIM_PAGE <= d->options.size_bytes)
                return true;
        }
    }
    return false;
}

/* Records ------------------------------------------------------------------------------------- */

struct record *record_new(enum sfs_io_op op, uint64_t offset, size_t count)
{
    struct record *r = sim_must(calloc(1, sizeof *r + count * sizeof r->pages[0]));
    r->op = op;
    r->offset = offset;
    r->count = count;
    return r;
}

void record_free(struct record *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->count; i++)
        page_put(r->pages[i]);
    free(r);
}

struct zone *zone_of(struct sim_disk *d, uint64_t offset)
{
    return &d->zones[offset / d->options.zone_bytes];
}

uint64_t zone_start(const struct sim_disk *d, const struct zone *z)
{
    return (uint64_t)(z - d->zones) * d->options.zone_bytes;
}

uint64_t zone_full(const struct sim_disk *d, const struct zone *z)
{
    return zone_start(d, z) + d->options.zone_capacity;
}

void medium_apply(struct sim_disk *d, struct record *r)
{
    if (d->cache_count == d->cache_room) {
        d->cache_room = d->cache_room * 2 + 64;
        d->cache = sim_must(realloc(d->cache, d->cache_room * sizeof *d->cache));
    }
    d->cache[d->cache_count++] = r;
    r->done_seq = ++d->done_seq;
    for (size_t i = 0; i < r->count; i++) {
        if (!r->pages[i])
            continue;
        struct slot *s = slot_make(d, r->offset / SIM_PAGE + i);
        s->pending++;
        slot_set(d, s, &s->cached, r->pages[i]);
    }
}

/* Takes the record's hold on its slots away. */
static void uncache(struct sim_disk *d, struct record *r)
{
    for (size_t i = 0; i < r->count; i++) {
        if (!r->pages[i])
            continue;
        struct slot *s = slot_make(d, r->offset / SIM_PAGE + i);
        if (--s->pending == 0)
            slot_set(d, s, &s->cached, NULL);
    }
}

static void reset_zone_durably(struct sim_disk *d, struct zone *z)
{
    uint64_t first = zone_start(d, z) / SIM_PAGE;
    for (uint64_t i = 0; i < d->options.zone_bytes / SIM_PAGE; i++)
        if (slot_find(d, first + i)) {
            struct slot *s = slot_make(d, first + i);
            slot_set(d, s, &s->durable, NULL);
        }
    z->durable_pointer = zone_start(d, z);
}

/* A page keeps the sectors of `mask` from the new version, the others from the durable one. */
static void mix_durably(struct sim_disk *d, uint64_t page, struct page *p, unsigned mask)
{
    if (!p || !mask)
        return;
    struct slot *s = slot_make(d, page);
    if (mask == ALL_SECTORS) {
        slot_set(d, s, &s->durable, p);
        return;
    }
    struct page *mixed = page_new(s->durable ? s->durable->bytes : NULL,
                                  p->damage | (s->durable ? s->durable->damage : 0));
    for (unsigned i = 0; i < SECTORS; i++)
        if (mask >> i & 1)
            memcpy(mixed->bytes + i * SECTOR, p->bytes + i * SECTOR, SECTOR);
    slot_set(d, s, &s->durable, mixed);
    page_put(mixed);
}

static void persist(struct sim_disk *d, struct record *r)
{
    if (r->op == SFS_IO_ZONE_RESET) {
        reset_zone_durably(d, zone_of(d, r->offset));
        return;
    }
    for (size_t i = 0; i < r->count; i++)
        mix_durably(d, r->offset / SIM_PAGE + i, r->pages[i], ALL_SECTORS);
    if (d->zones && r->op == SFS_IO_WRITE)
        zone_of(d, r->offset)->durable_pointer = r->offset + r->count * SIM_PAGE;
}

void medium_flush(struct sim_disk *d, uint64_t upto)
{
    size_t n = 0;
    for (; n < d->cache_count && d->cache[n]->done_seq <= upto; n++) {
        persist(d, d->cache[n]);
        uncache(d, d->cache[n]);
        record_free(d->cache[n]);
    }
    if (!n)
        return;
    d->cache_count -= n;
    memmove(d->cache, d->cache + n, d->cache_count * sizeof *d->cache);
}

/* Power cuts ---------------------------------------------------------------------------------- */

enum fate { LOSE, KEEP, TEAR };
enum shape { HEAD, TAIL, HOLE, COINS, SHAPES };

/* Keeps some sectors of a record and loses others. */
static void tear(struct sim_disk *d, struct record *r, enum shape shape)
{
    unsigned unit = d->options.sector_bytes / SECTOR;
    uint64_t units = r->count * SECTORS / unit;
    uint64_t a = prng_below(&d->cut, units + 1), b = prng_below(&d->cut, units + 1);
    if (a > b) {
        uint64_t t = a;
        a = b;
        b = t;
    }
    uint64_t u = 0;
    for (size_t i = 0; i < r->count; i++) {
        unsigned mask = 0;
        for (unsigned s = 0; s < SECTORS; s += unit, u++) {
            bool keep = shape == HEAD   ? u < a
                        : shape == TAIL ? u >= b
                        : shape == HOLE ? u < a || u >= b
                                        : prng_chance(&d->cut, 1, 2);
            if (keep)
                mask |= ((1u << unit) - 1) << s;
        }
        mix_durably(d, r->offset / SIM_PAGE + i, r->pages[i], mask);
    }
}

static enum fate choose_fate(struct sim_disk *d, enum cut_style style, size_t i, size_t chosen)
{
    switch (style) {
    case CUT_KEEP_ALL:
        return KEEP;
    case CUT_COIN:
        return prng_chance(&d->cut, 1, 2) ? KEEP : LOSE;
    case CUT_TEAR:
        return (enum fate)prng_below(&d->cut, 3);
    case CUT_SECTORS:
        return TEAR;
    case CUT_PREFIX:
        return i < chosen ? KEEP : i == chosen ? TEAR : LOSE;
    case CUT_LOSE_ONE:
        return i == chosen ? LOSE : KEEP;
    case CUT_KEEP_ONE:
        return i == chosen ? KEEP : LOSE;
    default:
        return LOSE;
    }
}

static void cut_records(struct sim_disk *d, struct record **records, size_t n, enum cut_style style)
{
    size_t chosen = n ? (size_t)prng_below(&d->cut, n) : 0;
    for (size_t i = 0; i < n; i++) {
        switch (choose_fate(d, style, i, chosen)) {
        case KEEP:
            persist(d, records[i]);
            d->stats.kept++;
            break;
        case TEAR:
            tear(d, records[i],
                 style == CUT_SECTORS ? COINS : (enum shape)prng_below(&d->cut, SHAPES));
            d->stats.torn++;
            break;
        case LOSE:
            d->stats.lost++;
            break;
        }
    }
}

static uint64_t record_units(const struct sim_disk *d, const struct record *r)
{
    return r->op == SFS_IO_ZONE_RESET ? 1 : r->count * SIM_PAGE / d->options.sector_bytes;
}

/* A zone is a log: what survives is all up to some moment, which may be within a write. */
static void cut_zones(struct sim_disk *d, struct record **records, size_t n, enum cut_style style)
{
    uint64_t *left = sim_must(calloc(d->zone_count, sizeof *left));
    for (size_t i = 0; i < n; i++)
        left[records[i]->offset / d->options.zone_bytes] += record_units(d, records[i]);
    for (size_t z = 0; z < d->zone_count; z++)
        left[z] = style == CUT_LOSE_ALL   ? 0
                  : style == CUT_KEEP_ALL ? left[z]
                                          : prng_below(&d->cut, left[z] + 1);
    for (size_t i = 0; i < n; i++) {
        struct record *r = records[i];
        uint64_t *kept = &left[r->offset / d->options.zone_bytes], units = record_units(d, r);
        if (*kept >= units) {
            persist(d, r);
            d->stats.kept++;
            *kept -= units;
            continue;
        }
        uint64_t bytes = *kept * d->options.sector_bytes;
        d->stats.lost += !bytes;
        d->stats.torn += bytes != 0;
        for (uint64_t at = 0; at < bytes; at += SIM_PAGE) {
            uint64_t whole = bytes - at < SIM_PAGE ? (bytes - at) / SECTOR : SECTORS;
            mix_durably(d, (r->offset + at) / SIM_PAGE, r->pages[at / SIM_PAGE], (1u << whole) - 1);
        }
        if (bytes)
            zone_of(d, r->offset)->durable_pointer = r->offset + bytes;
        *kept = 0;
    }
    free(left);
    for (size_t z = 0; z < d->zone_count; z++)
        d->zones[z].pointer = d->zones[z].durable_pointer;
}

/* The volatile records in an order in which they may have been done: those in flight come last, on
 * conventional disks in any order. Takes them out of the cache and of their requests. */
static struct record **take_volatile(struct sim_disk *d, size_t *count)
{
    size_t n = d->cache_count;
    for (struct request *q = d->first; q; q = q->next)
        n += q->record != NULL;
    struct record **all = sim_must(malloc((n + 1) * sizeof *all));
    size_t done = d->cache_count;
    for (size_t i = 0; i < done; i++)
        all[i] = d->cache[i];
    n = done;
    for (struct request *q = d->first; q; q = q->next)
        if (q->record) {
            all[n++] = q->record;
            q->record = NULL;
        }
    for (size_t i = n; !d->zones && i > done + 1; i--) {
        size_t k = done + (size_t)prng_below(&d->cut, i - done);
        struct record *r = all[k];
        all[k] = all[i - 1];
        all[i - 1] = r;
    }
    for (size_t i = 0; i < done; i++)
        uncache(d, all[i]);
    d->cache_count = 0;
    *count = n;
    return all;
}

void medium_cut(struct sim_disk *d, enum cut_style style)
{
    size_t n;
    struct record **all = take_volatile(d, &n);
    if (d->zones)
        cut_zones(d, all, n, style);
    else
        cut_records(d, all, n, style);
    for (size_t i = 0; i < n; i++)
        record_free(all[i]);
    free(all);
}

void medium_clear(struct sim_disk *d)
{
    for (size_t i = 0; i < d->cache_count; i++)
        record_free(d->cache[i]);
    d->cache_count = 0;
    for (size_t i = 0; i < d->leaf_count; i++) {
        for (size_t k = 0; d->leaves[i] && k < SLOTS; k++) {
            page_put(d->leaves[i][k].durable);
            page_put(d->leaves[i][k].cached);
        }
        free(d->leaves[i]);
        d->leaves[i] = NULL;
    }
    d->damaged_pages = d->stored_pages = 0;
    for (size_t i = 0; i < d->zone_count; i++)
        d->zones[i].pointer = d->zones[i].durable_pointer = zone_start(d, &d->zones[i]);
}

void medium_resize(struct sim_disk *d, uint64_t size_bytes)
{
    size_t leaves = (size_t)((size_bytes / SIM_PAGE + SLOTS - 1) / SLOTS);
    uint64_t end = (uint64_t)d->leaf_count * SLOTS;
    for (uint64_t p = size_bytes / SIM_PAGE; p < end; p++) {
        if (!slot_find(d, p)) {
            p |= SLOTS - 1; /* on to the next leaf */
            continue;
        }
        struct slot *s = slot_make(d, p);
        slot_set(d, s, &s->durable, NULL);
        slot_set(d, s, &s->cached, NULL);
        s->pending = 0;
    }
    for (size_t i = leaves; i < d->leaf_count; i++)
        free(d->leaves[i]);
    d->leaves = sim_must(realloc(d->leaves, (leaves + 1) * sizeof *d->leaves));
    for (size_t i = d->leaf_count; i < leaves; i++)
        d->leaves[i] = NULL;
    d->leaf_count = leaves;
    d->options.size_bytes = size_bytes;
}
