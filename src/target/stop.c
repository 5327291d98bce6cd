#include "target/stopping.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "target/tracer.h"

#define STOP_LIMIT_NS   (200 * NS_PER_MS)
#define FIRST_WAIT_NS   (20 * NS_PER_MS / 1000)
#define SEIZE_LIMIT_NS  (500 * NS_PER_MS)
#define FEWEST_LOOKS    50
#define LONGEST_WAIT_NS NS_PER_MS

enum seen {
    SEEN_NOTHING,
    SEEN_STOP,
    SEEN_EXIT,
    SEEN_NONE, /* not traced by us, and no child of ours */
};

/*
 * Looks without consuming (WNOWAIT): a consumed stop forgets its signal, which would be lost if we
 * were killed before PTRACE_DETACH hands it back; unconsumed, the kernel delivers it itself
 * (ptrace_stop, exit_code). Stops of traced threads are told, and consumed, even by a wait that
 * asks for exits only.
 */
static enum seen look(pid_t tid, siginfo_t *ret_info)
{
    siginfo_t info = {.si_pid = 0};

    if (waitid(P_PID, (id_t)tid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) < 0)
        return SEEN_NONE;
    if (info.si_pid == 0)
        return SEEN_NOTHING;
    *ret_info = info;
    return info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED ? SEEN_STOP : SEEN_EXIT;
}

/*
 * Exited threads are reaped, since an execve in the target waits for that. Not so the leader: its
 * exit is for its parent, whom the kernel tells when the tracing thread ends; that may be
 * ourselves.
 */
static enum seen look_and_reap(const struct target *target, pid_t tid, siginfo_t *ret_info)
{
    enum seen seen = look(tid, ret_info);

    if (seen == SEEN_EXIT && tid != target->pid)
        waitid(P_PID, (id_t)tid, ret_info, WEXITED | WNOHANG | __WALL);
    return seen;
}

static enum seen look_at(const struct target *target, struct target_thread *thread)
{
    siginfo_t info;
    enum seen seen = look_and_reap(target, thread->tid, &info);

    if (seen == SEEN_STOP) /* with an event in the second byte it is our stop, else a signal's */
        thread->signal = info.si_status >> 8 ? 0 : info.si_status & 0x7f;
    return seen;
}

/*
 * Looks at all that have yet to stop, interrupts them first if asked to, and forgets those that are
 * gone. How many have yet to stop.
 *
 * Interrupting may be repeated, and must be: in execve a thread takes the leader's id, and then has
 * perhaps not been interrupted, or not even seized: ESRCH. Another pass finds out.
 */
static size_t look_at_all(struct stopping *stopping, bool interrupt)
{
    struct target *target = stopping->target;
    size_t kept = 0, running = 0;

    stopping->looks++;
    for (size_t i = 0; i < target->thread_count; i++) {
        struct target_thread thread = target->threads[i];

        if (!thread.stopped) {
            bool lost = interrupt && ptrace(PTRACE_INTERRUPT, thread.tid, 0, 0) < 0;
            enum seen seen = lost && errno == ESRCH ? SEEN_NONE : look_at(target, &thread);

            if (seen == SEEN_EXIT || seen == SEEN_NONE) {
                stopping->again = true;
                continue;
            }
            thread.stopped = seen == SEEN_STOP;
            running += !thread.stopped;
        }
        target->threads[kept++] = thread;
    }
    target->thread_count = kept;
    return running;
}

static int too_late(const struct stopping *stopping)
{
    const struct target *target = stopping->target;
    const struct target_thread *thread = target->threads;
    struct process_status status = {.state = '?'};
    size_t i = 0;

    while (i < target->thread_count && thread[i].stopped)
        i++;
    if (i == target->thread_count)
        return why_set(stopping->why, -ETIMEDOUT,
                       "process %d (%s) starts threads faster than they can be stopped: try again",
                       (int)target->pid, target->status.comm);
    if (status_read(target->procfs, thread[i].tid, &status, NULL) == 0 && status.state == 'Z' &&
        thread[i].tid == target->pid)
        return stopping_leader_exited(target, &status, stopping->why);
    return why_set(stopping->why, -ETIMEDOUT,
                   "thread %d of process %d (%s) did not stop within 200 ms (its state is %c%s): "
                   "all were let go, try again later",
                   (int)thread[i].tid, (int)target->pid, target->status.comm, status.state,
                   status.state == 'D' ? ", a wait in the kernel: vfork, disk, network file system"
                                       : "");
}

/* By the clock, but not if we hardly had a chance to look: a loaded machine may have halted
 * ourselves. */
static bool is_late(const struct stopping *stopping)
{
    const struct target *target = stopping->target;

    return target->stopped_at_ns && clock_now_ns() - target->stopped_at_ns >= STOP_LIMIT_NS &&
           stopping->looks >= FEWEST_LOOKS;
}

static int stop_seized(struct stopping *stopping)
{
    uint64_t wait = FIRST_WAIT_NS;
    bool interrupt = true;

    if (!stopping->target->stopped_at_ns && stopping->target->thread_count)
        stopping->target->stopped_at_ns = clock_now_ns();
    while (look_at_all(stopping, interrupt) > 0) {
        if (is_late(stopping))
            return too_late(stopping);
        clock_sleep_ns(wait);
        interrupt = wait >= LONGEST_WAIT_NS;
        wait = interrupt ? wait : wait * 2;
    }
    return 0;
}

/* False when it is not stopped after all. */
static bool read_registers(struct target_thread *thread)
{
    struct iovec registers = {&thread->registers, sizeof thread->registers};

    if (ptrace(PTRACE_GETREGSET, thread->tid, NT_PRSTATUS, &registers) < 0)
        return false;
    thread->has_registers = registers.iov_len == sizeof thread->registers; /* shorter: 32-bit */
    return true;
}

/*
 * True when all are stopped. An execve by one of the last running threads replaces the leader that
 * we hold: the new one is traced too, but may run.
 */
static bool read_all_registers(struct target *target)
{
    bool all = true;

    for (size_t i = 0; i < target->thread_count; i++) {
        struct target_thread *thread = &target->threads[i];

        if (!read_registers(thread)) {
            thread->stopped = all = false;
            thread->signal = 0;
        }
    }
    return all;
}

/*
 * An execve waits until the other threads that are traced are reaped, those too that we had
 * stopped: it kills them. And PTRACE_SEIZE waits for an execve that is under way
 * (cred_guard_mutex), for ever if nobody reaps meanwhile; any thread of ours can. It looks at ids
 * that are threads of the target only, so no child of our caller is taken.
 */
static void reap_exited(void *context)
{
    const struct stopping *stopping = context;
    const struct target *target = stopping->target;
    auto_free pid_t *tids = NULL;
    size_t count = 0;

    if (procfs_list_tasks(target->procfs, target->pid, &tids, &count))
        return;
    for (size_t i = 0; i < count; i++) {
        siginfo_t info;

        look_and_reap(target, tids[i], &info);
    }
}

/*
 * A tracing process of its own is the only one that could reap. So what is described above is ended
 * by killing it, in that system call, where it holds nothing; the execve goes on, and the stop is
 * tried again later.
 */
static void watch_seizing(void *context)
{
    const struct stopping *stopping = context;
    uint64_t since = stopping->seizing_since_ns;

    if (since && clock_now_ns() > since + SEIZE_LIMIT_NS)
        tracer_kill(stopping->target->tracer);
}

static void meanwhile(void *context)
{
    const struct stopping *stopping = context;

    if (tracer_is_guarded(stopping->target->tracer))
        watch_seizing(context);
    else
        reap_exited(context);
}

static int stop_pass(struct stopping *stopping)
{
    int r = stopping_seize_new(stopping);

    /* Before anything is stopped: what has been seized can no longer be another process under the
     * same id. */
    if (r == 0 && !target_is_same(stopping->target))
        r = stopping_vanished(stopping->target, stopping->why);
    if (r == 0 && is_late(stopping))
        r = too_late(stopping);
    if (r == 0)
        r = stop_seized(stopping);
    if (r == 0 && stopping->refused) {
        stopping->refusals++;
        reap_exited(stopping);
        clock_sleep_ns(LONGEST_WAIT_NS);
    }
    return r;
}

/* A list that was taken while all known threads were stopped, and shows no other, is complete. */
static int stop_all(void *context)
{
    struct stopping *stopping = context;
    int r;

    do {
        r = stop_pass(stopping);
    } while (r == 0 && (stopping->again || !read_all_registers(stopping->target)));
    return r;
}

/* What was opened may be of an earlier program: execve takes new memory. */
static int check_same(struct target *target, struct why *why)
{
    if (!target_is_same(target) || target->thread_count == 0)
        return stopping_vanished(target, why);
    if (target->has_memory && live_memory_is_gone(&target->memory))
        return why_set(why, -ESRCH, "process %d (%s) has started another program: look again",
                       (int)target->pid, target->status.comm);
    return 0;
}

int target_stop(struct target *target, struct why *why)
{
    struct stopping stopping = {.target = target, .why = why};
    int r;

    if (target->tracer)
        return why_set(why, -EALREADY, "process %d is stopped already", (int)target->pid);
    if (target->pid == getpid())
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "process %d is this program: it cannot stop itself", (int)target->pid);
    target->stopped_at_ns = 0;
    r = tracer_start(&target->tracer, target->guarded, why);
    if (r)
        return r;
    r = tracer_call(target->tracer, stop_all, meanwhile, &stopping);
    if (r == -ESRCH && tracer_is_gone(target->tracer))
        r = why_set(why, -ETIMEDOUT,
                    "process %d (%s) could not be stopped, all were let go: try again later",
                    (int)target->pid, target->status.comm);
    if (r == 0)
        r = check_same(target, why);
    if (r)
        target_resume(target);
    else
        target->stopped = true;
    target->memory.running = !target->stopped;
    return r;
}

int target_on_tracer(struct target *target, int (*function)(void *), void *context)
{
    return target->stopped ? tracer_call(target->tracer, function, NULL, context) : -EINVAL;
}

/* Threads that have not stopped, or were killed meanwhile, are let go when the tracing thread ends.
 */
static int detach_all(void *context)
{
    struct target *target = context;

    for (size_t i = 0; i < target->thread_count; i++) {
        const struct target_thread *thread = &target->threads[i];

        if (thread->stopped)
            ptrace(PTRACE_DETACH, thread->tid, 0, (void *)(uintptr_t)thread->signal);
    }
    target->resumed_at_ns = clock_now_ns();
    return 0;
}

static void count_pause(struct target_pauses *pauses, uint64_t ns)
{
    pauses->count++;
    pauses->total_ns += ns;
    if (ns > pauses->longest_ns)
        pauses->longest_ns = ns;
}

void target_resume(struct target *target)
{
    if (!target->tracer)
        return;
    if (tracer_call(target->tracer, detach_all, NULL, target) == 0 && target->stopped_at_ns)
        count_pause(&target->pauses, target->resumed_at_ns - target->stopped_at_ns);
    tracer_end(target->tracer);
    target->tracer = NULL;
    free(target->threads);
    target->threads = NULL;
    target->thread_count = target->thread_capacity = 0;
    target->stopped = false;
    target->memory.running = true;
}
