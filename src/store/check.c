/* The complete check of a pool that nobody writes: everything below the files is read, from every disk, and compared.
 *
 * Heads and column headers of all members; every node of every tree in all its copies; then the accounts: each entry of the
 * extent map is referenced as often, and with as many bytes, as it says, no two overlap, and the live bytes of rows and groups
 * are the sums of what lives there; at last every live row whole, its sums, its parity, and the checksums of every extent.
 *
 * Memory: about 100 bytes for each extent and 8 for each row. Changes nothing.
 */
#include "store/check_internal.h"

#include <stdarg.h>
#include <stdio.h>

void sfs_check_say(struct sfs_check *c, bool repairable, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sfs_mutex_lock(&c->lock);
    c->report->problems++;
    c->report->repairable += repairable;
    if (c->problem)
        c->problem(c->context, text);
    sfs_mutex_unlock(&c->lock);
}

void sfs_check_lost(struct sfs_check *c, uint64_t id, const char *how)
{
    struct sfs_extent e;
    sfs_check_say(c, false, "Extent %llu %s.", (unsigned long long)id, how);
    if (sfs_extent_lookup(c->s, id, &e) == SCALEFS_OK)
        sfs_care_lost_extent(c->s->care, id, &e);
}

void sfs_check_count_bytes(struct sfs_check *c, uint64_t bytes)
{
    sfs_mutex_lock(&c->lock);
    c->report->bytes += bytes;
    sfs_mutex_unlock(&c->lock);
}

struct sfs_seen *sfs_check_seen(struct sfs_check *c, uint64_t id)
{
    size_t low = 0, high = c->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (c->seen[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < c->count && c->seen[low].id == id ? &c->seen[low] : NULL;
}

bool sfs_check_owed(struct sfs_check *c, const struct sfs_group_record *g, uint16_t member)
{
    sfs_store_lock(c->s);
    const struct sfs_member *m = sfs_member_of(c->pool, member);
    const struct sfs_group *group = sfs_group_of(c->pool, g->group);
    bool owed = !m || !m->disk || (!m->complete && group && group->count.last_txn > m->record.flushed_txn);
    sfs_store_unlock(c->s);
    return owed;
}

/* --- members and headers --- */

/* Can all that lies on this member be had from the others? */
static bool is_spare(struct sfs_check *c, uint16_t member)
{
    for (uint32_t i = 0; i < c->pool->group_cap; i++) {
        const struct sfs_group *g = c->pool->groups[i];
        unsigned here = 0, away = 0;
        for (unsigned n = 0; g && n < (unsigned)g->record.k + g->record.m; n++) {
            const struct sfs_member *m = sfs_member_of(c->pool, g->record.columns[n].disk);
            here += g->record.columns[n].disk == member;
            away += !m || !m->disk;
        }
        if (here && g->count.live && away > g->record.m)
            return false;
    }
    return true;
}

static void check_members(struct sfs_check *c)
{
    for (unsigned i = 0; i < c->pool->member_count; i++) {
        const struct sfs_member *m = &c->pool->members[i];
        struct sfs_head_report r;
        uint16_t index = m->record.index;
        if (!m->used)
            continue;
        if (!m->disk) {
            const char *how = sfs_member_failed(m) ? "failed" : "absent";
            if (is_spare(c, index))
                sfs_check_say(c, true, "Disk %u is %s: what it holds was not read.", index, how);
            else
                sfs_check_say(c, false, "Disk %u is %s, and some of what it holds is nowhere else.", index, how);
            continue;
        }
        if (!m->complete)
            sfs_check_say(c, true, "Disk %u was away and has not caught up yet: it lacks what was written meanwhile.", index);
        int err = sfs_member_check_head(c->pool, index, false, &r);
        if (err) {
            sfs_check_say(c, true, "The head of disk %u cannot be read: %s.", index, scalefs_error_text(err));
            continue;
        }
        if (r.labels_bad)
            sfs_check_say(c, true, "%u of the 3 copies of the label of disk %u are damaged.", r.labels_bad, index);
        /* r.records_bad: that a disk lacks the newest record, or has half of it, is how a cut leaves it; the next opening for
         * writing writes it again. */
        if (m->complete && r.pages_bad)
            sfs_check_say(c, true, "%u of the %u pages of the table of disk %u are damaged.", r.pages_bad, r.pages, index);
        sfs_check_count_bytes(c, (uint64_t)(r.pages + 4) * SFS_BLOCK);
    }
}

static void check_headers(struct sfs_check *c)
{
    for (uint32_t i = 0; i < c->pool->group_cap; i++) {
        const struct sfs_group *g = c->pool->groups[i];
        for (unsigned n = 0; g && n < (unsigned)g->record.k + g->record.m; n++) {
            uint16_t member = g->record.columns[n].disk;
            int err = sfs_column_check_header(c->pool, &g->record, n);
            if (err && err != SCALEFS_E_GONE && !sfs_check_owed(c, &g->record, member))
                sfs_check_say(c, true, "The header of column %u of group %u, on disk %u, is damaged.", n, i, member);
        }
    }
}

/* --- accounts --- */

static int by_place(const void *a, const void *b, const struct sfs_seen *seen)
{
    const struct sfs_seen *x = &seen[*(const size_t *)a], *y = &seen[*(const size_t *)b];
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Heap sort: in place, and with the array it sorts by (qsort has no room for that). */
static void sift(size_t *list, size_t root, size_t count, const struct sfs_seen *seen)
{
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && by_place(&list[child], &list[child + 1], seen) < 0)
            child++;
        if (by_place(&list[root], &list[child], seen) >= 0)
            return;
        size_t t = list[root];
        list[root] = list[child];
        list[child] = t;
    }
}

static int sort_places(struct sfs_check *c)
{
    c->by_place = sfs_alloc(c->s->env, (c->count + 1) * sizeof *c->by_place);
    if (!c->by_place)
        return SCALEFS_E_NOMEM;
    for (size_t i = 0; i < c->count; i++)
        c->by_place[i] = i;
    for (size_t i = c->count / 2; i-- > 0;)
        sift(c->by_place, i, c->count, c->seen);
    for (size_t n = c->count; n > 1; n--) {
        size_t t = c->by_place[0];
        c->by_place[0] = c->by_place[n - 1];
        c->by_place[n - 1] = t;
        sift(c->by_place, 0, n - 1, c->seen);
    }
    return SCALEFS_OK;
}

static bool check_place(struct sfs_check *c, const struct sfs_seen *e)
{
    const struct sfs_group *g = sfs_group_of(c->pool, e->group);
    uint8_t class = g ? g->record.class : 0;
    uint64_t size = g ? sfs_group_row_bytes(&g->record) * g->record.rows : 0;
    bool right = g && e->stored && e->offset < size && e->stored <= size - e->offset;
    if (right && e->kind == 1)
        right = class == SFS_CLASS_METADATA && e->offset % SFS_NODE_BYTES == 0;
    else if (right)
        right = class == SFS_CLASS_LANDING ||
                (class == SFS_CLASS_DATA && sfs_group_row_of(&g->record, e->offset) ==
                                                sfs_group_row_of(&g->record, e->offset + e->stored - 1));
    if (!right)
        sfs_check_say(c, false, "Extent %llu is said to lie where none can be: group %u, offset %llu, %u bytes.",
                      (unsigned long long)e->id, e->group, (unsigned long long)e->offset, e->stored);
    return right;
}

static void check_references(struct sfs_check *c, const struct sfs_seen *e)
{
    if (e->kind == 1 && e->found != 1 && !(c->broken && e->found == 0))
        sfs_check_say(c, false, "Node %llu of a tree is reached %u times.", (unsigned long long)e->id, e->found);
    if (e->kind == 1 || (c->broken && e->found < e->refs))
        return;
    if (e->found == 0)
        sfs_check_say(c, false, "Extent %llu (%u bytes) is referenced by nothing: its space is lost.", (unsigned long long)e->id,
                      e->stored);
    else if (e->found != e->refs || e->found_bytes != e->ref_bytes)
        sfs_check_say(c, false, "Extent %llu says that it has %u references to %llu bytes; there are %u to %llu.",
                      (unsigned long long)e->id, e->refs, (unsigned long long)e->ref_bytes, e->found,
                      (unsigned long long)e->found_bytes);
}

static int check_extents(struct sfs_check *c)
{
    int err = sort_places(c);
    const struct sfs_seen *before = NULL;
    for (size_t i = 0; i < c->count && !err; i++) {
        const struct sfs_seen *e = &c->seen[c->by_place[i]];
        check_references(c, e);
        if (e->kind == 0) {
            c->report->extents++;
            c->report->live_bytes += e->stored;
        }
        if (!check_place(c, e))
            continue;
        if (before && before->group == e->group && before->offset + before->stored > e->offset)
            sfs_check_say(c, false, "Extents %llu and %llu lie over one another in group %u.", (unsigned long long)before->id,
                          (unsigned long long)e->id, e->group);
        before = e;
        c->live[e->group] += e->stored;
        if (c->rows[e->group])
            c->rows[e->group][sfs_group_row_of(&c->pool->groups[e->group]->record, e->offset)].counted += e->stored;
    }
    return err;
}

static void check_accounts(struct sfs_check *c)
{
    for (uint32_t i = 0; i < c->pool->group_cap; i++) {
        const struct sfs_group *g = c->pool->groups[i];
        if (!g)
            continue;
        if (g->record.class == SFS_CLASS_SYSTEM)
            for (uint32_t row = 0; row < g->record.rows; row++)
                c->rows[i][row].said = g->bitmap[row / 8] >> (row % 8) & 1 ? SFS_NODE_BYTES : 0;
        if (c->live[i] != g->count.live && !(c->broken && c->live[i] < g->count.live))
            sfs_check_say(c, false, "Group %u says that %llu bytes in it are live; %llu are.", i,
                          (unsigned long long)g->count.live, (unsigned long long)c->live[i]);
        uint32_t used = 0;
        for (uint32_t row = 0; c->rows[i] && row < g->record.rows; row++) {
            const struct sfs_row_account *a = &c->rows[i][row];
            used += a->said > 0;
            if (a->counted != a->said && !(c->broken && a->counted < a->said))
                sfs_check_say(c, false, "Row %u of group %u is said to have %u live bytes; it has %u.", row, i, a->said,
                              a->counted);
        }
        if (c->rows[i] && used != g->count.used_rows && !c->broken)
            sfs_check_say(c, false, "Group %u says that %u of its rows are used; %u are.", i, g->count.used_rows, used);
    }
}

/* --- the whole --- */

static int begin(struct sfs_check *c)
{
    struct sfs_env *env = c->s->env;
    c->rows = sfs_zalloc(env, (c->pool->group_cap + 1u) * sizeof *c->rows);
    c->live = sfs_zalloc(env, (c->pool->group_cap + 1u) * sizeof *c->live);
    if (!c->rows || !c->live)
        return SCALEFS_E_NOMEM;
    for (uint32_t i = 0; i < c->pool->group_cap; i++) {
        const struct sfs_group *g = c->pool->groups[i];
        if (!g || g->record.class == SFS_CLASS_LANDING)
            continue;
        c->rows[i] = sfs_zalloc(env, (size_t)g->record.rows * sizeof **c->rows);
        if (!c->rows[i])
            return SCALEFS_E_NOMEM;
    }
    return SCALEFS_OK;
}

int sfs_care_check(struct sfs_store *s, void (*problem)(void *context, const char *text), void *context,
                   struct scalefs_check_report *report)
{
    struct sfs_check *c = sfs_zalloc(s->env, sizeof *c);
    if (!c)
        return SCALEFS_E_NOMEM;
    c->s = s;
    c->pool = s->pool;
    c->problem = problem;
    c->context = context;
    c->report = report;
    sfs_mutex_init(&c->lock, s->env);
    int err = begin(c);
    if (!err) {
        check_members(c);
        check_headers(c);
        err = sfs_check_trees(c);
    }
    if (!err)
        err = check_extents(c);
    if (!err) {
        check_accounts(c);
        err = sfs_check_rows(c);
    }
    for (uint32_t i = 0; c->rows && i < c->pool->group_cap; i++)
        sfs_free(s->env, c->rows[i]);
    sfs_mutex_deinit(&c->lock);
    sfs_free(s->env, c->rows);
    sfs_free(s->env, c->live);
    sfs_free(s->env, c->seen);
    sfs_free(s->env, c->by_place);
    sfs_free(s->env, c);
    return err;
}
