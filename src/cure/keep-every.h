/*
 * Giving memory back again and again, for as long as it pays.
 *
 * It pays when something came back and is not soon in use again: else the next time is put off, twice as far each time. When
 * the kernel tells that tasks wait for memory (PSI: of the process' cgroup where that has its own, else of the system), it
 * is not waited for.
 */
#pragma once

#include "cure/keep.h"

/* The time until the next round: `base_ns` where the last one paid, else twice `now_ns`, 16 times `base_ns` at most. */
uint64_t keep_every_next(uint64_t base_ns, uint64_t now_ns, uint64_t returned_bytes, uint64_t back_bytes);

/*
 * Until the user interrupts or the process ends. 0, with what came of it in out->every; when not even the first round could be
 * made, a refusal says why. Negative errno: -ENOMEM.
 */
int keep_every(const struct procfs *procfs, const struct keep_options *options, const struct process_identity *identity,
               struct keeping *out) must_check;
