/* Stacks to switch between by hand: ucontext on Linux, fibers on Windows.
 *
 * All fibers of a process run on the thread that made them; nothing runs but what was switched to.
 * A fiber that is not current can be destroyed at any moment, whatever it was doing: its stack is
 * dropped. The address sanitizer is told of every switch. So is the thread sanitizer, and in a way
 * that switching between two fibers orders nothing between them: with the acquire and release notes
 * of the simulator's locks it finds the data races of the code under test, the same ones every time.
 */
#ifndef TESTS_SIM_FIBER_H
#define TESTS_SIM_FIBER_H

#include <stddef.h>

struct fiber;

/* The calling thread itself, so that fibers can switch back to it. Ends the process without memory,
 * as fiber_create does. */
struct fiber *fiber_host(void);
/* `fn` must never return. */
struct fiber *fiber_create(void (*fn)(void *), void *arg, size_t stack_bytes);
void fiber_switch(struct fiber *from, struct fiber *to);
void fiber_destroy(struct fiber *f);

/* What the thread sanitizer should know. Between quiet and loud it looks away (they nest). */
void fiber_quiet(void);
void fiber_loud(void);
/* All that this fiber did comes before all that the caller does from here on. */
void fiber_settle(struct fiber *f);
void fiber_acquire(void *sync);
void fiber_release(void *sync);

#endif
