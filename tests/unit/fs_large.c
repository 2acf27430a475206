/* Large writes: over and beside what is there, in memory that is kept; whom they wake. */
#include "fs_fixture.h"

/* --- large writes ------------------------------------------------------------------------------------------------------- */

enum { LARGE_FILE = 6 << 20 };

/* They are copied before the file is locked, and put beside, between and over small ones, with holes and ends cut into them. */
static void large_writes_over_and_beside(void)
{
    struct fixture f;
    fixture_begin(&f, NULL);
    uint64_t file = make_file(&f, ROOT, "a");
    uint8_t *model = calloc(1, LARGE_FILE), *data = malloc(LARGE_FILE);
    size_t size = 0;
    for (unsigned i = 0; i < 150; i++) {
        size_t len = test_below(3) ? (1u << 20) - test_below(3) * test_below(400000) : 1 + test_below(30000);
        size_t at = test_below(4) ? test_below(6) * (1u << 20) + test_below(2) * test_below(300000) : size, most = LARGE_FILE - len;
        unsigned what = test_below(8);
        at = at < most ? at : most;
        if (what == 0) {
            struct scalefs_attr set = {.size = test_below(LARGE_FILE)}, a;
            CHECK_OK(sfs_fs_setattr(f.fs, file, &set, SCALEFS_SET_SIZE, &a));
            memset(model + set.size, 0, LARGE_FILE - set.size);
            size = set.size;
        } else if (what == 1) {
            CHECK_OK(sfs_fs_fallocate(f.fs, file, SCALEFS_FALLOC_PUNCH_HOLE | SCALEFS_FALLOC_KEEP_SIZE, at, len));
            memset(model + at, 0, len);
        } else {
            test_fill(data, len);
            memcpy(model + at, data, len);
            CHECK_OK(sfs_fs_write(f.fs, file, at, data, len));
            size = at + len > size ? at + len : size;
        }
        if (!test_below(10))
            CHECK_OK(sfs_fs_fsync(f.fs, file));
        if (!test_below(20))
            fixture_reopen(&f);
        CHECK_EQ(attr_of(&f, file).size, size);
        reads(&f, file, 0, model, size);
    }
    fixture_check(&f);
    free(data);
    free(model);
    fixture_end(&f);
}

/* --- memory that is kept ------------------------------------------------------------------------------------------------ */

enum { KEPT_FILE = 6 << 20 };

/* Large writes whose memory becomes the file's, small ones over and beside them, holes and ends cut into them. */
static void what_is_kept_is_read(void)
{
    struct fixture f;
    fixture_begin(&f, NULL);
    uint64_t file = make_file(&f, ROOT, "a");
    uint8_t *model = calloc(1, KEPT_FILE);
    size_t size = 0;
    unsigned kept = 0, copied = 0;
    for (unsigned i = 0; i < 150; i++) {
        size_t len = test_below(3) ? (1u << 20) - test_below(3) * test_below(200000) : 1 + test_below(30000);
        size_t at = test_below(4) ? test_below(6) * (1u << 20) + test_below(2) * test_below(300000) : size, most = KEPT_FILE - len;
        unsigned what = test_below(8);
        at = at < most ? at : most;
        if (what == 0) {
            struct scalefs_attr set = {.size = test_below(KEPT_FILE)}, a;
            CHECK_OK(sfs_fs_setattr(f.fs, file, &set, SCALEFS_SET_SIZE, &a));
            memset(model + set.size, 0, KEPT_FILE - set.size);
            size = set.size;
        } else if (what == 1) {
            CHECK_OK(sfs_fs_fallocate(f.fs, file, SCALEFS_FALLOC_PUNCH_HOLE | SCALEFS_FALLOC_KEEP_SIZE, at, len));
            memset(model + at, 0, len);
        } else {
            uint8_t *memory = sfs_fs_memory_get(f.fs), *data = memory + test_below(8192);
            void *mine = memory;
            test_fill(data, len);
            memcpy(model + at, data, len);
            CHECK_OK(sfs_fs_write_keep(f.fs, file, at, &mine, data, len));
            kept += !mine;
            copied += mine != NULL;
            if (mine) {
                memset(mine, 0xee, SCALEFS_KEEP_MEMORY);
                sfs_fs_memory_put(mine);
            }
            size = at + len > size ? at + len : size;
        }
        if (!test_below(10))
            CHECK_OK(sfs_fs_fsync(f.fs, file));
        if (!test_below(20))
            fixture_reopen(&f);
        CHECK_EQ(attr_of(&f, file).size, size);
        reads(&f, file, 0, model, size);
    }
    CHECK(kept > 40 && copied > 20);
    fixture_check(&f);
    free(model);
    fixture_end(&f);
}

static void blocks_are_bounded(void)
{
    struct fixture f;
    fixture_begin(&f, NULL);
    f.options.dirty_bytes = 8u << 20;
    fixture_reopen(&f);
    enum { BLOCKS = 4 + 8 };
    uint64_t file = make_file(&f, ROOT, "a");
    void *got[BLOCKS], *keep;
    for (unsigned i = 0; i < BLOCKS; i++) {
        got[i] = sfs_fs_memory_get(f.fs);
        CHECK(got[i] && (uintptr_t)got[i] % 4096 == 0);
        memset(got[i], (int)i, SCALEFS_KEEP_MEMORY);
    }
    CHECK(!sfs_fs_memory_get(f.fs));
    keep = got[3];
    CHECK_OK(sfs_fs_write_keep(f.fs, file, 5, &keep, got[3], 1u << 20));
    CHECK(!keep && !sfs_fs_memory_get(f.fs)); /* the file has it */
    CHECK_OK(sfs_fs_fsync(f.fs, file));
    CHECK(sfs_fs_memory_get(f.fs) == got[3]); /* and has it no more */
    keep = got[3];
    CHECK_OK(sfs_fs_write_keep(f.fs, file, 5, &keep, got[3], 1000)); /* too little for all that memory */
    CHECK(keep == got[3]);
    for (unsigned i = 0; i < BLOCKS; i++)
        sfs_fs_memory_put(got[i]);
    fixture_end(&f);
}

/* --- who is woken --- */

static const struct sfs_env_ops *quiet_ops;
static unsigned woken;

static void count_waking(struct sfs_cond *c)
{
    woken++;
    quiet_ops->cond_broadcast(c);
}

/* Once much is dirty each write could wake the tasks, which know that already. */
static void who_does_not_wait_is_not_woken(void)
{
    struct fixture f;
    fixture_begin(&f, NULL);
    uint64_t file = make_file(&f, ROOT, "a");
    uint8_t *data = calloc(1, 1u << 20);
    for (uint64_t i = 0; i < 20; i++)
        CHECK_OK(sfs_fs_write(f.fs, file, i << 20, data, 1u << 20));
    struct sfs_env_ops ops = *f.env->ops;
    ops.cond_broadcast = count_waking;
    quiet_ops = f.env->ops;
    f.env->ops = &ops;
    woken = 0;
    for (uint64_t i = 20; i < 30; i++)
        CHECK_OK(sfs_fs_write(f.fs, file, i << 20, data, 4096));
    f.env->ops = quiet_ops;
    CHECK_EQ(woken, 10); /* by the lock of the file alone */
    free(data);
    fixture_end(&f);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(what_is_kept_is_read);
    RUN(blocks_are_bounded);
    RUN(who_does_not_wait_is_not_woken);
    RUN(large_writes_over_and_beside);
    return TEST_END();
}
