/* The folder of control sockets (Linux). */
#include "control/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/message.h"

static void choose_path(char path[SFS_CONTROL_PATH])
{
    const char *own = getenv("SCALEFS_RUN"), *runtime = getenv("XDG_RUNTIME_DIR");
    if (own && own[0] == '/' && strlen(own) < SFS_CONTROL_PATH)
        snprintf(path, SFS_CONTROL_PATH, "%s", own);
    else if (!geteuid())
        snprintf(path, SFS_CONTROL_PATH, "/run/scalefs");
    else if (runtime && runtime[0] == '/' && strlen(runtime) < SFS_CONTROL_PATH - 16)
        snprintf(path, SFS_CONTROL_PATH, "%s/scalefs", runtime);
    else
        snprintf(path, SFS_CONTROL_PATH, "/tmp/scalefs-%lu", (unsigned long)geteuid());
}

int sfs_control_folder_open(bool make, struct sfs_control_folder *folder,
                            struct scalefs_error_info *info)
{
    struct stat st;
    folder->fd = -1;
    choose_path(folder->path);
    if (make && mkdir(folder->path, 0700) && errno != EEXIST)
        return sfs_control_fail(info, SCALEFS_E_ACCESS,
                                "The folder %s for the control socket cannot be made: %s.",
                                folder->path, strerror(errno));
    int fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return sfs_control_fail(info, SCALEFS_E_NOENT, "There is no folder %s.", folder->path);
    if (fd < 0)
        return sfs_control_fail(
            info, SCALEFS_E_ACCESS,
            "The folder %s for the control socket cannot be opened: %s. It must be "
            "a real folder of yours, not a link.",
            folder->path, strerror(errno));
    if (fstat(fd, &st) || st.st_uid != geteuid() || (st.st_mode & 077)) {
        close(fd);
        return sfs_control_fail(
            info, SCALEFS_E_ACCESS,
            "The folder %s for the control socket is not yours alone, so it is not "
            "used. Remove it, or make it yours with mode 0700.",
            folder->path);
    }
    folder->fd = fd;
    return SCALEFS_OK;
}

void sfs_control_folder_close(struct sfs_control_folder *folder)
{
    if (folder->fd >= 0)
        close(folder->fd);
    folder->fd = -1;
}

int sfs_control_folder_address(const struct sfs_control_folder *folder, const char *name,
                               struct sockaddr_un *address)
{
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    int len = snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s",
                       folder->fd, name);
    return len > 0 && (size_t)len < sizeof(address->sun_path) ? SCALEFS_OK : SCALEFS_E_NAMETOOLONG;
}

void sfs_control_folder_lock(const struct sfs_control_folder *folder)
{
    while (flock(folder->fd, LOCK_EX) && errno == EINTR)
        ;
}

void sfs_control_folder_unlock(const struct sfs_control_folder *folder)
{
    flock(folder->fd, LOCK_UN);
}

int sfs_control_folder_connect(const struct sfs_control_folder *folder, const char *name)
{
    struct sockaddr_un address;
    if (sfs_control_folder_address(folder, name, &address))
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

void sfs_control_folder_clear(const struct sfs_control_folder *folder, const char *name)
{
    sfs_control_folder_lock(folder);
    int fd = sfs_control_folder_connect(folder, name);
    if (fd >= 0)
        close(fd);
    else if (errno == ECONNREFUSED)
        unlinkat(folder->fd, name, 0);
    sfs_control_folder_unlock(folder);
}
