/* The hash map: linear probing, at most 3/4 full, removal by moving later entries back (no
 * tombstones, so a map that lives long does not slow down). */
#include "base/map.h"
#include "base/assert.h"
#include "scalefs/error.h"

#include <string.h>

enum { FIRST_ROOM = 16 };

/* Multiplication spreads keys that count up; the fold brings the high bits down. */
static size_t home(const struct sfs_map *map, uint64_t key)
{
    uint64_t h = key * 0x9e3779b97f4a7c15u;
    return (size_t)(h ^ h >> 32) & (map->room - 1);
}

/* The slot of the key, or the free slot where it would go. The map has slots, one of them free. */
static size_t find(const struct sfs_map *map, uint64_t key)
{
    size_t i = home(map, key);
    while (map->slots[i].value && map->slots[i].key != key)
        i = (i + 1) & (map->room - 1);
    return i;
}

void sfs_map_init(struct sfs_map *map, struct sfs_env *env)
{
    *map = (struct sfs_map){.env = env};
}

void sfs_map_deinit(struct sfs_map *map)
{
    sfs_free(map->env, map->slots);
    *map = (struct sfs_map){.env = map->env};
}

void sfs_map_clear(struct sfs_map *map)
{
    if (map->room)
        memset(map->slots, 0, map->room * sizeof *map->slots);
    map->count = 0;
}

void *sfs_map_get(const struct sfs_map *map, uint64_t key)
{
    return map->room ? map->slots[find(map, key)].value : NULL;
}

static int grow(struct sfs_map *map)
{
    struct sfs_map bigger = {.env = map->env, .room = map->room ? map->room * 2 : FIRST_ROOM};
    bigger.slots = sfs_zalloc(map->env, bigger.room * sizeof *bigger.slots);
    if (!bigger.slots)
        return SCALEFS_E_NOMEM;
    for (size_t i = 0; i < map->room; i++)
        if (map->slots[i].value)
            bigger.slots[find(&bigger, map->slots[i].key)] = map->slots[i];
    bigger.count = map->count;
    sfs_free(map->env, map->slots);
    *map = bigger;
    return SCALEFS_OK;
}

int sfs_map_reserve(struct sfs_map *map, size_t more)
{
    int err = SCALEFS_OK;
    while (!err && map->count + more > map->room / 4 * 3)
        err = grow(map);
    return err;
}

int sfs_map_put(struct sfs_map *map, uint64_t key, void *value)
{
    SFS_ASSERT(value);
    if (map->room) {
        struct sfs_map_slot *slot = &map->slots[find(map, key)];
        if (slot->value) {
            slot->value = value;
            return SCALEFS_OK;
        }
    }
    int err = sfs_map_reserve(map, 1);
    if (err)
        return err;
    map->slots[find(map, key)] = (struct sfs_map_slot){key, value};
    map->count++;
    return SCALEFS_OK;
}

void *sfs_map_remove(struct sfs_map *map, uint64_t key)
{
    if (!map->room)
        return NULL;
    size_t mask = map->room - 1, hole = find(map, key);
    void *value = map->slots[hole].value;
    if (!value)
        return NULL;
    /* An entry may fill the hole when the hole lies on its way from its home to where it is. */
    for (size_t i = (hole + 1) & mask; map->slots[i].value; i = (i + 1) & mask) {
        size_t from = home(map, map->slots[i].key);
        if (((i - from) & mask) >= ((i - hole) & mask)) {
            map->slots[hole] = map->slots[i];
            hole = i;
        }
    }
    map->slots[hole] = (struct sfs_map_slot){0, NULL};
    map->count--;
    return value;
}

bool sfs_map_next(const struct sfs_map *map, size_t *cursor, uint64_t *key, void **value)
{
    for (; *cursor < map->room; (*cursor)++) {
        const struct sfs_map_slot *slot = &map->slots[*cursor];
        if (slot->value) {
            *key = slot->key;
            *value = slot->value;
            (*cursor)++;
            return true;
        }
    }
    return false;
}
