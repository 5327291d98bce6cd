/* Main arenas in pieces, written word by word: what is found, and what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heap/glibc/chain.h"
#include "mem/fake.h"

enum { MAPPINGS = 4, FENCED = 0x11, PIECE = 32 * 4096 };

#define BRK  UINT64_C(0x555500000000)
#define LOW  UINT64_C(0x7f0000000000)
#define HIGH UINT64_C(0x7f1000000000)

static struct world {
    struct fake_extent extents[MAPPINGS];
    struct vma vmas[MAPPINGS];
    struct maps maps;
    struct fake_memory fake;
    struct heap_view view;
    struct glibc glibc;
    struct why why;
} world;

static void map(remote_addr start, size_t bytes, const char *name)
{
    size_t i = world.maps.count++;

    assert_true(i < MAPPINGS);
    world.vmas[i] = (struct vma){
        .range = {start, start + bytes}, .readable = true, .writable = true, .name = name};
    world.extents[i] = (struct fake_extent){
        .start = start, .pages = bytes / PAGE_BYTES, .bytes = calloc(1, bytes)};
    assert_non_null(world.extents[i].bytes);
    fake_memory_init(&world.fake, world.extents, world.maps.count);
}

static uint64_t *word(remote_addr address)
{
    for (size_t i = 0; i < world.maps.count; i++)
        if (range_has(world.vmas[i].range, address))
            return (uint64_t *)(world.extents[i].bytes + (address - world.extents[i].start));
    fail_msg("0x%lx is not mapped", (unsigned long)address);
    return NULL;
}

/* Chunks of these sizes from `start` on; returns where they end. */
static remote_addr chunks(remote_addr start, uint64_t bytes, unsigned count)
{
    for (unsigned i = 0; i < count; i++, start += bytes)
        *word(start + 8) = bytes | CHUNK_PREV_INUSE;
    return start;
}

static remote_addr fences(remote_addr start)
{
    *word(start + 8) = FENCED;
    *word(start + 24) = FENCED;
    return start + 2 * FENCE_BYTES;
}

/* A piece of PIECE bytes, or more, that is not the last. */
static remote_addr fenced_piece(remote_addr start, uint64_t bytes)
{
    remote_addr at = chunks(start, 0x40, 20);

    at = chunks(at, start + bytes - 2 * FENCE_BYTES - at, 1);
    return fences(at);
}

static struct heap_arena *add_instance(remote_addr sbrk_base, uint64_t system_bytes)
{
    struct glibc *glibc = &world.glibc;
    size_t i = glibc->instance_count++;

    glibc->instances[i] = (struct glibc_instance){
        .sbrk_base = sbrk_base, .first_arena = (uint32_t)i, .arena_count = 1};
    glibc->heap.arenas.count = glibc->details.count = i + 1;
    glibc->details.items[i] = (struct arena_detail){.in_pieces = true};
    glibc->heap.arenas.items[i] = (struct heap_arena){.main = true, .system_bytes = system_bytes};
    return &glibc->heap.arenas.items[i];
}

/* A piece of `bytes` that ends in the arena's top. */
static void top_piece(struct heap_arena *arena, remote_addr start, uint64_t bytes)
{
    arena->top = chunks(start, 0x40, 20);
    arena->top_bytes = start + bytes - arena->top;
    *word(arena->top + 8) = arena->top_bytes | CHUNK_PREV_INUSE;
}

static int set_up(void **state)
{
    (void)state;
    world = (struct world){.maps.items = world.vmas};
    world.view = (struct heap_view){.memory = &world.fake.memory, .maps = &world.maps};
    world.glibc.state = &state_layouts[0];
    world.glibc.heap.arenas.items = calloc(4, sizeof(struct heap_arena));
    world.glibc.details.items = calloc(4, sizeof(struct arena_detail));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < world.maps.count; i++)
        free(world.extents[i].bytes);
    free(world.glibc.heap.arenas.items);
    free(world.glibc.details.items);
    free(world.glibc.heap.regions.items);
    free(world.glibc.heap.refusals.items);
    assert_int_equal(world.fake.reads_of_absent, 0);
    return 0;
}

static void find(void)
{
    assert_int_equal(glibc_find_pieces(&world.view, &world.glibc, &world.why), 0);
}

static void expect_regions(size_t count, const struct range *ranges)
{
    const struct heap_regions *regions = &world.glibc.heap.regions;

    assert_int_equal(regions->count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(regions->items[i].range.start, ranges[i].start);
        assert_int_equal(regions->items[i].range.end, ranges[i].end);
        assert_int_equal(regions->items[i].kind, REGION_MAIN);
    }
}

static void expect_refused(const char *says)
{
    assert_int_equal(world.glibc.heap.regions.count, 0);
    assert_true(world.glibc.heap.refusals.count > 0);
    assert_non_null(strstr(world.glibc.heap.refusals.items[0].reason.text, says));
    assert_true(world.glibc.heap.arenas.items[0].refused);
}

/* From brk, then two neighbours from mmap, then the one with the top, below them. */
static struct heap_arena *four_pieces(uint64_t missing)
{
    struct heap_arena *arena = add_instance(BRK, 4 * PIECE + 0x40 * PAGE_BYTES - missing);

    map(BRK, PIECE, "[heap]");
    map(LOW, PIECE, "");
    map(HIGH, 2 * PIECE + 0x40 * PAGE_BYTES, "");
    fenced_piece(BRK, PIECE);
    top_piece(arena, LOW, PIECE);
    fenced_piece(HIGH, PIECE);
    fenced_piece(HIGH + PIECE, PIECE + 0x40 * PAGE_BYTES);
    return arena;
}

static void test_pieces_are_found(void **state)
{
    (void)state;
    four_pieces(0);
    find();
    expect_regions(3, (struct range[]){{BRK, BRK + PIECE},
                                       {LOW, LOW + PIECE},
                                       {HIGH, HIGH + 2 * PIECE + 0x40 * PAGE_BYTES}});
    assert_int_equal(world.glibc.heap.refusals.count, 0);
}

static void test_sum_that_is_off(void **state)
{
    (void)state;
    four_pieces(PAGE_BYTES);
    find();
    expect_refused("add up to");
}

static void test_piece_that_is_not_there(void **state)
{
    (void)state;
    four_pieces(0);
    memset(world.extents[1].bytes, 0, PAGE_BYTES); /* the one with the top no longer begins */
    find();
    expect_refused("add up to");
}

/* Other memory of the same mapping comes first, at pages that are tried one by one. */
static void test_piece_in_the_middle_of_a_mapping(void **state)
{
    struct heap_arena *arena = add_instance(LOW + 5 * PAGE_BYTES, 2 * PIECE);

    (void)state;
    map(LOW, 2 * PIECE + 12 * PAGE_BYTES, "");
    chunks(LOW, 0x30, 100); /* like chunks, and ends nowhere */
    fenced_piece(LOW + 5 * PAGE_BYTES, PIECE);
    top_piece(arena, LOW + 9 * PAGE_BYTES + PIECE, PIECE);
    find();
    expect_regions(
        2, (struct range[]){{LOW + 5 * PAGE_BYTES, LOW + 5 * PAGE_BYTES + PIECE},
                            {LOW + 9 * PAGE_BYTES + PIECE, LOW + 9 * PAGE_BYTES + 2 * PIECE}});
}

/* What another caller of sbrk got before brk was refused is part of the sum. */
static void test_foreign_bytes_from_brk(void **state)
{
    struct heap_arena *arena = add_instance(BRK, 3 * PIECE + PAGE_BYTES);

    (void)state;
    map(BRK, 2 * PIECE + 2 * PAGE_BYTES, "[heap]");
    map(LOW, PIECE, "");
    fenced_piece(BRK, PIECE);
    fenced_piece(BRK + PIECE + 0x1390, PIECE - 0x390);
    top_piece(arena, LOW, PIECE);
    find();
    expect_regions(3, (struct range[]){{BRK, BRK + PIECE},
                                       {BRK + PIECE + 0x1390, BRK + 2 * PIECE + PAGE_BYTES},
                                       {LOW, LOW + PIECE}});
}

/* A top that claims more than its mapping, and a sum to match. */
static void test_top_beyond_its_mapping(void **state)
{
    struct heap_arena *arena = four_pieces(0);

    (void)state;
    arena->top_bytes += UINT64_C(1) << 30;
    arena->system_bytes += UINT64_C(1) << 30;
    find();
    expect_refused("add up to");
}

static void test_top_that_wraps_around(void **state)
{
    struct heap_arena *arena = four_pieces(0);

    (void)state;
    arena->top_bytes = -(uint64_t)PAGE_BYTES;
    find();
    expect_refused("add up to");
}

/* Small chunks without an end, from every page on. */
static void test_chain_without_end(void **state)
{
    struct heap_arena *arena = add_instance(LOW, 3 * PIECE);

    (void)state;
    map(LOW, 512 * PAGE_BYTES, "");
    map(HIGH, PIECE, "");
    chunks(LOW, 0x20, 512 * PAGE_BYTES / 0x20);
    top_piece(arena, HIGH, PIECE);
    find();
    expect_refused("add up to");
}

static void test_page_that_is_not_present(void **state)
{
    static uint8_t flags[2 * PIECE / PAGE_BYTES + 0x40];

    (void)state;
    four_pieces(0);
    memset(flags, PAGE_PRESENT | PAGE_EXCLUSIVE, sizeof flags);
    flags[0] = PAGE_SWAPPED;
    world.extents[2].flags = flags;
    find();
    expect_refused("add up to");
}

/* Of two copies of malloc each lacks one piece, and those that are left show no owner. */
static void test_pieces_of_two_copies(void **state)
{
    struct heap_arena *first = add_instance(BRK, 2 * PIECE), *second = add_instance(1, 2 * PIECE);

    (void)state;
    map(LOW, 4 * PIECE, "");
    top_piece(first, LOW, PIECE);
    top_piece(second, LOW + PIECE, PIECE);
    fenced_piece(LOW + 2 * PIECE, PIECE);
    fenced_piece(LOW + 3 * PIECE, PIECE);
    find();
    expect_refused("another copy of malloc");
    assert_int_equal(world.glibc.heap.refusals.count, 2);
}

/* The same when only one of them lacks any. */
static void test_pieces_of_one_of_two_copies(void **state)
{
    struct heap_arena *first = add_instance(BRK, 3 * PIECE), *second = add_instance(1, PIECE);

    (void)state;
    map(LOW, 4 * PIECE, "");
    top_piece(first, LOW, PIECE);
    top_piece(second, LOW + PIECE, PIECE);
    fenced_piece(LOW + 2 * PIECE, PIECE);
    fenced_piece(LOW + 3 * PIECE, PIECE);
    find();
    expect_regions(3, (struct range[]){{LOW, LOW + PIECE},
                                       {LOW + PIECE, LOW + 2 * PIECE},
                                       {LOW + 2 * PIECE, LOW + 4 * PIECE}});
    assert_int_equal(world.glibc.heap.regions.items[1].arena, 1);
    assert_int_equal(world.glibc.heap.regions.items[2].arena, 0);
}

static int find_next(remote_addr from, remote_addr *ret)
{
    return glibc_find_next_piece(&world.view, &world.glibc, (struct range){from, LOW + 2 * PIECE},
                                 ret);
}

/* Behind foreign bytes that look like chunks for a while. */
static void test_next_piece(void **state)
{
    struct heap_arena *arena = add_instance(LOW, 2 * PIECE);
    remote_addr found;

    (void)state;
    map(LOW, 2 * PIECE, "");
    chunks(LOW, 0x30, 50);
    top_piece(arena, LOW + 0x1390, 2 * PIECE - 0x1390);
    assert_int_equal(find_next(LOW, &found), 0);
    assert_int_equal(found, LOW + 0x1390);
    assert_int_equal(find_next(LOW + 0x1390, &found), 0);
    assert_int_equal(found, LOW + 0x1390);
    assert_int_equal(find_next(arena->top + 16, &found), OUTCOME_NOT_FOUND);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_pieces_are_found),
        TEST(test_sum_that_is_off),
        TEST(test_piece_that_is_not_there),
        TEST(test_piece_in_the_middle_of_a_mapping),
        TEST(test_foreign_bytes_from_brk),
        TEST(test_top_beyond_its_mapping),
        TEST(test_top_that_wraps_around),
        TEST(test_chain_without_end),
        TEST(test_page_that_is_not_present),
        TEST(test_pieces_of_two_copies),
        TEST(test_pieces_of_one_of_two_copies),
        TEST(test_next_piece),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
