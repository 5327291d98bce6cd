/*
 * The exact resident set at the lowest cost that this kernel allows.
 *
 * Linux 6.16 (82241a83cd15), 6.15.7 and 6.12.39 made statm and status sum the per-CPU counters;
 * before, they are estimates. Which it is here is tried on ourselves, never read off a version.
 */
#pragma once

#include <stdint.h>

#include "procfs/procfs.h"

enum rss_source {
    RSS_FROM_STATUS,       /* exact here, constant cost */
    RSS_FROM_SMAPS_ROLLUP, /* exact, costs a page-table walk */
};

struct rss {
    uint64_t rss_bytes;    /* anonymous + file + shmem; no hugetlb, no zero page */
    uint64_t anon_bytes, file_bytes, shmem_bytes; /* from status; estimates unless source is RSS_FROM_STATUS */
    uint64_t swap_bytes, page_table_bytes, hugetlb_bytes; /* from status, too */
    enum rss_source source;
    uint64_t cost_ns;      /* what this read took */
};

/*
 * Whether status is exact on this kernel: touches pages in this process and compares with smaps_rollup,
 * several times. Costs about a millisecond; ask once. Negative errno, 0 (estimates), 1 (exact).
 */
int rss_status_is_exact(const struct procfs *procfs, struct why *why) must_check;

/*
 * Reads with the given source. Negative errno: -ESRCH vanished, -EACCES not permitted. What has no memory (zombie,
 * kernel thread) has zeros.
 */
int rss_read(const struct procfs *procfs, pid_t pid, enum rss_source source, struct rss *ret, struct why *why)
    must_check;

const char *rss_source_name(enum rss_source source); /* "status", "smaps_rollup" */
