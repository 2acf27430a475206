/* Inside src/disk, on Windows: what windows.c and windows_files.c share. */
#ifndef SFS_DISK_WINDOWS_H
#define SFS_DISK_WINDOWS_H

#include "disk/native.h"

#include <windows.h>

#define SFS_WIDE_PATH 1100 /* what info.path can hold, and a prefix */

/* A path in UTF-8, absolute and without the limit of 260 characters, for the calls of Windows. With
 * `text` also in UTF-8 as a person would write it. Paths of devices (\\.\X:) stay as they are. */
int sfs_windows_path(const char *path, wchar_t wide[SFS_WIDE_PATH], char *text, size_t text_bytes);
/* The ScaleFS error of a failed opening or creating, and a sentence with Windows' own words. */
int sfs_windows_refuse(struct scalefs_error_info *info, const char *path, const char *what,
                       DWORD error);
bool sfs_windows_is_device(const char *path);

#endif
