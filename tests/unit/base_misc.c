/* Errors, codecs, hashes, UUIDs, maps and growing arrays. */
#include "test.h"

#include "base/codec.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/uuid.h"
#include "base/vec.h"
#include "unit/fault_env.h"

static void errors_have_names(void)
{
    CHECK_STR(scalefs_error_name(SCALEFS_OK), "OK");
    CHECK_STR(scalefs_error_name(SCALEFS_E_NOSPC), "NOSPC");
    CHECK_STR(scalefs_error_text(SCALEFS_E_NOSPC), "the pool is full");
    CHECK_STR(scalefs_error_name(-5), "UNKNOWN");
    CHECK_STR(scalefs_error_name(100000), "UNKNOWN");
    CHECK_STR(scalefs_error_text(100000), "an unknown error");
}

static void numbers_are_little_endian(void)
{
    static const uint8_t want[] = {1,   3,   2,   7,   6, 5, 4,   0xf, 0xe,
                                   0xd, 0xc, 0xb, 0xa, 9, 8, 'x', 'y'};
    uint8_t bytes[sizeof want];
    struct sfs_writer w = sfs_writer(bytes, sizeof bytes);
    sfs_w8(&w, 1);
    sfs_w16(&w, 0x0203);
    sfs_w32(&w, 0x04050607);
    sfs_w64(&w, 0x08090a0b0c0d0e0f);
    sfs_w_copy(&w, "xy", 2);
    CHECK(!w.bad);
    CHECK_EQ(sfs_writer_len(&w), sizeof want);
    CHECK_MEM(bytes, want, sizeof want);
    struct sfs_reader r = sfs_reader(bytes, sizeof bytes);
    char text[2];
    CHECK_EQ(sfs_r8(&r), 1);
    CHECK_EQ(sfs_r16(&r), 0x0203);
    CHECK_EQ(sfs_r32(&r), 0x04050607);
    CHECK_EQ(sfs_r64(&r), 0x08090a0b0c0d0e0f);
    sfs_r_copy(&r, text, 2);
    CHECK_MEM(text, "xy", 2);
    CHECK(!r.bad);
}

static void cursors_stop_at_their_end(void)
{
    uint8_t bytes[6] = {1, 2, 3, 4, 5, 6};
    struct sfs_reader r = sfs_reader(bytes, 5);
    CHECK_EQ(sfs_r32(&r), 0x04030201);
    CHECK_EQ(sfs_r16(&r), 0);
    CHECK(r.bad);
    CHECK_EQ(sfs_r8(&r), 0); /* it sticks, although a byte is left */
    struct sfs_writer w = sfs_writer(bytes, 5);
    sfs_w64(&w, 0);
    sfs_w8(&w, 9);
    CHECK(w.bad);
    CHECK_EQ(sfs_writer_len(&w), 0);
    CHECK_EQ(bytes[0], 1);
    CHECK_EQ(bytes[5], 6);
}

/* The test vectors of its authors. */
static void siphash_is_siphash(void)
{
    uint8_t bytes[16];
    for (uint8_t i = 0; i < sizeof bytes; i++)
        bytes[i] = i;
    uint64_t key[2] = {sfs_get64(bytes), sfs_get64(bytes + 8)};
    CHECK_EQ(sfs_siphash(key, bytes, 0), 0x726fdb47dd0e0e31);
    CHECK_EQ(sfs_siphash(key, bytes, 1), 0x74f839c593dc67fd);
    CHECK_EQ(sfs_siphash(key, bytes, 8), 0x93f5f5799a932462);
    CHECK_EQ(sfs_siphash(key, bytes, 15), 0xa129ca6149be45e5);
}

static void hashes_are_xxh3(void)
{
    /* Published test value of XXH3-64, and identities that must tell apart. */
    CHECK_EQ(sfs_hash("", 0), 0x2d06800538d394c2);
    uint8_t block[500];
    test_fill(block, sizeof block);
    uint64_t plain = sfs_hash_identity(block, sizeof block, 1, 2, 3);
    CHECK(plain != sfs_hash(block, sizeof block));
    CHECK(plain != sfs_hash_identity(block, sizeof block, 2, 2, 3));
    CHECK(plain != sfs_hash_identity(block, sizeof block, 1, 1, 3));
    CHECK(plain != sfs_hash_identity(block, sizeof block, 1, 2, 4));
    CHECK(plain != sfs_hash_identity(block, sizeof block - 1, 1, 2, 3));
    CHECK_EQ(plain, sfs_hash_identity(block, sizeof block, 1, 2, 3));
    block[499] ^= 1;
    CHECK(plain != sfs_hash_identity(block, sizeof block, 1, 2, 3));
}

static void uuids_are_made_and_read(void)
{
    struct sfs_env *env;
    struct sfs_uuid a, b, zero = {{0}};
    char text[SFS_UUID_TEXT];
    REQUIRE_OK(sfs_env_os_create(NULL, NULL, &env));
    sfs_uuid_make(env, &a);
    sfs_uuid_make(env, &b);
    CHECK(!sfs_uuid_equal(&a, &b));
    CHECK(sfs_uuid_is_zero(&zero) && !sfs_uuid_is_zero(&a));
    sfs_uuid_format(&a, text);
    CHECK_EQ(strlen(text), 36);
    CHECK_EQ(text[14], '4');
    CHECK(strchr("89ab", text[19]) != NULL);
    CHECK(sfs_uuid_parse(text, &b) && sfs_uuid_equal(&a, &b));
    CHECK(sfs_uuid_parse("00112233-4455-6677-8899-aAbBcCdDeEfF", &a));
    static const uint8_t want[16] = {0,    0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                     0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
    CHECK_MEM(a.bytes, want, 16);
    sfs_uuid_format(&a, text);
    CHECK_STR(text, "00112233-4455-6677-8899-aabbccddeeff");
    static const char *const bad[] = {
        "",
        "00112233-4455-6677-8899-aabbccddeef",
        "00112233-4455-6677-8899-aabbccddeefff",
        "001122334455-6677-8899-aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeefg",
        "0011223-34455-6677-8899-aabbccddeeff",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!sfs_uuid_parse(bad[i], &b));
    sfs_env_os_destroy(env);
}

enum { KEYS = 300 };

static void check_map(struct sfs_map *map, void **model, uint64_t stride)
{
    size_t count = 0, seen = 0, cursor = 0;
    uint64_t key;
    void *value;
    for (uint64_t i = 0; i < KEYS; i++) {
        CHECK(sfs_map_get(map, i * stride) == model[i]);
        count += model[i] != NULL;
    }
    CHECK_EQ(map->count, count);
    while (sfs_map_next(map, &cursor, &key, &value)) {
        CHECK(key % stride == 0 && key / stride < KEYS && model[key / stride] == value);
        seen++;
    }
    CHECK_EQ(seen, count);
}

/* Against a plain array, with keys that spread well and keys that collide. */
static void map_agrees_with_a_model(void)
{
    static const uint64_t strides[] = {1, 4096, UINT64_C(1) << 48, 0x9e3779b97f4a7c15u >> 8};
    static char values[8];
    for (size_t s = 0; s < sizeof strides / sizeof *strides; s++) {
        struct fault_env f;
        struct sfs_map map;
        void *model[KEYS] = {0};
        fault_env_init(&f);
        sfs_map_init(&map, &f.env);
        CHECK(!sfs_map_get(&map, 5) && !sfs_map_remove(&map, 5));
        for (int i = 0; i < 6000; i++) {
            uint64_t k = test_below(KEYS), key = k * strides[s];
            /* In long phases mostly growing, then mostly shrinking. */
            if (test_below(10) < (i / 1000 % 2 ? 3u : 7u)) {
                model[k] = &values[test_below(8)];
                CHECK_OK(sfs_map_put(&map, key, model[k]));
            } else {
                CHECK(sfs_map_remove(&map, key) == model[k]);
                model[k] = NULL;
            }
            if (i % 100 == 0)
                check_map(&map, model, strides[s]);
        }
        sfs_map_clear(&map);
        memset(model, 0, sizeof model);
        check_map(&map, model, strides[s]);
        sfs_map_deinit(&map);
        CHECK_EQ(f.alive, 0);
    }
}

static void map_survives_lack_of_memory(void)
{
    struct fault_env f;
    struct sfs_map map;
    static char value, other;
    fault_env_init(&f);
    sfs_map_init(&map, &f.env);
    f.left = 0;
    CHECK_EQ(sfs_map_put(&map, 1, &value), SCALEFS_E_NOMEM);
    f.left = 1;
    uint64_t put = 0;
    while (!sfs_map_put(&map, put, &value))
        put++;
    CHECK(put >= 8);
    CHECK_EQ(map.count, put);
    for (uint64_t k = 0; k < put; k++)
        CHECK(sfs_map_get(&map, k) == &value);
    CHECK(!sfs_map_get(&map, put));
    CHECK_OK(sfs_map_put(&map, 0, &other)); /* replacing needs no memory */
    CHECK(sfs_map_get(&map, 0) == &other);
    sfs_map_deinit(&map);
    CHECK_EQ(f.alive, 0);
}

static void vec_grows_and_keeps(void)
{
    struct fault_env f;
    uint32_t *items = NULL;
    size_t room = 0;
    fault_env_init(&f);
    for (uint32_t i = 0; i < 1000; i++) {
        REQUIRE_OK(sfs_vec_reserve(&f.env, &items, &room, i + 1, sizeof *items));
        items[i] = i * 3;
    }
    for (uint32_t i = 0; i < 1000; i++)
        CHECK_EQ(items[i], i * 3);
    uint32_t *before = items;
    size_t room_before = room;
    f.left = 0;
    CHECK_EQ(sfs_vec_reserve(&f.env, &items, &room, room + 1, sizeof *items), SCALEFS_E_NOMEM);
    f.left = -1;
    CHECK_EQ(sfs_vec_reserve(&f.env, &items, &room, SIZE_MAX / 2, sizeof *items), SCALEFS_E_NOMEM);
    CHECK_EQ(sfs_vec_reserve(&f.env, &items, &room, SIZE_MAX, 1), SCALEFS_E_NOMEM);
    CHECK(items == before && room == room_before);
    sfs_free(&f.env, items);
    CHECK_EQ(f.alive, 0);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(errors_have_names);
    RUN(numbers_are_little_endian);
    RUN(cursors_stop_at_their_end);
    RUN(hashes_are_xxh3);
    RUN(siphash_is_siphash);
    RUN(uuids_are_made_and_read);
    RUN(map_agrees_with_a_model);
    RUN(map_survives_lack_of_memory);
    RUN(vec_grows_and_keeps);
    return TEST_END();
}
