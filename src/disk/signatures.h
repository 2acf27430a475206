/* Inside src/disk: what the first bytes of a device say that it carries. Pure; for systems without
 * a library that knows (Windows), so only the kinds that a user is likely to have. */
#ifndef SFS_DISK_SIGNATURES_H
#define SFS_DISK_SIGNATURES_H

#include <stddef.h>
#include <stdint.h>

#define SFS_SIGNATURE_BYTES (72 * 1024) /* as much as there is, up to this, is worth giving */

/* Words such as "an ext2, ext3 or ext4 file system"; NULL when nothing is recognised. */
const char *sfs_signature_find(const uint8_t *head, size_t len);

#endif
