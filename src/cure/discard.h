/*
 * Discarding pages of a stopped process by system calls that one of its threads is made to call (inject/inject.h).
 *
 * This takes no more rights than stopping it does, takes single pages, and works on every kernel. But it is right only while nobody
 * uses these pages: so it is done while all threads stand still, and held by a process that outlives us
 * (target->guarded), so that they stand still until it is done even if we are killed.
 */
#pragma once

#include "procfs/maps.h"
#include "target/target.h"

/* Whether it can be done to `target`, which must be stopped, with these mappings. 0; OUTCOME_NOT_POSSIBLE; negative errno. */
int discard_check(struct target *target, const struct maps *maps, struct why *why) must_check;

/*
 * Discards `count` ranges of whole pages. All of them or, with an error, perhaps some: what has gone is for the caller to
 * see. 0; -EAGAIN: a signal came first, try again in another stop; otherwise as injection_call.
 */
int discard_ranges(struct target *target, const struct maps *maps, const struct range *ranges, size_t count,
                   struct why *why) must_check;
