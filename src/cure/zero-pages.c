#include "cure/zero-pages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/format.h"
#include "base/vector.h"
#include "mem/zeros.h"

enum { HUGE_PAGES = HUGE_BYTES / PAGE_BYTES, BATCH_PAGES = 64 };

struct survey {
    struct target *target;
    const struct cure_limits *limits;
    const char *obstacle; /* of the place that is looked at */
    struct zero_pages *found;
    struct cure_outcome *outcome;
    uint8_t flags[HUGE_PAGES];
    uint8_t *buffer; /* BATCH_PAGES pages */
    uint64_t looked, total;
    struct why *why;
};

static bool is_whole(const uint8_t *flags)
{
    for (size_t i = 0; i < HUGE_PAGES; i++)
        if (!(flags[i] & PAGE_HUGE) || !page_is_resident(flags[i]) || flags[i] & PAGE_FILE)
            return false;
    return true;
}

static int count_zeros(struct survey *survey, struct huge_page *page)
{
    for (size_t i = 0; i < HUGE_PAGES; i += BATCH_PAGES) {
        int r = memory_read_pages(&survey->target->memory.memory, page->address + i * PAGE_BYTES,
                                  BATCH_PAGES, survey->flags + i, survey->buffer, survey->why);

        if (r)
            return r;
        for (size_t k = 0; k < BATCH_PAGES; k++) {
            bool zero = !(survey->flags[i + k] & PAGE_UNREADABLE) &&
                        page_is_all_zero(survey->buffer + k * PAGE_BYTES);

            page->pages += zero;
            if (i + k == 0)
                page->first_is_zero = zero;
        }
    }
    return 0;
}

static void too_few(const struct survey *survey, uint64_t bytes)
{
    struct why reason;

    why_set(&reason, 0,
            "less than %u %% of its huge page is zeros, which is not worth the huge page",
            survey->limits->split_percent);
    cure_skip(survey->outcome, bytes, reason.text);
}

static int decide(struct survey *survey, struct huge_page page)
{
    struct cure_outcome *outcome = survey->outcome;
    uint64_t bytes = page.pages * PAGE_BYTES;

    if (page.pages == 0)
        return 0;
    if (survey->obstacle)
        return cure_skip(outcome, bytes, survey->obstacle), 0;
    if (!(survey->flags[0] & PAGE_EXCLUSIVE))
        return cure_skip(outcome, bytes, "a fork shares it: the kernel does not split it"), 0;
    if (page.pages * 100u < HUGE_PAGES * survey->limits->split_percent)
        return too_few(survey, bytes), 0;
    outcome->predicted_rss_bytes += bytes;
    outcome->predicted_charge_bytes += bytes;
    return vector_push(survey->found, page);
}

static int look_at_huge(struct survey *survey, remote_addr address)
{
    struct huge_page page = {.address = address};
    int r = memory_page_flags(&survey->target->memory.memory, address, HUGE_PAGES, survey->flags,
                              survey->why);

    if (r == 0 && !is_whole(survey->flags)) /* it has changed since it was listed */
        return 0;
    if (r == 0)
        r = count_zeros(survey, &page);
    progress_tell(&survey->limits->progress, "looking for zeros in huge pages",
                  survey->looked += HUGE_BYTES, 0);
    return r ? r : decide(survey, page);
}

static int survey_run(struct survey *survey, const struct page_run *run)
{
    remote_addr at = align_up(run->range.start, HUGE_BYTES);
    int r = 0;

    if (!(run->flags & PAGE_HUGE) || !page_is_resident(run->flags) || run->flags & PAGE_FILE)
        return 0;
    for (; r == 0 && at + HUGE_BYTES <= run->range.end && !cure_is_interrupted(survey->limits);
         at += HUGE_BYTES)
        r = look_at_huge(survey, at);
    return r;
}

static int survey_place(struct survey *survey, const struct cure_place *place)
{
    auto_free struct page_cursor *cursor = malloc(sizeof *cursor);
    struct page_run run;
    int r;

    if (!cursor)
        return -ENOMEM;
    survey->obstacle = place->obstacle;
    pages_begin(cursor, &survey->target->pages, place->range, PAGES_PLAIN);
    while ((r = pages_next(cursor, &run, survey->why)) > 0) {
        r = survey_run(survey, &run);
        if (r)
            return r;
    }
    return r;
}

int zero_pages_predict(struct target *target, const struct cure_places *places,
                       const struct cure_limits *limits, struct zero_pages *ret,
                       struct cure_outcome *outcome, struct why *why)
{
    auto_free uint8_t *buffer = malloc(BATCH_PAGES * PAGE_BYTES);
    struct survey survey = {.target = target,
                            .limits = limits,
                            .found = ret,
                            .outcome = outcome,
                            .buffer = buffer,
                            .why = why};
    int r = buffer ? 0 : -ENOMEM;

    outcome->name = "zero-pages";
    *ret = (struct zero_pages){0};
    if (r == 0)
        outcome->error = split_check(target, &outcome->reason);
    if (r == 0 && outcome->error == 0 && !target->has_memory) {
        outcome->error = -EACCES;
        outcome->reason = target->memory_reason;
    }
    for (size_t i = 0; r == 0 && outcome->error == 0 && i < places->count; i++)
        r = survey_place(&survey, &places->items[i]);
    return r;
}

/* What is to be seen of a page when the kernel has been asked to split it. */
static void verify(const struct huge_page *page, const uint8_t *flags, struct cure_outcome *outcome)
{
    uint64_t resident = 0, wanted = page->pages, went;

    for (size_t i = 0; i < HUGE_PAGES; i++)
        resident += page_is_resident(flags[i]);
    went = HUGE_PAGES - resident;
    if (is_whole(flags)) {
        cure_skip(outcome, wanted * PAGE_BYTES,
                  "the kernel did not split it: it is pinned, or in use by the kernel just now");
        return;
    }
    outcome->huge_pages_split++;
    outcome->returned_rss_bytes += (went < wanted ? went : wanted) * PAGE_BYTES;
    if (went < wanted)
        cure_skip(outcome, (wanted - went) * PAGE_BYTES,
                  "it was written to, or filled in again, meanwhile");
}

static int verify_all(struct target *target, const struct huge_page *pages, size_t count,
                      struct cure_outcome *outcome, struct why *why)
{
    uint8_t flags[HUGE_PAGES];
    int r = 0;

    for (size_t i = 0; r == 0 && i < count; i++) {
        r = pages_flags(&target->pages, pages[i].address, HUGE_PAGES, flags, why);
        if (r == 0)
            verify(&pages[i], flags, outcome);
    }
    return r;
}

/* Huge pages are not lost for nothing on a kernel that could not be tried out. */
static bool keeps_zeros(const struct cure_outcome *outcome)
{
    return outcome->huge_pages_split && outcome->returned_rss_bytes == 0;
}

int zero_pages_apply(struct target *target, const struct zero_pages *pages,
                     const struct cure_limits *limits, struct cure_outcome *outcome,
                     struct why *why)
{
    int r = 0;

    outcome->applied = true;
    for (size_t i = 0; r == 0 && i < pages->count && !outcome->interrupted;) {
        size_t count = pages->count - i < SPLIT_BATCH ? pages->count - i : SPLIT_BATCH;

        r = split_pages(target, pages->items + i, count, why);
        if (r == 0)
            r = verify_all(target, pages->items + i, count, outcome, why);
        if (r == 0 && i == 0 && keeps_zeros(outcome))
            return why_set(why, OUTCOME_NOT_POSSIBLE,
                           "this kernel split a huge page and kept its zeros: Linux 6.12 drops "
                           "them; nothing more was split");
        i += count;
        progress_tell(&limits->progress, "splitting huge pages", i * HUGE_BYTES,
                      pages->count * HUGE_BYTES);
        outcome->interrupted = i < pages->count && cure_is_interrupted(limits);
    }
    return r;
}
