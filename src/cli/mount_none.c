/* mount, unmount where there is no driver. */
#include "cli/cli.h"

int sfs_cli_mount(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    (void)args;
    return sfs_cli_failed_with(
        cli, SCALEFS_E_NOTSUP,
        "A pool cannot be mounted: this scalefs was built without a driver for it.");
}

int sfs_cli_unmount(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    (void)args;
    return sfs_cli_failed_with(
        cli, SCALEFS_E_NOTSUP,
        "Nothing can be unmounted: this scalefs was built without a driver for mounting.");
}

int sfs_cli_unmount_pool(const char *pool, bool *mounted, struct scalefs_error_info *info)
{
    (void)pool, (void)info;
    *mounted = false;
    return SCALEFS_OK;
}

bool sfs_cli_mount_helper(int argc, char **argv, int *status)
{
    (void)argc, (void)argv, (void)status;
    return false;
}
