/* Is what the volume's keys say consistent? For a volume that nobody changes; changes nothing.
 *
 * One walk over all keys in order; an inode's keys stand together, its names elsewhere: for these a
 * count is kept for each inode (about 40 bytes of memory each).
 */
#include "fs/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CHUNK_KEYS 4096u

struct seen { /* of one inode, until the end */
    uint32_t links, names, mode;
    uint8_t type; /* as an entry gives it */
    bool orphan;
    uint64_t orphan_size;
};
struct walk {
    struct sfs_fs *fs;
    struct sfs_map inodes; /* number -> struct seen */
    void (*problem)(void *context, const char *text);
    void *context;
    struct scalefs_check_report *report;
    int error;
    size_t left;
    struct sfs_key last;
    /* the inode whose keys are being walked */
    uint64_t counted, found; /* inodes: by the volume's own count, and here */
    uint64_t ino;
    bool have;
    struct sfs_inode_value value;
    uint64_t entries, subdirs, bytes, end, target;
};

static void say(struct walk *w, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    w->report->problems++;
    if (w->problem)
        w->problem(w->context, text);
}

static struct seen *seen_of(struct walk *w, uint64_t ino)
{
    struct seen *s = sfs_map_get(&w->inodes, ino);
    if (s)
        return s;
    s = sfs_zalloc(w->fs->env, sizeof *s);
    if (!s || sfs_map_put(&w->inodes, ino, s)) {
        sfs_free(w->fs->env, s);
        w->error = SCALEFS_E_NOMEM;
        return NULL;
    }
    return s;
}

#define N(x) ((unsigned long long)(x))

static void end_inode(struct walk *w)
{
    const struct sfs_inode_value *v = &w->value;
    if (!w->have)
        return;
    w->have = false;
    const struct seen *s = sfs_map_get(&w->inodes, w->ino);
    if (SFS_FS_ISDIR(v->mode)) {
        w->report->directories++;
        if (v->entries != w->entries)
            say(w, "Directory %llu says that it has %llu entries, and has %llu.", N(w->ino),
                N(v->entries), N(w->entries));
        if (v->links && v->links != 2 + w->subdirs)
            say(w, "Directory %llu says that it has %u links, and has %llu.", N(w->ino), v->links,
                N(2 + w->subdirs));
    } else {
        w->report->files++;
    }
    if (SFS_FS_ISREG(v->mode) && v->allocated != w->bytes)
        say(w, "File %llu says that %llu bytes are allocated, and it has %llu.", N(w->ino),
            N(v->allocated), N(w->bytes));
    if (SFS_FS_ISREG(v->mode) && w->end > v->size && !(s && s->orphan))
        say(w, "File %llu has data up to byte %llu, behind its end at %llu.", N(w->ino), N(w->end),
            N(v->size));
    if ((v->mode & SCALEFS_S_IFMT) == SCALEFS_S_IFLNK && w->target != v->size)
        say(w, "Symbolic link %llu has a target of %llu bytes, not %llu.", N(w->ino), N(w->target),
            N(v->size));
}

static void begin_inode(struct walk *w, struct sfs_key key, const uint8_t *value, uint32_t len)
{
    end_inode(w);
    w->ino = key.a;
    w->entries = w->subdirs = w->bytes = w->end = w->target = 0;
    if (sfs_inode_decode(value, len, &w->value) || key.b) {
        say(w, "Inode %llu is damaged.", N(key.a));
        return;
    }
    w->have = true;
    w->found++;
    struct seen *s = seen_of(w, key.a);
    if (s) {
        s->links = w->value.links;
        s->mode = w->value.mode;
    }
}

static void check_entry(struct walk *w, struct sfs_key key, const uint8_t *value, uint32_t len)
{
    struct sfs_dirent_value v;
    if (sfs_dirent_decode(value, len, &v) ||
        sfs_name_cookie(w->fs->salt, v.name, v.name_len) != (key.b & ~0xffffull)) {
        say(w, "An entry of directory %llu is damaged.", N(key.a));
        return;
    }
    if (!w->have || !SFS_FS_ISDIR(w->value.mode))
        say(w, "Inode %llu has entries and is not a directory.", N(key.a));
    w->entries++;
    w->subdirs += v.type == SCALEFS_S_IFDIR >> 12;
    struct seen *s = seen_of(w, v.inode);
    if (!s)
        return;
    s->names++;
    s->type = v.type;
}

static void check_extent(struct walk *w, struct sfs_key key, const uint8_t *value, uint32_t len)
{
    struct sfs_fileext_value v;
    struct sfs_extent extent;
    if (sfs_fileext_decode(value, len, &v)) {
        say(w, "An extent of file %llu is damaged.", N(key.a));
        return;
    }
    if (!w->have || !SFS_FS_ISREG(w->value.mode))
        say(w, "Inode %llu has file data and is not a file.", N(key.a));
    if (key.b < w->end)
        say(w, "File %llu has two extents for byte %llu.", N(key.a), N(key.b));
    w->end = key.b + v.length;
    w->bytes += v.length;
    if (sfs_tree_extent(w->fs->store, v.id, &extent))
        say(w, "File %llu at byte %llu refers to extent %llu, which does not exist.", N(key.a),
            N(key.b), N(v.id));
    else if (v.offset + v.length > extent.raw)
        say(w, "File %llu at byte %llu refers to bytes behind the end of extent %llu.", N(key.a),
            N(key.b), N(v.id));
}

static void check_key(struct walk *w, struct sfs_key key, const uint8_t *value, uint32_t len)
{
    struct sfs_xattr_value xattr;
    if (!key.a) {
        struct seen *s = key.type == SFS_KEY_ORPHAN && len == 8 ? seen_of(w, key.b) : NULL;
        if (s) {
            s->orphan = true;
            s->orphan_size = sfs_get64(value);
        } else if (key.type == SFS_KEY_COUNTS && len >= 8) {
            w->counted = sfs_get64(value);
        } else if (key.type == SFS_KEY_ORPHAN || key.type == SFS_KEY_COUNTS) {
            say(w, "There is a key that belongs to no inode.");
        }
        return;
    }
    if (key.type == SFS_KEY_INODE) {
        begin_inode(w, key, value, len);
        return;
    }
    if (key.a != w->ino) {
        end_inode(w);
        say(w, "There are keys of inode %llu, which does not exist.", N(key.a));
        w->ino = key.a; /* said once */
    }
    switch (key.type) {
    case SFS_KEY_DIRENT:
        check_entry(w, key, value, len);
        break;
    case SFS_KEY_EXTENT:
        check_extent(w, key, value, len);
        break;
    case SFS_KEY_XATTR:
        if (sfs_xattr_decode(value, len, &xattr))
            say(w, "An extended attribute of inode %llu is damaged.", N(key.a));
        break;
    case SFS_KEY_SYMLINK:
        w->target = len;
        break;
    default: /* a newer program's */
        break;
    }
}

/* Keys are copied out of the scan, whose function may not look at other trees. */
struct chunk {
    size_t count, bytes;
    struct {
        struct sfs_key key;
        uint32_t at, len;
    } keys[CHUNK_KEYS];
    uint8_t values[256u << 10];
};

static bool copy_key(void *context, struct sfs_key key, const uint8_t *value, uint32_t len)
{
    struct chunk *c = context;
    if (c->count == CHUNK_KEYS || c->bytes + len > sizeof c->values)
        return false;
    c->keys[c->count].key = key;
    c->keys[c->count].at = (uint32_t)c->bytes;
    c->keys[c->count].len = len;
    memcpy(c->values + c->bytes, value, len);
    c->bytes += len;
    c->count++;
    return true;
}

static bool next_key(struct sfs_key *key)
{
    if (++key->b)
        return true;
    if (++key->type)
        return true;
    return ++key->a != 0;
}

static int walk_keys(struct walk *w, struct chunk *c)
{
    struct sfs_key from = sfs_fs_key(0, 0, 0);
    for (;;) {
        c->count = c->bytes = 0;
        int err = sfs_tree_scan(w->fs->store, w->fs->volume, from,
                                sfs_fs_key(UINT64_MAX, 0xff, UINT64_MAX), copy_key, c);
        if (err && err != SCALEFS_E_NOENT)
            return err;
        if (!c->count)
            break;
        for (size_t i = 0; i < c->count && !w->error; i++)
            check_key(w, c->keys[i].key, c->values + c->keys[i].at, c->keys[i].len);
        if (w->error)
            return w->error;
        from = c->keys[c->count - 1].key;
        if (!next_key(&from))
            break;
    }
    end_inode(w);
    if (w->counted != w->found)
        say(w, "The volume says that it has %llu inodes, and has %llu.", N(w->counted), N(w->found));
    return SCALEFS_OK;
}

static void check_names(struct walk *w, uint64_t ino, const struct seen *s)
{
    uint32_t mode = s->mode;
    if (!mode) {
        if (s->names)
            say(w, "A directory entry leads to inode %llu, which does not exist.", N(ino));
        else
            say(w, "Inode %llu is to be deleted, and does not exist.", N(ino));
        return;
    }
    if (s->names && s->type != mode >> 12)
        say(w, "A directory entry gives inode %llu another type than it has.", N(ino));
    uint32_t names = s->names;
    bool dir = SFS_FS_ISDIR(mode);
    if (dir && ino != SCALEFS_ROOT && s->links && names != 1)
        say(w, "Directory %llu has %u names.", N(ino), names);
    if (!dir && names != s->links)
        say(w, "Inode %llu says that it has %u links, and has %u names.", N(ino), s->links, names);
    if (!s->links && !s->orphan)
        say(w, "Inode %llu has no name and is not to be deleted.", N(ino));
    if (s->links && s->orphan && s->orphan_size == UINT64_MAX)
        say(w, "Inode %llu has a name and is to be deleted.", N(ino));
}

int sfs_fs_check(struct sfs_fs *fs, void (*problem)(void *context, const char *text), void *context,
                 struct scalefs_check_report *report)
{
    struct walk w = {.fs = fs, .problem = problem, .context = context, .report = report};
    struct chunk *c = sfs_alloc(fs->env, sizeof *c);
    if (!c)
        return SCALEFS_E_NOMEM;
    sfs_map_init(&w.inodes, fs->env);
    int err = walk_keys(&w, c);
    size_t cursor = 0;
    uint64_t ino;
    void *value;
    while (sfs_map_next(&w.inodes, &cursor, &ino, &value)) {
        if (!err)
            check_names(&w, ino, value);
        sfs_free(fs->env, value);
    }
    sfs_map_deinit(&w.inodes);
    sfs_free(fs->env, c);
    return err;
}
