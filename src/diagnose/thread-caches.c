/* Freed chunks that wait in the threads' caches (tcache): for one thread only, until it asks again
 * or ends. */
#include <inttypes.h>
#include <stdio.h>

#include "base/format.h"
#include "diagnose/rules.h"

/* Until 2.43 (16 then). */
enum { DEFAULT_COUNT = 7 };

static uint64_t cached_bytes(const struct case_file *facts)
{
    return tally_sum(facts->tally).free_resident[SPAN_TCACHE] +
           facts->tally->mmapped.free_resident[SPAN_TCACHE];
}

static bool applies(const struct case_file *facts, struct finding *ret)
{
    uint64_t largest = 0, count;
    size_t threads = 0;
    char depth[60] = "";

    if (!facts->tally || !facts->caches)
        return false;
    ret->bytes = cached_bytes(facts);
    if (!is_worth_telling(facts, ret->bytes))
        return false;
    for (size_t i = 0; i < facts->caches->count; i++) {
        threads += facts->caches->items[i].chunks != 0;
        if (facts->caches->items[i].bytes > largest)
            largest = facts->caches->items[i].bytes;
    }
    count = facts->settings->tcache_count;
    if (count > DEFAULT_COUNT)
        snprintf(depth, sizeof depth, ", of each size up to %" PRIu64 " chunks", count);
    snprintf(ret->because, sizeof ret->because,
             "%s was freed and waits in the caches of %zu thread%s (%s in the largest%s): only the "
             "same thread can use it again, and only that thread's end gives it back to the heap",
             format_bytes(ret->bytes).text, threads, threads == 1 ? "" : "s",
             format_bytes(largest).text, depth);
    predict_both(ret, (struct returnable){0}, (struct returnable){0});
    return true;
}

const struct rule rule_thread_caches = {.id = "glibc-thread-caches", .applies = applies};
