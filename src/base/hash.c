/* XXH3-64 from libxxhash. The same value on every machine: the seed is built byte by byte. */
#include "base/hash.h"
#include "base/codec.h"

#include <xxhash.h>

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
