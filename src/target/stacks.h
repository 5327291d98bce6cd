/* Stacks of a stopped process' threads: extent and stack pointer. */
#pragma once

#include "target/target.h"

struct thread_stack {
    struct range range;  /* whole stack, guard excluded */
    remote_addr sp;
    pid_t tid;
    bool sp_inside;      /* false: the thread runs on another stack (a coroutine's); all of this one is in use */
    bool ended;          /* its thread has ended, `tid` is 0, and above `sp` is only what glibc keeps of the thread */
    bool not_joined;     /* ended, and nobody has joined or detached the thread; false also where that is not known */
};

struct thread_stacks {
    struct thread_stack *items; /* ascending by range, not overlapping */
    size_t count, capacity;
    size_t unknown;      /* threads whose stack could not be delimited: left to be unexplained */
};

/*
 * The main thread's is the [stack] mapping. Others' are read from the thread descriptor at fs_base: glibc keeps
 * stackblock, stackblock_size, guardsize there in a row; the offset is found by what the words must satisfy, not
 * from a table. Stacks of threads that have ended are in the list, too, where they are found (target/ended.h).
 * Release with free(items). Negative errno.
 */
int thread_stacks_find(struct target *target, const struct maps *maps, struct thread_stacks *ret, struct why *why)
    must_check;
