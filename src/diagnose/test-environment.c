#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "diagnose/environment.h"

static struct heap_settings settings;
static struct environment_facts facts;
static struct environ_variables variables;
static struct environment environment;
static const char *unknown_tunable;

static int knows_tunable(void *context, const char *name)
{
    return !unknown_tunable || strcmp(unknown_tunable, name) != 0;
}

static int setup(void **state)
{
    settings = (struct heap_settings){.mmap_threshold = 131072,
                                      .trim_threshold = 131072,
                                      .top_pad = 131072,
                                      .dynamic_threshold = true,
                                      .arena_test = 8,
                                      .mmap_max = 65536,
                                      .tcache_count = 7,
                                      .tcache_max_bytes = 1032};
    facts = (struct environment_facts){.variables = &variables,
                                       .allocator = "glibc",
                                       .settings = &settings,
                                       .version = "2.36",
                                       .knows_tunable = knows_tunable};
    unknown_tunable = NULL;
    return 0;
}

static int teardown(void **state)
{
    environ_free(&variables);
    environment_free(&environment);
    return 0;
}

static void start_with(const char *text, size_t length)
{
    teardown(NULL);
    assert_int_equal(environ_take(text, length, environment_is_of_interest, &variables), 0);
    assert_int_equal(environment_judge(&facts, &environment), 0);
}

#define START_WITH(text) start_with(text, sizeof text - 1)

static void is(size_t index, const char *name, enum in_force in_force, const char *reason)
{
    const struct environment_setting *setting = &environment.items[index];

    assert_true(index < environment.count);
    assert_string_equal(setting->name, name);
    if (setting->in_force != in_force)
        fail_msg("%s=%s is %d: %s", name, setting->value, (int)setting->in_force, setting->reason);
    if (!strstr(setting->reason, reason) || (in_force == IN_FORCE_YES) != !*setting->reason)
        fail_msg("%s: \"%s\" is not in \"%s\"", name, reason, setting->reason);
}

static void what_is_in_force(void **state)
{
    settings.arena_max = 4;
    settings.trim_threshold = UINT64_MAX;
    settings.mmap_max = 0;
    settings.dynamic_threshold = false;
    START_WITH("PATH=/bin\0MALLOC_ARENA_MAX=4\0MALLOC_TRIM_THRESHOLD_=-1\0MALLOC_MMAP_MAX_=0\0"
               "MALLOC_MMAP_THRESHOLD_=0x20000\0MALLOC_TOP_PAD_= 0400000");
    assert_int_equal(environment.count, 5);
    is(0, "MALLOC_ARENA_MAX", IN_FORCE_YES, "");
    is(1, "MALLOC_TRIM_THRESHOLD_", IN_FORCE_YES, "");
    is(2, "MALLOC_MMAP_MAX_", IN_FORCE_YES, "");
    is(3, "MALLOC_MMAP_THRESHOLD_", IN_FORCE_YES, "");
    is(4, "MALLOC_TOP_PAD_", IN_FORCE_YES, "");
}

static void what_is_not(void **state)
{
    START_WITH("MALLOC_ARENA_MAX=4\0MALLOC_ARENA_TEST=0\0MALLOC_MMAP_MAX_=-1\0"
               "MALLOC_TOP_PAD_=131072\0MALLOC_TRIM_THRESHOLD_=x\0MALLOC_MMAP_THRESHOLD_=1M");
    is(0, "MALLOC_ARENA_MAX", IN_FORCE_NO, "0 is: the program has changed it (mallopt)");
    is(1, "MALLOC_ARENA_TEST", IN_FORCE_NO, "glibc takes no less than 1");
    is(2, "MALLOC_MMAP_MAX_", IN_FORCE_NO, "no more than 2147483647");
    is(3, "MALLOC_TOP_PAD_", IN_FORCE_NO, "as if nothing had been set");
    is(4, "MALLOC_TRIM_THRESHOLD_", IN_FORCE_NO, "its value is no number");
    is(5, "MALLOC_MMAP_THRESHOLD_", IN_FORCE_NO, "glibc reads no more of its value than 1");
    facts.version = "2.41";
    START_WITH("MALLOC_MMAP_THRESHOLD_=1M");
    is(0, "MALLOC_MMAP_THRESHOLD_", IN_FORCE_NO, "nothing may follow the digits");
}

static void names_that_nobody_reads(void **state)
{
    START_WITH("MALLOC_TRIM_THRESHOLD=1\0MALLOC_ARENA_MAX_=2\0MALLOC_CONF=x\0MALLOC_ARENA=1\0"
               "MALLOC_PERTURB=1\0malloc_arena_max=1");
    assert_int_equal(environment.count, 3);
    is(0, "MALLOC_TRIM_THRESHOLD", IN_FORCE_NO, "glibc knows it as MALLOC_TRIM_THRESHOLD_");
    is(1, "MALLOC_ARENA_MAX_", IN_FORCE_NO, "glibc knows it as MALLOC_ARENA_MAX");
    is(2, "MALLOC_PERTURB", IN_FORCE_NO, "MALLOC_PERTURB_");
}

static void who_does_not_read_it(void **state)
{
    static const char text[] = "MALLOC_ARENA_MAX=2\0GLIBC_TUNABLES=glibc.malloc.arena_max=3";

    facts.secure = true;
    start_with(text, sizeof text - 1);
    is(0, "MALLOC_ARENA_MAX", IN_FORCE_NO, "AT_SECURE");
    is(1, "glibc.malloc.arena_max", IN_FORCE_NO, "AT_SECURE");
    facts.secure = false;
    facts.settings = NULL;
    start_with(text, sizeof text - 1);
    is(0, "MALLOC_ARENA_MAX", IN_FORCE_UNKNOWN, "could not be read");
    facts.allocator = "jemalloc";
    start_with(text, sizeof text - 1);
    is(0, "MALLOC_ARENA_MAX", IN_FORCE_NO, "jemalloc serves malloc");
    facts.allocator = NULL;
    start_with(text, sizeof text - 1);
    is(1, "glibc.malloc.arena_max", IN_FORCE_UNKNOWN, "not known");
}

static void what_cannot_be_seen(void **state)
{
    START_WITH("MALLOC_PERTURB_=7\0MALLOC_CHECK_=3\0GLIBC_TUNABLES=glibc.malloc.mxfast=0:"
               "glibc.malloc.tcache_unsorted_limit=1");
    is(0, "MALLOC_PERTURB_", IN_FORCE_UNKNOWN, "cannot be told from outside");
    is(1, "MALLOC_CHECK_", IN_FORCE_NO, "libc_malloc_debug.so, which is not loaded");
    is(2, "glibc.malloc.mxfast", IN_FORCE_UNKNOWN, "");
    is(3, "glibc.malloc.tcache_unsorted_limit", IN_FORCE_UNKNOWN, "");
    facts.has_debug_malloc = true;
    START_WITH("MALLOC_CHECK_=3");
    is(0, "MALLOC_CHECK_", IN_FORCE_UNKNOWN, "");
    facts.has_debug_malloc = false;
    facts.version = "2.31";
    START_WITH("MALLOC_CHECK_=3");
    is(0, "MALLOC_CHECK_", IN_FORCE_UNKNOWN, "");
}

static void limits_that_depend_on_the_version(void **state)
{
    static const char text[] = "MALLOC_MMAP_THRESHOLD_=33554433\0"
                               "GLIBC_TUNABLES=glibc.malloc.tcache_max=5000";

    facts.version = "2.31";
    start_with(text, sizeof text - 1);
    is(0, "MALLOC_MMAP_THRESHOLD_", IN_FORCE_NO, "takes no more than 33554432");
    is(1, "glibc.malloc.tcache_max", IN_FORCE_NO, "takes no more than 1032");
    facts.version = "2.42";
    settings.mmap_threshold = 33554433;
    settings.dynamic_threshold = false;
    settings.tcache_max_bytes = 5008; /* a chunk for 5000 bytes */
    start_with(text, sizeof text - 1);
    is(0, "MALLOC_MMAP_THRESHOLD_", IN_FORCE_YES, "");
    is(1, "glibc.malloc.tcache_max", IN_FORCE_YES, "");
    settings.tcache_max_bytes = 5009; /* as 2.43 has it */
    start_with(text, sizeof text - 1);
    is(1, "glibc.malloc.tcache_max", IN_FORCE_YES, "");
    settings.tcache_max_bytes = 1032;
    start_with(text, sizeof text - 1);
    is(1, "glibc.malloc.tcache_max", IN_FORCE_NO, "1032 is");
}

static void tunables(void **state)
{
    settings.tcache_count = 3;
    unknown_tunable = "glibc.malloc.nonsense";
    START_WITH("GLIBC_TUNABLES=glibc.malloc.tcache_count=3:glibc.cpu.x=1:glibc.malloc.nonsense=1:"
               "glibc.malloc.arena_max:glibc.malloc.hugetlb=1:glibc.malloc.hugetlb=0");
    assert_int_equal(environment.count, 5);
    is(0, "glibc.malloc.tcache_count", IN_FORCE_YES, "");
    is(1, "glibc.malloc.nonsense", IN_FORCE_NO, "no such tunable");
    is(2, "glibc.malloc.arena_max", IN_FORCE_NO, "no number");
    is(3, "glibc.malloc.hugetlb", IN_FORCE_NO, "");
    is(4, "glibc.malloc.hugetlb", IN_FORCE_YES, "");
    settings.thp_pagesize = 2097152;
    START_WITH("GLIBC_TUNABLES=glibc.malloc.hugetlb=1");
    is(0, "glibc.malloc.hugetlb", IN_FORCE_YES, "");
}

static void the_tunable_wins(void **state)
{
    settings.arena_max = 3;
    START_WITH("GLIBC_TUNABLES=glibc.malloc.arena_max=9:glibc.malloc.arena_max=3\0"
               "MALLOC_ARENA_MAX=2");
    is(0, "glibc.malloc.arena_max", IN_FORCE_NO, "glibc.malloc.arena_max=3 in GLIBC_TUNABLES");
    is(1, "glibc.malloc.arena_max", IN_FORCE_YES, "");
    is(2, "MALLOC_ARENA_MAX", IN_FORCE_NO, "glibc.malloc.arena_max=3 in GLIBC_TUNABLES goes");
}

/* glibc writes into its own environment until 2.38. */
static void tunables_that_glibc_cut(void **state)
{
    settings.tcache_count = 3;
    START_WITH("glibc.malloc.top_pad=1\0GLIBC_TUNABLES=glibc.malloc.tcache_count=3\0"
               "glibc.malloc.tcache_max=5000:glibc.malloc.mxfast=0\0A=1");
    assert_int_equal(environment.count, 3);
    is(0, "glibc.malloc.tcache_count", IN_FORCE_YES, "");
    is(1, "glibc.malloc.tcache_max", IN_FORCE_NO, "no more than 1032");
    is(2, "glibc.malloc.mxfast", IN_FORCE_UNKNOWN, "");
}

static void a_malformed_one_voids_all(void **state)
{
    static const char last[] = "GLIBC_TUNABLES=glibc.malloc.arena_max=2:";
    static const char sign[] = "GLIBC_TUNABLES=a=b=c:glibc.malloc.arena_max=2";

    settings.arena_max = 2;
    start_with(last, sizeof last - 1);
    is(0, "glibc.malloc.arena_max", IN_FORCE_YES, ""); /* 2.36 */
    facts.version = "2.39";
    settings.arena_max = 0;
    start_with(last, sizeof last - 1);
    is(0, "glibc.malloc.arena_max", IN_FORCE_NO, "as a whole: its last part is no NAME=VALUE");
    start_with(sign, sizeof sign - 1);
    is(0, "glibc.malloc.arena_max", IN_FORCE_NO, "as a whole: a value in it has a \"=\"");
}

static void any_text_is_survived(void **state)
{
    static const char alphabet[] = "=:_ -0x9GA.\xff";
    char text[80] = "GLIBC_TUNABLES=glibc.malloc.";

    srand(1);
    for (int round = 0; round < 20000; round++) {
        for (size_t i = 28; i < sizeof text; i++)
            text[i] = alphabet[(unsigned)rand() % sizeof alphabet];
        facts.version = round % 2 ? "2.36" : "2.41";
        start_with(text + (round % 3 ? 0 : 15), sizeof text - 15);
    }
}

#define setting_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        setting_test(what_is_in_force),
        setting_test(what_is_not),
        setting_test(names_that_nobody_reads),
        setting_test(who_does_not_read_it),
        setting_test(what_cannot_be_seen),
        setting_test(limits_that_depend_on_the_version),
        setting_test(tunables),
        setting_test(the_tunable_wins),
        setting_test(tunables_that_glibc_cut),
        setting_test(a_malformed_one_voids_all),
        setting_test(any_text_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
