/* The other end of the control socket: finds the process that has a pool mounted, and asks it.
 *
 * Not for several threads at a time. Sockets whose server has died are removed when they are met.
 * Where the control socket is missing (Windows) no pool is ever found.
 */
#ifndef SFS_CONTROL_CLIENT_H
#define SFS_CONTROL_CLIENT_H

#include "control/message.h"

struct sfs_control_client;

/* The pool called `pool`: a name, a UUID, a mount point or the path of one of its disks. Errors:
 * NOENT (nobody has it mounted, as far as this user can see), AMBIGUOUS. */
int sfs_control_find(const char *pool, struct sfs_control_client **client,
                     struct scalefs_error_info *info);
void sfs_control_disconnect(struct sfs_control_client *client);

/* Every pool that this user has mounted; `status` is the server's STATUS. */
int sfs_control_each(void (*each)(void *context, const struct sfs_value *status), void *context);

/* The member "pool" of its STATUS when it was found: name, uuid, state, mounted. */
const struct sfs_value *sfs_control_pool(const struct sfs_control_client *client);

/* Sends one request and hands over each answer until the last (`done` or `error`), which decides
 * what is returned. False from `on_answer` gives up. PROTOCOL when the server can't be understood,
 * GONE when the connection ended before the last answer. */
int sfs_control_ask(struct sfs_control_client *client, const char *line, size_t len,
                    bool (*on_answer)(void *context, const struct sfs_value *answer), void *context,
                    struct scalefs_error_info *info);

/* Waits until the server has closed the pool, or, when it says nothing about that, has ended. `take_away` unmounts, once the
 * server has promised to tell how closing went, or cannot be talked to any more; its error ends the call (that nothing is mounted is none). NULL: the server is asked to unmount.
 * `keep_waiting` is asked once a second; false: BUSY. */
int sfs_control_unmount(struct sfs_control_client *client,
                        int (*take_away)(void *context, struct scalefs_error_info *info), bool (*keep_waiting)(void *context),
                        void *context, struct scalefs_error_info *info);

#endif
