/* What heap.c and the mutator of its inputs share. */
#pragma once

#include <stdint.h>

enum { FUZZ_PROCESSES = 8 };

enum { HEAP_RUNNING = 1, HEAP_TWO_THREADS = 2, HEAP_MOVING = 4, HEAP_READ_ALL = 8 /* in the stop */ };

struct heap_input { /* before the edits */
    uint8_t process, edits;
    uint8_t flags;
    uint8_t fill_page;
    uint8_t fill_offset; /* in chunks' alignments */
    uint8_t later; /* with HEAP_MOVING: how many of the edits, the last ones, come after the survey */
    uint8_t unused[2];
};
