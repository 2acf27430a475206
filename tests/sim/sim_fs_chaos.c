/* Faults, and disks that come and go. See sim_fs.h. */
#include "sim/sim_fs.h"

void chaos_begin(struct model *m)
{
    (void)m;
}

void chaos_between(struct model *m)
{
    (void)m;
}

void chaos_run(void *arg)
{
    (void)arg;
}

void chaos_calm(struct model *m)
{
    (void)m;
}
