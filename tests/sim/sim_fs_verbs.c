/* Changes of the configuration at random moments, and cuts and kills in the middle of them. See sim_fs.h.
 *
 * A verb is under way from its call until care came to rest. In a doomed life the power goes, or the process is killed, some
 * disk requests after a verb that the seed draws was given. How often each verb was hit is counted and printed.
 */
#include "sim/sim_fs.h"

#include <stdio.h>

#include "store/care_internal.h"

const char *verb_name(enum verb v)
{
    static const char *const names[VERBS] = {"add", "remove", "replace", "failover", "optimize", "resize", "pause", "resume",
                                             "cancel", "rate", "offline", "online", "scrub", "role"};
    return names[v];
}

void verb_doom(struct model *m)
{
    m->doom = (enum verb)prng_below(&m->w->prng, m->roles ? VERBS : VERB_ROLE);
    m->doomed = true;
}

void verb_begin(struct model *m, enum verb v)
{
    m->under |= 1u << v;
    m->calling = true;
    /* Other verbs serve, too, where the one that was drawn does not come. */
    if (!m->doomed || (v != m->doom && !prng_chance(&m->chaos, 1, 8)))
        return;
    m->doomed = false;
    sim_env_cut_in(m->w->sim, 1 + prng_skewed(&m->chaos, prng_chance(&m->chaos, 1, 2) ? 40 : 1500));
}

void verb_end(struct model *m, enum verb v, int err)
{
    m->calling = false;
    if (err)
        m->under &= ~(1u << v);
}

void verb_rest(struct model *m)
{
    if (m->under && !m->calling && sfs_care_idle(m->store))
        m->under = 0;
}

void verb_count(struct model *m)
{
    for (unsigned v = 0; v < VERBS; v++)
        if (m->under >> v & 1) {
            m->counts.cut_in[v] += !m->was_killed;
            m->counts.killed_in[v] += m->was_killed;
        }
}

/* With faults that nobody has seen yet fewer failures than those must not be wished. */
static bool may_bear(const struct model *m, int failover)
{
    return failover < 0 || (unsigned)failover >= sim_farm_affected(m->w->farm) || !m->faulty;
}

/* So many failures are borne at any moment of the change: the fewer of before and after. */
static void follow(struct model *m)
{
    sfs_store_lock(m->store);
    unsigned failover = m->store->pool->config.failover;
    sfs_store_unlock(m->store);
    if (failover < m->failover)
        m->failover = failover;
    sim_farm_set_budget(m->w->farm, m->failover);
}

static bool refused(int err)
{
    return err == SCALEFS_E_TOO_FEW || err == SCALEFS_E_NOSPC || err == SCALEFS_E_BUSY || err == SCALEFS_E_SUSPENDED ||
           err == SCALEFS_E_NOENT || chaos_unlucky(err);
}

/* It may have gone already; then it is known by that no other disk is this member. */
static void note_added(struct model *m, unsigned spare)
{
    sfs_store_lock(m->store);
    for (unsigned i = 0; i < m->store->pool->member_count && !m->member[spare]; i++) {
        const struct sfs_member *member = &m->store->pool->members[i];
        bool known = !member->used || member->disk;
        for (unsigned d = 0; d < DISKS && !known; d++)
            known = m->member[d] == member->record.index;
        if (!known)
            m->member[spare] = member->record.index;
    }
    sfs_store_unlock(m->store);
}

static void add_disk(struct model *m, unsigned spare)
{
    struct sfs_disk *handle;
    struct scalefs_error_info info = {0};
    struct standing st;
    if (m->member[spare] || sim_disk_is_affected(sim_farm_disk(m->w->farm, spare)) || world_open_disk(m->w, spare, &handle))
        return;
    uint8_t role = m->roles && prng_chance(&m->chaos, 1, 2) ? SFS_ROLE_METADATA : SFS_ROLE_DATA;
    verb_begin(m, VERB_ADD);
    int err = sfs_care_add(m->store, &handle, NULL, role, 1, &info);
    verb_end(m, VERB_ADD, err);
    trace(m, "chaos: disk %u is added, role %u: %s", spare, role, scalefs_error_name(err));
    if (!err) {
        chaos_look(m, &st);
        note_added(m, spare);
        m->counts.added++;
    } else if (!refused(err)) {
        wrong(m, "disk %u cannot be added: %s: %s", spare, scalefs_error_text(err), info.text);
    }
}

static void change_role(struct model *m, unsigned i)
{
    struct scalefs_error_info info = {0};
    if (!m->member[i])
        return;
    uint8_t role = prng_chance(&m->chaos, 1, 2) ? SFS_ROLE_METADATA : SFS_ROLE_DATA;
    verb_begin(m, VERB_ROLE);
    int err = sfs_care_role(m->store, m->member[i], role, &info);
    verb_end(m, VERB_ROLE, err);
    trace(m, "chaos: disk %u (member %u) gets role %u: %s", i, m->member[i], role, scalefs_error_name(err));
    m->counts.roles += !err;
    if (err && !refused(err))
        wrong(m, "disk %u does not get role %u: %s: %s", i, role, scalefs_error_text(err), info.text);
}

static void remove_disk(struct model *m, unsigned i)
{
    struct scalefs_error_info info = {0};
    if (!m->member[i])
        return;
    int failover = prng_chance(&m->chaos, 1, 3) ? (int)prng_below(&m->chaos, 3) : -1;
    if (!may_bear(m, failover))
        return;
    verb_begin(m, VERB_REMOVE);
    int err = sfs_care_remove(m->store, m->member[i], failover, &info);
    verb_end(m, VERB_REMOVE, err);
    trace(m, "chaos: disk %u (member %u) is removed, failover %d: %s", i, m->member[i], failover, scalefs_error_name(err));
    m->counts.removed += !err;
    follow(m);
    if (err && !refused(err))
        wrong(m, "disk %u cannot be removed: %s: %s", i, scalefs_error_text(err), info.text);
}

static void configure(struct model *m)
{
    struct scalefs_error_info info = {0};
    int failover = prng_chance(&m->chaos, 2, 3) ? (int)prng_below(&m->chaos, 4) : -1;
    int optimize = prng_chance(&m->chaos, 1, 2) ? (int)prng_below(&m->chaos, 5) * 25 : -1;
    enum verb v = failover >= 0 ? VERB_FAILOVER : VERB_OPTIMIZE;
    if (!may_bear(m, failover))
        return;
    verb_begin(m, v);
    int err = sfs_care_configure(m->store, failover, optimize, &info);
    verb_end(m, v, err);
    trace(m, "chaos: failover %d, optimize %d: %s", failover, optimize, scalefs_error_name(err));
    m->counts.configured += !err;
    if (err == SCALEFS_E_SUSPENDED && m->verbose)
        chaos_print_groups(m);
    follow(m);
    if (err && !refused(err))
        wrong(m, "failover %d, optimize %d: %s: %s", failover, optimize, scalefs_error_text(err), info.text);
}

/* Changes that are going on are halted, slowed down, taken back. */
static void steer(struct model *m)
{
    struct prng *p = &m->chaos;
    struct scalefs_error_info info = {0};
    struct scalefs_task_status tasks[16];
    size_t count;
    sfs_care_tasks(m->store, tasks, 16, &count);
    unsigned task = count && prng_chance(p, 1, 2) ? tasks[prng_below(p, count)].id : 0, what = (unsigned)prng_below(p, 5);
    enum verb v = what == 0 ? VERB_PAUSE : what == 1 ? VERB_CANCEL : what == 2 ? VERB_RATE : VERB_RESUME;
    if (what == 1 && !may_bear(m, 0))
        return;
    verb_begin(m, v);
    int err = what == 0   ? sfs_care_pause(m->store, task, &info)
              : what == 1 ? sfs_care_cancel(m->store, task, &info)
              : what == 2 ? sfs_care_limit(m->store, prng_chance(p, 1, 2) ? 0 : 1u << (17 + prng_below(p, 10)), &info)
                          : sfs_care_resume(m->store, task, &info);
    verb_end(m, v, err);
    trace(m, "chaos: pause, cancel, rate, resume: %u of task %u: %s", what, task, scalefs_error_name(err));
    follow(m);
    if (err && err != SCALEFS_E_INVAL && !refused(err))
        wrong(m, "task %u, %u: %s: %s", task, what, scalefs_error_text(err), info.text);
}

/* The disk is cut to what the pool uses of it, unless that is being changed just now. */
static bool cut(struct model *m, unsigned i, uint64_t size)
{
    sfs_store_lock(m->store);
    const struct sfs_member *member = sfs_member_of(m->store->pool, m->member[i]);
    bool may = member && member->disk && member->record.size == size && member->record.wanted_size == size && !m->store->care->busy;
    if (may)
        sim_disk_resize(sim_farm_disk(m->w->farm, i), size);
    sfs_store_unlock(m->store);
    if (may)
        trace(m, "chaos: disk %u is cut to %llu", i, N(size));
    return may;
}

/* A member becomes larger (the disk does, too) or smaller; a disk is cut when the pool says that it may be. */
static void resize(struct model *m, unsigned i)
{
    struct prng *p = &m->chaos;
    struct scalefs_error_info info = {0};
    struct sim_disk *d = sim_farm_disk(m->w->farm, i);
    uint64_t size = 0, wanted = 0, most = 256ull << 20;
    sfs_store_lock(m->store);
    const struct sfs_member *member = m->member[i] ? sfs_member_of(m->store->pool, m->member[i]) : NULL;
    bool may = member && member->disk && member->record.layout == SFS_LAYOUT_CONVENTIONAL;
    if (may) {
        size = member->record.size;
        wanted = member->record.wanted_size;
    }
    sfs_store_unlock(m->store);
    if (!may)
        return;
    unsigned what = (unsigned)prng_below(p, 3);
    if (what == 0 && sim_disk_size(d) < most)
        sim_disk_resize(d, sim_disk_size(d) + (1 + prng_below(p, 16)) * (2u << 20));
    if (what == 1 && size == wanted && sim_disk_size(d) > size && sfs_care_idle(m->store) && cut(m, i, size))
        return;
    uint64_t bytes = what == 0 ? 0 : size * (50 + prng_below(p, 50)) / 100 / 4096 * 4096;
    verb_begin(m, VERB_RESIZE);
    int err = sfs_care_resize(m->store, m->member[i], bytes, &info);
    verb_end(m, VERB_RESIZE, err);
    trace(m, "chaos: disk %u (member %u) is resized to %llu: %s", i, m->member[i], N(bytes), scalefs_error_name(err));
    m->counts.resized += !err;
    if (err && err != SCALEFS_E_TOO_SMALL && !refused(err))
        wrong(m, "disk %u is not resized: %s: %s", i, scalefs_error_text(err), info.text);
}

void verb_some(struct model *m)
{
    struct prng *p = &m->chaos;
    unsigned i = (unsigned)prng_below(p, sim_farm_count(m->w->farm));
    if (m->roles && prng_chance(p, 1, 5)) {
        change_role(m, i);
        return;
    }
    switch (prng_below(p, 5)) {
    case 4:
        resize(m, i);
        break;
    case 3:
        steer(m);
        break;
    case 0:
        add_disk(m, i);
        break;
    case 1:
        remove_disk(m, i);
        break;
    default:
        configure(m);
    }
}
