#include "report/column.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static void parts_add_up_where_rounding_alone_would_not(void **state)
{
    uint64_t thirds[] = {MIB * 1000 + MIB / 3, MIB * 1000 + MIB / 3, MIB * 1000 + MIB / 3 + 2};
    uint64_t halves[] = {MIB * 1000 + MIB / 2, MIB * 1000 + MIB / 2};
    struct column a = column_of(thirds, 3), b = column_of(halves, 2);

    assert_string_equal(column_figure(&a, a.total_steps).text, "3001 MiB");
    assert_string_equal(column_part(&a, 0).text, "1000 MiB");
    assert_string_equal(column_part(&a, 1).text, "1000 MiB");
    assert_string_equal(column_part(&a, 2).text, "1001 MiB");
    assert_string_equal(column_figure(&b, b.total_steps).text, "2001 MiB");
    assert_int_equal(b.steps[0] + b.steps[1], 2001);
}

static void the_unit_is_that_of_the_total(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {{0, "0 B"},
                {1023, "1023 B"},
                {1024, "1.00 KiB"},
                {1500, "1.46 KiB"},
                {9999 * 1024, "9999 KiB"},
                {10000 * 1024, "9.77 MiB"},
                {45 * MIB, "45.0 MiB"},
                {100 * MIB, "100 MiB"},
                {9999 * MIB, "9999 MiB"},
                {12 * GIB, "12.0 GiB"},
                {UINT64_MAX, "16.0 EiB"}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct column column = column_of(&rows[i].bytes, 1);

        assert_string_equal(column_part(&column, 0).text, rows[i].text);
    }
}

static void what_rounds_to_nothing_is_not_told_as_nothing(void **state)
{
    uint64_t bytes[] = {1000 * MIB, 4096, 0};
    struct column column = column_of(bytes, 3);

    assert_string_equal(column_part(&column, 1).text, "<1 MiB");
    assert_string_equal(column_part(&column, 2).text, "0 MiB");
    assert_string_equal(column_amount(&column, 4096).text, "4 KiB");
}

static void the_same_bytes_have_the_same_figure(void **state)
{
    uint64_t bytes[] = {MIB * 1000 + MIB / 2 - 1, MIB * 1000 + MIB / 2 - 1};
    struct column column = column_of(bytes, 2);

    assert_string_equal(column_part(&column, 0).text, column_amount(&column, bytes[0]).text);
    assert_string_equal(column_amount(&column, 7 * MIB).text, "7 MiB");
}

/* Numbers of all sizes, seeded. */
static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> (*seed >> 58);
}

static void any_parts_add_up(void **state)
{
    uint64_t seed = 20260101;

    for (unsigned round = 0; round < 20000; round++) {
        uint64_t bytes[COLUMN_PARTS], sum = 0;
        size_t count = 1 + next_random(&seed) % COLUMN_PARTS;
        struct column column;

        for (size_t i = 0; i < count; i++)
            bytes[i] = round % 7 == 0 ? UINT64_MAX - i
                                      : next_random(&seed) % (round % 2 ? UINT64_MAX : GIB);
        column = column_of(bytes, count);
        for (size_t i = 0; i < count; i++)
            sum += column.steps[i];
        assert_int_equal(sum, column.total_steps);
    }
}

/* No part is told by a whole step more or less than it is. */
static void parts_are_off_by_less_than_a_step(void **state)
{
    uint64_t seed = 7;

    for (unsigned round = 0; round < 20000; round++) {
        uint64_t bytes[8];
        struct column column;

        for (size_t i = 0; i < 8; i++)
            bytes[i] = next_random(&seed) % (64 * GIB);
        column = column_of(bytes, 8);
        for (size_t i = 0; i < 8; i++) {
            uint64_t scale = column.decimals == 2 ? 100 : column.decimals == 1 ? 10 : 1;
            uint64_t floor = (bytes[i] * scale) >> (10 * column.unit);

            assert_true(column.steps[i] == floor || column.steps[i] == floor + 1);
        }
    }
}

static void long_columns_add_up(void **state)
{
    enum { MANY = 1000 };
    static uint64_t bytes[MANY], steps[MANY];
    uint64_t seed = 3;

    for (unsigned round = 0; round < 50; round++) {
        uint64_t sum = 0, count = round * 20;
        struct column column;

        for (unsigned i = 0; i < count; i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
            bytes[i] = seed >> (30 + seed % 34);
        }
        assert_int_equal(column_of_many(bytes, count, &column, steps), 0);
        for (unsigned i = 0; i < count; i++) {
            assert_true(bytes[i] || !steps[i]);
            sum += steps[i];
        }
        assert_int_equal(sum, column.total_steps);
    }
}

/* Of any length, as of a short one. */
static void long_columns_are_like_short_ones(void **state)
{
    uint64_t bytes[] = {MIB * 1000 + MIB / 3, MIB * 1000 + MIB / 3, MIB * 1000 + MIB / 3 + 2, 0};
    struct column column, expected = column_of(bytes, 4);
    uint64_t steps[4];

    assert_int_equal(column_of_many(bytes, 4, &column, steps), 0);
    assert_memory_equal(steps, expected.steps, sizeof steps);
    assert_int_equal(column.total_steps, expected.total_steps);
    assert_string_equal(column_unit(&column), "MiB");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_columns_add_up),
        cmocka_unit_test(long_columns_are_like_short_ones),
        cmocka_unit_test(parts_add_up_where_rounding_alone_would_not),
        cmocka_unit_test(the_unit_is_that_of_the_total),
        cmocka_unit_test(what_rounds_to_nothing_is_not_told_as_nothing),
        cmocka_unit_test(the_same_bytes_have_the_same_figure),
        cmocka_unit_test(any_parts_add_up),
        cmocka_unit_test(parts_are_off_by_less_than_a_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
