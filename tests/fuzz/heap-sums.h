/* What must hold of a heap that was accepted: of the spans it is handed over in, of its regions, and of its sums. */
#pragma once

#include "ledger/tally.h"
#include "predict/trim.h"
#include "process.h"

/* A sink that checks what every sink is promised. */
struct checker {
    struct span_sink sink;
    struct range region;
    remote_addr next; /* where the next span must begin; 0: none came yet */
    remote_addr first;
    uint64_t bytes;   /* of all spans */
};

struct checker checker_begin(void);

/* Whether any of `range` lies in a locked mapping; `context` is the struct maps. */
bool is_locked(const void *context, struct range range);

/* Regions that count are apart, and where a heap may be; the sum of their lengths. */
uint64_t check_regions(const struct fuzz_process *process, const struct heap *heap);

/* Resident bytes by arena and by account, to the byte; whole chunks at most what the regions have: `claimed` bytes. */
void check_sums(const struct fuzz_process *process, const struct heap *heap, const struct heap_tally *tally,
                const struct trim_prediction *trim, uint64_t claimed);
