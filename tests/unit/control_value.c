/* The JSON parser: what it takes, what it refuses, and that noise never harms it. */
#include "test.h"

#include "control/value.h"

static int parse(const char *text, struct sfs_document **d)
{
    return sfs_document_parse(text, strlen(text), d);
}

static bool refused(const char *text)
{
    struct sfs_document *d;
    int error = parse(text, &d);
    sfs_document_free(d);
    return error == SCALEFS_E_INVAL && !d;
}

/* The document written again, to be freed. */
static char *written(const struct sfs_document *d)
{
    struct sfs_json json;
    const char *text;
    char *copy = NULL;
    sfs_json_init(&json, NULL);
    sfs_value_put(&json, NULL, sfs_document_root(d));
    if (!sfs_json_done(&json, &text))
        copy = strdup(text);
    sfs_json_deinit(&json);
    return copy;
}

static const char sample[] =
    " {\"scalefs\": 1, \"verb\":\"set\", "
    "\"list\":[{\"key\":\"a\",\"value\":\"\\u00e4\\ud83d\\ude00\\n\\\"\\\\\\/\"},[],{}],"
    "\"big\":18446744073709551615,\"neg\":-7,\"real\":1.5e-3,\"yes\":true,\"no\":false,\"none\":"
    "null}\r\n\t ";

static void reads_values(void)
{
    struct sfs_document *d;
    REQUIRE_OK(parse(sample, &d));
    const struct sfs_value *v = sfs_document_root(d);
    CHECK_EQ(v->count, 9);
    CHECK_STR(sfs_value_string(v, "verb", ""), "set");
    CHECK_EQ(sfs_value_u64(v, "scalefs", 0), 1);
    CHECK(sfs_value_u64(v, "big", 0) == UINT64_MAX);
    CHECK_EQ(sfs_value_u64(v, "neg", 99), 99);
    CHECK_EQ(sfs_value_u64(v, "real", 99), 99);
    CHECK_EQ(sfs_value_u64(v, "verb", 99), 99);
    CHECK(sfs_value_bool(v, "yes", false));
    CHECK(!sfs_value_bool(v, "no", true));
    CHECK(sfs_value_bool(v, "none", true));
    CHECK(!sfs_value_get(v, "nothing"));
    CHECK(!sfs_value_get(NULL, "x"));
    const struct sfs_value *list = sfs_value_get(v, "list");
    CHECK_EQ(list->count, 3);
    CHECK_STR(sfs_value_string(list->first, "value", ""), "\xc3\xa4\xf0\x9f\x98\x80\n\"\\/");
    CHECK_EQ(list->first->next->type, SFS_VALUE_ARRAY);
    sfs_document_free(d);
    REQUIRE_OK(parse("{\"a\":1,\"a\":2}", &d));
    CHECK_EQ(sfs_value_u64(sfs_document_root(d), "a", 0), 1);
    sfs_document_free(d);
}

static void refuses_what_is_not_json(void)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "{",
                                      "}",
                                      "[",
                                      "[1",
                                      "[1,",
                                      "[1,]",
                                      "[,1]",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{\"a\":1,}",
                                      "{a:1}",
                                      "{1:1}",
                                      "nul",
                                      "nulll",
                                      "True",
                                      "01",
                                      "-",
                                      "-a",
                                      "+1",
                                      "1.",
                                      ".5",
                                      "1e",
                                      "1e+",
                                      "0x1",
                                      "1 2",
                                      "{} {}",
                                      "\"",
                                      "\"\\",
                                      "\"\\x\"",
                                      "\"\\u12\"",
                                      "\"\\u12g4\"",
                                      "\"\\u0000\"",
                                      "\"\\ud800\"",
                                      "\"\\ud800\\u0041\"",
                                      "\"\\udc00\"",
                                      "\"a\nb\"",
                                      "\"\x01\"",
                                      "\"\xff\"",
                                      "\"\xc0\x80\"",
                                      "\"\xc3\"",
                                      "\"\xed\xa0\x80\"",
                                      "\"\xf4\x90\x80\x80\"",
                                      "\"\xe0\x80\x80\"",
                                      "'a'",
                                      "[1]x",
                                      "/**/1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (!CHECK(refused(bad[i])))
            printf("# taken: %s\n", bad[i]);
    struct sfs_document *d; /* a NUL in the middle is no end */
    CHECK_EQ(sfs_document_parse("1\0", 2, &d), SCALEFS_E_INVAL);
    CHECK_EQ(sfs_document_parse("\"a\0b\"", 5, &d), SCALEFS_E_INVAL);
}

static void every_beginning_is_refused(void)
{
    size_t len = strlen(sample);
    while (sample[len - 1] != '}')
        len--;
    for (size_t i = 0; i < len; i++) {
        /* Of exactly that size, so that a checker of memory sees a step beyond. */
        char *part = malloc(i ? i : 1);
        struct sfs_document *d;
        memcpy(part, sample, i);
        CHECK_EQ(sfs_document_parse(part, i, &d), SCALEFS_E_INVAL);
        free(part);
    }
}

static void bounds_hold(void)
{
    struct sfs_document *d;
    char deep[2 * (SFS_VALUE_DEPTH + 1) + 1];
    memset(deep, '[', SFS_VALUE_DEPTH);
    memset(deep + SFS_VALUE_DEPTH, ']', SFS_VALUE_DEPTH);
    deep[2 * SFS_VALUE_DEPTH] = '\0';
    CHECK_OK(parse(deep, &d));
    sfs_document_free(d);
    memset(deep, '[', SFS_VALUE_DEPTH + 1);
    memset(deep + SFS_VALUE_DEPTH + 1, ']', SFS_VALUE_DEPTH + 1);
    deep[2 * SFS_VALUE_DEPTH + 2] = '\0';
    CHECK(refused(deep));

    size_t values = SFS_VALUE_COUNT; /* the array is one of them */
    char *wide = malloc(2 * values + 2);
    for (size_t i = 0; i < values; i++)
        memcpy(wide + 1 + 2 * i, "0,", 2);
    wide[0] = '[';
    wide[2 * values - 2] = ']';
    CHECK_OK(sfs_document_parse(wide, 2 * values - 1, &d));
    sfs_document_free(d);
    wide[2 * values - 2] = ',';
    wide[2 * values] = ']';
    CHECK_EQ(sfs_document_parse(wide, 2 * values + 1, &d), SCALEFS_E_INVAL);
    free(wide);
}

/* Whatever is taken can be written, and what was written reads the same. */
static void noise_is_harmless(void)
{
    static const char alphabet[] = "{}[]\",:\\u0123456789eE+-.truefalsn d8\x80\xc3\xa4\x01";
    unsigned taken = 0;
    for (int round = 0; round < 40000; round++) {
        char text[sizeof(sample)];
        size_t len = sizeof(sample) - 1;
        memcpy(text, sample, len);
        if (round % 4 == 0) {
            len = test_below(40);
            for (size_t i = 0; i < len; i++)
                text[i] =
                    round % 8 ? alphabet[test_below(sizeof(alphabet) - 1)] : (char)test_random();
        } else {
            for (uint64_t n = test_below(3) + 1; n > 0; n--)
                text[test_below(len)] =
                    round % 2 ? alphabet[test_below(sizeof(alphabet) - 1)] : (char)test_random();
        }
        struct sfs_document *d, *again;
        if (sfs_document_parse(text, len, &d))
            continue;
        taken++;
        char *first = written(d);
        REQUIRE(first);
        REQUIRE_OK(parse(first, &again));
        char *second = written(again);
        CHECK_STR(first, second);
        free(first);
        free(second);
        sfs_document_free(again);
        sfs_document_free(d);
    }
    CHECK(taken > 100);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(reads_values);
    RUN(refuses_what_is_not_json);
    RUN(every_beginning_is_refused);
    RUN(bounds_hold);
    RUN(noise_is_harmless);
    return TEST_END();
}
