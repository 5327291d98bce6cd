#include "cure/heap-stop.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "target/stillness.h"

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
static int note_places(struct look *look, const struct free_query *query)
{
    struct heap_view view = look_heap_view(look);
    struct free_chunks chunks;
    int r;

    if (!look->heap->allocator->free_chunks)
        return 0;
    r = look->heap->allocator->free_chunks(&view, look->heap, query, &chunks, NULL);
    if (r == 0)
        free(chunks.items);
    return r < 0 ? r : 0;
}

int heap_stop_prepare(struct look *look, const struct free_query *query, struct why *why)
{
    int r = look_at_mappings(look, why);

    if (r == 0)
        r = open_heap(look, why);
    if (r == 0) { /* asked and thrown away: what the answer needs is then at hand */
        r = look_heap_settled(look, why);
        r = r < 0 ? r : note_places(look, query);
    }
    look_close_heap(look);
    return r == OUTCOME_TORN ? 0 : r;
}

void heap_resume(struct look *look)
{
    target_resume(&look->target);
    look_close_heap(look);
}

static int follow(struct look *look, const struct free_query *query, struct free_chunks *ret,
                  struct why *why)
{
    struct heap_view view = look_heap_view(look);

    if (!look->heap->allocator->free_chunks)
        return why_set(why, OUTCOME_NOT_POSSIBLE, "the lists of this allocator cannot be followed");
    return look->heap->allocator->free_chunks(&view, look->heap, query, ret, why);
}

static int list(struct look *look, const struct free_query *query, struct free_chunks *ret,
                struct why *why)
{
    int r = look_heap_settled(look, why);

    if (r == 0)
        r = read_hints_load(query->hints, &look->target.memory.memory);
    return r ? r : follow(look, query, ret, why);
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

static int list_asleep(struct look *look, const struct free_query *query, struct free_chunks *ret,
                       struct why *why)
{
    int r = look_at_mappings(look, why);

    if (r == 0)
        r = open_heap(look, why);
    return r ? r : follow(look, query, ret, why);
}

/* Stops it, and holds it against what was noted before. */
static int prove_sleep(struct look *look, const struct stillness *stillness, struct why *why)
{
    int r;

    if (!stillness_lasts(stillness, look->procfs, look->pid))
        return why_set(why, OUTCOME_TORN, "it ran while it was looked at");
    r = target_stop(&look->target, why);
    if (r == 0 && !stillness_held(stillness, &look->target))
        r = why_set(why, OUTCOME_TORN, "it ran while it was looked at");
    if (r == 0)
        r = look_take_registers(look);
    return r ? r : look_heap_settled(look, why);
}

int heap_stop_still(struct look *look, const struct free_query *query, struct free_chunks *ret,
                    struct why *why)
{
    struct stillness stillness;
    int r = stillness_begin(look->procfs, look->pid, &stillness, why);

    if (r)
        return r < 0 ? r : OUTCOME_TORN;
    look->read_still = true;
    r = list_asleep(look, query, ret, why);
    look->read_still = false;
    if (r == 0) {
        r = prove_sleep(look, &stillness, why);
        if (r)
            free(ret->items);
    }
    stillness_free(&stillness);
    if (r)
        heap_resume(look);
    return r == -ETIMEDOUT ? OUTCOME_TORN : r;
}
