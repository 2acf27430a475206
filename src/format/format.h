/* Every on-disk object of docs/FORMAT.md: constants, decoded forms, encode, decode, print.
 *
 * Pure: no I/O, no allocation beyond what a caller hands in. Decoders check magic, type, version,
 * checksum, identity and every bound, and answer CORRUPT, VERSION or OK; whatever they give out may
 * be used without further checks of shape. Encoders assert that what they are given is in bounds.
 */
#ifndef SFS_FORMAT_FORMAT_H
#define SFS_FORMAT_FORMAT_H

#include "base/codec.h"
#include "base/hash.h"
#include "base/uuid.h"
#include "scalefs/error.h"

#define SFS_BLOCK 4096u
#define SFS_LABEL_OFFSET_0 4096u
#define SFS_LABEL_OFFSET_1 (512u << 10)
#define SFS_RING_OFFSET (64u << 10)
#define SFS_RING_SLOTS 64u
#define SFS_TABLE_OFFSET (1u << 20)
#define SFS_ATOM_BYTES (4u << 20)
#define SFS_DISK_MIN_BYTES (32ull << 20)
#define SFS_DISKS_MAX 256u
#define SFS_NAME_MAX 63u
#define SFS_NONE16 0xffffu
#define SFS_NONE32 0xffffffffu
#define SFS_COLUMNS_MAX 64u
#define SFS_DIR_FANOUT 248u
#define SFS_DIR_PAGES_MAX 236u
#define SFS_NODE_BYTES 16384u
#define SFS_VALUE_MAX 4608u
#define SFS_NAME_BYTES_MAX 765u /* of entries: 255 UTF-16 units as UTF-8 */
#define SFS_SUM_BYTES 4096u /* one checksum for each 4 KiB of an uncompressed extent */
#define SFS_EXTENT_MAX (256u << 10) /* the largest record size */
#define SFS_SPACE_CHUNK 64u

/* Where the head and the data of a disk of `size` bytes lie. TOO_SMALL below 32 MiB. */
struct sfs_geometry {
    uint64_t data_offset;
    uint32_t atoms, table_slots;
    uint64_t label_offset_2;
};
int sfs_geometry_of(uint64_t size, struct sfs_geometry *g);

/* What a disk may be divided into: on conventional disks SFS_ATOM_BYTES, on zoned ones the zones. */
#define SFS_LAYOUT_CONVENTIONAL 0u
#define SFS_LAYOUT_ZONED 1u
bool sfs_atom_bytes_ok(uint8_t layout, uint32_t atom_bytes);

/* Feature bits that this program knows, of the masks in labels and commit records: none yet. */
#define SFS_KNOWN_REFUSE 0ull
#define SFS_KNOWN_READONLY 0ull
#define SFS_KNOWN_IGNORE 0ull

enum sfs_block_type {
    SFS_BLOCK_LABEL = 1,
    SFS_BLOCK_COMMIT,
    SFS_BLOCK_TABLE,
    SFS_BLOCK_DIRECTORY,
    SFS_BLOCK_COLUMN,
};

struct sfs_label {
    struct sfs_uuid pool, disk;
    uint64_t number; /* rises whenever the label changes: of its copies the one with the highest counts */
    uint64_t refuse, readonly, ignore;
    uint16_t index;
    uint8_t role, layout;
    uint32_t sector_bytes;
    uint64_t size, data_offset;
    uint32_t atoms, table_slots, atom_bytes;
    int64_t joined_ns;
    char name[SFS_NAME_MAX + 1], station[SFS_NAME_MAX + 1];
};
void sfs_label_encode(const struct sfs_label *l, uint64_t disk_offset, uint8_t block[SFS_BLOCK]);
int sfs_label_decode(const uint8_t block[SFS_BLOCK], uint64_t disk_offset, struct sfs_label *l);

struct sfs_place {
    uint32_t group;
    uint64_t offset; /* in the group's data space */
};
struct sfs_nodeptr {
    uint32_t group; /* SFS_NONE32: an empty tree */
    uint8_t level;
    uint64_t offset, id, checksum; /* id: the child node's; its birth is in the node */
};
#define SFS_NODEPTR_BYTES 32u
void sfs_nodeptr_encode(const struct sfs_nodeptr *p, uint8_t out[SFS_NODEPTR_BYTES]);
int sfs_nodeptr_decode(const uint8_t *in, size_t len, struct sfs_nodeptr *p);

struct sfs_pageptr {
    uint32_t slot; /* SFS_NONE32: none */
    uint64_t checksum;
};
struct sfs_commit {
    struct sfs_uuid pool;
    uint64_t refuse, readonly, ignore;
    uint64_t txn, seq;
    int64_t time_ns;
    uint64_t tenure, host;
    bool clean, exported;
    uint64_t next_id;
    struct sfs_nodeptr extent_map, space;
    uint64_t pool_tree;
    uint16_t directory_count;
    struct sfs_pageptr directory[SFS_DIR_PAGES_MAX];
};
void sfs_commit_encode(const struct sfs_commit *c, uint8_t block[SFS_BLOCK]);
/* `slot` is where it was read: a record whose seq does not belong there is corrupt. */
int sfs_commit_decode(const uint8_t block[SFS_BLOCK], uint32_t slot, struct sfs_commit *c);

/* Directory and table pages. */
struct sfs_directory {
    uint32_t first_page, count;
    struct sfs_pageptr pages[SFS_DIR_FANOUT];
};
/* Returns the page's checksum through *checksum. */
void sfs_directory_encode(const struct sfs_directory *d, const struct sfs_uuid *pool, uint32_t slot,
                          uint8_t block[SFS_BLOCK], uint64_t *checksum);
int sfs_directory_decode(const uint8_t block[SFS_BLOCK], const struct sfs_uuid *pool, uint32_t slot,
                         uint64_t checksum, struct sfs_directory *d);

#define SFS_TABLE_ROOM (SFS_BLOCK - 48u) /* bytes for records in a table page */
#define SFS_RECORD_HEAD 4u
enum sfs_record_type {
    SFS_RECORD_CONFIG = 1,
    SFS_RECORD_DISK,
    SFS_RECORD_TENURE,
    SFS_RECORD_GROUP,
    SFS_RECORD_COUNT,
    SFS_RECORD_BITMAP,
    SFS_RECORD_TASK,
};
/* A table page from ready-made records (each with its 4-byte head), and back. */
void sfs_table_encode(const uint8_t *records, uint32_t bytes, uint32_t page, const struct sfs_uuid *pool,
                      uint32_t slot, uint8_t block[SFS_BLOCK], uint64_t *checksum);
int sfs_table_decode(const uint8_t block[SFS_BLOCK], const struct sfs_uuid *pool, uint32_t slot,
                     uint64_t checksum, uint32_t page, const uint8_t **records, uint32_t *bytes);
/* The next record: OK, NODATA at the end, CORRUPT. Types that are not known are passed over by the caller. */
int sfs_record_next(struct sfs_reader *r, uint16_t *type, const uint8_t **payload, uint16_t *len);

struct sfs_config_record {
    char name[SFS_NAME_MAX + 1];
    uint8_t failover, optimize, verify, compression;
    int8_t zstd_level;
    uint8_t width_cap;
    uint8_t settle; /* 1: width and evenness of the groups do not follow the configuration yet */
    uint8_t quorum; /* records are written while no more members than this are absent */
    uint32_t record_bytes, next_disk;
    int64_t created_ns;
    uint64_t extents_repaired, extents_lost, next_generation;
    uint64_t rate;                       /* bytes a second that changes move at most; 0: as fast as they can */
    uint8_t paused;                      /* a set of sfs_paused */
    uint8_t was_failover, was_optimize;  /* what was wished when the groups were last what is wished */
};
enum sfs_paused { SFS_PAUSED_ALL = 1, SFS_PAUSED_CONVERT = 2, SFS_PAUSED_REBALANCE = 4 };
#define SFS_ROLE_DATA 0u
#define SFS_ROLE_METADATA 1u /* the last one that is known: disks of others get no columns */
/* Is the disk there, and what is to become of it: two things. */
enum sfs_presence { SFS_DISK_ONLINE, SFS_DISK_ABSENT };
enum sfs_wish { SFS_WISH_STAY, SFS_WISH_FAILED, SFS_WISH_LEAVE, SFS_WISH_JOIN };
struct sfs_disk_record {
    uint16_t index;
    struct sfs_uuid uuid;
    uint8_t presence, wish, role, layout;
    uint64_t size, data_offset;
    uint32_t atoms, table_slots, sector_bytes, atom_bytes;
    uint64_t flushed_txn;
    uint64_t last_tenure, last_txn; /* of an absent disk: the last record that it surely has */
    uint64_t read_errors, write_errors, checksum_errors;
    uint16_t replaced_by;
    char station[SFS_NAME_MAX + 1];
    char path[256]; /* cut to 255 bytes: a hint */
    uint64_t wanted_size; /* no column ends behind what a disk of this size has, or it is to move */
    uint64_t device_size; /* of the device when it was last looked at */
    uint8_t paused;       /* what is to leave it stays for now */
};
struct sfs_tenure_record {
    uint64_t id, base_txn, first_txn, host; /* base: of the record that the opening went on from */
    int64_t time_ns;
};
enum sfs_class { SFS_CLASS_SYSTEM, SFS_CLASS_METADATA, SFS_CLASS_LANDING, SFS_CLASS_DATA, SFS_CLASSES };
enum sfs_group_state { SFS_GROUP_OPEN, SFS_GROUP_CLOSED, SFS_GROUP_EVACUATING };
struct sfs_column {
    uint16_t disk; /* index, SFS_NONE16: none */
    uint32_t atom;
};
struct sfs_group_record {
    uint32_t group;
    uint64_t generation;
    uint8_t class, state, k, m, unit_log2, column_log2;
    bool sequential;
    uint32_t rows;
    uint64_t birth;
    struct sfs_column columns[SFS_COLUMNS_MAX];
};
struct sfs_count_record {
    uint32_t group;
    uint64_t live;
    uint32_t write_row, used_rows;
    uint64_t last_txn;
};
struct sfs_bitmap_record {
    uint32_t group, first_row;
    uint16_t bytes;
    const uint8_t *bits;
};
struct sfs_task_record {
    uint32_t id;
    uint8_t kind, state;
    uint32_t group, row;
    uint64_t bytes_done, bytes_total, repaired, lost;
    int64_t started_ns;
};
/* Each puts head and payload; decoders take the payload. */
void sfs_config_put(struct sfs_writer *w, const struct sfs_config_record *r);
int sfs_config_get(const uint8_t *p, uint16_t len, struct sfs_config_record *r);
void sfs_diskrec_put(struct sfs_writer *w, const struct sfs_disk_record *r);
int sfs_diskrec_get(const uint8_t *p, uint16_t len, struct sfs_disk_record *r);
void sfs_tenure_put(struct sfs_writer *w, const struct sfs_tenure_record *r);
int sfs_tenure_get(const uint8_t *p, uint16_t len, struct sfs_tenure_record *r);
void sfs_group_put(struct sfs_writer *w, const struct sfs_group_record *r);
int sfs_group_get(const uint8_t *p, uint16_t len, struct sfs_group_record *r);
void sfs_count_put(struct sfs_writer *w, const struct sfs_count_record *r);
int sfs_count_get(const uint8_t *p, uint16_t len, struct sfs_count_record *r);
void sfs_bitmap_put(struct sfs_writer *w, const struct sfs_bitmap_record *r);
int sfs_bitmap_get(const uint8_t *p, uint16_t len, struct sfs_bitmap_record *r);
void sfs_task_put(struct sfs_writer *w, const struct sfs_task_record *r);
int sfs_task_get(const uint8_t *p, uint16_t len, struct sfs_task_record *r);

struct sfs_column_header {
    struct sfs_uuid pool, disk;
    uint32_t group, unit_bytes, rows;
    uint8_t column, k, m, class;
    uint64_t generation, column_bytes, txn;
    uint16_t code, disk_index;
};
void sfs_column_encode(const struct sfs_column_header *h, uint64_t disk_offset, uint8_t block[SFS_BLOCK]);
int sfs_column_decode(const uint8_t block[SFS_BLOCK], uint64_t disk_offset, struct sfs_column_header *h);

/* Summaries. */
#define SFS_SUMMARY_HEAD 72u
#define SFS_ENTRY_BYTES 64u
/* The header's length is a u16: so many entries fit beside any number of unit sums. */
#define SFS_SUMMARY_ENTRIES_MAX 1014u
#define SFS_SUMMARY_BLOCKS_MAX 16u
struct sfs_entry {
    uint64_t id, birth;
    uint32_t offset, stored, raw;
    uint8_t compression;
    uint16_t sums;
    uint64_t sums_hash;
    uint32_t volume;
    uint64_t inode, file_offset;
};
struct sfs_summary {
    struct sfs_uuid pool;
    uint8_t kind, blocks; /* kind 0 data row, 1 landing batch */
    uint32_t group, entries, length;
    uint64_t offset, generation, txn;
    uint16_t unit_sums;
    uint64_t sums[SFS_COLUMNS_MAX];
};
/* Blocks of 4 KiB that a summary with so many sums and entries needs. */
uint32_t sfs_summary_blocks(unsigned unit_sums, uint32_t entries);
/* Bytes of header, sums and entries. */
uint32_t sfs_summary_head_bytes(unsigned unit_sums, uint32_t entries);
/* Fills s->blocks × 4 KiB at `out` (kind 1: only the head bytes are written; what follows is data). */
void sfs_summary_encode(const struct sfs_summary *s, const struct sfs_entry *entries, uint8_t *out);
/* `avail` bytes are at `in`. OK; RANGE when it is longer than that (s->blocks says how long, if the
 * fixed part could be read; of a batch, header and entries suffice); CORRUPT; VERSION. Expected
 * group, offset and generation are checked. */
int sfs_summary_decode(const uint8_t *in, size_t avail, uint32_t group, uint64_t offset,
                       uint64_t generation, struct sfs_summary *s);
/* Entry i of a summary that was decoded from `in`; bounds are checked against s->length. */
int sfs_summary_entry(const uint8_t *in, const struct sfs_summary *s, uint32_t i, struct sfs_entry *e);
/* Checksums: of an uncompressed extent of data, ceil(len / 4 KiB) of them; of a compressed one, and of a node, one. */
uint64_t sfs_extent_sum(const void *piece, size_t len, uint64_t id, uint64_t birth, uint32_t number);
uint64_t sfs_unit_sum(const void *unit, size_t len, uint32_t group, uint32_t row, unsigned column);
uint64_t sfs_sums_hash(const uint64_t *sums, unsigned count);

/* Do the lengths, the compression and the number of checksums of an extent of data fit together? */
bool sfs_extent_shape_ok(uint32_t stored, uint32_t raw, uint8_t compression, uint16_t sums);

/* Values of the trees. */
#define SFS_SUMS_MAX (SFS_EXTENT_MAX / SFS_SUM_BYTES)
struct sfs_extent {
    uint64_t birth;
    struct sfs_place place;
    uint32_t stored, raw;
    uint8_t compression, kind; /* kind 0 data, 1 tree node */
    uint16_t sum_count;
    uint32_t refs;
    uint64_t ref_bytes;
    uint64_t sums[SFS_SUMS_MAX];
};
#define SFS_EXTENT_VALUE_MAX (48u + 8u * SFS_SUMS_MAX)
uint32_t sfs_extent_encode(const struct sfs_extent *e, uint8_t *out); /* returns its length */
int sfs_extent_decode(const uint8_t *in, size_t len, struct sfs_extent *e);

struct sfs_row_state {
    uint32_t live;
    uint64_t txn;
};
#define SFS_SPACE_VALUE_MAX (12u * SFS_SPACE_CHUNK)
uint32_t sfs_space_encode(const struct sfs_row_state rows[SFS_SPACE_CHUNK], uint8_t *out);
int sfs_space_decode(const uint8_t *in, size_t len, struct sfs_row_state rows[SFS_SPACE_CHUNK]);

enum sfs_key_type {
    SFS_KEY_INODE = 0x10,
    SFS_KEY_DIRENT = 0x20,
    SFS_KEY_EXTENT = 0x30,
    SFS_KEY_XATTR = 0x40,
    SFS_KEY_SYMLINK = 0x50,
    SFS_KEY_ORPHAN = 0x60,
    SFS_KEY_COUNTS = 0x61,
};
#define SFS_TREE_EXTENT_MAP 1u
#define SFS_TREE_SPACE 2u
#define SFS_TREE_POOL 3u
#define SFS_TREE_VOLUME 16u
#define SFS_ROOT_INODE 1u

struct sfs_time {
    int64_t s;
    uint32_t ns;
};
struct sfs_inode_value {
    uint32_t mode, links, uid, gid;
    uint64_t size, allocated, rdev; /* rdev: major << 32 | minor */
    struct sfs_time atime, mtime, ctime, btime;
    uint64_t parent;
    uint32_t flags, attributes;
    uint64_t entries;
};
#define SFS_INODE_BYTES 128u
void sfs_inode_encode(const struct sfs_inode_value *v, uint8_t out[SFS_INODE_BYTES]);
int sfs_inode_decode(const uint8_t *in, size_t len, struct sfs_inode_value *v);

struct sfs_dirent_value {
    uint64_t inode;
    uint8_t type;
    uint16_t name_len;
    const uint8_t *name; /* points into the value */
};
uint32_t sfs_dirent_encode(const struct sfs_dirent_value *v, uint8_t *out);
int sfs_dirent_decode(const uint8_t *in, size_t len, struct sfs_dirent_value *v);

struct sfs_fileext_value {
    uint64_t id;
    uint32_t offset, length;
};
#define SFS_FILEEXT_BYTES 20u
void sfs_fileext_encode(const struct sfs_fileext_value *v, uint8_t out[SFS_FILEEXT_BYTES]);
int sfs_fileext_decode(const uint8_t *in, size_t len, struct sfs_fileext_value *v);

struct sfs_xattr_value {
    uint8_t kind;
    uint16_t name_len;
    const uint8_t *name;
    uint32_t value_len;
    const uint8_t *value; /* kind 0 */
    uint64_t extent;      /* kind 1 */
};
uint32_t sfs_xattr_encode(const struct sfs_xattr_value *v, uint8_t *out);
int sfs_xattr_decode(const uint8_t *in, size_t len, struct sfs_xattr_value *v);

struct sfs_volume_value {
    uint64_t root;
    uint32_t flags;
    int64_t created_ns;
    uint64_t salt[2]; /* of the cookies of names */
    uint8_t name_len;
    const uint8_t *name;
};
uint32_t sfs_volume_encode(const struct sfs_volume_value *v, uint8_t *out);
int sfs_volume_decode(const uint8_t *in, size_t len, struct sfs_volume_value *v);

/* The cookie without its number: low 47 bits of SipHash(salt, name), never 0, shifted left by 16. */
uint64_t sfs_name_cookie(const uint64_t salt[2], const void *name, size_t len);

/* Tree node headers; slots and values are handled by store/page.h. */
struct sfs_node_header {
    uint8_t level;
    uint64_t id, birth, checksum;
    uint32_t tree, group;
    uint64_t offset;
};
/* Writes the header fields into a page, computes and stores the checksum, returns it. */
uint64_t sfs_node_seal(uint8_t page[SFS_NODE_BYTES], const struct sfs_node_header *h);
/* Checks magic, version, checksum and the shape of slots and heap (order of keys included). */
int sfs_node_check(const uint8_t page[SFS_NODE_BYTES], struct sfs_node_header *h);

#endif
