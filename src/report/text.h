/* The first screen: what a person wants to know first comes first. */
#pragma once

#include <stdio.h>

#include "explain/explanation.h"

struct report_style {
    bool color;     /* SGR escape sequences */
    bool utf8;      /* else nothing but ASCII is printed */
    bool quiet;     /* the headline only */
    bool arenas;    /* tables of arenas and size classes, too, and all refusals */
    unsigned width; /* columns; 0: 80 */
};

/* 0; -ENOMEM; -EIO when `out` did not take all of it. */
int report_why_text(const struct explanation *explanation, FILE *out, struct report_style style) must_check;
