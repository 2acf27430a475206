/* The space of one member in atoms of 4 MiB: a bitmap, and buddy-aligned areas in it.
 *
 * A column of 2^n atoms begins at a multiple of 2^n atoms. Of the free areas the one is taken whose
 * surroundings are broken up most already, so that large areas stay whole. Locked; memory only.
 *
 * THE LIMIT. A member that is to become smaller gives out what lies below its new end only; what stands behind it is known as
 * before, until it has moved.
 */
#include "pool/internal.h"

int sfs_atoms_init(struct sfs_pool *pool, struct sfs_member *m)
{
    size_t words = ((size_t)m->record.atoms + 63) / 64;
    m->atom_used = sfs_zalloc(pool->env, words * sizeof *m->atom_used);
    if (!m->atom_used)
        return SCALEFS_E_NOMEM;
    m->limit = sfs_member_atoms_of(m, m->record.wanted_size);
    if (m->record.wanted_size >= m->record.size || m->limit > m->record.atoms)
        m->limit = m->record.atoms;
    m->free_atoms = m->limit;
    return SCALEFS_OK;
}

/* The part of the area that lies below the limit. */
static uint32_t below(const struct sfs_member *m, uint32_t atom, uint32_t atoms)
{
    return atom >= m->limit ? 0 : m->limit - atom < atoms ? m->limit - atom : atoms;
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
    m->free_atoms -= below(m, atom, atoms);
    return true;
}

void sfs_atoms_release(struct sfs_member *m, uint32_t atom, uint32_t atoms)
{
    SFS_ASSERT((uint64_t)atom + atoms <= m->record.atoms);
    range_set(m, atom, atoms, false);
    m->free_atoms += below(m, atom, atoms);
    SFS_ASSERT(m->free_atoms <= m->limit);
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
    for (uint64_t a = 0; a + atoms <= m->limit && best > 0;) {
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
    for (uint64_t a = 0; a + atoms <= m->limit;) {
        if (atoms < 64 && m->atom_used[a / 64] == ~0ull) {
            a = (a / 64 + 1) * 64;
            continue;
        }
        count += range_free(m, a, atoms);
        a += atoms;
    }
    return count;
}

/* --- sizes --- */

#define TAIL_BYTES (64u << 10) /* docs/FORMAT.md, section 1 */

uint32_t sfs_member_atoms_of(const struct sfs_member *m, uint64_t size)
{
    const struct sfs_disk_record *r = &m->record;
    if (r->layout == SFS_LAYOUT_ZONED)
        return r->atoms;
    if (size < r->data_offset + TAIL_BYTES)
        return 0;
    uint64_t atoms = (size - TAIL_BYTES - r->data_offset) / SFS_ATOM_BYTES;
    return atoms < 1u << 30 ? (uint32_t)atoms : 1u << 30;
}

static void count_free(struct sfs_member *m)
{
    m->free_atoms = 0;
    for (uint32_t a = 0; a < m->limit; a++)
        m->free_atoms += !(m->atom_used[a / 64] >> a % 64 & 1);
}

void sfs_member_want(struct sfs_member *m, uint64_t size)
{
    uint32_t atoms = sfs_member_atoms_of(m, size);
    SFS_ASSERT(size <= m->record.size);
    m->record.wanted_size = size;
    m->limit = size == m->record.size || atoms > m->record.atoms ? m->record.atoms : atoms;
    m->dirty = true;
    count_free(m);
}

bool sfs_member_shrinks(const struct sfs_member *m)
{
    return m->used && m->record.wanted_size < m->record.size;
}

bool sfs_column_beyond(struct sfs_pool *pool, const struct sfs_group_record *g, unsigned c)
{
    const struct sfs_member *m = sfs_member_of(pool, g->columns[c].disk);
    return m && (uint64_t)g->columns[c].atom + sfs_column_atoms_on(m, g) > m->limit;
}

bool sfs_member_end_free(const struct sfs_pool *pool, const struct sfs_member *m)
{
    for (size_t i = 0; i < pool->pending_count; i++)
        if (pool->pending[i].disk == m->record.index && (uint64_t)pool->pending[i].atom + pool->pending[i].atoms > m->limit)
            return false;
    return range_free(m, m->limit, m->record.atoms - m->limit);
}

int sfs_member_set_size(struct sfs_pool *pool, struct sfs_member *m, uint64_t size)
{
    uint32_t atoms = sfs_member_atoms_of(m, size);
    if (size > m->record.size && atoms < m->record.atoms)
        atoms = m->record.atoms;
    if (atoms > m->record.atoms) {
        size_t was = ((size_t)m->record.atoms + 63) / 64, words = ((size_t)atoms + 63) / 64;
        uint64_t *bits = sfs_zalloc(pool->env, words * sizeof *bits);
        if (!bits)
            return SCALEFS_E_NOMEM;
        memcpy(bits, m->atom_used, was * sizeof *bits);
        sfs_free(pool->env, m->atom_used);
        m->atom_used = bits;
    }
    m->record.atoms = atoms;
    m->record.size = size;
    m->stale_label = true;
    sfs_member_want(m, size);
    return SCALEFS_OK;
}

uint64_t sfs_member_used(const struct sfs_member *m)
{
    uint64_t atoms = 0;
    for (uint32_t word = 0; word < (m->record.atoms + 63) / 64; word++)
        for (uint64_t bits = m->atom_used[word]; bits; bits &= bits - 1)
            atoms++;
    return atoms * m->record.atom_bytes;
}
