/* XXH3-64 (libxxhash) for checksums: plain, and with an identity mixed in so that right bytes in the wrong place
 * do not verify. */
#ifndef SFS_BASE_HASH_H
#define SFS_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t sfs_hash(const void *p, size_t len);

/* XXH3-64 of the bytes with seed = XXH3-64 of the 24 bytes le64(a) le64(b) le64(c). */
uint64_t sfs_hash_identity(const void *p, size_t len, uint64_t a, uint64_t b, uint64_t c);

/* SipHash-2-4 with the 16-byte key le64(key[0]) le64(key[1]): collisions cannot be made without the key. */
uint64_t sfs_siphash(const uint64_t key[2], const void *p, size_t len);

#endif
