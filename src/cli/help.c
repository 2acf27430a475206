/* help, version. */
#include "cli/cli.h"

#include <string.h>

static void put_verb(struct sfs_json *json, const struct sfs_cli_verb *v)
{
    sfs_json_object(json, NULL);
    sfs_json_string(json, "verb", v->name);
    sfs_json_string(json, "usage", v->usage);
    sfs_json_string(json, "summary", v->summary);
    sfs_json_string(json, "help", v->help);
    sfs_json_string(json, "example", v->example);
    sfs_json_end(json);
}

static int print_as_json(const struct sfs_cli_verb *only)
{
    struct sfs_json json;
    sfs_json_init(&json, NULL);
    sfs_json_object(&json, NULL);
    sfs_json_array(&json, "verbs");
    for (const struct sfs_cli_verb *v = sfs_cli_verbs(); v->name; v++)
        if (!only || v == only)
            put_verb(&json, v);
    sfs_json_end(&json);
    return sfs_cli_print_json(&json, SFS_CLI_DONE);
}

static int print_verbs(void)
{
    struct sfs_cli_table t;
    puts("usage: scalefs VERB …\n");
    sfs_cli_table_init(&t, 2, 0);
    for (const struct sfs_cli_verb *v = sfs_cli_verbs(); v->name; v++) {
        sfs_cli_table_put(&t, "%s", v->name);
        sfs_cli_table_put(&t, "%s", v->summary);
    }
    sfs_cli_table_print(&t, stdout, 2);
    puts("\nPOOL is a pool's name or UUID, or the path of one of its disks. `scalefs help VERB` "
         "tells more.\n"
         "Exit status: 0 done, 1 failed or refused, 2 wrong usage, 3 done, but the pool needs "
         "attention.");
    return SFS_CLI_DONE;
}

int sfs_cli_help(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    const struct sfs_cli_verb *verb = args->count ? sfs_cli_find_verb(args->words[0]) : NULL;
    if (!args->count)
        return cli->json ? print_as_json(NULL) : print_verbs();
    if (!verb && sfs_cli_not_yet(cli, args->words[0]))
        return SFS_CLI_FAILED;
    if (!verb)
        return sfs_cli_usage(cli, "There is no verb \"%s\".", args->words[0]);
    if (cli->json)
        return print_as_json(verb);
    printf("%s\n\n%s: %s\n", verb->usage, verb->name, verb->summary);
    if (verb->help[0])
        printf("\n%s", verb->help);
    printf("\nFor example:\n%s", verb->example);
    return SFS_CLI_DONE;
}

int sfs_cli_version(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    (void)args;
    if (!cli->json) {
        printf("scalefs %s, on-disk format %u\n", scalefs_version(), scalefs_format_version());
        return SFS_CLI_DONE;
    }
    struct sfs_json json;
    sfs_json_init(&json, NULL);
    sfs_json_object(&json, NULL);
    sfs_json_string(&json, "version", scalefs_version());
    sfs_json_u64(&json, "format", scalefs_format_version());
    return sfs_cli_print_json(&json, SFS_CLI_DONE);
}
