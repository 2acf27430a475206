/* Does what a request of the control protocol asks, on an open pool.
 *
 * The server calls it for its clients; the command calls it for itself on a pool that nobody has
 * mounted. So every verb has one implementation and one form of answer. Requests come from outside:
 * everything in them is checked here. Threading: any number of calls at a time.
 */
#ifndef SFS_CONTROL_RUN_H
#define SFS_CONTROL_RUN_H

#include "control/message.h"

struct sfs_control_asker {
    /* Takes one answer (a line). False: nobody listens any more. */
    bool (*answer)(void *context, const char *line, size_t len);
    /* Asked about five times a second while something is waited for. True: stop waiting. */
    bool (*stop)(void *context);
    void *context;
};

/* Answers with any number of `progress` and one `done` or `error`. Returns what went into that: the
 * error, or SCALEFS_OK. `mounted` may be NULL. */
int sfs_control_run(struct scalefs_pool *pool, const char *mounted, const struct sfs_value *request,
                    const struct sfs_control_asker *asker);

/* True for a verb that may take as long as the pool has work. */
bool sfs_control_waits(const struct sfs_value *request);

/* Answers with an error. */
bool sfs_control_answer_error(const struct sfs_control_asker *asker, int error, const char *text);

#endif
