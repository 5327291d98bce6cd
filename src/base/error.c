#include "base/error.h"

#include <stdio.h>
#include <string.h>

int why_set(struct why *why, int error, const char *format, ...)
{
    va_list args;

    if (!why)
        return error;
    va_start(args, format);
    vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    return error;
}

int why_prefix(struct why *why, int error, const char *format, ...)
{
    char old[sizeof why->text];
    va_list args;
    int length;

    if (!why)
        return error;
    memcpy(old, why->text, sizeof old);
    va_start(args, format);
    length = vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    if (length >= 0 && (size_t)length + 2 < sizeof why->text)
        snprintf(why->text + length, sizeof why->text - (size_t)length, ": %.*s",
                 (int)(sizeof why->text - (size_t)length - 3), old);
    return error;
}
