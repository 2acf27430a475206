/* The pool: members, groups, rows, the table and the commit record. No trees: src/store is above.
 *
 * ONE CORE LOCK. `pool->lock` guards everything in memory of pool, store and tree. It is held for
 * memory work only, NEVER across device I/O or waiting. Calls below say "locked" (caller holds it) or
 * "unlocked" (caller must not hold it; the call does I/O and takes the lock itself where needed).
 *
 * I/O works on copies: a caller takes what it needs of a group (sfs_group_copy) under the lock and does
 * its I/O without. The disk of a member that fails goes to `retired` and is closed when all calls of this room that
 * began before have ended (so that the same file or device can be opened again). Pointers to disks are
 * therefore not kept above this room.
 *
 * TXN. pool->txn is the number of the checkpoint being gathered; pool->committed the last one that is
 * durable on every online disk. What is freed in txn T (row, column, table slot) may be used again when
 * committed >= T + SFS_REUSE_AFTER, so that the last records stay openable.
 *
 * OWED ROWS are derived: a row is owed on a member when !member->complete and
 * row.txn > member->record.flushed_txn.
 */
#ifndef SFS_POOL_POOL_H
#define SFS_POOL_POOL_H

#include "disk/disk.h"
#include "format/format.h"

#define SFS_REUSE_AFTER 2u
#define SFS_TXN_JUMP (1ull << 20)
#define SFS_ID_JUMP (1ull << 24)
/* With zoned disks room for so many groups of nodes is never given to data. */
#define SFS_SPARE_NODE_GROUPS 4u
#define SFS_ROW_TARGET_BYTES (512u << 10)
#define SFS_ROW_LEAST_BYTES (256u << 10)
/* No extent is longer, stored, than what the least row holds beside its summary. */
#define SFS_EXTENT_MOVABLE (SFS_ROW_LEAST_BYTES - SFS_BLOCK)

struct sfs_member {
    struct sfs_disk_record record; /* record.index is its place in pool->members */
    struct sfs_disk *disk;         /* NULL: absent */
    bool used;                     /* this slot of pool->members holds a member */
    bool unnamed;                  /* no durable record names it yet: nothing is put on it, so that it can be taken back */
    bool staying;                  /* leaves, but its heir is unnamed: it takes its place in new groups until then */
    bool complete;                 /* holds all up to the last commit; flushed_txn is then not looked at */
    uint64_t *atom_used;           /* bitmap: allocated or not yet reusable */
    uint32_t limit;                /* atoms below it may be given out: fewer than there are while it is to become smaller */
    uint32_t free_atoms;           /* below the limit */
    int64_t left;                  /* bytes of it that new groups may take, where that is foretold (pool->foretold) */
    bool stale_label;              /* its labels tell another size */
    bool damaged_label;            /* a copy of it was found damaged */
    bool dirty;                    /* its DISK record changed */
    unsigned comings;              /* rises each time it comes back */
    uint64_t missed;               /* it went, or was away, since the last commit: what was written since may not be on it. When
                                      (pool->misses); 0: it was there */
};

struct sfs_group {
    struct sfs_group_record record;
    struct sfs_count_record count; /* live, write_row, used_rows, last_txn */
    uint8_t *bitmap;               /* system groups: one bit per live row; NULL otherwise */
    /* Row states, loaded by the store while rows are handed out (system groups: always; made from the
     * bitmap at opening, txn 0). NULL: not loaded. */
    struct sfs_row_state *rows;
    uint32_t cursor;               /* where the search for a free row goes on */
    uint32_t in_flight;            /* rows taken and not yet written or given back; and: */
    uint32_t pins;                 /* rows that the store holds still, not to be written but mended */
    bool packing;                  /* a log that is being read to be moved: one of in_flight, and nothing is written for it */
    bool allocating;               /* rows are being handed out from it */
    bool fresh;                    /* its column headers are not yet written: nothing is wrong with them */
    bool moving;                   /* a column is being moved: takes no new rows */
    /* Sequential groups only (sequential.c). Those found at opening are closed: their zones may have got unequally far. */
    bool closed;                   /* takes no new rows */
    bool torn;                     /* nor ever will: a row may be missing, or a zone have got less far */
    uint64_t missed;               /* columns whose disk was away for some time since the group was made */
    bool anew;  /* what lives in it will be written elsewhere, as last foretold (store/care_after.c) */
    bool spare; /* of nodes, holds none yet, and stays nevertheless */
    uint32_t promised;             /* rows that somebody gathers data for and that have no number yet */
    uint32_t turn;                 /* the row that is to be sent next */
    const void *sender;            /* who is sending now; NULL: nobody */
    uint32_t static_page, count_page; /* table pages that hold its records */
    void *store;                   /* free for the store */
};

/* A freed column waits here until SFS_REUSE_AFTER commits have passed. */
struct sfs_pending_free {
    uint16_t disk;
    uint32_t atom, atoms;
    uint64_t txn;
};

/* A disk that left its member. A grace period begins when all calls of the other epoch have ended. */
struct sfs_retired {
    struct sfs_disk *disk;
    enum { SFS_RETIRED_HELD, SFS_RETIRED_WAITS, SFS_RETIRED_GRACE, SFS_RETIRED_IDLE } stage;
};

struct sfs_table;     /* table.c */
struct sfs_room_memo; /* space.c */

#define SFS_SPARE_PARITY 8u

struct sfs_pool {
    struct sfs_env *env;
    struct sfs_mutex lock;
    bool read_only;
    struct sfs_uuid uuid;
    struct sfs_config_record config;
    bool config_dirty;
    struct sfs_member members[SFS_DISKS_MAX]; /* by slot; index -> slot by sfs_member_of */
    unsigned member_count;                    /* slots in use are [0, member_count) */
    struct sfs_group **groups;                /* by group number; NULL where there is none */
    uint32_t group_cap;
    struct sfs_cond turns;                    /* with `lock`: some group's turn passed */
    struct {                                  /* memory of rows' parity that is used again (rows.c) */
        uint8_t *bytes;
        size_t len;
    } parity[SFS_SPARE_PARITY];
    unsigned parity_count;
    uint64_t txn, committed, seq, next_id, tenure, host;
    uint8_t failover_told;                    /* of the newest durable record */
    uint8_t failover_known;                   /* a record with this failover is durable on all members */
    struct sfs_commit last;                   /* the newest durable record */
    uint64_t rows_reused;                     /* rows (and zones) handed out that had been freed before; for tests */
    struct sfs_task_record scrub;             /* id 0: none */
    bool suspended;                           /* `waits` or `cut_off` */
    bool waits;                               /* too many members are absent for the data */
    /* More members than the data bears went, at once or one after the other, while writes were not flushed: they may have lost them with their
     * caches, so no state that needs those writes may be committed before they are found to be there (sfs_pool_proved), or
     * the pool was opened anew, from the last record, which needs none of them. */
    bool cut_off;
    uint64_t writes, writes_durable;          /* rows and copies: written; written before the last flush of all members */
    uint64_t suspensions;                     /* how often too many members went */
    uint64_t misses;                          /* how often some member may have missed what was written */
    char suspended_why[256];
    struct sfs_pending_free *pending;
    size_t pending_count, pending_cap;
    struct sfs_tenure_record tenures[64];     /* oldest first */
    unsigned tenure_count;
    struct sfs_table *table;
    bool foretold; /* of the members: what will be free when all is as it is wished */
    struct sfs_room_memo *room_memos; /* NULL: nothing was counted yet */
    /* Disks that members no longer use; closed as soon as no call of the pool can still be using them. */
    struct sfs_retired *retired;
    size_t retired_count, retired_cap;
    unsigned io_epoch;                        /* 0 or 1: calls that begin now count in io_active[io_epoch] */
    uint32_t io_active[2];
    /* Called (unlocked) when a member disappears or its errors change; may be NULL. */
    void (*on_member_change)(void *context);
    void *on_member_change_context;
};

/* --- make, open, close (create.c, open.c) : unlocked ----------------------------------------------- */
struct sfs_pool_format {
    const char *name;
    uint8_t failover, optimize;
    const uint8_t *roles; /* NULL: all for data */
    const char *const *stations; /* NULL or one per disk (entries may be NULL) */
};
/* Writes a new, empty pool on disks that the caller has checked and opened exclusively. The order of
 * writing is such that a cut leaves either no pool or the whole one. TOO_SMALL, TOO_FEW, INVAL. */
int sfs_pool_format(struct sfs_env *env, struct sfs_disk *const *disks, size_t count,
                    const struct sfs_pool_format *how, struct sfs_uuid *uuid,
                    struct scalefs_error_info *info);

/* How much a pool of such disks could hold, without making it: `usable` as sfs_groups_capacity. Errors as above. */
int sfs_pool_sketch(struct sfs_env *env, const uint64_t *sizes, size_t count, const struct sfs_pool_format *how, uint64_t *usable,
                    struct scalefs_error_info *info);

/* Reads what a disk says of itself. NOT_A_POOL, VERSION, CORRUPT (no copy of the label is whole), IO.
 * `newest` (may be NULL): its newest valid commit record; *has_record false when there is none. */
int sfs_pool_identify(struct sfs_env *env, struct sfs_disk *disk, struct sfs_label *label,
                      struct sfs_commit *newest, bool *has_record);

struct sfs_pool_open {
    bool read_only, degraded, other_host;
    uint64_t host;                      /* hash of this computer's id; 0: do not ask about hosts */
    const struct sfs_uuid *keep_disk;   /* NULL, or: the half that this disk belongs to */
    /* Extra test of a record before it is believed (the store checks that its roots can be read): not OK
     * makes the opening go back to the record before. May be NULL. Called unlocked. */
    int (*probe)(void *context, struct sfs_pool *pool);
    void *probe_context;
};
/* Takes the disks (closes them with the pool, and on failure too). Opens the newest provable state; unless
 * read-only, jumps txn and next_id ahead, begins a tenure and re-commits the record on all members before
 * it returns. Errors as in scalefs_pool_open, each with its sentence. */
int sfs_pool_open(struct sfs_env *env, struct sfs_disk **disks, size_t count,
                  const struct sfs_pool_open *how, struct sfs_pool **pool,
                  struct scalefs_error_info *info);
/* Closes disks and frees memory. Commits nothing. */
void sfs_pool_close(struct sfs_pool *pool);

/* --- members (members.c) ---------------------------------------------------------------------------- */
struct sfs_member *sfs_member_of(struct sfs_pool *pool, uint16_t index);          /* locked; NULL: none */
unsigned sfs_members_online(const struct sfs_pool *pool);                          /* locked */
/* Those that are away and may come back. locked */
unsigned sfs_members_absent(const struct sfs_pool *pool);
/* Is the member one that new columns may be put on? locked */
bool sfs_member_usable(const struct sfs_member *m);
/* The same for columns of groups of that class: data keeps off metadata disks. locked */
bool sfs_member_takes(const struct sfs_member *m, enum sfs_class class);
static inline bool sfs_member_failed(const struct sfs_member *m)
{
    return m->record.wish == SFS_WISH_FAILED;
}
/* All that was written before too many members went was found where it should be: the pool goes on. locked */
void sfs_pool_proved(struct sfs_pool *pool);
/* A device error was seen. IO on reads only counts; GONE, or any failed write, takes the member offline: presence
 * ABSENT, complete = false, flushed_txn = committed, all its I/O answers GONE. Also recomputes `suspended`. unlocked. */
void sfs_member_error(struct sfs_pool *pool, struct sfs_disk *disk, enum sfs_io_op op, int error);
void sfs_member_checksum_error(struct sfs_pool *pool, uint16_t index);             /* unlocked */
int sfs_member_offline(struct sfs_pool *pool, uint16_t index, struct scalefs_error_info *info);  /* unlocked */
/* An absent member is back at `disk` (label checked here; the pool owns the disk on success). It is online for
 * writing at once, and incomplete until the store has paid its owed rows. unlocked. */
int sfs_member_online(struct sfs_pool *pool, struct sfs_disk *disk, struct scalefs_error_info *info);
/* A new, empty disk joins (wish JOIN) with a new index; label written and flushed before the return. It is `unnamed` until the
 * caller, after a commit, says otherwise. unlocked. */
int sfs_member_add(struct sfs_pool *pool, struct sfs_disk *disk, const char *station, uint8_t role, uint16_t *index,
                   struct scalefs_error_info *info);
/* The member is for something else from now on; its labels follow (`stale_label`). locked */
void sfs_member_set_role(struct sfs_member *m, uint8_t role);
/* Bytes for columns that the disk would have as a member. TOO_SMALL; NOTSUP: its zones do not fit the pool's. locked. */
int sfs_disk_room(struct sfs_pool *pool, const struct sfs_disk *disk, uint64_t *bytes);
/* Atoms that a disk of this size has behind the member's head; 0: it is too small. */
uint32_t sfs_member_atoms_of(const struct sfs_member *m, uint64_t size);
/* From now on columns are to end within what a disk of this size has, at most record.size. locked */
void sfs_member_want(struct sfs_member *m, uint64_t size);
bool sfs_member_shrinks(const struct sfs_member *m);                     /* locked */
/* Does the column end behind the limit? locked */
bool sfs_column_beyond(struct sfs_pool *pool, const struct sfs_group_record *g, unsigned c);
/* Nothing stands behind the limit, now or in a record that may be opened. locked */
bool sfs_member_end_free(const struct sfs_pool *pool, const struct sfs_member *m);
/* The member's size becomes what is wanted (all columns end there), or a larger one that the device has. Its labels are `stale_label`
 * then: sfs_member_check_head, with repair, after a commit. NOMEM. locked */
int sfs_member_set_size(struct sfs_pool *pool, struct sfs_member *m, uint64_t size);
uint64_t sfs_member_used(const struct sfs_member *m);                    /* bytes of columns. locked */
/* A member that is nowhere, for a plan: under the lock nobody sees it. Of `disk` only info is looked at. Forgotten before the lock is given
 * up. TOOBIG: there are as many members as can be; TOO_SMALL, NOTSUP, NOMEM. locked */
int sfs_member_pretend(struct sfs_pool *pool, struct sfs_disk *disk, const char *station, uint8_t role, uint16_t *index);
void sfs_member_forget(struct sfs_pool *pool, uint16_t index);
/* Bytes a second of a few reads; 0: it cannot be told. unlocked */
uint64_t sfs_member_speed(struct sfs_pool *pool, uint16_t index);
/* Looks at the device again: how large it is now. GONE, NOENT. unlocked */
int sfs_member_measure(struct sfs_pool *pool, uint16_t index, uint64_t *bytes);
/* Forgets a member that holds no column. Its label is wiped when the disk is there and `committed` no longer needs
 * it (call after the commit). locked for the first, unlocked for the second. */
void sfs_member_drop(struct sfs_pool *pool, uint16_t index);
void sfs_member_wipe(struct sfs_pool *pool, struct sfs_disk *disk);

/* --- groups (groups.c) -------------------------------------------------------------------------------- */
struct sfs_group *sfs_group_of(struct sfs_pool *pool, uint32_t group);             /* locked; NULL: none */
bool sfs_group_copy(struct sfs_pool *pool, uint32_t group, struct sfs_group_record *copy); /* takes the lock itself: unlocked */
/* How many failures groups must bear: as is wished, and as the newest durable record says while it says more. A lower wish that
 * cannot be recorded is taken back; until then nothing is made or given up for it. locked */
unsigned sfs_groups_failover(const struct sfs_pool *pool);
/* Chooses columns by the placement function (sfs_member_usable), allocates atoms, makes the group in
 * memory, not yet `allocating`. NOSPC when there is no room: data and landing groups leave the reserve (room for one
 * metadata, one system and one cleaner group) alone but for those who clean; groups of data leave alone what is meant for a change, too
 * (sfs_groups_foretold). Nodes, and data that was accepted, go to disks that leave rather than nowhere. locked. */
enum sfs_group_for { SFS_FOR_WRITERS, SFS_FOR_ACCEPTED, SFS_FOR_CLEANERS };
int sfs_group_make(struct sfs_pool *pool, enum sfs_class class, enum sfs_group_for whom, struct sfs_group **group);
/* What a new data group would be now. NOSPC. locked */
int sfs_group_would_be(struct sfs_pool *pool, unsigned *k, unsigned *m);
/* Writes the column headers (all columns in one batch). Must be done before the first row is written. unlocked. */
int sfs_group_write_headers(struct sfs_pool *pool, uint32_t group);
/* The group holds nothing live: its atoms go to `pending`, its number becomes free. live and in_flight must be 0. locked. */
void sfs_group_free(struct sfs_pool *pool, struct sfs_group *group);
/* True when every column's disk is present (a catching-up member counts as present). locked. */
bool sfs_group_whole(struct sfs_pool *pool, const struct sfs_group *group);
bool sfs_group_bears(struct sfs_pool *pool, const struct sfs_group *group); /* locked: no more columns are away than it has parity */
/* A row whose state is dead, whose freeing is old enough; marks it taken (in_flight++, txn = now). SFS_E_NOSPC when the
 * group has none; rows must be loaded. Sequential groups hand out write_row, write_row + 1 … only. locked. */
int sfs_group_take_row(struct sfs_pool *pool, struct sfs_group *group, uint32_t *row);
/* The same for a row that is filled before it is written: of a sequential group it gets its number at the end, so that rows are
 * sent in their order and one that stays empty is no hole. SFS_NONE32: sfs_group_number_row is to be called before it is
 * written (CHANGED: the group takes no rows any more), sfs_group_unpromise_row when it is not. locked. */
int sfs_group_promise_row(struct sfs_pool *pool, struct sfs_group *group, uint32_t *row);
int sfs_group_number_row(struct sfs_pool *pool, struct sfs_group *group, uint32_t *row);
void sfs_group_unpromise_row(struct sfs_pool *pool, struct sfs_group *group);
/* Rows that can still be handed out, now or once they were dead for long enough. locked. */
uint32_t sfs_group_room(const struct sfs_group *group);
/* A group of nodes on zoned disks that has not been begun: it waits, since to free it would make its zones wait. locked. */
bool sfs_group_unused(const struct sfs_group *group);
/* Of a sequential group each row that was taken must be written, in this order; whoever cannot closes the group. Calls
 * that write wait for those that took earlier rows. locked. Does nothing to other groups. */
void sfs_group_close(struct sfs_pool *pool, struct sfs_group *group);
/* The rows from `row` on, all of one call or none, were handed out and never sent: they will be handed out again. locked. */
void sfs_group_take_back(struct sfs_pool *pool, struct sfs_group *group, uint32_t row);
/* The disk of column c goes: the group is closed, too. But as long as that disk is away what is there of the group got equally far, and
 * when nodes find no room elsewhere it can be opened again; its rows are then owed to the disk. False: it cannot. locked. */
void sfs_group_leave_out(struct sfs_pool *pool, struct sfs_group *group, unsigned c);
bool sfs_group_reopen(struct sfs_pool *pool, struct sfs_group *group);
/* Landing groups: `rows` consecutive rows at the log's end. NOSPC when they do not fit. locked. */
int sfs_group_take_log(struct sfs_pool *pool, struct sfs_group *group, uint32_t rows, uint64_t *offset);
void sfs_group_row_done(struct sfs_pool *pool, struct sfs_group *group);           /* in_flight--. locked */
/* Live bytes of one row change. Updates count, used_rows, bitmap, loaded `rows`, and last_txn when delta > 0. For data and
 * metadata groups the store updates the space tree as well. locked. */
void sfs_group_live(struct sfs_pool *pool, struct sfs_group *group, uint32_t row, int64_t delta);
uint32_t sfs_group_unit(const struct sfs_group_record *g);                         /* bytes */
uint64_t sfs_group_row_bytes(const struct sfs_group_record *g);                    /* k × unit */
uint32_t sfs_group_row_of(const struct sfs_group_record *g, uint64_t offset);
/* Length of the zones of the pool's zoned disks; 0: there is none. Then all columns are that long. locked. */
uint32_t sfs_pool_zone_bytes(const struct sfs_pool *pool);
/* How many groups of nodes could be made; `soon`: also of what was freed or holds nothing any more; if so many members went now, those
 * with the most room. locked. */
uint32_t sfs_groups_for_nodes(const struct sfs_pool *pool, bool soon, unsigned gone);
/* Has some of the reserve been used, more than comes back soon, also from the groups with these generations? locked. */
bool sfs_reserve_short(const struct sfs_pool *pool, const uint64_t *empty, size_t count);
void sfs_groups_reclaim(struct sfs_pool *pool);  /* pending atoms that are old enough become free. locked */
/* Bytes of data-class payload that could still be put into groups made of free atoms, outside the reserve. locked. */
uint64_t sfs_groups_unallocated(struct sfs_pool *pool);
/* The same if so many bytes were free on the members (by slot), the reserve not counted. locked. */
/* It is not free: less than nothing is where some of it is used. locked. */
void sfs_groups_less_reserve(const struct sfs_pool *pool, int64_t free[SFS_DISKS_MAX]);
uint64_t sfs_groups_room_in(struct sfs_pool *pool, const int64_t free[SFS_DISKS_MAX]);
/* Until this is told again those who write (SFS_FOR_WRITERS) make groups of data only where, by slot, so much will be free; NULL: wherever it is. locked. */
void sfs_groups_foretold(struct sfs_pool *pool, const int64_t free[SFS_DISKS_MAX]);
/* How many aligned free areas of so many atoms the member has. locked. */
uint32_t sfs_atoms_areas(const struct sfs_member *m, uint32_t atoms);
bool sfs_groups_cleanable(struct sfs_pool *pool); /* could a data group be made with the reserve? locked */
/* The same if all atoms of all usable members were free: the pool's usable capacity. locked. */
uint64_t sfs_groups_capacity(struct sfs_pool *pool);

/* --- single columns, for moving and mending them (columns.c) ------------------------------------------------ */
/* Room for column `c` of the group on another member: at the same atom where that is free. NOSPC, GONE. locked. */
int sfs_column_take(struct sfs_pool *pool, const struct sfs_group_record *g, unsigned c, uint16_t disk, struct sfs_column *to);
void sfs_column_give_back(struct sfs_pool *pool, const struct sfs_group_record *g, const struct sfs_column *to); /* locked */
/* The column stands at `to` from the next commit on; its old place becomes free like that of a freed group. What lies at `to`
 * must have been flushed. locked. */
void sfs_group_drop_column(struct sfs_pool *pool, struct sfs_group *group); /* the last one; m > 0. locked */
void sfs_group_add_column(struct sfs_pool *pool, struct sfs_group *group, const struct sfs_column *at); /* one more. locked */
void sfs_group_set_column(struct sfs_pool *pool, struct sfs_group *group, unsigned c, const struct sfs_column *to);
/* Bytes [skip, skip + len) of unit `row` of the column that stands at `at`. All in flight at once; returns the first
 * error. unlocked, as the rest. */
struct sfs_unit_io {
    struct sfs_column at;
    uint32_t row, skip, len;
    bool write;
    void *buf;
    int result;
};
int sfs_units_run(struct sfs_pool *pool, const struct sfs_group_record *g, struct sfs_unit_io *units, size_t count);
int sfs_column_write_header(struct sfs_pool *pool, const struct sfs_group_record *g, unsigned c, const struct sfs_column *at);
int sfs_column_check_header(struct sfs_pool *pool, const struct sfs_group_record *g, unsigned c); /* CORRUPT, IO, GONE */
int sfs_column_flush(struct sfs_pool *pool, uint16_t disk);
/* The member's columns are to go to `new_index`: it is to leave, or counts as failed when it is absent. locked. */
void sfs_member_replaced_by(struct sfs_pool *pool, uint16_t old, uint16_t new_index);
void sfs_member_wish(struct sfs_pool *pool, struct sfs_member *member, enum sfs_wish wish); /* locked */
void sfs_member_joined(struct sfs_pool *pool, uint16_t index); /* JOIN becomes STAY. locked */

/* --- heads, looked at whole (head_check.c) --- */
struct sfs_head_report {
    unsigned labels_bad, records_bad, pages, pages_bad;
};
/* Copies of the label, the newest record, the table's pages on one member. With `repair` bad labels are written again. */
int sfs_member_check_head(struct sfs_pool *pool, uint16_t index, bool repair, struct sfs_head_report *report);
void sfs_pool_rewrite_table(struct sfs_pool *pool); /* the next commit writes every page anew, on all members. locked */

/* --- row I/O (rows.c) : unlocked ------------------------------------------------------------------------ */
/* Writes a whole data row. `data` = k units, contiguous, 4096-aligned, extents in place, the last s->blocks × 4 KiB free
 * for the summary. Fills in unit sums and summary, computes parity, writes all columns at once. Columns whose disk is
 * absent are left out (owed). OK when at least k columns were written and no more than m failed; otherwise SUSPENDED, IO or
 * BACKING_FULL, and the row counts as not written. s: entries, txn set by the caller; the rest is filled here. */
int sfs_row_write(struct sfs_pool *pool, uint32_t group, uint32_t row, uint8_t *data, struct sfs_summary *s,
                  const struct sfs_entry *entries);
/* As above, in two halves, so that the caller can gather the next row meanwhile. */
struct sfs_row_job;
int sfs_row_write_start(struct sfs_pool *pool, uint32_t group, uint32_t row, uint8_t *data,
                        struct sfs_summary *s, const struct sfs_entry *entries, struct sfs_row_job **job);
int sfs_row_write_finish(struct sfs_row_job *job); /* frees the job; `data` may be used again */

/* Pieces of k = 1 groups (nodes, landing batches), each to all its copies, all in flight at once. offset and len are
 * multiples of 4096. result per put: OK when at least one copy was written (fewer than all: the member is offline now); CHANGED:
 * nothing was sent, since its group had been closed; as before the call: nothing of all was, for want of memory. */
struct sfs_put {
    struct sfs_place place;
    const void *buf;
    uint32_t len;
    int result;
};
int sfs_put_many(struct sfs_pool *pool, struct sfs_put *puts, size_t count);

/* Plain reads of data units, nothing verified, all in flight at once; what an absent disk has of a row with parity is computed
 * from the other columns. `buf` is 4096-aligned and has room for the aligned
 * superset of [offset, offset + len): the data begins at buf + (offset & 4095). For k = 1, `copy` chooses the column
 * (0xff: any that is present and not owed; spread over the copies). result: OK, IO, GONE (no disk). */
struct sfs_get {
    struct sfs_place place;
    uint32_t len;
    void *buf;
    uint8_t copy;
    int result;
    uint8_t used_copy; /* out */
};
void sfs_get_many(struct sfs_pool *pool, struct sfs_get *gets, size_t count);

/* A whole row (data groups; or for k = 1 the aligned range [row, row + rows)), every column read. */
struct sfs_row_image {
    struct sfs_group_record group;
    uint32_t row, rows;       /* rows > 1 only with k = 1 */
    uint32_t unit_bytes;      /* × rows */
    uint8_t *units[SFS_COLUMNS_MAX];
    uint64_t missing;         /* columns that could not be read (absent, I/O error) */
    uint64_t waits;           /* those of them whose disk is absent and may come back */
    uint64_t bad;             /* columns that were read and did not match their unit sum */
    bool summary_ok;          /* data groups: the summary was found (perhaps after rebuilding) and the sums were checked */
    /* Only columns of members that are behind agree with the summary: it may be what the row held before they were away.
     * Not to be trusted before some extent that it lists was found to live here. */
    bool doubtful;
    struct sfs_summary summary;
    uint8_t *summary_bytes;   /* points into units */
    void *memory;
    uint8_t *spare;           /* in it: m units, for those that are rebuilt */
    uint8_t *into;            /* or NULL: where the unit of `into_column` goes when it is rebuilt */
    unsigned into_column;
};
/* Reads all columns. For data groups finds the summary (rebuilding its unit from every possible combination when
 * needed) and checks all unit sums, then rebuilds every missing and bad unit when there are no more than m of them: then
 * all k + m units in the image are right and OK is returned with `missing` and `bad` telling what was wrong on disk.
 * CORRUPT when it cannot be done (summary_ok then says that the summary stands there all the same, and `missing` and
 * `bad` which units cannot be used); SUSPENDED when it could if the absent disks were there; NOENT, CHANGED: no such
 * group or row any more. k = 1 classes other than data: only reads; the caller verifies the copies. */
int sfs_row_read(struct sfs_pool *pool, uint32_t group, uint32_t row, uint32_t rows, struct sfs_row_image *image);
void sfs_row_image_free(struct sfs_pool *pool, struct sfs_row_image *image);
/* For whom wants what rows of a data group hold and not whether all of them is right: rows that follow each other, with one request for each
 * column, of which k are read where these suffice (`missing` has the others, too). Calls `each` for one row after the other, with its image while the
 * call lasts, or NULL for a row that has to be read by itself, since more is needed. Its error ends it. */
struct sfs_row_run {
    uint32_t group, row, rows;
    unsigned column; /* where this one has to be rebuilt it is made in `units`, row after row */
    uint8_t *units;
    int (*each)(void *context, uint32_t row, const struct sfs_row_image *image);
    void *context;
};
int sfs_rows_read_few(struct sfs_pool *pool, const struct sfs_row_run *run);
/* Rebuilds the data units in `erased` from the others of the image without looking at sums, into `out` (k units
 * contiguous). false when more than m. For trying combinations against an extent's checksum. */
bool sfs_row_try(struct sfs_pool *pool, const struct sfs_row_image *image, uint64_t erased, uint8_t *out);
/* Puts the units in `columns` of a right image back in their places (conventional disks, present members only). */
int sfs_row_put_back(struct sfs_pool *pool, const struct sfs_row_image *image, uint64_t columns);

/* --- commit (commit.c, table.c) --------------------------------------------------------------------------- */
struct sfs_roots {
    struct sfs_nodeptr extent_map, space;
    uint64_t pool_tree;
};
struct sfs_commit_job;
/* Encodes what the table changed and the record for pool->txn with these roots; then pool->txn rises by one. locked; memory
 * only. `clean`, `exported`: flags of the record. */
int sfs_commit_prepare(struct sfs_pool *pool, const struct sfs_roots *roots, bool clean, bool exported,
                       struct sfs_commit_job **job);
/* Writes table pages, flushes all members (that makes all rows and nodes written before durable too), writes the
 * record to all, flushes. OK: durable on every member that is still online, pool->committed = its txn. CHANGED: a member
 * went offline meanwhile: the caller prepares and writes another commit at once, nothing may be acknowledged before. Others:
 * SUSPENDED, BACKING_FULL … unlocked; one at a time (the caller serialises). Frees the job. */
int sfs_commit_write(struct sfs_pool *pool, struct sfs_commit_job *job);
/* A prepared commit that is not to be written: what it would have made durable is dirty again. unlocked. Frees the job. */
void sfs_commit_discard(struct sfs_pool *pool, struct sfs_commit_job *job);

void sfs_table_mark_group(struct sfs_pool *pool, struct sfs_group *group);  /* its static record changed. locked */
void sfs_table_mark_count(struct sfs_pool *pool, struct sfs_group *group);  /* its counters or bitmap changed. locked */

#endif
