/* The complete check of a pool that nobody writes. */
#include "store/care_internal.h"

int sfs_care_check(struct sfs_store *s, void (*problem)(void *context, const char *text), void *context,
                   struct scalefs_check_report *report)
{
    (void)s;
    (void)problem;
    (void)context;
    (void)report;
    return SCALEFS_E_NOTSUP;
}
