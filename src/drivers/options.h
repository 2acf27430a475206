/* The text after -o of a mount, taken apart. Pure. */
#ifndef SFS_DRIVERS_OPTIONS_H
#define SFS_DRIVERS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scalefs/error.h"

struct mount_words {
    bool read_only, read_write; /* ro, rw: the last one said */
    bool degraded, other_host;
    bool remount;
    bool suid, dev, exec;     /* as said, or what `defaults` stands for */
    bool noatime, sync, dirsync;
    bool allow_other;
    unsigned commit_seconds;  /* 0: not said */
    uint64_t cache_bytes, dirty_bytes;
};

/* `privileged`: the defaults of root (suid, dev, allow_other) instead of a user's. INVAL: `info` names
 * the word that is not known or has a wrong value. text may be NULL. */
int sfs_drivers_options_parse(const char *text, bool privileged, struct mount_words *words,
                              struct scalefs_error_info *info);

#endif
