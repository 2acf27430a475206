/* Writing dirty data out: many inodes, one batch, few transactions.
 *
 * A flush (1) takes the dirty segments of its inodes aside, where they stay readable; (2) without
 * any inode lock, packs them into extents; (3) under the inodes' locks puts the new extents over
 * the old in transactions that several small files share, while a large one takes several; (4)
 * gives back to the dirty what was not kept: the rest that fills no row, or everything after an
 * error. Newer writes win over it.
 *
 * The size goes to the tree with the data that it covers (invariant 1): while only a first part of
 * a file's data is in the tree, so is only a first part of its size.
 */
#include "fs/internal.h"

#include <string.h>

#define GATHER_BYTES                                                                               \
    (128u << 10)         /* shorter segments are put together with those that follow them */
#define SOLO_PIECES 128u /* a file with more of them gets transactions of its own */

struct flush_item {
    struct sfs_inode *inode;
    uint64_t size;       /* of the file when its data was taken */
    uint64_t bytes;      /* taken */
    size_t first, count; /* its pieces */
    size_t kept;         /* of these, on the disks */
    size_t done;         /* of these, in the tree */
    bool gone, attr;
    /* what becomes true with the open transaction */
    size_t next_done;
    uint64_t next_size, next_allocated;
};
struct flush_piece {
    uint64_t offset;
    uint32_t len;
};
struct flush {
    struct sfs_fs *fs;
    struct flush_item *items;
    size_t item_count;
    struct flush_piece *pieces;
    size_t piece_count, piece_room;
    const struct sfs_piece *made;
    struct sfs_batch *batch;
    uint8_t *scratch;
    struct sfs_tx tx;
    size_t open_from; /* items from here on are locked and in the open transaction */
};

/* --- (1) take
 * ---------------------------------------------------------------------------------------- */

/* What is in `flushing` from `from` on becomes dirty again. When memory is short it stays there:
 * readable, and taken along by the next flush. */
static int merge_back(struct sfs_fs *fs, struct sfs_inode *inode, uint64_t from)
{
    struct sfs_segs *flushing = &inode->flushing, *dirty = &inode->dirty;
    sfs_fs_segs_cut(fs->env, flushing, 0, from); /* never splits: needs no memory */
    if (!dirty->count) {
        struct sfs_segs swap = *dirty;
        *dirty = *flushing;
        *flushing = swap;
    }
    for (size_t i = 0; i < flushing->count; i++) {
        const struct sfs_seg *seg = &flushing->list[i];
        int err = sfs_fs_segs_under(fs->env, dirty, seg->offset, seg->data, seg->len);
        if (err)
            return err;
    }
    sfs_fs_segs_clear(fs->env, flushing);
    return SCALEFS_OK;
}

static int take(struct flush *f, struct flush_item *item, struct sfs_inode *inode)
{
    int err = SCALEFS_OK;
    *item = (struct flush_item){.inode = inode};
    sfs_rwlock_write(&inode->lock);
    item->gone = inode->gone;
    if (!item->gone && inode->flushing.count)
        err = merge_back(f->fs, inode, 0);
    if (!item->gone && !err) {
        struct sfs_segs empty = inode->flushing; /* it may still have its array */
        inode->flushing = inode->dirty;
        inode->dirty = empty;
        item->size = inode->value.size;
        item->bytes = inode->flushing.bytes;
        item->attr = inode->attr_dirty || item->size != inode->disk_size;
    }
    sfs_rwlock_write_done(&inode->lock);
    return err;
}

/* --- (2) write
 * ---------------------------------------------------------------------------------------- */

static int add_piece(struct flush *f, struct sfs_inode *inode, const uint8_t *data, uint32_t len,
                     uint64_t offset, uint32_t *raw)
{
    if (f->piece_count == f->piece_room) {
        size_t room = f->piece_room ? f->piece_room * 2 : 64;
        struct flush_piece *more =
            sfs_realloc(f->fs->env, f->pieces, f->piece_count * sizeof *more, room * sizeof *more);
        if (!more)
            return SCALEFS_E_NOMEM;
        f->pieces = more;
        f->piece_room = room;
    }
    int err = sfs_batch_add(f->batch, data, len, f->fs->volume, inode->ino, offset, raw);
    if (err)
        return err;
    SFS_ASSERT(*raw > 0 && *raw <= len);
    f->pieces[f->piece_count++] = (struct flush_piece){.offset = offset, .len = *raw};
    return SCALEFS_OK;
}

/* Where the bytes from `at` in segment i lie in one piece of memory, and how many of them. */
static const uint8_t *contiguous(struct flush *f, const struct sfs_segs *segs, size_t i,
                                 uint64_t at, uint32_t *len)
{
    const struct sfs_seg *seg = &segs->list[i];
    *len = (uint32_t)(seg->offset + seg->len - at);
    bool ends = i + 1 == segs->count || seg[1].offset != seg->offset + seg->len;
    if (*len >= GATHER_BYTES || ends)
        return seg->data + (at - seg->offset);
    uint32_t n = 0;
    for (; i < segs->count && segs->list[i].offset <= at && n < GATHER_BYTES; i++) {
        seg = &segs->list[i];
        uint32_t part = (uint32_t)(seg->offset + seg->len - at);
        if (part > GATHER_BYTES - n)
            part = GATHER_BYTES - n;
        memcpy(f->scratch + n, seg->data + (at - seg->offset), part);
        n += part;
        at += part;
    }
    *len = n;
    return f->scratch;
}

static int write_inode(struct flush *f, struct flush_item *item)
{
    const struct sfs_segs *segs =
        &item->inode->flushing; /* nobody changes it while we hold `flush` */
    item->first = f->piece_count;
    for (size_t i = 0; i < segs->count;) {
        uint64_t at = segs->list[i].offset;
        while (i < segs->count && segs->list[i].offset <= at) {
            uint32_t len, raw;
            const uint8_t *data = contiguous(f, segs, i, at, &len);
            int err = add_piece(f, item->inode, data, len, at, &raw);
            if (err)
                return err;
            at += raw;
            while (i < segs->count && segs->list[i].offset + segs->list[i].len <= at)
                i++;
        }
    }
    item->count = f->piece_count - item->first;
    return SCALEFS_OK;
}

static int write_all(struct flush *f, bool tail)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < f->item_count; i++)
        bytes += f->items[i].bytes;
    if (!bytes)
        return SCALEFS_OK;
    f->scratch = sfs_alloc(f->fs->env, GATHER_BYTES);
    if (!f->scratch)
        return SCALEFS_E_NOMEM;
    int err = sfs_batch_begin(f->fs->store, 0, &f->batch);
    if (err)
        return err;
    sfs_batch_expect(f->batch, bytes);
    for (size_t i = 0; !err && i < f->item_count; i++)
        err = write_inode(f, &f->items[i]);
    size_t kept = 0;
    int end_err = sfs_batch_end(f->batch, tail && !err, &kept, &f->made);
    if (err || end_err)
        return err ? err : end_err;
    SFS_ASSERT(kept <= f->piece_count && (!tail || kept == f->piece_count));
    for (size_t i = 0; i < f->item_count; i++) {
        struct flush_item *item = &f->items[i];
        if (kept > item->first)
            item->kept = kept - item->first < item->count ? kept - item->first : item->count;
    }
    return SCALEFS_OK;
}

/* --- (3) commit
 * ------------------------------------------------------------------------------------------ */

/* Puts pieces [from, to) of the item (locked) and its value into the transaction. */
static int build(struct flush *f, struct flush_item *item, size_t from, size_t to)
{
    struct sfs_fs *fs = f->fs;
    struct sfs_inode *inode = item->inode;
    const struct flush_piece *pieces = item->count ? f->pieces + item->first : NULL;
    struct sfs_cutter cut;
    sfs_fs_cut_begin(&cut, fs, &f->tx, inode->ino);
    for (size_t i = from; i < to;) {
        uint64_t start = pieces[i].offset, end = start;
        for (; i < to && pieces[i].offset == end; i++)
            end += pieces[i].len;
        int err = sfs_fs_cut(&cut, start, end);
        if (err)
            return err;
    }
    sfs_fs_cut_end(&cut);
    uint64_t allocated =
        inode->value.allocated > cut.bytes ? inode->value.allocated - cut.bytes : 0;
    for (size_t i = from; i < to; i++) {
        const struct sfs_piece *made = &f->made[item->first + i];
        SFS_ASSERT(made->raw == pieces[i].len);
        sfs_tx_extent_add(&f->tx, made, 1, made->raw);
        sfs_fs_put_item(
            fs, &f->tx, inode->ino,
            &(struct sfs_item){.offset = pieces[i].offset, .id = made->id, .len = made->raw});
        allocated += made->raw;
    }
    item->next_done = to;
    item->next_size = item->size;
    if (to < item->count) {
        uint64_t end = to ? pieces[to - 1].offset + pieces[to - 1].len : 0;
        item->next_size = inode->disk_size > end ? inode->disk_size : end;
    }
    item->next_allocated = allocated;
    struct sfs_inode_value value = inode->value;
    value.allocated = allocated;
    sfs_fs_put_value(fs, &f->tx, inode->ino, &value, item->next_size);
    sfs_fs_halves_note(fs, inode->ino, &cut);
    return SCALEFS_OK;
}

/* The item (locked) is over: what is not in the tree becomes dirty again. Unlocks. */
static void settle(struct flush *f, struct flush_item *item)
{
    struct sfs_inode *inode = item->inode;
    uint64_t from = UINT64_MAX;
    if (item->done < item->count)
        from = f->pieces[item->first + item->done].offset;
    else if (item->bytes && !item->count) /* nothing of it got as far as a batch */
        from = 0;
    if (!item->gone && inode->flushing.count)
        merge_back(f->fs, inode, from);
    if (!inode->gone)
        sfs_fs_relist(f->fs, inode);
    sfs_rwlock_write_done(&inode->lock);
}

/* Ends the open transaction, of items [open_from, upto). `over`: so are these; else they stay
 * locked. */
static int close_tx(struct flush *f, size_t upto, bool over)
{
    f->tx.claim = SFS_CLAIM_PROMISED;
    int err = f->tx.count || f->tx.error ? sfs_tx_commit(&f->tx) : SCALEFS_OK;
    for (size_t i = f->open_from; i < upto; i++) {
        struct flush_item *item = &f->items[i];
        struct sfs_inode *inode = item->inode;
        if (!err && !item->gone && (item->next_done || item->attr)) {
            item->done = item->next_done;
            inode->value.allocated = item->next_allocated;
            inode->disk_size = item->next_size;
            inode->attr_dirty = inode->disk_size != inode->value.size;
        }
        if (over)
            settle(f, item);
    }
    if (over)
        f->open_from = upto;
    return err;
}

/* The transaction cannot be used: a part of it could not be gathered. Items up to `last` fail. */
static void drop_tx(struct flush *f, size_t last)
{
    sfs_tx_deinit(&f->tx);
    sfs_tx_init(&f->tx, f->fs->store);
    for (; f->open_from <= last; f->open_from++)
        settle(f, &f->items[f->open_from]);
}

/* A large file: transactions of its own. It is locked, and alone in the open group. */
static int commit_solo(struct flush *f, size_t index)
{
    struct flush_item *item = &f->items[index];
    int err = SCALEFS_OK;
    for (size_t at = 0; !err && at < item->kept;) {
        size_t to = item->kept - at > SOLO_PIECES ? at + SOLO_PIECES : item->kept;
        err = build(f, item, at, to);
        if (!err)
            err = close_tx(f, index + 1, false);
        at = to;
    }
    drop_tx(f, index);
    return err;
}

static int commit_item(struct flush *f, size_t i)
{
    struct flush_item *item = &f->items[i];
    bool solo = item->kept > SOLO_PIECES;
    int err = solo ? close_tx(f, i, true) : SCALEFS_OK;
    sfs_rwlock_write(&item->inode->lock);
    item->gone = item->gone || item->inode->gone;
    if (!err && solo && !item->gone)
        return commit_solo(f, i);
    if (!err && !item->gone && (item->kept || (!item->count && item->attr)))
        err = build(f, item, 0, item->kept);
    else
        item->attr = false; /* nothing of it is in the transaction */
    if (err) {
        drop_tx(f, i);
        return err;
    }
    return f->tx.count >= SFS_FS_TX_OPS ? close_tx(f, i + 1, true) : SCALEFS_OK;
}

/* `err`: what happened until here; then nothing is committed. */
static int commit_all(struct flush *f, int err)
{
    sfs_tx_init(&f->tx, f->fs->store);
    for (size_t i = 0; i < f->item_count; i++) {
        if (err) { /* after an error no transaction is open */
            SFS_ASSERT(f->open_from == i);
            sfs_rwlock_write(&f->items[i].inode->lock);
            drop_tx(f, i);
        } else {
            err = commit_item(f, i);
        }
    }
    if (!err && f->open_from < f->item_count)
        err = close_tx(f, f->item_count, true);
    sfs_tx_deinit(&f->tx);
    return err;
}

int sfs_fs_flush_held(struct sfs_fs *fs, struct sfs_inode *const *inodes, size_t count, bool tail,
                      uint64_t *moved)
{
    struct flush f = {.fs = fs};
    uint64_t sum = 0;
    f.items = sfs_alloc(fs->env, count * sizeof *f.items);
    if (!f.items)
        return SCALEFS_E_NOMEM;
    int err = SCALEFS_OK;
    for (; !err && f.item_count < count; f.item_count++)
        err = take(&f, &f.items[f.item_count], inodes[f.item_count]);
    if (!err)
        err = write_all(&f, tail);
    err = commit_all(&f, err);
    for (size_t i = 0; i < f.item_count; i++)
        for (size_t j = 0; j < f.items[i].done; j++)
            sum += f.pieces[f.items[i].first + j].len;
    if (moved)
        *moved = sum;
    if (f.batch)
        sfs_batch_free(f.batch);
    sfs_free(fs->env, f.scratch);
    sfs_free(fs->env, f.pieces);
    sfs_free(fs->env, f.items);
    return err;
}
