#include "cure/free-batch.h"

#include <stdlib.h>

#include "base/clock.h"
#include "cure/points.h"

enum { BATCH_FIRST = 2, PERCENT_AIMED_AT = 70 };

int batch_flags(struct batch *batch, const struct step *step, uint8_t *ret)
{
    return memory_page_flags(&batch->look->target.memory.memory, step->address, BLOCK_PAGES, ret,
                             batch->why);
}

int batch_stop(struct batch *batch)
{
    struct range within[BATCH_MOST];
    struct free_query query = {.within = within,
                               .within_count = batch->count,
                               .next = batch->next,
                               .next_count = batch->next_count,
                               .hints = batch->hints,
                               .known = batch->known};
    int r = 0;

    for (size_t i = 0; i < batch->count; i++)
        within[i] = (struct range){batch->steps[i].address, batch->steps[i].address + HUGE_BYTES};
    if (batch->known) { /* what is near them tells where to look in the stop, and nothing else */
        batch->hints->met.count = 0;
        r = heap_stop_prepare(batch->look, &query, batch->why);
    }
    if (r == 0)
        r = heap_stop(batch->look, &query, &batch->chunks, batch->why);
    if (r)
        return r;
    cure_point();
    batch->fixed_ns = batch->known ? 0 : clock_now_ns() - batch->look->target.stopped_at_ns;
    return 0;
}

void batch_resume(struct batch *batch)
{
    cure_point();
    heap_resume(batch->look);
    free(batch->chunks.items);
    batch->chunks = (struct free_chunks){0};
}

/*
 * As many blocks a stop as its length allows, judged by the last one: what a block took then,
 * beside what any stop takes. Where that alone is too much, as many as there may be, so that there
 * are fewer.
 */
static size_t next_size(size_t now, uint64_t pause_ns, uint64_t fixed_ns,
                        const struct cure_limits *limits)
{
    uint64_t aim = limits->pause_ns / 100 * PERCENT_AIMED_AT, each, size;

    if (fixed_ns >= limits->pause_ns)
        return BATCH_MOST;
    if (fixed_ns >= aim)
        return 1;
    each = pause_ns > fixed_ns ? (pause_ns - fixed_ns) / now + 1 : 1;
    size = (aim - fixed_ns) / each;
    return size < 1 ? 1 : size > BATCH_MOST ? BATCH_MOST : size;
}

static struct range range_of(const struct free_block *block)
{
    return (struct range){block->address, block->address + HUGE_BYTES};
}

/* The first `size` of `left` blocks, and those behind them. */
static void fill(struct batch *batch, const struct free_block *blocks, size_t left, size_t size)
{
    batch->count = left < size ? left : size;
    for (size_t i = 0; i < batch->count; i++)
        batch->steps[i] = (struct step){.address = blocks[i].address, .predicted = blocks[i].pages};
    batch->next_count = 0;
    for (size_t i = batch->count; i < left && batch->next_count < BATCH_MOST; i++)
        batch->next[batch->next_count++] = range_of(&blocks[i]);
}

int batch_run(struct batch *batch, const struct free_blocks *blocks,
              const struct cure_limits *limits,
              int (*run)(struct batch *batch, struct cure_outcome *outcome),
              struct cure_outcome *outcome)
{
    size_t size = BATCH_FIRST, total = blocks->count;
    int r = 0;

    for (size_t i = 0; r == 0 && i < total && !outcome->interrupted; i += batch->count) {
        uint64_t before = batch->look->target.pauses.total_ns;

        fill(batch, blocks->items + i, total - i, size);
        r = run(batch, outcome);
        size =
            next_size(size, batch->look->target.pauses.total_ns - before, batch->fixed_ns, limits);
        progress_tell(&limits->progress, "giving free memory back", (i + batch->count) * HUGE_BYTES,
                      total * HUGE_BYTES);
        outcome->interrupted = i + batch->count < total && cure_is_interrupted(limits);
    }
    return r;
}
