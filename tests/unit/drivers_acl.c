/* POSIX access control lists: what they mean for modes, what a new inode inherits. */
#include "drivers/acl.h"

#include "test.h"

enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 0x10, OTHER = 0x20 };

static size_t start(uint8_t *acl)
{
    memcpy(acl, "\2\0\0\0", 4);
    return 4;
}

static size_t entry(uint8_t *acl, size_t len, unsigned tag, unsigned permissions, unsigned id)
{
    uint8_t e[8] = {(uint8_t)tag, 0, (uint8_t)permissions, 0, (uint8_t)id, (uint8_t)(id >> 8), 0, 0};
    memcpy(acl + len, e, sizeof e);
    return len + sizeof e;
}

/* u::rwx, u:1000:rw-, g::r-x, m::MASK, o::--x; without the named entry when there is no mask. */
static size_t make(uint8_t *acl, int mask)
{
    size_t len = entry(acl, start(acl), USER_OBJ, 7, 0);
    if (mask >= 0)
        len = entry(acl, len, USER, 6, 1000);
    len = entry(acl, len, GROUP_OBJ, 5, 0);
    if (mask >= 0)
        len = entry(acl, len, MASK, (unsigned)mask, 0);
    return entry(acl, len, OTHER, 1, 0);
}

static void modes(void)
{
    uint8_t acl[64];
    size_t len = make(acl, -1);
    CHECK(sfs_drivers_acl_valid(acl, len));
    CHECK(sfs_drivers_acl_is_mode(acl, len));
    CHECK_EQ(sfs_drivers_acl_mode(acl, len), 0751);
    len = make(acl, 6);
    CHECK(sfs_drivers_acl_valid(acl, len));
    CHECK(!sfs_drivers_acl_is_mode(acl, len));
    CHECK_EQ(sfs_drivers_acl_mode(acl, len), 0761); /* the group's bits are the mask */
    sfs_drivers_acl_chmod(acl, len, 0604);
    CHECK_EQ(sfs_drivers_acl_mode(acl, len), 0604);
    CHECK_EQ(acl[4 + 2 * 8 + 2], 5); /* the group itself keeps its own */
}

static void inheriting(void)
{
    uint8_t acl[64];
    size_t len = make(acl, 6);
    uint32_t mode = 0100666; /* a regular file */
    sfs_drivers_acl_create(acl, len, &mode);
    CHECK_EQ(mode, 0100660);
    CHECK_EQ(sfs_drivers_acl_mode(acl, len), 0660);
    len = make(acl, 6);
    mode = 0042711; /* a directory that keeps its set-gid bit */
    sfs_drivers_acl_create(acl, len, &mode);
    CHECK_EQ(mode, 0042701);
}

static void refusing(void)
{
    uint8_t acl[64];
    size_t len = make(acl, 6);
    CHECK(!sfs_drivers_acl_valid(acl, 0));
    CHECK(!sfs_drivers_acl_valid(acl, 3));
    CHECK(!sfs_drivers_acl_valid(acl, 4));       /* no entries */
    CHECK(!sfs_drivers_acl_valid(acl, len - 1)); /* cut */
    CHECK(!sfs_drivers_acl_valid(acl, len - 8)); /* no entry for others */
    acl[0] = 1;
    CHECK(!sfs_drivers_acl_valid(acl, len)); /* another version */
    len = make(acl, 6);
    acl[4 + 2] = 8;
    CHECK(!sfs_drivers_acl_valid(acl, len)); /* not a permission */
    len = make(acl, 6);
    acl[4] = 0x40;
    CHECK(!sfs_drivers_acl_valid(acl, len)); /* not a tag */
    len = entry(acl, make(acl, -1), OTHER, 1, 0);
    CHECK(!sfs_drivers_acl_valid(acl, len)); /* twice */
    len = entry(acl, make(acl, -1), USER, 1, 5);
    CHECK(!sfs_drivers_acl_valid(acl, len)); /* a named entry without a mask */
}

static void surviving_noise(void)
{
    for (int i = 0; i < 20000; i++) {
        uint8_t acl[64];
        uint32_t mode = (uint32_t)test_below(01000);
        size_t len = test_below(sizeof acl + 1);
        test_fill(acl, sizeof acl);
        if (i % 2)
            start(acl);
        if (sfs_drivers_acl_valid(acl, len))
            sfs_drivers_acl_create(acl, len, &mode);
        CHECK(mode < 01000);
    }
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(modes);
    RUN(inheriting);
    RUN(refusing);
    RUN(surviving_noise);
    return TEST_END();
}
