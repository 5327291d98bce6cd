/* Nothing is kept needlessly: what is resident is in use, as far as the allocator can tell. */
#include <stdio.h>

#include "base/format.h"
#include "diagnose/rules.h"

enum { MOST_OF = 2 }; /* half of the resident set */

static bool applies(const struct case_file *facts, struct finding *ret)
{
    ret->bytes = facts->ledger->bytes[ACCOUNT_HEAP_LIVE];
    if (!facts->tally || !is_worth_telling(facts, ret->bytes) ||
        ret->bytes < facts->rss_bytes / MOST_OF)
        return false;
    snprintf(ret->because, sizeof ret->because,
             "%s is in blocks that the program holds: this looks like its own memory, not the "
             "allocator's; a growing "
             "figure here is a leak or a cache",
             format_bytes(ret->bytes).text);
    predict_both(ret, (struct returnable){0}, (struct returnable){0});
    return true;
}

const struct rule rule_live = {.id = "live-memory", .applies = applies};
