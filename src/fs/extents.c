/* File extents: the items (inode, 0x30, file offset) of a file, found and cut.
 *
 * Each item holds one reference on its extent and its length in referenced bytes. While a
 * transaction is gathered the tree still shows the old items, so a cut works from low to high
 * offsets and remembers what is left of the last item it met: the next range may cut that again.
 * References change once an item, by the sum, so that an extent that stays referenced never passes
 * through 0.
 */
#include "fs/internal.h"

#include <string.h>

struct gathering {
    struct sfs_item *items;
    size_t count, cap;
    bool more, bad;
    uint64_t next;
};

static bool decode_item(struct sfs_key key, const uint8_t *value, uint32_t len,
                        struct sfs_item *item)
{
    struct sfs_fileext_value v;
    if (sfs_fileext_decode(value, len, &v) || key.b > SCALEFS_FILE_MAX - v.length)
        return false;
    *item = (struct sfs_item){.offset = key.b, .id = v.id, .at = v.offset, .len = v.length};
    return true;
}

static bool gather(void *context, struct sfs_key key, const uint8_t *value, uint32_t len)
{
    struct gathering *g = context;
    if (g->count == g->cap) {
        g->more = true;
        g->next = key.b;
        return false;
    }
    g->bad = !decode_item(key, value, len, &g->items[g->count]);
    g->count += !g->bad;
    return !g->bad;
}

int sfs_fs_items(struct sfs_fs *fs, uint64_t ino, uint64_t from, uint64_t to,
                 struct sfs_item *items, size_t cap, size_t *count, uint64_t *next)
{
    struct gathering g = {.items = items, .cap = cap};
    *count = 0;
    *next = to;
    if (from >= to)
        return SCALEFS_OK;
    uint8_t value[SFS_FILEEXT_BYTES];
    uint32_t len;
    struct sfs_key found;
    int err =
        sfs_tree_floor(fs->store, fs->volume, sfs_fs_key(ino, SFS_KEY_EXTENT, 0),
                       sfs_fs_key(ino, SFS_KEY_EXTENT, from), &found, value, sizeof value, &len);
    if (err && err != SCALEFS_E_NOENT)
        return err == SCALEFS_E_RANGE ? SCALEFS_E_CORRUPT : err;
    uint64_t start = from;
    if (!err) {
        if (!decode_item(found, value, len, &items[0]))
            return SCALEFS_E_CORRUPT;
        uint64_t end = items[0].offset + items[0].len;
        if (end > from) {
            g.count = 1;
            start = end;
        }
    }
    if (start < to) {
        err = sfs_tree_scan(fs->store, fs->volume, sfs_fs_key(ino, SFS_KEY_EXTENT, start),
                            sfs_fs_key(ino, SFS_KEY_EXTENT, to - 1), gather, &g);
        if (err && err != SCALEFS_E_NOENT)
            return err;
        if (g.bad)
            return SCALEFS_E_CORRUPT;
    }
    *count = g.count;
    if (g.more)
        *next = g.next;
    return SCALEFS_OK;
}

void sfs_fs_put_item(struct sfs_fs *fs, struct sfs_tx *tx, uint64_t ino,
                     const struct sfs_item *item)
{
    uint8_t bytes[SFS_FILEEXT_BYTES];
    struct sfs_fileext_value v = {.id = item->id, .offset = item->at, .length = item->len};
    sfs_fileext_encode(&v, bytes);
    sfs_tx_put(tx, fs->volume, sfs_fs_key(ino, SFS_KEY_EXTENT, item->offset), bytes, sizeof bytes);
}

void sfs_fs_cut_begin(struct sfs_cutter *c, struct sfs_fs *fs, struct sfs_tx *tx, uint64_t ino)
{
    memset(c, 0, sizeof *c);
    c->fs = fs;
    c->tx = tx;
    c->ino = ino;
}

static void put_rest(struct sfs_cutter *c, const struct sfs_item *item)
{
    sfs_fs_put_item(c->fs, c->tx, c->ino, item);
    c->refs++;
    c->ref_bytes += item->len;
    struct sfs_partial p = {.id = item->id, .base = item->offset - item->at};
    struct sfs_partial *last = c->partial_count ? &c->partial[c->partial_count - 1] : NULL;
    if (item->offset < item->at || (last && last->id == p.id && last->base == p.base))
        return;
    if (c->partial_count < SFS_FS_PARTIAL)
        c->partial[c->partial_count++] = p;
}

/* The last item is done with: its extent's changes go into the transaction. */
static void close_item(struct sfs_cutter *c)
{
    if (c->has_rest)
        put_rest(c, &c->rest);
    c->has_rest = false;
    if (c->open_id && (c->refs || c->ref_bytes))
        sfs_tx_extent_ref(c->tx, c->open_id, c->refs, c->ref_bytes);
    c->open_id = 0;
}

/* Cuts [from, to), which touches the item. `in_tree`: the item's key is there. */
static void cut_item(struct sfs_cutter *c, struct sfs_item item, uint64_t from, uint64_t to,
                     bool in_tree)
{
    uint64_t end = item.offset + item.len;
    uint64_t low = item.offset > from ? item.offset : from, high = end < to ? end : to;
    c->bytes += high - low;
    c->has_rest = false;
    if (item.offset < from) {
        struct sfs_item left = item;
        left.len = (uint32_t)(from - item.offset);
        put_rest(c, &left);
    } else if (in_tree) {
        sfs_tx_delete(c->tx, c->fs->volume, sfs_fs_key(c->ino, SFS_KEY_EXTENT, item.offset));
    }
    if (end > to) {
        c->rest = (struct sfs_item){.offset = to,
                                    .id = item.id,
                                    .at = item.at + (uint32_t)(to - item.offset),
                                    .len = (uint32_t)(end - to)};
        c->has_rest = true;
    }
}

int sfs_fs_cut_some(struct sfs_cutter *c, uint64_t from, uint64_t to, size_t max, uint64_t *upto)
{
    struct sfs_item items[64];
    *upto = to;
    if (c->has_rest && c->rest.offset + c->rest.len > from)
        cut_item(c, c->rest, from, to, false);
    uint64_t at = from > c->loaded_end ? from : c->loaded_end;
    while (at < to) {
        size_t count;
        uint64_t next;
        size_t cap = max < 64 ? max : 64;
        int err = sfs_fs_items(c->fs, c->ino, at, to, items, cap, &count, &next);
        if (err)
            return err;
        for (size_t i = 0; i < count; i++) {
            close_item(c);
            c->open_id = items[i].id;
            c->refs = -1;
            c->ref_bytes = -(int64_t)items[i].len;
            c->loaded_end = items[i].offset + items[i].len;
            cut_item(c, items[i], from, to, true);
        }
        at = next;
        max -= count;
        if (!max && at < to) {
            *upto = at;
            break;
        }
    }
    return SCALEFS_OK;
}

int sfs_fs_cut(struct sfs_cutter *c, uint64_t from, uint64_t to)
{
    uint64_t upto;
    return sfs_fs_cut_some(c, from, to, SIZE_MAX, &upto);
}

void sfs_fs_cut_end(struct sfs_cutter *c)
{
    close_item(c);
}
