/* The control socket of a running (mounted) pool: how `scalefs` manages a pool that another process
 * has open. The protocol is described in control/message.h.
 *
 * The socket is POOL-UUID.sock in a folder of its owner's alone (control/folder.h), mode 0600;
 * besides, the kernel is asked who connects, and only the same user and root are heard. Every
 * connection has a thread of its own, at most SFS_CONTROL_CONNECTIONS at a time, so `status` and
 * `unmount` are answered whatever the others wait for.
 *
 * Start it after becoming a daemon (threads do not survive fork, and the socket says whose it is).
 * The order of closing:
 *     scalefs_control_closing(control);              no request touches the pool any more
 *     error = scalefs_pool_close(pool, ...);
 *     scalefs_control_closed(control, error);        those who asked for it learn how it went;
 *                                                    the socket is gone, and another may start
 *     scalefs_control_stop(control);
 * With scalefs_control_stop alone, before scalefs_pool_close, they wait for the process to end
 * instead.
 */
#ifndef SFS_CONTROL_SERVER_H
#define SFS_CONTROL_SERVER_H

#include "scalefs/pool.h"

#define SFS_CONTROL_CONNECTIONS 16

struct scalefs_control;

/* `request_unmount` is called from any thread, once for each client that asks, and must return at
 * once: the driver unmounts as umount(8) does, or does nothing when that can't be. `mountpoint` is
 * copied. NOTSUP on systems where the control socket is missing: a pool can be used all the same.
 */
int scalefs_control_start(struct scalefs_pool *pool, const char *mountpoint,
                          void (*request_unmount)(void *context), void *context,
                          struct scalefs_control **control, struct scalefs_error_info *info);

/* Ends what requests wait for (it is resumed at the next opening) and waits until none is inside
 * the pool; later ones are refused. */
void scalefs_control_closing(struct scalefs_control *control);
void scalefs_control_closed(struct scalefs_control *control, int error);

/* Ends all connections, removes the socket, frees. NULL is fine. */
void scalefs_control_stop(struct scalefs_control *control);

#endif
