/* An mmapped chunk as spans: one block, behind a lead when memalign moved its header up. */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "heap/glibc/reader.h"
#include "heap/glibc/walk.h"

enum { ALIGN_SHIFT_MOST = 30 };

/*
 * memalign writes a second header where the aligned block begins: prev_size is the distance to the
 * map's start and size the rest. The old header stays at the start, so the distance is one of few:
 * what some power of two asks for.
 */
static int find_lead(const struct heap_view *view, const struct heap_region *region,
                     uint64_t *ret_lead)
{
    remote_addr start = region->range.start;
    uint64_t total = range_length(region->range), last = 0;

    for (unsigned shift = 5; shift <= ALIGN_SHIFT_MOST; shift++) {
        uint64_t lead =
            align_up(start + CHUNK_HEADER_BYTES, UINT64_C(1) << shift) - CHUNK_HEADER_BYTES - start;
        uint64_t header[2];
        int r;

        if (lead == last || lead == 0)
            continue;
        if (lead >= total)
            break;
        last = lead;
        r = memory_read(view->memory, start + lead, header, sizeof header, NULL);
        if (r < 0)
            return r;
        if (r == 0 && header[0] == lead && header[1] == ((total - lead) | CHUNK_MMAPPED)) {
            *ret_lead = lead;
            return 0;
        }
    }
    *ret_lead = 0;
    return 0;
}

static int emit_chunk(struct region_reader *reader, const struct heap_region *region, uint64_t lead,
                      struct why *why)
{
    int r = 0;

    if (lead)
        r = reader_emit(reader, region->range.start, lead, SPAN_FENCE, why);
    if (r == 0)
        r = reader_emit(reader, region->range.start + lead, range_length(region->range) - lead,
                        SPAN_LIVE, why);
    return r ? r : reader_flush(reader, why);
}

int glibc_walk_mmapped(const struct heap_view *view, const struct heap_region *region,
                       struct span_sink *sink, struct why *why)
{
    auto_free struct region_reader *reader = calloc(1, sizeof *reader);
    struct span_sink *child = sink->ops->fork(sink, region);
    uint64_t lead = 0;
    int r = find_lead(view, region, &lead);

    if (!reader || !child)
        r = -ENOMEM;
    if (r == 0)
        r = reader_open(reader, view, region, region->range.start, child, why);
    if (r == 0)
        r = emit_chunk(reader, region, lead, why);
    if (reader)
        reader_close(reader);
    if (r == 0)
        return sink->ops->join(sink, child);
    if (child)
        sink->ops->discard(child);
    return r;
}
