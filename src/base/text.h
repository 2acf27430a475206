/* Text: sizes in words, a growing string, and JSON written piece by piece. No I/O, no locale.
 *
 * Strings and JSON documents keep an error inside (no memory) that sticks: put what there is to put
 * and ask once, at the end.
 */
#ifndef SFS_BASE_TEXT_H
#define SFS_BASE_TEXT_H

#include "base/env.h"

#define SFS_SIZE_TEXT 16 /* "1023.99 KiB" and a NUL fit */

/* "4096", "8T", "1.5GiB", "64 kib", "2TB". K M G T P E, alone or with iB, are powers of 1024; with
 * B powers of 1000, as disks are sold. A fraction of a byte is dropped. INVAL for anything else and
 * for what does not fit into 64 bits. */
int sfs_size_parse(const char *text, uint64_t *bytes);

/* In binary units with three digits: "512 B", "1.5 GiB", "3.64 TiB", "931 GiB". Rounded down: never
 * promises more than there is. */
void sfs_size_format(uint64_t bytes, char text[SFS_SIZE_TEXT]);

struct sfs_text {
    struct sfs_env *env; /* NULL: memory of the C library */
    char *chars;         /* NUL-terminated once anything was put; see sfs_text_chars */
    size_t len, room;
    bool bad; /* out of memory: what was put is incomplete */
};
void sfs_text_init(struct sfs_text *t, struct sfs_env *env);
void sfs_text_deinit(struct sfs_text *t);
void sfs_text_clear(struct sfs_text *t);
void sfs_text_put(struct sfs_text *t, const char *chars);
void sfs_text_put_bytes(struct sfs_text *t, const void *bytes, size_t len);
void sfs_text_printf(struct sfs_text *t, const char *format, ...);
/* What was put, NUL-terminated; "" when nothing was. Valid until the next call. */
const char *sfs_text_chars(const struct sfs_text *t);

/* Words from elsewhere (names of files, of pools, of stations) for a line that people read: control characters, and bytes that are not
 * UTF-8, appear as \xNN, so that no name drives a terminal or makes lines of its own. What finds no room in `to` is left out. */
void sfs_text_plain(const char *words, char *to, size_t size);

/* A JSON document. Inside objects every value has a key; in arrays and at the top it is NULL.
 * Strings that are not UTF-8 get U+FFFD in place of each bad byte. */
#define SFS_JSON_DEPTH 32
struct sfs_json {
    struct sfs_text text;
    unsigned depth;
    bool array[SFS_JSON_DEPTH + 1]; /* of the level: array, else object */
    bool any[SFS_JSON_DEPTH + 1];   /* of the level: it has a value already */
};
void sfs_json_init(struct sfs_json *j, struct sfs_env *env);
void sfs_json_deinit(struct sfs_json *j);
void sfs_json_object(struct sfs_json *j, const char *key);
void sfs_json_array(struct sfs_json *j, const char *key);
void sfs_json_end(struct sfs_json *j); /* of the innermost object or array */
void sfs_json_string(struct sfs_json *j, const char *key, const char *value); /* NULL: null */
void sfs_json_string_bytes(struct sfs_json *j, const char *key, const char *value, size_t len);
void sfs_json_u64(struct sfs_json *j, const char *key, uint64_t value);
void sfs_json_i64(struct sfs_json *j, const char *key, int64_t value);
void sfs_json_bool(struct sfs_json *j, const char *key, bool value);
void sfs_json_null(struct sfs_json *j, const char *key);
/* A point in time as RFC 3339 in UTC, whole seconds; null for 0. */
void sfs_json_time(struct sfs_json *j, const char *key, int64_t wall_ns);
/* The finished document (everything ended, indented, a newline at the end). Valid until deinit. */
int sfs_json_done(struct sfs_json *j, const char **text);

#endif
