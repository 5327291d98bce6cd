/*
 * Chunks with a mapping of their own. They are on no list: each begins at a page with prev_size 0
 * and a size whose flags are just "mmapped": of whole pages, since 2.43 16 bytes less (614cfd0f8a).
 * Neighbouring mappings merge, so the search goes from the start of every mapping along the chain
 * of chunks, and then page by page, until malloc's own count and sum agree.
 */
#include "heap/glibc/mmapped.h"

#include <errno.h>
#include <inttypes.h>

#include "base/cleanup.h"
#include "base/gaps.h"
#include "base/vector.h"

static bool agrees(const struct mmapped_search *search)
{
    const struct heap_settings *settings = &search->glibc->heap.settings;

    return search->found.count == settings->mmapped_count &&
           search->bytes == settings->mmapped_bytes && !(search->whole && search->short_by_header);
}

/*
 * Since 2.43 each mremap makes malloc's sum 16 bytes too large for ever (mremap_chunk subtracts the
 * size in the header, not that of the mapping). Its count stays right.
 */
static bool agrees_but_for_drift(const struct mmapped_search *search)
{
    const struct heap_settings *settings = &search->glibc->heap.settings;

    return !search->whole && search->found.count == settings->mmapped_count &&
           search->bytes <= settings->mmapped_bytes &&
           (settings->mmapped_bytes - search->bytes) % CHUNK_HEADER_BYTES == 0;
}

static int add_chunk(struct mmapped_search *search, remote_addr start,
                     const struct mmapped_chunk *chunk)
{
    search->bytes += chunk->total;
    search->whole |= !chunk->short_by_header;
    search->short_by_header |= chunk->short_by_header;
    return vector_push(&search->found, ((struct heap_region){.range = {start, start + chunk->total},
                                                             .kind = REGION_MMAPPED,
                                                             .lead = chunk->lead}));
}

/*
 * Follows neighbouring chunks from `start`; `ret_end` is where the chain ends. If that is not the
 * end of its gap, the last chunk may be larger than its stale header says.
 */
static int follow_chain(struct mmapped_search *search, remote_addr start, remote_addr limit,
                        remote_addr *ret_end)
{
    struct mmapped_chunk chunk, last = {0};
    int r = 0;

    for (;;) {
        while (start < limit && (r = mmapped_chunk_at(search, start, limit,
                                                      search->effort == AT_PAGES, &chunk)) == 0) {
            r = last.total ? add_chunk(search, start - last.total, &last) : 0;
            if (r)
                return r;
            last = chunk;
            start += chunk.total;
        }
        if (r < 0 || !last.total || start == limit || search->effort != AT_BREAKS)
            break;
        r = mmapped_chunk_at(search, start - last.total, limit, true, &chunk);
        if (r || chunk.total == last.total)
            break;
        start += chunk.total - last.total;
        last = chunk;
    }
    if (r >= 0 && last.total)
        r = add_chunk(search, start - last.total, &last);
    *ret_end = start;
    return r < 0 ? r : 0;
}

static bool may_hold_chunks(const struct vma *vma)
{
    return vma_is_anonymous(vma) && !vma->shared && vma->readable && vma->writable &&
           !vma_is_special(vma) && strcmp(vma->name, "[heap]") != 0 &&
           strcmp(vma->name, "[stack]") != 0;
}

/* Tests every page of [start, end) that is present; a hit takes its pages along. */
static int scan_pages(struct mmapped_search *search, remote_addr start, remote_addr end)
{
    while (start < end && !agrees(search) && mmapped_may_scan(search)) {
        remote_addr window = start;
        size_t pages = mmapped_window_pages(start, end);
        int r = mmapped_read_window(search, window, pages, search->pages);

        while (r == 0 && start < window + pages * PAGE_BYTES) {
            remote_addr chain = start;
            uint64_t claim;

            if (mmapped_begins(search->pages + (start - window), &claim))
                r = follow_chain(search, chain, end, &start);
            if (start == chain)
                start += PAGE_BYTES;
        }
        if (r)
            return r;
    }
    return 0;
}

static int search_gap(struct mmapped_search *search, struct range gap)
{
    remote_addr end;
    int r;

    gap.start = align_up(gap.start, PAGE_BYTES);
    gap.end = align_down(gap.end, PAGE_BYTES);
    if (gap.start >= gap.end)
        return 0;
    r = follow_chain(search, gap.start, gap.end, &end);
    if (r || search->effort != AT_PAGES)
        return r;
    return scan_pages(search, end, gap.end);
}

static int search_all(struct mmapped_search *search, enum effort effort)
{
    const struct heap_regions *regions = &search->glibc->heap.regions;
    int r = 0;

    search->effort = effort;
    search->found.count = 0;
    search->bytes = 0;
    search->whole = search->short_by_header = false;
    for (size_t i = 0; r == 0 && i < search->view->maps->count; i++) {
        const struct vma *vma = &search->view->maps->items[i];
        struct gap_cursor gaps;
        struct range gap;

        if (!may_hold_chunks(vma))
            continue;
        gaps = gaps_of(vma->range, regions->items, regions->count, sizeof *regions->items);
        while (r == 0 && !agrees(search) && gap_next(&gaps, &gap))
            r = search_gap(search, gap);
    }
    return r;
}

/* What was found becomes regions, unless it is more than malloc says it has: then some of it is not
 * malloc's. */
static int keep_found(struct mmapped_search *search)
{
    struct glibc *glibc = search->glibc;
    const struct heap_settings *settings = &glibc->heap.settings;
    struct why reason;
    int r = 0;

    if (!agrees(search) && !agrees_but_for_drift(search)) {
        why_set(&reason, 0,
                "%zu chunks of %" PRIu64 " bytes were found where malloc counts %" PRIu64
                " of %" PRIu64,
                search->found.count, search->bytes, settings->mmapped_count,
                settings->mmapped_bytes);
        heap_refuse(&glibc->heap, &reason, "mmapped chunks");
        if (search->found.count > settings->mmapped_count ||
            search->bytes > settings->mmapped_bytes || (search->whole && search->short_by_header))
            return 0;
    }
    for (size_t i = 0; r == 0 && i < search->found.count; i++)
        r = vector_push(&glibc->heap.regions, search->found.items[i]);
    if (search->found.count)
        glibc_sort_regions(glibc);
    return r;
}

static int search_harder(struct mmapped_search *search)
{
    auto_free uint8_t *buffer = malloc(2 * SCAN_PAGES * PAGE_BYTES);
    int r = 0;

    if (!buffer)
        return -ENOMEM;
    search->pages = buffer;
    search->page_ends = buffer + SCAN_PAGES * PAGE_BYTES;
    for (enum effort effort = AT_BREAKS;
         r == 0 && effort <= AT_PAGES && !agrees(search) && !agrees_but_for_drift(search); effort++)
        r = search_all(search, effort);
    return r;
}

static int search_afresh(struct mmapped_search *search)
{
    int r = search_all(search, AT_STARTS);

    return r == 0 && !agrees(search) ? search_harder(search) : r;
}

/*
 * While the process is held, pages are not searched: chunks that were found before and still say
 * what they said are there, and new ones are mostly at starts.
 */
static int search_briefly(struct mmapped_search *search)
{
    int r = mmapped_recall(search);

    if (r || agrees(search) || agrees_but_for_drift(search) || mmapped_is_as_remembered(search))
        return r;
    return search_all(search, AT_STARTS);
}

int glibc_find_mmapped(const struct heap_view *view, struct glibc *glibc, struct why *why)
{
    struct mmapped_search search = {.view = view, .glibc = glibc};
    bool brief = view->brief && view->memo && view->memo->mmapped_of == glibc->main_arena;
    int r;

    if (glibc->heap.settings.mmapped_count == 0)
        return 0;
    r = brief ? search_briefly(&search) : search_afresh(&search);
    if (r == 0 && !brief && view->memo)
        r = mmapped_remember(&search);
    if (r == 0)
        r = keep_found(&search);
    free(search.found.items);
    return r;
}
