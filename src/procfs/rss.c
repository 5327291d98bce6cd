#include "procfs/rss.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/range.h"
#include "procfs/parse.h"
#include "procfs/smaps.h"
#include "procfs/status.h"

enum { ROUNDS = 12, TRIES = 8, TRIAL_PAGES = 256 };

enum comparison { DIFFERENT, EQUAL, DISTURBED };

/* Status on both sides: where it moved, somebody else in this process touched or gave back pages
 * meanwhile. */
static int compare_once(const struct procfs *procfs, pid_t pid, enum comparison *ret,
                        struct why *why)
{
    struct process_status before, after;
    struct smaps_rollup rollup;
    int r = status_read(procfs, pid, &before, why);

    if (r == 0)
        r = smaps_rollup_read(procfs, pid, &rollup, why);
    if (r == 0)
        r = status_read(procfs, pid, &after, why);
    if (r < 0)
        return r;
    if (before.vm_rss_bytes != after.vm_rss_bytes)
        *ret = DISTURBED;
    else
        *ret = before.vm_rss_bytes == rollup.rss_bytes ? EQUAL : DIFFERENT;
    return 0;
}

/* 1 equal, 0 not (or never undisturbed), negative errno */
static int compare(const struct procfs *procfs, pid_t pid, struct why *why)
{
    enum comparison result = DISTURBED;

    for (int i = 0; i < TRIES && result == DISTURBED; i++) {
        int r = compare_once(procfs, pid, &result, why);

        if (r < 0)
            return r;
    }
    return result == EQUAL;
}

/*
 * Estimates lag behind by what a task (up to 6.1) or a CPU (6.2 on) has not yet added up: some
 * pages, in batches of 32 or more. Odd numbers of pages leave such a rest in nearly every round.
 */
static int try_rounds(const struct procfs *procfs, pid_t pid, volatile char *area, struct why *why)
{
    for (int round = 0; round < ROUNDS; round++) {
        int r;

        for (int i = 0; i < 2 * round + 1; i++, area += PAGE_BYTES)
            *area = 1;
        r = compare(procfs, pid, why);
        if (r <= 0)
            return r;
    }
    return 1;
}

/* Our own pid as this /proc calls it, which need not be what getpid says. */
static int own_pid(const struct procfs *procfs, pid_t *ret_pid, struct why *why)
{
    auto_free char *target = NULL;
    struct text text;
    uint64_t pid;
    int r = procfs_read_link(procfs, &target, "proc/self");

    if (r < 0)
        return why_set(why, r, "/proc/self does not lead to this process");
    text = (struct text){target, target + strlen(target)};
    if (!text_decimal(&text, &pid) || text_length(text) || pid > INT_MAX)
        return why_set(why, -EBADMSG, "/proc/self leads to \"%.40s\", which is no process", target);
    *ret_pid = (pid_t)pid;
    return 0;
}

int rss_status_is_exact(const struct procfs *procfs, struct why *why)
{
    size_t size = TRIAL_PAGES * PAGE_BYTES;
    char *area;
    pid_t pid = 0;
    int r = own_pid(procfs, &pid, why);

    if (r < 0)
        return r;
    area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED)
        return why_set(why, -errno, "cannot map %zu bytes to try this kernel's counters", size);
    (void)madvise(area, size, MADV_NOHUGEPAGE);
    r = try_rounds(procfs, pid, area, why);
    munmap(area, size);
    return r;
}

int rss_read(const struct procfs *procfs, pid_t pid, enum rss_source source, struct rss *ret,
             struct why *why)
{
    uint64_t began = clock_now_ns();
    struct smaps_rollup rollup = {0};
    struct process_status status;
    int r = status_read(procfs, pid, &status, why);

    if (r == 0 && source == RSS_FROM_SMAPS_ROLLUP && status.has_memory)
        r = smaps_rollup_read(procfs, pid, &rollup, why);
    if (r < 0)
        return r;
    *ret = (struct rss){
        .rss_bytes = source == RSS_FROM_STATUS ? status.vm_rss_bytes : rollup.rss_bytes,
        .anon_bytes = status.rss_anon_bytes,
        .file_bytes = status.rss_file_bytes,
        .shmem_bytes = status.rss_shmem_bytes,
        .swap_bytes = status.vm_swap_bytes,
        .page_table_bytes = status.vm_pte_bytes,
        .hugetlb_bytes = status.hugetlb_bytes,
        .source = source,
        .cost_ns = clock_now_ns() - began,
    };
    return 0;
}

const char *rss_source_name(enum rss_source source)
{
    return source == RSS_FROM_STATUS ? "status" : "smaps_rollup";
}
