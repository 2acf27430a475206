/* export, import: a pool goes to another computer. */
#include "cli/cli.h"

#include <string.h>

#include "control/client.h"

static int open_pool(const struct scalefs_open_options *options, const char *name,
                     struct scalefs_pool **pool, char real_name[64], char uuid[37],
                     struct scalefs_error_info *info)
{
    struct scalefs_status *status;
    int error = scalefs_pool_open(options, name, NULL, 0, pool, info);
    if (error)
        return error;
    real_name[0] = uuid[0] = '\0';
    if (!scalefs_pool_status(*pool, &status)) {
        snprintf(real_name, 64, "%s", status->name);
        snprintf(uuid, 37, "%s", status->uuid);
        scalefs_status_free(status);
    }
    return SCALEFS_OK;
}

static int say_moved(const struct sfs_cli *cli, const char *key, const char *name, const char *uuid,
                     const char *sentence)
{
    if (!cli->json) {
        printf("The pool %s is %s\n", name, sentence);
        return SFS_CLI_DONE;
    }
    struct sfs_json json;
    sfs_json_init(&json, NULL);
    sfs_json_object(&json, NULL);
    sfs_json_object(&json, "pool");
    sfs_json_string(&json, "name", name);
    sfs_json_string(&json, "uuid", uuid);
    sfs_json_bool(&json, key, true);
    sfs_json_end(&json);
    return sfs_cli_print_json(&json, SFS_CLI_DONE);
}

int sfs_cli_export(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    struct scalefs_open_options options = {.struct_bytes = sizeof(options)};
    struct scalefs_error_info info = {0};
    struct scalefs_pool *pool;
    char name[64], uuid[37];
    bool mounted;
    if ((info.error = sfs_cli_unmount_pool(args->words[0], &mounted, &info)))
        return sfs_cli_failed(cli, &info);
    if ((info.error = open_pool(&options, args->words[0], &pool, name, uuid, &info)))
        return sfs_cli_failed(cli, &info);
    int error = scalefs_pool_close(pool, true);
    if (error)
        return sfs_cli_failed_with(cli, error, "The pool %s was closed, but not exported: %s.",
                                   name, scalefs_error_text(error));
    return say_moved(cli, "exported", name, uuid,
                     "exported: another computer may use its disks without asking.");
}

int sfs_cli_import(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    struct scalefs_open_options options = {.struct_bytes = sizeof(options),
                                           .other_host = sfs_cli_flag(args, "from-other-computer"),
                                           .degraded = sfs_cli_flag(args, "degraded"),
                                           .keep_disk = sfs_cli_value(args, "keep")};
    struct scalefs_error_info info = {0};
    struct sfs_control_client *client;
    struct scalefs_pool *pool;
    char name[64], uuid[37];
    if (!sfs_control_find(args->words[0], &client, &info)) {
        int status = sfs_cli_failed_with(
            cli, SCALEFS_E_BUSY,
            "The pool %s is mounted at %s already, so there is nothing to import.", args->words[0],
            sfs_value_string(sfs_control_pool(client), "mounted", "?"));
        sfs_control_disconnect(client);
        return status;
    }
    info.text[0] = '\0';
    if ((info.error = open_pool(&options, args->words[0], &pool, name, uuid, &info)))
        return sfs_cli_failed(cli, &info);
    int error = scalefs_pool_close(pool, false);
    if (error)
        return sfs_cli_failed_with(cli, error, "The pool %s could not be closed in order: %s.",
                                   name, scalefs_error_text(error));
    return say_moved(cli, "imported", name, uuid, "this computer's now. To use it, mount it.");
}
