/* What the files of care share. Nothing outside of the store includes it.
 *
 * Files: care.c (the task and what it does next), care_work.c (the tasks, and how far they are), care_meter.c (how fast), care_state.c (state and action in
 * words), care_rows.c
 * (going over the live rows of a group, several at once), care_fix.c (one row verified and put right), care_lost.c (which
 * extents went with a row that is lost), care_owed.c (members that are behind), care_prove.c (what was written when too many went), care_order.c (what is moved next), care_drain.c
 * (disks that leave or are replaced), care_convert.c (groups that are not what is wished), care_balance.c (free space made even), care_wish.c (the verbs that change the wish), care_control.c (pausing, taking
 * back, pace), care_resize.c (members become larger or smaller), column.c (one
 * column moves), scrub.c, scrub_place.c, check.c.
 *
 * Only the care task (or, in a store without background, one caller of sfs_care_step) makes steps, so steps never run
 * beside one another; within a step several tasks go over rows.
 */
#ifndef SFS_STORE_CARE_INTERNAL_H
#define SFS_STORE_CARE_INTERNAL_H

#include "base/refuse.h"
#include "store/care.h"
#include "store/care_meter.h"
#include "base/text.h"
#include "store/internal.h"

/* Why a member's work cannot go on; looked at again when something changes or after a while. */
struct sfs_care_block {
    uint16_t member;
    char reason[256];
};

/* A range of a group's data space that could not be read or rebuilt. */
struct sfs_care_range {
    uint32_t group;
    uint64_t offset, length;
};

/* The tasks of status, by id. */
enum {
    SFS_CARE_DRAIN = 1000, /* + the member's index, which is less than 65536 */
    SFS_CARE_REBUILD = 100000, /* + the member's index */
    SFS_CARE_RESIZE = 200000,  /* + the member's index */
    SFS_CARE_ROLE = 300000,    /* + the member's index: data leaves a metadata disk */
    SFS_CARE_CONVERT = 301,
    SFS_CARE_REBALANCE = 302
};
/* What was done of one of them since the pool was opened. */
struct sfs_care_progress {
    unsigned task;
    uint64_t done;
};
/* What there will be when all is as it is wished (care_after.c). */
struct sfs_after {
    bool changes;   /* something is not; else the rest is not told */
    uint64_t room;  /* that groups can be made for out of what will be free */
    uint64_t anew;  /* live bytes of the groups of data that will be written anew (group->anew) */
    uint64_t lacks; /* bytes of columns for which no member has room */
    int64_t free[SFS_DISKS_MAX]; /* by slot */
};
/* What holds for all groups while one looks at one after the other and changes nothing of the members: asked once, since it takes a look
 * at all members, or at all of their space. */
struct sfs_care_pass {
    struct sfs_care_pass *outer;
    bool known[SFS_CLASSES];
    unsigned parity[SFS_CLASSES], most[SFS_CLASSES]; /* columns that a group of the class is to have, and may have */
    bool asked, any;                                 /* what a group of data made now would be; any: one can be made */
    unsigned k, m;
};
struct sfs_care_move {
    uint32_t group;
    uint8_t column;
    uint16_t to;
    uint64_t generation;
};

/* Which groups a member that is behind has got back already (care_owed.c). */
struct sfs_care_owed {
    uint16_t member; /* 0: no pass is going on */
    unsigned comings;
    uint64_t txn; /* groups made later lack nothing */
    uint64_t done_bytes;
    uint64_t *done; /* generations */
    size_t done_count, done_cap;
};

/* Where a scrub is (scrub_place.c). */
struct sfs_scrub_missed {
    uint32_t group;
    uint64_t generation;
    uint64_t lost_before, lost; /* in the groups before it, in it */
};
struct sfs_scrub {
    bool begun;   /* what follows is of the scrub that is recorded */
    bool missing; /* that it waits was told to the log */
    uint32_t group, row;
    uint64_t generation; /* of that group; 0: it is as recorded */
    uint64_t lost, group_lost;
    uint64_t heads[SFS_DISKS_MAX / 64]; /* looked at; bits by slot */
    struct sfs_scrub_missed *missed;    /* by number of the group */
    size_t missed_count, missed_cap;
    uint64_t again; /* the one that is gone over once more */
};

/* Which groups were found to hold all that was written to them before too many disks went (care_prove.c). */
struct sfs_care_proof {
    uint64_t suspensions, comings; /* the pool's, when it began, and how often members had come back */
    bool failed;          /* something is lost: only opening anew helps */
    uint64_t *done;       /* generations */
    size_t done_count, done_cap;
};

struct sfs_care {
    struct sfs_store *s;
    struct sfs_task *task;
    struct sfs_cond wake; /* with the core lock */
    struct sfs_cond rest; /* the task found nothing more to do; with the core lock */
    bool stopping;
    bool busy;       /* a step is being made, or there may be one to make */
    uint64_t applied; /* the store's, after the last step: until that is durable a cut undoes the step */
    unsigned failures_left; /* before that step */
    bool retry;      /* something failed that may go better later */
    bool retry_soon; /* something waits for others who will be done soon */
    uint64_t wakes;  /* rises with everything that may give the task something to do */

    struct sfs_care_block *blocks;
    size_t block_count, block_cap;
    struct sfs_care_owed owed;
    struct sfs_care_proof proof;
    struct sfs_scrub scrub;
    uint64_t *stuck; /* generations of groups that cannot be emptied */
    size_t stuck_count, stuck_cap;
    uint64_t *roomless; /* generations of groups for which there was no room: others may be converted, and make some */
    size_t roomless_count, roomless_cap;
    unsigned room_made;     /* how often room was made since something found it */
    uint64_t *fixed; /* generations of groups whose columns find no room where free space is to become even */
    size_t fixed_count, fixed_cap;
    /* Progress (care_work.c). */
    struct sfs_care_progress *progress;
    size_t progress_count, progress_cap;
    unsigned active;       /* the task that is worked on; 0: none */
    uint64_t column_total, column_done; /* of the column that is on its way */
    uint16_t column_to;                 /* the member that it goes to; 0: none is on its way */
    struct sfs_care_pass *pass; /* NULL: nobody goes over the groups just now */
    struct sfs_after after; /* as last foretold, */
    uint64_t after_key;     /* when the pool was like this; 0: it has to be foretold anew */
    uint64_t balance_left, balance_at;  /* what is to be moved for evenness, and the commit after which that was found */
    bool balance_known;
    uint64_t pace_ns;       /* until then the rate is used up */
    struct sfs_care_range *lost; /* to be looked up */
    size_t lost_count, lost_cap;
    struct sfs_map lost_ids; /* the extents that are known to be lost (care_lost.c) */
    struct sfs_lost_since {
        uintptr_t scrubs; /* how many have begun */
        bool here;        /* the last of them since the pool was opened */
        uint64_t unnamed; /* found lost since, and not among lost_ids */
    } lost_since;
    bool lost_unnamed;       /* others than when their files were named */
    uint64_t *unsafe; /* extents that can be read, in rows that cannot be put right: nothing bears the loss of a disk there */
    size_t unsafe_count, unsafe_cap;
    uint64_t lost_nodes; /* of the map and the space tree */
    int lost_unsure;     /* why some range was not noted, or something in one could not be judged, since ranges were looked through */
    struct sfs_disk **wipe; /* of members that were dropped */
    size_t wipe_count, wipe_cap;
    uint64_t scrub_saved_ns, scrub_applied;
    struct sfs_meter meter;
    uint64_t speed; /* the last rate that there was, as fast as it can */
};

/* --- care.c --- */
/* One small piece of the work that is there to do; false: nothing could be done. unlocked. Tests drive a store without
 * background by it. */
bool sfs_care_step(struct sfs_store *s);
bool sfs_care_stops(struct sfs_care *care); /* the store is closing. unlocked */
bool sfs_care_halts(struct sfs_care *care); /* the same, or what is being done is paused. unlocked */
/* Something changed that the task should look at. locked. */
void sfs_care_wake(struct sfs_store *s);
const char *sfs_care_blocked(const struct sfs_care *care, uint16_t member); /* NULL: not. locked */
void sfs_care_block(struct sfs_care *care, uint16_t member, const char *reason); /* locked */
void sfs_care_moved(struct sfs_care *care, uint64_t moved, uint64_t done); /* for the speed: see care_meter.h. unlocked */

/* --- care_work.c: locked --- */
void sfs_care_begin(struct sfs_care *care, unsigned task); /* what comes now belongs to it */
void sfs_care_did(struct sfs_care *care, uint64_t bytes);  /* of it */
/* A column is on its way, so far along it; it arrived, or did not. */
void sfs_care_column_begin(struct sfs_care *care, uint64_t total, uint16_t to);
void sfs_care_column_end(struct sfs_care *care, bool arrived);
/* The task for which the first column of the group that has to is to go elsewhere; 0: none has to. */
unsigned sfs_care_moves_for(struct sfs_pool *pool, const struct sfs_group *g);
/* Why the work on a member (0: on groups) cannot go on; NULL: it can. */
const char *sfs_care_why_blocked(struct sfs_store *s, uint16_t member);
/* What the wish has to move, in bytes. */
uint64_t sfs_care_to_move(struct sfs_care *care);
size_t sfs_care_list(struct sfs_store *s, struct scalefs_task_status *tasks, size_t cap);
/* Between the parts of a long step: packs a log that waits for it. CANCELED: the store is closing. unlocked */
int sfs_care_breathe(struct sfs_care *care);
bool sfs_care_pack(struct sfs_store *s); /* the next closed log. unlocked */

/* --- care_drain.c: locked --- */
/* The members that may get column c of the group (k + m: one more), best first; at most `cap`. */
size_t sfs_care_targets(struct sfs_pool *pool, const struct sfs_group *g, unsigned c, uint16_t *out, size_t cap);

/* --- care_after.c: locked --- */
void sfs_care_after(struct sfs_care *care, struct sfs_after *after);
/* As it was told last, if nothing that matters has changed since. */
const struct sfs_after *sfs_care_after_known(struct sfs_care *care);

/* --- care_order.c, care_drain.c, care_convert.c: what differs from the wish --- */
/* What is wanted of a group, in the order of care for groups with as much redundancy left. */
enum sfs_want_kind {
    SFS_WANT_DROP, /* a parity column that is too much; before all else */
    SFS_WANT_REBUILD, /* a column that is gone */
    SFS_WANT_ADD,
    SFS_WANT_EMPTY,
    SFS_WANT_MOVE, /* a column that is whole */
    SFS_WANT_WIDTH /* after all else */
};
/* A column that leaves this member goes elsewhere, or if that cannot be its group has to be emptied (only if it `empties`). CHANGED: it has gone; EXIST: the group is to be
 * emptied (sfs_care_convert); CORRUPT: it cannot be; BUSY, NOSPC, SUSPENDED, CANCELED. unlocked */
int sfs_care_move_away(struct sfs_care *care, uint32_t group, uint64_t generation, unsigned c, uint16_t member, bool empties);
/* Nothing is left of what this member was to give away: it leaves the pool, or is as it is wished. unlocked */
int sfs_care_emptied(struct sfs_care *care, uint16_t index);
void sfs_care_wipe_dropped(struct sfs_care *care); /* unlocked */
/* Is something other than a move wanted of this group, and can it be tried now? What is to be emptied takes nothing any more from here on.
 * locked */
bool sfs_care_may_convert(struct sfs_care *care, struct sfs_group *g, enum sfs_want_kind *kind);
/* That is done, or a part of it. False: it cannot be, just now. unlocked */
bool sfs_care_convert(struct sfs_care *care, uint32_t group, uint64_t generation);
void sfs_care_converted(struct sfs_care *care); /* nothing more can be, until something changes or after a while. locked */

/* The members that may take column c of the group (k + m: one more) are full: another column moves on from one of them, to where there is
 * room. CHANGED: there is room now; NOSPC: there is no way. unlocked (care_drain.c) */
int sfs_care_make_way(struct sfs_care *care, uint32_t group, unsigned c);

/* --- care_wish.c: locked --- */
/* Members that are not to leave, absent ones too; those of them that may carry columns of the class. */
unsigned sfs_care_staying(const struct sfs_pool *pool);
unsigned sfs_care_staying_for(const struct sfs_pool *pool, enum sfs_class class);
/* All of a pool that a wish may change. A change is tried: remembered, made in memory, judged, taken back or recorded. */
struct sfs_wish_all {
    struct sfs_config_record config;
    struct {
        uint16_t index, replaced_by;
        uint8_t wish, paused, role;
        uint64_t wanted_size;
    } of_member[SFS_DISKS_MAX]; /* by slot */
};
void sfs_wish_remember(const struct sfs_pool *pool, struct sfs_wish_all *w);
/* The wishes as they were; counters that have gone on stay. */
void sfs_wish_take_back(struct sfs_pool *pool, const struct sfs_wish_all *w);
int sfs_wish_may(struct sfs_pool *pool, struct scalefs_error_info *info); /* ROFS, SUSPENDED */
/* Would the pool, as it is wished now, hold what it has to hold? `less` is how the user asks for a lower failover. TOO_FEW, NOSPC. */
int sfs_wish_fits(struct sfs_store *s, const char *less, struct scalefs_error_info *info);
/* A wish that memory alone can hold, made: what a verb and its plan have in common. On an error something may have been made, which the
 * caller takes back. Errors with a sentence. */
int sfs_wish_make(struct sfs_store *s, const struct sfs_change *c, struct scalefs_error_info *info);
int sfs_wish_resize(struct sfs_store *s, const struct sfs_change *c, struct scalefs_error_info *info); /* care_resize.c */
int sfs_wish_may_join(struct sfs_store *s, struct sfs_disk *const *disks, size_t count, uint8_t role,
                      struct scalefs_error_info *info);
int sfs_wish_may_replace(struct sfs_store *s, uint16_t old_index, const struct sfs_disk *disk, struct scalefs_error_info *info);
/* The wish becomes durable, or is taken back. locked, gives up the lock */
int sfs_wish_record(struct sfs_store *s, const struct sfs_wish_all *before, struct scalefs_error_info *info);
/* Is what is wished in memory what a record tells of? Nothing is moved for a wish that may be taken back, and nothing may be put on members that
 * only join. locked */
bool sfs_wish_holds(const struct sfs_store *s);

/* --- care_resize.c: unlocked --- */
/* Nothing stands behind the end that is wanted: the member's size follows. */
int sfs_care_shrunk(struct sfs_care *care, uint16_t index);
/* Labels that tell another size are written again; what devices have grown by is used. False: nothing was to be done. */
bool sfs_care_sizes_step(struct sfs_care *care);

/* --- care_loss.c --- */
/* What it would mean that all members of `set` (bits by slot) went now. locked */
enum scalefs_loss sfs_care_loss_of(struct sfs_pool *pool, const uint64_t set[SFS_DISKS_MAX / 64], uint64_t *bytes);

/* --- care_control.c --- */
/* Is this task to wait? locked */
bool sfs_care_paused(const struct sfs_pool *pool, unsigned task);
/* After `bytes` of a change that took since `began_ns`: waits as long as the rate asks for, and gives others their turn. unlocked */
void sfs_care_pace(struct sfs_care *care, uint64_t bytes, uint64_t began_ns);
/* Have others used the disks lately? unlocked */
bool sfs_care_others(struct sfs_care *care);

/* --- care_state.c: locked --- */
/* Does this member's content have to go elsewhere? */
bool sfs_care_drains(const struct sfs_member *m);
/* Does it stay, but give up some of its columns: what stands behind the end that is wanted, or data from a metadata disk? */
bool sfs_care_sheds(struct sfs_pool *pool, const struct sfs_member *m);
/* The task that takes columns off this member, which drains or sheds. */
unsigned sfs_care_task_of(const struct sfs_member *m);
/* Is this column to go elsewhere: all of its member's, or one that it sheds? */
bool sfs_care_must_go(struct sfs_pool *pool, const struct sfs_group_record *g, unsigned c);
bool sfs_care_has_column(const struct sfs_group_record *g, uint16_t member);
/* Is a column of it gone, and to be rebuilt? Not, if its disk is only absent. */
bool sfs_care_lacks(struct sfs_pool *pool, const struct sfs_group_record *g);
/* How many more disks may go before this group is lost. */
unsigned sfs_care_spare(struct sfs_pool *pool, const struct sfs_group *g);
/* About how many live bytes one column of the group holds. */
uint64_t sfs_care_column_live(const struct sfs_group *g);

/* --- care_rows.c --- */
/* The states of all rows of a data, metadata or system group; free with sfs_free. NOENT: no such group any more. unlocked */
int sfs_care_states(struct sfs_store *s, const struct sfs_group_record *g, struct sfs_row_state **states);
/* Pins the row when it is live; then what lies there is written and stays. Every node that is read by its place and not by its id
 * is pinned so: its row counts as live before it is written, and when the checkpoint that gave it the place failed; a row
 * with nothing in it is not live here. Waits for a checkpoint that writes it just now. unlocked; afterwards sfs_care_unpin. */
int sfs_care_pin_live(struct sfs_store *s, const struct sfs_group_record *g, uint32_t row, bool *live);
void sfs_care_unpin(struct sfs_store *s, const struct sfs_group_record *g, uint32_t row);
/* Holds the group, so that it is not freed. CHANGED: it is gone; NOMEM. unlocked */
int sfs_care_hold(struct sfs_store *s, const struct sfs_group_record *g);
void sfs_care_release(struct sfs_store *s, const struct sfs_group_record *g);
/* Is the image of a live data row what the row holds now? (See `doubtful`.) CORRUPT: it is not; SUSPENDED: nor is it that an absent disk may
 * have; others: it cannot be told. unlocked */
int sfs_care_row_genuine(struct sfs_store *s, const struct sfs_row_image *im);
/* Does something that this summary lists, with its blocks in `bytes`, live where it says? NOENT: nothing does; others: it cannot be told. unlocked */
int sfs_care_lives(struct sfs_store *s, const struct sfs_summary *sum, const uint8_t *bytes);
bool sfs_care_passes(int err); /* says nothing of what lies on the disks: it is asked again later */

/* Calls `each` (unlocked) for rows[from … to), several at once, with at most `run` rows that follow each other; stops at the
 * first error. */
struct sfs_care_sweep {
    struct sfs_care *care;
    const struct sfs_group_record *group;
    const uint32_t *rows;
    size_t next, end;
    uint32_t run; /* 0: one */
    int (*each)(void *context, uint32_t row, uint32_t count);
    void *context;
    int error;
};
int sfs_care_sweep(struct sfs_care_sweep *sweep, size_t from, size_t to);

/* --- scrub_place.c: locked --- */
void sfs_scrub_forget(struct sfs_care *care); /* another scrub begins, or none */
struct sfs_scrub_piece {
    struct sfs_group_record g;
    uint32_t row;
    bool live, there, missed; /* something lives in it; all its disks are there; it is gone over again */
    bool unread;              /* set by who reads: some of it could not be, though they are */
    uint64_t comings;
};
/* What is to be read next; false: there is nothing that could be. */
bool sfs_scrub_next(struct sfs_care *care, struct sfs_scrub_piece *piece);
/* The group was read up to that row, with so much of it lost: the place moves on, also the one that is recorded. NOMEM: it does not.
 * SUSPENDED: it cannot be read now, whatever is there. */
int sfs_scrub_did(struct sfs_care *care, const struct sfs_scrub_piece *piece, uint32_t row, uint64_t lost);
/* A member whose head has not been looked at, from now on it has; unless it was missed. */
bool sfs_scrub_next_head(struct sfs_care *care, uint16_t *index);
void sfs_scrub_head_missed(struct sfs_care *care, uint16_t index, int why);
bool sfs_scrub_is_whole(struct sfs_care *care); /* all was read */
/* All was read but what lies on absent disks: why (may be NULL) says so. */
bool sfs_scrub_waits(struct sfs_care *care, char *why, size_t size);

/* --- care_fix.c: unlocked --- */
struct sfs_care_fix {
    uint64_t bytes;    /* read */
    unsigned repaired; /* rows and batches of which something was wrong and is right again */
    unsigned waits;    /* cannot be read without the absent disks */
    unsigned failed;   /* could not be written back */
    unsigned unsure;   /* could not be read or looked up, whyever: nothing is known of it */
    bool strict;       /* what verifies is right only when something of it lives there: an older write may have come back */
};
/* Verifies one row (not of a log) and puts right what can be; what is lost is noted in care->lost. Adds to *fix. */
int sfs_care_fix_row(struct sfs_care *care, const struct sfs_group_record *g, uint32_t row, struct sfs_care_fix *fix);
/* Verifies the batch at *at of a log, or passes over a block that begins none; moves *at on. `quiet`: nobody writes the log any
 * more, so what is no batch may be a lost one, and what nothing refers to is mended, too. */
int sfs_care_fix_log(struct sfs_care *care, const struct sfs_group_record *g, uint64_t *at, bool quiet, struct sfs_care_fix *fix);
/* The same for all rows of a group that were written after `since`, or for a log up to `end`; the group is held. Of a log `strict` means that
 * nobody writes it. `between` is called now and then, with the bytes of one column since the last time; its error ends it. */
int sfs_care_fix_since(struct sfs_care *care, const struct sfs_group_record *g, uint64_t since, uint64_t end,
                       int (*between)(struct sfs_care *care, uint64_t bytes), struct sfs_care_fix *fix);
/* The header of a column is written again; of a sequential group that cannot be: all that lives in it goes elsewhere. */
int sfs_care_mend_header(struct sfs_store *s, const struct sfs_group_record *g, unsigned c);
/* *best: the copy of an image of one node that is the right one, or -1. Errors: it cannot be told. */
int sfs_care_best_node(struct sfs_store *s, const struct sfs_row_image *image, int *best);
/* The length of the batch at `at`, and its right copy in the image (free it), or -1. NODATA: no batch begins there. */
int sfs_care_read_batch(struct sfs_store *s, const struct sfs_group_record *g, uint64_t at, struct sfs_row_image *image,
                        int *best, uint32_t *length);

/* --- care_lost.c: unlocked --- */
void sfs_care_note_lost(struct sfs_care *care, uint32_t group, uint64_t offset, uint64_t length);
/* No copy of the node is right. When it is in the cache it becomes dirty, so that the next checkpoint writes it elsewhere: *saved.
 * Otherwise it is noted. Errors: it cannot be told, and is not noted. */
int sfs_care_node_gone(struct sfs_care *care, struct sfs_place place, uint8_t class, bool *saved);
/* Looks for live extents in the ranges noted, tries each once more, counts and names those that are lost. Errors: of some it cannot be told
 * whether they are. */
int sfs_care_count_lost(struct sfs_care *care, uint64_t *lost);
int sfs_care_any_lost(struct sfs_care *care, bool *lost); /* the same for what is not committed: not counted or named, and more than to be readable is asked */
/* This one is lost: it is counted, logged, and its file named when all else is done; once. */
void sfs_care_lost_extent(struct sfs_care *care, uint64_t id, const struct sfs_extent *e);
bool sfs_care_unsafe_step(struct sfs_care *care); /* what was found beside lost extents goes to better rows */
/* A scrub begins; one has read everything: only what was found lost since its beginning is. locked */
void sfs_care_lost_begin(struct sfs_care *care);
/* How much was found lost since, each once, also what moved and was found anew. `counted`: as the scrub counted, which is all that is known
 * of one that began before the opening. locked */
uint64_t sfs_care_lost_now(const struct sfs_care *care, uint64_t counted);
void sfs_care_lost_end(struct sfs_care *care);
bool sfs_care_name_step(struct sfs_care *care); /* whose they are: when all else is done, and they are others than before */

/* All nodes from the root to this one of the extent map or the space tree become dirty. NOENT: the tree has nothing there any more. locked,
 * gives up the lock. */
int sfs_care_dirty_path(struct sfs_store *s, struct sfs_need *need, uint32_t tree, const uint8_t *page);

/* --- column.c: unlocked --- */
/* Column c of the group goes to another member. Of `g` only number and generation count. OK; CHANGED (nothing to do any more), BUSY (rows in flight), NOSPC, SUSPENDED
 * (absent disks are needed), CANCELED, or what went wrong: then nothing has changed. `later`: it is not waited for that a record tells of it; what comes
 * free is not wanted. */
int sfs_column_move(struct sfs_care *care, const struct sfs_group_record *g, unsigned c, uint16_t to, bool later);
/* The group gets one parity column more, on member `to`; its last column is given up. Errors as above. */
int sfs_column_add(struct sfs_care *care, const struct sfs_group_record *g, uint16_t to);
int sfs_column_drop(struct sfs_care *care, const struct sfs_group_record *g);

/* --- steps: unlocked; false: nothing could be done --- */
bool sfs_care_away_step(struct sfs_care *care);
bool sfs_care_owed_step(struct sfs_care *care);
bool sfs_care_prove_step(struct sfs_care *care); /* the only one while the pool is suspended */
bool sfs_care_order_step(struct sfs_care *care);
bool sfs_care_quorum_step(struct sfs_care *care); /* the pool may be without as many disks as is wished (care_wish.c) */
bool sfs_care_balance_step(struct sfs_care *care);
bool sfs_care_scrub_step(struct sfs_care *care);

/* A column finds no room: makes some where it is scarcest. False: there is nothing to gain. unlocked */
bool sfs_care_make_room(struct sfs_care *care);

/* How many more disks may go with nothing lost, a cut included. locked */
unsigned sfs_care_failures_left(struct sfs_store *s);
/* Parity columns that groups of this class are to have at least: what the members that are there can give. locked */
unsigned sfs_care_parity(const struct sfs_pool *pool, uint8_t class);
/* Is this group not what is wished? *bytes (may be NULL): what has to be written for it to be. locked */
bool sfs_care_converts(const struct sfs_care *care, const struct sfs_group *g);
/* Around a look at many groups, without giving up the lock. */
void sfs_care_pass_begin(struct sfs_care *care, struct sfs_care_pass *pass);
void sfs_care_pass_end(struct sfs_care *care, struct sfs_care_pass *pass);
/* What becomes of a group that is not what is wished: all that lives in it is written anew, or it gets so many parity columns more. locked */
struct sfs_care_fate {
    bool anew;
    int parity;
};
struct sfs_care_fate sfs_care_fate_of(const struct sfs_care *care, const struct sfs_group *g);
bool sfs_care_parity_over(struct sfs_pool *pool, const struct sfs_group *g); /* its last column is one too many. locked */
bool sfs_care_convert_bytes(const struct sfs_care *care, const struct sfs_group *g, uint64_t *bytes);
/* Columns that will move to disks of their role and, after a change of the wish, until free space is even. locked */
uint64_t sfs_care_balance_bytes(struct sfs_care *care);
bool sfs_care_has_roles(const struct sfs_pool *pool); /* is there a usable disk that is not for data? locked */

#endif
