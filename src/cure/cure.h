/* What a cure is going to do, and what it has done: plain data, made by the cures, told by report/. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/progress.h"

/* What is left where it is although the cure is about such memory, and why. */
struct cure_skip {
    uint64_t bytes; /* resident */
    struct why reason;
};

struct cure_outcome {
    const char *name;          /* "zero-pages" */
    int error;                 /* as functions return it: nothing of it can be done here, for `reason`; 0: it can */
    struct why reason;
    uint64_t predicted_rss_bytes, predicted_charge_bytes;
    bool applied;              /* it was begun; else what follows is 0 */
    bool interrupted;          /* by the user, between two steps */
    uint64_t returned_rss_bytes;     /* by page states, of exactly the pages that were to go */
    bool charge_known;
    int64_t returned_charge_bytes;   /* what the cgroup's charge fell by meanwhile: of all its processes; < 0: it rose */
    uint64_t huge_pages_split;       /* of those that there were before */
    struct cure_skips {
        struct cure_skip *items; /* one a reason */
        size_t count, capacity;
    } skipped;
};

/* How cures are to go about it. */
struct cure_limits {
    uint64_t pause_ns;               /* the longest stop, where that suffices to prove anything */
    bool no_inject;                  /* nothing may be run in the process */
    unsigned split_percent;          /* a huge page is split only if at least so much of it goes */
    const atomic_bool *interrupted;  /* set: finish the step and report; may be NULL */
    struct progress progress;
};

static inline bool cure_is_interrupted(const struct cure_limits *limits)
{
    return limits->interrupted && atomic_load(limits->interrupted);
}

/* Adds bytes that are left, for a reason; a shortage of memory loses it. */
void cure_skip(struct cure_outcome *outcome, uint64_t bytes, const char *reason);

void cure_outcome_free(struct cure_outcome *outcome);

/*
 * Whether less came back than was promised: more than 1 % and a page less. A busy process takes some of it at once, so
 * that nobody is told that a cure failed where it did what it could.
 */
bool cure_fell_short(const struct cure_outcome *outcome);
