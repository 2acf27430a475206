/* Which files use extents that are lost: told by care when its work is done, found by one walk over the volume.
 *
 * All of them are logged; the first are kept in memory for whoever asks, until care tells of others. Memory is bounded: what a part
 * of the walk found is named before the next part. A file that is deleted or written meanwhile may be missed or named though it is
 * whole again; it is a message, no state.
 */
#include "base/text.h"
#include "fs/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    struct sfs_fs_lost *named;
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

static void keep(struct sfs_fs_lost *named, const struct loss *f, const char *path)
{
    if (named->count++ >= SCALEFS_LOST_FILES)
        return;
    struct scalefs_lost_file *to = &named->files[named->count - 1];
    size_t len = strlen(path), room = sizeof to->path - 1;
    *to = (struct scalefs_lost_file){.ino = f->ino, .offset = f->offset, .bytes = f->bytes};
    if (len <= room)
        memcpy(to->path, path, len);
    else /* its end says more */
        snprintf(to->path, sizeof to->path, "...%s", path + len - (room - 3));
}

/* All that were found; the last one stays when more of it may come. */
static void tell(struct lost_walk *w, bool more)
{
    char path[4096], plain[4096];
    size_t left = more && w->file_count ? 1 : 0;
    for (size_t i = 0; i + left < w->file_count; i++) {
        const struct loss *f = &w->files[i];
        if (sfs_fs_path_of(w->fs, f->ino, path, sizeof path) != SCALEFS_OK || path[0] != '/')
            snprintf(path, sizeof path, "(inode %llu)", (unsigned long long)f->ino);
        sfs_text_plain(path, plain, sizeof plain);
        sfs_log(w->fs->env, SFS_LOG_ERROR, "fs", SCALEFS_E_CORRUPT,
                "%s (inode %llu) has lost %llu bytes, the first of them at %llu", plain, (unsigned long long)f->ino,
                (unsigned long long)f->bytes, (unsigned long long)f->offset);
        keep(w->named, f, path);
    }
    if (left)
        w->files[0] = w->files[w->file_count - 1];
    w->file_count = left;
}

static bool stops(struct sfs_fs *fs)
{
    sfs_mutex_lock(&fs->mutex);
    bool stop = fs->stop;
    sfs_mutex_unlock(&fs->mutex);
    return stop;
}

static void walk(struct lost_walk *w)
{
    struct sfs_key from = {0, 0, 0}, to = {UINT64_MAX, 0xff, UINT64_MAX};
    bool more = w->count > 0;
    while (more && !stops(w->fs)) {
        w->left = CHUNK_KEYS;
        int err = sfs_tree_scan(w->fs->store, w->fs->volume, from, to, look, w);
        more = !err && (w->left == 0 || w->file_count == FILES_AT_ONCE);
        tell(w, more);
        from = w->last;
        if (++from.b == 0 && ++from.type == 0)
            from.a++;
    }
}

void sfs_fs_name_lost(void *context, const uint64_t *ids, size_t count)
{
    struct sfs_fs *fs = context;
    struct lost_walk *w = sfs_zalloc(fs->env, sizeof *w);
    struct sfs_fs_lost *named = sfs_zalloc(fs->env, sizeof *named);
    if (w && named) {
        *w = (struct lost_walk){.fs = fs, .ids = ids, .count = count, .named = named};
        walk(w);
        sfs_mutex_lock(&fs->mutex);
        struct sfs_fs_lost *before = fs->lost;
        fs->lost = named;
        sfs_mutex_unlock(&fs->mutex);
        named = before;
    }
    sfs_free(fs->env, named);
    sfs_free(fs->env, w);
}

uint64_t sfs_fs_lost_files(struct sfs_fs *fs, struct scalefs_lost_file *files, size_t cap, size_t *count)
{
    sfs_mutex_lock(&fs->mutex);
    uint64_t all = fs->lost ? fs->lost->count : 0;
    *count = all < SCALEFS_LOST_FILES ? (size_t)all : SCALEFS_LOST_FILES;
    if (*count > cap)
        *count = cap;
    if (*count)
        memcpy(files, fs->lost->files, *count * sizeof *files);
    sfs_mutex_unlock(&fs->mutex);
    return all;
}
