/* create: a new pool. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

#define STATION_MAX 63

struct disks {
    const char **paths, **stations; /* beside each other */
    enum scalefs_role *roles;       /* the same */
    size_t count, room;
    char **texts; /* copies that the pointers above point into */
    size_t text_count;
};

static bool add_disk(struct disks *d, const char *path, const char *station)
{
    for (size_t i = 0; i < d->count; i++)
        if (station && !strcmp(d->paths[i], path) && !d->stations[i]) {
            d->stations[i] = station;
            return true;
        }
    if (d->count == d->room) {
        size_t room = d->room ? d->room * 2 : 16;
        const char **paths = realloc(d->paths, room * sizeof(*paths));
        if (!paths)
            return false;
        d->paths = paths;
        const char **stations = realloc(d->stations, room * sizeof(*stations));
        if (!stations)
            return false;
        d->stations = stations;
        enum scalefs_role *roles = realloc(d->roles, room * sizeof(*roles));
        if (!roles)
            return false;
        d->roles = roles;
        d->room = room;
    }
    d->paths[d->count] = path;
    d->roles[d->count] = SCALEFS_ROLE_DATA;
    d->stations[d->count++] = station;
    return true;
}

/* A copy that lives as long as the disks; NULL: no memory. */
static char *keep_text(struct disks *d, const char *text)
{
    char **texts = realloc(d->texts, (d->text_count + 1) * sizeof(*texts));
    if (!texts)
        return NULL;
    d->texts = texts;
    char *copy = strdup(text);
    if (copy)
        d->texts[d->text_count++] = copy;
    return copy;
}

/* ROLE=DISK,DISK…: disks named before get the role, others are added with it. */
static bool add_role(struct disks *d, const char *text, char *problem, size_t problem_size)
{
    size_t name_len = strcspn(text, "=");
    enum scalefs_role role;
    char word[16];
    snprintf(word, sizeof(word), "%.*s", name_len < sizeof(word) ? (int)name_len : 0, text);
    if (!sfs_cli_role(word, &role) || !text[name_len] || !text[name_len + 1]) {
        snprintf(problem, problem_size, "--role %s is not possible. It is metadata=DISK,DISK, or data=DISK,DISK.", text);
        return false;
    }
    snprintf(problem, problem_size, "There is not enough memory.");
    char *copy = keep_text(d, text);
    if (!copy)
        return false;
    for (char *disk = strtok(copy + name_len + 1, ","); disk; disk = strtok(NULL, ",")) {
        size_t i = 0;
        while (i < d->count && strcmp(d->paths[i], disk))
            i++;
        if (i == d->count && !add_disk(d, disk, NULL))
            return false;
        d->roles[i] = role;
    }
    return true;
}

/* NAME=DISK,DISK…: disks named before get the station, others are added with it. */
static bool add_station(struct disks *d, const char *text, char *problem, size_t problem_size)
{
    size_t name_len = strcspn(text, "=");
    if (!text[name_len] || !name_len || name_len > STATION_MAX || !text[name_len + 1]) {
        snprintf(problem, problem_size,
                 "%s is no station. NAME=DISK,DISK is one, with a name of up to %d bytes.", text,
                 STATION_MAX);
        return false;
    }
    snprintf(problem, problem_size, "There is not enough memory.");
    char *copy = keep_text(d, text);
    if (!copy)
        return false;
    copy[name_len] = '\0';
    for (char *disk = strtok(copy + name_len + 1, ","); disk; disk = strtok(NULL, ","))
        if (!add_disk(d, disk, copy))
            return false;
    return true;
}

static void free_disks(struct disks *d)
{
    for (size_t i = 0; i < d->text_count; i++)
        free(d->texts[i]);
    free(d->texts);
    free(d->paths);
    free(d->stations);
    free(d->roles);
}

static bool parse_number(const char *text, unsigned max, unsigned *number)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || n > max)
        return false;
    *number = (unsigned)n;
    return true;
}

static bool parse_optimize(const char *text, unsigned *optimize)
{
    static const char *const names[] = {"space", "balanced", "performance"};
    for (unsigned i = 0; i < 3; i++)
        if (!strcmp(text, names[i])) {
            *optimize = i * 50;
            return true;
        }
    return parse_number(text, 100, optimize);
}

/* Fills options and disks from the words. */
static bool read_args(const struct sfs_cli_args *args, struct scalefs_create_options *options,
                      struct disks *disks, char *problem, size_t size)
{
    const char *failover = sfs_cli_value(args, "failover"),
               *optimize = sfs_cli_value(args, "optimize");
    options->struct_bytes = sizeof(*options);
    options->name = args->words[0];
    options->force = sfs_cli_flag(args, "force");
    if (failover && !parse_number(failover, 31, &options->failover)) {
        snprintf(problem, size,
                 "--failover %s is not possible. It is the number of disks that may fail, 0 to 31.",
                 failover);
        return false;
    }
    if (optimize && !parse_optimize(optimize, &options->optimize)) {
        snprintf(problem, size,
                 "--optimize %s is not possible. It is space, balanced, performance or a number "
                 "from 0 to 100.",
                 optimize);
        return false;
    }
    if (!sfs_cli_size_option(args, &options->file_bytes, problem, size))
        return false;
    snprintf(problem, size, "There is not enough memory.");
    for (size_t i = 1; i < args->count; i++)
        if (!add_disk(disks, args->words[i], NULL))
            return false;
    for (size_t i = 0; i < args->option_count; i++)
        if (!strcmp(args->options[i].name, "station") &&
            !add_station(disks, args->options[i].value, problem, size))
            return false;
    for (size_t i = 0; i < args->option_count; i++)
        if (!strcmp(args->options[i].name, "role") && !add_role(disks, args->options[i].value, problem, size))
            return false;
    snprintf(problem, size, "A pool needs at least one disk.");
    return disks->count > 0;
}

static int say_created(const struct sfs_cli *cli, const struct scalefs_create_options *options,
                       const struct disks *disks, const char *uuid)
{
    if (cli->json) {
        struct sfs_json json;
        sfs_json_init(&json, NULL);
        sfs_json_object(&json, NULL);
        sfs_json_object(&json, "pool");
        sfs_json_string(&json, "name", options->name);
        sfs_json_string(&json, "uuid", uuid);
        sfs_json_end(&json);
        return sfs_cli_print_json(&json, SFS_CLI_DONE);
    }
    printf("Pool %s (%s) now has %zu %s; ", options->name, uuid, disks->count,
           disks->count == 1 ? "disk" : "disks");
    if (options->failover > 1)
        printf("any %u of them may fail with nothing lost.\n", options->failover);
    else
        printf("%s.\n",
               options->failover ? "any one of them may fail with nothing lost" : "none may fail");
    printf("To use it: scalefs mount %s MOUNTPOINT\n", disks->paths[0]);
    return SFS_CLI_DONE;
}

int sfs_cli_create(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    struct scalefs_create_options options = {0};
    struct scalefs_error_info info = {0};
    struct disks disks = {0};
    char problem[256], uuid[37] = "";
    int status;
    if (!read_args(args, &options, &disks, problem, sizeof(problem))) {
        status = sfs_cli_usage(cli, "%s", problem);
        goto out;
    }
    options.stations = disks.stations;
    options.roles = disks.roles;
    info.error = scalefs_pool_create(&options, disks.paths, disks.count, uuid, &info);
    status = info.error ? sfs_cli_failed(cli, &info) : say_created(cli, &options, &disks, uuid);
out:
    free_disks(&disks);
    return status;
}
