/* Members that leave: each of their columns goes to another member, then they are dropped.
 *
 * A member that was replaced gives its columns to the one that takes its place, at the same atoms where they fit, or else
 * to any other. Which columns are left is the only progress that is kept, so it can stop and go on at any moment.
 *
 * A member that is to become smaller gives away what stands behind its new end by the same steps, to itself where it has room; one
 * that is for metadata from now on the data that it holds.
 *
 * Columns on zoned disks do not move, since they are written in order, once: such groups are emptied (empty.c), one after another.
 */
#include "store/care_sketch.h"

#include "pool/placement.h"

#include <stdio.h>

#define WAYS_MOST 32u /* columns that move on before one finds room */

/* --- the wish --- */

static uint64_t used_atoms(const struct sfs_pool *pool, uint16_t member)
{
    uint64_t atoms = 0;
    for (uint32_t i = 0; i < pool->group_cap; i++) {
        const struct sfs_group *g = pool->groups[i];
        for (unsigned c = 0; g && c < (unsigned)g->record.k + g->record.m; c++)
            if (g->record.columns[c].disk == member)
                atoms += (1ull << g->record.column_log2) / SFS_ATOM_BYTES;
    }
    return atoms; /* of 4 MiB */
}

/* Who takes this member's place takes over what is still to come to it, too: it may be the heir of others itself. */
static uint64_t atoms_to_take(struct sfs_pool *pool, uint16_t member)
{
    uint64_t atoms = used_atoms(pool, member);
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct sfs_member *m = &pool->members[i];
        uint16_t at = m->used ? m->record.replaced_by : SFS_NONE16;
        for (unsigned n = 0; n < SFS_DISKS_MAX && at != SFS_NONE16 && at != member; n++) {
            const struct sfs_member *next = sfs_member_of(pool, at);
            at = next ? next->record.replaced_by : SFS_NONE16;
        }
        atoms += at == member ? used_atoms(pool, m->record.index) : 0;
    }
    return atoms;
}

int sfs_wish_may_replace(struct sfs_store *s, uint16_t old_index, const struct sfs_disk *disk, struct scalefs_error_info *info)
{
    struct sfs_pool *pool = s->pool;
    const struct sfs_member *m = sfs_member_of(pool, old_index);
    if (pool->read_only)
        return sfs_refuse(info, SCALEFS_E_ROFS, "The pool is open for reading only.");
    if (!m)
        return sfs_refuse(info, SCALEFS_E_NOENT, "The pool has no disk %u.", old_index);
    if (pool->suspended)
        return sfs_refuse(info, SCALEFS_E_SUSPENDED, "Disk %u cannot be replaced now. %s Connect them first.", old_index,
                          pool->suspended_why);
    if (m->record.replaced_by != SFS_NONE16)
        return sfs_refuse(info, SCALEFS_E_BUSY, "Disk %u is being replaced by disk %u already. Wait until that is done.",
                          old_index, m->record.replaced_by);
    uint64_t room, need = atoms_to_take(pool, old_index);
    int err = sfs_disk_room(pool, disk, &room);
    if (err == SCALEFS_E_NOTSUP)
        return sfs_refuse(info, err, "%s cannot be used in this pool: its zones have not the length of the others'.",
                          disk->info.path);
    if (err)
        return sfs_refuse(info, SCALEFS_E_TOO_SMALL, "%s is too small: a disk has at least 32 MiB.", disk->info.path);
    room /= SFS_ATOM_BYTES;
    if (room < need)
        return sfs_refuse(info, SCALEFS_E_TOO_SMALL,
                          "%s cannot replace disk %u: it has room for %llu MiB, and disk %u holds or takes over %llu MiB. It is "
                          "%llu MiB too small.", disk->info.path, old_index, (unsigned long long)room * 4, old_index,
                          (unsigned long long)need * 4, (unsigned long long)(need - room) * 4);
    return SCALEFS_OK;
}

/* The wish could not be made durable: as if it had not been made. The new disk is the caller's again. */
static void take_back(struct sfs_store *s, uint16_t old_index, uint16_t new_index, uint8_t old_wish, uint8_t quorum)
{
    sfs_store_lock(s);
    while (s->checkpointing) /* nobody but a commit uses a member without columns */
        sfs_cond_wait(&s->checkpoint_done, s->lock);
    if (s->pool->config.quorum < quorum) /* the old one is waited for again, and may be absent */
        s->pool->config.quorum = quorum;
    s->pool->config_dirty = true;
    struct sfs_member *m = sfs_member_of(s->pool, old_index), *fresh = sfs_member_of(s->pool, new_index);
    if (m) {
        m->record.replaced_by = SFS_NONE16;
        m->record.wish = old_wish;
        m->staying = false;
        m->dirty = true;
    }
    if (fresh) {
        fresh->disk = NULL;
        sfs_member_drop(s->pool, new_index);
    }
    sfs_care_wake(s);
    sfs_store_unlock(s);
}

/* A disk that is to go, and who takes its place. */
struct pair {
    uint16_t old_index, index;
    uint8_t wish; /* of the old one, before */
    uint8_t role;
    char station[SFS_NAME_MAX + 1];
};

static int may_replace_all(struct sfs_store *s, struct pair *pairs, struct sfs_disk *const *disks, size_t count,
                           struct scalefs_error_info *info)
{
    int err = SCALEFS_OK;
    sfs_store_lock(s);
    for (size_t i = 0; i < count && !err; i++) {
        err = sfs_wish_may_replace(s, pairs[i].old_index, disks[i], info);
        for (size_t j = 0; j < i && !err; j++)
            if (pairs[j].old_index == pairs[i].old_index)
                err = sfs_refuse(info, SCALEFS_E_EXIST, "Disk %u is named twice.", pairs[i].old_index);
        const struct sfs_member *m = err ? NULL : sfs_member_of(s->pool, pairs[i].old_index);
        if (!m)
            continue;
        pairs[i].wish = m->record.wish;
        pairs[i].role = m->record.role;
        snprintf(pairs[i].station, sizeof pairs[i].station, "%s", m->record.station);
    }
    sfs_store_unlock(s);
    return err;
}

/* From now on the new ones take the old ones' places. locked */
static void hand_over(struct sfs_pool *pool, const struct pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct sfs_member *old = sfs_member_of(pool, pairs[i].old_index);
        if (!old)
            continue;
        old->staying = sfs_member_usable(old);
        sfs_member_replaced_by(pool, pairs[i].old_index, pairs[i].index);
    }
}

static int replace_all(struct sfs_store *s, struct pair *pairs, struct sfs_disk *const *disks, size_t count,
                       struct scalefs_error_info *info)
{
    size_t joined = 0;
    uint8_t quorum = 0;
    int err = may_replace_all(s, pairs, disks, count, info);
    for (; joined < count && !err; joined += !err)
        err = sfs_member_add(s->pool, disks[joined], pairs[joined].station[0] ? pairs[joined].station : NULL,
                             pairs[joined].role, &pairs[joined].index, info);
    if (!err) {
        sfs_store_lock(s);
        quorum = s->pool->config.quorum;
        hand_over(s->pool, pairs, count);
        sfs_store_unlock(s);
        err = sfs_checkpoint(s, false, false, true);
        if (err)
            sfs_refuse(info, err, "The replacement of disk %u could not be recorded: %s.", pairs[0].old_index,
                       scalefs_error_text(err));
    }
    for (size_t i = 0; i < joined && err; i++)
        take_back(s, pairs[i].old_index, pairs[i].index, pairs[i].wish, quorum);
    sfs_store_lock(s);
    for (size_t i = 0; i < count && !err; i++) {
        struct sfs_member *fresh = sfs_member_of(s->pool, pairs[i].index), *old = sfs_member_of(s->pool, pairs[i].old_index);
        if (fresh)
            fresh->unnamed = false;
        if (old)
            old->staying = false;
    }
    sfs_care_wake(s);
    sfs_store_unlock(s);
    return err;
}

int sfs_care_replace_all(struct sfs_store *s, const uint16_t *old_indices, struct sfs_disk *const *new_disks, size_t count,
                         struct scalefs_error_info *info)
{
    struct pair *pairs = sfs_zalloc(s->env, (count + 1) * sizeof *pairs);
    if (!pairs)
        return sfs_refuse(info, SCALEFS_E_NOMEM, "There is not enough memory.");
    for (size_t i = 0; i < count; i++)
        pairs[i].old_index = old_indices[i];
    int err = replace_all(s, pairs, new_disks, count, info);
    sfs_free(s->env, pairs);
    return err;
}

int sfs_care_replace(struct sfs_store *s, uint16_t old_index, struct sfs_disk *new_disk, struct scalefs_error_info *info)
{
    return sfs_care_replace_all(s, &old_index, &new_disk, 1, info);
}

/* --- where to --- */

static bool may_take(struct sfs_pool *pool, const struct sfs_member *m)
{
    (void)pool;
    return m && !sfs_care_drains(m) && sfs_member_usable(m);
}

/* The member that takes this one's place; members that were meant to may have been replaced themselves. */
static const struct sfs_member *heir(struct sfs_pool *pool, const struct sfs_member *m)
{
    for (unsigned i = 0; i < SFS_DISKS_MAX && m && m->record.replaced_by != SFS_NONE16; i++)
        m = sfs_member_of(pool, m->record.replaced_by);
    return may_take(pool, m) ? m : NULL;
}

static unsigned in_station(struct sfs_pool *pool, const struct sfs_group *g, unsigned without, const char *station)
{
    unsigned count = 0;
    for (unsigned c = 0; c < (unsigned)g->record.k + g->record.m && station[0]; c++) {
        const struct sfs_member *m = sfs_member_of(pool, g->record.columns[c].disk);
        count += c != without && m && !strcmp(m->record.station, station);
    }
    return count;
}

/* As the pool is; or, with a sketch, as it is there, the group's columns on the slots `on`. */
static size_t rank(struct sfs_pool *pool, const struct sfs_sketch *k, const uint64_t *on, const struct sfs_group *g, unsigned c,
                   uint16_t *out, size_t cap)
{
    const struct sfs_member *from = sfs_member_of(pool, g->record.columns[c].disk), *first = heir(pool, from);
    enum sfs_class class = (enum sfs_class)g->record.class;
    size_t count = 0;
    unsigned usable = 0;
    for (unsigned i = 0; i < pool->member_count; i++)
        usable += may_take(pool, &pool->members[i]);
    /* Both copies on one disk only where there is but one. */
    bool together = usable == 1 && (g->record.class == SFS_CLASS_SYSTEM || g->record.class == SFS_CLASS_METADATA);
    /* What was made while disks were absent must not lean on the one that came back, which may go again: it moves to the heir, or
     * is written anew (care_convert.c). */
    bool heir_only = from && from->record.replaced_by != SFS_NONE16 && g->record.m < pool->config.failover;
    uint64_t scores[SFS_DISKS_MAX];
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct sfs_member *m = &pool->members[i];
        bool stays = m == from && c < (unsigned)g->record.k + g->record.m && !sfs_care_drains(m); /* before the end of its disk */
        bool has = k ? on[i / 64] >> i % 64 & 1 : sfs_care_has_column(&g->record, m->record.index);
        if (!may_take(pool, m) || !sfs_placement_may(class, m->record.role) || (has && !together && !stays) || (heir_only && m != first))
            continue;
        uint64_t score = k ? (k->free[i] > 0 ? (uint64_t)k->free[i] / m->record.atom_bytes : 0) : m->free_atoms;
        bool room = score >= (1ull << g->record.column_log2) / m->record.atom_bytes;
        if (room && sfs_placement_prefers(class, m->record.role))
            score |= 1ull << 43;
        if (stays && room)
            score |= 1ull << 42;
        if (in_station(pool, g, c, m->record.station) < g->record.m)
            score |= 1ull << 40; /* a station holds no more of a group than may be lost */
        if (m == first)
            score |= 1ull << 41;
        size_t at = count < cap ? count++ : cap;
        for (; at > 0 && scores[at - 1] < score; at--)
            if (at < cap) {
                out[at] = out[at - 1];
                scores[at] = scores[at - 1];
            }
        if (at < cap) {
            out[at] = m->record.index;
            scores[at] = score;
        }
    }
    return count;
}

size_t sfs_care_targets(struct sfs_pool *pool, const struct sfs_group *g, unsigned c, uint16_t *out, size_t cap)
{
    return rank(pool, NULL, NULL, g, c, out, cap);
}

size_t sfs_sketch_targets(const struct sfs_sketch *k, const uint64_t on[SFS_DISKS_MAX / 64], const struct sfs_group *g, unsigned c,
                          uint16_t *out, size_t cap)
{
    return rank(k->pool, k, on, g, c, out, cap);
}

/* --- moving --- */

int sfs_care_make_way(struct sfs_care *care, uint32_t group, unsigned c)
{
    struct sfs_store *s = care->s;
    struct sfs_sketch k;
    struct sfs_sketch_piece *p = NULL;
    struct sfs_group_record from = {0};
    uint16_t to[8], there = 0;
    unsigned slot, column = 0;
    bool comes = false;
    sfs_store_lock(s);
    struct sfs_group *g = sfs_group_of(s->pool, group);
    bool may = g && c <= (unsigned)g->record.k + g->record.m && care->room_made++ < WAYS_MOST;
    sfs_sketch_members(&k, s->pool, may ? 1ull << g->record.column_log2 : 0, s->pool->pending_count > 0);
    size_t count = may && sfs_sketch_groups(&k, care) ? sfs_care_targets(s->pool, g, c, to, 8) : 0;
    for (size_t i = 0; i < count && !p && !comes; i++) {
        unsigned at = (unsigned)(sfs_member_of(s->pool, to[i]) - s->pool->members);
        if (!sfs_sketch_takes_part(&s->pool->members[at]))
            continue;
        comes = k.free[at] >= (int64_t)1 << g->record.column_log2;
        p = comes ? NULL : sfs_sketch_way(&k, at, 1ull << g->record.column_log2, &slot);
    }
    if (p) {
        from = sfs_group_of(s->pool, p->group)->record;
        column = p->column;
        there = s->pool->members[slot].record.index;
    }
    sfs_sketch_done(&k);
    sfs_store_unlock(s);
    int err = p ? sfs_column_move(care, &from, column, there, false) : comes ? SCALEFS_OK : SCALEFS_E_NOSPC;
    if (!err)
        err = sfs_ripen(s);
    return err ? err : SCALEFS_E_CHANGED;
}

/* The column cannot move: its group is emptied. EXIST: that goes on; CORRUPT: it cannot be. locked, gives up the lock */
static int empty(struct sfs_care *care, struct sfs_group *g)
{
    struct sfs_store *s = care->s;
    uint32_t number = g->record.group;
    uint64_t generation = g->record.generation;
    sfs_group_evacuate(s, g);
    if (g->count.live > 0)
        return sfs_care_converts(care, g) ? SCALEFS_E_EXIST : SCALEFS_E_CORRUPT;
    sfs_store_unlock(s);
    int err = sfs_checkpoint(s, false, false, true); /* then it is freed */
    sfs_store_lock(s);
    g = sfs_group_of(s->pool, number);
    return !err && g && g->record.generation == generation ? SCALEFS_E_BUSY : err;
}

static bool leaves(const struct sfs_member *m)
{
    return m && m->record.wish == SFS_WISH_LEAVE;
}

/* Nodes that were emptied without room on the disks that stay would come back to this one that leaves (pool/groups.c), without end.
 * Behind the end of one that becomes smaller nothing comes. locked */
static bool comes_back(struct sfs_store *s, const struct sfs_group *g, uint16_t member)
{
    uint64_t rows = 0;
    if (!leaves(sfs_member_of(s->pool, member)) || g->record.class == SFS_CLASS_DATA || g->record.class == SFS_CLASS_LANDING ||
        sfs_groups_for_nodes(s->pool, false, 0))
        return false;
    for (uint32_t i = 0; i < s->pool->group_cap; i++) {
        const struct sfs_group *other = s->pool->groups[i];
        bool stays = other && other != g && other->record.class == g->record.class && other->record.state == SFS_GROUP_OPEN;
        for (unsigned c = 0; stays && c < (unsigned)other->record.k + other->record.m; c++)
            stays = !leaves(sfs_member_of(s->pool, other->record.columns[c].disk));
        rows += stays ? sfs_group_room(other) : 0;
    }
    return rows < g->count.used_rows;
}

int sfs_care_move_away(struct sfs_care *care, uint32_t group, uint64_t generation, unsigned c, uint16_t member, bool empties)
{
    struct sfs_store *s = care->s;
    struct sfs_group_record record = {0};
    uint16_t to[8];
    size_t count = 0;
    int err = SCALEFS_E_NOSPC;
    sfs_store_lock(s);
    const struct sfs_member *from = sfs_member_of(s->pool, member);
    struct sfs_group *g = sfs_group_of(s->pool, group);
    bool here = from && g && sfs_wish_holds(s) && g->record.generation == generation && c < (unsigned)g->record.k + g->record.m &&
                g->record.columns[c].disk == member && sfs_care_must_go(s->pool, &g->record, c);
    if (!here) {
        sfs_store_unlock(s);
        return SCALEFS_E_CHANGED;
    }
    sfs_care_begin(care, sfs_care_task_of(from));
    bool sequential = g->record.sequential;
    /* A parity column that is not wished any more is dropped first: it may be this one, or stand where this one can go. */
    bool drops = !sequential && !g->moving && g->record.state != SFS_GROUP_EVACUATING && sfs_care_parity_over(s->pool, g);
    record = g->record;
    if (sequential && empties && !comes_back(s, g, member))
        err = empty(care, g);
    else if (!sequential && !drops)
        count = sfs_care_targets(s->pool, g, c, to, 8);
    sfs_store_unlock(s);
    if (drops)
        return sfs_column_drop(care, &record);
    if (sequential)
        return err;
    for (size_t i = 0; i < count && (err == SCALEFS_E_NOSPC || err == SCALEFS_E_GONE); i++)
        err = sfs_column_move(care, &record, c, to[i], true);
    if (err == SCALEFS_E_NOSPC && count)
        err = sfs_care_make_way(care, group, c);
    /* No other disk can take it, so the group becomes a narrower one. Also where the heir is zoned: not to the next best, which
     * what lives here may lean on already, since new groups use the zoned disk as well. */
    if (err != SCALEFS_E_NOTSUP && err != SCALEFS_E_NOSPC)
        return err;
    sfs_store_lock(s);
    g = sfs_group_of(s->pool, group);
    bool still = g && g->record.generation == generation && !g->moving && g->record.columns[c].disk == member;
    err = !still ? SCALEFS_E_CHANGED : comes_back(s, g, member) || !empties ? SCALEFS_E_NOSPC : empty(care, g);
    sfs_store_unlock(s);
    return err;
}

/* --- the end --- */

void sfs_care_wipe_dropped(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    /* Not before the records that still name the disk can no longer be opened. */
    for (unsigned i = 0; i < SFS_REUSE_AFTER && care->wipe_count; i++)
        if (sfs_checkpoint(s, false, false, true) != SCALEFS_OK) {
            care->retry = true;
            return;
        }
    while (care->wipe_count)
        sfs_member_wipe(s->pool, care->wipe[--care->wipe_count]);
}

static int drop(struct sfs_care *care, uint16_t index)
{
    struct sfs_store *s = care->s;
    sfs_store_lock(s);
    struct sfs_member *m = sfs_member_of(s->pool, index);
    int err = sfs_vec_reserve(s->env, &care->wipe, &care->wipe_cap, care->wipe_count + 1, sizeof *care->wipe);
    if (m && !err && used_atoms(s->pool, index)) /* nodes had to go there just now */
        err = SCALEFS_E_CHANGED;
    if (!m || err) {
        sfs_store_unlock(s);
        return err;
    }
    uint16_t heir_index = m->record.replaced_by;
    for (unsigned i = 0; i < s->pool->member_count; i++) /* who was to be replaced by this one is by its heir */
        if (s->pool->members[i].used && s->pool->members[i].record.replaced_by == index) {
            s->pool->members[i].record.replaced_by = heir_index;
            s->pool->members[i].dirty = true;
        }
    if (m->disk)
        care->wipe[care->wipe_count++] = m->disk;
    sfs_member_drop(s->pool, index);
    sfs_member_joined(s->pool, heir_index);
    sfs_store_unlock(s);
    err = sfs_checkpoint(s, false, false, true);
    if (!err) /* else it has left with the next one; after a cut before that it leaves again */
        sfs_log(s->env, SFS_LOG_INFO, "care", SCALEFS_OK, "disk %u holds nothing any more and has left the pool", index);
    return err;
}

int sfs_care_emptied(struct sfs_care *care, uint16_t index)
{
    struct sfs_store *s = care->s;
    sfs_store_lock(s);
    const struct sfs_member *m = sfs_member_of(s->pool, index);
    bool leaves = m && sfs_care_drains(m), shrinks = m && sfs_member_shrinks(m);
    if (m)
        sfs_care_begin(care, sfs_care_task_of(m));
    sfs_store_unlock(s);
    return leaves ? drop(care, index) : shrinks ? sfs_care_shrunk(care, index) : SCALEFS_E_CHANGED; /* no data is left on it */
}
