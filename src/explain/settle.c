/*
 * Stopping at a good moment. A thread in the middle of malloc leaves its heap between two states;
 * then everything is let go for a moment and stopped again, a bounded number of times.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "explain/look.h"

enum { ATTEMPTS = 60 };
#define FIRST_WAIT_NS   (NS_PER_MS / 5)
#define LONGEST_WAIT_NS (20 * NS_PER_MS)

void look_close_heap(struct look *look)
{
    if (look->heap)
        look->heap->allocator->close(look->heap);
    look->heap = NULL;
}

int look_heap_settled(struct look *look, struct why *why)
{
    struct heap_view view = look_heap_view(look);

    return look->heap->allocator->settled(&view, look->heap, why);
}

/* Whether another moment is waited for; else what is wrong with this one is told, and it is taken.
 */
static bool waits(struct look *look, const struct allocator *allocator, int r, bool last,
                  const struct why *why)
{
    /* Of what was surveyed nothing is refused: there is a longer way, which tells. */
    if (r < 0 || (r == OUTCOME_TORN && !last) || look->surveyed)
        return true;
    if (!look->heap)
        look_refuse(look, why, allocator->name);
    else if (look->target.stopped)
        look_refuse(look, why, "a quiet moment");
    return false;
}

int look_open_heap(struct look *look, bool last, struct why *why)
{
    struct heap_view view = look_heap_view(look);

    for (size_t i = 0; allocators[i]; i++) {
        int r = allocators[i]->open(&view, &look->heap, why);

        if (r == OUTCOME_NOT_FOUND)
            continue;
        /* What is read of a sleeping process is settled or not at the stop that ends it. */
        if (r == 0 && !look->read_still && !look->lists_later && !look->options.no_stop)
            r = allocators[i]->settled(&view, look->heap, why);
        if (r && waits(look, allocators[i], r, last, why))
            return r;
        if (r)
            look->out->allocator = allocators[i]->name;
        return 0;
    }
    return 0;
}

int look_attempt(struct look *look, bool last, struct why *why)
{
    int r = target_stop(&look->target, why);

    if (r)
        return r;
    r = look_at_mappings(look, why);
    if (r == 0 && look->surveyed)
        r = look_quiet_as_surveyed(look, why);
    if (r == 0 && look->surveyed)
        r = look_renew_pages(look, why);
    if (r == 0)
        r = look_open_heap(look, last, why);
    if (r == 0 && look->surveyed)
        r = look_capture(look, why);
    if (r) {
        look_close_heap(look);
        target_resume(&look->target);
    }
    return r;
}

static int stop_well(struct look *look, struct why *why)
{
    uint64_t wait = FIRST_WAIT_NS;
    int r = OUTCOME_TORN;

    for (unsigned i = 0; i < ATTEMPTS && r == OUTCOME_TORN; i++) {
        if (i) {
            clock_sleep_ns(wait);
            wait = wait * 3 / 2 < LONGEST_WAIT_NS ? wait * 3 / 2 : LONGEST_WAIT_NS;
        }
        r = look_attempt(look, i + 1 == ATTEMPTS, why);
    }
    return r;
}

/* Without the right to read memory or to stop, page states still tell what kind of mapping holds
 * what. */
static int look_from_outside(struct look *look, const struct why *reason, struct why *why)
{
    look_refuse(look, reason, "memory");
    look->target.has_memory = false;
    return look_at_mappings(look, why);
}

int look_settle(struct look *look, struct why *why)
{
    struct why reason;
    int r;

    if (!look->target.has_memory) {
        reason = look->target.memory_reason;
        return look_from_outside(look, &reason, why);
    }
    if (look->options.no_stop)
        return look_running(look, why);
    /* Images are opened and read before the stop: files can be slow, or be the process' own to
     * serve. */
    r = look_at_mappings(look, why);
    if (r)
        return r;
    r = stop_well(look, why);
    if (r == -EPERM || r == -EACCES) {
        reason = *why;
        return look_from_outside(look, &reason, why);
    }
    return r;
}
