/*
 * System calls made by a thread of a stopped process, always undone.
 *
 * How. Below the stack pointer of one thread, where only dead bytes lie, a chain of signal frames is written: data, no
 * code. One change of registers has the thread execute rt_sigreturn, which the kernel answers by taking every register
 * from the first frame: all signals blocked, and a system call to be made by a `syscall; ret` that the process has mapped.
 * Its `ret` leads to libc's own rt_sigreturn and so to the next frame; the last one is the thread's original state:
 * registers, vector registers, signal mask. We watch at system-call stops, read the results there, and give the thread
 * its registers back as they were, an interrupted call's included. Nothing is single-stepped, no code is changed, nothing
 * executable is made.
 *
 * If residue dies. The kernel lets the thread go, and the chain goes on by itself to the end, which is the original
 * state. So after each instruction of ours the target lives. But:
 *
 *   THE OTHER THREADS ARE LET GO, TOO. Calls that destroy something on the strength of what was seen during the stop
 *   (MADV_DONTNEED on free memory) are right in a process with one thread. With several, another thread would take that
 *   memory into use before the chain's call ends. So such calls need target->guarded (target/target.h): a process that
 *   outlives us holds the target, ends the chain, and lets all go only then. injection_call cannot know which calls are
 *   of that kind; set it always.
 *
 * Signals that come meanwhile wait until the thread has its registers back, an interrupted system call's included, so
 * that they end the wait they have to end. If we die, the chain gives the mask back, and they are taken then. What is
 * not exact then, and only then: a wait that such a signal should have ended with EINTR begins again after the handler,
 * as if the signal had come right before the call. Programs in which that matters block the signal and use ppoll,
 * pselect or sigsuspend, and these take it (they look at pending signals when they begin). Threads for which it cannot
 * happen are chosen first.
 *
 * Which threads are usable. Those that run on a stack we know (target/stacks.h) with room, no signal under way, 64-bit,
 * outside of restartable sequences, without syscall user dispatch and shadow stacks, whose seccomp filters allow
 * each call, and whose interrupted system call, if any, can be begun again as the kernel would do it:
 *
 *   in user space, or at the end of a call                     nothing to begin again: exact
 *   -ERESTARTNOINTR, -ERESTARTSYS, -ERESTARTNOHAND              the same call with the same arguments
 *   -ERESTART_RESTARTBLOCK of poll without timeout, of futex
 *   waits until a point in time                                 the same call with the same arguments: that is what
 *                                                               restarting it means there
 *   -ERESTART_RESTARTBLOCK of nanosleep, poll with a limit,    only as a last resort, and with target->guarded, by whom
 *   futex waits for a duration, and of any of them that was     no rt_sigreturn is made, which would forget how much
 *   restarted before                                            time is left; we enter each call. (If that process is
 *                                                               killed, too, in the middle of it: the wait begins again
 *                                                               in full, or ends with EINTR if it was restarted before.)
 *
 * What a stop itself shows the target is what signal(7) lists for SIGSTOP and SIGCONT (EINTR from epoll_wait, ...).
 */
#pragma once

#include "procfs/maps.h"
#include "target/target.h"

/* For one chain. */
enum { INJECTION_CALLS_MOST = 16, INJECTION_DATA_MOST = 24 * 1024 };

struct remote_call {
    long number;           /* of this architecture's system calls */
    uint64_t arguments[6];
    int64_t result;        /* out: as the kernel returned it, negative errno included */
    bool made;             /* out: it was made, `result` is valid */
};

struct injection;

/*
 * Chooses a thread. `target` must be stopped, and stay so until injection_close; `maps` are of this stop, and are not needed
 * afterwards. OUTCOME_NOT_POSSIBLE: refused, and the sentence says why and what to do; negative errno. Release with
 * injection_close. Nothing is changed yet.
 */
int injection_open(struct injection **ret, struct target *target, const struct maps *maps, struct why *why) must_check;

/*
 * Leaves the target stopped and as it was; but pages below its stack pointer that were not present may be afterwards: two as
 * a rule, more where data was given. NULL is fine.
 */
void injection_close(struct injection *injection);

/*
 * Where `length` bytes of data (INJECTION_DATA_MOST at most) will lie in the target during a chain of `count` calls: for
 * pointers in arguments, and inside the data. 64-byte aligned.
 */
remote_addr injection_data_at(const struct injection *injection, size_t count, size_t length);

/*
 * Makes the calls, in order, in one go: INJECTION_CALLS_MOST at most; each is told to syslog before. `data` (NULL with 0) is copied to the target
 * before, and back from it afterwards. 0: all were made, whatever they returned. -EAGAIN: a signal came first, none was
 * made, try again after the next stop (rare). OUTCOME_NOT_POSSIBLE: refused, none was made (a seccomp filter, no room on
 * the stack). Another error: `made` tells which were made; -ETIMEDOUT: the thread does not run, and what was not made yet
 * will be when it does.
 */
int injection_call(struct injection *injection, struct remote_call *calls, size_t count, void *data, size_t length,
                   struct why *why) must_check;

/* The thread that was chosen, for reports. */
pid_t injection_thread(const struct injection *injection);
