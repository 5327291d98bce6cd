/*
 * Findings: the mechanism that holds a share of the resident set, and what each cure would return of that share.
 */
#pragma once

#include "ledger/ledger.h"
#include "ledger/tally.h"
#include "predict/trim.h"
#include "procfs/thp.h"

enum { FINDING_CURES = 3 };

struct cure_prediction {
    const char *name;       /* "free-pages", "malloc-trim", "zero-pages" */
    uint64_t rss_bytes;     /* by which RSS would fall */
    uint64_t charge_bytes;  /* memory really freed */
    bool needs_restart;
};

struct finding {
    const char *id;         /* static, stable: "glibc-dynamic-threshold" */
    uint64_t bytes;         /* resident bytes that the mechanism holds; findings may overlap */
    char because[400];      /* one or two sentences with figures in units */
    struct cure_prediction cures[FINDING_CURES];
    size_t cure_count;
};

struct findings {
    struct finding *items;
    size_t count, capacity;
};

/* What the rules look at. All borrowed; arenas, settings and tally are NULL when no heap was decoded. */
struct case_file {
    uint64_t rss_bytes;
    const struct ledger *ledger;
    const struct heap_arenas *arenas;
    const struct heap_settings *settings;
    const struct heap_tally *tally;
    const struct trim_prediction *trim;
    bool main_top_trims;           /* malloc_trim can lower the break under the main arena's top */
    const struct thp_settings *thp;
    unsigned cpus;
};

struct rule {
    const char *id;
    /* Fills `ret` (all but id) when the mechanism holds enough to be worth telling. */
    bool (*applies)(const struct case_file *facts, struct finding *ret);
};

/* Every rule. NULL-terminated. */
extern const struct rule *const rules[];

/* Applies all rules; the largest finding first. Release with free(findings->items). -ENOMEM. */
int diagnose(const struct case_file *facts, struct findings *ret) must_check;
