/*
 * Whether a process ran between two moments, by the scheduler's own counts.
 *
 * What was read of a process none of whose threads has run meanwhile is what it would have been under a stop. A thread
 * that sleeps in a system call at the first moment, and is stopped by us at the second, has run nothing of its own if it
 * is in that call still, with the same arguments and stack pointer, and has given up its processor once since, to stop
 * (voluntary_ctxt_switches in /proc/PID/task/TID/status: nvcsw, counted in __schedule). Had it come back and slept again,
 * that would be twice. Being preempted on the way to the stop, as happens on a busy machine, counts elsewhere.
 *
 * One case is left: who came back, made the same call again and was stopped before that could sleep. It has microseconds to
 * happen in if the threads are looked at right before the stop once more (stillness_lasts).
 */
#pragma once

#include "target/target.h"

enum { STILL_PLACE_WORDS = 9 };

struct still_thread {
    pid_t tid;
    uint64_t yields;                   /* voluntary context switches */
    uint64_t place[STILL_PLACE_WORDS]; /* system call (-1: in none), its six arguments, stack pointer, program counter */
};

struct stillness {
    struct still_thread *items; /* ascending by tid */
    size_t count, capacity;
};

/*
 * Notes where every thread is, while all of them sleep; waits some milliseconds for them to fall asleep. 0;
 * OUTCOME_TORN: one is running; OUTCOME_NOT_POSSIBLE: /proc does not tell; negative errno. Release with stillness_free.
 */
int stillness_begin(const struct procfs *procfs, pid_t pid, struct stillness *ret, struct why *why) must_check;
void stillness_free(struct stillness *stillness);

/* Whether all of them sleep where they did, and have not been awake in between. */
bool stillness_lasts(const struct stillness *stillness, const struct procfs *procfs, pid_t pid);

/* Whether no thread of the stopped `target` has run since, and none was born or has ended. False when in doubt. */
bool stillness_held(const struct stillness *stillness, const struct target *target);
