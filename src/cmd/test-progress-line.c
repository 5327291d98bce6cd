#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cmd/progress-line.h"

struct terminal {
    pid_t pid;
    int master, control;
    char text[4096];
    size_t length;
};

static void work(int control, bool wanted)
{
    struct progress_line line;
    struct progress progress;
    char byte;

    progress_line_begin(&line, wanted);
    if (line.running != wanted)
        _exit(3);
    progress_line_task(&line, "decoding %d of %d: %s", 3, 10, "post\x1bgres");
    progress = progress_line_interface(&line);
    progress_tell(&progress, "walking the heap", UINT64_C(1) << 30, UINT64_C(4) << 30);
    if (read(control, &byte, 1) < 0)
        _exit(1);
    progress_line_end(&line);
    _exit(line.running ? 2 : 0);
}

/* A child at a terminal of its own, that works until it is told to end. False where no terminal can
 * be had. */
static bool start(struct terminal *terminal, bool wanted)
{
    struct winsize size = {.ws_row = 24, .ws_col = 100};
    int control[2];

    memset(terminal, 0, sizeof *terminal);
    assert_int_equal(pipe2(control, O_CLOEXEC), 0);
    terminal->pid = forkpty(&terminal->master, NULL, NULL, &size);
    if (terminal->pid < 0) {
        close(control[0]);
        close(control[1]);
        return false;
    }
    if (terminal->pid == 0) {
        close(control[1]);
        setenv("TERM", "xterm", 1);
        work(control[0], wanted);
    }
    close(control[0]);
    terminal->control = control[1];
    return true;
}

/* False at the end. */
static bool read_some(struct terminal *terminal)
{
    ssize_t n = read(terminal->master, terminal->text + terminal->length,
                     sizeof terminal->text - 1 - terminal->length);

    if (n <= 0)
        return false; /* EIO: nobody has it open any more */
    terminal->length += (size_t)n;
    return true;
}

static void finish(struct terminal *terminal)
{
    int status;

    close(terminal->control);
    while (read_some(terminal))
        continue;
    close(terminal->master);
    assert_int_equal(waitpid(terminal->pid, &status, 0), terminal->pid);
    close(terminal->master);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void on_a_terminal(void **state)
{
    static const char erase[] = "\r\x1b[K";
    struct terminal terminal;

    if (!start(&terminal, true))
        skip();
    while (!strstr(terminal.text, "GiB") && read_some(&terminal))
        continue;
    finish(&terminal);
    if (!strstr(terminal.text,
                "decoding 3 of 10: post\\x1bgres: walking the heap, 1.00 of 4.00 GiB"))
        fail_msg("%s", terminal.text);
    assert_true(terminal.length > sizeof erase);
    assert_string_equal(terminal.text + terminal.length - (sizeof erase - 1), erase);
}

/* What takes less than a second says nothing; nor does what is not wanted. */
static void short_work_says_nothing(void **state)
{
    struct terminal terminal;

    for (int wanted = 0; wanted < 2; wanted++) {
        if (!start(&terminal, wanted))
            skip();
        finish(&terminal);
        assert_string_equal(terminal.text, "");
    }
}

static void nothing_to_a_pipe(void **state)
{
    struct progress_line line;
    struct progress progress;
    int ends[2], old = dup(STDERR_FILENO);
    bool running;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(old >= 0 && dup2(ends[1], STDERR_FILENO) >= 0);
    progress_line_begin(&line, true);
    running = line.running;
    assert_true(dup2(old, STDERR_FILENO) >= 0);
    close(old);
    close(ends[0]);
    close(ends[1]);
    assert_false(running);
    progress_line_task(&line, "task");
    progress = progress_line_interface(&line);
    progress_tell(&progress, "phase", 1, 2);
    progress_tell(NULL, "phase", 1, 2);
    progress_line_end(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_a_terminal),
        cmocka_unit_test(short_work_says_nothing),
        cmocka_unit_test(nothing_to_a_pipe),
    };

    return cmocka_run_group_tests_name("progress line", tests, NULL, NULL);
}
