/* The state before the newest one must be whole, too: what a commit no longer needs is not overwritten before it has
 * successors. On a copy of the disks the newest commit record is wiped, and what then opens is checked. See sim_fs.h. */
#include "sim/sim_fs.h"

#include <string.h>

#include "format/format.h"

/* The sequence number in a slot of a disk; 0: no record. */
static uint64_t seq_at(struct sim_disk *d, uint32_t slot)
{
    uint8_t block[SFS_BLOCK];
    struct sfs_commit c;
    sim_disk_peek(d, SFS_RING_OFFSET + (uint64_t)slot * SFS_BLOCK, block, SFS_BLOCK);
    return sfs_commit_decode(block, slot, &c) ? 0 : c.seq;
}

/* False: there is no older record. */
static bool wipe_newest(struct sim_farm *farm)
{
    static const uint8_t zeros[SFS_BLOCK];
    uint64_t newest = 0;
    unsigned records = 0;
    for (unsigned i = 0; i < sim_farm_count(farm); i++) {
        for (uint32_t slot = 0; slot < SFS_RING_SLOTS; slot++) {
            uint64_t seq = seq_at(sim_farm_disk(farm, i), slot);
            newest = seq > newest ? seq : newest;
            records += i == 0 && seq;
        }
    }
    uint32_t slot = (uint32_t)(newest % SFS_RING_SLOTS);
    for (unsigned i = 0; i < sim_farm_count(farm); i++)
        if (seq_at(sim_farm_disk(farm, i), slot) == newest)
            sim_disk_poke(sim_farm_disk(farm, i), SFS_RING_OFFSET + (uint64_t)slot * SFS_BLOCK, zeros, SFS_BLOCK);
    return records > 1;
}

static void check(struct world *w, void *arg)
{
    struct model *m = arg;
    m->w = w;
    pool_open(m, true);
    check_pool(m);
    if (sfs_tree_exists(m->store, SFS_TREE_VOLUME)) {
        fs_open(m, true);
        check_files(m);
    }
    all_close(m);
}

bool before_check(struct model *m)
{
    struct world *present = m->w, copy = *present;
    copy.farm = sim_farm_copy(present->farm, prng_mix(present->seed, 77));
    bool good = true;
    if (wipe_newest(copy.farm)) {
        enum sim_end end = world_live(&copy, &(struct world_life){.main = check, .arg = m});
        good = end == SIM_FINISHED;
        if (!good)
            fprintf(stderr, "# the state before the newest one is not whole\n");
    }
    sim_farm_destroy(copy.farm);
    m->w = present;
    return good;
}
