/* What the files of `residue keep` share while it is under way. */
#pragma once

#include "cure/keep-thresholds.h"
#include "cure/keep.h"

struct keep_course {
    const struct procfs *procfs;
    const struct keep_options *options;
    struct keeping *out;
    struct look look;          /* its target is what everything is done to */
    struct keep_state state;   /* as it is written down */
};

/* keep.c */

/* Into the system's log: that something is about to be changed, or was (`done`). */
void keep_log(const struct keep_course *course, const struct keep_change *change, bool undo, bool done);

/* Notes why something was not done; returns errors that are the end of all. */
int keep_refuse(struct keep_course *course, const char *what, int error, const struct why *why) must_check;

void keep_note_change(struct keep_course *course, struct keep_change change);

/* Puts changes that are about to be made into the state, and that on disk. 0 or negative errno. */
int keep_write_down(struct keep_course *course, const struct keep_change *changes, size_t count, struct why *why)
    must_check;

/* keep-pin.c: sets them, watches what that costs, and sets them back if it is too much. */
int keep_thresholds(struct keep_course *course, struct why *why) must_check;
/* Sets back what the state has of them. OUTCOME_TORN: some of it was not as it was set, and left. */
int keep_thresholds_undo(struct keep_course *course, struct why *why) must_check;
