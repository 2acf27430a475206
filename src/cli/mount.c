/* mount, unmount: through the FUSE driver. */
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "control/client.h"
#include "drivers/fuse.h"
#include "drivers/mount_helper.h"
#include "drivers/place.h"

#define WAIT_SAY_S 5     /* then the user is told what is waited for */
#define WAIT_IN_USE_S 30 /* so long a server may take to let go of the mount point */

int sfs_cli_mount(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    struct scalefs_error_info info = {0};
    struct stat st;
    size_t last = args->count - 1;
    size_t skip = stat(args->words[0], &st) ? 1 : 0; /* a name is no further place to look at */
    struct scalefs_fuse_options options = {.pool = args->words[0],
                                           .disks = args->words + skip,
                                           .disk_count = last - skip,
                                           .mountpoint = args->words[last],
                                           .mount_options = NULL,
                                           .foreground = sfs_cli_flag(args, "foreground"),
                                           .read_only = sfs_cli_flag(args, "read-only"),
                                           .degraded = sfs_cli_flag(args, "degraded"),
                                           .other_host = sfs_cli_flag(args, "from-other-computer")};
    /* Several -o are one. */
    size_t room = 1;
    for (size_t i = 0; i < args->option_count; i++)
        if (!strcmp(args->options[i].name, "o"))
            room += strlen(args->options[i].value) + 1;
    char *words = calloc(1, room);
    if (!words)
        return sfs_cli_failed_with(cli, SCALEFS_E_NOMEM, "There is not enough memory.");
    for (size_t i = 0; i < args->option_count; i++)
        if (!strcmp(args->options[i].name, "o")) {
            if (words[0])
                strcat(words, ",");
            strcat(words, args->options[i].value);
        }
    options.mount_options = words[0] ? words : NULL;
    info.error = scalefs_fuse_mount(&options, &info);
    free(words);
    if (info.error)
        return sfs_cli_failed(cli, &info);
    if (cli->json) {
        struct sfs_json json;
        sfs_json_init(&json, NULL);
        sfs_json_object(&json, NULL);
        sfs_json_string(&json, options.foreground ? "unmounted" : "mounted", options.mountpoint);
        return sfs_cli_print_json(&json, SFS_CLI_DONE);
    }
    return SFS_CLI_DONE;
}

/* --- unmount --- */

struct waiting {
    const char *mountpoint;
    unsigned seconds;
};

static bool keep_waiting(void *context)
{
    struct waiting *w = context;
    char *still = NULL;
    w->seconds++;
    if (w->seconds == WAIT_SAY_S)
        fprintf(stderr,
                "scalefs: Waiting until the last changes are written and the disks are free…\n");
    if (w->seconds < WAIT_IN_USE_S)
        return true;
    sfs_drivers_place_find(w->mountpoint, &still);
    free(still);
    return !still;
}

static int in_use(const char *mountpoint, struct scalefs_error_info *info)
{
    return sfs_control_fail(
        info, SCALEFS_E_BUSY,
        "%s cannot be unmounted, since it is in use. Close the files and leave the folders "
        "below it (`fuser -vm %s` shows who is there), then try again.",
        mountpoint, mountpoint);
}

/* As umount(8) does it. What is not mounted is no error. */
static int unmount_in_kernel(const char *mountpoint, struct scalefs_error_info *info)
{
    int error = sfs_drivers_place_unmount(mountpoint, false);
    if (!error || error == EINVAL || error == ENOENT)
        return SCALEFS_OK;
    if (error == EBUSY)
        return in_use(mountpoint, info);
    return sfs_control_fail(info, error == EPERM || error == EACCES ? SCALEFS_E_PERM : SCALEFS_E_IO,
                            "%s cannot be unmounted: %s.", mountpoint, strerror(error));
}

static int take_away(void *context, struct scalefs_error_info *info)
{
    return unmount_in_kernel(((struct waiting *)context)->mountpoint, info);
}

/* A mount without a server that answers: killed, or another user's. */
static int unmount_alone(const char *path, bool *mounted, struct scalefs_error_info *info)
{
    char *mountpoint;
    if (sfs_drivers_place_find(path, &mountpoint))
        return SCALEFS_OK;
    *mounted = true;
    int error = unmount_in_kernel(mountpoint, info);
    free(mountpoint);
    return error;
}

int sfs_cli_unmount_pool(const char *pool, bool *mounted, struct scalefs_error_info *info)
{
    struct sfs_control_client *client;
    *mounted = false;
    int error = sfs_control_find(pool, &client, info);
    if (error == SCALEFS_E_NOENT || error == SCALEFS_E_ACCESS)
        return unmount_alone(pool, mounted, info);
    if (error)
        return error;
    const struct sfs_value *status = sfs_control_pool(client);
    struct waiting w = {.mountpoint = sfs_value_string(status, "mounted", "")};
    *mounted = true;
    /* The kernel says at once when the mount is in use. It is not asked about a suspended pool,
     * which it might wait for: that is left to the server. */
    bool suspended = !strcmp(sfs_value_string(status, "state", ""), "suspended");
    error = sfs_control_unmount(client, suspended ? NULL : take_away, keep_waiting, &w, info);
    if (error == SCALEFS_E_BUSY)
        in_use(w.mountpoint, info);
    sfs_control_disconnect(client);
    return error;
}

int sfs_cli_unmount(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    struct scalefs_error_info info = {0};
    bool mounted;
    info.error = sfs_cli_unmount_pool(args->words[0], &mounted, &info);
    if (info.error)
        return sfs_cli_failed(cli, &info);
    if (!mounted)
        return sfs_cli_failed_with(
            cli, SCALEFS_E_NOENT,
            "%s cannot be unmounted: no pool of that name is mounted, and no pool is mounted "
            "there. `scalefs list` shows what is.",
            args->words[0]);
    if (cli->json) {
        struct sfs_json json;
        sfs_json_init(&json, NULL);
        sfs_json_object(&json, NULL);
        sfs_json_string(&json, "unmounted", args->words[0]);
        return sfs_cli_print_json(&json, SFS_CLI_DONE);
    }
    return SFS_CLI_DONE;
}

bool sfs_cli_mount_helper(int argc, char **argv, int *status)
{
    if (!argc || !sfs_drivers_is_mount_helper(argv[0]))
        return false;
    *status = sfs_drivers_mount_helper(argc, argv);
    return true;
}
