/* residue why: the ledger of one process, what holds its memory, and what would help. Changes
 * nothing. */
#include "cmd/why.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/range.h"
#include "cmd/progress-line.h"
#include "report/json.h"

/* Everything that is read of a process counts in pages of 4 KiB. */
int why_check_page_size(struct why *why)
{
    long size = sysconf(_SC_PAGESIZE);

    if (size == (long)PAGE_BYTES)
        return 0;
    return why_set(why, OUTCOME_NOT_POSSIBLE,
                   "this kernel's pages have %ld bytes; only pages of %ld are supported", size,
                   (long)PAGE_BYTES);
}

void why_hold_job_control(sigset_t *ret_old)
{
    sigset_t held;

    sigemptyset(&held);
    sigaddset(&held, SIGTSTP);
    sigaddset(&held, SIGTTIN);
    sigaddset(&held, SIGTTOU);
    sigprocmask(SIG_BLOCK, &held, ret_old);
}

void why_release_job_control(const sigset_t *old)
{
    sigprocmask(SIG_SETMASK, old, NULL);
}

struct report_style why_style(const struct why_options *options)
{
    return (struct report_style){.color = use_color(options->color),
                                 .utf8 = use_utf8(),
                                 .quiet = options->quiet,
                                 .arenas = options->arenas,
                                 .width = output_width()};
}

int why_explain(const struct why_options *o, struct explanation *ret, struct why *why)
{
    struct explain_options how = {.first_way = o->way,
                                  .no_stop = o->no_stop,
                                  .scan_small = o->scan_small,
                                  .threads = o->threads};
    struct progress_line line;
    struct procfs procfs;
    sigset_t old;
    int r = why_check_page_size(why);

    if (r == 0)
        r = procfs_open(&procfs, "/", why);
    if (r)
        return r;
    progress_line_begin(&line, !o->quiet);
    progress_line_task(&line, "looking at process %d", o->pid);
    how.progress = progress_line_interface(&line);
    why_hold_job_control(&old);
    r = explain(&procfs, o->pid, &how, ret, why);
    why_release_job_control(&old);
    progress_line_end(&line);
    procfs_close(&procfs);
    return r;
}

static int report(const struct why_options *o, const struct explanation *explanation)
{
    return o->json ? report_why_json(explanation, stdout)
                   : report_why_text(explanation, stdout, why_style(o));
}

static int why_one(const struct why_options *o)
{
    struct explanation explanation;
    struct why why = {0};
    int r;

    r = why_explain(o, &explanation, &why);
    if (r)
        return cmd_fail("why", r, &why);
    r = report(o, &explanation);
    explanation_free(&explanation);
    if (r && !ferror(stdout)) /* what cannot be written, main tells */
        return cmd_fail("why", r, &why);
    return exit_code_for(r);
}

int cmd_why(int argc, char **argv)
{
    struct why_options o;

    why_parse(argc, argv, &o);
    if (o.all || o.cgroup)
        return why_all(&o);
    return o.compare ? why_compare(&o) : why_one(&o);
}
