/*
 * Freeing an mmapped block raises the mmap threshold to its size (up to 32 MiB) and the trim
 * threshold to twice that; from then on blocks of that size come from the heap and stay there when
 * they are freed.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/format.h"
#include "diagnose/rules.h"

static bool applies(const struct case_file *facts, struct finding *ret)
{
    struct returnable_split large;
    struct returnable trimmed, kept;

    if (!facts->tally || !facts->settings->dynamic_threshold ||
        facts->settings->mmap_threshold <= LARGE_CHUNK)
        return false;
    large = split_large_returnable(facts);
    trimmed = large.in_bins;
    kept = large.in_thread_tops;
    if (facts->main_top_trims)
        trimmed = returnable_sum(trimmed, large.in_main_top);
    else
        kept = returnable_sum(kept, large.in_main_top);
    ret->bytes = trimmed.bytes + kept.bytes;
    if (!is_worth_telling(facts, ret->bytes))
        return false;
    snprintf(ret->because, sizeof ret->because,
             "freeing a large block raised glibc's mmap threshold from 128 KiB to %s: larger "
             "blocks than the default "
             "now come from the heap, and up to %s of them was freed and kept",
             format_bytes(facts->settings->mmap_threshold).text, format_bytes(ret->bytes).text);
    predict_both(ret, trimmed, kept);
    return true;
}

const struct rule rule_dynamic_threshold = {.id = "glibc-dynamic-threshold", .applies = applies};
