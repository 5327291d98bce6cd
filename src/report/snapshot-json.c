#include "report/snapshot-json.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/vector.h"
#include "report/json-reader.h"
#include "report/json.h"

/* Of owners, size classes, findings, refusals: they are matched one by one, and there is no more
 * than a handful. */
enum { LIST_ITEMS = 1000 };

const struct figure_key snapshot_keys[FIGURE_COUNT] = {
    [FIGURE_RSS] = {NULL, "rss_bytes", false},
    [FIGURE_SWAP] = {NULL, "swap_bytes", false},
    [FIGURE_PAGE_TABLES] = {NULL, "page_table_bytes", false},
    [FIGURE_HUGETLB] = {NULL, "hugetlb_bytes", false},
    [FIGURE_LAZYFREE] = {NULL, "lazyfree_bytes", true},
    [FIGURE_LIVE_ZERO] = {NULL, "heap_live_zero_bytes", false},
    [FIGURE_TRIM] = {NULL, "trim_would_return_bytes", true},
    [FIGURE_MMAPPED_COUNT] = {"mmapped_chunks", "count", true},
    [FIGURE_MMAPPED_BYTES] = {"mmapped_chunks", "bytes", true},
    [FIGURE_MMAPPED_RESIDENT] = {"mmapped_chunks", "resident_bytes", true},
};

const struct figure_key arena_keys[ARENA_FIGURES] = {
    [ARENA_HEAPS] = {NULL, "heaps", false},
    [ARENA_RESERVED] = {NULL, "reserved_bytes", false},
    [ARENA_RESIDENT] = {NULL, "resident_bytes", true},
    [ARENA_LIVE_BYTES] = {NULL, "live_bytes", true},
    [ARENA_LIVE_BLOCKS] = {NULL, "live_blocks", true},
    [ARENA_TCACHE] = {"free_bytes", "tcache", true},
    [ARENA_FASTBIN] = {"free_bytes", "fastbin", true},
    [ARENA_BINS] = {"free_bytes", "bins", true},
    [ARENA_TOP] = {"free_bytes", "top", true},
    [ARENA_RETURNABLE] = {NULL, "returnable_bytes", true},
    [ARENA_CACHED] = {NULL, "cached_bytes", true},
    [ARENA_PINNED] = {NULL, "pinned_bytes", true},
};

const struct figure_key setting_keys[SETTING_COUNT] = {
    [SETTING_MMAP_THRESHOLD] = {"settings", "mmap_threshold", true},
    [SETTING_TRIM_THRESHOLD] = {"settings", "trim_threshold", true},
    [SETTING_DYNAMIC_THRESHOLD] = {"settings", "dynamic_threshold", true},
    [SETTING_ARENA_MAX] = {"settings", "arena_max", true},
};

static void take_figures(struct reader *reader, const struct place *place,
                         const struct figure_key *keys, size_t count, struct amount *ret)
{
    for (size_t i = 0; i < count && !reader->error; i++) {
        struct place at = keys[i].object ? take_object(reader, place, keys[i].object) : *place;

        if (keys[i].may_be_null)
            ret[i] = take_amount_if(reader, &at, keys[i].key);
        else
            ret[i] = (struct amount){true, take_amount(reader, &at, keys[i].key)};
    }
}

static bool is_account(const char *name)
{
    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        if (strcmp(account_name((enum account)i), name) == 0)
            return true;
    return false;
}

/* Accounts that a later version has are a part of the sum. */
static void take_other_accounts(struct reader *reader, const struct place *ledger,
                                struct snapshot *out)
{
    const char *key;
    json_t *value;

    json_object_foreach(ledger->object, key, value)
    {
        if (is_account(key))
            continue;
        if (__builtin_add_overflow(out->other_accounts,
                                   reader_amount(reader, ledger, "an account", value),
                                   &out->other_accounts))
            reader_refuse(reader, ledger, "", "adds up to more than any memory");
    }
}

static void check_sum(struct reader *reader, const struct place *whole, const struct snapshot *out)
{
    uint64_t sum = out->other_accounts;
    char problem[128];

    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        if (__builtin_add_overflow(sum, out->ledger.bytes[i], &sum))
            sum = UINT64_MAX;
    if (sum == out->figures[FIGURE_RSS].value)
        return;
    snprintf(problem, sizeof problem, "is %" PRIu64 ", while the ledger adds up to %" PRIu64,
             out->figures[FIGURE_RSS].value, sum);
    reader_refuse(reader, whole, "rss_bytes", problem);
}

static void take_ledger(struct reader *reader, const struct place *whole, struct snapshot *out)
{
    struct place ledger = take_object(reader, whole, "ledger");

    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        out->ledger.bytes[i] = take_amount(reader, &ledger, account_name((enum account)i));
    if (!reader->error)
        take_other_accounts(reader, &ledger, out);
    if (!reader->error)
        check_sum(reader, whole, out);
}

static void take_arenas(struct reader *reader, const struct place *whole, struct snapshot *out)
{
    size_t count = take_count(reader, whole, "arenas", SIZE_MAX);

    for (size_t i = 0; i < count && !reader->error; i++) {
        struct place place = take_item(reader, whole, "arenas", i);
        struct snapshot_arena arena = {.address = take_address(reader, &place, "address"),
                                       .main = take_bool(reader, &place, "main")};

        take_figures(reader, &place, arena_keys, ARENA_FIGURES, arena.figures);
        reader_check(reader, vector_push(&out->arenas, arena));
    }
}

static int by_address(const void *a, const void *b)
{
    const remote_addr *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

/* Arenas are told apart by their addresses. */
static void check_addresses(struct reader *reader, const struct place *whole,
                            const struct snapshot_arenas *arenas)
{
    auto_free remote_addr *list = calloc(arenas->count + 1, sizeof *list);

    reader_need(reader, list);
    if (!list)
        return;
    for (size_t i = 0; i < arenas->count; i++)
        list[i] = arenas->items[i].address;
    qsort(list, arenas->count, sizeof *list, by_address);
    for (size_t i = 1; i < arenas->count; i++)
        if (list[i] == list[i - 1])
            reader_refuse(reader, whole, "arenas", "has two with one address");
}

/* Earlier versions do not tell them. */
static void take_classes(struct reader *reader, const struct place *whole, struct snapshot *out)
{
    bool told = json_object_get(whole->object, "size_classes") != NULL;
    size_t count = told ? take_count(reader, whole, "size_classes", LIST_ITEMS) : 0;

    for (size_t i = 0; i < count && !reader->error; i++) {
        struct place place = take_item(reader, whole, "size_classes", i);
        struct snapshot_class class = {.least_bytes = take_amount(reader, &place, "least_bytes"),
                                       .blocks = take_amount(reader, &place, "blocks"),
                                       .bytes = take_amount(reader, &place, "bytes")};

        reader_check(reader, vector_push(&out->classes, class));
    }
}

static void take_owners(struct reader *reader, const struct place *whole, struct snapshot *out)
{
    size_t count = take_count(reader, whole, "unexplained_by", LIST_ITEMS);

    for (size_t i = 0; i < count && !reader->error; i++) {
        struct place place = take_item(reader, whole, "unexplained_by", i);
        int r = vector_reserve_one((void **)&out->owners.items, out->owners.count,
                                   &out->owners.capacity, sizeof *out->owners.items);

        reader_check(reader, r);
        if (r)
            return;
        out->owners.items[out->owners.count++] =
            (struct snapshot_owner){.name = take_text(reader, &place, "name"),
                                    .version = take_text_if(reader, &place, "version"),
                                    .bytes = take_amount(reader, &place, "bytes")};
    }
}

static void take_findings(struct reader *reader, const struct place *whole, struct snapshot *out)
{
    size_t count = take_count(reader, whole, "findings", LIST_ITEMS);

    for (size_t i = 0; i < count && !reader->error; i++) {
        struct place place = take_item(reader, whole, "findings", i);
        int r = vector_reserve_one((void **)&out->findings.items, out->findings.count,
                                   &out->findings.capacity, sizeof *out->findings.items);

        reader_check(reader, r);
        if (r)
            return;
        out->findings.items[out->findings.count++] =
            (struct snapshot_finding){.id = take_text(reader, &place, "id"),
                                      .because = take_text(reader, &place, "because"),
                                      .bytes = take_amount(reader, &place, "bytes")};
    }
}

static void take_refusals(struct reader *reader, const struct place *whole, struct snapshot *out)
{
    size_t count = take_count(reader, whole, "refusals", LIST_ITEMS);

    for (size_t i = 0; i < count && !reader->error; i++) {
        struct place place = take_item(reader, whole, "refusals", i);
        int r = vector_reserve_one((void **)&out->refusals.items, out->refusals.count,
                                   &out->refusals.capacity, sizeof *out->refusals.items);

        reader_check(reader, r);
        if (r)
            return;
        out->refusals.items[out->refusals.count++] =
            (struct snapshot_refusal){.what = take_text(reader, &place, "what"),
                                      .reason = take_text(reader, &place, "reason")};
    }
}

/* dynamic_threshold is true or false, and counts as 1 and 0. */
static void take_settings(struct reader *reader, const struct place *whole, struct snapshot *out)
{
    struct place settings = take_object(reader, whole, "settings");
    const char *key = setting_keys[SETTING_DYNAMIC_THRESHOLD].key;

    for (size_t i = 0; i < SETTING_COUNT; i++)
        if (i != SETTING_DYNAMIC_THRESHOLD)
            out->settings[i] = take_amount_if(reader, &settings, setting_keys[i].key);
    if (!json_is_null(reader_value(reader, &settings, key)))
        out->settings[SETTING_DYNAMIC_THRESHOLD] =
            (struct amount){true, take_bool(reader, &settings, key)};
    out->thp = take_text_if(reader, &settings, "thp");
}

/* Keys that earlier versions do not tell. */
static void take_identity(struct reader *reader, const struct place *whole, struct snapshot *out)
{
    if (json_object_get(whole->object, "boot_id"))
        out->boot_id = take_text_if(reader, whole, "boot_id");
    if (json_object_get(whole->object, "start_time_ticks"))
        out->start_ticks = take_amount_if(reader, whole, "start_time_ticks");
    if (json_object_get(whole->object, "taken_at_ns"))
        out->taken_at_ns = take_amount_if(reader, whole, "taken_at_ns");
}

static void take_process(struct reader *reader, const struct place *whole, struct snapshot *out)
{
    uint64_t pid = take_amount(reader, whole, "pid");
    struct place allocator;

    if (pid < 1 || pid > INT_MAX)
        reader_refuse(reader, whole, "pid", "is no process id");
    out->pid = (pid_t)pid;
    out->comm = take_text(reader, whole, "comm");
    allocator = take_object(reader, whole, "allocator");
    out->allocator = take_text_if(reader, &allocator, "name");
    out->allocator_version = take_text_if(reader, &allocator, "version");
    out->decoded = take_bool(reader, &allocator, "decoded");
    out->stopped = take_bool(reader, whole, "stopped");
    take_identity(reader, whole, out);
}

/* Before anything else, so that another program's JSON is told as that. */
static void check_format(struct reader *reader, const struct place *whole)
{
    const json_t *format = json_object_get(whole->object, "format");

    if (!json_is_string(format) || strcmp(json_string_value(format), "residue.why/1") != 0)
        reader_refuse(reader, whole, "format",
                      "is not \"residue.why/1\", which residue why --json PID writes");
}

static int take_report(json_t *json, struct reader *reader, struct snapshot *ret)
{
    struct place whole = {.object = json};
    struct snapshot out = {0};

    check_format(reader, &whole);
    take_process(reader, &whole, &out);
    take_figures(reader, &whole, snapshot_keys, FIGURE_COUNT, out.figures);
    take_ledger(reader, &whole, &out);
    take_settings(reader, &whole, &out);
    take_arenas(reader, &whole, &out);
    take_classes(reader, &whole, &out);
    take_owners(reader, &whole, &out);
    take_findings(reader, &whole, &out);
    take_refusals(reader, &whole, &out);
    check_addresses(reader, &whole, &out.arenas);
    if (reader->error)
        snapshot_free(&out);
    else
        *ret = out;
    return reader->error;
}

/* At least as many as there are. */
static size_t count_values(const char *text, size_t length)
{
    size_t count = 1;

    for (size_t i = 0; i < length; i++)
        count += text[i] == ',' || text[i] == '[' || text[i] == '{';
    return count;
}

static int parse(const char *text, size_t length, const char *name, struct snapshot *ret,
                 struct why *why)
{
    struct reader reader = {.name = name, .why = why};
    json_error_t error;
    json_t *json;
    int r;

    if (count_values(text, length) > SNAPSHOT_FILE_VALUES)
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "%.200s is not a report to compare with: it has more than %d values", name,
                       SNAPSHOT_FILE_VALUES);
    json = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "%.200s is not a report to compare with: line %d, column %d: %.100s", name,
                       error.line, error.column, error.text);
    r = take_report(json, &reader, ret);
    json_decref(json);
    return r;
}

/* All of it, or as much as tells that it is too large. */
static int read_all(const char *path, char **ret, size_t *ret_length, struct why *why)
{
    auto_fclose FILE *file = fopen(path, "re");
    auto_free char *text = malloc((size_t)SNAPSHOT_FILE_BYTES + 1);
    size_t length;

    if (!file)
        return why_set(why, -errno, "cannot open %.200s: %s", path, strerror(errno));
    if (!text)
        return why_set(why, -ENOMEM, "out of memory");
    length = fread(text, 1, (size_t)SNAPSHOT_FILE_BYTES + 1, file);
    if (ferror(file))
        return why_set(why, -errno, "cannot read %.200s: %s", path, strerror(errno));
    if (length > SNAPSHOT_FILE_BYTES)
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "%.200s is not a report to compare with: it has more than %d MiB", path,
                       SNAPSHOT_FILE_BYTES >> 20);
    *ret = text;
    text = NULL;
    *ret_length = length;
    return 0;
}

int snapshot_read(const char *path, struct snapshot *ret, struct why *why)
{
    auto_free char *text = NULL;
    size_t length = 0;
    int r = read_all(path, &text, &length, why);

    return r ? r : parse(text, length, path, ret, why);
}

int snapshot_of(const struct explanation *explanation, struct snapshot *ret, struct why *why)
{
    struct reader reader = {.name = "what was found now", .why = why};
    json_t *json = why_object(explanation);
    int r;

    if (!json)
        return why_set(why, -ENOMEM, "out of memory");
    r = take_report(json, &reader, ret);
    json_decref(json);
    return r;
}
