/* The control server (Linux): one thread accepts, each connection has one more.
 *
 * Life of a server, under `lock`:
 *   OPEN ──closing──> CLOSING ──stop──> STOPPED
 * 1. A request goes into the pool only in OPEN (`inside` counts them).
 * 2. After scalefs_control_closing returned, inside == 0 for ever.
 * 3. A connection's slot is free, running, or finished (its thread is to be joined); only the
 *    acceptor and stop (after the acceptor has ended) take slots out of `finished`.
 */
#include "control/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/assert.h"
#include "control/folder.h"
#include "control/run.h"

#define IDLE_MS 60000     /* a connection that asks nothing for so long is ended */
#define SEND_TIMEOUT_S 10 /* a client that does not listen is given up */
/* So many slots are kept for what is answered at once. */
#define SLOTS_NOT_FOR_WAITING 4

enum state { OPEN, CLOSING, STOPPED };
enum slot_state { SLOT_FREE, SLOT_RUNNING, SLOT_FINISHED };

struct connection {
    struct scalefs_control *control;
    enum slot_state slot;
    bool busy;      /* with a request */
    bool evicted;   /* to be ended: it was idle and another client needs the slot */
    uint64_t since; /* the longest idle has the smallest */
    int fd;
    pthread_t thread;
    char buffer[SFS_CONTROL_REQUEST_MAX];
    size_t len;
};
struct scalefs_control {
    struct scalefs_pool *pool;
    char *mountpoint;
    void (*request_unmount)(void *context);
    void *context;
    struct sfs_control_folder folder;
    char name[64];
    ino_t inode;
    int listener;
    pthread_t acceptor;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum state state;
    unsigned inside, waiting;
    uint64_t clock; /* counts what `since` says */
    bool closed;    /* the pool is, and close_error says how it went */
    int close_error;
    struct connection connections[SFS_CONTROL_CONNECTIONS];
};

/* --- answers --- */

static bool answer(void *context, const char *line, size_t len)
{
    struct connection *c = context;
    while (len) {
        ssize_t n = send(c->fd, line, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        line += n;
        len -= (size_t)n;
    }
    return true;
}

static bool has_gone(const struct connection *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0 && p.revents;
}

/* While a request waits: has the client gone, or is the pool about to close? */
static bool stop_waiting(void *context)
{
    struct connection *c = context;
    pthread_mutex_lock(&c->control->lock);
    bool stop = c->control->state != OPEN;
    pthread_mutex_unlock(&c->control->lock);
    return stop || has_gone(c);
}

static bool refuse(struct connection *c, int error, const char *text)
{
    struct sfs_control_asker asker = {answer, stop_waiting, c};
    sfs_control_answer_error(&asker, error, text);
    return false;
}

/* --- requests; false: the connection ends --- */

static bool send_simple(struct connection *c, const char *type)
{
    struct sfs_json json;
    char *line;
    size_t len;
    bool sent = false;
    sfs_message_begin(&json, type);
    sfs_json_u64(&json, "pid", (uint64_t)getpid());
    if (!sfs_message_line(&json, &line, &len)) {
        sent = answer(c, line, len);
        free(line);
    }
    sfs_json_deinit(&json);
    return sent;
}

/* Says "done" once the pool is closed; ends without it when nobody will tell. A client that takes the mount away by itself
 * asks to be told (`await`): afterwards it would be too late. */
static bool request_unmount(struct connection *c, bool await)
{
    struct scalefs_control *control = c->control;
    if (!send_simple(c, "accepted"))
        return false;
    if (!await)
        control->request_unmount(control->context);
    pthread_mutex_lock(&control->lock);
    while (!control->closed && control->state != STOPPED && !has_gone(c)) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        pthread_cond_timedwait(&control->changed, &control->lock, &until);
    }
    bool closed = control->closed;
    int error = control->close_error;
    pthread_mutex_unlock(&control->lock);
    if (closed && error)
        return refuse(c, error,
                      "The pool was closed, but its last changes may not have been written.");
    return closed && send_simple(c, "done");
}

/* Takes a place inside the pool. */
static bool enter(struct connection *c, bool waits)
{
    struct scalefs_control *control = c->control;
    pthread_mutex_lock(&control->lock);
    bool open = control->state == OPEN;
    bool room = !waits || control->waiting < SFS_CONTROL_CONNECTIONS - SLOTS_NOT_FOR_WAITING;
    if (open && room) {
        control->inside++;
        control->waiting += waits;
    }
    pthread_mutex_unlock(&control->lock);
    if (!open)
        return refuse(c, SCALEFS_E_BUSY, "The pool is being closed.");
    if (!room)
        return refuse(c, SCALEFS_E_BUSY,
                      "Too many others wait for this pool already. Ask without --wait.");
    return true;
}

static void leave(struct scalefs_control *control, bool waits)
{
    pthread_mutex_lock(&control->lock);
    SFS_ASSERT(control->inside > 0);
    control->inside--;
    control->waiting -= waits;
    pthread_cond_broadcast(&control->changed);
    pthread_mutex_unlock(&control->lock);
}

static bool handle_line(struct connection *c, const char *line, size_t len)
{
    struct sfs_document *document;
    struct scalefs_control *control = c->control;
    int error = sfs_document_parse(line, len, &document);
    if (error)
        return refuse(c, error == SCALEFS_E_NOMEM ? error : SCALEFS_E_PROTOCOL,
                      error == SCALEFS_E_NOMEM ? "" : "The request is not a JSON document.");
    const struct sfs_value *request = sfs_document_root(document);
    const char *verb = sfs_value_string(request, "verb", NULL);
    bool go_on = false;
    if (sfs_value_u64(request, "scalefs", 0) != SFS_CONTROL_VERSION) {
        refuse(c, SCALEFS_E_PROTOCOL,
               "The request is not of version 1 of the protocol, the only one spoken here.");
    } else if (!verb) {
        refuse(c, SCALEFS_E_PROTOCOL, "The request has no verb.");
    } else if (!strcmp(verb, "unmount")) {
        go_on = request_unmount(c, sfs_value_bool(request, "await", false));
    } else {
        bool waits = sfs_control_waits(request);
        if (enter(c, waits)) {
            struct sfs_control_asker asker = {answer, stop_waiting, c};
            sfs_control_run(control->pool, control->mountpoint, request, &asker);
            leave(control, waits);
            go_on = true;
        }
    }
    sfs_document_free(document);
    return go_on;
}

/* Reads what there is. False: the end, an error, or silence for too long. */
static bool read_more(struct connection *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    int ready = poll(&p, 1, IDLE_MS);
    if (ready < 0)
        return errno == EINTR;
    if (!ready)
        return false;
    ssize_t n = recv(c->fd, c->buffer + c->len, sizeof(c->buffer) - c->len, 0);
    if (n < 0)
        return errno == EINTR;
    c->len += (size_t)n;
    return n > 0;
}

/* Between requests a connection may be ended; false when it was. */
static bool set_busy(struct connection *c, bool busy)
{
    struct scalefs_control *control = c->control;
    pthread_mutex_lock(&control->lock);
    bool stays = !c->evicted;
    c->busy = busy && stays;
    c->since = control->clock++;
    pthread_mutex_unlock(&control->lock);
    return stays;
}

static void serve(struct connection *c)
{
    for (;;) {
        char *newline = memchr(c->buffer, '\n', c->len);
        if (newline) {
            size_t len = (size_t)(newline - c->buffer);
            if (!set_busy(c, true) || !handle_line(c, c->buffer, len) || !set_busy(c, false))
                return;
            c->len -= len + 1;
            memmove(c->buffer, newline + 1, c->len);
        } else if (c->len == sizeof(c->buffer)) {
            refuse(c, SCALEFS_E_TOOBIG, "The request is longer than 64 KiB.");
            return;
        } else if (!read_more(c)) {
            return;
        }
    }
}

/* --- connections --- */

/* Closing while unread bytes are there would throw the last answer away on its way; so let the
 * client go first, for a moment. */
static void hang_up(int fd)
{
    char rest[4096];
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 256; i++) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 200) <= 0 || recv(fd, rest, sizeof(rest), MSG_DONTWAIT) <= 0)
            break;
    }
}

static void *connection_main(void *arg)
{
    struct connection *c = arg;
    struct scalefs_control *control = c->control;
    struct ucred peer;
    socklen_t len = sizeof(peer);
    struct timeval timeout = {.tv_sec = SEND_TIMEOUT_S};
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
        refuse(c, SCALEFS_E_ACCESS, "It cannot be told who asks.");
    else if (peer.uid != geteuid() && peer.uid != 0)
        refuse(c, SCALEFS_E_ACCESS, "Only the user who mounted the pool, and root, may manage it.");
    else
        serve(c);
    hang_up(c->fd);
    pthread_mutex_lock(&control->lock);
    close(c->fd);
    c->fd = -1;
    c->slot = SLOT_FINISHED;
    pthread_cond_broadcast(&control->changed);
    pthread_mutex_unlock(&control->lock);
    return NULL;
}

/* A free slot, under the lock; finished threads are joined on the way (they need the lock no more).
 * NULL: all are taken. */
static struct connection *take_slot(struct scalefs_control *control)
{
    for (size_t i = 0; i < SFS_CONTROL_CONNECTIONS; i++) {
        struct connection *c = &control->connections[i];
        if (c->slot == SLOT_FINISHED) {
            pthread_join(c->thread, NULL);
            c->slot = SLOT_FREE;
        }
        if (c->slot == SLOT_FREE)
            return c;
    }
    return NULL;
}

/* Ends the connection that has been idle for longest, one at a time. False: none is. */
static bool evict(struct scalefs_control *control)
{
    struct connection *oldest = NULL;
    for (size_t i = 0; i < SFS_CONTROL_CONNECTIONS; i++) {
        struct connection *c = &control->connections[i];
        if (c->slot != SLOT_RUNNING)
            continue;
        if (c->evicted)
            return true; /* it is on its way */
        if (!c->busy && (!oldest || c->since < oldest->since))
            oldest = c;
    }
    if (!oldest)
        return false;
    oldest->evicted = true;
    shutdown(oldest->fd, SHUT_RDWR);
    return true;
}

/* Gives the connection a thread; one that asks nothing makes room for it. False: all are busy. */
static bool welcome(struct scalefs_control *control, int fd)
{
    bool taken = false;
    struct connection *c;
    pthread_mutex_lock(&control->lock);
    while (!(c = take_slot(control)) && control->state != STOPPED && evict(control))
        pthread_cond_wait(&control->changed, &control->lock);
    if (c && control->state != STOPPED) {
        c->control = control;
        c->fd = fd;
        c->len = 0;
        c->busy = c->evicted = false;
        c->since = control->clock++;
        taken = !pthread_create(&c->thread, NULL, connection_main, c);
        c->slot = taken ? SLOT_RUNNING : SLOT_FREE;
    }
    pthread_mutex_unlock(&control->lock);
    return taken;
}

static void turn_away(int fd)
{
    static const char busy[] =
        "{\"scalefs\": 1, \"type\": \"error\", \"error\": {\"code\": \"BUSY\", \"number\": 19, "
        "\"text\": \"Too many others talk to this pool already. Try again.\"}}\n";
    ssize_t sent = send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent; /* whoever does not hear it sees the end of the connection */
    close(fd);
}

/* Ends when stop shuts the listener down. */
static void *accept_main(void *arg)
{
    struct scalefs_control *control = arg;
    for (;;) {
        int fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC);
        int error = errno;
        pthread_mutex_lock(&control->lock);
        bool stopped = control->state == STOPPED;
        pthread_mutex_unlock(&control->lock);
        if (stopped) {
            if (fd >= 0)
                close(fd);
            return NULL;
        }
        if (fd < 0 && (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS))
            poll(NULL, 0, 100); /* others may give some back */
        else if (fd >= 0 && !welcome(control, fd))
            turn_away(fd);
    }
}

/* --- start and stop --- */

/* Binds under a name of its own and puts it in place when it listens: who sees it can connect. */
static int publish(struct scalefs_control *control, struct scalefs_error_info *info)
{
    struct sockaddr_un address;
    struct stat st;
    char own[80];
    int folder = control->folder.fd, error = 0, fd;
    snprintf(own, sizeof(own), "%ld.new", (long)getpid());
    if (sfs_control_folder_address(&control->folder, own, &address))
        return sfs_control_fail(info, SCALEFS_E_NAMETOOLONG,
                                "The control socket's path is too long.");
    unlinkat(folder, own, 0);
    control->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (control->listener < 0 ||
        bind(control->listener, (struct sockaddr *)&address, sizeof(address)) ||
        fchmodat(folder, own, 0600, 0) || listen(control->listener, SFS_CONTROL_CONNECTIONS) ||
        fstatat(folder, own, &st, AT_SYMLINK_NOFOLLOW)) {
        error = errno;
        goto out;
    }
    control->inode = st.st_ino;
    fd = sfs_control_folder_connect(&control->folder, control->name);
    if (fd >= 0) {
        close(fd);
        unlinkat(folder, own, 0);
        return sfs_control_fail(info, SCALEFS_E_BUSY,
                                "Another process serves this pool already: %s/%s.",
                                control->folder.path, control->name);
    }
    if (renameat(folder, own, folder, control->name))
        error = errno;
out:
    if (!error)
        return SCALEFS_OK;
    unlinkat(folder, own, 0);
    return sfs_control_fail(info, SCALEFS_E_IO, "The control socket in %s cannot be made: %s.",
                            control->folder.path, strerror(error));
}

static void unpublish(struct scalefs_control *control)
{
    struct stat st;
    sfs_control_folder_lock(&control->folder);
    if (!fstatat(control->folder.fd, control->name, &st, AT_SYMLINK_NOFOLLOW) &&
        st.st_ino == control->inode)
        unlinkat(control->folder.fd, control->name, 0);
    sfs_control_folder_unlock(&control->folder);
}

static void destroy(struct scalefs_control *control)
{
    if (control->listener >= 0)
        close(control->listener);
    sfs_control_folder_close(&control->folder);
    pthread_cond_destroy(&control->changed);
    pthread_mutex_destroy(&control->lock);
    free(control->mountpoint);
    free(control);
}

int scalefs_control_start(struct scalefs_pool *pool, const char *mountpoint,
                          void (*request_unmount_fn)(void *context), void *context,
                          struct scalefs_control **out, struct scalefs_error_info *info)
{
    struct scalefs_status *status = NULL;
    struct scalefs_control *control = calloc(1, sizeof(*control));
    *out = NULL;
    if (!control)
        return sfs_control_fail(info, SCALEFS_E_NOMEM, "There is not enough memory.");
    control->pool = pool;
    control->request_unmount = request_unmount_fn;
    control->context = context;
    control->listener = control->folder.fd = -1;
    pthread_mutex_init(&control->lock, NULL);
    pthread_cond_init(&control->changed, NULL);
    int error = sfs_control_folder_open(true, &control->folder, info);
    if (error)
        goto fail;
    control->mountpoint = strdup(mountpoint);
    error = control->mountpoint ? scalefs_pool_status(pool, &status) : SCALEFS_E_NOMEM;
    if (error) {
        sfs_control_fail(info, error, "%s", scalefs_error_text(error));
        goto fail;
    }
    snprintf(control->name, sizeof(control->name), "%s.sock", status->uuid);
    scalefs_status_free(status);
    sfs_control_folder_lock(&control->folder);
    error = publish(control, info);
    sfs_control_folder_unlock(&control->folder);
    if (error)
        goto fail;
    if (pthread_create(&control->acceptor, NULL, accept_main, control)) {
        unpublish(control);
        error = sfs_control_fail(info, SCALEFS_E_NOMEM,
                                 "No thread can be started for the control socket.");
        goto fail;
    }
    *out = control;
    return SCALEFS_OK;
fail:
    destroy(control);
    return error;
}

void scalefs_control_closing(struct scalefs_control *control)
{
    if (!control)
        return;
    pthread_mutex_lock(&control->lock);
    if (control->state == OPEN)
        control->state = CLOSING;
    while (control->inside)
        pthread_cond_wait(&control->changed, &control->lock);
    pthread_mutex_unlock(&control->lock);
}

void scalefs_control_closed(struct scalefs_control *control, int error)
{
    if (!control)
        return;
    unpublish(control); /* who is told may mount it again at once */
    pthread_mutex_lock(&control->lock);
    SFS_ASSERT(control->state == CLOSING && !control->inside);
    control->closed = true;
    control->close_error = error;
    pthread_cond_broadcast(&control->changed);
    pthread_mutex_unlock(&control->lock);
}

void scalefs_control_stop(struct scalefs_control *control)
{
    if (!control)
        return;
    scalefs_control_closing(control);
    if (!control->closed)
        unpublish(control);
    pthread_mutex_lock(&control->lock);
    control->state = STOPPED;
    pthread_cond_broadcast(&control->changed);
    /* Those that are told that the pool is closed may finish their sentence. */
    for (size_t i = 0; i < SFS_CONTROL_CONNECTIONS; i++)
        if (control->connections[i].slot == SLOT_RUNNING)
            shutdown(control->connections[i].fd, control->closed ? SHUT_RD : SHUT_RDWR);
    pthread_mutex_unlock(&control->lock);
    shutdown(control->listener, SHUT_RDWR);
    pthread_join(control->acceptor, NULL);
    for (size_t i = 0; i < SFS_CONTROL_CONNECTIONS; i++) {
        pthread_mutex_lock(&control->lock);
        bool used = control->connections[i].slot != SLOT_FREE;
        pthread_mutex_unlock(&control->lock);
        if (used)
            pthread_join(control->connections[i].thread, NULL);
    }
    destroy(control);
}
