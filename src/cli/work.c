/* set, add, remove, replace, offline, online, scrub, wait: what changes a pool, or waits for that. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

/* Says how it ended: one sentence, or the whole status as JSON. Frees the answer. */
static int say_done(const struct sfs_cli *cli, struct sfs_document *answer, const char *sentence,
                    int status)
{
    const struct sfs_value *root = sfs_document_root(answer),
                           *contract = sfs_value_get(root, "status");
    if (cli->json && contract) {
        struct sfs_json json;
        sfs_json_init(&json, NULL);
        sfs_json_object(&json, NULL);
        for (const struct sfs_value *v = contract->first; v; v = v->next)
            sfs_value_put(&json, v->key, v);
        status = sfs_cli_print_json(&json, status);
    } else if (!cli->json) {
        const char *action = sfs_value_string(sfs_value_get(contract, "pool"), "action", NULL);
        puts(sentence);
        if (action)
            puts(action);
        sfs_cli_show_lost(contract, 64, stdout);
    }
    sfs_document_free(answer);
    return status;
}

static const struct sfs_value *tasks_of(const struct sfs_value *answer)
{
    return sfs_value_get(sfs_value_get(answer, "status"), "tasks");
}

/* After waiting: work that is blocked, or a change that is paused, wants attention even in a healthy pool. */
static int attention_after_wait(const struct sfs_value *answer)
{
    const struct sfs_value *tasks = tasks_of(answer);
    for (const struct sfs_value *t = tasks ? tasks->first : NULL; t; t = t->next)
        if (!strcmp(sfs_value_string(t, "state", ""), "blocked") ||
            (!strcmp(sfs_value_string(t, "state", ""), "paused") && strcmp(sfs_value_string(t, "kind", ""), "scrub")))
            return SFS_CLI_ATTENTION;
    return sfs_cli_attention(answer);
}

/* Begun here, it went on to its end. */
static bool waited(const struct sfs_cli_args *args, const struct sfs_value *answer)
{
    bool mounted = sfs_value_string(sfs_value_get(sfs_value_get(answer, "status"), "pool"),
                                    "mounted", NULL) != NULL;
    return !mounted || sfs_cli_flag(args, "wait");
}

/* Work that goes on, or that was waited for. */
static int say_begun(const struct sfs_cli *cli, const struct sfs_cli_args *args, struct sfs_document *answer,
                     const char *begun, const char *ended)
{
    const struct sfs_value *root = sfs_document_root(answer);
    if (!waited(args, root))
        return say_done(cli, answer, begun, SFS_CLI_DONE);
    int status = attention_after_wait(root);
    return say_done(cli, answer, status ? "The work came to an end, but the pool needs attention." : ended, status);
}

int sfs_cli_set(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    struct sfs_cli_ask how = {.pool = args->words[0], .work_here = sfs_cli_flag(args, "wait")};
    struct sfs_json request;
    struct sfs_document *answer;
    bool moves = false;
    for (size_t i = 1; i < args->count; i++)
        moves = moves || !strncmp(args->words[i], "failover=", 9) || !strncmp(args->words[i], "optimize=", 9);
    how.work_here = how.work_here || moves;
    for (size_t i = 1; i < args->count; i++)
        if (!strchr(args->words[i], '=') || args->words[i][0] == '=')
            return sfs_cli_usage(cli, "%s is no setting. KEY=VALUE is one, as verify=parity.",
                                 args->words[i]);
    sfs_cli_request(&request, "set");
    sfs_json_array(&request, "settings");
    for (size_t i = 1; i < args->count; i++) {
        const char *word = args->words[i], *equals = strchr(word, '=');
        sfs_json_object(&request, NULL);
        sfs_json_string_bytes(&request, "key", word, (size_t)(equals - word));
        sfs_json_string(&request, "value", equals + 1);
        sfs_json_end(&request);
    }
    sfs_json_end(&request);
    sfs_json_bool(&request, "wait", sfs_cli_flag(args, "wait"));
    int status = sfs_cli_ask(cli, &how, &request, &answer);
    if (status)
        return status;
    if (!moves)
        return say_done(cli, answer, "Set.", SFS_CLI_DONE);
    return say_begun(cli, args, answer, "Set. What is stored follows; `scalefs wait` and `scalefs status` tell how far it is.",
                     "Set, and what is stored has followed.");
}

bool sfs_cli_role(const char *word, enum scalefs_role *role)
{
    *role = strcmp(word, "metadata") ? SCALEFS_ROLE_DATA : SCALEFS_ROLE_METADATA;
    return !strcmp(word, scalefs_role_name(*role));
}

int sfs_cli_add(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    struct sfs_cli_ask how = {.pool = args->words[0], .work_here = true};
    struct sfs_json request;
    struct sfs_document *answer;
    uint64_t size = 0;
    char problem[256];
    const char *word = sfs_cli_value(args, "role");
    enum scalefs_role role = SCALEFS_ROLE_DATA;
    if (!sfs_cli_size_option(args, &size, problem, sizeof(problem)))
        return sfs_cli_usage(cli, "%s", problem);
    if (word && !sfs_cli_role(word, &role))
        return sfs_cli_usage(cli, "--role %s is not possible. It is data or metadata.", word);
    sfs_cli_request(&request, "add");
    sfs_json_array(&request, "disks");
    for (size_t i = 1; i < args->count; i++) {
        char *disk = sfs_cli_disk_word(args->words[i], true);
        sfs_json_string(&request, NULL, disk);
        free(disk);
    }
    sfs_json_end(&request);
    if (sfs_cli_value(args, "station"))
        sfs_json_string(&request, "station", sfs_cli_value(args, "station"));
    sfs_json_string(&request, "role", scalefs_role_name(role));
    sfs_json_u64(&request, "size", size);
    sfs_json_bool(&request, "force", sfs_cli_flag(args, "force"));
    sfs_json_bool(&request, "wait", sfs_cli_flag(args, "wait"));
    int status = sfs_cli_ask(cli, &how, &request, &answer);
    if (status)
        return status;
    if (role == SCALEFS_ROLE_METADATA)
        return say_begun(cli, args, answer, "Added: metadata moves there; `scalefs wait` and `scalefs status` tell how far it is.",
                         "Added, and metadata has moved there.");
    return say_begun(cli, args, answer,
                     "Added: the new space can be used. What is stored spreads over it; `scalefs wait` and "
                     "`scalefs status` tell how far it is.",
                     "Added, and what is stored has spread.");
}

int sfs_cli_role_of_disk(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    struct sfs_cli_ask how = {.pool = args->words[0], .work_here = true};
    struct sfs_json request;
    struct sfs_document *answer;
    enum scalefs_role role;
    if (!sfs_cli_role(args->words[2], &role))
        return sfs_cli_usage(cli, "%s is no role. A disk is for data or for metadata.", args->words[2]);
    char *disk = sfs_cli_disk_word(args->words[1], false);
    sfs_cli_request(&request, "role");
    sfs_json_string(&request, "disk", disk);
    free(disk);
    sfs_json_string(&request, "role", scalefs_role_name(role));
    sfs_json_bool(&request, "wait", sfs_cli_flag(args, "wait"));
    int status = sfs_cli_ask(cli, &how, &request, &answer);
    return status ? status
                  : say_begun(cli, args, answer,
                              "Set. What is stored goes where it belongs now; `scalefs wait` and `scalefs status` tell how far it is.",
                              "Set, and what is stored is where it belongs.");
}

int sfs_cli_remove(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    struct sfs_cli_ask how = {.pool = args->words[0], .work_here = true};
    struct sfs_json request;
    struct sfs_document *answer;
    const char *failover = sfs_cli_value(args, "failover");
    unsigned number = 0;
    if (failover && (sscanf(failover, "%2u", &number) != 1 || failover[strspn(failover, "0123456789")] || number > 31))
        return sfs_cli_usage(cli, "--failover %s is not possible. It is the number of disks that may fail, 0 to 31.",
                             failover);
    char *disk = sfs_cli_disk_word(args->words[1], false);
    sfs_cli_request(&request, "remove");
    sfs_json_string(&request, "disk", disk);
    free(disk);
    if (failover)
        sfs_json_u64(&request, "failover", number);
    sfs_json_bool(&request, "wait", sfs_cli_flag(args, "wait"));
    int status = sfs_cli_ask(cli, &how, &request, &answer);
    return status ? status
                  : say_begun(cli, args, answer,
                              "The disk is leaving: keep it connected until `scalefs wait` or `scalefs status` says that "
                              "it has left.",
                              "Removed: the disk holds nothing of the pool any more.");
}

int sfs_cli_replace(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    struct sfs_cli_ask how = {.pool = args->words[0], .work_here = true};
    struct sfs_json request;
    struct sfs_document *answer;
    uint64_t size = 0;
    char problem[256];
    if (!sfs_cli_size_option(args, &size, problem, sizeof(problem)))
        return sfs_cli_usage(cli, "%s", problem);
    if (args->count % 2 == 0)
        return sfs_cli_usage(cli, "Disks are named in pairs, OLD NEW, and %s has no other.", args->words[args->count - 1]);
    sfs_cli_request(&request, "replace");
    sfs_json_array(&request, "pairs");
    for (size_t i = 1; i < args->count; i += 2) {
        char *old_disk = sfs_cli_disk_word(args->words[i], false),
             *new_disk = sfs_cli_disk_word(args->words[i + 1], true);
        sfs_json_object(&request, NULL);
        sfs_json_string(&request, "old", old_disk);
        sfs_json_string(&request, "new", new_disk);
        sfs_json_end(&request);
        free(old_disk);
        free(new_disk);
    }
    sfs_json_end(&request);
    sfs_json_u64(&request, "size", size);
    sfs_json_bool(&request, "force", sfs_cli_flag(args, "force"));
    sfs_json_bool(&request, "wait", sfs_cli_flag(args, "wait"));
    int status = sfs_cli_ask(cli, &how, &request, &answer);
    return status ? status
                  : say_begun(cli, args, answer,
                              "The replacement has begun. `scalefs wait` and `scalefs status` tell how far it is.",
                              "Replaced.");
}

static int one_disk(struct sfs_cli *cli, const struct sfs_cli_args *args, const char *verb,
                    struct sfs_cli_ask how, struct sfs_document **answer)
{
    struct sfs_json request;
    char *disk = sfs_cli_disk_word(args->words[1], false);
    sfs_cli_request(&request, verb);
    sfs_json_string(&request, "disk", disk);
    free(disk);
    return sfs_cli_ask(cli, &how, &request, answer);
}

int sfs_cli_offline(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    /* On a pool that is not mounted there is nothing to take offline: it need not be written to. */
    const struct sfs_cli_ask how = {.pool = args->words[0], .read_only = true};
    struct sfs_document *answer;
    int status = one_disk(cli, args, "offline", how, &answer);
    return status ? status : say_done(cli, answer, "The disk is offline.", SFS_CLI_DONE);
}

int sfs_cli_online(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    const struct sfs_cli_ask how = {.pool = args->words[0], .work_here = true};
    struct sfs_document *answer;
    int status = one_disk(cli, args, "online", how, &answer);
    if (status)
        return status;
    const struct sfs_value *root = sfs_document_root(answer);
    if (!waited(args, root))
        return say_done(cli, answer, "The disk is online. What it missed is being caught up.",
                        SFS_CLI_DONE);
    status = attention_after_wait(root);
    return say_done(cli, answer,
                    status ? "The disk is online, but the pool needs attention."
                           : "The disk is online, and has what it missed.",
                    status);
}

/* Why the scrub could not read everything; NULL: it did. */
static const char *unread_of(const struct sfs_value *answer)
{
    const struct sfs_value *tasks = tasks_of(answer);
    for (const struct sfs_value *t = tasks ? tasks->first : NULL; t; t = t->next)
        if (!strcmp(sfs_value_string(t, "kind", ""), "scrub") && !strcmp(sfs_value_string(t, "state", ""), "blocked"))
            return sfs_value_string(t, "reason", "");
    return NULL;
}

static int say_scrubbed(const struct sfs_cli *cli, struct sfs_document *answer)
{
    const struct sfs_value *root = sfs_document_root(answer);
    const struct sfs_value *now = sfs_value_get(sfs_value_get(root, "status"), "repairs");
    const struct sfs_value *before = sfs_value_get(sfs_value_get(root, "more"), "before");
    uint64_t repaired = sfs_value_u64(now, "extents", 0) - sfs_value_u64(before, "extents", 0);
    uint64_t lost = sfs_value_u64(now, "lost_extents", 0); /* as found now, however many it were before */
    int status = attention_after_wait(root);
    const char *unread = unread_of(root);
    char sentence[512];
    if (lost)
        status = SFS_CLI_ATTENTION;
    snprintf(sentence, sizeof(sentence), "Scrubbed%s: %llu extents repaired, %llu lost.%s%s", unread ? ", but not all" : "",
             (unsigned long long)repaired, (unsigned long long)lost, unread ? "\n" : "", unread ? unread : "");
    return say_done(cli, answer, sentence, status);
}

int sfs_cli_scrub(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    static const char *const actions[] = {"start", "pause", "resume", "stop"};
    static const char *const sentences[] = {"The scrub has begun.", "The scrub is paused.",
                                            "The scrub goes on.", "The scrub is stopped."};
    struct sfs_cli_ask how = {.pool = args->words[0]};
    struct sfs_json request;
    struct sfs_document *answer;
    size_t action = 0;
    if (args->count > 1) {
        for (action = 1; action < 4 && strcmp(args->words[1], actions[action]); action++)
            ;
        if (action == 4)
            return sfs_cli_usage(cli, "A scrub cannot be told to \"%s\".", args->words[1]);
    }
    bool long_work = action == 0 || action == 2; /* start, resume */
    how.work_here = long_work;
    sfs_cli_request(&request, "scrub");
    sfs_json_string(&request, "action", actions[action]);
    sfs_json_bool(&request, "wait", long_work && sfs_cli_flag(args, "wait"));
    int status = sfs_cli_ask(cli, &how, &request, &answer);
    if (status)
        return status;
    if (long_work && waited(args, sfs_document_root(answer)))
        return say_scrubbed(cli, answer);
    return say_done(cli, answer, sentences[action], SFS_CLI_DONE);
}

int sfs_cli_wait(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    struct sfs_cli_ask how = {.pool = args->words[0], .work_here = true};
    struct sfs_json request;
    struct sfs_document *answer;
    sfs_cli_request(&request, "wait");
    int status = sfs_cli_ask(cli, &how, &request, &answer);
    if (status)
        return status;
    status = attention_after_wait(sfs_document_root(answer));
    return say_done(cli, answer,
                    status ? "Nothing is left that can be done now, but the pool needs attention."
                           : "Nothing is left to do.",
                    status);
}

/* pause, resume, cancel. `begun`, `ended`: what is said of work that goes on, and of work that was waited for. */
static int on_task(struct sfs_cli *cli, const struct sfs_cli_args *args, const char *verb, bool work, const char *begun,
                   const char *ended)
{
    struct sfs_cli_ask how = {.pool = args->words[0], .work_here = work};
    struct sfs_json request;
    struct sfs_document *answer;
    unsigned task = 0;
    const char *word = args->count > 1 ? args->words[1] : NULL;
    if (word && (sscanf(word, "%9u", &task) != 1 || word[strspn(word, "0123456789")] || !task))
        return sfs_cli_usage(cli, "%s is no task. `scalefs status` shows their numbers.", word);
    sfs_cli_request(&request, verb);
    sfs_json_u64(&request, "task", task);
    sfs_json_bool(&request, "wait", work && sfs_cli_flag(args, "wait"));
    int status = sfs_cli_ask(cli, &how, &request, &answer);
    if (status)
        return status;
    return work ? say_begun(cli, args, answer, begun, ended) : say_done(cli, answer, begun, SFS_CLI_DONE);
}

int sfs_cli_pause(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    return on_task(cli, args, "pause", false, "Paused, also over a restart. `scalefs resume` lets it go on.", NULL);
}

int sfs_cli_resume(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    return on_task(cli, args, "resume", true, "The work goes on.", "Resumed, and done.");
}

int sfs_cli_cancel(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    return on_task(cli, args, "cancel", true, "Taken back. What was moved already moves back; `scalefs status` tells how far it is.",
                   "Taken back, and what was moved is back.");
}

int sfs_cli_resize(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    struct sfs_cli_ask how = {.pool = args->words[0], .work_here = true};
    struct sfs_json request;
    struct sfs_document *answer;
    uint64_t size = 0;
    if (args->count > 2 && (sfs_size_parse(args->words[2], &size) || !size))
        return sfs_cli_usage(cli, "%s is no size. A number with a unit is one, as 500G.", args->words[2]);
    char *disk = sfs_cli_disk_word(args->words[1], false);
    sfs_cli_request(&request, "resize");
    sfs_json_string(&request, "disk", disk);
    free(disk);
    sfs_json_u64(&request, "size", size);
    sfs_json_bool(&request, "wait", sfs_cli_flag(args, "wait"));
    int status = sfs_cli_ask(cli, &how, &request, &answer);
    if (status)
        return status;
    const struct sfs_value *tasks = tasks_of(sfs_document_root(answer));
    bool shrinks = false;
    for (const struct sfs_value *t = tasks ? tasks->first : NULL; t; t = t->next)
        shrinks = shrinks || !strcmp(sfs_value_string(t, "kind", ""), "resize");
    return say_begun(cli, args, answer,
                     shrinks ? "What stands behind that end is moved. Do not cut the device before `scalefs wait` or `scalefs "
                               "status` says that it is done."
                             : "Resized.",
                     "Resized: what lies behind that end of the device, if anything does, is not used any more.");
}
