/*
 * The memory of a live process. Read it while the process is stopped: else it may free, fork or execute another program
 * between a look at the page states and the read, and then a page is read that is not present, or is shared.
 */
#pragma once

#include "mem/memory.h"
#include "procfs/pages.h"
#include "procfs/procfs.h"

struct live_memory {
    struct memory memory; /* first: &live->memory is the interface */
    pid_t pid;
    int mem_fd;           /* /proc/PID/mem: leaves copy-on-write pages shared (it takes no pin) */
    struct page_source pages;
    bool only_mem_fd;     /* process_vm_readv is refused here (seccomp): all goes through mem_fd */
};

/*
 * Opens /proc/PID/mem (needs PTRACE_MODE_ATTACH rights) and pagemap. Release with live_memory_close.
 * Negative errno: -EACCES/-EPERM not permitted, -ESRCH vanished.
 */
int live_memory_open(struct live_memory *ret, const struct procfs *procfs, pid_t pid, struct why *why) must_check;
void live_memory_close(struct live_memory *live);

/* Whether the memory it was opened on is no more: the process has exited or runs another program. Touches nothing. */
bool live_memory_is_gone(const struct live_memory *live);
