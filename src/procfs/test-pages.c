#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "procfs/rss.h"
#include "procfs/smaps.h"
#include "procfs/test-pages-support.h"

enum done { UNTOUCHED, WRITTEN, READ, DISCARDED, GUARD, REWRITTEN_AFTER_FORK, DONE_KINDS };

#define MADV_GUARD_INSTALL_ 102 /* since 6.13 */

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

static char *map_pages(size_t count, int flags, int fd)
{
    char *at = mmap(NULL, count * PAGE_BYTES, PROT_READ | PROT_WRITE, flags, fd, 0);

    require(at != MAP_FAILED);
    madvise(at, count * PAGE_BYTES, MADV_NOHUGEPAGE);
    return at;
}

static void make_anonymous(struct plan *plan, uint64_t *seed)
{
    plan->anon = map_pages(ANON_PAGES, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    plan->has_guards = madvise(plan->anon, PAGE_BYTES, MADV_GUARD_INSTALL_) == 0;
    plan->anon_state[0] = plan->has_guards ? GUARD : UNTOUCHED;
    for (size_t i = 1; i < ANON_PAGES; i++) {
        char *page = plan->anon + i * PAGE_BYTES;
        uint8_t todo = (uint8_t)(next_random(seed) % DONE_KINDS);

        if (todo == GUARD && (!plan->has_guards || i % 5))
            todo = WRITTEN;
        plan->anon_state[i] = todo;
        if (todo == WRITTEN || todo == DISCARDED || todo == REWRITTEN_AFTER_FORK)
            *page = 1;
        if (todo == READ)
            touch(page);
        if (todo == DISCARDED)
            require(madvise(page, PAGE_BYTES, MADV_DONTNEED) == 0);
        if (todo == GUARD)
            require(madvise(page, PAGE_BYTES, MADV_GUARD_INSTALL_) == 0);
    }
}

/* The file's own pages, copies of them, and none. */
static void make_mixed(char *area, size_t pages, uint64_t *seed)
{
    for (size_t i = 0; i < pages; i++) {
        char *page = area + i * PAGE_BYTES;

        switch (next_random(seed) % 4) {
        case 0:
            *page = 1;
            break;
        case 1:
            touch(page);
            break;
        case 2:
            *page = 1;
            require(madvise(page, PAGE_BYTES, MADV_DONTNEED) == 0);
            break;
        }
    }
}

static void make_file(struct plan *plan, uint64_t *seed)
{
    int fd = open(plan->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    require(fd >= 0 && unlink(plan->path) == 0 && ftruncate(fd, FILE_PAGES * PAGE_BYTES) == 0);
    plan->file = map_pages(FILE_PAGES, MAP_PRIVATE, fd);
    make_mixed(plan->file, FILE_PAGES, seed);
}

/* By twos: whole, with a hole, only read (the huge zero page), untouched. As far as the system
 * gives huge pages. */
static void make_huge(struct plan *plan)
{
    char *area = map_pages((HUGE_PAGES + 1) * 512, MAP_PRIVATE | MAP_ANONYMOUS, -1);

    plan->huge = (char *)align_up((uintptr_t)area, HUGE_BYTES);
    madvise(plan->huge, HUGE_PAGES * HUGE_BYTES, MADV_HUGEPAGE);
    for (int i = 0; i < 4; i++)
        plan->huge[i * HUGE_BYTES] = 1;
    for (int i = 2; i < 4; i++)
        require(madvise(plan->huge + i * HUGE_BYTES + 5 * PAGE_BYTES, 9 * PAGE_BYTES,
                        MADV_DONTNEED) == 0);
    for (int i = 4; i < 6; i++)
        touch(plan->huge + i * HUGE_BYTES);
}

/* A grandchild shares all that is anonymous; what is written afterwards is ours alone again. */
static void share_with_a_child(struct plan *plan)
{
    pid_t parent = getpid(), pid = fork();

    require(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        require(getppid() == parent);
        for (;;)
            pause();
    }
    for (size_t i = 0; i < ANON_PAGES; i++)
        if (plan->anon_state[i] == REWRITTEN_AFTER_FORK)
            plan->anon[i * PAGE_BYTES] = 2;
}

static void make_everything(void *context)
{
    struct plan *plan = context;
    uint64_t seed = 20240607;

    make_anonymous(plan, &seed);
    plan->shared = map_pages(SHARED_PAGES, MAP_SHARED | MAP_ANONYMOUS, -1);
    make_mixed(plan->shared, SHARED_PAGES, &seed);
    make_file(plan, &seed);
    make_huge(plan);
    share_with_a_child(plan);
}

static int setup(void **state)
{
    static struct world world;

    *state = &world;
    return world_setup(&world, make_everything);
}

/* Keeps the flags of `mask` and joins what is equal then. */
static struct runs masked(struct runs runs, uint8_t mask)
{
    struct runs result = {0};

    for (size_t i = 0; i < runs.count; i++) {
        struct page_run run = runs.items[i];
        struct page_run *last = result.count ? &result.items[result.count - 1] : NULL;

        run.flags &= mask;
        if (last && last->range.end == run.range.start && last->flags == run.flags)
            last->range.end = run.range.end;
        else if (run.flags)
            runs_push(&result, run);
    }
    free(runs.items);
    return result;
}

/* What the plan says that the flags of an anonymous page must be. */
static uint8_t expected_flags(const struct world *world, size_t i, bool knows_zero)
{
    switch (world->plan->anon_state[i]) {
    case WRITTEN:
        return PAGE_PRESENT;
    case REWRITTEN_AFTER_FORK:
        return PAGE_PRESENT | PAGE_EXCLUSIVE;
    case READ:
        return knows_zero ? PAGE_PRESENT | PAGE_ZERO : PAGE_PRESENT;
    case GUARD:
        return PAGE_SWAPPED;
    default:
        return 0;
    }
}

static void check_anonymous(const struct world *world, const struct page_source *source)
{
    static uint8_t flags[ANON_PAGES];
    struct why why = {""};
    bool knows_zero = source->has_scan || source->has_pfn;

    memset(flags, 0xaa, sizeof flags);
    if (pages_flags(source, (uintptr_t)world->plan->anon, ANON_PAGES, flags, &why) < 0)
        fail_msg("%s", why.text);
    for (size_t i = 0; i < ANON_PAGES; i++)
        if (flags[i] != expected_flags(world, i, knows_zero))
            fail_msg("page %zu: %02x, but %02x expected", i, flags[i],
                     expected_flags(world, i, knows_zero));
}

static void each_path_tells_what_was_done(void **state)
{
    struct world *world = *state;
    struct page_source other = without_scan(&world->source);

    check_anonymous(world, &world->source);
    check_anonymous(world, &other);
    other.has_pfn = false;
    check_anonymous(world, &other);
}

static void scan_is_used_where_it_exists(void **state)
{
    struct world *world = *state;

    if (kernel_at_least(6, 7))
        assert_true(world->source.has_scan);
    if (is_root() && world->source.has_pfn)
        assert_true(world->source.zero_pfn != 0);
}

static void compare_paths(struct world *world, struct range range, unsigned want, size_t at_least)
{
    struct page_source other = without_scan(&world->source);
    uint8_t mask = (uint8_t)~PAGE_HUGE;
    struct runs a, b;

    if (!world->source.has_scan || !world->source.has_pfn)
        skip();
    a = masked(runs_collect(&world->source, range, want), mask);
    b = masked(runs_collect(&other, range, want), mask);
    assert_same_runs(a, b);
    assert_true(a.count >= at_least);
    free(a.items);
    free(b.items);
}

static void paths_agree_everywhere(void **state)
{
    struct world *world = *state;
    struct plan *plan = world->plan;
    struct maps maps;

    for (unsigned want = 0; want <= PAGES_WANT_EXCLUSIVE; want++) {
        compare_paths(world, pages_at(plan->anon, ANON_PAGES), want, 5000);
        compare_paths(world, pages_at(plan->shared, SHARED_PAGES), want, 500);
        compare_paths(world, pages_at(plan->file, FILE_PAGES), want, 1000);
        compare_paths(world, pages_at(plan->huge, HUGE_PAGES * 512), want, 1);
    }
    assert_int_equal(maps_read(real_root(), world->victim.pid, &maps, NULL), 0);
    for (size_t i = 0; i < maps.count; i++)
        if (range_length(maps.items[i].range) < TIB) /* all but the address sanitizer's */
            compare_paths(world, maps.items[i].range, PAGES_WANT_EXCLUSIVE, 0);
    maps_free(&maps);
}

/* Wherever a walk begins and ends, it tells the same of the pages inside. */
static void parts_agree_with_the_whole(void **state)
{
    struct world *world = *state;
    static uint8_t whole[ANON_PAGES], part[ANON_PAGES];
    uint64_t start = (uintptr_t)world->plan->anon, seed = 5;

    assert_int_equal(pages_flags(&world->source, start, ANON_PAGES, whole, NULL), 0);
    for (int i = 0; i < 300; i++) {
        size_t first = next_random(&seed) % ANON_PAGES;
        size_t count = next_random(&seed) % (ANON_PAGES - first) / (i % 3 ? 100 : 1);
        struct page_source source = i % 2 ? world->source : without_scan(&world->source);

        if (!source.has_scan && !source.has_pfn)
            continue;
        assert_int_equal(pages_flags(&source, start + first * PAGE_BYTES, count, part, NULL), 0);
        assert_memory_equal(part, whole + first, count);
    }
}

static void whole_address_space_sums_to_rss(void **state)
{
    struct world *world = *state;
    struct smaps_rollup rollup;
    struct range all = {0, UINT64_MAX};
    struct runs runs = runs_collect(&world->source, all, PAGES_PLAIN);

    assert_int_equal(smaps_rollup_read(real_root(), world->victim.pid, &rollup, NULL), 0);
    assert_int_equal(resident_bytes(runs), rollup.rss_bytes);
    assert_true(rollup.rss_bytes > 6000 * PAGE_BYTES);
    free(runs.items);
    if (rss_status_is_exact(real_root(), NULL) == 1) {
        struct rss rss;

        assert_int_equal(rss_read(real_root(), world->victim.pid, RSS_FROM_STATUS, &rss, NULL), 0);
        assert_int_equal(rss.rss_bytes, rollup.rss_bytes);
    }
}

static void fallback_sums_to_rss(void **state)
{
    struct world *world = *state;
    struct page_source other = without_scan(&world->source);
    struct smaps_rollup rollup;
    struct runs runs;

    if (!other.has_pfn || HAS_ADDRESS_SANITIZER) {
        print_message(
            "needs page frame numbers (CAP_SYS_ADMIN), and no sanitizer's shadow memory\n");
        skip();
    }
    runs = runs_collect(&other, (struct range){0, UINT64_MAX}, PAGES_PLAIN);
    assert_int_equal(smaps_rollup_read(real_root(), world->victim.pid, &rollup, NULL), 0);
    assert_int_equal(resident_bytes(runs), rollup.rss_bytes);
    free(runs.items);
}

static void huge_pages_are_told(void **state)
{
    struct world *world = *state;
    uint64_t start = (uintptr_t)world->plan->huge;
    uint8_t flags[HUGE_PAGES * 512];

    if (!world->source.has_scan || !world->source.huge_zero_pfn)
        skip();
    assert_int_equal(pages_flags(&world->source, start, HUGE_PAGES * 512, flags, NULL), 0);
    if (!(flags[0] & PAGE_HUGE) || !(flags[4 * 512] & PAGE_HUGE))
        skip(); /* none to be had just now */
    for (size_t i = 0; i < 512; i++) {
        assert_int_equal(flags[i], PAGE_PRESENT | PAGE_HUGE);
        assert_int_equal(flags[2 * 512 + i], i >= 5 && i < 14 ? 0 : PAGE_PRESENT);
        assert_int_equal(flags[4 * 512 + i], PAGE_PRESENT | PAGE_HUGE | PAGE_ZERO);
        assert_int_equal(flags[6 * 512 + i], 0);
    }
}

/* A kernel whose scan does not know the huge zero page: then pagemap gives it away. */
static void finds_the_huge_zero_page_without_help(void **state)
{
    struct world *world = *state;
    struct page_source other = world->source;
    struct range range = pages_at(world->plan->huge, HUGE_PAGES * 512);

    if (!world->source.has_scan)
        skip();
    other.scan_misses_huge_zero = true;
    for (unsigned want = 0; want <= PAGES_WANT_EXCLUSIVE; want++) {
        struct runs a = runs_collect(&world->source, range, want),
                    b = runs_collect(&other, range, want);

        assert_same_runs(a, b);
        free(a.items);
        free(b.items);
    }
}

static void reading_changes_nothing(void **state)
{
    struct world *world = *state;
    struct page_source other = without_scan(&world->source);
    struct rss before, after;

    assert_int_equal(rss_read(real_root(), world->victim.pid, RSS_FROM_SMAPS_ROLLUP, &before, NULL),
                     0);
    check_anonymous(world, &world->source);
    check_anonymous(world, &other);
    free(runs_collect(&world->source, (struct range){0, UINT64_MAX}, PAGES_WANT_EXCLUSIVE).items);
    if (!HAS_ADDRESS_SANITIZER)
        free(runs_collect(&other, (struct range){0, UINT64_MAX}, PAGES_WANT_EXCLUSIVE).items);
    assert_int_equal(rss_read(real_root(), world->victim.pid, RSS_FROM_SMAPS_ROLLUP, &after, NULL),
                     0);
    assert_int_equal(before.rss_bytes, after.rss_bytes);
    assert_int_equal(before.page_table_bytes, after.page_table_bytes);
}

static void odd_ranges(void **state)
{
    static const struct range empty[] = {
        {0, 0},
        {0x1000, 0x1000},
        {0x5000, 0x1000},
        {0, 0x1000},
        {UINT64_MAX - 4095, UINT64_MAX},
        {UINT64_C(0xffffffffff600000), UINT64_C(0xffffffffff601000)}, /* [vsyscall] */
        {UINT64_C(0x7ffffffff000), UINT64_C(0x800000000000)},
        {UINT64_C(0x8000000000000000), UINT64_MAX},
    };
    struct world *world = *state;
    struct page_source other = without_scan(&world->source);

    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        assert_null(runs_collect(&world->source, empty[i], PAGES_WANT_EXCLUSIVE).items);
        assert_null(runs_collect(&other, empty[i], PAGES_WANT_EXCLUSIVE).items);
    }
}

/* --- gone --------------------------------------------------------------------------------- */

static void expect_gone(const struct page_source *source)
{
    struct page_cursor cursor;
    struct page_run run;
    struct why why = {""};
    uint8_t flags[4];

    pages_begin(&cursor, source, (struct range){0, UINT64_MAX}, PAGES_PLAIN);
    assert_int_equal(pages_next(&cursor, &run, &why), -ESRCH);
    assert_non_null(strstr(why.text, "has ended"));
    assert_int_equal(pages_flags(source, 0x400000, 4, flags, NULL), -ESRCH);
}

static void tells_that_the_process_has_gone(void **state)
{
    struct victim victim;
    struct page_source source, other;

    victim_start(&victim, NULL, NULL);
    assert_int_equal(page_source_open(real_root(), victim.pid, &source, NULL), 0);
    other = without_scan(&source);
    victim_kill(&victim);
    expect_gone(&source);
    other.procfs = real_root();
    expect_gone(&other);
    page_source_close(&source);
    assert_int_equal(source.pagemap_fd, -1);
}

static void tells_that_another_program_runs(void **state)
{
    struct page_source source, other;
    int go[2], done[2];
    char byte = 0;
    pid_t pid, parent = getpid();

    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    assert_int_equal(pipe2(done, O_CLOEXEC), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || read(go[0], &byte, 1) != 1)
            _exit(1);
        execlp("sleep", "sleep", "100", (char *)NULL);
        _exit(1);
    }
    close(done[1]);
    assert_int_equal(page_source_open(real_root(), pid, &source, NULL), 0);
    assert_int_equal(write(go[1], &byte, 1), 1);
    assert_int_equal(read(done[0], &byte, 1), 0); /* closed by execve */
    other = without_scan(&source);
    expect_gone(&source);
    expect_gone(&other);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    page_source_close(&source);
    close(go[0]);
    close(go[1]);
    close(done[0]);
}

/* --- fake trees --------------------------------------------------------------------------- */

static void decodes_a_fake_pagemap(void **state)
{
    enum { PRESENT = 63, SWAPPED = 62, FILE_PAGE = 61, EXCLUSIVE = 56 };
#define BIT(n) (UINT64_C(1) << (n))
    static const uint64_t entries[] = {
        0,
        BIT(PRESENT) | BIT(EXCLUSIVE),
        BIT(PRESENT) | BIT(EXCLUSIVE) | BIT(55), /* soft-dirty makes no difference */
        BIT(PRESENT),
        BIT(PRESENT) | BIT(FILE_PAGE) | BIT(EXCLUSIVE),
        BIT(SWAPPED) | 12345,
        BIT(SWAPPED) | BIT(FILE_PAGE),
        BIT(FILE_PAGE),
        BIT(PRESENT) | 77,
    };
    static const uint8_t expected[] = {
        0,
        PAGE_PRESENT | PAGE_EXCLUSIVE,
        PAGE_PRESENT | PAGE_EXCLUSIVE,
        PAGE_PRESENT,
        PAGE_PRESENT | PAGE_FILE,
        PAGE_SWAPPED,
        PAGE_SWAPPED | PAGE_FILE,
        0,
        PAGE_PRESENT,
        0,
        0,
    };
    struct tree tree;
    struct page_source source;
    uint8_t flags[11];
    struct runs runs;

    tree_make(&tree);
    tree_bytes(&tree, "proc/5/pagemap", entries, sizeof entries);
    assert_int_equal(page_source_open(&tree.procfs, 5, &source, NULL), 0);
    assert_false(source.has_scan || source.has_pfn);
    assert_int_equal(pages_flags(&source, 0, 11, flags, NULL), 0);
    assert_memory_equal(flags, expected, sizeof expected);
    runs = runs_collect(&source, (struct range){0, 11 * PAGE_BYTES}, PAGES_PLAIN);
    assert_int_equal(runs.count, 5);
    assert_true(runs.items[0].range.end ==
                4 * PAGE_BYTES); /* joined when nobody asks for EXCLUSIVE */
    free(runs.items);
    source.has_pfn = true;
    source.zero_pfn = 77;
    assert_int_equal(pages_flags(&source, 8 * PAGE_BYTES, 1, flags, NULL), 0);
    assert_int_equal(flags[0], PAGE_PRESENT | PAGE_ZERO);
    page_source_close(&source);
    tree_remove(&tree);
}

int main(void)
{
#define MIXED(test) cmocka_unit_test_setup_teardown(test, setup, world_teardown)
    const struct CMUnitTest tests[] = {
        MIXED(scan_is_used_where_it_exists),
        MIXED(each_path_tells_what_was_done),
        MIXED(paths_agree_everywhere),
        MIXED(parts_agree_with_the_whole),
        MIXED(whole_address_space_sums_to_rss),
        MIXED(fallback_sums_to_rss),
        MIXED(huge_pages_are_told),
        MIXED(finds_the_huge_zero_page_without_help),
        MIXED(reading_changes_nothing),
        MIXED(odd_ranges),
        cmocka_unit_test(tells_that_the_process_has_gone),
        cmocka_unit_test(tells_that_another_program_runs),
        cmocka_unit_test(decodes_a_fake_pagemap),
    };

    return cmocka_run_group_tests_name("pages", tests, NULL, NULL);
}
