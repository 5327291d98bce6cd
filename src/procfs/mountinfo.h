/* /proc/PID/mountinfo. */
#pragma once

#include <stdint.h>

#include "procfs/procfs.h"

struct mount {
    uint32_t dev_major, dev_minor;
    const char *root;          /* the directory of the file system that is mounted; "/.." parts lie outside our namespace */
    const char *point;         /* where, absolute; unescaped, as all here */
    const char *type;          /* "tmpfs", "cgroup2", ... */
    const char *super_options; /* "rw,memory" */
};

/*
 * Calls `each` for every mount, in order, until it returns non-zero, which is returned. The strings live during the
 * call only. Negative errno; -EBADMSG for text that cannot be understood. `process`: a pid, or "self".
 */
int mountinfo_each(const struct procfs *procfs, const char *process,
                   int (*each)(void *context, const struct mount *mount), void *context, struct why *why) must_check;
