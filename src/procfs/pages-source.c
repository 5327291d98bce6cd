#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "procfs/pages-internal.h"
#include "procfs/process.h"
#include "procfs/uapi-pagemap.h"

/* pagemap of memory that is no more reads as empty; page 0 of living memory always has an entry. */
bool pages_alive(int pagemap_fd)
{
    uint64_t entry;

    return pread(pagemap_fd, &entry, sizeof entry, 0) == (ssize_t)sizeof entry;
}

int pages_gone(const struct page_source *source, struct why *why)
{
    return why_set(why, -ESRCH, "process %d has ended, or runs another program now", source->pid);
}

/* An empty range is valid and walks nothing (tools/testing/selftests/mm/pagemap_ioctl.c). */
static bool scan_works(int pagemap_fd)
{
    struct scan_arg arg = {.size = sizeof arg, .return_mask = SCAN_IS_PRESENT};

    return ioctl(pagemap_fd, SCAN_IOCTL, &arg) == 0;
}

static bool read_entries(int own_fd, const char *page, uint64_t *ret_entries, size_t count)
{
    ssize_t bytes = (ssize_t)(count * sizeof *ret_entries);
    off_t offset = (off_t)((uintptr_t)page >> PAGE_SHIFT) * (off_t)sizeof *ret_entries;

    return pread(own_fd, ret_entries, (size_t)bytes, offset) == bytes;
}

static void touch(const char *page)
{
    (void)*(const volatile char *)page;
}

static bool learn_small(int own_fd, const char *page, struct page_source *source)
{
    uint64_t entry;

    if (madvise((void *)page, PAGE_BYTES, MADV_NOHUGEPAGE) < 0 && errno != EINVAL)
        return false;
    touch(page);
    if (!read_entries(own_fd, page, &entry, 1) || !(entry & PAGEMAP_PRESENT))
        return false;
    source->zero_pfn = entry & PAGEMAP_PFN;
    source->has_pfn = source->zero_pfn != 0;
    return true;
}

static bool scan_says_zero(int own_fd, const char *page)
{
    struct scan_region region;
    struct scan_arg arg = {
        .size = sizeof arg,
        .start = (uintptr_t)page,
        .end = (uintptr_t)page + PAGE_BYTES,
        .vec = (uintptr_t)&region,
        .vec_len = 1,
        .category_mask = SCAN_IS_PFNZERO,
        .return_mask = SCAN_IS_PFNZERO,
    };

    return ioctl(own_fd, SCAN_IOCTL, &arg) == 1;
}

/*
 * Touching one page of a huge one maps the huge zero page, if the system has it (use_zero_page). A
 * real huge page, got instead, would be exclusive. The first PAGEMAP_SCANs compared its frame with
 * the small zero page's and so did not know it.
 */
static void learn_huge(int own_fd, const char *huge, struct page_source *source)
{
    uint64_t entries[2];

    if (madvise((void *)huge, HUGE_BYTES, MADV_HUGEPAGE) < 0)
        return;
    touch(huge);
    if (!read_entries(own_fd, huge, entries, 2) || !(entries[0] & entries[1] & PAGEMAP_PRESENT) ||
        (entries[0] & PAGEMAP_EXCLUSIVE))
        return;
    if (source->has_pfn)
        source->huge_zero_pfn = entries[0] & PAGEMAP_PFN;
    source->scan_misses_huge_zero = source->has_scan && !scan_says_zero(own_fd, huge);
}

/* What cannot be learnt stays unknown, and that is no error. */
static void learn_zero_pages(struct page_source *source)
{
    auto_close int own_fd = procfs_open_file(source->procfs, "proc/self/pagemap");
    size_t size = 3 * HUGE_BYTES;
    char *area, *huge;

    if (own_fd < 0)
        return;
    area = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED)
        return;
    huge = (char *)align_up((uintptr_t)area, HUGE_BYTES);
    if (learn_small(own_fd, huge + HUGE_BYTES, source))
        learn_huge(own_fd, huge, source);
    munmap(area, size);
}

int page_source_open(const struct procfs *procfs, pid_t pid, struct page_source *ret,
                     struct why *why)
{
    struct page_source source = {.procfs = procfs, .pid = pid};
    int fd = procfs_open_file(procfs, "proc/%d/pagemap", pid);

    if (fd < 0)
        return process_error(procfs, pid, fd, "pagemap", why);
    if (!pages_alive(fd)) {
        close(fd);
        return process_error(procfs, pid, -ESRCH, "pagemap", why);
    }
    source.pagemap_fd = fd;
    source.has_scan = scan_works(fd);
    learn_zero_pages(&source);
    *ret = source;
    return 0;
}

void page_source_close(struct page_source *source)
{
    if (source->pagemap_fd >= 0)
        close(source->pagemap_fd);
    source->pagemap_fd = -1;
}
