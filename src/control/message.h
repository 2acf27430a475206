/* The words of the control protocol, version 1.
 *
 * Both sides speak JSON documents, one a line ('\n'; none inside). The client asks, the server
 * answers; a connection may carry several questions, one after the other.
 *
 *   {"scalefs": 1, "verb": VERB, ...}                                    at most 64 KiB
 *     hello                                     who is there
 *     status
 *     set       "settings": [{"key": K, "value": V}, ...]  "wait"       all or none
 *     replace   "old", "new" (or "pairs": [{"old", "new"}, ...]), "size": bytes, "force", "wait"
 *     offline   "disk"
 *     online    "disk"
 *     add       "disks": [path, ...], "station", "role", "size", "force", "wait"
 *     role      "disk", "role": "data" | "metadata", "wait"
 *     remove    "disk", "failover", "wait"
 *     resize    "disk", "size": bytes (0: all of its device), "wait"
 *     plan      "change": "add" | "remove" | "replace" | "resize" | "set" | "role", "disk", "disks": [path or size,
 *               ...], "failover", "optimize", "size", "station", "role"; `done` has "plan" besides
 *     pause, resume, cancel   "task": number (0: all), "wait"
 *     scrub     "action": "start" | "pause" | "resume" | "stop", "wait"
 *     wait
 *     unmount
 *   Strings that name disks are paths as the server sees them, short ids or UUIDs.
 *
 *   {"scalefs": 1, "type": "progress", "status": STATUS, "more": MORE}    any number, while it
 * waits
 *   {"scalefs": 1, "type": "accepted", "pid": N}                          unmount: it has begun
 *   {"scalefs": 1, "type": "done", "status": STATUS, "more": MORE}        the last answer; or
 *   {"scalefs": 1, "type": "error", "error": {"code": "NOSPC", "number": 6, "text": SENTENCE}}
 *   Documents of the server are at most 4 MiB.
 *
 * STATUS is the document of `scalefs status --json`; MORE is what else people are shown:
 * "failures_left", "compression", "zstd_level", "record_bytes", "read_only"; and "before", the
 * "repairs" at the time of the question. `done` of unmount has neither, `done` of hello has "pid"
 * besides. Unknown members are ignored by both sides. A line that is not such a document, is too
 * long, or is of another version gets an error and the connection ends.
 */
#ifndef SFS_CONTROL_MESSAGE_H
#define SFS_CONTROL_MESSAGE_H

#include "scalefs/pool.h"
#include "control/value.h"

#define SFS_CONTROL_VERSION 1
#define SFS_CONTROL_REQUEST_MAX (64u << 10)
#define SFS_CONTROL_ANSWER_MAX (4u << 20)

/* Begins a document: {"scalefs": 1, "type": type (unless NULL). */
void sfs_message_begin(struct sfs_json *json, const char *type);
/* Ends it and makes one line of it, with a newline at the end. Free with free. */
int sfs_message_line(struct sfs_json *json, char **line, size_t *len);

/* "status" and "more". `mounted` may be NULL. */
void sfs_message_put_status(struct sfs_json *json, const struct scalefs_status *status,
                            const char *mounted, const struct scalefs_status *before);
/* "plan": {...} */
void sfs_message_put_plan(struct sfs_json *json, const struct scalefs_plan *plan);
/* "error": {...}. With an empty `text`, the error's own sentence. */
void sfs_message_put_error(struct sfs_json *json, int error, const char *text);

/* Fills `info` (error, sentence) from a failed answer. */
void sfs_message_get_error(const struct sfs_value *answer, struct scalefs_error_info *info);

/* Fills info and returns error. */
int sfs_control_fail(struct scalefs_error_info *info, int error, const char *format, ...);

#endif
