#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/gaps.h"

struct item {
    struct range range;
    int other;
};

/* The gaps of [0, 64) as a bit set. */
static uint64_t gap_bits(struct range outer, const struct item *items, size_t count)
{
    struct gap_cursor cursor = gaps_of(outer, items, count, sizeof *items);
    struct range gap;
    uint64_t bits = 0;
    remote_addr last = 0;

    while (gap_next(&cursor, &gap)) {
        assert_true(gap.start < gap.end);
        assert_true(gap.start >= last);
        last = gap.end;
        for (remote_addr i = gap.start; i < gap.end; i++)
            bits |= UINT64_C(1) << i;
    }
    return bits;
}

static uint64_t expected_bits(struct range outer, const struct item *items, size_t count)
{
    uint64_t bits = 0;

    for (remote_addr i = outer.start; i < outer.end; i++) {
        bool taken = false;

        for (size_t k = 0; k < count; k++)
            taken |= range_has(items[k].range, i);
        if (!taken)
            bits |= UINT64_C(1) << i;
    }
    return bits;
}

static void test_gaps_are_what_is_left(void **state)
{
    uint64_t seed = 7;

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        struct item items[8];
        size_t count = 0;
        remote_addr at = 0;
        struct range outer;

        while (count < 8) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            at += seed >> 61;
            items[count].range.start = at;
            at += (seed >> 40) % 9;
            items[count].range.end = at;
            if (at >= 64)
                break;
            count++;
        }
        outer.start = (seed >> 33) % 32;
        outer.end = outer.start + (seed >> 20) % 32;
        assert_int_equal(gap_bits(outer, items, count), expected_bits(outer, items, count));
    }
}

static void test_nothing_taken(void **state)
{
    (void)state;
    assert_int_equal(gap_bits((struct range){3, 9}, NULL, 0), 0x1f8);
    assert_int_equal(gap_bits((struct range){3, 3}, NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gaps_are_what_is_left),
                                       cmocka_unit_test(test_nothing_taken)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
