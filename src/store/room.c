/* Room: what is left of it, what may be promised, and what is done before something is refused for want of it. */
#include "store/care_internal.h"
#include "store/internal.h"
#include "store/move.h"

/* Room for metadata nodes: below the first, only transactions that free space go on; below each of the next, one kind more
 * (enum sfs_claim). No new data is promised below the last, so that what was promised finds room for its nodes. */
#define NODES_AT_LEAST 96u
#define NODES_FOR_NAMES 112u
#define NODES_FOR_NEW 128u
#define NODES_FOR_DATA 160u
#define NODES_AHEAD 384u /* more of them are wanted while much is free: at least so many groups of data */
#define GROUPS_MANY 64u
#define NODES_STEP 64u /* fewer, before making room for them is tried again */
#define DIRTY_LEAST 8u
#define GAPS_SHARE 128u
#define CLEANER_ROWS 3u /* that compaction fills before it gives more of them back */

/* Rows of a data group that hold nothing and that nobody fills. */
static uint32_t free_rows(const struct sfs_group *g)
{
    uint32_t room = sfs_group_room(g), taken = g->record.sequential ? 0 : g->in_flight - g->pins;
    return g->record.state == SFS_GROUP_OPEN && room > taken ? room - taken : 0;
}

/* What is moved out of sequential groups must find room, or no more of them are emptied: nobody else fills that group. */
static bool for_cleaners(const struct sfs_store *s, const struct sfs_group *g)
{
    return g->record.sequential && s->open_groups[SFS_CLASS_DATA][1] == g;
}

/* Room as it is counted in groups. */
struct room {
    uint64_t free;      /* that may be promised */
    uint64_t scattered; /* dead bytes in rows that live */
    uint64_t nodes, system;
    uint64_t passing; /* wanted before the change has ended, and not afterwards */
    uint64_t lacks; /* what is there, and what changes write anew, wants so much more than there is */
};

/* Rows of groups that hold nothing, and what they hold beside what lives; *landed: in logs; *row: the largest. */
static uint64_t count_rows(struct sfs_store *s, bool then, struct room *r, uint64_t *landed, uint64_t *row)
{
    struct sfs_pool *pool = s->pool;
    uint64_t room = 0;
    for (uint32_t i = 0; i < pool->group_cap; i++) {
        struct sfs_group *g = pool->groups[i];
        if (!g)
            continue;
        if (g->record.class == SFS_CLASS_DATA) {
            uint64_t payload = sfs_group_row_bytes(&g->record) - SFS_BLOCK, live = payload * g->count.used_rows;
            *row = payload > *row ? payload : *row;
            if (then && g->anew)
                continue;
            if (g->record.sequential) /* dead rows come free with the whole group */
                live = payload * (g->record.rows - sfs_group_room(g));
            r->scattered += live > g->count.live ? live - g->count.live : 0;
            if (!for_cleaners(s, g))
                room += payload * free_rows(g);
        } else if (g->record.class == SFS_CLASS_METADATA) {
            r->nodes += sfs_group_room(g);
        } else if (g->record.class == SFS_CLASS_SYSTEM) {
            r->system += sfs_group_room(g);
        } else {
            *landed += g->count.live;
        }
    }
    return room;
}

/* What could be in wide rows in the place of a log. */
static uint64_t log_bytes(const struct sfs_store *s)
{
    const struct sfs_group *wide = s->open_groups[SFS_CLASS_DATA][0];
    uint32_t zone = sfs_pool_zone_bytes(s->pool), log = zone ? zone : SFS_ATOM_BYTES;
    return wide ? (uint64_t)log * (s->pool->config.failover + 1u) * wide->record.k / (wide->record.k + wide->record.m) : log;
}

/* What has landed will want wide rows, and does not fill them; the next fsync will want a log; and where the cleaner has no
 * group to come, it needs some rows. */
static uint64_t wanted(struct sfs_store *s, uint64_t landed, uint64_t row)
{
    struct sfs_pool *pool = s->pool;
    landed += landed / 8 + (landed ? row : 0);
    const struct sfs_group *wide = s->open_groups[SFS_CLASS_DATA][0], *cleaners = s->open_groups[SFS_CLASS_DATA][1];
    uint32_t zone = sfs_pool_zone_bytes(pool);
    if (zone || !s->open_groups[SFS_CLASS_LANDING][0])
        landed += log_bytes(s);
    if (zone && !(cleaners && for_cleaners(s, cleaners))) /* they will have a group of their own */
        landed += wide ? row * wide->record.rows : zone;
    if (!sfs_groups_cleanable(pool))
        landed += CLEANER_ROWS * row;
    return landed;
}

/* The last of what is scattered is not gathered: full pools keep about so much of it in the gaps of their rows. */
static uint64_t gaps(uint64_t bytes)
{
    return bytes / GAPS_SHARE;
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* While groups are written anew a log comes before the last one is free, and rows are filled as they come. */
static uint64_t in_passing(const struct sfs_store *s, const struct sfs_after *after, uint64_t row)
{
    return after->anew ? gaps(after->anew) + log_bytes(s) + CLEANER_ROWS * row : 0;
}

/* When all is as it is wished; now: as the pool is. */
static void count_then(struct sfs_store *s, const struct sfs_after *after, struct room *then)
{
    uint64_t landed = 0, row = 0, room = after->room + count_rows(s, true, then, &landed, &row);
    uint64_t passing = in_passing(s, after, row), want = wanted(s, landed, row) + after->anew + passing + after->lacks;
    then->passing = passing;
    then->free = less(room, want);
    then->lacks = less(want, room + then->scattered);
    then->scattered = less(then->scattered, less(want, room)); /* some of it has to be gathered for that */
}

/* As the pool is, and no more than when all is as it is wished: see care_after.c. */
static void count(struct sfs_store *s, const struct sfs_after *after, struct room *r)
{
    uint64_t landed = 0, row = 0, room = sfs_groups_unallocated(s->pool) + count_rows(s, false, r, &landed, &row);
    r->free = less(room, wanted(s, landed, row));
    if (!after || !after->changes)
        return;
    struct room then = {0};
    count_then(s, after, &then);
    r->free = then.free < r->free ? then.free : r->free;
    uint64_t rest = then.free + then.scattered - r->free;
    r->scattered = rest < r->scattered ? rest : r->scattered;
}

uint64_t sfs_space_lacks(struct sfs_store *s, const struct sfs_after *after)
{
    struct room then = {0};
    if (!after->changes)
        return 0;
    count_then(s, after, &then);
    return less(then.lacks + less(s->reserved, then.free + then.scattered), then.passing);
}

void sfs_space_count(struct sfs_store *s)
{
    struct sfs_pool *pool = s->pool;
    struct room r = {0};
    sfs_space_free_empty(s);
    count(s, s->care ? sfs_care_after_known(s->care) : NULL, &r);
    s->free_estimate = r.free;
    s->scattered = r.scattered;
    /* Atoms that nobody has can become metadata: as many copies on different disks as can be had, less one column each for a
     * system and a cleaner group. */
    uint64_t nodes = r.nodes, system = r.system;
    unsigned copies = pool->config.failover + 1u < 2 ? 2 : pool->config.failover + 1u, disks = 0;
    uint64_t atoms = 0, most = 0;
    for (unsigned i = 0; i < pool->member_count; i++)
        if (pool->members[i].used && pool->members[i].disk) {
            uint64_t left = pool->members[i].free_atoms < 2 ? 0 : pool->members[i].free_atoms - 2;
            atoms += left;
            most = left > most ? left : most;
            disks++;
        }
    uint64_t columns = atoms / copies;
    if (disks > 1 && columns > atoms - most) /* one disk alone has nearly all of it */
        columns = atoms - most;
    uint32_t zone = sfs_pool_zone_bytes(pool);
    uint64_t more = zone ? (uint64_t)sfs_groups_for_nodes(pool, true, 0) / 2 * (zone / SFS_NODE_BYTES - 1)
                         : columns / 2 * (SFS_ATOM_BYTES / SFS_NODE_BYTES - 1);
    nodes += more;
    system += more;
    s->node_room = nodes < system ? nodes : system;
    /* A checkpoint wants up to four system nodes for each that is dirty, and the places that are left serve again after two more. */
    uint64_t limit = nodes / 6 < system / 16 ? nodes / 6 : system / 16;
    s->dirty_limit = limit < DIRTY_LEAST ? DIRTY_LEAST : limit > s->cache_nodes / 2 ? s->cache_nodes / 2 : (size_t)limit;
}

static int node_room(struct sfs_store *s, enum sfs_claim claim)
{
    static const uint64_t at_least[] = {[SFS_CLAIM_NEW] = NODES_FOR_NEW,
                                        [SFS_CLAIM_NAMES] = NODES_FOR_NAMES,
                                        [SFS_CLAIM_PROMISED] = NODES_AT_LEAST};
    if (s->node_room < 512 && claim != SFS_CLAIM_FREES)
        sfs_space_count(s);
    /* Those that are dirty will want room, and some are new. */
    return claim != SFS_CLAIM_FREES && s->node_room < at_least[claim] + s->dirty.count ? SCALEFS_E_NOSPC : SCALEFS_OK;
}

/* Room for what is promised is counted in whole rows that are free. How much of that is filled depends on how it comes: batches
 * end with gaps, short extents have long entries in the summary. */
static bool fits(const struct sfs_store *s, uint64_t bytes)
{
    uint64_t all = s->reserved + bytes;
    return s->free_estimate >= all + all / 8;
}

static bool promise(struct sfs_store *s, uint64_t bytes)
{
    if (s->free_estimate < s->reserved + bytes + (64u << 20) || s->free_estimate / 16 < s->reserved + bytes)
        sfs_space_count(s);
    /* Data that was promised must find room for its nodes, too: it is refused earlier than transactions are. */
    if (!fits(s, bytes) || s->node_room < NODES_FOR_DATA)
        return false;
    s->reserved += bytes;
    return true;
}

/* locked; gives up the lock */
static int make_node_room(struct sfs_store *s)
{
    uint64_t freed = s->freed;
    if (s->nodes_kept == freed)
        return SCALEFS_E_NOSPC;
    sfs_store_unlock(s);
    int err = sfs_make_node_room(s);
    sfs_store_lock(s);
    sfs_space_count(s);
    if (err == SCALEFS_E_NOSPC)
        s->nodes_kept = freed; /* not again before something was freed */
    return err;
}

bool sfs_space_nodes_to_move(struct sfs_store *s)
{
    sfs_store_lock(s);
    bool enough = s->node_room >= NODES_AT_LEAST;
    sfs_store_unlock(s);
    return enough;
}

/* Is it time to make room for nodes, while that is easy? When data would be refused for want of it; and earlier where the free space
 * is so large that a group less of it does not matter, and small files in all of it would want more. locked */
static bool nodes_run_low(struct sfs_store *s)
{
    uint64_t spare = s->free_estimate > s->reserved ? s->free_estimate - s->reserved : 0, want = NODES_FOR_DATA;
    const struct sfs_group *wide = s->open_groups[SFS_CLASS_DATA][0];
    if (wide && spare / GROUPS_MANY > wide->record.rows * sfs_group_row_bytes(&wide->record))
        want += NODES_AHEAD;
    if (s->node_room >= want)
        s->nodes_low = UINT64_MAX;
    else if (s->node_room < s->nodes_low)
        return !sfs_pool_zone_bytes(s->pool);
    return false;
}

int sfs_space_have_nodes(struct sfs_store *s, enum sfs_claim claim)
{
    int err = node_room(s, claim);
    bool tried = s->nodes_kept == s->freed && !sfs_pool_zone_bytes(s->pool);
    if (err != SCALEFS_E_NOSPC || (claim == SFS_CLAIM_NEW && tried))
        return err;
    /* Perhaps what checkpoints gave back is not yet usable. */
    sfs_store_unlock(s);
    err = sfs_ripen(s);
    sfs_store_lock(s);
    if (!err)
        err = node_room(s, claim);
    return err == SCALEFS_E_NOSPC && !(err = make_node_room(s)) ? node_room(s, claim) : err;
}

/* Logs are packed, and what is dead in rows that live is gathered until there is
 * room, or nothing is gained any more. locked; gives up the lock. */
static int make_promise(struct sfs_store *s, uint64_t bytes, bool *promised)
{
    uint64_t freed = s->freed;
    sfs_store_unlock(s);
    int err = sfs_pack_logs(s);
    sfs_store_lock(s);
    *promised = !err && promise(s, bytes);
    if (!err && !*promised && s->node_room < NODES_FOR_DATA) {
        err = make_node_room(s);
        *promised = (!err || err == SCALEFS_E_NOSPC) && promise(s, bytes);
        if (err == SCALEFS_E_NOSPC)
            err = SCALEFS_OK;
    }
    while (!err && !*promised && s->node_room >= NODES_FOR_DATA && s->free_estimate + s->scattered >= s->reserved + bytes &&
           s->scattered_kept != freed) {
        uint64_t before = s->free_estimate, scattered = s->scattered, gathered = s->gathered;
        sfs_store_unlock(s);
        err = sfs_make_room(s, true);
        sfs_store_lock(s);
        *promised = (!err || err == SCALEFS_E_NOSPC) && promise(s, bytes);
        /* Others write meanwhile, so that less is free does not say that nothing was gained: but then less is scattered. And who only
         * waited until another had made room, for nodes perhaps, knows nothing yet. */
        if (err == SCALEFS_E_NOSPC ||
            (!*promised && s->gathered != gathered && s->free_estimate <= before && s->scattered >= scattered))
            s->scattered_kept = freed; /* not again before something else was freed */
        if (err == SCALEFS_E_NOSPC)
            err = SCALEFS_OK;
    }
    return err;
}

int sfs_store_reserve(struct sfs_store *s, uint64_t bytes)
{
    sfs_store_lock(s);
    bool promised = !bytes || promise(s, bytes);
    sfs_checkpoint_due(s); /* data will wait in memory: the background checkpoint must come */
    if (promised && bytes && nodes_run_low(s)) {
        (void)make_node_room(s);
        s->nodes_low = s->node_room > NODES_STEP ? s->node_room - NODES_STEP : 0;
    }
    int err = promised ? SCALEFS_OK : make_promise(s, bytes, &promised);
    if (!promised)
        sfs_log(s->env, SFS_LOG_DEBUG, "store", SCALEFS_E_NOSPC,
                "no room for %llu: %llu free, %llu scattered, %llu reserved, %llu nodes", (unsigned long long)bytes,
                (unsigned long long)s->free_estimate, (unsigned long long)s->scattered, (unsigned long long)s->reserved,
                (unsigned long long)s->node_room);
    sfs_store_unlock(s);
    return promised ? SCALEFS_OK : err ? err : SCALEFS_E_NOSPC;
}

void sfs_store_unreserve(struct sfs_store *s, uint64_t bytes)
{
    sfs_store_lock(s);
    SFS_ASSERT(s->reserved >= bytes);
    s->reserved -= bytes;
    sfs_store_unlock(s);
}

void sfs_store_space(struct sfs_store *s, struct sfs_space *space)
{
    *space = (struct sfs_space){0};
    sfs_store_lock(s);
    struct sfs_pool *pool = s->pool;
    sfs_space_count(s);
    for (unsigned i = 0; i < pool->member_count; i++)
        if (pool->members[i].used)
            space->raw += pool->members[i].record.size;
    for (uint32_t i = 0; i < pool->group_cap; i++)
        if (pool->groups[i] && (pool->groups[i]->record.class == SFS_CLASS_DATA ||
                                pool->groups[i]->record.class == SFS_CLASS_LANDING))
            space->used += pool->groups[i]->count.live;
    space->used += s->reserved; /* what was accepted and waits in memory */
    space->usable = sfs_groups_capacity(pool);
    uint64_t kept = gaps(space->used + s->scattered), free = s->free_estimate + (s->scattered > kept ? s->scattered - kept : 0);
    space->free = s->node_room >= NODES_FOR_DATA && free > s->reserved ? free - s->reserved : 0;
    sfs_store_unlock(s);
}
