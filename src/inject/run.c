/*
 * Watching a chain from system-call stop to system-call stop.
 *
 * Stops are looked at and not consumed, as in target/stop.c. An unconsumed system-call stop has the
 * number SIGTRAP | 0x80 (PTRACE_O_TRACESYSGOOD), which is no signal: if we are killed, the kernel
 * finds it invalid and delivers nothing (ptrace_report_syscall, send_sig). Without that option it
 * would be a SIGTRAP.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "inject/internal.h"
#include "inject/wire.h"

enum { SYSCALL_STOP = SIGTRAP | 0x80, STRAY_STOPS_MOST = 64 };

#define FIRST_PATIENCE_NS (2 * NS_PER_S) /* until it runs; else it is turned back */
#define PATIENCE_NS       (10 * NS_PER_S)
#define LAST_PATIENCE_NS  (NS_PER_S)
#define FIRST_WAIT_NS     UINT64_C(2000)
#define LONGEST_WAIT_NS   (NS_PER_MS / 2)

static pid_t tid_of(const struct run *run)
{
    return run->injection->thread->tid;
}

static int gone(const struct run *run)
{
    run->injection->lost = true;
    return why_set(run->why, -ESRCH, "process %d has exited", (int)run->injection->target->pid);
}

static int broken(const struct run *run, const char *what, long number)
{
    run->injection->lost = true;
    return why_set(run->why, -EIO, "thread %d of process %d did not do what was expected: %s %ld",
                   (int)tid_of(run), (int)run->injection->target->pid, what, number);
}

static int refused(const struct run *run, const char *what, int r)
{
    return why_set(run->why, r, "thread %d of process %d: %s: %s", (int)tid_of(run),
                   (int)run->injection->target->pid, what, strerror(-r));
}

/* Its stop as wait tells it, event included. 0: stopped; -ETIMEDOUT; -ESRCH. */
static int wait_for_stop(const struct run *run, uint64_t patience, int *ret_status)
{
    uint64_t deadline = clock_now_ns() + patience, wait = FIRST_WAIT_NS;

    for (;;) {
        siginfo_t info = {.si_pid = 0};

        if (waitid(P_PID, (id_t)tid_of(run), &info,
                   WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) < 0)
            return gone(run);
        if (info.si_pid && info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED)
            return gone(run);
        if (info.si_pid) {
            *ret_status = info.si_status;
            return 0;
        }
        if (clock_now_ns() >= deadline)
            return -ETIMEDOUT;
        clock_sleep_ns(wait);
        wait = wait < LONGEST_WAIT_NS ? wait * 5 / 4 : wait;
    }
}

static int set_mask(const struct run *run, uint64_t mask)
{
    return wire_ptrace(PTRACE_SETSIGMASK, tid_of(run), (void *)sizeof mask, &mask);
}

static int give_registers_back(const struct run *run)
{
    int r = wire_set_registers(tid_of(run), &run->injection->home.registers);

    if (r) {
        run->injection->lost = true;
        return refused(run, "its registers cannot be given back, the chain will do it", r);
    }
    return 0;
}

/* Before the first frame was taken. The mask comes first: with these registers only the chain would
 * restore it. */
static int turn_back(const struct run *run)
{
    int r = set_mask(run, run->injection->home.mask);

    if (r) {
        run->injection->lost = true;
        return refused(run, "its signal mask cannot be given back, the chain will do it", r);
    }
    return give_registers_back(run);
}

/* A signal came before the first frame was taken. It stays where it is, and the thread is as it
 * was. */
static int give_way(const struct run *run, int signal)
{
    struct injection *injection = run->injection;
    int r = turn_back(run);

    if (r)
        return r;
    injection->thread->signal = signal;
    injection->lost = true;
    return why_set(run->why, -EAGAIN,
                   "thread %d of process %d was about to take a signal: let it, and try again",
                   (int)tid_of(run), (int)injection->target->pid);
}

/* Nothing came of it within the time. An interrupt tells where it is. */
static int give_up(const struct run *run, size_t stops)
{
    const struct target *target = run->injection->target;
    int status, r = wire_ptrace(PTRACE_INTERRUPT, tid_of(run), NULL, NULL);

    run->injection->lost = true;
    if (r == 0)
        r = wait_for_stop(run, LAST_PATIENCE_NS, &status);
    if (r == 0 && stops == 0)
        r = turn_back(run);
    if (r == -ESRCH)
        return r;
    return why_set(run->why, -ETIMEDOUT, "thread %d of process %d (%s) does not run: %s",
                   (int)tid_of(run), (int)target->pid, target->status.comm,
                   r == 0 && stops == 0 ? "is it frozen? It was left as it was"
                                        : "what it was to do it will do when it runs");
}

/* The next system-call stop; `stops` have been seen. Others are passed through. */
static int next_stop(const struct run *run, size_t stops)
{
    int signal = 0;

    for (int strays = 0; strays < STRAY_STOPS_MOST; strays++) {
        int status, r = wire_ptrace(PTRACE_SYSCALL, tid_of(run), NULL, (void *)(uintptr_t)signal);

        if (r)
            return r == -ESRCH ? gone(run) : refused(run, "it cannot go on", r);
        r = wait_for_stop(run, stops ? PATIENCE_NS : FIRST_PATIENCE_NS, &status);
        if (r)
            return r == -ETIMEDOUT ? give_up(run, stops) : r;
        if (status == SYSCALL_STOP)
            return 0;
        signal = 0;
        if (status >> 8 == PTRACE_EVENT_STOP)
            continue; /* an interrupt that was asked for twice, or job control, which holds it again
                         when we let go */
        if (stops == 0)
            return give_way(run, status);
        if (status != SIGSTOP)
            return broken(run, "it took signal", status);
        signal = status; /* the only one that cannot be blocked; it is not lost: the stop is ours
                            for now */
    }
    return broken(run, "stops that nobody asked for, at least", STRAY_STOPS_MOST);
}

static int pass_call(const struct run *run, size_t *stops, long number, int64_t *ret_result)
{
    struct user_regs_struct registers;
    int r = next_stop(run, *stops);

    if (r == 0)
        r = wire_get_registers(tid_of(run), &registers);
    if (r == 0 && arch_number(&registers) != number)
        r = broken(run, "it makes system call", arch_number(&registers));
    if (r)
        return r;
    ++*stops;
    r = next_stop(run, *stops);
    if (r == 0)
        r = wire_get_registers(tid_of(run), &registers);
    ++*stops;
    *ret_result = arch_result(&registers);
    return r;
}

static int pass_all(const struct run *run)
{
    size_t stops = 0;
    int64_t ignored;
    int r = pass_call(run, &stops, ARCH_SIGRETURN, &ignored);

    for (size_t i = 0; i < run->count && r == 0; i++) {
        r = pass_call(run, &stops, run->calls[i].number, &run->calls[i].result);
        run->calls[i].made = r == 0;
        if (r == 0)
            r = pass_call(run, &stops, ARCH_SIGRETURN, &ignored);
    }
    return r;
}

/* At the end of the last rt_sigreturn, the thread must be where the chain was to leave it. */
static int check_home(const struct run *run)
{
    struct user_regs_struct now, expected = run->injection->home.folded;
    uint64_t mask = 0; /* what ptrace writes to is not seen by compilers */
    int r = wire_get_registers(tid_of(run), &now);

    if (r == 0)
        r = wire_ptrace(PTRACE_GETSIGMASK, tid_of(run), (void *)sizeof mask, &mask);
    if (r)
        return r == -ESRCH ? gone(run) : refused(run, "it cannot be looked at", r);
    now.orig_rax = expected.orig_rax;
    if (memcmp(&now, &expected, sizeof now) || mask != run->injection->home.mask)
        return broken(run, "registers or signal mask are not as they were, at", (long)now.rip);
    return 0;
}

/*
 * To a place in the kernel where interrupted calls begin again, before any instruction and any
 * signal (get_signal: the trap comes first); with the registers that say so.
 */
static int trap(const struct run *run)
{
    int status, r = wire_ptrace(PTRACE_INTERRUPT, tid_of(run), NULL, NULL);

    if (r == 0)
        r = wire_ptrace(PTRACE_CONT, tid_of(run), NULL, NULL);
    if (r == 0)
        r = wait_for_stop(run, PATIENCE_NS, &status);
    if (r) {
        run->injection->lost = true;
        return r == -ETIMEDOUT ? broken(run, "it does not stop again, after ns", (long)PATIENCE_NS)
                               : r;
    }
    if (status >> 8 != PTRACE_EVENT_STOP)
        run->injection->thread->signal = status & 0x7f;
    return 0;
}

static int come_home(const struct run *run)
{
    int r = check_home(run);

    if (r == 0)
        r = trap(run);
    return r ? r : give_registers_back(run);
}

/*
 * Signal masks are set at places only where it does no harm if we die right there.
 *
 * A wait with a mask of its own (ppoll, pselect, sigsuspend) has that mask until it ends: what it
 * lets through would be taken before the chain, and then the wait begins again as if nothing had
 * come. So the mask becomes that outside of the wait first; beginning again it sees what is
 * pending.
 *
 * Once its registers are those of the chain, all of the thread's signals may be blocked: the chain
 * restores the mask. (Before, it would be left without signals for ever.) What comes during the
 * stop waits until the thread has its registers back, and ends the calls it has to end.
 */
static int enter_chain(const struct run *run, const struct user_regs_struct *entry)
{
    const struct injection *injection = run->injection;
    int r =
        wire_ptrace(PTRACE_SETOPTIONS, tid_of(run), NULL, (void *)(uintptr_t)PTRACE_O_TRACESYSGOOD);

    if (r == 0)
        r = set_mask(run, injection->home.mask);
    if (r == 0)
        r = wire_set_registers(tid_of(run), entry);
    if (r)
        return r == -ESRCH ? gone(run) : refused(run, "its registers cannot be set", r);
    return set_mask(run, ~UINT64_C(0)) == -ESRCH ? gone(run) : 0;
}

static struct user_regs_struct entry_at(const struct run *run, size_t index)
{
    const struct injection *injection = run->injection;

    return arch_entry_at(&run->layout, &injection->code, &injection->home, run->made, index);
}

/*
 * Without any rt_sigreturn, for a thread of which only the kernel knows how long it still has to
 * wait: each call is entered by us. Vector registers are nowhere touched then, and the mask is ours
 * to give back; the chain stands by in case we die.
 */
static int run_directly(const struct run *run)
{
    struct user_regs_struct entry = entry_at(run, 0);
    size_t stops = 0;
    int r = enter_chain(run, &entry);

    for (size_t i = 0; i < run->count && r == 0; i++) {
        entry = entry_at(run, i);
        if (i > 0)
            r = wire_set_registers(tid_of(run), &entry);
        if (r == 0)
            r = pass_call(run, &stops, run->calls[i].number, &run->calls[i].result);
        run->calls[i].made = r == 0;
    }
    if (r == 0)
        r = trap(run);
    return r ? r : turn_back(run);
}

static int run_by_frames(const struct run *run)
{
    const struct injection *injection = run->injection;
    struct user_regs_struct entry = arch_entry(&run->layout, &injection->code, &injection->home);
    int r = enter_chain(run, &entry);

    if (r == 0)
        r = pass_all(run);
    return r ? r : come_home(run);
}

int run_chain(struct run *run)
{
    size_t length = (size_t)(run->layout.end - run->layout.start);
    int r = wire_write(run->injection->target, run->layout.start, run->image, length);

    if (r)
        return refused(run, "its stack cannot be written to", r);
    return run->injection->home.keeps_time ? run_directly(run) : run_by_frames(run);
}
