/* POSIX access control lists: see acl.h. */
#include "drivers/acl.h"

/* version (4 bytes, 2), then entries of tag (2), permissions (2), id (4); little-endian. */
enum { HEADER = 4, ENTRY = 8, VERSION = 2 };
enum { USER_OBJ = 0x01, USER = 0x02, GROUP_OBJ = 0x04, GROUP = 0x08, MASK = 0x10, OTHER = 0x20 };

static unsigned get16(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static size_t entries(size_t len)
{
    return (len - HEADER) / ENTRY;
}

/* The permissions of the first entry with this tag; NULL when there is none. */
static uint8_t *find(const uint8_t *acl, size_t len, unsigned tag)
{
    for (size_t i = 0; i < entries(len); i++)
        if (get16(acl + HEADER + i * ENTRY) == tag)
            return (uint8_t *)acl + HEADER + i * ENTRY + 2;
    return NULL;
}

/* The entry that stands for the group bits of the mode. */
static uint8_t *group_entry(const uint8_t *acl, size_t len)
{
    uint8_t *mask = find(acl, len, MASK);
    return mask ? mask : find(acl, len, GROUP_OBJ);
}

bool sfs_drivers_acl_valid(const uint8_t *acl, size_t len)
{
    if (len < HEADER || (len - HEADER) % ENTRY || get32(acl) != VERSION)
        return false;
    unsigned seen = 0;
    bool named = false;
    for (size_t i = 0; i < entries(len); i++) {
        unsigned tag = get16(acl + HEADER + i * ENTRY);
        if (get16(acl + HEADER + i * ENTRY + 2) & ~7u)
            return false;
        if (tag == USER || tag == GROUP) {
            named = true;
            continue;
        }
        if ((tag != USER_OBJ && tag != GROUP_OBJ && tag != MASK && tag != OTHER) || (seen & tag))
            return false;
        seen |= tag;
    }
    unsigned needed = USER_OBJ | GROUP_OBJ | OTHER | (named ? MASK : 0u);
    return (seen & needed) == needed;
}

uint32_t sfs_drivers_acl_mode(const uint8_t *acl, size_t len)
{
    return get16(find(acl, len, USER_OBJ)) << 6 | get16(group_entry(acl, len)) << 3 |
           get16(find(acl, len, OTHER));
}

bool sfs_drivers_acl_is_mode(const uint8_t *acl, size_t len)
{
    return entries(len) == 3 && !find(acl, len, MASK);
}

void sfs_drivers_acl_chmod(uint8_t *acl, size_t len, uint32_t mode)
{
    *find(acl, len, USER_OBJ) = mode >> 6 & 7;
    *group_entry(acl, len) = mode >> 3 & 7;
    *find(acl, len, OTHER) = mode & 7;
}

void sfs_drivers_acl_create(uint8_t *acl, size_t len, uint32_t *mode)
{
    uint32_t both = *mode & sfs_drivers_acl_mode(acl, len);
    sfs_drivers_acl_chmod(acl, len, both);
    *mode = (*mode & ~0777u) | both;
}
