/* A pool without disks, for what stands above the public library: its answers are set by the test.
 */
#ifndef TESTS_FAKE_POOL_H
#define TESTS_FAKE_POOL_H

#include <pthread.h>

#include "scalefs/pool.h"

struct scalefs_pool {
    pthread_mutex_t lock;
    char name[64], uuid[37], disk_path[512];
    enum scalefs_pool_state state;
    bool busy;        /* there is work: scalefs_pool_wait waits */
    unsigned waiting; /* so many wait */
    unsigned verify, compression;
    int zstd_level;
    bool destroyed; /* any call from now on is counted as late */
    unsigned late;
    char last[256]; /* the last call that changes something, with its words */
};
void fake_pool_init(struct scalefs_pool *pool, const char *name, const char *uuid,
                    const char *disk_path);
void fake_pool_set_busy(struct scalefs_pool *pool, bool busy);
unsigned fake_pool_waiting(struct scalefs_pool *pool);
void fake_pool_destroyed(struct scalefs_pool *pool);
unsigned fake_pool_late(struct scalefs_pool *pool);

#endif
