/* A simulated environment (base/env.h): tasks are fibers of which exactly one runs; the seed chooses
 * who is next at every lock, unlock, wait, signal, sleep and disk request; time is virtual.
 *
 * Promises:
 * - The same seed and the same code give the same run. sim_env_digest covers every choice made and
 *   (through the disks) every byte read and written; nothing in it depends on addresses.
 * - Time passes a little with every step, and jumps to the next timer or disk completion when no task
 *   can run (with some seeds now and then also when one could: a slow processor).
 * - A run ends: finished, cut (power cut or kill: tasks stop where they stand, for ever), deadlocked,
 *   livelocked (too many steps or too much virtual time), or failed (a misuse found). For the last
 *   three there is a report: who waits on what, and the last lines of the log.
 * - All memory of a world is its environment's: sim_env_destroy gives it back whatever state the
 *   tasks were left in. Fresh memory is filled with a byte that the seed chooses.
 * - Under the thread sanitizer the data races of the code under test are found, at the same place
 *   for the same seed, although only one task runs at a time.
 *
 * Nothing here may be used by two threads. Memory that code under test takes from the C library
 * directly is lost when its world is cut.
 */
#ifndef TESTS_SIM_SIM_ENV_H
#define TESTS_SIM_SIM_ENV_H

#include "base/env.h"
#include "sim/prng.h"

#include <stdio.h>

struct sim_env;

struct sim_options {
    uint64_t seed;
    uint64_t start_ns;  /* the monotonic clock at the start; 0: one second */
    uint64_t max_steps; /* more is a livelock; 0: 20 million */
    uint64_t max_ns;    /* more virtual time is a livelock, too; 0: one day */
    /* The cut; 0: none. The n-th disk request is cut once the disk has it, before it completes. */
    uint64_t cut_at_io;
    uint64_t cut_at_step;
    uint64_t cut_after_ns;
    bool steady;      /* time never jumps while a task can run: for those who measure it */
    unsigned verbose; /* 1: log to stderr; 2: every choice, too */
    bool quiet;       /* do not print reports: the caller expects trouble */
};

enum sim_end { SIM_FINISHED, SIM_CUT, SIM_DEADLOCK, SIM_LIVELOCK, SIM_FAILED };
const char *sim_end_name(enum sim_end end);

/* Ends the process when there is no memory, as everything here does. */
struct sim_env *sim_env_create(const struct sim_options *options);
void sim_env_destroy(struct sim_env *sim);
struct sfs_env *sim_env_base(struct sim_env *sim);
struct sim_env *sim_env_of(struct sfs_env *env);

/* Runs `fn` as the first task until it returns. It must have joined all tasks that it caused to
 * start: others that are left are a failure. May be called again after SIM_FINISHED. */
enum sim_end sim_env_run(struct sim_env *sim, void (*fn)(void *), void *arg);

/* Within a task: the power cut happens now. Does not return. */
_Noreturn void sim_env_cut(struct sim_env *sim);
/* It happens so many disk requests from now on, instead of what the options say. */
void sim_env_cut_in(struct sim_env *sim, uint64_t ios);
/* Within a task: the run has failed. Prints why (printf's format) and does not return. Outside of
 * tasks it ends the process. */
#if defined(__GNUC__)
#ifdef __MINGW32__
__attribute__((format(gnu_printf, 2, 3)))
#else
__attribute__((format(printf, 2, 3)))
#endif
#endif
_Noreturn void sim_fail(struct sim_env *sim, const char *format, ...);
/* A point where another task may run; what locks do. */
void sim_yield(struct sim_env *sim);

uint64_t sim_env_now(const struct sim_env *sim);
uint64_t sim_env_digest(const struct sim_env *sim);
uint64_t sim_env_steps(const struct sim_env *sim);
uint64_t sim_env_switches(const struct sim_env *sim);
uint64_t sim_env_ios(const struct sim_env *sim);
bool sim_env_running(const struct sim_env *sim);
/* Memory not freed: number of blocks, and of the oldest one its size and serial number. */
size_t sim_env_blocks(const struct sim_env *sim, size_t *oldest_bytes, uint64_t *oldest_serial);
/* What the report said; "" when there was none. */
const char *sim_env_report(const struct sim_env *sim);

/* For the disks ------------------------------------------------------------------------------- */

/* Something that happens at a virtual time. `fn` runs between tasks: it must not block. */
struct sim_event {
    uint64_t at, seq;
    size_t place; /* in the heap, from 1; 0: not there */
    void (*fn)(struct sim_env *sim, struct sim_event *event);
};
void sim_event_add(struct sim_env *sim, struct sim_event *event, uint64_t at,
                   void (*fn)(struct sim_env *sim, struct sim_event *event));
void sim_event_cancel(struct sim_env *sim, struct sim_event *event);

/* Something to be done soon in a task that may block (there are one to three, the seed decides): as
 * completion handlers would. */
struct sim_work {
    struct sim_work *next;
    void (*fn)(struct sim_work *work);
};
void sim_env_interrupt(struct sim_env *sim, struct sim_work *work,
                       void (*fn)(struct sim_work *work));

/* Counts a disk request and cuts when it was the chosen one; a point where others may run. */
void sim_env_count_io(struct sim_env *sim);
/* Mixes something that happened into the digest. */
void sim_env_note(struct sim_env *sim, uint64_t what);

#endif
