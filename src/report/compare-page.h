/* The parts of a printed comparison, for those who print one each. */
#pragma once

#include "report/compare-rows.h"
#include "report/compare.h"
#include "report/grid.h"

struct compare_page {
    struct page page;    /* its `e` is NULL */
    const struct compare_report *report;
    const struct comparison *c;
    const char *later;   /* how the later look is called: "now" or "after" */
    struct compare_rows rows;
    size_t leading;      /* compare_leading_row */
};

/* Into columns 1, 2 and 3: before, after and the difference. */
void compare_put_changes(struct grid *grid, const struct changes *changes, size_t row);

/* compare-arenas.c: the arenas that changed, if the two looks have any in common. 0 or -ENOMEM. */
int compare_print_arenas(struct compare_page *page) must_check;

/* compare-remarks.c: everything below the tables. 0 or -ENOMEM. */
int compare_print_remarks(struct compare_page *page) must_check;
