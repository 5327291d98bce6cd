/* A fake process memory for tests and fuzzers: a few extents of bytes with page states. */
#pragma once

#include "mem/memory.h"

struct fake_extent {
    remote_addr start;    /* page-aligned */
    size_t pages;
    uint8_t *bytes;       /* pages * PAGE_BYTES, or NULL: all zeros */
    uint8_t *flags;       /* a byte a page, or NULL: all present, anonymous and exclusive */
};

struct fake_memory {
    struct memory memory; /* first */
    struct fake_extent *extents;
    size_t extent_count;
    size_t reads_of_absent; /* how often somebody tried to read a page that is not present: must stay 0 */
};

/* `extents` stays the caller's and must outlive `ret`; they do not overlap. */
void fake_memory_init(struct fake_memory *ret, struct fake_extent *extents, size_t count);
