/* Care: the background work on a running pool. The reconciler (a minimal one: owed rows, columns of disks that leave or
 * were replaced, landing logs), scrub, and the complete check of a pool.
 *
 * One task does the work in small steps, each of which leaves the pool whole: it can be stopped by anything at any
 * moment and goes on from the state that is there: nothing needs a plan of its own on disk.
 */
#ifndef SFS_STORE_CARE_H
#define SFS_STORE_CARE_H

#include "scalefs/pool.h"
#include "store/store.h"

/* By sfs_store_open and _close. With options.no_background nothing runs by itself. */
int sfs_care_start(struct sfs_store *store);
void sfs_care_stop(struct sfs_store *store);

/* `old_index` is to be replaced by the empty disk `new_disk` (checked, opened exclusively by the caller; owned by the pool on
 * success). Durable when it returns; the columns move in the background. TOO_SMALL with a sentence, nothing changed. */
int sfs_care_replace(struct sfs_store *store, uint16_t old_index, struct sfs_disk *new_disk,
                     struct scalefs_error_info *info);
/* Several at once, all or none: the new ones are the caller's again when it is refused. */
int sfs_care_replace_all(struct sfs_store *store, const uint16_t *old_indices, struct sfs_disk *const *new_disks, size_t count,
                         struct scalefs_error_info *info);
/* Empty disks join (checked, opened exclusively by the caller; owned by the pool from now on, closed when it is refused). Durable when
 * it returns, and their space can be used; what is stored spreads over them in the background. `station` may be NULL. TOO_SMALL,
 * NOTSUP, INVAL with a sentence: none of them has joined. */
int sfs_care_add(struct sfs_store *store, struct sfs_disk *const *disks, const char *station, uint8_t role, size_t count,
                 struct scalefs_error_info *info);
/* The member is to leave, with failover >= 0 under that failover. TOO_FEW, NOSPC with a sentence, nothing changed. */
int sfs_care_remove(struct sfs_store *store, uint16_t index, int failover, struct scalefs_error_info *info);
/* So many bytes of the member's device are to be used (0: all). More can be used when it returns; for less, what stands behind that end
 * moves in the background. TOO_SMALL, TOO_BIG (the device is not as large), NOSPC, NOTSUP, BUSY with a sentence, nothing changed. */
int sfs_care_resize(struct sfs_store *store, uint16_t index, uint64_t bytes, struct scalefs_error_info *info);
/* The member is for data or for metadata from now on; columns go where they belong in the background. NOENT, INVAL, BUSY, TOO_FEW (data
 * needs failover + 1 disks), NOSPC with a sentence, nothing changed. */
int sfs_care_role(struct sfs_store *store, uint16_t index, uint8_t role, struct scalefs_error_info *info);
/* Its device may have grown: then all of it is used. NOENT, GONE. */
int sfs_care_measure(struct sfs_store *store, uint16_t index, struct scalefs_error_info *info);
/* How many disks may fail, how wide data is striped; negative: as it is. TOO_FEW, NOSPC with a sentence, nothing changed. */
int sfs_care_configure(struct sfs_store *store, int failover, int optimize, struct scalefs_error_info *info);
/* Changes halt until they are resumed, also over a restart: all of them, or one task of sfs_care_tasks (0: all). A scrub's task
 * is paused as by sfs_care_scrub. NOENT, INVAL with a sentence, nothing changed. */
int sfs_care_pause(struct sfs_store *store, unsigned task, struct scalefs_error_info *info);
int sfs_care_resume(struct sfs_store *store, unsigned task, struct scalefs_error_info *info);
/* The wish becomes what it was before the change (0: before all that are going on); what was moved for it moves back. NOENT, INVAL,
 * TOO_FEW, NOSPC with a sentence, nothing changed. */
int sfs_care_cancel(struct sfs_store *store, unsigned task, struct scalefs_error_info *info);
/* Changes move at most so many bytes a second; 0: as many as they can beside others. */
int sfs_care_limit(struct sfs_store *store, uint64_t rate, struct scalefs_error_info *info);
/* What the change would mean; nothing is changed. It is made in memory as the verb makes it, looked at, and taken back. OK also when it
 * would be refused, which plan->possible tells; NOMEM. unlocked */
struct sfs_change {
    enum { SFS_CHANGE_REMOVE, SFS_CHANGE_CONFIGURE, SFS_CHANGE_RESIZE, SFS_CHANGE_ROLE, SFS_CHANGE_ADD, SFS_CHANGE_REPLACE } verb;
    uint16_t index;          /* remove, resize, role, replace */
    uint8_t role;            /* role, add */
    int failover, optimize;  /* remove, configure; negative: as it is */
    uint64_t bytes, device;  /* resize: what is wanted, what there is */
    const uint64_t *sizes;   /* add, replace, for a plan: of the new disks */
    size_t count;
    const char *station;
};
int sfs_care_plan(struct sfs_store *store, const struct sfs_change *c, struct scalefs_plan *plan);
/* What it would mean that the member, or all of the station of that name, went now. locked by itself */
enum scalefs_loss sfs_care_loss(struct sfs_store *store, uint16_t index, const char *station, uint64_t *bytes);
/* The member goes offline (refused when data would be lost from reach: says so) or comes back at `disk`. */
int sfs_care_offline(struct sfs_store *store, uint16_t index, struct scalefs_error_info *info);
int sfs_care_online(struct sfs_store *store, struct sfs_disk *disk, struct scalefs_error_info *info);
int sfs_care_scrub(struct sfs_store *store, enum scalefs_scrub_verb verb, struct scalefs_error_info *info);
/* What is going on; at most cap tasks. Never waits for a disk. */
void sfs_care_tasks(struct sfs_store *store, struct scalefs_task_status *tasks, size_t cap, size_t *count);
/* Nothing left to do that could make progress now? */
bool sfs_care_idle(struct sfs_store *store);
/* Returns when the work comes to rest, or after this time. */
void sfs_care_await(struct sfs_store *store, uint64_t most_ns);
/* State of the pool in words of the contract, failures that may still come, and what to do. */
void sfs_care_state(struct sfs_store *store, enum scalefs_pool_state *state, unsigned *failures_left, char *action,
                    size_t action_size);

/* Reads and verifies everything below the files: labels, records and table on every member, all trees, every extent's
 * checksums, every unit's sums and the parity equation, and that map, space tree, group counters and the references counted
 * from the volumes agree. Read-only; for a pool that nobody writes. Fills trees_nodes, extents, bytes, live_bytes, problems,
 * repairable; `refs` (may be NULL) is called for the references that volumes hold: see sfs_fs_check. */
/* The check has noted which extents are lost: sfs_care_name_lost has them named. */
int sfs_care_check(struct sfs_store *store, void (*problem)(void *context, const char *text), void *context,
                   struct scalefs_check_report *report);
void sfs_care_name_lost(struct sfs_store *store);

#endif
