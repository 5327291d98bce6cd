/*
 * The cure of huge pages inflated with zeros: khugepaged, or the first touch of a huge page, filled in pages that the
 * program never wrote. They go back without a stop: see cure/split.h. Nothing has to be proven here: the kernel itself
 * looks again, page by page, whether there is anything but zeros in it.
 */
#pragma once

#include "cure/cure.h"
#include "cure/places.h"
#include "cure/split.h"

struct zero_pages {
    struct huge_page *items; /* to be split */
    size_t count, capacity;
};

/*
 * Finds them by reading every huge page, while the process runs, and writes what they would return into `outcome`, which
 * the caller zeroed. Release `ret` with free(ret->items), also after an error. 0 or negative errno; that it cannot be done here is no error, but in
 * outcome->error.
 */
int zero_pages_predict(struct target *target, const struct cure_places *places, const struct cure_limits *limits,
                       struct zero_pages *ret, struct cure_outcome *outcome, struct why *why) must_check;

/* Splits them, and sees from the page states what went. 0 or negative errno; -ESRCH: the process has gone. */
int zero_pages_apply(struct target *target, const struct zero_pages *pages, const struct cure_limits *limits,
                     struct cure_outcome *outcome, struct why *why) must_check;
