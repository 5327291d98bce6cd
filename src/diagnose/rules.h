/* What the rules share: one rule a file. */
#pragma once

#include "diagnose/finding.h"

/* Below a MiB, or 1/50 of the resident set, a mechanism is not worth anybody's time. */
#define WORTH_TELLING_BYTES (UINT64_C(1) << 20)
enum { WORTH_TELLING_SHARE = 50 };

extern const struct rule rule_refused, rule_dynamic_threshold, rule_arena_free, rule_arena_tops, rule_many_arenas,
    rule_thread_caches, rule_fastbins, rule_pinned, rule_zero_pages, rule_stale_stacks, rule_lazyfree, rule_swapped,
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

/* A cure of its own. */
void predict(struct finding *finding, const char *cure, uint64_t rss_bytes, uint64_t charge_bytes);

struct returnable_split {
    struct returnable in_bins, in_main_top, in_thread_tops;
};
struct returnable_split split_returnable(const struct case_file *facts);
struct returnable_split split_large_returnable(const struct case_file *facts);

/* Resident bytes of free chunks in `tally`, by whatever list. */
uint64_t free_resident(const struct arena_tally *tally);

/* "1.5 CPUs (its cgroup's quota; the machine has 64)"; "" where nothing is known. */
struct cpus_text {
    char text[160];
};
struct cpus_text describe_cpus(const struct cpus *cpus);

/* How many threads can run at a time; 0 where nothing is known. */
unsigned whole_cpus(const struct cpus *cpus);

/* "41 to 56 bytes", "1 to 2 KiB": what a program asked for that got chunks of this class. */
struct class_text {
    char text[160];
};
struct class_text describe_class(unsigned index);
