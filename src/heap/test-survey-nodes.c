/*
 * Small surveys made by hand: where chunks are found again, which are left out of a stop, and what
 * of the captured ones is struck out or refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/vector.h"
#include "heap/glibc/survey.h"

#define HEAP  UINT64_C(0x100000)
#define ARENA UINT64_C(0x10000)

enum { SMALL_BIN = 10, PAGE_CELLS = PAGE_BYTES / CHUNK_ALIGNMENT, NODES_MOST = 32 };

static struct heap_survey *survey;
static struct why why;

/* One part of `count` chunks of `size` cells, the k-th on a page of its own, on one list in order.
 */
static void make_list(unsigned bin, unsigned count, uint32_t size)
{
    struct survey_part *part = survey->parts;
    struct arena_heads *heads = survey->heads;
    uint32_t self = heads->self[bin];

    for (unsigned k = 0; k < count; k++) {
        struct free_node node = {.at = k * PAGE_CELLS, .size = size};

        node.bk = k ? node.at - PAGE_CELLS : self;
        node.fd = k + 1 < count ? node.at + PAGE_CELLS : self;
        assert_int_equal(vector_push(&part->nodes, node), 0);
    }
    survey->node_count = part->nodes.count;
    heads->fd[bin] = 0;
    heads->bk[bin] = (count - 1) * PAGE_CELLS;
}

static int set_up(void **state)
{
    struct range heap = {HEAP, HEAP + NODES_MOST * PAGE_BYTES};

    (void)state;
    survey = calloc(1, sizeof *survey);
    assert_int_equal(cells_add(&survey->cells, heap, 0), 0);
    assert_int_equal(
        cells_add(&survey->cells, (struct range){ARENA, ARENA + 16 * (uint64_t)BIN_COUNT}, 0), 0);
    survey->parts = calloc(1, sizeof *survey->parts);
    survey->part_count = 1;
    survey->parts->begin = heap.start;
    survey->parts->limit = heap.end;
    survey->parts->end_cell = NODES_MOST * PAGE_CELLS;
    survey->parts->nodes.cells = &survey->cells;
    survey->heads = calloc(1, sizeof *survey->heads);
    survey->head_count = 1;
    for (unsigned bin = 0; bin < BIN_COUNT; bin++)
        survey->heads->self[bin] = survey->heads->fd[bin] = survey->heads->bk[bin] =
            NODES_MOST * PAGE_CELLS + bin;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    glibc_survey_free(survey);
    return 0;
}

static struct free_node *node(unsigned k)
{
    return &survey->parts->nodes.items[k];
}

/* Node `k` leaves its list as malloc takes it: its content stays. */
static void unlink_node(unsigned k)
{
    struct free_node *before = survey_find(survey, node(k)->bk);
    struct free_node *behind = survey_find(survey, node(k)->fd);

    before->fd = node(k)->fd;
    behind->bk = node(k)->bk;
}

/* As the capture does when it finds a node changed from what it was. */
static void note_change(unsigned k, uint32_t fd, uint32_t bk)
{
    struct changed_node changed = {.node = node(k), .fd = fd, .bk = bk};

    assert_int_equal(vector_push(&survey->changed, changed), 0);
}

static int resolve(void)
{
    return glibc_resolve(NULL, survey, &why);
}

static void cells_are_found_by_address(void **state)
{
    const struct cell_space *hint = NULL;

    (void)state;
    assert_int_equal(cell_of(&survey->cells, HEAP, &hint), 0);
    assert_int_equal(cell_of(&survey->cells, HEAP + 16 * 77, &hint), 77);
    assert_int_equal(cell_of(&survey->cells, HEAP + 8, &hint), CELL_NONE);
    assert_int_equal(cell_of(&survey->cells, HEAP - 16, &hint), CELL_NONE);
    assert_int_equal(cell_of(&survey->cells, ARENA + 16, &hint), NODES_MOST * PAGE_CELLS + 1);
    assert_int_equal(cell_of(&survey->cells, HEAP + NODES_MOST * PAGE_BYTES, &hint), CELL_NONE);
    assert_int_equal(cells_add(&survey->cells, (struct range){1ull << 40, 1ull << 41}, 0),
                     OUTCOME_NOT_POSSIBLE);
}

static void nodes_and_extras_are_found_by_cell(void **state)
{
    size_t arena, bin;

    (void)state;
    make_list(SMALL_BIN, 5, 40);
    for (unsigned k = 0; k < 5; k++)
        assert_ptr_equal(survey_find(survey, k * PAGE_CELLS), node(k));
    assert_null(survey_find(survey, 1));
    assert_null(survey_find(survey, CELL_NONE));
    for (uint32_t cell = 1; cell < 2000; cell += 3)
        if (cell % PAGE_CELLS)
            assert_int_equal(extra_nodes_add(&survey->extras, HEAP + 16 * (uint64_t)cell, cell), 0);
    for (uint32_t cell = 1; cell < 2000; cell += 3)
        if (cell % PAGE_CELLS)
            assert_int_equal(survey_find(survey, cell)->at, cell);
    assert_null(survey_find(survey, 2));
    assert_true(survey_is_head(survey, survey->heads->self[SMALL_BIN], &arena, &bin));
    assert_int_equal(bin, SMALL_BIN);
    assert_false(survey_is_head(survey, 0, &arena, &bin));
}

/* Whoever is left out stands between two that are read, and two follow it. */
static void every_third_is_left_out(void **state)
{
    unsigned left_out = 0;

    (void)state;
    make_list(SMALL_BIN, 20, 40);
    survey_select(survey);
    for (unsigned k = 0; k < 20; k++)
        if (node_is_skipped(node(k))) {
            assert_in_range(k, 1, 17);
            assert_false(node_is_skipped(node(k - 1)) || node_is_skipped(node(k + 1)) ||
                         node_is_skipped(node(k + 2)));
            assert_int_equal(node_bytes(node(k)), 640);
            left_out++;
        }
    assert_in_range(left_out, 5, 7);
    assert_int_equal(resolve(), 0);
}

static unsigned count_left_out(void)
{
    unsigned count = 0;

    survey_select(survey);
    for (size_t k = 0; k < survey->parts->nodes.count; k++)
        count += node_is_skipped(node((unsigned)k));
    return count;
}

static void none_is_left_out_where_nothing_tells_its_size(void **state)
{
    (void)state;
    make_list(SURVEY_UNSORTED, 20, 40);
    assert_int_equal(count_left_out(), 0);
    tear_down(NULL);
    set_up(NULL);
    make_list(100, 20, 40);
    for (unsigned k = 0; k < 20; k++)
        node(k)->size = 400 - k;
    assert_int_equal(count_left_out(), 0);
}

static void none_is_left_out_behind_where_a_list_tears(void **state)
{
    (void)state;
    make_list(SMALL_BIN, 20, 40);
    node(5)->fd = CELL_NONE;
    survey_select(survey);
    for (unsigned k = 5; k < 20; k++)
        assert_false(node_is_skipped(node(k)));
}

static void who_left_is_struck_out(void **state)
{
    (void)state;
    make_list(SMALL_BIN, 10, 40);
    unlink_node(4);
    note_change(3, 4 * PAGE_CELLS, node(3)->bk);
    assert_int_equal(resolve(), 0);
    assert_int_equal(node(4)->size, 0);
    assert_int_not_equal(node(3)->size, 0);
}

/* Neighbours that left lead to each other; nobody who stayed leads to them. */
static void a_chain_that_left_is_struck_out(void **state)
{
    (void)state;
    make_list(SMALL_BIN, 10, 40);
    node(2)->fd = 7 * PAGE_CELLS;
    node(7)->bk = 2 * PAGE_CELLS;
    note_change(2, 3 * PAGE_CELLS, node(2)->bk);
    assert_int_equal(resolve(), 0);
    for (unsigned k = 3; k < 7; k++)
        assert_int_equal(node(k)->size, 0);
    assert_int_not_equal(node(7)->size, 0);
}

/* Nothing changed since the survey, which noted them at different times. */
static void who_left_during_the_survey_is_struck_out(void **state)
{
    (void)state;
    make_list(SMALL_BIN, 10, 40);
    unlink_node(4);
    assert_int_equal(resolve(), 0);
    assert_int_equal(node(4)->size, 0);
}

static void a_link_that_is_off_is_refused(void **state)
{
    (void)state;
    make_list(SMALL_BIN, 10, 40);
    node(4)->fd = 6 * PAGE_CELLS;
    assert_int_equal(resolve(), OUTCOME_TORN);
}

static void two_that_are_swapped_are_refused(void **state)
{
    (void)state;
    make_list(SMALL_BIN, 10, 40);
    node(4)->fd = node(5)->fd;
    node(5)->fd = 5 * PAGE_CELLS;
    assert_int_equal(resolve(), OUTCOME_TORN);
}

/* A ring that no list end leads to closes in itself. */
static void a_ring_of_its_own_is_refused(void **state)
{
    (void)state;
    make_list(SMALL_BIN, 10, 40);
    node(2)->fd = 8 * PAGE_CELLS;
    node(8)->bk = 2 * PAGE_CELLS;
    node(3)->bk = 7 * PAGE_CELLS;
    node(7)->fd = 3 * PAGE_CELLS;
    assert_int_equal(resolve(), OUTCOME_TORN);
}

/* One that was left out, and whose neighbours turn out not to vouch for it, is read by the next
 * stop. */
static void who_is_not_vouched_for_is_read_next_time(void **state)
{
    (void)state;
    make_list(SMALL_BIN, 10, 40);
    node(4)->size |= NODE_SKIPPED;
    node(5)->size |= NODE_SKIPPED;
    assert_int_equal(resolve(), OUTCOME_TORN);
    assert_false(node_is_skipped(node(4)));
}

int main(void)
{
#define WITH_SURVEY(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_SURVEY(cells_are_found_by_address),
        WITH_SURVEY(nodes_and_extras_are_found_by_cell),
        WITH_SURVEY(every_third_is_left_out),
        WITH_SURVEY(none_is_left_out_where_nothing_tells_its_size),
        WITH_SURVEY(none_is_left_out_behind_where_a_list_tears),
        WITH_SURVEY(who_left_is_struck_out),
        WITH_SURVEY(a_chain_that_left_is_struck_out),
        WITH_SURVEY(who_left_during_the_survey_is_struck_out),
        WITH_SURVEY(a_link_that_is_off_is_refused),
        WITH_SURVEY(two_that_are_swapped_are_refused),
        WITH_SURVEY(a_ring_of_its_own_is_refused),
        WITH_SURVEY(who_is_not_vouched_for_is_read_next_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
