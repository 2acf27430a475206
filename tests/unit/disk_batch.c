/* Batches, refusals, locks and the rest of what every kind of host disk promises, on files; each
 * with the asynchronous backend of the system and (on Linux) with the pool of threads. */
#include <sys/stat.h>
#include <unistd.h>
#ifdef _WIN32
#include <direct.h>
#include <windows.h>
#endif

#include "base/env.h"
#include "disk/disk.h"
#include "disk/signatures.h"
#include "test.h"

#define MIB (1024 * 1024)
#define K4 4096u
#define DISKS 5

static struct sfs_env *env;
static unsigned engine; /* 0 or SFS_DISK_THREADS: set by `both` before each case */
static char folder[200];

static void make_folder(void)
{
#ifdef _WIN32
    const char *temp = getenv("TEMP");
    snprintf(folder, sizeof folder, "%s\\sfs-disk-%d", temp ? temp : ".", (int)getpid());
    _mkdir(folder);
#else
    snprintf(folder, sizeof folder, "/var/tmp/sfs-disk-%d", (int)getpid());
    mkdir(folder, 0700);
#endif
}

static const char *in_folder(const char *name)
{
    static char paths[8][300];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, 300, "%s/%s", folder, name);
    return path;
}

/* A file of that name, anew, and open. */
static struct sfs_disk *make_disk(const char *name, uint64_t bytes, unsigned flags)
{
    struct sfs_disk *disk = NULL;
    remove(in_folder(name));
    if (CHECK_OK(sfs_disk_create_file(env, in_folder(name), bytes, NULL)))
        CHECK_OK(sfs_disk_open(env, in_folder(name), flags, &disk, NULL));
    return disk;
}

static void end_disk(struct sfs_disk *disk, const char *name)
{
    sfs_disk_close(disk);
    CHECK_EQ(remove(in_folder(name)), 0);
}

/* The C library of Windows takes no UTF-8. */
static int remove_utf8(const char *path)
{
#ifdef _WIN32
    wchar_t wide[400];
    if (!MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, 400))
        return -1;
    return DeleteFileW(wide) ? 0 : -1;
#else
    return remove(path);
#endif
}

static void write_text(const char *path, const void *bytes, size_t len)
{
    FILE *f = fopen(path, "wb");
    if (CHECK(f != NULL)) {
        CHECK_EQ(fwrite(bytes, 1, len, f), len);
        fclose(f);
    }
}

static struct sfs_io io_of(struct sfs_disk *disk, enum sfs_io_op op, uint64_t offset, void *buf,
                           uint64_t len)
{
    return (struct sfs_io){
        .disk = disk, .op = op, .offset = offset, .buf = buf, .len = len, .result = -1};
}

static int one(struct sfs_disk *disk, enum sfs_io_op op, uint64_t offset, void *buf, uint64_t len)
{
    struct sfs_io io = io_of(disk, op, offset, buf, len);
    int r = sfs_io_run(env, &io, 1);
    CHECK_EQ(r, io.result);
    return r;
}

/* Writes `count` requests, each to its own place on one of the disks, then reads them all. */
static void exchange(struct sfs_disk **disks, size_t count, size_t unit)
{
    uint8_t *data = sfs_alloc_io(env, count * unit), *back = sfs_alloc_io(env, count * unit);
    struct sfs_io *ios = sfs_zalloc(env, (count + DISKS) * sizeof *ios);
    test_fill(data, count * unit);
    memset(back, 0, count * unit);
    for (size_t i = 0; i < count; i++)
        ios[i] = io_of(disks[i % DISKS], SFS_IO_WRITE, i / DISKS * unit, data + i * unit, unit);
    CHECK_OK(sfs_io_run(env, ios, count));
    for (size_t i = 0; i < DISKS; i++)
        ios[i] = io_of(disks[i], SFS_IO_FLUSH, 0, NULL, 0);
    CHECK_OK(sfs_io_run(env, ios, DISKS));
    for (size_t i = 0; i < count; i++)
        ios[i] = io_of(disks[i % DISKS], SFS_IO_READ, i / DISKS * unit, back + i * unit, unit);
    CHECK_OK(sfs_io_run(env, ios, count));
    for (size_t i = 0; i < count; i++)
        if (!CHECK_OK(ios[i].result))
            break;
    CHECK_MEM(data, back, count * unit);
    sfs_free(env, data);
    sfs_free(env, back);
    sfs_free(env, ios);
}

static void several_disks(void)
{
    struct sfs_disk *disks[DISKS];
    char name[16];
    for (int i = 0; i < DISKS; i++) {
        snprintf(name, sizeof name, "disk%d", i);
        disks[i] = make_disk(name, 4 * MIB, engine);
        REQUIRE(disks[i]);
    }
    exchange(disks, 1, K4);
    exchange(disks, 3, MIB);
    exchange(disks, 600, K4); /* more than a ring holds */
    exchange(disks, 20, MIB);
    for (int i = 0; i < DISKS; i++) {
        snprintf(name, sizeof name, "disk%d", i);
        end_disk(disks[i], name);
    }
}

/* Both backends in one batch, and each reads what the other wrote. */
static void mixed_backends(void)
{
    struct sfs_disk *disks[DISKS];
    char name[16];
    for (int i = 0; i < DISKS; i++) {
        snprintf(name, sizeof name, "disk%d", i);
        disks[i] = make_disk(name, 4 * MIB, i % 2 ? SFS_DISK_THREADS : 0);
        REQUIRE(disks[i]);
    }
    exchange(disks, 400, 2 * K4);
    uint8_t *a = sfs_alloc_io(env, 4 * MIB), *b = sfs_alloc_io(env, 4 * MIB);
    for (int i = 0; i < DISKS; i++) {
        struct sfs_disk *other;
        snprintf(name, sizeof name, "disk%d", i);
        REQUIRE_OK(sfs_disk_open(env, in_folder(name), i % 2 ? 0 : SFS_DISK_THREADS, &other, NULL));
        CHECK_OK(one(disks[i], SFS_IO_READ, 0, a, 4 * MIB));
        CHECK_OK(one(other, SFS_IO_READ, 0, b, 4 * MIB));
        CHECK_MEM(a, b, 4 * MIB);
        sfs_disk_close(other);
        end_disk(disks[i], name);
    }
    sfs_free(env, a);
    sfs_free(env, b);
}

/* Refused requests are refused alone; their neighbours are carried out. */
static void refusals(void)
{
    struct sfs_disk *disk = make_disk("disk", MIB, engine);
    uint8_t *buf = sfs_alloc_io(env, 4 * K4), *back = sfs_alloc_io(env, K4);
    REQUIRE(disk && buf && back);
    test_fill(buf, 4 * K4);
    struct sfs_io ios[] = {
        io_of(disk, SFS_IO_WRITE, 0, buf, K4),
        io_of(disk, SFS_IO_WRITE, 512, buf, K4),
        io_of(disk, SFS_IO_WRITE, K4, buf, K4 + 512),
        io_of(disk, SFS_IO_WRITE, K4, buf + 512, K4),
        io_of(disk, SFS_IO_WRITE, MIB, buf, K4),
        io_of(disk, SFS_IO_READ, MIB - K4, buf, 2 * K4),
        io_of(disk, SFS_IO_READ, UINT64_MAX - K4 + 1, buf, 2 * K4),
        io_of(disk, SFS_IO_READ, K4, NULL, K4),
        io_of(disk, SFS_IO_DISCARD, MIB, NULL, K4),
        io_of(disk, SFS_IO_DISCARD, 100, NULL, K4),
        io_of(disk, SFS_IO_ZONE_RESET, 0, NULL, MIB),
        io_of(disk, (enum sfs_io_op)77, 0, NULL, K4),
        io_of(NULL, SFS_IO_READ, 0, back, K4),
        io_of(disk, SFS_IO_READ, MIB, back, 0),
        io_of(disk, SFS_IO_WRITE, MIB - K4, buf + K4, K4),
    };
    size_t count = sizeof ios / sizeof *ios;
    CHECK_EQ(sfs_io_run(env, ios, count), SCALEFS_E_INVAL);
    for (size_t i = 0; i < count; i++) {
        int want = i == 0 || i >= count - 2 ? SCALEFS_OK
                   : i == count - 3         ? SCALEFS_E_GONE
                                            : SCALEFS_E_INVAL;
        if (!CHECK_EQ(ios[i].result, want))
            printf("#   request %zu\n", i);
        CHECK_EQ(one(ios[i].disk, ios[i].op, ios[i].offset, ios[i].buf, ios[i].len), want);
    }
    CHECK_OK(one(disk, SFS_IO_READ, 0, back, K4));
    CHECK_MEM(back, buf, K4);
    CHECK_OK(one(disk, SFS_IO_READ, MIB - K4, back, K4));
    CHECK_MEM(back, buf + K4, K4);
    CHECK_OK(sfs_io_run(env, NULL, 0));
    CHECK_EQ(sfs_disk_refresh(disk), SCALEFS_OK); /* a refusal is not the disk's fault */
    sfs_free(env, buf);
    sfs_free(env, back);
    end_disk(disk, "disk");
}

struct handed {
    struct sfs_disk *disk;
    struct sfs_io_batch batch;
    struct sfs_io ios[40];
    uint8_t *data;
};

static void submit_and_end(void *arg)
{
    struct handed *h = arg;
    for (size_t i = 0; i < 40; i++)
        h->ios[i] = io_of(h->disk, SFS_IO_WRITE, i * 16 * K4, h->data + i * 16 * K4, 16 * K4);
    sfs_io_submit(env, &h->batch, h->ios, 40);
}

/* One task submits and is no more when another waits. */
static void handed_over(void)
{
    struct handed h = {.disk = make_disk("disk", 4 * MIB, engine)};
    struct sfs_task *task;
    size_t len = 40 * 16 * K4;
    h.data = sfs_alloc_io(env, len);
    uint8_t *back = sfs_alloc_io(env, len);
    REQUIRE(h.disk && h.data && back);
    test_fill(h.data, len);
    REQUIRE_OK(sfs_task_start(env, "submitter", submit_and_end, &h, &task));
    sfs_task_join(env, task);
    sfs_io_wait(&h.batch);
    for (size_t i = 0; i < 40; i++)
        CHECK_OK(h.ios[i].result);
    CHECK_OK(one(h.disk, SFS_IO_READ, 0, back, len));
    CHECK_MEM(back, h.data, len);
    sfs_free(env, h.data);
    sfs_free(env, back);
    end_disk(h.disk, "disk");
}

/* A task with several batches under way at once, waited for in another order. */
static void overlapping_batches(void)
{
    struct sfs_disk *disk = make_disk("disk", 4 * MIB, engine);
    struct sfs_io_batch batches[4];
    struct sfs_io ios[4][16];
    uint8_t *data = sfs_alloc_io(env, MIB), *back = sfs_alloc_io(env, MIB);
    REQUIRE(disk && data && back);
    test_fill(data, MIB);
    for (size_t b = 0; b < 4; b++) {
        for (size_t i = 0; i < 16; i++) {
            uint64_t at = (b * 16 + i) * 4 * K4;
            ios[b][i] = io_of(disk, SFS_IO_WRITE, at, data + at, 4 * K4);
        }
        sfs_io_submit(env, &batches[b], ios[b], 16);
    }
    for (size_t b = 4; b-- > 0;)
        sfs_io_wait(&batches[b]);
    CHECK_OK(one(disk, SFS_IO_READ, 0, back, MIB));
    CHECK_MEM(back, data, MIB);
    sfs_free(env, data);
    sfs_free(env, back);
    end_disk(disk, "disk");
}

struct busy {
    struct sfs_disk *disks[2];
    unsigned number;
    int wrong;
};

/* Its own 256 KiB of both disks, written and read again in batches. */
static void work_hard(void *arg)
{
    struct busy *b = arg;
    size_t len = 256 * 1024;
    uint64_t base = b->number * len;
    uint8_t *data = sfs_alloc_io(env, 2 * len);
    struct sfs_io ios[34];
    for (unsigned round = 0; round < 12; round++) {
        for (enum sfs_io_op op = SFS_IO_READ; op <= SFS_IO_WRITE; op++) {
            bool writes = op == SFS_IO_READ; /* first write, then read */
            memset(data, writes ? (int)(round * 8 + b->number) : 0xee, 2 * len);
            for (size_t i = 0; i < 32; i++)
                ios[i] = io_of(b->disks[i % 2], writes ? SFS_IO_WRITE : SFS_IO_READ,
                               base + i / 2 * 4 * K4, data + i * 4 * K4, 4 * K4);
            ios[32] = io_of(b->disks[0], SFS_IO_FLUSH, 0, NULL, 0);
            ios[33] = io_of(b->disks[1], SFS_IO_FLUSH, 0, NULL, 0);
            b->wrong += sfs_io_run(env, ios, 34) != SCALEFS_OK;
        }
        for (size_t i = 0; i < 2 * len; i++)
            b->wrong += data[i] != (uint8_t)(round * 8 + b->number);
    }
    sfs_free(env, data);
}

static void many_tasks(void)
{
    struct busy busy[6];
    struct sfs_task *tasks[6];
    struct sfs_disk *a = make_disk("a", 4 * MIB, engine), *b = make_disk("b", 4 * MIB, engine);
    REQUIRE(a && b);
    for (unsigned i = 0; i < 6; i++) {
        busy[i] = (struct busy){{a, b}, i, 0};
        REQUIRE_OK(sfs_task_start(env, "busy", work_hard, &busy[i], &tasks[i]));
    }
    for (unsigned i = 0; i < 6; i++) {
        sfs_task_join(env, tasks[i]);
        CHECK_EQ(busy[i].wrong, 0);
    }
    end_disk(a, "a");
    end_disk(b, "b");
}

/* A file cut to nothing has disappeared, for good; the other disk of the batch works on. */
static void disappears(void)
{
    struct sfs_disk *lost = make_disk("lost", MIB, engine), *kept = make_disk("kept", MIB, engine);
    uint8_t *buf = sfs_alloc_io(env, 2 * K4);
    REQUIRE(lost && kept && buf);
    memset(buf, 7, 2 * K4);
    CHECK_OK(one(lost, SFS_IO_WRITE, 0, buf, K4));
    write_text(in_folder("lost"), "", 0);
    struct sfs_io ios[2] = {io_of(lost, SFS_IO_READ, 0, buf, K4),
                            io_of(kept, SFS_IO_WRITE, 0, buf + K4, K4)};
    CHECK_EQ(sfs_io_run(env, ios, 2), SCALEFS_E_GONE);
    CHECK_EQ(ios[0].result, SCALEFS_E_GONE);
    CHECK_EQ(ios[1].result, SCALEFS_OK);
    write_text(in_folder("lost"), buf, K4); /* what comes back is another disk: open it anew */
    CHECK_EQ(one(lost, SFS_IO_WRITE, 0, buf, K4), SCALEFS_E_GONE);
    CHECK_EQ(one(lost, SFS_IO_FLUSH, 0, NULL, 0), SCALEFS_E_GONE);
    CHECK_EQ(sfs_disk_refresh(lost), SCALEFS_E_GONE);
    CHECK_EQ(sfs_disk_refresh(kept), SCALEFS_OK);
    sfs_free(env, buf);
    end_disk(lost, "lost");
    end_disk(kept, "kept");
}

static void grows(void)
{
    struct sfs_disk *disk = make_disk("disk", MIB, engine);
    uint8_t *buf = sfs_alloc_io(env, MIB);
    REQUIRE(disk && buf);
    test_fill(buf, MIB);
    CHECK_EQ(disk->info.size_bytes, MIB);
    CHECK_EQ(one(disk, SFS_IO_WRITE, MIB, buf, K4), SCALEFS_E_INVAL);
    FILE *f = fopen(in_folder("disk"), "ab");
    REQUIRE(f);
    CHECK_EQ(fwrite(buf, 1, 100, f), 100);
    CHECK_EQ(fwrite(buf, 1, MIB, f), MIB);
    fclose(f);
    CHECK_OK(sfs_disk_refresh(disk));
    CHECK_EQ(disk->info.size_bytes, 2 * MIB); /* 100 bytes are no block */
    CHECK_OK(one(disk, SFS_IO_WRITE, 2 * MIB - K4, buf, K4));
    CHECK_EQ(one(disk, SFS_IO_WRITE, 2 * MIB, buf, K4), SCALEFS_E_INVAL);
    sfs_free(env, buf);
    end_disk(disk, "disk");
}

static void let_go(void *disk)
{
    sfs_task_sleep(env, 50000000);
    sfs_disk_close(disk);
}

/* Somebody who is just ending is waited for; somebody who stays is not waited for long. */
static void patient(void)
{
    struct sfs_disk *first = make_disk("disk", MIB, engine | SFS_DISK_EXCLUSIVE), *second;
    struct scalefs_error_info info = {0};
    struct sfs_task *task;
    unsigned how = engine | SFS_DISK_EXCLUSIVE | SFS_DISK_PATIENT;
    REQUIRE(first);
    REQUIRE_OK(sfs_task_start(env, "let_go", let_go, first, &task));
    if (CHECK_OK(sfs_disk_open(env, in_folder("disk"), how, &second, &info))) {
        CHECK_EQ(info.error, SCALEFS_OK); /* no word of the attempts before */
        sfs_task_join(env, task);
        CHECK_EQ(sfs_disk_open(env, in_folder("disk"), how, &first, &info), SCALEFS_E_BUSY);
        CHECK_EQ(info.error, SCALEFS_E_BUSY);
        end_disk(second, "disk");
    }
}

static void exclusive(void)
{
    struct sfs_disk *first = make_disk("disk", MIB, engine | SFS_DISK_EXCLUSIVE), *second;
    struct scalefs_error_info info = {0};
    uint8_t *buf = sfs_alloc_io(env, K4);
    REQUIRE(first && buf);
    CHECK_EQ(sfs_disk_open(env, in_folder("disk"), engine | SFS_DISK_EXCLUSIVE, &second, &info),
             SCALEFS_E_BUSY);
    CHECK(!second);
    CHECK_EQ(info.error, SCALEFS_E_BUSY);
    CHECK(strstr(info.text, "in use"));
    unsigned reader = engine | SFS_DISK_READ_ONLY;
    CHECK_EQ(sfs_disk_open(env, in_folder("disk"), reader | SFS_DISK_EXCLUSIVE, &second, NULL),
             SCALEFS_E_BUSY);
    /* Looking at its label is allowed. */
    memset(buf, 0x5a, K4);
    CHECK_OK(one(first, SFS_IO_WRITE, 0, buf, K4));
    memset(buf, 0, K4);
    if (CHECK_OK(sfs_disk_open(env, in_folder("disk"), reader, &second, NULL))) {
        CHECK_OK(one(second, SFS_IO_READ, 0, buf, K4));
        CHECK(buf[0] == 0x5a && buf[K4 - 1] == 0x5a);
        sfs_disk_close(second);
    }
    sfs_disk_close(first);
    REQUIRE_OK(sfs_disk_open(env, in_folder("disk"), reader | SFS_DISK_EXCLUSIVE, &first, NULL));
    CHECK_EQ(sfs_disk_open(env, in_folder("disk"), reader | SFS_DISK_EXCLUSIVE, &second, NULL),
             SCALEFS_E_BUSY);
    sfs_free(env, buf);
    end_disk(first, "disk");
}

static void read_only(void)
{
    struct sfs_disk *disk = make_disk("disk", MIB, engine | SFS_DISK_READ_ONLY);
    uint8_t *buf = sfs_alloc_io(env, K4);
    REQUIRE(disk && buf);
    struct sfs_io ios[3] = {
        io_of(disk, SFS_IO_WRITE, 0, buf, K4),
        io_of(disk, SFS_IO_READ, 0, buf, K4),
        io_of(disk, SFS_IO_DISCARD, 0, NULL, K4),
    };
    CHECK_EQ(sfs_io_run(env, ios, 3), SCALEFS_E_INVAL);
    CHECK_EQ(ios[1].result, SCALEFS_OK);
    CHECK_EQ(ios[2].result, SCALEFS_E_INVAL);
    CHECK_EQ(one(disk, SFS_IO_WRITE, 0, buf, K4), SCALEFS_E_INVAL);
    CHECK_OK(sfs_disk_refresh(disk));
    sfs_free(env, buf);
    end_disk(disk, "disk");
}

/* A discard may do anything to its own range and nothing to what is beside it. */
static void discards(void)
{
    struct sfs_disk *disk = make_disk("disk", MIB, engine);
    uint8_t *data = sfs_alloc_io(env, MIB), *back = sfs_alloc_io(env, MIB);
    REQUIRE(disk && data && back);
    test_fill(data, MIB);
    CHECK_OK(one(disk, SFS_IO_WRITE, 0, data, MIB));
    struct sfs_io ios[3] = {
        io_of(disk, SFS_IO_DISCARD, 4 * K4, NULL, 8 * K4),
        io_of(disk, SFS_IO_DISCARD, 100 * K4, NULL, 20 * K4),
        io_of(disk, SFS_IO_FLUSH, 0, NULL, 0),
    };
    CHECK_OK(sfs_io_run(env, ios, 3));
    CHECK_OK(one(disk, SFS_IO_READ, 0, back, MIB));
    CHECK_MEM(data, back, 4 * K4);
    CHECK_MEM(data + 12 * K4, back + 12 * K4, 88 * K4);
    CHECK_MEM(data + 120 * K4, back + 120 * K4, MIB - 120 * K4);
#ifdef __linux__
    CHECK(disk->info.discard);
    CHECK(back[4 * K4] == 0 && !memcmp(back + 4 * K4, back + 4 * K4 + 1, 8 * K4 - 1));
#endif
    CHECK_OK(one(disk, SFS_IO_WRITE, 5 * K4, data + 5 * K4, K4));
    CHECK_OK(one(disk, SFS_IO_READ, 5 * K4, back, K4));
    CHECK_MEM(data + 5 * K4, back, K4);
    sfs_free(env, data);
    sfs_free(env, back);
    end_disk(disk, "disk");
}

static void opening(void)
{
    struct sfs_disk *disk;
    struct scalefs_error_info info = {0};
    CHECK_EQ(sfs_disk_open(env, in_folder("nowhere"), engine, &disk, &info), SCALEFS_E_NOENT);
    CHECK_EQ(info.error, SCALEFS_E_NOENT);
    CHECK(strstr(info.text, "nowhere"));
    CHECK_EQ(sfs_disk_open(env, folder, engine, &disk, &info), SCALEFS_E_NOTSUP);
    CHECK_EQ(sfs_disk_open(env, "", engine, &disk, &info), SCALEFS_E_INVAL);
    write_text(in_folder("tiny"), "tiny", 4);
    CHECK_EQ(sfs_disk_open(env, in_folder("tiny"), engine, &disk, &info), SCALEFS_E_TOO_SMALL);
    CHECK(!disk);
    CHECK_EQ(remove(in_folder("tiny")), 0);
    CHECK_EQ(sfs_disk_create_file(env, in_folder("odd"), 5000, &info), SCALEFS_E_INVAL);
    CHECK_EQ(sfs_disk_create_file(env, in_folder("odd"), 0, NULL), SCALEFS_E_INVAL);
    CHECK_EQ(sfs_disk_create_file(env, in_folder("no/where"), MIB, &info), SCALEFS_E_NOENT);
    CHECK(sfs_disk_create_file(env, in_folder("huge"), UINT64_MAX - 4095, &info) != SCALEFS_OK);
    CHECK(access(in_folder("huge"), F_OK)); /* a refusal leaves nothing behind */
    disk = make_disk("disk", MIB, engine);
    REQUIRE(disk);
    CHECK_EQ(sfs_disk_create_file(env, in_folder("disk"), 2 * MIB, &info), SCALEFS_E_EXIST);
    CHECK_EQ(disk->info.kind, SFS_DISK_FILE);
    CHECK_EQ(disk->info.sector_bytes, 512);
    CHECK(!disk->info.zoned);
    CHECK(strstr(disk->info.path, "disk"));
    CHECK_OK(sfs_disk_refresh(disk));
    CHECK_EQ(disk->info.size_bytes, MIB); /* as it was */
    end_disk(disk, "disk");
}

static char seen[8][400];
static int seen_count;
static void see(void *arg, const char *path)
{
    const char *mine = arg;
    if (strstr(path, mine) && seen_count < 8)
        snprintf(seen[seen_count++], sizeof seen[0], "%s", path);
}

static void scans(void)
{
    char list[600], mine[40];
    struct sfs_disk *a = make_disk("a.disk", MIB, 0), *b = make_disk("b.disk", MIB, 0);
    write_text(in_folder("c.tiny"), "tiny", 4);
#ifdef _WIN32
    _mkdir(in_folder("d.folder"));
    snprintf(list, sizeof list, "C:\\nowhere;;%s", folder);
#else
    mkdir(in_folder("d.folder"), 0700);
    snprintf(list, sizeof list, "/nowhere::%s", folder);
#endif
    snprintf(mine, sizeof mine, "sfs-disk-%d", (int)getpid());
    seen_count = 0;
    CHECK_OK(sfs_disk_scan(env, list, see, mine));
    CHECK_EQ(seen_count, 2);
    CHECK(strstr(seen[0], "a.disk") && strstr(seen[1], "b.disk"));
    struct sfs_disk *again;
    if (CHECK_OK(sfs_disk_open(env, seen[1], SFS_DISK_READ_ONLY, &again, NULL)))
        sfs_disk_close(again);
    seen_count = 0;
    CHECK_OK(sfs_disk_scan(env, NULL, see, mine));
    CHECK_EQ(seen_count, 0);
    end_disk(a, "a.disk");
    end_disk(b, "b.disk");
    remove(in_folder("c.tiny"));
    rmdir(in_folder("d.folder"));
}

/* Names in any script, created, found and opened. */
static void names(void)
{
    static const char name[] = "sfs-\xd0\xb4\xd0\xb8\xd1\x81\xd0\xba \xc3\xbc \xe7\xa3\x81.disk";
    struct sfs_disk *disk;
    REQUIRE_OK(sfs_disk_create_file(env, in_folder(name), MIB, NULL));
    CHECK_EQ(sfs_disk_create_file(env, in_folder(name), MIB, NULL), SCALEFS_E_EXIST);
    seen_count = 0;
    CHECK_OK(sfs_disk_scan(env, folder, see, (char *)name));
    CHECK_EQ(seen_count, 1);
    if (CHECK_OK(sfs_disk_open(env, seen[0], SFS_DISK_EXCLUSIVE, &disk, NULL))) {
        CHECK(strstr(disk->info.path, name));
        sfs_disk_close(disk);
    }
    CHECK_EQ(remove_utf8(in_folder(name)), 0);
    CHECK_EQ(sfs_disk_open(env, in_folder("\xff\xfe"), 0, &disk, NULL),
#ifdef _WIN32
             SCALEFS_E_INVAL);
#else
             SCALEFS_E_NOENT);
#endif
}

static void signatures(void)
{
    static const struct {
        size_t offset;
        const char *bytes, *what;
    } cases[] = {
        {3, "NTFS    ", "an NTFS file system"},
        {82, "FAT32   ", "a FAT file system"},
        {512, "EFI PART", "a GPT partition table"},
        {4096, "EFI PART", "a GPT partition table"},
        {1080, "\x53\xef", "an ext2, ext3 or ext4 file system"},
        {65600, "_BHRfS_M", "a btrfs file system"},
        {0, "XFSB", "an xfs file system"},
    };
    uint8_t *head = sfs_zalloc(env, SFS_SIGNATURE_BYTES);
    REQUIRE(head);
    CHECK(!sfs_signature_find(head, SFS_SIGNATURE_BYTES));
    CHECK(!sfs_signature_find(head, 0));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t len = strlen(cases[i].bytes), end = cases[i].offset + len;
        memset(head, 0, SFS_SIGNATURE_BYTES);
        memcpy(head + cases[i].offset, cases[i].bytes, len);
        head[510] = 0x55; /* as boot sectors and partition tables have it */
        head[511] = 0xaa;
        CHECK_STR(sfs_signature_find(head, SFS_SIGNATURE_BYTES), cases[i].what);
        CHECK_STR(sfs_signature_find(head, end), cases[i].what);
        CHECK(!sfs_signature_find(head, end - 1)); /* never looks beyond what it was given */
    }
    memset(head, 0, SFS_SIGNATURE_BYTES);
    head[510] = 0x55;
    head[511] = 0xaa;
    CHECK(!sfs_signature_find(head, 512)); /* no entry: no partition table */
    head[446 + 4] = 7;
    head[446 + 9] = head[446 + 13] = 8;
    CHECK_STR(sfs_signature_find(head, 512), "an MBR partition table");
    head[446] = 0x33; /* neither active nor inactive: boot code */
    CHECK(!sfs_signature_find(head, 512));
    sfs_free(env, head);
}

static void probes(void)
{
    char what[128];
    uint8_t *head = sfs_zalloc(env, MIB);
    const char *path = in_folder("probed");
    REQUIRE(head);
    write_text(path, head, MIB);
    CHECK_OK(sfs_disk_probe(env, path, what));
    CHECK_STR(what, "");
    head[510] = 0x55; /* a partition table with one entry: sector 64, 1024 sectors, Linux */
    head[511] = 0xaa;
    head[446 + 4] = 0x83;
    head[446 + 8] = 64;
    head[446 + 13] = 4;
    write_text(path, head, MIB);
    CHECK_OK(sfs_disk_probe(env, path, what));
    CHECK_STR(what, "an MBR partition table");
    memset(head, 0, 512);
    memcpy(head, "some film", 9);
    write_text(path, head, MIB);
    CHECK_OK(sfs_disk_probe(env, path, what));
    CHECK_STR(what, "data of an unknown kind");
    CHECK_EQ(remove(path), 0);
    CHECK_EQ(sfs_disk_probe(env, path, what), SCALEFS_E_NOENT);
    sfs_free(env, head);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    if (sfs_env_os_create(NULL, NULL, &env))
        return 1;
    make_folder();
#ifdef _WIN32
    int passes = 1; /* there is one backend */
#else
    int passes = 2;
#endif
    for (int pass = 0; pass < passes; pass++) {
        engine = pass ? SFS_DISK_THREADS : 0;
        printf("# backend: %s\n", pass ? "threads" : "the system's asynchronous one");
        RUN(several_disks);
        RUN(refusals);
        RUN(handed_over);
        RUN(overlapping_batches);
        RUN(many_tasks);
        RUN(disappears);
        RUN(grows);
        RUN(exclusive);
        RUN(patient);
        RUN(read_only);
        RUN(discards);
        RUN(opening);
    }
    RUN(mixed_backends);
    RUN(scans);
    RUN(names);
    RUN(signatures);
    RUN(probes);
    rmdir(folder);
    sfs_env_os_destroy(env);
    return TEST_END();
}
