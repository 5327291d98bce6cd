#include "cure/keep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/vector.h"
#include "cure/keep-cost.h"
#include "cure/keep-course.h"
#include "cure/keep-every.h"
#include "cure/keep-huge-pages.h"
#include "inject/journal.h"
#include "procfs/smaps.h"
#include "procfs/thp.h"

enum { TRIES = 5 };

void keeping_free(struct keeping *keeping)
{
    free(keeping->refusals.items);
    *keeping = (struct keeping){0};
}

bool keeping_fell_short(const struct keeping *keeping)
{
    return keeping->refusals.count > 0 || keeping->cost.taken_back;
}

void keep_log(const struct keep_course *course, const struct keep_change *change, bool undo,
              bool done)
{
    uint64_t from = undo ? change->after : change->before;
    uint64_t to = undo ? change->before : change->after;

    if (from != to)
        journal_write(course->procfs, "keep: process %d (%s): %s %s from %llu to %llu",
                      (int)course->out->pid, course->out->comm, done ? "has set" : "sets",
                      keep_setting_name(change->setting), (unsigned long long)from,
                      (unsigned long long)to);
}

int keep_refuse(struct keep_course *course, const char *what, int error, const struct why *why)
{
    struct keep_refusal refusal = {what, error, *why};

    if (error == -ESRCH && target_is_same(&course->look.target))
        refusal.error = error = why_set(
            &refusal.reason, OUTCOME_NOT_POSSIBLE,
            "the process that held it for us was killed; residue keep --undo %d sets back what was "
            "done until then",
            (int)course->out->pid);
    if (error == -ESRCH || error == -ENOMEM)
        return error;
    return vector_push(&course->out->refusals, refusal);
}

void keep_note_change(struct keep_course *course, struct keep_change change)
{
    if (change.before != change.after && course->out->changed_count < KEEP_SETTINGS)
        course->out->changed[course->out->changed_count++] = change;
}

/*
 * What is to be undone is what there was before the first of several changes. Where something else
 * is set now than was left, the value of now is.
 */
int keep_write_down(struct keep_course *course, const struct keep_change *changes, size_t count,
                    struct why *why)
{
    struct keep_state state = course->state;
    int r;

    for (size_t i = 0; i < count; i++) {
        const struct keep_change *earlier = keep_state_find(&state, changes[i].setting);
        struct keep_change change = changes[i];

        if (earlier && earlier->after == change.before)
            change.before = earlier->before;
        keep_state_put(&state, change);
    }
    r = keep_state_save(course->options->directory, &state, why);
    if (r == 0)
        course->state = state;
    return r;
}

static int add_entry(void *context, const struct smaps_entry *entry)
{
    struct keeping *out = context;

    out->huge_bytes += entry->anon_huge_bytes;
    out->asks_for_huge_pages |= entry->thp_advised;
    return 0;
}

/* What the program asks for itself is left to it where the others can be told apart. */
static int choose(struct keep_course *course, const struct thp_settings *thp, uint64_t *ret,
                  struct why *why)
{
    enum keep_huge_choice choice = course->options->huge_pages;
    bool tries = choice == KEEP_HUGE_ONLY_ADVISED ||
                 (choice == KEEP_HUGE_AUTO && course->out->asks_for_huge_pages &&
                  strcmp(thp->enabled, "always") == 0);
    bool can = tries && keep_huge_pages_can_leave_advised();

    if (!can && choice == KEEP_HUGE_ONLY_ADVISED)
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "only Linux 6.18 and later can keep huge pages away but where a program "
                       "asks for them; --huge-pages=none keeps all of them away");
    *ret = can ? KEEP_HUGE_ADVISED : KEEP_HUGE_OFF;
    return 0;
}

static int set_huge_pages(struct keep_course *course, uint64_t wanted, struct why *why)
{
    struct keep_change change = {.setting = KEEP_HUGE_PAGES, .after = wanted};
    int r = OUTCOME_TORN;

    for (int i = 0; r == OUTCOME_TORN && i < TRIES; i++) {
        r = keep_huge_pages_read(&course->look.target, &change.before, why);
        if (r)
            return r;
        course->out->huge_pages_kept = change.before == wanted || change.before == KEEP_HUGE_OFF;
        if (course->out->huge_pages_kept)
            return 0;
        r = keep_write_down(course, &change, 1, why);
        if (r)
            return r;
        keep_log(course, &change, false, false);
        r = keep_huge_pages_set(&course->look.target, change.before, wanted, why);
    }
    if (r)
        return r;
    keep_note_change(course, change);
    keep_log(course, &change, false, true);
    course->out->advised_kept = wanted == KEEP_HUGE_ADVISED;
    return 0;
}

static int keep_huge_pages(struct keep_course *course, struct why *why)
{
    const struct process_status *status = &course->look.target.status;
    struct thp_settings thp;
    uint64_t wanted = KEEP_HUGE_OFF;
    int r = smaps_each(course->procfs, course->out->pid, add_entry, course->out, why);

    if (r)
        return r;
    if (status->thp_enabled < 0)
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "this kernel does not tell whether a process may have huge pages "
                       "(THP_enabled in status, Linux 5.0), so that it could not be verified");
    course->out->huge_pages_kept = status->thp_enabled == 0;
    if (course->out->huge_pages_kept)
        return 0;
    if (thp_settings_read(course->procfs, &thp) != 0)
        thp = (struct thp_settings){0};
    r = choose(course, &thp, &wanted, why);
    return r ? r : set_huge_pages(course, wanted, why);
}

static int undo_huge_pages(struct keep_course *course, const struct keep_change *change,
                           struct why *why)
{
    uint64_t now;
    int r = keep_huge_pages_read(&course->look.target, &now, why);

    if (r || now == change->before)
        return r;
    if (now != change->after)
        return why_set(why, OUTCOME_TORN,
                       "somebody else has set since whether it may have huge pages, and that is "
                       "left");
    keep_log(course, change, true, false);
    r = keep_huge_pages_set(&course->look.target, change->after, change->before, why);
    if (r)
        return r;
    keep_note_change(course, (struct keep_change){change->setting, change->after, change->before});
    keep_log(course, change, true, true);
    return 0;
}

/* What is no longer as it was set is told, left, and done with; for other reasons one may try
 * again. */
static int undo_one(struct keep_course *course, const char *what, int r, bool *ret_again,
                    const struct why *why)
{
    *ret_again |= r && r != OUTCOME_TORN;
    return r ? keep_refuse(course, what, r, why) : 0;
}

static int undo(struct keep_course *course, struct why *why)
{
    const struct keep_change *huge = keep_state_find(&course->state, KEEP_HUGE_PAGES);
    bool again = false;
    int r = 0;

    course->out->nothing_to_undo = course->state.count == 0;
    if (course->out->nothing_to_undo)
        return 0;
    if (course->state.parameters)
        r = undo_one(course, "thresholds", keep_thresholds_undo(course, why), &again, why);
    if (r == 0 && huge)
        r = undo_one(course, "huge-pages", undo_huge_pages(course, huge, why), &again, why);
    if (r == 0 && !again)
        r = keep_state_remove(course->options->directory, &course->state, why);
    return r;
}

static int do_all(struct keep_course *course, struct why *why)
{
    const struct keep_options *options = course->options;
    int r = 0;

    if (options->huge_pages != KEEP_HUGE_LEAVE) {
        r = keep_huge_pages(course, why);
        if (r)
            r = keep_refuse(course, "huge-pages", r, why);
    }
    if (r == 0 && options->thresholds && !cure_is_interrupted(&options->limits)) {
        r = keep_thresholds(course, why);
        if (r)
            r = keep_refuse(course, "thresholds", r, why);
    }
    return r;
}

/* Where nothing at all could be done, the first reason is the whole answer. */
static int check_any(const struct keeping *out, struct why *why)
{
    bool any = out->changed_count || out->huge_pages_kept || out->thresholds_kept ||
               out->nothing_to_undo || out->cost.taken_back;

    if (any || out->refusals.count == 0)
        return 0;
    return why_set(why, out->refusals.items[0].error, "%s", out->refusals.items[0].reason.text);
}

static int begin(struct keep_course *course, struct why *why)
{
    struct keep_state *state = &course->state;
    struct keeping *out = course->out;
    int r;

    memcpy(out->comm, course->look.target.status.comm, sizeof out->comm);
    *state = (struct keep_state){.pid = out->pid};
    process_identity_read(course->procfs, out->pid, &state->identity);
    if (!state->identity.known || !target_is_same(&course->look.target))
        return why_set(why, OUTCOME_NOT_POSSIBLE,
                       "when process %d began, or the id of this run of the kernel, cannot be read "
                       "from /proc, so that what is changed could not be undone",
                       (int)out->pid);
    keep_directory_sweep(course->options->directory, course->procfs);
    r = keep_state_load(course->options->directory, out->pid, &state->identity, state, why);
    return r == OUTCOME_NOT_FOUND ? 0 : r;
}

static int run(struct keep_course *course, struct why *why)
{
    int r = begin(course, why);

    if (r == 0)
        r = course->options->undo ? undo(course, why) : do_all(course, why);
    course->out->interrupted = cure_is_interrupted(&course->options->limits);
    return r ? r : check_any(course->out, why);
}

int keep(const struct procfs *procfs, pid_t pid, const struct keep_options *options,
         struct keeping *ret, struct why *why)
{
    struct keeping out = {.pid = pid, .undo = options->undo};
    struct explanation scratch = {0}; /* of `look`, for nobody */
    struct keep_course course = {.procfs = procfs, .options = options, .out = &out};
    int r;

    course.look = (struct look){.procfs = procfs, .pid = pid, .out = &scratch, .no_stacks = true};
    r = target_open(&course.look.target, procfs, pid, why);
    if (r)
        return r;
    course.look.target.guarded = true;
    r = run(&course, why);
    look_close(&course.look);
    explanation_free(&scratch);
    out.pauses = course.look.target.pauses;
    if (r == 0 && options->every_ns && !options->undo && !out.interrupted)
        r = keep_every(procfs, options, &course.state.identity, &out);
    if (r)
        keeping_free(&out);
    else
        *ret = out;
    return r;
}
