/*
 * From what was captured to spans: what is free in address order, and between it what is in use.
 * The process runs again meanwhile; nothing is read of it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/vector.h"
#include "heap/glibc/reader.h"
#include "heap/glibc/survey.h"
#include "heap/glibc/walk.h"

/* Something that is not in use. */
struct piece {
    remote_addr start;
    uint64_t bytes;
    enum span_state state;
};

/* The fastbin sets in ascending order. */
struct fastbin_cursor {
    const struct glibc *glibc;
    remote_addr at; /* everything below was told */
    remote_addr end;
};

struct sweep {
    const struct glibc *glibc;
    const struct heap_survey *survey;
    const struct heap_region *region;
    struct region_reader *reader;
    const struct extra_node **extras; /* those that are free, ascending by address */
    size_t extra_count, extra;
    size_t part, node, mark;
    size_t fence_part, fence;
    struct fastbin_cursor fastbins;
    struct piece next_fast; /* start UINT64_MAX: no more */
    remote_addr at;         /* told up to here */
    uint64_t blocks;        /* in use, as counted by the survey; told with the first run */
    struct why *why;
};

static struct piece no_piece(void)
{
    return (struct piece){.start = UINT64_MAX};
}

/* The next 64 units of a leaf with something in them; the word, or 0. */
static uint64_t word_at(const uint8_t *bits, size_t word)
{
    uint64_t value = 0;

    if (bits)
        memcpy(&value, bits + word * sizeof value, sizeof value);
    return value;
}

/* The lowest chunk of one word of all leaves. */
static struct piece fast_in_word(const uint8_t *const leaves[FASTBIN_SETS], remote_addr base,
                                 size_t word, uint64_t mask)
{
    struct piece found = no_piece();

    for (size_t set = 0; set < FASTBIN_SETS; set++) {
        uint64_t bits = word_at(leaves[set], word) & mask;
        remote_addr chunk;

        if (!bits)
            continue;
        chunk = base + (word * 64 + (size_t)__builtin_ctzll(bits)) * CHUNK_SET_UNIT +
                set % 2 * CHUNK_ALIGNMENT;
        if (chunk < found.start)
            found = (struct piece){chunk, fastbin_bytes(set / 2), SPAN_FASTBIN};
    }
    return found;
}

static struct piece next_fast(struct fastbin_cursor *cursor)
{
    enum { WORDS = CHUNK_SET_LEAF_BYTES / 8 };

    while (cursor->at < cursor->end) {
        remote_addr base = align_down(cursor->at, CHUNK_SET_LEAF_SPAN);
        size_t first = (size_t)((cursor->at - base) / CHUNK_SET_UNIT);
        const uint8_t *leaves[FASTBIN_SETS];
        bool any = false;

        for (size_t set = 0; set < FASTBIN_SETS; set++) {
            leaves[set] = chunk_set_leaf(&cursor->glibc->fastbins[set], base);
            any |= leaves[set] != NULL;
        }
        for (size_t word = first / 64; any && word < WORDS; word++) {
            uint64_t mask = word == first / 64 ? UINT64_MAX << (first % 64) : UINT64_MAX;
            struct piece piece = fast_in_word(leaves, base, word, mask);

            if (piece.start == UINT64_MAX)
                continue;
            cursor->at = align_down(piece.start, CHUNK_SET_UNIT) + CHUNK_SET_UNIT;
            return piece.start < cursor->end ? piece : no_piece();
        }
        cursor->at = base + CHUNK_SET_LEAF_SPAN;
    }
    return no_piece();
}

/* The next node of the survey that is still free, in this region. */
static struct piece next_node(struct sweep *sweep)
{
    for (; sweep->part < sweep->survey->part_count; sweep->part++, sweep->node = 0) {
        const struct survey_part *part = &sweep->survey->parts[sweep->part];
        const struct cell_space *space = cells_space(&sweep->survey->cells, part->limit - 1);

        if (part->begin >= sweep->region->range.end)
            break;
        for (; space && sweep->node < part->nodes.count; sweep->node++) {
            const struct free_node *node = &part->nodes.items[sweep->node];

            if (node->size)
                return (struct piece){space->range.start +
                                          (uint64_t)(node->at - space->first) * CHUNK_ALIGNMENT,
                                      node_bytes(node), SPAN_BIN};
        }
    }
    return no_piece();
}

/* The next fence of the survey in this region, but for the last. */
static struct piece next_fence(struct sweep *sweep)
{
    for (; sweep->fence_part < sweep->survey->part_count; sweep->fence_part++, sweep->fence = 0) {
        const struct survey_part *part = &sweep->survey->parts[sweep->fence_part];

        if (part->begin >= sweep->region->range.end)
            break;
        if (part->begin >= sweep->region->range.start && sweep->fence < part->fences.count) {
            struct range range = part->fences.items[sweep->fence];

            if (range.end == sweep->region->range.end)
                break;
            return (struct piece){range.start, range_length(range), SPAN_FENCE};
        }
    }
    return no_piece();
}

static struct piece next_extra(const struct sweep *sweep)
{
    const struct extra_node *extra;

    if (sweep->extra == sweep->extra_count)
        return no_piece();
    extra = sweep->extras[sweep->extra];
    return (struct piece){extra->chunk, node_bytes(&extra->node), SPAN_BIN};
}

static struct piece next_mark(const struct sweep *sweep)
{
    const struct chunk_mark *mark;

    if (sweep->mark >= sweep->glibc->marks.count)
        return no_piece();
    mark = &sweep->glibc->marks.items[sweep->mark];
    return (struct piece){mark->chunk, mark->bytes,
                          mark->kind == MARK_TCACHE_STRUCT ? SPAN_METADATA : SPAN_TCACHE};
}

/* The next piece at or above what was told, and steps over it. */
static struct piece next_piece(struct sweep *sweep)
{
    struct piece node = next_node(sweep), extra = next_extra(sweep), mark = next_mark(sweep);
    struct piece fence = next_fence(sweep), fast = sweep->next_fast, first = node;

    if (extra.start < first.start)
        first = extra;
    if (mark.start < first.start)
        first = mark;
    if (fast.start < first.start)
        first = fast;
    if (fence.start < first.start)
        first = fence;
    if (first.start == UINT64_MAX)
        return first;
    if (first.start == node.start)
        sweep->node++;
    else if (first.start == extra.start)
        sweep->extra++;
    else if (first.start == mark.start)
        sweep->mark++;
    else if (first.start == fence.start)
        sweep->fence++;
    else
        sweep->next_fast = next_fast(&sweep->fastbins);
    return first;
}

static int tell_in_use(struct sweep *sweep, remote_addr until)
{
    struct heap_span span = {.start = sweep->at, .length = until - sweep->at, .state = SPAN_LIVE};

    if (until == sweep->at)
        return 0;
    span.chunks = sweep->blocks > UINT32_MAX ? UINT32_MAX : (uint32_t)sweep->blocks;
    sweep->blocks -= span.chunks;
    sweep->at = until;
    return reader_emit_run(sweep->reader, &span, sweep->why);
}

static int tell_piece(struct sweep *sweep, struct piece piece)
{
    int r;

    if (piece.start < sweep->at || piece.bytes > sweep->region->range.end - piece.start)
        return why_set(sweep->why, OUTCOME_TORN,
                       "the free chunk at 0x%" PRIx64 " overlaps another or its region's end",
                       piece.start);
    r = tell_in_use(sweep, piece.start);
    sweep->at = piece.start + piece.bytes;
    return r ? r : reader_emit(sweep->reader, piece.start, piece.bytes, piece.state, sweep->why);
}

/* The last bytes: the top, or the end markers of a heap that is not its arena's last. */
static struct piece last_piece(const struct sweep *sweep)
{
    const struct heap_survey *survey = sweep->survey;
    const struct heap_arena *arena = &sweep->glibc->heap.arenas.items[sweep->region->arena];
    remote_addr end = sweep->region->range.end;

    if (range_has(sweep->region->range, arena->top))
        return (struct piece){arena->top, end - arena->top, SPAN_TOP};
    for (size_t i = 0; i < survey->part_count; i++) {
        const struct fence_ranges *fences = &survey->parts[i].fences;

        if (fences->count && fences->items[fences->count - 1].end == end)
            return (struct piece){fences->items[fences->count - 1].start,
                                  end - fences->items[fences->count - 1].start, SPAN_FENCE};
    }
    return (struct piece){end - 2 * CHUNK_ALIGNMENT, 2 * CHUNK_ALIGNMENT, SPAN_FENCE};
}

static int sweep_pieces(struct sweep *sweep)
{
    uint64_t lead = glibc_lead_bytes(sweep->glibc, sweep->region);
    struct piece last = last_piece(sweep), piece = {0};
    int r = 0;

    if (lead)
        r = tell_piece(sweep, (struct piece){sweep->at, lead, SPAN_METADATA});
    while (r == 0 && (piece = next_piece(sweep)).start < last.start)
        r = tell_piece(sweep, piece);
    if (r == 0 && piece.start != UINT64_MAX && piece.start < sweep->region->range.end)
        r = why_set(sweep->why, OUTCOME_TORN, "a free chunk lies in the top");
    if (r == 0)
        r = tell_piece(sweep, last);
    return r ? r : reader_flush(sweep->reader, sweep->why);
}

static uint64_t fastbin_chunks_in(const struct glibc *glibc, struct range range)
{
    struct fastbin_cursor cursor = {glibc, range.start, range.end};
    uint64_t count = 0;

    while (next_fast(&cursor).start != UINT64_MAX)
        count++;
    return count;
}

/* Blocks that the survey counted in this region, less what turned out to be free in a cache. */
static uint64_t blocks_in(const struct heap_survey *survey, const struct glibc *glibc,
                          const struct heap_region *region)
{
    size_t mark = chunk_marks_first_at(&glibc->marks, region->range.start);
    uint64_t blocks = 0, cached = fastbin_chunks_in(glibc, region->range);

    for (size_t i = 0; i < survey->part_count; i++)
        if (range_has(region->range, survey->parts[i].begin))
            for (size_t class = 0; class < CENSUS_CLASSES; class ++)
                blocks += survey->parts[i].census.classes[class].blocks;
    for (; mark < glibc->marks.count && glibc->marks.items[mark].chunk < region->range.end; mark++)
        cached++;
    return blocks > cached ? blocks - cached : 0;
}

static int sweep_region(struct sweep *sweep, const struct heap_view *view,
                        const struct heap_region *region, struct span_sink *sink)
{
    auto_free struct region_reader *reader = calloc(1, sizeof *reader);
    int r;

    if (!reader)
        return -ENOMEM;
    sweep->region = region;
    sweep->reader = reader;
    sweep->at = region->range.start;
    sweep->fastbins = (struct fastbin_cursor){sweep->glibc, region->range.start, region->range.end};
    sweep->next_fast = next_fast(&sweep->fastbins);
    sweep->mark = chunk_marks_first_at(&sweep->glibc->marks, region->range.start);
    sweep->blocks = blocks_in(sweep->survey, sweep->glibc, region);
    while (sweep->part < sweep->survey->part_count &&
           sweep->survey->parts[sweep->part].begin < region->range.start) {
        sweep->part++;
        sweep->node = 0;
    }
    while (sweep->extra < sweep->extra_count &&
           sweep->extras[sweep->extra]->chunk < region->range.start)
        sweep->extra++;
    r = reader_open(reader, view, region, region->range.start, sink, sweep->why);
    if (r == 0)
        r = sweep_pieces(sweep);
    reader_close(reader);
    return r;
}

static int by_chunk(const void *a, const void *b)
{
    remote_addr x = (*(const struct extra_node *const *)a)->chunk;
    remote_addr y = (*(const struct extra_node *const *)b)->chunk;

    return (x > y) - (x < y);
}

static int list_extras(struct sweep *sweep)
{
    const struct extra_nodes *extras = &sweep->survey->extras;

    sweep->extras = calloc(extras->count + 1, sizeof *sweep->extras);
    if (!sweep->extras)
        return -ENOMEM;
    for (size_t i = 0; i < extras->count; i++)
        if (extras->items[i].node.size)
            sweep->extras[sweep->extra_count++] = &extras->items[i];
    qsort(sweep->extras, sweep->extra_count, sizeof *sweep->extras, by_chunk);
    return 0;
}

static int sweep_into(struct sweep *sweep, const struct heap_view *view,
                      const struct heap_region *region, struct span_sink *sink)
{
    struct span_sink *child = sink->ops->fork(sink, region);
    int r = child ? sweep_region(sweep, view, region, child) : -ENOMEM;

    if (r == 0)
        return sink->ops->join(sink, child);
    if (child)
        sink->ops->discard(child);
    return r;
}

static void take_out(struct heap_census *census, uint64_t bytes)
{
    struct census_class *class = &census->classes[census_class_of(bytes)];

    class->blocks -= class->blocks > 0;
    class->bytes -= class->bytes > bytes ? bytes : class->bytes;
}

/* What the survey counted, less what turned out to be free in a cache. */
static void add_census(struct heap *heap, const struct heap_survey *survey)
{
    const struct glibc *glibc = glibc_of(heap);
    struct fastbin_cursor fast = {.glibc = glibc};
    struct piece piece;

    for (size_t i = 0; i < survey->part_count; i++)
        census_add(&heap->census, &survey->parts[i].census);
    for (size_t i = 0; i < glibc->marks.count; i++)
        take_out(&heap->census, glibc->marks.items[i].bytes);
    for (size_t i = 0; i < heap->regions.count; i++) {
        fast.at = heap->regions.items[i].range.start;
        fast.end = heap->regions.items[i].range.end;
        while ((piece = next_fast(&fast)).start != UINT64_MAX)
            take_out(&heap->census, piece.bytes);
    }
}

int glibc_sweep(const struct heap_view *view, struct heap *heap, const struct heap_survey *survey,
                struct span_sink *sink, struct why *why)
{
    struct sweep sweep = {.glibc = glibc_of(heap), .survey = survey, .why = why};
    int r = list_extras(&sweep);

    for (size_t i = 0; r == 0 && i < heap->regions.count; i++)
        if (heap->regions.items[i].kind == REGION_MMAPPED)
            r = glibc_walk_mmapped(view, sweep.glibc, &heap->regions.items[i], sink, why);
        else
            r = sweep_into(&sweep, view, &heap->regions.items[i], sink);
    if (r == 0)
        add_census(heap, survey);
    free(sweep.extras);
    return r;
}
