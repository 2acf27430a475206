/* What the files of the complete check share: check.c (the order of things, accounts), check_trees.c (walking the trees),
 * check_rows.c (what lies on the disks). */
#ifndef SFS_STORE_CHECK_INTERNAL_H
#define SFS_STORE_CHECK_INTERNAL_H

#include "store/care_internal.h"

/* One entry of the extent map, and what was found to refer to it. */
struct sfs_seen {
    uint64_t id, birth, offset;
    uint64_t sum; /* nodes: their checksum */
    uint64_t ref_bytes, found_bytes;
    uint32_t group, stored, raw, refs, found;
    uint8_t kind;
};

/* Live bytes by row: as counted from what is referenced, and as the space tree (or the bitmap) says. */
struct sfs_row_account {
    uint32_t counted, said;
};

struct sfs_check {
    struct sfs_store *s;
    struct sfs_pool *pool;
    void (*problem)(void *context, const char *text);
    void *context;
    struct scalefs_check_report *report;
    struct sfs_mutex lock; /* for the report: rows are read by several tasks */
    struct sfs_seen *seen; /* by id */
    size_t count, cap;
    size_t *by_place; /* indices into seen, by group and offset */
    struct sfs_row_account **rows; /* by group; NULL: no such group, or a log */
    uint64_t *live;                /* by group: counted live bytes */
    bool broken; /* some tree could not be read whole: what is missing is not counted against the accounts */
};

/* A sentence for each problem. `repairable`: redundancy still gives the right data. */
#if defined(__GNUC__) && !defined(__MINGW32__)
__attribute__((format(printf, 3, 4)))
#endif
void sfs_check_say(struct sfs_check *c, bool repairable, const char *format, ...);
struct sfs_seen *sfs_check_seen(struct sfs_check *c, uint64_t id); /* NULL: the map has none */
/* Are bytes of this group that are wrong on this member only owed there? */
bool sfs_check_owed(struct sfs_check *c, const struct sfs_group_record *g, uint16_t member);
/* The extent is lost: said so, with what `how` says of it, and its file will be named. */
void sfs_check_lost(struct sfs_check *c, uint64_t id, const char *how);
void sfs_check_count_bytes(struct sfs_check *c, uint64_t bytes);

int sfs_check_trees(struct sfs_check *c); /* NOMEM only */
int sfs_check_rows(struct sfs_check *c);  /* NOMEM only */

#endif
