/* Finding free chunks by their cell: the surveyed ones and those that a stop found besides. */
#include <errno.h>
#include <stdlib.h>

#include "base/vector.h"
#include "heap/glibc/survey.h"

static size_t slot_of(const struct extra_nodes *extras, uint32_t cell)
{
    size_t slot = (size_t)((cell * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (extras->slot_count - 1);

    while (extras->slots[slot] && extras->items[extras->slots[slot] - 1].node.at != cell)
        slot = (slot + 1) & (extras->slot_count - 1);
    return slot;
}

struct extra_node *extra_nodes_find(const struct extra_nodes *extras, uint32_t cell)
{
    uint32_t index = extras->slot_count ? extras->slots[slot_of(extras, cell)] : 0;

    return index ? &extras->items[index - 1] : NULL;
}

static int grow(struct extra_nodes *extras)
{
    size_t count = extras->slot_count ? extras->slot_count * 2 : 256;
    uint32_t *slots = calloc(count, sizeof *slots);

    if (!slots)
        return -ENOMEM;
    free(extras->slots);
    extras->slots = slots;
    extras->slot_count = count;
    for (size_t i = 0; i < extras->count; i++)
        slots[slot_of(extras, extras->items[i].node.at)] = (uint32_t)i + 1;
    return 0;
}

int extra_nodes_add(struct extra_nodes *extras, remote_addr chunk, uint32_t cell)
{
    struct extra_node extra = {.chunk = chunk, .node.at = cell};
    int r = extras->count * 2 >= extras->slot_count ? grow(extras) : 0;

    if (r == 0)
        r = vector_push(extras, extra);
    if (r == 0)
        extras->slots[slot_of(extras, cell)] = (uint32_t)extras->count;
    return r;
}

void extra_nodes_clear(struct extra_nodes *extras)
{
    free(extras->items);
    free(extras->slots);
    *extras = (struct extra_nodes){0};
}

static const struct survey_part *part_of(const struct heap_survey *survey, uint32_t cell)
{
    size_t low = 0, high = survey->part_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (survey->parts[middle].end_cell <= cell)
            low = middle + 1;
        else
            high = middle;
    }
    return low < survey->part_count && survey->parts[low].first_cell <= cell ? &survey->parts[low]
                                                                             : NULL;
}

struct free_node *survey_find(const struct heap_survey *survey, uint32_t cell)
{
    const struct survey_part *part = cell == CELL_NONE ? NULL : part_of(survey, cell);
    struct free_node *node = part ? free_nodes_find(&part->nodes, cell) : NULL;
    struct extra_node *extra;

    if (node || cell == CELL_NONE)
        return node;
    extra = extra_nodes_find(&survey->extras, cell);
    return extra ? &extra->node : NULL;
}

bool survey_is_head(const struct heap_survey *survey, uint32_t cell, size_t *ret_arena,
                    size_t *ret_bin)
{
    for (size_t i = 0; i < survey->head_count; i++)
        if (cell - survey->heads[i].self[0] < BIN_COUNT) {
            *ret_arena = i;
            *ret_bin = cell - survey->heads[i].self[0];
            return true;
        }
    return false;
}

remote_addr survey_address(const struct heap_survey *survey, uint32_t cell)
{
    for (size_t i = 0; i < survey->cells.count; i++) {
        const struct cell_space *space = &survey->cells.items[i];

        if (cell - space->first < (range_length(space->range) + 15) / CHUNK_ALIGNMENT)
            return space->range.start + (uint64_t)(cell - space->first) * CHUNK_ALIGNMENT;
    }
    return 0;
}
