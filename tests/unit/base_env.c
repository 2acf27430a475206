/* The production environment: tasks, locks, time, randomness, memory, log. */
#include "test.h"

#include "base/env.h"

enum { TASKS = 4, ROUNDS = 2000 };

static struct sfs_env *env;

struct shared {
    struct sfs_mutex mutex;
    struct sfs_cond cond;
    struct sfs_rwlock lock;
    uint64_t a, b; /* equal whenever nobody writes */
    unsigned torn, stage, order[4], order_count;
};

static void shared_init(struct shared *s)
{
    memset(s, 0, sizeof *s);
    sfs_mutex_init(&s->mutex, env);
    sfs_cond_init(&s->cond, env);
    sfs_rwlock_init(&s->lock, env);
}

static void shared_deinit(struct shared *s)
{
    sfs_rwlock_deinit(&s->lock);
    sfs_cond_deinit(&s->cond);
    sfs_mutex_deinit(&s->mutex);
}

static void run_tasks(void (*fn)(void *), void *arg)
{
    struct sfs_task *tasks[TASKS];
    for (int i = 0; i < TASKS; i++)
        REQUIRE_OK(sfs_task_start(env, "a task with quite a long name", fn, arg, &tasks[i]));
    for (int i = 0; i < TASKS; i++)
        sfs_task_join(env, tasks[i]);
}

static void add_locked(void *arg)
{
    struct shared *s = arg;
    for (int i = 0; i < ROUNDS; i++) {
        sfs_mutex_lock(&s->mutex);
        s->a++;
        sfs_mutex_unlock(&s->mutex);
    }
}

static void mutex_excludes(void)
{
    struct shared s;
    shared_init(&s);
    run_tasks(add_locked, &s);
    CHECK_EQ(s.a, TASKS * ROUNDS);
    shared_deinit(&s);
}

/* The tasks take turns: each waits until the count has its own remainder. */
static void take_turns(void *arg)
{
    struct shared *s = arg;
    sfs_mutex_lock(&s->mutex);
    unsigned mine = s->stage++;
    for (int i = 0; i < 50; i++) {
        while (s->a % TASKS != mine)
            sfs_cond_wait(&s->cond, &s->mutex);
        s->a++;
        sfs_cond_broadcast(&s->cond);
    }
    sfs_mutex_unlock(&s->mutex);
}

static void cond_wakes(void)
{
    struct shared s;
    shared_init(&s);
    run_tasks(take_turns, &s);
    CHECK_EQ(s.a, TASKS * 50);
    shared_deinit(&s);
}

static void signal_soon(void *arg)
{
    struct shared *s = arg;
    sfs_mutex_lock(&s->mutex);
    s->stage = 1;
    sfs_cond_signal(&s->cond);
    sfs_mutex_unlock(&s->mutex);
}

static void cond_wait_ends_by_time_or_signal(void)
{
    struct shared s;
    struct sfs_task *task;
    shared_init(&s);
    sfs_mutex_lock(&s.mutex);
    uint64_t deadline = sfs_now_ns(env) + 3000000;
    while (sfs_cond_wait_until(&s.cond, &s.mutex, deadline)) {
    }
    CHECK(sfs_now_ns(env) >= deadline);
    CHECK(!sfs_cond_wait_until(&s.cond, &s.mutex, 0));
    CHECK_OK(sfs_task_start(env, "signal", signal_soon, &s, &task));
    bool in_time = true;
    while (!s.stage && in_time)
        in_time = sfs_cond_wait_until(&s.cond, &s.mutex, UINT64_MAX / 4);
    CHECK(in_time);
    sfs_mutex_unlock(&s.mutex);
    sfs_task_join(env, task);
    shared_deinit(&s);
}

static void read_or_write(void *arg)
{
    struct shared *s = arg;
    for (int i = 0; i < ROUNDS; i++) {
        if (i % 8 == 0) {
            sfs_rwlock_write(&s->lock);
            s->a++;
            s->b++;
            sfs_rwlock_write_done(&s->lock);
        } else {
            sfs_rwlock_read(&s->lock);
            bool torn = s->a != s->b;
            sfs_rwlock_read_done(&s->lock);
            if (torn) {
                sfs_mutex_lock(&s->mutex);
                s->torn++;
                sfs_mutex_unlock(&s->mutex);
            }
        }
    }
}

static void rwlock_excludes(void)
{
    struct shared s;
    shared_init(&s);
    run_tasks(read_or_write, &s);
    CHECK_EQ(s.a, TASKS * ROUNDS / 8);
    CHECK_EQ(s.b, s.a);
    CHECK_EQ(s.torn, 0);
    shared_deinit(&s);
}

static void note(struct shared *s, unsigned who)
{
    sfs_mutex_lock(&s->mutex);
    s->order[s->order_count++] = who;
    sfs_mutex_unlock(&s->mutex);
}

static void late_writer(void *arg)
{
    struct shared *s = arg;
    sfs_rwlock_write(&s->lock);
    note(s, 1);
    sfs_rwlock_write_done(&s->lock);
}

static void later_reader(void *arg)
{
    struct shared *s = arg;
    sfs_rwlock_read(&s->lock);
    note(s, 2);
    sfs_rwlock_read_done(&s->lock);
}

static bool writer_waits(struct sfs_rwlock *l)
{
    sfs_mutex_lock(&l->mutex);
    bool waits = l->writers_waiting;
    sfs_mutex_unlock(&l->mutex);
    return waits;
}

static void rwlock_does_not_starve_writers(void)
{
    struct shared s;
    struct sfs_task *writer, *reader;
    shared_init(&s);
    sfs_rwlock_read(&s.lock);
    sfs_rwlock_read(&s.lock); /* readers share */
    sfs_rwlock_read_done(&s.lock);
    REQUIRE_OK(sfs_task_start(env, "writer", late_writer, &s, &writer));
    while (!writer_waits(&s.lock))
        sfs_task_sleep(env, 100000);
    REQUIRE_OK(sfs_task_start(env, "reader", later_reader, &s, &reader));
    sfs_task_sleep(env, 20000000); /* time for a reader that would overtake to do so */
    sfs_rwlock_read_done(&s.lock);
    sfs_task_join(env, writer);
    sfs_task_join(env, reader);
    CHECK_EQ(s.order_count, 2);
    CHECK_EQ(s.order[0], 1);
    shared_deinit(&s);
}

static void time_goes_on(void)
{
    uint64_t before = sfs_now_ns(env);
    sfs_task_sleep(env, 2000000);
    CHECK(sfs_now_ns(env) >= before + 2000000);
    CHECK(sfs_wall_ns(env) > INT64_C(1700000000) * 1000000000);
}

static void random_fills_everything(void)
{
    uint8_t a[67], all[67] = {0};
    for (int round = 0; round < 64; round++) {
        memset(a, 0, sizeof a);
        sfs_random(env, a + 1, sizeof a - 2);
        CHECK(!a[0] && !a[66]);
        for (unsigned i = 0; i < sizeof a; i++)
            all[i] |= a[i];
    }
    for (unsigned i = 1; i + 1 < sizeof a; i++)
        CHECK(all[i]);
    CHECK(sfs_random_u64(env) != sfs_random_u64(env));
}

static void memory_is_aligned_and_kept(void)
{
    for (size_t bytes = 0; bytes < 300; bytes += 7) {
        uint8_t *plain = sfs_alloc(env, bytes), *zero = sfs_zalloc(env, bytes);
        uint8_t *io = sfs_alloc_io(env, bytes);
        REQUIRE(plain && zero && io);
        CHECK_EQ((uintptr_t)plain % 16, 0);
        CHECK_EQ((uintptr_t)io % 4096, 0);
        for (size_t i = 0; i < bytes; i++) {
            CHECK(!zero[i]);
            plain[i] = (uint8_t)i;
        }
        plain = sfs_realloc(env, plain, bytes, bytes + 1000);
        REQUIRE(plain);
        plain = sfs_realloc(env, plain, bytes + 1000, bytes / 2 + 1);
        REQUIRE(plain);
        for (size_t i = 0; i < bytes / 2; i++)
            CHECK_EQ(plain[i], (uint8_t)i);
        sfs_free(env, plain);
        sfs_free(env, zero);
        sfs_free(env, io);
    }
    sfs_free(env, NULL);
}

struct logged {
    enum sfs_log_level level;
    char room[16], text[2000];
    int code, count;
};

static void take_log(void *context, enum sfs_log_level level, const char *room, int code,
                     const char *text)
{
    struct logged *l = context;
    l->level = level;
    l->code = code;
    l->count++;
    snprintf(l->room, sizeof l->room, "%s", room);
    snprintf(l->text, sizeof l->text, "%s", text);
}

static void log_reaches_the_callback(void)
{
    struct logged l = {.count = 0};
    struct sfs_env *loud;
    char longer[1500];
    REQUIRE_OK(sfs_env_os_create(take_log, &l, &loud));
    sfs_log(loud, SFS_LOG_WARN, "pool", SCALEFS_E_GONE, "disk %d of %s", 7, "tank");
    CHECK_EQ(l.level, SFS_LOG_WARN);
    CHECK_EQ(l.code, SCALEFS_E_GONE);
    CHECK_STR(l.room, "pool");
    CHECK_STR(l.text, "disk 7 of tank");
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = 0;
    sfs_log(loud, SFS_LOG_INFO, "base", 0, "%s", longer);
    CHECK_EQ(strlen(l.text), 1023); /* cut, not overrun */
    CHECK_EQ(l.count, 2);
    sfs_env_os_destroy(loud);
    sfs_log(env, SFS_LOG_ERROR, "base", 0, "into the void"); /* no callback: silence */
    sfs_env_os_destroy(NULL);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    if (sfs_env_os_create(NULL, NULL, &env))
        return 1;
    RUN(mutex_excludes);
    RUN(cond_wakes);
    RUN(cond_wait_ends_by_time_or_signal);
    RUN(rwlock_excludes);
    RUN(rwlock_does_not_starve_writers);
    RUN(time_goes_on);
    RUN(random_fills_everything);
    RUN(memory_is_aligned_and_kept);
    RUN(log_reaches_the_callback);
    sfs_env_os_destroy(env);
    return TEST_END();
}
