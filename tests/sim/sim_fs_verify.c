/* After each life, in a life of its own: the pool is opened for reading only and compared with the model. See sim_fs.h
 * and docs/TESTING.md.
 *
 * For each client a number of operations is looked for such that its directory is the model after so many of them and
 * all its files hold what they then may hold. If there are several, the largest is taken that agrees with the other clients':
 * an operation that began after another one was over is not there without it.
 */
#include "sim/sim_fs.h"

#include <stdlib.h>
#include <string.h>

/* --- what is there -------------------------------------------------------------------------------------------------------- */

struct found_node {
    struct scalefs_attr attr;
    uint8_t *bytes; /* of a file; of a symbolic link: where it leads */
    size_t len;
    uint8_t *xattr[XATTRS];
    size_t xattr_len[XATTRS];
    bool has_xattr[XATTRS];
};
struct found_entry {
    uint64_t dir, ino;
    int name;
};
enum { FOUND_NODES = 2 * NODES, FOUND_ENTRIES = 4 * DIRS * NAMES };
struct found {
    struct found_node nodes[FOUND_NODES];
    unsigned node_count;
    struct found_entry entries[FOUND_ENTRIES];
    unsigned entry_count;
    uint64_t dir; /* being read */
    const char *trouble;
};

static struct found_node *found_of(struct found *f, uint64_t ino)
{
    for (unsigned i = 0; i < f->node_count; i++)
        if (f->nodes[i].attr.ino == ino)
            return &f->nodes[i];
    return NULL;
}

static bool take_entry(void *context, const struct scalefs_dirent *entry)
{
    struct found *f = context;
    int name = name_number(entry->name, entry->name_len);
    if (name < 0)
        f->trouble = "a name that nobody gave";
    else if (f->entry_count == FOUND_ENTRIES)
        f->trouble = "more names than there can be";
    else
        f->entries[f->entry_count++] = (struct found_entry){f->dir, entry->ino, name};
    return !f->trouble;
}

static void take_values(struct model *m, struct found_node *n, const struct client *c)
{
    uint32_t type = n->attr.mode & SCALEFS_S_IFMT;
    uint64_t ino = n->attr.ino;
    if (type == SCALEFS_S_IFREG) {
        if (n->attr.size > 4 * m->file_max + (1u << 20))
            wrong(m, "client %u: inode %llu has %llu bytes", c->number, N(ino), N(n->attr.size));
        n->bytes = scratch(m, n->attr.size);
        int err = sfs_fs_read(m->fs, ino, 0, n->bytes, n->attr.size, &n->len);
        if (err || n->len != n->attr.size)
            wrong(m, "client %u: reading inode %llu, %llu bytes: %zu, %s", c->number, N(ino), N(n->attr.size), n->len,
                  scalefs_error_text(err));
    } else if (type == SCALEFS_S_IFLNK) {
        n->bytes = scratch(m, 4096);
        MUST(m, sfs_fs_readlink(m->fs, ino, (char *)n->bytes, 4096, &n->len));
    }
    for (int i = 0; i < XATTRS && (type == SCALEFS_S_IFREG || type == SCALEFS_S_IFDIR); i++) {
        n->xattr[i] = scratch(m, 65536);
        int err = sfs_fs_getxattr(m->fs, ino, xattr_name(i), n->xattr[i], 65536, &n->xattr_len[i]);
        n->has_xattr[i] = err == SCALEFS_OK;
        if (err && err != SCALEFS_E_NODATA)
            wrong(m, "client %u: inode %llu, extended attribute %d: %s", c->number, N(ino), i, scalefs_error_text(err));
    }
}

static void add_node(struct model *m, struct found *f, const struct client *c, uint64_t ino)
{
    if (found_of(f, ino))
        return;
    if (f->node_count == FOUND_NODES)
        wrong(m, "client %u: its directory holds more than it can", c->number);
    struct found_node *n = &f->nodes[f->node_count++];
    MUST(m, sfs_fs_getattr(m->fs, ino, &n->attr));
    if (n->attr.ino != ino)
        wrong(m, "client %u: inode %llu calls itself %llu", c->number, N(ino), N(n->attr.ino));
    take_values(m, n, c);
}

/* Everything below the client's directory. */
static struct found *take(struct model *m, const struct client *c)
{
    struct found *f = calloc(1, sizeof *f);
    if (!f)
        abort();
    add_node(m, f, c, c->base.node[0].ino);
    for (unsigned i = 0; i < f->node_count; i++) {
        if ((f->nodes[i].attr.mode & SCALEFS_S_IFMT) != SCALEFS_S_IFDIR)
            continue;
        unsigned first = f->entry_count;
        f->dir = f->nodes[i].attr.ino;
        MUST(m, sfs_fs_readdir(m->fs, f->dir, 0, false, take_entry, f));
        if (f->trouble)
            wrong(m, "client %u: directory %llu: %s", c->number, N(f->dir), f->trouble);
        for (unsigned e = first; e < f->entry_count; e++)
            add_node(m, f, c, f->entries[e].ino);
    }
    return f;
}

static void found_free(struct model *m, struct found *f)
{
    for (unsigned i = 0; i < f->node_count; i++) {
        scratch_free(m, f->nodes[i].bytes);
        for (int x = 0; x < XATTRS; x++)
            scratch_free(m, f->nodes[i].xattr[x]);
    }
    free(f);
}

/* --- is it this state? ------------------------------------------------------------------------------------------------- */

struct matching {
    const struct client *c;
    struct found *f;
    struct tree t;
    uint64_t ino[NODES]; /* which inode each node is */
    unsigned entries;
    char why[256];
};

static bool differs(struct matching *x, const char *what, int node)
{
    snprintf(x->why, sizeof x->why, "node %d: %s", node, what);
    return false;
}

static bool same_value(const struct value *v, const uint8_t *found, size_t len)
{
    uint8_t *want = malloc(v->len + 1);
    if (!want)
        abort();
    value_fill(v, want);
    bool same = v->len == len && !memcmp(want, found, len);
    free(want);
    return same;
}

static bool same_node(struct matching *x, int number, uint64_t ino)
{
    const struct node *n = &x->t.node[number];
    const struct found_node *found = found_of(x->f, ino);
    const struct scalefs_attr *a = &found->attr;
    if (x->ino[number])
        return x->ino[number] == ino || differs(x, "two of its names lead to different inodes", number);
    if (n->ino && n->ino != ino)
        return differs(x, "another inode", number);
    if (a->mode != n->mode || a->uid != n->uid || a->gid != n->gid)
        return differs(x, "other type, permissions or owner", number);
    if (a->links != n->links)
        return differs(x, "another number of links", number);
    if (n->atime && a->atime.s != n->atime)
        return differs(x, "another time", number);
    if (n->target.stamp && !same_value(&n->target, found->bytes, found->len))
        return differs(x, "leads elsewhere", number);
    for (int i = 0; i < XATTRS && (is_dir(n) || is_file(n)); i++)
        if (found->has_xattr[i] != (n->xattr[i].stamp != 0) ||
            (n->xattr[i].stamp && !same_value(&n->xattr[i], found->xattr[i], found->xattr_len[i])))
            return differs(x, "another extended attribute", number);
    x->ino[number] = ino;
    return true;
}

static const struct found_entry *entry_of(const struct found *f, uint64_t dir, int name)
{
    for (unsigned i = 0; i < f->entry_count; i++)
        if (f->entries[i].dir == dir && f->entries[i].name == name)
            return &f->entries[i];
    return NULL;
}

static bool same_dir(struct matching *x, int dir)
{
    for (int i = 0; i < NAMES; i++) {
        const struct found_entry *e = entry_of(x->f, x->ino[dir], i);
        int node = x->t.entry[dir][i];
        if (!e && node < 0)
            continue;
        if (!e || node < 0) {
            snprintf(x->why, sizeof x->why, "directory %d, name %d is %s", dir, i, e ? "there" : "not there");
            return false;
        }
        x->entries++;
        if (!same_node(x, node, e->ino) || (node < DIRS && !same_dir(x, node)))
            return false;
    }
    return true;
}

static bool same_names(struct matching *x)
{
    memset(x->ino, 0, sizeof x->ino);
    x->entries = 0;
    if (!same_node(x, 0, x->t.node[0].ino) || !same_dir(x, 0))
        return false;
    if (x->entries == x->f->entry_count)
        return true;
    snprintf(x->why, sizeof x->why, "%u names, not %u", x->f->entry_count, x->entries);
    return false;
}

static bool same_bytes(struct matching *x, uint64_t limit)
{
    for (int n = DIRS; n < NODES; n++) {
        if (!x->ino[n] || !is_file(&x->t.node[n]))
            continue;
        const struct found_node *found = found_of(x->f, x->ino[n]);
        uint64_t at;
        const char *why = file_check(x->c->files[x->t.node[n].file], limit, found->bytes, found->len, &at);
        if (why) {
            snprintf(x->why, sizeof x->why, "node %d (inode %llu), %zu bytes: at %llu %s", n, N(x->ino[n]), found->len, N(at),
                     why);
            return false;
        }
    }
    return true;
}

static uint64_t limit_of(const struct client *c, size_t count)
{
    return count < c->op_count ? c->ops[count].seq : UINT64_MAX;
}

/* The largest number of operations, `most` at most, after which the model could be what is there. */
static bool match(struct matching *x, size_t most, size_t *count)
{
    for (size_t n = most + 1; n-- > 0;) {
        x->t = x->c->base;
        for (size_t i = 0; i < n; i++)
            tree_apply(&x->t, &x->c->ops[i]);
        if (same_names(x) && same_bytes(x, limit_of(x->c, n))) {
            *count = n;
            return true;
        }
    }
    return false;
}

/* Says for each number of operations why not. */
static void explain(struct model *m, struct matching *x, size_t most)
{
    m->verbose = true;
    for (size_t n = 0; n <= most; n++) {
        x->t = x->c->base;
        for (size_t i = 0; i < n; i++)
            tree_apply(&x->t, &x->c->ops[i]);
        if (same_names(x))
            same_bytes(x, limit_of(x->c, n));
        trace(m, "# client %u after %zu operations (up to %llu): %s", x->c->number, n,
              n ? N(x->c->ops[n - 1].seq) : 0ull, x->why);
    }
    wrong(m, "client %u: its directory is none of the states that it can be, after 0 to %zu operations since the last sync",
          x->c->number, most);
}

/* --- all clients together --------------------------------------------------------------------------------------------------- */

/* From now on the model is what was found. */
static void rebase(struct client *c, struct matching *x)
{
    struct file **files = NULL;
    uint32_t count = 0;
    files = calloc(NODES, sizeof *files);
    if (!files)
        abort();
    for (int n = 0; n < NODES; n++) {
        struct node *node = &x->t.node[n];
        if (!x->ino[n]) {
            memset(node, 0, sizeof *node); /* had no name: is gone */
            continue;
        }
        node->ino = x->ino[n];
        node->held = false;
        if (!is_file(node))
            continue;
        const struct found_node *found = found_of(x->f, node->ino);
        struct file *f = c->files[node->file];
        c->files[node->file] = NULL;
        file_rebase(f, found->bytes, found->len);
        node->file = count;
        files[count++] = f;
    }
    for (uint32_t i = 0; i < c->file_count; i++)
        file_free(c->files[i]);
    free(c->files);
    c->files = files;
    c->file_count = count;
    c->file_room = NODES;
    c->now = c->base = x->t;
    c->op_count = 0;
    c->done_seq = c->seq;
}

/* Client c with n operations needs more of d than n_d; *lower: of which client fewer must be taken. */
static bool agree(struct model *m, const size_t *count, unsigned *lower)
{
    for (unsigned i = 0; i < m->clients; i++) {
        const struct client *c = &m->client[i];
        for (unsigned d = 0; d < m->clients && count[i]; d++) {
            if (c->ops[count[i] - 1].seen[d] >= limit_of(&m->client[d], count[d])) {
                *lower = i;
                return false;
            }
        }
    }
    return true;
}

static void verify_clients(struct model *m)
{
    struct matching *x = calloc(m->clients, sizeof *x);
    size_t count[CLIENTS] = {0};
    unsigned lower;
    if (!x)
        abort();
    for (unsigned i = 0; i < m->clients; i++) {
        x[i].c = &m->client[i];
        x[i].f = take(m, x[i].c);
        if (!match(&x[i], x[i].c->op_count, &count[i]))
            explain(m, &x[i], x[i].c->op_count);
    }
    while (!agree(m, count, &lower))
        if (!count[lower] || !match(&x[lower], count[lower] - 1, &count[lower]))
            wrong(m, "client %u has an operation that began after one of another client that is not there", lower);
    for (unsigned i = 0; i < m->clients; i++) {
        trace(m, "# client %u: %zu of %zu operations since the last sync are there", i, count[i], x[i].c->op_count);
        rebase(&m->client[i], &x[i]);
        found_free(m, x[i].f);
    }
    free(x);
}

/* --- checks of the whole ---------------------------------------------------------------------------------------------------- */

static void problem(void *context, const char *text)
{
    struct model *m = context;
    if (m->problem_count < sizeof m->problems / sizeof m->problems[0])
        snprintf(m->problems[m->problem_count++], sizeof m->problems[0], "%s", text);
}

static void print_problems(struct model *m)
{
    for (unsigned i = 0; i < m->problem_count; i++)
        fprintf(stderr, "# problem: %s\n", m->problems[i]);
}

void check_pool(struct model *m)
{
    struct scalefs_check_report report = {0};
    m->problem_count = 0;
    MUST(m, sfs_care_check(m->store, problem, m, &report));
    /* With faults within what the pool survives, all must be repairable; without any, nothing may be wrong. */
    uint64_t allowed = m->mode == MODE_FAULT && !m->calm ? report.repairable : 0;
    if (report.problems <= allowed)
        return;
    print_problems(m);
    wrong(m, "the check finds %llu problems, of which %llu can be repaired", N(report.problems), N(report.repairable));
}

void check_files(struct model *m)
{
    struct scalefs_check_report report = {0};
    m->problem_count = 0;
    MUST(m, sfs_fs_check(m->fs, problem, m, &report));
    if (!report.problems)
        return;
    print_problems(m);
    wrong(m, "the file system is not consistent: %llu problems", N(report.problems));
}

void verify(struct world *w, void *arg)
{
    struct model *m = arg;
    m->w = w;
    pool_open(m, true);
    check_pool(m);
    if (sfs_tree_exists(m->store, SFS_TREE_VOLUME)) {
        fs_open(m, true);
        check_files(m);
        if (m->ready) {
            verify_clients(m);
            shared_verify(m);
            ballast_verify(m);
        }
    } else if (m->ready) {
        wrong(m, "the volume is gone");
    }
    all_close(m);
}
