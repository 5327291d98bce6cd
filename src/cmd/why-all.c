/* residue why --all and --cgroup: many processes in one table. */
#include <stdio.h>

#include "cmd/progress-line.h"
#include "cmd/why.h"
#include "explain/survey.h"
#include "report/survey.h"

static void tell_next(void *context, size_t number, size_t count,
                      const struct survey_process *process)
{
    progress_line_task(context, "decoding %zu of %zu: %s %d", number, count, process->comm,
                       process->pid);
}

static int survey_here(const struct why_options *o, struct progress_line *line, struct survey *ret,
                       struct why *why)
{
    struct survey_options how = {
        .cgroup = o->cgroup,
        .top = o->top,
        .explain = {.no_stop = o->no_stop, .scan_small = o->scan_small, .threads = o->threads},
        .next = tell_next,
        .context = line,
        .compare = kernel_compare_memory,
    };
    struct procfs procfs;
    sigset_t old;
    int r = why_check_page_size(why);

    if (r == 0)
        r = procfs_open(&procfs, "/", why);
    if (r)
        return r;
    how.explain.progress = progress_line_interface(line);
    progress_line_task(line, "looking at processes");
    why_hold_job_control(&old);
    r = survey(&procfs, &how, ret, why);
    why_release_job_control(&old);
    procfs_close(&procfs);
    return r;
}

int why_all(const struct why_options *o)
{
    struct progress_line line;
    struct survey survey;
    struct why why = {0};
    int r;

    progress_line_begin(&line, !o->quiet);
    r = survey_here(o, &line, &survey, &why);
    progress_line_end(&line);
    if (r)
        return cmd_fail("why", r, &why);
    r = o->json ? report_survey_json(&survey, stdout)
                : report_survey_text(&survey, stdout, why_style(o));
    survey_free(&survey);
    if (r && !ferror(stdout)) /* what cannot be written, main tells */
        return cmd_fail("why", r, &why);
    return exit_code_for(r);
}
