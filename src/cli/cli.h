/* What the verbs of `scalefs` share: the words of the command line, how results and refusals are
 * said, and how a request reaches a pool wherever it is open.
 *
 * A verb is a row of the table in verbs.c: its name, its usage, its options and its function, which
 * stands in the file of its group. Functions return an exit status.
 */
#ifndef SFS_CLI_CLI_H
#define SFS_CLI_CLI_H

#include <stdio.h>

#include "scalefs/pool.h"
#include "base/text.h"
#include "control/value.h"

enum sfs_cli_exit {
    SFS_CLI_DONE = 0,
    SFS_CLI_FAILED = 1,   /* failed or refused */
    SFS_CLI_USAGE = 2,    /* wrong usage */
    SFS_CLI_ATTENTION = 3 /* done, but the pool needs attention */
};

struct sfs_cli;

/* --- the words of the command line (args.c) --- */

struct sfs_cli_option {
    const char *name;  /* without dashes; one letter: with one dash, else with two */
    const char *value; /* what stands for its value in the usage; NULL: it takes none */
};
struct sfs_cli_args {
    const char **words; /* what is no option */
    size_t count;
    struct sfs_cli_given {
        const char *name, *value;
    } * options; /* in the order given */
    size_t option_count;
};
/* False: `problem` says what is wrong. `options` ends with a NULL name. Free with
 * sfs_cli_args_free. */
bool sfs_cli_args_parse(int argc, char *const *argv, const struct sfs_cli_option *options,
                        struct sfs_cli_args *args, char *problem, size_t problem_size);
void sfs_cli_args_free(struct sfs_cli_args *args);
bool sfs_cli_flag(const struct sfs_cli_args *args, const char *name);
/* The last one given, or NULL. */
const char *sfs_cli_value(const struct sfs_cli_args *args, const char *name);
/* --size into *bytes, which stays as it is without one. False: `problem` says what is wrong with
 * it. */
bool sfs_cli_size_option(const struct sfs_cli_args *args, uint64_t *bytes, char *problem,
                         size_t problem_size);
/* A path becomes absolute, since the process that has the pool mounted stands elsewhere; an id or
 * UUID stays. `only_path`: it is no id. NULL: no memory. Free with free. */
char *sfs_cli_disk_word(const char *word, bool only_path);

/* --- verbs (verbs.c) --- */

struct sfs_cli_verb {
    const char *name;
    const char *usage;   /* lines: "scalefs VERB …" */
    const char *summary; /* one line for `scalefs help` */
    const char *help;    /* the rest of `scalefs help VERB` */
    const struct sfs_cli_option *options;
    size_t min_words, max_words;
    int (*run)(struct sfs_cli *cli, const struct sfs_cli_args *args);
    const char *example; /* lines, for `scalefs help VERB` */
};
const struct sfs_cli_verb *sfs_cli_find_verb(const char *name);
/* True for a verb that is documented, but still to come; that was said then. */
bool sfs_cli_not_yet(const struct sfs_cli *cli, const char *name);
/* All of them, ended by a NULL name. */
const struct sfs_cli_verb *sfs_cli_verbs(void);

struct sfs_cli {
    const struct sfs_cli_verb *verb; /* NULL before one is known */
    bool json;
    bool terminal; /* standard output is one */
};
/* The whole command, from its arguments (without the program's name) to its exit status. */
int sfs_cli_main(int argc, char *const *argv);
/* "data" or "metadata"; false: neither. */
bool sfs_cli_role(const char *word, enum scalefs_role *role);

/* --- saying things (say.c) --- */

/* `scalefs: SENTENCE` on standard error and, with --json, {"error": …} on standard output. Returns
 * SFS_CLI_FAILED. */
int sfs_cli_failed(const struct sfs_cli *cli, const struct scalefs_error_info *info);
int sfs_cli_failed_with(const struct sfs_cli *cli, int error, const char *format, ...);
/* The same with the verb's usage below. Returns SFS_CLI_USAGE. */
int sfs_cli_usage(const struct sfs_cli *cli, const char *format, ...);
/* Ends the document and prints it; deinits. Returns `status`, or SFS_CLI_FAILED when it can't. */
int sfs_cli_print_json(struct sfs_json *json, int status);

/* --- a table for people (table.c) --- */

struct sfs_cli_table {
    size_t columns, cells, room;
    char **texts;   /* row by row */
    unsigned right; /* bit per column: aligned to the right */
    bool bad;
};
void sfs_cli_table_init(struct sfs_cli_table *t, size_t columns, unsigned right);
void sfs_cli_table_put(struct sfs_cli_table *t, const char *format, ...);
void sfs_cli_table_put_size(struct sfs_cli_table *t, uint64_t bytes);
/* Prints the rows, each after `indent` blanks, and deinits. */
void sfs_cli_table_print(struct sfs_cli_table *t, FILE *to, unsigned indent);

/* --- asking a pool (ask.c) --- */

struct sfs_cli_ask {
    const char *pool;
    bool read_only; /* when the pool must be opened here: look only, and at whatever there is */
    bool work_here; /* when it must be opened here: stay until the work is done */
};
/* Begins a request: put the rest of its members. */
void sfs_cli_request(struct sfs_json *request, const char *verb);
/* Through the control socket when the pool is mounted, else on the pool opened here and closed
 * again. Shows progress while it waits. `request` is ended and deinited. On success *answer is the
 * last answer, to be freed with sfs_document_free; else the refusal was said. Returns an exit
 * status: SFS_CLI_DONE or SFS_CLI_FAILED. */
int sfs_cli_ask(struct sfs_cli *cli, const struct sfs_cli_ask *how, struct sfs_json *request,
                struct sfs_document **answer);

/* --- for people (show.c, progress.c) --- */

void sfs_cli_show_status(const struct sfs_value *answer, FILE *to);
/* The files that have lost something, if there are any: at most `most` of them. */
void sfs_cli_show_lost(const struct sfs_value *status, unsigned most, FILE *to);
/* SFS_CLI_ATTENTION when the answer's status asks for attention, else SFS_CLI_DONE. */
int sfs_cli_attention(const struct sfs_value *answer);
/* "3 min 20 s" */
#define SFS_CLI_DURATION 32
void sfs_cli_duration(uint64_t seconds, char text[SFS_CLI_DURATION]);

struct sfs_cli_progress {
    bool terminal, quiet, shown;
    unsigned last_percent;
    char last_kind[16], last_state[16];
};
/* One line that is written again and again on a terminal; elsewhere a line for each 5 %. */
void sfs_cli_progress_show(struct sfs_cli_progress *p, const struct sfs_value *answer, FILE *to);
void sfs_cli_progress_end(struct sfs_cli_progress *p, FILE *to);

/* --- being interrupted (interrupt.c) --- */

/* From now on the first SIGINT or SIGTERM is only noted; the second one ends the process. */
void sfs_cli_interrupt_catch(void);
bool sfs_cli_interrupted(void);

/* --- groups of verbs --- */

int sfs_cli_create(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_mount(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_unmount(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_list(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_status(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_set(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_add(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_remove(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_replace(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_offline(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_online(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_scrub(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_role_of_disk(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_resize(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_plan(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_pause(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_resume(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_cancel(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_wait(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_check(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_export(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_import(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_version(struct sfs_cli *cli, const struct sfs_cli_args *args);
int sfs_cli_help(struct sfs_cli *cli, const struct sfs_cli_args *args);

/* Unmounts a pool that is mounted (mount.c). *mounted tells whether it was; info on failure. */
int sfs_cli_unmount_pool(const char *pool, bool *mounted, struct scalefs_error_info *info);

/* Called as mount.scalefs? Then mount(8) asks, and *status is the answer (mount.c). */
bool sfs_cli_mount_helper(int argc, char **argv, int *status);

#endif
