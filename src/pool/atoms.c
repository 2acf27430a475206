/* The space of one member in atoms of 4 MiB: a bitmap, and buddy-aligned areas in it.
 *
 * A column of 2^n atoms begins at a multiple of 2^n atoms. Of the free areas the one is taken whose
 * surroundings are broken up most already, so that large areas stay whole. Locked; memory only.
 */
#include "pool/internal.h"

int sfs_atoms_init(struct sfs_pool *pool, struct sfs_member *m)
{
    size_t words = ((size_t)m->record.atoms + 63) / 64;
    m->atom_used = sfs_zalloc(pool->env, words * sizeof *m->atom_used);
    if (!m->atom_used)
        return SCALEFS_E_NOMEM;
    m->free_atoms = m->record.atoms;
    return SCALEFS_OK;
}

/* Bits [at, at + n) of one word's part of the range. */
static uint64_t mask(uint32_t at, uint32_t n)
{
    return (n == 64 ? ~0ull : (1ull << n) - 1) << at;
}

static bool range_free(const struct sfs_member *m, uint64_t atom, uint64_t atoms)
{
    if (atom + atoms > m->record.atoms)
        return false;
    while (atoms) {
        uint32_t at = (uint32_t)(atom % 64), n = 64 - at;
        if (n > atoms)
            n = (uint32_t)atoms;
        if (m->atom_used[atom / 64] & mask(at, n))
            return false;
        atom += n;
        atoms -= n;
    }
    return true;
}

static void range_set(struct sfs_member *m, uint64_t atom, uint64_t atoms, bool used)
{
    while (atoms) {
        uint32_t at = (uint32_t)(atom % 64), n = 64 - at;
        if (n > atoms)
            n = (uint32_t)atoms;
        if (used)
            m->atom_used[atom / 64] |= mask(at, n);
        else
            m->atom_used[atom / 64] &= ~mask(at, n);
        atom += n;
        atoms -= n;
    }
}

bool sfs_atoms_claim(struct sfs_member *m, uint32_t atom, uint32_t atoms)
{
    if (!range_free(m, atom, atoms))
        return false;
    range_set(m, atom, atoms, true);
    m->free_atoms -= atoms;
    return true;
}

void sfs_atoms_release(struct sfs_member *m, uint32_t atom, uint32_t atoms)
{
    SFS_ASSERT((uint64_t)atom + atoms <= m->record.atoms);
    range_set(m, atom, atoms, false);
    m->free_atoms += atoms;
    SFS_ASSERT(m->free_atoms <= m->record.atoms);
}

/* How often the free area can be doubled to an aligned area that is free, too. */
static unsigned slack(const struct sfs_member *m, uint64_t atom, uint64_t atoms, unsigned bound)
{
    unsigned order = 0;
    while (order < bound) {
        uint64_t buddy = atom ^ atoms;
        if (!range_free(m, buddy, atoms))
            break;
        atom &= ~atoms;
        atoms *= 2;
        order++;
    }
    return order;
}

bool sfs_atoms_take(struct sfs_member *m, uint32_t atoms, uint32_t *atom)
{
    SFS_ASSERT(atoms && !(atoms & (atoms - 1)));
    if (m->free_atoms < atoms)
        return false;
    unsigned best = 33;
    for (uint64_t a = 0; a + atoms <= m->record.atoms && best > 0;) {
        if (atoms < 64 && m->atom_used[a / 64] == ~0ull) {
            a = (a / 64 + 1) * 64;
            continue;
        }
        if (range_free(m, a, atoms)) {
            unsigned order = slack(m, a, atoms, best);
            if (order < best) {
                best = order;
                *atom = (uint32_t)a;
            }
            a = (a & ~(((uint64_t)atoms << order) - 1)) + ((uint64_t)atoms << order);
            continue;
        }
        a += atoms;
    }
    if (best == 33)
        return false;
    bool free = sfs_atoms_claim(m, *atom, atoms);
    SFS_ASSERT(free);
    return true;
}

uint32_t sfs_atoms_areas(const struct sfs_member *m, uint32_t atoms)
{
    uint32_t count = 0;
    if (atoms == 1)
        return m->free_atoms;
    for (uint64_t a = 0; a + atoms <= m->record.atoms;) {
        if (atoms < 64 && m->atom_used[a / 64] == ~0ull) {
            a = (a / 64 + 1) * 64;
            continue;
        }
        count += range_free(m, a, atoms);
        a += atoms;
    }
    return count;
}
