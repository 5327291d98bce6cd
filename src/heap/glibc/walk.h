/*
 * Walks the chunks of one part of a region, in one thread. A part begins at a chunk and ends with the chunk that
 * reaches its limit.
 */
#pragma once

#include "heap/glibc/census.h"
#include "heap/glibc/glibc.h"
#include "heap/glibc/nodes.h"

/*
 * What every chunk list must cancel out to: each free chunk is pointed at once by an fd and once by a bk. Summed over
 * all chunks and all list heads of an arena, addresses, fd targets and bk targets must be the same multiset, in
 * whatever order they come. So lists are verified in one sequential pass, without following any.
 */
struct list_sums {
    uint64_t addresses, fd_targets, bk_targets;
    uint64_t fastbin_count, fastbin_addresses;
};

struct part {
    const struct heap_region *region;
    remote_addr begin;       /* a chunk (or the region's start) */
    remote_addr limit;       /* chunks that begin below are this part's */
    struct free_nodes *nodes; /* binned chunks are noted here; NULL: nowhere */
    /* results */
    remote_addr end;         /* the first chunk at or above limit, or the region's end; where it went wrong */
    bool foreign;            /* there are bytes in it that another caller of sbrk got */
    struct list_sums sums;
    struct heap_census census; /* pages that two parts share are counted in each for what it sees of them */
};

/*
 * 0; OUTCOME_TORN or OUTCOME_UNREADABLE with the place; negative errno. The sink has got an unusable part of the spans
 * unless it is 0.
 */
int glibc_walk_part(const struct heap_view *view, const struct glibc *glibc, struct part *part,
                    struct span_sink *sink, struct why *why) must_check;

/*
 * A place at or above `from` and below `limit` where chunks seem to begin, judged by a chain of plausible headers.
 * A guess, to be confirmed by a walk that arrives there. 0, OUTCOME_NOT_FOUND, negative errno.
 */
int glibc_guess_chunk(const struct heap_view *view, const struct heap_region *region, remote_addr from,
                      remote_addr limit, remote_addr *ret_chunk) must_check;

/* walk-mmapped.c: one mmapped chunk, into a fork of `sink` that is joined. 0 or negative errno. */
int glibc_walk_mmapped(const struct heap_view *view, const struct glibc *glibc, const struct heap_region *region,
                       struct span_sink *sink, struct why *why) must_check;

/* What stands before the first chunk of a region, in bytes: the heap's header and, in an arena's first heap, the arena. */
uint64_t glibc_lead_bytes(const struct glibc *glibc, const struct heap_region *region);
