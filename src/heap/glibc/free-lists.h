/* Free chunks that hold whole pages, of one arena at a time: shared by who follows the lists and who confirms. */
#pragma once

#include "heap/glibc/glibc.h"

enum {
    UNSORTED = 1,
    /* A header and list pointers up to a page's end, and a page behind them. */
    WHOLE_PAGE_BYTES = PAGE_BYTES + CHUNK_LINKS_BYTES,
    STATE_BYTES_MOST = 2200,
    NODE_BYTES = 32, /* prev_size, size, fd, bk */
};

struct lists {
    const struct heap_view *view;
    struct glibc *glibc;
    uint32_t arena;
    uint8_t state[STATE_BYTES_MOST];
    uint64_t left; /* bytes of the arena that have not been met on its lists */
    const struct free_query *query;
    struct free_chunks *found;
    struct why *why;
};

/* All return 0, OUTCOME_TORN, OUTCOME_UNREADABLE or a negative errno. */
int lists_torn(const struct lists *lists, remote_addr chunk, const char *what) must_check;
int lists_read(const struct lists *lists, remote_addr address, uint64_t *ret, size_t count) must_check;
int lists_add(struct lists *lists, remote_addr chunk, uint64_t bytes, enum span_state state) must_check;

/* The region of the arena that lies around, or NULL. */
const struct heap_region *lists_region_of(const struct lists *lists, remote_addr chunk);

bool lists_want(const struct lists *lists, remote_addr chunk, uint64_t bytes);

/* Whether the chunk behind agrees on the size, and that it is free. */
int lists_check_behind(const struct lists *lists, remote_addr chunk, uint64_t bytes) must_check;

/* The top. Needs lists->state. */
int lists_take_top(struct lists *lists) must_check;

/* confirm.c: those of query->known that are in this arena, and its top. */
int lists_confirm(struct lists *lists) must_check;
