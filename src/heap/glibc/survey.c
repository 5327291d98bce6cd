/*
 * The walk of a running process' heap: what it meets is being changed, so a part that contradicts
 * itself is taken up again further on, and nothing is believed. It notes the free chunks to be
 * asked for in a stop, and counts blocks in use.
 */
#include "heap/glibc/survey.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/vector.h"
#include "heap/glibc/reader.h"
#include "heap/glibc/walk.h"

#define PART_BYTES        (UINT64_C(64) << 20)
#define MAIN_GROWTH_BYTES (UINT64_C(1) << 30) /* cells for what brk may add until the stop */
enum { FENCES_MOST = 1 << 16, TORN_MOST = 4096, GUESS_BYTES = 64 * 4096, THREADS_MOST = 64 };

struct surveying {
    const struct heap_view *view;
    const struct glibc *glibc;
    struct heap_survey *survey;
    atomic_size_t next_part;
    atomic_ullong nodes;
    uint64_t total_bytes; /* of all parts */
    atomic_ullong walked_bytes;
};

/* Fences are all that is wanted of the spans. */
struct fence_sink {
    struct span_sink sink; /* first */
    struct fence_ranges *fences;
};

static int add_fence(struct fence_ranges *fences, struct range range)
{
    struct range *last = fences->count ? &fences->items[fences->count - 1] : NULL;

    while (last && last->end > range.start) { /* a torn walk met it, and is taken up again */
        fences->count--;
        last = fences->count ? &fences->items[fences->count - 1] : NULL;
    }
    if (fences->count == FENCES_MOST)
        return OUTCOME_TORN;
    if (!last || last->end != range.start)
        return vector_push(fences, range);
    last->end = range.end;
    return 0;
}

static int take_fences(struct span_sink *sink, const struct page_window *window,
                       const struct heap_span *spans, size_t count)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < count; i++)
        if (spans[i].state == SPAN_FENCE)
            r = add_fence(((struct fence_sink *)sink)->fences,
                          (struct range){spans[i].start, spans[i].start + spans[i].length});
    return r;
}

static const struct span_sink_ops fence_ops = {.take = take_fences};

/* Where chunks seem to begin again, from `from` on. `part->limit` when nowhere. */
static remote_addr next_chunk(const struct surveying *surveying, const struct survey_part *part,
                              remote_addr from)
{
    remote_addr chunk;

    for (from = align_down(from, PAGE_BYTES); from < part->limit; from += GUESS_BYTES)
        if (glibc_guess_chunk(surveying->view, &part->region, from, part->limit, &chunk) == 0)
            return chunk;
    return part->limit;
}

static int survey_stretch(struct surveying *surveying, struct survey_part *part, remote_addr begin,
                          remote_addr *ret_end)
{
    struct fence_sink sink = {.sink = {.ops = &fence_ops, .takes_runs = true},
                              .fences = &part->fences};
    struct part walk = {
        .region = &part->region, .begin = begin, .limit = part->limit, .nodes = &part->nodes};
    int r = glibc_walk_part(surveying->view, surveying->glibc, &walk, &sink.sink, NULL);

    census_add(&part->census, &walk.census);
    *ret_end = walk.end;
    /* What is not malloc's would count as in use: a sweep sees only what is free. */
    part->foreign |= walk.foreign;
    return r;
}

/* Nodes must ascend: what a torn walk noted beyond where it is taken up again goes. */
static void drop_nodes_from(struct free_nodes *nodes, uint32_t cell)
{
    while (nodes->count && nodes->items[nodes->count - 1].at >= cell)
        nodes->count--;
}

/* From `at` on; `arrived` stays 0 where the last stretch was torn. */
static int survey_from(struct surveying *surveying, struct survey_part *part, remote_addr at)
{
    remote_addr end;

    part->started = at;
    while (at < part->limit) {
        const struct cell_space *hint = NULL;
        int r = survey_stretch(surveying, part, at, &end);

        if (r < 0)
            return r;
        if (r == 0) {
            part->arrived = end;
            break;
        }
        if (++part->torn == TORN_MOST ||
            atomic_load(&surveying->nodes) + part->nodes.count > SURVEY_NODES_MOST)
            break;
        at = next_chunk(surveying, part, align_up((end > at ? end : at) + 1, PAGE_BYTES));
        if (at < part->limit)
            drop_nodes_from(&part->nodes, cell_of(&surveying->survey->cells, at, &hint));
    }
    if (atomic_fetch_add(&surveying->nodes, part->nodes.count) + part->nodes.count >
        SURVEY_NODES_MOST)
        return OUTCOME_NOT_POSSIBLE;
    return 0;
}

static int survey_part(struct surveying *surveying, struct survey_part *part)
{
    bool first = part->begin == part->region.range.start;

    return survey_from(surveying, part,
                       first ? part->begin : next_chunk(surveying, part, part->begin));
}

/*
 * Where the walk of the part before arrives, this one's should have begun. In a large free chunk
 * lie the headers of chunks that were, and a walk that began with one of them is none.
 */
static int confirm_parts(struct surveying *surveying)
{
    struct heap_survey *survey = surveying->survey;
    int r = 0;

    for (size_t i = 1; r == 0 && i < survey->part_count; i++) {
        const struct survey_part *before = &survey->parts[i - 1];
        struct survey_part *part = &survey->parts[i];

        if (part->begin == part->region.range.start || !before->arrived || part->result ||
            before->arrived == part->started)
            continue;
        atomic_fetch_sub(&surveying->nodes, part->nodes.count);
        part->nodes.count = part->fences.count = 0;
        part->census = (struct heap_census){0};
        part->arrived = part->torn = 0;
        if (before->arrived >= part->limit) /* all of it is inside one chunk */
            part->started = part->arrived = before->arrived;
        else
            r = survey_from(surveying, part, before->arrived);
    }
    return r;
}

static void *work(void *context)
{
    struct surveying *surveying = context;
    size_t i;

    while ((i = atomic_fetch_add(&surveying->next_part, 1)) < surveying->survey->part_count) {
        struct survey_part *part = &surveying->survey->parts[i];
        uint64_t bytes = part->limit - part->begin;

        part->result = atomic_load(&surveying->nodes) > SURVEY_NODES_MOST
                           ? OUTCOME_NOT_POSSIBLE
                           : survey_part(surveying, part);
        progress_tell(surveying->view->progress, "walking the heap",
                      atomic_fetch_add(&surveying->walked_bytes, bytes) + bytes,
                      surveying->total_bytes);
    }
    return NULL;
}

static void run(struct surveying *surveying, unsigned threads)
{
    pthread_t helpers[THREADS_MOST];
    unsigned started = 0;

    while (started + 1 < threads && started < THREADS_MOST &&
           pthread_create(&helpers[started], NULL, work, surveying) == 0)
        started++;
    work(surveying);
    while (started)
        pthread_join(helpers[--started], NULL);
}

/* The place of an arena's list ends: they are 16 bytes apart, each seen as a chunk. */
static struct range heads_of(const struct glibc *glibc, remote_addr arena)
{
    remote_addr first = bin_header(glibc->state, arena, 1);

    return (struct range){first, first + BIN_COUNT * (uint64_t)CHUNK_ALIGNMENT};
}

/* Where chunks may lie until the stop: of a thread's heap in all that is set aside. */
static struct range chunk_space(const struct glibc *glibc, const struct heap_region *region)
{
    remote_addr arena = glibc->heap.arenas.items[region->arena].address;
    struct range space = region->range;

    if (range_has(region->range, arena))
        space.start = align_up(arena + glibc->state->size, CHUNK_ALIGNMENT);
    space.end = region->kind == REGION_THREAD_HEAP
                    ? align_down(region->range.start, glibc->heap_reserve) + glibc->heap_reserve
                    : space.end + MAIN_GROWTH_BYTES;
    return space;
}

static bool overlaps(const struct cells *cells, struct range range)
{
    for (size_t i = 0; i < cells->count; i++)
        if (ranges_overlap(cells->items[i].range, range))
            return true;
    return false;
}

/* Room to grow ends where anything else begins: libc's data may lie right behind a piece that was
 * mmapped. */
static struct range clipped(const struct cells *cells, struct range space, remote_addr least)
{
    for (size_t i = 0; i < cells->count; i++)
        if (cells->items[i].range.start >= least && cells->items[i].range.start < space.end)
            space.end = cells->items[i].range.start;
    return space;
}

int survey_add_cells(struct heap_survey *survey, const struct glibc *glibc)
{
    const struct heap_regions *regions = &glibc->heap.regions;
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < glibc->heap.arenas.count; i++) {
        struct range heads = heads_of(glibc, glibc->heap.arenas.items[i].address);

        if (!overlaps(&survey->cells, heads))
            r = cells_add(&survey->cells, heads, i);
    }
    for (size_t i = 0; r == 0 && i < regions->count; i++) {
        struct range space;

        if (regions->items[i].kind == REGION_MMAPPED)
            continue;
        space = chunk_space(glibc, &regions->items[i]);
        if (i + 1 < regions->count && space.end > regions->items[i + 1].range.start)
            space.end = regions->items[i + 1].range.start;
        space = clipped(&survey->cells, space, regions->items[i].range.end);
        if (!overlaps(&survey->cells, space))
            r = cells_add(&survey->cells, space, regions->items[i].arena);
    }
    return r;
}

static int add_parts(struct heap_survey *survey, const struct heap_region *region, size_t *capacity)
{
    remote_addr begin = region->range.start;
    int r = 0;

    while (r == 0 && begin < region->range.end) {
        struct survey_part part = {.region = *region, .begin = begin};
        const struct cell_space *space;
        remote_addr first;

        part.limit = align_up(begin + 1, PART_BYTES);
        if (part.limit > region->range.end)
            part.limit = region->range.end;
        part.nodes.cells = &survey->cells;
        space = cells_space(&survey->cells, part.limit - 1);
        if (!space)
            return OUTCOME_TORN;
        first = begin > space->range.start ? begin : space->range.start;
        part.first_cell = space->first + (uint32_t)((first - space->range.start) / 16);
        part.end_cell = space->first + (uint32_t)((part.limit - space->range.start) / 16);
        r = vector_reserve_one((void **)&survey->parts, survey->part_count, capacity,
                               sizeof *survey->parts);
        if (r == 0)
            survey->parts[survey->part_count++] = part;
        begin = part.limit;
    }
    return r;
}

static int plan(struct heap_survey *survey, const struct glibc *glibc)
{
    size_t capacity = 0;
    int r = survey_add_cells(survey, glibc);

    for (size_t i = 0; r == 0 && i < glibc->heap.regions.count; i++)
        if (glibc->heap.regions.items[i].kind != REGION_MMAPPED)
            r = add_parts(survey, &glibc->heap.regions.items[i], &capacity);
    return r;
}

void glibc_survey_free(struct heap_survey *survey)
{
    for (size_t i = 0; i < survey->part_count; i++) {
        free(survey->parts[i].nodes.items);
        free(survey->parts[i].fences.items);
    }
    free(survey->parts);
    free(survey->heads);
    free(survey->changed.items);
    free(survey->struck.items);
    free(survey->ends.items);
    free(survey->pending.items);
    extra_nodes_clear(&survey->extras);
    cells_free(&survey->cells);
    free(survey);
}

static int collect(struct heap_survey *survey)
{
    for (size_t i = 0; i < survey->part_count; i++) {
        struct free_nodes *nodes = &survey->parts[i].nodes;

        if (survey->parts[i].result)
            return survey->parts[i].result;
        if (survey->parts[i].foreign)
            return OUTCOME_NOT_POSSIBLE;
        survey->node_count += nodes->count;
        if (nodes->count) { /* what a growing array has to spare is worth giving back */
            struct free_node *items = realloc(nodes->items, nodes->count * sizeof *items);

            nodes->items = items ? items : nodes->items;
            nodes->capacity = nodes->count;
        }
    }
    return 0;
}

int glibc_survey(const struct heap_view *view, const struct heap *heap, unsigned threads,
                 struct heap_survey **ret, struct why *why)
{
    struct heap_survey *survey = calloc(1, sizeof *survey);
    struct surveying surveying = {.view = view, .glibc = glibc_of_const(heap), .survey = survey};
    int r;

    if (!survey)
        return -ENOMEM;
    r = plan(survey, surveying.glibc);
    if (r == 0)
        r = glibc_prepare_tcaches(view, surveying.glibc);
    for (size_t i = 0; r == 0 && i < survey->part_count; i++)
        surveying.total_bytes += survey->parts[i].limit - survey->parts[i].begin;
    if (r == 0) {
        run(&surveying, threads);
        r = confirm_parts(&surveying);
    }
    if (r == 0)
        r = collect(survey);
    if (r == 0)
        r = survey_read_heads(view, surveying.glibc, survey, why);
    if (r == 0)
        r = survey_note_beyond(survey);
    if (r == 0)
        survey_select(survey);
    if (r == OUTCOME_NOT_POSSIBLE)
        r = why_set(
            why, r,
            "its lists hold more free chunks than are kept to shorten the stop, or memory of "
            "other callers of sbrk lies in between");
    if (r)
        glibc_survey_free(survey);
    else
        *ret = survey;
    return r;
}
