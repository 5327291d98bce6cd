/*
 * A reservation of terabytes without PAGEMAP_SCAN: pagemap has an entry for every page of every
 * hole, 32 GiB of them for 16 TiB. smaps, which skips holes at the level of page tables, tells
 * which mappings hold pages and how many.
 */
#include "procfs/pages-internal.h"
#include "procfs/smaps.h"

#define MERGE_BYTES (UINT64_C(64) << 20) /* small mappings this close are read as one stretch */

static uint64_t add_pages(uint64_t a, uint64_t b)
{
    return a == UINT64_MAX || b == UINT64_MAX ? UINT64_MAX : a + b;
}

static bool merge(struct page_span *last, struct page_span next)
{
    if (next.range.start - last->range.end > MERGE_BYTES ||
        range_length(last->range) > MERGE_BYTES || range_length(next.range) > MERGE_BYTES)
        return false;
    last->range.end = next.range.end;
    last->left = add_pages(last->left, next.left);
    return true;
}

/*
 * How many pages, at most, are to be met before the rest of the mapping can be skipped. Known only
 * where what smaps counts and what we meet is the same: anonymous pages, all resident, zero pages
 * told from others.
 */
static uint64_t pages_in(const struct page_cursor *cursor, const struct smaps_entry *entry)
{
    if (!cursor->source->has_pfn || entry->swap_bytes || entry->hugetlb_bytes ||
        entry->anonymous_bytes != entry->rss_bytes)
        return UINT64_MAX;
    return entry->rss_bytes / PAGE_BYTES;
}

static int take_entry(void *context, const struct smaps_entry *entry)
{
    struct page_cursor *cursor = context;
    struct page_span span = {.range = entry->range, .left = pages_in(cursor, entry)};

    if (span.range.end <= cursor->rest.start ||
        !(entry->rss_bytes | entry->swap_bytes | entry->hugetlb_bytes))
        return 0;
    if (span.range.start >= cursor->rest.end)
        return 1;
    if (span.range.start < cursor->rest.start)
        span.range.start = cursor->rest.start;
    if (span.range.end > cursor->rest.end)
        span.range.end = cursor->rest.end;
    if (cursor->span_count && merge(&cursor->spans[cursor->span_count - 1], span))
        return 0;
    if (cursor->span_count == PAGE_CURSOR_SPANS) {
        cursor->spans_complete = false;
        return 1;
    }
    cursor->spans[cursor->span_count++] = span;
    return 0;
}

static int read_spans(struct page_cursor *cursor, struct why *why)
{
    int r;

    cursor->span_count = cursor->span_next = 0;
    cursor->spans_complete = true;
    r = smaps_each(cursor->source->procfs, cursor->source->pid, take_entry, cursor, why);
    if (r < 0 && !pages_alive(cursor->source->pagemap_fd))
        return pages_gone(cursor->source, why);
    return r < 0 ? r : 0;
}

int pages_sparse_seek(struct page_cursor *cursor, remote_addr *ret_end, struct why *why)
{
    struct range *rest = &cursor->rest;

    *ret_end = rest->end;
    while (rest->start < rest->end) {
        const struct page_span *span = &cursor->spans[cursor->span_next];
        int r;

        if (cursor->span_next < cursor->span_count) {
            if (rest->start < span->range.start)
                rest->start = span->range.start;
            if (rest->start < span->range.end && span->left) {
                *ret_end = span->range.end;
                return 0;
            }
            rest->start = span->range.end;
            cursor->span_next++;
        } else if (cursor->spans_complete) {
            rest->start = rest->end;
        } else {
            r = read_spans(cursor, why);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

void pages_sparse_met(struct page_cursor *cursor, struct page_run run)
{
    struct page_span *span = &cursor->spans[cursor->span_next];
    uint64_t pages = range_length(run.range) / PAGE_BYTES;

    /* a file page in an anonymous mapping is the huge zero page, whose frame we may not know */
    if (page_is_resident(run.flags) && !(run.flags & PAGE_FILE) && span->left != UINT64_MAX)
        span->left -= pages < span->left ? pages : span->left;
}
