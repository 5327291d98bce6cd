/*
 * Words that are going to be read in a stop, one after the other, where each tells the next: their places are known from the
 * last time, so they are all read at once. A hint that has become wrong costs a read, and is never believed.
 */
#pragma once

#include "mem/memory.h"

enum { HINT_WORDS = 4 };

struct read_hint {
    remote_addr address; /* of HINT_WORDS words in one page */
    uint8_t flags;       /* of that page, when the hints were refreshed */
    bool ok;             /* `words` of it were read in this stop */
};

struct read_hints {
    struct read_hint *items; /* ascending by address once refreshed */
    size_t count, capacity;
    uint64_t (*words)[HINT_WORDS]; /* one an item */
    struct met_addresses {
        remote_addr *items;
        size_t count, capacity;
    } met;                   /* what was asked for since: the next hints */
};

void read_hints_free(struct read_hints *hints);

/* While the process runs: what was met last time becomes the hints, and their pages are looked up. 0 or negative errno. */
int read_hints_refresh(struct read_hints *hints, struct memory *memory, struct why *why) must_check;

/* In a stop: reads them all, by two threads if they are many. 0 or negative errno. */
int read_hints_load(struct read_hints *hints, struct memory *memory) must_check;

/* A place that will be asked for the next time. -ENOMEM. */
int read_hints_note(struct read_hints *hints, remote_addr address) must_check;

/* As memory_read of `count` words, out of what was loaded where it is there; and remembers the place. */
int read_hinted(struct read_hints *hints, struct memory *memory, remote_addr address, uint64_t *ret_words, size_t count,
                struct why *why) must_check;
