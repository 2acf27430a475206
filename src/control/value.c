/* The JSON parser: recursive descent over a private copy of the text, in which strings are decoded
 * in place (a decoded string is never longer than its source). Never reads past the end: the copy
 * ends in a NUL, which no rule accepts inside a document. */
#include "control/value.h"

#include <stdlib.h>
#include <string.h>

#include "scalefs/error.h"

#define BLOCK_VALUES 128

struct block {
    struct block *next;
    size_t used;
    struct sfs_value values[BLOCK_VALUES];
};
struct sfs_document {
    char *text;
    struct block *blocks;
    size_t count;
    struct sfs_value *root;
};
struct parser {
    struct sfs_document *document;
    char *at, *end;
    unsigned depth;
    int error;
};

static struct sfs_value *parse_value(struct parser *p);

static void *fail(struct parser *p, int error)
{
    if (!p->error)
        p->error = error;
    return NULL;
}

static void skip_space(struct parser *p)
{
    while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r')
        p->at++;
}

static struct sfs_value *new_value(struct parser *p, enum sfs_value_type type)
{
    struct sfs_document *d = p->document;
    if (d->count == SFS_VALUE_COUNT)
        return fail(p, SCALEFS_E_INVAL);
    if (!d->blocks || d->blocks->used == BLOCK_VALUES) {
        struct block *block = malloc(sizeof(*block));
        if (!block)
            return fail(p, SCALEFS_E_NOMEM);
        block->next = d->blocks;
        block->used = 0;
        d->blocks = block;
    }
    d->count++;
    struct sfs_value *v = &d->blocks->values[d->blocks->used++];
    memset(v, 0, sizeof(*v));
    v->type = type;
    return v;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The four digits of \uXXXX, or -1. */
static long hex4(struct parser *p)
{
    long code = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p->at[0]);
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
        p->at++;
    }
    return code;
}

static char *put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *to++ = (char)(0xe0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 63));
        *to++ = (char)(0x80 | (c & 63));
    } else {
        *to++ = (char)(0xf0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 63));
        *to++ = (char)(0x80 | (c >> 6 & 63));
        *to++ = (char)(0x80 | (c & 63));
    }
    return to;
}

/* What follows a backslash, decoded to *to. False: no such escape. */
static bool parse_escape(struct parser *p, char **to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    char c = *p->at++;
    const char *simple = c ? strchr(from, c) : NULL;
    if (simple) {
        *(*to)++ = into[simple - from];
        return true;
    }
    if (c != 'u')
        return false;
    long code = hex4(p);
    if (code >= 0xd800 && code < 0xdc00) {
        if (p->at[0] != '\\' || p->at[1] != 'u')
            return false;
        p->at += 2;
        long low = hex4(p);
        if (low < 0xdc00 || low > 0xdfff)
            return false;
        code = 0x10000 + (code - 0xd800) * 1024 + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
        return false;
    }
    if (code <= 0)
        return false;
    *to = put_utf8(*to, (uint32_t)code);
    return true;
}

/* The length of the UTF-8 sequence at s, 0 when it is not one (also overlong, surrogate, too
 * large). */
static size_t utf8_len(const unsigned char *s)
{
    size_t n = s[0] < 0x80                   ? 1
               : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
               : (s[0] & 0xf0) == 0xe0       ? 3
               : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                             : 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) /* the NUL at the end of the text stops this, too */
            return 0;
    if (n == 3 && ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0)))
        return 0;
    if (n == 4 && ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90)))
        return 0;
    return n;
}

/* From after the opening quote to after the closing one. NULL: not a string. */
static const char *parse_string(struct parser *p)
{
    char *start = p->at, *to = p->at;
    while (*p->at != '"') {
        if ((unsigned char)*p->at < 0x20)
            return fail(p, SCALEFS_E_INVAL);
        if (*p->at == '\\') {
            p->at++;
            if (!parse_escape(p, &to))
                return fail(p, SCALEFS_E_INVAL);
            continue;
        }
        size_t n = utf8_len((const unsigned char *)p->at);
        if (!n)
            return fail(p, SCALEFS_E_INVAL);
        memmove(to, p->at, n);
        to += n;
        p->at += n;
    }
    p->at++;
    *to = '\0'; /* over the closing quote at the latest */
    return start;
}

static bool digit(const struct parser *p)
{
    return *p->at >= '0' && *p->at <= '9';
}

static struct sfs_value *parse_number(struct parser *p)
{
    struct sfs_value *v = new_value(p, SFS_VALUE_NUMBER);
    if (!v)
        return NULL;
    v->whole = true;
    v->negative = *p->at == '-';
    p->at += v->negative;
    if (!digit(p) || (*p->at == '0' && p->at[1] >= '0' && p->at[1] <= '9'))
        return fail(p, SCALEFS_E_INVAL);
    for (; digit(p); p->at++) {
        unsigned d = (unsigned)(*p->at - '0');
        if (v->number > (UINT64_MAX - d) / 10)
            v->whole = false;
        else
            v->number = v->number * 10 + d;
    }
    if (*p->at == '.') {
        v->whole = false;
        p->at++;
        if (!digit(p))
            return fail(p, SCALEFS_E_INVAL);
        while (digit(p))
            p->at++;
    }
    if (*p->at == 'e' || *p->at == 'E') {
        v->whole = false;
        p->at++;
        if (*p->at == '+' || *p->at == '-')
            p->at++;
        if (!digit(p))
            return fail(p, SCALEFS_E_INVAL);
        while (digit(p))
            p->at++;
    }
    return v;
}

static struct sfs_value *parse_word(struct parser *p)
{
    static const struct {
        const char *word;
        enum sfs_value_type type;
        bool truth;
    } words[] = {{"null", SFS_VALUE_NULL, false},
                 {"true", SFS_VALUE_BOOL, true},
                 {"false", SFS_VALUE_BOOL, false}};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        size_t len = strlen(words[i].word);
        if (strncmp(p->at, words[i].word, len))
            continue;
        struct sfs_value *v = new_value(p, words[i].type);
        if (v)
            v->truth = words[i].truth;
        p->at += len;
        return v;
    }
    return fail(p, SCALEFS_E_INVAL);
}

/* The members of an object, or the elements of an array, from after the opening bracket. */
static struct sfs_value *parse_members(struct parser *p, bool object)
{
    struct sfs_value *v = new_value(p, object ? SFS_VALUE_OBJECT : SFS_VALUE_ARRAY);
    const struct sfs_value **link = v ? &v->first : NULL;
    char close = object ? '}' : ']';
    if (!v)
        return NULL;
    skip_space(p);
    if (*p->at == close) {
        p->at++;
        return v;
    }
    for (;;) {
        const char *key = NULL;
        if (object) {
            skip_space(p);
            if (*p->at++ != '"')
                return fail(p, SCALEFS_E_INVAL);
            if (!(key = parse_string(p)))
                return NULL;
            skip_space(p);
            if (*p->at++ != ':')
                return fail(p, SCALEFS_E_INVAL);
        }
        struct sfs_value *member = parse_value(p);
        if (!member)
            return NULL;
        member->key = key;
        *link = member;
        link = &member->next;
        v->count++;
        skip_space(p);
        char c = *p->at++;
        if (c == close)
            return v;
        if (c != ',')
            return fail(p, SCALEFS_E_INVAL);
    }
}

static struct sfs_value *parse_value(struct parser *p)
{
    struct sfs_value *v;
    skip_space(p);
    switch (*p->at) {
    case '{':
    case '[':
        if (p->depth == SFS_VALUE_DEPTH)
            return fail(p, SCALEFS_E_INVAL);
        p->depth++;
        v = parse_members(p, *p->at++ == '{');
        p->depth--;
        return v;
    case '"':
        p->at++;
        if ((v = new_value(p, SFS_VALUE_STRING)) && !(v->string = parse_string(p)))
            return NULL;
        return v;
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return parse_number(p);
    default:
        return parse_word(p);
    }
}

int sfs_document_parse(const char *text, size_t len, struct sfs_document **document)
{
    struct sfs_document *d = calloc(1, sizeof(*d));
    *document = NULL;
    if (!d || !(d->text = malloc(len + 1))) {
        free(d);
        return SCALEFS_E_NOMEM;
    }
    memcpy(d->text, text, len);
    d->text[len] = '\0';
    struct parser p = {.document = d, .at = d->text, .end = d->text + len};
    d->root = parse_value(&p);
    if (d->root) {
        skip_space(&p);
        if (p.at != p.end)
            fail(&p, SCALEFS_E_INVAL);
    }
    if (p.error) {
        sfs_document_free(d);
        return p.error;
    }
    *document = d;
    return SCALEFS_OK;
}

const struct sfs_value *sfs_document_root(const struct sfs_document *document)
{
    return document->root;
}

void sfs_document_free(struct sfs_document *document)
{
    if (!document)
        return;
    for (struct block *b = document->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(document->text);
    free(document);
}

const struct sfs_value *sfs_value_get(const struct sfs_value *object, const char *key)
{
    if (!object || object->type != SFS_VALUE_OBJECT)
        return NULL;
    for (const struct sfs_value *v = object->first; v; v = v->next)
        if (!strcmp(v->key, key))
            return v;
    return NULL;
}

const char *sfs_value_string(const struct sfs_value *object, const char *key, const char *otherwise)
{
    const struct sfs_value *v = sfs_value_get(object, key);
    return v && v->type == SFS_VALUE_STRING ? v->string : otherwise;
}

uint64_t sfs_value_u64(const struct sfs_value *object, const char *key, uint64_t otherwise)
{
    const struct sfs_value *v = sfs_value_get(object, key);
    return v && v->type == SFS_VALUE_NUMBER && v->whole && !v->negative ? v->number : otherwise;
}

bool sfs_value_bool(const struct sfs_value *object, const char *key, bool otherwise)
{
    const struct sfs_value *v = sfs_value_get(object, key);
    return v && v->type == SFS_VALUE_BOOL ? v->truth : otherwise;
}

void sfs_value_put(struct sfs_json *json, const char *key, const struct sfs_value *value)
{
    switch (value->type) {
    case SFS_VALUE_NULL:
        sfs_json_null(json, key);
        return;
    case SFS_VALUE_BOOL:
        sfs_json_bool(json, key, value->truth);
        return;
    case SFS_VALUE_NUMBER:
        if (!value->whole || (value->negative && value->number > INT64_MAX))
            sfs_json_null(json, key);
        else if (value->negative)
            sfs_json_i64(json, key, -(int64_t)value->number);
        else
            sfs_json_u64(json, key, value->number);
        return;
    case SFS_VALUE_STRING:
        sfs_json_string(json, key, value->string);
        return;
    case SFS_VALUE_ARRAY:
        sfs_json_array(json, key);
        break;
    case SFS_VALUE_OBJECT:
        sfs_json_object(json, key);
        break;
    }
    for (const struct sfs_value *v = value->first; v; v = v->next)
        sfs_value_put(json, v->key, v);
    sfs_json_end(json);
}
