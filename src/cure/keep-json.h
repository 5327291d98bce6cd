/* The text of a state file. */
#pragma once

#include "cure/keep-state.h"

/* In fresh memory; NULL: out of it. */
char *keep_state_text(const struct keep_state *state);

/* Whatever does not fit in every way is refused: OUTCOME_NOT_POSSIBLE. */
int keep_state_parse(const char *text, size_t length, struct keep_state *ret, struct why *why) must_check;
