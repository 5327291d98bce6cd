#include "inject/test-injection.h"

pid_t victim;
struct maps maps;
struct injection *injection;

int injection_setup(void **state)
{
    injection = NULL;
    return victims_setup(state);
}

int injection_teardown(void **state)
{
    injection_close(injection);
    maps_free(&maps);
    maps = (struct maps){0};
    return victims_teardown(state);
}

int try_open(void)
{
    assert_done(target_open(&target, &procfs, victim, &why));
    assert_done(victim_stop());
    assert_done(maps_read(&procfs, victim, &maps, &why));
    return injection_open(&injection, &target, &maps, &why);
}

void assert_says(const char *words)
{
    if (!strstr(why.text, words))
        fail_msg("\"%s\" does not say \"%s\"", why.text, words);
}

void assert_refused(void (*body)(void), const char *words)
{
    victim = victim_start(body);
    assert_int_equal(try_open(), OUTCOME_NOT_POSSIBLE);
    assert_says(words);
    target_resume(&target);
    assert_int_equal(waitpid(victim, NULL, WNOHANG), 0);
}

int call(long number, uint64_t argument, int64_t *ret_result)
{
    struct remote_call remote = {.number = number, .arguments = {argument}};
    int r = injection_call(injection, &remote, 1, NULL, 0, &why);

    *ret_result = remote.result;
    return r;
}

void ready_and_spin(void)
{
    shared->ready = 1;
    for (;;)
        shared->counters[0]++;
}
