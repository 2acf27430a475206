/* mount.scalefs, mount.fuse.scalefs, umount.scalefs and umount.fuse.scalefs: what mount(8) and umount(8)
 * call for these types. */
#ifndef SFS_DRIVERS_MOUNT_HELPER_H
#define SFS_DRIVERS_MOUNT_HELPER_H

#include <stdbool.h>

/* Whether the program was called by such a name (argv[0]). */
bool sfs_drivers_is_mount_helper(const char *program);
/* usage: mount.scalefs POOL|DISK DIRECTORY [-sfnv] [-t TYPE] [-o OPTIONS]
 *        umount.scalefs DIRECTORY [-flnrv] [-t TYPE]
 * Prints what went wrong. 0 done, 1 wrong usage, 32 not done: the codes of mount(8). The unmounting is
 * done when the pool is closed, so that it can be used again at once. */
int sfs_drivers_mount_helper(int argc, char **argv);

#endif
