/* Damaged images are opened, read, written to, scrubbed and checked: no crash, no hang, no wrong data.
 *
 * usage: test_mutate [--first N] [--seeds N] [--tell]
 * Each seed damages a copy of the same pool and uses it in a process of its own.
 *
 * As `mutate`: whole and parts of blocks rot, move, are lost, on at most `failover` disks (then everything must be right, and a
 * scrub must put all of it right) or on any (then what is read is right, or an error).
 * As `mutate_trusted` every checksum is the same number, so that what was changed in a block is believed: what must hold then is that
 * nothing crashes or hangs, whatever a field says.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mutate.h"

#define PATIENCE_S 60u
#define SCRUB_S 5u

static uint64_t state;

uint64_t mutate_random(uint64_t bound)
{
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return bound ? (z ^ z >> 31) % bound : 0;
}

void mutate_fill(uint8_t *p, size_t len, uint64_t seed)
{
    uint64_t z = seed * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < len; i++) {
        if (i % 8 == 0)
            z = (z ^ z >> 29) * 0xbf58476d1ce4e5b9u + seed;
        p[i] = seed % 3 ? (uint8_t)(z >> i % 8 * 8) : (uint8_t)(i / 64 + seed);
    }
}

/* --- the images --- */

struct images {
    char folder[64], paths[DISKS][80];
    const char *list[DISKS];
    uint8_t *bytes[DISKS]; /* as they were made */
};

static void name_paths(struct images *m)
{
    for (unsigned i = 0; i < DISKS; i++) {
        snprintf(m->paths[i], sizeof m->paths[i], "%s/disk%u", m->folder, i);
        m->list[i] = m->paths[i];
    }
}

static bool load(struct images *m)
{
    for (unsigned i = 0; i < DISKS; i++) {
        int fd = open(m->paths[i], O_RDONLY);
        if (fd < 0)
            return false;
        m->bytes[i] = mmap(NULL, DISK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
        close(fd);
        if (m->bytes[i] == MAP_FAILED)
            return false;
        unlink(m->paths[i]); /* the mapping holds it */
    }
    return true;
}

/* In the child: a private copy is changed, and written where the pool is opened. */
static bool store(const struct images *m)
{
    static const uint8_t zeros[BLOCK];
    for (unsigned i = 0; i < DISKS; i++) {
        int fd = open(m->paths[i], O_RDWR | O_CREAT | O_TRUNC, 0600);
        if (fd < 0 || ftruncate(fd, DISK_BYTES))
            return false;
        for (size_t at = 0; at < DISK_BYTES; at += BLOCK)
            if (memcmp(m->bytes[i] + at, zeros, BLOCK) && pwrite(fd, m->bytes[i] + at, BLOCK, (off_t)at) != BLOCK)
                return false;
        close(fd);
    }
    return true;
}

/* --- one seed --- */

static volatile bool scrubbed_enough;

static void on_alarm(int signal)
{
    (void)signal;
    if (scrubbed_enough)
        abort(); /* a hang */
    scrubbed_enough = true;
    alarm(PATIENCE_S);
}

static void ignore(void *context, const char *text)
{
    unsigned *told = context;
    if ((*told)++ < 3)
        printf("#   problem: %s\n", text);
}

static bool is_sound(const struct images *m, unsigned *told)
{
    struct scalefs_check_report report;
    struct scalefs_error_info info;
    memset(&report, 0, sizeof report);
    int err = scalefs_pool_check(m->list[0], m->list, DISKS, ignore, told, &report, &info);
    return !err && !report.problems;
}

static void tell_log(void *context, int level, const char *room, int error, const char *text)
{
    (void)context, (void)error;
    if (level <= 2)
        printf("#   %s: %s\n", room, text);
}

/* Opened with all its disks, or without one that cannot be used at all. */
static int open_pool(const struct images *m, struct scalefs_open_options *o, struct scalefs_pool **pool, bool sure)
{
    struct scalefs_error_info info;
    int err = scalefs_pool_open(o, m->list[0], m->list, DISKS, pool, &info);
    for (unsigned out = 0; out < DISKS && err && sure; out++) {
        const char *rest[DISKS];
        unsigned count = 0;
        for (unsigned i = 0; i < DISKS; i++)
            if (i != out)
                rest[count++] = m->list[i];
        err = scalefs_pool_open(o, rest[0], rest, count, pool, &info);
    }
    if (err && sure)
        printf("#   it does not open: %s\n", info.text);
    return err;
}

/* One of which nothing can be read any more is to be replaced: until then not all can be put right. */
static bool has_all_disks(struct scalefs_pool *pool)
{
    struct scalefs_status *status;
    bool all = !scalefs_pool_status(pool, &status);
    for (size_t i = 0; all && i < status->disk_count; i++)
        all = status->disks[i].state == SCALEFS_DISK_ONLINE;
    if (all)
        scalefs_status_free(status);
    return all;
}

/* Everything that a user could do with such a pool. False: what must hold does not. */
static bool use(const struct images *m, bool sure, bool tell)
{
    struct scalefs_open_options o = {.struct_bytes = sizeof o, .read_only = mutate_random(3) == 0, .degraded = true,
                                     .other_host = true, .commit_seconds = 1};
    struct scalefs_error_info info;
    struct scalefs_pool *pool;
    unsigned told = sure ? 0 : 3;
    bool good = true;
    if (!sure && mutate_random(3) == 0)
        (void)is_sound(m, &told);
    if (tell)
        o.log = tell_log;
    int err = open_pool(m, &o, &pool, sure);
    if (err)
        return !sure;
    good = mutate_look(pool, sure);
    if (!o.read_only) {
        mutate_touch(pool, sure);
        (void)scalefs_pool_sync(pool);
        (void)scalefs_pool_scrub(pool, SCALEFS_SCRUB_START, &info);
        scrubbed_enough = false;
        alarm(sure ? PATIENCE_S : SCRUB_S);
        (void)scalefs_pool_wait(pool, NULL, NULL, &scrubbed_enough);
        scrubbed_enough = true;
        alarm(PATIENCE_S);
    }
    bool all = has_all_disks(pool);
    err = scalefs_pool_close(pool, mutate_random(2) == 0);
    if (sure && err) {
        printf("#   closing: %s\n", scalefs_error_text(err));
        good = false;
    }
    bool sound = is_sound(m, &told);
    if (sure && all && !o.read_only && !sound) {
        puts("#   after the scrub something is wrong");
        good = false;
    }
    return good;
}

static int child(const struct images *m, uint64_t seed, bool tell)
{
    state = seed * 7919 + 13;
    signal(SIGALRM, on_alarm);
    scrubbed_enough = true;
    alarm(PATIENCE_S);
    bool sure = mutate_damage((uint8_t *const *)m->bytes, tell);
    if (!store(m))
        return 3;
    bool good = use(m, sure, tell);
    fflush(stdout);
    return good ? sure ? 10 : 0 : 1;
}

/* 0: as it must be, 10: and everything had to be right. */
static int run(const struct images *m, uint64_t seed, bool tell)
{
    int status = -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(child(m, seed, tell));
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    if (WIFSIGNALED(status))
        printf("#   %s\n", WTERMSIG(status) == SIGABRT ? "it was aborted, or hung" : strsignal(WTERMSIG(status)));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void clean(const struct images *m)
{
    for (unsigned i = 0; i < DISKS; i++)
        unlink(m->paths[i]);
    rmdir(m->folder);
}

int main(int argc, char **argv)
{
    unsigned long first = 1, seeds = 60, whole = 0, failed = 0, number = 0;
    bool tell = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--first") && i + 1 < argc)
            first = strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--seeds") && i + 1 < argc)
            seeds = strtoul(argv[++i], NULL, 10);
        else
            tell = tell || !strcmp(argv[i], "--tell");
    }
    struct images m;
    const char *base = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
    snprintf(m.folder, sizeof m.folder, "%s/scalefs-mutate-XXXXXX", base);
    if (!mkdtemp(m.folder))
        return 1;
    name_paths(&m);
    fflush(NULL);
    pid_t pid = fork(); /* no thread of the library is there when the seeds are forked */
    int status = -1;
    if (pid == 0)
        _exit(mutate_make(m.list) ? 0 : 1);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status || !load(&m)) {
        puts("not ok 1 - the images are made\n1..1");
        clean(&m);
        return 1;
    }
    for (unsigned long seed = first; seed < first + seeds; seed++) {
        int r = run(&m, seed, tell);
        whole += r == 10;
        if (r == 0 || r == 10)
            continue;
        failed++;
        printf("not ok %lu - seed %lu\n", ++number, seed);
        fflush(stdout);
    }
    printf("# %lu seeds, in %lu of them everything had to be right; %lu failed\n", seeds, whole, failed);
    if (!failed)
        printf("ok %lu - seeds %lu to %lu\n", ++number, first, first + seeds - 1);
    printf("1..%lu\n", number);
    clean(&m);
    return failed != 0;
}
