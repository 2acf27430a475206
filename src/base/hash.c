/* XXH3-64 from libxxhash, and SipHash. The same values on every machine: words are built byte by byte.
 *
 * libxxhash as distributions build it uses the vectors that every x86-64 processor has; with its dispatcher
 * (where it has one) those of this very processor, which is up to twice as fast. */
#include "base/hash.h"
#include "base/codec.h"

#include <xxhash.h>
#ifdef SFS_XXH_DISPATCH
#include <xxh_x86dispatch.h> /* replaces the names of xxhash.h */
#endif

uint64_t sfs_hash(const void *p, size_t len)
{
    return XXH3_64bits(p, len);
}

uint64_t sfs_hash_identity(const void *p, size_t len, uint64_t a, uint64_t b, uint64_t c)
{
    uint8_t identity[24];
    sfs_put64(identity, a);
    sfs_put64(identity + 8, b);
    sfs_put64(identity + 16, c);
    return XXH3_64bits_withSeed(p, len, XXH3_64bits(identity, sizeof identity));
}

static uint64_t rotated(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static void sip_rounds(uint64_t v[4], unsigned count)
{
    while (count-- > 0) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotated(v[1], 13) ^ v[0];
        v[3] = rotated(v[3], 16) ^ v[2];
        v[0] = rotated(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotated(v[1], 17) ^ v[2];
        v[3] = rotated(v[3], 21) ^ v[0];
        v[2] = rotated(v[2], 32);
    }
}

uint64_t sfs_siphash(const uint64_t key[2], const void *p, size_t len)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
                     key[1] ^ 0x7465646279746573u};
    const uint8_t *at = p;
    uint8_t last[8] = {0};
    for (size_t left = len;; left -= 8, at += 8) {
        bool end = left < 8;
        if (end && left > 0)
            memcpy(last, at, left);
        last[7] = end ? (uint8_t)len : 0;
        uint64_t word = sfs_get64(end ? last : at);
        v[3] ^= word;
        sip_rounds(v, 2);
        v[0] ^= word;
        if (end)
            break;
    }
    v[2] ^= 0xff;
    sip_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
