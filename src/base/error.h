/*
 * Errors, one convention for the whole tree:
 *
 *   0          done
 *   negative   an errno, forwarded unchanged to whoever can tell the user
 *   positive   an outcome of looking at foreign memory, which the caller must handle
 *
 * Whoever finds an error first writes one sentence into the caller's struct why;
 * everybody else forwards it. A NULL why is allowed and means "do not tell me".
 */
#pragma once

#include <stdarg.h>

#define must_check      __attribute__((warn_unused_result))
#define printf_like(f, a) __attribute__((format(printf, f, a)))

enum outcome {
    OUTCOME_UNREADABLE = 1, /* remote memory is not present, or the kernel refused to read it */
    OUTCOME_LAYOUT_UNKNOWN, /* no known layout fits the data */
    OUTCOME_TORN,           /* the structure contradicts itself: being changed, or corrupt */
    OUTCOME_NOT_FOUND,      /* what was looked for is not there, and that is no error */
    OUTCOME_NOT_POSSIBLE,   /* cannot be done to this process or on this machine */
};

struct why {
    char text[400];
};

/* Writes the sentence (no full stop at the end, no newline) and returns `error` for the caller to return. */
int why_set(struct why *why, int error, const char *format, ...) printf_like(3, 4);

/* Puts "context: " before a sentence that is there already; returns `error`. */
int why_prefix(struct why *why, int error, const char *format, ...) printf_like(3, 4);
