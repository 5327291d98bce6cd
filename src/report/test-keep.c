#include "report/keep.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/vector.h"
#include "procfs/test-cmocka.h"
#include "report/test-explanation.h"

/* What docs promise, with an instance of each list's items; values tell the types. */
static const char contract[] =
    "{ 'format': 'residue.keep/1', 'pid': 1, 'comm': '', 'undo': false, 'interrupted': false,"
    "  'changed': [ { 'setting': '', 'before': '', 'after': '' } ], 'already': [''],"
    "  'refusals': [ { 'what': '', 'reason': '' } ], 'huge_bytes': 0,"
    "  'cost': { 'fault_ns': 0, 'mapping_ns': 0, 'watched_ns': 0, 'faults': 0, "
    "'cpu_percent_before': 0.5, 'cpu_percent': 0.5, 'taken_back': true },"
    "  'every': { 'ran_ns': 0, 'rounds': 0, 'failures': 0, 'pressures': 0, 'pressure_of': '', "
    "'returned_rss_bytes': 0, 'in_use_again_bytes': 0, 'interval_ns': 0, 'process_ended': false, "
    "'pauses': { 'count': 0, 'total_ns': 0, 'longest_ns': 0 } },"
    "  'pauses': { 'count': 0, 'total_ns': 0, 'longest_ns': 0 },"
    "  'start_lines': { 'systemd': [''], 'docker': [''], 'kubernetes': [''], 'shell': [''] } }";

static struct keeping typical(void)
{
    struct keeping k = {
        .pid = 4242,
        .comm = "web",
        .huge_bytes = 64 * MIB,
        .changed = {{KEEP_HUGE_PAGES, KEEP_HUGE_ALLOWED, KEEP_HUGE_OFF},
                    {KEEP_MMAP_THRESHOLD, 32 * MIB, 128 * KIB},
                    {KEEP_STATIC, 0, 1}},
        .changed_count = 3,
        .cost = {.fault_ns = 2000,
                 .mapping_ns = 3000,
                 .before_ns = UINT64_C(1000000000),
                 .watched_ns = UINT64_C(10000000000),
                 .faults = 50000},
        .every = {.ran_ns = UINT64_C(90000000000),
                  .rounds = 3,
                  .returned_bytes = 30 * MIB,
                  .back_bytes = MIB,
                  .interval_ns = UINT64_C(30000000000),
                  .pressure_of = "system"},
        .pauses = {.count = 4, .total_ns = 8000000, .longest_ns = 3000000},
    };

    return k;
}

static void refuse(struct keeping *k, const char *what, const char *reason)
{
    struct keep_refusal refusal = {.what = what, .error = OUTCOME_NOT_POSSIBLE};

    why_set(&refusal.reason, 0, "%s", reason);
    assert_int_equal(vector_push(&k->refusals, refusal), 0);
}

static struct start_lines lines_of_findings(void)
{
    struct explanation e = typical_explanation();
    struct start_lines lines;

    start_lines_for(&e, false, &lines);
    explanation_free(&e);
    return lines;
}

static char *keep_text(const struct keeping *k, bool quiet)
{
    struct start_lines lines = {0};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    if (!k->undo)
        lines = lines_of_findings();
    assert_int_equal(
        report_keep_text(k, &lines, out, (struct report_style){.quiet = quiet, .width = 300}), 0);
    fclose(out);
    return text;
}

static void expect(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void what_was_changed_is_told(void **state)
{
    struct keeping k = typical();
    auto_free char *text = keep_text(&k, false), *quiet = keep_text(&k, true);

    expect(text, "web 4242\n\nChanged in the running process:\n"
                 "  huge_pages: off, was allowed\n"
                 "  mmap_threshold: 128 KiB, was 32 MiB\n"
                 "  dynamic_threshold: no, was yes\n\n");
    expect(text, "note: 64 MiB in huge pages is there still; residue reclaim 4242 gives back");
    expect(text, "--undo does not reach them");
    expect(text,
           "in 10 s it took 50,000 page faults, some 1.0 % of a processor; before it was 0.0");
    expect(text,
           "in 90 s memory was looked for 3 times: 30 MiB came back, of which 1024 KiB was in "
           "use again by the next time; in the end every 30 s\n");
    expect(text, "for 8 ms in all and 3 ms at most\n");
    expect(text, "help: residue keep --undo 4242 sets it back\n");
    expect(text,
           "  kubernetes\n    env:\n    - name: MALLOC_MMAP_THRESHOLD_\n      value: \"131072\"\n");
    assert_string_equal(quiet, "Changed in the running process:\n");
}

static void what_asks_for_huge_pages_is_told(void **state)
{
    struct keeping k = typical();
    auto_free char *loses = NULL, *keeps = NULL;

    k.asks_for_huge_pages = true;
    loses = keep_text(&k, false);
    expect(loses, "asks for huge pages (madvise), and gets none from now on");
    k.advised_kept = true;
    keeps = keep_text(&k, false);
    expect(keeps, "still gets them; --huge-pages=none keeps these away");
}

static void what_was_not_done_is_told(void **state)
{
    struct keeping k = typical();
    char *text;

    k.changed_count = 0;
    k.huge_pages_kept = true;
    text = keep_text(&k, false);
    expect(text, "All of it is set already: nothing was changed.");
    expect(text, "huge pages: kept away already");
    assert_null(strstr(text, "sets it back"));
    free(text);
    k.cost.taken_back = true;
    text = keep_text(&k, false);
    expect(text, "The thresholds were set back: they cost too much.");
    expect(text, "residue reclaim 4242 gives free memory back without that price");
    free(text);
    assert_true(keeping_fell_short(&k));
    k.cost.taken_back = false;
    assert_false(keeping_fell_short(&k));
    refuse(&k, "thresholds", "no heap of glibc's\x1b[2J");
    text = keep_text(&k, false);
    expect(text, "not done: no heap of glibc's\\x1b[2J\n");
    free(text);
    assert_true(keeping_fell_short(&k));
    keeping_free(&k);
}

static void an_undo_is_told(void **state)
{
    struct keeping k = {.pid = 4242, .comm = "web", .undo = true, .changed_count = 1};
    char *text;

    k.changed[0] = (struct keep_change){KEEP_HUGE_PAGES, KEEP_HUGE_ADVISED, KEEP_HUGE_ALLOWED};
    text = keep_text(&k, false);
    expect(text,
           "What residue keep had changed is set back.\n  huge_pages: allowed, was advised\n");
    free(text);
    k.changed_count = 0;
    text = keep_text(&k, true);
    assert_string_equal(text, "Nothing had to be set back.\n");
    free(text);
    k.nothing_to_undo = true;
    text = keep_text(&k, true);
    expect(text, "Nothing is written down of this process");
    free(text);
}

/* Lines of a form, joined. */
static int join(void *context, const char *line)
{
    strcat(context, line);
    strcat(context, "|");
    return 0;
}

static void check_lines(const struct start_lines *lines, enum start_form form, const char *wanted)
{
    char text[2000] = "";

    assert_int_equal(start_lines_each(lines, form, join, text), 0);
    assert_string_equal(text, wanted);
}

static void lines_can_be_copied(void **state)
{
    struct start_lines lines;

    start_lines_for(NULL, true, &lines);
    check_lines(&lines, START_SYSTEMD,
                "Environment=MALLOC_MMAP_THRESHOLD_=131072|Environment=MALLOC_TRIM_THRESHOLD_="
                "131072|");
    check_lines(&lines, START_DOCKER,
                "ENV MALLOC_MMAP_THRESHOLD_=131072|ENV MALLOC_TRIM_THRESHOLD_=131072|");
    check_lines(&lines, START_SHELL,
                "export MALLOC_MMAP_THRESHOLD_=131072|export MALLOC_TRIM_THRESHOLD_=131072|");
    check_lines(&lines, START_KUBERNETES,
                "env:|- name: MALLOC_MMAP_THRESHOLD_|  value: \"131072\"|- name: "
                "MALLOC_TRIM_THRESHOLD_|  value: \"131072\"|");
    start_lines_for(NULL, false, &lines);
    for (unsigned form = 0; form < START_FORMS; form++)
        check_lines(&lines, form, "");
}

/* One variable has them all: those that it has been started with must not get lost, nor run. */
static void tunables_are_joined(void **state)
{
    struct explanation e = typical_explanation();
    struct start_lines lines;

    e.findings.count = 0;
    e.settings.tcache_count = 7;
    add_finding(&e, "glibc-thread-caches", MIB, "");
    add_finding(&e, "huge-pages-of-zeros", MIB, ""); /* its advice is a command */
    add_setting(&e, "glibc.malloc.arena_max", "4", IN_FORCE_YES, "");
    add_setting(&e, "glibc.malloc.tcache_count", "100", IN_FORCE_YES, "");
    add_setting(&e, "glibc.malloc.top_pad", "1\"; rm -rf /", IN_FORCE_NO, "");
    add_setting(&e, "MALLOC_ARENA_MAX", "3", IN_FORCE_NO, "");
    start_lines_for(&e, false, &lines);
    check_lines(&lines, START_DOCKER,
                "ENV GLIBC_TUNABLES=glibc.malloc.tcache_count=2:glibc.malloc.arena_max=4|");
    explanation_free(&e);
}

/* Every key of the contract, with a value of its kind; what a setting's value is depends on it. */
static void check_value(const char *where, json_t *wanted, json_t *found)
{
    const char *key;
    json_t *value;

    if (!found)
        fail_msg("%s is missing", where);
    if (json_typeof(wanted) != json_typeof(found) &&
        !(json_is_boolean(wanted) && json_is_boolean(found)))
        fail_msg("%s is of another kind", where);
    if (json_is_array(wanted)) {
        assert_true(json_array_size(found) > 0);
        check_value(where, json_array_get(wanted, 0), json_array_get(found, 0));
    }
    if (json_is_object(wanted))
        assert_int_equal(json_object_size(found), json_object_size(wanted));
    json_object_foreach(wanted, key, value) check_value(key, value, json_object_get(found, key));
}

static void json_is_as_promised(void **state)
{
    struct keeping k = typical();
    struct start_lines lines = lines_of_findings();
    char text[sizeof contract];
    json_t *found, *wanted;

    refuse(&k, "thresholds", "no");
    k.huge_pages_kept = true;
    found = keep_object(&k, &lines);
    for (size_t i = 0; i < sizeof contract; i++)
        text[i] = contract[i] == '\'' ? '"' : contract[i];
    wanted = json_loads(text, 0, NULL);
    assert_non_null(wanted);
    check_value("all", wanted, found);
    json_decref(wanted);
    json_decref(found);
    keeping_free(&k);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_changed_is_told),
        cmocka_unit_test(what_asks_for_huge_pages_is_told),
        cmocka_unit_test(what_was_not_done_is_told),
        cmocka_unit_test(an_undo_is_told),
        cmocka_unit_test(lines_can_be_copied),
        cmocka_unit_test(tunables_are_joined),
        cmocka_unit_test(json_is_as_promised),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
