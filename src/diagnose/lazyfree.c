/* Memory given up with madvise(MADV_FREE): resident and charged until the kernel is short of
 * memory. */
#include <stdio.h>

#include "base/format.h"
#include "diagnose/rules.h"

static bool applies(const struct case_file *facts, struct finding *ret)
{
    uint64_t unexplained = facts->ledger->bytes[ACCOUNT_UNEXPLAINED] +
                           facts->ledger->bytes[ACCOUNT_ZERO_HUGE] +
                           facts->ledger->bytes[ACCOUNT_ZERO_SMALL];

    ret->bytes = facts->lazyfree_bytes;
    if (!is_worth_telling(facts, ret->bytes))
        return false;
    snprintf(ret->because, sizeof ret->because,
             "%s was given up with MADV_FREE: the program has no more use for it, and the kernel "
             "takes it only when memory is short, so that until then it counts as resident%s",
             format_bytes(ret->bytes).text,
             facts->tally && unexplained >= ret->bytes
                 ? "; glibc's malloc never does that, so it is in what is unexplained, or the "
                   "program did it itself"
                 : "");
    return true;
}

const struct rule rule_lazyfree = {.id = "lazily-freed", .applies = applies};
