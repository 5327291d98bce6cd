/*
 * The fast path of the walk: chunks in use, and small free ones between them, whose headers are all
 * in the slice and whose pages are all resident, told as one span. A heap of small blocks spends
 * its time here. Which chunk is free is as good as random, so that a branch on it is foreseen by no
 * processor: the chunks of a page are taken without one, and the free ones are looked at then.
 */
#include "heap/glibc/walker.h"

enum {
    SMALL_FREE_MOST = PAGE_BYTES, /* holds no whole page */
    PAGE_CHUNKS_MOST = PAGE_BYTES / CHUNK_MIN_BYTES,
    LEAST_CLASS = CHUNK_MIN_BYTES / 16,
    SMALL_CLASSES = CENSUS_EXACT - LEAST_CLASS,
    AHEAD_BYTES =
        512, /* what the kernel has just copied lies in the cache, but not in the nearest */
};

struct run {
    struct walker *walker;
    const uint8_t *header;    /* in the slice: of the first chunk that is not taken yet */
    const uint8_t *end;       /* the last place where a header fits */
    remote_addr chunk, limit; /* the chunk at `header`; chunks from `limit` on are not the run's */
    bool after_live;          /* the chunk before is in use, and in this run */
    bool may_be_fast;         /* some chunk of the heap is in a fastbin */
    struct heap_span span;
    uint32_t blocks[SMALL_CLASSES]; /* small ones in use, by class */
};

/* Chunks that lie within one page, side by side from run->header on. */
struct page_chunks {
    const uint8_t *end;    /* the header behind them */
    uint64_t kept_classes; /* of those in use, as bits from LEAST_CLASS on */
    uint64_t free_bytes;
    uint32_t kept_count, free_count;
    uint16_t free[PAGE_CHUNKS_MOST + 1]; /* bytes from run->header on */
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

static inline void advance(struct run *run, const uint8_t *header)
{
    run->chunk += (uint64_t)(header - run->header);
    run->header = header;
}

/* Whether the header behind a chunk of this size is at hand. */
static inline bool is_chunk(const struct run *run, const uint8_t *header, uint64_t size)
{
    uint64_t bytes = bytes_of(size);

    return bytes >= CHUNK_MIN_BYTES && bytes % CHUNK_ALIGNMENT == 0 && !(size & CHUNK_MMAPPED) &&
           header <= run->end && bytes <= (uint64_t)(run->end - header);
}

static inline remote_addr address_of(const struct run *run, const uint8_t *header)
{
    return run->chunk + (uint64_t)(header - run->header);
}

static inline bool is_in_fastbin(const struct run *run, remote_addr chunk, uint64_t bytes)
{
    return run->may_be_fast && walker_in_fastbin(run->walker, chunk, bytes);
}

/* Whether the chunk at `header` is in use for sure: then consolidating merges nothing with it. */
static bool is_live(const struct run *run, const uint8_t *header)
{
    remote_addr chunk = address_of(run, header);
    uint64_t size;

    if (chunk >= run->limit || header > run->end)
        return false;
    size = size_at(header);
    return is_chunk(run, header, size) && size_at(header + bytes_of(size)) & CHUNK_PREV_INUSE &&
           !is_in_fastbin(run, chunk, bytes_of(size));
}

/*
 * The class of a chunk with this size word, less LEAST_CLASS. SMALL_CLASSES or more for one that is
 * not small, or no chunk: the bits that must be 0 are rotated to the top.
 */
static inline uint64_t small_class(uint64_t size)
{
    uint64_t above = (size & ~(uint64_t)(CHUNK_PREV_INUSE | CHUNK_NON_MAIN)) - CHUNK_MIN_BYTES;

    return above >> 4 | above << 60;
}

/*
 * Small chunks as long as they lie within the page. Where there are fastbins, only those in use:
 * what is in one may have a free neighbour.
 */
static inline __attribute__((always_inline)) void collect(struct run *run, struct page_chunks *page,
                                                          bool may_be_fast)
{
    const uint8_t *first = run->header, *header = first;
    const uint8_t *limit = first + (run->limit - run->chunk);
    const uint8_t *stop = first + (PAGE_BYTES - run->chunk % PAGE_BYTES);
    uint64_t size = size_at(header), kept_classes = 0, free_bytes = 0;
    uint32_t kept_count = 0, free_count = 0;

    if (stop > run->end)
        stop = run->end;
    while (header < limit) {
        uint64_t class = small_class(size), bytes = bytes_of(size), kept;

        if (class >= SMALL_CLASSES || (int64_t)bytes > stop - header)
            break;
        size = size_at(header + bytes);
        __builtin_prefetch(header + AHEAD_BYTES);
        kept = size & CHUNK_PREV_INUSE;
        if (may_be_fast && (!kept || is_in_fastbin(run, address_of(run, header), bytes)))
            break;
        run->blocks[class] += (uint32_t)kept;
        kept_count += (uint32_t)kept;
        kept_classes |= kept << class;
        page->free[free_count] = (uint16_t)(header - first);
        free_count += !kept;
        free_bytes += kept ? 0 : bytes;
        header += bytes;
    }
    page->end = header;
    page->kept_classes = kept_classes;
    page->kept_count = kept_count;
    page->free_bytes = free_bytes;
    page->free_count = free_count;
}

/* A free one at the end counts only if what is behind it is in use. */
static void check_last(const struct run *run, struct page_chunks *page)
{
    const uint8_t *last = page->free_count ? run->header + page->free[page->free_count - 1] : NULL;

    if (!last || last + bytes_of(size_at(last)) != page->end || is_live(run, page->end))
        return;
    page->free_count--;
    page->free_bytes -= (uint64_t)(page->end - last);
    page->end = last;
}

static inline int count_binned(struct run *run, const uint8_t *header, uint64_t bytes)
{
    struct part *part = run->walker->part;
    remote_addr chunk = address_of(run, header);
    uint64_t fd = field_u64(header, 16), bk = field_u64(header, 24);

    part->sums.addresses += hash_address(chunk);
    part->sums.fd_targets += hash_address(fd);
    part->sums.bk_targets += hash_address(bk);
    run->span.binned_chunks++;
    run->span.binned_bytes += bytes;
    return part->nodes ? free_nodes_note(part->nodes, chunk, bytes, fd, bk) : 0;
}

/* Whether it looks as it must: its size stands at its end, and the chunk before is not free. */
static bool is_whole(const uint8_t *header, uint64_t size)
{
    return field_u64(header + bytes_of(size), 0) == bytes_of(size) && size & CHUNK_PREV_INUSE;
}

/* One that is not whole ends the run; who looks at it closer finds out. */
static int count_all_binned(struct run *run, struct page_chunks *page)
{
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < page->free_count; i++) {
        const uint8_t *header = run->header + page->free[i];
        uint64_t size = size_at(header);

        if (!is_whole(header, size)) {
            page->end = header;
            break;
        }
        r = count_binned(run, header, bytes_of(size));
    }
    return r;
}

/* The rest of the page that the run is at, as far as chunks are small; perhaps none. */
static int take_page(struct run *run)
{
    struct page_use *use = &run->walker->page_use;
    struct page_chunks page;
    int r;

    if (run->chunk >= run->limit)
        return 0;
    if (run->may_be_fast)
        collect(run, &page, true);
    else
        collect(run, &page, false);
    check_last(run, &page);
    if (page.end == run->header)
        return 0;
    if (align_down(run->chunk, PAGE_BYTES) != use->page)
        census_enter_page(&run->walker->part->census, use, run->chunk);
    use->classes[0] |= page.kept_classes << LEAST_CLASS;
    use->free_bytes += page.free_bytes;
    run->span.chunks += page.kept_count;
    r = count_all_binned(run, &page);
    run->after_live = size_at(page.end) & CHUNK_PREV_INUSE;
    advance(run, page.end);
    return r;
}

static void take_live(struct run *run, uint64_t bytes)
{
    census_add_in_use(&run->walker->part->census, &run->walker->page_use,
                      (struct range){run->chunk, run->chunk + bytes}, bytes, 1);
    run->span.chunks++;
    run->after_live = true;
}

static int take_small_free(struct run *run, uint64_t bytes, bool binned)
{
    struct part *part = run->walker->part;
    struct range range = {run->chunk, run->chunk + bytes};

    run->after_live = false;
    if (binned) {
        census_add_free(&part->census, &run->walker->page_use, range);
        return count_binned(run, run->header, bytes);
    }
    census_add_keeping(&part->census, &run->walker->page_use, range, census_class_of(bytes));
    part->sums.fastbin_count++;
    part->sums.fastbin_addresses += hash_address(run->chunk);
    run->span.fast_chunks++;
    run->span.fast_bytes += bytes;
    return 0;
}

/* Whether a small free chunk lies between two in use. */
static bool stands_alone(const struct run *run, uint64_t size, bool binned)
{
    return run->after_live && bytes_of(size) <= SMALL_FREE_MOST &&
           (!binned || is_whole(run->header, size)) && is_live(run, run->header + bytes_of(size));
}

/* One chunk, if it is one for the run. */
static int take_one(struct run *run)
{
    uint64_t size = size_at(run->header), bytes = bytes_of(size);
    bool binned;
    int r = 0;

    if (run->chunk >= run->limit || !is_chunk(run, run->header, size))
        return 0;
    binned = !(size_at(run->header + bytes) & CHUNK_PREV_INUSE);
    if (!binned && !is_in_fastbin(run, run->chunk, bytes))
        take_live(run, bytes);
    else if (stands_alone(run, size, binned))
        r = take_small_free(run, bytes, binned);
    else
        return 0;
    advance(run, run->header + bytes);
    return r;
}

static void count_blocks(const struct run *run)
{
    struct census_class *classes = run->walker->part->census.classes + LEAST_CLASS;

    for (unsigned i = 0; i < SMALL_CLASSES; i++) {
        classes[i].blocks += run->blocks[i];
        classes[i].bytes += run->blocks[i] * census_class_least(i + LEAST_CLASS);
    }
}

static bool has_fastbins(const struct glibc *glibc)
{
    size_t set = 0;

    while (set < FASTBIN_SETS && !glibc->fastbins[set].slot_count)
        set++;
    return set < FASTBIN_SETS;
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
                        .may_be_fast = has_fastbins(walker->glibc),
                        .span = {.start = here->address, .state = SPAN_LIVE}};
}

int walker_take_run(struct walker *walker, struct chunk_header *here)
{
    struct run run = run_from(walker, here);
    remote_addr before;
    uint64_t size;
    int r = 0;

    do {
        before = run.chunk;
        if (run.after_live)
            r = take_page(&run);
        if (r == 0)
            r = take_one(&run);
    } while (r == 0 && run.chunk > before);
    if (r || run.chunk == run.span.start)
        return r;
    count_blocks(&run);
    size = size_at(run.header);
    here->address = run.chunk;
    here->prev_size = field_u64(run.header, 0);
    here->bytes = bytes_of(size);
    here->flags = (unsigned)(size & CHUNK_FLAGS);
    run.span.length = run.chunk - run.span.start;
    return reader_emit_run(&walker->reader, &run.span, walker->why);
}
