/* What `residue keep` changed in a process, or set back, and what only its next start can. */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "cure/keep.h"
#include "report/start-lines.h"
#include "report/text.h"

/* "residue.keep/1", released with json_decref; NULL when memory is short. */
json_t *keep_object(const struct keeping *keeping, const struct start_lines *lines);

/* 0; -ENOMEM; -EIO when `out` did not take all of it. */
int report_keep_json(const struct keeping *keeping, const struct start_lines *lines, FILE *out) must_check;
int report_keep_text(const struct keeping *keeping, const struct start_lines *lines, FILE *out,
                     struct report_style style) must_check;

/* "mmap_threshold", as `why` has it; and a value of it for people. */
const char *keep_report_name(enum keep_setting setting);

struct keep_value {
    char text[64];
};

struct keep_value keep_report_value(enum keep_setting setting, uint64_t value);
