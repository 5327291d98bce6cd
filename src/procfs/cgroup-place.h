/* Where a process' cgroup lies: v2, v1 and hybrid hierarchies, as the process' own files name them. */
#pragma once

#include <limits.h>
#include <stdbool.h>

#include "procfs/procfs.h"

struct cgroup_place {
    int version;          /* 1 or 2: which hierarchy has the controller; 0: none */
    char path[PATH_MAX];  /* as /proc/PID/cgroup names it; "" with version 0 */
    bool visible;         /* its directory is: false in another cgroup namespace, where it is not mounted, or removed */
    char directory[2 * PATH_MAX]; /* where `visible`: below the root */
    size_t mount_length;  /* of `directory`: the mount point */
};

/*
 * The cgroup of `pid` for `controller` ("memory", "cpu"). Mount points are taken from proc/self/mountinfo below the
 * root. A process that is in none has version 0, and that is no error. Negative errno; *ret is undefined then.
 */
int cgroup_find(const struct procfs *procfs, pid_t pid, const char *controller, struct cgroup_place *ret,
                struct why *why) must_check;

/* The same of the cgroup that has `path` in the controller's hierarchy of that version. */
int cgroup_place_at(const struct procfs *procfs, int version, const char *path, const char *controller,
                    struct cgroup_place *ret, struct why *why) must_check;

/* Makes `directory` its parent. False at the mount point, above which nothing is visible. */
bool cgroup_parent(struct cgroup_place *place);
