/* What is left of a range when others are taken out of it. */
#pragma once

#include <stddef.h>

#include "base/range.h"

/*
 * Iterates the parts of `outer` that are covered by none of `count` items, which must be ascending and must begin
 * with a struct range each; `stride` is their size.
 *
 *     struct gap_cursor gaps = gaps_of(vma->range, regions, count, sizeof *regions);
 *     while (gap_next(&gaps, &gap)) ...
 */
struct gap_cursor {
    struct range rest;
    const char *items;
    size_t count, stride, next;
};

struct gap_cursor gaps_of(struct range outer, const void *items, size_t count, size_t stride);
bool gap_next(struct gap_cursor *cursor, struct range *ret_gap);
