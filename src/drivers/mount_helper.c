/* The mount helpers: see mount_helper.h. */
#include "drivers/mount_helper.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "drivers/fuse.h"

enum { EXIT_USAGE = 1, EXIT_MOUNT_FAILED = 32 };

static const char *base_name(const char *program)
{
    const char *slash = strrchr(program, '/');
    return slash ? slash + 1 : program;
}

bool sfs_drivers_is_mount_helper(const char *program)
{
    const char *name = base_name(program);
    return !strcmp(name, "mount.scalefs") || !strcmp(name, "mount.fuse.scalefs");
}

int sfs_drivers_mount_helper(int argc, char **argv)
{
    struct scalefs_fuse_options options = {0};
    struct scalefs_error_info info = {0};
    bool fake = false;
    const char *program = base_name(argv[0]);
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
