/* What the files of the public library share: an open pool, the search for disks, refusals. */
#ifndef SFS_API_INTERNAL_H
#define SFS_API_INTERNAL_H

#include "base/assert.h"
#include "base/refuse.h"
#include "disk/disk.h"
#include "fs/fs.h"
#include "pool/pool.h"
#include "scalefs/fs.h"
#include "store/care.h"
#include "store/store.h"

struct sfs_api_log {
    scalefs_log_fn fn;
    void *context;
};

struct scalefs_fs {
    struct sfs_fs *fs;
};
struct scalefs_pool {
    struct sfs_env *env;
    struct sfs_api_log log;
    struct sfs_store *store;
    struct sfs_pool *pool;
    struct scalefs_fs files;
    bool read_only;
};

int sfs_api_env_open(struct sfs_api_log *log, struct sfs_env **env);
void sfs_api_env_close(struct sfs_env *env);
/* The error's own sentence, when nothing better was said. */
int sfs_api_explain(struct scalefs_error_info *info, int error);

/* ROFS, with a sentence that says what would work. */
int sfs_api_read_only(const struct scalefs_pool *pool, struct scalefs_error_info *info);

/* --- the search for disks (search.c)
 * ------------------------------------------------------------------ */
struct sfs_api_disk {
    char *path;        /* as the system calls it */
    const char *given; /* as the caller does; NULL: found by the scan */
    struct sfs_label label;
    bool has_record, exported;
    uint64_t txn, host;
};
struct sfs_api_search {
    struct sfs_env *env;
    struct sfs_api_disk *disks;
    size_t count, room;
    int error; /* NOMEM; of the disks that were given by name: the first refusal */
    struct scalefs_error_info why;
    const char *trying; /* given path that is being looked at */
};
void sfs_api_search_begin(struct sfs_api_search *s, struct sfs_env *env);
/* Looks at a path that the user gave; `name`: it may also be the name of a pool, so that a path
 * which is no disk is no error. */
void sfs_api_search_path(struct sfs_api_search *s, const char *path, bool name);
/* Block devices, the folders in SCALEFS_PATH and those of the given paths. */
void sfs_api_search_scan(struct sfs_api_search *s, const char *name, const char *const *paths,
                         size_t count);
void sfs_api_search_end(struct sfs_api_search *s);
/* The pool that is called so. NOENT, AMBIGUOUS, NOT_A_POOL …, with sentences. `name` NULL: the pool
 * of the first given disk. */
int sfs_api_search_pool(const struct sfs_api_search *s, const char *name, struct sfs_uuid *pool,
                        struct scalefs_error_info *info);

/* --- others
 * -------------------------------------------------------------------------------------------- */
/* Finds, opens, starts. `offline`: read-only, without background work, for check. */
int sfs_api_open(const struct scalefs_open_options *options, bool offline, const char *name,
                 const char *const *disks, size_t count, struct scalefs_pool **pool,
                 struct scalefs_error_info *info);
/* A disk that is to become a member: looked at, opened exclusively; a file that does not exist is
 * created when file_bytes is not 0 (*created). Nothing is written to it. */
int sfs_api_new_disk(struct sfs_env *env, const char *path, uint64_t file_bytes, bool force,
                     struct sfs_disk **disk, bool *created, struct scalefs_error_info *info);
/* Which member is meant by a short id, a UUID or a path. */
int sfs_api_member(struct scalefs_pool *pool, const char *disk, uint16_t *index,
                   struct scalefs_error_info *info);

#endif
