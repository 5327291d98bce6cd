#include "report/foreign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

static char *printed(const char *text, size_t most, bool utf8)
{
    char *result = NULL;
    size_t size;
    FILE *out = open_memstream(&result, &size);

    assert_non_null(out);
    foreign_print(out, text, most, utf8);
    fclose(out);
    return result;
}

static void check(const char *text, size_t most, bool utf8, const char *expected)
{
    auto_free char *result = printed(text, most, utf8);

    assert_string_equal(result, expected);
}

static void plain_text_is_left_alone(void **state)
{
    check("", 10, true, "");
    check("nginx: worker", 20, false, "nginx: worker");
    check("größe 日本", 20, true, "größe 日本");
}

static void terminals_are_not_commanded(void **state)
{
    check("a\x1b[31mb", 40, true, "a\\x1b[31mb");
    check("a\nb\rc\td\x7f", 40, true, "a\\x0ab\\x0dc\\x09d\\x7f");
    check("\xc2\x9b"
          "31m",
          40, true, "\\xc2\\x9b31m"); /* C1 CSI */
    check("a\xe2\x80\xae"
          "b",
          40, true,
          "a\\xe2\\x80\\xae"
          "b"); /* right-to-left override */
    check("a\xe2\x80\x8b"
          "b",
          40, true,
          "a\\xe2\\x80\\x8b"
          "b"); /* zero width space */
}

static void what_is_not_utf8_is_escaped(void **state)
{
    check("\xff\xfe", 40, true, "\\xff\\xfe");
    check("\xc0\x80", 40, true, "\\xc0\\x80"); /* overlong */
    check("\xc1\x81", 40, true, "\\xc1\\x81");
    check("\xed\xa0\x80", 40, true, "\\xed\\xa0\\x80");          /* a surrogate */
    check("\xf4\x90\x80\x80", 40, true, "\\xf4\\x90\\x80\\x80"); /* above U+10FFFF */
    check("a\xe2\x82", 40, true, "a\\xe2\\x82");                 /* cut off */
    check("ü", 40, false, "\\xc3\\xbc");
}

static void long_text_is_cut_to_its_columns(void **state)
{
    check("abcdefgh", 8, true, "abcdefgh");
    check("abcdefghi", 8, true, "abcdefg…");
    check("abcdefghi", 8, false, "abcde...");
    check("\x1b\x1b\x1b", 9, true, "\\x1b\\x1b…");
    check("abc", 0, true, "…");
}

static void json_text_is_valid_and_keeps_what_it_can(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {{"", ""},
                {"ok\n\x1bü", "ok\n\x1bü"},
                {"\xff"
                 "a\xe2\x82",
                 "\\xffa\\xe2\\x82"}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        auto_free char *result = foreign_as_utf8(rows[i].in);

        assert_string_equal(result, rows[i].out);
    }
}

static void columns_are_counted_by_character(void **state)
{
    assert_int_equal(utf8_columns(""), 0);
    assert_int_equal(utf8_columns("a·…"), 3);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_is_left_alone),
        cmocka_unit_test(terminals_are_not_commanded),
        cmocka_unit_test(what_is_not_utf8_is_escaped),
        cmocka_unit_test(long_text_is_cut_to_its_columns),
        cmocka_unit_test(json_text_is_valid_and_keeps_what_it_can),
        cmocka_unit_test(columns_are_counted_by_character),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
