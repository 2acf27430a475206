/* Erasure coding over GF(2^8), pure arithmetic on buffers; kernels of ISA-L.
 *
 * Matrix: a Cauchy matrix whose points depend neither on k nor on m, scaled so that the first row
 * (parity 0) and the first column (data 0) are all 1. docs/FORMAT.md gives it in closed form. Every
 * square submatrix of a Cauchy matrix is regular and scaling rows and columns keeps that, so any m of
 * k + m units can be rebuilt from the other k. Parity 0 is XOR; k = 1 makes every parity a copy.
 * A group can gain or lose parity units without touching others.
 *
 * Limits: 1 <= k, 0 <= m <= 31, k + m <= 64. Units are `len` bytes, any length; best 64-byte aligned.
 */
#ifndef SFS_PARITY_PARITY_H
#define SFS_PARITY_PARITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SFS_PARITY_MAX_UNITS 64
#define SFS_PARITY_MAX_PARITY 31

/* The coefficient of data unit `data` in parity unit `parity`. */
uint8_t sfs_parity_coefficient(unsigned parity, unsigned data);

/* parity[0..m) from data[0..k). */
void sfs_parity_encode(unsigned k, unsigned m, size_t len, const uint8_t *const *data,
                       uint8_t *const *parity);

/* units[0..k+m): those whose bit is set in `missing` are computed from the others (data first, then
 * parity). Entries that are neither missing nor needed may be NULL only if their bit is in `unknown`
 * (present nowhere, not wanted). False when more than m are missing or unknown together; nothing is
 * written then. */
bool sfs_parity_rebuild(unsigned k, unsigned m, size_t len, uint8_t *const *units, uint64_t missing,
                        uint64_t unknown);

/* True when all m parity units agree with the data units. `scratch` has room for `len` bytes. */
bool sfs_parity_check(unsigned k, unsigned m, size_t len, const uint8_t *const *units,
                      uint8_t *scratch);

#endif
