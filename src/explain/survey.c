#include "explain/survey.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "explain/survey-internal.h"

void survey_process_free(struct survey_process *process)
{
    if (process->explanation)
        explanation_free(process->explanation);
    free(process->explanation);
    free(process->cgroup);
    free(process->container);
    free(process->sharers);
    free(process->reason);
    *process = (struct survey_process){0};
}

void survey_free(struct survey *survey)
{
    for (size_t i = 0; i < survey->processes.count; i++)
        survey_process_free(&survey->processes.items[i]);
    free(survey->processes.items);
    free(survey->unread.items);
    *survey = (struct survey){0};
}

bool survey_returnable_known(const struct survey_process *process)
{
    return process->explanation && (process->explanation->decoded || process->returnable_bytes);
}

uint64_t survey_room_after(const struct survey *survey)
{
    uint64_t sum;

    return __builtin_add_overflow(survey->usage.memory.room_bytes, survey->returnable_charge_bytes,
                                  &sum)
               ? UINT64_MAX
               : sum;
}

static int find_cgroup(const struct procfs *procfs, const char *name, struct survey *survey,
                       struct why *why)
{
    int r = cgroup_find_named(procfs, name, &survey->place, why);

    survey->of_cgroup = true;
    if (r == 0)
        r = cgroup_usage_read(procfs, &survey->place, &survey->usage, why);
    survey->unmapped_bytes =
        cgroup_unmapped_file_bytes(&survey->usage) + survey->usage.kernel_bytes;
    survey->unnamed_bytes = cgroup_unnamed_bytes(&survey->usage);
    survey->charge_is_ancestors =
        survey->usage.memory.charge_known &&
        strcmp(survey->usage.memory.charge_path, survey->place.directory) != 0;
    return r;
}

static int choose_source(const struct procfs *procfs, struct survey *survey, struct why *why)
{
    int r = rss_status_is_exact(procfs, why);

    if (r < 0)
        return r;
    survey->source = r ? RSS_FROM_STATUS : RSS_FROM_SMAPS_ROLLUP;
    return 0;
}

static int fill(const struct procfs *procfs, const struct survey_options *options,
                struct survey *survey, struct why *why)
{
    int r = options->cgroup ? find_cgroup(procfs, options->cgroup, survey, why) : 0;

    if (r == 0)
        r = choose_source(procfs, survey, why);
    if (r == 0)
        r = survey_list(procfs, options, survey, why);
    if (r == 0)
        r = survey_explain(procfs, options, survey);
    return r;
}

int survey(const struct procfs *procfs, const struct survey_options *options, struct survey *ret,
           struct why *why)
{
    struct survey result = {0};
    uint64_t begun = clock_now_ns();
    int r = fill(procfs, options, &result, why);

    if (r) {
        survey_free(&result);
        return r;
    }
    result.elapsed_ns = clock_now_ns() - begun;
    *ret = result;
    return 0;
}
