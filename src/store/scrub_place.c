/* Where a scrub is, and what it has passed without reading all of it.
 *
 * It goes over the groups once, by number. A group of which some disk was absent meanwhile, or went and came back, is *missed*, and
 * gone over again when all its disks are there; the heads of members likewise. Until nothing is missed the scrub is not done: it
 * waits, and says for what. What is recorded on the disks is the place of the first group missed: after an opening nothing
 * else is known.
 */
#include "store/care_internal.h"

#include <stdio.h>

#define EVERYWHERE UINT32_MAX

void sfs_scrub_forget(struct sfs_care *care)
{
    struct sfs_scrub *p = &care->scrub;
    p->begun = p->missing = false;
    p->missed_count = 0;
    memset(p->heads, 0, sizeof p->heads);
}

static struct sfs_group *group_of(struct sfs_pool *pool, const struct sfs_scrub_missed *m)
{
    struct sfs_group *g = sfs_group_of(pool, m->group);
    return g && g->record.generation == m->generation && g->count.live ? g : NULL;
}

/* One that is behind is given first what it lacks: there is nothing to verify yet. */
static bool holds_all(const struct sfs_member *m)
{
    return m->disk && (m->complete || sfs_care_drains(m));
}

/* Are the disks of all its columns there? *comings tells whether one of them has come back since. */
static bool is_there(struct sfs_pool *pool, const struct sfs_group_record *g, uint64_t *comings)
{
    bool there = true;
    *comings = 0;
    for (unsigned c = 0; c < (unsigned)g->k + g->m; c++) {
        const struct sfs_member *m = sfs_member_of(pool, g->columns[c].disk);
        there = there && (!m || holds_all(m));
        *comings += m ? m->comings : 0;
    }
    return there;
}

static void begin(struct sfs_care *care)
{
    const struct sfs_task_record *r = &care->s->pool->scrub;
    sfs_scrub_forget(care);
    care->scrub.begun = true;
    care->scrub.group = r->group;
    care->scrub.row = r->row;
    care->scrub.generation = 0;
    care->scrub.lost = r->lost;
    care->scrub.group_lost = 0;
}

/* The next group with a number of at least that of the place. */
static struct sfs_group *next_by_number(struct sfs_pool *pool, struct sfs_scrub *p)
{
    uint32_t from = p->group;
    while (from < pool->group_cap && !pool->groups[from])
        from++;
    if (from >= pool->group_cap) {
        p->group = EVERYWHERE;
        return NULL;
    }
    uint64_t generation = pool->groups[from]->record.generation;
    if (from != p->group || (p->generation && p->generation != generation)) /* another one has that number by now */
        p->row = 0;
    p->group = from;
    p->generation = generation;
    return pool->groups[from];
}

/* One that was missed and can be read now; those that are gone are missed no longer. */
static struct sfs_group *next_missed(struct sfs_pool *pool, struct sfs_scrub *p)
{
    struct sfs_group *next = NULL;
    uint64_t comings;
    size_t kept = 0;
    for (size_t i = 0; i < p->missed_count; i++) {
        struct sfs_group *g = group_of(pool, &p->missed[i]);
        if (!g)
            continue;
        bool readable = !next && is_there(pool, &g->record, &comings);
        if (readable) {
            next = g;
            if (p->again != p->missed[i].generation) { /* from its beginning */
                if (p->again) /* and so will be the one that was being read */
                    p->lost -= p->group_lost;
                p->group_lost = 0;
                p->again = p->missed[i].generation;
                p->row = 0;
                p->lost -= p->missed[i].lost;
                p->missed[i].lost = 0;
            }
        }
        p->missed[kept++] = p->missed[i];
    }
    p->missed_count = kept;
    return next;
}

bool sfs_scrub_next(struct sfs_care *care, struct sfs_scrub_piece *piece)
{
    struct sfs_pool *pool = care->s->pool;
    struct sfs_scrub *p = &care->scrub;
    if (!p->begun)
        begin(care);
    struct sfs_group *g = p->group == EVERYWHERE ? NULL : next_by_number(pool, p);
    piece->missed = !g;
    if (!g)
        g = next_missed(pool, p);
    if (!g)
        return false;
    if (p->row == 0)
        p->group_lost = 0;
    piece->g = g->record;
    piece->live = g->count.live > 0;
    piece->unread = false;
    piece->row = p->row;
    piece->there = is_there(pool, &g->record, &piece->comings);
    return true;
}

static int note_missed(struct sfs_care *care, const struct sfs_scrub_piece *piece)
{
    struct sfs_scrub *p = &care->scrub;
    struct sfs_scrub_missed *last = p->missed_count ? &p->missed[p->missed_count - 1] : NULL;
    if (last && last->generation == piece->g.generation)
        return SCALEFS_OK;
    int err = sfs_vec_reserve(care->s->env, &p->missed, &p->missed_cap, p->missed_count + 1, sizeof *p->missed);
    if (err)
        return err;
    p->missed[p->missed_count++] = (struct sfs_scrub_missed){.group = piece->g.group, .generation = piece->g.generation,
                                                             .lost_before = p->lost - p->group_lost};
    const struct sfs_group *g = sfs_group_of(care->s->pool, piece->g.group);
    if (g) /* all of it once more */
        care->s->pool->scrub.bytes_total += sfs_care_column_live(g) * (piece->g.k + piece->g.m);
    return SCALEFS_OK;
}

static void drop_missed(struct sfs_scrub *p, uint64_t generation)
{
    size_t kept = 0;
    for (size_t i = 0; i < p->missed_count; i++)
        if (p->missed[i].generation != generation)
            p->missed[kept++] = p->missed[i];
    p->missed_count = kept;
}

/* The second time over a group. */
static void again_done(struct sfs_scrub *p, const struct sfs_scrub_piece *piece, uint32_t row, bool seen)
{
    if (seen && row < piece->g.rows) {
        p->row = row;
        return;
    }
    p->again = 0;
    p->row = 0;
    if (seen)
        drop_missed(p, piece->g.generation);
    else
        p->lost -= p->group_lost; /* it is read a third time */
    p->group_lost = 0;
}

int sfs_scrub_did(struct sfs_care *care, const struct sfs_scrub_piece *piece, uint32_t row, uint64_t lost)
{
    struct sfs_pool *pool = care->s->pool;
    struct sfs_scrub *p = &care->scrub;
    uint64_t comings;
    bool there = is_there(pool, &piece->g, &comings) && piece->there && comings == piece->comings, seen = there && !piece->unread;
    int err = !piece->missed && piece->live && !seen ? note_missed(care, piece) : SCALEFS_OK;
    if (err)
        return err;
    p->lost += lost;
    p->group_lost += lost;
    if (piece->missed) {
        again_done(p, piece, row, seen);
    } else if (row < piece->g.rows) {
        p->row = row;
    } else {
        if (p->missed_count && p->missed[p->missed_count - 1].generation == piece->g.generation)
            p->missed[p->missed_count - 1].lost = p->group_lost;
        p->group++;
        p->row = 0;
        p->group_lost = 0;
    }
    /* What was lost in a group is known only as long as we run: after an opening one that has some is read from its beginning, so that
     * none is counted twice when all of it has to be read again. */
    const struct sfs_scrub_missed *first = p->missed_count ? p->missed : NULL;
    pool->scrub.group = first ? first->group : p->group;
    pool->scrub.row = first || p->group_lost ? 0 : p->row;
    pool->scrub.lost = first ? first->lost_before : p->lost - p->group_lost;
    return piece->missed && there && !seen ? SCALEFS_E_SUSPENDED : SCALEFS_OK;
}

/* --- heads --- */

/* One that no record names yet was just written, and may be taken back any moment: only commits use it. */
static bool has_head(const struct sfs_member *m)
{
    return m->used && !m->unnamed;
}

bool sfs_scrub_next_head(struct sfs_care *care, uint16_t *index)
{
    struct sfs_pool *pool = care->s->pool;
    for (unsigned i = 0; i < pool->member_count; i++) {
        if (!has_head(&pool->members[i]) || !pool->members[i].disk || care->scrub.heads[i / 64] >> i % 64 & 1)
            continue;
        care->scrub.heads[i / 64] |= 1ull << i % 64;
        *index = pool->members[i].record.index;
        return true;
    }
    return false;
}

void sfs_scrub_head_missed(struct sfs_care *care, uint16_t index, int why)
{
    const struct sfs_member *m = sfs_member_of(care->s->pool, index);
    if (!m || (m->disk && why != SCALEFS_E_NOMEM))
        return;
    unsigned i = (unsigned)(m - care->s->pool->members);
    care->scrub.heads[i / 64] &= ~(1ull << i % 64);
}

/* --- what is missing --- */

/* Does the member hold columns that were not read? *bytes: and so much of them. */
static bool is_unread(struct sfs_pool *pool, const struct sfs_scrub *p, uint16_t index, uint64_t *bytes)
{
    bool some = false;
    for (size_t i = 0; i < p->missed_count; i++) {
        const struct sfs_group *g = group_of(pool, &p->missed[i]);
        for (unsigned c = 0; g && c < (unsigned)g->record.k + g->record.m; c++) {
            if (g->record.columns[c].disk != index)
                continue;
            some = true;
            *bytes += sfs_care_column_live(g);
        }
    }
    return some;
}

bool sfs_scrub_is_whole(struct sfs_care *care)
{
    struct sfs_pool *pool = care->s->pool;
    const struct sfs_scrub *p = &care->scrub;
    bool whole = p->begun && p->group == EVERYWHERE;
    for (size_t i = 0; i < p->missed_count; i++)
        whole = whole && !group_of(pool, &p->missed[i]);
    for (unsigned i = 0; i < pool->member_count; i++)
        whole = whole && (!has_head(&pool->members[i]) || p->heads[i / 64] >> i % 64 & 1);
    return whole;
}

bool sfs_scrub_waits(struct sfs_care *care, char *why, size_t size)
{
    struct sfs_pool *pool = care->s->pool;
    const struct sfs_scrub *p = &care->scrub;
    char names[64] = "", bytes_text[SFS_SIZE_TEXT];
    uint64_t bytes = 0, comings;
    unsigned count = 0;
    bool absent = false;
    size_t len = 0;
    if (!p->begun || p->group != EVERYWHERE)
        return false;
    for (size_t i = 0; i < p->missed_count; i++) {
        const struct sfs_group *g = group_of(pool, &p->missed[i]);
        if (g && is_there(pool, &g->record, &comings))
            return false;
    }
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct sfs_member *m = &pool->members[i];
        if (!has_head(m))
            continue;
        bool looked_at = p->heads[i / 64] >> i % 64 & 1;
        if (m->disk && !looked_at)
            return false;
        if (holds_all(m) || (!is_unread(pool, p, m->record.index, &bytes) && looked_at))
            continue;
        absent = absent || !m->disk;
        count++;
        if (len + 8 < sizeof names)
            len += (size_t)snprintf(names + len, sizeof names - len, "%s%u", len ? ", " : "", m->record.index);
    }
    if (!count)
        return false;
    sfs_size_format(bytes, bytes_text);
    const char *until = absent ? "back or replaced" : "up to date";
    if (why)
        snprintf(why, size, "%s of disk%s %s, which %s %s, could not be read; all else is. The scrub goes on when %s %s.",
                 bytes ? bytes_text : "The head", count > 1 ? "s" : "", names, count > 1 ? "are" : "is",
                 absent ? "absent" : "behind", count > 1 ? "they are" : "it is", until);
    return true;
}
