/*
 * Which container a process runs in, as the path of its cgroup names it: OCI runtimes, kubelets, LXC and systemd put a
 * container's id or name there. What is not recognised is no container; nothing is guessed from other signs.
 */
#pragma once

#include <stdbool.h>

#include "procfs/procfs.h"

struct container {
    char name[256];      /* the whole id, or the name where the runtime has no ids; "" outside of a container */
    const char *runtime; /* "docker", "podman", ...: static; NULL where the path does not tell which */
};

/* The innermost container that `path` (as in /proc/PID/cgroup) lies in; false, and all empty, where it names none. */
bool container_from_path(const char *path, struct container *ret);

/*
 * The same for a process, from all its hierarchies: the first that names one. 0, also when it is in none;
 * negative errno as process_error; -EBADMSG for text that cannot be understood.
 */
int container_read(const struct procfs *procfs, pid_t pid, struct container *ret, struct why *why) must_check;
