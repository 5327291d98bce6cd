/*
 * The kernel's page states of a process, one interface over PAGEMAP_SCAN (6.7+) and pagemap.
 *
 * Both need PTRACE_MODE_READ on the process. Neither touches a page, a counter or a referenced bit.
 *
 * Pages of hugetlb mappings are reported as present although they are no part of RSS: whoever sums up leaves those
 * mappings out (vma.hugetlb).
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
    PAGE_EXCLUSIVE = 1 << 4, /* anonymous, mapped by this process alone; only when asked for */
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
    const struct procfs *procfs; /* borrowed */
    pid_t pid;
    int pagemap_fd;
    bool has_scan;      /* PAGEMAP_SCAN works here; tests may clear it to take the other path */
    bool scan_misses_huge_zero; /* it does not tell the 2 MiB zero page from other huge pages; pages_next does */
    bool has_pfn;       /* page frame numbers are told (CAP_SYS_ADMIN): how the zero page is known without SCAN */
    uint64_t zero_pfn;  /* with has_pfn: the 4 KiB zero page's frame */
    uint64_t huge_zero_pfn; /* first frame of the 2 MiB zero page, or 0 when it could not be learnt */
};

/*
 * Probes what works. Release with page_source_close. Negative errno: -ESRCH vanished or without memory (zombie,
 * kernel thread), -EACCES not permitted. It stays tied to the memory that the process has now: after an execve
 * every read gives -ESRCH.
 */
int page_source_open(const struct procfs *procfs, pid_t pid, struct page_source *ret, struct why *why) must_check;
void page_source_close(struct page_source *source);

enum pages_want {
    PAGES_PLAIN = 0,
    PAGES_WANT_EXCLUSIVE = 1 << 0, /* PAGE_EXCLUSIVE for anonymous present pages; costs a pagemap read */
    PAGES_RESIDENT_ONLY = 1 << 1,  /* of resident pages PAGE_PRESENT and no more, of others perhaps nothing: a third of the
                                      cost, where the kernel can (PAGEMAP_SCAN, which then looks at no page itself) */
};

/*
 * Iterates over a range in address order, in maximal runs of equal flags; pages in no state at all
 * (never touched, discarded) are left out. Constant memory. Any range will do, the whole address space too.
 *
 *     struct page_cursor cursor;
 *     pages_begin(&cursor, &source, range, PAGES_PLAIN);
 *     while ((r = pages_next(&cursor, &run, why)) > 0) ...
 *
 * pages_next: 1 a run, 0 the end, negative errno (-ESRCH: the process has gone).
 *
 * Without PAGEMAP_SCAN, PAGE_HUGE is never set, and PAGE_ZERO only where has_pfn. Ranges above PAGES_SPARSE_BYTES are
 * then not read entry by entry: smaps tells which mappings hold pages, and how many. In such a range zero pages and
 * guard markers, which smaps does not count, may be left out; resident and swapped pages are not. What stays dear
 * there is a vast mapping with pages far apart: it is read up to its last page, about 1 s a TiB.
 */
#define PAGES_SPARSE_BYTES (UINT64_C(64) << 30) /* about 60 ms of pagemap */
enum { PAGE_CURSOR_REGIONS = 512, PAGE_CURSOR_ENTRIES = 1024, PAGE_CURSOR_SPANS = 64 };
struct page_span {
    struct range range;
    uint64_t left; /* resident pages in it still to be met, at most; UINT64_MAX: not known */
};
struct page_cursor {
    const struct page_source *source;
    struct range rest;      /* still to be asked of the kernel */
    unsigned want;
    struct page_run pending; /* being merged */
    bool has_pending;
    struct page_run queue[PAGE_CURSOR_REGIONS]; /* with PAGEMAP_SCAN: its last answer */
    size_t queue_count, queue_next;
    struct range entries_range;                 /* what `entries` of pagemap are about */
    uint64_t entries[PAGE_CURSOR_ENTRIES];
    bool sparse, spans_complete;                /* without PAGEMAP_SCAN, in a vast range: what is worth reading */
    struct page_span spans[PAGE_CURSOR_SPANS];
    size_t span_count, span_next;
};
void pages_begin(struct page_cursor *cursor, const struct page_source *source, struct range range, unsigned want);
int pages_next(struct page_cursor *cursor, struct page_run *ret_run, struct why *why) must_check;

/*
 * Flags of `count` pages from the page-aligned `start` on, one byte a page, 0 for pages in no state.
 * Exclusive bits are included. Negative errno, and then ret_flags holds nothing of use.
 */
int pages_flags(const struct page_source *source, remote_addr start, size_t count, uint8_t *ret_flags,
                struct why *why) must_check;

/*
 * How many of the `count` pages from the page-aligned `start` on are in memory now, and with `exclusive` also mapped by
 * this process alone, counted up to the first that is not. For readers of a running process, right before they read.
 * Negative errno.
 */
int pages_still_present(const struct page_source *source, remote_addr start, size_t count, bool exclusive);
