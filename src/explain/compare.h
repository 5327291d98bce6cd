/* Two looks, and what has changed from one to the other. Pure: nothing is read. */
#pragma once

#include "explain/snapshot.h"

enum relation {
    RELATION_SAME,     /* one process at two times */
    RELATION_EXECUTED, /* one process, which has executed a program meanwhile: its memory is another */
    RELATION_OTHER,    /* two processes */
    RELATION_UNKNOWN,  /* one process id, and nothing tells whether it is one process */
};

/* In each pair one of the two may be NULL: it was not there, or is not any more. All are borrowed from the snapshots. */
struct arena_pair {
    const struct snapshot_arena *before, *after;
};

struct owner_pair {
    const struct snapshot_owner *before, *after;
};

struct class_pair {
    const struct snapshot_class *before, *after;
};

struct finding_pair {
    const struct snapshot_finding *before, *after;
};

struct comparison {
    const struct snapshot *before, *after;
    enum relation relation;
    bool interval_known;
    int64_t interval_ns;   /* from one to the other; negative where the clock says so */
    struct arena_pairs {
        struct arena_pair *items; /* by address, ascending; only with RELATION_SAME: an address tells nothing else */
        size_t count, capacity;
    } arenas;
    struct owner_pairs {
        struct owner_pair *items; /* by name and version */
        size_t count, capacity;
    } owners;
    struct class_pairs {
        struct class_pair *items; /* by size; none where a look has none */
        size_t count, capacity;
    } classes;
    struct finding_pairs {
        struct finding_pair *items; /* by id; those of the later look first */
        size_t count, capacity;
    } findings;
};

/* `before` and `after` must outlive the result. -ENOMEM. Release with comparison_free. */
int compare_snapshots(const struct snapshot *before, const struct snapshot *after, struct comparison *ret) must_check;
void comparison_free(struct comparison *comparison);

/* Zero for what is not there. */
static inline struct amount arena_amount(const struct snapshot_arena *arena, enum arena_figure figure)
{
    return arena ? arena->figures[figure] : (struct amount){.known = true};
}
