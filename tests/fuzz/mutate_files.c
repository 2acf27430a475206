/* The files of the pool that is damaged, and what is done with them. */
#include "mutate.h"

enum { FILES = 120, BIG = 3 << 20 };

static const struct scalefs_owner owner;

struct file {
    char name[24];
    uint64_t folder, seed;
    size_t size;
};

/* --- making --- */

static uint64_t make(struct scalefs_fs *fs, uint64_t folder, const char *name, uint32_t mode)
{
    struct scalefs_attr a;
    return scalefs_mknod(fs, folder, name, strlen(name), mode, 0, 0, owner, &a) ? 0 : a.ino;
}

/* The same in each process. */
static struct file file_of(unsigned i)
{
    struct file f = {.seed = i * 31 + 5, .size = i == FILES - 1 ? BIG : (i * 977 + 13) % 9000};
    if (i % 17 == 3)
        f.size = 100000 + i * 1000;
    snprintf(f.name, sizeof f.name, "file-%u", i);
    return f;
}

static bool make_files(struct scalefs_fs *fs, uint8_t *buf)
{
    uint64_t folder = make(fs, SCALEFS_ROOT, "folder", SCALEFS_S_IFDIR | 0755);
    bool good = folder != 0;
    for (unsigned i = 0; i < FILES && good; i++) {
        struct file f = file_of(i);
        uint64_t ino = make(fs, i % 2 ? folder : SCALEFS_ROOT, f.name, SCALEFS_S_IFREG | 0644);
        mutate_fill(buf, f.size, f.seed);
        good = ino && !scalefs_write(fs, ino, 0, buf, f.size);
        if (good && i % 9 == 0)
            good = !scalefs_setxattr(fs, ino, "user.a", buf, f.size < 3000 ? f.size : 3000, 0);
    }
    return good;
}

static bool make_odd_ones(struct scalefs_fs *fs, uint8_t *buf)
{
    struct scalefs_attr a;
    uint64_t done;
    mutate_fill(buf, 1 << 20, 77);
    uint64_t sparse = make(fs, SCALEFS_ROOT, "sparse", SCALEFS_S_IFREG | 0644);
    uint64_t clone = make(fs, SCALEFS_ROOT, "clone", SCALEFS_S_IFREG | 0644);
    uint64_t orphan = make(fs, SCALEFS_ROOT, "orphan", SCALEFS_S_IFREG | 0644);
    bool good = sparse && clone && orphan && !scalefs_write(fs, sparse, 1ull << 40, buf, 100000) &&
                !scalefs_fsync(fs, sparse) && !scalefs_copy_range(fs, sparse, 1ull << 40, clone, 0, 100000, &done) &&
                !scalefs_write(fs, orphan, 0, buf, 1 << 20) && !scalefs_hold(fs, orphan) &&
                !scalefs_unlink(fs, SCALEFS_ROOT, "orphan", 6);
    return good && !scalefs_symlink(fs, SCALEFS_ROOT, "link", 4, "folder/file-1", 13, owner, &a) &&
           !scalefs_link(fs, sparse, SCALEFS_ROOT, "other name", 10, &a) && make(fs, SCALEFS_ROOT, "fifo", 0010644);
}

bool mutate_make(const char *const list[DISKS])
{
    struct scalefs_create_options c = {.struct_bytes = sizeof c, .name = "mutate", .failover = FAILOVER, .file_bytes = DISK_BYTES};
    struct scalefs_open_options o = {.struct_bytes = sizeof o};
    struct scalefs_error_info info;
    struct scalefs_pool *pool;
    struct scalefs_fs *fs;
    uint8_t *buf = malloc(BIG);
    bool good = buf && !scalefs_pool_create(&c, list, DISKS, NULL, &info) &&
                !scalefs_pool_open(&o, list[0], list, DISKS, &pool, &info);
    if (!good)
        return false;
    good = !scalefs_fs_get(pool, &fs) && make_files(fs, buf) && make_odd_ones(fs, buf) && !scalefs_pool_sync(pool);
    good = !scalefs_pool_close(pool, false) && good;
    free(buf);
    return good;
}

/* --- looking --- */

/* What is read is right, or not read; an older state may not have it yet. */
static bool look_at(struct scalefs_fs *fs, uint64_t folder, unsigned i, uint8_t *buf, uint8_t *want, bool sure)
{
    struct file f = file_of(i);
    struct scalefs_attr a;
    size_t done = 0;
    int err = scalefs_lookup(fs, folder, f.name, strlen(f.name), &a);
    if (!err)
        err = scalefs_read(fs, a.ino, 0, buf, BIG, &done);
    if (err && sure)
        printf("#   %s: %s\n", f.name, scalefs_error_text(err));
    if (err)
        return !sure;
    mutate_fill(want, f.size, f.seed);
    bool right = done == f.size && !memcmp(buf, want, done);
    right = right || (!sure && !done && !a.size);
    if (!right)
        printf("#   %s: WRONG DATA, %zu bytes of %zu\n", f.name, done, f.size);
    return right;
}

struct walk {
    struct scalefs_fs *fs;
    uint64_t inos[64];
    unsigned count;
};

static bool gather(void *context, const struct scalefs_dirent *e)
{
    struct walk *w = context;
    if (w->count == 64)
        return false;
    w->inos[w->count++] = e->ino;
    return true;
}

/* All other ways to look at an inode. */
static void peer(struct scalefs_fs *fs, uint64_t ino, uint8_t *buf)
{
    struct scalefs_attr a;
    size_t done, len;
    uint64_t next;
    char list[4096], path[4096];
    if (scalefs_getattr(fs, ino, &a))
        return;
    (void)scalefs_path_of(fs, ino, path, sizeof path);
    if (!scalefs_listxattr(fs, ino, list, sizeof list, &len))
        for (char *x = list; x < list + len; x += strlen(x) + 1)
            (void)scalefs_getxattr(fs, ino, x, buf, 1 << 20, &done);
    (void)scalefs_readlink(fs, ino, list, sizeof list, &done);
    for (uint64_t at = 0, pieces = 0; at < a.size && pieces < 8; pieces++) {
        (void)scalefs_read(fs, ino, at, buf, 1 << 20, &done);
        if (scalefs_seek(fs, ino, at + (1 << 20), false, &next) || next <= at)
            break;
        at = next;
    }
    (void)scalefs_seek(fs, ino, mutate_random(a.size + 1), true, &next);
}

static void look_around(struct scalefs_fs *fs, uint64_t folder, uint8_t *buf, unsigned depth)
{
    struct walk *w = calloc(1, sizeof *w);
    if (!w)
        return;
    (void)scalefs_readdir(fs, folder, 0, mutate_random(2), gather, w);
    for (unsigned i = 0; i < w->count; i++) {
        peer(fs, w->inos[i], buf);
        if (depth < 4 && mutate_random(4) == 0)
            look_around(fs, w->inos[i], buf, depth + 1);
    }
    free(w);
}

bool mutate_look(struct scalefs_pool *pool, bool sure)
{
    struct scalefs_fs *fs;
    struct scalefs_attr a;
    struct scalefs_status *status;
    struct scalefs_statfs space;
    uint8_t *buf = malloc(BIG), *want = malloc(BIG);
    bool good = buf && want && (!scalefs_fs_get(pool, &fs) || !sure);
    if (!good || scalefs_fs_get(pool, &fs))
        return good;
    if (!scalefs_pool_status(pool, &status))
        scalefs_status_free(status);
    (void)scalefs_statfs(fs, &space);
    bool there = !scalefs_lookup(fs, SCALEFS_ROOT, "folder", 6, &a);
    good = there || !sure;
#ifndef MUTATE_TRUSTED
    for (unsigned i = 0; i < FILES; i++)
        if (i % 2 == 0 || there)
            good = look_at(fs, i % 2 ? a.ino : SCALEFS_ROOT, i, buf, want, sure) && good;
#else
    (void)look_at;
#endif
    look_around(fs, SCALEFS_ROOT, buf, 0);
    free(buf);
    free(want);
    return good;
}

/* --- changing --- */

static void change(struct scalefs_fs *fs, uint64_t folder, unsigned i, uint8_t *buf)
{
    struct file f = file_of(i);
    struct scalefs_attr a, set;
    uint64_t done;
    size_t len = strlen(f.name);
    if (scalefs_lookup(fs, folder, f.name, len, &a))
        return;
    switch (mutate_random(10)) {
    case 0: (void)scalefs_unlink(fs, folder, f.name, len); break;
    case 1:
        memset(&set, 0, sizeof set);
        set.size = mutate_random(a.size + 1);
        (void)scalefs_setattr(fs, a.ino, &set, SCALEFS_SET_SIZE, &a);
        break;
    case 2: (void)scalefs_write(fs, a.ino, mutate_random(a.size + 1), buf, mutate_random(300000)); break;
    case 3: (void)scalefs_fallocate(fs, a.ino, 3, mutate_random(a.size + 1), 1 + mutate_random(1000000)); break;
    case 4: (void)scalefs_copy_range(fs, a.ino, 0, a.ino, 1 << 22, 1 << 20, &done); break;
    case 5: (void)scalefs_rename(fs, folder, f.name, len, SCALEFS_ROOT, "renamed", 7, 0); break;
    case 6: (void)scalefs_setxattr(fs, a.ino, "user.b", buf, mutate_random(5000), 0); break;
    case 7: (void)scalefs_fsync(fs, a.ino); break;
    case 8: (void)scalefs_link(fs, a.ino, SCALEFS_ROOT, "hard", 4, &a); break;
    default: (void)scalefs_removexattr(fs, a.ino, "user.a");
    }
}

void mutate_touch(struct scalefs_pool *pool, bool sure)
{
    struct scalefs_fs *fs;
    struct scalefs_attr a;
    uint8_t *buf = malloc(1 << 20);
    if (!buf || scalefs_fs_get(pool, &fs))
        return;
    mutate_fill(buf, 1 << 20, 1);
    bool there = !scalefs_lookup(fs, SCALEFS_ROOT, "folder", 6, &a);
    for (unsigned n = 0; n < 30 && !sure; n++) {
        unsigned i = (unsigned)mutate_random(FILES);
        if (i % 2 == 0 || there)
            change(fs, i % 2 ? a.ino : SCALEFS_ROOT, i, buf);
    }
    uint64_t ino = make(fs, SCALEFS_ROOT, "new", SCALEFS_S_IFREG | 0644);
    for (unsigned i = 0; ino && i < 4; i++)
        (void)scalefs_write(fs, ino, (uint64_t)i << 20, buf, 1 << 20);
    if (ino)
        (void)scalefs_fsync(fs, ino);
    free(buf);
}
