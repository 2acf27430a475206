/* Pools: make, open, look at, change, check. Part of the public C library of ScaleFS.
 *
 * Threading: every call may be made from any thread at any time, except close, which must be the
 * last. Calls block. Atomicity: a call that fails has changed nothing, unless it says otherwise.
 * Silence: the library never prints; it calls the log function of the options.
 * Option structs carry their size in the first field (set it to sizeof), so that they can grow.
 * Strings are UTF-8 (paths: as the system gives them).
 */
#ifndef SCALEFS_POOL_H
#define SCALEFS_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scalefs/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct scalefs_pool;

/* "1.0.0", the version of the library; the newest on-disk format it writes. */
const char *scalefs_version(void);
unsigned scalefs_format_version(void);

/* level 0 error, 1 warning, 2 information, 3 detail. Called from any thread; must not call back. */
typedef void (*scalefs_log_fn)(void *context, int level, const char *room, int error,
                               const char *text);

/* What a disk is for. Metadata disks hold what the file system knows of files (names, sizes, where their bytes are) as long as there are
 * enough of them, failover + 1 and at least two, with room; disks for data hold it where there are not. They hold no data. */
enum scalefs_role { SCALEFS_ROLE_DATA, SCALEFS_ROLE_METADATA };
const char *scalefs_role_name(enum scalefs_role role); /* "data", "metadata" */

struct scalefs_create_options {
    size_t struct_bytes;
    const char *name;          /* 1–63 bytes, no '/', no control characters, not all of a UUID's shape */
    unsigned failover;         /* 0 … disks − 1, at most 31 */
    unsigned optimize;         /* 0 space … 100 performance */
    uint64_t file_bytes;       /* size of disks that are paths of files that do not exist; 0: refuse */
    bool force;                /* overwrite what the disks carry */
    const char *const *stations; /* NULL, or a name (or NULL) per disk */
    scalefs_log_fn log;
    void *log_context;
    const enum scalefs_role *roles; /* NULL (all for data), or one per disk; failover + 1 must be for data */
};
/* Makes a pool of `count` disks. All disks are looked at before the first byte is written. Files that
 * were created are removed again on failure. uuid_text (37 bytes) may be NULL. */
int scalefs_pool_create(const struct scalefs_create_options *options, const char *const *disks,
                        size_t count, char *uuid_text, struct scalefs_error_info *info);

struct scalefs_open_options {
    size_t struct_bytes;
    bool read_only;
    bool degraded;            /* open for writing although the newest state cannot be proven */
    bool other_host;          /* it was last used by another computer: go on */
    const char *keep_disk;    /* of two halves written apart, keep the one this disk belongs to; or NULL */
    uint64_t cache_bytes;     /* bound of the tree-node cache; 0: 64 MiB */
    uint64_t dirty_bytes;     /* bound of file data waiting to be written (of large writes: half); 0: 64 MiB */
    unsigned commit_seconds;  /* a checkpoint at the latest so long after the first change; 0: 5 */
    scalefs_log_fn log;
    void *log_context;
};
/* Opens the pool that is called `name` (a name, a UUID, or the path of one of its disks). `disks` are
 * further paths to look at; block devices, the folders in SCALEFS_PATH and the folders of `disks` are
 * scanned too. Errors: NOENT, AMBIGUOUS, MISSING, DIVERGED, OTHER_HOST, BUSY, VERSION, CORRUPT. */
int scalefs_pool_open(const struct scalefs_open_options *options, const char *name,
                      const char *const *disks, size_t count, struct scalefs_pool **pool,
                      struct scalefs_error_info *info);
/* Writes everything, marks the pool clean (`export`: and exported), closes the disks. The pool is
 * closed whatever it returns; an error says that the last changes may not have become durable. */
int scalefs_pool_close(struct scalefs_pool *pool, bool export_pool);

/* Everything that was completed before the call is durable after it. */
int scalefs_pool_sync(struct scalefs_pool *pool);

enum scalefs_pool_state { SCALEFS_HEALTHY, SCALEFS_DEGRADED, SCALEFS_SUSPENDED, SCALEFS_DAMAGED };
enum scalefs_disk_state {
    SCALEFS_DISK_ONLINE,
    SCALEFS_DISK_ABSENT,
    SCALEFS_DISK_FAILED,
    SCALEFS_DISK_LEAVING,
    SCALEFS_DISK_JOINING
};
enum scalefs_task_kind {
    SCALEFS_TASK_REBUILD,
    SCALEFS_TASK_REMOVE,
    SCALEFS_TASK_REPLACE,
    SCALEFS_TASK_REBALANCE,
    SCALEFS_TASK_CONVERT,
    SCALEFS_TASK_RESIZE,
    SCALEFS_TASK_COMPACT,
    SCALEFS_TASK_SCRUB
};
enum scalefs_task_state { SCALEFS_TASK_RUNNING, SCALEFS_TASK_PAUSED, SCALEFS_TASK_BLOCKED };
/* The words of CLI.md: "healthy", "online", "rebuild", "running". */
const char *scalefs_pool_state_name(enum scalefs_pool_state s);
const char *scalefs_disk_state_name(enum scalefs_disk_state s);
const char *scalefs_task_kind_name(enum scalefs_task_kind k);
const char *scalefs_task_state_name(enum scalefs_task_state s);

/* What it would mean that a disk, or all disks of a station, went now: nothing; all data are still there, with fewer failures
 * borne; the pool waits for them. */
enum scalefs_loss { SCALEFS_LOSS_NONE, SCALEFS_LOSS_DEGRADED, SCALEFS_LOSS_SUSPENDED };
const char *scalefs_loss_name(enum scalefs_loss l); /* "none", "degraded", "suspended" */

struct scalefs_disk_status {
    unsigned id; /* the short id */
    char uuid[37];
    char path[1024];
    char station[64]; /* "" none */
    unsigned role;    /* enum scalefs_role */
    uint64_t size, used;
    enum scalefs_disk_state state;
    uint64_t read_errors, write_errors, checksum_errors;
    enum scalefs_loss loss;
    uint64_t loss_bytes; /* of data that could not be reached without it */
};
struct scalefs_station_status {
    char name[64];
    unsigned disks, absent;
    enum scalefs_loss loss;
    uint64_t loss_bytes;
};
struct scalefs_task_status {
    unsigned id;
    enum scalefs_task_kind kind;
    enum scalefs_task_state state;
    char reason[256];
    uint64_t bytes_done, bytes_total, rate; /* rate: bytes a second; 0: not known (yet) */
    uint64_t eta_seconds; /* until it is done, with the tasks before it; 0: not known */
    unsigned disk; /* short id, 0 none */
};
/* A file of which something could not be read or rebuilt, when it was found so. */
#define SCALEFS_LOST_FILES 64u
struct scalefs_lost_file {
    char path[1024]; /* below the root; of a longer one the end, after "..." */
    uint64_t ino, offset, bytes; /* the first lost place, and how much there is in all */
};
struct scalefs_status {
    char name[64], uuid[37];
    enum scalefs_pool_state state;
    char action[512]; /* what to do, "" nothing */
    unsigned failover, optimize;
    unsigned failures_left; /* how many disks may fail right now with nothing lost */
    unsigned verify;        /* 0 checksum, 1 parity */
    unsigned compression;   /* 0 off, else zstd */
    int zstd_level;
    uint32_t record_bytes;
    bool read_only;
    bool paused;            /* changes of the configuration halt (scalefs_pool_pause, task 0) */
    uint64_t rate;          /* bytes a second that they move at most; 0: no limit */
    uint64_t raw, usable, used, free;
    uint64_t extents_repaired, extents_lost;
    size_t disk_count, task_count, station_count;
    struct scalefs_disk_status *disks;
    struct scalefs_task_status *tasks;
    struct scalefs_station_status *stations;
    /* Found since the pool was opened, and there at the last scrub; of all `lost_file_count` the first SCALEFS_LOST_FILES. */
    uint64_t lost_file_count;
    size_t lost_named;
    struct scalefs_lost_file *lost_files;
};
/* Free with scalefs_status_free. Never waits for a disk. */
int scalefs_pool_status(struct scalefs_pool *pool, struct scalefs_status **status);
void scalefs_status_free(struct scalefs_status *status);

/* One setting: "verify" "checksum|parity"; "compression" "off|zstd[:1-19]"; "record" a size, a power of
 * two from 16K to 256K; "failover" a number; "optimize" "space|balanced|performance" or 0 to 100. Durable when it
 * returns. After a change of the last two what is stored follows in the background. */
int scalefs_pool_set(struct scalefs_pool *pool, const char *key, const char *value,
                     struct scalefs_error_info *info);

/* `disk` in the next calls: a path, a short id, or a UUID. */

/* New disks join, all or none; file_bytes, force as for create; `station` of all of them, or NULL. Their space can be used when
 * it returns; what is stored spreads over them in the background. */
int scalefs_pool_add(struct scalefs_pool *pool, const char *const *paths, size_t count, const char *station,
                     uint64_t file_bytes, bool force, struct scalefs_error_info *info);
struct scalefs_add_options {
    size_t struct_bytes;
    const char *station;
    enum scalefs_role role; /* of all of them */
    uint64_t file_bytes;
    bool force;
};
/* The same, with all that can be said of new disks. INVAL: there is no such role. */
int scalefs_pool_add_with(struct scalefs_pool *pool, const char *const *paths, size_t count, const struct scalefs_add_options *options,
                          struct scalefs_error_info *info);
/* `disk`, present or not, is for something else from now on. Durable when it returns; what does not belong there any more goes to other
 * disks in the background, a task of kind `convert`, and what belongs there comes. While that task is there it can be cancelled.
 * INVAL: there is no such role; BUSY: the disk is leaving; TOO_FEW: data needs failover + 1 disks; NOSPC. */
int scalefs_pool_set_role(struct scalefs_pool *pool, const char *disk, enum scalefs_role role, struct scalefs_error_info *info);
/* `disk` is to leave the pool, present or not; with failover >= 0 under that failover. What it holds goes to the others in the
 * background; until that is done it belongs to the pool. Refused when the others have not the room or the number. */
int scalefs_pool_remove(struct scalefs_pool *pool, const char *disk, int failover,
                        struct scalefs_error_info *info);
/* Gives all columns of disk `old_disk` (present or not) to the new disk at `new_path`; file_bytes and
 * force as for create. Returns when the wish is durable; the work goes on in the background and is
 * resumed at every opening until it is done. */
int scalefs_pool_replace(struct scalefs_pool *pool, const char *old_disk, const char *new_path,
                         uint64_t file_bytes, bool force, struct scalefs_error_info *info);
/* Several at once, all or none. */
int scalefs_pool_replace_all(struct scalefs_pool *pool, const char *const *old_disks, const char *const *new_paths,
                             size_t count, uint64_t file_bytes, bool force, struct scalefs_error_info *info);
/* So many bytes of the disk's device are to be used; 0: all that it has. What a device has grown by can be used when it returns.
 * For less, what stands behind that end goes elsewhere in the background; the device may be cut when no task of kind `resize` is
 * left. A device that is found larger when it comes back, or at opening, is used whole by itself. TOO_SMALL, NOSPC: refused. */
int scalefs_pool_resize(struct scalefs_pool *pool, const char *disk, uint64_t bytes, struct scalefs_error_info *info);
int scalefs_pool_offline(struct scalefs_pool *pool, const char *disk, struct scalefs_error_info *info);
/* `disk` may be the path at which an absent member is found again. */
int scalefs_pool_online(struct scalefs_pool *pool, const char *disk, struct scalefs_error_info *info);

/* Changes of the configuration halt, or go on again: all of them (task 0), or the task of that id in the status (of a scrub: the
 * scrub). Durable when it returns, so a restart does not end it. What is being moved stays where it was. NOENT: no such
 * task; INVAL: a task that cannot be paused. */
int scalefs_pool_pause(struct scalefs_pool *pool, unsigned task, struct scalefs_error_info *info);
int scalefs_pool_resume(struct scalefs_pool *pool, unsigned task, struct scalefs_error_info *info);
/* Takes back a change that is going on, or all that are (task 0): what is wished is what it was before. A disk that was leaving
 * stays, one that was joining or was to replace another leaves, failover and optimize are those of before; what was
 * moved already moves back in the background. A scrub is stopped. Durable when it returns. NOENT: there is none; INVAL: it cannot be
 * taken back; TOO_FEW, NOSPC: the pool could not hold its files so. */
int scalefs_pool_cancel(struct scalefs_pool *pool, unsigned task, struct scalefs_error_info *info);

/* What a change would mean. */
enum scalefs_change_verb {
    SCALEFS_CHANGE_ADD,     /* disks; station, role */
    SCALEFS_CHANGE_REMOVE,  /* disk; failover */
    SCALEFS_CHANGE_REPLACE, /* disk; disks: the new one */
    SCALEFS_CHANGE_RESIZE,  /* disk; bytes (0: all of the device) */
    SCALEFS_CHANGE_SET,     /* failover, optimize */
    SCALEFS_CHANGE_ROLE     /* disk; role */
};
struct scalefs_change {
    size_t struct_bytes;
    enum scalefs_change_verb verb;
    const char *disk;
    int failover, optimize;    /* negative: as it is */
    uint64_t bytes;
    const char *const *disks;  /* of each new one its path, or for one that is not there yet its size, as "8T" */
    size_t disk_count;
    const char *station;
    enum scalefs_role role;
};
struct scalefs_plan {
    bool possible;
    char refusal[1024]; /* why not, and what would work; "" possible */
    unsigned disks_before, disks_after;          /* members that stay */
    uint64_t used, usable_before, usable_after;
    unsigned failures_before, failures_during, failures_after; /* disks that may fail with nothing lost */
    uint64_t bytes_to_move;
    uint64_t rate, seconds; /* bytes a second, measured; how long it would take; 0: not known */
};
/* Makes the change in memory, by the code that makes it in earnest, looks, and takes it back; nothing is changed. OK also when the change
 * would be refused: then plan->possible is false. INVAL: it is no change. */
int scalefs_pool_plan(struct scalefs_pool *pool, const struct scalefs_change *change, struct scalefs_plan *plan,
                      struct scalefs_error_info *info);
/* The same for a pool that is not made yet, of disks of these sizes. */
int scalefs_plan_create(const uint64_t *sizes, size_t count, unsigned failover, unsigned optimize,
                        struct scalefs_plan *plan, struct scalefs_error_info *info);

enum scalefs_scrub_verb { SCALEFS_SCRUB_START, SCALEFS_SCRUB_PAUSE, SCALEFS_SCRUB_RESUME, SCALEFS_SCRUB_STOP };
int scalefs_pool_scrub(struct scalefs_pool *pool, enum scalefs_scrub_verb verb,
                       struct scalefs_error_info *info);

/* Waits until no task is left that could make progress, or `cancel` (may be NULL) becomes true, calling
 * `progress` (may be NULL) about five times a second. */
int scalefs_pool_wait(struct scalefs_pool *pool,
                      void (*progress)(void *context, const struct scalefs_status *status),
                      void *context, const volatile bool *cancel);

/* Pools that can be seen. Each is reported once, with its member paths. */
struct scalefs_found_pool {
    char name[64], uuid[37];
    unsigned disks_expected, disks_found;
    bool exported, other_host;
    const char *const *paths;
    size_t path_count;
};
int scalefs_pools_find(const char *const *disks, size_t count,
                       void (*found)(void *context, const struct scalefs_found_pool *pool),
                       void *context, struct scalefs_error_info *info);

/* Reads and verifies everything: records, table, trees, every extent's and unit's checksum, parity, and
 * that space accounting agrees with what is referenced. Changes nothing. `problem` is called with a sentence
 * for each problem, and at last with one for each file that has lost something, up to SCALEFS_LOST_FILES of them. */
struct scalefs_check_report {
    uint64_t trees_nodes, extents, files, directories, bytes;
    uint64_t problems;          /* anything wrong at all */
    uint64_t repairable;        /* of these: redundancy still gives the right data */
    uint64_t live_bytes;        /* referenced, as `used` of status counts */
};
int scalefs_pool_check(const char *name, const char *const *disks, size_t count,
                       void (*problem)(void *context, const char *text), void *context,
                       struct scalefs_check_report *report, struct scalefs_error_info *info);

#ifdef __cplusplus
}
#endif
#endif
