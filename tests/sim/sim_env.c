/* The simulated environment: a world's options and temper, memory, log, and the report of a run that
 * went wrong. Tasks and locks are in sim_task.c. */
#include "sim/sim_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_MAGIC 0x73696d626c6f636bu
enum { NS_PER_S = 1000000000 };

void *sim_must(void *p)
{
    if (!p) {
        fprintf(stderr, "the simulator has no memory\n");
        abort();
    }
    return p;
}

const char *sim_end_name(enum sim_end end)
{
    static const char *const names[] = {"finished", "cut", "deadlock", "livelock", "failed"};
    return names[end];
}

/* Some seeds switch at every point, some rarely; some starve a task; some let timers overtake. */
static void choose_temper(struct sim_env *sim)
{
    static const uint64_t switch_of[] = {1, 2, 4, 16, 64};
    static const uint64_t jump_of[] = {0, 0, 1000, 50};
    static const uint64_t spurious_of[] = {0, 200, 20};
    static const uint64_t tick_ns[] = {2, 200, 2000, 20000};
    struct prng p;
    prng_stream(&p, sim->options.seed, 1);
    sim->switch_of = switch_of[prng_below(&p, 5)];
    sim->jump_of = jump_of[prng_below(&p, 4)];
    if (sim->options.steady)
        sim->jump_of = 0;
    sim->spurious_of = spurious_of[prng_below(&p, 3)];
    sim->tick_ns = tick_ns[prng_below(&p, 4)];
    sim->starves = prng_chance(&p, 1, 3);
    sim->services_max = 1 + (unsigned)prng_below(&p, 3);
    sim->garbage = (uint8_t)(prng_next(&p) | 0x80);
}

struct sim_env *sim_env_create(const struct sim_options *options)
{
    struct sim_env *sim = sim_must(calloc(1, sizeof *sim));
    sim->base.ops = &sim_env_ops;
    sim->base.context = sim;
    sim->options = *options;
    if (!sim->options.start_ns)
        sim->options.start_ns = NS_PER_S;
    if (!sim->options.max_steps)
        sim->options.max_steps = 20 * 1000 * 1000;
    if (!sim->options.max_ns)
        sim->options.max_ns = 24u * 3600 * (uint64_t)NS_PER_S;
    sim->now = sim->options.start_ns;
    sim->digest = prng_mix(0, options->seed);
    sim->next_id = 1;
    sim->next_lock = 1;
    sim->blocks.prev = sim->blocks.next = &sim->blocks;
    prng_stream(&sim->choice, options->seed, 2);
    prng_stream(&sim->random, options->seed, 3);
    choose_temper(sim);
    sim->host = fiber_host();
    return sim;
}

void sim_env_destroy(struct sim_env *sim)
{
    if (!sim)
        return;
    while (sim->first)
        sim_task_destroy(sim, sim->first);
    while (sim->blocks.next != &sim->blocks)
        sim_memory_free(&sim->base, sim->blocks.next + 1);
    fiber_destroy(sim->host);
    free(sim->ready);
    free(sim->heap);
    free(sim->report);
    free(sim);
}

struct sfs_env *sim_env_base(struct sim_env *sim)
{
    return &sim->base;
}

struct sim_env *sim_env_of(struct sfs_env *env)
{
    return env->context;
}

uint64_t sim_env_now(const struct sim_env *sim)
{
    return sim->now;
}

uint64_t sim_env_digest(const struct sim_env *sim)
{
    return sim->digest;
}

uint64_t sim_env_steps(const struct sim_env *sim)
{
    return sim->steps;
}

uint64_t sim_env_switches(const struct sim_env *sim)
{
    return sim->switches;
}

uint64_t sim_env_ios(const struct sim_env *sim)
{
    return sim->ios;
}

bool sim_env_running(const struct sim_env *sim)
{
    return sim->current != NULL;
}

size_t sim_env_blocks(const struct sim_env *sim, size_t *oldest_bytes, uint64_t *oldest_serial)
{
    const struct sim_block *oldest = sim->blocks.next;
    *oldest_bytes = sim->block_count ? oldest->bytes : 0;
    *oldest_serial = sim->block_count ? oldest->serial : 0;
    return sim->block_count;
}

/* Memory -------------------------------------------------------------------------------------- */

#define PAGE 4096u

/* What code may ask of an address, whether a device can use it as it is, is chosen here and not by the C library: every
 * other block that is large enough for it is at the beginning of a page. */
void *sim_memory_alloc(struct sfs_env *env, size_t bytes, size_t align)
{
    struct sim_env *sim = env->context;
    fiber_quiet();
    size_t off_page = 0;
    if (align < 16)
        align = 16;
    if (align < PAGE && bytes >= PAGE) {
        align = PAGE;
        off_page = sim->next_block % 2 ? 0 : 16;
    }
    void *raw = sim_must(malloc(sizeof(struct sim_block) + bytes + align + off_page));
    uintptr_t user = (uintptr_t)raw + sizeof(struct sim_block) + align - 1;
    user = (user & ~(uintptr_t)(align - 1)) + off_page;
    struct sim_block *b = (struct sim_block *)user - 1;
    b->raw = raw;
    b->bytes = bytes;
    b->serial = ++sim->next_block;
    b->magic = BLOCK_MAGIC;
    b->next = &sim->blocks;
    b->prev = sim->blocks.prev;
    b->prev->next = b;
    b->next->prev = b;
    sim->block_count++;
    memset(b + 1, sim->garbage, bytes);
    fiber_loud();
    return b + 1;
}

void sim_memory_free(struct sfs_env *env, void *p)
{
    struct sim_env *sim = env->context;
    struct sim_block *b = (struct sim_block *)p - 1;
    /* Reading a freed header is the address sanitizer's to find; without it this mostly does. */
    if (b->magic != BLOCK_MAGIC)
        sim_fail(sim, "memory freed that was not allocated here, or twice");
    fiber_quiet();
    b->magic = 0;
    b->prev->next = b->next;
    b->next->prev = b->prev;
    sim->block_count--;
    memset(p, 0xdd, b->bytes < 256 ? b->bytes : 256);
    fiber_loud();
    free(b->raw); /* aloud: a race between a use and this free is the code's */
}

/* Log and report ------------------------------------------------------------------------------ */

void sim_log_line(struct sfs_env *env, enum sfs_log_level level, const char *room, int code,
                  const char *text)
{
    struct sim_env *sim = env->context;
    fiber_quiet();
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    char *line = sim->log[sim->log_count++ % SIM_LOG_LINES];
    snprintf(line, SIM_LOG_LINE, "%.6f %s: %s: %s: %s (%d)", (double)sim->now / NS_PER_S,
             sim->current ? sim->current->name : "host", levels[level], room, text, code);
    if (sim->options.verbose)
        fprintf(stderr, "%s\n", line);
    fiber_loud();
}

void sim_clear_report(struct sim_env *sim)
{
    sim->report_len = 0;
    if (sim->report)
        sim->report[0] = 0;
}

static void report_args(struct sim_env *sim, const char *format, va_list args)
{
    enum { LINE = 512 };
    if (sim->report_room - sim->report_len < LINE + 2) {
        sim->report_room = sim->report_room * 2 + 4 * LINE;
        sim->report = sim_must(realloc(sim->report, sim->report_room));
    }
    char *line = sim->report + sim->report_len;
    int n = vsnprintf(line, LINE, format, args);
    size_t len = n < 0 ? 0 : n >= LINE ? LINE - 1 : (size_t)n;
    line[len] = '\n';
    line[len + 1] = 0;
    sim->report_len += len + 1;
}

void sim_report_line(struct sim_env *sim, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    report_args(sim, format, args);
    va_end(args);
}

const char *sim_env_report(const struct sim_env *sim)
{
    return sim->report ? sim->report : "";
}

void sim_print_report(struct sim_env *sim, enum sim_end end)
{
    sim_report_line(sim, "%s at %.6f s, step %" PRIu64 ", disk request %" PRIu64 ", seed %" PRIu64,
                    sim_end_name(end), (double)sim->now / NS_PER_S, sim->steps, sim->ios,
                    sim->options.seed);
    sim_describe_tasks(sim);
    uint64_t from = sim->log_count > SIM_LOG_LINES ? sim->log_count - SIM_LOG_LINES : 0;
    for (uint64_t i = from; i < sim->log_count; i++)
        sim_report_line(sim, "  log %s", sim->log[i % SIM_LOG_LINES]);
    if (!sim->options.quiet)
        fprintf(stderr, "%s", sim->report);
}

_Noreturn void sim_fail(struct sim_env *sim, const char *format, ...)
{
    fiber_quiet();
    va_list args;
    va_start(args, format);
    report_args(sim, format, args);
    va_end(args);
    if (!sim->current) {
        fprintf(stderr, "%s", sim->report);
        abort();
    }
    sim_stop(sim, SIM_FAILED);
}
