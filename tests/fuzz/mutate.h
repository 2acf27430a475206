/* What the files of the mutator share: see mutate.c. */
#ifndef TESTS_FUZZ_MUTATE_H
#define TESTS_FUZZ_MUTATE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scalefs/fs.h"

enum { DISKS = 3, FAILOVER = 1, BLOCK = 4096 };
#define DISK_BYTES ((size_t)64 << 20)

uint64_t mutate_random(uint64_t bound); /* below the bound; 0: 0 */
void mutate_fill(uint8_t *p, size_t len, uint64_t seed);

/* --- mutate_files.c --- */
bool mutate_make(const char *const list[DISKS]);
/* Everything is looked at. False: something is wrong; with `sure`: or missing, or cannot be read. */
bool mutate_look(struct scalefs_pool *pool, bool sure);
/* Some of it is changed; with `sure` only added to. */
void mutate_touch(struct scalefs_pool *pool, bool sure);

/* --- mutate_damage.c --- */
/* True: everything must be right nevertheless. */
bool mutate_damage(uint8_t *const bytes[DISKS], bool tell);

#endif
