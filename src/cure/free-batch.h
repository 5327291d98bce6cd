/* Blocks with free pages, some at a time: what the two ways of giving them back have in common. */
#pragma once

#include "cure/free-plan.h"
#include "cure/heap-stop.h"

enum { BATCH_MOST = 16 };

/* A block on its way. */
struct step {
    remote_addr address;
    struct block_pages before; /* resident and this process' alone before anything was done */
    struct block_pages chosen; /* proven free in the stop, and dealt with there */
    uint16_t predicted;
    bool was_huge, huge;       /* it was a huge page when we came; it is one now */
    bool no_room;              /* its cgroup is too near its limit for a huge page */
};

struct batch {
    struct look *look;
    const struct cure_places *places;
    struct step steps[BATCH_MOST];
    size_t count;
    struct free_chunks chunks;     /* of the stop */
    struct free_blocks *refused;   /* gets those that the kernel did not take as a whole; NULL: they are left */
    struct range next[BATCH_MOST]; /* the blocks of the next one, or more */
    size_t next_count;
    struct read_hints *hints;
    const struct free_chunks *known; /* to be confirmed; NULL: the lists are followed */
    uint64_t fixed_ns;             /* what stopping and listing took, the last time, however many blocks there are */
    struct why *why;
};

/* Flags of the pages of a step's block: BLOCK_PAGES. 0 or negative errno. */
int batch_flags(struct batch *batch, const struct step *step, uint8_t *ret) must_check;

/* Stops the process and lists the free chunks of the batch's blocks: see heap_stop. Ended by batch_resume. */
int batch_stop(struct batch *batch) must_check;
void batch_resume(struct batch *batch);

/*
 * Has `run` deal with all blocks, as many at a time as limits->pause_ns allows. Notes in `outcome` if it was interrupted. 0,
 * or what `run` returned.
 */
int batch_run(struct batch *batch, const struct free_blocks *blocks, const struct cure_limits *limits,
              int (*run)(struct batch *batch, struct cure_outcome *outcome), struct cure_outcome *outcome) must_check;

/* free-zeroed.c: the kernel drops what was zeroed: see cure/free-pages.h. */
int batch_zero(struct batch *batch, struct cure_outcome *outcome) must_check;

/* free-discarded.c: the process discards them: see cure/discard.h. */
int batch_discard(struct batch *batch, struct cure_outcome *outcome) must_check;
