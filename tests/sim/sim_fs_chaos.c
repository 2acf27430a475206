/* Faults, and disks that come and go. See sim_fs.h.
 *
 * The simulated disks have faults at rates that the seed chooses, on `failover` disks at a time at most. A task beside
 * the clients pulls disks (within the same bound), brings them back, replaces them, scrubs. Disks that were affected count as
 * good again (a new epoch) when the pool says that it is healthy with nothing left to do and no page of theirs is damaged:
 * so the pool's word is what the next faults put to the test.
 */
#include "sim/sim_fs.h"

#include <stdlib.h>
#include <string.h>

#include "store/care_internal.h"

enum { SPARES = 2, PATIENCE_S = 1200 };

static unsigned spares(const struct model *m)
{
    return m->changes ? 4 : SPARES;
}

/* --- faults ----------------------------------------------------------------------------------------------------------------- */

static uint32_t some(struct prng *p, uint32_t most)
{
    return prng_chance(p, 1, 2) ? (uint32_t)prng_skewed(p, most) : 0;
}

void chaos_begin(struct model *m)
{
    struct prng *p = &m->w->prng;
    for (unsigned i = 0; i < m->disks; i++)
        m->member[i] = (uint16_t)(i + 1); /* as a new pool numbers them */
    if (m->tour)
        return;
    for (unsigned i = 0; i < spares(m); i++) {
        struct sim_disk_options o = {.size_bytes = 144u << 20, .discard = prng_chance(p, 1, 2), .mean_latency_ns = 200000};
        zoned_disk(m, &o, true);
        sim_farm_add(m->w->farm, &o);
    }
    m->rates = (struct sim_rates){.read_error = some(p, 4000), .read_error_sticky = some(p, 2000),
                                  .write_error = some(p, 400), .flush_error = some(p, 2000), .rot = some(p, 1000),
                                  .lost_write = some(p, 1000), .misdirected = some(p, 500), .gone = some(p, 200)};
    m->faulty = !m->changes || prng_chance(p, 1, 3);
    if (!m->faulty)
        m->rates = (struct sim_rates){0};
    sim_farm_set_budget(m->w->farm, m->failover);
    struct prng q;
    prng_stream(&q, m->w->seed, 800);
    m->storms = prng_chance(&q, 1, 2);
    prng_stream(&m->filling, m->w->seed, 801);
    m->fills = prng_chance(&m->filling, 1, 3);
}

static bool may_affect(struct model *m, struct sim_disk *d)
{
    /* With a lower failover than before more may be affected already than it bears. */
    return sim_farm_affected(m->w->farm) + !sim_disk_is_affected(d) <= m->failover;
}

/* After a storm more disks count as affected than are borne: they get no more faults before all is good again. */
void chaos_rates(struct model *m)
{
    static const struct sim_rates none;
    bool calm = sim_farm_affected(m->w->farm) > m->failover;
    sim_farm_set_rates(m->w->farm, calm ? &none : &m->rates);
    sim_farm_set_budget(m->w->farm, m->failover);
}

bool chaos_absent(struct model *m)
{
    bool absent = false;
    for (unsigned i = 0; i < sim_farm_count(m->w->farm); i++)
        absent = absent || (m->member[i] && (m->dead[i] || sim_disk_is_away(sim_farm_disk(m->w->farm, i))));
    return absent;
}

void chaos_between(struct model *m)
{
    struct prng *p = &m->w->prng;
    chaos_rates(m);
    for (unsigned i = 0; i < sim_farm_count(m->w->farm); i++) {
        struct sim_disk *d = sim_farm_disk(m->w->farm, i);
        if (sim_disk_is_away(d) && prng_chance(p, 1, 2)) {
            sim_disk_return(d);
            m->counts.returned++;
        } else if (m->member[i] && !sim_disk_is_away(d) && prng_chance(p, 1, 8) && may_affect(m, d)) {
            sim_disk_pull(d);
            m->counts.pulled++;
        }
    }
}

/* --- what the pool says ---------------------------------------------------------------------------------------------------- */

/* Which disk of the farm is which member; how the members are. */
void chaos_look(struct model *m, struct standing *st)
{
    struct sfs_store *s = m->store;
    enum scalefs_pool_state state;
    unsigned left;
    char action[512];
    uint16_t seen[DISKS] = {0};
    unsigned config;
    *st = (struct standing){0};
    sfs_store_lock(s);
    for (unsigned i = 0; i < s->pool->member_count; i++) {
        const struct sfs_member *member = &s->pool->members[i];
        if (!member->used)
            continue;
        st->used++;
        st->absent += !member->disk;
        st->behind += member->disk && !member->complete;
        if (member->disk)
            seen[sim_disk_index(world_disk_of(member->disk))] = member->record.index;
        for (unsigned d = 0; d < DISKS && !member->disk; d++)
            if (m->member[d] == member->record.index)
                seen[d] = member->record.index;
    }
    memcpy(m->member, seen, sizeof seen);
    config = s->pool->config.failover;
    sfs_store_unlock(s);
    sfs_care_state(s, &state, &left, action, sizeof action);
    st->healthy = state == SCALEFS_HEALTHY && left >= m->failover && left >= config && !st->absent && !st->behind && sfs_care_idle(s);
}

void chaos_opened(struct model *m)
{
    struct standing st;
    chaos_look(m, &st);
    sfs_store_lock(m->store);
    unsigned failover = m->store->pool->config.failover;
    sfs_store_unlock(m->store);
    if (failover < m->failover)
        m->failover = failover;
}

/* --- deeds ---------------------------------------------------------------------------------------------------------------------- */

/* Groups that a single failure would hurt, or that hold something on a disk that is not whole. */
void chaos_print_groups(struct model *m)
{
    struct sfs_pool *pool = m->store->pool;
    sfs_store_lock(m->store);
    for (unsigned i = 0; i < pool->member_count; i++)
        if (pool->members[i].used)
            fprintf(stderr, "# member %u: role %u, wish %u, %s, %u atoms, %u free\n", pool->members[i].record.index,
                    pool->members[i].record.role, pool->members[i].record.wish, pool->members[i].disk ? "there" : "absent",
                    pool->members[i].record.atoms, pool->members[i].free_atoms);
    fprintf(stderr, "# %zu columns wait to be free again\n", pool->pending_count);
    for (uint32_t i = 0; i < pool->group_cap; i++) {
        const struct sfs_group *g = pool->groups[i];
        if (!g)
            continue;
        fprintf(stderr, "# group %u: class %u, %u + %u, state %u, %u of %u rows, live %llu%s, on", i, g->record.class,
                g->record.k, g->record.m, g->record.state, g->count.used_rows, g->record.rows, N(g->count.live),
                g->moving ? ", moving" : "");
        for (unsigned c = 0; c < (unsigned)g->record.k + g->record.m; c++)
            fprintf(stderr, " %u", g->record.columns[c].disk);
        fputc('\n', stderr);
    }
    sfs_store_unlock(m->store);
}

/* Errors that a call may end with when a disk fails just now. */
bool chaos_unlucky(int err)
{
    return err == SCALEFS_E_BACKING_FULL || err == SCALEFS_E_IO || err == SCALEFS_E_GONE || err == SCALEFS_E_CHANGED || err == SCALEFS_E_CORRUPT ||
           err == SCALEFS_E_NOT_A_POOL;
}

static void pull(struct model *m, unsigned i)
{
    struct sim_disk *d = sim_farm_disk(m->w->farm, i);
    if (!m->member[i] || sim_disk_is_away(d) || !may_affect(m, d))
        return;
    trace(m, "chaos: disk %u (member %u) is pulled", i, m->member[i]);
    if (prng_chance(&m->chaos, 1, 3) || (m->doomed && m->doom == VERB_OFFLINE)) {
        struct scalefs_error_info info = {0};
        /* It counts as affected from now on, also when the power goes in the middle of this. */
        sim_disk_make_unreadable(d, 0, 0);
        verb_begin(m, VERB_OFFLINE);
        int err = sfs_care_offline(m->store, m->member[i], &info);
        verb_end(m, VERB_OFFLINE, err);
        if (err == SCALEFS_E_SUSPENDED)
            chaos_print_groups(m);
        if (err && err != SCALEFS_E_BUSY && err != SCALEFS_E_NOENT && !chaos_unlucky(err))
            wrong(m, "disk %u does not go offline: %s: %s", m->member[i], scalefs_error_text(err), info.text);
    }
    sim_disk_pull(d);
    m->counts.pulled++;
}

/* As many as the pool bears, at once; some for ever: an empty disk comes back in their place. */
static void massacre(struct model *m)
{
    unsigned count = sim_farm_count(m->w->farm), first = (unsigned)prng_below(&m->chaos, count);
    for (unsigned n = 0; n < count; n++) {
        unsigned i = (first + n) % count;
        struct sim_disk *d = sim_farm_disk(m->w->farm, i);
        if (!m->member[i] || sim_disk_is_away(d) || !may_affect(m, d))
            continue;
        bool dies = prng_chance(&m->chaos, 1, 4);
        trace(m, "chaos: disk %u (member %u) %s", i, m->member[i], dies ? "dies" : "is pulled");
        if (dies) {
            sim_disk_replace(d);
            m->dead[i] = true;
            m->counts.died++;
        }
        sim_disk_pull(d);
        m->counts.pulled++;
    }
}

static void replace(struct model *m, unsigned old, unsigned spare);

/* Does the pool know that it is gone? */
static bool is_absent(struct model *m, unsigned i)
{
    sfs_store_lock(m->store);
    const struct sfs_member *member = m->member[i] ? sfs_member_of(m->store->pool, m->member[i]) : NULL;
    bool absent = member && !member->disk;
    sfs_store_unlock(m->store);
    return absent;
}

static void bring_back(struct model *m, unsigned i)
{
    struct sim_disk *d = sim_farm_disk(m->w->farm, i);
    struct sfs_disk *handle;
    struct scalefs_error_info info = {0};
    if (m->dead[i]) {
        if (is_absent(m, i))
            replace(m, i, i);
        return;
    }
    if (sim_disk_is_away(d)) {
        sim_disk_return(d);
        m->counts.returned++;
    }
    if (!m->member[i] || world_open_disk(m->w, i, &handle))
        return; /* its old handle is not yet closed */
    trace(m, "chaos: disk %u (member %u) comes back", i, m->member[i]);
    verb_begin(m, VERB_ONLINE);
    int err = sfs_care_online(m->store, handle, &info);
    verb_end(m, VERB_ONLINE, err);
    if (!err)
        return;
    handle->ops->close(handle);
    if (!chaos_unlucky(err) && err != SCALEFS_E_BUSY && err != SCALEFS_E_EXIST && err != SCALEFS_E_INVAL && err != SCALEFS_E_NOENT)
        wrong(m, "disk %u (member %u) does not come back: %s: %s", i, m->member[i], scalefs_error_text(err), info.text);
}

/* The new member may be absent already when one looks for it. */
static void note_heir(struct model *m, uint16_t old, unsigned spare)
{
    sfs_store_lock(m->store);
    const struct sfs_member *member = sfs_member_of(m->store->pool, old);
    if (member && member->record.replaced_by != SFS_NONE16)
        m->member[spare] = member->record.replaced_by;
    sfs_store_unlock(m->store);
}

static void replace(struct model *m, unsigned old, unsigned spare)
{
    struct sfs_disk *handle;
    struct scalefs_error_info info = {0};
    /* What it takes over from a good disk must be as safe as it was there. One that is dead is no worse than before. */
    bool itself = old == spare && m->dead[old];
    /* Whoever takes a disk out is seen to do so, before another one is where it was: else both are waited for. */
    if (itself && !is_absent(m, old))
        return;
    if (itself)
        sim_disk_return(sim_farm_disk(m->w->farm, old));
    else if (!m->member[old] || m->member[spare] || sim_disk_is_affected(sim_farm_disk(m->w->farm, spare)))
        return;
    if (world_open_disk(m->w, spare, &handle))
        return;
    trace(m, "chaos: disk %u (member %u) is replaced by disk %u", old, m->member[old], spare);
    uint16_t index = m->member[old];
    verb_begin(m, VERB_REPLACE);
    int err = sfs_care_replace(m->store, index, handle, &info);
    verb_end(m, VERB_REPLACE, err);
    if (!err) {
        if (itself)
            m->dead[old] = false;
        note_heir(m, index, spare);
        m->counts.replaced++;
        return;
    }
    handle->ops->close(handle);
    if (!chaos_unlucky(err) && err != SCALEFS_E_BUSY && err != SCALEFS_E_NOENT && err != SCALEFS_E_NOSPC && err != SCALEFS_E_TOO_SMALL &&
        !(m->storm && err == SCALEFS_E_SUSPENDED))
        wrong(m, "disk %u (member %u) cannot be replaced: %s: %s", old, m->member[old], scalefs_error_text(err), info.text);
}

static void scrub(struct model *m, enum scalefs_scrub_verb verb)
{
    struct scalefs_error_info info = {0};
    verb_begin(m, VERB_SCRUB);
    int err = sfs_care_scrub(m->store, verb, &info);
    verb_end(m, VERB_SCRUB, err);
    trace(m, "chaos: scrub %d: %s", (int)verb, scalefs_error_name(err));
    m->counts.scrubs += !err && verb == SCALEFS_SCRUB_START;
    if (err == SCALEFS_E_NOSPC || err == SCALEFS_E_SUSPENDED)
        chaos_print_groups(m);
    if (err && err != SCALEFS_E_BUSY && err != SCALEFS_E_INVAL && err != SCALEFS_E_NOENT && !chaos_unlucky(err) &&
        !(m->storm && err == SCALEFS_E_SUSPENDED))
        wrong(m, "scrub: %s: %s", scalefs_error_text(err), info.text);
}

/* Disks that belong to no member any more are emptied: spares again. */
static void clean_spares(struct model *m)
{
    for (unsigned i = 0; i < sim_farm_count(m->w->farm); i++) {
        struct sim_disk *d = sim_farm_disk(m->w->farm, i);
        struct sfs_disk *handle;
        if (m->member[i])
            continue;
        m->dead[i] = false;
        if (!sim_disk_stored_pages(d) && !sim_disk_is_away(d))
            continue;
        sim_disk_return(d);
        if (sim_disk_open(d, m->w->env, &handle))
            continue; /* the pool still has it open */
        handle->ops->close(handle);
        sim_disk_replace(d);
    }
}

static void new_epoch(struct model *m)
{
    clean_spares(m);
    if (!sim_farm_affected(m->w->farm))
        return;
    sim_farm_new_epoch(m->w->farm);
    if (m->storms && m->running)
        chaos_rates(m);
    trace(m, "chaos: a new epoch; %u disks affected", sim_farm_affected(m->w->farm));
}

static void deed(struct model *m)
{
    struct prng *p = &m->chaos;
    struct standing st;
    unsigned count = sim_farm_count(m->w->farm), i = (unsigned)prng_below(p, count), j = (unsigned)prng_below(p, count);
    storm_look(m);
    host_look(m);
    chaos_look(m, &st);
    if (m->storms && !m->storm && prng_chance(p, 1, 24)) {
        storm_begin(m);
        return;
    }
    if (st.healthy && m->changes) {
        sfs_store_lock(m->store);
        m->failover = m->store->pool->config.failover;
        sfs_store_unlock(m->store);
        sim_farm_set_budget(m->w->farm, m->failover);
    }
    if (st.healthy)
        new_epoch(m);
    if (m->changes && !m->storm && prng_chance(p, 1, 2)) {
        verb_some(m);
        return;
    }
    if (m->doomed && !m->storm && prng_chance(p, 1, 2) && (m->doom == VERB_OFFLINE || m->doom == VERB_ONLINE || m->doom == VERB_REPLACE)) {
        if (m->doom == VERB_REPLACE)
            replace(m, i, j);
        else if (st.absent)
            bring_back(m, i);
        else
            pull(m, i);
        return;
    }
    if (m->changes && !m->storm && prng_chance(p, 1, 12)) {
        massacre(m);
        return;
    }
    switch (m->storm ? 7 : prng_below(p, 8)) {
    case 0:
        pull(m, i);
        break;
    case 1:
        replace(m, i, j);
        break;
    case 2:
        scrub(m, prng_chance(p, 2, 3) ? SCALEFS_SCRUB_START : (enum scalefs_scrub_verb)prng_below(p, 4));
        break;
    default:
        if (st.absent)
            for (i = 0; i < count; i++)
                if (m->member[i] && prng_chance(p, 1, 3))
                    bring_back(m, i);
    }
}

void chaos_run(void *arg)
{
    struct model *m = arg;
    prng_stream(&m->chaos, m->w->seed, 5000 + m->w->life);
    while (m->running) {
        sfs_task_sleep(m->w->env, 1 + prng_skewed(&m->chaos, 400000000));
        if (m->running)
            deed(m);
    }
}

/* --- calm ------------------------------------------------------------------------------------------------------------------------- */

static void not_calm(struct model *m, const struct standing *st)
{
    enum scalefs_pool_state state;
    unsigned left;
    char action[512];
    struct scalefs_task_status tasks[8];
    size_t count;
    sfs_care_state(m->store, &state, &left, action, sizeof action);
    sfs_care_tasks(m->store, tasks, 8, &count);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "# task %u: kind %d, state %d, disk %u, %llu of %llu, %s\n", tasks[i].id, (int)tasks[i].kind,
                (int)tasks[i].state, tasks[i].disk, N(tasks[i].bytes_done), N(tasks[i].bytes_total),
                tasks[i].reason);
    chaos_print_groups(m);
    wrong(m, "the pool does not become healthy: state %d, %u failures left of %u, %u disks absent, %u behind, %s: %s",
          (int)state, left, m->failover, st->absent, st->behind, sfs_care_idle(m->store) ? "idle" : "busy",
          action);
}

/* Nothing is paused or slow any more. */
static bool goes_on(struct model *m)
{
    struct scalefs_error_info info = {0};
    return !m->changes || (!sfs_care_resume(m->store, 0, &info) && !sfs_care_limit(m->store, 0, &info));
}

/* Until the pool is healthy and has nothing to do. */
static void settle(struct model *m)
{
    struct standing st;
    bool going = false;
    for (unsigned tries = 0; tries < PATIENCE_S * 10; tries++) {
        storm_look(m);
        going = going || goes_on(m);
        chaos_look(m, &st);
        if (going && st.healthy && !m->storm)
            return;
        for (unsigned i = 0; i < sim_farm_count(m->w->farm) && st.absent; i++)
            if (m->member[i])
                bring_back(m, i);
        sfs_task_sleep(m->w->env, 100000000);
    }
    not_calm(m, &st);
}

/* One scrub that has seen everything, also of a disk of which the pool learns only by the scrub itself that it was pulled. */
static void scrub_all(struct model *m)
{
    /* One that was paused or just begun does not matter: this one begins anew. */
    scrub(m, SCALEFS_SCRUB_STOP);
    scrub(m, SCALEFS_SCRUB_START);
    settle(m);
    sfs_store_lock(m->store);
    bool done = !m->store->pool->scrub.id;
    sfs_store_unlock(m->store);
    if (!done)
        wrong(m, "a scrub does not come to its end, although all disks are there");
}

/* Nothing is left to do: no data is on a metadata disk, and no nodes are on a disk for data while enough of those have room. */
static void look_at_roles(struct model *m)
{
    struct sfs_pool *pool = m->store->pool;
    sfs_store_lock(m->store);
    unsigned roomy = 0, wrongs = 0, copies = pool->config.failover + 1u > 2 ? pool->config.failover + 1u : 2;
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct sfs_member *member = &pool->members[i];
        roomy += member->used && member->record.role == SFS_ROLE_METADATA && member->free_atoms >= member->record.atoms / 2;
    }
    for (uint32_t i = 0; i < pool->group_cap; i++) {
        const struct sfs_group *g = pool->groups[i];
        bool nodes = g && (g->record.class == SFS_CLASS_SYSTEM || g->record.class == SFS_CLASS_METADATA);
        if (!g || !g->count.live || g->record.class == SFS_CLASS_LANDING || (nodes && (roomy < copies || m->zoned != ZONED_NONE)))
            continue;
        for (unsigned c = 0; c < (unsigned)g->record.k + g->record.m; c++)
            wrongs += (sfs_member_of(pool, g->record.columns[c].disk)->record.role == SFS_ROLE_METADATA) != nodes &&
                      (nodes || sfs_member_of(pool, g->record.columns[c].disk)->record.role == SFS_ROLE_METADATA);
    }
    sfs_store_unlock(m->store);
    if (!wrongs)
        return;
    chaos_print_groups(m);
    wrong(m, "%u columns are on disks of another role", wrongs);
}

void chaos_calm(struct model *m)
{
    static const struct sim_rates none;
    struct standing st;
    host_has_room(m);
    sim_farm_set_rates(m->w->farm, &none);
    sim_farm_set_budget(m->w->farm, m->failover);
    prng_stream(&m->chaos, m->w->seed, 6000 + m->w->life);
    for (unsigned i = 0; i < sim_farm_count(m->w->farm); i++)
        sim_disk_return(sim_farm_disk(m->w->farm, i));
    settle(m);
    scrub_all(m);
    look_at_roles(m);
    chaos_look(m, &st);
    new_epoch(m);
    sfs_store_lock(m->store);
    uint64_t lost = m->store->pool->config.extents_lost;
    sfs_store_unlock(m->store);
    if (lost)
        wrong(m, "%llu extents were lost, with never more than %u disks affected", N(lost), m->failover);
    m->calm = true;
}
