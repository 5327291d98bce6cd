/* residue why: the ledger of one process, what holds its memory, and what would help. Changes
 * nothing. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/range.h"
#include "cmd/cmd.h"
#include "explain/explain.h"
#include "report/json.h"
#include "report/text.h"

struct why_options {
    pid_t pid;
    unsigned threads;
    bool json, no_stop, scan_small, quiet;
    enum color_when color;
};

enum { OPTION_JSON = 256, OPTION_NO_STOP, OPTION_SCAN_SMALL, OPTION_COLOR };

static const struct argp_option options[] = {
    {"json", OPTION_JSON, NULL, 0, "print one JSON object (residue.why/1) instead of text", 0},
    {"no-stop", OPTION_NO_STOP, NULL, 0,
     "never pause the process; figures of a busy heap are then approximate or missing", 0},
    {"scan-small", OPTION_SCAN_SMALL, NULL, 0,
     "also look for zero pages among small pages: slower, and it marks them as referenced", 0},
    {"color", OPTION_COLOR, "WHEN", 0, "auto (default), always or never", 0},
    {"quiet", 'q', NULL, 0, "print the headline only", 0},
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct why_options *o = state->input;

    switch (key) {
    case OPTION_JSON:
        o->json = true;
        return 0;
    case OPTION_NO_STOP:
        o->no_stop = true;
        return 0;
    case OPTION_SCAN_SMALL:
        o->scan_small = true;
        return 0;
    case 'q':
        o->quiet = true;
        return 0;
    case OPTION_COLOR:
        if (parse_color(arg, &o->color))
            usage_error(state, "--color takes auto, always or never, not '%s'", arg);
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            usage_error(state, "one process id at a time; '%s' is one too many", arg);
        if (parse_pid(arg, &o->pid))
            usage_error(state, "'%s' is not a process id", arg);
        return 0;
    case ARGP_KEY_INIT:
        if (threads_from_environment(&o->threads))
            usage_error(state, "RESIDUE_THREADS is set and not a number from 1 to 64");
        return 0;
    case ARGP_KEY_NO_ARGS:
        usage_error(state, "which process? Try residue why PID");
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

static const struct argp parser = {
    .options = options,
    .parser = parse_option,
    .args_doc = "PID",
    .doc =
        "Tells which account every resident byte of a process belongs to, what mechanism holds the"
        " memory it does not use, and what would give it back. Changes nothing."
        "\vThe process is paused for milliseconds. man residue-why has the accounts, the JSON"
        " fields and the exit codes.",
};

/* Everything that is read of a process counts in pages of 4 KiB. */
static int check_page_size(struct why *why)
{
    long size = sysconf(_SC_PAGESIZE);

    if (size == (long)PAGE_BYTES)
        return 0;
    return why_set(why, OUTCOME_NOT_POSSIBLE,
                   "this kernel's pages have %ld bytes; only pages of %ld are supported", size,
                   (long)PAGE_BYTES);
}

/* Ctrl-Z must wait: stopped ourselves, we would keep the process stopped, too. */
static void hold_job_control(sigset_t *old)
{
    sigset_t held;

    sigemptyset(&held);
    sigaddset(&held, SIGTSTP);
    sigaddset(&held, SIGTTIN);
    sigaddset(&held, SIGTTOU);
    sigprocmask(SIG_BLOCK, &held, old);
}

static int explain_here(const struct why_options *o, struct explanation *ret, struct why *why)
{
    struct explain_options how = {
        .no_stop = o->no_stop, .scan_small = o->scan_small, .threads = o->threads};
    struct procfs procfs;
    sigset_t old;
    int r = procfs_open(&procfs, "/", why);

    if (r)
        return r;
    hold_job_control(&old);
    r = explain(&procfs, o->pid, &how, ret, why);
    sigprocmask(SIG_SETMASK, &old, NULL);
    procfs_close(&procfs);
    return r;
}

static int report(const struct why_options *o, const struct explanation *explanation)
{
    struct report_style style = {.color = use_color(o->color),
                                 .utf8 = use_utf8(),
                                 .quiet = o->quiet,
                                 .width = output_width()};

    return o->json ? report_why_json(explanation, stdout)
                   : report_why_text(explanation, stdout, style);
}

int cmd_why(int argc, char **argv)
{
    struct why_options o = {0};
    struct explanation explanation;
    struct why why = {0};
    int r;

    argp_parse(&parser, argc, argv, 0, NULL, &o);
    r = check_page_size(&why);
    if (r == 0)
        r = explain_here(&o, &explanation, &why);
    if (r)
        return cmd_fail("why", r, &why);
    r = report(&o, &explanation);
    explanation_free(&explanation);
    if (r && !ferror(stdout)) /* what cannot be written, main tells */
        return cmd_fail("why", r, &why);
    return exit_code_for(r);
}
