/* Vast reservations on a kernel without PAGEMAP_SCAN. */
#include <stdio.h>
#include <sys/mman.h>

#include "procfs/test-pages-support.h"

/* With a page without access on either side, so that the kernel cannot merge it with what lies
 * there. */
static char *reserve(uint64_t bytes, int protection)
{
    char *at = mmap(NULL, bytes + 2 * PAGE_BYTES, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    require(at != MAP_FAILED);
    require(mprotect(at + PAGE_BYTES, bytes, protection) == 0);
    madvise(at + PAGE_BYTES, bytes, MADV_NOHUGEPAGE);
    return at + PAGE_BYTES;
}

static void make_vast(void *context)
{
    struct plan *plan = context;
    char *writable = reserve(16 * TIB, PROT_READ | PROT_WRITE);

    plan->reservation = reserve(16 * TIB, PROT_NONE);
    plan->touched_first = writable;
    for (size_t i = 0; i < 1000; i++)
        writable[i * 3 * PAGE_BYTES] = 1;
    plan->touched_late = reserve(100 * GIB, PROT_READ | PROT_WRITE);
    plan->touched_late[0] = 1;
    plan->touched_late[100 * GIB - 1] = 1;
    plan->touched_late[70 * GIB] = 1;
    for (uint64_t i = 1; i <= 4; i++)
        touch(plan->touched_late + i * GIB); /* the zero page, which smaps does not count */
}

static int setup_vast(void **state)
{
    static struct world world;

    *state = &world;
    return world_setup(&world, make_vast);
}

/* Read calls that this process has made so far. */
static uint64_t reads_made(void)
{
    FILE *file = fopen("/proc/self/io", "re");
    uint64_t reads = 0;
    char line[100];

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "syscr: %lu", &reads) == 1)
            break;
    if (file)
        fclose(file);
    return reads;
}

static void vast_ranges_agree(struct world *world, struct range range, uint64_t expected_pages)
{
    struct page_source other = without_scan(&world->source);
    struct runs a = runs_collect(&world->source, range, PAGES_PLAIN);
    struct runs b = runs_collect(&other, range, PAGES_PLAIN);

    assert_same_runs(a, b);
    if (expected_pages)
        assert_int_equal(resident_bytes(a), expected_pages * PAGE_BYTES);
    free(a.items);
    free(b.items);
}

/* Entry by entry, 16 TiB would be four million reads of a thousand entries. */
static void vast_reservations_are_not_read_entry_by_entry(void **state)
{
    struct world *world = *state;
    struct plan *plan = world->plan;
    uint64_t before = reads_made();

    if (!world->source.has_scan || !world->source.has_pfn)
        skip();
    vast_ranges_agree(world, pages_at(plan->reservation, 16 * TIB / PAGE_BYTES), 0);
    vast_ranges_agree(world, pages_at(plan->touched_first, 16 * TIB / PAGE_BYTES), 1000);
    vast_ranges_agree(world, pages_at(plan->touched_late, 100 * GIB / PAGE_BYTES), 3);
    if (!HAS_ADDRESS_SANITIZER) /* whose own reservation holds pages at both ends */
        vast_ranges_agree(world, (struct range){0, UINT64_MAX}, 0);
    assert_in_range(reads_made() - before, 1, 120000); /* 100 GiB are 25,600 */
}

/* Wherever a mapping is entered and left, no page may be lost. */
static void vast_ranges_may_begin_anywhere(void **state)
{
    struct world *world = *state;
    uint64_t late = (uintptr_t)world->plan->touched_late;
    uint64_t first = (uintptr_t)world->plan->touched_first;

    if (!world->source.has_scan || !world->source.has_pfn)
        skip();
    vast_ranges_agree(world, (struct range){late + 20 * GIB, late + 100 * GIB}, 2);
    vast_ranges_agree(world, (struct range){late, late + 65 * GIB}, 1);
    vast_ranges_agree(world, (struct range){first + PAGE_BYTES, first + 70 * GIB}, 999);
}

static void without_pfn_nothing_is_lost(void **state)
{
    struct world *world = *state;
    struct page_source other = without_scan(&world->source);
    uint64_t late = (uintptr_t)world->plan->touched_late;
    struct runs runs;

    other.has_pfn = false;
    runs = runs_collect(&other, (struct range){late, late + 100 * GIB}, PAGES_PLAIN);
    assert_int_equal(resident_bytes(runs), 7 * PAGE_BYTES); /* zero pages cannot be told then */
    free(runs.items);
}

/* More stretches than the cursor holds. */
static void make_many_stretches(void *context)
{
    struct plan *plan = context;

    plan->reservation = reserve(2 * TIB, PROT_NONE);
    for (uint64_t i = 0; i < 500; i++) {
        char *at = plan->reservation + i * 4 * GIB + i * PAGE_BYTES;

        require(mprotect(at, 7 * PAGE_BYTES, PROT_READ | PROT_WRITE) == 0);
        at[2 * PAGE_BYTES] = at[4 * PAGE_BYTES] = at[6 * PAGE_BYTES] = 1;
    }
}

static int setup_many(void **state)
{
    static struct world world;

    *state = &world;
    return world_setup(&world, make_many_stretches);
}

static void many_stretches(void **state)
{
    struct world *world = *state;

    if (!world->source.has_scan)
        skip();
    vast_ranges_agree(world, pages_at(world->plan->reservation, 2 * TIB / PAGE_BYTES), 1500);
}

int main(void)
{
#define VAST(test) cmocka_unit_test_setup_teardown(test, setup_vast, world_teardown)
#define MANY(test) cmocka_unit_test_setup_teardown(test, setup_many, world_teardown)
    const struct CMUnitTest tests[] = {
        VAST(vast_reservations_are_not_read_entry_by_entry),
        VAST(vast_ranges_may_begin_anywhere),
        VAST(without_pfn_nothing_is_lost),
        MANY(many_stretches),
    };

    return cmocka_run_group_tests_name("pages of vast reservations", tests, NULL, NULL);
}
