/* The arguments of `residue keep`. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "cmd/keep.h"
#include "cmd/reclaim.h"

enum {
    OPTION_JSON = 256,
    OPTION_COLOR,
    OPTION_UNDO,
    OPTION_THRESHOLDS,
    OPTION_HUGE_PAGES,
    OPTION_WATCH_FOR,
    OPTION_EVERY,
};

enum { FAULTS_PERMILLE = 20 }; /* of a processor */
#define WATCH_NS      (10 * NS_PER_S)
#define EVERY_MOST_NS (UINT64_C(24) * 3600 * NS_PER_S)

enum { SPLIT_FROM = 25 }; /* percent: as of residue reclaim */
#define MAX_PAUSE_NS (5 * NS_PER_MS)

static const struct argp_option options[] = {
    {"undo", OPTION_UNDO, NULL, 0, "set back what was changed", 0},
    {"thresholds", OPTION_THRESHOLDS, NULL, 0,
     "pin glibc's thresholds, too: large blocks go back to the kernel when they are freed, and "
     "each "
     "costs page faults",
     0},
    {"huge-pages", OPTION_HUGE_PAGES, "WHICH", 0,
     "which to let it have: none, advised (where it asks for them), auto (default: none, or "
     "advised "
     "where the system makes them everywhere and the program asks for some), leave (as it is)",
     0},
    {"watch-for", OPTION_WATCH_FOR, "TIME", 0,
     "count page faults for so long (10s) after the thresholds were pinned, and set them back if "
     "they take more than 2 % of a processor",
     0},
    {"every", OPTION_EVERY, "TIME", 0,
     "then give memory back each so often (30s), as residue reclaim does, and when the kernel is "
     "pressed for memory, less often while that does not pay; until Ctrl-C",
     0},
    {"json", OPTION_JSON, NULL, 0, "print one JSON object (residue.keep/1) instead of text", 0},
    {"color", OPTION_COLOR, "WHEN", 0, "auto (default), always or never", 0},
    {"quiet", 'q', NULL, 0, "print the headline only", 0},
    {0},
};

static void parse_huge_pages(const char *text, struct argp_state *state, enum keep_huge_choice *ret)
{
    static const char *const names[] = {[KEEP_HUGE_AUTO] = "auto",
                                        [KEEP_HUGE_NONE] = "none",
                                        [KEEP_HUGE_ONLY_ADVISED] = "advised",
                                        [KEEP_HUGE_LEAVE] = "leave"};

    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(text, names[i]) == 0) {
            *ret = i;
            return;
        }
    usage_error(state, "--huge-pages takes none, advised, auto or leave, not '%s'", text);
}

static void check(const struct keep_command *c, struct argp_state *state)
{
    const struct keep_options *o = &c->options;

    if (o->undo && (o->thresholds || o->every_ns || o->huge_pages != KEEP_HUGE_AUTO))
        usage_error(state, "--undo sets back all that was changed; it goes with no other choice");
    if (!o->undo && o->huge_pages == KEEP_HUGE_LEAVE && !o->thresholds && !o->every_ns)
        usage_error(state,
                    "--huge-pages=leave without --thresholds or --every leaves nothing to do");
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct keep_command *c = state->input;

    switch (key) {
    case OPTION_UNDO:
        c->options.undo = true;
        return 0;
    case OPTION_THRESHOLDS:
        c->options.thresholds = true;
        return 0;
    case OPTION_HUGE_PAGES:
        parse_huge_pages(arg, state, &c->options.huge_pages);
        return 0;
    case OPTION_WATCH_FOR:
        if (parse_duration(arg, &c->options.watch_ns))
            usage_error(state, "--watch-for takes a time like 30s, not '%s'", arg);
        return 0;
    case OPTION_EVERY:
        if (parse_duration(arg, &c->options.every_ns) || c->options.every_ns < NS_PER_S ||
            c->options.every_ns > EVERY_MOST_NS)
            usage_error(state, "--every takes a time from 1s to 24 hours, not '%s'", arg);
        return 0;
    case OPTION_JSON:
        c->json = true;
        return 0;
    case 'q':
        c->quiet = true;
        return 0;
    case OPTION_COLOR:
        if (parse_color(arg, &c->color))
            usage_error(state, "--color takes auto, always or never, not '%s'", arg);
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            usage_error(state, "one process id at a time; '%s' is one too many", arg);
        if (parse_pid(arg, &c->pid))
            usage_error(state, "'%s' is not a process id", arg);
        return 0;
    case ARGP_KEY_NO_ARGS:
        usage_error(state, "which process? Try residue keep PID");
        return 0;
    case ARGP_KEY_SUCCESS:
        check(c, state);
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

static const struct argp parser = {
    .options = options,
    .parser = parse_option,
    .args_doc = "PID",
    .doc = "Changes settings of a running process so that its memory does not grow again: no huge "
           "pages, which khugepaged would fill up with zeros, and with --thresholds large blocks "
           "that go back to the kernel when they are freed. All of it can be undone. Memory that "
           "is held already stays: residue reclaim gives it back."
           "\vman residue-keep has what it costs, the JSON fields and the exit codes.",
};

void keep_parse(int argc, char **argv, struct keep_command *ret)
{
    *ret = (struct keep_command){
        .options = {.watch_ns = WATCH_NS,
                    .permille = FAULTS_PERMILLE,
                    .directory = -1,
                    .limits = {.split_percent = SPLIT_FROM, .pause_ns = MAX_PAUSE_NS}}};
    argp_parse(&parser, argc, argv, 0, NULL, ret);
}
