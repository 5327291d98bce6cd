/* What /proc/PID/task/TID/status tells of a thread that matters for borrowing it. */
#pragma once

#include <stdint.h>

#include "procfs/procfs.h"

struct thread_status {
    int seccomp;            /* 0: none, 1: strict, 2: filters; 0 where the kernel has none */
    bool shadow_stack;      /* in use (x86_Thread_features, since 6.6) */
    uint64_t blocked, caught; /* signals: bit 0 is signal 1 */
};

/* 0; -ESRCH; -EBADMSG for a line that cannot be understood; other negative errno. */
int thread_status_read(const struct procfs *procfs, pid_t pid, pid_t tid, struct thread_status *ret, struct why *why)
    must_check;
