/*
 * Chunks of a main arena followed from one to the next, to learn where a piece of its memory begins and ends.
 *
 * A piece that is not the last ends in two fences: headers of size 0x10, which no chunk has (sysmalloc).
 */
#pragma once

#include "heap/glibc/glibc.h"
#include "mem/cache.h"

enum { CHAIN_COST_MOST = 16 };

struct chain_reader {
    const struct glibc *glibc;
    struct memory_cache cache;
};

enum chain_kind {
    CHAIN_BROKEN, /* something that is no chunk, or is not present */
    CHAIN_OPEN,   /* went on for as long as was allowed */
    CHAIN_FENCED, /* two fences */
    CHAIN_TOP,    /* the top of a main arena */
};

struct chain {
    enum chain_kind kind;
    remote_addr end;  /* of the piece, for the last two */
    uint32_t arena;   /* whose top it is, for CHAIN_TOP */
    uint64_t cost;    /* of following it: 1 a small chunk, up to CHAIN_COST_MOST a large one, which lies on another page */
};

/* Release with chain_reader_close. -ENOMEM. Not for use by several threads. */
int chain_reader_open(struct chain_reader *ret, const struct glibc *glibc, struct memory *memory) must_check;
void chain_reader_close(struct chain_reader *reader);

/* The size word of the chunk at `chunk`. 0, OUTCOME_UNREADABLE or negative errno. */
int chain_size_word(struct chain_reader *reader, remote_addr chunk, uint64_t *ret_size) must_check;

/* Follows the chunks from `start` as far as `cost`; all of the piece must lie below `limit`. 0 or negative errno. */
int chain_follow(struct chain_reader *reader, remote_addr start, remote_addr limit, uint64_t cost,
                 struct chain *ret) must_check;

/* Whether a piece that is not the last ends at `end`: two fences before it. */
int chain_is_fenced(struct chain_reader *reader, remote_addr end, bool *ret) must_check;

/* The first address in `rest`, which must be 16-aligned, where chunks go on. 0, OUTCOME_NOT_FOUND, negative errno. */
int chain_search(struct chain_reader *reader, struct range rest, remote_addr *ret_start) must_check;

/*
 * Where chunks go on behind the two fences that end at `end`: at once, or behind what another caller of sbrk got,
 * which is recorded nowhere. Judged by a chain that ends well, or is long; the walk that goes on there is the proof.
 * 0, OUTCOME_NOT_FOUND, negative errno.
 */
int glibc_find_next_piece(const struct heap_view *view, const struct glibc *glibc, struct range rest,
                          remote_addr *ret_start) must_check;
