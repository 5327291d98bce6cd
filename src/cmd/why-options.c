/* The arguments of `residue why`. */
#include <string.h>

#include "cmd/why.h"

enum { OPTION_JSON = 256, OPTION_NO_STOP, OPTION_SCAN_SMALL, OPTION_COLOR, OPTION_COMPARE };

static const struct argp_option options[] = {
    {"json", OPTION_JSON, NULL, 0, "print one JSON object (residue.why/1) instead of text", 0},
    {"no-stop", OPTION_NO_STOP, NULL, 0,
     "never pause the process; figures of a busy heap are then approximate or missing", 0},
    {"scan-small", OPTION_SCAN_SMALL, NULL, 0,
     "also look for zero pages among small pages: slower, and it marks them as referenced", 0},
    {"compare", OPTION_COMPARE, "FILE", 0,
     "tell what has changed since FILE, an earlier JSON report; a later one may take the place of "
     "PID",
     0},
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
        return 0;
    case ARGP_KEY_END:
        if (o->later_file && (o->no_stop || o->scan_small))
            usage_error(state, "two files are compared without a look at any process: --no-stop "
                               "and --scan-small change nothing there");
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

void why_parse(int argc, char **argv, struct why_options *ret)
{
    *ret = (struct why_options){0};
    argp_parse(&parser, argc, argv, 0, NULL, ret);
}
