/* Settings of glibc's malloc by name. */
#pragma once

#include "heap/heap.h"

enum knob_kind {
    KNOB_SETTING,  /* stands in mp_ as it was given */
    KNOB_DYNAMIC,  /* the same, and setting it turns the dynamic threshold off */
    KNOB_CACHE,    /* tcache_max: what stands in mp_ depends on the version */
    KNOB_HUGE,     /* hugetlb: shows in two page sizes */
    KNOB_CHECK,    /* MALLOC_CHECK_ */
    KNOB_UNSEEN,   /* stands in a variable of its own, which cannot be found */
};

struct knob {
    const char *variable; /* NULL: has none */
    const char *tunable;
    enum knob_kind kind;
    size_t setting;       /* offset of a uint64_t in struct heap_settings */
    uint64_t least, most; /* values outside are ignored, unless `most` depends on the version */
};

/* By the name of either; NULL when there is none. */
const struct knob *knob_named(const char *name);

/* What the name was meant to be where an underscore too many or too few stands at its end; NULL otherwise. */
const char *knob_meant_by(const char *name);

/* The largest value that glibc `version` (236 for 2.36; 0: unknown, as if newest) takes. */
uint64_t knob_most(const struct knob *knob, unsigned version);
