/*
 * The environment that a process was started with, and whether it was started with raised privileges.
 *
 * /proc/PID/environ is not read: it would bring pages of the process back from swap. environ_range tells where the
 * environment lies, so that whoever reads memory can read of it what is present.
 */
#pragma once

#include <stdint.h>

#include "base/range.h"
#include "procfs/procfs.h"

enum { ENVIRON_VARIABLES = 32, ENVIRON_VALUE = 1000 };
#define ENVIRON_BYTES (UINT64_C(8) << 20) /* more is not looked at; the kernel allows 6 MiB without a raised stack limit */

struct environ_variable {
    char name[64];
    char *value;      /* cut at ENVIRON_VALUE bytes; anything but NUL can be in it */
};

/* Release with environ_free. */
struct environ_variables {
    struct environ_variable *items;
    size_t count, capacity;
};

/*
 * Where the initial environment lies in the memory of `pid`: it may have written other things there since. Not
 * page-aligned; empty when there is none. Negative errno: -EACCES when we may not be told.
 */
int environ_range(const struct procfs *procfs, pid_t pid, struct range *ret, struct why *why) must_check;

/*
 * Adds the variables whose names `wanted` accepts, ENVIRON_VARIABLES at most in all, in their order; nothing else of
 * the text is kept. What does not look like a variable is passed over. -ENOMEM.
 */
int environ_take(const char *text, size_t length, bool (*wanted)(const char *name), struct environ_variables *to)
    must_check;
void environ_free(struct environ_variables *variables);

/* AT_SECURE: the kernel gave it privileges at execve that its starter lacks. Negative errno. */
int process_is_secure(const struct procfs *procfs, pid_t pid, bool *ret) must_check;
