#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "heap/glibc/marks.h"

static bool has(const struct chunk_set *set, remote_addr chunk)
{
    const uint8_t *leaf = chunk_set_leaf(set, chunk);

    return leaf && chunk_set_leaf_has(leaf, chunk);
}

static void test_set_holds_what_was_added(void **state)
{
    struct chunk_set set = {0};

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        assert_int_equal(chunk_set_add(&set, UINT64_C(0x550000000000) + i * 96), 0);
    }
    for (unsigned i = 0; i < 20000; i++) {
        assert_true(has(&set, UINT64_C(0x550000000000) + i * 96));
        assert_false(has(&set, UINT64_C(0x550000000000) + i * 96 + 32));
    }
    assert_false(has(&set, UINT64_C(0x7f0000000000)));
    chunk_set_free(&set);
}

static void test_set_grows_over_far_apart_leaves(void **state)
{
    struct chunk_set set = {0};

    (void)state;
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(chunk_set_add(&set, i * (UINT64_C(64) << 20) + 0x40), 0);
    for (uint64_t i = 0; i < 1000; i++)
        assert_true(has(&set, i * (UINT64_C(64) << 20) + 0x40));
    assert_int_equal(set.leaf_count, 1000);
    chunk_set_free(&set);
}

static void test_set_tells_a_loop(void **state)
{
    struct chunk_set set = {0};

    (void)state;
    assert_int_equal(chunk_set_add(&set, 0x1000), 0);
    assert_int_equal(chunk_set_add(&set, 0x1000), OUTCOME_TORN);
    assert_int_equal(chunk_set_add(&set, 0x1010),
                     OUTCOME_TORN); /* no chunk begins 16 bytes behind another */
    assert_int_equal(chunk_set_add(&set, 0x1020), 0);
    chunk_set_free(&set);
}

static void test_empty_set_has_no_leaves(void **state)
{
    struct chunk_set set = {0};

    (void)state;
    assert_null(chunk_set_leaf(&set, 0x1000));
    chunk_set_free(&set);
}

static void test_marks_sort_and_search(void **state)
{
    struct chunk_marks marks = {0};

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(
            chunk_marks_add(&marks, (struct chunk_mark){.chunk = (i * 37 % 100 + 1) * 0x20}), 0);
    chunk_marks_sort(&marks);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(marks.items[i].chunk, (i + 1) * 0x20);
    assert_int_equal(chunk_marks_first_at(&marks, 0), 0);
    assert_int_equal(chunk_marks_first_at(&marks, 0x40), 1);
    assert_int_equal(chunk_marks_first_at(&marks, 0x41), 2);
    assert_int_equal(chunk_marks_first_at(&marks, 0x20 * 101), 100);
    free(marks.items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_holds_what_was_added),
        cmocka_unit_test(test_set_grows_over_far_apart_leaves),
        cmocka_unit_test(test_set_tells_a_loop),
        cmocka_unit_test(test_empty_set_has_no_leaves),
        cmocka_unit_test(test_marks_sort_and_search),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
