/* A hash map from uint64_t to pointers; open addressing, nothing allocated per entry.
 *
 * Iteration goes by slots; the order depends only on the calls made before, so it is the same in
 * every run. The map is not locked and does not own what the pointers point at.
 */
#ifndef SFS_BASE_MAP_H
#define SFS_BASE_MAP_H

#include "base/env.h"

struct sfs_map_slot {
    uint64_t key;
    void *value; /* NULL: the slot is free */
};
struct sfs_map {
    struct sfs_env *env;
    struct sfs_map_slot *slots;
    size_t room; /* slots: 0 or a power of two */
    size_t count;
};

/* Allocates nothing. */
void sfs_map_init(struct sfs_map *map, struct sfs_env *env);
void sfs_map_deinit(struct sfs_map *map);
/* Forgets all entries, keeps the memory. */
void sfs_map_clear(struct sfs_map *map);

/* The value, or NULL. */
void *sfs_map_get(const struct sfs_map *map, uint64_t key);
/* Sets or replaces; value is not NULL. NOMEM: the map is as it was. Replacing never fails. */
int sfs_map_put(struct sfs_map *map, uint64_t key, void *value);
/* So many more keys can be put without NOMEM. */
int sfs_map_reserve(struct sfs_map *map, size_t more);
/* Takes the entry out; the value it had, or NULL. */
void *sfs_map_remove(struct sfs_map *map, uint64_t key);

/* Start with *cursor = 0; false after the last. The map must not change meanwhile; replacing the
 * value of a key that is there is allowed. */
bool sfs_map_next(const struct sfs_map *map, size_t *cursor, uint64_t *key, void **value);

#endif
