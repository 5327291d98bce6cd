/* What tells a process from another that later gets its id. */
#pragma once

#include <stdint.h>

#include "procfs/procfs.h"

struct process_identity {
    char boot_id[40];     /* a UUID, of this run of the kernel; "" where it is not told */
    uint64_t start_ticks; /* when it began, in ticks since then: field 22 of /proc/PID/stat (proc(5)) */
    bool known;           /* both of them */
};

/*
 * `ret->known` is false where a file cannot be read or understood. The ticks are as seen from here: a time namespace
 * shifts them. A process keeps them when it executes another program.
 */
void process_identity_read(const struct procfs *procfs, pid_t pid, struct process_identity *ret);
