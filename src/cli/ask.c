/* A request finds its pool: mounted, through the control socket; else opened here. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "control/client.h"
#include "control/run.h"

struct asking {
    struct sfs_cli *cli;
    struct sfs_cli_progress progress;
    struct sfs_document *done;
    struct scalefs_error_info info;
};

void sfs_cli_request(struct sfs_json *request, const char *verb)
{
    sfs_message_begin(request, NULL);
    sfs_json_string(request, "verb", verb);
}

/* --- answers --- */

static struct sfs_document *copy_of(const struct sfs_value *value)
{
    struct sfs_document *copy = NULL;
    struct sfs_json json;
    const char *text;
    sfs_json_init(&json, NULL);
    sfs_value_put(&json, NULL, value);
    if (!sfs_json_done(&json, &text))
        sfs_document_parse(text, strlen(text), &copy);
    sfs_json_deinit(&json);
    return copy;
}

static bool on_answer(void *context, const struct sfs_value *answer)
{
    struct asking *a = context;
    if (!answer)
        return !sfs_cli_interrupted();
    const char *type = sfs_value_string(answer, "type", "");
    if (!strcmp(type, "progress"))
        sfs_cli_progress_show(&a->progress, answer, stdout);
    else if (!strcmp(type, "done"))
        a->done = copy_of(answer);
    else if (!strcmp(type, "error"))
        sfs_message_get_error(answer, &a->info);
    return !sfs_cli_interrupted();
}

static bool on_line(void *context, const char *line, size_t len)
{
    struct sfs_document *document;
    if (sfs_document_parse(line, len, &document))
        return true; /* too large for the parser's bounds: a missed progress, or no `done` */
    bool go_on = on_answer(context, sfs_document_root(document));
    sfs_document_free(document);
    return go_on;
}

static bool on_stop(void *context)
{
    (void)context;
    return sfs_cli_interrupted();
}

static void on_log(void *context, int level, const char *room, int error, const char *text)
{
    (void)context, (void)room, (void)error;
    if (level <= 1)
        fprintf(stderr, "scalefs: %s\n", text);
}

/* --- the pool opened here --- */

static int run_here(struct asking *a, const struct sfs_cli_ask *how,
                    const struct sfs_value *request)
{
    struct scalefs_open_options options = {.struct_bytes = sizeof(options),
                                           .read_only = how->read_only,
                                           .degraded = how->read_only,
                                           .other_host = how->read_only,
                                           .log = how->read_only ? NULL : on_log};
    struct sfs_control_asker asker = {on_line, on_stop, a};
    struct scalefs_pool *pool;
    int error = scalefs_pool_open(&options, how->pool, NULL, 0, &pool, &a->info);
    if (error) {
        a->info.error = error;
        return error;
    }
    error = sfs_control_run(pool, NULL, request, &asker);
    int close_error = scalefs_pool_close(pool, false);
    if (!error && close_error)
        error =
            sfs_control_fail(&a->info, close_error,
                             "It was done, but closing the pool failed, so it may not last: %s.",
                             scalefs_error_text(close_error));
    return error;
}

/* The request again, with "wait": work in the foreground stays until it is done. */
static int run_here_waiting(struct asking *a, const struct sfs_cli_ask *how,
                            const struct sfs_value *request)
{
    struct sfs_json json;
    struct sfs_document *document = NULL;
    const char *text;
    sfs_json_init(&json, NULL);
    sfs_json_object(&json, NULL);
    for (const struct sfs_value *v = request->first; v; v = v->next)
        if (strcmp(v->key, "wait"))
            sfs_value_put(&json, v->key, v);
    sfs_json_bool(&json, "wait", true);
    sfs_json_end(&json);
    int error = sfs_json_done(&json, &text);
    if (!error)
        error = sfs_document_parse(text, strlen(text), &document);
    sfs_json_deinit(&json);
    if (error)
        return sfs_control_fail(&a->info, error, "%s.", scalefs_error_text(error));
    error = run_here(a, how, sfs_document_root(document));
    sfs_document_free(document);
    return error;
}

static int run_somewhere(struct asking *a, const struct sfs_cli_ask *how, const char *line,
                         size_t len)
{
    struct sfs_control_client *client = NULL;
    struct sfs_document *document;
    struct scalefs_error_info no_folder;
    int found = sfs_control_find(how->pool, &client, &no_folder);
    if (!found) {
        int error = sfs_control_ask(client, line, len, on_answer, a, &a->info);
        sfs_control_disconnect(client);
        return error;
    }
    if (found == SCALEFS_E_AMBIGUOUS) {
        a->info = no_folder;
        return found;
    }
    int error = sfs_document_parse(line, len, &document);
    if (error)
        return sfs_control_fail(&a->info, error,
                                "A name or path on the command line is not proper text (UTF-8).");
    const struct sfs_value *request = sfs_document_root(document);
    error = how->work_here ? run_here_waiting(a, how, request) : run_here(a, how, request);
    sfs_document_free(document);
    if (error == SCALEFS_E_BUSY && found == SCALEFS_E_ACCESS)
        a->info = no_folder; /* whoever holds the disks could not be asked, and this is why */
    return error;
}

int sfs_cli_ask(struct sfs_cli *cli, const struct sfs_cli_ask *how, struct sfs_json *request,
                struct sfs_document **answer)
{
    struct asking a = {.cli = cli, .progress = {.terminal = cli->terminal, .quiet = cli->json}};
    char *line = NULL;
    size_t len;
    *answer = NULL;
    int error = sfs_message_line(request, &line, &len);
    sfs_json_deinit(request);
    if (!error) {
        sfs_cli_interrupt_catch();
        error = run_somewhere(&a, how, line, len);
    }
    free(line);
    sfs_cli_progress_end(&a.progress, stdout);
    if (!error && !a.done)
        error = SCALEFS_E_PROTOCOL;
    if (error) {
        sfs_document_free(a.done);
        a.info.error = error;
        return sfs_cli_failed(cli, &a.info);
    }
    *answer = a.done;
    return SFS_CLI_DONE;
}
