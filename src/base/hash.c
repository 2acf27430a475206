/* XXH3-64 from libxxhash. The same value on every machine: the seed is built byte by byte.
 *
 * The library as distributions build it uses the vectors that every x86-64 processor has; with its dispatcher
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
