/*
 * The thread that traces.
 *
 * PTRACE_DETACH works on stopped threads only, and an interrupt that was asked for cannot be called off: a thread that
 * sits in vfork would stop minutes later, with nobody there to let it go. But when a tracing thread exits, the kernel
 * detaches all that it traces, in whatever state, without a trace (exit_ptrace). Hence a thread for each stop.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

struct tracer;

/*
 * Starts the thread; it blocks every signal. Release with tracer_end. Negative errno.
 *
 * `guarded`: a process of its own traces, which shares our memory and files, and lives on when we are killed: it ends
 * what it was asked to do, and then lets all go. Where none can be made (a seccomp filter) the thread traces as otherwise.
 * Only this process can wait for what it traces, so that `meanwhile` below cannot.
 */
int tracer_start(struct tracer **ret, bool guarded, struct why *why) must_check;

/* Whether a process of its own traces. */
bool tracer_is_guarded(const struct tracer *tracer);

/* Whether such a process was killed. */
bool tracer_is_gone(const struct tracer *tracer);

/* Ends such a process, wherever it is, which lets all go; tracer_call returns -ESRCH then, as when others kill it. */
void tracer_kill(struct tracer *tracer);

/*
 * Runs `function` there, waits for it, and returns what it returned. If it takes long, `meanwhile` (or NULL) is run
 * again and again by the caller.
 */
int tracer_call(struct tracer *tracer, int (*function)(void *context), void (*meanwhile)(void *context),
                void *context) must_check;

/* Ends the thread. When this returns, nothing is traced by it any more. */
void tracer_end(struct tracer *tracer);
