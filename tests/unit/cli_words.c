/* The command's pure parts: words of the command line, tables, progress, the status for people. */
#include "test.h"

#include "cli/cli.h"

static const struct sfs_cli_option options[] = {
    {"wait", NULL}, {"size", "SIZE"}, {"station", "NAME=DISKS"},
    {"o", "OPT"},   {"h", NULL},      {NULL, NULL}};

static bool parse(char *const *argv, struct sfs_cli_args *args, char *problem)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    return sfs_cli_args_parse(argc, argv, options, args, problem, 256);
}

#define WORDS(...) ((char *const *)(const char *const[]){__VA_ARGS__, NULL})

static void options_stand_anywhere(void)
{
    struct sfs_cli_args a;
    char problem[256];
    CHECK(parse(WORDS("--size", "4T", "tank", "--wait", "--station=a=1,2", "disk", "-o", "ro",
                      "-onoatime", "--size=5T", "--", "--wait", "-o"),
                &a, problem));
    CHECK_EQ(a.count, 4);
    CHECK_STR(a.words[0], "tank");
    CHECK_STR(a.words[1], "disk");
    CHECK_STR(a.words[2], "--wait");
    CHECK_STR(a.words[3], "-o");
    CHECK(sfs_cli_flag(&a, "wait"));
    CHECK(!sfs_cli_flag(&a, "h"));
    CHECK_STR(sfs_cli_value(&a, "size"), "5T");
    CHECK_STR(sfs_cli_value(&a, "station"), "a=1,2");
    CHECK_EQ(a.option_count, 6);
    CHECK_STR(a.options[3].value, "ro");
    CHECK_STR(a.options[4].value, "noatime");
    sfs_cli_args_free(&a);
    CHECK(parse(WORDS("--size", "--wait"), &a,
                problem)); /* a value is what follows, whatever it looks like */
    CHECK_STR(sfs_cli_value(&a, "size"), "--wait");
    CHECK(!sfs_cli_flag(&a, "wait"));
    sfs_cli_args_free(&a);
}

static void unknown_options_are_refused(void)
{
    static const char *const bad[][3] = {{"--what", NULL},   {"--wai", NULL},  {"--waits", NULL},
                                         {"--wait=1", NULL}, {"--size", NULL}, {"-x", NULL},
                                         {"-", NULL},        {"-hx", NULL},    {"--o", "ro", NULL},
                                         {"-wait", NULL},    {"--h", NULL}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct sfs_cli_args a;
        char problem[256] = "";
        CHECK(!parse((char *const *)bad[i], &a, problem));
        CHECK(strstr(problem, bad[i][0]));
        sfs_cli_args_free(&a);
    }
}

static void sizes_are_checked(void)
{
    struct sfs_cli_args a;
    char problem[256];
    uint64_t size = 7;
    CHECK(parse(WORDS("x"), &a, problem) &&
          sfs_cli_size_option(&a, &size, problem, sizeof(problem)));
    CHECK_EQ(size, 7);
    sfs_cli_args_free(&a);
    CHECK(parse(WORDS("--size", "1.5GiB"), &a, problem) &&
          sfs_cli_size_option(&a, &size, problem, sizeof(problem)));
    CHECK_EQ(size, 3ll << 29);
    sfs_cli_args_free(&a);
    CHECK(parse(WORDS("--size=big"), &a, problem) &&
          !sfs_cli_size_option(&a, &size, problem, sizeof(problem)));
    CHECK(strstr(problem, "big is no size"));
    sfs_cli_args_free(&a);
    CHECK(parse(WORDS("--size=0"), &a, problem) &&
          !sfs_cli_size_option(&a, &size, problem, sizeof(problem)));
    sfs_cli_args_free(&a);
}

static void disks_get_absolute_paths(void)
{
    static const char *const same[] = {"3", "0b6e3c9a-1111-4222-8333-444455556666", "/dev/sdb",
                                       "nbd://host/x", "zoned:/dev/sdc"};
    for (size_t i = 0; i < 5; i++) {
        char *word = sfs_cli_disk_word(same[i], false);
        CHECK_STR(word, same[i]);
        free(word);
    }
#ifndef _WIN32
    static const char *const relative[] = {"a.img", "./3", "sub/a.img", "a:b"};
    for (size_t i = 0; i < 4; i++) {
        char *word = sfs_cli_disk_word(relative[i], false);
        CHECK(word[0] == '/' && !strcmp(word + strlen(word) - strlen(relative[i]), relative[i]));
        free(word);
    }
    char *word = sfs_cli_disk_word("3", true);
    CHECK_EQ(word[0], '/');
    free(word);
#endif
}

/* What was printed, to be freed. */
static char *text_of(FILE *f)
{
    long len = ftell(f);
    char *text = calloc(1, (size_t)len + 1);
    rewind(f);
    CHECK_EQ(fread(text, 1, (size_t)len, f), len);
    fclose(f);
    return text;
}

static void tables_line_up(void)
{
    struct sfs_cli_table t;
    FILE *f = tmpfile();
    sfs_cli_table_init(&t, 3, 1u << 1);
    const char *const cells[] = {"A", "SIZE", "Z", "größe", "1", "end", "b", "12345", ""};
    for (size_t i = 0; i < 9; i++)
        sfs_cli_table_put(&t, "%s", cells[i]);
    sfs_cli_table_print(&t, f, 1);
    char *text = text_of(f);
    CHECK_STR(text, " A       SIZE  Z\n größe      1  end\n b      12345  \n");
    free(text);
}

static void durations_are_readable(void)
{
    static const struct {
        uint64_t seconds;
        const char *text;
    } cases[] = {{0, "0 s"},
                 {59, "59 s"},
                 {60, "1 min 0 s"},
                 {3599, "59 min 59 s"},
                 {3600, "1 h 0 min"},
                 {200000, "2 days"},
                 {UINT64_MAX, "213503982334601 days"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[SFS_CLI_DURATION];
        sfs_cli_duration(cases[i].seconds, text);
        CHECK_STR(text, cases[i].text);
    }
}

static struct sfs_document *progress_at(unsigned done, const char *state, unsigned rate, unsigned eta)
{
    struct sfs_document *d = NULL;
    char text[512];
    snprintf(text, sizeof(text),
             "{\"status\":{\"tasks\":[{\"kind\":\"scrub\",\"state\":\"%s\",\"reason\":\"no "
             "room\",\"bytes_done\":%u,\"bytes_total\":1048576,"
             "\"rate\":%u,\"eta_seconds\":%u}]}}",
             state, done, rate, eta);
    CHECK_OK(sfs_document_parse(text, strlen(text), &d));
    return d;
}

static struct sfs_document *progress(unsigned done, const char *state)
{
    return progress_at(done, state, 1024, 65);
}

/* Nothing is said of a time or a speed that is not known. */
static void progress_that_cannot_be_known(void)
{
    static const struct {
        unsigned rate, eta;
        const char *line;
    } cases[] = {{0, 0, "scrub: 50 % (512 KiB of 1 MiB)\n"},
                 {1024, 0, "scrub: 50 % (512 KiB of 1 MiB), 1 KiB/s\n"},
                 {0, 65, "scrub: 50 % (512 KiB of 1 MiB), 1 min 5 s left\n"}};
    for (unsigned i = 0; i < 3; i++) {
        struct sfs_cli_progress p = {0};
        FILE *f = tmpfile();
        struct sfs_document *d = progress_at(524288, "running", cases[i].rate, cases[i].eta);
        sfs_cli_progress_show(&p, sfs_document_root(d), f);
        sfs_document_free(d);
        char *text = text_of(f);
        CHECK_STR(text, cases[i].line);
        free(text);
    }
}

/* Elsewhere than on a terminal: a line for each 5 %, not for each answer. */
static void progress_in_plain_lines(void)
{
    struct sfs_cli_progress p = {0};
    FILE *f = tmpfile();
    for (unsigned done = 0; done <= 1048576; done += 1024) {
        struct sfs_document *d = progress(done, "running");
        sfs_cli_progress_show(&p, sfs_document_root(d), f);
        sfs_document_free(d);
    }
    struct sfs_document *d = progress(1048576, "blocked");
    sfs_cli_progress_show(&p, sfs_document_root(d), f);
    sfs_document_free(d);
    sfs_cli_progress_end(&p, f);
    char *text = text_of(f);
    unsigned lines = 0;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    CHECK_EQ(lines, 22);
    CHECK(strstr(text, "scrub: 50 % (512 KiB of 1 MiB), 1 KiB/s, 1 min 5 s left\n"));
    CHECK(strstr(text, "scrub: 100 %"));
    CHECK(strstr(text, ", blocked: no room\n"));
    CHECK(!strchr(text, '\r') && !strchr(text, '\033'));
    free(text);
}

static void progress_on_a_terminal(void)
{
    struct sfs_cli_progress p = {.terminal = true};
    FILE *f = tmpfile();
    for (unsigned done = 0; done <= 1048576; done += 262144) {
        struct sfs_document *d = progress(done, "running");
        sfs_cli_progress_show(&p, sfs_document_root(d), f);
        sfs_document_free(d);
    }
    sfs_cli_progress_end(&p, f);
    char *text = text_of(f);
    CHECK(strstr(text, "[##############..............] 50.0 %"));
    CHECK(strstr(text, "[############################] 100.0 %"));
    CHECK(!strchr(text, '\n'));
    CHECK_STR(text + strlen(text) - 4, "\r\033[K");
    free(text);
    struct sfs_cli_progress quiet = {.quiet = true};
    struct sfs_document *d = progress(5, "running");
    f = tmpfile();
    sfs_cli_progress_show(&quiet, sfs_document_root(d), f);
    sfs_cli_progress_end(&quiet, f);
    CHECK_EQ(ftell(f), 0);
    fclose(f);
    sfs_document_free(d);
}

static const char answer[] =
    "{\"status\":{\"pool\":{\"name\":\"tank\",\"uuid\":\"u-1\",\"state\":\"%s\",\"mounted\":\"/mnt/"
    "tank\",\"action\":%s},"
    "\"config\":{\"failover\":1,\"optimize\":50,\"verify\":\"parity\"},"
    "\"capacity\":{\"raw\":3298534883328,\"usable\":2199023255552,\"used\":549755813888,\"free\":"
    "1649267441664},"
    "\"disks\":[{\"id\":1,\"uuid\":\"d-1\",\"path\":\"/dev/"
    "sdb\",\"station\":\"left\",\"role\":\"data\",\"size\":1099511627776,\"used\":0,"
    "\"state\":\"online\",\"errors\":{\"read\":1,\"write\":2,\"checksum\":3}},"
    "{\"id\":2,\"uuid\":\"d-2\",\"path\":null,\"station\":null,\"role\":\"data\",\"size\":"
    "1099511627776,\"used\":0,"
    "\"state\":\"absent\",\"errors\":{\"read\":0,\"write\":0,\"checksum\":0}}],"
    "\"tasks\":[{\"id\":7,\"kind\":\"rebuild\",\"state\":\"blocked\",\"reason\":\"no disk is "
    "free\",\"bytes_done\":512,\"bytes_total\":1024,"
    "\"rate\":0,\"eta_seconds\":0,\"disk\":2}],\"repairs\":{\"extents\":5,\"lost_extents\":0}},"
    "\"more\":{\"failures_left\":1,\"compression\":\"zstd\",\"zstd_level\":3,\"record_bytes\":"
    "131072,\"read_only\":false}}";

static struct sfs_document *status(const char *state, const char *action)
{
    struct sfs_document *d = NULL;
    char text[4096];
    snprintf(text, sizeof(text), answer, state, action);
    CHECK_OK(sfs_document_parse(text, strlen(text), &d));
    return d;
}

static void status_for_people(void)
{
    static const char *const wanted[] = {
        "pool       tank  (u-1)\n",
        "state      degraded: 1 disk may fail with nothing lost\n",
        "action     Buy a disk.\n",
        "mounted    /mnt/tank\n",
        "failover 1, optimize 50 (balanced), verify parity, compression zstd:3",
        "(25 %)",
        "2 TiB usable of 3 TiB raw",
        "/dev/sdb",
        "1/2/3",
        "absent",
        "rebuild",
        "50.0 %",
        "no disk is free",
        "5 extents repaired, 0 lost"};
    FILE *f = tmpfile();
    struct sfs_document *d = status("degraded", "\"Buy a disk.\"");
    sfs_cli_show_status(sfs_document_root(d), f);
    char *text = text_of(f);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
        if (!CHECK(strstr(text, wanted[i])))
            printf("# missing: %s\n", wanted[i]);
    free(text);
    sfs_document_free(d);
}

/* Files of other people, stations of disks that came from elsewhere. */
static void names_drive_no_terminal(void)
{
    static const char bad[] = "{\"status\":{\"pool\":{\"name\":\"t\\u0008\"},\"disks\":[{\"id\":1,\"station\":\"\\u001b[31m\"}],"
                              "\"losses\":[{\"station\":\"a\\u000ab\",\"loss\":\"suspended\"}],"
                              "\"lost_files\":{\"count\":1,\"files\":[{\"path\":\"/\\u001b]0;x\\u0007\\u009b2J\\u000aNo problems.\",\"bytes\":1}]}}}";
    static const char *const wanted[] = {"pool       t\\x08  (", "  \\x1b[31m", "station a\\x0ab, if",
                                         "  /\\x1b]0;x\\x07\\xc2\\x9b2J\\x0aNo problems.  (1 B)\n"};
    struct sfs_document *d = NULL;
    FILE *f = tmpfile();
    CHECK_OK(sfs_document_parse(bad, strlen(bad), &d));
    sfs_cli_show_status(sfs_document_root(d), f);
    char *text = text_of(f);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
        if (!CHECK(strstr(text, wanted[i])))
            printf("# missing: %s\n", wanted[i]);
    free(text);
    sfs_document_free(d);
}

static void attention(void)
{
    static const struct {
        const char *state, *action;
        int exit;
    } cases[] = {{"healthy", "null", 0},
                 {"healthy", "\"Do.\"", 3},
                 {"degraded", "null", 3},
                 {"suspended", "null", 3},
                 {"damaged", "null", 3}};
    for (size_t i = 0; i < 5; i++) {
        struct sfs_document *d = status(cases[i].state, cases[i].action);
        CHECK_EQ(sfs_cli_attention(sfs_document_root(d)), cases[i].exit);
        sfs_document_free(d);
    }
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(options_stand_anywhere);
    RUN(unknown_options_are_refused);
    RUN(sizes_are_checked);
    RUN(disks_get_absolute_paths);
    RUN(tables_line_up);
    RUN(durations_are_readable);
    RUN(progress_that_cannot_be_known);
    RUN(progress_in_plain_lines);
    RUN(progress_on_a_terminal);
    RUN(status_for_people);
    RUN(names_drive_no_terminal);
    RUN(attention);
    return TEST_END();
}
