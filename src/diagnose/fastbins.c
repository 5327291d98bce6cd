/* Freed small chunks in fastbins: they are not merged with their neighbours until something
 * consolidates them. */
#include <stdio.h>

#include "base/format.h"
#include "diagnose/rules.h"

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* What malloc_trim returns beyond the pages that are whole free ones already: those that merging
 * makes so. */
static void predict_trim(const struct case_file *facts, struct finding *ret)
{
    struct returnable_split split = split_returnable(facts);
    struct returnable now = split.in_bins;
    uint64_t rss, charge;

    if (facts->main_top_trims)
        now = returnable_sum(now, split.in_main_top);
    rss = less(facts->trim->rss_bytes, now.bytes);
    charge = less(facts->trim->charge_bytes, now.bytes - now.shared_bytes - now.huge_part_bytes);
    predict(ret, "malloc-trim", rss, charge < rss ? charge : rss);
}

static bool applies(const struct case_file *facts, struct finding *ret)
{
    if (!facts->tally)
        return false;
    ret->bytes = tally_sum(facts->tally).free_resident[SPAN_FASTBIN];
    if (!is_worth_telling(facts, ret->bytes))
        return false;
    snprintf(ret->because, sizeof ret->because,
             "%s was freed in small blocks that glibc keeps apart in fastbins: they make no larger "
             "free chunks, and no whole free pages, until a large malloc or free, or malloc_trim, "
             "merges them",
             format_bytes(ret->bytes).text);
    predict_trim(facts, ret);
    return true;
}

const struct rule rule_fastbins = {.id = "glibc-fastbins", .applies = applies};
