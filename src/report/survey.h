/* Many processes: a table for people, one object for programs. */
#pragma once

#include <stdio.h>

#include "explain/survey.h"
#include "report/text.h"

/* 0; -ENOMEM; -EIO when `out` did not take all of it. */
int report_survey_text(const struct survey *survey, FILE *out, struct report_style style) must_check;

/* One object, "residue.why-all/1", and a newline; ASCII only. The same. */
int report_survey_json(const struct survey *survey, FILE *out) must_check;
