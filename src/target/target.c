#include "target/target.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

static int no_such(pid_t pid, struct why *why)
{
    return why_set(why, -ESRCH, "there is no process %d", (int)pid);
}

/* Field 22 of stat; the name before it may hold any character, so count from its last parenthesis.
 */
static int read_start_time(const struct procfs *procfs, pid_t pid, uint64_t *ret_time)
{
    auto_free char *text = NULL;
    size_t length;
    char *field;
    int r = procfs_read(procfs, &text, &length, "proc/%d/stat", (int)pid);

    if (r < 0)
        return r == -ENOENT ? -ESRCH : r;
    field = strrchr(text, ')');
    for (int i = 2; field && i < 22; i++)
        field = strchr(field + 1, ' ');
    if (!field || sscanf(field, " %" SCNu64, ret_time) != 1)
        return -EBADMSG;
    return 0;
}

/* What tells this process from a later one with the same pid. */
static int open_identity(struct target *target, struct why *why)
{
    int fd = target->pid > 0 ? (int)syscall(SYS_pidfd_open, target->pid, 0) : -1;
    int r;

    if (target->pid <= 0 || (fd < 0 && errno == ESRCH))
        return no_such(target->pid, why);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
        return why_set(why, -errno, "process %d cannot be opened: %s", (int)target->pid,
                       strerror(errno));
    if (fd >= 0) {
        target->pidfd = fd;
        return 0;
    }
    /* An old kernel, a filter that refuses the call, or a thread's id, which status tells. */
    r = read_start_time(target->procfs, target->pid, &target->start_time);
    if (r == -ESRCH)
        return no_such(target->pid, why);
    return r ? why_set(why, r, "the start time of process %d cannot be read: %s", (int)target->pid,
                       strerror(-r))
             : 0;
}

bool target_is_same(const struct target *target)
{
    uint64_t start_time;

    if (target->pidfd >= 0)
        return syscall(SYS_pidfd_send_signal, target->pidfd, 0, NULL, 0) == 0 || errno != ESRCH;
    return read_start_time(target->procfs, target->pid, &start_time) == 0 &&
           start_time == target->start_time;
}

static int check_kind(const struct target *target, struct why *why)
{
    const struct process_status *status = &target->status;
    int pid = (int)target->pid;

    if (status->tgid != target->pid)
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "%d is a thread of process %d (%s): name the process", pid,
                       (int)status->tgid, status->comm);
    if (status->kernel_thread)
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "process %d (%s) is a kernel thread: it has no memory of its own", pid,
                       status->comm);
    if (status->state != 'Z' && status->state != 'X')
        return 0;
    if (status->threads > 1)
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "the main thread of process %d (%s) has exited while others run: the kernel "
                       "shows no memory for such a process",
                       pid, status->comm);
    return why_set(why, OUTCOME_NOT_POSSIBLE,
                   "process %d (%s) has exited and waits for its parent %d: it has no memory any "
                   "more",
                   pid, status->comm, (int)status->ppid);
}

/* Content is not needed for all that is told; page states are. */
static int open_memory(struct target *target, struct why *why)
{
    int r = page_source_open(target->procfs, target->pid, &target->pages, why);

    if (r < 0)
        return r;
    target->has_pages = true;
    r = live_memory_open(&target->memory, target->procfs, target->pid, &target->memory_reason);
    if (r == -EACCES || r == -EPERM)
        return 0;
    if (r)
        return why_set(why, r, "%s", target->memory_reason.text);
    target->memory.running = true;
    target->has_memory = true;
    return 0;
}

static int open_all(struct target *target, struct why *why)
{
    int r = open_identity(target, why);

    if (r == 0)
        r = status_read(target->procfs, target->pid, &target->status, why);
    if (r == 0)
        r = check_kind(target, why);
    if (r == 0)
        r = open_memory(target, why);
    /* All that was opened by the pid is this process' if it is there still. */
    if (r == 0 && !target_is_same(target))
        r = no_such(target->pid, why);
    return r;
}

int target_open(struct target *ret, const struct procfs *procfs, pid_t pid, struct why *why)
{
    struct target target = {.procfs = procfs, .pid = pid, .pidfd = -1};
    int r = open_all(&target, why);

    if (r)
        target_close(&target);
    else
        *ret = target;
    return r;
}

void target_close(struct target *target)
{
    target_resume(target);
    if (target->has_memory)
        live_memory_close(&target->memory);
    if (target->has_pages)
        page_source_close(&target->pages);
    if (target->pidfd >= 0)
        close(target->pidfd);
    *target = (struct target){.pid = target->pid, .pidfd = -1, .pauses = target->pauses};
}
