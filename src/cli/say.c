/* Results and refusals, for people and as JSON. */
#include "cli/cli.h"

#include <stdarg.h>
#include <string.h>

#include "control/message.h"

/* The error document on standard output. */
static void print_error_json(int error, const char *text)
{
    struct sfs_json json;
    sfs_json_init(&json, NULL);
    sfs_json_object(&json, NULL);
    sfs_message_put_error(&json, error, text);
    sfs_cli_print_json(&json, 0);
}

int sfs_cli_failed(const struct sfs_cli *cli, const struct scalefs_error_info *info)
{
    const char *text = info->text[0] ? info->text : scalefs_error_text(info->error);
    fflush(stdout);
    fprintf(stderr, "scalefs: %s\n", text);
    if (cli->json)
        print_error_json(info->error, text);
    return SFS_CLI_FAILED;
}

int sfs_cli_failed_with(const struct sfs_cli *cli, int error, const char *format, ...)
{
    struct scalefs_error_info info = {.error = error};
    va_list args;
    va_start(args, format);
    vsnprintf(info.text, sizeof(info.text), format, args);
    va_end(args);
    return sfs_cli_failed(cli, &info);
}

/* "usage: " before the first line, blanks before the others. */
static void print_usage(const char *usage)
{
    const char *before = "usage: ";
    while (*usage) {
        size_t len = strcspn(usage, "\n");
        fprintf(stderr, "%s%.*s\n", before, (int)len, usage);
        before = "       ";
        usage += len + (usage[len] == '\n');
    }
}

int sfs_cli_usage(const struct sfs_cli *cli, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fflush(stdout);
    fprintf(stderr, "scalefs: %s\n", text);
    print_usage(cli->verb ? cli->verb->usage : "scalefs VERB …   (`scalefs help` lists the verbs)");
    if (cli->json)
        print_error_json(SCALEFS_E_INVAL, text);
    return SFS_CLI_USAGE;
}

int sfs_cli_print_json(struct sfs_json *json, int status)
{
    const char *text;
    sfs_json_end(json);
    int error = sfs_json_done(json, &text);
    if (!error)
        fputs(text, stdout);
    else
        fprintf(stderr, "scalefs: %s\n", scalefs_error_text(error));
    sfs_json_deinit(json);
    return error ? SFS_CLI_FAILED : status;
}
