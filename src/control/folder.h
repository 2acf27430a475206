/* The folder of control sockets: of its owner's alone, or not used at all.
 *
 * Root's is /run/scalefs; others have $XDG_RUNTIME_DIR/scalefs, or else /tmp/scalefs-UID;
 * SCALEFS_RUN names another one (where /run can't be written, and in tests). It must be a
 * real directory (no link), belong to the user, and be closed to everyone else. Everything inside
 * is reached through the descriptor that was checked, so nobody can put another one in its place.
 */
#ifndef SFS_CONTROL_FOLDER_H
#define SFS_CONTROL_FOLDER_H

#include <sys/un.h>

#include "scalefs/pool.h"

#define SFS_CONTROL_PATH 256

struct sfs_control_folder {
    int fd;
    char path[SFS_CONTROL_PATH]; /* for messages */
};

/* With `make`, creates it when it is missing; else NOENT. ACCESS when it is not the user's alone.
 */
int sfs_control_folder_open(bool make, struct sfs_control_folder *folder,
                            struct scalefs_error_info *info);
void sfs_control_folder_close(struct sfs_control_folder *folder);

/* The address of a socket in the folder. */
int sfs_control_folder_address(const struct sfs_control_folder *folder, const char *name,
                               struct sockaddr_un *address);

/* Only one process at a time puts sockets into the folder or clears stale ones away. */
void sfs_control_folder_lock(const struct sfs_control_folder *folder);
void sfs_control_folder_unlock(const struct sfs_control_folder *folder);

/* Removes a socket on which nobody listens (looks once more, under the lock). */
void sfs_control_folder_clear(const struct sfs_control_folder *folder, const char *name);

/* A connected socket, or -1: nobody listens, or it is not there. */
int sfs_control_folder_connect(const struct sfs_control_folder *folder, const char *name);

#endif
