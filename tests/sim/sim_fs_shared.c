/* Files and names that all clients change at the same time, with weaker checks. See sim_fs.h.
 *
 * Two files of BLOCKS blocks: a block is written whole, by one client at a time, each time a new version; so every byte
 * must be of a version between the last durable and the newest. A log to which all append. A directory in which all make,
 * rename and remove the same few names: any answer that fits the moment is right, and the checks of the whole must hold.
 */
#include "sim/sim_fs.h"

#include <stdlib.h>
#include <string.h>

enum { PLAY = 6, LOG_MAX = 1 << 20 };

static const char *const files[SHARED] = {"blocks-0", "blocks-1"};

static uint64_t block_stamp(int file, int block, uint32_t version)
{
    return 1ull << 63 | (uint64_t)file << 56 | (uint64_t)block << 40 | version;
}

/* --- setting up ----------------------------------------------------------------------------------------------------------- */

static uint64_t have(struct model *m, uint64_t dir, const char *name, uint32_t type)
{
    struct scalefs_attr attr;
    int err = sfs_fs_lookup(m->fs, dir, name, strlen(name), &attr);
    if (err == SCALEFS_E_NOENT)
        err = sfs_fs_mknod(m->fs, dir, name, strlen(name), type | 0777, 0, 0, (struct scalefs_owner){0, 0}, &attr);
    MUST(m, err);
    return attr.ino;
}

void shared_setup(struct model *m)
{
    struct shared *s = &m->shared;
    s->dir = have(m, SCALEFS_ROOT, "shared", SCALEFS_S_IFDIR);
    for (int i = 0; i < SHARED; i++) {
        struct scalefs_attr size = {.size = (uint64_t)BLOCKS * BLOCK};
        s->ino[i] = have(m, SCALEFS_ROOT, files[i], SCALEFS_S_IFREG);
        if (!m->ready)
            MUST(m, sfs_fs_setattr(m->fs, s->ino[i], &size, SCALEFS_SET_SIZE, NULL));
    }
    int err = sfs_fs_unlink(m->fs, SCALEFS_ROOT, "log", 3);
    if (err && err != SCALEFS_E_NOENT)
        MUST(m, err);
    s->log = have(m, SCALEFS_ROOT, "log", SCALEFS_S_IFREG);
    s->log_synced = s->log_issued = 0;
    s->piece_count = 0;
    for (int i = 0; i < SHARED; i++)
        for (int b = 0; b < BLOCKS; b++)
            s->block[i][b].busy = false;
}

void shared_free(struct shared *s)
{
    free(s->pieces);
}

/* --- blocks ------------------------------------------------------------------------------------------------------------------ */

static void version_fill(const struct shared_block *b, int file, int block, uint32_t version, uint8_t *buf)
{
    if (version == b->raw_version)
        memcpy(buf, b->raw, BLOCK);
    else
        stamp_fill(block_stamp(file, block, version), (uint64_t)block * BLOCK, buf, BLOCK);
}

/* Is each byte one of the versions first … last? */
static bool block_good(const struct shared_block *b, int file, int block, uint32_t first, uint32_t last,
                       const uint8_t *found)
{
    uint8_t want[BLOCK], good[BLOCK] = {0};
    for (uint32_t v = first; v <= last; v++) {
        version_fill(b, file, block, v, want);
        for (int i = 0; i < BLOCK; i++)
            good[i] |= want[i] == found[i];
    }
    return memchr(good, 0, BLOCK) == NULL;
}

static void write_block(struct model *m, int file, int block)
{
    struct shared_block *b = &m->shared.block[file][block];
    uint8_t buf[BLOCK];
    if (b->busy)
        return;
    b->busy = true;
    uint32_t version = ++b->now;
    stamp_fill(block_stamp(file, block, version), (uint64_t)block * BLOCK, buf, BLOCK);
    int err = sfs_fs_write(m->fs, m->shared.ino[file], (uint64_t)block * BLOCK, buf, BLOCK);
    b->busy = false;
    if (err == SCALEFS_E_NOSPC) {
        b->now--; /* nobody else began a version meanwhile */
        m->counts.full++;
        return;
    }
    MUST(m, err);
    b->done = version;
    m->counts.operations++;
}

static void read_block(struct model *m, int file, int block)
{
    struct shared_block *b = &m->shared.block[file][block];
    uint8_t buf[BLOCK];
    size_t done;
    uint32_t first = b->done;
    MUST(m, sfs_fs_read(m->fs, m->shared.ino[file], (uint64_t)block * BLOCK, buf, BLOCK, &done));
    if (done != BLOCK || !block_good(b, file, block, first, b->now, buf))
        wrong(m, "shared file %d, block %d is none of the versions %u to %u", file, block, first, b->now);
}

/* --- the log ---------------------------------------------------------------------------------------------------------------- */

uint64_t shared_log_end(const struct shared *s)
{
    uint64_t end = 0;
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < s->piece_count; i++) {
            if (s->pieces[i].offset == end) {
                end += s->pieces[i].len;
                more = true;
            }
        }
    }
    return end;
}

static void append(struct model *m, struct client *c)
{
    struct shared *s = &m->shared;
    struct shared_piece piece = {.stamp = m->next_stamp++, .len = 1 + (uint32_t)prng_below(&c->prng, 5000)};
    uint8_t buf[5000];
    if (s->log_issued + piece.len > LOG_MAX)
        return;
    s->log_issued += piece.len;
    stamp_fill(piece.stamp, 0, buf, piece.len);
    int err = sfs_fs_append(m->fs, s->log, buf, piece.len, &piece.offset);
    if (err == SCALEFS_E_NOSPC) {
        s->log_issued -= piece.len;
        m->counts.full++;
        return;
    }
    MUST(m, err);
    for (size_t i = 0; i < s->piece_count; i++)
        if (piece.offset < s->pieces[i].offset + s->pieces[i].len && s->pieces[i].offset < piece.offset + piece.len)
            wrong(m, "two appends were given the same place: %llu", N(piece.offset));
    if (s->piece_count == s->piece_room) {
        s->piece_room = s->piece_room ? 2 * s->piece_room : 64;
        s->pieces = realloc(s->pieces, s->piece_room * sizeof *s->pieces);
        if (!s->pieces)
            abort();
    }
    s->pieces[s->piece_count++] = piece;
    m->counts.operations++;
}

/* --- names ------------------------------------------------------------------------------------------------------------------- */

static void one_of(struct model *m, const char *what, int err, int a, int b)
{
    if (err == SCALEFS_E_NOSPC)
        m->counts.full++;
    else if (err && err != a && err != b)
        wrong(m, "%s of a shared name got: %s", what, scalefs_error_text(err));
    m->counts.operations++;
}

struct play {
    unsigned times[PLAY];
    bool foreign;
};

static bool see(void *context, const struct scalefs_dirent *e)
{
    struct play *p = context;
    if (e->name_len == 2 && e->name[0] == 's' && e->name[1] >= '0' && e->name[1] < '0' + PLAY)
        p->times[e->name[1] - '0']++;
    else
        p->foreign = true;
    return true;
}

static void play(struct model *m, struct client *c)
{
    struct prng *p = &c->prng;
    uint64_t dir = m->shared.dir;
    struct scalefs_attr attr;
    char name[3] = {'s', (char)('0' + prng_below(p, PLAY)), 0}, other[3] = {'s', (char)('0' + prng_below(p, PLAY)), 0};
    struct scalefs_owner owner = {0, 0};
    static const unsigned flags[] = {0, 0, SCALEFS_RENAME_NOREPLACE, SCALEFS_RENAME_EXCHANGE};
    struct play seen = {.foreign = false};
    int err;
    switch (prng_below(p, 6)) {
    case 0:
    case 1:
        err = sfs_fs_mknod(m->fs, dir, name, 2, SCALEFS_S_IFREG | 0644, 0, 0, owner, &attr);
        one_of(m, "making", err, SCALEFS_E_EXIST, SCALEFS_E_EXIST);
        if (!err) /* it may be gone again */
            one_of(m, "writing", sfs_fs_write(m->fs, attr.ino, prng_below(p, 5000), name, 2), SCALEFS_E_STALE, SCALEFS_E_STALE);
        break;
    case 2:
        one_of(m, "removing", sfs_fs_unlink(m->fs, dir, name, 2), SCALEFS_E_NOENT, SCALEFS_E_NOENT);
        break;
    case 3:
        one_of(m, "renaming", sfs_fs_rename(m->fs, dir, name, 2, dir, other, 2, flags[prng_below(p, 4)]), SCALEFS_E_NOENT,
               SCALEFS_E_EXIST);
        break;
    case 4:
        err = sfs_fs_lookup(m->fs, dir, name, 2, &attr);
        one_of(m, "looking up", err, SCALEFS_E_NOENT, SCALEFS_E_NOENT);
        if (err)
            break;
        err = sfs_fs_link(m->fs, attr.ino, dir, other, 2, &attr);
        if (err != SCALEFS_E_STALE)
            one_of(m, "linking", err, SCALEFS_E_NOENT, SCALEFS_E_EXIST);
        break;
    default:
        do {
            seen = (struct play){.foreign = false};
            err = sfs_fs_readdir(m->fs, dir, 0, true, see, &seen);
        } while (storm_again(m, err));
        MUST(m, err);
        for (int i = 0; i < PLAY; i++)
            if (seen.times[i] > 1 || seen.foreign)
                wrong(m, "the shared directory shows name %d %u times", i, seen.times[i]);
    }
}

void shared_step(struct model *m, struct client *c)
{
    int file = (int)prng_below(&c->prng, SHARED), block = (int)prng_below(&c->prng, BLOCKS);
    switch (prng_below(&c->prng, 8)) {
    case 0:
    case 1:
    case 2:
        write_block(m, file, block);
        break;
    case 3:
    case 4:
        read_block(m, file, block);
        break;
    case 5:
        append(m, c);
        break;
    default:
        play(m, c);
    }
}

/* --- after a cut --------------------------------------------------------------------------------------------------------------- */

static void verify_blocks(struct model *m, int file)
{
    uint8_t buf[BLOCK];
    size_t done;
    struct scalefs_attr attr;
    MUST(m, sfs_fs_lookup(m->fs, SCALEFS_ROOT, files[file], strlen(files[file]), &attr));
    if (attr.ino != m->shared.ino[file] || attr.size != (uint64_t)BLOCKS * BLOCK)
        wrong(m, "shared file %d has %llu bytes", file, N(attr.size));
    for (int i = 0; i < BLOCKS; i++) {
        struct shared_block *b = &m->shared.block[file][i];
        MUST(m, sfs_fs_read(m->fs, attr.ino, (uint64_t)i * BLOCK, buf, BLOCK, &done));
        if (done != BLOCK || !block_good(b, file, i, b->base, b->now, buf))
            wrong(m, "shared file %d, block %d is none of the versions %u to %u", file, i, b->base, b->now);
        memcpy(b->raw, buf, BLOCK);
        b->raw_version = b->base = b->done = ++b->now;
        b->busy = false;
    }
}

static void verify_log(struct model *m)
{
    struct shared *s = &m->shared;
    struct scalefs_attr attr;
    int err = sfs_fs_lookup(m->fs, SCALEFS_ROOT, "log", 3, &attr);
    if (err == SCALEFS_E_NOENT && !s->log_synced)
        return; /* the old one was removed and the new one not yet made */
    MUST(m, err);
    if (attr.ino != s->log) {
        if (s->log_synced)
            wrong(m, "the log is an older one");
        return;
    }
    if (attr.size < s->log_synced || attr.size > s->log_issued)
        wrong(m, "the log has %llu bytes, not %llu to %llu", N(attr.size), N(s->log_synced), N(s->log_issued));
    uint8_t buf[5000], want[5000];
    for (size_t i = 0; i < s->piece_count; i++) {
        const struct shared_piece *p = &s->pieces[i];
        size_t done;
        MUST(m, sfs_fs_read(m->fs, attr.ino, p->offset, buf, p->len, &done));
        stamp_fill(p->stamp, 0, want, p->len);
        for (size_t b = 0; b < done; b++)
            if (buf[b] != want[b] && (buf[b] || p->offset + b < s->log_synced))
                wrong(m, "the log, byte %llu is wrong", N(p->offset + b));
    }
}

void shared_verify(struct model *m)
{
    for (int i = 0; i < SHARED; i++)
        verify_blocks(m, i);
    verify_log(m);
}
