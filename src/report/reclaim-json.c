#include "report/reclaim.h"
#include "report/values.h"

static json_t *array_of(const struct reclamation *r, size_t count,
                        json_t *(*make)(const struct reclamation *r, size_t index))
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < count; i++) {
        if (json_array_append_new(array, make(r, i)) == 0)
            continue;
        json_decref(array);
        array = NULL;
    }
    return array;
}

static json_t *skipped_array(const struct cure_outcome *cure)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < cure->skipped.count; i++) {
        const struct cure_skip *skip = &cure->skipped.items[i];
        json_t *object =
            OBJECT({"bytes", json_amount(skip->bytes)}, {"reason", json_text(skip->reason.text)});

        if (json_array_append_new(array, object) == 0)
            continue;
        json_decref(array);
        array = NULL;
    }
    return array;
}

static json_t *cure_object(const struct reclamation *r, size_t index)
{
    const struct cure_outcome *cure = &r->cures[index];

    return OBJECT({"name", json_text(cure->name)}, {"applied", json_boolean(cure->applied)},
                  {"predicted_rss_bytes", json_amount(cure->predicted_rss_bytes)},
                  {"returned_rss_bytes", json_amount(cure->returned_rss_bytes)},
                  {"predicted_charge_bytes", json_amount(cure->predicted_charge_bytes)},
                  {"returned_charge_bytes", cure->charge_known || !cure->applied
                                                ? json_integer(cure->returned_charge_bytes)
                                                : json_null()},
                  {"huge_pages_split", json_amount(cure->huge_pages_split)},
                  {"fell_short", json_boolean(cure_fell_short(cure))},
                  {"error", json_text_if(cure->error ? cure->reason.text : NULL)},
                  {"skipped", skipped_array(cure)});
}

static json_t *sample_object(const struct reclamation *r, size_t index)
{
    const struct cure_sample *sample = &r->after.items[index];

    return OBJECT({"seconds", json_real((double)sample->after_ns / 1e9)},
                  {"rss_bytes", json_amount(sample->rss_bytes)},
                  {"minor_faults", json_amount(sample->minor_faults)});
}

static json_t *charge(const struct cgroup_memory *cgroup)
{
    return json_amount_if(cgroup->charge_known, cgroup->charge_bytes);
}

json_t *reclaim_object(const struct reclamation *r)
{
    json_t *pauses = OBJECT({"count", json_amount(r->pauses.count)},
                            {"total_ns", json_amount(r->pauses.total_ns)},
                            {"longest_ns", json_amount(r->pauses.longest_ns)});

    return OBJECT({"format", json_string("residue.reclaim/1")}, {"pid", json_integer(r->pid)},
                  {"comm", json_text(r->comm)}, {"dry_run", json_boolean(r->dry_run)},
                  {"below_min_bytes", json_boolean(r->below_least)},
                  {"interrupted", json_boolean(r->interrupted)},
                  {"rss_before_bytes", json_amount(r->rss_before_bytes)},
                  {"rss_after_bytes", json_amount(r->rss_after_bytes)},
                  {"charge_before_bytes", charge(&r->charge_before)},
                  {"charge_after_bytes", charge(&r->charge_after)}, {"pauses", pauses},
                  {"elapsed_ns", json_amount(r->elapsed_ns)},
                  {"cures", array_of(r, r->cure_count, cure_object)},
                  {"after", array_of(r, r->after.count, sample_object)});
}

int report_reclaim_json(const struct reclamation *reclamation, FILE *out)
{
    return print_json(reclaim_object(reclamation), out);
}
