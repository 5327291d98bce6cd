/* Reports are read again as they were written, and nothing else is taken for one. */
#include "report/snapshot-json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "report/json.h"
#include "report/test-explanation.h"

/* With everything that a report can have. */
static struct explanation full_explanation(void)
{
    struct explanation e = typical_explanation();

    add_owner(&e, "jemalloc", "5.3.0", MIB);
    add_owner(&e, "V8", "", 2 * MIB);
    add_refusal(&e, "arena 3", "its chunks contradict each other");
    e.lazyfree_bytes = 5;
    e.heap_live_zero_bytes = 6;
    e.rss.hugetlb_bytes = 7;
    e.settings.arena_max = 8;
    return e;
}

static char path[64];

static void make_path(void)
{
    snprintf(path, sizeof path, "/tmp/residue-test-%d.json", getpid());
}

static void write_file(const char *text, size_t length)
{
    auto_fclose FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
}

static int read_text(const char *text, struct why *why)
{
    struct snapshot snapshot;
    int r;

    write_file(text, strlen(text));
    r = snapshot_read(path, &snapshot, why);
    unlink(path);
    if (r == 0)
        snapshot_free(&snapshot);
    return r;
}

/* It is no report, and the sentence names the file, and has `part`. */
static void is_refused(const char *text, const char *part)
{
    struct why why = {""};

    assert_int_equal(read_text(text, &why), OUTCOME_NOT_POSSIBLE);
    if (!strstr(why.text, part) || strncmp(why.text, path, strlen(path)) != 0 ||
        strchr(why.text, '\n'))
        fail_msg("\"%s\" is not said of the file: %s", part, why.text);
}

static char *dumped(json_t *json)
{
    char *text = json_dumps(json, 0);

    assert_non_null(text);
    return text;
}

static void json_is_refused(json_t *json, const char *part)
{
    auto_free char *text = dumped(json);

    is_refused(text, part);
}

static void amount_is(struct amount amount, uint64_t value)
{
    assert_true(amount.known);
    assert_int_equal(amount.value, value);
}

static void check_figures(const struct snapshot *s)
{
    static const uint64_t values[FIGURE_COUNT] = {
        [FIGURE_SWAP] = 12 * MIB,       [FIGURE_PAGE_TABLES] = 4 * MIB,
        [FIGURE_HUGETLB] = 7,           [FIGURE_LAZYFREE] = 5,
        [FIGURE_LIVE_ZERO] = 6,         [FIGURE_TRIM] = 612 * MIB,
        [FIGURE_MMAPPED_COUNT] = 3,     [FIGURE_MMAPPED_BYTES] = 1000,
        [FIGURE_MMAPPED_RESIDENT] = 400};

    amount_is(s->figures[FIGURE_RSS], 1883 * MIB + 340 * KIB);
    for (size_t i = FIGURE_RSS + 1; i < FIGURE_COUNT; i++)
        amount_is(s->figures[i], values[i]);
    amount_is(s->settings[SETTING_MMAP_THRESHOLD], 31 * MIB);
    amount_is(s->settings[SETTING_TRIM_THRESHOLD], 62 * MIB);
    amount_is(s->settings[SETTING_DYNAMIC_THRESHOLD], 1);
    amount_is(s->settings[SETTING_ARENA_MAX], 8);
    assert_string_equal(s->thp, "madvise");
}

static void check_arena(const struct snapshot_arena *arena)
{
    static const uint64_t values[ARENA_FIGURES] = {[ARENA_HEAPS] = 1,
                                                   [ARENA_RESERVED] = GIB,
                                                   [ARENA_RESIDENT] = 1700 * MIB,
                                                   [ARENA_LIVE_BYTES] = 600 * MIB,
                                                   [ARENA_LIVE_BLOCKS] = 70000,
                                                   [ARENA_TCACHE] = 1,
                                                   [ARENA_FASTBIN] = 2,
                                                   [ARENA_BINS] = 3,
                                                   [ARENA_TOP] = 4,
                                                   [ARENA_RETURNABLE] = 1040 * MIB,
                                                   [ARENA_CACHED] = 3 * MIB,
                                                   [ARENA_PINNED] = 88 * MIB};

    assert_int_equal(arena->address, 0x7f0000001c80);
    assert_true(arena->main);
    for (size_t i = 0; i < ARENA_FIGURES; i++)
        amount_is(arena->figures[i], values[i]);
}

static void check_all(const struct snapshot *s, const struct explanation *e)
{
    assert_int_equal(s->pid, 4242);
    assert_string_equal(s->comm, "python3");
    assert_string_equal(s->boot_id, "3f2c1a08-0f5e-4c3b-9d1e-0a1b2c3d4e5f");
    amount_is(s->start_ticks, 987654);
    amount_is(s->taken_at_ns, UINT64_C(1800000000123456789));
    assert_string_equal(s->allocator, "glibc");
    assert_string_equal(s->allocator_version, "2.36");
    assert_true(s->decoded && s->stopped);
    assert_memory_equal(&s->ledger, &e->ledger, sizeof s->ledger);
    assert_int_equal(s->other_accounts, 0);
    check_figures(s);
    assert_int_equal(s->arenas.count, 2);
    check_arena(&s->arenas.items[0]);
    assert_int_equal(s->owners.count, 2);
    assert_string_equal(s->owners.items[0].version, "5.3.0");
    assert_null(s->owners.items[1].version);
    assert_int_equal(s->owners.items[1].bytes, 2 * MIB);
    assert_int_equal(s->classes.count, 2);
    assert_int_equal(s->classes.items[0].least_bytes, 48);
    assert_int_equal(s->classes.items[0].blocks, 60000);
    assert_int_equal(s->classes.items[1].bytes, 597 * MIB);
    assert_int_equal(s->findings.count, 1);
    assert_string_equal(s->findings.items[0].id, "glibc-dynamic-threshold");
    assert_int_equal(s->findings.items[0].bytes, 900 * MIB);
    assert_int_equal(s->refusals.count, 1);
    assert_string_equal(s->refusals.items[0].reason, "its chunks contradict each other");
}

static void nothing_is_lost(void **state)
{
    struct explanation e = full_explanation();
    auto_free char *text = json_of(&e);
    struct snapshot s;

    assert_int_equal(snapshot_of(&e, &s, NULL), 0);
    check_all(&s, &e);
    snapshot_free(&s);
    write_file(text, strlen(text));
    assert_int_equal(snapshot_read(path, &s, NULL), 0);
    unlink(path);
    check_all(&s, &e);
    snapshot_free(&s);
    explanation_free(&e);
}

static void what_was_not_known_stays_so(void **state)
{
    struct explanation e = opaque_explanation();
    struct snapshot s;

    assert_int_equal(snapshot_of(&e, &s, NULL), 0);
    assert_null(s.boot_id);
    assert_null(s.allocator);
    assert_null(s.thp);
    assert_false(s.start_ticks.known || s.taken_at_ns.known || s.decoded);
    for (size_t i = 0; i < SETTING_COUNT; i++)
        assert_false(s.settings[i].known);
    assert_false(s.figures[FIGURE_LAZYFREE].known || s.figures[FIGURE_TRIM].known ||
                 s.figures[FIGURE_MMAPPED_COUNT].known);
    amount_is(s.figures[FIGURE_SWAP], 0);
    snapshot_free(&s);
}

static bool is_among(const struct figure_key *keys, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(keys[i].key, key) == 0 || (keys[i].object && strcmp(keys[i].object, key) == 0))
            return true;
    return false;
}

/* Others a report may lack, or have in any form: nobody compares them. */
static bool is_compared(const char *key)
{
    static const char *const keys[] = {"format",
                                       "pid",
                                       "comm",
                                       "boot_id",
                                       "start_time_ticks",
                                       "taken_at_ns",
                                       "allocator",
                                       "name",
                                       "version",
                                       "decoded",
                                       "stopped",
                                       "ledger",
                                       "unexplained_by",
                                       "bytes",
                                       "arenas",
                                       "address",
                                       "main",
                                       "thp",
                                       "size_classes",
                                       "least_bytes",
                                       "blocks",
                                       "findings",
                                       "id",
                                       "because",
                                       "refusals",
                                       "what",
                                       "reason"};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (strcmp(keys[i], key) == 0)
            return true;
    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        if (strcmp(account_name((enum account)i), key) == 0)
            return true;
    return is_among(snapshot_keys, FIGURE_COUNT, key) || is_among(arena_keys, ARENA_FIGURES, key) ||
           is_among(setting_keys, SETTING_COUNT, key);
}

static bool is_optional(const char *key)
{
    return strcmp(key, "boot_id") == 0 || strcmp(key, "start_time_ticks") == 0 ||
           strcmp(key, "taken_at_ns") == 0 || strcmp(key, "size_classes") == 0;
}

static void spoil_key(json_t *whole, json_t *object, const char *key, json_t *value)
{
    if (!is_optional(key)) {
        json_object_del(object, key);
        json_is_refused(whole, key);
    }
    json_object_set_new(object, key, json_real(1.5));
    json_is_refused(whole, key);
    json_object_set(object, key, value);
}

/* Takes each key of `object`, which is a part of `whole`, away, and makes it something else. How
 * many there were. */
static unsigned spoil(json_t *whole, json_t *object)
{
    json_t *copy = json_copy(object), *value;
    unsigned spoilt = 0;
    const char *key;

    json_object_foreach(copy, key, value)
    {
        if (!is_compared(key))
            continue;
        spoil_key(whole, object, key, value);
        spoilt++;
        if (json_is_object(value))
            spoilt += spoil(whole, value);
        if (json_is_array(value))
            spoilt += spoil(whole, json_array_get(value, 0));
    }
    json_decref(copy);
    return spoilt;
}

static void what_is_missing_or_no_amount_is_named(void **state)
{
    struct explanation e = full_explanation();
    json_t *json = why_object(&e);

    assert_int_equal(spoil(json, json), 73);
    json_decref(json);
    explanation_free(&e);
}

static void amounts_must_be_amounts(void **state)
{
    struct explanation e = full_explanation();
    json_t *json = why_object(&e), *arena = json_array_get(json_object_get(json, "arenas"), 1);

    json_object_set_new(arena, "live_blocks", json_integer(-1));
    json_is_refused(json, "arenas[1].live_blocks is negative");
    json_object_set_new(arena, "live_blocks", json_string("1"));
    json_is_refused(json, "arenas[1].live_blocks is no integer");
    json_object_set_new(arena, "live_blocks", json_integer(0));
    json_object_set_new(json, "swap_bytes", json_null());
    json_is_refused(json, "swap_bytes is no integer");
    json_decref(json);
    explanation_free(&e);
    is_refused("{\"format\": \"residue.why/1\", \"pid\": 99999999999999999999}", "line 1, column ");
    is_refused("{\"format\": \"residue.why/1\", \"pid\": 99999999999}", "pid is no process id");
    is_refused("{\"format\": \"residue.why/1\", \"pid\": 0}", "pid is no process id");
}

static void ledgers_must_add_up(void **state)
{
    struct explanation e = full_explanation();
    json_t *json = why_object(&e), *ledger = json_object_get(json, "ledger");
    struct snapshot s;
    auto_free char *text = NULL;

    json_object_set_new(ledger, "runtime.live", json_integer(4096));
    json_is_refused(json, "rss_bytes is 1974816768, while the ledger adds up to 1974820864");
    json_object_set_new(json, "rss_bytes", json_integer(1974820864));
    text = dumped(json);
    write_file(text, strlen(text));
    assert_int_equal(snapshot_read(path, &s, NULL), 0);
    unlink(path);
    assert_int_equal(s.other_accounts, 4096);
    snapshot_free(&s);
    json_object_set_new(ledger, "runtime.live", json_integer(INT64_MAX));
    json_object_set_new(ledger, "runtime.free", json_integer(INT64_MAX));
    json_object_set_new(ledger, "runtime.more", json_integer(INT64_MAX));
    json_is_refused(json, "more than any memory");
    json_decref(json);
    explanation_free(&e);
}

static void arenas_must_have_addresses_of_their_own(void **state)
{
    static const char *const addresses[] = {
        "", "0x", "7f0000001c80", "0x7g", "0x7f0000001c80 ", "0X7", "-0x1", "0x12345678123456789"};
    struct explanation e = full_explanation();
    json_t *json = why_object(&e), *arena = json_array_get(json_object_get(json, "arenas"), 1);

    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        json_object_set_new(arena, "address", json_string(addresses[i]));
        json_is_refused(json, "arenas[1].address is no address");
    }
    json_object_set_new(arena, "address", json_string("0x7f0000001C80"));
    json_is_refused(json, "arenas has two with one address");
    json_decref(json);
    explanation_free(&e);
}

/* They are matched one by one. */
static void long_lists_are_refused(void **state)
{
    static const char *const lists[] = {"unexplained_by", "size_classes", "findings", "refusals"};
    struct explanation e = full_explanation();
    json_t *json = why_object(&e);

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        json_t *list = json_object_get(json, lists[i]), *item = json_array_get(list, 0);

        for (unsigned k = 0; k < 1000; k++)
            json_array_append(list, item);
        json_is_refused(json, lists[i]);
        json_array_clear(list);
    }
    json_decref(json);
    explanation_free(&e);
}

static void other_json_is_told_as_that(void **state)
{
    is_refused("{}", "format is not \"residue.why/1\", which residue why --json PID writes");
    is_refused("[]", "format is not \"residue.why/1\"");
    is_refused("{\"format\": \"residue.why/2\"}", "format is not \"residue.why/1\"");
    is_refused("{\"format\": \"residue.why-compare/1\"}", "format is not \"residue.why/1\"");
    is_refused("{\"format\": \"residue.why/1\", \"format\": \"residue.why/1\"}", "line 1, column ");
    is_refused("", "line 1, column 0");
    is_refused("RSS 12 MiB: none of it", "line 1, column ");
    is_refused("{\"format\": \"residue.why/1\"} {}", "line 1, column ");
    is_refused("{\"format\": \"\\u0000\"}", "line 1, column ");
    is_refused("{\"form\xff\": 1}", "line 1, column ");
}

/* At every place, a report that was cut there is refused, with the place. */
static void truncated_reports_are_refused(void **state)
{
    struct explanation e = full_explanation();
    auto_free char *text = json_of(&e);

    for (size_t length = strlen(text) - 2; length > 0; length -= length > 40 ? 37 : 1) {
        text[length] = '\0';
        is_refused(text, "line ");
    }
    explanation_free(&e);
}

static void deep_nesting_does_no_harm(void **state)
{
    enum { DEPTH = SNAPSHOT_FILE_VALUES - 1 };
    auto_free char *text = malloc(DEPTH + 1);

    assert_non_null(text);
    memset(text, '[', DEPTH);
    text[DEPTH] = '\0';
    is_refused(text, "line 1, column ");
}

/* An empty object takes a hundred times as much memory as the file. */
static void many_small_values_are_not_read(void **state)
{
    enum { MANY = SNAPSHOT_FILE_VALUES, ITEM = 3 };
    auto_free char *text = malloc(MANY * ITEM + 3);

    assert_non_null(text);
    text[0] = '[';
    for (size_t i = 0; i < MANY; i++)
        memcpy(text + 1 + i * ITEM, "{},", ITEM);
    memcpy(text + MANY * ITEM, "]", 2);
    is_refused(text, "it has more than 500000 values");
}

static void endless_files_are_not_read_to_their_end(void **state)
{
    struct snapshot s;
    struct why why = {""};

    assert_int_equal(snapshot_read("/dev/zero", &s, &why), OUTCOME_NOT_POSSIBLE);
    assert_string_equal(why.text,
                        "/dev/zero is not a report to compare with: it has more than 16 MiB");
}

static void what_cannot_be_opened_is_told(void **state)
{
    struct snapshot s;
    struct why why = {""};

    assert_int_equal(snapshot_read("/nonexistent/old.json", &s, &why), -ENOENT);
    assert_string_equal(why.text, "cannot open /nonexistent/old.json: No such file or directory");
    assert_int_equal(snapshot_read("/", &s, &why), -EISDIR);
    assert_string_equal(why.text, "cannot read /: Is a directory");
}

static void a_pipe_will_do(void **state)
{
    struct explanation e = full_explanation();
    auto_free char *text = json_of(&e);
    struct snapshot s;
    int ends[2];
    char name[32];

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], text, strlen(text)), strlen(text));
    close(ends[1]);
    snprintf(name, sizeof name, "/dev/fd/%d", ends[0]);
    assert_int_equal(snapshot_read(name, &s, NULL), 0);
    close(ends[0]);
    check_all(&s, &e);
    snapshot_free(&s);
    explanation_free(&e);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost),
        cmocka_unit_test(what_was_not_known_stays_so),
        cmocka_unit_test(what_is_missing_or_no_amount_is_named),
        cmocka_unit_test(amounts_must_be_amounts),
        cmocka_unit_test(ledgers_must_add_up),
        cmocka_unit_test(arenas_must_have_addresses_of_their_own),
        cmocka_unit_test(long_lists_are_refused),
        cmocka_unit_test(other_json_is_told_as_that),
        cmocka_unit_test(truncated_reports_are_refused),
        cmocka_unit_test(deep_nesting_does_no_harm),
        cmocka_unit_test(many_small_values_are_not_read),
        cmocka_unit_test(endless_files_are_not_read_to_their_end),
        cmocka_unit_test(what_cannot_be_opened_is_told),
        cmocka_unit_test(a_pipe_will_do),
    };

    make_path();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
