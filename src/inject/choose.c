/* Which thread is borrowed. */
#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "inject/filters.h"
#include "inject/internal.h"
#include "inject/thread-status.h"
#include "inject/usable.h"
#include "inject/wire.h"
#include "target/stacks.h"

enum { STATE_MOST = 64 * 1024, STATE_ROOM = 64, ROOM_LEAST = 16 * 1024, ALTERNATIVES_MOST = 16 };

/* A machine without XSAVE has no more than what FXSAVE stores, which rt_sigreturn takes as it is.
 */
static int read_vectors(pid_t tid, struct arch_home *home)
{
    struct iovec vector = {home->state, STATE_MOST};
    int r = wire_ptrace(PTRACE_GETREGSET, tid, (void *)(uintptr_t)NT_X86_XSTATE, &vector);

    if (r == 0) {
        home->state_size = arch_prepare_state(home->state, vector.iov_len);
    } else if (r == -ENODEV) {
        vector.iov_len = STATE_MOST;
        r = wire_ptrace(PTRACE_GETREGSET, tid, (void *)(uintptr_t)NT_PRFPREG, &vector);
        home->state_size = vector.iov_len;
    }
    return r;
}

/* Vector registers, as rt_sigreturn takes them, and the mask of blocked signals. */
static int read_state(struct injection *injection, struct why *why)
{
    struct arch_home *home = &injection->home;
    pid_t tid = injection->thread->tid;
    int r;

    home->state = malloc(STATE_MOST + STATE_ROOM);
    if (!home->state)
        return why_set(why, -ENOMEM, "no memory for a thread's registers");
    r = read_vectors(tid, home);
    if (r == 0)
        r = wire_ptrace(PTRACE_GETSIGMASK, tid, (void *)sizeof home->mask, &home->mask);
    if (r)
        return why_set(why, r, "thread %d of process %d cannot be looked at: %s", (int)tid,
                       (int)injection->target->pid, strerror(-r));
    return home->state_size ? 0
                            : why_set(why, OUTCOME_NOT_POSSIBLE,
                                      "has vector registers of a kind that is not known here");
}

static bool is_in_our_stop(pid_t tid)
{
    siginfo_t info = {.si_pid = 0};

    return waitid(P_PID, (id_t)tid, &info, WSTOPPED | WNOHANG | WNOWAIT | __WALL) == 0 &&
           info.si_pid && info.si_status == (SIGTRAP | PTRACE_EVENT_STOP << 8);
}

static int find_room(struct injection *injection, const struct maps *maps,
                     const struct thread_stacks *stacks, struct why *why)
{
    for (size_t i = 0; i < stacks->count; i++) {
        const struct thread_stack *stack = &stacks->items[i];
        const struct vma *vma;

        if (stack->tid != injection->thread->tid || stack->ended)
            continue;
        vma = maps_find(maps, stack->sp - 1);
        if (!stack->sp_inside || !vma || !vma->writable || vma->shared || vma->locked)
            return why_set(why, OUTCOME_NOT_POSSIBLE, "runs on a stack that is not its own");
        injection->room.end = stack->sp - ARCH_RED_ZONE;
        injection->room.start =
            vma->range.start > stack->range.start ? vma->range.start : stack->range.start;
        if (injection->room.end < injection->room.start + ROOM_LEAST)
            return why_set(why, OUTCOME_NOT_POSSIBLE, "has its stack nearly full");
        return 0;
    }
    return why_set(why, OUTCOME_NOT_POSSIBLE, "runs on a stack that is not known");
}

static int consider(struct injection *injection, const struct maps *maps,
                    const struct thread_stacks *stacks, struct thread_status *ret_status,
                    struct why *why)
{
    struct target_thread *thread = injection->thread;
    pid_t pid = injection->target->pid;
    int r;

    if (!thread->stopped || thread->signal || !is_in_our_stop(thread->tid))
        return why_set(why, OUTCOME_NOT_POSSIBLE, "is about to take a signal, or stopped by one");
    if (!thread->has_registers)
        return why_set(why, OUTCOME_NOT_POSSIBLE, "runs 32-bit code");
    r = arch_find_home(&thread->registers, &injection->home, why);
    if (r == 0 && injection->home.keeps_time && !injection->target->guarded)
        r = why_set(why, OUTCOME_NOT_POSSIBLE,
                    "sleeps in a call whose remaining time only the kernel knows");
    if (r == 0)
        r = find_room(injection, maps, stacks, why);
    if (r == 0)
        r = thread_status_read(injection->target->procfs, pid, thread->tid, ret_status, why);
    if (r == 0)
        r = thread_is_usable(injection, ret_status, why);
    if (r == 0)
        r = filters_read(injection->target->procfs, pid, thread->tid, &injection->filters, why);
    return r ? r : read_state(injection, why);
}

static void forget(struct injection *injection)
{
    free(injection->home.state);
    filters_free(injection->filters);
    injection->home = (struct arch_home){0};
    injection->filters = NULL;
}

/* By what is at stake if everything dies that belongs to us, see inject.h: 0 is nothing. */
static int rank(const struct injection *injection, const struct thread_status *status)
{
    if (injection->home.keeps_time)
        return 2;
    return injection->home.restarts && (status->caught & ~status->blocked);
}

/* Whether it is taken: `found` has a thread of that rank at least, or none yet. */
static bool take(struct injection *injection, struct injection *found, int *found_rank,
                 int new_rank)
{
    if (found->thread && new_rank >= *found_rank)
        return false;
    forget(found);
    *found = *injection;
    *found_rank = new_rank;
    injection->home.state = NULL;
    injection->filters = NULL;
    return true;
}

/* The best of those that can be borrowed; after the first one not many more are looked at. 0;
 * positive: none. */
static int choose_among(struct injection *injection, const struct maps *maps,
                        const struct thread_stacks *stacks, struct why *why)
{
    struct target *target = injection->target;
    struct injection found = {0};
    size_t looks = 0;
    int r = OUTCOME_NOT_POSSIBLE, best = 0;

    for (size_t i = 0; i < target->thread_count && looks < ALTERNATIVES_MOST; i++) {
        struct thread_status status;

        injection->thread = &target->threads[i];
        r = consider(injection, maps, stacks, &status, found.thread ? NULL : why);
        if (r < 0 ||
            (r == 0 && take(injection, &found, &best, rank(injection, &status)) && best == 0))
            break;
        looks += found.thread != NULL;
        forget(injection);
    }
    if (r < 0 || !found.thread) {
        forget(injection);
        forget(&found);
        return r;
    }
    *injection = found;
    return 0;
}

int choose_thread(struct injection *injection, const struct maps *maps, struct why *why)
{
    struct target *target = injection->target;
    struct thread_stacks stacks = {0};
    int r = process_is_usable(target->procfs, target->pid, target->status.comm, why);

    if (r == 0)
        r = thread_stacks_find(target, maps, &stacks, why);
    if (r)
        return r;
    r = choose_among(injection, maps, &stacks, why);
    free(stacks.items);
    if (r <= 0)
        return r;
    return why_prefix(why, OUTCOME_NOT_POSSIBLE,
                      "process %d (%s) has no thread that could make a call for us; thread %d",
                      (int)target->pid, target->status.comm, (int)injection->thread->tid);
}
