/*
 * The thread that traces.
 *
 * PTRACE_DETACH works on stopped threads only, and an interrupt that was asked for cannot be called off: a thread that
 * sits in vfork would stop minutes later, with nobody there to let it go. But when a tracing thread exits, the kernel
 * detaches all that it traces, in whatever state, without a trace (exit_ptrace). Hence a thread for each stop.
 */
#pragma once

#include "base/error.h"

struct tracer;

/* Starts the thread; it blocks every signal. Release with tracer_end. Negative errno. */
int tracer_start(struct tracer **ret, struct why *why) must_check;

/*
 * Runs `function` there, waits for it, and returns what it returned. If it takes long, `meanwhile` (or NULL) is run
 * again and again by the caller.
 */
int tracer_call(struct tracer *tracer, int (*function)(void *context), void (*meanwhile)(void *context),
                void *context) must_check;

/* Ends the thread. When this returns, nothing is traced by it any more. */
void tracer_end(struct tracer *tracer);
