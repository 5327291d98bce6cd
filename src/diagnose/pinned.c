/* Fragmentation: free memory on pages that also hold something live. No allocator call returns it.
 */
#include <stdio.h>

#include "base/format.h"
#include "diagnose/rules.h"

/* The class that is on most of the pinned pages. */
static unsigned main_class(const struct heap_census *census)
{
    unsigned most = 0;

    for (unsigned i = 0; i < CENSUS_CLASSES; i++)
        if (census->classes[i].pinned_pages > census->classes[most].pinned_pages)
            most = i;
    return most;
}

static void explain_by_class(const struct case_file *facts, struct finding *ret)
{
    const struct heap_census *census = facts->census;
    unsigned index = main_class(census);
    const struct census_class *class = &census->classes[index];

    snprintf(
        ret->because, sizeof ret->because,
        "%s of free memory is pinned: %s pages (%s) cannot be given back, because %s of them "
        "is in use%s; %s of these pages have blocks of %s on them, of which %s are in use (%s in "
        "all). It can be reused for small blocks, and goes back only when its neighbours are "
        "freed",
        format_bytes(ret->bytes).text, format_count(census->pinned_pages).text,
        format_bytes(census->pinned_pages * PAGE_BYTES).text,
        format_bytes(census->pinning_bytes).text,
        facts->ledger->bytes[ACCOUNT_HEAP_CACHED] ? " or in caches" : "",
        format_count(class->pinned_pages).text, describe_class(index).text,
        format_count(class->blocks).text, format_bytes(class->bytes).text);
}

static void explain_plainly(const struct case_file *facts, struct finding *ret)
{
    snprintf(ret->because, sizeof ret->because,
             "%s of free memory shares its pages with blocks in use (%s live): it can be reused "
             "for small blocks, and "
             "goes back only when its neighbours are freed",
             format_bytes(ret->bytes).text,
             format_bytes(facts->ledger->bytes[ACCOUNT_HEAP_LIVE]).text);
}

static bool applies(const struct case_file *facts, struct finding *ret)
{
    ret->bytes = facts->ledger->bytes[ACCOUNT_HEAP_PINNED];
    if (!facts->tally || !is_worth_telling(facts, ret->bytes))
        return false;
    if (facts->census && facts->census->pinned_pages)
        explain_by_class(facts, ret);
    else
        explain_plainly(facts, ret);
    predict_both(ret, (struct returnable){0}, (struct returnable){0});
    return true;
}

const struct rule rule_pinned = {.id = "glibc-pinned", .applies = applies};
