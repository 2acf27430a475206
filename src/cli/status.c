/* status: what a pool is, has and does. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/client.h"

/* Of one pool. The caller frees *answer. */
static int ask_status(struct sfs_cli *cli, const char *pool, struct sfs_document **answer)
{
    struct sfs_cli_ask how = {.pool = pool, .read_only = true};
    struct sfs_json request;
    sfs_cli_request(&request, "status");
    return sfs_cli_ask(cli, &how, &request, answer);
}

static int status_of(struct sfs_cli *cli, const char *pool)
{
    struct sfs_document *answer;
    int status = ask_status(cli, pool, &answer);
    if (status)
        return status;
    const struct sfs_value *root = sfs_document_root(answer),
                           *contract = sfs_value_get(root, "status");
    status = sfs_cli_attention(root);
    if (!contract) {
        status = sfs_cli_failed_with(cli, SCALEFS_E_PROTOCOL, "The answer holds no status.");
    } else if (cli->json) {
        struct sfs_json json;
        const char *text;
        sfs_json_init(&json, NULL);
        sfs_value_put(&json, NULL, contract);
        if (sfs_json_done(&json, &text))
            status = sfs_cli_failed_with(cli, SCALEFS_E_NOMEM, "There is not enough memory.");
        else
            fputs(text, stdout);
        sfs_json_deinit(&json);
    } else {
        sfs_cli_show_status(root, stdout);
    }
    sfs_document_free(answer);
    return status;
}

/* --- without a pool: of all of them --- */

struct uuids {
    char (*texts)[37];
    size_t count;
    bool bad;
};

static void add_uuid(struct uuids *u, const char *uuid)
{
    for (size_t i = 0; i < u->count; i++)
        if (!strcmp(u->texts[i], uuid))
            return;
    char(*texts)[37] = realloc(u->texts, (u->count + 1) * sizeof(*texts));
    if (!texts) {
        u->bad = true;
        return;
    }
    u->texts = texts;
    snprintf(u->texts[u->count++], 37, "%s", uuid);
}

static void on_mounted(void *context, const struct sfs_value *status)
{
    add_uuid(context, sfs_value_string(sfs_value_get(status, "pool"), "uuid", ""));
}

static void on_found(void *context, const struct scalefs_found_pool *found)
{
    add_uuid(context, found->uuid);
}

/* One document of all of them. A pool that cannot be asked is told of on standard error, and left out. */
static int print_all(struct sfs_cli *cli, const struct uuids *u)
{
    struct sfs_cli one = *cli;
    struct sfs_json json;
    int status = SFS_CLI_DONE;
    one.json = false; /* what it refuses is no document of its own */
    sfs_json_init(&json, NULL);
    sfs_json_object(&json, NULL);
    sfs_json_array(&json, "pools");
    for (size_t i = 0; i < u->count; i++) {
        struct sfs_document *answer;
        int asked = ask_status(&one, u->texts[i], &answer);
        const struct sfs_value *root = asked ? NULL : sfs_document_root(answer), *contract = sfs_value_get(root, "status");
        if (contract) {
            sfs_value_put(&json, NULL, contract);
            asked = sfs_cli_attention(root);
        }
        if (asked == SFS_CLI_FAILED || status == SFS_CLI_DONE)
            status = asked;
        if (root)
            sfs_document_free(answer);
    }
    sfs_json_end(&json);
    return sfs_cli_print_json(&json, status);
}

static int status_of_all(struct sfs_cli *cli)
{
    struct uuids u = {0};
    struct scalefs_error_info info = {0};
    int status = SFS_CLI_DONE;
    sfs_control_each(on_mounted, &u);
    info.error = scalefs_pools_find(NULL, 0, on_found, &u, &info);
    if (!info.error && u.bad)
        info.error = SCALEFS_E_NOMEM;
    if (info.error)
        status = sfs_cli_failed(cli, &info);
    else if (cli->json)
        status = print_all(cli, &u);
    else if (!u.count)
        puts("No pool can be seen. Folders with file-backed disks are named in SCALEFS_PATH.");
    for (size_t i = 0; !info.error && !cli->json && i < u.count; i++) {
        if (i)
            putchar('\n');
        int one = status_of(cli, u.texts[i]);
        if (one == SFS_CLI_FAILED || status == SFS_CLI_DONE)
            status = one;
    }
    free(u.texts);
    return status;
}

static void pause_second(void)
{
    struct timespec second = {.tv_sec = 1};
    nanosleep(&second, NULL); /* a signal ends it sooner, which is meant */
}

int sfs_cli_status(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    bool watch = sfs_cli_flag(args, "watch");
    if (watch && cli->json)
        return sfs_cli_usage(cli,
                             "--watch shows a status again and again; --json prints one document.");
    for (;;) {
        if (watch && cli->terminal)
            fputs("\033[H\033[2J", stdout);
        int status = args->count ? status_of(cli, args->words[0]) : status_of_all(cli);
        if (!watch || status == SFS_CLI_FAILED)
            return status;
        fflush(stdout);
        pause_second();
        if (sfs_cli_interrupted())
            return status;
        if (!cli->terminal)
            putchar('\n');
    }
}
