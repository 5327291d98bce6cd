/* What the rules share: one rule a file. */
#pragma once

#include "diagnose/finding.h"

/* Below a MiB, or 1/50 of the resident set, a mechanism is not worth anybody's time. */
#define WORTH_TELLING_BYTES (UINT64_C(1) << 20)
enum { WORTH_TELLING_SHARE = 50 };

extern const struct rule rule_dynamic_threshold, rule_arena_free, rule_arena_tops, rule_pinned, rule_zero_pages,
    rule_live;

bool is_worth_telling(const struct case_file *facts, uint64_t bytes);

/*
 * Adds the predictions of *free pages* and malloc_trim(0) for what of `trimmed` and `kept` a finding is about:
 * free pages returns both (huge pages are split first), malloc_trim only `trimmed`, and of huge pages it frees
 * memory only where all of one goes.
 */
void predict_both(struct finding *finding, struct returnable trimmed, struct returnable kept);

/* The sum of two, and of one field over all arenas: bins of all, the main arena's top, the other tops. */
struct returnable returnable_sum(struct returnable a, struct returnable b);

struct returnable_split {
    struct returnable in_bins, in_main_top, in_thread_tops;
};
struct returnable_split split_returnable(const struct case_file *facts);
struct returnable_split split_large_returnable(const struct case_file *facts);
