/* residue keep: changes settings of a running process so that what was given back stays away. */
#include "cmd/keep.h"

#include <signal.h>

#include "base/cleanup.h"
#include "cmd/acting.h"
#include "cmd/progress-line.h"
#include "cmd/why.h"
#include "report/keep.h"

static const atomic_bool *interrupted;

static int keep_with_progress(const struct keep_command *c, const struct procfs *procfs,
                              struct keeping *ret, struct why *why)
{
    struct keep_options options = c->options;
    auto_close int directory = -1;
    struct progress_line line;
    sigset_t old;
    int r = keep_directory_open(&directory, why);

    if (r)
        return r;
    options.directory = directory;
    progress_line_begin(&line, !c->quiet);
    progress_line_task(&line, "process %d", (int)c->pid);
    options.limits.progress = progress_line_interface(&line);
    options.limits.interrupted = interrupted;
    why_hold_job_control(&old);
    r = keep(procfs, c->pid, &options, ret, why);
    why_release_job_control(&old);
    progress_line_end(&line);
    return r;
}

static int run(const struct keep_command *c, struct keeping *ret, struct why *why)
{
    struct procfs procfs;
    int r = why_check_page_size(why);

    if (r == 0)
        r = procfs_open(&procfs, "/", why);
    if (r)
        return r;
    r = keep_with_progress(c, &procfs, ret, why);
    procfs_close(&procfs);
    return r;
}

/* What only the next start can set, as the findings have it: what cannot be found has none. */
static void find_start_lines(const struct keep_command *c, struct start_lines *ret)
{
    struct why_options options = {.pid = c->pid, .quiet = c->quiet};
    struct explanation explanation;
    struct why missing = {""};
    bool known;

    *ret = (struct start_lines){0};
    if (c->options.undo || c->quiet)
        return;
    if (atomic_load(interrupted)) {
        why_set(&ret->missing, 0, "they were not looked for after the interrupt");
        return;
    }
    known = why_explain(&options, &explanation, &missing) == 0;
    start_lines_for(known ? &explanation : NULL, c->options.thresholds, ret);
    if (known)
        explanation_free(&explanation);
    else
        ret->missing = missing;
}

static int report(const struct keep_command *c, const struct keeping *keeping)
{
    struct report_style style = {.color = use_color(c->color),
                                 .utf8 = use_utf8(),
                                 .quiet = c->quiet,
                                 .width = output_width()};
    struct start_lines lines;

    find_start_lines(c, &lines);
    return c->json ? report_keep_json(keeping, &lines, stdout)
                   : report_keep_text(keeping, &lines, stdout, style);
}

int cmd_keep(int argc, char **argv)
{
    struct keep_command c;
    struct keeping keeping;
    struct why why = {0};
    bool fell_short;
    int r;

    keep_parse(argc, argv, &c);
    interrupted = begin_acting();
    r = run(&c, &keeping, &why);
    if (r)
        return cmd_fail("keep", r, &why);
    r = report(&c, &keeping);
    fell_short = keeping_fell_short(&keeping);
    keeping_free(&keeping);
    if (r && !ferror(stdout)) /* what cannot be written, main tells */
        return cmd_fail("keep", r, &why);
    return r ? exit_code_for(r) : fell_short ? EXIT_CODE_FELL_SHORT : EXIT_CODE_FINE;
}
