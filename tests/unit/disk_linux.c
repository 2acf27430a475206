/* What only Linux has: block devices that vanish, a full file system below a file, sparse files,
 * and the recognition of what devices carry and who uses them.
 *
 * Needs root for loop devices and mounts; what cannot be had is skipped, loudly. Nothing stays
 * behind however this ends: the mounts live in a mount namespace of this process, all files in a
 * tmpfs mounted there, and the loop devices clear themselves when the last descriptor closes. */
#include <errno.h>
#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/env.h"
#include "disk/disk.h"
#include "disk/signatures.h"
#include "test.h"

#define MIB (1024 * 1024ull)
#define K4 4096u

static struct sfs_env *env;
static unsigned engine;
static char folder[] = "/tmp/sfs-disk-linux-XXXXXX";
static bool have_mounts;
static int skipped;

static bool skip(bool missing, const char *test, const char *what)
{
    if (missing) {
        printf("# SKIPPED: %s needs %s\n", test, what);
        skipped++;
    }
    return missing;
}

static const char *in_folder(const char *name)
{
    static char paths[8][300];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, 300, "%s/%s", folder, name);
    return path;
}

static bool make_file(const char *path, uint64_t bytes)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    bool good = fd >= 0 && !ftruncate(fd, (off_t)bytes);
    if (fd >= 0)
        close(fd);
    return good;
}

static int one(struct sfs_disk *disk, enum sfs_io_op op, uint64_t offset, void *buf, uint64_t len)
{
    struct sfs_io io = {.disk = disk, .op = op, .offset = offset, .buf = buf, .len = len};
    return sfs_io_run(env, &io, 1);
}

/* The same through a batch of two (the other is a flush of a disk that works). */
static int in_batch(struct sfs_disk *disk, enum sfs_io_op op, uint64_t offset, void *buf,
                    uint64_t len, struct sfs_disk *other)
{
    struct sfs_io ios[2] = {{.disk = disk, .op = op, .offset = offset, .buf = buf, .len = len},
                            {.disk = other, .op = SFS_IO_FLUSH}};
    sfs_io_run(env, ios, 2);
    CHECK_OK(ios[1].result);
    return ios[0].result;
}

/* A loop device for `file`; closing the descriptor frees it. */
static int make_loop(const char *file, uint32_t flags, char path[32])
{
    for (int attempt = 0; attempt < 20; attempt++) {
        int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
        int number = control >= 0 ? ioctl(control, LOOP_CTL_GET_FREE) : -1;
        if (control >= 0)
            close(control);
        if (number < 0)
            return -1;
        snprintf(path, 32, "/dev/loop%d", number);
        int loop = open(path, O_RDWR | O_CLOEXEC), backing = open(file, O_RDWR | O_CLOEXEC);
        struct loop_config config = {.fd = (uint32_t)backing};
        config.info.lo_flags = LO_FLAGS_AUTOCLEAR | flags;
        snprintf((char *)config.info.lo_file_name, LO_NAME_SIZE, "%.60s", file);
        int r = loop >= 0 && backing >= 0 ? ioctl(loop, LOOP_CONFIGURE, &config) : -1;
        if (backing >= 0)
            close(backing);
        if (!r)
            return loop;
        if (loop >= 0)
            close(loop);
        if (errno != EBUSY)
            return -1;
    }
    return -1;
}

static int run_command(const char *format, const char *argument)
{
    char command[500];
    snprintf(command, sizeof command, format, argument);
    strcat(command, " >/dev/null 2>&1 </dev/null");
    return system(command);
}

/* A loop device that was let go: gone once nobody (a scan of all devices, perhaps) has it open any more; then it may soon be
 * the device of somebody else's file. */
static void check_gone(const char *path)
{
    char name[64], backing[400] = "";
    struct sfs_disk *disk;
    snprintf(name, sizeof name, "/sys/block/%s/loop/backing_file", strrchr(path, '/') + 1);
    for (unsigned tries = 0; tries < 1000; tries++) {
        int fd = open(name, O_RDONLY | O_CLOEXEC);
        ssize_t got = fd < 0 ? 0 : read(fd, backing, sizeof backing - 1);
        if (fd >= 0)
            close(fd);
        backing[got > 0 ? got : 0] = 0;
        if (!strstr(backing, folder))
            break;
        usleep(10000);
    }
    if (backing[0] && !strstr(backing, folder))
        return;
    CHECK_EQ(sfs_disk_open(env, path, engine, &disk, NULL), SCALEFS_E_GONE); /* no medium */
}

static void block_device(void)
{
    char path[32];
    struct sfs_disk *disk, *again;
    uint8_t *buf = sfs_alloc_io(env, 64 * K4), *back = sfs_alloc_io(env, 64 * K4);
    REQUIRE(make_file(in_folder("backing"), 8 * MIB + 512));
    int loop = make_loop(in_folder("backing"), 0, path);
    if (skip(loop < 0, "block_device", "loop devices"))
        return;
    test_fill(buf, 64 * K4);
    REQUIRE_OK(sfs_disk_open(env, path, engine | SFS_DISK_EXCLUSIVE, &disk, NULL));
    CHECK_EQ(disk->info.kind, SFS_DISK_BLOCK);
    CHECK_EQ(disk->info.size_bytes, 8 * MIB);
    CHECK_EQ(disk->info.sector_bytes, 512);
    CHECK(!disk->info.zoned);
    CHECK_STR(disk->info.path, path);
    CHECK_EQ(sfs_disk_open(env, path, engine | SFS_DISK_EXCLUSIVE, &again, NULL), SCALEFS_E_BUSY);
    CHECK_OK(in_batch(disk, SFS_IO_WRITE, MIB, buf, 64 * K4, disk));
    CHECK_OK(one(disk, SFS_IO_READ, MIB, back, 64 * K4));
    CHECK_MEM(buf, back, 64 * K4);
    CHECK_OK(in_batch(disk, SFS_IO_DISCARD, MIB, NULL, 32 * K4, disk));
    CHECK_OK(in_batch(disk, SFS_IO_READ, MIB, back, 64 * K4, disk));
    CHECK_MEM(buf + 32 * K4, back + 32 * K4, 32 * K4);
    CHECK(disk->info.discard);
    CHECK(!back[0] && !memcmp(back, back + 1, 32 * K4 - 1)); /* loop devices discard into zeros */
    sfs_disk_close(disk);
    CHECK_OK(sfs_disk_open(env, path, engine | SFS_DISK_EXCLUSIVE, &disk, NULL));
    sfs_disk_close(disk);
    close(loop);
    check_gone(path);
    sfs_free(env, buf);
    sfs_free(env, back);
}

/* A device whose size drops to nothing under an open descriptor, as a pulled disk's does. */
static void block_device_vanishes(void)
{
    static const enum sfs_io_op ops[] = {SFS_IO_READ, SFS_IO_WRITE};
    uint8_t *buf = sfs_alloc_io(env, K4);
    struct sfs_disk *kept;
    REQUIRE(make_file(in_folder("kept"), MIB));
    REQUIRE_OK(sfs_disk_open(env, in_folder("kept"), engine, &kept, NULL));
    memset(buf, 1, K4);
    for (size_t i = 0; i < 4; i++) {
        char path[32];
        struct sfs_disk *disk;
        REQUIRE(make_file(in_folder("backing"), 8 * MIB));
        int loop = make_loop(in_folder("backing"), 0, path);
        if (skip(loop < 0, "block_device_vanishes", "loop devices"))
            break;
        REQUIRE_OK(sfs_disk_open(env, path, engine, &disk, NULL));
        CHECK_OK(in_batch(disk, SFS_IO_WRITE, 0, buf, K4, kept));
        REQUIRE(make_file(in_folder("backing"), 0));
        /* Before the kernel knows, the device is there and fails: that is not yet GONE. */
        CHECK_EQ(in_batch(disk, SFS_IO_READ, MIB, buf, K4, kept), SCALEFS_E_IO);
        CHECK_OK(sfs_disk_refresh(disk));
        CHECK_EQ(ioctl(loop, LOOP_SET_CAPACITY, 0), 0);
        if (i % 2)
            CHECK_EQ(in_batch(disk, ops[i / 2], MIB, buf, K4, kept), SCALEFS_E_GONE);
        else
            CHECK_EQ(one(disk, ops[i / 2], MIB, buf, K4), SCALEFS_E_GONE);
        CHECK(disk->gone);
        CHECK_EQ(one(disk, SFS_IO_FLUSH, 0, NULL, 0), SCALEFS_E_GONE);
        CHECK_EQ(sfs_disk_refresh(disk), SCALEFS_E_GONE);
        CHECK_OK(one(kept, SFS_IO_WRITE, 0, buf, K4));
        sfs_disk_close(disk);
        close(loop);
    }
    sfs_disk_close(kept);
    sfs_free(env, buf);
}

/* Noticed by asking, without any I/O; and a device that only shrank has not vanished. */
static void block_device_resized(void)
{
    char path[32];
    struct sfs_disk *disk;
    uint8_t *buf = sfs_alloc_io(env, 2 * K4);
    REQUIRE(make_file(in_folder("backing"), 8 * MIB));
    int loop = make_loop(in_folder("backing"), 0, path);
    if (skip(loop < 0, "block_device_resized", "loop devices"))
        return;
    REQUIRE_OK(sfs_disk_open(env, path, engine, &disk, NULL));
    CHECK_EQ(truncate(in_folder("backing"), 4 * MIB), 0);
    CHECK_EQ(ioctl(loop, LOOP_SET_CAPACITY, 0), 0);
    CHECK_EQ(one(disk, SFS_IO_READ, 6 * MIB, buf, K4), SCALEFS_E_IO);
    CHECK_EQ(in_batch(disk, SFS_IO_WRITE, 6 * MIB, buf, K4, disk), SCALEFS_E_IO);
    /* Across the end the system gives a part and says nothing. */
    CHECK_EQ(one(disk, SFS_IO_READ, 4 * MIB - K4, buf, 2 * K4), SCALEFS_E_IO);
    CHECK_EQ(in_batch(disk, SFS_IO_READ, 4 * MIB - K4, buf, 2 * K4, disk), SCALEFS_E_IO);
    CHECK_EQ(in_batch(disk, SFS_IO_WRITE, 4 * MIB - K4, buf, 2 * K4, disk), SCALEFS_E_IO);
    CHECK_OK(one(disk, SFS_IO_READ, 0, buf, K4));
    CHECK_OK(sfs_disk_refresh(disk));
    CHECK_EQ(disk->info.size_bytes, 4 * MIB);
    CHECK_EQ(one(disk, SFS_IO_READ, 6 * MIB, buf, K4), SCALEFS_E_INVAL);
    CHECK_EQ(truncate(in_folder("backing"), 0), 0);
    CHECK_EQ(ioctl(loop, LOOP_SET_CAPACITY, 0), 0);
    CHECK_EQ(sfs_disk_refresh(disk), SCALEFS_E_GONE);
    sfs_disk_close(disk);
    close(loop);
    sfs_free(env, buf);
}

/* A file that somebody cut: what is beyond the end is lost, the rest is good. */
static void shortened_file(void)
{
    struct sfs_disk *disk;
    uint8_t *buf = sfs_alloc_io(env, 8 * K4);
    REQUIRE(make_file(in_folder("cut"), MIB));
    REQUIRE_OK(sfs_disk_open(env, in_folder("cut"), engine, &disk, NULL));
    CHECK_EQ(truncate(in_folder("cut"), MIB / 2 + 1000), 0);
    CHECK_OK(one(disk, SFS_IO_READ, 0, buf, K4));
    CHECK_EQ(one(disk, SFS_IO_READ, MIB - K4, buf, K4), SCALEFS_E_IO);
    CHECK_EQ(one(disk, SFS_IO_READ, MIB / 2 - K4, buf, 8 * K4), SCALEFS_E_IO);
    CHECK_EQ(in_batch(disk, SFS_IO_READ, MIB / 2, buf, K4, disk), SCALEFS_E_IO);
    CHECK(!disk->gone);
    CHECK_OK(sfs_disk_refresh(disk));
    CHECK_EQ(disk->info.size_bytes, MIB / 2);
    sfs_disk_close(disk);
    sfs_free(env, buf);
}

static void backing_full(void)
{
    struct sfs_disk *disk;
    uint8_t *buf = sfs_alloc_io(env, MIB);
    if (skip(!have_mounts, "backing_full", "a tmpfs of its own"))
        return;
    CHECK_EQ(mkdir(in_folder("small"), 0700), 0);
    REQUIRE(!mount("none", in_folder("small"), "tmpfs", 0, "size=1536k"));
    REQUIRE_OK(sfs_disk_create_file(env, in_folder("small/file"), 16 * MIB, NULL));
    REQUIRE_OK(sfs_disk_open(env, in_folder("small/file"), engine, &disk, NULL));
    memset(buf, 3, MIB);
    CHECK_OK(one(disk, SFS_IO_WRITE, 0, buf, MIB));
    CHECK_EQ(in_batch(disk, SFS_IO_WRITE, 4 * MIB, buf, MIB, disk), SCALEFS_E_BACKING_FULL);
    CHECK_EQ(one(disk, SFS_IO_WRITE, 8 * MIB, buf, MIB), SCALEFS_E_BACKING_FULL);
    CHECK(!disk->gone);
    memset(buf, 0, MIB);
    CHECK_OK(one(disk, SFS_IO_READ, 0, buf, MIB));
    CHECK(buf[0] == 3 && !memcmp(buf, buf + 1, MIB - 1));
    CHECK_OK(one(disk, SFS_IO_DISCARD, 0, NULL, 16 * MIB)); /* room again */
    CHECK_OK(one(disk, SFS_IO_WRITE, 8 * MIB, buf, MIB));
    sfs_disk_close(disk);
    CHECK_EQ(umount(in_folder("small")), 0);
    CHECK_EQ(rmdir(in_folder("small")), 0);
    sfs_free(env, buf);
}

/* Over a loop device with a file system of its own: O_DIRECT on a file, and ENOSPC there. */
static void file_on_ext4(void)
{
    char path[32];
    struct sfs_disk *disk, *second;
    uint8_t *buf = sfs_alloc_io(env, 4 * MIB), *back = sfs_alloc_io(env, 4 * MIB);
    REQUIRE(make_file(in_folder("image"), 12 * MIB));
    if (skip(!have_mounts ||
                 run_command("mke2fs -q -t ext4 -O ^has_journal -m 0 %s", in_folder("image")),
             "file_on_ext4", "mounts and mke2fs"))
        return;
    int loop = make_loop(in_folder("image"), 0, path);
    if (skip(loop < 0, "file_on_ext4", "loop devices"))
        return;
    CHECK_EQ(mkdir(in_folder("mounted"), 0700), 0);
    REQUIRE(!mount(path, in_folder("mounted"), "ext4", 0, NULL));
    CHECK_OK(sfs_disk_create_file(env, in_folder("mounted/a"), 64 * MIB, NULL));
    CHECK_OK(sfs_disk_create_file(env, in_folder("mounted/b"), 64 * MIB, NULL));
    struct stat st;
    CHECK(!stat(in_folder("mounted/a"), &st) && st.st_size == (off_t)(64 * MIB));
    CHECK(st.st_blocks < 64); /* sparse: it would not fit otherwise */
    REQUIRE_OK(sfs_disk_open(env, in_folder("mounted/a"), engine, &disk, NULL));
    REQUIRE_OK(sfs_disk_open(env, in_folder("mounted/b"), engine, &second, NULL));
    test_fill(buf, 4 * MIB);
    CHECK_OK(in_batch(disk, SFS_IO_WRITE, 20 * MIB, buf, 4 * MIB, second));
    CHECK_EQ(in_batch(second, SFS_IO_WRITE, 0, buf, 4 * MIB, disk) +
                 in_batch(second, SFS_IO_WRITE, 4 * MIB, buf, 4 * MIB, disk),
             SCALEFS_E_BACKING_FULL);
    CHECK(!second->gone);
    CHECK_OK(in_batch(disk, SFS_IO_READ, 20 * MIB, back, 4 * MIB, second));
    CHECK_MEM(buf, back, 4 * MIB);
    /* Cut within a sector: what direct I/O gives ends there, and it cannot go on from there. */
    CHECK_EQ(truncate(in_folder("mounted/a"), 22 * MIB + 1000), 0);
    CHECK_EQ(in_batch(disk, SFS_IO_READ, 20 * MIB, back, 4 * MIB, disk), SCALEFS_E_IO);
    CHECK_EQ(one(disk, SFS_IO_READ, 20 * MIB, back, 4 * MIB), SCALEFS_E_IO);
    sfs_disk_close(disk);
    sfs_disk_close(second);
    CHECK_EQ(umount(in_folder("mounted")), 0);
    CHECK_EQ(rmdir(in_folder("mounted")), 0);
    close(loop);
    sfs_free(env, buf);
    sfs_free(env, back);
}

static const char *probe(const char *path)
{
    static char what[128];
    memset(what, '?', sizeof what);
    CHECK_OK(sfs_disk_probe(env, path, what));
    return what;
}

/* What the signature table (for systems without libblkid) says of the same image. */
static const char *signature(const char *path)
{
    static uint8_t head[SFS_SIGNATURE_BYTES];
    int fd = open(path, O_RDONLY);
    ssize_t got = fd >= 0 ? read(fd, head, sizeof head) : -1;
    CHECK_EQ(got, sizeof head);
    close(fd);
    return sfs_signature_find(head, sizeof head);
}

static void probes_file_systems(void)
{
    const char *image = in_folder("image");
    REQUIRE(make_file(image, 128 * MIB));
    CHECK_STR(probe(image), "");
    if (!skip(run_command("mke2fs -q -t ext4 %s", image) != 0, "probes_file_systems", "mke2fs")) {
        CHECK_STR(probe(image), "an ext4 file system");
        CHECK_STR(signature(image), "an ext2, ext3 or ext4 file system");
    }
    REQUIRE(make_file(image, 0));
    REQUIRE(make_file(image, 128 * MIB));
    if (!skip(run_command("mkfs.btrfs -q -f %s", image) != 0, "probes_file_systems",
              "mkfs.btrfs")) {
        CHECK_STR(probe(image), "a btrfs file system");
        CHECK_STR(signature(image), "a btrfs file system");
    }
    REQUIRE(make_file(image, 0));
    REQUIRE(make_file(image, 128 * MIB));
    if (!skip(run_command("mkswap %s", image) != 0, "probes_file_systems", "mkswap")) {
        CHECK_STR(probe(image), "swap space");
        CHECK_STR(signature(image), "swap space");
    }
    REQUIRE(make_file(image, 0));
    REQUIRE(make_file(image, 128 * MIB));
    if (!skip(run_command("echo 'label: gpt\n,64M,L\n' | sfdisk %s", image) != 0,
              "probes_file_systems", "sfdisk")) {
        CHECK_STR(probe(image), "a GPT partition table");
        CHECK_STR(signature(image), "a GPT partition table");
    }
    CHECK_EQ(unlink(image), 0);
    CHECK_EQ(unlink(image) ? sfs_disk_probe(env, image, (char[128]){0}) : 0, SCALEFS_E_NOENT);
    CHECK_EQ(sfs_disk_probe(env, "/dev/null", (char[128]){0}), SCALEFS_E_NOTSUP);
}

static int found_it;
static void look_for(void *arg, const char *path)
{
    found_it += !strcmp(arg, path);
}

/* A device is found by the scan, the file behind it is not. */
static void probes_loop(void)
{
    char path[32], want[128];
    const char *image = in_folder("image");
    REQUIRE(make_file(image, 8 * MIB));
    int loop = make_loop(image, 0, path);
    if (skip(loop < 0, "probes_loop", "loop devices"))
        return;
    CHECK_STR(probe(path), "");
    snprintf(want, sizeof want, "the file behind %s", path);
    CHECK_STR(probe(image), want);
    found_it = 0;
    CHECK_OK(sfs_disk_scan(env, folder, look_for, path));
    CHECK_EQ(found_it, 1);
    found_it = 0;
    CHECK_OK(sfs_disk_scan(env, folder, look_for, (char *)image));
    CHECK_EQ(found_it, 0);
    close(loop);
    found_it = 0;
    CHECK_OK(sfs_disk_scan(env, folder, look_for, (char *)image));
    CHECK_EQ(found_it, 1);
    found_it = 0;
    CHECK_OK(sfs_disk_scan(env, NULL, look_for, path));
    CHECK_EQ(found_it, 0); /* no medium */
    CHECK_EQ(unlink(image), 0);
}

static void probes_mounted(void)
{
    char path[32], want[128], place[300];
    const char *image = in_folder("image");
    struct sfs_disk *disk;
    REQUIRE(make_file(image, 16 * MIB));
    if (skip(!have_mounts || run_command("mke2fs -q -t ext4 %s", image), "probes_mounted",
             "mounts and mke2fs"))
        return;
    int loop = make_loop(image, 0, path);
    if (skip(loop < 0, "probes_mounted", "loop devices"))
        return;
    snprintf(place, sizeof place, "%s", in_folder("a place"));
    CHECK_EQ(mkdir(place, 0700), 0);
    REQUIRE(!mount(path, place, "ext4", 0, NULL));
    snprintf(want, sizeof want, "mounted on %.100s", place);
    CHECK_STR(probe(path), want); /* the blank in the name is written \040 in the table */
    snprintf(want, sizeof want, "the file behind %.20s, which is mounted on %.59s", path, place);
    CHECK_STR(probe(image), want);
    CHECK_EQ(sfs_disk_open(env, path, engine | SFS_DISK_EXCLUSIVE, &disk, NULL), SCALEFS_E_BUSY);
    CHECK_EQ(umount(place), 0);
    CHECK_EQ(rmdir(place), 0);
    CHECK_STR(probe(path), "an ext4 file system");
    close(loop);
    CHECK_EQ(unlink(image), 0);
}

/* Tells the kernel, which may have been built without knowing partition tables. */
static bool change_partition(int disk, int operation)
{
    struct blkpg_partition part = {
        .start = (long long)MIB, .length = (long long)(15 * MIB), .pno = 1};
    struct blkpg_ioctl_arg arg = {.op = operation, .datalen = sizeof part, .data = &part};
    return !ioctl(disk, BLKPG, &arg) || (operation == BLKPG_ADD_PARTITION && errno == EBUSY);
}

/* One partition from sector 2048 to the end. */
static bool write_partition_table(const char *path, uint32_t sectors)
{
    uint8_t mbr[512] = {0};
    mbr[446 + 4] = 0x83;
    sfs_put32(mbr + 446 + 8, 2048);
    sfs_put32(mbr + 446 + 12, sectors - 2048);
    mbr[510] = 0x55;
    mbr[511] = 0xaa;
    int fd = open(path, O_WRONLY);
    bool good = fd >= 0 && write(fd, mbr, 512) == 512;
    if (fd >= 0)
        close(fd);
    return good;
}

static void probes_partitions(void)
{
    char path[32], part[40], want[128], place[300];
    const char *image = in_folder("image");
    REQUIRE(make_file(image, 16 * MIB));
    REQUIRE(write_partition_table(image, 16 * 2048));
    CHECK_STR(probe(image), "an MBR partition table");
    int loop = make_loop(image, LO_FLAGS_PARTSCAN, path);
    snprintf(part, sizeof part, "%sp1", path);
    if (loop >= 0)
        CHECK(change_partition(loop, BLKPG_ADD_PARTITION));
    for (int i = 0; loop >= 0 && i < 100 && access(part, F_OK); i++)
        usleep(10000);
    if (skip(loop < 0 || access(part, F_OK) || !have_mounts ||
                 run_command("mke2fs -q -t ext4 %s", part),
             "probes_partitions", "loop devices with partitions, mounts and mke2fs"))
        return;
    CHECK_STR(probe(path), "an MBR partition table");
    CHECK_STR(probe(part), "an ext4 file system");
    found_it = 0;
    CHECK_OK(sfs_disk_scan(env, NULL, look_for, part));
    CHECK_EQ(found_it, 1);
    snprintf(place, sizeof place, "%s", in_folder("place"));
    CHECK_EQ(mkdir(place, 0700), 0);
    REQUIRE(!mount(part, place, "ext4", 0, NULL));
    snprintf(want, sizeof want, "mounted on %.100s", place);
    CHECK_STR(probe(part), want);
    snprintf(want, sizeof want, "a disk with partitions, of which %.30s is mounted on %.49s",
             part + 5, place);
    CHECK_STR(probe(path), want);
    CHECK_EQ(umount(place), 0);
    CHECK_EQ(rmdir(place), 0);
    CHECK(change_partition(loop, BLKPG_DEL_PARTITION));
    close(loop);
    CHECK_EQ(unlink(image), 0);
}

/* Without descriptors to spare no ring can be had: slower, and as correct. */
static void no_ring_to_be_had(void)
{
    struct sfs_env *own;
    struct sfs_disk *disk;
    struct rlimit before, tight;
    struct sfs_io_batch batches[3];
    struct sfs_io ios[3][4];
    char file[] = "/var/tmp/sfs-disk-XXXXXX"; /* not on tmpfs, which is written without a ring */
    uint8_t *data = sfs_alloc_io(env, 12 * K4), *back = sfs_alloc_io(env, 12 * K4);
    int fd = mkstemp(file);
    REQUIRE(fd >= 0);
    CHECK_EQ(ftruncate(fd, MIB), 0);
    test_fill(data, 12 * K4);
    REQUIRE_OK(sfs_env_os_create(NULL, NULL, &own));
    REQUIRE_OK(sfs_disk_open(own, file, engine, &disk, NULL));
    CHECK_EQ(unlink(file), 0);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    tight = before;
    tight.rlim_cur = 3; /* fewer than are open: no more can be */
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
    for (size_t b = 0; b < 3; b++) {
        for (size_t i = 0; i < 4; i++)
            ios[b][i] = (struct sfs_io){.disk = disk,
                                        .op = SFS_IO_WRITE,
                                        .offset = (b * 4 + i) * K4,
                                        .buf = data + (b * 4 + i) * K4,
                                        .len = K4};
        sfs_io_submit(own, &batches[b], ios[b], 4);
    }
    for (size_t b = 0; b < 3; b++) {
        sfs_io_wait(&batches[b]);
        for (size_t i = 0; i < 4; i++)
            CHECK_OK(ios[b][i].result);
    }
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    CHECK_OK(one(disk, SFS_IO_READ, 0, back, 12 * K4));
    CHECK_MEM(data, back, 12 * K4);
    sfs_disk_close(disk);
    close(fd);
    sfs_env_os_destroy(own);
    sfs_free(env, data);
    sfs_free(env, back);
}

static void make_world(void)
{
    if (!mkdtemp(folder))
        exit(1);
    have_mounts = !unshare(CLONE_NEWNS) && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
                  !mount("none", folder, "tmpfs", 0, "size=400m");
    if (!have_mounts)
        printf("# mounts are refused here: are you root?\n");
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    if (sfs_env_os_create(NULL, NULL, &env))
        return 1;
    make_world();
    for (int pass = 0; pass < 2; pass++) {
        engine = pass ? SFS_DISK_THREADS : 0;
        printf("# backend: %s\n", pass ? "threads" : "io_uring");
        RUN(block_device);
        RUN(block_device_vanishes);
        RUN(block_device_resized);
        RUN(shortened_file);
        RUN(backing_full);
        RUN(file_on_ext4);
        RUN(no_ring_to_be_had);
    }
    RUN(probes_file_systems);
    RUN(probes_loop);
    RUN(probes_mounted);
    RUN(probes_partitions);
    sfs_env_os_destroy(env);
    if (have_mounts)
        umount2(folder, MNT_DETACH);
    run_command("rm -rf %s", folder);
    if (skipped)
        printf("# %d parts SKIPPED, see above\n", skipped);
    return TEST_END();
}
