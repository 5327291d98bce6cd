/* Options before the verb, then the verb itself; `residue PID` is `residue why PID`. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"

/* libc looks this one up by name, so it must be visible although nothing else here is. */
__attribute__((visibility("default"))) const char *argp_program_version =
    "residue " RESIDUE_VERSION;

static const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; i < verb_count; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

/* The list of verbs in --help comes from the table, so that it cannot miss one. */
static char *help_filter(int key, const char *text, void *input)
{
    char *list = NULL;
    size_t size = 0;
    FILE *out;

    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)text;
    out = open_memstream(&list, &size);
    if (!out)
        return NULL;
    fputs("Verbs:\n", out);
    for (size_t i = 0; i < verb_count; i++)
        fprintf(out, "  %-8s %s\n", verbs[i].name, verbs[i].summary);
    fputs("\n`residue PID' is `residue why PID'. `residue VERB --help' tells a verb's options,"
          " man residue-VERB the rest.",
          out);
    return fclose(out) == 0 ? list : NULL; /* argp frees it */
}

struct invocation {
    const struct verb *verb;
    int first; /* index in argv of the verb's name, or of the process id that stands for `why` */
    bool has_name;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct invocation *ret = state->input;
    pid_t pid;

    switch (key) {
    case ARGP_KEY_ARG:
        ret->has_name = parse_pid(arg, &pid) != 0;
        ret->verb = verb_find(ret->has_name ? arg : "why");
        ret->first = state->next - 1;
        if (!ret->verb)
            usage_error(state,
                        "'%s' is neither a verb nor a process id; residue --help lists the verbs",
                        arg);
        state->next = state->argc; /* the rest is the verb's */
        return 0;
    case ARGP_KEY_NO_ARGS:
        usage_error(state, "which process? Try residue PID, or residue --help");
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

static const struct argp parser = {
    .parser = parse_option,
    .args_doc = "VERB [ARGUMENTS...]\nPID",
    .doc = "Tells why a process holds more memory than it uses.\v",
    .help_filter = help_filter,
};

/* A report that was cut short must not look like a good one to whoever reads the exit code. */
static void check_output(void)
{
    bool failed = ferror(stdout);

    if (fclose(stdout) == 0 && !failed)
        return;
    fprintf(stderr, "residue: the output could not be written: %s\n", strerror(errno));
    _exit(EXIT_CODE_NOT_POSSIBLE);
}

/* Hands the verb its part of the arguments, beginning with its name. */
static int run_verb(const struct invocation *invocation, int argc, char **argv)
{
    int first = invocation->has_name ? invocation->first : invocation->first - 1;
    char name[64];

    snprintf(name, sizeof name, "residue %s", invocation->verb->name);
    argv[first] = name;
    return invocation->verb->run(argc - first, argv + first);
}

/*
 * A descriptor that is closed would go to the next file opened, and a report printed to it into,
 * say, the target's memory. Read-only, so that printing still fails.
 */
static void occupy_standard_descriptors(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDONLY);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    static char name[] = "residue"; /* getopt's messages begin with it */
    struct invocation invocation = {0};

    occupy_standard_descriptors();
    atexit(check_output);
    argp_err_exit_status = EXIT_CODE_USAGE;
    if (argc > 0)
        argv[0] = name;
    argp_parse(&parser, argc, argv, ARGP_IN_ORDER, NULL, &invocation);
    return run_verb(&invocation, argc, argv);
}
