/* Groups that are not what is wished: too much or too little parity, two columns on one disk, too wide, or too narrow where that is
 * worth it. A parity column is dropped or added where that will do; else what lives in the group is written anew into better ones,
 * and it is freed.
 *
 * Groups with too little parity are made while disks are absent; with one disk left, both copies of metadata are on it. What is to
 * be emptied takes nothing new (EVACUATING), so the work ends. Data moves as in compaction; logs are packed; nodes become dirty,
 * so that the next checkpoint writes them elsewhere.
 */
#include "store/care_internal.h"

#include "pool/placement.h"
#include "store/move.h"

#define TOGETHER_MOST 8u /* groups that are emptied at a time */
#define GAIN_LEAST 20u /* a wider layout is worth the writing when it saves 1/20 of the space */

/* --- what is wanted --- */

static bool holds_nodes(uint8_t class)
{
    return class == SFS_CLASS_SYSTEM || class == SFS_CLASS_METADATA;
}

/* Parity columns that a group of this class has with this failover, if `members` members are there. */
static unsigned parity_for(unsigned failover, unsigned members, uint8_t class)
{
    if (members < 2)
        return 0;
    unsigned m = failover < members - 1 ? failover : members - 1;
    return m == 0 && holds_nodes(class) ? 1 : m;
}

unsigned sfs_care_parity(const struct sfs_pool *pool, uint8_t class)
{
    unsigned usable = 0;
    for (unsigned i = 0; i < pool->member_count; i++)
        usable += sfs_member_takes(&pool->members[i], (enum sfs_class)class);
    return parity_for(pool->config.failover, usable, class);
}

/* No more: absent members will come back. */
static unsigned most(const struct sfs_pool *pool, uint8_t class)
{
    unsigned m = parity_for(sfs_groups_failover(pool), sfs_care_staying_for(pool, (enum sfs_class)class), class);
    return m == 0 && holds_nodes(class) ? 1 : m; /* both copies on one disk */
}

void sfs_care_pass_begin(struct sfs_care *care, struct sfs_care_pass *pass)
{
    *pass = (struct sfs_care_pass){.outer = care->pass};
    care->pass = pass;
}

void sfs_care_pass_end(struct sfs_care *care, struct sfs_care_pass *pass)
{
    care->pass = pass->outer;
}

static void count_parity(const struct sfs_care *care, uint8_t class, unsigned *parity, unsigned *at_most)
{
    struct sfs_care_pass *pass = care->pass;
    if (pass && pass->known[class]) {
        *parity = pass->parity[class];
        *at_most = pass->most[class];
        return;
    }
    *parity = sfs_care_parity(care->s->pool, class);
    *at_most = most(care->s->pool, class);
    if (!pass)
        return;
    pass->known[class] = true;
    pass->parity[class] = *parity;
    pass->most[class] = *at_most;
}

/* What a group of data would be that is made now; false: none can be. */
static bool would_be(const struct sfs_care *care, unsigned *k, unsigned *m)
{
    struct sfs_care_pass here = {0}, *pass = care->pass ? care->pass : &here;
    if (!pass->asked)
        pass->any = !sfs_group_would_be(care->s->pool, &pass->k, &pass->m);
    pass->asked = true;
    *k = pass->k;
    *m = pass->m;
    return pass->any;
}

static bool is_stuck(const struct sfs_care *care, const struct sfs_group *g)
{
    for (size_t i = 0; i < care->stuck_count; i++)
        if (care->stuck[i] == g->record.generation)
            return true;
    return false;
}

/* Without failover both copies may be on one disk again, because the others are full: that would have no end. */
static bool is_doubled(const struct sfs_pool *pool, const struct sfs_group_record *g)
{
    for (unsigned c = 1; c < (unsigned)g->k + g->m; c++)
        for (unsigned b = 0; b < c; b++)
            if (g->columns[b].disk == g->columns[c].disk)
                return pool->config.failover > 0;
    return false;
}

/* Data striped wider than is wished, or narrower than it could be now, where that saves enough. Only after the wish has
 * changed: what is written under one wish may well be of many widths, as disks fill. */
static bool too_wide(const struct sfs_pool *pool, const struct sfs_group_record *g, unsigned parity)
{
    unsigned staying = sfs_care_staying_for(pool, SFS_CLASS_DATA);
    if (!pool->config.settle || g->class != SFS_CLASS_DATA || staying < parity + 1)
        return false;
    unsigned width = staying < pool->config.width_cap ? staying : pool->config.width_cap;
    if (width < parity + 1)
        width = parity + 1;
    return g->k > sfs_placement_data_columns(width, parity, pool->config.optimize);
}

static bool wrong_width(const struct sfs_care *care, const struct sfs_group_record *g)
{
    struct sfs_pool *pool = care->s->pool;
    unsigned k, m;
    if (!pool->config.settle || g->class != SFS_CLASS_DATA || sfs_care_staying_for(pool, SFS_CLASS_DATA) < g->m + 1u)
        return false;
    if (too_wide(pool, g, g->m))
        return true;
    if (!would_be(care, &k, &m) || k <= g->k || m < g->m)
        return false;
    uint64_t now = (uint64_t)(g->k + g->m) * k, then = (uint64_t)(k + g->m) * g->k; /* raw bytes for the same */
    return (now - then) * GAIN_LEAST >= now;
}

/* All columns but the last are there and complete. */
static bool rest_is_whole(struct sfs_pool *pool, const struct sfs_group *g)
{
    for (unsigned c = 0; c + 1u < (unsigned)g->record.k + g->record.m; c++) {
        const struct sfs_member *m = sfs_member_of(pool, g->record.columns[c].disk);
        if (!m || !m->disk || (!m->complete && g->count.last_txn > m->record.flushed_txn))
            return false;
    }
    return true;
}

bool sfs_care_parity_over(struct sfs_pool *pool, const struct sfs_group *g)
{
    return g->record.m > most(pool, g->record.class) && rest_is_whole(pool, g);
}

enum fit { FIT_GOOD, FIT_DROP, FIT_ADD, FIT_EMPTY, FIT_WIDTH };

static enum fit fit_of(const struct sfs_care *care, const struct sfs_group *g)
{
    struct sfs_pool *pool = care->s->pool;
    uint8_t class = g->record.class;
    uint16_t to;
    unsigned m, at_most;
    if (is_stuck(care, g))
        return FIT_GOOD;
    if (g->record.state == SFS_GROUP_EVACUATING)
        return g->count.live > 0 ? FIT_EMPTY : FIT_GOOD;
    count_parity(care, class, &m, &at_most);
    if (g->record.m > at_most && rest_is_whole(pool, g))
        return FIT_DROP;
    if (m && is_doubled(pool, &g->record))
        return FIT_EMPTY;
    if (g->record.m < m)
        return !g->record.sequential && g->count.live && class != SFS_CLASS_LANDING &&
                       !too_wide(pool, &g->record, m) && sfs_care_targets(pool, g, (unsigned)g->record.k + g->record.m, &to, 1)
                   ? FIT_ADD
                   : FIT_EMPTY;
    return g->count.live && wrong_width(care, &g->record) ? FIT_WIDTH : FIT_GOOD;
}

bool sfs_care_convert_bytes(const struct sfs_care *care, const struct sfs_group *g, uint64_t *bytes)
{
    enum fit fit = fit_of(care, g);
    unsigned more = fit == FIT_ADD ? sfs_care_parity(care->s->pool, g->record.class) - g->record.m : 0;
    *bytes = more ? sfs_care_column_live(g) * more : fit == FIT_EMPTY || fit == FIT_WIDTH ? g->count.live : 0;
    return fit != FIT_GOOD;
}

struct sfs_care_fate sfs_care_fate_of(const struct sfs_care *care, const struct sfs_group *g)
{
    struct sfs_group as = *g; /* only looked at */
    enum fit fit = fit_of(care, g);
    struct sfs_care_fate fate = {0};
    for (; fit == FIT_DROP; fit = fit_of(care, &as)) {
        as.record.m--;
        fate.parity--;
    }
    if (fit == FIT_ADD)
        fate.parity += (int)sfs_care_parity(care->s->pool, g->record.class) - as.record.m;
    fate.anew = fit == FIT_EMPTY || fit == FIT_WIDTH;
    return fate;
}

bool sfs_care_converts(const struct sfs_care *care, const struct sfs_group *g)
{
    return fit_of(care, g) != FIT_GOOD;
}

/* What could not be read stays where it is: not again before a disk that was away is back. locked */
static void give_up(struct sfs_care *care, uint64_t generation)
{
    if (!sfs_vec_reserve(care->s->env, &care->stuck, &care->stuck_cap, care->stuck_count + 1, sizeof *care->stuck))
        care->stuck[care->stuck_count++] = generation;
}

static bool is_roomless(const struct sfs_care *care, const struct sfs_group *g)
{
    for (size_t i = 0; i < care->roomless_count; i++)
        if (care->roomless[i] == g->record.generation)
            return true;
    return false;
}

/* It is paused. locked */
static bool is_paused(const struct sfs_care *care, const struct sfs_group *g)
{
    struct sfs_pool *pool = care->s->pool;
    unsigned task = g->record.state == SFS_GROUP_EVACUATING ? sfs_care_moves_for(pool, g) : 0;
    return sfs_care_paused(pool, task ? task : SFS_CARE_CONVERT);
}

/* What is to be done with it now. What is to be emptied takes nothing any more from here on. locked */
static enum fit now(struct sfs_care *care, struct sfs_group *g)
{
    enum fit fit = g->moving || sfs_care_blocked(care, 0) ? FIT_GOOD : fit_of(care, g);
    if (fit == FIT_GOOD || is_paused(care, g) || is_roomless(care, g))
        return FIT_GOOD;
    if (fit == FIT_EMPTY)
        sfs_group_evacuate(care->s, g);
    if (fit == FIT_EMPTY && g->in_flight > g->pins) { /* rows are still being written */
        care->retry_soon = true;
        return FIT_GOOD;
    }
    return g->count.live > 0 || fit == FIT_DROP ? fit : FIT_GOOD;
}

bool sfs_care_may_convert(struct sfs_care *care, struct sfs_group *g, enum sfs_want_kind *kind)
{
    enum fit fit = now(care, g);
    *kind = fit == FIT_DROP ? SFS_WANT_DROP : fit == FIT_ADD ? SFS_WANT_ADD : fit == FIT_EMPTY ? SFS_WANT_EMPTY : SFS_WANT_WIDTH;
    return fit != FIT_GOOD;
}

/* --- making room ---
 *
 * Where disks are of different sizes, the smallest may have no area left while dead rows abound. The group of data with the least
 * alive that has a column there is emptied into the rows of the others. So is one of nodes, where those together have more rows than
 * nodes and reserve need: each is made when the others have no row that may be taken just then. */

#define ROOM_MADE_MAX 32u

static bool is_whole(const struct sfs_care *care, const struct sfs_group *g, uint8_t class)
{
    return g->record.class == class && !g->record.sequential && !g->moving &&
           g->record.m >= sfs_care_parity(care->s->pool, class) && sfs_group_whole(care->s->pool, g);
}

/* Rows of whole groups of its class other than this one that hold nothing, and what they take. locked */
static uint64_t room_beside(const struct sfs_care *care, const struct sfs_group *but, uint64_t *rows)
{
    uint64_t bytes = 0;
    *rows = 0;
    for (uint32_t i = 0; i < care->s->pool->group_cap; i++) {
        const struct sfs_group *g = care->s->pool->groups[i];
        uint32_t taken = g ? g->in_flight - g->pins : 0;
        if (!g || g == but || g->record.state != SFS_GROUP_OPEN || !is_whole(care, g, but->record.class) ||
            sfs_group_room(g) <= taken)
            continue;
        *rows += sfs_group_room(g) - taken;
        bytes += (sfs_group_room(g) - taken) * (sfs_group_row_bytes(&g->record) - SFS_BLOCK);
    }
    return bytes;
}

static bool fits_beside(const struct sfs_care *care, const struct sfs_group *g)
{
    uint64_t rows, room = room_beside(care, g, &rows);
    if (holds_nodes(g->record.class)) /* the others stay in use, and have the reserve that none is kept free for (pool/space.c) */
        return rows >= g->count.used_rows + g->record.rows / 8 * 7;
    uint64_t need = g->count.live + care->s->reserved;
    return room >= need + need / 8 + sfs_group_row_bytes(&g->record);
}

/* The member with the least room of those that take data, and all else when there is no room elsewhere. locked */
static const struct sfs_member *tightest(const struct sfs_pool *pool)
{
    const struct sfs_member *best = NULL;
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct sfs_member *m = &pool->members[i];
        if (sfs_member_takes(m, SFS_CLASS_DATA) && m->record.layout != SFS_LAYOUT_ZONED &&
            (!best || (uint64_t)m->free_atoms * m->record.atom_bytes < (uint64_t)best->free_atoms * best->record.atom_bytes))
            best = m;
    }
    return best;
}

/* NULL: none, or one is being emptied already. locked */
static struct sfs_group *least_alive(const struct sfs_care *care, uint16_t member, uint8_t class)
{
    struct sfs_group *best = NULL;
    for (uint32_t i = 0; i < care->s->pool->group_cap; i++) {
        struct sfs_group *g = care->s->pool->groups[i];
        if (!g || !is_whole(care, g, class) || !sfs_care_has_column(&g->record, member) || is_stuck(care, g))
            continue;
        if (g->record.state == SFS_GROUP_EVACUATING)
            return NULL;
        if (!best || g->count.live < best->count.live)
            best = g;
    }
    return best;
}

static uint64_t free_atoms(const struct sfs_pool *pool)
{
    uint64_t atoms = 0;
    for (unsigned i = 0; i < pool->member_count; i++)
        atoms += sfs_member_usable(&pool->members[i]) ? pool->members[i].free_atoms : 0;
    return atoms;
}

static bool empty_one(struct sfs_care *care)
{
    static const uint8_t classes[] = {SFS_CLASS_DATA, SFS_CLASS_METADATA, SFS_CLASS_SYSTEM};
    const struct sfs_member *m = tightest(care->s->pool);
    for (unsigned i = 0; m && i < sizeof classes; i++) {
        struct sfs_group *g = least_alive(care, m->record.index, classes[i]);
        if (!g || !fits_beside(care, g))
            continue;
        sfs_group_evacuate(care->s, g);
        return true;
    }
    return false;
}

bool sfs_care_make_room(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    sfs_store_lock(s);
    uint64_t before = free_atoms(s->pool);
    bool more = care->room_made++ < ROOM_MADE_MAX, pending = s->pool->pending_count > 0;
    sfs_store_unlock(s);
    if (!more)
        return false;
    bool made = pending && sfs_ripen(s) == SCALEFS_OK;
    sfs_store_lock(s);
    made = (made && free_atoms(s->pool) > before) || empty_one(care);
    bool may = tightest(s->pool) != NULL; /* what is dead may be scattered over many rows */
    sfs_store_unlock(s);
    if (made || !may || sfs_make_room(s, true) != SCALEFS_OK)
        return made;
    sfs_store_lock(s);
    (void)empty_one(care);
    sfs_store_unlock(s);
    return true;
}

/* --- steps --- */

static uint64_t live_now(struct sfs_pool *pool, const struct sfs_group_record *r)
{
    const struct sfs_group *g = sfs_group_of(pool, r->group);
    return g && g->record.generation == r->generation ? g->count.live : 0;
}

/* One more group of data that is to be emptied for the same task; NULL: none that could be now. What is to be emptied takes nothing any
 * more, so not where room is scarce. locked */
static struct sfs_group *another(struct sfs_care *care, const struct sfs_group_record *taken, unsigned count)
{
    struct sfs_pool *pool = care->s->pool;
    for (uint32_t i = 0; i < pool->group_cap && sfs_wish_holds(care->s); i++) {
        struct sfs_group *g = pool->groups[i];
        enum fit fit = g && g->record.class == SFS_CLASS_DATA && !g->moving && g->count.live ? fit_of(care, g) : FIT_GOOD;
        bool fits = (fit == FIT_EMPTY || fit == FIT_WIDTH) && !g->record.sequential && !is_paused(care, g) && !is_roomless(care, g);
        unsigned task = fits ? sfs_care_moves_for(pool, g) : 0;
        for (unsigned t = 0; t < count && fits; t++)
            fits = taken[t].generation != g->record.generation;
        if (!fits || (task ? task : SFS_CARE_CONVERT) != care->active ||
            (g->record.state != SFS_GROUP_EVACUATING && sfs_groups_unallocated(pool) < 4 * g->count.live))
            continue;
        sfs_group_evacuate(care->s, g);
        if (g->in_flight <= g->pins)
            return g;
    }
    return NULL;
}

/* Groups that are emptied together, and what lives in them when they are taken. */
struct together {
    struct sfs_group_record of[TOGETHER_MOST];
    uint64_t live[TOGETHER_MOST];
    unsigned count;
    uint32_t rows[SFS_EMPTY_ROWS];
    size_t row_count;
    bool more; /* there is more to be emptied */
};

/* Live rows of group i, as many as there is room for. */
static int take_rows(struct sfs_care *care, struct together *t, unsigned i, struct sfs_rows *list)
{
    struct sfs_row_state *states;
    *list = (struct sfs_rows){t->of[i].group, t->rows + t->row_count, 0};
    t->more = false;
    int err = sfs_care_states(care->s, &t->of[i], &states);
    if (err)
        return err == SCALEFS_E_NOENT && i ? SCALEFS_OK : err; /* it is empty by now */
    for (uint32_t row = 0; row < t->of[i].rows && !t->more; row++) {
        t->more = states[row].live && t->row_count == SFS_EMPTY_ROWS;
        if (states[row].live && !t->more) {
            t->rows[t->row_count++] = row;
            list->count++;
        }
    }
    sfs_free(care->s->env, states);
    return SCALEFS_OK;
}

/* Some of the live rows of a group of data, and when these are all, of others: what comes from several groups fills rows together, so
 * that there is but one last one that is not full. *last: all of the first group. */
static int evacuate_data(struct sfs_care *care, struct together *t, uint64_t *bytes, bool *last)
{
    struct sfs_store *s = care->s;
    struct sfs_rows lists[TOGETHER_MOST];
    size_t moved;
    int err = SCALEFS_OK;
    *bytes = 0;
    for (unsigned i = 0; i < t->count && !err; i++) {
        err = take_rows(care, t, i, &lists[i]);
        *last = i || !t->more;
        *bytes += lists[i].count * sfs_group_row_bytes(&t->of[i]);
        if (err || t->more)
            break;
        sfs_store_lock(s);
        struct sfs_group *next = another(care, t->of, t->count);
        t->more = next != NULL;
        if (next && t->count < TOGETHER_MOST) {
            t->live[t->count] = next->count.live;
            t->of[t->count++] = next->record;
        }
        sfs_store_unlock(s);
    }
    return err ? err : sfs_move_rows_of(s, lists, t->count, !t->more, &moved);
}

static int evacuate(struct sfs_care *care, const struct sfs_group_record *g)
{
    struct sfs_store *s = care->s;
    struct together *t = sfs_zalloc(s->env, sizeof *t);
    uint64_t bytes = 0, began = sfs_now_ns(s->env), done = 0;
    bool last = true;
    if (!t)
        return SCALEFS_E_NOMEM;
    sfs_store_lock(s);
    const struct sfs_group *there = sfs_group_of(s->pool, g->group);
    unsigned task = there ? sfs_care_moves_for(s->pool, there) : 0;
    t->of[t->count] = *g;
    t->live[t->count++] = live_now(s->pool, g);
    sfs_care_begin(care, task ? task : SFS_CARE_CONVERT);
    sfs_store_unlock(s);
    int err = g->class == SFS_CLASS_DATA && !g->sequential ? evacuate_data(care, t, &bytes, &last)
                                                           : sfs_empty_some(s, g, SFS_EMPTY_ROWS, &bytes, &last);
    sfs_store_lock(s);
    for (unsigned i = 0; i < t->count; i++) {
        uint64_t left = live_now(s->pool, &t->of[i]);
        done += t->live[i] > left ? t->live[i] - left : 0;
    }
    sfs_care_did(care, done);
    sfs_store_unlock(s);
    sfs_care_moved(care, bytes, done);
    sfs_free(s->env, t);
    sfs_care_pace(care, bytes, began);
    if (!err && (g->class != SFS_CLASS_DATA || last))
        err = sfs_checkpoint(s, false, false, true);
    return err;
}

/* One parity column more, where there is room for it; else the group is emptied. */
static int add_parity(struct sfs_care *care, const struct sfs_group_record *r)
{
    struct sfs_store *s = care->s;
    uint16_t to[8];
    int err = SCALEFS_E_NOSPC;
    sfs_store_lock(s);
    struct sfs_group *g = sfs_group_of(s->pool, r->group);
    size_t count = g ? sfs_care_targets(s->pool, g, (unsigned)r->k + r->m, to, 8) : 0;
    sfs_store_unlock(s);
    for (size_t i = 0; i < count && (err == SCALEFS_E_NOSPC || err == SCALEFS_E_GONE || err == SCALEFS_E_NOTSUP); i++)
        err = sfs_column_add(care, r, to[i]);
    if (err == SCALEFS_E_NOSPC && count)
        err = sfs_care_make_way(care, r->group, (unsigned)r->k + r->m);
    if (err != SCALEFS_E_NOSPC && err != SCALEFS_E_NOTSUP)
        return err;
    sfs_store_lock(s);
    g = sfs_group_of(s->pool, r->group);
    if (g && g->record.generation == r->generation)
        sfs_group_evacuate(s, g);
    sfs_store_unlock(s);
    return SCALEFS_OK;
}

/* Two columns on one disk: one of them goes to another disk, which needs no room where they are. */
static int part(struct sfs_care *care, const struct sfs_group_record *g)
{
    struct sfs_store *s = care->s;
    unsigned c = 1, b = 0;
    uint16_t to = SFS_NONE16;
    uint64_t most = 0;
    while (c < (unsigned)g->k + g->m && g->columns[b].disk != g->columns[c].disk)
        if (++b == c)
            b = 0, c++;
    sfs_store_lock(s);
    for (unsigned i = 0; i < s->pool->member_count; i++) {
        const struct sfs_member *m = &s->pool->members[i];
        bool may = sfs_member_takes(m, (enum sfs_class)g->class) && !sfs_care_has_column(g, m->record.index) && m->free_atoms;
        uint64_t score = (may ? m->free_atoms : 0) | (may ? (uint64_t)sfs_placement_prefers((enum sfs_class)g->class, m->record.role) << 40 : 0);
        if (score > most) {
            to = m->record.index;
            most = score;
        }
    }
    sfs_store_unlock(s);
    int err = to == SFS_NONE16 ? SCALEFS_E_NOSPC : sfs_column_move(care, g, c, to, false);
    if (err)
        return err;
    sfs_store_lock(s);
    struct sfs_group *now = sfs_group_of(s->pool, g->group);
    if (now && now->record.generation == g->generation && !now->closed) {
        now->record.state = SFS_GROUP_OPEN; /* what it was to be emptied for is gone */
        sfs_table_mark_group(s->pool, now);
    }
    sfs_store_unlock(s);
    return SCALEFS_OK;
}

/* Now there is a place for the parity column that it lacks. locked */
static bool can_grow(const struct sfs_care *care, const struct sfs_group *g)
{
    struct sfs_group as = *g; /* only looked at */
    uint16_t to;
    as.record.state = SFS_GROUP_OPEN;
    if (g->moving || !sfs_group_whole(care->s->pool, g) || fit_of(care, &as) != FIT_ADD ||
        !sfs_care_targets(care->s->pool, g, (unsigned)g->record.k + g->record.m, &to, 1))
        return false;
    const struct sfs_member *m = sfs_member_of(care->s->pool, to);
    uint32_t atoms = (uint32_t)((1ull << g->record.column_log2) / m->record.atom_bytes);
    return m->record.layout != SFS_LAYOUT_ZONED && sfs_atoms_areas(m, atoms) > 0;
}

/* There is no room for what lives in it: as long as nothing is wrong with it, or it can be put right as it is, it takes rows again.
 * locked */
static void keep(struct sfs_care *care, struct sfs_group *g)
{
    if (g->record.state != SFS_GROUP_EVACUATING || !(is_whole(care, g, SFS_CLASS_DATA) || can_grow(care, g)))
        return;
    for (unsigned c = 0; c < (unsigned)g->record.k + g->record.m; c++)
        if (sfs_care_must_go(care->s->pool, &g->record, c))
            return;
    g->record.state = SFS_GROUP_OPEN;
    sfs_table_mark_group(care->s->pool, g);
}

/* Something that cannot be read is left in a group whose disk is to go: it goes as it is, or the disk never would. Nodes do not: without
 * them files are lost whose names nobody knows. True: some of it moved. */
static int move_stranded(struct sfs_care *care, const struct sfs_group_record *r, bool *moved)
{
    struct sfs_store *s = care->s;
    size_t count = 0;
    sfs_store_lock(s);
    const struct sfs_group *g = sfs_group_of(s->pool, r->group);
    bool must = g && g->record.generation == r->generation && !holds_nodes(r->class) && sfs_care_moves_for(s->pool, g);
    sfs_store_unlock(s);
    *moved = false;
    int err = must ? sfs_care_hold(s, r) : SCALEFS_E_CHANGED;
    if (err)
        return err == SCALEFS_E_CHANGED ? SCALEFS_OK : err;
    err = sfs_move_stranded(care, r->group, &count);
    sfs_care_release(s, r);
    *moved = count > 0;
    return err || !count ? err : sfs_checkpoint(s, false, false, true); /* then the group is freed */
}

static int convert(struct sfs_care *care, const struct sfs_group_record *r, uint64_t live, enum fit fit)
{
    struct sfs_store *s = care->s;
    if (fit == FIT_DROP)
        return sfs_column_drop(care, r);
    if (fit == FIT_ADD)
        return add_parity(care, r);
    sfs_store_lock(s);
    bool doubled = is_doubled(s->pool, r) && r->m >= sfs_care_parity(s->pool, r->class) && !r->sequential;
    sfs_store_unlock(s);
    if (doubled && part(care, r) == SCALEFS_OK)
        return SCALEFS_OK;
    bool moved = false;
    int err = evacuate(care, r);
    sfs_store_lock(s);
    bool stays = live_now(s->pool, r) >= live;
    sfs_store_unlock(s);
    if (!err && stays)
        err = move_stranded(care, r, &moved);
    sfs_store_lock(s);
    struct sfs_group *g = sfs_group_of(s->pool, r->group);
    bool same = g && g->record.generation == r->generation;
    if (!err && same && g->record.state == SFS_GROUP_OPEN)
        err = SCALEFS_E_NOSPC; /* nodes had to go into it again: see space.c */
    else if (!err && same && !moved && g->count.live >= live)
        give_up(care, r->generation);
    if (err == SCALEFS_E_NOSPC && same)
        keep(care, g);
    sfs_store_unlock(s);
    return err;
}

bool sfs_care_convert(struct sfs_care *care, uint32_t group, uint64_t generation)
{
    struct sfs_store *s = care->s;
    sfs_store_lock(s);
    struct sfs_group *g = sfs_group_of(s->pool, group);
    enum fit fit = g && g->record.generation == generation && sfs_wish_holds(s) ? now(care, g) : FIT_GOOD;
    if (fit == FIT_WIDTH)
        sfs_group_evacuate(s, g);
    /* What comes alive meanwhile would look as if nothing could be moved. */
    bool early = fit == FIT_WIDTH && g->in_flight > g->pins;
    if (fit == FIT_GOOD || early) {
        sfs_store_unlock(s);
        return early;
    }
    struct sfs_group_record r = g->record;
    uint64_t live = g->count.live;
    sfs_care_begin(care, SFS_CARE_CONVERT);
    sfs_store_unlock(s);
    int err = convert(care, &r, live, fit);
    if (err == SCALEFS_E_NOSPC && sfs_care_make_room(care))
        return true;
    sfs_store_lock(s);
    if (!err)
        care->room_made = care->roomless_count = 0;
    if (err == SCALEFS_E_BUSY)
        care->retry_soon = true;
    else if (err == SCALEFS_E_NOSPC && !sfs_vec_reserve(s->env, &care->roomless, &care->roomless_cap, care->roomless_count + 1,
                                                        sizeof *care->roomless))
        care->roomless[care->roomless_count++] = r.generation;
    else if (err && err != SCALEFS_E_CHANGED && err != SCALEFS_E_NOENT && err != SCALEFS_E_CANCELED)
        sfs_care_block(care, 0, scalefs_error_text(err));
    sfs_store_unlock(s);
    return err != SCALEFS_E_BUSY && err != SCALEFS_E_CANCELED;
}

void sfs_care_converted(struct sfs_care *care)
{
    if (care->roomless_count)
        sfs_care_block(care, 0, "There is no room to write it anew.");
    care->roomless_count = 0;
}
