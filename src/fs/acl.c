/* POSIX ACLs in the form in which Linux passes them (version 2): what they mean for the mode bits.
 *
 * u32 version, then entries of u16 tag, u16 permissions, u32 id.
 */
#include "fs/internal.h"

enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHER = 32 };

#define HEAD 4u
#define ENTRY 8u

static unsigned count_of(size_t len)
{
    return (unsigned)((len - HEAD) / ENTRY);
}

static unsigned tag_of(const uint8_t *acl, unsigned i)
{
    return sfs_get16(acl + HEAD + i * ENTRY);
}

static unsigned perm_of(const uint8_t *acl, unsigned i)
{
    return sfs_get16(acl + HEAD + i * ENTRY + 2);
}

static void set_perm(uint8_t *acl, unsigned i, unsigned perm)
{
    sfs_put16(acl + HEAD + i * ENTRY + 2, (uint16_t)perm);
}

int sfs_fs_acl_check(const uint8_t *acl, size_t len, bool *equivalent)
{
    unsigned seen = 0;
    bool named = false;
    if (len < HEAD || (len - HEAD) % ENTRY || len > SFS_ACL_MAX || sfs_get32(acl) != 2)
        return SCALEFS_E_INVAL;
    for (unsigned i = 0; i < count_of(len); i++) {
        unsigned tag = tag_of(acl, i);
        if (perm_of(acl, i) > 7)
            return SCALEFS_E_INVAL;
        if (tag == USER || tag == GROUP) {
            named = true;
        } else if (tag == USER_OBJ || tag == GROUP_OBJ || tag == MASK || tag == OTHER) {
            if (seen & tag)
                return SCALEFS_E_INVAL;
            seen |= tag;
        } else {
            return SCALEFS_E_INVAL;
        }
    }
    const unsigned must = USER_OBJ | GROUP_OBJ | OTHER;
    if ((seen & must) != must || (named && !(seen & MASK)))
        return SCALEFS_E_INVAL;
    *equivalent = !named && !(seen & MASK);
    return SCALEFS_OK;
}

static bool has_mask(const uint8_t *acl, size_t len)
{
    for (unsigned i = 0; i < count_of(len); i++)
        if (tag_of(acl, i) == MASK)
            return true;
    return false;
}

/* Which three bits of the mode stand for the entry: their shift, or -1. */
static int shift_of(const uint8_t *acl, size_t len, unsigned i)
{
    switch (tag_of(acl, i)) {
    case USER_OBJ:
        return 6;
    case GROUP_OBJ:
        return has_mask(acl, len) ? -1 : 3;
    case MASK:
        return 3;
    case OTHER:
        return 0;
    default:
        return -1;
    }
}

uint32_t sfs_fs_acl_mode(const uint8_t *acl, size_t len, uint32_t mode)
{
    for (unsigned i = 0; i < count_of(len); i++) {
        int shift = shift_of(acl, len, i);
        if (shift >= 0)
            mode = (mode & ~(7u << shift)) | perm_of(acl, i) << shift;
    }
    return mode;
}

void sfs_fs_acl_chmod(uint8_t *acl, size_t len, uint32_t mode)
{
    bool equivalent;
    if (sfs_fs_acl_check(acl, len, &equivalent))
        return;
    for (unsigned i = 0; i < count_of(len); i++) {
        int shift = shift_of(acl, len, i);
        if (shift >= 0)
            set_perm(acl, i, mode >> shift & 7);
    }
}

uint32_t sfs_fs_acl_create(uint8_t *acl, size_t len, uint32_t mode)
{
    for (unsigned i = 0; i < count_of(len); i++) {
        int shift = shift_of(acl, len, i);
        if (shift < 0)
            continue;
        set_perm(acl, i, perm_of(acl, i) & (mode >> shift & 7));
        mode = (mode & ~(7u << shift)) | perm_of(acl, i) << shift;
    }
    return mode;
}

int sfs_fs_acl_inherit(struct sfs_fs *fs, struct sfs_tx *tx, const struct sfs_inode *dir,
                       uint64_t ino, struct sfs_inode_value *value)
{
    uint8_t acl[SFS_ACL_MAX];
    size_t len;
    bool equivalent;
    if (!(dir->value.flags & SFS_FS_HAS_XATTRS))
        return SCALEFS_OK;
    int err = sfs_fs_xattr_read(fs, dir, SFS_ACL_DEFAULT, acl, sizeof acl, &len);
    if (err)
        return err == SCALEFS_E_NODATA || err == SCALEFS_E_RANGE ? SCALEFS_OK : err;
    if (sfs_fs_acl_check(acl, len, &equivalent))
        return SCALEFS_OK; /* what it says cannot be meant */
    if (SFS_FS_ISDIR(value->mode)) {
        err = sfs_fs_xattr_put_small(fs, tx, ino, SFS_ACL_DEFAULT, acl, len);
        value->flags |= SFS_FS_HAS_XATTRS;
    }
    value->mode = sfs_fs_acl_create(acl, len, value->mode);
    if (!err && !equivalent) {
        err = sfs_fs_xattr_put_small(fs, tx, ino, SFS_ACL_ACCESS, acl, len);
        value->flags |= SFS_FS_HAS_XATTRS;
    }
    return err;
}
