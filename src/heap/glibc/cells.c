#include "heap/glibc/cells.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/vector.h"

const struct cell_space *cells_space(const struct cells *cells, remote_addr address)
{
    size_t low = 0, high = cells->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct cell_space *space = &cells->items[middle];

        if (address < space->range.start)
            high = middle;
        else if (address >= space->range.end)
            low = middle + 1;
        else
            return space;
    }
    return NULL;
}

int cells_add(struct cells *cells, struct range range, uint32_t arena)
{
    uint64_t count = (range_length(range) + 15) / 16;
    struct cell_space space = {.range = range, .first = (uint32_t)cells->used, .arena = arena};
    size_t at = cells->count;
    int r;

    if (cells->used + count >= CELL_NONE)
        return OUTCOME_NOT_POSSIBLE;
    r = vector_push(cells, space);
    if (r)
        return r;
    for (; at && cells->items[at - 1].range.start > range.start; at--)
        cells->items[at] = cells->items[at - 1];
    cells->items[at] = space;
    cells->used += count;
    return 0;
}

void cells_free(struct cells *cells)
{
    free(cells->items);
    *cells = (struct cells){0};
}
