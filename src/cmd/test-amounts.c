#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmd/reclaim.h"

static void sizes_have_units(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},
                {"4096", 4096},
                {"1k", 1024},
                {"64KiB", 65536},
                {"1.5G", 3 << 29},
                {"2MB", 2 << 20},
                {"1T", UINT64_C(1) << 40},
                {"7B", 7}};
    static const char *const bad[] = {"",    "k",    "-1",  "+1",  " 1",   "1 K",
                                      "1KK", "0x10", "nan", "inf", "1e40", "."};
    uint64_t bytes = 5;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(parse_bytes(good[i].text, &bytes), 0);
        assert_int_equal(bytes, good[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(parse_bytes(bad[i], &bytes), -EINVAL);
}

static void times_have_units(void **state)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {{"5ms", 5000000},
                {"30s", UINT64_C(30000000000)},
                {"2", UINT64_C(2000000000)},
                {"1min", UINT64_C(60000000000)},
                {"0.5s", 500000000},
                {"100us", 100000}};
    static const char *const bad[] = {"", "s", "-5ms", "5m", "5 ms", "0x5", "1e30"};
    uint64_t ns = 5;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(parse_duration(good[i].text, &ns), 0);
        assert_int_equal(ns, good[i].ns);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(parse_duration(bad[i], &ns), -EINVAL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_have_units),
        cmocka_unit_test(times_have_units),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
