/* Page states of this very process, taken, renewed and told again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem/live.h"
#include "mem/page-image.h"
#include "mem/zeros.h"

enum { PAGES = 3000 }; /* more than two windows */

static struct procfs procfs;
static struct page_source source;
static struct why why;
static uint8_t *area;
static struct maps maps;

static uint64_t start_of_area(void)
{
    return (uintptr_t)area;
}

static void discard(size_t first, size_t count)
{
    assert_int_equal(madvise(area + first * PAGE_BYTES, count * PAGE_BYTES, MADV_DONTNEED), 0);
}

static int setup(void **state)
{
    size_t bytes = PAGES * PAGE_BYTES;

    area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED || madvise(area, bytes, MADV_NOHUGEPAGE))
        return -1;
    memset(area, 1, bytes);
    if (procfs_open(&procfs, "/", &why) || page_source_open(&procfs, getpid(), &source, &why))
        return -1;
    return maps_read(&procfs, getpid(), &maps, &why);
}

static int teardown(void **state)
{
    maps_free(&maps);
    page_source_close(&source);
    procfs_close(&procfs);
    munmap(area, PAGES * PAGE_BYTES);
    return 0;
}

static void assert_states(const struct page_image *image, size_t absent_first, size_t absent_end)
{
    static uint8_t flags[PAGES];

    page_image_flags(image, start_of_area(), PAGES, flags);
    for (size_t i = 0; i < PAGES; i++) {
        bool absent = i >= absent_first && i < absent_end;

        assert_int_equal(flags[i], absent ? 0 : PAGE_PRESENT | PAGE_EXCLUSIVE);
        assert_int_equal(page_image_at(image, start_of_area() + i * PAGE_BYTES + 5), flags[i]);
    }
}

static void holds_what_the_kernel_tells(void **state)
{
    struct page_image image;
    static uint8_t flags[PAGES], kept[PAGES];

    discard(100, 1200);
    assert_int_equal(page_image_take(&source, &maps, &image, &why), 0);
    assert_states(&image, 100, 1300);
    assert_int_equal(pages_flags(&source, start_of_area(), PAGES, flags, &why), 0);
    page_image_flags(&image, start_of_area(), PAGES, kept);
    assert_memory_equal(flags, kept, PAGES);
    assert_int_equal(page_image_at(&image, 0), 0);
    assert_int_equal(page_image_at(&image, UINT64_C(1) << 60), 0);
    page_image_free(&image);
}

static void renewing_tells_what_is_there_now(void **state)
{
    struct page_image before, now;

    discard(100, 1200);
    assert_int_equal(page_image_take(&source, &maps, &before, &why), 0);
    page_image_add(&before, start_of_area(), PAGE_CONTENT_ZERO);
    page_image_add(&before, start_of_area() + 200 * PAGE_BYTES,
                   PAGE_CONTENT_ZERO); /* has no state */
    memset(area + 100 * PAGE_BYTES, 2, 1200 * PAGE_BYTES);
    discard(2000, 10);
    assert_int_equal(page_image_renew(&source, &maps, &before, &now, &why), 0);
    assert_int_equal(page_image_at(&now, start_of_area()),
                     PAGE_PRESENT | PAGE_EXCLUSIVE | PAGE_CONTENT_ZERO);
    for (size_t i = 1; i < PAGES; i++)
        assert_int_equal(page_image_at(&now, start_of_area() + i * PAGE_BYTES),
                         i >= 2000 && i < 2010 ? 0 : PAGE_PRESENT | PAGE_EXCLUSIVE);
    page_image_free(&before);
    page_image_free(&now);
}

static void runs_come_in_order_and_cross_windows(void **state)
{
    struct page_image image;
    struct page_run run;
    remote_addr at = start_of_area() + 3 * PAGE_BYTES, end = start_of_area() + 2500 * PAGE_BYTES;

    discard(100, 1200);
    assert_int_equal(page_image_take(&source, &maps, &image, &why), 0);
    assert_true(page_image_next(&image, &at, end, PAGE_PRESENT, &run));
    assert_int_equal(run.range.start, start_of_area() + 3 * PAGE_BYTES);
    assert_int_equal(run.range.end, start_of_area() + 100 * PAGE_BYTES);
    assert_int_equal(run.flags, PAGE_PRESENT);
    assert_true(page_image_next(&image, &at, end, PAGE_PRESENT, &run));
    assert_int_equal(run.range.start, start_of_area() + 1300 * PAGE_BYTES);
    assert_int_equal(run.range.end, end);
    assert_false(page_image_next(&image, &at, end, PAGE_PRESENT, &run));
    at = start_of_area();
    assert_false(page_image_next(&image, &at, end, PAGE_SWAPPED, &run));
    page_image_free(&image);
}

static void a_fork_since_makes_no_page_exclusive(void **state)
{
    struct page_image before, now;
    pid_t child;

    assert_int_equal(page_image_take(&source, &maps, &before, &why), 0);
    assert_true(page_image_at(&before, start_of_area()) & PAGE_EXCLUSIVE);
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    assert_true(child > 0);
    assert_int_equal(page_image_renew(&source, &maps, &before, &now, &why), 0);
    for (size_t i = 0; i < PAGES; i++)
        assert_int_equal(page_image_at(&now, start_of_area() + i * PAGE_BYTES), PAGE_PRESENT);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    page_image_free(&before);
    page_image_free(&now);
}

static void zero_pages_are_found_by_their_content(void **state)
{
    struct page_image image;
    struct live_memory live;

    memset(area + 7 * PAGE_BYTES, 0, 2 * PAGE_BYTES);
    area[8 * PAGE_BYTES + 4095] = 1;
    assert_int_equal(live_memory_open(&live, &procfs, getpid(), &why), 0);
    assert_int_equal(page_image_take(&source, &maps, &image, &why), 0);
    assert_int_equal(find_zero_pages_of_image(&image, &live.memory, true, UINT64_MAX, &why), 0);
    for (size_t i = 0; i < PAGES; i++)
        assert_int_equal(
            !!(page_image_at(&image, start_of_area() + i * PAGE_BYTES) & PAGE_CONTENT_ZERO),
            i == 7);
    page_image_free(&image);
    live_memory_close(&live);
}

static int fill(void **state)
{
    memset(area, 1, PAGES * PAGE_BYTES);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(holds_what_the_kernel_tells, fill),
        cmocka_unit_test_setup(renewing_tells_what_is_there_now, fill),
        cmocka_unit_test_setup(runs_come_in_order_and_cross_windows, fill),
        cmocka_unit_test_setup(a_fork_since_makes_no_page_exclusive, fill),
        cmocka_unit_test_setup(zero_pages_are_found_by_their_content, fill),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
