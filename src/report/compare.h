/* What has changed between two looks, for people and for programs. */
#pragma once

#include <stdio.h>

#include "explain/compare.h"
#include "explain/explanation.h"
#include "report/text.h"

struct compare_report {
    const struct comparison *comparison;
    bool now;                           /* the later look was just taken; else it comes from a file, too */
    const struct target_pauses *pauses; /* what it cost, if so; else NULL */
};

/* 0; -ENOMEM; -EIO when `out` did not take all of it. */
int report_compare_text(const struct compare_report *report, FILE *out, struct report_style style) must_check;

/* One object, "residue.why-compare/1". As report_why_json. */
int report_compare_json(const struct compare_report *report, FILE *out) must_check;
