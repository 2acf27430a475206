/* Names and sentences of the errors, from the table in scalefs/error.h. */
#include "scalefs/error.h"

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
