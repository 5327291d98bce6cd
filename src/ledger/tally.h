/*
 * What a heap walk adds up to, by arena: the sink that turns spans and page states into accounts.
 */
#pragma once

#include "heap/heap.h"
#include "ledger/ledger.h"

/* The default mmap threshold: free chunks above it would have been unmapped. */
enum { LARGE_CHUNK = 128 * 1024 };

/* Whole free pages, resident. */
struct returnable {
    uint64_t bytes;
    uint64_t shared_bytes;    /* of them: shared copy-on-write, so that returning them frees no memory */
    uint64_t huge_part_bytes; /* of the others: parts of huge pages, which free memory only once those are split */
};

/* Figures of one arena, or of all mmapped chunks together. Bytes; whole chunks unless "resident". */
struct arena_tally {
    uint64_t live_bytes, live_blocks;
    uint64_t free_bytes[SPAN_STATES];  /* SPAN_TCACHE, SPAN_FASTBIN, SPAN_BIN, SPAN_TOP */
    uint64_t free_blocks[SPAN_STATES];
    uint64_t free_resident[SPAN_STATES], free_swapped[SPAN_STATES]; /* of free_bytes; the rest is not present: given back,
                                                                       or never touched */
    uint64_t resident_bytes;           /* of everything in its regions */
    uint64_t account[ACCOUNT_COUNT];   /* resident, by account */
    uint64_t live_zero_bytes;          /* all-zero subpages of huge pages wholly inside live chunks */
    /* What of ACCOUNT_HEAP_RETURNABLE lies in binned chunks and in tops, and of each in chunks of LARGE_CHUNK or more. */
    struct returnable in_bins, in_top, large_in_bins, large_in_top;
};

struct heap_tally {
    struct arena_tally *arenas;        /* one an arena, in the heap's order */
    size_t arena_count;
    struct arena_tally mmapped;        /* live_blocks is the number of mmapped chunks */
};

/* Adds the accounts of all arenas and mmapped chunks to `ledger`. */
void tally_add_to_ledger(const struct heap_tally *tally, struct ledger *ledger);

/* Free chunks of all states, by where their bytes are. */
struct free_places {
    uint64_t bytes, resident_bytes, swapped_bytes, discarded_bytes; /* the last three add up to the first */
};
/* Over all arenas and mmapped chunks. */
struct free_places tally_free_places(const struct heap_tally *tally);

/* The sum over all arenas, mmapped chunks excluded. */
struct arena_tally tally_sum(const struct heap_tally *tally);

/*
 * The sink. `locked` tells whether a region lies in locked memory, whose free pages cannot be discarded (they count as
 * pinned); it may be NULL. Release with tally_sink_free; `tally` stays the caller's and must outlive it.
 */
struct span_sink *tally_sink_new(struct heap_tally *tally, bool (*locked)(const void *context, struct range range),
                                 const void *context);
void tally_sink_free(struct span_sink *sink);

/* Room for a heap's arenas, all zero. -ENOMEM. Release with tally_close. */
int tally_open(struct heap_tally *ret, const struct heap *heap) must_check;
void tally_close(struct heap_tally *tally);
