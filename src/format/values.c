/* What the trees hold: extent map and space tree values, inodes, entries, file extents, attributes,
 * volumes (docs/FORMAT.md, section 8).
 *
 * Promise: whatever decoders accept is in bounds and can be encoded again to the same value, but for what newer
 * programs may have added behind it. Names and inline values point into the bytes given. Pure.
 */
#include "format/block.h"

#include "base/assert.h"

#define COOKIE_BITS 47u

static int whole(const struct sfs_reader *r, bool good)
{
    return good && !r->bad ? SCALEFS_OK : SCALEFS_E_CORRUPT;
}

bool sfs_extent_shape_ok(uint32_t stored, uint32_t raw, uint8_t compression, uint16_t sums)
{
    if (stored < 1 || raw < 1 || raw > SFS_EXTENT_MAX || compression > 1)
        return false;
    if (compression)
        return stored <= raw && sums == 1;
    return stored == raw && sums == (raw + SFS_SUM_BYTES - 1) / SFS_SUM_BYTES;
}

static bool extent_ok(const struct sfs_extent *e)
{
    if (e->place.group == SFS_NONE32)
        return false;
    if (e->kind == 1)
        return e->stored == SFS_NODE_BYTES && e->raw == SFS_NODE_BYTES && !e->compression && e->sum_count == 1;
    return e->kind == 0 && sfs_extent_shape_ok(e->stored, e->raw, e->compression, e->sum_count);
}

uint32_t sfs_extent_encode(const struct sfs_extent *e, uint8_t *out)
{
    SFS_ASSERT(extent_ok(e));
    struct sfs_writer w = sfs_writer(out, SFS_EXTENT_VALUE_MAX);
    sfs_w64(&w, e->birth);
    sfs_w32(&w, e->place.group);
    sfs_w64(&w, e->place.offset);
    sfs_w32(&w, e->stored);
    sfs_w32(&w, e->raw);
    sfs_w8(&w, e->compression);
    sfs_w8(&w, e->kind);
    sfs_w16(&w, e->sum_count);
    sfs_w32(&w, e->refs);
    sfs_w32(&w, 0);
    sfs_w64(&w, e->ref_bytes);
    for (unsigned i = 0; i < e->sum_count; i++)
        sfs_w64(&w, e->sums[i]);
    SFS_ASSERT(!w.bad);
    return (uint32_t)sfs_writer_len(&w);
}

int sfs_extent_decode(const uint8_t *in, size_t len, struct sfs_extent *e)
{
    struct sfs_reader r = sfs_reader(in, len);
    e->birth = sfs_r64(&r);
    e->place.group = sfs_r32(&r);
    e->place.offset = sfs_r64(&r);
    e->stored = sfs_r32(&r);
    e->raw = sfs_r32(&r);
    e->compression = sfs_r8(&r);
    e->kind = sfs_r8(&r);
    e->sum_count = sfs_r16(&r);
    e->refs = sfs_r32(&r);
    sfs_r32(&r);
    e->ref_bytes = sfs_r64(&r);
    if (r.bad || !extent_ok(e))
        return SCALEFS_E_CORRUPT;
    for (unsigned i = 0; i < e->sum_count; i++)
        e->sums[i] = sfs_r64(&r);
    return whole(&r, true);
}

uint32_t sfs_space_encode(const struct sfs_row_state rows[SFS_SPACE_CHUNK], uint8_t *out)
{
    unsigned n = SFS_SPACE_CHUNK;
    while (n > 0 && !rows[n - 1].live && !rows[n - 1].txn)
        n--;
    struct sfs_writer w = sfs_writer(out, SFS_SPACE_VALUE_MAX);
    for (unsigned i = 0; i < n; i++) {
        sfs_w32(&w, rows[i].live);
        sfs_w64(&w, rows[i].txn);
    }
    SFS_ASSERT(!w.bad);
    return (uint32_t)sfs_writer_len(&w);
}

int sfs_space_decode(const uint8_t *in, size_t len, struct sfs_row_state rows[SFS_SPACE_CHUNK])
{
    if (len % 12 || len > SFS_SPACE_VALUE_MAX)
        return SCALEFS_E_CORRUPT;
    struct sfs_reader r = sfs_reader(in, len);
    memset(rows, 0, SFS_SPACE_CHUNK * sizeof rows[0]);
    for (unsigned i = 0; i < len / 12; i++) {
        rows[i].live = sfs_r32(&r);
        rows[i].txn = sfs_r64(&r);
    }
    return whole(&r, true);
}

static void time_put(struct sfs_writer *w, const struct sfs_time *t)
{
    SFS_ASSERT(t->ns < 1000000000u);
    sfs_w64(w, (uint64_t)t->s);
    sfs_w32(w, t->ns);
}

static bool time_get(struct sfs_reader *r, struct sfs_time *t)
{
    t->s = (int64_t)sfs_r64(r);
    t->ns = sfs_r32(r);
    return t->ns < 1000000000u;
}

void sfs_inode_encode(const struct sfs_inode_value *v, uint8_t out[SFS_INODE_BYTES])
{
    struct sfs_writer w = sfs_writer(out, SFS_INODE_BYTES);
    sfs_w32(&w, v->mode);
    sfs_w32(&w, v->links);
    sfs_w32(&w, v->uid);
    sfs_w32(&w, v->gid);
    sfs_w64(&w, v->size);
    sfs_w64(&w, v->allocated);
    sfs_w64(&w, v->rdev);
    time_put(&w, &v->atime);
    time_put(&w, &v->mtime);
    time_put(&w, &v->ctime);
    time_put(&w, &v->btime);
    sfs_w64(&w, v->parent);
    sfs_w32(&w, v->flags);
    sfs_w32(&w, v->attributes);
    sfs_w64(&w, v->entries);
    sfs_w64(&w, 0);
    sfs_w64(&w, 0);
    SFS_ASSERT(!w.bad && w.at == w.end);
}

int sfs_inode_decode(const uint8_t *in, size_t len, struct sfs_inode_value *v)
{
    struct sfs_reader r = sfs_reader(in, len);
    v->mode = sfs_r32(&r);
    v->links = sfs_r32(&r);
    v->uid = sfs_r32(&r);
    v->gid = sfs_r32(&r);
    v->size = sfs_r64(&r);
    v->allocated = sfs_r64(&r);
    v->rdev = sfs_r64(&r);
    bool good = time_get(&r, &v->atime);
    good = time_get(&r, &v->mtime) && good;
    good = time_get(&r, &v->ctime) && good;
    good = time_get(&r, &v->btime) && good;
    v->parent = sfs_r64(&r);
    v->flags = sfs_r32(&r);
    v->attributes = sfs_r32(&r);
    v->entries = sfs_r64(&r);
    sfs_r_bytes(&r, 16);
    return whole(&r, good && v->size <= INT64_MAX);
}

#define XATTR_NAME_MAX 255u

/* A name in a directory: never empty, one component. */
static bool entry_name_ok(const uint8_t *name, size_t len)
{
    return len >= 1 && len <= SFS_NAME_BYTES_MAX && name && !memchr(name, 0, len) && !memchr(name, '/', len);
}

uint32_t sfs_dirent_encode(const struct sfs_dirent_value *v, uint8_t *out)
{
    SFS_ASSERT(entry_name_ok(v->name, v->name_len) && v->type <= 15);
    struct sfs_writer w = sfs_writer(out, 11u + v->name_len);
    sfs_w64(&w, v->inode);
    sfs_w8(&w, v->type);
    sfs_w16(&w, v->name_len);
    sfs_w_copy(&w, v->name, v->name_len);
    SFS_ASSERT(!w.bad);
    return (uint32_t)sfs_writer_len(&w);
}

int sfs_dirent_decode(const uint8_t *in, size_t len, struct sfs_dirent_value *v)
{
    struct sfs_reader r = sfs_reader(in, len);
    v->inode = sfs_r64(&r);
    v->type = sfs_r8(&r);
    v->name_len = sfs_r16(&r);
    v->name = sfs_r_bytes(&r, v->name_len);
    return whole(&r, v->type <= 15 && entry_name_ok(v->name, v->name_len));
}

static bool fileext_ok(const struct sfs_fileext_value *v)
{
    return v->length >= 1 && v->length <= SFS_EXTENT_MAX && v->offset <= SFS_EXTENT_MAX - v->length;
}

void sfs_fileext_encode(const struct sfs_fileext_value *v, uint8_t out[SFS_FILEEXT_BYTES])
{
    SFS_ASSERT(fileext_ok(v));
    sfs_put32(out, 1); /* kind 1, three reserved */
    sfs_put64(out + 4, v->id);
    sfs_put32(out + 12, v->offset);
    sfs_put32(out + 16, v->length);
}

int sfs_fileext_decode(const uint8_t *in, size_t len, struct sfs_fileext_value *v)
{
    struct sfs_reader r = sfs_reader(in, len);
    uint8_t kind = sfs_r8(&r);
    sfs_r_bytes(&r, 3);
    v->id = sfs_r64(&r);
    v->offset = sfs_r32(&r);
    v->length = sfs_r32(&r);
    return whole(&r, kind == 1 && fileext_ok(v));
}

uint32_t sfs_xattr_encode(const struct sfs_xattr_value *v, uint8_t *out)
{
    SFS_ASSERT(v->kind <= 1 && v->name_len >= 1 && v->name_len <= XATTR_NAME_MAX && !memchr(v->name, 0, v->name_len));
    SFS_ASSERT(v->kind ? v->value_len <= SFS_EXTENT_MAX
                       : v->value_len <= SFS_VALUE_MAX - 3u - v->name_len);
    struct sfs_writer w = sfs_writer(out, SFS_VALUE_MAX);
    sfs_w8(&w, v->kind);
    sfs_w16(&w, v->name_len);
    sfs_w_copy(&w, v->name, v->name_len);
    if (v->kind) {
        sfs_w32(&w, v->value_len);
        sfs_w64(&w, v->extent);
    } else if (v->value_len) {
        sfs_w_copy(&w, v->value, v->value_len);
    }
    SFS_ASSERT(!w.bad);
    return (uint32_t)sfs_writer_len(&w);
}

int sfs_xattr_decode(const uint8_t *in, size_t len, struct sfs_xattr_value *v)
{
    struct sfs_reader r = sfs_reader(in, len);
    memset(v, 0, sizeof *v);
    v->kind = sfs_r8(&r);
    v->name_len = sfs_r16(&r);
    v->name = sfs_r_bytes(&r, v->name_len);
    if (r.bad || len > SFS_VALUE_MAX || v->kind > 1 || !v->name_len || v->name_len > XATTR_NAME_MAX ||
        memchr(v->name, 0, v->name_len))
        return SCALEFS_E_CORRUPT;
    if (v->kind) {
        v->value_len = sfs_r32(&r);
        v->extent = sfs_r64(&r);
    } else {
        v->value_len = (uint32_t)(r.end - r.at);
        v->value = sfs_r_bytes(&r, v->value_len);
    }
    return whole(&r, v->value_len <= SFS_EXTENT_MAX);
}

uint32_t sfs_volume_encode(const struct sfs_volume_value *v, uint8_t *out)
{
    struct sfs_writer w = sfs_writer(out, 37u + v->name_len);
    sfs_w64(&w, v->root);
    sfs_w32(&w, v->flags);
    sfs_w64(&w, (uint64_t)v->created_ns);
    sfs_w64(&w, v->salt[0]);
    sfs_w64(&w, v->salt[1]);
    sfs_w8(&w, v->name_len);
    if (v->name_len) /* the default volume's name is empty */
        sfs_w_copy(&w, v->name, v->name_len);
    SFS_ASSERT(!w.bad && !(v->name_len && memchr(v->name, 0, v->name_len)));
    return (uint32_t)sfs_writer_len(&w);
}

int sfs_volume_decode(const uint8_t *in, size_t len, struct sfs_volume_value *v)
{
    struct sfs_reader r = sfs_reader(in, len);
    v->root = sfs_r64(&r);
    v->flags = sfs_r32(&r);
    v->created_ns = (int64_t)sfs_r64(&r);
    v->salt[0] = sfs_r64(&r);
    v->salt[1] = sfs_r64(&r);
    v->name_len = sfs_r8(&r);
    v->name = sfs_r_bytes(&r, v->name_len);
    return whole(&r, v->name && !memchr(v->name, 0, v->name_len));
}

uint64_t sfs_name_cookie(const uint64_t salt[2], const void *name, size_t len)
{
    uint64_t h = sfs_siphash(salt, name, len) & ((1ull << COOKIE_BITS) - 1);
    return (h ? h : 1) << 16;
}
