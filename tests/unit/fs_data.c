/* File data: holes, appends, truncation, punching, cloning, seeking; when it is written out; what it does when
 * that fails; how much memory it takes; extended attributes and ACLs.
 */
#include "fs_fixture.h"

#include "fs/internal.h"

static uint8_t *pattern(size_t len)
{
    uint8_t *p = malloc(len + 1);
    test_fill(p, len);
    return p;
}

static bool reads(struct fixture *f, uint64_t ino, uint64_t offset, const uint8_t *want, size_t len)
{
    uint8_t *got = malloc(len + 1);
    size_t done = 0;
    bool good = CHECK_OK(sfs_fs_read(f->fs, ino, offset, got, len, &done)) && CHECK_EQ(done, len) &&
                CHECK_MEM(got, want, len);
    free(got);
    return good;
}

static int resize(struct fixture *f, uint64_t ino, uint64_t size)
{
    struct scalefs_attr set = {.size = size}, a;
    return sfs_fs_setattr(f->fs, ino, &set, SCALEFS_SET_SIZE, &a);
}

/* Zeros that make the file longer come with its new size, in one transaction, unless data in memory has to come before it. */
static void zeros_come_with_the_size(void)
{
    for (unsigned synced = 0; synced < 2; synced++) {
        struct fixture f;
        fixture_begin(&f, NULL);
        uint64_t file = make_file(&f, ROOT, "file");
        uint8_t *p = pattern(3000), zeros[4000] = {0};
        CHECK_OK(sfs_fs_write(f.fs, file, 0, p, 3000));
        CHECK_OK(synced ? sfs_fs_sync(f.fs) : SCALEFS_OK);
        fake_store_fail_tx(f.store, 2, 1, SCALEFS_E_NOSPC);
        CHECK_OK(sfs_fs_fallocate(f.fs, file, SCALEFS_FALLOC_ZERO_RANGE, 1000, 4000));
        fake_store_fail_tx(f.store, 0, 0, SCALEFS_OK);
        CHECK_EQ(attr_of(&f, file).size, 5000);
        reads(&f, file, 0, p, 1000);
        reads(&f, file, 1000, zeros, 4000);
        fixture_reopen(&f);
        CHECK_EQ(attr_of(&f, file).size, 5000);
        reads(&f, file, 0, p, 1000);
        reads(&f, file, 1000, zeros, 4000);
        free(p);
        fixture_end(&f);
    }
}

static void written_and_read(void)
{
    struct fixture f;
    fixture_begin(&f, NULL);
    uint64_t file = make_file(&f, ROOT, "file"), at, offset;
    size_t len = 3000000, done;
    uint8_t *p = pattern(len), small[16];
    for (at = 0; at < len; at += 4096 * 3)
        CHECK_OK(sfs_fs_write(f.fs, file, at, p + at, len - at < 4096 * 3 ? len - at : 4096 * 3));
    reads(&f, file, 0, p, len);
    CHECK_OK(sfs_fs_flush(f.fs));
    CHECK_EQ(sfs_fs_dirty_bytes(f.fs), 0);
    reads(&f, file, 0, p, len);
    fixture_reopen(&f);
    reads(&f, file, 0, p, len);
    CHECK_EQ(attr_of(&f, file).allocated, len);
    CHECK_OK(sfs_fs_read(f.fs, file, len - 5, small, 16, &done));
    CHECK_EQ(done, 5);
    CHECK_OK(sfs_fs_read(f.fs, file, len + 5, small, 16, &done));
    CHECK_EQ(done, 0);
    CHECK_OK(sfs_fs_append(f.fs, file, "end", 3, &offset));
    CHECK_EQ(offset, len);
    CHECK_EQ(attr_of(&f, file).size, len + 3);
    CHECK_EQ(sfs_fs_write(f.fs, ROOT, 0, "x", 1), SCALEFS_E_ISDIR);
    CHECK_EQ(sfs_fs_read(f.fs, ROOT, 0, small, 1, &done), SCALEFS_E_ISDIR);
    CHECK_EQ(sfs_fs_write(f.fs, file, SCALEFS_FILE_MAX, "x", 1), SCALEFS_E_FBIG);
    CHECK_OK(sfs_fs_write(f.fs, file, SCALEFS_FILE_MAX - 1, "x", 1));
    CHECK_EQ(sfs_fs_append(f.fs, file, "x", 1, &offset), SCALEFS_E_FBIG);
    CHECK_OK(sfs_fs_flush(f.fs));
    CHECK_OK(sfs_fs_read(f.fs, file, SCALEFS_FILE_MAX - 2, small, 16, &done));
    CHECK_EQ(done, 2);
    CHECK_EQ(small[0], 0);
    CHECK_EQ(small[1], 'x');
    free(p);
    fixture_end(&f);
}

/* Writing backwards and in scattered small pieces costs no more than writing forwards, in bytes of extents. */
static void scattered_writes_are_joined(void)
{
    struct fixture f;
    struct fake_stats s;
    fixture_begin(&f, NULL);
    uint64_t file = make_file(&f, ROOT, "file");
    size_t len = 1u << 20;
    uint8_t *p = pattern(len);
    for (size_t at = len; at > 0; at -= 1024)
        CHECK_OK(sfs_fs_write(f.fs, file, at - 1024, p + at - 1024, 1024));
    CHECK_OK(sfs_fs_flush(f.fs));
    fake_store_stats(f.store, &s);
    CHECK_EQ(s.extents, 8); /* of 128 KiB */
    CHECK_EQ(s.used, len);
    reads(&f, file, 0, p, len);
    free(p);
    fixture_end(&f);
}

static void many_small_files_share_a_batch(void)
{
    struct fixture f;
    struct fake_stats s;
    char name[16];
    fixture_begin(&f, NULL);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "%u", i);
        put_text(&f, make_file(&f, ROOT, name), 0, "a small file");
    }
    CHECK_OK(sfs_fs_flush(f.fs));
    struct fake_stats before;
    fake_store_stats(f.store, &s);
    CHECK_EQ(s.batches, 1);
    before = s;
    CHECK(s.transactions < 1000 + 30);
    CHECK(s.largest < 1200);
    CHECK(has_text(&f, find(&f, ROOT, "517"), 0, "a small file"));
    CHECK_OK(sfs_fs_flush(f.fs)); /* nothing is left to do */
    fake_store_stats(f.store, &s);
    CHECK_EQ(s.transactions, before.transactions);
    fixture_end(&f);
}

static void memory_is_bounded(void)
{
    struct fixture f;
    struct fake_options store = {.record = 16384, .row = 65536};
    fixture_begin(&f, &store);
    CHECK_OK(sfs_fs_close(f.fs));
    f.options.dirty_bytes = 1u << 20;
    f.options.inode_cache = 10;
    CHECK_OK(sfs_fs_open(f.store, SFS_TREE_VOLUME, &f.options, &f.fs));
    uint64_t files[20];
    char name[16];
    uint8_t *p = pattern(1u << 20);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "%u", i);
        files[i] = make_file(&f, ROOT, name);
    }
    uint64_t most = 0, size = 0;
    for (unsigned i = 0; i < 3000; i++) {
        unsigned file = (unsigned)test_below(20);
        /* Mostly small, now and then large; each file's bytes are those of p at the same offset. */
        size_t len = i % 50 ? 1 + test_below(3000) : 200000, at = test_below((1u << 20) - len);
        CHECK_OK(sfs_fs_write(f.fs, files[file], at, p + at, len));
        size = sfs_fs_dirty_bytes(f.fs);
        most = size > most ? size : most;
    }
    CHECK(most <= (1u << 20) + (1u << 18)); /* rooms of segments may double; a little over */
    CHECK(most > 1u << 19);
    CHECK_OK(sfs_fs_flush(f.fs));
    for (unsigned i = 0; i < 20; i++) { /* each byte is p's or a hole's */
        uint64_t end = attr_of(&f, files[i]).size;
        uint8_t *got = malloc(end + 1);
        size_t done;
        CHECK_OK(sfs_fs_read(f.fs, files[i], 0, got, end, &done));
        CHECK_EQ(done, end);
        for (size_t j = 0; j < end; j++)
            if (got[j] && got[j] != p[j]) {
                CHECK_EQ(got[j], p[j]);
                break;
            }
        free(got);
    }
    free(p);
    fixture_end(&f);
}

/* --- sizes ------------------------------------------------------------------------------------------------------- */

static void truncated(void)
{
    struct fixture f;
    uint8_t zeros[100] = {0};
    size_t done;
    uint8_t buf[200];
    for (unsigned flushed = 0; flushed < 2; flushed++) {
        fixture_begin(&f, NULL);
        uint64_t file = make_file(&f, ROOT, "file");
        put_text(&f, file, 0, "0123456789");
        if (flushed)
            CHECK_OK(sfs_fs_flush(f.fs));
        CHECK_OK(resize(&f, file, 4));
        CHECK(has_text(&f, file, 0, "0123"));
        CHECK_OK(resize(&f, file, 104));
        CHECK_OK(sfs_fs_read(f.fs, file, 0, buf, 200, &done));
        CHECK_EQ(done, 104);
        CHECK_MEM(buf, "0123", 4);
        CHECK_MEM(buf + 4, zeros, 100); /* what was cut off does not come back */
        fixture_reopen(&f);
        CHECK_OK(sfs_fs_read(f.fs, file, 0, buf, 200, &done));
        CHECK_EQ(done, 104);
        CHECK_MEM(buf + 4, zeros, 100);
        CHECK_EQ(attr_of(&f, file).allocated, 4);
        CHECK_EQ(resize(&f, file, SCALEFS_FILE_MAX + 1ull), SCALEFS_E_FBIG);
        CHECK_OK(resize(&f, file, SCALEFS_FILE_MAX));
        CHECK_OK(resize(&f, file, 0));
        CHECK_EQ(attr_of(&f, file).allocated, 0);
        fixture_end(&f);
    }
}

/* The size never gets to the disks before the data that it covers. */
static void size_waits_for_the_data(void)
{
    struct fixture f;
    struct scalefs_attr a, set = {.mode = 0600};
    fixture_begin(&f, NULL);
    uint64_t file = make_file(&f, ROOT, "file");
    put_text(&f, file, 0, "first");
    CHECK_OK(sfs_fs_fsync(f.fs, file));
    put_text(&f, file, 5, " second");
    CHECK_OK(sfs_fs_setattr(f.fs, file, &set, SCALEFS_SET_MODE, &a));
    CHECK_EQ(a.size, 12);
    CHECK_OK(resize(&f, file, 20));
    CHECK_OK(rename_name(&f, ROOT, "file", ROOT, "renamed", 0));
    CHECK_OK(sfs_fs_setxattr(f.fs, file, "user.a", "b", 1, 0));
    CHECK_OK(sfs_fs_link(f.fs, file, ROOT, "again", 5, &a));
    CHECK_EQ(a.size, 20);
    CHECK_OK(sfs_store_sync(f.store)); /* all that is durable, the data is not written */
    fixture_crash(&f);
    CHECK_EQ(find(&f, ROOT, "renamed"), file);
    CHECK_EQ(attr_of(&f, file).mode & 07777, 0600);
    CHECK(has_text(&f, file, 0, "first"));
    put_text(&f, file, 5, " second");
    CHECK_OK(resize(&f, file, 20));
    CHECK_OK(sfs_fs_sync(f.fs));
    fixture_crash(&f);
    CHECK_EQ(attr_of(&f, file).size, 20);
    fixture_end(&f);
}

/* What is being rewritten within the file does not hold a new size back: a later operation could be durable without it. */
static void grows_at_once_when_nothing_waits_behind_its_end(void)
{
    struct fixture f;
    fixture_begin(&f, NULL);
    uint64_t file = make_file(&f, ROOT, "file");
    put_text(&f, file, 0, "first");
    CHECK_OK(sfs_fs_fsync(f.fs, file));
    put_text(&f, file, 1, "IRS");
    CHECK_OK(resize(&f, file, 20));
    make_file(&f, ROOT, "later");
    CHECK_OK(sfs_store_sync(f.store)); /* the bytes in memory are not written */
    fixture_crash(&f);
    CHECK(find(&f, ROOT, "later") != 0);
    CHECK_EQ(attr_of(&f, file).size, 20);
    reads(&f, file, 0, (const uint8_t *)"first", 5);
    fixture_end(&f);
}

/* A file of many extents (every other kilobyte written and flushed). */
static uint64_t make_ragged(struct fixture *f, const char *name, unsigned pieces)
{
    uint64_t file = make_file(f, ROOT, name);
    uint8_t *p = pattern(1024);
    for (unsigned i = 0; i < pieces; i++)
        CHECK_OK(sfs_fs_write(f->fs, file, i * 2048ull, p, 1024));
    CHECK_OK(sfs_fs_sync(f->fs));
    free(p);
    return file;
}

static void deletions_and_truncations_are_bounded(void)
{
    struct fixture f;
    struct fake_stats s;
    fixture_begin(&f, NULL);
    uint64_t a = make_ragged(&f, "a", 5000), b = make_ragged(&f, "b", 5000);
    fake_store_stats(f.store, &s);
    CHECK(s.largest < 700);
    CHECK_OK(resize(&f, a, 0));
    CHECK_OK(sfs_fs_hold(f.fs, b));
    CHECK_OK(unlink_name(&f, ROOT, "b"));
    sfs_fs_release_hold(f.fs, b, 1);
    fake_store_stats(f.store, &s);
    CHECK(s.largest < 700);
    CHECK_EQ(s.live_extents, 0);
    fixture_end(&f);
}

/* Whichever transaction is the last before the crash, the next opening finishes the work. */
static void crashes_within_deletions_are_finished(void)
{
    for (unsigned nth = 1; nth < 12; nth++) {
        for (unsigned what = 0; what < 2; what++) {
            struct fixture f;
            struct scalefs_attr a;
            struct fake_stats s;
            fixture_begin(&f, NULL);
            uint64_t file = make_ragged(&f, "file", 2000);
            fake_store_fail_tx(f.store, nth, 1000, SCALEFS_E_SUSPENDED);
            int err = what ? unlink_name(&f, ROOT, "file") : resize(&f, file, 100);
            CHECK_OK(sfs_store_sync(f.store)); /* what was committed so far is durable */
            fake_store_fail_tx(f.store, 0, 0, 0);
            fixture_crash(&f);
            if (what && nth > 1) {
                CHECK_EQ(sfs_fs_getattr(f.fs, file, &a), SCALEFS_E_STALE);
                fake_store_stats(f.store, &s);
                CHECK_EQ(s.live_extents, 0);
            } else {
                a = attr_of(&f, file);
                CHECK_EQ(a.size, nth > 1 && !what ? 100 : 1999 * 2048 + 1024);
                CHECK_EQ(a.allocated, nth > 1 && !what ? 100 : 2000 * 1024);
            }
            if (nth == 1)
                CHECK_EQ(err, SCALEFS_E_SUSPENDED);
            fixture_end(&f);
        }
    }
}

/* --- holes ----------------------------------------------------------------------------------------------------------- */

static void holes_and_seeking(void)
{
    for (unsigned flushed = 0; flushed < 2; flushed++) {
        struct fixture f;
        uint64_t at;
        fixture_begin(&f, NULL);
        uint64_t file = make_file(&f, ROOT, "file");
        uint8_t *p = pattern(10000), zeros[4000] = {0};
        CHECK_OK(sfs_fs_write(f.fs, file, 0, p, 10000));
        if (flushed)
            CHECK_OK(sfs_fs_flush(f.fs));
        CHECK_OK(sfs_fs_write(f.fs, file, 50000, p, 10000));
        CHECK_OK(sfs_fs_fallocate(f.fs, file, SCALEFS_FALLOC_PUNCH_HOLE | SCALEFS_FALLOC_KEEP_SIZE, 3000, 4000));
        reads(&f, file, 0, p, 3000);
        reads(&f, file, 3000, zeros, 4000);
        reads(&f, file, 7000, p + 7000, 3000);
        const struct {
            uint64_t from, data, hole;
        } want[] = {{0, 0, 3000}, {2999, 2999, 3000}, {3000, 7000, 3000}, {6999, 7000, 6999}, {7000, 7000, 10000},
                    {20000, 50000, 20000}, {50000, 50000, 60000}, {59999, 59999, 60000}};
        for (unsigned i = 0; i < sizeof want / sizeof *want; i++) {
            CHECK_OK(sfs_fs_seek(f.fs, file, want[i].from, false, &at));
            CHECK_EQ(at, want[i].data);
            CHECK_OK(sfs_fs_seek(f.fs, file, want[i].from, true, &at));
            CHECK_EQ(at, want[i].hole);
        }
        CHECK_EQ(sfs_fs_seek(f.fs, file, 60000, false, &at), SCALEFS_E_NXIO);
        CHECK_OK(resize(&f, file, 70000));
        CHECK_EQ(sfs_fs_seek(f.fs, file, 60000, false, &at), SCALEFS_E_NXIO);
        CHECK_OK(sfs_fs_seek(f.fs, file, 60000, true, &at));
        CHECK_EQ(at, 60000);
        CHECK_OK(sfs_fs_fallocate(f.fs, file, SCALEFS_FALLOC_ZERO_RANGE, 69000, 2000));
        CHECK_EQ(attr_of(&f, file).size, 71000);
        CHECK_OK(sfs_fs_fallocate(f.fs, file, SCALEFS_FALLOC_KEEP_SIZE, 0, 100000));
        CHECK_EQ(attr_of(&f, file).size, 71000);
        CHECK_OK(sfs_fs_fallocate(f.fs, file, 0, 0, 100000));
        CHECK_EQ(attr_of(&f, file).size, 100000);
        CHECK_EQ(sfs_fs_fallocate(f.fs, file, SCALEFS_FALLOC_PUNCH_HOLE, 0, 1), SCALEFS_E_NOTSUP);
        CHECK_EQ(sfs_fs_fallocate(f.fs, file, 8, 0, 1), SCALEFS_E_NOTSUP);
        CHECK_EQ(sfs_fs_fallocate(f.fs, file, 0, 0, 0), SCALEFS_E_INVAL);
        CHECK_EQ(attr_of(&f, file).allocated, 16000);
        free(p);
        fixture_end(&f);
    }
}

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

/* --- beside others who write --- */

struct others {
    struct fixture *f;
    uint64_t file;
    unsigned rounds;
};

/* More than half of what may wait, in small pieces, whenever something is written out. */
static void write_as_much_again(void *context)
{
    struct others *o = context;
    static uint8_t piece[64 << 10];
    fake_store_on_batch(o->f->store, write_as_much_again, o);
    if (o->rounds > 50 || o->f->fs->dirty_memory > 8u << 20)
        return;
    o->rounds++;
    for (unsigned i = 0; i < 120; i++)
        CHECK_OK(sfs_fs_write(o->f->fs, o->file, (o->rounds * 128 + i) * sizeof piece, piece, sizeof piece));
}

/* It waits at half of the bound, where the small ones beside it fill all of it. */
static void a_large_write_has_its_turn(void)
{
    struct fixture f;
    fixture_begin(&f, NULL);
    f.options.dirty_bytes = 18u << 20;
    fixture_reopen(&f);
    uint64_t small = make_file(&f, ROOT, "small"), large = make_file(&f, ROOT, "large");
    struct others o = {&f, small, 0};
    uint8_t *p = pattern(2u << 20);
    write_as_much_again(&o);
    CHECK_OK(sfs_fs_write(f.fs, large, 0, p, 2u << 20));
    CHECK(o.rounds > 1 && o.rounds < 5);
    fake_store_on_batch(f.store, NULL, NULL);
    reads(&f, large, 0, p, 2u << 20);
    free(p);
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

/* --- clones ------------------------------------------------------------------------------------------------------------ */

static void cloned(void)
{
    struct fixture f;
    struct fake_stats s;
    uint64_t done;
    fixture_begin(&f, NULL);
    uint64_t a = make_file(&f, ROOT, "a"), b = make_file(&f, ROOT, "b");
    uint8_t *p = pattern(500000), *q = pattern(500000);
    CHECK_OK(sfs_fs_write(f.fs, a, 0, p, 500000));
    CHECK_OK(sfs_fs_write(f.fs, b, 0, q, 300000));
    CHECK_OK(sfs_fs_copy_range(f.fs, a, 100001, b, 50001, 200000, &done));
    CHECK_EQ(done, 200000);
    fake_store_stats(f.store, &s);
    CHECK(s.used <= 800000); /* nothing was copied */
    reads(&f, b, 0, q, 50001);
    reads(&f, b, 50001, p + 100001, 200000);
    reads(&f, b, 250001, q + 250001, 49999);
    fixture_check(&f);
    /* Each goes its own way from here. */
    CHECK_OK(sfs_fs_write(f.fs, a, 100001, q, 1000));
    CHECK_OK(sfs_fs_flush(f.fs));
    reads(&f, b, 50001, p + 100001, 200000);
    CHECK_OK(unlink_name(&f, ROOT, "a"));
    reads(&f, b, 50001, p + 100001, 200000);
    fixture_check(&f);
    /* The source's end, holes, and within one file. */
    CHECK_OK(sfs_fs_copy_range(f.fs, b, 299000, b, 400000, 5000, &done));
    CHECK_EQ(done, 1000);
    reads(&f, b, 400000, q + 299000, 1000);
    CHECK_EQ(sfs_fs_copy_range(f.fs, b, 0, b, 500, 1000, &done), SCALEFS_E_INVAL);
    CHECK_OK(sfs_fs_copy_range(f.fs, b, 0, b, 1000, 1000, &done));
    reads(&f, b, 1000, q, 1000);
    uint8_t zeros[1000] = {0};
    CHECK_OK(sfs_fs_copy_range(f.fs, b, 350000, b, 0, 1000, &done));
    reads(&f, b, 0, zeros, 1000);
    CHECK_OK(sfs_fs_copy_range(f.fs, b, 900000, b, 0, 1000, &done));
    CHECK_EQ(done, 0);
    CHECK_EQ(sfs_fs_copy_range(f.fs, ROOT, 0, b, 0, 1000, &done), SCALEFS_E_ISDIR);
    free(p);
    free(q);
    fixture_end(&f);
}

static void a_clone_shares_its_space(void)
{
    struct fixture f;
    struct fake_stats s;
    uint64_t done;
    fixture_begin(&f, NULL);
    uint64_t a = make_file(&f, ROOT, "a"), b = make_file(&f, ROOT, "b");
    uint8_t *p = pattern(1u << 20);
    CHECK_OK(sfs_fs_write(f.fs, a, 0, p, 1u << 20));
    for (unsigned i = 0; i < 100; i++)
        CHECK_OK(sfs_fs_copy_range(f.fs, a, 0, b, (uint64_t)i << 20, 1u << 20, &done));
    fake_store_stats(f.store, &s);
    CHECK_EQ(s.used, 1u << 20);
    CHECK_EQ(attr_of(&f, b).allocated, 100ull << 20);
    reads(&f, b, 99u << 20, p, 1u << 20);
    free(p);
    fixture_end(&f);
}

/* A hole of the source covers any number of the target's extents: they must not all go in one transaction. */
static void a_hole_is_cloned_over_many_extents_in_bounded_steps(void)
{
    enum { EXTENTS = 4000 };
    struct fixture f;
    struct fake_stats s;
    uint64_t done;
    fixture_begin(&f, NULL);
    uint64_t a = make_file(&f, ROOT, "a"), b = make_file(&f, ROOT, "b");
    for (unsigned i = 0; i < EXTENTS; i++)
        CHECK_OK(sfs_fs_write(f.fs, b, i * 8192u, "data", 4));
    CHECK_OK(sfs_fs_flush(f.fs));
    CHECK_OK(sfs_fs_write(f.fs, a, EXTENTS / 2 * 8192u + 1, "end", 3));
    CHECK_OK(sfs_fs_copy_range(f.fs, a, 0, b, 0, UINT64_MAX, &done));
    CHECK_EQ(done, EXTENTS / 2 * 8192u + 4);
    CHECK_EQ(attr_of(&f, b).allocated, 3 + 4 * (EXTENTS / 2 - 1));
    reads(&f, b, EXTENTS / 2 * 8192u, (const uint8_t *)"\0end\0\0", 6);
    reads(&f, b, (EXTENTS / 2 - 1) * 8192u, (const uint8_t *)"\0\0\0\0", 4);
    reads(&f, b, (EXTENTS / 2 + 1) * 8192u, (const uint8_t *)"data", 4);
    fake_store_stats(f.store, &s);
    CHECK(s.largest < 1000);
    fixture_end(&f);
}

/* --- overwriting ----------------------------------------------------------------------------------------------------------- */

static void extents_used_by_less_than_half_are_rewritten(void)
{
    struct fixture f;
    struct fake_stats s;
    fixture_begin(&f, NULL);
    uint64_t file = make_file(&f, ROOT, "file");
    uint8_t *p = pattern(131072);
    CHECK_OK(sfs_fs_write(f.fs, file, 0, p, 131072));
    CHECK_OK(sfs_fs_fsync(f.fs, file));
    for (unsigned i = 0; i < 32; i++) { /* every page but the last four, one after another */
        unsigned page = i < 28 ? i : 0;
        p[page * 4096] ^= 1;
        CHECK_OK(sfs_fs_write(f.fs, file, page * 4096, p + page * 4096, 4096));
        CHECK_OK(sfs_fs_fsync(f.fs, file));
    }
    CHECK_OK(sfs_fs_fsync(f.fs, file));
    fake_store_stats(f.store, &s);
    CHECK(s.used <= 131072 + 65536); /* the first extent is gone, although a part of it was never overwritten */
    reads(&f, file, 0, p, 131072);
    /* A clone's other user is not robbed of it, and nothing is rewritten in vain. */
    free(p);
    fixture_end(&f);
}

/* --- failures -------------------------------------------------------------------------------------------------------------------- */

static void failed_writing_loses_nothing(void)
{
    struct fixture f;
    struct fake_options store = {.record = 16384, .row = 65536};
    fixture_begin(&f, &store);
    uint64_t a = make_file(&f, ROOT, "a"), b = make_file(&f, ROOT, "b");
    size_t len = 4000000;
    uint8_t *p = pattern(len);
    CHECK_OK(sfs_fs_write(f.fs, a, 0, p, len));
    put_text(&f, b, 0, "small");
    fake_store_fail_batch(f.store, 1, 1, SCALEFS_E_IO);
    CHECK_EQ(sfs_fs_fsync(f.fs, a), SCALEFS_E_IO);
    reads(&f, a, 0, p, len);
    /* Some of its transactions succeed, then one is refused: a first part is in the tree, the rest waits. */
    fake_store_fail_tx(f.store, 2, 1, SCALEFS_E_NOSPC);
    CHECK_EQ(sfs_fs_flush(f.fs), SCALEFS_E_NOSPC);
    CHECK(sfs_fs_dirty_bytes(f.fs) < len);
    CHECK(sfs_fs_dirty_bytes(f.fs) > 0);
    reads(&f, a, 0, p, len);
    fixture_check(&f);
    CHECK(has_text(&f, b, 0, "small"));
    CHECK_OK(sfs_fs_sync(f.fs));
    CHECK_EQ(sfs_fs_dirty_bytes(f.fs), 0);
    fixture_crash(&f);
    reads(&f, a, 0, p, len);
    CHECK(has_text(&f, b, 0, "small"));
    free(p);
    fixture_end(&f);
}

struct meanwhile {
    struct fixture *f;
    uint64_t file;
    uint8_t *data;
    size_t at, len;
};

static void write_meanwhile(void *context)
{
    struct meanwhile *w = context;
    CHECK_OK(sfs_fs_write(w->f->fs, w->file, w->at, w->data + w->at, w->len));
    reads(w->f, w->file, w->at, w->data + w->at, w->len);
}

/* What is written while older data is on its way to the disks stays the newer, however the way ends. */
static void newer_data_wins(void)
{
    const int ends[] = {SCALEFS_OK, SCALEFS_E_IO};
    for (unsigned i = 0; i < 2; i++) {
        struct fixture f;
        fixture_begin(&f, NULL);
        uint64_t file = make_file(&f, ROOT, "file");
        uint8_t *p = pattern(300000);
        struct meanwhile w = {.f = &f, .file = file, .data = p, .at = 100000, .len = 50000};
        CHECK_OK(sfs_fs_write(f.fs, file, 0, p, 300000));
        test_fill(p + w.at, w.len);
        fake_store_on_batch(f.store, write_meanwhile, &w);
        if (ends[i])
            fake_store_fail_batch(f.store, 1, 1, ends[i]);
        CHECK_EQ(sfs_fs_fsync(f.fs, file), ends[i]);
        reads(&f, file, 0, p, 300000);
        CHECK_OK(sfs_fs_sync(f.fs));
        fixture_crash(&f);
        reads(&f, file, 0, p, 300000);
        free(p);
        fixture_end(&f);
    }
}

static void extend_meanwhile(void *context)
{
    struct meanwhile *w = context;
    CHECK_OK(sfs_fs_write(w->f->fs, w->file, w->at, w->data, w->len));
}

/* While only a first part of the data is in the tree, so is only a first part of the size. */
static void the_size_of_a_first_part(void)
{
    struct fixture f;
    struct fake_options store = {.record = 16384, .row = 65536};
    size_t len = 4000000, done;
    uint8_t *p = pattern(len), *got = malloc(len);
    fixture_begin(&f, &store);
    uint64_t file = make_file(&f, ROOT, "file");
    CHECK_OK(sfs_fs_write(f.fs, file, 0, p, len));
    CHECK_OK(sfs_store_sync(f.store));
    fake_store_fail_tx(f.store, 2, 1, SCALEFS_E_NOSPC);
    CHECK_EQ(sfs_fs_flush(f.fs), SCALEFS_E_NOSPC);
    CHECK_OK(sfs_store_sync(f.store));
    fixture_crash(&f);
    uint64_t size = attr_of(&f, file).size;
    CHECK(size > 0 && size < len);
    CHECK_OK(sfs_fs_read(f.fs, file, 0, got, size, &done));
    CHECK_EQ(done, size);
    CHECK_MEM(got, p, done);
    /* The same when the file grows while its data is on the way. */
    struct meanwhile w = {.f = &f, .file = file, .data = p, .at = size + 10000, .len = 5000};
    CHECK_OK(sfs_fs_write(f.fs, file, size, p + size, 10000));
    fake_store_on_batch(f.store, extend_meanwhile, &w);
    CHECK_OK(sfs_fs_fsync(f.fs, file));
    CHECK_EQ(attr_of(&f, file).size, size + 15000);
    fixture_crash(&f);
    CHECK_EQ(attr_of(&f, file).size, size + 10000);
    free(p);
    free(got);
    fixture_end(&f);
}

static void a_full_store_refuses_at_the_write(void)
{
    struct fixture f;
    struct fake_options store = {.capacity = 1000000};
    fixture_begin(&f, &store);
    uint64_t a = make_file(&f, ROOT, "a"), b = make_file(&f, ROOT, "b");
    uint8_t *p = pattern(600000);
    CHECK_OK(sfs_fs_write(f.fs, a, 0, p, 600000));
    CHECK_EQ(sfs_fs_write(f.fs, b, 0, p, 600000), SCALEFS_E_NOSPC);
    CHECK_EQ(attr_of(&f, b).size, 0);
    CHECK_EQ(sfs_fs_fallocate(f.fs, b, 0, 0, 600000), SCALEFS_E_NOSPC);
    CHECK_OK(sfs_fs_sync(f.fs));
    reads(&f, a, 0, p, 600000);
    CHECK_OK(unlink_name(&f, ROOT, "a"));
    CHECK_OK(sfs_fs_write(f.fs, b, 0, p, 600000));
    /* Overwriting the same bytes again and again in memory takes space once. */
    for (unsigned i = 0; i < 10; i++)
        CHECK_OK(sfs_fs_write(f.fs, b, 0, p, 300000));
    free(p);
    fixture_end(&f);
}

static void read_only(void)
{
    struct fixture f;
    struct scalefs_attr a;
    fixture_begin(&f, NULL);
    uint64_t file = make_file(&f, ROOT, "file");
    put_text(&f, file, 0, "text");
    CHECK_OK(sfs_fs_close(f.fs));
    f.options.read_only = true;
    CHECK_OK(sfs_fs_open(f.store, SFS_TREE_VOLUME, &f.options, &f.fs));
    CHECK(has_text(&f, file, 0, "text"));
    CHECK_EQ(sfs_fs_write(f.fs, file, 0, "x", 1), SCALEFS_E_ROFS);
    CHECK_EQ(unlink_name(&f, ROOT, "file"), SCALEFS_E_ROFS);
    CHECK_EQ(sfs_fs_mknod(f.fs, ROOT, "x", 1, SCALEFS_S_IFREG, 0, 0, owner, &a), SCALEFS_E_ROFS);
    CHECK_OK(sfs_fs_fsync(f.fs, file));
    fixture_end(&f);
    /* A store on which nothing was ever made. */
    fixture_begin(&f, NULL);
    CHECK_OK(sfs_fs_close(f.fs));
    fake_store_free(f.store);
    f.store = fake_store_make(f.env, NULL);
    f.options.read_only = true;
    CHECK_OK(sfs_fs_open(f.store, SFS_TREE_VOLUME, &f.options, &f.fs));
    CHECK_EQ(attr_of(&f, ROOT).mode, SCALEFS_S_IFDIR | 0755);
    CHECK_EQ(find(&f, ROOT, "x"), 0);
    fixture_end(&f);
}

/* --- extended attributes ------------------------------------------------------------------------------------------------------------ */

static void extended_attributes(void)
{
    struct fixture f;
    struct fake_stats s;
    char list[65536], name[300], *value = (char *)pattern(65536), got[65537];
    size_t len;
    fixture_begin(&f, NULL);
    uint64_t file = make_file(&f, ROOT, "file");
    CHECK_EQ(sfs_fs_getxattr(f.fs, file, "user.a", got, 10, &len), SCALEFS_E_NODATA);
    CHECK_OK(sfs_fs_listxattr(f.fs, file, list, sizeof list, &len));
    CHECK_EQ(len, 0);
    const size_t sizes[] = {0, 1, 2048, 2049, 4096, 65536};
    for (unsigned i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "user.%u", i);
        CHECK_OK(sfs_fs_setxattr(f.fs, file, name, value, sizes[i], 0));
    }
    fixture_reopen(&f);
    for (unsigned i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "user.%u", i);
        CHECK_OK(sfs_fs_getxattr(f.fs, file, name, NULL, 0, &len));
        CHECK_EQ(len, sizes[i]);
        CHECK_OK(sfs_fs_getxattr(f.fs, file, name, got, sizeof got, &len));
        CHECK_MEM(got, value, sizes[i]);
        if (sizes[i] > 1)
            CHECK_EQ(sfs_fs_getxattr(f.fs, file, name, got, sizes[i] - 1, &len), SCALEFS_E_RANGE);
    }
    CHECK_OK(sfs_fs_listxattr(f.fs, file, NULL, 0, &len));
    CHECK_EQ(len, 6 * 7);
    CHECK_EQ(sfs_fs_listxattr(f.fs, file, list, 41, &len), SCALEFS_E_RANGE);
    CHECK_OK(sfs_fs_listxattr(f.fs, file, list, 42, &len));
    CHECK_EQ(sfs_fs_setxattr(f.fs, file, "user.0", "x", 1, SCALEFS_XATTR_CREATE), SCALEFS_E_EXIST);
    CHECK_EQ(sfs_fs_setxattr(f.fs, file, "user.z", "x", 1, SCALEFS_XATTR_REPLACE), SCALEFS_E_NODATA);
    CHECK_EQ(sfs_fs_setxattr(f.fs, file, "user.z", value, 65537, 0), SCALEFS_E_TOOBIG);
    CHECK_EQ(sfs_fs_setxattr(f.fs, file, "other.z", "x", 1, 0), SCALEFS_E_NOTSUP);
    CHECK_EQ(sfs_fs_setxattr(f.fs, file, "user.", "x", 1, 0), SCALEFS_E_NOTSUP);
    memset(name, 'n', 256);
    memcpy(name, "user.", 5);
    name[256] = 0;
    CHECK_EQ(sfs_fs_setxattr(f.fs, file, name, "x", 1, 0), SCALEFS_E_RANGE);
    name[255] = 0;
    CHECK_OK(sfs_fs_setxattr(f.fs, file, name, value, 2048, 0));
    CHECK_OK(sfs_fs_setxattr(f.fs, file, "user.5", "small now", 9, 0)); /* from an extent to the key */
    CHECK_OK(sfs_fs_setxattr(f.fs, file, "user.1", value, 3000, 0));    /* and the other way round */
    CHECK_OK(sfs_fs_getxattr(f.fs, file, "user.5", got, sizeof got, &len));
    CHECK_EQ(len, 9);
    fixture_check(&f);
    CHECK_OK(sfs_fs_removexattr(f.fs, file, "user.4"));
    CHECK_EQ(sfs_fs_removexattr(f.fs, file, "user.4"), SCALEFS_E_NODATA);
    CHECK_OK(unlink_name(&f, ROOT, "file"));
    fake_store_stats(f.store, &s);
    CHECK_EQ(s.live_extents, 0);
    free(value);
    fixture_end(&f);
    /* Records smaller than the value. */
    struct fake_options small = {.record = 16384, .row = 256u << 10};
    fixture_begin(&f, &small);
    char *big = (char *)pattern(65536);
    CHECK_OK(sfs_fs_setxattr(f.fs, ROOT, "user.a", big, 16384, 0));
    CHECK_OK(sfs_fs_setxattr(f.fs, ROOT, "user.b", big, 65536, 0));
    CHECK_OK(sfs_fs_getxattr(f.fs, ROOT, "user.b", got, sizeof got, &len));
    CHECK(len == 65536 && !memcmp(got, big, len));
    CHECK_OK(sfs_fs_getxattr(f.fs, ROOT, "user.a", got, sizeof got, &len));
    CHECK_MEM(got, big, 16384);
    free(big);
    fixture_end(&f);
}

static size_t make_acl(uint8_t *acl, unsigned count, const unsigned (*entries)[3])
{
    sfs_put32(acl, 2);
    for (unsigned i = 0; i < count; i++) {
        sfs_put16(acl + 4 + i * 8, (uint16_t)entries[i][0]);
        sfs_put16(acl + 6 + i * 8, (uint16_t)entries[i][1]);
        sfs_put32(acl + 8 + i * 8, entries[i][2]);
    }
    return 4 + count * 8;
}

static void access_control_lists(void)
{
    struct fixture f;
    struct scalefs_attr a, set = {.mode = 0604};
    uint8_t acl[100], got[100];
    size_t len, n;
    const char *access = "system.posix_acl_access", *standard = "system.posix_acl_default";
    const unsigned none = 0xffffffffu;
    const unsigned full[][3] = {{1, 7, none}, {2, 6, 1234}, {4, 5, none}, {16, 6, none}, {32, 1, none}};
    const unsigned plain[][3] = {{1, 6, none}, {4, 4, none}, {32, 0, none}};
    fixture_begin(&f, NULL);
    uint64_t file = make_file(&f, ROOT, "file");
    n = make_acl(acl, 5, full);
    CHECK_OK(sfs_fs_setxattr(f.fs, file, access, acl, n, 0));
    CHECK_EQ(attr_of(&f, file).mode & 0777, 0761); /* the group's bits are the mask's */
    CHECK_OK(sfs_fs_setattr(f.fs, file, &set, SCALEFS_SET_MODE, &a));
    CHECK_OK(sfs_fs_getxattr(f.fs, file, access, got, sizeof got, &len));
    CHECK_EQ(len, n);
    CHECK_EQ(got[4 + 2], 6);          /* the owner's */
    CHECK_EQ(got[4 + 3 * 8 + 2], 0);  /* the mask */
    CHECK_EQ(got[4 + 2 * 8 + 2], 5);  /* not the group's */
    CHECK_EQ(got[4 + 4 * 8 + 2], 4);  /* others' */
    n = make_acl(acl, 3, plain);
    CHECK_OK(sfs_fs_setxattr(f.fs, file, access, acl, n, 0));
    CHECK_EQ(attr_of(&f, file).mode & 0777, 0640);
    CHECK_EQ(sfs_fs_getxattr(f.fs, file, access, got, sizeof got, &len), SCALEFS_E_NODATA);
    CHECK_EQ(sfs_fs_setxattr(f.fs, file, access, acl, n - 1, 0), SCALEFS_E_INVAL);
    CHECK_EQ(sfs_fs_setxattr(f.fs, file, access, acl, n - 8, 0), SCALEFS_E_INVAL);
    /* New inodes inherit. */
    uint64_t d = make_dir(&f, ROOT, "d");
    n = make_acl(acl, 5, full);
    CHECK_OK(sfs_fs_setxattr(f.fs, d, standard, acl, n, 0));
    CHECK_OK(sfs_fs_mknod(f.fs, d, "x", 1, SCALEFS_S_IFREG | 0666, 0, 0, owner, &a));
    CHECK_EQ(a.mode & 0777, 0660);
    CHECK_OK(sfs_fs_getxattr(f.fs, a.ino, access, got, sizeof got, &len));
    CHECK_EQ(len, n);
    CHECK_EQ(got[4 + 8 + 2], 6);
    CHECK_EQ(sfs_fs_getxattr(f.fs, a.ino, standard, got, sizeof got, &len), SCALEFS_E_NODATA);
    CHECK_OK(sfs_fs_mknod(f.fs, d, "e", 1, SCALEFS_S_IFDIR | 0777, 0, 0, owner, &a));
    CHECK_OK(sfs_fs_getxattr(f.fs, a.ino, standard, got, sizeof got, &len));
    CHECK_MEM(got, acl, n);
    CHECK_OK(sfs_fs_removexattr(f.fs, d, standard));
    CHECK_OK(sfs_fs_mknod(f.fs, d, "y", 1, SCALEFS_S_IFREG | 0666, 0, 0, owner, &a));
    CHECK_EQ(a.mode & 0777, 0666);
    fixture_end(&f);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(written_and_read);
    RUN(zeros_come_with_the_size);
    RUN(scattered_writes_are_joined);
    RUN(many_small_files_share_a_batch);
    RUN(memory_is_bounded);
    RUN(truncated);
    RUN(size_waits_for_the_data);
    RUN(grows_at_once_when_nothing_waits_behind_its_end);
    RUN(deletions_and_truncations_are_bounded);
    RUN(crashes_within_deletions_are_finished);
    RUN(holes_and_seeking);
    RUN(cloned);
    RUN(a_clone_shares_its_space);
    RUN(a_hole_is_cloned_over_many_extents_in_bounded_steps);
    RUN(extents_used_by_less_than_half_are_rewritten);
    RUN(failed_writing_loses_nothing);
    RUN(newer_data_wins);
    RUN(the_size_of_a_first_part);
    RUN(what_is_kept_is_read);
    RUN(blocks_are_bounded);
    RUN(who_does_not_wait_is_not_woken);
    RUN(a_large_write_has_its_turn);
    RUN(large_writes_over_and_beside);
    RUN(a_full_store_refuses_at_the_write);
    RUN(read_only);
    RUN(extended_attributes);
    RUN(access_control_lists);
    return TEST_END();
}
