#include "heap-sums.h"

#include <stdlib.h>
#include <string.h>

static const struct span_sink_ops checker_ops;

static struct checker *checker_of(struct span_sink *sink)
{
    return (struct checker *)sink;
}

static struct span_sink *checker_fork(struct span_sink *sink, const struct heap_region *region)
{
    struct checker *child = calloc(1, sizeof *child);

    fuzz_check(child);
    child->sink = *sink;
    child->region = region->range;
    return &child->sink;
}

static int checker_take(struct span_sink *sink, const struct page_window *window,
                        const struct heap_span *spans, size_t count)
{
    struct checker *self = checker_of(sink);

    fuzz_check(count > 0);
    for (size_t i = 0; i < count; i++) {
        const struct heap_span *span = &spans[i];

        fuzz_check(span->length > 0 && span->state < SPAN_STATES);
        fuzz_check(range_holds(window->range, span->start, span->length));
        fuzz_check(range_holds(self->region, span->start, span->length));
        fuzz_check(!self->next || span->start == self->next);
        fuzz_check(span->chunks <= 1 || span->state == SPAN_LIVE);
        self->first = self->next ? self->first : span->start;
        self->next = span->start + span->length;
        self->bytes += span->length;
    }
    return 0;
}

/* Children follow each other in their region. */
static int checker_join(struct span_sink *sink, struct span_sink *joined)
{
    struct checker *self = checker_of(sink), *child = checker_of(joined);
    bool same_region =
        self->region.start == child->region.start && self->region.end == child->region.end;

    fuzz_check(!same_region || !self->next || !child->next || child->first == self->next);
    self->bytes += child->bytes;
    if (same_region && child->next) {
        self->first = self->next ? self->first : child->first;
        self->next = child->next;
    }
    free(child);
    return 0;
}

static void checker_discard(struct span_sink *child)
{
    free(child);
}

static const struct span_sink_ops checker_ops = {
    .fork = checker_fork, .take = checker_take, .join = checker_join, .discard = checker_discard};

bool is_locked(const void *context, struct range range)
{
    const struct maps *maps = context;

    for (size_t i = maps_index_above(maps, range.start);
         i < maps->count && maps->items[i].range.start < range.end; i++)
        if (maps->items[i].locked)
            return true;
    return false;
}

/* All of it in writable private anonymous memory of small pages. */
static void check_place(const struct maps *maps, struct range range)
{
    fuzz_check(range.start < range.end);
    for (remote_addr at = range.start; at < range.end;) {
        const struct vma *vma = maps_find(maps, at);

        fuzz_check(vma && vma->writable && !vma->hugetlb && vma_is_anonymous(vma));
        at = vma->range.end;
    }
}

uint64_t check_regions(const struct fuzz_process *process, const struct heap *heap)
{
    remote_addr end = 0;
    uint64_t bytes = 0;

    for (size_t i = 0; i < heap->regions.count; i++) {
        const struct heap_region *region = &heap->regions.items[i];

        if (region->refused)
            continue;
        fuzz_check(region->range.start >= end);
        check_place(&process->maps, region->range);
        fuzz_check(region->kind == REGION_MMAPPED || region->arena < heap->arenas.count);
        fuzz_check(region->kind == REGION_MMAPPED || !heap->arenas.items[region->arena].refused);
        end = region->range.end;
        bytes += range_length(region->range);
    }
    return bytes;
}

/* Resident bytes of an arena's regions; of mmapped chunks where `arena` is NULL. */
static uint64_t resident_of(const struct fuzz_process *process, const struct heap *heap,
                            const size_t *arena)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < heap->regions.count; i++) {
        const struct heap_region *region = &heap->regions.items[i];
        bool mmapped = region->kind == REGION_MMAPPED;

        if (!region->refused && (arena ? !mmapped && region->arena == *arena : mmapped))
            bytes += fuzz_process_resident(process, region->range);
    }
    return bytes;
}

static uint64_t check_tally(const struct arena_tally *tally, uint64_t resident)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        sum += tally->account[i];
    fuzz_check(sum == resident && tally->resident_bytes == resident);
    fuzz_check(tally->in_bins.bytes + tally->in_top.bytes ==
               tally->account[ACCOUNT_HEAP_RETURNABLE]);
    fuzz_check(tally->live_zero_bytes <= tally->account[ACCOUNT_HEAP_LIVE]);
    sum = tally->live_bytes;
    for (size_t i = 0; i < SPAN_STATES; i++)
        sum += tally->free_bytes[i];
    return sum;
}

void check_sums(const struct fuzz_process *process, const struct heap *heap,
                const struct heap_tally *tally, const struct trim_prediction *trim,
                uint64_t claimed)
{
    uint64_t mmapped = resident_of(process, heap, NULL), resident = mmapped;
    uint64_t chunks = check_tally(&tally->mmapped, mmapped);

    for (size_t i = 0; i < tally->arena_count; i++) {
        uint64_t of_arena = resident_of(process, heap, &i);

        chunks += check_tally(&tally->arenas[i], of_arena);
        resident += of_arena;
    }
    fuzz_check(chunks <= claimed);
    fuzz_check(trim->rss_bytes <= resident && trim->charge_bytes <= trim->rss_bytes);
}

struct checker checker_begin(void)
{
    return (struct checker){.sink = {.ops = &checker_ops, .takes_runs = true}};
}
