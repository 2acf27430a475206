/* 128-bit ids: made at random, compared, written and read as text. */
#include "base/uuid.h"

#include <string.h>

void sfs_uuid_make(struct sfs_env *env, struct sfs_uuid *uuid)
{
    sfs_random(env, uuid->bytes, sizeof uuid->bytes);
    uuid->bytes[6] = (uint8_t)((uuid->bytes[6] & 0x0f) | 0x40); /* version 4 */
    uuid->bytes[8] = (uint8_t)((uuid->bytes[8] & 0x3f) | 0x80); /* RFC 4122 */
}

bool sfs_uuid_equal(const struct sfs_uuid *a, const struct sfs_uuid *b)
{
    return !memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

bool sfs_uuid_is_zero(const struct sfs_uuid *a)
{
    static const struct sfs_uuid zero;
    return sfs_uuid_equal(a, &zero);
}

/* Whether a dash stands before byte `i` of the text form. */
static bool dash_before(unsigned i)
{
    return i == 4 || i == 6 || i == 8 || i == 10;
}

void sfs_uuid_format(const struct sfs_uuid *uuid, char text[SFS_UUID_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    char *at = text;
    for (unsigned i = 0; i < 16; i++) {
        if (dash_before(i))
            *at++ = '-';
        *at++ = digits[uuid->bytes[i] >> 4];
        *at++ = digits[uuid->bytes[i] & 15];
    }
    *at = 0;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool sfs_uuid_parse(const char *text, struct sfs_uuid *uuid)
{
    struct sfs_uuid found;
    for (unsigned i = 0; i < 16; i++) {
        if (dash_before(i) && *text++ != '-')
            return false;
        int high = digit_value(*text);
        if (high < 0)
            return false;
        text++;
        int low = digit_value(*text);
        if (low < 0)
            return false;
        text++;
        found.bytes[i] = (uint8_t)(high << 4 | low);
    }
    if (*text)
        return false;
    *uuid = found;
    return true;
}
