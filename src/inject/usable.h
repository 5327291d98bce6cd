/* What forbids to borrow a thread, or any thread of a process. */
#pragma once

#include "inject/internal.h"

/*
 * 0; OUTCOME_NOT_POSSIBLE with a whole sentence: what holds for the process; to be asked before it is stopped as well as
 * during the stop. Negative errno.
 */
int process_is_usable(const struct procfs *procfs, pid_t pid, const char *comm, struct why *why) must_check;

/*
 * 0; OUTCOME_NOT_POSSIBLE with a clause that has the thread as its subject; negative errno. For a stopped thread whose home
 * is known; on the tracing thread.
 */
int thread_is_usable(const struct injection *injection, const struct thread_status *status, struct why *why) must_check;
