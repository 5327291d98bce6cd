/* Comparisons of made-up looks, as text and as JSON. */
#include "report/compare.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "report/snapshot-json.h"
#include "report/test-explanation.h"

#define HOUR_NS (3600 * NS_PER_S)

/* Two looks at one process. Release with pair_free. */
struct pair {
    struct explanation before, after;
};

/* In three hours it took 15,000 blocks of 12 KiB, a new arena appeared, and 32 MiB were freed and
 * kept. */
static struct pair grown(void)
{
    struct pair pair = {typical_explanation(), typical_explanation()};
    struct explanation *e = &pair.after;

    e->taken_at_ns += 3 * HOUR_NS + 5 * 60 * NS_PER_S;
    e->ledger.bytes[ACCOUNT_HEAP_LIVE] += 180 * MIB;
    e->ledger.bytes[ACCOUNT_HEAP_RETURNABLE] += 32 * MIB;
    e->ledger.bytes[ACCOUNT_CODE] -= 1 * MIB;
    e->tally.arenas[0].live_blocks += 15360;
    e->tally.arenas[0].live_bytes += 170 * MIB;
    e->tally.arenas[0].resident_bytes += 201 * MIB;
    add_arena(e, (struct heap_arena){.address = 0x7f2000000030, .heaps = 1},
              (struct arena_tally){
                  .resident_bytes = 11 * MIB, .live_blocks = 100, .live_bytes = 10 * MIB});
    e->census.classes[census_class_of(8192)].blocks += 15000;
    e->census.classes[census_class_of(8192)].bytes += 175 * MIB;
    e->settings.mmap_threshold = 32 * MIB;
    e->rss.swap_bytes += 8 * MIB;
    e->findings.items[0].bytes += 10 * MIB;
    add_finding(e, "live-memory", 790 * MIB, "790 MiB is in blocks that the program holds");
    balance(e);
    return pair;
}

static void pair_free(struct pair *pair)
{
    explanation_free(&pair->before);
    explanation_free(&pair->after);
}

typedef int print_comparison(const struct compare_report *report, FILE *out);

static char *printed(const struct pair *pair, print_comparison *print)
{
    struct target_pauses pauses = {.count = 1, .total_ns = 4000000, .longest_ns = 4000000};
    struct snapshot before, after;
    struct comparison comparison;
    struct compare_report report = {.comparison = &comparison, .now = true, .pauses = &pauses};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    assert_int_equal(snapshot_of(&pair->before, &before, NULL), 0);
    assert_int_equal(snapshot_of(&pair->after, &after, NULL), 0);
    assert_int_equal(compare_snapshots(&before, &after, &comparison), 0);
    assert_int_equal(print(&report, out), 0);
    comparison_free(&comparison);
    snapshot_free(&before);
    snapshot_free(&after);
    fclose(out);
    return text;
}

static struct report_style style;

static int print_text(const struct compare_report *report, FILE *out)
{
    return report_compare_text(report, out, style);
}

static char *text_with(const struct pair *pair, struct report_style with)
{
    style = with;
    return printed(pair, print_text);
}

static void has(const struct pair *pair, const char *part)
{
    auto_free char *text = text_with(pair, (struct report_style){.width = 200});

    if (!strstr(text, part))
        fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void lacks(const struct pair *pair, const char *part)
{
    auto_free char *text = text_with(pair, (struct report_style){.width = 200});

    if (strstr(text, part))
        fail_msg("\"%s\" is in:\n%s", part, text);
}

static void the_whole_page(void **state)
{
    struct pair pair = grown();
    auto_free char *text = text_with(&pair, (struct report_style){.utf8 = true});

    assert_string_equal(
        text, "python3 4242 · glibc 2.36 · compared with 3 h 5 min earlier\n"
              "\n"
              "RSS grew by 211 MiB in 3 h 5 min: 180 MiB of it in blocks that the program\n"
              "holds.\n"
              "                        before       now  difference\n"
              "  live blocks          610 MiB   790 MiB    +180 MiB\n"
              "  stacks in use         <1 MiB    <1 MiB       0 MiB\n"
              "  allocator's tables    <1 MiB    <1 MiB       0 MiB\n"
              "  freed, returnable   1044 MiB  1076 MiB     +32 MiB\n"
              "  freed, in caches       3 MiB     3 MiB       0 MiB\n"
              "  freed, pinned         89 MiB    89 MiB       0 MiB\n"
              "  code and files        18 MiB    17 MiB      -1 MiB\n"
              "  shared memory        100 MiB   100 MiB       0 MiB\n"
              "  program data           1 MiB     1 MiB       0 MiB\n"
              "  unexplained           18 MiB    18 MiB       0 MiB\n"
              "  RSS                 1883 MiB  2094 MiB    +211 MiB\n"
              "\n"
              "  resident                       before       now  difference  live blocks\n"
              "  arena 0x7f0000001c80 (main)  1700 MiB  1901 MiB    +201 MiB      +15,360\n"
              "  arena 0x7f2000000030 (new)      0 MiB    11 MiB     +11 MiB         +100\n"
              "  1 other arena                   0 MiB     0 MiB       0 MiB\n"
              "  mmapped chunks                 <1 MiB    <1 MiB       0 MiB            0\n"
              "  heap                         1700 MiB  1912 MiB    +212 MiB      +15,460\n"
              "\n"
              "why:  the program holds 15,460 more blocks of 11.9 KiB on average (85,463,\n"
              "      70,003 before): this looks like its own growth, a leak or a cache that\n"
              "      fills; by size, chunks from 8 KiB on grew most: 15,000 more, 175 MiB\n"
              "note: the mmap threshold is 32 MiB, was 31 MiB\n"
              "note: 20 MiB in swap, 12 MiB before\n"
              "note: nothing was changed; the process was paused for 4 ms\n");
    pair_free(&pair);
}

static void the_headline_says_where_it_is(void **state)
{
    struct pair pair = grown();

    pair.after.ledger.bytes[ACCOUNT_HEAP_RETURNABLE] -= 132 * MIB; /* 100 MiB less than before */
    balance(&pair.after);
    has(&pair, "RSS grew by 79 MiB in 3 h 5 min: 180 MiB more in blocks that the program holds, "
               "101 MiB less elsewhere.\n");
    pair.after.ledger.bytes[ACCOUNT_HEAP_LIVE] = pair.before.ledger.bytes[ACCOUNT_HEAP_LIVE];
    balance(&pair.after);
    has(&pair,
        "RSS shrank by 101 MiB in 3 h 5 min: 100 MiB of it in freed memory that could go back.\n");
    pair.after.ledger.bytes[ACCOUNT_CODE] = pair.before.ledger.bytes[ACCOUNT_CODE];
    balance(&pair.after);
    has(&pair,
        "RSS shrank by 100 MiB in 3 h 5 min: all of it in freed memory that could go back.\n");
    lacks(&pair, "why:");
    pair.after.ledger.bytes[ACCOUNT_DATA] += 100 * MIB;
    balance(&pair.after);
    has(&pair, "RSS is 1883 MiB, as before: 100 MiB more in the program's data segments, 100 MiB "
               "less elsewhere.\n");
    pair.after.ledger = pair.before.ledger;
    balance(&pair.after);
    has(&pair, "RSS is 1883 MiB, as before: no account has changed.\n");
    pair_free(&pair);
}

static void quiet_is_the_headline(void **state)
{
    struct pair pair = grown();
    auto_free char *text = text_with(&pair, (struct report_style){.quiet = true, .width = 100});

    assert_string_equal(text, "RSS grew by 211 MiB in 3 h 5 min: 180 MiB of it in blocks that the "
                              "program holds.\n");
    pair_free(&pair);
}

static void what_was_freed_has_a_mechanism(void **state)
{
    struct pair pair = grown();

    pair.after.ledger.bytes[ACCOUNT_HEAP_RETURNABLE] += 300 * MIB;
    balance(&pair.after);
    has(&pair, "why:  what grew most was freed by the program: the allocator keeps it: freeing a "
               "large block raised the threshold\n");
    has(&pair, "new:  790 MiB is in blocks that the program holds\n");
    pair.after.ledger.bytes[ACCOUNT_HEAP_CACHED] += 900 * MIB;
    balance(&pair.after);
    has(&pair, "why:  what grew most was freed by the program and waits in the threads' caches and "
               "in fastbins\n");
    add_finding(&pair.after, "glibc-thread-caches", 900 * MIB, "the caches of 400 threads");
    has(&pair, "threads' caches and in fastbins: the caches of 400 threads\n");
    pair.after.ledger.bytes[ACCOUNT_STACK_STALE] += 2000 * MIB;
    balance(&pair.after);
    has(&pair,
        "why:  what grew most lies below the stack pointers: threads have used deeper stacks");
    pair_free(&pair);
}

static void findings_that_went_are_told(void **state)
{
    struct pair pair = grown();

    pair.after.findings.count = 0;
    has(&pair, "gone: freeing a large block raised the threshold\n");
    pair_free(&pair);
}

/* Blocks that were held before and are written to only now are no new ones. */
static void growth_of_live_memory_is_of_several_kinds(void **state)
{
    struct pair pair = grown();

    pair.after.tally.arenas[0].live_blocks = pair.before.tally.arenas[0].live_blocks - 200;
    has(&pair, "why:  the program holds no more blocks (69,903, 70,003 before), but larger ones: "
               "this looks like its own growth");
    pair.after.tally.arenas[0].live_bytes = pair.before.tally.arenas[0].live_bytes;
    has(&pair, "why:  most of it lies in blocks that the program had taken before and has written "
               "to since\n");
    pair.after.arenas.items[1].refused = true;
    has(&pair, "why:  the program holds more: this looks like its own growth");
    has(&pair, "  heap, as far as known ");
    pair_free(&pair);
}

static void another_process_has_other_arenas(void **state)
{
    struct pair pair = grown();

    pair.before.pid = 4000;
    has(&pair, "python3 4242 - glibc 2.36 - compared with python3 4000, 3 h 5 min earlier\n");
    has(&pair, "RSS is 211 MiB higher than before: 180 MiB of it in blocks");
    has(&pair, "note: these are two processes: arenas cannot be compared\n");
    has(&pair, "this looks like its own memory, not the allocator's");
    lacks(&pair, "0x7f0000001c80");
    pair.before.pid = pair.after.pid;
    pair.before.identity.known = false;
    pair.before.identity.boot_id[0] = '\0';
    has(&pair, "whether it is one process cannot be told");
    lacks(&pair, "0x7f0000001c80");
    pair.before.identity = pair.after.identity;
    pair.before.arenas.items[0].address += 4096;
    has(&pair, "note: the process has executed a program since");
    lacks(&pair, "0x7f0000001c80");
    pair_free(&pair);
}

static void clocks_can_be_set_back(void **state)
{
    struct pair pair = grown(), swapped = {pair.after, pair.before};

    has(&swapped, "compared with 3 h 5 min later, by the clock\n");
    has(&swapped, "RSS shrank by 211 MiB: 180 MiB of it in blocks");
    has(&swapped, "gone: 790 MiB is in blocks"); /* it did not grow, so that is no cause */
    has(&swapped, "  arena 0x7f2000000030 (gone) ");
    pair.before.taken_at_ns = 0;
    has(&pair, "compared with an earlier look\n");
    has(&pair, "RSS grew by 211 MiB: 180 MiB of it");
    pair_free(&pair);
}

static void owners_have_rows(void **state)
{
    struct pair pair = grown();

    pair.after.ledger.bytes[ACCOUNT_UNEXPLAINED] += 400 * MIB;
    balance(&pair.after);
    add_owner(&pair.before, "jemalloc", "5.3.0", 10 * MIB);
    add_owner(&pair.after, "jemalloc", "5.3.0", 410 * MIB);
    add_owner(&pair.after, "\x1b[31mx", "", 2 * MIB);
    has(&pair, ": 400 MiB of it in memory of jemalloc.\n");
    has(&pair, "  unexplained: jemalloc 5.3.0    10 MiB   410 MiB    +400 MiB\n");
    has(&pair, "  unexplained: \\x1b[31mx          0 MiB     2 MiB      +2 MiB\n");
    has(&pair, "  unexplained                     8 MiB     6 MiB      -2 MiB\n");
    pair_free(&pair);
}

static void settings_and_doubts_are_told(void **state)
{
    struct pair pair = grown();

    pair.after.settings.trim_threshold = UINT64_MAX;
    pair.after.settings.dynamic_threshold = false;
    pair.after.settings.arena_max = 2;
    snprintf(pair.after.thp.enabled, sizeof pair.after.thp.enabled, "always");
    pair.after.lazyfree_bytes = 3 * MIB;
    add_refusal(&pair.before, "arena 3", "its chunks contradict each other");
    pair.after.stopped = false;
    has(&pair,
        "note: the mmap threshold is 32 MiB, was 31 MiB; the trim threshold is never, was "
        "62 MiB; the dynamic mmap threshold is off, was on; the limit of arenas is 2, was not "
        "set\n");
    has(&pair, "note: transparent huge pages are set to always, were to madvise\n");
    has(&pair, "; 3072 KiB given up (MADV_FREE), 0 B before\n");
    has(&pair, "refusal: before, arena 3: its chunks contradict each other\n");
    has(&pair, "note: it was not paused for the later look: figures of a moving process");
    for (unsigned i = 0; i < 7; i++)
        add_refusal(&pair.after, "arena", "x");
    has(&pair, "refusal: now, 3 more; --json lists them all\n");
    pair_free(&pair);
}

static void many_arenas_add_up(void **state)
{
    struct pair pair = grown();

    for (unsigned i = 0; i < 1000; i++) {
        struct heap_arena arena = {.address = 0x10000000 + 4096 * i, .heaps = 1};

        add_arena(&pair.before, arena, (struct arena_tally){.resident_bytes = MIB / 2});
        add_arena(&pair.after, arena,
                  (struct arena_tally){.resident_bytes = MIB / 2 + (i < 20 ? MIB : 0)});
    }
    has(&pair, "  995 other arenas              497 MiB   511 MiB     +14 MiB");
    has(&pair, "  heap                         2200 MiB  2432 MiB    +232 MiB");
    pair_free(&pair);
}

static void it_fits_into_the_width(void **state)
{
    struct pair pair = grown();

    for (unsigned width = 24; width < 120; width += 7) {
        auto_free char *text = text_with(&pair, (struct report_style){.width = width});
        const char *rest = text;
        struct line line;

        while (next_line(&rest, &line))
            if (strlen(line.text) > (width < 44 ? 44 : width))
                fail_msg("%zu columns, not %u: %s", strlen(line.text), width, line.text);
        assert_non_null(strstr(text, "+180 MiB"));
    }
    pair_free(&pair);
}

static void colours_only_where_wanted(void **state)
{
    struct pair pair = grown();
    auto_free char *plain = text_with(&pair, (struct report_style){0});
    auto_free char *coloured = text_with(&pair, (struct report_style){.color = true});

    for (const char *c = plain; *c; c++)
        assert_true((*c >= ' ' && *c <= '~') || *c == '\n');
    assert_non_null(strstr(coloured, "\x1b[1;33m+180 MiB\x1b[0m"));
    assert_non_null(strstr(coloured, "\x1b[1;32m-1 MiB\x1b[0m"));
    pair_free(&pair);
}

static json_t *json_of_pair(const struct pair *pair)
{
    auto_free char *text = printed(pair, report_compare_json);
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

    assert_non_null(json);
    return json;
}

/* "arenas.0.live_blocks" */
static json_t *value_at(json_t *json, const char *path)
{
    char word[64];

    for (const char *at = path; *at; at += strlen(word) + (at[strlen(word)] == ' ')) {
        snprintf(word, sizeof word, "%.*s", (int)strcspn(at, " "), at);
        json = json_is_array(json) ? json_array_get(json, (size_t)atoi(word))
                                   : json_object_get(json, word);
    }
    if (!json)
        fail_msg("there is no %s", path);
    return json;
}

static void changes_are(json_t *json, const char *path, json_int_t before, json_int_t after)
{
    json_t *value = value_at(json, path);

    assert_int_equal(json_integer_value(json_object_get(value, "before")), before);
    assert_int_equal(json_integer_value(json_object_get(value, "after")), after);
    assert_int_equal(json_integer_value(json_object_get(value, "difference")), after - before);
    assert_true(json_is_integer(json_object_get(value, "difference")));
    assert_int_equal(json_object_size(value), 3);
}

static const char *text_at(json_t *json, const char *path)
{
    return json_string_value(value_at(json, path));
}

/* What docs promise, beside what residue.why/1 has, too. */
static const char promised[] =
    "{ 'format': 'residue.why-compare/1', 'relation': 'same', 'interval_ns': 0,"
    "  'leading_account': 'heap.live', 'before': 0, 'after': 0, 'difference': 0,"
    "  'live_blocks': 0, 'live_bytes': 0, 'came': false, 'went': false, 'other': 0 }";

static void json_has_all_figures(void **state)
{
    struct pair pair = grown();
    json_t *json = json_of_pair(&pair), *ledger = value_at(json, "ledger");
    json_int_t sum = 0;
    const char *key;
    json_t *value;

    assert_non_null(strstr(promised, "residue.why-compare/1"));
    assert_string_equal(text_at(json, "format"), "residue.why-compare/1");
    assert_string_equal(text_at(json, "relation"), "same");
    assert_string_equal(text_at(json, "leading_account"), "heap.live");
    assert_int_equal(json_integer_value(value_at(json, "interval_ns")), 11100 * NS_PER_S);
    changes_are(json, "rss_bytes", 1883 * MIB + 340 * KIB, 2094 * MIB + 340 * KIB);
    changes_are(json, "swap_bytes", 12 * MIB, 20 * MIB);
    changes_are(json, "page_table_bytes", 4 * MIB, 4 * MIB);
    changes_are(json, "hugetlb_bytes", 0, 0);
    changes_are(json, "lazyfree_bytes", 0, 0);
    changes_are(json, "heap_live_zero_bytes", 0, 0);
    changes_are(json, "trim_would_return_bytes", 612 * MIB, 612 * MIB);
    changes_are(json, "ledger heap.live", 610 * MIB, 790 * MIB);
    changes_are(json, "ledger code", 18 * MIB, 17 * MIB);
    changes_are(json, "live_blocks", 70003, 85463);
    changes_are(json, "live_bytes", 600 * MIB + 1001, 780 * MIB + 1001);
    assert_int_equal(json_array_size(value_at(json, "size_classes")), 2);
    assert_int_equal(json_integer_value(value_at(json, "size_classes 1 least_bytes")), 8192);
    changes_are(json, "size_classes 1 blocks", 10000, 25000);
    changes_are(json, "size_classes 1 bytes", 597 * MIB, 772 * MIB);
    changes_are(json, "mmapped_chunks count", 3, 3);
    changes_are(json, "mmapped_chunks bytes", 1000, 1000);
    changes_are(json, "mmapped_chunks resident_bytes", 400, 400);
    assert_int_equal(json_object_size(ledger), ACCOUNT_COUNT);
    json_object_foreach(ledger, key, value) sum +=
        json_integer_value(json_object_get(value, "difference"));
    assert_int_equal(sum, 211 * MIB);
    json_decref(json);
    pair_free(&pair);
}

static void json_has_arenas_settings_and_findings(void **state)
{
    struct pair pair = grown();
    json_t *json;

    add_owner(&pair.after, "V8", "", 5);
    json = json_of_pair(&pair);
    assert_string_equal(text_at(json, "arenas 0 address"), "0x7f0000001c80");
    assert_true(json_is_true(value_at(json, "arenas 0 main")));
    changes_are(json, "arenas 0 heaps", 1, 1);
    changes_are(json, "arenas 0 reserved_bytes", GIB, GIB);
    changes_are(json, "arenas 0 resident_bytes", 1700 * MIB, 1901 * MIB);
    changes_are(json, "arenas 0 live_bytes", 600 * MIB, 770 * MIB);
    changes_are(json, "arenas 0 live_blocks", 70000, 85360);
    changes_are(json, "arenas 0 free_bytes tcache", 1, 1);
    changes_are(json, "arenas 0 free_bytes top", 4, 4);
    changes_are(json, "arenas 0 returnable_bytes", 1040 * MIB, 1040 * MIB);
    changes_are(json, "arenas 0 cached_bytes", 3 * MIB, 3 * MIB);
    changes_are(json, "arenas 0 pinned_bytes", 88 * MIB, 88 * MIB);
    assert_true(json_is_false(value_at(json, "arenas 1 came")));
    assert_true(json_is_true(value_at(json, "arenas 2 came")));
    assert_true(json_is_false(value_at(json, "arenas 2 went")));
    changes_are(json, "arenas 2 resident_bytes", 0, 11 * MIB);
    assert_int_equal(json_integer_value(value_at(json, "settings mmap_threshold before")),
                     31 * MIB);
    assert_int_equal(json_integer_value(value_at(json, "settings mmap_threshold after")), 32 * MIB);
    assert_true(json_is_true(value_at(json, "settings dynamic_threshold after")));
    assert_string_equal(text_at(json, "settings thp before"), "madvise");
    assert_string_equal(text_at(json, "findings 0 id"), "glibc-dynamic-threshold");
    changes_are(json, "findings 0 bytes", 900 * MIB, 910 * MIB);
    assert_true(json_is_true(value_at(json, "findings 1 came")));
    assert_string_equal(text_at(json, "unexplained_by 0 name"), "V8");
    changes_are(json, "unexplained_by 0 bytes", 0, 5);
    assert_int_equal(json_integer_value(value_at(json, "before pid")), 4242);
    assert_int_equal(json_integer_value(value_at(json, "before taken_at_ns")), 1800000000123456789);
    assert_string_equal(text_at(json, "after allocator version"), "2.36");
    json_decref(json);
    pair_free(&pair);
}

static void json_says_what_is_not_known(void **state)
{
    struct pair pair = grown();
    json_t *json;

    pair.before.pid = 1;
    pair.before.lazyfree_known = false;
    pair.after.arenas.items[1].refused = true;
    pair.before.taken_at_ns = 0;
    add_refusal(&pair.after, "arena 3", "torn");
    json = json_of_pair(&pair);
    assert_string_equal(text_at(json, "relation"), "other");
    assert_true(json_is_null(value_at(json, "arenas")));
    assert_true(json_is_null(value_at(json, "interval_ns")));
    assert_true(json_is_null(value_at(json, "lazyfree_bytes before")));
    assert_true(json_is_null(value_at(json, "lazyfree_bytes difference")));
    assert_int_equal(json_integer_value(value_at(json, "lazyfree_bytes after")), 0);
    assert_true(json_is_null(value_at(json, "live_blocks after")));
    assert_int_equal(json_array_size(value_at(json, "refusals before")), 0);
    assert_string_equal(text_at(json, "refusals after 0 reason"), "torn");
    json_decref(json);
    pair_free(&pair);
}

static void a_full_disk_is_told(void **state)
{
    struct explanation e = opaque_explanation();
    struct snapshot s;
    struct comparison comparison;
    struct compare_report report = {.comparison = &comparison};
    FILE *full;

    assert_int_equal(snapshot_of(&e, &s, NULL), 0);
    assert_int_equal(compare_snapshots(&s, &s, &comparison), 0);
    for (unsigned i = 0; i < 2; i++) {
        full = fopen("/dev/full", "w");
        assert_non_null(full);
        assert_int_equal(i ? report_compare_json(&report, full)
                           : report_compare_text(&report, full, style),
                         -EIO);
        fclose(full);
    }
    comparison_free(&comparison);
    snapshot_free(&s);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_page),
        cmocka_unit_test(the_headline_says_where_it_is),
        cmocka_unit_test(quiet_is_the_headline),
        cmocka_unit_test(what_was_freed_has_a_mechanism),
        cmocka_unit_test(findings_that_went_are_told),
        cmocka_unit_test(growth_of_live_memory_is_of_several_kinds),
        cmocka_unit_test(another_process_has_other_arenas),
        cmocka_unit_test(clocks_can_be_set_back),
        cmocka_unit_test(owners_have_rows),
        cmocka_unit_test(settings_and_doubts_are_told),
        cmocka_unit_test(many_arenas_add_up),
        cmocka_unit_test(it_fits_into_the_width),
        cmocka_unit_test(colours_only_where_wanted),
        cmocka_unit_test(json_has_all_figures),
        cmocka_unit_test(json_has_arenas_settings_and_findings),
        cmocka_unit_test(json_says_what_is_not_known),
        cmocka_unit_test(a_full_disk_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
