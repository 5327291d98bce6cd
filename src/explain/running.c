/*
 * Looking without a stop. What is captured is then of one moment only as far as nothing moved: what
 * was seen to move, and what threads may keep in caches that cannot be found without their
 * registers, is the bound of the error.
 */
#include <errno.h>

#include "base/clock.h"
#include "base/format.h"
#include "explain/look.h"

enum {
    ATTEMPTS = 20,
    TCACHE_LEAST = 32,
    TCACHE_STEP = 16,
    SMALL_BINS = 64,
    LARGE_BINS_FROM = 1 << 10
};
#define WAIT_NS NS_PER_MS

/*
 * What one thread's tcache can hold at most: so many chunks of each size up to a largest; above 1
 * KiB (2.42) of each power of two.
 */
static uint64_t cache_most(const struct heap_settings *settings)
{
    uint64_t bytes = 0, count = settings->tcache_count,
             most = settings->tcache_max_bytes + TCACHE_STEP;

    for (uint64_t i = 0; i < SMALL_BINS && TCACHE_LEAST + i * TCACHE_STEP <= most; i++)
        bytes += count * (TCACHE_LEAST + i * TCACHE_STEP);
    for (uint64_t size = 2 * LARGE_BINS_FROM; size / 2 < most && most > 2 * LARGE_BINS_FROM;
         size *= 2)
        bytes += count * (size < most ? size : most);
    return bytes;
}

static void bound_error(struct look *look)
{
    struct explanation *out = look->out;

    out->error_bound_known = look->captured || !look->heap;
    if (!look->heap || !look->captured)
        return;
    out->error_bound_bytes = out->threads * cache_most(&look->heap->settings) +
                             look->surveyor->unsure_bytes(look->survey);
}

static void refuse_caches(struct look *look)
{
    struct why reason;

    if (look->out->error_bound_known)
        why_set(&reason, 0,
                "the process was not stopped: chunks in its threads' caches count as live, and "
                "with what changed "
                "meanwhile figures of its heap may be off by %s",
                format_bytes(look->out->error_bound_bytes).text);
    else
        why_set(&reason, 0,
                "the process was not stopped: chunks in its threads' caches count as live, and as "
                "its heap changes all "
                "the time, figures may be off by an amount that is not known");
    look_refuse(look, &reason, "tcaches");
}

static int attempt(struct look *look, struct why *why)
{
    int r = look_at_mappings(look, why);

    if (r == 0)
        r = look_renew_pages(look, why);
    if (r == 0)
        r = look_open_heap(look, false, why);
    if (r == 0 && look->heap && !look->survey)
        r = OUTCOME_NOT_POSSIBLE;
    if (r == 0)
        r = look_capture(look, why);
    if (r == 0 && look->heap)
        r = look->surveyor->resolve(look->heap, look->survey, why);
    if (r)
        look_close_heap(look);
    return r;
}

static int capture_running(struct look *look, struct why *why)
{
    int r = look_survey(look, why);

    for (unsigned i = 0; i < ATTEMPTS && (i == 0 || r == OUTCOME_TORN); i++) {
        if (i)
            clock_sleep_ns(WAIT_NS);
        if (r && i == 0)
            break;
        r = attempt(look, why);
    }
    look->captured = r == 0;
    if (r)
        look_forget_survey(look);
    return r;
}

int look_running_simply(struct look *look, size_t refusals, struct why *why)
{
    int r;

    look_take_back(look, refusals);
    look_forget_survey(look);
    r = look_at_mappings(look, why);
    if (r == 0)
        r = look_open_heap(look, true, why);
    bound_error(look);
    if (look->heap)
        refuse_caches(look);
    return r < 0 ? r : 0;
}

int look_running(struct look *look, struct why *why)
{
    size_t refusals = look->out->refusals.count;
    int r = look_at_mappings(look, why);

    if (r || !look->target.has_memory)
        return r;
    r = capture_running(look, why);
    if (r == -ENOMEM || r == -ESRCH)
        return r;
    if (r)
        return look_running_simply(look, refusals, why);
    bound_error(look);
    if (look->heap)
        refuse_caches(look);
    return 0;
}
