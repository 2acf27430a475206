/* POSIX access control lists in the form of Linux's extended attributes. Pure.
 *
 * The kernel checks permissions against them; what they mean for the mode of an inode, and what a
 * new inode inherits, is the file system's to compute.
 */
#ifndef SFS_DRIVERS_ACL_H
#define SFS_DRIVERS_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SFS_ACL_ACCESS "system.posix_acl_access"
#define SFS_ACL_DEFAULT "system.posix_acl_default"

/* False when the bytes are not a list that Linux would accept. */
bool sfs_drivers_acl_valid(const uint8_t *acl, size_t len);
/* The nine permission bits that a valid list stands for. */
uint32_t sfs_drivers_acl_mode(const uint8_t *acl, size_t len);
/* Whether those bits say all that the list says. */
bool sfs_drivers_acl_is_mode(const uint8_t *acl, size_t len);
/* chmod: the list follows the mode. */
void sfs_drivers_acl_chmod(uint8_t *acl, size_t len, uint32_t mode);
/* A new inode: `acl`, the directory's default list, becomes its access list; both lose what the
 * other does not have. */
void sfs_drivers_acl_create(uint8_t *acl, size_t len, uint32_t *mode);

#endif
