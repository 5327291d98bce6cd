/* A process that sleeps is told from one that ran, however short. */
#include "target/stillness.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>

#include "test-victim.h"

static void *sleep_in_thread(void *context)
{
    for (;;)
        pause();
    return context;
}

static void sleep_with_threads(void)
{
    pthread_t thread;

    for (int i = 0; i < 3; i++)
        if (pthread_create(&thread, NULL, sleep_in_thread, NULL))
            _exit(1);
    shared->ready = 1;
    sleep_in_thread(NULL);
}

/* Wakes for each `go`, does next to nothing, and sleeps on. */
static void wake_when_told(void)
{
    int fds[2];
    char byte;

    if (pipe(fds))
        _exit(1);
    shared->addresses[0] = (remote_addr)fds[1];
    shared->ready = 1;
    while (!shared->leave) {
        if (shared->go) {
            shared->counters[0]++;
            shared->go = 0;
        }
        if (poll(&(struct pollfd){.fd = fds[0], .events = POLLIN}, 1, 1) &&
            read(fds[0], &byte, 1) < 0)
            _exit(1);
    }
}

/* Woken, it runs on: it takes a processor once, and never gives it up. */
static void run_on_when_told(void)
{
    shared->ready = 1;
    while (!shared->go)
        poll(NULL, 0, 1000);
    for (;;)
        shared->counters[0]++;
}

static void spin(void)
{
    shared->ready = 1;
    for (;;)
        shared->counters[0]++;
}

static void a_sleeping_process_is_still(void **state)
{
    pid_t pid = victim_start(sleep_with_threads);
    unsigned held = 0;

    assert_done(target_open(&target, &procfs, pid, &why));
    for (unsigned i = 0; i < 20; i++) {
        struct stillness stillness;
        int r = stillness_begin(&procfs, pid, &stillness, &why);

        if (r == OUTCOME_NOT_POSSIBLE) {
            print_message("%s\n", why.text);
            skip();
        }
        if (r == OUTCOME_TORN) /* a loaded machine has not let it sleep again yet */
            continue;
        assert_done(r);
        assert_int_equal(stillness.count, 4);
        assert_done(victim_stop());
        held += stillness_held(&stillness, &target);
        target_resume(&target);
        stillness_free(&stillness);
    }
    assert_int_not_equal(held, 0);
}

static void one_that_woke_is_not(void **state)
{
    pid_t pid = victim_start(wake_when_told);

    assert_done(target_open(&target, &procfs, pid, &why));
    for (unsigned i = 0; i < 20; i++) {
        unsigned long before = shared->counters[0];
        struct stillness stillness;
        int r = stillness_begin(&procfs, pid, &stillness, &why);

        if (r > 0)
            continue;
        assert_done(r);
        shared->go = 1;
        while (shared->counters[0] == before)
            clock_sleep_ns(NS_PER_MS / 10);
        assert_done(victim_stop());
        assert_false(stillness_held(&stillness, &target));
        target_resume(&target);
        stillness_free(&stillness);
    }
}

static void one_that_woke_and_runs_on_is_not(void **state)
{
    pid_t pid = victim_start(run_on_when_told);
    struct stillness stillness;
    int r;

    assert_done(target_open(&target, &procfs, pid, &why));
    do
        r = stillness_begin(&procfs, pid, &stillness, &why);
    while (r == OUTCOME_TORN);
    assert_done(r);
    assert_true(stillness_lasts(&stillness, &procfs, pid));
    shared->go = 1;
    while (!shared->counters[0])
        clock_sleep_ns(NS_PER_MS);
    assert_false(stillness_lasts(&stillness, &procfs, pid));
    assert_done(victim_stop());
    assert_false(stillness_held(&stillness, &target));
    stillness_free(&stillness);
}

static void one_that_runs_never_is(void **state)
{
    pid_t pid = victim_start(spin);
    struct stillness stillness;

    assert_int_not_equal(stillness_begin(&procfs, pid, &stillness, &why), 0);
}

static void not_without_a_stop_nor_with_other_threads(void **state)
{
    pid_t pid = victim_start(sleep_with_threads);
    struct stillness stillness;
    int r;

    assert_done(target_open(&target, &procfs, pid, &why));
    do
        r = stillness_begin(&procfs, pid, &stillness, &why);
    while (r == OUTCOME_TORN);
    if (r == OUTCOME_NOT_POSSIBLE) {
        print_message("%s\n", why.text);
        skip();
    }
    assert_false(stillness_held(&stillness, &target));
    stillness.count--; /* as if one had been born */
    assert_done(victim_stop());
    assert_false(stillness_held(&stillness, &target));
    stillness_free(&stillness);
}

#define victim_test(function)                                                                      \
    cmocka_unit_test_setup_teardown(function, victims_setup, victims_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        victim_test(a_sleeping_process_is_still),
        victim_test(one_that_woke_is_not),
        victim_test(one_that_woke_and_runs_on_is_not),
        victim_test(one_that_runs_never_is),
        victim_test(not_without_a_stop_nor_with_other_threads),
    };

    return cmocka_run_group_tests(tests, victims_group_setup, victims_group_teardown);
}
