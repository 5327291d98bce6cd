/*
 * Huge pages inflated with zeros: khugepaged makes a huge page of a range although up to
 * max_ptes_none of its 512 pages are absent, and fills these with zeros.
 */
#include <stdio.h>

#include "base/format.h"
#include "diagnose/rules.h"

static uint64_t live_zero_bytes(const struct case_file *facts)
{
    return facts->tally
               ? tally_sum(facts->tally).live_zero_bytes + facts->tally->mmapped.live_zero_bytes
               : 0;
}

/* What of it khugepaged may have done. */
static void filled_by(const struct thp_settings *thp, char *text, size_t size)
{
    if (thp->khugepaged_known && thp->max_ptes_none < HUGE_BYTES / PAGE_BYTES)
        snprintf(text, size,
                 "filled in by khugepaged (max_ptes_none %lu: a huge page is made when %lu of 512 "
                 "pages are there)",
                 thp->max_ptes_none, 512 - thp->max_ptes_none);
    else
        snprintf(text, size, "filled in by khugepaged");
}

static bool applies(const struct case_file *facts, struct finding *ret)
{
    char filled[160];
    uint64_t unclaimed = facts->ledger->bytes[ACCOUNT_ZERO_HUGE];

    ret->bytes = unclaimed + live_zero_bytes(facts);
    if (!is_worth_telling(facts, ret->bytes))
        return false;
    filled_by(facts->thp, filled, sizeof filled);
    snprintf(ret->because, sizeof ret->because,
             "%s in huge pages is all zeros: %s, or by the first touch of a huge page, and not "
             "written since",
             format_bytes(ret->bytes).text, filled);
    predict_both(ret, (struct returnable){0}, (struct returnable){0});
    predict(ret, "zero-pages", ret->bytes, ret->bytes);
    return true;
}

const struct rule rule_zero_pages = {.id = "huge-pages-of-zeros", .applies = applies};
