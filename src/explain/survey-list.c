/* Who is there, and what each holds by the kernel's own counters: no memory is read, nothing is
 * stopped. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/vector.h"
#include "explain/survey-internal.h"
#include "procfs/membership.h"
#include "procfs/parse.h"
#include "procfs/smaps.h"
#include "procfs/status.h"

struct listing {
    const struct procfs *procfs;
    struct survey *survey;
    pid_t self;
    uid_t uid;
};

static int add_unread(struct survey *survey, const char *who, const char *reason, size_t count,
                      uint64_t rss_bytes)
{
    struct survey_unreads *unread = &survey->unread;
    struct survey_unread group = {.count = count, .rss_bytes = rss_bytes};

    for (size_t i = 0; i < unread->count; i++)
        if (strcmp(unread->items[i].who, who) == 0 &&
            strcmp(unread->items[i].reason.text, reason) == 0) {
            unread->items[i].count += count;
            unread->items[i].rss_bytes += rss_bytes;
            return 0;
        }
    snprintf(group.who, sizeof group.who, "%s", who);
    why_set(&group.reason, 0, "%s", reason);
    return vector_push(unread, group);
}

/* Whether page states and mappings may be read: the kernel decides when the file is opened. */
static int may_look(const struct procfs *procfs, pid_t pid)
{
    auto_close int fd = procfs_open_file(procfs, "proc/%d/maps", pid);

    return fd < 0 ? fd : 0;
}

static int refuse(struct listing *listing, const struct process_status *status, int error)
{
    uint64_t rss = status->vm_rss_bytes;

    if (error != -EACCES && error != -EPERM)
        return add_unread(listing->survey, "", strerror(-error), 1, rss);
    if (status->uid != listing->uid)
        return add_unread(listing->survey, "of other users", "run as root, or with CAP_SYS_PTRACE",
                          1, rss);
    return add_unread(listing->survey, "of this user",
                      "not dumpable, with more capabilities, or in another user namespace: run as "
                      "root, or with CAP_SYS_PTRACE",
                      1, rss);
}

/* Exact where status is; else the page tables are walked, and only how file and shared memory part
 * is estimated. */
static int read_amounts(const struct listing *listing, pid_t pid,
                        const struct process_status *status, struct survey_amounts *ret)
{
    struct smaps_rollup rollup;
    uint64_t rest;
    int r;

    *ret = (struct survey_amounts){.rss_bytes = status->vm_rss_bytes,
                                   .anon_bytes = status->rss_anon_bytes,
                                   .file_bytes = status->rss_file_bytes,
                                   .shmem_bytes = status->rss_shmem_bytes,
                                   .swap_bytes = status->vm_swap_bytes};
    if (listing->survey->source == RSS_FROM_STATUS)
        return 0;
    r = smaps_rollup_read(listing->procfs, pid, &rollup, NULL);
    if (r)
        return r;
    ret->rss_bytes = rollup.rss_bytes;
    ret->anon_bytes =
        rollup.anonymous_bytes < rollup.rss_bytes ? rollup.anonymous_bytes : rollup.rss_bytes;
    rest = ret->rss_bytes - ret->anon_bytes;
    if (ret->shmem_bytes > rest)
        ret->shmem_bytes = rest;
    ret->file_bytes = rest - ret->shmem_bytes;
    return 0;
}

struct paths {
    char *memory, *unified;
    int error;
};

static int take_membership(void *context, const struct membership *membership)
{
    struct paths *paths = context;
    char **path = NULL;

    if (membership->id == 0)
        path = &paths->unified;
    else if (list_has(membership->controllers, "memory"))
        path = &paths->memory;
    if (path && !*path)
        *path = strdup(membership->path);
    return path && !*path ? -ENOMEM : 0;
}

static int read_cgroup(const struct procfs *procfs, struct survey_process *process)
{
    struct paths paths = {0};
    int r = memberships_each(procfs, process->pid, take_membership, &paths, NULL);

    process->cgroup = paths.memory ? paths.memory : paths.unified;
    if (paths.memory)
        free(paths.unified);
    return r == -ENOMEM ? r : 0;
}

static int read_container(const struct procfs *procfs, struct survey_process *process)
{
    struct container container;

    if (container_read(procfs, process->pid, &container, NULL) < 0 || !container.name[0])
        return 0;
    process->container = strdup(container.name);
    process->container_runtime = container.runtime;
    return process->container ? 0 : -ENOMEM;
}

static int add_process(struct listing *listing, const struct process_status *status,
                       const struct survey_amounts *amounts)
{
    struct survey_process process = {.pid = status->tgid, .amounts = *amounts};
    int r;

    memcpy(process.comm, status->comm, sizeof process.comm);
    r = read_cgroup(listing->procfs, &process);
    if (r == 0)
        r = read_container(listing->procfs, &process);
    if (r == 0)
        r = vector_push(&listing->survey->processes, process);
    if (r)
        survey_process_free(&process);
    return r;
}

/* Kernel threads have no memory, and what has exited has none any more, unless threads of it go on.
 */
static int look_at(struct listing *listing, pid_t pid)
{
    struct survey_amounts amounts;
    struct process_status status;
    struct why why;
    int r = status_read(listing->procfs, pid, &status, &why);

    if (r == -ESRCH)
        return 0;
    if (r)
        return r == -ENOMEM ? r : add_unread(listing->survey, "", why.text, 1, 0);
    if (!status.has_memory && status.state == 'Z' && status.threads > 1)
        return add_unread(listing->survey, "whose main thread has exited",
                          "the kernel shows no memory for them", 1, 0);
    if (!status.has_memory || status.tgid != pid)
        return 0;
    r = may_look(listing->procfs, pid);
    if (r == 0)
        r = read_amounts(listing, pid, &status, &amounts);
    if (r == -ENOENT || r == -ESRCH)
        return 0;
    if (r)
        return r == -ENOMEM ? r : refuse(listing, &status, r);
    return add_process(listing, &status, &amounts);
}

/* Our own id as this /proc calls it; 0 where it is another's /proc. */
static pid_t own_pid(const struct procfs *procfs)
{
    auto_free char *target = NULL;
    struct text text;
    uint64_t pid;

    if (procfs_read_link(procfs, &target, "proc/self") < 0)
        return 0;
    text = (struct text){target, target + strlen(target)};
    return text_decimal(&text, &pid) && pid <= INT_MAX ? (pid_t)pid : 0;
}

static int list_pids(const struct procfs *procfs, struct survey *survey, pid_t **ret_pids,
                     size_t *ret_count, struct why *why)
{
    size_t foreign = 0;
    int r;

    if (survey->of_cgroup)
        r = cgroup_processes(procfs, &survey->place, ret_pids, ret_count, &foreign, why);
    else
        r = procfs_list_processes(procfs, ret_pids, ret_count);
    if (r)
        return survey->of_cgroup ? r : why_set(why, r, "cannot list /proc: %s", strerror(-r));
    return foreign ? add_unread(survey, "of other PID namespaces", "run outside of the container",
                                foreign, 0)
                   : 0;
}

/* Hands the others of the same memory to the first, and takes them out of the list. */
static int fold(struct survey_processes *processes, const pid_t *same)
{
    size_t kept = 0;
    int r = 0;

    for (size_t i = 0; i < processes->count; i++) {
        struct survey_process *process = &processes->items[i];
        size_t first = kept;

        for (size_t k = kept; same[i] != process->pid && k-- > 0;)
            if (processes->items[k].pid == same[i])
                first = k;
        if (first < kept) {
            struct {
                pid_t *items;
                size_t count, capacity;
            } sharers = {processes->items[first].sharers, processes->items[first].sharer_count,
                         processes->items[first].sharer_capacity};

            if (r == 0)
                r = vector_push(&sharers, process->pid);
            processes->items[first].sharers = sharers.items;
            processes->items[first].sharer_count = sharers.count;
            processes->items[first].sharer_capacity = sharers.capacity;
            survey_process_free(process);
        } else {
            processes->items[kept++] = *process;
        }
    }
    processes->count = kept;
    return r;
}

static int tell_each_memory_once(struct survey_processes *processes, compare_memory *compare)
{
    auto_free pid_t *pids = malloc((processes->count + 1) * sizeof *pids);
    auto_free pid_t *same = malloc((processes->count + 1) * sizeof *same);
    int r;

    if (!pids || !same)
        return -ENOMEM;
    for (size_t i = 0; i < processes->count; i++)
        pids[i] = processes->items[i].pid;
    r = processes_sharing(pids, processes->count, compare, same);
    return r ? r : fold(processes, same);
}

static size_t unread_count(const struct survey *survey)
{
    size_t count = 0;

    for (size_t i = 0; i < survey->unread.count; i++)
        count += survey->unread.items[i].count;
    return count;
}

static int check_any(const struct survey *survey, struct why *why)
{
    size_t count = unread_count(survey);
    const struct survey_unread *first = survey->unread.items;

    if (survey->processes.count || count == 0)
        return 0;
    return why_set(why, -EACCES, "none of %zu processes may be looked at: %zu %s: %s", count,
                   first->count, first->who, first->reason.text);
}

int survey_list(const struct procfs *procfs, const struct survey_options *options,
                struct survey *survey, struct why *why)
{
    struct listing listing = {
        .procfs = procfs, .survey = survey, .self = own_pid(procfs), .uid = geteuid()};
    auto_free pid_t *pids = NULL;
    size_t count = 0;
    int r = list_pids(procfs, survey, &pids, &count, why);

    for (size_t i = 0; r == 0 && i < count; i++)
        if (pids[i] != listing.self)
            r = look_at(&listing, pids[i]);
    if (r == 0 && options->compare)
        r = tell_each_memory_once(&survey->processes, options->compare);
    return r ? r : check_any(survey, why);
}
