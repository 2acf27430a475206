/* Reading the log of a zoned disk's head: which set is the current one, and where its blocks stand.
 *
 * Each zone is read up to its write pointer. Where no whole frame stands (torn, or rotten) the search goes on 4 KiB
 * further; nothing that the head's user writes looks like a frame.
 */
#include "disk/zoned_log.h"

#include <string.h>

#define BLOCK 4096u

struct scan {
    struct sfs_zoned_log *log;
    uint32_t *map;
    struct sfs_zoned_cursor cursor;
    uint8_t id[16];
    bool any, complete;
    uint64_t last;     /* number of the last frame */
    uint64_t standing; /* of the last of kind DATA or COMPLETE */
    uint64_t base, end; /* what log->frame holds of the disk */
};

/* Pointer to `len` bytes of the disk at `at`, below `limit`; NULL: cannot be read. */
static int window(struct scan *s, uint64_t at, uint64_t len, uint64_t limit, const uint8_t **bytes)
{
    struct sfs_zoned_log *l = s->log;
    *bytes = NULL;
    if (at < s->base || at + len > s->end) {
        uint64_t most = SFS_FRAME_HEAD + SFS_FRAME_PAYLOAD_MAX;
        s->base = at;
        s->end = limit - at < most ? limit : at + most;
        int err = sfs_zoned_log_io(l, SFS_IO_READ, at, l->frame, s->end - at);
        if (err == SCALEFS_E_IO && s->end > at + len) {
            s->end = at + len;
            err = sfs_zoned_log_io(l, SFS_IO_READ, at, l->frame, len);
        }
        if (err) {
            s->base = s->end = 0;
            return err == SCALEFS_E_IO ? SCALEFS_OK : err;
        }
    }
    *bytes = l->frame + (at - s->base);
    return SCALEFS_OK;
}

static bool wanted(const struct scan *s, const struct sfs_frame *f)
{
    return !s->any || (!memcmp(f->log, s->id, sizeof s->id) && f->number > s->last);
}

static void take(struct scan *s, const struct sfs_frame *f, uint64_t at)
{
    memcpy(s->id, f->log, sizeof s->id);
    s->any = true;
    s->last = f->number;
    if (f->kind == SFS_FRAME_DATA || f->kind == SFS_FRAME_COMPLETE) {
        s->complete = true;
        s->standing = f->number;
    }
    for (uint32_t i = 0; i < f->bytes / BLOCK; i++)
        s->map[f->offset / BLOCK + i] = (uint32_t)((at + SFS_FRAME_HEAD) / BLOCK + i);
}

static int scan_zone(struct scan *s, uint64_t at, uint64_t end)
{
    while (at + SFS_FRAME_HEAD <= end) {
        const uint8_t *bytes;
        struct sfs_frame f;
        int err = window(s, at, SFS_FRAME_HEAD, end, &bytes);
        if (err)
            return err;
        bool good = bytes && sfs_frame_decode(bytes, s->log->g.head_bytes, &f) && wanted(s, &f) &&
                    f.bytes <= end - at - SFS_FRAME_HEAD;
        if (good) {
            err = window(s, at, SFS_FRAME_HEAD + f.bytes, end, &bytes);
            if (err)
                return err;
            good = bytes && sfs_frame_payload_ok(&f, bytes + SFS_FRAME_HEAD);
        }
        if (good)
            take(s, &f, at);
        at += good ? SFS_FRAME_HEAD + f.bytes : BLOCK;
    }
    return SCALEFS_OK;
}

static int scan_set(struct scan *s, unsigned set)
{
    struct sfs_zoned_log *l = s->log;
    s->cursor = (struct sfs_zoned_cursor){set, 0, sfs_zoned_log_zone(l, set, 0)};
    for (uint32_t z = 0; z < l->g.set_zones; z++) {
        uint64_t start = sfs_zoned_log_zone(l, set, z), pointer, full = start + l->capacity;
        int err = l->disk->ops->write_pointer(l->disk, start, &pointer);
        if (err)
            return err;
        if (pointer == start)
            continue;
        /* Frames follow one another from zone to zone: the last zone that was begun is the one that goes on. */
        s->cursor.zone = z;
        s->cursor.at = pointer % BLOCK || pointer >= full ? UINT64_MAX : pointer;
        s->base = s->end = 0;
        err = scan_zone(s, start, (pointer < full ? pointer : full) / BLOCK * BLOCK);
        if (err)
            return err;
    }
    return SCALEFS_OK;
}

int sfs_zoned_log_open(struct sfs_zoned_log *l)
{
    uint32_t *other = sfs_alloc(l->env, l->blocks * sizeof *other);
    if (!other)
        return SCALEFS_E_NOMEM;
    memset(other, 0xff, l->blocks * sizeof *other);
    struct scan sets[2] = {{.log = l, .map = l->map}, {.log = l, .map = other}};
    int err = scan_set(&sets[0], 0);
    if (!err)
        err = scan_set(&sets[1], 1);
    bool second = sets[1].complete && (!sets[0].complete || sets[1].standing > sets[0].standing);
    const struct scan *s = &sets[second];
    if (!err && !s->complete)
        err = sets[0].any || sets[1].any ? SCALEFS_E_CORRUPT : SCALEFS_E_NOT_A_POOL;
    if (!err) {
        memcpy(l->id, s->id, sizeof l->id);
        l->cursor = s->cursor;
        l->number = (sets[0].last > sets[1].last ? sets[0].last : sets[1].last) + 1;
        if (second) {
            uint32_t *swap = l->map;
            l->map = other;
            other = swap;
        }
    }
    sfs_free(l->env, other);
    return err;
}
