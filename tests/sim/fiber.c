/* See fiber.h. */
#ifndef _WIN32
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#else
#include <windows.h>
#endif

#include "sim/fiber.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define WITH_ASAN 1
#endif
#ifdef __SANITIZE_THREAD__
#define WITH_TSAN 1
#endif

#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef WITH_TSAN
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void __tsan_acquire(void *p);
void __tsan_release(void *p);
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
enum { TSAN_NO_SYNC = 1 };
#endif

struct fiber {
    void (*fn)(void *);
    void *arg;
    bool host;
#ifdef _WIN32
    void *handle;
#else
    ucontext_t context;
    uint8_t *map; /* guard page, then the stack */
    size_t map_bytes;
#endif
#ifdef WITH_ASAN
    void *fake_stack;
    const void *stack;
    size_t stack_bytes;
    struct fiber *came_from;
#endif
#ifdef WITH_TSAN
    void *tsan;
    int quiet; /* how deep */
#endif
};

#ifdef WITH_TSAN
static struct fiber *running; /* NULL: not a fiber of ours */
#define UNWATCHED __attribute__((no_sanitize("thread")))
#else
#define UNWATCHED
#endif

#ifdef WITH_TSAN
static void look_away(void)
{
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}

static void look_again(void)
{
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}
#endif

static struct fiber *fiber_new(void)
{
    struct fiber *f = calloc(1, sizeof *f);
    if (!f) {
        fprintf(stderr, "no memory for a fiber\n");
        abort();
    }
    return f;
}

/* What to do on arriving on `f`. */
static void arrive(struct fiber *f)
{
#ifdef WITH_ASAN
    const void *stack;
    size_t bytes;
    __sanitizer_finish_switch_fiber(f->fake_stack, &stack, &bytes);
    if (f->came_from->host) {
        f->came_from->stack = stack;
        f->came_from->stack_bytes = bytes;
    }
#else
    (void)f;
#endif
}

/* Inlined: the thread sanitizer keeps a stack of calls for each fiber, and a function must return on
 * the one that it was entered on. */
#ifdef __GNUC__
__attribute__((always_inline))
#endif
static inline void depart(struct fiber *from, struct fiber *to)
{
#ifdef WITH_ASAN
    to->came_from = from;
    __sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->stack_bytes);
#endif
#ifdef WITH_TSAN
    running = to;
    __tsan_switch_to_fiber(to->tsan, from->host || to->host ? 0 : TSAN_NO_SYNC);
#endif
    (void)from;
    (void)to;
}

#ifdef _WIN32

/* The thread is converted once for all hosts that exist at a time. */
static void *host_handle;
static unsigned hosts;

static void CALLBACK enter(void *p)
{
    struct fiber *f = p;
    f->fn(f->arg);
    abort();
}

struct fiber *fiber_host(void)
{
    struct fiber *f = fiber_new();
    f->host = true;
    if (!hosts++)
        host_handle = ConvertThreadToFiberEx(NULL, FIBER_FLAG_FLOAT_SWITCH);
    if (!host_handle)
        abort();
    f->handle = host_handle;
    return f;
}

struct fiber *fiber_create(void (*fn)(void *), void *arg, size_t stack_bytes)
{
    struct fiber *f = fiber_new();
    f->fn = fn;
    f->arg = arg;
    f->handle = CreateFiberEx(64 * 1024, stack_bytes, FIBER_FLAG_FLOAT_SWITCH, enter, f);
    if (!f->handle) {
        fprintf(stderr, "no memory for a fiber's stack\n");
        abort();
    }
    return f;
}

void fiber_switch(struct fiber *from, struct fiber *to)
{
    depart(from, to);
    SwitchToFiber(to->handle);
    arrive(from);
}

void fiber_destroy(struct fiber *f)
{
    if (!f->host)
        DeleteFiber(f->handle);
    else if (!--hosts)
        ConvertFiberToThread();
    free(f);
}

#else

/* makecontext passes ints only. */
static void enter(unsigned high, unsigned low)
{
    struct fiber *f = (struct fiber *)((uintptr_t)high << 32 | low);
    arrive(f);
    f->fn(f->arg);
    abort();
}

struct fiber *fiber_host(void)
{
    struct fiber *f = fiber_new();
    f->host = true;
#ifdef WITH_TSAN
    f->tsan = __tsan_get_current_fiber();
    running = f;
#endif
    return f;
}

struct fiber *fiber_create(void (*fn)(void *), void *arg, size_t stack_bytes)
{
    struct fiber *f = fiber_new();
    size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    f->fn = fn;
    f->arg = arg;
    f->map_bytes = stack_bytes + guard;
    f->map = mmap(NULL, f->map_bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (f->map == MAP_FAILED || mprotect(f->map, guard, PROT_NONE)) {
        fprintf(stderr, "no memory for a fiber's stack\n");
        abort();
    }
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->map + guard;
    f->context.uc_stack.ss_size = stack_bytes;
    f->context.uc_link = NULL;
    uintptr_t self = (uintptr_t)f;
    makecontext(&f->context, (void (*)(void))enter, 2, (unsigned)(self >> 32), (unsigned)self);
#ifdef WITH_ASAN
    f->stack = f->map + guard;
    f->stack_bytes = stack_bytes;
#endif
#ifdef WITH_TSAN
    f->tsan = __tsan_create_fiber(0);
#endif
    return f;
}

void fiber_switch(struct fiber *from, struct fiber *to)
{
    depart(from, to);
    swapcontext(&from->context, &to->context);
    arrive(from);
}

UNWATCHED void fiber_destroy(struct fiber *f)
{
    if (!f->host) {
#ifdef WITH_ASAN
        /* An abandoned stack has its poison left; the addresses will be used again. */
        __asan_unpoison_memory_region(f->stack, f->stack_bytes);
#endif
#ifdef WITH_TSAN
        if (f->quiet) { /* it must not end that way */
            void *here = __tsan_get_current_fiber();
            __tsan_switch_to_fiber(f->tsan, 0);
            look_again();
            __tsan_switch_to_fiber(here, 0);
        }
        __tsan_destroy_fiber(f->tsan);
#endif
        munmap(f->map, f->map_bytes);
    }
#ifdef WITH_TSAN
    if (running == f)
        running = NULL;
#endif
    free(f);
}

#endif

UNWATCHED void fiber_quiet(void)
{
#ifdef WITH_TSAN
    if (running && running->quiet++ == 0)
        look_away();
#endif
}

UNWATCHED void fiber_loud(void)
{
#ifdef WITH_TSAN
    if (running && --running->quiet == 0)
        look_again();
#endif
}

void fiber_settle(struct fiber *f)
{
#ifdef WITH_TSAN
    void *here = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(f->tsan, 0);
    __tsan_switch_to_fiber(here, 0);
#else
    (void)f;
#endif
}

void fiber_acquire(void *sync)
{
#ifdef WITH_TSAN
    __tsan_acquire(sync);
#else
    (void)sync;
#endif
}

void fiber_release(void *sync)
{
#ifdef WITH_TSAN
    __tsan_release(sync);
#else
    (void)sync;
#endif
}
