/* The file system in simulation: what the parts of sim_fs share. docs/TESTING.md says what is checked.
 *
 * Several clients run the production code (fs on tree on store on pool) on simulated disks. Each has a directory of its
 * own and a model of it, outside of the world, so that it survives cuts:
 *   - `tree`: names, attributes and extended attributes now; `base`: as of the last acknowledged sync; `ops`: the operations
 *     in between, in order. After a cut the directory must be `base` after some first part of `ops`.
 *   - for each file its bytes now, its bytes as of the last acknowledged fsync or sync, and what changed them in between.
 * Beside that there are files that all clients write (sim_fs_shared.c), and many small
 * inodes (sim_fs_ballast.c).
 *
 * Files: sim_fs.c (seeds, lives, arguments), sim_fs_model.c (names), sim_fs_data.c (bytes), sim_fs_client.c (operations on
 * names), sim_fs_io.c (operations on data), sim_fs_shared.c, sim_fs_ballast.c, sim_fs_verify.c (after a cut), sim_fs_before.c,
 * sim_fs_chaos.c (faults, disks that come and go), sim_fs_verbs.c (changes of the configuration), sim_fs_tour.c (a long way of them).
 */
#ifndef TESTS_SIM_SIM_FS_H
#define TESTS_SIM_SIM_FS_H

#include "fs/fs.h"
#include "sim/world.h"
#include "store/care.h"

enum {
    CLIENTS = 4, /* at most */
    DIRS = 6,    /* directories of a client, its own (number 0) included */
    NODES = 36,  /* directories and other inodes of a client */
    NAMES = 9,   /* in each directory */
    XATTRS = 3,
    BLOCKS = 48, /* of each shared file */
    SHARED = 2,
    DISKS = 12,  /* in a farm, replacements included */
    BLOCK = 4096
};

/* --- names and attributes (sim_fs_model.c) ------------------------------------------------------------------------- */

struct value { /* of an extended attribute or a symbolic link: bytes that follow from the stamp */
    uint64_t stamp; /* 0: none */
    uint32_t len;
};
struct node {
    uint32_t mode; /* with the type; 0: this place is free */
    uint32_t uid, gid, links;
    uint64_t ino;   /* 0: not known (the power went before we were told) */
    int64_t atime;  /* 0: not known */
    struct value xattr[XATTRS], target;
    uint32_t file;  /* regular files: whose bytes, in client->files */
    bool held, nameless;
};
struct tree {
    struct node node[NODES]; /* [0, DIRS): directories */
    int8_t entry[DIRS][NAMES]; /* number of a node; -1: no such name */
};

enum op_kind {
    OP_MAKE, /* mknod, mkdir, symlink, tmpfile (name < 0) */
    OP_UNLINK,
    OP_RMDIR,
    OP_RENAME,
    OP_LINK,
    OP_SETATTR,
    OP_XATTR,
    OP_HOLD,
    OP_RELEASE,
    OP_DATA /* changes bytes in transactions: truncate, punch, zero, clone */
};
struct op {
    uint64_t seq;
    enum op_kind kind;
    int dir, name, dir2, name2, node, xattr;
    unsigned flags;
    struct node made; /* OP_MAKE: what; OP_SETATTR: values */
    struct value value;
    uint64_t seen[CLIENTS]; /* of each client, the last operation that was over when this one began */
    bool done;
};

void tree_init(struct tree *t);
/* What the file system must answer; SCALEFS_OK: it must do it. */
int tree_expect(const struct tree *t, const struct op *op);
void tree_apply(struct tree *t, const struct op *op); /* expected to be OK */
int tree_free_node(const struct tree *t, bool dir);     /* -1: none */
const char *name_text(int name, size_t *len);           /* of a name number */
int name_number(const char *name, size_t len);          /* -1: none of ours */
const char *xattr_name(int i);
void value_fill(const struct value *v, uint8_t *buf);   /* target: printable */
bool is_dir(const struct node *n);
bool is_file(const struct node *n);

/* --- bytes (sim_fs_data.c) ------------------------------------------------------------------------------------------- */

/* The byte at `offset` of what was written with `stamp`; never 0. */
void stamp_fill(uint64_t stamp, uint64_t offset, uint8_t *buf, size_t len);

struct image {
    uint8_t *bytes; /* behind `size` all zero */
    uint64_t size, room;
};
enum change_kind {
    CHANGE_WRITE, /* may be lost, in part or whole, until it is synced */
    CHANGE_SET,   /* a transaction: there as a whole when its operation is */
    CHANGE_SIZE,  /* a transaction: `offset` is the new size */
    CHANGE_SOLID  /* a transaction that makes all bytes so far durable: a rename onto another file */
};
struct change {
    uint64_t seq;
    enum change_kind kind;
    uint64_t offset, len;
    uint64_t stamp;   /* 0: zeros or `bytes` */
    uint8_t *bytes;   /* a clone's */
    bool exact_size;  /* CHANGE_SET: the size is durable with it */
    bool done;
};
struct file {
    struct image now, base;
    struct change *changes; /* since base */
    size_t count, room;
};

struct file *file_new(void);
void file_free(struct file *f);
/* Appends to the changes; *c is copied, its bytes become the file's. Not yet in `now`. */
void file_change(struct file *f, const struct change *c);
void file_done(struct file *f);   /* the last changes were made */
void file_cancel(struct file *f); /* the last changes were refused */
/* All changes up to seq are durable. */
void file_acked(struct file *f, uint64_t seq);
/* Could a file that has lived through the changes with seq < limit hold these bytes? NULL: yes; else why not. */
const char *file_check(const struct file *f, uint64_t limit, const uint8_t *bytes, uint64_t size, uint64_t *at);
/* From now on these bytes are what the file holds, durably. */
void file_rebase(struct file *f, const uint8_t *bytes, uint64_t size);

/* --- the whole ----------------------------------------------------------------------------------------------------- */

struct client {
    unsigned number;
    struct tree now, base;
    struct op *ops; /* since base */
    size_t op_count, op_room;
    struct file **files;
    uint32_t file_count, file_room;
    uint64_t seq, done_seq; /* of the last operation begun, and over */
    bool stop;
    struct prng prng;
};

struct shared_block {
    uint32_t base, done, now; /* versions: durable, last written, last begun */
    bool busy;
    uint32_t raw_version; /* what was found after the last life: no version that was written, perhaps a mixture */
    uint8_t raw[BLOCK];
};
struct shared {
    struct shared_block block[SHARED][BLOCKS];
    uint64_t ino[SHARED];
    uint64_t dir, log; /* inodes; the log is a new one in each life */
    uint64_t log_synced, log_issued;
    struct shared_piece {
        uint64_t offset, stamp;
        uint32_t len;
    } *pieces; /* appended to the log, as far as we were told */
    size_t piece_count, piece_room;
};

enum mode { MODE_CUT = 1, MODE_FAULT = 2 };
enum zoned { ZONED_DRAW, ZONED_NONE, ZONED_MIXED, ZONED_ALL };

enum verb {
    VERB_ADD, VERB_REMOVE, VERB_REPLACE, VERB_FAILOVER, VERB_OPTIMIZE, VERB_RESIZE, VERB_PAUSE, VERB_RESUME, VERB_CANCEL, VERB_RATE,
    VERB_OFFLINE, VERB_ONLINE, VERB_SCRUB, VERB_ROLE, VERBS
};

struct counts { /* nothing but numbers that are added up */
    uint64_t operations, checkpoints, reused, cuts, kills, lives, refused, full;
    uint64_t pulled, returned, replaced, scrubs, added, removed, configured, resized, died, roles;
    uint64_t storms, suspended, went_on, remounted;
    uint64_t host_full; /* times; in_vain: requests that heard of it */
    uint64_t in_vain;
    uint64_t cut_in[VERBS], killed_in[VERBS];
};

struct model {
    struct world *w;
    enum mode mode;
    bool changes; /* of the configuration */
    bool roles;   /* among them disks that are for metadata */
    bool verbose, tiny; /* `tiny`: disks so small that the pool is often full */
    unsigned disks, failover, clients;
    enum zoned zoned;       /* which disks are host-managed zoned ones */
    uint64_t zone_capacity; /* of theirs */
    struct prng zones;      /* for these choices */
    struct sfs_store_options store_options;
    struct sfs_fs_options fs_options;
    uint64_t file_max;    /* bytes */
    unsigned ops_each;    /* of a client in a life */
    unsigned sync_every;  /* one in so many operations */
    bool ready;           /* the clients' directories are there, durably */
    struct client client[CLIENTS];
    struct shared shared;
    struct ballast {
        uint64_t ino;
        uint32_t base, now; /* versions: durable, last begun */
    } *ballast;
    uint32_t ballast_count;
    uint64_t next_stamp;
    uint64_t last_committed, last_reused;
    struct counts counts;
    /* Of the present life. */
    struct sfs_store *store;
    struct sfs_fs *fs;
    bool was_cut, was_killed; /* the last life; a kill is a cut, too */
    unsigned running; /* clients */
    /* Faults. */
    bool calm;              /* all was put right at the end of the last life: nothing may be wrong */
    struct sim_rates rates;
    bool faulty; /* they are not all 0 */
    struct prng chaos;
    bool tour, touring;     /* a seed of the mode tour; it is not over */
    uint64_t longest_ns;    /* that a request took */
    bool storms;            /* this seed has them */
    bool storm;             /* more disks than are borne went, and the pool has not seen all of them back */
    bool storm_cut_off;     /* it was suspended for what they may have lost */
    unsigned storm_comings[DISKS]; /* of each disk's member before it went, + 1; 0: it did not go */
    uint64_t storm_ns;      /* when they were all there again; 0: not yet */
    bool fills;             /* this seed has a host whose own disk is full now and then */
    struct prng filling;
    uint64_t host_full_until_ns; /* 0: it has room */
    uint64_t host_room_ns;  /* since when */
    bool dead[DISKS];       /* lost all that it held: no member any more, whatever the pool thinks */
    /* Changes. */
    unsigned under; /* verbs that are under way, a bit each */
    bool calling, doomed;
    enum verb doom;
    uint16_t member[DISKS]; /* of each disk of the farm: which member of the pool it is; 0: none */
    char problems[20][160]; /* that the check found */
    unsigned problem_count;
};

/* In some seeds the next disk is zoned. */
void zoned_disk(struct model *m, struct sim_disk_options *o, bool spare);

#define N(x) ((unsigned long long)(x))
/* Fails the run. */
void wrong(struct model *m, const char *format, ...);
void trace(struct model *m, const char *format, ...);
#define MUST(m, call)                                                                                        \
    do {                                                                                                     \
        int must_err = (call);                                                                               \
        if (must_err)                                                                                        \
            wrong(m, "%s:%d: %s: %s", __FILE__, __LINE__, #call, scalefs_error_text(must_err));              \
    } while (0)

/* Opens pool and store. To look at them (then nothing runs in the background) they are opened for reading only; where faults
 * come, for writing: what was found must be committed on all disks before it can be relied on, since a disk that alone
 * has the newest record may be the next to fail. So after a kill, too: the machine may still hold the newest record in its
 * cache, where the next power cut takes it. */
void pool_open(struct model *m, bool to_look);
void fs_open(struct model *m, bool read_only);
void all_close(struct model *m);

/* sim_fs_client.c: a client's task; its directory is there. */
struct client_task {
    struct model *m;
    struct client *c;
};
void client_run(void *client_task);
/* Records an operation before it is begun, or returns what the file system must refuse it with. */
int op_begin(struct model *m, struct client *c, struct op *op);
/* After it: the answer. True when it was done; false when it was refused for lack of room. */
bool op_end(struct model *m, struct client *c, int err);
struct op *op_last(struct client *c);
void note_progress(struct model *m); /* counts checkpoints and reused rows */

/* sim_fs_io.c */
void *scratch(struct model *m, size_t bytes); /* of this world: gone with a task that is cut */
void scratch_free(struct model *m, void *p);
struct file *node_file(struct client *c, int node);
uint32_t client_add_file(struct client *c);
void io_step(struct model *m, struct client *c);      /* one random operation on a file's bytes */
void io_read_check(struct model *m, struct client *c, int node);
void io_fsync(struct model *m, struct client *c, int node);
void io_sync(struct model *m, struct client *c);
/* What becomes durable when a sync that begins now succeeds. */
struct promise {
    uint64_t seq[CLIENTS];
    uint32_t done[SHARED][BLOCKS];
    uint64_t log;
};
void promise_take(struct model *m, struct promise *p);
void promise_names(struct model *m, const struct promise *p); /* names and attributes */
void promise_data(struct model *m, const struct promise *p);  /* bytes, too */

/* sim_fs_shared.c */
void shared_setup(struct model *m);
void shared_step(struct model *m, struct client *c);
void shared_verify(struct model *m);
uint64_t shared_log_end(const struct shared *s); /* bytes without a gap */
void shared_free(struct shared *s);

/* sim_fs_ballast.c */
void ballast_setup(struct model *m);
void ballast_step(struct model *m, struct client *c);
void ballast_promised(struct model *m, const uint64_t *seq); /* of each client */
void ballast_verify(struct model *m);

/* sim_fs_verify.c: a life of its own after each other one. */
void verify(struct world *w, void *model);
void check_pool(struct model *m); /* everything below the files */
void check_files(struct model *m);

/* sim_fs_before.c: is the state before the newest one whole? Between lives. */
bool before_check(struct model *m);

/* sim_fs_verbs.c */
const char *verb_name(enum verb v);
void verb_doom(struct model *m); /* this life: it is to be cut within a verb */
void verb_begin(struct model *m, enum verb v);
void verb_end(struct model *m, enum verb v, int err);
void verb_rest(struct model *m);  /* now and then: is none under way any more? */
void verb_count(struct model *m); /* after a life that was cut */
void verb_some(struct model *m);  /* a random one */

/* sim_fs_tour.c */
void tour_disks(struct model *m);
void tour_run(void *model); /* a task, instead of chaos_run */
void tour_waited(struct model *m, uint64_t began_ns, const char *what); /* a request is over */

/* sim_fs_chaos.c */
struct standing {
    unsigned absent, behind, used;
    bool healthy; /* and nothing to do */
};
void chaos_look(struct model *m, struct standing *st);
void chaos_print_groups(struct model *m);
bool chaos_unlucky(int err);
void chaos_begin(struct model *m);              /* of a seed */
void chaos_between(struct model *m);            /* lives */
void chaos_opened(struct model *m);             /* the pool */
void chaos_rates(struct model *m);              /* which faults may come now */
bool chaos_absent(struct model *m);             /* is a disk of the pool away? */
void chaos_run(void *model);                    /* a task beside the clients, until none runs */
void chaos_calm(struct model *m);               /* before the last verification: everything is put right */

/* sim_fs_storm.c */
void storm_begin(struct model *m);              /* a deed */
void storm_look(struct model *m);               /* now and then: is it over? Ends the life when the pool has to be opened anew */
void storm_over(struct model *m);               /* between lives */
void host_look(struct model *m);                /* a deed, or the end of one: the host of the disks is full for a while */
void host_has_room(struct model *m);
/* A request got an error. True when it is to be made again: too many disks were away, or the host of the disks was full, and it changed
 * nothing. */
bool storm_again(struct model *m, int err);
#define PATIENT(call)                                                                                        \
    __extension__({                                                                                          \
        int patient_err;                                                                                     \
        while (storm_again(m, patient_err = (call)))                                                         \
            ;                                                                                                \
        patient_err;                                                                                         \
    })
#define sfs_fs_append(...) PATIENT(sfs_fs_append(__VA_ARGS__))
#define sfs_fs_copy_range(...) PATIENT(sfs_fs_copy_range(__VA_ARGS__))
#define sfs_fs_fallocate(...) PATIENT(sfs_fs_fallocate(__VA_ARGS__))
#define sfs_fs_fsync(...) PATIENT(sfs_fs_fsync(__VA_ARGS__))
#define sfs_fs_getattr(...) PATIENT(sfs_fs_getattr(__VA_ARGS__))
#define sfs_fs_getxattr(...) PATIENT(sfs_fs_getxattr(__VA_ARGS__))
#define sfs_fs_hold(...) PATIENT(sfs_fs_hold(__VA_ARGS__))
#define sfs_fs_link(...) PATIENT(sfs_fs_link(__VA_ARGS__))
#define sfs_fs_lookup(...) PATIENT(sfs_fs_lookup(__VA_ARGS__))
#define sfs_fs_mknod(...) PATIENT(sfs_fs_mknod(__VA_ARGS__))
#define sfs_fs_read(...) PATIENT(sfs_fs_read(__VA_ARGS__))
#define sfs_fs_readlink(...) PATIENT(sfs_fs_readlink(__VA_ARGS__))
#define sfs_fs_removexattr(...) PATIENT(sfs_fs_removexattr(__VA_ARGS__))
#define sfs_fs_rename(...) PATIENT(sfs_fs_rename(__VA_ARGS__))
#define sfs_fs_rmdir(...) PATIENT(sfs_fs_rmdir(__VA_ARGS__))
#define sfs_fs_seek(...) PATIENT(sfs_fs_seek(__VA_ARGS__))
#define sfs_fs_setattr(...) PATIENT(sfs_fs_setattr(__VA_ARGS__))
#define sfs_fs_setxattr(...) PATIENT(sfs_fs_setxattr(__VA_ARGS__))
#define sfs_fs_symlink(...) PATIENT(sfs_fs_symlink(__VA_ARGS__))
#define sfs_fs_sync(...) PATIENT(sfs_fs_sync(__VA_ARGS__))
#define sfs_fs_tmpfile(...) PATIENT(sfs_fs_tmpfile(__VA_ARGS__))
#define sfs_fs_unlink(...) PATIENT(sfs_fs_unlink(__VA_ARGS__))
#define sfs_fs_write(...) PATIENT(sfs_fs_write(__VA_ARGS__))
#define sfs_fs_write_keep(...) PATIENT(sfs_fs_write_keep(__VA_ARGS__))

#endif
