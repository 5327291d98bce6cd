/*
 * Chunks with a mapping of their own. They are on no list: each begins at a page with prev_size 0
 * and a size of whole pages whose flags are just "mmapped". Neighbouring mappings merge, so the
 * search goes from the start of every mapping along the chain of chunks, and then page by page,
 * until malloc's own count and sum agree.
 */
#include <errno.h>
#include <inttypes.h>

#include "base/cleanup.h"
#include "base/gaps.h"
#include "base/vector.h"
#include "heap/glibc/glibc.h"

enum { SCAN_PAGES = 256 };

/* The process may be stopped meanwhile: what is not found in this much memory is told to be
 * missing. */
#define SCAN_LIMIT_BYTES (UINT64_C(1) << 30)
#define SCAN_LIMIT_SPACE (UINT64_C(64) << 30) /* the same for what holds few pages or none */

struct mmapped_search {
    const struct heap_view *view;
    struct glibc *glibc;
    struct heap_regions found;
    uint64_t bytes;
    uint64_t scanned; /* bytes read page by page */
    uint64_t space;   /* address space that these lie in */
};

static bool agrees(const struct mmapped_search *search)
{
    const struct heap_settings *settings = &search->glibc->heap.settings;

    return search->found.count == settings->mmapped_count &&
           search->bytes == settings->mmapped_bytes;
}

/* Whether the page that begins with these bytes, `room` bytes before the end of its mapping, begins
 * a chunk. */
static bool begins_chunk(const uint8_t *page, uint64_t room)
{
    uint64_t size = field_u64(page, 8), bytes = size & ~(uint64_t)CHUNK_FLAGS;

    return field_u64(page, 0) == 0 && (size & CHUNK_FLAGS) == CHUNK_MMAPPED && bytes &&
           bytes % PAGE_BYTES == 0 && bytes <= room;
}

/* The mmapped chunk that begins at page-aligned `start` and ends by `limit`. 0, OUTCOME_NOT_FOUND,
 * negative errno. */
static int chunk_at(struct mmapped_search *search, remote_addr start, remote_addr limit,
                    uint64_t *ret_bytes)
{
    uint8_t header[CHUNK_HEADER_BYTES];
    int r = memory_read(search->view->memory, start, header, sizeof header, NULL);

    if (r)
        return r < 0 ? r : OUTCOME_NOT_FOUND;
    if (!begins_chunk(header, limit - start))
        return OUTCOME_NOT_FOUND;
    *ret_bytes = field_u64(header, 8) & ~(uint64_t)CHUNK_FLAGS;
    return 0;
}

static int add_chunk(struct mmapped_search *search, remote_addr start, uint64_t bytes)
{
    search->bytes += bytes;
    return vector_push(&search->found, ((struct heap_region){.range = {start, start + bytes},
                                                             .kind = REGION_MMAPPED}));
}

/* Follows neighbouring chunks from `start`; `ret_end` is where the chain ends. */
static int follow_chain(struct mmapped_search *search, remote_addr start, remote_addr limit,
                        remote_addr *ret_end)
{
    uint64_t bytes;
    int r = 0;

    while (start < limit && (r = chunk_at(search, start, limit, &bytes)) == 0) {
        r = add_chunk(search, start, bytes);
        if (r)
            return r;
        start += bytes;
    }
    *ret_end = start;
    return r < 0 ? r : 0;
}

static bool may_hold_chunks(const struct vma *vma)
{
    return vma_is_anonymous(vma) && !vma->shared && vma->readable && vma->writable &&
           !vma_is_special(vma) && strcmp(vma->name, "[heap]") != 0 &&
           strcmp(vma->name, "[stack]") != 0;
}

static uint64_t present_bytes(const uint8_t *flags, size_t pages)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < pages; i++)
        bytes += flags[i] & PAGE_PRESENT ? PAGE_BYTES : 0;
    return bytes;
}

/* Tests every page of [start, end) that is present; a hit takes its pages along. */
static int scan_pages(struct mmapped_search *search, remote_addr start, remote_addr end,
                      uint8_t *buffer, struct why *why)
{
    uint8_t flags[SCAN_PAGES];

    while (start < end && !agrees(search) && search->scanned < SCAN_LIMIT_BYTES &&
           search->space < SCAN_LIMIT_SPACE) {
        remote_addr window = start;
        size_t pages = (size_t)((end - start) >> PAGE_SHIFT);
        int r;

        if (pages > SCAN_PAGES)
            pages = SCAN_PAGES;
        r = memory_page_flags(search->view->memory, window, pages, flags, why);
        if (r == 0)
            r = memory_read_pages(search->view->memory, window, pages, flags, buffer, why);
        search->scanned += present_bytes(flags, pages);
        search->space += pages * PAGE_BYTES;
        while (r == 0 && start < window + pages * PAGE_BYTES) {
            if (begins_chunk(buffer + (start - window), end - start))
                r = follow_chain(search, start, end, &start);
            else
                start += PAGE_BYTES;
        }
        if (r)
            return r;
    }
    return 0;
}

static int search_gap(struct mmapped_search *search, struct range gap, uint8_t *buffer,
                      struct why *why)
{
    remote_addr end;
    int r;

    gap.start = align_up(gap.start, PAGE_BYTES);
    gap.end = align_down(gap.end, PAGE_BYTES);
    if (gap.start >= gap.end)
        return 0;
    r = follow_chain(search, gap.start, gap.end, &end);
    if (r || !buffer)
        return r;
    return scan_pages(search, end, gap.end, buffer, why);
}

/* With a buffer every page is tested, without only the start of each gap and what follows it. */
static int search_all(struct mmapped_search *search, uint8_t *buffer, struct why *why)
{
    const struct heap_regions *regions = &search->glibc->heap.regions;
    int r = 0;

    search->found.count = 0;
    search->bytes = 0;
    for (size_t i = 0; r == 0 && i < search->view->maps->count; i++) {
        const struct vma *vma = &search->view->maps->items[i];
        struct gap_cursor gaps;
        struct range gap;

        if (!may_hold_chunks(vma))
            continue;
        gaps = gaps_of(vma->range, regions->items, regions->count, sizeof *regions->items);
        while (r == 0 && !agrees(search) && gap_next(&gaps, &gap))
            r = search_gap(search, gap, buffer, why);
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

    if (!agrees(search)) {
        why_set(&reason, 0,
                "%zu chunks of %" PRIu64 " bytes were found where malloc counts %" PRIu64
                " of %" PRIu64,
                search->found.count, search->bytes, settings->mmapped_count,
                settings->mmapped_bytes);
        heap_refuse(&glibc->heap, &reason, "mmapped chunks");
        if (search->found.count > settings->mmapped_count ||
            search->bytes > settings->mmapped_bytes)
            return 0;
    }
    for (size_t i = 0; r == 0 && i < search->found.count; i++)
        r = vector_push(&glibc->heap.regions, search->found.items[i]);
    if (search->found.count)
        glibc_sort_regions(glibc);
    return r;
}

int glibc_find_mmapped(const struct heap_view *view, struct glibc *glibc, struct why *why)
{
    struct mmapped_search search = {.view = view, .glibc = glibc};
    auto_free uint8_t *buffer = NULL;
    int r;

    if (glibc->heap.settings.mmapped_count == 0)
        return 0;
    r = search_all(&search, NULL, why);
    if (r == 0 && !agrees(&search)) {
        buffer = malloc(SCAN_PAGES * PAGE_BYTES);
        r = buffer ? search_all(&search, buffer, why) : -ENOMEM;
    }
    if (r == 0)
        r = keep_found(&search);
    free(search.found.items);
    return r;
}
