/*
 * Reports that are read again: "residue.why/1" into a snapshot. What is read may come from anywhere, so nothing in it
 * is believed that does not fit: a key that is missing, of another type, negative, or that contradicts another is
 * refused, with the name of the file and the place in it. Keys that are not known are passed over.
 */
#pragma once

#include <jansson.h>

#include "explain/explanation.h"
#include "explain/snapshot.h"

/*
 * No report of residue has more: one of ten thousand arenas has less. A value takes up to 230 bytes of memory (an empty
 * object, in Jansson 2.14), so that their number bounds it better than the file's length.
 */
enum { SNAPSHOT_FILE_BYTES = 16 << 20, SNAPSHOT_FILE_VALUES = 500000 };

/*
 * Reads a file (or a pipe, up to its end). 0; OUTCOME_NOT_POSSIBLE with the sentence when it holds something else;
 * negative errno with the sentence when it cannot be read. Release with snapshot_free.
 */
int snapshot_read(const char *path, struct snapshot *ret, struct why *why) must_check;

/* What a report of `explanation` would be read as. 0; -ENOMEM; OUTCOME_NOT_POSSIBLE for what contradicts itself. */
int snapshot_of(const struct explanation *explanation, struct snapshot *ret, struct why *why) must_check;

/* How the figures are called in "residue.why/1": `object` is where `key` stands, NULL: at the top. */
struct figure_key {
    const char *object, *key;
    bool may_be_null;
};

extern const struct figure_key snapshot_keys[FIGURE_COUNT], arena_keys[ARENA_FIGURES], setting_keys[SETTING_COUNT];
