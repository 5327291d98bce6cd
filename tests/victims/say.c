#include "say.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/* Lines are short, the buffer is on the stack, and integers and strings need no memory to be
 * printed. */
__attribute__((format(printf, 1, 0))) static void say_line(const char *format, va_list arguments)
{
    char line[512];
    int length = vsnprintf(line, sizeof line - 1, format, arguments);

    if (length < 0)
        _exit(1);
    if (length > (int)sizeof line - 2)
        length = sizeof line - 2;
    line[length++] = '\n';
    if (write(STDOUT_FILENO, line, (size_t)length) != length)
        _exit(1);
}

void say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say_line(format, arguments);
    va_end(arguments);
}

void fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say_line(format, arguments);
    va_end(arguments);
    _exit(1);
}
