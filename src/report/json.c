#include "report/json.h"

#include "report/values.h"

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
    return OBJECT({"name", json_text_if(e->allocator)},
                  {"version", json_text_if(e->allocator_version)},
                  {"decoded", json_boolean(e->decoded)});
}

static json_t *cgroup_object(const struct explanation *e)
{
    const struct cgroup_memory *cgroup = &e->cgroup;
    bool limited = cgroup->charge_known && cgroup->limit_bytes != CGROUP_NO_LIMIT;

    return OBJECT({"path", json_text_if(cgroup->path)},
                  {"version", json_amount_if(cgroup->version > 0, (uint64_t)cgroup->version)},
                  {"charge_bytes", json_amount_if(cgroup->charge_known, cgroup->charge_bytes)},
                  {"limit_bytes", json_amount_if(limited, cgroup->limit_bytes)},
                  {"room_bytes", json_amount_if(cgroup->room_known, cgroup->room_bytes)});
}

static json_t *pauses_object(const struct explanation *e)
{
    return OBJECT({"count", json_amount(e->pauses.count)},
                  {"total_ns", json_amount(e->pauses.total_ns)},
                  {"longest_ns", json_amount(e->pauses.longest_ns)});
}

static json_t *ledger_object(const struct explanation *e)
{
    struct member members[ACCOUNT_COUNT];

    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        members[i] =
            (struct member){account_name((enum account)i), json_amount(e->ledger.bytes[i])};
    return json_object_of(members, ACCOUNT_COUNT);
}

static json_t *owner_object(const struct explanation *e, size_t index)
{
    const struct unexplained_owner *owner = &e->unexplained_by.items[index];

    return OBJECT({"name", json_text(owner->name)}, {"version", json_text_if(owner->version)},
                  {"bytes", json_amount(owner->bytes)},
                  {"evidence", json_text_if(owner->evidence)});
}

/* `figures`: by span state. */
static json_t *free_object(bool known, const uint64_t *figures)
{
    return OBJECT({"tcache", json_amount_if(known, figures[SPAN_TCACHE])},
                  {"fastbin", json_amount_if(known, figures[SPAN_FASTBIN])},
                  {"bins", json_amount_if(known, figures[SPAN_BIN])},
                  {"top", json_amount_if(known, figures[SPAN_TOP])});
}

static json_t *arena_object(const struct explanation *e, size_t index)
{
    static const struct arena_tally nothing;
    const struct heap_arena *arena = &e->arenas.items[index];
    bool known = index < e->tally.arena_count && !e->arenas.items[index].refused;
    const struct arena_tally *tally = known ? &e->tally.arenas[index] : &nothing;

    return OBJECT(
        {"address", json_address(arena->address)}, {"main", json_boolean(arena->main)},
        {"other_copy", json_boolean(arena->other_copy)}, {"heaps", json_amount(arena->heaps)},
        {"reserved_bytes", json_amount(arena->reserved_bytes)},
        {"resident_bytes", json_amount_if(known, tally->resident_bytes)},
        {"live_bytes", json_amount_if(known, tally->live_bytes)},
        {"live_blocks", json_amount_if(known, tally->live_blocks)},
        {"free_bytes", free_object(known, tally->free_bytes)},
        {"free_blocks", free_object(known, tally->free_blocks)},
        {"free_resident_bytes", free_object(known, tally->free_resident)},
        {"free_swapped_bytes", free_object(known, tally->free_swapped)},
        {"returnable_bytes", json_amount_if(known, tally->account[ACCOUNT_HEAP_RETURNABLE])},
        {"cached_bytes", json_amount_if(known, tally->account[ACCOUNT_HEAP_CACHED])},
        {"pinned_bytes", json_amount_if(known, tally->account[ACCOUNT_HEAP_PINNED])});
}

/* Free is not resident. */
static json_t *free_chunks_object(const struct explanation *e)
{
    struct free_places places = tally_free_places(&e->tally);

    return OBJECT({"bytes", json_amount_if(e->decoded, places.bytes)},
                  {"resident_bytes", json_amount_if(e->decoded, places.resident_bytes)},
                  {"swapped_bytes", json_amount_if(e->decoded, places.swapped_bytes)},
                  {"discarded_bytes", json_amount_if(e->decoded, places.discarded_bytes)});
}

/* A freed mmapped chunk can wait in a thread's cache. */
static json_t *mmapped_object(const struct explanation *e)
{
    const struct arena_tally *tally = &e->tally.mmapped;
    uint64_t count = tally->live_blocks, bytes = tally->live_bytes;

    for (size_t i = 0; i < SPAN_STATES; i++) {
        count += tally->free_blocks[i];
        bytes += tally->free_bytes[i];
    }
    return OBJECT({"count", json_amount_if(e->decoded, count)},
                  {"bytes", json_amount_if(e->decoded, bytes)},
                  {"resident_bytes", json_amount_if(e->decoded, tally->resident_bytes)});
}

/* Of those that hold anything. */
static json_t *classes_array(const struct heap_census *census)
{
    json_t *array = json_array();

    for (unsigned i = 0; array && i < CENSUS_CLASSES; i++) {
        const struct census_class *class = &census->classes[i];
        json_t *object;

        if (class->blocks == 0)
            continue;
        object =
            OBJECT({"least_bytes", json_amount(census_class_least(i))},
                   {"blocks", json_amount(class->blocks)}, {"bytes", json_amount(class->bytes)},
                   {"pinned_pages", json_amount(class->pinned_pages)});
        if (json_array_append_new(array, object) == 0)
            continue;
        json_decref(array);
        array = NULL;
    }
    return array;
}

static json_t *settings_object(const struct explanation *e)
{
    const struct heap_settings *settings = &e->settings;

    return OBJECT(
        {"mmap_threshold", json_amount_if(e->decoded, settings->mmap_threshold)},
        {"trim_threshold", json_amount_if(e->decoded, settings->trim_threshold)},
        {"dynamic_threshold", e->decoded ? json_boolean(settings->dynamic_threshold) : json_null()},
        {"arena_max", json_amount_if(e->decoded, settings->arena_max)},
        {"thp", json_text_if(e->thp.enabled)});
}

static json_t *cures_array(const struct finding *finding)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < finding->cure_count; i++) {
        const struct cure_prediction *cure = &finding->cures[i];
        json_t *object = OBJECT({"name", json_text(cure->name)},
                                {"predicted_rss_bytes", json_amount(cure->rss_bytes)},
                                {"predicted_charge_bytes", json_amount(cure->charge_bytes)},
                                {"needs_restart", json_boolean(cure->needs_restart)});

        if (json_array_append_new(array, object) == 0)
            continue;
        json_decref(array);
        array = NULL;
    }
    return array;
}

static json_t *cpus_object(const struct explanation *e)
{
    const struct cpus *cpus = &e->cpus;

    return OBJECT({"online", json_amount_if(cpus->online > 0, cpus->online)},
                  {"allowed", json_amount_if(cpus->allowed > 0, cpus->allowed)},
                  {"quota_us", json_amount_if(cpus->period_us > 0, cpus->quota_us)},
                  {"period_us", json_amount_if(cpus->period_us > 0, cpus->period_us)});
}

static json_t *environment_item(const struct explanation *e, size_t index)
{
    const struct environment_setting *setting = &e->environment.items[index];

    return OBJECT({"name", json_text(setting->name)}, {"value", json_text(setting->value)},
                  {"in_force", setting->in_force == IN_FORCE_UNKNOWN
                                   ? json_null()
                                   : json_boolean(setting->in_force == IN_FORCE_YES)},
                  {"reason", json_text(setting->reason)});
}

static json_t *environment_array(const struct explanation *e)
{
    return e->environment_known ? array_of(e, e->environment.count, environment_item) : json_null();
}

static json_t *finding_object(const struct explanation *e, size_t index)
{
    const struct finding *finding = &e->findings.items[index];

    return OBJECT({"id", json_text(finding->id)}, {"bytes", json_amount(finding->bytes)},
                  {"because", json_text(finding->because)}, {"cures", cures_array(finding)});
}

static json_t *refusal_object(const struct explanation *e, size_t index)
{
    const struct heap_refusal *refusal = &e->refusals.items[index];

    return OBJECT({"what", json_text(refusal->what)}, {"reason", json_text(refusal->reason.text)});
}

json_t *why_object(const struct explanation *e)
{
    return OBJECT(
        {"format", json_string("residue.why/1")}, {"pid", json_integer(e->pid)},
        {"boot_id", json_text_if(e->identity.boot_id)},
        {"start_time_ticks", json_amount_if(e->identity.known, e->identity.start_ticks)},
        {"taken_at_ns", json_amount_if(e->taken_at_ns > 0, e->taken_at_ns)},
        {"comm", json_text(e->comm)}, {"exe", json_text_if(e->exe)},
        {"threads", json_amount(e->threads)}, {"container", json_text_if(e->container)},
        {"container_runtime", json_text_if(e->container_runtime)},
        {"allocator", allocator_object(e)}, {"rss_bytes", json_amount(e->rss.rss_bytes)},
        {"rss_source", json_string(rss_source_name(e->rss.source))},
        {"swap_bytes", json_amount(e->rss.swap_bytes)},
        {"page_table_bytes", json_amount(e->rss.page_table_bytes)},
        {"hugetlb_bytes", json_amount(e->rss.hugetlb_bytes)},
        {"lazyfree_bytes", json_amount_if(e->lazyfree_known, e->lazyfree_bytes)},
        {"heap_live_zero_bytes", json_amount(e->heap_live_zero_bytes)},
        {"cgroup", cgroup_object(e)}, {"stopped", json_boolean(e->stopped)},
        {"way", json_string(explain_way_name(e->way))},
        {"long_stop_reason", json_text_if(e->long_stop.text)},
        {"moved_bytes", json_amount(e->moved_bytes)},
        {"error_bound_bytes", json_amount_if(e->error_bound_known, e->error_bound_bytes)},
        {"elapsed_ns", json_amount(e->elapsed_ns)}, {"pauses", pauses_object(e)},
        {"ledger", ledger_object(e)},
        {"unexplained_by", array_of(e, e->unexplained_by.count, owner_object)},
        {"arenas", array_of(e, e->arenas.count, arena_object)},
        {"mmapped_chunks", mmapped_object(e)}, {"free_chunks", free_chunks_object(e)},
        {"size_classes", classes_array(&e->census)},
        {"pinned_pages", json_amount_if(census_is_taken(&e->census), e->census.pinned_pages)},
        {"pinning_bytes", json_amount_if(census_is_taken(&e->census), e->census.pinning_bytes)},
        {"trim_would_return_bytes", json_amount_if(e->trim_known, e->trim.rss_bytes)},
        {"settings", settings_object(e)}, {"cpus", cpus_object(e)},
        {"environment", environment_array(e)},
        {"findings", array_of(e, e->findings.count, finding_object)},
        {"refusals", array_of(e, e->refusals.count, refusal_object)});
}

int report_why_json(const struct explanation *explanation, FILE *out)
{
    return print_json(why_object(explanation), out);
}
