#include "cure/heap-stop.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"

enum { ATTEMPTS = 60 };
#define FIRST_WAIT_NS   (NS_PER_MS / 5)
#define LONGEST_WAIT_NS (20 * NS_PER_MS)

/* Of tcaches and fastbins nothing is wanted: what is in them is no list of whole pages. */
static int open_heap(struct look *look, struct why *why)
{
    int r;

    look->lists_later = true;
    r = look_open_heap(look, false, why);
    look->lists_later = false;
    if (r || look->heap)
        return r;
    if (look->out->refusals.count)
        return why_set(why, OUTCOME_NOT_POSSIBLE, "the heap cannot be read: %s",
                       look->out->refusals.items[0].reason.text);
    return why_set(why, OUTCOME_NOT_POSSIBLE,
                   "no heap of glibc's malloc was found in process %d: free pages of other "
                   "allocators are not known",
                   (int)look->pid);
}

/* What a running process' lists lead to is nothing to go by but for where to look. */
static int note_places(struct look *look, struct read_hints *hints)
{
    struct heap_view view = look_heap_view(look);
    struct free_query query = {.hints = hints};
    struct free_chunks chunks;
    int r;

    if (!look->heap->allocator->free_chunks)
        return 0;
    r = look->heap->allocator->free_chunks(&view, look->heap, &query, &chunks, NULL);
    if (r == 0)
        free(chunks.items);
    return r < 0 ? r : 0;
}

int heap_stop_prepare(struct look *look, struct read_hints *hints, struct why *why)
{
    int r = look_at_mappings(look, why);

    if (r == 0)
        r = open_heap(look, why);
    if (r == 0) { /* asked and thrown away: what the answer needs is then at hand */
        r = look_heap_settled(look, why);
        r = r < 0 ? r : note_places(look, hints);
    }
    look_close_heap(look);
    return r == OUTCOME_TORN ? 0 : r;
}

void heap_resume(struct look *look)
{
    target_resume(&look->target);
    look_close_heap(look);
}

static int list(struct look *look, const struct free_query *query, struct free_chunks *ret,
                struct why *why)
{
    struct heap_view view = look_heap_view(look);
    int r = look_heap_settled(look, why);

    if (r == 0 && !look->heap->allocator->free_chunks)
        return why_set(why, OUTCOME_NOT_POSSIBLE, "the lists of this allocator cannot be followed");
    if (r == 0)
        r = read_hints_load(query->hints, view.memory);
    return r ? r : look->heap->allocator->free_chunks(&view, look->heap, query, ret, why);
}

static int attempt(struct look *look, const struct free_query *query, struct free_chunks *ret,
                   struct why *why)
{
    int r = read_hints_refresh(query->hints, &look->target.memory.memory, why);

    if (r == 0)
        r = target_stop(&look->target, why);
    if (r)
        return r;
    r = look_at_mappings(look, why);
    if (r == 0)
        r = open_heap(look, why);
    if (r == 0)
        r = list(look, query, ret, why);
    if (r)
        heap_resume(look);
    return r;
}

int heap_stop(struct look *look, const struct free_query *query, struct free_chunks *ret,
              struct why *why)
{
    uint64_t wait = FIRST_WAIT_NS;
    int r = OUTCOME_TORN;

    for (unsigned i = 0; i < ATTEMPTS && (r == OUTCOME_TORN || r == -ETIMEDOUT); i++) {
        if (i) {
            clock_sleep_ns(wait);
            wait = wait * 3 / 2 < LONGEST_WAIT_NS ? wait * 3 / 2 : LONGEST_WAIT_NS;
        }
        r = attempt(look, query, ret, why);
    }
    return r;
}
