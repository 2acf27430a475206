/* A volume on the store in memory: opened, closed, crashed, checked. */
#ifndef TESTS_FS_FIXTURE_H
#define TESTS_FS_FIXTURE_H

#include "fake_store.h"
#include "fs/fs.h"
#include "test.h"

struct fixture {
    struct sfs_env *env;
    struct sfs_store *store;
    struct sfs_fs *fs;
    struct sfs_fs_options options;
};

static inline void fixture_begin(struct fixture *f, const struct fake_options *store)
{
    memset(f, 0, sizeof *f);
    if (sfs_env_os_create(NULL, NULL, &f->env))
        exit(1);
    f->store = fake_store_make(f->env, store);
    f->options.no_background = true;
    CHECK_OK(sfs_fs_open(f->store, SFS_TREE_VOLUME, &f->options, &f->fs));
}

static inline void fixture_say(void *context, const char *text)
{
    (void)context;
    printf("# check: %s\n", text);
}

/* Nothing is inconsistent, whatever has not been written. */
static inline bool fixture_check(struct fixture *f)
{
    struct scalefs_check_report report;
    memset(&report, 0, sizeof report);
    bool good = CHECK_OK(sfs_fs_check(f->fs, fixture_say, NULL, &report));
    good = CHECK_EQ(report.problems, 0) && good;
    return CHECK_EQ(fake_store_check(f->store, SFS_TREE_VOLUME), 0) && good;
}

static inline void fixture_reopen(struct fixture *f)
{
    CHECK_OK(sfs_fs_close(f->fs));
    CHECK_OK(sfs_store_sync(f->store));
    CHECK_OK(sfs_fs_open(f->store, SFS_TREE_VOLUME, &f->options, &f->fs));
}

static inline void fixture_crash(struct fixture *f)
{
    sfs_fs_abandon(f->fs);
    fake_store_crash(f->store);
    CHECK_OK(sfs_fs_open(f->store, SFS_TREE_VOLUME, &f->options, &f->fs));
}

static inline void fixture_end(struct fixture *f)
{
    struct fake_stats stats;
    CHECK_OK(sfs_fs_flush(f->fs));
    fixture_check(f);
    CHECK_OK(sfs_fs_close(f->fs));
    fake_store_stats(f->store, &stats);
    CHECK_EQ(stats.reserved, 0);
    fake_store_free(f->store);
    sfs_env_os_destroy(f->env);
}

#define ROOT SCALEFS_ROOT
static const struct scalefs_owner owner = {1000, 100};

static inline uint64_t make_file(struct fixture *f, uint64_t dir, const char *name)
{
    struct scalefs_attr a = {.ino = 0};
    CHECK_OK(sfs_fs_mknod(f->fs, dir, name, strlen(name), SCALEFS_S_IFREG | 0644, 0, 0, owner, &a));
    return a.ino;
}

static inline uint64_t make_dir(struct fixture *f, uint64_t dir, const char *name)
{
    struct scalefs_attr a = {.ino = 0};
    CHECK_OK(sfs_fs_mknod(f->fs, dir, name, strlen(name), SCALEFS_S_IFDIR | 0755, 0, 0, owner, &a));
    return a.ino;
}

/* The inode behind the name, 0 when there is none. */
static inline uint64_t find(struct fixture *f, uint64_t dir, const char *name)
{
    struct scalefs_attr a;
    return sfs_fs_lookup(f->fs, dir, name, strlen(name), &a) ? 0 : a.ino;
}

static inline struct scalefs_attr attr_of(struct fixture *f, uint64_t ino)
{
    struct scalefs_attr a;
    memset(&a, 0, sizeof a);
    CHECK_OK(sfs_fs_getattr(f->fs, ino, &a));
    return a;
}

static inline int unlink_name(struct fixture *f, uint64_t dir, const char *name)
{
    return sfs_fs_unlink(f->fs, dir, name, strlen(name));
}

static inline int rename_name(struct fixture *f, uint64_t dir, const char *name, uint64_t to, const char *new_name,
                              unsigned flags)
{
    return sfs_fs_rename(f->fs, dir, name, strlen(name), to, new_name, strlen(new_name), flags);
}

static inline void put_text(struct fixture *f, uint64_t ino, uint64_t offset, const char *text)
{
    CHECK_OK(sfs_fs_write(f->fs, ino, offset, text, strlen(text)));
}

static inline bool has_text(struct fixture *f, uint64_t ino, uint64_t offset, const char *text)
{
    char buf[256];
    size_t done;
    if (sfs_fs_read(f->fs, ino, offset, buf, sizeof buf, &done) || done != strlen(text))
        return false;
    return !memcmp(buf, text, done);
}

#endif
