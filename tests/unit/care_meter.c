/* The speed that is shown: what a user can believe, or nothing. */
#include "../test.h"

#include "store/care_meter.h"

#define SECOND 1000000000ull
#define MIB (1ull << 20)

static void begin(struct sfs_meter *m, uint64_t at)
{
    sfs_meter_begin(m, at);
}

/* 10 MiB each 100 ms, for that many tenths of a second. */
static uint64_t work(struct sfs_meter *m, unsigned task, uint64_t at, unsigned tenths)
{
    for (unsigned i = 0; i < tenths; i++)
        sfs_meter_add(m, task, 10 * MIB, 10 * MIB, at += SECOND / 10);
    return at;
}

static bool about(uint64_t rate, uint64_t want)
{
    return rate > want - want / 8 && rate < want + want / 8;
}

static void steady_work_is_measured(void)
{
    struct sfs_meter m;
    begin(&m, 77 * SECOND);
    uint64_t at = work(&m, 1, 77 * SECOND, 5);
    CHECK_EQ(sfs_meter_rate(&m, at), 0); /* half a second: who knows */
    CHECK_EQ(sfs_meter_seconds(&m, MIB, at), 0);
    at = work(&m, 1, at, 15);
    CHECK(about(sfs_meter_rate(&m, at), 100 * MIB));
    CHECK_EQ(sfs_meter_seconds(&m, 1000 * MIB, at), 11);
    at = work(&m, 1, at, 300);
    CHECK(about(sfs_meter_rate(&m, at), 100 * MIB));
}

/* What was slow long ago does not count; what stands still is not said to go on. */
static void the_window_is_recent(void)
{
    struct sfs_meter m;
    begin(&m, 0);
    uint64_t at = 0;
    for (unsigned i = 0; i < 60; i++)
        sfs_meter_add(&m, 1, MIB, MIB, at += SECOND);
    CHECK(about(sfs_meter_rate(&m, at), MIB));
    at = work(&m, 1, at, 120);
    CHECK(about(sfs_meter_rate(&m, at), 100 * MIB));
    CHECK(sfs_meter_rate(&m, at + 5 * SECOND) < 70 * MIB);
    CHECK_EQ(sfs_meter_rate(&m, at + 20 * SECOND), 0);
    CHECK_EQ(sfs_meter_seconds(&m, MIB, at + 20 * SECOND), 0);
}

/* A rest, another rate, another task: what was before says nothing. */
static void a_new_beginning(void)
{
    struct sfs_meter m;
    begin(&m, SECOND);
    uint64_t at = work(&m, 1, SECOND, 50);
    sfs_meter_begin(&m, at + 3600 * SECOND);
    CHECK_EQ(sfs_meter_rate(&m, at + 3602 * SECOND), 0);
    at = work(&m, 1, at + 3600 * SECOND, 20);
    CHECK(about(sfs_meter_rate(&m, at), 100 * MIB)); /* the hour does not count */
    sfs_meter_add(&m, 2, MIB, MIB, at + SECOND / 2);
    CHECK_EQ(sfs_meter_rate(&m, at + SECOND / 2), 0);
    sfs_meter_add(&m, 2, MIB, MIB, at + 2 * SECOND);
    CHECK(about(sfs_meter_rate(&m, at + 2 * SECOND), MIB));
}

static void next_to_nothing_is_no_speed(void)
{
    struct sfs_meter m;
    begin(&m, 0);
    sfs_meter_add(&m, 1, 91, 91, SECOND);
    CHECK_EQ(sfs_meter_rate(&m, SECOND), 0);
    CHECK_EQ(sfs_meter_seconds(&m, 8 * MIB, SECOND), 0);
    /* Slow indeed, and yet nobody looks so far ahead. */
    sfs_meter_add(&m, 1, 1000, 1000, 8 * SECOND);
    CHECK(sfs_meter_rate(&m, 8 * SECOND) > 0);
    CHECK_EQ(sfs_meter_seconds(&m, 8 * MIB, 8 * SECOND), 0);
    CHECK(sfs_meter_seconds(&m, 10000, 8 * SECOND) > 60);
}

/* Few rows are owed of many that are looked at: the bytes written are shown, the time is told from what is done. */
static void what_is_done_tells_the_time(void)
{
    struct sfs_meter m;
    begin(&m, 0);
    for (unsigned i = 1; i <= 10; i++) {
        sfs_meter_add(&m, 1, MIB, 0, i * SECOND - 1);
        sfs_meter_add(&m, 1, 0, 1000 * MIB, i * SECOND - 1);
    }
    CHECK(about(sfs_meter_rate(&m, 10 * SECOND - 1), MIB));
    uint64_t seconds = sfs_meter_seconds(&m, 20000 * MIB, 10 * SECOND - 1);
    CHECK(seconds >= 19 && seconds <= 22);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(steady_work_is_measured);
    RUN(the_window_is_recent);
    RUN(a_new_beginning);
    RUN(next_to_nothing_is_no_speed);
    RUN(what_is_done_tells_the_time);
    return TEST_END();
}
