#include "report/groups.h"

#include <string.h>

/* Saturating: no process has so much, but an explanation can say so. */
static uint64_t sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void add_fixed(const struct explanation *e, uint64_t *rows)
{
    const uint64_t *account = e->ledger.bytes;
    uint64_t live_zeros = least(e->heap_live_zero_bytes, account[ACCOUNT_HEAP_LIVE]);

    rows[GROUP_IN_USE] =
        sum(sum(account[ACCOUNT_HEAP_LIVE] - live_zeros, account[ACCOUNT_STACK_USED]),
            account[ACCOUNT_HEAP_OVERHEAD]);
    rows[GROUP_RETURNABLE] = account[ACCOUNT_HEAP_RETURNABLE];
    rows[GROUP_CACHED] = account[ACCOUNT_HEAP_CACHED];
    rows[GROUP_PINNED] = account[ACCOUNT_HEAP_PINNED];
    rows[GROUP_ZEROS] =
        sum(sum(account[ACCOUNT_ZERO_HUGE], account[ACCOUNT_ZERO_SMALL]), live_zeros);
    rows[GROUP_FILES] = sum(account[ACCOUNT_CODE], account[ACCOUNT_SHARED]);
    rows[GROUP_DATA] = account[ACCOUNT_DATA];
    rows[GROUP_STALE_STACK] = account[ACCOUNT_STACK_STALE];
}

/* A row for each owner as long as there are rows; what has none is in the last. Returns the number
 * of rows. */
/* The row of an owner whose bytes were told to be its in another way, too; or the next one. */
static size_t row_of(const struct groups *groups, size_t count,
                     const struct unexplained_owner *owner)
{
    for (size_t i = GROUP_FIXED; i < count; i++)
        if (strcmp(groups->owners[i]->name, owner->name) == 0 &&
            strcmp(groups->owners[i]->version, owner->version) == 0)
            return i;
    return count;
}

static size_t add_unexplained(const struct explanation *e, struct groups *groups, uint64_t *rows)
{
    uint64_t rest = e->ledger.bytes[ACCOUNT_UNEXPLAINED];
    size_t count = GROUP_FIXED;

    for (size_t i = 0; i < e->unexplained_by.count; i++) {
        const struct unexplained_owner *owner = &e->unexplained_by.items[i];
        size_t row = row_of(groups, count, owner);
        uint64_t bytes = row < GROUPS_MOST - 1 ? least(owner->bytes, rest) : 0;

        if (bytes == 0)
            continue;
        groups->owners[row] = owner;
        rows[row] += bytes;
        rest -= bytes;
        count += row == count;
    }
    rows[count++] = rest;
    return count;
}

struct groups groups_of(const struct explanation *explanation)
{
    struct groups groups = {0};
    uint64_t rows[GROUPS_MOST] = {0};
    size_t count;

    add_fixed(explanation, rows);
    count = add_unexplained(explanation, &groups, rows);
    groups.column = column_of(rows, count);
    return groups;
}

uint64_t groups_freed_steps(const struct groups *groups)
{
    const uint64_t *steps = groups->column.steps;

    return steps[GROUP_RETURNABLE] + steps[GROUP_CACHED] + steps[GROUP_PINNED];
}

uint64_t groups_returnable_steps(const struct groups *groups)
{
    return groups->column.steps[GROUP_RETURNABLE] + groups->column.steps[GROUP_ZEROS];
}

const char *group_label(enum group group)
{
    static const char *const labels[GROUP_FIXED] = {
        [GROUP_IN_USE] = "in use",           [GROUP_RETURNABLE] = "freed, returnable",
        [GROUP_CACHED] = "freed, in caches", [GROUP_PINNED] = "freed, pinned",
        [GROUP_ZEROS] = "pages of zeros",    [GROUP_FILES] = "files and shared",
        [GROUP_DATA] = "program data",       [GROUP_STALE_STACK] = "stale stacks",
    };

    return group < GROUP_FIXED ? labels[group] : "unexplained";
}
