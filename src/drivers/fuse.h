/* The FUSE driver: serves the volume of a pool at a mount point.
 *
 * Linux only; the command and the mount helpers call it. It opens the pool, mounts, starts the
 * control server, answers the kernel until the file system is unmounted, and closes the pool.
 * It translates and does nothing else: what files mean is decided behind include/scalefs/fs.h.
 */
#ifndef SFS_DRIVERS_FUSE_H
#define SFS_DRIVERS_FUSE_H

#include <stdbool.h>
#include <stddef.h>

#include "scalefs/error.h"

struct scalefs_fuse_options {
    const char *pool;         /* a name, a UUID or the path of one of the pool's disks */
    const char *const *disks; /* further paths to look at; may be NULL */
    size_t disk_count;
    const char *mountpoint;
    /* The text after -o, comma-separated, or NULL. Understood: ro, rw, degraded, noatime, [no]suid,
     * [no]dev, [no]exec, [no]allow_other, commit=SECONDS, cache=SIZE, dirty=SIZE, remount, and those
     * that mount(8) keeps for itself (defaults, nofail, x-…). Any other is an error. */
    const char *mount_options;
    bool foreground; /* stay in this process; log to standard error */
    bool read_only;
    bool degraded;         /* as in scalefs_open_options */
    bool other_host;       /* the same */
    const char *keep_disk; /* the same; or NULL */
};

/* Mounts. In the background (the default): returns SCALEFS_OK once the file system can be used; a
 * process of its own serves it from then on. In the foreground: returns when it has been unmounted
 * and the pool is closed. An error: nothing is mounted and `info` says why; SCALEFS_E_INVAL for
 * options or a mount point that make no sense.
 *
 * Call it before the process has started threads: it forks.
 *
 * How it ends. umount(8), fusermount3 -u: clean. SIGTERM, SIGINT, SIGHUP: what the kernel still holds
 * is written, the mount is taken away even while it is in use, the pool is closed. The control
 * server's request_unmount: as umount(8), so nothing happens while a file is open: ask
 * umount2(mountpoint, 0) first when the reason matters. */
int scalefs_fuse_mount(const struct scalefs_fuse_options *options, struct scalefs_error_info *info);

#endif
