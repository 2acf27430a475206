/* Mount points: see place.h. */
#include "drivers/place.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Fields of /proc/self/mountinfo write blanks, tabs, line ends and backslashes as \ooo. */
static void unescape(char *s)
{
    char *to = s;
    for (; *s; s++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
            *to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 3;
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
}

/* The source of the last ScaleFS mount at this path; NULL when there is none. Free it. */
static char *mounted_source(const char *path)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char *line = NULL, *found = NULL;
    size_t room = 0;
    while (f && getline(&line, &room, f) > 0) {
        char at[4097], type[64], source[512];
        char *dash = strstr(line, " - ");
        if (!dash || sscanf(line, "%*s %*s %*s %*s %4096s", at) != 1 ||
            sscanf(dash + 3, "%63s %511s", type, source) != 2)
            continue;
        unescape(at);
        unescape(source);
        if (strcmp(at, path))
            continue;
        free(found);
        found = strcmp(type, SFS_MOUNT_TYPE) ? NULL : strdup(source);
    }
    free(line);
    if (f)
        fclose(f);
    return found;
}

static int refuse(struct scalefs_error_info *info, int error, const char *format, const char *path,
                  const char *more)
{
    info->error = error;
    snprintf(info->text, sizeof info->text, format, path, more);
    return error;
}

/* The absolute path when the last part itself can't be looked at. */
static char *resolve_parent(const char *path)
{
    char *copy = strdup(path);
    if (!copy)
        return NULL;
    size_t len = strlen(copy);
    while (len > 1 && copy[len - 1] == '/')
        copy[--len] = '\0';
    char *slash = strrchr(copy, '/');
    char *parent = slash == copy ? strdup("/") : NULL;
    if (!parent) {
        if (slash)
            *slash = '\0';
        parent = realpath(slash ? copy : ".", NULL);
    }
    char *result = NULL;
    const char *name = slash ? slash + 1 : copy;
    if (parent && asprintf(&result, "%s/%s", strcmp(parent, "/") ? parent : "", name) < 0)
        result = NULL;
    free(parent);
    free(copy);
    return result;
}

/* "Transport endpoint is not connected": a server was killed. Ours is cleared away. */
static void clear_dead(const char *mountpoint)
{
    char *path = resolve_parent(mountpoint);
    char *source = path ? mounted_source(path) : NULL;
    if (source)
        (void)sfs_drivers_place_unmount(path, true);
    free(source);
    free(path);
}

int sfs_drivers_place_check(const char *mountpoint, char **absolute, struct scalefs_error_info *info)
{
    struct stat st;
    struct statvfs fs;
    /* What stat says may come from the kernel's cache; this asks the server. */
    if (statvfs(mountpoint, &fs) && errno == ENOTCONN)
        clear_dead(mountpoint);
    char *path = realpath(mountpoint, NULL);
    if (!path || stat(path, &st)) {
        int error = errno;
        free(path);
        if (error == ENOENT)
            return refuse(info, SCALEFS_E_NOENT,
                          "The mount point %s does not exist. Make it first: mkdir %s", mountpoint,
                          mountpoint);
        return refuse(info, SCALEFS_E_INVAL, "The mount point %s cannot be used: %s.", mountpoint,
                      strerror(error));
    }
    if (!S_ISDIR(st.st_mode)) {
        free(path);
        return refuse(info, SCALEFS_E_NOTDIR,
                      "The mount point %s is not a directory%s. Name an existing directory.", mountpoint,
                      "");
    }
    char *source = mounted_source(path);
    if (source) {
        refuse(info, SCALEFS_E_BUSY,
               "At %s a ScaleFS pool (%s) is mounted already. Choose another mount point, or unmount "
               "that pool first.",
               mountpoint, source);
        free(source);
        free(path);
        return SCALEFS_E_BUSY;
    }
    *absolute = path;
    return SCALEFS_OK;
}

int sfs_drivers_place_find(const char *path, char **absolute)
{
    char *at = resolve_parent(path);
    char *source = at ? mounted_source(at) : NULL;
    *absolute = source ? at : NULL;
    if (!source)
        free(at);
    free(source);
    return *absolute ? SCALEFS_OK : SCALEFS_E_NOENT;
}

bool sfs_drivers_place_device(const char *path, dev_t *device)
{
    struct statx sx;
    if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_INO, &sx))
        return false;
    *device = makedev(sx.stx_dev_major, sx.stx_dev_minor);
    return true;
}

/* fusermount3 may unmount what it mounted for the same user. */
static int run_fusermount(const char *path, bool detach)
{
    char *argv[8];
    size_t n = 0;
    argv[n++] = (char *)"fusermount3";
    argv[n++] = (char *)"-u";
    argv[n++] = (char *)"-q";
    if (detach)
        argv[n++] = (char *)"-z";
    argv[n++] = (char *)"--";
    argv[n++] = (char *)path;
    argv[n] = NULL;
    posix_spawnattr_t attr;
    sigset_t none;
    pid_t pid;
    int status = 0;
    sigemptyset(&none);
    if (posix_spawnattr_init(&attr))
        return ENOMEM;
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attr, &none);
    int error = posix_spawnp(&pid, argv[0], NULL, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    if (error)
        return error;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : EBUSY;
}

int sfs_drivers_place_unmount(const char *path, bool detach)
{
    if (!umount2(path, UMOUNT_NOFOLLOW | (detach ? MNT_DETACH : 0)))
        return 0;
    return errno == EPERM ? run_fusermount(path, detach) : errno;
}

int sfs_drivers_place_remount(const char *path, unsigned long flags)
{
    return mount(NULL, path, NULL, MS_REMOUNT | flags, NULL) ? errno : 0;
}

static void bdi_path(dev_t device, const char *name, char *path, size_t size)
{
    snprintf(path, size, "/sys/class/bdi/%u:%u/%s", major(device), minor(device), name);
}

static void bdi_write(dev_t device, const char *name, uint64_t value)
{
    char path[128], text[24];
    bdi_path(device, name, path, sizeof path);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    int len = snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    (void)!write(fd, text, (size_t)len);
    close(fd);
}

void sfs_drivers_place_read_ahead(dev_t device, unsigned kib)
{
    bdi_write(device, "read_ahead_kb", kib);
}

void sfs_drivers_place_write_behind(dev_t device, uint64_t bytes)
{
    char path[128];
    unsigned long long now = 0;
    bdi_path(device, "max_bytes", path, sizeof path);
    FILE *f = fopen(path, "re");
    bool less = f && fscanf(f, "%llu", &now) == 1 && now < bytes;
    if (f)
        fclose(f);
    if (less)
        bdi_write(device, "max_bytes", bytes);
}
