/*
 * Stacks of threads that have ended. glibc keeps them for threads to come (stack_cache), or until somebody joins the
 * thread; they are on no stack of a living thread.
 *
 * Every struct pthread of glibc (nptl/descr.h) begins with its own address, twice, and has a list_t followed by the
 * thread's id, which the kernel clears when the thread ends, and pthread_join makes -1. It is linked into one of three rings (threads with stacks
 * of glibc's own, with others, and ended ones), whose heads lie together in the data of ld.so, of libpthread until
 * 2.32, or of a static program. Where in it the list stands is learnt from the living threads, whose ids are known;
 * the other rings' heads are found near theirs. A ring counts only if it closes and all of it are descriptors.
 */
#pragma once

#include "target/stacks.h"

/* What is looked at: a process whose threads are stopped. All borrowed. */
struct ended_view {
    struct memory *memory;
    const struct maps *maps;
    const struct target_thread *threads;
    size_t thread_count;
    pid_t leader;
};

/*
 * Adds the stacks of ended threads to `stacks`, which holds those of the living ones; `sp` of such a stack is where
 * its descriptor begins, above which glibc needs it. What does not prove itself is left out, so that 0 is also
 * returned where nothing could be learnt. Negative errno.
 */
int ended_stacks_find(const struct ended_view *view, struct thread_stacks *stacks, struct why *why) must_check;
