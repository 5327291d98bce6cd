/*
 * The free chunks that the bins list, kept small: some millions of them. They are noted while the process runs and read
 * again in a stop; what the walk could not know is added then.
 */
#pragma once

#include "heap/glibc/cells.h"
#include "heap/heap.h"

/* A chunk on a bin's list, in cells of 16 bytes. */
struct free_node {
    uint32_t at;     /* where it begins */
    uint32_t size;   /* and NODE_SKIPPED; 0: it turned out to be free no more */
    uint32_t fd, bk; /* CELL_NONE: they lead out of the heap */
};

/* In `size`: it is not read in the stop, as its neighbours vouch for it (select.c). */
#define NODE_SKIPPED (UINT32_C(1) << 31)

static inline bool node_is_skipped(const struct free_node *node)
{
    return node->size & NODE_SKIPPED;
}

static inline uint64_t node_bytes(const struct free_node *node)
{
    return (uint64_t)(node->size & ~NODE_SKIPPED) * 16;
}

struct free_nodes {
    struct free_node *items; /* ascending by `at` within one cell space */
    size_t count, capacity;
    const struct cells *cells;
    const struct cell_space *hint;
};

/* As found by a walk: links are addresses. 0 or -ENOMEM. */
int free_nodes_note(struct free_nodes *nodes, remote_addr chunk, uint64_t bytes, remote_addr fd, remote_addr bk)
    must_check;

/* The node at `cell`, or NULL. */
struct free_node *free_nodes_find(const struct free_nodes *nodes, uint32_t cell);
