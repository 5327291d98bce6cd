/*
 * The memory of a live process. While it is free to run it may discard, fork or execute another program between a look at
 * the page states and the read: then set `running`, so that every page is asked for once more right before it is read.
 * What remains is a window of microseconds, in which a page can be read that has just been discarded (the zero page is
 * mapped there, which costs no memory) or has just become shared with a fork (it is then un-shared).
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
    bool running;         /* ask again before every read; the owner's to set */
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
