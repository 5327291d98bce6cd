#include "ledger/ledger.h"

#include <assert.h>

const char *account_name(enum account account)
{
    static const char *const names[ACCOUNT_COUNT] = {
        [ACCOUNT_SHARED] = "shared",
        [ACCOUNT_CODE] = "code",
        [ACCOUNT_DATA] = "data",
        [ACCOUNT_STACK_USED] = "stack.used",
        [ACCOUNT_STACK_STALE] = "stack.stale",
        [ACCOUNT_HEAP_LIVE] = "heap.live",
        [ACCOUNT_HEAP_RETURNABLE] = "heap.free.returnable",
        [ACCOUNT_HEAP_CACHED] = "heap.free.cached",
        [ACCOUNT_HEAP_PINNED] = "heap.free.pinned",
        [ACCOUNT_HEAP_OVERHEAD] = "heap.overhead",
        [ACCOUNT_ZERO_HUGE] = "zero.huge",
        [ACCOUNT_ZERO_SMALL] = "zero.small",
        [ACCOUNT_UNEXPLAINED] = "unexplained",
    };

    assert(account < ACCOUNT_COUNT);
    return names[account];
}

uint64_t ledger_sum(const struct ledger *ledger)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        sum += ledger->bytes[i];
    return sum;
}
