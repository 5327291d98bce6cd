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

#include "inject/internal.h"
#include "inject/wire.h"
#include "target/stacks.h"

enum { STATE_MOST = 64 * 1024, STATE_ROOM = 64, ROOM_LEAST = 16 * 1024 };

/* Vector registers, as rt_sigreturn takes them, and the mask of blocked signals. */
static int read_state(struct injection *injection, struct why *why)
{
    struct arch_home *home = &injection->home;
    struct iovec vector = {.iov_len = STATE_MOST};
    int r;

    home->state = malloc(STATE_MOST + STATE_ROOM);
    if (!home->state)
        return why_set(why, -ENOMEM, "no memory for a thread's registers");
    vector.iov_base = home->state;
    r = wire_ptrace(PTRACE_GETREGSET, injection->thread->tid, (void *)(uintptr_t)NT_X86_XSTATE,
                    &vector);
    if (r == 0)
        r = wire_ptrace(PTRACE_GETSIGMASK, injection->thread->tid, (void *)sizeof home->mask,
                        &home->mask);
    if (r)
        return why_set(why, r, "thread %d of process %d cannot be looked at: %s",
                       (int)injection->thread->tid, (int)injection->target->pid, strerror(-r));
    home->state_size = arch_prepare_state(home->state, vector.iov_len);
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
                    const struct thread_stacks *stacks, struct why *why)
{
    struct target_thread *thread = injection->thread;
    int r;

    if (!thread->stopped || thread->signal || !is_in_our_stop(thread->tid))
        return why_set(why, OUTCOME_NOT_POSSIBLE, "is about to take a signal, or stopped by one");
    if (!thread->has_registers)
        return why_set(why, OUTCOME_NOT_POSSIBLE, "runs 32-bit code");
    r = arch_find_home(&thread->registers, &injection->home, why);
    if (r == 0)
        r = find_room(injection, maps, stacks, why);
    return r ? r : read_state(injection, why);
}

int choose_thread(struct injection *injection, const struct maps *maps, struct why *why)
{
    struct target *target = injection->target;
    struct thread_stacks stacks = {0};
    int r = thread_stacks_find(target, maps, &stacks, why);

    for (size_t i = 0; i < target->thread_count && r >= 0; i++) {
        injection->thread = &target->threads[i];
        free(injection->home.state);
        injection->home = (struct arch_home){0};
        r = consider(injection, maps, &stacks, why);
        if (r == 0)
            break;
    }
    free(stacks.items);
    if (r > 0)
        return why_prefix(why, OUTCOME_NOT_POSSIBLE,
                          "process %d (%s) has no thread that can be borrowed: thread %d",
                          (int)target->pid, target->status.comm, (int)injection->thread->tid);
    return r;
}
