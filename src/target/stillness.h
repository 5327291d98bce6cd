/*
 * Whether a process ran between two moments, by the scheduler's own counts.
 *
 * What was read of a process none of whose threads has run meanwhile is what it would have been under a stop. The
 * kernel counts how often each thread was put on a processor (/proc/PID/task/TID/schedstat, third field: pcount,
 * incremented in sched_info_arrive). A thread that sleeps at the first moment and is stopped by us at the second was
 * put on a processor exactly once, to stop: between its last instruction and its stop it executes none of its own.
 */
#pragma once

#include "target/target.h"

struct still_thread {
    pid_t tid;
    uint64_t arrivals;
};

struct stillness {
    struct still_thread *items; /* ascending by tid */
    size_t count, capacity;
};

/*
 * Notes every thread's count while all of them sleep; waits some milliseconds for them to fall asleep. 0;
 * OUTCOME_TORN: one is running; OUTCOME_NOT_POSSIBLE: this kernel does not count (no CONFIG_SCHED_INFO); negative
 * errno. Release with stillness_free.
 */
int stillness_begin(const struct procfs *procfs, pid_t pid, struct stillness *ret, struct why *why) must_check;
void stillness_free(struct stillness *stillness);

/* Whether no thread of the stopped `target` has run since, and none was born or has ended. False when in doubt. */
bool stillness_held(const struct stillness *stillness, const struct target *target);
