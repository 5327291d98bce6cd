/*
 * Whole free pages inside arenas, below their tops: free() never gives these back; only malloc_trim
 * does.
 */
#include <stdio.h>

#include "base/format.h"
#include "diagnose/rules.h"

static size_t arenas_in_use(const struct case_file *facts)
{
    size_t used = 0;

    for (size_t i = 0; i < facts->arenas->count; i++)
        used += facts->tally->arenas[i].resident_bytes != 0;
    return used;
}

static bool applies(const struct case_file *facts, struct finding *ret)
{
    size_t arenas;
    struct returnable inside;

    if (!facts->tally)
        return false;
    arenas = arenas_in_use(facts);
    inside = split_returnable(facts).in_bins;
    ret->bytes = inside.bytes;
    if (!is_worth_telling(facts, ret->bytes))
        return false;
    if (arenas > 1)
        snprintf(ret->because, sizeof ret->because,
                 "%s of whole free pages lies inside %zu arenas below blocks that are in use, "
                 "where free() does not give it back; free memory of one arena serves no other",
                 format_bytes(ret->bytes).text, arenas);
    else
        snprintf(ret->because, sizeof ret->because,
                 "%s of whole free pages lies inside the heap below blocks that are in use, where "
                 "free() does not give "
                 "it back",
                 format_bytes(ret->bytes).text);
    predict_both(ret, inside, (struct returnable){0});
    return true;
}

const struct rule rule_arena_free = {.id = "glibc-free-inside-arenas", .applies = applies};
