#include "report/json.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "report/test-explanation.h"

/* What docs promise, with an instance of each list's items; values tell the types. */
static const char contract[] =
    "{ 'format': 'residue.why/1', 'pid': 1, 'boot_id': '', 'start_time_ticks': 0, 'taken_at_ns': "
    "0, 'comm': '', 'exe': '', 'threads': 1, 'container': '', 'container_runtime': '',"
    "  'allocator': { 'name': '', 'version': '', 'decoded': true },"
    "  'rss_bytes': 0, 'swap_bytes': 0, 'page_table_bytes': 0, 'hugetlb_bytes': 0, "
    "'lazyfree_bytes': 0,"
    "  'heap_live_zero_bytes': 0,"
    "  'cgroup': { 'path': '', 'version': 1, 'charge_bytes': 0, 'limit_bytes': 0, "
    "'room_bytes': 0 },"
    "  'elapsed_ns': 0, 'pauses': { 'count': 0, 'total_ns': 0, 'longest_ns': 0 },"
    "  'ledger': { 'shared': 0, 'code': 0, 'data': 0, 'stack.used': 0, 'stack.stale': 0, "
    "'heap.live': 0,"
    "              'heap.free.returnable': 0, 'heap.free.cached': 0, 'heap.free.pinned': 0, "
    "'heap.overhead': 0,"
    "              'zero.huge': 0, 'zero.small': 0, 'unexplained': 0 },"
    "  'unexplained_by': [ { 'name': '', 'version': '', 'bytes': 0 } ],"
    "  'arenas': [ { 'address': '0x', 'main': true, 'heaps': 1, 'reserved_bytes': 0, "
    "'resident_bytes': 0,"
    "                'live_bytes': 0, 'live_blocks': 0,"
    "                'free_bytes': { 'tcache': 0, 'fastbin': 0, 'bins': 0, 'top': 0 },"
    "                'free_blocks': { 'tcache': 0, 'fastbin': 0, 'bins': 0, 'top': 0 },"
    "                'free_resident_bytes': { 'tcache': 0, 'fastbin': 0, 'bins': 0, 'top': 0 },"
    "                'free_swapped_bytes': { 'tcache': 0, 'fastbin': 0, 'bins': 0, 'top': 0 },"
    "                'returnable_bytes': 0, 'cached_bytes': 0, 'pinned_bytes': 0 } ],"
    "  'free_chunks': { 'bytes': 0, 'resident_bytes': 0, 'swapped_bytes': 0, 'discarded_bytes': 0 "
    "},"
    "  'mmapped_chunks': { 'count': 0, 'bytes': 0, 'resident_bytes': 0 }, "
    "'size_classes': [ { 'least_bytes': 0, 'blocks': 0, 'bytes': 0, 'pinned_pages': 0 } ], "
    "'pinned_pages': 0, 'pinning_bytes': 0, 'trim_would_return_bytes': 0,"
    "  'settings': { 'mmap_threshold': 0, 'trim_threshold': 0, 'dynamic_threshold': true, "
    "'arena_max': 0, 'thp': '' },"
    "  'cpus': { 'online': 0, 'allowed': 0, 'quota_us': 0, 'period_us': 0 },"
    "  'environment': [ { 'name': '', 'value': '', 'in_force': false, 'reason': '' } ],"
    "  'findings': [ { 'id': '', 'bytes': 0, 'because': '',"
    "                  'cures': [ { 'name': '', 'predicted_rss_bytes': 0, "
    "'predicted_charge_bytes': 0,"
    "                               'needs_restart': false } ] } ],"
    "  'refusals': [ { 'what': '', 'reason': '' } ] }";

static json_t *parsed(const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &error);

    if (!json)
        print_error("%s at line %d of\n%s\n", error.text, error.line, text);
    assert_non_null(json);
    return json;
}

static json_t *told(const struct explanation *e)
{
    auto_free char *text = json_of(e);

    for (const char *c = text; *c; c++)
        assert_true((*c >= ' ' && *c <= '~') || *c == '\n');
    return parsed(text);
}

static json_t *contract_json(void)
{
    char text[sizeof contract];

    for (size_t i = 0; i < sizeof contract; i++)
        text[i] = contract[i] == '\'' ? '"' : contract[i];
    return parsed(text);
}

/* Every key that `promised` has, with a value of its type, or null where `nulls`. */
static void keeps(json_t *promised, json_t *got, const char *where, bool nulls)
{
    const char *key;
    json_t *value;
    size_t index;

    if (nulls && json_is_null(got))
        return;
    if (!got || (json_typeof(promised) != json_typeof(got) &&
                 !(json_is_boolean(promised) && json_is_boolean(got))))
        fail_msg("%s is missing or of another type", where);
    json_object_foreach(promised, key, value) keeps(value, json_object_get(got, key), key, nulls);
    if (json_is_array(promised))
        json_array_foreach(got, index, value)
            keeps(json_array_get(promised, 0), value, where, nulls);
}

static json_int_t integer_at(json_t *json, const char *object, const char *key)
{
    json_t *value = json_object_get(object ? json_object_get(json, object) : json, key);

    if (!json_is_integer(value))
        fail_msg("%s is no integer", key);
    return json_integer_value(value);
}

static const char *string_at(json_t *json, const char *key)
{
    json_t *value = json_object_get(json, key);

    if (!json_is_string(value))
        fail_msg("%s is no string", key);
    return json_string_value(value);
}

static bool null_at(json_t *json, const char *object, const char *key)
{
    return json_is_null(json_object_get(object ? json_object_get(json, object) : json, key));
}

static json_int_t ledger_total(json_t *json)
{
    json_int_t sum = 0;
    const char *key;
    json_t *value;

    json_object_foreach(json_object_get(json, "ledger"), key, value) sum +=
        json_integer_value(value);
    return sum;
}

static void every_promised_key_is_there(void **state)
{
    struct explanation e = typical_explanation();
    json_t *promised = contract_json(), *json;

    e.container = strdup("0123456789ab");
    e.container_runtime = "docker";
    add_owner(&e, "jemalloc", "5.3.0", MIB);
    add_refusal(&e, "arena 3", "its chunks contradict each other");
    json = told(&e);
    keeps(promised, json, "the whole", false);
    assert_string_equal(string_at(json, "format"), "residue.why/1");
    assert_int_equal(json_object_size(json_object_get(json, "ledger")), ACCOUNT_COUNT);
    json_decref(json);
    json_decref(promised);
    explanation_free(&e);
}

static void keys_stay_when_nothing_was_decoded(void **state)
{
    struct explanation e = opaque_explanation();
    json_t *promised = contract_json(), *json = told(&e);
    static const char *const settings[] = {"mmap_threshold", "trim_threshold", "dynamic_threshold",
                                           "arena_max", "thp"};

    keeps(promised, json, "the whole", true);
    assert_int_equal(json_array_size(json_object_get(json, "arenas")), 0);
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        assert_true(null_at(json, "settings", settings[i]));
    assert_true(null_at(json, NULL, "trim_would_return_bytes"));
    assert_true(null_at(json, NULL, "lazyfree_bytes"));
    assert_true(null_at(json, NULL, "boot_id"));
    assert_true(null_at(json, NULL, "start_time_ticks"));
    assert_true(null_at(json, NULL, "taken_at_ns"));
    assert_int_equal(json_array_size(json_object_get(json, "size_classes")), 0);
    assert_true(null_at(json, NULL, "pinned_pages"));
    assert_true(null_at(json, NULL, "pinning_bytes"));
    assert_true(null_at(json, NULL, "exe"));
    assert_true(null_at(json, NULL, "container"));
    assert_true(null_at(json, "allocator", "name"));
    assert_true(null_at(json, "allocator", "version"));
    assert_true(null_at(json, "mmapped_chunks", "count"));
    assert_true(null_at(json, "cgroup", "path"));
    assert_true(null_at(json, "cgroup", "charge_bytes"));
    assert_true(json_is_false(json_object_get(json_object_get(json, "allocator"), "decoded")));
    json_decref(json);
    json_decref(promised);
}

static void values_are_where_they_belong(void **state)
{
    struct explanation e = typical_explanation();
    json_t *json = told(&e), *arena = json_array_get(json_object_get(json, "arenas"), 0), *cure;

    assert_int_equal(integer_at(json, NULL, "pid"), 4242);
    assert_string_equal(string_at(json, "rss_source"), "status");
    assert_int_equal(integer_at(json, "ledger", "heap.free.returnable"), 1044 * MIB);
    assert_int_equal(integer_at(json, "cgroup", "limit_bytes"), 2 * GIB);
    assert_int_equal(integer_at(json, "cgroup", "room_bytes"), 102 * MIB);
    assert_string_equal(string_at(arena, "address"), "0x7f0000001c80");
    assert_int_equal(integer_at(arena, NULL, "returnable_bytes"), 1040 * MIB);
    assert_int_equal(integer_at(arena, "free_bytes", "tcache"), 1);
    assert_int_equal(integer_at(arena, "free_bytes", "fastbin"), 2);
    assert_int_equal(integer_at(arena, "free_bytes", "bins"), 3);
    assert_int_equal(integer_at(arena, "free_bytes", "top"), 4);
    assert_int_equal(integer_at(arena, "free_blocks", "fastbin"), 5);
    assert_int_equal(integer_at(arena, "free_blocks", "bins"), 6);
    assert_int_equal(integer_at(json, "mmapped_chunks", "count"), 3);
    assert_int_equal(integer_at(json, "mmapped_chunks", "bytes"), 1000);
    assert_string_equal(string_at(json, "boot_id"), "3f2c1a08-0f5e-4c3b-9d1e-0a1b2c3d4e5f");
    assert_int_equal(integer_at(json, NULL, "start_time_ticks"), 987654);
    assert_int_equal(integer_at(json, NULL, "taken_at_ns"), 1800000000123456789);
    assert_int_equal(integer_at(json, NULL, "trim_would_return_bytes"), 612 * MIB);
    cure = json_array_get(
        json_object_get(json_array_get(json_object_get(json, "findings"), 0), "cures"), 1);
    assert_int_equal(integer_at(cure, NULL, "predicted_charge_bytes"), 7 * MIB);
    assert_int_equal(ledger_total(json), integer_at(json, NULL, "rss_bytes"));
    json_decref(json);
    explanation_free(&e);
}

static void size_classes_that_hold_anything_are_told(void **state)
{
    struct explanation e = typical_explanation();
    json_t *json = told(&e), *classes = json_object_get(json, "size_classes");
    json_t *first = json_array_get(classes, 0), *second = json_array_get(classes, 1);

    assert_int_equal(json_array_size(classes), 2);
    assert_int_equal(integer_at(first, NULL, "least_bytes"), 48);
    assert_int_equal(integer_at(first, NULL, "blocks"), 60000);
    assert_int_equal(integer_at(first, NULL, "bytes"), 60000 * 48);
    assert_int_equal(integer_at(first, NULL, "pinned_pages"), 20000);
    assert_int_equal(integer_at(second, NULL, "least_bytes"), 8192);
    assert_int_equal(integer_at(second, NULL, "bytes"), 597 * MIB);
    assert_int_equal(integer_at(json, NULL, "pinned_pages"), 22000);
    assert_int_equal(integer_at(json, NULL, "pinning_bytes"), 3 * MIB);
    json_decref(json);
    explanation_free(&e);
}

static void no_limit_is_null(void **state)
{
    struct explanation e = typical_explanation();
    json_t *json;

    e.cgroup.limit_bytes = CGROUP_NO_LIMIT;
    e.cgroup.room_known = false;
    json = told(&e);
    assert_true(null_at(json, "cgroup", "limit_bytes"));
    assert_true(null_at(json, "cgroup", "room_bytes"));
    assert_int_equal(integer_at(json, "cgroup", "charge_bytes"), 1946 * MIB);
    json_decref(json);
    explanation_free(&e);
}

static void any_ledger_adds_up_to_the_resident_set(void **state)
{
    uint64_t seed = 42;

    for (unsigned round = 0; round < 300; round++) {
        struct explanation e = opaque_explanation();
        json_t *json;

        for (size_t i = 0; i < ACCOUNT_COUNT; i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
            e.ledger.bytes[i] = seed >> (20 + seed % 40);
        }
        balance(&e);
        json = told(&e);
        assert_int_equal(ledger_total(json), integer_at(json, NULL, "rss_bytes"));
        json_decref(json);
    }
}

/* A threshold of "never" is the largest number there is, and readers have 63 bits. */
static void settings_are_told(void **state)
{
    struct explanation e = typical_explanation();
    json_t *json, *list, *item;

    add_setting(&e, "MALLOC_PERTURB_", "\x1b[2J\xff", IN_FORCE_UNKNOWN, "cannot be told");
    add_setting(&e, "glibc.malloc.x", "", IN_FORCE_NO, "this glibc has no such tunable");
    json = told(&e);
    list = json_object_get(json, "environment");
    assert_int_equal(json_array_size(list), 3);
    item = json_array_get(list, 0);
    assert_true(json_is_true(json_object_get(item, "in_force")));
    assert_string_equal(string_at(item, "reason"), "");
    item = json_array_get(list, 1);
    assert_true(null_at(item, NULL, "in_force"));
    assert_string_equal(string_at(item, "value"), "\x1b[2J\\xff");
    item = json_array_get(list, 2);
    assert_true(json_is_false(json_object_get(item, "in_force")));
    assert_string_equal(string_at(item, "reason"), "this glibc has no such tunable");
    assert_int_equal(integer_at(json, "cpus", "quota_us"), 150000);
    json_decref(json);
    explanation_free(&e);
    e = opaque_explanation();
    json = told(&e);
    assert_true(null_at(json, NULL, "environment"));
    assert_true(null_at(json, "cpus", "period_us"));
    json_decref(json);
    explanation_free(&e);
}

static void huge_numbers_stay_readable_integers(void **state)
{
    struct explanation e = typical_explanation();
    json_t *json;

    e.settings.trim_threshold = UINT64_MAX;
    e.rss.swap_bytes = UINT64_MAX - 1;
    e.ledger.bytes[ACCOUNT_HEAP_LIVE] = UINT64_MAX;
    e.arenas.items[0].address = UINT64_MAX;
    json = told(&e);
    assert_int_equal(integer_at(json, "settings", "trim_threshold"), INT64_MAX);
    assert_int_equal(integer_at(json, NULL, "swap_bytes"), INT64_MAX);
    assert_int_equal(integer_at(json, "ledger", "heap.live"), INT64_MAX);
    assert_string_equal(string_at(json_array_get(json_object_get(json, "arenas"), 0), "address"),
                        "0xffffffffffffffff");
    json_decref(json);
    explanation_free(&e);
}

static void hostile_names_are_valid_json(void **state)
{
    struct explanation e = typical_explanation();
    json_t *json;

    snprintf(e.comm, sizeof e.comm, "a\"\\\n\x1b[31m\xff\xc2\x9b");
    free(e.exe);
    e.exe = strdup("/tmp/\xed\xa0\x80/größe");
    snprintf(e.cgroup.path, sizeof e.cgroup.path, "/x\"\x01\xf0");
    add_refusal(&e, "\xfe", "\"");
    add_owner(&e, "\x80", "\x1b", 1);
    json = told(&e);
    assert_string_equal(string_at(json, "comm"), "a\"\\\n\x1b[31m\\xff\xc2\x9b");
    assert_string_equal(string_at(json, "exe"), "/tmp/\\xed\\xa0\\x80/größe");
    assert_string_equal(string_at(json_object_get(json, "cgroup"), "path"), "/x\"\x01\\xf0");
    json_decref(json);
    explanation_free(&e);
}

static void many_arenas_are_all_told(void **state)
{
    struct explanation e = opaque_explanation();
    json_t *json;

    e.decoded = true;
    for (unsigned i = 0; i < 5000; i++)
        add_arena(&e, (struct heap_arena){.address = 4096 * i},
                  (struct arena_tally){.live_blocks = i});
    e.tally.arena_count--; /* figures of the last are missing */
    json = told(&e);
    assert_int_equal(json_array_size(json_object_get(json, "arenas")), 5000);
    assert_int_equal(
        integer_at(json_array_get(json_object_get(json, "arenas"), 4998), NULL, "live_blocks"),
        4998);
    assert_true(
        null_at(json_array_get(json_object_get(json, "arenas"), 4999), NULL, "live_blocks"));
    json_decref(json);
    explanation_free(&e);
}

static void a_full_disk_is_told(void **state)
{
    struct explanation e = opaque_explanation();
    auto_fclose FILE *full = fopen("/dev/full", "w");

    assert_non_null(full);
    assert_int_equal(report_why_json(&e, full), -EIO);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_promised_key_is_there),
        cmocka_unit_test(keys_stay_when_nothing_was_decoded),
        cmocka_unit_test(values_are_where_they_belong),
        cmocka_unit_test(size_classes_that_hold_anything_are_told),
        cmocka_unit_test(no_limit_is_null),
        cmocka_unit_test(any_ledger_adds_up_to_the_resident_set),
        cmocka_unit_test(settings_are_told),
        cmocka_unit_test(huge_numbers_stay_readable_integers),
        cmocka_unit_test(hostile_names_are_valid_json),
        cmocka_unit_test(many_arenas_are_all_told),
        cmocka_unit_test(a_full_disk_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
