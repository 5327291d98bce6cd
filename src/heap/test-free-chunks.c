/* Free chunks by the lists of heaps of every version; lists that contradict themselves tell
 * nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heap/synthetic.h"

enum {
    LEAST = 4096 + 48
}; /* a chunk of this size holds a whole page wherever it begins, or nearly */

struct opened {
    struct synthetic s;
    struct heap *heap;
    struct read_hints hints;
    struct free_chunks chunks;
    struct why why;
};

static void open_heap(struct opened *o, const struct upstream *upstream)
{
    *o = (struct opened){0};
    synthetic_build(&o->s, upstream, (struct synthetic_options){0});
    o->s.view.lists_later = true;
    if (allocators[0]->open(&o->s.view, &o->heap, &o->why))
        fail_msg("%s: %s", upstream->versions, o->why.text);
}

static void close_heap(struct opened *o)
{
    o->heap->allocator->close(o->heap);
    read_hints_free(&o->hints);
    synthetic_free(&o->s);
}

static int list(struct opened *o, const struct range *within, size_t count)
{
    struct free_query query = {.within = within, .within_count = count, .hints = &o->hints};

    return o->heap->allocator->free_chunks(&o->s.view, o->heap, &query, &o->chunks, &o->why);
}

static bool is_told(const struct free_chunks *chunks, const struct synthetic_chunk *chunk)
{
    for (size_t i = 0; i < chunks->count; i++)
        if (chunks->items[i].address == chunk->address)
            return chunks->items[i].bytes == chunk->bytes && chunks->items[i].state == chunk->state;
    return false;
}

static void compare(struct opened *o)
{
    size_t expected = 0;

    for (size_t i = 0; i < o->s.chunk_count; i++) {
        const struct synthetic_chunk *chunk = &o->s.chunks[i];

        if (chunk->state != SPAN_TOP && (chunk->state != SPAN_BIN || chunk->bytes < LEAST))
            continue;
        expected++;
        if (!is_told(&o->chunks, chunk))
            fail_msg("%s: the chunk of %lu at %lx is not told", o->s.upstream->versions,
                     (unsigned long)chunk->bytes, (unsigned long)chunk->address);
    }
    assert_int_equal(o->chunks.count, expected);
    assert_true(expected >= 2);
    for (size_t i = 1; i < o->chunks.count; i++)
        assert_true(o->chunks.items[i - 1].address < o->chunks.items[i].address);
}

static void every_layout(void **state)
{
    for (size_t i = 0; i < upstream_count; i++) {
        struct opened o;

        open_heap(&o, &upstreams[i]);
        assert_int_equal(list(&o, NULL, 0), 0);
        compare(&o);
        free(o.chunks.items);
        assert_int_equal(o.s.memory.reads_of_absent, 0);
        close_heap(&o);
    }
}

/* What is read ahead makes no difference, also when it has become wrong. */
static void with_hints(void **state)
{
    struct opened o;

    open_heap(&o, &upstreams[upstream_count - 2]);
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(read_hints_refresh(&o.hints, &o.s.memory.memory, NULL), 0);
        assert_int_equal(read_hints_load(&o.hints, &o.s.memory.memory), 0);
        assert_true(round == 0 || o.hints.count > 10);
        assert_int_equal(list(&o, NULL, 0), 0);
        compare(&o);
        free(o.chunks.items);
    }
    close_heap(&o);
}

static void only_what_is_asked_for(void **state)
{
    struct opened o;
    struct range within;

    open_heap(&o, &upstreams[0]);
    assert_int_equal(list(&o, NULL, 0), 0);
    within = (struct range){o.chunks.items[1].address + 4096, o.chunks.items[1].address + 4097};
    free(o.chunks.items);
    assert_int_equal(list(&o, &within, 1), 0);
    assert_int_equal(o.chunks.count, 1);
    assert_true(o.chunks.items[0].address < within.start);
    free(o.chunks.items);
    within = (struct range){4096, 8192};
    assert_int_equal(list(&o, &within, 1), 0);
    assert_int_equal(o.chunks.count, 0);
    free(o.chunks.items);
    close_heap(&o);
}

static remote_addr first_binned(const struct synthetic *s, uint64_t least)
{
    for (size_t i = 0; i < s->chunk_count; i++)
        if (s->chunks[i].state == SPAN_BIN && s->chunks[i].bytes >= least)
            return s->chunks[i].address;
    fail_msg("there is no such chunk");
    return 0;
}

static uint64_t bytes_of(struct synthetic *s, remote_addr chunk)
{
    return *synthetic_word(s, chunk + 8) & ~UINT64_C(7);
}

/* One word is wrong; `least`: of a chunk that is at least so long. */
static void expect_torn(int (*where)(struct synthetic *s, remote_addr chunk, remote_addr *ret),
                        uint64_t flip, uint64_t least)
{
    for (size_t i = 0; i < upstream_count; i++) {
        remote_addr word = 0;
        struct opened o;

        open_heap(&o, &upstreams[i]);
        where(&o.s, first_binned(&o.s, least), &word);
        *synthetic_word(&o.s, word) ^= flip;
        if (list(&o, NULL, 0) != OUTCOME_TORN)
            fail_msg("%s: it is believed", upstreams[i].versions);
        assert_true(o.why.text[0]);
        close_heap(&o);
    }
}

static int size_word(struct synthetic *s, remote_addr chunk, remote_addr *ret)
{
    *ret = chunk + 8;
    return 0;
}

static int fd_word(struct synthetic *s, remote_addr chunk, remote_addr *ret)
{
    *ret = chunk + 16;
    return 0;
}

static int bk_word(struct synthetic *s, remote_addr chunk, remote_addr *ret)
{
    *ret = chunk + 24;
    return 0;
}

static int size_behind(struct synthetic *s, remote_addr chunk, remote_addr *ret)
{
    *ret = chunk + bytes_of(s, chunk) + 8;
    return 0;
}

static int foot(struct synthetic *s, remote_addr chunk, remote_addr *ret)
{
    *ret = chunk + bytes_of(s, chunk);
    return 0;
}

static void contradictions_are_not_believed(void **state)
{
    expect_torn(size_word, 1, 0); /* the one before it is free, too */
    expect_torn(size_word, 2, 0); /* mmapped */
    expect_torn(size_word, UINT64_C(1) << 40, 0);
    expect_torn(size_word, 8, 0);
    expect_torn(fd_word, UINT64_C(1) << 45, 0); /* out of the heap */
    expect_torn(fd_word, 8, 0);
    expect_torn(bk_word, 16, 0);
    expect_torn(size_behind, 1, LEAST); /* it says that ours is in use */
    expect_torn(foot, 16, LEAST);
}

/* A list that runs in a circle beside its head must end. */
static void a_circle_ends(void **state)
{
    for (size_t i = 0; i < upstream_count; i++) {
        struct opened o;
        remote_addr chunk;

        open_heap(&o, &upstreams[i]);
        chunk = first_binned(&o.s, LEAST);
        *synthetic_word(&o.s, chunk + 16) = *synthetic_word(&o.s, chunk + 24) = chunk;
        assert_int_equal(list(&o, NULL, 0), OUTCOME_TORN);
        close_heap(&o);
    }
}

static void a_top_ends_with_its_heap(void **state)
{
    for (size_t i = 0; i < upstream_count; i++) {
        struct opened o;

        open_heap(&o, &upstreams[i]);
        *synthetic_word(&o.s, o.s.arenas[1].top + 8) -= 16;
        assert_int_equal(list(&o, NULL, 0), OUTCOME_TORN);
        close_heap(&o);
    }
}

/* How many of the known ones are told when a word of the first one that is binned is flipped. */
static size_t confirmed(const struct upstream *upstream,
                        int (*where)(struct synthetic *s, remote_addr chunk, remote_addr *ret),
                        uint64_t flip)
{
    struct range everything = {0, UINT64_C(1) << 47};
    struct free_chunks known;
    struct opened o;
    size_t count;

    open_heap(&o, upstream);
    assert_int_equal(list(&o, NULL, 0), 0);
    known = o.chunks;
    if (where) {
        remote_addr word = 0;

        where(&o.s, first_binned(&o.s, LEAST), &word);
        *synthetic_word(&o.s, word) ^= flip;
    }
    {
        struct free_query query = {
            .within = &everything, .within_count = 1, .hints = &o.hints, .known = &known};

        assert_int_equal(
            o.heap->allocator->free_chunks(&o.s.view, o.heap, &query, &o.chunks, &o.why), 0);
    }
    count = o.chunks.count;
    assert_true(count == known.count || where);
    free(o.chunks.items);
    free(known.items);
    close_heap(&o);
    return count;
}

static int bk_of_next(struct synthetic *s, remote_addr chunk, remote_addr *ret)
{
    *ret = *synthetic_word(s, chunk + 16) + 24;
    return 0;
}

static int fd_of_last(struct synthetic *s, remote_addr chunk, remote_addr *ret)
{
    *ret = *synthetic_word(s, chunk + 24) + 16;
    return 0;
}

/* Each by itself: one that is free no more is left out, and no other. */
static void known_chunks_are_confirmed(void **state)
{
    for (size_t i = 0; i < upstream_count; i++) {
        const struct upstream *u = &upstreams[i];
        size_t all = confirmed(u, NULL, 0);

        assert_true(all >= 3);
        assert_int_equal(confirmed(u, size_word, 16), all - 1);
        assert_int_equal(confirmed(u, size_word, 1), all - 1);
        assert_int_equal(confirmed(u, size_behind, 1), all - 1);
        assert_int_equal(confirmed(u, foot, 32), all - 1);
        assert_true(confirmed(u, fd_word, 16) < all);
        assert_true(confirmed(u, bk_word, 16) < all);
        assert_true(confirmed(u, fd_word, UINT64_C(1) << 45) < all);
        assert_true(confirmed(u, bk_of_next, 16) < all);
        assert_true(confirmed(u, fd_of_last, 16) < all);
    }
}

static void pages_behind_the_links_only(void **state)
{
    static const struct {
        struct free_chunk chunk;
        struct range pages;
    } rows[] = {
        {{0x10000, 0x3000, 0, SPAN_BIN}, {0x11000, 0x13000}},
        {{0x0ffd0, 0x1030, 0, SPAN_BIN}, {0x10000, 0x11000}}, /* the links end with a page */
        {{0x0ffe0, 0x1020, 0, SPAN_BIN}, {0x11000, 0x11000}},
        {{0x0ffe0, 0x1020, 0, SPAN_TOP}, {0x11000, 0x11000}},
        {{0x0ffd0, 0x1030, 0, SPAN_TOP}, {0x10000, 0x11000}},
        {{0x10000, 0x3ff0, 0, SPAN_BIN}, {0x11000, 0x13000}},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct range pages = heap_free_chunk_pages(&rows[i].chunk);

        assert_int_equal(pages.start, rows[i].pages.start);
        assert_int_equal(pages.end, rows[i].pages.end);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layout),
        cmocka_unit_test(with_hints),
        cmocka_unit_test(only_what_is_asked_for),
        cmocka_unit_test(contradictions_are_not_believed),
        cmocka_unit_test(a_circle_ends),
        cmocka_unit_test(a_top_ends_with_its_heap),
        cmocka_unit_test(known_chunks_are_confirmed),
        cmocka_unit_test(pages_behind_the_links_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
