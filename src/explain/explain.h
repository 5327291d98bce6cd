/* From a process to its explanation: stop, read, decode, account, let go, diagnose. */
#pragma once

#include "base/progress.h"
#include "explain/explanation.h"

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
