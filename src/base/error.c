/* Names and sentences of the errors, from the table in scalefs/error.h; refusals. */
#include "base/refuse.h"

#include <stdarg.h>
#include <stdio.h>

const char *scalefs_error_name(int error)
{
    switch (error) {
#define NAME(name, number, errno_name, sentence)                                                   \
    case number:                                                                                   \
        return #name;
        SCALEFS_ERRORS(NAME)
#undef NAME
    default:
        return "UNKNOWN";
    }
}

const char *scalefs_error_text(int error)
{
    switch (error) {
#define TEXT(name, number, errno_name, sentence)                                                   \
    case number:                                                                                   \
        return sentence;
        SCALEFS_ERRORS(TEXT)
#undef TEXT
    default:
        return "an unknown error";
    }
}

int sfs_refuse(struct scalefs_error_info *info, int error, const char *format, ...)
{
    if (info) {
        info->error = error;
        va_list args;
        va_start(args, format);
        vsnprintf(info->text, sizeof info->text, format, args);
        va_end(args);
    }
    return error;
}
