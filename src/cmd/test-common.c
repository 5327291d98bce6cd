#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cmd/cmd.h"

static void errors_become_exit_codes(void **state)
{
    static const struct {
        int error;
        enum exit_code code;
    } rows[] = {
        {0, EXIT_CODE_FINE},
        {-ESRCH, EXIT_CODE_NO_PROCESS},
        {-ENOENT, EXIT_CODE_NO_PROCESS},
        {-EPERM, EXIT_CODE_NO_PERMISSION},
        {-EACCES, EXIT_CODE_NO_PERMISSION},
        {-EBUSY, EXIT_CODE_NOT_POSSIBLE},
        {-ETIMEDOUT, EXIT_CODE_NOT_POSSIBLE},
        {-ENOMEM, EXIT_CODE_NOT_POSSIBLE},
        {OUTCOME_UNREADABLE, EXIT_CODE_NOT_POSSIBLE},
        {OUTCOME_LAYOUT_UNKNOWN, EXIT_CODE_NOT_POSSIBLE},
        {OUTCOME_TORN, EXIT_CODE_NOT_POSSIBLE},
        {OUTCOME_NOT_POSSIBLE, EXIT_CODE_NOT_POSSIBLE},
        {1000, EXIT_CODE_DEFECT},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(exit_code_for(rows[i].error), rows[i].code);
}

static void process_ids_are_plain_positive_numbers(void **state)
{
    static const char *const bad[] = {
        "", "0", "-1", "+1", " 1", "1 ", "0x1", "2147483648", "99999999999999999999", "abc"};
    pid_t pid = 7;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(parse_pid(bad[i], &pid), -EINVAL);
    assert_int_equal(pid, 7);
    assert_int_equal(parse_pid("2147483647", &pid), 0);
    assert_int_equal(pid, 2147483647);
    assert_int_equal(parse_pid("0042", &pid), 0);
    assert_int_equal(pid, 42);
}

static void threads_are_few_or_left_open(void **state)
{
    static const char *const bad[] = {"0", "-1", "65", "two", "1 "};
    unsigned threads = 7;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        setenv("RESIDUE_THREADS", bad[i], 1);
        assert_int_equal(threads_from_environment(&threads), -EINVAL);
    }
    assert_int_equal(threads, 7);
    setenv("RESIDUE_THREADS", "64", 1);
    assert_int_equal(threads_from_environment(&threads), 0);
    assert_int_equal(threads, 64);
    setenv("RESIDUE_THREADS", "", 1);
    assert_int_equal(threads_from_environment(&threads), 0);
    assert_int_equal(threads, 0);
    unsetenv("RESIDUE_THREADS");
    assert_int_equal(threads_from_environment(&threads), 0);
    assert_int_equal(threads, 0);
}

static void ways_have_names(void **state)
{
    enum explain_way way = EXPLAIN_STOPPED;

    setenv("RESIDUE_WAY", "somehow", 1);
    assert_int_equal(way_from_environment(&way), -EINVAL);
    assert_int_equal(way, EXPLAIN_STOPPED);
    setenv("RESIDUE_WAY", "moving", 1);
    assert_int_equal(way_from_environment(&way), 0);
    assert_int_equal(way, EXPLAIN_MOVING);
    unsetenv("RESIDUE_WAY");
    assert_int_equal(way_from_environment(&way), 0);
    assert_int_equal(way, EXPLAIN_STILL);
}

static void color_words(void **state)
{
    enum color_when when = COLOR_ALWAYS;

    assert_int_equal(parse_color("sometimes", &when), -EINVAL);
    assert_int_equal(when, COLOR_ALWAYS);
    assert_int_equal(parse_color("auto", &when), 0);
    assert_int_equal(when, COLOR_AUTO);
    assert_int_equal(parse_color("never", &when), 0);
    assert_int_equal(when, COLOR_NEVER);
}

/* Standard output is swapped for a terminal's slave side where there is one to be had. */
static void color_heeds_no_color_and_terminals(void **state)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY), saved, slave, colored[3];

    assert_true(use_color(COLOR_ALWAYS));
    assert_false(use_color(COLOR_NEVER));
    if (master < 0) {
        print_message("no pseudo-terminal to be had: %s\n", strerror(errno));
        skip();
    }
    assert_true(grantpt(master) == 0 && unlockpt(master) == 0);
    saved = dup(STDOUT_FILENO);
    assert_true(saved >= 0);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(slave >= 0);
    fflush(stdout);
    dup2(slave, STDOUT_FILENO);
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    colored[0] = use_color(COLOR_AUTO);
    setenv("NO_COLOR", "1", 1);
    colored[1] = use_color(COLOR_AUTO);
    unsetenv("NO_COLOR");
    setenv("TERM", "dumb", 1);
    colored[2] = use_color(COLOR_AUTO);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(slave);
    close(master);
    assert_true(colored[0]);
    assert_false(colored[1]);
    assert_false(colored[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_become_exit_codes),
        cmocka_unit_test(process_ids_are_plain_positive_numbers),
        cmocka_unit_test(threads_are_few_or_left_open),
        cmocka_unit_test(ways_have_names),
        cmocka_unit_test(color_words),
        cmocka_unit_test(color_heeds_no_color_and_terminals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
