/*
 * Settings of a running process that keep its memory from growing again, and their way back.
 *
 * Each is written down before it is changed (cure/keep-state.h), changed in a stop in which it is still what was written
 * down, and read again when the process runs. Nothing else is changed.
 */
#pragma once

#include "cure/cure.h"
#include "cure/keep-state.h"
#include "target/target.h"

/* What to do about huge pages. */
enum keep_huge_choice {
    KEEP_HUGE_AUTO, /* off; but where the system makes them everywhere, those that the program asks for are left to it */
    KEEP_HUGE_NONE,
    KEEP_HUGE_ONLY_ADVISED,
    KEEP_HUGE_LEAVE,
};

struct keep_options {
    bool undo;
    bool thresholds;
    enum keep_huge_choice huge_pages;
    uint64_t watch_ns;          /* after the thresholds were set */
    unsigned permille;          /* of a processor, that page faults may take beyond what they took before */
    uint64_t every_ns;          /* give memory back each so often, until interrupted; 0: not at all */
    int directory;              /* of state files */
    struct cure_limits limits;  /* `interrupted` and `progress` */
};

struct keep_refusal {
    const char *what; /* static: "huge-pages", "thresholds" */
    int error;
    struct why reason;
};

struct keep_refusals {
    struct keep_refusal *items;
    size_t count, capacity;
};

/* What page faults took before and after the thresholds were set. */
struct keep_cost {
    uint64_t fault_ns, mapping_ns;      /* measured here: a page fault; an mmap and a munmap */
    uint64_t before_ns, faults_before;  /* for how long they were counted, and how many there were */
    uint64_t watched_ns, faults;        /* the same afterwards; 0: not watched */
    bool taken_back;                    /* they took too much: what was set was set back */
};

/* What came of giving memory back again and again. */
struct keep_every_totals {
    uint64_t ran_ns;            /* 0: it was not asked for, or could not be */
    uint64_t rounds, failures, pressures; /* pressures: how often the kernel was pressed, and it was not waited for */
    uint64_t returned_bytes, back_bytes;  /* that came back; and of that was in use again by the next round */
    uint64_t interval_ns;       /* at the end */
    const char *pressure_of;    /* static: "cgroup", "system"; NULL: the kernel does not tell */
    bool process_ended;
    struct target_pauses pauses;
};

struct keeping {
    pid_t pid;
    char comm[64];
    bool undo, interrupted;
    bool huge_pages_kept, thresholds_kept;  /* asked for, and as wanted before we came */
    bool advised_kept;              /* huge pages that the program asks for are left to it */
    bool asks_for_huge_pages;       /* it does (madvise) */
    bool nothing_to_undo;           /* nothing is written down of it */
    uint64_t huge_bytes;            /* in huge pages now: they stay */
    struct keep_change changed[KEEP_SETTINGS]; /* that are in force; of an undo, that were set back */
    size_t changed_count;
    struct keep_cost cost;          /* all 0: thresholds were not set */
    struct keep_every_totals every;
    struct keep_refusals refusals;
    struct target_pauses pauses;
};

/*
 * 0: each of what was asked for was done, or a refusal tells why not; release with keeping_free. Negative errno or
 * OUTCOME_NOT_POSSIBLE, with the sentence: nothing was changed. Each change is written to syslog before it is made, and after.
 */
int keep(const struct procfs *procfs, pid_t pid, const struct keep_options *options,
         struct keeping *ret, struct why *why) must_check;
void keeping_free(struct keeping *keeping);

/* Something that was asked for was not done, or not kept. */
bool keeping_fell_short(const struct keeping *keeping);

/* Of a processor, in thousandths: what the page faults take that `cost` has before and after. */
double keep_cost_permille_before(const struct keep_cost *cost);
double keep_cost_permille(const struct keep_cost *cost);
