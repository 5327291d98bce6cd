#include "ledger/tally.h"

#include <errno.h>
#include <stdlib.h>

struct tally_sink {
    struct span_sink sink;    /* first */
    struct heap_tally *total; /* the root's; NULL in children */
    bool (*locked)(const void *context, struct range range);
    const void *locked_context;
    bool region_locked;
    bool mmapped;
    uint32_t arena;
    struct arena_tally tally;
};

static const struct span_sink_ops tally_ops;

static struct tally_sink *tally_of(struct span_sink *sink)
{
    return (struct tally_sink *)sink;
}

static enum account account_of(enum span_state state)
{
    switch (state) {
    case SPAN_LIVE:
        return ACCOUNT_HEAP_LIVE;
    case SPAN_TCACHE:
    case SPAN_FASTBIN:
        return ACCOUNT_HEAP_CACHED;
    case SPAN_BIN:
    case SPAN_TOP:
        return ACCOUNT_HEAP_PINNED;
    case SPAN_FENCE:
    case SPAN_METADATA:
        return ACCOUNT_HEAP_OVERHEAD;
    case SPAN_UNKNOWN:
    case SPAN_STATES:
        break;
    }
    return ACCOUNT_UNEXPLAINED;
}

static void add_account(struct arena_tally *tally, enum account account, uint64_t bytes)
{
    tally->account[account] += bytes;
    tally->resident_bytes += bytes;
}

/* Whether all of the huge page that holds `address` is in `pages`. */
static bool is_whole_huge(struct range pages, remote_addr address)
{
    return range_holds(pages, align_down(address, HUGE_BYTES), HUGE_BYTES);
}

/* Counted by page, because some of them free nothing when they are returned. */
static struct returnable count_returnable(const struct page_window *window, struct range pages)
{
    struct returnable sum = {0};

    for (remote_addr page = pages.start; page < pages.end; page += PAGE_BYTES) {
        uint8_t flags = window_flags_at(window, page);

        if (!page_is_resident(flags))
            continue;
        sum.bytes += PAGE_BYTES;
        if (!(flags & PAGE_EXCLUSIVE))
            sum.shared_bytes += PAGE_BYTES;
        else if (flags & PAGE_HUGE && !is_whole_huge(pages, page))
            sum.huge_part_bytes += PAGE_BYTES;
    }
    return sum;
}

static void add_returnable(struct returnable *to, const struct returnable *from)
{
    to->bytes += from->bytes;
    to->shared_bytes += from->shared_bytes;
    to->huge_part_bytes += from->huge_part_bytes;
}

static void add_whole_pages(struct arena_tally *tally, const struct page_window *window,
                            struct range pages, const struct heap_span *span)
{
    struct returnable sum = count_returnable(window, pages);
    bool top = span->state == SPAN_TOP;

    add_account(tally, ACCOUNT_HEAP_RETURNABLE, sum.bytes);
    add_returnable(top ? &tally->in_top : &tally->in_bins, &sum);
    if (span->chunk_bytes >= LARGE_CHUNK)
        add_returnable(top ? &tally->large_in_top : &tally->large_in_bins, &sum);
}

static uint64_t swapped_bytes(const struct page_window *window, struct range range)
{
    uint64_t bytes = 0;

    for (remote_addr at = range.start; at < range.end;) {
        remote_addr next = align_down(at, PAGE_BYTES) + PAGE_BYTES;

        if (next > range.end)
            next = range.end;
        if (window_flags_at(window, at) & PAGE_SWAPPED)
            bytes += next - at;
        at = next;
    }
    return bytes;
}

/* A part of a binned chunk or a top: what stands in whole pages behind its links can go, the rest
 * is pinned. */
static void add_free(struct tally_sink *sink, const struct page_window *window,
                     const struct heap_span *span)
{
    struct range whole = {span->start, span->start + span->length}, pages = whole;
    uint64_t keeps = heap_free_chunk_keeps(span->state);
    remote_addr keeps_end;

    /* A chunk may begin so close to a window's end that its links are in the next one. */
    keeps_end = align_up((span->head ? span->start : span->chunk) + keeps, PAGE_BYTES);
    if (keeps_end > pages.start)
        pages.start = keeps_end;
    if (span->tail)
        pages.end = align_down(whole.end, PAGE_BYTES);
    if (pages.start >= pages.end || sink->region_locked) {
        add_account(&sink->tally, ACCOUNT_HEAP_PINNED, window_resident_bytes(window, whole));
        return;
    }
    add_account(&sink->tally, ACCOUNT_HEAP_PINNED,
                window_resident_bytes(window, (struct range){whole.start, pages.start}) +
                    window_resident_bytes(window, (struct range){pages.end, whole.end}));
    add_whole_pages(&sink->tally, window, pages, span);
}

/* All-zero pages that lie wholly in live chunks: no header is in them, so it is the program's own
 * memory, unused. */
static uint64_t zero_bytes(const struct page_window *window, struct range live)
{
    size_t first = (size_t)((align_up(live.start, PAGE_BYTES) - window->range.start) >> PAGE_SHIFT);
    size_t end = (size_t)((align_down(live.end, PAGE_BYTES) - window->range.start) >> PAGE_SHIFT);
    uint64_t bytes = 0;

    for (size_t i = first; i < end; i++)
        if (window->flags[i] & PAGE_CONTENT_ZERO)
            bytes += PAGE_BYTES;
    return bytes;
}

static uint8_t flags_anywhere(const struct page_window *window)
{
    uint8_t any = 0;

    for (size_t i = 0; i < WINDOW_PAGES; i++)
        any |= window->flags[i];
    return any;
}

static void count_span(struct arena_tally *tally, const struct heap_span *span)
{
    switch (span->state) {
    case SPAN_LIVE:
        tally->live_bytes += span->length - span->binned_bytes - span->fast_bytes;
        tally->live_blocks += span->chunks;
        tally->free_bytes[SPAN_BIN] += span->binned_bytes;
        tally->free_blocks[SPAN_BIN] += span->binned_chunks;
        tally->free_bytes[SPAN_FASTBIN] += span->fast_bytes;
        tally->free_blocks[SPAN_FASTBIN] += span->fast_chunks;
        break;
    case SPAN_TCACHE:
    case SPAN_FASTBIN:
    case SPAN_BIN:
    case SPAN_TOP:
        tally->free_bytes[span->state] += span->length;
        tally->free_blocks[span->state] += span->chunks;
        break;
    default:
        break;
    }
}

static bool is_free(enum span_state state)
{
    return state == SPAN_TCACHE || state == SPAN_FASTBIN || state == SPAN_BIN || state == SPAN_TOP;
}

/* A run of neighbours in one state: resident bytes to their account. */
static void add_run(struct tally_sink *sink, const struct page_window *window,
                    const struct heap_span *span, struct range run, bool resident)
{
    enum account account = account_of(span->state);

    if (span->state == SPAN_BIN || span->state == SPAN_TOP)
        add_free(sink, window, span);
    else
        add_account(&sink->tally, account,
                    resident ? range_length(run) : window_resident_bytes(window, run));
}

/* The small free chunks among live ones, all of them resident: to their own accounts. */
static void move_small_free(struct arena_tally *tally, const struct heap_span *span)
{
    tally->account[ACCOUNT_HEAP_LIVE] -= span->binned_bytes + span->fast_bytes;
    tally->account[ACCOUNT_HEAP_PINNED] += span->binned_bytes;
    tally->account[ACCOUNT_HEAP_CACHED] += span->fast_bytes;
    tally->free_resident[SPAN_BIN] += span->binned_bytes;
    tally->free_resident[SPAN_FASTBIN] += span->fast_bytes;
}

/* Neighbours of one state are summed up together: most spans are live ones behind live ones. */
static int tally_take(struct span_sink *sink, const struct page_window *window,
                      const struct heap_span *spans, size_t count)
{
    struct tally_sink *tally = tally_of(sink);
    uint8_t any = flags_anywhere(window);
    struct range all = {spans[0].start, spans[count - 1].start + spans[count - 1].length};
    bool resident =
        window_resident_bytes(window, all) == range_length(all); /* so is every part of it */

    for (size_t i = 0; i < count;) {
        const struct heap_span *first = &spans[i];
        struct range run = {first->start, first->start};
        uint64_t before = tally->tally.resident_bytes;

        do {
            count_span(&tally->tally, &spans[i]);
            if (first->state == SPAN_LIVE)
                move_small_free(&tally->tally, &spans[i]);
            run.end += spans[i++].length;
        } while (i < count && spans[i].state == first->state && first->state != SPAN_BIN &&
                 first->state != SPAN_TOP);
        add_run(tally, window, first, run, resident);
        if (is_free(first->state))
            tally->tally.free_resident[first->state] += tally->tally.resident_bytes - before;
        if (is_free(first->state) && any & PAGE_SWAPPED)
            tally->tally.free_swapped[first->state] += swapped_bytes(window, run);
        if (first->state == SPAN_LIVE && any & PAGE_CONTENT_ZERO)
            tally->tally.live_zero_bytes += zero_bytes(window, run);
    }
    return 0;
}

/* Every field is a sum. */
static void add_tally(struct arena_tally *to, const struct arena_tally *from)
{
    const uint64_t *add = (const uint64_t *)from;
    uint64_t *sum = (uint64_t *)to;

    _Static_assert(sizeof *to % sizeof *sum == 0, "a tally holds nothing but 64-bit sums");
    for (size_t i = 0; i < sizeof *to / sizeof *sum; i++)
        sum[i] += add[i];
}

static struct span_sink *tally_fork(struct span_sink *sink, const struct heap_region *region)
{
    const struct tally_sink *parent = tally_of(sink);
    struct tally_sink *child = calloc(1, sizeof *child);

    if (!child)
        return NULL;
    child->sink = parent->sink;
    child->locked = parent->locked;
    child->locked_context = parent->locked_context;
    child->region_locked = parent->locked && parent->locked(parent->locked_context, region->range);
    child->mmapped = region->kind == REGION_MMAPPED;
    child->arena = region->arena;
    return &child->sink;
}

static int tally_join(struct span_sink *sink, struct span_sink *joined)
{
    struct tally_sink *parent = tally_of(sink), *child = tally_of(joined);

    if (!parent->total)
        add_tally(&parent->tally, &child->tally);
    else
        add_tally(child->mmapped ? &parent->total->mmapped : &parent->total->arenas[child->arena],
                  &child->tally);
    free(child);
    return 0;
}

static void tally_discard(struct span_sink *child)
{
    free(child);
}

static const struct span_sink_ops tally_ops = {
    .fork = tally_fork, .take = tally_take, .join = tally_join, .discard = tally_discard};

struct span_sink *tally_sink_new(struct heap_tally *tally,
                                 bool (*locked)(const void *context, struct range range),
                                 const void *context)
{
    struct tally_sink *sink = calloc(1, sizeof *sink);

    if (!sink)
        return NULL;
    sink->sink = (struct span_sink){.ops = &tally_ops, .takes_runs = true};
    sink->total = tally;
    sink->locked = locked;
    sink->locked_context = context;
    return &sink->sink;
}

void tally_sink_free(struct span_sink *sink)
{
    free(sink);
}

int tally_open(struct heap_tally *ret, const struct heap *heap)
{
    struct heap_tally tally = {.arena_count = heap->arenas.count};

    tally.arenas = calloc(tally.arena_count + 1, sizeof *tally.arenas);
    if (!tally.arenas)
        return -ENOMEM;
    *ret = tally;
    return 0;
}

void tally_close(struct heap_tally *tally)
{
    free(tally->arenas);
    *tally = (struct heap_tally){0};
}

struct arena_tally tally_sum(const struct heap_tally *tally)
{
    struct arena_tally sum = {0};

    for (size_t i = 0; i < tally->arena_count; i++)
        add_tally(&sum, &tally->arenas[i]);
    return sum;
}

struct free_places tally_free_places(const struct heap_tally *tally)
{
    struct arena_tally sum = tally_sum(tally);
    struct free_places places = {0};

    add_tally(&sum, &tally->mmapped);
    for (size_t i = 0; i < SPAN_STATES; i++) {
        places.bytes += sum.free_bytes[i];
        places.resident_bytes += sum.free_resident[i];
        places.swapped_bytes += sum.free_swapped[i];
    }
    places.discarded_bytes = places.bytes - places.resident_bytes - places.swapped_bytes;
    return places;
}

void tally_add_to_ledger(const struct heap_tally *tally, struct ledger *ledger)
{
    struct arena_tally sum = tally_sum(tally);

    add_tally(&sum, &tally->mmapped);
    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        ledger->bytes[i] += sum.account[i];
}
