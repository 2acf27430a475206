/* What is moved next, of all that the wish wants moved: one list, in one order.
 *
 * WHAT LACKS MOST COMES FIRST. What is nearest to loss is cared for before anything else: groups with the least redundancy left, and of
 * these what gives some back (a column that is gone is rebuilt, parity that is missing is added, or the group is written anew) before
 * columns that are whole move on.
 *
 * WHAT IS WHOLE STAYS WHERE IT IS while a column of its group is gone and not rebuilt yet, also when that cannot be done just now: on a
 * disk that came lately, perhaps in the place of the one that failed, it would be lost with the next failure there. (A disk that is
 * only absent holds nothing up: nothing is rebuilt for it.) No move of a whole column of such a group makes room for the missing one: what
 * moves on for the sake of others is of groups that lack nothing (sfs_sketch_groups).
 */
#include "store/care_internal.h"

#include <stdio.h>
#include <stdlib.h>

struct want {
    uint32_t group;
    uint64_t generation;
    unsigned spare; /* how many more disks may go before the group is lost */
    enum sfs_want_kind kind;
    uint8_t column_log2, column;
    unsigned at; /* in order.of, of a column's member */
};

/* A member that is to give columns away, and may. */
struct giver {
    uint16_t index;
    size_t columns; /* that are to go */
    size_t left;    /* of them on the list, and not tried */
    bool waits;     /* not tried any more this time */
    bool empties;   /* a group waits to be emptied: no further one is */
    int last;       /* why it went wrong */
};

struct order {
    struct sfs_care *care;
    struct want *wants;
    size_t count, cap;
    struct giver of[SFS_DISKS_MAX];
    unsigned givers;
    int error;
};

/* Dropping a column costs nothing and gives room; width is no hurry at all. */
static unsigned hurry(const struct want *w)
{
    return w->kind == SFS_WANT_DROP ? 0 : w->kind == SFS_WANT_WIDTH ? SFS_COLUMNS_MAX + 1 : w->spare + 1;
}

/* Of what is equal the largest first, which is the hardest to find room for. */
static int compare(const void *a, const void *b)
{
    const struct want *x = a, *y = b;
    if (hurry(x) != hurry(y))
        return hurry(x) < hurry(y) ? -1 : 1;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->column_log2 != y->column_log2)
        return x->column_log2 > y->column_log2 ? -1 : 1;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return x->column < y->column ? -1 : x->column > y->column;
}

/* --- the list: locked --- */

static void add(struct order *o, const struct sfs_group *g, struct want w)
{
    if (!o->error)
        o->error = sfs_vec_reserve(o->care->s->env, &o->wants, &o->cap, o->count + 1, sizeof *o->wants);
    if (o->error)
        return;
    w.group = g->record.group;
    w.generation = g->record.generation;
    w.column_log2 = g->record.column_log2;
    w.spare = sfs_care_spare(o->care->s->pool, g);
    o->wants[o->count++] = w;
}

static void find_givers(struct order *o)
{
    struct sfs_pool *pool = o->care->s->pool;
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct sfs_member *m = &pool->members[i];
        bool gives = m->used && (sfs_care_drains(m) || (m->disk && sfs_care_sheds(pool, m)));
        if (gives && !sfs_care_blocked(o->care, m->record.index) && !sfs_care_paused(pool, sfs_care_task_of(m)))
            o->of[o->givers++] = (struct giver){.index = m->record.index, .last = SCALEFS_E_NOSPC};
    }
}

static struct giver *giver_of(struct order *o, uint16_t index)
{
    for (unsigned i = 0; i < o->givers; i++)
        if (o->of[i].index == index)
            return &o->of[i];
    return NULL;
}

/* What is to leave its disk: what is gone, or if nothing is, what is whole. */
static void add_columns(struct order *o, const struct sfs_group *g)
{
    struct sfs_pool *pool = o->care->s->pool;
    unsigned n = (unsigned)g->record.k + g->record.m;
    bool gone = sfs_care_lacks(pool, &g->record);
    for (unsigned c = 0; c < n; c++) {
        uint16_t index = g->record.columns[c].disk;
        const struct sfs_member *m = sfs_member_of(pool, index);
        struct giver *from = sfs_care_must_go(pool, &g->record, c) ? giver_of(o, index) : NULL;
        if (!from)
            continue;
        from->columns++;
        if (gone && m->disk)
            continue;
        from->left++;
        add(o, g, (struct want){.kind = gone ? SFS_WANT_REBUILD : SFS_WANT_MOVE, .column = (uint8_t)c, .at = (unsigned)(from - o->of)});
    }
}

static void make_list(struct order *o)
{
    struct sfs_care *care = o->care;
    struct sfs_pool *pool = care->s->pool;
    struct sfs_care_pass pass;
    find_givers(o);
    sfs_care_pass_begin(care, &pass);
    for (uint32_t i = 0; i < pool->group_cap; i++) {
        enum sfs_want_kind kind;
        struct sfs_group *g = pool->groups[i];
        if (g && o->givers)
            add_columns(o, g);
        if (g && sfs_care_may_convert(care, g, &kind))
            add(o, g, (struct want){.kind = kind});
    }
    sfs_care_pass_end(care, &pass);
    if (o->count)
        qsort(o->wants, o->count, sizeof *o->wants, compare);
}

/* --- the work: unlocked --- */

static void block(struct sfs_care *care, uint16_t index, int err)
{
    struct sfs_store *s = care->s;
    char why[256];
    if (err == SCALEFS_E_NOSPC)
        snprintf(why, sizeof why, "There is no room for its columns on the disks that may take them.");
    else if (err == SCALEFS_E_CORRUPT)
        snprintf(why, sizeof why, "Some of what it holds cannot be read.");
    else if (err == SCALEFS_E_SUSPENDED)
        snprintf(why, sizeof why, "Absent disks are needed to rebuild what it held.");
    else
        snprintf(why, sizeof why, "A column could not be moved: %s.", scalefs_error_text(err));
    sfs_store_lock(s);
    sfs_care_block(care, index, why);
    sfs_store_unlock(s);
}

/* One way or another all of the member's columns were tried in vain. True: it can be tried again at once. */
static bool give_up(struct sfs_care *care, const struct giver *from)
{
    if (from->last == SCALEFS_E_NOSPC && sfs_care_make_room(care))
        return true;
    if (from->last == SCALEFS_E_BUSY)
        care->retry_soon = true;
    else
        block(care, from->index, from->last);
    return false;
}

/* A column goes elsewhere; where it finds no room its group is emptied. True: something was done. */
static bool do_column(struct sfs_care *care, const struct want *w, struct giver *from)
{
    uint64_t lost;
    from->left--;
    if (from->waits)
        return false;
    int err = sfs_care_move_away(care, w->group, w->generation, w->column, from->index, !from->empties);
    (void)sfs_care_count_lost(care, &lost); /* what cannot be told now is with the next step, or found by a scrub */
    if (err == SCALEFS_E_EXIST) {
        from->empties = true; /* one after another: what is emptied takes nothing any more */
        return sfs_care_convert(care, w->group, w->generation);
    }
    if (!err)
        care->room_made = 0;
    if (!err || err == SCALEFS_E_CHANGED)
        return true;
    from->waits = err == SCALEFS_E_CANCELED;
    if (err != SCALEFS_E_NOSPC || from->last == SCALEFS_E_NOSPC)
        from->last = err;
    return !from->waits && !from->empties && !from->left && give_up(care, from);
}

static bool do_next(struct order *o)
{
    for (size_t i = 0; i < o->count; i++) {
        const struct want *w = &o->wants[i];
        bool column = w->kind == SFS_WANT_REBUILD || w->kind == SFS_WANT_MOVE;
        if (column ? do_column(o->care, w, &o->of[w->at]) : sfs_care_convert(o->care, w->group, w->generation))
            return true;
    }
    return false;
}

/* Members with nothing left leave, or are as they are wished. */
static bool end_members(struct order *o)
{
    for (unsigned i = 0; i < o->givers; i++) {
        int err = o->of[i].columns ? SCALEFS_OK : sfs_care_emptied(o->care, o->of[i].index);
        if (o->of[i].columns)
            continue;
        if (!err)
            o->care->roomless_count = 0; /* groups may be of other widths now */
        if (!err || err == SCALEFS_E_CHANGED)
            return true;
        o->of[i].last = err;
        if (err != SCALEFS_E_CANCELED && give_up(o->care, &o->of[i]))
            return true;
    }
    return false;
}

/* Nothing could be done: why, for those who ask. */
static void tell_why(struct order *o)
{
    struct sfs_store *s = o->care->s;
    sfs_store_lock(s);
    for (unsigned i = 0; i < o->givers; i++) {
        const struct sfs_member *m = sfs_member_of(s->pool, o->of[i].index);
        bool held = m && m->disk && o->of[i].columns > 0;
        for (size_t n = 0; n < o->count && held; n++)
            held = o->wants[n].kind != SFS_WANT_MOVE || o->wants[n].at != i;
        if (held)
            sfs_care_block(o->care, o->of[i].index, "What disks that are gone held of the same data has to be rebuilt first, and "
                                                    "cannot be now.");
    }
    sfs_care_converted(o->care);
    sfs_store_unlock(s);
}

bool sfs_care_order_step(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    struct order *o = sfs_zalloc(s->env, sizeof *o);
    if (!o)
        return false;
    o->care = care;
    sfs_care_wipe_dropped(care);
    sfs_store_lock(s);
    bool may = sfs_wish_holds(s);
    if (may)
        make_list(o);
    sfs_store_unlock(s);
    may = may && !o->error;
    bool did = may && (end_members(o) || do_next(o));
    if (may && !did)
        tell_why(o);
    if (o->error)
        care->retry = true;
    sfs_free(s->env, o->wants);
    sfs_free(s->env, o);
    return did;
}
