/* Which computer this is, and who runs this process. */
#ifndef SFS_BASE_HOST_H
#define SFS_BASE_HOST_H

#include <stdint.h>

/* A hash of what tells this computer from others (the machine id; without one, its name); the same after each
 * start; never 0. */
uint64_t sfs_host_id(void);
/* The effective user and group; 0, 0 where there are no such numbers. */
void sfs_host_user(uint32_t *uid, uint32_t *gid);

#endif
