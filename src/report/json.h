/*
 * Results for programs. Integers are bytes and nanoseconds, addresses "0x..." strings, what is not known null. Amounts
 * beyond 2^63 - 1 (a threshold set to "never") are told as that, which is the largest integer that readers agree on.
 */
#pragma once

#include <stdio.h>

#include "explain/explanation.h"

/* One object, "residue.why/1", and a newline; ASCII only. 0; -ENOMEM; -EIO when `out` did not take all of it. */
int report_why_json(const struct explanation *explanation, FILE *out) must_check;
