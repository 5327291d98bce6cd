/* Every rule on made-up cases: when it speaks, what it claims, and what it predicts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "diagnose/rules.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)

enum { ARENAS = 31 };

/* A process of 100 MiB with a decoded heap in which nothing is worth telling. */
struct made_up {
    struct case_file facts;
    struct ledger ledger;
    struct heap_arena arena_items[ARENAS];
    struct heap_arenas arenas;
    struct arena_tally tallies[ARENAS];
    struct heap_tally tally;
    struct heap_settings settings;
    struct heap_census census;
    struct heap_cache cache_items[3];
    struct heap_caches caches;
    struct trim_prediction trim;
    struct unexplained_owner owner;
    struct unexplained_owners owners;
    struct thp_settings thp;
    struct cpus cpus;
    struct findings findings;
};

static struct made_up made_up;

static int setup(void **state)
{
    struct made_up *m = &made_up;

    *m = (struct made_up){
        .settings = {.mmap_threshold = 128 * KIB, .dynamic_threshold = true, .tcache_count = 7},
        .cpus = {.online = 64, .allowed = 64},
        .thp = {.enabled = "madvise"},
    };
    m->arena_items[0].main = true;
    m->arenas = (struct heap_arenas){.items = m->arena_items, .count = 1};
    m->tally = (struct heap_tally){.arenas = m->tallies, .arena_count = 1};
    m->tallies[0].resident_bytes = MIB;
    m->caches = (struct heap_caches){.items = m->cache_items, .count = 3};
    m->owners = (struct unexplained_owners){.items = &m->owner};
    m->facts = (struct case_file){.rss_bytes = 100 * MIB,
                                  .ledger = &m->ledger,
                                  .arenas = &m->arenas,
                                  .settings = &m->settings,
                                  .tally = &m->tally,
                                  .census = &m->census,
                                  .caches = &m->caches,
                                  .trim = &m->trim,
                                  .main_top_trims = true,
                                  .unexplained_by = &m->owners,
                                  .thp = &m->thp,
                                  .cpus = &m->cpus};
    return 0;
}

static int teardown(void **state)
{
    free(made_up.findings.items);
    return 0;
}

static void judge(void)
{
    free(made_up.findings.items);
    made_up.findings = (struct findings){0};
    assert_int_equal(diagnose(&made_up.facts, &made_up.findings), 0);
}

static const struct finding *find(const char *id)
{
    judge();
    for (size_t i = 0; i < made_up.findings.count; i++)
        if (strcmp(made_up.findings.items[i].id, id) == 0)
            return &made_up.findings.items[i];
    return NULL;
}

static const struct finding *must_find(const char *id, const char *because)
{
    const struct finding *finding = find(id);

    if (!finding)
        fail_msg("%s was not found", id);
    else if (!strstr(finding->because, because))
        fail_msg("\"%s\" is not in: %s", because, finding->because);
    return finding;
}

static uint64_t predicted(const struct finding *finding, const char *cure)
{
    for (size_t i = 0; i < finding->cure_count; i++)
        if (strcmp(finding->cures[i].name, cure) == 0)
            return finding->cures[i].rss_bytes;
    fail_msg("%s is not predicted", cure);
    return 0;
}

static void nothing_is_found_where_nothing_is(void **state)
{
    judge();
    assert_int_equal(made_up.findings.count, 0);
    made_up.facts.arenas = NULL;
    made_up.facts.settings = NULL;
    made_up.facts.tally = NULL;
    made_up.facts.census = NULL;
    made_up.facts.caches = NULL;
    judge();
    assert_int_equal(made_up.findings.count, 0);
}

static void caches_of_threads(void **state)
{
    const struct finding *finding;

    made_up.tallies[0].free_resident[SPAN_TCACHE] = 3 * MIB;
    made_up.tally.mmapped.free_resident[SPAN_TCACHE] = MIB;
    made_up.cache_items[0] = (struct heap_cache){.chunks = 9, .bytes = 3 * MIB};
    made_up.cache_items[2] = (struct heap_cache){.chunks = 1, .bytes = MIB};
    finding = must_find("glibc-thread-caches",
                        "4096 KiB was freed and waits in the caches of 2 threads (3072 KiB in the "
                        "largest): ");
    assert_int_equal(finding->bytes, 4 * MIB);
    assert_int_equal(predicted(finding, "free-pages"), 0);
    made_up.settings.tcache_count = 1000;
    must_find("glibc-thread-caches", "largest, of each size up to 1000 chunks)");
    made_up.tallies[0].free_resident[SPAN_TCACHE] = 0;
    assert_null(find("glibc-thread-caches")); /* 1 MiB of 100 */
}

static void fastbins(void **state)
{
    const struct finding *finding;

    made_up.tallies[0].free_resident[SPAN_FASTBIN] = 8 * MIB;
    made_up.tallies[0].in_bins.bytes = 3 * MIB;
    made_up.tallies[0].in_top.bytes = 2 * MIB;
    made_up.trim = (struct trim_prediction){.rss_bytes = 9 * MIB, .charge_bytes = 7 * MIB};
    finding = must_find("glibc-fastbins", "8192 KiB was freed");
    assert_int_equal(finding->bytes, 8 * MIB);
    assert_int_equal(predicted(finding, "malloc-trim"), 4 * MIB); /* 9 but for bins and top */
    assert_int_equal(finding->cures[0].charge_bytes, 2 * MIB);
    made_up.trim.rss_bytes = MIB;
    assert_int_equal(predicted(must_find("glibc-fastbins", ""), "malloc-trim"), 0);
}

static void stale_stacks(void **state)
{
    const struct finding *finding;

    made_up.ledger.bytes[ACCOUNT_STACK_STALE] = 5 * MIB;
    made_up.facts.stale = (struct stale_pages){.bytes = 4 * MIB, .exclusive_bytes = MIB};
    finding = must_find("stale-stacks", "5120 KiB of stacks is not in use");
    assert_null(strstr(finding->because, "ended"));
    assert_int_equal(predicted(finding, "stale-stacks"), 4 * MIB);
    assert_int_equal(finding->cures[0].charge_bytes, MIB);
    made_up.facts.ended = (struct ended_stacks){.count = 1, .stale_bytes = 3 * MIB};
    must_find("stale-stacks",
              "(3072 KiB) on the stacks of 1 thread that has ended, which glibc keeps");
    made_up.facts.ended.count = 12;
    made_up.facts.ended.not_joined = 5;
    must_find("stale-stacks",
              "12 threads that have ended, which glibc keeps; 5 of them were neither joined nor");
    made_up.facts.ended.not_joined = 12;
    must_find("stale-stacks", "keeps until somebody joins them");
}

static void free_memory_in_swap(void **state)
{
    const struct finding *finding;

    made_up.tallies[0].free_bytes[SPAN_BIN] = 50 * MIB;
    made_up.tallies[0].free_resident[SPAN_BIN] = 10 * MIB;
    assert_null(find("free-in-swap")); /* the rest was given back */
    made_up.tallies[0].free_swapped[SPAN_BIN] = 30 * MIB;
    made_up.tally.mmapped.free_swapped[SPAN_TCACHE] = MIB;
    made_up.tally.mmapped.free_bytes[SPAN_TCACHE] = MIB;
    finding = must_find("free-in-swap", "31 MiB in swap is free memory");
    assert_int_equal(finding->bytes, 31 * MIB);
    assert_int_equal(finding->cure_count, 0);
}

static void lazily_freed_memory(void **state)
{
    made_up.facts.lazyfree_bytes = 20 * MIB;
    must_find("lazily-freed", "20 MiB was given up with MADV_FREE");
    assert_null(strstr(must_find("lazily-freed", "")->because, "glibc"));
    made_up.ledger.bytes[ACCOUNT_UNEXPLAINED] = 19 * MIB;
    made_up.ledger.bytes[ACCOUNT_ZERO_HUGE] = MIB;
    must_find("lazily-freed", "glibc's malloc never does that");
}

static void make_arenas(size_t count, uint64_t each_free)
{
    made_up.arenas.count = made_up.tally.arena_count = count;
    for (size_t i = 0; i < count; i++) {
        made_up.tallies[i].resident_bytes = 2 * each_free + i;
        made_up.tallies[i].free_resident[SPAN_BIN] = each_free;
        made_up.tallies[i].in_bins.bytes = each_free / 2;
        made_up.tallies[i].in_top.bytes = each_free / 4;
    }
}

static void arenas_against_processors(void **state)
{
    const struct finding *finding;

    make_arenas(ARENAS, MIB);
    assert_null(find("glibc-many-arenas")); /* 64 CPUs */
    made_up.cpus.quota_us = 150000;
    made_up.cpus.period_us = 100000;
    finding = must_find("glibc-many-arenas",
                        "31 arenas for 1.5 CPUs (its cgroup's quota; the machine has 64): no more "
                        "than 2 threads run at a time, and 29 MiB is free in the other 29 arenas");
    assert_int_equal(finding->bytes, 29 * MIB);
    assert_int_equal(predicted(finding, "free-pages"), 29 * MIB * 3 / 4);
    assert_int_equal(predicted(finding, "malloc-trim"), 29 * MIB / 2); /* thread arenas keep tops */
    made_up.tallies[30].free_resident[SPAN_BIN] = 9 * MIB;             /* spared */
    assert_int_equal(must_find("glibc-many-arenas", "")->bytes, 29 * MIB);
    made_up.cpus.period_us = 0;
    made_up.cpus.allowed = 1;
    must_find("glibc-many-arenas", "for 1 CPU (the machine has 64): no more than 1 thread runs");
    made_up.cpus = (struct cpus){0};
    assert_null(find("glibc-many-arenas"));
}

static void arenas_without_memory_are_not_counted(void **state)
{
    made_up.cpus = (struct cpus){.online = 2, .allowed = 2};
    make_arenas(5, 4 * MIB);
    made_up.tallies[3] = made_up.tallies[4] = (struct arena_tally){0};
    must_find("glibc-many-arenas", "3 arenas for 2 CPUs: no more than 2 threads run at a time, and "
                                   "4096 KiB is free in the other 1 arena, ");
}

static void what_pins_pages(void **state)
{
    const struct finding *finding;

    made_up.ledger.bytes[ACCOUNT_HEAP_PINNED] = 37 * MIB;
    must_find("glibc-pinned", "37 MiB of free memory shares its pages with blocks in use");
    made_up.census.classes[census_class_of(64)] =
        (struct census_class){.blocks = 12000, .bytes = 12000 * 64, .pinned_pages = 9800};
    made_up.census.classes[census_class_of(5000)] =
        (struct census_class){.blocks = 99, .bytes = 50 * MIB, .pinned_pages = 99};
    made_up.census.pinned_pages = 9850;
    made_up.census.pinning_bytes = 800 * KIB;
    finding = must_find("glibc-pinned",
                        "9,850 pages (38.5 MiB) cannot be given back, because 800 KiB of them is "
                        "in use; 9,800 of these pages have blocks of 41 to 56 bytes on them, of "
                        "which 12,000 are in use (750 KiB in all)");
    assert_int_equal(finding->bytes, 37 * MIB);
    assert_int_equal(predicted(finding, "free-pages"), 0);
    made_up.ledger.bytes[ACCOUNT_HEAP_CACHED] = 1;
    must_find("glibc-pinned", "800 KiB of them is in use or in caches; ");
}

static void what_is_live(void **state)
{
    made_up.ledger.bytes[ACCOUNT_HEAP_LIVE] = 80 * MIB;
    must_find("live-memory", "80 MiB is in blocks that the program holds. ");
    made_up.census.classes[census_class_of(1536)] =
        (struct census_class){.blocks = 40000, .bytes = 60 * MIB};
    made_up.census.classes[census_class_of(32)] =
        (struct census_class){.blocks = 400000, .bytes = 12 * MIB};
    made_up.census.classes[census_class_of(48)] =
        (struct census_class){.blocks = 1, .bytes = 11 * MIB};
    must_find("live-memory", "holds: largest are 60 MiB in 40,000 blocks of 1 KiB to 2 KiB, 12 MiB "
                             "in 400,000 blocks of up to 24 bytes. ");
    made_up.ledger.bytes[ACCOUNT_HEAP_LIVE] = 49 * MIB;
    assert_null(find("live-memory"));
}

static void a_refused_heap_comes_first(void **state)
{
    const struct finding *finding;

    made_up.ledger.bytes[ACCOUNT_HEAP_LIVE] = 80 * MIB;
    made_up.ledger.bytes[ACCOUNT_UNEXPLAINED] = 10 * MIB;
    made_up.owners.count = 1;
    made_up.owner = (struct unexplained_owner){.name = "glibc", .bytes = 4 * MIB};
    made_up.facts.refused = (struct refused_heap){
        .what = "glibc arena at 0x7f00", .reason = "the chunk at 0x7f10 is torn", .count = 3};
    finding = must_find("heap-refused",
                        "glibc arena at 0x7f00 could not be read (and 2 more), so that 4096 KiB is "
                        "unexplained: the chunk at 0x7f10 is torn");
    assert_ptr_equal(finding, made_up.findings.items);
    assert_int_equal(finding->bytes, 4 * MIB);
    made_up.owners.count = 0;
    made_up.facts.refused.all = true;
    must_find("heap-refused", "glibc's heap could not be read (and 2 more), so that its part of 10 "
                              "MiB is unexplained: ");
}

static void thresholds(void **state)
{
    const struct finding *finding;

    made_up.tallies[0].large_in_bins.bytes = 7 * MIB;
    made_up.tallies[0].large_in_top.bytes = 5 * MIB;
    assert_null(find("glibc-dynamic-threshold")); /* as it was at the start */
    made_up.settings.mmap_threshold = 4 * MIB;
    finding = must_find("glibc-dynamic-threshold", "from 128 KiB to 4096 KiB");
    assert_int_equal(finding->bytes, 12 * MIB);
    assert_int_equal(predicted(finding, "malloc-trim"), 12 * MIB);
    made_up.facts.main_top_trims = false;
    assert_int_equal(predicted(must_find("glibc-dynamic-threshold", ""), "malloc-trim"), 7 * MIB);
    made_up.settings.dynamic_threshold = false; /* somebody set it */
    assert_null(find("glibc-dynamic-threshold"));
}

static void tops_and_free_pages(void **state)
{
    make_arenas(3, 8 * MIB);
    assert_int_equal(must_find("glibc-arena-tops", "4096 KiB is free at the tops")->bytes, 4 * MIB);
    must_find("glibc-free-inside-arenas", "12 MiB of whole free pages lies inside 3 arenas");
    make_arenas(1, 8 * MIB);
    must_find("glibc-free-inside-arenas", "lies inside the heap");
    assert_null(find("glibc-arena-tops"));
}

static void zeros(void **state)
{
    made_up.ledger.bytes[ACCOUNT_ZERO_HUGE] = 3 * MIB;
    made_up.tallies[0].live_zero_bytes = 2 * MIB;
    assert_int_equal(must_find("huge-pages-of-zeros", "filled in by khugepaged, or")->bytes,
                     5 * MIB);
    made_up.thp = (struct thp_settings){.khugepaged_known = true, .max_ptes_none = 511};
    must_find("huge-pages-of-zeros", "(max_ptes_none 511: a huge page is made when 1 of 512");
}

static void the_largest_comes_first(void **state)
{
    made_up.ledger.bytes[ACCOUNT_HEAP_PINNED] = 3 * MIB;
    made_up.ledger.bytes[ACCOUNT_STACK_STALE] = 9 * MIB;
    made_up.facts.lazyfree_bytes = 5 * MIB;
    judge();
    assert_int_equal(made_up.findings.count, 3);
    assert_string_equal(made_up.findings.items[0].id, "stale-stacks");
    assert_string_equal(made_up.findings.items[2].id, "glibc-pinned");
}

/* However large the figures, a sentence fits and ends. */
static void huge_figures_fit(void **state)
{
    memset(&made_up.ledger, 0x7f, sizeof made_up.ledger);
    memset(&made_up.census, 0x7f, sizeof made_up.census);
    memset(made_up.cache_items, 0x7f, sizeof made_up.cache_items);
    make_arenas(ARENAS, UINT64_C(1) << 50);
    made_up.cpus = (struct cpus){.online = 1, .allowed = 1};
    made_up.tallies[0].free_resident[SPAN_TCACHE] = UINT64_C(1) << 50;
    made_up.facts.ended = (struct ended_stacks){SIZE_MAX, SIZE_MAX - 1, UINT64_C(1) << 62};
    judge();
    assert_true(made_up.findings.count >= 7);
    for (size_t i = 0; i < made_up.findings.count; i++)
        assert_true(strlen(made_up.findings.items[i].because) <
                    sizeof made_up.findings.items[i].because - 1);
}

#define rule_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        rule_test(nothing_is_found_where_nothing_is),
        rule_test(caches_of_threads),
        rule_test(fastbins),
        rule_test(stale_stacks),
        rule_test(free_memory_in_swap),
        rule_test(lazily_freed_memory),
        rule_test(arenas_against_processors),
        rule_test(arenas_without_memory_are_not_counted),
        rule_test(what_pins_pages),
        rule_test(what_is_live),
        rule_test(a_refused_heap_comes_first),
        rule_test(thresholds),
        rule_test(tops_and_free_pages),
        rule_test(zeros),
        rule_test(the_largest_comes_first),
        rule_test(huge_figures_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
