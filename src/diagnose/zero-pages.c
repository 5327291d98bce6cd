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

static bool applies(const struct case_file *facts, struct finding *ret)
{
    uint64_t unclaimed = facts->ledger->bytes[ACCOUNT_ZERO_HUGE];

    ret->bytes = unclaimed + live_zero_bytes(facts);
    if (!is_worth_telling(facts, ret->bytes))
        return false;
    snprintf(ret->because, sizeof ret->because,
             "%s in huge pages is all zeros: filled in by khugepaged (max_ptes_none %lu: a huge "
             "page is made when %lu of "
             "512 pages are there), or never written since",
             format_bytes(ret->bytes).text, facts->thp->max_ptes_none,
             facts->thp->max_ptes_none < 512 ? 512 - facts->thp->max_ptes_none : 0);
    predict_both(ret, (struct returnable){0}, (struct returnable){0});
    ret->cures[ret->cure_count++] = (struct cure_prediction){
        .name = "zero-pages", .rss_bytes = ret->bytes, .charge_bytes = ret->bytes};
    return true;
}

const struct rule rule_zero_pages = {.id = "huge-pages-of-zeros", .applies = applies};
