/* The state of one part's walk, shared by the walk that judges every chunk and its fast path. */
#pragma once

#include "heap/glibc/reader.h"
#include "heap/glibc/walk.h"

enum { FENCE_BYTES = 16, FASTBIN_CHUNK_MOST = 0xb0 };

struct walker {
    struct region_reader reader;
    const struct glibc *glibc;
    const struct heap_arena *arena;
    struct part *part;
    size_t mark; /* next mark at or above the cursor */
    uint64_t leaf_index;
    const uint8_t *leaf; /* of the fastbin set, for leaf_index */
    struct page_use page_use;
    struct why *why;
};

static inline bool walker_in_fastbin(struct walker *walker, remote_addr chunk)
{
    uint64_t index = chunk / CHUNK_SET_LEAF_SPAN;

    if (index != walker->leaf_index) {
        walker->leaf_index = index;
        walker->leaf = chunk_set_leaf(&walker->glibc->fastbin, chunk);
    }
    return walker->leaf && chunk_set_leaf_has(walker->leaf, chunk);
}

/*
 * run.c: takes the chunks from `here` on that need no closer look, as one span, and moves `here` behind them; perhaps
 * none. What it leaves is for the caller to judge. Only for sinks that take runs.
 */
int walker_take_run(struct walker *walker, struct chunk_header *here) must_check;
