#include "report/compare-rows.h"

/* In the order of the first screen: what is in use, what is freed, what is neither. */
static const struct {
    unsigned account;
    const char *label, *phrase;
} accounts[] = {
    {ACCOUNT_HEAP_LIVE, "live blocks", "in blocks that the program holds"},
    {ACCOUNT_STACK_USED, "stacks in use", "in stacks"},
    {ACCOUNT_HEAP_OVERHEAD, "allocator's tables", "in the allocator's tables"},
    {ACCOUNT_HEAP_RETURNABLE, "freed, returnable", "in freed memory that could go back"},
    {ACCOUNT_HEAP_CACHED, "freed, in caches", "in freed blocks in caches"},
    {ACCOUNT_HEAP_PINNED, "freed, pinned", "in freed memory that blocks in use pin"},
    {ACCOUNT_ZERO_HUGE, "zeros, huge pages", "in huge pages of zeros"},
    {ACCOUNT_ZERO_SMALL, "zeros, small pages", "in small pages of zeros"},
    {ACCOUNT_CODE, "code and files", "in mapped files"},
    {ACCOUNT_SHARED, "shared memory", "in shared memory"},
    {ACCOUNT_DATA, "program data", "in the program's data segments"},
    {ACCOUNT_STACK_STALE, "stale stacks", "in stale parts of stacks"},
    {ACCOUNT_OTHERS, "other accounts", "in accounts that this version does not know"},
    {ACCOUNT_UNEXPLAINED, "unexplained", "in memory that nothing explains"},
};
enum {
    ACCOUNT_ROWS = sizeof accounts / sizeof accounts[0],
    OWNER_ROWS = CHANGES_MOST - ACCOUNT_ROWS
};

const char *compare_label(unsigned account)
{
    for (size_t i = 0; i < ACCOUNT_ROWS; i++)
        if (accounts[i].account == account)
            return accounts[i].label;
    return "";
}

const char *compare_phrase(unsigned account)
{
    for (size_t i = 0; i < ACCOUNT_ROWS; i++)
        if (accounts[i].account == account)
            return accounts[i].phrase;
    return "";
}

static uint64_t bytes_of(const struct snapshot *snapshot, unsigned account)
{
    return account == ACCOUNT_OTHERS ? snapshot->other_accounts : snapshot->ledger.bytes[account];
}

/* What `owner` has of the `*rest`, which becomes less. */
static uint64_t share_of(const struct snapshot_owner *owner, uint64_t *rest)
{
    uint64_t bytes = owner ? owner->bytes : 0;

    if (bytes > *rest)
        bytes = *rest;
    *rest -= bytes;
    return bytes;
}

struct compare_rows compare_rows_of(const struct comparison *comparison)
{
    const struct owner_pairs *owners = &comparison->owners;
    uint64_t before[CHANGES_MOST], after[CHANGES_MOST];
    struct compare_rows rows = {0};
    size_t last = ACCOUNT_ROWS - 1, count = ACCOUNT_ROWS;

    for (size_t i = 0; i < ACCOUNT_ROWS; i++) {
        rows.rows[i].account = accounts[i].account;
        before[i] = bytes_of(comparison->before, accounts[i].account);
        after[i] = bytes_of(comparison->after, accounts[i].account);
    }
    for (size_t i = 0; i < owners->count && i < OWNER_ROWS; i++, count++) {
        rows.rows[count] = (struct compare_row){ACCOUNT_UNEXPLAINED, &owners->items[i]};
        before[count] = share_of(owners->items[i].before, &before[last]);
        after[count] = share_of(owners->items[i].after, &after[last]);
    }
    rows.changes = changes_of(before, after, count);
    return rows;
}

size_t compare_leading_row(const struct compare_rows *rows)
{
    const uint64_t *before = rows->changes.before, *after = rows->changes.after;
    size_t count = rows->changes.count, leading = count;
    bool fell = after[count] < before[count];
    uint64_t most = 0;

    for (size_t i = 0; i < count; i++) {
        uint64_t from = fell ? after[i] : before[i], to = fell ? before[i] : after[i];

        if (to > from && to - from > most) {
            most = to - from;
            leading = i;
        }
    }
    return leading;
}
