/* residue reclaim: gives back what a process holds and does not need, and tells what came of it. */
#include "cmd/reclaim.h"

#include <signal.h>
#include <syslog.h>

#include "base/format.h"
#include "cmd/acting.h"
#include "cmd/progress-line.h"
#include "cmd/why.h"
#include "report/reclaim.h"

static const atomic_bool *interrupted;

/* Whoever wonders what happened to the process later must be able to find it out. */
static void log_begin(void *context, const struct reclamation *prediction)
{
    openlog("residue", LOG_PID, LOG_USER);
    for (size_t i = 0; i < prediction->cure_count; i++)
        if (prediction->cures[i].predicted_rss_bytes)
            syslog(LOG_NOTICE, "reclaim: process %d (%s): %s, %s predicted", prediction->pid,
                   prediction->comm, prediction->cures[i].name,
                   format_bytes(prediction->cures[i].predicted_rss_bytes).text);
}

static void log_end(const struct reclamation *reclamation)
{
    for (size_t i = 0; i < reclamation->cure_count; i++)
        if (reclamation->cures[i].applied)
            syslog(LOG_NOTICE, "reclaim: process %d (%s): %s, %s returned", reclamation->pid,
                   reclamation->comm, reclamation->cures[i].name,
                   format_bytes(reclamation->cures[i].returned_rss_bytes).text);
}

static int reclaim_with_progress(const struct reclaim_command *c, const struct procfs *procfs,
                                 struct reclamation *ret, struct why *why)
{
    struct reclaim_options options = c->options;
    struct progress_line line;
    sigset_t old;
    int r;

    progress_line_begin(&line, !c->quiet);
    progress_line_task(&line, "process %d", (int)c->pid);
    options.limits.progress = progress_line_interface(&line);
    options.limits.interrupted = interrupted;
    why_hold_job_control(&old);
    r = reclaim(procfs, c->pid, &options, log_begin, NULL, ret, why);
    why_release_job_control(&old);
    progress_line_end(&line);
    return r;
}

static int run(const struct reclaim_command *c, struct reclamation *ret, struct why *why)
{
    struct procfs procfs;
    int r = why_check_page_size(why);

    if (r == 0)
        r = procfs_open(&procfs, "/", why);
    if (r)
        return r;
    r = reclaim_with_progress(c, &procfs, ret, why);
    procfs_close(&procfs);
    return r;
}

static int report(const struct reclaim_command *c, const struct reclamation *reclamation)
{
    struct report_style style = {.color = use_color(c->color),
                                 .utf8 = use_utf8(),
                                 .quiet = c->quiet,
                                 .width = output_width()};

    return c->json ? report_reclaim_json(reclamation, stdout)
                   : report_reclaim_text(reclamation, stdout, style);
}

int cmd_reclaim(int argc, char **argv)
{
    struct reclaim_command c;
    struct reclamation reclamation;
    struct why why = {0};
    bool fell_short;
    int r;

    reclaim_parse(argc, argv, &c);
    interrupted = begin_acting();
    r = run(&c, &reclamation, &why);
    if (r)
        return cmd_fail("reclaim", r, &why);
    log_end(&reclamation);
    r = report(&c, &reclamation);
    fell_short = reclamation_fell_short(&reclamation);
    reclamation_free(&reclamation);
    if (r && !ferror(stdout)) /* what cannot be written, main tells */
        return cmd_fail("reclaim", r, &why);
    return r ? exit_code_for(r) : fell_short ? EXIT_CODE_FELL_SHORT : EXIT_CODE_FINE;
}
