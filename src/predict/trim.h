/*
 * What malloc_trim(0) would return now, without calling it.
 *
 * For every arena it consolidates the fastbins (neighbouring free chunks merge; since 2.43 there are none), discards
 * the whole pages of every free chunk behind its first 48 bytes, and, of the main arena only, lowers the break under
 * the top. The tops of thread arenas stay (glibc 2.26..2.44, mtrim and systrim; 2.44's NEWS has bug 30769 as fixed, its
 * code is the same).
 */
#pragma once

#include "heap/heap.h"
#include "mem/memory.h"

struct trim_prediction {
    uint64_t rss_bytes;    /* by which the resident set would fall */
    uint64_t charge_bytes; /* memory really freed: no pages shared with forks, no parts of huge pages */
};

/* How the main arena's top may be trimmed. */
struct trim_rules {
    bool top_at_break;     /* the break is where malloc left it: systrim refuses otherwise */
    uint32_t break_arena;  /* whose top it is */
    /* By index; those of another copy of malloc are out of the program's reach. NULL: none is. */
    const struct heap_arena *arenas;
    uint64_t top_unit;     /* PAGE_BYTES, or mp_.thp_pagesize */
    /* Whether a region is locked: madvise refuses there (the break can still be lowered). NULL: none is. */
    bool (*locked)(const void *context, struct range range);
    const void *locked_context;
};

/* A sink for allocator->walk. `memory` and `ret` must outlive it. NULL when memory is short. */
struct span_sink *trim_sink_new(struct memory *memory, struct trim_rules rules, struct trim_prediction *ret);
void trim_sink_free(struct span_sink *sink);
