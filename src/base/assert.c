/* Says which assert failed and ends the process: going on could write nonsense to disks. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void sfs_assert_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "scalefs: programming error at %s:%d: %s\n", file, line, what);
    fflush(stderr);
    abort();
}
