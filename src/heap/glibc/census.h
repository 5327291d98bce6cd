/* Counting size classes and pinned pages along a walk. */
#pragma once

#include "base/range.h"
#include "heap/census.h"

/*
 * The page that the walk is at, until it leaves it: only then is it known whether the page is pinned, and by which
 * classes.
 */
struct page_use {
    remote_addr page;
    uint64_t free_bytes;                          /* of binned chunks and tops, on it */
    uint64_t classes[(CENSUS_CLASSES + 63) / 64]; /* of chunks in use that have bytes on it, as bits */
};

static inline void page_use_add(struct page_use *use, unsigned class)
{
    use->classes[class / 64] |= UINT64_C(1) << (class % 64);
}

/* Counts the page that is left and goes to the one that holds `address`. */
void census_enter_page(struct heap_census *census, struct page_use *use, remote_addr address);

/* Chunks of one size side by side in `range` that keep their pages: in use, or waiting in a cache. */
static inline void census_add_keeping(struct heap_census *census, struct page_use *use, struct range range,
                                      unsigned class)
{
    if (align_down(range.start, PAGE_BYTES) != use->page)
        census_enter_page(census, use, range.start);
    page_use_add(use, class);
    if (align_down(range.end - 1, PAGE_BYTES) == use->page)
        return;
    census_enter_page(census, use, range.end - 1); /* between its first and its last page nothing is free */
    page_use_add(use, class);
}

/* Chunks of one size in use, side by side in `range`. */
static inline void census_add_in_use(struct heap_census *census, struct page_use *use, struct range range,
                                     uint64_t chunk_bytes, uint64_t chunks)
{
    unsigned class = census_class_of(chunk_bytes);

    census->classes[class].blocks += chunks;
    census->classes[class].bytes += range_length(range);
    census_add_keeping(census, use, range, class);
}

/* A free chunk. Between its first and its last page nothing is in use. */
static inline void census_add_free(struct heap_census *census, struct page_use *use, struct range range)
{
    if (align_down(range.start, PAGE_BYTES) != use->page)
        census_enter_page(census, use, range.start);
    if (range.end <= use->page + PAGE_BYTES) {
        use->free_bytes += range_length(range);
        return;
    }
    use->free_bytes += use->page + PAGE_BYTES - range.start;
    census_enter_page(census, use, range.end - 1);
    use->free_bytes += range.end - use->page;
}

void census_add(struct heap_census *to, const struct heap_census *from);
