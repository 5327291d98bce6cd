/* The steps of a survey. */
#pragma once

#include "explain/survey.h"

/* survey-list.c: the processes, by the kernel's counters; each memory once. */
int survey_list(const struct procfs *procfs, const struct survey_options *options, struct survey *survey,
                struct why *why) must_check;

/* survey-explain.c: explains those that are worth it, and puts all in their order. */
int survey_explain(const struct procfs *procfs, const struct survey_options *options, struct survey *survey)
    must_check;

void survey_process_free(struct survey_process *process);
