/* The accounts of two looks as rows of one table, and what is said of the one that matters most. */
#pragma once

#include "explain/compare.h"
#include "report/changes.h"

/* What a row is of: an account; or those that only a later version has. */
enum { ACCOUNT_OTHERS = ACCOUNT_COUNT };

struct compare_row {
    unsigned account;
    const struct owner_pair *owner; /* of unexplained bytes; NULL: not known whose. Borrowed */
};

struct compare_rows {
    struct changes changes; /* changes.count rows, and the totals: RSS */
    struct compare_row rows[CHANGES_MOST];
};

/* Every resident byte is in exactly one row. */
struct compare_rows compare_rows_of(const struct comparison *comparison);

/* The row that grew most; where RSS fell, that which shrank most. changes.count when none did. */
size_t compare_leading_row(const struct compare_rows *rows);

/* "live blocks"; "in blocks that the program holds" */
const char *compare_label(unsigned account);
const char *compare_phrase(unsigned account);

/* The owner of either look. */
static inline const struct snapshot_owner *owner_of(const struct owner_pair *pair)
{
    return pair->after ? pair->after : pair->before;
}
