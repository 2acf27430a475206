/* The control socket, both ends, over a pool that is not real: finding, asking, refusing, waiting,
 * unmounting; and that nothing a client sends harms the server. */
#include "test.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "control/client.h"
#include "control/folder.h"
#include "control/server.h"
#include "fake_pool.h"

#define UUID_A "aaaaaaaa-0000-4000-8000-000000000001"
#define UUID_B "bbbbbbbb-0000-4000-8000-000000000002"

static char folder_path[200], work[160];

/* One served pool. */
struct served {
    struct scalefs_pool pool;
    struct scalefs_control *control;
    pthread_mutex_t lock;
    unsigned asked; /* to unmount */
};

static void on_unmount(void *context)
{
    struct served *s = context;
    pthread_mutex_lock(&s->lock);
    s->asked++;
    pthread_mutex_unlock(&s->lock);
}

static unsigned asked(struct served *s)
{
    pthread_mutex_lock(&s->lock);
    unsigned n = s->asked;
    pthread_mutex_unlock(&s->lock);
    return n;
}

static bool serve(struct served *s, const char *name, const char *uuid, const char *mountpoint)
{
    struct scalefs_error_info info = {0};
    char disk[200];
    snprintf(disk, sizeof(disk), "%s/disk-%s", work, name);
    FILE *f = fopen(disk, "w");
    if (f)
        fclose(f);
    fake_pool_init(&s->pool, name, uuid, disk);
    pthread_mutex_init(&s->lock, NULL);
    s->asked = 0;
    if (CHECK_OK(scalefs_control_start(&s->pool, mountpoint, on_unmount, s, &s->control, &info)))
        return true;
    printf("# %s\n", info.text);
    return false;
}

static void pause_ms(long ms)
{
    struct timespec t = {.tv_nsec = ms * 1000000};
    nanosleep(&t, NULL);
}

/* --- a client that may be rude --- */

static int dial(const char *uuid)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(a.sun_path, sizeof(a.sun_path), "%.60s/%s.sock", folder_path, uuid);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a))) {
        close(fd);
        return -1;
    }
    return fd;
}

static void say(int fd, const char *text, size_t len)
{
    while (len) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the server has hung up; what it said first can still be read */
        text += n;
        len -= (size_t)n;
    }
}

static void say_line(int fd, const char *text)
{
    say(fd, text, strlen(text));
    say(fd, "\n", 1);
}

/* One line, without its end. False: the connection ended. */
static bool hear(int fd, char *line, size_t size)
{
    size_t len = 0;
    while (len + 1 < size && recv(fd, line + len, 1, 0) == 1)
        if (line[len++] == '\n') {
            line[len - 1] = '\0';
            return true;
        }
    line[len] = '\0';
    return false;
}

/* The next answer is an error of this code; then, if `end`, the connection ends. */
static bool hears_error(int fd, const char *code, bool end)
{
    char line[4096], more[8];
    struct sfs_document *d;
    if (!CHECK(hear(fd, line, sizeof(line))) ||
        !CHECK_OK(sfs_document_parse(line, strlen(line), &d)))
        return false;
    const struct sfs_value *v = sfs_document_root(d);
    bool good = CHECK_STR(sfs_value_string(v, "type", ""), "error") &&
                CHECK_STR(sfs_value_string(sfs_value_get(v, "error"), "code", ""), code) &&
                CHECK(strlen(sfs_value_string(sfs_value_get(v, "error"), "text", "")) > 10);
    sfs_document_free(d);
    if (end)
        good = CHECK(!hear(fd, more, sizeof(more))) && CHECK(!more[0]) && good;
    return good;
}

static bool hears_type(int fd, const char *type)
{
    char line[8192], want[64];
    snprintf(want, sizeof(want), "\"type\": \"%s\"", type);
    return CHECK(hear(fd, line, sizeof(line))) && CHECK(strstr(line, want));
}

/* --- asking in order --- */

struct heard {
    unsigned progress;
    char path[512], state[16];
    struct scalefs_pool *finish; /* made idle at the first progress */
};

static bool on_answer(void *context, const struct sfs_value *answer)
{
    struct heard *h = context;
    if (!answer)
        return true;
    const struct sfs_value *status = sfs_value_get(answer, "status");
    if (!strcmp(sfs_value_string(answer, "type", ""), "progress") && ++h->progress && h->finish)
        fake_pool_set_busy(h->finish, false);
    const struct sfs_value *disks = sfs_value_get(status, "disks");
    snprintf(h->path, sizeof(h->path), "%s",
             sfs_value_string(disks ? disks->first : NULL, "path", ""));
    snprintf(h->state, sizeof(h->state), "%s",
             sfs_value_string(sfs_value_get(status, "pool"), "state", ""));
    return true;
}

static int ask(const char *pool, const char *line, struct heard *h, struct scalefs_error_info *info)
{
    struct sfs_control_client *client;
    int error = sfs_control_find(pool, &client, info);
    if (error)
        return error;
    error = sfs_control_ask(client, line, strlen(line), on_answer, h, info);
    sfs_control_disconnect(client);
    return error;
}

#define STATUS "{\"scalefs\":1,\"verb\":\"status\"}\n"

static void found_by_each_of_its_names(void)
{
    struct served a, b;
    struct scalefs_error_info info;
    struct heard h = {0};
    char mount_a[200], path[400];
    snprintf(mount_a, sizeof(mount_a), "%s/mnt", work);
    mkdir(mount_a, 0700);
    REQUIRE(serve(&a, "tank", UUID_A, mount_a));
    REQUIRE(serve(&b, "other", UUID_B, "/nowhere"));
    snprintf(path, sizeof(path), "%s/disk-tank", work);
    const char *const names[] = {"tank", UUID_A, mount_a, path};
    for (size_t i = 0; i < 4; i++) {
        CHECK_OK(ask(names[i], STATUS, &h, &info));
        CHECK_STR(h.path, a.pool.disk_path);
        CHECK_STR(h.state, "healthy");
    }
    snprintf(path, sizeof(path), "%s/../%s/mnt/", mount_a, ".");
    CHECK_OK(ask(path, STATUS, &h, &info));
    CHECK_EQ(ask("nobody", STATUS, &h, &info), SCALEFS_E_NOENT);
    CHECK_EQ(ask(work, STATUS, &h, &info), SCALEFS_E_NOENT);
    scalefs_control_stop(b.control);
    REQUIRE(serve(&b, "tank", UUID_B, "/nowhere"));
    CHECK_EQ(ask("tank", STATUS, &h, &info), SCALEFS_E_AMBIGUOUS);
    CHECK_OK(ask(UUID_B, STATUS, &h, &info));
    scalefs_control_stop(b.control);
    scalefs_control_stop(a.control);
    CHECK_EQ(ask("tank", STATUS, &h, &info), SCALEFS_E_NOENT);
    rmdir(mount_a);
}

static void verbs_reach_the_pool(void)
{
    static const struct {
        const char *line, *call;
    } cases[] = {
        {"{\"scalefs\":1,\"verb\":\"replace\",\"old\":\"2\",\"new\":\"/"
         "x\",\"size\":4096,\"force\":true}\n",
         "replace 2 by /x size 4096 force 1"},
        {"{\"scalefs\":1,\"verb\":\"replace\",\"pairs\":[{\"old\":\"2\",\"new\":\"/x\"},{\"old\":\"3\",\"new\":\"/y\"}]}\n",
         "replace 2 by /x size 0 force 0 and more"},
        {"{\"scalefs\":1,\"verb\":\"offline\",\"disk\":\"1\"}\n", "offline 1"},
        {"{\"scalefs\":1,\"verb\":\"online\",\"disk\":\"/dev/x\"}\n", "online /dev/x"},
        {"{\"scalefs\":1,\"verb\":\"resize\",\"disk\":\"1\",\"size\":4096}\n", "resize 1 to 4096"},
        {"{\"scalefs\":1,\"verb\":\"plan\",\"change\":\"add\",\"disks\":[\"8T\"]}\n",
         "plan 0, disk -, failover -1, 1 disks, first 8T"},
        {"{\"scalefs\":1,\"verb\":\"pause\",\"task\":1002}\n", "pause 1002"},
        {"{\"scalefs\":1,\"verb\":\"resume\"}\n", "resume 0"},
        {"{\"scalefs\":1,\"verb\":\"cancel\",\"task\":4001}\n", "cancel 4001"},
        {"{\"scalefs\":1,\"verb\":\"scrub\",\"action\":\"pause\"}\n", "scrub 1"},
        {"{\"scalefs\":1,\"verb\":\"set\",\"settings\":[{\"key\":\"verify\",\"value\":\"parity\"}]}"
         "\n",
         "set verify=parity"},
    };
    struct served a;
    struct scalefs_error_info info;
    struct heard h = {0};
    REQUIRE(serve(&a, "tank", UUID_A, "/mnt"));
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CHECK_OK(ask("tank", cases[i].line, &h, &info));
        CHECK_STR(a.pool.last, cases[i].call);
    }
    CHECK_EQ(a.pool.verify, 1);
    CHECK_EQ(ask("tank", "{\"scalefs\":1,\"verb\":\"offline\",\"disk\":\"2\"}\n", &h, &info),
             SCALEFS_E_INVAL);
    CHECK_STR(info.text, "That is refused.");
    scalefs_control_stop(a.control);
}

/* Either all settings are changed or none. */
static void refused_settings_change_nothing(void)
{
    struct served a;
    struct scalefs_error_info info;
    struct heard h = {0};
    REQUIRE(serve(&a, "tank", UUID_A, "/mnt"));
    a.pool.compression = 1;
    a.pool.zstd_level = 5;
    CHECK_EQ(ask("tank",
                 "{\"scalefs\":1,\"verb\":\"set\",\"settings\":[{\"key\":\"verify\",\"value\":"
                 "\"parity\"},"
                 "{\"key\":\"compression\",\"value\":\"off\"},{\"key\":\"colour\",\"value\":"
                 "\"red\"}]}\n",
                 &h, &info),
             SCALEFS_E_INVAL);
    CHECK_STR(info.text, "That is refused.");
    CHECK_EQ(a.pool.verify, 0);
    CHECK_EQ(a.pool.compression, 1);
    CHECK_EQ(a.pool.zstd_level, 5);
    scalefs_control_stop(a.control);
}

static void bad_requests_are_refused(void)
{
    static const char *const ended[] = {"",
                                        "hello",
                                        "[1",
                                        "{\"scalefs\":1,\"verb\":\"status\"",
                                        "\x01\xff",
                                        "{}",
                                        "[]",
                                        "7",
                                        "{\"verb\":\"status\"}",
                                        "{\"scalefs\":2,\"verb\":\"status\"}",
                                        "{\"scalefs\":\"1\",\"verb\":\"status\"}",
                                        "{\"scalefs\":1}",
                                        "{\"scalefs\":1,\"verb\":7}",
                                        "GET / HTTP/1.1"};
    static const char *const answered[] = {"{\"scalefs\":1,\"verb\":\"explode\"}",
                                           "{\"scalefs\":1,\"verb\":\"offline\"}",
                                           "{\"scalefs\":1,\"verb\":\"offline\",\"disk\":7}",
                                           "{\"scalefs\":1,\"verb\":\"set\"}",
                                           "{\"scalefs\":1,\"verb\":\"set\",\"settings\":[]}",
                                           "{\"scalefs\":1,\"verb\":\"set\",\"settings\":[1]}",
                                           "{\"scalefs\":1,\"verb\":\"scrub\",\"action\":\"x\"}",
                                           "{\"scalefs\":1,\"verb\":\"replace\",\"old\":\"1\"}"};
    struct served a;
    REQUIRE(serve(&a, "tank", UUID_A, "/mnt"));
    for (size_t i = 0; i < sizeof(ended) / sizeof(*ended); i++) {
        int fd = dial(UUID_A);
        say_line(fd, ended[i]);
        if (!hears_error(fd, "PROTOCOL", true))
            printf("# asked: %s\n", ended[i]);
        close(fd);
    }
    int fd = dial(UUID_A); /* one connection for all of these */
    for (size_t i = 0; i < sizeof(answered) / sizeof(*answered); i++) {
        say_line(fd, answered[i]);
        if (!hears_error(fd, "PROTOCOL", false))
            printf("# asked: %s\n", answered[i]);
    }
    say_line(fd, "{\"scalefs\":1,\"verb\":\"status\"}");
    hears_type(fd, "done");
    close(fd);
    CHECK_STR(a.pool.last, "");
    scalefs_control_stop(a.control);
}

static void long_requests_are_refused(void)
{
    struct served a;
    char *text = malloc(3 << 20);
    memset(text, ' ', 3 << 20);
    REQUIRE(serve(&a, "tank", UUID_A, "/mnt"));
    int fd = dial(UUID_A);
    say(fd, text, 3 << 20);
    hears_error(fd, "TOOBIG", true);
    close(fd);
    fd = dial(UUID_A); /* the longest that is allowed */
    memcpy(text, "{\"scalefs\":1,\"verb\":\"status\"}", 29);
    say(fd, text, SFS_CONTROL_REQUEST_MAX - 1);
    say(fd, "\n", 1);
    hears_type(fd, "done");
    close(fd);
    free(text);
    scalefs_control_stop(a.control);
}

static void requests_come_in_pieces_and_together(void)
{
    struct served a;
    const char *request = "{\"scalefs\": 1, \"verb\": \"hello\"}\n";
    REQUIRE(serve(&a, "tank", UUID_A, "/mnt"));
    int fd = dial(UUID_A);
    for (const char *c = request; *c; c++)
        say(fd, c, 1);
    hears_type(fd, "done");
    say_line(fd, "{\"scalefs\":1,\"verb\":\"status\"}\n{\"scalefs\":1,\"verb\":\"what\"}\n{"
                 "\"scalefs\":1,\"verb\":\"status\"}");
    hears_type(fd, "done");
    hears_error(fd, "PROTOCOL", false);
    hears_type(fd, "done");
    close(fd);
    scalefs_control_stop(a.control);
}

static void noise_does_not_harm(void)
{
    struct served a;
    struct heard h = {0};
    struct scalefs_error_info info;
    REQUIRE(serve(&a, "tank", UUID_A, "/mnt"));
    for (int i = 0; i < 150; i++) {
        char noise[3000];
        int fd = dial(UUID_A);
        if (!CHECK(fd >= 0))
            break;
        test_fill(noise, sizeof(noise));
        say(fd, noise, test_below(sizeof(noise)));
        if (i % 3)
            say(fd, "\n", 1);
        if (i % 2) {
            shutdown(fd, SHUT_WR);
            hear(fd, noise, sizeof(noise));
        }
        close(fd);
    }
    /* Connections end when their threads notice. */
    while (ask("tank", STATUS, &h, &info))
        pause_ms(1);
    scalefs_control_stop(a.control);
}

static void waits_with_progress(void)
{
    struct served a;
    struct heard h = {.finish = &a.pool};
    struct scalefs_error_info info;
    REQUIRE(serve(&a, "tank", UUID_A, "/mnt"));
    fake_pool_set_busy(&a.pool, true);
    CHECK_OK(ask("tank", "{\"scalefs\":1,\"verb\":\"wait\"}\n", &h, &info));
    CHECK(h.progress > 0);
    scalefs_control_stop(a.control);
}

/* As many as may wait do; status and unmount are answered all the same, and closing ends the
 * waiting. */
static void answers_while_others_wait(void)
{
    struct served a;
    int waiters[SFS_CONTROL_CONNECTIONS];
    unsigned count = SFS_CONTROL_CONNECTIONS - 4;
    char line[8192];
    REQUIRE(serve(&a, "tank", UUID_A, "/mnt"));
    a.pool.state = SCALEFS_SUSPENDED;
    fake_pool_set_busy(&a.pool, true);
    for (unsigned i = 0; i < count; i++) {
        waiters[i] = dial(UUID_A);
        say_line(waiters[i], "{\"scalefs\":1,\"verb\":\"wait\"}");
    }
    while (fake_pool_waiting(&a.pool) < count)
        pause_ms(1);
    int fd = dial(UUID_A);
    say_line(fd, "{\"scalefs\":1,\"verb\":\"wait\"}");
    hears_error(fd, "BUSY", true);
    close(fd);
    fd = dial(UUID_A);
    say_line(fd, "{\"scalefs\":1,\"verb\":\"status\"}");
    CHECK(hear(fd, line, sizeof(line)) && strstr(line, "\"state\": \"suspended\""));
    say_line(fd, "{\"scalefs\":1,\"verb\":\"unmount\"}");
    hears_type(fd, "accepted");
    while (!asked(&a))
        pause_ms(1);
    scalefs_control_closing(a.control);
    CHECK_EQ(fake_pool_waiting(&a.pool), 0);
    fake_pool_destroyed(&a.pool);
    for (unsigned i = 0; i < count; i++) {
        do
            CHECK(hear(waiters[i], line, sizeof(line)));
        while (strstr(line, "\"progress\""));
        CHECK(strstr(line, "CANCELED"));
    }
    int late = dial(UUID_A);
    say_line(late, "{\"scalefs\":1,\"verb\":\"status\"}");
    hears_error(late, "BUSY", true);
    close(late);
    scalefs_control_closed(a.control, SCALEFS_OK);
    hears_type(fd, "done");
    struct served next; /* mounted again before the first has ended */
    if (CHECK(serve(&next, "tank", UUID_A, "/mnt"))) {
        scalefs_control_stop(a.control);
        int client = dial(UUID_A); /* it left the next one's socket alone */
        CHECK(client >= 0);
        close(client);
        scalefs_control_stop(next.control);
    }
    CHECK_EQ(asked(&a), 1);
    CHECK_EQ(fake_pool_late(&a.pool), 0);
    for (unsigned i = 0; i < count; i++)
        close(waiters[i]);
    close(fd);
}

static void a_client_that_leaves_stops_waiting(void)
{
    struct served a;
    REQUIRE(serve(&a, "tank", UUID_A, "/mnt"));
    fake_pool_set_busy(&a.pool, true);
    int fd = dial(UUID_A);
    say_line(fd, "{\"scalefs\":1,\"verb\":\"scrub\",\"wait\":true}");
    while (fake_pool_waiting(&a.pool) < 1)
        pause_ms(1);
    close(fd);
    while (fake_pool_waiting(&a.pool))
        pause_ms(1);
    CHECK_STR(a.pool.last, "scrub 0");
    scalefs_control_stop(a.control);
}

/* As many as there may be, all idle: the one that has been idle for longest goes. */
static void idle_ones_make_room(void)
{
    struct served a;
    char line[8];
    int fds[SFS_CONTROL_CONNECTIONS];
    REQUIRE(serve(&a, "tank", UUID_A, "/mnt"));
    for (int i = 0; i < SFS_CONTROL_CONNECTIONS; i++) {
        CHECK((fds[i] = dial(UUID_A)) >= 0);
        say_line(fds[i], "{\"scalefs\":1,\"verb\":\"hello\"}");
        hears_type(fds[i], "done");
    }
    say_line(fds[0], "{\"scalefs\":1,\"verb\":\"hello\"}");
    hears_type(fds[0], "done"); /* now the second is the oldest */
    int fd = dial(UUID_A);
    say_line(fd, "{\"scalefs\":1,\"verb\":\"status\"}");
    hears_type(fd, "done");
    CHECK(!hear(fds[1], line, sizeof(line)) && !line[0]);
    for (int i = 0; i < SFS_CONTROL_CONNECTIONS; i++) {
        struct pollfd p = {.fd = fds[i], .events = POLLIN};
        CHECK_EQ(poll(&p, 1, 0), i == 1);
        close(fds[i]);
    }
    close(fd);
    scalefs_control_stop(a.control);
}

static void too_many_are_turned_away(void)
{
    struct served a;
    int fds[SFS_CONTROL_CONNECTIONS], waiters = SFS_CONTROL_CONNECTIONS - 4;
    REQUIRE(serve(&a, "tank", UUID_A, "/mnt"));
    fake_pool_set_busy(&a.pool, true);
    for (int i = 0; i < SFS_CONTROL_CONNECTIONS; i++) {
        fds[i] = dial(UUID_A);
        say_line(fds[i], i < waiters ? "{\"scalefs\":1,\"verb\":\"wait\"}"
                                     : "{\"scalefs\":1,\"verb\":\"unmount\"}");
    }
    while (fake_pool_waiting(&a.pool) < (unsigned)waiters || asked(&a) < 4)
        pause_ms(1);
    int fd = dial(UUID_A);
    hears_error(fd, "BUSY", true);
    close(fd);
    scalefs_control_stop(a.control);
    for (int i = 0; i < SFS_CONTROL_CONNECTIONS; i++)
        close(fds[i]);
}

/* --- unmounting --- */

struct unmounter {
    int error;
    struct scalefs_error_info info;
    pthread_t thread;
};

static bool patient(void *context)
{
    (void)context;
    return true;
}

static void *unmount_main(void *arg)
{
    struct unmounter *u = arg;
    struct sfs_control_client *client;
    u->error = sfs_control_find("tank", &client, &u->info);
    if (!u->error) {
        u->error = sfs_control_unmount(client, NULL, patient, NULL, &u->info);
        sfs_control_disconnect(client);
    }
    return NULL;
}

static void unmounts(int close_error, bool tells)
{
    struct served a;
    struct unmounter u = {.error = -1};
    REQUIRE(serve(&a, "tank", UUID_A, "/mnt"));
    pthread_create(&u.thread, NULL, unmount_main, &u);
    while (!asked(&a))
        pause_ms(1);
    if (tells) {
        scalefs_control_closing(a.control);
        fake_pool_destroyed(&a.pool);
        scalefs_control_closed(a.control, close_error);
    }
    scalefs_control_stop(a.control);
    pthread_join(u.thread, NULL);
    CHECK_EQ(u.error, close_error);
    CHECK_EQ(fake_pool_late(&a.pool), 0);
}

/* The client takes the mount away, and the server is quick: closed, with an error, and gone before anyone can ask. */
static int take_away(void *context, struct scalefs_error_info *info)
{
    struct served *a = context;
    (void)info;
    scalefs_control_closing(a->control);
    fake_pool_destroyed(&a->pool);
    scalefs_control_closed(a->control, SCALEFS_E_IO);
    scalefs_control_stop(a->control);
    return SCALEFS_OK;
}

static int cannot_take_away(void *context, struct scalefs_error_info *info)
{
    (void)context;
    return sfs_control_fail(info, SCALEFS_E_BUSY, "Somebody is there.");
}

static void a_quick_end_is_told(void)
{
    struct served a;
    struct sfs_control_client *client;
    struct scalefs_error_info info = {0};
    REQUIRE(serve(&a, "tank", UUID_A, "/mnt"));
    REQUIRE(sfs_control_find("tank", &client, &info) == SCALEFS_OK);
    CHECK_EQ(sfs_control_unmount(client, cannot_take_away, patient, &a, &info), SCALEFS_E_BUSY);
    CHECK_STR(info.text, "Somebody is there.");
    sfs_control_disconnect(client);
    REQUIRE(sfs_control_find("tank", &client, &info) == SCALEFS_OK);
    CHECK_EQ(sfs_control_unmount(client, take_away, patient, &a, &info), SCALEFS_E_IO);
    sfs_control_disconnect(client);
    CHECK_EQ(asked(&a), 0);
}

static int count_taken_away(void *context, struct scalefs_error_info *info)
{
    (void)info;
    ++*(unsigned *)context;
    return SCALEFS_OK;
}

/* A server that talks to nobody any more keeps no one from unmounting. */
static void unmounts_without_an_answer(void)
{
    struct served a;
    struct sfs_control_client *client;
    struct scalefs_error_info info = {0};
    unsigned taken_away = 0;
    REQUIRE(serve(&a, "tank", UUID_A, "/mnt"));
    REQUIRE(sfs_control_find("tank", &client, &info) == SCALEFS_OK);
    scalefs_control_stop(a.control);
    CHECK_OK(sfs_control_unmount(client, count_taken_away, patient, &taken_away, &info));
    CHECK_EQ(taken_away, 1);
    sfs_control_disconnect(client);
}

static void unmounting_is_awaited(void)
{
    unmounts(SCALEFS_OK, true);
    unmounts(SCALEFS_E_IO, true);
    unmounts(SCALEFS_OK, false);
}

/* --- the folder --- */

static void sockets_of_the_dead_are_removed(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct scalefs_error_info info;
    struct heard h = {0};
    struct served live;
    struct stat st;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(a.sun_path, sizeof(a.sun_path), "%.60s/%s.sock", folder_path, UUID_B);
    REQUIRE(!bind(fd, (struct sockaddr *)&a, sizeof(a)));
    close(fd);
    REQUIRE(!stat(a.sun_path, &st));
    CHECK_EQ(ask("tank", STATUS, &h, &info), SCALEFS_E_NOENT);
    CHECK(stat(a.sun_path, &st) && errno == ENOENT);

    fd = socket(AF_UNIX, SOCK_STREAM, 0); /* and a server takes the place of a dead one */
    REQUIRE(!bind(fd, (struct sockaddr *)&a, sizeof(a)));
    close(fd);
    REQUIRE(serve(&live, "tank", UUID_B, "/mnt"));
    CHECK_OK(ask("tank", STATUS, &h, &info));
    REQUIRE(!stat(a.sun_path, &st));
    CHECK_EQ(st.st_mode & 0777, 0600);
    struct scalefs_control *second; /* but not that of a living one */
    CHECK_EQ(scalefs_control_start(&live.pool, "/mnt", on_unmount, &live, &second, &info),
             SCALEFS_E_BUSY);
    CHECK(!second);
    CHECK_OK(ask("tank", STATUS, &h, &info));
    scalefs_control_stop(live.control);
    CHECK(stat(a.sun_path, &st) && errno == ENOENT);
}

static void the_folder_must_be_ones_own(void)
{
    struct sfs_control_folder folder;
    struct scalefs_error_info info;
    char real[300];
    snprintf(real, sizeof(real), "%s.real", folder_path);
    REQUIRE(!rename(folder_path, real) && !symlink(real, folder_path));
    CHECK_EQ(sfs_control_folder_open(true, &folder, &info), SCALEFS_E_ACCESS);
    CHECK(strlen(info.text) > 20);
    REQUIRE(!unlink(folder_path) && !rename(real, folder_path));
    for (mode_t bit = 1; bit < 0100; bit <<= 1) {
        chmod(folder_path, 0700 | bit);
        CHECK_EQ(sfs_control_folder_open(true, &folder, &info), SCALEFS_E_ACCESS);
    }
    chmod(folder_path, 0700);
    if (!geteuid()) {
        REQUIRE(!chown(folder_path, 65534, 65534));
        CHECK_EQ(sfs_control_folder_open(true, &folder, &info), SCALEFS_E_ACCESS);
        REQUIRE(!chown(folder_path, 0, 0));
    }
    CHECK_OK(sfs_control_folder_open(true, &folder, &info));
    sfs_control_folder_close(&folder);
}

/* Even where the folder and the socket let everyone in. */
static void others_are_not_heard(void)
{
    struct served a;
    if (geteuid()) {
        printf("# needs root\n");
        return;
    }
    REQUIRE(serve(&a, "tank", UUID_A, "/mnt"));
    char path[300];
    snprintf(path, sizeof(path), "%s/%s.sock", folder_path, UUID_A);
    chmod(work, 0711);
    chmod(folder_path, 0711);
    chmod(path, 0666);
    pid_t child = fork();
    if (!child) {
        char line[1024];
        int fd = setgid(65534) || setuid(65534) ? -1 : dial(UUID_A);
        if (fd < 0)
            _exit(2);
        say_line(fd, "{\"scalefs\":1,\"verb\":\"unmount\"}");
        bool heard = hear(fd, line, sizeof(line)) && strstr(line, "\"ACCESS\"");
        _exit(heard && !hear(fd, line, sizeof(line)) ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
    CHECK_EQ(asked(&a), 0);
    chmod(folder_path, 0700);
    chmod(work, 0700);
    scalefs_control_stop(a.control);
}

int main(int argc, char **argv)
{
    snprintf(work, sizeof(work), "/tmp/scalefs-test-XXXXXX");
    if (!mkdtemp(work))
        return 1;
    snprintf(folder_path, sizeof(folder_path), "%s/run", work);
    setenv("SCALEFS_RUN", folder_path, 1);
    TEST_START(argc, argv);
    RUN(found_by_each_of_its_names);
    RUN(verbs_reach_the_pool);
    RUN(refused_settings_change_nothing);
    RUN(bad_requests_are_refused);
    RUN(long_requests_are_refused);
    RUN(requests_come_in_pieces_and_together);
    RUN(noise_does_not_harm);
    RUN(waits_with_progress);
    RUN(answers_while_others_wait);
    RUN(a_client_that_leaves_stops_waiting);
    RUN(idle_ones_make_room);
    RUN(too_many_are_turned_away);
    RUN(unmounting_is_awaited);
    RUN(unmounts_without_an_answer);
    RUN(a_quick_end_is_told);
    RUN(sockets_of_the_dead_are_removed);
    RUN(the_folder_must_be_ones_own);
    RUN(others_are_not_heard);
    char path[300];
    snprintf(path, sizeof(path), "%s/disk-tank", work);
    unlink(path);
    snprintf(path, sizeof(path), "%s/disk-other", work);
    unlink(path);
    rmdir(folder_path);
    rmdir(work);
    return TEST_END();
}
