/* Sizes in words, growing strings, JSON. */
#include "test.h"

#include "base/text.h"
#include "unit/fault_env.h"

#define KIB UINT64_C(1024)
#define GIB (KIB * KIB * KIB)
#define TIB (GIB * KIB)

static void sizes_are_read(void)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"0", 0},
        {"4096", 4096},
        {"7B", 7},
        {"1k", KIB},
        {"64 kib", 64 * KIB},
        {"8T", 8 * TIB},
        {"1.5GiB", GIB + GIB / 2},
        {"0.5G", GIB / 2},
        {"2TB", UINT64_C(2000000000000)},
        {"1.25kB", 1250},
        {"1.0009765625K", 1025},
        {"15E", 15 * TIB * KIB * KIB},
        {"15.99999999999999999999E", 18446744073709551615u},
        {"18446744073709551615", UINT64_MAX},
    };
    static const char *const bad[] = {
        "",    "K",    "-1",    "+1",    "1..5",
        "1.",  ".5",   "1X",    "1Ki",   "1iB",
        "16E", "1KBB", "1 K B", "1BB",   "18446744073709551616",
        " 1",  "0x10", "1e3",   "1TiBs",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        uint64_t bytes = 1;
        CHECK_OK(sfs_size_parse(good[i].text, &bytes));
        if (!CHECK_EQ(bytes, good[i].bytes))
            printf("#   %s\n", good[i].text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t bytes = 99;
        if (!CHECK_EQ(sfs_size_parse(bad[i], &bytes), SCALEFS_E_INVAL))
            printf("#   %s\n", bad[i]);
        CHECK_EQ(bytes, 99);
    }
}

static void sizes_are_written(void)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {KIB, "1 KiB"},
        {1536, "1.5 KiB"},
        {GIB - 1, "1023 MiB"},
        {GIB + GIB / 20, "1.04 GiB"}, /* a byte less than 1.05 */
        {GIB + GIB / 20 + 1, "1.05 GiB"},
        {UINT64_C(4000787030016), "3.63 TiB"},
        {UINT64_C(1000204886016), "931 GiB"},
        {10 * GIB + GIB / 4, "10.2 GiB"},
        {UINT64_MAX, "15.9 EiB"},
        {UINT64_C(1) << 60, "1 EiB"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[SFS_SIZE_TEXT];
        sfs_size_format(cases[i].bytes, text);
        CHECK_STR(text, cases[i].text);
    }
    for (int i = 0; i < 2000; i++) { /* never more than there is, and not much less */
        char text[SFS_SIZE_TEXT];
        uint64_t bytes = test_random() >> test_below(64), back = 0;
        sfs_size_format(bytes, text);
        CHECK_OK(sfs_size_parse(text, &back));
        CHECK(back <= bytes && bytes - back <= bytes / 50);
    }
}

static void text_grows(void)
{
    struct fault_env f;
    struct sfs_text t;
    fault_env_init(&f);
    sfs_text_init(&t, &f.env);
    CHECK_STR(sfs_text_chars(&t), "");
    for (int i = 0; i < 100; i++) {
        sfs_text_put(&t, "ab");
        sfs_text_printf(&t, "%d,", i % 10);
        sfs_text_put_bytes(&t, "xyz", 1);
    }
    CHECK_EQ(t.len, 500);
    CHECK_EQ(strlen(t.chars), 500);
    CHECK(!strncmp(t.chars + 495, "ab9,x", 6));
    CHECK(!t.bad);
    sfs_text_clear(&t);
    CHECK_STR(sfs_text_chars(&t), "");
    sfs_text_deinit(&t);
    CHECK_EQ(f.alive, 0);
}

static void make_document(struct sfs_json *j)
{
    sfs_json_object(j, NULL);
    sfs_json_string(j, "name", "tank");
    sfs_json_string(j, "none", NULL);
    sfs_json_u64(j, "most", UINT64_MAX);
    sfs_json_i64(j, "least", INT64_MIN);
    sfs_json_array(j, "disks");
    sfs_json_object(j, NULL);
    sfs_json_bool(j, "on", true);
    sfs_json_end(j);
    sfs_json_bool(j, NULL, false);
    sfs_json_end(j);
    sfs_json_array(j, "empty");
    sfs_json_end(j);
    sfs_json_object(j, "void");
    sfs_json_end(j);
    sfs_json_null(j, "action");
    sfs_json_end(j);
}

static void json_is_written(void)
{
    struct sfs_json j;
    const char *text = NULL;
    sfs_json_init(&j, NULL);
    make_document(&j);
    REQUIRE_OK(sfs_json_done(&j, &text));
    CHECK_STR(text, "{\n"
                    "  \"name\": \"tank\",\n"
                    "  \"none\": null,\n"
                    "  \"most\": 18446744073709551615,\n"
                    "  \"least\": -9223372036854775808,\n"
                    "  \"disks\": [\n"
                    "    {\n"
                    "      \"on\": true\n"
                    "    },\n"
                    "    false\n"
                    "  ],\n"
                    "  \"empty\": [],\n"
                    "  \"void\": {},\n"
                    "  \"action\": null\n"
                    "}\n");
    sfs_json_deinit(&j);
}

static void check_string(const char *value, size_t len, const char *want)
{
    struct sfs_json j;
    const char *text = NULL;
    sfs_json_init(&j, NULL);
    sfs_json_string_bytes(&j, NULL, value, len);
    CHECK_OK(sfs_json_done(&j, &text));
    CHECK_STR(text, want);
    sfs_json_deinit(&j);
}

static void json_strings_are_escaped(void)
{
    check_string("a\"b\\c\n\t\r\b\f/", 11, "\"a\\\"b\\\\c\\n\\t\\r\\b\\f/\"\n");
    check_string("\0\x1f\x7f", 3, "\"\\u0000\\u001f\\u007f\"\n");
    check_string("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9,
                 "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"\n");
    check_string("x\xff"
                 "y",
                 3, "\"x\xef\xbf\xbdy\"\n");
    check_string("\xc3", 1, "\"\xef\xbf\xbd\"\n");                                 /* cut short */
    check_string("\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"\n");                 /* overlong */
    check_string("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"\n"); /* surrogate */
    check_string("\xf4\x90\x80\x80", 4, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"\n");
}

static void json_times_are_utc(void)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } cases[] = {
        {1, "\"1970-01-01T00:00:01Z\"\n"},          {951782400, "\"2000-02-29T00:00:00Z\"\n"},
        {1735689599, "\"2024-12-31T23:59:59Z\"\n"}, {4107542400, "\"2100-03-01T00:00:00Z\"\n"},
        {-1, "\"1969-12-31T23:59:59Z\"\n"},         {0, "null\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sfs_json j;
        const char *text = NULL;
        sfs_json_init(&j, NULL);
        sfs_json_time(&j, NULL, cases[i].seconds * 1000000000);
        CHECK_OK(sfs_json_done(&j, &text));
        CHECK_STR(text, cases[i].text);
        sfs_json_deinit(&j);
    }
}

static void json_survives_lack_of_memory(void)
{
    struct fault_env f;
    fault_env_init(&f);
    long fails = 0;
    for (long allowed = 0;; allowed++) {
        struct sfs_json j;
        const char *text = NULL;
        f.left = allowed;
        sfs_json_init(&j, &f.env);
        make_document(&j);
        int err = sfs_json_done(&j, &text);
        sfs_json_deinit(&j);
        CHECK_EQ(f.alive, 0);
        if (!err)
            break;
        CHECK_EQ(err, SCALEFS_E_NOMEM);
        CHECK(!text);
        fails++;
    }
    CHECK(fails >= 3);
}

static void words_become_plain(void)
{
    static const struct {
        const char *words, *plain;
        size_t size;
    } cases[] = {
        {"", "", 8},
        {"C:\\d\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "C:\\d\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", 64},
        {"a\nb\033[2J\x7f", "a\\x0ab\\x1b[2J\\x7f", 64},
        {"\xc2\x9b\xc2\xa0", "\\xc2\\x9b\xc2\xa0", 64},           /* a control character of its own; none */
        {"\x9b\xff\xe2\x82", "\\x9b\\xff\\xe2\\x82", 64},           /* no UTF-8 */
        {"\xc0\x8a\xed\xa0\x80", "\\xc0\\x8a\\xed\\xa0\\x80", 64}, /* overlong; half of a pair */
        {"abcd", "abc", 4},
        {"abc\n", "abc", 7},
        {"abc\n", "abc\\x0a", 8},
        {"ab\xe2\x82\xac", "ab", 5}, /* no half of one */
        {"x", "", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char to[64];
        memset(to, 'X', sizeof to);
        sfs_text_plain(cases[i].words, to, cases[i].size);
        CHECK_STR(to, cases[i].plain);
    }
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(sizes_are_read);
    RUN(sizes_are_written);
    RUN(text_grows);
    RUN(words_become_plain);
    RUN(json_is_written);
    RUN(json_strings_are_escaped);
    RUN(json_times_are_utc);
    RUN(json_survives_lack_of_memory);
    return TEST_END();
}
