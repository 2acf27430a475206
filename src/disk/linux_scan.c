/* Finding disks on Linux: the block devices of /sys/class/block, and the regular files of folders.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/linux.h"

#define BLOCKS "/sys/class/block"

/* The first line of a file below /sys/class/block/NAME; "" when there is none. */
static void attribute(const char *name, const char *file, char *value, size_t value_bytes)
{
    char path[512];
    value[0] = 0;
    snprintf(path, sizeof path, BLOCKS "/%.200s/%s", name, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t got = read(fd, value, value_bytes - 1);
    close(fd);
    value[got > 0 ? got : 0] = 0;
    value[strcspn(value, "\n")] = 0;
}

/* Whether something (device mapper, md, bcache) is built upon it. */
static bool has_holders(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, BLOCKS "/%.200s/holders", name);
    DIR *dir = opendir(path);
    if (!dir)
        return false;
    bool any = false;
    for (struct dirent *e; !any && (e = readdir(dir));)
        any = e->d_name[0] != '.';
    closedir(dir);
    return any;
}

static bool could_carry_a_pool(const char *name)
{
    static const char *const never[] = {"ram", "sr", "fd", "mtdblock"};
    char size[32];
    if (name[0] == '.')
        return false;
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (!strncmp(name, never[i], strlen(never[i])))
            return false;
    attribute(name, "size", size, sizeof size);
    return strtoull(size, NULL, 10) > 0 && !has_holders(name);
}

int sfs_native_scan_devices(struct sfs_env *env, void (*found)(void *arg, const char *path),
                            void *arg)
{
    (void)env;
    struct dirent **entries;
    int count = scandir(BLOCKS, &entries, NULL, alphasort);
    if (count < 0) /* no /sys here: no devices that could be seen */
        return errno == ENOMEM ? SCALEFS_E_NOMEM : SCALEFS_OK;
    for (int i = 0; i < count; i++) {
        char path[512];
        struct stat st;
        if (could_carry_a_pool(entries[i]->d_name)) {
            int len = snprintf(path, sizeof path, "/dev/%s", entries[i]->d_name);
            for (int at = 5; at < len; at++) /* /sys writes cciss!c0d0 for cciss/c0d0 */
                if (path[at] == '!')
                    path[at] = '/';
            if (!stat(path, &st) && S_ISBLK(st.st_mode))
                found(arg, path);
        }
        free(entries[i]);
    }
    free(entries);
    return SCALEFS_OK;
}

bool sfs_linux_loop_of(const char *path, char *name, size_t name_bytes)
{
    DIR *dir = opendir(BLOCKS);
    bool hit = false;
    if (!dir)
        return false;
    for (struct dirent *e; !hit && (e = readdir(dir));) {
        char backing[4096];
        if (strncmp(e->d_name, "loop", 4))
            continue;
        attribute(e->d_name, "loop/backing_file", backing, sizeof backing);
        hit = backing[0] && !strcmp(backing, path);
        if (hit)
            snprintf(name, name_bytes, "/dev/%s", e->d_name);
    }
    closedir(dir);
    return hit;
}

static void found_file(const char *path, void (*found)(void *arg, const char *path), void *arg)
{
    char loop[300];
    struct stat st;
    if (stat(path, &st) || !S_ISREG(st.st_mode) || st.st_size < SFS_IO_ALIGN)
        return;
    char *real = realpath(path, NULL);
    if (real && !sfs_linux_loop_of(real, loop, sizeof loop))
        found(arg, path);
    free(real);
}

int sfs_native_scan_folder(struct sfs_env *env, const char *folder,
                           void (*found)(void *arg, const char *path), void *arg)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort);
    if (count <
        0) /* a folder of the list that is absent today, or not ours to read, has no disks */
        return errno == ENOMEM ? SCALEFS_E_NOMEM : SCALEFS_OK;
    int r = SCALEFS_OK;
    for (int i = 0; i < count; i++) {
        size_t bytes = strlen(folder) + strlen(entries[i]->d_name) + 2;
        char *path = r ? NULL : sfs_alloc(env, bytes);
        if (path) {
            snprintf(path, bytes, "%s/%s", folder, entries[i]->d_name);
            found_file(path, found, arg);
        } else {
            r = SCALEFS_E_NOMEM;
        }
        sfs_free(env, path);
        free(entries[i]);
    }
    free(entries);
    return r;
}
