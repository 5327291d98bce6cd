/* What the verbs share: exit codes and the arguments that more than one of them takes. */
#include <ctype.h>
#include <errno.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "report/foreign.h"
#include "report/page.h"

enum exit_code exit_code_for(int error)
{
    switch (error) {
    case 0:
        return EXIT_CODE_FINE;
    case -ESRCH:
    case -ENOENT:
        return EXIT_CODE_NO_PROCESS;
    case -EPERM:
    case -EACCES:
        return EXIT_CODE_NO_PERMISSION;
    case OUTCOME_UNREADABLE:
    case OUTCOME_LAYOUT_UNKNOWN:
    case OUTCOME_TORN:
    case OUTCOME_NOT_FOUND:
    case OUTCOME_NOT_POSSIBLE:
        return EXIT_CODE_NOT_POSSIBLE;
    }
    return error < 0 ? EXIT_CODE_NOT_POSSIBLE : EXIT_CODE_DEFECT;
}

enum exit_code cmd_fail(const char *verb, int error, const struct why *why)
{
    fprintf(stderr, "residue %s: ", verb);
    /* A sentence may hold a process' name, which is its own to choose. */
    foreign_print(stderr, why->text[0] ? why->text : strerror(abs(error)), WHOLE_TEXT, use_utf8());
    fputc('\n', stderr);
    return exit_code_for(error);
}

int parse_pid(const char *text, pid_t *ret)
{
    long value;
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return -EINVAL;
    errno = 0;
    value = strtol(text, &end, 10);
    if (errno || *end || value < 1 || value > INT_MAX)
        return -EINVAL;
    *ret = (pid_t)value;
    return 0;
}

int parse_color(const char *text, enum color_when *ret)
{
    static const char *const names[] = {
        [COLOR_AUTO] = "auto", [COLOR_ALWAYS] = "always", [COLOR_NEVER] = "never"};

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret = i;
            return 0;
        }
    }
    return -EINVAL;
}

int threads_from_environment(unsigned *ret)
{
    const char *text = getenv("RESIDUE_THREADS");
    pid_t number = 0;

    if (text && text[0] && (parse_pid(text, &number) || number > 64))
        return -EINVAL;
    *ret = (unsigned)number;
    return 0;
}

int way_from_environment(enum explain_way *ret)
{
    static const char *const names[] = {
        [EXPLAIN_STILL] = "still", [EXPLAIN_MOVING] = "moving", [EXPLAIN_STOPPED] = "stopped"};
    const char *text = getenv("RESIDUE_WAY");

    if (!text || !text[0]) {
        *ret = EXPLAIN_STILL;
        return 0;
    }
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i]) == 0) {
            *ret = i;
            return 0;
        }
    return -EINVAL;
}

bool use_color(enum color_when when)
{
    const char *no_color = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");

    if (when != COLOR_AUTO)
        return when == COLOR_ALWAYS;
    if (no_color && no_color[0])
        return false;
    return isatty(STDOUT_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
}

bool use_utf8(void)
{
    return setlocale(LC_CTYPE, "") && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

unsigned output_width(void)
{
    struct winsize size;

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}
