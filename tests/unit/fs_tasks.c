/* Many tasks on one volume at once: each verifies a file of its own, and all move, link, clone and delete the same few
 * names, while checkpoints and background writing go on. Nothing deadlocks, every answer is one that could be, the keys
 * are consistent in the end. On threads, and in the simulator with many orders of events.
 */
#include "fs_fixture.h"
#include "sim/prng.h"
#include "sim/sim_env.h"

#define WORKERS 4u
#define OWN_BYTES 60000u

struct stage {
    struct sfs_env *env;
    struct sfs_store *store;
    struct sfs_fs *fs;
    uint64_t seed, dirs[3];
    unsigned ops;
    struct sfs_mutex lock;
    unsigned working; /* under lock */
    unsigned wrong;
};
struct worker {
    struct stage *stage;
    unsigned number;
    struct prng random;
    uint64_t own;
    size_t size;
    uint8_t *bytes;
};

static void wrong(struct stage *s, const char *what, int error)
{
    sfs_mutex_lock(&s->lock);
    if (s->wrong++ < 5)
        printf("# %s: %s\n", what, scalefs_error_name(error));
    sfs_mutex_unlock(&s->lock);
}

/* What an operation on names that others change at the same time may say. */
static void possible(struct stage *s, const char *what, int error)
{
    const int answers[] = {SCALEFS_OK,       SCALEFS_E_NOENT,    SCALEFS_E_EXIST, SCALEFS_E_STALE, SCALEFS_E_NOTEMPTY,
                           SCALEFS_E_ISDIR,  SCALEFS_E_NOTDIR,   SCALEFS_E_INVAL, SCALEFS_E_BUSY,  SCALEFS_E_PERM,
                           SCALEFS_E_NODATA, SCALEFS_E_NXIO};
    for (unsigned i = 0; i < sizeof answers / sizeof *answers; i++)
        if (error == answers[i])
            return;
    wrong(s, what, error);
}

static bool any_entry(void *context, const struct scalefs_dirent *entry)
{
    unsigned *left = context;
    return entry->name_len > 0 && (*left)-- > 0;
}

static const char *some_name(struct worker *w)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    return names[prng_below(&w->random, 4)];
}

/* A directory in which things happen: one of three, or one that somebody made in them. */
static uint64_t some_dir(struct worker *w)
{
    struct scalefs_attr a;
    uint64_t dir = w->stage->dirs[prng_below(&w->random, 3)];
    while (prng_below(&w->random, 3) == 0 && !sfs_fs_lookup(w->stage->fs, dir, some_name(w), 1, &a) &&
           (a.mode & SCALEFS_S_IFMT) == SCALEFS_S_IFDIR)
        dir = a.ino;
    return dir;
}

static void shared_data(struct worker *w, uint64_t ino)
{
    struct stage *s = w->stage;
    uint8_t buf[5000];
    size_t done;
    uint64_t at = prng_below(&w->random, 40000), cloned;
    struct scalefs_attr a, set = {.size = at};
    switch (prng_below(&w->random, 7)) {
    case 0:
        prng_fill(&w->random, buf, sizeof buf);
        possible(s, "write", sfs_fs_write(s->fs, ino, at, buf, sizeof buf));
        break;
    case 1:
        possible(s, "read", sfs_fs_read(s->fs, ino, at, buf, sizeof buf, &done));
        break;
    case 2:
        possible(s, "truncate", sfs_fs_setattr(s->fs, ino, &set, SCALEFS_SET_SIZE, &a));
        break;
    case 3:
        possible(s, "clone", sfs_fs_copy_range(s->fs, w->own, 0, ino, at, 10000, &cloned));
        break;
    case 4:
        possible(s, "punch", sfs_fs_fallocate(s->fs, ino, SCALEFS_FALLOC_PUNCH_HOLE | SCALEFS_FALLOC_KEEP_SIZE, at, 9000));
        break;
    case 5:
        possible(s, "fsync", sfs_fs_fsync(s->fs, ino));
        break;
    default:
        possible(s, "seek", sfs_fs_seek(s->fs, ino, at, prng_below(&w->random, 2), &cloned));
    }
}

static void shared_name(struct worker *w)
{
    struct stage *s = w->stage;
    struct scalefs_attr a;
    uint64_t dir = some_dir(w), other = some_dir(w);
    const char *name = some_name(w), *new_name = some_name(w);
    unsigned left = 10, flags = (unsigned)prng_below(&w->random, 3);
    switch (prng_below(&w->random, 9)) {
    case 0:
    case 1:
        possible(s, "create", sfs_fs_mknod(s->fs, dir, name, 1, SCALEFS_S_IFREG | 0644, 0, 0, owner, &a));
        break;
    case 2:
        possible(s, "mkdir", sfs_fs_mknod(s->fs, dir, name, 1, SCALEFS_S_IFDIR | 0755, 0, 0, owner, &a));
        break;
    case 3:
        possible(s, "unlink", sfs_fs_unlink(s->fs, dir, name, 1));
        break;
    case 4:
        possible(s, "rmdir", sfs_fs_rmdir(s->fs, dir, name, 1));
        break;
    case 5:
        possible(s, "rename", sfs_fs_rename(s->fs, dir, name, 1, other, new_name, 1, flags));
        break;
    case 6:
        if (!sfs_fs_lookup(s->fs, dir, name, 1, &a))
            possible(s, "link", sfs_fs_link(s->fs, a.ino, other, new_name, 1, &a));
        break;
    case 7:
        possible(s, "readdir", sfs_fs_readdir(s->fs, dir, 0, true, any_entry, &left));
        break;
    default:
        if (sfs_fs_lookup(s->fs, dir, name, 1, &a) || sfs_fs_hold(s->fs, a.ino))
            break;
        for (unsigned i = 0; i < 3; i++)
            shared_data(w, a.ino);
        possible(s, "setxattr", sfs_fs_setxattr(s->fs, a.ino, "user.a", &a, sizeof a, 0));
        sfs_fs_release_hold(s->fs, a.ino, 1);
    }
}

static void own_data(struct worker *w)
{
    struct stage *s = w->stage;
    struct scalefs_attr a, set;
    uint8_t got[OWN_BYTES];
    size_t done, len = 1 + prng_below(&w->random, 20000), at = prng_below(&w->random, OWN_BYTES - len);
    int err = SCALEFS_OK;
    switch (prng_below(&w->random, 5)) {
    case 0:
    case 1:
        prng_fill(&w->random, w->bytes + at, len);
        err = sfs_fs_write(s->fs, w->own, at, w->bytes + at, len);
        w->size = at + len > w->size ? at + len : w->size;
        break;
    case 2:
        set.size = at;
        err = sfs_fs_setattr(s->fs, w->own, &set, SCALEFS_SET_SIZE, &a);
        if (at < w->size)
            memset(w->bytes + at, 0, w->size - at);
        w->size = at;
        break;
    case 3:
        err = sfs_fs_fsync(s->fs, w->own);
        break;
    default:
        err = sfs_fs_read(s->fs, w->own, 0, got, sizeof got, &done);
        if (!err && (done != w->size || memcmp(got, w->bytes, done) != 0))
            wrong(s, "own data differs", SCALEFS_E_CORRUPT);
    }
    if (err)
        wrong(s, "own data", err);
}

static void work(void *arg)
{
    struct worker *w = arg;
    struct stage *s = w->stage;
    for (unsigned i = 0; i < s->ops; i++) {
        if (prng_below(&w->random, 3))
            shared_name(w);
        else
            own_data(w);
    }
    sfs_mutex_lock(&s->lock);
    s->working--;
    sfs_mutex_unlock(&s->lock);
}

static void checkpoints(void *arg)
{
    struct stage *s = arg;
    for (;;) {
        sfs_mutex_lock(&s->lock);
        bool stop = !s->working;
        sfs_mutex_unlock(&s->lock);
        if (stop)
            return;
        int err = fake_store_checkpoint(s->store);
        if (err)
            wrong(s, "checkpoint", err);
        sfs_task_sleep(s->env, 200000);
    }
}

static void start_worker(struct stage *s, struct worker *w, unsigned number)
{
    struct scalefs_attr a = {.ino = 0};
    char name[8];
    *w = (struct worker){.stage = s, .number = number, .bytes = calloc(1, OWN_BYTES)};
    prng_stream(&w->random, s->seed, number);
    int len = snprintf(name, sizeof name, "own%u", number);
    if (sfs_fs_mknod(s->fs, ROOT, name, (size_t)len, SCALEFS_S_IFREG | 0600, 0, 0, owner, &a))
        wrong(s, "own file", SCALEFS_E_IO);
    w->own = a.ino;
}

static void play(void *arg)
{
    struct stage *s = arg;
    struct fake_options store = {.record = 16384, .row = 40960};
    struct sfs_fs_options options = {.dirty_bytes = 100000, .inode_cache = 3};
    struct worker workers[WORKERS];
    struct sfs_task *tasks[WORKERS + 1];
    struct scalefs_attr a;
    s->store = fake_store_make(s->env, &store);
    sfs_mutex_init(&s->lock, s->env);
    int err = sfs_fs_open(s->store, SFS_TREE_VOLUME, &options, &s->fs);
    for (unsigned i = 0; !err && i < 3; i++) {
        err = sfs_fs_mknod(s->fs, i < 2 ? ROOT : s->dirs[0], &"xyz"[i], 1, SCALEFS_S_IFDIR | 0755, 0, 0, owner, &a);
        s->dirs[i] = a.ino;
    }
    if (err) {
        wrong(s, "open", err);
        return;
    }
    s->working = WORKERS;
    for (unsigned i = 0; i < WORKERS; i++)
        start_worker(s, &workers[i], i);
    for (unsigned i = 0; i < WORKERS; i++)
        if (sfs_task_start(s->env, "worker", work, &workers[i], &tasks[i]))
            abort();
    if (sfs_task_start(s->env, "checkpoints", checkpoints, s, &tasks[WORKERS]))
        abort();
    for (unsigned i = 0; i <= WORKERS; i++)
        sfs_task_join(s->env, tasks[i]);
    struct scalefs_check_report report = {.problems = 0};
    struct fake_stats stats;
    sfs_fs_settle(s->fs);
    err = sfs_fs_sync(s->fs);
    if (!err)
        err = sfs_fs_check(s->fs, fixture_say, NULL, &report);
    if (err || report.problems || fake_store_check(s->store, SFS_TREE_VOLUME))
        wrong(s, "the end", err);
    err = sfs_fs_close(s->fs);
    fake_store_stats(s->store, &stats);
    if (err || stats.reserved)
        wrong(s, "close", err);
    fake_store_free(s->store);
    sfs_mutex_deinit(&s->lock);
    for (unsigned i = 0; i < WORKERS; i++)
        free(workers[i].bytes);
}

static void on_threads(void)
{
    struct stage s = {.seed = test_seed(), .ops = 5000};
    REQUIRE_OK(sfs_env_os_create(NULL, NULL, &s.env));
    play(&s);
    CHECK_EQ(s.wrong, 0);
    sfs_env_os_destroy(s.env);
}

static void in_many_orders(void)
{
    for (unsigned i = 0; i < 30; i++) {
        struct sim_options o = {.seed = test_seed() * 1000 + i};
        struct sim_env *sim = sim_env_create(&o);
        struct stage s = {.env = sim_env_base(sim), .seed = o.seed, .ops = 60};
        enum sim_end end = sim_env_run(sim, play, &s);
        if (!CHECK_EQ(end, SIM_FINISHED) || !CHECK_EQ(s.wrong, 0))
            printf("# order %" PRIu64 "\n", o.seed);
        sim_env_destroy(sim);
        if (end != SIM_FINISHED)
            return;
    }
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(in_many_orders);
    RUN(on_threads);
    return TEST_END();
}
