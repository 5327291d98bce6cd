/* The ledger's accounts, grouped for people. */
#pragma once

#include "explain/explanation.h"
#include "report/column.h"

enum group {
    GROUP_IN_USE,     /* live blocks but for zeros, stacks, the allocator's own tables */
    GROUP_RETURNABLE,
    GROUP_CACHED,
    GROUP_PINNED,
    GROUP_ZEROS,      /* pages of zeros, in live blocks, too: discarding them loses nothing */
    GROUP_FILES,      /* code and shared memory */
    GROUP_DATA,
    GROUP_STALE_STACK,
    GROUP_FIXED,      /* from here on: unexplained memory, by owner; the last row has no owner */
};

enum { GROUPS_MOST = COLUMN_PARTS };

struct groups {
    struct column column; /* column.count rows, those up to GROUP_FIXED in the order above */
    const struct unexplained_owner *owners[GROUPS_MOST]; /* of a row; borrowed; NULL: not known whose */
};

/* Every resident byte of the ledger is in exactly one row. */
struct groups groups_of(const struct explanation *explanation);

/* What the program has freed, and what could go back now, as the rows' figures add up: in the column's steps. */
uint64_t groups_freed_steps(const struct groups *groups);
uint64_t groups_returnable_steps(const struct groups *groups);

const char *group_label(enum group group);
