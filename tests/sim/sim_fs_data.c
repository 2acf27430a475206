/* The model of a file's bytes: what they are now, and what they may be after a cut. See sim_fs.h.
 *
 * After a cut each byte must be the one that was last durable, or one that was written to it later; where a transaction
 * (truncate, punch, zero, clone) that is there changed it, nothing older than that. The size may be anything between
 * the smallest and the largest that the file had since, as far as writes (which may be lost) moved it.
 */
#include "sim/sim_fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void stamp_fill(uint64_t stamp, uint64_t offset, uint8_t *buf, size_t len)
{
    /* One stamp in four gives bytes that can be compressed. */
    bool dull = prng_mix(stamp, 1) % 4 == 0;
    for (size_t i = 0; i < len;) {
        uint64_t at = offset + i, word = prng_mix(stamp, dull ? at / 256 : at / 8);
        uint64_t end = dull ? (at / 256 + 1) * 256 : (at / 8 + 1) * 8;
        for (; i < len && offset + i < end; i++)
            buf[i] = (uint8_t)(word >> ((offset + i) % 8 * 8)) | 1;
    }
}

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static void image_room(struct image *im, uint64_t room)
{
    if (room <= im->room)
        return;
    room += room / 2;
    im->bytes = must(realloc(im->bytes, room));
    memset(im->bytes + im->room, 0, room - im->room);
    im->room = room;
}

static void image_copy(struct image *to, const struct image *from)
{
    image_room(to, from->size);
    if (to->room)
        memset(to->bytes, 0, to->room);
    if (from->size)
        memcpy(to->bytes, from->bytes, from->size);
    to->size = from->size;
}

static void image_apply(struct image *im, const struct change *c)
{
    if (c->kind == CHANGE_SIZE) {
        if (c->offset < im->size)
            memset(im->bytes + c->offset, 0, im->size - c->offset);
        image_room(im, c->offset);
        im->size = c->offset;
        return;
    }
    if (c->kind == CHANGE_SOLID || !c->len)
        return;
    uint64_t end = c->offset + c->len;
    image_room(im, end);
    if (c->stamp)
        stamp_fill(c->stamp, c->offset, im->bytes + c->offset, c->len);
    else if (c->bytes)
        memcpy(im->bytes + c->offset, c->bytes, c->len);
    else
        memset(im->bytes + c->offset, 0, c->len);
    if (end > im->size)
        im->size = end;
}

struct file *file_new(void)
{
    return must(calloc(1, sizeof(struct file)));
}

static void forget(struct file *f, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(f->changes[i].bytes);
    f->count -= count;
    if (f->count)
        memmove(f->changes, f->changes + count, f->count * sizeof *f->changes);
}

void file_free(struct file *f)
{
    if (!f)
        return;
    forget(f, f->count);
    free(f->changes);
    free(f->now.bytes);
    free(f->base.bytes);
    free(f);
}

void file_change(struct file *f, const struct change *c)
{
    if (f->count == f->room) {
        f->room = f->room ? 2 * f->room : 16;
        f->changes = must(realloc(f->changes, f->room * sizeof *f->changes));
    }
    f->changes[f->count++] = *c;
}

void file_done(struct file *f)
{
    size_t i = f->count;
    while (i > 0 && !f->changes[i - 1].done)
        i--;
    for (; i < f->count; i++) {
        f->changes[i].done = true;
        image_apply(&f->now, &f->changes[i]);
    }
}

void file_cancel(struct file *f)
{
    while (f->count && !f->changes[f->count - 1].done)
        free(f->changes[--f->count].bytes);
}

void file_acked(struct file *f, uint64_t seq)
{
    size_t n = 0;
    for (; n < f->count && f->changes[n].seq <= seq && f->changes[n].done; n++)
        image_apply(&f->base, &f->changes[n]);
    if (n)
        forget(f, n);
}

void file_rebase(struct file *f, const uint8_t *bytes, uint64_t size)
{
    forget(f, f->count);
    struct image im = {.bytes = (uint8_t *)bytes, .size = size};
    image_copy(&f->base, &im);
    image_copy(&f->now, &im);
}

/* --- after a cut ---------------------------------------------------------------------------------------------------- */

struct judging {
    const uint8_t *found;
    uint64_t size;
    uint8_t *good;      /* one for each byte found: it may be there */
    struct image image; /* all changes so far, none lost */
    uint64_t low, high; /* of the size */
    bool unsure;        /* writes have come that may be lost */
};

static void compare(struct judging *j, uint64_t from, uint64_t to, bool solid)
{
    for (uint64_t i = from; i < to && i < j->size; i++) {
        uint8_t want = i < j->image.size ? j->image.bytes[i] : 0;
        if (solid)
            j->good[i] = j->found[i] == want;
        else
            j->good[i] |= j->found[i] == want;
    }
}

static void judge(struct judging *j, const struct change *c)
{
    uint64_t before = j->image.size;
    image_apply(&j->image, c);
    uint64_t now = j->image.size;
    /* One that was under way may be there in part. */
    bool whole = c->done && c->kind != CHANGE_WRITE;
    switch (c->kind) {
    case CHANGE_SIZE:
        compare(j, now, UINT64_MAX, whole);
        if (now < before && whole) {
            j->low = j->low < now ? j->low : now;
            j->high = j->high < now ? j->high : now;
        } else if (now > before && whole && !j->unsure) {
            j->low = j->high = now;
        } else {
            j->low = j->low < now ? j->low : now;
            j->high = j->high > now ? j->high : now;
        }
        break;
    case CHANGE_SOLID:
        if (whole) {
            compare(j, 0, UINT64_MAX, true);
            j->low = j->high = now;
            j->unsure = false;
        }
        break;
    default:
        compare(j, c->offset, c->offset + c->len, whole);
        j->high = j->high > now ? j->high : now;
        if (c->exact_size && whole)
            j->low = j->high = now;
        j->unsure |= !whole;
    }
}

const char *file_check(const struct file *f, uint64_t limit, const uint8_t *bytes, uint64_t size, uint64_t *at)
{
    struct judging j = {.found = bytes, .size = size, .low = f->base.size, .high = f->base.size};
    const char *why = NULL;
    j.good = must(calloc(1, size + 1));
    image_copy(&j.image, &f->base);
    compare(&j, 0, UINT64_MAX, true);
    for (size_t i = 0; i < f->count && f->changes[i].seq < limit; i++)
        judge(&j, &f->changes[i]);
    *at = 0;
    if (size < j.low)
        why = "it is too short";
    else if (size > j.high)
        why = "it is too long";
    for (uint64_t i = 0; i < size && !why; i++) {
        if (!j.good[i]) {
            *at = i;
            why = bytes[i] ? "a byte is wrong" : "a byte is zero";
        }
    }
    free(j.good);
    free(j.image.bytes);
    return why;
}
