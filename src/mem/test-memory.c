#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mem/fake.h"

enum { PAGES = 12, BASE = 0x100000 };

static uint8_t bytes[PAGES * PAGE_BYTES];
static uint8_t flags[PAGES];
static struct fake_extent extent = {.start = BASE, .pages = PAGES, .bytes = bytes, .flags = flags};
static struct fake_memory fake;
static struct why why;

static int setup(void **state)
{
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 31 + i / PAGE_BYTES + 1);
    memset(flags, PAGE_PRESENT | PAGE_EXCLUSIVE, sizeof flags);
    fake_memory_init(&fake, &extent, 1);
    why.text[0] = 0;
    return 0;
}

static int teardown(void **state)
{
    assert_int_equal(fake.reads_of_absent, 0);
    return 0;
}

static void reads_across_many_pages(void **state)
{
    static uint8_t out[sizeof bytes];

    for (size_t from = 0; from < sizeof bytes; from += 1021)
        for (size_t length = 0; length <= sizeof bytes - from; length += 4099) {
            memset(out, 0xee, sizeof out);
            assert_int_equal(memory_read(&fake.memory, BASE + from, out, length, &why), 0);
            assert_memory_equal(out, bytes + from, length);
            if (length < sizeof out)
                assert_int_equal(out[length], 0xee);
        }
}

static void refuses_what_is_not_present(void **state)
{
    uint8_t out[3 * PAGE_BYTES];

    flags[5] = 0;
    assert_int_equal(memory_read(&fake.memory, BASE + 4 * PAGE_BYTES, out, PAGE_BYTES, &why), 0);
    assert_int_equal(memory_read(&fake.memory, BASE + 4 * PAGE_BYTES, out, PAGE_BYTES + 1, &why),
                     OUTCOME_UNREADABLE);
    assert_string_equal(why.text, "the page at 0x105000 is not present");
    flags[5] = PAGE_SWAPPED;
    assert_int_equal(memory_read(&fake.memory, BASE + 5 * PAGE_BYTES, out, 1, &why),
                     OUTCOME_UNREADABLE);
    assert_string_equal(why.text, "the page at 0x105000 is swapped out");
    assert_int_equal(memory_read(&fake.memory, 0, out, 1, NULL), OUTCOME_UNREADABLE);
    assert_int_equal(memory_read(&fake.memory, BASE + sizeof bytes - 1, out, 2, NULL),
                     OUTCOME_UNREADABLE);
}

static void tells_what_the_kernel_refused(void **state)
{
    uint8_t out[8];

    flags[2] |= PAGE_UNREADABLE;
    assert_int_equal(memory_read(&fake.memory, BASE + 3 * PAGE_BYTES - 4, out, 8, &why),
                     OUTCOME_UNREADABLE);
    assert_string_equal(why.text, "the kernel refused to read the page at 0x102000");
}

static void the_zero_page_reads_as_zeros(void **state)
{
    uint64_t value = 1;

    flags[3] = PAGE_PRESENT | PAGE_ZERO;
    assert_int_equal(memory_read_u64(&fake.memory, BASE + 3 * PAGE_BYTES, &value, &why), 0);
    assert_int_equal(value, 0);
}

static void words_are_untouched_on_failure(void **state)
{
    uint64_t value = 42, expected;

    memcpy(&expected, bytes + 4092, sizeof expected);
    assert_int_equal(memory_read_u64(&fake.memory, BASE - 4, &value, &why), OUTCOME_UNREADABLE);
    assert_int_equal(value, 42);
    assert_int_equal(memory_read_u64(&fake.memory, BASE + 4092, &value, &why), 0);
    assert_int_equal(value, expected);
}

static void no_address_overflows(void **state)
{
    uint8_t out[16];
    char text[16];

    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(memory_read(&fake.memory, UINT64_MAX - i, out, sizeof out, &why),
                         OUTCOME_UNREADABLE);
    assert_int_equal(memory_read(&fake.memory, BASE, out, SIZE_MAX, &why), OUTCOME_UNREADABLE);
    assert_int_equal(memory_read_string(&fake.memory, UINT64_MAX - 3, text, sizeof text, &why),
                     OUTCOME_UNREADABLE);
}

static void strings_stop_at_the_nul(void **state)
{
    char text[64];

    memcpy(bytes + PAGE_BYTES - 4, "abc", 4);
    flags[1] = 0; /* nobody may look behind the NUL */
    assert_int_equal(memory_read_string(&fake.memory, BASE + PAGE_BYTES - 4, text, 64, &why), 0);
    assert_string_equal(text, "abc");
    memcpy(bytes + PAGE_BYTES - 4, "abcd", 4);
    assert_int_equal(memory_read_string(&fake.memory, BASE + PAGE_BYTES - 4, text, 64, &why),
                     OUTCOME_UNREADABLE);
    assert_int_equal(memory_read_string(&fake.memory, BASE + PAGE_BYTES - 4, text, 5, &why), 0);
    assert_string_equal(text, "abcd");
    assert_int_equal(memory_read_string(&fake.memory, BASE, text, 0, &why), -EINVAL);
    flags[1] = PAGE_PRESENT;
    memcpy(bytes + PAGE_BYTES, "efghij", 7);
    assert_int_equal(memory_read_string(&fake.memory, BASE + PAGE_BYTES - 4, text, 64, &why), 0);
    assert_string_equal(text, "abcdefghij");
    assert_int_equal(memory_read_string(&fake.memory, BASE + PAGE_BYTES - 4, text, 8, &why), 0);
    assert_string_equal(text, "abcdefg");
}

static void bulk_reads_mark_and_zero(void **state)
{
    static uint8_t out[PAGES * PAGE_BYTES];
    static const uint8_t zeros[PAGE_BYTES];
    uint8_t got[PAGES + 2];

    flags[0] = 0;
    flags[4] = PAGE_SWAPPED;
    flags[6] |= PAGE_UNREADABLE;
    flags[7] |= PAGE_ZERO;
    memset(out, 0xee, sizeof out);
    assert_int_equal(memory_page_flags(&fake.memory, BASE - PAGE_BYTES, PAGES + 2, got, &why), 0);
    assert_int_equal(got[0], 0);
    assert_int_equal(got[PAGES + 1], 0);
    assert_int_equal(got[7], PAGE_PRESENT | PAGE_EXCLUSIVE);
    assert_int_equal(memory_read_pages(&fake.memory, BASE, PAGES, got + 1, out, &why), 0);
    for (unsigned i = 0; i < PAGES; i++) {
        bool blank = i == 0 || i == 4 || i == 6 || i == 7;

        assert_memory_equal(out + i * PAGE_BYTES, blank ? zeros : bytes + i * PAGE_BYTES,
                            PAGE_BYTES);
        assert_int_equal(!!(got[i + 1] & PAGE_UNREADABLE), i == 6);
    }
}

static void addresses_inside_a_page_are_refused(void **state)
{
    uint8_t out[PAGE_BYTES], got = 0;

    assert_int_equal(memory_page_flags(&fake.memory, BASE + 8, 1, &got, &why), -EINVAL);
    assert_int_equal(memory_read_pages(&fake.memory, BASE + 8, 1, &got, out, &why), -EINVAL);
}

static void the_fake_notices_reads_of_absent_pages(void **state)
{
    uint8_t out[PAGE_BYTES], claimed = PAGE_PRESENT;

    flags[1] = 0;
    assert_int_equal(memory_read_pages(&fake.memory, BASE + PAGE_BYTES, 1, &claimed, out, &why), 0);
    assert_int_equal(fake.reads_of_absent, 1);
    fake.reads_of_absent = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_across_many_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_what_is_not_present, setup, teardown),
        cmocka_unit_test_setup_teardown(tells_what_the_kernel_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(the_zero_page_reads_as_zeros, setup, teardown),
        cmocka_unit_test_setup_teardown(words_are_untouched_on_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(no_address_overflows, setup, teardown),
        cmocka_unit_test_setup_teardown(strings_stop_at_the_nul, setup, teardown),
        cmocka_unit_test_setup_teardown(bulk_reads_mark_and_zero, setup, teardown),
        cmocka_unit_test_setup_teardown(addresses_inside_a_page_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(the_fake_notices_reads_of_absent_pages, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
