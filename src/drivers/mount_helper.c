/* The mount helpers: see mount_helper.h. */
#include "drivers/mount_helper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control/client.h"
#include "drivers/fuse.h"
#include "drivers/place.h"

enum { EXIT_USAGE = 1, EXIT_MOUNT_FAILED = 32, UNMOUNT_PATIENCE_S = 600 };

static const char *base_name(const char *program)
{
    const char *slash = strrchr(program, '/');
    return slash ? slash + 1 : program;
}

static bool is_unmount(const char *name)
{
    return !strcmp(name, "umount.scalefs") || !strcmp(name, "umount.fuse.scalefs");
}

bool sfs_drivers_is_mount_helper(const char *program)
{
    const char *name = base_name(program);
    return !strcmp(name, "mount.scalefs") || !strcmp(name, "mount.fuse.scalefs") || is_unmount(name);
}

struct leaving {
    const char *directory;
    bool detach, served;
    int code; /* of umount(2) */
    unsigned seconds;
};

static bool keep_waiting(void *context)
{
    struct leaving *l = context;
    return ++l->seconds < UNMOUNT_PATIENCE_S;
}

static int take_away(void *context, struct scalefs_error_info *info)
{
    struct leaving *l = context;
    l->code = sfs_drivers_place_unmount(l->directory, l->detach);
    if (l->code == EINVAL && l->served) /* the server was on its way already */
        l->code = 0;
    return l->code ? sfs_control_fail(info, SCALEFS_E_IO, "%s: %s", l->directory, strerror(l->code)) : SCALEFS_OK;
}

/* Ends when the pool is closed, since its disks may be taken away then; and with an error when its last changes could not be written. */
static int unmount_helper(int argc, char **argv, const char *program)
{
    struct leaving l = {0};
    int letter, error;
    while ((letter = getopt(argc, argv, "flnrvcdhN:t:O:")) != -1)
        l.detach |= letter == 'l';
    if (argc - optind != 1) {
        fprintf(stderr, "usage: %s DIRECTORY [-l]\n", program);
        return EXIT_USAGE;
    }
    l.directory = argv[optind];
    struct sfs_control_client *client = NULL;
    struct scalefs_error_info info = {0};
    (void)sfs_control_find(l.directory, &client, &info); /* without a server there is nobody to wait for */
    l.served = client != NULL;
    if (client && !l.detach)
        error = sfs_control_unmount(client, take_away, keep_waiting, &l, &info);
    else
        error = take_away(&l, &info);
    if (error)
        fprintf(stderr, "%s: %s\n", program, info.text);
    if (client)
        sfs_control_disconnect(client);
    return error ? EXIT_MOUNT_FAILED : 0;
}

int sfs_drivers_mount_helper(int argc, char **argv)
{
    struct scalefs_fuse_options options = {0};
    struct scalefs_error_info info = {0};
    bool fake = false;
    const char *program = base_name(argv[0]);
    if (is_unmount(program))
        return unmount_helper(argc, argv, program);
    int letter;
    while ((letter = getopt(argc, argv, "sfnvN:t:o:")) != -1) {
        switch (letter) {
        case 'o':
            options.mount_options = optarg;
            break;
        case 'f': /* everything but the mounting */
            fake = true;
            break;
        case 's': /* sloppy */
        case 'n': /* no mtab */
        case 'v':
        case 'N':
        case 't':
            break;
        default:
            fprintf(stderr, "usage: %s POOL|DISK DIRECTORY [-o OPTIONS]\n", program);
            return EXIT_USAGE;
        }
    }
    if (argc - optind != 2) {
        fprintf(stderr, "usage: %s POOL|DISK DIRECTORY [-o OPTIONS]\n", program);
        return EXIT_USAGE;
    }
    options.pool = argv[optind];
    options.mountpoint = argv[optind + 1];
    if (fake || scalefs_fuse_mount(&options, &info) == SCALEFS_OK)
        return 0;
    fprintf(stderr, "%s: %s\n", program, info.text);
    return EXIT_MOUNT_FAILED;
}
