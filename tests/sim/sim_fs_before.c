/* The state before the newest one must be whole, too: what a commit no longer needs is not overwritten before it has
 * successors. On a copy of the disks the newest commit record is wiped, and what then opens is checked. See sim_fs.h. */
#include "sim/sim_fs.h"

#include <string.h>

#include "format/format.h"

/* One block of the head of a disk. */
static void transfer(struct world *w, struct sfs_disk *disk, enum sfs_io_op op, uint32_t slot, uint8_t *block)
{
    struct sfs_io io = {.disk = disk, .op = op, .offset = SFS_RING_OFFSET + (uint64_t)slot * SFS_BLOCK, .buf = block,
                        .len = SFS_BLOCK};
    if (sfs_io_run(w->env, &io, 1) != SCALEFS_OK)
        sim_fail(w->sim, "a commit record cannot be read or written");
}

/* The sequence number in a slot of a disk; 0: no record. */
static uint64_t seq_at(struct world *w, struct sfs_disk *disk, uint32_t slot, uint8_t *block)
{
    struct sfs_commit c;
    transfer(w, disk, SFS_IO_READ, slot, block);
    return sfs_commit_decode(block, slot, &c) ? 0 : c.seq;
}

static void wipe_newest(struct world *w, void *arg)
{
    bool *older = arg; /* is there another record? */
    struct sfs_disk *disks[DISKS];
    uint8_t *block = sfs_alloc_io(w->env, SFS_BLOCK);
    uint64_t newest = 0;
    unsigned records = 0, count = sim_farm_count(w->farm);
    world_open_disks(w, disks);
    for (unsigned i = 0; i < count; i++) {
        for (uint32_t slot = 0; slot < SFS_RING_SLOTS; slot++) {
            uint64_t seq = seq_at(w, disks[i], slot, block);
            newest = seq > newest ? seq : newest;
            records += i == 0 && seq;
        }
    }
    uint32_t slot = (uint32_t)(newest % SFS_RING_SLOTS);
    for (unsigned i = 0; i < count; i++) {
        if (seq_at(w, disks[i], slot, block) != newest)
            continue;
        memset(block, 0, SFS_BLOCK);
        transfer(w, disks[i], SFS_IO_WRITE, slot, block);
    }
    world_close_disks(w, disks);
    sfs_free(w->env, block);
    *older = records > 1;
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
    bool older = false, good = world_live(&copy, &(struct world_life){.main = wipe_newest, .arg = &older}) == SIM_FINISHED;
    if (good && older) {
        enum sim_end end = world_live(&copy, &(struct world_life){.main = check, .arg = m});
        good = end == SIM_FINISHED;
        if (!good)
            fprintf(stderr, "# the state before the newest one is not whole\n");
    }
    sim_farm_destroy(copy.farm);
    m->w = present;
    return good;
}
