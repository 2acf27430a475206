/* Scrub: everything that is live is read whole, verified and put right. Its place is kept in pool->scrub, which
 * goes to the disks with each checkpoint, so it goes on where it was after any stop.
 */
#include "store/care_internal.h"

int sfs_care_scrub(struct sfs_store *s, enum scalefs_scrub_verb verb, struct scalefs_error_info *info)
{
    (void)verb;
    (void)s;
    return sfs_care_refuse(info, SCALEFS_E_NOTSUP, "Scrub is not there yet.");
}

bool sfs_care_scrub_step(struct sfs_store *s)
{
    (void)s;
    return false;
}
