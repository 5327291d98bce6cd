/*
 * Two columns of amounts and their differences, which a reader can add up both ways: each column's rows to its total,
 * and before plus difference to after. Every figure is the amount rounded down or up, one that has not changed has no
 * difference, and no difference has the wrong sign. (Controlled rounding; such a choice exists for every such table.)
 */
#pragma once

#include "report/column.h"

enum { CHANGES_MOST = 40 };

struct changes {
    struct column unit;   /* its unit and decimals: such that the largest difference has three digits */
    size_t count;
    uint64_t before[CHANGES_MOST + 1], after[CHANGES_MOST + 1];             /* bytes; the last: the totals */
    uint64_t before_steps[CHANGES_MOST + 1], after_steps[CHANGES_MOST + 1]; /* what is printed */
};

/* Of `count` rows, CHANGES_MOST at most. No sum may exceed 2^64 - 1. */
struct changes changes_of(const uint64_t *before, const uint64_t *after, size_t count);

/* "1044 MiB"; "<1 MiB" for what is there and rounds to nothing. Row `count` is the total. */
struct figure changes_before(const struct changes *changes, size_t row);
struct figure changes_after(const struct changes *changes, size_t row);

/* "+12 MiB", "-12 MiB", "+<1 MiB", "0 MiB" */
struct figure changes_difference(const struct changes *changes, size_t row);
/* The same without a sign. */
struct figure changes_size(const struct changes *changes, size_t row);
