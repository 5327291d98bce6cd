/* Which free pages go, and why others stay: on made-up memory. */
#include "cure/free-plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mem/fake.h"

enum { BLOCKS = 4, PAGES = BLOCKS * BLOCK_PAGES, PLAIN = PAGE_PRESENT | PAGE_EXCLUSIVE };
#define BASE UINT64_C(0x7f0000000000)

static struct {
    uint8_t flags[PAGES];
    struct fake_extent extent;
    struct fake_memory memory;
    struct cure_place place_items[4];
    struct cure_places places;
    struct free_chunk chunk_items[8];
    struct free_chunks chunks;
    struct free_plan_view view;
    struct free_plan plan;
    struct cure_outcome outcome;
} made;

static remote_addr page(size_t index)
{
    return BASE + index * PAGE_BYTES;
}

/* Four blocks of small pages in one mapping; nothing is free. */
static void prepare(void)
{
    free(made.plan.blocks.items);
    free(made.plan.singles.items);
    cure_outcome_free(&made.outcome);
    memset(&made, 0, sizeof made);
    memset(made.flags, PLAIN, sizeof made.flags);
    made.extent = (struct fake_extent){.start = BASE, .pages = PAGES, .flags = made.flags};
    fake_memory_init(&made.memory, &made.extent, 1);
    made.place_items[0].range = (struct range){BASE, page(PAGES)};
    made.places = (struct cure_places){.items = made.place_items, .count = 1};
    made.chunks = (struct free_chunks){.items = made.chunk_items};
    made.view = (struct free_plan_view){.chunks = &made.chunks,
                                        .places = &made.places,
                                        .memory = &made.memory.memory,
                                        .no_discard = "it is not wanted",
                                        .split_percent = 25};
}

/* A free chunk whose whole pages are [first, end). */
static void free_pages(size_t first, size_t end)
{
    made.chunk_items[made.chunks.count++] =
        (struct free_chunk){.address = page(first) - 64,
                            .bytes = page(end) + 32 - (page(first) - 64),
                            .state = SPAN_BIN};
}

static void expect(uint64_t pages, uint64_t left, const char *reason)
{
    uint64_t planned = 0, found = 0, all = 0;

    assert_int_equal(free_pages_plan(&made.view, &made.plan, &made.outcome, NULL), 0);
    for (size_t i = 0; i < made.plan.blocks.count; i++)
        planned += made.plan.blocks.items[i].pages;
    for (size_t i = 0; i < made.plan.singles.count; i++)
        planned += made.plan.singles.items[i].pages;
    assert_int_equal(planned, pages);
    assert_int_equal(made.outcome.predicted_rss_bytes, pages * PAGE_BYTES);
    assert_int_equal(made.outcome.predicted_charge_bytes, pages * PAGE_BYTES);
    for (size_t i = 0; i < made.outcome.skipped.count; i++) {
        all += made.outcome.skipped.items[i].bytes;
        if (reason && strstr(made.outcome.skipped.items[i].reason.text, reason))
            found += made.outcome.skipped.items[i].bytes;
    }
    assert_int_equal(all, left * PAGE_BYTES);
    assert_int_equal(found, left * PAGE_BYTES);
    assert_int_equal(made.memory.reads_of_absent, 0);
}

static void whole_pages_of_chunks_go(void **state)
{
    prepare();
    free_pages(3, 10);
    free_pages(20, 21);
    free_pages(500, 1100); /* in three blocks */
    expect(7 + 1 + 600, 0, NULL);
    assert_int_equal(made.plan.blocks.count, 3);
    assert_int_equal(made.plan.blocks.items[0].address, BASE);
    assert_int_equal(made.plan.blocks.items[0].pages, 8 + 12);
    assert_int_equal(made.plan.blocks.items[1].pages, 512);
    assert_int_equal(made.plan.blocks.items[2].pages, 76);
}

static void headers_and_list_pointers_stay(void **state)
{
    struct block_pages pages;

    prepare();
    free_pages(3, 10);
    free_pages_of_block(&made.chunks, BASE, &pages);
    for (size_t i = 0; i < BLOCK_PAGES; i++)
        assert_int_equal(pages.is_in[i], i >= 3 && i < 10);
    free_pages_of_block(&made.chunks, BASE + HUGE_BYTES, &pages);
    for (size_t i = 0; i < BLOCK_PAGES; i++)
        assert_false(pages.is_in[i]);
}

static void what_is_not_resident_does_not_count(void **state)
{
    prepare();
    free_pages(0 + 3, 20);
    made.flags[5] = 0;
    made.flags[6] = PAGE_PRESENT | PAGE_ZERO;
    made.flags[300] = 0; /* in use or not: nothing is there */
    expect(15, 0, NULL);
    prepare();
    free_pages(3, 20);
    memset(made.flags, 0, sizeof made.flags);
    expect(0, 0, NULL);
    assert_int_equal(made.plan.blocks.count, 0);
}

static void what_a_fork_shares_stays(void **state)
{
    prepare();
    free_pages(3, 20);
    made.flags[4] = PAGE_PRESENT;
    expect(0, 17, "a fork shares");
    prepare(); /* beside it: a huge page would make a copy of it */
    free_pages(3, 20);
    made.flags[511] = PAGE_PRESENT;
    expect(0, 17, "a fork shares memory beside it");
}

static void swap_and_files_beside_it(void **state)
{
    prepare();
    free_pages(3, 20);
    free_pages(600, 601);
    made.flags[400] = PAGE_SWAPPED;
    expect(1, 17, "is in swap");
    prepare();
    free_pages(3, 20);
    made.flags[400] = PAGE_PRESENT | PAGE_FILE;
    expect(0, 17, "file's");
}

static void mappings_have_edges(void **state)
{
    prepare();
    free_pages(3, 20);
    free_pages(600, 700);
    free_pages(1100, 1200);
    made.place_items[0].range = (struct range){page(1), page(1500)};
    expect(100, 17 + 100, "at the edge of its mapping");
    prepare(); /* two mappings are no block */
    free_pages(600, 700);
    made.place_items[0].range.end = page(650);
    made.place_items[1].range = (struct range){page(650), page(PAGES)};
    made.places.count = 2;
    expect(0, 100, "at the edge");
}

static void obstacles_are_told(void **state)
{
    prepare();
    free_pages(3, 20);
    made.place_items[0].obstacle = "it is locked";
    expect(0, 17, "it is locked");
    prepare();
    free_pages(3, 20);
    made.place_items[0].no_huge_pages = true;
    expect(0, 17, "MADV_NOHUGEPAGE");
    prepare();
    free_pages(3, 20);
    made.view.no_new_huge_pages = "no huge pages here";
    expect(0, 17, "no huge pages here");
}

static void huge(size_t block)
{
    for (size_t i = 0; i < BLOCK_PAGES; i++)
        made.flags[block * BLOCK_PAGES + i] = PLAIN | PAGE_HUGE;
}

/* A huge page is worth something; small ones are not lost. */
static void huge_pages_are_split_for_a_quarter(void **state)
{
    prepare();
    huge(0);
    huge(1);
    free_pages(3, 3 + 127);
    free_pages(600, 600 + 128);
    free_pages(1100, 1101);
    expect(128 + 1, 127, "less than 25 %");
    prepare(); /* nothing has to be made huge */
    huge(0);
    free_pages(3, 300);
    made.view.no_new_huge_pages = "no huge pages here";
    made.place_items[0].no_huge_pages = true;
    expect(297, 0, NULL);
}

/* What the kernel does not take as a whole, the process can. */
static void the_rest_goes_page_by_page(void **state)
{
    prepare();
    made.view.no_discard = NULL;
    free_pages(3, 20); /* at the edge */
    free_pages(600, 700);
    free_pages(1100, 1200); /* at the other */
    free_pages(1510, 1520); /* beyond it */
    made.place_items[0].range = (struct range){page(1), page(1500)};
    expect(17 + 100 + 100, 10, "changed");
    assert_int_equal(made.plan.blocks.count, 1);
    assert_int_equal(made.plan.singles.count, 2);
    prepare();
    made.view.no_discard = NULL;
    made.view.no_blocks = "no rights";
    free_pages(3, 20);
    free_pages(600, 700);
    expect(117, 0, NULL);
    assert_int_equal(made.plan.blocks.count, 0);
    prepare(); /* not what is left of it because others use it */
    made.view.no_discard = NULL;
    made.place_items[0].obstacle = "it is locked";
    free_pages(3, 20);
    expect(0, 17, "it is locked");
}

static void parts_of_huge_pages_free_nothing(void **state)
{
    prepare();
    made.view.no_discard = NULL;
    made.view.no_blocks = "no rights";
    huge(0);
    huge(1);
    free_pages(3, 300);
    free_pages(512, 1024);
    expect(512, 297, "a part of a huge page that stays: no rights");
    assert_int_equal(made.plan.singles.count, 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_pages_of_chunks_go),
        cmocka_unit_test(headers_and_list_pointers_stay),
        cmocka_unit_test(what_is_not_resident_does_not_count),
        cmocka_unit_test(what_a_fork_shares_stays),
        cmocka_unit_test(swap_and_files_beside_it),
        cmocka_unit_test(mappings_have_edges),
        cmocka_unit_test(obstacles_are_told),
        cmocka_unit_test(huge_pages_are_split_for_a_quarter),
        cmocka_unit_test(the_rest_goes_page_by_page),
        cmocka_unit_test(parts_of_huge_pages_free_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
