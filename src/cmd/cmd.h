/*
 * The verbs. Each is one file with one function that parses its own arguments and does the work;
 * main picks it by name. To add a verb: write cmd/NAME.c, declare its function here and add it to verbs.c,
 * to man/residue-NAME.1.scd and to completions/residue (a test compares them).
 */
#pragma once

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "explain/explain.h"

/* sysexits.h, as far as it applies; 1 is kept for "a threshold asked for was exceeded". */
enum exit_code {
    EXIT_CODE_FINE = 0,
    EXIT_CODE_FELL_SHORT = 1,
    EXIT_CODE_USAGE = 64,
    EXIT_CODE_NO_PROCESS = 66,
    EXIT_CODE_NOT_POSSIBLE = 69,
    EXIT_CODE_DEFECT = 70,
    EXIT_CODE_NO_PERMISSION = 77,
};

struct verb {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is "residue NAME"; returns an enum exit_code */
    const char *summary;
};

extern const struct verb verbs[];
extern const size_t verb_count;

int cmd_why(int argc, char **argv);
int cmd_reclaim(int argc, char **argv);
int cmd_keep(int argc, char **argv);

/* The exit code for 0, a negative errno or an outcome. */
enum exit_code exit_code_for(int error);

/* Tells the one sentence of `why` on standard error, as "residue VERB: sentence"; returns exit_code_for(error). */
enum exit_code cmd_fail(const char *verb, int error, const struct why *why);

/* A process id: decimal digits only, as /proc names it. 0 or -EINVAL. */
int parse_pid(const char *text, pid_t *ret) must_check;

enum color_when { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

/* "auto", "always" or "never". 0 or -EINVAL. */
int parse_color(const char *text, enum color_when *ret) must_check;

/* How to come by a consistent look first, from the environment's RESIDUE_WAY. 0 or -EINVAL. */
int way_from_environment(enum explain_way *ret) must_check;

/* Threads for walking heaps, 1 to 64, from the environment's RESIDUE_THREADS; 0 when it is not set. 0 or -EINVAL. */
int threads_from_environment(unsigned *ret) must_check;

/* Whether to colour standard output: NO_COLOR (no-color.org) and non-terminals turn `auto` into no. */
bool use_color(enum color_when when);

/* Whether the locale's characters are UTF-8: the user's locale, which this sets for characters. */
bool use_utf8(void);

/* Columns of the terminal that standard output is, 0 if it is none. */
unsigned output_width(void);

/*
 * For argp parsers: tells one sentence and exits with EXIT_CODE_USAGE. Unlike argp_error it adds no second line that
 * only says where help is; write that into the sentence where it helps.
 */
#define usage_error(state, ...) argp_failure(state, EXIT_CODE_USAGE, 0, __VA_ARGS__)
