/* An environment whose memory runs out when told, and which counts what was not freed. */
#ifndef TESTS_UNIT_FAULT_ENV_H
#define TESTS_UNIT_FAULT_ENV_H

#include "base/env.h"

#include <stdlib.h>

struct fault_env {
    struct sfs_env env;
    struct sfs_env_ops ops;
    long left;  /* allocations that still succeed; negative: all */
    long alive; /* allocated and not freed */
};

static inline void *fault_alloc(struct sfs_env *env, size_t bytes, size_t align)
{
    struct fault_env *f = env->context;
    (void)align;
    if (f->left == 0)
        return NULL;
    if (f->left > 0)
        f->left--;
    f->alive++;
    return malloc(bytes);
}

static inline void fault_free(struct sfs_env *env, void *p)
{
    struct fault_env *f = env->context;
    f->alive--;
    free(p);
}

static inline void fault_env_init(struct fault_env *f)
{
    *f = (struct fault_env){.left = -1};
    f->ops.alloc = fault_alloc;
    f->ops.free_mem = fault_free;
    f->env.ops = &f->ops;
    f->env.context = f;
}

#endif
