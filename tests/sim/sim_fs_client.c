/* A client's task: random operations on the names, attributes and links of its own directory, each predicted by the
 * model, and looks at what is there. See sim_fs.h. */
#include "sim/sim_fs.h"

#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

/* --- recording ------------------------------------------------------------------------------------------------------- */

struct op *op_last(struct client *c)
{
    return &c->ops[c->op_count - 1];
}

int op_begin(struct model *m, struct client *c, struct op *op)
{
    int want = tree_expect(&c->now, op);
    if (want)
        return want;
    if (c->op_count == c->op_room) {
        c->op_room = c->op_room ? 2 * c->op_room : 64;
        c->ops = realloc(c->ops, c->op_room * sizeof *c->ops);
        if (!c->ops)
            abort();
    }
    op->seq = ++c->seq;
    for (unsigned i = 0; i < m->clients; i++)
        op->seen[i] = m->client[i].done_seq;
    c->ops[c->op_count++] = *op;
    return SCALEFS_OK;
}

bool op_end(struct model *m, struct client *c, int err)
{
    struct op *op = op_last(c);
    c->done_seq = op->seq;
    if (err == SCALEFS_E_NOSPC) {
        m->counts.full++;
        c->op_count--;
        return false;
    }
    if (err)
        wrong(m, "client %u: operation %llu (kind %d) was to be done, and got: %s", c->number, N(op->seq), (int)op->kind,
              scalefs_error_text(err));
    op->done = true;
    tree_apply(&c->now, op);
    m->counts.operations++;
    return true;
}

/* One that the model says is refused. */
static void refused(struct model *m, struct client *c, const char *what, int want, int err)
{
    if (err != want && err != SCALEFS_E_NOSPC) /* a full pool may say so first */
        wrong(m, "client %u: %s was to be refused with %s, and got %s", c->number, what, scalefs_error_name(want),
              scalefs_error_name(err));
    m->counts.refused++;
}

void note_progress(struct model *m)
{
    struct sfs_store *s = m->store;
    sfs_store_lock(s);
    uint64_t committed = s->pool->committed, reused = s->pool->rows_reused;
    sfs_store_unlock(s);
    m->counts.checkpoints += committed - m->last_committed;
    m->counts.reused += reused - m->last_reused;
    m->last_committed = committed;
    m->last_reused = reused;
}

/* --- choosing ---------------------------------------------------------------------------------------------------------- */

static int any_dir(struct client *c)
{
    int d;
    do {
        d = (int)prng_below(&c->prng, DIRS);
    } while (!c->now.node[d].mode);
    return d;
}

/* A name: mostly one that is there. */
static void any_name(struct client *c, int *dir, int *name)
{
    for (int tries = 0; tries < 20; tries++) {
        *dir = any_dir(c);
        *name = (int)prng_below(&c->prng, NAMES);
        if (c->now.entry[*dir][*name] >= 0)
            break;
    }
}

/* A node that can be reached, or is held; -1: none found. */
static int any_node(struct client *c)
{
    for (int tries = 0; tries < 40; tries++) {
        int n = (int)prng_below(&c->prng, NODES);
        if (c->now.node[n].mode)
            return n;
    }
    return -1;
}

/* --- changes ------------------------------------------------------------------------------------------------------------- */

static void step_make(struct model *m, struct client *c, uint32_t type, bool nameless)
{
    struct prng *p = &c->prng;
    struct op op = {.kind = OP_MAKE, .dir = any_dir(c), .name = nameless ? -1 : (int)prng_below(p, NAMES)};
    struct scalefs_attr attr;
    uint8_t target[4096];
    size_t len = 0;
    const char *name = nameless ? NULL : name_text(op.name, &len);
    op.node = tree_free_node(&c->now, type == SCALEFS_S_IFDIR);
    if (op.node < 0)
        return;
    op.made = (struct node){.mode = type | (uint32_t)prng_below(p, 01000), .uid = (uint32_t)prng_below(p, 3),
                            .gid = (uint32_t)prng_below(p, 3)};
    struct scalefs_owner owner = {op.made.uid, op.made.gid};
    if (type == SCALEFS_S_IFLNK) {
        op.made.mode = type | 0777;
        op.made.target = (struct value){m->next_stamp++, (uint32_t)prng_skewed(p, prng_chance(p, 1, 10) ? 4095 : 200)};
        value_fill(&op.made.target, target);
    }
    if (type == SCALEFS_S_IFREG)
        op.made.file = client_add_file(c);
    uint64_t dir = c->now.node[op.dir].ino;
    int want = op_begin(m, c, &op), err;
    trace(m, "client %u: %llu make %o at %d/%d", c->number, N(op.seq), op.made.mode, op.dir, op.name);
    if (nameless)
        err = sfs_fs_tmpfile(m->fs, dir, op.made.mode & 07777, owner, &attr);
    else if (type == SCALEFS_S_IFLNK)
        err = sfs_fs_symlink(m->fs, dir, name, len, (const char *)target, op.made.target.len, owner, &attr);
    else
        err = sfs_fs_mknod(m->fs, dir, name, len, op.made.mode, 0, 0, owner, &attr);
    if (want) {
        refused(m, c, "making an inode", want, err);
        return;
    }
    if (!err)
        op_last(c)->made.ino = attr.ino;
    op_end(m, c, err);
}

static void step_remove(struct model *m, struct client *c, bool rmdir)
{
    struct op op = {.kind = rmdir ? OP_RMDIR : OP_UNLINK, .node = -1};
    size_t len;
    any_name(c, &op.dir, &op.name);
    const char *name = name_text(op.name, &len);
    uint64_t dir = c->now.node[op.dir].ino;
    int want = op_begin(m, c, &op);
    trace(m, "client %u: %llu %s %d/%d", c->number, N(op.seq), rmdir ? "rmdir" : "unlink", op.dir, op.name);
    int err = rmdir ? sfs_fs_rmdir(m->fs, dir, name, len) : sfs_fs_unlink(m->fs, dir, name, len);
    if (want)
        refused(m, c, rmdir ? "rmdir" : "unlink", want, err);
    else
        op_end(m, c, err);
}

static void step_rename(struct model *m, struct client *c)
{
    struct prng *p = &c->prng;
    struct op op = {.kind = OP_RENAME, .node = -1, .dir2 = any_dir(c), .name2 = (int)prng_below(p, NAMES)};
    size_t len, len2;
    any_name(c, &op.dir, &op.name);
    if (prng_chance(p, 1, 4))
        any_name(c, &op.dir2, &op.name2);
    if (prng_chance(p, 2, 5))
        op.flags = prng_chance(p, 1, 2) ? SCALEFS_RENAME_EXCHANGE : SCALEFS_RENAME_NOREPLACE;
    const char *name = name_text(op.name, &len), *name2 = name_text(op.name2, &len2);
    uint64_t dir = c->now.node[op.dir].ino, dir2 = c->now.node[op.dir2].ino;
    int from = c->now.entry[op.dir][op.name], to = c->now.entry[op.dir2][op.name2];
    int want = op_begin(m, c, &op);
    trace(m, "client %u: %llu rename %d/%d to %d/%d, flags %u", c->number, N(op.seq), op.dir, op.name, op.dir2, op.name2,
          op.flags);
    struct file *f = NULL;
    if (!want && !op.flags && to >= 0 && to != from && is_file(&c->now.node[from])) {
        f = node_file(c, from);
        file_change(f, &(struct change){.seq = op.seq, .kind = CHANGE_SOLID});
    }
    int err = sfs_fs_rename(m->fs, dir, name, len, dir2, name2, len2, op.flags);
    if (want) {
        refused(m, c, "rename", want, err);
        return;
    }
    bool done = op_end(m, c, err);
    if (f && done)
        file_done(f);
    else if (f)
        file_cancel(f);
}

static void step_link(struct model *m, struct client *c)
{
    struct op op = {.kind = OP_LINK, .node = any_node(c), .dir = any_dir(c), .name = (int)prng_below(&c->prng, NAMES)};
    struct scalefs_attr attr;
    size_t len;
    const char *name = name_text(op.name, &len);
    if (op.node <= 0)
        return;
    uint64_t dir = c->now.node[op.dir].ino, ino = c->now.node[op.node].ino;
    int want = op_begin(m, c, &op);
    trace(m, "client %u: %llu link node %d at %d/%d", c->number, N(op.seq), op.node, op.dir, op.name);
    int err = sfs_fs_link(m->fs, ino, dir, name, len, &attr);
    if (want)
        refused(m, c, "link", want, err);
    else
        op_end(m, c, err);
}

static void step_setattr(struct model *m, struct client *c)
{
    struct prng *p = &c->prng;
    struct op op = {.kind = OP_SETATTR, .node = any_node(c), .dir = -1, .name = -1};
    if (op.node < 0 || (c->now.node[op.node].mode & SCALEFS_S_IFMT) == SCALEFS_S_IFLNK)
        return;
    op.flags = 1 + (unsigned)prng_below(p, 7);
    if (prng_chance(p, 1, 2))
        op.flags |= SCALEFS_SET_ATIME;
    op.made = (struct node){.mode = (uint32_t)prng_below(p, 01000), .uid = (uint32_t)prng_below(p, 5),
                            .gid = (uint32_t)prng_below(p, 5), .atime = 1 + (int64_t)prng_below(p, 1u << 30)};
    struct scalefs_attr values = {.mode = op.made.mode, .uid = op.made.uid, .gid = op.made.gid,
                                  .atime = {op.made.atime, 0}};
    op_begin(m, c, &op);
    trace(m, "client %u: %llu setattr node %d, mask %u", c->number, N(op.seq), op.node, op.flags);
    op_end(m, c, sfs_fs_setattr(m->fs, c->now.node[op.node].ino, &values, op.flags, NULL));
}

static void step_xattr(struct model *m, struct client *c)
{
    struct prng *p = &c->prng;
    struct op op = {.kind = OP_XATTR, .node = any_node(c), .dir = -1, .name = -1, .xattr = (int)prng_below(p, XATTRS)};
    if (op.node < 0 || !(is_dir(&c->now.node[op.node]) || is_file(&c->now.node[op.node])))
        return;
    if (prng_chance(p, 3, 4)) {
        op.value = (struct value){m->next_stamp++, (uint32_t)prng_skewed(p, prng_chance(p, 1, 5) ? 20000 : 300)};
        op.flags = (unsigned)prng_below(p, 3);
    }
    uint8_t *value = scratch(m, op.value.len);
    value_fill(&op.value, value);
    uint64_t ino = c->now.node[op.node].ino;
    const char *name = xattr_name(op.xattr);
    int want = op_begin(m, c, &op);
    trace(m, "client %u: %llu xattr %d of node %d: %u bytes", c->number, N(op.seq), op.xattr, op.node, op.value.len);
    int err = op.value.stamp ? sfs_fs_setxattr(m->fs, ino, name, value, op.value.len, op.flags)
                             : sfs_fs_removexattr(m->fs, ino, name);
    scratch_free(m, value);
    if (want)
        refused(m, c, "changing an extended attribute", want, err);
    else
        op_end(m, c, err);
}

static void step_hold(struct model *m, struct client *c)
{
    struct op op = {.node = any_node(c), .dir = -1, .name = -1};
    if (op.node < DIRS)
        return;
    struct node *n = &c->now.node[op.node];
    uint64_t ino = n->ino;
    op.kind = n->held ? OP_RELEASE : OP_HOLD;
    op_begin(m, c, &op);
    trace(m, "client %u: %llu %s node %d", c->number, N(op.seq), n->held ? "release" : "hold", op.node);
    int err = SCALEFS_OK;
    if (n->held)
        sfs_fs_release_hold(m->fs, ino, 1);
    else
        err = sfs_fs_hold(m->fs, ino);
    op_end(m, c, err);
}

static void change_names(struct model *m, struct client *c)
{
    struct prng *p = &c->prng;
    uint64_t r = prng_below(p, 100);
    if (r < 26)
        step_make(m, c, SCALEFS_S_IFREG, false);
    else if (r < 33)
        step_make(m, c, SCALEFS_S_IFDIR, false);
    else if (r < 37)
        step_make(m, c, prng_chance(p, 1, 3) ? SCALEFS_S_IFIFO : SCALEFS_S_IFLNK, false);
    else if (r < 39)
        step_make(m, c, SCALEFS_S_IFREG, true);
    else if (r < 54)
        step_remove(m, c, false);
    else if (r < 58)
        step_remove(m, c, true);
    else if (r < 74)
        step_rename(m, c);
    else if (r < 81)
        step_link(m, c);
    else if (r < 87)
        step_setattr(m, c);
    else if (r < 94)
        step_xattr(m, c);
    else
        step_hold(m, c);
}

/* --- looks ----------------------------------------------------------------------------------------------------------------- */

struct seen_names {
    int8_t times[NAMES];
    uint64_t ino[NAMES];
    bool foreign;
};

static bool see(void *context, const struct scalefs_dirent *entry)
{
    struct seen_names *s = context;
    int i = name_number(entry->name, entry->name_len);
    if (i < 0) {
        s->foreign = true;
    } else {
        s->times[i]++;
        s->ino[i] = entry->ino;
    }
    return true;
}

static void look_at_dir(struct model *m, struct client *c)
{
    int dir = any_dir(c);
    struct seen_names s;
    int err;
    do {
        s = (struct seen_names){.foreign = false};
        err = sfs_fs_readdir(m->fs, c->now.node[dir].ino, 0, prng_chance(&c->prng, 1, 2), see, &s);
    } while (storm_again(m, err));
    MUST(m, err);
    for (int i = 0; i < NAMES; i++) {
        int node = c->now.entry[dir][i];
        if (s.times[i] != (node >= 0) || (node >= 0 && s.ino[i] != c->now.node[node].ino))
            wrong(m, "client %u: directory %d, name %d: the model has %d, reading shows it %d times", c->number, dir, i, node,
                  s.times[i]);
    }
    if (s.foreign)
        wrong(m, "client %u: directory %d has a name that nobody gave", c->number, dir);
}

static void look_up(struct model *m, struct client *c)
{
    int dir, name;
    size_t len;
    struct scalefs_attr attr;
    any_name(c, &dir, &name);
    int node = c->now.entry[dir][name];
    int err = sfs_fs_lookup(m->fs, c->now.node[dir].ino, name_text(name, &len), strlen(name_text(name, &len)), &attr);
    if (err != (node < 0 ? SCALEFS_E_NOENT : SCALEFS_OK) || (!err && attr.ino != c->now.node[node].ino))
        wrong(m, "client %u: looking up %d/%d, which is %d: %s", c->number, dir, name, node, scalefs_error_name(err));
}

static void look_at_node(struct model *m, struct client *c)
{
    int node = any_node(c);
    struct scalefs_attr a;
    if (node < 0)
        return;
    const struct node *n = &c->now.node[node];
    MUST(m, sfs_fs_getattr(m->fs, n->ino, &a));
    if (a.mode != n->mode || a.links != n->links || a.uid != n->uid || a.gid != n->gid || a.ino != n->ino ||
        (n->atime && a.atime.s != n->atime))
        wrong(m, "client %u: node %d has mode %o links %u owner %u:%u, not %o %u %u:%u", c->number, node, a.mode, a.links,
              a.uid, a.gid, n->mode, n->links, n->uid, n->gid);
    if (is_file(n) && a.size != node_file(c, node)->now.size)
        wrong(m, "client %u: node %d has %llu bytes, not %llu", c->number, node, N(a.size), N(node_file(c, node)->now.size));
}

static void look_at_values(struct model *m, struct client *c)
{
    static const size_t room = 65536;
    int node = any_node(c);
    size_t len = 0;
    if (node < 0)
        return;
    const struct node n = c->now.node[node];
    uint8_t *found = scratch(m, room), *want = scratch(m, room);
    if (n.target.stamp) {
        MUST(m, sfs_fs_readlink(m->fs, n.ino, (char *)found, room, &len));
        value_fill(&n.target, want);
        if (len != n.target.len || memcmp(found, want, len))
            wrong(m, "client %u: node %d leads elsewhere", c->number, node);
    }
    for (int i = 0; i < XATTRS && (is_dir(&n) || is_file(&n)); i++) {
        int err = sfs_fs_getxattr(m->fs, n.ino, xattr_name(i), found, room, &len);
        if (err != (n.xattr[i].stamp ? SCALEFS_OK : SCALEFS_E_NODATA))
            wrong(m, "client %u: node %d, extended attribute %d: %s", c->number, node, i, scalefs_error_name(err));
        value_fill(&n.xattr[i], want);
        if (!err && (len != n.xattr[i].len || memcmp(found, want, len)))
            wrong(m, "client %u: node %d, extended attribute %d has another value", c->number, node, i);
    }
    scratch_free(m, found);
    scratch_free(m, want);
}

static void look(struct model *m, struct client *c)
{
    switch (prng_below(&c->prng, 6)) {
    case 0:
        look_at_dir(m, c);
        break;
    case 1:
        look_up(m, c);
        break;
    case 2:
        look_at_node(m, c);
        break;
    case 3:
        look_at_values(m, c);
        break;
    default:
        for (int i = 0; i < 10; i++) {
            int n = any_node(c);
            if (n >= 0 && is_file(&c->now.node[n])) {
                io_read_check(m, c, n);
                break;
            }
        }
    }
}

/* --- the task ------------------------------------------------------------------------------------------------------------- */

void client_run(void *arg)
{
    struct client_task *t = arg;
    struct model *m = t->m;
    struct client *c = t->c;
    struct prng *p = &c->prng;
    for (unsigned i = 0; i < m->ops_each || m->touring; i++) {
        uint64_t r = prng_below(p, 100), began = sim_env_now(m->w->sim);
        if (r < 34)
            change_names(m, c);
        else if (r < 72)
            io_step(m, c);
        else if (r < 80)
            shared_step(m, c);
        else
            look(m, c);
        tour_waited(m, began, "an operation");
        began = sim_env_now(m->w->sim);
        if (m->ballast_count && prng_chance(p, 1, 3))
            ballast_step(m, c);
        tour_waited(m, began, "many small ones");
        began = sim_env_now(m->w->sim);
        if (prng_chance(p, 1, m->sync_every))
            io_sync(m, c);
        tour_waited(m, began, "a sync");
        if (prng_chance(p, 1, 30))
            sfs_task_sleep(m->w->env, prng_below(p, 800000000));
        note_progress(m);
        if (m->changes)
            verb_rest(m);
    }
    m->running--;
}
