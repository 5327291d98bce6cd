/* The memory cgroup of a process: v2, v1 and hybrid hierarchies, as the process' own files name them. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "procfs/procfs.h"

#define CGROUP_NO_LIMIT UINT64_MAX

struct cgroup_memory {
    int version;           /* 1 or 2: which hierarchy has the memory controller; 0: none found */
    char path[PATH_MAX];   /* as /proc/PID/cgroup names it; "" with version 0 */
    char charge_path[PATH_MAX]; /* the directory charge_bytes was read in, below the root; "" where not known. In v2 it is
                                   an ancestor's where memory is not enabled for the process' own cgroup */
    uint64_t charge_bytes; /* memory.current, or usage_in_bytes */
    uint64_t limit_bytes;  /* the lowest of its own and its visible ancestors' limits; CGROUP_NO_LIMIT if none */
    uint64_t room_bytes;   /* what can still be charged until the first of these limits is reached, own or an ancestor's */
    bool room_known;       /* false without a limit, or where it is an ancestor's that is not visible */
    bool charge_known;     /* false where the files are not visible from here (another cgroup namespace, not mounted, removed,
                              or v2's root, which has none); then limit_bytes is CGROUP_NO_LIMIT and means nothing */
};

/* Mount points are taken from proc/self/mountinfo below the root. Negative errno; a process in no memory cgroup has version 0 and is no error. */
int cgroup_memory_read(const struct procfs *procfs, pid_t pid, struct cgroup_memory *ret, struct why *why)
    must_check;

/* The same of the cgroup of the memory controller's hierarchy (v1's or v2) that has this path. */
int cgroup_memory_at(const struct procfs *procfs, int version, const char *path, struct cgroup_memory *ret,
                     struct why *why) must_check;
