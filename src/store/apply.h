/* Applying a set of updates to trees, the extent map and the space tree: all or nothing, in memory. */
#ifndef SFS_STORE_APPLY_H
#define SFS_STORE_APPLY_H

#include "store/store.h"

enum sfs_op_kind { SFS_OP_PUT, SFS_OP_DELETE, SFS_OP_ADD, SFS_OP_REF, SFS_OP_MOVE, SFS_OP_COUNT };

struct sfs_op {
    enum sfs_op_kind kind;
    uint32_t tree;        /* PUT, DELETE, COUNT */
    struct sfs_key key;
    const void *value;    /* PUT */
    uint32_t len;
    uint64_t id;          /* ADD, REF, MOVE */
    const struct sfs_extent *extent; /* ADD: the entry; MOVE: the new place */
    int32_t refs;         /* REF */
    int64_t ref_bytes;    /* COUNT: what is added to the u64 that the value begins with */
    uint64_t birth;       /* MOVE: what must still be true */
    struct sfs_place old_place;
};

int sfs_store_apply(struct sfs_store *store, const struct sfs_op *ops, size_t count, enum sfs_claim claim);

#endif
