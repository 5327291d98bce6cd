/*
 * A column of amounts in one unit, which a reader can add up: the parts are rounded so that their sum is the rounded
 * total, by largest remainders.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "base/format.h"

enum { COLUMN_PARTS = 16 };

struct column {
    unsigned unit;     /* 0: bytes, 1: KiB, ... */
    unsigned decimals;
    size_t count;
    uint64_t bytes[COLUMN_PARTS];
    uint64_t steps[COLUMN_PARTS]; /* what is printed: multiples of the last decimal's place */
    uint64_t total_steps;         /* exactly the sum of them */
};

/* Lays out `count` parts (COLUMN_PARTS at most). The unit is that of format_bytes for their sum. */
struct column column_of(const uint64_t *bytes, size_t count);

/*
 * The same for a column of any length: rounds `count` parts into `ret_steps`, each a step of the result, which has no
 * parts of its own (count 0) and the total. 0 or -ENOMEM.
 */
int column_of_many(const uint64_t *bytes, size_t count, struct column *ret, uint64_t *ret_steps) must_check;

/* "1044 MiB"; "<1 MiB" for what is there and rounds to nothing. */
struct figure column_figure(const struct column *column, uint64_t steps);
const char *column_unit(const struct column *column); /* "MiB" */
struct figure column_part(const struct column *column, size_t part);

/*
 * Any amount, in the column's unit where it has one step at least, else by format_bytes. An amount that is a part of the
 * column is told with that part's figure, so that the same bytes never have two.
 */
struct figure column_amount(const struct column *column, uint64_t bytes);
