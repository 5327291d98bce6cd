/* residue why --compare: what has changed since a report, or from one report to another. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/why.h"
#include "report/compare.h"
#include "report/snapshot-json.h"

/* What the later look is. */
struct later {
    struct snapshot snapshot;
    struct target_pauses pauses;
};

/* A file that cannot be opened was named by mistake; what is wrong in it, nobody can help here. */
static int fail_with_file(int error, const struct why *why)
{
    enum exit_code code = cmd_fail("why", error, why);

    return error < 0 && error != -ENOMEM ? EXIT_CODE_USAGE : (int)code;
}

static int look_now(const struct why_options *o, struct later *later, struct why *why)
{
    struct explanation explanation;
    int r = why_explain(o, &explanation, why);

    if (r)
        return r;
    later->pauses = explanation.pauses;
    r = snapshot_of(&explanation, &later->snapshot, why);
    explanation_free(&explanation);
    return r;
}

static int compare(const struct why_options *o, const struct snapshot *before,
                   const struct later *later)
{
    bool now = o->later_file == NULL;
    struct comparison comparison;
    struct compare_report report = {
        .comparison = &comparison, .now = now, .pauses = now ? &later->pauses : NULL};
    int r = compare_snapshots(before, &later->snapshot, &comparison);

    if (r == 0) {
        r = o->json ? report_compare_json(&report, stdout)
                    : report_compare_text(&report, stdout, why_style(o));
        comparison_free(&comparison);
    }
    if (r && !ferror(stdout)) /* what cannot be written, main tells */
        return cmd_fail("why", r, &(struct why){""});
    return exit_code_for(r);
}

static int compare_with(const struct why_options *o, const struct snapshot *before)
{
    struct later later = {0};
    struct why why = {0};
    int r = o->later_file ? snapshot_read(o->later_file, &later.snapshot, &why)
                          : look_now(o, &later, &why);

    if (r)
        return o->later_file ? fail_with_file(r, &why) : (int)cmd_fail("why", r, &why);
    r = compare(o, before, &later);
    snapshot_free(&later.snapshot);
    return r;
}

/* The report is read first: a process need not pause for one that is of no use. */
int why_compare(const struct why_options *options)
{
    struct snapshot before;
    struct why why = {0};
    int r = snapshot_read(options->compare, &before, &why);

    if (r)
        return fail_with_file(r, &why);
    r = compare_with(options, &before);
    snapshot_free(&before);
    return r;
}
