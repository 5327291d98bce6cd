#include "report/changes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static void check(const struct changes *changes, size_t row, const char *before, const char *after,
                  const char *difference)
{
    assert_string_equal(changes_before(changes, row).text, before);
    assert_string_equal(changes_after(changes, row).text, after);
    assert_string_equal(changes_difference(changes, row).text, difference);
}

static void figures_are_as_wide_as_the_differences_need(void **state)
{
    static const struct {
        uint64_t before, after;
        const char *texts[3];
    } cases[] = {{0, 0, {"0 B", "0 B", "0 B"}},
                 {100, 900, {"100 B", "900 B", "+800 B"}},
                 {GIB, GIB + 4 * KIB, {"1048576 KiB", "1048580 KiB", "+4 KiB"}},
                 {GIB + 48, GIB, {"1048576 KiB", "1048576 KiB", "-<1 KiB"}},
                 {MIB, 3 * MIB, {"1024 KiB", "3072 KiB", "+2048 KiB"}},
                 {1671 * MIB, 1883 * MIB, {"1671 MiB", "1883 MiB", "+212 MiB"}},
                 {1671 * MIB, 1683 * MIB, {"1671.0 MiB", "1683.0 MiB", "+12.0 MiB"}},
                 {1671 * MIB, 1671 * MIB, {"1671 MiB", "1671 MiB", "0 MiB"}},
                 {UINT64_MAX, 0, {"16.0 EiB", "0 EiB", "-16.0 EiB"}}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct changes changes = changes_of(&cases[i].before, &cases[i].after, 1);

        check(&changes, 0, cases[i].texts[0], cases[i].texts[1], cases[i].texts[2]);
        check(&changes, 1, cases[i].texts[0], cases[i].texts[1], cases[i].texts[2]);
    }
}

/* 1000.5 and 1000.5 would be 1001 and 1001 one by one; the third has not changed, so it must not
 * look it. */
static void rounding_alone_would_not_add_up(void **state)
{
    uint64_t before[] = {1000 * MIB + MIB / 2, 1000 * MIB + MIB / 2, 77 * MIB + MIB / 2};
    uint64_t after[] = {2000 * MIB + MIB / 4, 1000 * MIB + 3 * MIB / 4, 77 * MIB + MIB / 2};
    struct changes changes = changes_of(before, after, 3);

    assert_int_equal(changes.before_steps[3], 2079);
    assert_int_equal(changes.after_steps[3], 3079);
    assert_int_equal(changes.before_steps[0] + changes.before_steps[1] + changes.before_steps[2],
                     2079);
    assert_int_equal(changes.after_steps[0] + changes.after_steps[1] + changes.after_steps[2],
                     3079);
    assert_string_equal(changes_difference(&changes, 2).text, "0 MiB");
}

static uint64_t next_number(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Amounts of all sizes; half of the rows as they were, some gone, some little changed. */
static void make_rows(uint64_t *seed, uint64_t *before, uint64_t *after, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t kind = next_number(seed) % 8;

        before[i] = next_number(seed) >> (8 + next_number(seed) % 56);
        after[i] = kind < 4   ? before[i]
                   : kind < 5 ? 0
                   : kind < 6 ? before[i] + next_number(seed) % MIB
                              : next_number(seed) >> (8 + next_number(seed) % 56);
    }
}

/* Within less than a step. */
static void is_near(const struct changes *changes, uint64_t bytes, uint64_t steps)
{
    static const double scales[] = {1, 10, 100};
    double unit =
        (double)(UINT64_C(1) << (10 * changes->unit.unit)) / scales[changes->unit.decimals];
    double off = (double)bytes / unit - (double)steps;

    if (off <= -1.001 || off >= 1.001)
        fail_msg("%lu bytes are told as %lu steps of %f", bytes, steps, unit);
}

static void check_row(const struct changes *changes, size_t row)
{
    int64_t difference = (int64_t)(changes->after[row] - changes->before[row]);
    int64_t steps = (int64_t)(changes->after_steps[row] - changes->before_steps[row]);

    is_near(changes, changes->before[row], changes->before_steps[row]);
    is_near(changes, changes->after[row], changes->after_steps[row]);
    is_near(changes, (uint64_t)llabs(difference), (uint64_t)llabs(steps));
    assert_true(changes->before[row] || !changes->before_steps[row]);
    assert_true(changes->after[row] || !changes->after_steps[row]);
    assert_true(difference || !steps);
    assert_false((difference > 0 && steps < 0) || (difference < 0 && steps > 0));
}

static void any_table_adds_up_both_ways(void **state)
{
    uint64_t seed = 7, before[CHANGES_MOST], after[CHANGES_MOST];

    for (unsigned round = 0; round < 3000; round++) {
        size_t count = 1 + next_number(&seed) % CHANGES_MOST;
        uint64_t sum_before = 0, sum_after = 0;
        struct changes changes;

        make_rows(&seed, before, after, count);
        changes = changes_of(before, after, count);
        for (size_t i = 0; i < count; i++) {
            check_row(&changes, i);
            sum_before += changes.before_steps[i];
            sum_after += changes.after_steps[i];
        }
        check_row(&changes, count);
        assert_int_equal(sum_before, changes.before_steps[count]);
        assert_int_equal(sum_after, changes.after_steps[count]);
    }
}

/* Where all lie half way between two figures, little is left to choose. */
static void halves_add_up_both_ways(void **state)
{
    uint64_t seed = 11, before[CHANGES_MOST], after[CHANGES_MOST];

    for (unsigned round = 0; round < 3000; round++) {
        size_t count = 1 + next_number(&seed) % CHANGES_MOST;
        struct changes changes;

        for (size_t i = 0; i < count; i++) {
            before[i] = next_number(&seed) % 400 * (MIB / 4);
            after[i] = next_number(&seed) % 400 * (MIB / 4);
        }
        before[0] += 1000 * MIB;
        changes = changes_of(before, after, count);
        for (size_t i = 0; i <= count; i++)
            check_row(&changes, i);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_as_wide_as_the_differences_need),
        cmocka_unit_test(rounding_alone_would_not_add_up),
        cmocka_unit_test(any_table_adds_up_both_ways),
        cmocka_unit_test(halves_add_up_both_ways),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
