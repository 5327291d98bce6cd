/* /proc/PID/cgroup: the cgroups that a process is in, one of each hierarchy. */
#pragma once

#include <stdint.h>

#include "procfs/parse.h"
#include "procfs/procfs.h"

struct membership {
    uint64_t id;             /* of the hierarchy; 0: v2 */
    struct text controllers; /* "cpu,cpuacct", "name=systemd"; empty in v2 */
    const char *path;        /* absolute, below the hierarchy's root or that of our cgroup namespace */
};

/*
 * Calls `each` for every line, in order, until it returns non-zero, which is returned. The texts live during the call
 * only. Negative errno otherwise: as process_error, so -ENOENT is a kernel without cgroups; -EBADMSG for a line that
 * cannot be understood.
 */
int memberships_each(const struct procfs *procfs, pid_t pid,
                     int (*each)(void *context, const struct membership *membership), void *context, struct why *why)
    must_check;

/* Whether a comma-separated list has the word. */
bool list_has(struct text list, const char *word);
