/* What the format's own files share: the 40-byte header of the 4 KiB blocks, short texts, and the
 * shape of a group. Nothing outside this room includes it.
 */
#ifndef SFS_FORMAT_BLOCK_H
#define SFS_FORMAT_BLOCK_H

#include "format/format.h"

#define SFS_BLOCK_MAGIC 0x31534653u
#define SFS_BLOCK_HEAD 40u
#define SFS_FORMAT_VERSION 1u
#define SFS_PARITY_CODE 1u
#define SFS_LEVEL_MAX 15u /* a tree of 16 levels holds more than 2^64 keys */

/* Zeros the block and writes its header; the cursor that comes back stands behind it. */
struct sfs_writer sfs_block_begin(uint8_t block[SFS_BLOCK], enum sfs_block_type type, uint64_t self,
                                  const struct sfs_uuid *pool);
/* Computes the checksum over the finished block, stores it, returns it. */
uint64_t sfs_block_seal(uint8_t block[SFS_BLOCK]);
/* Magic, type, self and checksum: CORRUPT; then the version: VERSION. The pool goes to *pool. */
int sfs_block_check(const uint8_t block[SFS_BLOCK], enum sfs_block_type type, uint64_t self,
                    struct sfs_uuid *pool);

/* H(the `len` bytes with the u64 at 8 taken as 0; a, b, c): every object has its checksum there.
 * `len` is at most SFS_NODE_BYTES. */
uint64_t sfs_hash_but_sum(const void *p, size_t len, uint64_t a, uint64_t b, uint64_t c);

/* Length of a text in an array of `room` bytes; `room` when it does not end there. */
size_t sfs_text_len(const char *text, size_t room);
/* A length byte and SFS_NAME_MAX bytes, zero-padded. */
void sfs_name_put(struct sfs_writer *w, const char name[SFS_NAME_MAX + 1]);
/* False when the length is too large or a NUL stands in the name. */
bool sfs_name_get(struct sfs_reader *r, char name[SFS_NAME_MAX + 1]);
/* The next `len` bytes as a text of at most room − 1 bytes without NUL. */
bool sfs_text_get(struct sfs_reader *r, size_t len, char *text, size_t room);

/* Can a group look like this? Sections 3 and 4 of docs/FORMAT.md. */
bool sfs_group_shape_ok(unsigned class, unsigned k, unsigned m, uint64_t unit_bytes,
                        uint64_t column_bytes, uint32_t rows);

#endif
