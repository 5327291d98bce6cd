#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mem/fake.h"
#include "mem/window.h"

enum { PAGES = 2 * WINDOW_PAGES };
static const remote_addr base = 0x7f0000000000;

static uint8_t flags[PAGES];
static struct fake_extent extent = {.start = base, .pages = PAGES, .flags = flags};
static struct fake_memory fake;
static struct page_window window;
static struct why why;

static int setup(void **state)
{
    static const uint8_t kinds[] = {0,
                                    PAGE_PRESENT,
                                    PAGE_PRESENT | PAGE_EXCLUSIVE,
                                    PAGE_SWAPPED,
                                    PAGE_PRESENT | PAGE_ZERO,
                                    PAGE_PRESENT | PAGE_FILE};

    srand(1);
    for (unsigned i = 0; i < PAGES; i++)
        flags[i] = kinds[(unsigned)rand() % sizeof kinds];
    fake_memory_init(&fake, &extent, 1);
    return 0;
}

static uint64_t counted_byte_by_byte(struct range part)
{
    uint64_t bytes = 0;

    for (remote_addr a = part.start; a < part.end; a++)
        bytes += page_is_resident(flags[(a - base) / PAGE_BYTES]);
    return bytes;
}

static void counts_any_part_to_the_byte(void **state)
{
    struct range range = {base + 3 * PAGE_BYTES, base + 90 * PAGE_BYTES};

    assert_int_equal(window_load(&window, &fake.memory, range, &why), 0);
    for (int i = 0; i < 3000; i++) {
        uint64_t length = range_length(range);
        struct range part = {range.start + (unsigned)rand() % length, 0};

        part.end = part.start + (unsigned)rand() % (range.end - part.start + 1) % 20000;
        assert_int_equal(window_resident_bytes(&window, part), counted_byte_by_byte(part));
    }
    assert_int_equal(window_resident_bytes(&window, range), counted_byte_by_byte(range));
}

static void counts_parts_of_one_page(void **state)
{
    struct range range = {base, base + 2 * PAGE_BYTES};

    flags[0] = PAGE_PRESENT;
    flags[1] = PAGE_SWAPPED;
    assert_int_equal(window_load(&window, &fake.memory, range, &why), 0);
    assert_int_equal(window_resident_bytes(&window, (struct range){base + 16, base + 48}), 32);
    assert_int_equal(window_resident_bytes(&window, (struct range){base + 4090, base + 4100}), 6);
    assert_int_equal(window_resident_bytes(&window, (struct range){base + 4097, base + 4100}), 0);
    assert_int_equal(window_resident_bytes(&window, (struct range){base + 5, base + 5}), 0);
    assert_int_equal(window_resident_bytes(&window, (struct range){range.end, range.end}), 0);
    assert_int_equal(window_flags_at(&window, base + 4096), PAGE_SWAPPED);
    assert_int_equal(window_flags_at(&window, base + 4095), PAGE_PRESENT);
}

static void is_cut_to_its_size(void **state)
{
    struct range all = {base, base + PAGES * PAGE_BYTES};

    memset(flags, PAGE_PRESENT, sizeof flags);
    assert_int_equal(window_load(&window, &fake.memory, all, &why), 0);
    assert_int_equal(range_length(window.range), WINDOW_BYTES);
    assert_int_equal(window_resident_bytes(&window, window.range), WINDOW_BYTES);
}

static void takes_no_wrong_range(void **state)
{
    assert_int_equal(window_load(&window, &fake.memory, (struct range){base, base}, &why), 0);
    assert_int_equal(range_length(window.range), 0);
    assert_int_equal(
        window_load(&window, &fake.memory, (struct range){base + PAGE_BYTES, base}, &why), 0);
    assert_int_equal(range_length(window.range), 0);
    assert_int_equal(
        window_load(&window, &fake.memory, (struct range){base + 1, base + PAGE_BYTES}, &why),
        -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(counts_any_part_to_the_byte, setup),
        cmocka_unit_test_setup(counts_parts_of_one_page, setup),
        cmocka_unit_test_setup(is_cut_to_its_size, setup),
        cmocka_unit_test_setup(takes_no_wrong_range, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
