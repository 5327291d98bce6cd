/* All that `residue why` knows of a process: plain data, made by explain(), told by report/. */
#pragma once

#include <sys/types.h>

#include "diagnose/environment.h"
#include "diagnose/finding.h"
#include "heap/heap.h"
#include "ledger/ledger.h"
#include "ledger/tally.h"
#include "ledger/unexplained.h"
#include "predict/trim.h"
#include "procfs/cgroup.h"
#include "procfs/identity.h"
#include "procfs/rss.h"
#include "procfs/thp.h"
#include "target/target.h"

/* How what is told comes to be of one moment. Each falls back on the next. */
enum explain_way {
    EXPLAIN_STILL,   /* proven to have slept while it was looked at; two short stops */
    EXPLAIN_MOVING,  /* surveyed while it ran; what must be of one moment was read in a stop */
    EXPLAIN_STOPPED, /* all in one stop */
    EXPLAIN_RUNNING, /* not of one moment: it was not stopped */
};

/* "still", "moving", "stopped", "running" */
const char *explain_way_name(enum explain_way way);

struct explanation {
    pid_t pid;
    struct process_identity identity;
    uint64_t taken_at_ns;          /* when we began to look, since 1970; 0: not known */
    char comm[64];
    char *exe;                     /* NULL when it may not be read */
    char *container;               /* its whole id or name; NULL outside of one */
    const char *container_runtime; /* "docker", ...; NULL where the cgroup's path does not tell */
    unsigned threads;
    bool stopped;                  /* the process was held still; else figures are of a moving thing */
    enum explain_way way;
    struct why long_stop;          /* EXPLAIN_STOPPED though it is large: why no shorter stop would do; else "" */
    uint64_t moved_bytes;          /* not stopped: by how much RSS changed while we looked */
    bool error_bound_known;        /* not stopped: how far off figures of the heap may be */
    uint64_t error_bound_bytes;

    const char *allocator;         /* "glibc", or NULL when none was recognised */
    char allocator_version[32];
    bool decoded;

    struct rss rss;                /* rss.rss_bytes is what the ledger adds up to */
    bool lazyfree_known;
    uint64_t lazyfree_bytes, heap_live_zero_bytes;
    struct cgroup_memory cgroup;
    struct thp_settings thp;
    struct cpus cpus;
    uint64_t elapsed_ns;
    struct target_pauses pauses;

    struct ledger ledger;
    struct unexplained_owners unexplained_by;
    struct heap_arenas arenas;
    struct heap_tally tally;       /* tally.arenas[i] belongs to arenas.items[i] */
    struct heap_census census;     /* no blocks in it: was not taken */
    struct heap_settings settings;
    struct heap_caches caches;     /* of the threads */
    struct ended_stacks ended_stacks;
    bool environment_known;
    struct environment environment; /* settings it was started with */
    bool trim_known;
    struct trim_prediction trim;
    struct findings findings;
    struct heap_refusals refusals; /* what could not be read or believed, and why */
};

void explanation_free(struct explanation *explanation);
