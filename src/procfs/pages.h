/*
 * The kernel's page states of a process, one interface over PAGEMAP_SCAN (6.7+) and pagemap.
 *
 * Both need PTRACE_MODE_READ on the process. Neither touches a page, a counter or a referenced bit.
 */
#pragma once

#include <stdint.h>

#include "base/range.h"
#include "procfs/maps.h"
#include "procfs/procfs.h"

enum page_flag {
    PAGE_PRESENT   = 1 << 0,
    PAGE_FILE      = 1 << 1, /* a page of a file or of shared memory, not an anonymous one */
    PAGE_ZERO      = 1 << 2, /* the shared zero page: present, reads as zeros, no part of RSS */
    PAGE_SWAPPED   = 1 << 3, /* in swap, under migration, or a guard marker */
    PAGE_EXCLUSIVE = 1 << 4, /* mapped by this process alone; only when asked for */
    PAGE_HUGE      = 1 << 5, /* mapped by a huge page (PMD) */
    /* The next two are set by readers of the content, never by the kernel's tables. */
    PAGE_UNREADABLE   = 1 << 6, /* present, and the kernel refused to read it */
    PAGE_CONTENT_ZERO = 1 << 7, /* read, and every byte is zero */
};

/* Whether a page with these flags is one page of RSS. */
static inline bool page_is_resident(uint8_t flags)
{
    return (flags & (PAGE_PRESENT | PAGE_ZERO)) == PAGE_PRESENT;
}

struct page_run {
    struct range range; /* page-aligned */
    uint8_t flags;
};

/* Opened for one process; may be used by several threads at once (no state is kept). */
struct page_source {
    int pagemap_fd;
    bool has_scan;      /* PAGEMAP_SCAN works here */
    bool has_pfn;       /* page frame numbers are told (CAP_SYS_ADMIN): how the zero page is known without SCAN */
    uint64_t zero_pfn;  /* with has_pfn: the 4 KiB zero page's frame */
    uint64_t huge_zero_pfn; /* first frame of the 2 MiB zero page, or 0 when it could not be learnt */
};

/* Probes what works. Release with page_source_close. Negative errno. */
int page_source_open(const struct procfs *procfs, pid_t pid, struct page_source *ret, struct why *why) must_check;
void page_source_close(struct page_source *source);

enum pages_want {
    PAGES_PLAIN = 0,
    PAGES_WANT_EXCLUSIVE = 1 << 0, /* PAGE_EXCLUSIVE for anonymous present pages; costs a pagemap read */
};

/*
 * Iterates over a range in address order, in maximal runs of equal flags; pages in no state at all
 * (never touched, discarded) are left out. Constant memory.
 *
 *     struct page_cursor cursor;
 *     pages_begin(&cursor, &source, range, PAGES_PLAIN);
 *     while ((r = pages_next(&cursor, &run, why)) > 0) ...
 *
 * pages_next: 1 a run, 0 the end, negative errno (-ESRCH: the process has gone).
 *
 * Without PAGEMAP_SCAN, PAGE_HUGE is never set, and PAGE_ZERO only where has_pfn.
 */
enum { PAGE_CURSOR_REGIONS = 512 };
struct page_cursor {
    const struct page_source *source;
    struct range rest;      /* still to be asked of the kernel */
    unsigned want;
    struct page_run pending; /* being merged */
    bool has_pending;
    struct page_run queue[PAGE_CURSOR_REGIONS];
    size_t queue_count, queue_next;
};
void pages_begin(struct page_cursor *cursor, const struct page_source *source, struct range range, unsigned want);
int pages_next(struct page_cursor *cursor, struct page_run *ret_run, struct why *why) must_check;

/*
 * Flags of `count` pages from the page-aligned `start` on, one byte a page, 0 for pages in no state.
 * Exclusive bits are included. Negative errno.
 */
int pages_flags(const struct page_source *source, remote_addr start, size_t count, uint8_t *ret_flags,
                struct why *why) must_check;
