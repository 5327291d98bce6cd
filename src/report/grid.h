/*
 * Tables of text: columns that are as wide as they must be, and of which the least important ones are left out where
 * the page is too narrow. What has failed for want of memory is told when the grid is printed.
 */
#pragma once

#include "report/page.h"

enum { GRID_COLUMNS = 16 };

struct grid_column {
    const char *title;
    unsigned dispensable; /* 0, as the first must have: always there; else left out where it is narrow, the largest number first */
    bool left;            /* flush left; else right */
};

struct grid_row {
    char *cells[GRID_COLUMNS]; /* NULL: empty */
    enum tone tones[GRID_COLUMNS];
};

struct grid {
    const struct grid_column *columns;
    size_t column_count;
    struct grid_row *rows;
    size_t count, capacity;
    size_t at; /* the row that is written to */
    bool failed;
};

/* Begins a row: what is put goes there. */
void grid_row(struct grid *grid);

/* Goes back to a row that is there: what is put goes there, until another begins. */
void grid_at(struct grid *grid, size_t row);

void grid_put(struct grid *grid, size_t column, enum tone tone, const char *format, ...) printf_like(4, 5);

/* Foreign text, `most` columns of it. */
void grid_put_name(struct grid *grid, size_t column, const char *text, size_t most, bool utf8);

void grid_free(struct grid *grid);

/* Prints and releases it; a last line tells what was left out. 0 or -ENOMEM. */
int grid_print(struct grid *grid, struct page *page) must_check;
