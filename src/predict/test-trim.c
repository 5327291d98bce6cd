/*
 * The prediction must not depend on how a heap is cut into parts, windows and batches: random heaps
 * are told whole and in pieces, and a slow, plain model of mtrim and systrim says what is right.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mem/fake.h"
#include "predict/trim.h"

enum { PAGES = 4096, SPANS_MOST = 4000, ROUNDS = 300 };
#define BASE UINT64_C(0x555555600000) /* a multiple of 2 MiB */

struct heap_model {
    struct heap_span spans[SPANS_MOST];
    size_t count;
    uint8_t flags[PAGES];
    struct heap_region region;
    struct trim_rules rules;
};

static uint64_t seed;

static uint64_t random_below(uint64_t limit)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % limit;
}

static uint64_t random_length(void)
{
    switch (random_below(8)) {
    case 0:
        return 16 * (300 + random_below(4000));
    case 1:
        return 16 * (2 + random_below(600));
    default:
        return 16 * (2 + random_below(60));
    }
}

static enum span_state random_state(void)
{
    static const enum span_state states[] = {SPAN_LIVE,    SPAN_LIVE,   SPAN_BIN,
                                             SPAN_FASTBIN, SPAN_TCACHE, SPAN_BIN};

    return states[random_below(6)];
}

static void make_heap(struct heap_model *heap, bool main)
{
    remote_addr at = BASE, end = BASE + PAGES * PAGE_BYTES;

    memset(heap, 0, sizeof *heap);
    heap->region =
        (struct heap_region){.range = {BASE, end}, .kind = main ? REGION_MAIN : REGION_THREAD_HEAP};
    heap->rules = (struct trim_rules){.top_at_break = random_below(4) != 0,
                                      .top_unit = random_below(4) ? PAGE_BYTES : HUGE_BYTES};
    while (heap->count < SPANS_MOST - 1 && at < end - 64 * PAGE_BYTES) {
        struct heap_span span = {
            .start = at, .length = random_length(), .chunks = 1, .head = true, .tail = true};

        span.state = (uint8_t)random_state();
        span.chunk_bytes = span.length;
        at += span.length;
        heap->spans[heap->count++] = span;
    }
    heap->spans[heap->count++] = (struct heap_span){.start = at,
                                                    .length = end - at,
                                                    .chunk_bytes = end - at,
                                                    .state = SPAN_TOP,
                                                    .chunks = 1,
                                                    .head = true,
                                                    .tail = true};
    for (size_t i = 0; i < PAGES; i++)
        heap->flags[i] =
            random_below(8) == 0 ? 0 : PAGE_PRESENT | (random_below(8) ? PAGE_EXCLUSIVE : 0);
    for (size_t i = 0; i < PAGES; i += 512)
        for (size_t k = 0; random_below(3) == 0 && k < 512; k++)
            heap->flags[i + k] = PAGE_PRESENT | PAGE_EXCLUSIVE | PAGE_HUGE;
}

/* What mtrim and systrim do, a page at a time. */
static void model_range(const struct heap_model *heap, remote_addr start, remote_addr end,
                        uint64_t *rss)
{
    for (remote_addr page = start; page < end; page += PAGE_BYTES)
        if (page_is_resident(heap->flags[(page - BASE) / PAGE_BYTES]))
            *rss += PAGE_BYTES;
}

static uint64_t model_trim(const struct heap_model *heap)
{
    uint64_t rss = 0;

    for (size_t i = 0; i < heap->count;) {
        remote_addr start = heap->spans[i].start, end = start;
        bool top = false;

        while (i < heap->count &&
               (heap->spans[i].state == SPAN_BIN || heap->spans[i].state == SPAN_FASTBIN ||
                heap->spans[i].state == SPAN_TOP)) {
            top |= heap->spans[i].state == SPAN_TOP;
            end += heap->spans[i++].length;
        }
        if (end == start) {
            i++;
            continue;
        }
        if (!top) {
            remote_addr aligned = (start + 48 + 4095) & ~UINT64_C(4095);

            if (end > aligned && end - aligned > 4095)
                model_range(heap, aligned, aligned + ((end - aligned) & ~UINT64_C(4095)), &rss);
        } else if (heap->region.kind == REGION_MAIN && heap->rules.top_at_break) {
            uint64_t extra = (end - start - 33) & ~(heap->rules.top_unit - 1);

            model_range(heap, end - extra, end, &rss);
        }
    }
    return rss;
}

/* Hands over spans from `from` on until `until`, cut at windows of random length. */
static void feed(struct span_sink *sink, const struct heap_model *heap, size_t from, size_t until)
{
    struct page_window window = {.range = {0, 0}};

    for (size_t i = from; i < until; i++) {
        struct heap_span span = heap->spans[i];
        remote_addr end = span.start + span.length;

        while (span.start < end) {
            if (span.start >= window.range.end) {
                window.range.start = span.start & ~UINT64_C(4095);
                window.range.end = align_down(window.range.start + WINDOW_BYTES, HUGE_BYTES);
                if (random_below(2) && window.range.end - window.range.start > HUGE_BYTES)
                    window.range.end -= HUGE_BYTES;
                if (window.range.end > BASE + PAGES * PAGE_BYTES)
                    window.range.end = BASE + PAGES * PAGE_BYTES;
                memcpy(window.flags, heap->flags + (window.range.start - BASE) / PAGE_BYTES,
                       (window.range.end - window.range.start) / PAGE_BYTES);
            }
            span.tail = end <= window.range.end;
            span.length = (span.tail ? end : window.range.end) - span.start;
            assert_int_equal(sink->ops->take(sink, &window, &span, 1), 0);
            span.start += span.length;
            span.head = false;
        }
    }
}

static struct trim_prediction predict(struct heap_model *heap, size_t parts)
{
    struct fake_extent extent = {.start = BASE, .pages = PAGES, .flags = heap->flags};
    struct fake_memory memory;
    struct trim_prediction prediction = {0};
    struct span_sink *root, *region;
    size_t from = 0;

    fake_memory_init(&memory, &extent, 1);
    root = trim_sink_new(&memory.memory, heap->rules, &prediction);
    region = root->ops->fork(root, &heap->region);
    for (size_t i = 1; i <= parts; i++) {
        struct span_sink *part = root->ops->fork(region, &heap->region);
        size_t until = i == parts ? heap->count : from + random_below(heap->count - from + 1);

        feed(part, heap, from, until);
        from = until;
        assert_int_equal(root->ops->join(region, part), 0);
    }
    assert_int_equal(root->ops->join(root, region), 0);
    trim_sink_free(root);
    return prediction;
}

static void check_heaps(bool main)
{
    struct heap_model *heap = malloc(sizeof *heap);

    seed = main ? 1 : 2;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct trim_prediction whole, pieces;
        uint64_t expected;

        make_heap(heap, main);
        expected = model_trim(heap);
        whole = predict(heap, 1);
        pieces = predict(heap, 2 + random_below(12));
        assert_int_equal(whole.rss_bytes, expected);
        assert_int_equal(pieces.rss_bytes, expected);
        assert_int_equal(pieces.charge_bytes, whole.charge_bytes);
        assert_true(whole.charge_bytes <= whole.rss_bytes);
    }
    free(heap);
}

static void test_main_arena(void **state)
{
    (void)state;
    check_heaps(true);
}

static void test_thread_arena(void **state)
{
    (void)state;
    check_heaps(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_main_arena),
                                       cmocka_unit_test(test_thread_arena)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
