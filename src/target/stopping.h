/* One target_stop, on the tracing thread: shared by what seizes (seize.c) and what stops (stop.c). */
#pragma once

#include "target/target.h"

struct stopping {
    struct target *target;
    struct why *why;
    bool again;        /* in this pass a thread was new, or could not be seized */
    bool refused;      /* in this pass a thread could not be seized */
    unsigned refusals; /* passes so far with a refusal */
    unsigned looks;    /* at all threads, so far */
    _Atomic uint64_t seizing_since_ns; /* in PTRACE_SEIZE; else 0 */
};

/*
 * Seizes the threads that are not among target->threads yet, and adds them. Seizing alone stops nothing: all that is
 * known is seized first, which keeps the pause short. 0, or what target_stop is to return.
 */
int stopping_seize_new(struct stopping *stopping) must_check;

/* The errors that both can meet. */
int stopping_vanished(const struct target *target, struct why *why);
int stopping_leader_exited(const struct target *target, const struct process_status *leader, struct why *why);
