#include "cure/split.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cure/points.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

static ssize_t advise(const struct target *target, const struct iovec *ranges, size_t count,
                      int advice)
{
    cure_point();
    return syscall(SYS_process_madvise, target->pidfd, ranges, count, advice, 0);
}

static ssize_t advise_cold(const struct target *target, const struct iovec *ranges, size_t count)
{
    return advise(target, ranges, count, MADV_COLD);
}

static int refused(const struct target *target, int error, struct why *why)
{
    int pid = (int)target->pid;

    switch (error) {
    case EPERM:
    case EACCES:
        return why_set(why, -EPERM,
                       "advising the kernel about the memory of process %d takes CAP_SYS_NICE and "
                       "the right to look at it (CAP_SYS_PTRACE for other users'): run as root",
                       pid);
    case ESRCH:
        return why_set(why, -ESRCH, "process %d has exited", pid);
    case ENOSYS:
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "this kernel has no process_madvise(2): Linux 5.10 has");
    }
    return why_set(why, -error, "process_madvise on process %d: %s", pid, strerror(error));
}

/* Flags of `count` pages of our own. */
static int own_flags(const struct procfs *procfs, const char *start, size_t count, uint8_t *ret)
{
    struct page_source source;
    int r = page_source_open(procfs, getpid(), &source, NULL);

    if (r)
        return r;
    r = pages_flags(&source, (uintptr_t)start, count, ret, NULL);
    page_source_close(&source);
    return r;
}

/* Splits a huge page of ours that holds one byte. 1: its zeros went; 0: they stayed; -1: it was no
 * huge page. */
static int try_on(const struct procfs *procfs, char *huge)
{
    uint8_t flags[2];

    huge[0] = 1;
    if (own_flags(procfs, huge, 2, flags) || !(flags[1] & PAGE_HUGE))
        return -1;
    if (madvise(huge + PAGE_BYTES, HUGE_BYTES - PAGE_BYTES, MADV_COLD) < 0)
        return -1;
    if (own_flags(procfs, huge, 2, flags) || flags[0] & PAGE_HUGE)
        return -1;
    return !page_is_resident(flags[1]);
}

static int try_to_split(const struct procfs *procfs, char *huge)
{
    return madvise(huge, HUGE_BYTES, MADV_HUGEPAGE) == 0 ? try_on(procfs, huge) : -1;
}

/* 1: it makes a huge page of two small ones; 0: it does not. */
static int try_to_collapse(const struct procfs *procfs, char *huge)
{
    uint8_t flags[2];

    huge[0] = huge[PAGE_BYTES] = 1;
    if (madvise(huge, HUGE_BYTES, MADV_COLLAPSE) < 0 || own_flags(procfs, huge, 2, flags))
        return 0;
    return flags[0] & PAGE_HUGE ? 1 : 0;
}

/* Nothing is known where no huge page can be had: then whoever splits will see. */
static int try_on_ourselves(const struct procfs *procfs,
                            int (*attempt)(const struct procfs *procfs, char *huge))
{
    size_t size = 2 * HUGE_BYTES;
    char *area = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    char *huge;
    int r;

    if (area == MAP_FAILED)
        return -1;
    huge = (char *)align_up((uintptr_t)area, HUGE_BYTES);
    r = attempt(procfs, huge);
    munmap(area, size);
    return r;
}

int split_check(const struct target *target, struct why *why)
{
    if (target->pidfd < 0)
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "this kernel has no pidfd_open(2): Linux 5.3 has");
    if (!target->pages.has_scan)
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "this kernel does not tell which pages are huge, and would not drop their "
                       "zeros: Linux 6.12 does");
    if (advise_cold(target, NULL, 0) < 0) /* of nothing: the rights are checked all the same */
        return refused(target, errno, why);
    if (try_on_ourselves(target->procfs, try_to_split) == 0)
        return why_set(
            why, OUTCOME_NOT_POSSIBLE,
            "this kernel splits huge pages and keeps their zeros: Linux 6.12 drops them");
    return 0;
}

/* All of it but one page, so that it is split, and then that page, so that all become old. */
static size_t ranges_of(const struct huge_page *page, struct iovec ret[2])
{
    char *start = (char *)(uintptr_t)page->address; /* in the target: never followed here */
    bool skip_first = page->first_is_zero;

    ret[0] = (struct iovec){start + (skip_first ? PAGE_BYTES : 0), HUGE_BYTES - PAGE_BYTES};
    ret[1] = (struct iovec){start + HUGE_BYTES - PAGE_BYTES, PAGE_BYTES};
    return skip_first ? 1 : 2;
}

static bool is_final(int error)
{
    return error == EPERM || error == EACCES || error == ESRCH;
}

/* One page the kernel refuses (unmapped, locked meanwhile) must not keep the others from theirs. */
static int split_one(const struct target *target, const struct huge_page *page, struct why *why)
{
    struct iovec ranges[2];
    size_t count = ranges_of(page, ranges);

    if (advise_cold(target, ranges, count) < 0 && is_final(errno))
        return refused(target, errno, why);
    return 0;
}

int split_pages(const struct target *target, const struct huge_page *pages, size_t count,
                struct why *why)
{
    struct iovec ranges[2 * SPLIT_BATCH];
    size_t range_count = 0, bytes = 0;
    ssize_t advised;
    int r = 0;

    for (size_t i = 0; i < count; i++)
        range_count += ranges_of(&pages[i], ranges + range_count);
    for (size_t i = 0; i < range_count; i++)
        bytes += ranges[i].iov_len;
    advised = advise_cold(target, ranges, range_count);
    if (advised < 0 && is_final(errno))
        return refused(target, errno, why);
    if (advised == (ssize_t)bytes)
        return 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = split_one(target, &pages[i], why);
    return r;
}

bool can_make_huge_pages(const struct procfs *procfs)
{
    return try_on_ourselves(procfs, try_to_collapse) == 1;
}

int collapse_page(const struct target *target, remote_addr address, struct why *why)
{
    struct iovec range = {(void *)(uintptr_t)address, HUGE_BYTES}; /* in the target */

    if (advise(target, &range, 1, MADV_COLLAPSE) < 0 && is_final(errno))
        return refused(target, errno, why);
    return 0;
}
