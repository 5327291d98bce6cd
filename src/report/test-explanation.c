#include "report/test-explanation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/vector.h"
#include "report/json.h"

void balance(struct explanation *e)
{
    e->rss.rss_bytes = ledger_sum(&e->ledger);
}

void add_owner(struct explanation *e, const char *name, const char *version, uint64_t bytes)
{
    struct unexplained_owner owner = {.bytes = bytes, .evidence = "by the mapping's name"};

    snprintf(owner.name, sizeof owner.name, "%s", name);
    snprintf(owner.version, sizeof owner.version, "%s", version);
    assert_int_equal(vector_push(&e->unexplained_by, owner), 0);
}

void add_arena(struct explanation *e, struct heap_arena arena, struct arena_tally tally)
{
    struct arena_tally *grown =
        realloc(e->tally.arenas, (e->tally.arena_count + 1) * sizeof *grown);

    assert_non_null(grown);
    e->tally.arenas = grown;
    e->tally.arenas[e->tally.arena_count++] = tally;
    assert_int_equal(vector_push(&e->arenas, arena), 0);
}

struct finding *add_finding(struct explanation *e, const char *id, uint64_t bytes,
                            const char *because)
{
    struct finding finding = {.id = id, .bytes = bytes};

    snprintf(finding.because, sizeof finding.because, "%s", because);
    assert_int_equal(vector_push(&e->findings, finding), 0);
    return &e->findings.items[e->findings.count - 1];
}

void add_cure(struct finding *finding, const char *name, uint64_t rss_bytes, uint64_t charge_bytes)
{
    finding->cures[finding->cure_count++] = (struct cure_prediction){
        .name = name, .rss_bytes = rss_bytes, .charge_bytes = charge_bytes};
}

void add_refusal(struct explanation *e, const char *what, const char *reason)
{
    struct heap_refusal refusal = {0};

    snprintf(refusal.what, sizeof refusal.what, "%s", what);
    snprintf(refusal.reason.text, sizeof refusal.reason.text, "%s", reason);
    assert_int_equal(vector_push(&e->refusals, refusal), 0);
}

void add_setting(struct explanation *e, const char *name, const char *value, enum in_force in_force,
                 const char *reason)
{
    struct environment_setting setting = {.value = strdup(value), .in_force = in_force};

    snprintf(setting.name, sizeof setting.name, "%s", name);
    snprintf(setting.reason, sizeof setting.reason, "%s", reason);
    assert_int_equal(vector_push(&e->environment, setting), 0);
    e->environment_known = true;
}

struct explanation typical_explanation(void)
{
    struct explanation e = {
        .pid = 4242,
        .identity = {.boot_id = "3f2c1a08-0f5e-4c3b-9d1e-0a1b2c3d4e5f",
                     .start_ticks = 987654,
                     .known = true},
        .taken_at_ns = UINT64_C(1800000000123456789),
        .comm = "python3",
        .exe = strdup("/usr/bin/python3.11"),
        .threads = 3,
        .stopped = true,
        .allocator = "glibc",
        .allocator_version = "2.36",
        .decoded = true,
        .rss = {.source = RSS_FROM_STATUS, .swap_bytes = 12 * MIB, .page_table_bytes = 4 * MIB},
        .lazyfree_known = true,
        .cgroup = {.version = 2,
                   .path = "/system.slice/web.service",
                   .charge_bytes = 1946 * MIB,
                   .limit_bytes = 2 * GIB,
                   .room_bytes = 102 * MIB,
                   .room_known = true,
                   .charge_known = true},
        .thp = {.enabled = "madvise", .max_ptes_none = 511, .khugepaged_known = true},
        .cpus = {.online = 8, .allowed = 8, .quota_us = 150000, .period_us = 100000},
        .elapsed_ns = 31000000,
        .pauses = {.count = 1, .total_ns = 4000000, .longest_ns = 4000000},
        .ledger.bytes = {[ACCOUNT_CODE] = 18 * MIB,
                         [ACCOUNT_SHARED] = 100 * MIB,
                         [ACCOUNT_DATA] = 1 * MIB,
                         [ACCOUNT_STACK_USED] = 40 * KIB,
                         [ACCOUNT_HEAP_LIVE] = 610 * MIB,
                         [ACCOUNT_HEAP_RETURNABLE] = 1044 * MIB,
                         [ACCOUNT_HEAP_CACHED] = 3 * MIB,
                         [ACCOUNT_HEAP_PINNED] = 89 * MIB,
                         [ACCOUNT_HEAP_OVERHEAD] = 300 * KIB,
                         [ACCOUNT_UNEXPLAINED] = 18 * MIB},
        .settings = {.mmap_threshold = 31 * MIB,
                     .trim_threshold = 62 * MIB,
                     .dynamic_threshold = true},
        .trim_known = true,
        .trim = {.rss_bytes = 612 * MIB, .charge_bytes = 612 * MIB},
    };
    struct finding *finding;

    add_arena(
        &e,
        (struct heap_arena){
            .address = 0x7f0000001c80, .main = true, .heaps = 1, .reserved_bytes = GIB},
        (struct arena_tally){
            .live_bytes = 600 * MIB,
            .live_blocks = 70000,
            .free_bytes = {[SPAN_TCACHE] = 1, [SPAN_FASTBIN] = 2, [SPAN_BIN] = 3, [SPAN_TOP] = 4},
            .free_blocks = {[SPAN_FASTBIN] = 5, [SPAN_BIN] = 6},
            .resident_bytes = 1700 * MIB,
            .account = {[ACCOUNT_HEAP_RETURNABLE] = 1040 * MIB,
                        [ACCOUNT_HEAP_CACHED] = 3 * MIB,
                        [ACCOUNT_HEAP_PINNED] = 88 * MIB}});
    add_arena(&e, (struct heap_arena){.address = 0x7f1000000030, .heaps = 2},
              (struct arena_tally){.live_bytes = 1});
    e.tally.mmapped =
        (struct arena_tally){.live_blocks = 3, .live_bytes = 900, .resident_bytes = 400};
    e.tally.mmapped.free_bytes[SPAN_TCACHE] = 100;
    finding = add_finding(&e, "glibc-dynamic-threshold", 900 * MIB,
                          "freeing a large block raised the threshold");
    add_cure(finding, "free-pages", 900 * MIB, 900 * MIB);
    add_cure(finding, "malloc-trim", 600 * MIB, 7 * MIB);
    add_setting(&e, "MALLOC_ARENA_TEST", "8", IN_FORCE_YES, "");
    e.census.classes[census_class_of(48)] =
        (struct census_class){.blocks = 60000, .bytes = 60000 * 48, .pinned_pages = 20000};
    e.census.classes[census_class_of(8192)] =
        (struct census_class){.blocks = 10000, .bytes = 597 * MIB, .pinned_pages = 4000};
    e.census.pinned_pages = 22000;
    e.census.pinning_bytes = 3 * MIB;
    balance(&e);
    return e;
}

struct explanation opaque_explanation(void)
{
    struct explanation e = {
        .pid = 7,
        .comm = "redis-server",
        .threads = 1,
        .stopped = true,
        .cgroup = {.limit_bytes = CGROUP_NO_LIMIT},
        .pauses = {.count = 1, .total_ns = 90000, .longest_ns = 90000},
        .ledger.bytes = {[ACCOUNT_CODE] = 4 * MIB, [ACCOUNT_UNEXPLAINED] = 96 * MIB},
    };

    balance(&e);
    return e;
}

char *text_of(const struct explanation *e, struct report_style style)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    assert_int_equal(report_why_text(e, out, style), 0);
    fclose(out);
    return text;
}

char *json_of(const struct explanation *e)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    assert_int_equal(report_why_json(e, out), 0);
    fclose(out);
    return text;
}

bool next_line(const char **rest, struct line *ret)
{
    size_t length = strcspn(*rest, "\n");

    if (!**rest)
        return false;
    assert_true(length < sizeof ret->text);
    memcpy(ret->text, *rest, length);
    ret->text[length] = '\0';
    *rest += length + ((*rest)[length] == '\n');
    return true;
}
