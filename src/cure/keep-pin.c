/* Pinning glibc's thresholds: written down, set, seen to hold, watched, and set back if it costs
 * too much. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "cure/keep-cost.h"
#include "cure/keep-course.h"
#include "cure/sharers.h"

enum { TRIES = 5 };
#define NAP_NS    (NS_PER_S / 20)
#define BEFORE_NS NS_PER_S /* faults are counted for so long before anything is set */
#define SETTLE_NS                                                                                  \
    (20 * NS_PER_MS) /* in which a thread that was about to store something has done so */

/* The thresholds among what is written down. */
static struct keep_state thresholds_of(const struct keep_state *state)
{
    struct keep_state found = *state;

    found.count = 0;
    for (size_t i = 0; i < state->count; i++)
        if (state->changes[i].setting != KEEP_HUGE_PAGES)
            found.changes[found.count++] = state->changes[i];
    return found;
}

static void log_all(const struct keep_course *course, const struct keep_state *changes, bool undo,
                    bool done)
{
    for (size_t i = 0; i < changes->count; i++)
        keep_log(course, &changes->changes[i], undo, done);
}

static bool all_done(const struct keep_state *changes, const enum keep_done *done)
{
    for (size_t i = 0; i < changes->count; i++)
        if (done[changes->changes[i].setting] == KEEP_LEFT)
            return false;
    return true;
}

/* All threads could be held, but not those of another process that has the same memory. */
static int check_sharers(const struct keep_course *course, struct why *why)
{
    struct why reason;
    int r = cure_find_sharer(course->procfs, course->out->pid, kernel_compare_memory, &reason);

    return r ? why_set(why, r, "%s", reason.text) : 0;
}

/* One attempt. OUTCOME_TORN: the process changed something meanwhile; once more. */
static int pin_once(struct keep_course *course, struct keep_state *plan,
                    struct heap_setting_places *places, struct why *why)
{
    enum keep_done done[KEEP_SETTINGS] = {KEEP_LEFT};
    bool hold = false;
    int r;

    *plan = (struct keep_state){.pid = course->state.pid, .identity = course->state.identity};
    r = keep_thresholds_plan(&course->look, plan, why);
    if (r || plan->count == 0)
        return r;
    course->state.parameters = plan->parameters;
    r = keep_write_down(course, plan->changes, plan->count, why);
    if (r)
        return r;
    log_all(course, plan, false, false);
    r = keep_thresholds_set(&course->look, plan, false, done, places, why);
    if (r)
        return r;
    clock_sleep_ns(SETTLE_NS);
    if (all_done(plan, done))
        r = keep_thresholds_hold(&course->look, plan, places, &hold, why);
    if (r == 0 && !hold)
        r = why_set(why, OUTCOME_TORN,
                    "the program changes its thresholds itself all the time: none of %d tries held",
                    TRIES);
    return r;
}

static int pin(struct keep_course *course, struct keep_state *plan,
               struct heap_setting_places *places, struct why *why)
{
    int r = OUTCOME_TORN;

    for (int i = 0; r == OUTCOME_TORN && i < TRIES; i++)
        r = pin_once(course, plan, places, why);
    return r;
}

/* Counts the faults of at most `length_ns`; with `ends_early`, until they are too many. */
static int count_faults(struct keep_course *course, uint64_t length_ns, uint64_t *ret_ns,
                        uint64_t *ret_faults, bool ends_early, struct why *why)
{
    const struct keep_options *options = course->options;
    uint64_t began = clock_now_ns();
    struct page_faults first, now;
    int r = page_faults_read(course->procfs, course->out->pid, &first, why);

    while (r == 0) {
        r = page_faults_read(course->procfs, course->out->pid, &now, why);
        if (r)
            break;
        *ret_ns = clock_now_ns() - began;
        *ret_faults = now.minor + now.major - first.minor - first.major;
        if (*ret_ns >= length_ns || cure_is_interrupted(&options->limits) ||
            (ends_early &&
             keep_cost_exceeds(&course->out->cost, options->watch_ns, options->permille)))
            break;
        progress_tell(&options->limits.progress,
                      ends_early ? "watching what it costs" : "counting page faults", *ret_ns,
                      length_ns);
        clock_sleep_ns(length_ns - *ret_ns < NAP_NS ? length_ns - *ret_ns : NAP_NS);
    }
    return r;
}

/* Nothing of them is to be undone any more. */
static int forget(struct keep_course *course, struct why *why)
{
    const struct keep_change *huge = keep_state_find(&course->state, KEEP_HUGE_PAGES);
    struct keep_state state = {.pid = course->state.pid, .identity = course->state.identity};
    int r;

    if (huge)
        keep_state_put(&state, *huge);
    r = huge ? keep_state_save(course->options->directory, &state, why)
             : keep_state_remove(course->options->directory, &state, why);
    if (r == 0)
        course->state = state;
    return r;
}

static int take_back(struct keep_course *course, struct why *why)
{
    struct keep_state changes = thresholds_of(&course->state);
    enum keep_done done[KEEP_SETTINGS] = {KEEP_LEFT};
    struct heap_setting_places places;
    int r;

    log_all(course, &changes, true, false);
    r = keep_thresholds_set(&course->look, &changes, true, done, &places, why);
    if (r)
        return why_prefix(why, r,
                          "page faults take too much of the processor now, and the thresholds "
                          "could not be set back (residue keep --undo %d tries again)",
                          (int)course->out->pid);
    log_all(course, &changes, true, true);
    course->out->cost.taken_back = true;
    return forget(course, why);
}

static int watch(struct keep_course *course, const struct keep_state *plan,
                 const struct heap_setting_places *places, struct why *why)
{
    struct keep_cost *cost = &course->out->cost;
    bool hold;
    int r = count_faults(course, course->options->watch_ns, &cost->watched_ns, &cost->faults, true,
                         why);

    if (r)
        return r;
    if (keep_cost_exceeds(cost, course->options->watch_ns, course->options->permille))
        return take_back(course, why);
    r = keep_thresholds_hold(&course->look, plan, places, &hold, why);
    if (r == 0 && !hold)
        r = why_set(why, OUTCOME_TORN, "the program has set its thresholds itself since then");
    for (size_t i = 0; r == 0 && i < plan->count; i++)
        keep_note_change(course, plan->changes[i]);
    return r;
}

int keep_thresholds(struct keep_course *course, struct why *why)
{
    struct keep_cost *cost = &course->out->cost;
    struct heap_setting_places places;
    struct keep_state plan;
    int r = check_sharers(course, why);

    if (r == 0 && course->options->watch_ns)
        r = count_faults(course, BEFORE_NS, &cost->before_ns, &cost->faults_before, false, why);
    if (r == 0)
        r = pin(course, &plan, &places, why);
    if (r)
        return r;
    course->out->thresholds_kept = plan.count == 0;
    if (plan.count == 0)
        return 0;
    log_all(course, &plan, false, true);
    keep_cost_measure(cost);
    if (course->options->watch_ns)
        return watch(course, &plan, &places, why);
    for (size_t i = 0; i < plan.count; i++)
        keep_note_change(course, plan.changes[i]);
    return 0;
}

/* We were killed before they were made static: then free() has gone on to raise them. */
static bool is_own_rule(const struct keep_change *change, const enum keep_done *done)
{
    return done[KEEP_STATIC] == KEEP_ALREADY &&
           (change->setting == KEEP_TRIM_THRESHOLD || change->setting == KEEP_MMAP_THRESHOLD);
}

int keep_thresholds_undo(struct keep_course *course, struct why *why)
{
    struct keep_state changes = thresholds_of(&course->state);
    enum keep_done done[KEEP_SETTINGS] = {KEEP_LEFT};
    struct heap_setting_places places;
    int r = look_at_mappings(&course->look, why);

    if (r)
        return r;
    log_all(course, &changes, true, false);
    r = keep_thresholds_set(&course->look, &changes, true, done, &places, why);
    if (r)
        return r;
    for (size_t i = 0; i < changes.count; i++) {
        const struct keep_change *change = &changes.changes[i];

        if (done[change->setting] == KEEP_LEFT && is_own_rule(change, done))
            continue;
        if (done[change->setting] == KEEP_LEFT) {
            r = why_set(why, OUTCOME_TORN,
                        "%s is no longer what was set: somebody else has set it since, and it is "
                        "left",
                        keep_setting_name(change->setting));
            continue;
        }
        if (done[change->setting] == KEEP_ALREADY)
            continue;
        keep_note_change(course,
                         (struct keep_change){change->setting, change->after, change->before});
        keep_log(course, change, true, true);
    }
    return r;
}
