/* mount.scalefs and mount.fuse.scalefs: what mount(8) calls for these types. */
#ifndef SFS_DRIVERS_MOUNT_HELPER_H
#define SFS_DRIVERS_MOUNT_HELPER_H

#include <stdbool.h>

/* Whether the program was called by such a name (argv[0]). */
bool sfs_drivers_is_mount_helper(const char *program);
/* usage: mount.scalefs POOL|DISK DIRECTORY [-sfnv] [-t TYPE] [-o OPTIONS]. Prints what went wrong.
 * 0 mounted, 1 wrong usage, 32 not mounted: the codes of mount(8). */
int sfs_drivers_mount_helper(int argc, char **argv);

#endif
