#include "target/stopping.h"

#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/vector.h"

/* With a millisecond between passes, an execve has the time to get through. */
enum { MOST_REFUSALS = 16 };

int stopping_vanished(const struct target *target, struct why *why)
{
    return why_set(why, -ESRCH, "process %d has exited", (int)target->pid);
}

int stopping_leader_exited(const struct target *target, const struct process_status *leader,
                           struct why *why)
{
    if (leader->threads <= 1)
        return stopping_vanished(target, why);
    return why_set(why, OUTCOME_NOT_POSSIBLE,
                   "the main thread of process %d (%s) has exited while others run: the kernel "
                   "shows no memory for such a process",
                   (int)target->pid, target->status.comm);
}

static int traced_already(const struct target *target, pid_t tracer, struct why *why)
{
    struct process_status status;
    bool known = status_read(target->procfs, tracer, &status, NULL) == 0;

    return why_set(why, -EBUSY,
                   "process %d (%s) is being traced by process %d%s%s%s already: end that first",
                   (int)target->pid, target->status.comm, (int)tracer, known ? " (" : "",
                   known ? status.comm : "", known ? ")" : "");
}

static int not_permitted(const struct target *target, struct why *why)
{
    unsigned long scope = 0;
    int r = procfs_read_u64(target->procfs, &scope, "proc/sys/kernel/yama/ptrace_scope");

    if (r == 0 && scope > 0)
        return why_set(why, -EPERM,
                       "process %d (%s) may not be stopped: kernel.yama.ptrace_scope is %lu; run "
                       "as root%s",
                       (int)target->pid, target->status.comm, scope,
                       scope > 2 ? ", on a system that was started with a lower one"
                                 : " or with CAP_SYS_PTRACE");
    return why_set(why, -EPERM,
                   "process %d (%s) may not be traced, so not be stopped: be its user or root with "
                   "CAP_SYS_PTRACE, where no seccomp filter forbids ptrace (containers have one)",
                   (int)target->pid, target->status.comm);
}

static int remember(struct target *target, pid_t tid, struct why *why)
{
    struct target_thread thread = {.tid = tid};
    int r = vector_reserve_one((void **)&target->threads, target->thread_count,
                               &target->thread_capacity, sizeof *target->threads);

    if (r)
        return why_set(why, r, "no memory for a list of threads");
    target->threads[target->thread_count++] = thread;
    return 0;
}

/*
 * The kernel says EPERM for threads that have exited but are still listed, for traced ones, and for
 * ones that may not be traced. 0: go on without it.
 *
 * During an execve the leader is first seen as exited, then the executing thread has its id: and if
 * that thread was seized already, it is ours under a new name. So only a refusal that lasts is one.
 */
static int handle_refusal(struct stopping *stopping, pid_t tid)
{
    struct target *target = stopping->target;
    struct process_status status;
    int r = status_read(target->procfs, tid, &status, stopping->why);
    bool exited;

    if (r)
        return r == -ESRCH ? 0 : r;
    exited = status.state == 'Z' || status.state == 'X';
    if (exited && tid != target->pid)
        return 0;
    if (!exited && status.tracer_pid == (pid_t)syscall(SYS_gettid)) {
        stopping->again = true;
        return remember(target, tid, stopping->why);
    }
    if (!exited && status.tracer_pid)
        return traced_already(target, status.tracer_pid, stopping->why);
    stopping->refused = stopping->again = true;
    if (stopping->refusals < MOST_REFUSALS)
        return 0;
    return exited ? stopping_leader_exited(target, &status, stopping->why)
                  : not_permitted(target, stopping->why);
}

static int seize(struct stopping *stopping, pid_t tid)
{
    struct target *target = stopping->target;
    bool seized;

    stopping->seizing_since_ns = clock_now_ns();
    seized = ptrace(PTRACE_SEIZE, tid, 0, 0) == 0;
    stopping->seizing_since_ns = 0;
    if (seized) {
        stopping->again = true;
        return remember(target, tid, stopping->why);
    }
    if (errno == ESRCH)
        return 0;
    if (errno == EPERM)
        return handle_refusal(stopping, tid);
    return why_set(stopping->why, -errno, "thread %d of process %d cannot be traced: %s", (int)tid,
                   (int)target->pid, strerror(errno));
}

static int by_tid(const void *a, const void *b)
{
    pid_t x = ((const struct target_thread *)a)->tid, y = ((const struct target_thread *)b)->tid;

    return (x > y) - (x < y);
}

/* Both lists ascend. */
int stopping_seize_new(struct stopping *stopping)
{
    struct target *target = stopping->target;
    size_t known = target->thread_count, count = 0, k = 0;
    auto_free pid_t *tids = NULL;
    int r = procfs_list_tasks(target->procfs, target->pid, &tids, &count);

    stopping->again = stopping->refused = false;
    if (r == -ENOENT || r == -ESRCH)
        return stopping_vanished(target, stopping->why);
    if (r)
        return why_set(stopping->why, r, "the threads of process %d cannot be listed: %s",
                       (int)target->pid, strerror(-r));
    for (size_t i = 0; i < count && r == 0; i++) {
        while (k < known && target->threads[k].tid < tids[i])
            k++;
        if (k == known || target->threads[k].tid != tids[i])
            r = seize(stopping, tids[i]);
    }
    if (target->thread_count > 1)
        qsort(target->threads, target->thread_count, sizeof *target->threads, by_tid);
    return r;
}
