/* Replacing disks: a member's columns go elsewhere, then it leaves. */
#include "store/care_internal.h"

int sfs_care_replace(struct sfs_store *s, uint16_t old_index, struct sfs_disk *new_disk, struct scalefs_error_info *info)
{
    (void)s;
    (void)old_index;
    (void)new_disk;
    return sfs_care_refuse(info, SCALEFS_E_NOTSUP, "Replacing disks is not there yet.");
}
