#include "predict/trim.h"

#include <errno.h>
#include <stdlib.h>

enum { CHUNK_KEEPS = 48, TOP_KEEPS = 33, BATCH_PAGES = 1024 };

/* Neighbouring chunks that consolidation makes one. */
struct free_run {
    struct range range;
    bool has_top;
};

struct trim_sink {
    struct span_sink sink; /* first */
    struct memory *memory;
    struct trim_rules rules;
    struct trim_prediction *total; /* the root's; NULL in children */
    struct trim_prediction sum;
    const struct heap_region *region;
    bool locked, started;
    bool other_copy;   /* its arena is another malloc's than the program's */
    remote_addr first; /* start of the first span */
    bool has_head;     /* `head`: the first run, which the part before may extend to the left */
    bool in_run;       /* `run`: being extended */
    struct free_run head, run;
};

static const struct span_sink_ops trim_ops;

static struct trim_sink *trim_of(struct span_sink *sink)
{
    return (struct trim_sink *)sink;
}

/* The pages that go when this run is trimmed. */
static struct range pages_of(const struct trim_sink *sink, const struct free_run *run)
{
    struct range pages = {align_up(run->range.start + CHUNK_KEEPS, PAGE_BYTES),
                          align_down(run->range.end, PAGE_BYTES)};
    uint64_t length = range_length(run->range);

    if (sink->other_copy)
        return (struct range){0, 0};
    if (run->has_top) {
        pages.end = run->range.end;
        pages.start = pages.end;
        if (sink->region->kind == REGION_MAIN && sink->rules.top_at_break &&
            sink->region->arena == sink->rules.break_arena && length > TOP_KEEPS)
            pages.start -= align_down(length - TOP_KEEPS, sink->rules.top_unit);
    } else if (sink->locked) {
        pages.end = pages.start;
    }
    return pages;
}

struct page_count {
    struct trim_prediction *sum;
    remote_addr huge_block; /* the huge page being counted */
    size_t huge_pages;      /* of it that go */
};

static void count_page(struct page_count *count, remote_addr address, uint8_t flags)
{
    if (!page_is_resident(flags))
        return;
    count->sum->rss_bytes += PAGE_BYTES;
    if (!(flags & PAGE_EXCLUSIVE))
        return;
    if (!(flags & PAGE_HUGE)) {
        count->sum->charge_bytes += PAGE_BYTES;
        return;
    }
    /* A part of a huge page stays charged until the whole of it goes or it is split. */
    if (count->huge_block != align_down(address, HUGE_BYTES)) {
        count->huge_block = align_down(address, HUGE_BYTES);
        count->huge_pages = 0;
    }
    if (++count->huge_pages == HUGE_BYTES / PAGE_BYTES)
        count->sum->charge_bytes += HUGE_BYTES;
}

/* Pages in the window are counted there, others by asking again: only runs that cross windows. */
static int count_pages(struct trim_sink *sink, const struct page_window *window, struct range pages)
{
    struct page_count count = {.sum = &sink->sum, .huge_block = UINT64_MAX};
    uint8_t asked[BATCH_PAGES];
    bool in_window = window && pages.start >= window->range.start && pages.end <= window->range.end;

    while (pages.start < pages.end) {
        size_t batch = (size_t)(range_length(pages) >> PAGE_SHIFT);
        const uint8_t *flags = asked;
        int r = 0;

        if (batch > BATCH_PAGES)
            batch = BATCH_PAGES;
        if (in_window)
            flags = window->flags + ((pages.start - window->range.start) >> PAGE_SHIFT);
        else
            r = memory_page_flags(sink->memory, pages.start, batch, asked, NULL);
        if (r)
            return r;
        for (size_t i = 0; i < batch; i++)
            count_page(&count, pages.start + i * PAGE_BYTES, flags[i]);
        pages.start += batch * PAGE_BYTES;
    }
    return 0;
}

static int close_run(struct trim_sink *sink, const struct page_window *window)
{
    if (!sink->in_run)
        return 0;
    sink->in_run = false;
    if (sink->run.range.start == sink->first && sink->first != sink->region->range.start) {
        sink->has_head = true;
        sink->head = sink->run;
        return 0;
    }
    if (!sink->run.has_top && range_length(sink->run.range) < PAGE_BYTES + CHUNK_KEEPS)
        return 0; /* holds no whole page behind its links */
    return count_pages(sink, window, pages_of(sink, &sink->run));
}

static bool is_merged(const struct heap_span *span)
{
    return span->state == SPAN_BIN || span->state == SPAN_FASTBIN || span->state == SPAN_TOP;
}

static int take_span(struct trim_sink *sink, const struct page_window *window,
                     const struct heap_span *span)
{
    if (!sink->started)
        sink->first = span->start;
    sink->started = true;
    if (!is_merged(span))
        return close_run(sink, window);
    if (!sink->in_run)
        sink->run = (struct free_run){.range = {span->start, span->start}};
    sink->in_run = true;
    sink->run.range.end = span->start + span->length;
    sink->run.has_top |= span->state == SPAN_TOP;
    return 0;
}

static int trim_take(struct span_sink *sink, const struct page_window *window,
                     const struct heap_span *spans, size_t count)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < count; i++)
        r = take_span(trim_of(sink), window, &spans[i]);
    return r;
}

static struct span_sink *trim_fork(struct span_sink *sink, const struct heap_region *region)
{
    const struct trim_sink *parent = trim_of(sink);
    struct trim_sink *child = calloc(1, sizeof *child);

    if (!child)
        return NULL;
    child->sink = parent->sink;
    child->memory = parent->memory;
    child->rules = parent->rules;
    child->region = region;
    child->other_copy = region->kind != REGION_MMAPPED && parent->rules.arenas &&
                        parent->rules.arenas[region->arena].other_copy;
    child->locked =
        parent->rules.locked && parent->rules.locked(parent->rules.locked_context, region->range);
    return &child->sink;
}

static void extend_run(struct trim_sink *sink, const struct free_run *by)
{
    if (!sink->in_run)
        sink->run = *by;
    sink->in_run = true;
    sink->run.range.end = by->range.end;
    sink->run.has_top |= by->has_top;
}

static void add_prediction(struct trim_prediction *to, const struct trim_prediction *from)
{
    to->rss_bytes += from->rss_bytes;
    to->charge_bytes += from->charge_bytes;
}

/* The child's first run goes on with the parent's last one. */
static int append(struct trim_sink *parent, const struct trim_sink *child)
{
    int r;

    add_prediction(&parent->sum, &child->sum);
    if (child->in_run && child->run.range.start == child->first) {
        extend_run(parent, &child->run);
        return 0;
    }
    if (child->has_head)
        extend_run(parent, &child->head);
    r = close_run(parent, NULL);
    if (child->in_run)
        extend_run(parent, &child->run);
    return r;
}

static void adopt(struct trim_sink *parent, const struct trim_sink *child)
{
    parent->sum = child->sum;
    parent->started = child->started;
    parent->first = child->first;
    parent->has_head = child->has_head;
    parent->head = child->head;
    parent->in_run = child->in_run;
    parent->run = child->run;
}

static int trim_join(struct span_sink *sink, struct span_sink *joined)
{
    struct trim_sink *parent = trim_of(sink), *child = trim_of(joined);
    int r = 0;

    if (parent->total) {
        r = close_run(child, NULL);
        add_prediction(parent->total, &child->sum);
    } else if (!parent->started) {
        adopt(parent, child);
    } else if (child->started) {
        r = append(parent, child);
    }
    free(child);
    return r;
}

static void trim_discard(struct span_sink *child)
{
    free(child);
}

static const struct span_sink_ops trim_ops = {
    .fork = trim_fork, .take = trim_take, .join = trim_join, .discard = trim_discard};

struct span_sink *trim_sink_new(struct memory *memory, struct trim_rules rules,
                                struct trim_prediction *ret)
{
    struct trim_sink *sink = calloc(1, sizeof *sink);

    if (!sink)
        return NULL;
    sink->sink = (struct span_sink){.ops = &trim_ops, .takes_runs = true};
    sink->memory = memory;
    sink->rules = rules;
    sink->total = ret;
    return &sink->sink;
}

void trim_sink_free(struct span_sink *sink)
{
    free(sink);
}
