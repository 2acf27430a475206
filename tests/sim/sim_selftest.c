/* Proves the simulated environment: it repeats itself, its locks exclude, its conds and clock keep
 * their promises, and it finds the mistakes that it is there to find. */
#include "sim/sim_env.h"
#include "test.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITHOUT_RACES
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define WITHOUT_RACES
#endif

enum { TASKS = 4, ROUNDS = 50, SEEDS = 60 };
#define MS 1000000u

static struct sim_env *world(uint64_t seed)
{
    return sim_env_create(&(struct sim_options){.seed = seed, .max_steps = 200000, .quiet = true});
}

/* Runs `fn` in a fresh world with this seed; what it needs begins with a struct job. */
struct job {
    struct sfs_env *env;
    struct sim_env *sim;
    struct sfs_mutex mutex, other;
    struct sfs_cond cond;
    uint64_t seed;
    bool locks;
    int number, inside, waiting, woken, late;
    uint64_t drawn;
    char report[4096];
    uint64_t digest, steps, switches;
};

static enum sim_end run(struct job *j, uint64_t seed, void (*fn)(void *))
{
    struct sim_env *sim = world(seed);
    j->env = sim_env_base(sim);
    j->sim = sim;
    j->seed = seed;
    enum sim_end end = sim_env_run(sim, fn, j);
    j->digest = sim_env_digest(sim);
    j->steps = sim_env_steps(sim);
    j->switches = sim_env_switches(sim);
    snprintf(j->report, sizeof j->report, "%s", sim_env_report(sim));
    sim_env_destroy(sim);
    return end;
}

static void with_tasks(struct job *j, int count, void (*fn)(void *))
{
    struct sfs_task *tasks[TASKS * 2];
    for (int i = 0; i < count; i++) {
        char name[24];
        snprintf(name, sizeof name, "client-%d", i);
        if (sfs_task_start(j->env, name, fn, j, &tasks[i]))
            sim_fail(j->sim, "no task");
    }
    for (int i = 0; i < count; i++)
        sfs_task_join(j->env, tasks[i]);
}

static void init_locks(struct job *j)
{
    sfs_mutex_init(&j->mutex, j->env);
    sfs_mutex_init(&j->other, j->env);
    sfs_cond_init(&j->cond, j->env);
}

static void deinit_locks(struct job *j)
{
    sfs_cond_deinit(&j->cond);
    sfs_mutex_deinit(&j->other);
    sfs_mutex_deinit(&j->mutex);
}

/* Random numbers ------------------------------------------------------------------------------ */

static void numbers_are_the_published_ones(void)
{
    /* xoshiro256** from the state 1, 2, 3, 4, as its authors' code gives them. */
    struct prng p = {{1, 2, 3, 4}};
    static const uint64_t first[] = {11520, 0, 1509978240, 1215971899390074240u};
    for (int i = 0; i < 4; i++)
        CHECK(prng_next(&p) == first[i]);
    struct prng a, b;
    prng_stream(&a, 7, 1);
    prng_stream(&b, 7, 2);
    CHECK(prng_next(&a) != prng_next(&b));
    for (int i = 0; i < 1000; i++) {
        uint64_t v = prng_skewed(&a, 100);
        CHECK(v >= 1 && v <= 100);
        v = prng_between(&a, 5, 7);
        CHECK(v >= 5 && v <= 7);
    }
}

/* Locks --------------------------------------------------------------------------------------- */

static void add_slowly(void *arg)
{
    struct job *j = arg;
    for (int i = 0; i < ROUNDS; i++) {
        if (j->locks)
            sfs_mutex_lock(&j->mutex);
        int was = j->number;
        if (j->inside++ && j->locks)
            sim_fail(j->sim, "two inside");
        sim_yield(j->sim);
        j->number = was + 1;
        j->inside--;
        if (j->locks)
            sfs_mutex_unlock(&j->mutex);
    }
}

static void count_together(void *arg)
{
    struct job *j = arg;
    init_locks(j);
    with_tasks(j, TASKS, add_slowly);
    deinit_locks(j);
}

static void mutexes_exclude(void)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct job j = {.locks = true};
        CHECK_EQ(run(&j, seed, count_together), SIM_FINISHED);
        CHECK_EQ(j.number, TASKS * ROUNDS);
    }
#ifndef WITHOUT_RACES /* without them there is a race; the thread sanitizer would find it, too */
    struct job j = {.locks = false};
    CHECK_EQ(run(&j, 1, count_together), SIM_FINISHED);
    CHECK(j.number < TASKS * ROUNDS);
#endif
}

static void give(void *arg)
{
    struct job *j = arg;
    for (int i = 0; i < ROUNDS; i++) {
        sfs_mutex_lock(&j->mutex);
        j->number++;
        sfs_cond_signal(&j->cond);
        sfs_mutex_unlock(&j->mutex);
    }
}

static void take(void *arg)
{
    struct job *j = arg;
    for (int i = 0; i < ROUNDS; i++) {
        sfs_mutex_lock(&j->mutex);
        while (!j->number)
            sfs_cond_wait(&j->cond, &j->mutex);
        j->number--;
        j->woken++;
        sfs_mutex_unlock(&j->mutex);
    }
}

static void pass_on(void *arg)
{
    struct job *j = arg;
    struct sfs_task *giver, *taker;
    init_locks(j);
    if (sfs_task_start(j->env, "giver", give, j, &giver) ||
        sfs_task_start(j->env, "taker", take, j, &taker))
        sim_fail(j->sim, "no task");
    sfs_task_join(j->env, taker);
    sfs_task_join(j->env, giver);
    deinit_locks(j);
}

static void conds_pass_on(void)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct job j = {0};
        CHECK_EQ(run(&j, seed, pass_on), SIM_FINISHED);
        CHECK_EQ(j.woken, ROUNDS);
    }
}

static void wait_for_number(void *arg)
{
    struct job *j = arg;
    sfs_mutex_lock(&j->mutex);
    j->waiting++;
    while (!j->number)
        sfs_cond_wait(&j->cond, &j->mutex);
    j->woken++;
    sfs_mutex_unlock(&j->mutex);
}

static void wake_all(void *arg)
{
    struct job *j = arg;
    struct sfs_task *tasks[TASKS];
    init_locks(j);
    for (int i = 0; i < TASKS; i++)
        if (sfs_task_start(j->env, "waiter", wait_for_number, j, &tasks[i]))
            sim_fail(j->sim, "no task");
    sfs_mutex_lock(&j->mutex);
    while (j->waiting < TASKS) {
        sfs_mutex_unlock(&j->mutex);
        sfs_task_sleep(j->env, 1);
        sfs_mutex_lock(&j->mutex);
    }
    j->number = 1;
    if (j->locks)
        sfs_cond_broadcast(&j->cond);
    else
        sfs_cond_signal(&j->cond);
    sfs_mutex_unlock(&j->mutex);
    for (int i = 0; i < TASKS; i++)
        sfs_task_join(j->env, tasks[i]);
    deinit_locks(j);
}

static void broadcasts_wake_all_and_signals_one(void)
{
    bool stuck = false;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct job j = {.locks = true};
        CHECK_EQ(run(&j, seed, wake_all), SIM_FINISHED);
        CHECK_EQ(j.woken, TASKS);
        struct job k = {.locks = false};
        enum sim_end end = run(&k, seed, wake_all);
        stuck |= end == SIM_DEADLOCK && k.woken == 1;
    }
    CHECK(stuck);
}

static void wait_with_deadlines(void *arg)
{
    struct job *j = arg;
    init_locks(j);
    sfs_mutex_lock(&j->mutex);
    uint64_t start = sfs_now_ns(j->env);
    while (sfs_cond_wait_until(&j->cond, &j->mutex, start + 5 * MS))
        j->woken++; /* for no reason: allowed */
    uint64_t after = sfs_now_ns(j->env);
    j->late = after >= start + 5 * MS && after < start + 50 * MS;
    if (sfs_cond_wait_until(&j->cond, &j->mutex, start) &&
        sfs_cond_wait_until(&j->cond, &j->mutex, start) &&
        sfs_cond_wait_until(&j->cond, &j->mutex, start))
        sim_fail(j->sim, "a deadline in the past does not run out");
    sfs_mutex_unlock(&j->mutex);
    /* Signalled in time: the deadline must neither fire nor be waited for. */
    struct sfs_task *giver;
    if (sfs_task_start(j->env, "giver", give, j, &giver))
        sim_fail(j->sim, "no task");
    sfs_mutex_lock(&j->mutex);
    uint64_t in_an_hour = sfs_now_ns(j->env) + 3600 * 1000 * (uint64_t)MS;
    while (!j->number)
        if (!sfs_cond_wait_until(&j->cond, &j->mutex, in_an_hour))
            sim_fail(j->sim, "late");
    sfs_mutex_unlock(&j->mutex);
    sfs_task_join(j->env, giver);
    deinit_locks(j);
}

static void waits_end_at_their_deadline(void)
{
    int for_no_reason = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct job j = {0};
        CHECK_EQ(run(&j, seed, wait_with_deadlines), SIM_FINISHED);
        CHECK(j.late);
        for_no_reason += j.woken;
    }
    CHECK(for_no_reason > 0);
}

static void sleep_long(void *arg)
{
    struct job *j = arg;
    uint64_t start = sfs_now_ns(j->env);
    int64_t wall = sfs_wall_ns(j->env);
    sfs_task_sleep(j->env, 3600 * 1000 * (uint64_t)MS);
    j->drawn = sfs_now_ns(j->env) - start;
    if (sfs_wall_ns(j->env) - wall != (int64_t)j->drawn)
        sim_fail(j->sim, "the clocks go at different speeds");
}

static void time_is_virtual(void)
{
    struct job j = {0};
    CHECK_EQ(run(&j, 1, sleep_long), SIM_FINISHED);
    CHECK(j.drawn >= 3600 * 1000 * (uint64_t)MS && j.drawn < 3601 * 1000 * (uint64_t)MS);
    CHECK(j.steps < 100);
}

/* Repetition ---------------------------------------------------------------------------------- */

static void do_a_bit_of_all(void *arg)
{
    struct job *j = arg;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t r = sfs_random_u64(j->env);
        void *p = sfs_alloc(j->env, (size_t)(r % 5000));
        sfs_mutex_lock(&j->mutex);
        j->number++;
        j->drawn = j->drawn * 31 + r;
        if (r % 3 == 0)
            sfs_cond_wait_until(&j->cond, &j->mutex, sfs_now_ns(j->env) + r % MS);
        else
            sfs_cond_broadcast(&j->cond);
        sfs_mutex_unlock(&j->mutex);
        if (r % 7 == 0)
            sfs_task_sleep(j->env, r % 10000);
        sfs_free(j->env, p);
    }
}

static void mix(void *arg)
{
    struct job *j = arg;
    init_locks(j);
    with_tasks(j, TASKS, do_a_bit_of_all);
    deinit_locks(j);
}

static void same_seed_same_run(void)
{
    uint64_t last = 0, all = 0;
    for (uint64_t seed = test_seed(); seed < test_seed() + SEEDS; seed++) {
        struct job a = {0}, b = {0};
        CHECK_EQ(run(&a, seed, mix), SIM_FINISHED);
        void *elsewhere = malloc(100000 + seed * 64); /* other addresses the second time */
        CHECK_EQ(run(&b, seed, mix), SIM_FINISHED);
        free(elsewhere);
        CHECK(a.digest == b.digest && a.steps == b.steps && a.drawn == b.drawn);
        CHECK(a.digest != last);
        last = a.digest;
        all = prng_mix(all, a.digest);
    }
    printf("# digest of all: %016" PRIx64 " (the same on every machine)\n", all);
}

/* Mistakes ------------------------------------------------------------------------------------ */

static void lock_this_way(void *arg)
{
    struct job *j = arg;
    for (int i = 0; i < 3; i++) {
        sfs_mutex_lock(&j->mutex);
        sfs_mutex_lock(&j->other);
        sfs_mutex_unlock(&j->other);
        sfs_mutex_unlock(&j->mutex);
    }
}

static void lock_that_way(void *arg)
{
    struct job *j = arg;
    for (int i = 0; i < 3; i++) {
        sfs_mutex_lock(&j->other);
        sfs_mutex_lock(&j->mutex);
        sfs_mutex_unlock(&j->mutex);
        sfs_mutex_unlock(&j->other);
    }
}

static void lock_both_ways(void *arg)
{
    struct job *j = arg;
    struct sfs_task *a, *b;
    init_locks(j);
    if (sfs_task_start(j->env, "this-way", lock_this_way, j, &a) ||
        sfs_task_start(j->env, "that-way", lock_that_way, j, &b))
        sim_fail(j->sim, "no task");
    sfs_task_join(j->env, a);
    sfs_task_join(j->env, b);
    deinit_locks(j);
}

static void deadlocks_are_found(void)
{
    int found = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct job j = {0};
        if (run(&j, seed, lock_both_ways) != SIM_DEADLOCK)
            continue;
        found++;
        CHECK(strstr(j.report, "this-way waits for mutex 2, held by that-way"));
        CHECK(strstr(j.report, "that-way waits for mutex 1, held by this-way"));
        CHECK(strstr(j.report, "main waits for the end of this-way"));
    }
    CHECK(found > SEEDS / 10);
}

static void spin(void *arg)
{
    struct job *j = arg;
    for (;;)
        sim_yield(j->sim);
}

static void tick_for_ever(void *arg)
{
    struct job *j = arg;
    for (;;)
        sfs_task_sleep(j->env, 60 * 1000 * (uint64_t)MS);
}

static void livelocks_are_found(void)
{
    struct job j = {0};
    CHECK_EQ(run(&j, 1, spin), SIM_LIVELOCK);
    CHECK_EQ(run(&j, 1, tick_for_ever), SIM_LIVELOCK);
}

static void unlock_only(void *arg)
{
    struct job *j = arg;
    sfs_mutex_unlock(&j->mutex);
}

static void unlock_anothers(void *arg)
{
    struct job *j = arg;
    init_locks(j);
    sfs_mutex_lock(&j->mutex);
    with_tasks(j, 1, unlock_only);
}

static void lock_twice(void *arg)
{
    struct job *j = arg;
    init_locks(j);
    sfs_mutex_lock(&j->mutex);
    sfs_mutex_lock(&j->mutex);
}

static void deinit_locked(void *arg)
{
    struct job *j = arg;
    init_locks(j);
    sfs_mutex_lock(&j->mutex);
    deinit_locks(j);
}

static void use_after_deinit(void *arg)
{
    struct job *j = arg;
    init_locks(j);
    struct sfs_mutex was = j->mutex;
    sfs_mutex_deinit(&j->mutex);
    j->mutex.env = was.env;
    sfs_mutex_lock(&j->mutex);
}

static void nothing(void *arg)
{
    (void)arg;
}

static void forget_to_join(void *arg)
{
    struct job *j = arg;
    struct sfs_task *t;
    if (sfs_task_start(j->env, "forgotten", nothing, j, &t))
        sim_fail(j->sim, "no task");
    sfs_task_sleep(j->env, MS);
}

static void misuse_is_found(void)
{
    static const struct {
        void (*fn)(void *);
        const char *words;
    } cases[] = {
        {unlock_anothers, "mutex 1 is unlocked by a task that does not hold it"},
        {lock_twice, "mutex 1 is locked twice by the same task"},
        {deinit_locked, "mutex 1 is deinitialised while locked"},
        {use_after_deinit, "a mutex is used that is not initialised"},
        {forget_to_join, "task forgotten was not joined"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (uint64_t seed = 0; seed < 10; seed++) {
            struct job j = {0};
            CHECK_EQ(run(&j, seed, cases[i].fn), SIM_FAILED);
            CHECK(strstr(j.report, cases[i].words));
        }
}

/* Cuts ---------------------------------------------------------------------------------------- */

static void hold_much(void *arg)
{
    struct job *j = arg;
    for (int i = 0; i < ROUNDS; i++) {
        uint8_t *p = sfs_alloc_io(j->env, 1 << 16);
        if ((uintptr_t)p % 4096)
            sim_fail(j->sim, "not aligned");
        p[0] = 1;
        sfs_mutex_lock(&j->mutex);
        j->number++;
        sfs_mutex_unlock(&j->mutex);
    }
    sfs_task_sleep(j->env, 1000 * (uint64_t)MS);
}

static void hold_together(void *arg)
{
    struct job *j = arg;
    init_locks(j);
    with_tasks(j, TASKS, hold_much);
}

/* What is left behind is for the leak sanitizer to find. */
static void cut_worlds_are_freed(void)
{
    for (uint64_t seed = 0; seed < 150; seed++) {
        struct sim_env *sim = sim_env_create(&(struct sim_options){
            .seed = seed, .quiet = true, .cut_at_step = 1 + seed * 2});
        struct job j = {.env = sim_env_base(sim), .sim = sim};
        CHECK_EQ(sim_env_run(sim, hold_together, &j), SIM_CUT);
        CHECK(sim_env_steps(sim) == 1 + seed * 2);
        size_t bytes;
        uint64_t serial;
        CHECK(seed < 50 || sim_env_blocks(sim, &bytes, &serial) > 0);
        sim_env_destroy(sim);
    }
}

static void count_up(void *arg)
{
    struct job *j = arg;
    for (int i = 0; i < ROUNDS; i++) {
        sfs_mutex_lock(&j->mutex);
        j->number++;
        sfs_mutex_unlock(&j->mutex);
        sfs_task_sleep(j->env, MS);
    }
}

static void count_in_two(void *arg)
{
    struct job *j = arg;
    init_locks(j);
    with_tasks(j, 2, count_up);
}

static void cuts_come_when_asked_for(void)
{
    struct sim_env *sim = sim_env_create(
        &(struct sim_options){.seed = 1, .quiet = true, .cut_after_ns = 20 * MS});
    struct job j = {.env = sim_env_base(sim), .sim = sim};
    CHECK_EQ(sim_env_run(sim, count_in_two, &j), SIM_CUT);
    CHECK(j.number > 20 && j.number <= 42);
    sim_env_destroy(sim);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(numbers_are_the_published_ones);
    RUN(mutexes_exclude);
    RUN(conds_pass_on);
    RUN(broadcasts_wake_all_and_signals_one);
    RUN(waits_end_at_their_deadline);
    RUN(time_is_virtual);
    RUN(same_seed_same_run);
    RUN(deadlocks_are_found);
    RUN(livelocks_are_found);
    RUN(misuse_is_found);
    RUN(cut_worlds_are_freed);
    RUN(cuts_come_when_asked_for);
    return TEST_END();
}
