#include "report/json.h"
#include "report/survey.h"
#include "report/values.h"

typedef json_t *make_survey_item(const struct survey *survey, size_t index);

static json_t *array_of(const struct survey *survey, size_t count, make_survey_item *make)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < count; i++) {
        if (json_array_append_new(array, make(survey, i)) == 0)
            continue;
        json_decref(array);
        array = NULL;
    }
    return array;
}

static json_t *sharers_array(const struct survey_process *process)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < process->sharer_count; i++) {
        if (json_array_append_new(array, json_integer(process->sharers[i])) == 0)
            continue;
        json_decref(array);
        array = NULL;
    }
    return array;
}

static json_t *trim_value(const struct explanation *e)
{
    return json_amount_if(e && e->trim_known, e ? e->trim.rss_bytes : 0);
}

static json_t *process_object(const struct survey *survey, size_t index)
{
    const struct survey_process *p = &survey->processes.items[index];
    const struct explanation *e = p->explanation;

    return OBJECT(
        {"pid", json_integer(p->pid)}, {"comm", json_text(p->comm)},
        {"container", json_text_if(p->container)},
        {"container_runtime", json_text_if(p->container_runtime)},
        {"cgroup", json_text_if(p->cgroup)}, {"rss_bytes", json_amount(p->amounts.rss_bytes)},
        {"anon_bytes", json_amount(p->amounts.anon_bytes)},
        {"file_bytes", json_amount(p->amounts.file_bytes)},
        {"shmem_bytes", json_amount(p->amounts.shmem_bytes)},
        {"swap_bytes", json_amount(p->amounts.swap_bytes)},
        {"shares_memory_with", sharers_array(p)}, {"decoded", json_boolean(e && e->decoded)},
        {"returnable_bytes", json_amount_if(survey_returnable_known(p), p->returnable_bytes)},
        {"returnable_charge_bytes",
         json_amount_if(survey_returnable_known(p), p->returnable_charge_bytes)},
        {"trim_would_return_bytes", trim_value(e)}, {"not_explained", json_text_if(p->reason)},
        {"why", e ? why_object(e) : json_null()});
}

static json_t *unread_object(const struct survey *survey, size_t index)
{
    const struct survey_unread *unread = &survey->unread.items[index];

    return OBJECT({"processes", json_amount(unread->count)}, {"who", json_text_if(unread->who)},
                  {"reason", json_text(unread->reason.text)},
                  {"rss_bytes", json_amount(unread->rss_bytes)});
}

static json_t *totals_object(const struct survey *survey)
{
    bool known = survey->explained > 0;

    return OBJECT(
        {"processes", json_amount(survey->processes.count)},
        {"explained", json_amount(survey->explained)}, {"decoded", json_amount(survey->decoded)},
        {"rss_bytes", json_amount(survey->sum.rss_bytes)},
        {"anon_bytes", json_amount(survey->sum.anon_bytes)},
        {"file_bytes", json_amount(survey->sum.file_bytes)},
        {"shmem_bytes", json_amount(survey->sum.shmem_bytes)},
        {"swap_bytes", json_amount(survey->sum.swap_bytes)},
        {"returnable_bytes", json_amount_if(known, survey->returnable_bytes)},
        {"returnable_charge_bytes", json_amount_if(known, survey->returnable_charge_bytes)});
}

static json_t *cgroup_object(const struct survey *survey)
{
    const struct named_cgroup *place = &survey->place;
    const struct cgroup_usage *usage = &survey->usage;
    const struct cgroup_memory *memory = &usage->memory;
    bool parts = usage->parts_known,
         limited = memory->charge_known && memory->limit_bytes != CGROUP_NO_LIMIT;

    if (!survey->of_cgroup)
        return json_null();
    return OBJECT(
        {"path", json_text(place->path)}, {"directory", json_text(place->directory)},
        {"version", json_integer(place->version)},
        {"charged_to", json_text_if(memory->charge_path)},
        {"charge_bytes", json_amount_if(memory->charge_known, memory->charge_bytes)},
        {"limit_bytes", json_amount_if(limited, memory->limit_bytes)},
        {"room_bytes", json_amount_if(memory->room_known, memory->room_bytes)},
        {"room_after_bytes", json_amount_if(memory->room_known, survey_room_after(survey))},
        {"anon_bytes", json_amount_if(parts, usage->anon_bytes)},
        {"file_bytes", json_amount_if(parts, usage->file_bytes)},
        {"shmem_bytes", json_amount_if(parts, usage->shmem_bytes)},
        {"mapped_file_bytes", json_amount_if(parts, usage->mapped_file_bytes)},
        {"kernel_bytes", json_amount_if(parts && usage->kernel_known, usage->kernel_bytes)},
        {"not_in_rss_bytes", json_amount_if(parts, survey->unmapped_bytes)},
        {"unnamed_bytes", json_amount_if(parts, survey->unnamed_bytes)});
}

static json_t *survey_object(const struct survey *survey)
{
    const struct target_pauses *pauses = &survey->pauses;

    return OBJECT({"format", json_string("residue.why-all/1")}, {"cgroup", cgroup_object(survey)},
                  {"rss_source", json_string(rss_source_name(survey->source))},
                  {"elapsed_ns", json_amount(survey->elapsed_ns)},
                  {"pauses", OBJECT({"count", json_amount(pauses->count)},
                                    {"total_ns", json_amount(pauses->total_ns)},
                                    {"longest_ns", json_amount(pauses->longest_ns)})},
                  {"totals", totals_object(survey)},
                  {"processes", array_of(survey, survey->processes.count, process_object)},
                  {"unreadable", array_of(survey, survey->unread.count, unread_object)});
}

int report_survey_json(const struct survey *survey, FILE *out)
{
    return print_json(survey_object(survey), out);
}
