/* Inside this folder. */
#pragma once

#include "inject/arch.h"
#include "inject/inject.h"

struct filters;       /* inject/filters.h */
struct thread_status; /* inject/thread-status.h */

struct injection {
    struct target *target;         /* borrowed */
    struct target_thread *thread;  /* in it */
    struct range room;             /* of its stack: dead, mapped, writable */
    struct arch_code code;
    struct arch_home home;
    struct filters *filters;
    bool lost;                     /* the thread is not where we think it is: nothing more is done */
};

/* A chain that is about to be made, or under way. */
struct run {
    struct injection *injection;
    struct arch_layout layout;
    uint8_t *image, *before;       /* of layout.start ... layout.end; and what was there */
    uint8_t *flags;                /* of its pages, as they were */
    struct remote_call *calls;
    struct arch_call made[INJECTION_CALLS_MOST]; /* the same */
    size_t count;
    struct why *why;
};

/* Fills injection->code. Looks only into what stays mapped: the vDSO, the program, libc, its loader. */
int find_code(struct target *target, const struct maps *maps, struct arch_code *ret, struct why *why) must_check;

/* Chooses injection->thread, and what belongs to it. On the tracing thread. */
int choose_thread(struct injection *injection, const struct maps *maps, struct why *why) must_check;

/* Runs the chain to its end; on the tracing thread. As injection_call. */
int run_chain(struct run *run) must_check;
