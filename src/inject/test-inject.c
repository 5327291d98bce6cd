/* System calls in a process that is held: made, told, and undone. */
#include "target/test-victim.h"

#include <errno.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "inject/inject.h"

static pid_t victim;
static struct maps maps;
static struct injection *injection;

static void hold(void (*body)(void))
{
    victim = victim_start(body);
    assert_done(target_open(&target, &procfs, victim, &why));
    assert_done(victim_stop());
    assert_done(maps_read(&procfs, victim, &maps, &why));
}

static int setup(void **state)
{
    injection = NULL;
    return victims_setup(state);
}

static int teardown(void **state)
{
    injection_close(injection);
    maps_free(&maps);
    maps = (struct maps){0};
    return victims_teardown(state);
}

static void spin(void)
{
    shared->ready = 1;
    for (;;)
        shared->counters[0]++;
}

static void sleep_in_pause(void)
{
    shared->ready = 1;
    for (;;)
        pause();
}

static void assert_calls_work(void)
{
    struct remote_call calls[] = {{.number = SYS_getpid},
                                  {.number = SYS_close, .arguments = {~0ULL}},
                                  {.number = SYS_gettid}};

    assert_done(injection_open(&injection, &target, &maps, &why));
    for (int i = 0; i < 3; i++) {
        assert_done(injection_call(injection, calls, 3, NULL, 0, &why));
        assert_true(calls[0].made && calls[1].made && calls[2].made);
        assert_int_equal(calls[0].result, victim);
        assert_int_equal(calls[1].result, -EBADF);
        assert_int_equal(calls[2].result, victim);
    }
}

static void calls_are_made_in_a_running_process(void **state)
{
    hold(spin);
    assert_calls_work();
    target_resume(&target);
    assert_true(wait_for_motion(1));
}

static void calls_are_made_in_a_sleeping_process(void **state)
{
    hold(sleep_in_pause);
    assert_calls_work();
    target_resume(&target);
    assert_true(wait_for_state(victim, "S"));
}

static void data_goes_there_and_back(void **state)
{
    char data[64] = "/proc/self/comm";
    struct remote_call calls[3] = {
        {.number = SYS_openat}, {.number = SYS_read}, {.number = SYS_close}};
    remote_addr at;

    hold(sleep_in_pause);
    assert_done(injection_open(&injection, &target, &maps, &why));
    at = injection_data_at(injection, 1, sizeof data);
    calls[0].arguments[0] = (uint64_t)-100;
    calls[0].arguments[1] = at;
    assert_done(injection_call(injection, calls, 1, data, sizeof data, &why));
    assert_true(calls[0].result >= 0);
    at = injection_data_at(injection, 2, sizeof data);
    calls[1].arguments[0] = calls[2].arguments[0] = (uint64_t)calls[0].result;
    calls[1].arguments[1] = at;
    calls[1].arguments[2] = sizeof data;
    assert_done(injection_call(injection, calls + 1, 2, data, sizeof data, &why));
    assert_true(calls[1].result > 0);
    assert_int_equal(calls[2].result, 0);
    data[calls[1].result - 1] = '\0';
    assert_string_equal(data, target.status.comm);
}

static void sleep_long(void)
{
    struct timespec wait = {.tv_sec = 100000};

    shared->ready = 1;
    if (syscall(SYS_nanosleep, &wait, NULL))
        shared->error = errno;
    shared->leave = 1;
    pause();
}

static void assert_sleeps_in(long number)
{
    auto_free char *text = NULL;
    size_t length;

    assert_true(wait_for_state(victim, "S"));
    assert_int_equal(procfs_read(&procfs, &text, &length, "proc/%d/syscall", (int)victim), 0);
    assert_int_equal(strtol(text, NULL, 10), number);
}

/* By restart_syscall it goes on sleeping for the time that is left; nothing else can do that. */
static void a_sleep_goes_on_for_the_time_that_is_left(void **state)
{
    victim = victim_start(sleep_long);
    assert_true(wait_for_state(victim, "S"));
    assert_done(target_open(&target, &procfs, victim, &why));
    for (int i = 0; i < 2; i++) { /* the second time it sleeps in restart_syscall already */
        target.guarded = true;
        assert_done(victim_stop());
        assert_done(maps_read(&procfs, victim, &maps, &why));
        assert_calls_work();
        injection_close(injection);
        injection = NULL;
        maps_free(&maps);
        target_resume(&target);
        assert_sleeps_in(SYS_restart_syscall);
        assert_int_equal(shared->leave, 0);
    }
}

static int kill_tracer(void *context)
{
    return kill((pid_t)syscall(SYS_gettid), SIGKILL);
}

static void a_killed_tracer_lets_go_and_is_told(void **state)
{
    victim = victim_start(spin);
    assert_done(target_open(&target, &procfs, victim, &why));
    target.guarded = true;
    assert_done(victim_stop());
    assert_int_not_equal(thread_tracer(victim), 0);
    assert_int_equal(target_on_tracer(&target, kill_tracer, NULL), -ESRCH);
    assert_true(wait_for_motion(1));
    assert_int_equal(target_on_tracer(&target, kill_tracer, NULL), -ESRCH);
    target_resume(&target);
    assert_done(victim_stop());
}

#define victim_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        victim_test(calls_are_made_in_a_running_process),
        victim_test(calls_are_made_in_a_sleeping_process),
        victim_test(data_goes_there_and_back),
        victim_test(a_sleep_goes_on_for_the_time_that_is_left),
        victim_test(a_killed_tracer_lets_go_and_is_told),
    };

    return cmocka_run_group_tests(tests, victims_group_setup, victims_group_teardown);
}
