/* JSON read: a strict, bounded parser that makes a tree of values. (base/text.h writes JSON.)
 *
 * Takes one document and nothing after it: UTF-8, at most SFS_VALUE_DEPTH levels and
 * SFS_VALUE_COUNT values. Strings hold no NUL. Of equal keys the first counts. Whole numbers are
 * exact in 64 bits; others are recognised, but have no value here: nothing in the protocol needs
 * them.
 */
#ifndef SFS_CONTROL_VALUE_H
#define SFS_CONTROL_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

#define SFS_VALUE_DEPTH 16
#define SFS_VALUE_COUNT 65536

enum sfs_value_type {
    SFS_VALUE_NULL,
    SFS_VALUE_BOOL,
    SFS_VALUE_NUMBER,
    SFS_VALUE_STRING,
    SFS_VALUE_ARRAY,
    SFS_VALUE_OBJECT
};
struct sfs_value {
    enum sfs_value_type type;
    bool truth;           /* of a bool */
    bool whole, negative; /* of a number: it is whole and fits; then its amount is `number` */
    uint64_t number;
    const char *string;                   /* NUL-terminated */
    const char *key;                      /* inside an object */
    const struct sfs_value *first, *next; /* members or elements; the next one of the same parent */
    size_t count;                         /* members or elements */
};

struct sfs_document;

/* INVAL when it is not JSON or beyond the bounds; NOMEM. Free with sfs_document_free (NULL is
 * fine). */
int sfs_document_parse(const char *text, size_t len, struct sfs_document **document);
const struct sfs_value *sfs_document_root(const struct sfs_document *document);
void sfs_document_free(struct sfs_document *document);

/* A member of an object. NULL when there is none, or when `object` is NULL or no object. The others
 * give `otherwise` unless the member is there and of that type. */
const struct sfs_value *sfs_value_get(const struct sfs_value *object, const char *key);
const char *sfs_value_string(const struct sfs_value *object, const char *key,
                             const char *otherwise);
uint64_t sfs_value_u64(const struct sfs_value *object, const char *key, uint64_t otherwise);
bool sfs_value_bool(const struct sfs_value *object, const char *key, bool otherwise);

/* Writes a value, and all in it, into a document. */
void sfs_value_put(struct sfs_json *json, const char *key, const struct sfs_value *value);

#endif
