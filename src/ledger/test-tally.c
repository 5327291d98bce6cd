/* Accounts of spans, against a plain byte-by-byte model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/tally.h"

enum { PAGES = 512, ROUNDS = 200, SPANS_MOST = 2000 };
#define BASE UINT64_C(0x7f0000000000)

static uint64_t seed = 11;

static uint64_t random_below(uint64_t limit)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % limit;
}

static bool always_locked(const void *context, struct range range)
{
    (void)context;
    return range.start == BASE;
}

struct model {
    struct page_window window;
    struct heap_span spans[SPANS_MOST];
    size_t count;
    uint8_t account[PAGES * 4096]; /* of every byte; ACCOUNT_COUNT: not resident */
};

static void count_resident(struct page_window *window)
{
    window->resident[0] = 0;
    for (size_t i = 0; i < PAGES; i++)
        window->resident[i + 1] =
            (uint16_t)(window->resident[i] + page_is_resident(window->flags[i]));
}

static enum account plain_account(enum span_state state)
{
    if (state == SPAN_LIVE)
        return ACCOUNT_HEAP_LIVE;
    if (state == SPAN_TCACHE || state == SPAN_FASTBIN)
        return ACCOUNT_HEAP_CACHED;
    return state == SPAN_METADATA || state == SPAN_FENCE ? ACCOUNT_HEAP_OVERHEAD
                                                         : ACCOUNT_HEAP_PINNED;
}

static void model_span(struct model *model, const struct heap_span *span, bool locked)
{
    uint64_t start = span->start - BASE, end = start + span->length;
    uint64_t keeps = span->state == SPAN_TOP ? 33 : 48;
    uint64_t first = (start + keeps + 4095) / 4096, last = end / 4096;

    for (uint64_t i = start; i < end; i++)
        model->account[i] = (uint8_t)plain_account(span->state);
    if ((span->state == SPAN_BIN || span->state == SPAN_TOP) && !locked)
        for (uint64_t i = first * 4096; i < last * 4096; i++)
            model->account[i] = ACCOUNT_HEAP_RETURNABLE;
}

static void make_model(struct model *model, bool locked)
{
    static const enum span_state states[] = {SPAN_LIVE,    SPAN_LIVE,  SPAN_BIN,     SPAN_TCACHE,
                                             SPAN_FASTBIN, SPAN_FENCE, SPAN_METADATA};
    remote_addr at = BASE, end = BASE + PAGES * PAGE_BYTES;

    model->count = 0;
    model->window.range = (struct range){BASE, end};
    for (size_t i = 0; i < PAGES; i++)
        model->window.flags[i] =
            random_below(5) ? PAGE_PRESENT | PAGE_EXCLUSIVE : (random_below(2) ? PAGE_SWAPPED : 0);
    count_resident(&model->window);
    while (at < end && model->count < SPANS_MOST) {
        struct heap_span span = {.start = at, .chunks = 1, .head = true, .tail = true};

        span.state = (uint8_t)states[random_below(7)];
        span.length = 16 * (2 + (random_below(5) ? random_below(80) : random_below(3000)));
        if (span.length > end - at || model->count == SPANS_MOST - 1) {
            span.length = end - at;
            span.state = SPAN_TOP;
        }
        span.chunk_bytes = span.length;
        at += span.length;
        model_span(model, &span, locked);
        model->spans[model->count++] = span;
    }
}

/* Free bytes by where they are, one by one. */
static void check_places(const struct model *model, const struct heap_tally *tally)
{
    struct free_places expected = {0}, places = tally_free_places(tally);

    for (size_t i = 0; i < model->count; i++) {
        const struct heap_span *span = &model->spans[i];

        if (span->state != SPAN_BIN && span->state != SPAN_TOP && span->state != SPAN_TCACHE &&
            span->state != SPAN_FASTBIN)
            continue;
        for (uint64_t at = span->start; at < span->start + span->length; at++) {
            uint8_t flags = model->window.flags[(at - BASE) / 4096];

            expected.bytes++;
            expected.resident_bytes += page_is_resident(flags);
            expected.swapped_bytes += (flags & PAGE_SWAPPED) != 0;
            expected.discarded_bytes += flags == 0;
        }
    }
    assert_memory_equal(&places, &expected, sizeof places);
}

static void check_round(struct model *model, bool locked)
{
    struct heap heap = {.arenas = {.count = 1}};
    struct heap_region region = {.range = {locked ? BASE : BASE + 16, BASE + PAGES * PAGE_BYTES}};
    struct heap_tally tally;
    struct ledger ledger = {{0}}, expected = {{0}};
    struct span_sink *root, *part;

    make_model(model, locked);
    assert_int_equal(tally_open(&tally, &heap), 0);
    root = tally_sink_new(&tally, always_locked, NULL);
    for (size_t from = 0; from < model->count;) {
        size_t count = 1 + random_below(model->count - from);

        part = root->ops->fork(root, &region);
        assert_int_equal(part->ops->take(part, &model->window, model->spans + from, count), 0);
        assert_int_equal(root->ops->join(root, part), 0);
        from += count;
    }
    tally_add_to_ledger(&tally, &ledger);
    for (uint64_t i = 0; i < PAGES * 4096; i++)
        if (page_is_resident(model->window.flags[i / 4096]))
            expected.bytes[model->account[i]]++;
    assert_memory_equal(&ledger, &expected, sizeof ledger);
    assert_int_equal(tally.arenas[0].resident_bytes, ledger_sum(&expected));
    assert_int_equal(tally.arenas[0].in_bins.bytes + tally.arenas[0].in_top.bytes,
                     ledger.bytes[ACCOUNT_HEAP_RETURNABLE]);
    check_places(model, &tally);
    tally_sink_free(root);
    tally_close(&tally);
}

static void test_every_byte_has_its_account(void **state)
{
    struct model *model = malloc(sizeof *model);

    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++)
        check_round(model, i % 4 == 3);
    free(model);
}

static void test_what_returning_frees(void **state)
{
    struct page_window window = {
        .range = {BASE & ~(HUGE_BYTES - 1), (BASE & ~(HUGE_BYTES - 1)) + 1024 * PAGE_BYTES}};
    struct heap heap = {.arenas = {.count = 1}};
    struct heap_region region = {.range = window.range, .kind = REGION_MAIN};
    struct heap_span span = {.start = window.range.start + 512,
                             .length = 700 * PAGE_BYTES,
                             .chunk_bytes = 700 * PAGE_BYTES,
                             .state = SPAN_BIN,
                             .chunks = 1,
                             .head = true,
                             .tail = true};
    struct heap_tally tally;
    struct span_sink *root, *part;

    (void)state;
    for (size_t i = 0; i < 1024; i++)
        window.flags[i] = PAGE_PRESENT | (i < 600 ? PAGE_EXCLUSIVE : 0) | (i < 512 ? PAGE_HUGE : 0);
    for (size_t i = 0; i < 1024; i++)
        window.resident[i + 1] = (uint16_t)(i + 1);
    assert_int_equal(tally_open(&tally, &heap), 0);
    root = tally_sink_new(&tally, NULL, NULL);
    part = root->ops->fork(root, &region);
    assert_int_equal(part->ops->take(part, &window, &span, 1), 0);
    assert_int_equal(root->ops->join(root, part), 0);
    /* Pages 1..699 go; 1..511 are a part of one huge page, 600..699 are shared with a fork. */
    assert_int_equal(tally.arenas[0].in_bins.bytes, 699 * PAGE_BYTES);
    assert_int_equal(tally.arenas[0].in_bins.huge_part_bytes, 511 * PAGE_BYTES);
    assert_int_equal(tally.arenas[0].in_bins.shared_bytes, 100 * PAGE_BYTES);
    assert_int_equal(tally.arenas[0].large_in_bins.bytes, 699 * PAGE_BYTES);
    tally_sink_free(root);
    tally_close(&tally);
}

/* A chunk whose header stands in one window and whose links in the next: their page is not free. */
static void test_links_in_the_next_window(void **state)
{
    struct page_window window = {.range = {BASE, BASE + 16 * PAGE_BYTES}};
    struct heap heap = {.arenas = {.count = 1}};
    struct heap_region region = {.range = {BASE - PAGE_BYTES, window.range.end},
                                 .kind = REGION_MAIN};
    struct heap_span span = {.start = BASE,
                             .length = 16 * PAGE_BYTES,
                             .chunk = BASE - 16,
                             .chunk_bytes = 16 * PAGE_BYTES + 16,
                             .state = SPAN_BIN,
                             .tail = true};
    struct heap_tally tally;
    struct span_sink *root, *part;

    (void)state;
    for (size_t i = 0; i < 16; i++) {
        window.flags[i] = PAGE_PRESENT | PAGE_EXCLUSIVE;
        window.resident[i + 1] = (uint16_t)(i + 1);
    }
    assert_int_equal(tally_open(&tally, &heap), 0);
    root = tally_sink_new(&tally, NULL, NULL);
    part = root->ops->fork(root, &region);
    assert_int_equal(part->ops->take(part, &window, &span, 1), 0);
    assert_int_equal(root->ops->join(root, part), 0);
    assert_int_equal(tally.arenas[0].in_bins.bytes, 15 * PAGE_BYTES);
    assert_int_equal(tally.arenas[0].account[ACCOUNT_HEAP_PINNED], PAGE_BYTES);
    tally_sink_free(root);
    tally_close(&tally);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_byte_has_its_account),
                                       cmocka_unit_test(test_what_returning_frees),
                                       cmocka_unit_test(test_links_in_the_next_window)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
