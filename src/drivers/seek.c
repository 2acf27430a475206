/* SEEK_DATA and SEEK_HOLE, and what else a worker must not wait for.
 *
 * The kernel asks without having written back what its cache holds, so that fresh data would look like a
 * hole (and a sparse copy of the file would lose them). So it is told to let go of its pages first,
 * which writes the dirty ones. Those writes come to the workers while the seek waits for them: a worker
 * that waited could be the last. A thread of its own does all seeks instead.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "drivers/driver.h"

struct seek {
    struct seek *next;
    fuse_req_t req; /* NULL: only to doubt the attributes */
    uint64_t ino, offset;
    bool hole;
};

static void answer(struct driver *d, const struct seek *s)
{
    uint64_t found;
    const off_t page = 4096;
    if (!s->req) {
        (void)fuse_lowlevel_notify_inval_inode(d->session, s->ino, -1, 0);
        return;
    }
    /* ENOENT: the kernel has no such inode in its cache any more. */
    (void)fuse_lowlevel_notify_inval_inode(d->session, s->ino, (off_t)s->offset & ~(page - 1), 0);
    int code = scalefs_seek(d->fs, s->ino, s->offset, s->hole, &found);
    if (code)
        fuse_reply_err(s->req, sfs_drivers_errno(code));
    else
        fuse_reply_lseek(s->req, (off_t)found);
}

/* At most that long; 0: without end. */
static void wait_for_more(struct driver *d, unsigned ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    if (ms)
        pthread_cond_timedwait(&d->seeks.more, &d->seeks.lock, &until);
    else
        pthread_cond_wait(&d->seeks.more, &d->seeks.lock);
}

static void *work(void *argument)
{
    struct driver *d = argument;
    for (;;) {
        pthread_mutex_lock(&d->seeks.lock);
        while (!d->seeks.first && !d->seeks.end) {
            pthread_mutex_unlock(&d->seeks.lock);
            unsigned ms = sfs_drivers_full_let_go(d);
            pthread_mutex_lock(&d->seeks.lock);
            if (!d->seeks.first && !d->seeks.end)
                wait_for_more(d, ms);
        }
        struct seek *s = d->seeks.first;
        if (s)
            d->seeks.first = s->next;
        pthread_mutex_unlock(&d->seeks.lock);
        if (!s)
            return NULL;
        answer(d, s);
        free(s);
    }
}

static void put(struct driver *d, struct seek *s)
{
    pthread_mutex_lock(&d->seeks.lock);
    struct seek **end = &d->seeks.first;
    while (*end)
        end = &(*end)->next;
    *end = s;
    pthread_cond_signal(&d->seeks.more);
    pthread_mutex_unlock(&d->seeks.lock);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
    (void)fi;
    struct driver *d = fuse_req_userdata(req);
    struct seek *s = whence == SEEK_DATA || whence == SEEK_HOLE ? malloc(sizeof *s) : NULL;
    if (!s) {
        fuse_reply_err(req, whence == SEEK_DATA || whence == SEEK_HOLE ? ENOMEM : EINVAL);
        return;
    }
    *s = (struct seek){.req = req, .ino = ino, .offset = (uint64_t)off, .hole = whence == SEEK_HOLE};
    put(d, s);
}

/* From here, as letting go of an inode may make the kernel write, too. */
void sfs_drivers_ask_again(struct driver *d, uint64_t ino)
{
    struct seek *s = malloc(sizeof *s);
    if (!s)
        return;
    *s = (struct seek){.ino = ino};
    put(d, s);
}

void sfs_drivers_seek_ops(struct fuse_lowlevel_ops *ops)
{
    ops->lseek = op_lseek;
}

int sfs_drivers_seek_start(struct driver *d)
{
    pthread_mutex_init(&d->seeks.lock, NULL);
    pthread_cond_init(&d->seeks.more, NULL);
    if (pthread_create(&d->seeks.thread, NULL, work, d)) {
        pthread_cond_destroy(&d->seeks.more);
        pthread_mutex_destroy(&d->seeks.lock);
        return SCALEFS_E_NOMEM;
    }
    d->seeks.started = true;
    return SCALEFS_OK;
}

/* Before the workers stop: what is under way may need them. Later seeks stay unanswered; the
 * connection ends next. */
void sfs_drivers_seek_stop(struct driver *d)
{
    if (!d->seeks.started || d->seeks.end)
        return;
    pthread_mutex_lock(&d->seeks.lock);
    d->seeks.end = true;
    pthread_cond_signal(&d->seeks.more);
    pthread_mutex_unlock(&d->seeks.lock);
    pthread_join(d->seeks.thread, NULL);
}

/* After the workers have stopped. */
void sfs_drivers_seek_deinit(struct driver *d)
{
    if (!d->seeks.started)
        return;
    while (d->seeks.first) {
        struct seek *s = d->seeks.first;
        d->seeks.first = s->next;
        if (s->req)
            fuse_reply_err(s->req, ENODEV);
        free(s);
    }
    pthread_cond_destroy(&d->seeks.more);
    pthread_mutex_destroy(&d->seeks.lock);
    d->seeks.started = false;
}
