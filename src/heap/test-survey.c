/*
 * A real heap, surveyed, changed by its own malloc, and captured: what is swept from that must be
 * what a walk of the changed heap tells, chunk by chunk, or be refused. What was freed, taken and
 * grown in between leaves the content of chunks as it was, since nobody writes to them: the hardest
 * case for who looks at content.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/vector.h"
#include "heap/glibc/survey.h"
#include "heap/heap.h"
#include "target/target.h"

enum { STOPS_MOST = 10, SLOTS = 4096 };

static struct {
    pid_t pid;
    int in, out;
    struct procfs procfs;
    struct target target;
    struct maps maps;
    struct elf_images images;
    struct heap_thread thread;
    struct why why;
    unsigned skipped, torn, compared; /* chunks that were not read; stops in vain; heaps compared */
    bool bins_only;
} victim;

/* What is not in use, or a region's end. Parts of one chunk, and neighbours of one state, are one.
 */
struct piece {
    remote_addr start, end;
    uint8_t state;
};

struct collected {
    struct span_sink sink; /* first */
    struct pieces {
        struct piece *items;
        size_t count, capacity;
    } pieces;
    remote_addr next; /* 0: nothing came yet */
};

static const struct span_sink_ops collecting_ops;

static struct span_sink *collecting_fork(struct span_sink *sink, const struct heap_region *region)
{
    struct collected *child = calloc(1, sizeof *child);

    (void)region;
    assert_non_null(child);
    child->sink = *sink;
    return &child->sink;
}

static void collect_piece(struct pieces *pieces, struct piece piece)
{
    struct piece *last = pieces->count ? &pieces->items[pieces->count - 1] : NULL;

    if (last && last->state == piece.state && last->end == piece.start)
        last->end = piece.end;
    else
        assert_int_equal(vector_push(pieces, piece), 0);
}

static int collecting_take(struct span_sink *sink, const struct page_window *window,
                           const struct heap_span *spans, size_t count)
{
    struct collected *self = (struct collected *)sink;

    for (size_t i = 0; i < count; i++) {
        struct piece piece = {spans[i].start, spans[i].start + spans[i].length, spans[i].state};

        assert_true(range_holds(window->range, spans[i].start, spans[i].length));
        assert_true(!self->next || piece.start == self->next);
        self->next = piece.end;
        if (piece.state != SPAN_LIVE)
            collect_piece(&self->pieces, piece);
    }
    return 0;
}

static void collecting_discard(struct span_sink *child)
{
    free(((struct collected *)child)->pieces.items);
    free(child);
}

static int collecting_join(struct span_sink *sink, struct span_sink *child)
{
    const struct pieces *pieces = &((struct collected *)child)->pieces;

    for (size_t i = 0; i < pieces->count; i++)
        collect_piece(&((struct collected *)sink)->pieces, pieces->items[i]);
    collecting_discard(child);
    return 0;
}

static const struct span_sink_ops collecting_ops = {.fork = collecting_fork,
                                                    .take = collecting_take,
                                                    .join = collecting_join,
                                                    .discard = collecting_discard};

/* Built beside this test. */
static void victim_path(char *path, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    char *slash;

    assert_true(length > 0);
    path[length] = '\0';
    slash = strrchr(path, '/');
    assert_non_null(slash);
    assert_true(snprintf(slash, size - (size_t)(slash - path), "/src/heap/heap-told-victim") > 0);
}

static void start_victim(void)
{
    char path[4096];
    int in[2], out[2];

    victim_path(path, sizeof path);
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    victim.pid = fork();
    if (victim.pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        if (victim.bins_only)
            setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1);
        execl(path, path, victim.bins_only ? "bins" : NULL, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    victim.in = in[1];
    victim.out = out[0];
}

static void say(const char *text)
{
    assert_int_equal(write(victim.in, text, strlen(text)), (ssize_t)strlen(text));
}

static void tell(char what, unsigned slot, size_t size)
{
    char line[64];

    snprintf(line, sizeof line, "%c %u %zu\n", what, slot, size);
    say(line);
}

/* Until it has done all that it was told, and reads again. */
static void wait_for_victim(void)
{
    char answer;

    say(".\n");
    assert_int_equal(read(victim.out, &answer, 1), 1);
    assert_int_equal(answer, '.');
}

static void open_victim(bool bins_only)
{
    victim.bins_only = bins_only;
    start_victim();
    tell('a', 0, 100);
    wait_for_victim();
    assert_int_equal(procfs_open(&victim.procfs, "/", &victim.why), 0);
    assert_int_equal(target_open(&victim.target, &victim.procfs, victim.pid, &victim.why), 0);
    assert_int_equal(maps_read(&victim.procfs, victim.pid, &victim.maps, &victim.why), 0);
    assert_int_equal(elf_images_open(&victim.procfs, victim.pid, &victim.maps,
                                     &victim.target.memory.memory, &victim.images, &victim.why),
                     0);
    victim.skipped = victim.torn = victim.compared = 0;
}

static void close_victim(void)
{
    target_close(&victim.target);
    close(victim.in);
    close(victim.out);
    waitpid(victim.pid, NULL, 0);
    elf_images_close(&victim.images);
    maps_free(&victim.maps);
    procfs_close(&victim.procfs);
    print_message("%u heaps compared, %u chunks not read, %u stops in vain\n", victim.compared,
                  victim.skipped, victim.torn);
}

static struct heap_view stop(void)
{
    assert_int_equal(target_stop(&victim.target, &victim.why), 0);
    maps_free(&victim.maps);
    assert_int_equal(maps_read(&victim.procfs, victim.pid, &victim.maps, &victim.why), 0);
    victim.thread =
        (struct heap_thread){.tid = victim.target.threads[0].tid,
                             .thread_pointer = victim.target.threads[0].registers.fs_base};
    return (struct heap_view){.memory = &victim.target.memory.memory,
                              .maps = &victim.maps,
                              .images = &victim.images,
                              .threads = &victim.thread,
                              .thread_count = 1};
}

static void count_skipped(const struct heap_survey *survey)
{
    for (size_t i = 0; i < survey->part_count; i++)
        for (size_t k = 0; k < survey->parts[i].nodes.count; k++)
            victim.skipped += node_is_skipped(&survey->parts[i].nodes.items[k]);
}

static struct heap_survey *take_survey(void)
{
    struct heap_view view = stop();
    struct heap_survey *survey;
    struct heap *heap;

    view.lists_later = true;
    assert_int_equal(allocators[0]->open(&view, &heap, &victim.why), 0);
    assert_int_equal(allocators[0]->survey(&view, heap, 1, &survey, &victim.why), 0);
    allocators[0]->close(heap);
    target_resume(&victim.target);
    count_skipped(survey);
    return survey;
}

static void assert_same(const struct pieces *walked, const struct pieces *swept)
{
    for (size_t i = 0; i < walked->count && i < swept->count; i++) {
        const struct piece *a = &walked->items[i], *b = &swept->items[i];

        if (a->start != b->start || a->end != b->end || a->state != b->state)
            fail_msg("0x%lx..0x%lx (%u) is told as 0x%lx..0x%lx (%u)", (unsigned long)a->start,
                     (unsigned long)a->end, a->state, (unsigned long)b->start,
                     (unsigned long)b->end, b->state);
    }
    assert_int_equal(walked->count, swept->count);
}

/* 0, or OUTCOME_TORN: then nothing was told. */
static int capture_and_compare(struct heap_survey *survey)
{
    struct heap_view view = stop();
    struct collected walk = {.sink = {.ops = &collecting_ops}};
    struct collected sweep = {.sink = {.ops = &collecting_ops, .takes_runs = true}};
    struct heap *heap;
    int r;

    assert_int_equal(allocators[0]->open(&view, &heap, &victim.why), 0);
    r = allocators[0]->capture(&view, heap, survey, &victim.why);
    if (r == 0)
        r = allocators[0]->resolve(heap, survey, &victim.why);
    if (r == 0)
        r = allocators[0]->sweep(&view, heap, survey, &sweep.sink, &victim.why);
    assert_int_equal(allocators[0]->walk(&view, heap, &walk.sink, 1, &victim.why), 0);
    assert_int_equal(heap->refusals.count, 0);
    if (r == 0)
        assert_same(&walk.pieces, &sweep.pieces);
    victim.compared += r == 0;
    allocators[0]->close(heap);
    target_resume(&victim.target);
    free(walk.pieces.items);
    free(sweep.pieces.items);
    return r;
}

/* As `residue why` does it: where a stop was in vain another is tried. */
static void compare(struct heap_survey *survey)
{
    int r = OUTCOME_TORN;

    for (unsigned i = 0; r == OUTCOME_TORN && i < STOPS_MOST; i++) {
        victim.torn += i != 0;
        r = capture_and_compare(survey);
    }
    if (r)
        print_message("%s\n", victim.why.text);
    assert_int_equal(r, 0);
    allocators[0]->survey_free(survey);
}

static uint64_t seed = 5;

static unsigned random_below(unsigned limit)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((seed >> 33) % limit);
}

/* COUNT free chunks of `size`, each on a page of its own and behind a block in use, which can grow
 * into it. */
enum { COUNT = 24, OTHER = 100, SPACER = 200 };

static void build_list(size_t size)
{
    for (unsigned i = 0; i < COUNT; i++) {
        tell('a', OTHER + i, 72);
        tell('a', 1 + i, size);
        tell('a', SPACER + i, 5000);
    }
    tell('a', SPACER + COUNT, 100);
    for (unsigned i = 0; i < COUNT; i++)
        tell('f', 1 + i, 0);
    tell('a', 300, 100000); /* sorts them into their bin */
    wait_for_victim();
}

/*
 * Blocks grow into the free chunks behind them, which leave their list from the middle; what these
 * held, links and all, stays where it is.
 */
static void test_chunks_that_leave_from_the_middle(void **state)
{
    static const size_t sizes[] = {504, 1000, 1032, 1992, 3000};

    (void)state;
    for (unsigned round = 0; round < 100; round++) {
        size_t size = sizes[round % 5];
        struct heap_survey *survey;
        unsigned pattern = round / 5 % 2 ? random_below(1u << COUNT) : 3u << round / 10 * 2;

        open_victim(true);
        build_list(size);
        survey = take_survey();
        for (unsigned i = 0; i < COUNT; i++)
            if (pattern >> i & 1)
                tell('r', OTHER + i, 72 + size + 8);
        wait_for_victim();
        compare(survey);
        close_victim();
    }
}

/* All are taken, and come back in the order in which they were, with one more between two of them.
 */
static void test_list_that_is_rebuilt_with_one_more(void **state)
{
    (void)state;
    for (unsigned at = 0; at < COUNT; at++) {
        struct heap_survey *survey;

        open_victim(true);
        build_list(504);
        tell('f', SPACER + 7, 0); /* and merges with none: between two in use... */
        tell('a', SPACER + 7, 5000);
        tell('a', 400, 504);
        tell('a', 401, 100); /* ... as this one's neighbours are */
        for (unsigned i = 1; i < COUNT; i++)
            tell('a', 500 + i, 504);
        for (unsigned i = 1; i < COUNT; i++)
            tell('f', 500 + i, 0);
        tell('a', 301, 200000);
        wait_for_victim();
        survey = take_survey();
        for (unsigned i = 1; i < COUNT; i++)
            tell('a', 500 + i, 504);
        for (unsigned i = 1; i < COUNT; i++) {
            if (i == at)
                tell('f', 400, 0);
            tell('f', 500 + i, 0);
        }
        tell('a', 302, 300000);
        wait_for_victim();
        compare(survey);
        close_victim();
    }
}

/* Of one bin's sizes, those between two that are there are sorted in between them. */
static void test_chunks_that_are_sorted_in(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 40; round++) {
        struct heap_survey *survey;

        open_victim(true);
        for (unsigned i = 0; i < 60; i++) {
            tell('a', 1 + i, 6000 + 16 * random_below(random_below(2) ? 32 : 2));
            tell('a', SPACER + i, 5000);
        }
        for (unsigned i = 0; i < 60; i++)
            if (i % 4)
                tell('f', 1 + i, 0);
        tell('a', 300, 200000);
        wait_for_victim();
        survey = take_survey();
        for (unsigned i = 0; i < 60; i += 4)
            if (random_below(2))
                tell('f', 1 + i, 0);
        tell('a', 301, 300000);
        wait_for_victim();
        compare(survey);
        close_victim();
    }
}

static void random_step(const size_t *sizes, unsigned size_count, bool *held)
{
    unsigned slot = 1 + random_below(1500);

    if (!held[slot]) {
        tell('a', slot, sizes[random_below(size_count)]);
        held[slot] = true;
    } else if (random_below(4)) {
        tell('f', slot, 0);
        held[slot] = false;
    } else {
        tell('r', slot, sizes[random_below(size_count)]);
    }
}

static void change_at_random(bool bins_only, const size_t *sizes, unsigned size_count)
{
    static bool held[SLOTS];

    memset(held, 0, sizeof held);
    open_victim(bins_only);
    for (unsigned i = 0; i < 4000; i++)
        random_step(sizes, size_count, held);
    for (unsigned round = 0; round < 60; round++) {
        struct heap_survey *survey;
        unsigned steps = 1u << random_below(11);

        wait_for_victim();
        survey = take_survey();
        for (unsigned i = 0; i < steps; i++)
            random_step(sizes, size_count, held);
        wait_for_victim();
        compare(survey);
    }
    close_victim();
}

static void test_random_changes(void **state)
{
    static const size_t few[] = {504, 1032, 1992, 5000}, some[] = {24, 100, 504, 520, 1000, 1032},
                        many[] = {24,   100,  504,  520,  1000,  1032,  1040,  1500,
                                  1504, 2000, 3000, 5000, 10000, 10016, 40000, 100000};

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        change_at_random(i % 2, few, 4);
        change_at_random(i % 2, some, 6);
        change_at_random(i % 2, many, 16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks_that_leave_from_the_middle),
        cmocka_unit_test(test_list_that_is_rebuilt_with_one_more),
        cmocka_unit_test(test_chunks_that_are_sorted_in),
        cmocka_unit_test(test_random_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
