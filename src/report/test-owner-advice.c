/* What is said about memory that others manage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "report/owner-advice.h"
#include "report/test-explanation.h"

static const struct advice *advice_of(bool decoded, const char *name, const char *version)
{
    struct explanation e = {.decoded = decoded};
    struct unexplained_owner owner = {.bytes = GIB};

    snprintf(owner.name, sizeof owner.name, "%s", name);
    snprintf(owner.version, sizeof owner.version, "%s", version);
    return owner_advice_for(&e, &owner);
}

static void check(bool decoded, const char *name, const char *version, const char *part)
{
    const struct advice *advice = advice_of(decoded, name, version);

    assert_non_null(advice);
    if (!strstr(advice->effect, part) && !(advice->setting && strstr(advice->setting, part)))
        fail_msg("no \"%s\" for %s %s: %s", part, name, version, advice->effect);
}

static void by_version(void **state)
{
    (void)state;
    check(true, "Go", "1.19.8", "GOMEMLIMIT");
    check(true, "Go", "1.30", "GOMEMLIMIT");
    check(true, "Go", "2.0", "GOMEMLIMIT");
    check(true, "Go", "1.18.10", "FreeOSMemory");
    assert_null(strstr(advice_of(true, "Go", "1.18.10")->effect, "GOMEMLIMIT"));
    assert_null(strstr(advice_of(true, "Go", "")->effect, "GOMEMLIMIT"));
    check(true, "HotSpot", "17.0.12+7-Debian-2deb12u1", "G1PeriodicGCInterval");
    assert_null(advice_of(true, "HotSpot", "11.0.2+9")->setting);
    assert_null(advice_of(true, "HotSpot", "25.402-b06")->setting);
    check(false, "jemalloc", "5.3.0", "MALLOC_CONF");
    assert_null(advice_of(false, "jemalloc", "3.6.0")); /* has other options */
    assert_null(advice_of(false, "jemalloc", ""));
}

/* PYTHONMALLOC=malloc is of use where malloc is decoded, and does not exist without the GIL. */
static void python(void **state)
{
    (void)state;
    check(true, "CPython", "3.11.2", "PYTHONMALLOC=malloc");
    check(false, "CPython", "3.11.2", "_debugmallocstats");
    assert_null(advice_of(false, "CPython", "3.11.2")->setting);
    check(true, "CPython", "3.5.2", "_debugmallocstats");
    assert_null(advice_of(true, "CPython", "2.7.18"));
    assert_null(advice_of(true, "CPython", "3.13.0t"));
    assert_null(advice_of(true, "CPython", ""));
}

static void nobody(void **state)
{
    (void)state;
    assert_null(advice_of(true, "glibc", "2.36"));
    assert_null(advice_of(true, "CPython or jemalloc", ""));
    assert_null(advice_of(true, "", ""));
}

static unsigned count_of(const char *text, const char *part)
{
    unsigned count = 0;

    for (; (text = strstr(text, part)); text += strlen(part))
        count++;
    return count;
}

/* Once for an owner that has several rows, and not for what is small. */
static void in_the_report(void **state)
{
    struct explanation e = opaque_explanation();

    (void)state;
    add_owner(&e, "jemalloc", "5.3.0", 6 * MIB); /* little by itself, and much in all */
    add_owner(&e, "jemalloc", "5.3.0", 54 * MIB);
    add_owner(&e, "PHP", "8.2.36", 10 * MIB);
    add_owner(&e, "Ruby", "3.1.2", 9 * MIB);
    auto_free char *text = text_of(&e, (struct report_style){.utf8 = true});
    assert_int_equal(count_of(text, "\nhelp: "), 2);
    assert_int_equal(
        count_of(text, "help: MALLOC_CONF=background_thread:true,dirty_decay_ms:1000\n"), 1);
    assert_int_equal(count_of(text, "help: gc_mem_caches() "), 1);
    assert_int_equal(count_of(text, "unexplained: jemalloc 5.3.0  60 MiB"), 1); /* one row */
    explanation_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_version),
        cmocka_unit_test(python),
        cmocka_unit_test(nobody),
        cmocka_unit_test(in_the_report),
    };

    return cmocka_run_group_tests_name("report-owner-advice", tests, NULL, NULL);
}
