/* What no redundancy helps against, and requests wait out.
 *
 * Storms: more disks go at once than the pool bears, each with its cache kept, torn or lost, and come back. See sim_fs.h.
 *
 * Requests meanwhile get errors, and are made again (PATIENT): one that failed changed nothing. Afterwards the pool goes on by
 * itself when all that was written is there; otherwise it says that it has to be opened anew, which ends the life like a power cut:
 * then what was synced must be there, as after any other.
 *
 * A full host: the disks are files that cannot grow for a while. Whatever needs room there fails with BACKING_FULL, no disk goes, and
 * nothing that was accepted before or after may be lost.
 */
#include "sim/sim_fs.h"

#include <string.h>

#include "store/care_internal.h"

enum { PATIENCE_S = 600, DEAD_S = 60 };

static unsigned comings(struct model *m, unsigned i)
{
    sfs_store_lock(m->store);
    const struct sfs_member *member = m->member[i] ? sfs_member_of(m->store->pool, m->member[i]) : NULL;
    unsigned n = member ? member->comings : UINT32_MAX;
    sfs_store_unlock(m->store);
    return n;
}

/* Has the pool seen that they went? */
static bool noticed(struct model *m)
{
    bool all = true;
    for (unsigned i = 0; i < sim_farm_count(m->w->farm); i++)
        all = all && (!m->storm_comings[i] || comings(m, i) >= m->storm_comings[i]);
    return all;
}

void storm_begin(struct model *m)
{
    struct prng *p = &m->chaos;
    unsigned count = sim_farm_count(m->w->farm), first = (unsigned)prng_below(p, count), members = 0;
    if (m->storm)
        return;
    for (unsigned i = 0; i < count; i++)
        members += m->member[i] && !m->dead[i];
    if (members <= m->failover)
        return;
    unsigned go = m->failover + 1 + (unsigned)prng_below(p, members - m->failover);
    m->storm = true;
    m->storm_cut_off = false;
    m->storm_ns = 0;
    memset(m->storm_comings, 0, sizeof m->storm_comings);
    m->counts.storms++;
    for (unsigned n = 0; n < count && go; n++) {
        unsigned i = (first + n) % count;
        struct sim_disk *d = sim_farm_disk(m->w->farm, i);
        if (!m->member[i] || m->dead[i] || sim_disk_is_away(d))
            continue;
        trace(m, "storm: disk %u (member %u) is pulled", i, m->member[i]);
        m->storm_comings[i] = comings(m, i) + 1;
        sim_disk_pull(d);
        m->counts.pulled++;
        go--;
        chaos_rates(m);
        if (prng_chance(p, 1, 4))
            sfs_task_sleep(m->w->env, 1 + prng_skewed(p, 20000000));
    }
    sfs_task_sleep(m->w->env, 1 + prng_skewed(p, 2000000000));
    for (unsigned i = 0; i < count; i++)
        if (m->member[i] && !m->dead[i])
            sim_disk_return(sim_farm_disk(m->w->farm, i));
}

static void needs_opening(struct model *m)
{
    trace(m, "storm: the pool has to be opened anew");
    m->counts.remounted++;
    sim_env_cut(m->w->sim);
}

void storm_look(struct model *m)
{
    struct sfs_store *s = m->store;
    bool away = false, dead = false;
    if (!m->storm)
        return;
    for (unsigned i = 0; i < sim_farm_count(m->w->farm); i++) {
        away = away || (m->member[i] && !m->dead[i] && sim_disk_is_away(sim_farm_disk(m->w->farm, i)));
        dead = dead || (m->member[i] && m->dead[i]);
    }
    sfs_store_lock(s);
    bool waits = s->pool->waits, suspended = s->pool->suspended, cut_off = s->pool->cut_off, failed = s->care->proof.failed;
    sfs_store_unlock(s);
    m->counts.suspended += cut_off && !m->storm_cut_off;
    m->storm_cut_off = m->storm_cut_off || cut_off;
    if (away || waits)
        return;
    uint64_t now = sim_env_now(m->w->sim);
    if (!m->storm_ns)
        m->storm_ns = now;
    /* What nobody else has may be on one that never comes back: the pool does not know, and says what to do "if this does not end". */
    if (suspended && (failed || (dead && now - m->storm_ns > DEAD_S * 1000000000ull)))
        needs_opening(m);
    if (now - m->storm_ns > PATIENCE_S * 1000000000ull && suspended)
        wrong(m, "all disks are back, and the pool neither goes on nor says that it cannot");
    struct standing st;
    chaos_look(m, &st);
    if (!st.healthy)
        return;
    if (!noticed(m)) {
        (void)sfs_store_commit(s);
        return;
    }
    trace(m, "storm: over");
    m->counts.went_on += m->storm_cut_off;
    m->storm = false;
}

void host_has_room(struct model *m)
{
    if (!m->host_full_until_ns)
        return;
    sim_farm_set_host_full(m->w->farm, false);
    m->host_full_until_ns = 0;
}

void host_look(struct model *m)
{
    uint64_t now = sim_env_now(m->w->sim);
    if (m->host_full_until_ns && now >= m->host_full_until_ns) {
        trace(m, "host: has room again");
        host_has_room(m);
        m->host_room_ns = now;
    } else if (m->fills && !m->host_full_until_ns && prng_chance(&m->filling, 1, 16)) {
        m->host_full_until_ns = now + 1 + prng_skewed(&m->filling, 3000000000);
        trace(m, "host: is full");
        sim_farm_set_host_full(m->w->farm, true);
        m->counts.host_full++;
    }
}

bool storm_again(struct model *m, int err)
{
    if (err == SCALEFS_E_BACKING_FULL && m->fills) {
        m->counts.in_vain++;
        if (!m->host_full_until_ns && sim_env_now(m->w->sim) - m->host_room_ns > DEAD_S * 1000000000ull)
            wrong(m, "the host of the disks has room again, and the pool does not know");
        sfs_task_sleep(m->w->env, 20000000);
        host_look(m);
        return true;
    }
    if (!err || !m->storm || (err != SCALEFS_E_SUSPENDED && !chaos_unlucky(err)))
        return false;
    sfs_task_sleep(m->w->env, 20000000);
    storm_look(m);
    return true;
}

void storm_over(struct model *m)
{
    for (unsigned i = 0; i < sim_farm_count(m->w->farm) && m->storm; i++)
        if (m->member[i] && !m->dead[i])
            sim_disk_return(sim_farm_disk(m->w->farm, i));
    m->storm = false;
    host_has_room(m);
}
