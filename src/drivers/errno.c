/* Library error -> errno, from the one table. */
#include <errno.h>

#include "drivers/driver.h"

int sfs_drivers_errno(int error)
{
    switch (error) {
#define ERRNO_OF(name, number, errno_name, sentence)                                               \
    case number:                                                                                   \
        return errno_name;
        SCALEFS_ERRORS(ERRNO_OF)
#undef ERRNO_OF
    default:
        return EIO;
    }
}
