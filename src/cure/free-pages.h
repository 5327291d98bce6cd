/*
 * The cure of memory that was freed and kept: whole free pages of glibc's heaps go back, those of thread arenas' tops too.
 *
 * As much as possible goes without anything destructive being asked of the kernel on the strength of what was seen in a
 * stop, a block of 2 MiB at a time (free-zeroed.c):
 *
 *   1. The kernel is asked to make a huge page of the block (MADV_COLLAPSE), while the process runs.
 *   2. In a stop, when the heap is quiet, its free chunks are listed anew, and zeros written over those of the block's
 *      pages that lie wholly in free chunks. The thread that traces writes them: if residue is killed, the kernel
 *      finishes or drops the write before it lets the process go. What is free may hold anything, so whatever was written
 *      is right.
 *   3. The process runs, and the kernel is asked to split the huge page. It drops the pages in which it finds nothing but
 *      zeros, and which the process therefore has not used since: see cure/split.h.
 *
 * What is left then, at the edges of mappings, and all where the kernel or our rights do not allow that, goes by a discard
 * that the process is made to call (free-discarded.c): see cure/discard.h.
 */
#pragma once

#include "cure/free-plan.h"
#include "cure/heap-stop.h"

struct free_pages {
    struct free_plan plan;
    const struct cure_places *places; /* borrowed from who asked for the prediction */
    struct why no_discard;   /* why the process cannot be made to discard anything; "": it can */
    struct read_hints hints; /* where the lists lead */
    struct free_chunks chunks; /* as they were when it was predicted */
    uint64_t proof_ns;       /* what it took to stop and to list them */
};

/*
 * Writes into `outcome` (zeroed by the caller) what would come back. Stops the process once, shortly. Release with
 * free_pages_forget, also after an error. 0 or negative errno; that it cannot be done here is in outcome->error.
 */
int free_pages_predict(struct look *look, const struct cure_places *places, const struct cure_limits *limits,
                       struct free_pages *ret, struct cure_outcome *outcome, struct why *why) must_check;

/* Does it, in stops of at most limits->pause_ns where that suffices to list the free chunks. Errors as above. */
int free_pages_apply(struct look *look, struct free_pages *pages, const struct cure_limits *limits,
                     struct cure_outcome *outcome, struct why *why) must_check;

void free_pages_forget(struct free_pages *pages);
