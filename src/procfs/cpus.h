/* Processors: of the machine, and those that a process may use. */
#pragma once

#include <stdint.h>

#include "procfs/procfs.h"

struct cpus {
    unsigned online;     /* in the machine; 0 where that cannot be read */
    unsigned allowed;    /* the process' first thread may run on: its affinity, inside its cpuset; 0: not known */
    /* CPU time that its cgroup, or one above it, allows in a period: the lowest share of all visible limits. */
    uint64_t quota_us, period_us; /* 0: no limit is set, or none is visible */
};

/* What cannot be read is left 0, as nothing depends on it but sentences. Negative errno: -ENOMEM only. */
int cpus_read(const struct procfs *procfs, pid_t pid, struct cpus *ret) must_check;

/* Processors worth of time, in hundredths: the quota's, if that is less than what it may run on; 0: not known. */
uint64_t cpus_usable_hundredths(const struct cpus *cpus);
