/* The model of a client's directory: names, attributes, extended attributes; pure. See sim_fs.h. */
#include "sim/sim_fs.h"

#include <stdio.h>
#include <string.h>

/* One of them as long as names may be. */
static const char *const names[NAMES] = {
    "a", "b.txt", "with space", "\xc3\xa4\xc3\xb6\xc3\xbc", "number 5", "6", ".hidden", "eight",
    "a name of 255 bytes "
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
    "01234567890123456789012345678901234"};

const char *name_text(int name, size_t *len)
{
    *len = strlen(names[name]);
    return names[name];
}

int name_number(const char *name, size_t len)
{
    for (int i = 0; i < NAMES; i++)
        if (strlen(names[i]) == len && !memcmp(names[i], name, len))
            return i;
    return -1;
}

const char *xattr_name(int i)
{
    static const char *const of[XATTRS] = {"user.one", "user.two", "user.a longer name of an attribute"};
    return of[i];
}

void value_fill(const struct value *v, uint8_t *buf)
{
    stamp_fill(v->stamp, 0, buf, v->len);
}

bool is_dir(const struct node *n)
{
    return (n->mode & SCALEFS_S_IFMT) == SCALEFS_S_IFDIR;
}

bool is_file(const struct node *n)
{
    return (n->mode & SCALEFS_S_IFMT) == SCALEFS_S_IFREG;
}

void tree_init(struct tree *t)
{
    memset(t, 0, sizeof *t);
    memset(t->entry, -1, sizeof t->entry);
    t->node[0].mode = SCALEFS_S_IFDIR | 0755;
    t->node[0].links = 2;
}

int tree_free_node(const struct tree *t, bool dir)
{
    for (int i = dir ? 0 : DIRS; i < (dir ? DIRS : NODES); i++)
        if (!t->node[i].mode)
            return i;
    return -1;
}

static int parent_of(const struct tree *t, int dir)
{
    for (int d = 0; d < DIRS; d++)
        for (int i = 0; i < NAMES; i++)
            if (t->entry[d][i] == dir)
                return d;
    return -1;
}

static bool is_below(const struct tree *t, int dir, int node)
{
    for (; dir >= 0; dir = parent_of(t, dir))
        if (dir == node)
            return true;
    return false;
}

static bool is_empty(const struct tree *t, int dir)
{
    for (int i = 0; i < NAMES; i++)
        if (t->entry[dir][i] >= 0)
            return false;
    return true;
}

static int expect_rename(const struct tree *t, const struct op *op)
{
    int from = t->entry[op->dir][op->name], to = t->entry[op->dir2][op->name2];
    bool exchange = op->flags & SCALEFS_RENAME_EXCHANGE;
    if (from < 0)
        return SCALEFS_E_NOENT;
    if (to >= 0 && op->flags & SCALEFS_RENAME_NOREPLACE)
        return SCALEFS_E_EXIST;
    if (to < 0 && exchange)
        return SCALEFS_E_NOENT;
    if (op->dir != op->dir2) {
        if (from < DIRS && is_below(t, op->dir2, from))
            return SCALEFS_E_INVAL;
        if (exchange && to < DIRS && is_below(t, op->dir, to))
            return SCALEFS_E_INVAL;
    }
    if (exchange || to < 0 || to == from)
        return SCALEFS_OK;
    if (from < DIRS && to >= DIRS)
        return SCALEFS_E_NOTDIR;
    if (from >= DIRS && to < DIRS)
        return SCALEFS_E_ISDIR;
    return to < DIRS && !is_empty(t, to) ? SCALEFS_E_NOTEMPTY : SCALEFS_OK;
}

static int expect_xattr(const struct node *n, const struct op *op)
{
    bool there = n->xattr[op->xattr].stamp != 0;
    if (!op->value.stamp)
        return there ? SCALEFS_OK : SCALEFS_E_NODATA;
    if (there && op->flags & SCALEFS_XATTR_CREATE)
        return SCALEFS_E_EXIST;
    return !there && op->flags & SCALEFS_XATTR_REPLACE ? SCALEFS_E_NODATA : SCALEFS_OK;
}

int tree_expect(const struct tree *t, const struct op *op)
{
    const struct node *n = op->node >= 0 ? &t->node[op->node] : NULL;
    int at = op->dir >= 0 && op->name >= 0 ? t->entry[op->dir][op->name] : -1;
    switch (op->kind) {
    case OP_MAKE:
        return at >= 0 ? SCALEFS_E_EXIST : SCALEFS_OK;
    case OP_UNLINK:
        return at < 0 ? SCALEFS_E_NOENT : at < DIRS ? SCALEFS_E_ISDIR : SCALEFS_OK;
    case OP_RMDIR:
        if (at < 0)
            return SCALEFS_E_NOENT;
        return at >= DIRS ? SCALEFS_E_NOTDIR : !is_empty(t, at) ? SCALEFS_E_NOTEMPTY : SCALEFS_OK;
    case OP_RENAME:
        return expect_rename(t, op);
    case OP_LINK:
        if (is_dir(n))
            return SCALEFS_E_PERM;
        if (!n->links && !n->nameless)
            return SCALEFS_E_NOENT;
        return at >= 0 ? SCALEFS_E_EXIST : SCALEFS_OK;
    case OP_XATTR:
        return expect_xattr(n, op);
    default:
        return SCALEFS_OK;
    }
}

static void drop_name(struct tree *t, int node)
{
    struct node *n = &t->node[node];
    if (node >= DIRS)
        n->links--;
    if (node < DIRS || (!n->links && !n->held))
        memset(n, 0, sizeof *n);
}

static void apply_rename(struct tree *t, const struct op *op)
{
    int8_t *from = &t->entry[op->dir][op->name], *to = &t->entry[op->dir2][op->name2];
    int8_t was = *to;
    if (was == *from)
        return;
    *to = *from;
    *from = -1;
    if (op->flags & SCALEFS_RENAME_EXCHANGE)
        *from = was;
    else if (was >= 0)
        drop_name(t, was);
}

static void apply_setattr(struct node *n, const struct op *op)
{
    if (op->flags & SCALEFS_SET_MODE)
        n->mode = (n->mode & SCALEFS_S_IFMT) | op->made.mode;
    if (op->flags & SCALEFS_SET_UID)
        n->uid = op->made.uid;
    if (op->flags & SCALEFS_SET_GID)
        n->gid = op->made.gid;
    if (op->flags & SCALEFS_SET_ATIME)
        n->atime = op->made.atime;
}

void tree_apply(struct tree *t, const struct op *op)
{
    struct node *n = op->node >= 0 ? &t->node[op->node] : NULL;
    int node;
    switch (op->kind) {
    case OP_MAKE:
        *n = op->made;
        if (op->name >= 0) {
            n->links = 1;
            t->entry[op->dir][op->name] = (int8_t)op->node;
        } else {
            n->held = n->nameless = true;
        }
        break;
    case OP_UNLINK:
    case OP_RMDIR:
        node = t->entry[op->dir][op->name];
        t->entry[op->dir][op->name] = -1;
        drop_name(t, node);
        break;
    case OP_RENAME:
        apply_rename(t, op);
        break;
    case OP_LINK:
        t->entry[op->dir][op->name] = (int8_t)op->node;
        n->links++;
        n->nameless = false;
        break;
    case OP_SETATTR:
        apply_setattr(n, op);
        break;
    case OP_XATTR:
        n->xattr[op->xattr] = op->value;
        break;
    case OP_HOLD:
        n->held = true;
        break;
    case OP_RELEASE:
        n->held = false;
        if (!n->links)
            memset(n, 0, sizeof *n);
        break;
    case OP_DATA:
        break;
    }
    for (int d = 0; d < DIRS; d++) {
        uint32_t links = 2;
        for (int i = 0; i < NAMES; i++)
            links += t->entry[d][i] >= 0 && t->entry[d][i] < DIRS;
        if (t->node[d].mode)
            t->node[d].links = links;
    }
}
