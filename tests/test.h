/* A tiny harness: named cases, checks that report and go on, TAP on stdout.
 *
 *   static void adds(void) { CHECK_EQ(1 + 1, 2); }
 *   int main(int argc, char **argv) { TEST_START(argc, argv); RUN(adds); return TEST_END(); }
 *
 * A case whose checks all hold prints `ok N - name`, any other `not ok N - name` after lines that
 * say which check failed. REQUIRE leaves the function that it stands in when the check fails. With
 * arguments only the named cases run; --seed=N sets test_seed (default 1), which is printed.
 */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scalefs/error.h"

static struct {
    int argc, run, failed, wrong;
    char **argv;
    uint64_t seed, random;
} test_state;

/* The seed given on the command line. */
static inline uint64_t test_seed(void)
{
    return test_state.seed;
}

/* A repeatable pseudo-random number (splitmix64), restarted from the seed before each case. */
static inline uint64_t test_random(void)
{
    uint64_t z = test_state.random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
static inline uint64_t test_below(uint64_t bound)
{
    return test_random() % bound;
}
static inline void test_fill(void *p, size_t len)
{
    uint8_t *b = p;
    for (size_t i = 0; i < len; i++)
        b[i] = (uint8_t)test_random();
}

static inline void test_start(int argc, char **argv)
{
    test_state.seed = 1;
    test_state.argc = argc;
    test_state.argv = argv;
    for (int i = 1; i < argc; i++)
        if (!strncmp(argv[i], "--seed=", 7))
            test_state.seed = strtoull(argv[i] + 7, NULL, 0);
    printf("# seed %" PRIu64 "\n", test_state.seed);
}

static inline void test_wrong(const char *file, int line, const char *format, const char *what)
{
    printf("# %s:%d: ", file, line);
    printf(format, what);
    printf("\n");
    fflush(stdout);
    test_state.wrong++;
}

static inline bool test_check(bool good, const char *file, int line, const char *what)
{
    if (!good)
        test_wrong(file, line, "not true: %s", what);
    return good;
}

static inline bool test_equal(long long a, long long b, const char *file, int line,
                              const char *what)
{
    if (a == b)
        return true;
    test_wrong(file, line, "not equal: %s", what);
    printf("#   %lld (0x%llx) and %lld (0x%llx)\n", a, (unsigned long long)a, b,
           (unsigned long long)b);
    return false;
}

static inline bool test_same_text(const char *a, const char *b, const char *file, int line,
                                  const char *what)
{
    if (a && b && !strcmp(a, b))
        return true;
    test_wrong(file, line, "not the same text: %s", what);
    printf("#   \"%s\" and \"%s\"\n", a ? a : "(null)", b ? b : "(null)");
    return false;
}

static inline bool test_same_bytes(const void *a, const void *b, size_t len, const char *file,
                                   int line, const char *what)
{
    const uint8_t *x = a, *y = b;
    for (size_t i = 0; i < len; i++)
        if (x[i] != y[i]) {
            test_wrong(file, line, "not the same bytes: %s", what);
            printf("#   first at %zu: %02x and %02x\n", i, x[i], y[i]);
            return false;
        }
    return true;
}

static inline bool test_wanted(const char *name)
{
    bool any = false;
    for (int i = 1; i < test_state.argc; i++) {
        if (test_state.argv[i][0] == '-')
            continue;
        any = true;
        if (!strcmp(test_state.argv[i], name))
            return true;
    }
    return !any;
}

static inline void test_run(const char *name, void (*fn)(void))
{
    if (!test_wanted(name))
        return;
    test_state.wrong = 0;
    test_state.random = test_state.seed;
    fn();
    test_state.run++;
    if (test_state.wrong)
        test_state.failed++;
    printf("%sok %d - %s\n", test_state.wrong ? "not " : "", test_state.run, name);
    fflush(stdout);
}

static inline int test_end(void)
{
    printf("1..%d\n", test_state.run);
    fflush(stdout);
    return test_state.failed || !test_state.run ? 1 : 0;
}

/* Checks: true when they hold, so that `if (!CHECK(p)) return;` works. */
#define CHECK(x) test_check((x) ? true : false, __FILE__, __LINE__, #x)
#define CHECK_EQ(a, b) test_equal((long long)(a), (long long)(b), __FILE__, __LINE__, #a " == " #b)
#define CHECK_OK(call) CHECK_EQ(call, SCALEFS_OK)
#define CHECK_STR(a, b) test_same_text(a, b, __FILE__, __LINE__, #a " == " #b)
#define CHECK_MEM(a, b, len) test_same_bytes(a, b, len, __FILE__, __LINE__, #a " == " #b)
/* The same, and leaves the function when it does not hold. */
#define REQUIRE(x)                                                                                 \
    do {                                                                                           \
        if (!CHECK(x))                                                                             \
            return;                                                                                \
    } while (0)
#define REQUIRE_OK(call)                                                                           \
    do {                                                                                           \
        if (!CHECK_OK(call))                                                                       \
            return;                                                                                \
    } while (0)

#define TEST_START(argc, argv) test_start(argc, argv)
#define RUN(fn) test_run(#fn, fn)
#define TEST_END() test_end()

#endif
