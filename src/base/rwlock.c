/* Many readers or one writer. A waiting writer holds back new readers, so it is not starved; hence
 * a task that holds the lock for reading must not take it for reading again. */
#include "base/assert.h"
#include "base/env.h"

#include <string.h>

void sfs_rwlock_init(struct sfs_rwlock *l, struct sfs_env *env)
{
    memset(l, 0, sizeof *l);
    sfs_mutex_init(&l->mutex, env);
    sfs_cond_init(&l->changed, env);
}

void sfs_rwlock_deinit(struct sfs_rwlock *l)
{
    SFS_ASSERT(!l->readers && !l->writer && !l->writers_waiting);
    sfs_cond_deinit(&l->changed);
    sfs_mutex_deinit(&l->mutex);
}

void sfs_rwlock_read(struct sfs_rwlock *l)
{
    sfs_mutex_lock(&l->mutex);
    while (l->writer || l->writers_waiting)
        sfs_cond_wait(&l->changed, &l->mutex);
    l->readers++;
    sfs_mutex_unlock(&l->mutex);
}

void sfs_rwlock_read_done(struct sfs_rwlock *l)
{
    sfs_mutex_lock(&l->mutex);
    SFS_ASSERT(l->readers);
    if (--l->readers == 0 && l->writers_waiting)
        sfs_cond_broadcast(&l->changed);
    sfs_mutex_unlock(&l->mutex);
}

void sfs_rwlock_write(struct sfs_rwlock *l)
{
    sfs_mutex_lock(&l->mutex);
    l->writers_waiting++;
    while (l->writer || l->readers)
        sfs_cond_wait(&l->changed, &l->mutex);
    l->writers_waiting--;
    l->writer = true;
    sfs_mutex_unlock(&l->mutex);
}

void sfs_rwlock_write_done(struct sfs_rwlock *l)
{
    sfs_mutex_lock(&l->mutex);
    SFS_ASSERT(l->writer);
    l->writer = false;
    sfs_cond_broadcast(&l->changed);
    sfs_mutex_unlock(&l->mutex);
}
