#include "cure/sharers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/cleanup.h"

enum { LOOKS = 5 };

/* What the kernel tells everybody of a memory's size: what two processes with one memory have in
 * common. Empty: none, or not to be told. */
struct size {
    uint64_t pages, resident;
};

static struct size size_of(const struct procfs *procfs, pid_t pid)
{
    auto_free char *text = NULL;
    struct size size = {0};
    size_t length;

    if (procfs_read(procfs, &text, &length, "proc/%d/statm", (int)pid) < 0 ||
        sscanf(text, "%" SCNu64 " %" SCNu64, &size.pages, &size.resident) != 2)
        return (struct size){0};
    return size;
}

/* Where the kernel does not compare, their sizes do, in a moment in which ours does not change. */
static bool may_be_same(const struct procfs *procfs, pid_t pid, pid_t other)
{
    struct size before, its, after;

    for (unsigned i = 0; i < LOOKS; i++) {
        before = size_of(procfs, pid);
        its = size_of(procfs, other);
        after = size_of(procfs, pid);
        if (its.pages == 0)
            return false;
        if (before.pages == after.pages && before.resident == after.resident)
            return its.pages == before.pages && its.resident == before.resident;
    }
    return its.pages == before.pages || its.pages == after.pages;
}

static int check(const struct procfs *procfs, pid_t pid, pid_t other, compare_memory *compare,
                 struct why *why)
{
    int order = compare(pid, other);

    if (order == 0)
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "process %d shares its memory (clone with CLONE_VM, or vfork), and would "
                       "not be asked",
                       (int)other);
    if (order > 0 || order == -ESRCH || !may_be_same(procfs, pid, other))
        return 0;
    return why_set(why, OUTCOME_NOT_POSSIBLE,
                   "process %d may share its memory: both are equally large, and comparing them "
                   "(kcmp) is not permitted; run as root",
                   (int)other);
}

int cure_find_sharer(const struct procfs *procfs, pid_t pid, compare_memory *compare,
                     struct why *why)
{
    auto_free pid_t *pids = NULL;
    size_t count;
    int r = procfs_list_processes(procfs, &pids, &count);

    if (r)
        return why_set(why, r, "the processes in /proc cannot be listed");
    for (size_t i = 0; r == 0 && i < count; i++)
        if (pids[i] != pid)
            r = check(procfs, pid, pids[i], compare, why);
    return r;
}
