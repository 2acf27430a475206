/* Requests to simulated disks: what is refused, when they complete, and which faults they meet. */
#include "sim/sim_disk_internal.h"
#include "base/hash.h"
#include "sim/sim_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct handle {
    struct sfs_disk disk;
    struct sim_disk *sim;
    uint64_t generation;
};

static struct handle *handle_of(struct sfs_disk *disk)
{
    return (struct handle *)disk; /* its first member */
}

struct sim_disk *sim_disk_of(struct sfs_disk *disk)
{
    return handle_of(disk)->sim;
}

static bool dead(const struct handle *h)
{
    return h->sim->away || h->generation != h->sim->generation;
}

/* Requests ------------------------------------------------------------------------------------ */

static void unlink_request(struct request *q)
{
    struct sim_disk *d = q->disk;
    *(q->prev ? &q->prev->next : &d->first) = q->next;
    *(q->next ? &q->next->prev : &d->last) = q->prev;
    record_free(q->record);
    free(q);
}

void disk_drop_requests(struct sim_disk *d)
{
    while (d->first)
        unlink_request(d->first);
    for (size_t i = 0; i < d->zone_count; i++)
        d->zones[i].in_flight = 0;
}

/* Copies what is to be written. */
static struct record *take_bytes(const struct sfs_io *io, size_t count)
{
    struct record *r = record_new(SFS_IO_WRITE, io->offset, count);
    for (size_t i = 0; i < count; i++)
        r->pages[i] = page_new((const uint8_t *)io->buf + i * SIM_PAGE, 0);
    return r;
}

/* What lies there afterwards: for every page the old bytes, zeros or nonsense. */
static struct record *take_discard(struct sim_disk *d, const struct sfs_io *io)
{
    struct record *r = record_new(SFS_IO_DISCARD, io->offset, (size_t)(io->len / SIM_PAGE));
    struct page *zeros = page_new(NULL, 0), *nonsense = page_new(NULL, 0);
    uint64_t how = prng_below(&d->prng, 4);
    prng_fill(&d->prng, nonsense->bytes, SIM_PAGE);
    for (size_t i = 0; i < r->count; i++) {
        if (!page_seen(d, io->offset / SIM_PAGE + i))
            continue;
        uint64_t this_one = how == 3 ? prng_below(&d->prng, 3) : how;
        r->pages[i] = this_one == 0 ? page_ref(zeros) : this_one == 1 ? page_ref(nonsense) : NULL;
    }
    page_put(zeros);
    page_put(nonsense);
    return r;
}

/* A zoned disk looks at the order of writes when they arrive. */
static int admit_zoned(struct sim_disk *d, struct request *q, const struct sfs_io *io)
{
    struct zone *z = zone_of(d, io->offset);
    uint64_t start = zone_start(d, z), full = zone_full(d, z);
    if (io->op == SFS_IO_ZONE_RESET) {
        if (io->offset != start)
            return SCALEFS_E_INVAL;
        if (z->in_flight)
            sim_fail(d->farm->sim, "%s: reset of the zone at %" PRIu64 " while it is written",
                     d->name, start);
        z->pointer = start;
        q->record = record_new(SFS_IO_ZONE_RESET, start, 0);
        return SCALEFS_OK;
    }
    unsigned active = 0;
    for (size_t i = 0; d->options.max_active && i < d->zone_count; i++)
        active += d->zones[i].pointer > zone_start(d, &d->zones[i]) &&
                  d->zones[i].pointer < zone_full(d, &d->zones[i]);
    if (io->offset != z->pointer || io->offset + io->len > full)
        return SCALEFS_E_INVAL;
    if (d->options.max_active && z->pointer == start && active >= d->options.max_active)
        return SCALEFS_E_INVAL;
    size_t count = (size_t)(io->len / SIM_PAGE);
    if (d->fail_writes || farm_draw(d, d->farm->rates.write_error)) {
        d->fail_writes -= d->fail_writes != 0;
        q->result = SCALEFS_E_IO;
        count = (size_t)prng_below(&d->prng, count); /* it got this far */
        farm_log(d, SIM_FAULT_WRITE_ERROR, io->offset, io->len);
    }
    q->record = take_bytes(io, count);
    z->pointer += count * SIM_PAGE;
    z->in_flight++;
    return SCALEFS_OK;
}

static bool within(const struct sim_disk *d, const struct sfs_io *io)
{
    return io->offset <= d->options.size_bytes && io->len <= d->options.size_bytes - io->offset;
}

/* Some page of it takes no room on the host yet. */
static bool grows(const struct sim_disk *d, const struct sfs_io *io)
{
    for (uint64_t at = io->offset; at < io->offset + io->len; at += SIM_PAGE)
        if (!page_seen(d, at / SIM_PAGE))
            return true;
    return false;
}

/* Refuses, or takes what the request needs. */
static int admit(struct handle *h, struct request *q, const struct sfs_io *io)
{
    struct sim_disk *d = h->sim;
    if (dead(h))
        return SCALEFS_E_GONE;
    if (io->op == SFS_IO_FLUSH)
        return SCALEFS_OK;
    if (!within(d, io) || (io->op != SFS_IO_ZONE_RESET && !io->len))
        return SCALEFS_E_INVAL;
    switch (io->op) {
    case SFS_IO_WRITE:
        q->hash = sfs_hash(io->buf, (size_t)io->len);
        if (d->zones)
            return admit_zoned(d, q, io);
        if (d->farm->host_full && grows(d, io)) {
            farm_log(d, SIM_FAULT_NO_ROOM, io->offset, io->len);
            return SCALEFS_E_BACKING_FULL;
        }
        q->record = take_bytes(io, (size_t)(io->len / SIM_PAGE));
        return SCALEFS_OK;
    case SFS_IO_ZONE_RESET:
        return d->zones && io->offset < d->options.size_bytes ? admit_zoned(d, q, io)
                                                              : SCALEFS_E_INVAL;
    case SFS_IO_DISCARD:
        if (!d->zones && d->options.discard)
            q->record = take_discard(d, io);
        return d->zones ? SCALEFS_E_INVAL : SCALEFS_OK;
    default:
        memset(io->buf, 0xe5, (size_t)io->len); /* nobody may look before it is complete */
        return SCALEFS_OK;
    }
}

static uint64_t completion_time(struct sim_disk *d, const struct sfs_io *io)
{
    uint64_t mean = d->mean_latency_ns, ns = mean / 4 + prng_below(&d->prng, mean * 3 / 2 + 1);
    ns += io->op == SFS_IO_FLUSH ? mean * 2 : io->op == SFS_IO_DISCARD ? 0 : io->len * 5;
    if (prng_chance(&d->prng, 1, 256))
        ns *= 1 + prng_below(&d->prng, 100);
    uint64_t at = sim_env_now(d->farm->sim) + ns;
    if (d->zones && (io->op == SFS_IO_WRITE || io->op == SFS_IO_ZONE_RESET) && within(d, io) &&
        io->offset < d->options.size_bytes) {
        struct zone *z = zone_of(d, io->offset); /* in order within a zone */
        if (at <= z->busy_until)
            at = z->busy_until + 1;
        z->busy_until = at;
    }
    return at;
}

/* Completion ---------------------------------------------------------------------------------- */

static void tell(struct sim_work *work)
{
    struct request *q = (struct request *)((char *)work - offsetof(struct request, work));
    fiber_acquire(q);
    fiber_quiet();
    struct sfs_io *io = q->io;
    int result = q->result;
    unlink_request(q);
    fiber_loud();
    sfs_io_complete(io, result);
}

static bool take_count(unsigned *count)
{
    if (!*count)
        return false;
    --*count;
    return true;
}

static int read_now(struct sim_disk *d, struct sfs_io *io)
{
    const struct sim_rates *rates = &d->farm->rates;
    uint8_t *to = io->buf;
    uint64_t first = io->offset / SIM_PAGE, n = io->len / SIM_PAGE;
    if (take_count(&d->fail_reads) || farm_draw(d, rates->read_error)) {
        farm_log(d, SIM_FAULT_READ_ERROR, io->offset, io->len);
        return SCALEFS_E_IO;
    }
    if (farm_draw(d, rates->read_error_sticky))
        sim_disk_make_unreadable(d, (first + prng_below(&d->prng, n)) * SIM_PAGE, SIM_PAGE);
    for (uint64_t i = 0; i < n; i++, to += SIM_PAGE) {
        const struct page *p = page_seen(d, first + i);
        uint64_t offset = (first + i) * SIM_PAGE;
        if (p && p->damage & SIM_UNREADABLE)
            return SCALEFS_E_IO;
        bool beyond = d->zones && offset >= zone_of(d, offset)->pointer;
        if (p && !beyond)
            memcpy(to, p->bytes, SIM_PAGE);
        else
            memset(to, beyond ? d->beyond : 0, SIM_PAGE);
    }
    return SCALEFS_OK;
}

/* Entry `i` of a record becomes another page with this damage; bytes NULL: zeros. */
static void spoil(struct record *r, size_t i, const uint8_t *bytes, unsigned damage)
{
    struct page *p = page_new(bytes, damage);
    page_put(r->pages[i]);
    r->pages[i] = p;
}

/* The write was reported as done, but these pages keep what they had. */
static void lose(struct sim_disk *d, struct record *r, size_t from, size_t count)
{
    static const uint8_t zeros[SIM_PAGE];
    for (size_t i = from; i < from + count; i++) {
        const struct page *was = page_seen(d, r->offset / SIM_PAGE + i);
        const uint8_t *bytes = was ? was->bytes : zeros;
        if (memcmp(bytes, r->pages[i]->bytes, SIM_PAGE) || (was && was->damage))
            spoil(r, i, bytes, SIM_STALE | (was ? was->damage : 0));
    }
}

/* The same bytes go to `target`, too. */
static void intrude(struct sim_disk *d, const struct record *r, uint64_t target)
{
    struct record *other = record_new(SFS_IO_WRITE, target, r->count);
    for (size_t i = 0; i < r->count; i++) {
        const struct page *was = page_seen(d, target / SIM_PAGE + i);
        bool same = was && !memcmp(was->bytes, r->pages[i]->bytes, SIM_PAGE);
        other->pages[i] = page_new(r->pages[i]->bytes, same ? was->damage : SIM_INTRUDED);
    }
    medium_apply(d, other);
}

static void half_do(struct sim_disk *d, struct record *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct page *was = page_seen(d, r->offset / SIM_PAGE + i);
        uint8_t bytes[SIM_PAGE] = {0};
        if (was)
            memcpy(bytes, was->bytes, SIM_PAGE);
        size_t new_sectors = (size_t)prng_below(&d->prng, SIM_PAGE / 512 + 1);
        memcpy(bytes, r->pages[i]->bytes, new_sectors * 512);
        spoil(r, i, bytes, SIM_HALF_DONE);
    }
}

static void meet_write_faults(struct sim_disk *d, struct request *q)
{
    const struct sim_rates *rates = &d->farm->rates;
    struct record *r = q->record;
    uint64_t len = r->count * SIM_PAGE, last = d->options.size_bytes - len;
    if (!d->zones && (take_count(&d->fail_writes) || farm_draw(d, rates->write_error))) {
        farm_log(d, SIM_FAULT_WRITE_ERROR, r->offset, len);
        half_do(d, r);
        q->result = SCALEFS_E_IO;
        return;
    }
    if (!r->count)
        return;
    if (take_count(&d->lose_writes) || farm_draw(d, rates->lost_write)) {
        bool whole = prng_chance(&d->prng, 1, 2);
        size_t from = whole ? 0 : (size_t)prng_below(&d->prng, r->count);
        size_t count = whole ? r->count : 1 + (size_t)prng_below(&d->prng, r->count - from);
        farm_log(d, SIM_FAULT_LOST, r->offset + from * SIM_PAGE, count * SIM_PAGE);
        lose(d, r, from, count);
        return;
    }
    bool ordered = d->misdirect_to != NOWHERE;
    if (!d->zones && (ordered || farm_draw(d, rates->misdirected))) {
        uint64_t target = ordered ? d->misdirect_to
                                  : prng_below(&d->prng, last / SIM_PAGE + 1) * SIM_PAGE;
        d->misdirect_to = NOWHERE;
        farm_log(d, SIM_FAULT_MISDIRECTED, r->offset, len);
        farm_log(d, SIM_FAULT_MISDIRECTED, target, len);
        intrude(d, r, target);
        lose(d, r, 0, r->count);
    }
}

static int change_now(struct sim_disk *d, struct request *q)
{
    const struct sfs_io *io = q->io;
    if (d->zones && io->op == SFS_IO_WRITE)
        zone_of(d, io->offset)->in_flight--;
    if (!q->record)
        return q->result;
    if (!within(d, io)) /* it has shrunk meanwhile */
        return SCALEFS_E_IO;
    if (io->op == SFS_IO_WRITE) {
        if (q->hash != sfs_hash(io->buf, (size_t)io->len))
            sim_fail(d->farm->sim, "%s: the buffer of a write at %" PRIu64 " changed in flight",
                     d->name, io->offset);
        meet_write_faults(d, q);
    }
    struct record *r = q->record;
    q->record = NULL;
    medium_apply(d, r);
    return q->result;
}

static int flush_now(struct sim_disk *d, struct request *q)
{
    if (take_count(&d->fail_flushes) || farm_draw(d, d->farm->rates.flush_error)) {
        farm_log(d, SIM_FAULT_FLUSH_ERROR, 0, 0);
        return SCALEFS_E_IO;
    }
    if (!d->options.ignores_flush)
        medium_flush(d, q->flush_upto);
    return SCALEFS_OK;
}

/* The moment at which the disk does it. */
static void complete(struct sim_env *sim, struct sim_event *event)
{
    struct request *q = (struct request *)((char *)event - offsetof(struct request, event));
    struct sim_disk *d = q->disk;
    struct sfs_io *io = q->io;
    if (q->generation != d->generation && q->result != SCALEFS_E_INVAL)
        q->result = SCALEFS_E_GONE;
    if (q->result == SCALEFS_OK || (q->result == SCALEFS_E_IO && q->record)) {
        q->result = io->op == SFS_IO_READ    ? read_now(d, io)
                    : io->op == SFS_IO_FLUSH ? flush_now(d, q)
                                             : change_now(d, q);
    }
    if (farm_draw(d, d->farm->rates.rot))
        sim_disk_rot_somewhere(d);
    if (!d->away && farm_draw(d, d->farm->rates.gone))
        sim_disk_pull(d);
    sim_env_note(sim, (uint64_t)q->result << 8 | (uint64_t)io->op);
    if (io->op == SFS_IO_READ && q->result == SCALEFS_OK)
        sim_env_note(sim, sfs_hash(io->buf, (size_t)io->len));
    sim_env_interrupt(sim, &q->work, tell);
}

static void count_request(struct sim_disk *d, const struct sfs_io *io, int result)
{
    struct sim_disk_stats *s = &d->stats;
    s->reads += io->op == SFS_IO_READ;
    s->writes += io->op == SFS_IO_WRITE;
    s->flushes += io->op == SFS_IO_FLUSH;
    s->discards += io->op == SFS_IO_DISCARD;
    s->resets += io->op == SFS_IO_ZONE_RESET;
    s->refused += result == SCALEFS_E_INVAL;
    s->bytes_read += io->op == SFS_IO_READ && !result ? io->len : 0;
    s->bytes_written += io->op == SFS_IO_WRITE && !result ? io->len : 0;
    if (io->op == SFS_IO_WRITE && io->len > s->largest_write)
        s->largest_write = io->len;
}

static void submit(struct sfs_disk *disk, struct sfs_io *io)
{
    struct handle *h = handle_of(disk);
    struct sim_disk *d = h->sim;
    struct sim_env *sim = d->farm->sim;
    fiber_quiet();
    bool has_buffer = io->op == SFS_IO_READ || io->op == SFS_IO_WRITE;
    if (io->op != SFS_IO_FLUSH && (io->offset % SFS_IO_ALIGN || io->len % SFS_IO_ALIGN ||
                                   (has_buffer && (uintptr_t)io->buf % SFS_IO_ALIGN)))
        sim_fail(sim, "%s: a misaligned request at %" PRIu64 "+%" PRIu64, d->name, io->offset,
                 io->len);
    struct request *q = sim_must(calloc(1, sizeof *q));
    q->disk = d;
    q->io = io;
    q->generation = h->generation;
    q->flush_upto = d->done_seq;
    q->prev = d->last;
    *(d->last ? &d->last->next : &d->first) = q;
    d->last = q;
    int refused = admit(h, q, io);
    if (refused)
        q->result = refused;
    count_request(d, io, refused);
    sim_env_note(sim, (uint64_t)io->op << 32 | d->index);
    sim_env_note(sim, io->offset);
    sim_env_note(sim, io->len);
    sim_env_note(sim, q->hash);
    fiber_release(q);
    sim_event_add(sim, &q->event, completion_time(d, io), complete);
    sim_env_count_io(sim);
    fiber_loud();
}

/* Handles ------------------------------------------------------------------------------------- */

static int info(struct sfs_disk *disk, struct sfs_disk_info *to)
{
    struct handle *h = handle_of(disk);
    fiber_quiet();
    const struct sim_disk *d = h->sim;
    sim_yield(d->farm->sim);
    bool gone = dead(h);
    if (!gone) {
        memset(to, 0, sizeof *to);
        to->kind = SFS_DISK_SIMULATED;
        to->size_bytes = d->options.size_bytes;
        to->sector_bytes = d->options.sector_bytes;
        to->discard = d->options.discard && !d->zones;
        to->zoned = d->zones != NULL;
        to->zone_bytes = d->options.zone_bytes;
        to->zone_capacity = d->options.zone_capacity;
        snprintf(to->path, sizeof to->path, "%s", d->name);
    }
    fiber_loud();
    return gone ? SCALEFS_E_GONE : SCALEFS_OK;
}

static int write_pointer(struct sfs_disk *disk, uint64_t offset, uint64_t *pointer)
{
    struct handle *h = handle_of(disk);
    struct sim_disk *d = h->sim;
    fiber_quiet();
    sim_yield(d->farm->sim);
    int result = dead(h)                                           ? SCALEFS_E_GONE
                 : !d->zones || offset >= d->options.size_bytes ? SCALEFS_E_INVAL
                                                                   : SCALEFS_OK;
    if (!result) {
        const struct zone *z = zone_of(d, offset);
        *pointer = z->pointer == zone_full(d, z) ? zone_start(d, z) + d->options.zone_bytes
                                                 : z->pointer;
    }
    fiber_loud();
    return result;
}

static void close_disk(struct sfs_disk *disk)
{
    struct handle *h = handle_of(disk);
    struct sim_disk *d = h->sim;
    struct sfs_env *env = disk->env;
    fiber_quiet();
    for (const struct request *q = d->first; q; q = q->next)
        if (q->io->disk == disk)
            sim_fail(d->farm->sim, "%s is closed with a request in flight", d->name);
    if (h->generation == d->opened_generation)
        d->opened_by = NULL;
    fiber_loud();
    sfs_free(env, h);
}

const struct sfs_disk_ops sim_disk_ops = {
    .submit = submit,
    .info = info,
    .write_pointer = write_pointer,
    .close = close_disk,
};

int sim_disk_open(struct sim_disk *d, struct sfs_env *env, struct sfs_disk **disk)
{
    struct sim_env *sim = sim_env_of(env);
    if (d->farm->sim != sim)
        sim_fail(sim, "%s is opened in a world that its farm is not attached to", d->name);
    if (d->away)
        return SCALEFS_E_GONE;
    if (d->opened_by && d->opened_generation == d->generation)
        return SCALEFS_E_BUSY;
    struct handle *h = sfs_zalloc(env, sizeof *h);
    if (!h)
        return SCALEFS_E_NOMEM;
    h->disk.ops = &sim_disk_ops;
    h->disk.env = env;
    h->sim = d;
    h->generation = d->generation;
    d->opened_by = sim;
    d->opened_generation = d->generation;
    int err = info(&h->disk, &h->disk.info);
    if (err) {
        close_disk(&h->disk);
        return err;
    }
    *disk = &h->disk;
    return SCALEFS_OK;
}
