/* The arguments of `residue reclaim`. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "cmd/reclaim.h"

enum {
    OPTION_JSON = 256,
    OPTION_COLOR,
    OPTION_DRY_RUN,
    OPTION_ONLY,
    OPTION_WATCH_FOR,
    OPTION_MIN_BYTES,
    OPTION_SPLIT_FROM,
    OPTION_MAX_PAUSE,
    OPTION_NO_INJECT,
};

enum { SPLIT_FROM = 25 }; /* percent */
#define MAX_PAUSE_NS (5 * NS_PER_MS)

static const struct argp_option options[] = {
    {"dry-run", OPTION_DRY_RUN, NULL, 0, "predict, and change nothing", 0},
    {"only", OPTION_ONLY, "CURES", 0,
     "these cures, with commas between them: zero-pages, free-pages", 0},
    {"max-pause", OPTION_MAX_PAUSE, "TIME", 0,
     "stop the process for no longer than this at a time (5ms), where that is enough to list what "
     "is free",
     0},
    {"no-inject", OPTION_NO_INJECT, NULL, 0,
     "have the process itself call nothing; what only it can give back stays", 0},
    {"watch-for", OPTION_WATCH_FOR, "TIME", 0,
     "look at the process for so long afterwards (30s): its resident set and page faults", 0},
    {"min-bytes", OPTION_MIN_BYTES, "SIZE", 0, "do nothing if less (100M) would come back", 0},
    {"split-from", OPTION_SPLIT_FROM, "PERCENT", 0,
     "split a huge page only if at least so much of it goes (25)", 0},
    {"json", OPTION_JSON, NULL, 0, "print one JSON object (residue.reclaim/1) instead of text", 0},
    {"color", OPTION_COLOR, "WHEN", 0, "auto (default), always or never", 0},
    {"quiet", 'q', NULL, 0, "print the headline only", 0},
    {0},
};

static int cure_find(const char *name, size_t length, unsigned *ret)
{
    for (unsigned i = 0; i < CURES; i++)
        if (strlen(cure_name(i)) == length && strncmp(cure_name(i), name, length) == 0) {
            *ret |= 1u << i;
            return 0;
        }
    return -EINVAL;
}

static void parse_only(const char *text, struct argp_state *state, unsigned *ret)
{
    *ret = 0;
    for (;;) {
        size_t length = strcspn(text, ",");

        if (cure_find(text, length, ret))
            usage_error(state, "'%.*s' is no cure; --only takes zero-pages and free-pages",
                        (int)length, text);
        if (!text[length])
            return;
        text += length + 1;
    }
}

static void parse_percent(const char *text, struct argp_state *state, unsigned *ret)
{
    pid_t number = 0; /* digits only, as for a process id */

    if (parse_pid(text, &number) || number > 100)
        usage_error(state, "--split-from takes a number from 1 to 100, not '%s'", text);
    *ret = (unsigned)number;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct reclaim_command *c = state->input;

    switch (key) {
    case OPTION_JSON:
        c->json = true;
        return 0;
    case OPTION_DRY_RUN:
        c->options.dry_run = true;
        return 0;
    case OPTION_ONLY:
        parse_only(arg, state, &c->options.cures);
        return 0;
    case OPTION_WATCH_FOR:
        if (parse_duration(arg, &c->options.watch_ns))
            usage_error(state, "--watch-for takes a time like 30s, not '%s'", arg);
        return 0;
    case OPTION_NO_INJECT:
        c->options.limits.no_inject = true;
        return 0;
    case OPTION_MAX_PAUSE:
        if (parse_duration(arg, &c->options.limits.pause_ns) || !c->options.limits.pause_ns)
            usage_error(state, "--max-pause takes a time like 5ms, not '%s'", arg);
        return 0;
    case OPTION_MIN_BYTES:
        if (parse_bytes(arg, &c->options.least_bytes))
            usage_error(state, "--min-bytes takes a size like 100M, not '%s'", arg);
        return 0;
    case OPTION_SPLIT_FROM:
        parse_percent(arg, state, &c->options.limits.split_percent);
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
        usage_error(state, "which process? Try residue reclaim PID");
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

static const struct argp parser = {
    .options = options,
    .parser = parse_option,
    .args_doc = "PID",
    .doc = "Gives memory of a running process back to the kernel that the process does not need, "
           "tells in advance how much that is, and sees afterwards how much it was. The process "
           "loses nothing: only what is proven to hold no data goes."
           "\vman residue-reclaim has the cures, the JSON fields and the exit codes.",
};

void reclaim_parse(int argc, char **argv, struct reclaim_command *ret)
{
    *ret = (struct reclaim_command){
        .options = {.cures = (1u << CURES) - 1,
                    .limits = {.split_percent = SPLIT_FROM, .pause_ns = MAX_PAUSE_NS}}};
    argp_parse(&parser, argc, argv, 0, NULL, ret);
}
