/* Whether a process may have huge pages: PR_SET_THP_DISABLE, which only a thread of its own can set. */
#pragma once

#include "cure/keep-state.h"
#include "target/target.h"

/*
 * What is set now, in a stop: an enum keep_huge_pages. 0; OUTCOME_NOT_POSSIBLE: no thread of it can make the call, at
 * none of several tries; negative errno.
 */
int keep_huge_pages_read(struct target *target, uint64_t *ret, struct why *why) must_check;

/*
 * Sets `to` where `from` is set, and reads it again. Errors as above; OUTCOME_TORN: something else is set now, and nothing was
 * changed.
 */
int keep_huge_pages_set(struct target *target, uint64_t from, uint64_t to, struct why *why) must_check;

/* Whether this kernel can leave those to a program that it asks for: tried on ourselves. */
bool keep_huge_pages_can_leave_advised(void);
