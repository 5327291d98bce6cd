#include <errno.h>

#include "base/clock.h"
#include "cure/discard.h"
#include "cure/free-batch.h"

enum { TRIES = 10 };
#define WAIT_NS NS_PER_MS

/* Runs of pages. At most every second page of each block begins one. */
struct page_runs {
    struct range items[BATCH_MOST * BLOCK_PAGES / 2];
    size_t count;
};

/* Discarding frees nothing of what a fork shares, or of a huge page a part of which stays. */
static bool frees(const struct step *step, const uint8_t *flags, size_t index)
{
    if (!page_is_resident(flags[index]) || !(flags[index] & PAGE_EXCLUSIVE))
        return false;
    for (size_t i = 0; flags[index] & PAGE_HUGE && i < BLOCK_PAGES; i++)
        if (!step->chosen.is_in[i])
            return false;
    return true;
}

/* The block's pages that are free now, and may go. */
static int choose(struct batch *batch, struct step *step)
{
    uint8_t flags[BLOCK_PAGES];
    int r = batch_flags(batch, step, flags);
    struct block_pages chosen = {{false}};

    if (r)
        return r;
    free_pages_of_block(&batch->chunks, step->address, &step->chosen);
    for (size_t i = 0; i < BLOCK_PAGES; i++) {
        remote_addr page = step->address + i * PAGE_BYTES;

        chosen.is_in[i] = step->chosen.is_in[i] && frees(step, flags, i) &&
                          !cure_obstacle_in(batch->places, (struct range){page, page + PAGE_BYTES});
    }
    step->chosen = chosen;
    return 0;
}

static void add_runs(struct page_runs *runs, const struct step *step)
{
    for (size_t i = 0; i < BLOCK_PAGES; i++) {
        remote_addr page = step->address + i * PAGE_BYTES;

        if (!step->chosen.is_in[i])
            continue;
        if (i == 0 || !step->chosen.is_in[i - 1])
            runs->items[runs->count++] = (struct range){page, page};
        runs->items[runs->count - 1].end = page + PAGE_BYTES;
    }
}

static int discard_in_stop(struct batch *batch, struct page_runs *runs)
{
    int r = batch_stop(batch);

    if (r)
        return r;
    runs->count = 0;
    for (size_t i = 0; r == 0 && i < batch->count; i++) {
        r = choose(batch, &batch->steps[i]);
        if (r == 0)
            add_runs(runs, &batch->steps[i]);
    }
    if (r == 0)
        r = discard_ranges(&batch->look->target, &batch->look->maps, runs->items, runs->count,
                           batch->why);
    batch_resume(batch);
    return r;
}

static int verify(struct batch *batch, const struct step *step, struct cure_outcome *outcome)
{
    uint8_t flags[BLOCK_PAGES];
    uint64_t went = 0;
    int r = batch_flags(batch, step, flags);

    if (r)
        return r;
    for (size_t i = 0; i < BLOCK_PAGES; i++)
        went += step->chosen.is_in[i] && !page_is_resident(flags[i]);
    outcome->returned_rss_bytes += went * PAGE_BYTES;
    if (went < step->predicted)
        cure_skip(outcome, (step->predicted - went) * PAGE_BYTES,
                  "the process used it, or memory beside it, meanwhile");
    return 0;
}

int batch_discard(struct batch *batch, struct cure_outcome *outcome)
{
    struct page_runs runs;
    int r = -EAGAIN;

    for (unsigned i = 0; i < TRIES && r == -EAGAIN; i++) {
        if (i)
            clock_sleep_ns(WAIT_NS);
        r = discard_in_stop(batch, &runs);
    }
    for (size_t i = 0; r == 0 && i < batch->count; i++)
        r = verify(batch, &batch->steps[i], outcome);
    return r;
}
