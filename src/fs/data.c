/* Reading and writing file data.
 *
 * A read lays what is dirty over what is being flushed over what the tree says; holes are zero.
 * What must come from disks is collected and read at once, without any lock: extents never change,
 * and one that was freed meanwhile is not found, then the read begins anew.
 */
#include "fs/internal.h"

#include <string.h>

#define COPY_FIRST (128u << 10)               /* so much is copied before the file is locked */
#define KEPT_MIN (SFS_FS_SEGMENT_BYTES / 4 * 3) /* for less, the rest of the block would be wasted */

struct reading {
    struct sfs_fs *fs;
    const struct sfs_inode *inode;
    struct sfs_read *reads, few[16];
    size_t count, room;
};

static int add_read(struct reading *r, const struct sfs_item *item, uint64_t from, uint64_t to,
                    uint8_t *buf)
{
    if (r->count == r->room) {
        size_t room = r->room * 2;
        struct sfs_read *more = sfs_alloc(r->fs->env, room * sizeof *more);
        if (!more)
            return SCALEFS_E_NOMEM;
        memcpy(more, r->reads, r->count * sizeof *more);
        if (r->reads != r->few)
            sfs_free(r->fs->env, r->reads);
        r->reads = more;
        r->room = room;
    }
    r->reads[r->count++] = (struct sfs_read){.id = item->id,
                                             .offset = item->at + (uint32_t)(from - item->offset),
                                             .len = (uint32_t)(to - from),
                                             .buf = buf};
    return SCALEFS_OK;
}

/* The tree's part: [from, to) into buf. */
static int plan_items(struct reading *r, uint64_t from, uint64_t to, uint8_t *buf)
{
    while (from < to) {
        struct sfs_item items[16];
        size_t count;
        uint64_t next;
        int err = sfs_fs_items(r->fs, r->inode->ino, from, to, items, 16, &count, &next);
        if (err)
            return err;
        for (size_t i = 0; i < count; i++) {
            uint64_t end = items[i].offset + items[i].len;
            uint64_t low = items[i].offset > from ? items[i].offset : from,
                     high = end < to ? end : to;
            memset(buf, 0, low - from);
            err = add_read(r, &items[i], low, high, buf + (low - from));
            if (err)
                return err;
            buf += high - from;
            from = high;
        }
        memset(buf, 0, next - from);
        buf += next - from;
        from = next;
    }
    return SCALEFS_OK;
}

/* What the segments have is copied; the gaps come from the layer below. */
static int plan(struct reading *r, const struct sfs_segs *segs, const struct sfs_segs *below,
                uint64_t from, uint64_t to, uint8_t *buf)
{
    size_t i = sfs_fs_segs_find(segs, from);
    while (from < to) {
        const struct sfs_seg *seg = i < segs->count ? &segs->list[i] : NULL;
        uint64_t gap_end = seg && seg->offset < to ? seg->offset : to;
        if (gap_end > from) {
            int err = below ? plan(r, below, NULL, from, gap_end, buf)
                            : plan_items(r, from, gap_end, buf);
            if (err)
                return err;
            buf += gap_end - from;
            from = gap_end;
        } else {
            uint64_t end = seg->offset + seg->len < to ? seg->offset + seg->len : to;
            memcpy(buf, seg->data + (from - seg->offset), end - from);
            buf += end - from;
            from = end;
            i++;
        }
    }
    return SCALEFS_OK;
}

static int read_once(struct sfs_fs *fs, struct sfs_inode *inode, uint64_t offset, void *buf,
                     size_t len, size_t *done)
{
    struct reading r = {.fs = fs, .inode = inode};
    r.reads = r.few;
    r.room = 16;
    int err = SCALEFS_OK;
    *done = 0;
    sfs_rwlock_read(&inode->lock);
    if (inode->gone)
        err = SCALEFS_E_STALE;
    else if (!SFS_FS_ISREG(inode->value.mode))
        err = SFS_FS_ISDIR(inode->value.mode) ? SCALEFS_E_ISDIR : SCALEFS_E_INVAL;
    uint64_t size = inode->value.size;
    if (offset >= size)
        len = 0;
    else if (len > size - offset)
        len = (size_t)(size - offset);
    if (!err && len)
        err = plan(&r, &inode->dirty, &inode->flushing, offset, offset + len, buf);
    sfs_rwlock_read_done(&inode->lock);
    if (!err && r.count)
        err = sfs_store_read(fs->store, r.reads, r.count);
    if (r.reads != r.few)
        sfs_free(fs->env, r.reads);
    if (!err)
        *done = len;
    return err;
}

int sfs_fs_read_inode(struct sfs_fs *fs, struct sfs_inode *inode, uint64_t offset, void *buf,
                      size_t len, size_t *done)
{
    int err = SCALEFS_OK;
    for (unsigned tries = 0; tries < 100; tries++) {
        err = read_once(fs, inode, offset, buf, len, done);
        if (err != SCALEFS_E_NOENT)
            return err;
    }
    return SCALEFS_E_CORRUPT; /* an item refers to an extent that does not exist */
}

int sfs_fs_read(struct sfs_fs *fs, uint64_t ino, uint64_t offset, void *buf, size_t len,
                size_t *done)
{
    struct sfs_inode *inode;
    *done = 0;
    int err = sfs_fs_inode_get(fs, ino, &inode);
    if (err)
        return err;
    err = sfs_fs_read_inode(fs, inode, offset, buf, len, done);
    sfs_fs_inode_put(fs, inode);
    return err;
}

int sfs_fs_reserve(struct sfs_fs *fs, uint64_t bytes)
{
    int err;
    do {
        err = sfs_store_reserve(fs->store, bytes);
    } while (err == SCALEFS_E_NOSPC && sfs_fs_reap_one(fs));
    if (err != SCALEFS_E_NOSPC)
        return err;
    /* What waits in memory was promised more room than it may need. */
    err = sfs_fs_flush_all(fs);
    return err ? err : sfs_store_reserve(fs->store, bytes);
}

/* What is written: `len` bytes. */
struct source {
    uint8_t *data; /* only read, unless kept */
    void **block;  /* it lies in *block, which is kept where that pays, and NULL then. NULL: in memory of somebody else's */
    struct sfs_segs copied; /* of it, beforehand */
};

static bool keeps(const struct source *src, size_t len)
{
    return src->block && len >= KEPT_MIN;
}

static int put_data(struct sfs_fs *fs, struct sfs_inode *inode, uint64_t offset, struct source *src, size_t len)
{
    if (keeps(src, len))
        return sfs_fs_segs_keep(fs->env, &inode->dirty, offset, src->block, src->data, (uint32_t)len);
    if (src->copied.count)
        return sfs_fs_segs_join(fs->env, &inode->dirty, &src->copied);
    return sfs_fs_segs_write(fs->env, &inode->dirty, offset, src->data, len);
}

/* Locked for writing. `append`: *offset is set to the end. */
static int take_data(struct sfs_fs *fs, struct sfs_inode *inode, bool append, uint64_t *offset,
                     struct source *src, size_t len)
{
    struct sfs_inode_value *v = &inode->value;
    if (inode->gone)
        return SCALEFS_E_STALE;
    if (inode->cut_pending)
        return SCALEFS_E_IO;
    if (!SFS_FS_ISREG(v->mode))
        return SFS_FS_ISDIR(v->mode) ? SCALEFS_E_ISDIR : SCALEFS_E_INVAL;
    if (append)
        *offset = v->size;
    if (*offset > SCALEFS_FILE_MAX || len > SCALEFS_FILE_MAX - *offset)
        return SCALEFS_E_FBIG;
    if (!len)
        return SCALEFS_OK;
    int err = put_data(fs, inode, *offset, src, len);
    if (err) { /* nothing is dirty behind the end */
        sfs_fs_segs_cut(fs->env, &inode->dirty, v->size, UINT64_MAX);
        return err;
    }
    if (*offset + len > v->size)
        v->size = *offset + len;
    v->mtime = v->ctime = sfs_fs_now(fs);
    inode->attr_dirty = true;
    return SCALEFS_OK;
}

static int write_piece(struct sfs_fs *fs, struct sfs_inode *inode, bool append, uint64_t *offset,
                       struct source *src, size_t len)
{
    uint64_t charge = len + SFS_FS_SEGMENT_COST;
    int err = sfs_fs_charge(fs, inode, charge);
    if (err)
        return err;
    err = sfs_fs_reserve(fs, len);
    if (err) {
        sfs_fs_uncharge(fs, charge);
        return err;
    }
    /* So that the next one need not wait for the copying. Where there is no memory it is tried below. */
    if (len >= COPY_FIRST && !append && !keeps(src, len) &&
        sfs_fs_segs_write(fs->env, &src->copied, *offset, src->data, len))
        sfs_fs_segs_clear(fs->env, &src->copied);
    sfs_rwlock_write(&inode->lock);
    inode->reserved += len;
    err = take_data(fs, inode, append, offset, src, len);
    sfs_fs_account(fs, inode, charge);
    sfs_rwlock_write_done(&inode->lock);
    sfs_fs_segs_clear(fs->env, &src->copied);
    return err;
}

static int write_data(struct sfs_fs *fs, uint64_t ino, bool append, uint64_t *offset,
                      struct source src, size_t len)
{
    if (fs->options.read_only)
        return SCALEFS_E_ROFS;
    if (!append && (*offset > SCALEFS_FILE_MAX || len > SCALEFS_FILE_MAX - *offset))
        return SCALEFS_E_FBIG;
    struct sfs_inode *inode;
    int err = sfs_fs_inode_get(fs, ino, &inode);
    if (err)
        return err;
    /* A write that is large in comparison with the bound goes in parts; an append is one. */
    size_t most =
        fs->options.dirty_bytes / 4 > (1u << 20) ? (size_t)(fs->options.dirty_bytes / 4) : 1u << 20;
    if (len > most)
        src.block = NULL;
    uint64_t at = *offset;
    do {
        size_t n = append || len < most ? len : most;
        err = write_piece(fs, inode, append, &at, &src, n);
        if (append)
            *offset = at;
        at += n;
        src.data += n;
        len -= n;
    } while (!err && len);
    sfs_fs_inode_put(fs, inode);
    return err;
}

static struct source source_of(const void *buf)
{
    union { /* only read */
        const void *from;
        void *to;
    } b = {buf};
    return (struct source){.data = b.to};
}

int sfs_fs_write(struct sfs_fs *fs, uint64_t ino, uint64_t offset, const void *buf, size_t len)
{
    return write_data(fs, ino, false, &offset, source_of(buf), len);
}

int sfs_fs_write_keep(struct sfs_fs *fs, uint64_t ino, uint64_t offset, void **memory, void *buf, size_t len)
{
    return write_data(fs, ino, false, &offset, (struct source){.data = buf, .block = memory}, len);
}

void *sfs_fs_memory_get(struct sfs_fs *fs)
{
    return sfs_fs_block_get(&fs->blocks);
}

void sfs_fs_memory_put(void *memory)
{
    sfs_fs_block_put(memory);
}

int sfs_fs_append(struct sfs_fs *fs, uint64_t ino, const void *buf, size_t len, uint64_t *offset)
{
    *offset = 0;
    return write_data(fs, ino, true, offset, source_of(buf), len);
}

/* The first run of data that ends behind `at`: its (perhaps not whole) bounds; UINT64_MAX: none. */
static void seg_run(const struct sfs_segs *segs, uint64_t at, uint64_t *from, uint64_t *to)
{
    size_t i = sfs_fs_segs_find(segs, at);
    if (i < segs->count && segs->list[i].offset < *from) {
        *from = segs->list[i].offset;
        *to = *from + segs->list[i].len;
    }
}

static int data_run(struct sfs_fs *fs, const struct sfs_inode *inode, uint64_t at, uint64_t *from,
                    uint64_t *to)
{
    struct sfs_item items[64];
    size_t count;
    uint64_t next;
    *from = *to = UINT64_MAX;
    int err = sfs_fs_items(fs, inode->ino, at, SCALEFS_FILE_MAX, items, 64, &count, &next);
    if (err)
        return err;
    if (count) {
        *from = items[0].offset;
        *to = *from + items[0].len;
        for (size_t i = 1; i < count && items[i].offset == *to; i++)
            *to += items[i].len;
    }
    seg_run(&inode->flushing, at, from, to);
    seg_run(&inode->dirty, at, from, to);
    return SCALEFS_OK;
}

int sfs_fs_seek(struct sfs_fs *fs, uint64_t ino, uint64_t offset, bool hole, uint64_t *found)
{
    struct sfs_inode *inode;
    *found = 0;
    int err = sfs_fs_inode_get(fs, ino, &inode);
    if (err)
        return err;
    sfs_rwlock_read(&inode->lock);
    uint64_t size = inode->value.size, at = offset;
    if (inode->gone)
        err = SCALEFS_E_STALE;
    else if (!SFS_FS_ISREG(inode->value.mode))
        err = SCALEFS_E_INVAL;
    else if (offset >= size)
        err = SCALEFS_E_NXIO;
    while (!err && at < size) {
        uint64_t from, to;
        err = data_run(fs, inode, at, &from, &to);
        if (err)
            break;
        if (!hole) {
            at = from > at ? from : at;
            if (at >= size)
                err = SCALEFS_E_NXIO;
            break;
        }
        if (from > at)
            break;
        at = to;
    }
    sfs_rwlock_read_done(&inode->lock);
    if (!err)
        *found = at < size ? at : size;
    sfs_fs_inode_put(fs, inode);
    return err;
}
