/*
 * What one look at a process found, as far as it can be compared with another look: plain data, whether it comes from
 * an explanation or from a file that holds one. Amounts are bytes unless said otherwise, and at most 2^63 - 1.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/range.h"
#include "ledger/ledger.h"

struct amount {
    bool known;
    uint64_t value; /* 0 where not known */
};

enum snapshot_figure {
    FIGURE_RSS,
    FIGURE_SWAP,
    FIGURE_PAGE_TABLES,
    FIGURE_HUGETLB,
    FIGURE_LAZYFREE,
    FIGURE_LIVE_ZERO,
    FIGURE_TRIM,              /* what malloc_trim(0) would return */
    FIGURE_MMAPPED_COUNT,     /* chunks */
    FIGURE_MMAPPED_BYTES,
    FIGURE_MMAPPED_RESIDENT,
    FIGURE_COUNT,
};

enum arena_figure {
    ARENA_HEAPS,              /* a number */
    ARENA_RESERVED,
    ARENA_RESIDENT,
    ARENA_LIVE_BYTES,
    ARENA_LIVE_BLOCKS,        /* a number */
    ARENA_TCACHE,
    ARENA_FASTBIN,
    ARENA_BINS,
    ARENA_TOP,
    ARENA_RETURNABLE,
    ARENA_CACHED,
    ARENA_PINNED,
    ARENA_FIGURES,
};

enum snapshot_setting {
    SETTING_MMAP_THRESHOLD,
    SETTING_TRIM_THRESHOLD,
    SETTING_DYNAMIC_THRESHOLD, /* 0 or 1 */
    SETTING_ARENA_MAX,         /* a number; 0: no limit */
    SETTING_COUNT,
};

struct snapshot_arena {
    remote_addr address;
    bool main;
    struct amount figures[ARENA_FIGURES];
};

struct snapshot_owner {       /* of unexplained bytes */
    char *name, *version;     /* version: NULL where not known */
    uint64_t bytes;
};

struct snapshot_class {       /* of chunks in use, by size */
    uint64_t least_bytes, blocks, bytes;
};

struct snapshot_finding {
    char *id, *because;
    uint64_t bytes;
};

struct snapshot_refusal {
    char *what, *reason;
};

struct snapshot {
    pid_t pid;
    char *comm;
    char *boot_id;             /* NULL: not known */
    struct amount start_ticks; /* when in this run of the kernel the process began */
    struct amount taken_at_ns; /* since 1970 */
    char *allocator, *allocator_version; /* NULL: not known */
    bool decoded;
    bool stopped;              /* the process was held still */

    struct amount figures[FIGURE_COUNT];
    struct ledger ledger;
    uint64_t other_accounts;   /* of accounts that only a later version has */
    struct amount settings[SETTING_COUNT];
    char *thp;                 /* NULL: not known */

    struct snapshot_owners {
        struct snapshot_owner *items;
        size_t count, capacity;
    } owners;
    struct snapshot_arenas {
        struct snapshot_arena *items; /* no two with one address */
        size_t count, capacity;
    } arenas;
    struct snapshot_classes {
        struct snapshot_class *items; /* none: not known */
        size_t count, capacity;
    } classes;
    struct snapshot_findings {
        struct snapshot_finding *items;
        size_t count, capacity;
    } findings;
    struct snapshot_refusals {
        struct snapshot_refusal *items;
        size_t count, capacity;
    } refusals;
};

void snapshot_free(struct snapshot *snapshot);

/* Of all arenas and mmapped chunks, whole chunks; not known when it is not known of one of them. */
struct amount snapshot_live_blocks(const struct snapshot *snapshot);
struct amount snapshot_live_bytes(const struct snapshot *snapshot);
