/* Saying no in whole sentences. */
#ifndef SFS_BASE_REFUSE_H
#define SFS_BASE_REFUSE_H

#include "scalefs/error.h"

/* Fills `info` (may be NULL) and returns `error`. */
#if defined(__GNUC__) && !defined(__MINGW32__)
__attribute__((format(printf, 3, 4)))
#endif
int sfs_refuse(struct scalefs_error_info *info, int error, const char *format, ...);

#endif
