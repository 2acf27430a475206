/* Repeatable random numbers for tests: xoshiro256**, seeded through splitmix64.
 *
 * The same seed gives the same numbers on every machine. Streams made with different labels from one
 * seed are independent, so that one more number drawn in one place shifts nothing elsewhere.
 */
#ifndef TESTS_SIM_PRNG_H
#define TESTS_SIM_PRNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct prng {
    uint64_t s[4];
};

static inline uint64_t prng_splitmix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* One number out of two, well mixed. */
static inline uint64_t prng_mix(uint64_t a, uint64_t b)
{
    uint64_t state = a ^ (b * 0xd6e8feb86659fd93u + 0x2545f4914f6cdd1du);
    prng_splitmix(&state);
    return prng_splitmix(&state);
}

static inline void prng_seed(struct prng *p, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        p->s[i] = prng_splitmix(&seed);
}

/* The stream `label` of `seed`. */
static inline void prng_stream(struct prng *p, uint64_t seed, uint64_t label)
{
    prng_seed(p, prng_mix(seed, label));
}

static inline uint64_t prng_rotate(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

static inline uint64_t prng_next(struct prng *p)
{
    uint64_t *s = p->s;
    uint64_t result = prng_rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = prng_rotate(s[3], 45);
    return result;
}

/* 0 … bound − 1; bound is not 0. (The bias is below bound / 2^64.) */
static inline uint64_t prng_below(struct prng *p, uint64_t bound)
{
    return prng_next(p) % bound;
}

/* first … last, both included. */
static inline uint64_t prng_between(struct prng *p, uint64_t first, uint64_t last)
{
    return first + prng_below(p, last - first + 1);
}

/* True in `cases` of `of` draws: prng_chance(p, 1, 3) is a third. */
static inline bool prng_chance(struct prng *p, uint64_t cases, uint64_t of)
{
    return prng_below(p, of) < cases;
}

/* Small numbers often, large ones now and then: 1 … max, uniform in the number of bits. */
static inline uint64_t prng_skewed(struct prng *p, uint64_t max)
{
    int bits = 0;
    while (bits < 63 && max >> (bits + 1))
        bits++;
    uint64_t v = 1 + (prng_next(p) & (((uint64_t)2 << prng_below(p, (uint64_t)bits + 1)) - 1));
    return v > max ? 1 + v % max : v;
}

static inline void prng_fill(struct prng *p, void *buf, size_t len)
{
    uint8_t *b = buf;
    uint64_t v = 0;
    for (size_t i = 0; i < len; i++) {
        if (i % 8 == 0)
            v = prng_next(p);
        b[i] = (uint8_t)(v >> (i % 8 * 8));
    }
}

#endif
