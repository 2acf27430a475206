/* Extended attributes and ACLs. */
#include "fs_fixture.h"

/* --- extended attributes ------------------------------------------------------------------------------------------------------------ */

static void extended_attributes(void)
{
    struct fixture f;
    struct fake_stats s;
    char list[65536], name[300], *value = (char *)pattern(65536), got[65537];
    size_t len;
    fixture_begin(&f, NULL);
    uint64_t file = make_file(&f, ROOT, "file");
    CHECK_EQ(sfs_fs_getxattr(f.fs, file, "user.a", got, 10, &len), SCALEFS_E_NODATA);
    CHECK_OK(sfs_fs_listxattr(f.fs, file, list, sizeof list, &len));
    CHECK_EQ(len, 0);
    const size_t sizes[] = {0, 1, 2048, 2049, 4096, 65536};
    for (unsigned i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "user.%u", i);
        CHECK_OK(sfs_fs_setxattr(f.fs, file, name, value, sizes[i], 0));
    }
    fixture_reopen(&f);
    for (unsigned i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "user.%u", i);
        CHECK_OK(sfs_fs_getxattr(f.fs, file, name, NULL, 0, &len));
        CHECK_EQ(len, sizes[i]);
        CHECK_OK(sfs_fs_getxattr(f.fs, file, name, got, sizeof got, &len));
        CHECK_MEM(got, value, sizes[i]);
        if (sizes[i] > 1)
            CHECK_EQ(sfs_fs_getxattr(f.fs, file, name, got, sizes[i] - 1, &len), SCALEFS_E_RANGE);
    }
    CHECK_OK(sfs_fs_listxattr(f.fs, file, NULL, 0, &len));
    CHECK_EQ(len, 6 * 7);
    CHECK_EQ(sfs_fs_listxattr(f.fs, file, list, 41, &len), SCALEFS_E_RANGE);
    CHECK_OK(sfs_fs_listxattr(f.fs, file, list, 42, &len));
    CHECK_EQ(sfs_fs_setxattr(f.fs, file, "user.0", "x", 1, SCALEFS_XATTR_CREATE), SCALEFS_E_EXIST);
    CHECK_EQ(sfs_fs_setxattr(f.fs, file, "user.z", "x", 1, SCALEFS_XATTR_REPLACE), SCALEFS_E_NODATA);
    CHECK_EQ(sfs_fs_setxattr(f.fs, file, "user.z", value, 65537, 0), SCALEFS_E_TOOBIG);
    CHECK_EQ(sfs_fs_setxattr(f.fs, file, "other.z", "x", 1, 0), SCALEFS_E_NOTSUP);
    CHECK_EQ(sfs_fs_setxattr(f.fs, file, "user.", "x", 1, 0), SCALEFS_E_NOTSUP);
    memset(name, 'n', 256);
    memcpy(name, "user.", 5);
    name[256] = 0;
    CHECK_EQ(sfs_fs_setxattr(f.fs, file, name, "x", 1, 0), SCALEFS_E_RANGE);
    name[255] = 0;
    CHECK_OK(sfs_fs_setxattr(f.fs, file, name, value, 2048, 0));
    CHECK_OK(sfs_fs_setxattr(f.fs, file, "user.5", "small now", 9, 0)); /* from an extent to the key */
    CHECK_OK(sfs_fs_setxattr(f.fs, file, "user.1", value, 3000, 0));    /* and the other way round */
    CHECK_OK(sfs_fs_getxattr(f.fs, file, "user.5", got, sizeof got, &len));
    CHECK_EQ(len, 9);
    fixture_check(&f);
    CHECK_OK(sfs_fs_removexattr(f.fs, file, "user.4"));
    CHECK_EQ(sfs_fs_removexattr(f.fs, file, "user.4"), SCALEFS_E_NODATA);
    CHECK_OK(unlink_name(&f, ROOT, "file"));
    fake_store_stats(f.store, &s);
    CHECK_EQ(s.live_extents, 0);
    free(value);
    fixture_end(&f);
    /* Records smaller than the value. */
    struct fake_options small = {.record = 16384, .row = 256u << 10};
    fixture_begin(&f, &small);
    char *big = (char *)pattern(65536);
    CHECK_OK(sfs_fs_setxattr(f.fs, ROOT, "user.a", big, 16384, 0));
    CHECK_OK(sfs_fs_setxattr(f.fs, ROOT, "user.b", big, 65536, 0));
    CHECK_OK(sfs_fs_getxattr(f.fs, ROOT, "user.b", got, sizeof got, &len));
    CHECK(len == 65536 && !memcmp(got, big, len));
    CHECK_OK(sfs_fs_getxattr(f.fs, ROOT, "user.a", got, sizeof got, &len));
    CHECK_MEM(got, big, 16384);
    free(big);
    fixture_end(&f);
}

static size_t make_acl(uint8_t *acl, unsigned count, const unsigned (*entries)[3])
{
    sfs_put32(acl, 2);
    for (unsigned i = 0; i < count; i++) {
        sfs_put16(acl + 4 + i * 8, (uint16_t)entries[i][0]);
        sfs_put16(acl + 6 + i * 8, (uint16_t)entries[i][1]);
        sfs_put32(acl + 8 + i * 8, entries[i][2]);
    }
    return 4 + count * 8;
}

static void access_control_lists(void)
{
    struct fixture f;
    struct scalefs_attr a, set = {.mode = 0604};
    uint8_t acl[100], got[100];
    size_t len, n;
    const char *access = "system.posix_acl_access", *standard = "system.posix_acl_default";
    const unsigned none = 0xffffffffu;
    const unsigned full[][3] = {{1, 7, none}, {2, 6, 1234}, {4, 5, none}, {16, 6, none}, {32, 1, none}};
    const unsigned plain[][3] = {{1, 6, none}, {4, 4, none}, {32, 0, none}};
    fixture_begin(&f, NULL);
    uint64_t file = make_file(&f, ROOT, "file");
    n = make_acl(acl, 5, full);
    CHECK_OK(sfs_fs_setxattr(f.fs, file, access, acl, n, 0));
    CHECK_EQ(attr_of(&f, file).mode & 0777, 0761); /* the group's bits are the mask's */
    CHECK_OK(sfs_fs_setattr(f.fs, file, &set, SCALEFS_SET_MODE, &a));
    CHECK_OK(sfs_fs_getxattr(f.fs, file, access, got, sizeof got, &len));
    CHECK_EQ(len, n);
    CHECK_EQ(got[4 + 2], 6);          /* the owner's */
    CHECK_EQ(got[4 + 3 * 8 + 2], 0);  /* the mask */
    CHECK_EQ(got[4 + 2 * 8 + 2], 5);  /* not the group's */
    CHECK_EQ(got[4 + 4 * 8 + 2], 4);  /* others' */
    n = make_acl(acl, 3, plain);
    CHECK_OK(sfs_fs_setxattr(f.fs, file, access, acl, n, 0));
    CHECK_EQ(attr_of(&f, file).mode & 0777, 0640);
    CHECK_EQ(sfs_fs_getxattr(f.fs, file, access, got, sizeof got, &len), SCALEFS_E_NODATA);
    CHECK_EQ(sfs_fs_setxattr(f.fs, file, access, acl, n - 1, 0), SCALEFS_E_INVAL);
    CHECK_EQ(sfs_fs_setxattr(f.fs, file, access, acl, n - 8, 0), SCALEFS_E_INVAL);
    /* New inodes inherit. */
    uint64_t d = make_dir(&f, ROOT, "d");
    n = make_acl(acl, 5, full);
    CHECK_OK(sfs_fs_setxattr(f.fs, d, standard, acl, n, 0));
    CHECK_OK(sfs_fs_mknod(f.fs, d, "x", 1, SCALEFS_S_IFREG | 0666, 0, 0, owner, &a));
    CHECK_EQ(a.mode & 0777, 0660);
    CHECK_OK(sfs_fs_getxattr(f.fs, a.ino, access, got, sizeof got, &len));
    CHECK_EQ(len, n);
    CHECK_EQ(got[4 + 8 + 2], 6);
    CHECK_EQ(sfs_fs_getxattr(f.fs, a.ino, standard, got, sizeof got, &len), SCALEFS_E_NODATA);
    CHECK_OK(sfs_fs_mknod(f.fs, d, "e", 1, SCALEFS_S_IFDIR | 0777, 0, 0, owner, &a));
    CHECK_OK(sfs_fs_getxattr(f.fs, a.ino, standard, got, sizeof got, &len));
    CHECK_MEM(got, acl, n);
    CHECK_OK(sfs_fs_removexattr(f.fs, d, standard));
    CHECK_OK(sfs_fs_mknod(f.fs, d, "y", 1, SCALEFS_S_IFREG | 0666, 0, 0, owner, &a));
    CHECK_EQ(a.mode & 0777, 0666);
    fixture_end(&f);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(extended_attributes);
    RUN(access_control_lists);
    return TEST_END();
}
