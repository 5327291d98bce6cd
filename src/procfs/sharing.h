/* Processes that share their memory: vfork until it executes something, and clone with CLONE_VM. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/*
 * Orders two processes by their memory, in an order of the kernel's own: 0 the same memory, 1 or 2 ("less", "greater");
 * negative errno where it cannot be told (kcmp(2)).
 */
typedef int compare_memory(pid_t a, pid_t b);

/* By kcmp, which needs the right to look at both. */
int kernel_compare_memory(pid_t a, pid_t b);

/*
 * ret_same[i] becomes the first of `pids` (ascending) with the same memory as pids[i], which is pids[i] itself as a
 * rule. Where it cannot be told, processes count as different. -ENOMEM.
 */
int processes_sharing(const pid_t *pids, size_t count, compare_memory *compare, pid_t *ret_same);
