/* Settings that a program takes at its start only, as lines to be copied to where it is started. */
#pragma once

#include <stdio.h>

#include "explain/explanation.h"

enum { START_SETTINGS = 12 };

struct start_setting {
    char name[64], value[256]; /* of nothing but letters, digits, and "._-:=" */
};

struct start_lines {
    struct start_setting items[START_SETTINGS];
    size_t count;
    struct why missing; /* why nothing is known of the process; "": it is */
};

enum start_form { START_SYSTEMD, START_DOCKER, START_KUBERNETES, START_SHELL, START_FORMS };

/* "systemd", ... */
const char *start_form_name(enum start_form form);

/* Of what `residue why` found; with `thresholds` static ones, too. The explanation may be NULL. */
void start_lines_for(const struct explanation *explanation, bool thresholds, struct start_lines *ret);

/*
 * Calls `each` for each line of the form, without a newline, until it returns other than 0, and returns that.
 */
int start_lines_each(const struct start_lines *lines, enum start_form form,
                     int (*each)(void *context, const char *line), void *context) must_check;
