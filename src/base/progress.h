/*
 * How far something long has come, for whoever wants to show it. Told from wherever the work is done: from any thread,
 * from several at once, and while a process is held still. So `tell` must take no lock, wait for nothing and print
 * nothing; it notes what it is told, and somebody else shows it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct progress {
    /* `phase`: "walking the heap", in static memory; `done` of `total` bytes, both 0 where there is no measure. */
    void (*tell)(void *context, const char *phase, uint64_t done, uint64_t total);
    void *context;
};

/* NULL, or without a function: nobody wants to know. */
static inline void progress_tell(const struct progress *progress, const char *phase, uint64_t done, uint64_t total)
{
    if (progress && progress->tell)
        progress->tell(progress->context, phase, done, total);
}
