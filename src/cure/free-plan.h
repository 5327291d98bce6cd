/*
 * Which free pages can go, and in what way. Pure: from the chunks that are free, the states of their pages, and what the
 * mappings are used for.
 *
 * Pages go by whole blocks of 2 MiB where that can be: see cure/free-pages.h. In a block there must be nothing that would
 * be hurt, or would cost more than it brings, if the kernel made a huge page of it. Else they go one by one.
 */
#pragma once

#include "cure/cure.h"
#include "cure/places.h"
#include "heap/heap.h"
#include "mem/memory.h"

enum { BLOCK_PAGES = HUGE_BYTES / PAGE_BYTES };

/* A block of 2 MiB, and pages of it by number. */
struct block_pages {
    bool is_in[BLOCK_PAGES];
};

struct free_block {
    remote_addr address;
    uint16_t pages;  /* that are to go: free, resident, and of this process alone */
};

struct free_plan {
    struct free_blocks {
        struct free_block *items; /* ascending */
        size_t count, capacity;
    } blocks,                     /* which the kernel takes as a whole */
        singles;                  /* of which the process has to discard single pages */
};

struct free_plan_view {
    const struct free_chunks *chunks;
    const struct cure_places *places;
    struct memory *memory;    /* asked for page states only */
    const char *no_blocks;    /* why the kernel cannot be asked to take blocks; NULL: it can */
    const char *no_discard;   /* why the process cannot be made to discard pages; NULL: it can */
    const char *no_new_huge_pages; /* static: why no huge page can be made in this process; NULL: it can */
    unsigned split_percent;   /* of a huge page, at least so much must go */
};

/* Into `ret` the blocks, and into `outcome` what is predicted and what is left. 0 or negative errno. */
int free_pages_plan(const struct free_plan_view *view, struct free_plan *ret, struct cure_outcome *outcome,
                    struct why *why) must_check;

/* Which pages of the block at `address` lie in whole pages of free chunks. */
void free_pages_of_block(const struct free_chunks *chunks, remote_addr address, struct block_pages *ret);
