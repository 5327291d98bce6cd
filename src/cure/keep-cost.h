/* What page faults cost on this machine, and how many a process takes. */
#pragma once

#include "cure/keep.h"

/* Measures on ourselves. 0 where it cannot be. */
void keep_cost_measure(struct keep_cost *ret);

/* The time that faults may take in all, while they are watched for `watch_ns`. */
bool keep_cost_exceeds(const struct keep_cost *cost, uint64_t watch_ns, unsigned permille);
