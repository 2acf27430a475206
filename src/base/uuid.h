/* 128-bit ids (random, RFC 4122 version 4), kept as 16 bytes in textual order. */
#ifndef SFS_BASE_UUID_H
#define SFS_BASE_UUID_H

#include "base/env.h"

struct sfs_uuid {
    uint8_t bytes[16];
};
#define SFS_UUID_TEXT 37 /* "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" and a NUL */

void sfs_uuid_make(struct sfs_env *env, struct sfs_uuid *uuid);
bool sfs_uuid_equal(const struct sfs_uuid *a, const struct sfs_uuid *b);
bool sfs_uuid_is_zero(const struct sfs_uuid *a);
void sfs_uuid_format(const struct sfs_uuid *uuid, char text[SFS_UUID_TEXT]);
bool sfs_uuid_parse(const char *text, struct sfs_uuid *uuid); /* false when it is none */

#endif
