/* From a process to its explanation: stop, read, decode, account, let go, diagnose. */
#pragma once

#include "base/progress.h"
#include "explain/explanation.h"

/* How consistency is come by; each falls back on the next. For tests and measurements. */
enum explain_way {
    EXPLAIN_STILL,   /* proven to have slept: two short stops */
    EXPLAIN_MOVING,  /* surveyed first, then what must be consistent is read in a stop */
    EXPLAIN_STOPPED, /* all in one stop */
};

struct explain_options {
    enum explain_way first_way; /* the first to be tried */
    bool no_stop;      /* look without stopping: nothing is exact then */
    bool scan_small;   /* also tell zero pages that are mapped small: reads all unexplained memory */
    unsigned threads;  /* for the heap walk; 0: one a CPU, at most 4 */
    struct progress progress; /* told what is being done; may be empty */
};

/*
 * Explains `pid`. Changes nothing in it. 0; negative errno or OUTCOME_NOT_POSSIBLE with the sentence. Release with
 * explanation_free. Where only a part could be done (no right to stop, a heap that contradicts itself), it is
 * 0 and `refusals` says what is lacking.
 */
int explain(const struct procfs *procfs, pid_t pid, const struct explain_options *options, struct explanation *ret,
            struct why *why) must_check;
