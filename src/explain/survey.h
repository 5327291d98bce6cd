/*
 * Many processes at once: what each holds by kind, from the kernel's counters and without a stop; and of those with the
 * most anonymous memory in glibc's heaps, an explanation.
 */
#pragma once

#include "explain/explain.h"
#include "procfs/cgroup-tree.h"
#include "procfs/container.h"
#include "procfs/sharing.h"

enum { SURVEY_TOP = 10 }; /* heaps that are decoded unless somebody wants otherwise */

struct survey_process {
    pid_t pid;
    char comm[64];
    char *cgroup;              /* its path: the memory controller's hierarchy, else v2's; NULL where there is none */
    char *container;           /* as in struct explanation */
    const char *container_runtime;
    struct survey_amounts {    /* by the kernel's counters, read before anything was decoded */
        uint64_t rss_bytes;    /* the sum of the next three */
        uint64_t anon_bytes, file_bytes, shmem_bytes;
        uint64_t swap_bytes;
    } amounts;
    pid_t *sharers;            /* other processes with the very same memory, which are in no row of their own */
    size_t sharer_count, sharer_capacity;
    struct explanation *explanation; /* NULL: its heap was not looked into */
    uint64_t returnable_bytes; /* of `explanation`: free pages, and pages of zeros */
    uint64_t returnable_charge_bytes; /* of them: not shared with forks */
    char *reason;              /* why it was not looked into although it was its turn; NULL */
};

/* Processes that exist and may not be looked at, for one reason. */
struct survey_unread {
    char who[40];              /* "of other users" */
    struct why reason;         /* what is lacking */
    size_t count;
    uint64_t rss_bytes;        /* by their status, where that is readable */
};

struct survey {
    struct survey_processes {
        struct survey_process *items; /* those with an explanation first, by returnable bytes; then by anonymous memory */
        size_t count, capacity;
    } processes;
    struct survey_unreads {
        struct survey_unread *items;
        size_t count, capacity;
    } unread;
    enum rss_source source;
    struct survey_amounts sum;        /* pages that processes share are in it once for each */
    size_t explained, decoded;        /* processes */
    uint64_t returnable_bytes, returnable_charge_bytes;
    struct target_pauses pauses;      /* of all of them */
    uint64_t elapsed_ns;
    bool of_cgroup;                   /* only then, the following */
    struct named_cgroup place;
    struct cgroup_usage usage;
    uint64_t unmapped_bytes;          /* of the charge, in nobody's RSS: files and shared memory that is not mapped, the kernel's own */
    uint64_t unnamed_bytes;           /* of the charge: the kernel's statistics do not name it */
    bool charge_is_ancestors;         /* memory is not counted for it alone (v2) */
};

struct survey_options {
    const char *cgroup;      /* NULL: all processes */
    unsigned top;            /* how many to explain at most */
    struct explain_options explain;
    /* Before each process to be explained: the number-th of count at most. Nothing is stopped then. NULL: not told. */
    void (*next)(void *context, size_t number, size_t count, const struct survey_process *process);
    void *context;
    compare_memory *compare; /* NULL: processes are not asked whether they share memory */
};

/*
 * Looks at all processes but itself, or at those of a cgroup. Process 1 is never stopped: name it to explain() for that.
 * What ends meanwhile is left out. 0, also when there are none; -EACCES when there are and none may be looked at;
 * cgroup_find_named's errors; other negative errno. Release with survey_free.
 */
int survey(const struct procfs *procfs, const struct survey_options *options, struct survey *ret, struct why *why)
    must_check;
void survey_free(struct survey *survey);

/* Whether returnable_bytes means anything: its heap was decoded, or pages of zeros were found in it. */
bool survey_returnable_known(const struct survey_process *process);

/* How far it would be to the cgroup's limit with all that can go back gone; only where memory.room_known. */
uint64_t survey_room_after(const struct survey *survey);
