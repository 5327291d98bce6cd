/*
 * Findings: the mechanism that holds a share of the resident set, and what each cure would return of that share.
 */
#pragma once

#include "ledger/ledger.h"
#include "ledger/tally.h"
#include "ledger/unexplained.h"
#include "predict/trim.h"
#include "procfs/cpus.h"
#include "procfs/thp.h"

enum { FINDING_CURES = 3 };

struct cure_prediction {
    const char *name;       /* "free-pages", "malloc-trim", "zero-pages", "stale-stacks" */
    uint64_t rss_bytes;     /* by which RSS would fall */
    uint64_t charge_bytes;  /* memory really freed */
    bool needs_restart;
};

struct finding {
    const char *id;         /* static, stable: "glibc-dynamic-threshold" */
    uint64_t bytes;         /* resident bytes that the mechanism holds (of "free-in-swap": in swap); findings may overlap */
    bool first;             /* to be told before the others, whatever its size */
    char because[1200];     /* one or two sentences with figures in units */
    struct cure_prediction cures[FINDING_CURES];
    size_t cure_count;
};

struct findings {
    struct finding *items;
    size_t count, capacity;
};

/* Stacks of threads that have ended. */
struct ended_stacks {
    size_t count;
    size_t not_joined;      /* of them: nobody has joined or detached the thread */
    uint64_t stale_bytes;   /* of ACCOUNT_STACK_STALE */
};

/* Pages below the stack pointers that hold nothing else. */
struct stale_pages {
    uint64_t bytes, exclusive_bytes; /* resident; of them not shared with a fork */
};

/* What of the allocator's heap could not be believed. */
struct refused_heap {
    const char *what, *reason; /* of the first; NULL: nothing was refused */
    size_t count;              /* how many such there are */
    bool all;                  /* nothing of the heap is known */
};

/* What the rules look at. All borrowed; arenas, settings, tally, census and caches are NULL when no heap was decoded. */
struct case_file {
    uint64_t rss_bytes;
    const struct ledger *ledger;
    const struct heap_arenas *arenas;
    const struct heap_settings *settings;
    const struct heap_tally *tally;
    const struct heap_census *census; /* may be empty: not taken */
    const struct heap_caches *caches;
    const struct trim_prediction *trim;
    bool main_top_trims;           /* malloc_trim can lower the break under the main arena's top */
    struct refused_heap refused;
    const struct unexplained_owners *unexplained_by;
    struct ended_stacks ended;
    struct stale_pages stale;
    uint64_t lazyfree_bytes;
    const struct thp_settings *thp;
    const struct cpus *cpus;
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
