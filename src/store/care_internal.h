/* What the files of care share. Nothing outside of them includes it.
 *
 * Files: care.c (the task and what it does next), care_state.c (tasks, state and action in words), care_rows.c
 * (going over the rows of a group, several at once), care_fix.c (one row verified and put right), care_owed.c,
 * care_drain.c (replace), column.c (one column moves), scrub.c, check.c.
 */
#ifndef SFS_STORE_CARE_INTERNAL_H
#define SFS_STORE_CARE_INTERNAL_H

#include "store/care.h"
#include "store/internal.h"

/* Why a member's work cannot go on; looked at again when something changes or after a while. */
struct sfs_care_block {
    uint16_t member;
    char reason[256];
};

struct sfs_care {
    struct sfs_store *s;
    struct sfs_task *task;
    struct sfs_cond wake; /* with the core lock */
    bool stopping;
    uint64_t wakes; /* rises with everything that may give the task something to do */

    struct sfs_care_block *blocks;
    size_t block_count, block_cap;
    bool busy;  /* a step is being made, or there may be one to make */
    uint16_t owed_member; /* whose owed rows are being paid */
    uint64_t owed_done;
    bool retry; /* something failed that may go better later */
    /* What was moved or verified lately, for the speed shown. */
    uint64_t rate, rate_bytes, rate_since_ns;
};

/* One small piece of the work that is there to do; false: nothing could be done. unlocked. Tests drive a store without
 * background by it. */
bool sfs_care_step(struct sfs_store *s);
/* Packs the next closed landing log, when there is one. unlocked */
bool sfs_care_pack(struct sfs_store *s);
bool sfs_care_scrub_step(struct sfs_store *s); /* scrub.c. unlocked */
/* Something changed that the task should look at. locked. */
void sfs_care_wake(struct sfs_store *s);
/* locked */
bool sfs_care_stopping(const struct sfs_care *care);
const char *sfs_care_blocked(const struct sfs_care *care, uint16_t member); /* NULL: not */
void sfs_care_block(struct sfs_care *care, uint16_t member, const char *reason);
void sfs_care_moved(struct sfs_care *care, uint64_t bytes); /* for the speed */
int sfs_care_refuse(struct scalefs_error_info *info, int error, const char *format, ...);

/* Does this member's content have to go elsewhere? locked */
bool sfs_care_drains(const struct sfs_member *m);

#endif
