/* The search for mmapped chunks, shared by its two files. */
#pragma once

#include "heap/glibc/glibc.h"

enum { SCAN_PAGES = 256 };

/* The process may be stopped meanwhile: what is not found in this much memory is told to be missing. */
#define SCAN_LIMIT_BYTES (UINT64_C(1) << 30)
#define SCAN_LIMIT_SPACE (UINT64_C(64) << 30) /* the same for what holds few pages or none */

/* How hard to look; the next one only when malloc's figures do not agree yet. */
enum effort {
    AT_STARTS, /* at the start of each gap, and what follows that chunk by chunk */
    AT_BREAKS, /* the same, and where a chain breaks off its last chunk's true header is looked for
                */
    AT_PAGES,  /* every page, and the true header of each chunk */
};

struct mmapped_search {
    const struct heap_view *view;
    struct glibc *glibc;
    struct heap_regions found;
    enum effort effort;
    uint64_t bytes;
    uint64_t scanned;            /* bytes read page by page */
    uint64_t space;              /* address space that these lie in */
    bool whole, short_by_header; /* forms of size that were met */
    uint8_t *pages, *page_ends;  /* SCAN_PAGES pages each, for AT_BREAKS and AT_PAGES */
};

struct mmapped_chunk {
    uint64_t total; /* of its mapping */
    uint64_t lead;  /* of it before the header that counts */
    bool short_by_header;
};

static inline bool mmapped_may_scan(const struct mmapped_search *search)
{
    return search->scanned < SCAN_LIMIT_BYTES && search->space < SCAN_LIMIT_SPACE;
}

static inline size_t mmapped_window_pages(remote_addr start, remote_addr end)
{
    uint64_t pages = (end - start) >> PAGE_SHIFT;

    return pages < SCAN_PAGES ? (size_t)pages : SCAN_PAGES;
}

/* What is present of `pages` pages, the rest as zeros; counts them as scanned. 0 or negative errno. */
int mmapped_read_window(struct mmapped_search *search, remote_addr start, size_t pages, uint8_t *buffer) must_check;

/*
 * What a mapping begins with, even if memalign moved the header up: the old one stays, and may be wrong after mremap.
 * `ret_claim`: the bytes of the mapping that it speaks of.
 */
bool mmapped_begins(const uint8_t *bytes, uint64_t *ret_claim);

/*
 * The mmapped chunk that begins at page-aligned `start` and ends by `limit`. The header at the start is believed unless
 * memalign left it there: then another says the same of the mapping, or, if `thorough`, the truth. 0,
 * OUTCOME_NOT_FOUND, negative errno.
 */
int mmapped_chunk_at(struct mmapped_search *search, remote_addr start, remote_addr limit, bool thorough,
                     struct mmapped_chunk *ret) must_check;

/* mmapped-memo.c: what was found, into view->memo. 0 or -ENOMEM. */
int mmapped_remember(const struct mmapped_search *search) must_check;

/* Finds what view->memo has, as far as its headers are what they were. 0 or negative errno. */
int mmapped_recall(struct mmapped_search *search) must_check;

/* Whether all of it was found, and malloc still tells the same figures: then a search would find no more than it did. */
bool mmapped_is_as_remembered(const struct mmapped_search *search);
