/* When dirty data is written out, and whose: before memory runs over, at fsync, at each checkpoint.
 *
 * A writer that finds the bound reached writes out itself: its own file when there is much of it,
 * else the largest, else the oldest of all files together, so that many small ones fill rows. A
 * task begins with that at a quarter of the bound, so that a writer seldom has to.
 */
#include "fs/internal.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_AT 1024u /* inodes, for the largest */
#define RETRY_NS 1000000000u

static int by_number(const void *a, const void *b)
{
    const struct sfs_inode *x = *(struct sfs_inode *const *)a, *y = *(struct sfs_inode *const *)b;
    return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* The inodes (each with a reference) are written out and given back. */
static int flush_inodes(struct sfs_fs *fs, struct sfs_inode **inodes, size_t count, bool tail,
                        uint64_t *moved)
{
    qsort(inodes, count, sizeof *inodes, by_number);
    for (size_t i = 0; i < count; i++)
        sfs_mutex_lock(&inodes[i]->flush);
    int err = sfs_fs_flush_held(fs, inodes, count, tail, moved);
    for (size_t i = count; i-- > 0;)
        sfs_mutex_unlock(&inodes[i]->flush);
    for (size_t i = 0; i < count; i++)
        sfs_fs_inode_put(fs, inodes[i]);
    return err;
}

int sfs_fs_flush_inode(struct sfs_fs *fs, struct sfs_inode *inode, bool tail)
{
    sfs_mutex_lock(&inode->flush);
    int err = sfs_fs_flush_held(fs, &inode, 1, tail, NULL);
    sfs_mutex_unlock(&inode->flush);
    return err;
}

/* The oldest ones, with references, until there is enough for a batch; mutex held. `upto`: no
 * younger ones. */
static size_t collect(struct sfs_fs *fs, struct sfs_inode **inodes, uint64_t upto, uint64_t *bytes)
{
    size_t count = 0;
    *bytes = 0;
    for (struct sfs_inode *i = fs->dirty_first; i && i->dirty_seq <= upto; i = i->dirty_next) {
        if (count == SFS_FS_BATCH_INODES || (count && *bytes + i->memory > SFS_FS_BATCH_BYTES))
            break;
        i->refs++;
        inodes[count++] = i;
        *bytes += i->memory;
    }
    return count;
}

int sfs_fs_flush_all(struct sfs_fs *fs)
{
    struct sfs_inode **inodes = sfs_alloc(fs->env, SFS_FS_BATCH_INODES * sizeof *inodes);
    if (!inodes)
        return SCALEFS_E_NOMEM;
    sfs_mutex_lock(&fs->mutex);
    uint64_t upto = fs->dirty_seq, bytes;
    sfs_mutex_unlock(&fs->mutex);
    int err = SCALEFS_OK;
    while (!err) {
        sfs_mutex_lock(&fs->mutex);
        size_t count = collect(fs, inodes, upto, &bytes);
        sfs_mutex_unlock(&fs->mutex);
        if (!count)
            break;
        err = flush_inodes(fs, inodes, count, true, NULL);
    }
    sfs_free(fs->env, inodes);
    return err;
}

/* The one whose data alone is worth writing, or NULL; mutex held. */
static struct sfs_inode *choose(struct sfs_fs *fs, struct sfs_inode *prefer)
{
    uint64_t enough = fs->options.dirty_bytes / 8;
    if (prefer && prefer->listed && prefer->memory >= enough)
        return prefer;
    struct sfs_inode *largest = NULL;
    unsigned looked = 0;
    for (struct sfs_inode *i = fs->dirty_first; i && looked < LOOK_AT; i = i->dirty_next, looked++)
        if (!largest || i->memory > largest->memory)
            largest = i;
    return largest && largest->memory >= enough ? largest : NULL;
}

/* What flush_some writes out now: one inode, or many; with references. */
static size_t pick(struct sfs_fs *fs, struct sfs_inode *prefer, struct sfs_inode **inodes,
                   uint64_t *bytes)
{
    size_t count = 0;
    sfs_mutex_lock(&fs->mutex);
    struct sfs_inode *one = choose(fs, prefer);
    if (one) {
        one->refs++;
        inodes[count++] = one;
        *bytes = one->memory;
    } else {
        count = collect(fs, inodes, UINT64_MAX, bytes);
    }
    sfs_mutex_unlock(&fs->mutex);
    return count;
}

int sfs_fs_flush_some(struct sfs_fs *fs, struct sfs_inode *prefer)
{
    struct sfs_inode **inodes = sfs_alloc(fs->env, SFS_FS_BATCH_INODES * sizeof *inodes);
    if (!inodes)
        return SCALEFS_E_NOMEM;
    uint64_t bytes = 0, moved = 0;
    size_t count = pick(fs, prefer, inodes, &bytes);
    /* What fills no row may wait, unless that is much of it; or all of it: memory is not bytes,
     * since a segment of which a part was written keeps its room. */
    bool tail = count && bytes < 4ull * sfs_store_row_bytes(fs->store);
    int err = count ? flush_inodes(fs, inodes, count, tail, &moved) : SCALEFS_OK;
    if (!err && count && !tail && !moved) {
        count = pick(fs, prefer, inodes, &bytes);
        err = count ? flush_inodes(fs, inodes, count, true, &moved) : SCALEFS_OK;
    }
    sfs_free(fs->env, inodes);
    if (!err)
        sfs_fs_halves_pay(fs);
    return err;
}

int sfs_fs_charge(struct sfs_fs *fs, struct sfs_inode *prefer, uint64_t bytes)
{
    int err = SCALEFS_OK;
    /* A stream gains nothing from more than this, but would need fresh memory for it. */
    uint64_t bound = bytes < SFS_FS_SEGMENT_BYTES / 2 ? fs->options.dirty_bytes : fs->options.dirty_bytes / 2;
    sfs_mutex_lock(&fs->mutex);
    while (fs->dirty_memory && fs->dirty_memory + bytes > bound) {
        if (!fs->dirty_first) { /* all of it belongs to writers who are just at it */
            sfs_cond_wait(&fs->dirty_less, &fs->mutex);
            continue;
        }
        sfs_mutex_unlock(&fs->mutex);
        err = sfs_fs_flush_some(fs, prefer);
        sfs_mutex_lock(&fs->mutex);
        if (err)
            break;
        bound = fs->options.dirty_bytes; /* beside others who write it has had its turn: it must not wait for ever */
    }
    if (!err)
        fs->dirty_memory += bytes;
    sfs_mutex_unlock(&fs->mutex);
    return err;
}

void sfs_fs_uncharge(struct sfs_fs *fs, uint64_t bytes)
{
    sfs_mutex_lock(&fs->mutex);
    SFS_ASSERT(fs->dirty_memory >= bytes);
    fs->dirty_memory -= bytes;
    sfs_cond_broadcast(&fs->dirty_less);
    sfs_mutex_unlock(&fs->mutex);
}

int sfs_fs_fsync(struct sfs_fs *fs, uint64_t ino)
{
    struct sfs_inode *inode;
    int err = sfs_fs_inode_get(fs, ino, &inode);
    if (err)
        return err;
    if (!fs->options.read_only) {
        err = sfs_fs_flush_inode(fs, inode, true);
        if (!err)
            err = sfs_store_sync(fs->store);
    }
    sfs_fs_inode_put(fs, inode);
    if (!err && !fs->writer)
        sfs_fs_halves_pay(fs);
    return err;
}

/* --- extents of which a file uses only a part
 * -------------------------------------------------------------- */

void sfs_fs_halves_note(struct sfs_fs *fs, uint64_t ino, const struct sfs_cutter *c)
{
    sfs_mutex_lock(&fs->mutex);
    for (size_t i = 0; i < c->partial_count && fs->half_count < SFS_FS_HALVES; i++)
        fs->halves[fs->half_count++] =
            (struct sfs_half){.ino = ino, .id = c->partial[i].id, .base = c->partial[i].base};
    if (fs->half_count)
        sfs_cond_broadcast(&fs->work);
    sfs_mutex_unlock(&fs->mutex);
}

/* The items that use the extent as the file once wrote it, when there are no others anywhere and
 * together they are less than half of it. */
static size_t find_leftovers(struct sfs_fs *fs, const struct sfs_half *h, struct sfs_item *left,
                             size_t cap)
{
    struct sfs_extent extent;
    struct sfs_item items[64];
    size_t count, found = 0;
    uint64_t next, bytes = 0;
    if (sfs_tree_extent(fs->store, h->id, &extent) || extent.ref_bytes * 2 >= extent.raw)
        return 0;
    if (sfs_fs_items(fs, h->ino, h->base, h->base + extent.raw, items, 64, &count, &next) ||
        next != h->base + extent.raw)
        return 0;
    for (size_t i = 0; i < count && found < cap; i++) {
        if (items[i].id == h->id && items[i].offset - items[i].at == h->base) {
            left[found++] = items[i];
            bytes += items[i].len;
        }
    }
    return found == extent.refs && bytes == extent.ref_bytes ? found : 0;
}

/* Makes the items' bytes dirty, so that the next flush writes them anew. Nothing may have changed
 * meanwhile. */
static void make_dirty(struct sfs_fs *fs, struct sfs_inode *inode, const struct sfs_half *h,
                       const struct sfs_item *left, size_t count, const uint8_t *data,
                       uint64_t bytes)
{
    struct sfs_item again[16];
    sfs_rwlock_write(&inode->lock);
    inode->reserved += bytes;
    if (!inode->gone && !inode->flushing.count && !inode->cut_pending &&
        find_leftovers(fs, h, again, 16) == count && !memcmp(again, left, count * sizeof *left)) {
        for (size_t i = 0; i < count; i++) {
            /* What was written there since is newer. */
            if (sfs_fs_segs_under(fs->env, &inode->dirty, left[i].offset, data, left[i].len))
                break;
            data += left[i].len;
        }
    }
    sfs_fs_account(fs, inode, bytes);
    sfs_rwlock_write_done(&inode->lock);
}

static void pay_half(struct sfs_fs *fs, struct sfs_inode *inode, const struct sfs_half *h)
{
    struct sfs_item left[16];
    memset(left, 0, sizeof left);
    uint64_t bytes = 0, at = 0;
    sfs_rwlock_read(&inode->lock);
    size_t count = inode->gone ? 0 : find_leftovers(fs, h, left, 16);
    sfs_rwlock_read_done(&inode->lock);
    for (size_t i = 0; i < count; i++)
        bytes += left[i].len;
    uint8_t *data = count ? sfs_alloc(fs->env, bytes) : NULL;
    if (!data)
        return;
    struct sfs_read reads[16];
    for (size_t i = 0; i < count; i++) {
        reads[i] = (struct sfs_read){
            .id = h->id, .offset = left[i].at, .len = left[i].len, .buf = data + at};
        at += left[i].len;
    }
    int err = sfs_store_read(fs->store, reads, count);
    sfs_mutex_lock(&fs->mutex);
    if (fs->dirty_memory + bytes > fs->options.dirty_bytes)
        err = SCALEFS_E_BUSY; /* no time for this: it is an economy, not a duty */
    else if (!err)
        fs->dirty_memory += bytes;
    sfs_mutex_unlock(&fs->mutex);
    if (!err && (err = sfs_store_reserve(fs->store, bytes)) != SCALEFS_OK)
        sfs_fs_uncharge(fs, bytes);
    if (!err)
        make_dirty(fs, inode, h, left, count, data, bytes);
    sfs_free(fs->env, data);
}

void sfs_fs_halves_pay(struct sfs_fs *fs)
{
    for (size_t n = 0; n < SFS_FS_HALVES; n++) {
        struct sfs_half h;
        struct sfs_inode *inode;
        sfs_mutex_lock(&fs->mutex);
        bool any = fs->half_count > 0 && !fs->stop;
        if (any)
            h = fs->halves[--fs->half_count];
        sfs_mutex_unlock(&fs->mutex);
        if (!any)
            return;
        if (sfs_fs_inode_get(fs, h.ino, &inode))
            continue;
        pay_half(fs, inode, &h);
        sfs_fs_inode_put(fs, inode);
    }
}

void sfs_fs_writer(void *arg)
{
    struct sfs_fs *fs = arg;
    sfs_mutex_lock(&fs->mutex);
    while (!fs->stop) {
        bool much = fs->dirty_first && fs->dirty_memory > fs->options.dirty_bytes / 4;
        if (!much && !fs->half_count) {
            fs->writer_idle = true;
            sfs_cond_wait(&fs->work, &fs->mutex);
            continue;
        }
        sfs_mutex_unlock(&fs->mutex);
        int err = SCALEFS_OK;
        if (much)
            err = sfs_fs_flush_some(fs, NULL);
        else
            sfs_fs_halves_pay(fs);
        sfs_mutex_lock(&fs->mutex);
        uint64_t until = err ? sfs_now_ns(fs->env) + RETRY_NS : 0;
        while (until && !fs->stop && sfs_cond_wait_until(&fs->work, &fs->mutex, until)) {
            /* the writers say it; here it is tried again, but not all the time */
        }
    }
    sfs_mutex_unlock(&fs->mutex);
}
