/* Whether another process has the same memory: by clone with CLONE_VM and without CLONE_THREAD, or by vfork. */
#pragma once

#include "procfs/procfs.h"
#include "procfs/sharing.h"

/*
 * 0: no process that can be seen from here has it. OUTCOME_NOT_POSSIBLE, with a sentence that names one which has, or which
 * may have: it must not be compared (kcmp(2) takes the right to trace both) and is exactly as large. Negative errno.
 */
int cure_find_sharer(const struct procfs *procfs, pid_t pid, compare_memory *compare, struct why *why) must_check;
