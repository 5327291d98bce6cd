#include "heap/glibc/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "mem/zeros.h"

enum { JUMP_PAGES = 4, FAR_BYTES = 1 << 16 };

/* Windows end where huge pages do, so that none is cut in two. */
static struct range window_range(const struct heap_region *region, remote_addr from)
{
    struct range range = {align_down(from, PAGE_BYTES), align_up(region->range.end, PAGE_BYTES)};
    remote_addr most = align_down(range.start + WINDOW_BYTES, HUGE_BYTES);

    if (range.end > most)
        range.end = most;
    return range;
}

int reader_open(struct region_reader *reader, const struct heap_view *view,
                const struct heap_region *region, remote_addr begin, struct span_sink *sink,
                struct why *why)
{
    struct range first = window_range(region, begin);
    int r;

    reader->view = view;
    reader->region = region;
    reader->sink = sink;
    reader->slice = malloc(SLICE_PAGES * PAGE_BYTES);
    reader->batch = malloc(SPAN_BATCH * sizeof *reader->batch);
    if (!reader->slice || !reader->batch)
        return -ENOMEM;
    r = window_load(&reader->window, view->memory, first, why);
    return r || view->zeros_known
               ? r
               : find_zero_pages(&reader->window, view->memory, reader->slice, SLICE_PAGES, why);
}

void reader_close(struct region_reader *reader)
{
    free(reader->slice);
    free(reader->batch);
}

/*
 * Pages from `start` on: many where chunks are small, few where the walker jumped far. The window's
 * flags are used as far as it reaches, the kernel is asked for the rest.
 */
static int load_slice(struct region_reader *reader, remote_addr start, struct why *why)
{
    remote_addr end = align_up(reader->region->range.end, PAGE_BYTES);
    bool far = start > reader->slice_range.end + FAR_BYTES && reader->slice_range.end;
    size_t pages = far ? JUMP_PAGES : SLICE_PAGES;
    int r = 0;

    if (pages > (end - start) >> PAGE_SHIFT)
        pages = (size_t)((end - start) >> PAGE_SHIFT);
    reader->slice_range = (struct range){0, 0};
    if (range_holds(reader->window.range, start, pages * PAGE_BYTES))
        memcpy(reader->slice_flags,
               reader->window.flags + ((start - reader->window.range.start) >> PAGE_SHIFT), pages);
    else
        r = memory_page_flags(reader->view->memory, start, pages, reader->slice_flags, why);
    for (size_t i = 0; r == 0 && i < pages; i++)
        reader->slice_flags[i] &= (uint8_t) ~(PAGE_CONTENT_ZERO | PAGE_UNREADABLE);
    if (r == 0)
        r = memory_read_pages(reader->view->memory, start, pages, reader->slice_flags,
                              reader->slice, why);
    if (r)
        return r;
    reader->slice_range = (struct range){start, start + pages * PAGE_BYTES};
    reader->slice_readable = true;
    for (size_t i = 0; i < pages; i++)
        reader->slice_readable &=
            (reader->slice_flags[i] & (PAGE_PRESENT | PAGE_UNREADABLE)) == PAGE_PRESENT;
    return 0;
}

int reader_header_slow(struct region_reader *reader, remote_addr chunk, struct chunk_header *ret,
                       struct why *why)
{
    if (chunk < reader->slice_range.start || chunk >= reader->slice_range.end) {
        int r = load_slice(reader, align_down(chunk, PAGE_BYTES), why);

        if (r)
            return r;
    }
    if (!slice_page_readable(reader, chunk))
        return why_set(
            why, OUTCOME_UNREADABLE, "the page at 0x%" PRIx64 " holds a chunk's header and is %s",
            align_down(chunk, PAGE_BYTES),
            reader->slice_flags[(chunk - reader->slice_range.start) >> PAGE_SHIFT] & PAGE_SWAPPED
                ? "in swap"
                : "not present");
    return reader_header(reader, chunk, ret, why);
}

int reader_links(struct region_reader *reader, remote_addr chunk, uint64_t ret_links[2],
                 struct why *why)
{
    remote_addr at = chunk + CHUNK_HEADER_BYTES;

    if (range_holds(reader->slice_range, at, 16) && slice_page_readable(reader, at)) {
        memcpy(ret_links, reader->slice + (at - reader->slice_range.start), 16);
        return 0;
    }
    return memory_read(reader->view->memory, at, ret_links, 16, why);
}

int reader_flush(struct region_reader *reader, struct why *why)
{
    int r = 0;

    if (reader->batch_count)
        r = reader->sink->ops->take(reader->sink, &reader->window, reader->batch,
                                    reader->batch_count);
    reader->batch_count = 0;
    return r ? why_set(why, r, "out of memory while accounting a heap") : 0;
}

/* The window after this one; the slice buffer serves for its zero test, so it is lost when one was
 * needed. */
static int next_window(struct region_reader *reader, struct why *why)
{
    struct range range = window_range(reader->region, reader->window.range.end);
    int r = reader_flush(reader, why);

    if (r == 0)
        r = window_load(&reader->window, reader->view->memory, range, why);
    if (r == 0 && !reader->view->zeros_known && window_has_huge(&reader->window)) {
        reader->slice_range = (struct range){0, 0};
        r = find_zero_pages(&reader->window, reader->view->memory, reader->slice, SLICE_PAGES, why);
    }
    return r;
}

/* They count where they begin; a run's free chunks end before its first window does. */
static void forget_chunks(struct heap_span *part)
{
    part->chunks = part->binned_chunks = part->fast_chunks = 0;
    part->binned_bytes = part->fast_bytes = 0;
}

/* Cuts a span at window boundaries. */
static int emit(struct region_reader *reader, struct heap_span whole, struct why *why)
{
    remote_addr start = whole.start, end = whole.start + whole.length;

    while (start < end) {
        struct heap_span part = whole;
        int r = 0;

        if (start >= reader->window.range.end)
            r = next_window(reader, why);
        else if (reader->batch_count == SPAN_BATCH)
            r = reader_flush(reader, why);
        if (r)
            return r;
        part.start = start;
        part.head = start == whole.start;
        if (!part.head)
            forget_chunks(&part);
        part.tail = end <= reader->window.range.end;
        part.length = (part.tail ? end : reader->window.range.end) - start;
        reader->batch[reader->batch_count++] = part;
        start += part.length;
    }
    return 0;
}

int reader_emit_slow(struct region_reader *reader, remote_addr start, uint64_t bytes,
                     enum span_state state, struct why *why)
{
    return emit(reader,
                (struct heap_span){.start = start,
                                   .length = bytes,
                                   .chunk = start,
                                   .chunk_bytes = bytes,
                                   .chunks = 1,
                                   .state = (uint8_t)state},
                why);
}

int reader_emit_run(struct region_reader *reader, const struct heap_span *run, struct why *why)
{
    return emit(reader, *run, why);
}
