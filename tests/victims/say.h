/* Output that never touches the heap: no stdio. */
#pragma once

/* One line on standard output, in one write. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, and the end of the process, with exit code 1. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
