/* What it means that a file of a process cannot be read: gone, not permitted, or no such file in this kernel. */
#pragma once

#include "procfs/procfs.h"

/*
 * For an error (or an empty text: pass -ESRCH) from /proc/PID/`file`. Writes the sentence and returns
 *
 *   -ESRCH   there is no such process, or it has no memory (zombie, exiting, kernel thread)
 *   -EACCES  it exists, but may not be looked at
 *   -ENOENT  it exists, but this kernel has no such file
 *   others   as they came
 *
 * Reads /proc/PID/status for it.
 */
int process_error(const struct procfs *procfs, pid_t pid, int error, const char *file, struct why *why) must_check;

/* For a process whose directory in /proc is not there: -ESRCH, or -EACCES where it is hidden (hidepid=2). */
int process_absent(const struct procfs *procfs, pid_t pid, struct why *why) must_check;

/* -EACCES and its sentence, without a further look at the process. */
int process_refused(pid_t pid, const char *file, struct why *why) must_check;
