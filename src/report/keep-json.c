#include <stdlib.h>

#include "base/format.h"
#include "report/keep.h"
#include "report/values.h"

const char *keep_report_name(enum keep_setting setting)
{
    return setting == KEEP_STATIC ? "dynamic_threshold" : keep_setting_name(setting);
}

static const char *huge_pages_name(uint64_t value)
{
    switch (value) {
    case KEEP_HUGE_ALLOWED:
        return "allowed";
    case KEEP_HUGE_OFF:
        return "off";
    case KEEP_HUGE_ADVISED:
        return "advised";
    }
    return "unknown";
}

struct keep_value keep_report_value(enum keep_setting setting, uint64_t value)
{
    struct keep_value ret;

    if (setting == KEEP_HUGE_PAGES)
        snprintf(ret.text, sizeof ret.text, "%s", huge_pages_name(value));
    else if (setting == KEEP_STATIC)
        snprintf(ret.text, sizeof ret.text, "%s", value ? "no" : "yes");
    else if (setting == KEEP_MMAP_MAX)
        snprintf(ret.text, sizeof ret.text, "%s", format_count(value).text);
    else
        snprintf(ret.text, sizeof ret.text, "%s", format_bytes(value).text);
    return ret;
}

static json_t *value_of(enum keep_setting setting, uint64_t value)
{
    if (setting == KEEP_HUGE_PAGES)
        return json_string(huge_pages_name(value));
    return setting == KEEP_STATIC ? json_boolean(!value) : json_amount(value);
}

static json_t *appended(json_t *array, json_t *value)
{
    if (array && json_array_append_new(array, value) == 0)
        return array;
    if (!array)
        json_decref(value);
    json_decref(array);
    return NULL;
}

static json_t *changed_array(const struct keeping *k)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < k->changed_count; i++) {
        const struct keep_change *change = &k->changed[i];

        array = appended(array, OBJECT({"setting", json_string(keep_report_name(change->setting))},
                                       {"before", value_of(change->setting, change->before)},
                                       {"after", value_of(change->setting, change->after)}));
    }
    return array;
}

static json_t *refusals_array(const struct keeping *k, const struct start_lines *lines)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < k->refusals.count; i++) {
        const struct keep_refusal *refusal = &k->refusals.items[i];

        array = appended(array, OBJECT({"what", json_string(refusal->what)},
                                       {"reason", json_text(refusal->reason.text)}));
    }
    if (array && lines->missing.text[0])
        array = appended(array, OBJECT({"what", json_string("start-lines")},
                                       {"reason", json_text(lines->missing.text)}));
    return array;
}

static json_t *already_array(const struct keeping *k)
{
    json_t *array = json_array();

    if (k->huge_pages_kept)
        array = appended(array, json_string("huge-pages"));
    if (k->thresholds_kept)
        array = appended(array, json_string("thresholds"));
    return array;
}

static int append_line(void *context, const char *line)
{
    json_t **array = context;

    *array = appended(*array, json_string(line));
    return *array ? 0 : -1;
}

static json_t *lines_object(const struct start_lines *lines)
{
    json_t *object = json_object();

    for (unsigned form = 0; object && form < START_FORMS; form++) {
        json_t *array = json_array();

        if (array && start_lines_each(lines, form, append_line, &array))
            array = NULL;
        if (json_object_set_new(object, start_form_name(form), array) == 0)
            continue;
        json_decref(object);
        object = NULL;
    }
    return object;
}

/* Null where thresholds were not set. */
static json_t *cost_object(const struct keep_cost *cost)
{
    if (!cost->fault_ns)
        return json_null();
    return OBJECT(
        {"fault_ns", json_amount(cost->fault_ns)}, {"mapping_ns", json_amount(cost->mapping_ns)},
        {"watched_ns", json_amount(cost->watched_ns)}, {"faults", json_amount(cost->faults)},
        {"cpu_percent_before", json_real(keep_cost_permille_before(cost) / 10)},
        {"cpu_percent", json_real(keep_cost_permille(cost) / 10)},
        {"taken_back", json_boolean(cost->taken_back)});
}

static json_t *pauses_object(const struct target_pauses *pauses)
{
    return OBJECT({"count", json_integer(pauses->count)},
                  {"total_ns", json_amount(pauses->total_ns)},
                  {"longest_ns", json_amount(pauses->longest_ns)});
}

/* Null where it was not asked for, or could not be. */
static json_t *every_object(const struct keep_every_totals *every)
{
    if (!every->ran_ns)
        return json_null();
    return OBJECT({"ran_ns", json_amount(every->ran_ns)}, {"rounds", json_amount(every->rounds)},
                  {"failures", json_amount(every->failures)},
                  {"pressures", json_amount(every->pressures)},
                  {"pressure_of", json_text_if(every->pressure_of)},
                  {"returned_rss_bytes", json_amount(every->returned_bytes)},
                  {"in_use_again_bytes", json_amount(every->back_bytes)},
                  {"interval_ns", json_amount(every->interval_ns)},
                  {"process_ended", json_boolean(every->process_ended)},
                  {"pauses", pauses_object(&every->pauses)});
}

json_t *keep_object(const struct keeping *k, const struct start_lines *lines)
{
    return OBJECT({"format", json_string("residue.keep/1")}, {"pid", json_integer(k->pid)},
                  {"comm", json_text(k->comm)}, {"undo", json_boolean(k->undo)},
                  {"interrupted", json_boolean(k->interrupted)}, {"changed", changed_array(k)},
                  {"already", already_array(k)}, {"refusals", refusals_array(k, lines)},
                  {"huge_bytes", json_amount(k->huge_bytes)}, {"cost", cost_object(&k->cost)},
                  {"every", every_object(&k->every)}, {"pauses", pauses_object(&k->pauses)},
                  {"start_lines", lines_object(lines)});
}

int report_keep_json(const struct keeping *keeping, const struct start_lines *lines, FILE *out)
{
    return print_json(keep_object(keeping, lines), out);
}
