/* The client of the control socket (Linux). */
#include "control/client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "control/folder.h"

#define HELLO_TIMEOUT_S 10

struct sfs_control_client {
    int fd;
    pid_t pid; /* of the server */
    char *buffer;
    size_t len, room;
    struct sfs_document *hello;
};

static const struct sfs_value *hello_status(const struct sfs_control_client *client)
{
    return sfs_value_get(sfs_document_root(client->hello), "status");
}

void sfs_control_disconnect(struct sfs_control_client *client)
{
    if (!client)
        return;
    if (client->fd >= 0)
        close(client->fd);
    sfs_document_free(client->hello);
    free(client->buffer);
    free(client);
}

/* --- lines --- */

static int send_all(int fd, const char *line, size_t len)
{
    while (len) {
        ssize_t n = send(fd, line, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return SCALEFS_E_GONE;
        line += n;
        len -= (size_t)n;
    }
    return SCALEFS_OK;
}

static int make_room(struct sfs_control_client *client)
{
    if (client->len < client->room)
        return SCALEFS_OK;
    if (client->room == SFS_CONTROL_ANSWER_MAX)
        return SCALEFS_E_PROTOCOL;
    size_t room = client->room ? client->room * 2 : 64u << 10;
    char *buffer = realloc(client->buffer, room);
    if (!buffer)
        return SCALEFS_E_NOMEM;
    client->buffer = buffer;
    client->room = room;
    return SCALEFS_OK;
}

/* The next answer. `timeout_ms` < 0: no limit; TIMEDOUT can be followed by another try. */
static int read_answer(struct sfs_control_client *client, int timeout_ms,
                       struct sfs_document **answer)
{
    for (;;) {
        char *newline = client->len ? memchr(client->buffer, '\n', client->len) : NULL;
        if (newline) {
            size_t len = (size_t)(newline - client->buffer);
            int error = sfs_document_parse(client->buffer, len, answer);
            client->len -= len + 1;
            memmove(client->buffer, newline + 1, client->len);
            return error == SCALEFS_E_INVAL ? SCALEFS_E_PROTOCOL : error;
        }
        int error = make_room(client);
        if (error)
            return error;
        struct pollfd p = {.fd = client->fd, .events = POLLIN};
        int ready = poll(&p, 1, timeout_ms);
        if (!ready)
            return SCALEFS_E_TIMEDOUT;
        if (ready < 0) {
            if (errno == EINTR)
                return SCALEFS_E_TIMEDOUT; /* let the caller look why */
            return SCALEFS_E_GONE;
        }
        ssize_t n = recv(client->fd, client->buffer + client->len, client->room - client->len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return SCALEFS_E_GONE;
        client->len += (size_t)n;
    }
}

static int lost(int error, struct scalefs_error_info *info)
{
    return sfs_control_fail(
        info, error, "%s",
        error == SCALEFS_E_GONE ? "The process that has the pool mounted ended the connection."
        : error == SCALEFS_E_TIMEDOUT
            ? "The process that has the pool mounted does not answer."
            : "The process that has the pool mounted does not speak this protocol.");
}

static bool is_type(const struct sfs_value *answer, const char *type)
{
    return !strcmp(sfs_value_string(answer, "type", ""), type);
}

int sfs_control_ask(struct sfs_control_client *client, const char *line, size_t len,
                    bool (*on_answer)(void *context, const struct sfs_value *answer), void *context,
                    struct scalefs_error_info *info)
{
    int error = send_all(client->fd, line, len);
    if (error)
        return lost(error, info);
    for (;;) {
        struct sfs_document *document = NULL;
        error = read_answer(client, -1, &document);
        if (error == SCALEFS_E_TIMEDOUT) { /* a signal: the caller may want to stop */
            if (on_answer(context, NULL))
                continue;
            return sfs_control_fail(info, SCALEFS_E_CANCELED,
                                    "Interrupted. The work itself goes on.");
        }
        if (error)
            return lost(error, info);
        const struct sfs_value *answer = sfs_document_root(document);
        bool failed = is_type(answer, "error"), done = is_type(answer, "done");
        bool go_on = failed || on_answer(context, answer);
        if (failed) {
            sfs_message_get_error(answer, info);
            error = info->error;
        }
        sfs_document_free(document);
        if (failed || done)
            return error;
        if (!go_on)
            return sfs_control_fail(info, SCALEFS_E_CANCELED,
                                    "Interrupted. The work itself goes on.");
    }
}

/* --- finding --- */

static bool trusted(int fd, pid_t *pid)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
        return false;
    *pid = peer.pid;
    return peer.uid == geteuid() || peer.uid == 0;
}

static int say_hello(struct sfs_control_client *client)
{
    static const char hello[] = "{\"scalefs\": 1, \"verb\": \"hello\"}\n";
    int error = send_all(client->fd, hello, sizeof(hello) - 1);
    if (!error)
        error = read_answer(client, HELLO_TIMEOUT_S * 1000, &client->hello);
    if (!error && !hello_status(client))
        error = SCALEFS_E_PROTOCOL;
    return error;
}

/* Connects and asks who is there. Clears away a socket without a server. */
static int meet(const struct sfs_control_folder *folder, const char *name,
                struct sfs_control_client **out)
{
    int fd = sfs_control_folder_connect(folder, name);
    *out = NULL;
    if (fd < 0) {
        if (errno == ECONNREFUSED)
            sfs_control_folder_clear(folder, name);
        return SCALEFS_E_NOENT;
    }
    struct sfs_control_client *client = calloc(1, sizeof(*client));
    if (!client) {
        close(fd);
        return SCALEFS_E_NOMEM;
    }
    client->fd = fd;
    int error = trusted(fd, &client->pid) ? say_hello(client) : SCALEFS_E_ACCESS;
    if (error) {
        sfs_control_disconnect(client);
        return error;
    }
    *out = client;
    return SCALEFS_OK;
}

static bool is_socket_name(const char *name)
{
    size_t len = strlen(name);
    return len > 5 && name[0] != '.' && !strcmp(name + len - 5, ".sock");
}

/* Calls `each` with every server that answers; it may keep the client by returning true. */
static int each_server(bool (*each)(void *context, struct sfs_control_client *client),
                       void *context)
{
    struct sfs_control_folder folder;
    struct scalefs_error_info ignored;
    int error = sfs_control_folder_open(false, &folder, &ignored);
    if (error)
        return error == SCALEFS_E_NOENT ? SCALEFS_OK : error;
    int copy = openat(folder.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir && copy >= 0)
        close(copy);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        struct sfs_control_client *client;
        if (is_socket_name(entry->d_name) && !meet(&folder, entry->d_name, &client) &&
            !each(context, client))
            sfs_control_disconnect(client);
    }
    if (dir)
        closedir(dir);
    sfs_control_folder_close(&folder);
    return SCALEFS_OK;
}

struct eaching {
    void (*each)(void *context, const struct sfs_value *status);
    void *context;
};
static bool show(void *context, struct sfs_control_client *client)
{
    struct eaching *e = context;
    e->each(e->context, hello_status(client));
    return false;
}

int sfs_control_each(void (*each)(void *context, const struct sfs_value *status), void *context)
{
    struct eaching e = {each, context};
    return each_server(show, &e);
}

static bool same_file(const struct stat *a, const char *path)
{
    struct stat b;
    if (stat(path, &b))
        return false;
    if (S_ISBLK(a->st_mode) && S_ISBLK(b.st_mode))
        return a->st_rdev == b.st_rdev;
    return a->st_dev == b.st_dev && a->st_ino == b.st_ino;
}

struct finding {
    const char *pool;
    char *mountpoint; /* `pool` as an absolute path */
    struct stat st;   /* of the disk that is called `pool` */
    bool by_disk;     /* looks for that disk; else for the name, UUID or mount point */
    unsigned found;
    struct sfs_control_client *first;
};

static bool is_called(const struct finding *f, const struct sfs_value *status)
{
    const struct sfs_value *pool = sfs_value_get(status, "pool");
    const char *mounted = sfs_value_string(pool, "mounted", NULL);
    return !strcmp(sfs_value_string(pool, "name", ""), f->pool) ||
           !strcmp(sfs_value_string(pool, "uuid", ""), f->pool) ||
           (mounted && f->mountpoint && !strcmp(mounted, f->mountpoint));
}

static bool has_disk(const struct finding *f, const struct sfs_value *status)
{
    const struct sfs_value *disks = sfs_value_get(status, "disks");
    for (const struct sfs_value *d = disks ? disks->first : NULL; d; d = d->next)
        if (same_file(&f->st, sfs_value_string(d, "path", "")))
            return true;
    return false;
}

static bool match(void *context, struct sfs_control_client *client)
{
    struct finding *f = context;
    const struct sfs_value *status = hello_status(client);
    if (!(f->by_disk ? has_disk(f, status) : is_called(f, status)) || f->found++)
        return false;
    f->first = client;
    return true;
}

/* The folder's links resolved, the last part as it stands. */
static char *absolute(const char *path)
{
    char *folder = strdup(path), *result = NULL;
    if (!folder)
        return NULL;
    size_t len = strlen(folder);
    while (len > 1 && folder[len - 1] == '/')
        folder[--len] = '\0';
    char *slash = strrchr(folder, '/');
    const char *last = slash ? slash + 1 : folder;
    if (!strcmp(last, ".") || !strcmp(last, "..") || !*last) {
        result = realpath(folder, NULL);
        free(folder);
        return result;
    }
    if (slash)
        *slash = '\0';
    char *real = realpath(!slash ? "." : slash == folder ? "/" : folder, NULL);
    size_t room = real ? strlen(real) + strlen(last) + 2 : 0;
    if (real && (result = malloc(room)))
        snprintf(result, room, "%s%s%s", real, strcmp(real, "/") ? "/" : "", last);
    free(real);
    free(folder);
    return result;
}

int sfs_control_find(const char *pool, struct sfs_control_client **client,
                     struct scalefs_error_info *info)
{
    struct finding f = {.pool = pool, .mountpoint = absolute(pool)};
    *client = NULL;
    int error = each_server(match, &f);
    free(f.mountpoint);
    /* Only then is the path itself touched: a mount point whose pool is suspended would not answer.
     */
    if (!error && !f.found && !stat(pool, &f.st) && !S_ISDIR(f.st.st_mode)) {
        f.by_disk = true;
        error = each_server(match, &f);
    }
    if (!error && f.found > 1)
        error = SCALEFS_E_AMBIGUOUS;
    if (!error && f.first) {
        *client = f.first;
        return SCALEFS_OK;
    }
    sfs_control_disconnect(f.first);
    if (error == SCALEFS_E_AMBIGUOUS)
        return sfs_control_fail(
            info, error,
            "%u mounted pools are called %s, so it is not clear which one is meant. "
            "Say the UUID, which `scalefs list` shows, or the mount point.",
            f.found, pool);
    if (error)
        return sfs_control_fail(
            info, error, "The folder of control sockets is not yours alone, so it is not used.");
    return sfs_control_fail(info, SCALEFS_E_NOENT, "No mounted pool is called %s.", pool);
}

const struct sfs_value *sfs_control_pool(const struct sfs_control_client *client)
{
    return sfs_value_get(hello_status(client), "pool");
}

/* --- unmounting --- */

static int wait_for_end(int process, bool (*keep_waiting)(void *context), void *context,
                        struct scalefs_error_info *info)
{
    struct pollfd p = {.fd = process, .events = POLLIN};
    while (poll(&p, 1, 1000) <= 0)
        if (!keep_waiting(context))
            return sfs_control_fail(info, SCALEFS_E_BUSY, "The pool is still in use.");
    return SCALEFS_OK;
}

int sfs_control_unmount(struct sfs_control_client *client,
                        int (*take_away)(void *context, struct scalefs_error_info *info), bool (*keep_waiting)(void *context),
                        void *context, struct scalefs_error_info *info)
{
    const char *request = take_away ? "{\"scalefs\": 1, \"verb\": \"unmount\", \"await\": true}\n"
                                    : "{\"scalefs\": 1, \"verb\": \"unmount\"}\n";
    /* Taken before it is asked to go: afterwards the number could be another's. */
    int process = client->pid > 0 && client->pid != getpid()
                      ? (int)syscall(SYS_pidfd_open, client->pid, 0)
                      : -1;
    bool taken_away = false, refused = false;
    int error = send_all(client->fd, request, strlen(request));
    while (!error) {
        struct sfs_document *document = NULL;
        error = read_answer(client, 1000, &document);
        if (error == SCALEFS_E_TIMEDOUT) {
            error = keep_waiting(context)
                        ? SCALEFS_OK
                        : sfs_control_fail(info, SCALEFS_E_BUSY, "The pool is still in use.");
            continue;
        }
        const struct sfs_value *answer = error ? NULL : sfs_document_root(document);
        bool done = !error && is_type(answer, "done");
        if (!error && is_type(answer, "error")) {
            sfs_message_get_error(answer, info);
            error = info->error;
            refused = true;
        } else if (!error && is_type(answer, "accepted") && take_away && !taken_away) {
            taken_away = true;
            error = take_away(context, info);
            refused = error != SCALEFS_OK;
        }
        sfs_document_free(document);
        if (done)
            break;
    }
    if (error == SCALEFS_E_GONE && !refused) { /* it was on its way already, was killed, or had others to talk to */
        error = take_away && !taken_away ? take_away(context, info) : SCALEFS_OK;
        if (!error && process >= 0)
            error = wait_for_end(process, keep_waiting, context, info);
    } else if ((error == SCALEFS_E_PROTOCOL || error == SCALEFS_E_NOMEM) && !refused) {
        lost(error, info);
    }
    if (process >= 0)
        close(process);
    return error;
}
