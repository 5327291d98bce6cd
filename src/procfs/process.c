#include "procfs/process.h"

#include <errno.h>
#include <linux/magic.h>
#include <signal.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/cleanup.h"
#include "procfs/status.h"

static bool directory_exists(const struct procfs *procfs, pid_t pid)
{
    auto_close int fd = procfs_open_file(procfs, "proc/%d", pid);

    return fd >= 0 || (fd != -ENOENT && fd != -ESRCH);
}

/* With the mount option hidepid=2 the directories of other users' processes look as if they did not
 * exist. */
static bool is_hidden(const struct procfs *procfs, pid_t pid)
{
    auto_close int fd = procfs_open_file(procfs, "proc");
    struct statfs fs;

    if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
        return false;
    return kill(pid, 0) < 0 && errno == EPERM;
}

int process_absent(const struct procfs *procfs, pid_t pid, struct why *why)
{
    if (!is_hidden(procfs, pid))
        return why_set(why, -ESRCH, "there is no process %d", pid);
    return why_set(why, -EACCES,
                   "process %d exists, but /proc is mounted with hidepid: run as root, or as a "
                   "member of the group that the mount names",
                   pid);
}

static int has_no_memory(const struct procfs *procfs, pid_t pid, struct why *why)
{
    struct process_status status;

    if (status_read(procfs, pid, &status, NULL) < 0)
        return why_set(why, -ESRCH, "process %d has just ended", pid);
    if (status.kernel_thread)
        return why_set(why, -ESRCH, "process %d is a kernel thread and has no memory of its own",
                       pid);
    if (status.state == 'Z' && status.threads > 1)
        return why_set(why, -ESRCH, "the main thread of process %d has exited", pid);
    if (status.state == 'Z' || status.state == 'X')
        return why_set(why, -ESRCH,
                       "process %d has exited and only waits for its parent to take note", pid);
    return why_set(why, -ESRCH, "process %d is exiting and has no memory any more", pid);
}

static int is_gone(const struct procfs *procfs, pid_t pid, int error, const char *file,
                   struct why *why)
{
    if (!directory_exists(procfs, pid))
        return process_absent(procfs, pid, why);
    if (error == -ENOENT)
        return why_set(why, -ENOENT, "there is no /proc/%d/%s on this kernel", pid, file);
    return has_no_memory(procfs, pid, why);
}

int process_refused(pid_t pid, const char *file, struct why *why)
{
    return why_set(why, -EACCES,
                   "not permitted to read /proc/%d/%s: run as the same user (if the process is "
                   "dumpable and has no more capabilities), or with CAP_SYS_PTRACE",
                   pid, file);
}

/* Without CAP_SYS_PTRACE even one's own zombies are refused: what has no memory is not dumpable. */
static bool is_without_memory(const struct procfs *procfs, pid_t pid)
{
    struct process_status status;

    return status_read(procfs, pid, &status, NULL) == 0 && !status.has_memory;
}

int process_error(const struct procfs *procfs, pid_t pid, int error, const char *file,
                  struct why *why)
{
    if (error == -ENOENT || error == -ESRCH)
        return is_gone(procfs, pid, error, file, why);
    if (error != -EACCES && error != -EPERM)
        return why_set(why, error, "cannot read /proc/%d/%s: %s", pid, file, strerror(-error));
    if (is_without_memory(procfs, pid))
        return has_no_memory(procfs, pid, why);
    return process_refused(pid, file, why);
}
