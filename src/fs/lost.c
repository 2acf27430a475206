/* Which files use extents that are lost: told by care when its work is done, found by one walk over the volume.
 *
 * Memory is bounded: what a part of the walk found is named before the next part. A file that is deleted or written
 * meanwhile may be missed or named once too often; it is a message, no state.
 */
#include "fs/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define CHUNK_KEYS 4096u
#define FILES_AT_ONCE 64u

struct loss {
    uint64_t ino, offset, bytes; /* the first place, and how much there is in all */
};
struct lost_walk {
    struct sfs_fs *fs;
    const uint64_t *ids;
    size_t count, left;
    struct sfs_key last;
    struct loss files[FILES_AT_ONCE];
    size_t file_count;
};

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool look(void *context, struct sfs_key key, const uint8_t *value, uint32_t len)
{
    struct lost_walk *w = context;
    struct sfs_fileext_value v;
    w->last = key;
    if (key.type == SFS_KEY_EXTENT && sfs_fileext_decode(value, len, &v) == SCALEFS_OK &&
        bsearch(&v.id, w->ids, w->count, sizeof *w->ids, by_number)) {
        struct loss *f = w->file_count ? &w->files[w->file_count - 1] : NULL;
        if (!f || f->ino != key.a) {
            f = &w->files[w->file_count++];
            *f = (struct loss){.ino = key.a, .offset = key.b};
        }
        f->bytes += v.length;
    }
    return --w->left > 0 && w->file_count < FILES_AT_ONCE;
}

static void tell(struct lost_walk *w)
{
    char path[4096];
    for (size_t i = 0; i < w->file_count; i++) {
        const struct loss *f = &w->files[i];
        if (sfs_fs_path_of(w->fs, f->ino, path, sizeof path) != SCALEFS_OK)
            snprintf(path, sizeof path, "?");
        sfs_log(w->fs->env, SFS_LOG_ERROR, "fs", SCALEFS_E_CORRUPT,
                "%s (inode %llu) has lost %llu bytes, the first of them at %llu", path, (unsigned long long)f->ino,
                (unsigned long long)f->bytes, (unsigned long long)f->offset);
    }
    w->file_count = 0;
}

static bool stops(struct sfs_fs *fs)
{
    sfs_mutex_lock(&fs->mutex);
    bool stop = fs->stop;
    sfs_mutex_unlock(&fs->mutex);
    return stop;
}

void sfs_fs_name_lost(void *context, const uint64_t *ids, size_t count)
{
    struct lost_walk *w = sfs_zalloc(((struct sfs_fs *)context)->env, sizeof *w);
    struct sfs_key from = {0, 0, 0}, to = {UINT64_MAX, 0xff, UINT64_MAX};
    if (!w)
        return;
    w->fs = context;
    w->ids = ids;
    w->count = count;
    bool more = true;
    while (more && !stops(w->fs)) {
        w->left = CHUNK_KEYS;
        int err = sfs_tree_scan(w->fs->store, w->fs->volume, from, to, look, w);
        more = !err && (w->left == 0 || w->file_count == FILES_AT_ONCE);
        tell(w);
        from = w->last;
        if (++from.b == 0 && ++from.type == 0)
            from.a++;
    }
    sfs_free(w->fs->env, w);
}
