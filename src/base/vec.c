/* Growing arrays. */
#include "base/vec.h"
#include "scalefs/error.h"

#include <string.h>

int sfs_vec_reserve(struct sfs_env *env, void *items, size_t *room, size_t need, size_t item_bytes)
{
    if (need <= *room)
        return SCALEFS_OK;
    size_t bigger = *room ? *room : 8;
    while (bigger < need) {
        if (bigger > SIZE_MAX / 2)
            return SCALEFS_E_NOMEM;
        bigger *= 2;
    }
    if (bigger > SIZE_MAX / item_bytes)
        return SCALEFS_E_NOMEM;
    /* Pointers of all types have one representation on our platforms; memcpy keeps aliasing out. */
    void *old;
    memcpy(&old, items, sizeof old);
    void *new = sfs_realloc(env, old, *room * item_bytes, bigger * item_bytes);
    if (!new)
        return SCALEFS_E_NOMEM;
    memcpy(items, &new, sizeof new);
    *room = bigger;
    return SCALEFS_OK;
}
