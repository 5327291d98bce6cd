#include "cure/reclaim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cure/free-pages.h"
#include "cure/sharers.h"
#include "cure/zero-pages.h"
#include "procfs/rss.h"
#include "procfs/thp.h"

struct course {
    const struct procfs *procfs;
    const struct reclaim_options *options;
    struct reclamation *out;
    struct look look;           /* its target is what everything is done to */
    struct explanation scratch; /* of `look`, for nobody */
    struct cure_places places;
    struct why obstacle; /* to all of them; "": none */
    enum rss_source rss_source;
    enum cure which[CURES]; /* out->cures[i] is of which[i] */
    struct zero_pages zero_pages;
    struct free_pages free_pages;
};

const char *cure_name(enum cure cure)
{
    static const char *const names[CURES] = {
        [CURE_ZERO_PAGES] = "zero-pages", [CURE_FREE_PAGES] = "free-pages"};

    return names[cure];
}

void reclamation_free(struct reclamation *reclamation)
{
    for (size_t i = 0; i < reclamation->cure_count; i++)
        cure_outcome_free(&reclamation->cures[i]);
    free(reclamation->after.items);
    *reclamation = (struct reclamation){0};
}

uint64_t reclamation_predicted(const struct reclamation *reclamation)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < reclamation->cure_count; i++)
        bytes += reclamation->cures[i].predicted_rss_bytes;
    return bytes;
}

uint64_t reclamation_returned(const struct reclamation *reclamation)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < reclamation->cure_count; i++)
        bytes += reclamation->cures[i].returned_rss_bytes;
    return bytes;
}

bool reclamation_fell_short(const struct reclamation *reclamation)
{
    for (size_t i = 0; i < reclamation->cure_count; i++)
        if (cure_fell_short(&reclamation->cures[i]) ||
            (reclamation->cures[i].applied && reclamation->cures[i].error))
            return true;
    return false;
}

static void read_charge(struct course *course, struct cgroup_memory *ret)
{
    if (cgroup_memory_read(course->procfs, course->look.pid, ret, NULL) != 0)
        *ret = (struct cgroup_memory){0};
}

static int read_rss(struct course *course, uint64_t *ret, struct why *why)
{
    struct rss rss;
    int r = rss_read(course->procfs, course->look.pid, course->rss_source, &rss, why);

    if (r == 0)
        *ret = rss.rss_bytes;
    return r;
}

static int choose_rss_source(struct course *course, struct why *why)
{
    int r = rss_status_is_exact(course->procfs, why);

    if (r < 0)
        return r;
    course->rss_source = r ? RSS_FROM_STATUS : RSS_FROM_SMAPS_ROLLUP;
    return 0;
}

/* What stands in the way everywhere in the process. */
static int find_obstacle(struct course *course, struct why *why)
{
    struct process_status status;
    int r = cure_find_sharer(course->procfs, course->look.pid, kernel_compare_memory,
                             &course->obstacle);

    if (r < 0)
        return why_set(why, r, "%s", course->obstacle.text);
    if (r)
        return 0;
    r = status_read(course->procfs, course->look.pid, &status, why);
    if (r == 0 && status.vm_pinned_bytes)
        why_set(&course->obstacle, 0,
                "the kernel holds pages of it for devices or io_uring (VmPin), and does not tell "
                "which");
    return r;
}

static int find_places(struct course *course, struct why *why)
{
    int r = cure_places_read(course->procfs, course->look.pid, &course->places, why);

    if (r == 0)
        r = find_obstacle(course, why);
    if (r == 0 && course->obstacle.text[0])
        cure_places_obstruct(&course->places, course->obstacle.text);
    return r;
}

static int predict_one(struct course *course, size_t index, struct why *why)
{
    struct cure_outcome *outcome = &course->out->cures[index];

    if (course->which[index] == CURE_ZERO_PAGES)
        return zero_pages_predict(&course->look.target, &course->places, &course->options->limits,
                                  &course->zero_pages, outcome, why);
    return free_pages_predict(&course->look, &course->places, &course->options->limits,
                              &course->free_pages, outcome, why);
}

static int predict(struct course *course, struct why *why)
{
    struct reclamation *out = course->out;
    int r = 0;

    for (enum cure cure = 0; r == 0 && cure < CURES; cure++) {
        if (!(course->options->cures & 1u << cure))
            continue;
        course->which[out->cure_count++] = cure;
        r = predict_one(course, out->cure_count - 1, why);
    }
    return r;
}

/* What is free and holds only zeros is gone when the zeros are: what is left for this one? */
static int predict_again(struct course *course, size_t index, struct why *why)
{
    if (course->which[index] != CURE_FREE_PAGES || reclamation_returned(course->out) == 0)
        return 0;
    free_pages_forget(&course->free_pages);
    cure_outcome_free(&course->out->cures[index]);
    course->out->cures[index] = (struct cure_outcome){0};
    return predict_one(course, index, why);
}

/* Where nothing can be done by any of the cures, the first one's reason is the whole answer. */
static int check_any(const struct reclamation *out, struct why *why)
{
    for (size_t i = 0; i < out->cure_count; i++)
        if (out->cures[i].error == 0)
            return 0;
    return why_set(why, out->cures[0].error, "%s", out->cures[0].reason.text);
}

/* A cure that could not be finished tells why itself; only that the process is gone is the end of
 * all. */
static int keep_error(struct cure_outcome *outcome, int error, const struct why *why)
{
    outcome->error = error;
    if (error)
        outcome->reason = *why;
    return error == -ESRCH || error == -ENOMEM ? error : 0;
}

static int apply_cure(struct course *course, size_t index, struct why *why)
{
    struct cure_outcome *outcome = &course->out->cures[index];

    if (course->which[index] == CURE_ZERO_PAGES)
        return zero_pages_apply(&course->look.target, &course->zero_pages, &course->options->limits,
                                outcome, why);
    return free_pages_apply(&course->look, &course->free_pages, &course->options->limits, outcome,
                            why);
}

static int apply_one(struct course *course, size_t index, struct why *why)
{
    struct cure_outcome *outcome = &course->out->cures[index];
    struct cgroup_memory before, after;
    int r;

    read_charge(course, &before);
    r = apply_cure(course, index, why);
    read_charge(course, &after);
    outcome->charge_known = before.charge_known && after.charge_known &&
                            strcmp(before.charge_path, after.charge_path) == 0;
    if (outcome->charge_known)
        outcome->returned_charge_bytes = (int64_t)(before.charge_bytes - after.charge_bytes);
    return keep_error(outcome, r, why);
}

static int apply(struct course *course, struct why *why)
{
    struct reclamation *out = course->out;
    int r = 0;

    for (size_t i = 0; r == 0 && i < out->cure_count; i++) {
        r = predict_again(course, i, why);
        if (r == 0 && out->cures[i].error == 0 && out->cures[i].predicted_rss_bytes &&
            !cure_is_interrupted(&course->options->limits))
            r = apply_one(course, i, why);
    }
    return r;
}

/* khugepaged makes a huge page of a range again when the program has used some of it. */
static bool refills(const struct course *course)
{
    struct thp_settings thp;

    return thp_settings_read(course->procfs, &thp) == 0 && thp.khugepaged_known &&
           thp.max_ptes_none > 0 && course->look.target.status.thp_enabled != 0 &&
           (strcmp(thp.enabled, "always") == 0 || strcmp(thp.enabled, "madvise") == 0);
}

static int begin(struct course *course, struct why *why)
{
    struct reclamation *out = course->out;
    int r = choose_rss_source(course, why);

    memcpy(out->comm, course->look.target.status.comm, sizeof out->comm);
    if (r == 0)
        r = find_places(course, why);
    if (r == 0)
        r = predict(course, why);
    if (r == 0)
        r = check_any(out, why);
    if (r == 0)
        r = read_rss(course, &out->rss_before_bytes, why);
    out->rss_after_bytes = out->rss_before_bytes;
    read_charge(course, &out->charge_before);
    out->charge_after = out->charge_before;
    out->thp_refills = refills(course);
    out->below_least = reclamation_predicted(out) < course->options->least_bytes;
    return r;
}

static int cure(struct course *course, uint64_t began, struct why *why)
{
    struct reclamation *out = course->out;
    struct cure_watch watch;
    int r = apply(course, why);

    if (r == 0)
        r = read_rss(course, &out->rss_after_bytes, why);
    read_charge(course, &out->charge_after);
    out->elapsed_ns = clock_now_ns() - began;
    out->interrupted = cure_is_interrupted(&course->options->limits);
    if (r == 0)
        r = cure_watch_begin(course->procfs, out->pid, course->rss_source, &watch, why);
    if (r == 0)
        r = cure_watch_run(&watch, course->options->watch_ns, &course->options->limits, &out->after,
                           why);
    out->interrupted |= cure_is_interrupted(&course->options->limits);
    return r;
}

static int run(struct course *course, void (*told)(void *, const struct reclamation *),
               void *context, struct why *why)
{
    struct reclamation *out = course->out;
    uint64_t began = clock_now_ns();
    int r = begin(course, why);
    bool acts = r == 0 && !out->dry_run && !out->below_least && reclamation_predicted(out) > 0 &&
                !cure_is_interrupted(&course->options->limits);

    out->elapsed_ns = clock_now_ns() - began;
    out->interrupted = cure_is_interrupted(&course->options->limits);
    if (!acts)
        return r;
    if (told)
        told(context, out);
    return cure(course, began, why);
}

int reclaim(const struct procfs *procfs, pid_t pid, const struct reclaim_options *options,
            void (*told)(void *context, const struct reclamation *prediction), void *context,
            struct reclamation *ret, struct why *why)
{
    struct reclamation out = {.pid = pid, .dry_run = options->dry_run};
    struct course course = {.procfs = procfs, .options = options, .out = &out};
    int r;

    course.look =
        (struct look){.procfs = procfs, .pid = pid, .out = &course.scratch, .no_stacks = true};
    r = target_open(&course.look.target, procfs, pid, why);
    if (r)
        return r;
    r = run(&course, told, context, why);
    look_close(&course.look);
    explanation_free(&course.scratch);
    out.pauses = course.look.target.pauses;
    free(course.places.items);
    free(course.zero_pages.items);
    free_pages_forget(&course.free_pages);
    if (r)
        reclamation_free(&out);
    else
        *ret = out;
    return r;
}
