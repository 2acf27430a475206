/* Checkpoints: everything that changed in memory becomes one new state on the disks.
 *
 * Under the lock, memory only: every dirty node of an ordinary tree gets a new place, its map entry and the row
 * counters follow; then the dirty nodes of the extent map and the space tree bottom-up (their rows are counted in the
 * table, so writing them changes no tree); then the table and the record are encoded. All pages are copied. Without the lock:
 * nodes, table and record are written, with the flushes in between (sfs_commit_write). Transactions go on meanwhile; they
 * belong to the next checkpoint. What could not be written becomes dirty again.
 */
#include "store/internal.h"

struct writing {
    struct sfs_put *puts;
    struct sfs_node **nodes; /* pinned until the commit is known */
    size_t count, put_cap, node_cap;
    uint64_t applied;
    uint32_t *fresh; /* s->fresh at the moment of encoding */
    size_t fresh_count;
    bool headers_written;
    bool put; /* all the nodes were written */
    bool sent; /* a record may stand on some disk that names these places */
};

static uint64_t row_key(uint32_t group, uint32_t row)
{
    return (uint64_t)group << 32 | row;
}

bool sfs_node_unwritten(const struct sfs_store *s, uint32_t group, uint32_t row)
{
    return sfs_map_get(&s->unwritten, row_key(group, row)) != NULL;
}

/* Gives the node a new place, seals it, copies it. The lock is held. */
static int write_node(struct sfs_store *s, struct writing *w, struct sfs_node *n, enum sfs_class class, uint64_t *checksum)
{
    int err = sfs_vec_reserve(s->env, &w->puts, &w->put_cap, w->count + 1, sizeof *w->puts);
    if (!err)
        err = sfs_vec_reserve(s->env, &w->nodes, &w->node_cap, w->count + 1, sizeof *w->nodes);
    if (!err)
        err = sfs_map_reserve(&s->unwritten, 1);
    if (err)
        return err;
    uint8_t *copy = sfs_alloc_io(s->env, SFS_NODE_BYTES);
    if (!copy)
        return SCALEFS_E_NOMEM;
    struct sfs_place place = n->place;
    struct sfs_group *g = n->unsent ? sfs_group_of(s->pool, place.group) : NULL;
    bool again = g && !g->record.sequential && sfs_space_node_usable(s, g) &&
                 !sfs_row_pinned(s, place.group, sfs_group_row_of(&g->record, place.offset));
    err = again ? SCALEFS_OK : sfs_space_take_node(s, class, &place);
    if (err) {
        sfs_free(s->env, copy);
        return err;
    }
    struct sfs_node_header h = {.level = sfs_page_level(n->page), .id = n->id, .birth = s->pool->txn, .tree = n->tree,
                                .group = place.group, .offset = place.offset};
    *checksum = sfs_node_seal(n->page, &h);
    memcpy(copy, n->page, SFS_NODE_BYTES);
    if (!again && n->place.group != SFS_NONE32)
        sfs_space_live(s, n->place, -(int64_t)SFS_NODE_BYTES);
    if (!again)
        sfs_space_live(s, place, SFS_NODE_BYTES);
    else if (class == SFS_CLASS_SYSTEM) /* what was sent there before is not what is meant (sfs_care_best_node) */
        g->rows[sfs_group_row_of(&g->record, place.offset)].txn = s->pool->txn;
    err = sfs_map_put(&s->unwritten, row_key(place.group, (uint32_t)(place.offset / SFS_NODE_BYTES)), n);
    SFS_ASSERT(err == SCALEFS_OK);
    n->unsent = false;
    n->place = place;
    n->birth = h.birth;
    w->puts[w->count] = (struct sfs_put){.place = place, .buf = copy, .len = SFS_NODE_BYTES, .result = SCALEFS_E_CHANGED};
    w->nodes[w->count++] = n;
    sfs_cache_pin(n);
    sfs_cache_clean(s, n);
    return SCALEFS_OK;
}

static int write_ordinary(struct sfs_store *s, struct writing *w, struct sfs_node *n)
{
    uint64_t sum;
    int err = write_node(s, w, n, SFS_CLASS_METADATA, &sum);
    if (err)
        return err;
    struct sfs_extent e = {.birth = n->birth, .place = n->place, .stored = SFS_NODE_BYTES, .raw = SFS_NODE_BYTES, .kind = 1,
                           .sum_count = 1, .refs = 1, .ref_bytes = SFS_NODE_BYTES};
    e.sums[0] = sum;
    sfs_extents_put(s, n->id, &e);
    return SCALEFS_OK;
}

static int write_system(struct sfs_store *s, struct writing *w, struct sfs_node *n, struct sfs_nodeptr *out)
{
    unsigned count = sfs_page_level(n->page) ? sfs_page_count(n->page) : 0;
    for (unsigned i = 0; i < count; i++) {
        uint32_t len;
        uint8_t *v = sfs_page_value_mut(n->page, i, &len);
        struct sfs_nodeptr p;
        if (sfs_nodeptr_decode(v, len, &p))
            return SCALEFS_E_CORRUPT;
        struct sfs_node *child = sfs_map_get(&s->nodes, p.id);
        if (!child || !child->dirty)
            continue;
        int err = write_system(s, w, child, &p);
        if (err)
            return err;
        sfs_nodeptr_encode(&p, v);
    }
    uint64_t checksum;
    int err = write_node(s, w, n, SFS_CLASS_SYSTEM, &checksum);
    if (err) /* *out may be the root's pointer: it stays what it was */
        return err;
    out->checksum = checksum;
    out->group = n->place.group;
    out->offset = n->place.offset;
    out->level = sfs_page_level(n->page);
    out->id = n->id;
    return SCALEFS_OK;
}

static int write_root(struct sfs_store *s, struct writing *w, struct sfs_nodeptr *root)
{
    struct sfs_node *n = root->group == SFS_NONE32 ? NULL : sfs_map_get(&s->nodes, root->id);
    return n && n->dirty ? write_system(s, w, n, root) : SCALEFS_OK;
}

static bool is_system(uint32_t tree)
{
    return tree == SFS_TREE_EXTENT_MAP || tree == SFS_TREE_SPACE;
}

void sfs_checkpoint_needs(struct sfs_store *s, size_t more_ordinary, size_t more_system, size_t *ordinary, size_t *system)
{
    *ordinary = more_ordinary;
    *system = more_system;
    for (struct sfs_node *n = s->dirty.head.next; n != &s->dirty.head; n = n->next)
        *(is_system(n->tree) ? system : ordinary) += 1;
    /* Each ordinary node touches at most a leaf of the map and two of the space tree; the inner nodes above them are few. */
    size_t more = (*ordinary + s->dead_count) * 3 + 32, cached = more_system, cursor = 0;
    uint64_t id;
    void *value;
    while (sfs_map_next(&s->nodes, &cursor, &id, &value))
        cached += is_system(((struct sfs_node *)value)->tree);
    if (*system + more > cached + cached / 8 + 16 + *ordinary / 16)
        more = cached - *system + cached / 8 + 16 + *ordinary / 16;
    *system += more;
}

/* Are all the nodes there that the checkpoint will change, and the rows that it will fill? What was found to be so in this
 * round is not looked at again: the caller begins a new round after one in which something was read. */
static int ready(struct sfs_store *s, struct sfs_need *need)
{
    size_t ordinary, system;
    for (struct sfs_node *n = s->dirty.head.next; n != &s->dirty.head; n = n->next) {
        if (is_system(n->tree) || n->mark == s->round)
            continue;
        int err = sfs_btree_ready(s, need, SFS_TREE_EXTENT_MAP, (struct sfs_key){n->id, 0, 0});
        if (!err && n->place.group != SFS_NONE32)
            err = sfs_space_ready(s, need, n->place);
        if (err)
            return err;
        n->mark = s->round;
    }
    for (size_t i = 0; i < s->dead_count; i++) {
        struct sfs_dead_node *d = &s->dead[i];
        if (d->mark == s->round)
            continue;
        int err = sfs_space_ready(s, need, d->place);
        if (!err && !is_system(d->tree))
            err = sfs_btree_ready(s, need, SFS_TREE_EXTENT_MAP, (struct sfs_key){d->id, 0, 0});
        if (err)
            return err;
        d->mark = s->round;
    }
    sfs_checkpoint_needs(s, 0, 0, &ordinary, &system);
    return sfs_space_prepare_nodes(s, need, ordinary, system);
}

static void bury_dead(struct sfs_store *s)
{
    /* Changing the map may bury nodes of the map itself: the list grows while it is worked off. */
    for (size_t i = 0; i < s->dead_count; i++) {
        struct sfs_dead_node d = s->dead[i];
        sfs_space_live(s, d.place, -(int64_t)SFS_NODE_BYTES);
        if (!is_system(d.tree))
            sfs_extents_delete(s, d.id);
    }
    s->dead_count = 0;
}

/* Everything under one hold of the lock; cannot fail but for memory or a full pool, before anything was changed on disk. */
static int encode(struct sfs_store *s, struct writing *w, bool clean, bool exported, struct sfs_commit_job **job)
{
    size_t count = 0;
    struct sfs_node **todo = sfs_alloc(s->env, (s->dirty.count + 1) * sizeof *todo);
    if (!todo)
        return SCALEFS_E_NOMEM;
    for (struct sfs_node *n = s->dirty.head.next; n != &s->dirty.head; n = n->next)
        if (!is_system(n->tree))
            todo[count++] = n;
    int err = SCALEFS_OK;
    for (size_t i = 0; i < count && !err; i++)
        err = write_ordinary(s, w, todo[i]);
    sfs_free(s->env, todo);
    bury_dead(s);
    if (!err)
        err = write_root(s, w, &s->roots.space);
    if (!err)
        err = write_root(s, w, &s->roots.extent_map);
    s->epoch++;
    if (!err)
        err = sfs_commit_prepare(s->pool, &s->roots, clean, exported, job);
    w->applied = s->applied;
    w->fresh = s->fresh.groups; /* stays in place: nobody else adds while a checkpoint runs */
    w->fresh_count = s->fresh.count;
    return err;
}

static int write_out(struct sfs_store *s, struct writing *w, struct sfs_commit_job *job)
{
    int err = SCALEFS_OK;
    for (size_t i = 0; i < w->fresh_count && !err; i++)
        err = sfs_group_write_headers(s->pool, w->fresh[i]);
    w->headers_written = !err;
    if (!err && w->count > 0)
        err = sfs_put_many(s->pool, w->puts, w->count);
    w->put = !err;
    /* The job is always handed over, so that it is freed; a record that refers to nodes which are not there must not
     * be written, so on an error it is given up. */
    if (err) {
        sfs_commit_discard(s->pool, job);
        return err;
    }
    return sfs_commit_write(s->pool, job);
}

static void finish(struct sfs_store *s, struct writing *w, int err)
{
    /* Only checkpoints add to s->fresh, one at a time: what was written is its beginning. */
    for (size_t i = 0; i < w->fresh_count && w->headers_written; i++)
        sfs_group_row_done(s->pool, sfs_group_of(s->pool, w->fresh[i]));
    if (w->headers_written)
        s->fresh.count = 0;
    if (w->put) /* all that was dirty: what earlier ones left unwritten, too, has a place now that is written, or died */
        sfs_map_clear(&s->unwritten);
    s->sending = false;
    sfs_cond_broadcast(&s->checkpoint_done);
    for (size_t i = 0; i < w->count; i++) {
        struct sfs_node *n = w->nodes[i];
        struct sfs_group *g = w->puts[i].result ? sfs_group_of(s->pool, w->puts[i].place.group) : NULL;
        if (g && w->puts[i].result == SCALEFS_E_CHANGED)
            sfs_group_take_back(s->pool, g, sfs_group_row_of(&g->record, w->puts[i].place.offset));
        else if (g) /* a hole, where rows are written in order */
            sfs_group_close(s->pool, g);
        sfs_free(s->env, (void *)w->puts[i].buf);
        if (err && (err != SCALEFS_E_CHANGED || !w->put) && n->id) {
            n->unsent = !w->sent;
            sfs_cache_dirty(s, n);
        }
        sfs_cache_unpin(s, n);
    }
    sfs_free(s->env, w->puts);
    sfs_free(s->env, w->nodes);
    *w = (struct writing){.applied = w->applied};
}

/* One attempt. locked on entry and return. */
static int attempt(struct sfs_store *s, bool clean, bool exported)
{
    if (s->pool->suspended)
        return SCALEFS_E_SUSPENDED;
    struct writing w = {0};
    uint64_t seq = s->pool->seq;
    s->broken_nodes_ok = false;
    struct sfs_need need;
    sfs_need_init(&need);
    struct sfs_commit_job *job = NULL;
    sfs_space_close_broken(s);
    sfs_space_free_empty(s);
    sfs_empty_for_nodes(s);
    int err;
    bool read;
    do {
        while (s->heading)
            sfs_cond_wait(&s->room_made, s->lock);
        s->round++;
        read = false;
        while ((err = ready(s, &need)) == SCALEFS_E_NEED_NODE) {
            read = true;
            if ((err = sfs_need_load(s, &need)) != SCALEFS_OK)
                break;
        }
    } while (!err && read);
    /* New nodes are new in the map; what left its tree leaves it. */
    if (!err)
        err = sfs_cache_spare(s, (s->dirty.count + s->dead_count) / 16 + 16);
    if (!err)
        err = sfs_dead_reserve(s, s->dead_count);
    if (!err)
        err = encode(s, &w, clean, exported, &job);
    sfs_need_done(s, &need);
    if (!err) {
        s->sending = true;
        sfs_store_unlock(s);
        err = write_out(s, &w, job);
        sfs_store_lock(s);
    }
    w.sent = s->pool->seq != seq;
    finish(s, &w, err);
    if (err == SCALEFS_E_NOSPC && s->pool->suspended) /* there is room on the disks that went meanwhile */
        err = SCALEFS_E_SUSPENDED;
    if (!err) {
        s->durable = w.applied;
        sfs_groups_reclaim(s->pool);
        sfs_space_count(s);
        /* Data that waits in memory (reserved) has waited since before: an fsync of one file is no reason to
         * let the others wait longer. */
        if (s->applied == w.applied && !s->reserved)
            s->dirty_since_ns = 0;
        else
            sfs_checkpoint_due(s);
    }
    return err;
}

/* CHANGED: a disk went while the record was written. The next record says so; nothing is acknowledged before. */
static int attempts(struct sfs_store *s, bool clean, bool exported)
{
    int err = SCALEFS_E_CHANGED;
    for (unsigned tries = 0; tries <= SFS_DISKS_MAX && err == SCALEFS_E_CHANGED; tries++)
        err = attempt(s, clean, exported);
    return err;
}

/* Disks that go take all open groups of nodes with them: the next commit must find room for new ones without them, and no zone that
 * was freed is of use before that commit. */
static bool needs_room(struct sfs_store *s)
{
    if (!sfs_pool_zone_bytes(s->pool))
        return false;
    unsigned absent = sfs_members_absent(s->pool), may_go = s->pool->config.failover > absent ? s->pool->config.failover - absent : 0;
    uint32_t now = sfs_groups_for_nodes(s->pool, false, may_go);
    return now < SFS_SPARE_NODE_GROUPS / 2 && now < sfs_groups_for_nodes(s->pool, true, may_go);
}

int sfs_checkpoint(struct sfs_store *s, bool clean, bool exported, bool force)
{
    if (s->pool->read_only)
        return SCALEFS_OK;
    sfs_store_lock(s);
    uint64_t want = s->applied;
    while (s->checkpointing)
        sfs_cond_wait(&s->checkpoint_done, s->lock);
    int err = SCALEFS_OK;
    if (force || s->durable < want) {
        s->checkpointing = true;
        err = attempts(s, clean, exported);
        /* The next one must find room, too; what was emptied on zoned disks becomes usable some commits later. */
        for (unsigned i = 0; i <= SFS_REUSE_AFTER && !err && needs_room(s); i++)
            err = attempts(s, clean, exported);
        s->checkpointing = false;
        s->last_checkpoint_error = err;
        sfs_cond_broadcast(&s->checkpoint_done);
    }
    sfs_store_unlock(s);
    if (err)
        sfs_log(s->env, SFS_LOG_ERROR, "store", err, "a checkpoint failed: %s", scalefs_error_text(err));
    return err;
}

int sfs_ripen(struct sfs_store *s)
{
    int err = SCALEFS_OK;
    for (unsigned i = 0; i < SFS_REUSE_AFTER + 1 && !err; i++)
        err = sfs_checkpoint(s, false, false, true);
    return err;
}

int sfs_store_sync(struct sfs_store *s)
{
    return sfs_checkpoint(s, false, false, false);
}

int sfs_store_commit(struct sfs_store *s)
{
    return sfs_checkpoint(s, false, false, true);
}

/* --- the background checkpoint --- */

/* The task is not woken while it sleeps until some earlier change would have been due: that is early enough for this one, and a
 * program that syncs after every write would wake it each time for nothing. */
void sfs_checkpoint_due(struct sfs_store *s)
{
    if (s->dirty_since_ns)
        return;
    s->dirty_since_ns = sfs_now_ns(s->env);
    if (s->resting)
        sfs_cond_broadcast(&s->wake);
}

static void background(void *context)
{
    struct sfs_store *s = context;
    uint64_t wait_ns = (uint64_t)(s->options.commit_seconds ? s->options.commit_seconds : 5) * 1000000000u;
    sfs_store_lock(s);
    while (!s->stopping) {
        if (!s->dirty_since_ns) {
            s->resting = true;
            sfs_cond_wait(&s->wake, s->lock);
            s->resting = false;
            continue;
        }
        uint64_t due = s->dirty_since_ns + wait_ns;
        if (sfs_now_ns(s->env) < due) {
            sfs_cond_wait_until(&s->wake, s->lock, due);
            continue;
        }
        s->dirty_since_ns = 0;
        int (*flush)(void *) = s->flush;
        void *flush_context = s->flush_context;
        s->flushing = true;
        sfs_store_unlock(s);
        int err = flush ? flush(flush_context) : SCALEFS_OK;
        sfs_store_lock(s);
        s->flushing = false;
        sfs_cond_broadcast(&s->wake);
        sfs_store_unlock(s);
        int err2 = sfs_store_sync(s);
        sfs_store_lock(s);
        if (err || err2)
            sfs_checkpoint_due(s); /* try again after the same time */
    }
    sfs_store_unlock(s);
}

int sfs_background_start(struct sfs_store *s)
{
    return sfs_task_start(s->env, "checkpoint", background, s, &s->background);
}

void sfs_background_stop(struct sfs_store *s)
{
    sfs_store_lock(s);
    s->stopping = true;
    sfs_cond_broadcast(&s->wake);
    sfs_store_unlock(s);
    if (s->background)
        sfs_task_join(s->env, s->background);
    s->background = NULL;
}

void sfs_store_set_flusher(struct sfs_store *s, int (*flush)(void *context), void *context)
{
    sfs_store_lock(s);
    while (s->flushing) /* whose flusher it was may go away after this */
        sfs_cond_wait(&s->wake, s->lock);
    s->flush = flush;
    s->flush_context = context;
    sfs_store_unlock(s);
}
