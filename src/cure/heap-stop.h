/* Stopping a process at a moment at which its free memory is proven to be free. */
#pragma once

#include "explain/look.h"

/*
 * Learns what a stop with this query can do without: images, layouts, and where to look. The process runs. What cannot be
 * learnt now is no error.
 */
int heap_stop_prepare(struct look *look, const struct free_query *query, struct why *why) must_check;

/*
 * Stops the process and lists the free chunks that are asked for, when no thread is changing the heap; bad moments are let go
 * and others tried, a bounded number of times. 0: it is stopped (heap_resume lets it go on), and *ret is to be released with
 * free(ret->items). OUTCOME_NOT_POSSIBLE: no decoder serves it, or none that can; OUTCOME_TORN: no moment was good; negative
 * errno as target_stop.
 */
int heap_stop(struct look *look, const struct free_query *query, struct free_chunks *ret, struct why *why) must_check;

/*
 * The same for a process that sleeps: the lists are followed before the stop, which then shows that it slept, but for a case of
 * microseconds (target/stillness.h). So nothing may be done on the strength of this alone. OUTCOME_TORN: it ran, or is
 * not known to have slept.
 */
int heap_stop_still(struct look *look, const struct free_query *query, struct free_chunks *ret, struct why *why) must_check;

void heap_resume(struct look *look);
