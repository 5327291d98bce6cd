#include "report/reclaim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/vector.h"

#define MIB (UINT64_C(1) << 20)

/* What docs promise, with an instance of each list's items; values tell the types. */
static const char contract[] =
    "{ 'format': 'residue.reclaim/1', 'pid': 1, 'comm': '', 'dry_run': false, 'below_min_bytes': "
    "false, 'interrupted': false, 'rss_before_bytes': 0, 'rss_after_bytes': 0, "
    "'charge_before_bytes': 0, 'charge_after_bytes': 0,"
    "  'pauses': { 'count': 0, 'total_ns': 0, 'longest_ns': 0 }, 'elapsed_ns': 0,"
    "  'cures': [ { 'name': '', 'applied': true, 'predicted_rss_bytes': 0, 'returned_rss_bytes': "
    "0, 'predicted_charge_bytes': 0, 'returned_charge_bytes': 0, 'huge_pages_split': 0, "
    "'fell_short': false, 'error': '', 'skipped': [ { 'bytes': 0, 'reason': '' } ] } ],"
    "  'after': [ { 'seconds': 0.5, 'rss_bytes': 0, 'minor_faults': 0 } ] }";

static struct reclamation typical(void)
{
    struct reclamation r = {.pid = 4242,
                            .comm = "web",
                            .rss_before_bytes = 100 * MIB,
                            .rss_after_bytes = 40 * MIB,
                            .elapsed_ns = 3000000,
                            .thp_refills = true,
                            .cure_count = 1};
    struct cure_sample later = {
        .after_ns = UINT64_C(30000000000), .rss_bytes = 41 * MIB, .minor_faults = 1234};

    r.cures[0] = (struct cure_outcome){.name = "zero-pages",
                                       .predicted_rss_bytes = 60 * MIB,
                                       .predicted_charge_bytes = 60 * MIB,
                                       .applied = true,
                                       .returned_rss_bytes = 60 * MIB,
                                       .charge_known = true,
                                       .returned_charge_bytes = 60 * MIB,
                                       .huge_pages_split = 32};
    r.charge_before.charge_known = r.charge_after.charge_known = true;
    cure_skip(&r.cures[0], 2 * MIB, "it is locked in memory (mlock)");
    assert_int_equal(vector_push(&r.after, (struct cure_sample){.rss_bytes = 40 * MIB}), 0);
    assert_int_equal(vector_push(&r.after, later), 0);
    return r;
}

static char *text_of(const struct reclamation *r, bool quiet)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    assert_int_equal(
        report_reclaim_text(r, out, (struct report_style){.quiet = quiet, .width = 200}), 0);
    fclose(out);
    return text;
}

static void expect(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void what_came_back_is_told(void **state)
{
    struct reclamation r = typical();
    auto_free char *text = text_of(&r, false), *quiet = text_of(&r, true);

    expect(text, "web 4242\n\nRSS 100 MiB, now 40 MiB: 60 MiB came back, 60 MiB was predicted.\n");
    expect(text, "  zero-pages: 60 MiB predicted, 60 MiB returned, the cgroup's charge fell by 60 "
                 "MiB; 32 huge pages were split\n");
    expect(text, "left: 2048 KiB: it is locked in memory (mlock)\n");
    expect(text, "note: 30 s later: RSS 41 MiB, 1,234 minor page faults taken since\n");
    expect(text, "note: khugepaged may fill huge pages up again");
    expect(text, "note: the process was not paused\n");
    assert_null(strstr(text, "nothing was changed"));
    assert_null(strstr(text, "charge fell by less"));
    assert_string_equal(quiet,
                        "RSS 100 MiB, now 40 MiB: 60 MiB came back, 60 MiB was predicted.\n");
    reclamation_free(&r);
}

static void a_lower_rss_that_frees_nothing_is_told(void **state)
{
    struct reclamation r = typical();
    char *text;

    r.cures[0].returned_charge_bytes = 0;
    text = text_of(&r, false);
    expect(text, "note: the charge fell by less than RSS");
    free(text);
    r.cures[0].returned_charge_bytes = -(int64_t)MIB;
    text = text_of(&r, false);
    expect(text, "the cgroup's charge rose by 1024 KiB");
    free(text);
    r.cures[0].charge_known = false;
    text = text_of(&r, false);
    assert_null(strstr(text, "charge"));
    free(text);
    reclamation_free(&r);
}

static void what_was_not_done_is_told(void **state)
{
    struct reclamation r = typical();
    char *text;

    r.cures[0].applied = false;
    text = text_of(&r, false);
    expect(text, "RSS 100 MiB: 60 MiB would come back.\n");
    expect(text, "note: nothing was changed; the process was not paused\n");
    free(text);
    r.below_least = true;
    text = text_of(&r, true);
    expect(text, "less than was asked for (--min-bytes): nothing was done");
    free(text);
    r.cures[0].predicted_rss_bytes = 0;
    text = text_of(&r, true);
    assert_string_equal(text, "RSS 100 MiB: nothing of it can come back.\n");
    free(text);
    reclamation_free(&r);
}

static void falling_short_is_more_than_a_hundredth(void **state)
{
    struct reclamation r = typical();

    assert_false(reclamation_fell_short(&r));
    r.cures[0].returned_rss_bytes = 60 * MIB - 60 * MIB / 100 - 4096;
    assert_false(reclamation_fell_short(&r));
    r.cures[0].returned_rss_bytes -= 4096;
    assert_true(reclamation_fell_short(&r));
    r.cures[0].applied = false;
    assert_false(reclamation_fell_short(&r));
    reclamation_free(&r);
}

/* Every key of the contract, with a value of its kind. */
static void check_value(const char *where, json_t *wanted, json_t *found)
{
    const char *key;
    json_t *value;

    if (!found)
        fail_msg("%s is missing", where);
    if (json_is_null(found))
        return;
    if (json_typeof(wanted) != json_typeof(found) &&
        !(json_is_boolean(wanted) && json_is_boolean(found)))
        fail_msg("%s is of another kind", where);
    if (json_is_array(wanted)) {
        assert_true(json_array_size(found) > 0);
        check_value(where, json_array_get(wanted, 0), json_array_get(found, 0));
    }
    json_object_foreach(wanted, key, value) check_value(key, value, json_object_get(found, key));
}

static void json_is_as_promised(void **state)
{
    struct reclamation r = typical();
    json_t *found = reclaim_object(&r), *wanted;
    char text[sizeof contract];

    for (size_t i = 0; i < sizeof contract; i++)
        text[i] = contract[i] == '\'' ? '"' : contract[i];
    wanted = json_loads(text, 0, NULL);
    assert_non_null(wanted);
    assert_non_null(found);
    check_value("all", wanted, found);
    assert_int_equal(json_object_size(found), json_object_size(wanted));
    json_decref(wanted);
    json_decref(found);
    reclamation_free(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_came_back_is_told),
        cmocka_unit_test(a_lower_rss_that_frees_nothing_is_told),
        cmocka_unit_test(what_was_not_done_is_told),
        cmocka_unit_test(falling_short_is_more_than_a_hundredth),
        cmocka_unit_test(json_is_as_promised),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
