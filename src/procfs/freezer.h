/* Whether a process' cgroups are frozen: then it runs no instruction, and a tracer can do nothing about that. */
#pragma once

#include "procfs/procfs.h"

/*
 * Looks at v1's freezer and at v2, their ancestors included, where they are visible; *ret_frozen is also true while they are
 * about to freeze. `ret_path` (of `size` bytes) gets the cgroup's path. Negative errno.
 */
int cgroup_is_frozen(const struct procfs *procfs, pid_t pid, bool *ret_frozen, char *ret_path, size_t size,
                     struct why *why) must_check;
