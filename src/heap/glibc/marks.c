#include "heap/glibc/marks.h"

#include <errno.h>
#include <stdlib.h>

#include "base/vector.h"

int chunk_marks_add(struct chunk_marks *marks, struct chunk_mark mark)
{
    return vector_push(marks, mark);
}

static int by_chunk(const void *a, const void *b)
{
    const struct chunk_mark *x = a, *y = b;

    return (x->chunk > y->chunk) - (x->chunk < y->chunk);
}

void chunk_marks_sort(struct chunk_marks *marks)
{
    if (marks->count)
        qsort(marks->items, marks->count, sizeof *marks->items, by_chunk);
}

size_t chunk_marks_first_at(const struct chunk_marks *marks, remote_addr address)
{
    size_t low = 0, high = marks->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (marks->items[middle].chunk < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t slot_of(const struct chunk_set *set, uint64_t index)
{
    size_t slot = (size_t)(index * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (set->slot_count - 1);

    while (set->slots[slot].bits && set->slots[slot].index != index)
        slot = (slot + 1) & (set->slot_count - 1);
    return slot;
}

static int grow(struct chunk_set *set)
{
    struct chunk_set larger = {.slot_count = set->slot_count ? set->slot_count * 2 : 64};

    larger.slots = calloc(larger.slot_count, sizeof *larger.slots);
    if (!larger.slots)
        return -ENOMEM;
    for (size_t i = 0; i < set->slot_count; i++)
        if (set->slots[i].bits)
            larger.slots[slot_of(&larger, set->slots[i].index)] = set->slots[i];
    larger.leaf_count = set->leaf_count;
    free(set->slots);
    *set = larger;
    return 0;
}

static int leaf_for(struct chunk_set *set, uint64_t index, uint8_t **ret_bits)
{
    size_t slot;

    if (set->last.bits && set->last.index == index) {
        *ret_bits = set->last.bits;
        return 0;
    }
    if (set->leaf_count * 2 >= set->slot_count) {
        int r = grow(set);

        if (r)
            return r;
    }
    slot = slot_of(set, index);
    if (!set->slots[slot].bits) {
        uint8_t *bits = calloc(1, CHUNK_SET_LEAF_BYTES);

        if (!bits)
            return -ENOMEM;
        set->slots[slot] = (struct chunk_set_leaf){.index = index, .bits = bits};
        set->leaf_count++;
    }
    set->last = set->slots[slot];
    *ret_bits = set->last.bits;
    return 0;
}

int chunk_set_add(struct chunk_set *set, remote_addr chunk)
{
    uint64_t cell = chunk % CHUNK_SET_LEAF_SPAN / 32;
    uint8_t *bits;
    int r = leaf_for(set, chunk / CHUNK_SET_LEAF_SPAN, &bits);

    if (r)
        return r;
    if (bits[cell / 8] >> (cell % 8) & 1)
        return OUTCOME_TORN;
    bits[cell / 8] |= (uint8_t)(1 << (cell % 8));
    return 0;
}

const uint8_t *chunk_set_leaf(const struct chunk_set *set, remote_addr address)
{
    if (!set->slot_count)
        return NULL;
    return set->slots[slot_of(set, address / CHUNK_SET_LEAF_SPAN)].bits;
}

void chunk_set_free(struct chunk_set *set)
{
    for (size_t i = 0; i < set->slot_count; i++)
        free(set->slots[i].bits);
    free(set->slots);
    *set = (struct chunk_set){0};
}
