/* What is told below the table of findings, settings and lazily freed memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "report/test-explanation.h"

static const struct report_style plain = {.utf8 = true};

static void has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void lacks(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("\"%s\" is in:\n%s", part, text);
}

static void check(const struct explanation *e, struct report_style style, const char *part)
{
    auto_free char *text = text_of(e, style);

    has(text, part);
}

static void check_lacks(const struct explanation *e, struct report_style style, const char *part)
{
    auto_free char *text = text_of(e, style);

    lacks(text, part);
}

static void advice_is_for_this_process(void **state)
{
    struct explanation e = typical_explanation();

    e.cpus = (struct cpus){.online = 64, .allowed = 6};
    for (unsigned i = 0; i < 7; i++)
        add_arena(&e, (struct heap_arena){0}, (struct arena_tally){0});
    add_finding(&e, "glibc-many-arenas", MIB, "9 arenas for 6 CPUs");
    check(&e, plain, "help: MALLOC_ARENA_MAX=6\n");
    e.cpus.period_us = e.cpus.quota_us = 100000;
    check(&e, plain, "help: MALLOC_ARENA_MAX=2\n");
    e.settings.arena_max = 2;
    check_lacks(&e, plain, "MALLOC_ARENA_MAX");
    add_finding(&e, "glibc-thread-caches", MIB, "caches");
    check_lacks(&e, plain, "tcache_count");
    e.settings.tcache_count = 7;
    check(&e, plain, "help: GLIBC_TUNABLES=glibc.malloc.tcache_count=2\n");
    add_finding(&e, "stale-stacks", MIB, "stacks");
    check_lacks(&e, plain, "stack_cache_size");
    e.ended_stacks = (struct ended_stacks){.count = 9, .not_joined = 8, .stale_bytes = MIB};
    check(&e, plain, "help: GLIBC_TUNABLES=glibc.pthread.stack_cache_size=1048576\n");
    e.ended_stacks.not_joined = 9;
    check_lacks(&e, plain, "stack_cache_size");
    e.ended_stacks.not_joined = 0;
    snprintf(e.allocator_version, sizeof e.allocator_version, "2.31");
    check_lacks(&e, plain, "stack_cache_size");
    add_finding(&e, "lazily-freed", MIB, "lazy");
    check_lacks(&e, plain, "GODEBUG");
    add_owner(&e, "Go", "1.14.2", MIB);
    check(&e, plain, "help: GODEBUG=madvdontneed=1\n");
    snprintf(e.unexplained_by.items[0].version, 32, "1.21.3");
    check_lacks(&e, plain, "madvdontneed");
    explanation_free(&e);
}

static void settings_that_do_nothing_are_told(void **state)
{
    struct explanation e = typical_explanation();
    auto_free char *text = NULL;

    check_lacks(&e, plain, "MALLOC_ARENA_TEST");
    add_setting(&e, "MALLOC_CHECK_", "\x1b]0;3\x07", IN_FORCE_NO, "it is not loaded");
    add_setting(&e, "MALLOC_PERTURB_", "1", IN_FORCE_UNKNOWN, "cannot be told");
    text = text_of(&e, plain);
    has(text, "note: MALLOC_CHECK_=\\x1b]0;3\\x07 is in the environment and not in force: it is\n");
    lacks(text, "MALLOC_PERTURB_");
    explanation_free(&e);
}

static void lazily_freed_memory_is_told_once(void **state)
{
    struct explanation e = typical_explanation();

    e.lazyfree_bytes = 3 * MIB;
    check(&e, plain, "note: 3072 KiB of RSS is given up already");
    add_finding(&e, "lazily-freed", 3 * MIB, "3 MiB was given up");
    check_lacks(&e, plain, "given up already");
    explanation_free(&e);
}

static void what_was_refused_stands_out(void **state)
{
    struct explanation e = typical_explanation();

    add_finding(&e, "heap-refused", MIB, "glibc's heap could not be read")->first = true;
    check(&e, (struct report_style){.color = true}, "\x1b[1;33mwhy:  \x1b[0mglibc's heap could");
    explanation_free(&e);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(advice_is_for_this_process),
        cmocka_unit_test(settings_that_do_nothing_are_told),
        cmocka_unit_test(lazily_freed_memory_is_told_once),
        cmocka_unit_test(what_was_refused_stands_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
