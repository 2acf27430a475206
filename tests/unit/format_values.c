/* The values of the trees: round trips, truncation, arbitrary bytes, and what is printed of them. */
#include "test.h"

#include "format/block.h"
#include "format/print.h"

enum kind { EXTENT, SPACE, INODE, DIRENT, FILEEXT, XATTR, VOLUME, NODEPTR, KINDS };
#define ROOM 8192
static uint8_t name[SFS_NAME_BYTES_MAX], value[SFS_VALUE_MAX];

static uint16_t some_name(unsigned least, unsigned most)
{
    uint16_t len = (uint16_t)(least + test_below(most + 1 - least));
    for (unsigned i = 0; i < sizeof name; i++) {
        name[i] = (uint8_t)(1 + test_below(255));
        if (name[i] == '/')
            name[i] = '_';
    }
    return len;
}

static struct sfs_time some_time(void)
{
    return (struct sfs_time){(int64_t)test_random(), (uint32_t)test_below(1000000000)};
}

static uint32_t some(enum kind kind, uint8_t *out)
{
    static struct sfs_extent e;
    struct sfs_row_state rows[SFS_SPACE_CHUNK] = {{0, 0}};
    switch (kind) {
    case EXTENT:
        e.birth = test_random();
        e.place = (struct sfs_place){(uint32_t)test_below(SFS_NONE32), test_random()};
        e.compression = test_below(2);
        e.kind = !e.compression && test_below(3) == 0;
        e.raw = e.kind ? SFS_NODE_BYTES : 1 + (uint32_t)test_below(SFS_EXTENT_MAX);
        e.stored = e.compression ? 1 + (uint32_t)test_below(e.raw) : e.raw;
        e.sum_count = e.kind || e.compression ? 1 : (e.raw + 4095) / 4096;
        e.refs = (uint32_t)test_random();
        e.ref_bytes = test_random();
        for (unsigned i = 0; i < e.sum_count; i++)
            e.sums[i] = test_random();
        return sfs_extent_encode(&e, out);
    case SPACE:
        for (uint64_t i = test_below(SFS_SPACE_CHUNK + 1); i > 0; i--)
            if (test_below(3))
                rows[i - 1] = (struct sfs_row_state){(uint32_t)test_random(), test_random()};
        return sfs_space_encode(rows, out);
    case INODE: {
        struct sfs_inode_value v = {
            (uint32_t)test_random(), (uint32_t)test_random(), (uint32_t)test_random(),
            (uint32_t)test_random(), test_random() >> 1,      test_random(),
            test_random(),           some_time(),             some_time(),
            some_time(),             some_time(),             test_random(),
            (uint32_t)test_random(), (uint32_t)test_random(), test_random()};
        sfs_inode_encode(&v, out);
        return SFS_INODE_BYTES;
    }
    case DIRENT: {
        struct sfs_dirent_value v = {test_random(), (uint8_t)test_below(16), some_name(1, sizeof name), name};
        return sfs_dirent_encode(&v, out);
    }
    case FILEEXT: {
        struct sfs_fileext_value v = {test_random(), 0, 1 + (uint32_t)test_below(SFS_EXTENT_MAX)};
        v.offset = (uint32_t)test_below(SFS_EXTENT_MAX - v.length + 1);
        sfs_fileext_encode(&v, out);
        return SFS_FILEEXT_BYTES;
    }
    case XATTR: {
        struct sfs_xattr_value v = {(uint8_t)test_below(2), some_name(1, 255), name, 0, value, 0};
        v.value_len = (uint32_t)test_below(v.kind ? 65537 : SFS_VALUE_MAX - 3 - v.name_len + 1u);
        v.extent = test_random();
        test_fill(value, sizeof value);
        return sfs_xattr_encode(&v, out);
    }
    case VOLUME: {
        struct sfs_volume_value v = {test_random(), (uint32_t)test_random(),
                                     (int64_t)test_random(), {test_random(), test_random()},
                                     (uint8_t)some_name(0, 255), name};
        return sfs_volume_encode(&v, out);
    }
    default: {
        struct sfs_nodeptr p = {(uint32_t)test_random(), 3, test_random() << 14, test_random(),
                                test_random()};
        sfs_nodeptr_encode(&p, out);
        return SFS_NODEPTR_BYTES;
    }
    }
}

/* Decodes; when accepted, encodes again (all bounds are asserted there) and prints. */
static int take(enum kind kind, const uint8_t *in, size_t len, uint8_t *out, uint32_t *out_len,
                struct sfs_text *t)
{
    static union {
        struct sfs_extent extent;
        struct sfs_row_state rows[SFS_SPACE_CHUNK];
        struct sfs_inode_value inode;
        struct sfs_dirent_value dirent;
        struct sfs_fileext_value fileext;
        struct sfs_xattr_value xattr;
        struct sfs_volume_value volume;
        struct sfs_nodeptr ptr;
    } v;
    int err;
    switch (kind) {
    case EXTENT:
        if ((err = sfs_extent_decode(in, len, &v.extent)))
            return err;
        *out_len = sfs_extent_encode(&v.extent, out);
        sfs_extent_to_text(t, &v.extent);
        return err;
    case SPACE:
        if ((err = sfs_space_decode(in, len, v.rows)))
            return err;
        *out_len = sfs_space_encode(v.rows, out);
        sfs_space_to_text(t, v.rows);
        return err;
    case INODE:
        if ((err = sfs_inode_decode(in, len, &v.inode)))
            return err;
        *out_len = SFS_INODE_BYTES;
        sfs_inode_encode(&v.inode, out);
        sfs_inode_to_text(t, &v.inode);
        return err;
    case DIRENT:
        if ((err = sfs_dirent_decode(in, len, &v.dirent)))
            return err;
        *out_len = sfs_dirent_encode(&v.dirent, out);
        sfs_dirent_to_text(t, &v.dirent);
        return err;
    case FILEEXT:
        if ((err = sfs_fileext_decode(in, len, &v.fileext)))
            return err;
        *out_len = SFS_FILEEXT_BYTES;
        sfs_fileext_encode(&v.fileext, out);
        sfs_fileext_to_text(t, &v.fileext);
        return err;
    case XATTR:
        if ((err = sfs_xattr_decode(in, len, &v.xattr)))
            return err;
        *out_len = sfs_xattr_encode(&v.xattr, out);
        sfs_xattr_to_text(t, &v.xattr);
        return err;
    case VOLUME:
        if ((err = sfs_volume_decode(in, len, &v.volume)))
            return err;
        *out_len = sfs_volume_encode(&v.volume, out);
        sfs_volume_to_text(t, &v.volume);
        return err;
    default:
        if ((err = sfs_nodeptr_decode(in, len, &v.ptr)))
            return err;
        *out_len = SFS_NODEPTR_BYTES;
        sfs_nodeptr_encode(&v.ptr, out);
        sfs_nodeptr_to_text(t, &v.ptr);
        return err;
    }
}

static uint8_t bytes[ROOM], again[ROOM];

static void come_back_as_they_went(void)
{
    struct sfs_text t;
    sfs_text_init(&t, NULL);
    for (int i = 0; i < 4000; i++) {
        enum kind kind = i % KINDS;
        uint32_t len = some(kind, bytes), len2 = 0;
        CHECK(len <= SFS_VALUE_MAX);
        sfs_text_clear(&t);
        REQUIRE_OK(take(kind, bytes, len, again, &len2, &t));
        CHECK_EQ(len, len2);
        CHECK_MEM(bytes, again, len);
        CHECK(t.len >= 4);
    }
    sfs_text_deinit(&t);
}

/* What a newer program has added behind is passed over, where the value does not tell its end by its length. */
static void a_cut_value_is_refused_a_longer_one_is_not(void)
{
    struct sfs_text t;
    sfs_text_init(&t, NULL);
    for (int i = 0; i < 160; i++) {
        enum kind kind = i % KINDS;
        uint32_t len = some(kind, bytes), len2 = 0;
        uint32_t all = kind == SPACE ? 0 : kind == XATTR && !bytes[0] ? 3u + sfs_get16(bytes + 1) : len;
        for (uint32_t cut = 0; cut < all; cut++) {
            uint8_t *copy = malloc(cut ? cut : 1); /* a sanitizer sees a read behind it */
            memcpy(copy, bytes, cut);
            CHECK_EQ(take(kind, copy, cut, again, &len2, &t), SCALEFS_E_CORRUPT);
            free(copy);
        }
        test_fill(bytes + len, 7);
        bool exact = kind == SPACE || kind == NODEPTR, open = kind == XATTR && !bytes[0];
        if (!open)
            CHECK_EQ(take(kind, bytes, len + 7, again, &len2, &t), exact ? SCALEFS_E_CORRUPT : SCALEFS_OK);
        if (!open && !exact) {
            CHECK_EQ(len2, len);
            CHECK_MEM(bytes, again, len);
        }
    }
    sfs_text_deinit(&t);
}

static void lies_do_no_harm(void)
{
    struct sfs_text t;
    sfs_text_init(&t, NULL);
    for (int i = 0; i < 100000; i++) {
        enum kind kind = i % KINDS;
        uint32_t len = i < 60000 ? some(kind, bytes) : (uint32_t)test_below(300), len2 = 0;
        if (i < 60000)
            for (uint64_t n = test_below(4); n > 0 && len; n--)
                bytes[test_below(len < 50 ? len : 50)] = (uint8_t)test_random();
        else
            test_fill(bytes, len);
        sfs_text_clear(&t);
        if (!take(kind, bytes, len, again, &len2, &t))
            CHECK(len2 <= len);
    }
    sfs_text_deinit(&t);
}

static void fields_stand_where_the_document_says(void)
{
    struct sfs_inode_value v = {.mode = 0100644, .links = 1, .size = 99, .parent = 7,
                                .attributes = 32, .entries = 5, .btime = {-1, 999999999}};
    sfs_inode_encode(&v, bytes);
    CHECK_EQ(sfs_get32(bytes), 0100644);
    CHECK_EQ(sfs_get64(bytes + 16), 99);
    CHECK_EQ(sfs_get64(bytes + 40 + 36), -1);
    CHECK_EQ(sfs_get32(bytes + 40 + 44), 999999999);
    CHECK_EQ(sfs_get64(bytes + 88), 7);
    CHECK_EQ(sfs_get32(bytes + 100), 32);
    CHECK_EQ(sfs_get64(bytes + 104), 5);
    sfs_put32(bytes + 40 + 44, 1000000000);
    CHECK_EQ(sfs_inode_decode(bytes, SFS_INODE_BYTES, &v), SCALEFS_E_CORRUPT);

    struct sfs_dirent_value d = {3, 8, 4, (const uint8_t *)"file"};
    CHECK_EQ(sfs_dirent_encode(&d, bytes), 15);
    CHECK_MEM(bytes, "\3\0\0\0\0\0\0\0\10\4\0file", 15);
    bytes[12] = '/';
    CHECK_EQ(sfs_dirent_decode(bytes, 15, &d), SCALEFS_E_CORRUPT);
    bytes[12] = 0;
    CHECK_EQ(sfs_dirent_decode(bytes, 15, &d), SCALEFS_E_CORRUPT);

    struct sfs_row_state rows[SFS_SPACE_CHUNK] = {{0, 0}};
    rows[1] = (struct sfs_row_state){7, 9};
    CHECK_EQ(sfs_space_encode(rows, bytes), 24);
    CHECK(sfs_get32(bytes + 12) == 7 && sfs_get64(bytes + 16) == 9);
    CHECK_OK(sfs_space_decode(bytes, 0, rows));
    CHECK(!rows[1].live && !rows[1].txn);
}

/* An extent that reaches beyond the largest extent would let a reader copy from outside a buffer. */
static void extents_keep_their_bounds(void)
{
    struct sfs_fileext_value f = {1, SFS_EXTENT_MAX - 1, 1};
    sfs_fileext_encode(&f, bytes);
    CHECK_OK(sfs_fileext_decode(bytes, SFS_FILEEXT_BYTES, &f));
    sfs_put32(bytes + 16, 2);
    CHECK_EQ(sfs_fileext_decode(bytes, SFS_FILEEXT_BYTES, &f), SCALEFS_E_CORRUPT);
    sfs_put32(bytes + 16, 0);
    CHECK_EQ(sfs_fileext_decode(bytes, SFS_FILEEXT_BYTES, &f), SCALEFS_E_CORRUPT);
    sfs_put32(bytes + 12, 0xffffffff);
    sfs_put32(bytes + 16, 2);
    CHECK_EQ(sfs_fileext_decode(bytes, SFS_FILEEXT_BYTES, &f), SCALEFS_E_CORRUPT);
    CHECK(sfs_extent_shape_ok(4097, 4097, 0, 2) && !sfs_extent_shape_ok(4097, 4097, 0, 1));
    CHECK(!sfs_extent_shape_ok(10, 11, 0, 1) && sfs_extent_shape_ok(10, 11, 1, 1));
    CHECK(!sfs_extent_shape_ok(12, 11, 1, 1) && !sfs_extent_shape_ok(0, 0, 0, 0));
    CHECK(!sfs_extent_shape_ok(10, SFS_EXTENT_MAX + 1, 1, 1));
}

static void cookies_are_positive(void)
{
    for (int i = 0; i < 1000; i++) {
        uint16_t len = some_name(1, sizeof name);
        uint64_t salt[2] = {test_random(), test_random()}, c = sfs_name_cookie(salt, name, len);
        CHECK(c >> 63 == 0 && (c & 0xffff) == 0 && c >> 16 == (sfs_siphash(salt, name, len) & 0x7fffffffffffull));
        salt[i % 2]++;
        CHECK(sfs_name_cookie(salt, name, len) != c); /* who does not know the salt does not know the cookie */
    }
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(come_back_as_they_went);
    RUN(a_cut_value_is_refused_a_longer_one_is_not);
    RUN(lies_do_no_harm);
    RUN(fields_stand_where_the_document_says);
    RUN(extents_keep_their_bounds);
    RUN(cookies_are_positive);
    return TEST_END();
}
