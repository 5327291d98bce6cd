/* What `residue reclaim` predicted, what came back, and what became of it. */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "cure/reclaim.h"
#include "report/text.h"

/* "residue.reclaim/1", released with json_decref; NULL when memory is short. */
json_t *reclaim_object(const struct reclamation *reclamation);

/* 0; -ENOMEM; -EIO when `out` did not take all of it. */
int report_reclaim_json(const struct reclamation *reclamation, FILE *out) must_check;
int report_reclaim_text(const struct reclamation *reclamation, FILE *out, struct report_style style) must_check;
