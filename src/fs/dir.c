/* Directories: entries by name and in the order of their cookies, parents, paths.
 *
 * An entry's key is its cookie: a hash of the name and a number that tells apart names with the
 * same hash. So a cookie stays the same as long as its entry exists, whatever happens to others.
 */
#include "fs/internal.h"

#include <stdio.h>
#include <string.h>

#define NUMBERS 0xffffu /* of entries with one hash: 0 … this */

int sfs_fs_name_check(const char *name, size_t len)
{
    if (len > SCALEFS_NAME_MAX)
        return SCALEFS_E_NAMETOOLONG;
    if (!len || memchr(name, 0, len) || memchr(name, '/', len))
        return SCALEFS_E_INVAL;
    return SCALEFS_OK;
}

static bool is_dots(const char *name, size_t len)
{
    return (len == 1 || len == 2) && name[0] == '.' && name[len - 1] == '.';
}

int sfs_fs_dir_check(const struct sfs_inode *dir)
{
    if (dir->gone || !dir->value.links)
        return SCALEFS_E_NOENT;
    return SFS_FS_ISDIR(dir->value.mode) ? SCALEFS_OK : SCALEFS_E_NOTDIR;
}

struct finding {
    const char *name;
    size_t len;
    struct sfs_entry_found *found;
    bool bad;
};

static bool compare(void *context, struct sfs_key key, const uint8_t *value, uint32_t len)
{
    struct finding *f = context;
    struct sfs_dirent_value entry;
    if (sfs_dirent_decode(value, len, &entry)) {
        f->bad = true;
        return false;
    }
    if (key.b == f->found->free_cookie)
        f->found->free_cookie++;
    if (entry.name_len != f->len || memcmp(entry.name, f->name, f->len) != 0)
        return true;
    f->found->found = true;
    f->found->cookie = key.b;
    f->found->ino = entry.inode;
    f->found->type = entry.type;
    return false;
}

int sfs_fs_entry_find(struct sfs_fs *fs, uint64_t dir, const char *name, size_t len,
                      struct sfs_entry_found *found)
{
    uint64_t base = sfs_name_cookie(fs->salt, name, len);
    struct finding f = {.name = name, .len = len, .found = found};
    *found = (struct sfs_entry_found){.free_cookie = base};
    int err = sfs_tree_scan(fs->store, fs->volume, sfs_fs_key(dir, SFS_KEY_DIRENT, base),
                            sfs_fs_key(dir, SFS_KEY_DIRENT, base + NUMBERS), compare, &f);
    if (f.bad)
        return SCALEFS_E_CORRUPT;
    return err == SCALEFS_E_NOENT ? SCALEFS_OK : err;
}

void sfs_fs_entry_put(struct sfs_fs *fs, struct sfs_tx *tx, uint64_t dir, uint64_t cookie,
                      uint64_t ino, uint32_t mode, const char *name, size_t len)
{
    uint8_t bytes[16 + SCALEFS_NAME_MAX];
    struct sfs_dirent_value v = {.inode = ino,
                                 .type = (uint8_t)(mode >> 12),
                                 .name_len = (uint16_t)len,
                                 .name = (const uint8_t *)name};
    uint32_t n = sfs_dirent_encode(&v, bytes);
    sfs_tx_put(tx, fs->volume, sfs_fs_key(dir, SFS_KEY_DIRENT, cookie), bytes, n);
}

void sfs_fs_entry_delete(struct sfs_fs *fs, struct sfs_tx *tx, uint64_t dir, uint64_t cookie)
{
    sfs_tx_delete(tx, fs->volume, sfs_fs_key(dir, SFS_KEY_DIRENT, cookie));
}

struct sfs_inode_value sfs_fs_dir_changed(const struct sfs_inode *dir, struct sfs_time now,
                                          int entries, int links)
{
    struct sfs_inode_value v = dir->value;
    v.entries += (uint64_t)(int64_t)entries;
    v.size = v.entries * SFS_FS_DIR_ENTRY_BYTES;
    v.links += (uint32_t)links;
    v.mtime = v.ctime = now;
    return v;
}

int sfs_fs_parent(struct sfs_fs *fs, uint64_t dir, uint64_t *parent)
{
    struct sfs_inode *inode;
    int err = sfs_fs_inode_get(fs, dir, &inode);
    if (err)
        return err;
    sfs_rwlock_read(&inode->lock);
    *parent = inode->value.parent;
    if (inode->gone)
        err = SCALEFS_E_STALE;
    else if (!SFS_FS_ISDIR(inode->value.mode))
        err = SCALEFS_E_NOTDIR;
    sfs_rwlock_read_done(&inode->lock);
    sfs_fs_inode_put(fs, inode);
    return err;
}

/* The inode number behind a name, with "." and ".."; anything may happen to it as soon as this
 * returns. */
static int find_child(struct sfs_fs *fs, uint64_t dir, const char *name, size_t len, uint64_t *ino)
{
    struct sfs_inode *inode;
    int err = sfs_fs_inode_get(fs, dir, &inode);
    if (err)
        return err;
    struct sfs_entry_found found;
    sfs_rwlock_read(&inode->lock);
    if (len == 1 && name[0] == '.') { /* of anything: how a file handle becomes an inode again */
        *ino = dir;
        err = inode->gone ? SCALEFS_E_STALE : SCALEFS_OK;
    } else {
        err = sfs_fs_dir_check(inode);
        if (!err && is_dots(name, len))
            *ino = inode->value.parent;
        else if (!err)
            err = sfs_fs_entry_find(fs, dir, name, len, &found);
        if (!err && !is_dots(name, len)) {
            *ino = found.ino;
            err = found.found ? SCALEFS_OK : SCALEFS_E_NOENT;
        }
    }
    sfs_rwlock_read_done(&inode->lock);
    sfs_fs_inode_put(fs, inode);
    return err;
}

int sfs_fs_lookup(struct sfs_fs *fs, uint64_t dir, const char *name, size_t name_len,
                  struct scalefs_attr *attr)
{
    int err = sfs_fs_name_check(name, name_len);
    uint64_t ino = 0, before = 0;
    while (!err) {
        err = find_child(fs, dir, name, name_len, &ino);
        if (err)
            break;
        err = sfs_fs_getattr(fs, ino, attr);
        if (err != SCALEFS_E_STALE || ino == before)
            break;
        before = ino; /* removed in between; perhaps there is another of that name already */
        err = SCALEFS_OK;
    }
    return err;
}

/* --- reading
 * -------------------------------------------------------------------------------------------------
 */

#define CHUNK_ENTRIES 128u
#define CHUNK_BYTES (16u << 10)

struct chunk {
    size_t count, bytes;
    bool more, bad;
    struct {
        uint64_t ino, cookie;
        uint32_t type;
        uint16_t at;
        uint8_t len;
    } entries[CHUNK_ENTRIES];
    char names[CHUNK_BYTES];
};

static bool add_entry(void *context, struct sfs_key key, const uint8_t *value, uint32_t len)
{
    struct chunk *c = context;
    struct sfs_dirent_value v;
    if (sfs_dirent_decode(value, len, &v)) {
        c->bad = true;
        return false;
    }
    if (c->count == CHUNK_ENTRIES || c->bytes + v.name_len > CHUNK_BYTES) {
        c->more = true;
        return false;
    }
    c->entries[c->count].ino = v.inode;
    c->entries[c->count].cookie = key.b;
    c->entries[c->count].type = (uint32_t)v.type << 12;
    c->entries[c->count].at = (uint16_t)c->bytes;
    c->entries[c->count].len = v.name_len;
    memcpy(c->names + c->bytes, v.name, v.name_len);
    c->bytes += v.name_len;
    c->count++;
    return true;
}

static int read_chunk(struct sfs_fs *fs, struct sfs_inode *dir, uint64_t cookie, struct chunk *c)
{
    c->count = c->bytes = 0;
    c->more = c->bad = false;
    sfs_rwlock_read(&dir->lock);
    int err = SCALEFS_OK;
    if (!SFS_FS_ISDIR(dir->value.mode))
        err = SCALEFS_E_NOTDIR;
    else if (!dir->gone)
        err = sfs_tree_scan(fs->store, fs->volume, sfs_fs_key(dir->ino, SFS_KEY_DIRENT, cookie + 1),
                            sfs_fs_key(dir->ino, SFS_KEY_DIRENT, UINT64_MAX), add_entry, c);
    sfs_rwlock_read_done(&dir->lock);
    if (err == SCALEFS_E_NOENT)
        err = SCALEFS_OK;
    /* What stands before the damaged entry is good. */
    return c->bad && !c->count ? SCALEFS_E_CORRUPT : err;
}

static int give_chunk(struct sfs_fs *fs, const struct chunk *c, bool with_attr,
                      bool (*each)(void *context, const struct scalefs_dirent *entry),
                      void *context, bool *stopped)
{
    for (size_t i = 0; i < c->count && !*stopped; i++) {
        struct scalefs_attr attr;
        struct scalefs_dirent entry = {.ino = c->entries[i].ino,
                                       .cookie = c->entries[i].cookie,
                                       .type = c->entries[i].type,
                                       .name = c->names + c->entries[i].at,
                                       .name_len = c->entries[i].len};
        if (with_attr) {
            int err = sfs_fs_getattr(fs, entry.ino, &attr);
            if (err == SCALEFS_E_STALE)
                continue; /* removed since */
            if (err)
                return err;
            entry.attr = &attr;
        }
        *stopped = !each(context, &entry);
    }
    return SCALEFS_OK;
}

int sfs_fs_readdir(struct sfs_fs *fs, uint64_t dir, uint64_t cookie, bool with_attr,
                   bool (*each)(void *context, const struct scalefs_dirent *entry), void *context)
{
    struct sfs_inode *inode;
    int err = sfs_fs_inode_get(fs, dir, &inode);
    if (err)
        return err;
    struct chunk *c = sfs_alloc(fs->env, sizeof *c);
    bool stopped = false;
    if (!c)
        err = SCALEFS_E_NOMEM;
    while (!err && !stopped) {
        err = read_chunk(fs, inode, cookie, c);
        if (!err)
            err = give_chunk(fs, c, with_attr, each, context, &stopped);
        if (err || !c->count || (!c->more && !c->bad))
            break;
        cookie = c->entries[c->count - 1].cookie;
    }
    sfs_free(fs->env, c);
    sfs_fs_inode_put(fs, inode);
    return err;
}

/* --- paths
 * ------------------------------------------------------------------------------------------------------
 */

struct naming {
    uint64_t ino;
    char name[SFS_NAME_BYTES_MAX];
    size_t len;
};

static bool names_it(void *context, struct sfs_key key, const uint8_t *value, uint32_t len)
{
    struct naming *n = context;
    struct sfs_dirent_value v;
    (void)key;
    if (sfs_dirent_decode(value, len, &v) || v.inode != n->ino)
        return true;
    memcpy(n->name, v.name, v.name_len);
    n->len = v.name_len;
    return false;
}

static int parent_hint(struct sfs_fs *fs, uint64_t ino, uint64_t *parent)
{
    struct sfs_inode *inode;
    int err = sfs_fs_inode_get(fs, ino, &inode);
    if (err)
        return err;
    sfs_rwlock_read(&inode->lock);
    *parent = inode->value.parent;
    sfs_rwlock_read_done(&inode->lock);
    sfs_fs_inode_put(fs, inode);
    return SCALEFS_OK;
}

/* From the end of the buffer to its start; a loop of parents (damage) ends when the buffer is full.
 */
int sfs_fs_path_of(struct sfs_fs *fs, uint64_t ino, char *buf, size_t size)
{
    if (size < 2)
        return SCALEFS_E_RANGE;
    size_t at = size - 1;
    buf[at] = 0;
    if (ino == SCALEFS_ROOT)
        buf[--at] = '/';
    while (ino != SCALEFS_ROOT) {
        struct naming n = {.ino = ino};
        uint64_t parent;
        int err = parent_hint(fs, ino, &parent);
        if (!err)
            err = sfs_tree_scan(fs->store, fs->volume, sfs_fs_key(parent, SFS_KEY_DIRENT, 0),
                                sfs_fs_key(parent, SFS_KEY_DIRENT, UINT64_MAX), names_it, &n);
        if (err || !n.len) {
            snprintf(buf, size, "?");
            return SCALEFS_OK;
        }
        if (n.len + 1 > at)
            return SCALEFS_E_RANGE;
        at -= n.len;
        memcpy(buf + at, n.name, n.len);
        buf[--at] = '/';
        ino = parent;
    }
    memmove(buf, buf + at, size - at);
    return SCALEFS_OK;
}
