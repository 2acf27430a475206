/* The public library on pools of small files: made, refused, found, opened, set, checked. */
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scalefs/fs.h"
#include "test.h"

struct folder {
    char path[64];
    char disks[8][80];
    const char *list[8];
};

static void begin(struct folder *f)
{
    snprintf(f->path, sizeof f->path, "/tmp/scalefs-api-XXXXXX");
    if (!mkdtemp(f->path))
        exit(1);
    for (unsigned i = 0; i < 8; i++) {
        snprintf(f->disks[i], sizeof f->disks[i], "%s/disk%u", f->path, i);
        f->list[i] = f->disks[i];
    }
}

static void end(struct folder *f)
{
    for (unsigned i = 0; i < 8; i++)
        unlink(f->disks[i]);
    CHECK_EQ(rmdir(f->path), 0);
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* The first `count` disks, of 64 MiB. */
static int create(struct folder *f, const char *name, unsigned count, unsigned failover, bool force,
                  struct scalefs_error_info *info)
{
    struct scalefs_create_options o = {.struct_bytes = sizeof o, .name = name, .failover = failover,
                                       .file_bytes = 64u << 20, .force = force};
    return scalefs_pool_create(&o, f->list, count, NULL, info);
}

static int open_pool(const char *name, const char *const *disks, size_t count, struct scalefs_pool **pool,
                     struct scalefs_error_info *info)
{
    struct scalefs_open_options o = {.struct_bytes = sizeof o};
    return scalefs_pool_open(&o, name, disks, count, pool, info);
}

static uint64_t write_file(struct scalefs_pool *pool, const char *name, const char *text)
{
    struct scalefs_fs *fs;
    struct scalefs_attr a = {.ino = 0};
    struct scalefs_owner owner = {0, 0};
    CHECK_OK(scalefs_fs_get(pool, &fs));
    CHECK_OK(scalefs_mknod(fs, SCALEFS_ROOT, name, strlen(name), SCALEFS_S_IFREG | 0644, 0, 0, owner, &a));
    CHECK_OK(scalefs_write(fs, a.ino, 0, text, strlen(text)));
    return a.ino;
}

static bool has_file(struct scalefs_pool *pool, const char *name, const char *text)
{
    struct scalefs_fs *fs;
    struct scalefs_attr a;
    char buf[100];
    size_t done;
    return !scalefs_fs_get(pool, &fs) && !scalefs_lookup(fs, SCALEFS_ROOT, name, strlen(name), &a) &&
           !scalefs_read(fs, a.ino, 0, buf, sizeof buf, &done) && done == strlen(text) && !memcmp(buf, text, done);
}

static void made_and_found(void)
{
    struct folder f;
    struct scalefs_pool *pool, *again;
    struct scalefs_error_info info;
    struct scalefs_status *status;
    begin(&f);
    REQUIRE_OK(create(&f, "tank", 3, 1, false, &info));
    REQUIRE_OK(open_pool(f.list[1], NULL, 0, &pool, &info)); /* by the path of any of its disks */
    CHECK_EQ(open_pool("tank", f.list, 1, &again, &info), SCALEFS_E_BUSY);
    CHECK(strstr(info.text, "in use") != NULL);
    write_file(pool, "file", "text");
    CHECK_OK(scalefs_pool_status(pool, &status));
    CHECK_STR(status->name, "tank");
    CHECK_EQ(status->state, SCALEFS_HEALTHY);
    CHECK_EQ(status->disk_count, 3);
    CHECK_EQ(status->failures_left, 1);
    CHECK_EQ(status->raw, 3ull * (64u << 20));
    CHECK(status->usable > 0 && status->free > 0 && status->free <= status->usable);
    char uuid[37];
    strcpy(uuid, status->uuid);
    scalefs_status_free(status);
    CHECK_OK(scalefs_pool_close(pool, false));
    REQUIRE_OK(open_pool(uuid, f.list + 2, 1, &pool, &info)); /* by UUID, given where to look */
    CHECK(has_file(pool, "file", "text"));
    CHECK_OK(scalefs_pool_close(pool, true));
    REQUIRE_OK(open_pool("tank", f.list, 1, &pool, &info)); /* by name */
    CHECK_OK(scalefs_pool_close(pool, false));
    CHECK_EQ(open_pool("other", f.list, 1, &pool, &info), SCALEFS_E_NOENT);
    CHECK_EQ(open_pool(f.list[7], NULL, 0, &pool, &info), SCALEFS_E_NOENT);
    end(&f);
}

static void refused_without_a_trace(void)
{
    struct folder f;
    struct scalefs_error_info info;
    const char *const bad_names[] = {"", "a/b", "a\nb", "..", "-x", "6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
                                     "0123456789012345678901234567890123456789012345678901234567890123"};
    begin(&f);
    for (unsigned i = 0; i < sizeof bad_names / sizeof *bad_names; i++)
        CHECK_EQ(create(&f, bad_names[i], 2, 0, false, &info), SCALEFS_E_INVAL);
    CHECK_EQ(create(&f, "tank", 2, 2, false, &info), SCALEFS_E_TOO_FEW);
    CHECK(!exists(f.list[0]));
    /* The third is the first again: the files that were made for it are taken away. */
    f.list[2] = f.list[0];
    CHECK_EQ(create(&f, "tank", 3, 1, false, &info), SCALEFS_E_INVAL);
    CHECK(strstr(info.text, "given twice") != NULL);
    f.list[2] = f.disks[2];
    CHECK(!exists(f.list[0]) && !exists(f.list[1]));
    /* Under another name. */
    FILE *file = fopen(f.list[0], "w");
    CHECK_EQ(ftruncate(fileno(file), 64u << 20), 0);
    fclose(file);
    CHECK_EQ(symlink(f.disks[0], f.disks[2]), 0);
    CHECK_EQ(create(&f, "tank", 3, 1, false, &info), SCALEFS_E_INVAL);
    CHECK(strstr(info.text, "given twice") != NULL);
    unlink(f.disks[2]);
    CHECK_EQ(link(f.disks[0], f.disks[2]), 0);
    CHECK_EQ(create(&f, "tank", 3, 1, false, &info), SCALEFS_E_BUSY);
    unlink(f.disks[2]);
    /* Something is in it; it is too small. */
    CHECK(exists(f.list[0]) && !exists(f.list[1]));
    file = fopen(f.list[0], "r+");
    fputs("precious", file);
    fclose(file);
    CHECK_EQ(create(&f, "tank", 2, 1, false, &info), SCALEFS_E_FOREIGN);
    CHECK_EQ(truncate(f.list[0], 1u << 20), 0);
    CHECK_EQ(create(&f, "tank", 2, 1, true, &info), SCALEFS_E_TOO_SMALL);
    CHECK(!exists(f.list[1]));
    struct scalefs_create_options o = {.struct_bytes = sizeof o, .name = "tank"};
    CHECK_EQ(scalefs_pool_create(&o, f.list + 1, 1, NULL, &info), SCALEFS_E_NOENT);
    o.file_bytes = 1u << 20;
    CHECK_EQ(scalefs_pool_create(&o, f.list + 1, 1, NULL, &info), SCALEFS_E_TOO_SMALL);
    CHECK(!exists(f.list[1]));
    end(&f);
}

static void pools_are_not_overwritten(void)
{
    struct folder f;
    struct scalefs_pool *pool;
    struct scalefs_error_info info;
    begin(&f);
    REQUIRE_OK(create(&f, "tank", 2, 1, false, &info));
    CHECK_EQ(create(&f, "other", 2, 1, false, &info), SCALEFS_E_FOREIGN);
    CHECK(strstr(info.text, "\"tank\"") != NULL);
    REQUIRE_OK(open_pool(f.list[0], NULL, 0, &pool, &info));
    CHECK_EQ(create(&f, "other", 2, 1, true, &info), SCALEFS_E_BUSY);
    CHECK_OK(scalefs_pool_close(pool, false));
    CHECK_OK(create(&f, "other", 2, 1, true, &info));
    CHECK_EQ(open_pool("tank", f.list, 1, &pool, &info), SCALEFS_E_NOENT);
    end(&f);
}

static void count_pool(void *context, const struct scalefs_found_pool *p)
{
    unsigned *counts = context;
    if (!strcmp(p->name, "same"))
        counts[0]++;
    if (p->path_count == 3 && p->disks_found == 3 && p->disks_expected == 3 && !p->other_host)
        counts[1]++;
}

static void two_pools_of_one_name(void)
{
    struct folder f;
    struct scalefs_pool *pool;
    struct scalefs_error_info info;
    unsigned counts[2] = {0, 0};
    struct scalefs_create_options o = {.struct_bytes = sizeof o, .name = "same", .file_bytes = 64u << 20};
    char uuid[37];
    begin(&f);
    REQUIRE_OK(create(&f, "same", 3, 1, false, &info));
    REQUIRE_OK(scalefs_pool_create(&o, f.list + 3, 1, uuid, &info));
    CHECK_EQ(open_pool("same", f.list, 1, &pool, &info), SCALEFS_E_AMBIGUOUS);
    CHECK(strstr(info.text, uuid) != NULL);
    REQUIRE_OK(open_pool(uuid, f.list, 1, &pool, &info));
    CHECK_OK(scalefs_pool_close(pool, false));
    REQUIRE_OK(open_pool(f.list[3], NULL, 0, &pool, &info));
    CHECK_OK(scalefs_pool_close(pool, false));
    CHECK_OK(scalefs_pools_find(f.list, 1, count_pool, counts, &info));
    CHECK_EQ(counts[0], 2);
    CHECK_EQ(counts[1], 1);
    end(&f);
}

static void settings_last(void)
{
    struct folder f;
    struct scalefs_pool *pool;
    struct scalefs_error_info info;
    struct scalefs_status *status;
    const char *const bad[][2] = {{"verify", "maybe"}, {"compression", "zstd:20"}, {"compression", "zstd:"},
                                  {"compression", "gzip"}, {"record", "100000"}, {"record", "8K"}, {"color", "red"}};
    begin(&f);
    REQUIRE_OK(create(&f, "tank", 1, 0, false, &info));
    REQUIRE_OK(open_pool(f.list[0], NULL, 0, &pool, &info));
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_EQ(scalefs_pool_set(pool, bad[i][0], bad[i][1], &info), SCALEFS_E_INVAL);
    CHECK_OK(scalefs_pool_set(pool, "verify", "parity", &info));
    CHECK_OK(scalefs_pool_set(pool, "compression", "zstd:3", &info));
    CHECK_OK(scalefs_pool_set(pool, "record", "64K", &info));
    write_file(pool, "file", "text");
    CHECK_OK(scalefs_pool_sync(pool));
    CHECK_OK(scalefs_pool_close(pool, false));
    REQUIRE_OK(open_pool(f.list[0], NULL, 0, &pool, &info));
    REQUIRE_OK(scalefs_pool_status(pool, &status));
    CHECK_EQ(status->verify, 1);
    CHECK_EQ(status->compression, 1);
    CHECK_EQ(status->zstd_level, 3);
    CHECK_EQ(status->record_bytes, 65536);
    scalefs_status_free(status);
    CHECK(has_file(pool, "file", "text"));
    CHECK_OK(scalefs_pool_close(pool, false));
    end(&f);
}

/* As long as they may be, with the smallest records. */
static void attributes_are_not_cut_by_records(void)
{
    struct folder f;
    struct scalefs_pool *pool;
    struct scalefs_fs *fs;
    struct scalefs_error_info info;
    static uint8_t value[65536], got[65536];
    size_t len = 0;
    test_fill(value, sizeof value);
    begin(&f);
    REQUIRE_OK(create(&f, "tank", 2, 1, false, &info));
    REQUIRE_OK(open_pool(f.list[0], NULL, 0, &pool, &info));
    CHECK_OK(scalefs_pool_set(pool, "record", "16K", &info));
    CHECK_OK(scalefs_pool_set(pool, "compression", "zstd:3", &info));
    REQUIRE_OK(scalefs_fs_get(pool, &fs));
    CHECK_OK(scalefs_setxattr(fs, SCALEFS_ROOT, "user.noise", value, sizeof value, 0));
    memset(value, 'x', sizeof value);
    CHECK_OK(scalefs_setxattr(fs, SCALEFS_ROOT, "user.x", value, sizeof value, 0));
    CHECK_EQ(scalefs_setxattr(fs, SCALEFS_ROOT, "user.y", value, sizeof value + 1, 0), SCALEFS_E_TOOBIG);
    CHECK_OK(scalefs_pool_close(pool, false));
    REQUIRE_OK(open_pool(f.list[0], NULL, 0, &pool, &info));
    REQUIRE_OK(scalefs_fs_get(pool, &fs));
    CHECK_OK(scalefs_getxattr(fs, SCALEFS_ROOT, "user.x", got, sizeof got, &len));
    CHECK(len == sizeof value && !memcmp(got, value, len));
    CHECK_OK(scalefs_getxattr(fs, SCALEFS_ROOT, "user.noise", got, sizeof got, &len));
    CHECK(len == sizeof value && memcmp(got, value, len));
    CHECK_OK(scalefs_pool_close(pool, false));
    end(&f);
}

static void count_problem(void *context, const char *text)
{
    printf("# %s\n", text);
    ++*(unsigned *)context;
}

static void checked_and_read_only(void)
{
    struct folder f;
    struct scalefs_pool *pool;
    struct scalefs_error_info info;
    struct scalefs_check_report report;
    struct scalefs_open_options o = {.struct_bytes = sizeof o, .read_only = true};
    struct scalefs_fs *fs;
    unsigned problems = 0;
    begin(&f);
    REQUIRE_OK(create(&f, "tank", 2, 1, false, &info));
    /* Before it was ever opened for writing. */
    REQUIRE_OK(scalefs_pool_open(&o, f.list[0], NULL, 0, &pool, &info));
    struct scalefs_attr a;
    CHECK_OK(scalefs_fs_get(pool, &fs));
    CHECK_OK(scalefs_getattr(fs, SCALEFS_ROOT, &a));
    CHECK_EQ(a.mode & SCALEFS_S_IFMT, SCALEFS_S_IFDIR);
    CHECK_EQ(scalefs_pool_set(pool, "verify", "parity", &info), SCALEFS_E_ROFS);
    CHECK_OK(scalefs_pool_close(pool, false));
    REQUIRE_OK(open_pool(f.list[0], NULL, 0, &pool, &info));
    write_file(pool, "one", "text");
    write_file(pool, "two", "text");
    CHECK_OK(scalefs_pool_close(pool, false));
    CHECK_OK(scalefs_pool_check(f.list[0], NULL, 0, count_problem, &problems, &report, &info));
    CHECK_EQ(problems, 0);
    CHECK_EQ(report.problems, 0);
    CHECK_EQ(report.files, 2);
    CHECK_EQ(report.directories, 1);
    REQUIRE_OK(scalefs_pool_open(&o, "tank", f.list, 1, &pool, &info));
    CHECK(has_file(pool, "two", "text"));
    CHECK_OK(scalefs_pool_close(pool, false));
    end(&f);
}

static void nonsense_is_refused(void)
{
    struct scalefs_error_info info;
    struct scalefs_pool *pool;
    struct scalefs_fs *fs;
    struct scalefs_open_options o = {.struct_bytes = 1};
    struct scalefs_attr a;
    CHECK_EQ(scalefs_pool_create(NULL, NULL, 0, NULL, &info), SCALEFS_E_INVAL);
    CHECK_EQ(scalefs_pool_open(&o, "x", NULL, 0, &pool, &info), SCALEFS_E_INVAL);
    CHECK_EQ(scalefs_pool_open(NULL, "x", NULL, 0, &pool, NULL), SCALEFS_E_INVAL);
    CHECK_EQ(scalefs_fs_get(NULL, &fs), SCALEFS_E_INVAL);
    CHECK_EQ(scalefs_getattr(NULL, 1, &a), SCALEFS_E_INVAL);
    CHECK_OK(scalefs_pool_close(NULL, false));
    scalefs_status_free(NULL);
    CHECK_STR(scalefs_task_kind_name((enum scalefs_task_kind)99), "unknown");
    CHECK_STR(scalefs_disk_state_name(SCALEFS_DISK_LEAVING), "leaving");
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    unsetenv("SCALEFS_PATH");
    RUN(made_and_found);
    RUN(refused_without_a_trace);
    RUN(pools_are_not_overwritten);
    RUN(two_pools_of_one_name);
    RUN(settings_last);
    RUN(attributes_are_not_cut_by_records);
    RUN(checked_and_read_only);
    RUN(nonsense_is_refused);
    return TEST_END();
}
