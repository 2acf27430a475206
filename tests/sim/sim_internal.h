/* What the files of the simulated environment share: sim_env.c (world, memory, clock, log, report)
 * and sim_task.c (tasks, choice of the next, events, locks). */
#ifndef TESTS_SIM_SIM_INTERNAL_H
#define TESTS_SIM_SIM_INTERNAL_H

#include "sim/fiber.h"
#include "sim/sim_env.h"

enum { SIM_NAME = 24, SIM_LOG_LINES = 48, SIM_LOG_LINE = 200, SIM_STACK = 1024 * 1024 };

enum sim_state {
    SIM_READY,
    SIM_RUNNING,
    SIM_WAITS_MUTEX,
    SIM_WAITS_COND,
    SIM_SLEEPS,
    SIM_JOINS,
    SIM_IDLE, /* a service task without work */
    SIM_DONE,
};

struct sim_task {
    struct sim_env *sim;
    struct fiber *fiber;
    unsigned id;
    char name[SIM_NAME];
    void (*fn)(void *);
    void *arg;
    enum sim_state state;
    bool service;
    bool timed_out;
    struct sfs_mutex *mutex; /* waited for */
    struct sfs_cond *cond;
    struct sim_task *joined;
    struct sim_task *next_waiter;
    struct sim_event timer;
    struct sim_task *prev, *next; /* all tasks, oldest first */
};

/* One piece of memory; the user's bytes follow. */
struct sim_block {
    struct sim_block *prev, *next;
    void *raw;
    size_t bytes;
    uint64_t serial;
    uint64_t magic;
};
_Static_assert(sizeof(struct sim_block) % 16 == 0, "blocks stay aligned");

struct sim_env {
    struct sfs_env base;
    struct sim_options options;
    struct prng choice; /* who runs next, latencies of the processor */
    struct prng random; /* what the code under test asks for */
    /* The temper of this seed. */
    uint64_t switch_of;   /* one in so many points switches */
    uint64_t jump_of;     /* one in so many choices lets time jump to the next event; 0: none */
    uint64_t spurious_of; /* one in so many waits ends for no reason; 0: none */
    uint64_t tick_ns;     /* a step takes less than this */
    bool starves;         /* one task at a time is hardly ever chosen */
    unsigned starved;     /* its id */
    unsigned services_max;
    uint8_t garbage;

    uint64_t now, steps, switches, ios, digest;
    struct fiber *host;
    struct sim_task *current; /* NULL: the host */
    struct sim_task *first, *last;
    struct sim_task **ready;
    size_t ready_count, ready_room;
    unsigned next_id;
    uint64_t next_lock;
    unsigned services;
    struct sim_work *work_first, *work_last;
    struct sim_event **heap; /* from place 1 */
    size_t event_count, event_room;
    uint64_t next_event;
    bool main_done;
    enum sim_end end;

    struct sim_block blocks; /* the head of a ring */
    size_t block_count;
    uint64_t next_block;

    char log[SIM_LOG_LINES][SIM_LOG_LINE];
    uint64_t log_count;
    char *report;
    size_t report_len, report_room;
};

extern const struct sfs_env_ops sim_env_ops;

/* sim_env.c */
void *sim_must(void *p); /* not NULL, or the process ends */
void sim_clear_report(struct sim_env *sim);
void sim_report_line(struct sim_env *sim, const char *format, ...);
void *sim_memory_alloc(struct sfs_env *env, size_t bytes, size_t align);
void sim_memory_free(struct sfs_env *env, void *p);
void sim_log_line(struct sfs_env *env, enum sfs_log_level level, const char *room, int code,
                  const char *text);

/* Adds tasks and log to the report and prints it. */
void sim_print_report(struct sim_env *sim, enum sim_end end);

/* sim_task.c */
void sim_task_destroy(struct sim_env *sim, struct sim_task *task);
void sim_describe_tasks(struct sim_env *sim);
/* Back to the host, for good. */
_Noreturn void sim_stop(struct sim_env *sim, enum sim_end end);

#endif
