/*
 * A window on remote memory: the page states of a few MiB, with the resident bytes of any part of it
 * in constant time. Walkers and accountants share one, so that every page is asked for once.
 */
#pragma once

#include "mem/memory.h"

enum { WINDOW_PAGES = 1024 };
#define WINDOW_BYTES ((uint64_t)WINDOW_PAGES * PAGE_BYTES)

struct page_window {
    struct range range;                   /* page-aligned, at most WINDOW_BYTES long */
    uint8_t flags[WINDOW_PAGES];
    uint16_t resident[WINDOW_PAGES + 1];  /* resident[i]: resident pages before page i */
};

/* Loads the window at page-aligned `range` (cut to WINDOW_BYTES). 0 or negative errno. */
int window_load(struct page_window *window, struct memory *memory, struct range range, struct why *why) must_check;

/* Resident bytes of `part`, which must lie in the window; pages of which only a part is meant count that part. */
uint64_t window_resident_bytes(const struct page_window *window, struct range part);

/* Flags of the page that holds `address`, which must lie in the window. */
static inline uint8_t window_flags_at(const struct page_window *window, remote_addr address)
{
    return window->flags[(address - window->range.start) >> PAGE_SHIFT];
}
