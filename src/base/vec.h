/* Growing arrays: the owner keeps a typed pointer, a count and a room; this makes the room.
 *
 *   struct thing *things; size_t count, room;
 *   int err = sfs_vec_reserve(env, &things, &room, count + 1, sizeof *things);
 */
#ifndef SFS_BASE_VEC_H
#define SFS_BASE_VEC_H

#include "base/env.h"

/* Makes room for at least `need` items, at least doubling; `items` is the address of the pointer.
 * NOMEM (also when the size would overflow): everything is as it was. */
int sfs_vec_reserve(struct sfs_env *env, void *items, size_t *room, size_t need, size_t item_bytes);

#endif
