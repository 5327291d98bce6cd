#include "base/format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

static void bytes_below_a_kib_are_exact(void **state)
{
    assert_string_equal(format_bytes(0).text, "0 B");
    assert_string_equal(format_bytes(1).text, "1 B");
    assert_string_equal(format_bytes(1023).text, "1023 B");
}

static void whole_values_have_no_decimals(void **state)
{
    assert_string_equal(format_bytes(KIB).text, "1 KiB");
    assert_string_equal(format_bytes(18 * KIB).text, "18 KiB");
    assert_string_equal(format_bytes(18 * MIB).text, "18 MiB");
    assert_string_equal(format_bytes(MIB).text, "1024 KiB");
}

static void others_have_three_digits(void **state)
{
    assert_string_equal(format_bytes(1500).text, "1.46 KiB");
    assert_string_equal(format_bytes(18 * MIB + 300 * KIB).text, "18.3 MiB");
    assert_string_equal(format_bytes(612 * MIB + 4096).text, "612 MiB");
    assert_string_equal(format_bytes(1884 * MIB + 1).text, "1884 MiB");
    assert_string_equal(format_bytes(12 * GIB + GIB / 2).text, "12.5 GiB");
}

static void a_unit_is_kept_up_to_9999(void **state)
{
    assert_string_equal(format_bytes(9999 * KIB).text, "9999 KiB");
    assert_string_equal(format_bytes(9999 * KIB + 511).text, "9999 KiB");
    assert_string_equal(format_bytes(9999 * KIB + 512).text, "9.77 MiB");
    assert_string_equal(format_bytes(10000 * KIB).text, "9.77 MiB");
    assert_string_equal(format_bytes(10000 * MIB).text, "9.77 GiB");
}

static void rounding_never_adds_a_digit(void **state)
{
    assert_string_equal(format_bytes(9 * KIB + 1020).text, "10.0 KiB");
    assert_string_equal(format_bytes(9 * KIB + 1018).text, "9.99 KiB");
    assert_string_equal(format_bytes(99 * KIB + 1000).text, "100 KiB");
}

static void the_largest_values_fit(void **state)
{
    assert_string_equal(format_bytes(UINT64_MAX).text, "16.0 EiB");
    assert_string_equal(format_bytes_of(UINT64_MAX, UINT64_MAX).text, "16.00 of 16.00 EiB");
    assert_string_equal(format_bytes_of(UINT64_MAX, 1023).text, "18446744073709551615 of 1023 B");
    assert_string_equal(format_bytes_of(UINT64_MAX, KIB).text, "18014398509481984.00 of 1.00 KiB");
    assert_string_equal(format_duration(UINT64_MAX).text, "18446744074 s");
}

static void pairs_share_the_unit_of_the_whole(void **state)
{
    assert_string_equal(format_bytes_of(1946 * MIB, 2 * GIB).text, "1.90 of 2.00 GiB");
    assert_string_equal(format_bytes_of(3 * MIB, 2 * GIB).text, "0.00 of 2.00 GiB");
    assert_string_equal(format_bytes_of(256 * MIB, 512 * MIB).text, "256.00 of 512.00 MiB");
    assert_string_equal(format_bytes_of(5, 10).text, "5 of 10 B");
    assert_string_equal(format_bytes_of(0, 0).text, "0 of 0 B");
}

static void durations(void **state)
{
    assert_string_equal(format_duration(0).text, "0 ms");
    assert_string_equal(format_duration(400).text, "0.4 us");
    assert_string_equal(format_duration(37000).text, "37 us");
    assert_string_equal(format_duration(99499).text, "99 us");
    assert_string_equal(format_duration(99500).text, "0.1 ms");
    assert_string_equal(format_duration(600000).text, "0.6 ms");
    assert_string_equal(format_duration(4000000).text, "4 ms");
    assert_string_equal(format_duration(4049999).text, "4 ms");
    assert_string_equal(format_duration(4050000).text, "4.1 ms");
    assert_string_equal(format_duration(9960000).text, "10 ms");
    assert_string_equal(format_duration(999499999).text, "999 ms");
    assert_string_equal(format_duration(999500000).text, "1 s");
    assert_string_equal(format_duration(1200000000).text, "1.2 s");
    assert_string_equal(format_duration(UINT64_C(340000000000)).text, "340 s");
}

static void counts_have_thousands_separators(void **state)
{
    assert_string_equal(format_count(0).text, "0");
    assert_string_equal(format_count(999).text, "999");
    assert_string_equal(format_count(1024).text, "1,024");
    assert_string_equal(format_count(1000000).text, "1,000,000");
    assert_string_equal(format_count(UINT64_MAX).text, "18,446,744,073,709,551,615");
}

static void intervals(void **state)
{
    static const struct {
        uint64_t seconds;
        const char *text;
    } cases[] = {{0, "0 ms"},
                 {4, "4 s"},
                 {45, "45 s"},
                 {119, "119 s"},
                 {120, "2 min"},
                 {7199, "119 min"},
                 {7200, "2 h"},
                 {3 * 3600 + 5 * 60 + 59, "3 h 5 min"},
                 {48 * 3600 - 1, "47 h 59 min"},
                 {48 * 3600, "2 days"},
                 {74 * 3600, "3 days 2 h"},
                 {UINT64_MAX / 1000000000, "213503 days 23 h"}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(format_interval(cases[i].seconds * 1000000000).text, cases[i].text);
    assert_string_equal(format_interval(400000000).text, "400 ms");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals),
        cmocka_unit_test(bytes_below_a_kib_are_exact),
        cmocka_unit_test(whole_values_have_no_decimals),
        cmocka_unit_test(others_have_three_digits),
        cmocka_unit_test(a_unit_is_kept_up_to_9999),
        cmocka_unit_test(rounding_never_adds_a_digit),
        cmocka_unit_test(the_largest_values_fit),
        cmocka_unit_test(pairs_share_the_unit_of_the_whole),
        cmocka_unit_test(durations),
        cmocka_unit_test(counts_have_thousands_separators),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
