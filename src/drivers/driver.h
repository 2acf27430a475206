/* What the files of the FUSE driver share: the state of one mount.
 *
 *   fuse.c      a mount from beginning to end: process, pool, session, signals, unmounting
 *   loop.c      the threads that take requests from the kernel
 *   raw.c       requests answered without libfuse: data, and what libfuse cannot say
 *   names.c     requests on names and directories, through libfuse
 *   inodes.c    requests on inodes, through libfuse
 *   seek.c      SEEK_DATA and SEEK_HOLE, which must make the kernel write first
 *   full.c      how write(2) hears of a full pool in spite of the kernel's write-back cache
 *   options.c   the text after -o, pure
 *   errno.c     library error -> errno
 *   place.c     mount points
 *
 * Nothing is kept per open file: the kernel is told that open and opendir need no answer
 * (no_open), permission checks are its own (default_permissions), and lookup counts are holds
 * of the library. All caches of the kernel are valid for ever, because nobody else changes the
 * volume while it is mounted.
 */
#ifndef SFS_DRIVERS_DRIVER_H
#define SFS_DRIVERS_DRIVER_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "scalefs/fs.h"

#define DRIVER_MAX_TRANSFER (1u << 20) /* of one READ or WRITE; the kernel's limit */
#define DRIVER_VALID_SECONDS 86400.0   /* how long the kernel may trust names and attributes */

#define DRIVER_MAX_WORKERS 16u
#define DRIVER_REFUSED_FILES 32u

struct driver {
    struct scalefs_pool *pool;
    struct scalefs_fs *fs;
    struct fuse_session *session;
    int fuse_fd;

    /* loop.c */
    pthread_mutex_t lock; /* guards workers, slots, watched; changes of alone */
    unsigned workers;
    struct {
        bool used;
        pthread_t thread;
    } slots[DRIVER_MAX_WORKERS];
    atomic_uint idle;
    atomic_long all_busy; /* when (monotonic seconds) nobody was waiting for a request */
    atomic_bool stopping;
    int idle_fd; /* eventfd: the last worker has left */
    bool may_linger;            /* there is more than one processor */
    atomic_bool lingers;        /* somebody does */
    atomic_bool lively;         /* the last request came soon after an answer */
    _Atomic uint64_t answered;  /* when the last answer went (monotonic ns) */
    _Atomic uint64_t calm_until; /* nobody lingers before (monotonic ns) */
    _Atomic uint64_t calm_ns;    /* how long that is: twice as long each time, until a request is found */
    atomic_uint busy;           /* at a request */
    atomic_uint in_turn;        /* so many requests came one after the other, from */
    atomic_uint caller;         /* this thread */
    _Atomic(struct worker *) alone; /* takes all requests, the others are parked; NULL: all take them */
    pthread_cond_t let_in;      /* alone became NULL */
    bool watched;               /* one of the parked looks whether somebody waits */
    atomic_uint taken;          /* requests; wraps */

    struct { /* seek.c */
        bool started, end;
        pthread_t thread;
        pthread_mutex_t lock; /* guards first and end */
        pthread_cond_t more;
        struct seek *first;
    } seeks;

    struct { /* full.c */
        atomic_bool any;      /* some refusal is young */
        atomic_bool stale;    /* some file is */
        bool by_name;         /* the kernel (before 6.18) forgets files by name only; the seeking thread's */
        pthread_mutex_t lock; /* guards files */
        struct refused_file {
            uint64_t ino;            /* 0: a free place */
            uint64_t since_ms, room; /* when a WRITE was refused last, and how much was free then */
            bool pending;            /* its writer is to be told */
            bool told;               /* it was, then: */
            uint64_t told_ms;
            bool stale; /* the kernel may think that it is longer than it is */
            bool asked; /* this thread is on its way: */
            pid_t asker;
        } files[DRIVER_REFUSED_FILES];
    } full;

    /* INIT: what the kernel offered, and what libfuse's answer is completed with. */
    uint32_t kernel_flags;
    bool init_answered;
    int ready_fd; /* eventfd: the file system can be used */
};

/* A thread that takes requests, with its buffers. */
struct worker {
    struct driver *driver;
    unsigned slot;
    struct fuse_buf request;    /* what it is read into lies in `given`, or in `memory` */
    struct fuse_in_header last; /* of the last request */
    void *given;                /* of scalefs_memory_get; NULL: there was none, or a WRITE kept it */
    uint8_t *memory;
    uint8_t *reply; /* a page of room for the header, then DRIVER_MAX_TRANSFER bytes */
};

/* errno.c: 0 for SCALEFS_OK, else a positive errno. */
int sfs_drivers_errno(int error);

/* loop.c */
int sfs_drivers_loop_start(struct driver *d);
/* Makes the workers leave after the request they are at, and waits for them. */
void sfs_drivers_loop_stop(struct driver *d);

/* raw.c: answers the request, or returns false to leave it to libfuse. */
bool sfs_drivers_raw(struct worker *w);
/* The read and writev of the session; the latter completes the answer to INIT. */
ssize_t sfs_drivers_read(int fd, void *buf, size_t len, void *userdata);
ssize_t sfs_drivers_writev(int fd, struct iovec *iov, int count, void *userdata);

/* names.c, inodes.c: fill their part of the table. */
void sfs_drivers_name_ops(struct fuse_lowlevel_ops *ops);
void sfs_drivers_inode_ops(struct fuse_lowlevel_ops *ops);

/* seek.c */
void sfs_drivers_seek_ops(struct fuse_lowlevel_ops *ops);
int sfs_drivers_seek_start(struct driver *d);
void sfs_drivers_seek_stop(struct driver *d);
void sfs_drivers_seek_deinit(struct driver *d);
/* Makes the kernel doubt what it knows of the inode's attributes, soon. */
void sfs_drivers_ask_again(struct driver *d, uint64_t ino);

/* full.c */
/* A WRITE of the file was refused for lack of room. */
void sfs_drivers_full_note(struct driver *d, uint64_t ino);
/* Of the seeking thread: makes the kernel forget files whose size it has wrong, where nobody has them open. How long
 * until it is to be tried again; 0: there are none. */
unsigned sfs_drivers_full_let_go(struct driver *d);
void sfs_drivers_full_forgotten(struct driver *d, uint64_t ino);
/* What a thread asks about a file, in this order when it writes; the answer to the last one tells it.
 * True: it is a writer that is to be told. */
enum full_question { FULL_ATTRIBUTES, FULL_CAPABILITIES, FULL_TELLING };
bool sfs_drivers_full_ask(struct driver *d, uint64_t ino, pid_t pid, enum full_question question);

/* names.c */
void sfs_drivers_stat(const struct scalefs_attr *attr, struct stat *st);
void sfs_drivers_entry(const struct scalefs_attr *attr, struct fuse_entry_param *entry);

/* inodes.c: the mode of a new inode: the umask counts where the directory has no default ACL. What an
 * ACL does to it is the library's to say. */
int sfs_drivers_new_mode(struct driver *d, uint64_t dir, uint32_t umask, uint32_t *mode);
/* Changes of attributes, with what Linux adds: file capabilities do not survive a new owner. */
int sfs_drivers_setattr(struct driver *d, uint64_t ino, const struct scalefs_attr *values, unsigned mask,
                        struct scalefs_attr *attr);
int sfs_drivers_setxattr(struct driver *d, uint64_t ino, const char *name, const void *value, size_t len,
                         unsigned flags, bool kill_sgid);
/* As a write by an ordinary user does: set-id bits and file capabilities go. */
int sfs_drivers_drop_privileges(struct driver *d, uint64_t ino);

#endif
