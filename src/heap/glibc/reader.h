/*
 * Reads a region forward for a walker, a slice at a time and only what is present, and hands its spans over cut at
 * window boundaries. In windows mapped by huge pages all content is read, to tell which pages are all zero.
 */
#pragma once

#include "heap/glibc/glibc.h"

enum { SLICE_PAGES = 64, SPAN_BATCH = 1024 };

struct chunk_header {
    remote_addr address;
    uint64_t prev_size;
    uint64_t bytes;   /* size without flags */
    unsigned flags;
};

struct region_reader {
    const struct heap_view *view;
    const struct heap_region *region;
    struct span_sink *sink;       /* borrowed */
    struct page_window window;
    uint8_t *slice;               /* SLICE_PAGES pages */
    struct range slice_range;     /* what it holds */
    uint8_t slice_flags[SLICE_PAGES];
    bool slice_readable;          /* all of it */
    struct heap_span *batch;      /* SPAN_BATCH */
    size_t batch_count;
};

int reader_open(struct region_reader *reader, const struct heap_view *view, const struct heap_region *region,
                remote_addr begin, struct span_sink *sink, struct why *why) must_check;
void reader_close(struct region_reader *reader);

/* The header of the chunk at `chunk`, which must be 16-aligned and in the region. OUTCOME_UNREADABLE if not present. */
int reader_header_slow(struct region_reader *reader, remote_addr chunk, struct chunk_header *ret, struct why *why)
    must_check;

/* fd and bk of a chunk whose header was read. */
int reader_links(struct region_reader *reader, remote_addr chunk, uint64_t ret_links[2], struct why *why) must_check;

/* Cuts a span at window boundaries. */
int reader_emit_slow(struct region_reader *reader, remote_addr start, uint64_t bytes, enum span_state state,
                     struct why *why) must_check;

/* Hands over the span of a whole chunk, in order and without gaps. */
static inline int reader_emit(struct region_reader *reader, remote_addr start, uint64_t bytes, enum span_state state,
                              struct why *why)
{
    struct heap_span *span = &reader->batch[reader->batch_count];

    if (reader->batch_count == SPAN_BATCH || !range_holds(reader->window.range, start, bytes))
        return reader_emit_slow(reader, start, bytes, state, why);
    reader->batch_count++;
    span->start = span->chunk = start;
    span->length = span->chunk_bytes = bytes;
    span->chunks = 1;
    span->binned_chunks = span->fast_chunks = 0;
    span->binned_bytes = span->fast_bytes = 0;
    span->state = (uint8_t)state;
    span->head = span->tail = true;
    return 0;
}

/* The same for a run of live chunks with small free ones in between; only for sinks that take runs. */
int reader_emit_run(struct region_reader *reader, const struct heap_span *run, struct why *why) must_check;
int reader_flush(struct region_reader *reader, struct why *why) must_check;

static inline bool slice_page_readable(const struct region_reader *reader, remote_addr address)
{
    uint8_t flags = reader->slice_flags[(address - reader->slice_range.start) >> PAGE_SHIFT];

    return (flags & (PAGE_PRESENT | PAGE_UNREADABLE)) == PAGE_PRESENT;
}

static inline int reader_header(struct region_reader *reader, remote_addr chunk, struct chunk_header *ret,
                                struct why *why)
{
    const uint8_t *bytes;
    uint64_t size;

    if (chunk < reader->slice_range.start || chunk >= reader->slice_range.end || !slice_page_readable(reader, chunk))
        return reader_header_slow(reader, chunk, ret, why);
    bytes = reader->slice + (chunk - reader->slice_range.start);
    size = field_u64(bytes, 8);
    ret->address = chunk;
    ret->prev_size = field_u64(bytes, 0);
    ret->bytes = size & ~(uint64_t)CHUNK_FLAGS;
    ret->flags = (unsigned)(size & CHUNK_FLAGS);
    return 0;
}
