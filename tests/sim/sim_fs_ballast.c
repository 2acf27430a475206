/* Many small inodes, so that the trees have many nodes and each checkpoint writes some of them anew at places that others
 * have just left: without this, freed rows would seldom be handed out again soon. See sim_fs.h.
 *
 * Each inode belongs to one client, whose operation numbers are the versions; the owner says which version it is.
 */
#include "sim/sim_fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Long names, which fill leaves. */
static size_t name_of(uint32_t i, char name[256])
{
    size_t len = 20 + i % 120;
    snprintf(name, 256, "%08u", i);
    memset(name + 8, 'a' + (int)(i % 26), len - 8);
    name[len] = 0;
    return len;
}

void ballast_setup(struct model *m)
{
    struct scalefs_owner owner = {0, 0};
    struct scalefs_attr attr;
    char name[256];
    if (!m->ballast_count)
        return;
    int err = sfs_fs_lookup(m->fs, SCALEFS_ROOT, "ballast", 7, &attr);
    if (err == SCALEFS_E_NOENT)
        err = sfs_fs_mknod(m->fs, SCALEFS_ROOT, "ballast", 7, SCALEFS_S_IFDIR | 0755, 0, 0, owner, &attr);
    MUST(m, err);
    uint64_t dir = attr.ino;
    for (uint32_t i = 0; i < m->ballast_count; i++) {
        size_t len = name_of(i, name);
        err = sfs_fs_mknod(m->fs, dir, name, len, SCALEFS_S_IFIFO | 0600, 0, 0, owner, &attr);
        if (err == SCALEFS_E_EXIST)
            err = sfs_fs_lookup(m->fs, dir, name, len, &attr);
        MUST(m, err);
        m->ballast[i] = (struct ballast){.ino = attr.ino};
    }
}

void ballast_step(struct model *m, struct client *c)
{
    unsigned count = 1 + (unsigned)prng_below(&c->prng, 12);
    for (unsigned n = 0; n < count && m->ballast_count; n++) {
        uint32_t i = (uint32_t)prng_below(&c->prng, m->ballast_count / m->clients) * m->clients + c->number;
        struct ballast *b = &m->ballast[i];
        struct scalefs_attr values = {.uid = (uint32_t)++c->seq};
        uint32_t was = b->now;
        b->now = values.uid;
        int err = sfs_fs_setattr(m->fs, b->ino, &values, SCALEFS_SET_UID, NULL);
        c->done_seq = values.uid;
        if (err == SCALEFS_E_NOSPC) {
            b->now = was;
            m->counts.full++;
            continue;
        }
        MUST(m, err);
        m->counts.operations++;
    }
}

void ballast_promised(struct model *m, const uint64_t *seq)
{
    for (uint32_t i = 0; i < m->ballast_count; i++)
        if (m->ballast[i].now <= seq[i % m->clients])
            m->ballast[i].base = m->ballast[i].now;
}

void ballast_verify(struct model *m)
{
    for (uint32_t i = 0; i < m->ballast_count; i++) {
        struct ballast *b = &m->ballast[i];
        struct scalefs_attr attr;
        MUST(m, sfs_fs_getattr(m->fs, b->ino, &attr));
        if (attr.uid < b->base || attr.uid > b->now || attr.links != 1 || attr.mode != (SCALEFS_S_IFIFO | 0600u))
            wrong(m, "ballast %u is version %u, not %u to %u", i, attr.uid, b->base, b->now);
        b->base = b->now = attr.uid;
    }
}
