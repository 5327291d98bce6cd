/* The seccomp filters of a thread. */
#pragma once

#include "inject/arch.h"
#include "procfs/procfs.h"

struct filters;

/*
 * Those of a stopped thread, on the tracing thread; *ret NULL where it has none. OUTCOME_NOT_POSSIBLE: strict mode, or
 * they cannot be read (that takes CAP_SYS_ADMIN, and no filter of our own), with a clause that has the thread as its
 * subject. Release with filters_free.
 */
int filters_read(const struct procfs *procfs, pid_t pid, pid_t tid, struct filters **ret, struct why *why) must_check;
void filters_free(struct filters *filters);

/*
 * Whether all filters let the call pass, made with the program counter at `after` behind it. 0; OUTCOME_NOT_POSSIBLE
 * with the same kind of clause. Any answer but "allow" and "log" is a no.
 */
int filters_allow(const struct filters *filters, const struct arch_call *call, remote_addr after, struct why *why)
    must_check;
