/* An mmapped chunk as spans: one block, behind a lead when memalign moved its header up. */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "heap/glibc/reader.h"
#include "heap/glibc/walk.h"

/* Live, unless a tcache has it. */
static enum span_state state_of(const struct glibc *glibc, remote_addr chunk)
{
    size_t index = chunk_marks_first_at(&glibc->marks, chunk);

    if (index == glibc->marks.count || glibc->marks.items[index].chunk != chunk)
        return SPAN_LIVE;
    return glibc->marks.items[index].kind == MARK_TCACHE_STRUCT ? SPAN_METADATA : SPAN_TCACHE;
}

static int emit_chunk(struct region_reader *reader, const struct glibc *glibc,
                      const struct heap_region *region, struct why *why)
{
    remote_addr chunk = region->range.start + region->lead;
    int r = 0;

    if (region->lead)
        r = reader_emit(reader, region->range.start, region->lead, SPAN_FENCE, why);
    if (r == 0)
        r = reader_emit(reader, chunk, region->range.end - chunk, state_of(glibc, chunk), why);
    return r ? r : reader_flush(reader, why);
}

int glibc_walk_mmapped(const struct heap_view *view, const struct glibc *glibc,
                       const struct heap_region *region, struct span_sink *sink, struct why *why)
{
    auto_free struct region_reader *reader = calloc(1, sizeof *reader);
    struct span_sink *child = sink->ops->fork(sink, region);
    int r = reader && child ? 0 : -ENOMEM;

    if (r == 0)
        r = reader_open(reader, view, region, region->range.start, child, why);
    if (r == 0)
        r = emit_chunk(reader, glibc, region, why);
    if (reader)
        reader_close(reader);
    if (r == 0)
        return sink->ops->join(sink, child);
    if (child)
        sink->ops->discard(child);
    return r;
}
