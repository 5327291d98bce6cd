/*
 * Looking at a process that runs on: its heap is walked and its pages are looked up while it runs,
 * and a stop takes again only what must be of one moment: which pages there are, the allocator's
 * tables, and the free chunks on its lists. What is in use is what lies between these. Accounts are
 * made when it runs again.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "explain/look.h"
#include "mem/zeros.h"

/* Content of huge pages that is read at most, while the process runs. */
#define CONTENT_LIMIT_BYTES (UINT64_C(64) << 30)

/* Most stops end at once, in half a millisecond, because some thread is inside malloc. */
enum { ATTEMPTS = 100, CAPTURES_MOST = 10 };
#define FIRST_WAIT_NS   (NS_PER_MS / 5)
#define LONGEST_WAIT_NS (5 * NS_PER_MS)

void look_forget_survey(struct look *look)
{
    look_close_heap(look);
    if (look->heap_before)
        look->heap_before->allocator->close(look->heap_before);
    look->heap_before = NULL;
    if (look->survey)
        look->surveyor->survey_free(look->survey);
    look->survey = NULL;
    look->surveyed = look->captured = false;
    page_image_free(&look->pages_before);
    page_image_free(&look->pages_now);
}

/* The heap as far as it can be read of a running process, walked. */
static int survey_heap(struct look *look, struct why *why)
{
    struct heap_view view;
    int r;

    look->lists_later = true;
    r = look_open_heap(look, false, why);
    look->lists_later = false;
    if (r || !look->heap)
        return r;
    look->surveyor = look->heap->allocator;
    if (!look->surveyor->survey)
        return OUTCOME_NOT_POSSIBLE;
    view = look_heap_view(look);
    r = look_heap_settled(
        look, why); /* not asked for the answer: what it needs of images is at hand then */
    if (r >= 0)
        r = look->surveyor->survey(&view, look->heap, look_threads(look), &look->survey, why);
    look->heap_before = look->heap;
    look->heap = NULL;
    return r;
}

int look_quiet_as_surveyed(struct look *look, struct why *why)
{
    struct heap_view view = look_heap_view(look);

    if (!look->heap_before)
        return 0;
    view.memory = &look->target.memory.memory; /* which pages there are now is not known yet */
    return look->surveyor->settled(&view, look->heap_before, why);
}

int look_survey(struct look *look, struct why *why)
{
    int r = look_at_mappings(look, why);

    look->surveyed = true;
    look->captures = 0;
    progress_tell(&look->options.progress, "reading page states", 0, 0);
    if (r == 0)
        r = cache_room_make(&look->memo.room);
    if (r == 0)
        r = page_image_take(&look->target.pages, &look->maps, &look->pages_before, why);
    frozen_memory_init(&look->frozen, &look->pages_before, &look->target.memory.memory);
    if (r == 0)
        r = find_zero_pages_of_image(&look->pages_before, &look->target.memory.memory,
                                     look->options.scan_small, CONTENT_LIMIT_BYTES, why);
    return r ? r : survey_heap(look, why);
}

int look_renew_pages(struct look *look, struct why *why)
{
    int r;

    page_image_free(&look->pages_now);
    r = page_image_renew(&look->target.pages, &look->maps, &look->pages_before, &look->pages_now,
                         why);
    frozen_memory_init(&look->frozen, &look->pages_now, &look->target.memory.memory);
    return r;
}

int look_capture(struct look *look, struct why *why)
{
    int r = 0;

    if (look->heap && look->survey) {
        struct heap_view view = look_heap_view(look);

        look->captures++;
        r = look->surveyor->capture(&view, look->heap, look->survey, why);
    }
    return r ? r : rss_read(look->procfs, look->pid, look->rss_source, &look->captured_rss, why);
}

/* One stop and what came of it. OUTCOME_TORN: another one may do. */
static int attempt(struct look *look, struct why *why)
{
    int r = look_attempt(look, false, why);

    target_resume(&look->target);
    if (r == 0 && look->heap && !look->survey)
        r = OUTCOME_NOT_POSSIBLE; /* it has come into being since */
    if (r == 0 && look->heap)
        r = look->surveyor->resolve(look->heap, look->survey, why);
    if (r)
        look_close_heap(look);
    return r;
}

static int capture_well(struct look *look, struct why *why)
{
    uint64_t wait = FIRST_WAIT_NS;
    int r = OUTCOME_TORN;

    for (unsigned i = 0; i < ATTEMPTS && look->captures < CAPTURES_MOST && r == OUTCOME_TORN; i++) {
        if (i) {
            clock_sleep_ns(wait);
            wait = wait * 3 / 2 < LONGEST_WAIT_NS ? wait * 3 / 2 : LONGEST_WAIT_NS;
        }
        r = attempt(look, why);
    }
    return r;
}

int look_while_moving(struct look *look, struct why *why)
{
    size_t refusals = look->out->refusals.count;
    int r;

    if (!look_is_large(look, look->options.first_way == EXPLAIN_MOVING ? 0 : SURVEY_LEAST_BYTES))
        return OUTCOME_NOT_POSSIBLE;
    r = look_survey(look, why);
    if (r == 0)
        r = capture_well(look, why);
    look->captured = r == 0;
    if (r == 0)
        r = look_account(look, why);
    if (r) {
        look_take_back(look, refusals);
        look_forget_survey(look);
    }
    return r;
}
