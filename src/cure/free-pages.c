#include "cure/free-pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cure/discard.h"
#include "cure/free-batch.h"
#include "cure/split.h"

static const char *no_new_huge_pages(const struct look *look)
{
    if (look->target.status.thp_enabled == 0)
        return "the process has no huge pages (PR_SET_THP_DISABLE), by which the kernel takes them";
    if (!can_make_huge_pages(look->procfs))
        return "this kernel makes no huge pages when asked (MADV_COLLAPSE), by which it takes them";
    return NULL;
}

/* Why the kernel cannot be asked to take whole blocks at all; NULL: it can. */
static const char *no_blocks(const struct look *look, struct why *why)
{
    return split_check(&look->target, why) ? why->text : NULL;
}

/* Page states are asked for when the process runs again. */
static int plan(struct look *look, const struct cure_places *places,
                const struct cure_limits *limits, struct free_pages *ret,
                struct cure_outcome *outcome, struct why *why)
{
    struct why blocks = {{0}};
    struct free_plan_view view = {.chunks = &ret->chunks,
                                  .places = places,
                                  .memory = &look->target.memory.memory,
                                  .no_blocks = no_blocks(look, &blocks),
                                  .no_new_huge_pages = no_new_huge_pages(look),
                                  .no_discard =
                                      ret->no_discard.text[0] ? ret->no_discard.text : NULL,
                                  .split_percent = limits->split_percent};

    return free_pages_plan(&view, &ret->plan, outcome, why);
}

/* What is no error of residue's, but that it cannot be done, is the outcome's. */
static int keep(struct cure_outcome *outcome, int error)
{
    if (error == -ESRCH || error == -ENOMEM)
        return error;
    outcome->error = error;
    return 0;
}

/* In the stop: whether the process can be made to discard pages itself. */
static int try_discard(struct look *look, const struct cure_limits *limits,
                       struct free_pages *pages)
{
    int r;

    if (limits->no_inject) {
        why_set(&pages->no_discard, 0, "nothing is to be run in the process (--no-inject)");
        return 0;
    }
    r = discard_check(&look->target, &look->maps, &pages->no_discard);
    if (r == 0)
        pages->no_discard.text[0] = '\0'; /* of threads that would not do, though another does */
    return r == -ESRCH || r == -ENOMEM ? r : 0;
}

#define PLACE_NS UINT64_C(1000) /* to read one of the places that the lists lead to, in a stop */

/* Without a long stop where it sleeps; then how long one would be is estimated. */
static int list_and_stop(struct look *look, struct free_pages *pages, struct why *why)
{
    struct free_query query = {.hints = &pages->hints};
    int r = heap_stop_prepare(look, &query, why);

    if (r == 0)
        r = heap_stop_still(look, &query, &pages->chunks, why);
    if (r == 0)
        pages->proof_ns = NS_PER_MS + pages->hints.met.count * PLACE_NS;
    if (r != OUTCOME_TORN)
        return r;
    r = heap_stop(look, &query, &pages->chunks, why);
    if (r == 0)
        pages->proof_ns = clock_now_ns() - look->target.stopped_at_ns;
    return r;
}

static int list_once(struct look *look, const struct cure_limits *limits, struct free_pages *pages,
                     struct why *why)
{
    int r;

    look->target.guarded = !limits->no_inject;
    r = list_and_stop(look, pages, why);
    if (r == 0) {
        r = try_discard(look, limits, pages);
        heap_resume(look);
    }
    look->target.guarded = false;
    return r;
}

void free_pages_forget(struct free_pages *pages)
{
    free(pages->chunks.items);
    free(pages->plan.blocks.items);
    free(pages->plan.singles.items);
    read_hints_free(&pages->hints);
    *pages = (struct free_pages){0};
}

int free_pages_predict(struct look *look, const struct cure_places *places,
                       const struct cure_limits *limits, struct free_pages *ret,
                       struct cure_outcome *outcome, struct why *why)
{
    int r = 0;

    outcome->name = "free-pages";
    *ret = (struct free_pages){.places = places};
    if (!look->target.has_memory) {
        outcome->reason = look->target.memory_reason;
        r = -EACCES;
    }
    progress_tell(&limits->progress, "listing free memory", 0, 0);
    if (r == 0)
        r = list_once(look, limits, ret, &outcome->reason);
    if (r) {
        if (why)
            *why = outcome->reason;
        return keep(outcome, r);
    }
    return plan(look, places, limits, ret, outcome, why);
}

static int by_address(const void *a, const void *b)
{
    const struct free_block *x = a, *y = b;

    return x->address < y->address ? -1 : x->address > y->address;
}

static void sort(struct free_blocks *blocks)
{
    if (blocks->count)
        qsort(blocks->items, blocks->count, sizeof *blocks->items, by_address);
}

int free_pages_apply(struct look *look, struct free_pages *pages, const struct cure_limits *limits,
                     struct cure_outcome *outcome, struct why *why)
{
    struct batch batch = {
        .look = look, .places = pages->places, .hints = &pages->hints, .why = why};
    int r;

    outcome->applied = true;
    /* Where following the lists takes longer than a stop may last, what was free then is confirmed.
     */
    if (pages->proof_ns >= limits->pause_ns)
        batch.known = &pages->chunks;
    if (!pages->no_discard.text[0])
        batch.refused = &pages->plan.singles;
    r = batch_run(&batch, &pages->plan.blocks, limits, batch_zero, outcome);
    sort(&pages->plan.singles);
    look->target.guarded = true;
    if (r == 0 && !outcome->interrupted)
        r = batch_run(&batch, &pages->plan.singles, limits, batch_discard, outcome);
    look->target.guarded = false;
    return r;
}
