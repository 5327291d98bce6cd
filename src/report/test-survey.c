#include "report/survey.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/vector.h"
#include "report/foreign.h"
#include "report/test-explanation.h"

static const struct report_style plain = {.utf8 = true};

static struct survey_process *add(struct survey *survey, pid_t pid, const char *comm, uint64_t rss,
                                  uint64_t anon)
{
    struct survey_process process = {
        .pid = pid, .amounts = {.rss_bytes = rss, .anon_bytes = anon, .file_bytes = rss - anon}};

    snprintf(process.comm, sizeof process.comm, "%s", comm);
    assert_int_equal(vector_push(&survey->processes, process), 0);
    survey->sum.rss_bytes += rss;
    survey->sum.anon_bytes += anon;
    return &survey->processes.items[survey->processes.count - 1];
}

static void explained(struct survey *survey, struct survey_process *process, struct explanation e,
                      uint64_t returnable, uint64_t charge)
{
    process->explanation = malloc(sizeof e);
    assert_non_null(process->explanation);
    *process->explanation = e;
    process->returnable_bytes = returnable;
    process->returnable_charge_bytes = charge;
    survey->returnable_bytes += returnable;
    survey->returnable_charge_bytes += charge;
    survey->explained++;
    survey->decoded += e.decoded;
}

/* Three processes, one decoded, one that could not be, one that was not looked into. */
static struct survey typical(void)
{
    struct survey survey = {.pauses = {.count = 2, .total_ns = 5000000, .longest_ns = 4000000}};
    struct survey_unread unread = {.who = "of other users",
                                   .reason = {"run as root, or with CAP_SYS_PTRACE"},
                                   .count = 12,
                                   .rss_bytes = 1228 * MIB};
    struct survey_process *first = add(&survey, 4242, "python3", 1883 * MIB, 1765 * MIB), *second;

    explained(&survey, first, typical_explanation(), 1044 * MIB, 1040 * MIB);
    second = add(&survey, 7, "redis-server", 100 * MIB, 96 * MIB);
    explained(&survey, second, opaque_explanation(), 0, 0);
    add(&survey, 99, "bash", 4 * MIB, 1 * MIB);
    assert_int_equal(vector_push(&survey.unread, unread), 0);
    return survey;
}

static void make_cgroup(struct survey *survey)
{
    survey->of_cgroup = true;
    survey->place.version = 2;
    snprintf(survey->place.path, sizeof survey->place.path, "/a.slice/web.service");
    survey->usage.memory = (struct cgroup_memory){.version = 2,
                                                  .charge_known = true,
                                                  .charge_bytes = 1946 * MIB,
                                                  .limit_bytes = 2 * GIB,
                                                  .room_known = true,
                                                  .room_bytes = 102 * MIB};
    survey->usage.parts_known = survey->usage.kernel_known = true;
    survey->usage.file_bytes = 80 * MIB;
    survey->usage.mapped_file_bytes = 50 * MIB;
    survey->usage.kernel_bytes = 20 * MIB;
    survey->unmapped_bytes = 50 * MIB;
    survey->unnamed_bytes = 138 * MIB;
}

static char *survey_text(const struct survey *survey, struct report_style style)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    assert_int_equal(report_survey_text(survey, out, style), 0);
    fclose(out);
    return text;
}

static void has(const struct survey *survey, struct report_style style, const char *part)
{
    auto_free char *text = survey_text(survey, style);

    if (!strstr(text, part))
        fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void the_whole_page(void **state)
{
    struct survey survey = typical();
    auto_free char *text = survey_text(&survey, plain);

    assert_string_equal(
        text, "RSS 1987 MiB in 3 processes: 1044 MiB can go back now (2 of them were looked\n"
              "into).\n"
              "   PID  name               RSS  anonymous  can go back  heap\n"
              "  4242  python3       1883 MiB   1765 MiB     1044 MiB  glibc 2.36\n"
              "     7  redis-server   100 MiB     96 MiB            -  not recognised\n"
              "    99  bash          4096 KiB   1024 KiB            -\n"
              "\n"
              "note: 12 processes of other users (RSS 1228 MiB) could not be looked at: run as\n"
              "      root, or with CAP_SYS_PTRACE\n"
              "note: what processes share is in the RSS of each; nothing was changed; 2\n"
              "      processes were paused, for 4 ms at most\n");
    survey_free(&survey);
}

static void a_cgroup(void **state)
{
    struct survey survey = typical();

    make_cgroup(&survey);
    has(&survey, plain,
        "cgroup /a.slice/web.service · 1.90 of 2.00 GiB, 102 MiB to the limit\n\nRSS ");
    has(&survey, (struct report_style){.quiet = true, .width = 300},
        "1040 MiB of the 1946 MiB charged can go back now; that would leave 1142 MiB to the limit");
    has(&survey, (struct report_style){.width = 300},
        "note: 50 MiB of the charge is in nobody's RSS: the kernel's own 20 MiB, and files and "
        "shared memory that is not mapped 30 MiB\n");
    has(&survey, (struct report_style){.width = 300}, "note: what 138 MiB of the charge is, ");
    survey.usage.memory.limit_bytes = CGROUP_NO_LIMIT;
    survey.usage.memory.room_known = false;
    has(&survey, plain, "web.service · 1946 MiB\n");
    survey.charge_is_ancestors = true;
    snprintf(survey.usage.memory.charge_path, sizeof survey.usage.memory.charge_path,
             "/cg/a.slice");
    has(&survey, plain, "RSS 1987 MiB in 3 processes: 1044 MiB can go back now");
    has(&survey, (struct report_style){.width = 300},
        "charge and limit are those of /cg/a.slice\n");
    survey_free(&survey);
}

static void what_else_is_told(void **state)
{
    struct survey survey = typical();
    struct report_style wide = {.width = 300};
    struct survey_process *last = &survey.processes.items[2];

    last->container = strdup("2227daf62df6694645fee5df53c1f91271546a9560e8600a525690ae252b7f63");
    last->amounts.swap_bytes = 5 * MIB;
    last->reason = strdup("its malloc is jemalloc, which is not decoded");
    last->sharers = malloc(2 * sizeof *last->sharers);
    last->sharers[0] = 100;
    last->sharers[1] = 101;
    last->sharer_count = 2;
    add_refusal(survey.processes.items[0].explanation, "arena 3", "contradicts itself");
    has(&survey, wide,
        "   PID  name          container          RSS  anonymous      swap  can go back  heap\n");
    has(&survey, wide,
        "    99  bash          2227daf62df6  4096 KiB   1024 KiB  5120 KiB            -\n");
    has(&survey, wide, "note: 99 bash: its malloc is jemalloc, which is not decoded\n");
    has(&survey, wide, "note: 100, 101: the very memory of 99\n");
    has(&survey, wide,
        "note: 4242 python3: not all of it could be told; residue why 4242 says what\n");
    for (pid_t i = 0; i < 20; i++)
        add(&survey, 1000 + i, "x", 1, 1)->reason = strdup("for some reason");
    has(&survey, wide, "note: 12 more; --json has them all\n");
    survey_free(&survey);
}

static void nothing_to_tell(void **state)
{
    struct survey survey = {0};

    has(&survey, plain,
        "no process is there to be looked at.\n\nnote: nothing was changed, and no process was "
        "paused\n");
    add(&survey, 5, "x", MIB, MIB);
    has(&survey, plain, "RSS 1024 KiB in 1 process: no heap was looked into.\n");
    explained(&survey, &survey.processes.items[0], opaque_explanation(), 0, 0);
    has(&survey, plain, "RSS 1024 KiB in 1 process: no heap could be decoded.\n");
    survey_free(&survey);
}

/* Names are others' to choose; and the columns stay columns. */
static void hostile_names(void **state)
{
    struct survey survey = {0};
    struct line line;
    auto_free char *text = NULL;
    const char *rest;
    size_t columns = 0;

    make_cgroup(&survey);
    snprintf(survey.place.path, sizeof survey.place.path, "/\x1b[31m");
    add(&survey, 5, "\x1b[2J\n\xff", MIB, MIB);
    add(&survey, 123456, "größe", MIB, MIB);
    text = survey_text(&survey, plain);
    assert_null(strchr(text, '\x1b'));
    for (rest = text; next_line(&rest, &line);)
        if (strstr(line.text, "1024 KiB   1024 KiB")) {
            assert_true(columns == 0 || columns == utf8_columns(line.text));
            columns = utf8_columns(line.text);
        }
    assert_true(columns > 0);
    survey_free(&survey);
}

static void a_full_disk_is_told(void **state)
{
    struct survey survey = typical();
    FILE *full = fopen("/dev/full", "w");

    assert_non_null(full);
    assert_int_equal(report_survey_text(&survey, full, plain), -EIO);
    fclose(full);
    full = fopen("/dev/full", "w");
    assert_non_null(full);
    assert_int_equal(report_survey_json(&survey, full), -EIO);
    fclose(full);
    survey_free(&survey);
}

static json_t *survey_json(const struct survey *survey)
{
    auto_free char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    json_t *json;

    assert_non_null(out);
    assert_int_equal(report_survey_json(survey, out), 0);
    fclose(out);
    json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    return json;
}

/* "processes.0.why.pid" */
static json_t *at(json_t *json, const char *path)
{
    char copy[200], *rest = NULL;

    snprintf(copy, sizeof copy, "%s", path);
    for (char *key = strtok_r(copy, ".", &rest); key && json; key = strtok_r(NULL, ".", &rest))
        json = json_is_array(json) ? json_array_get(json, strtoul(key, NULL, 10))
                                   : json_object_get(json, key);
    if (!json)
        fail_msg("there is no %s", path);
    return json;
}

static void keys_of_processes(void **state)
{
    struct survey survey = typical();
    json_t *json;

    survey.processes.items[2].reason = strdup("for some reason");
    json = survey_json(&survey);
    assert_string_equal(json_string_value(at(json, "format")), "residue.why-all/1");
    assert_true(json_is_null(at(json, "cgroup")));
    assert_int_equal(json_integer_value(at(json, "processes.0.pid")), 4242);
    assert_int_equal(json_integer_value(at(json, "processes.0.returnable_bytes")), 1044 * MIB);
    assert_int_equal(json_integer_value(at(json, "processes.0.returnable_charge_bytes")),
                     1040 * MIB);
    assert_int_equal(json_integer_value(at(json, "processes.0.trim_would_return_bytes")),
                     612 * MIB);
    assert_true(json_is_true(at(json, "processes.0.decoded")));
    assert_string_equal(json_string_value(at(json, "processes.0.why.format")), "residue.why/1");
    assert_int_equal(json_array_size(at(json, "processes.0.shares_memory_with")), 0);
    assert_true(json_is_null(at(json, "processes.1.returnable_bytes")));
    assert_false(json_is_null(at(json, "processes.1.why")));
    assert_true(json_is_null(at(json, "processes.2.why")));
    assert_true(json_is_null(at(json, "processes.2.trim_would_return_bytes")));
    assert_true(json_is_null(at(json, "processes.2.container")));
    assert_string_equal(json_string_value(at(json, "processes.2.not_explained")),
                        "for some reason");
    assert_int_equal(json_integer_value(at(json, "totals.returnable_bytes")), 1044 * MIB);
    assert_int_equal(json_integer_value(at(json, "totals.processes")), 3);
    assert_int_equal(json_integer_value(at(json, "unreadable.0.processes")), 12);
    assert_string_equal(json_string_value(at(json, "unreadable.0.who")), "of other users");
    json_decref(json);
    survey_free(&survey);
}

static void keys_of_a_cgroup(void **state)
{
    struct survey survey = typical();
    json_t *json;

    make_cgroup(&survey);
    json = survey_json(&survey);
    assert_int_equal(json_integer_value(at(json, "cgroup.charge_bytes")), 1946 * MIB);
    assert_int_equal(json_integer_value(at(json, "cgroup.room_bytes")), 102 * MIB);
    assert_int_equal(json_integer_value(at(json, "cgroup.room_after_bytes")), 1142 * MIB);
    assert_int_equal(json_integer_value(at(json, "cgroup.not_in_rss_bytes")), 50 * MIB);
    assert_int_equal(json_integer_value(at(json, "cgroup.unnamed_bytes")), 138 * MIB);
    json_decref(json);
    survey.usage = (struct cgroup_usage){.memory.limit_bytes = CGROUP_NO_LIMIT};
    json = survey_json(&survey);
    assert_true(json_is_null(at(json, "cgroup.charge_bytes")));
    assert_true(json_is_null(at(json, "cgroup.limit_bytes")));
    assert_true(json_is_null(at(json, "cgroup.room_after_bytes")));
    assert_true(json_is_null(at(json, "cgroup.kernel_bytes")));
    json_decref(json);
    survey_free(&survey);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_page),    cmocka_unit_test(a_cgroup),
        cmocka_unit_test(what_else_is_told), cmocka_unit_test(nothing_to_tell),
        cmocka_unit_test(hostile_names),     cmocka_unit_test(a_full_disk_is_told),
        cmocka_unit_test(keys_of_processes), cmocka_unit_test(keys_of_a_cgroup),
    };

    return cmocka_run_group_tests_name("survey report", tests, NULL, NULL);
}
