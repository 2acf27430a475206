/* The speed of care's work. See care_meter.h. */
#include "store/care_meter.h"

#include <stdbool.h>
#include <string.h>

#define SLOT_NS 500000000ull
#define WATCH_NS 1000000000ull /* a commit alone may take long: less says nothing */
#define SURE_NS 5000000000ull  /* little that was moved means that it is slow */
#define ENOUGH (1u << 20)
#define FORESIGHT 1000u /* no more time is foretold than so many times what was watched */

struct seen {
    uint64_t moved, done, ns;
};

void sfs_meter_begin(struct sfs_meter *m, uint64_t now_ns)
{
    memset(m, 0, sizeof *m);
    m->since_ns = m->last_ns = now_ns;
}

void sfs_meter_add(struct sfs_meter *m, unsigned task, uint64_t moved, uint64_t done, uint64_t now_ns)
{
    if (m->task != task) {
        sfs_meter_begin(m, m->last_ns); /* what is told of now began when the other's last piece was done */
        m->task = task;
    }
    uint64_t number = now_ns / SLOT_NS;
    unsigned i = (unsigned)(number % SFS_METER_SLOTS);
    if (m->slots[i].number != number) {
        m->slots[i].number = number;
        m->slots[i].moved = m->slots[i].done = 0;
    }
    m->slots[i].moved += moved;
    m->slots[i].done += done;
    m->last_ns = now_ns;
}

/* Of the stretch that the slots tell of. */
static struct seen look(const struct sfs_meter *m, uint64_t now_ns)
{
    struct seen s = {0, 0, 0};
    uint64_t newest = now_ns / SLOT_NS, oldest = newest < SFS_METER_SLOTS ? 0 : newest - SFS_METER_SLOTS + 1;
    uint64_t from = oldest * SLOT_NS;
    if (from < m->since_ns)
        from = m->since_ns;
    for (unsigned i = 0; i < SFS_METER_SLOTS; i++)
        if (m->slots[i].number >= oldest && m->slots[i].number <= newest) {
            s.moved += m->slots[i].moved;
            s.done += m->slots[i].done;
        }
    s.ns = now_ns > from ? now_ns - from : 0;
    return s;
}

static bool known(uint64_t bytes, uint64_t ns)
{
    return bytes && ns >= WATCH_NS && (bytes >= ENOUGH || ns >= SURE_NS);
}

uint64_t sfs_meter_rate(const struct sfs_meter *m, uint64_t now_ns)
{
    struct seen s = look(m, now_ns);
    return known(s.moved, s.ns) ? (uint64_t)((double)s.moved * 1e9 / (double)s.ns) : 0;
}

uint64_t sfs_meter_seconds(const struct sfs_meter *m, uint64_t left, uint64_t now_ns)
{
    struct seen s = look(m, now_ns);
    if (!known(s.done, s.ns))
        return 0;
    double seconds = (double)left * (double)s.ns / (double)s.done / 1e9;
    return seconds <= (double)(now_ns - m->since_ns) / 1e9 * FORESIGHT ? (uint64_t)seconds + 1 : 0;
}
