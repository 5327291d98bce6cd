#include "report/json.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "report/foreign.h"

/* In everything below NULL means that memory is short, and makes what it would be a part of NULL.
 */
struct member {
    const char *key;
    json_t *value;
};

/* Takes the values over. */
static json_t *object_of(const struct member *members, size_t count)
{
    json_t *object = json_object();
    bool failed = !object;

    for (size_t i = 0; i < count; i++) {
        if (failed)
            json_decref(members[i].value);
        else
            failed = json_object_set_new(object, members[i].key, members[i].value) != 0;
    }
    if (!failed)
        return object;
    json_decref(object);
    return NULL;
}

#define OBJECT(...)                                                                                \
    object_of((const struct member[]){__VA_ARGS__},                                                \
              sizeof((const struct member[]){__VA_ARGS__}) / sizeof(struct member))

static json_t *integer(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *integer_if(bool known, uint64_t value)
{
    return known ? integer(value) : json_null();
}

static json_t *string(const char *text)
{
    auto_free char *valid = foreign_as_utf8(text);

    return valid ? json_string(valid) : NULL;
}

/* null for what is NULL or empty. */
static json_t *string_if(const char *text)
{
    return text && text[0] ? string(text) : json_null();
}

/* "0x..." */
static json_t *address_string(remote_addr address)
{
    return json_sprintf("0x%" PRIx64, address);
}

typedef json_t *make_item(const struct explanation *e, size_t index);

static json_t *array_of(const struct explanation *e, size_t count, make_item *make)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < count; i++) {
        if (json_array_append_new(array, make(e, i)) == 0)
            continue;
        json_decref(array);
        array = NULL;
    }
    return array;
}

static json_t *allocator_object(const struct explanation *e)
{
    return OBJECT({"name", string_if(e->allocator)}, {"version", string_if(e->allocator_version)},
                  {"decoded", json_boolean(e->decoded)});
}

static json_t *cgroup_object(const struct explanation *e)
{
    const struct cgroup_memory *cgroup = &e->cgroup;
    bool limited = cgroup->charge_known && cgroup->limit_bytes != CGROUP_NO_LIMIT;

    return OBJECT({"path", string_if(cgroup->path)},
                  {"version", integer_if(cgroup->version > 0, (uint64_t)cgroup->version)},
                  {"charge_bytes", integer_if(cgroup->charge_known, cgroup->charge_bytes)},
                  {"limit_bytes", integer_if(limited, cgroup->limit_bytes)});
}

static json_t *pauses_object(const struct explanation *e)
{
    return OBJECT({"count", integer(e->pauses.count)}, {"total_ns", integer(e->pauses.total_ns)},
                  {"longest_ns", integer(e->pauses.longest_ns)});
}

static json_t *ledger_object(const struct explanation *e)
{
    struct member members[ACCOUNT_COUNT];

    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        members[i] = (struct member){account_name((enum account)i), integer(e->ledger.bytes[i])};
    return object_of(members, ACCOUNT_COUNT);
}

static json_t *owner_object(const struct explanation *e, size_t index)
{
    const struct unexplained_owner *owner = &e->unexplained_by.items[index];

    return OBJECT({"name", string(owner->name)}, {"version", string_if(owner->version)},
                  {"bytes", integer(owner->bytes)}, {"evidence", string_if(owner->evidence)});
}

/* `figures`: by span state. */
static json_t *free_object(bool known, const uint64_t *figures)
{
    return OBJECT({"tcache", integer_if(known, figures[SPAN_TCACHE])},
                  {"fastbin", integer_if(known, figures[SPAN_FASTBIN])},
                  {"bins", integer_if(known, figures[SPAN_BIN])},
                  {"top", integer_if(known, figures[SPAN_TOP])});
}

static json_t *arena_object(const struct explanation *e, size_t index)
{
    static const struct arena_tally nothing;
    const struct heap_arena *arena = &e->arenas.items[index];
    bool known = index < e->tally.arena_count && !e->arenas.items[index].refused;
    const struct arena_tally *tally = known ? &e->tally.arenas[index] : &nothing;

    return OBJECT({"address", address_string(arena->address)}, {"main", json_boolean(arena->main)},
                  {"heaps", integer(arena->heaps)},
                  {"reserved_bytes", integer(arena->reserved_bytes)},
                  {"resident_bytes", integer_if(known, tally->resident_bytes)},
                  {"live_bytes", integer_if(known, tally->live_bytes)},
                  {"live_blocks", integer_if(known, tally->live_blocks)},
                  {"free_bytes", free_object(known, tally->free_bytes)},
                  {"free_blocks", free_object(known, tally->free_blocks)},
                  {"returnable_bytes", integer_if(known, tally->account[ACCOUNT_HEAP_RETURNABLE])},
                  {"cached_bytes", integer_if(known, tally->account[ACCOUNT_HEAP_CACHED])},
                  {"pinned_bytes", integer_if(known, tally->account[ACCOUNT_HEAP_PINNED])});
}

/* A freed mmapped chunk can wait in a thread's cache. */
static json_t *mmapped_object(const struct explanation *e)
{
    const struct arena_tally *tally = &e->tally.mmapped;
    uint64_t bytes = tally->live_bytes;

    for (size_t i = 0; i < SPAN_STATES; i++)
        bytes += tally->free_bytes[i];
    return OBJECT({"count", integer_if(e->decoded, tally->live_blocks)},
                  {"bytes", integer_if(e->decoded, bytes)},
                  {"resident_bytes", integer_if(e->decoded, tally->resident_bytes)});
}

static json_t *settings_object(const struct explanation *e)
{
    const struct heap_settings *settings = &e->settings;

    return OBJECT(
        {"mmap_threshold", integer_if(e->decoded, settings->mmap_threshold)},
        {"trim_threshold", integer_if(e->decoded, settings->trim_threshold)},
        {"dynamic_threshold", e->decoded ? json_boolean(settings->dynamic_threshold) : json_null()},
        {"arena_max", integer_if(e->decoded, settings->arena_max)},
        {"thp", string_if(e->thp.enabled)});
}

static json_t *cures_array(const struct finding *finding)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < finding->cure_count; i++) {
        const struct cure_prediction *cure = &finding->cures[i];
        json_t *object =
            OBJECT({"name", string(cure->name)}, {"predicted_rss_bytes", integer(cure->rss_bytes)},
                   {"predicted_charge_bytes", integer(cure->charge_bytes)},
                   {"needs_restart", json_boolean(cure->needs_restart)});

        if (json_array_append_new(array, object) == 0)
            continue;
        json_decref(array);
        array = NULL;
    }
    return array;
}

static json_t *finding_object(const struct explanation *e, size_t index)
{
    const struct finding *finding = &e->findings.items[index];

    return OBJECT({"id", string(finding->id)}, {"bytes", integer(finding->bytes)},
                  {"because", string(finding->because)}, {"cures", cures_array(finding)});
}

static json_t *refusal_object(const struct explanation *e, size_t index)
{
    const struct heap_refusal *refusal = &e->refusals.items[index];

    return OBJECT({"what", string(refusal->what)}, {"reason", string(refusal->reason.text)});
}

static json_t *why_object(const struct explanation *e)
{
    return OBJECT({"format", json_string("residue.why/1")}, {"pid", json_integer(e->pid)},
                  {"comm", string(e->comm)}, {"exe", string_if(e->exe)},
                  {"threads", integer(e->threads)}, {"container", string_if(e->container)},
                  {"allocator", allocator_object(e)}, {"rss_bytes", integer(e->rss.rss_bytes)},
                  {"rss_source", json_string(rss_source_name(e->rss.source))},
                  {"swap_bytes", integer(e->rss.swap_bytes)},
                  {"page_table_bytes", integer(e->rss.page_table_bytes)},
                  {"hugetlb_bytes", integer(e->rss.hugetlb_bytes)},
                  {"lazyfree_bytes", integer_if(e->lazyfree_known, e->lazyfree_bytes)},
                  {"heap_live_zero_bytes", integer(e->heap_live_zero_bytes)},
                  {"cgroup", cgroup_object(e)}, {"stopped", json_boolean(e->stopped)},
                  {"moved_bytes", integer(e->moved_bytes)}, {"elapsed_ns", integer(e->elapsed_ns)},
                  {"pauses", pauses_object(e)}, {"ledger", ledger_object(e)},
                  {"unexplained_by", array_of(e, e->unexplained_by.count, owner_object)},
                  {"arenas", array_of(e, e->arenas.count, arena_object)},
                  {"mmapped_chunks", mmapped_object(e)},
                  {"trim_would_return_bytes", integer_if(e->trim_known, e->trim.rss_bytes)},
                  {"settings", settings_object(e)},
                  {"findings", array_of(e, e->findings.count, finding_object)},
                  {"refusals", array_of(e, e->refusals.count, refusal_object)});
}

int report_why_json(const struct explanation *explanation, FILE *out)
{
    json_t *object = why_object(explanation);
    int r;

    if (!object)
        return -ENOMEM;
    /* ASCII: a C1 control character in a name is valid JSON and a command to a terminal. */
    r = json_dumpf(object, out, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    json_decref(object);
    if (r || fputc('\n', out) == EOF || fflush(out))
        return -EIO;
    return 0;
}
