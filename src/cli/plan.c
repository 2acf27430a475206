/* plan: what a change would mean, for disks that are there or only thought of. Nothing is changed. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "control/message.h"

#define DISKS_MAX 256

/* --- saying it --- */

static void say_failures(const char *when, uint64_t failures)
{
    printf("%-11s", when);
    if (failures)
        printf("%llu %s may fail with nothing lost\n", (unsigned long long)failures, failures == 1 ? "disk" : "disks");
    else
        puts("no disk may fail");
}

static int say_plan(const struct sfs_cli *cli, const struct sfs_value *plan, bool made)
{
    char before[SFS_SIZE_TEXT], after[SFS_SIZE_TEXT], used[SFS_SIZE_TEXT], move[SFS_SIZE_TEXT], took[SFS_CLI_DURATION];
    const struct sfs_value *b = sfs_value_get(plan, "before"), *a = sfs_value_get(plan, "after");
    bool possible = sfs_value_bool(plan, "possible", false);
    if (cli->json) {
        struct sfs_json json;
        sfs_json_init(&json, NULL);
        sfs_json_object(&json, NULL);
        for (const struct sfs_value *v = plan->first; v; v = v->next)
            sfs_value_put(&json, v->key, v);
        return sfs_cli_print_json(&json, possible ? SFS_CLI_DONE : SFS_CLI_FAILED);
    }
    if (!possible) {
        printf("refused    %s\n", sfs_value_string(plan, "refusal", "?"));
        return SFS_CLI_FAILED;
    }
    sfs_size_format(sfs_value_u64(b, "usable", 0), before);
    sfs_size_format(sfs_value_u64(a, "usable", 0), after);
    sfs_size_format(sfs_value_u64(plan, "used", 0), used);
    sfs_size_format(sfs_value_u64(plan, "bytes_to_move", 0), move);
    if (!made) {
        printf("capacity   %s usable\n", after);
        say_failures("failures", sfs_value_u64(a, "failures", 0));
        return SFS_CLI_DONE;
    }
    printf("capacity   %s usable before, %s after, %s used\n", before, after, used);
    say_failures("before", sfs_value_u64(b, "failures", 0));
    say_failures("during", sfs_value_u64(sfs_value_get(plan, "during"), "failures", 0));
    say_failures("after", sfs_value_u64(a, "failures", 0));
    sfs_cli_duration(sfs_value_u64(plan, "seconds", 0), took);
    printf("to move    %s", move);
    if (sfs_value_u64(plan, "rate", 0))
        printf(", about %s", took);
    puts("\nNothing was changed.");
    return SFS_CLI_DONE;
}

static int say_answer(const struct sfs_cli *cli, const struct sfs_value *root, bool made)
{
    const struct sfs_value *plan = sfs_value_get(root, "plan");
    return plan ? say_plan(cli, plan, made) : sfs_cli_failed_with(cli, SCALEFS_E_PROTOCOL, "The answer holds no plan.");
}

/* --- a pool that is not made yet --- */

/* space, balanced, performance, or 0 to 100. */
static bool optimize_of(const char *word, unsigned *optimize)
{
    static const char *const names[] = {"space", "balanced", "performance"};
    for (unsigned i = 0; i < 3; i++)
        if (!strcmp(word, names[i])) {
            *optimize = i * 50;
            return true;
        }
    return word[0] && !word[strspn(word, "0123456789")] && sscanf(word, "%3u", optimize) == 1 && *optimize <= 100;
}

static bool failover_of(const char *word, unsigned *failover)
{
    return word[0] && !word[strspn(word, "0123456789")] && sscanf(word, "%3u", failover) == 1 && *failover <= 31;
}

static size_t sizes_of(const char *list, uint64_t *sizes)
{
    size_t count = 0;
    char word[64];
    for (;; list++) {
        size_t len = strcspn(list, ",");
        if (count == DISKS_MAX || len >= sizeof word)
            return 0;
        memcpy(word, list, len);
        word[len] = 0;
        if (sfs_size_parse(word, &sizes[count++]))
            return 0;
        list += len;
        if (!*list)
            return count;
    }
}

static int plan_new(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    const char *list = sfs_cli_value(args, "disks"), *failover_word = sfs_cli_value(args, "failover"),
               *optimize_word = sfs_cli_value(args, "optimize");
    unsigned failover = 0, optimize = 0;
    uint64_t sizes[DISKS_MAX];
    struct scalefs_plan plan;
    struct scalefs_error_info info = {0};
    struct sfs_json json;
    struct sfs_document *document = NULL;
    size_t count = list ? sizes_of(list, sizes) : 0;
    const char *text;
    if (args->count)
        return sfs_cli_usage(cli, "--disks stands for a pool that is not made yet.");
    if (!count)
        return sfs_cli_usage(cli, "--disks %s is no list of sizes, as 8T,4T,4T.", list ? list : "");
    if (failover_word && !failover_of(failover_word, &failover))
        return sfs_cli_usage(cli, "--failover %s is not possible. It is the number of disks that may fail, 0 to 31.", failover_word);
    if (optimize_word && !optimize_of(optimize_word, &optimize))
        return sfs_cli_usage(cli, "--optimize %s is not possible. It is space, balanced, performance or 0 to 100.", optimize_word);
    if ((info.error = scalefs_plan_create(sizes, count, failover, optimize, &plan, &info)))
        return sfs_cli_failed(cli, &info);
    sfs_message_begin(&json, NULL);
    sfs_message_put_plan(&json, &plan);
    sfs_json_end(&json);
    int error = sfs_json_done(&json, &text);
    if (!error)
        error = sfs_document_parse(text, strlen(text), &document);
    int status = error ? sfs_cli_failed_with(cli, error, "%s.", scalefs_error_text(error))
                       : say_answer(cli, sfs_document_root(document), false);
    sfs_document_free(document);
    sfs_json_deinit(&json);
    return status;
}

/* --- a change of a pool --- */

/* A size stays as it is, a path becomes absolute. */
static void put_new_disk(struct sfs_json *request, const char *word)
{
    uint64_t size;
    char *disk = sfs_size_parse(word, &size) ? sfs_cli_disk_word(word, true) : NULL;
    sfs_json_string(request, NULL, disk ? disk : word);
    free(disk);
}

static bool put_setting(struct sfs_json *request, const char *word)
{
    unsigned number;
    bool failover = !strncmp(word, "failover=", 9);
    if (failover ? !failover_of(word + 9, &number) : strncmp(word, "optimize=", 9) || !optimize_of(word + 9, &number))
        return false;
    sfs_json_u64(request, failover ? "failover" : "optimize", number);
    return true;
}

/* What is wrong with the words; NULL: nothing. */
static const char *put_change(struct sfs_json *request, const struct sfs_cli_args *args)
{
    const char *change = args->words[1], *failover_word = sfs_cli_value(args, "failover");
    bool add = !strcmp(change, "add"), replace = !strcmp(change, "replace");
    size_t rest = args->count - 2, first_new = add ? 2 : replace ? 3 : args->count;
    bool set = !strcmp(change, "set"), remove = !strcmp(change, "remove"), resize = !strcmp(change, "resize");
    bool role_change = !strcmp(change, "role");
    const char *role_word = role_change && rest == 2 ? args->words[3] : sfs_cli_value(args, "role");
    enum scalefs_role role = SCALEFS_ROLE_DATA;
    unsigned failover;
    uint64_t size;
    sfs_json_string(request, "change", change);
    if (!set && !remove && !resize && !add && !replace && !role_change)
        return "A plan is made for add, remove, replace, resize, role or set.";
    if (role_word && (!(add || role_change) || !sfs_cli_role(role_word, &role)))
        return "The role of a disk is data or metadata; it is given to role, and as --role to add.";
    if (!rest || (remove && rest != 1) || (resize && rest > 2) || ((replace || role_change) && rest != 2))
        return "That is not what this verb takes; `scalefs help` tells.";
    for (size_t i = 2; set && i < args->count; i++)
        if (!put_setting(request, args->words[i]))
            return "A plan is made for failover=N and optimize=HOW.";
    if (!set && !add) {
        char *disk = sfs_cli_disk_word(args->words[2], false);
        sfs_json_string(request, "disk", disk);
        free(disk);
    }
    if (failover_word && (!remove || !failover_of(failover_word, &failover)))
        return "--failover is the number of disks that may fail after remove, 0 to 31.";
    if (failover_word)
        sfs_json_u64(request, "failover", failover);
    if (resize && rest == 2 && (sfs_size_parse(args->words[3], &size) || !size))
        return "The last word is no size. A number with a unit is one, as 500G.";
    if (resize && rest == 2)
        sfs_json_u64(request, "size", size);
    if (sfs_cli_value(args, "station"))
        sfs_json_string(request, "station", sfs_cli_value(args, "station"));
    sfs_json_string(request, "role", scalefs_role_name(role));
    sfs_json_array(request, "disks");
    for (size_t i = first_new; i < args->count; i++)
        put_new_disk(request, args->words[i]);
    sfs_json_end(request);
    return NULL;
}

int sfs_cli_plan(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    struct sfs_cli_ask how = {.pool = args->count ? args->words[0] : NULL, .read_only = true};
    struct sfs_json request;
    struct sfs_document *answer;
    if (sfs_cli_value(args, "disks"))
        return plan_new(cli, args);
    if (args->count < 3)
        return sfs_cli_usage(cli, "Something is missing after \"scalefs plan\".");
    sfs_cli_request(&request, "plan");
    const char *wrong = put_change(&request, args);
    if (wrong) {
        sfs_json_deinit(&request);
        return sfs_cli_usage(cli, "%s", wrong);
    }
    int status = sfs_cli_ask(cli, &how, &request, &answer);
    if (status)
        return status;
    status = say_answer(cli, sfs_document_root(answer), true);
    sfs_document_free(answer);
    return status;
}
