/*
 * Addresses of a heap in 32 bits: places of 16 bytes ("cells") of all regions and arenas, one after the other. What is
 * kept of millions of free chunks is kept in these.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "base/range.h"

#define CELL_NONE UINT32_MAX

struct cell_space {
    struct range range; /* may be longer than the region is now: it may grow */
    uint32_t first;     /* the cell at its start */
    uint32_t arena;     /* index of the arena it belongs to */
};

struct cells {
    struct cell_space *items; /* ascending by range; not by cell */
    size_t count, capacity;
    uint64_t used;            /* cells given out */
};

/* Adds a range that overlaps no other. 0, -ENOMEM, OUTCOME_NOT_POSSIBLE when cells run out (64 GiB). */
int cells_add(struct cells *cells, struct range range, uint32_t arena) must_check;
void cells_free(struct cells *cells);

/* The space that holds `address`, or NULL. */
const struct cell_space *cells_space(const struct cells *cells, remote_addr address);

/* The cell that begins at `address`, CELL_NONE where none does. `hint` remembers the space that was met last; NULL at first. */
static inline uint32_t cell_of(const struct cells *cells, remote_addr address, const struct cell_space **hint)
{
    if (!*hint || !range_has((*hint)->range, address)) {
        const struct cell_space *space = cells_space(cells, address);

        if (!space)
            return CELL_NONE;
        *hint = space;
    }
    if ((address - (*hint)->range.start) % 16)
        return CELL_NONE;
    return (*hint)->first + (uint32_t)((address - (*hint)->range.start) / 16);
}
