/* The search for the pieces of main arenas, shared by its two files. */
#pragma once

#include "heap/glibc/chain.h"

enum { NOBODY = -1 };

struct piece {
    struct range range; /* first */
    int owner;          /* index of an instance, or NOBODY yet */
    bool has_top, from_brk;
};

struct piece_search {
    const struct heap_view *view;
    struct glibc *glibc;
    struct chain_reader reader;
    struct pieces {
        struct piece *items;
        size_t count, capacity;
    } pieces;
    struct known_ranges {
        struct range *items; /* regions and pieces so far, ascending */
        size_t count, capacity;
    } known;
    uint64_t cost, scanned, space;
};

static inline struct heap_arena *main_of(const struct glibc *glibc, size_t instance)
{
    return &glibc->heap.arenas.items[glibc->instances[instance].first_arena];
}

/* Whether an instance's pieces are to be searched for. */
static inline bool pieces_are_wanted(const struct glibc *glibc, size_t instance)
{
    uint32_t arena = glibc->instances[instance].first_arena;

    return glibc->details.items[arena].in_pieces && !glibc->heap.arenas.items[arena].refused;
}

/* search-pieces.c: finds pieces until they are complete, or all that may be looked at was. 0 or negative errno. */
int pieces_search(struct piece_search *search) must_check;

/* pieces.c: one more was found. 0, OUTCOME_NOT_FOUND when it cannot be kept, negative errno. */
int pieces_add(struct piece_search *search, struct piece piece) must_check;

/* pieces.c: whether those found are all of them. Sorts them. */
bool pieces_are_complete(struct piece_search *search);
