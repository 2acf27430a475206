/* What the tests of scrub share: a pool with files in it. */
#ifndef TESTS_UNIT_CARE_SCRUB_H
#define TESTS_UNIT_CARE_SCRUB_H

#include "care_fixture.h"

static inline void fill_pool(struct world *w, void *arg)
{
    make_pool(w, 1 + (sim_farm_count(w->farm) > 4), 0);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    write_some(w, s, arg, 70);
    sync_and_close(w, s);
}

static inline void begin(struct world *w, struct content *c, unsigned disks)
{
    memset(c, 0, sizeof *c);
    world_init(w, test_seed());
    add_disks(w, disks, 64 * MIB);
    live(w, fill_pool, c);
}

static inline void sound(struct world *w, void *arg)
{
    must_be_sound(w, arg, ALL_DISKS);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    verify_all(w, s, arg);
    sync_and_close(w, s);
}

/* Rot everywhere on `count` disks, but in the heads, of which one copy each must be left. */
#endif
