/* The arguments of `residue why`. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/why.h"
#include "explain/survey.h"

enum {
    OPTION_JSON = 256,
    OPTION_NO_STOP,
    OPTION_SCAN_SMALL,
    OPTION_COLOR,
    OPTION_ALL,
    OPTION_CGROUP,
    OPTION_TOP,
    OPTION_COMPARE,
    OPTION_ARENAS,
};

static const struct argp_option options[] = {
    {"all", OPTION_ALL, NULL, 0,
     "every process: what it holds by kind; of the largest also what can go back", 0},
    {"cgroup", OPTION_CGROUP, "PATH", 0,
     "the same for the processes of a cgroup and those below it, and how far it is to its limit",
     0},
    {"top", OPTION_TOP, "N", 0, "of how many to look into the heaps (10); 0: of none", 0},
    {"json", OPTION_JSON, NULL, 0,
     "print one JSON object (residue.why/1, residue.why-all/1) instead of text", 0},
    {"no-stop", OPTION_NO_STOP, NULL, 0,
     "never pause the process; figures of a busy heap are then approximate or missing", 0},
    {"scan-small", OPTION_SCAN_SMALL, NULL, 0,
     "also look for zero pages among small pages: slower, and it marks them as referenced", 0},
    {"arenas", OPTION_ARENAS, NULL, 0, "also tables of all arenas and of the largest size classes",
     0},
    {"compare", OPTION_COMPARE, "FILE", 0,
     "tell what has changed since FILE, an earlier JSON report; a later one may take the place of "
     "PID",
     0},
    {"color", OPTION_COLOR, "WHEN", 0, "auto (default), always or never", 0},
    {"quiet", 'q', NULL, 0, "print the headline only", 0},
    {0},
};

static int parse_top(const char *text, unsigned *ret)
{
    unsigned long value;
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return -EINVAL;
    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno || *end || value > INT_MAX)
        return -EINVAL;
    *ret = (unsigned)value;
    return 0;
}

static bool is_of_many(const struct why_options *o)
{
    return o->all || o->cgroup;
}

/* What can only be told once all arguments are known. */
static void check(const struct why_options *o, struct argp_state *state)
{
    if (is_of_many(o) && o->pid)
        usage_error(state, "either process %d or %s", o->pid, o->all ? "--all" : "--cgroup");
    if (o->all && o->cgroup)
        usage_error(state, "either --all or --cgroup");
    if (o->has_top && !is_of_many(o))
        usage_error(state, "--top is for --all and --cgroup");
    if (is_of_many(o) && o->compare)
        usage_error(state, "--compare is for one process, not for --all or --cgroup");
    if (o->arenas && (o->compare || is_of_many(o)))
        usage_error(state,
                    "--arenas is for a look at one process, not for --compare, --all or --cgroup");
    if (o->later_file && (o->no_stop || o->scan_small))
        usage_error(state, "two files are compared without a look at any process: --no-stop "
                           "and --scan-small change nothing there");
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct why_options *o = state->input;

    switch (key) {
    case OPTION_ALL:
        o->all = true;
        return 0;
    case OPTION_CGROUP:
        o->cgroup = arg;
        return 0;
    case OPTION_TOP:
        if (parse_top(arg, &o->top))
            usage_error(state, "--top takes a number, not '%s'", arg);
        o->has_top = true;
        return 0;
    case OPTION_JSON:
        o->json = true;
        return 0;
    case OPTION_NO_STOP:
        o->no_stop = true;
        return 0;
    case OPTION_SCAN_SMALL:
        o->scan_small = true;
        return 0;
    case OPTION_ARENAS:
        o->arenas = true;
        return 0;
    case OPTION_COMPARE:
        if (o->compare)
            usage_error(state, "--compare takes one file; another goes where the process id does");
        o->compare = arg;
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
        if (parse_pid(arg, &o->pid) == 0)
            return 0;
        if (o->compare)
            o->later_file = arg;
        else
            usage_error(state, "'%s' is not a process id", arg);
        return 0;
    case ARGP_KEY_INIT:
        if (threads_from_environment(&o->threads))
            usage_error(state, "RESIDUE_THREADS is set and not a number from 1 to 64");
        if (way_from_environment(&o->way))
            usage_error(state, "RESIDUE_WAY is set and none of still, moving and stopped");
        return 0;
    case ARGP_KEY_NO_ARGS:
        if (!is_of_many(o))
            usage_error(state, "which process? Try residue why PID, or residue why --all");
        return 0;
    case ARGP_KEY_END:
        check(o, state);
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

static const struct argp parser = {
    .options = options,
    .parser = parse_option,
    .args_doc = "PID\n--all\n--cgroup=PATH",
    .doc =
        "Tells which account every resident byte of a process belongs to, what mechanism holds the"
        " memory it does not use, and what would give it back. Changes nothing."
        "\vThe process is paused for milliseconds. man residue-why has the accounts, the JSON"
        " fields and the exit codes.",
};

void why_parse(int argc, char **argv, struct why_options *ret)
{
    *ret = (struct why_options){.top = SURVEY_TOP};
    argp_parse(&parser, argc, argv, 0, NULL, ret);
}
