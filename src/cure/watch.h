/* What becomes of a process after it was cured: its resident set, and the page faults that it takes. */
#pragma once

#include "cure/cure.h"
#include "procfs/rss.h"

struct cure_sample {
    uint64_t after_ns;                /* since the cures were done */
    uint64_t rss_bytes, minor_faults; /* faults since then */
};

struct cure_samples {
    struct cure_sample *items;
    size_t count, capacity;
};

struct cure_watch {
    const struct procfs *procfs;
    pid_t pid;
    enum rss_source source;
    uint64_t began_ns, faults; /* when it was begun, and how many it had taken then */
};

/* Begins to count. 0 or negative errno. */
int cure_watch_begin(const struct procfs *procfs, pid_t pid, enum rss_source source, struct cure_watch *ret,
                     struct why *why) must_check;

/*
 * Takes a sample now, after a second, and then at growing distances until `length_ns` has passed. Ends early, without an
 * error, when the process ends or the user interrupts. Release with free(ret->items). 0 or negative errno.
 */
int cure_watch_run(const struct cure_watch *watch, uint64_t length_ns, const struct cure_limits *limits,
                   struct cure_samples *ret, struct why *why) must_check;
