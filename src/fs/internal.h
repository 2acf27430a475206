/* What the files of the fs room share: the volume, inode objects, dirty segments, file extents.
 *
 * LOCKS, in the order in which they are taken:
 *   1. fs->rename      moves of names between directories (so that the tree of directories stands
 * still while it is searched for loops)
 *   2. inode->flush    of several inodes by ascending number. Whoever holds it is the only one that
 * changes the inode's file extents: a flush, a truncation, a punch, a clone, a deletion
 *   3. inode->lock     of several inodes by ascending number. Guards everything in the object
 *   4. fs->mutex       the map, the lists, the counts; never held over anything that blocks
 * None of 2–4 is held when the store is asked for space (sfs_store_reserve) or a checkpoint
 * (sfs_store_sync): both may wait for the flusher, which takes 2.
 *
 * INVARIANTS
 *   1. inode->value.size is the size now, inode->disk_size the size in the tree. A transaction
 * never writes a size to the tree that covers data which only memory has.
 *   2. For every byte of `dirty` and of `flushing` a byte of the store's space is reserved.
 *   3. No file item reaches beyond disk_size, except while an orphan key says where to cut.
 *   4. An inode with links 0 has an orphan key, or is gone.
 */
#ifndef SFS_FS_INTERNAL_H
#define SFS_FS_INTERNAL_H

#include "base/assert.h"
#include "base/map.h"
#include "fs/fs.h"

#define SFS_FS_TX_OPS 512u             /* a transaction is ended when it has so many updates */
#define SFS_FS_BATCH_BYTES (16u << 20) /* data of many inodes written at a time */
#define SFS_FS_BATCH_INODES 2048u
#define SFS_FS_SEGMENT_BYTES (1u << 20) /* a segment lies within one such window of the file */
#define SFS_FS_SEGMENT_COST 256u        /* memory of a segment besides its bytes */
#define SFS_FS_DIR_ENTRY_BYTES 32u      /* what an entry counts for in a directory's size */
#define SFS_FS_XATTR_MAX 65536u
#define SFS_FS_HALVES 256u
#define SFS_FS_LINKS_MAX 0x7fffffffu
/* Bits of an inode's flags. */
#define SFS_FS_HAS_XATTRS 1u /* it has had an extended attribute */
#define SFS_FS_NAMELESS 2u   /* made without a name: may still be given one */

#define SFS_FS_ISDIR(mode) (((mode)&SCALEFS_S_IFMT) == SCALEFS_S_IFDIR)
#define SFS_FS_ISREG(mode) (((mode)&SCALEFS_S_IFMT) == SCALEFS_S_IFREG)

/* --- memory that is given away with what was written in it (blocks.c)
 * ------------------------------------------------------------------------------- */
struct sfs_fs_blocks {
    struct sfs_env *env;
    struct sfs_mutex mutex; /* guards the rest; nothing is locked under it */
    void *free;             /* those that nobody has */
    uint32_t made, most;
};
void sfs_fs_blocks_init(struct sfs_fs_blocks *b, struct sfs_env *env, uint32_t most);
void sfs_fs_blocks_deinit(struct sfs_fs_blocks *b); /* all were put back */
void *sfs_fs_block_get(struct sfs_fs_blocks *b);    /* SCALEFS_KEEP_MEMORY bytes; NULL: none is left */
void sfs_fs_block_put(void *block);

/* --- dirty data (segs.c): sorted, disjoint runs of bytes
 * ------------------------------------------- */
struct sfs_seg {
    uint64_t offset;
    uint32_t len, room; /* of `data` */
    uint8_t *data;
    void *block; /* in which `data` lies (blocks.c); NULL: it is memory of its own */
};
struct sfs_segs {
    struct sfs_seg *list;
    size_t count, room;
    uint64_t bytes;  /* sum of the lengths */
    uint64_t memory; /* what they take */
};
void sfs_fs_segs_clear(struct sfs_env *env, struct sfs_segs *s);
static inline uint64_t sfs_fs_segs_end(const struct sfs_segs *s) /* behind the last byte; 0: none */
{
    return s->count ? s->list[s->count - 1].offset + s->list[s->count - 1].len : 0;
}
/* The first segment that ends behind `offset`; s->count: none. */
size_t sfs_fs_segs_find(const struct sfs_segs *s, uint64_t offset);
/* Overwrites and adds. NOMEM: a first part may have been taken. */
int sfs_fs_segs_write(struct sfs_env *env, struct sfs_segs *s, uint64_t offset, const uint8_t *data,
                      size_t len);
/* The same without copying: `data` lies in `*block`, which is taken, and NULL then. NOMEM: nothing changed. */
int sfs_fs_segs_keep(struct sfs_env *env, struct sfs_segs *s, uint64_t offset, void **block,
                     uint8_t *data, uint32_t len);
/* The same with all that `from` has. Where nothing is in the way its segments are taken as they are; what
 * is left in `from` is the caller's to clear. */
int sfs_fs_segs_join(struct sfs_env *env, struct sfs_segs *s, struct sfs_segs *from);
/* Adds only where there is nothing: what is there is newer. */
int sfs_fs_segs_under(struct sfs_env *env, struct sfs_segs *s, uint64_t offset, const uint8_t *data,
                      size_t len);
/* Takes [from, to) out. */
int sfs_fs_segs_cut(struct sfs_env *env, struct sfs_segs *s, uint64_t from, uint64_t to);

/* --- inodes (inode.c)
 * ------------------------------------------------------------------------------- */
struct sfs_inode {
    uint64_t ino;
    struct sfs_mutex flush;
    struct sfs_rwlock lock;
    /* under `lock` */
    struct sfs_inode_value value;
    uint64_t disk_size;
    struct sfs_segs dirty, flushing; /* where both have a byte, dirty is newer */
    uint64_t reserved;               /* bytes of the store's space, for dirty and flushing */
    bool attr_dirty;                 /* the tree has an older value */
    bool cut_pending;                /* a truncation stopped halfway: items behind the end */
    bool gone;                       /* deleted, or being deleted */
    bool loaded;
    /* under fs->mutex */
    bool ready; /* `loaded`, for those who have not locked it */
    uint32_t refs;
    uint64_t memory; /* of dirty and flushing, as counted in fs->dirty_memory */
    bool listed;     /* in the list of dirty inodes */
    uint64_t dirty_seq;
    struct sfs_inode *lru_prev, *lru_next, *dirty_prev, *dirty_next;
};

struct sfs_orphan {
    uint64_t ino, size; /* size UINT64_MAX: delete */
};

struct sfs_fs {
    struct sfs_env *env;
    struct sfs_store *store;
    uint32_t volume;
    uint64_t salt[2]; /* the volume's, for the cookies of names */
    struct sfs_fs_options options;
    struct sfs_fs_blocks blocks;
    struct sfs_mutex rename;
    struct sfs_mutex mutex;
    /* under mutex */
    struct sfs_map inodes; /* number -> object */
    struct sfs_map holds;  /* number -> count */
    struct sfs_inode *lru_first, *lru_last;
    uint32_t lru_count;
    struct sfs_inode *dirty_first, *dirty_last; /* oldest first */
    uint64_t dirty_seq, dirty_memory;
    struct sfs_cond dirty_less; /* memory was given back, or an inode was listed */
    struct sfs_cond work;       /* for the tasks: look again */
    bool writer_idle;           /* it waits until much is dirty */
    struct sfs_cond settled;
    bool stop;
    struct sfs_orphan *orphans; /* waiting for the reaper */
    size_t orphan_count, orphan_room;
    struct sfs_map cut_first; /* inodes whose truncation a crash interrupted */
    struct sfs_map unlinked;  /* held inodes without links */
    unsigned reaping;         /* orphans that are being deleted now */
    struct sfs_half {         /* extents that a file uses only a part of now */
        uint64_t ino, id, base;
    } halves[SFS_FS_HALVES];
    size_t half_count;
    struct sfs_task *writer, *reaper;
    struct sfs_fs_lost *lost; /* NULL: none was named yet (lost.c) */
};

struct sfs_fs_lost {
    uint64_t count; /* of all; the first SCALEFS_LOST_FILES are here */
    struct scalefs_lost_file files[SCALEFS_LOST_FILES];
};

static inline struct sfs_key sfs_fs_key(uint64_t a, uint8_t type, uint64_t b)
{
    return (struct sfs_key){.a = a, .type = type, .b = b};
}

/* Finds or loads it; STALE when there is none. Give it back with put. */
int sfs_fs_inode_get(struct sfs_fs *fs, uint64_t ino, struct sfs_inode **inode);
void sfs_fs_inode_put(struct sfs_fs *fs, struct sfs_inode *inode);
/* The transaction makes (1) or deletes (-1) an inode. */
static inline void sfs_fs_count_inode(struct sfs_fs *fs, struct sfs_tx *tx, int delta)
{
    sfs_tx_count(tx, fs->volume, sfs_fs_key(0, SFS_KEY_COUNTS, 0), delta);
}
/* A new inode whose key was just committed: keeps its object, so that it need not be loaded. Call
 * it before anybody can find the inode. */
void sfs_fs_inode_adopt(struct sfs_fs *fs, uint64_t ino, const struct sfs_inode_value *value);
uint64_t sfs_fs_holds(struct sfs_fs *fs, uint64_t ino);
int sfs_fs_hold_add(struct sfs_fs *fs, uint64_t ino);
void sfs_fs_attr(const struct sfs_inode *inode, struct scalefs_attr *attr); /* inode locked */
void sfs_fs_attr_of(uint64_t ino, const struct sfs_inode_value *v, struct scalefs_attr *attr);
struct sfs_time sfs_fs_now(struct sfs_fs *fs);
/* Puts the inode's key. `size` is what the tree shall say (files: usually inode->disk_size). */
void sfs_fs_put_value(struct sfs_fs *fs, struct sfs_tx *tx, uint64_t ino,
                      const struct sfs_inode_value *value, uint64_t size);
/* A transaction that changes one inode, locked for writing, to `value` (whose size is that of
 * memory). */
int sfs_fs_commit_value(struct sfs_fs *fs, struct sfs_tx *tx, struct sfs_inode *inode,
                        const struct sfs_inode_value *value);
/* Without the set-id bits that a write by an ordinary user takes away. */
uint32_t sfs_fs_killed(uint32_t mode);
/* Memory, reservation and lists after `dirty`, `flushing` or attr_dirty changed. Inode locked for
 * writing. `charged`: what was already counted for it in advance (sfs_fs_charge). */
void sfs_fs_account(struct sfs_fs *fs, struct sfs_inode *inode, uint64_t charged);
/* The same at the end of a flush: what is dirty still counts as the youngest. */
void sfs_fs_relist(struct sfs_fs *fs, struct sfs_inode *inode);
/* Drops all dirty data (locked for writing, flush held). */
void sfs_fs_drop_dirty(struct sfs_fs *fs, struct sfs_inode *inode);
void sfs_fs_inodes_free(struct sfs_fs *fs);

/* Several inodes locked for writing, in order. Owns the references. */
struct sfs_lockset {
    struct sfs_inode *inodes[4];
    unsigned count;
};
int sfs_fs_set_get(struct sfs_fs *fs, struct sfs_lockset *set, uint64_t ino,
                   struct sfs_inode **inode);
void sfs_fs_set_sort(struct sfs_lockset *set);
void sfs_fs_set_lock(struct sfs_lockset *set); /* sorts, locks */
void sfs_fs_set_unlock(struct sfs_lockset *set);
void sfs_fs_set_put(struct sfs_fs *fs, struct sfs_lockset *set);

/* --- file extents (extents.c)
 * ------------------------------------------------------------------------ */
struct sfs_item {
    uint64_t offset, id;
    uint32_t at, len; /* within the extent's raw bytes */
};
/* Items that touch [from, to), at most `cap`. *next: where to go on, `to` when these were all. */
int sfs_fs_items(struct sfs_fs *fs, uint64_t ino, uint64_t from, uint64_t to,
                 struct sfs_item *items, size_t cap, size_t *count, uint64_t *next);
void sfs_fs_put_item(struct sfs_fs *fs, struct sfs_tx *tx, uint64_t ino,
                     const struct sfs_item *item);

/* Takes ranges out of a file's items, from low to high offsets, into a transaction that is not yet
 * committed. Afterwards new items may be put into the ranges. */
#define SFS_FS_PARTIAL 64u
struct sfs_cutter {
    struct sfs_fs *fs;
    struct sfs_tx *tx;
    uint64_t ino;
    uint64_t loaded_end; /* items up to here were looked at */
    bool has_rest;       /* what is left of the last item, behind the cut; not yet put */
    struct sfs_item rest;
    int32_t refs; /* changes of the last item's extent, not yet in the tx */
    int64_t ref_bytes;
    uint64_t open_id; /* that extent; 0: none */
    uint64_t bytes;   /* taken out in sum */
    /* Extents that lost a part here: id, and the file offset of their byte 0. */
    struct sfs_partial {
        uint64_t id, base;
    } partial[SFS_FS_PARTIAL];
    size_t partial_count;
};
void sfs_fs_cut_begin(struct sfs_cutter *c, struct sfs_fs *fs, struct sfs_tx *tx, uint64_t ino);
int sfs_fs_cut(struct sfs_cutter *c, uint64_t from, uint64_t to);
/* The same, but at most about `max` items; *upto: how far it came. */
int sfs_fs_cut_some(struct sfs_cutter *c, uint64_t from, uint64_t to, size_t max, uint64_t *upto);
void sfs_fs_cut_end(struct sfs_cutter *c);

/* --- data, flushing (data.c, flush.c, writeback.c, range.c)
 * --------------------------------------------------------- */
/* The bytes [from, to) as they are, for rewriting; inode not locked. */
int sfs_fs_read_inode(struct sfs_fs *fs, struct sfs_inode *inode, uint64_t offset, void *buf,
                      size_t len, size_t *done);
/* Counts `bytes` of memory that will be dirty; waits and writes out while there is too much.
 * Nothing locked. */
int sfs_fs_charge(struct sfs_fs *fs, struct sfs_inode *prefer, uint64_t bytes);
void sfs_fs_uncharge(struct sfs_fs *fs, uint64_t bytes);
int sfs_fs_reserve(struct sfs_fs *fs, uint64_t bytes); /* nothing locked */
/* Writes out inodes in ascending order, whose `flush` the caller holds. `tail`: all of it, else
 * what fills rows. *moved (may be NULL): bytes that are in the tree now. */
int sfs_fs_flush_held(struct sfs_fs *fs, struct sfs_inode *const *inodes, size_t count, bool tail,
                      uint64_t *moved);
int sfs_fs_flush_inode(struct sfs_fs *fs, struct sfs_inode *inode, bool tail);
/* Everything that is dirty now. */
int sfs_fs_flush_all(struct sfs_fs *fs);
void sfs_fs_name_lost(void *fs, const uint64_t *ids, size_t count); /* lost.c: logs and keeps the files that use these extents */
/* Some of it, to make room. */
int sfs_fs_flush_some(struct sfs_fs *fs, struct sfs_inode *prefer);
/* Remembers the extents that a cut left in parts; rewrites those of which too little is used. */
void sfs_fs_halves_note(struct sfs_fs *fs, uint64_t ino, const struct sfs_cutter *c);
void sfs_fs_halves_pay(struct sfs_fs *fs);
void sfs_fs_writer(void *arg); /* the task that writes out before the bound is reached */
/* Makes the file `size` bytes long together with the other changes of `value`. flush and lock held.
 */
int sfs_fs_resize(struct sfs_fs *fs, struct sfs_inode *inode, struct sfs_inode_value *value,
                  uint64_t size);
/* Cuts all items behind `size` in bounded transactions and removes the orphan key. flush and lock
 * held. */
int sfs_fs_cut_tail(struct sfs_fs *fs, uint64_t ino, struct sfs_inode_value *value, uint64_t size);

/* --- directories (dir.c)
 * -------------------------------------------------------------------------------- */
struct sfs_entry_found {
    bool found;
    uint64_t cookie, ino, free_cookie; /* free_cookie: where an entry of this name would go */
    uint8_t type;
};
int sfs_fs_name_check(const char *name, size_t len);
/* The directory is locked. */
int sfs_fs_entry_find(struct sfs_fs *fs, uint64_t dir, const char *name, size_t len,
                      struct sfs_entry_found *found);
void sfs_fs_entry_put(struct sfs_fs *fs, struct sfs_tx *tx, uint64_t dir, uint64_t cookie,
                      uint64_t ino, uint32_t mode, const char *name, size_t len);
void sfs_fs_entry_delete(struct sfs_fs *fs, struct sfs_tx *tx, uint64_t dir, uint64_t cookie);
/* A directory's new value after `entries` and `links` changed. */
struct sfs_inode_value sfs_fs_dir_changed(const struct sfs_inode *dir, struct sfs_time now,
                                          int entries, int links);
int sfs_fs_dir_check(const struct sfs_inode *dir); /* locked: a directory that is not removed */

/* --- links, orphans (orphan.c)
 * ------------------------------------------------------------------------------ */
/* The inode (locked for writing) loses `links` names; adds what that means to tx; *value is its new
 * value. *deleted: it is gone when the transaction commits. */
int sfs_fs_drop_links(struct sfs_fs *fs, struct sfs_tx *tx, struct sfs_inode *inode, uint32_t links,
                      struct sfs_time now, struct sfs_inode_value *value, bool *deleted);
/* After the transaction: takes over the value. Locked. */
void sfs_fs_links_dropped(struct sfs_fs *fs, struct sfs_inode *inode,
                          const struct sfs_inode_value *value, bool deleted);
/* Deletes it when it has neither links nor holds. Nothing locked. */
void sfs_fs_reap(struct sfs_fs *fs, struct sfs_inode *inode);
int sfs_fs_orphans_load(struct sfs_fs *fs);
void sfs_fs_orphans_finish(struct sfs_fs *fs); /* all that wait, in the calling task */
void sfs_fs_reaper(void *arg);
/* One that waits is done now, to make room; false when there is none. */
bool sfs_fs_reap_one(struct sfs_fs *fs);

/* --- extended attributes, ACLs (xattr.c, acl.c)
 * -------------------------------------------------------------- */
#define SFS_ACL_ACCESS "system.posix_acl_access"
#define SFS_ACL_DEFAULT "system.posix_acl_default"
#define SFS_ACL_MAX (4u + 8u * 128u)
/* Reads one into `value` (NODATA, RANGE); inode locked. */
int sfs_fs_xattr_read(struct sfs_fs *fs, const struct sfs_inode *inode, const char *name,
                      void *value, size_t size, size_t *len);
/* A small value (≤ SFS_ACL_MAX) of an inode; replaces what is there. */
int sfs_fs_xattr_put_small(struct sfs_fs *fs, struct sfs_tx *tx, uint64_t ino, const char *name,
                           const void *value, size_t len);
int sfs_fs_xattr_delete(struct sfs_fs *fs, struct sfs_tx *tx, uint64_t ino, const char *name);
/* Checks the shape; *equivalent: says no more than mode bits do. */
int sfs_fs_acl_check(const uint8_t *acl, size_t len, bool *equivalent);
/* The permission bits that an access ACL stands for. */
uint32_t sfs_fs_acl_mode(const uint8_t *acl, size_t len, uint32_t mode);
/* Changes an access ACL as chmod does. */
void sfs_fs_acl_chmod(uint8_t *acl, size_t len, uint32_t mode);
/* Changes a default ACL and a mode into the access ACL and mode of a new inode. */
uint32_t sfs_fs_acl_create(uint8_t *acl, size_t len, uint32_t mode);
/* A new inode in `dir` (locked): inherits ACLs; changes value->mode and ->flags, adds keys to tx.
 */
int sfs_fs_acl_inherit(struct sfs_fs *fs, struct sfs_tx *tx, const struct sfs_inode *dir,
                       uint64_t ino, struct sfs_inode_value *value);

#endif
