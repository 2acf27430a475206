/* Space: which group is being filled, rows from it, landing logs. What is left and what may be promised: room.c.
 *
 * Each class and temperature has one group that is being filled. When it has no free row left, another one is
 * opened: an older one with many dead rows, or a new one, or at last any that has a row. Groups with a column on an
 * absent disk come last of all: their rows would be owed.
 */
#include "store/care_internal.h"
#include "store/internal.h"

static bool usable(struct sfs_store *s, struct sfs_group *g)
{
    return g->record.state == SFS_GROUP_OPEN && !g->moving && !g->closed && sfs_group_whole(s->pool, g);
}

/* Made when fewer failures were to be borne: what is written now goes elsewhere, also while care does not get to it. */
static bool is_weak(struct sfs_store *s, const struct sfs_group *g)
{
    return g->record.m < sfs_care_parity(s->pool, g->record.class);
}

static bool any_present(struct sfs_store *s, const struct sfs_group *g)
{
    for (unsigned c = 0; c < (unsigned)g->record.k + g->record.m; c++) {
        const struct sfs_member *m = sfs_member_of(s->pool, g->record.columns[c].disk);
        if (m && m->disk)
            return true;
    }
    return false;
}

bool sfs_space_node_usable(struct sfs_store *s, const struct sfs_group *g)
{
    return g->record.state == SFS_GROUP_OPEN && !g->moving && !g->closed &&
           (sfs_group_whole(s->pool, g) || (s->broken_nodes_ok && any_present(s, g)));
}

static void stop_filling(struct sfs_store *s, struct sfs_group *g)
{
    g->allocating = false;
    if (g->in_flight == 0 && g->record.class != SFS_CLASS_SYSTEM) {
        sfs_free(s->env, g->rows);
        g->rows = NULL;
    }
}

static void close_open(struct sfs_store *s, enum sfs_class class, unsigned t)
{
    struct sfs_group *g = s->open_groups[class][t];
    s->open_groups[class][t] = NULL;
    if (!g)
        return;
    stop_filling(s, g);
    s->emptied = true;
}

void sfs_space_close_broken(struct sfs_store *s)
{
    for (unsigned class = 0; class < SFS_CLASSES; class++)
        for (unsigned t = 0; t < 2; t++)
            if (s->open_groups[class][t] && !usable(s, s->open_groups[class][t]))
                close_open(s, class, t);
}

void sfs_space_close_member(struct sfs_store *s, uint16_t member)
{
    for (unsigned class = 0; class < SFS_CLASSES; class++)
        for (unsigned t = 0; t < 2; t++)
            if (s->open_groups[class][t] && sfs_care_has_column(&s->open_groups[class][t]->record, member))
                close_open(s, class, t);
}

void sfs_space_close_group(struct sfs_store *s, struct sfs_group *g)
{
    for (unsigned class = 0; class < SFS_CLASSES; class++)
        for (unsigned t = 0; t < 2; t++)
            if (s->open_groups[class][t] == g)
                close_open(s, class, t);
}

/* --- pinned rows: being repaired in place, must not be handed out --- */

bool sfs_row_pinned(struct sfs_store *s, uint32_t group, uint32_t row)
{
    for (size_t i = 0; i < s->row_pin_count; i++)
        if (s->row_pins[i].group == group && s->row_pins[i].row == row)
            return true;
    return false;
}

int sfs_row_pin(struct sfs_store *s, uint32_t group, uint32_t row)
{
    struct sfs_group *g = sfs_group_of(s->pool, group);
    if (!g)
        return SCALEFS_E_CHANGED;
    int err = sfs_vec_reserve(s->env, &s->row_pins, &s->row_pin_cap, s->row_pin_count + 1, sizeof *s->row_pins);
    if (err)
        return err;
    s->row_pins[s->row_pin_count++] = (struct sfs_row_pin){group, row};
    g->in_flight++; /* the group cannot be freed meanwhile */
    g->pins++;
    return SCALEFS_OK;
}

void sfs_row_unpin(struct sfs_store *s, uint32_t group, uint32_t row)
{
    for (size_t i = 0; i < s->row_pin_count; i++)
        if (s->row_pins[i].group == group && s->row_pins[i].row == row) {
            s->row_pins[i] = s->row_pins[--s->row_pin_count];
            break;
        }
    struct sfs_group *g = sfs_group_of(s->pool, group);
    SFS_ASSERT(g != NULL && g->pins > 0);
    g->pins--;
    sfs_group_row_done(s->pool, g);
    if (!g->allocating)
        stop_filling(s, g);
    if (g->count.live == 0)
        s->emptied = true; /* perhaps it became so meanwhile */
}

/* --- opening groups --- */

/* Of a group that waits for rows of a disk that was away nothing may be taken while something is in flight: see care_owed.c. */
static bool refillable(struct sfs_store *s, const struct sfs_group *g)
{
    if (g->in_flight == g->pins)
        return true;
    for (unsigned c = 0; c < (unsigned)g->record.k + g->record.m; c++) {
        const struct sfs_member *m = sfs_member_of(s->pool, g->record.columns[c].disk);
        if (!m || !m->disk || !m->complete)
            return false;
    }
    return g->rows != NULL;
}

/* An older group worth filling again. `least`: how many dead rows it must have, in eighths of all. `unread`: one whose row
 * states are not in memory. Groups that just proved to have only rows that were freed too recently are passed over until
 * the next commit. */
static struct sfs_group *find_group(struct sfs_store *s, enum sfs_class class, unsigned least, bool whole, bool unread)
{
    struct sfs_group *best = NULL;
    uint32_t best_free = 0;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (!g || g->record.class != class || g->allocating || !refillable(s, g) || g->moving ||
            g->record.state != SFS_GROUP_OPEN || (uintptr_t)g->store == s->pool->committed + 1 ||
            g->record.sequential)
            continue;
        if ((whole && (!sfs_group_whole(s->pool, g) || is_weak(s, g))) || (unread && g->rows))
            continue;
        uint32_t dead = sfs_group_room(g);
        if (dead > best_free && (uint64_t)dead * 8 >= (uint64_t)g->record.rows * least) {
            best = g;
            best_free = dead;
        }
    }
    return best;
}

static int load_rows(struct sfs_store *s, struct sfs_need *need, struct sfs_group *g)
{
    if (g->rows)
        return SCALEFS_OK;
    struct sfs_row_state *rows = sfs_zalloc(s->env, g->record.rows * sizeof *rows);
    if (!rows)
        return SCALEFS_E_NOMEM;
    int err = sfs_space_rows(s, need, g, rows);
    if (err) {
        sfs_free(s->env, rows);
        return err;
    }
    for (size_t i = 0; i < s->row_pin_count; i++)
        if (s->row_pins[i].group == g->record.group && rows[s->row_pins[i].row].live == 0)
            rows[s->row_pins[i].row].txn = s->pool->txn;
    g->rows = rows;
    return SCALEFS_OK;
}

static int new_group(struct sfs_store *s, enum sfs_class class, enum sfs_group_for whom, struct sfs_group **group)
{
    int err = sfs_group_make(s->pool, class, whom, group);
    if (err)
        return err;
    struct sfs_group *g = *group;
    if (!g->rows && class != SFS_CLASS_LANDING) {
        g->rows = sfs_zalloc(s->env, g->record.rows * sizeof *g->rows);
        if (!g->rows) {
            sfs_group_free(s->pool, g);
            return SCALEFS_E_NOMEM;
        }
    }
    return SCALEFS_OK;
}

/* What is being filled could be filled on, though it is weak. */
static bool fills(struct sfs_store *s, enum sfs_class class, unsigned t)
{
    return s->open_groups[class][t] && usable(s, s->open_groups[class][t]);
}

/* locked; gives up the lock. One task at a time for each class and temperature. */
static int open_group(struct sfs_store *s, enum sfs_class class, unsigned t, bool use_reserve)
{
    struct sfs_need need;
    sfs_need_init(&need);
    struct sfs_group *g = NULL;
    int err;
    bool is_log = class == SFS_CLASS_LANDING;
    for (;;) {
        err = SCALEFS_OK;
        bool made = false;
        /* What may use the reserve takes any row there is before it. */
        g = is_log ? NULL : find_group(s, class, use_reserve ? 0 : 2, true, false);
        if (!g) {
            err = new_group(s, class, use_reserve ? SFS_FOR_CLEANERS : SFS_FOR_WRITERS, &g);
            made = !err;
            if (err == SCALEFS_E_NOSPC && !is_log &&
                ((g = find_group(s, class, 0, true, false)) != NULL ||
                 (!fills(s, class, t) && (g = find_group(s, class, 0, false, false)) != NULL)))
                err = SCALEFS_OK;
            /* What was accepted is written, rather than that a change finds all of its room. */
            if (err == SCALEFS_E_NOSPC && !use_reserve && !fills(s, class, t)) {
                err = new_group(s, class, SFS_FOR_ACCEPTED, &g);
                made = !err;
            }
        }
        if (err)
            break;
        if (made) {
            uint32_t number = g->record.group;
            g->in_flight++; /* stays while the headers are written; and nobody else is to fill it meanwhile */
            g->allocating = true;
            s->heading++;
            sfs_store_unlock(s);
            err = sfs_group_write_headers(s->pool, number);
            sfs_store_lock(s);
            s->heading--;
            sfs_cond_broadcast(&s->room_made);
            sfs_group_row_done(s->pool, g);
            if (err) {
                g->allocating = false;
                sfs_free(s->env, g->rows);
                g->rows = NULL;
                sfs_group_free(s->pool, g);
            }
            break;
        }
        err = load_rows(s, &need, g);
        if (err != SCALEFS_E_NEED_NODE)
            break;
        err = sfs_need_load(s, &need);
        if (err)
            break;
    }
    if (!err) {
        if (s->open_groups[class][t])
            close_open(s, class, t); /* this one is better */
        g->allocating = true;
        s->open_groups[class][t] = g;
    }
    sfs_need_done(s, &need);
    return err;
}

/* locked, may give up the lock: s->open_groups[class][t] is a group to take from, or an error. */
static int have_group(struct sfs_store *s, enum sfs_class class, unsigned t, bool use_reserve)
{
    while (s->opening[class][t])
        sfs_cond_wait(&s->room_made, s->lock);
    struct sfs_group *g = s->open_groups[class][t];
    if (g && (g->moving || g->closed || !sfs_group_bears(s->pool, g)))
        close_open(s, class, t);
    g = s->open_groups[class][t];
    /* A weak one is filled on only where there is no better: looked for once a commit, since one that is left is found again only
     * with its rows read anew, and where rows are written in order never. */
    if (g && (!is_weak(s, g) || s->weak_kept[class][t] == s->pool->committed + 1))
        return SCALEFS_OK;
    s->opening[class][t] = true;
    int err = open_group(s, class, t, use_reserve);
    s->opening[class][t] = false;
    sfs_cond_broadcast(&s->room_made);
    g = s->open_groups[class][t];
    if (g && is_weak(s, g))
        s->weak_kept[class][t] = s->pool->committed + 1;
    return err == SCALEFS_E_NOSPC && g && usable(s, g) ? SCALEFS_OK : err;
}

static int take_from(struct sfs_store *s, struct sfs_group *g, uint32_t *row)
{
    int err;
    while ((err = sfs_group_take_row(s->pool, g, row)) == SCALEFS_OK && !g->record.sequential &&
           sfs_row_pinned(s, g->record.group, *row))
        sfs_group_row_done(s->pool, g); /* freed while it is mended: it counts as freed just now */
    if (err)
        g->store = (void *)(uintptr_t)(s->pool->committed + 1); /* not before the next commit */
    else
        g->rows[*row].txn = SFS_TAKEN_TXN;
    return err;
}

int sfs_space_take(struct sfs_store *s, enum sfs_class class, unsigned t, bool use_reserve,
                   struct sfs_group_record *record, uint32_t *row)
{
    sfs_store_lock(s);
    int err;
    for (;;) {
        err = have_group(s, class, t, use_reserve);
        struct sfs_group *g = s->open_groups[class][err ? !t : t]; /* without any other, that of the other temperature */
        if (err && (err != SCALEFS_E_NOSPC || !g || !usable(s, g) || (t == 0 && g->record.sequential)))
            break; /* (the cleaners' group of zoned disks is theirs: see sfs_space_count) */
        int none = g->record.sequential ? sfs_group_promise_row(s->pool, g, row) : take_from(s, g, row);
        if (none == SCALEFS_OK) {
            err = none;
            *record = g->record;
            break;
        }
        close_open(s, class, err ? !t : t);
        if (err)
            break;
    }
    sfs_store_unlock(s);
    return err;
}

int sfs_space_number(struct sfs_store *s, uint32_t group, uint32_t *row)
{
    if (*row != SFS_NONE32)
        return SCALEFS_OK;
    sfs_store_lock(s);
    struct sfs_group *g = sfs_group_of(s->pool, group);
    SFS_ASSERT(g != NULL && g->rows != NULL);
    int err = sfs_group_number_row(s->pool, g, row);
    if (!err)
        g->rows[*row].txn = SFS_TAKEN_TXN;
    sfs_store_unlock(s);
    return err;
}

void sfs_space_row_done(struct sfs_store *s, uint32_t group, uint32_t row, bool written)
{
    sfs_store_lock(s);
    struct sfs_group *g = sfs_group_of(s->pool, group);
    SFS_ASSERT(g != NULL && g->rows != NULL);
    if (row == SFS_NONE32) {
        sfs_group_unpromise_row(s->pool, g);
    } else {
        if (g->rows[row].txn == SFS_TAKEN_TXN)
            g->rows[row].txn = g->rows[row].live || written ? s->pool->txn : 0;
        if (!written) /* a hole, where rows are written in order */
            sfs_group_close(s->pool, g);
        sfs_group_row_done(s->pool, g);
    }
    if (!g->allocating)
        stop_filling(s, g);
    if (g->count.live == 0)
        s->emptied = true;
    sfs_store_unlock(s);
}

/* Rows that can be handed out now. */
static size_t takeable(struct sfs_store *s, const struct sfs_group *g)
{
    size_t count = 0;
    if (g->record.sequential)
        return sfs_group_room(g);
    for (uint32_t i = 0; i < g->record.rows; i++)
        count += g->rows[i].live == 0 && g->rows[i].txn + SFS_REUSE_AFTER <= s->pool->committed;
    for (size_t i = 0; i < s->row_pin_count; i++) /* passed over while they are repaired */
        count -= s->row_pins[i].group == g->record.group && count > 0;
    return count;
}

/* The group can give nodes without reading. */
static bool gives_nodes(struct sfs_store *s, struct sfs_group *g, enum sfs_class class)
{
    return g && g->record.class == class && g->rows && sfs_space_node_usable(s, g) &&
           (uintptr_t)g->store != s->pool->committed + 1 && sfs_group_room(g) > 0;
}

static int new_node_group(struct sfs_store *s, enum sfs_class class)
{
    struct sfs_fresh *fresh = &s->fresh;
    struct sfs_group *g;
    int err = sfs_vec_reserve(s->env, &fresh->groups, &fresh->cap, fresh->count + 1, sizeof *fresh->groups);
    if (!err)
        err = new_group(s, class, true, &g);
    if (err)
        return err;
    fresh->groups[fresh->count++] = g->record.group;
    g->in_flight++; /* until its headers are written */
    return SCALEFS_OK;
}

int sfs_space_take_node(struct sfs_store *s, enum sfs_class class, struct sfs_place *place)
{
    for (;;) {
        struct sfs_group *g = s->open_groups[class][0];
        uint32_t row;
        if (g && sfs_space_node_usable(s, g) && take_from(s, g, &row) == SCALEFS_OK) {
            g->rows[row].txn = 0;
            g->spare = false;
            sfs_group_row_done(s->pool, g);
            place->group = g->record.group;
            place->offset = (uint64_t)row * SFS_NODE_BYTES;
            return SCALEFS_OK;
        }
        close_open(s, class, 0);
        for (uint32_t i = 0; i < s->pool->group_cap && !s->open_groups[class][0]; i++) {
            g = s->pool->groups[i];
            if (gives_nodes(s, g, class)) {
                g->allocating = true;
                s->open_groups[class][0] = g;
            }
        }
        if (s->open_groups[class][0])
            continue;
        int err = new_node_group(s, class);
        if (err)
            return err;
    }
}

/* A half-empty metadata group comes back into use: its row states are read. NODATA: there is none. */
static int reload(struct sfs_store *s, struct sfs_need *need, unsigned least)
{
    struct sfs_group *g = find_group(s, SFS_CLASS_METADATA, least, !s->broken_nodes_ok, true);
    if (!g)
        return SCALEFS_E_NODATA;
    int err = load_rows(s, need, g);
    if (!err && takeable(s, g) == 0) {
        g->store = (void *)(uintptr_t)(s->pool->committed + 1);
        stop_filling(s, g);
    }
    return err;
}

/* Groups of nodes that are being emptied, and those on zoned disks of which a disk has gone, are taken from again when there is no other
 * room: without a commit no column that was freed can be used again, and they would never be emptied. */
static bool reopen(struct sfs_store *s, enum sfs_class class)
{
    bool any = false;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (!g || g->record.class != class || g->moving)
            continue;
        if (g->record.state == SFS_GROUP_OPEN) {
            any = sfs_group_reopen(s->pool, g) || any;
        } else if (g->record.state == SFS_GROUP_EVACUATING && !g->closed) {
            g->record.state = SFS_GROUP_OPEN;
            sfs_table_mark_group(s->pool, g);
            any = true;
        }
    }
    return any;
}

/* The row states of one that was opened again. NODATA: there is none that lacks them. */
static int reload_reopened(struct sfs_store *s, struct sfs_need *need, enum sfs_class class)
{
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (g && g->record.class == class && g->record.sequential && !g->rows && sfs_space_node_usable(s, g) && sfs_group_room(g))
            return load_rows(s, need, g);
    }
    return SCALEFS_E_NODATA;
}

static int prepare(struct sfs_store *s, struct sfs_need *need, enum sfs_class class, size_t nodes)
{
    for (;;) {
        size_t at_hand = 0;
        for (uint32_t i = 0; i < s->pool->group_cap; i++)
            if (gives_nodes(s, s->pool->groups[i], class))
                at_hand += takeable(s, s->pool->groups[i]);
        if (at_hand >= nodes)
            return SCALEFS_OK;
        int err = class == SFS_CLASS_METADATA ? reload(s, need, 2) : SCALEFS_E_NODATA;
        if (err == SCALEFS_E_NODATA)
            err = new_node_group(s, class);
        if (err == SCALEFS_E_NOSPC && class == SFS_CLASS_METADATA)
            err = reload(s, need, 0);
        if (err == SCALEFS_E_NODATA || err == SCALEFS_E_NOSPC) {
            bool tried = s->broken_nodes_ok;
            s->broken_nodes_ok = true; /* their rows are owed to the absent disk: better than no commit */
            err = reload_reopened(s, need, class);
            if (err == SCALEFS_E_NODATA)
                err = tried && !reopen(s, class) ? SCALEFS_E_NOSPC : SCALEFS_OK;
        }
        if (err)
            return err;
    }
}

static uint64_t rows_for(const struct sfs_pool *pool, enum sfs_class class)
{
    uint64_t rows = 0;
    for (uint32_t i = 0; i < pool->group_cap; i++)
        if (pool->groups[i] && pool->groups[i]->record.class == class)
            rows += sfs_group_room(pool->groups[i]);
    return rows;
}

/* Areas that were emptied for nodes become theirs. That there are none is no error here. */
static void claim_areas(struct sfs_store *s)
{
    static const enum sfs_class classes[] = {SFS_CLASS_METADATA, SFS_CLASS_SYSTEM};
    for (unsigned i = 0; i < 2 && s->nodes_wanted; i++)
        if (rows_for(s->pool, classes[i]) < SFS_NODES_KEPT && !new_node_group(s, classes[i]))
            sfs_group_of(s->pool, s->fresh.groups[s->fresh.count - 1])->spare = true;
    s->nodes_wanted = false;
}

int sfs_space_prepare_nodes(struct sfs_store *s, struct sfs_need *need, size_t metadata, size_t system)
{
    claim_areas(s);
    int err = prepare(s, need, SFS_CLASS_METADATA, metadata);
    if (!err)
        err = prepare(s, need, SFS_CLASS_SYSTEM, system);
    for (uint32_t i = 0; !err && i < s->pool->group_cap; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (!gives_nodes(s, g, SFS_CLASS_METADATA))
            continue;
        for (uint32_t row = 0; !err && row < g->record.rows; row += SFS_SPACE_CHUNK)
            err = sfs_space_ready(s, need, (struct sfs_place){i, (uint64_t)row * SFS_NODE_BYTES});
    }
    return err;
}

/* --- landing logs --- */

int sfs_space_take_log(struct sfs_store *s, bool use_reserve, uint32_t len, struct sfs_group_record *record,
                       uint64_t *offset)
{
    sfs_store_lock(s);
    int err;
    for (;;) {
        err = have_group(s, SFS_CLASS_LANDING, 0, use_reserve);
        if (err)
            break;
        struct sfs_group *g = s->open_groups[SFS_CLASS_LANDING][0];
        err = sfs_group_take_log(s->pool, g, len / sfs_group_unit(&g->record), offset);
        if (err == SCALEFS_OK) {
            *record = g->record;
            break;
        }
        bool empty = g->count.write_row == 0 && !g->closed;
        close_open(s, SFS_CLASS_LANDING, 0);
        g->record.state = SFS_GROUP_CLOSED;
        sfs_table_mark_group(s->pool, g);
        s->emptied = true;
        sfs_care_wake(s); /* it can be packed now */
        if (empty)
            break; /* even an empty log is too small for it */
    }
    sfs_store_unlock(s);
    return err;
}

void sfs_space_log_done(struct sfs_store *s, uint32_t group)
{
    sfs_store_lock(s);
    struct sfs_group *g = sfs_group_of(s->pool, group);
    SFS_ASSERT(g != NULL);
    sfs_group_row_done(s->pool, g);
    if (g->count.live == 0)
        s->emptied = true;
    sfs_store_unlock(s);
}

/* --- freeing --- */

void sfs_space_free_empty(struct sfs_store *s)
{
    if (!s->emptied)
        return;
    s->emptied = false;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        struct sfs_group *g = s->pool->groups[i];
        if (!g || g->count.live != 0 || g->in_flight || g->allocating || g->moving || sfs_group_unused(g))
            continue;
        /* One that was chosen to make room is none that is kept for nodes any more. */
        if (g->spare && g->record.state == SFS_GROUP_OPEN &&
            rows_for(s->pool, g->record.class) < sfs_group_room(g) + SFS_NODES_KEPT) {
            s->emptied = true;
            continue;
        }
        sfs_free(s->env, g->rows);
        g->rows = NULL;
        sfs_group_free(s->pool, g);
    }
}

uint32_t sfs_store_row_bytes(struct sfs_store *s)
{
    sfs_store_lock(s);
    struct sfs_group *g = s->open_groups[SFS_CLASS_DATA][0];
    uint32_t bytes = g ? (uint32_t)sfs_group_row_bytes(&g->record) : SFS_ROW_TARGET_BYTES;
    sfs_store_unlock(s);
    return bytes;
}
