/* The state of one part's walk, shared by the walk that judges every chunk and its fast path. */
#pragma once

#include "heap/glibc/reader.h"
#include "heap/glibc/walk.h"


struct walker {
    struct region_reader reader;
    const struct glibc *glibc;
    const struct heap_arena *arena;
    struct part *part;
    size_t mark; /* next mark at or above the cursor */
    struct {
        uint64_t index;
        const uint8_t *bits; /* NULL: nothing of this set is there */
    } leaves[FASTBIN_SETS]; /* of the fastbin sets, as met last */
    struct page_use page_use;
    remote_addr second_fence; /* the one of a pair that is met next, or was last */
    struct why *why;
};

static inline bool walker_in_fastbin(struct walker *walker, remote_addr chunk, uint64_t bytes)
{
    size_t set = fastbin_set_of(chunk, bytes);
    uint64_t index = chunk / CHUNK_SET_LEAF_SPAN;

    if (set == FASTBIN_SETS || !walker->glibc->fastbins[set].slot_count)
        return false;
    if (index != walker->leaves[set].index) {
        walker->leaves[set].index = index;
        walker->leaves[set].bits = chunk_set_leaf(&walker->glibc->fastbins[set], chunk);
    }
    return walker->leaves[set].bits && chunk_set_leaf_has(walker->leaves[set].bits, chunk);
}

/*
 * run.c: takes the chunks from `here` on that need no closer look, as one span, and moves `here` behind them; perhaps
 * none. What it leaves is for the caller to judge. Only for sinks that take runs.
 */
int walker_take_run(struct walker *walker, struct chunk_header *here) must_check;
