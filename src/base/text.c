/* Sizes in words, growing strings, JSON. */
#include "base/text.h"
#include "base/assert.h"
#include "base/vec.h"
#include "scalefs/error.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char unit_letters[] = "KMGTPE";

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The unit at the end of a size; false when it is none. */
static bool parse_unit(const char *at, uint64_t *unit)
{
    *unit = 1;
    while (*at == ' ')
        at++;
    if (!*at)
        return true;
    const char *letter = strchr(unit_letters, upper(*at));
    if (!letter)
        return upper(*at) == 'B' && !at[1];
    at++;
    uint64_t step = 1024;
    if (upper(*at) == 'B' && !at[1])
        step = 1000;
    else if (*at && !(upper(*at) == 'I' && upper(at[1]) == 'B' && !at[2]))
        return false;
    for (const char *u = unit_letters; u <= letter; u++)
        *unit *= step;
    return true;
}

int sfs_size_parse(const char *text, uint64_t *bytes)
{
    const char *at = text;
    uint64_t whole = 0, unit, part = 0;
    if (!is_digit(*at))
        return SCALEFS_E_INVAL;
    for (; is_digit(*at); at++) {
        unsigned digit = (unsigned)(*at - '0');
        if (whole > (UINT64_MAX - digit) / 10)
            return SCALEFS_E_INVAL;
        whole = whole * 10 + digit;
    }
    const char *fraction = at, *fraction_end = at;
    if (*at == '.') {
        fraction = ++at;
        while (is_digit(*at))
            at++;
        fraction_end = at;
        if (fraction == fraction_end)
            return SCALEFS_E_INVAL;
    }
    if (!parse_unit(at, &unit))
        return SCALEFS_E_INVAL;
    /* From the last digit to the first; exact, and below 10 * 2^60, so it fits. */
    for (const char *d = fraction_end; d > fraction; d--)
        part = ((uint64_t)(d[-1] - '0') * unit + part) / 10;
    if (whole > (UINT64_MAX - part) / unit)
        return SCALEFS_E_INVAL;
    *bytes = whole * unit + part;
    return SCALEFS_OK;
}

void sfs_size_format(uint64_t bytes, char text[SFS_SIZE_TEXT])
{
    unsigned power = 0;
    while (power < 6 && bytes >> (10 * power) >= 1024)
        power++;
    if (!power) {
        snprintf(text, SFS_SIZE_TEXT, "%u B", (unsigned)bytes);
        return;
    }
    unsigned whole = (unsigned)(bytes >> (10 * power));
    /* Hundredths of the unit; its lowest bits make no difference and would overflow. */
    uint64_t rest = bytes & ((UINT64_C(1) << (10 * power)) - 1);
    unsigned bits = 10 * power;
    if (bits > 50) {
        rest >>= bits - 50;
        bits = 50;
    }
    unsigned hundredths = (unsigned)((rest * 100) >> bits);
    int len;
    if (whole < 10 && hundredths % 10)
        len = snprintf(text, SFS_SIZE_TEXT, "%u.%02u", whole, hundredths);
    else if (whole < 100 && hundredths / 10)
        len = snprintf(text, SFS_SIZE_TEXT, "%u.%u", whole, hundredths / 10);
    else
        len = snprintf(text, SFS_SIZE_TEXT, "%u", whole);
    snprintf(text + len, SFS_SIZE_TEXT - (size_t)len, " %ciB", unit_letters[power - 1]);
}

void sfs_text_init(struct sfs_text *t, struct sfs_env *env)
{
    *t = (struct sfs_text){.env = env};
}

void sfs_text_deinit(struct sfs_text *t)
{
    sfs_free(t->env, t->chars);
    *t = (struct sfs_text){.env = t->env};
}

void sfs_text_clear(struct sfs_text *t)
{
    t->len = 0;
    t->bad = false;
    if (t->chars)
        t->chars[0] = 0;
}

/* Room for `len` more characters and the NUL; false (and bad) when there is none. */
static bool text_room(struct sfs_text *t, size_t len)
{
    if (t->bad || len >= SIZE_MAX - t->len ||
        sfs_vec_reserve(t->env, &t->chars, &t->room, t->len + len + 1, 1))
        t->bad = true;
    return !t->bad;
}

void sfs_text_put_bytes(struct sfs_text *t, const void *bytes, size_t len)
{
    if (!text_room(t, len))
        return;
    if (len)
        memcpy(t->chars + t->len, bytes, len);
    t->len += len;
    t->chars[t->len] = 0;
}

void sfs_text_put(struct sfs_text *t, const char *chars)
{
    sfs_text_put_bytes(t, chars, strlen(chars));
}

void sfs_text_printf(struct sfs_text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    SFS_ASSERT(len >= 0);
    if (!text_room(t, (size_t)len))
        return;
    va_start(args, format);
    vsnprintf(t->chars + t->len, (size_t)len + 1, format, args);
    va_end(args);
    t->len += (size_t)len;
}

const char *sfs_text_chars(const struct sfs_text *t)
{
    return t->chars ? t->chars : "";
}

void sfs_json_init(struct sfs_json *j, struct sfs_env *env)
{
    memset(j, 0, sizeof *j);
    sfs_text_init(&j->text, env);
    j->array[0] = true; /* the top takes one value without a key */
}

void sfs_json_deinit(struct sfs_json *j)
{
    sfs_text_deinit(&j->text);
}

/* The length of the UTF-8 character at `p`, or 0 when there is none. */
static size_t utf8_length(const uint8_t *p, size_t left)
{
    if (p[0] < 0x80)
        return 1;
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    /* Overlong forms, surrogates, and what lies beyond U+10FFFF. */
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

void sfs_text_plain(const char *words, char *to, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = (const uint8_t *)words;
    size_t left = strlen(words), at = 0;
    while (left) {
        size_t n = utf8_length(p, left);
        bool control = *p < 0x20 || *p == 0x7f || (n == 2 && *p == 0xc2 && p[1] < 0xa0), plain = n && !control;
        n = n ? n : 1;
        if (size - at <= (plain ? n : 4 * n))
            break;
        for (size_t i = 0; i < n; i++) {
            if (plain) {
                to[at++] = (char)p[i];
                continue;
            }
            to[at++] = '\\';
            to[at++] = 'x';
            to[at++] = digits[p[i] >> 4];
            to[at++] = digits[p[i] & 15];
        }
        p += n;
        left -= n;
    }
    to[at] = '\0';
}

static void put_quoted(struct sfs_text *t, const char *chars, size_t len)
{
    static const char short_names[] = "\bb\ff\nn\rr\tt\"\"\\\\";
    const uint8_t *p = (const uint8_t *)chars;
    sfs_text_put(t, "\"");
    while (len) {
        size_t n = utf8_length(p, len);
        const char *named = NULL;
        for (const char *s = short_names; *s; s += 2)
            if ((uint8_t)*s == *p)
                named = s;
        if (!n) {
            sfs_text_put(t, "\xef\xbf\xbd");
            n = 1;
        } else if (named) {
            sfs_text_put(t, "\\");
            sfs_text_put_bytes(t, named + 1, 1);
        } else if (*p < 0x20 || *p == 0x7f) {
            sfs_text_printf(t, "\\u%04x", *p);
        } else {
            sfs_text_put_bytes(t, p, n);
        }
        p += n;
        len -= n;
    }
    sfs_text_put(t, "\"");
}

static void json_indent(struct sfs_json *j)
{
    sfs_text_put(&j->text, "\n");
    for (unsigned i = 0; i < j->depth; i++)
        sfs_text_put(&j->text, "  ");
}

/* What stands before a value: the comma, the line, the key. */
static void json_before(struct sfs_json *j, const char *key)
{
    SFS_ASSERT(j->array[j->depth] == !key);
    SFS_ASSERT(j->depth || !j->any[0]);
    if (j->any[j->depth])
        sfs_text_put(&j->text, ",");
    j->any[j->depth] = true;
    if (j->depth)
        json_indent(j);
    if (key) {
        put_quoted(&j->text, key, strlen(key));
        sfs_text_put(&j->text, ": ");
    }
}

static void json_open(struct sfs_json *j, const char *key, bool array)
{
    json_before(j, key);
    SFS_ASSERT(j->depth < SFS_JSON_DEPTH);
    j->depth++;
    j->array[j->depth] = array;
    j->any[j->depth] = false;
    sfs_text_put(&j->text, array ? "[" : "{");
}

void sfs_json_object(struct sfs_json *j, const char *key)
{
    json_open(j, key, false);
}

void sfs_json_array(struct sfs_json *j, const char *key)
{
    json_open(j, key, true);
}

void sfs_json_end(struct sfs_json *j)
{
    SFS_ASSERT(j->depth);
    bool any = j->any[j->depth], array = j->array[j->depth];
    j->depth--;
    if (any)
        json_indent(j);
    sfs_text_put(&j->text, array ? "]" : "}");
}

void sfs_json_string_bytes(struct sfs_json *j, const char *key, const char *value, size_t len)
{
    json_before(j, key);
    put_quoted(&j->text, value, len);
}

void sfs_json_string(struct sfs_json *j, const char *key, const char *value)
{
    if (value)
        sfs_json_string_bytes(j, key, value, strlen(value));
    else
        sfs_json_null(j, key);
}

void sfs_json_u64(struct sfs_json *j, const char *key, uint64_t value)
{
    json_before(j, key);
    sfs_text_printf(&j->text, "%" PRIu64, value);
}

void sfs_json_i64(struct sfs_json *j, const char *key, int64_t value)
{
    json_before(j, key);
    sfs_text_printf(&j->text, "%" PRId64, value);
}

void sfs_json_bool(struct sfs_json *j, const char *key, bool value)
{
    json_before(j, key);
    sfs_text_put(&j->text, value ? "true" : "false");
}

void sfs_json_null(struct sfs_json *j, const char *key)
{
    json_before(j, key);
    sfs_text_put(&j->text, "null");
}

void sfs_json_time(struct sfs_json *j, const char *key, int64_t wall_ns)
{
    if (!wall_ns) {
        sfs_json_null(j, key);
        return;
    }
    const int64_t second = 1000000000, day_seconds = 86400;
    int64_t seconds = wall_ns / second - (wall_ns % second < 0);
    int64_t days = seconds / day_seconds - (seconds % day_seconds < 0);
    unsigned of_day = (unsigned)(seconds - days * day_seconds);
    /* The proleptic Gregorian calendar, in years that begin in March and eras of 400 years. */
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned of_era = (unsigned)(z - era * 146097);
    unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * of_year + 2) / 153;
    unsigned day = of_year - (153 * month + 2) / 5 + 1;
    month = month < 10 ? month + 3 : month - 9;
    json_before(j, key);
    sfs_text_printf(&j->text, "\"%04d-%02u-%02uT%02u:%02u:%02uZ\"",
                    (int)(year + era * 400 + (month <= 2)), month, day, of_day / 3600,
                    of_day / 60 % 60, of_day % 60);
}

int sfs_json_done(struct sfs_json *j, const char **text)
{
    SFS_ASSERT(!j->depth && j->any[0]);
    if (j->text.bad)
        return SCALEFS_E_NOMEM;
    sfs_text_put(&j->text, "\n");
    if (j->text.bad)
        return SCALEFS_E_NOMEM;
    *text = sfs_text_chars(&j->text);
    return SCALEFS_OK;
}
