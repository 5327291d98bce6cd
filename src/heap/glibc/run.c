/*
 * The fast path of the walk: chunks in use, and small free ones between them, whose headers are all
 * in the slice and whose pages are all resident, told as one span. A heap of small blocks spends
 * its time here.
 */
#include "heap/glibc/walker.h"

enum { SMALL_FREE_MOST = PAGE_BYTES }; /* holds no whole page */

struct run {
    struct walker *walker;
    const uint8_t *header;    /* in the slice */
    const uint8_t *end;       /* the last place where a header fits */
    remote_addr chunk, limit; /* the chunk at `header`; chunks from `limit` on are not the run's */
    uint64_t size;            /* its size word */
    bool after_live;          /* the chunk before is in use, and in this run */
    struct heap_span span;
};

/*
 * Where a run of plain live chunks must end at the latest: at the next one that is anything else.
 * The last bytes of a thread's heap may be waste that looks live.
 */
static remote_addr run_limit(const struct walker *walker, remote_addr start)
{
    const struct chunk_marks *marks = &walker->glibc->marks;
    const struct heap_region *region = walker->part->region;
    remote_addr limit = walker->part->limit, top = walker->arena->top;

    if (limit > walker->reader.slice_range.end)
        limit = walker->reader.slice_range.end;
    if (limit > align_up(start + 1, HUGE_BYTES))
        limit = align_up(start + 1, HUGE_BYTES);
    if (walker->mark < marks->count && marks->items[walker->mark].chunk < limit)
        limit = marks->items[walker->mark].chunk;
    if (region->kind == REGION_THREAD_HEAP && limit > region->range.end - 2 * CHUNK_MIN_BYTES)
        limit = region->range.end - 2 * CHUNK_MIN_BYTES;
    return range_has(region->range, top) && top < limit ? top : limit;
}

static inline uint64_t size_at(const uint8_t *header)
{
    return field_u64(header, 8);
}

static inline uint64_t bytes_of(uint64_t size)
{
    return size & ~(uint64_t)CHUNK_FLAGS;
}

/* Whether the header behind a chunk of this size is at hand. */
static inline bool is_chunk(const struct run *run, const uint8_t *header, uint64_t size)
{
    uint64_t bytes = bytes_of(size);

    return bytes >= CHUNK_MIN_BYTES && bytes % CHUNK_ALIGNMENT == 0 && !(size & CHUNK_MMAPPED) &&
           header <= run->end && bytes <= (uint64_t)(run->end - header);
}

static inline bool is_in_fastbin(const struct run *run, remote_addr chunk, uint64_t size)
{
    return walker_in_fastbin(run->walker, chunk, bytes_of(size));
}

/*
 * Chunks in use in a row that have the same size word, flags included. As long as it repeats, the
 * next header's address does not wait for this one's to arrive: the processor guesses that the
 * branch is taken, and reads on.
 */
static inline uint64_t skip_equals(struct run *run, bool may_be_fast)
{
    uint64_t size = run->size, after = size, bytes = bytes_of(size), count = 0;
    const uint8_t *header = run->header;
    remote_addr chunk = run->chunk;

    while (after == size && chunk < run->limit && bytes <= (uint64_t)(run->end - header)) {
        uint64_t next = size_at(header + bytes);

        if (!(next & CHUNK_PREV_INUSE) ||
            (may_be_fast && walker_in_fastbin(run->walker, chunk, bytes)))
            break;
        after = next;
        header += bytes;
        chunk += bytes;
        count++;
    }
    run->size = after;
    run->header = header;
    run->chunk = chunk;
    return count;
}

static bool has_fastbin(const struct glibc *glibc, uint64_t bytes)
{
    size_t set = fastbin_set_of(0, bytes);

    return set < FASTBIN_SETS &&
           (glibc->fastbins[set].slot_count || glibc->fastbins[set + 1].slot_count);
}

static bool take_live(struct run *run)
{
    struct part *part = run->walker->part;
    uint64_t bytes = bytes_of(run->size), count;
    remote_addr from = run->chunk;

    count =
        has_fastbin(run->walker->glibc, bytes) ? skip_equals(run, true) : skip_equals(run, false);
    if (count == 0)
        return false;
    census_add_in_use(&part->census, &run->walker->page_use, (struct range){from, run->chunk},
                      bytes, count);
    run->span.chunks += (uint32_t)count;
    run->after_live = true;
    return true;
}

/* Whether the chunk behind this one is in use for sure: then consolidating merges nothing with it.
 */
static bool is_live_behind(const struct run *run, uint64_t bytes)
{
    const uint8_t *header = run->header + bytes;
    remote_addr chunk = run->chunk + bytes;
    uint64_t size = size_at(header);

    return chunk < run->limit && is_chunk(run, header, size) &&
           size_at(header + bytes_of(size)) & CHUNK_PREV_INUSE && !is_in_fastbin(run, chunk, size);
}

static void count_links(struct list_sums *sums, remote_addr chunk, const uint8_t *header)
{
    sums->addresses += hash_address(chunk);
    sums->fd_targets += hash_address(field_u64(header, 16));
    sums->bk_targets += hash_address(field_u64(header, 24));
}

static void count_small_free(struct run *run, uint64_t bytes, bool binned)
{
    struct part *part = run->walker->part;
    struct range range = {run->chunk, run->chunk + bytes};

    if (binned) {
        count_links(&part->sums, run->chunk, run->header);
        census_add_free(&part->census, &run->walker->page_use, range);
        run->span.binned_chunks++;
        run->span.binned_bytes += bytes;
    } else {
        census_add_keeping(&part->census, &run->walker->page_use, range, census_class_of(bytes));
        part->sums.fastbin_count++;
        part->sums.fastbin_addresses += hash_address(run->chunk);
        run->span.fast_chunks++;
        run->span.fast_bytes += bytes;
    }
}

/* A small free chunk between two in use. */
static bool take_small_free(struct run *run)
{
    uint64_t bytes = bytes_of(run->size);
    const uint8_t *behind = run->header + bytes;
    bool binned = !(size_at(behind) & CHUNK_PREV_INUSE);

    if (binned && run->walker->part->nodes) /* it is to be noted */
        return false;
    if (!run->after_live || bytes > SMALL_FREE_MOST || !is_live_behind(run, bytes))
        return false;
    if (binned && (field_u64(behind, 0) != bytes || !(run->size & CHUNK_PREV_INUSE)))
        return false;
    count_small_free(run, bytes, binned);
    run->size = size_at(behind);
    run->header = behind;
    run->chunk += bytes;
    run->after_live = false;
    return true;
}

static struct run run_from(struct walker *walker, const struct chunk_header *here)
{
    const struct region_reader *reader = &walker->reader;
    const uint8_t *base = reader->slice;

    return (struct run){.walker = walker,
                        .header = base + (here->address - reader->slice_range.start),
                        .end = base + range_length(reader->slice_range) - CHUNK_HEADER_BYTES,
                        .chunk = here->address,
                        .limit = run_limit(walker, here->address),
                        .size = here->bytes | here->flags,
                        .span = {.start = here->address, .state = SPAN_LIVE}};
}

int walker_take_run(struct walker *walker, struct chunk_header *here)
{
    struct run run = run_from(walker, here);

    while (run.chunk < run.limit && is_chunk(&run, run.header, run.size) &&
           (take_live(&run) || take_small_free(&run)))
        ;
    if (run.chunk == run.span.start)
        return 0;
    here->address = run.chunk;
    here->prev_size = field_u64(run.header, 0);
    here->bytes = bytes_of(run.size);
    here->flags = (unsigned)(run.size & CHUNK_FLAGS);
    run.span.length = run.chunk - run.span.start;
    return reader_emit_run(&walker->reader, &run.span, walker->why);
}
