/*
 * A process held still, or only looked at.
 *
 * Holding: pidfd first, so that a recycled pid is noticed; then PTRACE_SEIZE and PTRACE_INTERRUPT on every
 * thread until no new one appears. Nothing is ever injected here. If this program dies at any instruction the kernel
 * detaches every thread and the target goes on; job control state and pending signals are the target's own.
 *
 * ptrace obeys only the thread that seized, and a thread that has not stopped yet can be let go in one way only: its
 * tracer exits. So a thread of our own does all the tracing, from target_stop to target_resume (target/tracer.h). Those
 * two may be called from different threads, one at a time; other ptrace requests go through target_on_tracer.
 */
#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include "base/error.h"
#include "mem/live.h"
#include "procfs/maps.h"
#include "procfs/procfs.h"
#include "procfs/status.h"

struct target_thread {
    pid_t tid;
    int signal;                    /* to be delivered at detach: it was about to be when we stopped the thread */
    bool stopped;
    bool has_registers;            /* false: a 32-bit thread */
    struct user_regs_struct registers; /* fs_base is the thread pointer */
};

struct target_pauses {
    unsigned count;
    uint64_t total_ns, longest_ns; /* from the first PTRACE_INTERRUPT to the last detach */
};

struct tracer;

struct target {
    const struct procfs *procfs; /* borrowed */
    pid_t pid;
    int pidfd;                   /* -1 before Linux 5.3: start_time tells then */
    uint64_t start_time;         /* in clock ticks since boot; without pidfd only */
    struct process_status status;   /* as of target_open */
    struct live_memory memory;
    bool has_memory;                /* false: /proc/PID/mem may not be opened; memory_reason says why */
    struct why memory_reason;
    struct page_source pages;       /* open from target_open to target_close */
    bool has_pages;
    bool guarded;                   /* to be set before target_stop: see there */
    struct tracer *tracer;          /* while stopped */
    struct target_thread *threads;  /* while stopped; ascending by tid */
    size_t thread_count, thread_capacity;
    bool stopped;
    uint64_t stopped_at_ns;         /* the first PTRACE_INTERRUPT, 0 before it */
    uint64_t resumed_at_ns;         /* the last PTRACE_DETACH */
    struct target_pauses pauses;
};

/*
 * Opens, stops nothing. Refuses with its sentence: vanished (-ESRCH), zombie or kernel thread (OUTCOME_NOT_POSSIBLE),
 * no permission to look at page states (-EACCES). Release with target_close, which also lets it go.
 */
int target_open(struct target *ret, const struct procfs *procfs, pid_t pid, struct why *why) must_check;
void target_close(struct target *target);

/*
 * Stops every thread, also those born meanwhile, and reads their registers. 0; -EPERM not permitted;
 * -EBUSY already traced (names the tracer); -ESRCH vanished; -ETIMEDOUT when a thread does not stop within 200 ms
 * (everything is let go again first; the sentence names the thread and its state); OUTCOME_NOT_POSSIBLE for other
 * reasons (the leader has exited, ...). -EALREADY when it is stopped already.
 *
 * With target->guarded a process of its own holds it, which shares our memory and outlives us: if we are killed it ends
 * what target_on_tracer has it do, and lets the target go after that, some milliseconds later. For whoever changes a
 * process. If that process is killed, all are let go at once, and what needs it returns -ESRCH.
 */
int target_stop(struct target *target, struct why *why) must_check;

/*
 * Runs `function` on the thread that traces and returns what it returned; -EINVAL while not stopped. The function must
 * neither stop nor resume, and must consume no stop with wait: the signal in it would be lost if we were killed then.
 */
int target_on_tracer(struct target *target, int (*function)(void *context), void *context) must_check;

/* Whether the process opened then still exists (a zombie does) and its pid means no other. */
bool target_is_same(const struct target *target);

/* Lets every thread go, each with the signal that was about to be delivered to it. Safe to call at any time. */
void target_resume(struct target *target);

/* Scope guard: cleanup(target_resume_scope) struct target *held = target; */
static inline void target_resume_scope(struct target **target)
{
    if (*target)
        target_resume(*target);
}
