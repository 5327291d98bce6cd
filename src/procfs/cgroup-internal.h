/* What finding cgroups by process and by name have in common. */
#pragma once

#include <stdbool.h>

#include "procfs/mountinfo.h"

/* What is left of `path` below the directory `root` that is mounted: "" or "/..."; NULL where it lies elsewhere. */
const char *cgroup_path_below(const char *path, const char *root);

/* Whether the hierarchy mounted there is the controller's. */
bool cgroup_mount_has(const struct procfs *procfs, const struct mount *mount, const char *controller);
