#include "procfs/pages.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "procfs/pages-internal.h"
#include "procfs/uapi-pagemap.h"

/* Ends of the user's half of the address space: with five levels of page tables, and with four. */
#define ADDRESS_END_57 ((UINT64_C(1) << 56) - PAGE_BYTES)
#define ADDRESS_END_48 ((UINT64_C(1) << 47) - PAGE_BYTES)

void pages_begin(struct page_cursor *cursor, const struct page_source *source, struct range range,
                 unsigned want)
{
    if (range.end > ADDRESS_END_57)
        range.end = ADDRESS_END_57;
    range.start = align_down(range.start, PAGE_BYTES);
    range.end = align_up(range.end, PAGE_BYTES);
    if (range.start > range.end)
        range.start = range.end;
    cursor->source = source;
    cursor->rest = range;
    cursor->want = want;
    cursor->has_pending = false;
    cursor->queue_count = cursor->queue_next = 0;
    cursor->entries_range = (struct range){0, 0};
    cursor->sparse = !source->has_scan && range_length(range) > PAGES_SPARSE_BYTES;
    cursor->spans_complete = false;
    cursor->span_count = cursor->span_next = 0;
}

static bool is_zero_frame(const struct page_source *source, uint64_t pfn)
{
    if (!source->has_pfn || !pfn)
        return false;
    return pfn == source->zero_pfn ||
           (source->huge_zero_pfn && pfn - source->huge_zero_pfn < HUGE_BYTES / PAGE_BYTES);
}

static uint8_t flags_of_entry(const struct page_cursor *cursor, uint64_t entry)
{
    uint8_t file = entry & PAGEMAP_FILE ? PAGE_FILE : 0;

    if (entry & PAGEMAP_SWAPPED)
        return PAGE_SWAPPED | file;
    if (!(entry & PAGEMAP_PRESENT))
        return 0;
    if (is_zero_frame(cursor->source, entry & PAGEMAP_PFN))
        return PAGE_PRESENT | PAGE_ZERO;
    if (!file && (cursor->want & PAGES_WANT_EXCLUSIVE) && (entry & PAGEMAP_EXCLUSIVE))
        return PAGE_PRESENT | PAGE_EXCLUSIVE;
    return PAGE_PRESENT | file;
}

static uint8_t flags_of_categories(const struct page_source *source, uint64_t categories)
{
    uint8_t flags = 0;

    if (source->scan_misses_huge_zero && (categories & SCAN_IS_HUGE))
        categories &= ~(uint64_t)SCAN_IS_PFNZERO; /* not to be relied on; refine() finds out */

    if (categories & SCAN_IS_PRESENT)
        flags |= PAGE_PRESENT;
    if (categories & SCAN_IS_SWAPPED)
        flags |= PAGE_SWAPPED;
    if (categories & SCAN_IS_HUGE)
        flags |= PAGE_HUGE;
    if (categories & SCAN_IS_PFNZERO)
        flags |= PAGE_ZERO;
    else if (categories & SCAN_IS_FILE)
        flags |= PAGE_FILE;
    return flags;
}

/*
 * Makes cursor->entries begin at or before `start`, reading towards `end`. 1; 0 when the address
 * space ends before `start`; negative errno.
 */
static int load_entries(struct page_cursor *cursor, remote_addr start, remote_addr end,
                        struct why *why)
{
    uint64_t pages = (end - start) / PAGE_BYTES;
    ssize_t n;

    if (range_has(cursor->entries_range, start))
        return 1;
    if (pages > PAGE_CURSOR_ENTRIES)
        pages = PAGE_CURSOR_ENTRIES;
    n = pread(cursor->source->pagemap_fd, cursor->entries, pages * sizeof *cursor->entries,
              (off_t)(start / PAGE_BYTES * sizeof *cursor->entries));
    if (n < 0 && errno == ESRCH)
        return pages_gone(cursor->source, why);
    if (n < 0)
        return why_set(why, -errno, "cannot read /proc/%d/pagemap: %m", cursor->source->pid);
    cursor->entries_range.start = start;
    cursor->entries_range.end = start + (uint64_t)n / sizeof *cursor->entries * PAGE_BYTES;
    return range_has(cursor->entries_range, start);
}

static uint64_t entry_at(const struct page_cursor *cursor, remote_addr address)
{
    return cursor->entries[(address - cursor->entries_range.start) / PAGE_BYTES];
}

/* The first pages of [start, end) that have equal flags by their entries; all entries up to there
 * are loaded. */
static int next_stretch(struct page_cursor *cursor, remote_addr end, struct page_run *ret_run,
                        struct why *why)
{
    remote_addr start = cursor->rest.start, at = start;
    int r = load_entries(cursor, start, end, why);
    uint8_t flags;

    if (r <= 0)
        return r;
    if (end > cursor->entries_range.end)
        end = cursor->entries_range.end;
    flags = flags_of_entry(cursor, entry_at(cursor, at));
    while (at < end && flags_of_entry(cursor, entry_at(cursor, at)) == flags)
        at += PAGE_BYTES;
    *ret_run = (struct page_run){.range = {start, at}, .flags = flags};
    return 1;
}

static int next_from_pagemap(struct page_cursor *cursor, struct page_run *ret_run, struct why *why)
{
    for (;;) {
        remote_addr end = cursor->rest.end;
        int r = cursor->sparse ? pages_sparse_seek(cursor, &end, why) : 0;

        if (r < 0 || cursor->rest.start >= cursor->rest.end)
            return r;
        r = next_stretch(cursor, end, ret_run, why);
        if (r < 0)
            return r;
        if (r == 0) { /* nothing lies beyond */
            cursor->rest.start = cursor->rest.end;
            return 0;
        }
        cursor->rest.start = ret_run->range.end;
        if (!ret_run->flags)
            continue;
        if (cursor->sparse)
            pages_sparse_met(cursor, *ret_run);
        return 1;
    }
}

static int scan_failed(struct page_cursor *cursor, int error, struct why *why)
{
    if (error == -ESRCH)
        return pages_gone(cursor->source, why);
    if (error == -EFAULT && cursor->rest.end > ADDRESS_END_48) { /* four levels here */
        cursor->rest.end = ADDRESS_END_48;
        if (cursor->rest.start > cursor->rest.end)
            cursor->rest.start = cursor->rest.end;
        return 0;
    }
    return why_set(why, error, "cannot scan the pages of process %d: %s", cursor->source->pid,
                   strerror(-error));
}

/* Whoever indexes by these addresses relies on them: inside what was asked for, ascending, not
 * empty. */
static bool enqueue(struct page_cursor *cursor, const struct scan_region *regions, size_t count)
{
    remote_addr at = cursor->rest.start;

    for (size_t i = 0; i < count; i++) {
        struct range range = {regions[i].start, regions[i].end};

        if (range.start < at || range.end <= range.start || range.end > cursor->rest.end)
            return false;
        at = range.end;
        cursor->queue[i] =
            (struct page_run){range, flags_of_categories(cursor->source, regions[i].categories)};
    }
    cursor->queue_count = count;
    cursor->queue_next = 0;
    return true;
}

static remote_addr further(remote_addr walk_end, remote_addr seen, remote_addr limit)
{
    return walk_end > seen && walk_end <= limit ? walk_end : seen;
}

/*
 * Asks for the next regions. A full answer may have ended early; then walk_end may be stale (the
 * kernel sets it only where it stops early, and forgets to when a later pass ends normally), so go
 * on behind whichever is further, it or the last region. An answer that is not full is the end.
 */
static int scan(struct page_cursor *cursor, struct why *why)
{
    struct scan_region regions[PAGE_CURSOR_REGIONS];
    struct scan_arg arg = {
        .size = sizeof arg,
        .start = cursor->rest.start,
        .end = cursor->rest.end,
        .vec = (uintptr_t)regions,
        .vec_len = PAGE_CURSOR_REGIONS,
        .category_anyof_mask = SCAN_IS_PRESENT | SCAN_IS_SWAPPED,
        .return_mask =
            SCAN_IS_PRESENT | SCAN_IS_SWAPPED | SCAN_IS_FILE | SCAN_IS_PFNZERO | SCAN_IS_HUGE,
    };
    int r;

    if (cursor->want & PAGES_RESIDENT_ONLY && !cursor->source->scan_misses_huge_zero) {
        arg.category_anyof_mask = 0;
        arg.category_mask = SCAN_IS_PRESENT | SCAN_IS_PFNZERO;
        arg.category_inverted = SCAN_IS_PFNZERO;
        arg.return_mask = SCAN_IS_PRESENT;
    }
    r = ioctl(cursor->source->pagemap_fd, SCAN_IOCTL, &arg);
    if (r < 0)
        return scan_failed(cursor, -errno, why);
    if (!enqueue(cursor, regions, (size_t)r))
        return why_set(why, -EIO, "the kernel's page scan of process %d makes no sense",
                       cursor->source->pid);
    if (r < PAGE_CURSOR_REGIONS)
        cursor->rest.start = cursor->rest.end;
    else
        cursor->rest.start = further(arg.walk_end, regions[r - 1].end, cursor->rest.end);
    return 0;
}

/* Whether pagemap has to be asked too: for the exclusive bit, or for the huge zero page. */
static bool needs_entries(const struct page_cursor *cursor, uint8_t flags)
{
    if (!(flags & PAGE_PRESENT) || (flags & (PAGE_FILE | PAGE_ZERO)))
        return false;
    return (cursor->want & PAGES_WANT_EXCLUSIVE) ||
           (cursor->source->scan_misses_huge_zero && (flags & PAGE_HUGE));
}

/*
 * Where the scan does not know the huge zero page, it calls it anonymous, while pagemap, which
 * looks at the page itself, calls it a file page: no other page has both.
 */
static uint8_t refine(const struct page_cursor *cursor, uint8_t flags, uint64_t entry)
{
    if (!(entry & PAGEMAP_PRESENT))
        return flags; /* changed meanwhile */
    if ((flags & PAGE_HUGE) && (entry & PAGEMAP_FILE) && cursor->source->scan_misses_huge_zero)
        return flags | PAGE_ZERO;
    if ((cursor->want & PAGES_WANT_EXCLUSIVE) && (entry & PAGEMAP_EXCLUSIVE))
        return flags | PAGE_EXCLUSIVE;
    return flags;
}

/* Takes the first pages of the queued run that stay equal when refined. */
static int take_refined(struct page_cursor *cursor, struct page_run *run, struct page_run *ret_run,
                        struct why *why)
{
    remote_addr at = run->range.start, end = run->range.end;
    remote_addr queue_end = cursor->queue[cursor->queue_count - 1].range.end;
    int r = load_entries(cursor, at, queue_end, why);
    uint8_t flags;

    if (r < 0)
        return r;
    if (r == 0)
        return pages_gone(cursor->source, why);
    if (end > cursor->entries_range.end)
        end = cursor->entries_range.end;
    flags = refine(cursor, run->flags, entry_at(cursor, at));
    while (at < end && refine(cursor, run->flags, entry_at(cursor, at)) == flags)
        at += PAGE_BYTES;
    *ret_run = (struct page_run){.range = {run->range.start, at}, .flags = flags};
    run->range.start = at;
    return 1;
}

static int next_from_scan(struct page_cursor *cursor, struct page_run *ret_run, struct why *why)
{
    struct page_run *run;
    int r;

    while (cursor->queue_next == cursor->queue_count) {
        if (cursor->rest.start >= cursor->rest.end)
            return 0;
        r = scan(cursor, why);
        if (r < 0)
            return r;
    }
    run = &cursor->queue[cursor->queue_next];
    if (!needs_entries(cursor, run->flags)) {
        cursor->queue_next++;
        *ret_run = *run;
        return 1;
    }
    r = take_refined(cursor, run, ret_run, why);
    if (r > 0 && run->range.start == run->range.end)
        cursor->queue_next++;
    return r;
}

/* Gone memory looks empty, not wrong: a walk that ends on living memory was on living memory all
 * along. */
static int finish(struct page_cursor *cursor, struct page_run *ret_run, struct why *why)
{
    if (!pages_alive(cursor->source->pagemap_fd))
        return pages_gone(cursor->source, why);
    if (!cursor->has_pending)
        return 0;
    *ret_run = cursor->pending;
    cursor->has_pending = false;
    return 1;
}

int pages_next(struct page_cursor *cursor, struct page_run *ret_run, struct why *why)
{
    for (;;) {
        struct page_run run;
        int r = cursor->source->has_scan ? next_from_scan(cursor, &run, why)
                                         : next_from_pagemap(cursor, &run, why);

        if (r < 0)
            return r;
        if (r == 0)
            return finish(cursor, ret_run, why);
        if (!cursor->has_pending) {
            cursor->pending = run;
            cursor->has_pending = true;
        } else if (cursor->pending.range.end == run.range.start &&
                   cursor->pending.flags == run.flags) {
            cursor->pending.range.end = run.range.end;
        } else {
            *ret_run = cursor->pending;
            cursor->pending = run;
            return 1;
        }
    }
}

int pages_flags(const struct page_source *source, remote_addr start, size_t count,
                uint8_t *ret_flags, struct why *why)
{
    struct page_cursor cursor;
    struct page_run run;
    int r;

    start = align_down(start, PAGE_BYTES);
    pages_begin(&cursor, source, (struct range){start, start + count * PAGE_BYTES},
                PAGES_WANT_EXCLUSIVE);
    memset(ret_flags, 0, count);
    while ((r = pages_next(&cursor, &run, why)) > 0)
        memset(ret_flags + (run.range.start - start) / PAGE_BYTES, run.flags,
               range_length(run.range) / PAGE_BYTES);
    return r;
}

int pages_still_present(const struct page_source *source, remote_addr start, size_t count,
                        bool exclusive)
{
    uint64_t entries[PAGE_CURSOR_ENTRIES];
    uint64_t wanted = PAGEMAP_PRESENT | (exclusive ? PAGEMAP_EXCLUSIVE : 0);
    ssize_t n;
    int i = 0;

    if (count > PAGE_CURSOR_ENTRIES)
        count = PAGE_CURSOR_ENTRIES;
    do {
        n = pread(source->pagemap_fd, entries, count * sizeof *entries,
                  (off_t)(start / PAGE_BYTES * sizeof *entries));
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    while (i < (int)(n / (ssize_t)sizeof *entries) && (entries[i] & wanted) == wanted)
        i++;
    return i;
}
