/* Free is not resident: free chunks that were swapped out take room in swap for nothing. */
#include <stdio.h>

#include "base/format.h"
#include "diagnose/rules.h"

static bool applies(const struct case_file *facts, struct finding *ret)
{
    struct free_places places;

    if (!facts->tally)
        return false;
    places = tally_free_places(facts->tally);
    ret->bytes = places.swapped_bytes;
    if (!is_worth_telling(facts, ret->bytes))
        return false;
    snprintf(ret->because, sizeof ret->because,
             "%s in swap is free memory: it was freed and then swapped out, or the other way "
             "round; it takes no memory, and its whole pages are given up in swap, too, when free "
             "pages are given back",
             format_bytes(ret->bytes).text);
    return true;
}

const struct rule rule_swapped = {.id = "free-in-swap", .applies = applies};
