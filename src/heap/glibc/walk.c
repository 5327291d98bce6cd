#include "heap/glibc/walk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "heap/glibc/chain.h"
#include "heap/glibc/walker.h"

static int torn(struct walker *walker, remote_addr chunk, const char *what)
{
    return why_set(walker->why, OUTCOME_TORN, "the chunk at 0x%" PRIx64 " %s", chunk, what);
}

/* What the tcaches say of this chunk. A mark between two chunks means that a list points into the
 * middle of one. */
static int state_by_mark(struct walker *walker, remote_addr chunk, uint64_t bytes,
                         enum span_state *state)
{
    const struct chunk_mark *mark = &walker->glibc->marks.items[walker->mark];

    if (mark->chunk < chunk || (mark->bytes && mark->bytes != bytes))
        return torn(walker, mark->chunk, "is in a tcache that it does not fit");
    *state = mark->kind == MARK_TCACHE_STRUCT ? SPAN_METADATA : SPAN_TCACHE;
    walker->mark++;
    if (walker->mark < walker->glibc->marks.count && mark[1].chunk == chunk)
        return torn(walker, chunk, "is in two tcaches");
    return 0;
}

static int state_in_use(struct walker *walker, remote_addr chunk, uint64_t bytes,
                        enum span_state *state)
{
    const struct chunk_marks *marks = &walker->glibc->marks;

    *state = bytes == FENCE_BYTES ? SPAN_FENCE : SPAN_LIVE;
    if (walker->mark < marks->count && marks->items[walker->mark].chunk <= chunk)
        return state_by_mark(walker, chunk, bytes, state);
    if (walker_in_fastbin(walker, chunk, bytes)) {
        *state = SPAN_FASTBIN;
        walker->part->sums.fastbin_count++;
        walker->part->sums.fastbin_addresses += hash_address(chunk);
    }
    return 0;
}

static int state_free(struct walker *walker, const struct chunk_header *here,
                      const struct chunk_header *next)
{
    struct list_sums *sums = &walker->part->sums;
    uint64_t links[2];
    int r;

    if (next->prev_size != here->bytes)
        return torn(walker, here->address, "is free and its size does not stand at its end");
    if (!(here->flags & CHUNK_PREV_INUSE))
        return torn(walker, here->address, "is free and so is the one before it");
    r = reader_links(&walker->reader, here->address, links, walker->why);
    if (r)
        return r;
    sums->addresses += hash_address(here->address);
    sums->fd_targets += hash_address(links[0]);
    sums->bk_targets += hash_address(links[1]);
    return walker->part->nodes ? free_nodes_note(walker->part->nodes, here->address, here->bytes,
                                                 links[0], links[1])
                               : 0;
}

/* A thread heap that is not the last ends in a header of size 0; the 16 or 32 bytes before it are
 * waste. The last of a main arena's pieces, if it has no top, ends in a fence. */
static bool is_end_marker(const struct walker *walker, const struct chunk_header *header)
{
    bool main = walker->part->region->kind == REGION_MAIN;

    return header->bytes == (main ? FENCE_BYTES : 0) &&
           header->address + CHUNK_HEADER_BYTES == walker->part->region->range.end;
}

static int check_size(struct walker *walker, const struct chunk_header *here)
{
    remote_addr end = walker->part->region->range.end;

    if (here->flags & CHUNK_MMAPPED)
        return torn(walker, here->address, "lies in an arena and says that it is mmapped");
    if (here->bytes % CHUNK_ALIGNMENT)
        return torn(walker, here->address, "has a size that no chunk has");
    if (here->bytes < CHUNK_MIN_BYTES && here->bytes != FENCE_BYTES)
        return torn(walker, here->address, "is smaller than any chunk");
    if (here->bytes > end - here->address - CHUNK_HEADER_BYTES)
        return torn(walker, here->address, "reaches beyond its region");
    return 0;
}

static void count_chunk(struct walker *walker, remote_addr chunk, uint64_t bytes,
                        enum span_state state)
{
    struct range range = {chunk, chunk + bytes};

    if (state == SPAN_BIN || state == SPAN_TOP)
        census_add_free(&walker->part->census, &walker->page_use, range);
    else if (state == SPAN_LIVE)
        census_add_in_use(&walker->part->census, &walker->page_use, range, bytes, 1);
    else if (state == SPAN_TCACHE || state == SPAN_FASTBIN || state == SPAN_METADATA)
        census_add_keeping(&walker->part->census, &walker->page_use, range, census_class_of(bytes));
}

/* The top or the end marker: the last chunk of the region. */
static int walk_last(struct walker *walker, const struct chunk_header *here, enum span_state state,
                     uint64_t bytes)
{
    if (here->address + bytes != walker->part->region->range.end)
        return torn(walker, here->address, "is the top and does not end where its region does");
    walker->part->end = walker->part->region->range.end;
    count_chunk(walker, here->address, bytes, state);
    return reader_emit(&walker->reader, here->address, bytes, state, walker->why);
}

/*
 * Fences within a main region: a piece of it ends with the second one, and there are always two
 * (sysmalloc). The next piece begins at once, or behind what another caller of sbrk got.
 */
static int walk_fence(struct walker *walker, const struct chunk_header *here,
                      struct chunk_header *next)
{
    struct range rest = {here->address + FENCE_BYTES, walker->part->region->range.end};
    remote_addr start = rest.start;
    int r = reader_emit(&walker->reader, here->address, FENCE_BYTES, SPAN_FENCE, walker->why);

    if (r == 0)
        r = reader_header(&walker->reader, rest.start, next, NULL);
    if (r == 0 && next->bytes == FENCE_BYTES)
        walker->second_fence = rest.start;
    if (r < 0 || (r == 0 && next->bytes == FENCE_BYTES))
        return r;
    if (here->address != walker->second_fence && here->address != walker->part->begin)
        return torn(walker, here->address, "is a fencepost in the middle of its region");
    r = glibc_find_next_piece(walker->reader.view, walker->glibc, rest, &start);
    if (r > 0)
        return torn(walker, here->address, "is a fencepost, and behind it no chunk was found");
    walker->part->foreign |= r == 0 && start > rest.start;
    if (r == 0 && start > rest.start)
        r = reader_emit(&walker->reader, rest.start, start - rest.start, SPAN_UNKNOWN, walker->why);
    return r ? r : reader_header(&walker->reader, start, next, walker->why);
}

static int walk_one(struct walker *walker, const struct chunk_header *here,
                    struct chunk_header *next)
{
    enum span_state state = SPAN_BIN;
    int r = check_size(walker, here);

    if (r == 0 && here->bytes == FENCE_BYTES && walker->part->region->kind == REGION_MAIN)
        return walk_fence(walker, here, next);
    if (r == 0)
        r = reader_header(&walker->reader, here->address + here->bytes, next, walker->why);
    if (r)
        return r;
    if (next->flags & CHUNK_PREV_INUSE)
        r = state_in_use(walker, here->address, here->bytes, &state);
    else
        r = state_free(walker, here, next);
    if (r)
        return r;
    if (here->bytes == FENCE_BYTES && !is_end_marker(walker, next))
        return torn(walker, here->address, "is a fencepost in the middle of its region");
    if (state == SPAN_LIVE && here->bytes == CHUNK_MIN_BYTES && !(here->flags & CHUNK_NON_MAIN) &&
        is_end_marker(walker, next))
        state = SPAN_FENCE;
    count_chunk(walker, here->address, here->bytes, state);
    return reader_emit(&walker->reader, here->address, here->bytes, state, walker->why);
}

static bool can_run(const struct walker *walker, const struct chunk_header *here)
{
    const struct region_reader *reader = &walker->reader;

    return reader->sink->takes_runs && reader->slice_readable &&
           range_has(reader->slice_range, here->address);
}

static int walk_chunks(struct walker *walker, remote_addr from)
{
    struct part *part = walker->part;
    struct chunk_header here, next;
    int r = reader_header(&walker->reader, from, &here, walker->why);

    while (r == 0 && here.address < part->limit) {
        if (can_run(walker, &here)) {
            r = walker_take_run(walker, &here);
            if (r || here.address >= part->limit)
                break;
        }
        if (here.address == walker->arena->top)
            return walk_last(walker, &here, SPAN_TOP, here.bytes);
        if (is_end_marker(walker, &here))
            return walk_last(walker, &here, SPAN_FENCE, CHUNK_HEADER_BYTES);
        r = walk_one(walker, &here, &next);
        here = next;
    }
    part->end = here.address;
    return r;
}

uint64_t glibc_lead_bytes(const struct glibc *glibc, const struct heap_region *region)
{
    uint64_t lead = glibc->heap_info ? glibc->heap_info->size : 0;

    if (region->kind != REGION_THREAD_HEAP)
        return 0;
    if (region->range.start + lead == glibc->heap.arenas.items[region->arena].address)
        lead += glibc->state->size;
    return align_up(lead, CHUNK_ALIGNMENT);
}

int glibc_walk_part(const struct heap_view *view, const struct glibc *glibc, struct part *part,
                    struct span_sink *sink, struct why *why)
{
    auto_free struct walker *walker = calloc(1, sizeof *walker);
    uint64_t lead =
        part->begin == part->region->range.start ? glibc_lead_bytes(glibc, part->region) : 0;
    int r;

    if (!walker)
        return -ENOMEM;
    walker->glibc = glibc;
    walker->arena = &glibc->heap.arenas.items[part->region->arena];
    walker->part = part;
    walker->why = why;
    for (size_t i = 0; i < FASTBIN_SETS; i++)
        walker->leaves[i].index = UINT64_MAX;
    walker->mark = chunk_marks_first_at(&glibc->marks, part->begin);
    part->sums = (struct list_sums){0};
    part->census = (struct heap_census){0};
    r = reader_open(&walker->reader, view, part->region, part->begin, sink, why);
    if (r == 0 && lead)
        r = reader_emit(&walker->reader, part->begin, lead, SPAN_METADATA, why);
    if (r == 0)
        r = walk_chunks(walker, part->begin + lead);
    census_enter_page(&part->census, &walker->page_use, 0);
    if (r == 0)
        r = reader_flush(&walker->reader, why);
    if (r == 0 && walker->mark < glibc->marks.count &&
        glibc->marks.items[walker->mark].chunk < part->end)
        r = torn(walker, glibc->marks.items[walker->mark].chunk, "is in a tcache and is no chunk");
    reader_close(&walker->reader);
    return r;
}
