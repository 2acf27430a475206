/* Dirty data of one file: a sorted array of disjoint segments of bytes.
 *
 * A segment never leaves its window of SFS_FS_SEGMENT_BYTES and only ever grows at its end, into
 * room that doubles: so no byte is copied more than about twice, whatever the order of the writes.
 * One whose memory was given away with it (`sfs_fs_segs_keep`) lies where it was written, across windows, too.
 * Neighbouring segments stay apart; the flush joins them.
 */
#include "fs/internal.h"

#include <string.h>

static uint64_t end_of(const struct sfs_seg *seg)
{
    return seg->offset + seg->len;
}

static void free_data(struct sfs_env *env, struct sfs_seg *seg)
{
    if (seg->block)
        sfs_fs_block_put(seg->block);
    else
        sfs_free(env, seg->data);
}

static void free_seg(struct sfs_env *env, struct sfs_segs *s, struct sfs_seg *seg)
{
    s->bytes -= seg->len;
    s->memory -= seg->room + SFS_FS_SEGMENT_COST;
    free_data(env, seg);
}

void sfs_fs_segs_clear(struct sfs_env *env, struct sfs_segs *s)
{
    for (size_t i = 0; i < s->count; i++)
        free_seg(env, s, &s->list[i]);
    sfs_free(env, s->list);
    memset(s, 0, sizeof *s);
}

size_t sfs_fs_segs_find(const struct sfs_segs *s, uint64_t offset)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (end_of(&s->list[mid]) > offset)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

static int make_room(struct sfs_env *env, struct sfs_segs *s, size_t need)
{
    if (need <= s->room)
        return SCALEFS_OK;
    size_t room = s->room * 2 > need ? s->room * 2 : need + 3;
    struct sfs_seg *list = sfs_realloc(env, s->list, s->count * sizeof *list, room * sizeof *list);
    if (!list)
        return SCALEFS_E_NOMEM;
    s->list = list;
    s->room = room;
    return SCALEFS_OK;
}

/* There is room for it. */
static void insert_seg(struct sfs_segs *s, size_t at, struct sfs_seg seg)
{
    memmove(&s->list[at + 1], &s->list[at], (s->count - at) * sizeof *s->list);
    s->list[at] = seg;
    s->count++;
    s->bytes += seg.len;
    s->memory += seg.room + SFS_FS_SEGMENT_COST;
}

static int insert(struct sfs_env *env, struct sfs_segs *s, size_t at, uint64_t offset,
                  const uint8_t *data, uint32_t len)
{
    int err = make_room(env, s, s->count + 1);
    if (err)
        return err;
    uint8_t *copy = sfs_alloc(env, len);
    if (!copy)
        return SCALEFS_E_NOMEM;
    memcpy(copy, data, len);
    insert_seg(s, at, (struct sfs_seg){.offset = offset, .len = len, .room = len, .data = copy});
    return SCALEFS_OK;
}

static int append(struct sfs_env *env, struct sfs_segs *s, struct sfs_seg *seg, const uint8_t *data,
                  uint32_t len)
{
    uint32_t need = seg->len + len;
    if (need > seg->room) {
        uint32_t room = seg->room * 2 > need ? seg->room * 2 : need;
        uint32_t most = SFS_FS_SEGMENT_BYTES - (uint32_t)(seg->offset % SFS_FS_SEGMENT_BYTES);
        if (room > most)
            room = most;
        uint8_t *bigger = sfs_alloc(env, room);
        if (!bigger)
            return SCALEFS_E_NOMEM;
        memcpy(bigger, seg->data, seg->len);
        free_data(env, seg);
        s->memory += room - seg->room;
        seg->data = bigger;
        seg->block = NULL;
        seg->room = room;
    }
    memcpy(seg->data + seg->len, data, len);
    seg->len = need;
    s->bytes += len;
    return SCALEFS_OK;
}

static uint64_t window(uint64_t offset)
{
    return offset / SFS_FS_SEGMENT_BYTES;
}

static int put(struct sfs_env *env, struct sfs_segs *s, uint64_t offset, const uint8_t *data,
               size_t len, bool overwrite)
{
    while (len) {
        size_t i = sfs_fs_segs_find(s, offset), n = len;
        struct sfs_seg *seg = i < s->count ? &s->list[i] : NULL;
        if (seg && seg->offset <= offset) { /* within it */
            if (n > end_of(seg) - offset)
                n = (size_t)(end_of(seg) - offset);
            if (overwrite)
                memcpy(seg->data + (offset - seg->offset), data, n);
        } else {
            uint64_t window_left = SFS_FS_SEGMENT_BYTES - offset % SFS_FS_SEGMENT_BYTES;
            if (n > window_left)
                n = (size_t)window_left;
            if (seg && n > seg->offset - offset)
                n = (size_t)(seg->offset - offset);
            struct sfs_seg *before = i ? &s->list[i - 1] : NULL;
            bool grow = before && end_of(before) == offset && window(before->offset) == window(offset);
            int err = grow ? append(env, s, before, data, (uint32_t)n)
                           : insert(env, s, i, offset, data, (uint32_t)n);
            if (err)
                return err;
        }
        offset += n;
        data += n;
        len -= n;
    }
    return SCALEFS_OK;
}

int sfs_fs_segs_write(struct sfs_env *env, struct sfs_segs *s, uint64_t offset, const uint8_t *data,
                      size_t len)
{
    return put(env, s, offset, data, len, true);
}

static int copy_all(struct sfs_env *env, struct sfs_segs *s, const struct sfs_segs *from)
{
    for (size_t i = 0; i < from->count; i++) {
        const struct sfs_seg *seg = &from->list[i];
        int err = put(env, s, seg->offset, seg->data, seg->len, true);
        if (err)
            return err;
    }
    return SCALEFS_OK;
}

int sfs_fs_segs_join(struct sfs_env *env, struct sfs_segs *s, struct sfs_segs *from)
{
    if (!from->count)
        return SCALEFS_OK;
    size_t at = sfs_fs_segs_find(s, from->list[0].offset);
    if (at < s->count && s->list[at].offset < sfs_fs_segs_end(from))
        return copy_all(env, s, from);
    int err = make_room(env, s, s->count + from->count);
    if (err)
        return err;
    memmove(&s->list[at + from->count], &s->list[at], (s->count - at) * sizeof *s->list);
    memcpy(&s->list[at], from->list, from->count * sizeof *s->list);
    s->count += from->count;
    s->bytes += from->bytes;
    s->memory += from->memory;
    from->count = 0;
    from->bytes = from->memory = 0;
    return SCALEFS_OK;
}

int sfs_fs_segs_under(struct sfs_env *env, struct sfs_segs *s, uint64_t offset, const uint8_t *data,
                      size_t len)
{
    return put(env, s, offset, data, len, false);
}

int sfs_fs_segs_cut(struct sfs_env *env, struct sfs_segs *s, uint64_t from, uint64_t to)
{
    size_t i = sfs_fs_segs_find(s, from);
    if (from >= to || i == s->count)
        return SCALEFS_OK;
    if (s->list[i].offset < from) {
        if (end_of(&s->list[i]) >
            to) { /* a hole in the middle: what is behind it becomes its own */
            struct sfs_seg *seg = &s->list[i];
            uint32_t at = (uint32_t)(to - seg->offset);
            int err = insert(env, s, i + 1, to, seg->data + at, seg->len - at);
            if (err)
                return err;
            s->bytes -= s->list[i + 1].len; /* insert counted them anew */
            s->list[i].len = at;
        }
        struct sfs_seg *seg = &s->list[i];
        uint32_t keep = (uint32_t)(from - seg->offset);
        s->bytes -= seg->len - keep;
        seg->len = keep;
        i++;
    }
    size_t last = i;
    while (last < s->count && end_of(&s->list[last]) <= to)
        free_seg(env, s, &s->list[last++]);
    memmove(&s->list[i], &s->list[last], (s->count - last) * sizeof *s->list);
    s->count -= last - i;
    if (i < s->count && s->list[i].offset < to) {
        struct sfs_seg *seg = &s->list[i];
        uint32_t gone = (uint32_t)(to - seg->offset);
        memmove(seg->data, seg->data + gone, seg->len - gone);
        seg->offset = to;
        seg->len -= gone;
        s->bytes -= gone;
    }
    return SCALEFS_OK;
}

int sfs_fs_segs_keep(struct sfs_env *env, struct sfs_segs *s, uint64_t offset, void **block,
                     uint8_t *data, uint32_t len)
{
    int err = make_room(env, s, s->count + 2); /* one may be cut in two */
    if (!err)
        err = sfs_fs_segs_cut(env, s, offset, offset + len);
    if (err)
        return err;
    insert_seg(s, sfs_fs_segs_find(s, offset),
               (struct sfs_seg){.offset = offset, .len = len, .data = data, .block = *block,
                                .room = (uint32_t)((uint8_t *)*block + SCALEFS_KEEP_MEMORY - data)});
    *block = NULL;
    return SCALEFS_OK;
}
