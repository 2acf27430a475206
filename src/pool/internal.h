/* What the files of the pool share. Nothing outside this room includes it.
 *
 * Files: label.c (labels and commit rings of single disks), create.c, load.c (a record's table becomes a
 * pool in memory), open.c (which record to believe), members.c, atoms.c, groups.c, space.c (capacity),
 * rows.c (writing and plain reading), rowread.c (whole rows, rebuilt), table.c, commit.c.
 */
#ifndef SFS_POOL_INTERNAL_H
#define SFS_POOL_INTERNAL_H

#include "base/assert.h"
#include "base/refuse.h"
#include "base/vec.h"
#include "pool/placement.h"
#include "pool/pool.h"

#define SFS_COMPLETE UINT64_MAX /* flushed_txn on disk of a member that lacks nothing */
#define SFS_TENURES_MAX 64u
#define SFS_DISK_TEXT 400 /* room for sfs_disk_text */


/* --- label.c : I/O on single disks --- */
struct sfs_ring_entry {
    uint64_t txn, seq, tenure;
    uint32_t slot;
};
/* What a disk says of itself: its label and its valid records of that pool, newest (txn, seq) first. */
struct sfs_head {
    struct sfs_disk *disk;
    struct sfs_label label;
    bool damaged; /* some copy of the label is not as it must be */
    struct sfs_ring_entry ring[SFS_RING_SLOTS];
    unsigned ring_count;
};
int sfs_head_read(struct sfs_env *env, struct sfs_disk *disk, struct sfs_head *head);
/* One record again, whole. CORRUPT when it is not the one that the entry meant. */
int sfs_head_record(struct sfs_env *env, const struct sfs_head *head, const struct sfs_ring_entry *e,
                    struct sfs_commit *record);
uint64_t sfs_label_2_offset(const struct sfs_disk *disk);
/* Where the copies of the label stand: three, and where the member uses less than the device has, one at the end of that, where the
 * third is to be when the device has been made smaller. */
unsigned sfs_label_places(const struct sfs_disk *disk, uint64_t size, uint64_t at[4]);
/* The copies of a label one by one, each flushed before the next: a cut leaves two whole ones. `only`: bits of the copies that
 * are written. */
int sfs_label_write(struct sfs_env *env, struct sfs_disk *disk, const struct sfs_label *label, unsigned only);
/* Writes zeros to block 0 and the ring, then all copies of the label (NULL: zeros there, too), and flushes. */
int sfs_head_write(struct sfs_env *env, struct sfs_disk *disk, const struct sfs_label *label);
/* The label and the record in the table that a new member gets; geometry from the disk's size. */
int sfs_member_describe(struct sfs_pool *pool, struct sfs_disk *disk, uint16_t index, const char *station, uint8_t role,
                        struct sfs_disk_record *record, struct sfs_label *label);
/* "disk 3 (/dev/sdc)" */
void sfs_disk_text(const struct sfs_disk_record *r, char text[SFS_DISK_TEXT]);

/* --- members.c --- */
struct sfs_pool *sfs_pool_new(struct sfs_env *env); /* an empty pool in memory; NULL: no memory */
void sfs_pool_free(struct sfs_pool *pool);          /* memory only: no disk is closed */
/* Calls that use disks without the lock: begin under the lock when the pointers are taken, end without. */
unsigned sfs_pool_io_begin(struct sfs_pool *pool);
void sfs_pool_io_end(struct sfs_pool *pool, unsigned epoch);
/* Rows and copies were written (a later flush makes them durable); `suspensions` as it was when that began. unlocked */
void sfs_pool_wrote(struct sfs_pool *pool, uint64_t suspensions);
/* Room in `retired` for all disks of members and `more`. locked. */
int sfs_retired_reserve(struct sfs_pool *pool, unsigned more);
/* What was written since the last commit may not be on this member. locked */
void sfs_member_missed(struct sfs_pool *pool, struct sfs_member *m);
void sfs_pool_judge(struct sfs_pool *pool); /* recomputes `suspended`. locked */
/* Where a record stands to the history of the pool's own record. */
enum sfs_history {
    SFS_HISTORY_IN,     /* a state that the pool's own grew out of */
    SFS_HISTORY_BEYOND, /* of a tenure of the history, but later than what the next tenure began with */
    SFS_HISTORY_APART,  /* written apart */
};
/* *upto: the last txn of the record's disk that belongs to the history (0 when APART). `m`: the disk's member, whose record
 * remembers what the list of tenures has forgotten; NULL: none. */
enum sfs_history sfs_history_of(const struct sfs_pool *pool, const struct sfs_member *m, const struct sfs_ring_entry *e,
                                uint64_t *upto);

/* --- atoms.c : locked --- */
int sfs_atoms_init(struct sfs_pool *pool, struct sfs_member *m);
/* False when some of the range is allocated already, or outside. */
bool sfs_atoms_claim(struct sfs_member *m, uint32_t atom, uint32_t atoms);
void sfs_atoms_release(struct sfs_member *m, uint32_t atom, uint32_t atoms);
/* An aligned free area of `atoms` (a power of two): the one that breaks up the least, lowest address. */
bool sfs_atoms_take(struct sfs_member *m, uint32_t atoms, uint32_t *atom);

/* --- load.c --- */
/* Builds the pool that `record` describes, without disks in its members. The pages are read from any of
 * `disks`. CORRUPT, VERSION, NOMEM, IO. */
int sfs_pool_load(struct sfs_env *env, const struct sfs_commit *record, struct sfs_disk *const *disks,
                  size_t count, struct sfs_pool **pool);
/* A group object with its arrays, entered in pool->groups. NOMEM, EXIST. */
int sfs_group_enter(struct sfs_pool *pool, const struct sfs_group_record *r, struct sfs_group **group);
void sfs_group_forget(struct sfs_pool *pool, struct sfs_group *group);
/* Bits of system groups' bitmaps, bounded so that COUNT and BITMAP fit one page. */
#define SFS_SYSTEM_ROWS_MAX (3072u * 8u)

/* --- table.c : locked, memory only --- */
#define SFS_OBJECT_CONFIG (1ull << 56)  /* CONFIG and TASK */
#define SFS_OBJECT_TENURES (2ull << 56)
#define SFS_OBJECT_DISK (3ull << 56)    /* + slot in pool->members */
#define SFS_OBJECT_GROUP (4ull << 56)   /* + group */
#define SFS_OBJECT_COUNT (5ull << 56)   /* + group: COUNT and BITMAP */
#define SFS_OBJECT_KIND(o) ((o) & (255ull << 56))
#define SFS_OBJECT_KEY(o) ((o) & ~(255ull << 56))

int sfs_table_new(struct sfs_pool *pool);
void sfs_table_free(struct sfs_pool *pool);
/* While loading: page `page` stands in `slot`; these directory pages are current. */
int sfs_table_known_page(struct sfs_pool *pool, uint32_t page, uint32_t slot, uint64_t checksum);
int sfs_table_known_directory(struct sfs_pool *pool, uint32_t number, uint32_t slot, uint64_t checksum);
/* The slots of an older record's table are left alone until SFS_REUSE_AFTER commits after pool->last have passed. */
void sfs_table_keep(struct sfs_pool *pool, const struct sfs_pool *older);
int sfs_table_known_object(struct sfs_pool *pool, uint32_t page, uint64_t object, uint32_t bytes);
uint32_t sfs_table_page_of(const struct sfs_pool *pool, uint64_t object); /* SFS_NONE32: none yet */
/* A new object; it gets its page at the next commit. */
int sfs_table_add(struct sfs_pool *pool, uint64_t object);
void sfs_table_remove(struct sfs_pool *pool, uint64_t object);
void sfs_table_mark(struct sfs_pool *pool, uint64_t object);
void sfs_table_rewrite_all(struct sfs_pool *pool); /* some member does not have all pages */
/* Could a group with so many columns still be described? */
bool sfs_table_has_room(struct sfs_pool *pool, unsigned columns);
/* About how many groups of so many columns can be described at all. */
uint64_t sfs_table_groups(const struct sfs_pool *pool, unsigned columns);

/* The blocks that a commit has to write. */
struct sfs_table_job {
    size_t count;
    uint8_t *blocks;   /* count × 4 KiB, for I/O */
    uint32_t *slots;
    uint32_t *pages;   /* page number, or directory page number with the top bit */
};
#define SFS_JOB_DIRECTORY (1u << 31)
/* Lays out and encodes everything dirty, fills the directory of `record`. NOSPC, NOMEM: nothing is lost. */
int sfs_table_prepare(struct sfs_pool *pool, struct sfs_table_job *job, struct sfs_commit *record);
void sfs_table_job_free(struct sfs_pool *pool, struct sfs_table_job *job);
/* The blocks are on all disks and a record may refer to them from now on. */
void sfs_table_settled(struct sfs_pool *pool, const struct sfs_table_job *job);
/* They are not, and none will: they are encoded again next time, into the same slots. */
void sfs_table_dropped(struct sfs_pool *pool, const struct sfs_table_job *job);

/* --- groups.c --- */
uint8_t sfs_unit_log2_for(enum sfs_class class, unsigned k, uint8_t column_log2);
uint32_t sfs_column_atoms(const struct sfs_group_record *g); /* of 4 MiB */
/* On that member; 0: its atoms are larger than the column. */
uint32_t sfs_column_atoms_on(const struct sfs_member *m, const struct sfs_group_record *g);
/* The place becomes free when no record that may be opened refers to it any more. locked. */
void sfs_column_free_later(struct sfs_pool *pool, const struct sfs_column *c, const struct sfs_group_record *g);
/* Byte offset on its disk of column `c`'s header. */
uint64_t sfs_column_offset(const struct sfs_member *m, const struct sfs_group_record *g, unsigned c);

/* --- space.c : locked --- */
/* log2 of the column bytes that a class gets while there is room; at least 22. */
uint8_t sfs_column_log2_for(const struct sfs_pool *pool, enum sfs_class class);
/* Everything but free_columns, by slot of pool->members. */
void sfs_placement_disks(const struct sfs_pool *pool, struct sfs_placement_disk *disks);
/* Atoms of each member (by slot) that data must leave alone. */
/* `empty`: as if no group existed; `nodes_only`: without what is for cleaners. */
void sfs_reserve_atoms(const struct sfs_pool *pool, bool empty, bool nodes_only, uint32_t reserve[SFS_DISKS_MAX]);
/* What a member that takes another one's place must keep for that one's columns. Adds to `reserve`. */
void sfs_reserve_for_heirs(const struct sfs_pool *pool, uint32_t reserve[SFS_DISKS_MAX]);

/* --- sequential.c --- */
/* Rows of a group that fit the zones under its columns. locked. */
uint32_t sfs_group_rows_for(struct sfs_pool *pool, const struct sfs_group_record *g);
/* Waits until the rows before `row` have been sent, and takes the turn: until sfs_turns_pass nobody else sends any of the
 * group. CHANGED: the group takes no more rows. Nothing for other groups. locked, gives up the lock while it waits. */
int sfs_turn_take(struct sfs_pool *pool, uint32_t group, uint32_t row, uint32_t rows, const void *who);
/* All turns of `who` have been used. locked. */
void sfs_turns_pass(struct sfs_pool *pool, const void *who);
/* The zones under a sequential group's columns become empty. unlocked; within sfs_pool_io_begin. */
void sfs_zones_reset(struct sfs_pool *pool, struct sfs_io *headers, unsigned count, uint64_t zone_bytes);

/* --- rows.c --- */
enum sfs_standing {
    SFS_CURRENT, /* the member holds what was written */
    SFS_UNSURE,  /* the member is behind; whether this row is owed is not known here */
    SFS_OWED,
    SFS_ABSENT,
};
struct sfs_target {
    struct sfs_disk *disk; /* NULL: absent */
    uint64_t base;         /* where the column begins on it */
    uint16_t index;
    enum sfs_standing standing;
    bool waits; /* absent, and may come back */
};
/* The columns of a group as they are now, for rows [row, row + rows). false: no such group. locked. */
bool sfs_group_resolve(struct sfs_pool *pool, uint32_t group, uint32_t row, uint32_t rows,
                       struct sfs_group_record *g, struct sfs_target targets[SFS_COLUMNS_MAX]);
static inline uint64_t sfs_unit_offset(const struct sfs_group_record *g, const struct sfs_target *t, uint32_t row)
{
    return t->base + SFS_BLOCK + ((uint64_t)row << g->unit_log2);
}

#endif
