/* A mount from beginning to end.
 *
 *   parent            the process that was asked; waits for one answer and says that it has it, or was
 *                     interrupted meanwhile: then the mount is taken away again
 *   server (child)    opens the pool, mounts, starts the control server and the workers, answers the
 *                     parent, then waits for what ends the mount
 *
 * Order of ending: unmounted (or the workers stopped) -> control server closed -> pool closed.
 */
#include "drivers/fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "control/server.h"
#include "drivers/driver.h"
#include "drivers/options.h"
#include "drivers/place.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif
#define READ_AHEAD_KIB 4096u
/* The kernel lets a FUSE mount hold a hundredth of what it lets others: whoever writes a large file was made to sleep, a few
 * milliseconds each time, while the server had too little to do. Twice what is under way in requests. */
#define WRITE_BEHIND_BYTES ((uint64_t)128 << 20)

/* One mount: what fuse.c needs beyond struct driver. */
struct server {
    struct driver d;
    const struct scalefs_fuse_options *options;
    struct mount_words words;
    char *mountpoint; /* absolute */
    dev_t device;     /* of the mount */
    struct scalefs_control *control;
    int signal_fd, unmount_fd;
    struct scalefs_error_info *info;
    bool mounted; /* the session has a mount */
    bool ready;   /* it could be used */
};

/* libfuse tells why a mount failed only through a function without context. */
static char fuse_words[512];

static void fuse_log_line(enum fuse_log_level level, const char *format, va_list arguments)
{
    if (level <= FUSE_LOG_WARNING) {
        size_t used = strlen(fuse_words);
        vsnprintf(fuse_words + used, sizeof fuse_words - used, format, arguments);
    }
}

static void log_foreground(void *context, int level, const char *room, int error, const char *text)
{
    (void)context;
    (void)error;
    if (level <= 2)
        fprintf(stderr, "scalefs: %s: %s\n", room, text);
}

static void log_syslog(void *context, int level, const char *room, int error, const char *text)
{
    (void)context;
    (void)error;
    static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO};
    if (level >= 0 && level <= 2)
        syslog(priorities[level], "%s: %s", room, text);
}

static int refuse(struct scalefs_error_info *info, int error, const char *text)
{
    info->error = error;
    snprintf(info->text, sizeof info->text, "%s", text);
    return error;
}

/* What libfuse is to tell the kernel. */
static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    (void)userdata;
    const unsigned wanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_DONT_MASK |
                            FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_ASYNC_DIO |
                            FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_NO_OPEN_SUPPORT |
                            FUSE_CAP_NO_OPENDIR_SUPPORT | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_POSIX_ACL |
                            FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPLICIT_INVAL_DATA;
    /* Not ATOMIC_O_TRUNC: without OPEN requests there would be nobody to truncate. */
    conn->want = wanted & conn->capable;
    conn->max_write = DRIVER_MAX_TRANSFER;
    conn->max_read = DRIVER_MAX_TRANSFER;
    conn->max_background = 64;
    conn->congestion_threshold = 48;
    conn->time_gran = 1;
}

/* A name as a value of -o: commas and backslashes escaped. */
static void escape(const char *name, char *out, size_t size)
{
    size_t n = 0;
    for (; *name && n + 3 < size; name++) {
        if (*name == ',' || *name == '\\')
            out[n++] = '\\';
        out[n++] = *name;
    }
    out[n] = '\0';
}

static int open_pool(struct server *s, char *name, size_t name_size)
{
    const struct scalefs_fuse_options *o = s->options;
    struct scalefs_open_options open = {
        .struct_bytes = sizeof open,
        .read_only = s->words.read_only,
        .degraded = s->words.degraded,
        .other_host = s->words.other_host,
        .keep_disk = o->keep_disk,
        .cache_bytes = s->words.cache_bytes,
        .dirty_bytes = s->words.dirty_bytes,
        .commit_seconds = s->words.commit_seconds,
        .log = o->foreground ? log_foreground : log_syslog,
    };
    int code = scalefs_pool_open(&open, o->pool, o->disks, o->disk_count, &s->d.pool, s->info);
    if (code)
        return code;
    struct scalefs_status *status;
    code = scalefs_pool_status(s->d.pool, &status);
    if (!code) {
        snprintf(name, name_size, "%s", status->name);
        s->words.read_only |= status->read_only;
        scalefs_status_free(status);
        code = scalefs_fs_get(s->d.pool, &s->d.fs);
    }
    if (code)
        refuse(s->info, code, scalefs_error_text(code));
    return code;
}

static int mount_session(struct server *s, const char *name)
{
    const struct mount_words *w = &s->words;
    char fsname[160], text[512];
    escape(name, fsname, sizeof fsname);
    snprintf(text, sizeof text, "fsname=%s,subtype=scalefs,default_permissions,max_read=%u%s,%s,%s,%s%s%s%s%s",
             fsname, DRIVER_MAX_TRANSFER, w->allow_other ? ",allow_other" : "",
             w->read_only ? "ro" : "rw", w->suid ? "suid" : "nosuid", w->dev ? "dev" : "nodev",
             w->exec ? "" : ",noexec", w->noatime ? ",noatime" : "", w->sync ? ",sync" : "",
             w->dirsync ? ",dirsync" : "");
    char *argv[] = {(char *)"scalefs", (char *)"-o", text, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(3, argv);
    struct fuse_lowlevel_ops ops = {.init = op_init};
    const struct fuse_custom_io io = {.writev = sfs_drivers_writev, .read = sfs_drivers_read};
    sfs_drivers_name_ops(&ops);
    sfs_drivers_inode_ops(&ops);
    sfs_drivers_seek_ops(&ops);

    fuse_set_log_func(fuse_log_line);
    s->d.session = fuse_session_new(&args, &ops, sizeof ops, &s->d);
    fuse_opt_free_args(&args);
    if (!s->d.session || fuse_session_mount(s->d.session, s->mountpoint)) {
        char *end = strchr(fuse_words, '\n');
        if (end)
            *end = '\0';
        s->info->error = SCALEFS_E_IO;
        snprintf(s->info->text, sizeof s->info->text, "The kernel did not mount at %s: %.400s.",
                 s->mountpoint, fuse_words[0] ? fuse_words : "fusermount3 refused");
        return SCALEFS_E_IO;
    }
    s->mounted = true;
    s->d.fuse_fd = fuse_session_fd(s->d.session);
    if (fuse_session_custom_io(s->d.session, &io, s->d.fuse_fd))
        return refuse(s->info, SCALEFS_E_NOMEM, scalefs_error_text(SCALEFS_E_NOMEM));
    return SCALEFS_OK;
}

static void wake(int signal_number)
{
    (void)signal_number; /* that a system call returns is all that is wanted */
}

static void post(int fd)
{
    uint64_t one = 1;
    (void)!write(fd, &one, sizeof one);
}

static void drain(int fd)
{
    uint8_t bytes[sizeof(struct signalfd_siginfo)];
    (void)!read(fd, bytes, sizeof bytes);
}

static void request_unmount(void *context)
{
    post(((struct server *)context)->unmount_fd);
}

/* Descriptors and signals: SIGUSR1 interrupts workers, the others arrive through signal_fd. */
static int prepare(struct server *s)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    struct sigaction interrupt = {.sa_handler = wake};
    sigaction(SIGUSR1, &interrupt, NULL);
    (void)prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);

    pthread_mutex_init(&s->d.lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->d.let_in, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&s->d.full.lock, NULL);
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
    s->unmount_fd = eventfd(0, EFD_CLOEXEC);
    s->d.idle_fd = eventfd(0, EFD_CLOEXEC);
    s->d.ready_fd = eventfd(0, EFD_CLOEXEC);
    if (s->signal_fd < 0 || s->unmount_fd < 0 || s->d.idle_fd < 0 || s->d.ready_fd < 0)
        return refuse(s->info, SCALEFS_E_NOMEM, scalefs_error_text(SCALEFS_E_NOMEM));
    return SCALEFS_OK;
}

/* Whether ours is what is mounted on top there. */
static bool still_there(const struct server *s)
{
    dev_t device;
    return sfs_drivers_place_device(s->mountpoint, &device) && device == s->device;
}

/* Writes what the kernel holds, takes the mount away and stops serving, whoever still uses it. */
static void unmount_by_force(struct server *s)
{
    if (still_there(s)) {
        if (!sfs_drivers_place_unmount(s->mountpoint, false))
            return; /* the workers see it and leave */
        int fd = open(s->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0) {
            (void)syncfs(fd);
            close(fd);
        }
        (void)sfs_drivers_place_unmount(s->mountpoint, true);
    }
    sfs_drivers_seek_stop(&s->d);
    sfs_drivers_loop_stop(&s->d);
    post(s->d.idle_fd);
}

/* The answer to the parent, at most once; then the terminal is let go. False: the parent has not taken
 * it and never will. */
static bool answer(int *parent_fd, const struct scalefs_error_info *info)
{
    if (*parent_fd < 0)
        return true;
    char byte;
    bool heard = write(*parent_fd, info, sizeof *info) == sizeof *info && read(*parent_fd, &byte, 1) == 1;
    close(*parent_fd);
    *parent_fd = -1;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd < 3; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
    (void)!chdir("/");
    return heard;
}

static void mount_is_ready(struct server *s, int *answer_fd)
{
    s->ready = true;
    if (sfs_drivers_place_device(s->mountpoint, &s->device)) {
        sfs_drivers_place_read_ahead(s->device, READ_AHEAD_KIB);
        sfs_drivers_place_write_behind(s->device, WRITE_BEHIND_BYTES);
    }
    const struct scalefs_error_info fine = {.error = SCALEFS_OK};
    if (!answer(answer_fd, &fine)) /* whoever asked was interrupted, so it did not want the mount */
        post(s->unmount_fd);
}

/* Until the last worker has left. */
static void serve(struct server *s, int *answer_fd)
{
    struct pollfd fds[] = {{.fd = s->d.ready_fd, .events = POLLIN},
                           {.fd = s->d.idle_fd, .events = POLLIN},
                           {.fd = s->signal_fd, .events = POLLIN},
                           {.fd = s->unmount_fd, .events = POLLIN}};
    for (;;) {
        if (poll(fds, sizeof fds / sizeof fds[0], -1) < 0)
            continue;
        if (fds[0].revents) {
            fds[0].fd = -1;
            mount_is_ready(s, answer_fd);
        }
        if (fds[1].revents) {
            drain(s->d.idle_fd);
            return;
        }
        if (fds[2].revents) {
            drain(s->signal_fd);
            unmount_by_force(s);
        }
        if (fds[3].revents) {
            drain(s->unmount_fd);
            if (still_there(s))
                (void)sfs_drivers_place_unmount(s->mountpoint, false);
        }
    }
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* The whole life of the server. answer_fd: where the parent waits, or -1. */
static int run(struct server *s, int answer_fd)
{
    char name[64];
    int code = prepare(s);
    if (!code)
        code = open_pool(s, name, sizeof name);
    if (!code)
        code = mount_session(s, name);
    if (!code) {
        code = scalefs_control_start(s->d.pool, s->mountpoint, request_unmount, s, &s->control, s->info);
        if (code == SCALEFS_E_NOTSUP)
            code = SCALEFS_OK;
    }
    if (!code) {
        code = sfs_drivers_seek_start(&s->d);
        if (!code)
            code = sfs_drivers_loop_start(&s->d);
        if (code)
            refuse(s->info, code, scalefs_error_text(code));
        else
            serve(s, &answer_fd);
        if (!code && !s->ready)
            code = refuse(s->info, SCALEFS_E_IO, "The kernel ended the mount before it could be used.");
    }
    sfs_drivers_seek_stop(&s->d);
    sfs_drivers_seek_deinit(&s->d);
    /* The connection is gone, or never came to be: this takes away what is left of the mount. */
    if (s->mounted)
        fuse_session_unmount(s->d.session);
    if (s->d.session)
        fuse_session_destroy(s->d.session);
    if (s->control)
        scalefs_control_closing(s->control);
    if (s->d.pool) {
        int closed = scalefs_pool_close(s->d.pool, false);
        if (s->control)
            scalefs_control_closed(s->control, closed);
        if (closed && !code)
            code = refuse(s->info, closed, scalefs_error_text(closed));
    }
    scalefs_control_stop(s->control);
    if (code)
        answer(&answer_fd, s->info);
    close_fd(s->signal_fd);
    close_fd(s->unmount_fd);
    close_fd(s->d.idle_fd);
    close_fd(s->d.ready_fd);
    pthread_mutex_destroy(&s->d.full.lock);
    pthread_cond_destroy(&s->d.let_in);
    pthread_mutex_destroy(&s->d.lock);
    return code;
}

/* Forks the server and waits for its answer. */
static int run_in_background(struct server *s)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
        return refuse(s->info, SCALEFS_E_NOMEM, scalefs_error_text(SCALEFS_E_NOMEM));
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        setsid();
        openlog("scalefs", LOG_PID, LOG_DAEMON);
        int code = run(s, ends[1]);
        if (code && s->ready)
            syslog(LOG_ERR, "%s", s->info->text);
        _exit(code ? 1 : 0);
    }
    close(ends[1]);
    size_t got = 0;
    while (pid > 0 && got < sizeof *s->info) {
        ssize_t n = read(ends[0], (char *)s->info + got, sizeof *s->info - got);
        if (n <= 0 && !(n < 0 && errno == EINTR))
            break;
        got += n > 0 ? (size_t)n : 0;
    }
    if (got == sizeof *s->info) {
        /* From here on it is done, and an interruption too late. */
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        sigprocmask(SIG_BLOCK, &set, NULL);
        (void)send(ends[0], "", 1, MSG_NOSIGNAL);
    }
    close(ends[0]);
    if (got == sizeof *s->info)
        return s->info->error;
    return refuse(s->info, SCALEFS_E_IO, "The server process ended unexpectedly; the system's log may say more.");
}

static bool in_path(const char *program)
{
    char file[4200];
    const char *folder = getenv("PATH");
    while (folder && *folder) {
        size_t len = strcspn(folder, ":");
        snprintf(file, sizeof file, "%.*s/%s", (int)len, folder, program);
        if (len < 4096 && !access(file, X_OK))
            return true;
        folder += len + (folder[len] == ':');
    }
    return false;
}

static int check_device(struct scalefs_error_info *info)
{
    if (access("/dev/fuse", F_OK))
        return refuse(info, SCALEFS_E_NOENT,
                      "There is no /dev/fuse: the kernel has no FUSE, or this container is not given it. Load it "
                      "with: modprobe fuse");
    if (access("/dev/fuse", R_OK | W_OK))
        return refuse(info, SCALEFS_E_ACCESS,
                      "You may not use /dev/fuse, so nothing can be mounted. As root, either mount there, or let all "
                      "users mount with: chmod 666 /dev/fuse");
    if (geteuid() && !in_path("fusermount3"))
        return refuse(info, SCALEFS_E_NOENT,
                      "An ordinary user mounts with the help of fusermount3, which is not installed here. It is in "
                      "the package fuse3.");
    return SCALEFS_OK;
}

static int remount(struct server *s)
{
    const struct mount_words *w = &s->words;
    unsigned long flags = (w->read_only ? MS_RDONLY : 0ul) | (w->suid ? 0ul : MS_NOSUID) |
                          (w->dev ? 0ul : MS_NODEV) | (w->exec ? 0ul : MS_NOEXEC) |
                          (w->noatime ? MS_NOATIME : 0ul) | (w->sync ? MS_SYNCHRONOUS : 0ul) |
                          (w->dirsync ? MS_DIRSYNC : 0ul);
    int error = sfs_drivers_place_remount(s->options->mountpoint, flags);
    if (!error)
        return SCALEFS_OK;
    s->info->error = SCALEFS_E_INVAL;
    snprintf(s->info->text, sizeof s->info->text, "%s could not be remounted: %s.", s->options->mountpoint,
             strerror(error));
    return SCALEFS_E_INVAL;
}

/* File data passes through buffers of 128 KiB to 1 MiB that come and go. By default the C library maps each of them
 * anew, and gives those of threads that take from arenas of their own back: every page then costs a fault, which was half
 * of the system time of a sequential write. */
static void keep_memory(void)
{
#ifdef __GLIBC__
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 128 << 20);
    mallopt(M_TOP_PAD, 4 << 20);
#endif
}

int scalefs_fuse_mount(const struct scalefs_fuse_options *options, struct scalefs_error_info *info)
{
    struct server s = {.options = options,
                       .info = info,
                       .signal_fd = -1,
                       .unmount_fd = -1,
                       .d = {.idle_fd = -1, .ready_fd = -1, .fuse_fd = -1}};
    int code = sfs_drivers_options_parse(options->mount_options, geteuid() == 0, &s.words, info);
    if (code)
        return code;
    keep_memory();
    s.words.read_only |= options->read_only;
    s.words.degraded |= options->degraded;
    s.words.other_host |= options->other_host;
    if (s.words.remount)
        return remount(&s);
    code = check_device(info);
    if (!code)
        code = sfs_drivers_place_check(options->mountpoint, &s.mountpoint, info);
    if (!code)
        code = options->foreground ? run(&s, -1) : run_in_background(&s);
    free(s.mountpoint);
    return code;
}
