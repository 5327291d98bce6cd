/* Fragmentation: free memory on pages that also hold something live. No allocator call returns it.
 */
#include <stdio.h>

#include "base/format.h"
#include "diagnose/rules.h"

static bool applies(const struct case_file *facts, struct finding *ret)
{
    ret->bytes = facts->ledger->bytes[ACCOUNT_HEAP_PINNED];
    if (!facts->tally || !is_worth_telling(facts, ret->bytes))
        return false;
    snprintf(ret->because, sizeof ret->because,
             "%s of free memory shares its pages with blocks in use (%s live): it can be reused "
             "for small blocks, and "
             "goes back only when its neighbours are freed",
             format_bytes(ret->bytes).text,
             format_bytes(facts->ledger->bytes[ACCOUNT_HEAP_LIVE]).text);
    predict_both(ret, (struct returnable){0}, (struct returnable){0});
    return true;
}

const struct rule rule_pinned = {.id = "glibc-pinned", .applies = applies};
