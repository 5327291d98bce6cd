/*
 * Results for programs. Integers are bytes and nanoseconds, addresses "0x..." strings, what is not known null. Amounts
 * beyond 2^63 - 1 (a threshold set to "never") are told as that, which is the largest integer that readers agree on.
 */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "explain/explanation.h"

/* An object, "residue.why/1", to be released with json_decref. NULL when memory is short. */
json_t *why_object(const struct explanation *explanation);

/* Prints it, and a newline; ASCII only. 0; -ENOMEM; -EIO when `out` did not take all of it. */
int report_why_json(const struct explanation *explanation, FILE *out) must_check;
