/*
 * glibc's thresholds in a running process: from which size on a block gets a mapping of its own, and how much may be free at
 * the heap's end.
 *
 * They are variables of malloc's (mp_), which any thread may read at any time without a lock; so each store is of one whole
 * variable, made while all threads are held, and every prefix of the stores is something that mallopt(3) may have left.
 * free() changes them, too, without a lock: a thread that was stopped in the middle of that goes on and undoes what
 * was set. So they are read again when the process runs.
 */
#pragma once

#include "cure/keep-state.h"
#include "explain/look.h"

/*
 * What would be set: fills `ret` (zeroed by the caller but for who it is about) with the changes, in order; none where all is
 * set already. Stops the process at a moment at which the heap proves itself. 0; OUTCOME_NOT_POSSIBLE or another outcome:
 * it is not done here; negative errno.
 */
int keep_thresholds_plan(struct look *look, struct keep_state *ret, struct why *why) must_check;

enum keep_done {
    KEEP_LEFT,    /* it is something else */
    KEEP_ALREADY, /* it was as wanted */
    KEEP_WRITTEN,
};

/*
 * Makes those of `changes` that have `before`, in order (or, with `undo`, the other way round: those that have `after` get
 * `before`), in one stop. What became of each is in `ret_done`, where they stand in `ret_places`.
 * OUTCOME_TORN: malloc's parameters are not where they were: another program runs there.
 */
int keep_thresholds_set(struct look *look, const struct keep_state *changes, bool undo, enum keep_done ret_done[KEEP_SETTINGS],
                        struct heap_setting_places *ret_places, struct why *why) must_check;

/* Whether each still is as it was set, while the process runs. 0; as memory_read. */
int keep_thresholds_hold(struct look *look, const struct keep_state *changes, const struct heap_setting_places *places,
                         bool *ret, struct why *why) must_check;
