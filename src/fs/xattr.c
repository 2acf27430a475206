/* Extended attributes: small values in their keys, larger ones in an extent of their own.
 *
 * The key is a cookie of the name, as with directory entries.
 */
#include "fs/internal.h"

#include <string.h>

#define INLINE_MAX 2048u
#define NUMBERS 0xffffu
/* What a key can hold at most, beside the longest name. */
#define KEY_MAX (SFS_VALUE_MAX - 3u - SCALEFS_NAME_MAX)

struct finding {
    const char *name;
    size_t name_len;
    bool found, bad;
    uint64_t cookie, free_cookie, extent;
    uint8_t kind;
    uint32_t len;
    uint8_t value[SFS_VALUE_MAX];
};

static bool compare(void *context, struct sfs_key key, const uint8_t *bytes, uint32_t len)
{
    struct finding *f = context;
    struct sfs_xattr_value v;
    if (sfs_xattr_decode(bytes, len, &v)) {
        f->bad = true;
        return false;
    }
    if (key.b == f->free_cookie)
        f->free_cookie++;
    if (v.name_len != f->name_len || memcmp(v.name, f->name, v.name_len) != 0)
        return true;
    f->found = true;
    f->cookie = key.b;
    f->kind = v.kind;
    f->len = v.value_len;
    f->extent = v.extent;
    if (!v.kind)
        memcpy(f->value, v.value, v.value_len);
    return false;
}

static int find(struct sfs_fs *fs, uint64_t ino, const char *name, struct finding *f)
{
    f->name = name;
    f->name_len = strlen(name);
    f->found = f->bad = false;
    uint64_t base = f->free_cookie = sfs_name_cookie(fs->salt, name, f->name_len);
    int err = sfs_tree_scan(fs->store, fs->volume, sfs_fs_key(ino, SFS_KEY_XATTR, base),
                            sfs_fs_key(ino, SFS_KEY_XATTR, base + NUMBERS), compare, f);
    if (f->bad)
        return SCALEFS_E_CORRUPT;
    return err == SCALEFS_E_NOENT ? SCALEFS_OK : err;
}

int sfs_fs_xattr_read(struct sfs_fs *fs, const struct sfs_inode *inode, const char *name,
                      void *value, size_t size, size_t *len)
{
    struct finding f;
    *len = 0;
    if (!(inode->value.flags & SFS_FS_HAS_XATTRS))
        return SCALEFS_E_NODATA;
    int err = find(fs, inode->ino, name, &f);
    if (err)
        return err;
    if (!f.found)
        return SCALEFS_E_NODATA;
    *len = f.len;
    if (!size)
        return SCALEFS_OK;
    if (f.len > size)
        return SCALEFS_E_RANGE;
    if (!f.kind) {
        memcpy(value, f.value, f.len);
        return SCALEFS_OK;
    }
    struct sfs_read read = {.id = f.extent, .len = f.len, .buf = value};
    err = f.len ? sfs_store_read(fs->store, &read, 1) : SCALEFS_OK;
    return err == SCALEFS_E_NOENT ? SCALEFS_E_CORRUPT : err;
}

int sfs_fs_getxattr(struct sfs_fs *fs, uint64_t ino, const char *name, void *value, size_t size,
                    size_t *len)
{
    struct sfs_inode *inode;
    *len = 0;
    int err = sfs_fs_inode_get(fs, ino, &inode);
    if (err)
        return err;
    sfs_rwlock_read(&inode->lock);
    err = inode->gone ? SCALEFS_E_STALE : sfs_fs_xattr_read(fs, inode, name, value, size, len);
    sfs_rwlock_read_done(&inode->lock);
    sfs_fs_inode_put(fs, inode);
    return err;
}

/* --- list
 * -----------------------------------------------------------------------------------------------------
 */

struct listing {
    char *list;
    size_t size, len;
    bool short_of_room, bad;
};

static bool add_name(void *context, struct sfs_key key, const uint8_t *bytes, uint32_t len)
{
    struct listing *l = context;
    struct sfs_xattr_value v;
    (void)key;
    if (sfs_xattr_decode(bytes, len, &v)) {
        l->bad = true;
        return false;
    }
    if (l->size && l->len + v.name_len + 1 > l->size) {
        l->short_of_room = true;
        return false;
    }
    if (l->size) {
        memcpy(l->list + l->len, v.name, v.name_len);
        l->list[l->len + v.name_len] = 0;
    }
    l->len += v.name_len + 1u;
    return true;
}

/* Inode locked. */
static int list_names(struct sfs_fs *fs, const struct sfs_inode *inode, struct listing *l)
{
    if (inode->gone)
        return SCALEFS_E_STALE;
    if (!(inode->value.flags & SFS_FS_HAS_XATTRS))
        return SCALEFS_OK;
    int err = sfs_tree_scan(fs->store, fs->volume, sfs_fs_key(inode->ino, SFS_KEY_XATTR, 0),
                            sfs_fs_key(inode->ino, SFS_KEY_XATTR, UINT64_MAX), add_name, l);
    if (l->bad)
        return SCALEFS_E_CORRUPT;
    if (l->short_of_room)
        return SCALEFS_E_RANGE;
    return err == SCALEFS_E_NOENT ? SCALEFS_OK : err;
}

int sfs_fs_listxattr(struct sfs_fs *fs, uint64_t ino, char *list, size_t size, size_t *len)
{
    struct sfs_inode *inode;
    struct listing l = {.list = list, .size = size};
    *len = 0;
    int err = sfs_fs_inode_get(fs, ino, &inode);
    if (err)
        return err;
    sfs_rwlock_read(&inode->lock);
    err = list_names(fs, inode, &l);
    sfs_rwlock_read_done(&inode->lock);
    sfs_fs_inode_put(fs, inode);
    if (!err)
        *len = l.len;
    return err;
}

/* --- change
 * -----------------------------------------------------------------------------------------------------
 */

static void put_key(struct sfs_fs *fs, struct sfs_tx *tx, uint64_t ino, const struct finding *f,
                    const struct sfs_xattr_value *v)
{
    uint8_t bytes[SFS_VALUE_MAX];
    uint32_t n = sfs_xattr_encode(v, bytes);
    sfs_tx_put(tx, fs->volume,
               sfs_fs_key(ino, SFS_KEY_XATTR, f->found ? f->cookie : f->free_cookie), bytes, n);
    if (f->found && f->kind)
        sfs_tx_extent_ref(tx, f->extent, -1, -(int64_t)f->len);
}

static struct sfs_xattr_value named(const struct finding *f, uint32_t len)
{
    return (struct sfs_xattr_value){
        .name_len = (uint16_t)f->name_len, .name = (const uint8_t *)f->name, .value_len = len};
}

int sfs_fs_xattr_put_small(struct sfs_fs *fs, struct sfs_tx *tx, uint64_t ino, const char *name,
                           const void *value, size_t len)
{
    struct finding f;
    SFS_ASSERT(len <= KEY_MAX);
    int err = find(fs, ino, name, &f);
    if (err)
        return err;
    struct sfs_xattr_value v = named(&f, (uint32_t)len);
    v.value = value;
    put_key(fs, tx, ino, &f, &v);
    return SCALEFS_OK;
}

int sfs_fs_xattr_delete(struct sfs_fs *fs, struct sfs_tx *tx, uint64_t ino, const char *name)
{
    struct finding f;
    int err = find(fs, ino, name, &f);
    if (err)
        return err;
    if (!f.found)
        return SCALEFS_E_NODATA;
    sfs_tx_delete(tx, fs->volume, sfs_fs_key(ino, SFS_KEY_XATTR, f.cookie));
    if (f.kind)
        sfs_tx_extent_ref(tx, f.extent, -1, -(int64_t)f.len);
    return SCALEFS_OK;
}

struct setting {
    const char *name;
    const uint8_t *value;
    size_t len;
    unsigned flags;
    bool remove, acl_access;
    struct sfs_batch *batch; /* a large value, written already */
    const struct sfs_piece *piece;
};

/* A value that is too large for its key goes into one extent, before any lock is taken. */
static int write_value(struct sfs_fs *fs, uint64_t ino, struct setting *s)
{
    uint32_t raw = 0;
    size_t kept;
    int err = sfs_batch_begin(fs->store, 0, &s->batch);
    if (err)
        return err;
    sfs_batch_whole(s->batch, (uint32_t)s->len);
    int add_err = sfs_batch_add(s->batch, s->value, (uint32_t)s->len, fs->volume, ino, 0, &raw);
    bool whole = !add_err && raw == s->len;
    err = sfs_batch_end(s->batch, whole, &kept, &s->piece);
    if (add_err || err)
        return add_err ? add_err : err;
    return whole ? SCALEFS_OK : SCALEFS_E_TOOBIG;
}

static int set_value(struct sfs_fs *fs, struct sfs_tx *tx, const struct sfs_inode *inode,
                     const struct setting *s)
{
    struct finding f;
    int err = find(fs, inode->ino, s->name, &f);
    if (err)
        return err;
    if (s->flags & SCALEFS_XATTR_CREATE && f.found)
        return SCALEFS_E_EXIST;
    if (s->flags & SCALEFS_XATTR_REPLACE && !f.found)
        return SCALEFS_E_NODATA;
    struct sfs_xattr_value v = named(&f, (uint32_t)s->len);
    if (s->piece) {
        v.kind = 1;
        v.extent = s->piece->id;
        sfs_tx_extent_add(tx, s->piece, 1, s->len);
    } else {
        v.value = s->value;
    }
    put_key(fs, tx, inode->ino, &f, &v);
    return SCALEFS_OK;
}

/* Setting an access ACL sets the permission bits; one that says no more than they do is not kept.
 */
static int set_acl(struct sfs_fs *fs, struct sfs_tx *tx, const struct sfs_inode *inode,
                   const struct setting *s, struct sfs_inode_value *value)
{
    bool equivalent;
    int err = sfs_fs_acl_check(s->value, s->len, &equivalent);
    if (err)
        return err;
    value->mode = sfs_fs_acl_mode(s->value, s->len, value->mode);
    if (!equivalent)
        return set_value(fs, tx, inode, s);
    err = sfs_fs_xattr_delete(fs, tx, inode->ino, s->name);
    return err == SCALEFS_E_NODATA ? SCALEFS_OK : err;
}

static int change_locked(struct sfs_fs *fs, struct sfs_inode *inode, const struct setting *s)
{
    struct sfs_inode_value value = inode->value;
    struct sfs_tx tx;
    if (inode->gone)
        return SCALEFS_E_STALE;
    sfs_tx_init(&tx, fs->store);
    tx.claim = s->remove ? SFS_CLAIM_FREES : SFS_CLAIM_NEW;
    int err;
    if (s->remove)
        err = sfs_fs_xattr_delete(fs, &tx, inode->ino, s->name);
    else if (s->acl_access)
        err = set_acl(fs, &tx, inode, s, &value);
    else
        err = set_value(fs, &tx, inode, s);
    value.flags |= SFS_FS_HAS_XATTRS;
    value.ctime = sfs_fs_now(fs);
    if (!err)
        err = sfs_fs_commit_value(fs, &tx, inode, &value);
    sfs_tx_deinit(&tx);
    sfs_fs_account(fs, inode, 0);
    return err;
}

static bool starts(const char *name, const char *prefix)
{
    return !strncmp(name, prefix, strlen(prefix));
}

static int check_name(const char *name)
{
    size_t len = strlen(name);
    if (!strcmp(name, SFS_ACL_ACCESS) || !strcmp(name, SFS_ACL_DEFAULT))
        return SCALEFS_OK;
    const char *const spaces[] = {"user.", "trusted.", "security."};
    for (unsigned i = 0; i < 3; i++)
        if (starts(name, spaces[i]) && len > strlen(spaces[i]))
            return len <= SCALEFS_NAME_MAX ? SCALEFS_OK : SCALEFS_E_RANGE;
    return SCALEFS_E_NOTSUP;
}

static int change(struct sfs_fs *fs, uint64_t ino, struct setting *s)
{
    struct sfs_inode *inode;
    if (fs->options.read_only)
        return SCALEFS_E_ROFS;
    int err = check_name(s->name);
    if (err)
        return err;
    err = sfs_fs_inode_get(fs, ino, &inode);
    if (err)
        return err;
    bool large = !s->remove && s->len > INLINE_MAX;
    if (large)
        err = sfs_fs_reserve(fs, s->len);
    bool reserved = large && !err;
    if (reserved)
        err = write_value(fs, ino, s);
    if (!err) {
        sfs_rwlock_write(&inode->lock);
        err = change_locked(fs, inode, s);
        sfs_rwlock_write_done(&inode->lock);
    }
    if (s->batch)
        sfs_batch_free(s->batch);
    if (reserved)
        sfs_store_unreserve(fs->store, s->len);
    sfs_fs_inode_put(fs, inode);
    return err;
}

int sfs_fs_setxattr(struct sfs_fs *fs, uint64_t ino, const char *name, const void *value,
                    size_t len, unsigned flags)
{
    struct setting s = {.name = name, .value = value, .len = len, .flags = flags};
    if (len > SFS_FS_XATTR_MAX)
        return SCALEFS_E_TOOBIG;
    if (flags & ~(unsigned)(SCALEFS_XATTR_CREATE | SCALEFS_XATTR_REPLACE))
        return SCALEFS_E_INVAL;
    bool equivalent;
    if (!strcmp(name, SFS_ACL_DEFAULT)) {
        int err = len > 4 ? sfs_fs_acl_check(value, len, &equivalent) : SCALEFS_OK;
        if (err)
            return err;
        s.remove = len <= 4; /* without entries */
    }
    s.acl_access = !strcmp(name, SFS_ACL_ACCESS);
    s.remove = s.remove || (s.acl_access && len <= 4);
    int err = change(fs, ino, &s);
    return s.remove && err == SCALEFS_E_NODATA ? SCALEFS_OK : err;
}

int sfs_fs_removexattr(struct sfs_fs *fs, uint64_t ino, const char *name)
{
    struct setting s = {.name = name, .remove = true};
    return change(fs, ino, &s);
}
