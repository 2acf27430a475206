/* Where a pool is mounted: mount points and the kernel's table of mounts. Linux. */
#ifndef SFS_DRIVERS_PLACE_H
#define SFS_DRIVERS_PLACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "scalefs/error.h"

#define SFS_MOUNT_TYPE "fuse.scalefs"

/* Checks a mount point and makes its path absolute (free it). What a server left behind that was killed
 * is taken away first. Errors say what is wrong with the mount point, in `info`. */
int sfs_drivers_place_check(const char *mountpoint, char **absolute, struct scalefs_error_info *info);
/* The absolute path (free it) when a ScaleFS pool is mounted there, its server alive or not; else NOENT. */
int sfs_drivers_place_find(const char *path, char **absolute);
/* The device number of what is mounted there, without asking its server. */
bool sfs_drivers_place_device(const char *path, dev_t *device);
/* As umount(8). EBUSY while files are open, unless `detach`. 0 or an errno. */
int sfs_drivers_place_unmount(const char *path, bool detach);
/* remount: new flags for a mount that is there. 0 or an errno. */
int sfs_drivers_place_remount(const char *path, unsigned long flags);
/* Lets the kernel read ahead so much on this mount; root's to say, ignored otherwise. */
void sfs_drivers_place_read_ahead(dev_t device, unsigned kib);
/* Lets it hold at least so much that is not written yet; root's to say, and ignored by kernels before 6.2 and those with too
 * little memory. */
void sfs_drivers_place_write_behind(dev_t device, uint64_t bytes);

#endif
