/* Heaps of every version that there is a layout for, found chunk by chunk as they were written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heap/synthetic.h"

struct collected {
    struct synthetic_chunk chunks[SYNTHETIC_CHUNKS];
    size_t count;
};

static struct collected found;

struct collecting_sink {
    struct span_sink sink;
    struct synthetic_chunk *chunks;
    size_t count;
};

static const struct span_sink_ops collecting_ops;

static struct span_sink *collecting_fork(struct span_sink *sink, const struct heap_region *region)
{
    struct collecting_sink *child = calloc(1, sizeof *child);

    assert_non_null(child);
    child->sink = *sink;
    child->chunks = calloc(SYNTHETIC_CHUNKS, sizeof *child->chunks);
    assert_non_null(child->chunks);
    return &child->sink;
}

static int collecting_take(struct span_sink *sink, const struct page_window *window,
                           const struct heap_span *spans, size_t count)
{
    struct collecting_sink *self = (struct collecting_sink *)sink;

    for (size_t i = 0; i < count; i++) {
        if (!spans[i].head)
            continue;
        assert_true(self->count < SYNTHETIC_CHUNKS);
        self->chunks[self->count++] =
            (struct synthetic_chunk){spans[i].start, spans[i].chunk_bytes, spans[i].state};
    }
    return 0;
}

static void collecting_discard(struct span_sink *child)
{
    free(((struct collecting_sink *)child)->chunks);
    free(child);
}

static int collecting_join(struct span_sink *sink, struct span_sink *joined)
{
    const struct collecting_sink *child = (struct collecting_sink *)joined;
    struct collecting_sink *self = (struct collecting_sink *)sink;

    assert_true(self->count + child->count <= SYNTHETIC_CHUNKS);
    memcpy(self->chunks + self->count, child->chunks, child->count * sizeof *child->chunks);
    self->count += child->count;
    collecting_discard(joined);
    return 0;
}

static const struct span_sink_ops collecting_ops = {.fork = collecting_fork,
                                                    .take = collecting_take,
                                                    .join = collecting_join,
                                                    .discard = collecting_discard};

static int by_address(const void *a, const void *b)
{
    const struct synthetic_chunk *x = a, *y = b;

    return (x->address > y->address) - (x->address < y->address);
}

static struct heap *decode(struct synthetic *s, struct why *why)
{
    struct collecting_sink sink = {.sink.ops = &collecting_ops, .chunks = found.chunks};
    struct heap *heap;
    int r = allocators[0]->open(&s->view, &heap, why);

    if (r) {
        assert_true(r > 0);
        return NULL;
    }
    assert_int_equal(allocators[0]->walk(&s->view, heap, &sink.sink, 2, why), 0);
    found.count = sink.count;
    if (heap->refusals.count)
        *why = heap->refusals.items[0].reason;
    assert_int_equal(s->memory.reads_of_absent, 0);
    return heap;
}

static void close_heap(struct heap *heap)
{
    if (heap)
        allocators[0]->close(heap);
}

static void compare_chunks(const struct synthetic *s)
{
    qsort(s->chunks, s->chunk_count, sizeof *s->chunks, by_address);
    qsort(found.chunks, found.count, sizeof *found.chunks, by_address);
    for (size_t i = 0; i < s->chunk_count && i < found.count; i++) {
        const struct synthetic_chunk *told = &found.chunks[i], *true_one = &s->chunks[i];

        if (told->address != true_one->address || told->bytes != true_one->bytes ||
            told->state != true_one->state)
            fail_msg("%s: 0x%llx of %llu in state %u was found as 0x%llx of %llu in %u",
                     s->upstream->versions, (unsigned long long)true_one->address,
                     (unsigned long long)true_one->bytes, true_one->state,
                     (unsigned long long)told->address, (unsigned long long)told->bytes,
                     told->state);
    }
    assert_int_equal(found.count, s->chunk_count);
}

static size_t count_state(const struct synthetic *s, enum span_state state)
{
    size_t count = 0;

    for (size_t i = 0; i < s->chunk_count; i++)
        count += s->chunks[i].state == state;
    return count;
}

static void check_settings(const struct synthetic *s, const struct heap *heap)
{
    assert_int_equal(heap->settings.mmap_threshold, 131072);
    assert_int_equal(heap->settings.arena_test, 8);
    assert_int_equal(heap->settings.mmap_max, 65536);
    assert_int_equal(heap->settings.mmapped_count, s->mmapped_count);
    assert_int_equal(heap->settings.mmapped_bytes, s->mmapped_bytes + s->options.drift);
    assert_int_equal(heap->settings.tcache_count, s->options.tcache_count);
    assert_int_equal(heap->settings.tcache_max_bytes, s->options.tcache_max_bytes);
    assert_int_equal(heap->settings.hp_pagesize, s->options.hp_pagesize);
    assert_false(heap->settings.dynamic_threshold);
    assert_int_equal(heap->arenas.count, 2);
    assert_int_equal(heap->arenas.items[1].reserved_bytes, 2 * s->options.heap_reserve);
}

static void expect_all(const struct upstream *upstream, struct synthetic_options options)
{
    struct synthetic s;
    struct heap *heap;
    struct why why = {{0}};

    synthetic_build(&s, upstream, options);
    heap = decode(&s, &why);
    if (!heap || heap->refusals.count)
        fail_msg("%s: %s", upstream->versions, why.text);
    compare_chunks(&s);
    check_settings(&s, heap);
    print_message("%s: %zu chunks, %zu in tcaches, %zu in fastbins\n", upstream->versions,
                  s.chunk_count, count_state(&s, SPAN_TCACHE), count_state(&s, SPAN_FASTBIN));
    assert_true(count_state(&s, SPAN_TCACHE) > 100);
    assert_true(count_state(&s, SPAN_BIN) > 100);
    close_heap(heap);
    synthetic_free(&s);
}

static void test_every_layout(void **state)
{
    for (size_t i = 0; i < upstream_count; i++)
        expect_all(&upstreams[i], (struct synthetic_options){0});
}

/* As many as tunables allow. */
static void test_many_in_tcaches(void **state)
{
    for (size_t i = 0; i < upstream_count; i++)
        expect_all(&upstreams[i], (struct synthetic_options){.tcache_count = 65535});
}

static void test_small_and_large_tcaches(void **state)
{
    for (size_t i = 0; i < upstream_count; i++) {
        bool large = upstreams[i].tcache.slots_left,
             plus_one = upstreams[i].tcache_max_bytes == 1041;

        expect_all(&upstreams[i],
                   (struct synthetic_options){.tcache_max_bytes = large ? 208 + plus_one : 200,
                                              .tcache_count = 100});
        if (large)
            expect_all(&upstreams[i],
                       (struct synthetic_options){.tcache_max_bytes = 4000000 + plus_one,
                                                  .tcache_count = 300});
    }
}

/* Each mremap leaves 16 bytes too many in malloc's sum; 256 of them look like a page. */
static void test_sums_that_drifted(void **state)
{
    for (size_t i = 0; i < upstream_count; i++)
        for (unsigned drift = 16; upstreams[i].mmapped_is_short && drift <= 8192; drift *= 2)
            expect_all(&upstreams[i], (struct synthetic_options){.drift = drift});
}

/* A moved block whose mapping's first header is right again: its cache tells where it begins. */
static void test_moved_block_in_a_tcache(void **state)
{
    for (size_t i = 0; i < upstream_count; i++)
        if (upstreams[i].mmapped_is_short)
            expect_all(&upstreams[i],
                       (struct synthetic_options){.tcache_max_bytes = 1000001, .chained = true});
}

/* With glibc.malloc.hugetlb=2 heaps are of four huge pages in 2.35 to 2.41 only. */
static void test_heaps_of_huge_pages(void **state)
{
    for (size_t i = 0; i < upstream_count; i++) {
        bool four = strcmp(upstreams[i].versions, "2.35 to 2.41") == 0;

        if (upstreams[i].malloc_par.hp_pagesize)
            expect_all(&upstreams[i],
                       (struct synthetic_options){.hp_pagesize = 2 << 20,
                                                  .heap_reserve = four ? 8 << 20 : 64 << 20});
    }
}

/* Changes a word, and wants a refusal that says `told`. */
static void expect_refusal(const struct upstream *upstream, size_t offset_in_mp, uint64_t value,
                           const char *told)
{
    struct synthetic s;
    struct heap *heap;
    struct why why = {{0}};

    synthetic_build(&s, upstream, (struct synthetic_options){0});
    *synthetic_word(&s, s.mp + offset_in_mp) = value;
    heap = decode(&s, &why);
    assert_true(!heap || heap->refusals.count);
    if (!strstr(why.text, told))
        fail_msg("%s: \"%s\" does not say \"%s\"", upstream->versions, why.text, told);
    close_heap(heap);
    synthetic_free(&s);
}

static void test_parameters_that_fit_no_layout(void **state)
{
    for (size_t i = 0; i < upstream_count; i++) {
        const struct upstream *u = &upstreams[i];

        expect_refusal(u, u->malloc_par.tcache_max_bytes, 5000,
                       u->tcache.slots_left ? "" : "fit no");
        expect_refusal(u, u->malloc_par.sbrk_base, 0x1000, "fit no");
        expect_refusal(u, u->malloc_par.tcache_bins, 65, "fit no");
    }
}

static void test_parameters_that_are_there_twice(void **state)
{
    for (size_t i = 0; i < upstream_count; i++) {
        struct synthetic s;
        struct why why = {{0}};

        synthetic_build(&s, &upstreams[i], (struct synthetic_options){0});
        memcpy(synthetic_word(&s, s.mp + 8192), synthetic_word(&s, s.mp),
               upstreams[i].malloc_par.bytes);
        assert_null(decode(&s, &why));
        assert_non_null(strstr(why.text, "more than one"));
        synthetic_free(&s);
    }
}

/* A count that no search can satisfy: what was found is kept, and the rest told. */
static void test_mmapped_chunks_that_are_not_there(void **state)
{
    for (size_t i = 0; i < upstream_count; i++) {
        struct synthetic s;
        struct heap *heap;
        struct why why = {{0}};

        synthetic_build(&s, &upstreams[i], (struct synthetic_options){0});
        *synthetic_word(&s, s.mp + upstreams[i].malloc_par.mmapped_mem) += 4096;
        *(uint32_t *)synthetic_word(&s, s.mp + upstreams[i].malloc_par.n_mmaps) += 1;
        heap = decode(&s, &why);
        assert_non_null(heap);
        assert_int_equal(heap->refusals.count, 1);
        assert_string_equal(heap->refusals.items[0].what, "mmapped chunks");
        compare_chunks(&s);
        close_heap(heap);
        synthetic_free(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_layout),
        cmocka_unit_test(test_many_in_tcaches),
        cmocka_unit_test(test_small_and_large_tcaches),
        cmocka_unit_test(test_sums_that_drifted),
        cmocka_unit_test(test_moved_block_in_a_tcache),
        cmocka_unit_test(test_heaps_of_huge_pages),
        cmocka_unit_test(test_parameters_that_fit_no_layout),
        cmocka_unit_test(test_parameters_that_are_there_twice),
        cmocka_unit_test(test_mmapped_chunks_that_are_not_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
