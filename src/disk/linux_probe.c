/* What a device or file carries, and who uses it, on Linux.
 *
 * Use comes before content: "mounted on /home" is worse news than "an ext4 file system". Asked are
 * the mount table, the swap table, what is built upon the device (holders), the same for its
 * partitions, and for a regular file the loop device that it stands behind. Content is libblkid's
 * judgement.
 */
#include <blkid.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "disk/linux.h"

#define WHAT_BYTES 128

/* Takes the next word of `*line` and undoes the \ooo escapes of /proc; NULL at the end. */
static char *word(char **line)
{
    char *start = *line + strspn(*line, " \t\n");
    if (!*start)
        return NULL;
    char *from = start, *to = start;
    while (*from && !strchr(" \t\n", *from)) {
        unsigned code;
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' &&
            sscanf(from + 1, "%3o", &code) == 1) {
            *to++ = (char)code;
            from += 4;
        } else {
            *to++ = *from++;
        }
    }
    *line = *from ? from + 1 : from;
    *to = 0;
    return start;
}

/* The device a path of /dev stands for. */
static bool is_device(const char *path, dev_t device)
{
    struct stat st;
    return !strncmp(path, "/dev/", 5) && !stat(path, &st) && S_ISBLK(st.st_mode) &&
           st.st_rdev == device;
}

/* mountinfo: id parent major:minor root mountpoint options … - type source options. btrfs shows a
 * major:minor of its own, so the source is looked at too. */
static bool line_mounts(char *line, dev_t device, char **mountpoint)
{
    unsigned maj = 0, min = 0;
    char *at = line, *w;
    for (int field = 0; field < 5; field++) {
        if (!(w = word(&at)))
            return false;
        if (field == 2 && sscanf(w, "%u:%u", &maj, &min) != 2)
            return false;
        *mountpoint = w;
    }
    if (makedev(maj, min) == device)
        return true;
    while ((w = word(&at)) && strcmp(w, "-"))
        ;
    return w && word(&at) && (w = word(&at)) && is_device(w, device);
}

static bool is_mounted(dev_t device, char what[WHAT_BYTES])
{
    FILE *table = fopen("/proc/self/mountinfo", "re");
    char *line = NULL, *mountpoint;
    size_t room = 0;
    bool hit = false;
    while (table && !hit && getline(&line, &room, table) > 0)
        if (line_mounts(line, device, &mountpoint)) {
            snprintf(what, WHAT_BYTES, "mounted on %.100s", mountpoint);
            hit = true;
        }
    free(line);
    if (table)
        fclose(table);
    return hit;
}

/* Swap on a device, or (device 0) in the file `path`. */
static bool is_swap(dev_t device, const char *path, char what[WHAT_BYTES])
{
    FILE *table = fopen("/proc/swaps", "re");
    char *line = NULL;
    size_t room = 0;
    bool hit = false;
    while (table && !hit && getline(&line, &room, table) > 0) {
        char *at = line, *name = word(&at);
        hit = name && (device ? is_device(name, device) : !strcmp(name, path));
    }
    if (hit)
        snprintf(what, WHAT_BYTES, "used as swap");
    free(line);
    if (table)
        fclose(table);
    return hit;
}

static bool has_holder(dev_t device, char what[WHAT_BYTES])
{
    char path[128];
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/holders", major(device), minor(device));
    DIR *dir = opendir(path);
    bool hit = false;
    if (!dir)
        return false;
    for (struct dirent *e; !hit && (e = readdir(dir));)
        if (e->d_name[0] != '.') {
            snprintf(what, WHAT_BYTES, "a part of /dev/%.90s, which is active", e->d_name);
            hit = true;
        }
    closedir(dir);
    return hit;
}

static bool device_used(dev_t device, char what[WHAT_BYTES])
{
    return is_mounted(device, what) || is_swap(device, NULL, what) || has_holder(device, what);
}

/* Each partition is a folder of the disk's that has a file `partition`. */
static bool partition_used(dev_t device, char what[WHAT_BYTES])
{
    char path[128];
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u", major(device), minor(device));
    DIR *dir = opendir(path);
    bool hit = false;
    if (!dir)
        return false;
    for (struct dirent *e; !hit && (e = readdir(dir));) {
        char file[512], use[WHAT_BYTES];
        unsigned maj, min;
        snprintf(file, sizeof file, "%s/%.200s/partition", path, e->d_name);
        if (e->d_name[0] == '.' || access(file, F_OK))
            continue;
        snprintf(file, sizeof file, "%s/%.200s/dev", path, e->d_name);
        FILE *dev = fopen(file, "re");
        if (!dev)
            continue;
        if (fscanf(dev, "%u:%u", &maj, &min) == 2 && device_used(makedev(maj, min), use)) {
            snprintf(what, WHAT_BYTES, "a disk with partitions, of which %.30s is %.60s", e->d_name,
                     use);
            hit = true;
        }
        fclose(dev);
    }
    closedir(dir);
    return hit;
}

static bool file_used(const char *path, char what[WHAT_BYTES])
{
    char loop[64], use[WHAT_BYTES];
    struct stat st;
    if (is_swap(0, path, what))
        return true;
    if (!sfs_linux_loop_of(path, loop, sizeof loop))
        return false;
    if (!stat(loop, &st) && S_ISBLK(st.st_mode) &&
        (device_used(st.st_rdev, use) || partition_used(st.st_rdev, use)))
        snprintf(what, WHAT_BYTES, "the file behind %.20s, which is %.70s", loop, use);
    else
        snprintf(what, WHAT_BYTES, "the file behind %.60s", loop);
    return true;
}

/* libblkid's names, in words. */
static void name_content(const char *type, const char *usage, char what[WHAT_BYTES])
{
    static const char *const known[][2] = {
        {"linux_raid_member", "a Linux software RAID member"},
        {"LVM2_member", "an LVM physical volume"},
        {"LVM1_member", "an LVM physical volume"},
        {"crypto_LUKS", "a LUKS encrypted volume"},
        {"BitLocker", "a BitLocker volume"},
        {"swap", "swap space"},
        {"swsuspend", "a suspended system's memory"},
        {"zfs_member", "a ZFS pool member"},
        {"bcache", "a bcache device"},
        {"vfat", "a FAT file system"},
        {"ntfs", "an NTFS file system"},
        {"exfat", "an exFAT file system"},
        {"iso9660", "an ISO 9660 file system"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(type, known[i][0])) {
            snprintf(what, WHAT_BYTES, "%s", known[i][1]);
            return;
        }
    const char *article = strchr("aeioufhxAEIOUFHX", type[0]) && strncmp(type, "u", 1) ? "an" : "a";
    if (!strcmp(usage, "filesystem"))
        snprintf(what, WHAT_BYTES, "%s %.60s file system", article, type);
    else if (!strcmp(usage, "raid"))
        snprintf(what, WHAT_BYTES, "a RAID member (%.60s)", type);
    else
        snprintf(what, WHAT_BYTES, "something called %.60s", type);
}

static int identify(int fd, char what[WHAT_BYTES])
{
    const char *type = NULL, *usage = "", *table = NULL;
    blkid_probe probe = blkid_new_probe();
    if (!probe)
        return SCALEFS_E_NOMEM;
    if (blkid_probe_set_device(probe, fd, 0, 0)) {
        blkid_free_probe(probe);
        return SCALEFS_E_IO;
    }
    blkid_probe_enable_superblocks(probe, 1);
    blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE);
    blkid_probe_enable_partitions(probe, 1);
    errno = 0;
    int found = blkid_do_safeprobe(probe); /* 0 found, 1 nothing, -2 several things, -1 error */
    if (found == -2) {
        snprintf(what, WHAT_BYTES, "more than one file system or partition table");
    } else if (found == 0) {
        blkid_probe_lookup_value(probe, "TYPE", &type, NULL);
        blkid_probe_lookup_value(probe, "USAGE", &usage, NULL);
        blkid_probe_lookup_value(probe, "PTTYPE", &table, NULL);
        if (type)
            name_content(type, usage, what);
        else if (table && !strcmp(table, "gpt"))
            snprintf(what, WHAT_BYTES, "a GPT partition table");
        else if (table)
            snprintf(what, WHAT_BYTES, "%s partition table",
                     !strcmp(table, "dos") ? "an MBR" : "another kind of");
    }
    blkid_free_probe(probe);
    return found == -1 ? SCALEFS_E_IO : SCALEFS_OK;
}

static int look_for_data(struct sfs_env *env, int fd, char what[WHAT_BYTES])
{
    uint8_t *head = sfs_alloc_io(env, SFS_IO_ALIGN);
    if (!head)
        return SCALEFS_E_NOMEM;
    ssize_t got = pread(fd, head, SFS_IO_ALIGN, 0);
    for (ssize_t i = 0; i < got && !what[0]; i++)
        if (head[i])
            snprintf(what, WHAT_BYTES, "data of an unknown kind");
    sfs_free(env, head);
    return got < 0 ? SCALEFS_E_IO : SCALEFS_OK;
}

static int probe_error(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return SCALEFS_E_NOENT;
    case EACCES:
    case EPERM:
        return SCALEFS_E_ACCESS;
    case ENXIO:
    case ENODEV:
    case ENOMEDIUM:
        return SCALEFS_E_GONE;
    case ENOMEM:
        return SCALEFS_E_NOMEM;
    default:
        return SCALEFS_E_IO;
    }
}

static int probe_content(struct sfs_env *env, const char *path, const struct stat *st,
                         char what[WHAT_BYTES])
{
    int r = SCALEFS_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return probe_error(errno);
    if (S_ISBLK(st->st_mode) || st->st_size > 0)
        r = identify(fd, what);
    if (!r && S_ISREG(st->st_mode) && !what[0])
        r = look_for_data(env, fd, what);
    close(fd);
    return r;
}

/* Use is looked for first, also because it can be seen where the device may not be opened. */
int sfs_native_probe(struct sfs_env *env, const char *path, char what[WHAT_BYTES])
{
    struct stat st;
    int r = SCALEFS_OK;
    char *real = realpath(path, NULL);
    if (!real)
        return probe_error(errno);
    if (stat(real, &st))
        r = probe_error(errno);
    else if (S_ISBLK(st.st_mode))
        r = device_used(st.st_rdev, what) || partition_used(st.st_rdev, what)
                ? SCALEFS_OK
                : probe_content(env, real, &st, what);
    else if (S_ISREG(st.st_mode))
        r = file_used(real, what) ? SCALEFS_OK : probe_content(env, real, &st, what);
    else
        r = SCALEFS_E_NOTSUP;
    free(real);
    return r;
}
