/*
 * A real heap, copied into a fake memory and then corrupted: whatever the bytes, a decode ends,
 * touches nothing that is not present, and either refuses or adds up.
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

#include "heap/heap.h"
#include "mem/fake.h"
#include "target/target.h"

enum { EXTENTS_MOST = 256, MUTATIONS = 400 };

static struct {
    pid_t pid;
    struct procfs procfs;
    struct target target;
    struct maps maps;
    struct elf_images images;
    struct heap_thread threads[8];
    size_t thread_count;
    struct fake_extent extents[EXTENTS_MOST];
    size_t extent_count;
    struct fake_memory fake;
    struct why why;
} copy;

/* A sink that only checks what every sink is promised. */
struct checking_sink {
    struct span_sink sink;
    struct range region;
    remote_addr next;
    uint64_t bytes, blocks;
};

static const struct span_sink_ops checking_ops;

static struct span_sink *checking_fork(struct span_sink *sink, const struct heap_region *region)
{
    struct checking_sink *child = calloc(1, sizeof *child);

    child->sink = *sink;
    child->region = region->range;
    return &child->sink;
}

static int checking_take(struct span_sink *sink, const struct page_window *window,
                         const struct heap_span *spans, size_t count)
{
    struct checking_sink *self = (struct checking_sink *)sink;

    for (size_t i = 0; i < count; i++) {
        assert_true(spans[i].length > 0);
        assert_true(range_holds(window->range, spans[i].start, spans[i].length));
        assert_true(range_holds(self->region, spans[i].start, spans[i].length));
        if (self->next)
            assert_int_equal(spans[i].start, self->next);
        self->next = spans[i].start + spans[i].length;
        self->bytes += spans[i].length;
        self->blocks += spans[i].state == SPAN_LIVE ? spans[i].chunks : 0;
    }
    return 0;
}

static int checking_join(struct span_sink *sink, struct span_sink *joined)
{
    struct checking_sink *self = (struct checking_sink *)sink,
                         *child = (struct checking_sink *)joined;

    self->bytes += child->bytes;
    self->blocks += child->blocks;
    free(child);
    return 0;
}

static void checking_discard(struct span_sink *child)
{
    free(child);
}

static const struct span_sink_ops checking_ops = {.fork = checking_fork,
                                                  .take = checking_take,
                                                  .join = checking_join,
                                                  .discard = checking_discard};

static struct heap_view view_of(struct memory *memory)
{
    return (struct heap_view){.memory = memory,
                              .maps = &copy.maps,
                              .images = &copy.images,
                              .threads = copy.threads,
                              .thread_count = copy.thread_count};
}

struct outcome_counts {
    unsigned refused, partial, whole;
    uint64_t blocks;
};

static void decode(struct memory *memory, struct outcome_counts *counts)
{
    struct heap_view view = view_of(memory);
    struct checking_sink sink = {.sink = {.ops = &checking_ops}};
    struct heap *heap;
    uint64_t claimed = 0;
    int r = allocators[0]->open(&view, &heap, &copy.why);

    assert_true(r >= 0);
    if (r) {
        assert_true(strlen(copy.why.text) > 0);
        counts->refused++;
        return;
    }
    r = allocators[0]->settled(&view, heap, &copy.why);
    assert_true(r >= 0);
    r = allocators[0]->walk(&view, heap, &sink.sink, 2, &copy.why);
    assert_int_equal(r, 0);
    for (size_t i = 0; i < heap->regions.count; i++)
        if (!heap->regions.items[i].refused)
            claimed += range_length(heap->regions.items[i].range);
    assert_int_equal(sink.bytes, claimed);
    counts->partial += heap->refusals.count != 0;
    counts->whole += heap->refusals.count == 0;
    counts->blocks = sink.blocks;
    allocators[0]->close(heap);
}

static void copy_mapping(const struct vma *vma)
{
    size_t pages = (size_t)(range_length(vma->range) >> PAGE_SHIFT);
    struct fake_extent *extent = &copy.extents[copy.extent_count];

    if (!vma->readable || vma_is_special(vma) || pages > 65536)
        return;
    assert_true(copy.extent_count < EXTENTS_MOST);
    *extent = (struct fake_extent){.start = vma->range.start, .pages = pages};
    extent->bytes = calloc(pages, PAGE_BYTES);
    extent->flags = calloc(pages, 1);
    assert_int_equal(memory_page_flags(&copy.target.memory.memory, vma->range.start, pages,
                                       extent->flags, &copy.why),
                     0);
    assert_int_equal(memory_read_pages(&copy.target.memory.memory, vma->range.start, pages,
                                       extent->flags, extent->bytes, &copy.why),
                     0);
    copy.extent_count++;
}

/* Built beside this test. */
static void victim_path(char *path, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    char *slash;

    assert_true(length > 0);
    path[length] = '\0';
    slash = strrchr(path, '/');
    assert_non_null(slash);
    assert_true(snprintf(slash, size - (size_t)(slash - path), "/src/heap/heap-small-victim") > 0);
}

static void start_victim(void)
{
    char line[16], path[4096];
    int out[2];

    victim_path(path, sizeof path);

    assert_int_equal(pipe(out), 0);
    copy.pid = fork();
    if (copy.pid == 0) {
        dup2(out[1], 1);
        execl(path, path, (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    assert_true(read(out[0], line, sizeof line) > 0);
    close(out[0]);
}

static int set_up(void **state)
{
    (void)state;
    start_victim();
    assert_int_equal(procfs_open(&copy.procfs, "/", &copy.why), 0);
    assert_int_equal(target_open(&copy.target, &copy.procfs, copy.pid, &copy.why), 0);
    assert_int_equal(target_stop(&copy.target, &copy.why), 0);
    assert_int_equal(maps_read(&copy.procfs, copy.pid, &copy.maps, &copy.why), 0);
    assert_int_equal(elf_images_open(&copy.procfs, copy.pid, &copy.maps, &copy.target.memory.memory,
                                     &copy.images, &copy.why),
                     0);
    copy.thread_count = copy.target.thread_count;
    assert_int_equal(copy.thread_count, 3);
    for (size_t i = 0; i < copy.thread_count; i++)
        copy.threads[i] =
            (struct heap_thread){.tid = copy.target.threads[i].tid,
                                 .thread_pointer = copy.target.threads[i].registers.fs_base};
    for (size_t i = 0; i < copy.maps.count; i++)
        copy_mapping(&copy.maps.items[i]);
    fake_memory_init(&copy.fake, copy.extents, copy.extent_count);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    target_close(&copy.target);
    kill(copy.pid, SIGKILL);
    waitpid(copy.pid, NULL, 0);
    elf_images_close(&copy.images);
    maps_free(&copy.maps);
    for (size_t i = 0; i < copy.extent_count; i++) {
        free(copy.extents[i].bytes);
        free(copy.extents[i].flags);
    }
    procfs_close(&copy.procfs);
    return 0;
}

static void test_the_copy_decodes_like_the_process(void **state)
{
    struct outcome_counts live = {0}, fake = {0};

    (void)state;
    decode(&copy.target.memory.memory, &live);
    decode(&copy.fake.memory, &fake);
    if (!live.whole)
        print_message("%s\n", copy.why.text);
    assert_int_equal(live.whole, 1);
    assert_int_equal(fake.whole, 1);
    assert_int_equal(live.blocks, fake.blocks);
    assert_true(fake.blocks > 1000);
    assert_int_equal(copy.fake.reads_of_absent, 0);
}

static uint64_t seed = 3;

static uint64_t random_below(uint64_t limit)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % limit;
}

/* A word somewhere in a present page, changed in one of the ways that hurt decoders most. */
static uint64_t *random_word(void)
{
    for (;;) {
        struct fake_extent *extent = &copy.extents[random_below(copy.extent_count)];
        size_t page = random_below(extent->pages);

        if (extent->flags[page] & PAGE_PRESENT)
            return (uint64_t *)(extent->bytes + page * PAGE_BYTES) + random_below(512);
    }
}

static uint64_t random_value(uint64_t old)
{
    switch (random_below(8)) {
    case 0:
        return old ^ UINT64_C(1) << random_below(64);
    case 1:
        return old + 16;
    case 2:
        return old - 16;
    case 3:
        return 0;
    case 4:
        return UINT64_MAX - random_below(64);
    case 5:
        return copy.extents[random_below(copy.extent_count)].start + 16 * random_below(1024);
    case 6:
        return old << random_below(32);
    default:
        return random_below(UINT64_C(1) << 31);
    }
}

static void test_corrupt_words(void **state)
{
    struct outcome_counts counts = {0};

    (void)state;
    for (unsigned i = 0; i < MUTATIONS; i++) {
        uint64_t *words[16], old[16];
        size_t count = 1 + random_below(16);

        for (size_t k = 0; k < count; k++) {
            words[k] = random_word();
            old[k] = *words[k];
            *words[k] = random_value(old[k]);
        }
        decode(&copy.fake.memory, &counts);
        while (count--)
            *words[count] = old[count];
    }
    print_message("%u refused, %u in part, %u whole\n", counts.refused, counts.partial,
                  counts.whole);
    assert_true(counts.refused + counts.partial > MUTATIONS / 10);
    assert_int_equal(copy.fake.reads_of_absent, 0);
}

/* The structures that all else hangs on: the main arena and mp_ with what lies around them. */
static void test_corrupt_arena(void **state)
{
    struct outcome_counts counts = {0};
    struct heap_view view = view_of(&copy.fake.memory);
    struct heap *heap;
    remote_addr arena;
    struct fake_extent *extent = NULL;

    (void)state;
    assert_int_equal(allocators[0]->open(&view, &heap, &copy.why), 0);
    arena = heap->arenas.items[0].address;
    allocators[0]->close(heap);
    for (size_t i = 0; i < copy.extent_count; i++)
        if (arena >= copy.extents[i].start &&
            arena < copy.extents[i].start + copy.extents[i].pages * PAGE_BYTES)
            extent = &copy.extents[i];
    assert_non_null(extent);
    for (unsigned i = 0; i < MUTATIONS; i++) {
        uint64_t *word =
            (uint64_t *)(extent->bytes + (arena - extent->start) - 2400) + random_below(600);
        uint64_t old = *word;

        *word = random_value(old);
        decode(&copy.fake.memory, &counts);
        *word = old;
    }
    print_message("%u refused, %u in part, %u whole\n", counts.refused, counts.partial,
                  counts.whole);
    assert_true(counts.refused > MUTATIONS / 20);
    assert_int_equal(copy.fake.reads_of_absent, 0);
}

static uint64_t *word_at(remote_addr address)
{
    for (size_t i = 0; i < copy.extent_count; i++)
        if (address >= copy.extents[i].start &&
            address < copy.extents[i].start + copy.extents[i].pages * PAGE_BYTES)
            return (uint64_t *)(copy.extents[i].bytes + (address - copy.extents[i].start));
    fail_msg("0x%lx was not copied", (unsigned long)address);
    return NULL;
}

/* A thread arena's first heap, its arena and where that keeps system_mem (2.27..2.42). */
static remote_addr thread_heap(remote_addr *ret_arena, uint64_t **ret_system_mem)
{
    struct heap_view view = view_of(&copy.fake.memory);
    struct heap *heap;
    remote_addr start = 0;

    assert_int_equal(allocators[0]->open(&view, &heap, &copy.why), 0);
    for (size_t i = 0; i < heap->regions.count; i++)
        if (heap->regions.items[i].kind == REGION_THREAD_HEAP) {
            start = heap->regions.items[i].range.start;
            *ret_arena = heap->arenas.items[heap->regions.items[i].arena].address;
        }
    allocators[0]->close(heap);
    assert_true(start);
    *ret_system_mem = word_at(*ret_arena + 2184);
    return start;
}

/* The same heap twice in one arena: every sum would still be right. */
static void test_heap_that_is_linked_to_itself(void **state)
{
    struct outcome_counts counts = {0};
    remote_addr arena;
    uint64_t *system_mem, *prev;
    remote_addr start = thread_heap(&arena, &system_mem);

    (void)state;
    prev = word_at(start + 8);
    *prev = start;
    *system_mem *= 2;
    decode(&copy.fake.memory, &counts);
    *prev = 0;
    *system_mem /= 2;
    assert_int_equal(counts.whole, 0);
}

/* A top that reaches beyond its mapping, with every sum to match: only the maps speak against it.
 */
static void test_heap_beyond_its_mapping(void **state)
{
    struct outcome_counts counts = {0};
    remote_addr arena, start;
    uint64_t *words[3];

    (void)state;
    start = thread_heap(&arena, &words[0]);
    words[1] = word_at(start + 16);               /* heap_info.size */
    words[2] = word_at(*word_at(arena + 96) + 8); /* the top's size */
    for (size_t i = 0; i < 3; i++)
        *words[i] += UINT64_C(16) << 20;
    decode(&copy.fake.memory, &counts);
    for (size_t i = 0; i < 3; i++)
        *words[i] -= UINT64_C(16) << 20;
    assert_int_equal(counts.whole, 0);
    assert_int_equal(counts.partial + counts.refused,
                     1); /* its tcache lies in it: then all is refused */
}

/* A free chunk that its list does not lead to: the chunks tile their region, so only the lists'
 * sums tell. */
static void test_chunk_that_is_on_no_list(void **state)
{
    struct outcome_counts counts = {0};
    remote_addr arena;
    uint64_t *system_mem, *fd, old;

    (void)state;
    thread_heap(&arena, &system_mem);
    for (size_t bin = 1; bin < 127; bin++) {
        remote_addr head = arena + 112 + 16 * (bin - 1), first = *word_at(head);

        if (first == head - 16)
            continue;
        fd = word_at(first + 16);
        old = *fd;
        *fd = first;
        decode(&copy.fake.memory, &counts);
        *fd = old;
        assert_int_equal(counts.whole, 0);
        assert_int_equal(counts.partial, 1);
        return;
    }
    fail_msg("the arena has no free chunk");
}

/* Pages that went to swap or vanished. */
static void test_missing_pages(void **state)
{
    struct outcome_counts counts = {0};

    (void)state;
    for (unsigned i = 0; i < MUTATIONS / 4; i++) {
        uint8_t *flags[4], old[4];

        for (size_t k = 0; k < 4; k++) {
            struct fake_extent *extent = &copy.extents[random_below(copy.extent_count)];

            flags[k] = &extent->flags[random_below(extent->pages)];
            old[k] = *flags[k];
            *flags[k] = random_below(2) ? PAGE_SWAPPED : 0;
        }
        decode(&copy.fake.memory, &counts);
        for (size_t k = 4; k--;)
            *flags[k] = old[k];
    }
    print_message("%u refused, %u in part, %u whole\n", counts.refused, counts.partial,
                  counts.whole);
    assert_int_equal(copy.fake.reads_of_absent, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_copy_decodes_like_the_process),
        cmocka_unit_test(test_corrupt_words),
        cmocka_unit_test(test_corrupt_arena),
        cmocka_unit_test(test_heap_that_is_linked_to_itself),
        cmocka_unit_test(test_heap_beyond_its_mapping),
        cmocka_unit_test(test_chunk_that_is_on_no_list),
        cmocka_unit_test(test_missing_pages),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
