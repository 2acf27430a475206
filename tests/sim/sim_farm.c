/* The farm of simulated disks: making and copying it, attaching it to worlds, how worlds end for it,
 * the budget and the log of faults, and injection. */
#include "sim/sim_disk_internal.h"
#include "sim/sim_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MILLION = 1000000 };

/* Farm and disks ------------------------------------------------------------------------------ */

struct sim_farm *sim_farm_create(uint64_t seed)
{
    struct sim_farm *f = sim_must(calloc(1, sizeof *f));
    f->seed = seed;
    f->budget = UINT32_MAX;
    prng_stream(&f->cut, seed, 100);
    return f;
}

static void seed_disk(struct sim_disk *d)
{
    prng_stream(&d->prng, d->farm->seed, 1000 + d->index);
    prng_stream(&d->cut, d->farm->seed, 2000 + d->index);
}

static struct sim_disk *disk_new(struct sim_farm *f)
{
    f->disks = sim_must(realloc(f->disks, (f->count + 1) * sizeof *f->disks));
    struct sim_disk *d = sim_must(calloc(1, sizeof *d));
    d->farm = f;
    d->index = f->count;
    d->misdirect_to = NOWHERE;
    f->disks[f->count++] = d;
    return d;
}

static void check_geometry(const struct sim_disk_options *o)
{
    if (!o->size_bytes || o->size_bytes % SIM_PAGE || o->zone_bytes % SIM_PAGE ||
        (o->zone_bytes && o->size_bytes % o->zone_bytes) || o->zone_capacity > o->zone_bytes ||
        (o->sector_bytes != 512 && o->sector_bytes != 4096)) {
        fprintf(stderr, "a simulated disk cannot have this geometry\n");
        abort();
    }
}

struct sim_disk *sim_farm_add(struct sim_farm *f, const struct sim_disk_options *options)
{
    static const uint64_t latencies[] = {20000, 100000, 1000000, 8000000};
    struct sim_disk *d = disk_new(f);
    struct sim_disk_options *o = &d->options;
    *o = *options;
    if (!o->sector_bytes)
        o->sector_bytes = o->zone_bytes ? 4096 : 512;
    if (!o->zone_capacity)
        o->zone_capacity = o->zone_bytes;
    check_geometry(o);
    if (o->name)
        snprintf(d->name, sizeof d->name, "%s", o->name);
    else
        snprintf(d->name, sizeof d->name, "disk-%u", d->index);
    o->name = NULL;
    seed_disk(d);
    uint64_t latency = latencies[prng_below(&d->prng, 4)];
    d->mean_latency_ns = o->mean_latency_ns ? o->mean_latency_ns : latency;
    d->beyond = prng_chance(&d->prng, 1, 2) ? 0xff : 0;
    if (o->zone_bytes) {
        d->zone_count = (size_t)(o->size_bytes / o->zone_bytes);
        d->zones = sim_must(calloc(d->zone_count, sizeof *d->zones));
    }
    medium_resize(d, o->size_bytes);
    medium_clear(d);
    return d;
}

static void disk_free(struct sim_disk *d)
{
    disk_drop_requests(d);
    medium_clear(d);
    free(d->leaves);
    free(d->cache);
    free(d->zones);
    free(d);
}

void sim_farm_destroy(struct sim_farm *f)
{
    if (!f)
        return;
    for (unsigned i = 0; i < f->count; i++)
        disk_free(f->disks[i]);
    free(f->disks);
    free(f->log);
    free(f);
}

static void copy_leaf(struct slot **to, const struct slot *from)
{
    if (!from)
        return;
    *to = sim_must(malloc(SLOTS * sizeof **to));
    memcpy(*to, from, SLOTS * sizeof **to);
    for (size_t i = 0; i < SLOTS; i++) {
        page_ref((*to)[i].durable);
        page_ref((*to)[i].cached);
    }
}

static struct record *copy_record(const struct record *from)
{
    struct record *r = record_new(from->op, from->offset, from->count);
    r->done_seq = from->done_seq;
    for (size_t i = 0; i < r->count; i++)
        r->pages[i] = page_ref(from->pages[i]);
    return r;
}

static void copy_disk(struct sim_farm *f, const struct sim_disk *from)
{
    struct sim_disk *d = disk_new(f);
    *d = *from;
    d->farm = f;
    d->opened_by = NULL;
    seed_disk(d);
    d->leaves = sim_must(calloc(d->leaf_count + 1, sizeof *d->leaves));
    for (size_t i = 0; i < d->leaf_count; i++)
        copy_leaf(&d->leaves[i], from->leaves[i]);
    d->cache_room = d->cache_count;
    d->cache = sim_must(malloc((d->cache_room + 1) * sizeof *d->cache));
    for (size_t i = 0; i < d->cache_count; i++)
        d->cache[i] = copy_record(from->cache[i]);
    if (d->zones) {
        d->zones = sim_must(calloc(d->zone_count, sizeof *d->zones));
        memcpy(d->zones, from->zones, d->zone_count * sizeof *d->zones);
    }
}

struct sim_farm *sim_farm_copy(const struct sim_farm *from, uint64_t seed)
{
    struct sim_farm *f = sim_farm_create(seed);
    f->life = from->life;
    f->rates = from->rates;
    f->budget = from->budget;
    for (unsigned i = 0; i < from->count; i++)
        copy_disk(f, from->disks[i]);
    f->log_count = f->log_room = from->log_count;
    f->log = sim_must(malloc((f->log_room + 1) * sizeof *f->log));
    if (f->log_count)
        memcpy(f->log, from->log, f->log_count * sizeof *f->log);
    return f;
}

void sim_farm_reseed_cuts(struct sim_farm *f, uint64_t seed)
{
    prng_stream(&f->cut, seed, 100);
    for (unsigned i = 0; i < f->count; i++)
        prng_stream(&f->disks[i]->cut, seed, 2000 + i);
}

unsigned sim_farm_count(const struct sim_farm *f)
{
    return f->count;
}

struct sim_disk *sim_farm_disk(struct sim_farm *f, unsigned index)
{
    return f->disks[index];
}

/* Worlds -------------------------------------------------------------------------------------- */

void sim_farm_attach(struct sim_farm *f, struct sim_env *sim)
{
    f->sim = sim;
    f->life++;
    for (unsigned i = 0; i < f->count; i++) {
        f->disks[i]->opened_by = NULL;
        for (size_t z = 0; z < f->disks[i]->zone_count; z++)
            f->disks[i]->zones[z].busy_until = 0;
    }
}

/* The process is gone, the machine runs on: what was sent is done, the rest never was sent. */
static void kill_requests(struct sim_disk *d)
{
    bool stopped = false; /* zoned: nothing after the first that was not sent */
    for (struct request *q = d->first; q; q = q->next) {
        if (!q->record)
            continue;
        stopped = (stopped && d->zones) || prng_chance(&d->cut, 1, 2);
        if (stopped)
            record_free(q->record);
        else
            medium_apply(d, q->record);
        q->record = NULL;
    }
    for (size_t z = 0; z < d->zone_count; z++)
        d->zones[z].pointer = d->zones[z].durable_pointer;
    for (size_t i = 0; d->zones && i < d->cache_count; i++) {
        const struct record *r = d->cache[i];
        struct zone *z = zone_of(d, r->offset);
        bool reset = r->op == SFS_IO_ZONE_RESET;
        z->pointer = reset ? zone_start(d, z) : r->offset + r->count * SIM_PAGE;
    }
}

void sim_farm_detach(struct sim_farm *f, enum sim_farm_end end)
{
    /* Half of the cuts treat all disks alike: what tears a record everywhere at once is the worst. */
    bool alike = prng_chance(&f->cut, 1, 2);
    enum cut_style style = (enum cut_style)prng_below(&f->cut, CUT_STYLES);
    for (unsigned i = 0; i < f->count; i++) {
        struct sim_disk *d = f->disks[i];
        enum cut_style own = (enum cut_style)prng_below(&f->cut, CUT_STYLES);
        if (end == SIM_POWER_LOST && !d->away)
            medium_cut(d, alike ? style : own);
        else if (end == SIM_KILLED)
            kill_requests(d);
        disk_drop_requests(d);
        d->opened_by = NULL;
    }
    f->sim = NULL;
}

size_t sim_farm_in_flight(const struct sim_farm *f)
{
    size_t n = 0;
    for (unsigned i = 0; i < f->count; i++)
        for (const struct request *q = f->disks[i]->first; q; q = q->next)
            n++;
    return n;
}

void sim_farm_settle(struct sim_farm *f)
{
    for (unsigned i = 0; i < f->count; i++)
        medium_flush(f->disks[i], UINT64_MAX);
}

/* Budget and log ------------------------------------------------------------------------------ */

void sim_farm_set_rates(struct sim_farm *f, const struct sim_rates *rates)
{
    f->rates = *rates;
}

void sim_farm_set_budget(struct sim_farm *f, unsigned max_disks)
{
    f->budget = max_disks;
}

void sim_farm_set_host_full(struct sim_farm *f, bool full)
{
    f->host_full = full;
}

void sim_farm_new_epoch(struct sim_farm *f)
{
    for (unsigned i = 0; i < f->count; i++)
        f->disks[i]->touched = false;
}

bool sim_disk_is_affected(const struct sim_disk *d)
{
    return d->away || d->touched || d->damaged_pages;
}

unsigned sim_farm_affected(const struct sim_farm *f)
{
    unsigned n = 0;
    for (unsigned i = 0; i < f->count; i++)
        n += sim_disk_is_affected(f->disks[i]);
    return n;
}

bool farm_draw(struct sim_disk *d, uint32_t millionths)
{
    if (!millionths || !prng_chance(&d->prng, millionths, MILLION))
        return false;
    return sim_disk_is_affected(d) || sim_farm_affected(d->farm) < d->farm->budget;
}

void farm_log(struct sim_disk *d, enum sim_fault kind, uint64_t offset, uint64_t len)
{
    struct sim_farm *f = d->farm;
    if (f->log_count == f->log_room) {
        f->log_room = f->log_room * 2 + 64;
        f->log = sim_must(realloc(f->log, f->log_room * sizeof *f->log));
    }
    f->log[f->log_count++] = (struct sim_fault_entry){
        .at_ns = f->sim ? sim_env_now(f->sim) : 0,
        .life = f->sim ? f->life : 0,
        .disk = d->index,
        .kind = kind,
        .offset = offset,
        .len = len,
    };
    d->touched = d->touched || kind != SIM_FAULT_NO_ROOM; /* what it holds is as good as before */
    d->stats.faults[kind]++;
    if (f->sim) {
        sim_env_note(f->sim, (uint64_t)kind << 32 | d->index);
        sim_env_note(f->sim, offset ^ len << 40);
    }
}

size_t sim_farm_faults(const struct sim_farm *f, const struct sim_fault_entry **entries)
{
    *entries = f->log;
    return f->log_count;
}

void sim_farm_print_faults(const struct sim_farm *f, FILE *to)
{
    static const char *const names[SIM_FAULT_KINDS] = {
        "read error",  "page unreadable", "write error",   "flush error", "bit rot",
        "write lost", "write misdirected", "disk gone", "disk returned", "no room on the host"};
    for (size_t i = 0; i < f->log_count; i++) {
        const struct sim_fault_entry *e = &f->log[i];
        fprintf(to, "# world %u, %.6f s, %s: %s at %" PRIu64 "+%" PRIu64 "\n", e->life,
                (double)e->at_ns / 1e9, f->disks[e->disk]->name, names[e->kind], e->offset, e->len);
    }
}

/* One disk: facts ----------------------------------------------------------------------------- */

unsigned sim_disk_index(const struct sim_disk *d)
{
    return d->index;
}

const char *sim_disk_name(const struct sim_disk *d)
{
    return d->name;
}

uint64_t sim_disk_size(const struct sim_disk *d)
{
    return d->options.size_bytes;
}

const struct sim_disk_stats *sim_disk_stats(const struct sim_disk *d)
{
    return &d->stats;
}

bool sim_disk_is_away(const struct sim_disk *d)
{
    return d->away;
}

unsigned sim_disk_damage(const struct sim_disk *d, uint64_t offset, uint64_t len)
{
    unsigned damage = 0;
    for (uint64_t p = offset / SIM_PAGE; p * SIM_PAGE < offset + len; p++) {
        const struct slot *s = slot_find(d, p);
        if (s)
            damage |= (s->durable ? s->durable->damage : 0) | (s->cached ? s->cached->damage : 0);
    }
    return damage;
}

uint64_t sim_disk_damaged_pages(const struct sim_disk *d)
{
    return d->damaged_pages;
}

uint64_t sim_disk_stored_pages(const struct sim_disk *d)
{
    return d->stored_pages;
}

void sim_disk_peek(const struct sim_disk *d, uint64_t offset, void *buf, uint64_t len)
{
    uint8_t *to = buf;
    for (uint64_t at = 0; at < len; at += SIM_PAGE) {
        const struct page *p = page_seen(d, (offset + at) / SIM_PAGE);
        if (p)
            memcpy(to + at, p->bytes, SIM_PAGE);
        else
            memset(to + at, 0, SIM_PAGE);
    }
}

void sim_disk_poke(struct sim_disk *d, uint64_t offset, const void *buf, uint64_t len)
{
    for (uint64_t at = 0; at < len; at += SIM_PAGE) {
        struct page *p = page_new((const uint8_t *)buf + at, 0);
        page_replace(d, (offset + at) / SIM_PAGE, p);
        page_put(p);
    }
}

void sim_disk_resize(struct sim_disk *d, uint64_t size_bytes)
{
    struct sim_disk_options o = d->options;
    o.size_bytes = size_bytes;
    check_geometry(&o);
    if (d->zones) {
        fprintf(stderr, "zoned disks do not change their size\n");
        abort();
    }
    medium_flush(d, UINT64_MAX);
    medium_resize(d, size_bytes);
}

/* Injection ----------------------------------------------------------------------------------- */

void sim_disk_pull(struct sim_disk *d)
{
    if (d->away)
        return;
    farm_log(d, SIM_FAULT_GONE, 0, 0);
    medium_cut(d, (enum cut_style)prng_below(&d->cut, CUT_STYLES));
    d->away = true;
    d->generation++;
    for (size_t z = 0; z < d->zone_count; z++)
        d->zones[z].in_flight = 0;
}

void sim_disk_return(struct sim_disk *d)
{
    if (!d->away)
        return;
    d->away = false;
    farm_log(d, SIM_FAULT_RETURNED, 0, 0);
}

void sim_disk_replace(struct sim_disk *d)
{
    sim_disk_pull(d);
    medium_clear(d);
    sim_disk_return(d);
}

/* A page with other damage or bytes takes the place of what a read sees now. */
static void hurt_page(struct sim_disk *d, uint64_t page, enum sim_damage damage)
{
    struct page *was = page_seen(d, page);
    struct page *p = page_new(was ? was->bytes : NULL, (was ? was->damage : 0) | damage);
    if (damage == SIM_ROTTEN) {
        uint64_t bit = prng_below(&d->prng, SIM_PAGE * 8);
        p->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    page_replace(d, page, p);
    page_put(p);
}

void sim_disk_make_unreadable(struct sim_disk *d, uint64_t offset, uint64_t len)
{
    farm_log(d, SIM_FAULT_STICKY, offset, len);
    for (uint64_t p = offset / SIM_PAGE; p * SIM_PAGE < offset + len; p++)
        hurt_page(d, p, SIM_UNREADABLE);
}

void sim_disk_rot(struct sim_disk *d, uint64_t offset, uint64_t len)
{
    farm_log(d, SIM_FAULT_ROT, offset, len);
    for (uint64_t p = offset / SIM_PAGE; p * SIM_PAGE < offset + len; p++)
        hurt_page(d, p, SIM_ROTTEN);
}

bool sim_disk_rot_somewhere(struct sim_disk *d)
{
    uint64_t page;
    if (!medium_find_stored(d, &page))
        return false;
    sim_disk_rot(d, page * SIM_PAGE, SIM_PAGE);
    return true;
}

void sim_disk_fail_reads(struct sim_disk *d, unsigned count)
{
    d->fail_reads = count;
}

void sim_disk_fail_writes(struct sim_disk *d, unsigned count)
{
    d->fail_writes = count;
}

void sim_disk_fail_flushes(struct sim_disk *d, unsigned count)
{
    d->fail_flushes = count;
}

void sim_disk_lose_writes(struct sim_disk *d, unsigned count)
{
    d->lose_writes = count;
}

void sim_disk_misdirect_write(struct sim_disk *d, uint64_t to_offset)
{
    d->misdirect_to = to_offset;
}
