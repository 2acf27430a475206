/* What lies on the disks: every live row whole, every extent in it. Part of the check. */
#include "store/check_internal.h"

struct group_check {
    struct sfs_check *c;
    struct sfs_group_record g;
    const size_t *first; /* of c->by_place: the extents of this group */
    size_t count;
    uint64_t waiting; /* rows that absent disks would make readable */
};

/* --- data rows --- */

/* The first extent of the group at or behind `offset`. */
static size_t extent_at(const struct group_check *x, uint64_t offset)
{
    size_t low = 0, high = x->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (x->c->seen[x->first[middle]].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool extent_right(struct sfs_check *c, const struct sfs_seen *seen, const uint8_t *bytes)
{
    struct sfs_extent e;
    return sfs_extent_lookup(c->s, seen->id, &e) == SCALEFS_OK && e.birth == seen->birth && sfs_extent_verify(seen->id, &e, bytes);
}

static void copy_out(const struct sfs_row_image *im, uint64_t at, uint32_t len, uint8_t *out)
{
    for (uint32_t done = 0; done < len;) {
        uint32_t unit = (uint32_t)((at + done) / im->unit_bytes), within = (uint32_t)((at + done) % im->unit_bytes);
        uint32_t n = im->unit_bytes - within < len - done ? im->unit_bytes - within : len - done;
        memcpy(out + done, im->units[unit] + within, n);
        done += n;
    }
}

static void check_row_extents(struct group_check *x, const struct sfs_row_image *im)
{
    struct sfs_check *c = x->c;
    uint64_t start = im->row * sfs_group_row_bytes(&im->group), end = start + sfs_group_row_bytes(&im->group);
    uint8_t *buf = sfs_buffer_get(c->s, (size_t)(end - start));
    for (size_t i = extent_at(x, start); buf && i < x->count; i++) {
        const struct sfs_seen *e = &c->seen[x->first[i]];
        if (e->offset >= end)
            break;
        if (e->stored > end - e->offset)
            continue; /* reported already */
        copy_out(im, e->offset - start, e->stored, buf);
        if (!extent_right(c, e, buf))
            sfs_check_lost(c, e->id, "does not match its checksums, and its row is otherwise whole");
    }
    sfs_buffer_put(c->s, buf, (size_t)(end - start));
}

/* A row that cannot be put right as a whole: which extents can still be read? */
static void check_lost_row(struct group_check *x, uint32_t row)
{
    struct sfs_check *c = x->c;
    uint64_t start = row * sfs_group_row_bytes(&x->g), end = start + sfs_group_row_bytes(&x->g);
    unsigned lost = 0, all = 0;
    for (size_t i = extent_at(x, start); i < x->count && c->seen[x->first[i]].offset < end; i++) {
        struct sfs_extent e;
        uint64_t id = c->seen[x->first[i]].id;
        all++;
        uint8_t *buf = NULL;
        if (sfs_extent_lookup(c->s, id, &e) != SCALEFS_OK || !(buf = sfs_alloc(c->s->env, e.stored)) ||
            sfs_read_stored(c->s, id, &e, buf) != SCALEFS_OK) {
            lost++;
            sfs_check_lost(c, id, "cannot be read or rebuilt");
        }
        sfs_free(c->s->env, buf);
    }
    if (!lost)
        sfs_check_say(c, true, "Row %u of group %u is damaged beyond its parity, but all %u extents in it can be read.", row,
                      x->g.group, all);
}

static void say_columns(struct group_check *x, const struct sfs_row_image *im)
{
    uint64_t wrong = im->bad | im->missing;
    for (unsigned n = 0; n < (unsigned)im->group.k + im->group.m; n++) {
        uint16_t member = im->group.columns[n].disk;
        if (!(wrong >> n & 1) || sfs_check_owed(x->c, &im->group, member))
            continue;
        sfs_check_say(x->c, true, "Row %u of group %u is %s on disk %u; it can be rebuilt.", im->row, im->group.group,
                      im->bad >> n & 1 ? "damaged" : "unreadable", member);
    }
}

static int check_row(void *context, uint32_t row, uint32_t count)
{
    SFS_ASSERT(count == 1);
    struct group_check *x = context;
    struct sfs_check *c = x->c;
    struct sfs_row_image im;
    int err = sfs_row_read(c->pool, x->g.group, row, 1, &im);
    sfs_check_count_bytes(c, (uint64_t)(x->g.k + x->g.m) * sfs_group_unit(&x->g));
    if (err == SCALEFS_OK) {
        say_columns(x, &im);
        check_row_extents(x, &im);
    } else if (err == SCALEFS_E_SUSPENDED) {
        sfs_mutex_lock(&c->lock);
        x->waiting++;
        sfs_mutex_unlock(&c->lock);
    } else if (err == SCALEFS_E_CORRUPT) {
        check_lost_row(x, row);
    }
    if (im.memory)
        sfs_row_image_free(c->pool, &im);
    return err == SCALEFS_E_NOMEM ? err : SCALEFS_OK;
}

static int check_data(struct group_check *x)
{
    struct sfs_check *c = x->c;
    uint32_t *rows = sfs_alloc(c->s->env, ((size_t)x->g.rows + 1) * sizeof *rows);
    size_t count = 0;
    if (!rows)
        return SCALEFS_E_NOMEM;
    for (uint32_t row = 0; row < x->g.rows; row++)
        if (c->rows[x->g.group][row].counted || c->rows[x->g.group][row].said)
            rows[count++] = row;
    struct sfs_care_sweep sweep = {.care = c->s->care, .group = &x->g, .rows = rows, .each = check_row, .context = x};
    int err = sfs_care_sweep(&sweep, 0, count);
    sfs_free(c->s->env, rows);
    if (x->waiting)
        sfs_check_say(c, false, "%llu rows of group %u cannot be read without the absent disks.", (unsigned long long)x->waiting,
                      x->g.group);
    return err == SCALEFS_E_CANCELED ? SCALEFS_OK : err;
}

/* --- logs --- */

static int check_landed(struct group_check *x, const struct sfs_seen *e)
{
    struct sfs_check *c = x->c;
    uint32_t skip = (uint32_t)(e->offset % SFS_IO_ALIGN);
    size_t room = (skip + e->stored + SFS_IO_ALIGN - 1) / SFS_IO_ALIGN * SFS_IO_ALIGN;
    uint8_t *buf = sfs_alloc_io(c->s->env, room);
    if (!buf)
        return SCALEFS_E_NOMEM;
    unsigned right = 0;
    for (unsigned n = 0; n < 1u + x->g.m; n++) {
        struct sfs_get get = {.place = {x->g.group, e->offset}, .len = e->stored, .buf = buf, .copy = (uint8_t)n};
        uint16_t member = x->g.columns[n].disk;
        sfs_get_many(c->pool, &get, 1);
        if (get.result == SCALEFS_OK && extent_right(c, e, buf + skip))
            right++;
        else if (!sfs_check_owed(c, &x->g, member))
            sfs_check_say(c, true, "The copy of extent %llu on disk %u is damaged.", (unsigned long long)e->id, member);
    }
    sfs_check_count_bytes(c, (uint64_t)(1 + x->g.m) * e->stored);
    if (!right)
        sfs_check_lost(c, e->id, "cannot be read from any disk");
    sfs_free(c->s->env, buf);
    return SCALEFS_OK;
}

int sfs_check_rows(struct sfs_check *c)
{
    int err = SCALEFS_OK;
    size_t at = 0;
    for (uint32_t i = 0; i < c->pool->group_cap && !err; i++) {
        const struct sfs_group *g = c->pool->groups[i];
        while (at < c->count && c->seen[c->by_place[at]].group < i)
            at++;
        size_t end = at;
        while (end < c->count && c->seen[c->by_place[end]].group == i)
            end++;
        if (g) {
            struct group_check x = {.c = c, .g = g->record, .first = c->by_place + at, .count = end - at};
            if (g->record.class == SFS_CLASS_DATA)
                err = check_data(&x);
            for (size_t n = at; g->record.class == SFS_CLASS_LANDING && n < end && !err; n++)
                err = check_landed(&x, &c->seen[c->by_place[n]]);
        }
        at = end;
    }
    return err;
}
