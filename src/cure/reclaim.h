/* From a process to what came back: predicts, applies and verifies the cures asked for, one after the other. */
#pragma once

#include <sys/types.h>

#include "cure/cure.h"
#include "cure/watch.h"
#include "procfs/cgroup.h"
#include "target/target.h"

enum cure {
    CURE_ZERO_PAGES,
    CURE_FREE_PAGES,
    CURES,
};

/* "zero-pages", ... */
const char *cure_name(enum cure cure);

struct reclaim_options {
    unsigned cures;            /* bits by enum cure */
    bool dry_run;              /* predict only */
    uint64_t least_bytes;      /* do nothing if less than this is predicted in all */
    uint64_t watch_ns;         /* look at it for so long afterwards */
    struct cure_limits limits;
};

struct reclamation {
    pid_t pid;
    char comm[64];
    bool dry_run, below_least; /* below_least: less than options.least_bytes was predicted, so nothing was done */
    bool interrupted;          /* by the user: what is told is as far as it came */
    uint64_t rss_before_bytes, rss_after_bytes; /* the kernel's exact figure */
    struct cgroup_memory charge_before, charge_after;
    struct target_pauses pauses;
    uint64_t elapsed_ns;       /* without the watch */
    bool thp_refills;          /* khugepaged may fill in again what the program uses */
    struct cure_outcome cures[CURES];
    size_t cure_count;
    struct cure_samples after;
};

/*
 * 0: the cures were tried, each tells how it went; release with reclamation_free. Negative errno or OUTCOME_NOT_POSSIBLE,
 * with the sentence: nothing was done. `told` is called right before the first change to the process; may be NULL.
 */
int reclaim(const struct procfs *procfs, pid_t pid, const struct reclaim_options *options,
            void (*told)(void *context, const struct reclamation *prediction), void *context, struct reclamation *ret,
            struct why *why) must_check;
void reclamation_free(struct reclamation *reclamation);

uint64_t reclamation_predicted(const struct reclamation *reclamation); /* RSS, over all cures */
uint64_t reclamation_returned(const struct reclamation *reclamation);
bool reclamation_fell_short(const struct reclamation *reclamation);
