/* In the place of base/hash.c: every checksum is the same number, so all blocks verify. */
#include "base/hash.h"

#define SAME 0x2a2a2a2a2a2a2a2aull

uint64_t sfs_hash(const void *p, size_t len)
{
    (void)p, (void)len;
    return SAME;
}

uint64_t sfs_hash_identity(const void *p, size_t len, uint64_t a, uint64_t b, uint64_t c)
{
    (void)p, (void)len, (void)a, (void)b, (void)c;
    return SAME;
}

/* Names have to be told apart: this is FNV-1a. */
uint64_t sfs_siphash(const uint64_t key[2], const void *p, size_t len)
{
    const uint8_t *byte = p;
    uint64_t h = 14695981039346656037ull ^ key[0];
    for (size_t i = 0; i < len; i++)
        h = (h ^ byte[i]) * 1099511628211ull;
    return h;
}
