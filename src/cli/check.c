/* check: verify an unmounted pool completely, read-only. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct checking {
    bool json, bad;
    char **problems;
    size_t count;
};

static void on_problem(void *context, const char *text)
{
    struct checking *c = context;
    if (!c->json) {
        printf("%s\n", text);
        return;
    }
    char **problems = realloc(c->problems, (c->count + 1) * sizeof(*problems));
    if (problems)
        c->problems = problems;
    char *copy = problems ? strdup(text) : NULL;
    if (copy)
        c->problems[c->count++] = copy;
    else
        c->bad = true;
}

static int print_json(const struct checking *c, const struct scalefs_check_report *r, int status)
{
    struct sfs_json json;
    sfs_json_init(&json, NULL);
    sfs_json_object(&json, NULL);
    sfs_json_object(&json, "check");
    sfs_json_u64(&json, "problems", r->problems);
    sfs_json_u64(&json, "repairable", r->repairable);
    sfs_json_u64(&json, "files", r->files);
    sfs_json_u64(&json, "directories", r->directories);
    sfs_json_u64(&json, "extents", r->extents);
    sfs_json_u64(&json, "nodes", r->trees_nodes);
    sfs_json_u64(&json, "bytes", r->bytes);
    sfs_json_u64(&json, "live_bytes", r->live_bytes);
    sfs_json_array(&json, "messages");
    for (size_t i = 0; i < c->count; i++)
        sfs_json_string(&json, NULL, c->problems[i]);
    sfs_json_end(&json);
    sfs_json_end(&json);
    return sfs_cli_print_json(&json, status);
}

static int print_summary(const struct scalefs_check_report *r, int status)
{
    char bytes[SFS_SIZE_TEXT];
    sfs_size_format(r->bytes, bytes);
    printf("Checked %llu files, %llu directories, %llu extents, %llu nodes, %s.\n",
           (unsigned long long)r->files, (unsigned long long)r->directories,
           (unsigned long long)r->extents, (unsigned long long)r->trees_nodes, bytes);
    if (!r->problems)
        puts("No problems.");
    else
        printf("Problems: %llu. What is there suffices to repair %llu of them (`scalefs scrub`).\n",
               (unsigned long long)r->problems, (unsigned long long)r->repairable);
    return status;
}

int sfs_cli_check(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    struct scalefs_check_report report = {0};
    struct scalefs_error_info info = {0};
    struct checking c = {.json = cli->json};
    struct stat st;
    /* The first word may be a pool's name, which is no further place to look at. */
    size_t skip = stat(args->words[0], &st) ? 1 : 0;
    info.error = scalefs_pool_check(args->words[0], args->words + skip, args->count - skip,
                                    on_problem, &c, &report, &info);
    if (!info.error && c.bad)
        info.error = SCALEFS_E_NOMEM;
    int status = report.problems ? SFS_CLI_ATTENTION : SFS_CLI_DONE;
    if (info.error)
        status = sfs_cli_failed(cli, &info);
    else
        status = cli->json ? print_json(&c, &report, status) : print_summary(&report, status);
    for (size_t i = 0; i < c.count; i++)
        free(c.problems[i]);
    free(c.problems);
    return status;
}
