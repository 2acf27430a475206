/* The words of the command line: options, which may stand anywhere ("--" ends them), sizes, disks.
 */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#ifndef _WIN32
#include <unistd.h>
#endif

static const struct sfs_cli_option *find_option(const struct sfs_cli_option *options,
                                                const char *name, size_t len)
{
    for (; options->name; options++)
        if (strlen(options->name) == len && !memcmp(options->name, name, len))
            return options;
    return NULL;
}

/* One option at argv[*at]; moves *at over its value. */
static bool take_option(int argc, char *const *argv, int *at, const struct sfs_cli_option *options,
                        struct sfs_cli_args *args, char *problem, size_t problem_size)
{
    const char *word = argv[*at], *value = NULL;
    const struct sfs_cli_option *option;
    if (word[1] == '-') {
        size_t len = strcspn(word + 2, "=");
        option = len > 1 ? find_option(options, word + 2, len) : NULL;
        value = word[2 + len] == '=' ? word + 2 + len + 1 : NULL;
    } else {
        option = find_option(options, word + 1, 1);
        value = word[1] && word[2] ? word + 2 : NULL;
    }
    if (!option) {
        snprintf(problem, problem_size, "There is no option %s here.", word);
        return false;
    }
    if (!option->value && value) {
        snprintf(problem, problem_size, "The option %s takes no value.", word);
        return false;
    }
    if (option->value && !value) {
        if (*at + 1 == argc) {
            snprintf(problem, problem_size, "The option %s needs a value.", word);
            return false;
        }
        value = argv[++*at];
    }
    args->options[args->option_count].name = option->name;
    args->options[args->option_count++].value = value;
    return true;
}

bool sfs_cli_args_parse(int argc, char *const *argv, const struct sfs_cli_option *options,
                        struct sfs_cli_args *args, char *problem, size_t problem_size)
{
    bool more_options = true;
    memset(args, 0, sizeof(*args));
    args->words = calloc((size_t)argc + 1, sizeof(*args->words));
    args->options = calloc((size_t)argc + 1, sizeof(*args->options));
    if (!args->words || !args->options) {
        snprintf(problem, problem_size, "There is not enough memory.");
        return false;
    }
    for (int i = 0; i < argc; i++) {
        if (more_options && !strcmp(argv[i], "--"))
            more_options = false;
        else if (!more_options || argv[i][0] != '-')
            args->words[args->count++] = argv[i];
        else if (!take_option(argc, argv, &i, options, args, problem, problem_size))
            return false;
    }
    return true;
}

void sfs_cli_args_free(struct sfs_cli_args *args)
{
    free(args->words);
    free(args->options);
}

bool sfs_cli_flag(const struct sfs_cli_args *args, const char *name)
{
    for (size_t i = 0; i < args->option_count; i++)
        if (!strcmp(args->options[i].name, name))
            return true;
    return false;
}

const char *sfs_cli_value(const struct sfs_cli_args *args, const char *name)
{
    const char *value = NULL;
    for (size_t i = 0; i < args->option_count; i++)
        if (!strcmp(args->options[i].name, name))
            value = args->options[i].value;
    return value;
}

bool sfs_cli_size_option(const struct sfs_cli_args *args, uint64_t *bytes, char *problem,
                         size_t problem_size)
{
    const char *text = sfs_cli_value(args, "size");
    if (!text || (!sfs_size_parse(text, bytes) && *bytes))
        return true;
    snprintf(
        problem, problem_size,
        "%s is no size. A number with a unit is one: 64MiB, 8T (powers of 1024), 8TB (of 1000).",
        text);
    return false;
}

/* --- disks --- */

static bool is_short_id(const char *word)
{
    return word[0] && strspn(word, "0123456789") == strlen(word);
}

static bool is_uuid(const char *word)
{
    return strlen(word) == 36 && strspn(word, "0123456789abcdefABCDEF-") == 36;
}

/* "nbd:…", "zoned:…" */
static bool has_scheme(const char *word)
{
    size_t len = strspn(word, "abcdefghijklmnopqrstuvwxyz");
    return len > 1 && word[len] == ':';
}

char *sfs_cli_disk_word(const char *word, bool only_path)
{
#ifndef _WIN32
    char folder[4096];
    bool other = (!only_path && (is_short_id(word) || is_uuid(word))) || has_scheme(word);
    if (word[0] != '/' && !other && getcwd(folder, sizeof(folder))) {
        size_t room = strlen(folder) + strlen(word) + 2;
        char *path = malloc(room);
        if (path)
            snprintf(path, room, "%s/%s", folder, word);
        return path;
    }
#else
    (void)only_path, (void)is_short_id, (void)is_uuid, (void)has_scheme;
#endif
    return strdup(word);
}
